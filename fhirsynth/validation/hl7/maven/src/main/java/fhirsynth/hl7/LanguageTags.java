package fhirsynth.hl7;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.ConceptValidationOptions;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.context.support.ValidationSupportContext;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.ValueSet;
import org.hl7.fhir.utilities.i18n.subtag.LanguageSubtagRegistry;
import org.hl7.fhir.utilities.i18n.subtag.LanguageSubtagRegistryLoader;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.IllformedLocaleException;
import java.util.Locale;

/**
 * The value set of all languages: every well-formed tag of BCP 47 whose parts are in IANA's registry, which comes with
 * HL7's library. HAPI on its own knows languages with at most a region, and refuses "cy-Latn-GB".
 */
final class LanguageTags implements IValidationSupport {
  private static final String VALUE_SET = "http://hl7.org/fhir/ValueSet/all-languages";
  private static final String CODE_SYSTEM = "urn:ietf:bcp:47";

  private final FhirContext fhir;
  private final LanguageSubtagRegistry registry = new LanguageSubtagRegistry();

  LanguageTags(FhirContext fhir) {
    this.fhir = fhir;
    try {
      new LanguageSubtagRegistryLoader(registry).loadFromDefaultResource();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public FhirContext getFhirContext() {
    return fhir;
  }

  @Override
  public boolean isValueSetSupported(ValidationSupportContext context, String url) {
    return url != null && (url.equals(VALUE_SET) || url.startsWith(VALUE_SET + "|"));
  }

  @Override
  public CodeValidationResult validateCodeInValueSet(ValidationSupportContext context, ConceptValidationOptions options,
      String system, String code, String display, IBaseResource valueSet) {
    return valueSet instanceof ValueSet set ? validateCode(context, options, system, code, display, set.getUrl()) : null;
  }

  @Override
  public CodeValidationResult validateCode(ValidationSupportContext context, ConceptValidationOptions options,
      String system, String code, String display, String valueSet) {
    if (!isValueSetSupported(context, valueSet) || !CODE_SYSTEM.equals(system)) {
      return null;
    }
    CodeValidationResult result = new CodeValidationResult();
    if (isTag(code)) {
      return result.setCode(code).setDisplay(display);
    }
    return result.setSeverity(IssueSeverity.ERROR).setMessage("'" + code + "' is no language tag of BCP 47");
  }

  private boolean isTag(String code) {
    Locale parts;
    try {
      parts = new Locale.Builder().setLanguageTag(code).build();
    } catch (IllformedLocaleException | NullPointerException e) {
      return false;
    }
    String script = parts.getScript();
    String region = parts.getCountry();
    boolean privateOnly = parts.getLanguage().isEmpty() && parts.getExtension('x') != null;
    return (privateOnly || registry.hasLanguage(parts.getLanguage()))
        && (script.isEmpty() || registry.hasScript(script))
        && (region.isEmpty() || registry.hasRegion(region));
  }
}
