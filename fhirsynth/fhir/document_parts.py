"""What the resources about a letter share: its codes, who wrote it and when, and what identifies it."""

from __future__ import annotations

import datetime as dt
import uuid
from functools import cache
from typing import NamedTuple

from fhirsynth.fhir.codes import read_toml
from fhirsynth.fhir.context import Context
from fhirsynth.fhir.elements import Json, concept
from fhirsynth.letters.letter import Letter
from fhirsynth.letters.saying import date
from fhirsynth.systems import SNOMED

URI = "urn:ietf:rfc:3986"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
LANGUAGE = "en-GB"
_EMPTY = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "documents.fhirsynth.example")


class Kind(NamedTuple):
    """What a kind of letter is called, and its CodeableConcepts."""

    title: str
    description: str
    type: Json
    category: Json


class SectionForm(NamedTuple):
    """Displays of a section's two codes, and the types of resource that it is about."""

    ukcore: str
    snomed: str
    entries: frozenset[str]


class Forms(NamedTuple):
    """`documents.toml`: letters by kind, MIME types by suffix, sections by key, and reasons for no entries."""

    kinds: dict[str, Kind]
    content_types: dict[str, str]
    sections: dict[str, SectionForm]
    empty: dict[str, Json]


@cache
def forms() -> Forms:
    """`documents.toml`, read once a process."""
    tables = read_toml("documents.toml")
    kinds = {
        key: Kind(
            form["title"], form["description"], concept(SNOMED, *form["type"]), concept(SNOMED, *form["category"])
        )
        for key, form in tables["kind"].items()
    }
    sections = {
        key: SectionForm(form["ukcore"], form["snomed"], frozenset(form["entries"]))
        for key, form in tables["section"].items()
    }
    empty = {key: concept(_EMPTY, *coded) for key, coded in tables["empty"].items()}
    return Forms(kinds, tables["content-type"], sections, empty)


class Written(NamedTuple):
    """A letter as its resources tell it: when, by whom and for whom it was written, as elements of FHIR.

    `date` is an instant, `day` the same in words; `care` the kind of service, where the stay has one; `identifier`
    that of the letter whatever its words (`Composition.identifier`).
    """

    kind: Kind
    date: str
    day: str
    period: Json
    patient: Json
    encounter: Json
    author: Json
    custodian: Json
    care: Json | None
    identifier: Json


def written(letter: Letter, encounter: Json, context: Context) -> Written:
    """What the Encounter of a letter's stay tells of the letter.

    It is dated when the stay ended, as the letter itself is, and its author is who was responsible for the stay, or
    the hospital where nobody is named. Raises ValueError for a kind of letter that is no document.
    """
    kind = forms().kinds.get(letter.kind)
    if kind is None:
        raise ValueError(f"a letter of the kind {letter.kind!r} is no document")
    period = encounter["period"]
    moment = period.get("end", context.index_time)
    staff = encounter.get("participant")
    return Written(
        kind,
        moment,
        day(moment),
        period,
        encounter["subject"],
        {"reference": "Encounter/" + encounter["id"]},
        staff[0]["individual"] if staff else encounter["serviceProvider"],
        encounter["serviceProvider"],
        encounter.get("serviceType"),
        identifier(letter.kind, letter.note_id),
    )


def confidentiality(patient: Json) -> Json:
    """How confidential what is written about somebody is: as much as who they are, by the label of their Patient."""
    for label in patient["meta"]["security"]:
        if label["system"] == CONFIDENTIALITY:
            return {"coding": [label]}
    return concept(CONFIDENTIALITY, "N", "normal")


def day(moment: str) -> str:
    """The day of a date or date-time of FHIR in words: 3 March 2026."""
    return date(dt.date.fromisoformat(moment[:10]))


def made_id(*names: str) -> str:
    """A UUID for what the names name: always the same one."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(names)))


def identifier(*names: str) -> Json:
    """An Identifier that is a UUID for what the names name."""
    return {"system": URI, "value": "urn:uuid:" + made_id(*names)}
