"""Answers of a model within the rules: whatever its logits are, no answer breaks one; and letters made of answers."""

from __future__ import annotations

import math
import random
import re
from collections import Counter, deque
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_models import (
    Told,
    at_random,
    by_heart,
    either,
    generate,
    own_tokens,
    phrasebook_answers,
    ruled,
    samples,
    spelling_vocabulary,
    stays,
    vocabulary,
)

from fhirsynth.errors import InputError
from fhirsynth.letters.check import check_letter
from fhirsynth.letters.lm.brief import NAME, NAMES, PARAGRAPH, section_of
from fhirsynth.letters.lm.corpus import briefs
from fhirsynth.letters.lm.decoding import Ask, Sampling, answered, drawn
from fhirsynth.letters.lm.maker import ModelMaker, abbreviations
from fhirsynth.letters.lm.rules import State
from fhirsynth.letters.lm.vocabulary import Vocabulary
from fhirsynth.letters.making import Manner, make
from fhirsynth.letters.phrases import GRAMMAR
from fhirsynth.letters.writing import write

_PLACE = re.compile(r"\{[^{}]*\}")
_AGREEING = re.compile(r"\[([^\[\]]*)\]")
SEEDS = st.integers(0, 10_000)


def asks(model: Told, numbers: list[int], seed: int = 1, longest: int = 400) -> list[Ask]:
    """What is asked for by these samples."""
    found = []
    for number in numbers:
        asked, _ = samples()[number % len(samples())]
        chance = random.Random(f"{seed} {number}")
        figures = asked.section == "information"
        found.append(Ask(model.prompt(asked.prompt), tuple(asked.places), chance, longest, figures))
    return found


def broken(ask: Ask, answer: str) -> list[str]:
    """The rules that an answer breaks."""
    said = Counter(_PLACE.findall(answer))
    words = _AGREEING.sub("", _PLACE.sub("", answer))
    named = said.pop(NAME, 0)
    found = {
        "a placeholder left out, said twice or made up": said != Counter(ask.places),
        "named too often": named > NAMES,
        "a word that agrees with nobody": not set(_AGREEING.findall(answer)) <= GRAMMAR,
        "a bracket": bool(re.search(r"[\[\]{}<>\ufffd]", words)),
        "a figure": not ask.figures and any(c.isnumeric() for c in words.replace("NEWS2", "")),
        "no end of a sentence": not answer.rstrip("'\")’”").endswith((".", "?", "!")),
        "an empty paragraph": not all(part.strip() for part in answer.split(PARAGRAPH)),
        "a line": "\n" in answer.replace(PARAGRAPH, ""),
    }
    return [rule for rule, is_broken in found.items() if is_broken]


# ---- the rules


SAMPLINGS = st.builds(
    Sampling,
    st.sampled_from([0.0, 0.7, 1.5]),
    st.sampled_from([0.8, 0.95]),
    st.sampled_from([1.0, 3.0, math.inf]),
    st.sampled_from([0, 8]),
)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.lists(SEEDS, min_size=1, max_size=6), SAMPLINGS, st.integers(1, 4))
def test_no_answer_breaks_a_rule(seed: int, numbers: list[int], sampling: Sampling, rows: int) -> None:
    model = at_random(vocabulary(), own_tokens())
    wanted = asks(model, numbers, seed)
    for number, ask, answer in zip(numbers, wanted, generate(model, wanted, sampling, rows), strict=True):
        if answer is not None:
            assert broken(ask, answer) == []
            assert section_of(samples()[number % len(samples())][0], answer).text


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.lists(SEEDS, min_size=1, max_size=6), SAMPLINGS, st.integers(1, 4))
def test_no_answer_breaks_a_rule_where_placeholders_are_spelt(
    seed: int, numbers: list[int], sampling: Sampling, rows: int
) -> None:
    model = at_random(spelling_vocabulary())
    wanted = asks(model, numbers, seed, 500)
    for ask, answer in zip(wanted, generate(model, wanted, sampling, rows), strict=True):
        if answer is not None:
            assert broken(ask, answer) == []


@pytest.mark.parametrize("of", [vocabulary, spelling_vocabulary])
def test_most_answers_of_an_eager_model_come_to_an_end(of: object) -> None:
    model = at_random(vocabulary(), own_tokens()) if of is vocabulary else at_random(spelling_vocabulary())
    answers = generate(model, asks(model, list(range(0, 80, 2)), longest=500))
    assert sum(answer is not None for answer in answers) >= 30
    assert len(set(answers)) > 20


def test_everything_the_phrasebook_says_is_allowed() -> None:
    tokens, of = own_tokens(), vocabulary()
    for asked, text in samples():
        rules = ruled(of, asked.places, asked.section == "information")
        for token in tokens.answer(text):
            assert not rules.forbidden[0, token], (text, of.surfaces[token])
            if token != of.end:
                rules.after(np.array([token]))


def test_figures_stand_in_the_words_of_one_section_only_but_for_news2() -> None:
    answers = {asked.prompt: "Her NEWS2 was good. She took 2 of 9." for asked, _ in samples() if not asked.places}
    asked = next(iter(answers))
    model = by_heart(answers)
    for figures, wanted in ((True, ["2", "2", "9"]), (False, ["2"])):
        ask = Ask(model.prompt(asked), (), random.Random(1), 60, figures)
        [answer] = generate(model, [ask], Sampling(0))
        assert answer is not None
        assert re.findall(r"\d", answer) == wanted


def test_the_name_may_be_said_a_few_times_only() -> None:
    number = vocabulary().whole(NAME)[0]
    rules = ruled(vocabulary(), ())
    for _ in range(NAMES):
        assert not rules.forbidden[0, number]
        rules.after(np.array([number]))
    assert rules.forbidden[0, number]


def test_a_spelt_placeholder_is_finished_with_its_own_letters() -> None:
    of = spelling_vocabulary()
    rules = ruled(of, {"{started1.dose}", "{started1}"})
    said = ""
    for token in (" {", "s", "t", "a", "r", "t", "e", "d", "1"):
        rules.after(np.array([of.surfaces.index(token)]))
        said += token
    assert {of.surfaces[n] for n in np.flatnonzero(~rules.forbidden[0])} == {".", "}", "}.", "})"}
    for token in (".", "dose"):
        rules.after(np.array([of.surfaces.index(token)]))
    assert {of.surfaces[n] for n in np.flatnonzero(~rules.forbidden[0])} == {"}", "}.", "})"}
    rules.after(np.array([of.surfaces.index("})")]))
    assert rules.forbidden[0, of.end]
    for token in ("{s", *"tarted1", "}."):
        assert not rules.forbidden[0, of.surfaces.index(token)], token
        rules.after(np.array([of.surfaces.index(token)]))
    assert not rules.forbidden[0, of.end]
    assert rules.forbidden[0, of.surfaces.index("{s")]


def test_a_vocabulary_knows_what_it_cannot_say() -> None:
    assert vocabulary().can_say({"{dx}", "{started1.dose}"})
    assert not vocabulary().can_say({"{dx}", "{horoscope}"})
    assert spelling_vocabulary().can_say({"{horoscope}"})


# ---- batches


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.permutations(list(range(9))), SAMPLINGS, st.integers(1, 9))
def test_an_answer_does_not_depend_on_what_is_written_beside_it(
    seed: int, order: list[int], sampling: Sampling, rows: int
) -> None:
    model = at_random(vocabulary(), own_tokens())
    alone = [generate(model, asks(model, [number * 7], seed), sampling)[0] for number in range(9)]
    together = generate(model, asks(model, [number * 7 for number in order], seed), sampling, rows)
    assert [alone[number] for number in order] == together


def test_answers_come_back_in_the_order_they_were_asked_for() -> None:
    model = by_heart({asked.prompt: text for asked, text in samples()})
    numbers = list(range(0, len(samples()), 5))
    random.Random(3).shuffle(numbers)
    assert generate(model, asks(model, numbers), rows=7) == [samples()[number][1] for number in numbers]


def test_what_is_asked_for_while_answers_come_is_answered_too() -> None:
    model = by_heart({asked.prompt: text for asked, text in samples()})
    first, again, last = asks(model, [0, 1, 2])
    waiting, found = deque([first]), []
    for ask, answer in answered(model, waiting, rows=2):
        found.append((ask, answer))
        waiting += {first: [again], again: [last]}.get(ask, [])
    assert found == [(ask, samples()[number][1]) for number, ask in enumerate((first, again, last))]


def test_a_row_that_is_free_is_taken_by_what_waits() -> None:
    """No more steps than the answers need on so many rows."""
    model = by_heart({asked.prompt: text for asked, text in samples()})
    numbers = list(range(0, len(samples()), 3))
    lengths = recorded(model)
    generate(model, asks(model, numbers), rows=8)
    needed = sum(len(own_tokens().answer(samples()[number][1])) for number in numbers)
    assert len(lengths) < needed / 8 + 400


def test_an_answer_that_is_too_long_is_none() -> None:
    model = by_heart({asked.prompt: text for asked, text in samples()})
    needed = len(own_tokens().answer(samples()[0][1]))
    for longest, answer in ((needed, samples()[0][1]), (needed - 1, None), (0, None)):
        assert generate(model, asks(model, [0], longest=longest)) == [answer]
    tight = len(model.prompt(samples()[0][0].prompt)) + needed
    for context, answer in ((tight, samples()[0][1]), (tight - 1, None), (2, None)):
        model.context = context
        assert generate(model, asks(model, [0])) == [answer]


def several_sentences() -> tuple[int, str]:
    """The number of a sample with some sentences, and what it says."""
    return next((number, text) for number, (_, text) in enumerate(samples()) if text.count(". ") > 5)


def test_an_answer_that_a_rule_bends_goes_back_to_the_end_of_a_sentence() -> None:
    """A model that begins now and then a sentence about what the brief does not have, or ends too soon."""
    number, text = several_sentences()
    brief = samples()[number][0].prompt
    first, rest = text.split(". ", 1)
    astray = (text, f"{first}. The answer is {{death.date}} and {rest}", f"{first}.")
    model = either(*(by_heart({brief: words}) for words in astray))

    def said(returns: int) -> list[str | None]:
        wanted = [ask for seed in range(40) for ask in asks(model, [number], seed)]
        return generate(model, wanted, Sampling(1.0, 1.0, 3.0, returns), rows=9)

    assert 5 < said(0).count(text) < 35 and set(said(0)) == {text, None}
    assert said(30) == [text] * 40


def test_an_answer_that_ends_too_soon_goes_back_to_what_it_passed_by() -> None:
    """It leaves a placeholder out early, and says the sentences behind again once it has said that one."""
    number, text = several_sentences()
    brief, sentences = samples()[number][0].prompt, text.split(". ")
    skipping = ". ".join([sentences[0], *sentences[2:]])
    assert len(_PLACE.findall(skipping)) < len(_PLACE.findall(text))
    model = either(by_heart({brief: text}), by_heart({brief: skipping}))
    lengths = recorded(model)
    for seed in range(12):
        assert generate(model, asks(model, [number], seed), Sampling(1.0, 1.0, 3.0, 30)) == [text]
    back = [before - after for before, after in zip(lengths, lengths[1:], strict=False) if after < before]
    assert max(back) > len(own_tokens().answer(". ".join(sentences[2:]))) / 2


def test_an_answer_that_is_bent_too_often_is_given_up() -> None:
    number, text = several_sentences()
    brief = samples()[number][0].prompt
    for returns in (0, 5):
        model = by_heart({brief: text.split(". ")[0] + "."})
        lengths = recorded(model)
        assert generate(model, asks(model, [number]), Sampling(0.8, 0.95, 6.0, returns)) == [None]
        assert len(lengths) <= len(own_tokens().answer(text)) * (returns + 1)
    whole = by_heart({brief: text})
    assert generate(whole, asks(whole, [number]), Sampling(0.8, 0.95, 0.0)) == [text]


def recorded(model: Told) -> list[int]:
    """The length of a model's first row at each step, as it goes."""
    lengths: list[int] = []
    told = model.logits

    def noting(rows: Sequence[tuple[int, ...]]) -> np.ndarray:
        lengths.append(len(rows[0]))
        return told(rows)

    model.logits = noting  # type: ignore[method-assign]
    return lengths


def test_rules_go_back() -> None:
    of, tokens = vocabulary(), own_tokens()
    asked, text = samples()[0]
    rules = ruled(of, asked.places)
    begun = rules.forbidden.copy()
    seen = []
    for token in tokens.answer(text)[:-1]:
        if rules.after(np.array([token]))[0]:
            seen.append((rules.state(0), rules.forbidden.copy()))
    assert len(seen) > 2
    for state, forbidden in seen:
        rules.go_back(0, state)
        assert np.array_equal(rules.forbidden, forbidden)
    rules.go_back(0, State(frozenset(asked.places)), first=True)
    assert np.array_equal(rules.forbidden, begun)


def test_nothing_asked_nothing_said() -> None:
    assert generate(at_random(vocabulary()), []) == []


def test_a_model_that_computes_no_numbers_is_told_of() -> None:
    model = Told(lambda row: np.full(vocabulary().size, np.nan, dtype=np.float32), vocabulary(), own_tokens())
    with pytest.raises(InputError, match="weights are damaged"):
        generate(model, asks(model, [0]))


# ---- drawing


def frequencies(logits: list[float], sampling: Sampling, times: int = 4000) -> np.ndarray:
    """How often each token is drawn."""
    rows = np.tile(np.array(logits, dtype=np.float32), (times, 1))
    draws = (np.arange(times) + 0.5) / times
    bold = (np.full(times, bold) for bold in sampling[:2])
    tokens, _ = drawn(rows, np.zeros_like(rows, dtype=bool), draws, *bold)
    return np.bincount(tokens, minlength=len(logits)) / times


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    shares = np.array([0.1, 0.4, 0.2, 0.3])
    assert np.abs(frequencies(np.log(shares).tolist(), Sampling(1.0, 1.0)) - shares).max() < 0.001
    bolder = shares**0.5 / (shares**0.5).sum()
    assert np.abs(frequencies(np.log(shares).tolist(), Sampling(2.0, 1.0)) - bolder).max() < 0.001


def test_the_unlikely_are_cut_off() -> None:
    shares = np.array([0.1, 0.4, 0.2, 0.3])
    wanted = np.array([0, 4, 0, 3]) / 7
    assert np.abs(frequencies(np.log(shares).tolist(), Sampling(1.0, 0.65)) - wanted).max() < 0.001
    assert frequencies(np.log(shares).tolist(), Sampling(1.0, 0.0)).tolist() == [0, 1, 0, 0]
    assert frequencies(np.log(shares).tolist(), Sampling(0.0)).tolist() == [0, 1, 0, 0]


def test_what_is_forbidden_is_not_drawn() -> None:
    logits = np.zeros((2, 100), dtype=np.float32)
    forbidden = np.ones((2, 100), dtype=bool)
    forbidden[0, 42] = False
    for temperature in (0.8, 0.0):
        bold = np.full(2, temperature), np.full(2, 0.95)
        assert drawn(logits.copy(), forbidden, np.array([0.99, 0.99]), *bold)[0].tolist() == [42, -1]


def test_each_row_is_drawn_as_boldly_as_it_is_asked_for() -> None:
    """The likeliest of one, any of another's two, one of a third's four."""
    logits = np.tile(np.log([0.1, 0.4, 0.2, 0.3]), (3, 1)).astype(np.float32)
    bold = np.array([0.0, 1.0, 1.0]), np.array([1.0, 0.65, 1.0])
    found = [drawn(logits.copy(), np.zeros((3, 4), dtype=bool), np.full(3, at), *bold)[0] for at in (0.0, 0.5, 0.95)]
    assert [set(row) for row in np.array(found).T.tolist()] == [{1}, {1, 3}, {1, 3, 0}]


# ---- letters


def test_letters_say_what_the_model_says_and_pass_the_check() -> None:
    answers, counted = phrasebook_answers(), Counter[str]()
    maker = ModelMaker(by_heart(answers))
    letters = maker.letters(stays(), Manner(writer="lm"), counted)
    assert all(letter is not None for letter in letters)
    told = [write(stay, 1) for stay in stays()]
    alike = 0  # of two stays with one brief the model has learnt the words of one
    for letter, expected in zip(letters, told, strict=True):
        assert letter is not None
        of_another = {
            asked.section for asked, text in briefs(letter.stay, letter.voice, 1) if answers[asked.prompt] != text
        }
        alike += len(of_another)
        for section, other in zip(letter.sections, expected.sections, strict=True):
            assert section.text == other.text or section.key in of_another
        assert check_letter(letter.stay, letter.sections) == []
        assert {section.writer for section in letter.sections} == {"lm", "fixed"}
        for section in letter.sections:
            assert all(section.text[span.start : span.end] == span.surface for span in section.spans)
    assert alike < 5
    assert counted["sections"] == counted["drafts"] == counted["first_draft"] >= 4 * len(stays()) - 5
    assert not counted["rejected"] + counted["fallback"] + counted["letters_fallback"]
    assert any(section.marks for letter in letters if letter for section in letter.sections)


@pytest.mark.parametrize("wrong", ["She has a brain tumour.", "[He] took {dx} {dx}"])
def test_a_draft_that_is_wrong_is_written_again_and_then_by_the_phrasebook(wrong: str) -> None:
    maker, counted = ModelMaker(by_heart(dict.fromkeys(phrasebook_answers(), wrong))), Counter[str]()
    letters = maker.letters(stays()[:8], Manner(writer="lm"), counted)
    expected = [write(stay, 1).sections for stay in stays()[:8]]
    assert [letter.sections for letter in letters if letter] == expected
    assert counted["fallback"] == counted["sections"] == counted["drafts"] // 3 == counted["rejected"] // 3
    assert not counted["first_draft"] + counted["after_retries"]


def torn() -> Told:
    """A model that says the right thing or a wrong one, as it is drawn."""
    wrong = {brief: f"She has a brain tumour. {text}" for brief, text in phrasebook_answers().items()}
    return either(by_heart(phrasebook_answers()), by_heart(wrong))


def test_a_later_draft_may_be_sound() -> None:
    counted = Counter[str]()
    ModelMaker(torn()).letters(stays()[:12], Manner(writer="lm"), counted)
    assert counted["first_draft"] and counted["after_retries"]
    assert counted["sections"] == counted["first_draft"] + counted["after_retries"] + counted["fallback"]
    assert counted["drafts"] == counted["rejected"] + counted["first_draft"] + counted["after_retries"]


def test_letters_do_not_depend_on_the_stays_beside_them() -> None:
    counted = Counter[str]()
    maker, manner = ModelMaker(torn(), rows=5), Manner(writer="lm")
    together = maker.letters(stays()[:6], manner, counted)
    assert counted["first_draft"] and counted["rejected"]
    alone = [maker.letters([stay], manner, Counter())[0] for stay in stays()[:6]]
    assert together == alone


def test_what_cannot_be_briefed_is_written_by_the_phrasebook() -> None:
    of = vocabulary()
    wordless = Vocabulary(["" if "started" in text else text for text in of.surfaces], of.end)
    model = by_heart(phrasebook_answers())
    model.vocabulary = wordless
    counted = Counter[str]()
    letters = ModelMaker(model).letters(stays(), Manner(writer="lm"), counted)
    writers = Counter(section.writer for letter in letters if letter for section in letter.sections)
    assert counted["unbriefed"] == writers["phrasebook"] > 0
    assert writers["lm"] == counted["sections"]


def test_the_voice_is_the_one_asked_for() -> None:
    maker = ModelMaker(by_heart({}))
    [letter] = maker.letters(stays()[:1], Manner(writer="lm", voice="surgeon"), Counter())
    assert letter is not None and letter.voice == "surgeon"
    with pytest.raises(InputError, match="no voice is called 'loud'"):
        maker.letters(stays()[:1], Manner(writer="lm", voice="loud"), Counter())


def test_the_model_is_a_maker() -> None:
    made, counted = make(stays()[:3], Manner(writer="lm"), ModelMaker(by_heart(phrasebook_answers())))
    assert [one.letter is not None for one in made] == [True] * 3
    assert counted["letters"] == 3 and counted["first_draft"] > 6
    assert ModelMaker(by_heart({})).identity() == {"writer": "lm", "model": "told", "revision": "1", "engine": "none"}


def test_abbreviations_are_the_phrasebooks() -> None:
    assert ("blood pressure", "BP") in abbreviations()
    lengths = [len(clean) for clean, _ in abbreviations()]
    assert lengths == sorted(lengths, reverse=True)
