"""Where care happens and who gives it: practices, hospitals, their parts, people and services.

The network is the same for every population: ids come from ODS codes and keys, not from a seed.
Organisations are real ones (open data); those who work in them are invented.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING

from fhirsynth.population.identifiers import NO_AREA, telephone
from fhirsynth.population.names import Choice, load_names
from fhirsynth.population.statistics import rows
from fhirsynth.record.schema import HealthcareService, Location, Organisation, Practitioner, PractitionerRole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhirsynth.knowledge import Knowledge
    from fhirsynth.knowledge.schema import Specialty

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "places.fhirsynth.example")
GENERAL_PRACTICE = "general-practice"
GPS, NURSES = 4, 2  # of each practice
COVER = 3  # specialties that one resident doctor covers


def _id(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "/".join(parts)))


def _uniform(*parts: str) -> list[float]:
    # Four numbers from 0 to 1 that depend on nothing but the key.
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return [int.from_bytes(digest[i : i + 8], "big") / 2**64 for i in range(0, 32, 8)]


def _lines(address: str) -> str:
    return address.replace("|", "\n")


class Places:
    """All places and staff as record rows, and the look-ups that the makers need."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.organisations: list[Organisation] = []
        self.locations: list[Location] = []
        self.practitioners: list[Practitioner] = []
        self.practitioner_roles: list[PractitionerRole] = []
        self.healthcare_services: list[HealthcareService] = []
        self._practices: dict[str, list[Organisation]] = {}
        self._sites: dict[str, list[Location]] = {}
        self._surgery: dict[str, Location] = {}
        self._part: dict[tuple[str, str], Location] = {}
        self._ward: dict[tuple[str, str], Location] = {}
        self._service: dict[tuple[str, str], HealthcareService] = {}
        self._names = load_names(knowledge)
        staff = rows(knowledge, "places_staff")
        self._categories = Choice([r["category"] for r in staff], [float(r["percent"]) for r in staff])
        self._phones = {r["area"]: r["phone"] for r in rows(knowledge, "places_towns")}
        for row in rows(knowledge, "places_practices"):
            self._add_practice(row)
        hospital = {key: s for key, s in knowledge.specialties.items() if key != GENERAL_PRACTICE}
        for row in rows(knowledge, "places_trusts"):
            self._add_trust(row, hospital, rows(knowledge, "places_departments"))
        self.organisation = {row.id: row for row in self.organisations}
        self.location = {row.id: row for row in self.locations}
        self.practitioner = {row.id: row for row in self.practitioners}
        self.role = {row.id: row for row in self.practitioner_roles}
        self._roles: dict[tuple[str, str, str | None], list[PractitionerRole]] = {}
        for role in self.practitioner_roles:
            for specialty in (role.specialty, None):
                self._roles.setdefault((role.organisation_id, role.role, specialty), []).append(role)

    # --- look-ups --------------------------------------------------------------------------------

    def practices(self, region: str) -> list[Organisation]:
        """General practices of a region."""
        return self._practices[region]

    def surgery(self, practice_id: str) -> Location:
        """Where a practice sees people."""
        return self._surgery[practice_id]

    def sites(self, region: str) -> list[Location]:
        """Hospital sites of a region."""
        return self._sites[region]

    def site_for(self, region: str, ordinal: int) -> Location:
        """The usual hospital of person number `ordinal`."""
        sites = self._sites[region]
        return sites[(ordinal * 2654435761 >> 16) % len(sites)]

    def roles(self, organisation_id: str, role: str, specialty: str | None = None) -> list[PractitionerRole]:
        """Who has this role in an organisation, in any or in one specialty; empty when nobody has."""
        return self._roles.get((organisation_id, role, specialty), [])

    def department(self, site_id: str, kind: str) -> Location:
        """A site's `emergency`, `outpatients` or `laboratory`."""
        return self._part[site_id, kind]

    def ward(self, site_id: str, specialty: str) -> Location:
        """The ward where a specialty's patients lie; the medical ward where it has none of its own."""
        return self._ward.get((site_id, specialty)) or self._part[site_id, "medical"]

    def service(self, site_id: str, specialty: str) -> HealthcareService | None:
        """The service of a specialty at a site."""
        return self._service.get((site_id, specialty))

    # --- making ----------------------------------------------------------------------------------

    def _phone(self, postcode: str, key: str) -> str:
        area = postcode[: 2 if postcode[1].isalpha() else 1]
        return telephone(self._phones.get(area, NO_AREA), _uniform("phone", key)[0])

    def _add_practice(self, row: dict[str, str]) -> None:
        ods = row["ods"]
        address = _lines(row["address"])
        phone = self._phone(row["postcode"], ods)
        practice = Organisation(
            _id("organisation", ods),
            ods,
            row["name"],
            "practice",
            row["region"],
            address,
            row["postcode"],
            phone,
            None,
        )
        surgery = Location(
            _id("location", ods), row["name"], "surgery", None, practice.id, None, address, row["postcode"]
        )
        self.organisations.append(practice)
        self.locations.append(surgery)
        self._practices.setdefault(row["region"], []).append(practice)
        self._surgery[practice.id] = surgery
        for number in range(GPS + NURSES):
            role = "general-practitioner" if number < GPS else "practice-nurse"
            someone = self._someone(f"{ods}/{number}", doctor=number < GPS)
            self._add_role(someone, practice.id, surgery.id, role, GENERAL_PRACTICE)

    def _add_trust(
        self, row: dict[str, str], specialties: Mapping[str, Specialty], parts: list[dict[str, str]]
    ) -> None:
        ods, code = row["ods"], row["site_ods"]
        phone = self._phone(row["postcode"], ods)
        trust = Organisation(
            _id("organisation", ods), ods, row["name"], "trust", row["region"],
            _lines(row["address"]), row["postcode"], phone, None,
        )  # fmt: skip
        address = _lines(row["site_address"])
        site = Location(
            _id("location", code),
            row["site_name"],
            "site",
            code,
            trust.id,
            None,
            address,
            row["site_postcode"],
        )
        self.organisations.append(trust)
        self.locations.append(site)
        self._sites.setdefault(row["region"], []).append(site)

        wards: dict[str, Location] = {}
        for part in parts:
            location = self._part_of(site, part["name"], part["kind"])
            self._part[site.id, part["key"]] = location
            if part["kind"] == "ward":
                wards[part["name"]] = location
        for key, specialty in specialties.items():
            if specialty.ward:
                if specialty.ward not in wards:
                    wards[specialty.ward] = self._part_of(site, specialty.ward, "ward")
                self._ward[site.id, key] = wards[specialty.ward]
            consultant = self._someone(f"{ods}/{key}", doctor=True)
            self._add_role(consultant, trust.id, site.id, "consultant", key)
            service = HealthcareService(
                _id("service", code, key), trust.id, site.id, key,
                f"{specialty.name}, {row['site_name']}", self._phone(row["site_postcode"], f"{code}/{key}"),
            )  # fmt: skip
            self.healthcare_services.append(service)
            self._service[site.id, key] = service
        for number, key in enumerate(specialties):
            if number % COVER == 0:
                resident = self._someone(f"{ods}/resident/{number // COVER}", doctor=True)
            self._add_role(resident, trust.id, site.id, "resident-doctor", key)

    def _part_of(self, site: Location, name: str, kind: str) -> Location:
        location = Location(
            _id("location", site.id, name),
            name,
            kind,
            None,
            site.organisation_id,
            site.id,
            site.address,
            site.postcode,
        )
        self.locations.append(location)
        return location

    def _someone(self, key: str, doctor: bool) -> Practitioner:
        which, a, b, c = _uniform("practitioner", key)
        category = self._categories(which)
        sex = "female" if a < (0.5 if doctor else 0.95) else "male"
        number = len(self.practitioners) + 1
        prefix = "Dr" if doctor else ("Ms" if sex == "female" else "Mr")
        # GMC numbers of doctors in practice do not begin with 9; SDS user ids in use do not begin with 5555.
        person = Practitioner(
            _id("practitioner", key),
            prefix,
            self._names.first(1965 + int(c * 30), sex, category, b),
            self._names.surname(category, _uniform("surname", key)[0]),
            sex,
            f"9{number:06d}" if doctor else None,
            f"5555{number:08d}",
        )
        self.practitioners.append(person)
        return person

    def _add_role(
        self, person: Practitioner, organisation_id: str, location_id: str, role: str, specialty: str
    ) -> None:
        self.practitioner_roles.append(
            PractitionerRole(
                _id("role", person.id, role, specialty),
                person.id,
                organisation_id,
                location_id,
                role,
                specialty,
            )
        )


_loaded: dict[str, Places] = {}


def load_places(knowledge: Knowledge) -> Places:
    """The places, made once a process for the specialties that the knowledge files name."""
    if knowledge.digest not in _loaded:
        _loaded[knowledge.digest] = Places(knowledge)
    return _loaded[knowledge.digest]
