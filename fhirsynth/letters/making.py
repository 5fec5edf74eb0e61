"""The letters about a number of stays, in the manner asked for: written, checked, and what became of the drafts.

A letter leaves here only when the independent reader finds nothing wrong in it. The same stays and manner give the
same letters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

from fhirsynth.letters.check import check_letter, check_section
from fhirsynth.letters.facts import Stay
from fhirsynth.letters.layers import abbreviate, misspell
from fhirsynth.letters.letter import Letter
from fhirsynth.letters.writing import write

Level = Literal["words", "note", "letter"]
LEVELS: tuple[Level, ...] = ("words", "note", "letter")
#: Who puts a letter's prose into words: a language model, or the hand-written patterns alone.
WRITERS = ("lm", "phrasebook")
Kind = Literal["gp", "patient"]
#: Drafts of a letter before it is withheld, and how far apart their seeds are.
_DRAFTS, _APART = 4, 1_000_003


class Manner(NamedTuple):
    """How letters are written. `voice`: always this one's; None draws one for each stay.

    `abbreviations`: the share of the abbreviations known that the writer uses, 0 to 1; `typos`: the share of plain
    words with a slip of the keyboard, 0 to 0.1. Both are made after the check, and the annotations hold the clean form.
    """

    writer: str = "phrasebook"
    model: str | None = None
    device: str = "cpu"
    level: Level = "letter"
    voice: str | None = None
    seed: int = 1
    to_patient: bool = True
    abbreviations: float = 0.0
    typos: float = 0.0


class Made(NamedTuple):
    """What was written about one stay, to the GP (or at the level asked for) and to the patient; None where nothing."""

    stay: Stay
    letter: Letter | None
    to_patient: Letter | None


class Maker(Protocol):
    """Writes the letters to general practitioners about many stays at once."""

    def identity(self) -> dict[str, Any]:
        """What decides its words: `writer`, and of a model its name and revision. For the manifest."""
        ...

    def letters(self, stays: Sequence[Stay], manner: Manner, counted: Counter[str]) -> list[Letter | None]:
        """A letter that passes the check for each stay, in order; None where there is none."""
        ...


class PhrasebookMaker:
    """Letters from the phrasebook alone."""

    def identity(self) -> dict[str, Any]:
        """Only its name: its patterns are part of the package."""
        return {"writer": "phrasebook"}

    def letters(self, stays: Sequence[Stay], manner: Manner, counted: Counter[str]) -> list[Letter | None]:
        """A letter for each stay. All are drafted before the first is read: a tenth faster than one by one."""
        drafts = [write(stay, manner.seed, manner.voice) for stay in stays]
        return [sound(stay, manner, "gp", counted, draft) for stay, draft in zip(stays, drafts, strict=True)]


def maker(manner: Manner) -> Maker:
    """The writer that a manner names. Raises InputError where it cannot be had: an extra, a model, a device."""
    if manner.writer == "lm":
        from fhirsynth.letters.lm.maker import load

        return load(manner.model, manner.device)
    return PhrasebookMaker()


def make(stays: Sequence[Stay], manner: Manner, by: Maker) -> tuple[list[Made], Counter[str]]:
    """The letters about these stays, and what was counted.

    Counts: letters, to_patient, drafts, rejected, withheld, and those of the writer.
    """
    counted: Counter[str] = Counter(letters=0, to_patient=0, drafts=0, rejected=0, withheld=0)
    if manner.level == "letter":
        letters = by.letters(stays, manner, counted)
    else:
        from fhirsynth.letters.levels import at_level

        notes = (at_level(stay, manner.level, manner.seed, manner.voice) for stay in stays)
        letters = [_passed(note, counted) for note in notes]
    made = []
    for stay, letter in zip(stays, letters, strict=True):
        plain = sound(stay, manner, "patient", counted) if manner.to_patient and manner.level == "letter" else None
        counted["letters"] += letter is not None
        counted["to_patient"] += plain is not None
        made.append(Made(stay, _worn(letter, manner), plain))
    return made, counted


def sound(stay: Stay, manner: Manner, kind: Kind, counted: Counter[str], first: Letter | None = None) -> Letter | None:
    """A letter of the phrasebook in which nothing is wrong: the first draft, or another; None where none is.

    `first`: that draft, where it is written. Nobody who died is written to.
    """
    for attempt in range(_DRAFTS):
        seed = manner.seed + attempt * _APART
        letter = first if first is not None and not attempt else write(stay, seed, manner.voice, kind=kind)
        if letter is None:
            return None
        counted["drafts"] += 1
        if not check_letter(stay, letter.sections, kind=kind):
            return letter
        counted["rejected"] += 1
    counted["withheld"] += 1
    return None


def _passed(note: Letter | None, counted: Counter[str]) -> Letter | None:
    """A note or a bag of words, if the reader finds nothing wrong in its sections."""
    if note is None:
        return None
    counted["drafts"] += 1
    if any(check_section(note.stay, section.key, section.text) for section in note.sections):
        counted["rejected"] += 1
        counted["withheld"] += 1
        return None
    return note


def _worn(letter: Letter | None, manner: Manner) -> Letter | None:
    """The letter as a hurried hand leaves it."""
    if letter is not None and manner.abbreviations:
        letter = abbreviate(letter, manner.seed, manner.abbreviations)
    if letter is not None and manner.typos:
        letter = misspell(letter, manner.seed, manner.typos)
    return letter
