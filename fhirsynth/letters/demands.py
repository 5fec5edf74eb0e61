"""What a sentence asks of a stay and its facts, and what a stay has to offer to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from fhirsynth.letters.facts import Fact

#: What every stay offers, so that each pattern needs something.
_ALWAYS = ""


class Test(NamedTuple):
    """Tags that a fact must have, and must not."""

    having: frozenset[str]
    lacking: frozenset[str]

    def passes(self, tags: frozenset[str]) -> bool:
        return self.having <= tags and not self.lacking & tags


class Ask(NamedTuple):
    """The slots of a kind that a pattern names, and what the fact (or each of several) must be tagged."""

    kind: str
    slots: frozenset[str]
    test: Test | None


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """What a pattern asks of the facts that it names: of one fact of a kind (`takes`) or of all of a kind (`lists`).

    Patterns that ask the same share one, so that what has been found for one of them holds for all.
    """

    takes: tuple[Ask, ...]
    lists: tuple[Ask, ...]
    #: Kinds of which it names facts.
    kinds: frozenset[str]
    #: Slots beside the main one that it names of kinds with several facts, with the kind.
    beside: tuple[tuple[str, str], ...]


def asks(slots: Mapping[str, Iterable[str]], tests: Mapping[str, Test]) -> tuple[Ask, ...]:
    """Asks from slots by kind, with the tests of these kinds."""
    return tuple(Ask(kind, frozenset(named), tests.get(kind)) for kind, named in slots.items())


@cache
def demanded(takes: tuple[Ask, ...], lists: tuple[Ask, ...], single: frozenset[str]) -> Demand:
    """The one demand for these; `single`: kinds of which a stay has one fact at most."""
    beside = ((ask.kind, slot) for ask in takes if ask.kind not in single for slot in ask.slots if slot)
    return Demand(takes, lists, frozenset(ask.kind for ask in (*takes, *lists)), tuple(beside))


def needed(tags: Iterable[str], demand: Demand) -> frozenset[str]:
    """What must be `offered` at least to a pattern that asks for these tags of the stay, and this of its facts."""
    found = {_ALWAYS, *tags}
    for kind, slots, test in (*demand.takes, *demand.lists):
        found.update(f"{kind}.{slot}" for slot in slots)
        found.update(f"{kind}:{tag}" for tag in (test.having if test is not None else ()))
    return frozenset(found)


def offered(tags: Iterable[str], facts: Iterable[Fact]) -> frozenset[str]:
    """What a stay offers to patterns: its tags, and `kind.slot` and `kind:tag` of its facts."""
    found = {_ALWAYS, *tags}
    for fact in facts:
        found.update([f"{fact.kind}.{slot}" for slot in fact.values])
        found.update([f"{fact.kind}:{tag}" for tag in fact.tags])
    return frozenset(found)
