"""Tables as bytes: CSV that says what is empty and what is an empty text, and Parquet made of the shards' parts.

A Parquet file is one for all shards. Each shard leaves its rows as an Arrow file; these are read one after the other
and written as row groups of whole shards, of `ROWS` rows or a few more: groups of a single shard would be too small to
be read quickly, and a whole table would not fit into memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

#: Rows of a row group, at least, but for the last.
ROWS = 1 << 17
#: Small, and read by everything that reads Parquet today.
_PACKED = "zstd"


def csv_heading(schema: pa.Schema) -> bytes:
    """The first line of a table's CSV."""
    return ",".join(schema.names).encode() + b"\n"


def csv_lines(table: pa.Table) -> bytes:
    """The rows of a table as CSV (RFC 4180, UTF-8) without a heading.

    Texts stand in quotes, so that a text without a character (`""`) is told from one that is not there; times are
    ISO 8601 in UTC, numbers have as many digits as it takes to read the same number back.
    """
    columns = [_moments(column) if pa.types.is_timestamp(column.type) else column for column in table.columns]
    out = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    pyarrow.csv.write_csv(pa.Table.from_arrays(columns, names=table.column_names), out, options)
    return out.getvalue()


def _moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    # Without a time zone, so that none has to be looked up on the machine: the values are UTC.
    plain = column.cast(pa.int64()).cast(pa.timestamp("s"))
    return pc.strftime(plain, format="%Y-%m-%dT%H:%M:%SZ")


def packed(table: pa.Table) -> bytes:
    """A table as an Arrow file."""
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema, options=pa.ipc.IpcWriteOptions(compression=_PACKED)) as writer:
        writer.write_table(table)
    return out.getvalue()


def write_parquet(file: IO[bytes], schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write a table as Parquet from its parts, which are held only up to `ROWS` rows."""
    with pq.ParquetWriter(file, schema, compression=_PACKED) as writer:
        for group in _groups(tables):
            writer.write_table(group, row_group_size=len(group))


def unpacked(files: Iterable[Path]) -> Iterator[pa.Table]:
    """The tables that `packed` made, one by one."""
    for file in files:
        with pa.OSFile(str(file)) as source:
            yield pa.ipc.open_file(source).read_all()


def _groups(tables: Iterable[pa.Table]) -> Iterator[Any]:
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if any(map(len, waiting)):
        yield pa.concat_tables(waiting)
