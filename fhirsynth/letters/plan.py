"""Which sections a discharge letter has, in which order, and which facts each of them is about.

Headings, codes and obligations are data: `sections.toml`, after the PRSB standard for inpatient discharge.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fhirsynth.letters.facts import Fact, Stay
from fhirsynth.letters.phrases import SLOTS, Piece, Place, condition, parse


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(_Form):
    """A part of a narrative section: how many patterns it takes at least (where there are any) and at most."""

    name: str
    title: str = ""
    least: int = 0
    most: int
    bare: bool = False
    paragraph: bool = False
    alone: bool = False
    names: bool = False
    first: bool = False
    wants: tuple[str, ...] = ()
    share: float = 1.0


class LineForm(_Form):
    """A line of a fixed section as its author writes it; what the keys mean is told in `sections.toml`."""

    text: str
    each: str = ""
    joined: str = Field(default="", alias="with")
    when: tuple[str, ...] = ()
    says: str = ""
    about: str = ""
    type: str = ""


class _SectionForm(_Form):
    key: str
    title: str
    snomed: str
    ukcore: str
    obligation: Literal["M", "R", "O"]
    kind: Literal["fixed", "narrative"]
    line: tuple[LineForm, ...] = ()
    must: tuple[str, ...] = ()
    most: Mapping[str, int] = {}
    part: tuple[Part, ...] = ()


class _PatientForm(_Form):
    must: tuple[str, ...]
    most: Mapping[str, int]
    part: tuple[Part, ...]


class _File(_Form):
    section: tuple[_SectionForm, ...]
    patient: _PatientForm


class Stretch(NamedTuple):
    """A piece of a line that is said whole or, where `optional` and a slot of it is missing, not at all."""

    pieces: tuple[Piece, ...]
    places: tuple[Place, ...]
    optional: bool


class Line(NamedTuple):
    """One line of a fixed section. `says` names a kind whose fact the text itself states, from the word `about` on.

    `kinds`: those whose facts it is about.
    """

    stretches: tuple[Stretch, ...]
    each: str
    joined: str
    when: tuple[tuple[str, str, bool], ...]
    says: str
    about: str
    type: str
    kinds: frozenset[str]


class Heading(NamedTuple):
    """A section under its PRSB heading. `parts` and `must` are a narrative section's, `lines` a fixed one's."""

    key: str
    title: str
    snomed: str
    ukcore: str
    obligation: Literal["M", "R", "O"]
    kind: Literal["fixed", "narrative"]
    lines: tuple[Line, ...] = ()
    parts: tuple[Part, ...] = ()
    must: tuple[tuple[str, str], ...] = ()
    most: Mapping[str, int] = {}


class Planned(NamedTuple):
    """A section of one letter with the facts it is about, and the ids of those that it must say."""

    heading: Heading
    facts: tuple[Fact, ...]
    must: frozenset[str]


#: Section of patterns that is the letter to the patient; each of its parts stands under a heading of its own.
PATIENT_LETTER = "patient-letter"


@cache
def headings() -> tuple[Heading, ...]:
    """The sections of the letter to the general practitioner, in order."""
    return tuple(_heading(form) for form in _file().section)


@cache
def patient_heading() -> Heading:
    """The letter to the patient, planned as one section."""
    form = _file().patient
    must = _terms(form.must)
    return Heading(PATIENT_LETTER, "Your hospital stay", "", "", "O", "narrative", (), form.part, must, form.most)


@cache
def heading_of(key: str) -> Heading:
    """The heading of a section by its key, of either letter. Raises KeyError."""
    return {heading.key: heading for heading in (*headings(), patient_heading())}[key]


def plan(stay: Stay, kind: str = "gp") -> tuple[Planned, ...]:
    """The sections of a letter about a stay, with their facts. The letter to the patient has none after a death."""
    if kind == "patient":
        return () if "died" in stay.tags else (Planned(patient_heading(), *_share(patient_heading(), stay)),)
    return tuple(Planned(heading, *_share(heading, stay)) for heading in headings())


def _share(heading: Heading, stay: Stay) -> tuple[tuple[Fact, ...], frozenset[str]]:
    """The facts that a section may say, and those of them that it must."""
    if heading.kind == "fixed":
        kinds: set[str] = set()
        for line in heading.lines:
            if all((tag in stay.tags) == wanted for kind, tag, wanted in line.when if not kind):
                kinds |= line.kinds
        own = tuple(fact for fact in stay.facts if fact.kind in kinds)
        return own, frozenset(fact.id for fact in own if fact.required)
    must = (f.id for f in stay.facts for kind, tag in heading.must if f.kind == kind and (not tag or tag in f.tags))
    return stay.facts, frozenset(must)


@cache
def _file() -> _File:
    text = (resources.files("fhirsynth.letters") / "sections.toml").read_text(encoding="utf-8")
    try:
        return _File.model_validate(tomllib.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"sections.toml: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _heading(form: _SectionForm) -> Heading:
    must = _terms(form.must)
    for kind in (*(kind for kind, _ in must), *form.most):
        if kind not in SLOTS:
            raise ValueError(f"sections.toml: {form.key}: no kind of fact is called {kind!r}")
    return Heading(
        form.key,
        form.title,
        form.snomed,
        form.ukcore,
        form.obligation,
        form.kind,
        tuple(line_of(line) for line in form.line),
        form.part,
        must,
        form.most,
    )


def _terms(terms: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Kinds, each with a tag or "", from `kind` and `kind:tag`."""
    return tuple((kind, tag) for kind, _, tag in (term.partition(":") for term in terms))


def line_of(form: LineForm) -> Line:
    """A line ready for use. Raises ValueError for a placeholder or a term that can never hold."""
    stretches = tuple(
        _stretch(text.strip("<>"), text.startswith("<")) for text in re.findall(r"<[^<>]*>|[^<>]+", form.text)
    )
    when = tuple((*condition(term.removeprefix("!")), not term.startswith("!")) for term in form.when)
    kinds = frozenset({form.says, *(place.kind for stretch in stretches for place in stretch.places)})
    return Line(stretches, form.each, form.joined, when, form.says, form.about, form.type, kinds)


def _stretch(text: str, optional: bool) -> Stretch:
    pieces = parse(text)
    return Stretch(pieces, tuple(piece for piece in pieces if isinstance(piece, Place)), optional)


def holds(line: Line, stay: Stay, bound: Mapping[str, Fact]) -> bool:
    """Whether the terms of a line's `when` hold for a stay and the facts that the line is about."""
    for kind, tag, wanted in line.when:
        tags = stay.tags if not kind else bound[kind].tags if kind in bound else frozenset()
        if (tag in tags) != wanted:
            return False
    return True
