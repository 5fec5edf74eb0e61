"""ServiceRequest, Specimen and DiagnosticReport: what was asked for, taken and reported; referrals too."""

from __future__ import annotations

from fhirsynth.fhir.context import Context, Scope
from fhirsynth.fhir.elements import Json, concept, escaped, narrative
from fhirsynth.record import schema as rows

_LABORATORY_REPORT = [concept("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB", "Laboratory")]
_GROUP_PROFILE = "UKCore-Observation-Group-Lab"


def _test(key: str, context: Context) -> Json:
    """The CodeableConcept of a panel, or of a test that is asked for by itself."""
    panel = context.knowledge.panels.get(key)
    if panel is not None:
        return context.answer(panel.snomed, panel.name)
    return context.forms[key].code


def request(row: rows.Request, done: bool, scope: Scope, context: Context) -> Json:
    """UKCore-ServiceRequest-Lab for a laboratory request, UKCore-ServiceRequest for a referral.

    `done`: whether what was asked for has happened.
    """
    words = context.codes.words
    if row.kind == "laboratory":
        profile, category = "UKCore-ServiceRequest-Lab", words["concept"]["laboratory-request"]
        code = _test(row.what, context)
    else:
        profile, category = "UKCore-ServiceRequest", words["concept"]["referral-request"]
        code = words["referral"][row.what]
    resource: Json = {
        "resourceType": "ServiceRequest",
        "id": row.id,
        "meta": context.meta[profile],
        "text": narrative("Request: " + escaped(code["coding"][0]["display"])),
        "status": "completed" if done else "active",
        "intent": "order",
        "category": [category],
        "priority": row.priority,
        "code": code,
        "subject": scope.patient,
        "encounter": scope.encounters[row.encounter_id],
        "authoredOn": scope.times[row.authored],
        "requester": context.roles[row.role_id],
        "performer": [context.organisations[row.performer_id]],
    }
    if row.reason_id is not None:
        resource["reasonReference"] = [scope.conditions[row.reason_id]]
    return resource


def specimen(row: rows.Specimen, scope: Scope, context: Context) -> Json:
    """UKCore-Specimen."""
    kind = context.knowledge.specimens[row.specimen]
    return {
        "resourceType": "Specimen",
        "id": row.id,
        "meta": context.meta["UKCore-Specimen"],
        "text": narrative(escaped(kind.name)),
        "accessionIdentifier": {"system": context.id_system + "accession", "value": row.accession},
        "status": "available",
        "type": context.answer(kind.snomed, kind.name),
        "subject": scope.patient,
        "receivedTime": scope.times[row.received],
        "request": [scope.requests[row.request_id]],
        "collection": {"collectedDateTime": scope.times[row.collected]},
    }


def note_report(row: rows.Report, scope: Scope, context: Context) -> None:
    """Put into `scope` what each observation of the report says of it, before those are built."""
    performer = [context.organisations[row.organisation_id]]
    scope.reports[row.id] = {
        "basedOn": [scope.requests[row.request_id]],
        "issued": scope.times[row.issued],
        "performer": performer,
        "specimen": scope.specimens[row.specimen_id],
    }
    scope.results[row.id] = []


def report(row: rows.Report, scope: Scope, context: Context) -> list[Json]:
    """UKCore-DiagnosticReport-Lab, preceded by the UKCore-Observation-Group-Lab of a panel.

    To be called after the observations of the report are built. The group has the id of the report.
    """
    shared = scope.reports[row.id]
    results = scope.results[row.id]
    panel = context.knowledge.panels.get(row.panel)
    test = _test(row.panel, context)
    name = escaped(test["coding"][0]["display"])
    encounter = scope.encounters[row.encounter_id]
    collected = scope.times[row.collected]
    made: list[Json] = []
    if panel is not None and results:
        made.append(
            {
                "resourceType": "Observation",
                "id": row.id,
                "meta": context.meta[_GROUP_PROFILE],
                "text": narrative(name),
                "basedOn": shared["basedOn"],
                "status": "final",
                "category": [context.codes.words["observation-group"]["laboratory"]],
                "code": test,
                "subject": scope.patient,
                "encounter": encounter,
                "effectiveDateTime": collected,
                "issued": shared["issued"],
                "performer": shared["performer"],
                "specimen": shared["specimen"],
                "hasMember": results,
            }
        )
        results = [{"reference": "Observation/" + row.id}, *results]
    kind = context.codes.words["concept"]["diagnostic-report"]["coding"]
    resource: Json = {
        "resourceType": "DiagnosticReport",
        "id": row.id,
        "meta": context.meta["UKCore-DiagnosticReport-Lab"],
        "text": narrative("Laboratory report: " + name),
        "basedOn": shared["basedOn"],
        "status": "final",
        "category": _LABORATORY_REPORT,
        "code": {"coding": kind, "text": test["coding"][0]["display"]},
        "subject": scope.patient,
        "encounter": encounter,
        "effectiveDateTime": collected,
        "issued": shared["issued"],
        "performer": shared["performer"],
        "specimen": [shared["specimen"]],
    }
    if row.role_id is not None:
        resource["resultsInterpreter"] = [context.roles[row.role_id]]
    if results:
        resource["result"] = results
    made.append(resource)
    return made
