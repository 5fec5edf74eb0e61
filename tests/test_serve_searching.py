"""Searches of the endpoint, each against a scan of what is written: criteria, order, pages, what comes along."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlencode

import pytest
import slow_search
from fhir.resources.R4B.bundle import Bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import Files, Served, bare

from fhirsynth.serving import parameters
from fhirsynth.serving.parameters import Parameter

pytest_plugins = ["served_fixtures"]

SNOMED = "http://snomed.info/sct"
NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
PREFIXES = ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")
KINDS = sorted(parameters.load().kinds)

Criterion = tuple[str, str]


@pytest.fixture(scope="module")
def anne(files: Files) -> dict[str, Any]:
    """The patient with the most resources."""
    most = max(files.people, key=lambda bundle: len(bundle["entry"]))
    return most["entry"][0]["resource"]


@cache
def _with_values(files: Files) -> list[tuple[Parameter, list[Any]]]:
    """Every parameter that has a value in some resource, with the values."""
    found = []
    for kind in KINDS:
        for parameter in parameters.load().of(kind).values():
            values = [value for resource in files.of(kind) for value in slow_search.elements(resource, parameter.path)]
            if values or parameter.present:
                found.append((parameter, values))
    return found


def _escaped(text: str) -> str:
    for character in "\\,|$":
        text = text.replace(character, f"\\{character}")
    return text


def _codes(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [("", str(value).lower() if isinstance(value, bool) else value)]
    codings = value.get("coding", [value])
    return [(coding.get("system", ""), coding.get("code") or coding.get("value")) for coding in codings]


def _criteria(draw: Callable[..., Any], parameter: Parameter, values: list[Any]) -> tuple[str, str]:
    """A modifier and the text of a value, made of one that is there."""
    value = values[draw(st.integers(0, len(values) - 1))] if values else True
    if draw(st.integers(0, 9)) == 0 and not parameter.present:
        return "missing", draw(st.sampled_from(["true", "false"]))
    if parameter.present:
        return draw(st.sampled_from(["", "not"])), draw(st.sampled_from(["true", "false"]))
    if parameter.type == "token":
        system, code = draw(st.sampled_from(_codes(value) or [("", "none")]))
        forms = [code, f"{system}|{code}", f"|{code}", f"http://example.org|{code}", f"{system}|none", code[:-1] or "x"]
        forms += [f"{system}|"] if system else []
        return draw(st.sampled_from(["", "", "not"])), draw(st.sampled_from(forms))
    if parameter.type == "reference":
        whole = _plain(parameter, value)
        if whole.startswith("#"):
            return "", whole
        kind, identity = whole.split("/")
        plain = draw(st.sampled_from([f"{kind}/{identity}", identity, f"Practitioner/{identity}", f"{kind}/none"]))
        return (draw(st.sampled_from([kind, "Practitioner"])), identity) if draw(st.booleans()) else ("", plain)
    if parameter.type == "uri":
        return "", draw(st.sampled_from([value, value + "x"]))
    if parameter.type == "string":
        text = draw(st.sampled_from(list(slow_search._texts(value))))
        begin = draw(st.integers(0, max(0, len(text) - 1)))
        part = text[: draw(st.integers(1, len(text)))]
        part = draw(st.sampled_from([part, part.upper(), part.lower()]))
        modifier = draw(st.sampled_from(["", "exact", "contains"]))
        part = {"": part, "exact": draw(st.sampled_from([text, part])), "contains": text[begin : begin + 4]}[modifier]
        return (modifier, part) if slow_search.folded(part) else (modifier, text)
    prefix = draw(st.sampled_from(PREFIXES))
    if parameter.type == "date":
        text = value if isinstance(value, str) else draw(st.sampled_from(list(value.values())))
        zone = text[19:]
        cuts = [text[:4], text[:7], text[:10]] + ([text, text[:19], text[:16] + zone] if "T" in text else [])
        return "", prefix + draw(st.sampled_from(cuts))
    number = draw(st.sampled_from([f"{value['value']}", f"{value['value']:.0f}", f"{value['value']:.3f}"]))
    code = value.get("code", "x")
    return "", prefix + number + draw(
        st.sampled_from(["", f"|{value.get('system', '')}|{code}", f"||{code}", "|||"[:2]])
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_finds_what_a_scan_finds(served: Served, files: Files, kind: str) -> None:
    """For each its most usual value, its rarest and one between: a code, a reference, a whole text, a day, a number."""
    for parameter, values in _with_values(files):
        if parameter.kind != kind or parameter.present:
            continue
        ranked = [json.loads(text) for text, _ in Counter(json.dumps(value) for value in values).most_common()]
        for value in {0: ranked[0], 1: ranked[len(ranked) // 2], 2: ranked[-1]}.values():
            _compare(served, files, kind, [(parameter, "", _plain(parameter, value))])


def _plain(parameter: Parameter, value: Any) -> str:
    """A value as it is usually asked for."""
    if parameter.type == "token":
        system, code = (_codes(value) or [("", "none")])[0]
        return f"{system}|{code}" if system else code
    if parameter.type == "reference":
        return value["reference"] if "reference" in value else f"{value['resourceType']}/{value['id']}"
    if parameter.type == "string":
        return next(iter(slow_search._texts(value)))
    if parameter.type == "date":
        return "le" + (value if isinstance(value, str) else next(iter(value.values())))[:10]
    return str(value["value"] if parameter.type == "quantity" else value)


def _compare(served: Served, files: Files, kind: str, asked: list[tuple[Parameter, str, str]]) -> None:
    pairs: list[Criterion] = []
    for parameter, modifier, text in asked:
        value = _escaped(text) if parameter.type in ("string", "uri") else text
        pairs.append((parameter.name + (f":{modifier}" if modifier else ""), value))
    expected = {
        resource["id"]
        for resource in files.of(kind)
        if all(slow_search.matches(resource, parameter, modifier, [text]) for parameter, modifier, text in asked)
    }
    found = served.found(f"/{kind}?{urlencode([*pairs, ('_count', '500')])}")
    assert Counter(found) == Counter(expected), pairs


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_criteria_find_what_a_scan_finds(served: Served, files: Files, data: st.DataObject) -> None:
    with_values = _with_values(files)
    kind = data.draw(st.sampled_from(sorted({parameter.kind for parameter, _ in with_values})))
    own = [(parameter, values) for parameter, values in with_values if parameter.kind == kind]
    asked = []
    for _ in range(data.draw(st.integers(1, 3))):
        parameter, values = own[data.draw(st.integers(0, len(own) - 1))]
        asked.append((parameter, *_criteria(data.draw, parameter, values)))
    _compare(served, files, kind, asked)


def test_a_quantity_that_names_no_unit_has_any(served: Served, files: Files) -> None:
    value = next(one["valueQuantity"]["value"] for one in files.of("Observation") if "valueQuantity" in one)
    found = [
        Counter(served.found(f"/Observation?{urlencode([('value-quantity', f'{value}{unit}'), ('_count', '500')])}"))
        for unit in ("", "|", "||")
    ]
    assert found[0] == found[1] == found[2] != Counter()


def test_several_values_are_any_of_them(served: Served, files: Files, anne: dict[str, Any]) -> None:
    codes = Counter(_codes(one["code"])[0][1] for one in files.of("Observation"))
    first, second, third = (code for code, _ in codes.most_common(3))
    found = served.found(f"/Observation?patient={anne['id']}&code={first},{SNOMED}%7C{second},none&_count=1000")
    mine = [one for one in files.of("Observation") if one["subject"]["reference"].endswith(anne["id"])]
    expected = [one["id"] for one in mine if {first, second} & {code for _, code in _codes(one["code"])}]
    assert sorted(found) == sorted(expected)
    both = served.found(f"/Observation?code={first}&code={third}")
    with_both = [one for one in files.of("Observation") if {first, third} <= {code for _, code in _codes(one["code"])}]
    assert sorted(both) == sorted(one["id"] for one in with_both)


def test_by_nhs_number_however_it_is_asked(served: Served, files: Files, anne: dict[str, Any]) -> None:
    number = next(one["value"] for one in anne["identifier"] if one["system"] == NHS_NUMBER)
    expected = [anne["id"]]
    assert served.found(f"/Patient?identifier={NHS_NUMBER}%7C{number}") == expected
    assert served.found(f"/Patient?identifier={number}") == expected
    assert served.found(f"/Patient?identifier=%7C{number}") == []
    assert served.found(f"/Patient?identifier=http://example.org%7C{number}") == []
    patients = (bundle["entry"][0]["resource"] for bundle in files.people)
    having = [one["id"] for one in patients if one.get("identifier")]
    assert served.found(f"/Patient?identifier={NHS_NUMBER}%7C") == having
    form = {"identifier": f"{NHS_NUMBER}|{number}"}
    assert served.client.post("/Patient/_search", data=form).json()["entry"][0]["resource"]["id"] == anne["id"]
    assert served.client.post("/Patient/_search?gender=none", data=form).json()["total"] == 0
    assert served.json(f"/Patient/_search?identifier={number}")["total"] == 1


def test_by_id_and_by_when_it_was_changed(served: Served, files: Files) -> None:
    ids = [one["id"] for one in files.of("Condition")][:300]
    assert sorted(served.found(f"/Condition?_id={','.join([*ids, 'none'])}&_count=200")) == sorted(ids)
    assert served.json("/Condition?_lastUpdated=lt2000")["total"] == 0
    assert served.json("/Condition?_lastUpdated=ge2020")["total"] == len(files.of("Condition"))
    day = served.json("/Condition?_count=1")["entry"][0]["resource"]["meta"]["lastUpdated"]
    assert served.json(f"/Condition?_lastUpdated={day}&_id={ids[0]}")["total"] == 1


def test_date_with_a_plus_that_was_not_escaped(served: Served, files: Files) -> None:
    when = next(one["effectiveDateTime"] for one in files.of("Observation") if "+01:00" in one["effectiveDateTime"])
    assert served.found(f"/Observation?date={when}") == served.found(f"/Observation?date={when.replace('+', '%2B')}")


def test_around_a_date(served: Served) -> None:
    assert served.json("/Patient?birthdate=ap1800")["total"] == 0
    assert served.json("/Observation?date=ap2020")["total"] > 0


def test_chains(served: Served, files: Files, anne: dict[str, Any]) -> None:
    number = anne["identifier"][0]["value"]
    mine = {one["id"] for one in files.of("Observation") if one["subject"]["reference"] == f"Patient/{anne['id']}"}
    for by in ("patient.identifier", "subject:Patient.identifier", "subject.identifier"):
        assert set(served.found(f"/Observation?{by}={number}&_count=1000")) == mine
    women = {f"Patient/{one['id']}" for one in files.of("Patient") if one["gender"] == "female"}
    hers = {one["id"] for one in files.of("Encounter") if one["subject"]["reference"] in women}
    assert set(served.found("/Encounter?patient.gender=female&_count=1000")) == hers
    not_hers = {one["id"] for one in files.of("Encounter")} - hers
    assert set(served.found("/Encounter?patient.gender:not=female&_count=1000")) == not_hers
    emergencies = {f"Encounter/{one['id']}" for one in files.of("Encounter") if one["class"]["code"] == "EMER"}
    there = {one["id"] for one in files.of("Observation") if one.get("encounter", {}).get("reference") in emergencies}
    assert set(served.found("/Observation?encounter.class=EMER&_count=1000")) == there
    two = served.found(f"/Observation?encounter.patient.identifier={number}&_count=1000")
    assert set(two) == {one for one in mine if "encounter" in files.all["Observation", one]}


def test_those_that_something_refers_to(served: Served, files: Files) -> None:
    codes = Counter(_codes(one["code"])[0][1] for one in files.of("Condition"))
    code = next(code for code, times in codes.items() if times < len(files.people))
    having = {
        one["subject"]["reference"].removeprefix("Patient/")
        for one in files.of("Condition")
        if code in {its for _, its in _codes(one["code"])}
    }
    assert set(served.found(f"/Patient?_has:Condition:patient:code={code}")) == having
    assert set(served.found(f"/Patient?_has:Condition:subject:code:not={code}")) == {
        one["subject"]["reference"].removeprefix("Patient/")
        for one in files.of("Condition")
        if code not in {its for _, its in _codes(one["code"])}
    }


@pytest.mark.parametrize("order", ["date", "-date", "status,-date", "-_id", "code", "value-quantity", "_lastUpdated"])
def test_order(served: Served, files: Files, order: str) -> None:
    found = served.found(f"/Observation?_sort={order}&_count=300")
    assert Counter(found) == Counter(one["id"] for one in files.of("Observation"))
    resources = [files.all["Observation", identity] for identity in found]
    keys: dict[str, Callable[[dict[str, Any]], Any]] = {
        "date": lambda one: slow_search.span(one["effectiveDateTime"])[0],
        "-date": lambda one: -slow_search.span(one["effectiveDateTime"])[0].timestamp(),
        "status,-date": lambda one: (one["status"], -slow_search.span(one["effectiveDateTime"])[0].timestamp()),
        "-_id": lambda one: [-ord(character) for character in one["id"]],
        "code": lambda one: min(code for _, code in _codes(one["code"])),
        "value-quantity": lambda one: one.get("valueQuantity", {"value": float("inf")})["value"],
        "_lastUpdated": lambda one: 0,
    }
    ranks = [keys[order](one) for one in resources]
    assert ranks == sorted(ranks)


QUERIES = (
    "",
    "status=final,completed,not-done",
    "date=ge2023&status:not=preliminary",
    "_sort=-date",
    "code:not=none&_sort=code",
)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(("kind", "count"), [("Immunization", 1), ("Observation", 97), ("Observation", 500)])
def test_pages_have_each_once(served: Served, files: Files, query: str, kind: str, count: int) -> None:
    if kind == "Immunization":
        query = query.replace("code", "vaccine-code")
    ids: list[str] = []
    for page in served.pages(f"/{kind}?{query}&_count={count}"):
        assert len(page["entry"]) <= count
        ids += [entry["resource"]["id"] for entry in page["entry"]]
        links = {link["relation"]: link["url"] for link in page["link"]}
        assert ("first" in links) == (len(ids) > count)
        if len(ids) > 3 * count:
            continue
        assert served.json(links["self"])["entry"] == page["entry"]
        if "first" in links:
            assert served.json(links["first"])["entry"][0]["resource"]["id"] == ids[0]
    assert len(ids) == len(set(ids)) == page["total"] > count
    assert set(ids) <= {one["id"] for one in files.of(kind)}
    if "date=" not in query:
        assert len(ids) == len(files.of(kind))


def test_counts_and_totals(served: Served, files: Files) -> None:
    of_all = len(files.of("Observation"))
    for asked in ("_summary=count", "_count=0"):
        page = served.json(f"/Observation?{asked}")
        assert page["total"] == of_all
        assert "entry" not in page
        assert [link["relation"] for link in page["link"]] == ["self"]
    assert "total" not in served.json("/Observation?_total=none")
    assert served.json("/Observation?_total=accurate")["total"] == of_all
    assert len(served.json("/Observation")["entry"]) == 50
    assert len(served.json("/Observation?_count=100000")["entry"]) == min(of_all, 1000)


def test_answers_are_bundles_of_fhir(served: Served, files: Files) -> None:
    for kind in KINDS:
        page = served.json(f"/{kind}?_count=20")
        Bundle.model_validate(page)
        assert page["type"] == "searchset"
        for entry in page.get("entry", ()):
            resource = entry["resource"]
            assert entry["fullUrl"] == f"{served.base}/{kind}/{resource['id']}"
            assert bare(resource) == files.all[kind, resource["id"]]
    empty = served.json("/Patient?family=nobody")
    assert "entry" not in empty
    Bundle.model_validate(empty)


def test_what_comes_along(served: Served, files: Files, anne: dict[str, Any]) -> None:
    page = served.json(
        f"/Encounter?patient={anne['id']}&_include=Encounter:location&_include=Encounter:patient&_count=9"
    )
    found = [entry["resource"] for entry in page["entry"] if entry["search"]["mode"] == "match"]
    along = [
        f"{e['resource']['resourceType']}/{e['resource']['id']}"
        for e in page["entry"]
        if e["search"]["mode"] == "include"
    ]
    expected = {place["location"]["reference"] for one in found for place in one.get("location", ())}
    assert Counter(along) == Counter(expected | {f"Patient/{anne['id']}"})

    page = served.json(f"/Patient?_id={anne['id']}&_revinclude=Condition:patient&_revinclude=Flag:subject")
    along = [
        f"{e['resource']['resourceType']}/{e['resource']['id']}"
        for e in page["entry"]
        if e["search"]["mode"] == "include"
    ]
    hers = f"Patient/{anne['id']}"
    expected = {
        f"{kind}/{one['id']}"
        for kind in ("Condition", "Flag")
        for one in files.of(kind)
        if one["subject"]["reference"] == hers
    }
    assert Counter(along) == Counter(expected)
    assert page["total"] == 1

    page = served.json(f"/Patient?_id={anne['id']}&_include=*&_include:iterate=PractitionerRole:practitioner")
    kinds = Counter(e["resource"]["resourceType"] for e in page["entry"] if e["search"]["mode"] == "include")
    assert kinds == {"Organization": 1, "PractitionerRole": 1, "Practitioner": 1}
    once = served.json(f"/Patient?_id={anne['id']}&_include=*&_include=PractitionerRole:practitioner")
    assert {e["resource"]["resourceType"] for e in once["entry"]} == {"Patient", "Organization", "PractitionerRole"}


def test_in_the_compartment_of_a_patient(served: Served, anne: dict[str, Any]) -> None:
    asked = served.found(f"/Observation?patient={anne['id']}&_count=1000")
    assert served.found(f"/Patient/{anne['id']}/Observation?_count=1000") == asked


def test_part_of_what_is_found(served: Served) -> None:
    entries = served.json("/Observation?_elements=code,value&_count=20")["entry"]
    for entry in entries:
        assert set(entry["resource"]) <= {
            "resourceType",
            "id",
            "meta",
            "status",
            "code",
            "valueQuantity",
            "valueCodeableConcept",
        } | {key for key in entry["resource"] if key.startswith("value")}
        assert entry["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert any("valueQuantity" in entry["resource"] for entry in entries)
    for summary in ("true", "text", "data"):
        Bundle.model_validate(served.json(f"/Observation?_summary={summary}&_count=5"))


def test_unknown_parameters_are_told_of_or_refused(served: Served, files: Files) -> None:
    page = served.json("/Condition?cod=1&_bogus=2&clinical-status=active&_count=1")
    assert page["entry"][-1]["search"]["mode"] == "outcome"
    said = [issue["diagnostics"] for issue in page["entry"][-1]["resource"]["issue"]]
    assert any("'cod' (nearest: code)" in one for one in said)
    assert any("_bogus" in one for one in said)
    assert page["link"][0]["url"] == f"{served.base}/Condition?clinical-status=active&_count=1"
    Bundle.model_validate(page)
    refused = served.get("/Condition?cod=1", Prefer="handling=strict")
    assert refused.status_code == 400
    assert refused.json()["issue"][0]["severity"] == "error"
    assert served.get("/Condition?cod=1", Prefer="return=minimal; handling=lenient").status_code == 200


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/Observation?date=yesterday", "found 'yesterday'"),
        ("/Observation?date=2024-13", "found '2024-13'"),
        ("/Observation?date=xx2024", "found 'xx2024'"),
        ("/Observation?date=", "there is no value"),
        ("/Observation?value-quantity=high", "expected a number"),
        ("/Observation?value-quantity=nan", "expected a number"),
        ("/Observation?value-quantity=5|a|b|c", "expected a number"),
        ("/Observation?code:below=1", ":below is not supported"),
        ("/Observation?code:missing=perhaps", "expected true or false"),
        ("/Patient?family=-", "no letter or digit"),
        ("/Patient?_id:exact=1", "_id:exact has no modifiers"),
        ("/Observation?code.text=1", "code is no reference"),
        ("/Observation?subject:missing.name=1", ":missing is no type"),
        ("/Observation?subject:Patient.nickname=1", "no search parameter 'nickname'"),
        ("/Observation?encounter.appointment.patient.organization.name=x", "a chain of more than"),
        ("/Patient?_has:Condition=1", "_has:TYPE:REFERENCE:PARAMETER"),
        ("/Patient?_has:Condition:code:code=1", "no search parameter 'code' that"),
        ("/Patient?_has:Condition:patient:cod=1", "no search parameter 'cod' that"),
        ("/Patient?_count=many", "_count: expected a whole number; found 'many'"),
        ("/Patient?_count=-1", "_count: expected"),
        ("/Patient?_count=1&_count=2", "_count is there more than once"),
        ("/Patient?_summary=all", "_summary: expected one of"),
        ("/Patient?_total=some", "_total: expected one of"),
        ("/Patient?_sort=shoe-size", "_sort: Patient has no search parameter 'shoe-size'"),
        ("/Patient?_sort=organization", "organization is a reference"),
        ("/Patient?_page=2", "_page: '2' is not of a link"),
        ("/Patient?_page=after-3&_sort=family", "_page is that of another search"),
        ("/Patient?_include=Patient:shoes", "Patient has no reference 'shoes'"),
        ("/Patient?_include=shoes", "expected TYPE:REFERENCE"),
        ("/Patient?_revinclude=Condition:*", "name one reference"),
        ("/Patient?_include:often=Patient:organization", ":often is not supported"),
        (f"/Observation?code={','.join(map(str, range(500)))}", "at most 400"),
    ],
)
def test_what_cannot_be_searched_for(served: Served, path: str, words: str) -> None:
    answer = served.get(path.replace("|", "%7C"))
    assert answer.status_code == 400, answer.text
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["severity"] == "error"
    assert words in outcome["issue"][0]["diagnostics"]


def test_more_criteria_than_can_be_looked_for_at_once(served: Served) -> None:
    criteria = "&".join(["code=" + ",".join(map(str, range(400)))] * 500)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = served.client.post("/Observation/_search", content=criteria, headers=form)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["code"] == "too-costly"


def test_strange_input_is_never_an_error_of_the_server(served: Served) -> None:
    values = [
        "%00",
        "%FF%FE",
        "'",
        '"',
        "%27%20OR%201=1--",
        "a" * 3000,
        "\\",
        "|",
        "%7C%7C%7C",
        ",",
        ",,",
        "$",
        "%25",
        "%F0%9F%98%80",
    ]
    for value in values:
        for name in (
            "family",
            "identifier",
            "birthdate",
            "organization",
            "_id",
            "_sort",
            "_elements",
            "_has:x:y:z",
            "x.y",
        ):
            answer = served.get(f"/Patient?{name}={value}")
            assert answer.status_code in (200, 400), (name, value, answer.text)
        assert served.get(f"/Patient/{value}").status_code in (200, 404), value
