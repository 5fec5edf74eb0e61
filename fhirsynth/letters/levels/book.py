"""The sections of ward notes and the patterns that their lines are made from, as read from `notes.toml`."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fhirsynth.letters.facts import Fact, Stay
from fhirsynth.letters.levels.moments import Occasion
from fhirsynth.letters.phrases import SLOTS, VOICES, Voice, condition
from fhirsynth.letters.plan import Heading, LineForm, line_of

FILE = "notes.toml"


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(_Form):
    """A part of a section: one pattern says all facts of the kinds `says`; without any of them it is left out.

    `procedures`: those that it may tell, of earlier days and told in no note yet, of the note's own day, or both and
    every operation. `share`: how often the part is there at all.
    """

    name: str
    says: tuple[str, ...] = ()
    procedures: Literal["", "earlier", "today", "stay"] = ""
    share: float = Field(default=1.0, gt=0, le=1)


class Sheet(_Form):
    """A section of a note, on the occasions that it belongs to. The first of a note bears its date and time."""

    occasion: tuple[Occasion, ...]
    key: str
    title: str
    part: tuple[Part, ...]


class _PatternForm(_Form):
    part: str
    voice: tuple[Voice, ...] = VOICES
    when: tuple[str, ...] = ()
    between: str = "\n"
    line: tuple[LineForm, ...] = Field(min_length=1)


class Pattern(NamedTuple):
    """One way to say a part: lines as those of a fixed section, of which `between` stands between each and the next.

    `particular`: how much its terms ask for; a wording that fits better is drawn more often.
    """

    where: str
    part: str
    voices: frozenset[str]
    when: tuple[tuple[str, str, bool], ...]
    between: str
    heading: Heading
    particular: int

    def fits(self, stay: Stay, facts: tuple[Fact, ...]) -> bool:
        """Whether its terms hold for a stay and for some of these facts."""
        for kind, tag, wanted in self.when:
            held = tag in stay.tags if not kind else any(fact.kind == kind and tag in fact.tags for fact in facts)
            if held != wanted:
                return False
        return True


class Book(NamedTuple):
    """All of it: sections in order, and patterns by part."""

    sheets: tuple[Sheet, ...]
    patterns: Mapping[str, tuple[Pattern, ...]]

    def of(self, occasion: Occasion) -> list[Sheet]:
        """The sections of a note on an occasion."""
        return [sheet for sheet in self.sheets if occasion in sheet.occasion]


@cache
def book() -> Book:
    """The package's own."""
    return read((resources.files(__package__) / FILE).read_text(encoding="utf-8"))


def read(text: str) -> Book:
    """The book that a TOML text holds. Raises ValueError naming the section or pattern and what is wrong with it."""
    content = tomllib.loads(text)
    if other := sorted(content.keys() - {"section", "pattern"}):
        raise ValueError(f"{FILE}: unknown table {other[0]!r}")
    sheets = tuple(_sheet(entry, number) for number, entry in enumerate(content.get("section", []), 1))
    parts = {part.name for sheet in sheets for part in sheet.part}
    patterns: dict[str, list[Pattern]] = defaultdict(list)
    for number, entry in enumerate(content.get("pattern", []), 1):
        pattern = _pattern(entry, f"{FILE}, pattern {number}", parts)
        patterns[pattern.part].append(pattern)
    return Book(sheets, {part: tuple(found) for part, found in patterns.items()})


def _sheet(entry: Any, number: int) -> Sheet:
    try:
        sheet = Sheet.model_validate(entry)
    except ValidationError as error:
        raise ValueError(f"{FILE}, section {number}: {_first(error)}") from error
    for part in sheet.part:
        for kind in part.says:
            if kind not in SLOTS:
                raise ValueError(f"{FILE}, section {number}: {part.name}: no kind of fact is called {kind!r}")
    return sheet


def _pattern(entry: Any, where: str, parts: set[str]) -> Pattern:
    try:
        form = _PatternForm.model_validate(entry)
        if form.part not in parts:
            raise ValueError(f"no section has a part {form.part!r}")
        for line in form.line:
            if re.search("[<>]", re.sub("<[^<>]*>", "", line.text)):
                raise ValueError(f"a bracket < > is left open, or stands inside another, in {line.text!r}")
        lines = tuple(line_of(line) for line in form.line)
        when = tuple((*condition(term.removeprefix("!")), not term.startswith("!")) for term in form.when)
    except ValidationError as error:
        raise ValueError(f"{where}: {_first(error)}") from error
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    heading = Heading(form.part, "", "", "", "O", "fixed", lines)
    particular = sum(2 if ":" in tag else 1 for _, tag, wanted in when if wanted)
    return Pattern(where, form.part, frozenset(form.voice), when, form.between, heading, particular)


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
