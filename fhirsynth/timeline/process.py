"""Episodes that come at random: how often to whom, without bending the published rate."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from fhirsynth.timeline.rates import OLDEST, SEXES

if TYPE_CHECKING:
    from fhirsynth.knowledge.schema import Condition
    from fhirsynth.timeline.life import Life, Slice

MOST_A_YEAR = 1.0  # episodes of one kind in someone with the condition that brings them


class Process:
    """Episodes that come at random: rates a year by sex and age, and who gets them more often.

    The published rate of an episode is a population's. With risk factors k of share p and rate ratio r, a person
    without any has `rate / (1 + sum p (r - 1))`, and each factor a person has adds `(r - 1)` times that: the
    population keeps the published rate exactly. An episode that needs a condition comes only to those who have it,
    at the published rate over their share.
    """

    def __init__(self, conditions: list[Condition], rates: list[dict[str, list[float]]], shares: Shares) -> None:
        self.conditions = conditions
        self.base: dict[str, list[tuple[list[int], list[float]]]] = {sex: [] for sex in SEXES}
        # What each factor adds, by sex and age: numbers of the episodes and their rates, added up.
        self.extra: dict[str, dict[str, list[tuple[list[int], list[float]]]]] = {sex: {} for sex in SEXES}
        for sex in SEXES:
            for age in range(OLDEST + 1):
                numbers: list[int] = []
                cumulative: list[float] = []
                total = 0.0
                for number, (condition, rate) in enumerate(zip(conditions, rates, strict=True)):
                    value = rate[sex][age]
                    if value <= 0 or condition.sex not in (None, sex):
                        continue
                    if not condition.min_age <= age <= condition.max_age:
                        continue
                    if condition.needs:
                        self._needed(condition, number, sex, age, value, shares)
                        continue
                    spread = 1 + sum(
                        max(0.0, shares.of(risk.of, sex, age)) * max(0.0, risk.rate_ratio - 1)
                        for risk in condition.risk
                    )
                    own = value / spread
                    total += own
                    numbers.append(number)
                    cumulative.append(total)
                    for risk in condition.risk:
                        if risk.rate_ratio > 1:
                            self._add(sex, age, risk.of, number, own * (risk.rate_ratio - 1))
                self.base[sex].append((numbers, cumulative))

    def _needed(self, condition: Condition, number: int, sex: str, age: int, value: float, shares: Shares) -> None:
        having = [shares.of(key, sex, age) for key in condition.needs]
        none = 1.0
        for share in having:
            none *= 1 - share
        if none >= 1:
            return
        rate = min(MOST_A_YEAR, value / (1 - none))
        for key in condition.needs:
            # Someone with two of them has the episode for either; the double count is small.
            self._add(sex, age, key, number, rate)

    def _add(self, sex: str, age: int, factor: str, number: int, rate: float) -> None:
        by_age = self.extra[sex].get(factor)
        if by_age is None:
            by_age = self.extra[sex][factor] = [([], []) for _ in range(OLDEST + 1)]
        numbers, cumulative = by_age[age]
        numbers.append(number)
        cumulative.append((cumulative[-1] if cumulative else 0.0) + rate)

    def draw(self, life: Life, part: Slice) -> list[Condition]:
        """Episodes that come to this person while they have one age, in the order of the files."""
        age = min(part.age, OLDEST)
        out: list[int] = []
        extra = self.extra[life.sex]
        cells = [self.base[life.sex][age]]
        cells.extend(extra[factor][age] for factor in life.factors(part) if factor in extra)
        for numbers, cumulative in cells:
            if cumulative:
                for _ in range(life.poisson(cumulative[-1] * part.years)):
                    out.append(numbers[bisect_right(cumulative, life.rng.random() * cumulative[-1])])
        return [self.conditions[number] for number in sorted(out)]


class Shares:
    """How many of an age and sex have a condition or a habit state: 0 to 1."""

    def __init__(self, curves: dict[str, dict[str, list[float]]], habits: dict[str, dict[str, list[float]]]) -> None:
        self._curves, self._habits = curves, habits

    def of(self, key: str, sex: str, age: int) -> float:
        table = self._habits.get(key) or self._curves.get(key)
        if table is None:
            return 0.0
        return table[sex][min(age, OLDEST)]
