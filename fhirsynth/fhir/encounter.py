"""Encounter, EpisodeOfCare and Appointment: when somebody was seen, where, by whom and why."""

from __future__ import annotations

from fhirsynth.fhir import civil
from fhirsynth.fhir.context import Context, Scope
from fhirsynth.fhir.elements import Json, concept, extension, narrative
from fhirsynth.record import schema as rows

_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_ATTENDER = [concept(_PARTICIPATION, "ATND", "attender")]
_PERFORMER = [concept(_PARTICIPATION, "PPRF", "primary performer")]
_IN_HOSPITAL = frozenset({"emergency", "outpatient", "inpatient", "day-case"})
_DIAGNOSIS_ROLE = "http://terminology.hl7.org/CodeSystem/diagnosis-role"
_PRIMARY = concept(_DIAGNOSIS_ROLE, "DD", "Discharge diagnosis")
_SECONDARY = concept(_DIAGNOSIS_ROLE, "CM", "Comorbidity diagnosis")
_ROUTINE = concept(
    "http://terminology.hl7.org/CodeSystem/v2-0276", "ROUTINE", "Routine appointment - default if not valued"
)
_IN_PERSON = extension(
    "DeliveryChannel",
    "CodeableConcept",
    concept("https://fhir.hl7.org.uk/CodeSystem/UKCore-DeliveryChannel", "In-person", "In-person"),
)
_LABELS = {
    "gp": "GP consultation",
    "nurse": "Practice nurse appointment",
    "telephone": "Telephone consultation",
    "home-visit": "Home visit",
    "emergency": "Emergency department attendance",
    "outpatient": "Outpatient appointment",
    "inpatient": "Hospital stay",
    "day-case": "Day case",
    "immunisation": "Immunisation appointment",
}


def _diagnosis(condition: rows.Condition, scope: Scope) -> Json:
    found: Json = {"condition": scope.conditions[condition.id]}
    if condition.rank is not None:
        found["use"] = _PRIMARY if condition.rank == 1 else _SECONDARY
        found["rank"] = condition.rank
    return found


def _hospitalization(row: rows.Encounter, context: Context) -> Json:
    national = context.codes.national
    found: Json = {}
    if row.admission_method:
        found["extension"] = [
            extension("AdmissionMethod", "CodeableConcept", national["admission-method"][row.admission_method])
        ]
    if row.admission_source:
        found["admitSource"] = national["admission-source"][row.admission_source]
    if row.discharge_destination:
        found["dischargeDisposition"] = national["discharge-destination"][row.discharge_destination]
    return found


def _ending(row: rows.Encounter, context: Context) -> Json | None:
    """The extension that says how a stay or an emergency attendance ended."""
    if row.discharge_method is None:
        return None
    if row.kind == "emergency":
        words = context.codes.words["emergency-discharge"]
        if row.discharge_method in words:
            return extension("EmergencyCareDischargeStatus", "CodeableConcept", words[row.discharge_method])
    method = context.codes.national["discharge-method"][row.discharge_method]
    return extension("DischargeMethod", "CodeableConcept", method)


def encounter(row: rows.Encounter, scope: Scope, context: Context) -> Json:
    """UKCore-Encounter."""
    words = context.codes.words
    start = scope.times[row.start]
    label = _LABELS[row.kind] + ", " + start[:10]
    reason: Json | None = None
    if row.reason is not None and row.reason_kind is not None:
        reason = context.reasons[row.reason_kind][row.reason]
    resource: Json = {
        "resourceType": "Encounter",
        "id": row.id,
        "meta": context.meta["UKCore-Encounter"],
        "text": narrative(label),
    }
    ending = _ending(row, context)
    if ending is not None:
        resource["extension"] = [ending]
    resource["status"] = "finished" if row.end <= context.index else "in-progress"
    resource["class"] = words["encounter-class"][row.kind]["coding"][0]
    resource["type"] = [words["encounter-type"][row.kind]]
    service = words["service"].get(row.specialty)
    if service is not None:
        resource["serviceType"] = service
    resource["subject"] = scope.patient
    if row.episode_id is not None:
        resource["episodeOfCare"] = [scope.episodes[row.episode_id]]
    if row.role_id is not None:
        resource["participant"] = [
            {
                "type": _ATTENDER if row.kind in _IN_HOSPITAL else _PERFORMER,
                "individual": context.roles[row.role_id],
            }
        ]
    kept = scope.appointments.get(row.id)
    if kept is not None:
        resource["appointment"] = kept
    resource["period"] = {"start": start, "end": scope.times[row.end]} if row.end <= context.index else {"start": start}
    if reason is not None:
        resource["reasonCode"] = [reason]
    diagnoses = scope.diagnoses.get(row.id)
    if diagnoses is not None:
        resource["diagnosis"] = [_diagnosis(condition, scope) for condition in diagnoses]
    hospitalization = _hospitalization(row, context)
    if hospitalization:
        resource["hospitalization"] = hospitalization
    if row.location_id is not None:
        resource["location"] = [{"location": context.locations[row.location_id]}]
    resource["serviceProvider"] = context.organisations[row.organisation_id]
    if row.parent_id is not None:
        resource["partOf"] = scope.encounters[row.parent_id]
    return resource


def episode_of_care(row: rows.Episode, scope: Scope, context: Context) -> Json:
    """UKCore-EpisodeOfCare."""
    start = civil.date(row.start)
    over = row.end is not None and row.end <= context.index_day
    period: Json = {"start": start}
    if over and row.end is not None:
        period["end"] = civil.date(row.end)
    resource: Json = {
        "resourceType": "EpisodeOfCare",
        "id": row.id,
        "meta": context.meta["UKCore-EpisodeOfCare"],
        "text": narrative("Episode of care since " + start),
        "status": "finished" if over else "active",
        "diagnosis": [{"condition": scope.conditions[row.condition_id]}],
        "patient": scope.patient,
        "managingOrganization": context.organisations[row.organisation_id],
        "period": period,
    }
    if row.role_id is not None:
        resource["careManager"] = context.roles[row.role_id]
    return resource


def appointment(row: rows.Appointment, scope: Scope, context: Context) -> Json:
    """UKCore-Appointment."""
    start = scope.times[row.start]
    accepted = "declined" if row.status == "cancelled" else "accepted"
    participants = [
        {"actor": scope.patient, "required": "required", "status": accepted},
        {
            "type": _ATTENDER,
            "actor": context.roles[row.role_id],
            "required": "required",
            "status": "accepted",
        },
    ]
    if row.location_id is not None:
        participants.append({"actor": context.locations[row.location_id], "required": "required", "status": "accepted"})
    resource: Json = {
        "resourceType": "Appointment",
        "id": row.id,
        "meta": context.meta["UKCore-Appointment"],
        "text": narrative("Appointment, " + start[:10]),
        "extension": [_IN_PERSON],
        "status": row.status,
        "specialty": [context.practice_settings[row.specialty]],
        "appointmentType": _ROUTINE,
    }
    if row.reason_id is not None:
        resource["reasonReference"] = [scope.conditions[row.reason_id]]
    resource["start"] = start
    resource["end"] = scope.times[row.end]
    resource["created"] = scope.times[row.booked]
    resource["participant"] = participants
    return resource
