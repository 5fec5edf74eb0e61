"""AllergyIntolerance: what somebody must not be given, or that nothing is known."""

from __future__ import annotations

from fhirsynth.fhir import civil
from fhirsynth.fhir.context import Context, Scope
from fhirsynth.fhir.elements import Json, concept, escaped, narrative
from fhirsynth.record import schema as rows

_ACTIVE = concept("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active", "Active")
_CONFIRMED = concept("http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "confirmed", "Confirmed")


def allergy_intolerance(row: rows.Allergy, scope: Scope, context: Context) -> Json:
    """UKCore-AllergyIntolerance; a row without an allergy says that there is no known allergy."""
    known = context.knowledge.allergies[row.allergy] if row.allergy is not None else None
    if known is None:
        code = context.codes.words["concept"]["no-known-allergy"]
    else:
        code = context.answer(known.snomed, known.name)
    resource: Json = {
        "resourceType": "AllergyIntolerance",
        "id": row.id,
        "meta": context.meta["UKCore-AllergyIntolerance"],
        "text": narrative(escaped(code["coding"][0]["display"])),
        "clinicalStatus": _ACTIVE,
        "verificationStatus": _CONFIRMED,
    }
    if known is not None:
        resource["type"] = "allergy"
        resource["category"] = [known.category]
        if row.criticality is not None:
            resource["criticality"] = row.criticality
    resource["code"] = code
    resource["patient"] = scope.patient
    if row.onset is not None:
        resource["onsetDateTime"] = civil.date(row.onset)
    resource["recordedDate"] = scope.times[row.recorded]
    if row.role_id is not None:
        resource["recorder"] = context.roles[row.role_id]
    if row.reaction is not None:
        reaction = context.knowledge.reactions[row.reaction]
        found: Json = {"manifestation": [context.answer(reaction.snomed, reaction.name)]}
        if row.severity is not None:
            found["severity"] = row.severity
        resource["reaction"] = [found]
    return resource
