"""The engine models: what the typed models of `fhir.resources` say of resources, as findings."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirsynth.validation.models import R4_ONLY, ModelsEngine

SAMPLES = Path(__file__).parent.parent / "samples" / "people"
PATIENT = {"resourceType": "Patient", "id": "p"}
OBSERVATION = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}}
Json = dict[str, Any]


@pytest.fixture(scope="module")
def engine() -> ModelsEngine:
    return ModelsEngine()


def bundle(*resources: Any) -> Json:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in resources]}


def said(engine: ModelsEngine, resource: Any) -> list[tuple[str, str, str]]:
    return [(finding.rule, finding.resource, finding.path) for finding in engine.check(resource)]


def test_the_samples_are_sound(engine: ModelsEngine) -> None:
    files = sorted(SAMPLES.glob("*.json"))
    assert files
    for file in files:
        assert engine.check(json.loads(file.read_bytes())) == []


@pytest.mark.parametrize(
    ("resource", "rule", "path"),
    [
        (PATIENT | {"foo": 1}, "extra-forbidden", "foo"),
        (PATIENT | {"birthDate": "1970-13-11"}, "value-error", "birthDate"),
        (PATIENT | {"active": "maybe"}, "bool-parsing", "active"),
        (PATIENT | {"name": [{"family": "a"}, {"famly": "x"}]}, "extra-forbidden", "name[1].famly"),
        (PATIENT | {"name": {}}, "list-type", "name"),
        (PATIENT | {"name": [[]]}, "model-validation-format", "name[0]"),
        (
            PATIENT | {"_birthDate": {"extension": [{"url": "x", "valueCode": 3}]}},
            "string-type",
            "_birthDate.extension[0].valueCode",
        ),
        (PATIENT | {"deceasedBoolean": True, "deceasedDateTime": "2020-01-01"}, "value-error", ""),
        (OBSERVATION | {"valueQuantity": {"value": "tall"}}, "value-error", "valueQuantity.value"),
        (OBSERVATION | {"component": [{"code": {}}, {"valueString": "x"}]}, "missing", "component[1].code"),
        ({"resourceType": "Observation", "id": "o", "status": "final"}, "missing", "code"),
        (PATIENT | {"contained": [{"resourceType": "Organization", "foo": 1}]}, "extra-forbidden", "contained[0].foo"),
    ],
)
def test_an_error_of_pydantic_is_a_finding_with_a_path(
    engine: ModelsEngine, resource: Json, rule: str, path: str
) -> None:
    name = f"{resource['resourceType']}/{resource['id']}"
    assert said(engine, resource) == [(f"models:{rule}", name, path)]
    assert said(engine, bundle(PATIENT, resource)) == [(f"models:{rule}", name, path)]
    assert all(finding.severity == "error" for finding in engine.check(resource))


def test_what_was_found_is_said(engine: ModelsEngine) -> None:
    [found] = engine.check(PATIENT | {"birthDate": "1970-13-11"})
    assert found.found == "Date value string does not match spec regex; found '1970-13-11'"
    [long] = engine.check(PATIENT | {"birthDate": "x" * 500})
    assert len(long.found) < 150


def test_of_a_bundle_the_frame_and_each_resource_are_judged(engine: ModelsEngine) -> None:
    wrong = bundle({"resourceType": "Nope", "id": "n"}, PATIENT | {"foo": 1}, {"resourceType": "Patient", "bar": 1}, 5)
    wrong |= {"id": "b", "total": "many"}
    assert sorted(said(engine, wrong)) == [
        ("models:extra-forbidden", "Bundle/b", "entry[2].resource.bar"),
        ("models:extra-forbidden", "Patient/p", "foo"),
        ("models:int-parsing", "Bundle/b", "total"),
        ("models:model-validation-format", "Bundle/b", "entry[3].resource"),
        ("models:unknown-type", "Nope/n", ""),
    ]


def test_a_bundle_in_a_bundle(engine: ModelsEngine) -> None:
    inner = bundle(PATIENT | {"foo": 1})
    assert said(engine, bundle(inner | {"id": "inner"})) == [("models:extra-forbidden", "Patient/p", "foo")]
    assert said(engine, bundle(inner) | {"id": "outer"}) == [
        ("models:extra-forbidden", "Bundle/outer", "entry[0].resource.entry[0].resource.foo")
    ]


def test_what_r4b_does_not_have_is_not_judged(engine: ModelsEngine) -> None:
    for kind in sorted(R4_ONLY):
        [found] = engine.check({"resourceType": kind, "id": "x", "whatever": 1})
        assert (found.rule, found.severity) == ("models:not-checked", "information")
        assert kind in found.found


def test_a_bundle_of_something_unknown_inside_a_resource(engine: ModelsEngine) -> None:
    [found] = engine.check(PATIENT | {"contained": [{"resourceType": "Nope"}]})
    assert (found.rule, found.resource) == ("models:unknown-type", "Patient/p")
    assert "'Nope'" in found.found


def _nested(levels: int) -> Json:
    extension: Json = {"url": "x", "valueString": "x"}
    for _ in range(levels):
        extension = {"url": "x", "extension": [extension]}
    return PATIENT | {"extension": [extension]}


@pytest.mark.parametrize(
    "odd",
    [
        None,
        5,
        "x",
        [],
        {},
        {"resourceType": 5},
        {"resourceType": []},
        {"resourceType": "Element"},
        {"resourceType": "../Patient"},
        {"resourceType": "Bundle", "entry": {}},
        {"resourceType": "Bundle", "type": "collection", "entry": [None, 3, {"fullUrl": 5}]},
        PATIENT | {"name": [{"family": "\ud800"}]},
        PATIENT | {"multipleBirthInteger": 10**40},
        PATIENT | {"meta": {"profile": [None, {}]}},
        PATIENT | {"__class__": 1, "model_config": 2, "model_fields": 3},
        OBSERVATION | {"valueQuantity": {"value": float("nan")}},
        _nested(900),
    ],
    ids=lambda odd: (
        type(odd).__name__
        if isinstance(odd, dict) and "extension" in odd
        else str(odd)[:40].encode("ascii", "replace").decode()
    ),
)
def test_odd_json_is_a_finding_and_no_exception(engine: ModelsEngine, odd: Any) -> None:
    assert any(finding.severity == "error" for finding in engine.check(odd))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
_ELEMENTS = (
    "id",
    "meta",
    "text",
    "contained",
    "extension",
    "name",
    "birthDate",
    "_birthDate",
    "contact",
    "entry",
    "link",
    "type",
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["Patient", "Bundle", "Observation"]),
    st.dictionaries(st.sampled_from(_ELEMENTS), _JSON, max_size=4),
)
def test_no_json_raises_and_none_is_changed(kind: str, elements: Json) -> None:
    resource = {"resourceType": kind, **elements}
    before = copy.deepcopy(resource)
    for finding in ModelsEngine().check(resource):
        assert finding.rule.startswith("models:") and finding.found
    assert repr(resource) == repr(before)
