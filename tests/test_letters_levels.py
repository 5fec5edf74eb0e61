"""The bag of coded words and the notes of the ward: what they say, when it was known, and where each value stands."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from functools import cache

import pytest
from commands import under_hash_seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from made_letters import HEAD

from fhirsynth import Population, knowledge
from fhirsynth.errors import InputError
from fhirsynth.letters import annotations, layers, saying
from fhirsynth.letters import stays as reading
from fhirsynth.letters.check import check_letter, check_section
from fhirsynth.letters.facts import Fact, Stay, Value
from fhirsynth.letters.letter import Letter, Section, as_text
from fhirsynth.letters.levels import at_level
from fhirsynth.letters.levels.book import book, read
from fhirsynth.letters.levels.by_then import by_then
from fhirsynth.letters.levels.moments import clock, day_of, moments
from fhirsynth.letters.levels.notes import Hand
from fhirsynth.letters.page import html, page, pdf
from fhirsynth.letters.phrases import SINGLE, VOICES
from fhirsynth.letters.writing import stream
from fhirsynth.record import schema as rec
from fhirsynth.record.record import PLACES

SEEDS = (1, 2)
LEVELS = ("words", "note")
#: Kinds told of a stay as a whole, so in its last note alone.
LATE = {"trend", "normal", "given", "obsend", "started", "secondary", "followup", "referral", "death"}
#: … and slots of others.
LATE_SLOTS = {("discharge", "date"), ("discharge", "nights"), ("discharge", "destination"), ("stopped", "why")}
_WHEN = re.compile(r", (\d{1,2} [A-Z][a-z]+ \d{4}), (\d\d:\d\d)$")


@cache
def with_encounters() -> tuple[tuple[Stay, rec.Encounter], ...]:
    """All hospital stays of a population, each with its encounter."""
    record = Population(n=240, seed=3).record()
    reader = reading.Reader(knowledge.load(), {name: record[name] for name in PLACES})
    found = []
    for person, rows in record.by_person():
        encounters = {row.id: row for row in rows.get("encounter", ())}
        found += [(stay, encounters[stay.encounter_id]) for stay in reader.stays(person, rows)]
    return tuple(found)


def stays() -> tuple[Stay, ...]:
    return tuple(stay for stay, _ in with_encounters())


@cache
def written(level: str, seed: int, voice: str | None = None) -> tuple[Letter, ...]:
    """The text about each stay at a level."""
    found = tuple(at_level(stay, level, seed, voice) for stay in stays())  # type: ignore[arg-type]
    assert all(letter is not None for letter in found)
    return found  # type: ignore[return-value]


def everything() -> Iterator[Letter]:
    for level in LEVELS:
        for seed in SEEDS:
            yield from written(level, seed)


def notes_of(letter: Letter) -> list[tuple[dt.datetime, list[Section]]]:
    """The notes of a letter: when each was written, by its first heading, and its sections."""
    found: list[tuple[dt.datetime, list[Section]]] = []
    for section in letter.sections:
        if when := _WHEN.search(section.title):
            at = dt.datetime.strptime(f"{when[1]} {when[2]}", "%d %B %Y %H:%M")
            found.append((at, []))
        found[-1][1].append(section)
    return found


# ---- both levels


def test_there_are_enough_stays_of_each_sort_to_say_something() -> None:
    assert len(stays()) >= 300
    tags = [stay.tags for stay in stays()]
    for tag in ("emergency", "elective", "maternity", "daycase", "died", "child", "older", "operation"):
        assert any(tag in of_stay for of_stay in tags), tag


def test_spans_are_where_they_say_and_carry_the_codes_of_their_facts() -> None:
    for letter in everything():
        facts = {fact.id: fact for fact in letter.stay.facts}
        for section in letter.sections:
            assert section.spans or section.key == "first-plan"
            for span in section.spans:
                assert section.text[span.start : span.end] == span.surface == span.clean
                fact = facts[span.fact]
                if span.negated:
                    assert fact.kind == "noallergy"
                    continue
                value = fact.values[span.slot]
                assert span.surface.lower() == value.text.lower()
                assert (span.system, span.code, span.type) == (value.system, value.code, value.type)
                assert span.resource is not None and (
                    span.resource in fact.resources or span.resource == value.resource
                )
        text, spans = as_text(letter)
        assert all(text[span.start : span.end] == span.surface for span in spans)


def test_the_independent_reader_finds_nothing_wrong() -> None:
    for letter in everything():
        for section in letter.sections:
            assert check_section(letter.stay, section.key, section.text) == [], section.text


@pytest.mark.parametrize("voice", VOICES)
def test_the_independent_reader_finds_nothing_wrong_or_missing_in_any_voice(voice: str) -> None:
    for letter in written("note", 3, voice):
        assert letter.voice == voice
        assert check_letter(letter.stay, letter.sections) == [], as_text(letter)[0]


def test_same_seed_same_bytes_and_another_seed_another_text() -> None:
    for level in LEVELS:
        of_one = max(written(level, 1), key=lambda letter: len(letter.stay.facts)).stay
        assert at_level(of_one, level, 7) == at_level(of_one, level, 7)  # type: ignore[arg-type]
        texts = {as_text(at_level(of_one, level, seed))[0] for seed in range(6)}  # type: ignore[arg-type]
        assert len(texts) == 6


def test_texts_do_not_hang_on_how_python_hashes() -> None:
    told = under_hash_seeds(
        "import test_letters_levels as here\n"
        "from fhirsynth import Population\n"
        "record = Population(n=12, seed=4).record()\n"
        "reader = here.reading.Reader(here.knowledge.load(), {name: record[name] for name in here.PLACES})\n"
        "for person, rows in record.by_person():\n"
        "    for stay in reader.stays(person, rows):\n"
        "        for level in here.LEVELS:\n"
        "            print(here.as_text(here.layers.abbreviate(here.at_level(stay, level, 2), 2))[0])\n"
    )
    assert told[0] == told[1]
    assert "CODED TERMS" in told[0] and "IMP" in told[0]


def test_an_unknown_level_or_voice_is_refused() -> None:
    with pytest.raises(InputError, match="no level is called 'haiku'"):
        at_level(stays()[0], "haiku", 1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no voice is called 'nurse'"):
        at_level(stays()[0], "note", 1, "nurse")


def test_a_stay_without_anything_coded_or_without_its_days_has_no_text() -> None:
    bare = stays()[0]._replace(facts=(Fact("patient:1", "patient", {"": Value("Mr A B", "person_name")}, ()),))
    assert at_level(bare, "words", 1) is None
    assert at_level(bare, "note", 1) is None


# ---- words


def test_every_term_is_a_line_of_its_own_with_its_code_once() -> None:
    for letter in written("words", 1):
        (section,) = letter.sections
        lines = section.text.split("\n")
        assert len(lines) == len(section.spans)
        for line, span in zip(lines, section.spans, strict=True):
            assert line.removeprefix("Allergy to ") == span.surface
            assert span.code and span.system
        terms = [(span.type == "allergy", span.code) for span in section.spans]
        assert len(terms) == len(set(terms))


def test_every_name_that_is_coded_is_among_the_words() -> None:
    kinds = {"dx", "secondary", "pmh", "proc", "given", "started", "stopped", "changed", "continued", "allergy"}
    for letter in written("words", 1):
        codes = {span.code for span in letter.sections[0].spans}
        for fact in letter.stay.facts:
            if fact.kind in kinds | {"result", "trend", "normal"}:
                assert fact.values[""].code in codes, fact
            if fact.kind == "allergy" and "reaction" in fact.values:
                assert fact.values["reaction"].code in codes


def test_words_are_in_no_order() -> None:
    first = [[span.fact for span in letter.sections[0].spans] for letter in written("words", 1)]
    second = [[span.fact for span in letter.sections[0].spans] for letter in written("words", 2)]
    assert all(sorted(a) == sorted(b) for a, b in zip(first, second, strict=True))
    changed = [a != b for a, b in zip(first, second, strict=True) if len(a) > 4]
    assert sum(changed) > 0.9 * len(changed)


def test_a_substance_that_is_not_taken_is_told_as_an_allergy() -> None:
    said = [letter.sections[0].text for letter in written("words", 1) if letter.stay.of("allergy")]
    assert said and all("Allergy to " in text for text in said)


# ---- notes: what they say


@pytest.mark.parametrize("voice", VOICES)
def test_a_note_states_every_fact_that_it_must(voice: str) -> None:
    for letter in written("note", 3, voice):
        facts = {fact.id: fact for fact in letter.stay.facts}
        said = {span.fact for section in letter.sections for span in section.spans}
        names = {(facts[name].kind, facts[name].text) for name in said if facts[name].text}
        for fact in letter.stay.facts:
            if fact.required:
                assert fact.id in said or (fact.kind, fact.text) in names, (fact, as_text(letter)[0])


def test_a_stay_begins_with_an_admission_note_and_ends_with_the_last() -> None:
    for letter in written("note", 1):
        keys = [section.key for section in letter.sections]
        assert keys[0] == "admission-note" and len(keys) == len(set(keys))
        last = "death-note" if "died" in letter.stay.tags else "discharge-note"
        assert keys[-1] == last
        assert all(section.key.startswith("ward-round-") for section in letter.sections[_plan(keys) + 1 : -1])


def _plan(keys: list[str]) -> int:
    return keys.index("first-plan")


def test_there_is_a_ward_round_on_each_day_that_brought_something_and_on_no_other() -> None:
    rounds = 0
    for letter in written("note", 1):
        stay = letter.stay
        began, ended = day_of(stay.first("admission")), day_of(stay.first("death") or stay.first("discharge"))
        assert began is not None and ended is not None
        days = {day_of(fact) for fact in (*stay.of("proc"), *stay.of("result"))}
        wanted = sorted(day for day in days if day is not None and began < day < ended)
        found = [at.date() for at, sections in notes_of(letter) if sections[0].key.startswith("ward-round-")]
        assert found == wanted
        rounds += len(found)
    assert rounds > 30


def test_a_procedure_is_told_as_done_in_one_note_and_planned_only_on_its_day() -> None:
    for letter in written("note", 1):
        for fact in letter.stay.of("proc"):
            done = [
                section.key
                for section in letter.sections
                for span in section.spans
                if span.fact == fact.id and span.slot == "" and section.key != "first-plan"
            ]
            assert done and (len(done) == 1 or "operation" in fact.tags)


def test_results_are_told_once_and_their_course_at_the_end() -> None:
    for letter in written("note", 1):
        told = [
            span.fact for s in letter.sections for span in s.spans if span.slot == "value" and s.key != "impression"
        ]
        assert sorted(told) == sorted(fact.id for fact in letter.stay.of("result"))


# ---- notes: when


def test_no_note_says_what_came_later() -> None:
    for letter in (*written("note", 1), *written("note", 2)):
        facts = {fact.id: fact for fact in letter.stay.facts}
        admitted = day_of(letter.stay.first("admission"))
        assert admitted is not None
        notes = notes_of(letter)
        for number, (at, sections) in enumerate(notes):
            for span in (span for section in sections for span in section.spans):
                fact = facts[span.fact]
                if fact.kind in ("proc", "result"):
                    day = day_of(fact)
                    assert day is not None and day <= (at.date() if number else admitted)
                if fact.kind in LATE or (fact.kind, span.slot) in LATE_SLOTS:
                    assert number == len(notes) - 1, (span, at)
                if number == 0 and "maternity" in letter.stay.tags:
                    assert fact.kind != "dx"


def test_notes_are_timed_between_admission_and_leaving_and_ward_rounds_in_the_morning() -> None:
    for (_, encounter), letter in zip(with_encounters(), written("note", 1), strict=True):
        start, end = (saying.moment(at).replace(tzinfo=None) for at in (encounter.start, encounter.end))
        notes = notes_of(letter)
        times = [at for at, _ in notes]
        assert times == sorted(times) and times[0] >= start
        if "died" in letter.stay.tags:
            assert all(at < end for at in times[:-1]) and times[-1] > end
        else:
            assert times[-1] < end
        for at, sections in notes:
            if "Ward round" in sections[0].title:
                assert dt.time(8) <= at.time() <= dt.time(11)
                assert at.date() > start.date()


@given(st.times())
def test_a_clock_reads_what_letters_say(time: dt.time) -> None:
    minute = time.replace(second=0, microsecond=0, tzinfo=None)
    assert clock(saying.time(dt.datetime.combine(dt.date(2026, 1, 1), minute))) == minute


@given(st.dates(min_value=dt.date(1900, 1, 1), max_value=dt.date(2100, 12, 31)))
def test_a_day_is_read_as_letters_say_it(day: dt.date) -> None:
    assert day_of(Fact("proc:1", "proc", {"date": Value(saying.date(day), "date")}, ())) == day
    assert day_of(Fact("proc:1", "proc", {}, ())) is None


@given(st.integers(0, 10_000), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_what_is_known_only_grows_and_is_all_known_at_the_end(number: int, seed: int) -> None:
    stay = stays()[number % len(stays())]
    known: dict[str, Fact] = {}
    for moment in moments(stay, stream(seed, "when")):
        now = {fact.id: fact for fact in by_then(stay, moment).facts}
        for name, before in known.items():
            assert before.values.items() <= now[name].values.items()
        known = now
    assert known.keys() == {fact.id for fact in stay.facts}
    assert all(known[fact.id].tags == fact.tags for fact in stay.facts)


@pytest.mark.parametrize("arrived", ["11:35pm", "12:10am", "11am"])
@pytest.mark.parametrize("after", [0, 31, 600])
def test_a_death_soon_after_admission_still_comes_after_the_first_note(arrived: str, after: int) -> None:
    at = dt.datetime.combine(dt.date(2026, 3, 3), clock(arrived))
    died = at + dt.timedelta(minutes=after)
    admission = {"date": Value(saying.date(at.date()), "date"), "time": Value(arrived, "time")}
    death = {"date": Value(saying.date(died.date()), "date"), "time": Value(saying.time(died), "time")}
    stay = stays()[0]._replace(
        facts=(Fact("admission:1", "admission", admission, ()), Fact("death:1", "death", death, ()))
    )
    first, last = moments(stay, stream(1, "when"))
    assert at <= first.at <= died < last.at


# ---- notes: their patterns


def _rare(stay: Stay) -> Stay:
    """A stay with what populations of a few hundred hardly have."""
    dx = stay.of("dx")[0]
    more: tuple[Fact, ...] = (
        Fact("secondary:1", "secondary", {"": Value("delirium", "condition")}, ("Condition/c9",), required=True),
        Fact("language:1", "language", {"": Value("Polish", "language")}, ("Patient/p",), frozenset({"interpreter"})),
        Fact("referral:1", "referral", {"": Value("cardiology", "specialty")}, ("ServiceRequest/r",), required=True),
    )
    names = {"": Value("ibuprofen 200mg tablets", "medication"), "name": Value("ibuprofen", "medication")}
    doses = {"from": Value("5 mg once a day", "dose"), "to": Value("10 mg once a day", "dose")}
    more += (
        Fact("stopped:9", "stopped", {**names, "why": Value("side effects", "reason")}, (), required=True),
        Fact("changed:1", "changed", {**names, **doses}, (), required=True),
    )
    bedside = frozenset({"febrile", "tachycardic", "hypotensive", "hypoxic", "tachypnoeic", "on-oxygen", "news2-high"})
    facts = [f._replace(tags=bedside | {"bradycardic"}) if f.kind == "obs" else f for f in stay.facts]
    today = {"date": stay.of("admission")[0].values["date"]}  # what was done is done on the first day
    facts = [f._replace(values={**f.values, **today}) if f.kind == "proc" else f for f in facts]
    groups = {"group:infection", "group:cardiac", "group:respiratory", "group:renal-urology", "group:cancer"}
    return stay._replace(
        facts=(*(f for f in facts if f.kind not in {"secondary", "language", "referral"}), *more),
        tags=stay.tags | groups | {f"has:{fact.kind}" for fact in more} | dx.tags,
    )


def test_every_pattern_is_used() -> None:
    every = {pattern.where for patterns in book().patterns.values() for pattern in patterns}
    assert len(every) >= 120
    some = sorted(stays(), key=lambda stay: -len(stay.facts))[:120]
    some += [stay for stay in stays() if stay.tags & {"maternity", "child", "died"} or stay.of("stopped")]
    some += [stay for stay in stays() if "operation" in stay.tags and "daycase" not in stay.tags]
    used: set[str] = set()
    for seed in range(15):
        for stay in some:
            for voice in VOICES:
                hand = Hand(_rare(stay) if seed % 3 == 0 else stay, seed, voice)
                for moment in moments(stay, stream(seed, stay.note_id)):
                    hand.note(moment)
                used |= hand.used
        if used == every:
            return
    assert every - used == set()


def test_no_pattern_has_figures_or_names_of_its_own() -> None:
    for patterns in book().patterns.values():
        for pattern in patterns:
            for line in pattern.heading.lines:
                words = " ".join(
                    piece.text for stretch in line.stretches for piece in stretch.pieces if hasattr(piece, "text")
                )
                assert not re.search(r"\d", words.replace("NEWS2", "")), pattern.where


def test_patterns_differ() -> None:
    seen: dict[object, str] = {}
    for patterns in book().patterns.values():
        for pattern in patterns:
            same = (pattern.part, pattern.when, pattern.between, pattern.heading.lines)
            assert same not in seen, (pattern.where, seen[same])
            seen[same] = pattern.where


def test_sections_name_kinds_that_there_are_and_parts_that_have_patterns() -> None:
    for sheet in book().sheets:
        for part in sheet.part:
            assert part.name in book().patterns
            several = [kind for kind in part.says if kind not in SINGLE]
            assert not part.procedures or "proc" in several


_SECTION = '[[section]]\noccasion = ["round"]\nkey = "k"\ntitle = "T"\npart = [{ name = "p", says = ["dx"] }]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[pattern]]\npart = "q"\nline = [{ text = "x" }]', "pattern 1: no section has a part 'q'"),
        ('[[pattern]]\npart = "p"\nline = [{ text = "{dx.colour}" }]', "pattern 1: .*dx has no slot 'colour'"),
        ('[[pattern]]\npart = "p"\nline = [{ text = "a <b <c>" }]', "pattern 1: a bracket < > is left open"),
        ('[[pattern]]\npart = "p"\nwhen = ["sunny"]\nline = [{ text = "x" }]', "pattern 1: no stay is tagged 'sunny'"),
        ('[[pattern]]\npart = "p"\nline = []', "pattern 1: line"),
        ('[[pattern]]\npart = "p"\nvoice = ["nurse"]\nline = [{ text = "x" }]', "pattern 1: voice.0"),
        (_SECTION.replace("dx", "dy"), "section 2: p: no kind of fact is called 'dy'"),
        ("[[patern]]\n", "unknown table 'patern'"),
    ],
)
def test_mistakes_in_the_patterns_are_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(f"{_SECTION}{text}")


# ---- layers, annotations and pages


def test_abbreviated_notes_are_the_ward_s_and_still_say_nothing_wrong() -> None:
    seen: set[str] = set()
    for clean in written("note", 1):
        short = layers.abbreviate(clean, 1, 1.0)
        seen |= {section.title.partition(", ")[0] for section in short.sections}
        for before, after in zip(clean.sections, short.sections, strict=True):
            assert check_section(clean.stay, after.key, after.text) == []
            kept = [span for span in after.spans if span.fact]
            assert [span.clean for span in kept] == [span.surface for span in before.spans]
            assert all(after.text[span.start : span.end] == span.surface for span in after.spans)
    assert {"Adm note", "PMH", "DH", "SH", "Obs", "Ix", "Imp", "WR"} <= seen
    letter = at_level(stays()[0], "words", 1)
    assert letter is not None and layers.abbreviate(letter, 1, 1.0).sections[0].title == letter.sections[0].title


@given(st.integers(0, 10_000), st.integers(0, 2**31), st.sampled_from(LEVELS), st.sampled_from([None, *VOICES]))
@settings(max_examples=80, deadline=None)
def test_any_seed_and_voice_gives_a_sound_text(number: int, seed: int, level: str, voice: str | None) -> None:
    letter = at_level(stays()[number % len(stays())], level, seed, voice)  # type: ignore[arg-type]
    assert letter is not None
    worn = layers.misspell(layers.abbreviate(letter, seed, 0.7), seed, 0.05)
    for clean, section in zip(letter.sections, worn.sections, strict=True):
        assert check_section(letter.stay, clean.key, clean.text) == []
        assert all(section.text[span.start : span.end] == span.surface for span in section.spans)


def test_annotations_of_notes_hold_codes_and_identifiers() -> None:
    letter = max(written("note", 1), key=lambda letter: len(letter.stay.facts))
    found = annotations.note(letter)
    types = {annotations.type_of(span) for span in found.spans}
    assert {"person_name", "condition", "medication", "date", "ward"} <= types
    assert annotations.csv_lines(found).count(b"\n") > 5


@pytest.mark.parametrize(("level", "heading"), [("note", "Hospital notes"), ("words", "Coded terms")])
def test_a_page_of_notes_is_no_letter(level: str, heading: str) -> None:
    letter = max(written(level, 1), key=lambda letter: len(letter.sections))
    content = page(letter, HEAD)
    assert content["heading"] == heading
    assert (content["recipient"], content["greeting"], content["closing"], content["author"]) == ([], "", "", "")
    assert [section["title"] for section in content["sections"]] == [section.title for section in letter.sections]
    lines = [line for section in content["sections"] for block in section["blocks"] for line in block["lines"]]
    said = [line.removeprefix("- ") for section in letter.sections for line in section.text.split("\n")]
    assert lines == said
    text = html(letter, HEAD)
    assert "Dear" not in text and "Yours" not in text and "<h1>" in text
    pytest.importorskip("typst")
    assert pdf(letter, HEAD).startswith(b"%PDF")
