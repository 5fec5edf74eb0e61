"""Procedure: operations, examinations and reviews, in SNOMED CT and where it has a code OPCS-4."""

from __future__ import annotations

from fhirsynth.fhir.context import Context, Scope
from fhirsynth.fhir.elements import Json, escaped, narrative
from fhirsynth.record import schema as rows


def procedure(row: rows.Procedure, scope: Scope, context: Context) -> Json:
    """UKCore-Procedure."""
    code = context.procedures[row.procedure]
    start = scope.times[row.start]
    resource: Json = {
        "resourceType": "Procedure",
        "id": row.id,
        "meta": context.meta["UKCore-Procedure"],
        "text": narrative(f"{escaped(code['text'])}, {start[:10]}"),
        "status": "completed",
        "code": code,
        "subject": scope.patient,
        "encounter": scope.encounters[row.encounter_id],
        "performedPeriod": {"start": start, "end": scope.times[row.end]},
    }
    if row.role_id is not None:
        resource["performer"] = [{"actor": context.roles[row.role_id]}]
    if row.location_id is not None:
        resource["location"] = context.locations[row.location_id]
    if row.reason_id is not None:
        resource["reasonReference"] = [scope.conditions[row.reason_id]]
    if row.side is not None:
        resource["bodySite"] = [context.codes.words["side"][row.side]]
    return resource
