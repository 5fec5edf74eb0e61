"""Annotations of letters: each form is read back and says what the spans say."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_letters import SUMMARY, letter, written

from fhirsynth.errors import InputError
from fhirsynth.letters import annotations
from fhirsynth.letters.annotations import Note, note, type_of
from fhirsynth.letters.letter import Span
from fhirsynth.systems import DMD, SNOMED


def _notes(count: int = 3) -> Iterator[Note]:
    """Letters with spans in each other, with one over two lines, with characters beyond the basic plane."""
    for number in range(count):
        found = note(letter(note_id=f"note-{number}", summary=f"🌡 {number}\n{SUMMARY}"))
        at = found.text.index("pneumonia")
        inside = Span(at, at + 6, "pneumo", "abbreviation", "", "", None, None, None, False, "diagnoses", "pneumo")
        start = found.text.index("DIAGNOSES")
        two = Span(start, at, found.text[start:at], "social", "", "", None, None, None, False, "diagnoses", "x")
        yield found._replace(spans=tuple(sorted((*found.spans, inside, two))))


def test_offsets_point_into_the_whole_text() -> None:
    found = note(letter())
    assert len(found.spans) == sum(len(section.spans) for section in letter().sections) > 20
    for span in found.spans:
        assert found.text[span.start : span.end] == span.surface
    assert [span.start for span in found.spans] == sorted(span.start for span in found.spans)


def test_written_letters_in_every_form() -> None:
    for made in written():
        found = note(made)
        for span in found.spans:
            assert found.text[span.start : span.end] == span.surface
        told = json.loads(annotations.json_line(found))
        assert (told["note_id"], len(told["spans"])) == (made.note_id, len(found.spans))
        assert annotations.brat(found).count("\nT") == len(found.spans) - 1


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


def test_breathing_air_is_not_being_on_oxygen() -> None:
    air, oxygen = "722742002", "371825009"
    spans = [span for made in written() for span in note(made).spans if span.code in (air, oxygen)]
    assert spans
    for span in spans:
        assert ("air" in span.surface.split()) == (span.code == air)


def test_jsonl() -> None:
    for found in _notes():
        data = annotations.json_line(found)
        assert data.endswith(b"\n") and data.count(b"\n") == 1
        line = json.loads(data)
        assert (line["note_id"], line["person"], line["encounter"]) == (found.note_id, "person-1", "encounter-1")
        assert len(line["spans"]) == len(found.spans)
        for told, span in zip(line["spans"], found.spans, strict=True):
            assert found.text[told["start"] : told["end"]] == told["surface"]
            kept = {"system", "code", "resource", "negated", "section", "clean"}
            assert {key: told[key] for key in kept} == {key: getattr(span, key) for key in kept}
            assert told["type"] == type_of(span)
        assert [told["surface"] for told in line["spans"] if told["negated"]] == ["allergies"]


def test_csv() -> None:
    whole = annotations.CSV_HEADING + b"".join(map(annotations.csv_lines, _notes()))
    rows = list(csv.DictReader(whole.decode().splitlines()))
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


def test_brat() -> None:
    types = {type_of(span) for found in _notes() for span in found.spans}
    configuration = annotations.brat_configuration(types).decode()
    configured = configuration.split("[relations]")[0].split()[1:]
    assert configured == sorted(types)
    assert "\n[attributes]\nNegated\tArg:<ENTITY>\n" in configuration
    for found in _notes():
        text = found.text
        entities: dict[str, tuple[str, int, int]] = {}
        codes: dict[str, str] = {}
        negated = set()
        for line in annotations.brat(found).splitlines():
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


def test_spacy() -> None:
    spacy = pytest.importorskip("spacy", reason="spacy is not installed")
    from spacy.tokens import DocBin

    notes = list(_notes(5))
    pieces = (notes[:2], [], notes[2:])
    whole = annotations.joined(map(annotations.doc_bin, pieces))
    docs = list(DocBin().from_bytes(whole).get_docs(spacy.blank("en").vocab))
    for doc, found in zip(docs, notes, strict=True):
        assert doc.text == found.text and doc.user_data["note_id"] == found.note_id
        told = [(s.start_char, s.end_char, s.label_, s.kb_id_, s.id_, s.text) for s in doc.spans["sc"]]
        assert told == [(s.start, s.end, type_of(s), s.code or "", s.resource or "", s.surface) for s in found.spans]
        assert [span.text for span in doc.spans["negated"]] == ["allergies"]
        assert len(doc.ents) > 20


def test_spacy_without_letters() -> None:
    spacy = pytest.importorskip("spacy", reason="spacy is not installed")
    from spacy.tokens import DocBin

    for empty in (annotations.doc_bin([]), annotations.joined([]), annotations.joined([annotations.doc_bin([])])):
        assert list(DocBin().from_bytes(empty).get_docs(spacy.blank("en").vocab)) == []


def every_form() -> bytes:
    """All letters in all forms."""
    notes = list(_notes())
    types = {type_of(span) for found in notes for span in found.spans}
    brat = "".join(map(annotations.brat, notes)).encode() + annotations.brat_configuration(types)
    return b"".join([*map(annotations.json_line, notes), *map(annotations.csv_lines, notes), brat]) + (
        annotations.doc_bin(notes)
    )


def test_same_bytes_whatever_the_hash_seed() -> None:
    pytest.importorskip("spacy", reason="spacy is not installed")
    tests = Path(__file__).parent
    code = (
        f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests.parent)!r}]\n"
        "import test_letters_annotations as t; sys.stdout.buffer.write(t.every_form())"
    )
    made = [
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    ]
    assert made[0] == made[1] and made[0]


def test_without_spacy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(InputError, match=r"pip install 'fhirsynth\[spacy\]'"):
        annotations.doc_bin(_notes())
