"""The cases of `cases.toml`: whom to look for, what of them is set, and what they are for."""

from __future__ import annotations

import datetime as dt
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from pydantic import Field, model_validator

from fhirsynth.knowledge.schema import Flag, Form, Key, Sex
from fhirsynth.record.schema import Person
from fhirsynth.spec import Spec

#: Tables that may be left empty: no other refers to them.
TABLES = ("contact", "allergy", "family_history")


class Case(Form):
    """One named person.

    `name`: what the case is, in few words; `tests`: what it is for. `n`, `seed`, `years`, `age`, `sex`, `region`,
    `condition`, `deceased`: the population in which the search begins (`Spec`; the next seeds follow); `place`: who is
    looked at first there, counted from 0. `who`: columns
    of the person and the value, or one of several values, that they must have ("*": any). `shows`: what their record
    must show, by the names of `fhirsynth.named.signs`. `set`: columns of the person that are given another value;
    `without`: columns, or some tables of their record, that are left empty. `flags`: keys of alerts that are added.
    `child_of`, `twin_of`: the case whose newborn or twin this is made. `second_practice`: the region of a practice
    where they are registered for a while besides. `patient`, `related`: elements of FHIR that are added to Patient and
    to the first RelatedPerson; `drops`: elements that Patient does not have.
    """

    key: Key
    name: str
    tests: str

    n: int = 1
    seed: int
    place: int = 0
    years: int = 1
    age: tuple[int, int]
    sex: Sex | None = None
    region: str | None = None
    condition: tuple[str, ...] = ()
    deceased: bool = False

    who: dict[str, str | bool | list[str]] = Field(default_factory=dict)
    shows: dict[str, Any] = Field(default_factory=dict)

    set: dict[str, str | int | bool | dt.date] = Field(default_factory=dict)
    without: tuple[str, ...] = ()
    flags: tuple[Key, ...] = ()
    child_of: Key | None = None
    twin_of: Key | None = None
    second_practice: str | None = None

    patient: dict[str, Any] = Field(default_factory=dict)
    related: dict[str, Any] = Field(default_factory=dict)
    drops: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _columns_are_known(self) -> Case:
        from fhirsynth.named.signs import SIGNS

        for column in (*self.who, *self.set, *(name for name in self.without if name not in TABLES)):
            if column not in Person._fields:
                raise ValueError(f"a person has no column {column!r}")
        for sign in self.shows:
            if sign not in SIGNS:
                raise ValueError(f"there is no sign {sign!r}")
        return self

    def spec(self, seed: int) -> Spec:
        """The population with this seed that is searched."""
        return Spec(
            n=self.n,
            seed=seed,
            years=self.years,
            age=self.age,
            sex=self.sex,
            region=self.region,
            condition=self.condition,
            deceased=self.deceased,
        )

    @property
    def changed(self) -> list[str]:
        """What of the person was not found but made: names of columns, elements, flags and relations."""
        relations = [
            said
            for said, given in (
                (f"newborn of {self.child_of}", self.child_of),
                (f"twin of {self.twin_of}", self.twin_of),
                ("a second practice", self.second_practice),
            )
            if given
        ]
        alerts = [f"the alert {key}" for key in self.flags]
        added = [f"Patient.{name}" for name in self.patient] + [f"RelatedPerson.{name}" for name in self.related]
        absent = [f"no {name}" for name in (*self.without, *(f"Patient.{name}" for name in self.drops))]
        return [*relations, *self.set, *added, *absent, *alerts]


class Cases(NamedTuple):
    """All cases by key, in their order, and the alerts that they use beyond those of the knowledge files."""

    people: dict[str, Case]
    flags: dict[str, Flag]


@cache
def cases() -> Cases:
    """`cases.toml`, read once a process."""
    text = files("fhirsynth.named").joinpath("cases.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    # Nobody has these alerts by chance: a share of nought.
    flags = {key: Flag(key=key, share=0, **table) for key, table in tables.pop("flags").items()}
    return Cases({key: Case(key=key, **table) for key, table in tables.items()}, flags)
