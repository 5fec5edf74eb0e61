"""The record: person by person, as Arrow, joined, and checked."""

from __future__ import annotations

import subprocess
import sys

import pytest
import records

from fhirsynth.record import Problem, Record
from fhirsynth.record.schema import KEYS, PLACES, TABLES


@pytest.fixture(scope="module")
def record() -> Record:
    return records.record()


def test_every_table_has_a_row(record: Record) -> None:
    assert [name for name, rows in record.tables.items() if not rows] == []


def test_sound_record_has_no_problems(record: Record) -> None:
    assert record.check() == []


def test_by_person_gives_each_row_once_in_person_order(record: Record) -> None:
    seen = list(record.by_person())
    assert [person.id for person, _ in seen] == [person.id for person in record.people]
    for name in TABLES:
        if name == "person" or name in PLACES:
            continue
        given = [row for _, rows in seen for row in rows.get(name, [])]
        assert sorted(given, key=lambda row: row.id) == sorted(record[name], key=lambda row: row.id)
    for person, rows in seen:
        assert all(row.person_id == person.id for table in rows.values() for row in table)


def test_check_finds_each_kind_of_fault(record: Record) -> None:
    tables = {name: list(rows) for name, rows in record.tables.items()}
    flag, other = tables["flag"]
    allergy = tables["allergy"][0]
    tables["flag"] = [flag, flag]
    tables["allergy"] = [allergy._replace(person_id=None)]
    tables["episode"] = [tables["episode"][0]._replace(condition_id="nobody")]
    found = Record(tables).check()
    assert Problem("flag", flag.id, "id", "is used twice") in found
    assert Problem("allergy", allergy.id, "person_id", "is missing") in found
    assert any(p.table == "episode" and p.column == "condition_id" and "nobody" in p.what for p in found)
    assert other.id not in {p.id for p in found}
    assert str(found[0]).startswith(f"{found[0].table} {found[0].id}: ")


def test_every_foreign_key_is_checked(record: Record) -> None:
    for table, keys in KEYS.items():
        for column in keys:
            tables = dict(record.tables)
            tables[table] = [record[table][0]._replace(**{column: "nobody"})]
            assert (table, column) in {(p.table, p.column) for p in Record(tables).check()}


def test_unknown_table_is_refused() -> None:
    with pytest.raises(KeyError, match="wards"):
        Record({"wards": []})


def test_concat_keeps_shared_places_once(record: Record) -> None:
    one, two = (
        Record({**record.tables, "person": [person], "contact": [], "flag": []}) for person in record.people[:2]
    )
    both = Record.concat([one, two])
    assert both.people == record.people[:2]
    for name in PLACES:
        assert both[name] == record[name]
    assert len(both["encounter"]) == 2 * len(record["encounter"])


def test_arrow_tables_hold_the_rows(record: Record) -> None:
    pa = pytest.importorskip("pyarrow")
    for name, rows in record.tables.items():
        table = record.arrow(name)
        assert table.num_rows == len(rows)
        assert table.column_names == list(TABLES[name]._fields)
    people = record.arrow("person")
    assert people.schema.field("birth").type == pa.date32()
    assert people.schema.field("death").nullable
    assert not people.schema.field("surname").nullable
    assert people.column("birth")[0].as_py().isoformat() == "1958-05-17"
    assert people.column("death")[2].as_py().isoformat() == "2023-11-05T22:15:00+00:00"
    assert Record({}).arrow("flag").num_rows == 0


def test_reading_rows_does_not_import_pyarrow() -> None:
    code = "import sys, fhirsynth.record, fhirsynth.fhir; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
