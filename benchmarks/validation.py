"""How fast the engines of `fhirsynth validate` judge our own output: resources a second on one core, all in one run.

python benchmarks/validation.py [N] [--package PATH]…

makes N people (default 50) and judges them by each engine, as single resources and as whole bundles. The slow engines
judge only as many resources as they do in about the same time. What comes before the measured run is told apart:
`start` is until the engine is there, `warm-up` until it has judged other people (rules are compiled when first met,
Java gets quicker for some hundred resources). `--package` is a FHIR package or a folder of them, for HL7's validator.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from fhirsynth import Population, knowledge
from fhirsynth.errors import FhirsynthError
from fhirsynth.validation import Known, check_bundle
from fhirsynth.validation.engines import Asked, Engine, ManyEngine, make

Json = dict[str, Any]
Judge = Callable[[Iterable[Json]], int]

#: Resources that each engine judges at most, and before that to warm up.
SAMPLES = {"builtin": 1_000_000, "models": 3_000, "hl7": 1_000}
WARM_UP = {"builtin": 4_000, "models": 500, "hl7": 1_000}


class Measured(NamedTuple):
    """One engine on one form of input: seconds it took, how many resources, errors found."""

    seconds: float
    resources: int
    errors: int

    @property
    def rate(self) -> float:
        """Resources a second, once warm."""
        return self.resources / self.seconds


def one_core() -> None:
    """Keep this process, and those it starts, on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def bundles_for(wanted: int, bundles: Iterable[Json]) -> list[Json]:
    """The first bundles that have so many resources between them, or all."""
    found: list[Json] = []
    there = 0
    for bundle in bundles:
        if found and there >= wanted:
            break
        found.append(bundle)
        there += len(bundle["entry"])
    return found


def resources_of(bundles: Iterable[Json]) -> list[Json]:
    """The resources in bundles."""
    return [entry["resource"] for bundle in bundles for entry in bundle["entry"]]


def judged_by(engine: Engine) -> Judge:
    """What judges documents by an engine, and says how many errors there were."""

    def judge(documents: Iterable[Json]) -> int:
        answers = engine.check_many(documents) if isinstance(engine, ManyEngine) else map(engine.check, documents)
        return sum(finding.severity == "error" for found in answers for finding in found)

    return judge


def with_rules_between(known: Known) -> Judge:
    """What judges bundles by the built-in engine, and by the rules between resources and over lives as well."""

    def judge(documents: Iterable[Json]) -> int:
        return sum(finding.severity == "error" for bundle in documents for finding in check_bundle(bundle, known))

    return judge


def measure(judge: Judge, documents: list[Json], resources: int) -> Measured:
    """Judge, and say how long it took."""
    began = time.perf_counter()
    errors = judge(documents)
    return Measured(time.perf_counter() - began, resources, errors)


def of_engine(asked: Asked, people: list[Json], others: list[Json]) -> dict[str, Measured]:
    """Measure one engine, and print it. Raises FhirsynthError where the engine cannot be had."""
    name = asked.engine
    sample, before = bundles_for(SAMPLES[name], people), bundles_for(WARM_UP[name], others)
    single = resources_of(sample)
    with ExitStack() as stack:
        began = time.perf_counter()
        engine = make(asked)
        if isinstance(engine, AbstractContextManager):
            stack.enter_context(engine)
        start = time.perf_counter() - began
        judges = dict.fromkeys(("single", "bundles"), judged_by(engine))
        if name == "builtin":
            judges["bundles"] = with_rules_between(Known(knowledge.load()))
        began = time.perf_counter()
        judges["single"](resources_of(before))
        judges["bundles"](before)
        warm_up = time.perf_counter() - began
        found = {
            "single": measure(judges["single"], single, len(single)),
            "bundles": measure(judges["bundles"], sample, len(single)),
        }
    print(f"{name}: start {start:.1f} s, warm-up on {2 * len(resources_of(before)):,} resources {warm_up:.1f} s")
    for form, measured in found.items():
        print(
            f"  {form:8} {measured.rate:9,.0f} resources/s   "
            f"{measured.resources:7,} resources in {measured.seconds:5.1f} s, {measured.errors} errors"
        )
    return found


def main() -> None:
    """Make people, measure each engine, and compare."""
    parser = argparse.ArgumentParser(description="Measure the engines of fhirsynth validate.")
    parser.add_argument("people", type=int, nargs="?", default=50)
    parser.add_argument("--package", type=Path, action="append", default=[])
    given = parser.parse_args()
    one_core()
    people = list(Population(n=given.people, seed=1).people())
    others = list(Population(n=20, seed=2).people())
    print(f"{len(people)} people, {sum(len(bundle['entry']) for bundle in people):,} resources, one core")
    rates: dict[str, dict[str, Measured]] = {}
    for engine in SAMPLES:
        packages = tuple(given.package) if engine == "hl7" else ()
        try:
            rates[engine] = of_engine(Asked(engine, packages=packages), people, others)
        except FhirsynthError as error:
            print(f"{engine:8} not measured: {error}")
    for other in rates:
        if other != "builtin" and "builtin" in rates:
            single, bundles = (rates["builtin"][form].rate / rates[other][form].rate for form in ("single", "bundles"))
            print(f"builtin is {single:.1f} (single), {bundles:.1f} (bundles) times as fast as {other}")


if __name__ == "__main__":
    main()
