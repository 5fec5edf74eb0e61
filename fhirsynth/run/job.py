"""A whole run: the folder made ready, every shard made and written, the files joined, the manifest, the summary."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fhirsynth.errors import InterruptedRunError, OutputError
from fhirsynth.fhir import person_resources
from fhirsynth.run import engine as engines
from fhirsynth.run import formats, manifest, output, shard, state
from fhirsynth.run.formats import ShardFiles
from fhirsynth.run.output import Written
from fhirsynth.run.state import Job
from fhirsynth.run.tally import Tally, count_people

if TYPE_CHECKING:
    from fhirsynth.letters.folder import Letters
    from fhirsynth.record.record import Rows
    from fhirsynth.record.schema import Person
    from fhirsynth.run.letters import ShardLetters

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


class Task(NamedTuple):
    """A shard to be written; `most`: letters about only so many of its stays."""

    number: int
    most: int | None = None


class Done(NamedTuple):
    """A shard that is written: its number, and how many letters to general practitioners it has."""

    number: int
    letters: int


def write_shard(job: Job, task: Task) -> Done:
    """Make one shard and write its files. Done in a worker."""
    with shard.without_collector():
        return _write_shard(job, task)


def _write_shard(job: Job, task: Task) -> Done:
    number = task.number
    kit = shard.tools(job.spec.index_date)
    made = shard.make(job.spec, number)
    tally = count_people(made.people, made.living, job.spec.index_date)
    people = list(made.record.by_person())
    files = ShardFiles(job, number, kit.context)
    letters = _letters(job, task, people)
    for position, (person, rows) in enumerate(people):
        if not files.has_resources and not (letters and letters.has_any(person)):
            continue
        resources = person_resources(person, rows, kit.context)
        if letters is not None:
            resources = letters.deliver(person, resources)
        if files.has_resources:
            files.add(position, person, resources)
    files.finish(made.record)
    tally.resources, tally.rows = files.resources, files.rows
    written = files.files
    if letters is not None:
        letters.finish()
        written += letters.files
        tally.letters = letters.counts
    state.note_shard(job, number, tally, written, shard.places_used(made), letters.types if letters else ())
    return Done(number, letters.counts["letters"] if letters else 0)


def _letters(job: Job, task: Task, people: list[tuple[Person, Rows]]) -> ShardLetters | None:
    """The letters of a shard, where they are asked for."""
    if job.letters is None:
        return None
    from fhirsynth.run.letters import ShardLetters

    return ShardLetters(job, task.number, people, task.most)


def write_population(
    job: Job,
    *,
    workers: int = 1,
    engine: Executor | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    letters_done: Callable[[int], None] | None = None,
) -> Summary:
    """Make and write a population, with letters where the job asks for them. The bytes do not depend on the engine.

    `engine`: an executor to use instead of `workers` processes of this machine; it stays open. `progress`
    is called with the living people done and wanted, `letters_done` with the letters written. Raises InputError,
    OutputError, KnowledgeError, and InterruptedRunError where the user stopped it (what is done is kept for `resume`).
    """
    began = time.perf_counter()
    shard.check(job.spec)
    job, wanted = identified(job)
    if state.prepare(job, wanted, resume=resume, overwrite=overwrite):
        return Summary(job.out, manifest.read_tally(job.out), time.perf_counter() - began, 0)
    return _Run(job, wanted, workers, engine, progress, letters_done).summary(began)


def write_letters(
    folder: Path,
    letters: Letters,
    *,
    workers: int = 1,
    engine: Executor | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    letters_done: Callable[[int], None] | None = None,
) -> Summary:
    """Write the letters of a population that was made before: its people are made again, and their letters with them.

    What lies in the folder then is what `write_population` with these letters would have written; each file is
    replaced when its successor is whole, the manifest last. Arguments and errors as those of `write_population`.
    """
    began = time.perf_counter()
    job, wanted = identified(replace(manifest.made_with(folder), letters=letters))
    if state.prepare_letters(job, wanted, resume=resume, overwrite=overwrite):
        return Summary(job.out, manifest.read_tally(job.out), time.perf_counter() - began, 0)
    return _Run(job, wanted, workers, engine, progress, letters_done).summary(began)


def identified(job: Job) -> tuple[Job, dict[str, Any]]:
    """The job with its formats and letters checked, and its identity. Raises InputError for what cannot be."""
    job = replace(job, format=",".join(job.formats))
    if "document" in job.formats:
        from fhirsynth.run.letters import as_documents

        job = replace(job, letters=as_documents(job))
    elif job.letters is not None:
        from fhirsynth.letters.folder import check

        job = replace(job, letters=check(job.letters))
    return job, state.identity(job)


class _Run:
    """A run in a folder that is ready for it."""

    def __init__(
        self,
        job: Job,
        wanted: dict[str, Any],
        workers: int,
        engine: Executor | None,
        progress: Progress | None,
        letters_done: Callable[[int], None] | None,
    ) -> None:
        self.job, self.wanted, self.workers, self.engine = job, wanted, workers, engine
        self.progress, self.letters_done = progress, letters_done
        self.todo = [number for number in range(job.spec.shards) if not state.is_done(job, number)]
        self.before = self.done = job.spec.n - sum(map(job.spec.shard_size, self.todo))
        self.written = 0  # letters

    def summary(self, began: float) -> Summary:
        """Do what is left, and tell what came of it. `began`: when the call that this is part of began."""
        job = self.job
        try:
            with self._working() as own:
                self._shards(own)
            tally = self._finish()
        except KeyboardInterrupt:
            raise InterruptedRunError(
                f"interrupted with {self.done} of {job.spec.n} people finished in {job.out}; "
                "the same command with --resume goes on from there"
            ) from None
        except BrokenProcessPool:
            raise OutputError(
                "a worker process was killed, perhaps for want of memory, with "
                f"{self.done} of {job.spec.n} people finished; "
                "the same command with --resume and fewer --workers goes on from there"
            ) from None
        except OSError as error:
            raise OutputError(_cannot_write(error, job)) from error
        return Summary(job.out, tally, time.perf_counter() - began, job.spec.n - self.before)

    @contextmanager
    def _working(self) -> Iterator[Executor]:
        """The engine: the caller's, or one of our own for as long as it is needed."""
        if self.engine is not None:
            yield self.engine
            return
        self.workers = min(self.workers, max(1, len(self.todo)))
        own = engines.executor(self.workers)
        if self.job.letters is not None and self.workers > 1:
            from fhirsynth.run.letters import forget_writer

            forget_writer()  # the workers have their own
        try:
            yield own
        finally:
            own.shutdown(wait=True, cancel_futures=True)

    def _shards(self, own: Executor) -> None:
        """Make and write every shard that is left."""
        tasks = self._tasks(own)
        self._show()
        for done in engines.each(own, self.workers, partial(write_shard, self.job), tasks):
            self.done += self.job.spec.shard_size(done.number)
            self.written += done.letters
            self._show()

    def _show(self) -> None:
        if self.progress:
            self.progress(self.done, self.job.spec.n)
        if self.letters_done:
            self.letters_done(self.written)

    def _tasks(self, own: Executor) -> list[Task]:
        """The shards that are left. Where only the first so many letters are asked for, each is told its share.

        Whoever makes them, the first stays in the order of the people are those that get a letter, so the stays are
        counted beforehand, until there are enough; making people is quick beside writing letters.
        """
        letters, spec = self.job.letters, self.job.spec
        if letters is None:
            return [Task(number) for number in self.todo]
        counts: dict[int, int] = {}
        for number in set(range(spec.shards)) - set(self.todo):
            tally = state.tally_of(self.job, number)
            assert tally.letters is not None
            counts[number] = tally.letters["stays"]
            self.written += tally.letters["letters"]
        if letters.most is None:
            return [Task(number) for number in self.todo]
        left = letters.most
        most: dict[int, int] = {}
        counting = engines.each(own, self.workers, partial(_count_stays, self.job), self.todo)
        for number in range(spec.shards):
            while left and number not in counts:
                counts.update([next(counting)])
            most[number] = min(left, counts.get(number, 0))
            left -= most[number]
        counting.close()
        return [Task(number, most[number]) for number in self.todo]

    def _finish(self) -> Tally:
        """Write what is one file for all shards, the manifest last."""
        job = self.job
        places = shard.places(job.spec, state.places_used(job))
        tally = Tally()
        for counted, _ in state.shards_done(job):
            tally.add(counted)
        files = [*formats.write_places(job, places, tally), *_join(job)]
        if job.letters is not None and tally.letters is not None:
            from fhirsynth.run.letters import closing_files

            files += closing_files(job, manifest.summary_of_letters(self.wanted, tally.letters))
        manifest.write(job.out, self.wanted, tally, _all_files(job, files))
        state.clean(job)
        return tally


def _count_stays(job: Job, number: int) -> tuple[int, int]:
    """A shard and how many of its stays could have a letter. Done in a worker."""
    from fhirsynth.run.letters import count_stays

    assert job.letters is not None
    return number, count_stays(job.spec, number, job.letters.most_a_person)


def _join(job: Job) -> Iterator[Written]:
    """Make what is one file for all shards of the parts that they wrote, in their order."""
    parts = job.out / output.PARTS
    begun = {path.name for path in parts.iterdir()} if parts.is_dir() else set()
    for name in sorted(begun | {path.stem for path in (job.state / "joined").iterdir()}):
        written = state.joined(job, name)
        if written is None:
            ordered = sorted((parts / name).iterdir(), key=lambda path: int(path.name))
            written = _joined(job, name, ordered)
            state.note_joined(job, name, written)
            for part in ordered:
                part.unlink()
        yield from written


def _joined(job: Job, name: str, parts: list[Path]) -> list[Written]:
    """Join the parts of one file: annotations, a table, or all resources of one type."""
    if name.startswith("annotations."):
        from fhirsynth.run.letters import join_annotations

        return join_annotations(job, name, parts)
    return [formats.join(job, name, parts)]


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
