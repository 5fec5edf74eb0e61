"""One record in every format: what is read back from one is what is read back from the others."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xml_reader
from commands import Command, full_disk
from conftest import UK_CORE
from lxml import etree
from test_run import Stopping, contents, interrupt
from xml_reader import Digits

from fhirsynth import Population, Spec
from fhirsynth import knowledge as kb
from fhirsynth.errors import InputError, InterruptedRunError, OutputError
from fhirsynth.fhir import xml
from fhirsynth.fhir.xml import to_xml
from fhirsynth.letters.folder import Letters
from fhirsynth.letters.making import Manner
from fhirsynth.record.arrow import ARROW, schema_of
from fhirsynth.record.columns import columns
from fhirsynth.record.schema import KEYS, PLACES, TABLES
from fhirsynth.run.job import write_letters, write_population
from fhirsynth.run.state import Job
from fhirsynth.tables import files
from fhirsynth.tables.codes import LISTS

NAMED = Path(__file__).parent.parent / "samples" / "named"
ALL = "bundle,ndjson,xml,parquet,csv"
#: Every table that is written, and its Arrow schema.
EVERY: dict[str, type] = {**TABLES, **{name: item.table for name, item in LISTS.items()}}
SCHEMAS = {name: schema_of(table) for name, table in EVERY.items()}
#: A shard and a bit of a second, of young people, whose records are small.
SPEC = Spec(n=203, seed=11, age=(1, 25), years=1)
#: A few who have been ill, and have every type of resource.
ILL = Spec(n=4, seed=19, age=(70, 85), years=3, condition=("type-2-diabetes",))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one worker writes in all formats without a stop."""
    out = tmp_path_factory.mktemp("formats") / "out"
    write_population(Job(SPEC, out, ALL))
    return contents(out)


@pytest.fixture(scope="module")
def folder(whole: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as files, for those who read them; nobody writes into it."""
    out = tmp_path_factory.mktemp("read") / "out"
    for name, data in whole.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    return out


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A few who have been ill, with letters, in all formats."""
    out = tmp_path_factory.mktemp("ill") / "out"
    write_population(Job(ILL, out, ALL, letters=Letters(Manner(seed=5))))
    return contents(out)


def parsed(data: bytes) -> Any:
    """JSON with its numbers as they are written."""
    return json.loads(data, parse_float=Digits, parse_int=Digits)


def under(made: dict[str, bytes], *folders: str) -> dict[str, bytes]:
    """The files of these folders."""
    return {name: data for name, data in made.items() if name.partition("/")[0] in folders}


# --- the same resources ---------------------------------------------------------------------------


@pytest.mark.parametrize("population", ["whole", "ill"])
def test_xml_says_what_json_says(population: str, request: pytest.FixtureRequest) -> None:
    made: dict[str, bytes] = request.getfixturevalue(population)
    found = {name.removesuffix(".xml"): data for name, data in made.items() if name.endswith(".xml")}
    expected = {name.removesuffix(".json"): data for name, data in made.items() if f"{name[:-5]}.xml" in made}
    assert "organisations" in found and len(found) == len(expected) > 4
    if population == "whole":  # many are as good as all
        found = {name: data for place, (name, data) in enumerate(found.items()) if place % 3 == 0 or "org" in name}
    assert population == "whole" or any(name.startswith("letters/documents/") for name in found)
    for name, data in found.items():
        assert xml_reader.read(data) == parsed(expected[name]), name
        assert data.startswith(b"<?xml version='1.0' encoding='UTF-8'?>\n<Bundle xmlns=\"http://hl7.org/fhir\">")


def test_xml_says_what_the_json_of_named_people_says() -> None:
    """They have what ordinary people do not: values that are withheld or known in part, for one."""
    files = [file for file in NAMED.rglob("*.json") if file.name != "manifest.json"]
    assert len(files) > 40
    for file in files:
        data = file.read_bytes()
        assert xml_reader.read(to_xml(orjson.loads(data))) == parsed(data), file.name


@pytest.mark.parametrize("population", ["whole", "ill"])
def test_lines_are_the_resources_of_the_bundles(population: str, request: pytest.FixtureRequest) -> None:
    made: dict[str, bytes] = request.getfixturevalue(population)
    bundles = [data for name, data in made.items() if name.endswith(".json") and name.startswith(("people/", "org"))]
    expected = {entry["request"]["url"]: entry["resource"] for data in bundles for entry in parsed(data)["entry"]}
    lines = {name[7:-7]: data.splitlines() for name, data in made.items() if name.endswith(".ndjson")}
    found = [(kind, parsed(line)) for kind, of_kind in lines.items() for line in of_kind]
    assert all(resource["resourceType"] == kind for kind, resource in found)
    assert len(found) == len(expected)
    assert {f"{kind}/{resource['id']}": resource for kind, resource in found} == expected


def test_every_type_of_resource_is_among_them(whole: dict[str, bytes], ill: dict[str, bytes]) -> None:
    assert {name[7:-7] for name in {*whole, *ill} if name.endswith(".ndjson")} == {
        "AllergyIntolerance", "Appointment", "Condition", "DiagnosticReport", "DocumentReference", "Encounter",
        "EpisodeOfCare", "FamilyMemberHistory", "Flag", "HealthcareService", "Immunization", "List", "Location",
        "MedicationRequest", "MedicationStatement", "Observation", "Organization", "Patient", "Practitioner",
        "PractitionerRole", "Procedure", "Provenance", "RelatedPerson", "ServiceRequest", "Specimen",
    }  # fmt: skip


def test_manifest_of_a_bulk_export(whole: dict[str, bytes]) -> None:
    manifest = json.loads(whole["ndjson/manifest.json"])
    assert list(manifest) == ["transactionTime", "request", "requiresAccessToken", "output", "error"]
    assert manifest["transactionTime"] == "2026-01-01T00:00:00+00:00"
    assert manifest["request"].startswith("https://") and manifest["request"].endswith("/$export")
    assert (manifest["requiresAccessToken"], manifest["error"]) == (False, [])
    lines = {name: len(data.splitlines()) for name, data in under(whole, "ndjson").items() if name.endswith(".ndjson")}
    assert {f"ndjson/{item['url']}": item["count"] for item in manifest["output"]} == lines
    assert all(item["url"] == f"{item['type']}.ndjson" for item in manifest["output"])
    assert {"Patient", "Organization", "PractitionerRole"} <= {item["type"] for item in manifest["output"]}


# --- the same rows --------------------------------------------------------------------------------


def read_csv(data: bytes, schema: pa.Schema) -> pa.Table:
    """A CSV of ours with the types that the data dictionary gives: quoted is a text, and nothing is nothing."""
    from pyarrow import csv

    options = csv.ConvertOptions(
        column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
    )
    lines = csv.ParseOptions(newlines_in_values=True)
    return csv.read_csv(io.BytesIO(data), parse_options=lines, convert_options=options).cast(schema)


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    """The rows as the record has them, with days and moments as numbers."""
    numbers = {pa.date32(): pa.int32(), pa.timestamp("s", tz="UTC"): pa.int64()}
    values = [column.cast(numbers.get(column.type, column.type)).to_pylist() for column in table.columns]
    return list(zip(*values, strict=True))


@pytest.mark.parametrize(("population", "spec"), [("whole", SPEC), ("ill", ILL)])
def test_tables_are_the_record(population: str, spec: Spec, request: pytest.FixtureRequest) -> None:
    made: dict[str, bytes] = request.getfixturevalue(population)
    record = Population(spec).record()
    rows = 0
    for name in TABLES:
        parquet = pq.read_table(io.BytesIO(made[f"parquet/{name}.parquet"]))
        assert parquet.column_names == ARROW[name].names
        assert [field.nullable for field in parquet.schema] == [field.nullable for field in ARROW[name]]
        parquet = parquet.cast(ARROW[name])  # Parquet has no seconds: they are kept as milliseconds
        expected = list(map(tuple, record[name]))
        if name in PLACES:  # only those that people have been to
            assert parquet.num_rows > 0
            assert set(rows_of(parquet)) <= set(expected), name
        else:
            assert rows_of(parquet) == expected, name
        assert read_csv(made[f"csv/{name}.csv"], ARROW[name]).equals(parquet), name
        rows += parquet.num_rows
    manifest = json.loads(made["manifest.json"])
    assert sum(manifest["rows"].values()) == rows
    assert set(manifest["rows"]) == set(TABLES)


def named(keys: str | list[str]) -> list[str]:
    """The columns of a key: Table Schema has the name alone where it is one."""
    return [keys] if isinstance(keys, str) else keys


def test_keys_are_those_that_the_dictionary_declares(whole: dict[str, bytes], ill: dict[str, bytes]) -> None:
    def found(table: str, keys: str | list[str]) -> list[tuple[Any, ...]]:
        read = pq.read_table(io.BytesIO(made[f"parquet/{table}.parquet"]), columns=named(keys))
        return list(zip(*(read[name].to_pylist() for name in named(keys)), strict=True))

    linked = Counter[str]()
    for made in (whole, ill):
        for item in json.loads(made["data-dictionary.json"])["resources"]:
            name, schema = item["name"], item["schema"]
            primary = found(name, schema["primaryKey"])
            assert len(set(primary)) == len(primary) and not any(None in key for key in primary), name
            for key in schema["foreignKeys"]:
                target = key["reference"]["resource"] or name
                # None of the columns of a key is filled, or all are.
                here = {value for value in found(name, key["fields"]) if set(value) != {None}}
                assert here <= set(found(target, key["reference"]["fields"])), (name, key)
                linked[target] += len(here)
    assert not [name for name in LISTS if not linked[name]]


def test_values_are_those_that_the_dictionary_names() -> None:
    # Old people as well: they have the rarer values.
    for spec in (Spec(n=12, seed=2, age=(75, 100)), ILL, Spec(n=12, seed=4, age=(0, 10))):
        record = Population(spec).record()
        for name, table in TABLES.items():
            for place, column in enumerate(columns(table)):
                found = {row[place] for row in record[name]} - {None}
                assert not column.values or found <= set(column.values), (name, column.name)


def test_row_groups_are_of_whole_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ROWS", 5)
    rows = Population(ILL).record().arrow("person")
    parts = [rows.slice(0, 2), rows.slice(2, 2), rows.slice(0, 0), rows.slice(0, 3), rows.slice(1, 1)]
    with (tmp_path / "person.parquet").open("wb") as file:
        files.write_parquet(file, ARROW["person"], iter(parts))
    found = pq.ParquetFile(tmp_path / "person.parquet")
    assert [found.metadata.row_group(number).num_rows for number in range(found.num_row_groups)] == [7, 1]
    assert found.read().cast(rows.schema).equals(pa.concat_tables(parts))


def test_csv_tells_nothing_from_an_empty_text() -> None:
    schema = pa.schema([("a", pa.string()), ("at", pa.timestamp("s", tz="UTC")), ("on", pa.bool_())])
    table = pa.table([["", None, 'a "b",\nc'], [0, None, 86_399], [True, False, None]], schema=schema)
    assert files.csv_lines(table).decode() == (
        '"","1970-01-01T00:00:00Z",true\n,,false\n"a ""b"",\nc","1970-01-01T23:59:59Z",\n'
    )


# --- the data dictionary --------------------------------------------------------------------------


#: How Table Schema calls the types of columns.
TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("s", tz="UTC"),
}


def test_data_dictionary(whole: dict[str, bytes]) -> None:
    lines = pandas.read_csv(io.BytesIO(whole["data-dictionary.csv"]), keep_default_na=False)
    assert [(row.table, row.column) for row in lines.itertuples()] == [
        (name, column.name) for name, table in EVERY.items() for column in columns(table)
    ]
    assert all(lines.meaning) and all(lines.type)
    primary = lines[lines.key == "primary"]
    assert [(row.table, row.column) for row in primary.itertuples()] == [
        *((name, "id") for name in TABLES),
        *((name, column) for name, item in LISTS.items() for column in item.primary),
    ]
    foreign = lines[lines.key.str.endswith(".id")]
    assert [(row.table, row.column, row.key[:-3]) for row in foreign.itertuples()] == [
        (name, column.name, KEYS[name][column.name])
        for name, table in TABLES.items()
        for column in columns(table)
        if column.name in KEYS.get(name, ())
    ]
    for row in lines.itertuples():
        field = SCHEMAS[row.table].field(row.column)
        assert (field.type, field.nullable) == (TYPES[row.type], row.required == "no"), row
    assert {(row.table, row.column): row.unit for row in lines.itertuples() if row.unit} == {
        ("observation", "value"): "that of the observable",
        ("observation", "value2"): "that of the observable",
        ("medication", "issues"): "issues",
        ("medication", "days"): "days",
        ("family_history", "onset_age"): "years",
    }

    package = json.loads(whole["data-dictionary.json"])
    assert [item["name"] for item in package["resources"]] == list(EVERY)
    for item in package["resources"]:
        assert item["path"] in whole
        header = whole[item["path"]].partition(b"\n")[0].decode().split(",")
        assert [field["name"] for field in item["schema"]["fields"]] == header
        told = [
            (field["name"], field["type"], field.get("unit", ""), limits["required"], limits.get("enum", []))
            for field in item["schema"]["fields"]
            for limits in [field["constraints"]]
        ]
        assert told == [
            (row.column, row.type, row.unit, row.required == "yes", list(filter(None, row.values.split(" | "))))
            for row in lines[lines.table == item["name"]].itertuples()
        ]
        here = lines[lines.table == item["name"]]
        assert named(item["schema"]["primaryKey"]) == list(here[here.key == "primary"].column)
        keys = {
            column: f"{key['reference']['resource'] or item['name']}.{there}"
            for key in item["schema"]["foreignKeys"]
            for column, there in zip(named(key["fields"]), named(key["reference"]["fields"]), strict=True)
        }
        assert keys == {row.column: row.key for row in here.itertuples() if "." in row.key}
    text = whole["data-dictionary.md"].decode()
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(EVERY)
    assert "| smoking | string |  | yes |  | never \\| ex \\| current | whether they smoke |" in text
    assert "| medicine | string |  | yes | code_medicine.key |  | key of the medicine |" in text
    assert "CSV files are UTF-8. Excel" in text


# --- the code lists -------------------------------------------------------------------------------


def test_every_column_of_keys_has_a_code_list() -> None:
    for name, table in TABLES.items():
        for column in columns(table):
            if column.codes:
                target, _, there = column.codes.partition(".")
                assert there in LISTS[target].primary, (name, column.name)
            else:
                assert not re.match(r"key of|.*code of the NHS Data", column.meaning), (name, column.name)


def rows_by_key(made: dict[str, bytes], name: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """The rows of a code list by their keys."""
    rows = pq.read_table(io.BytesIO(made[f"parquet/{name}.parquet"])).to_pylist()
    return {tuple(row[column] for column in LISTS[name].primary): row for row in rows}


@pytest.mark.parametrize(
    ("name", "kind", "fields"),
    [
        ("code_condition", "conditions", "name snomed icd10"),
        ("code_medicine", "medicines", "name vmp vtm vtm_name"),
        ("code_procedure", "procedures", "name snomed opcs4"),
        ("code_vaccine", "vaccines", "name snomed procedure procedure_name"),
        ("code_allergy", "allergies", "name snomed category"),
        ("code_reaction", "reactions", "name snomed"),
        ("code_observable", "observables", "name unit ucum decimals snomed loinc"),
        ("code_specimen", "specimens", "name snomed"),
        ("code_specialty", "specialties", "name code"),
        ("code_flag", "flags", "name snomed"),
    ],
)
def test_code_lists_hold_what_is_known(name: str, kind: str, fields: str, whole: dict[str, bytes]) -> None:
    known: dict[str, Any] = getattr(kb.load(), kind)
    table = pq.read_table(io.BytesIO(whole[f"parquet/{name}.parquet"]))
    expected = [(key, *(getattr(item, field) for field in fields.split())) for key, item in sorted(known.items())]
    if name == "code_observable":
        units = {row["key"]: row["unit"] for row in table.to_pylist()}
        expected = [(*row[:2], row[2] or units[row[0]], *row[3:]) for row in expected]
        assert (units["blood-pressure"], units["heart-rate"]) == ("millimeter of mercury", "per minute")
        assert all(units[key] for key, item in known.items() if item.ucum and item.ucum[0] not in "{1")
    assert rows_of(table) == expected


def test_code_lists_are_the_same_for_all_and_in_both_formats(whole: dict[str, bytes], ill: dict[str, bytes]) -> None:
    for name in LISTS:
        parquet = pq.read_table(io.BytesIO(whole[f"parquet/{name}.parquet"]))
        assert parquet.num_rows and parquet.schema.equals(SCHEMAS[name])
        assert read_csv(whole[f"csv/{name}.csv"], SCHEMAS[name]).equals(parquet), name
        for path in (f"parquet/{name}.parquet", f"csv/{name}.csv"):
            assert whole[path] == ill[path]


#: The resource that a row is written as, of tables with keys.
RESOURCES = {
    "person": "Patient", "encounter": "Encounter", "condition": "Condition", "observation": "Observation",
    "specimen": "Specimen", "request": "ServiceRequest", "procedure": "Procedure", "medication": "MedicationRequest",
    "allergy": "AllergyIntolerance", "immunisation": "Immunization", "family_history": "FamilyMemberHistory",
    "flag": "Flag",
}  # fmt: skip


def codings(value: Any) -> set[tuple[str, str]]:
    """System and code of every coding in a resource."""
    if isinstance(value, list):
        return set().union(*map(codings, value))
    if not isinstance(value, dict):
        return set()
    own = {(value["system"], value["code"])} if {"system", "code"} <= value.keys() else set()
    return own.union(*map(codings, value.values()))


def test_codes_are_those_of_the_resources(whole: dict[str, bytes], ill: dict[str, bytes]) -> None:
    """Code systems are told in the meaning of the columns, or beside the code."""
    package = {item["name"]: item["schema"] for item in json.loads(whole["data-dictionary.json"])["resources"]}
    systems = {
        (name, field["name"]): uri.group(1)
        for name in LISTS
        for field in package[name]["fields"]
        if (uri := re.search(r"\((https?://.*)\)", field["description"]))
    }
    lists = {name: rows_by_key(whole, name) for name in LISTS}
    compared = Counter[str]()
    for made in (whole, ill):
        for table, kind in RESOURCES.items():
            lines = (json.loads(line) for line in made.get(f"ndjson/{kind}.ndjson", b"").splitlines())
            found = {resource["id"]: codings(resource) for resource in lines}
            for row in pq.read_table(io.BytesIO(made[f"parquet/{table}.parquet"])).to_pylist():
                for key in package[table]["foreignKeys"]:
                    name = key["reference"]["resource"]
                    there = dict(zip(named(key["reference"]["fields"]), named(key["fields"]), strict=True))
                    if name not in LISTS or row[named(key["fields"])[0]] is None:
                        continue
                    listed = lists[name][tuple(row[there[column]] for column in LISTS[name].primary)]
                    codes = {(uri, listed[column]) for (of, column), uri in systems.items() if of == name}
                    codes -= {(uri, code) for uri, code in codes if code is None}
                    if "system" in listed:
                        codes.add((listed["system"], listed["code"]))
                    elif name == "code_medicine":  # the substance is not said of a product
                        codes.remove((systems[name, "vtm"], listed["vtm"]))
                    elif name == "code_condition" and row.get("category") != "encounter":  # only hospitals have ICD-10
                        codes.remove((systems[name, "icd10"], listed["icd10"]))
                    if table == "condition" and row["name"] != listed["name"]:
                        continue  # at a stage, which has codes of its own
                    if row.get("observable") == "inspired-oxygen" and row["value"] <= 21:
                        continue  # room air, which FHIR has another code for
                    assert codes <= found[row["id"]], (row, codes)
                    compared[name] += bool(codes)
    assert {name for name in LISTS if not compared[name]} == {"code_panel", "code_region", "code_specialty"}


# --- in one line ----------------------------------------------------------------------------------


def test_pandas_reads_them_in_one_line(folder: Path) -> None:
    """As the README has it."""
    patients = pandas.read_json(folder / "ndjson/Patient.ndjson", lines=True)
    people = pandas.read_parquet(folder / "parquet/person.parquet")
    again = pandas.read_csv(folder / "csv/person.csv", dtype={"nhs_number": str}, parse_dates=["birth", "death"])
    assert set(patients["id"]) == set(people["id"]) == set(again["id"])
    assert list(people["nhs_number"]) == list(again["nhs_number"])
    assert [str(day) for day in people["birth"]] == [f"{day:%Y-%m-%d}" for day in again["birth"]]
    assert list(people["death"].dropna()) == list(again["death"].dropna())


def test_polars_reads_them_in_one_line(folder: Path) -> None:
    for kind in ("Patient", "Encounter", "Observation"):
        found = polars.read_ndjson(folder / f"ndjson/{kind}.ndjson", infer_schema_length=None)
        assert len(found) == len((folder / f"ndjson/{kind}.ndjson").read_bytes().splitlines())
    people = polars.read_parquet(folder / "parquet/person.parquet")
    again = polars.read_csv(
        folder / "csv/person.csv", schema_overrides={"nhs_number": polars.String}, try_parse_dates=True
    )
    assert list(people["nhs_number"]) == list(again["nhs_number"])
    assert list(people["birth"]) == list(again["birth"])


# --- the same bytes -------------------------------------------------------------------------------


def test_two_processes_write_the_same_bytes(whole: dict[str, bytes], tmp_path: Path) -> None:
    write_population(Job(SPEC, tmp_path / "out", ALL), workers=2)
    assert contents(tmp_path / "out") == whole


def test_interrupted_and_resumed(whole: dict[str, bytes], tmp_path: Path) -> None:
    task = Job(SPEC, tmp_path / "out", ALL)
    with pytest.raises(InterruptedRunError, match=r"200 of 203 people .* --resume"):
        write_population(task, engine=Stopping(1, interrupt))
    with pytest.raises(InputError, match=r"begun with format 'bundle,ndjson,xml,parquet,csv', asked for now is 'csv'"):
        write_population(Job(SPEC, tmp_path / "out", "csv"), resume=True)
    write_population(task, resume=True)
    assert contents(task.out) == whole


def test_full_disk_while_joining(whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {name: data for name, data in whole.items() if name.startswith(("parquet/", "csv/", "data-"))}
    task = Job(SPEC, tmp_path / "out", "csv,parquet")
    of_people = len(TABLES) - len(PLACES)
    at_once = 2 * (len(PLACES) + len(LISTS)) + 3  # and the data dictionary
    written = 2 * 2 * of_people + 4 + at_once + of_people + 1  # half of those that are joined, each with a note of it
    with monkeypatch.context() as patched:
        full_disk(patched, written)
        with pytest.raises(OutputError, match=r"the disk is full; make room .* --resume"):
            write_population(task)
    left = {name: data for name, data in contents(task.out).items() if not name.startswith(".")}
    assert 0 < len(left) < len(tables)
    assert all(whole[name] == data for name, data in left.items())
    assert not list((task.out / ".fhirsynth" / "tmp").iterdir())
    write_population(task, resume=True)
    made = contents(task.out)
    assert {name: data for name, data in made.items() if name != "manifest.json"} == tables
    manifest = json.loads(made["manifest.json"])
    assert (manifest["format"], manifest["resources"]) == ("parquet,csv", {})
    assert manifest["files"] == {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in tables.items()
    } | {name: manifest["files"][name] for name in manifest["files"] if name not in tables}
    assert set(manifest["files"]) == set(tables)


@pytest.mark.parametrize("form", ["bundle", "ndjson", "xml", "parquet", "csv"])
def test_a_format_alone_is_the_same_as_beside_others(form: str, ill: dict[str, bytes], tmp_path: Path) -> None:
    Population(ILL).write(tmp_path, format=form, letters=Letters(Manner(seed=5)))
    made = contents(tmp_path)
    expected = {
        "bundle": {"people", "organisations.json"},
        "ndjson": {"ndjson", "organisations.json"},
        "xml": {"people", "organisations.xml"},
        "parquet": {"parquet", "data-dictionary.md", "data-dictionary.csv", "data-dictionary.json"},
        "csv": {"csv", "data-dictionary.md", "data-dictionary.csv", "data-dictionary.json"},
    }[form]
    assert {name.partition("/")[0] for name in made} == expected | {"letters", "manifest.json"}
    documents = {Path(name).suffix for name in made if name.startswith("letters/documents/")}
    assert documents == ({".xml"} if form == "xml" else {".json"})
    for name in set(made) - {"manifest.json", "data-dictionary.json"}:
        assert made[name] == ill[name], name


def test_gzip_holds_the_same(ill: dict[str, bytes], tmp_path: Path) -> None:
    Population(ILL).write(tmp_path, format=["csv", "xml", "ndjson", "parquet"], gzip=True, letters=Manner(seed=5))
    made = contents(tmp_path)
    packed = {name.removesuffix(".gz"): gzip.decompress(data) for name, data in made.items() if name.endswith(".gz")}
    assert {Path(name).suffix for name in packed} == {".csv", ".xml", ".ndjson"}
    assert all(ill[name] == data for name, data in packed.items())
    assert under(made, "parquet") == under(ill, "parquet")
    manifest = json.loads(made["ndjson/manifest.json"])
    assert all(f"ndjson/{item['url']}" in made for item in manifest["output"])
    read = pandas.read_csv(tmp_path / "csv/observation.csv.gz")
    assert len(read) == len(pandas.read_parquet(tmp_path / "parquet/observation.parquet")) > 0


# --- documents alone ------------------------------------------------------------------------------


def test_documents_alone(ill: dict[str, bytes], tmp_path: Path) -> None:
    summary = Population(ILL).write(tmp_path / "alone", format="document", letters=Manner(seed=5))
    made = contents(tmp_path / "alone")
    expected = {name: data for name, data in ill.items() if name.startswith("letters/documents/") and "json" in name}
    assert expected
    assert {name: data for name, data in made.items() if name.startswith("letters/documents/")} == expected
    assert set(made) - set(expected) == {"letters/summary.json", "manifest.json"}
    assert summary.tally.letters is not None and summary.tally.letters["documents"] == len(expected)
    with pytest.raises(InputError, match="are there already: use --overwrite"):
        write_letters(tmp_path / "alone", Letters(Manner(seed=5)))
    write_letters(tmp_path / "alone", Letters(Manner(seed=5)), overwrite=True)
    assert contents(tmp_path / "alone") == made


def test_documents_beside_people(ill: dict[str, bytes], tmp_path: Path) -> None:
    Population(ILL).write(tmp_path, format=("document", "xml"), letters=Manner(seed=5))
    made = contents(tmp_path)
    assert {Path(name).suffix for name in made if name.startswith("letters/documents/")} == {".xml", ".json"}
    for name in set(made) - {"manifest.json", "letters/summary.json"}:
        assert made[name] == ill[name], name


def test_letters_over_people_in_xml(ill: dict[str, bytes], tmp_path: Path) -> None:
    Population(ILL).write(tmp_path, format="xml")
    assert any(ill[name] != data for name, data in contents(tmp_path).items() if name.startswith("people/"))
    write_letters(tmp_path, Letters(Manner(seed=5)))
    made = contents(tmp_path)
    assert any(name.endswith(".xml") and name.startswith("letters/documents/") for name in made)
    assert all(ill[name] == data for name, data in made.items() if name != "manifest.json")


def test_what_makes_no_documents(tmp_path: Path) -> None:
    for letters, option in (
        (Letters(documents=False), "--no-documents"),
        (Letters(Manner(level="note")), "--level note"),
    ):
        with pytest.raises(InputError, match=f"--format document .* {option} makes none"):
            Population(ILL).write(tmp_path / "out", format="document", letters=letters)
    assert not (tmp_path / "out").exists()


# --- the command line -----------------------------------------------------------------------------


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def test_commands_read_what_they_can(run: Command, tmp_path: Path) -> None:
    arguments = ("population", "--n", 2, "--age", "70-80", "--years", 1, "--workers", 1, "--no-deceased")
    ended = run(*arguments, "--format", "csv, ndjson,bundle,xml", "--out", tmp_path / "a", "--json")
    assert ended.code == 0
    summary = json.loads(ended.out)
    assert summary["rows"]["person"] == summary["resources"]["Patient"] == 2
    assert run("validate", tmp_path / "a").code == 0
    listed = run("show", tmp_path / "a").out
    ids = {name[14:50] for name in contents(tmp_path / "a") if name.startswith("people/")}
    assert len(ids) == 2
    people = pandas.read_csv(tmp_path / "a/csv/person.csv")
    assert all(listed.count(str(surname)) == 1 for surname in people["surname"])
    assert run("show", tmp_path / "a", "2").code == 0

    ended = run(*arguments, "--format", "parquet", "--out", tmp_path / "b")
    assert ended.code == 0 and "Rows" in ended.out and "Resources" not in ended.out
    for verb in ("show", "validate"):
        ended = run(verb, tmp_path / "b")
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "holds no FHIR files; expected names that end in .json" in ended.err
    table = run("validate", tmp_path / "b/parquet/person.parquet")
    assert table.code == 1 and "a Parquet file" in table.out
    wrong = run("validate", next((tmp_path / "a/people").glob("*.xml")))
    assert wrong.code == 1 and "what looks like XML; expected FHIR in JSON" in wrong.out


def test_documents_from_the_command_line(run: Command, tmp_path: Path) -> None:
    arguments = ("population", "--n", 2, "--age", "70-80", "--years", 1, "--workers", 1, "--out", tmp_path / "a")
    ended = run(*arguments, "--format", "document", "--annotations", "csv")
    assert ended.code == 2 and "--annotations: --format document writes letters as documents alone" in ended.err
    ended = run(*arguments, "--format", "document", "--voice", "terse")
    assert ended.code == 0 and "letters as documents in" in ended.out
    assert {name.rpartition("/")[0] for name in contents(tmp_path / "a")} <= {"", "letters", "letters/documents"}


@pytest.mark.parametrize("wrong", ["jsonl", "bundle,excel", ""])
def test_unknown_format(run: Command, tmp_path: Path, wrong: str) -> None:
    ended = run("population", "--format", wrong, "--out", tmp_path / "o")
    named = wrong.rpartition(",")[2] or "nothing"
    assert ended.code == 2
    assert ended.err == (
        "fhirsynth: --format: expected one of bundle, ndjson, xml, parquet, csv, document, or several with commas "
        f"between; found {named}\n"
    )
    assert not (tmp_path / "o").exists()


def test_overwriting_removes_what_the_run_before_wrote(tmp_path: Path) -> None:
    small = Spec(n=1, age=(1, 30), years=1)
    Population(small).write(tmp_path, format="csv,xml")
    (tmp_path / "ndjson").mkdir()
    (tmp_path / "ndjson" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="ndjson was not written by fhirsynth"):
        Population(small).write(tmp_path, format="ndjson", overwrite=True)
    Population(small).write(tmp_path, format="parquet", overwrite=True)
    assert {name.partition("/")[0] for name in contents(tmp_path)} == {
        "ndjson", "parquet", "manifest.json", "data-dictionary.md", "data-dictionary.csv", "data-dictionary.json",
    }  # fmt: skip
    assert (tmp_path / "ndjson" / "mine.txt").read_text() == "mine"


# --- any resource as XML --------------------------------------------------------------------------


def test_whatever_json_has_is_in_the_xml() -> None:
    """Primitives with extensions, lists with gaps, contained resources, references into an element's own definition."""
    extension = {"url": "https://example.org/why", "valueCode": "masked"}
    resource: dict[str, Any] = {
        "name": [{"given": ["Ann", None], "_given": [None, {"id": "g2", "extension": [extension]}], "id": "n1"}],
        "birthDate": "1950",
        "_birthDate": {"extension": [extension]},
        "_gender": {"extension": [extension]},
        "contained": [
            {
                "id": "o",
                "resourceType": "Observation",
                "code": {"text": "a < b & \"c\" 'd'\tµ €\n\U0001f600"},
                "component": [{"referenceRange": [{"high": {"value": Decimal("7.10")}}], "code": {"text": "c"}}],
                "valueQuantity": {"value": Decimal("70.50"), "unit": "kg"},
                "status": "final",
            }
        ],
        "resourceType": "Patient",
        "text": {
            "div": '<div xmlns="http://www.w3.org/1999/xhtml" lang="en"><p>a &lt; b<br/>é</p></div>',
            "status": "generated",
        },
        "id": "p",
        "active": False,
        "multipleBirthInteger": 2,
    }
    data = to_xml(resource)
    found = xml_reader.read(data)
    assert found == parsed(json.dumps(_as_text(resource)).encode())
    assert b'<value value="70.50"/><unit value="kg"/>' in data
    assert b'<name id="n1"><given value="Ann"/><given id="g2"><extension url="https://example.org/why">' in data
    assert [child.tag.partition("}")[2] for child in etree.fromstring(data)] == [
        "id", "text", "contained", "active", "name", "gender", "birthDate", "multipleBirthInteger",
    ]  # fmt: skip


def test_an_object_in_several_places_is_written_as_each_has_it() -> None:
    shared = {"use": "old", "system": "urn:a", "value": "1"}  # `use` is the first of an Identifier, not of a telecom
    resource = {"resourceType": "Patient", "identifier": [shared, shared], "telecom": [shared]}
    assert xml_reader.read(to_xml(resource)) == resource


def _as_text(value: Any) -> Any:
    """The same with decimals as their text: Python's JSON has no digits but those of a float."""
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return str(value) if isinstance(value, Decimal) else value


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        ({"id": "p"}, "expected a resource with a resourceType"),
        ({"resourceType": "Pacient"}, "Pacient is no type of FHIR R4"),
        ({"resourceType": "Patient", "animal": {}}, "animal is no element of Patient in FHIR R4"),
        ({"resourceType": "Patient", "name": [{"resourceType": "Patient"}]}, "resourceType is no element of HumanName"),
        ({"resourceType": "Patient", "text": {"div": "<div>&nbsp;</div>"}}, "the narrative is not well-formed XHTML"),
        ({"resourceType": "Patient", "text": {"div": "<div>a</div>"}}, "the narrative is no div of XHTML: '<div>a"),
        ({"resourceType": "Patient", "language": "a\0b"}, "XML compatible"),
        ({"resourceType": "Patient", "multipleBirthInteger": float("nan")}, "expected a text, .* found nan"),
        ({"resourceType": "Patient", "language": None}, "expected a text, a number, true or false, found None"),
        (
            {"resourceType": "Patient", "maritalStatus": "M"},
            "expected an object, of the type CodeableConcept, found 'M'",
        ),
    ],
)
def test_what_cannot_be_xml(resource: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_xml(resource)


def test_order_is_that_of_the_official_definitions() -> None:
    package = UK_CORE / "hl7.fhir.r4.core#4.0.1.tgz"
    if not package.is_file():
        pytest.skip("the official package of FHIR R4, ../shared/ukcore, is not there")
    compared, with_more = Counter[str](), set[str]()
    with tarfile.open(package) as archive:
        for member in archive:
            if not member.name.startswith("package/StructureDefinition-"):
                continue
            file = archive.extractfile(member)
            assert file is not None
            definition = json.load(file)
            kind = definition["id"]
            if definition["kind"] not in ("resource", "complex-type") or definition.get("derivation") == "constraint":
                continue
            if kind == "MetadataResource":  # an interface, which is nobody's type
                continue
            official: dict[str, list[str]] = {}
            for element in definition["snapshot"]["element"]:
                owner, _, name = element["id"].rpartition(".")
                if owner:
                    official.setdefault(owner, []).append(name)
            for owner, names in official.items():
                if owner not in {part.rpartition(".")[0] for part in xml._elements(kind)}:
                    continue
                parts = xml._parts(owner)
                ours = [key for key, part in parts.items() if key[0] != "_" and part.form != "attribute"]
                ours.sort(key=lambda key: parts[key].place)
                # A choice is there once for each type; the package has a vendor's additions that ours leaves out.
                place = [next((n for n, name in enumerate(names) if _is(key, name)), -1) for key in ours]
                assert place == sorted(place) and -1 not in place, owner
                if not all(any(_is(key, name) for key in parts) for name in names):
                    with_more.add(kind)
                compared["elements"] += len(ours)
                compared["owners"] += 1
    assert compared["owners"] > 600 and compared["elements"] > 6000
    assert with_more == {
        "Binary", "DeviceDefinition", "EvidenceVariable", "Meta", "ObservationDefinition", "ResearchStudy",
    }  # fmt: skip


def _is(key: str, name: str) -> bool:
    """Whether a key is that of an element, or of one of the types of a choice."""
    stem, choice, _ = name.partition("[x]")
    return key == name or bool(choice and key.startswith(stem) and key[len(stem) : len(stem) + 1].isupper())
