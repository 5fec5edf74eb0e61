"""Makes the index of a folder: every resource, and the values that searches look for, in one SQLite file."""

from __future__ import annotations

import datetime as dt
import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from fhirsynth import reading
from fhirsynth.errors import InputError
from fhirsynth.serving import values
from fhirsynth.serving.parameters import Field, Parameters
from fhirsynth.serving.tables import (
    COMPARTMENT,
    HEAPS,
    IMPLIED_SYSTEM,
    LINK,
    MOMENT,
    NO_SYSTEM,
    QUANTITY,
    SCHEMA,
    STRING,
    TABLE_OF,
    TOKEN,
    Packing,
)

Json = dict[str, Any]
#: Told how many bytes are read, of how many.
Progress = Callable[[int, int], None]

#: Resources after which the values that are held are written.
_HELD = 1000
_QUICK = """
PRAGMA main.journal_mode = OFF; PRAGMA loose.journal_mode = OFF;
PRAGMA main.synchronous = OFF; PRAGMA loose.synchronous = OFF;
PRAGMA main.cache_size = -32768; PRAGMA loose.cache_size = -4096;
"""


def build(
    files: list[Path], target: Path, loose: Path, parameters: Parameters, progress: Progress | None = None
) -> None:
    """Write the index of what is in `files` into `target`, with the file `loose` for what is not sorted yet.

    Neither file may exist; `loose` is left for the caller to remove. Where a resource is met again (documents repeat
    what people have), the first stays. Raises InputError where a file cannot be read, sqlite3.Error where the index
    cannot be written.
    """
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS loose", (str(loose),))
        connection.executescript(_QUICK + SCHEMA)
        making = _Making(connection, parameters)
        sizes = [file.stat().st_size for file in files]
        of, before = sum(sizes), 0
        connection.execute("BEGIN")
        for file, size in zip(files, sizes, strict=True):
            told = _told(int(file.stat().st_mtime))
            done = 0
            for resource in _resources(file):
                done += making.add(resource, *told)
                if making.held >= _HELD:
                    making.flush()
                    if progress:
                        progress(before + min(done, size), of)
            before += size
            if progress:
                progress(before, of)
        making.finish()
        connection.execute("COMMIT")


def _resources(file: Path) -> Iterator[Json]:
    """The resources of a file; a document is one itself, besides what is in it."""
    for item in reading.read(file):
        if isinstance(item, reading.Trouble):
            _refuse(item)
        elif isinstance(item, reading.LargeBundle):
            for part in item.parts():
                entry, troubles = part.parsed(file)
                for trouble in troubles:
                    _refuse(trouble)
                yield from reading.resources({"resourceType": "Bundle", "entry": [entry]})
            for trouble in item.troubles:
                _refuse(trouble)
        else:
            yield from reading.resources(item.content)
            if item.content["resourceType"] == "Bundle" and item.content.get("type") == "document":
                yield item.content


def _refuse(trouble: reading.Trouble) -> None:
    if trouble.rule == "readable":
        line = f", line {trouble.line}" if trouble.line else ""
        raise InputError(f"{trouble.file}{line}: {trouble.message}; `fhirsynth validate` says more")


def _told(updated: int) -> tuple[int, str]:
    """When something was changed, in seconds since 1970 and as FHIR writes it."""
    return updated, dt.datetime.fromtimestamp(updated, dt.UTC).isoformat().replace("+00:00", "Z")


class _Kind:
    """What an index in the making knows of one type of resource.

    `plan`: the fields by the element that their path begins with, `present`: those that have a value anyway,
    `waiting`: the first resources, which are packed when there are enough of them to see what they have in common.
    """

    def __init__(self, name: str, number: int, fields: list[tuple[int, Field]]) -> None:
        self.name, self.id, self.fields = name, number, fields
        self.plan: defaultdict[str, list[tuple[int, Field]]] = defaultdict(list)
        for numbered in fields:
            if not numbered[1].present:
                self.plan[numbered[1].first].append(numbered)
        self.present = [numbered for numbered in fields if numbered[1].present]
        self.resources = 0
        self.profiles: set[str] = set()
        self.targets: defaultdict[int, set[str]] = defaultdict(set)
        self.packing: Packing | None = None
        self.waiting: list[tuple[int, bytes]] = []

    def values(self, resource: Json) -> Iterator[tuple[int, Field, tuple[Any, ...]]]:
        """The values of a resource, with their fields and the fields' numbers."""
        for name, element in resource.items():
            for number, field in self.plan.get(name, ()):
                for value in field.values_in(element):
                    yield number, field, value
        for number, field in self.present:
            for value in field.values(resource):
                yield number, field, value


class _Making:
    """An index that is being made. `held`: of how many resources it has values that are not written yet."""

    def __init__(self, connection: sqlite3.Connection, parameters: Parameters) -> None:
        self.held = 0
        self._connection, self._parameters = connection, parameters
        self._kinds: dict[str, _Kind] = {}
        self._numbers: dict[str, int] = {}
        self._systems = {"": NO_SYSTEM, values.IMPLIED: IMPLIED_SYSTEM}
        self._heaps: dict[str, list[tuple[Any, ...]]] = {}
        for name, columns in HEAPS.items():
            connection.execute(f"CREATE TABLE loose.{name} ({', '.join(columns)})")
            self._heaps[name] = []

    def add(self, resource: Json, updated: int, told: str) -> int:
        """Add a resource that was changed at `updated`, which `told` says in words; bytes of its JSON.

        One without an id cannot be addressed, and is left out.
        """
        name, identity = resource["resourceType"], resource.get("id")
        if not isinstance(identity, str):
            return 0
        kind = self._kinds.get(name) or self._kind(name)
        version, body = _with_meta(resource, told)
        row = (kind.id, identity, version, updated, kind.packing.pack(body) if kind.packing else None)
        added = self._connection.execute(
            "INSERT OR IGNORE INTO resource (kind, id, version, updated, body) VALUES (?, ?, ?, ?, ?)", row
        )
        if added.rowcount:
            assert added.lastrowid is not None
            self.held += 1
            kind.resources += 1
            if not kind.packing:
                kind.waiting.append((added.lastrowid, body))
                if len(kind.waiting) == Packing.SAMPLES:
                    self._pack(kind)
            self._values(resource, kind, added.lastrowid)
        return len(body)

    def flush(self) -> None:
        """Write the values that are held."""
        for name, rows in self._heaps.items():
            marks = ", ".join("?" * len(HEAPS[name]))
            self._connection.executemany(f"INSERT INTO loose.{name} VALUES ({marks})", rows)
            rows.clear()
        self.held = 0

    def finish(self) -> None:
        """Sort the values, resolve the references, and write what the index tells of itself."""
        for kind in self._kinds.values():
            self._pack(kind)
        self.flush()
        execute = self._connection.execute
        execute("CREATE INDEX by_kind ON resource (kind)")
        execute("CREATE TABLE loose.type (id INTEGER PRIMARY KEY, name TEXT)")
        self._connection.executemany("INSERT INTO loose.type VALUES (?, ?)", ((n, x) for x, n in self._numbers.items()))
        execute(
            "CREATE TABLE loose.resolved AS SELECT l.field, l.resource, r.key AS target, "
            "iif(r.key IS NULL, t.name || '/' || l.id, NULL) AS text, iif(r.key IS NULL, l.id, NULL) AS id "
            "FROM loose.link l JOIN loose.type t ON t.id = l.kind "
            "LEFT JOIN resource r ON r.kind = l.kind AND r.id = l.id"
        )
        for column in ("text", "id"):
            found = f"SELECT field, {column}, resource, {NO_SYSTEM} FROM loose.resolved WHERE target IS NULL"
            execute(f"INSERT INTO loose.token {found}")
        resolved = "SELECT field, target, resource FROM loose.resolved WHERE target IS NOT NULL"
        whose = (
            "SELECT p.key AS patient, c.resource FROM loose.compartment c "
            f"CROSS JOIN resource p ON p.kind = {self._number('Patient')} AND p.id = c.patient"
        )
        statements = [statement for table in (TOKEN, STRING, MOMENT, QUANTITY) for statement in table.sort()]
        for statement in [*statements, *LINK.sort(resolved), *COMPARTMENT.sort(whose)]:
            execute(statement)
        self._tell()

    def _tell(self) -> None:
        for kind in self._kinds.values():
            samples = kind.packing.samples if kind.packing else b""
            row = (kind.id, kind.name, kind.resources, _json(sorted(kind.profiles)), samples)
            self._connection.execute("INSERT INTO kind VALUES (?, ?, ?, ?, ?)", row)
            fields = (
                (number, kind.name, field.type, field.path, _json(sorted(kind.targets[number])))
                for number, field in kind.fields
            )
            self._connection.executemany("INSERT INTO field VALUES (?, ?, ?, ?, ?)", fields)
        systems = ((number, uri) for uri, number in self._systems.items() if number > IMPLIED_SYSTEM)
        self._connection.executemany("INSERT INTO system VALUES (?, ?)", systems)

    def _number(self, name: str) -> int:
        """The number of a type of resource, whether or not there is one of it."""
        return self._numbers.setdefault(name, len(self._numbers) + 1)

    def _kind(self, name: str) -> _Kind:
        first = 1 + sum(len(kind.fields) for kind in self._kinds.values())
        kind = _Kind(name, self._number(name), list(enumerate(self._parameters.fields(name), first)))
        self._kinds[name] = kind
        return kind

    def _pack(self, kind: _Kind) -> None:
        """Pack the resources that wait for it."""
        if kind.waiting:
            packing = kind.packing = Packing.like([body for _, body in kind.waiting])
            rows = ((packing.pack(body), key) for key, body in kind.waiting)
            self._connection.executemany("UPDATE resource SET body = ? WHERE key = ?", rows)
            kind.waiting.clear()

    def _values(self, resource: Json, kind: _Kind, key: int) -> None:
        heaps, systems = self._heaps, self._systems
        tokens, links = heaps[TOKEN.name], heaps[LINK.name]
        for number, field, value in kind.values(resource):
            if field.type == "token":
                system, code = value
                tokens.append((number, code, key, systems.setdefault(system, len(systems))))
            elif field.type == "reference":
                target, identity = value
                if target:
                    links.append((number, self._number(target), identity, key))
                    kind.targets[number].add(target)
                else:
                    tokens.append((number, identity, key, NO_SYSTEM))
            elif field.type == "uri":
                uri = value[1]
                code = systems.setdefault(uri, len(systems)) if field.numbered else uri
                tokens.append((number, code, key, IMPLIED_SYSTEM))
                if field.path == "meta.profile":
                    kind.profiles.add(uri)
            elif field.type == "string":
                heaps[STRING.name].append((number, *value, key))
            else:
                heaps[TABLE_OF[field.type].name].append((number, key, *value))
        if (person := reading.person_of(resource)) is not None:
            heaps[COMPARTMENT.name].append((person, key))


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _with_meta(resource: Json, told: str) -> tuple[str, bytes]:
    """The version of a resource, and its JSON with what a server says of it: version, and when it was changed."""
    text = orjson.dumps(resource)
    version = hashlib.blake2b(text, digest_size=6).hexdigest()
    before, inside, behind = text.partition(b'"meta":{"')
    meta = resource.get("meta")
    third = next(islice(resource, 2, None), None) == "meta"  # so that nothing before it can look like it
    if third and inside and isinstance(meta, dict) and "versionId" not in meta and "lastUpdated" not in meta:
        added = f'"meta":{{"versionId":"{version}","lastUpdated":"{told}","'.encode()
        return version, before + added + behind
    found = dict(resource)
    own = {"versionId": version, "lastUpdated": told}
    found["meta"] = own | {k: v for k, v in meta.items() if k not in own} if isinstance(meta, dict) else own
    first = {key: found.pop(key) for key in ("resourceType", "id", "meta")}
    return version, orjson.dumps(first | found)
