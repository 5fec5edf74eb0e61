"""The data dictionary: what each table and column means, its type, its values, its unit, and how tables are linked.

All of it comes from the classes of `fhirsynth.record.schema`, and the units of readings from the knowledge files. As
JSON it is a data package of Frictionless Data (Table Schema), so that other tools can check and link the tables by it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fhirsynth.knowledge.units import written
from fhirsynth.record.columns import Column, columns
from fhirsynth.record.schema import TABLES

if TYPE_CHECKING:
    from fhirsynth.knowledge import Knowledge

Json = dict[str, Any]

_HEADING = ("table", "column", "type", "unit", "required", "key", "values", "meaning")
_TITLE = "Tables of a synthetic population by fhirsynth"
_ABOUT = (
    "Nobody in them is real. Every table has the primary key id; times are in UTC; an empty cell means that nothing is "
    "recorded, and false is written out."
)


def as_json(paths: Mapping[str, str], knowledge: Knowledge) -> bytes:
    """The data dictionary as a data package. `paths`: the file of each table, from where the dictionary lies."""
    package = {
        "name": "fhirsynth-record",
        "title": _TITLE,
        "description": _ABOUT,
        "resources": [_resource(name, path) for name, path in paths.items()],
        "observables": list(_observables(knowledge)),
    }
    return (json.dumps(package, indent=2, ensure_ascii=False) + "\n").encode()


def as_csv() -> bytes:
    """The data dictionary as CSV, a line a column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADING)
    for name, table in TABLES.items():
        for column in columns(table):
            writer.writerow((name, *_cells(column)))
    return text.getvalue().encode()


def as_markdown(knowledge: Knowledge) -> bytes:
    """The data dictionary to be read: a section a table, and one of what is measured, with units."""
    lines = [f"# {_TITLE}", "", _ABOUT, ""]
    for name, table in TABLES.items():
        lines += [f"## {name}", "", _says(table), ""]
        lines += _rows(_HEADING[1:], (_cells(column) for column in columns(table)))
        lines.append("")
    lines += ["## Units of readings", "", "What `observation.observable` may be, and in which unit its values are.", ""]
    found = list(_observables(knowledge))
    lines += _rows(tuple(found[0]), (tuple(map(str, item.values())) for item in found))
    return ("\n".join(lines) + "\n").encode()


def _says(table: type) -> str:
    """What a table holds, in a sentence."""
    return " ".join((table.__doc__ or "").split())


def _resource(name: str, path: str) -> Json:
    table = TABLES[name]
    keys = [
        # A table that points into itself has no name there, by the specification.
        {"fields": c.name, "reference": {"resource": "" if c.refers_to == name else c.refers_to, "fields": "id"}}
        for c in columns(table)
        if c.refers_to
    ]
    return {
        "name": name,
        "path": path,
        "description": _says(table),
        "schema": {
            "fields": [_field(column) for column in columns(table)],
            "primaryKey": "id",
            "foreignKeys": keys,
        },
    }


def _field(column: Column) -> Json:
    field: Json = {"name": column.name, "type": column.kind, "description": column.meaning}
    if column.unit:
        field["unit"] = column.unit
    limits: Json = {"required": column.required}
    if column.name == "id":
        limits["unique"] = True
    if column.values:
        limits["enum"] = list(column.values)
    return field | {"constraints": limits}


def _cells(column: Column) -> tuple[str, ...]:
    """A column as the cells of a line, without its table."""
    key = "primary" if column.name == "id" else f"{column.refers_to}.id" if column.refers_to else ""
    required = "yes" if column.required else "no"
    return column.name, column.kind, column.unit, required, key, " | ".join(column.values), column.meaning


def _observables(knowledge: Knowledge) -> Iterator[Json]:
    """What can be measured or asked: its key in the observations, and in which unit its values are."""
    for key, item in sorted(knowledge.observables.items()):
        yield {
            "observable": key,
            "name": item.name,
            "unit": item.unit or written(item.ucum),
            "ucum": item.ucum or "",
            "decimals": item.decimals,
            "snomed": item.snomed,
        }


def _rows(heading: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> list[str]:
    """A table of Markdown."""
    cells = (" | ".join(cell.replace("|", r"\|") for cell in row) for row in (heading, ("---",) * len(heading), *rows))
    return [f"| {line} |" for line in cells]
