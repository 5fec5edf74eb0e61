"""How fast populations are made: people and resources a second, memory, and where the time goes.

python benchmarks/population.py [N]
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fhirsynth import Spec
from fhirsynth.fhir import person_resources, to_bytes
from fhirsynth.fhir.bundle import bundle
from fhirsynth.population.people import make_people
from fhirsynth.record import Record
from fhirsynth.run import output, shard
from fhirsynth.run.job import write_population
from fhirsynth.run.state import Job
from fhirsynth.timeline import live


class Measured(NamedTuple):
    """One run: seconds, resources written, and the most memory of one process in MiB."""

    seconds: float
    resources: int
    memory: float


def _run(spec: Spec, workers: int) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        summary = write_population(Job(spec, Path(folder)), workers=workers)
    who = resource.RUSAGE_SELF if workers == 1 else resource.RUSAGE_CHILDREN
    return Measured(summary.seconds, summary.tally.resources.total(), resource.getrusage(who).ru_maxrss / 1024)


def whole(spec: Spec, workers: int) -> None:
    """A whole run; with one worker in a process of its own, so that its memory is its own."""
    if workers == 1:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            made = pool.submit(_run, spec, workers).result()
    else:
        made = _run(spec, workers)
    print(
        f"workers {workers}: {spec.n / made.seconds:7.1f} people/s {made.resources / made.seconds:9,.0f} resources/s "
        f"{made.memory:6.0f} MiB a process  {made.seconds:.1f} s"
    )


def stages(spec: Spec) -> None:
    """Milliseconds a person of each stage, on one core."""
    kit = shard.tools(spec.index_date)
    spent = dict.fromkeys(("people", "timeline", "fhir", "json", "write"), 0.0)
    people = resources = size = 0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / output.STATE / "tmp").mkdir(parents=True)
        for number in range(spec.shards):
            began = time.perf_counter()
            made = make_people(spec, number, kit.knowledge, kit.model, kit.places)
            spent["people"] += (now := time.perf_counter()) - began
            record = Record(live(made, spec, kit.knowledge, kit.places))
            spent["timeline"] += time.perf_counter() - now
            for person, rows in record.by_person():
                now = time.perf_counter()
                built = person_resources(person, rows, kit.context)
                spent["fhir"] += (then := time.perf_counter()) - now
                data = to_bytes(bundle(built, kit.context))
                spent["json"] += (now := time.perf_counter()) - then
                output.write(Path(folder), f"{person.id}.json", data)
                spent["write"] += time.perf_counter() - now
                people, resources, size = people + 1, resources + len(built), size + len(data)
    print(f"{resources / people:.0f} resources and {size / people / 1024:.0f} KiB a person")
    for name, seconds in spent.items():
        print(f"  {name:9} {1000 * seconds / people:6.2f} ms a person  {100 * seconds / sum(spent.values()):3.0f} %")


def main() -> None:
    """Measure with one and with two workers, then the stages."""
    spec = Spec(n=int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    whole(spec, 1)
    whole(spec, 2)
    stages(spec)


if __name__ == "__main__":
    main()
