"""The letters of one shard: all its stays written up in one call, as files, annotations and documents."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from fhirsynth.errors import InputError
from fhirsynth.fhir import organisation_resources, to_bytes
from fhirsynth.fhir.document import by_reference, document_bundle
from fhirsynth.fhir.document_reference import letter_resources, with_letters
from fhirsynth.letters import annotations as gold
from fhirsynth.letters.folder import Letters, Told, check, letterhead, pages
from fhirsynth.letters.making import Made, Maker, Manner, make, maker
from fhirsynth.letters.stays import STAYS, Reader
from fhirsynth.record.record import Rows
from fhirsynth.record.schema import Person
from fhirsynth.run import output, shard, state
from fhirsynth.run.output import Written

if TYPE_CHECKING:
    from pathlib import Path

    from fhirsynth.letters.letter import Letter
    from fhirsynth.run.state import Job
    from fhirsynth.spec import Spec

Json = dict[str, Any]

#: Letters in a file that spaCy reads as a whole, at most; a shard's stay together.
DOCS_A_FILE = 500


def writer(manner: Manner) -> Maker:
    """Who writes in this manner, loaded once a process. Raises InputError as `making.maker` does."""
    if manner.level != "letter":  # what is less than a letter needs no model
        return _maker("phrasebook", None, manner.device)
    return _maker(manner.writer, manner.model, manner.device)


@lru_cache(maxsize=1)
def _maker(name: str, model: str | None, device: str) -> Maker:
    return maker(Manner(writer=name, model=model, device=device))


def forget_writer() -> None:
    """Let go of the writer, where others than this process are to use it: a model fills memory."""
    _maker.cache_clear()


class _Kit(NamedTuple):
    """What every shard's letters need beside those of the shard."""

    reader: Reader
    places: dict[str, Any]  # rows of places and staff by id
    resources: dict[str, Json]  # … and their resources by reference


@lru_cache(maxsize=1)
def _kit(index_date: dt.date) -> _Kit:
    tools = shard.tools(index_date)
    tables = shard.place_tables(tools.places)
    return _Kit(
        Reader(tools.knowledge, tables),
        {row.id: row for rows in tables.values() for row in rows},
        by_reference(organisation_resources(tables, tools.context)),
    )


def stays(spec: Spec, people: Iterable[tuple[Person, Rows]], most_a_person: int | None = None) -> Iterator[Told]:
    """The hospital stays of these people, person by person and the oldest first."""
    reader = _kit(spec.index_date).reader
    for person, rows in people:
        encounters = {row.id: row for row in rows.get("encounter", ())}
        for stay in islice(reader.stays(person, rows), most_a_person):
            yield Told(person, encounters[stay.encounter_id], stay)


def all_stays(spec: Spec) -> Iterator[Told]:
    """The hospital stays of a whole population, shard by shard; memory does not grow with their number."""
    for number in range(spec.shards):
        yield from stays(spec, shard.make(spec, number).record.by_person())


def count_stays(spec: Spec, number: int, most_a_person: int | None) -> int:
    """How many stays of a shard could have a letter, without looking into them."""
    found = Counter(row.person_id for row in shard.make(spec, number).record["encounter"] if row.kind in STAYS)
    return sum(count if most_a_person is None else min(count, most_a_person) for count in found.values())


def as_documents(job: Job) -> Letters:
    """The letters of a job that wants them as their document bundles alone: no pages, no annotations.

    Without people's files beside them, letters to patients would go nowhere, and are not written. Raises InputError
    where what is asked of the letters makes no documents.
    """
    asked = check(job.letters or Letters(Manner(seed=job.spec.seed)))
    if not asked.documents or asked.manner.level != "letter":
        option = "--no-documents" if not asked.documents else f"--level {asked.manner.level}"
        raise InputError(
            f"--format document writes letters as documents, and {option} makes none: leave one of them out"
        )
    alone = job.formats == ("document",)
    manner = asked.manner._replace(to_patient=asked.manner.to_patient and not alone)
    return asked._replace(manner=manner, annotations=())


class ShardLetters:
    """The letters of a shard, written when this is made; `deliver` gives each person theirs, `finish` ends it.

    `most`: only of so many stays. What is in `files` lies there under its final name. Pages are not written where only
    documents are asked for, though a DocumentReference holds them.
    """

    def __init__(self, job: Job, number: int, people: Sequence[tuple[Person, Rows]], most: int | None) -> None:
        assert job.letters is not None
        self.job, self.number, self.asked = job, number, job.letters
        self.files: list[Written] = []
        #: Types of span that are in the annotations.
        self.types: set[str] = set()
        told = list(islice(stays(job.spec, people, self.asked.most_a_person), most))
        manner = self.asked.manner
        made, self.counts = make([found.stay for found in told], manner, writer(manner))
        self.counts.update(stays=len(told), spans=0, documents=0)
        self._of: dict[str, list[tuple[Told, Made]]] = {}
        for found, letters in zip(told, made, strict=True):
            self._of.setdefault(found.person.id, []).append((found, letters))
        self._notes: list[gold.Note] = []
        kinds = [output.BRAT] if "brat" in self.asked.annotations else []
        kinds += [output.DOCUMENTS] if self.asked.documents and manner.level == "letter" else []
        for folder in output.letter_folders(job.spec, number, kinds):
            (job.out / folder).mkdir(parents=True, exist_ok=True)

    def has_any(self, person: Person) -> bool:
        """Whether there are letters about a person that were not delivered yet."""
        return person.id in self._of

    def deliver(self, person: Person, resources: list[Json]) -> list[Json]:
        """Write the files of a person's letters; returns the person's resources with those about the letters."""
        mine = self._of.pop(person.id, [])
        if not mine:
            return resources
        context = shard.tools(self.job.spec.index_date).context
        by_name = by_reference(resources)
        more: list[Json] = []
        for told, made in mine:
            more += letter_resources(self._files(told, made), by_name, context)
            if made.letter is not None:
                self._annotate(gold.note(made.letter))
                if self.asked.documents and made.letter.kind == "gp":
                    places = _kit(self.job.spec.index_date).resources
                    self._document(made.letter.note_id, document_bundle(made.letter, by_name, places, context))
        return with_letters(resources, more)

    def _files(self, told: Told, made: Made) -> list[tuple[Letter, dict[str, bytes]]]:
        """The letters about a stay, each with its files, which are written."""
        head = letterhead(told, _kit(self.job.spec.index_date).places)
        found = []
        for letter, name in ((made.letter, told.stay.note_id), (made.to_patient, f"{told.stay.note_id}-patient")):
            if letter is not None:
                files = dict(pages(name, letter, head, self.asked.formats))
                if "document" not in self.job.formats:
                    for file, data in files.items():
                        self._write(file, data)
                found.append((letter, files))
        return found

    def _document(self, name: str, document: Json) -> None:
        """Write a document bundle, as XML where the people are written so, as JSON where anything else is."""
        self.counts["documents"] += 1
        if "xml" in self.job.formats:
            from fhirsynth.fhir.xml import to_xml

            self._write(f"{name}.xml", to_xml(document), output.DOCUMENTS)
        if self.job.formats != ("xml",):
            self._write(f"{name}.json", to_bytes(document), output.DOCUMENTS)

    def _annotate(self, note: gold.Note) -> None:
        self._notes.append(note)
        self.counts["spans"] += len(note.spans)
        self.types.update(map(gold.type_of, note.spans))
        if "brat" in self.asked.annotations:
            self._write(f"{note.note_id}.txt", note.text.encode(), output.BRAT)
            self._write(f"{note.note_id}.ann", gold.brat(note).encode(), output.BRAT)

    def finish(self) -> None:
        """Write this shard's part of the annotations that are one file for all."""
        for form in self.asked.annotations:
            if form == "jsonl":
                data = b"".join(map(gold.json_line, self._notes))
            elif form == "csv":
                data = b"".join(map(gold.csv_lines, self._notes))
            elif form == "spacy":
                data = gold.doc_bin(self._notes)
            else:
                continue
            output.write_part(self.job.out, f"annotations.{form}", self.number, data)

    def _write(self, file: str, data: bytes, kind: str = "") -> None:
        path = output.letter_path(self.job.spec, self.number, file, kind)
        self.files.append(output.write(self.job.out, path, data))


# ---- what is one file for all shards


def join_annotations(job: Job, name: str, parts: Sequence[Path]) -> list[Written]:
    """Join the shards' parts of one form of annotations. Of spaCy's, which are read as a whole, several files."""
    path = f"{output.LETTERS}/{name}"
    if name != "annotations.spacy":
        return [output.join(job.out, path, parts, gold.CSV_HEADING if name.endswith(".csv") else b"")]
    files = []
    for number, some in enumerate(_few_at_a_time(job, parts), 1):
        final = path if number == 1 else f"{output.LETTERS}/annotations-{number:05d}.spacy"
        files.append(output.write(job.out, final, gold.joined(part.read_bytes() for part in some)))
    return files


def _few_at_a_time(job: Job, parts: Sequence[Path]) -> Iterator[list[Path]]:
    """Parts of shards that follow one another: as many as hold no more than `DOCS_A_FILE` letters, or one."""
    together: list[Path] = []
    letters = 0
    for part in parts:
        counted = state.tally_of(job, int(part.name)).letters
        assert counted is not None
        if together and letters + counted["letters"] > DOCS_A_FILE:
            yield together
            together, letters = [], 0
        together.append(part)
        letters += counted["letters"]
    yield together


def closing_files(job: Job, summary: Json) -> list[Written]:
    """Write what is known of the letters only when all shards are done: the summary, and BRAT's configuration."""
    assert job.letters is not None
    text = json.dumps(summary, indent=2) + "\n"
    files = [output.write(job.out, f"{output.LETTERS}/{output.SUMMARY}", text.encode())]
    if "brat" in job.letters.annotations:
        path = f"{output.LETTERS}/{output.BRAT}/annotation.conf"
        files.append(output.write(job.out, path, gold.brat_configuration(state.span_types(job))))
    return files
