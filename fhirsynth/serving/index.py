"""Reads an index: resources by type and id, which types there are, what the tables call a system or a field.

Threads may share an Index: a connection is used by one of them at a time, and nothing is ever written. All connections
are made at once, so that an index which another process puts under the same name does not mix with this one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import LifoQueue
from typing import Any, NamedTuple

import orjson

from fhirsynth.serving import values
from fhirsynth.serving.parameters import Parameter
from fhirsynth.serving.tables import IMPLIED_SYSTEM, NO_SYSTEM, Packing

#: Connections: searches have up to four at a time, reads one; exports wait for those that are left.
_CONNECTIONS = 8
#: Memory of a connection for pages of the index, in KiB.
_CACHE = 16 << 10


@dataclass(frozen=True)
class Kind:
    """A type of resource: its number, how many there are, the profiles that they name."""

    id: int
    name: str
    resources: int
    profiles: tuple[str, ...]
    packing: Packing


class Stored(NamedTuple):
    """A resource: its key, by which all are in order, type and id, version, when it was changed (s), and its JSON."""

    key: int
    kind: str
    id: str
    version: str
    updated: int
    body: bytes


class Index:
    """An index in a file. Raises sqlite3.Error where it is none."""

    def __init__(self, file: Path) -> None:
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue()
        try:
            for _ in range(_CONNECTIONS):
                self._idle.put(_connected(file))
            self._read_about()
        except sqlite3.Error:
            self.close()
            raise

    def _read_about(self) -> None:
        """Read what the index tells of itself."""
        self.about: dict[str, str] = dict(self.rows("SELECT name, value FROM about"))
        self.kinds: dict[str, Kind] = {
            name: Kind(number, name, resources, tuple(orjson.loads(profiles)), Packing(samples))
            for number, name, resources, profiles, samples in self.rows(
                "SELECT id, name, resources, profiles, samples FROM kind ORDER BY name"
            )
        }
        self._by_number = {kind.id: kind for kind in self.kinds.values()}
        self._fields: dict[tuple[str, str, str], tuple[int, tuple[str, ...]]] = {
            (kind, sort, path): (number, tuple(orjson.loads(targets)))
            for number, kind, sort, path, targets in self.rows("SELECT id, kind, type, path, targets FROM field")
        }

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses meanwhile."""
        connection = self._idle.get()
        try:
            yield connection
        finally:
            self._idle.put(connection)

    def close(self) -> None:
        """Close the connections. None may be in use."""
        while not self._idle.empty():
            self._idle.get().close()

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query."""
        with self._connection() as connection:
            return connection.execute(sql, params).fetchall()

    @cached_property
    def resources(self) -> int:
        """How many resources there are."""
        return sum(kind.resources for kind in self.kinds.values())

    def read(self, kind: str, identity: str) -> Stored | None:
        """One resource, if it is there."""
        known = self.kinds.get(kind)
        found = known and self.rows(
            "SELECT key, kind, id, version, updated, body FROM resource WHERE kind = ? AND id = ?", (known.id, identity)
        )
        return self._stored(found[0]) if found else None

    def key(self, kind: str, identity: str) -> int | None:
        """The key of a resource, if it is there."""
        known = self.kinds.get(kind)
        found = known and self.rows("SELECT key FROM resource WHERE kind = ? AND id = ?", (known.id, identity))
        return found[0][0] if found else None

    def by_keys(self, keys: Iterable[int]) -> list[Stored]:
        """Resources by their keys, in the same order."""
        sql = "SELECT key, kind, id, version, updated, body FROM resource WHERE key = ?"
        with self._connection() as connection:
            rows = [row for key in keys for row in connection.execute(sql, (key,))]
        return [self._stored(row) for row in rows]

    def of_kind(self, kind: str, after: int, most: int) -> list[Stored]:
        """The next resources of a type behind a key."""
        known = self.kinds.get(kind)
        if known is None:
            return []
        sql = (
            "SELECT key, kind, id, version, updated, body FROM resource INDEXED BY by_kind "
            "WHERE kind = ? AND key > ? ORDER BY key LIMIT ?"
        )
        return [self._stored(row) for row in self.rows(sql, (known.id, after, most))]

    def compartment(self, patient: int) -> list[int]:
        """Keys of what belongs to a patient's record, by the patient's key."""
        return [key for (key,) in self.rows("SELECT resource FROM compartment WHERE patient = ?", (patient,))]

    def fields(self, parameter: Parameter) -> list[int]:
        """The numbers of the fields that a parameter searches in; none where there is no resource of the type."""
        return [number for number, _ in self._found(parameter)]

    def targets(self, parameter: Parameter) -> list[str]:
        """The types of resource that a reference points to, in these data."""
        kinds = {kind for _, targets in self._found(parameter) for kind in targets}
        return sorted(kind for kind in kinds if parameter.target in (None, kind))

    def _found(self, parameter: Parameter) -> list[tuple[int, tuple[str, ...]]]:
        keys = ((field.kind, field.type, field.path) for field in parameter.fields)
        return [self._fields[key] for key in keys if key in self._fields]

    def system(self, uri: str) -> int | None:
        """The number of a system, or of a URL that has one; None where it is nowhere."""
        if uri == "":
            return NO_SYSTEM
        if uri == values.IMPLIED:
            return IMPLIED_SYSTEM
        found = self.rows("SELECT id FROM system WHERE uri = ?", (uri,))
        return found[0][0] if found else None

    def _stored(self, row: tuple[Any, ...]) -> Stored:
        kind = self._by_number[row[1]]
        return Stored(row[0], kind.name, row[2], row[3], row[4], kind.packing.unpack(row[5]))


def _connected(file: Path) -> sqlite3.Connection:
    uri = f"{file.absolute().as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
    connection.execute(f"PRAGMA cache_size = -{_CACHE}")
    return connection
