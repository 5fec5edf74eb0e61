package fhirsynth.hl7;

import org.hl7.fhir.r4.model.ElementDefinition;
import org.hl7.fhir.r4.model.StructureDefinition;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * What a profile fixes for an element before it is sliced, handed down to the slices.
 *
 * <p>In UK Core's blood pressure, {@code component.code.coding:loinc.system} is fixed once, and the slices
 * {@code component:SystolicBP} and {@code component:DiastolicBP} rely on it to tell their codings apart. HL7's
 * generator of snapshots does not carry it into them, and the validator then falls over the profile. Each such value
 * is therefore stated in the slice as well, where the slice speaks of the element that holds it and not of the value.
 */
final class UnslicedElements {
  /** Elements that come before all others in whatever holds them. */
  private static final Set<String> FIRST = Set.of("id", "extension");

  private UnslicedElements() {}

  static void handDown(StructureDefinition profile) {
    List<ElementDefinition> stated = profile.getDifferential().getElement();
    if (stated.stream().anyMatch(element -> !element.hasId())) {
      return; // without ids there is no telling what belongs to which slice
    }
    Set<String> ids = new HashSet<>();
    for (ElementDefinition element : stated) {
      ids.add(element.getId());
    }
    List<ElementDefinition> whole = new ArrayList<>();
    List<ElementDefinition> waiting = new ArrayList<>();
    for (ElementDefinition element : stated) {
      boolean stillFirst = FIRST.contains(lastOf(element.getId()));
      if (!stillFirst) {
        whole.addAll(waiting);
        waiting.clear();
      }
      whole.add(element);
      waiting.addAll(missingBelow(element.getId(), stated, ids));
    }
    whole.addAll(waiting);
    if (whole.size() > stated.size()) {
      profile.getDifferential().setElement(whole);
      profile.setSnapshot(null); // made before, so without them
    }
  }

  /** Values that are fixed directly below the unsliced form of the element {@code id} and not stated below it. */
  private static List<ElementDefinition> missingBelow(String id, List<ElementDefinition> stated, Set<String> ids) {
    List<ElementDefinition> found = new ArrayList<>();
    for (String general : unsliced(id)) {
      for (ElementDefinition element : stated) {
        boolean below = parentOf(element.getId()).equals(general);
        String own = id + "." + lastOf(element.getId());
        if (below && (element.hasFixed() || element.hasPattern()) && ids.add(own)) {
          ElementDefinition copy = element.copy();
          copy.setId(own);
          found.add(copy);
        }
      }
    }
    return found;
  }

  /**
   * The id without the names of outer slices, one name less each time. The last part keeps its slice:
   * {@code a:x.b:y} also stands for {@code a.b:y}, but {@code a:x} has its own say about what {@code a} says.
   */
  private static List<String> unsliced(String id) {
    List<String> found = new ArrayList<>();
    String[] parts = id.split("\\.");
    for (int i = 0; i < parts.length - 1; i++) {
      int colon = parts[i].indexOf(':');
      if (colon > 0) {
        parts[i] = parts[i].substring(0, colon);
        found.add(String.join(".", parts));
      }
    }
    return found;
  }

  private static String parentOf(String id) {
    return id.substring(0, Math.max(0, id.lastIndexOf('.')));
  }

  private static String lastOf(String id) {
    return id.substring(id.lastIndexOf('.') + 1);
  }
}
