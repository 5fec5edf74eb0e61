"""Observation: readings at the bedside, habits, scores and laboratory results.

How an observable is written is worked out once (`Form`); a row then only adds its value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fhirsynth.fhir.codes import read_toml
from fhirsynth.fhir.context import Context, Scope
from fhirsynth.fhir.elements import Json, coding, concept, escaped, narrative, number
from fhirsynth.systems import LOINC, SNOMED, UCUM

if TYPE_CHECKING:
    from fhirsynth.knowledge.schema import Observable, Range
    from fhirsynth.record import schema as rows

_LABORATORY = "UKCore-Observation-Lab"
#: Profiles that allow a missing value, by category.
_BARE = {"vital-sign": "UKCore-Observation-VitalSigns", "laboratory": _LABORATORY}
_NOT_KNOWN = concept("http://terminology.hl7.org/CodeSystem/data-absent-reason", "unknown", "Unknown")


class Form(NamedTuple):
    """How one observable is written.

    `bare`: the `meta` where there is no value, which most of the profiles ask for. `quantity`: unit, system
    and code that go beside a value. `components`: code of each number of a reading that has two. `above` and
    `threshold`: the other code, for values above it. `parts`: codes of the parts of a score. `ranges`:
    reference range by sex.
    """

    meta: Json
    bare: Json
    label: str
    unit: str
    category: list[Json]
    code: Json
    quantity: Json
    decimals: int
    components: list[Json]
    above: Json | None
    threshold: float
    parts: dict[str, Json]
    ranges: dict[str, list[Json]]


def _reference_range(limits: Range | None, quantity: Json) -> list[Json]:
    if limits is None:
        return []
    found: Json = {}
    if limits.low is not None:
        found["low"] = {"value": limits.low, **quantity}
    if limits.high is not None:
        found["high"] = {"value": limits.high, **quantity}
    return [found] if found else []


def _without_leading_annotation(ucum: str | None) -> str | None:
    """`/wk` for `{unit}/wk`, `1` for `{score}`: UCUM gives the words in braces no meaning."""
    if ucum is None or not ucum.startswith("{"):
        return ucum
    return ucum.partition("}")[2] or "1"


def _profile_of(observable: Observable, profiles: dict[str, Json]) -> str:
    """The UK Core profile: that of its LOINC or SNOMED CT code, else the one of its group."""
    if observable.group == "laboratory":
        return _LABORATORY
    for name, rule in profiles.items():
        if observable.loinc is not None and rule.get("loinc") == observable.loinc:
            return name
        if observable.snomed in rule.get("snomed", ()):
            return name
    return "UKCore-Observation"


def _form(observable: Observable, profiles: dict[str, Json], context: Context) -> Form:
    profile = _profile_of(observable, profiles)
    rule = profiles.get(profile, {})
    # A vital sign outside the vital-signs profiles may not claim their category.
    unprofiled = "examination" if observable.group == "vital-sign" else observable.group
    group: str = rule.get("category", unprofiled)
    codings = [coding(SNOMED, observable.snomed, observable.name)]
    if "loinc" in rule:
        codings.append(coding(LOINC, rule["loinc"], rule["display"]))
    elif observable.loinc is not None and observable.group == "laboratory":
        codings.append(coding(LOINC, observable.loinc))
    unit = rule.get("unit", observable.unit)
    ucum = rule.get("ucum") or _without_leading_annotation(observable.ucum)
    quantity: Json = {}
    if unit:
        quantity["unit"] = unit
    if ucum:
        quantity |= {"system": UCUM, "code": ucum}
    code: Json = {"coding": codings, "text": observable.name}
    above = None
    if observable.air is not None:
        code = concept(SNOMED, observable.air.snomed, observable.air.name)
        above = concept(SNOMED, observable.snomed, observable.name)
    return Form(
        meta=context.meta[profile],
        bare=context.meta[_BARE.get(group, "UKCore-Observation")],
        label=escaped(observable.name),
        unit=escaped(observable.unit or unit or ""),
        category=[context.codes.words["observation-group"][group]],
        code=code,
        quantity=quantity,
        decimals=observable.decimals,
        components=[
            {
                "coding": [
                    coding(SNOMED, part["snomed"], part["snomed_display"]),
                    coding(LOINC, part["loinc"], part["text"]),
                ],
                "text": part["text"],
            }
            for part in rule.get("component", ())
        ],
        above=above,
        threshold=rule.get("room_air", 0),
        parts={key: concept(SNOMED, *names) for key, names in rule.get("part", {}).items()},
        ranges={
            "female": _reference_range(observable.range_female or observable.range, quantity),
            "male": _reference_range(observable.range_male or observable.range, quantity),
        },
    )


def forms(context: Context) -> dict[str, Form]:
    """The form of every observable, by key."""
    profiles: dict[str, Json] = read_toml("observations.toml")["profile"]
    return {key: _form(item, profiles, context) for key, item in context.knowledge.observables.items()}


def _parts(method: str, form: Form) -> list[Json]:
    """The parts of a score as components, from `name=points;name=points`."""
    found = []
    for part in method.split(";"):
        name, _, points = part.partition("=")
        found.append({"code": form.parts[name], "valueQuantity": {"value": int(points), **form.quantity}})
    return found


def observation(row: rows.Observation, scope: Scope, context: Context) -> Json:
    """The Observation of a row, under the UK Core profile of its observable."""
    form = context.forms[row.observable]
    label = form.label
    resource: Json = {"resourceType": "Observation", "id": row.id, "meta": form.meta, "text": None}
    report = scope.reports.get(row.report_id) if row.report_id is not None else None
    if report is not None:
        resource["basedOn"] = report["basedOn"]
    resource["status"] = "final"
    resource["category"] = form.category
    resource["code"] = form.code
    resource["subject"] = scope.patient
    if row.encounter_id is not None:
        resource["encounter"] = scope.encounters[row.encounter_id]
    resource["effectiveDateTime"] = scope.times[row.time]
    if report is not None:
        resource["issued"] = report["issued"]
        resource["performer"] = report["performer"]
        scope.results[row.report_id].append({"reference": "Observation/" + row.id})  # type: ignore[index]
    else:
        resource["performer"] = [context.roles[row.role_id]] if row.role_id is not None else [scope.practice]
    if row.code is not None:
        resource["valueCodeableConcept"] = context.answer(row.code, row.text)
        said = f"{label}: {escaped(row.text or row.code)}"
    elif row.value is None:
        resource["meta"] = form.bare
        resource["dataAbsentReason"] = _NOT_KNOWN
        said = label
    elif form.components:
        values = [number(value, form.decimals) for value in (row.value, row.value2) if value is not None]
        resource["component"] = [
            {"code": code, "valueQuantity": {"value": value, **form.quantity}}
            for code, value in zip(form.components, values, strict=False)
        ]
        said = f"{label}: {'/'.join(map(str, values))} {form.unit}"
    else:
        value = number(row.value, form.decimals)
        if form.above is not None and value > form.threshold:
            resource["code"] = form.above
        resource["valueQuantity"] = {"value": value, **form.quantity}
        said = f"{label}: {value} {form.unit}"
        if row.method is not None and form.parts:
            resource["component"] = _parts(row.method, form)
    if report is not None:
        if row.flag is not None:
            resource["interpretation"] = [context.codes.words["interpretation"][row.flag]]
        resource["specimen"] = report["specimen"]
        ranges = form.ranges[scope.person.sex]
        if ranges:
            resource["referenceRange"] = ranges
    resource["text"] = narrative(said)
    return resource
