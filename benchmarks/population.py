"""How fast populations are made: people and resources a second, memory, and where the time goes.

python benchmarks/population.py [N]
python benchmarks/population.py [N] --format bundle ndjson xml parquet csv bundle,parquet …

With `--format` each of the formats is written by one worker, and its time stands beside that of the first. What a
format costs beyond making the people is what it takes more than another that takes less.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
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
    """One run: seconds, of them those of the processor, resources and bytes written, and the most memory in MiB.

    The processor's and the memory are those of one process.
    """

    seconds: float
    cpu: float
    resources: int
    size: int
    memory: float


def _run(spec: Spec, workers: int, form: str = "bundle") -> Measured:
    shard.tools(spec.index_date)  # what is loaded once does not count
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        summary = write_population(Job(spec, Path(folder), form), workers=workers)
        cpu = time.process_time() - began
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    who = resource.RUSAGE_SELF if workers == 1 else resource.RUSAGE_CHILDREN
    memory = resource.getrusage(who).ru_maxrss / 1024
    return Measured(summary.seconds, cpu, summary.tally.resources.total(), size, memory)


def _alone(spec: Spec, form: str = "bundle") -> Measured:
    """A run with one worker, in a process of its own, so that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_run, spec, 1, form).result()


def whole(spec: Spec, workers: int) -> None:
    """A whole run."""
    made = _alone(spec) if workers == 1 else _run(spec, workers)
    print(
        f"workers {workers}: {spec.n / made.seconds:7.1f} people/s {made.resources / made.seconds:9,.0f} resources/s "
        f"{made.memory:6.0f} MiB a process  {made.seconds:.1f} s"
    )


def formats(spec: Spec, wanted: list[str]) -> None:
    """A whole run in each format."""
    first: float | None = None
    for form in wanted:
        made = _alone(spec, form)
        first = made.cpu if first is None else first
        print(
            f"{form:22} {spec.n / made.cpu:7.1f} people a second of CPU {made.cpu / first:6.2f} times {wanted[0]} "
            f"{made.size / spec.n / 1024:7.0f} KiB a person {made.memory:6.0f} MiB  {made.seconds:.1f} s"
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
    """Measure with one and with two workers, then the stages; or each format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", nargs="?", type=int, default=1000, metavar="N", help="living people")
    parser.add_argument(
        "--format", nargs="+", metavar="FORMAT", help="formats to measure, instead of workers and stages"
    )
    asked = parser.parse_args()
    spec = Spec(n=asked.n)
    if asked.format:
        formats(spec, asked.format)
        return
    whole(spec, 1)
    whole(spec, 2)
    stages(spec)


if __name__ == "__main__":
    main()
