"""The people of a shard: how many, who lives with whom, and what a register would hold of them."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise

import nhs_number
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirsynth.knowledge import load
from fhirsynth.population import REGIONS, identifiers
from fhirsynth.population.model import load_model
from fhirsynth.population.people import BLOCK, make_people
from fhirsynth.population.places import load_places
from fhirsynth.population.statistics import rows
from fhirsynth.spec import SHARD_SIZE, Spec

EPOCH = dt.date(1970, 1, 1).toordinal()
YEAR = 365.25
SPEC = Spec(n=2_450, seed=3)
DRAMA = re.compile(
    r"^(0113 496 0|0114 496 0|0115 496 0|0116 496 0|0117 496 0|0118 496 0|0121 496 0|0151 496 0|0161 496 0|"
    r"0191 498 0|01632 960|020 7946 0|07700 900)\d{3}$"
)
UNREAL = re.compile(r"^[A-Z]{1,2}\d{1,2} \d[CIKMOV]{2}$")


@pytest.fixture(scope="module")
def knowledge():
    return load()


@pytest.fixture(scope="module")
def model(knowledge):
    return load_model(knowledge)


@pytest.fixture(scope="module")
def places(knowledge):
    return load_places(knowledge)


@pytest.fixture(scope="module")
def shards(knowledge, model, places):
    return [make_people(SPEC, shard, knowledge, model, places) for shard in range(SPEC.shards)]


@pytest.fixture(scope="module")
def persons(shards):
    return [person for shard in shards for person in shard.persons]


@pytest.fixture(scope="module")
def contacts(shards):
    return [contact for shard in shards for contact in shard.contacts]


def age_on(birth, day):
    b, d = dt.date.fromordinal(birth + EPOCH), dt.date.fromordinal(day + EPOCH)
    return d.year - b.year - ((d.month, d.day) < (b.month, b.day))


INDEX = SPEC.index_date.toordinal() - EPOCH
START = SPEC.start.toordinal() - EPOCH


# --- how many ------------------------------------------------------------------------------------


def test_living_first_in_full_number_then_the_dead(shards):
    for number, shard in enumerate(shards):
        living = SPEC.shard_size(number)
        assert all(p.death is None for p in shard.persons[:living])
        assert all(p.death is not None for p in shard.persons[living:])
        assert [p.ordinal for p in shard.persons] == list(range(number * BLOCK, number * BLOCK + len(shard.persons)))
        assert all(len(has) == len(shard.persons) and has.dtype == bool for has in shard.has.values())


def test_as_many_die_as_the_life_table_says(knowledge, model, persons):
    table = rows(knowledge, "population_life_table")
    weights = model.age_sex_weights()
    dying = np.array([[float(r["female"]), float(r["male"])] for r in table])[np.minimum(np.arange(111), 100)]
    expected = SPEC.n * SPEC.years * (weights * dying).sum() / weights.sum()
    dead = [p for p in persons if p.death is not None]
    assert abs(len(dead) - expected) < 4 * expected**0.5
    for p in dead:
        assert START <= p.death // 86_400 < INDEX and p.birth <= p.death // 86_400
    assert 70 < np.mean([age_on(p.birth, p.death // 86_400) for p in dead]) < 85


def test_the_dead_were_iller_than_the_living_of_their_age(shards, knowledge):
    dead, alive = [], []
    risky = [k for k, c in knowledge.conditions.items() if c.kind == "long-term" and c.hazard_ratio >= 2]
    for shard in shards:
        for i, p in enumerate(shard.persons):
            count = sum(bool(shard.has[key][i]) for key in risky)
            if p.death is not None and 70 <= age_on(p.birth, p.death // 86_400) < 90:
                dead.append(count)
            elif p.death is None and 70 <= age_on(p.birth, INDEX) < 90:
                alive.append(count)
    assert np.mean(dead) > 1.3 * np.mean(alive)


def test_nobody_dies_when_the_dead_are_left_out(knowledge, model, places):
    people = make_people(Spec(n=30, deceased=False), 0, knowledge, model, places)
    assert len(people.persons) == 30


@pytest.mark.parametrize("spec", [
    Spec(n=60, seed=9, condition=("heart-failure", "type-2-diabetes"), years=10),
    Spec(n=60, seed=9, age=(0, 15), region="london"),
    Spec(n=60, seed=9, age=(85, 110), sex="male", years=40),
    Spec(n=60, seed=9, condition=("asthma",), age=(5, 12), sex="female", region="north-east"),
    Spec(n=60, seed=9, index_date=dt.date(2024, 2, 29), age=(0, 0)),
])  # fmt: skip
def test_limits_hold_for_the_living_and_the_dead(spec, knowledge, model, places):
    people = make_people(spec, 0, knowledge, model, places)
    assert len(people.persons) <= BLOCK
    index = spec.index_date.toordinal() - EPOCH
    for i, p in enumerate(people.persons):
        on = index if p.death is None else p.death // 86_400
        assert spec.age[0] <= age_on(p.birth, on) <= spec.age[1]
        assert p.birth < index
        assert spec.sex in (None, p.sex) and spec.region in (None, p.region)
        assert all(people.has[key][i] for key in spec.condition)
    if spec.condition and spec.age == (0, 110):
        assert any(p.death is not None for p in people.persons)


def test_unknown_condition_is_named_with_its_neighbours(knowledge, model, places):
    with pytest.raises(ValueError, match="type-2-diabetis.*type-2-diabetes"):
        make_people(Spec(condition=("type-2-diabetis",)), 0, knowledge, model, places)


# --- who lives with whom -------------------------------------------------------------------------


def test_couples_share_a_home_and_are_of_an_age(persons, contacts):
    by_id = {p.id: p for p in persons}
    couples = [c for c in contacts if c.other_id and c.relationship in ("spouse", "partner")]
    assert len(couples) > 0.35 * len([p for p in persons if p.death is None])
    same_sex = same_name = same_group = married = 0
    for c in couples:
        p, other = by_id[c.person_id], by_id[c.other_id]
        assert p.household_id == other.household_id and p.address == other.address and p.postcode == other.postcode
        assert (p.region, p.imd_decile, p.practice_id) == (other.region, other.imd_decile, other.practice_id)
        assert p.household == other.household and p.household in ("couple", "couple-children")
        assert (c.relationship == "spouse") == (p.marital_status == other.marital_status == "M")
        assert abs(p.birth - other.birth) < 32 * YEAR and min(age_on(q.birth, INDEX) for q in (p, other)) >= 16
        same_sex += p.sex == other.sex
        same_group += p.ethnic_category == other.ethnic_category
        if c.relationship == "spouse":
            married += 1
            same_name += p.surname == other.surname
        assert {x.other_id for x in contacts if x.person_id == other.id} & {p.id}
    assert same_sex < 0.06 * len(couples) and same_group > 0.8 * len(couples) and same_name > 0.6 * married


def test_children_live_with_a_parent_of_a_possible_age(persons, contacts):
    by_id = {p.id: p for p in persons}
    parents = defaultdict(list)
    for c in contacts:
        if c.relationship in ("mother", "father"):
            parents[c.person_id].append(c)
    known = 0
    children = [p for p in persons if age_on(p.birth, INDEX if p.death is None else p.death // 86_400) < 16]
    assert len(children) > 300
    for child in children:
        here = parents[child.id]
        assert here and all(c.address == child.address and c.postcode == child.postcode for c in here)
        assert sum(c.next_of_kin for c in here) == 1 and child.marital_status is None
        assert child.household == "with-parents"
        known += any(c.other_id for c in here)
        for c in here:
            if c.other_id:
                parent = by_id[c.other_id]
                low = 16 if parent.sex == "female" else 18
                assert low * YEAR <= child.birth - parent.birth <= 45 * YEAR
                assert parent.household_id == child.household_id and parent.region == child.region
                assert c.relationship == ("mother" if parent.sex == "female" else "father")
    assert known > 0.7 * len(children)
    siblings = defaultdict(list)
    for child in children:
        siblings[child.household_id].append(child)
    for family in siblings.values():
        births = sorted(p.birth for p in family)
        assert all(b - a >= 270 for a, b in pairwise(births))
        assert len({p.surname for p in family}) == 1
    assert 1.2 < np.mean([len(f) for f in siblings.values()]) < 2.4


def test_children_of_two_groups_are_mixed(persons, contacts):
    by_id = {p.id: p for p in persons}
    group = {
        **dict.fromkeys("ABC", "white"),
        **dict.fromkeys("DEFG", "mixed"),
        **dict.fromkeys("HJK", "south-asian"),
    }
    group |= {**dict.fromkeys("MNP", "black"), **dict.fromkeys("LRS", "other")}
    parents = defaultdict(list)
    for c in contacts:
        if c.other_id and c.relationship in ("mother", "father"):
            parents[c.person_id].append(group[by_id[c.other_id].ethnic_category])
    both = {child: groups for child, groups in parents.items() if len(groups) == 2}
    assert len(both) > 200
    for child, groups in both.items():
        wanted = groups[0] if groups[0] == groups[1] else "mixed"
        assert group[by_id[child].ethnic_category] == wanted


def test_households_leave_the_shares_of_the_model_in_place(model, knowledge, places):
    """Moving into a household copies region and ethnic group: nobody gains or loses on average."""
    spec = Spec(n=6_000, seed=21, deceased=False)
    made = [p for s in range(spec.shards) for p in make_people(spec, s, knowledge, model, places).persons]
    drawn = model.sample(100_000, np.random.default_rng(8))
    for node, value in (("region", "region"), ("ethnic_category", "ethnic_category")):
        expected = np.bincount(drawn[node], minlength=model.size[node]) / 100_000
        counts = Counter(getattr(p, value) for p in made)
        found = np.array([counts[state] for state in model.states[node]]) / spec.n
        # Households move together, which makes for more scatter than in independent draws.
        assert np.abs(found - expected).max() < 0.025, node


def test_conditions_after_households_keep_their_prevalence(model, knowledge, places):
    spec = Spec(n=6_000, seed=22, deceased=False)
    has = [make_people(spec, s, knowledge, model, places).has for s in range(spec.shards)]
    weights = model.age_sex_weights()
    cells = np.zeros((len(model.edges), 2))
    np.add.at(cells, model.bands, weights)
    for key in ("hypertension", "type-2-diabetes", "asthma", "depression"):
        expected = (model.prevalence(key) * cells).sum() / cells.sum()
        found = np.concatenate([h[key] for h in has]).mean()
        assert abs(found - expected) < 5 * (expected * (1 - expected) / spec.n) ** 0.5 + 0.003, key


# --- what a register holds -----------------------------------------------------------------------


def test_nhs_numbers_are_valid_unique_and_never_issued(persons):
    numbers = [p.nhs_number for p in persons]
    assert len(set(numbers)) == len(numbers)
    for number in numbers:
        assert nhs_number.is_valid(number, for_region=nhs_number.REGION_SYNTHETIC) and number.startswith("999")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 10**6))
def test_nhs_numbers_of_any_seed_are_valid(seed, index):
    number = identifiers.nhs_number(seed, index)
    assert nhs_number.is_valid(number) and len(number) == 10


def test_nhs_numbers_come_round_only_after_the_whole_range():
    every = {identifiers.nhs_number(4, index) for index in range(0, 909_000, 7)}
    assert len(every) == len(range(0, 909_000, 7))


def test_ids_are_uuids_and_unique(persons, contacts):
    form = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
    ids = [p.id for p in persons] + [c.id for c in contacts] + list({p.household_id for p in persons})
    assert len(set(ids)) == len(ids) and all(form.match(i) for i in ids)


def test_addresses_and_telephones_belong_to_nobody(persons, contacts):
    for p in persons:
        assert UNREAL.match(p.postcode) and "\n" in p.address
        for number in (p.phone, p.mobile):
            assert number is None or DRAMA.match(number), number
        assert p.email is None or re.match(r"^[a-z]+\.[a-z]+\d+@example\.(com|org|net)$", p.email), p.email
    for c in contacts:
        assert UNREAL.match(c.postcode) and DRAMA.match(c.phone)


def test_children_under_13_have_no_telephone_or_mail_of_their_own(persons):
    young = [p for p in persons if p.death is None and age_on(p.birth, INDEX) < 13]
    assert young and all(p.mobile is None and p.email is None for p in young)
    grown = [p for p in persons if 16 <= age_on(p.birth, INDEX) < 75]
    assert np.mean([p.mobile is not None for p in grown]) > 0.9


def test_titles_fit_age_and_sex(persons):
    for p in persons:
        age = age_on(p.birth, INDEX if p.death is None else p.death // 86_400)
        if age < 16:
            assert p.prefix == ("Master" if p.sex == "male" else "Miss")
        else:
            assert p.prefix in (("Mr", "Dr") if p.sex == "male" else ("Mrs", "Miss", "Ms", "Dr"))
        assert (p.marital_status is None) == (age < 16)
        assert p.previous_surname is None or (p.sex == "female" and p.previous_surname != p.surname)
        assert not p.interpreter or p.language != "en"
    assert sum(p.previous_surname is not None for p in persons) > 200


def test_names_follow_the_year_of_birth(persons):
    first = defaultdict(Counter)
    for p in persons:
        year = dt.date.fromordinal(p.birth + EPOCH).year
        first["old" if year < 1950 else "young" if year > 2005 else "between"][p.given.split()[0]] += 1
    assert not {name for name, _ in first["old"].most_common(8)} & {name for name, _ in first["young"].most_common(8)}
    assert len(first["between"]) > 200


def test_practice_and_doctor_fit_the_region(persons, places):
    for p in persons:
        practice, role = places.organisation[p.practice_id], places.role[p.gp_role_id]
        assert practice.region == p.region and practice.kind == "practice"
        assert role.organisation_id == practice.id and role.role == "general-practitioner"


def test_everyone_has_one_next_of_kin(persons, contacts):
    kin = Counter(c.person_id for c in contacts if c.next_of_kin)
    assert all(kin[p.id] == 1 for p in persons)
    ids = {p.id for p in persons}
    assert all(c.person_id in ids and (c.other_id is None or c.other_id in ids) for c in contacts)
    assert all(c.other_id != c.person_id for c in contacts)


# --- the same every time -------------------------------------------------------------------------

ONE = """
import hashlib
from fhirsynth.knowledge import load
from fhirsynth.population.model import load_model
from fhirsynth.population.people import make_people
from fhirsynth.population.places import load_places
from fhirsynth.spec import Spec
knowledge = load()
people = make_people(Spec(n=500, seed=5), 1, knowledge, load_model(knowledge), load_places(knowledge))
has = {key: value.tolist() for key, value in people.has.items()}
print(hashlib.sha256(repr((people.persons, people.contacts, has)).encode()).hexdigest())
"""


def test_another_process_makes_the_same_people(knowledge, model, places):
    make_people(Spec(n=500, seed=5), 0, knowledge, model, places)  # what ran before must not matter
    people = make_people(Spec(n=500, seed=5), 1, knowledge, model, places)
    has = {key: value.tolist() for key, value in people.has.items()}
    here = hashlib.sha256(repr((people.persons, people.contacts, has)).encode()).hexdigest()
    run = subprocess.run([sys.executable, "-c", ONE], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == here


def test_shards_and_seeds_differ(knowledge, model, places):
    names = set()
    for seed, shard in ((1, 0), (1, 1), (2, 0)):
        people = make_people(Spec(n=2 * SHARD_SIZE, seed=seed), shard, knowledge, model, places)
        names.add(people.persons[0].id)
    assert len(names) == 3


def test_regions_are_keys_with_names():
    assert len(REGIONS) == 9 and all(re.match(r"^[a-z-]+$", key) for key in REGIONS)
