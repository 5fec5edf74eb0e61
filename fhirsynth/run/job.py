"""A whole run: the folder made ready, every shard made and written, the files joined, the manifest, the summary."""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from fhirsynth.errors import InterruptedRunError, OutputError
from fhirsynth.fhir import person_resources, to_bytes
from fhirsynth.fhir.bundle import bundle
from fhirsynth.run import engine as engines
from fhirsynth.run import manifest, output, shard, state
from fhirsynth.run.output import Written
from fhirsynth.run.state import Job
from fhirsynth.run.tally import Tally, count_people

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Summary:
    """What a run made. `seconds` is the time of this call, `made` the living people that it made itself."""

    out: Path
    tally: Tally
    seconds: float
    made: int

    @property
    def people_per_second(self) -> float:
        """Living people made a second."""
        return self.made / self.seconds if self.seconds else 0.0


def write_shard(job: Job, number: int) -> int:
    """Make one shard and write its files; returns its number. Done in a worker."""
    with shard.without_collector():
        return _write_shard(job, number)


def _write_shard(job: Job, number: int) -> int:
    kit = shard.tools(job.spec.index_date)
    made = shard.make(job.spec, number)
    tally = count_people(made.people, made.living, job.spec.index_date)
    counts = tally.resources
    files: list[Written] = []
    lines: dict[str, list[bytes]] = {}
    for position, (person, rows) in enumerate(made.record.by_person()):
        resources = person_resources(person, rows, kit.context)
        for resource in resources:
            counts[resource["resourceType"]] += 1
        if job.format == "bundle":
            path = output.person_path(job.spec, number, position, person, gzipped=job.gzip)
            data = to_bytes(bundle(resources, kit.context))
            if position == 0:
                (job.out / path).parent.mkdir(exist_ok=True)
            files.append(output.write(job.out, path, output.compressed(data) if job.gzip else data))
        else:
            for resource in resources:
                line = orjson.dumps(resource, option=orjson.OPT_APPEND_NEWLINE)
                lines.setdefault(resource["resourceType"], []).append(line)
    for kind, of_kind in lines.items():
        path = f"{output.STATE}/parts/{kind}/{number}"
        (job.out / path).parent.mkdir(parents=True, exist_ok=True)
        data = b"".join(of_kind)
        output.write(job.out, path, output.compressed(data) if job.gzip else data)
    state.note_shard(job, number, tally, files, shard.places_used(made))
    return number


def write_population(
    job: Job,
    *,
    workers: int = 1,
    engine: Executor | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Make and write a population. The bytes do not depend on `workers` or `engine`.

    `engine`: an executor to use instead of `workers` processes of this machine; it stays open. `progress`
    is called with the living people done and wanted. Raises InputError, OutputError, KnowledgeError, and
    InterruptedRunError where the user stopped it (what is done is kept for `resume`).
    """
    began = time.perf_counter()
    shard.check(job.spec)
    if state.prepare(job, resume=resume, overwrite=overwrite):
        return Summary(job.out, manifest.read_tally(job.out), time.perf_counter() - began, 0)
    todo = [number for number in range(job.spec.shards) if not state.is_done(job, number)]
    done = job.spec.n - sum(map(job.spec.shard_size, todo))
    before = done
    try:
        own = engines.executor(min(workers, max(1, len(todo)))) if engine is None else engine
        try:
            if progress:
                progress(done, job.spec.n)
            for number in engines.each(own, workers, partial(write_shard, job), todo):
                done += job.spec.shard_size(number)
                if progress:
                    progress(done, job.spec.n)
        finally:
            if engine is None:
                own.shutdown(wait=True, cancel_futures=True)
        places = shard.organisations(job.spec, state.places_used(job))
        files = [output.write(job.out, output.ORGANISATIONS, to_bytes(places))]
        if job.format == "ndjson":
            files.extend(_join(job))
        tally = Tally(resources=Counter(entry["resource"]["resourceType"] for entry in places["entry"]))
        for counted, _ in state.shards_done(job):
            tally.add(counted)
        manifest.write(job.out, state.identity(job), tally, _all_files(job, files))
        state.clean(job)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted with {done} of {job.spec.n} people finished in {job.out}; "
            "the same command with --resume goes on from there"
        ) from None
    except BrokenProcessPool:
        raise OutputError(
            f"a worker process was killed, perhaps for want of memory, with {done} of {job.spec.n} people finished; "
            "the same command with --resume and fewer --workers goes on from there"
        ) from None
    except OSError as error:
        raise OutputError(_cannot_write(error, job)) from error
    return Summary(job.out, tally, time.perf_counter() - began, job.spec.n - before)


def _join(job: Job) -> Iterator[Written]:
    """Make one NDJSON file a type of the parts that the shards wrote, in their order."""
    parts = job.state / "parts"
    names = {path.name for path in parts.iterdir()} | {path.stem for path in (job.state / "joined").iterdir()}
    for name in sorted(names):
        written = state.joined(job, name)
        if written is None:
            ordered = sorted((parts / name).iterdir(), key=lambda path: int(path.name))
            suffix = ".ndjson.gz" if job.gzip else ".ndjson"
            written = output.join(job.out, f"{output.NDJSON}/{name}{suffix}", ordered)
            state.note_joined(job, name, written)
            for part in ordered:
                part.unlink()
        yield written


def _all_files(job: Job, first: list[Written]) -> Iterator[Written]:
    yield from first
    for _, files in state.shards_done(job):
        yield from files


def _cannot_write(error: OSError, job: Job) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        found, remedy = "the disk is full", "make room"
    elif error.errno == errno.EFBIG:
        found, remedy = "a file grew over the limit for files", "raise the limit"
    else:
        found, remedy = error.strerror or str(error), "put that right"
    return (
        f"cannot write to {job.out}: {found}; {remedy} and give the same command with --resume: "
        "what is finished is kept, nothing is half-written"
    )
