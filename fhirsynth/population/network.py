"""Builds the network: the conditions on top of demography and habits, solved to their published prevalence.

A condition's chance is a logit: an intercept by age band and sex plus the log odds ratios of its parents;
the intercept is solved so that the prevalence in every age band and sex is exactly the target, which is
the published ten-year figure spread smoothly over single years.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING

import numpy as np

from fhirsynth.population.demography import age_weights, band_of_age, demography
from fhirsynth.population.inference import Factor, joint
from fhirsynth.population.nodes import ADULT, OLDEST, PRESENCE, SEXES, Node, logistic
from fhirsynth.population.statistics import rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fhirsynth.knowledge import Knowledge
    from fhirsynth.knowledge.schema import Condition

    Floats = NDArray[np.float64]

log = logging.getLogger(__name__)

#: Part of the digest: raise it when the way of building changes, so that stored models are rebuilt.
BUILD = 1
#: Files that the numbers of the network depend on.
TABLES = (
    "conditions_kuan",
    "population_age_sex",
    "population_life_table",
    "population_region",
    "population_ethnic_category",
    "population_ethnic_age",
    "population_imd_age",
    "population_imd_ethnicity",
    "population_marital",
    "population_household",
    "population_language",
    "population_habits",
    "population_habit_effects",
)


def conditions_of(knowledge: Knowledge) -> dict[str, Condition]:
    """The long-term conditions in an order in which every parent comes before its children.

    Raises ValueError naming a parent that does not exist, or the conditions of a circle.
    """
    left = {key: c for key, c in sorted(knowledge.conditions.items()) if c.kind == "long-term"}
    known = set(left)
    for key, condition in left.items():
        for because in condition.because:
            if "=" not in because.of and because.of not in known:
                raise ValueError(f"{key}: because of {because.of!r}, which is not a long-term condition")
    order: dict[str, Condition] = {}
    while left:
        ready = [k for k, c in left.items() if all("=" in b.of or b.of in order for b in c.because)]
        if not ready:
            raise ValueError(f"conditions cause each other in a circle: {', '.join(left)}")
        for key in ready:
            order[key] = left.pop(key)
    return order


def youngest(condition: Condition) -> int:
    """Age in years below which nobody has the condition."""
    return max(condition.min_age, condition.onset.never_before)


def digest(knowledge: Knowledge) -> str:
    """Digest of everything that the network is built from."""
    parts: list[object] = [BUILD]
    for key, c in conditions_of(knowledge).items():
        assert c.prevalence is not None
        links = [(b.of, b.odds_ratio) for b in c.because]
        parts.append((key, c.sex, youngest(c), c.max_age, c.prevalence.code, links))
    parts += [(name, knowledge.table(name)) for name in TABLES]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def band_edges(conditions: Mapping[str, Condition]) -> tuple[int, ...]:
    """First ages of the bands: every five years to 90, and wherever an age limit falls."""
    edges = {*range(0, 91, 5), ADULT}
    for condition in conditions.values():
        edges |= {youngest(condition), condition.max_age + 1}
    return tuple(sorted(edge for edge in edges if edge <= 90))


# --- conditions ----------------------------------------------------------------------------------


def prevalence_by_age(knowledge: Knowledge, condition: Condition) -> Floats:
    """Target share with the condition by single year of age 0 to 110 and sex; shape (111, 2).

    The published figure of each ten-year band is the population-weighted mean of the years in it: the
    running total of cases is interpolated over the running total of people by a monotone cubic, whose
    slope is the prevalence. Years outside the condition's age limits, and the other sex, are 0; what the
    table counts there is dropped. Raises ValueError when the table has no such code.
    """
    from scipy.interpolate import PchipInterpolator  # type: ignore[import-untyped]

    assert condition.prevalence is not None
    code = condition.prevalence.code
    table = {r["sex"]: r for r in rows(knowledge, "conditions_kuan") if r["code"] == code}
    if not table:
        raise ValueError(f"{condition.key}: prevalence code {code!r} is not in conditions_kuan.csv")
    weights = age_weights(knowledge)
    out = np.zeros((OLDEST + 1, 2))
    ages = np.arange(OLDEST + 1)
    allowed = (ages >= youngest(condition)) & (ages <= condition.max_age)
    for column, sex in enumerate(SEXES):
        if sex not in table or condition.sex not in (None, sex):
            continue
        columns = [c for c in table[sex] if c not in ("code", "sex")]
        share = np.array([float(table[sex][c]) for c in columns]) / 10_000
        starts = [int(c.rstrip("+").split("-")[0]) for c in columns] + [OLDEST + 1]
        people = np.concatenate([[0.0], np.cumsum(weights[:, column])])
        knots = people[starts]
        cases = np.concatenate([[0.0], np.cumsum(share * np.diff(knots))])
        curve = np.diff(PchipInterpolator(knots, cases)(people)) / np.diff(people)
        out[:, column] = np.where(allowed, np.clip(curve, 0, 0.98), 0)
    return out


def targets(knowledge: Knowledge, condition: Condition, edges: tuple[int, ...]) -> Floats:
    """Target share with the condition by age band and sex; shape (bands, 2)."""
    weights = age_weights(knowledge)
    bands = band_of_age(edges)
    cases, people = np.zeros((len(edges), 2)), np.zeros((len(edges), 2))
    np.add.at(cases, bands, prevalence_by_age(knowledge, condition) * weights)
    np.add.at(people, bands, weights)
    return np.asarray(cases / people)


def _parents(condition: Condition, states: Mapping[str, tuple[str, ...]]) -> dict[str, list[float]]:
    # Parent node → log odds ratio of each of its states.
    effects: dict[str, list[float]] = {}
    for because in condition.because:
        name, _, state = because.of.partition("=")
        name, state = (name.replace("-", "_"), state) if state else (name, "present")
        if name not in states or state not in states[name]:
            raise ValueError(f"{condition.key}: because of {because.of!r}, which the network does not have")
        effect = effects.setdefault(name, [0.0] * len(states[name]))
        effect[states[name].index(state)] += float(np.log(because.odds_ratio))
    return effects


def _solve(target: Floats, weight: Floats, effect: Floats) -> Floats:
    # Intercept per cell such that Σ weight · logistic(intercept + effect) = target, by bisection to the
    # last bit. target (cells,), weight (cells, k), effect (k,).
    wanted = np.clip(target, 1e-300, 1)
    base = np.log(wanted) - np.log1p(-wanted)
    low, high = base - effect.max() - 1, base - effect.min() + 1
    for _ in range(80):
        middle = (low + high) / 2
        above = (weight * logistic(middle[:, None] + effect)).sum(axis=1) > wanted
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.where(target > 0, (low + high) / 2, -np.inf)


def build_nodes(knowledge: Knowledge) -> tuple[tuple[int, ...], list[Node]]:
    """First ages of the bands, and all nodes in topological order."""
    conditions = conditions_of(knowledge)
    edges = band_edges(conditions)
    nodes = {node.name: node for node in demography(knowledge, edges)}
    for number, (key, condition) in enumerate(conditions.items(), 1):
        states = {name: node.states for name, node in nodes.items()}
        effects = _parents(condition, states)
        wanted = targets(knowledge, condition, edges).reshape(-1)
        parents = tuple(effects)
        weight = joint(cell_factors(nodes, parents), parents, len(wanted), {n: len(states[n]) for n in nodes})
        effect = np.zeros(())
        for values in effects.values():
            effect = effect[..., None] + np.asarray(values)
        intercept = _solve(wanted, weight.reshape(len(wanted), -1), effect.reshape(-1))
        nodes[key] = Node(
            key,
            PRESENCE,
            ("age_band", "sex", *parents),
            intercept=intercept.reshape(len(edges), 2),
            effects=tuple(tuple(v) for v in effects.values()),
        )
        log.info("network: %s solved (%d of %d)", key, number, len(conditions))
    return edges, list(nodes.values())


def ancestors(nodes: Mapping[str, Node], of: tuple[str, ...]) -> list[str]:
    """`of` and all nodes above them, age band and sex left out, in topological order."""
    found = set(of)
    for name in reversed(list(nodes)):
        if name in found:
            found |= set(nodes[name].parents)
    return [name for name in nodes if name in found and name not in ("age_band", "sex")]


def cell_factors(nodes: Mapping[str, Node], of: tuple[str, ...]) -> list[Factor]:
    """The tables of `of` and their ancestors, first axis the cell (age band × sex), then variables."""
    bands = len(nodes["age_band"].states)
    out = []
    for name in ancestors(nodes, of):
        node = nodes[name]
        table = node.probabilities()
        variables = [p for p in node.parents if p not in ("age_band", "sex")]
        for axis, parent in enumerate(("age_band", "sex")):
            if parent not in node.parents:
                table = np.expand_dims(table, axis)
        shape = (bands, 2, *table.shape[2:])
        out.append(Factor((*variables, name), np.broadcast_to(table, shape).reshape(-1, *shape[2:])))
    return out
