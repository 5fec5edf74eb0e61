"""Which patterns come into question for a stay: none is passed over that could be said, and the same is asked once."""

from __future__ import annotations

from functools import cache

import pytest

from fhirsynth import Population, knowledge
from fhirsynth.letters import phrases, stays
from fhirsynth.letters.demands import Ask, needed, offered
from fhirsynth.letters.facts import Fact, Stay
from fhirsynth.letters.phrases import Pattern
from fhirsynth.record.record import PLACES


@cache
def some_stays() -> tuple[Stay, ...]:
    record = Population(n=60, seed=5).record()
    reader = stays.Reader(knowledge.load(), {name: record[name] for name in PLACES})
    return tuple(stay for person, rows in record.by_person() for stay in reader.stays(person, rows))


def meets(fact: Fact, ask: Ask) -> bool:
    return fact.kind == ask.kind and ask.slots <= set(fact.values) and (ask.test is None or ask.test.passes(fact.tags))


def can_be_said(pattern: Pattern, stay: Stay) -> bool:
    """Whether the stay passes a pattern's terms and has a fact for each of its places."""
    asks = (*pattern.demand.takes, *pattern.demand.lists)
    return pattern.stay.passes(stay.tags) and all(any(meets(fact, ask) for fact in stay.facts) for ask in asks)


@pytest.mark.parametrize("voice", phrases.VOICES)
def test_a_shelf_passes_over_no_pattern_that_could_be_said(voice: str) -> None:
    book, said = phrases.load(), 0
    for stay in some_stays():
        own = offered(stay.tags, stay.facts)
        for section, parts in phrases.PARTS.items():
            shelf = book.shelf(section, voice)
            fitting = shelf.fitting(own)
            assert fitting.keys() <= set(parts)
            for part in parts:
                here = fitting.get(part, [])
                wheres = [pattern.where for pattern in here]
                every = [p for p in book.patterns if (p.section, p.part) == (section, part) and voice in p.voices]
                assert [p.where for p in every if p.where in wheres] == wheres  # in the book's order
                assert all(p.stay.passes(stay.tags) and p.needs <= own for p in here)
                assert {p.where for p in every if can_be_said(p, stay)} <= set(wheres)
                said += len(here)
    assert said > 1000


def test_patterns_that_ask_the_same_share_one_demand() -> None:
    by_content: dict[object, object] = {}
    for pattern in phrases.load().patterns:
        demand = pattern.demand
        assert by_content.setdefault((demand.takes, demand.lists), demand) is demand
        assert demand.kinds == {ask.kind for ask in (*demand.takes, *demand.lists)}
        assert pattern.needs == needed(pattern.stay.having, demand)
    assert len(by_content) < len(phrases.load().patterns) / 1.5


def test_a_section_or_voice_without_patterns_has_an_empty_shelf() -> None:
    book = phrases.book_of(())
    assert book.shelf("plan", "terse").fitting(offered((), ())) == {}
    assert book.of("plan", "none", "terse") == ()
