"""What a written letter is: sections of text in which every value's place is known to the character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from fhirsynth.letters.facts import Fact, Stay

#: Kinds of letter: to the general practitioner, and in plain English to the patient. What `letters.levels` writes is
#: of kinds of its own, note and words.
KINDS = ("gp", "patient")


class Span(NamedTuple):
    """One stretch of a text that says a value: `text[start:end] == surface`.

    `clean` is what stood there before abbreviations and slips of the pen; `fact` is "" for a stretch of plain words
    that such a layer changed (types `abbreviation` and `typo`). `negated`: the text says that there is none.
    """

    start: int
    end: int
    surface: str
    type: str
    fact: str
    slot: str
    system: str | None
    code: str | None
    resource: str | None
    negated: bool
    section: str
    clean: str


class Mark(NamedTuple):
    """Plain words that a writer in a hurry would abbreviate."""

    start: int
    end: int
    abbreviation: str


class Section(NamedTuple):
    """One section under its heading. Offsets are inside `text`; `writer` is phrasebook, lm or fixed."""

    key: str
    title: str
    text: str
    spans: tuple[Span, ...]
    writer: str
    marks: tuple[Mark, ...] = ()


class Letter(NamedTuple):
    """A letter about one stay. `kind` is gp, patient, note or words; `voice` is whose manner of writing it is in."""

    note_id: str
    stay: Stay
    sections: tuple[Section, ...]
    voice: str
    kind: str


class Writer(Protocol):
    """Puts a narrative section into words. `facts` are those that the section is about; they may not all be said."""

    def write(self, stay: Stay, section: str, facts: Sequence[Fact], seed: int) -> Section: ...


def as_text(letter: Letter) -> tuple[str, list[Span]]:
    """The letter as plain text, headings in capitals, and its spans at offsets into that text."""
    pieces: list[str] = []
    spans: list[Span] = []
    length = 0
    for section in letter.sections:
        heading = f"{section.title.upper()}\n"
        at = length + len(heading)
        spans.extend(span._replace(start=span.start + at, end=span.end + at) for span in section.spans)
        piece = f"{heading}{section.text}\n\n"
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces).removesuffix("\n"), spans
