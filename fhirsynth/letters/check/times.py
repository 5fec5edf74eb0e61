"""Dates and times of a text against the facts, and whether they stand with what happened then."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhirsynth.letters.check.known import Known
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.quantities import Quantity
from fhirsynth.letters.check.reading import Reading

_SMALL = r"(?:(?:electively|urgently|to hospital|to us|with us|into hospital|home|from hospital|here|on|at|date|by|:|[A-Z]\w+day|,)[ ]?)*"
#: What stands right before a date, with the fact and slot that it must then be.
_CUES = (
    (re.compile(rf"\b(?:admitted|date of admission|admission on|came in|came into hospital|presented|arrived)[: ]+{_SMALL}$", re.I), "admission", "date"),
    (re.compile(rf"\b(?:discharged|date of discharge|discharge on|went home|(?<!from )home on|leaving on|left on)[: ]+{_SMALL}$", re.I), "discharge", "date"),
    (re.compile(rf"\b(?:died|passed away|death occurred)[: ]+{_SMALL}$", re.I), "death", "date"),
    (re.compile(r"\b(?:born|date of birth|dob)[: ]+(?:on )?$", re.I), "patient", "born"),
)
#: What may stand between a thing and its date.
_LINK = re.compile(
    r"^(?:[ ,(:]|\b(?:on|of|dated|was|were|performed|carried|out|done|took|place|given|left|right|bilateral|side|took place)\b)+$"
)
_BABY = re.compile(r"\b(?:baby|child|twins?|infant)\b", re.I)
_CAME = re.compile(r"\b(?:admi\w+|came in|attended|presented)\b", re.I)
_DATED = frozenset({"proc", "followup"})


def check(reading: Reading, known: Known) -> Iterator[Problem]:
    """Dates and times that no fact holds, and dates that belong to something else."""
    for quantity in reading.quantities:
        if quantity.type == "date":
            yield from _date(reading, known, quantity)
        elif quantity.type == "time" and quantity.value not in known.times:
            expected = ", ".join(f"{minute // 60}:{minute % 60:02}" for minute in known.times)
            rule = "time" if known.times else "unsupported-time"
            yield Problem(rule, quantity.start, quantity.end, quantity.text, expected, next(iter(known.times.values()), ""))


def _date(reading: Reading, known: Known, quantity: Quantity) -> Iterator[Problem]:
    day, month, year = quantity.value  # type: ignore[misc]
    held = [(y, fact, slot) for y, fact, slot in known.dates.get((day, month), ()) if not year or not y or y == year]
    if not held:
        yield Problem("unsupported-date", quantity.start, quantity.end, quantity.text, _expected(reading, known, quantity), "")
        return
    start, _ = reading.sentence(quantity.start)
    before = reading.text[start : quantity.start]
    for cue, kind, slot in _CUES:
        fact = known.stay.first(kind)
        if fact is None or slot not in fact.values or not cue.search(before):
            continue
        if slot == "born" and _BABY.search(before):
            continue
        if not any(slot_held in (slot, "day") and id_held == fact.id for _, id_held, slot_held in held):
            if not any(known.by_id[id_held].values[s].text == fact.values[slot].text for _, id_held, s in held):
                yield Problem("date", quantity.start, quantity.end, quantity.text, fact.values[slot].text, fact.id)
                return
    yield from _linked(reading, known, quantity, held)


def _expected(reading: Reading, known: Known, quantity: Quantity) -> str:
    start, _ = reading.sentence(quantity.start)
    before = reading.text[start : quantity.start]
    for cue, kind, slot in _CUES:
        fact = known.stay.first(kind)
        if fact is not None and slot in fact.values and cue.search(before):
            return fact.values[slot].text
    return ""


def _linked(
    reading: Reading, known: Known, quantity: Quantity, held: list[tuple[int, str, str]]
) -> Iterator[Problem]:
    start, end = reading.sentence(quantity.start)
    before = [m for m in reading.within(start, end) if m.end <= quantity.start]
    if not before or not _LINK.match(reading.text[before[-1].end : quantity.start]):
        return
    facts = [f for f in known.holds(before[-1].refs) if f.kind in _DATED and "date" in f.values and f.text]
    facts = [f for f in facts if known.main.get(f.id, frozenset()) & before[-1].refs]
    if not facts:
        return
    ours = {f.values["date"].text for f in facts}
    if _CAME.search(reading.text, start, before[-1].start):
        ours |= {fact.values["date"].text for fact in known.of("admission")}
    if not any(known.by_id[fact].values[slot].text in ours for _, fact, slot in held):
        yield Problem("date", quantity.start, quantity.end, quantity.text, ", ".join(sorted(ours)), facts[0].id)
