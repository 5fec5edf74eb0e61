"""What a record says about one hospital stay, as typed facts: all that a discharge letter may say.

A fact has one value for each slot that a sentence can name (`{med.dose}`), with its code where it has one, and the
FHIR resources it comes from. Nothing is made up here: what the record does not hold is no fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Value(NamedTuple):
    """One value as it stands in a letter. `type` is what its span is annotated as; `patient` the plain words.

    `resource` says which of its fact's resources it comes from, where that is not told by its type.
    """

    text: str
    type: str
    system: str | None = None
    code: str | None = None
    patient: str = ""
    resource: str = ""


class Fact(NamedTuple):
    """One thing the record says. `values` by slot, "" the main one; `required`: the letter must say it somewhere."""

    id: str
    kind: str
    values: Mapping[str, Value]
    resources: tuple[str, ...]
    tags: frozenset[str] = frozenset()
    required: bool = False

    @property
    def text(self) -> str:
        """The main value's text, "" where there is none."""
        return self.values[""].text if "" in self.values else ""


class Stay(NamedTuple):
    """One hospital stay as a letter sees it: its facts, tags for choosing words, and words that agree with the person.

    `note_id` is made of the encounter's id, so that a stay has the same letter wherever it is written.
    """

    note_id: str
    person_id: str
    encounter_id: str
    facts: tuple[Fact, ...]
    tags: frozenset[str]
    grammar: Mapping[str, str]

    def of(self, kind: str) -> list[Fact]:
        """The facts of one kind, in order."""
        return [fact for fact in self.facts if fact.kind == kind]

    def first(self, kind: str) -> Fact | None:
        """The first fact of a kind, if there is one."""
        return next((fact for fact in self.facts if fact.kind == kind), None)
