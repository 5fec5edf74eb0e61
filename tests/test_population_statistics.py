"""The statistics files say where they come from and hold the published figures."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from fhirsynth.knowledge import load
from fhirsynth.population import REGIONS, network, nodes
from fhirsynth.population.statistics import rows

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"
MINE = ("population_", "names_", "conditions_", "places_")


@pytest.fixture(scope="module")
def knowledge():
    return load()


def reference(name):
    path = REFERENCE / name
    if not path.exists():
        pytest.skip(f"{name} of the reference collection is not on this machine")
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_file_names_its_source(knowledge):
    found = [name for name in knowledge.statistics if name.startswith(MINE)]
    assert set(network.TABLES) <= set(found)
    for name in found:
        head = [line for line in knowledge.statistics[name].decode().splitlines() if line.startswith("#")]
        assert any("Source" in line for line in head), name
        assert all(len(line) < 180 for line in head), name


def test_prevalence_is_that_of_kuan(knowledge):
    published = {
        (r["code"], {"F": "female", "M": "male"}.get(r["sex"]), r["age_band"]): float(r["prev_per_10000"])
        for r in reference("epidemiology/kuan_prevalence_308_by_age_sex.csv")
    }
    for r in rows(knowledge, "conditions_kuan"):
        for band, value in r.items():
            if band not in ("code", "sex"):
                assert float(value) == pytest.approx(published.get((r["code"], r["sex"], band), 0.0), abs=0.0051)


def test_population_is_that_of_the_ons(knowledge):
    published = {
        (int(r["age"].rstrip("+")), r["sex"]): int(r["count"])
        for r in reference("demography/population_mid2023_single_year.csv")
        if r["area"] == "ENGLAND"
    }
    for r in rows(knowledge, "population_age_sex"):
        assert int(r["female"]) == published[int(r["age"]), "F"] and int(r["male"]) == published[int(r["age"]), "M"]


def test_death_rates_are_those_of_the_ons(knowledge):
    published = {
        (int(r["age"]), r["sex"]): float(r["qx"])
        for r in reference("demography/life_tables_england.csv")
        if r["period"] == "2018-2020"
    }
    for r in rows(knowledge, "population_life_table"):
        assert float(r["female"]) == published[int(r["age"]), "F"] and float(r["male"]) == published[int(r["age"]), "M"]


def test_shares_add_up(knowledge):
    for name, skip in (("population_marital", 2), ("population_household", 3)):
        for r in rows(knowledge, name):
            assert sum(float(v) for v in list(r.values())[skip:]) == pytest.approx(100, abs=0.06), (name, r)
    habits = {}
    for r in rows(knowledge, "population_habits"):
        key = (r["node"], r["age"], r["sex"])
        habits[key] = habits.get(key, 0) + float(r["percent"])
    assert all(total == pytest.approx(100, abs=0.03) for total in habits.values())


def test_tables_name_only_what_the_network_knows(knowledge):
    assert {r["region"] for r in rows(knowledge, "places_towns")} == set(REGIONS)
    codes = {r["category"] for r in rows(knowledge, "population_ethnic_category")}
    assert codes == set("ABCDEFGHJKLMNPRS")
    assert {r["category"] for r in rows(knowledge, "names_tradition")} == codes
    for r in rows(knowledge, "population_habit_effects"):
        assert r["state"] in nodes.HABITS[r["node"]]
