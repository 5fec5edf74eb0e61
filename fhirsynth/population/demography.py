"""The nodes of the network before the conditions: who and where people are, how they live, what they do.

Every number comes from a statistics file (`population_*.csv`); where two published margins must hold at
once, the table between them is fitted by iterative scaling.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fhirsynth.population import REGIONS
from fhirsynth.population.nodes import ADULT, DECILES, GROUPS, HABITS, OLDEST, SEXES, Node
from fhirsynth.population.statistics import rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fhirsynth.knowledge import Knowledge

    Floats = NDArray[np.float64]


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


def _deprivation(knowledge: Knowledge, edges: tuple[int, ...], group_of_age: Floats, people: Floats) -> Floats:
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
        found.setdefault(r["marital"], {}).setdefault(int(r["age"]), {})[r["sex"]] = [float(r[c]) for c in columns]
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
            [[[percent[starts[i], sex, state] for state in states] for sex in SEXES] for i in _from_age(edges, starts)]
        )
    )
    tilt = np.ones((len(GROUPS), len(DECILES), len(states)))
    for r in rows(knowledge, "population_habit_effects"):
        if r["node"] == name:
            parent, _, value = r["of"].partition("=")
            where = (GROUPS.index(value),) if parent == "ethnic-group" else (slice(None), DECILES.index(value))
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
    spoken = np.array([[float(language_rows[c][x]) if c in language_rows else 0.0 for x in others] for c in codes])
    language = np.column_stack([100 - spoken.sum(axis=1), spoken]) / 100

    nodes = [
        Node("age_band", band_names(edges), (), people / people.sum()),
        Node("sex", SEXES, ("age_band",), _normal(cells)),
        Node("region", regions, ("age_band",), region),
        Node("ethnic_group", GROUPS, ("age_band", "region"), group),
        Node("ethnic_category", codes, ("region", "ethnic_group"), category),
        Node("imd", DECILES, ("age_band", "ethnic_group"), imd),
        Node("marital_status", marital_states, ("age_band", "sex"), _marital(knowledge, edges, marital_states)),
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
