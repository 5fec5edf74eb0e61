"""Where a person is seen: their practice and their usual hospital, with the people who work there."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhirsynth.population.places import Places
    from fhirsynth.record.schema import Location


class Practice:
    """Where a person is registered: the surgery, its doctors and nurses."""

    def __init__(self, places: Places, practice_id: str) -> None:
        self.organisation_id = practice_id
        self.location_id = places.surgery(practice_id).id
        self._doctors = [role.id for role in places.roles(practice_id, "general-practitioner")]
        self._nurses = [role.id for role in places.roles(practice_id, "practice-nurse")]

    def doctor(self, rng: Random) -> str:
        return rng.choice(self._doctors)

    def nurse(self, rng: Random) -> str:
        return rng.choice(self._nurses)


class Hospital:
    """A person's usual hospital: its trust, departments, wards and staff."""

    def __init__(self, places: Places, site: Location) -> None:
        self._places, self._site = places, site
        self.organisation_id = site.organisation_id
        self._roles: dict[str, list[str]] = {}
        self._departments: dict[str, str] = {}
        self._wards: dict[str, str] = {}

    def role(self, rng: Random, specialty: str) -> str:
        """A consultant of the specialty at this site."""
        roles = self._roles.get(specialty)
        if roles is None:
            every = self._places.roles(self.organisation_id, "consultant", specialty)
            here = [role.id for role in every if role.location_id == self._site.id] or [role.id for role in every]
            self._roles[specialty] = roles = here
        return rng.choice(roles)

    def department(self, kind: str) -> str:
        if kind not in self._departments:
            self._departments[kind] = self._places.department(self._site.id, kind).id
        return self._departments[kind]

    def ward(self, specialty: str) -> str:
        if specialty not in self._wards:
            self._wards[specialty] = self._places.ward(self._site.id, specialty).id
        return self._wards[specialty]
