"""Populations that several tests look at, made once."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from fhirsynth import Population
from fhirsynth.knowledge import load
from fhirsynth.validation import Known


@cache
def people(n: int = 250, seed: int = 3) -> tuple[dict[str, Any], ...]:
    """Bundles of a population. To be read only: `person` gives copies."""
    return tuple(Population(n=n, seed=seed).people())


@cache
def known() -> Known:
    """The package's own knowledge, by code."""
    return Known(load())


def resources(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    """The resources of a bundle."""
    return [entry["resource"] for entry in bundle["entry"]]


def person(wanted: str) -> list[dict[str, Any]]:
    """Resources, to be changed at will, of the first person for whom the condition `wanted` of this module holds."""
    for bundle in people():
        found = resources(bundle)
        if _HOLDS[wanted](found):
            return copy.deepcopy(found)
    raise LookupError(f"nobody of the population is {wanted}")


def of(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Resources of one type."""
    return [item for item in found if item["resourceType"] == kind]


def readings(found: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Readings of an observable, by its key."""
    code = load().observables[key].snomed
    return [item for item in of(found, "Observation") if any(c.get("code") == code for c in item["code"]["coding"])]


def _stays(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in of(found, "Encounter") if item["class"]["code"] == "IMP"]


_HOLDS = {
    "dead": lambda found: "deceasedDateTime" in found[0] and of(found, "Encounter"),
    "female": lambda found: found[0]["gender"] == "female" and of(found, "Condition"),
    "male": lambda found: found[0]["gender"] == "male" and of(found, "Procedure") and of(found, "Appointment"),
    "measured": lambda found: (
        len(readings(found, "height")) > 1 and readings(found, "bmi") and found[0]["birthDate"] < "1990"
    ),
    "with a stay": lambda found: _stays(found) and len(of(found, "Encounter")) > 3,
    "on medicine": lambda found: len(of(found, "MedicationRequest")) > 1,
    "with kidney tests": lambda found: readings(found, "egfr") and readings(found, "creatinine"),
    "vaccinated": lambda found: of(found, "Immunization"),
    "diabetic": lambda found: any(
        c.get("code") == load().conditions["type-2-diabetes"].snomed
        for item in of(found, "Condition")
        for c in item["code"]["coding"]
    ),
}
