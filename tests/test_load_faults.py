"""Loading through failures: nothing lost, nothing told twice in two ways, whatever fails and whoever is killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty import KINDS, Watched, watched
from starlette.types import Receive, Scope, Send

from fhirsynth import Population
from fhirsynth.loading import loader
from fhirsynth.loading.loader import Job
from fhirsynth.loading.server import Clock
from fhirsynth.loading.target import target

#: Entries of a request, so that few people make many.
BATCH = 8


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("load") / "out"
    Population(n=4, seed=33, age=(20, 70), years=1).write(made)
    return made


@pytest.fixture(scope="module")
def expected(out: Path) -> dict[str, Any]:
    bundles = [json.loads(file.read_bytes()) for file in [out / "organisations.json", *(out / "people").iterdir()]]
    found = [entry["resource"] for bundle in bundles for entry in bundle["entry"]]
    return {f"{item['resourceType']}/{item['id']}": item for item in found}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("watched")) as made:
        yield made


@pytest.fixture
def server(started: Watched) -> Watched:
    started.reset()
    return started


async def quick(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.01))


def is_told_the_same(server: Watched) -> bool:
    """Whether the server, where it was told about a resource more than once, was told the same."""
    return all(told == told[:1] * len(told) for told in server.versions().values())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_faulty_server_gets_everything_once(
    server: Watched, out: Path, expected: dict[str, Any], tmp_path: Path, seed: int
) -> None:
    faulty = server.fail(seed)
    job = Job(out, target(server.base), batch=BATCH, journal=tmp_path / "journal")
    summary = loader.load(job, clock=Clock(sleep=quick))
    assert summary.is_sound
    assert summary.retries == faulty.faults.total() > 0
    assert server.holds() == expected
    assert is_told_the_same(server)
    assert summary.loaded == Counter(key.partition("/")[0] for key in expected)


def test_every_kind_of_fault_is_got_over(server: Watched, out: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    for kind in KINDS:
        server.reset()
        faulty = server.fail(5, share=0.3, kinds=(kind,))
        job = Job(out, target(server.base), batch=2 * BATCH, journal=tmp_path / kind, attempts=30)
        assert loader.load(job, clock=Clock(sleep=quick)).is_sound
        assert faulty.faults[kind] > 0
        assert server.holds() == expected
        assert is_told_the_same(server)


def test_single_puts_through_faults(server: Watched, out: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    server.fail(6, share=0.05)
    job = Job(out, target(server.base), "single", journal=tmp_path / "journal")
    assert loader.load(job, clock=Clock(sleep=quick)).is_sound
    assert server.holds() == expected


def test_what_is_gone_for_too_long_can_be_resumed(server: Watched, out: Path, expected: dict[str, Any]) -> None:
    class Dying:
        requests = 0

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            self.requests += 1
            if self.requests > 12:
                raise ConnectionError("gone")  # uvicorn answers 500, and says nothing more
            await server.app(scope, receive, send)

    server.front = Dying()
    job = Job(out, target(server.base), batch=BATCH)
    with pytest.raises(loader.FhirsynthError, match=r"has failed 8 times .*; stopped with \d of \d people loaded"):
        loader.load(job, clock=Clock(sleep=quick))
    assert server.holds() != expected
    server.front = server.app
    summary = loader.load(job, resume=True)
    assert summary.is_sound
    assert server.holds() == expected


class Killing:
    """Kills a process when so many requests have come, before or after the server has done as it was asked."""

    def __init__(self, server: Watched, at: int, number: int, *, after: bool) -> None:
        self._server, self._at, self._number, self._after = server, at, number, after
        self.requests = 0
        self.process: subprocess.Popen[str] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += 1
        is_last = self.requests == self._at
        if is_last and not self._after:
            self._kill()
        await self._server.app(scope, receive, send)
        if is_last and self._after:
            self._kill()

    def _kill(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, self._number)


def command(out: Path, base: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "fhirsynth", "load", str(out), base, "--batch", str(BATCH), *more]


def stopped(killing: Killing, *arguments: str) -> subprocess.Popen[str]:
    """A loader that is killed, after its end."""
    process = subprocess.Popen(list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killing.process = process
    killing._server.front = killing
    try:
        process.wait(120)
    finally:
        process.kill()
    return process


@pytest.mark.parametrize(("at", "after"), [(3, True), (12, False), (25, True)])
def test_killed_and_resumed_is_as_if_it_had_not_been(
    server: Watched, out: Path, expected: dict[str, Any], tmp_path: Path, at: int, after: bool
) -> None:
    journal = tmp_path / "journal"
    arguments = command(out, server.base, "--journal", str(journal))
    killed = stopped(Killing(server, at, signal.SIGKILL, after=after), *arguments)
    assert killed.returncode == -signal.SIGKILL
    assert server.holds() != expected
    server.front = server.app
    summary = loader.load(Job(out, target(server.base), batch=BATCH, journal=journal), resume=True)
    assert summary.is_sound
    assert summary.done == summary.people
    assert server.holds() == expected
    assert is_told_the_same(server)
    assert summary.loaded == Counter(key.partition("/")[0] for key in expected)


def test_interrupted_from_the_keyboard(server: Watched, out: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    arguments = command(out, server.base, "--journal", str(tmp_path / "journal"))
    process = stopped(Killing(server, 14, signal.SIGINT, after=True), *arguments)
    assert process.stdout is not None and process.stderr is not None
    assert (process.returncode, process.stdout.read()) == (130, "")
    said = r"fhirsynth: interrupted with \d of \d people loaded; the same command with --resume goes on from there\n"
    assert re.fullmatch(said, process.stderr.read())
    server.front = server.app
    ended = subprocess.run([*arguments, "--resume"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert server.holds() == expected
