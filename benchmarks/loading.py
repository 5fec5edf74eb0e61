"""How fast and how safely a population is loaded into a FHIR server.

python benchmarks/loading.py speed DIR URL [WORKERS]  into an empty server: seconds, resources a second, memory
python benchmarks/loading.py bare DIR URL [WORKERS]   the same files posted without any care: what the server takes
python benchmarks/loading.py faults DIR [SEEDS]       through a server that fails at every tenth request
python benchmarks/loading.py kills DIR [TIMES]        killed at random moments and resumed, into sekmet

The last two start sekmet-fhir themselves, and say whether everything is there, once, as it was written.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))

_FHIRSYNTH = [sys.executable, "-m", "fhirsynth"]


def command(*arguments: object) -> tuple[int, str, float, float]:
    """Run fhirsynth: exit code, standard output, seconds, and the most memory in MiB."""
    began = time.perf_counter()
    process = subprocess.Popen([*_FHIRSYNTH, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    return os.waitstatus_to_exitcode(status), said, time.perf_counter() - began, usage.ru_maxrss / 1024


def speed(out: Path, url: str, workers: int = 4) -> None:
    """Load, and then verify."""
    for more in ((), ("--resume", "--verify"), ("--verify",)):
        code, said, seconds, memory = command("load", out, url, "--json", "--workers", workers, *more)
        told = json.loads(said)
        print(
            f"load {' '.join(more):18} exit {code}: {sum(told['resources'].values()):,} resources of "
            f"{told['people']:,} people, {told['created']:,} new, {len(told['refused'])} refused; {seconds:.1f} s, "
            f"{told['resources_per_second']:,.0f} resources/s, {told['requests']:,} requests, "
            f"{told['retries']:,} again; {memory:.0f} MiB"
        )
        if told["verified"]:
            verified = told["verified"]
            counts = verified["counts"].values()
            equal = sum(count["expected"] == count["found"] for count in counts)
            print(
                f"  verified: {equal} of {len(counts)} numbers are equal, "
                f"{verified['compared']:,} resources read back, {verified['differing']:,} of them differ"
            )


def bare(out: Path, url: str, workers: int = 4) -> None:
    """Post the files as they are."""

    async def post(client: httpx.AsyncClient, files: list[Path]) -> int:
        number = 0
        while files:
            data = files.pop(0).read_bytes()
            (await client.post(url, content=data, headers={"Content-Type": "application/fhir+json"})).raise_for_status()
            number += data.count(b'"fullUrl"')
        return number

    async def whole() -> int:
        async with httpx.AsyncClient(timeout=600, headers={"Prefer": "return=minimal"}) as client:
            number = await post(client, [out / "organisations.json"])
            people = sorted((out / "people").iterdir())
            return number + sum(await asyncio.gather(*(post(client, people) for _ in range(workers))))

    began = time.perf_counter()
    number = asyncio.run(whole())
    seconds = time.perf_counter() - began
    print(f"bare: {number:,} resources in {seconds:.1f} s, {number / seconds:,.0f} resources/s with {workers} clients")


def _expected(out: Path) -> dict[str, Any]:
    bundles = [json.loads(file.read_bytes()) for file in [out / "organisations.json", *(out / "people").iterdir()]]
    found = [entry["resource"] for bundle in bundles for entry in bundle["entry"]]
    return {f"{item['resourceType']}/{item['id']}": item for item in found}


def _verdict(server: Any, expected: dict[str, Any]) -> str:
    """What is lost, what is there that should not be, what the server was told in two ways."""
    held = server.holds()
    lost = sum(held.get(key) != item for key, item in expected.items())
    versions = server.versions()
    twice = sum(told != told[:1] * len(told) for told in versions.values())
    again = sum(len(told) - 1 for told in versions.values())
    more = len(held.keys() - expected.keys())
    return f"{lost} lost or other, {more} too many, {twice} told in two ways, {again} sent again"


def faults(out: Path, seeds: int = 20) -> None:
    """Load through a faulty server, once a seed."""
    from faulty import watched

    from fhirsynth.loading import loader
    from fhirsynth.loading.loader import Job
    from fhirsynth.loading.target import target

    expected = _expected(out)
    with tempfile.TemporaryDirectory() as folder, watched(Path(folder) / "sekmet") as server:
        for seed in range(seeds):
            server.reset()
            faulty = server.fail(seed, retry_after="1")
            job = Job(out, target(server.base), batch=10, journal=Path(folder) / "journal")
            summary = loader.load(job)
            print(
                f"seed {seed}: {faulty.requests} requests, {dict(sorted(faulty.faults.items()))}, "
                f"{summary.retries} again, sound {summary.is_sound}: {_verdict(server, expected)}; "
                f"{summary.seconds:.1f} s"
            )


def kills(out: Path, times: int = 10) -> None:
    """Kill a load at random moments, up to three times in a row, and resume it until it ends."""
    from faulty import watched

    expected = _expected(out)
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as folder, watched(Path(folder) / "sekmet") as server:
        journal = Path(folder) / "journal"
        load = [*_FHIRSYNTH, "load", str(out), server.base, "--journal", str(journal), "--batch", "25", "--json"]
        counting = server.fail(0, share=0)  # which fails never
        subprocess.run(load, check=True, stdout=subprocess.DEVNULL)
        requests = counting.requests
        print(f"not killed: {requests} requests: {_verdict(server, expected)}")
        for number in range(times):
            server.reset()
            counting = server.fail(0, share=0)
            journal.unlink()
            told = []
            for at in (*sorted(chance.sample(range(1, requests), chance.randint(1, 3))), None):
                resume = ["--resume"] if journal.exists() else []
                process = subprocess.Popen([*load, *resume], stdout=subprocess.PIPE)
                while at is not None and counting.requests < at and process.poll() is None:
                    time.sleep(0.002)
                if at is not None:
                    time.sleep(chance.uniform(0, 0.1))
                    process.kill()
                said = process.communicate()[0]
                if process.returncode == 0:
                    break
                lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
                told.append(f"{len(server.holds())} resources, {lines} lines")
            whole = json.loads(said)["complete"]
            print(f"load {number}: killed at {'; '.join(told)}: whole {whole}: {_verdict(server, expected)}")


if __name__ == "__main__":
    what, folder, *rest = sys.argv[1:]
    if what in ("speed", "bare"):
        {"speed": speed, "bare": bare}[what](Path(folder), rest[0], *map(int, rest[1:]))
    else:
        {"faults": faults, "kills": kills}[what](Path(folder), *map(int, rest))
