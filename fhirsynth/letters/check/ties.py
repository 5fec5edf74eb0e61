"""Which test or observation a figure belongs to, by where the names stand around it and what stands between."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import NamedTuple

from fhirsynth.letters.check import data
from fhirsynth.letters.check.lexicon import Mention
from fhirsynth.letters.check.quantities import Quantity
from fhirsynth.letters.check.reading import Reading

#: What may stand between a name and its figure, other figures put aside.
LINKS = ("link", "words", r" ,:(=\-–")
#: What may stand between a figure and the name behind it that it belongs to ("156 mg/L for the CRP", "38.2 (temp)").
_BEHIND = ("link", "back", " ()")
_FOR = re.compile(r" (?:for|\()", re.I)
#: Words in front of a figure that opens its sentence, ahead of the name ("At 156 mg/L the CRP was raised").
_OPENING = re.compile(rf"\W*(?:{data.either('link', 'opening')}\W+){{1,3}}", re.I)
_EVERY = re.compile(r"\b(?:were|are|both|each)\b", re.I)
_FROM = re.compile(r"\bfrom\b", re.I)


class Tie(NamedTuple):
    """The names that a figure may belong to. `sure`: it stands by one of them; `every`: it is said of all of them."""

    mentions: tuple[Mention, ...]
    sure: bool
    every: bool = False


class Ties:
    """The names of tests and observations of one text, with what belongs to them."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    @cached_property
    def named(self) -> list[Mention]:
        """The names, in order."""
        return [named for mention in self.reading.mentions if (named := self._measured(mention)) is not None]

    @cached_property
    def _starts(self) -> list[int]:
        return [mention.start for mention in self.named]

    def _measured(self, mention: Mention) -> Mention | None:
        """A term that names a test or an observation, if only inside the name of a condition ("high cholesterol")."""
        if any(kind in ("test", "vital") for kind, _ in mention.refs):
            return mention
        levels = data.by_word("level", ("high", "low"))
        if mention.behind - mention.first < 2 or self.reading.words[mention.first].form not in levels:
            return None
        inside = self.reading.lexicon.refs(self.reading.text[mention.start : mention.end])
        measured = frozenset(ref for ref in inside if ref[0] in ("test", "vital"))
        return mention._replace(refs=mention.refs | measured) if measured else None

    def within(self, start: int, end: int) -> list[Mention]:
        """The names of a stretch."""
        return self.named[bisect_left(self._starts, start) : bisect_left(self._starts, end)]

    def of(self, quantity: Quantity) -> Tie | None:
        """What a figure belongs to; None where its sentence and the one before name nothing that it could be of."""
        start, end = self.reading.sentence(quantity.start)
        first, last = bisect_left(self._starts, start), bisect_left(self._starts, end)
        here = bisect_left(self._starts, quantity.start, first, last)
        bare = self.reading.bare
        behind = self.named[here] if here < last else None
        if behind is not None and not data.only(*_BEHIND).fullmatch(bare, quantity.end, behind.start):
            behind = None
        if here > first:
            before = self.named[here - 1]
            linked = data.only(*LINKS).fullmatch(bare, before.end, quantity.start) is not None
            if behind is not None and _FOR.match(bare, quantity.end):
                return Tie((behind,), True)
            if linked:
                return self._linked(quantity, first, here - 1, self.named[here].start if here < last else end)
            return Tie((*self.named[first:here], *([behind] if behind else [])), False)
        if behind is not None:
            return Tie((behind,), True)
        if here < last and _OPENING.fullmatch(bare, start, quantity.start):
            return Tie((self.named[here],), False)
        return self._said_before(quantity, start)

    def next_to(self, quantity: Quantity) -> tuple[Mention, ...]:
        """The name right before a figure, with its list: no comma, no other figure and only a few words between."""
        at = bisect_right(self._starts, quantity.start) - 1
        if at < 0:
            return ()
        between = self.reading.text[self.named[at].end : quantity.start]
        if any(mark in between for mark in ",;(.") or not data.only(*LINKS).fullmatch(between):
            return ()
        return tuple(self.named[self.group(at) : at + 1])

    def group(self, at: int, first: int = 0) -> int:
        """Number of the first name of the list that ends with the name `at`: "sodium, potassium and urea"."""
        while at > first and data.only("link", "list", " ,/&").fullmatch(
            self.reading.text, self.named[at - 1].end, self.named[at].start
        ):
            at -= 1
        return at

    def _linked(self, quantity: Quantity, first: int, at: int, end: int) -> Tie:
        before, head = self.named[at], self.group(at, first)
        listed = tuple(self.named[head : at + 1])
        figures = [q for q in self.reading.measured if before.end <= q.start < end]
        place = figures.index(quantity)
        between = self.reading.bare[before.end : quantity.start]
        if head < at and len(figures) == len(listed) and not _FROM.search(between):
            return Tie((listed[place],), True)
        if head < at and len(figures) == 1 and _EVERY.search(between):
            return Tie(listed, True, True)
        if place > 0:  # "CRP 10 mg/L, down from 20 mg/L", but also "sodium 128, CRP 10, from 134 and 20 before"
            return Tie(tuple(self.named[first : at + 1]), True)
        return Tie(listed if len(figures) > 1 else (before,), True)

    def _said_before(self, quantity: Quantity, start: int) -> Tie | None:
        """The names of the sentence before, or of one before that, where "it" or "the result" takes them up."""
        number, at = self.reading.sentences.of(quantity.start), quantity.start
        if _OPENING.fullmatch(self.reading.bare, start, at):
            _, at = self.reading.sentence(at)
        wanted = data.word_set("link", "again")
        while number and any(word.form in wanted for word in self.reading.said(start, at)):
            number -= 1
            start, at = self.reading.sentences.span(number)
            named = self.within(start, at)
            if named:
                return Tie(tuple(named), False)
        return None
