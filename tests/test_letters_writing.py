"""Letters in words: the phrasebook, the choice of its patterns, agreement, spans, abbreviations and slips."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from commands import under_hash_seeds
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirsynth import Population, knowledge
from fhirsynth.errors import InputError
from fhirsynth.letters import layers, phrases, stays
from fhirsynth.letters.agreeing import article, capital, is_many, takes_no_article
from fhirsynth.letters.facts import Fact, Stay, Value
from fhirsynth.letters.letter import Letter, Mark, Section, Span, as_text
from fhirsynth.letters.phrases import VOICES, Agree, Place, Words
from fhirsynth.letters.plan import headings, plan
from fhirsynth.letters.writing import PhrasebookWriter, voice_of, write
from fhirsynth.record.record import PLACES

SEED = 11


@cache
def some_stays(n: int = 300, seed: int = 3) -> tuple[Stay, ...]:
    """All hospital stays of a population."""
    record = Population(n=n, seed=seed).record()
    reader = stays.Reader(knowledge.load(), {name: record[name] for name in PLACES})
    return tuple(stay for person, rows in record.by_person() for stay in reader.stays(person, rows))


@cache
def letters(voice: str | None) -> tuple[Letter, ...]:
    """A letter to the GP about each of them."""
    return tuple(write(stay, SEED, voice) for stay in some_stays())


@cache
def patient_letters() -> tuple[Letter, ...]:
    written = (write(stay, SEED, kind="patient") for stay in some_stays())
    return tuple(letter for letter in written if letter is not None)


GRAMMAR = {"he": "she", "him": "her", "his": "her", "man": "woman", "gentleman": "lady", "himself": "herself"}


def a_stay(*facts: Fact, tags: tuple[str, ...] = ("emergency", "adult", "female")) -> Stay:
    """A stay of Mrs Smith with these facts."""
    patient = Fact(
        "patient:1",
        "patient",
        {
            "": Value("Mrs Joan Smith", "person_name"),
            "short": Value("Mrs Smith", "person_name"),
            "age": Value("84", "age"),
            "aged": Value("84-year-old", "age"),
        },
        ("Patient/p",),
        required=True,
    )
    grammar = GRAMMAR | {word.capitalize(): said.capitalize() for word, said in GRAMMAR.items()}
    present = {f"has:{fact.kind}" for fact in facts}
    return Stay("note", "person", "note", (patient, *facts), frozenset({*tags, *present}), grammar)


def a_fact(kind: str, number: int, text: str, *tags: str, required: bool = True, **slots: str) -> Fact:
    types = {"dx": "condition", "secondary": "condition", "proc": "procedure", "given": "medication"}
    values = {"": Value(text, types.get(kind, "result"))}
    values |= {slot: Value(said, "date" if slot == "date" else "value") for slot, said in slots.items()}
    return Fact(f"{kind}:{number}", kind, values, (f"Resource/{kind}{number}",), frozenset(tags), required)


def a_book(folder: Path, *patterns: tuple[str, str], when: str = "[]") -> phrases.Phrasebook:
    """A phrasebook with these (part, text) patterns of the clinical summary."""
    entries = "".join(
        f'[[pattern]]\nsection = "clinical-summary"\npart = "{part}"\nwhen = {when}\ntext = "{text}"\n'
        for part, text in patterns
    )
    (folder / "own.toml").write_text(entries, encoding="utf-8")
    return phrases.load(folder)


def summary(book: phrases.Phrasebook, stay: Stay, seed: int = 1) -> Section:
    return PhrasebookWriter(book, "terse").write(stay, "clinical-summary", stay.facts, seed)


# ---- the phrasebook


def test_every_shipped_pattern_loads_and_stands_the_lint() -> None:
    patterns, wrong = phrases.problems()
    assert wrong == []
    assert phrases.lint(patterns, knowledge.load()) == []
    assert len(patterns) >= 1500


def test_each_part_of_each_section_has_patterns_in_each_voice() -> None:
    book = phrases.load()
    empty = {
        (section, part, voice)
        for section, parts in phrases.PARTS.items()
        for part in parts
        for voice in VOICES
        if not book.of(section, part, voice)
    }
    assert empty == set()


def test_pieces_of_a_text() -> None:
    assert phrases.parse("On {admission.date} [he] had {pmh*}.") == (
        Words("On "),
        Place("admission", "date", False),
        Words(" "),
        Agree("he"),
        Words(" had "),
        Place("pmh", "", True),
        Words("."),
    )


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('text = "Given {drug}."', "no kind of fact is called 'drug'"),
        ('text = "Was {obs.puls}."', "obs has no slot 'puls'; nearest: pulse"),
        ('text = "Known {dx*}."', "no list of them"),
        ('text = "[Hers] was."', "[Hers] is no word that agrees"),
        ('text = "Known {pmh} and {pmh*}."', "pmh stands both"),
        ('text = "Known {pmh."', "a bracket is left open"),
        ('text = "No end"', "must end a sentence"),
        ('text = "Seen."\nwhen = ["emergncy"]', "no stay is tagged 'emergncy'; nearest: emergency"),
        ('text = "Seen."\nwhen = ["obs:fever"]', "no obs is tagged 'fever'"),
        ('text = "Seen."\nwhen = ["group:hearts"]', "no group is called 'hearts'"),
        ('text = "Seen."\nwhen = ["has:drug"]', "no kind of fact is called 'drug'"),
        ('text = "Seen."\nabbr = [["temperature", "temp"]]', "does not stand in the words"),
        ('text = "Seen."\nvoice = ["nurse"]', "voice.0"),
        ('text = "Seen."\ncolour = "red"', "colour"),
        ('text = "Seen."\npart = "begin"', "no part 'begin'"),
    ],
)
def test_a_slip_in_a_pattern_is_named_with_file_and_line(tmp_path: Path, entry: str, said: str) -> None:
    part = "" if "part =" in entry else 'part = "course"\n'
    good = '[[pattern]]\nsection = "clinical-summary"\npart = "course"\ntext = "Well."\n'
    text = f'{good}[[pattern]]\nsection = "clinical-summary"\n{part}{entry}\n'
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        phrases.load(tmp_path)
    assert str(error.value).startswith("phrasebook: mine.toml, pattern 2 (line 5): ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[[pattern", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.toml: cannot be read"):
        phrases.load(tmp_path)


def test_the_lint_finds_twins_figures_and_unknown_keys(tmp_path: Path) -> None:
    texts = (("course", "{dx}: settled."), ("course", "{dx} settled."), ("course", "Settled after 3 days."))
    found = phrases.lint(a_book(tmp_path, *texts).patterns, knowledge.load())
    assert [message.split(": ", 1)[1].split(":")[0] for message in found] == [
        "reads like own.toml, pattern 1",
        "a figure stands in the words",
    ]
    book = a_book(tmp_path, ("course", "Settled."), when='["cond:no-such-thing"]')
    assert "there is no 'no-such-thing'" in phrases.lint(book.patterns, knowledge.load())[0]


# ---- agreement


def test_articles_follow_the_sound() -> None:
    said = {
        "an": ["84-year-old", "11-year-old", "8", "X-ray", "MRI scan", "ECG", "NSTEMI", "ultrasound", "hourly rate"],
        "a": ["CT scan", "urinary tract infection", "UTI", "1-year-old", "STEMI", "one-off", "eu-thyroid", "81"[1:]],
    }
    assert {text: article(text) for texts in said.values() for text in texts} == {
        text: word for word, texts in said.items() for text in texts
    }


def test_number_and_capitals() -> None:
    assert is_many("blood cultures") and is_many("amlodipine 5mg tablets") and is_many("urea and electrolytes")
    assert not any(map(is_many, ("transfusion of red cells", "diabetes", "sepsis", "tinnitus", "Crohn's", "abscess")))
    assert takes_no_article("intravenous fluids") and takes_no_article("oxygen therapy")
    assert not takes_no_article("chest X-ray")
    assert (capital("eGFR fell"), capital("chest X-ray"), capital("x-ray")) == ("eGFR fell", "Chest X-ray", "X-ray")


@pytest.mark.parametrize(
    ("text", "proc", "told"),
    [
        ("Had a {proc} today.", "MRI scan", "Had an MRI scan today."),
        ("Had an {proc} today.", "chest X-ray", "Had a chest X-ray today."),
        ("A {proc} was done.", "ultrasound scan", "An ultrasound scan was done."),
        ("A {proc} was given.", "intravenous fluids", "Intravenous fluids were given."),
        ("{proc} was done.", "blood cultures", "Blood cultures were done."),
        ("{proc} were done.", "chest X-ray", "Chest X-ray was done."),
        ("While {proc} were done, we spoke.", "chest X-ray", "While chest X-ray was done, we spoke."),
        ("We did the {proc} then.", "the usual test", "We did the usual test then."),
        ("Treatment of {proc} was quick.", "stones", "Treatment of stones was quick."),
        ("Done by {proc}.", "Dr A.", "Done by Dr A."),
    ],
)
def test_the_words_beside_a_value_agree_with_it(tmp_path: Path, text: str, proc: str, told: str) -> None:
    section = summary(a_book(tmp_path, ("treatment", text)), a_stay(a_fact("proc", 1, proc, "operation")))
    assert section.text == told
    assert [section.text[span.start : span.end] for span in section.spans] == [span.surface for span in section.spans]


def test_a_list_is_said_with_and_and_each_item_is_a_span(tmp_path: Path) -> None:
    stay = a_stay(*(a_fact("given", n, name) for n, name in enumerate(("aspirin", "senna", "aspirin", "heparin"), 1)))
    section = summary(a_book(tmp_path, ("treatment", "{given*} was given.")), stay)
    assert section.text == "Aspirin, senna and heparin were given."
    assert [(span.surface, span.fact) for span in section.spans] == [
        ("Aspirin", "given:1"),
        ("senna", "given:2"),
        ("heparin", "given:4"),
    ]


def test_a_paragraph_names_the_patient_before_it_says_she(tmp_path: Path) -> None:
    stay = a_stay(a_fact("dx", 1, "sepsis"), a_fact("proc", 1, "CT scan", "operation"), a_fact("given", 1, "senna"))
    book = a_book(
        tmp_path,
        ("presentation", "[His] trouble was {dx}."),
        ("procedure-told", "{patient.short} had {proc}."),
        ("treatment", "{patient.short} took {given}."),
    )
    assert summary(book, stay).text == "Mrs Smith's trouble was sepsis. She had CT scan. She took senna."


# ---- the choice


def test_each_fact_is_told_once_and_in_the_order_of_the_parts(tmp_path: Path) -> None:
    stay = a_stay(a_fact("dx", 1, "sepsis"), *(a_fact("secondary", n, f"trouble {n}") for n in (1, 2)))
    book = a_book(
        tmp_path,
        ("diagnosis", "There was {secondary}."),
        ("diagnosis", "We saw {secondary}."),
        ("diagnosis", "We found {secondary} as well."),
        ("presentation", "Came with {dx}."),
        ("presentation", "Because of {dx} [he] came."),
    )
    for seed in range(20):
        section = summary(book, stay, seed)
        assert sorted(span.fact for span in section.spans if span.type == "condition") == [
            "dx:1",
            "secondary:1",
            "secondary:2",
        ]
        assert next(span.fact for span in section.spans if span.type == "condition") == "dx:1"


def test_what_a_pattern_asks_for_must_hold_of_the_fact_it_names(tmp_path: Path) -> None:
    high, low = a_fact("result", 1, "CRP", "high", "test:crp"), a_fact("result", 2, "sodium", "low", "test:sodium")
    book = a_book(tmp_path, ("investigations", "{result} was up."), when='["result:high", "!died"]')
    assert summary(book, a_stay(high, low)).text == "CRP was up."
    assert summary(book, a_stay(low)).text == ""
    assert summary(book, a_stay(high, tags=("died",))).text == ""


def test_also_does_not_come_first(tmp_path: Path) -> None:
    one, two = a_fact("result", 1, "CRP", "high"), a_fact("result", 2, "sodium", "low")
    book = a_book(tmp_path, ("treatment", "{result} was also found."), ("treatment", "{result} was told."))
    assert summary(book, a_stay(one)).text == "CRP was told."
    for seed in range(10):
        assert summary(book, a_stay(one, two), seed).text.startswith("CRP was told.")


def test_two_appointments_at_one_clinic_are_not_told_as_one(tmp_path: Path) -> None:
    visits = (a_fact("followup", n, "the eye clinic", date=day) for n, day in ((1, "3 March 2026"), (2, "5 May 2026")))
    (tmp_path / "own.toml").write_text(
        '[[pattern]]\nsection = "plan"\npart = "follow-up"\ntext = "To come back to {followup*}."\n'
        '[[pattern]]\nsection = "plan"\npart = "follow-up"\ntext = "Next is {followup}."\n',
        encoding="utf-8",
    )
    stay = a_stay(*visits)
    section = PhrasebookWriter(phrases.load(tmp_path), "terse").write(stay, "plan", stay.facts, 1)
    assert section.text == "Appointment: the eye clinic, 3 March 2026.\nAppointment: the eye clinic, 5 May 2026."


def test_a_fact_that_no_pattern_can_say_gets_a_bare_line(tmp_path: Path) -> None:
    stay = a_stay(a_fact("followup", 1, "the eye clinic", date="3 March 2026"))
    section = PhrasebookWriter(a_book(tmp_path, ("course", "Well.")), "terse").write(stay, "plan", stay.facts, 1)
    assert section.text == "Appointment: the eye clinic, 3 March 2026."


# ---- whole letters


def test_sections_stand_under_the_headings_of_the_standard() -> None:
    for letter in letters(None):
        order = [heading.key for heading in headings()]
        keys = [section.key for section in letter.sections]
        assert keys == [key for key in order if key in keys]
        missing = {heading.key for heading in headings() if heading.obligation == "M"} - set(keys)
        assert not missing
    codes = [heading.snomed for heading in headings()]
    assert len(set(codes)) == len(codes) == 15


@pytest.mark.parametrize("voice", [None, *VOICES])
def test_each_letter_says_each_required_fact(voice: str | None) -> None:
    for letter in letters(voice):
        said = {span.fact for section in letter.sections for span in section.spans}
        for fact in letter.stay.facts:
            assert not fact.required or fact.id in said, fact


@pytest.mark.parametrize("voice", VOICES)
def test_narrative_sections_say_what_they_must_and_nothing_twice(voice: str) -> None:
    for letter in letters(voice):
        planned = {item.heading.key: item for item in plan(letter.stay)}
        for section in letter.sections:
            if section.writer == "fixed":
                continue
            said = Counter((span.fact, span.slot) for span in section.spans)
            assert all(count == 1 or key == ("patient:1", "short") for key, count in said.items()), section.text
            words = {span.surface.lower() for span in section.spans}
            said_facts = {fact for fact, _ in said}
            unsaid = [
                fact
                for fact in planned[section.key].facts
                if fact.id in planned[section.key].must and fact.id not in said_facts and fact.text.lower() not in words
            ]
            assert not unsaid, (section.text, unsaid)


@pytest.mark.parametrize("voice", VOICES)
def test_spans_are_exact_and_texts_are_clean(voice: str) -> None:
    for letter in (*letters(voice), *patient_letters()):
        for section in letter.sections:
            assert_spans(section)
            assert not re.search(r"[{}\[\]<>]|  |\.\.|\s[.,;]|\b(an?|the|for|on) \1\b", section.text), section.text
            if section.writer != "fixed":
                assert section.text[0].isupper() or section.text[0].isdigit() or section.text[:4] == "eGFR"
                assert section.text.endswith((".", "?", "!"))
        text, spans = as_text(letter)
        assert [text[span.start : span.end] for span in spans] == [span.surface for span in spans]


def assert_spans(section: Section) -> None:
    for span in section.spans:
        assert section.text[span.start : span.end] == span.surface
        assert span.section == section.key
    for before, after in zip(section.spans, section.spans[1:], strict=False):
        assert before.end <= after.start


def test_spans_point_at_the_resources_their_values_come_from() -> None:
    for letter in letters("thorough"):
        kinds = {fact.id: fact for fact in letter.stay.facts}
        for section in letter.sections:
            for span in section.spans:
                fact = kinds[span.fact]
                assert span.resource in fact.resources or (span.resource is None and not fact.resources)
                if span.type == "staff_name":
                    assert span.resource is None or span.resource.startswith("Practitioner/")


def test_people_keep_their_capital_in_the_names_of_things() -> None:
    names = [reaction.name for reaction in knowledge.load().reactions.values()]
    kept = {name for name in names if stays.within_sentence(name) == name}
    assert kept == {"Lyell syndrome", "Stevens-Johnson syndrome"}
    assert stays.within_sentence("Eruption of skin") == "eruption of skin"


def test_no_known_allergies_is_a_negated_statement() -> None:
    negated = [
        (span.surface, span.fact)
        for letter in letters(None)
        for s in letter.sections
        for span in s.spans
        if span.negated
    ]
    assert set(negated) == {("allergies", "noallergy:1")}
    assert len(negated) == sum("has:noallergy" in stay.tags for stay in some_stays())


def test_the_letter_to_the_patient_is_in_their_words_and_none_follows_a_death() -> None:
    died = [stay for stay in some_stays() if "died" in stay.tags]
    assert died
    assert [write(stay, SEED, kind="patient") for stay in died] == [None] * len(died)
    assert len(patient_letters()) == len(some_stays()) - len(died)
    for letter in patient_letters():
        assert letter.sections[0].title == "Why you were in hospital"
        assert letter.sections[-1].title == "When to get help"
        for section in letter.sections:
            for span in section.spans:
                fact = next(fact for fact in letter.stay.facts if fact.id == span.fact)
                value = fact.values[span.slot]
                assert span.surface.lower() == (value.patient or value.text).lower()


def test_same_seed_same_letter_and_another_seed_another() -> None:
    stay = max(some_stays(), key=lambda stay: len(stay.facts))
    assert write(stay, 5) == write(stay, 5)
    assert len({as_text(write(stay, seed))[0] for seed in range(6)}) == 6
    assert {voice_of(stay, 5) for stay in some_stays()} == set(VOICES)


def test_letters_do_not_hang_on_how_python_hashes() -> None:
    told = under_hash_seeds(
        "import test_letters_writing as here\n"
        "from fhirsynth.letters.layers import abbreviate, misspell\n"
        "for stay in here.some_stays(12, 4):\n"
        "    letter = misspell(abbreviate(here.write(stay, 2), 2), 2, 0.05)\n"
        "    print(here.as_text(letter)[0])\n"
    )
    assert told[0] == told[1]
    assert "CLINICAL SUMMARY" in told[0]


def test_an_unknown_voice_or_kind_is_refused() -> None:
    with pytest.raises(InputError, match="no voice is called 'nurse'"):
        write(some_stays()[0], 1, "nurse")
    with pytest.raises(InputError, match="no kind of letter is called 'friend'"):
        write(some_stays()[0], 1, kind="friend")  # type: ignore[call-overload]


# ---- layers


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(0, 2**31), st.floats(0, 1), st.floats(0, layers.MOST_TYPOS), st.booleans())
def test_layers_keep_spans_right_and_remember_the_clean_letter(
    which: int, seed: int, share: float, rate: float, patient: bool
) -> None:
    pool = patient_letters() if patient else letters(None)
    clean = pool[which % len(pool)]
    noisy = layers.misspell(layers.abbreviate(clean, seed, share), seed, rate)
    for before, after in zip(clean.sections, noisy.sections, strict=True):
        assert_spans(after)
        assert restored(after) == before.text
        kept = [span for span in after.spans if span.fact]
        assert [(span.fact, span.slot, span.clean) for span in kept] == [
            (span.fact, span.slot, span.surface) for span in before.spans
        ]
        assert all(span.type in ("abbreviation", "typo") for span in after.spans if not span.fact)
        if before.writer == "fixed":
            assert after == before


def restored(section: Section) -> str:
    """The text with the clean form in place of every span."""
    out, at = [], 0
    for span in section.spans:
        out += [section.text[at : span.start], span.clean]
        at = span.end
    return "".join(out) + section.text[at:]


@given(st.integers(0, 2**31))
def test_slips_never_touch_a_value(seed: int) -> None:
    letter = letters(None)[seed % len(letters(None))]
    noisy = layers.misspell(letter, seed, layers.MOST_TYPOS)
    for before, after in zip(letter.sections, noisy.sections, strict=True):
        assert [span.surface for span in after.spans if span.fact] == [span.surface for span in before.spans]


def test_slips_come_as_often_as_asked() -> None:
    slips = words = 0
    for letter in letters(None):
        noisy = layers.misspell(letter, 1, 0.1)
        slips += sum(span.type == "typo" for section in noisy.sections for span in section.spans)
        free = [re.sub(r"\W", " ", outside(s)) for s in letter.sections if s.writer != "fixed"]
        words += sum(len(re.findall(r"\b[A-Za-z]{4,}\b", text)) for text in free)
    assert 0.07 < slips / words < 0.11
    assert layers.misspell(letters(None)[0], 1, 0.0) == letters(None)[0]


def outside(section: Section) -> str:
    """The plain words of a section."""
    text = section.text
    for span in reversed(section.spans):
        text = text[: span.start] + "." + text[span.end :]
    return text


def test_abbreviations_of_words_values_doses_and_the_authors_own() -> None:
    text = "Temperature 38 °C and 18 breaths per minute, in keeping with atrial fibrillation; one tablet twice a day."

    def at(words: str, type_: str, fact: str) -> Span:
        start = text.index(words)
        return Span(start, start + len(words), words, type_, fact, "", None, None, None, False, "plan", words)

    spans = (
        at("38 °C", "observation", "obs:1"),
        at("18 breaths per minute", "observation", "obs:1"),
        at("atrial fibrillation", "condition", "dx:1"),
        at("one tablet twice a day", "dose", "started:1"),
    )
    mark = Mark(text.index("in keeping with"), text.index("in keeping with") + len("in keeping with"), "i/k/w")
    letter = Letter("n", a_stay(), (Section("plan", "Plan", text, spans, "phrasebook", (mark,)),), "terse", "gp")
    short = layers.abbreviate(letter, 1, 1.0).sections[0]
    assert short.text == "Temp 38 °C and 18/min, i/k/w AF; one tablet BD."
    assert [(span.surface, span.type, span.clean) for span in short.spans] == [
        ("Temp", "abbreviation", "Temperature"),
        ("38 °C", "observation", "38 °C"),
        ("18/min", "observation", "18 breaths per minute"),
        ("i/k/w", "abbreviation", "in keeping with"),
        ("AF", "condition", "atrial fibrillation"),
        ("one tablet BD", "dose", "one tablet twice a day"),
    ]
    assert layers.abbreviate(letter, 1, 0.0) == letter


def test_layers_refuse_what_is_out_of_range() -> None:
    letter = letters(None)[0]
    with pytest.raises(InputError, match=r"between 0 and 0\.1, found 0\.2"):
        layers.misspell(letter, 1, 0.2)
    with pytest.raises(InputError, match="between 0 and 1, found 2"):
        layers.abbreviate(letter, 1, 2)
