"""What a general practitioner would stumble over is in nobody's record: each rule over some 420 ordinary people."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import made
import pytest

from fhirsynth import Spec
from fhirsynth.days import DAY, date_of, day_of
from fhirsynth.fhir import civil
from fhirsynth.knowledge import load
from fhirsynth.knowledge.schema import Medicine
from fhirsynth.population.details import email_name
from fhirsynth.record import schema as rec
from fhirsynth.run.shard import make
from fhirsynth.validation.rules_of_sense import check_life

SPEC = Spec(n=400, seed=11)
INDEX = day_of(SPEC.index_date)
PREGNANCY = 280  # days from the first day of the last period


@cache
def lives() -> tuple[tuple[rec.Person, dict[str, list[Any]]], ...]:
    found = [life for shard in range(SPEC.shards) for life in make(SPEC, shard).record.by_person()]
    return tuple((person, defaultdict(list, rows)) for person, rows in found)


def prescriptions() -> Iterator[dict[str, Any]]:
    for bundle in made.people():
        yield from made.of(made.resources(bundle), "MedicationRequest")


def medicine_of(row: rec.Medication) -> Medicine:
    return load().medicines[row.medicine]


# --- courses -----------------------------------------------------------------------------------------


def test_a_course_is_as_long_as_its_words_say_and_as_much_as_it_takes() -> None:
    courses = [item for item in prescriptions() if "boundsDuration" in item["dosageInstruction"][0]["timing"]["repeat"]]
    assert len(courses) > 300
    for item in courses:
        [dosage], supply = item["dosageInstruction"], item["dispenseRequest"]
        repeat, lasts = dosage["timing"]["repeat"], supply["expectedSupplyDuration"]["value"]
        days, issues = repeat["boundsDuration"]["value"], supply.get("numberOfRepeatsAllowed", 0) + 1
        assert (issues - 1) * lasts < days <= issues * lasts, item["id"]
        said = re.search(r" for (\d+) days?(?:;|$)", dosage["text"])
        if said is not None:
            assert int(said[1]) == days - ("first day" in dosage["text"]), dosage["text"]
        else:
            assert days == 1, dosage["text"]
        if not dosage["asNeededBoolean"] and "first day" not in dosage["text"]:
            dose = dosage["doseAndRate"][0]["doseQuantity"]["value"]
            a_day = dose * repeat["frequency"] / repeat["period"] / {"d": 1, "wk": 7}[repeat["periodUnit"]]
            medicine = made.known().medicines[item["medicationCodeableConcept"]["coding"][0]["code"]]
            packs = max(d.pack for d in (medicine.dose, medicine.child_dose) if d is not None)
            assert a_day * lasts - 0.1 <= supply["quantity"]["value"] < a_day * lasts + packs, dosage["text"]


def test_of_a_course_that_is_split_at_discharge_each_order_has_its_own_days() -> None:
    split = 0
    for _, rows in lives():
        on_ward = {(row.encounter_id, row.medicine): row for row in rows["medication"] if row.setting == "inpatient"}
        for row in rows["medication"]:
            before = on_ward.get((row.encounter_id, row.medicine)) if row.setting == "discharge" and row.days else None
            if before is not None:
                assert row.start > before.end
                split += 1
    assert split > 10
    texts = [
        item["dosageInstruction"][0]["text"]
        for item in prescriptions()
        if item["category"][0]["coding"][0]["code"] == "discharge"
    ]
    assert texts and not any("first day" in text for text in texts)


# --- medicines together ------------------------------------------------------------------------------


def together(rows: list[rec.Medication]) -> Iterator[tuple[rec.Medication, rec.Medication]]:
    """Pairs of orders of different substances that are taken on one day at least."""
    for one in rows:
        for other in rows:
            if medicine_of(one).vtm == medicine_of(other).vtm:
                continue
            if one.start <= (other.end or INDEX) and other.start <= (one.end or INDEX):
                yield one, other


def test_who_dies_in_hospital_takes_nothing_home() -> None:
    spec, dead = Spec(n=400, seed=63), 0
    for shard in range(spec.shards):
        for _, rows in make(spec, shard).record.by_person():
            fatal = {row.id for row in rows.get("encounter", ()) if row.discharge_method == "4"}
            dead += len(fatal)
            settings = [row.setting for row in rows.get("medication", ()) if row.encounter_id in fatal]
            assert "discharge" not in settings
    assert dead > 3


def test_nothing_is_taken_beside_what_stands_against_it() -> None:
    for _, rows in lives():
        for one, other in together(rows["medication"]):
            against = {f"taking:{name}" for name in medicine_of(other).classes} & set(medicine_of(one).blocked_by)
            assert not against, f"{one.medicine} with {other.medicine}"


INTERACTIONS = {
    "naproxen-500mg-tablets": ("apixaban-5mg-tablets", "aspirin-75mg-dispersible-tablets", "furosemide-40mg-tablets"),
    "omeprazole-20mg-gastro-resistant-capsules": ("clopidogrel-75mg-tablets",),
    "trimethoprim-200mg-tablets": ("methotrexate-2.5mg-tablets",),
    "sildenafil-50mg-tablets": ("isosorbide-mononitrate-60mg-modified-release-tablets",),
    "diltiazem-120mg-modified-release-capsules": ("bisoprolol-2.5mg-tablets",),
    "bisoprolol-2.5mg-tablets": ("diltiazem-120mg-modified-release-capsules",),
    "sertraline-50mg-tablets": ("citalopram-20mg-tablets", "mirtazapine-15mg-tablets"),
    "ramipril-5mg-capsules": ("losartan-50mg-tablets",),
    "codeine-30mg-tablets": ("morphine-sulfate-10mg-5ml-oral-solution",),
    "paracetamol-500mg-tablets": ("co-codamol-30mg-500mg-tablets",),
}


@pytest.mark.parametrize("key", INTERACTIONS)
def test_interactions_that_must_not_be_lost(key: str) -> None:
    medicines = load().medicines
    for other in INTERACTIONS[key]:
        assert {f"taking:{name}" for name in medicines[other].classes} & set(medicines[key].blocked_by), other


def test_what_cannot_go_on_beside_a_new_medicine_is_stopped() -> None:
    gave_way = 0
    for _, rows in lives():
        for old in rows["medication"]:
            for new in rows["medication"]:
                if old.stop_reason == "No longer suitable" and old.end == new.start - 1:
                    classes = {f"taking:{name}" for name in medicine_of(new).classes}
                    gave_way += bool(classes & set(medicine_of(old).blocked_by))
    assert gave_way > 3


def test_nothing_is_given_before_it_was_authorised() -> None:
    dated = 0
    for _, rows in lives():
        for row in rows["medication"]:
            since = medicine_of(row).since
            if since is not None:
                dated += 1
                assert date_of(row.start).year >= since, row.medicine
    assert dated > 20


def test_specialists_begin_what_practices_do_not() -> None:
    spec = Spec(n=120, seed=4, condition=("rheumatoid-arthritis",))
    begun = 0
    for shard in range(spec.shards):
        rows = make(spec, shard).record
        kinds = {row.id: row.kind for row in rows["encounter"]}
        for row in rows["medication"]:
            if "dmard" in medicine_of(row).classes and row.encounter_id is not None:
                begun += 1
                assert kinds[row.encounter_id] not in ("gp", "nurse", "telephone", "home-visit")
    assert begun > 3


# --- contacts ----------------------------------------------------------------------------------------


def test_doses_of_a_vaccine_lie_far_enough_apart() -> None:
    least = {key: [dose.after_weeks for dose in vaccine.doses] for key, vaccine in load().vaccines.items()}
    assert least["six-in-one"] == [0, 4, 4]
    pairs = 0
    for _, rows in lives():
        given: dict[str, list[int]] = defaultdict(list)
        for row in rows["immunisation"]:
            if row.given:
                given[row.vaccine].append(civil.local_day(row.time))
        for vaccine, days in given.items():
            for earlier, later in pairwise(sorted(days)):
                pairs += 1
                assert later - earlier >= 7 * max(least[vaccine]), vaccine
    assert pairs > 200


def test_nobody_is_booked_in_before_there_is_a_reason() -> None:
    reasons = pregnancies = 0
    for _, rows in lives():
        recorded = {row.id: row.recorded for row in rows["condition"]}
        births = [
            row.start
            for row in rows["encounter"]
            if row.kind == "inpatient" and row.reason is not None
            if (stay := load().conditions[row.reason].stay) is not None and stay.admission == "maternity"
        ]
        for row in rows["appointment"]:
            assert row.booked < row.start
            if row.reason_id is not None:
                reasons += 1
                assert row.booked >= recorded[row.reason_id]
            for birth in births if row.specialty == "midwifery" else ():
                if birth - PREGNANCY * DAY < row.start < birth:
                    pregnancies += 1
                    assert row.booked > birth - PREGNANCY * DAY
    assert reasons > 100 and pregnancies > 20


def test_a_referral_is_for_what_the_contact_was_about() -> None:
    reasons, judged = load().general_reasons, 0
    for _, rows in lives():
        contacts = {row.id: row for row in rows["encounter"]}
        for row in rows["request"]:
            contact = contacts[row.encounter_id]
            refers = reasons[contact.reason].refers if contact.reason_kind == "general" else None
            if row.kind == "referral" and refers is not None:
                judged += 1
                assert row.what in refers, contact.reason
    assert judged > 5


def test_a_wound_is_infected_after_an_operation_only() -> None:
    follows = load().conditions["postoperative-infection"].follows
    assert follows is not None
    found = 0
    for _, rows in lives():
        stays = [row for row in rows["encounter"] if row.reason in follows.after]
        for row in rows["condition"]:
            if row.key == "postoperative-infection":
                found += 1
                assert any(0 <= row.recorded - stay.end < 45 * DAY for stay in stays)
    assert found


def test_who_dies_of_an_illness_in_hospital_was_very_ill_on_the_day_before() -> None:
    scores = []
    for _, rows in lives():
        for stay in rows["encounter"]:
            if stay.discharge_method == "4":
                mine = [o for o in rows["observation"] if o.encounter_id == stay.id and o.observable == "news2"]
                scores += [o.value for o in mine if stay.end - o.time < 2 * DAY][-1:]
    assert scores and min(scores) >= 5


def test_the_stage_of_kidney_disease_is_that_of_the_latest_result() -> None:
    spec = Spec(n=200, seed=2, condition=("chronic-kidney-disease",))
    stages = load().conditions["chronic-kidney-disease"].stages
    below = {stage.snomed: float(stage.when.partition("<")[2]) for stage in stages}
    judged = far = 0
    for shard in range(spec.shards):
        for _, rows in make(spec, shard).record.by_person():
            for row in rows["condition"]:
                if row.category != "problem" or row.snomed not in below:
                    continue
                tests = [o for o in rows.get("observation", ()) if (o.observable, o.purpose) == ("egfr", "review")]
                tests = [o for o in tests if o.time > row.recorded]
                if tests:
                    limit, latest = below[row.snomed], max(tests, key=lambda o: o.time).value
                    least = max([0.0, *(other for other in below.values() if other < limit)])
                    judged += 1
                    far += not least - 8 <= latest <= limit + 8  # a result has a spread of its own
    assert judged > 100 and far < 0.03 * judged


# --- people ------------------------------------------------------------------------------------------


def test_partners_keep_their_names_and_some_of_the_married_too() -> None:
    same: dict[str, list[bool]] = defaultdict(list)
    for person, rows in lives():
        for contact in rows["contact"]:
            same[contact.relationship].append(contact.surname == person.surname)
            if contact.relationship == "spouse" and contact.other_id is None and person.sex == "female":
                assert (contact.surname == person.surname) >= (person.previous_surname is not None)
    assert sum(same["partner"]) <= 0.03 * len(same["partner"])  # two people of one name do meet
    assert 0.5 < sum(same["spouse"]) / len(same["spouse"]) < 0.95


def test_names_have_their_capitals_and_apostrophes() -> None:
    names = load().table("names_surname")["surname"]
    assert {"O'Brien", "O'Neill", "McCarthy"} <= set(names)
    assert not [name for name in names if re.match(r"Mc[a-z]|O(brien|neill|connor)$", name)]
    assert email_name("Mary Anne", "O'Brien") == "mary.obrien"


def test_a_mobile_number_is_said_to_be_one() -> None:
    uses = set()
    for bundle in made.people():
        for resource in made.resources(bundle):
            people = [resource, *resource.get("contact", ())] if resource["resourceType"] == "Patient" else [resource]
            if resource["resourceType"] not in ("Patient", "RelatedPerson"):
                continue
            for telecom in (t for who in people for t in who.get("telecom", ()) if t["system"] == "phone"):
                uses.add(telecom["use"])
                assert telecom["value"].startswith("07") == (telecom["use"] == "mobile")
    assert uses == {"home", "mobile"}


def test_rules_are_of_sex_at_birth() -> None:
    person = made.person("with kidney tests")
    assert "gender" in person[0]
    person[0]["gender"] = "other"
    assert not check_life(person, made.known())
