"""What the planters of errors share: places in a letter, and the changes made there."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from fhirsynth.letters.facts import Stay
from fhirsynth.letters.letter import Letter, Section, Span


class Planted(NamedTuple):
    """A letter's sections with one error of a kind; `rules`: any of them catches it."""

    kind: str
    rules: frozenset[str]
    sections: tuple[Section, ...]
    was: str
    now: str


class Change(NamedTuple):
    section: int
    start: int
    end: int
    text: str


Planter = Callable[[Letter, random.Random], Change | Sequence[Change] | None]


def spans(letter: Letter, *types: str) -> Iterator[tuple[int, Span]]:
    for number, section in enumerate(letter.sections):
        yield from ((number, span) for span in section.spans if span.type in types)


def pick(rng: random.Random, found: Sequence[tuple[int, Span]]) -> tuple[int, Span] | None:
    return rng.choice(found) if found else None


def swap(place: tuple[int, Span] | None, text: str) -> Change | None:
    if place is None:
        return None
    number, span = place
    return Change(number, span.start, span.end, text)


def kind_of(span: Span) -> str:
    return span.fact.partition(":")[0]


def narrative(letter: Letter) -> list[int]:
    return [n for n, section in enumerate(letter.sections) if section.key in ("clinical-summary", "plan")]


def append(letter: Letter, key: str, sentence: str) -> Change | None:
    for number, section in enumerate(letter.sections):
        if section.key == key:
            return Change(number, len(section.text), len(section.text), f" {sentence}")
    return None


def he(stay: Stay) -> str:
    return stay.grammar["He"]


def sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """The sentence or line around a stretch."""
    first = max(text.rfind("\n", 0, start), *(m.end() - 1 for m in re.finditer(r"[.] (?=[A-Z])", text[:start])), -1) + 1
    behind = re.search(r"[.](?= [A-Z]|\n|$)|\n|$", text[end:])
    return first, end + (behind.end() if behind else 0)
