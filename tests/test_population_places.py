"""Practices, hospitals and staff: complete, linked, real where they claim to be, invented where they must be."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from fhirsynth.knowledge import load
from fhirsynth.population import REGIONS
from fhirsynth.population.places import GENERAL_PRACTICE, Places, load_places

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"


@pytest.fixture(scope="module")
def knowledge():
    return load()


@pytest.fixture(scope="module")
def places(knowledge):
    return load_places(knowledge)


def reference(name):
    path = REFERENCE / name
    if not path.exists():
        pytest.skip(f"{name} of the reference collection is not on this machine")
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_region_has_practices_and_two_hospitals(places):
    for region in REGIONS:
        practices = places.practices(region)
        assert 4 <= len(practices) <= 6
        for practice in practices:
            assert len(places.roles(practice.id, "general-practitioner")) == 4
            assert len(places.roles(practice.id, "practice-nurse", GENERAL_PRACTICE)) == 2
            assert places.surgery(practice.id).organisation_id == practice.id
        assert len(places.sites(region)) == 2
        assert {places.site_for(region, i).id for i in range(50)} == {site.id for site in places.sites(region)}


def test_every_hospital_has_staff_and_a_place_for_every_specialty(places, knowledge):
    for region in REGIONS:
        for site in places.sites(region):
            assert site.kind == "site" and site.ods_site
            for kind in ("emergency", "outpatients", "laboratory"):
                assert places.department(site.id, kind).part_of_id == site.id
            for key in knowledge.specialties:
                if key == GENERAL_PRACTICE:
                    continue
                for role in ("consultant", "resident-doctor"):
                    assert places.roles(site.organisation_id, role, key), (site.name, role, key)
                assert places.ward(site.id, key).kind == "ward"
                assert places.service(site.id, key).location_id == site.id
            assert places.service(site.id, "no-such-specialty") is None
            assert places.roles(site.organisation_id, "consultant", "no-such-specialty") == []


def test_all_rows_point_at_rows_that_exist(places):
    for location in places.locations:
        assert location.organisation_id in places.organisation
        assert location.part_of_id is None or location.part_of_id in places.location
    for role in places.practitioner_roles:
        assert role.practitioner_id in places.practitioner and role.organisation_id in places.organisation
        assert role.location_id in places.location
    for service in places.healthcare_services:
        assert service.organisation_id in places.organisation and service.location_id in places.location
    for table, index in (
        (places.organisations, places.organisation),
        (places.locations, places.location),
        (places.practitioners, places.practitioner),
        (places.practitioner_roles, places.role),
    ):
        assert len(table) == len(index)


def test_staff_numbers_are_outside_what_is_issued_and_unique(places):
    gmc = [p.gmc for p in places.practitioners if p.gmc]
    assert len(set(gmc)) == len(gmc) and all(len(g) == 7 and g.startswith("9") for g in gmc)
    sds = [p.sds for p in places.practitioners]
    assert len(set(sds)) == len(sds) and all(len(s) == 12 and s.startswith("5555") for s in sds)
    assert all((p.gmc is None) == (p.prefix != "Dr") for p in places.practitioners)


def test_the_same_places_every_time(places, knowledge):
    again = Places(knowledge)
    assert again.practitioner_roles == places.practitioner_roles and again.locations == places.locations
    assert load_places(knowledge) is places


def test_organisations_are_real_and_open(places):
    practices = {r["ods_code"]: r for r in reference("organisations/gp_practices_sample.csv")}
    trusts = {r["ods_code"]: r for r in reference("organisations/nhs_trusts.csv")}
    sites = {r["site_ods"].strip(): r for r in reference("organisations/nhs_hospital_sites.csv")}
    for organisation in places.organisations:
        real = (practices if organisation.kind == "practice" else trusts)[organisation.ods]
        assert organisation.postcode == " ".join(real["postcode"].split())
        assert not real.get("close_date")
    for region in REGIONS:
        for site in places.sites(region):
            assert sites[site.ods_site]["trust_ods"] == places.organisation[site.organisation_id].ods
            assert site.postcode == " ".join(sites[site.ods_site]["postcode"].split())
