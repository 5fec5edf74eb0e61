"""The other levels of text about a stay: the bag of its coded words, and the notes of the ward.

A letter is what somebody writes when all is over. Here is what stands before it in a record: `words`, the names of
all that is coded, in no order; and `note`, an admission note and the ward rounds, each of which knows only what had
happened by then. Both are ordinary `Letter`s, so that text, annotations, layers and pages work on them.
"""

from __future__ import annotations

from typing import Literal

from fhirsynth.errors import InputError
from fhirsynth.letters.facts import Stay
from fhirsynth.letters.letter import Letter
from fhirsynth.letters.levels import bag, notes
from fhirsynth.letters.phrases import VOICES
from fhirsynth.letters.writing import voice_of


def at_level(stay: Stay, level: Literal["words", "note"], seed: int, voice: str | None = None) -> Letter | None:
    """The text about a stay at a level; None where there is nothing to write. The same arguments give the same text.

    `voice`: whose manner the notes are written in; None draws the stay's own. Raises InputError for a level or voice
    that there is not.
    """
    if voice is not None and voice not in VOICES:
        raise InputError(f"no voice is called {voice!r}: use one of {', '.join(VOICES)}")
    if level == "words":
        return bag.write(stay, seed)
    if level == "note":
        return notes.write(stay, seed, voice or voice_of(stay, seed))
    raise InputError(f"no level is called {level!r} here: use words or note")


__all__ = ["at_level"]
