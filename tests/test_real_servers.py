"""Real servers take what is made, hold it as it was written, and find it again: HAPI FHIR JPA, and sekmet-fhir.

HAPI refuses a reference to what is not there, so that a load which it takes whole has none. sekmet takes anything;
there the references are looked up here.
"""

from __future__ import annotations

import base64
import itertools
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from commands import Command
from servers.hapi import Hapi
from servers.sekmet import Sekmet

from fhirsynth import Population
from fhirsynth.loading.comparing import differences
from fhirsynth.loading.entries import Entry, entry, parse, references, written
from fhirsynth.loading.loader import Job, Summary, load
from fhirsynth.loading.source import find
from fhirsynth.loading.target import target

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
SENDS_FHIR = {"Content-Type": "application/fhir+json"}
Json = dict[str, Any]
RealServer = Hapi | Sekmet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five people and one who died, with the letters about their hospital stays."""
    out = tmp_path_factory.mktemp("real-servers") / "out"
    Population(n=5, seed=1, years=1, age=(60, 90)).write(out, letters=True)
    return out


class Made(NamedTuple):
    """What is in the folder: places and staff, what each person has, and the letters as documents."""

    places: list[Entry]
    people: list[list[Entry]]
    documents: list[Entry]

    @property
    def resources(self) -> dict[str, Json]:
        """All but the documents, by name."""
        return dict(itertools.chain(self.places, *self.people))


@pytest.fixture(scope="module")
def made(folder: Path) -> Made:
    places, *people = (unit.read() for unit in find(folder).units())
    documents = [entry(parse(file.read_bytes())) for file in sorted((folder / "letters" / "documents").iterdir())]
    return Made(places, people, documents)


@pytest.fixture(scope="module", params=["hapi", "sekmet"])
def server(request: pytest.FixtureRequest) -> RealServer:
    """Each server in turn, empty at first."""
    real: RealServer = request.getfixturevalue(request.param)
    real.reset()
    return real


@pytest.fixture(scope="module")
def client(server: RealServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base, timeout=300, headers={"Cache-Control": "no-cache"}) as made:
        yield made


@pytest.fixture(scope="module")
def loaded(server: RealServer, folder: Path) -> Summary:
    """What came of loading the folder into the empty server."""
    return load(Job(folder, target(server.base)))


def ask(client: httpx.Client, path: str, **params: str) -> Any:
    """What the server answers to a question that it can answer, decimals with their digits."""
    answer = client.get(path, params=params or None)
    assert answer.is_success, answer.text
    return parse(answer.content)


def found(client: httpx.Client, path: str, **params: str) -> Iterator[Json]:
    """The resources of all pages of a search."""
    page = ask(client, path, **params)
    while True:
        for item in page.get("entry", []):
            yield item["resource"]
        following = [link["url"] for link in page["link"] if link["relation"] == "next"] if "link" in page else []
        if not following:
            return
        page = ask(client, following[0])


def names(resources: Iterator[Json]) -> list[str]:
    return sorted(entry(resource).key for resource in resources)


def held(client: httpx.Client, made: Made) -> dict[str, Json]:
    """All that the server holds of the types that were loaded."""
    kinds = sorted({name.partition("/")[0] for name in made.resources})
    resources = itertools.chain.from_iterable(found(client, f"/{kind}", _count="200") for kind in kinds)
    return {entry(resource).key: resource for resource in resources}


@pytest.fixture(scope="module")
def on_server(client: httpx.Client, made: Made, loaded: Summary) -> dict[str, Json]:
    """What the server holds after the load."""
    return held(client, made)


def unlike(server: RealServer, made: Made, on_server: dict[str, Json]) -> list[str]:
    """Where what the server holds differs from what was written, in words."""
    assert on_server.keys() == made.resources.keys()
    return [
        f"{name} {difference}"
        for name, resource in made.resources.items()
        for difference in differences(resource, on_server[name], server.base)
    ]


def test_a_server_takes_everything_and_holds_it_as_it_was_written(
    server: RealServer, client: httpx.Client, made: Made, loaded: Summary, on_server: dict[str, Json]
) -> None:
    assert loaded.is_sound, loaded.refused[:5]
    assert loaded.people == loaded.done == len(made.people)
    expected = Counter(name.partition("/")[0] for name in made.resources)
    assert loaded.loaded == expected and loaded.created == expected.total()
    assert {kind: ask(client, f"/{kind}", _summary="count")["total"] for kind in expected} == expected
    assert unlike(server, made, on_server) == []


def test_every_reference_leads_to_what_is_there(on_server: dict[str, Json]) -> None:
    named = {name for resource in on_server.values() for name in references(resource) if not name.startswith("#")}
    assert named and named <= on_server.keys()


def test_only_hapi_refuses_a_reference_to_what_is_not_there(
    server: RealServer, client: httpx.Client, made: Made, loaded: Summary
) -> None:
    condition = next(one.resource for person in made.people for one in person if one.kind == "Condition")
    stray = condition | {"id": "stray", "subject": {"reference": "Patient/nobody"}}
    answer = client.put("/Condition/stray", content=written(stray), headers=SENDS_FHIR)
    if server.kind == "hapi":
        assert answer.status_code == 400 and "HAPI-1094" in answer.text
    else:
        assert answer.status_code == 201
        client.delete("/Condition/stray").raise_for_status()


def test_people_are_found_by_their_nhs_number(client: httpx.Client, made: Made, loaded: Summary) -> None:
    searched = 0
    for person in made.people:
        patient = person[0]
        assert patient.kind == "Patient"
        for identifier in patient.resource["identifier"]:
            if identifier["system"] == NHS_NUMBER:
                asked = f"{NHS_NUMBER}|{identifier['value']}"
                assert names(found(client, "/Patient", identifier=asked)) == [patient.key]
                searched += 1
    assert searched >= 5
    assert not names(found(client, "/Patient", identifier=f"{NHS_NUMBER}|9990000000"))


def test_everything_of_a_person_is_what_their_bundle_held(
    server: RealServer, client: httpx.Client, made: Made, loaded: Summary
) -> None:
    places = {place.key for place in made.places}
    for person in made.people:
        on_server = set(names(found(client, f"/{person[0].key}/$everything", _count="200")))
        own = {one.key for one in person}
        # HAPI leaves out lists, which may name many people.
        assert own - on_server == {one.key for one in person if one.kind == "List" and server.kind == "hapi"}
        assert on_server - own <= places


def test_results_are_found_by_person_and_code(client: httpx.Client, made: Made, loaded: Summary) -> None:
    for person in made.people:
        observations = [one for one in person if one.kind == "Observation"]
        codings = Counter(
            f"{coding['system']}|{coding['code']}" for one in observations for coding in one.resource["code"]["coding"]
        )
        code, number = codings.most_common(1)[0]
        expected = [
            one.key
            for one in observations
            if code in {f"{coding['system']}|{coding['code']}" for coding in one.resource["code"]["coding"]}
        ]
        assert len(expected) == number
        assert names(found(client, "/Observation", patient=person[0].key, code=code, _count="50")) == sorted(expected)


def test_letters_are_found_and_say_what_their_files_say(
    client: httpx.Client, folder: Path, made: Made, loaded: Summary
) -> None:
    read = set()
    for person in made.people:
        own = [one.key for one in person if one.kind == "DocumentReference"]
        references_found = list(found(client, "/DocumentReference", patient=person[0].key))
        assert names(iter(references_found)) == sorted(own)
        for reference in references_found:
            read |= {
                base64.b64decode(content["attachment"]["data"])
                for content in reference["content"]
                if content["attachment"]["contentType"].startswith("text/plain")
            }
    assert read == {file.read_bytes() for file in (folder / "letters").glob("*.txt")}
    assert len(read) == 2 * len(made.documents) > 0


def test_a_letter_is_a_document_that_a_server_keeps(
    server: RealServer, client: httpx.Client, made: Made, loaded: Summary
) -> None:
    assert made.documents
    for again in range(2):
        for document in made.documents:
            answer = client.put(f"/{document.key}", content=written(document.resource), headers=SENDS_FHIR)
            assert answer.status_code == (200 if again else 201), answer.text
    for document in made.documents:
        back = ask(client, f"/{document.key}")
        assert differences(document.resource, back, server.base) == []
        assert back["meta"]["versionId"] == ("1" if server.kind == "hapi" else "2")


def test_hapi_keeps_the_digits_of_decimals_and_sekmet_their_value(
    server: RealServer, client: httpx.Client, made: Made, loaded: Summary
) -> None:
    observation = next(one.resource for person in made.people for one in person if "valueQuantity" in one.resource)
    for number, (sent, as_float) in enumerate({"70.50": "70.5", "5.400": "5.4", "0.10": "0.1", "37.0": "37.0"}.items()):
        name = f"Observation/digits-{number}"
        quantity = observation["valueQuantity"] | {"value": Decimal(sent)}
        changed = observation | {"id": f"digits-{number}", "valueQuantity": quantity}
        client.put(f"/{name}", content=written(changed), headers=SENDS_FHIR).raise_for_status()
        back = ask(client, f"/{name}")
        assert str(back["valueQuantity"]["value"]) == (sent if server.kind == "hapi" else as_float)
        told = [str(each) for each in differences(changed, back, server.base)]
        if server.kind == "hapi" or sent == as_float:
            assert told == []
        else:
            assert told == [f"Observation.valueQuantity.value: sent {sent}, found {as_float}"]
        client.delete(f"/{name}").raise_for_status()


def test_loading_again_changes_nothing(
    server: RealServer, client: httpx.Client, folder: Path, made: Made, loaded: Summary, run: Command
) -> None:
    ended = run("load", folder, server.base, "--verify", "--sample", 3)
    assert ended.code == 0, ended.err
    now = held(client, made)
    assert unlike(server, made, now) == []
    versions = Counter(resource["meta"]["versionId"] for resource in now.values())
    # HAPI sees that a resource is unchanged; sekmet counts how often it was put.
    assert versions == {"1" if server.kind == "hapi" else "2": len(made.resources)}


def test_one_server_is_shared_by_all_who_name_its_folder(hapi: Hapi) -> None:
    other = Hapi(hapi.folder)
    assert other.base == hapi.base
    other.close()
    assert httpx.get(f"{hapi.base}/metadata", timeout=300).json()["software"]["version"] == "8.8.0"
