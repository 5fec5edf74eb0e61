"""The recall: who is invited, who is not, and in which order."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from recall import DIABETES, HBA1C, Register

from fhirsynth.pytest_plugin import Fhirsynth, People, Person

TODAY = dt.date(2026, 1, 1)  # the day on which synthetic records are told
LATER = dt.date(2028, 1, 1)

diabetes = pytest.mark.fhirsynth(condition="type-2-diabetes", age=(60, 80))


def without_tests(person: Person) -> Person:
    """The same person, never tested. A test may change its people: they are its own."""
    tests = person.resources("Observation", code=HBA1C)
    person.bundle["entry"] = [entry for entry in person.bundle["entry"] if entry["resource"] not in tests]
    return person


@diabetes
def test_whoever_was_not_tested_for_a_year_is_due(fhirsynth_person: Person) -> None:
    [due] = Register([fhirsynth_person.bundle]).due(LATER)
    assert due.nhs_number == fhirsynth_person.nhs_number
    assert due.name == fhirsynth_person.name


@diabetes
def test_whoever_was_never_tested_is_due_at_once(fhirsynth_person: Person) -> None:
    [due] = Register([without_tests(fhirsynth_person).bundle]).due(TODAY)
    assert (due.last, due.result) == (None, None)


@diabetes
def test_the_dead_are_left_in_peace(fhirsynth_person: Person) -> None:
    fhirsynth_person.patient["deceasedDateTime"] = "2025-12-01T09:30:00+00:00"
    assert Register([fhirsynth_person.bundle]).due(LATER) == []


@pytest.mark.fhirsynth(n=3, age=(0, 11))
def test_children_without_diabetes_are_not_invited(fhirsynth_population: People) -> None:
    assert not fhirsynth_population.resources("Condition", code=DIABETES)
    assert Register(person.bundle for person in fhirsynth_population).due(LATER) == []


@diabetes
@pytest.mark.parametrize("fhirsynth_person", [{"sex": "female"}, {"sex": "male"}], indirect=True)
def test_women_and_men_are_invited_alike(fhirsynth_person: Person) -> None:
    assert len(Register([fhirsynth_person.bundle]).due(LATER)) == 1


def test_whoever_waited_longest_comes_first(fhirsynth: Fhirsynth) -> None:
    tested = fhirsynth.person(condition="type-2-diabetes", age=(60, 80))
    never_tested = without_tests(fhirsynth.person(condition="type-2-diabetes", age=(60, 80), seed=2))
    due = Register([tested.bundle, never_tested.bundle]).due(LATER)
    assert [found.nhs_number for found in due] == [never_tested.nhs_number, tested.nhs_number]


def test_the_practice_invites_only_those_with_diabetes(practice: Register) -> None:
    assert len(practice) == 5
    assert len(practice.due(LATER)) == 3


@diabetes
@pytest.mark.fhirsynth(n=3)
def test_patients_can_come_from_files(fhirsynth_population: People, tmp_path: Path) -> None:
    fhirsynth_population.write(tmp_path)
    register = Register.of_folder(tmp_path)
    assert [due.nhs_number for due in register.due(LATER)] == [
        due.nhs_number for due in Register(person.bundle for person in fhirsynth_population).due(LATER)
    ]
