"""Gold annotations of letters, known to the character because the values were put into the words by us.

Four forms of the same spans: JSON lines (everything), a CSV of concepts (`note_id,start,end,concept_id`, the form of
entity-linking challenges), BRAT standoff (`.txt` and `.ann` with normalisations) and spaCy DocBin files. Offsets count
characters (Unicode code points) of the letter's text from 0; `end` is one past the last. Writers take the letters as
they come, hold one of them (spaCy: `DOCS_A_FILE`), give the same bytes for the same letters, and give a file its own
name only when it is whole.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import orjson

from fhirsynth.errors import InputError, OutputError
from fhirsynth.letters.letter import Letter, Span, as_text
from fhirsynth.letters.stays import DMD, SNOMED

Form = Literal["jsonl", "csv", "brat", "spacy"]

#: Types of span that tell who the letter is about or who wrote it: what a de-identifier has to find.
IDENTIFIERS = frozenset(
    {
        "person_name",
        "nhs_number",
        "date_of_birth",
        "address",
        "phone",
        "staff_name",
        "identifier",
        "organisation",
        "ward",
    }
)
#: Slots of facts whose values are a type of their own: a date of birth identifies, other dates hardly do.
_OWN_TYPES = {("patient", "born"): "date_of_birth"}
#: Systems whose codes are SNOMED CT concepts: dm+d's are those of the UK drug extension.
_CONCEPTS = {SNOMED, DMD}
#: Names of code systems in BRAT's references.
_BRAT_SYSTEMS = {SNOMED: "SNOMED", DMD: "dmd"}
DOCS_A_FILE = 500


class Note(NamedTuple):
    """A letter as one text: what its annotations point into. `spans` have offsets in `text`, in order."""

    note_id: str
    person_id: str
    encounter_id: str
    text: str
    spans: tuple[Span, ...]


def note(letter: Letter) -> Note:
    """The text of a letter as its `.txt` has it, with the spans of all sections in their order there."""
    text, spans = as_text(letter)
    ordered = tuple(sorted(spans, key=lambda span: (span.start, span.end, span.type, span.fact, span.slot)))
    return Note(letter.note_id, letter.stay.person_id, letter.stay.encounter_id, text, ordered)


def type_of(span: Span) -> str:
    """The type a span is annotated as."""
    return _OWN_TYPES.get((span.fact.split(":")[0], span.slot), span.type)


# ---- one letter in each form


def json_line(found: Note) -> bytes:
    """One line of JSON, with its end."""
    line = {
        "note_id": found.note_id,
        "person": found.person_id,
        "encounter": found.encounter_id,
        "spans": [
            {
                "start": span.start,
                "end": span.end,
                "surface": span.surface,
                "type": type_of(span),
                "identifier": type_of(span) in IDENTIFIERS,
                "system": span.system,
                "code": span.code,
                "resource": span.resource,
                "negated": span.negated,
                "section": span.section,
                "clean": span.clean,
            }
            for span in found.spans
        ],
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def csv_lines(found: Note) -> bytes:
    """The lines of the CSV: one for each span with a concept of SNOMED CT or dm+d that is not negated."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    for span in found.spans:
        if span.code and span.system in _CONCEPTS and not span.negated:
            writer.writerow((found.note_id, span.start, span.end, span.code))
    return lines.getvalue().encode()


def brat(found: Note) -> str:
    """The `.ann` of a letter: entities, their codes as references, and an attribute where negated."""
    lines, references, negated = [], 0, 0
    for number, span in enumerate(found.spans, 1):
        at = " ".join(str(place) for place in (span.start, span.end))
        if "\n" in span.surface:  # an entity over several lines is told as its pieces
            pieces = [(m.start() + span.start, m.end() + span.start) for m in re.finditer(r"[^\n]+", span.surface)]
            at = ";".join(f"{start} {end}" for start, end in pieces)
        surface = " ".join(re.findall(r"[^\n]+", span.surface))
        lines.append(f"T{number}\t{type_of(span)} {at}\t{surface}")
        if span.code and span.system in _BRAT_SYSTEMS:
            references += 1
            lines.append(f"N{references}\tReference T{number} {_BRAT_SYSTEMS[span.system]}:{span.code}\t{span.clean}")
        if span.negated:
            negated += 1
            lines.append(f"A{negated}\tNegated T{number}")
    return "".join(f"{line}\n" for line in lines)


# ---- whole files


@contextmanager
def _whole(final: Path) -> Iterator[IO[bytes]]:
    """A file under a temporary name that gets its own once all is written. Raises OutputError; leaves no half."""
    temporary = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                yield file
            temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{final} cannot be written: {error.strerror or error}") from error


@contextmanager
def _whole_folder(final: Path) -> Iterator[Path]:
    """A folder under a temporary name, as `_whole`. Raises OutputError also where the folder is there already."""
    if final.exists():
        raise OutputError(f"{final} is there already: choose another folder or remove it")
    temporary = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        try:
            temporary.mkdir(parents=True)
            yield temporary
            temporary.replace(final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{final} cannot be written: {error.strerror or error}") from error


def write_jsonl(notes: Iterable[Note], path: Path) -> int:
    """Write JSON lines; returns how many letters. Raises OutputError."""
    return _write_lines(notes, path, json_line)


def write_csv(notes: Iterable[Note], path: Path) -> int:
    """Write the CSV of concepts; returns how many letters. Raises OutputError."""
    return _write_lines(notes, path, csv_lines, b"note_id,start,end,concept_id\n")


def _write_lines(notes: Iterable[Note], path: Path, form: Callable[[Note], bytes], heading: bytes = b"") -> int:
    count = 0
    with _whole(path) as file:
        file.write(heading)
        for count, found in enumerate(notes, 1):  # noqa: B007
            file.write(form(found))
    return count


def write_brat(notes: Iterable[Note], folder: Path) -> int:
    """Write a folder that BRAT opens: a `.txt` and an `.ann` a letter, and its configuration. Raises OutputError."""
    count, types = 0, set()
    with _whole_folder(folder) as inside:
        for count, found in enumerate(notes, 1):  # noqa: B007
            types |= {type_of(span) for span in found.spans}
            (inside / f"{found.note_id}.txt").write_bytes(found.text.encode())
            (inside / f"{found.note_id}.ann").write_bytes(brat(found).encode())
        entities = "".join(f"{name}\n" for name in sorted(types))
        configuration = f"[entities]\n{entities}\n[relations]\n\n[events]\n\n[attributes]\nNegated\tArg:<ENTITY>\n"
        (inside / "annotation.conf").write_bytes(configuration.encode())
    return count


def write_spacy(notes: Iterable[Note], folder: Path, docs_a_file: int = DOCS_A_FILE) -> int:
    """Write spaCy DocBin files (`letters-00001.spacy` …) of English documents; returns how many letters.

    All spans are in `doc.spans["sc"]` (label: type, kb_id: code, id: FHIR resource), the negated ones also in
    `doc.spans["negated"]`; `doc.ents` holds the longest that do not overlap. Tokens break at the ends of spans.
    `doc.user_data` has `note_id`. Raises InputError where spaCy is not installed, OutputError as the others.
    """
    try:
        import spacy
        from spacy.tokens import DocBin
    except ImportError as error:
        raise InputError(
            "spaCy annotations need the package spacy: pip install 'fhirsynth[spacy]', or choose jsonl, csv or brat"
        ) from error
    english = spacy.blank("en")
    count = 0
    with _whole_folder(folder) as inside:
        waiting = iter(notes)
        for file in range(1, 1 << 30):
            first = next(waiting, None)
            if first is None:
                break
            docs = DocBin(store_user_data=True)
            for place, found in enumerate(chain([first], waiting), 1):
                docs.add(_doc(english, found))
                count += 1
                if place == docs_a_file:
                    break
            (inside / f"letters-{file:05d}.spacy").write_bytes(docs.to_bytes())
    return count


def _doc(english: Any, found: Note) -> Any:
    """A letter as a spaCy document whose tokens end where spans do."""
    from spacy.tokens import Doc
    from spacy.tokens import Span as Entity
    from spacy.util import filter_spans

    begin, stop = {span.start for span in found.spans}, {span.end for span in found.spans}
    edges = sorted(begin | stop)
    words, spaces = [], []
    for token in english.make_doc(found.text):
        start, end = token.idx, token.idx + len(token)
        cuts = [start, *(edge for edge in edges if start < edge < end), end]
        words += [found.text[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
        alone = bool(token.whitespace_) and (end in begin or end + 1 in stop)  # a span begins or ends with the space
        spaces += [False] * (len(cuts) - 2) + [bool(token.whitespace_) and not alone]
        if alone:
            words.append(" ")
            spaces.append(False)
    doc = Doc(english.vocab, words=words, spaces=spaces, user_data={"note_id": found.note_id})
    starts = {token.idx: token.i for token in doc}
    ends = {token.idx + len(token): token.i + 1 for token in doc}
    entities = [
        Entity(
            doc,
            starts[span.start],
            ends[span.end],
            label=type_of(span),
            kb_id=span.code or "",
            span_id=span.resource or "",
        )
        for span in found.spans
    ]
    doc.spans["sc"] = entities
    doc.spans["negated"] = [entity for entity, span in zip(entities, found.spans, strict=True) if span.negated]
    doc.ents = filter_spans(entities)
    return doc


def write(notes: Iterable[Note], form: Form, out: Path) -> Path:
    """Write one form of annotations under its usual name in the folder `out`; returns the file or folder."""
    writers: dict[Form, tuple[Callable[[Iterable[Note], Path], int], str]] = {
        "jsonl": (write_jsonl, "annotations.jsonl"),
        "csv": (write_csv, "annotations.csv"),
        "brat": (write_brat, "brat"),
        "spacy": (write_spacy, "spacy"),
    }
    writer, name = writers[form]
    writer(notes, out / name)
    return out / name
