"""The engines that judge resources: what all of them can do, and how the one that is asked for is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from fhirsynth.errors import InputError
from fhirsynth.validation.findings import Finding, Json, Severity

ENGINES = ("builtin", "hl7", "models")


class Engine(Protocol):
    """Judges resources, and bundles with all that is in them."""

    name: str

    def check(self, resource: Json) -> list[Finding]:
        """What is wrong with one resource or bundle."""
        ...


@runtime_checkable
class ManyEngine(Protocol):
    """An engine that is quicker when it is given one after another without waiting for the answers."""

    name: str

    def check_many(self, resources: Iterable[Json]) -> Iterator[list[Finding]]:
        """What is wrong with each resource or bundle, in their order."""
        ...


class Asked(NamedTuple):
    """Which engine is asked for, and what of: plain values, so that a worker process can make its own.

    `profiles` are canonical URLs that every resource of their type must meet besides those it claims; `rules` folders
    of compiled rules (builtin), `packages` FHIR packages (hl7); findings below `minimum` are left out; `threads` is
    for an engine that has its own.
    """

    engine: str = "builtin"
    release: str = "stu3"
    profiles: tuple[str, ...] = ()
    rules: tuple[Path, ...] = ()
    packages: tuple[Path, ...] = ()
    minimum: Severity = "warning"
    threads: int = 1


def make(asked: Asked) -> Engine:
    """The engine. Raises InputError where it cannot be had, or does not know what is asked for."""
    if asked.engine not in ENGINES:
        raise InputError(f"unknown engine {asked.engine!r}: expected one of {', '.join(ENGINES)}")
    if asked.packages and asked.engine != "hl7":
        raise InputError(
            f"the engine {asked.engine} does not read packages: compile them with `fhirsynth profiles compile` "
            "and give the folder as --rules, or use --engine hl7"
        )
    if asked.rules and asked.engine != "builtin":
        raise InputError(f"the engine {asked.engine} does not read compiled rules: give --package, or --engine builtin")
    if asked.engine == "hl7":
        from fhirsynth.validation.hl7 import Hl7Engine

        return Hl7Engine(asked.release, asked.packages, asked.profiles, asked.threads)
    if asked.engine == "models":
        from fhirsynth.validation.models import ModelsEngine

        if asked.profiles:
            raise InputError("the engine models knows base FHIR R4 and no profiles: leave --profile out")
        return ModelsEngine()
    from fhirsynth.validation.engine import Validator

    return Validator(asked.release, asked.profiles, asked.rules, asked.minimum)
