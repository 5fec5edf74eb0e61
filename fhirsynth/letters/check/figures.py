"""Figures of a text against the facts: whose they are, their value and unit, and tests told as risen or fallen."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cache

from fhirsynth.letters.check import data
from fhirsynth.letters.check.known import BEDSIDE, TESTS, Known
from fhirsynth.letters.check.lexicon import Mention, Ref
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.quantities import Quantity
from fhirsynth.letters.check.reading import EMERGENCY, Reading
from fhirsynth.letters.check.ties import Tie, Ties

#: Units that say by themselves what was read.
_OWN_UNITS: dict[str, tuple[Ref, ...]] = {
    "°C": (("vital", "temperature"),),
    "beats per minute": (("vital", "pulse"),),
    "breaths per minute": (("vital", "rr"),),
    "mmHg": (("vital", "bp"),),
    "/min": (("vital", "rr"), ("vital", "pulse")),
    "%": (("vital", "sats"), ("vital", "oxygen")),
}
#: What a name ends with where something is somebody's.
_NAME = re.compile(r"['’]s?\Z")
#: Between two figures of one thing.
_PAIRED = re.compile(rf"[,;]? {data.either('paired', 'words')} ", re.I)
#: A percentage says what it is of only with these behind it, or these in its sentence.
_OF_AIR = re.compile(
    r"[ ]?\)?,?[ ]?(?:(?:while|when|whilst|breathing)[ ])*(?:(?:on|in|of)[ ])?"
    rf"(?:{data.either('breathing', 'air')}\b|\d)"
)
_BREATHING = re.compile(rf"\b{data.either('breathing', 'words')}\b", re.I)
#: Before the age of a person, where it stands as a number alone.
_AGED = re.compile(
    rf"(?:^|[.\n][ ]?|\b(?:{data.either('age', 'before')}:?|{data.either('age', 'titles')}\.? [\w'’ -]+),?[ ]\(?)$",
    re.I,
)
_NAMED = re.compile(r"([\w'’-]+), \Z")
#: Behind an age that stands between commas: no verb, whose subject the age would have to be.
_ASIDE = re.compile(rf"(?:[.;]|,[ ](?!{data.either('age', 'verbs')}\b))")
_IS = re.compile(r"\b(?:is|was|be|being)[ ]$")
_DIRECTIONS = ("down", "up", "better", "worse", "normal")
_AGREE = {
    "down": {"fell"}, "up": {"rose"}, "better": {"improved"}, "worse": {"worsened"}, "normal": {"normalised"},
}  # fmt: skip
_FROM_TO = re.compile(r"\bfrom ([^;.]{1,40}?) to (?=[\d-])")


def check(reading: Reading, known: Known) -> Iterator[Problem]:
    """Figures that no fact holds or that stand with another's name, and tests told as risen or fallen against facts."""
    ties = Ties(reading)
    for quantity in reading.measured:
        if quantity.type == "number":
            yield from _number(reading, known, ties, quantity)
        else:
            yield from _measure(reading, known, ties, quantity)
    for quantity in reading.quantities:
        if quantity.type == "length" and reading.term_at(quantity.start) is None:
            yield from _length(reading, known, quantity)
    yield from _directions(reading, known, ties)
    yield from _order(reading, known, ties)


def _measure(reading: Reading, known: Known, ties: Ties, quantity: Quantity) -> Iterator[Problem]:
    own = _OWN_UNITS.get(quantity.value[1], ())
    if own:
        yield from _with_own_unit(reading, known, ties, quantity, own)
        return
    tie = ties.of(quantity)
    if tie is None:
        yield Problem("unsupported-number", quantity.start, quantity.end, quantity.text, "", "")
    elif not _borne_out(known, tie, quantity):
        yield _wrong(known, tie.mentions, quantity)


def _with_own_unit(
    reading: Reading, known: Known, ties: Ties, quantity: Quantity, own: tuple[Ref, ...]
) -> Iterator[Problem]:
    """A figure whose unit says what it is of: it must not stand with another's name, and a percentage needs a name."""
    refs = _refs(ties.next_to(quantity)) or _shown(reading, quantity) or _earlier(reading, ties, quantity)
    if refs and not refs & set(own):
        yield _problem(known, refs, _readings(known, refs), quantity)
        return
    unit = quantity.value[1]
    if unit == "%" and _beside(reading, known, quantity, quantity.value[0]):
        return  # part of a name: "0.1% cream"
    if unit == "%" and not _names_breathing(reading, ties, quantity):
        yield Problem("unsupported-number", quantity.start, quantity.end, quantity.text, "", "")
        return
    readings = _readings(known, own)
    if unit == "/min":
        readings = {(value, unit) for value, _ in readings}
    if quantity.value not in readings and quantity.value not in known.loose:
        yield _problem(known, own, readings, quantity)


def _shown(reading: Reading, quantity: Quantity) -> set[Ref]:
    """What a word such as "febrile" says that the figure right behind it is of."""
    place = reading.place(quantity.start) - 1
    if place > 0 and reading.words[place].form == "at":
        place -= 1
    word = reading.words[place] if place >= 0 else None
    if word is None or reading.text[word.end : quantity.start] not in (" (", " at ", " "):
        return set()
    vital = data.shown().get(word.form)
    return {("vital", vital)} if vital else set()


def _earlier(reading: Reading, ties: Ties, quantity: Quantity) -> set[Ref]:
    """What the figure before it is of, where the two are told as one thing read twice ("7, then 2")."""
    number = bisect_left(reading.quantities, quantity.start, key=lambda other: other.start)
    if not number:
        return set()
    before = reading.quantities[number - 1]
    if not _PAIRED.fullmatch(reading.text, before.end, quantity.start):
        return set()
    unit = before.value[1] if isinstance(before.value, tuple) and before.type in ("measure", "pressure") else ""
    return set(_OWN_UNITS.get(unit, ())) or _refs(ties.next_to(before))


def _names_breathing(reading: Reading, ties: Ties, quantity: Quantity) -> bool:
    start, end = reading.sentence(quantity.start)
    if _OF_AIR.match(reading.text, quantity.end, end) or _BREATHING.search(reading.text, start, end):
        return True
    return any(m.refs & {("vital", "sats"), ("vital", "oxygen")} for m in ties.within(start, end))


def _number(reading: Reading, known: Known, ties: Ties, quantity: Quantity) -> Iterator[Problem]:
    number = quantity.value
    line = reading.text.rfind("\n", 0, quantity.start) + 1
    if not reading.text[line : quantity.start].strip() and reading.text[quantity.end : quantity.end + 1] in (".", ")"):
        return  # the number of a list's line
    tie = ties.of(quantity)
    if tie is not None and _borne_out(known, tie, quantity):
        return
    if tie is None or not tie.sure or not _readings(known, _refs(tie.mentions)):
        if number in EMERGENCY and (tie is None or not tie.sure):
            return
        if not _elsewhere(reading, known, quantity):
            yield Problem("unsupported-number", quantity.start, quantity.end, quantity.text, "", "")
        return
    yield _wrong(known, tie.mentions, quantity)


def _elsewhere(reading: Reading, known: Known, quantity: Quantity) -> bool:
    """Whether a bare number is somebody's age, or part of a name ("Ward 7")."""
    if _beside(reading, known, quantity, quantity.value):
        return True
    if not any(float(age) == quantity.value for age, _ in known.ages):
        return False
    before = reading.text[max(0, quantity.start - 40) : quantity.start]
    if _AGED.search(before):
        told = _IS.search(before)
        return told is None or reading.term_at(quantity.start - len(told.group()) - 1) is None
    said = _NAMED.search(before)
    if said and any(said[1] in person.names for person in known.people):
        return True
    return before.endswith(", ") and _ASIDE.match(reading.text, quantity.end) is not None


def _beside(reading: Reading, known: Known, quantity: Quantity, number: float) -> bool:
    """Whether a number stands beside a word that it stands with in a fact."""
    place = reading.place(quantity.start)
    around = {word.form for word in reading.words[max(0, place - 1) : place + 2]}
    return not around.isdisjoint(known.beside.get(number, ()))


def _borne_out(known: Known, tie: Tie, quantity: Quantity) -> bool:
    """Whether what a figure belongs to has that reading: one of them, or all where it is said of all."""
    value = quantity.value if isinstance(quantity.value, tuple) else (quantity.value, "")
    plain = quantity.type == "number"
    found = (
        any((plain or unit == value[1]) and number == value[0] for number, unit in _readings(known, mention.refs))
        for mention in tie.mentions
    )
    return all(found) if tie.every else any(found)


def _refs(mentions: Iterable[Mention]) -> set[Ref]:
    return {ref for mention in mentions for ref in mention.refs}


def _readings(known: Known, refs: Iterable[Ref]) -> set[tuple[object, str]]:
    return {pair for ref in refs if ref in known.readings for pair in known.readings[ref]}


def _wrong(known: Known, mentions: Iterable[Mention], quantity: Quantity) -> Problem:
    refs = _refs(mentions)
    return _problem(known, refs, _readings(known, refs), quantity)


def _problem(known: Known, refs: Iterable[Ref], readings: set[tuple[object, str]], quantity: Quantity) -> Problem:
    expected = ", ".join(
        f"{value:g} {unit}".strip() if isinstance(value, float) else f"{value} {unit}".strip()
        for value, unit in sorted(readings, key=str)
    )
    value = quantity.value if isinstance(quantity.value, tuple) else (quantity.value, "")
    rule = "unit" if any(value[0] == number and value[1] != unit for number, unit in readings) else "value"
    fact = next((fact.id for fact in known.holds(sorted(refs)) if fact.kind in BEDSIDE | TESTS), "")
    return Problem(rule, quantity.start, quantity.end, quantity.text, expected, fact)


def _length(reading: Reading, known: Known, quantity: Quantity) -> Iterator[Problem]:
    count, unit = quantity.value
    if quantity.value in known.lengths or unit in ("minute", "hour") or reading.supposed(quantity.start):
        return
    if (int(count), unit) in known.ages:
        return
    digits = quantity.text[0].isdigit()
    nights = known.first("discharge")
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


def _directions(reading: Reading, known: Known, ties: Ties) -> Iterator[Problem]:
    single, phrases = data.by_word("direction", _DIRECTIONS), _phrases()
    if reading.forms.isdisjoint(single) and reading.forms.isdisjoint(phrases):
        return
    for place, word in enumerate(reading.words):
        if word.form not in single and word.form not in phrases:
            continue
        name = single.get(word.form) or _phrase(reading, place)
        if name == "up" and place and reading.words[place - 1].form in data.word_set("direction", "sums"):
            continue  # "adding up to a NEWS of 3"
        following = reading.words[place + 1 : place + 2]
        if following and following[0].form in data.word_set("direction", "short"):
            continue
        if name is None or reading.supposed(word.start):
            continue
        if any(m.first <= place < m.behind for m in reading.mentions) or (
            word.text[0].isupper() and _NAME.sub("", word.text) in known.words
        ):
            continue  # "Mrs Rose's CRP"
        clause = reading.clause(word.start)[0]
        around = {w.form for w in reading.words[max(0, place - 5) : place] if w.start >= clause}
        if around & data.word_set("direction", "unless"):
            continue
        mention = _moved(reading, word.start, ties.named)
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


def _order(reading: Reading, known: Known, ties: Ties) -> Iterator[Problem]:
    """Figures told the wrong way round: from the last to the first."""
    if "from" not in reading.forms:
        return
    for match in _FROM_TO.finditer(reading.text):
        pair = [q for q in reading.quantities if q.type in ("measure", "number") and q.start >= match.start(1)][:2]
        if len(pair) < 2 or pair[0].start > match.end(1) or pair[1].start != match.end():
            continue
        start, end = reading.sentence(match.start())
        for fact in known.of("trend"):
            refs = known.main[fact.id]
            if not any(m.refs & refs for m in ties.within(start, end)):
                continue
            first, last = fact.values["first"].text, fact.values["last"].text
            if first != last and (pair[0].text, pair[1].text) == (last, first):
                yield Problem("trend", pair[0].start, pair[1].end, f"{last} to {first}", f"{first} to {last}", fact.id)
