"""The record's tables as Arrow: their schemas, and rows as columns. Apart, as pyarrow imports slowly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from fhirsynth.record.schema import TABLES

_TYPES = {
    "str": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "Day": pa.date32(),
    "Instant": pa.timestamp("s", tz="UTC"),
}


def _schema(table: type) -> pa.Schema:
    fields = []
    for name, annotation in table.__annotations__.items():
        text = getattr(annotation, "__forward_arg__", annotation)
        base, _, optional = str(text).partition(" | ")
        fields.append(pa.field(name, _TYPES[base], nullable=optional == "None"))
    return pa.schema(fields)


#: The Arrow schema of each table.
ARROW: dict[str, pa.Schema] = {name: _schema(table) for name, table in TABLES.items()}


def to_arrow(name: str, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """The rows of table `name` as an Arrow table with the declared schema.

    Raises `pyarrow.ArrowInvalid` or `pyarrow.ArrowTypeError` where a value has the wrong type.
    """
    schema = ARROW[name]
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
