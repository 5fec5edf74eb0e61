"""Structure and profiles: what is sound passes, and each kind of damage is found where it is."""

from __future__ import annotations

import copy
import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import made
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirsynth import Population
from fhirsynth.errors import InputError
from fhirsynth.validation import check, check_bundle, check_path, profiles

Json = dict[str, Any]
UK_CORE = Path(__file__).parent.parent.parent / "shared" / "ukcore"
EXAMPLES = UK_CORE / "ukcore-stu3dev-examples-json.tgz"


def rules(bundle: Json) -> set[str]:
    return {finding.rule for finding in check_bundle(bundle, made.known())}


def bundle() -> Json:
    return copy.deepcopy(next(b for b in made.people() if len(made.of(made.resources(b), "Observation")) > 20))


def test_people_and_places_are_sound() -> None:
    population = Population(n=20, seed=5)
    places = population.organisations()
    names = {entry["request"]["url"] for entry in places["entry"]}
    assert check_bundle(places, made.known(), names) == []
    for person in population.people():
        assert check_bundle(person, made.known(), names) == []


def test_every_profile_that_is_claimed_has_rules() -> None:
    claimed = {p for b in made.people() for r in (b, *made.resources(b)) for p in r["meta"]["profile"]}
    claimed |= {p for r in made.resources(Population(n=1).organisations()) for p in r["meta"]["profile"]}
    assert claimed <= set(profiles.load())


def test_reference_that_leads_nowhere() -> None:
    damaged = bundle()
    observation = made.of(made.resources(damaged), "Observation")[0]
    observation["subject"]["reference"] = "Patient/nobody"
    finding = next(f for f in check_bundle(damaged, made.known()) if f.rule == "references-resolve")
    assert finding.resource == f"Observation/{observation['id']}"
    assert finding.path == "subject"
    assert "Patient/nobody" in finding.found


def test_place_that_is_not_in_the_organisations_file() -> None:
    assert {f.rule for f in check_bundle(bundle(), made.known(), set())} == {"references-resolve"}


def test_id_that_is_there_twice() -> None:
    damaged = bundle()
    damaged["entry"].append(damaged["entry"][1])
    assert "ids-are-unique" in rules(damaged)


def test_entry_with_another_address() -> None:
    damaged = bundle()
    damaged["entry"][2]["fullUrl"] += "x"
    del damaged["entry"][3]["resource"]
    assert "bundle-addresses-agree" in rules(damaged)


@pytest.mark.parametrize("number", ["9990000011", "4505577104", "999000001", "", None])
def test_nhs_number_that_nobody_may_have(number: str | None) -> None:
    damaged = bundle()
    made.resources(damaged)[0]["identifier"][0]["value"] = number
    assert "nhs-number-is-sound" in rules(damaged)


def test_missing_label_of_test_data() -> None:
    damaged = bundle()
    made.resources(damaged)[4]["meta"].pop("security")
    assert "is-labelled-test-data" in rules(damaged)


def _profile(name: str) -> str:
    return f"https://fhir.hl7.org.uk/StructureDefinition/{name}"


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("MedicationRequest", "substitution", None),
        ("MedicationRequest", "status", "prescribed"),
        ("AllergyIntolerance", "code", None),
        ("Encounter", "status", "over"),
        ("Patient", "gender", "woman"),
        ("Immunization", "vaccineCode", None),
        ("Condition", "subject", None),
        ("Condition", "clinicalStatus", {"coding": [{"system": "http://example.org", "code": "active"}]}),
    ],
)
def test_profile_finds_a_wrong_element(kind: str, path: str, value: Any) -> None:
    for made_bundle in made.people():
        found = made.of(made.resources(made_bundle), kind)
        if found and path in found[0]:
            resource = copy.deepcopy(found[0])
            break
    assert check(resource, resource["meta"]["profile"][0]) == []
    resource.pop(path)
    if value is not None:
        resource[path] = value
    assert [f.path for f in check(resource, resource["meta"]["profile"][0])] == [path]


def test_profile_tells_slices_apart_by_their_fixed_value() -> None:
    observations = (item for b in made.people() for item in made.of(made.resources(b), "Observation"))
    reading = copy.deepcopy(next(item for item in observations if len(item.get("component", ())) == 2))
    profile = _profile("UKCore-Observation-VitalSigns-BloodPressure")
    assert reading["meta"]["profile"] == [profile]
    assert check(reading, profile) == []
    reading["component"][0]["valueQuantity"]["unit"] = "mmHg"
    assert [f.path for f in check(reading, profile)] == ["component[code.text='Systolic blood pressure'].value[x].unit"]
    reading["code"]["coding"] = [c for c in reading["code"]["coding"] if c["system"] != "http://loinc.org"]
    assert "code.coding[system='http://loinc.org']" in {f.path for f in check(reading, profile)}


def test_profile_of_another_type() -> None:
    assert check({"resourceType": "Patient"}, _profile("UKCore-Encounter"))[0].path == "meta.profile"


def test_profile_that_is_not_known_is_let_pass() -> None:
    assert check({"resourceType": "Patient"}, "https://example.org/profile") == []


@pytest.mark.parametrize("path", ["", "a..b", "a[b=c]", "a[x", "1"])
def test_path_of_a_rule_that_cannot_be_read(path: str) -> None:
    if path:
        with pytest.raises(ValueError, match="cannot read the path"):
            profiles.steps(path)
    else:
        assert profiles.steps(path) == ()


@pytest.mark.skipif(not EXAMPLES.exists(), reason="../shared holds the UK Core examples and is not there")
def test_no_false_alarm_over_the_examples_of_uk_core() -> None:
    names = {url.rsplit("/", 1)[1]: url for url in profiles.load()}
    judged = 0
    with tarfile.open(EXAMPLES) as archive:
        for member in archive:
            stem = Path(member.name).name.removesuffix(".json")
            fitting = [name for name in names if stem.startswith(name + "-")]
            file = archive.extractfile(member)
            if fitting and file:
                judged += 1
                assert check(json.load(file), names[max(fitting, key=len)]) == [], stem
    assert judged > 80


@pytest.mark.skipif(not UK_CORE.exists(), reason="../shared holds the UK Core packages and is not there")
def test_profiles_are_what_the_script_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    script = Path(__file__).parent.parent / "scripts" / "compile_profiles.py"
    spec = importlib.util.spec_from_file_location("compile_profiles", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kept = {file.name: file.read_text(encoding="utf-8") for file in module.PROFILES.glob("*.toml")}
    monkeypatch.setattr(module, "PROFILES", tmp_path)
    module.main([str(UK_CORE), *(name.removesuffix(".toml") for name in kept)])
    assert {file.name: file.read_text(encoding="utf-8") for file in tmp_path.glob("*.toml")} == kept


# --- files ----------------------------------------------------------------------------------------


def test_folder_with_files_of_every_kind(tmp_path: Path) -> None:
    whole, damaged = bundle(), bundle()
    patient = made.resources(whole)[0]
    (tmp_path / "one.json").write_bytes(orjson.dumps(whole))
    (tmp_path / "two.json.gz").write_bytes(gzip.compress(orjson.dumps(whole)))
    (tmp_path / "Patient.ndjson").write_bytes(orjson.dumps(patient) + b"\n")
    assert list(check_path(tmp_path)) == []
    made.resources(damaged)[0]["gender"] = "woman"
    (tmp_path / "two.json.gz").write_bytes(gzip.compress(orjson.dumps(damaged)))
    findings = list(check_path(tmp_path))
    assert {(Path(f.file).name, f.path) for f in findings if f.rule == "profile"} == {("two.json.gz", "gender")}


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("a.json", b'{"resourceType":\n "Patient",}', "line 2"),
        ("a.json", b"[1, 2]", "line 1"),
        ("a.json", b"", "line 1"),
        ("a.json", b"\xff\xfe", "line 1"),
        ("a.json.gz", b"not gzip", "line 1"),
        ("a.json.gz", gzip.compress(b"{}" * 999)[:-9], "line 1"),
        ("a.ndjson", b'{"resourceType": "Patient", "id": "x"}\n{"resource\n', "line 2"),
    ],
)
def test_file_that_is_no_resource(tmp_path: Path, name: str, content: bytes, where: str) -> None:
    (tmp_path / name).write_bytes(content)
    finding = next(f for f in check_path(tmp_path / name) if f.rule == "readable")
    assert where in finding.file
    assert name in finding.file


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        list(check_path(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="holds no FHIR files"):
        list(check_path(tmp_path))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_element_of_any_form_is_judged_without_a_crash(data: st.DataObject) -> None:
    damaged = data.draw(st.sampled_from(made.people()[:20]))
    found = copy.deepcopy(made.resources(damaged)[:40])
    resource = data.draw(st.sampled_from(found))
    key = data.draw(st.sampled_from(sorted(set(resource) - {"resourceType"})))
    resource[key] = data.draw(_JSON)
    entries = [{"fullUrl": f"x/{r['resourceType']}/{r.get('id')}", "resource": r} for r in found]
    check_bundle({"resourceType": "Bundle", "type": "transaction", "entry": entries}, made.known())
