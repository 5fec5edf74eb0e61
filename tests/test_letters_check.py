"""The independent reader of letters: silent on clean letters, and awake to errors planted into them."""

from __future__ import annotations

import random
import time
from collections import Counter
from functools import cache

import pytest
from made_stays import bedside, fact, stay
from planted import KINDS, Planted, plant

from fhirsynth import Population
from fhirsynth.knowledge import load
from fhirsynth.letters.check import (
    CONTRADICTIONS,
    MISSING,
    UNSUPPORTED,
    Problem,
    check,
    check_letter,
    check_section,
    data,
)
from fhirsynth.letters.check.lexicon import lexicon
from fhirsynth.letters.check.quantities import quantities
from fhirsynth.letters.check.tokens import words
from fhirsynth.letters.facts import Fact, Stay
from fhirsynth.letters.layers import abbreviate
from fhirsynth.letters.letter import Letter, as_text
from fhirsynth.letters.phrases import VOICES
from fhirsynth.letters.stays import Reader
from fhirsynth.letters.writing import write
from fhirsynth.record.record import PLACES

EACH = 40  # errors of each kind, where the letters give occasion


@cache
def stays(n: int = 500, seed: int = 21) -> tuple[Stay, ...]:
    """The hospital stays of a population."""
    record = Population(n=n, seed=seed).record()
    reader = Reader(load(), {name: record[name] for name in PLACES})
    return tuple(stay for person, rows in record.by_person() for stay in reader.stays(person, rows))


@cache
def letters(kind: str = "gp") -> tuple[Letter, ...]:
    """Letters about all stays, the voices in turn."""
    made = (write(stay, seed, VOICES[seed % len(VOICES)], kind=kind) for seed, stay in enumerate(stays()))
    return tuple(letter for letter in made if letter is not None)


@cache
def planted(kind: str) -> tuple[tuple[Letter, Planted], ...]:
    """Letters with an error of a kind."""
    rng, found = random.Random(kind), []
    for letter in letters():
        error = plant(kind, letter, rng)
        if error is not None:
            found.append((letter, error))
        if len(found) == EACH:
            break
    return tuple(found)


# ---- whole letters


def test_no_false_alarm_on_letters_to_the_gp() -> None:
    assert len(letters()) >= 400
    assert {letter.voice for letter in letters()} == set(VOICES)
    alarms = [(letter.note_id, str(p)) for letter in letters() for p in check_letter(letter.stay, letter.sections)]
    assert alarms == []


def test_no_false_alarm_on_letters_to_the_patient() -> None:
    found = letters("patient")
    assert len(found) >= 400
    alarms = [(x.note_id, str(p)) for x in found for p in check_letter(x.stay, x.sections, "patient")]
    assert alarms == []


def test_no_false_alarm_on_letters_as_one_text() -> None:
    for letter in letters()[:120]:
        assert check_letter(letter.stay, as_text(letter)[0]) == []


def test_no_false_alarm_on_abbreviated_letters() -> None:
    found = [abbreviate(letter, seed, 1.0) for seed, letter in enumerate(letters())]
    alarms = [(letter.note_id, str(p)) for letter in found for p in check_letter(letter.stay, letter.sections)]
    assert alarms == []


@pytest.mark.parametrize("kind", KINDS)
def test_planted_errors_are_caught(kind: str) -> None:
    errors = planted(kind)
    assert len(errors) >= 5, "the letters give no occasion"
    missed = [
        (error.was, error.now)
        for letter, error in errors
        if not error.rules & {problem.rule for problem in check_letter(letter.stay, error.sections)}
    ]
    assert len(missed) <= len(errors) // 20, missed


def test_ninety_nine_of_a_hundred_planted_errors_are_caught() -> None:
    caught: Counter[bool] = Counter()
    for kind in KINDS:
        for letter, error in planted(kind):
            caught[bool(error.rules & {p.rule for p in check_letter(letter.stay, error.sections)})] += 1
    assert caught.total() >= 300
    assert caught[True] / caught.total() >= 0.99, caught


def test_reads_letters_fast() -> None:
    found = letters()[:200]
    for letter in found[:5]:
        check_letter(letter.stay, letter.sections)
    began = time.process_time()
    for letter in found:
        check_letter(letter.stay, letter.sections)
    assert len(found) / (time.process_time() - began) > 40, "letters a second"


# ---- single statements


PNEUMONIA = fact("dx", "community acquired pneumonia")
CRP = fact("trend", "CRP", frozenset({"test:crp", "fell", "improved"}), first="156 mg/L", last="11 mg/L")
AMLODIPINE = fact("started", "amlodipine 5mg tablets", name="amlodipine", dose="one tablet (5 mg) once a day")
RAMIPRIL = fact("stopped", "ramipril 5mg capsules", name="ramipril", dose="one capsule (5 mg) once a day")
PENICILLIN = fact("allergy", "penicillin", reaction="eruption of skin")
HIP = fact("proc", "total hip replacement", side="right", date="3 March 2026")
OBS = bedside("obs", frozenset({"febrile"}), temperature="38.2 °C", bp="112/72 mmHg")
STAY = stay(PNEUMONIA, CRP, AMLODIPINE, RAMIPRIL, PENICILLIN, HIP, OBS)


@pytest.mark.parametrize(
    "text",
    [
        "This 84-year-old woman was admitted with pneumonia (CAP).",
        "Admitted with community-acquired pneumonia; temp 38.2°C, BP 112/72 mmHg.",
        "CRP fell from 156 mg/L to 11 mg/L.",
        "C-reactive protein improved, 156 then 11.",
        "Started amlodipine 5 mg OD; ramipril was stopped.",
        "Ramipril was discontinued and amlodipine 5mg tablets commenced, one tablet once daily.",
        "She is allergic to penicillin (eruption of skin).",
        "Right total hip replacement on 03/03/2026.",
        "THR on the right on 3 March.",
        "She was febrile at 38.2 °C.",
        "If there is fever, chest pain or a rash, call 999.",
        "The stroke team has a helpline.",
        "If you have an adrenaline pen, carry it with you.",
        "Mrs Smith, aged 84, left hospital.",
        "Her pneumonias settled.",
    ],
)
def test_true_statements_pass(text: str) -> None:
    assert check_section(STAY, "", text) == []


@pytest.mark.parametrize(
    ("text", "rule", "found"),
    [
        ("She has COPD.", "unsupported-condition", "COPD"),
        ("Background of T2DM and gout.", "unsupported-condition", "T2DM"),
        ("She has iron-deficiency anemia.", "unsupported-condition", "iron-deficiency anemia"),
        ("Treated for two abscesses.", "unsupported-condition", "abscesses"),
        ("She was treated with vancomycin.", "unsupported-medicine", "vancomycin"),
        ("Atorvastatin was prescribed.", "unsupported-medicine", "Atorvastatin"),
        ("A chest X-ray was done.", "unsupported-procedure", "chest X-ray"),
        ("CABG was needed.", "unsupported-procedure", "CABG"),
        ("Hb was checked.", "unsupported-test", "Hb"),
        ("She is allergic to latex.", "unsupported-allergy", "latex"),
        ("She had rigors.", "unsupported-finding", "rigors"),
        ("She was hypotensive.", "unsupported-finding", "hypotensive"),
        ("There was no evidence of pneumonia.", "negated", "pneumonia"),
        ("Community acquired pneumonia was ruled out.", "negated", "Community acquired pneumonia"),
        ("Without fever.", "negated", "fever"),
        ("No known allergies.", "negated", "No known allergies"),
        ("CRP rose from 156 mg/L to 11 mg/L.", "trend", "rose"),
        ("CRP worsened.", "trend", "worsened"),
        ("CRP went from 11 mg/L to 156 mg/L.", "trend", "11 mg/L to 156 mg/L"),
        ("CRP 165 mg/L.", "value", "165 mg/L"),
        ("CRP 156 g/L.", "unit", "156 g/L"),
        ("Temperature 39.2 °C.", "value", "39.2 °C"),
        ("Blood pressure 122/72 mmHg.", "value", "122/72 mmHg"),
        ("Start amlodipine 10mg once a day.", "dose", "10mg"),
        ("Amlodipine 5 mg BD.", "dose", "BD"),
        ("Amlodipine 10mg tablets.", "dose", "10mg"),
        ("Amlodipine, one tablet (10 mg).", "dose", "10 mg"),
        ("Amlodipine was stopped.", "status", "stopped: Amlodipine"),
        ("We started ramipril.", "status", "started: ramipril"),
        ("Started amoxicillin.", "allergy-conflict", "amoxicillin"),
        ("Left total hip replacement.", "side", "Left"),
        ("On 4 March 2026 she went home.", "unsupported-date", "4 March 2026"),
        ("He was well.", "sex", "He"),
        ("This gentleman did well.", "sex", "gentleman"),
        ("Mr Smith went home.", "sex", "Mr Smith"),
        ("Mrs Jones went home.", "name", "Mrs Jones"),
        ("Gareth went home.", "name", "Gareth"),
        ("An 85-year-old woman.", "age", "85-year-old"),
        ("On Monday 3 March 2026 she came.", "date", "Monday 3 March 2026"),
        ("She stayed six nights.", "duration", "six nights"),
        ("She scored 17.", "unsupported-number", "17"),
    ],
)
def test_false_statements_are_told(text: str, rule: str, found: str) -> None:
    problems = check_section(STAY, "", text)
    assert (rule, found) in {(problem.rule, problem.found) for problem in problems}, problems
    own = next(problem for problem in problems if problem.rule == rule)
    if rule not in ("status", "trend", "name"):
        assert text[own.start : own.end] == own.found
    assert own.rule in UNSUPPORTED | CONTRADICTIONS


def test_required_facts_must_stand_in_the_letter_and_in_their_section() -> None:
    told = stay(PNEUMONIA._replace(required=True), PENICILLIN._replace(required=True))
    assert check_letter(told, "Admitted with pneumonia. Allergic to penicillin.") == []
    assert [(p.rule, p.fact) for p in check_letter(told, "Admitted with pneumonia.")] == [(MISSING, "allergy:1")]
    assert check_section(told, "diagnoses", "Primary diagnosis: pneumonia") == []
    assert [p.fact for p in check_section(told, "allergies-and-adverse-reaction", "None recorded")] == ["allergy:1"]
    free = stay(PNEUMONIA, Fact("noallergy:1", "noallergy", {}, (), frozenset(), True))
    assert [p.fact for p in check_letter(free, "Admitted with pneumonia.")] == ["noallergy:1"]
    assert check_letter(free, "Admitted with pneumonia. NKDA.") == []


def test_problem_says_where_and_what() -> None:
    problem = check_section(STAY, "plan", "Amlodipine 10mg.")[0]
    assert isinstance(problem, Problem)
    assert problem.section == "plan"
    assert problem.fact == "started:1"
    assert str(problem).startswith("dose plan[11:15]: '10mg'")


def test_check_takes_a_section() -> None:
    letter = letters()[0]
    assert all(check(letter.stay, section) == [] for section in letter.sections)


# ---- parts


def test_abbreviations_name_things_that_there_are() -> None:
    knowledge, short = load(), data.table("abbreviations")
    known = {
        "condition": set(knowledge.conditions),
        "procedure": set(knowledge.procedures),
        "test": set(knowledge.observables),
        "panel": set(knowledge.panels),
        "medicine": {p.strip().lower() for m in knowledge.medicines.values() for p in m.vtm_name.split("+")},
    }
    for kind, keys in known.items():
        for wording, named in short[kind].items():
            assert set([named] if isinstance(named, str) else named) <= keys, wording


@pytest.mark.parametrize(
    ("text", "refs"),
    [
        ("acute exacerbation of COPD", {("condition", "copd-exacerbation")}),
        ("Ms MS", {("condition", "multiple-sclerosis")}),
        ("Crohns disease", {("condition", "crohns-disease"), ("condition", "crohns-disease-infusion")}),
        ("WCC", {("test", "white-cells")}),
        ("hay fever", {("condition", "allergic-rhinitis")}),
    ],
)
def test_longest_term_is_taken(text: str, refs: set[tuple[str, str]]) -> None:
    found = lexicon().longest(text, words(text))
    assert {ref for mention in found for ref in mention.refs} == refs


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Tuesday 3 March", "date", (3, 3, 0)),
        ("3rd Mar 2026", "date", (3, 3, 2026)),
        ("03/03/26", "date", (3, 3, 2026)),
        ("2026-03-03", "date", (3, 3, 2026)),
        ("2:15pm", "time", 855),
        ("14:15", "time", 855),
        ("12am", "time", 0),
        ("5-month-old", "age", (5, "month")),
        ("112/72 mmHg", "pressure", ("112/72", "mmHg")),
        ("45 mL/min/1.73 m²", "measure", (45.0, "mL/min/1.73 m²")),
        ("1,234 ng/L", "measure", (1234.0, "ng/L")),
        ("104 bpm", "measure", (104.0, "beats per minute")),
        ("1 g", "measure", (1000.0, "mg")),
        ("500 micrograms", "measure", (0.5, "mg")),
        ("half a tablet", "amount", (0.5, "tab")),
        ("three times a day", "often", "3/day"),
        ("TDS", "often", "3/day"),
        ("5 more days", "length", (5.0, "day")),
        ("999 123 4567", "nhs", "9991234567"),
    ],
)
def test_quantities_are_brought_to_one_form(text: str, kind: str, value: object) -> None:
    [found] = quantities(f"given {text}, then")
    assert (found.type, found.value, found.text) == (kind, value, text)
