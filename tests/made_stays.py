"""Stays of a few facts, made by hand: what the reader of letters holds single sentences against."""

from __future__ import annotations

from fhirsynth.letters.facts import Fact, Stay, Value

_TYPES = {"first": "value", "last": "value", "value": "value", "date": "date", "side": "laterality", "ward": "ward"}


def fact(kind: str, text: str, tags: frozenset[str] = frozenset(), number: int = 1, **slots: str) -> Fact:
    """A fact with a main value, "" for none, and others by slot."""
    values = {"": Value(text, "x")} if text else {}
    values |= {slot: Value(said, _TYPES.get(slot, "x")) for slot, said in slots.items()}
    return Fact(f"{kind}:{number}", kind, values, (), tags)


def bedside(kind: str, tags: frozenset[str] = frozenset(), **slots: str) -> Fact:
    """The first (`obs`) or the last (`obsend`) observations."""
    return Fact(f"{kind}:1", kind, {slot: Value(said, "observation") for slot, said in slots.items()}, (), tags)


def stay(*facts: Fact, he: str = "she", tags: frozenset[str] = frozenset()) -> Stay:
    """A stay of Mrs Joan Smith, 84."""
    patient = {
        "": Value("Mrs Joan Smith", "person_name"),
        "short": Value("Mrs Smith", "person_name"),
        "age": Value("84", "age"),
        "aged": Value("84-year-old", "age"),
    }
    return Stay("n", "p", "e", (Fact("patient:1", "patient", patient, ()), *facts), tags, {"he": he})
