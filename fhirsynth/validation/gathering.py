"""What must be put together from more than memory should hold: people out of lines, the names in a large bundle."""

from __future__ import annotations

import re
import sqlite3
import tempfile
import zlib
from collections.abc import Collection
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from fhirsynth import reading
from fhirsynth.validation.findings import Json, name_of

#: Bytes of text that are put together in memory at once.
_HEAP = 8 << 20
_MOST_HEAPS = 200  # files open at once
_REFERENCE = re.compile(rb'"reference"\s*:\s*"((?:[^"\\]|\\/)+)"')
_BY_NAME = "SELECT name, url, kind FROM resource WHERE name = ? LIMIT 1"
_BY_URL = "SELECT name, url, kind FROM resource WHERE url = ? LIMIT 1"


class Kept(NamedTuple):
    """A resource that was put aside: its file and the line, or the number of the entry, where it was read."""

    file: str
    place: int
    resource: Json


class Heaps:
    """Resources put together by person in temporary files, so many that each fits into memory."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._many = min(_MOST_HEAPS, size // _HEAP + 1)
        self._open = ExitStack()
        self._files: list[IO[bytes]] = []
        self._others: IO[bytes] | None = None
        self._index: Index | None = None

    def add(self, resource: Json, file: Path, place: int) -> None:
        """Put a resource aside; one that is about nobody counts among the places and staff."""
        person = reading.person_of(resource)
        line = orjson.dumps([str(file), place, person, resource], option=orjson.OPT_APPEND_NEWLINE)
        if person is not None:
            if not self._files:
                self._files = [self._new() for _ in range(self._many)]
            self._files[zlib.crc32(person.encode()) % self._many].write(line)
        else:
            if self._others is None or self._index is None:
                self._others, self._index = self._new(), Index(new_file(self._folder))
            self._others.write(line)
            self._index.add(resource, None)

    def close(self) -> None:
        """Let go of the files; to be called before they are read."""
        self._open.close()
        if self._index:
            self._index.close()

    @property
    def people(self) -> list[Path]:
        """The heaps of people."""
        return [Path(file.name) for file in self._files]

    @property
    def others(self) -> tuple[Path, Path] | None:
        """The file of resources about nobody, and the index of their names; None where there are none."""
        return (Path(self._others.name), self._index.path) if self._others and self._index else None

    def _new(self) -> IO[bytes]:
        return self._open.enter_context(new_file(self._folder).open("wb"))


def new_file(folder: Path) -> Path:
    """An empty file of its own in a folder."""
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        return Path(file.name)


def people_of(heap: Path) -> list[list[Kept]]:
    """The resources of a heap, person by person."""
    people: dict[str, list[Kept]] = {}
    with heap.open("rb") as lines:
        for line in lines:
            file, place, person, resource = orjson.loads(line)
            people.setdefault(person, []).append(Kept(file, place, resource))
    return list(people.values())


class Index:
    """The names (`Type/id`) and addresses of many resources, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Whoever writes is one thread; the file is thrown away afterwards, so nothing needs to be safe on disk.
        self._base = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute(
            "CREATE TABLE IF NOT EXISTS resource (name TEXT, version TEXT, url TEXT, kind TEXT, batch INTEGER)"
        )
        self._base.execute("CREATE INDEX IF NOT EXISTS by_name ON resource (name)")
        self._base.execute("CREATE INDEX IF NOT EXISTS by_url ON resource (url)")
        self._base.execute("BEGIN")

    def add(self, resource: Json, url: Any, batch: int = 0) -> tuple[bool, bool]:
        """Note a resource, and whether its id, or its address, is that of one of another batch.

        Two versions of one resource, or those of two servers, may share an id; where the address is the same too,
        it is the address that is told.
        """
        name = name_of(resource) if isinstance(resource.get("id"), str) else None
        url = url if isinstance(url, str) else None
        meta = resource.get("meta")
        version = str(meta.get("versionId") or "") if isinstance(meta, dict) else ""
        server = url.removesuffix(f"/{name}") if url and name and url.endswith(f"/{name}") else ""
        same_id = same_url = False
        if name is not None:
            for other, other_batch in self._base.execute(
                "SELECT url, batch FROM resource WHERE name = ? AND version = ?", (name, version)
            ):
                other_server = other.removesuffix(f"/{name}") if other and other.endswith(f"/{name}") else ""
                same_id = same_id or (other_batch != batch and other_server == server and (url is None or other != url))
        if url is not None:
            same_url = any(
                other_batch != batch
                for (other_batch,) in self._base.execute(
                    "SELECT batch FROM resource WHERE url = ? AND version = ?", (url, version)
                )
            )
        kind = resource["resourceType"]
        self._base.execute("INSERT INTO resource VALUES (?, ?, ?, ?, ?)", (name, version, url, kind, batch))
        return same_id, same_url

    def close(self) -> None:
        """Write what was noted and close the file."""
        if self._base.in_transaction:
            self._base.execute("COMMIT")
        self._base.close()

    def stand_ins(self, data: bytes, own: Collection[str]) -> list[Json]:
        """The least that stands for the resources that a text refers to, as entries of a bundle.

        `own` are the names and addresses of the resources of the text itself.
        """
        found: dict[str, Json] = {}
        for reference in sorted({match.replace(b"\\/", b"/") for match in _REFERENCE.findall(data)}):
            wanted = reference.decode(errors="replace").partition("/_history/")[0]
            if wanted in own:
                continue
            # One after the other: with OR, the indexes are not made use of.
            for row in self._base.execute(_BY_NAME, (wanted,)).fetchall() or self._base.execute(_BY_URL, (wanted,)):
                name, url, kind = row
                if name not in own:
                    resource = {"resourceType": kind} | ({"id": name.partition("/")[2]} if name else {})
                    found[wanted] = {"resource": resource} | ({"fullUrl": url} if url else {})
        return list(found.values())


@lru_cache(maxsize=4)
def index(path: Path) -> Index:
    """The index in a file, opened once in a process."""
    return Index(path)
