"""The index as SQLite has it: its tables, how each is filled, and how a resource is packed into it.

The resources themselves are in it too, packed, so that one look-up reads any of them, however the folder is laid out
and whether or not its files are gzip.

`field` is one path in one type of resource; the tables of values are sorted by it. While the index is made, values go
unsorted into a second file (`loose`), and are sorted into the index at the end: memory stays small, and nothing is
written twice in the file that stays. References between resources become pairs of keys then.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

#: Raised when what an index holds or means changes, so that one of an older version is made again.
VERSION = 1

#: The system of a token that has none, and of one whose element implies it; others are numbered from 2.
NO_SYSTEM, IMPLIED_SYSTEM = 0, 1

SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE kind (id INTEGER PRIMARY KEY, name TEXT UNIQUE, resources INTEGER, profiles TEXT, samples BLOB);
CREATE TABLE field (id INTEGER PRIMARY KEY, kind TEXT, type TEXT, path TEXT, targets TEXT);
CREATE TABLE system (id INTEGER PRIMARY KEY, uri TEXT UNIQUE);
CREATE TABLE resource (
  key INTEGER PRIMARY KEY, kind INTEGER, id TEXT, version TEXT, updated INTEGER, body BLOB, UNIQUE (kind, id)
);
"""


class Table(NamedTuple):
    """A table of values: its columns, those that it is sorted by, and an index besides, if any."""

    name: str
    columns: tuple[str, ...]
    order: tuple[str, ...]
    besides: tuple[str, ...] = ()

    def create(self) -> str:
        """The statement that makes it, sorted."""
        columns = ", ".join((*self.columns, f"PRIMARY KEY ({', '.join(self.order)})"))
        return f"CREATE TABLE main.{self.name} ({columns}) WITHOUT ROWID"

    def sort(self, rows: str | None = None) -> list[str]:
        """The statements that fill it from the heap of its name, or from the query `rows`, and drop the heap."""
        rows = rows or f"SELECT {', '.join(self.columns)} FROM loose.{self.name}"
        moved = f"INSERT OR IGNORE INTO main.{self.name} {rows} ORDER BY {', '.join(self.order)}"
        found = [self.create(), moved, f"DROP TABLE loose.{self.name}"]
        if self.besides:
            found.append(f"CREATE INDEX main.{self.name}_besides ON {self.name} ({', '.join(self.besides)})")
        return found


#: Codes, and references to what is not there: as `Type/id`, as the id alone, or as the URL that they are.
TOKEN = Table("token", ("field", "code", "resource", "system"), ("field", "code", "resource", "system"))
STRING = Table("string", ("field", "folded", "text", "resource"), ("field", "folded", "resource", "text"))
MOMENT = Table(
    "moment",
    ("field", "resource", "first", "after"),
    ("field", "resource", "first", "after"),
    ("field", "first", "after"),
)
QUANTITY = Table(
    "quantity",
    ("field", "resource", "value", "unit", "system", "code"),
    ("field", "resource", "value", "unit", "system", "code"),
    ("field", "value"),
)
#: References to what is there, by the keys of both.
LINK = Table("link", ("field", "target", "resource"), ("field", "target", "resource"))
#: Whose record a resource belongs to, by the keys of both.
COMPARTMENT = Table("compartment", ("patient", "resource"), ("patient", "resource"))

#: The heaps and their columns: those of references have type and id where the tables have keys.
HEAPS = {table.name: table.columns for table in (TOKEN, STRING, MOMENT, QUANTITY)} | {
    "link": ("field", "kind", "id", "resource"),
    "compartment": ("patient", "resource"),
}

#: Which table the values of a type of search are in; references are in `LINK` besides.
TABLE_OF = {
    "token": TOKEN,
    "reference": TOKEN,
    "uri": TOKEN,
    "string": STRING,
    "date": MOMENT,
    "quantity": QUANTITY,
}


class Packing:
    """Packs resources of one type: deflated, with some of them as the text that all begin from."""

    #: How many of the first resources are taken for it; and the most that deflate can look back.
    SAMPLES = 24
    _WINDOW = 15
    _LEVEL = 3

    def __init__(self, samples: bytes) -> None:
        self.samples = samples
        self._ready = zlib.compressobj(
            self._LEVEL, zlib.DEFLATED, -self._WINDOW, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY, samples
        )

    @classmethod
    def like(cls, bodies: Sequence[bytes]) -> Packing:
        """A packing for what is like these resources."""
        return cls(b"".join(bodies)[-(1 << cls._WINDOW) :])

    def pack(self, body: bytes) -> bytes:
        """A resource as it is kept."""
        deflate = self._ready.copy()  # far quicker than to read the samples again
        return deflate.compress(body) + deflate.flush()

    def unpack(self, packed: bytes) -> bytes:
        """A resource as it was."""
        return zlib.decompressobj(-self._WINDOW, self.samples).decompress(packed)
