package fhirsynth.hl7;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.ConceptValidationOptions;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.context.support.ValidationSupportContext;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.CanonicalType;
import org.hl7.fhir.r4.model.CodeSystem;
import org.hl7.fhir.r4.model.CodeSystem.CodeSystemContentMode;
import org.hl7.fhir.r4.model.ValueSet;
import org.hl7.fhir.r4.model.ValueSet.ConceptSetComponent;

import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Value sets that take codes by a filter from a code system that is not at hand, such as "is-a 404684003" from SNOMED CT.
 *
 * <p>Only a terminology server can say whether such a code belongs. HAPI says that it does not, or falls over the
 * missing code system; here the code is let pass, with a word of information.
 */
final class OpenValueSets implements IValidationSupport {
  /** How the word of information begins. */
  static final String NOT_CHECKED = "Not checked whether ";

  private final FhirContext fhir;

  OpenValueSets(FhirContext fhir) {
    this.fhir = fhir;
  }

  @Override
  public FhirContext getFhirContext() {
    return fhir;
  }

  @Override
  public boolean isValueSetSupported(ValidationSupportContext context, String url) {
    return true;
  }

  @Override
  public CodeValidationResult validateCodeInValueSet(ValidationSupportContext context, ConceptValidationOptions options,
      String system, String code, String display, IBaseResource valueSet) {
    if (system == null || !(valueSet instanceof ValueSet set)) {
      return null;
    }
    IValidationSupport all = context.getRootValidationSupport();
    String codeSystem = system.contains("|") ? system.substring(0, system.indexOf('|')) : system;
    if (!isOpen(all, set, codeSystem, code, new HashSet<>())) {
      return null;
    }
    return new CodeValidationResult().setCode(code).setDisplay(display).setSeverity(IssueSeverity.INFORMATION)
        .setMessage(NOT_CHECKED + codeSystem + "#" + code + " is in " + set.getUrl() + ", which takes a terminology server");
  }

  @Override
  public CodeValidationResult validateCode(ValidationSupportContext context, ConceptValidationOptions options,
      String system, String code, String display, String valueSet) {
    if (valueSet == null) {
      return null;
    }
    IBaseResource found = context.getRootValidationSupport().fetchValueSet(valueSet);
    return validateCodeInValueSet(context, options, system, code, display, found);
  }

  /** Whether codes of the system come in by a filter that cannot be applied, and this one is not listed besides. */
  private static boolean isOpen(IValidationSupport all, ValueSet set, String system, String code, Set<String> seen) {
    if (!seen.add(set.getUrl())) {
      return false;
    }
    boolean open = false;
    for (ConceptSetComponent include : set.getCompose().getInclude()) {
      if (system.equals(include.getSystem())) {
        if (include.getConcept().stream().anyMatch(concept -> concept.getCode().equals(code))) {
          return false;
        }
        open |= include.hasFilter() && !isComplete(all, system);
      }
      for (CanonicalType imported : include.getValueSet()) {
        open |= all.fetchValueSet(imported.getValue()) instanceof ValueSet inner && isOpen(all, inner, system, code, seen);
      }
    }
    return open;
  }

  private static boolean isComplete(IValidationSupport all, String system) {
    return all.fetchCodeSystem(system) instanceof CodeSystem found
        && List.of(CodeSystemContentMode.COMPLETE, CodeSystemContentMode.SUPPLEMENT).contains(found.getContent());
  }
}
