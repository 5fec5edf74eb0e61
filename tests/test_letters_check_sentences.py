"""The reader of letters on single sentences: each rule with what it must catch and a true neighbour that must pass."""

from __future__ import annotations

import pytest
from made_stays import bedside, fact, stay

from fhirsynth.letters.check import CONTRADICTIONS, UNSUPPORTED, check_section
from fhirsynth.letters.check.data import table
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.facts import Stay, Value

STAY = stay(
    fact("dx", "community acquired pneumonia"),
    fact("pmh", "hypertension"),
    fact("pmh", "altered bowel habit", number=2),
    fact("result", "CRP", frozenset({"test:crp", "high"}), value="156 mg/L", date="3 March 2026"),
    fact("result", "sodium", frozenset({"test:sodium", "low"}), 2, value="128 mmol/L", date="3 March 2026"),
    fact("result", "haemoglobin", frozenset({"test:haemoglobin", "low"}), 3, value="98 g/L", date="12 March 2026"),
    fact("result", "white cell count", frozenset({"test:white-cells", "high"}), 4, value="15.2 ×10⁹/L"),
    fact("trend", "CRP", frozenset({"test:crp", "fell", "improved"}), first="156 mg/L", last="11 mg/L"),
    fact("trend", "sodium", frozenset({"test:sodium", "rose", "improved"}), 2, first="128 mmol/L", last="134 mmol/L"),
    fact("normal", "liver function tests"),
    bedside(
        "obs",
        frozenset({"febrile", "tachypnoeic", "on-air", "news2-low"}),
        temperature="38.2 °C",
        pulse="104 beats per minute",
        bp="112/72 mmHg",
        rr="22 breaths per minute",
        sats="94%",
        oxygen="on air",
        news2="3",
    ),
    bedside("obsend", temperature="36.8 °C", pulse="82 beats per minute", sats="96%", oxygen="on air", news2="1"),
    fact("proc", "colonoscopy", date="4 March 2026"),
    fact("proc", "total hip replacement", number=2, side="right", date="3 March 2026"),
    fact("continued", "ramipril 5mg capsules", name="ramipril", dose="one capsule (5 mg) once a day"),
    fact("continued", "amlodipine 5mg tablets", number=2, name="amlodipine", dose="one tablet (5 mg) once a day"),
    fact("started", "bisoprolol 2.5mg tablets", name="bisoprolol", dose="one tablet (2.5 mg) once a day"),
    fact("stopped", "ibuprofen 400mg tablets", name="ibuprofen", dose="one tablet (400 mg) three times a day"),
    fact("allergy", "penicillin", reaction="eruption of skin"),
    fact("admission", "", date="2 March 2026", ward="Ward 7"),
    fact("discharge", "", date="12 March 2026", nights="10 nights"),
)


def _problems(text: str, of: Stay = STAY) -> list[Problem]:
    return check_section(of, "", text)


# ---- false alarms: true sentences, by what once misled the reader


@pytest.mark.parametrize(
    "text",
    [
        # telephone numbers
        "Please contact your GP or 111 if the cough worsens.",
        "111 is there day and night.",
        "For anything sudden it is 999.",
        # several levels in one clause
        "Bloods showed a low sodium and raised CRP.",
        "Sodium was low and CRP raised.",
        "CRP and white cell count were raised, sodium and haemoglobin low.",
        "The haemoglobin, at 98 g/L, and the sodium, at 128 mmol/L, were both low.",
        "Raised CRP (156 mg/L), low sodium (128 mmol/L) and low haemoglobin (98 g/L).",
        "Low sodium and low haemoglobin with a high CRP.",
        "Neither the haemoglobin nor the sodium was normal.",
        "The CRP was not low.",
        "The haemoglobin was on the low side at 98 g/L.",
        "The inflammatory markers were raised.",
        "Normal liver function tests.",
        # the early warning score behind other figures
        "Saturations of 94% on air, scoring 3.",
        "She was saturating at 94% on air with a NEWS of 3.",
        "Pulse 104, RR 22, temperature 38.2, scoring 3 in all.",
        "Sats 94% on air, adding up to a NEWS2 of 3.",
        "NEWS2 fell from 3 to 1.",
        # medicines begun beside others that go on
        "Her regular ramipril continues and bisoprolol was added.",
        "Bisoprolol was started alongside ramipril, which continues.",
        "In addition to ramipril she was started on bisoprolol.",
        "Amlodipine stays in her blister pack, to which bisoprolol was added.",
        "Bisoprolol 2.5 mg once a day is new; she should go on with ramipril and amlodipine.",
        "We have stopped ibuprofen and added bisoprolol to the ramipril and amlodipine that she takes already.",
        "New: bisoprolol. Stopped: ibuprofen. Continue: ramipril, amlodipine.",
        # allergies without the word
        "Penicillin brings her out in a rash.",
        "Please avoid penicillin.",
        "Penicillin must not be given.",
        "She cannot take penicillin.",
        "Because of her penicillin allergy amoxicillin was not used.",
        # what may come
        "New chest pain, breathlessness or a swollen calf should bring her straight back.",
        "Fever, vomiting or worsening pain is a reason to attend A&E.",
        "Bleeding, fever or vomiting needs same-day review.",
        "Any melaena is to be reported at once.",
        "Pain, swelling or redness of the calf needs to be seen urgently.",
        "A sore throat may follow the tube.",
        "Some cough may linger for weeks.",
        "Dizziness can occur with ramipril.",
        "She may feel tired and have a sore throat for a few days.",
        # figures with their names
        "Sodium and haemoglobin were low, at 128 mmol/L and 98 g/L respectively.",
        "At 156 mg/L the CRP was raised.",
        "The sodium of 128 mmol/L falls short of the normal range.",
        "128 mmol/L for sodium was low.",
        "CRP was tested twice. First it was 156 mg/L. The last time it was 11 mg/L.",
        "T 38.2, HR 104, BP 112/72, RR 22, sats 94% RA.",
        "Na 128, Hb 98, WCC 15.2, CRP 156.",
        "Mrs Smith, 84, came in.",
        "Joan, 84, came in as an emergency.",
        "She has come to 84 with hypertension.",
        "She is 84 and lives alone.",
        "Older pt, 84: pneumonia.",
        "She was moved to Ward 7.",
    ],
)
def test_true_sentences_raise_no_alarm(text: str) -> None:
    assert _problems(text) == []


def test_a_name_is_no_direction() -> None:
    rose = Value("Mrs Ann Rose", "person_name")
    named = fact("patient", "Mrs Ann Rose")._replace(values={"": rose, "short": Value("Mrs Rose", "person_name")})
    of = STAY._replace(facts=(named, *(other for other in STAY.facts if other.kind != "patient")))
    assert _problems("Mrs Rose's CRP came down from 156 mg/L to 11 mg/L.", of) == []
    assert [p.rule for p in _problems("The CRP rose from 156 mg/L to 11 mg/L.", of)] == ["trend"]


@pytest.mark.parametrize(
    ("tags", "false", "true"),
    [
        ({"emergency"}, "She came for a planned admission.", "She came for an unplanned admission."),
        ({"emergency"}, "She was seen as a day case.", "Call 999 in an emergency."),
        ({"elective"}, "This emergency admission was short.", "This elective admission was short."),
        ({"elective"}, "After a day case she went home.", "If unwell she may need an emergency admission."),
        (
            {"elective"},
            "She was seen in the emergency department.",
            "Come to the emergency department if it gets worse.",
        ),
        ({"elective", "daycase"}, "She was admitted acutely.", "After this day case she went home."),
        ({"maternity"}, "The unplanned admission was short.", "The admission was short."),
    ],
)
def test_how_somebody_came_in(tags: set[str], false: str, true: str) -> None:
    of = STAY._replace(tags=STAY.tags | tags)
    assert [problem.rule for problem in _problems(false, of)] == ["admission"]
    assert _problems(true, of) == []


# ---- rules, each with a true neighbour


@pytest.mark.parametrize(
    ("false", "rule", "found", "true"),
    [
        # numbers that only sound like those one rings
        ("CRP was 111.", "value", "111", "CRP was 156."),
        ("Ring 998 for an ambulance.", "unsupported-number", "998", "Ring 999 for an ambulance."),
        # the figure of another test or observation
        ("CRP 128 and sodium 156.", "value", "128", "CRP 156 and sodium 128."),
        ("CRP and sodium were 128 mmol/L.", "value", "128 mmol/L", "The sodium was 128 mmol/L."),
        ("The CRP was 156 mg/L and the sodium 156 mg/L.", "value", "156 mg/L", "The CRP was 156 mg/L."),
        ("Haemoglobin 15.2 ×10⁹/L.", "value", "15.2 ×10⁹/L", "White cell count 15.2 ×10⁹/L."),
        ("The NEWS2 was 104.", "value", "104", "The pulse was 104."),
        ("Sats 94% on air, scoring 94.", "value", "94", "Sats 94% on air, scoring 3."),
        ("Blood pressure 38.2 °C.", "value", "38.2 °C", "Temperature 38.2 °C."),
        ("She was febrile at 112/72 mmHg.", "value", "112/72 mmHg", "She was febrile at 38.2 °C."),
        ("Sodium 94%.", "value", "94%", "Saturations 94%."),
        ("Afebrile at 22 breaths per minute.", "value", "22 breaths per minute", "Afebrile at 36.8 °C."),
        ("NEWS2 3 down to 36.8 °C.", "value", "36.8 °C", "NEWS2 3 down to 1."),
        ("112/72 mmHg; last reading 36.8 °C.", "value", "36.8 °C", "38.2 °C; last reading 36.8 °C."),
        # figures of nothing
        ("She was seen, 3, and went home.", "unsupported-number", "3", "She was seen, NEWS2 3, and went home."),
        ("128 mmol/L.", "unsupported-number", "128 mmol/L", "Sodium 128 mmol/L."),
        ("She left with 94%.", "unsupported-number", "94%", "She came with 94% on air."),
        ("She was seen, 5 mg, and left.", "unsupported-number", "5 mg", "Ramipril goes on. She takes 5 mg of it."),
        ("The pulse was 84.", "value", "84", "The patient is 84."),
        # levels
        ("Sodium was high.", "level", "high", "Sodium was low."),
        ("CRP high, sodium high.", "level", "high", "CRP high, sodium low."),
        ("Both the sodium and the CRP were low.", "level", "low", "Both the sodium and the haemoglobin were low."),
        ("Low sodium and a low CRP.", "level", "low", "Low sodium and a raised CRP."),
        ("The sodium was normal.", "level", "normal", "The liver function tests were normal."),
        ("Liver function tests were raised.", "level", "raised", "The CRP was raised."),
        ("While liver function tests were raised, she was well.", "level", "raised", "The CRP was raised."),
        ("Liver function tests were deranged.", "level", "deranged", "No deranged liver function tests."),
        ("The sodium was on the raised side.", "level", "raised", "The sodium was on the low side."),
        ("Hypertension was raised.", "role", "raised", "Hypertension was treated."),
        ("The raised bisoprolol was noted.", "role", "raised", "The raised CRP was noted."),
        ("She was in the low range.", "role", "in the low range", "The sodium was in the low range."),
        # how medicines stand
        ("Her bisoprolol continues; ramipril was added.", "status", "started: ramipril", "Her ramipril continues."),
        (
            "Ramipril was added to her bisoprolol.",
            "status",
            "started: Ramipril",
            "Bisoprolol was added to her ramipril.",
        ),
        ("Bisoprolol was stopped.", "status", "stopped: Bisoprolol", "Bisoprolol was started and ibuprofen stopped."),
        # allergies
        ("Avoid trimethoprim.", "unsupported-allergy", "trimethoprim", "Avoid penicillin."),
        ("Latex brings her out in a rash.", "unsupported-allergy", "Latex", "Penicillin brings her out in a rash."),
        ("Penicillin was given.", "allergy-conflict", "Penicillin", "Penicillin was not given."),
        ("Penicillin is safe for her.", "negated", "Penicillin", "Penicillin is not safe for her."),
        # what came, not what may come
        ("Haemoptysis brought her back.", "unsupported-finding", "Haemoptysis", "Haemoptysis may bring her back."),
        ("She attended A&E with rigors.", "unsupported-finding", "rigors", "With any rigors she should attend A&E."),
        (
            "Ankle swelling occurred.",
            "unsupported-finding",
            "Ankle swelling",
            "Some ankle swelling can occur with amlodipine.",
        ),
        # what stands as a reading
        ("The CRP was 12 March 2026.", "role", "12 March 2026", "The CRP on 3 March 2026 was 156 mg/L."),
        ("A raised CRP of 3 March 2026.", "role", "3 March 2026", "The CRP of 3 March 2026 was 156 mg/L."),
        ("CRP fell to amlodipine.", "role", "amlodipine", "CRP fell to 11 mg/L."),
        ("The CRP was raised at amlodipine.", "role", "amlodipine", "The CRP was raised at 156 mg/L."),
        ("A low sodium (ramipril).", "role", "ramipril", "A low sodium (128 mmol/L)."),
        ("A pulse of hypertension.", "role", "hypertension", "A pulse of 104."),
        ("Bisoprolol fell from 156 mg/L.", "role", "156 mg/L", "CRP fell from 156 mg/L."),
        ("Colonoscopy was measured.", "role", "Colonoscopy", "The pulse was measured."),
        # what stands behind words that ask for another sort of thing
        ("Admitted with amlodipine.", "role", "amlodipine", "Admitted with community acquired pneumonia."),
        ("Admitted with 3 March 2026.", "role", "3 March 2026", "Admitted on 2 March 2026."),
        ("The diagnosis was liver function tests.", "role", "liver function tests", "Liver function tests were done."),
        ("Admitted with hypertension.", "role", "hypertension", "Known hypertension."),
        ("A history of 12 March 2026.", "role", "12 March 2026", "A history of hypertension."),
        ("Treatment of 3 March 2026 began.", "role", "3 March 2026", "Treatment of hypertension goes on."),
        ("She was given hypertension.", "role", "hypertension", "Advice was given, given her hypertension."),
        ("She takes hypertension.", "role", "hypertension", "She takes ramipril for hypertension."),
        ("We discharged her on hypertension.", "role", "hypertension", "We gave her a leaflet on hypertension."),
        ("Discharged on liver function tests.", "role", "liver function tests", "Discharged on bisoprolol."),
        ("Discharged to amlodipine.", "role", "amlodipine", "Discharged to Ward 7."),
        ("She was seen in amlodipine.", "role", "amlodipine", "She was seen in the hypertension clinic."),
        ("She underwent ramipril.", "role", "ramipril", "She underwent colonoscopy."),
        ("She stayed for 156 mg/L.", "role", "156 mg/L", "She stayed for 10 nights."),
        ("A colonoscopy took place on 156 mg/L.", "role", "156 mg/L", "A colonoscopy took place on 4 March 2026."),
        ("She lives with amlodipine.", "role", "amlodipine", "She lives with hypertension."),
        ("She is bisoprolol.", "role", "bisoprolol", "She is on bisoprolol."),
        ("She is allergic to 3 March 2026.", "role", "3 March 2026", "She is allergic to penicillin."),
        ("A stay of for 10 nights.", "role", "10 nights", "A stay of 10 nights."),
        ("She has 12 March 2026.", "role", "12 March 2026", "She has until 12 March 2026."),
        ("With 84-year-old she came.", "role", "84-year-old", "With us was an 84-year-old lady."),
        ("This hypertension woman came.", "role", "hypertension", "This 84-year-old woman came."),
        ("A normal hypertension was found.", "role", "hypertension", "A normal colonoscopy was had."),
        # what the verb behind takes for another sort
        ("Hypertension is to be taken daily.", "role", "Hypertension", "Ramipril is to be taken daily."),
        ("Ramipril was normal.", "role", "Ramipril", "Colonoscopy was normal."),
        ("Hypertension was prescribed.", "role", "Hypertension", "Ramipril for hypertension was prescribed before."),
        ("Hypertension took place.", "role", "Hypertension", "Colonoscopy took place."),
    ],
)
def test_a_rule_catches_what_is_false_and_passes_what_is_true(false: str, rule: str, found: str, true: str) -> None:
    problems = _problems(false)
    assert (rule, found) in {(problem.rule, problem.found) for problem in problems}, problems
    assert rule in UNSUPPORTED | CONTRADICTIONS
    assert _problems(true) == []


@pytest.mark.parametrize(
    ("ranges", "false", "true"),
    [
        (("medium", "medium"), "The early warning score was low, with a NEWS2 of 5.", "The NEWS2 was raised at 5."),
        (("low", "low"), "She had a high early warning score.", "She had a low early warning score."),
        (("high", "high"), "The NEWS2 was low.", "The NEWS2 was high at 5."),
    ],
)
def test_early_warning_scores_are_told_by_their_range(ranges: tuple[str, str], false: str, true: str) -> None:
    kinds = zip(("obs", "obsend"), ranges, strict=True)
    scored = stay(
        *(bedside(kind, frozenset({f"news2-{of}"}), pulse="90 beats per minute", news2="5") for kind, of in kinds)
    )
    assert [p.rule for p in _problems(false, scored)] == ["level"]
    assert _problems(true, scored) == []


def test_a_score_that_came_down_is_high_and_low() -> None:
    came, left = frozenset({"news2-high"}), frozenset({"news2-low"})
    scored = stay(bedside("obs", came, news2="8"), bedside("obsend", left, news2="1"))
    assert _problems("The NEWS2, high at 8 at first, was low by discharge.", scored) == []


def test_every_group_of_cues_names_kinds_of_thing_that_there_are() -> None:
    kinds = {"medicine", "condition", "symptom", "procedure", "test", "panel", "vital"}
    kinds |= {"figure", "date", "time", "dose", "length", "aged"}
    for row in table("language")["role"]:
        assert set(row["never"]) <= kinds, row


def test_a_birth_is_a_diagnosis_and_is_also_done() -> None:
    born = stay(fact("dx", "elective caesarean section"))
    assert _problems("Primary diagnosis: elective caesarean section.", born) == []
    assert _problems("She underwent an elective caesarean section.", born) == []
    assert [p.rule for p in _problems("She underwent hypertension.")] == ["role"]
