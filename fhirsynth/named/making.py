"""Finds the person of each case in the population, sets what the case sets, and tells their life."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from fhirsynth.days import day_of
from fhirsynth.errors import InputError
from fhirsynth.fhir import Context, person_resources
from fhirsynth.fhir.bundle import bundle
from fhirsynth.named.adding import added
from fhirsynth.named.altering import altered, flagged
from fhirsynth.named.cases import TABLES, Case, cases
from fhirsynth.named.sense import faults
from fhirsynth.named.signs import SIGNS, Life
from fhirsynth.population.people import People, make_people
from fhirsynth.record import Record
from fhirsynth.record.schema import PLACES
from fhirsynth.run import shard
from fhirsynth.spec import Spec
from fhirsynth.timeline import live

if TYPE_CHECKING:
    from fhirsynth.record.record import Rows
    from fhirsynth.record.schema import Contact, Person

#: The day on which the records of all cases are told.
INDEX: dt.date = Spec.model_fields["index_date"].default
#: Populations that are searched for a case, from its seed on, before it is given up.
_MOST = 2_000


@dataclass(frozen=True)
class Named:
    """A case and the person found for it: `rows` holds theirs by table, tables without a row left out.

    `seed`: of the population in which they were found.
    """

    case: Case
    seed: int
    person: Person
    rows: Rows

    @property
    def contacts(self) -> list[Contact]:
        """Those who stand by the person."""
        return self.rows.get("contact", [])

    @cached_property
    def resources(self) -> list[dict[str, Any]]:
        """All resources, Patient first. They share parts with those of others: read them, do not change them."""
        return added(self.case, person_resources(self.person, self.rows, context()))

    @property
    def bundle(self) -> dict[str, Any]:
        """The record as a transaction bundle; shared parts as in `resources`."""
        return bundle(self.resources, context())


@cache
def context() -> Context:
    """What the resources of all cases share; it knows the alerts of `cases.toml` too."""
    knowledge = shard.tools(INDEX).knowledge
    with_flags = dataclasses.replace(knowledge, flags=knowledge.flags | cases().flags)
    return Context(with_flags, index=INDEX)


def people() -> Iterator[Named]:
    """Everybody, in the order of `cases.toml`.

    Raises InputError where knowledge files of the user's own leave nobody who fits a case.
    """
    made: dict[str, Named] = {}
    for case in cases().people.values():
        made[case.key] = find(case, made)
        yield made[case.key]


def find(case: Case, others: Mapping[str, Named]) -> Named:
    """The first who fits a case, from its seed on. `others`: those that it refers to. Raises InputError."""
    for seed in range(case.seed, case.seed + _MOST):
        spec = case.spec(seed)
        kit = shard.tools(INDEX)
        with shard.without_collector():
            found = make_people(spec, 0, kit.knowledge, kit.model, kit.places)
            places = range(len(found.persons))
            # The place that the case names first, so that nobody else's life need be told.
            for position in sorted(places, key=lambda place: seed != case.seed or place != case.place):
                if not _is_meant(case, found.persons[position]):
                    continue
                named = _told(case, spec, found, position, others)
                life = Life(named.person, _filled(named.rows), day_of(INDEX), kit.knowledge)
                fits = all(SIGNS[sign](life, wanted) for sign, wanted in case.shows.items())
                if fits and next(faults(life), None) is None:
                    return named
    raise InputError(
        f"nobody in {_MOST} populations fits the case {case.key!r}: the knowledge files differ from those of fhirsynth"
    )


def _is_meant(case: Case, person: Person) -> bool:
    """Whether a person is who the case looks for, as far as that can be seen before their life is told."""
    if case.deceased != (person.death is not None):
        return False
    for column, wanted in case.who.items():
        value = getattr(person, column)
        if wanted == "*":
            if value is None:
                return False
        elif value not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True


def _told(case: Case, spec: Spec, found: People, position: int, others: Mapping[str, Named]) -> Named:
    """The life of one of the people found, after what the case sets of them."""
    kit = shard.tools(INDEX)
    person = found.persons[position]
    contacts = [contact for contact in found.contacts if contact.person_id == person.id]
    person, contacts = altered(case, person, contacts, others, kit.places)
    has = {key: flags[[position]] for key, flags in found.has.items()}
    record = Record(live(People([person], contacts, has), spec, kit.knowledge, kit.places))
    record["flag"].extend(flagged(case, person, record["encounter"], day_of(INDEX)))
    for table in TABLES:
        if table in case.without:
            record[table].clear()
    [(person, rows)] = record.by_person()
    return Named(case, spec.seed, person, rows)


def _filled(rows: Rows) -> Rows:
    """The rows with an empty list for each table that has none."""
    return {name: rows.get(name, []) for name in Record({}).tables if name not in (*PLACES, "person")}


def record(named: list[Named]) -> Record:
    """The tables of these people, without places. Contacts who are not among them are people outside."""
    tables: Rows = {"person": [one.person for one in named]}
    for one in named:
        for table, rows in one.rows.items():
            tables.setdefault(table, []).extend(rows)
    here = {one.person.id for one in named}
    tables["contact"] = [
        contact if contact.other_id in here else contact._replace(other_id=None) for contact in tables["contact"]
    ]
    return Record(tables)
