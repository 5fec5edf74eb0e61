"""The compiler of conformance packages: what it makes of definitions, and what it says when it cannot."""

from __future__ import annotations

import io
import json
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirsynth.cli.app import main
from fhirsynth.errors import InputError, OutputError
from fhirsynth.validation.compiling import packages, releases, terminology, writing

Json = dict[str, Any]
FHIR = "http://hl7.org/fhir/StructureDefinition/"
MINE = "https://example.org/fhir/"
SNOMED = "http://snomed.info/sct"


# --- What definitions are made of.


def profile(elements: list[Json], type_: str = "Patient", **more: Any) -> Json:
    return {
        "resourceType": "StructureDefinition",
        "id": "Mine",
        "url": f"{MINE}StructureDefinition/Mine",
        "version": "1.0.0",
        "status": "draft",
        "date": "2026-01-02",
        "fhirVersion": "4.0.1",
        "kind": "resource",
        "type": type_,
        "baseDefinition": FHIR + type_,
        "derivation": "constraint",
        "differential": {"element": elements},
    } | more


def value_set(name: str, *, include: list[Json], exclude: list[Json] | None = None, **more: Any) -> Json:
    compose: Json = {"include": include} | ({"exclude": exclude} if exclude else {})
    url = f"{MINE}ValueSet/{name}"
    return {"resourceType": "ValueSet", "url": url, "status": "active", "compose": compose} | more


def code_system(name: str, concepts: list[Json], **more: Any) -> Json:
    url = f"{MINE}CodeSystem/{name}"
    return {
        "resourceType": "CodeSystem",
        "url": url,
        "version": "1",
        "status": "active",
        "content": "complete",
        "concept": concepts,
    } | more


def package(folder: Path, *definitions: Json, name: str = "example.mine", depends: Any = None) -> Path:
    """A package in a folder."""
    inner = folder / name / "package"
    inner.mkdir(parents=True)
    (inner / "package.json").write_text(json.dumps({"name": name, "version": "0.1.0", "dependencies": depends or {}}))
    for number, definition in enumerate(definitions):
        (inner / f"{definition['resourceType']}-{number}.json").write_text(json.dumps(definition))
    return folder / name


def rules(folder: Path, *definitions: Json) -> dict[str, Json]:
    """What the files of a package say, by their paths in its release folder."""
    [done] = releases.compile_packages([package(folder / "in", *definitions)], folder / "out")
    return {path: tomllib.loads((folder / "out" / done.release / path).read_text("utf-8")) for path in done.files}


def elements(folder: Path, *stated: Json, type_: str = "Patient") -> Json:
    found: Json = rules(folder, profile(list(stated), type_))["structures/Mine.toml"]["element"]
    return found


# --- Structures.


def test_a_profile_is_what_its_differential_states(tmp_path: Path) -> None:
    stated = profile(
        [
            {"id": "Patient", "path": "Patient", "short": "a text for people", "min": 0, "max": "*"},
            {"id": "Patient.birthDate", "path": "Patient.birthDate", "min": 1, "max": "1", "mustSupport": True},
            {"id": "Patient.name", "path": "Patient.name", "short": "only another text", "min": 0, "max": "*"},
            {"id": "Patient.photo", "path": "Patient.photo", "max": "0"},
            {"id": "Patient.active", "path": "Patient.active", "fixedBoolean": True},
            {
                "id": "Patient.maritalStatus",
                "path": "Patient.maritalStatus",
                "patternCodeableConcept": {"coding": [{"system": "a\\b", "code": 'the "M"'}]},
            },
            {"id": "Patient.multipleBirth[x]", "path": "Patient.multipleBirth[x]", "maxValueInteger": 9},
            {"id": "Patient.name.text", "path": "Patient.name.text", "maxLength": 35},
            {
                "id": "Patient.generalPractitioner",
                "path": "Patient.generalPractitioner",
                "type": [{"code": "Reference", "targetProfile": [f"{FHIR}Organization|4.0.1", f"{FHIR}Practitioner"]}],
            },
            {
                "id": "Patient.gender",
                "path": "Patient.gender",
                "binding": {"strength": "required", "valueSet": "http://hl7.org/fhir/ValueSet/administrative-gender|4"},
            },
        ]
    )
    found = rules(tmp_path, stated)["structures/Mine.toml"]
    assert found["element"] == {
        "Patient.birthDate": {"min": 1, "max": 1},
        "Patient.photo": {"max": 0},
        "Patient.active": {"fixed": True},
        "Patient.maritalStatus": {"pattern": {"coding": [{"system": "a\\b", "code": 'the "M"'}]}},
        "Patient.multipleBirth[x]": {"max_value": 9},
        "Patient.name.text": {"max_length": 35},
        "Patient.generalPractitioner": {
            "types": ["Reference"],
            "targets": {"Reference": [f"{FHIR}Organization", f"{FHIR}Practitioner"]},
        },
        "Patient.gender": {
            "binding": {"strength": "required", "value_set": "http://hl7.org/fhir/ValueSet/administrative-gender"}
        },
    }
    del found["element"]
    assert found == {
        "url": f"{MINE}StructureDefinition/Mine",
        "version": "1.0.0",
        "status": "draft",
        "kind": "resource",
        "type": "Patient",
        "base": f"{FHIR}Patient",
        "derivation": "constraint",
    }


def test_the_first_line_says_what_it_is_and_where_it_is_from(tmp_path: Path) -> None:
    given_ = package(tmp_path, profile([{"id": "Patient", "path": "Patient"}]))
    [done] = releases.compile_packages([given_], tmp_path / "out")
    text = done.files["structures/Mine.toml"]
    assert text.startswith("# Mine 1.0.0 (draft, 2026-01-02), from example.mine 0.1.0\nurl = ")
    assert text.endswith("\n") and not text.endswith("\n\n")


def test_slices_keep_what_tells_them_apart(tmp_path: Path) -> None:
    slicing = {"discriminator": [{"type": "value", "path": "system"}], "rules": "open", "ordered": False}
    closed = {"discriminator": [{"type": "pattern", "path": "use"}], "rules": "closed", "ordered": True}
    found = elements(
        tmp_path,
        {"id": "Patient.identifier", "path": "Patient.identifier", "slicing": slicing},
        {"id": "Patient.identifier:a", "path": "Patient.identifier", "sliceName": "a", "min": 0, "max": "*"},
        {"id": "Patient.identifier:a.system", "path": "Patient.identifier.system", "min": 1, "fixedUri": "urn:a"},
        {"id": "Patient.identifier:b", "path": "Patient.identifier", "sliceName": "b", "short": "nothing but a name"},
        {"id": "Patient.name", "path": "Patient.name", "slicing": closed},
    )
    assert found == {
        "Patient.identifier": {"slicing": {"by": [["value", "system"]], "rules": "open"}},
        "Patient.identifier:a": {"min": 0, "max": "*"},
        "Patient.identifier:a.system": {"min": 1, "fixed": "urn:a"},
        "Patient.identifier:b": {},
        "Patient.name": {"slicing": {"by": [["pattern", "use"]], "rules": "closed", "ordered": True}},
    }


def test_ids_that_are_left_out_are_made_of_paths_and_names_of_slices(tmp_path: Path) -> None:
    found = elements(
        tmp_path,
        {"path": "Patient.contact", "sliceName": "kin"},
        {"path": "Patient.contact.telecom", "sliceName": "phone", "min": 1},
        {"path": "Patient.contact.telecom.system", "min": 1},
        {"path": "Patient.contact.name.family", "min": 1},
        {"path": "Patient.contact", "sliceName": "other"},
        {"path": "Patient.contact.telecom.value", "max": "0"},
    )
    assert list(found) == [
        "Patient.contact:kin",
        "Patient.contact:kin.telecom:phone",
        "Patient.contact:kin.telecom:phone.system",
        "Patient.contact:kin.name.family",
        "Patient.contact:other",
        "Patient.contact:other.telecom.value",
    ]


def test_where_id_and_name_of_a_slice_differ_the_name_is_right(tmp_path: Path) -> None:
    found = elements(
        tmp_path,
        {"id": "Patient.name:Official", "path": "Patient.name", "sliceName": "official", "min": 1},
        {"id": "Patient.name:Official.use", "path": "Patient.name.use", "fixedCode": "official"},
    )
    assert list(found) == ["Patient.name:official", "Patient.name:official.use"]


def test_a_shortcut_for_one_type_of_a_choice_narrows_the_choice(tmp_path: Path) -> None:
    found = elements(
        tmp_path,
        {"id": "Observation.valueQuantity", "path": "Observation.valueQuantity", "min": 1},
        {"id": "Observation.valueQuantity.code", "path": "Observation.valueQuantity.code", "fixedCode": "kg"},
        {"id": "Observation.component.valueString", "path": "Observation.component.valueString"},
        type_="Observation",
    )
    assert found == {
        "Observation.value[x]": {"min": 1, "types": ["Quantity"]},
        "Observation.value[x].code": {"fixed": "kg"},
        "Observation.component.value[x]": {"types": ["string"]},
    }


def test_shortcuts_for_several_types_of_a_choice_are_slices_of_it(tmp_path: Path) -> None:
    found = elements(
        tmp_path,
        {"id": "Observation.valueQuantity", "path": "Observation.valueQuantity"},
        {"id": "Observation.valueQuantity.code", "path": "Observation.valueQuantity.code", "min": 1},
        {"id": "Observation.valueString", "path": "Observation.valueString"},
        {"id": "Observation.valueSet", "path": "Observation.valueSet", "max": "0"},
        type_="Observation",
    )
    assert found == {
        "Observation.value[x]": {"types": ["Quantity", "string"]},
        "Observation.value[x]:valueQuantity": {"types": ["Quantity"]},
        "Observation.value[x]:valueQuantity.code": {"min": 1},
        "Observation.value[x]:valueString": {"types": ["string"]},
        "Observation.valueSet": {"max": 0},
    }


def test_a_type_is_what_its_snapshot_says(tmp_path: Path) -> None:
    text = {
        "code": "http://hl7.org/fhirpath/System.String",
        "extension": [{"url": f"{FHIR}structuredefinition-fhir-type"}],
    }
    text["extension"][0]["valueUrl"] = "string"  # type: ignore[index]
    copied = {"key": "ele-1", "severity": "error", "human": "x", "expression": "true", "source": f"{FHIR}Element"}
    own = {"key": "thing-1", "severity": "warning", "human": "a\n b", "expression": "a.exists()"}
    of_type = {"key": "qty-3", "severity": "error", "human": "x", "expression": "true", "source": f"{FHIR}Quantity"}
    snapshot = [
        {"id": "Thing", "path": "Thing", "min": 0, "max": "*", "constraint": [own, {"key": "no", "human": "no words"}]},
        {"id": "Thing.id", "path": "Thing.id", "min": 0, "max": "1", "type": [text], "constraint": [copied]},
        {"id": "Thing.part", "path": "Thing.part", "min": 1, "max": "*", "type": [{"code": "BackboneElement"}]},
        {"id": "Thing.part.id", "path": "Thing.part.id", "min": 0, "max": "1", "type": [text]},
        {"id": "Thing.part.amount", "path": "Thing.part.amount", "max": "1", "type": [{"code": "Quantity"}]},
        {"id": "Thing.part.part", "path": "Thing.part.part", "max": "*", "contentReference": "#Thing.part"},
    ]
    snapshot[4]["constraint"] = [copied, of_type]
    thing = profile([], "Thing", derivation="specialization", baseDefinition=f"{FHIR}DomainResource", abstract=True)
    thing |= {"snapshot": {"element": snapshot}, "url": f"{MINE}StructureDefinition/Thing"}
    found = rules(tmp_path, thing)["structures/Thing.toml"]
    assert found["abstract"] is True
    assert found["invariant"] == [
        {"at": "Thing", "key": "thing-1", "severity": "warning", "says": "a b", "expression": "a.exists()"}
    ]
    assert found["element"] == {
        "Thing.id": {"max": 1, "types": ["id"]},
        "Thing.part": {"min": 1, "max": "*", "types": ["BackboneElement"]},
        "Thing.part.id": {"max": 1, "types": ["string"]},
        "Thing.part.amount": {"max": 1, "types": ["Quantity"]},
        "Thing.part.part": {"max": "*", "content": "Thing.part"},
    }


def test_an_extension_says_where_it_may_be(tmp_path: Path) -> None:
    context = [
        {"type": "element", "expression": "Patient"},
        {"type": "extension", "expression": f"{MINE}StructureDefinition/Other#part"},
        {"type": "element", "expression": "Patient.contact"},
        {"type": "fhirpath", "expression": "Observation.where(status = 'final')"},
    ]
    bound = {"id": "Extension.extension:a", "path": "Extension.extension", "sliceName": "a", "max": "1"}
    bound["binding"] = {"strength": "required", "valueSet": "http://hl7.org/fhir/ValueSet/link-type"}
    stated = profile([bound], "Extension", context=context, contextInvariant=["active"], kind="complex-type")
    found = rules(tmp_path, stated)["structures/Mine.toml"]
    assert found["context"] == ["Patient", "Patient.contact"]
    assert found["context_extension"] == [f"{MINE}StructureDefinition/Other#part"]
    assert found["context_fhirpath"] == ["Observation.where(status = 'final')"]
    assert found["context_invariant"] == ["active"]
    assert found["element"] == {"Extension.extension:a": {"max": 1}}, "an extension as a whole has no code to bind"


def test_bindings(tmp_path: Path) -> None:
    most = {
        "url": f"{FHIR}elementdefinition-maxValueSet",
        "valueCanonical": "http://hl7.org/fhir/ValueSet/all-languages|4",
    }
    languages = "http://hl7.org/fhir/ValueSet/languages"
    found = elements(
        tmp_path,
        {"path": "Patient.language", "binding": {"strength": "preferred", "valueSet": languages, "extension": [most]}},
        {"path": "Patient.gender", "binding": {"strength": "example", "valueSet": languages}},
        {"path": "Patient.maritalStatus", "binding": {"strength": "extensible", "description": "in words alone"}},
    )
    assert found == {
        "Patient.language": {
            "binding": {
                "strength": "preferred",
                "value_set": languages,
                "max_value_set": "http://hl7.org/fhir/ValueSet/all-languages",
            }
        },
        "Patient.maritalStatus": {"binding": {"strength": "extensible"}},
    }


def test_a_profile_that_has_only_a_snapshot_is_compiled_from_it(tmp_path: Path) -> None:
    stated = profile([{"id": "Patient.name", "path": "Patient.name", "min": 1}])
    stated["snapshot"] = stated.pop("differential")
    assert rules(tmp_path, stated)["structures/Mine.toml"]["element"] == {"Patient.name": {"min": 1}}


# --- Terminology.


def codes(folder: Path, *definitions: Json) -> tuple[dict[str, list[str]], list[Json]]:
    """Codes by system, without displays, and what is open, of the value set named "asked"."""
    found = rules(folder, *definitions)["value-sets/asked.toml"]
    return {system: list(listed) for system, listed in found["codes"].items()}, found.get("open", [])


ANIMALS = f"{MINE}CodeSystem/animals"
TREE = code_system(
    "animals",
    [
        {
            "code": "mammal",
            "display": "Mammal",
            "concept": [
                {"code": "dog", "display": "Dog", "property": [{"code": "legs", "valueInteger": 4}]},
                {"code": "whale", "display": "Whale", "concept": [{"code": "orca", "display": "Orca"}]},
            ],
        },
        {"code": "bird", "display": "Bird", "property": [{"code": "legs", "valueInteger": 2}]},
        {"code": "owl", "display": "Owl", "property": [{"code": "parent", "valueCode": "bird"}]},
        {"code": "dodo", "display": "Dodo", "property": [{"code": "status", "valueCode": "retired"}]},
    ],
    caseSensitive=True,
)


def test_a_code_system_keeps_codes_order_and_what_is_below_what(tmp_path: Path) -> None:
    incomplete = code_system("some", [{"code": "a"}], content="fragment")
    found = rules(tmp_path, TREE, incomplete)
    assert list(found) == ["code-systems/animals.toml"], "one that does not list all its codes says nothing of others"
    animals = found["code-systems/animals.toml"]
    assert list(animals["codes"]) == ["mammal", "dog", "whale", "orca", "bird", "owl", "dodo"]
    assert animals["codes"]["whale"] == "Whale"
    assert animals["children"] == {"mammal": ["dog", "whale"], "whale": ["orca"], "bird": ["owl"]}
    assert animals["retired"] == ["dodo"]
    assert animals["case_sensitive"] is True


@pytest.mark.parametrize(
    ("property_", "op", "value", "expected"),
    [
        ("concept", "is-a", "mammal", ["mammal", "dog", "whale", "orca"]),
        ("concept", "descendent-of", "mammal", ["dog", "whale", "orca"]),
        ("concept", "is-a", "bird", ["bird", "owl"]),
        ("concept", "is-not-a", "mammal", ["bird", "owl", "dodo"]),
        ("concept", "generalizes", "orca", ["mammal", "whale", "orca"]),
        ("concept", "in", "dog, owl,cat", ["dog", "owl"]),
        ("concept", "not-in", "dog,owl", ["mammal", "whale", "orca", "bird", "dodo"]),
        ("code", "regex", "o.*", ["orca", "owl"]),
        ("display", "regex", "[DB].*", ["dog", "bird", "dodo"]),
        ("legs", "=", "4", ["dog"]),
        ("legs", "exists", "true", ["dog", "bird"]),
        ("parent", "=", "whale", ["orca"]),
        ("child", "exists", "true", ["mammal", "whale", "bird"]),
    ],
)
def test_filters_over_a_complete_code_system(
    tmp_path: Path, property_: str, op: str, value: str, expected: list[str]
) -> None:
    include = {"system": ANIMALS, "filter": [{"property": property_, "op": op, "value": value}]}
    assert codes(tmp_path, TREE, value_set("asked", include=[include])) == ({ANIMALS: expected}, [])


@pytest.mark.parametrize(
    "filter_",
    [
        {"property": "colour", "op": "=", "value": "black"},
        {"property": "code", "op": "regex", "value": "("},
        {"property": "code", "op": "sounds-like", "value": "dock"},
    ],
)
def test_filters_that_cannot_be_told_leave_the_system_open(tmp_path: Path, filter_: Json) -> None:
    listed, opened = codes(tmp_path, TREE, value_set("asked", include=[{"system": ANIMALS, "filter": [filter_]}]))
    assert listed == {}
    assert opened == [{"system": ANIMALS, "why": " ".join(filter_[key] for key in ("property", "op", "value"))}]


def test_several_filters_must_all_let_a_code_through(tmp_path: Path) -> None:
    filters = [
        {"property": "concept", "op": "is-a", "value": "mammal"},
        {"property": "display", "op": "regex", "value": ".{4,5}"},
    ]
    found, _ = codes(tmp_path, TREE, value_set("asked", include=[{"system": ANIMALS, "filter": filters}]))
    assert found == {ANIMALS: ["whale", "orca"]}


def test_listed_codes_take_the_display_of_their_system_where_they_have_none(tmp_path: Path) -> None:
    include = {"system": ANIMALS, "concept": [{"code": "dog", "display": "Hound"}, {"code": "owl"}, {"code": "cat"}]}
    found = rules(tmp_path, TREE, value_set("asked", include=[include]))["value-sets/asked.toml"]
    assert found["codes"] == {ANIMALS: {"dog": "Hound", "owl": "Owl", "cat": ""}}


def test_what_is_excluded_is_taken_out(tmp_path: Path) -> None:
    whole = [{"system": ANIMALS}, {"system": SNOMED, "concept": [{"code": "1"}, {"code": "2"}]}]
    out = [
        {"system": ANIMALS, "filter": [{"property": "concept", "op": "is-a", "value": "mammal"}]},
        {"system": SNOMED, "concept": [{"code": "2"}]},
    ]
    asked = value_set("asked", include=whole, exclude=out)
    assert codes(tmp_path, TREE, asked) == ({ANIMALS: ["bird", "owl", "dodo"], SNOMED: ["1"]}, [])


def test_what_may_be_excluded_is_open(tmp_path: Path) -> None:
    include = [{"system": SNOMED, "concept": [{"code": "1"}]}, {"system": ANIMALS}]
    out = [{"system": SNOMED, "filter": [{"property": "concept", "op": "is-a", "value": "5"}]}, {"system": ANIMALS}]
    listed, opened = codes(tmp_path, TREE, value_set("asked", include=include, exclude=out))
    assert listed == {}
    assert opened == [{"system": SNOMED, "why": "less concept is-a 5"}]


def test_retired_codes_are_left_out_where_a_value_set_wants_active_ones(tmp_path: Path) -> None:
    asked = value_set("asked", include=[{"system": ANIMALS}])
    asked["compose"]["inactive"] = False
    assert "dodo" not in codes(tmp_path, TREE, asked)[0][ANIMALS]


def test_value_sets_are_put_together_of_others(tmp_path: Path) -> None:
    birds = value_set("birds", include=[{"system": ANIMALS, "concept": [{"code": "owl"}, {"code": "dodo"}]}])
    odd = value_set("odd", include=[{"system": ANIMALS, "concept": [{"code": "dodo"}, {"code": "orca"}]}])
    union = [{"valueSet": [birds["url"]]}, {"valueSet": [f"{odd['url']}|1"]}]
    both = [{"valueSet": [birds["url"], odd["url"]]}]
    of_system = [
        {"system": ANIMALS, "valueSet": [birds["url"]], "filter": [{"property": "code", "op": "=", "value": "owl"}]}
    ]
    for number, (include, expected) in enumerate(
        [(union, ["owl", "dodo", "orca"]), (both, ["dodo"]), (of_system, ["owl"])]
    ):
        asked = value_set("asked", include=include)
        assert codes(tmp_path / str(number), TREE, birds, odd, asked) == ({ANIMALS: expected}, [])


def test_value_sets_that_include_each_other_come_to_an_end(tmp_path: Path) -> None:
    one, other = f"{MINE}ValueSet/asked", f"{MINE}ValueSet/other"
    asked = value_set("asked", include=[{"valueSet": [other]}, {"system": ANIMALS, "concept": [{"code": "owl"}]}])
    second = value_set("other", include=[{"valueSet": [one]}, {"system": ANIMALS, "concept": [{"code": "dog"}]}])
    found = rules(tmp_path, asked, second)
    for name in ("asked", "other"):
        assert set(found[f"value-sets/{name}.toml"]["codes"][ANIMALS]) == {"dog", "owl"}
        assert "open" not in found[f"value-sets/{name}.toml"]


def test_a_code_system_that_goes_round_in_circles_comes_to_an_end(tmp_path: Path) -> None:
    round_ = [{"code": "a", "property": [{"code": "parent", "valueCode": "b"}]}]
    round_.append({"code": "b", "property": [{"code": "parent", "valueCode": "a"}]})
    include = {"system": f"{MINE}CodeSystem/round", "filter": [{"property": "concept", "op": "is-a", "value": "a"}]}
    found = codes(tmp_path, code_system("round", round_), value_set("asked", include=[include]))
    assert found == ({f"{MINE}CodeSystem/round": ["a", "b"]}, [])


def test_what_is_not_at_hand_is_open(tmp_path: Path) -> None:
    include = [
        {"system": "http://loinc.org"},
        {"system": SNOMED, "filter": [{"property": "concept", "op": "is-a", "value": "404684003"}]},
        {"valueSet": ["https://example.org/elsewhere"]},
    ]
    listed, opened = codes(tmp_path, value_set("asked", include=include))
    assert listed == {}
    assert opened == [
        {"system": "http://loinc.org", "why": "every code of the system"},
        {"system": SNOMED, "why": "concept is-a 404684003"},
        {"system": "*", "why": "the value set https://example.org/elsewhere is not at hand"},
    ]


@pytest.mark.parametrize(
    ("expression", "listed"),
    [
        (
            "( 123037004 |Body structure OR part| OR 49062001 ) ",
            {"123037004": "Body structure OR part", "49062001": ""},
        ),
        ("419841000001106", {"419841000001106": ""}),
        ("<< 123037004 |Body structure|", {}),
        ("123037004 MINUS 49062001", {}),
        ("^ 999000051000001100", {}),
    ],
)
def test_an_expression_that_names_concepts_one_by_one_is_a_list(
    tmp_path: Path, expression: str, listed: dict[str, str]
) -> None:
    include = {"system": SNOMED, "filter": [{"property": "constraint", "op": "=", "value": expression}]}
    found = rules(tmp_path, value_set("asked", include=[include]))["value-sets/asked.toml"]
    assert found["codes"] == ({SNOMED: listed} if listed else {})
    assert ("open" in found) is not bool(listed)


def test_an_expansion_gives_displays_to_codes_that_have_none(tmp_path: Path) -> None:
    include = {"system": SNOMED, "concept": [{"code": "6"}, {"code": "7", "display": "Seven"}]}
    contains = [{"system": SNOMED, "code": code, "display": f"{code}!"} for code in "678"]
    asked = value_set("asked", include=[include], expansion={"contains": contains})
    found = rules(tmp_path, asked)["value-sets/asked.toml"]
    assert found["codes"] == {SNOMED: {"6": "6!", "7": "Seven"}}
    assert "open" not in found


def test_an_expansion_names_codes_of_what_stays_open_and_of_nothing_else(tmp_path: Path) -> None:
    include = [
        {"system": SNOMED, "filter": [{"property": "concept", "op": "is-a", "value": "5"}]},
        {"system": ANIMALS, "concept": [{"code": "dog"}]},
    ]
    contains = [{"system": SNOMED, "code": "6", "display": "Six"}, {"system": ANIMALS, "code": "stale"}]
    asked = value_set("asked", include=include, expansion={"contains": contains})
    listed, opened = codes(tmp_path, TREE, asked)
    assert listed == {SNOMED: ["6"], ANIMALS: ["dog"]}
    assert [item["system"] for item in opened] == [SNOMED]


def test_a_value_set_that_is_only_an_expansion(tmp_path: Path) -> None:
    contains = [{"abstract": True, "code": "up", "system": ANIMALS, "contains": [{"code": "dog", "system": ANIMALS}]}]
    asked = value_set("asked", include=[], expansion={"total": 1, "contains": contains})
    del asked["compose"]
    assert codes(tmp_path / "whole", asked) == ({ANIMALS: ["dog"]}, [])
    asked["expansion"]["total"] = 7
    assert codes(tmp_path / "part", asked)[1] == [{"system": "*", "why": "the definition lists only some codes"}]


def test_a_long_value_set_is_open_unless_an_element_must_have_one_of_its_codes(tmp_path: Path) -> None:
    many = code_system("many", [{"code": str(number)} for number in range(terminology.MOST_CODES + 1)])
    asked = value_set("asked", include=[{"system": many["url"]}])
    listed, opened = codes(tmp_path / "open", many, asked)
    assert listed == {}
    assert opened == [{"system": many["url"], "why": "3001 codes, more than are listed here"}]
    must = {"path": "Patient.maritalStatus", "binding": {"strength": "required", "valueSet": asked["url"]}}
    assert len(codes(tmp_path / "required", many, asked, profile([must]))[0][many["url"]]) == 3001


# --- Packages that lean on others.


def test_a_package_of_ones_own_leans_on_what_is_shipped(tmp_path: Path) -> None:
    base = "https://fhir.hl7.org.uk/StructureDefinition/UKCore-Patient"
    roles = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
    include = [
        {"system": roles, "filter": [{"property": "concept", "op": "descendent-of", "value": "SIB"}]},
        {"valueSet": ["https://fhir.hl7.org.uk/ValueSet/UKCore-AddressKeyType"]},
    ]
    bound = {"path": "Patient.maritalStatus", "binding": {"strength": "required", "valueSet": f"{MINE}ValueSet/asked"}}
    found = rules(tmp_path, profile([bound], baseDefinition=base), value_set("asked", include=include))
    assert sorted(found) == ["structures/Mine.toml", "value-sets/asked.toml"], "what is shipped is not written again"
    listed = found["value-sets/asked.toml"]["codes"]
    assert {"BRO", "SIS", "TWIN"} <= listed[roles].keys()
    assert "SIB" not in listed[roles]
    assert listed["https://fhir.hl7.org.uk/CodeSystem/UKCore-AddressKeyType"].keys() == {"PAF", "UPRN"}


def test_later_packages_lean_on_those_they_depend_on(tmp_path: Path) -> None:
    base = profile([], url=f"{MINE}StructureDefinition/Base")
    base["differential"]["element"] = [{"path": "Patient.name", "min": 1}]
    first = package(tmp_path, base, TREE, name="example.base")
    asked = value_set("asked", include=[{"system": ANIMALS}])
    on_top = profile([{"path": "Patient.name", "max": "1"}], baseDefinition=base["url"])
    depends = package(tmp_path, on_top, asked, name="example.top", depends={"example.base": "0.1.0"})
    done = releases.compile_packages([first, depends], tmp_path / "out")
    assert [item.release for item in done] == ["example.base", "example.top"]
    assert '"whale" = "Whale"' in done[1].files["value-sets/asked.toml"]
    stranger = package(tmp_path, on_top, name="example.stranger", depends={"hl7.fhir.r4.core": "4.0.1"})
    with pytest.raises(InputError, match=r"Mine is based on .*/Base, which is not at hand.*dependencies"):
        releases.compile_packages([first, stranger], tmp_path / "out")


def test_what_is_named_but_not_at_hand_is_told(tmp_path: Path) -> None:
    missing = {"strength": "required", "valueSet": "https://example.org/gone"}
    target = [{"code": "Reference", "targetProfile": [f"{MINE}StructureDefinition/Gone"]}]
    stated = profile([{"path": "Patient.gender", "binding": missing}, {"path": "Patient.link.other", "type": target}])
    [done] = releases.compile_packages([package(tmp_path, stated)], tmp_path / "out")
    assert done.missing == ("https://example.org/fhir/StructureDefinition/Gone", "https://example.org/gone")


def test_release_folders() -> None:
    assert releases.release_of("hl7.fhir.r4.core") == "r4"
    assert releases.release_of("fhir.r4.ukcore.stu3.currentbuild") == "stu3"
    assert releases.release_of("fhir.r4.ukcore.stu2.branch") == "stu2"
    assert releases.release_of("example.mine") == "example.mine"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://fhir.hl7.org.uk/ValueSet/UKCore-BirthSex|2.1.0", "UKCore-BirthSex"),
        ("urn:iso:std:iso:3166", "urn-iso-std-iso-3166"),
        ("http://snomed.info/sct/", "sct"),
        ("https://example.org/../..", ".."),
    ],
)
def test_names_of_files(url: str, name: str) -> None:
    assert packages.name_of(url) == name


# --- Files as they are given and written.


def archive(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "given.tgz"
    with tarfile.open(path, "w:gz") as made:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return path


NAMED = json.dumps({"name": "example.mine", "version": "1"}).encode()
PLAIN = profile([{"path": "Patient.name", "min": 1}])


@pytest.mark.parametrize("prefix", ["package/", "./package/", "", "./"])
def test_archives_with_and_without_a_folder(tmp_path: Path, prefix: str) -> None:
    files = {f"{prefix}package.json": NAMED, f"{prefix}a.json": b"\xef\xbb\xbf" + json.dumps(PLAIN).encode()}
    files[f"{prefix}examples/b.json"] = b"not read"
    found = packages.read(archive(tmp_path, files))
    assert found.name == "example.mine"
    assert list(found.kinds["StructureDefinition"]) == [PLAIN["url"]]


def test_a_folder_that_an_implementation_guide_names(tmp_path: Path) -> None:
    guide = {
        "resourceType": "ImplementationGuide",
        "packageId": "example.guide",
        "version": "2",
        "dependsOn": [{"packageId": "fhir.r4.ukcore.stu2", "version": "2.0.2"}],
    }
    (tmp_path / "guide.json").write_text(json.dumps(guide))
    (tmp_path / "a.json").write_text(json.dumps(PLAIN))
    found = packages.read(tmp_path)
    assert (found.name, found.version, found.dependencies) == ("example.guide", "2", ("fhir.r4.ukcore.stu2",))


def test_a_single_definition_is_a_package_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(PLAIN))
    [done] = releases.compile_packages([tmp_path / "mine.json"], tmp_path / "out")
    assert (done.release, list(done.files)) == ("Mine", ["structures/Mine.toml"])


def test_what_is_no_longer_made_is_removed_and_the_rest_is_left(tmp_path: Path) -> None:
    out = tmp_path / "out"
    releases.compile_packages([package(tmp_path / "old", PLAIN, TREE)], out)
    beside = [out / "example.mine" / "README.md", out / "other" / "structures" / "kept.toml"]
    for file in beside:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    assert (out / "example.mine" / "code-systems" / "animals.toml").exists()
    releases.compile_packages([package(tmp_path / "new", PLAIN)], out)
    left = {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}
    assert left == {"example.mine/structures/Mine.toml", "example.mine/README.md", "other/structures/kept.toml"}


def test_nothing_is_written_where_a_later_package_cannot_be_compiled(tmp_path: Path) -> None:
    broken = profile([{"path": "Patient.name", "binding": {"valueSet": "x"}}])
    given_ = [package(tmp_path, PLAIN), package(tmp_path, broken, name="example.broken")]
    with pytest.raises(
        InputError, match="Mine cannot be compiled, it is not as FHIR defines it: 'strength' is missing"
    ):
        releases.compile_packages(given_, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    releases.compile_packages([package(tmp_path / "old", PLAIN)], out)
    before = (out / "example.mine" / "structures" / "Mine.toml").read_bytes()
    write = Path.write_text

    def full(self: Path, *arguments: Any, **more: Any) -> int:
        if "animals" in self.name and "package" not in self.parts:
            raise OSError(28, "No space left on device")
        return write(self, *arguments, **more)

    given_ = package(tmp_path / "new", profile([{"path": "Patient.photo", "max": "0"}]), TREE)
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match="No space left"):
        releases.compile_packages([given_], out)
    assert [file for file in out.rglob("*") if file.is_file()] == [out / "example.mine" / "structures" / "Mine.toml"]
    assert (out / "example.mine" / "structures" / "Mine.toml").read_bytes() == before
    assert [entry.name for entry in out.iterdir()] == ["example.mine"]


def test_rule_files_are_the_same_however_often_and_in_what_order_files_lie(tmp_path: Path) -> None:
    files = {"package/package.json": NAMED, "package/b.json": json.dumps(TREE).encode()}
    files["package/a.json"] = json.dumps(PLAIN).encode()
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    one = releases.compile_packages([archive(tmp_path / "x", files)], tmp_path / "out")
    other = releases.compile_packages([archive(tmp_path / "y", dict(reversed(files.items())))], tmp_path / "out")
    assert list(one[0].files.items()) == list(other[0].files.items())


# --- TOML.

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXTS, st.dictionaries(TEXTS, VALUES, max_size=4), max_size=4), TEXTS)
def test_what_is_written_reads_back_as_it_was(elements_: Json, origin: str) -> None:
    given_ = {"url": origin, "invariant": [{"says": origin}], "element": elements_}
    assert tomllib.loads(writing.structure(given_, origin)) == given_


@given(st.dictionaries(TEXTS, st.dictionaries(TEXTS, TEXTS, min_size=1), max_size=3), TEXTS)
def test_codes_read_back_as_they_were(listed: dict[str, dict[str, str]], why: str) -> None:
    given_: Json = {"url": why, "open": [{"system": "*", "why": why}], "codes": listed}
    assert tomllib.loads(writing.value_set(given_, why)) == given_
    system = {"url": why, "codes": listed.get("", {}), "children": {code: [why] for code in listed} or {"a": []}}
    assert tomllib.loads(writing.code_system(system, why)) == system


def test_null_has_no_place_in_a_rule_file(tmp_path: Path) -> None:
    stated = profile([{"path": "Patient.name", "patternHumanName": {"given": [None, "A"]}}])
    with pytest.raises(InputError, match="Mine cannot be compiled.*no rule file can hold None"):
        rules(tmp_path, stated)


# --- Errors of users.


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"package/a.json": json.dumps(PLAIN).encode()}, "it holds no package.json that names it"),
        ({"package/package.json": b"[]", "package/a.json": b"{}"}, "it holds no package.json that names it"),
        ({"package/package.json": NAMED}, "holds no StructureDefinition, ValueSet or CodeSystem in JSON"),
        ({"package/package.json": b"{nonsense"}, r"package.json: not valid JSON, line 1 column 2"),
        (
            {"package/package.json": NAMED, "package/a.json": b'{"resourceType": "StructureDefinition"}'},
            "a.json: this StructureDefinition has no url",
        ),
        (
            {
                "package/package.json": NAMED,
                "package/a.json": b'{"resourceType": "StructureDefinition", "url": "a", "fhirVersion": "5.0.0"}',
            },
            "is for FHIR 5.0.0; expected R4",
        ),
        (
            {
                "package/package.json": NAMED,
                "package/a.json": json.dumps(TREE).encode(),
                "package/b.json": json.dumps(TREE).encode(),
            },
            "b.json: another CodeSystem of the package has the url",
        ),
        (
            {
                "package/package.json": NAMED,
                "package/a.json": json.dumps(TREE).encode(),
                "package/b.json": json.dumps(TREE | {"url": "https://example.org/Animals"}).encode(),
            },
            "would both be written to code-systems/Animals.toml",
        ),
        (
            {"package/package.json": NAMED, "package/a.json": json.dumps(PLAIN | {"differential": {}}).encode()},
            "Mine cannot be compiled: expected a type and a differential or snapshot with elements",
        ),
        (
            {"package/package.json": NAMED, "package/a.json": json.dumps(PLAIN | {"baseDefinition": "urn:a"}).encode()},
            "is based on urn:a, which is not at hand; give the package that holds it before this one",
        ),
        (
            {"package/package.json": b'{"name": "../up"}', "package/a.json": json.dumps(PLAIN).encode()},
            r"'\.\./up' cannot be the release folder",
        ),
    ],
)
def test_packages_that_are_none(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(InputError, match=message):
        releases.compile_packages([archive(tmp_path, files)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_packages(tmp_path: Path) -> None:
    (tmp_path / "text.tgz").write_text("no archive")
    cut = archive(tmp_path, {"package/package.json": NAMED, "package/a.json": json.dumps(PLAIN).encode() * 50})
    cut.write_bytes(cut.read_bytes()[:200])
    (tmp_path / "patient.json").write_text('{"resourceType": "Patient"}')
    for name in ("text.tgz", "given.tgz", "patient.json", "gone.tgz"):
        with pytest.raises(InputError, match=name):
            packages.read(tmp_path / name)


def test_two_packages_cannot_have_one_release_folder(tmp_path: Path) -> None:
    one, two = package(tmp_path, PLAIN, name="fhir.r4.ukcore.stu3.dev"), package(tmp_path, PLAIN, name="b")
    with pytest.raises(InputError, match="two packages would be written to the release folder 'stu3'"):
        releases.compile_packages([one, two], tmp_path / "out", "stu3")


# --- The command.


def test_the_command_compiles_and_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given_ = package(tmp_path, PLAIN, TREE, value_set("asked", include=[{"system": ANIMALS}]))
    with pytest.raises(SystemExit) as ended:
        main(["profiles", "compile", str(given_), "--out", str(tmp_path / "out"), "--release", "next"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("example.mine 0.1.0: 1 structures, 1 value-sets, 1 code-systems in ")
    assert said.rstrip().endswith(str(Path("out", "next")))
    assert (tmp_path / "out" / "next" / "structures" / "Mine.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["gone.tgz", "--out", "out"], 2, "gone.tgz does not exist; give a FHIR package"),
        (["gone.tgz"], 2, "--out"),
        (["--out", "out"], 2, "package"),
        (["mine", "--out", "mine/package/package.json"], 3, "cannot be written"),
        (["mine", "--out", "out", "--release", "a/b"], 2, "'a/b' cannot be the release folder"),
    ],
)
def test_the_command_ends_with_one_line_where_something_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    package(tmp_path, PLAIN).rename(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["profiles", "compile", *arguments])
    assert ended.value.code == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1 and "Traceback" not in error
