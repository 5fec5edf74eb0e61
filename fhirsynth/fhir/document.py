"""A discharge letter as a UK Core document: a bundle that begins with a Composition and stands on its own.

The Composition has the letter's sections in the order of the PRSB standard, each with both codes of its heading, the
letter's own words as its text, and the resources that it is about as its entries. A mandatory section that the letter
lacks is there too, and says that it is empty.

Behind it comes everything that it refers to, everything that this refers to, and so on to the end: no reference leads
out of the document, as FHIR's rules for documents ask for what the Composition itself refers to, and nothing is in it
that is not reached from the Composition. A document has some 40 entries so; the resources are those of the
person's bundle and of the places, unchanged, at the same `fullUrl`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from fhirsynth.fhir import document_narrative as text
from fhirsynth.fhir.context import Context
from fhirsynth.fhir.document_parts import LANGUAGE, Written, confidentiality, day, forms, identifier, made_id, written
from fhirsynth.fhir.elements import Json, coding, escaped, extension
from fhirsynth.letters.letter import Letter, Section
from fhirsynth.letters.plan import Heading, headings
from fhirsynth.systems import SNOMED

_HEADINGS = "https://fhir.hl7.org.uk/CodeSystem/UKCore-RecordStandardHeadings"
_NOTHING = "Nothing is recorded under this heading."


def by_reference(resources: Iterable[Json]) -> dict[str, Json]:
    """Resources by what a reference to them says, `Type/id`."""
    return {f"{resource['resourceType']}/{resource['id']}": resource for resource in resources}


def document_bundle(
    letter: Letter, resources: Mapping[str, Json], places: Mapping[str, Json], context: Context
) -> Json:
    """The letter to a general practitioner as a document bundle (UKCore-Bundle, UKCore-Composition).

    `resources`: all of the person, `places`: those of places and staff, both as `by_reference` gives them. The same
    letter and resources give the same bundle, with the same identifier; another wording has another identifier and the
    same ids. The bundle shares its resources with the person's: read it, do not change it. Raises ValueError for
    another kind of letter, and where something is referred to that is not there.
    """
    if letter.kind != "gp":
        raise ValueError(f"a letter of the kind {letter.kind!r} has no PRSB sections: only one to a GP is a document")
    encounter = resources["Encounter/" + letter.stay.encounter_id]
    first = composition(letter, encounter, resources["Patient/" + letter.stay.person_id], context)
    base = context.base_url + "/"
    entries = [
        {"fullUrl": f"{base}{resource['resourceType']}/{resource['id']}", "resource": resource}
        for resource in _reached(first, resources, places)
    ]
    digest = hashlib.sha256(orjson.dumps(entries)).hexdigest()
    return {
        "resourceType": "Bundle",
        "id": made_id("Bundle", letter.kind, letter.note_id),
        "meta": context.meta["UKCore-Bundle"],
        "identifier": identifier("Bundle", letter.kind, letter.note_id, digest),
        "type": "document",
        "timestamp": first["date"],
        "entry": entries,
    }


def composition(letter: Letter, encounter: Json, patient: Json, context: Context) -> Json:
    """UKCore-Composition of a letter to a general practitioner. `encounter`, `patient`: the resources of the stay."""
    about = written(letter, encounter, context)
    title = f"{about.kind.title}, {about.day}"
    told = f"{title}: {patient['name'][0]['text']}, born {day(patient['birthDate'])}"
    resource: Json = {
        "resourceType": "Composition",
        "id": made_id("Composition", letter.kind, letter.note_id),
        "meta": context.meta["UKCore-Composition"],
        "language": LANGUAGE,
        "text": text.narrative("generated", f"<p>{escaped(told)}</p>"),
    }
    if about.care is not None:
        resource["extension"] = [extension("CareSettingType", "CodeableConcept", about.care)]
    resource |= {
        "identifier": about.identifier,
        "status": "final",
        "type": about.kind.type,
        "category": [about.kind.category],
        "subject": about.patient,
        "encounter": about.encounter,
        "date": about.date,
        "author": [about.author],
        "title": title,
        "confidentiality": confidentiality(patient)["coding"][0]["code"],
        "custodian": about.custodian,
        "event": [{"period": about.period, "detail": [about.encounter]}],
        "section": list(_sections(letter, about)),
    }
    return resource


def _sections(letter: Letter, about: Written) -> Iterator[Json]:
    """The sections of the letter, and those that it must have and lacks, in the order of the standard."""
    said = {section.key: section for section in letter.sections if section.text.strip()}
    for heading in headings():
        section = said.get(heading.key)
        if section is not None:
            yield _section(heading, section, letter)
        elif heading.obligation == "M":
            nothing = text.narrative("generated", text.paragraphs([_NOTHING]))
            yield {**_headed(heading, heading.title), "text": nothing, "emptyReason": forms().empty["unavailable"]}


def _headed(heading: Heading, title: str) -> Json:
    form = forms().sections[heading.key]
    codings = [coding(_HEADINGS, heading.ukcore, form.ukcore), coding(SNOMED, heading.snomed, form.snomed)]
    return {"title": title, "code": {"coding": codings}}


def _section(heading: Heading, section: Section, letter: Letter) -> Json:
    entries = _entries(section, letter)
    resource = _headed(heading, section.title)
    # Only what is made of the entries alone is generated from them; prose says more than they do.
    status = "generated" if section.writer == "fixed" and entries else "additional"
    resource["text"] = text.narrative(status, text.body(section))
    if entries:
        resource["entry"] = [{"reference": reference} for reference in entries]
    elif section.spans and all(span.negated for span in section.spans):
        resource["emptyReason"] = forms().empty["none"]
    return resource


def _entries(section: Section, letter: Letter) -> list[str]:
    """References to what a section is about, in the order in which it says them: its values' resources and facts'."""
    types = forms().sections[section.key].entries
    facts = {fact.id: fact for fact in letter.stay.facts}
    found: dict[str, None] = {}
    for span in section.spans:
        fact = facts.get(span.fact)
        for reference in (span.resource, *(fact.resources if fact is not None else ())):
            if reference is not None and reference.partition("/")[0] in types:
                found[reference] = None
    return list(found)


def _reached(first: Json, resources: Mapping[str, Json], places: Mapping[str, Json]) -> Iterator[Json]:
    """A resource and all that can be reached from it by references, nearest first. Raises ValueError."""
    yield first
    seen: set[str] = {f"{first['resourceType']}/{first['id']}"}
    waiting = [first]
    for resource in waiting:  # grows while it is read
        for reference in _references(resource):
            if reference in seen or reference.startswith("#"):
                continue
            seen.add(reference)
            found = resources.get(reference) or places.get(reference)
            if found is None:
                by = f"{resource['resourceType']}/{resource['id']}"
                raise ValueError(f"{reference}, to which {by} refers, is neither the person's nor a place")
            waiting.append(found)
            yield found


def _references(value: Any) -> Iterator[str]:
    """The references in an element, in order."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "reference" and isinstance(inner, str):
                yield inner
            elif isinstance(inner, dict | list):
                yield from _references(inner)
    else:
        for inner in value:
            if isinstance(inner, dict | list):
                yield from _references(inner)
