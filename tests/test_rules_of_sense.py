"""Lives make sense: a whole population breaks no rule, and each rule finds the nonsense that it is for."""

from __future__ import annotations

import ast
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made
import pytest

from fhirsynth.knowledge import load
from fhirsynth.knowledge.schema import Condition
from fhirsynth.validation import rules_of_sense
from fhirsynth.validation.rules_of_sense import RULES, check_life

Json = dict[str, Any]
SNOMED = "http://snomed.info/sct"


def broken(resources: list[Json]) -> set[str]:
    return {finding.rule for finding in check_life(resources, made.known())}


def test_a_population_breaks_no_rule() -> None:
    findings = [found for bundle in made.people() for found in check_life(made.resources(bundle), made.known())]
    assert not findings, "\n".join(map(str, findings[:20]))


def test_somebody_whose_date_of_birth_nobody_knows_is_judged_too() -> None:
    for bundle in made.people():
        patient, *others = made.resources(bundle)
        unknown = {name: value for name, value in patient.items() if name != "birthDate"}
        assert unknown != patient
        assert broken([unknown, *others]) == set()


def test_rules_share_no_formula_with_the_makers() -> None:
    tree = ast.parse(Path(rules_of_sense.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(name and name.startswith(("fhirsynth.timeline", "fhirsynth.population")) for name in imported)


def _code(condition: Condition) -> Json:
    return {"coding": [{"system": SNOMED, "code": condition.snomed, "display": condition.name}]}


def _only(sex: str | None = None, **limits: Any) -> Condition:
    """A condition with this limit whose code no other condition has."""
    for condition in load().conditions.values():
        if len(made.known().conditions[condition.snomed]) > 1:
            continue
        if sex is not None and condition.sex == sex:
            return condition
        if "older" in limits and condition.min_age >= limits["older"] and condition.kind == "long-term":
            return condition
    raise LookupError


def before_birth() -> list[Json]:
    person = made.person("vaccinated")
    made.of(person, "Immunization")[0]["occurrenceDateTime"] = "1890-01-01T10:00:00+00:00"
    return person


def after_death() -> list[Json]:
    person = made.person("dead")
    made.of(person, "Encounter")[0]["period"] = {
        "start": "2031-01-01T10:00:00+00:00",
        "end": "2031-01-01T10:10:00+00:00",
    }
    return person


def ends_before_it_begins() -> list[Json]:
    person = made.person("with a stay")
    period = made.of(person, "Encounter")[0]["period"]
    period["start"], period["end"] = period["end"], period["start"]
    return person


def two_places() -> list[Json]:
    person = made.person("with a stay")
    stay = next(item for item in made.of(person, "Encounter") if item["class"]["code"] == "IMP")
    other = next(e for e in made.of(person, "Encounter") if e["class"]["code"] == "AMB" and "partOf" not in e)
    inside = dt.datetime.fromisoformat(stay["period"]["start"]) + dt.timedelta(minutes=5)
    other["period"] = {"start": inside.isoformat(), "end": (inside + dt.timedelta(minutes=10)).isoformat()}
    return person


def other_sex_condition() -> list[Json]:
    person = made.person("female")
    made.of(person, "Condition")[0]["code"] = _code(_only("male"))
    return person


def other_sex_procedure() -> list[Json]:
    person = made.person("male")
    code = next(code for code, sex in made.known().procedure_sex.items() if sex == "female")
    made.of(person, "Procedure")[0]["code"] = {"coding": [{"system": SNOMED, "code": code}]}
    return person


def other_sex_clinic() -> list[Json]:
    person = made.person("male")
    code = next(code for code, sex in made.known().specialty_sex.items() if sex == "female")
    made.of(person, "Appointment")[0]["specialty"] = [{"coding": [{"code": code}]}]
    return person


def too_young() -> list[Json]:
    person = made.person("female")
    condition = made.of(person, "Condition")[0]
    condition["code"] = _code(_only(older=15))
    condition["onsetDateTime"] = person[0]["birthDate"]
    return person


def allergic() -> list[Json]:
    person = made.person("on medicine")
    request = made.of(person, "MedicationRequest")[0]
    codes = [c["code"] for c in request["medicationCodeableConcept"]["coding"]]
    classes = set(next(made.known().medicines[code] for code in codes).classes)
    for allergy in load().allergies.values():
        medicine = next((m for m in load().medicines.values() if set(allergy.blocks) & set(m.classes)), None)
        if medicine and not classes & set(allergy.blocks):
            break
    assert medicine is not None
    request["medicationCodeableConcept"] = {"coding": [{"code": medicine.vmp}]}
    person.append(
        {
            "resourceType": "AllergyIntolerance",
            "id": "new",
            "code": {"coding": [{"system": SNOMED, "code": allergy.snomed}]},
            "recordedDate": person[0]["birthDate"],
        }
    )
    return person


def no_reason() -> list[Json]:
    person = made.person("on medicine")
    del made.of(person, "MedicationRequest")[0]["reasonReference"]
    return person


def wrong_bmi() -> list[Json]:
    person = made.person("measured")
    made.readings(person, "bmi")[0]["valueQuantity"]["value"] += 1
    return person


def two_heights() -> list[Json]:
    person = made.person("measured")
    made.readings(person, "height")[-1]["valueQuantity"]["value"] += 3
    return person


def pressure_upside_down() -> list[Json]:
    person = made.person("with a stay")
    reading = next(item for item in made.of(person, "Observation") if len(item.get("component", ())) == 2)
    first, second = reading["component"]
    first["valueQuantity"], second["valueQuantity"] = second["valueQuantity"], first["valueQuantity"]
    return person


def wrong_egfr() -> list[Json]:
    person = made.person("with kidney tests")
    made.readings(person, "egfr")[0]["valueQuantity"]["value"] += 5
    return person


def twice() -> list[Json]:
    person = made.person("with kidney tests")
    person.append(made.readings(person, "egfr")[0] | {"id": "again"})
    return person


def never_measured() -> list[Json]:
    person = made.person("diabetic")
    kept = {id(item) for item in made.readings(person, "hba1c")}
    return [item for item in person if id(item) not in kept]


@pytest.mark.parametrize(
    ("nonsense", "rule"),
    [
        (before_birth, "nothing-before-birth"),
        (after_death, "nothing-after-death"),
        (ends_before_it_begins, "ends-after-it-begins"),
        (two_places, "one-place-at-a-time"),
        (other_sex_condition, "sex-fits"),
        (other_sex_procedure, "sex-fits"),
        (other_sex_clinic, "sex-fits"),
        (too_young, "age-fits"),
        (allergic, "no-drug-against-allergy"),
        (no_reason, "prescription-has-reason"),
        (wrong_bmi, "bmi-is-weight-over-height-squared"),
        (two_heights, "one-height"),
        (pressure_upside_down, "systolic-above-diastolic"),
        (wrong_egfr, "egfr-agrees-with-creatinine"),
        (twice, "no-reading-twice"),
        (never_measured, "diagnosis-was-measured"),
    ],
)
def test_each_rule_finds_its_nonsense(nonsense: Callable[[], list[Json]], rule: str) -> None:
    assert rule in broken(nonsense())


def test_every_rule_is_tried() -> None:
    names = {rule.__name__.replace("_", "-") for rule in RULES}
    marks = test_each_rule_finds_its_nonsense.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {rule for _, rule in marks} == names


def test_an_element_of_another_form_is_a_finding_and_not_a_crash() -> None:
    person = made.person("on medicine")
    made.of(person, "MedicationRequest")[0]["reasonReference"] = "because"
    made.of(person, "Condition")[0]["onsetDateTime"] = "yesterday"
    assert {"prescription-has-reason", "age-fits"} <= broken(person)
