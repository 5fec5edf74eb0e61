"""The wording that a model may use: its training text's, and what is made of it sentence by sentence."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_models import by_heart, either, generate, samples

from fhirsynth.errors import InputError
from fhirsynth.letters.lm.brief import PARAGRAPH, SENTENCE
from fhirsynth.letters.lm.corpus import Sample
from fhirsynth.letters.lm.decoding import Ask, Sampling
from fhirsynth.letters.lm.wording import FILE, Wording, topics_of

KNEE, HIP = "<cond:osteoarthritis-knee>", "<cond:osteoarthritis-hip>"
SAMPLES = (
    Sample(f"<plan> {KNEE}", "We have stopped {stopped1}.\n\n[He] should finish {started1}. No tests are awaited."),
    Sample(f"<social> {HIP}", "{patient.short} lives with [his] partner, and has stopped smoking."),
)


def learnt() -> Wording:
    return Wording.learn(SAMPLES)


@pytest.mark.parametrize(
    ("sentence", "sound"),
    [
        ("We have stopped {stopped1}.", True),
        ("we have stopped {stopped3}.", True),  # which fact it is makes no difference
        ("{patient.short} has stopped {stopped2}.", False),  # "has stopped" and "stopped {…}", never all three
        ("{patient.short} lives with [his] partner.", False),  # no sentence ends so
        ("[He] should finish {stopped1}.", False),
        ("We have stopped {started1}.", False),
        ("We have ceased {stopped1}.", False),
        ("{stopped1}.", False),
        ("No tests are awaited.", True),
        ("We have stopped.", False),  # no fact vouches for it
        ("No tests.", False),
        ("", False),
    ],
)
def test_what_may_be_said(sentence: str, sound: bool) -> None:
    assert learnt().sound("plan", {KNEE, HIP}, sentence) is sound


def test_words_without_a_fact_belong_to_their_section() -> None:
    assert not learnt().sound("social", {KNEE}, "No tests are awaited.")
    assert learnt().sound("social", {KNEE}, "We have stopped {stopped1}.")


def test_known_words_in_a_new_order_are_sound() -> None:
    gave = ("We gave {started1} for the pain.", "We gave fluids for the sepsis.")
    wording = Wording.learn([Sample(f"<plan> {KNEE}", text) for text in gave])
    assert wording.sound("plan", {KNEE}, "We gave {started2} for the sepsis.")


def test_words_belong_to_what_they_were_said_about() -> None:
    """Of ten conditions each has a word of its own, and they share the others."""
    topics = [f"<cond:{letter}>" for letter in "abcdefghij"]
    wording = Wording.learn(
        Sample(f"<plan> {topic} {{dx}} {topic}", f"Seen with {{dx}} of the {word}.")
        for topic, word in zip(
            topics, ("knee", "hip", "eye", "ear", "hand", "foot", "back", "neck", "nose", "chin"), strict=True
        )
    )
    assert wording.sound("plan", topics_of("<plan> <female> <cond:a> {dx}"), "Seen with {dx} of the knee.")
    assert not wording.sound("plan", {"<cond:b>"}, "Seen with {dx} of the knee.")
    assert wording.sound("plan", {"<cond:b>", "<cond:a>"}, "Seen with {dx} of the knee.")
    assert not wording.sound("plan", (), "Seen with {dx} of the knee.")


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, len(samples()) - 1), min_size=1, max_size=20))
def test_all_that_was_learnt_is_sound(numbers: set[int]) -> None:
    learnt_from = [Sample(samples()[number][0].line, samples()[number][1]) for number in numbers]
    wording = Wording.learn(learnt_from)
    for sample in learnt_from:
        topics = topics_of(sample.brief)
        for paragraph in sample.text.split(PARAGRAPH):
            assert all(wording.sound(sample.section, topics, sentence) for sentence in SENTENCE.split(paragraph))


def test_it_is_kept_in_a_file(tmp_path: Path) -> None:
    assert Wording.load(tmp_path) is None
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        learnt().save(tmp_path / name)
    assert (tmp_path / "a" / FILE).read_bytes() == (tmp_path / "b" / FILE).read_bytes()
    assert Wording.load(tmp_path / "a") == learnt() != Wording.learn(SAMPLES[:1])
    whole = (tmp_path / "a" / FILE).read_bytes()
    for damaged in (whole[:-30], b"", b"no archive"):
        (tmp_path / "a" / FILE).write_bytes(damaged)
        with pytest.raises(InputError, match=r"wording\.npz is damaged"):
            Wording.load(tmp_path / "a")


def test_a_sentence_that_may_not_stand_is_said_otherwise() -> None:
    """A model that says one of two texts goes back to where they part, until it says the one that may stand."""
    asked, text = next(made for made in samples() if made[1].count(". ") > 4)
    first, second, rest = text.split(". ", 2)
    other = f"{first}. And moreover {second[0].lower()}{second[1:]}. {rest}"
    model = either(by_heart({asked.prompt: text}), by_heart({asked.prompt: other}))
    wording, topics = Wording.learn([Sample(asked.line, text)]), topics_of(asked.line)

    def said(returns: int, sound: bool) -> list[str | None]:
        asks = [
            Ask(
                model.prompt(asked.prompt),
                tuple(asked.places),
                random.Random(number),
                400,
                sound=(lambda sentence: wording.sound(asked.section, topics, sentence)) if sound else None,
            )
            for number in range(30)
        ]
        return generate(model, asks, Sampling(1.0, 1.0, 50.0, returns), rows=7)

    assert set(said(0, sound=False)) == {text, other}
    assert set(said(0, sound=True)) == {text, None}
    assert said(40, sound=True) == [text] * 30
