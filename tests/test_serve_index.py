"""The index of a folder: the same whatever the layout, kept while it is right, and nothing half-made left behind."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import orjson
import pytest
from served import Files, bare

from fhirsynth.errors import InputError, OutputError
from fhirsynth.serving import building, cache, parameters, welcome
from fhirsynth.serving.cache import FOLDER, index_of
from fhirsynth.serving.index import Index

pytest_plugins = ["served_fixtures"]


@pytest.fixture
def folder(served_folder: Path, tmp_path: Path) -> Path:
    """A folder of one person and the places, to be changed."""
    (tmp_path / "people").mkdir()
    shutil.copy(served_folder / "organisations.json", tmp_path)
    person = sorted((served_folder / "people").iterdir())[0]
    shutil.copy(person, tmp_path / "people")
    return tmp_path


def _resources(index: Index) -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for kind in index.kinds:
        after = 0
        while items := index.of_kind(kind, after, 100):
            after = items[-1].key
            found |= {(item.kind, item.id): bare(orjson.loads(item.body)) for item in items}
    return found


def _values(index: Index) -> list[Any]:
    """All values of all fields, by what they mean and not by their numbers."""
    rows = index.rows(
        "SELECT f.kind, f.type, f.path, r.id, s.uri, t.code FROM token t JOIN field f ON f.id = t.field "
        "JOIN resource r ON r.key = t.resource LEFT JOIN system s ON s.id = t.system WHERE typeof(t.code) = 'text'"
    )
    for table, columns in (("string", "text"), ("moment", "first, after"), ("quantity", "value, unit, system, code")):
        rows += index.rows(
            f"SELECT f.kind, f.type, f.path, r.id, {columns} FROM {table} t JOIN field f ON f.id = t.field "
            "JOIN resource r ON r.key = t.resource"
        )
    return sorted(rows, key=repr)


def _whose(index: Index) -> list[Any]:
    sql = "SELECT p.id, r.id FROM compartment c JOIN resource p ON p.key = c.patient JOIN resource r ON r.key = "
    return sorted(index.rows(sql + "c.resource"))


def _as_ndjson(files: Files, target: Path, *, packed: bool) -> Path:
    (target / "ndjson").mkdir(parents=True)
    lines: dict[str, list[bytes]] = {}
    for bundle in files.people:
        for entry in bundle["entry"]:
            lines.setdefault(entry["resource"]["resourceType"], []).append(orjson.dumps(entry["resource"]))
    for kind, found in lines.items():
        data = b"".join(line + b"\n" for line in found)
        name = f"{kind}.ndjson.gz" if packed else f"{kind}.ndjson"
        (target / "ndjson" / name).write_bytes(gzip.compress(data) if packed else data)
    shutil.copytree(files.folder / "letters", target / "letters")
    shutil.copy(files.folder / "organisations.json", target)
    return target


def test_every_layout_gives_the_same(files: Files, tmp_path: Path) -> None:
    plain = index_of(shutil.copytree(files.folder, tmp_path / "plain"))
    resources, values, whose = _resources(plain), _values(plain), _whose(plain)
    assert resources == files.all
    assert len(values) > len(resources)

    packed = shutil.copytree(files.folder, tmp_path / "packed")
    for file in (packed / "people").iterdir():
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    for made in (
        packed,
        _as_ndjson(files, tmp_path / "a", packed=False),
        _as_ndjson(files, tmp_path / "b", packed=True),
    ):
        index = index_of(made)
        assert _resources(index) == resources
        assert _values(index) == values
        assert _whose(index) == whose


def test_large_bundles_are_read_entry_by_entry(files: Files, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _resources(index_of(folder))
    shutil.rmtree(folder / FOLDER)
    monkeypatch.setattr("fhirsynth.reading.LARGE", 10_000)
    assert _resources(index_of(folder)) == expected


def test_index_is_kept_until_something_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    build = building.build

    def counted(*arguments: Any) -> None:
        made.append(1)
        build(*arguments)

    monkeypatch.setattr(cache, "build", counted)
    index_of(folder)
    index_of(folder)
    assert len(made) == 1
    assert [file.name for file in (folder / FOLDER).iterdir()] == ["index.sqlite"]

    person = next((folder / "people").iterdir())
    bundle = json.loads(person.read_bytes())
    bundle["entry"][0]["resource"]["gender"] = "other"
    person.write_bytes(orjson.dumps(bundle))
    patient = bundle["entry"][0]["resource"]["id"]
    found = index_of(folder).read("Patient", patient)
    assert found is not None
    assert orjson.loads(found.body)["gender"] == "other"
    assert len(made) == 2

    (folder / "manifest.json").write_text("{}")
    index_of(folder)
    person.unlink()
    assert index_of(folder).read("Patient", patient) is None
    monkeypatch.setattr(parameters.load(), "digest", "another")
    index_of(folder)
    assert len(made) == 5

    (folder / FOLDER / "index.sqlite").write_bytes(b"no database at all, but a long enough text to be looked at" * 20)
    index_of(folder)
    assert len(made) == 6


def test_index_made_anew_by_another_process_does_not_mix_with_one_in_use(folder: Path) -> None:
    before = index_of(folder)
    resources = [item for kind in before.kinds for item in before.of_kind(kind, 0, 10)]
    (folder / "organisations.json").unlink()
    after = index_of(folder)
    assert after.resources < before.resources
    with before._connection():  # so that another one is taken
        assert [before.read(item.kind, item.id) for item in resources] == resources


def test_lines_beside_bundles_are_not_read_as_well(folder: Path) -> None:
    (folder / "ndjson").mkdir()
    (folder / "ndjson" / "Patient.ndjson").write_bytes(b'{"resourceType": "Patient", "id": "in-lines"}')
    assert index_of(folder).read("Patient", "in-lines") is None
    shutil.rmtree(folder / "people")
    assert index_of(folder).read("Patient", "in-lines") is not None


def test_version_changes_with_the_content_only(folder: Path) -> None:
    person = next((folder / "people").iterdir())
    bundle = json.loads(person.read_bytes())
    identity = bundle["entry"][0]["resource"]["id"]
    first = index_of(folder).read("Patient", identity)
    os.utime(person, (1_700_000_000, 1_700_000_000))
    second = index_of(folder).read("Patient", identity)
    bundle["entry"][0]["resource"]["active"] = False
    person.write_bytes(orjson.dumps(bundle))
    third = index_of(folder).read("Patient", identity)
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.version == second.version != third.version
    assert second.updated == 1_700_000_000
    assert b'"lastUpdated":"2023-11-14T22:13:20Z"' in second.body


def test_resources_of_others_are_served_too(tmp_path: Path) -> None:
    """Types without search parameters of their own, no meta, a meta with a version, no id."""
    plan = {
        "resourceType": "CarePlan",
        "id": "p",
        "status": "active",
        "meta": {"versionId": "9", "tag": [{"code": "t"}]},
    }
    lines = [plan, {"resourceType": "Basic", "id": "b"}, {"resourceType": "Basic"}, {"resourceType": "Basic", "id": 3}]
    (tmp_path / "mixed.ndjson").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    index = index_of(tmp_path)
    assert index.resources == 2
    found = index.read("CarePlan", "p")
    assert found is not None
    assert orjson.loads(found.body)["meta"]["versionId"] == found.version != "9"
    basic = index.read("Basic", "b")
    assert basic is not None
    assert list(orjson.loads(basic.body)) == ["resourceType", "id", "meta"]


def test_page_for_browsers_takes_people_as_they_are(tmp_path: Path) -> None:
    system = "https://fhir.nhs.uk/Id/nhs-number"
    identifiers = [None, {"system": system}, {"system": system, "value": "9990000018"}]
    (tmp_path / "a.json").write_bytes(orjson.dumps({"resourceType": "Patient", "id": "p", "identifier": identifiers}))
    (tmp_path / "b.json").write_bytes(orjson.dumps({"resourceType": "<b>", "id": "q"}))
    page = welcome.page(index_of(tmp_path), 'http://"><b>')
    assert page.count(f"identifier={system}|") == 2  # the link and its words
    assert "<b>" not in page


def test_first_of_two_stays(tmp_path: Path) -> None:
    for name, status in (("a", "first"), ("b", "second")):
        (tmp_path / f"{name}.json").write_bytes(orjson.dumps({"resourceType": "Basic", "id": "x", "language": status}))
    found = index_of(tmp_path).read("Basic", "x")
    assert found is not None
    assert b'"first"' in found.body


def test_what_cannot_be_read_is_told_and_leaves_nothing(folder: Path) -> None:
    (folder / "people" / "zz.json").write_text('{"resourceType": "Bundle", "entry": [')
    with pytest.raises(InputError, match=r"zz\.json, line 1: the JSON ends too early.*fhirsynth validate"):
        index_of(folder)
    assert list((folder / FOLDER).iterdir()) == []


@pytest.mark.parametrize("what", ["nothing", "a file", "an empty folder", "people who are not finished", "only XML"])
def test_folders_that_are_none(tmp_path: Path, what: str) -> None:
    path, words = tmp_path / "out", "does not exist"
    if what == "a file":
        path.write_text("{}")
        words = "is a file"
    elif what != "nothing":
        path.mkdir()
        words = "holds no FHIR files"
    if what == "only XML":
        (path / "manifest.json").write_text("{}")
        (path / "organisations.xml").write_text("<Bundle/>")
        words = "holds no JSON; make it with --format bundle or ndjson"
    if what == "people who are not finished":
        (path / ".fhirsynth").mkdir()
        (path / ".fhirsynth" / "run.json").write_text("{}")
        words = "are not finished"
    with pytest.raises(InputError, match=words):
        index_of(path)


def test_interrupted_while_it_is_made(folder: Path) -> None:
    def interrupted(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_of(folder, interrupted)
    assert list((folder / FOLDER).iterdir()) == []
    assert index_of(folder).resources > 0


def test_progress_goes_up_to_all_bytes(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    index_of(folder, lambda done, of: told.append((done, of)))
    size = sum(file.stat().st_size for file in folder.rglob("*.json"))
    assert told[-1] == (size, size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_folder_that_cannot_be_written_to(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    mkdir = Path.mkdir

    def refused(path: Path, *arguments: Any, **options: Any) -> None:
        if path.name == FOLDER:
            raise OSError(number, "as another language says it")
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refused)
    index = index_of(folder)
    assert index.kinds["Patient"].resources == 1
    assert not (folder / FOLDER).exists()
    index.close()


def test_no_room_for_the_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(cache, "build", full)
    with pytest.raises(OutputError, match="disk is full; it needs about as much room"):
        index_of(folder)
    assert list((folder / FOLDER).iterdir()) == []


def test_what_another_process_left_is_cleared(folder: Path) -> None:
    (folder / FOLDER).mkdir()
    for name, age in (("making-old.sqlite", 1_000_000_000), ("making-new.sqlite", 4_000_000_000)):
        left = folder / FOLDER / name
        left.write_text("")
        os.utime(left, (age, age))
    index_of(folder)
    assert sorted(file.name for file in (folder / FOLDER).iterdir()) == ["index.sqlite", "making-new.sqlite"]


def test_the_folder_is_still_one_for_other_commands(folder: Path) -> None:
    from fhirsynth import reading

    before = reading.files(folder)
    index_of(folder)
    assert reading.files(folder) == before
