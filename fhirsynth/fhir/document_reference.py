"""Letters in a person's record: a DocumentReference for each, with the letter in every format that was written."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence

from fhirsynth.fhir.context import Context
from fhirsynth.fhir.document_parts import LANGUAGE, confidentiality, forms, identifier, made_id, written
from fhirsynth.fhir.elements import Json, coding, narrative
from fhirsynth.letters.letter import Letter

#: Of IHE's format codes, which R4 prefers: that the MIME type says all.
_FORMAT = coding(
    "http://ihe.net/fhir/ValueSet/IHE.FormatCode.codesystem",
    "urn:ihe:iti:xds:2017:mimeTypeSufficient",
    "mimeType Sufficient",
)


def document_reference(
    letter: Letter,
    files: Mapping[str, bytes],
    resources: Mapping[str, Json],
    context: Context,
    related: Sequence[Json] = (),
) -> Json:
    """UKCore-DocumentReference of a letter.

    `files`: the letter in each format by name of file, whose suffix (txt, html, pdf) says which; all are inline, so
    that the resource is worth something wherever it is sent. `resources`: all of the person by reference.
    `related`: references to other documents about it. Its identifier is that of the letter's Composition. Raises
    ValueError where there is no file, one of another suffix, or a kind of letter that is no document.
    """
    if not files:
        raise ValueError(f"no file of the letter {letter.note_id} is given: a DocumentReference has a content")
    about = written(letter, resources["Encounter/" + letter.stay.encounter_id], context)
    title = f"{about.kind.title}, {about.day}"
    within: Json = {"encounter": [about.encounter], "period": about.period}
    if about.care is not None:
        within["practiceSetting"] = about.care
    within["sourcePatientInfo"] = about.patient
    if related:
        within["related"] = list(related)
    digest = hashlib.sha256(b"\0".join(files.values())).hexdigest()
    return {
        "resourceType": "DocumentReference",
        "id": made_id("DocumentReference", letter.kind, letter.note_id),
        "meta": context.meta["UKCore-DocumentReference"],
        "text": narrative(title),
        "masterIdentifier": identifier("DocumentReference", letter.kind, letter.note_id, digest),
        "identifier": [about.identifier],
        "status": "current",
        "docStatus": "final",
        "type": about.kind.type,
        "category": [about.kind.category],
        "subject": about.patient,
        "date": about.date,
        "author": [about.author],
        "custodian": about.custodian,
        "description": about.kind.description,
        "securityLabel": [confidentiality(resources["Patient/" + letter.stay.person_id])],
        "content": [
            {"attachment": _attachment(name, data, title, about.date), "format": _FORMAT}
            for name, data in files.items()
        ],
        "context": within,
    }


def _attachment(name: str, data: bytes, title: str, creation: str) -> Json:
    suffix = name.rpartition(".")[2]
    kind = forms().content_types.get(suffix)
    if kind is None:
        raise ValueError(f"{name}: a letter is one of {', '.join(forms().content_types)}")
    return {
        "contentType": kind,
        "language": LANGUAGE,
        "data": base64.b64encode(data).decode("ascii"),
        "size": len(data),
        # FHIR R4 asks for SHA-1 here: a check of what was sent, no protection.
        "hash": base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode("ascii"),
        "title": title,
        "creation": creation,
    }


def letter_resources(
    letters: Iterable[tuple[Letter, Mapping[str, bytes]]], resources: Mapping[str, Json], context: Context
) -> list[Json]:
    """What the letters about one stay add to a person's resources: a DocumentReference each.

    `letters`: with the files of each, as `document_reference` takes them, that to the general practitioner first; the
    next refer to those before. `resources`: all of the person by reference. A bag of words (kind `words`) is no
    document and adds nothing. Everything that the result refers to is among `resources` or the places. Raises
    ValueError as `document_reference` does.
    """
    made: list[Json] = []
    for letter, files in letters:
        if letter.kind in forms().kinds:
            related = [{"reference": "DocumentReference/" + other["id"]} for other in made]
            made.append(document_reference(letter, files, resources, context, related))
    return made


def with_letters(resources: Sequence[Json], letters: Sequence[Json]) -> list[Json]:
    """A person's resources, with those about their letters before the Provenance, which then is of these too.

    `resources`: as `person_resources` gives them, the Provenance last; they are not changed.
    """
    if not letters:
        return list(resources)
    *others, last = resources
    targets = [{"reference": f"{item['resourceType']}/{item['id']}"} for item in letters]
    return [*others, *letters, {**last, "target": [*last["target"], *targets]}]
