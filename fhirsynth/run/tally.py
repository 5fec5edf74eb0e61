"""What a population holds, counted: people, resources by type, conditions beside their published prevalence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fhirsynth import knowledge as kb
from fhirsynth.days import age_on, day_of

if TYPE_CHECKING:
    import datetime as dt

    from fhirsynth.population.people import People

#: Years to a band of the published table; the last band is open.
_BAND, _LAST_BAND = 10, 8
_PER = 10_000


@dataclass
class Tally:
    """Counts of one shard or of many. `conditions` and `expected` are of the living.

    `resources` and `rows` (of the record's tables) count what is written. `letters`: stays, letters to whom, drafts and
    what became of them, as `making.make` counts; None without letters.
    """

    living: int = 0
    dead: int = 0
    resources: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    conditions: Counter[str] = field(default_factory=Counter)
    expected: dict[str, float] = field(default_factory=dict)
    letters: Counter[str] | None = None

    def add(self, other: Tally) -> None:
        """Add the counts of `other` to these."""
        self.living += other.living
        self.dead += other.dead
        self.resources.update(other.resources)
        self.rows.update(other.rows)
        self.conditions.update(other.conditions)
        for key, number in other.expected.items():
            self.expected[key] = self.expected.get(key, 0.0) + number
        if other.letters is not None:
            self.letters = Counter() if self.letters is None else self.letters
            self.letters.update(other.letters)

    def as_json(self) -> dict[str, Any]:
        """As plain JSON, keys in order."""
        counted = {
            "living": self.living,
            "dead": self.dead,
            "resources": dict(sorted(self.resources.items())),
            "conditions": dict(sorted(self.conditions.items())),
            "expected": {key: round(number, 6) for key, number in sorted(self.expected.items())},
        }
        if self.rows:
            counted["rows"] = dict(sorted(self.rows.items()))
        return counted if self.letters is None else counted | {"letters": dict(sorted(self.letters.items()))}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tally:
        """What `as_json` wrote."""
        letters = Counter(data["letters"]) if "letters" in data else None
        counters = Counter(data["resources"]), Counter(data.get("rows", {})), Counter(data["conditions"])
        return cls(data["living"], data["dead"], *counters, data["expected"], letters)


@lru_cache(maxsize=1)
def published() -> dict[str, dict[str, list[float]]]:
    """Share of people who have each condition: condition → sex → ten-year age band, the last 80 and over."""
    knowledge = kb.load()
    table = knowledge.table("conditions_kuan")
    by_code: dict[str, dict[str, list[float]]] = {}
    bands = [name for name in table if name[0].isdigit()]
    for row, (code, sex) in enumerate(zip(table["code"], table["sex"], strict=True)):
        by_code.setdefault(code, {})[sex] = [float(table[band][row] or 0) / _PER for band in bands]
    nobody = [0.0] * len(bands)
    return {
        key: {sex: by_code[condition.prevalence.code].get(sex, nobody) for sex in ("female", "male")}
        for key, condition in knowledge.conditions.items()
        if condition.prevalence is not None
    }


def count_people(people: People, living: int, index_date: dt.date) -> Tally:
    """Count the people of one shard, of whom the first `living` are alive."""
    tally = Tally(living, len(people.persons) - living)
    index = day_of(index_date)
    cells = Counter(
        (person.sex, min(age_on(person.birth, index) // _BAND, _LAST_BAND)) for person in people.persons[:living]
    )
    for key, rates in published().items():
        tally.conditions[key] = int(people.has[key][:living].sum())
        tally.expected[key] = sum(n * rates[sex][band] for (sex, band), n in sorted(cells.items()))
    return tally
