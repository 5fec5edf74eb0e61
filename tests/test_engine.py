"""The built-in validator against rules written for the test, over base R4: each kind of rule held and broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirsynth.errors import InputError
from fhirsynth.validation.engine import Validator
from fhirsynth.validation.engine.elements import Element

Json = dict[str, Any]
MINE = "https://example.org/fhir/StructureDefinition/"
TARGET = "reference-target"


@pytest.fixture(scope="module")
def plain() -> Validator:
    return Validator(minimum="information")


def patient(**more: Any) -> Json:
    return {"resourceType": "Patient", "name": [{"family": "Smith"}], **more}


def observation(**more: Any) -> Json:
    code = {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}
    return {"resourceType": "Observation", "status": "final", "code": code, **more}


def found(validator: Validator, resource: Json, *, grave: bool = True) -> set[tuple[str, str]]:
    """Rule and path of what is wrong."""
    return {(f.rule, f.path) for f in validator.check(resource) if not grave or f.severity == "error"}


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (patient(), set()),
        (patient(birthDate="1950-02-28", active=True, multipleBirthInteger=2), set()),
        (patient(surname="Smith"), {("unknown-element", "surname")}),
        (patient(name={"family": "Smith"}), {("json-type", "name")}),
        (patient(name=[]), {("json-type", "name")}),
        (patient(name=[{}]), {("ele-1", "name[0]")}),
        (patient(name=[{"family": "Smith", "given": ["Ann", 7]}]), {("json-type", "name[0].given[1]")}),
        (patient(name=[{"given": ["Ann", None]}]), {("json-type", "name[0].given[1]")}),
        (patient(birthDate="1950-02-30"), {("primitive", "birthDate")}),
        (patient(birthDate=1950), {("json-type", "birthDate")}),
        (patient(birthDate=None), {("json-type", "birthDate")}),
        (patient(birthDate=["1950"]), {("json-type", "birthDate")}),
        (patient(active="true"), {("json-type", "active")}),
        (patient(active=1), {("json-type", "active")}),
        (patient(gender="woman"), {("binding", "gender")}),
        (patient(gender=""), {("primitive", "gender")}),
        (patient(id="a_b"), {("primitive", "id")}),
        (patient(multipleBirthInteger=2.5), {("json-type", "multipleBirth.ofType(integer)")}),
        (patient(deceasedString="yes"), {("unknown-element", "deceasedString")}),
        (patient(deceasedBoolean=True, deceasedDateTime="2020"), {("max", "deceased.ofType(boolean)")}),
        (patient(contact=[{"gender": "male"}]), {("pat-1", "contact[0]")}),
        (patient(telecom=[{"value": "1"}]), {("cpt-2", "telecom[0]")}),
        (patient(link=[{"type": "refer"}]), {("min", "link[0].other")}),
        (patient(managingOrganization={"reference": "Practitioner/1"}), {(TARGET, "managingOrganization.reference")}),
        (patient(managingOrganization={"type": "Patient", "display": "x"}), {(TARGET, "managingOrganization.type")}),
        (patient(managingOrganization={"reference": "#nobody"}), {("ref-1", "managingOrganization")}),
        (patient(period={"start": "2020"}), {("unknown-element", "period")}),
        (patient(address=[{"period": {"start": "2021", "end": "2020"}}]), {("per-1", "address[0].period")}),
        (observation(), set()),
        (observation(status=None), {("json-type", "status")}),
        ({"resourceType": "Observation", "status": "final"}, {("min", "code")}),
        (observation(valueQuantity={"value": "5"}), {("json-type", "value.ofType(Quantity).value")}),
        (observation(valueDate="2020-01-01"), {("unknown-element", "valueDate")}),
        (observation(component=[{"valueInteger": 1}]), {("min", "component[0].code")}),
        (observation(component=[{"code": {"text": "x"}, "referenceRange": [{}]}]),
         {("ele-1", "component[0].referenceRange[0]")}),
        (observation(dataAbsentReason={"text": "x"}, valueInteger=1), {("obs-6", "")}),
        ({"resourceType": "Ghost"}, {("unknown-type", "resourceType")}),
        ({"resourceType": "DomainResource"}, {("unknown-type", "resourceType")}),
        ({"resourceType": None}, {("json-type", "")}),
    ],
)  # fmt: skip
def test_base_r4(plain: Validator, resource: Json, expected: set[tuple[str, str]]) -> None:
    assert found(plain, resource) == expected


def test_primitive_with_its_extension_beside_it(plain: Validator) -> None:
    absent = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    }
    assert found(plain, patient(_birthDate=absent)) == set()
    assert found(plain, patient(name=[{"given": [None, "Ann"], "_given": [absent, None]}])) == set()
    uneven = patient(name=[{"given": ["Ann"], "_given": [absent, None]}])
    assert found(plain, uneven) == set()
    assert ("json-type", "name[0].given") in found(plain, uneven, grave=False)
    wrong = {"extension": [{"url": absent["extension"][0]["url"], "valueCode": "lost"}]}
    assert found(plain, patient(_birthDate=wrong)) == {("binding", "birthDate.extension[0].value.ofType(code)")}
    assert found(plain, patient(_birthDate={"value": "x"})) == {("unknown-element", "birthDate.value")}


def test_extension_where_it_may_not_stand(plain: Validator) -> None:
    place = {"url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace", "valueAddress": {"city": "Leeds"}}
    assert found(plain, patient(extension=[place])) == set()
    assert found(plain, patient(name=[{"family": "x", "extension": [place]}])) == {
        ("extension-context", "name[0].extension[0]")
    }
    assert found(plain, observation(extension=[place])) == {("extension-context", "extension[0]")}
    assert found(plain, patient(extension=[{**place, "valueString": "Leeds"}])) >= {
        ("max", "extension[0].value.ofType(string)")
    }
    assert found(plain, patient(extension=[{"url": place["url"]}])) >= {("min", "extension[0].value")}
    assert found(plain, patient(extension=[{"valueString": "x"}])) == {("min", "extension[0].url")}
    assert found(plain, patient(extension=[{**place, "url": place["url"] + "x"}])) == {
        ("extension-unknown", "extension[0].url")
    }
    assert found(plain, patient(extension=[{"url": "https://example.org/x", "valueString": "x"}])) == set()


def test_contained_resource(plain: Validator) -> None:
    held = {"resourceType": "Organization", "id": "o", "name": "x"}
    refers = {"reference": "#o"}
    assert found(plain, patient(contained=[held], managingOrganization=refers)) == set()
    assert found(plain, patient(contained=[held])) == {("dom-3", "")}
    assert found(plain, patient(contained=[{**held, "nmae": "x"}], managingOrganization=refers)) == {
        ("unknown-element", "contained[0].nmae")
    }
    other = {"resourceType": "Practitioner", "id": "o"}
    assert found(plain, patient(contained=[other], managingOrganization=refers)) == {
        ("reference-target", "managingOrganization.reference")
    }


def test_entries_of_a_bundle_are_findings_of_their_resource(plain: Validator) -> None:
    entry = {
        "fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000001",
        "resource": {**patient(gender="woman"), "id": "p"},
    }
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [entry]}
    (finding,) = (f for f in plain.check(bundle) if f.severity == "error")
    assert (finding.resource, finding.path, finding.location) == ("Patient/p", "gender", "Patient.gender")
    assert ("min", "type") in found(plain, {"resourceType": "Bundle", "entry": [entry]})


def test_reference_inside_a_bundle_leads_to_another_type(plain: Validator) -> None:
    url = "urn:uuid:00000000-0000-4000-8000-000000000001"
    entries = [
        {"fullUrl": url, "resource": {"resourceType": "Practitioner", "id": "a"}},
        {"resource": {**observation(subject={"reference": url}), "id": "b"}},
    ]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    assert ("reference-target", "subject.reference") in found(plain, bundle)


def _rules(tmp_path: Path, name: str, kind: str, *lines: str) -> Validator:
    folder = tmp_path / "mine" / "structures"
    folder.mkdir(parents=True)
    head = f'url = "{MINE}{name}"\nstatus = "active"\nkind = "resource"\ntype = "{kind}"\nderivation = "constraint"\n'
    base = f'base = "http://hl7.org/fhir/StructureDefinition/{kind}"\n'
    (folder / f"{name}.toml").write_text(head + base + "\n".join(lines))
    return Validator(profiles=[MINE + name], folders=[tmp_path])


def test_closed_slicing(tmp_path: Path) -> None:
    validator = _rules(
        tmp_path,
        "ClosedComponents",
        "Observation",
        "[element]",
        '"Observation.component" = { slicing = { by = [["value", "code.text"]], rules = "closed" } }',
        '"Observation.component:a" = { min = 1, max = 1 }',
        '"Observation.component:a.code.text" = { min = 1, fixed = "a" }',
        '"Observation.component:a.value[x]" = { min = 1, types = ["integer"] }',
        '"Observation.component:b" = { max = 1 }',
        '"Observation.component:b.code.text" = { min = 1, fixed = "b" }',
    )
    a, b, c = ({"code": {"text": text}, "valueInteger": 1} for text in "abc")
    assert found(validator, observation(component=[a, b])) == set()
    assert found(validator, observation(component=[b])) == {("slice-min", "component")}
    assert found(validator, observation(component=[a, a])) == {("slice-max", "component")}
    assert found(validator, observation(component=[a, c])) == {("slicing", "component[1]")}
    assert found(validator, observation(component=[{**a, "valueString": "x"}])) >= {
        ("max", "component[0].value.ofType(string)")
    }
    del a["valueInteger"]
    assert found(validator, observation(component=[a])) == {("min", "component[0].value")}
    assert found(validator, observation()) == {("slice-min", "component")}


def test_slices_by_pattern_and_exists(tmp_path: Path) -> None:
    validator = _rules(
        tmp_path,
        "Sliced",
        "Observation",
        "[element]",
        '"Observation.category" = { slicing = { by = [["pattern", "$this"]], rules = "open" } }',
        '"Observation.category:vital" = { min = 1, pattern = { coding = [{ system = "s", code = "v" }] } }',
        '"Observation.note" = { slicing = { by = [["exists", "time"]], rules = "open" } }',
        '"Observation.note:timed" = { min = 1 }',
        '"Observation.note:timed.time" = { min = 1 }',
    )
    vital = {"coding": [{"system": "s", "code": "v", "display": "x"}], "text": "x"}
    timed = {"text": "x", "time": "2020"}
    assert found(validator, observation(category=[vital], note=[timed])) == set()
    assert found(validator, observation(category=[{"text": "v"}], note=[timed])) == {("slice-min", "category")}
    assert found(validator, observation(category=[vital], note=[{"text": "x"}])) == {("slice-min", "note")}


def test_slices_of_a_choice_and_nested_slices(tmp_path: Path) -> None:
    validator = _rules(
        tmp_path,
        "Nested",
        "Observation",
        "[element]",
        '"Observation.value[x]" = { slicing = { by = [["type", "$this"]], rules = "open" } }',
        '"Observation.value[x]:valueQuantity" = { min = 1, types = ["Quantity"] }',
        '"Observation.value[x]:valueQuantity.unit" = { min = 1, fixed = "kg" }',
        '"Observation.code.coding" = { min = 1, slicing = { by = [["value", "system"]], rules = "open" } }',
        '"Observation.code.coding.code" = { min = 1 }',
        '"Observation.code.coding:loinc" = { min = 1 }',
        '"Observation.code.coding:loinc.system" = { min = 1, fixed = "http://loinc.org" }',
        '"Observation.code.coding:loinc.code" = { fixed = "8480-6" }',
    )
    assert found(validator, observation(valueQuantity={"value": 1, "unit": "kg"})) == set()
    assert found(validator, observation(valueQuantity={"value": 1, "unit": "g"})) == {
        ("fixed", "value.ofType(Quantity).unit")
    }
    assert found(validator, observation(valueString="1 kg")) == {("min", "value.ofType(Quantity)")}
    weight = {"value": 1, "unit": "kg"}
    assert found(validator, observation(valueQuantity=weight, code={"text": "x"})) >= {("min", "code.coding")}
    other = {"coding": [{"system": "http://loinc.org", "code": "1"}, {"system": "http://example.org"}]}
    assert found(validator, observation(valueQuantity=weight, code=other)) == {
        ("fixed", "code.coding[0].code"),
        ("min", "code.coding[1].code"),
    }


def test_required_code_not_allowed_element_and_own_invariant(tmp_path: Path) -> None:
    validator = _rules(
        tmp_path,
        "Strict",
        "Patient",
        '[[invariant]]\nat = "Patient"\nkey = "own-1"\nseverity = "error"\nexpression = "name.family.exists()"',
        "[element]",
        '"Patient.photo" = { max = 0 }',
        '"Patient.name" = { min = 1, max = 1 }',
        '"Patient.maritalStatus" = { binding = { strength = "required", value_set = '
        '"http://hl7.org/fhir/ValueSet/administrative-gender" } }',
        '"Patient.deceased[x]" = { min = 1 }',
    )
    good = patient(deceasedBoolean=False)
    assert found(validator, good) == set()
    assert found(validator, {**good, "photo": [{"title": "x"}]}) == {("max", "photo")}
    assert found(validator, {**good, "name": [{"text": "x"}]}) == {("own-1", "")}
    assert found(validator, {**good, "name": [{"family": "x"}, {"family": "y"}]}) == {("max", "name")}
    assert found(validator, {**good, "maritalStatus": {"text": "x"}}) == {("binding", "maritalStatus")}
    assert found(validator, patient()) == {("min", "deceased")}
    system = "http://hl7.org/fhir/administrative-gender"
    codings = [{"system": "http://example.org", "code": "x"}, {"system": system, "code": "male"}]
    assert found(validator, {**good, "maritalStatus": {"coding": codings}}) == set()


def test_profile_that_is_not_there() -> None:
    with pytest.raises(InputError, match="unknown profile.*UKCore-Patient"):
        Validator(profiles=["https://fhir.hl7.org.uk/StructureDefinition/UKCore-Patiant"])
    with pytest.raises(InputError, match="unknown release 'stu4'"):
        Validator(release="stu4")


def test_claimed_profiles(plain: Validator) -> None:
    core = "https://fhir.hl7.org.uk/StructureDefinition/"
    assert found(plain, patient(meta={"profile": [core + "UKCore-Patient"]})) == set()
    assert found(plain, patient(meta={"profile": [core + "UKCore-Encounter"]})) == {("profile", "meta.profile[0]")}
    assert found(plain, patient(meta={"profile": [core + "UKCore-Patiant"]})) == {
        ("profile-unknown", "meta.profile[0]")
    }
    assert found(plain, patient(meta={"profile": ["https://example.org/x"]})) == set()
    assert found(plain, patient(meta={"profile": ["https://example.org/x"]}), grave=False) > set()
    vital_signs = observation(meta={"profile": [core + "UKCore-Observation-VitalSigns"]})
    published = Validator(release="stu2")
    assert ("profile-unknown", "meta.profile[0]") not in found(published, vital_signs)
    assert ("profile-unknown", "meta.profile[0]") in found(published, vital_signs, grave=False)


def test_extensions_nested_beyond_what_can_be_checked(plain: Validator) -> None:
    resource: Json = patient()
    holder = resource
    for _ in range(900):
        holder["extension"] = [{"url": "https://example.org/x"}]
        holder = holder["extension"][0]
    holder["valueString"] = "x"
    assert {f.rule for f in plain.check(resource) if f.severity == "error"} <= {"nesting"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_TYPES = ("Patient", "Observation", "Bundle", "Encounter", "Composition", "MedicationRequest", "Parameters", "Timing")


@settings(max_examples=4000, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(_TYPES) | st.text(max_size=5), resource=st.dictionaries(st.text(max_size=8), _JSON, max_size=6)
)
def test_any_json_is_judged_without_a_crash(plain: Validator, kind: str, resource: Json) -> None:
    for finding in plain.check({**resource, "resourceType": kind}):
        assert finding.severity in ("error", "warning", "information")


def _grown(draw: st.DrawFn, validator: Validator, kind: str, depth: int) -> Any:
    """A value of a FHIR type whose elements are drawn from its definition, now and then with another form."""
    if draw(st.integers(0, 11)) == 0:
        return draw(_JSON)
    structure = validator.library.base(kind)
    if structure is None or structure.kind == "primitive-type" or depth == 0:
        return draw(
            st.sampled_from(["", "x", "2020-02-30", "http://snomed.info/sct", "#a", "Patient/1", 1, 1.5, True, None])
        )
    return _held(draw, validator, structure.root, depth)


def _held(draw: st.DrawFn, validator: Validator, element: Element, depth: int) -> Json:
    made: Json = {}
    children = list(element.children.values())
    for child in draw(st.lists(st.sampled_from(children), max_size=4)) if children else ():
        kind = draw(st.sampled_from(child.types or ("string",)))
        name = child.name.replace("[x]", kind[:1].upper() + kind[1:])
        value = _held(draw, validator, child, depth - 1) if child.children else _grown(draw, validator, kind, depth - 1)
        made[draw(st.sampled_from([name, name, name, f"_{name}"]))] = [value] if (child.max or 1) > 1 else value
    return made


@st.composite
def _resources(draw: st.DrawFn) -> Json:
    kind = draw(st.sampled_from(_TYPES[:-1]))
    profiles = {"Bundle": "UKCore-Bundle", "Parameters": "Parameters"}.get(kind, f"UKCore-{kind}")
    structure = _FUZZED.library.base(kind)
    assert structure is not None
    made = _held(draw, _FUZZED, structure.root, 4)
    if draw(st.booleans()):
        made["meta"] = {"profile": [f"https://fhir.hl7.org.uk/StructureDefinition/{profiles}"]}
    return {**made, "resourceType": kind}


_FUZZED = Validator(minimum="information")


@settings(max_examples=6000, deadline=None, suppress_health_check=list(HealthCheck))
@given(resource=_resources())
def test_resources_of_any_content_are_judged_without_a_crash(resource: Json) -> None:
    for finding in _FUZZED.check(resource):
        assert finding.rule and finding.severity in ("error", "warning", "information")
