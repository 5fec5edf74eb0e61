"""Reads the sections of a letter and reports every disagreement with the facts of its stay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from fhirsynth.letters.check import admission, figures, levels, medicines, people, required, roles, sides, things, times
from fhirsynth.letters.check.known import Known
from fhirsynth.letters.check.lexicon import Lexicon, lexicon
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.reading import Reading
from fhirsynth.letters.facts import Stay

_RULES = (
    things.check,
    medicines.check,
    levels.check,
    figures.check,
    roles.check,
    people.check,
    times.check,
    sides.check,
    admission.check,
)


class Text(Protocol):
    """A section as far as the reader looks at it."""

    @property
    def key(self) -> str: ...
    @property
    def text(self) -> str: ...


class _Last:
    """The facts of the stay that was asked about last, laid out once for all its sections."""

    known: Known | None = None

    @classmethod
    def of(cls, stay: Stay, terms: Lexicon) -> Known:
        if cls.known is None or cls.known.stay is not stay or cls.known.lexicon is not terms:
            cls.known = Known(stay, terms)
        return cls.known


def check_section(stay: Stay, key: str, text: str) -> list[Problem]:
    """The problems of one section's text, in order; what the section must state and does not comes last."""
    terms = lexicon()
    known = _Last.of(stay, terms)
    reading = Reading(text, terms, key)
    return [*_disagreements(reading, known), *_obligations(reading, known)]


def check_letter(stay: Stay, letter: str | Iterable[Text], kind: str = "gp") -> list[Problem]:
    """The problems of a whole letter: as one text, or as its sections. `kind`: gp or patient.

    Beside those of each section, the required facts that are stated nowhere.
    """
    terms = lexicon()
    known = _Last.of(stay, terms)
    if isinstance(letter, str):
        readings = [Reading(letter, terms)]
    else:
        readings = [Reading(section.text, terms, section.key) for section in letter]
    found = [problem for reading in readings for problem in _disagreements(reading, known)]
    if kind == "patient":
        return found + list(required.missing(readings, known, required.PATIENT))
    for reading in readings:
        found.extend(_obligations(reading, known))
    everywhere = required.missing(readings, known)
    told = {problem.fact for problem in found if problem.rule == "missing"}
    return found + [problem for problem in everywhere if problem.fact not in told]


def _disagreements(reading: Reading, known: Known) -> list[Problem]:
    found = {problem._replace(section=reading.key) for rule in _RULES for problem in rule(reading, known)}
    return sorted(found, key=lambda problem: (problem.start, problem.end, problem.rule))


def _obligations(reading: Reading, known: Known) -> Iterator[Problem]:
    for begins, kinds in required.SECTIONS.items():
        if reading.key.startswith(begins):
            yield from required.missing([reading], known, kinds, reading.key)
