"""A population into a FHIR server: the places first, then the people, several at once, resumable.

summary = load(Job(Path("out"), target("http://127.0.0.1:8080/fhir")))
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from fhirsynth.errors import FhirsynthError, InterruptedRunError
from fhirsynth.loading import journal as journals
from fhirsynth.loading.concurrency import together
from fhirsynth.loading.journal import Journal
from fhirsynth.loading.outcome import Outcome, Refusal
from fhirsynth.loading.sending import BATCH, MOST_REFUSED, Mode, Sender, requests_of
from fhirsynth.loading.server import ATTEMPTS, TIMEOUT, Clock, Server
from fhirsynth.loading.source import Source, Unit, find
from fhirsynth.loading.target import Target
from fhirsynth.loading.verifying import Verified, verify

Progress = Callable[[int, int], None]
#: Clients at once by default: more make no server that was tried faster.
WORKERS = 4


@dataclass(frozen=True)
class Job:
    """What is to be loaded where and how.

    batch: entries of a transaction at most. journal: a file, by default one in the folder. attempts: times that a
    request is tried. timeout: seconds for one answer. most_refused: resources that the server may refuse before the
    load stops.
    """

    folder: Path
    target: Target
    mode: Mode = "transaction"
    workers: int = WORKERS
    batch: int = BATCH
    journal: Path | None = None
    attempts: int = ATTEMPTS
    timeout: float = TIMEOUT
    most_refused: int = MOST_REFUSED

    @property
    def journal_path(self) -> Path:
        """Where the journal is."""
        return self.journal or journals.place(self.folder, self.target.base)


@dataclass(frozen=True)
class Summary:
    """What came of a load, over all runs of it; of this run alone, without verifying: sent, requests, retries, seconds.

    people: how many there are; done: how many of them the server has whole. loaded: resources by type; created: how
    many were new to the server. left_out: resources that refer to refused ones. is_whole: whether all was tried.
    """

    people: int
    done: int
    loaded: Counter[str]
    created: int
    refused: list[Refusal]
    left_out: int
    is_whole: bool
    journal: Path
    sent: int = 0
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0
    verified: Verified | None = None

    @property
    def is_sound(self) -> bool:
        """Whether the server took everything, and holds it where that was verified."""
        return self.is_whole and not self.refused and (self.verified is None or self.verified.is_sound)


@dataclass(frozen=True)
class Plan:
    """What a load would send: units, resources by type, requests and their bytes."""

    people: int
    resources: Counter[str]
    requests: int
    size: int


def plan(job: Job, *, resume: bool = False, progress: Progress | None = None) -> Plan:
    """What would be sent; reads everything, asks no server. Raises InputError."""
    source = find(job.folder)
    resources: Counter[str] = Counter()
    people = requests = size = 0
    with Journal.go_on(job.journal_path, source, job.target.base) if resume else nullcontext() as journal:
        for unit in source.units():
            if journal is None or not journal.is_done(unit.number):
                entries = unit.read()
                resources.update(entry.kind for entry in entries)
                more = requests_of(entries, job.mode, job.batch, job.target.base)
                people, requests, size = people + bool(unit.number), requests + more[0], size + more[1]
            if progress:
                progress(unit.number, source.people)
    return Plan(people, resources, requests, size)


def load(
    job: Job,
    *,
    resume: bool = False,
    sample: int | None = None,
    progress: Progress | None = None,
    verifying: Progress | None = None,
    clock: Clock | None = None,
) -> Summary:
    """Load a population; with `resume` go on with a load that was begun.

    sample: resources of each type to read back when all was tried, None for no verification. progress, verifying: get
    the number of people loaded or looked through, and of how many. clock: how time passes, for tests.

    Raises InputError where the folder, the server or the journal is not what it should be, OutputError where the
    server fails for too long or the journal cannot be written, InterruptedRunError where the user stops it. What the
    server refuses does not raise: it is in the summary.
    """
    run = _Run(job, find(job.folder), progress)
    try:
        return asyncio.run(run.whole(resume, sample, verifying, clock))
    except KeyboardInterrupt:
        raise InterruptedRunError(f"interrupted {run.so_far()}") from None
    except FhirsynthError as error:
        if run.sent:
            raise type(error)(f"{error}; stopped {run.so_far()}") from None
        raise


class _Run:
    """One run of a load: what it shares between those who work."""

    def __init__(self, job: Job, source: Source, progress: Progress | None) -> None:
        self.job, self.source, self.progress = job, source, progress
        self.journal = Journal(job.journal_path, source)
        self.sent = 0  # resources that the server took in this run
        self._whole, self._has_begun = True, False

    def so_far(self) -> str:
        """How far it is, in words, and how it goes on."""
        if not self._has_begun:
            return "before anything was sent"
        done = self.journal.done - self.journal.is_done(0)
        return (
            f"with {done:,} of {self.source.people:,} people loaded; the same command with --resume goes on from there"
        )

    async def whole(self, resume: bool, sample: int | None, verifying: Progress | None, clock: Clock | None) -> Summary:
        """Load what is left, and verify where a `sample` is wanted."""
        job = self.job
        where = job.journal_path, self.source, job.target.base
        async with Server(
            job.target, connections=job.workers, attempts=job.attempts, timeout=job.timeout, clock=clock
        ) as server:
            with ExitStack() as closing:
                if resume:
                    self.journal = closing.enter_context(Journal.go_on(*where))
                await server.check(transactions=job.mode == "transaction")
                if not resume:  # only now: an earlier load into a server that is not there just now stays known
                    self.journal = closing.enter_context(Journal.begin(*where))
                self._has_begun = True
                began = time.perf_counter()
                await self._send_all(server)
            made = self._summary(server, time.perf_counter() - began)
            if sample is None or not self._whole:  # what was not tried is known not to be there
                return made
            return replace(made, verified=await self._verify(server, sample, verifying))

    async def _send_all(self, server: Server) -> None:
        job = self.job
        sender = Sender(server, job.mode, job.batch, job.most_refused, has_taken=bool(self.journal.loaded))
        units = self.source.units()
        self._show()
        await self._work(sender, islice(units, 1))
        await together(self._work(sender, units) for _ in range(job.workers))

    async def _verify(self, server: Server, sample: int, progress: Progress | None) -> Verified:
        missing = set().union(*(outcome.missing for outcome in self.journal.incomplete.values()))
        workers = self.job.workers
        return await verify(self.source, server, missing, sample=sample, workers=workers, progress=progress)

    async def _work(self, sender: Sender, units: Iterator[Unit]) -> None:
        """Send units, one after another, until there are no more; several may take from the same."""
        for unit in units:
            if self.journal.is_done(unit.number):
                continue
            if sender.is_enough:
                self._whole = False
                return
            outcome = await sender.send(unit)
            self._note(outcome)

    def _note(self, outcome: Outcome) -> None:
        self.journal.add(outcome)
        self.sent += outcome.loaded.total()
        self._whole &= outcome.is_whole
        self._show()

    def _show(self) -> None:
        if self.progress:
            self.progress(self.journal.done - self.journal.is_done(0), self.source.people)

    def _summary(self, server: Server, seconds: float) -> Summary:
        journal = self.journal
        outcomes = [journal.incomplete[number] for number in sorted(journal.incomplete)]
        return Summary(
            people=self.source.people,
            done=journal.done - journal.is_done(0),
            loaded=journal.loaded,
            created=journal.created,
            refused=[refusal for outcome in outcomes for refusal in outcome.refused],
            left_out=sum(len(outcome.left_out) for outcome in outcomes),
            is_whole=self._whole,
            journal=journal.path,
            sent=self.sent,
            requests=server.requests,
            retries=server.retries,
            seconds=seconds,
        )
