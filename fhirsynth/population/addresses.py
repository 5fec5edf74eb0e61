"""Addresses that belong to nobody: real towns, invented streets, postcodes that cannot exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirsynth.population.identifiers import NO_AREA
from fhirsynth.population.names import Choice
from fhirsynth.population.statistics import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirsynth.knowledge import Knowledge
    from fhirsynth.record.schema import Organisation

#: Letters that no real inward code of a postcode uses (Royal Mail), so these postcodes cannot exist.
UNUSED = "CIKMOV"
DISTRICTS = 18


class Addresses:
    """Real towns, invented streets, postcodes of the town's area that cannot exist."""

    def __init__(self, knowledge: Knowledge) -> None:
        towns: dict[str, list[dict[str, str]]] = {}
        for row in rows(knowledge, "places_towns"):
            towns.setdefault(row["region"], []).append(row)
        self._phone = {town["area"]: town["phone"] for found in towns.values() for town in found}
        self._towns = {region: Choice(found, [float(r["weight"]) for r in found]) for region, found in towns.items()}
        words: dict[str, tuple[list[str], list[float]]] = {}
        for row in rows(knowledge, "places_streets"):
            items, weights = words.setdefault(row["kind"], ([], []))
            items.append(row["word"])
            weights.append(float(row["weight"]))
        self._words = {kind: Choice(*parts) for kind, parts in words.items()}

    def near(self, practice: Organisation, kind: str, u: Callable[[], float]) -> tuple[str, str, str]:
        """Address, postcode and first digits of telephone numbers in the town of a practice.

        `kind` is the kind of household that lives there.
        """
        area = practice.postcode[: 2 if practice.postcode[1].isalpha() else 1]
        return self._draw(practice.address.rpartition("\n")[2], area, kind, u)

    def anywhere(self, region: str, u: Callable[[], float]) -> tuple[str, str, str]:
        """The same for a household somewhere in a region."""
        town = self._towns[region](u())
        return self._draw(town["town"], town["area"], "couple", u)

    def _draw(self, town: str, area: str, kind: str, u: Callable[[], float]) -> tuple[str, str, str]:
        word = self._words
        street = f"{1 + int(u() ** 2 * 160)} {word['first'](u())} {word['ending'](u())}"
        if kind == "care-home":
            street = f"{word['first'](u())} {word['home'](u())}\n{street}"
        elif kind in ("alone", "shared") and u() < 0.3:
            street = f"Flat {1 + int(u() * 12)}\n{street}"
        inward = f"{int(u() * 10)}{UNUSED[int(u() * 6)]}{UNUSED[int(u() * 6)]}"
        postcode = f"{area}{1 + int(u() * DISTRICTS)} {inward}"
        return f"{street}\n{town}", postcode, self._phone.get(area, NO_AREA)


_loaded: dict[str, Addresses] = {}


def load_addresses(knowledge: Knowledge) -> Addresses:
    """The addresses, read once a process."""
    if knowledge.digest not in _loaded:
        _loaded[knowledge.digest] = Addresses(knowledge)
    return _loaded[knowledge.digest]
