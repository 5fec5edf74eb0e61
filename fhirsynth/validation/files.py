"""Files and folders checked: what is wrong in them, by an engine and by the rules over what belongs together.

    for finding in check_paths([Path("out")]):
        print(finding)

Files are cut into works (`works`), which a judge does (`judging`) one after another in this process, or several
judges in processes of their own; findings come in the order of the works either way. Memory is bounded: a few works
are at hand at a time, and what must be put together by person goes by way of temporary files (`gathering`).
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fhirsynth import knowledge as kb
from fhirsynth import reading
from fhirsynth.errors import OutputError
from fhirsynth.validation.engines import Asked, Engine, ManyEngine, make
from fhirsynth.validation.findings import SEVERITIES, Finding, Json
from fhirsynth.validation.judging import Judge, Piece, Result, pieces
from fhirsynth.validation.rules_of_sense import Known
from fhirsynth.validation.works import Whole, Work, Works

#: Works handed to each worker ahead, so that none waits.
_AHEAD = 3
_ASKED = Asked()


@dataclass
class Progress:
    """How far a check is: files begun of how many, resources judged."""

    of: int = 0
    files: int = 0
    resources: int = 0


def check_path(path: Path, seen: Callable[[int], None] | None = None) -> Iterator[Finding]:
    """Everything that is wrong in a file or folder, by the built-in engine.

    `seen` is told now and then how many more resources were judged. Raises InputError where there is nothing to
    read, KnowledgeError where the knowledge files are damaged.
    """
    progress, before = Progress(), 0
    for finding in check_paths([path], progress=progress):
        if seen and progress.resources > before:
            seen(progress.resources - before)
            before = progress.resources
        yield finding
    if seen and progress.resources > before:
        seen(progress.resources - before)


def check_paths(
    paths: Sequence[Path], asked: Asked = _ASKED, *, workers: int = 1, progress: Progress | None = None
) -> Generator[Finding, None, None]:
    """Everything that is wrong in files and folders, file by file; `-` is standard input.

    An engine that takes many resources at once has `workers` threads of its own; the others run in as many
    processes. What is wrong with a file is a finding of the rule `readable`, and the next file is read. Raises
    InputError where there is nothing to read or the engine does not know what is asked for, OutputError where a
    worker was killed.
    """
    progress = progress or Progress()
    files = list(dict.fromkeys(file for path in paths for file in reading.files(path)))
    progress.of = len(files)
    least = SEVERITIES.index(asked.minimum)
    with ExitStack() as stack:
        engine = make(asked._replace(threads=workers))
        if isinstance(engine, AbstractContextManager):
            stack.enter_context(engine)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fhirsynth-validate-")))
        gather = asked.engine == "builtin"
        places = _places(paths, files) if gather else None
        judge = Judge(engine, _known() if gather else None, places)
        spread = workers > 1 and not isinstance(engine, ManyEngine)
        works = _counted(Works(folder, gather=gather, spread=spread).of_all(files), progress)
        if isinstance(engine, ManyEngine):
            results = _pipelined(judge, engine, works)
        elif spread:
            results = stack.enter_context(_Workers(workers, asked, places)).judged(works)
        else:
            results = (result for work in works for result in judge.judge(work))
        for result in results:
            progress.resources += result.resources
            for finding in result.findings:
                if SEVERITIES.index(finding.severity) >= least:
                    yield finding


def check_bundle(bundle: Json, known: Known, places: Collection[str] | None = None) -> list[Finding]:
    """Everything that is wrong in one bundle or resource, by the built-in engine.

    `places` are the names (`Type/id`) of places and staff that may be referred to; None where they are not known.
    """
    judge = Judge(_builtin(), known, places)
    return [finding for result in judge.judge(Whole(None, None, bundle)) for finding in result.findings]


@cache
def _builtin() -> Engine:
    return make(_ASKED)


@cache
def _known() -> Known:
    return Known(kb.load())


def _counted(works: Iterable[tuple[Path | None, Work]], progress: Progress) -> Iterator[Work]:
    last: Path | None = None
    for file, work in works:
        if file is not None and file != last:
            progress.files += 1
            last = file
        yield work


def _pipelined(judge: Judge, engine: ManyEngine, works: Iterable[Work]) -> Iterator[Result]:
    """Results by an engine that is given the next documents before it has answered."""
    waiting: deque[Piece | Result] = deque()

    def documents() -> Iterator[Json]:
        for work in works:
            for piece in pieces(work):
                waiting.append(piece)
                if isinstance(piece, Piece):
                    yield piece.content

    for found in engine.check_many(documents()):
        while isinstance(waiting[0], Result):
            yield waiting.popleft()  # type: ignore[misc]
        yield judge.result(waiting.popleft(), found)
    yield from (judge.result(piece, []) for piece in waiting)


def _places(paths: Sequence[Path], files: Sequence[Path]) -> set[str] | None:
    """Names of all places and staff in the organisations files of the runs; None where there is none."""
    candidates = [file for file in files if file.name == reading.PLACES]
    for path in paths:
        if path != reading.INPUT:
            parents = path.absolute().parents
            candidates += [
                folder / reading.PLACES for folder in ((path, *parents[:2]) if path.is_dir() else parents[:3])
            ]
    found: set[str] = set()
    for file in dict.fromkeys(candidates):
        if file.is_file():
            for item in reading.read(file):
                if isinstance(item, reading.Document):
                    found.update(f"{r['resourceType']}/{r.get('id')}" for r in reading.resources(item.content))
                elif isinstance(item, reading.LargeBundle):
                    for part in item.parts():
                        entry = part.parsed(file)[0]
                        whole = {"resourceType": "Bundle", "entry": [entry]}
                        found.update(f"{r['resourceType']}/{r.get('id')}" for r in reading.resources(whole))
    return found or None


# --- other processes ------------------------------------------------------------------------------

_judge: Judge | None = None  # of a worker process


def _begin(asked: Asked, places: Collection[str] | None) -> None:
    """What a worker does first: it makes its judge, and leaves interrupts to the parent."""
    global _judge
    gc.set_threshold(100_000, 50, 50)  # what is read holds no cycles
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _judge = Judge(make(asked), _known() if asked.engine == "builtin" else None, places)


def _do(work: Work) -> list[Result]:
    assert _judge is not None  # made by `_begin`
    return list(_judge.judge(work))


class _Workers:
    """Judges in processes of their own."""

    def __init__(self, many: int, asked: Asked, places: Collection[str] | None) -> None:
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if context.get_start_method() == "forkserver":
            context.set_forkserver_preload([__name__])  # imported once, not by every worker
        self._ahead = many * _AHEAD
        self._pool = ProcessPoolExecutor(many, mp_context=context, initializer=_begin, initargs=(asked, places))

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def judged(self, works: Iterable[Work]) -> Iterator[Result]:
        """Results in the order of the works. Raises OutputError where a worker was killed."""
        under_way: deque[Future[list[Result]]] = deque()
        try:
            for work in works:
                under_way.append(self._pool.submit(_do, work))
                if len(under_way) > self._ahead:
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        except BrokenProcessPool:
            raise OutputError(
                "a worker process was killed, perhaps for want of memory; try again with fewer --workers"
            ) from None
