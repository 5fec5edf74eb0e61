"""The endpoint, but for searches: every resource as it was written, versions, formats, errors, operations."""

from __future__ import annotations

import json
import re
from collections import Counter
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationoutcome import OperationOutcome
from served import Files, Served, bare

pytest_plugins = ["served_fixtures"]


@pytest.fixture(scope="module")
def patient(files: Files) -> dict[str, Any]:
    return files.people[0]["entry"][0]["resource"]


def test_every_resource_is_read_as_it_was_written(served: Served, files: Files) -> None:
    assert len(files.all) > 1000
    for (kind, identity), written in files.all.items():
        answer = served.get(f"/{kind}/{identity}")
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert re.search(rb'"lastUpdated":"[^"]+",', answer.content), "numbers and their order are compared as text"
        assert json.dumps(bare(found)) == json.dumps(written)
        assert answer.headers["etag"] == f'W/"{found["meta"]["versionId"]}"'


def test_version_is_that_of_the_content_and_is_not_sent_again(served: Served, patient: dict[str, Any]) -> None:
    path = f"/Patient/{patient['id']}"
    answer = served.get(path)
    meta, tag = answer.json()["meta"], answer.headers["etag"]
    assert answer.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert parsedate_to_datetime(answer.headers["last-modified"]).isoformat() == meta["lastUpdated"].replace(
        "Z", "+00:00"
    )
    assert served.get(path, If_None_Match=tag).status_code == 304
    assert served.get(path, If_None_Match=f'"x", {tag}').content == b""
    assert served.get(path, If_None_Match='W/"x"').status_code == 200
    assert served.get(path, If_Modified_Since=answer.headers["last-modified"]).status_code == 304
    assert served.get(path, If_Modified_Since="Thu, 01 Jan 1970 00:00:00 GMT").status_code == 200
    assert served.get(path, If_Modified_Since="yesterday").status_code == 200
    assert served.get(answer.headers["content-location"]).json() == answer.json()
    assert served.get(f"{path}/_history/1").status_code == 404


def test_head_and_gzip(served: Served, patient: dict[str, Any]) -> None:
    path = f"/Patient/{patient['id']}"
    head = served.client.head(path)
    assert head.status_code == 200
    assert head.content == b""
    packed = served.get(path, Accept_Encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == served.get(path, Accept_Encoding="identity").json()
    assert "content-encoding" not in served.get(path, Accept_Encoding="identity").headers


@pytest.mark.parametrize(
    ("accept", "status", "media_type"),
    [
        ("*/*", 200, "application/fhir+json"),
        ("application/fhir+json", 200, "application/fhir+json"),
        ("application/fhir+json; fhirVersion=4.0", 200, "application/fhir+json"),
        ("application/json", 200, "application/json"),
        ("application/fhir+xml;q=1, application/json;q=0.5", 200, "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 200, "application/fhir+json"),
        ("application/fhir+xml", 406, "application/fhir+json"),
        ("application/fhir+json;q=0", 406, "application/fhir+json"),
        ("application/fhir+json; fhirVersion=3.0", 406, "application/fhir+json"),
    ],
)
def test_accept(served: Served, patient: dict[str, Any], accept: str, status: int, media_type: str) -> None:
    answer = served.get(f"/Patient/{patient['id']}", Accept=accept)
    assert answer.status_code == status
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert answer.json()["resourceType"] == ("Patient" if status == 200 else "OperationOutcome")


@pytest.mark.parametrize(
    ("text", "status"),
    [("json", 200), ("application/fhir+json", 200), ("application/fhir%2Bjson", 200), ("xml", 406), ("ttl", 406)],
)
def test_format_has_the_last_word(served: Served, patient: dict[str, Any], text: str, status: int) -> None:
    answer = served.get(f"/Patient/{patient['id']}?_format={text}", Accept="application/fhir+xml")
    assert answer.status_code == status


def test_format_in_a_form(served: Served) -> None:
    assert served.client.post("/Patient/_search", data={"_format": "xml"}).status_code == 406
    assert served.client.post("/Patient/_search", data={"_pretty": "true"}).text.startswith('{\n  "resourceType"')


def test_pretty(served: Served, patient: dict[str, Any]) -> None:
    path = f"/Patient/{patient['id']}"
    answer = served.get(f"{path}?_pretty=true")
    assert answer.text.startswith('{\n  "resourceType": "Patient"')
    assert answer.json() == served.json(path)


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "words"),
    [
        ("GET", "/Patient/nobody", 404, "not-found", "there is no Patient/nobody"),
        ("GET", "/Patiant", 404, "not-supported", "nearest: Patient"),
        ("GET", "/Patiant/1", 404, "not-supported", "'Patiant' is no type of resource"),
        ("GET", "/CarePlan?patient=1", 404, "not-supported", "'CarePlan'"),
        ("GET", "/Patient/1/2/3/4", 404, "not-found", "/Patient/1/2/3/4 is not an address"),
        ("GET", "/Patient/1/$frobnicate", 404, "not-supported", "$frobnicate"),
        ("GET", "/Patient/$frobnicate", 404, "not-supported", "Patient/$frobnicate"),
        ("GET", "/Patient/1/_history", 404, "not-supported", "/Patient/1/_history is not supported here"),
        ("GET", "/_history", 404, "not-supported", "/_history is not supported here"),
        ("GET", "/Patient/nobody/$everything", 404, "not-found", "Patient/nobody"),
        ("GET", "/Patient/1/Organization", 404, "not-supported", "Organization is not of a patient's record"),
        ("GET", "/Composition/none/$document", 404, "not-found", "Composition/none"),
        ("GET", "/Patient/nobody/$everything?_type=Patiant", 400, "not-supported", "'Patiant'"),
        ("GET", "/$export?_since=then", 400, "invalid", "found 'then'"),
        ("GET", "/", 404, "not-found", "/metadata"),
        ("PUT", "/Patient/1", 405, "not-supported", "read-only"),
        ("PATCH", "/Patient/1", 405, "not-supported", "read-only"),
        ("DELETE", "/Patient/1", 405, "not-supported", "read-only"),
        ("POST", "/Patient", 405, "not-supported", "read-only"),
        ("POST", "/", 405, "not-supported", "read-only"),
    ],
)
def test_errors_are_outcomes(served: Served, method: str, path: str, status: int, code: str, words: str) -> None:
    answer = served.client.request(method, path, headers={"Accept": "application/fhir+json"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/fhir+json; charset=utf-8"
    outcome = OperationOutcome.model_validate(answer.json())
    assert (outcome.issue[0].severity, outcome.issue[0].code) == ("error", code)
    assert words in outcome.issue[0].diagnostics
    assert ("allow" in answer.headers) == (status == 405)


def test_forms_that_are_none(served: Served) -> None:
    assert served.client.post("/Patient/_search", json={"family": "x"}).status_code == 415
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert served.client.post("/Patient/_search", content=b"family=\xff", headers=form).status_code == 400
    assert served.client.post("/Patient/_search", content=b"x" * (2 << 20), headers=form).status_code == 413


def test_browsers_of_other_sites_may_ask(served: Served, patient: dict[str, Any]) -> None:
    asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    more = {"Access-Control-Request-Headers": "prefer", "Access-Control-Request-Private-Network": "true"}
    before = served.client.options("/Patient", headers=asks | more)
    assert before.status_code == 200
    assert before.headers["access-control-allow-origin"] == "*"
    assert before.headers["access-control-allow-headers"] == "prefer"
    assert before.headers["access-control-allow-private-network"] == "true"
    answer = served.get(f"/Patient/{patient['id']}", Origin="https://app.example")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "ETag" in answer.headers["access-control-expose-headers"]
    assert served.get("/Patient/nobody", Origin="https://app.example").headers["access-control-allow-origin"] == "*"


def test_it_says_that_the_data_are_synthetic(served: Served) -> None:
    assert "SYNTHETIC" in served.said
    answer = served.get("/metadata")
    assert "SYNTHETIC" in answer.headers["server"]
    statement = CapabilityStatement.model_validate(answer.json())
    assert "SYNTHETIC" in statement.title
    assert "SYNTHETIC" in statement.description
    page = served.get("/", Accept="text/html,*/*;q=0.8")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "SYNTHETIC" in page.text


def test_page_for_browsers_leads_somewhere(served: Served) -> None:
    links = re.findall(r'href="([^"]+)"', served.get("/", Accept="text/html").text)
    assert len(links) > 20
    for link in links:
        assert served.get(link.replace("&amp;", "&")).status_code == 200


def test_capability_statement_says_what_is_there(served: Served, files: Files) -> None:
    statement = served.json("/metadata")
    assert statement["fhirVersion"] == "4.0.1"
    assert statement["implementation"]["url"] == served.base
    kinds = {resource["type"]: resource for resource in statement["rest"][0]["resource"]}
    assert {kind for kind, _ in files.all} <= set(kinds)
    assert {code["code"] for kind in kinds.values() for code in kind["interaction"]} == {"read", "vread", "search-type"}
    for kind, told in kinds.items():
        profiles = {profile for resource in files.of(kind) for profile in resource["meta"].get("profile", ())}
        assert set(told.get("supportedProfile", ())) == profiles
    assert kinds["Patient"]["operation"][0]["name"] == "everything"
    assert "Observation:encounter" in kinds["Observation"]["searchInclude"]
    assert "Observation:patient" in kinds["Patient"]["searchRevInclude"]
    assert "Observation:specimen" not in kinds["Patient"]["searchRevInclude"]


def test_every_operation_that_is_told_of_is_there(served: Served, files: Files, patient: dict[str, Any]) -> None:
    composition = files.documents[0]["entry"][0]["resource"]["id"]
    paths = {"everything": f"/{patient['id']}/$everything", "document": f"/{composition}/$document"}
    (rest,) = served.json("/metadata")["rest"]
    told = [("", one) for one in rest["operation"]]
    told += [(f"/{kind['type']}", one) for kind in rest["resource"] for one in kind.get("operation", ())]
    assert len(told) == 4
    for base, operation in told:
        answer = served.get(base + paths.get(operation["name"], f"/${operation['name']}"))
        assert answer.status_code == (202 if operation["name"] == "export" else 200)
        assert operation["definition"].endswith(operation["name"])


def test_every_parameter_and_include_that_is_told_of_is_supported(served: Served) -> None:
    values = {"date": "2024", "quantity": "5", "token": "x", "reference": "x", "string": "x", "uri": "x"}
    for resource in served.json("/metadata")["rest"][0]["resource"]:
        kind = resource["type"]
        criteria = "&".join(f"{one['name']}={values[one['type']]}" for one in resource["searchParam"])
        includes = [f"_include={one}" for one in resource.get("searchInclude", ())]
        includes += [f"_revinclude={one}" for one in resource.get("searchRevInclude", ())]
        answer = served.get(f"/{kind}?{'&'.join([criteria, *includes])}", Prefer="handling=strict")
        assert answer.status_code == 200, answer.text


def test_everything_is_the_bundle_of_the_person(served: Served, files: Files) -> None:
    letters = {
        bundle["entry"][0]["resource"]["id"]: bundle["entry"][0]["resource"]["subject"]["reference"]
        for bundle in files.documents
    }
    for written in files.people:
        resources = [entry["resource"] for entry in written["entry"]]
        path = f"/Patient/{resources[0]['id']}/$everything"
        bundle = served.json(path)
        found = [entry["resource"] for entry in bundle["entry"] if entry["search"]["mode"] == "match"]
        mine = [bare(resource) for resource in found if resource["resourceType"] != "Composition"]
        assert mine == resources
        compositions = {resource["id"] for resource in found if resource["resourceType"] == "Composition"}
        assert compositions == {letter for letter, whose in letters.items() if whose == f"Patient/{resources[0]['id']}"}
        assert bundle["total"] == len(found)
        assert _dangling(bundle) == set()
    Bundle.model_validate(bundle)


def _dangling(bundle: dict[str, Any]) -> set[str]:
    """What the resources of a bundle refer to that is not in it."""
    there = {f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in bundle["entry"]}
    return set(re.findall(r'"reference": "([A-Z][^"#]+)"', json.dumps(bundle))) - there


def test_everything_in_pages_and_in_part(served: Served, files: Files) -> None:
    patient = files.people[1]["entry"][0]["resource"]["id"]
    whole = [
        (entry["resource"]["resourceType"], entry["resource"]["id"])
        for entry in served.json(f"/Patient/{patient}/$everything")["entry"]
        if entry["search"]["mode"] == "match"
    ]
    paged: list[tuple[str, str]] = []
    pages = 0
    for page in served.pages(f"/Patient/{patient}/$everything?_count=37"):
        pages += 1
        assert page["total"] == len(whole)
        entries = [entry for entry in page["entry"] if entry["search"]["mode"] == "match"]
        assert len(entries) <= 37
        paged += [(entry["resource"]["resourceType"], entry["resource"]["id"]) for entry in entries]
    assert pages == -(-len(whole) // 37)
    assert paged == whole
    part = served.json(f"/Patient/{patient}/$everything?_type=Encounter,Condition")
    assert {entry["resource"]["resourceType"] for entry in part["entry"]} == {"Encounter", "Condition"}
    assert part["total"] == sum(kind in ("Encounter", "Condition") for kind, _ in whole)
    assert served.json(f"/Patient/{patient}/$everything?_since=2100-01-01")["total"] == 0
    warned = served.json(f"/Patient/{patient}/$everything?start=2024-01-01")["entry"][-1]
    assert (warned["search"]["mode"], warned["resource"]["issue"][0]["severity"]) == ("outcome", "warning")
    strict = served.get(f"/Patient/{patient}/$everything?start=2024-01-01", Prefer="handling=strict")
    assert strict.status_code == 400


def test_document_of_a_letter(served: Served, files: Files) -> None:
    assert files.documents
    for written in files.documents:
        composition = written["entry"][0]["resource"]["id"]
        assert bare(served.json(f"/Composition/{composition}/$document")) == written
    assert served.found(f"/Bundle?composition={composition}") == [written["id"]]


def test_export_gives_all_resources(served: Served, files: Files) -> None:
    begun = served.get("/$export", Prefer="respond-async", Accept="application/fhir+json")
    assert begun.status_code == 202
    manifest = served.json(begun.headers["content-location"])
    assert manifest["request"] == f"{served.base}/$export"
    assert manifest["requiresAccessToken"] is False
    found = Counter()
    for output in manifest["output"]:
        answer = served.get(output["url"])
        assert answer.headers["content-type"].startswith("application/fhir+ndjson")
        for line in answer.text.splitlines():
            resource = json.loads(line)
            assert resource["resourceType"] == output["type"]
            assert bare(resource) == files.all[resource["resourceType"], resource["id"]]
            found[resource["resourceType"], resource["id"]] += 1
    assert found == Counter(files.all.keys())
    assert served.client.delete(begun.headers["content-location"]).status_code == 202


def test_export_of_what_cannot_be_chosen(served: Served) -> None:
    said = served.get("/$export?_typeFilter=Patient%3Fgender%3Dmale&_outputFormat=application/fhir+ndjson")
    assert said.status_code == 202
    assert [issue["severity"] for issue in said.json()["issue"]] == ["information", "warning"]
    assert served.get("/$export?_typeFilter=x", Prefer="respond-async, handling=strict").status_code == 400
    parquet = served.get("/$export?_outputFormat=application/vnd.apache.parquet")
    assert parquet.status_code == 400
    assert "expected one of application/fhir+ndjson" in parquet.json()["issue"][0]["diagnostics"]


def test_export_of_a_part(served: Served, files: Files) -> None:
    begun = served.get("/$export?_type=Patient,Observation&_since=2100-01-01")
    outputs = {one["type"]: one["url"] for one in served.json(begun.headers["content-location"])["output"]}
    assert set(outputs) == {"Patient", "Observation"}
    assert served.get(outputs["Patient"]).content == b""
    people = served.json(served.get("/Patient/$export").headers["content-location"])
    kinds = {one["type"] for one in people["output"]}
    assert {"Patient", "Observation", "Provenance", "Composition"} <= kinds
    assert not kinds & {"Organization", "Practitioner", "PractitionerRole", "Location", "HealthcareService", "Bundle"}


def test_part_of_a_resource(served: Served, patient: dict[str, Any]) -> None:
    path = f"/Patient/{patient['id']}"
    part = served.json(f"{path}?_elements=name,birthDate")
    assert set(part) == {"resourceType", "id", "meta", "active", "name", "birthDate"} & {*patient}
    assert "SUBSETTED" in {tag["code"] for tag in part["meta"]["tag"]}
    assert set(served.json(f"{path}?_summary=text")) >= {"text", "id"}
    assert "text" not in served.json(f"{path}?_summary=data")
    summary = served.json(f"{path}?_summary=true")
    assert "gender" in summary
    assert "communication" not in summary
    assert "text" not in summary


def test_many_at_once(served: Served, files: Files) -> None:
    """Several threads answer, each with a connection of its own."""
    import concurrent.futures

    patients = [bundle["entry"][0]["resource"]["id"] for bundle in files.people] * 6
    expected = {
        patient: sum(resource["subject"]["reference"] == f"Patient/{patient}" for resource in files.of("Observation"))
        for patient in set(patients)
    }

    def asked(patient: str) -> int:
        answer = httpx.get(f"{served.base}/Observation?patient={patient}&_count=1&_sort=date", timeout=60)
        return int(answer.json()["total"])

    with concurrent.futures.ThreadPoolExecutor(8) as engine:
        assert list(engine.map(asked, patients)) == [expected[patient] for patient in patients]
