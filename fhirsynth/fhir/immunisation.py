"""Immunization: vaccines given, and those declined."""

from __future__ import annotations

from fhirsynth.fhir import civil
from fhirsynth.fhir.context import Context, Scope
from fhirsynth.fhir.elements import Json, concept, escaped, extension, narrative
from fhirsynth.record import schema as rows
from fhirsynth.systems import SNOMED


def immunization(row: rows.Immunisation, scope: Scope, context: Context) -> Json:
    """UKCore-Immunization, status `completed` or (declined) `not-done`."""
    vaccine = context.knowledge.vaccines[row.vaccine]
    time = scope.times[row.time]
    given = "" if row.given else ", declined"
    resource: Json = {
        "resourceType": "Immunization",
        "id": row.id,
        "meta": context.meta["UKCore-Immunization"],
        "text": narrative(f"{escaped(vaccine.name)}, dose {row.dose_number}{given}, {time[:10]}"),
        "extension": [
            extension(
                "VaccinationProcedure",
                "CodeableConcept",
                context.answer(vaccine.procedure, vaccine.procedure_name),
            )
        ],
        "status": "completed" if row.given else "not-done",
    }
    if not row.given:
        resource["statusReason"] = context.codes.words["concept"]["vaccine-declined"]
    resource["vaccineCode"] = concept(context.medication_system, vaccine.snomed, vaccine.name)
    resource["patient"] = scope.patient
    if row.encounter_id is not None:
        resource["encounter"] = scope.encounters[row.encounter_id]
    resource["occurrenceDateTime"] = time
    resource["primarySource"] = True
    if row.given:
        resource["lotNumber"] = row.lot
        resource["expirationDate"] = civil.date(row.expiry)
        resource["site"] = concept(SNOMED, vaccine.site_code, vaccine.site)
        resource["route"] = concept(SNOMED, vaccine.route_code, vaccine.route)
    performers = []
    if row.role_id is not None:
        performers.append({"actor": context.roles[row.role_id]})
    performers.append({"actor": context.organisations[row.organisation_id]})
    resource["performer"] = performers
    resource["protocolApplied"] = [
        {
            "targetDisease": [concept(SNOMED, code, name) for name, code in vaccine.diseases.items()],
            "doseNumberPositiveInt": row.dose_number,
        }
    ]
    return resource
