"""Who lives with whom: couples and children matched among the people of one shard.

Runs between demography and habits: those who join a household take its region and deprivation and, mostly,
its ethnic group, and what depends on these is drawn afterwards. People whose partner or parents are not
in the shard simply live with someone who is not in the population.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fhirsynth.population.inference import Codes
    from fhirsynth.population.model import PopulationModel

NOBODY = -1
YEAR = 365.25
#: Husbands and male partners are on average two and a half years older (order of size of ONS marriage statistics).
GAP, GAP_SD, WIDEST_GAP = 2.5, 3.5, 14
SAME_SEX = 0.02  # of couples; Census 2021, England: 0.9% of the married, more of those who live together
SAME_GROUP = 0.9  # of couples are of one ethnic group (Census 2011: 91%)
MOTHER = (16, 45)  # years older than the child
FATHER = (18, 45)
BETWEEN_BIRTHS = 290  # days
MOST_CHILDREN = 4
CHILD_LIVES_AT_HOME_UNTIL = 30
#: How much likelier a child joins a family that has so many already; gives about 1.7 a family.
ROOM = (3.0, 2.4, 0.8, 0.2)
#: NHS category of a child whose parents are of two groups.
MIXED = {("black", "white"): "E", ("south-asian", "white"): "F"}
CARIBBEAN, WHITE_AND_CARIBBEAN, OTHER_MIXED = "M", "D", "G"


@dataclass
class Households:
    """Per person: number of the household, partner, mother, father (person numbers, -1 if not here).

    `adults` and `children` list the members of each household that are here.
    """

    home: list[int]
    partner: list[int]
    mother: list[int]
    father: list[int]
    adults: list[list[int]]
    children: list[list[int]]


def separate(n: int) -> Households:
    """Everybody in a household of their own."""
    nobody = [NOBODY] * n
    return Households(list(range(n)), nobody, [*nobody], [*nobody], [[i] for i in range(n)], [[] for _ in range(n)])


class _Matcher:
    def __init__(self, codes: Codes, birth: NDArray[np.int64], model: PopulationModel, rng: np.random.Generator):
        self.codes, self.rng, self.model = codes, rng, model
        self.birth: list[int] = birth.tolist()
        states = model.states
        self.female = [states["sex"][s] == "female" for s in codes["sex"]]
        self.household = [states["household"][s] for s in codes["household"]]
        self.married = [states["marital_status"][s] == "married" for s in codes["marital_status"]]
        self.group = [states["ethnic_group"][s] for s in codes["ethnic_group"]]
        self.category = [states["ethnic_category"][s] for s in codes["ethnic_category"]]
        n = len(self.birth)
        self.partner = [NOBODY] * n
        self.mother = [NOBODY] * n
        self.father = [NOBODY] * n
        self.home = [NOBODY] * n
        self.adults: list[list[int]] = []
        self.children: list[list[int]] = []

    def _join(self, person: int, head: int, *more: str) -> None:
        for node in ("region", "imd", *more):
            self.codes[node][person] = self.codes[node][head]
        if "ethnic_category" in more:
            self.group[person], self.category[person] = self.group[head], self.category[head]

    def _found(self, adults: list[int], children: list[int]) -> int:
        number = len(self.adults)
        self.adults.append(adults)
        self.children.append(children)
        for person in (*adults, *children):
            self.home[person] = number
        return number

    # --- couples ---------------------------------------------------------------------------------

    def couples(self) -> None:
        waiting = [i for i, kind in enumerate(self.household) if kind in ("couple", "couple-children")]
        draws = self.rng.random((len(waiting), 2)).tolist()
        gaps = self.rng.normal(GAP, GAP_SD, len(waiting)).tolist()
        left = dict.fromkeys(waiting)
        for (same_sex, same_group), gap, person in zip(draws, gaps, waiting, strict=True):
            if person not in left:
                continue
            del left[person]
            best = self._partner_for(person, left, same_sex < SAME_SEX, gap)
            if best is None:
                continue
            del left[best]
            self.partner[person], self.partner[best] = best, person
            self.household[best] = self.household[person]
            alike = ("ethnic_group", "ethnic_category", "language") if same_group < SAME_GROUP else ()
            self._join(best, person, "household", *alike)
            self._found([person, best], [])

    def _partner_for(self, person: int, left: dict[int, None], same_sex: bool, gap: float) -> int | None:
        female, married, kind = self.female[person], self.married[person], self.household[person]
        wanted = self.birth[person] + YEAR * (0 if same_sex else -gap if female else gap)
        best, least = None, WIDEST_GAP * YEAR
        for other in left:
            if self.married[other] != married or (self.female[other] == female) != same_sex:
                continue
            distance = abs(self.birth[other] - wanted)
            if self.household[other] != kind:
                distance += 6 * YEAR
            if distance < least:
                best, least = other, distance
        return best

    # --- children --------------------------------------------------------------------------------

    def families(self) -> None:
        for person, kind in enumerate(self.household):
            if self.home[person] == NOBODY and kind in ("lone-parent", "couple-children"):
                self._found([person], [])
        homes = [h for h, adults in enumerate(self.adults) if self.household[adults[0]] in FAMILY]
        elsewhere: list[int] = []  # households of children whose parents are not here
        age = self.codes["age"].tolist()
        at_home = [
            i for i, kind in enumerate(self.household) if kind == "with-parents" and age[i] < CHILD_LIVES_AT_HOME_UNTIL
        ]
        draws = self.rng.random((len(at_home), 2)).tolist()
        for (which, parent), child in zip(draws, at_home, strict=True):
            home = self._choose(child, [h for h in homes if self._fits(child, h)], which)
            if home is not None:
                self._adopt(child, home, parent)
                continue
            home = self._choose(child, [h for h in elsewhere if self._fits(child, h)], which)
            if home is None:
                elsewhere.append(self._found([], [child]))
            else:
                sibling = self.children[home][0]
                self._join(child, sibling, "ethnic_group", "ethnic_category", "language")
                self.children[home].append(child)
                self.home[child] = home

    def _fits(self, child: int, home: int) -> bool:
        born = self.birth[child]
        if len(self.children[home]) >= MOST_CHILDREN:
            return False
        for adult in self.adults[home]:
            low, high = MOTHER if self.female[adult] else FATHER
            if not low * YEAR <= born - self.birth[adult] <= high * YEAR:
                return False
        siblings = [abs(born - self.birth[sibling]) for sibling in self.children[home]]
        if not self.adults[home] and any(apart > 12 * YEAR for apart in siblings):
            return False
        return all(apart >= BETWEEN_BIRTHS for apart in siblings)

    def _choose(self, child: int, homes: list[int], u: float) -> int | None:
        if not homes:
            return None
        weights = []
        for home in homes:
            member = (self.adults[home] or self.children[home])[0]
            alike = 4.0 if self.group[member] == self.group[child] else 1.0
            weights.append(ROOM[len(self.children[home])] * alike)
        level = u * sum(weights)
        for home, weight in zip(homes, weights, strict=True):
            level -= weight
            if level < 0:
                return home
        return homes[-1]

    def _adopt(self, child: int, home: int, u: float) -> None:
        adults = self.adults[home]
        for adult in adults:
            parents = self.mother if self.female[adult] and self.mother[child] == NOBODY else self.father
            parents[child] = adult
        self.children[home].append(child)
        self.home[child] = home
        groups = sorted({self.group[adult] for adult in adults})
        if len(groups) == 1:
            keeps = len(adults) == 1 and self.group[child] == "mixed"
            like = adults[int(u * len(adults))]
            more = () if keeps else ("ethnic_group", "ethnic_category")
            self._join(child, like, "language", *more)
            return
        self._join(child, adults[0], "language")
        already = [self.category[a] for a in adults if self.group[a] == "mixed"]
        category = MIXED.get((groups[0], groups[1]), OTHER_MIXED)
        if already:
            category = already[0]
        elif groups == ["black", "white"] and any(self.category[a] == CARIBBEAN for a in adults):
            category = WHITE_AND_CARIBBEAN
        self.group[child], self.category[child] = "mixed", category
        self.codes["ethnic_group"][child] = self.model.states["ethnic_group"].index("mixed")
        self.codes["ethnic_category"][child] = self.model.states["ethnic_category"].index(category)

    # --- everyone else ---------------------------------------------------------------------------

    def others(self) -> None:
        care_homes: dict[int, int] = {}
        for person, kind in enumerate(self.household):
            if self.home[person] != NOBODY:
                continue
            region = int(self.codes["region"][person])
            if kind == "care-home" and region in care_homes:
                home = care_homes[region]
                self.adults[home].append(person)
                self.home[person] = home
                continue
            home = self._found([person], [])
            if kind == "care-home":
                care_homes[region] = home


FAMILY = ("lone-parent", "couple-children")


def match(codes: Codes, birth: NDArray[np.int64], model: PopulationModel, rng: np.random.Generator) -> Households:
    """Match couples, children and parents; changes region, deprivation, ethnic group and what follows from it.

    `codes`: demography of all people; `birth`: days since 1970-01-01. The order is that of the people.
    """
    matcher = _Matcher(codes, birth, model, rng)
    matcher.couples()
    matcher.families()
    matcher.others()
    return Households(matcher.home, matcher.partner, matcher.mother, matcher.father, matcher.adults, matcher.children)
