"""The bag of words of a stay: the name of everything that is coded in it, once, in no order.

What a clinical coder or somebody who trains an entity linker wants: one term a line, every term a span with its code.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirsynth.letters.drafting import Draft
from fhirsynth.letters.facts import Fact, Stay
from fhirsynth.letters.letter import Letter
from fhirsynth.letters.phrases import SINGLE, Piece, Place, Words
from fhirsynth.letters.writing import stream

KEY, TITLE = "words", "Coded terms"
#: Slots of facts whose values are names with a code, by kind; readings and figures have a code but are no names.
_NAMED: tuple[tuple[str, str], ...] = (
    *((kind, "") for kind in ("dx", "secondary", "pmh", "proc")),
    *((kind, "") for kind in ("given", "started", "stopped", "changed", "continued")),
    *(("allergy", slot) for slot in ("", "reaction")),
    *((kind, "consciousness") for kind in ("obs", "obsend")),
    *((kind, "") for kind in ("result", "trend", "normal")),
)
#: Words before a name that would be taken for something else without them: a substance for a medicine.
_BEFORE = {("allergy", ""): "allergy to "}


def write(stay: Stay, seed: int) -> Letter | None:
    """The coded terms of a stay in an order of their own; None where nothing is coded."""
    terms = list(_terms(stay))
    if not terms:
        return None
    stream(seed, stay.note_id, "words").shuffle(terms)
    draft = Draft(KEY, stay)
    for fact, slot in terms:
        place = Place(fact.kind, slot, False)
        before = _BEFORE.get((fact.kind, slot))
        pieces: list[Piece] = [Words(before), place] if before else [place]
        draft.line(pieces, {fact.kind: [fact]})
    return Letter(stay.note_id, stay, (draft.section(TITLE, "phrasebook"),), "", "words")


def _terms(stay: Stay) -> Iterator[tuple[Fact, str]]:
    """The facts and slots that name something coded, each code once."""
    told: set[tuple[str, str | None, str]] = set()
    for kind, slot in _NAMED:
        for fact in stay.of(kind)[:1] if kind in SINGLE else stay.of(kind):
            value = fact.values.get(slot)
            if value is None or not value.code or not value.text:
                continue
            coded = (_BEFORE.get((kind, slot), ""), value.system, value.code)
            if coded not in told:
                told.add(coded)
                yield fact, slot
