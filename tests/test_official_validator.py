"""The judge outside: HL7's own validator finds no error in what was made, people and organisations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhirsynth import Population
from fhirsynth.validation.hl7 import Hl7Engine

#: Organisations to judge of each type: all are made alike, and the judge is slow.
OF_EACH_TYPE = 40


def _documents() -> Iterator[dict[str, Any]]:
    """The bundle of some organisations, then those of ten people."""
    population = Population(n=10, seed=1)
    places = population.organisations()
    by_type: dict[str, int] = {}
    kept = []
    for entry in places["entry"]:
        kind = entry["resource"]["resourceType"]
        by_type[kind] = by_type.get(kind, 0) + 1
        if by_type[kind] <= OF_EACH_TYPE:
            kept.append(entry)
    yield places | {"entry": kept}
    yield from population.people()


def test_ten_people_and_the_organisations_have_no_error(hl7_engine: Hl7Engine) -> None:
    judged = list(hl7_engine.check_many(_documents()))
    assert len(judged) >= 11
    errors = [str(finding) for findings in judged for finding in findings if finding.severity == "error"]
    assert not errors, "\n".join(errors[:10])
