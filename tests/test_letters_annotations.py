"""Annotations of letters: each form is read back and says what the spans say."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_letters import SUMMARY, letter, written

from fhirsynth.errors import InputError, OutputError
from fhirsynth.letters import annotations
from fhirsynth.letters.annotations import Form, Note, note, type_of
from fhirsynth.letters.letter import Span
from fhirsynth.letters.stays import DMD, SNOMED

FORMS: list[Form] = ["jsonl", "csv", "brat", "spacy"]


@pytest.fixture(autouse=True)
def _spacy_where_asked(request: pytest.FixtureRequest) -> None:
    if "spacy" in request.node.name and "without" not in request.node.name:
        pytest.importorskip("spacy", reason="spacy is not installed")


def _notes(count: int = 3) -> Iterator[Note]:
    """Letters with spans in each other, with one over two lines, with characters beyond the basic plane."""
    for number in range(count):
        found = note(letter(note_id=f"note-{number}", summary=f"🌡 {number}\n{SUMMARY}"))
        at = found.text.index("pneumonia")
        inside = Span(at, at + 6, "pneumo", "abbreviation", "", "", None, None, None, False, "diagnoses", "pneumo")
        start = found.text.index("DIAGNOSES")
        two = Span(start, at, found.text[start:at], "social", "", "", None, None, None, False, "diagnoses", "x")
        yield found._replace(spans=tuple(sorted((*found.spans, inside, two))))


def _all_bytes(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {file.name: file.read_bytes() for file in files}


def test_offsets_point_into_the_whole_text() -> None:
    found = note(letter())
    assert len(found.spans) == sum(len(section.spans) for section in letter().sections) > 20
    for span in found.spans:
        assert found.text[span.start : span.end] == span.surface
    assert [span.start for span in found.spans] == sorted(span.start for span in found.spans)


def test_written_letters_in_every_form(tmp_path: Path) -> None:
    for found in map(note, written()):
        for span in found.spans:
            assert found.text[span.start : span.end] == span.surface
    letters = [found for found in written() if found.kind == "gp"]
    for form in FORMS[:3]:
        annotations.write(map(note, letters), form, tmp_path)
    lines = (tmp_path / "annotations.jsonl").read_text().splitlines()
    told = [(line["note_id"], len(line["spans"])) for line in map(json.loads, lines)]
    assert told == [(found.note_id, len(note(found).spans)) for found in letters]
    assert len(list((tmp_path / "brat").glob("*.ann"))) == len(letters)


def test_identifiers_are_typed() -> None:
    spans = json.loads(annotations.json_line(note(letter())))["spans"]
    found = {(span["type"], span["surface"]) for span in spans if span["identifier"]}
    assert found == {
        ("person_name", "Mrs Joan Smith"),
        ("date_of_birth", "5 June 1941"),
        ("nhs_number", "999 123 4567"),
        ("address", "4 Elm Row, Northbridge, NB3 4EF"),
    }
    assert ("date", "3 March 2026") in {(span["type"], span["surface"]) for span in spans if not span["identifier"]}


def test_jsonl(tmp_path: Path) -> None:
    path = annotations.write(_notes(), "jsonl", tmp_path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 3
    for line, found in zip(lines, _notes(), strict=True):
        assert (line["note_id"], line["person"], line["encounter"]) == (found.note_id, "person-1", "encounter-1")
        assert len(line["spans"]) == len(found.spans)
        for told, span in zip(line["spans"], found.spans, strict=True):
            assert found.text[told["start"] : told["end"]] == told["surface"]
            kept = {"system", "code", "resource", "negated", "section", "clean"}
            assert {key: told[key] for key in kept} == {key: getattr(span, key) for key in kept}
            assert told["type"] == type_of(span)
        assert [told["surface"] for told in line["spans"] if told["negated"]] == ["allergies"]


def test_csv(tmp_path: Path) -> None:
    with annotations.write(_notes(), "csv", tmp_path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = [
        (found.note_id, str(span.start), str(span.end), span.code)
        for found in _notes()
        for span in found.spans
        if span.system in (SNOMED, DMD) and not span.negated
    ]
    assert len(wanted) > 30
    assert [tuple(row.values()) for row in rows] == wanted
    assert list(rows[0]) == ["note_id", "start", "end", "concept_id"]
    assert {"233604007", "2000000"} <= {row["concept_id"] for row in rows}
    assert not {"716186003", "9991234567"} & {row["concept_id"] for row in rows}


def test_brat(tmp_path: Path) -> None:
    folder = annotations.write(_notes(), "brat", tmp_path)
    configured = (folder / "annotation.conf").read_text().split("[relations]")[0].split()[1:]
    for found in _notes():
        text = (folder / f"{found.note_id}.txt").read_bytes().decode()
        assert text == found.text
        entities: dict[str, tuple[str, int, int]] = {}
        codes: dict[str, str] = {}
        negated = set()
        for line in (folder / f"{found.note_id}.ann").read_bytes().decode().splitlines():
            name, what, *rest = line.split("\t")
            if name[0] == "T":
                kind, places = what.split(" ", 1)
                pieces = [tuple(map(int, piece.split())) for piece in places.split(";")]
                assert rest == [" ".join(text[start:end] for start, end in pieces)]
                assert kind in configured
                entities[name] = (kind, pieces[0][0], pieces[-1][1])
            elif name[0] == "N":
                reference, entity, code = what.split(" ")
                assert reference == "Reference" and rest[0]
                codes[entity] = code
            else:
                assert (name[0], what.split(" ")[0]) == ("A", "Negated")
                negated.add(what.split(" ")[1])
        assert list(entities.values()) == [(type_of(span), span.start, span.end) for span in found.spans]
        for (name, _), span in zip(entities.items(), found.spans, strict=True):
            system = {SNOMED: "SNOMED", DMD: "dmd"}.get(span.system or "")
            assert codes.get(name) == (f"{system}:{span.code}" if system else None)
            assert (name in negated) == span.negated
        assert negated


def test_spacy(tmp_path: Path) -> None:
    import spacy
    from spacy.tokens import DocBin

    folder = tmp_path / "spacy"
    assert annotations.write_spacy(_notes(5), folder, docs_a_file=2) == 5
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [f"letters-{n:05d}.spacy" for n in (1, 2, 3)]
    english = spacy.blank("en")
    docs = [doc for file in files for doc in DocBin().from_disk(file).get_docs(english.vocab)]
    for doc, found in zip(docs, _notes(5), strict=True):
        assert doc.text == found.text and doc.user_data["note_id"] == found.note_id
        told = [(s.start_char, s.end_char, s.label_, s.kb_id_, s.id_, s.text) for s in doc.spans["sc"]]
        assert told == [(s.start, s.end, type_of(s), s.code or "", s.resource or "", s.surface) for s in found.spans]
        assert [span.text for span in doc.spans["negated"]] == ["allergies"]
        assert len(doc.ents) > 20


@pytest.mark.parametrize("form", FORMS)
def test_same_bytes_whatever_the_hash_seed(form: Form, tmp_path: Path) -> None:
    tests = Path(__file__).parent
    code = (
        f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests.parent)!r}]\n"
        "from pathlib import Path; import test_letters_annotations as t\n"
        f"t.annotations.write(t._notes(), {form!r}, Path(sys.argv[1]))"
    )
    made = []
    for seed in ("1", "2"):
        out = tmp_path / seed
        command = [sys.executable, "-c", code, str(out)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        made.append({name: hashlib.sha256(data).hexdigest() for name, data in _all_bytes(next(out.iterdir())).items()})
    assert made[0] == made[1] and made[0]


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_left_of_what_fails(form: Form, tmp_path: Path) -> None:
    def failing() -> Iterator[Note]:
        yield from _notes()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotations.write(failing(), form, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMS)
def test_letters_are_taken_one_by_one(form: Form, tmp_path: Path) -> None:
    """No writer keeps letters: each is gone, but for the file in hand, when the next is asked for."""
    alive: list[int] = []
    most = 0

    class Spans(tuple[Span, ...]):
        def __del__(self) -> None:
            alive.pop()

    def watched() -> Iterator[Note]:
        nonlocal most
        for found in _notes(12):
            alive.append(1)
            most = max(most, len(alive))
            yield found._replace(spans=Spans(found.spans))

    if form == "spacy":
        annotations.write_spacy(watched(), tmp_path / "spacy", docs_a_file=4)
    else:
        annotations.write(watched(), form, tmp_path)
    assert 1 <= most <= 3 and not alive


@pytest.mark.parametrize("form", FORMS)
def test_no_letters(form: Form, tmp_path: Path) -> None:
    path = annotations.write(iter(()), form, tmp_path)
    wanted: dict[Form, Any] = {
        "jsonl": {"annotations.jsonl": b""},
        "csv": {"annotations.csv": b"note_id,start,end,concept_id\n"},
        "spacy": {},
    }
    if form in wanted:
        assert _all_bytes(path) == wanted[form]
    else:
        assert list(_all_bytes(path)) == ["annotation.conf"]


@pytest.mark.parametrize("form", ["brat", "spacy"])
def test_a_folder_of_before_is_kept(form: Form, tmp_path: Path) -> None:
    (tmp_path / form).mkdir()
    (tmp_path / form / "mine").touch()
    with pytest.raises(OutputError, match="is there already"):
        annotations.write(_notes(), form, tmp_path)
    assert [file.name for file in (tmp_path / form).iterdir()] == ["mine"]


@pytest.mark.parametrize("form", FORMS)
def test_where_nothing_can_be_written(form: Form, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        annotations.write(_notes(), form, tmp_path / "file")


def test_without_spacy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(InputError, match=r"pip install 'fhirsynth\[spacy\]'"):
        annotations.write(_notes(), "spacy", tmp_path)
    assert list(tmp_path.iterdir()) == []
