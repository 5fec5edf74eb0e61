"""Makes the people of a shard: drawn from the model, put into households, named, given an address.

The living come first, exactly as many as asked for; then those who died inside the history window.
"""

from __future__ import annotations

import datetime as dt
import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fhirsynth.days import date_of, day_of
from fhirsynth.population.details import Details
from fhirsynth.population.households import match, separate
from fhirsynth.population.nodes import OLDEST, SEXES
from fhirsynth.population.statistics import rows
from fhirsynth.spec import SHARD_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fhirsynth.knowledge import Knowledge
    from fhirsynth.population.inference import Codes
    from fhirsynth.population.model import PopulationModel
    from fhirsynth.population.places import Places
    from fhirsynth.record.schema import Contact, Person
    from fhirsynth.spec import Spec

#: Places in the numbering that a shard has: as many dead as living at most.
BLOCK = 2 * SHARD_SIZE
CANDIDATES = 16  # lives drawn for each death, one of which is taken
DAY = 86_400
LATEST = DAY - 3_600  # second of the day, in UTC, that is still the same day in British Summer Time


@dataclass
class People:
    """People of one shard; `has[condition]` says for each person whether they have (or had) it."""

    persons: list[Person]
    contacts: list[Contact]
    has: dict[str, NDArray[np.bool_]]


def make_people(spec: Spec, shard: int, knowledge: Knowledge, model: PopulationModel, places: Places) -> People:
    """The people of `shard`: `spec.shard_size(shard)` living, then the dead of the window.

    Raises ValueError naming what is unknown (a condition, a region) or cannot go together.
    """
    evidence = _evidence(spec, model)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(spec.seed, spawn_key=(shard, 0))))
    n = spec.shard_size(shard)
    weights = model.age_sex_weights(spec.age, spec.sex, evidence)

    codes = model.draw_ages(n, rng, weights)
    birth = _births(codes["age"], np.full(n, day_of(spec.index_date)), rng)
    region = {name: state for name, state in evidence.items() if name == "region"}
    if spec.condition:
        model.complete(codes, rng, evidence)
        households = separate(n)
    else:
        model.complete(codes, rng, region, until="household")
        households = match(codes, birth, model, rng)
        model.complete(codes, rng)
    details = Details(spec, shard * BLOCK, knowledge, model, places, rng)
    details.add(codes, birth, None, households)
    groups = [codes]

    if spec.deceased:
        dead = _deaths(spec, knowledge, model, n, weights, rng)
        if len(dead):
            days = day_of(spec.start) + rng.integers(0, (spec.index_date - spec.start).days, len(dead))
            codes = _dead(dead, evidence, knowledge, model, rng)
            birth = _births(codes["age"], days, rng)
            details.add(codes, birth, days * DAY + rng.integers(0, LATEST, len(dead)), separate(len(dead)))
            groups.append(codes)
    has = {key: np.concatenate([g[key] for g in groups]).astype(bool) for key in model.conditions}
    return People(details.persons, details.contacts, has)


def _evidence(spec: Spec, model: PopulationModel) -> dict[str, int]:
    for key in spec.condition:
        if key not in model.conditions:
            near = difflib.get_close_matches(key, model.conditions, 3)
            hint = f"; do you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"condition {key!r} is not a long-term condition of the knowledge files{hint}")
    return model.codes_of(dict.fromkeys(spec.condition, True), spec.region)


def _births(age: NDArray[np.int8], on: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    # A day of birth for everyone who is `age` years old on the day `on`, all days equally likely; never `on`
    # itself for the new-born, so that every life has a day.
    shares = rng.random(len(age))
    out = np.empty(len(age), np.int64)
    for i, (years, day, share) in enumerate(zip(age.tolist(), on.tolist(), shares.tolist(), strict=True)):
        last, before = _years_earlier(day, years), _years_earlier(day, years + 1)
        out[i] = last - max(int(share * (last - before)), years == 0)
    return out


def _years_earlier(day: int, years: int) -> int:
    date = date_of(day)
    if date.month == 2 and date.day == 29:
        date -= dt.timedelta(1)
    return day_of(date.replace(year=date.year - years))


def _deaths(
    spec: Spec,
    knowledge: Knowledge,
    model: PopulationModel,
    n: int,
    weights: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    # Age × 2 + sex of those who died in the window, by life table; at most as many as are alive.
    table = rows(knowledge, "population_life_table")
    dying = np.array([[float(r[s]) for s in SEXES] for r in table])
    rates = dying[np.minimum(np.arange(OLDEST + 1), len(dying) - 1)]
    for key in spec.condition:
        # Those with a condition die more often than all of their age do.
        ratio = knowledge.conditions[key].hazard_ratio
        share = np.asarray(model.prevalence(key))[model.bands]
        rates = np.minimum(0.95, rates * ratio / (1 + share * (ratio - 1)))
    chance = weights * rates / weights.sum()
    number = min(int(rng.poisson(n * spec.years * chance.sum())), BLOCK - SHARD_SIZE)
    running = np.cumsum(chance.reshape(-1))
    return np.sort(np.searchsorted(running, rng.random(number) * running[-1], side="right"))


def _dead(
    dead: NDArray[np.intp],
    evidence: dict[str, int],
    knowledge: Knowledge,
    model: PopulationModel,
    rng: np.random.Generator,
) -> Codes:
    # Several lives at each age and sex, one taken in proportion to its hazard.
    cells = np.repeat(dead, CANDIDATES)
    codes = model.complete(model.cells_of(cells // 2, (cells % 2).astype(np.int8)), rng, evidence)
    hazard = np.ones(len(cells))
    for key in model.conditions:
        ratio = knowledge.conditions[key].hazard_ratio
        if ratio != 1:
            hazard *= np.where(codes[key], ratio, 1.0)
    for row in rows(knowledge, "population_mortality"):
        name, _, state = row["of"].partition("=")
        name = name.replace("-", "_")
        hazard *= np.where(codes[name] == model.states[name].index(state), float(row["rate_ratio"]), 1.0)
    running = np.cumsum(hazard.reshape(-1, CANDIDATES), axis=1)
    level = rng.random(len(dead)) * running[:, -1]
    taken = np.arange(len(dead)) * CANDIDATES + (running[:, :-1] <= level[:, None]).sum(axis=1)
    return {name: values[taken] for name, values in codes.items()}
