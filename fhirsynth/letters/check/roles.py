"""Values and names that stand where another sort of thing belongs: a date as a reading, a medicine as a diagnosis."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from fhirsynth.letters.check import data
from fhirsynth.letters.check.known import Known
from fhirsynth.letters.check.lexicon import Mention
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.quantities import Quantity, is_dose
from fhirsynth.letters.check.reading import Reading

_LONGEST, _DESCRIBED = 4, 4  # words of a cue; words behind an age in which the person stands
_PEOPLE = data.word_set("roles", "people")
_NO_AGES = frozenset({"condition", "medicine", "figure", "dose", "date", "test"})
_ARTICLES = rf"(?:{data.either('roles', 'articles')} )?"
_MOVED = rf"{data.either('readings', 'moved')}(?: {data.either('readings', 'way')})? (?:to|from)"
#: Between a test or an observation and its reading.
_READS = re.compile(
    rf"(?: {data.either('readings', 'nouns')})?(?:,? (?:which|that))?"
    rf"(?: {data.either('readings', 'be')}(?: {data.either('readings', 'still')})*"
    rf"(?: {data.either('level', 'of_tests', 'normal')})?(?: at)?"
    rf"| {_MOVED}|,? {data.either('level', 'of_tests')} at) {_ARTICLES}"
)
_OF = re.compile(r" of (?:a |an |the |only |just )?")
_AT = re.compile(rf"(?: [a-z]+){{0,5}},? (?:at|measuring) {_ARTICLES}")
#: What stands as a reading of nothing, behind each of them.
_NO_READINGS = frozenset({"date", "time", "dose", "medicine", "condition", "procedure"})
_NEVER_OF_A_TEST = _NO_READINGS | {"length"}
_BEHIND_TEST = (
    (re.compile(r" \(?"), frozenset({"medicine"})),
    (re.compile(r" "), frozenset({"condition"})),
    (_READS, _NO_READINGS),
    (_OF, _NEVER_OF_A_TEST),
    (_AT, frozenset({"medicine", "condition", "dose", "date"})),
)
#: Between a medicine or a procedure and what would be its reading.
_HAS = re.compile(rf" (?:(?:was|were|is|are) (?:{data.either('level', 'of_tests')} )?(?:at )?|{_MOVED} |of )")
_MEASURED = re.compile(r" (?:was|were|is|are|has been|have been) (?:\w+ly )?measured\b")
#: Behind what is told of as something to take, as a finding, as a medicine and as a procedure.
_TAKE = re.compile(rf",? {data.either('roles', 'taken')}\b")
_NORMAL = re.compile(rf",? {data.either('roles', 'normal')}\b")
_GIVEN = re.compile(rf" {data.either('roles', 'given')}\b(?! as\b)")
_DONE = re.compile(rf" {data.either('roles', 'done')}\b")


class _Thing(NamedTuple):
    """A term or a quantity of a text. `kind`: "" where it may be of several; `first`: place of its first word.

    `behind`: place of the word behind it, of a term.
    """

    start: int
    end: int
    kind: str
    first: int
    behind: int
    mention: Mention | None


def check(reading: Reading, known: Known) -> Iterator[Problem]:
    """What stands behind words that ask for another sort of thing, and readings of what has none."""
    things = {thing.start: thing for thing in _things(reading)}
    last = max((thing.start for thing in things.values() if thing.kind in _NEVER_OF_A_TEST), default=0)
    people = not reading.forms.isdisjoint(_PEOPLE)
    for thing in things.values():
        cue = _cue(reading, thing)
        never = cue and (thing.kind in _cues()[cue] or (thing.mention and _long_known(known, cue, thing.mention)))
        if never and not _of_another(reading, thing):
            yield _problem(reading, thing, f"not behind {' '.join(cue)!r}")
        if people and thing.kind in _NO_AGES and _before_person(reading, thing):
            yield _problem(reading, thing, "an age")
        if reading.text[thing.end : thing.end + 1] not in (" ", ","):
            continue  # nothing is told of it
        if thing.kind in ("test", "vital"):
            if thing.start < last:
                yield from _no_reading(reading, things, thing)
        elif thing.kind in ("medicine", "procedure", "condition", "panel"):
            yield from _amiss(reading, things, thing)


def _problem(reading: Reading, thing: _Thing, why: str) -> Problem:
    return Problem("role", thing.start, thing.end, reading.text[thing.start : thing.end], why, "")


def _things(reading: Reading) -> Iterator[_Thing]:
    for mention in reading.mentions:
        yield _Thing(mention.start, mention.end, _kind(reading, mention), mention.first, mention.behind, mention)
    for quantity in reading.quantities:
        kind = _sort(reading, quantity)
        if kind and reading.term_at(quantity.start) is None:
            yield _Thing(quantity.start, quantity.end, kind, reading.place(quantity.start), 0, None)


def _kind(reading: Reading, mention: Mention) -> str:
    kinds = mention.kinds
    if kinds <= {"test", "panel", "vital"}:
        return next(iter(kinds)) if len(kinds) == 1 else "test"
    kinds -= {"allergen"}
    if "condition" in kinds and kinds <= {"condition", "finding", "reaction"}:
        names = (word.form for word in reading.words[mention.first : mention.behind])
        if not data.word_set("roles", "births").isdisjoint(names):
            return ""
        return "symptom" if "reaction" in kinds else "condition"
    return next(iter(kinds)) if len(kinds) == 1 else ""


def _sort(reading: Reading, quantity: Quantity) -> str:
    if is_dose(quantity):
        return "dose" if quantity.type != "often" else ""
    if quantity.type in ("measure", "pressure"):
        return "" if quantity.value[1] == "%" else "figure"
    if quantity.type == "age" and quantity.text.endswith("old"):
        following = reading.said(quantity.end, quantity.end + 40)[:_DESCRIBED]
        of_person = any(word.form in _PEOPLE or word.text[0].isupper() for word in following)
        return "" if of_person else "aged"
    return quantity.type if quantity.type in ("date", "time", "length") else ""


# ---- behind cues


@cache
def _cues() -> Mapping[tuple[str, ...], frozenset[str]]:
    """Kinds of thing that never stand behind a phrase, by the phrase."""
    found: dict[tuple[str, ...], frozenset[str]] = {}
    for row in data.table("language")["role"]:
        for phrase in row["behind"]:
            key = data.forms(phrase)
            found[key] = found.get(key, frozenset()) | frozenset(row["never"])
    return found


@cache
def _last_words() -> frozenset[str]:
    return frozenset(phrase[-1] for phrase in _cues())


def _cue(reading: Reading, thing: _Thing) -> tuple[str, ...]:
    """The cue that a thing stands behind, articles between them put aside; () if none."""
    text, words, place, at = reading.text, reading.words, thing.first - 1, thing.start
    articles = data.word_set("roles", "articles")
    while place >= 0 and words[place].form in articles and text[words[place].end : at] == " ":
        place, at = place - 1, words[place].start
    if place < 0 or words[place].form not in _last_words() or text[words[place].end : at] not in (" ", ": "):
        return ()
    found: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    for first in range(place, max(-1, place - _LONGEST), -1):
        if first < place and text[words[first].end : words[first + 1].start] not in (" ", "-"):
            break
        key = (words[first].form, *key)
        if key in _cues():
            found = key
    return found


def _of_another(reading: Reading, thing: _Thing) -> bool:
    """Whether a thing is only the first part of a longer name: "pneumonia pathway", "penicillin allergy"."""
    if reading.text[thing.end : thing.end + 1] == "-":
        return True
    if thing.mention is None:
        return False
    if reading.service(thing.mention):
        return True
    following = reading.said(thing.end, thing.end + 25)[:1]
    return bool(following) and following[0].joined and following[0].form in data.word_set("roles", "longer")


def _long_known(known: Known, cue: tuple[str, ...], mention: Mention) -> bool:
    """Whether a condition stands as why somebody came in and is only held as one that they had before."""
    if cue not in data.phrases("roles", "why") or known.first("dx") is None:
        return False
    facts = known.holds(mention.refs)
    return bool(facts) and {fact.kind for fact in facts} == {"pmh"}


# ---- beside readings and verbs


def _no_reading(reading: Reading, things: Mapping[int, _Thing], thing: _Thing) -> Iterator[Problem]:
    """What stands as the reading of a test or an observation and can be none."""
    _, end = reading.sentence(thing.start)
    for pattern, never in _BEHIND_TEST:
        said = pattern.match(reading.text, thing.end, end)
        other = things.get(said.end()) if said else None
        if other is None or other.kind not in never or _of_another(reading, other):
            continue
        before = {word.form for word in reading.words[max(0, thing.first - 2) : thing.first]}
        when = other.kind in ("date", "time", "length") and before.isdisjoint(("a", "an"))
        if pattern is _OF and thing.kind == "test" and when:
            continue  # "the CRP of 3 March", not "a raised CRP of 3 March"
        yield _problem(reading, other, f"the reading of {reading.text[thing.start : thing.end]!r}")
        return


def _amiss(reading: Reading, things: Mapping[int, _Thing], thing: _Thing) -> Iterator[Problem]:
    """What has no reading and is told with one, or is told as if it were of another sort."""
    following = reading.words[thing.behind].form if thing.behind < len(reading.words) else ""
    if following not in _verbs():
        return
    text, (start, end) = reading.text, reading.sentence(thing.start)
    if thing.kind in ("medicine", "procedure"):
        said = _HAS.match(text, thing.end, end)
        other = things.get(said.end()) if said else None
        if other is not None and other.kind == "figure":
            yield _problem(reading, other, f"no reading of {text[thing.start : thing.end]!r}")
            return
    if thing.kind in ("procedure", "condition") and _MEASURED.match(text, thing.end, end):
        yield _problem(reading, thing, "what can be measured")
    elif thing.kind == "medicine" and _NORMAL.match(text, thing.end, end):
        yield _problem(reading, thing, "a test")
    elif thing.kind in ("condition", "procedure", "panel") and _TAKE.match(text, thing.end, end):
        if not any(mention.of("medicine") for mention in reading.within(start, thing.start)):
            yield _problem(reading, thing, "a medicine")
    elif thing.kind == "condition" and _NORMAL.match(text, thing.end, end):
        yield from _told_as(reading, thing, start, "a test")
    elif thing.kind in ("condition", "panel") and _GIVEN.match(text, thing.end, end):
        yield from _told_as(reading, thing, start, "a medicine")
    elif thing.kind in ("condition", "medicine") and _DONE.match(text, thing.end, end):
        yield from _told_as(reading, thing, start, "a procedure")


def _told_as(reading: Reading, thing: _Thing, start: int, what: str) -> Iterator[Problem]:
    """That a thing is told as if it were of another sort, where the verb behind it is its own."""
    if _opens(reading, thing, start):
        yield _problem(reading, thing, what)


@cache
def _verbs() -> frozenset[str]:
    """The words that what is told of a thing that has no reading may begin with."""
    lists = (("roles", "taken"), ("roles", "normal"), ("roles", "given"), ("roles", "done"), ("readings", "moved"))
    starts = (form for of in lists for form in data.starts(*of))
    return frozenset(("was", "were", "is", "are", "has", "have", "of", *starts))


def _before_person(reading: Reading, thing: _Thing) -> bool:
    """Whether a thing stands right before a person, where only what describes one stands: "this 84-year-old woman"."""
    following = reading.said(thing.end, thing.end + 12)[:1]
    return bool(following) and following[0].form in _PEOPLE and reading.text[thing.end : following[0].start] == " "


def _opens(reading: Reading, thing: _Thing, start: int) -> bool:
    """Whether a thing opens its sentence or clause, so that the verb behind it is its own."""
    start = max(start, reading.text.rfind("; ", start, thing.start) + 1)
    return all(word.form in data.word_set("roles", "articles") for word in reading.said(start, thing.start))
