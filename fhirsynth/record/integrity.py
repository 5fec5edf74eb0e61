"""Whether a record holds together: unique ids, required columns filled, foreign keys that point somewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fhirsynth.record.columns import columns
from fhirsynth.record.schema import KEYS, TABLES


class Problem(NamedTuple):
    """One fault: which row of which table, which column, and what is wrong with it."""

    table: str
    id: str
    column: str
    what: str

    def __str__(self) -> str:
        return f"{self.table} {self.id}: {self.column} {self.what}"


def _required(table: type) -> list[tuple[int, str]]:
    """Position and name of the columns that may not be null."""
    return [(position, column.name) for position, column in enumerate(columns(table)) if column.required]


def problems(tables: Mapping[str, Sequence[Any]]) -> list[Problem]:
    """Every fault in `tables` (table name → rows, all tables present), in table and row order."""
    found: list[Problem] = []
    ids: dict[str, set[str]] = {}
    for name, rows in tables.items():
        seen: set[str] = set()
        for row in rows:
            if row.id in seen:
                found.append(Problem(name, row.id, "id", "is used twice"))
            seen.add(row.id)
        ids[name] = seen
        for position, column in _required(TABLES[name]):
            for row in rows:
                if row[position] is None:
                    found.append(Problem(name, row.id, column, "is missing"))
    for name, keys in KEYS.items():
        rows = tables[name]
        for column, target in keys.items():
            position = TABLES[name]._fields.index(column)  # type: ignore[attr-defined]
            known = ids[target]
            for row in rows:
                value = row[position]
                if value is not None and value not in known:
                    found.append(Problem(name, row.id, column, f"points to {value}, not in {target}"))
    return found
