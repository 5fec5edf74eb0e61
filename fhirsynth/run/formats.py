"""What a run writes in each format: a shard's share of it, and what is one file for all shards.

One record, written in several ways: as a transaction bundle a person (JSON, XML), as resources a line (NDJSON, with the
manifest that a bulk export would return), as a file a table (Parquet, CSV, with code lists and a
data dictionary).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from fhirsynth.fhir import organisation_resources, to_bytes
from fhirsynth.fhir.bundle import bundle
from fhirsynth.record.schema import PLACES, TABLES
from fhirsynth.run import output, shard
from fhirsynth.run.output import Format, Written

if TYPE_CHECKING:
    from fhirsynth.fhir import Context
    from fhirsynth.record import Record
    from fhirsynth.record.schema import Person
    from fhirsynth.run.state import Job
    from fhirsynth.run.tally import Tally

Json = dict[str, Any]

#: Formats made of the people's resources, and of the rows of the record.
_FHIR: frozenset[Format] = frozenset(("bundle", "ndjson", "xml"))
_TABLES: tuple[Format, ...] = ("parquet", "csv")


class ShardFiles:
    """The files of a shard, in every format that is asked for: `add` each person, then `finish`.

    `files` lie there under their final names; what is to be joined with that of other shards does not count among them.
    """

    def __init__(self, job: Job, number: int, context: Context) -> None:
        self.job, self.number, self.context = job, number, context
        self.formats = job.formats
        self.files: list[Written] = []
        #: Resources by type, and rows by table, that were written.
        self.resources: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self._lines: dict[str, bytearray] = {}

    @property
    def has_resources(self) -> bool:
        """Whether the people's resources are written, rather than their rows alone."""
        return not _FHIR.isdisjoint(self.formats)

    def add(self, position: int, person: Person, resources: list[Json]) -> None:
        """Write what a person has in files of their own, and keep what goes into those of all."""
        self.resources.update(resource["resourceType"] for resource in resources)
        if "ndjson" in self.formats:
            for resource in resources:
                self._lines.setdefault(resource["resourceType"], bytearray()).extend(_line(resource))
        if "bundle" in self.formats or "xml" in self.formats:
            whole = bundle(resources, self.context)
            if "bundle" in self.formats:
                self._write(position, person, "json", to_bytes(whole))
            if "xml" in self.formats:
                from fhirsynth.fhir.xml import to_xml

                self._write(position, person, "xml", to_xml(whole))

    def finish(self, record: Record) -> None:
        """Write this shard's parts of what is one file for all. `record`: its tables."""
        while self._lines:  # let go of one by one: together they are most of what a worker holds
            kind, lines = self._lines.popitem()
            output.write_part(self.job.out, kind, self.number, _packed(self.job, bytes(lines)))
        if set(_TABLES).isdisjoint(self.formats):
            return
        from fhirsynth.tables import files

        for name in TABLES:
            if name not in PLACES:
                self.rows[name] = len(record[name])
                table = record.arrow(name)
                if "parquet" in self.formats:
                    output.write_part(self.job.out, f"parquet.{name}", self.number, files.packed(table))
                if "csv" in self.formats:
                    data = _packed(self.job, files.csv_lines(table))
                    output.write_part(self.job.out, f"csv.{name}", self.number, data)

    def _write(self, position: int, person: Person, suffix: Literal["json", "xml"], data: bytes) -> None:
        job = self.job
        path = output.person_path(job.spec, self.number, position, person, gzipped=job.gzip, suffix=suffix)
        (job.out / path).parent.mkdir(exist_ok=True)
        self.files.append(output.write(job.out, path, _packed(job, data)))


# --- what is one file for all shards --------------------------------------------------------------


def join(job: Job, name: str, parts: Sequence[Path]) -> Written:
    """Join the shards' parts of one file: a table, or all resources of one type."""
    form, _, table = name.rpartition(".")
    if form == "parquet":
        from fhirsynth.record.arrow import ARROW
        from fhirsynth.tables import files

        path = f"{output.PARQUET}/{table}.parquet"
        filling = partial(files.write_parquet, schema=ARROW[table], tables=files.unpacked(parts))
        return output.fill(job.out, path, filling)
    if form == "csv":
        from fhirsynth.record.arrow import ARROW
        from fhirsynth.tables import files

        heading = _packed(job, files.csv_heading(ARROW[table]))
        return output.join(job.out, f"{output.CSV}/{table}.csv{_gz(job)}", parts, heading)
    return output.join(job.out, f"{output.NDJSON}/{name}.ndjson{_gz(job)}", parts)


def write_places(job: Job, places: Mapping[str, Sequence[Any]], tally: Tally) -> list[Written]:
    """Write the places and staff that the people refer to, and what tells about a format's files.

    `tally`: the counts of all people; those of the places, as resources and as rows, are added.
    """
    written = []
    if not _FHIR.isdisjoint(job.formats):
        context = shard.tools(job.spec.index_date).context
        resources = organisation_resources(places, context)
        tally.resources.update(resource["resourceType"] for resource in resources)
        if not {"bundle", "ndjson"}.isdisjoint(job.formats):  # without bundles too: it is what servers are given first
            written.append(output.write(job.out, output.ORGANISATIONS, to_bytes(bundle(resources, context))))
        if "xml" in job.formats:
            from fhirsynth.fhir.xml import to_xml

            written.append(output.write(job.out, output.ORGANISATIONS_XML, to_xml(bundle(resources, context))))
        if "ndjson" in job.formats:
            written += _bulk(job, resources, tally, context)
    if not set(_TABLES).isdisjoint(job.formats):
        tally.rows.update({name: len(rows) for name, rows in places.items()})
        written += _tables(job, places)
    return written


def _bulk(job: Job, places: Sequence[Json], tally: Tally, context: Context) -> list[Written]:
    """The resources of places and staff as NDJSON, and the manifest of a bulk export: which files there are."""
    lines: dict[str, list[bytes]] = {}
    for resource in places:
        lines.setdefault(resource["resourceType"], []).append(_line(resource))
    written = [
        output.write(job.out, f"{output.NDJSON}/{kind}.ndjson{_gz(job)}", _packed(job, b"".join(found)))
        for kind, found in lines.items()
    ]
    manifest = {
        "transactionTime": context.index_time,
        "request": f"{context.base_url}/$export",
        "requiresAccessToken": False,
        "output": [
            # Relative to the manifest: wherever the folder is put, they are found.
            {"type": kind, "url": f"{kind}.ndjson{_gz(job)}", "count": count}
            for kind, count in sorted(tally.resources.items())
        ],
        "error": [],
    }
    text = json.dumps(manifest, indent=2) + "\n"
    return [*written, output.write(job.out, f"{output.NDJSON}/{output.MANIFEST}", text.encode())]


def _tables(job: Job, places: Mapping[str, Sequence[Any]]) -> list[Written]:
    """The tables of places and staff, the code lists, and the data dictionary of every table."""
    from fhirsynth.record.arrow import as_table, schema_of, to_arrow
    from fhirsynth.tables import dictionary, files
    from fhirsynth.tables.codes import LISTS

    knowledge = shard.tools(job.spec.index_date).knowledge
    tables = {name: to_arrow(name, rows) for name, rows in places.items()}
    tables |= {name: as_table(schema_of(item.table), item.rows(knowledge)) for name, item in LISTS.items()}
    written = []
    for name, table in tables.items():
        if "parquet" in job.formats:
            filling = partial(files.write_parquet, schema=table.schema, tables=[table])
            written.append(output.fill(job.out, f"{output.PARQUET}/{name}.parquet", filling))
        if "csv" in job.formats:
            data = _packed(job, files.csv_heading(table.schema) + files.csv_lines(table))
            written.append(output.write(job.out, f"{output.CSV}/{name}.csv{_gz(job)}", data))
    first = f"{output.CSV}/{{}}.csv{_gz(job)}" if "csv" in job.formats else f"{output.PARQUET}/{{}}.parquet"
    told = (dictionary.as_markdown(), dictionary.as_csv(), dictionary.as_json(first.format))
    return written + [output.write(job.out, path, data) for path, data in zip(output.DICTIONARIES, told, strict=True)]


def _line(resource: Json) -> bytes:
    return orjson.dumps(resource, option=orjson.OPT_APPEND_NEWLINE)


def _packed(job: Job, data: bytes) -> bytes:
    return output.compressed(data) if job.gzip else data


def _gz(job: Job) -> str:
    return ".gz" if job.gzip else ""
