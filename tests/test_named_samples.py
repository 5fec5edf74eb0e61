"""The named samples: what lies in samples/named is what the command writes, sound, and each person is their case."""

from __future__ import annotations

import datetime as dt
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nhs_number
import pytest

from fhirsynth import knowledge
from fhirsynth.cli.app import main
from fhirsynth.days import DAY, day_of
from fhirsynth.errors import InputError
from fhirsynth.named import Named, cases, making, people, signs
from fhirsynth.named.adding import added
from fhirsynth.named.cases import Case
from fhirsynth.named.sense import faults
from fhirsynth.named.writing import write
from fhirsynth.record import Record
from fhirsynth.record.schema import TABLES
from fhirsynth.run import shard
from fhirsynth.validation import check_path
from fhirsynth.validation.hl7 import Hl7Engine
from fhirsynth.validation.rules_of_sense import Known, Life

Json = dict[str, Any]
SAMPLES = Path(__file__).parent.parent / "samples" / "named"
UK_CORE = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-"
#: Days before the index date, 1 January 2026.
LAST_WEEK = ("2025-12-25", "2026-01-01")


def command(*arguments: object) -> int:
    """Run the command line; its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def everybody() -> dict[str, Named]:
    """All cases made, by key."""
    return {named.case.key: named for named in people()}


def resources(key: str, kind: str) -> list[Json]:
    """The committed resources of one type of one person."""
    bundle = json.loads((SAMPLES / "people" / f"{key}.json").read_bytes())
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def patient(key: str) -> Json:
    [found] = resources(key, "Patient")
    return found


def extension(resource: Json, name: str) -> str:
    """The code of a UK Core extension of a resource; "" where it is not there."""
    for item in resource.get("extension", ()):
        if item["url"] == UK_CORE + name:
            return str(item["valueCodeableConcept"]["coding"][0]["code"])
    return ""


# --- the files ---------------------------------------------------------------------------------------


def test_what_lies_there_is_what_the_command_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, archive = tmp_path / "made", tmp_path / "made.zip"
    assert command("samples", "--out", out, "--zip", archive) == 0, capsys.readouterr().err
    made, kept = contents(out), contents(SAMPLES)
    assert sorted(made) == sorted(kept)
    changed = [name for name, data in kept.items() if made[name] != data]
    assert not changed, f"{', '.join(changed)}: run `fhirsynth samples --out samples/named --overwrite`"
    with zipfile.ZipFile(archive) as pack:
        names = pack.namelist()
        assert names == sorted(names)
        assert {name.partition("/")[2]: pack.read(name) for name in names} == made
        assert {info.date_time for info in pack.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "made.zip"]


def test_a_zip_is_the_same_each_time(everybody: dict[str, Named], tmp_path: Path) -> None:
    few = [everybody["newborn"], everybody["leap-day"]]
    for name in ("one.zip", "two.zip"):
        write(few, None, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_they_are_small_enough_to_keep() -> None:
    assert sum(map(len, contents(SAMPLES).values())) < 6_000_000


def test_the_page_has_a_line_for_each() -> None:
    page = (SAMPLES / "README.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| [")]
    assert [line.split("]")[0].removeprefix("| [") for line in lines] == list(cases().people)
    listed = json.loads((SAMPLES / "manifest.json").read_bytes())["people"]
    assert [(entry["key"], entry["file"]) for entry in listed] == [
        (key, f"people/{key}.json") for key in cases().people
    ]
    assert all(entry["nhs_number"] == numbers(entry["key"]) for entry in listed)


def numbers(key: str) -> str | None:
    """The NHS number in somebody's Patient, if there is one."""
    identifiers = patient(key).get("identifier", [])
    return identifiers[0]["value"] if identifiers else None


def test_a_folder_that_is_not_ours_stays(
    everybody: dict[str, Named], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    few = [everybody["leap-day"]]
    write(few, out)  # an empty one is taken
    before = contents(out)
    assert command("samples", "--out", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    write(few, out, overwrite=True)
    assert contents(out) == before
    (out / "manifest.json").write_text("{}", encoding="utf-8")
    assert command("samples", "--out", out, "--overwrite") == 2
    assert "did not write" in capsys.readouterr().err
    assert sorted(contents(out)) == sorted(before)
    with pytest.raises(InputError, match="name of a file"):
        write(few, None, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_list_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("samples", "--list") == 0
    printed = capsys.readouterr().out
    assert all(key in printed for key in cases().people)
    assert not list(tmp_path.iterdir())
    assert command("samples", "--list", "--letters") == 2


def test_letters_are_written_on_request(everybody: dict[str, Named], tmp_path: Path) -> None:
    mother = everybody["new-mother"]
    write([mother], tmp_path / "out", letters=True)
    files = contents(tmp_path / "out")
    letters = [name for name in files if name.startswith("letters/") and name.endswith(".txt")]
    to_gp = [name for name in letters if not name.endswith("-patient.txt")]
    assert len(to_gp) == 1
    assert mother.person.surname in files[to_gp[0]].decode()
    bundle = json.loads(files["people/new-mother.json"])
    kinds = Counter(entry["resource"]["resourceType"] for entry in bundle["entry"])
    assert kinds["DocumentReference"] == len(letters)
    [listed] = json.loads(files["manifest.json"])["people"]
    assert set(letters) <= set(listed["letters"]) <= set(files)


# --- they are sound -----------------------------------------------------------------------------------


def test_validation_finds_no_error() -> None:
    errors = [str(finding) for finding in check_path(SAMPLES) if finding.severity == "error"]
    assert not errors, "\n".join(errors[:10])


def test_hl7_finds_no_error_in_who_they_are(hl7_engine: Hl7Engine) -> None:
    """Of each only what the population's own judged samples have no example of."""
    entries = [
        {"fullUrl": f"https://fhirsynth.example/fhir/{kind}/{item['id']}", "resource": item}
        for key in cases().people
        for kind in ("Patient", "RelatedPerson", "Flag")
        for item in resources(key, kind)
    ]
    document = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    judged = next(iter(hl7_engine.check_many([document])))
    errors = [str(finding) for finding in judged if finding.severity == "error"]
    assert not errors, "\n".join(errors[:10])


def test_the_record_holds_together(everybody: dict[str, Named]) -> None:
    places = Record(shard.place_tables(shard.tools(making.INDEX).places))
    whole = Record.concat([places, making.record(list(everybody.values()))])
    assert whole.check() == []
    assert whole.arrow("person").num_rows == len(everybody)


def test_nhs_numbers_are_of_the_test_range_and_each_of_one_person(everybody: dict[str, Named]) -> None:
    found = [named.person.nhs_number for named in everybody.values() if named.person.nhs_number is not None]
    assert len(set(found)) == len(found) == len(everybody) - 3  # three have none
    assert all(number.startswith("999") and nhs_number.is_valid(number) for number in found)


def test_everybody_is_where_the_search_begins(everybody: dict[str, Named]) -> None:
    """So that the command is quick: the seeds in the file are those of the knowledge files of today."""
    assert {key: named.seed for key, named in everybody.items()} == {
        key: case.seed for key, case in cases().people.items()
    }


def test_the_search_goes_on_and_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases().people["leap-day"]
    other = Case.model_validate(case.model_dump() | {"seed": case.seed + 1})
    assert making.find(other, {}).seed > case.seed
    monkeypatch.setattr(making, "_MOST", 3)
    nobody = Case.model_validate(case.model_dump() | {"shows": {"medicines": 1_000}})
    with pytest.raises(InputError, match="nobody in 3 populations fits the case 'leap-day'"):
        making.find(nobody, {})


def test_a_mistake_in_a_case_is_found() -> None:
    fine = cases().people["leap-day"].model_dump()
    with pytest.raises(ValueError, match="no column 'shoe_size'"):
        Case.model_validate(fine | {"set": {"shoe_size": 42}})
    with pytest.raises(ValueError, match="no sign 'wings'"):
        Case.model_validate(fine | {"shows": {"wings": 2}})


# --- nothing in them that no general practitioner would write ------------------------------------------


def life(named: Named, **rows: list[Any]) -> signs.Life:
    """Somebody's record, with other rows in some tables."""
    record = {name: named.rows.get(name, []) for name in TABLES}
    return signs.Life(named.person, record | rows, day_of(making.INDEX), knowledge.load())


def test_there_is_no_fault_in_anybody(everybody: dict[str, Named]) -> None:
    found = {key: list(faults(life(named))) for key, named in everybody.items()}
    assert {key: said for key, said in found.items() if said} == {}


def test_who_has_a_fault_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_MOST", 2)
    monkeypatch.setattr(making, "faults", lambda life: iter(["a fault"]))
    with pytest.raises(InputError, match="nobody in 2 populations"):
        making.find(cases().people["leap-day"], {})


def medicine(named: Named, *keys: str, **columns: Any) -> list[Any]:
    """Somebody's prescriptions, and one more of each of these medicines."""
    rows = named.rows["medication"]
    repeat = next(row for row in rows if row.repeat and row.end is None)
    more = [repeat._replace(id=f"more-{number}", medicine=key, **columns) for number, key in enumerate(keys)]
    return [*rows, *more]


def contact_of(named: Named, kind: str) -> str:
    return next(str(row.id) for row in named.rows["encounter"] if row.kind == kind)


def test_medicines_that_clash_are_found(everybody: dict[str, Named]) -> None:
    named = everybody["many-medicines"]
    for keys, why in (
        (("trimethoprim-200mg-tablets", "methotrexate-2.5mg-tablets"), "bone marrow failure"),
        (("apixaban-5mg-tablets", "warfarin-3mg-tablets"), "two anticoagulants"),
        (("naproxen-500mg-tablets", "ramipril-5mg-capsules", "furosemide-40mg-tablets"), "acute kidney injury"),
        (("mirtazapine-15mg-tablets", "sertraline-50mg-tablets"), "two antidepressants"),
    ):
        assert any(why in said for said in faults(life(named, medication=medicine(named, *keys)))), keys
    # one after the other is no clash
    ended = day_of(dt.date(2015, 1, 1))
    before = medicine(named, "trimethoprim-200mg-tablets", start=ended - 7, end=ended, encounter_id=None)
    assert list(faults(life(named, medication=before))) == []


def test_medicines_begun_wrongly_are_found(everybody: dict[str, Named]) -> None:
    named = everybody["many-medicines"]
    start = day_of(dt.date(2025, 12, 1))
    for key, columns, why in (
        ("empagliflozin-10mg-tablets", {"start": day_of(dt.date(2009, 4, 9))}, "in 2009: not authorised yet"),
        ("methotrexate-2.5mg-tablets", {"start": start, "encounter_id": contact_of(named, "gp")}, "general practice"),
        (
            "levothyroxine-sodium-100microgram-tablets",
            {"start": start, "encounter_id": contact_of(named, "gp")},
            "a full dose to begin with",
        ),
    ):
        found = list(faults(life(named, medication=medicine(named, key, **columns))))
        assert any(why in said for said in found), (key, found)


def test_contacts_and_relations_that_do_not_fit_are_found(everybody: dict[str, Named]) -> None:
    young = everybody["leap-day"]
    first, *others = young.rows["encounter"]
    wound = first._replace(reason="postoperative-infection", reason_kind="condition")
    assert list(faults(life(young, encounter=[wound, *others]))) == ["postoperative-infection: without an operation"]

    twin = everybody["twin-one"]
    doses = [row for row in twin.rows["immunisation"] if row.vaccine == "six-in-one"]
    soon = [doses[0], doses[0]._replace(id="soon", time=doses[0].time + 8 * DAY)]
    assert list(faults(life(twin, immunisation=soon))) == ["two doses of six-in-one too soon after each other"]

    mother = everybody["new-mother"]
    partner = [row._replace(relationship="partner") for row in mother.contacts]
    assert list(faults(life(mother, contact=partner))) == ["a partner of the same surname who is not married to them"]
    clinics = [row for row in mother.rows["appointment"] if row.specialty == "midwifery"]
    early = [clinics[0]._replace(booked=clinics[0].booked - 90 * DAY)]
    assert list(faults(life(mother, appointment=early))) == ["midwifery: booked before the pregnancy"]


def test_alerts_are_of_the_first_contact() -> None:
    for key in ("overseas-visitor", "no-fixed-abode", "child-protection"):
        first = min(resources(key, "Encounter"), key=_start)
        [flag] = [item for item in resources(key, "Flag") if item["code"]["coding"][0]["code"] in OUR_ALERTS]
        assert flag["period"] == {"start": _start(first)[:10]}
        assert flag["author"] in [part["individual"] for part in first["participant"] if "individual" in part]


OUR_ALERTS = {flag.snomed for flag in cases().flags.values()}


def test_what_a_case_adds_leaves_the_resources_of_others_alone() -> None:
    case = Case.model_validate(
        cases().people["leap-day"].model_dump()
        | {
            "patient": {"name": [{"use": "nickname"}], "active": False, "text": {"div": "new"}},
            "related": {"active": False},
            "drops": ["gender"],
        }
    )
    shared = {"status": "generated", "div": "old"}
    name = [{"use": "official"}]
    before = [
        {"resourceType": "Patient", "name": name, "text": shared, "gender": "female"},
        {"resourceType": "RelatedPerson"},
        {"resourceType": "RelatedPerson"},
    ]
    kept = json.dumps(before)
    assert added(case, before) == [
        {
            "resourceType": "Patient",
            "name": [{"use": "official"}, {"use": "nickname"}],
            "text": {"status": "generated", "div": "new"},
            "active": False,
        },
        {"resourceType": "RelatedPerson", "active": False},
        {"resourceType": "RelatedPerson"},
    ]
    assert json.dumps(before) == kept


# --- each is their case --------------------------------------------------------------------------------


def _no_number(key: str, reason: str) -> bool:
    return "identifier" not in patient(key) and extension(patient(key), "NHSNumberUnavailableReason") == reason


def _status(key: str, code: str) -> bool:
    return extension(patient(key)["identifier"][0], "NHSNumberVerificationStatus") == code


def _restricted(key: str) -> bool:
    told = [patient(key), *resources(key, "RelatedPerson")]
    return all({label["code"] for label in item["meta"]["security"]} == {"HTEST", "R"} for item in told)


def _newborn_has_her_mother() -> bool:
    """The mother's NHS number stands in the newborn's RelatedPerson, and the birth is the day of her delivery."""
    parents = resources("newborn", "RelatedPerson")
    [mother] = [item for item in parents if "identifier" in item]
    stay = max((item for item in resources("new-mother", "Encounter") if item["class"]["code"] == "IMP"), key=_start)
    born = patient("newborn")["birthDate"]
    return (
        mother["identifier"][0]["value"] == numbers("new-mother")
        and stay["period"]["start"][:10] <= born <= stay["period"]["end"][:10]
        and patient("newborn")["address"] == patient("new-mother")["address"]
        and patient("newborn")["gender"] == "female"
        and resources("newborn", "Encounter") == [e for e in resources("newborn", "Encounter") if _start(e) >= born]
    )


def _start(encounter: Json) -> str:
    return str(encounter["period"]["start"])


def _twins_differ_in_little() -> bool:
    one, two = patient("twin-one"), patient("twin-two")
    differ = {name for name in one if one[name] != two.get(name)}
    same_family = one["name"][0]["family"] == two["name"][0]["family"]
    mothers = [
        {item["name"][0]["text"] for item in resources(key, "RelatedPerson")} for key in ("twin-one", "twin-two")
    ]
    return (
        same_family
        and mothers[0] == mothers[1]
        and differ <= {"id", "text", "identifier", "name", "multipleBirthInteger", "contact", "extension"}
        and (one["multipleBirthInteger"], two["multipleBirthInteger"]) == (1, 2)
    )


def _name(key: str, use: str = "official") -> Json:
    return next(name for name in patient(key)["name"] if name["use"] == use)


def _flags(key: str) -> set[str]:
    return {flag["code"]["coding"][0]["code"] for flag in resources(key, "Flag")}


def _statuses(key: str, kind: str) -> Counter[str]:
    return Counter(item["status"] for item in resources(key, kind))


def _offsets_differ() -> bool:
    return any(
        item["period"]["start"][19:] != item["period"]["end"][19:] for item in resources("clocks-change", "Encounter")
    )


def _usual_medicine_blocked() -> bool:
    """Some prescription is not the usual first choice for its reason, whose class an earlier allergy rules out."""
    known, life = Known(knowledge.load()), Life(_all("allergy-blocks-first-line"))
    blocked = {
        name
        for item in life["AllergyIntolerance"]
        for allergy in [known.allergies.get(item["code"]["coding"][0]["code"])]
        if allergy
        for name in allergy.blocks
    }
    conditions = {f"Condition/{item['id']}": item for item in life["Condition"]}
    for item in life["MedicationRequest"]:
        given = known.medicines.get(item["medicationCodeableConcept"]["coding"][0]["code"])
        reason = conditions[item["reasonReference"][0]["reference"]]["code"]["coding"][0]["code"]
        for condition in known.conditions[reason]:
            usual = knowledge.load().medicines[condition.treatment[0].medicine[0]] if condition.treatment else given
            if given and usual and usual.key != given.key and blocked & set(usual.classes):
                return not blocked & set(given.classes)
    return False


def _replaces_a_number(key: str) -> bool:
    """A link to a record under another NHS number of the test range, which is nobody's here."""
    [link] = patient(key)["link"]
    old = link["other"]["identifier"]["value"]
    listed = json.loads((SAMPLES / "manifest.json").read_bytes())["people"]
    free = old not in {entry["nhs_number"] for entry in listed}
    return bool(link["type"] == "replaces" and old.startswith("999") and nhs_number.is_valid(old) and free)


def _part(resource: Json, name: str, part: str) -> str:
    """The code of one part of a UK Core extension that has several."""
    [found] = [item for item in resource["extension"] if item["url"] == UK_CORE + name]
    [inner] = [item for item in found["extension"] if item["url"] == part]
    return str(inner["valueCodeableConcept"]["coding"][0]["code"])


def _relationships(key: str) -> set[str]:
    [related] = resources(key, "RelatedPerson")
    return {coding["code"] for concept in related["relationship"] for coding in concept["coding"]}


def _interpreter(key: str) -> bool:
    url = "http://hl7.org/fhir/StructureDefinition/patient-interpreterRequired"
    return {"url": url, "valueBoolean": True} in patient(key)["extension"]


def _all(key: str) -> list[Json]:
    bundle = json.loads((SAMPLES / "people" / f"{key}.json").read_bytes())
    return [entry["resource"] for entry in bundle["entry"]]


def _running(key: str) -> int:
    return sum(item["status"] == "active" for item in resources(key, "MedicationStatement"))


IS_THE_CASE: dict[str, Callable[[], bool]] = {
    "no-nhs-number": lambda: _no_number("no-nhs-number", "nhs-number-not-known"),
    "overseas-visitor": lambda: (
        _no_number("overseas-visitor", "overseas-patient")
        and extension(patient("overseas-visitor"), "ResidentialStatus") == "O"
        and patient("overseas-visitor")["address"][0]["country"] == "IN"
        and "generalPractitioner" not in patient("overseas-visitor")
        and [item["class"]["code"] for item in resources("overseas-visitor", "Encounter")] == ["EMER"]
    ),
    "number-not-traced": lambda: _status("number-not-traced", "02"),
    "new-mother": lambda: bool(resources("new-mother", "Procedure")),
    "replaced-number": lambda: _replaces_a_number("replaced-number"),
    "unidentified": lambda: (
        _no_number("unidentified", "nhs-number-not-known")
        and not {"birthDate", "address", "telecom", "contact", "communication", "generalPractitioner"}
        & set(patient("unidentified"))
        and not re.search("19[0-9]{2}|20[0-9]{2}", patient("unidentified")["text"]["div"].partition(">")[2])
        and [item["class"]["code"] for item in resources("unidentified", "Encounter")] == ["EMER"]
    ),
    "newborn": lambda: _status("newborn", "08") and _newborn_has_her_mother(),
    "twin-one": _twins_differ_in_little,
    "twin-two": _twins_differ_in_little,
    "very-long-name": lambda: (
        len(_name("very-long-name")["family"]) == 55 and len(_name("very-long-name")["text"]) > 70
    ),
    "shortest-name": lambda: _name("shortest-name")["family"] == "O",
    "single-name": lambda: (
        "given" not in _name("single-name") and _name("single-name")["text"] == "Mr " + _name("single-name")["family"]
    ),
    "apostrophe": lambda: "'" in _name("apostrophe")["family"] and "’" in _name("apostrophe", "old")["family"],
    "diacritics": lambda: not _fits(_name("diacritics")["text"], "latin-1"),
    "welsh-speaker": lambda: (
        not _fits(_name("welsh-speaker")["family"], "latin-1")
        and patient("welsh-speaker")["communication"][0]["language"]["coding"][0]["code"] == "cy"
    ),
    "surname-null": lambda: _name("surname-null")["family"] == "Null",
    "changed-name": lambda: _name("changed-name", "old")["family"] != _name("changed-name")["family"],
    "known-as": lambda: (
        [name["use"] for name in patient("known-as")["name"]] == ["official", "old", "nickname", "usual"]
        and _name("known-as", "usual")["suffix"] == ["MBE"]
        and _name("known-as", "usual")["given"] != _name("known-as")["given"]
    ),
    "leap-day": lambda: patient("leap-day")["birthDate"] == "2004-02-29",
    "over-100": lambda: patient("over-100")["birthDate"] < "1926",
    "birth-year-only": lambda: patient("birth-year-only")["birthDate"] == "1961",
    "eighteen-today": lambda: patient("eighteen-today")["birthDate"] == "2008-01-01",
    "died-last-week": lambda: (
        LAST_WEEK[0] <= patient("died-last-week")["deceasedDateTime"] < LAST_WEEK[1]
        and patient("died-last-week")["active"] is False
    ),
    "death-date-only": lambda: len(patient("death-date-only")["deceasedDateTime"]) == len("2025-01-01"),
    "death-undone": lambda: (
        _part(patient("death-undone"), "DeathNotificationStatus", "deathNotificationStatus") == "U"
        and patient("death-undone")["active"] is True
        and not {"deceasedDateTime", "deceasedBoolean"} & set(patient("death-undone"))
    ),
    "clocks-change": _offsets_differ,
    "gender-unknown": lambda: (
        patient("gender-unknown")["gender"] == "unknown" and extension(patient("gender-unknown"), "BirthSex") == "UNK"
    ),
    "gender-other": lambda: patient("gender-other")["gender"] == "other",
    "gender-not-birth-sex": lambda: (
        patient("gender-not-birth-sex")["gender"] == "female"
        and extension(patient("gender-not-birth-sex"), "BirthSex") == "M"
    ),
    "no-fixed-abode": lambda: patient("no-fixed-abode")["address"][0]["postalCode"] == "ZZ99 3VZ",
    "sensitive-address": lambda: _restricted("sensitive-address") and "address" in patient("sensitive-address"),
    "withheld-address": lambda: (
        _restricted("withheld-address")
        and not {"address", "telecom", "contact", "generalPractitioner", "managingOrganization"}
        & set(patient("withheld-address"))
    ),
    "temporary-address": lambda: (
        [item["use"] for item in patient("temporary-address")["address"]] == ["home", "temp"]
        and set(patient("temporary-address")["address"][1]["period"]) == {"start", "end"}
    ),
    "confidential-flag": lambda: "270456003" in _flags("confidential-flag"),
    "child-protection": lambda: "342191000000101" in _flags("child-protection"),
    "no-practice": lambda: not {"generalPractitioner", "managingOrganization"} & set(patient("no-practice")),
    "two-practices": lambda: len(patient("two-practices")["generalPractitioner"]) == 2,
    "care-home": lambda: {"450476008", "816361000000101"} <= _flags("care-home"),
    "attorney": lambda: (
        {"DAUC", "N", "C", "Carer", "HPOWATT"} <= _relationships("attorney")
        and "816361000000101" in _flags("attorney")
        and {"url": UK_CORE + "CopyCorrespondenceIndicator", "valueBoolean": True}
        in resources("attorney", "RelatedPerson")[0]["extension"]
    ),
    "braille": lambda: (
        _part(patient("braille"), "ContactPreference", "PreferredWrittenCommunicationFormat") == "12"
        and "170727003" in _flags("braille")
    ),
    "sign-language": lambda: (
        patient("sign-language")["communication"][0]["language"]["coding"][0]["code"] == "bfi"
        and _interpreter("sign-language")
        and [item["system"] for item in patient("sign-language")["telecom"]].count("other") == 1
        and _part(patient("sign-language"), "ContactPreference", "PreferredContactMethod") == "5"
    ),
    "interpreter": lambda: (
        "315594003" in _flags("interpreter")
        and _interpreter("interpreter")
        and patient("interpreter")["communication"][0]["language"]["coding"][0]["code"] != "en"
    ),
    "many-medicines": lambda: _running("many-medicines") >= 25,
    "allergy-blocks-first-line": _usual_medicine_blocked,
    "declined-vaccine": lambda: _statuses("declined-vaccine", "Immunization")["not-done"] >= 2,
    "missed-appointment": lambda: {"noshow", "booked"} <= set(_statuses("missed-appointment", "Appointment")),
    "empty-record": lambda: (
        {item["resourceType"] for item in _all("empty-record")} == {"Patient", "List", "Provenance"}
    ),
}


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize("key", list(cases().people))
def test_each_is_the_case(key: str) -> None:
    assert IS_THE_CASE[key]()


def test_what_is_unusual_is_said_when_a_life_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for key, said in (
        ("no-nhs-number", "no NHS number: NHS number not known"),
        ("number-not-traced", "not to be relied on: Number present but not traced"),
        ("sensitive-address", "Confidentiality: restricted"),
        ("birth-year-only", "born 1961"),
        ("unidentified", "date of birth not known"),
        ("sign-language", "speaks British Sign Language (needs an interpreter)"),
        ("interpreter", "(needs an interpreter)"),
        ("confidential-flag", "Confidential patient data held"),
    ):
        assert command("show", SAMPLES / "people" / f"{key}.json") == 0
        assert said in " ".join(capsys.readouterr().out.split())
