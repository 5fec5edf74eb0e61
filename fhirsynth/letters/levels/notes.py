"""The notes of a stay: one on admission, ward rounds, one at the end, each with what was known by then.

A note's sections and the patterns of its lines are data (`notes.toml`). A part of a section is said by one pattern,
drawn from those that say all of its facts; one that fits the illness or the person better is drawn more often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhirsynth.letters import saying
from fhirsynth.letters.drafting import Draft
from fhirsynth.letters.facts import Fact, Stay
from fhirsynth.letters.letter import Letter, Section
from fhirsynth.letters.levels.book import Part, Pattern, Sheet, book
from fhirsynth.letters.levels.by_then import by_then
from fhirsynth.letters.levels.moments import Moment, day_of, moments
from fhirsynth.letters.phrases import Piece
from fhirsynth.letters.plan import Planned
from fhirsynth.letters.writing import bare_lines, stream

#: How much less a pattern is liked that has been used in the same notes.
_AGAIN = 0.15


def write(stay: Stay, seed: int, voice: str) -> Letter | None:
    """The notes of a stay as one letter; None where the record does not say when the stay began and ended."""
    hand = Hand(stay, seed, voice)
    when = moments(stay, stream(seed, stay.note_id, "moments"))
    sections = [section for moment in when for section in hand.note(moment)]
    return Letter(stay.note_id, stay, tuple(sections), voice, "note") if sections else None


class Hand:
    """Whoever writes the notes of a stay, what they have told already, and the patterns that they have used."""

    def __init__(self, stay: Stay, seed: int, voice: str) -> None:
        self.stay, self.voice = stay, voice
        self.rng = stream(seed, stay.note_id, "note", voice)
        self.told: set[str] = set()  # ids of procedures done and of results
        self.used: set[str] = set()
        self.rounds = 0

    def note(self, moment: Moment) -> list[Section]:
        """The sections of one note; those with nothing to say are left out."""
        stay = by_then(self.stay, moment)
        self.rounds += moment.occasion == "round"
        sections: list[Section] = []
        for sheet in book().of(moment.occasion):
            draft = _Lines(f"{sheet.key}-{self.rounds}" if moment.occasion == "round" else sheet.key, stay)
            for part in sheet.part:
                self._part(draft, part, stay, moment)
            if draft.text:
                sections.append(draft.section(_title(sheet, moment) if not sections else sheet.title, "phrasebook"))
        return sections

    def _part(self, draft: _Lines, part: Part, stay: Stay, moment: Moment) -> None:
        facts = tuple(fact for fact in stay.facts if self._is_for(fact, part, moment))
        wanted = [fact for fact in facts if fact.kind in part.says]
        if (part.says and not wanted) or (part.share < 1 and self.rng.random() >= part.share):
            return
        options = [
            pattern
            for pattern in book().patterns[part.name]
            if self.voice in pattern.voices and pattern.fits(stay, facts) and _says(pattern, stay, facts, wanted)
        ]
        if not options:
            return
        pattern = self.rng.choices(options, [self._weight(option) for option in options])[0]
        draft.put(pattern, facts)
        self.used.add(pattern.where)
        if moment.occasion != "admission" or not part.procedures:  # what is planned is not done
            self.told.update(fact.id for fact in wanted if fact.kind in ("proc", "result"))

    def _weight(self, pattern: Pattern) -> float:
        return (1.0 + pattern.particular) * (_AGAIN if pattern.where in self.used else 1.0)

    def _is_for(self, fact: Fact, part: Part, moment: Moment) -> bool:
        """Whether a part may tell a fact: a result once; a procedure by when it was done."""
        if fact.kind == "result":
            return "result" not in part.says or fact.id not in self.told
        if fact.kind != "proc":
            return True
        if part.procedures == "today":
            admitted = day_of(self.stay.first("admission")) if moment.occasion == "admission" else None
            return day_of(fact) == (admitted or moment.at.date())
        if part.procedures == "earlier":
            day = day_of(fact)
            return fact.id not in self.told and day is not None and day < moment.at.date()
        return part.procedures == "stay" and (fact.id not in self.told or "operation" in fact.tags)


class _Lines(Draft):
    """A draft in which lines may also follow each other on one line."""

    between = "\n"
    _begins = True

    def put(self, pattern: Pattern, facts: Sequence[Fact]) -> None:
        """Put the lines of a pattern in, for these facts."""
        self.between, self._begins = pattern.between, True
        bare_lines(self, Planned(pattern.heading, (), frozenset()), facts)

    def line(self, pieces: Sequence[Piece], bound: Mapping[str, Sequence[Fact]]) -> None:
        """Put a line in: on a line of its own, or behind the one before it."""
        if self._begins or self.between == "\n":
            self._begins = False
            super().line(pieces, bound)
            return
        self.text += " " if self.text.endswith(":") else self.between
        self._put(self._tokens(self._filled(pieces, bound)))


def _says(pattern: Pattern, stay: Stay, facts: Sequence[Fact], wanted: Sequence[Fact]) -> bool:
    """Whether a pattern makes a text of these facts that says all that are wanted, and ends with no bare label."""
    draft = _Lines(pattern.part, stay)
    draft.put(pattern, facts)
    said = {span.fact for span in draft.spans}
    names = {(fact.kind, fact.text) for fact in facts if fact.id in said and fact.text}
    return (
        bool(draft.text)
        and not draft.text.endswith(":")
        and all(fact.id in said or (fact.kind, fact.text) in names for fact in wanted)
    )


def _title(sheet: Sheet, moment: Moment) -> str:
    """The heading of a note: what it is, its date and its time as the ward's clock shows it."""
    return f"{sheet.title}, {saying.date(moment.at.date())}, {moment.at:%H:%M}"


__all__ = ["Hand", "write"]
