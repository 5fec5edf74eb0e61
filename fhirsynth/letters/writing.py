"""Letters from the phrasebook: which patterns a section takes, and the whole letter about a stay.

Facts that a section must say and that no pattern could get a bare line. The same stay, seed and voice give the same
letter.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, overload

from fhirsynth.errors import InputError
from fhirsynth.letters.choosing import Bound, Choice, which_test
from fhirsynth.letters.demands import offered
from fhirsynth.letters.drafting import Draft
from fhirsynth.letters.facts import Fact, Stay
from fhirsynth.letters.letter import KINDS, Letter, Section
from fhirsynth.letters.phrases import VOICES, Pattern, Phrasebook, Piece, Place, load
from fhirsynth.letters.plan import PATIENT_LETTER, Heading, Line, Part, Planned, heading_of, holds, plan

_SURGICAL = frozenset(
    f"spec:{key}"
    for key in (
        *("general-surgery", "trauma-and-orthopaedics", "urology", "vascular-surgery", "ear-nose-and-throat"),
        *("ophthalmology", "gynaecology", "colorectal-surgery", "cardiothoracic-surgery", "neurosurgery"),
    )
)


class Outline(NamedTuple):
    """What is chosen for a section: patterns by part with the facts they say; `unsaid`: what it must say besides."""

    parts: tuple[tuple[Part, list[tuple[Pattern, Bound]]], ...]
    unsaid: tuple[Fact, ...]


def stream(seed: int, *names: str) -> random.Random:
    """Random numbers of their own for what the names name: the same on every machine and Python."""
    digest = hashlib.blake2b("\x1f".join((str(seed), *names)).encode(), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "big"))


def voice_of(stay: Stay, seed: int) -> str:
    """Whose manner the letters about a stay are written in: geriatricians for the old, surgeons after operations."""
    weights = {"terse": 2.0, "thorough": 2.0}
    if "older" in stay.tags or "spec:geriatric-medicine" in stay.tags:
        weights["geriatrician"] = 8.0 if "spec:geriatric-medicine" in stay.tags else 2.0
    if stay.tags & _SURGICAL or "operation" in stay.tags:
        weights["surgeon"] = 4.0
    return stream(seed, stay.note_id, "voice").choices(list(weights), list(weights.values()))[0]


@overload
def write(stay: Stay, seed: int, voice: str | None = None, kind: Literal["gp"] = "gp") -> Letter: ...
@overload
def write(stay: Stay, seed: int, voice: str | None = None, *, kind: Literal["patient"]) -> Letter | None: ...
@overload
def write(stay: Stay, seed: int, voice: str | None, kind: Literal["patient"]) -> Letter | None: ...


def write(stay: Stay, seed: int, voice: str | None = None, kind: str = "gp") -> Letter | None:
    """The letter about a stay to the GP, or in plain English to the patient (None where the patient died).

    Raises InputError for a voice or kind that there is not.
    """
    if voice is not None and voice not in VOICES:
        raise InputError(f"no voice is called {voice!r}: use one of {', '.join(VOICES)}")
    if kind not in KINDS:
        raise InputError(f"no kind of letter is called {kind!r}: use one of {', '.join(KINDS)}")
    voice = voice or voice_of(stay, seed)
    writer = PhrasebookWriter(load(), voice)
    planned = plan(stay, kind)
    if not planned:
        return None
    if kind == "patient":
        sections = writer.by_part(stay, planned[0], seed)
    else:
        sections = [writer.section(stay, item, seed) for item in planned]
    return Letter(stay.note_id, stay, tuple(section for section in sections if section.text), voice, kind)


class PhrasebookWriter:
    """Writes sections from patterns. Without a `voice`, each stay has its own (see `voice_of`)."""

    def __init__(self, book: Phrasebook, voice: str | None = None) -> None:
        self.book, self.voice = book, voice
        self._last: tuple[Stay, Sequence[Fact], frozenset[str]] | None = None

    def write(self, stay: Stay, section: str, facts: Sequence[Fact], seed: int) -> Section:
        """A narrative section by its key, said with no other facts than these."""
        heading = heading_of(section)
        wanted = (f.id for f in facts for kind, tag in heading.must if f.kind == kind and (not tag or tag in f.tags))
        return self.section(stay, Planned(heading, tuple(facts), frozenset(wanted)), seed)

    def section(self, stay: Stay, planned: Planned, seed: int) -> Section:
        """A section as planned; its text is "" where there is nothing to say."""
        heading = planned.heading
        if heading.kind == "fixed":
            return _fixed(stay, planned)
        draft = Draft(heading.key, stay, heading.key == PATIENT_LETTER)
        outline = self.outline(stay, planned, seed)
        for part, patterns in outline.parts:
            if part.paragraph and patterns:
                draft.paragraph()
            for pattern, bound in patterns:
                draft.sentence(pattern, bound)
        bare_lines(draft, planned, outline.unsaid)
        return draft.section(heading.title, "phrasebook")

    def by_part(self, stay: Stay, planned: Planned, seed: int) -> list[Section]:
        """A section whose parts stand under headings of their own, as sections `<key>-<part>`."""
        sections = []
        for part, patterns in self.outline(stay, planned, seed).parts:
            draft = Draft(f"{planned.heading.key}-{part.name}", stay, planned.heading.key == PATIENT_LETTER)
            for pattern, bound in patterns:
                draft.sentence(pattern, bound)
            sections.append(draft.section(part.title, "phrasebook"))
        return sections

    def outline(self, stay: Stay, planned: Planned, seed: int) -> Outline:
        """What a narrative section says, part by part, and the patterns that would say it."""
        key, voice = planned.heading.key, self.voice or voice_of(stay, seed)
        choice = Choice(stay, planned, stream(seed, stay.note_id, key, voice), self._offered(stay, planned.facts))
        made = choice.made(self.book.shelf(key, voice))
        unsaid = (fact for fact in planned.facts if fact.id in planned.must and not choice.has_said(fact))
        return Outline(tuple(made), tuple(unsaid))

    def _offered(self, stay: Stay, facts: Sequence[Fact]) -> frozenset[str]:
        """What a stay and these facts offer to patterns: the same for all sections of a letter."""
        if self._last is None or self._last[0] is not stay or self._last[1] is not facts:
            self._last = stay, facts, offered(stay.tags, facts)
        return self._last[2]


def bare_lines(draft: Draft, planned: Planned, facts: Sequence[Fact]) -> None:
    """Put bare lines behind the prose for facts that no pattern could say."""
    _lines(draft, planned.heading, draft.stay, facts)


# ---- sections made of lines


def _fixed(stay: Stay, planned: Planned) -> Section:
    """The lines of a fixed section, each fact of a kind on the first line that fits it."""
    draft = Draft(planned.heading.key, stay)
    _lines(draft, planned.heading, stay, planned.facts)
    return draft.section(planned.heading.title, "fixed")


def _lines(draft: Draft, heading: Heading, stay: Stay, told: Iterable[Fact]) -> None:
    """Put in the lines of a section for these facts. A narrative section's lines are for what no pattern could say."""
    facts: dict[str, list[Fact]] = {}
    for fact in told:
        facts.setdefault(fact.kind, []).append(fact)
    said: set[str] = set()
    for line in heading.lines:
        if line.each:
            for fact in facts.get(line.each, ()):
                if fact.id not in said:
                    bound = {line.each: [fact]} | _joined(line, fact, facts)
                    said.update(_line(draft, line, stay, bound))
        elif not line.says or line.says in facts:
            _line(draft, line, stay, facts)


def _joined(line: Line, fact: Fact, facts: Mapping[str, list[Fact]]) -> dict[str, list[Fact]]:
    """The fact of another kind about the same test, for a line that joins the two."""
    others = facts.get(line.joined)
    if not others:
        return {}
    test = which_test(fact)
    found = next((other for other in others if which_test(other) == test), None)
    return {line.joined: [found]} if found is not None else {}


def _has(bound: Bound, places: Iterable[Place]) -> bool:
    """Whether the facts have all slots that some places name."""
    for place in places:
        facts = bound.get(place.kind)
        if not facts or place.slot not in facts[0].values:
            return False
    return True


def _line(draft: Draft, line: Line, stay: Stay, bound: Bound) -> Iterable[str]:
    """Put a line in if all its slots are there; returns the ids of the facts it says."""
    if line.when and not holds(line, stay, {kind: facts[0] for kind, facts in bound.items() if facts}):
        return ()
    pieces: list[Piece] = []
    for stretch in line.stretches:
        if _has(bound, stretch.places):
            pieces.extend(stretch.pieces)
        elif not stretch.optional:
            return ()
    draft.line(pieces, bound)
    if line.says:
        start = draft.text.rindex(line.about)
        draft.states(start, line.type, bound[line.says][0])
    return [bound[kind][0].id for kind in (line.each, line.joined) if bound.get(kind)] if line.each else ()


__all__ = ["Outline", "PhrasebookWriter", "bare_lines", "stream", "voice_of", "write"]
