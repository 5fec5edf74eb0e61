"""The data dictionary: what each table and column means, its type, its values, its unit, and how tables are linked.

All of it comes from the classes of the tables: those of the record (`fhirsynth.record.schema`) and the code lists
(`fhirsynth.tables.codes`), to which the keys and national codes in the record are foreign keys. As JSON it is a data
package of Frictionless Data (Table Schema), so that other tools can check and link the tables by it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

from fhirsynth.record.columns import Column, columns
from fhirsynth.record.schema import TABLES
from fhirsynth.tables.codes import LISTS

Json = dict[str, Any]

_HEADING = ("table", "column", "type", "unit", "required", "key", "values", "meaning")
_TITLE = "Tables of a synthetic population by fhirsynth"
_ABOUT = (
    "Nobody in them is real. Every table of the record has the primary key id; times are in UTC; an empty cell means "
    "that nothing is recorded, and false is written out. What keys and national codes stand for is in the code lists, "
    "the tables whose names begin with code_."
)
_EXCEL = (
    "CSV files are UTF-8. Excel takes them for another encoding, and codes for numbers, of which it keeps 15 digits: "
    "open them there with Data > From Text/CSV, File Origin 65001: Unicode (UTF-8), and without detecting data types."
)
#: Every table that is written, and the columns of its primary key.
_TABLES: dict[str, type] = {**TABLES, **{name: item.table for name, item in LISTS.items()}}
_PRIMARY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(TABLES, ("id",)),
    **{name: item.primary for name, item in LISTS.items()},
}


def as_json(path: Callable[[str], str]) -> bytes:
    """The data dictionary as a data package. `path`: the file of a table by name, from where the dictionary lies."""
    package = {
        "name": "fhirsynth-record",
        "title": _TITLE,
        "description": _ABOUT,
        "resources": [_resource(name, path(name)) for name in _TABLES],
    }
    return (json.dumps(package, indent=2, ensure_ascii=False) + "\n").encode()


def as_csv() -> bytes:
    """The data dictionary as CSV, a line a column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADING)
    for name, table in _TABLES.items():
        for column in columns(table):
            writer.writerow((name, *_cells(name, column)))
    return text.getvalue().encode()


def as_markdown() -> bytes:
    """The data dictionary to be read: a section a table."""
    lines = [f"# {_TITLE}", "", _ABOUT, "", _EXCEL]
    for name, table in _TABLES.items():
        lines += ["", f"## {name}", "", _says(table), ""]
        lines += _rows(_HEADING[1:], (_cells(name, column) for column in columns(table)))
    return ("\n".join(lines) + "\n").encode()


def _says(table: type) -> str:
    """What a table holds, in a sentence."""
    return " ".join((table.__doc__ or "").split())


def _resource(name: str, path: str) -> Json:
    primary = _PRIMARY[name]
    return {
        "name": name,
        "path": path,
        "description": _says(_TABLES[name]),
        "schema": {
            "fields": [_field(column, unique=primary == (column.name,)) for column in columns(_TABLES[name])],
            "primaryKey": _one_or_several(primary),
            "foreignKeys": list(_foreign_keys(name)),
        },
    }


def _foreign_keys(name: str) -> Iterator[Json]:
    """How the rows of a table are linked to those of others, and to the code lists."""
    lists: dict[str, dict[str, str]] = {}
    for column in columns(_TABLES[name]):
        if column.refers_to:
            # A table that points into itself has no name there, by the specification.
            target = "" if column.refers_to == name else column.refers_to
            yield {"fields": column.name, "reference": {"resource": target, "fields": "id"}}
        if column.codes:
            target, _, there = column.codes.partition(".")
            lists.setdefault(target, {})[column.name] = there
    for target, linked in lists.items():
        yield {
            "fields": _one_or_several(tuple(linked)),
            "reference": {"resource": target, "fields": _one_or_several(tuple(linked.values()))},
        }


def _one_or_several(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def _field(column: Column, *, unique: bool) -> Json:
    field: Json = {"name": column.name, "type": column.kind, "description": column.meaning}
    if column.unit:
        field["unit"] = column.unit
    limits: Json = {"required": column.required}
    if unique:
        limits["unique"] = True
    if column.values:
        limits["enum"] = list(column.values)
    return field | {"constraints": limits}


def _cells(name: str, column: Column) -> tuple[str, ...]:
    """A column of the table `name` as the cells of a line, without its table."""
    key = "primary" if column.name in _PRIMARY[name] else f"{column.refers_to}.id" if column.refers_to else column.codes
    required = "yes" if column.required else "no"
    return column.name, column.kind, column.unit, required, key, " | ".join(column.values), column.meaning


def _rows(heading: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> list[str]:
    """A table of Markdown."""
    cells = (" | ".join(cell.replace("|", r"\|") for cell in row) for row in (heading, ("---",) * len(heading), *rows))
    return [f"| {line} |" for line in cells]
