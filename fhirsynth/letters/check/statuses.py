"""How a text tells of each medicine: started, stopped or continued, by the word of its sentence that governs it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from fhirsynth.letters.check import data
from fhirsynth.letters.check.lexicon import Mention
from fhirsynth.letters.check.reading import Reading

STATUSES = ("started", "stopped", "continued")
_LABEL = re.compile(r"\s*([A-Z]\w+(?: [a-z]+){0,3}):")
#: With a comma between a medicine and such a word behind it: "ramipril, which was started", "ramipril 5 mg, started".
_TAKEN_UP = re.compile(rf"\b{data.either('status', 'taken_up')}\b|\d", re.I)
#: Before a medicine that others are told beside.
_BESIDE = re.compile(rf"\b{data.either('status', 'beside')} (?:{data.either('status', 'beside_own')} )*\Z", re.I)
#: Words that are of no status before these: "in addition to", "we added that".
_NO_STATUS = frozenset({("addition", "to"), ("added", "that"), ("added", "up"), ("start", "of")})


class _Status(NamedTuple):
    """A word of status: where it stands, whether it is denied, and the medicines that it governs, by their place."""

    start: int
    status: str
    denied: bool
    governs: frozenset[int]


class Statuses:
    """The words of status of one text. `named`: its medicines in order."""

    def __init__(self, reading: Reading, named: Sequence[Mention]) -> None:
        self.reading, self.named = reading, named
        self._found: dict[int, list[_Status]] = {}

    def of(self, mention: Mention) -> str:
        """How a medicine is told of: started, stopped, continued, or "" where that is not said or not plain."""
        reading = self.reading
        if reading.forms.isdisjoint(data.by_word("status", STATUSES)):
            return ""
        start, end = reading.sentence(mention.start)
        label = _LABEL.match(reading.text, start, end)
        if label:
            found = {s for s in STATUSES for form in data.forms(label.group(1)) if form in data.word_set("status", s)}
            if len(found) == 1:
                return found.pop()
        words = self._words(start, end)
        own = [word for word in words if mention.start in word.governs]
        if own:
            found = {word.status for word in own}
            return found.pop() if len(found) == 1 and not any(word.denied for word in own) else ""
        if _BESIDE.search(reading.text, start, mention.start):
            return ""
        for start, end in (reading.clause(mention.start), self._part(mention)):
            here = [word for word in words if start <= word.start < end]
            free = [word for word in here if not word.governs]
            if any(word.denied for word in free):
                return ""
            if free:
                found = {word.status for word in here}
                return found.pop() if len(found) == 1 else ""
        return ""

    def _part(self, mention: Mention) -> tuple[int, int]:
        """The part of a sentence between semicolons that a medicine stands in."""
        text, (start, end) = self.reading.text, self.reading.sentence(mention.start)
        behind = text.find(";", mention.end, end)
        return max(start, text.rfind(";", start, mention.start) + 1), end if behind < 0 else behind

    def _words(self, start: int, end: int) -> list[_Status]:
        if start not in self._found:
            self._found[start] = list(self._read(start, end))
        return self._found[start]

    def _read(self, start: int, end: int) -> list[_Status]:
        reading, words = self.reading, data.by_word("status", STATUSES)
        found: list[_Status] = []
        said = reading.said(start, end)
        here = [m for m in self.named if start <= m.start < end]
        for place, word in enumerate(said):
            status = words.get(word.form)
            if status is None or reading.term_at(word.start) is not None:
                continue
            before = said[place - 1].form if place else ""
            after = said[place + 1].form if place + 1 < len(said) else ""
            if (word.form == "start" and before in ("the", "a", "from", "very")) or (word.form, after) in _NO_STATUS:
                continue
            around = {w.form for w in said[max(0, place - 2) : place]}
            denied = bool(around & data.word_set("status", "unless"))
            found.append(_Status(word.start, status, denied, self._governed(word.start, word.end, word.form, here)))
        return found

    def _governed(self, start: int, end: int, form: str, here: Sequence[Mention]) -> frozenset[int]:
        """The medicines that a word is said of: those right behind it, or those that it stands right behind."""
        bare, listed = self.reading.bare, data.only("link", "list", " ,()&/")
        before = [place for place, m in enumerate(here) if m.end <= start]
        if before and form not in data.word_set("status", "ahead_only"):
            between = bare[here[before[-1]].end : start]
            plain = "," not in between or _TAKEN_UP.search(self.reading.text, here[before[-1]].end, start)
            if plain and data.only("status", "back", " ,()").fullmatch(between):
                place = before[-1]
                governed = {here[place].start}
                while place and listed.fullmatch(bare, here[place - 1].end, here[place].start):
                    place -= 1
                    governed.add(here[place].start)
                return frozenset(governed)
        place = len(before)
        if place == len(here) or not data.only("status", "ahead", " :").fullmatch(bare, end, here[place].start):
            return frozenset()
        governed = {here[place].start}
        while place + 1 < len(here) and listed.fullmatch(bare, here[place].end, here[place + 1].start):
            place += 1
            governed.add(here[place].start)
        return frozenset(governed)
