"""Letters as FHIR: document bundles that stand on their own, and DocumentReferences in the person's record."""

from __future__ import annotations

import base64
import copy
import csv
import gzip
import hashlib
import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from made import known

from fhirsynth import Population, shipped
from fhirsynth.fhir import (
    Context,
    as_models,
    by_reference,
    document_bundle,
    document_reference,
    letter_resources,
    organisation_resources,
    person_resources,
    to_bytes,
    with_letters,
)
from fhirsynth.fhir.bundle import bundle
from fhirsynth.fhir.document_parts import forms
from fhirsynth.knowledge import load
from fhirsynth.letters.letter import Letter, Section, as_text
from fhirsynth.letters.plan import headings
from fhirsynth.letters.stays import Reader
from fhirsynth.letters.writing import write
from fhirsynth.record.schema import PLACES
from fhirsynth.validation import Validator, check_bundle
from fhirsynth.validation.beyond import check_group, narrative, sctid
from fhirsynth.validation.hl7 import Hl7Engine

CODES = Path(__file__).parent.parent.parent / "shared" / "reference" / "codes"
Json = dict[str, Any]


class Case(NamedTuple):
    """A stay: its letters, the person's resources by reference, and the document."""

    letter: Letter
    to_patient: Letter | None
    resources: dict[str, Json]
    document: Json

    @property
    def composition(self) -> Json:
        return self.document["entry"][0]["resource"]

    @property
    def encounter(self) -> Json:
        return self.resources["Encounter/" + self.letter.stay.encounter_id]


@cache
def context() -> Context:
    return Context(load(), index=Population(n=1).spec.index_date)


@cache
def _made() -> tuple[tuple[Case, ...], dict[str, Json]]:
    record = Population(n=40, seed=9).record()
    reader = Reader(load(), {key: record[key] for key in PLACES})
    places = by_reference(organisation_resources(record.tables, context()))
    found = []
    for person, rows in record.by_person():
        resources: dict[str, Json] = {}
        for stay in reader.stays(person, rows):
            resources = resources or by_reference(person_resources(person, rows, context()))
            letter = write(stay, 1)
            document = document_bundle(letter, resources, places, context())
            found.append(Case(letter, write(stay, 1, kind="patient"), resources, document))
    return tuple(found), places


def cases() -> tuple[Case, ...]:
    return _made()[0]


def places() -> dict[str, Json]:
    return _made()[1]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from references(inner)


def sections(composition: Json) -> dict[str, Json]:
    """The sections of a Composition by the code of UK Core."""
    return {section["code"]["coding"][0]["code"]: section for section in composition["section"]}


def said(div: str) -> str:
    """The words of a narrative."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", div)).split())


def files(letter: Letter, **more: bytes) -> dict[str, bytes]:
    """A letter's files by name, the text and others by suffix."""
    made = {"txt": as_text(letter)[0].encode(), **more}
    return {f"{letter.note_id}.{suffix}": data for suffix, data in made.items()}


def with_section(letter: Letter, key: str, text: str, writer: str = "fixed") -> Letter:
    """The letter with another text in a section, which says nothing of the record."""
    changed = [Section(s.key, s.title, text, (), writer) if s.key == key else s for s in letter.sections]
    return letter._replace(sections=tuple(changed))


def made_again(case: Case, letter: Letter, resources: dict[str, Json] | None = None) -> Json:
    return document_bundle(letter, resources or case.resources, places(), context())


# ---- the document


def test_there_are_stays_of_all_kinds() -> None:
    tags = frozenset().union(*(case.letter.stay.tags for case in cases()))
    assert len(cases()) >= 30
    assert {"emergency", "elective", "daycase", "via-emergency-department", "has:result"} <= tags


def test_a_document_is_a_bundle_as_fhir_asks() -> None:
    for case in cases():
        document = case.document
        assert (document["resourceType"], document["type"]) == ("Bundle", "document")
        assert document["identifier"]["system"] and document["identifier"]["value"].startswith("urn:uuid:")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+\d\d:00", document["timestamp"])
        assert case.composition["resourceType"] == "Composition"
        urls = []
        for entry in document["entry"]:
            resource = entry["resource"]
            assert entry.keys() == {"fullUrl", "resource"}
            assert entry["fullUrl"] == f"{context().base_url}/{resource['resourceType']}/{resource['id']}"
            urls.append(entry["fullUrl"])
        assert len(set(urls)) == len(urls)
    identifiers = {case.document["identifier"]["value"] for case in cases()}
    assert len(identifiers) == len({case.document["id"] for case in cases()}) == len(cases())


def test_no_reference_leads_out_of_a_document_and_nothing_in_it_is_astray() -> None:
    for case in cases():
        here = by_reference(entry["resource"] for entry in case.document["entry"])
        reached: set[str] = set()
        waiting = [f"Composition/{case.composition['id']}"]
        while waiting:
            name = waiting.pop()
            if name not in reached and not name.startswith("#"):
                reached.add(name)
                waiting.extend(references(here[name]))
        assert reached == here.keys()
        for name, resource in list(here.items())[1:]:
            assert resource is (case.resources.get(name) or places()[name])


def test_the_composition_says_whose_letter_it_is() -> None:
    for case in cases():
        composition, encounter = case.composition, case.encounter
        assert composition["status"] == "final" and composition["confidentiality"] == "N"
        assert composition["subject"]["reference"] == "Patient/" + case.letter.stay.person_id
        assert composition["encounter"]["reference"] == "Encounter/" + case.letter.stay.encounter_id
        assert composition["date"] == encounter["period"]["end"] == case.document["timestamp"]
        assert composition["author"] == [encounter["participant"][0]["individual"]]
        assert composition["custodian"] == encounter["serviceProvider"]
        assert composition["type"]["coding"][0]["code"] == "373942005"
        leaving = case.letter.stay.first("discharge") or case.letter.stay.first("death")
        assert leaving is not None and composition["title"] == f"Discharge summary, {leaving.values['date'].text}"
        assert context().meta["UKCore-Composition"] == composition["meta"]
        assert "HTEST" in json.dumps([case.document["meta"], composition["meta"]])


def test_who_is_not_named_is_spoken_for_by_the_hospital() -> None:
    case = cases()[0]
    encounter = {key: value for key, value in case.encounter.items() if key != "participant"}
    name = "Encounter/" + encounter["id"]
    composition = made_again(case, case.letter, case.resources | {name: encounter})["entry"][0]["resource"]
    assert composition["author"] == [encounter["serviceProvider"]]


def test_sections_stand_in_the_order_of_the_standard_with_both_codes() -> None:
    order = [heading.ukcore for heading in headings()]
    for case in cases():
        found = sections(case.composition)
        assert list(found) == [code for code in order if code in found]
        written = {section.key: section for section in case.letter.sections}
        for heading in headings():
            assert (heading.ukcore in found) == (heading.key in written)
            assert heading.key in written or heading.obligation != "M"
            if heading.key in written:
                section = found[heading.ukcore]
                assert section["title"] == written[heading.key].title
                assert [coding["code"] for coding in section["code"]["coding"]] == [heading.ukcore, heading.snomed]


def test_sections_say_the_words_of_the_letter() -> None:
    for case in cases():
        found = sections(case.composition)
        for section in case.letter.sections:
            heading = next(heading for heading in headings() if heading.key == section.key)
            div = found[heading.ukcore]["text"]["div"]
            assert narrative.html_checks(div) is None
            # A table has no colon behind its terms.
            lines = section.text.split("\n")
            wanted = [line.replace(": ", " ", 1) for line in lines] if "<table>" in div else lines
            assert said(div) == " ".join(" ".join(wanted).split())


def test_sections_lead_to_what_they_are_about() -> None:
    kinds = {
        "diagnoses": {"dx": "Condition", "secondary": "Condition", "pmh": "Condition"},
        "procedures": {"proc": "Procedure"},
        "investigation-results": {"result": "Observation", "trend": "Observation", "normal": "Observation"},
        "medications-and-medical-devices": dict.fromkeys(("started", "stopped", "continued"), "MedicationRequest"),
        "allergies-and-adverse-reaction": {"allergy": "AllergyIntolerance"},
        "patient-demographics": {"patient": "Patient"},
        "discharge-details": {"discharge": "Encounter"},
    }
    seen = set()
    for case in cases():
        found = sections(case.composition)
        for code, of_kinds in kinds.items():
            entries = {entry["reference"] for entry in found.get(code, {}).get("entry", ())}
            for kind, type_ in of_kinds.items():
                for fact in case.letter.stay.of(kind):
                    wanted = {name for name in fact.resources if name.startswith(f"{type_}/")}
                    if code in found and any(fact.id == s.fact for s in _spans(case.letter, code)):
                        assert wanted <= entries, (code, fact)
                        seen.add(kind)
        summary = found["clinical-summary"]
        assert not any(entry["reference"].startswith(("Patient/", "Encounter/")) for entry in summary["entry"])
        assert summary["text"]["status"] == "additional"
        assert found["diagnoses"]["text"]["status"] == "generated"
    assert {"dx", "pmh", "proc", "result", "continued", "allergy", "discharge"} <= seen


def _spans(letter: Letter, code: str) -> list[Any]:
    return [span for section in letter.sections if section.key == code for span in section.spans]


def test_a_mandatory_section_that_is_not_there_says_so() -> None:
    case = cases()[0]
    left_out = ("clinical-summary", "plan")
    letter = case.letter._replace(sections=tuple(s for s in case.letter.sections if s.key not in left_out))
    found = sections(made_again(case, letter)["entry"][0]["resource"])
    assert found["clinical-summary"]["emptyReason"]["coding"][0]["code"] == "unavailable"
    assert "entry" not in found["clinical-summary"] and said(found["clinical-summary"]["text"]["div"])
    assert "plan-and-requested-actions" not in found
    assert list(found) == [heading.ukcore for heading in headings() if heading.ukcore in found]


def test_no_known_allergies_without_a_resource_is_a_reason_to_be_empty() -> None:
    case = next(case for case in cases() if case.letter.stay.of("noallergy"))
    told = next(section for section in case.letter.sections if section.key.startswith("allergies"))
    bare = told._replace(spans=tuple(span._replace(resource=None, fact="") for span in told.spans))
    letter = case.letter._replace(sections=tuple(bare if s is told else s for s in case.letter.sections))
    section = sections(made_again(case, letter)["entry"][0]["resource"])["allergies-and-adverse-reaction"]
    assert section["emptyReason"]["coding"][0]["code"] == "nilknown" and "entry" not in section


@pytest.mark.parametrize(
    ("writer", "text", "shape"),
    [
        ("phrasebook", 'Sats < 92% & "pale"\n\nSecond <b>thought</b>.', "<p>Sats &lt; 92% &amp;"),
        ("fixed", "One: <1> & 2\nTwo: 3: 4", '<tr><th scope="row">Two</th><td>3: 4</td></tr>'),
        ("fixed", "No terms\nNote: a & b", "<ul><li>No terms</li><li>Note: a &amp; b</li></ul>"),
        ("fixed", "Nothing <at> all", "<p>Nothing &lt;at&gt; all</p>"),
    ],
)
def test_words_that_are_no_markup(writer: str, text: str, shape: str) -> None:
    case = cases()[0]
    made = made_again(case, with_section(case.letter, "clinical-summary", text, writer))
    div = sections(made["entry"][0]["resource"])["clinical-summary"]["text"]["div"]
    assert shape in div
    assert narrative.html_checks(div) is None
    assert all(word in said(div) for word in text.replace(":", "").split())


def test_the_same_letter_is_the_same_document_and_another_wording_is_not() -> None:
    case = cases()[0]
    assert to_bytes(made_again(case, case.letter)) == to_bytes(case.document)
    other = made_again(case, with_section(case.letter, "plan", "Nothing."))
    assert other["identifier"] != case.document["identifier"]
    assert other["id"] == case.document["id"]
    assert other["entry"][0]["resource"]["id"] == case.composition["id"]
    assert other["entry"][0]["resource"]["identifier"] == case.composition["identifier"]


def test_making_a_document_changes_nothing() -> None:
    case = cases()[0]
    before = copy.deepcopy(case.resources)
    made_again(case, case.letter)
    assert case.resources == before


def test_what_cannot_be_a_document() -> None:
    case = next(case for case in cases() if case.to_patient is not None)
    assert case.to_patient is not None
    with pytest.raises(ValueError, match="'patient' has no PRSB sections"):
        made_again(case, case.to_patient)
    lost = case.encounter["location"][0]["location"]["reference"]
    without = {name: place for name, place in places().items() if name != lost}
    with pytest.raises(ValueError, match=f"{lost}, to which Composition/.* refers, is neither"):
        document_bundle(case.letter, case.resources, without, context())


# ---- the DocumentReference


def test_a_document_reference_holds_the_letter_in_every_format() -> None:
    case = cases()[0]
    given = files(case.letter, html=b"<html></html>", pdf=b"%PDF-1.7 \xff")
    made = document_reference(case.letter, given, case.resources, context())
    types = ["text/plain; charset=utf-8", "text/html; charset=utf-8", "application/pdf"]
    attachments = [content["attachment"] for content in made["content"]]
    assert [attachment["contentType"] for attachment in attachments] == types
    for attachment, data in zip(attachments, given.values(), strict=True):
        assert base64.b64decode(attachment["data"]) == data
        assert attachment["size"] == len(data)
        assert base64.b64decode(attachment["hash"]) == hashlib.sha1(data).digest()
        assert (attachment["language"], attachment["creation"]) == ("en-GB", made["date"])
    assert base64.b64decode(attachments[0]["data"]).decode() == as_text(case.letter)[0]
    assert (made["status"], made["docStatus"]) == ("current", "final")
    assert made["identifier"] == [case.composition["identifier"]]
    for shared in ("type", "category", "subject", "author", "custodian", "date"):
        assert made[shared] == case.composition[shared]
    assert made["context"]["encounter"] == [case.composition["encounter"]]
    assert made["context"]["period"] == case.encounter["period"]
    assert "HTEST" in json.dumps(made["meta"]) and made["meta"]["profile"][0].endswith("/UKCore-DocumentReference")


def test_a_letter_is_as_confidential_as_the_person() -> None:
    case = cases()[0]
    patient = case.resources["Patient/" + case.letter.stay.person_id]
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R", "display": "restricted"}
    security = [*patient["meta"]["security"], label]
    hidden = {**patient, "meta": {**patient["meta"], "security": security}}
    for person, code in ((patient, "N"), (hidden, "R")):
        resources = {**case.resources, "Patient/" + patient["id"]: person}
        reference = document_reference(case.letter, files(case.letter), resources, context())
        assert [c["code"] for c in reference["securityLabel"][0]["coding"]] == [code]
        document = document_bundle(case.letter, resources, places(), context())
        assert document["entry"][0]["resource"]["confidentiality"] == code


def test_another_wording_has_another_master_identifier() -> None:
    case = cases()[0]
    changed = with_section(case.letter, "plan", "Nothing.")
    one, again, other = (
        document_reference(letter, files(letter), case.resources, context())
        for letter in (case.letter, case.letter, changed)
    )
    assert to_bytes(one) == to_bytes(again)
    assert one["masterIdentifier"] != other["masterIdentifier"]
    assert (one["id"], one["identifier"]) == (other["id"], other["identifier"])


def test_wrong_files() -> None:
    case = cases()[0]
    with pytest.raises(ValueError, match="no file of the letter"):
        document_reference(case.letter, {}, case.resources, context())
    with pytest.raises(ValueError, match=r"x\.doc: a letter is one of txt, html, pdf"):
        document_reference(case.letter, {"x.doc": b""}, case.resources, context())


def test_the_letter_to_the_patient_is_another_document_beside_the_first() -> None:
    case = next(case for case in cases() if case.to_patient is not None)
    assert case.to_patient is not None
    letters = [(letter, files(letter)) for letter in (case.letter, case.to_patient)]
    first, second = letter_resources(letters, case.resources, context())
    assert second["context"]["related"] == [{"reference": "DocumentReference/" + first["id"]}]
    assert "related" not in first["context"]
    assert (first["id"], first["identifier"]) != (second["id"], second["identifier"])
    assert second["type"]["coding"][0]["code"] == "823701000000103"
    assert "plain English" in second["description"]
    [alone] = letter_resources(letters[1:], case.resources, context())
    assert "related" not in alone["context"]


def test_notes_are_documents_and_a_bag_of_words_is_none() -> None:
    case = cases()[0]
    letters = [(case.letter._replace(kind=kind), files(case.letter)) for kind in ("note", "words")]
    [notes] = letter_resources(letters, case.resources, context())
    assert notes["type"]["coding"][0]["display"] == "Inpatient medical note"
    with pytest.raises(ValueError, match="'words' is no document"):
        document_reference(*letters[1], case.resources, context())


def _with_all_letters() -> Iterator[list[Json]]:
    """The resources of each person, with their letters."""
    people: dict[int, list[Case]] = {}
    for case in cases():
        people.setdefault(id(case.resources), []).append(case)
    for of_person in people.values():
        made = []
        for case in of_person:
            both = [letter for letter in (case.letter, case.to_patient) if letter is not None]
            made += letter_resources([(each, files(each)) for each in both], case.resources, context())
        yield with_letters(list(of_person[0].resources.values()), made)


def test_letters_stand_before_a_provenance_that_is_of_all() -> None:
    for resources in _with_all_letters():
        provenance = resources[-1]
        assert provenance["resourceType"] == "Provenance"
        targets = [target["reference"] for target in provenance["target"]]
        assert targets == [f"{item['resourceType']}/{item['id']}" for item in resources[:-1]]
        here = by_reference(resources)
        for item in resources:
            if item["resourceType"] == "DocumentReference":
                assert all(name in here or name in places() for name in references(item))
    resources = list(cases()[0].resources.values())
    assert with_letters(resources, []) == resources
    assert "DocumentReference" not in json.dumps(resources[-1])


# ---- codes


def _snomed() -> dict[str, str]:
    """SNOMED CT codes of documents, with their displays."""
    kinds = [coded["coding"][0] for kind in forms().kinds.values() for coded in (kind.type, kind.category)]
    found = {coding["code"]: coding["display"] for coding in kinds}
    return found | {heading.snomed: forms().sections[heading.key].snomed for heading in headings()}


def test_every_code_is_an_identifier_of_snomed_ct() -> None:
    assert not [code for code in _snomed() if sctid.fault(code)]
    assert forms().sections.keys() == {heading.key for heading in headings()}


@pytest.mark.skipif(not CODES.is_dir(), reason="the reference material (../shared) is not on this machine")
def test_every_code_is_a_verified_one_and_called_as_it_is() -> None:
    used = gzip.decompress((CODES / "snomed_gp_usage_2022_23.csv.gz").read_bytes()).decode()
    headed = (CODES / "section_headings.csv").read_text(encoding="utf-8").splitlines()
    of_sections = {row["snomed_id"] for row in csv.DictReader(headed)}
    names = dict(row[:2] for row in csv.reader(used.splitlines()) if row[0] in _snomed())
    for code, display in _snomed().items():
        assert code in names or code in of_sections
        assert code not in names or names[code] == f"{display} (record artifact)"


def test_codes_of_uk_core_are_those_of_its_value_sets() -> None:
    folder = shipped.folder("profiles") / "stu3" / "value-sets"
    of_sections = tomllib.loads((folder / "UKCore-CompositionSectionCode.toml").read_text(encoding="utf-8"))["codes"]
    [named] = of_sections.values()
    for heading in headings():
        assert named[heading.ukcore] == forms().sections[heading.key].ukcore
    of_category = tomllib.loads((folder / "UKCore-CompositionCategory.toml").read_text(encoding="utf-8"))["codes"]
    for kind in forms().kinds.values():
        coding = kind.category["coding"][0]
        assert of_category[coding["system"]][coding["code"]] == coding["display"]


# ---- the judges


def test_the_built_in_engine_finds_nothing_in_documents() -> None:
    validator = Validator(release="stu3")
    for case in cases()[:15]:
        resources = [entry["resource"] for entry in case.document["entry"]]
        found = [*validator.check(case.document), *check_group(resources, bundle=case.document)]
        assert not [str(finding) for finding in found if finding.severity != "information"]


def test_the_built_in_engine_finds_what_is_wrong_in_a_document() -> None:
    """So that the test above says something: the Composition out of its place, what it refers to gone."""
    document = copy.deepcopy(cases()[0].document)
    document["entry"].reverse()
    assert "bdl-11" in str([str(finding) for finding in Validator(release="stu3").check(document)])
    document["entry"].reverse()
    del document["entry"][2]
    resources = [entry["resource"] for entry in document["entry"]]
    errors = [finding for finding in check_group(resources, bundle=document) if finding.severity == "error"]
    assert {finding.rule for finding in errors} == {"references-resolve"}


def test_the_built_in_engine_finds_nothing_in_records_with_letters() -> None:
    for resources in list(_with_all_letters())[:8]:
        found = check_bundle(bundle(resources, context()), known(), places().keys())
        assert not [str(finding) for finding in found if finding.severity != "information"]


def test_documents_are_sound_r4_models() -> None:
    pytest.importorskip("fhir.resources")
    for case in cases()[:3]:
        model = as_models(case.document)
        assert model.entry[0].resource.section[0].title == case.letter.sections[0].title


def test_hl7_finds_no_error_in_documents_and_references(hl7_engine: Hl7Engine) -> None:
    some = [case for case in cases() if case.to_patient is not None][:6]
    references = [
        made
        for case in some
        for letter in (case.letter, case.to_patient)
        if letter is not None
        for made in letter_resources([(letter, files(letter, pdf=b"%PDF"))], case.resources, context())
    ]
    judged = list(hl7_engine.check_many([*(case.document for case in some), *references]))
    assert len(judged) == 18
    errors = [str(finding) for findings in judged for finding in findings if finding.severity == "error"]
    assert not errors, "\n".join(errors[:10])
    odd = copy.deepcopy(some[0].document)
    odd["entry"].append({"fullUrl": "https://example.org/fhir/Basic/x", "resource": _astray()})
    assert any("reachable" in finding.found for finding in hl7_engine.check(odd)), "the judge looks for what is astray"


def _astray() -> Json:
    return {"resourceType": "Basic", "id": "x", "code": {"text": "nothing leads here"}}
