"""Loading into HAPI, which refuses a reference to what is not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from commands import Command
from servers.hapi import Hapi

from fhirsynth import Population
from fhirsynth.loading import loader, order
from fhirsynth.loading.entries import entry
from fhirsynth.loading.loader import Job
from fhirsynth.loading.target import target


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("load") / "out"
    Population(n=3, seed=12, age=(1, 60), years=1).write(made)
    return made


@pytest.fixture
def empty(hapi: Hapi) -> Iterator[Hapi]:
    hapi.reset()
    yield hapi


def rings(out: Path) -> set[str]:
    """Resources that refer to one another, and cannot go one by one."""
    found: set[str] = set()
    for file in (out / "people").iterdir():
        entries = [entry(item["resource"]) for item in json.loads(file.read_bytes())["entry"]]
        found.update(item.key for group in order.groups(entries) if len(group) > 1 for item in group)
    return found


def test_people_in_small_pieces_and_again(out: Path, empty: Hapi, tmp_path: Path) -> None:
    job = Job(out, target(empty.base), batch=25, journal=tmp_path / "journal")
    summary = loader.load(job, sample=1000)
    assert summary.is_sound and summary.verified is not None
    total = summary.loaded.total()
    assert summary.created == summary.verified.compared == total
    assert {kind: count.found for kind, count in summary.verified.counts.items()} == dict(summary.loaded)
    again = loader.load(job, sample=1000)
    assert again.is_sound and again.created == 0
    patient = next((out / "people").iterdir()).name.split("-", 1)[1].removesuffix(".json")
    assert httpx.get(f"{empty.base}/Patient/{patient}").json()["meta"]["versionId"] == "1"


def test_one_by_one(out: Path, empty: Hapi, tmp_path: Path) -> None:
    assert rings(out)
    job = Job(out, target(empty.base), "single", journal=tmp_path / "journal")
    summary = loader.load(job, sample=1000)
    assert summary.is_sound and summary.verified is not None and not summary.verified.different
    assert summary.created == summary.loaded.total() == summary.verified.compared

    def versions() -> dict[str, str]:
        found = (httpx.get(f"{empty.base}/{key}", headers={"Cache-Control": "no-cache"}).json() for key in rings(out))
        return {resource["id"]: resource["meta"]["versionId"] for resource in found}

    before = versions()
    assert set(before.values()) == {"1", "2"}  # one of each ring came first without its references
    assert loader.load(job).created == 0
    assert versions() == before


@pytest.mark.parametrize("mode", ["transaction", "single"])
def test_what_refers_to_nothing_is_found(run: Command, out: Path, empty: Hapi, tmp_path: Path, mode: str) -> None:
    folder = Path(shutil.copytree(out, tmp_path / "out"))
    kind = "Procedure"  # to which only the Provenance refers
    file = next(file for file in sorted((folder / "people").iterdir()) if f"{kind}/".encode() in file.read_bytes())
    bundle: dict[str, Any] = json.loads(file.read_bytes())
    spoilt = next(item["resource"] for item in bundle["entry"] if item["resource"]["resourceType"] == kind)
    spoilt["encounter"] = {"reference": "Encounter/nowhere"}
    file.write_text(json.dumps(bundle))
    ended = run("load", folder, empty.base, "--mode", mode, "--json")
    assert ended.code == 1
    told = json.loads(ended.out)
    (refusal,) = told["refused"]
    assert (refusal["file"], refusal["resources"]) == (f"people/{file.name}", [f"{kind}/{spoilt['id']}"])
    assert 400 <= refusal["status"] < 500
    assert "HAPI-1094" in refusal["issues"][0]["diagnostics"]
    assert told["left_out"] == 1  # the Provenance
