"""Search parameters as data: that they are FHIR's own, and that they find what FHIR's expressions find."""

from __future__ import annotations

import json
import re
import tarfile
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from served import Files

from fhirsynth.serving import parameters, values
from fhirsynth.serving.dates import span_of
from fhirsynth.serving.parameters import Parameter

pytest_plugins = ["served_fixtures"]

R4 = Path(__file__).parent.parent.parent / "shared" / "ukcore" / "hl7.fhir.r4.core#4.0.1.tgz"
LOADED = parameters.load()
#: An element of a path, without what it says of another element in it.
_STEP = re.compile(r"(?:^|\.)(\w+)")
OWN = [parameter for kind in sorted(LOADED.kinds) for parameter in LOADED.of(kind).values()]
#: Not searched by: what is several parameters at once, what sounds alike, and what needs more than an index.
LEFT_OUT = {"phonetic", "near", "message", "_content", "_text", "_query", "_id", "_lastUpdated"}


@cache
def _official() -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The SearchParameters of R4 by URL, and the StructureDefinitions by id."""
    if not R4.is_file():
        pytest.skip(f"the definitions of FHIR R4, ../shared/ukcore/{R4.name}, are not there")
    searches, structures = {}, {}
    with tarfile.open(R4) as package:
        for member in package:
            name = member.name.rpartition("/")[2]
            if name.startswith(("SearchParameter-", "StructureDefinition-")) and name.endswith(".json"):
                file = package.extractfile(member)
                assert file is not None
                definition = json.load(file)
                if name.startswith("SearchParameter-"):
                    searches[definition["url"]] = definition
                else:
                    structures[definition["id"]] = definition
    return searches, structures


def _of_kind(kind: str) -> dict[str, dict[str, Any]]:
    found = {
        one["code"]: one for one in _official()[0].values() if {kind, "Resource", "DomainResource"} & {*one["base"]}
    }
    return {code: one for code, one in found.items() if one["type"] not in ("composite", "special")}


@pytest.mark.parametrize("kind", sorted(LOADED.kinds))
def test_parameters_are_those_of_fhir(kind: str) -> None:
    official = _of_kind(kind)
    own = LOADED.of(kind)
    assert set(own) == set(official) - LEFT_OUT
    for name, parameter in own.items():
        assert (parameter.type, parameter.defined) == (official[name]["type"], official[name]["url"])


@pytest.mark.parametrize("kind", sorted(LOADED.kinds))
def test_elements_that_stay_in_a_part_are_those_of_fhir(kind: str) -> None:
    elements = tomllib.loads(resources.files("fhirsynth.serving").joinpath("elements.toml").read_text())[kind]
    general = {"id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension"}
    own = {
        element["path"].partition(".")[2]: element
        for element in _official()[1][kind]["snapshot"]["element"]
        if element["path"].count(".") == 1
    }
    summary = {name for name, element in own.items() if element.get("isSummary")}
    needed = {name for name, element in own.items() if element["min"] or element.get("isModifier")}
    assert set(elements["summary"]) == summary - general
    assert set(elements["needed"]) == needed - general


def _expression(parameter: Parameter) -> str:
    """The official FHIRPath expression for the type, with what needs other resources put in other words."""
    expression = _official()[0][parameter.defined]["expression"]
    mine = [part.strip() for part in re.split(r"\s\|\s", expression)]
    mine = [part for part in mine if re.match(rf"\(?({parameter.kind}|Resource)\.", part)]
    plain = re.sub(r"\bResource\.", f"{parameter.kind}.", " | ".join(mine))
    plain = re.sub(r"\.where\(resolve\(\) is (\w+)\)", r".where(reference.startsWith('\1/'))", plain)
    plain = re.sub(r"\((\S+) as (\w+)\)", r"\1.ofType(\2)", plain)
    return re.sub(r"(\w+)\.as\((\w+)\)", r"\1.ofType(\2)", plain)


@pytest.mark.parametrize("kind", sorted(LOADED.kinds))
def test_values_are_those_of_the_official_expressions(files: Files, kind: str) -> None:
    """As another program, fhirpathpy, finds them, for every parameter of some resources."""
    fhirpathpy = pytest.importorskip("fhirpathpy")
    from fhirpathpy.models import models

    chosen = files.of(kind)[:: max(1, len(files.of(kind)) // 6)]
    for name, parameter in LOADED.of(kind).items():
        expression = _expression(parameter)
        evaluate = fhirpathpy.compile(expression, models["r4"])
        for resource in chosen:
            found = json.loads(json.dumps(evaluate(resource), default=float))  # it has made Decimals of numbers
            assert _set(parameter, parameter.values(resource)) == _read(parameter, found), (name, expression)


def _set(parameter: Parameter, found: Any) -> set[Any]:
    rows = set(found)
    if parameter.type == "reference" and parameter.target:
        rows = {row for row in rows if row[0] == parameter.target}
    return rows


def _read(parameter: Parameter, found: list[Any]) -> set[Any]:
    if parameter.present:
        return {(values.IMPLIED, str(found == [True]).lower())}
    if parameter.type == "date":
        return {span for span in map(span_of, found) if span is not None}
    if parameter.type == "string":
        return {(values.fold(text), text) for item in found for text in values.strings(item)}
    if parameter.type == "uri":
        return {(values.IMPLIED, item) for item in found}
    read = {"token": values.tokens, "reference": values.references, "quantity": values.quantities}[parameter.type]
    return {row for item in found for row in read(item)}


def test_types_that_are_written_have_parameters_of_their_own(files: Files) -> None:
    assert {kind for kind, _ in files.all} <= LOADED.kinds


def test_patient_and_subject_share_a_field() -> None:
    patient, subject = (set(LOADED.of("Observation")[name].fields) for name in ("patient", "subject"))
    assert patient <= subject
    fields = {(one.type, one.path) for one in LOADED.fields("Observation")}
    assert len(fields) == len(LOADED.fields("Observation"))


def test_types_that_are_not_known_have_the_common_ones() -> None:
    assert set(LOADED.of("CarePlan")) == {"_profile", "_security", "_source", "_tag"}
    assert LOADED.of("CarePlan")["_tag"].defined == "http://hl7.org/fhir/SearchParameter/Resource-tag"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("  O’Brien-LLŶR ", "obrien llyr"),
        ("KT17  4KK", "kt17 4kk"),
        ("Mary–Ann", "mary ann"),
        ("Nuñez, J.", "nunez j"),
        ("Straße", "strasse"),
        ("5 < 6 µg", "5 < 6 μg"),
        ("李", "李"),
        ("'-", ""),
    ],
)
def test_texts_are_compared_without_case_accents_and_punctuation(text: str, folded: str) -> None:
    assert values.fold(text) == folded


OTHER_FORMS = (
    *(None, 3, 3.5, True, [], {}, "#contained", "#", [[]], [None]),
    *({"coding": 3}, {"coding": [3, None, {}]}, {"code": 3}, {"reference": 3}, {"reference": ""}, {"value": True}),
    *({"start": 3}, {"event": 3}, {"repeat": 3}, {"line": 3}, {"family": {}}, {"value": 1, "unit": 3}),
)


@pytest.mark.parametrize("element", OTHER_FORMS, ids=repr)
def test_elements_of_another_form_have_no_values(element: Any) -> None:
    for parameter in OWN:
        for field in parameter.fields:
            resource: Any = element
            for step in reversed(_STEP.findall(field.path)):
                resource = {step: resource}
            rows = list(parameter.values(resource))
            if element in ("#contained", "#"):
                assert rows == [] or parameter.type in ("token", "string", "uri", "reference")
            elif element is True:
                assert rows == [] or parameter.type == "token"
            else:
                assert rows == [] or parameter.present
