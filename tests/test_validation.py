"""What is made passes, in memory and from files, and damage to it is found where it is."""

from __future__ import annotations

import copy
import gzip
from pathlib import Path
from typing import Any

import made
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirsynth import Population
from fhirsynth.errors import InputError
from fhirsynth.validation import Finding, Validator, check_bundle, check_path

Json = dict[str, Any]
VALIDATOR = Validator()


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
    assert claimed
    assert all(VALIDATOR.library.structure(url) is not None for url in claimed)


@pytest.mark.parametrize(("places", "severity"), [(None, "warning"), (set(), "error")])
def test_reference_that_leads_nowhere(places: set[str] | None, severity: str) -> None:
    damaged = bundle()
    observation = made.of(made.resources(damaged), "Observation")[0]
    observation["subject"]["reference"] = "Patient/nobody"
    finding = next(f for f in check_bundle(damaged, made.known(), places) if "Patient/nobody" in f.found)
    assert (finding.rule, finding.severity) == ("references-resolve", severity)
    assert finding.resource == f"Observation/{observation['id']}"
    assert finding.path == "subject"


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


@pytest.mark.parametrize("number", ["9990000011", "999000001", "999 000 0018", ""])
def test_nhs_number_that_nobody_can_have(number: str) -> None:
    damaged = bundle()
    made.resources(damaged)[0]["identifier"][0]["value"] = number
    assert "nhs-number" in rules(damaged)


def test_missing_label_of_test_data() -> None:
    damaged = bundle()
    made.resources(damaged)[4]["meta"].pop("security")
    (finding,) = check_bundle(damaged, made.known())
    assert (finding.rule, finding.severity) == ("label-of-test-data", "information")


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
    assert VALIDATOR.check(resource) == []
    resource.pop(path)
    if value is not None:
        resource[path] = value
    assert path in [f.path for f in VALIDATOR.check(resource)]


def test_profile_tells_slices_apart_by_their_fixed_value() -> None:
    observations = (item for b in made.people() for item in made.of(made.resources(b), "Observation"))
    reading = copy.deepcopy(next(item for item in observations if len(item.get("component", ())) == 2))
    profile = _profile("UKCore-Observation-VitalSigns-BloodPressure")
    assert reading["meta"]["profile"] == [profile]
    assert VALIDATOR.check(reading) == []
    place = next(i for i, c in enumerate(reading["component"]) if c["code"]["text"] == "Systolic blood pressure")
    reading["component"][place]["valueQuantity"]["unit"] = "mmHg"
    assert _paths(VALIDATOR.check(reading)) == {("fixed", f"component[{place}].value.ofType(Quantity).unit")}
    reading["code"]["coding"] = [c for c in reading["code"]["coding"] if c["system"] != "http://loinc.org"]
    assert ("slice-min", "code.coding") in _paths(VALIDATOR.check(reading))
    reading["component"][place]["code"]["text"] = "Systolic"
    assert ("slicing", f"component[{place}]") in _paths(VALIDATOR.check(reading))


def _paths(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.rule, finding.path) for finding in findings}


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
    assert {(Path(f.file).name, f.path) for f in findings if f.rule == "binding"} == {("two.json.gz", "gender")}


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("a.json", b'{"resourceType":\n "Patient",}', "line 2"),
        ("a.json", b"[1, 2]", "line 1"),
        ("a.json", b"", "line 1"),
        ("a.json", b"\xff\xfe", "line 1"),
        ("a.json.gz", b"not gzip", "line 1"),
        ("a.json.gz", gzip.compress(b"{}" * 999, mtime=0)[:-9], "line 1"),
        ("a.ndjson", b'{"resourceType": "Patient", "id": "x"}\n{"resource\n', "line 2"),
    ],
)
def test_file_that_is_no_resource(tmp_path: Path, name: str, content: bytes, where: str) -> None:
    (tmp_path / name).write_bytes(content)
    finding = next(f for f in check_path(tmp_path / name) if f.rule in ("readable", "array"))
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
