"""A small app: it reads FHIR bundles and says who with type 2 diabetes is due for a blood test."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

SNOMED = "http://snomed.info/sct"
DIABETES = "44054006"
HBA1C = "999791000000106"
NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
#: How long a test is good for.
INTERVAL = dt.timedelta(days=365)

Json = dict[str, Any]


class Due(NamedTuple):
    """Somebody to be invited: the last test was on `last` (None: never) with this result in mmol/mol."""

    nhs_number: str
    name: str
    last: dt.date | None
    result: float | None


class Register:
    """The patients of a practice."""

    def __init__(self, bundles: Iterable[Json] = ()) -> None:
        self._bundles = list(bundles)

    @classmethod
    def of_folder(cls, folder: Path) -> Register:
        """The patients whose bundles lie in `people/` of a folder."""
        return cls(json.loads(file.read_bytes()) for file in sorted((folder / "people").glob("*.json")))

    def __len__(self) -> int:
        return len(self._bundles)

    def due(self, today: dt.date) -> list[Due]:
        """Who is to be invited today, those who waited longest first."""
        found = [person for bundle in self._bundles for person in _due(bundle, today)]
        return sorted(found, key=lambda person: person.last or dt.date.min)


def _due(bundle: Json, today: dt.date) -> Iterator[Due]:
    patient = next(_of_type(bundle, "Patient"))
    has_it = any(_has_code(resource, DIABETES) for resource in _of_type(bundle, "Condition"))
    if not has_it or "deceasedDateTime" in patient:
        return
    tests = sorted(
        (resource["effectiveDateTime"][:10], resource["valueQuantity"]["value"])
        for resource in _of_type(bundle, "Observation")
        if _has_code(resource, HBA1C)
    )
    last = dt.date.fromisoformat(tests[-1][0]) if tests else None
    if last is None or today - last > INTERVAL:
        number = next(known["value"] for known in patient["identifier"] if known["system"] == NHS_NUMBER)
        yield Due(number, patient["name"][0]["text"], last, tests[-1][1] if tests else None)


def _of_type(bundle: Json, kind: str) -> Iterator[Json]:
    return (entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind)


def _has_code(resource: Json, code: str) -> bool:
    return any(found["system"] == SNOMED and found["code"] == code for found in resource["code"]["coding"])
