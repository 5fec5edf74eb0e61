"""A letter made by hand, with a fact of each kind that the page and the annotations treat in a way of their own."""

from __future__ import annotations

import datetime as dt
import re
from functools import cache

from fhirsynth import Population
from fhirsynth.knowledge import load
from fhirsynth.letters.facts import Fact, Stay, Value
from fhirsynth.letters.letter import Letter, Section, Span
from fhirsynth.letters.page import Letterhead
from fhirsynth.letters.stays import Reader
from fhirsynth.letters.writing import write
from fhirsynth.record.record import PLACES
from fhirsynth.systems import DMD, NHS_NUMBER, SNOMED

HEAD = Letterhead(
    trust="Northbridge NHS Foundation Trust",
    address=("Mill Lane", "Northbridge", "NB1 2AB"),
    phone="01632 960123",
    ward="Ward 7",
    gp="Dr Bina Patel",
    practice="Hill & Dale Surgery",
    practice_address=("1 High Street", "Northbridge", "NB2 3CD"),
    patient="Mrs Joan Smith",
    patient_short="Mrs Smith",
    patient_address=("4 Elm Row", "Northbridge", "NB3 4EF"),
    born=dt.date(1941, 6, 5),
    nhs_number="9991234567",
    written=dt.date(2026, 3, 9),
    author="Dr A Jones",
    grade="Foundation year 1 doctor",
)


def _test(key: str, name: str, *tags: str, **slots: str) -> tuple[dict[str, Value], frozenset[str]]:
    values = {"": Value(name, "result", SNOMED, "1000000", f"a blood test ({name})")}
    values |= {slot: Value(text, "value" if slot != "date" else "date") for slot, text in slots.items()}
    return values, frozenset({f"test:{key}", *tags})


def _medicine(name: str, dose: str = "", **slots: str) -> dict[str, Value]:
    values = {"": Value(name, "medication", DMD, "2000000"), "dose": Value(dose, "dose")}
    return values | {slot.rstrip("_"): Value(text, "reason") for slot, text in slots.items()}


def _facts() -> tuple[Fact, ...]:
    patient = {
        "": Value("Mrs Joan Smith", "person_name"),
        "born": Value("5 June 1941", "date"),
        "nhs": Value("999 123 4567", "nhs_number", NHS_NUMBER, "9991234567"),
        "address": Value("4 Elm Row, Northbridge, NB3 4EF", "address"),
    }
    crp, crp_tags = _test("crp", "CRP", "high", value="156 mg/L", date="3 March 2026")
    fell, fell_tags = _test("crp", "CRP", "fell", first="156 mg/L", last="4 mg/L")
    egfr, egfr_tags = _test("egfr", "eGFR", "low", value="38 mL/min/1.73 m²", date="4 March 2026")
    rose, rose_tags = _test("sodium", "sodium", "rose", "normalised", first="128 mmol/L", last="136 mmol/L")
    return (
        Fact("patient:1", "patient", patient, ("Patient/p",)),
        Fact("dx:1", "dx", {"": Value("pneumonia", "condition", SNOMED, "233604007")}, ("Condition/c1",)),
        Fact("pmh:1", "pmh", {"": Value("gout", "condition", SNOMED, "90560007")}, ("Condition/c2",)),
        Fact("pmh:2", "pmh", {"": Value("asthma", "condition", SNOMED, "195967001")}, ("Condition/c3",)),
        Fact("result:1", "result", crp, ("Observation/o1",), crp_tags),
        Fact("result:2", "result", egfr, ("Observation/o2",), egfr_tags),
        Fact("trend:1", "trend", fell, ("Observation/o1",), fell_tags),
        Fact("trend:2", "trend", rose, ("Observation/o3",), rose_tags | {"normalised"}),
        Fact("normal:1", "normal", {"": Value("liver function", "result", SNOMED, "3000000")}, ()),
        Fact("continued:1", "continued", _medicine("allopurinol 100mg tablets", "one tablet a day", for_="gout"), ()),
        Fact(
            "started:1", "started", _medicine("amoxicillin 500mg capsules", "one capsule", days="for 5 more days"), ()
        ),
        Fact("stopped:1", "stopped", _medicine("ibuprofen 200mg tablets", why="no longer suitable"), ()),
        Fact("changed:1", "changed", _medicine("ramipril 5mg capsules", from_="5 mg", to="10 mg"), ()),
        Fact("noallergy:1", "noallergy", {}, ("AllergyIntolerance/a",)),
    )


def stay(*tags: str) -> Stay:
    """The stay of the letter."""
    return Stay("note-1", "person-1", "encounter-1", _facts(), frozenset(tags), {"he": "she"})


_PLACE = re.compile(r"\{(?P<fact>[a-z]+:\d+)(?:\.(?P<slot>\w+))?\}|\[(?P<negated>.+?)\]")


def section(of: Stay, key: str, title: str, text: str, writer: str = "fixed") -> Section:
    """A section whose text names values as `{fact:1.slot}`; `[words]` state that there is no allergy."""
    facts = {fact.id: fact for fact in of.facts}
    said, spans, at = "", [], 0
    for found in _PLACE.finditer(text):
        said += text[at : found.start()]
        at = found.end()
        if found["negated"]:
            name, slot, value = "noallergy:1", "", Value(found["negated"], "allergy", SNOMED, "716186003")
        else:
            name, slot = found["fact"], found["slot"] or ""
            value = facts[name].values[slot]
        start, said = len(said), said + value.text
        resource = next(iter(facts[name].resources), None)
        place = (start, len(said), value.text, value.type, name, slot, value.system, value.code, resource)
        spans.append(Span(*place, found["negated"] is not None, key, value.text))
    return Section(key, title, said + text[at:], tuple(spans), writer)


_SECTIONS = (
    (
        "patient-demographics",
        "Patient details",
        "Name: {patient:1}\nDate of birth: {patient:1.born}\nNHS number: {patient:1.nhs}\nAddress: {patient:1.address}",
    ),
    ("gp-practice", "GP practice", "GP: Dr Bina Patel\nPractice: Hill & Dale Surgery"),
    ("admission-details", "Admission details", "Admitted: 3 March 2026 at 2:15pm\nType: emergency admission"),
    ("discharge-details", "Discharge details", "Discharged: 9 March 2026\nDischarged to: home"),
    (
        "diagnoses",
        "Diagnoses",
        "Primary diagnosis: {dx:1}\nExisting condition: {pmh:1}\nExisting condition: {pmh:2}",
    ),
    (
        "investigation-results",
        "Investigation results",
        "{result:1}: {result:1.value} (high) on {result:1.date}; last {trend:1.last}\n{result:2}: {result:2.value} "
        "(low)\n{trend:2}: {trend:2.first}; last {trend:2.last}\nNormal: {normal:1}",
    ),
    ("allergies-and-adverse-reaction", "Allergies and adverse reactions", "No known [allergies]"),
    (
        "medications-and-medical-devices",
        "Medications and medical devices",
        "Continued: {continued:1}, {continued:1.dose}\nStarted: {started:1}, {started:1.dose}, {started:1.days}\n"
        "Stopped: {stopped:1}; reason: {stopped:1.why}\nChanged: {changed:1} from {changed:1.from} to {changed:1.to}",
    ),
    ("person-completing-record", "Person completing record", "Completed on behalf of Dr M Sultana"),
    ("distribution-list", "Distribution list", "Dr Bina Patel, Hill & Dale Surgery\nMrs Joan Smith"),
)
SUMMARY = "An older woman admitted with {dx:1}; sats 91% <on air> & temperature 38.2 °C.\n\nShe has {pmh:1}."
PLAN = "Started {started:1}.\n\nGP to repeat the CRP in six weeks. All else is arranged.\n\nWe will write again."


def letter(kind: str = "gp", *tags: str, note_id: str = "note-1", summary: str | None = None) -> Letter:
    """The letter to the GP, or a short one to the patient."""
    of = stay(*tags)
    words = section(of, "clinical-summary", "Clinical summary", summary or SUMMARY, "phrasebook")
    plan = section(of, "plan", "Plan and requested actions", PLAN, "phrasebook")
    if kind == "patient":
        why = section(of, "patient-letter-why", "Why you were in hospital", "You had {dx:1}.", "phrasebook")
        return Letter(note_id, of, (why, plan._replace(key="patient-letter-next", title="What happens next")), "", kind)
    fixed = [section(of, *row) for row in _SECTIONS]
    return Letter(note_id, of, (*fixed[:5], words, *fixed[5:8], plan, *fixed[8:]), "terse", kind)


@cache
def written() -> tuple[Letter, ...]:
    """Letters of both kinds about the stays of a small population."""
    record = Population(n=40, seed=3).record()
    reader = Reader(load(), {key: record[key] for key in PLACES})
    stays = [found for person, rows in record.by_person() for found in reader.stays(person, rows)]
    letters = [write(found, 1, kind=kind) for found in stays for kind in ("gp", "patient")]
    return tuple(found for found in letters if found is not None)
