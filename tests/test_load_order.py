"""The order in which resources go to a server that refuses a reference to what is not there."""

from __future__ import annotations

from typing import Any

import pytest

from fhirsynth import Population
from fhirsynth.loading import order
from fhirsynth.loading.entries import Entry, entry, parse, references, transaction, written


def made(**links: str) -> list[Entry]:
    """Resources `X/<name>`, each with references to those that are named."""
    return [
        entry({"resourceType": "X", "id": name, "to": [{"reference": f"X/{other}"} for other in others.split()]})
        for name, others in links.items()
    ]


def names(entries: list[Entry]) -> str:
    return " ".join(found.key.removeprefix("X/") for found in entries)


@pytest.fixture(scope="module")
def people() -> list[list[Entry]]:
    """People of all ages: stays and their diagnoses refer to one another."""
    bundles = Population(n=12, seed=5).people()
    return [[entry(item["resource"]) for item in bundle["entry"]] for bundle in bundles]


@pytest.mark.parametrize("most", [1, 7, 60, 500])
def test_pieces_refer_to_nothing_that_comes_later(people: list[list[Entry]], most: int) -> None:
    for entries in people:
        own = {found.key for found in entries}
        pieces = order.pieces(entries, most)
        there: set[str] = set()
        for piece in pieces:
            there |= {found.key for found in piece}
            for found in piece:
                assert set(references(found.resource)) & own <= there
            assert len(piece) <= most or len(order.groups(piece)) == 1
        assert sorted(found.key for piece in pieces for found in piece) == sorted(own)
        if len(entries) > most:
            assert len(pieces) < len(entries) / most * 2 + 1


def test_who_fits_into_one_request_stays_as_it_is(people: list[list[Entry]]) -> None:
    assert order.pieces(people[0], len(people[0])) == [people[0]]


def test_rings_stay_together(people: list[list[Entry]]) -> None:
    assert [names(group) for group in order.groups(made(a="b d", b="c", c="b", d=""))] == ["b c", "d", "a"]
    assert [names(group) for group in order.groups(made(a="a", b="elsewhere"))] == ["a", "b"]
    long = made(**{f"n{number}": f"n{number + 1}" for number in range(20_000)})
    assert len(order.groups(long)) == 20_000  # no recursion
    rings = [group for entries in people for group in order.groups(entries) if len(group) > 1]
    assert rings
    assert all({found.kind for found in group} == {"Encounter", "Condition"} for group in rings)


def test_halves_are_never_empty() -> None:
    for sizes in ([1, 1], [5, 1], [1, 5], [1, 1, 1, 9], [3, 3, 3, 3]):
        groups = [made(**{f"x{place}n{number}": "" for number in range(size)}) for place, size in enumerate(sizes)]
        first, second = order.halves(groups)
        assert first and second
        assert len(first) + len(second) == sum(sizes)


def test_one_by_one_nothing_refers_to_what_is_not_there(people: list[list[Entry]]) -> None:
    for entries in people:
        own = {found.key: found.resource for found in entries}
        there: set[str] = set()
        whole: dict[str, Any] = {}
        for step in order.one_by_one(entries):
            there.add(step.entry.key)
            assert set(references(step.entry.resource)) & own.keys() <= there
            if step.is_whole:
                assert step.entry.key not in whole
                whole[step.entry.key] = step.entry.resource
            else:
                less = own[step.entry.key]
                assert step.entry.resource.items() <= less.items() or len(step.entry.resource) <= len(less)
                assert step.entry.resource["id"] == less["id"]
        assert whole == own


def test_what_refers_to_what_is_missing() -> None:
    entries = made(a="", b="a", c="b", d="x", e="")
    assert order.that_refer_to(["X/a"], entries) == {"X/b", "X/c"}
    assert order.that_refer_to(["X/x"], entries) == {"X/d"}
    assert order.that_refer_to(["X/y"], entries) == set()


def test_digits_of_numbers_are_kept() -> None:
    text = (
        b'{"resourceType":"X","id":"a","value":[70.50,1.0,0.10,12345678901234567890.12,-0.0,3,100000000000000000000]}'
    )
    assert written(parse(text)) == text
    assert b"70.50" in transaction([entry(parse(text))], "http://x/fhir")
    with pytest.raises(ValueError, match="NaN"):
        parse(b'{"a": NaN}')
