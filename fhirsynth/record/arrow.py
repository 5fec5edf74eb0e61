"""The record's tables as Arrow: their schemas, and rows as columns. Apart, as pyarrow imports slowly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from fhirsynth.record.columns import columns
from fhirsynth.record.schema import TABLES

_TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("s", tz="UTC"),
}


def schema_of(table: type) -> pa.Schema:
    """The Arrow schema of a table's class."""
    return pa.schema([pa.field(c.name, _TYPES[c.kind], nullable=not c.required) for c in columns(table)])


#: The Arrow schema of each table.
ARROW: dict[str, pa.Schema] = {name: schema_of(table) for name, table in TABLES.items()}


def to_arrow(name: str, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """The rows of table `name` as an Arrow table with the declared schema.

    Raises `pyarrow.ArrowInvalid` or `pyarrow.ArrowTypeError` where a value has the wrong type.
    """
    return as_table(ARROW[name], rows)


def as_table(schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Rows as an Arrow table with this schema. Raises as `to_arrow`."""
    values = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(values, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
