"""Runs: the same bytes whatever makes them, resumed after any end, nothing half-written, memory that does not grow."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from commands import full_disk

from fhirsynth import Population, Spec
from fhirsynth.days import age_on, day_of
from fhirsynth.errors import InputError, InterruptedRunError, OutputError
from fhirsynth.run import engine, job, output, shard
from fhirsynth.run.job import write_population
from fhirsynth.run.state import Job
from fhirsynth.run.tally import Tally, count_people, published

#: Two shards and a bit of a third, of young people, whose records are small.
SPEC = Spec(n=410, seed=11, age=(1, 30), years=1)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by path."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one worker writes without a stop."""
    out = tmp_path_factory.mktemp("whole") / "out"
    write_population(Job(SPEC, out))
    return contents(out)


class Stopping(Executor):
    """Works for so many shards; then something happens."""

    def __init__(self, after: int, then: Callable[[], None]) -> None:
        self.left, self.then = after, then

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if not self.left:
            self.then()
        self.left -= 1
        return engine.InProcess().submit(fn, *args, **kwargs)


def interrupt() -> None:
    raise KeyboardInterrupt


def test_layout(whole: dict[str, bytes]) -> None:
    people = [name for name in whole if name.startswith("people/")]
    living = [name for name in people if not name.startswith("people/dead-")]
    assert set(whole) - set(people) == {"organisations.json", "manifest.json"}
    assert [name[7:13] for name in living] == [f"{n:06d}" for n in range(1, 411)]
    first = json.loads(whole[living[0]])
    assert first["entry"][0]["resource"]["id"] == living[0][14:50]


def test_manifest(whole: dict[str, bytes]) -> None:
    manifest = json.loads(whole["manifest.json"])
    assert manifest["spec"] == SPEC.model_dump(mode="json")
    assert set(manifest["files"]) == set(whole) - {"manifest.json"}
    for name, entry in manifest["files"].items():
        assert entry == {"sha256": hashlib.sha256(whole[name]).hexdigest(), "bytes": len(whole[name])}
    dead = sum(name.startswith("people/dead-") for name in whole)
    assert manifest["people"] == {"living": 410, "dead": dead}
    assert manifest["resources"]["Patient"] == 410 + dead
    counted = sum(len(json.loads(data)["entry"]) for name, data in whole.items() if name != "manifest.json")
    assert sum(manifest["resources"].values()) == counted


def test_two_processes_write_the_same_bytes(whole: dict[str, bytes], tmp_path: Path) -> None:
    write_population(Job(SPEC, tmp_path / "out"), workers=2)
    assert contents(tmp_path / "out") == whole


def test_any_executor_will_do(whole: dict[str, bytes], tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        write_population(Job(SPEC, tmp_path / "out"), engine=threads, workers=2)
    assert contents(tmp_path / "out") == whole


def test_interrupted_and_resumed(whole: dict[str, bytes], tmp_path: Path) -> None:
    task = Job(SPEC, tmp_path / "out")
    with pytest.raises(InterruptedRunError, match=r"400 of 410 people .* --resume"):
        write_population(task, engine=Stopping(2, interrupt))
    assert (task.out / ".fhirsynth").is_dir()
    assert not (task.out / "manifest.json").exists()
    with pytest.raises(InputError, match=r"not empty; use --resume"):
        write_population(task)
    seen: list[int] = []
    summary = write_population(task, resume=True, progress=lambda done, _: seen.append(done))
    assert seen == [400, 410]
    assert summary.made == 10
    assert contents(task.out) == whole


def test_resuming_what_is_finished_does_nothing(whole: dict[str, bytes], tmp_path: Path) -> None:
    task = Job(Spec(n=5, age=(1, 30)), tmp_path)
    first = write_population(task)
    before = contents(tmp_path)
    again = write_population(task, resume=True)
    assert again.made == 0
    assert again.tally.as_json() == first.tally.as_json()
    assert contents(tmp_path) == before


def test_resuming_another_spec(tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError):
        write_population(Job(SPEC, tmp_path), engine=Stopping(1, interrupt))
    other = SPEC.model_copy(update={"seed": 12})
    with pytest.raises(InputError, match="begun with seed 11, asked for now is 12"):
        write_population(Job(other, tmp_path), resume=True)
    with pytest.raises(InputError, match="begun with gzip False, asked for now is True"):
        write_population(Job(SPEC, tmp_path, gzip=True), resume=True)


def test_resuming_where_nothing_was_begun(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no unfinished run to resume"):
        write_population(Job(SPEC, tmp_path), resume=True)


def test_overwriting_leaves_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    small = Spec(n=2, age=(1, 30))
    with pytest.raises(InputError, match="is not empty"):
        write_population(Job(small, tmp_path))
    write_population(Job(small, tmp_path), overwrite=True)
    write_population(Job(small, tmp_path, "ndjson"), overwrite=True)
    assert not (tmp_path / "people").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_overwriting_never_removes_a_foreign_folder(tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "staff.txt").write_text("mine")
    with pytest.raises(InputError, match="was not written by fhirsynth"):
        write_population(Job(Spec(n=2), tmp_path), overwrite=True)
    assert (tmp_path / "people" / "staff.txt").exists()


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write to the folder .*file"):
        write_population(Job(Spec(n=2), tmp_path / "file" / "out"))


def test_full_disk(whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        full_disk(patched, 250)
        with pytest.raises(OutputError, match=r"the disk is full; make room .* --resume"):
            write_population(Job(SPEC, tmp_path))
    assert all(whole[name] == data for name, data in contents(tmp_path).items() if not name.startswith("."))
    assert not list((tmp_path / ".fhirsynth" / "tmp").iterdir())
    write_population(Job(SPEC, tmp_path), resume=True)
    assert contents(tmp_path) == whole


def test_file_over_the_limit(tmp_path: Path) -> None:
    """A true failure of the system, as a full disk is, in a process of its own."""
    command = [sys.executable, "-m", "fhirsynth", "population", "--n", "3", "--out", str(tmp_path), "--workers", "1"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert done.stderr.startswith("fhirsynth: cannot write to")
    assert done.stderr.count("\n") == 1
    assert "--resume" in done.stderr
    assert [name for name in contents(tmp_path) if not name.startswith(".fhirsynth/")] == []
    subprocess.run([*command, "--resume"], check=True, capture_output=True, timeout=60)
    assert "manifest.json" in contents(tmp_path)


def test_ndjson_holds_the_same_resources(whole: dict[str, bytes], tmp_path: Path) -> None:
    task = Job(SPEC, tmp_path, "ndjson")
    with pytest.raises(InterruptedRunError):
        write_population(task, engine=Stopping(1, interrupt))
    write_population(task, resume=True, workers=2)
    lines: dict[str, list[dict[str, Any]]] = {}
    for name, data in contents(tmp_path).items():
        if name.endswith(".ndjson"):
            lines[name[7:-7]] = [json.loads(line) for line in data.splitlines()]
    expected: dict[str, list[dict[str, Any]]] = {}
    names = sorted(name for name in whole if name.startswith("people/"))
    names.sort(key=lambda name: shard_of(json.loads(whole[name]), name))
    for name in ["organisations.json", *names]:
        for entry in json.loads(whole[name])["entry"]:
            expected.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    assert {kind: len(found) for kind, found in lines.items()} == {k: len(f) for k, f in expected.items()}
    assert lines == expected
    assert not (tmp_path / ".fhirsynth").exists()


def shard_of(bundle: dict[str, Any], name: str) -> tuple[int, bool, str]:
    """Where a person comes in the NDJSON files: by shard, the living before the dead."""
    dead = "dead-" in name
    number = int(name.removeprefix("people/").removeprefix("dead-").split("-")[0]) - 1
    return (number // 400 if dead else number // 200, dead, name)


def test_gzip_holds_the_same_bytes_every_time(whole: dict[str, bytes], tmp_path: Path) -> None:
    small = Spec(n=3, age=(1, 30))
    for name in ("a", "b"):
        write_population(Job(small, tmp_path / name, gzip=True))
    write_population(Job(small, tmp_path / "plain"))
    write_population(Job(small, tmp_path / "lines", "ndjson", gzip=True))
    packed, plain = contents(tmp_path / "a"), contents(tmp_path / "plain")
    assert packed == contents(tmp_path / "b")
    for name, data in packed.items():
        if name.endswith(".gz"):
            assert gzip.decompress(data) == plain[name.removesuffix(".gz")]
    patients = gzip.decompress((tmp_path / "lines" / "ndjson" / "Patient.ndjson.gz").read_bytes())
    assert len(patients.splitlines()) == sum(name.startswith("people/") for name in plain)


def test_many_people_are_spread_over_folders() -> None:
    person = shard.make(Spec(n=1, age=(1, 30)), 0).record.people[0]
    many = Spec(n=10_001)
    assert output.person_path(many, 50, 0, person, gzipped=False).startswith("people/00010/010001-")
    assert output.person_path(many, 50, 1, person, gzipped=True).startswith("people/00010/dead-")


def test_no_more_than_a_few_shards_are_under_way() -> None:
    class Counting(Executor):
        under_way = most = 0

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            future: Future[Any] = Future()
            future.set_result(fn(*args))
            return future

    counting = Counting()
    for _ in engine.each(counting, 4, lambda number: number, range(1000)):
        counting.under_way -= 1
    assert counting.most <= 8


def test_worker_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match=r"a worker process was killed.*--resume"):
        monkeypatch.setattr(job, "write_shard", die)
        write_population(Job(SPEC, tmp_path), workers=2)


def die(*_: object) -> int:
    os._exit(9)


def test_prevalence_is_laid_beside_the_published_one_for_the_same_ages_and_sexes() -> None:
    made = shard.make(SPEC, 0)
    tally = count_people(made.people, made.living, SPEC.index_date)
    rates = published()["asthma"]
    ages = [
        (person.sex, age_on(person.birth, day_of(SPEC.index_date))) for person in made.people.persons[: made.living]
    ]
    assert all(1 <= age <= 30 for _, age in ages)
    assert tally.expected["asthma"] == pytest.approx(sum(rates[sex][age // 10] for sex, age in ages))
    assert tally.conditions["asthma"] == sum(made.people.has["asthma"][:200])
    assert Tally.from_json(json.loads(json.dumps(tally.as_json()))).as_json() == tally.as_json()


# --- the Python API -------------------------------------------------------------------------------


def test_record_of_the_whole_population(whole: dict[str, bytes]) -> None:
    record = Population(SPEC).record()
    assert record.check() == []
    assert len(record.people) == sum(name.startswith("people/") for name in whole)
    assert record["organisation"]


def test_people_are_the_callers_own() -> None:
    population = Population(n=2, seed=4)
    first, again = list(population.people()), list(population.people())
    assert first == again
    for entry in first[0]["entry"]:
        entry["resource"].clear()
    assert list(population.people()) == again


def test_people_as_models() -> None:
    bundle = next(Population(n=1, seed=4, age=(1, 10)).people(models=True))
    assert bundle.entry[0].resource.get_resource_type() == "Patient"


def test_bundles_refer_to_the_organisations_only() -> None:
    population = Population(n=3)
    places = {entry["request"]["url"] for entry in population.organisations()["entry"]}
    practice = next(population.people())["entry"][0]["resource"]["managingOrganization"]["reference"]
    assert practice in places


def test_people_who_cannot_be() -> None:
    with pytest.raises(InputError, match="condition 'type-2-diabetis' is not known; nearest: type-2-diabetes"):
        next(Population(n=1, condition=("type-2-diabetis",)).people())
    with pytest.raises(InputError, match=r"nobody aged 0 to 1 .* together"):
        next(Population(n=1, condition=("dementia",), age=(0, 1)).people())
    with pytest.raises(TypeError):
        Population(SPEC, n=1)


def _references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["reference"]} if isinstance(value.get("reference"), str) else set()
        return own.union(*map(_references, value.values()))
    return set().union(*map(_references, value)) if isinstance(value, list) else set()


def test_the_organisations_file_holds_what_is_referred_to_and_no_more(tmp_path: Path) -> None:
    Population(n=4, seed=5).write(tmp_path / "out")
    places = json.loads((tmp_path / "out/organisations.json").read_bytes())["entry"]
    people = [json.loads(path.read_bytes()) for path in (tmp_path / "out/people").iterdir()]
    there = {entry["request"]["url"]: entry["resource"] for entry in places}
    kinds = {url.partition("/")[0] for url in there}
    from_people = {url for bundle in people for url in _references(bundle) if url.partition("/")[0] in kinds}
    assert from_people <= set(there)
    referred = from_people | _references(places)
    assert referred <= set(there) | _references(people)
    assert {url for url in there if url not in referred and not url.startswith("HealthcareService/")} == set()
    assert len(there) < len(Population(n=4).organisations()["entry"]) / 4
