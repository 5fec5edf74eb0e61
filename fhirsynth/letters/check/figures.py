"""Figures of a text against the facts: readings and results with their units, high or low, risen or fallen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from fhirsynth.letters.check import data
from fhirsynth.letters.check.known import Known
from fhirsynth.letters.check.lexicon import Mention, Ref
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.quantities import Quantity, is_dose
from fhirsynth.letters.check.reading import Reading

#: Units that say by themselves what was read.
_OWN_UNITS: dict[str, tuple[Ref, ...]] = {
    "°C": (("vital", "temperature"),),
    "beats per minute": (("vital", "pulse"),),
    "breaths per minute": (("vital", "rr"),),
    "mmHg": (("vital", "bp"),),
    "/min": (("vital", "rr"), ("vital", "pulse")),
    "%": (("vital", "sats"), ("vital", "oxygen")),
}
_EMERGENCY_NUMBERS = frozenset({111.0, 999.0, 112.0, 119.0})
_CALL = re.compile(
    r"\b(?:NHS|call|ring|dial|999|phone|A&E|urgent|hours|emergency|helpline|option|crisis|advice)\b", re.I
)
_DIRECTIONS = ("down", "up", "better", "worse", "normal")
_AGREE = {
    "down": {"fell"}, "up": {"rose"}, "better": {"improved"}, "worse": {"worsened"}, "normal": {"normalised"},
}  # fmt: skip
_LEVELS = {"high": "low", "low": "high"}
_FROM_TO = re.compile(r"\bfrom ([^;.]{1,40}?) to (?=[\d-])")


def check(reading: Reading, known: Known) -> Iterator[Problem]:
    """Figures that no fact holds, and tests told as high, low, risen or fallen against the facts."""
    for quantity in reading.quantities:
        if any(m.start <= quantity.start < m.end for m in reading.mentions):
            continue
        if quantity.type in ("measure", "pressure") and not is_dose(quantity):
            yield from _measure(reading, known, quantity)
        elif quantity.type == "number":
            yield from _number(reading, known, quantity)
        elif quantity.type == "length":
            yield from _length(reading, known, quantity)
    tests = [mention for mention in reading.mentions if mention.of("test") or mention.of("vital")]
    for mention in tests:
        yield from _level(reading, known, mention, tests)
    yield from _directions(reading, known, tests)
    yield from _order(reading, known, tests)


def _measured(reading: Reading, start: int, end: int) -> list[Mention]:
    return [m for m in reading.within(start, end) if m.of("test") or m.of("vital")]


def _measure(reading: Reading, known: Known, quantity: Quantity) -> Iterator[Problem]:
    number, unit = quantity.value
    near = _measured(reading, *reading.sentence(quantity.start))
    refs = [ref for mention in near for ref in mention.refs if ref in known.readings]
    own = _OWN_UNITS.get(unit, ())
    candidates = {*refs, *own} if own else set(refs)
    readings = {pair for ref in candidates for pair in known.readings.get(ref, ())}
    if not candidates:
        readings = {pair for pairs in known.readings.values() for pair in pairs}
    if unit == "/min":
        readings = {(value, unit) for value, _ in readings}
    if (number, unit) in readings or (own and quantity.value in known.loose):
        return
    fact = next((f.id for f in known.holds(refs)), "")
    expected = ", ".join(
        f"{value:g} {sign}" if isinstance(value, float) else f"{value} {sign}"
        for value, sign in sorted(readings, key=str)
    )
    rule = "value" if candidates else "unsupported-number"
    if any(number == value and unit != sign for value, sign in readings):
        rule = "unit"
    yield Problem(rule, quantity.start, quantity.end, quantity.text, expected, fact)


def _number(reading: Reading, known: Known, quantity: Quantity) -> Iterator[Problem]:
    number = quantity.value
    if number in _EMERGENCY_NUMBERS and _CALL.search(reading.text, *reading.sentence(quantity.start)):
        return
    line = reading.text.rfind("\n", 0, quantity.start) + 1
    if not reading.text[line : quantity.start].strip() and reading.text[quantity.end : quantity.end + 1] in (".", ")"):
        return  # the number of a list's line
    start, end = reading.sentence(quantity.start)
    before = [m for m in _measured(reading, start, end) if m.end <= quantity.start]
    refs = [ref for ref in (before[-1].refs if before else ()) if ref in known.readings]
    if refs:
        clause = reading.text[before[-1].end : quantity.start]
        readings = {value for ref in refs for value, _ in known.readings[ref]}
        if number in readings:
            return
        if not any(mark in clause for mark in ";.") and number not in {float(age) for age, _ in known.ages}:
            expected = ", ".join(str(value) for value in sorted(readings, key=str))
            fact = next((f.id for f in known.holds(refs)), "")
            yield Problem("value", quantity.start, quantity.end, quantity.text, expected, fact)
            return
    if number not in known.numbers:
        yield Problem("unsupported-number", quantity.start, quantity.end, quantity.text, "", "")


def _length(reading: Reading, known: Known, quantity: Quantity) -> Iterator[Problem]:
    count, unit = quantity.value
    if quantity.value in known.lengths or unit in ("minute", "hour") or reading.supposed(quantity.start):
        return
    if (int(count), unit) in known.ages:
        return
    digits = quantity.text[0].isdigit()
    nights = known.stay.first("discharge")
    told = nights.values["nights"].text if nights is not None and "nights" in nights.values else ""
    if unit == "night":
        yield Problem("duration", quantity.start, quantity.end, quantity.text, told, nights.id if nights else "")
    elif digits:
        start, end = reading.sentence(quantity.start)
        refs = [ref for m in reading.within(start, end) for ref in m.of("medicine")]
        facts = known.medicines(refs)
        rule = "duration" if facts else "unsupported-duration"
        expected = facts[0].values["days"].text if facts and "days" in facts[0].values else ""
        yield Problem(rule, quantity.start, quantity.end, quantity.text, expected, facts[0].id if facts else "")


def _level(reading: Reading, known: Known, mention: Mention, tests: list[Mention]) -> Iterator[Problem]:
    refs = mention.of("test")
    held = frozenset(level for ref in refs for level in known.level(ref))
    if len(held) != 1 or reading.supposed(mention.start):
        return
    start, end = reading.sentence(mention.start)
    following = min([m.start for m in tests if m.start > mention.start] + [end])
    said = [*reading.said(start, mention.start)[-1:], *reading.said(mention.end, following)[:8]]
    for place, word in enumerate(said):
        for level, other in _LEVELS.items():
            if word.form in data.word_set("level", level) and level not in held:
                if word.form in ("above", "below", "increased", "reduced", "decreased") and place:
                    continue
                if {w.form for w in said} & {
                    "not",
                    "upper",
                    "lower",
                    "than",
                    "limit",
                    "was",
                    "from",
                    "fell",
                    "rose",
                } - {"was"}:
                    continue
                yield Problem("level", word.start, word.end, word.text, other, next(f.id for f in known.holds(refs)))
                return


def _directions(reading: Reading, known: Known, tests: list[Mention]) -> Iterator[Problem]:
    single = {form: name for name in _DIRECTIONS for form in data.word_set("direction", name)}
    for place, word in enumerate(reading.words):
        name = single.get(word.form) or _phrase(reading, place)
        if name is None or reading.supposed(word.start):
            continue
        if any(m.first <= place < m.behind for m in reading.mentions) or (
            word.text[0].isupper() and word.text in known.words
        ):
            continue
        clause = reading.clause(word.start)[0]
        around = {w.form for w in reading.words[max(0, place - 5) : place] if w.start >= clause}
        if around & data.word_set("direction", "unless"):
            continue
        mention = _moved(reading, word.start, tests)
        if mention is None:
            continue
        went = frozenset(way for ref in mention.refs for way in known.direction(ref))
        vital = bool(mention.of("vital"))
        if not went or went & _AGREE[name] or (vital and name not in ("down", "up")):
            continue
        if vital and "same" in went:
            continue
        if name == "normal" and "improved" not in went and "worsened" not in went:
            continue
        fact = next((f.id for ref in mention.refs for f in known.holds([ref]) if f.kind in ("trend", "obs")), "")
        if name == "better" and not went & {"worsened"}:
            continue
        yield Problem("trend", word.start, word.end, word.text, ", ".join(sorted(went)), fact)


def _phrase(reading: Reading, place: int) -> str | None:
    for phrase, name in _phrases().get(reading.words[place].form, ()):
        if tuple(word.form for word in reading.words[place : place + len(phrase)]) == phrase:
            return name
    return None


@cache
def _phrases() -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """Phrases of direction with what they tell, by their first word."""
    found: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for name in _DIRECTIONS:
        for phrase in sorted(data.phrases("direction", f"{name}_phrases")):
            found.setdefault(phrase[0], []).append((phrase, name))
    return found


def _moved(reading: Reading, at: int, tests: list[Mention]) -> Mention | None:
    """The test that a word of direction is about: the only one of its clause, else the nearest before it."""
    start, end = reading.clause(at)
    own = [m for m in tests if start <= m.start < end]
    if len(own) == 1:
        return own[0]
    before = [m for m in own if m.end <= at]
    if before:
        return before[-1]
    if own:
        return own[0]
    start, end = reading.sentence(at)
    own = [m for m in tests if start <= m.start < end]
    return own[0] if len({m.refs for m in own}) == 1 else None


def _order(reading: Reading, known: Known, tests: list[Mention]) -> Iterator[Problem]:
    """Figures told the wrong way round: from the last to the first."""
    for match in _FROM_TO.finditer(reading.text):
        pair = [q for q in reading.quantities if q.type in ("measure", "number") and q.start >= match.start(1)][:2]
        if len(pair) < 2 or pair[0].start > match.end(1) or pair[1].start != match.end():
            continue
        start, end = reading.sentence(match.start())
        for fact in known.of("trend"):
            refs = known.main[fact.id]
            if not any(m.refs & refs for m in tests if start <= m.start < end):
                continue
            first, last = fact.values["first"].text, fact.values["last"].text
            if first != last and (pair[0].text, pair[1].text) == (last, first):
                yield Problem("trend", pair[0].start, pair[1].end, f"{last} to {first}", f"{first} to {last}", fact.id)
