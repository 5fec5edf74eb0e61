"""Builds the network: which node depends on which, and the numbers of each, solved to published margins.

Everything before the conditions comes straight from statistics files (`population_*.csv`), fitted
where two margins must hold at once. A condition's chance is a logit: an intercept by age band and sex plus
the log odds ratios of its parents; the intercept is solved so that the prevalence in every age band and
sex is exactly the target, which is the published ten-year figure spread smoothly over single years.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fhirsynth.population import REGIONS
from fhirsynth.population.inference import Factor, joint
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
OLDEST = 110
ADULT = 16  # years from which habits and marital status are recorded
SEXES = ("female", "male")
GROUPS = ("white", "south-asian", "black", "mixed", "other")
DECILES = tuple(str(decile) for decile in range(1, 11))
HABITS = {
    "smoking": ("never", "ex", "current"),
    "alcohol": ("none", "low", "high"),
    "bmi": ("underweight", "normal", "overweight", "obese"),
}
REFERENCE = {"smoking": "never", "alcohol": "low", "bmi": "normal"}
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
PRESENCE = ("absent", "present")


@dataclass(frozen=True)
class Node:
    """One node. `table` has one axis a parent, then one for the states; a condition has `table` None.

    A condition's chance of `present` is the logistic of `intercept[age_band, sex]` plus, for each further
    parent, `effects[parent][state]`; its parents start with age_band and sex.
    """

    name: str
    states: tuple[str, ...]
    parents: tuple[str, ...]
    table: Floats | None = None
    intercept: Floats | None = None
    effects: tuple[tuple[float, ...], ...] = ()

    def probabilities(self) -> Floats:
        """The full table, one axis a parent then the states."""
        if self.table is not None:
            return self.table
        present = logistic(self.logit())
        return np.stack([1 - present, present], axis=-1)

    def logit(self) -> Floats:
        """Log odds of a condition being present, one axis a parent."""
        assert self.intercept is not None
        total = self.intercept
        for effect in self.effects:
            total = total[..., None] + np.asarray(effect)
        return total


def logistic(x: Floats) -> Floats:
    """1 / (1 + e^-x), elementwise; 0 at minus infinity."""
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-x)))


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


# --- ages ----------------------------------------------------------------------------------------


def age_weights(knowledge: Knowledge) -> Floats:
    """People by single year of age 0 to 110 and sex (female, male), mid-2023; shape (111, 2).

    The last published row is 90 and over; it is spread over 90 to 110 by survival in the life table.
    """
    counts = np.array([[float(r[s]) for s in SEXES] for r in rows(knowledge, "population_age_sex")])
    dying = np.array([[float(r[s]) for s in SEXES] for r in rows(knowledge, "population_life_table")])
    top = len(counts) - 1
    weights = np.zeros((OLDEST + 1, 2))
    weights[:top] = counts[:top]
    ages = np.minimum(np.arange(top, OLDEST), len(dying) - 1)
    alive = np.vstack([np.ones((1, 2)), np.cumprod(1 - dying[ages], axis=0)])
    weights[top:] = counts[top] * alive / alive.sum(axis=0)
    return weights


def band_edges(conditions: Mapping[str, Condition]) -> tuple[int, ...]:
    """First ages of the bands: every five years to 90, and wherever an age limit falls."""
    edges = {*range(0, 91, 5), ADULT}
    for condition in conditions.values():
        edges |= {youngest(condition), condition.max_age + 1}
    return tuple(sorted(edge for edge in edges if edge <= 90))


def band_names(edges: tuple[int, ...]) -> tuple[str, ...]:
    """`0-4`, `5-9`, … `90+`."""
    inner = [f"{low}-{high - 1}" if high - 1 > low else f"{low}" for low, high in pairwise(edges)]
    return (*inner, f"{edges[-1]}+")


def band_of_age(edges: tuple[int, ...]) -> NDArray[np.int8]:
    """Band number of each age 0 to 110."""
    return (np.searchsorted(edges, np.arange(OLDEST + 1), side="right") - 1).astype(np.int8)


def _from_age(edges: tuple[int, ...], starts: list[int]) -> list[int]:
    # Which row of a "from this age on" table holds for each band.
    return [max(i for i, start in enumerate(starts) if start <= low) for low in edges]


# --- who people are ------------------------------------------------------------------------------


def _normal(table: Floats) -> Floats:
    return np.asarray(table / table.sum(axis=-1, keepdims=True))


def _five_year(knowledge: Knowledge, name: str, columns: tuple[str, ...], edges: tuple[int, ...]) -> Floats:
    table = {int(r["age_band"].rstrip("+").split("-")[0]): r for r in rows(knowledge, name)}
    return np.array([[float(table[low // 5 * 5][c]) for c in columns] for low in edges])


def _ethnic_groups(
    knowledge: Knowledge, edges: tuple[int, ...], weights: Floats, region: Floats
) -> tuple[Floats, Floats]:
    # P(group | age band, region) and P(category | region, group).
    regions = tuple(REGIONS)
    categories = rows(knowledge, "population_ethnic_category")
    counts = np.array([[float(r[x]) for x in regions] for r in categories])
    member = np.array([[r["group"] == g for g in GROUPS] for r in categories], dtype=float)
    category = np.einsum("cr,cg->rgc", counts, member)
    by_region = _normal(category.sum(axis=2))

    shape = {r["group"]: r for r in rows(knowledge, "population_ethnic_age")}
    ages = np.arange(OLDEST + 1)
    broad = np.select([ages < 18, ages < 65], [0, 1], 2)
    people = weights.sum(axis=1)
    england = np.array([people[broad == i].sum() for i in range(3)]) / people.sum()
    ratio = np.array([[float(shape[g][c]) for c in ("0", "18", "65")] for g in GROUPS]) / (100 * england)
    band = band_of_age(edges)
    in_band = np.zeros((len(edges), 3))
    np.add.at(in_band, (band, broad), people)
    start = _normal(in_band) @ ratio.T  # age band, group

    # Iterative scaling: the age shape is kept, the regional shares of Census 2021 hold.
    ages_of_region = _normal((region * np.bincount(band, people)[:, None]).T).T
    scale = by_region.copy()
    for _ in range(200):
        groups = _normal(start[:, None, :] * scale[None])
        scale *= by_region / np.einsum("ar,arg->rg", ages_of_region, groups)
    return groups, _normal(category)


def _deprivation(
    knowledge: Knowledge, edges: tuple[int, ...], group_of_age: Floats, people: Floats
) -> Floats:
    # P(decile | age band, ethnic group) that agrees with deprivation by age and by ethnic group.
    by_age = _normal(_five_year(knowledge, "population_imd_age", DECILES, edges))
    table = {r["group"]: r for r in rows(knowledge, "population_imd_ethnicity")}
    counts = np.array([[float(table[g][d]) for d in DECILES] for g in GROUPS])
    mass = (people / people.sum())[:, None] * group_of_age
    age_margin = mass.sum(axis=1)[:, None] * by_age
    # Deciles hold a tenth of neighbourhoods; the age table decides how many people that is.
    counts *= age_margin.sum(axis=0) / counts.sum(axis=0)
    group_margin = mass.sum(axis=0)[:, None] * _normal(counts)
    joint_table = mass[:, :, None] * by_age[:, None, :] * _normal(counts)[None]
    for _ in range(200):
        joint_table *= (age_margin / joint_table.sum(axis=1))[:, None, :]
        joint_table *= (group_margin / joint_table.sum(axis=0))[None]
        joint_table *= (mass / joint_table.sum(axis=2))[:, :, None]
    return _normal(joint_table)


def _marital(knowledge: Knowledge, edges: tuple[int, ...], columns: tuple[str, ...]) -> Floats:
    table = rows(knowledge, "population_marital")
    found = {(int(r["age"]), r["sex"]): [float(r[c]) for c in columns] for r in table}
    starts = sorted({age for age, _ in found})
    grown = tuple(edge for edge in edges if edge >= ADULT)
    adults = np.array([[found[starts[i], sex] for sex in SEXES] for i in _from_age(grown, starts)])
    children = np.zeros((len(edges) - len(grown), 2, len(columns)))
    children[..., columns.index("single")] = 1
    return _normal(np.concatenate([children, adults]))


def _household(
    knowledge: Knowledge, edges: tuple[int, ...], marital: tuple[str, ...], columns: tuple[str, ...]
) -> Floats:
    found: dict[str, dict[int, dict[str, list[float]]]] = {}
    for r in rows(knowledge, "population_household"):
        found.setdefault(r["marital"], {}).setdefault(int(r["age"]), {})[r["sex"]] = [
            float(r[c]) for c in columns
        ]
    out = np.zeros((len(edges), 2, len(marital), len(columns)))
    for i, low in enumerate(edges):
        for j, sex in enumerate(SEXES):
            for k, status in enumerate(marital):
                starts = [a for a in found[status] if a <= low] or [min(found[status])]
                out[i, j, k] = found[status][max(starts)][sex]
    return _normal(out)


def _habit(knowledge: Knowledge, name: str, edges: tuple[int, ...], background: Floats) -> Floats:
    # P(state | age band, sex, ethnic group, decile); `background` is P(group, decile | age band).
    states = HABITS[name]
    table = [r for r in rows(knowledge, "population_habits") if r["node"] == name]
    starts = sorted({int(r["age"]) for r in table})
    percent = {(int(r["age"]), r["sex"], r["state"]): float(r["percent"]) for r in table}
    target = _normal(
        np.array(
            [
                [[percent[starts[i], sex, state] for state in states] for sex in SEXES]
                for i in _from_age(edges, starts)
            ]
        )
    )
    tilt = np.ones((len(GROUPS), len(DECILES), len(states)))
    for r in rows(knowledge, "population_habit_effects"):
        if r["node"] == name:
            parent, _, value = r["of"].partition("=")
            where = (
                (GROUPS.index(value),) if parent == "ethnic-group" else (slice(None), DECILES.index(value))
            )
            tilt[(*where, ..., states.index(r["state"]))] *= float(r["odds_ratio"])
    scale = target.copy()
    for _ in range(500):
        out = _normal(scale[:, :, None, None, :] * tilt)
        mean = np.einsum("agd,asgdk->ask", background, out)
        scale *= np.divide(target, mean, out=np.ones_like(mean), where=mean > 0)
    return out


def demography(knowledge: Knowledge, edges: tuple[int, ...]) -> list[Node]:
    """The nodes up to habits, in topological order."""
    regions = tuple(REGIONS)
    weights = age_weights(knowledge)
    bands = band_of_age(edges)
    cells = np.zeros((len(edges), 2))
    np.add.at(cells, bands, weights)
    people = cells.sum(axis=1)
    region = _normal(_five_year(knowledge, "population_region", regions, edges))
    group, category = _ethnic_groups(knowledge, edges, weights, region)
    group_of_age = np.einsum("ar,arg->ag", region, group)
    imd = _deprivation(knowledge, edges, group_of_age, people)
    background = group_of_age[:, :, None] * imd
    marital_states = ("single", "married", "separated", "divorced", "widowed")
    household_states = (
        "alone", "couple", "couple-children", "lone-parent", "with-parents", "shared", "care-home",
    )  # fmt: skip
    codes = tuple(r["category"] for r in rows(knowledge, "population_ethnic_category"))
    language_rows = {r["category"]: r for r in rows(knowledge, "population_language")}
    others = tuple(c for c in next(iter(language_rows.values())) if c != "category")
    spoken = np.array(
        [[float(language_rows[c][x]) if c in language_rows else 0.0 for x in others] for c in codes]
    )
    language = np.column_stack([100 - spoken.sum(axis=1), spoken]) / 100

    nodes = [
        Node("age_band", band_names(edges), (), people / people.sum()),
        Node("sex", SEXES, ("age_band",), _normal(cells)),
        Node("region", regions, ("age_band",), region),
        Node("ethnic_group", GROUPS, ("age_band", "region"), group),
        Node("ethnic_category", codes, ("region", "ethnic_group"), category),
        Node("imd", DECILES, ("age_band", "ethnic_group"), imd),
        Node(
            "marital_status", marital_states, ("age_band", "sex"), _marital(knowledge, edges, marital_states)
        ),
        Node("language", ("en", *others), ("ethnic_category",), language),
        Node(
            "household",
            household_states,
            ("age_band", "sex", "marital_status"),
            _household(knowledge, edges, marital_states, household_states),
        ),
    ]
    for name, states in HABITS.items():
        table = _habit(knowledge, name, edges, background)
        nodes.append(Node(name, states, ("age_band", "sex", "ethnic_group", "imd"), table))
    return nodes


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
    for key, condition in conditions.items():
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
        log.info("network: %s solved (%d of %d)", key, len(nodes) - 12, len(conditions))
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
