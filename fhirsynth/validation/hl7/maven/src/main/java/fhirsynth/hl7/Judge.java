package fhirsynth.hl7;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.common.hapi.validation.validator.WorkerContextValidationSupportAdapter;
import org.hl7.fhir.r5.elementmodel.Element;
import org.hl7.fhir.r5.elementmodel.Manager.FhirFormat;
import org.hl7.fhir.r5.model.ElementDefinition;
import org.hl7.fhir.r5.model.StructureDefinition;
import org.hl7.fhir.r5.utils.validation.IMessagingServices;
import org.hl7.fhir.r5.utils.validation.IResourceValidator;
import org.hl7.fhir.r5.utils.validation.ValidatorSession;
import org.hl7.fhir.r5.utils.validation.constants.BestPracticeWarningLevel;
import org.hl7.fhir.r5.utils.validation.constants.IdStatus;
import org.hl7.fhir.r5.utils.validation.constants.ReferenceValidationPolicy;
import org.hl7.fhir.r5.utils.xver.XVerExtensionManagerOld;
import org.hl7.fhir.utilities.i18n.I18nConstants;
import org.hl7.fhir.utilities.validation.ValidationMessage;
import org.hl7.fhir.utilities.validation.ValidationMessage.IssueSeverity;
import org.hl7.fhir.validation.ValidatorSettings;
import org.hl7.fhir.validation.instance.InstanceValidator;
import org.hl7.fhir.validation.instance.advisor.BasePolicyAdvisorForFullValidation;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/** HL7's InstanceValidator with the settings that fit UK Core and a machine without a terminology server. */
final class Judge {
  /** One thing that the validator said: how grave, where, in which words, and the id of the rule or "". */
  record Issue(String severity, String location, String message, String rule) {
    private static final Pattern PROFILE = Pattern.compile(" \\((from|defined in) \\S+\\)$");

    /** The same without the profile that says so. */
    Issue withoutProfile() {
      return new Issue(severity, location, PROFILE.matcher(message).replaceFirst(""), rule);
    }
  }

  /** Letters of JSON after which a thread has its validator made anew. */
  private static final long ENOUGH = 2 << 20;

  private final WorkerContextValidationSupportAdapter context;
  private final ThreadLocal<Validator> kept = new ThreadLocal<>();
  private final Map<String, List<StructureDefinition>> asked = new LinkedHashMap<>();
  private final boolean unknownProfilesAreErrors;

  Judge(Serve.Start start) {
    IValidationSupport definitions = Definitions.of(FhirContext.forR4Cached(), start.definitions());
    context = WorkerContextValidationSupportAdapter.newVersionSpecificWorkerContextWrapper(definitions);
    // All snapshots, now: when two threads make them as they need them, HAPI 8.8.1 has each wait for the other.
    context.fetchResourcesByType(StructureDefinition.class);
    unknownProfilesAreErrors = start.unknownProfilesAreErrors();
    for (String url : start.profiles()) {
      StructureDefinition profile = context.fetchResource(StructureDefinition.class, url);
      if (profile == null) {
        throw new Definitions.Unusable("the profile " + url + " is in none of the packages");
      }
      asked.computeIfAbsent(profile.getType(), type -> new ArrayList<>()).add(profile);
    }
  }

  /**
   * What is wrong with a resource. Never throws: a resource over which the validator itself falls has an issue.
   *
   * <p>The validator looks for claims itself, but told of them it says clearly that a profile is for another type.
   */
  List<Issue> issues(String json, List<String> claims) {
    List<ValidationMessage> messages = new ArrayList<>();
    List<Issue> issues = new ArrayList<>();
    try {
      InputStream input = new ByteArrayInputStream(json.getBytes(StandardCharsets.UTF_8));
      List<StructureDefinition> profiles = new ArrayList<>();
      for (String claim : claims) {
        Optional.ofNullable(context.fetchResource(StructureDefinition.class, claim)).ifPresent(profiles::add);
      }
      validatorFor(json.length()).validate(null, messages, input, FhirFormat.JSON, profiles);
    } catch (RuntimeException | StackOverflowError e) {
      kept.remove(); // whatever state it is in
      issues.add(new Issue("fatal", "", text("HL7's validator fell over this resource: " + e), "validator-failed"));
    }
    Set<Issue> said = new HashSet<>(); // each profile says again what the type or another profile says
    for (ValidationMessage message : messages) {
      Issue issue = issue(message);
      boolean aboutTheProfile = issue.rule().equals(I18nConstants.TERMINOLOGY_TX_BINDING_NOSOURCE);
      if (!aboutTheProfile && said.add(issue.withoutProfile())) {
        issues.add(issue);
      }
    }
    return issues;
  }

  /** The validator of this thread: dear to make and so kept, but it gathers what it saw, so not kept for ever. */
  private Validator validatorFor(int length) {
    Validator validator = kept.get();
    if (validator == null || validator.seen + length > ENOUGH) {
      validator = new Validator(context);
      validator.setAnyExtensionsAllowed(false);
      validator.setBestPracticeWarningLevel(BestPracticeWarningLevel.Warning); // dom-6: no narrative
      validator.setResourceIdRule(IdStatus.OPTIONAL);
      validator.setErrorForUnknownProfiles(unknownProfilesAreErrors);
      validator.setUnknownCodeSystemsCauseErrors(true); // as HAPI has it; the definitions have the last word
      validator.setAssumeValidRestReferences(true); // "Practitioner/1" is a Practitioner, found or not
      validator.setPolicyAdvisor(new Policy());
      kept.set(validator);
    }
    validator.next(length);
    return validator;
  }

  /** HL7's validator, which may be used again. */
  private static final class Validator extends InstanceValidator {
    private long seen;

    Validator(WorkerContextValidationSupportAdapter context) {
      super(context, new FhirInstanceValidator.NullEvaluationContext(), new XVerExtensionManagerOld(context),
          new ValidatorSession(), new ValidatorSettings());
    }

    /** Begin afresh with another resource. */
    void next(int length) {
      seen += length;
      statusWarnings.clear(); // that a definition is retired is otherwise said of the first resource only
    }
  }

  /** What to look into beyond the resource's own profiles. */
  private final class Policy extends BasePolicyAdvisorForFullValidation {
    Policy() {
      super(ReferenceValidationPolicy.IGNORE, Set.of()); // nothing outside is fetched
    }

    /** A resource beside it that breaks its own profile is said there; not again wherever it is referred to. */
    @Override
    public boolean isSuppressMessageId(String path, String messageId) {
      return I18nConstants.REFERENCE_REF_CANTMATCHCHOICE.equals(messageId);
    }

    /** The profiles that the user asked every resource of a type to meet. */
    @Override
    public List<StructureDefinition> getImpliedProfilesForResource(IResourceValidator validator, Object appContext,
        String stackPath, ElementDefinition definition, StructureDefinition structure, Element resource, boolean valid,
        IMessagingServices services, List<ValidationMessage> messages) {
      return asked.getOrDefault(resource.fhirType(), List.of());
    }
  }

  /** Never null, and without halves of surrogate pairs, which JSON cannot hold. */
  private static String text(String text) {
    return text == null ? "" : new String(text.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8);
  }

  private Issue issue(ValidationMessage message) {
    String words = text(message.getMessage());
    String id = text(message.getMessageId());
    if (id.isEmpty() || id.contains(" ")) { // some have their words for an id
      id = message.getType() == null ? "" : message.getType().toCode();
    }
    IssueSeverity severity = message.getLevel();
    if (id.equals(I18nConstants.VALIDATION_VAL_PROFILE_UNKNOWN)
        || id.equals(I18nConstants.VALIDATION_VAL_PROFILE_UNKNOWN_NOT_POLICY)) {
      severity = unknownProfilesAreErrors ? IssueSeverity.ERROR : IssueSeverity.WARNING;
    } else if (words.startsWith(OpenValueSets.NOT_CHECKED)) {
      id = "not-checked";
    } else if (NotDecidable.offline(id, words)) {
      severity = IssueSeverity.INFORMATION;
    }
    return new Issue(severity.toCode(), text(message.getLocation()), words, id);
  }
}
