"""Condition, FamilyMemberHistory, Flag and the problem list: what somebody has, and what to know of them."""

from __future__ import annotations

from fhirsynth.fhir import civil
from fhirsynth.fhir.context import Context, Scope
from fhirsynth.fhir.elements import Json, coding, concept, escaped, narrative
from fhirsynth.record import schema as rows
from fhirsynth.systems import ICD10, SNOMED, UCUM

_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_ACTIVE = concept(_CLINICAL, "active", "Active")
_RESOLVED = concept(_CLINICAL, "resolved", "Resolved")
_CONFIRMED = concept("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed", "Confirmed")
_CATEGORY_SYSTEM = "http://terminology.hl7.org/CodeSystem/condition-category"
_CATEGORIES = {
    "problem": [concept(_CATEGORY_SYSTEM, "problem-list-item", "Problem List Item")],
    "encounter": [concept(_CATEGORY_SYSTEM, "encounter-diagnosis", "Encounter Diagnosis")],
}
_RELATED = "http://hl7.org/fhir/StructureDefinition/condition-related"
_SEX = {sex: concept("http://hl7.org/fhir/administrative-gender", sex, sex.capitalize()) for sex in ("female", "male")}
_RELATIVE_SEX = {"mother": "female", "sister": "female", "father": "male", "brother": "male"}
_NIL_KNOWN = concept("http://terminology.hl7.org/CodeSystem/list-empty-reason", "nilknown", "Nil Known")


def _code(row: rows.Condition, context: Context) -> Json:
    """SNOMED CT, and ICD-10 as hospitals code; the side in the words."""
    key = (row.snomed, row.icd10, row.name, row.category, row.side)
    found = context.condition_codes.get(key)
    if found is None:
        codings = [coding(SNOMED, row.snomed, row.name)]
        if row.category == "encounter":
            codings.append(coding(ICD10, row.icd10))
        text = f"{row.name} ({row.side})" if row.side else row.name
        found = context.condition_codes[key] = {"coding": codings, "text": text}
    return found


def is_current(row: rows.Condition, context: Context) -> bool:
    """Whether somebody still has it at the index date."""
    return row.resolved is None or row.resolved > context.index_day


def condition(row: rows.Condition, scope: Scope, context: Context) -> Json:
    """UKCore-Condition."""
    current = is_current(row, context)
    code = _code(row, context)
    onset = civil.date(row.onset)
    words = context.codes.words
    resource: Json = {
        "resourceType": "Condition",
        "id": row.id,
        "meta": context.meta["UKCore-Condition"],
        "text": narrative(escaped(code["text"]) + ", since " + onset),
    }
    if row.problem_id is not None:
        resource["extension"] = [{"url": _RELATED, "valueReference": scope.conditions[row.problem_id]}]
    resource["clinicalStatus"] = _ACTIVE if current else _RESOLVED
    resource["verificationStatus"] = _CONFIRMED
    resource["category"] = _CATEGORIES[row.category]
    if row.severity is not None:
        resource["severity"] = words["severity"][row.severity]
    resource["code"] = code
    if row.side is not None:
        resource["bodySite"] = [words["side"][row.side]]
    resource["subject"] = scope.patient
    if row.encounter_id is not None:
        resource["encounter"] = scope.encounters[row.encounter_id]
    resource["onsetDateTime"] = onset
    if not current and row.resolved is not None:
        resource["abatementDateTime"] = civil.date(row.resolved)
    resource["recordedDate"] = scope.times[row.recorded]
    if row.role_id is not None:
        resource["recorder"] = context.roles[row.role_id]
    return resource


def family_member_history(row: rows.FamilyHistory, scope: Scope, context: Context) -> Json:
    """UKCore-FamilyMemberHistory: one relative, one condition."""
    code = context.conditions[row.condition]
    found: Json = {"code": code}
    if row.onset_age is not None:
        found["onsetAge"] = {"value": row.onset_age, "unit": "years", "system": UCUM, "code": "a"}
    return {
        "resourceType": "FamilyMemberHistory",
        "id": row.id,
        "meta": context.meta["UKCore-FamilyMemberHistory"],
        "text": narrative(f"{row.relationship.capitalize()}: {escaped(code['coding'][0]['display'])}"),
        "status": "completed",
        "patient": scope.patient,
        "date": scope.times[row.recorded],
        "relationship": context.codes.words["relationship"][row.relationship],
        "sex": _SEX[_RELATIVE_SEX[row.relationship]],
        "deceasedBoolean": row.died,
        "condition": [found],
    }


def flag(row: rows.Flag, scope: Scope, context: Context) -> Json:
    """UKCore-Flag."""
    known = context.knowledge.flags[row.key]
    over = row.end is not None and row.end <= context.index_day
    period: Json = {"start": civil.date(row.start)}
    if row.end is not None:
        period["end"] = civil.date(row.end)
    resource: Json = {
        "resourceType": "Flag",
        "id": row.id,
        "meta": context.meta["UKCore-Flag"],
        "text": narrative(escaped(known.name)),
        "status": "inactive" if over else "active",
        "code": context.answer(known.snomed, known.name),
        "subject": scope.patient,
        "period": period,
    }
    if row.role_id is not None:
        resource["author"] = context.roles[row.role_id]
    return resource


def problem_list(conditions: list[rows.Condition], scope: Scope, context: Context) -> Json:
    """UKCore-List: the problems that somebody has at the index date. Its id is that of the person."""
    current = [row for row in conditions if row.category == "problem" and is_current(row, context)]
    resource: Json = {
        "resourceType": "List",
        "id": scope.person.id,
        "meta": context.meta["UKCore-List"],
        "text": narrative(escaped("; ".join(row.name for row in current)) or "No current problems"),
        "status": "current",
        "mode": "snapshot",
        "title": "Problem list",
        "code": context.codes.words["concept"]["problem-list"],
        "subject": scope.patient,
        "date": context.index_time,
    }
    if current:
        resource["entry"] = [{"item": scope.conditions[row.id]} for row in current]
    else:
        resource["emptyReason"] = _NIL_KNOWN
    return resource
