package fhirsynth.hl7;

import org.hl7.fhir.utilities.i18n.I18nConstants;

/**
 * What the validator says for want of a terminology server, and not because something is wrong.
 *
 * <p>{@link OpenValueSets} keeps it from most of it; this is the rest, known by its words.
 */
final class NotDecidable {
  /** Two slices of UK Core's laboratory observations that differ by value sets over SNOMED CT alone. */
  private static final String LABORATORY_SLICES = "valueset-PaLM, valueset-PBCL";

  private NotDecidable() {}

  static boolean offline(String id, String message) {
    return id.equalsIgnoreCase(I18nConstants.TERMINOLOGY_TX_SYSTEM_UNSUPPORTED)
        || id.equals(I18nConstants.VALIDATION_VAL_PROFILE_MATCHMULTIPLE) && message.contains(LABORATORY_SLICES);
  }
}
