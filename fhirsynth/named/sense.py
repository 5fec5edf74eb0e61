"""What no general practitioner would write: whoever has it in their record does not become a named person.

`sense.toml` holds the rules, with the sources of what is medicine in them. They judge the rows of one person and
change nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import pairwise, product
from typing import TYPE_CHECKING

from fhirsynth.days import DAY, age_on, date_of
from fhirsynth.fhir import civil
from fhirsynth.knowledge.schema import Form, Key

if TYPE_CHECKING:
    from fhirsynth.named.signs import Life
    from fhirsynth.record.schema import Encounter, Medication

Wanted = tuple[str, ...]
_PREGNANCY = 280 * DAY  # from the first day of the last period


class Together(Form):
    """Medicines that are not taken at the same time: one of each list of `of`, by class or by key."""

    of: tuple[Wanted, ...]
    why: str
    source: str


class Begun(Form):
    """Medicines that are not begun at a contact of these `kinds` (any, where none is said) from this age on (years)."""

    classes: Wanted
    kinds: tuple[str, ...] = ()
    from_age: int = 0
    why: str
    source: str


class After(Form):
    """A contact for this reason comes within `days` after one of these `kinds`."""

    reason: Key
    kinds: tuple[str, ...]
    days: int
    why: str


class Vaccines(Form):
    """Days that lie `apart` at least between two doses of one vaccine."""

    apart: int
    source: str


class Rules(Form):
    """All of `sense.toml`."""

    together: tuple[Together, ...]
    begun: tuple[Begun, ...]
    after: tuple[After, ...]
    vaccines: Vaccines


@cache
def rules() -> Rules:
    """`sense.toml`, read once a process."""
    text = files("fhirsynth.named").joinpath("sense.toml").read_text(encoding="utf-8")
    return Rules.model_validate(tomllib.loads(text))


def faults(life: Life) -> Iterator[str]:
    """What in a record no general practitioner would write, each in a few words; nothing where all is well."""
    for together in rules().together:
        taken = [[row for row in life.rows["medication"] if _is(life, row, slot)] for slot in together.of]
        for rows in product(*taken):
            if len({row.medicine for row in rows}) == len(rows) and _overlap(rows):
                yield f"{' with '.join(row.medicine for row in rows)}: {together.why}"
    yield from _begun(life)
    yield from _contacts(life)
    yield from _booked(life)
    for partner in life.rows["contact"]:
        if partner.relationship == "partner" and partner.surname == life.person.surname:
            yield "a partner of the same surname who is not married to them"


def _begun(life: Life) -> Iterator[str]:
    kinds = {row.id: row.kind for row in life.rows["encounter"]}
    for row in life.rows["medication"]:
        kind, year = kinds.get(row.encounter_id), date_of(row.start).year
        if year < (life.knowledge.medicines[row.medicine].since or year):
            yield f"{row.medicine} in {year}: not authorised yet"
        for begun in rules().begun:
            if kind is None or not _is(life, row, begun.classes) or (begun.kinds and kind not in begun.kinds):
                continue
            if age_on(life.person.birth, row.start) >= begun.from_age:
                yield f"{row.medicine}: {begun.why}"


def _contacts(life: Life) -> Iterator[str]:
    for contact in life.rows["encounter"]:
        for after in rules().after:
            earlier = (row for row in life.rows["encounter"] if row.kind in after.kinds and row.end <= contact.start)
            first = civil.local_day(contact.start) - after.days
            if contact.reason == after.reason and all(civil.local_day(row.end) < first for row in earlier):
                yield f"{contact.reason}: {after.why}"
    given: dict[str, list[int]] = {}
    for dose in life.rows["immunisation"]:
        if dose.given:
            given.setdefault(dose.vaccine, []).append(civil.local_day(dose.time))
    for vaccine, days in given.items():
        if any(later - earlier < rules().vaccines.apart for earlier, later in pairwise(sorted(days))):
            yield f"two doses of {vaccine} too soon after each other"


def _booked(life: Life) -> Iterator[str]:
    recorded = {row.id: row.recorded for row in life.rows["condition"]}
    births = [row.start for row in life.rows["encounter"] if _is_birth(life, row)]
    for row in life.rows["appointment"]:
        if row.reason_id is not None and civil.local_day(row.booked) < civil.local_day(recorded[row.reason_id]):
            yield f"{row.specialty}: booked before there was a reason"
        if row.specialty == "midwifery" and any(row.booked < birth - _PREGNANCY < row.start for birth in births):
            yield "midwifery: booked before the pregnancy"


def _is_birth(life: Life, stay: Encounter) -> bool:
    condition = life.knowledge.conditions.get(stay.reason or "") if stay.kind == "inpatient" else None
    return condition is not None and condition.stay is not None and condition.stay.admission == "maternity"


def _is(life: Life, row: Medication, wanted: Wanted) -> bool:
    return row.medicine in wanted or any(name in wanted for name in life.knowledge.medicines[row.medicine].classes)


def _overlap(rows: tuple[Medication, ...]) -> bool:
    ends = [row.end for row in rows if row.end is not None]
    return not ends or max(row.start for row in rows) <= min(ends)
