"""Episodes that come at random: how often to whom, without bending the published rate."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from fhirsynth.timeline.rates import OLDEST, SEXES

if TYPE_CHECKING:
    from fhirsynth.knowledge.schema import Condition
    from fhirsynth.timeline.life import Life, Slice

EVERYBODY = ""
MOST_A_YEAR = 1.0  # episodes of one kind in someone with the condition that brings them


Cell = tuple[list[int], list[float]]  # numbers of episodes and their rates, added up


class Process:
    """Episodes that come at random: rates a year by sex and age, and who gets them more often.

    The published rate of an episode is a population's. With risk factors k of share p and rate ratio r, a person
    without any has `rate / (1 + sum p (r - 1))`, and each factor a person has adds `(r - 1)` times that: the
    population keeps the published rate exactly. An episode that needs a condition comes only to those who have it,
    at the published rate over their share.
    """

    def __init__(self, conditions: list[Condition], rates: list[dict[str, list[float]]], shares: Shares) -> None:
        self.conditions = conditions
        # For each sex and factor ("" for what everybody has): numbers of the episodes and rates by age.
        self._rates: dict[tuple[str, str], list[tuple[int, np.ndarray]]] = {}
        self._cells: dict[tuple[str, str, int], Cell | None] = {}
        for number, (condition, rate) in enumerate(zip(conditions, rates, strict=True)):
            for sex in SEXES:
                if condition.sex in (None, sex):
                    self._compile(number, condition, sex, np.array(rate[sex]), shares)

    def _compile(self, number: int, condition: Condition, sex: str, rate: np.ndarray, shares: Shares) -> None:
        rate[: condition.min_age] = 0
        rate[condition.max_age + 1 :] = 0
        if condition.needs:
            none = np.ones(OLDEST + 1)
            for key in condition.needs:
                none *= 1 - shares.of(key, sex)
            having = np.divide(rate, 1 - none, out=np.zeros_like(rate), where=none < 1)
            for key in condition.needs:
                # Someone with two of them has the episode for either; the double count is small.
                self._add(sex, key, number, np.minimum(MOST_A_YEAR, having))
            return
        more = {risk.of: risk.rate_ratio - 1 for risk in condition.risk if risk.rate_ratio > 1}
        spread = np.ones(OLDEST + 1)
        for factor, ratio in more.items():
            spread += shares.of(factor, sex) * ratio
        own = rate / spread
        self._add(sex, EVERYBODY, number, own)
        for factor, ratio in more.items():
            self._add(sex, factor, number, own * ratio)

    def _add(self, sex: str, factor: str, number: int, rate: np.ndarray) -> None:
        self._rates.setdefault((sex, factor), []).append((number, rate))

    def _cell(self, sex: str, factor: str, age: int) -> Cell | None:
        """What a factor brings at one age, None where it is nothing; compiled when first asked for."""
        found = [(number, float(rate[age])) for number, rate in self._rates.get((sex, factor), ()) if rate[age] > 0]
        cell = ([n for n, _ in found], list(accumulate(rate for _, rate in found))) if found else None
        self._cells[sex, factor, age] = cell
        return cell

    def draw(self, life: Life, part: Slice) -> list[Condition]:
        """Episodes that come to this person while they have one age, in the order of the files."""
        sex, age, years, cells = life.sex, min(part.age, OLDEST), part.years, self._cells
        out: list[int] = []
        for factor in (EVERYBODY, *life.factors(part)):
            key = (sex, factor, age)
            cell = cells[key] if key in cells else self._cell(*key)
            if cell is None:
                continue
            numbers, cumulative = cell
            for _ in range(life.poisson(cumulative[-1] * years)):
                out.append(numbers[bisect_right(cumulative, life.rng.random() * cumulative[-1])])
        return [self.conditions[number] for number in sorted(out)]


class Shares:
    """How many of an age and sex have a condition or a habit state: 0 to 1."""

    def __init__(self, curves: dict[str, dict[str, list[float]]], habits: dict[str, dict[str, list[float]]]) -> None:
        self._tables = {**curves, **habits}

    def of(self, key: str, sex: str) -> np.ndarray:
        """Share with `key` by year of age 0 to 110; nobody has what no table knows."""
        table = self._tables.get(key)
        return np.zeros(OLDEST + 1) if table is None else np.array(table[sex])
