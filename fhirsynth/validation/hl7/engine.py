"""HL7's validator as an engine of fhirsynth: resources in, findings out."""

from __future__ import annotations

import json
import re
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from fhirsynth.errors import InputError
from fhirsynth.validation.findings import Finding, Json, Severity
from fhirsynth.validation.hl7 import packages as _packages
from fhirsynth.validation.hl7.building import built
from fhirsynth.validation.hl7.java import find_java
from fhirsynth.validation.hl7.process import Process
from fhirsynth.validation.locations import place

#: Questions under way for each thread of Java, so that none waits, and bytes of them in all.
_AHEAD = 8
_AHEAD_BYTES = 16 << 20
#: Types and ids of inner resources, which HL7 puts between: `entry[3].resource/*Observation/abc*/.status`.
_REMARK = re.compile(r"/\*.*?\*/")
#: A choice of types as FHIRPath has it: `value.ofType(Quantity)`, in JSON valueQuantity.
_CHOICE = re.compile(r"\.ofType\(([A-Za-z])([A-Za-z0-9]*)\)")
_SEVERITIES: dict[str, Severity] = {
    "fatal": "error",
    "error": "error",
    "warning": "warning",
    "information": "information",
}


class Hl7Engine:
    """HL7's own validator over the official packages of UK Core, in a Java process that is kept warm.

    It is to be closed: by `close`, or as a context manager. Methods may be called from several threads.
    """

    name = "hl7"

    def __init__(
        self,
        release: str = "stu3",
        packages: Sequence[Path | str] = (),
        profiles: Sequence[str] = (),
        threads: int = 1,
    ) -> None:
        """Start it, which takes some seconds, and the first time a minute or two for fetching it.

        `release` of UK Core is stu3 or stu2; `packages` are files and folders to look in before those of the
        environment (`validation.hl7.packages`); `profiles` are canonical URLs that every resource of their type must
        meet besides those it claims; `threads` is how many resources Java judges at once.

        Raises InputError where Java, Maven or the packages are missing or of no use, where a profile is not known, and
        where the process does not come up.
        """
        if release not in _packages.UK_CORE:
            raise InputError(f"unknown release {release!r} of UK Core: expected one of {', '.join(_packages.UK_CORE)}")
        self.release = release
        self.threads = max(1, threads)
        self.packages = _packages.choose(release, [Path(path) for path in packages])
        java = find_java()
        folder = built(java)
        definitions: dict[str, str] = {}
        for package in self.packages:
            definitions |= _packages.definitions(package)
        start = {
            "definitions": definitions,
            "profiles": list(profiles),
            "threads": self.threads,
            # STU2 has no profiles for what STU3 added, such as vital signs: claiming one is then no fault.
            "unknownProfilesAreErrors": release == "stu3",
        }
        self._process = Process(java.command, folder, start)
        self._end = weakref.finalize(self, self._process.close)

    @property
    def pid(self) -> int:
        """The id of the Java process."""
        return self._process.pid

    def check(self, resource: Json) -> list[Finding]:
        """What is wrong with one resource or bundle. Raises InputError where the process has ended."""
        return next(self.check_many([resource]))

    def check_many(self, resources: Iterable[Json]) -> Iterator[list[Finding]]:
        """What is wrong with each resource or bundle, in their order; some are judged ahead while others are read.

        No more than some are in memory at once. Raises InputError where the process ends before all are answered.
        """
        waiting: deque[tuple[int, int, Json]] = deque()  # number of the question, its bytes, its resource
        ahead = 0
        try:
            for resource in resources:
                text = _as_json(resource)
                while waiting and (len(waiting) >= _AHEAD * self.threads or ahead + len(text) > _AHEAD_BYTES):
                    number, size, asked = waiting.popleft()
                    ahead -= size
                    yield _findings(self._process.answer(number), asked)
                waiting.append((self._process.ask(text, _claims(resource)), len(text), resource))
                ahead += len(text)
            while waiting:
                number, _, asked = waiting.popleft()
                yield _findings(self._process.answer(number), asked)
        finally:
            self._process.forget(number for number, _, _ in waiting)

    def close(self) -> None:
        """End the Java process."""
        self._end()

    def __enter__(self) -> Hl7Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _as_json(resource: Json) -> bytes:
    """A resource as JSON, with decimals as they were written where they were read as `Decimal`."""
    try:
        return orjson.dumps(resource, default=_decimal)
    except orjson.JSONEncodeError:
        # What orjson does not take: integers beyond 64 bits, half a surrogate pair, a depth of more than 254.
        return json.dumps(resource, default=_decimal_as_number).encode()


def _decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} is no JSON")


def _decimal_as_number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _claims(resource: Json) -> list[str]:
    """The profiles that a resource says it meets."""
    meta = resource.get("meta")
    claims = meta.get("profile") if isinstance(meta, dict) else None
    return [claim for claim in claims if isinstance(claim, str)] if isinstance(claims, list) else []


def _path(location: str, resource: Json) -> str:
    """A location in HL7's words as a path without the resource's type, in those of JSON: `valueQuantity.code`."""
    path = _CHOICE.sub(lambda found: found[1].upper() + found[2], _REMARK.sub("", location))
    if path == "$":  # the document, where it has not come to be a resource
        return ""
    kind = str(resource.get("resourceType"))
    return path[len(kind) :].removeprefix(".") if re.match(rf"{re.escape(kind)}(\.|$)", path) else path


def _findings(issues: list[dict[str, str]], resource: Json) -> list[Finding]:
    found = []
    for issue in issues:
        named = place(_path(issue["location"], resource), resource)
        found.append(
            Finding(
                f"hl7:{issue['rule'].rpartition('#')[2]}",  # of an invariant only its key
                issue["message"],
                resource=named.resource,
                path=named.path,
                severity=_SEVERITIES.get(issue["severity"], "error"),
            )
        )
    return found
