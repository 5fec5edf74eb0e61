"""Who does the work: this process, several processes, or anything that looks like `concurrent.futures.Executor`."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from typing import Any, TypeVar

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

#: Tasks handed to the engine ahead of the workers, for each of them: enough that none waits.
_AHEAD = 2


class InProcess(Executor):
    """Does each task at once, in this process."""

    def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Future[_Result]:
        future: Future[_Result] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def executor(workers: int) -> Executor:
    """An engine of `workers` processes, started afresh rather than forked; one worker is this process."""
    if workers == 1:
        return InProcess()
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(["fhirsynth.run.job"])  # imported once, not by every worker
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_interrupts_to_parent)


def each(
    engine: Executor, workers: int, function: Callable[[_Task], _Result], tasks: Iterable[_Task]
) -> Generator[_Result, None, None]:
    """Results of `function` for all `tasks`, as they are finished.

    No more than a few tasks a worker are under way, so memory does not grow with their number. Raises
    what `function` raised; nothing new is begun after that.
    """
    under_way: set[Future[_Result]] = set()
    limit = 1 if workers == 1 else workers * _AHEAD
    try:
        for task in tasks:
            under_way.add(engine.submit(function, task))
            if len(under_way) >= limit:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        while under_way:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        for future in under_way:
            future.cancel()
