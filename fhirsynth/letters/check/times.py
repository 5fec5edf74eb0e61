"""Dates and times of a text against the facts, and whether they stand with what happened then."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

from fhirsynth.letters.check.known import Known
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.quantities import Quantity
from fhirsynth.letters.check.reading import Reading

_SMALL = (
    r"(?:(?:electively|urgently|to hospital|to us|with us|into hospital|home|from hospital|here|on|at|date|by|:"
    r"|[A-Z]\w+day|,)[ ]?)*$"
)
_ADMITTED = r"\b(?:admitted|adm|date of admission|admission on|came in|came into hospital|presented|arrived)[: ]+"
_DISCHARGED = (
    r"\b(?:discharged|date of discharge|discharge on|(?:went|goes|gone|returned|back|straight) home|leaving on"
    r"|(?:he|she) left on)[: ]+"
)
#: What stands right before a date, with the fact and slot that it must then be; each holds one of the stems before it.
_CUES = (
    (("adm", "came in", "presented", "arrived"), re.compile(_ADMITTED + _SMALL, re.I), "admission", "date"),
    (("discharge", "home", "left on", "leaving on"), re.compile(_DISCHARGED + _SMALL, re.I), "discharge", "date"),
    (
        ("died", "passed away", "death"),
        re.compile(rf"\b(?:died|passed away|death occurred)[: ]+{_SMALL}", re.I),
        "death",
        "date",
    ),
    (("born", "birth", "dob"), re.compile(r"\b(?:born|date of birth|dob)[: ]+(?:on )?$", re.I), "patient", "born"),
)
#: What may stand between a thing and its date.
_LINK = re.compile(
    r"^(?:[ ,(:]|\b(?:on|of|dated|was|were|performed|carried|out|done|took|place|given|left|right|bilateral|side)\b)+$"
)
_BABY = re.compile(r"\b(?:baby|child|twins?|infant)\b", re.I)
_CAME = re.compile(r"\b(?:adm\w*|came in|attended|presented)\b", re.I)
_DATED = frozenset({"proc", "followup"})


def check(reading: Reading, known: Known) -> Iterator[Problem]:
    """Dates and times that no fact holds, and dates that belong to something else."""
    for quantity in reading.quantities:
        if quantity.type == "date":
            yield from _date(reading, known, quantity)
        elif quantity.type == "time" and quantity.value not in known.times:
            expected = ", ".join(f"{minute // 60}:{minute % 60:02}" for minute in known.times)
            rule = "time" if known.times else "unsupported-time"
            yield Problem(
                rule, quantity.start, quantity.end, quantity.text, expected, next(iter(known.times.values()), "")
            )


def _date(reading: Reading, known: Known, quantity: Quantity) -> Iterator[Problem]:
    day, month, year = quantity.value
    held = [(y, fact, slot) for y, fact, slot in known.dates.get((day, month), ()) if not year or not y or y == year]
    if not held:
        yield Problem(
            "unsupported-date", quantity.start, quantity.end, quantity.text, _expected(reading, known, quantity), ""
        )
        return
    yield from _weekday(quantity, [y for y, _, _ in held if y])
    start, _ = reading.sentence(quantity.start)
    before = reading.text[start : quantity.start]
    for kind, slot in _asked_for(before):
        fact = known.first(kind)
        if fact is None or slot not in fact.values:
            continue
        if slot == "born" and _BABY.search(before):
            continue
        if not any(fact_held == fact.id and slot_held in (slot, "day") for _, fact_held, slot_held in held):
            yield Problem("date", quantity.start, quantity.end, quantity.text, fact.values[slot].text, fact.id)
            return
    yield from _linked(reading, known, quantity, held)


def _weekday(quantity: Quantity, years: list[int]) -> Iterator[Problem]:
    """A weekday that the date does not fall on in any year that it may be of."""
    day, month, year = quantity.value
    said = quantity.text.split()[0]
    if not said.endswith("day") or not (year or years):
        return
    fallen = [f"{dt.date(y, month, day):%A}" for y in ([year] if year else years)]
    if said not in fallen:
        yield Problem("date", quantity.start, quantity.end, quantity.text, fallen[0], "")


def _expected(reading: Reading, known: Known, quantity: Quantity) -> str:
    start, _ = reading.sentence(quantity.start)
    for kind, slot in _asked_for(reading.text[start : quantity.start]):
        fact = known.first(kind)
        if fact is not None and slot in fact.values:
            return fact.values[slot].text
    return ""


def _asked_for(before: str) -> Iterator[tuple[str, str]]:
    """Facts by kind and slot whose date must stand behind these words."""
    lower = before.lower()
    for stems, cue, kind, slot in _CUES:
        if any(stem in lower for stem in stems) and cue.search(before):
            yield kind, slot


def _linked(reading: Reading, known: Known, quantity: Quantity, held: list[tuple[int, str, str]]) -> Iterator[Problem]:
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
