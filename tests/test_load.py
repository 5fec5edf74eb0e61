"""`fhirsynth load` into a real server: all of it there, what was refused told, and one clear line when it cannot be."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from commands import Command
from faulty import Told, Watched, answer, body_of, outcome, serving, watched
from servers.sekmet import Sekmet
from starlette.types import ASGIApp, Receive, Scope, Send

from fhirsynth import Population
from fhirsynth.loading import loader, sending
from fhirsynth.loading.loader import Job
from fhirsynth.loading.target import target

POPULATION = Population(n=5, seed=21, age=(1, 60), years=1)
SECRET = "t0ken-that-nobody-may-see"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("load") / "out"
    POPULATION.write(out)
    return out


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    """A copy, which no test has loaded."""
    return Path(shutil.copytree(made, tmp_path / "out"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    with watched(tmp_path_factory.mktemp("watched")) as made:
        yield made


def resources(out: Path) -> dict[str, Any]:
    """Everything in a folder of bundles, by `Type/id`."""
    bundles = [json.loads(file.read_bytes()) for file in [out / "organisations.json", *(out / "people").iterdir()]]
    found = [entry["resource"] for bundle in bundles for entry in bundle["entry"]]
    return {f"{item['resourceType']}/{item['id']}": item for item in found}


def spoil(out: Path, kind: str, **changes: Any) -> tuple[str, str]:
    """Change a resource of the first person who has one, so that no server takes it; its file and its name."""
    for file in sorted((out / "people").iterdir()):
        bundle = json.loads(file.read_bytes())
        for entry in bundle["entry"]:
            if entry["resource"]["resourceType"] == kind:
                entry["resource"] |= changes
                file.write_text(json.dumps(bundle))
                return f"people/{file.name}", f"{kind}/{entry['resource']['id']}"
    raise LookupError(kind)


def with_all_that_refer_to(name: str, expected: dict[str, Any]) -> set[str]:
    """A resource, what refers to it, what refers to that, and so on, by name."""
    waiting, found = [name], {name}
    while waiting:
        wanted = waiting.pop()
        more = {key for key, item in expected.items() if f'"{wanted}"' in json.dumps(item)} - found
        found |= more
        waiting += more
    return found


# --- what is loaded -------------------------------------------------------------------------------


def test_everything_is_there_and_stays_so(run: Command, out: Path, sekmet: Sekmet) -> None:
    sekmet.reset()
    ended = run("load", out, sekmet.base, "--verify", "--sample", 3, "--json", "--batch", 40)
    assert (ended.code, ended.err) == (0, "")
    told = json.loads(ended.out)
    expected = json.loads((out / "manifest.json").read_bytes())
    total = sum(expected["resources"].values())
    assert told["resources"] == expected["resources"]
    assert (told["created"], told["complete"], told["refused"]) == (total, True, [])
    assert told["people"] == told["people_loaded"] == sum(expected["people"].values())
    assert told["verified"]["sound"] and told["verified"]["different"] == []
    assert {kind: count["found"] for kind, count in told["verified"]["counts"].items()} == expected["resources"]
    assert told["verified"]["compared"] == sum(min(3, number) for number in expected["resources"].values())
    for key, resource in list(resources(out).items())[::50]:
        assert httpx.get(f"{sekmet.base}/{key}").json()["id"] == resource["id"]

    again = run("load", out, sekmet.base, "--json")
    assert again.code == 0
    assert (json.loads(again.out)["created"], json.loads(again.out)["resources"]) == (0, told["resources"])
    resumed = run("load", out, sekmet.base, "--resume", "--json")
    assert resumed.code == 0
    assert json.loads(resumed.out)["requests"] == 1  # whether it is there
    assert json.loads(resumed.out)["resources"] == told["resources"]


def test_the_summary_in_words(run: Command, out: Path, sekmet: Sekmet) -> None:
    sekmet.reset()
    ended = run("load", out, sekmet.base, "--verify", "--sample", 1)
    assert (ended.code, ended.err) == (0, "")
    total = len(resources(out))
    people = len(list((out / "people").iterdir()))
    first, second, third = ended.out.splitlines()
    assert first == (
        f"{total:,} resources, and {people} of {people} people whole, are in {sekmet.base}; "
        f"{total:,} resources were new to it"
    )
    assert re.fullmatch(rf"[\d.,]+ s, [\d,]+ resources a second, {people + 2} requests", second)
    assert re.fullmatch(
        r"verified: the numbers of (\d+) of \1 types are equal, (\d+) of \2 resources that were read back too", third
    )


@pytest.mark.parametrize("mode", ["transaction", "single"])
def test_lines_of_ndjson(run: Command, tmp_path: Path, made: Path, server: Watched, mode: str) -> None:
    server.reset()
    POPULATION.write(tmp_path, format="ndjson", gzip=True)
    ended = run("load", tmp_path, server.base, "--mode", mode, "--batch", 50)
    assert (ended.code, ended.err) == (0, "")
    assert server.holds() == resources(made)


def test_one_by_one_a_second_time_makes_nothing_less(out: Path, server: Watched) -> None:
    """What refers to one another in a ring is not put without its references again, as if it were new."""
    server.reset()
    files = sorted((out / "people").iterdir(), key=lambda file: file.stat().st_size)
    having = [file for file in files if b'"diagnosis":[{"condition"' in file.read_bytes()]
    for file in files:
        if file != having[0]:
            file.unlink()
    job = Job(out, target(server.base), "single")
    planned = loader.plan(job)
    first = loader.load(job)
    assert first.requests == planned.requests + 1  # whether it is there
    before = {key: len(told) for key, told in server.versions().items()}
    assert max(before.values()) == 2  # a ring
    assert loader.load(job).is_sound
    expected = resources(out)
    for key, told in server.versions().items():
        assert told[before[key] :] == [expected[key]]


def test_only_what_would_be_sent(run: Command, out: Path) -> None:
    """No server is asked: there is none."""
    ended = run("load", out, "http://127.0.0.1:9/fhir", "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    expected, people = resources(out), len(list((out / "people").iterdir()))
    assert ended.out.startswith(
        f"{len(expected):,} resources of {people} people would go to http://127.0.0.1:9/fhir in "
    )
    told = json.loads(run("load", out, "http://127.0.0.1:9/fhir", "--dry-run", "--json", "--mode", "single").out)
    assert sum(told["resources"].values()) == len(expected)
    assert told["requests"] >= len(expected)
    assert told["bytes"] >= sum(len(json.dumps(item, separators=(",", ":"))) for item in expected.values()) // 2
    assert not (out / ".load").exists()


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["transaction", "single"])
def test_what_is_refused_is_told_and_the_rest_is_loaded(run: Command, out: Path, server: Watched, mode: str) -> None:
    server.reset()
    file, name = spoil(out, "Observation", status=["final", "final"])
    expected = resources(out)
    missing = with_all_that_refer_to(name, expected)
    ended = run("load", out, server.base, "--mode", mode, "--json", "--verify")
    assert (ended.code, ended.err) == (1, "")
    told = json.loads(ended.out)
    (refusal,) = told["refused"]
    assert (refusal["file"], refusal["resources"], refusal["status"]) == (file, [name], 400)
    assert refusal["issues"][0]["expression"].startswith("Observation.status")
    assert told["left_out"] == len(missing) - 1
    assert not told["complete"] and told["people_loaded"] == told["people"] - 1
    assert told["verified"]["sound"]  # but for what is known to be missing
    assert server.holds() == {key: item for key, item in expected.items() if key not in missing}

    words = run("load", out, server.base, "--mode", mode, "--resume").out
    assert f"  {file} {name}: 400 " in words
    assert f"refused by the server: 1 resource, and {len(missing) - 1} left out that refer to them" in words


@pytest.mark.parametrize("mode", ["transaction", "single"])
def test_a_place_that_is_refused(run: Command, out: Path, server: Watched, mode: str) -> None:
    """What refers to it is left out too, of all people, and comes when it does."""
    server.reset()
    expected = resources(out)
    place = next(key for key in expected if key.startswith("Practitioner/"))
    missing = with_all_that_refer_to(place, expected)
    assert any(not key.startswith("Practitioner") for key in missing)
    served = server.app

    async def strict(scope: Scope, receive: Receive, send: Send) -> None:
        body, receive = await body_of(receive)
        if f'"id":"{place.partition("/")[2]}"'.encode() in body:
            await answer(receive, send, 422, outcome("not this one"))
        else:
            await served(scope, receive, send)

    server.front = strict
    ended = run("load", out, server.base, "--mode", mode, "--json")
    assert ended.code == 1
    told = json.loads(ended.out)
    assert [item["resources"] for item in told["refused"]] == [[place]]
    assert told["left_out"] == len(missing) - 1
    assert server.holds() == {key: item for key, item in expected.items() if key not in missing}
    server.front = served
    assert run("load", out, server.base, "--mode", mode, "--resume").code == 0
    assert server.holds() == expected


def test_a_place_that_too_much_refers_to_ends_the_load(
    run: Command, out: Path, server: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reset()
    monkeypatch.setattr(sending, "_MOST_LEFT_OUT", 10)
    served = server.app

    async def strict(scope: Scope, receive: Receive, send: Send) -> None:
        body, receive = await body_of(receive)
        if b'"resourceType":"Practitioner"' in body:
            await answer(receive, send, 422, outcome("no staff here"))
        else:
            await served(scope, receive, send)

    server.front = strict
    ended = run("load", out, server.base, "--max-refused", 1000)
    assert ended.code == 1
    assert "stopped, as so many were refused" in ended.out
    assert not any(key.startswith("Patient/") for key in server.holds())
    server.front = served
    assert run("load", out, server.base, "--resume").code == 0
    assert server.holds() == resources(out)


def test_what_was_refused_is_tried_again(run: Command, out: Path, server: Watched) -> None:
    server.reset()
    served = server.app

    async def strict(scope: Scope, receive: Receive, send: Send) -> None:
        """A server that has a rule of its own, until that is taken away."""
        body, receive = await body_of(receive)
        if b'"resourceType":"RelatedPerson"' in body:
            await answer(receive, send, 422, outcome("no relatives here", expression=["RelatedPerson"]))
        else:
            await served(scope, receive, send)

    server.front = strict
    first = run("load", out, server.base, "--json", "--batch", 500)
    assert first.code == 1
    refused = json.loads(first.out)["refused"]
    relatives = {key for key in resources(out) if key.startswith("RelatedPerson/")}
    assert relatives and {name for item in refused for name in item["resources"]} == relatives
    assert all(item["issues"][0]["diagnostics"] == "no relatives here" for item in refused)
    server.front = served
    second = run("load", out, server.base, "--resume", "--json")
    assert second.code == 0
    assert json.loads(second.out)["resources"] == json.loads((out / "manifest.json").read_bytes())["resources"]
    assert server.holds() == resources(out)


def test_a_server_with_a_limit_of_its_own(out: Path, server: Watched) -> None:
    server.reset()
    served = server.app

    async def small(scope: Scope, receive: Receive, send: Send) -> None:
        body, receive = await body_of(receive)
        if body.count(b'"fullUrl"') > 25:
            await answer(receive, send, 413, b"<html>too large</html>")
        else:
            await served(scope, receive, send)

    server.front = small
    summary = loader.load(Job(out, target(server.base)))
    assert summary.is_sound and not summary.refused
    assert server.holds() == resources(out)


def test_a_server_that_refuses_everything_is_left_in_peace(run: Command, out: Path, server: Watched) -> None:
    server.reset()
    faulty = server.fail(0, share=1.0, kinds=("422",))
    metadata = server.app

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = metadata if scope["path"].endswith("/metadata") else faulty
        await app(scope, receive, send)

    server.front = front
    ended = run("load", out, server.base, "--max-refused", 5, "--verify")
    assert ended.code == 1
    assert "verified" not in ended.out
    assert "stopped, as so many were refused; put that right and go on with --resume" in ended.out
    assert ended.out.count("422 this server fails now and then") == 5
    assert faulty.requests < 30
    server.front = metadata
    assert run("load", out, server.base, "--resume").code == 0
    assert server.holds() == resources(out)


STATEMENT = (200, {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        (
            (403, outcome("read only")),
            2,
            "refuses the first request with 403: the token does not allow writing (read only)",
        ),
        ((404, b""), 2, "refuses the first request with 404: there is nothing at that URL"),
        ((405, b""), 2, "with 405: it does not take transactions: try --mode single"),
        ((401, b""), 2, "wants a token (it answers 401)"),
        ((200, b"<html>log in</html>"), 3, "answers 200 and no FHIR: <html>log in</html>"),
        ((200, {"resourceType": "Bundle"}), 3, "entries, and no answers to them; try --mode single"),
        ((200, {"resourceType": "Bundle", "entry": [{}]}), 3, "entries, and 1 answers to them"),
        ((502, b""), 3, "has failed 2 times in a row: it answers 502 Bad Gateway"),
    ],
)
def test_servers_that_cannot_be_loaded(run: Command, out: Path, said: Any, code: int, message: str) -> None:
    with serving(Told(STATEMENT, said)) as base:
        ended = run("load", out, f"{base}/fhir", "--attempts", 2)
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert message in ended.err


def test_a_page_to_log_in_is_not_taken_for_success(run: Command, out: Path) -> None:
    with serving(Told(STATEMENT, (200, b"<html>log in</html>"))) as base:
        ended = run("load", out, f"{base}/fhir", "--mode", "single")
    assert (ended.code, ended.out) == (3, "")
    assert "answers 200 and no FHIR: <html>log in</html>" in ended.err


@pytest.mark.parametrize("mode", ["transaction", "single"])
def test_a_server_that_gives_ids_of_its_own(run: Command, out: Path, mode: str) -> None:
    async def own(scope: Scope, receive: Receive, send: Send) -> None:
        body, receive = await body_of(receive)
        if scope["method"] == "GET":
            await answer(receive, send, *STATEMENT)
            return
        resource = json.loads(body)
        places = [f"{entry['request']['url'].partition('/')[0]}/7/_history/1" for entry in resource.get("entry", ())]
        answers = [{"response": {"status": "201 Created", "location": place}} for place in places]
        location = f"{scope['path'].rpartition('/')[0]}/7".encode()
        bundle = {"resourceType": "Bundle", "entry": answers}
        await answer(receive, send, 201, bundle if answers else b"", [(b"location", location)])

    with serving(own) as base:
        ended = run("load", out, f"{base}/fhir", "--mode", mode)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert re.search(r"has put \w+/\S+ under an id of its own, 7; expected a server that keeps the ids", ended.err)


def test_entries_that_are_refused_one_by_one(run: Command, out: Path) -> None:
    """A server that answers a transaction as if it were a batch."""

    async def batch(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith("/metadata"):
            await answer(receive, send, *STATEMENT)
            return
        body, receive = await body_of(receive)
        entries = json.loads(body)["entry"]
        fine = {"response": {"status": "201 Created"}}
        wrong = {"response": {"status": "412 Precondition Failed", "outcome": outcome("not this one")}}
        answers = [wrong if entry["resource"]["resourceType"] == "Patient" else fine for entry in entries]
        await answer(receive, send, 200, {"resourceType": "Bundle", "entry": answers})

    with serving(batch) as base:
        told = json.loads(run("load", out, f"{base}/fhir", "--json").out)
    patients = [key for key in resources(out) if key.startswith("Patient/")]
    assert sorted(name for item in told["refused"] for name in item["resources"]) == sorted(patients)
    assert {item["issues"][0]["diagnostics"] for item in told["refused"]} == {"not this one"}
    assert told["created"] == len(resources(out)) - len(patients)


# --- what is verified -----------------------------------------------------------------------------


def test_differences_are_told(run: Command, out: Path, server: Watched) -> None:
    server.reset()
    assert run("load", out, server.base).code == 0
    patient = next(item for key, item in resources(out).items() if key.startswith("Patient/"))
    name = f"Patient/{patient['id']}"
    httpx.put(f"{server.base}/{name}", json=patient | {"birthDate": "1900-01-01"}).raise_for_status()
    gone = next(key for key in resources(out) if key.startswith("Immunization/"))
    httpx.delete(f"{server.base}/{gone}").raise_for_status()
    more = {"resourceType": "Organization", "id": "another", "name": "Another"}
    httpx.put(f"{server.base}/Organization/another", json=more).raise_for_status()
    number = sum(key.startswith("Immunization/") for key in resources(out))
    ended = run("load", out, server.base, "--resume", "--verify", "--sample", 1000)
    assert ended.code == 1
    assert f"  Immunization: {number} expected, {number - 1} there" in ended.out
    assert f"  {gone} is not there" in ended.out
    assert f"  {name} Patient.birthDate: sent '{patient['birthDate']}', found '1900-01-01'" in ended.out
    assert "so that numbers do not show what is missing: 1 more of Organization\n" in ended.out


def test_digits_that_a_server_loses_are_told(run: Command, out: Path, server: Watched) -> None:
    """sekmet passes decimals through floats."""
    server.reset()
    file = next(
        file for file in sorted((out / "people").iterdir()) if b'"valueQuantity":{"value":' in file.read_bytes()
    )
    text, changes = re.subn(rb'("valueQuantity":\{"value":\d+\.\d+)', rb"\g<1>00", file.read_bytes(), count=1)
    assert changes == 1
    file.write_bytes(text)
    ended = run("load", out, server.base, "--verify", "--sample", 1000)
    assert ended.code == 1
    assert re.search(r"  Observation/\S+ Observation.valueQuantity.value: sent \d+\.\d+00, found \d+\.\d+\n", ended.out)


# --- who asks -------------------------------------------------------------------------------------


def test_the_token_is_sent_and_never_told(
    run: Command, out: Path, server: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that repeats what it was sent, as some proxies do."""
    server.reset()
    served = server.app
    key = "k3y-that-nobody-may-see"

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        sent = f"Authorization: {headers.get('authorization')}, apikey: {headers.get('apikey')}"
        if sent != f"Authorization: Bearer {SECRET}, apikey: {key}":
            await answer(receive, send, 401, outcome(f"not {sent}"))
        elif scope["path"].endswith("/fhir"):
            await answer(receive, send, 422, outcome(f"refused with {sent}"), [(b"x-echo", sent.encode())])
        else:
            await served(scope, receive, send)

    server.front = guarded
    monkeypatch.setenv("TOKEN", SECRET)
    monkeypatch.setenv("KEY", key)
    header = ("--header", "apikey: ${KEY}", "--header", "X-Tenant: test")
    ended = run("load", out, server.base, "--token-env", "TOKEN", *header, "--max-refused", 2)
    assert ended.code == 1
    assert "refused with Authorization: Bearer ***, apikey: ***" in ended.out
    as_json = run("load", out, server.base, "--token-env", "TOKEN", *header, "--max-refused", 2, "--json")
    without = run("load", out, server.base)
    assert (without.code, without.err.count("\n")) == (2, 1)
    assert "wants a token (it answers 401); give one that is valid with --token-env" in without.err
    monkeypatch.setenv("TOKEN", f"{SECRET}-of-yesterday")
    wrong = run("load", out, server.base, "--token-env", "TOKEN", *header)
    assert "takes no such token" in wrong.err
    written = [file.read_text() for file in (out / ".load").iterdir()]
    assert written
    for text in (ended.out, ended.err, as_json.out, without.err, wrong.err, *written):
        assert SECRET not in text and key not in text


def test_a_secret_that_is_an_ordinary_word_is_no_difference(
    run: Command, out: Path, server: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reset()
    monkeypatch.setenv("TENANT", "final")
    ended = run("load", out, server.base, "--header", "X-Tenant: ${TENANT}", "--verify", "--sample", 5)
    assert (ended.code, ended.err) == (0, "")


# --- what cannot be -------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{none}", "{free}"], 2, "does not exist; give a folder that `fhirsynth population` made"),
        (["{empty}", "{free}"], 2, "holds no population that can be loaded"),
        (["{out}", "ftp://127.0.0.1/fhir"], 2, "'ftp://127.0.0.1/fhir' is not http or https"),
        (["{out}", "{free}"], 3, "cannot be reached: "),
        (["{out}", "{free}", "--token-env", "NOT_SET_AT_ALL"], 2, "NOT_SET_AT_ALL is not set"),
        (["{out}", "{free}", "--token-env", "EMPTY"], 2, "the environment variable EMPTY is empty"),
        (["{out}", "{free}", "--header", "x"], 2, "--header: expected `Name: value`"),
        (["{out}", "{free}", "--resume"], 2, "there is no load of "),
        (["{out}", "{free}", "--dry-run", "--verify"], 2, "exclude each other"),
        (["{out}", "{free}", "--workers", "0"], 2, "--workers"),
        (["{out}", "{free}", "--batch", "none"], 2, "--batch"),
        (["{out}"], 2, "URL"),
    ],
)
def test_one_clear_line(
    run: Command,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.setenv("EMPTY", "")
    (tmp_path / "empty").mkdir()
    names = {"none": tmp_path / "none", "empty": tmp_path / "empty", "out": out}
    free = f"http://127.0.0.1:{free_port()}/fhir"
    ended = run("load", *(argument.format(**names, free=free) for argument in arguments), "--attempts", 1)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1 and ended.err.startswith("fhirsynth: ")


def test_a_journal_that_cannot_be_written(run: Command, out: Path) -> None:
    with serving(Told(STATEMENT)) as base:
        ended = run("load", out, base, "--journal", out / "manifest.json" / "x")
    assert (ended.code, ended.out, ended.err.count("\n")) == (3, "", 1)
    assert "cannot be written: " in ended.err and "choose another place with --journal" in ended.err


def test_a_server_that_is_not_there_leaves_what_is_known_of_it(run: Command, out: Path) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/fhir"
    with serving(Told(STATEMENT, (422, outcome("no"))), listening):
        assert run("load", out, url, "--max-refused", 1).code == 1
    (journal,) = (out / ".load").iterdir()
    before = journal.read_bytes()
    assert before.count(b"\n") == 2
    assert run("load", out, url, "--attempts", 1).code == 3
    assert run("load", out, url.replace("fhir", "other"), "--attempts", 1).code == 3
    assert [file.read_bytes() for file in (out / ".load").iterdir()] == [before]


def test_resumed_against_another_server_population_or_journal(
    run: Command, out: Path, tmp_path: Path, server: Watched, sekmet: Sekmet
) -> None:
    server.reset()
    journal = tmp_path / "journal.jsonl"
    assert run("load", out, server.base, "--journal", journal).code == 0
    assert not (out / ".load").exists()
    other = run("load", out, sekmet.base, "--resume", "--journal", journal)
    assert (other.code, other.err.count("\n")) == (2, 1)
    assert f"is of a load into {server.base}, asked for is {sekmet.base}" in other.err
    file = next((out / "people").iterdir())
    file.write_bytes(file.read_bytes() + b"\n")
    changed = run("load", out, server.base, "--resume", "--journal", journal, "--json")
    assert (changed.code, json.loads(changed.out)["requests"]) == (0, 2)  # whether it is there, and who was changed
    for each in [out / "organisations.json", *(out / "people").iterdir()]:
        os.utime(each, (1_700_000_000, 1_700_000_000))
    another = run("load", out, server.base, "--resume", "--journal", journal)
    assert (another.code, another.err.count("\n")) == (2, 1)
    assert "another population, or of this one before all of it was changed" in another.err
    journal.write_bytes(b"{}\n")
    damaged = run("load", out, server.base, "--resume", "--journal", journal)
    assert (damaged.code, damaged.err.count("\n")) == (2, 1)
    assert "line 1: the journal is damaged; load without --resume" in damaged.err


def test_a_damaged_person_ends_the_load_and_says_how_it_goes_on(run: Command, out: Path, server: Watched) -> None:
    server.reset()
    last = sorted((out / "people").iterdir())[-1]
    whole = last.read_bytes()
    last.write_bytes(b"x" * len(whole))
    ended = run("load", out, server.base, "--workers", 1)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith(f"fhirsynth: {last}: not valid JSON")
    assert re.search(r"stopped with \d+ of \d+ people loaded; the same command with --resume goes on", ended.err)
    last.write_bytes(whole)
    assert run("load", out, server.base, "--resume").code == 0
    assert server.holds() == resources(out)
