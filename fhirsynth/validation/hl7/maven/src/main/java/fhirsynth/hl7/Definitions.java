package fhirsynth.hl7;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.parser.DataFormatException;
import ca.uhn.fhir.parser.IParser;
import ca.uhn.fhir.parser.LenientErrorHandler;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.MetadataResource;
import org.hl7.fhir.r4.model.StructureDefinition;

import java.util.Map;

/** What the validator judges by: base R4, which HAPI brings, and the profiles and codes of the user's packages. */
final class Definitions {
  /** A definition cannot be used; the message names it. */
  static final class Unusable extends RuntimeException {
    Unusable(String message) {
      super(message);
    }
  }

  private Definitions() {}

  /** Everything put together; {@code definitions} is the JSON of each resource by the name that a person knows it by. */
  static IValidationSupport of(FhirContext fhir, Map<String, String> definitions) {
    return new ValidationSupportChain(
        new LanguageTags(fhir),
        new OpenValueSets(fhir),
        fromPackages(fhir, definitions),
        new DefaultProfileValidationSupport(fhir),
        new SnapshotGeneratingValidationSupport(fhir), // packages hold differentials only
        new InMemoryTerminologyServerValidationSupport(fhir),
        new CommonCodeSystemsTerminologyService(fhir),
        unknownCodeSystems(fhir)) {
      /** HAPI asks by default that every coding is in a required value set; FHIR asks it of one of them. */
      @Override
      public boolean isCodeableConceptValidationSuccessfulIfNotAllCodingsAreValid() {
        return true;
      }
    };
  }

  private static IValidationSupport fromPackages(FhirContext fhir, Map<String, String> definitions) {
    IParser parser = fhir.newJsonParser();
    parser.setParserErrorHandler(new LenientErrorHandler(false)); // published definitions have slips of their own
    PrePopulatedValidationSupport loaded = new PrePopulatedValidationSupport(fhir);
    definitions.forEach((name, json) -> {
      IBaseResource resource;
      try {
        resource = parser.parseResource(json);
      } catch (DataFormatException | ClassCastException e) {
        throw new Unusable(name + " is no FHIR R4 resource: " + e.getMessage());
      }
      if (resource instanceof StructureDefinition profile) {
        UnslicedElements.handDown(profile);
      }
      if (resource instanceof MetadataResource definition && definition.hasUrl()) {
        loaded.addResource(definition);
      }
    });
    return loaded;
  }

  /** Without a terminology server many code systems are not at hand, which says nothing about the resource. */
  private static IValidationSupport unknownCodeSystems(FhirContext fhir) {
    UnknownCodeSystemWarningValidationSupport support = new UnknownCodeSystemWarningValidationSupport(fhir);
    support.setNonExistentCodeSystemSeverity(IValidationSupport.IssueSeverity.INFORMATION);
    return support;
  }
}
