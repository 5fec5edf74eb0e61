"""Every entry of the knowledge files can be written as FHIR, and HL7's validator accepts it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import records
from records import ANNE, GP, INDEX, PRACTICE, SITE, TRUST, day, instant, made
from test_fhir_validity import KNOWN_WARNINGS, VALIDATOR

from fhirsynth.fhir import Context, person_bundle, person_resources, to_bytes
from fhirsynth.fhir.codes import load_codes
from fhirsynth.knowledge import Knowledge, load
from fhirsynth.record import Rows
from fhirsynth.record import schema as rec

TIME = instant("2025-07-01T08:30")


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load()


@pytest.fixture(scope="module")
def rows(knowledge: Knowledge) -> Rows:
    """One row for every entry, all of one person."""
    visit = made("visit")
    panels = [(key, panel.specimen, panel.members) for key, panel in knowledge.panels.items()]
    alone = [(k, o.specimen or "", [k]) for k, o in knowledge.observables.items() if o.group == "laboratory"]
    tests = panels + [(k, s or next(iter(knowledge.specimens)), m) for k, s, m in alone]
    made_rows: Rows = {name: [] for name in ("observation", "report", "specimen", "request", "condition", "medication")}
    made_rows["encounter"] = [
        rec.Encounter(
            visit,
            ANNE,
            "gp",
            TIME,
            TIME + 600,
            None,
            None,
            PRACTICE,
            SITE,
            GP,
            "general-practice",
            None,
            None,
            None,
            None,
            None,
            None,
        )
    ]
    for key, observable in knowledge.observables.items():
        if observable.group == "laboratory":
            continue
        answer = next(iter(observable.answers.values()), None)
        made_rows["observation"].append(
            rec.Observation(
                made(key),
                ANNE,
                visit,
                key,
                TIME,
                None if answer else 40.0,
                30.0,
                answer.snomed if answer else None,
                answer.name if answer else None,
                None,
                None,
                GP,
                None,
                None,
            )
        )
    for key, specimen, members in tests:
        sample, request, report = made("specimen" + key), made("request" + key), made("report" + key)
        made_rows["specimen"].append(rec.Specimen(sample, ANNE, specimen, TIME, TIME, request, "1"))
        made_rows["request"].append(
            rec.Request(request, ANNE, visit, "laboratory", key, TIME, GP, None, "routine", TRUST)
        )
        made_rows["report"].append(
            rec.Report(report, ANNE, visit, key, sample, request, TIME, TIME + 9000, TRUST, None)
        )
        for member in members:
            made_rows["observation"].append(
                rec.Observation(
                    made(key + member),
                    ANNE,
                    visit,
                    member,
                    TIME,
                    40.0,
                    None,
                    None,
                    None,
                    "H",
                    report,
                    None,
                    None,
                    None,
                )
            )
    for key in knowledge.specialties:
        if key != "general-practice":
            made_rows["request"].append(
                rec.Request(made("to" + key), ANNE, visit, "referral", key, TIME, GP, None, "urgent", TRUST)
            )
    for key, condition in knowledge.conditions.items():
        made_rows["condition"].append(
            rec.Condition(
                made(key),
                ANNE,
                None,
                key,
                condition.name,
                condition.snomed,
                condition.icd10,
                day("2025-01-01"),
                TIME,
                None,
                "encounter",
                None,
                "left" if condition.laterality else None,
                None,
                None,
                GP,
            )
        )
    reason = made_rows["condition"][0].id
    for key in knowledge.medicines:
        for child in (False, True):
            made_rows["medication"].append(
                rec.Medication(
                    made(f"{key}{child}"),
                    ANNE,
                    visit,
                    key,
                    day("2025-01-01"),
                    None,
                    TIME,
                    not child,
                    3,
                    child,
                    None,
                    reason,
                    None,
                    GP,
                    "community",
                )
            )
    made_rows["procedure"] = [
        rec.Procedure(made("p" + key), ANNE, visit, key, TIME, TIME + 60, GP, SITE, None, None)
        for key in knowledge.procedures
    ]
    made_rows["immunisation"] = [
        rec.Immunisation(made("v" + key), ANNE, visit, key, TIME, 1, "A1", day("2026-01-01"), PRACTICE, GP, True)
        for key in knowledge.vaccines
    ]
    made_rows["allergy"] = [
        rec.Allergy(made("a" + key), ANNE, key, TIME, None, reaction, "mild", "low", GP)
        for key, allergy in knowledge.allergies.items()
        for reaction in allergy.reactions[:1]
    ]
    made_rows["flag"] = [rec.Flag(made("f" + key), ANNE, key, day("2025-01-01"), None, GP) for key in knowledge.flags]
    return made_rows


def test_every_entry_is_written(knowledge: Knowledge, rows: Rows) -> None:
    person = records.record().people[0]
    resources = person_resources(person, rows, Context(knowledge, index=INDEX))
    counts: dict[str, int] = {}
    for resource in resources:
        counts[resource["resourceType"]] = counts.get(resource["resourceType"], 0) + 1
    assert counts["Condition"] == len(knowledge.conditions)
    assert counts["MedicationRequest"] == 2 * len(knowledge.medicines)
    assert counts["MedicationStatement"] == len(knowledge.medicines)


def test_the_code_tables_know_every_word_of_the_knowledge(knowledge: Knowledge) -> None:
    codes = load_codes()
    assert set(knowledge.specialties) == set(codes.words["service"])
    assert set(knowledge.specialties) - {"general-practice"} == set(codes.words["referral"])
    for specialty in knowledge.specialties.values():
        code = codes.main_specialty.get(specialty.code, specialty.code)
        assert code in codes.national["practice-setting"], specialty.key
    for medicine in knowledge.medicines.values():
        for dose in (medicine.dose, medicine.child_dose):
            assert dose is None or dose.unit in codes.units, medicine.key


def test_readings_go_under_the_profile_that_the_knowledge_names(knowledge: Knowledge) -> None:
    context = Context(knowledge, index=INDEX)
    for key, observable in knowledge.observables.items():
        if observable.profile is not None:
            assert context.forms[key].meta["profile"][0].endswith("/" + observable.profile)


@pytest.mark.skipif(not VALIDATOR.exists(), reason="the HL7 validator is not beside this project")
@pytest.mark.skipif(shutil.which("java") is None, reason="the HL7 validator needs Java")
def test_official_validator_accepts_every_entry(knowledge: Knowledge, rows: Rows, tmp_path: Path) -> None:
    person = records.record().people[0]
    bundle = person_bundle(person, rows, Context(knowledge, index=INDEX))
    path = tmp_path / "everything.json"
    path.write_bytes(to_bytes(bundle))
    done = subprocess.run(
        [VALIDATOR, "--threads", "2", "--min", "warning", path], capture_output=True, text=True, check=False
    )
    found: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert found, done.stderr
    assert [f for f in found if "severity" in f and f["id"] not in KNOWN_WARNINGS] == []
