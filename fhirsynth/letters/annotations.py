"""Gold annotations of letters, known to the character because the values were put into the words by us.

Four forms of the same spans: JSON lines (everything), a CSV of concepts (`note_id,start,end,concept_id`, the form of
entity-linking challenges), BRAT standoff (`.txt` and `.ann` with normalisations) and spaCy DocBin files. Offsets count
characters (Unicode code points) of the letter's text from 0; `end` is one past the last. The same letters give the same
bytes, and pieces about some of the letters make a whole file when they are put together.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import orjson

from fhirsynth.errors import InputError
from fhirsynth.letters.letter import Letter, Span, as_text
from fhirsynth.systems import DMD, SNOMED

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
#: What the CSV begins with.
CSV_HEADING = b"note_id,start,end,concept_id\n"


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


def brat_configuration(types: Iterable[str]) -> bytes:
    """The `annotation.conf` of a BRAT folder whose letters have spans of these types."""
    entities = "".join(f"{name}\n" for name in sorted(set(types)))
    return f"[entities]\n{entities}\n[relations]\n\n[events]\n\n[attributes]\nNegated\tArg:<ENTITY>\n".encode()


# ---- spaCy: letters in one file


def doc_bin(notes: Iterable[Note]) -> bytes:
    """Letters as a spaCy DocBin of English documents.

    All spans are in `doc.spans["sc"]` (label: type, kb_id: code, id: FHIR resource), the negated ones also in
    `doc.spans["negated"]`; `doc.ents` holds the longest that do not overlap. Tokens break at the ends of spans.
    `doc.user_data` has `note_id`. Raises InputError where spaCy is not installed.
    """
    spacy, kind = _spacy()
    english = spacy.blank("en")  # of its own, since it remembers every word and name that it has seen
    docs = kind(store_user_data=True)
    for found in notes:
        docs.add(_doc(english, found))
    whole: bytes = docs.to_bytes()
    return whole


def joined(bins: Iterable[bytes]) -> bytes:
    """One DocBin of several, their letters in order. Raises InputError where spaCy is not installed."""
    _, kind = _spacy()
    docs = kind(store_user_data=True)
    for data in bins:
        docs.merge(kind(store_user_data=True).from_bytes(data))
    whole: bytes = docs.to_bytes()
    return whole


def _spacy() -> tuple[Any, Any]:
    """spaCy, and its class of files of documents."""
    try:
        import spacy
        from spacy.tokens import DocBin
    except ImportError as error:
        raise InputError(
            "spaCy annotations need the package spacy: pip install 'fhirsynth[spacy]', or choose jsonl, csv or brat"
        ) from error
    return spacy, DocBin


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
