"""The reader's quick looks find what a search at every place would find: words, sentences, quantities, forms."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_stays import fact, stay

from fhirsynth.letters.check import check_section
from fhirsynth.letters.check import quantities as of
from fhirsynth.letters.check.tokens import all_forms, sentences, words

#: Pieces that quantities, and what only looks like them, are put together from.
PIECES = (
    *("one", "two ", "OD", "bd", "'s", "'", "’", "-", "(", ")", "0", "161", " ", "3", "March", "2024", ".", ",", "/"),
    *("12", "mg", "days", "old", "year", "aged ", "At ", "is ", "was ", "man", ", ", "and", "times", "a", "day", "x"),
    *("half", "tablet", "every ", "Mrs ", "Smith", "%", "\n", "; ", "°C", "²", "١", "_", ":", "am", "more ", "-5"),
    *("Tuesday ", "once", "half a ", "120/80", " mmHg", "x10^9/L", "999", "years", "weeks old", "daily", "(0161) 496 "),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=16).map("".join)


@settings(max_examples=500)
@given(TEXTS)
def test_quantities_are_those_of_a_look_at_every_character(text: str) -> None:
    expected, at = [], 0
    while at < len(text):
        match = of._SAID.match(text, at) or of._WRITTEN.match(text, at)
        if match is not None:
            expected.append(match.span())
        at = match.end() if match is not None else at + 1
    found = of.quantities(text)
    assert [quantity.end for quantity in found] == [end for _, end in expected]
    assert all(start <= quantity.start for quantity, (start, _) in zip(found, expected, strict=True))
    assert of.quantities(text, words(text)) == found


@given(TEXTS)
def test_words_stand_where_they_say_and_leave_no_letter_or_figure_out(text: str) -> None:
    said = words(text)
    assert [text[word.start : word.end] for word in said] == [word.text for word in said] == said.texts
    assert [(word.start, word.form) for word in said] == list(zip(said.starts, said.forms, strict=True))
    between = [text[a:b] for a, b in zip([0, *(w.end for w in said)], [*said.starts, len(text)], strict=True)]
    assert not any(re.search(r"[^\W_²]", gap) for gap in between)


@given(st.lists(st.sampled_from((*PIECES, "?", "! ", " \n", "\n\n", "“", "A")), max_size=16).map("".join))
def test_sentences_end_at_stops_before_capitals_and_at_lines(text: str) -> None:
    ends = re.finditer(r"(?<=[.!?])\s+(?=[A-Z\d(\"“])|\n+", text)
    assert sentences(text).starts == [0, *(end.end() for end in ends if end.end() < len(text))]


def test_the_parts_of_a_word_with_an_apostrophe_are_forms_of_a_text_too() -> None:
    assert all_forms(words("He’ll see d'Souza's sons").forms) >= {"he'll", "he", "see", "d'souza", "souza", "son"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("He'll be seen in clinic.", "sex"),
        ("HER sodium: he’d been well.", "sex"),
        ("She should keep off amoxicillin.", ""),
        ("She came out in a rash on exposure to amoxicillin.", ""),
        ("She was given amoxicillin.", "unsupported-medicine"),
        ("No known allergies. Right-sided weakness.", "unsupported-side"),
        ("Seen by Dr d'Nobody.", ""),
        ("Seen by Dr Nobody.", "name"),
        ("Discharged on 9 March 2026.", "unsupported-date"),
    ],
)
def test_what_a_quick_look_lets_by_is_looked_at_closely(text: str, rule: str) -> None:
    of_a_woman = stay(
        fact("allergy", "penicillin", reaction="eruption of skin"), fact("discharge", "", date="12 March 2026")
    )
    found = {problem.rule for problem in check_section(of_a_woman, "", text)}
    assert (rule in found) if rule else not found & {"unsupported-medicine", "name"}, found
