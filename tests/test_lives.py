"""Lives as rows: whole, repeatable, and true to the published rates."""

from collections import Counter, defaultdict

import pytest

from fhirsynth.days import day_of
from fhirsynth.knowledge import load
from fhirsynth.population.model import load_model
from fhirsynth.population.people import make_people
from fhirsynth.population.places import load_places
from fhirsynth.record import Record
from fhirsynth.record.schema import TABLES
from fhirsynth.spec import Spec
from fhirsynth.timeline import live
from fhirsynth.timeline.clock import local_day

SPEC = Spec(n=1200, seed=7)


def tell(spec: Spec, shard: int) -> dict[str, list]:
    knowledge = load()
    places = load_places(knowledge)
    people = make_people(spec, shard, knowledge, load_model(knowledge), places)
    rows = live(people, spec, knowledge, places)
    for table, found in (
        ("organisation", places.organisations),
        ("location", places.locations),
        ("practitioner", places.practitioners),
        ("practitioner_role", places.practitioner_roles),
        ("healthcare_service", places.healthcare_services),
    ):
        rows[table] = list(found)
    return rows


@pytest.fixture(scope="module")
def shards() -> list[dict[str, list]]:
    return [tell(SPEC, shard) for shard in range(SPEC.shards)]


def test_every_key_points_somewhere_and_every_table_is_used(shards):
    for rows in shards:
        assert Record(rows).check() == []
    used = Counter({table: sum(len(rows[table]) for rows in shards) for table in TABLES})
    assert [table for table in TABLES if not used[table]] == []


def test_the_same_seed_tells_the_same_lives(shards):
    assert tell(SPEC, 1) == shards[1]
    assert tell(Spec(n=1200, seed=8), 1)["encounter"] != shards[1]["encounter"]


def test_a_life_does_not_depend_on_how_many_others_there_are(shards):
    # The last shard of a smaller population is cut short; its first people live the same lives.
    smaller = tell(Spec(n=400, seed=7), 1)
    assert smaller["encounter"] == shards[1]["encounter"]


def test_contacts_lie_inside_the_window_and_the_life(shards):
    start, index = day_of(SPEC.start), day_of(SPEC.index_date)
    for rows in shards:
        people = {person.id: person for person in rows["person"]}
        for encounter in rows["encounter"]:
            person = people[encounter.person_id]
            assert encounter.start < encounter.end
            assert max(start, person.birth) <= local_day(encounter.start)
            assert local_day(encounter.end) < index
            if person.death is not None:
                assert encounter.end <= person.death


def test_nobody_is_in_two_places_at_once(shards):
    for rows in shards:
        by_person = defaultdict(list)
        for encounter in rows["encounter"]:
            by_person[encounter.person_id].append((encounter.start, encounter.end, encounter.kind))
        for contacts in by_person.values():
            contacts.sort()
            for (_, end, _), (start, _, _) in zip(contacts, contacts[1:], strict=False):
                assert end <= start


def test_contact_rates_are_the_published_ones(shards):
    """Contacts a person-year over all ages, within 10 % of the rates that the tables give for the same people."""
    from fhirsynth.timeline.plan import plan_for

    knowledge = load()
    plan = plan_for(knowledge, load_places(knowledge))
    index = day_of(SPEC.index_date)
    expected: Counter = Counter()
    found: Counter = Counter()
    for rows in shards:
        living = {p.id: p for p in rows["person"] if p.death is None}
        for person in living.values():
            for back in range(SPEC.years):
                age = (index - person.birth) / 365.25 - back - 0.5
                if age > 1:
                    expected["gp"] += plan.gp_rate[person.sex][int(age)]
                    expected["outpatient"] += plan.outpatient_rate[person.sex][int(age)]
        for encounter in rows["encounter"]:
            if encounter.person_id in living and encounter.kind in ("gp", "nurse", "telephone", "home-visit"):
                found["gp"] += 1
        for appointment in rows["appointment"]:
            if appointment.person_id in living and appointment.status in ("fulfilled", "noshow"):
                found["outpatient"] += 1
    for kind, count in expected.items():
        assert found[kind] == pytest.approx(count, rel=0.10), kind


def test_a_long_term_condition_is_one_problem(shards):
    for rows in shards:
        problems = Counter((c.person_id, c.key) for c in rows["condition"] if c.category == "problem")
        assert set(problems.values()) == {1}


def test_nobody_takes_one_substance_twice_at_a_time(shards):
    knowledge = load()
    for rows in shards:
        taken = defaultdict(list)
        for m in rows["medication"]:
            if m.repeat:
                taken[m.person_id, knowledge.medicines[m.medicine].vtm].append((m.start, m.end or 10**6))
        for spans in taken.values():
            spans.sort()
            for (_, end), (start, _) in zip(spans, spans[1:], strict=False):
                assert end < start
