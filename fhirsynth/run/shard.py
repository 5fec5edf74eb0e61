"""One shard from spec to record to resources, with what a process needs for it loaded once."""

from __future__ import annotations

import datetime as dt
import gc
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from fhirsynth import knowledge as kb
from fhirsynth.errors import InputError
from fhirsynth.fhir import Context, organisations_bundle, person_bundle
from fhirsynth.knowledge.errors import nearest
from fhirsynth.population import REGIONS
from fhirsynth.population.model import PopulationModel, load_model
from fhirsynth.population.people import People, make_people
from fhirsynth.population.places import Places, load_places
from fhirsynth.record import Record
from fhirsynth.record.schema import KEYS, PLACES
from fhirsynth.timeline import live

if TYPE_CHECKING:
    from fhirsynth.knowledge import Knowledge
    from fhirsynth.record.schema import Person
    from fhirsynth.spec import Spec

Json = dict[str, Any]


@dataclass(frozen=True)
class Tools:
    """What every shard of a run needs and none changes."""

    knowledge: Knowledge
    model: PopulationModel
    places: Places
    context: Context


@dataclass(frozen=True)
class Shard:
    """One shard made: its people (living first) and the linked tables of their lives, without places."""

    living: int
    people: People
    record: Record


@lru_cache(maxsize=1)
def tools(index_date: dt.date) -> Tools:
    """Knowledge, model, places and exporter, loaded once a process. Raises KnowledgeError."""
    knowledge = kb.load()
    return Tools(knowledge, load_model(knowledge), load_places(knowledge), Context(knowledge, index=index_date))


def check(spec: Spec) -> None:
    """Raise InputError where the spec names what does not exist or asks for people who cannot be."""
    knowledge = kb.load()
    long_term = [key for key, condition in knowledge.conditions.items() if condition.kind == "long-term"]
    for key in spec.condition:
        if key not in long_term:
            found = "is not one that people live with" if key in knowledge.conditions else "is not known"
            raise InputError(f"condition {key!r} {found}; {nearest(key, long_term)}")
    if spec.region is not None and spec.region not in REGIONS:
        raise InputError(f"region {spec.region!r} is not known; {nearest(spec.region, REGIONS)}")
    model = tools(spec.index_date).model
    try:
        evidence = model.codes_of(dict.fromkeys(spec.condition, True), spec.region)
        model.age_sex_weights(spec.age, spec.sex, evidence)
    except ValueError as error:
        raise InputError(f"{error}; widen --age, --sex or --condition") from None


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep Python's cycle collector from walking over a shard's many small objects again and again.

    They hold no cycles, so they are freed as soon as the shard is let go; the collector only costs a fifth of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def make(spec: Spec, number: int) -> Shard:
    """Make shard `number` (counted from 0). The same spec and number give the same shard anywhere."""
    kit = tools(spec.index_date)
    with without_collector():
        people = make_people(spec, number, kit.knowledge, kit.model, kit.places)
        record = Record(live(people, spec, kit.knowledge, kit.places))
    return Shard(spec.shard_size(number), people, record)


def place_tables(places: Places) -> dict[str, list[Any]]:
    """The tables of places and staff, as the record has them."""
    return {
        "organisation": places.organisations,
        "location": places.locations,
        "practitioner": places.practitioners,
        "practitioner_role": places.practitioner_roles,
        "healthcare_service": places.healthcare_services,
    }


def bundles(shard: Shard, context: Context, *, shared: bool = False) -> Iterator[tuple[Person, Json]]:
    """Each person of a shard with their bundle; `shared` as in `fhirsynth.fhir.person_bundle`."""
    for person, rows in shard.record.by_person():
        yield person, person_bundle(person, rows, context, shared=shared)


def organisations(spec: Spec, used: Collection[str] | None = None) -> Json:
    """The bundle of places and staff, to be loaded before the people.

    With `used` (ids, as `places_used` finds them) only those, and what they belong to; otherwise every place there is.
    """
    return organisations_bundle(places(spec, used), tools(spec.index_date).context)


def places(spec: Spec, used: Collection[str] | None = None) -> dict[str, list[Any]]:
    """The tables of places and staff: with `used`, only of those and what they belong to."""
    tables = place_tables(tools(spec.index_date).places)
    return tables if used is None else _with_what_they_belong_to(tables, used)


def places_used(shard: Shard) -> set[str]:
    """Ids of the places and staff that a shard's rows refer to."""
    used: set[str | None] = set()
    for table, keys in KEYS.items():
        columns = [name for name, target in keys.items() if target in PLACES]
        for column in columns:
            used.update(map(attrgetter(column), shard.record.tables.get(table, ())))
    return {found for found in used if found is not None}


def _with_what_they_belong_to(tables: dict[str, list[Any]], used: Collection[str]) -> dict[str, list[Any]]:
    """The rows of `used`, whatever these refer to in turn, and the services that the staff among them provide."""
    rows = {row.id: (table, row) for table, found in tables.items() for row in found}
    wanted: set[str] = set()
    waiting = list(used)
    while waiting:
        found = waiting.pop()
        if found in wanted:
            continue
        wanted.add(found)
        table, row = rows[found]
        waiting.extend(key for key in (getattr(row, name) for name in KEYS.get(table, ())) if key is not None)
    provided = {(row.location_id, row.specialty) for row in tables["practitioner_role"] if row.id in wanted}
    wanted.update(row.id for row in tables["healthcare_service"] if (row.location_id, row.specialty) in provided)
    return {table: [row for row in found if row.id in wanted] for table, found in tables.items()}
