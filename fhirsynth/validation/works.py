"""Files cut into works: one file, one bundle, some lines of NDJSON, some entries of a large bundle, some people.

A work can be sent to another process. It is judged in `judging`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from fhirsynth import reading
from fhirsynth.reading import LargeBundle, Part, Trouble
from fhirsynth.validation.findings import Finding, Json, name_of
from fhirsynth.validation.gathering import Heaps, Index, new_file

#: Lines or entries that are judged in one go, and bytes of them.
_TOGETHER, _BYTES = 200, 4 << 20
_IN_ENTRY = re.compile(r"entry\[(\d+)\](?:\.resource(?:\.|$))")


@dataclass(frozen=True)
class OneFile:
    """A file to be read and judged by whoever does this work."""

    file: Path


@dataclass(frozen=True)
class Told:
    """Findings that were made while reading."""

    findings: list[Finding]


@dataclass(frozen=True)
class Whole:
    """One resource or bundle, in NDJSON with its line."""

    file: Path | None
    line: int | None
    content: Json


class Line(NamedTuple):
    """A resource of NDJSON, as JSON."""

    file: Path
    number: int
    data: bytes


@dataclass(frozen=True)
class Lines:
    """Some resources of NDJSON; what is said of their person comes with the People."""

    lines: list[Line]


@dataclass(frozen=True)
class Frame:
    """A large bundle without all but its first entry: only what is said of the bundle itself counts."""

    file: Path
    content: Json


@dataclass(frozen=True)
class Entries:
    """Some entries of a large bundle: those that follow one another, and the index of all resources in it."""

    file: Path
    frame: Json
    parts: list[Part]
    index: Path


@dataclass(frozen=True)
class People:
    """A heap of resources put together by person. Those of NDJSON are judged as groups, with the index of others."""

    heap: Path
    grouped: bool
    index: Path | None = None


@dataclass(frozen=True)
class Others:
    """Resources of NDJSON that are about nobody: the file of some of them, from a byte on, and the index of all."""

    heap: Path
    begin: int
    size: int
    index: Path


Work = OneFile | Told | Whole | Lines | Frame | Entries | People | Others


class Works:
    """Cuts files into works; what must be kept meanwhile goes into files in `folder`.

    `gather`: whether rules over people and over what belongs together are asked for. `spread`: whether the works are
    done in other processes, which may read small files themselves.
    """

    def __init__(self, folder: Path, *, gather: bool, spread: bool = False) -> None:
        self._folder, self._gather, self._spread = folder, gather, spread

    def of_all(self, files: Iterable[Path]) -> Iterator[tuple[Path | None, Work]]:
        """The works of several files, each with its file; NDJSON comes last, put together from all files."""
        late = []
        size = 0
        for file in files:
            if reading.is_ndjson(file):
                late.append(file)
                size += reading.text_size(file)
            elif self._spread and file != reading.INPUT and reading.text_size(file) <= reading.LARGE and _is_json(file):
                yield file, OneFile(file)
            else:
                yield from ((file, work) for work in self.of(file))
        heaps = Heaps(self._folder, size)
        for file in late:
            yield from ((file, work) for work in self._read(file, heaps))
        yield from ((None, work) for work in self._gathered(heaps))

    def of(self, file: Path) -> Iterator[Work]:
        """The works of one file."""
        heaps = Heaps(self._folder, reading.text_size(file))
        yield from self._read(file, heaps)
        yield from self._gathered(heaps)

    def _read(self, file: Path, heaps: Heaps) -> Iterator[Work]:
        waiting: list[Trouble] = []  # until it is known in which resource they are
        lines: list[Line] = []
        size = 0
        for item in reading.read(file):
            if isinstance(item, Trouble) and item.rule == "duplicate-key":
                waiting.append(item)
                continue
            if isinstance(item, reading.Document) and item.line is not None and not _is_bundle(item.content):
                data = orjson.dumps(item.content)
                lines.append(Line(file, item.line, data))
                size += len(data)
                if self._gather:
                    heaps.add(item.content, file, item.line)
                if not waiting and len(lines) < _TOGETHER and size < _BYTES:
                    continue
            if lines:
                yield Lines(lines)
                lines, size = [], 0
            if isinstance(item, Trouble):
                yield Told([told(trouble) for trouble in (*waiting, item)])
                waiting = []
            elif isinstance(item, LargeBundle):
                yield from self._large(item)
            else:
                if waiting:
                    yield Told([told(trouble, item.content) for trouble in waiting])
                    waiting = []
                if item.line is None or _is_bundle(item.content):
                    yield Whole(file, item.line, item.content)
        if lines:
            yield Lines(lines)

    def _gathered(self, heaps: Heaps) -> Iterator[Work]:
        """What is to be done over the people out of NDJSON, and over what is about nobody."""
        heaps.close()
        names = None
        if heaps.others:
            heap, names = heaps.others
            begin = size = number = 0
            with heap.open("rb") as lines:
                for line in lines:
                    size += len(line)
                    number += 1
                    if number == _TOGETHER or size > _BYTES:
                        yield Others(heap, begin, size, names)
                        begin, size, number = begin + size, 0, 0
            if size:
                yield Others(heap, begin, size, names)
        for heap in heaps.people:
            yield People(heap, True, names)

    def _large(self, bundle: LargeBundle) -> Iterator[Work]:
        """A large bundle is gone through twice: for the names in it, then to be judged some entries at a time."""
        file, frame = bundle.file, bundle.frame
        heaps, names = Heaps(self._folder, bundle.size), Index(new_file(self._folder))
        first: list[Any] = []
        for batch, parts in enumerate(_together(bundle.parts())):
            found: list[Finding] = []
            for part in parts:
                entry = part.parsed(file)[0]
                if part.number == 0:
                    first = [entry]
                resource = entry.get("resource") if isinstance(entry, dict) else None
                if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
                    continue
                found += self._twice(names, entry, part.number, batch, bundle)
                if self._gather and reading.person_of(resource) is not None:
                    heaps.add(resource, file, part.number)
            if found:
                yield Told(found)
        names.close()
        heaps.close()
        yield Frame(file, {**frame, "entry": first} if first else frame)
        for parts in _together(bundle.parts()):
            yield Entries(file, frame, parts, names.path)
        if bundle.troubles:
            yield Told(list(map(told, bundle.troubles)))
        for heap in heaps.people:
            yield People(heap, False)

    def _twice(self, names: Index, entry: Json, number: int, batch: int, bundle: LargeBundle) -> Iterator[Finding]:
        """Ids and addresses that stand twice in a large bundle.

        The rules over resources that are judged together find those among them; here are the others.
        """
        resource, url, kind = entry["resource"], entry.get("fullUrl"), bundle.frame.get("type")
        request = entry.get("request")
        posted = isinstance(request, dict) and request.get("method") == "POST"
        same_id, same_url = names.add(resource, url, batch if self._gather else number)
        if kind == "history":
            return
        file, name = str(bundle.file), name_of(resource)
        if same_id and self._gather and not posted and kind != "batch":
            yield Finding("ids-are-unique", "the id is there twice", "", name, "id", file, entry=number)
        if same_url:
            rule = "bundle-addresses-agree" if self._gather else "bdl-7"
            said, path = f"{url}, as in another entry", f"entry[{number}].fullUrl"
            yield Finding(rule, said, "", name_of(bundle.frame), path, file)


def told(trouble: Trouble, content: Json | None = None) -> Finding:
    """A trouble of reading as a finding; `content` is the resource or bundle that it is in."""
    place = [str(trouble.file) if trouble.file != reading.INPUT else "standard input"]
    if trouble.line is not None:
        place.append(f"line {trouble.line}")
        if trouble.column is not None:
            place.append(f"column {trouble.column}")
    finding = Finding(trouble.rule, trouble.message, "", "", trouble.path, ", ".join(place), trouble.severity)
    return inside(finding._replace(expected=trouble.expected), content)


def inside(finding: Finding, content: Json | None) -> Finding:
    """A finding with the resource that it is in: in a bundle, that of the entry."""
    if content is None:
        match = _IN_ENTRY.match(finding.path)
        return finding._replace(resource="Bundle") if match else finding
    match = _IN_ENTRY.match(finding.path) if _is_bundle(content) else None
    if match is None:
        return finding._replace(resource=finding.resource or name_of(content))
    entry = int(match[1])
    try:
        name = name_of(content["entry"][entry]["resource"])
    except (LookupError, TypeError, AttributeError):
        name = "?"
    return finding._replace(resource=name, path=finding.path[match.end() :], entry=entry)


def place_of(file: Path | None, line: int | None) -> str:
    """Where a resource was read, as a finding says it."""
    if file is None:
        return ""
    name = "standard input" if file == reading.INPUT else str(file)
    return name if line is None else f"{name}, line {line}"


def _is_bundle(content: Json) -> bool:
    return bool(content["resourceType"] == "Bundle")


def _is_json(file: Path) -> bool:
    return file.name.endswith((".json", ".json.gz"))


def _together(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """As many entries as are judged in one go; the same each time."""
    found: list[Part] = []
    size = 0
    for part in parts:
        found.append(part)
        size += len(part.data or b"")
        if len(found) == _TOGETHER or size > _BYTES:
            yield found
            found, size = [], 0
    if found:
        yield found
