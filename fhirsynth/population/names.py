"""Names by year of birth, sex and ethnic category, for people and for those who care for them."""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Generic, TypeVar

from fhirsynth.population.statistics import rows

if TYPE_CHECKING:
    from fhirsynth.knowledge import Knowledge

_Item = TypeVar("_Item")
GENERAL = "general"


class Choice(Generic[_Item]):
    """Things to choose from with weights, by one uniform number from 0 to 1."""

    def __init__(self, items: list[_Item], weights: list[float]) -> None:
        self.items = items
        total = sum(weights)
        self.running = [part / total for part in accumulate(weights)][:-1]

    def __call__(self, u: float) -> _Item:
        return self.items[bisect(self.running, u)]


def _ranked(names: list[str], flat: float) -> Choice[str]:
    # Counts fall about as 1/(rank + constant); a large constant makes the list flatter.
    return Choice(names, [1 / (rank + flat) for rank in range(len(names))])


class Names:
    """First names and surnames of the statistics files `names_*.csv`."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._first: dict[tuple[int, str], Choice[str]] = {}
        for r in rows(knowledge, "names_first"):
            self._first[int(r["year"]), r["sex"]] = _ranked(r["names"].split(), 6)
        self._years = sorted({year for year, _ in self._first})
        self._first_of = {
            (r["tradition"], r["sex"]): _ranked(r["names"].split(), 10) for r in rows(knowledge, "names_first_by_group")
        }
        surnames = rows(knowledge, "names_surname")
        self._surname = {GENERAL: Choice([r["surname"] for r in surnames], [float(r["weight"]) for r in surnames])}
        for r in rows(knowledge, "names_surname_by_group"):
            self._surname[r["tradition"]] = _ranked([n.replace("_", " ") for n in r["names"].split()], 6)
        self._tradition = {
            r["category"]: (r["tradition"], int(r["first"]) / 100, int(r["surname"]) / 100)
            for r in rows(knowledge, "names_tradition")
        }
        middle = [(a + b) / 2 for a, b in pairwise(self._years)]
        self._middle = middle

    def first(self, year: int, sex: str, category: str, u: float) -> str:
        """A first name of someone born in `year`; `category` is the NHS code, `u` uniform on 0 to 1."""
        tradition, share, _ = self._tradition[category]
        if tradition != GENERAL and u < share:
            return self._first_of[tradition, sex](u / share)
        rest = u if tradition == GENERAL else (u - share) / (1 - share)
        return self._first[self._years[bisect(self._middle, year)], sex](rest)

    def surname(self, category: str, u: float) -> str:
        """A surname; arguments as for `first`."""
        tradition, _, share = self._tradition[category]
        if tradition != GENERAL and u < share:
            return self._surname[tradition](u / share)
        return self._surname[GENERAL](u if tradition == GENERAL else (u - share) / (1 - share))


_loaded: dict[str, Names] = {}


def load_names(knowledge: Knowledge) -> Names:
    """The names, read once a process."""
    if knowledge.digest not in _loaded:
        _loaded[knowledge.digest] = Names(knowledge)
    return _loaded[knowledge.digest]
