"""The letters of a population that was made before: its people made again from the manifest, their stays written up.

A folder says in its manifest which options it was made with, and the same options give the same people. So letters
need nothing but the manifest, and carry the ids of the resources that lie in the folder.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from fhirsynth import __version__, knowledge
from fhirsynth.days import date_of
from fhirsynth.errors import InputError, OutputError
from fhirsynth.letters import annotations as gold
from fhirsynth.letters import saying
from fhirsynth.letters.check import check_letter
from fhirsynth.letters.facts import Stay
from fhirsynth.letters.letter import Letter, as_text
from fhirsynth.letters.page.model import Letterhead
from fhirsynth.letters.stays import Reader
from fhirsynth.letters.writing import write
from fhirsynth.record import schema as rec
from fhirsynth.run import shard
from fhirsynth.spec import Spec

Format = Literal["txt", "html", "pdf"]
FORMATS: tuple[Format, ...] = ("txt", "html", "pdf")
FOLDER = "letters"
#: Drafts of a letter before it is withheld, and how far apart their seeds are.
_DRAFTS, _APART = 4, 1_000_003


class Asked(NamedTuple):
    """Which letters: in which formats, whose voice (None: one drawn for each stay), how many, to the patient too."""

    formats: tuple[Format, ...] = ("txt",)
    voice: str | None = None
    seed: int = 1
    most: int | None = None
    most_a_person: int | None = None
    to_patient: bool = True


class Told(NamedTuple):
    """A stay and whose it is."""

    person: rec.Person
    encounter: rec.Encounter
    stay: Stay


def spec_of(folder: Path) -> Spec:
    """The options that a folder was made with.

    Raises InputError where it holds no manifest, or one of another version or other knowledge files: the people made
    again would be others.
    """
    file = folder / "manifest.json"
    try:
        manifest = json.loads(file.read_bytes())
        spec = Spec(**manifest["spec"])
    except FileNotFoundError:
        raise InputError(
            f"{folder} holds no manifest.json: expected a folder that `fhirsynth population` made"
        ) from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise InputError(f"{file} is no manifest of fhirsynth: {error}") from None
    made_by = manifest.get("versions", {}).get("fhirsynth")
    if made_by != __version__ or manifest.get("knowledge") != knowledge.load().digest:
        raise InputError(
            f"{folder} was made by another version of fhirsynth ({made_by}) or with other knowledge files, and its "
            "people would not be the same today; make it again with `fhirsynth population`"
        )
    return spec


def stays(spec: Spec) -> Iterator[Told]:
    """Every hospital stay of a population, person by person; memory does not grow with their number."""
    kit = shard.tools(spec.index_date)
    reader = Reader(kit.knowledge, shard.place_tables(kit.places))
    for number in range(spec.shards):
        for person, rows in shard.make(spec, number).record.by_person():
            encounters = {row.id: row for row in rows.get("encounter", ())}
            for stay in reader.stays(person, rows):
                yield Told(person, encounters[stay.encounter_id], stay)


def write_letters(
    folder: Path, asked: Asked, *, overwrite: bool = False, progress: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """Write the letters of a population into `folder/letters` and return what was counted.

    Nothing stands under its final name before all is written. Raises InputError for a folder that is no population,
    OutputError where the letters cannot be written or are there already.
    """
    spec = spec_of(folder)
    final, temporary = folder / FOLDER, folder / f".{FOLDER}.part"
    if final.exists() and not overwrite:
        raise OutputError(f"{final} is there already; --overwrite replaces it")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        counted = _write_into(temporary, spec, asked, progress)
        (temporary / "summary.json").write_text(json.dumps(counted, indent=2) + "\n", encoding="utf-8")
        if final.exists():
            shutil.rmtree(final)
        temporary.replace(final)
    except OSError as error:
        raise OutputError(f"{final} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return counted


def _write_into(out: Path, spec: Spec, asked: Asked, progress: Callable[[int], None] | None) -> dict[str, Any]:
    counted: dict[str, Any] = {"writer": "phrasebook", "seed": asked.seed, "letters": 0, "to_patient": 0, "spans": 0}
    counted |= {"drafts": 0, "rejected": 0, "withheld": 0}
    places = _places(spec)
    with (out / "annotations.jsonl").open("wb") as lines, (out / "annotations.csv").open("wb") as concepts:
        concepts.write(b"note_id,start,end,concept_id\n")
        for told in islice(_asked_for(spec, asked), asked.most):
            head = letterhead(told, places)
            letter = _sound(told.stay, asked, "gp", counted)
            if letter is not None:
                _pages(out, told.stay.note_id, letter, head, asked.formats)
                note = gold.note(letter)
                lines.write(gold.json_line(note))
                concepts.write(gold.csv_lines(note))
                counted["letters"] += 1
                counted["spans"] += len(note.spans)
            plain = _sound(told.stay, asked, "patient", counted) if asked.to_patient else None
            if plain is not None:
                _pages(out, f"{told.stay.note_id}-patient", plain, head, asked.formats)
                counted["to_patient"] += 1
            if progress:
                progress(counted["letters"])
    return counted


def _sound(stay: Stay, asked: Asked, kind: Literal["gp", "patient"], counted: dict[str, Any]) -> Letter | None:
    """A letter in which the independent reader finds nothing wrong: the first draft, or another; None where none is.

    Nobody who died is written to.
    """
    for attempt in range(_DRAFTS):
        letter = write(stay, asked.seed + attempt * _APART, asked.voice, kind=kind)
        if letter is None:
            return None
        counted["drafts"] += 1
        if not check_letter(stay, letter.sections, kind=kind):
            return letter
        counted["rejected"] += 1
    counted["withheld"] += 1
    return None


def _asked_for(spec: Spec, asked: Asked) -> Iterator[Told]:
    person, written = "", 0
    for told in stays(spec):
        written = written + 1 if told.person.id == person else 1
        person = told.person.id
        if asked.most_a_person is None or written <= asked.most_a_person:
            yield told


def _pages(out: Path, name: str, letter: Letter, head: Letterhead, formats: tuple[Format, ...]) -> None:
    if "txt" in formats:
        (out / f"{name}.txt").write_bytes(as_text(letter)[0].encode())
    if "html" in formats:
        from fhirsynth.letters.page.html import html

        (out / f"{name}.html").write_bytes(html(letter, head).encode())
    if "pdf" in formats:
        from fhirsynth.letters.page.pdf import pdf

        (out / f"{name}.pdf").write_bytes(pdf(letter, head))


def _places(spec: Spec) -> dict[str, Any]:
    tables = shard.place_tables(shard.tools(spec.index_date).places)
    return {row.id: row for rows in tables.values() for row in rows}


def letterhead(told: Told, places: dict[str, Any]) -> Letterhead:
    """Addresses and names of the page, from the rows of the stay."""
    person, encounter, stay = told
    trust, practice = places[encounter.organisation_id], places[person.practice_id]
    ward = places.get(encounter.location_id or "")
    role = places.get(encounter.role_id or "")
    author = places.get(role.practitioner_id) if role is not None else None
    patient, gp, admission = stay.first("patient"), stay.first("gp"), stay.first("admission")
    assert patient is not None and gp is not None and admission is not None
    return Letterhead(
        trust=trust.name,
        address=(*trust.address.split("\n"), trust.postcode),
        phone=trust.phone,
        ward=ward.name if ward is not None else "",
        gp=gp.text,
        practice=practice.name,
        practice_address=(*practice.address.split("\n"), practice.postcode),
        patient=patient.text,
        patient_short=patient.values["short"].text,
        patient_address=(*person.address.split("\n"), person.postcode),
        born=date_of(person.birth),
        nhs_number=person.nhs_number,
        written=saying.moment(encounter.end).date(),
        author=f"{author.prefix} {author.given[0]} {author.surname}" if author is not None else "",
        grade=(role.role.replace("-", " ").capitalize() if role is not None else ""),
        specialty=admission.values["specialty"].text,
    )
