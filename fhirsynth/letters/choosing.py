"""Which patterns of the phrasebook a narrative section takes, and which facts each of them says.

A section says each of its facts once. Its parts stand in order; in each, patterns are drawn whose facts are there and
not yet said, those that fit the illness best more often. Facts that the section must say and that no pattern of a
part took get one from any part at the end.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from fhirsynth.letters.demands import Ask, Demand
from fhirsynth.letters.facts import Fact, Stay
from fhirsynth.letters.phrases import SINGLE, Pattern, Shelf
from fhirsynth.letters.plan import Part, Planned

Bound = Mapping[str, Sequence[Fact]]
Chosen = list[tuple[Part, list[tuple[Pattern, Bound]]]]

#: Slots that may be said again, by kind: a name, which only points at the person.
_AGAIN = {"patient": frozenset({"short"})}
_NONE: frozenset[str] = frozenset()
#: Of a test that changed, how often its course is told rather than its first value.
_TREND_SHARE = 0.65
#: Of kinds with several facts left, how much more a list is liked than one by one, and less where there is one.
_LIST, _LIST_OF_ONE, _ONE_BY_ONE = 6.0, 0.4, 0.25
#: How many facts a list names at most: longer ones are for the table of medicines.
_LONGEST = {"continued": 5, "started": 5}
#: Values that are no news by themselves: most people go home.
_DULL = frozenset({"home", "on air"})
#: How much less a pattern is liked that begins like one just before, or tells again what a medicine is for.
_SAME_OPENING, _ECHO = 0.15, 0.05
#: How much more where it says what its part is for.
_WANTED = 6.0
#: Kinds that a section rather tells as a list than one by one.
_LISTED = frozenset({"pmh", "secondary", "given", "continued", "normal"})
#: What is told first within a part: tests, then procedures, medicines, how the patient left. Others as they came.
_ORDER = {
    **dict.fromkeys(("result", "trend", "normal"), 1),
    "proc": 2,
    **dict.fromkeys(("given", "started", "stopped", "changed", "continued"), 3),
    "secondary": 4,
    "obsend": 5,
    "discharge": 6,
}
#: Kinds that are told together: "also" after one of a family may be about another.
_FAMILIES = {
    **dict.fromkeys(("result", "trend", "normal"), "tests"),
    **dict.fromkeys(("given", "started", "stopped", "changed", "continued"), "medicines"),
    **dict.fromkeys(("followup", "referral"), "arranged"),
    "proc": "procedures",
    "allergy": "allergies",
}


class _Offer(NamedTuple):
    """What patterns of one demand would say now.

    `news`: how much of it is new; `must`: whether the section must say it; `gain` and `liked`: how it is liked, and
    factors of that; `beside`: values of slots beside the main one (what a medicine is for), perhaps told before.
    """

    bound: Bound
    news: float
    gain: float
    must: bool
    liked: tuple[float, ...]
    beside: Sequence[str]


class Choice:
    """The patterns of one section while they are chosen."""

    def __init__(self, stay: Stay, planned: Planned, rng: random.Random, own: frozenset[str]) -> None:
        """`own`: what the stay and the facts planned offer to patterns (see `demands.offered`)."""
        self.stay, self.heading, self.must, self.rng, self.own = stay, planned.heading, planned.must, rng, own
        self.facts: dict[str, list[Fact]] = {}
        for fact in planned.facts:
            self.facts.setdefault(fact.kind, []).append(fact)
        self._must_kinds = {fact.kind for fact in planned.facts if fact.id in planned.must}
        self.said: set[str] = set()  # ids of facts said, of kinds with several
        self.slots: dict[str, frozenset[str]] = {}  # slots said, of kinds with one
        self.counts: dict[str, int] = {}
        self.used: set[str] = set()
        self.told: set[str] = set()  # main values of the facts said
        if "maternity" in stay.tags:  # a medicine is not "for" a birth
            self.told.update(fact.text for fact in stay.of("dx"))
        self.openings: tuple[str, ...] = ()
        #: What has been worked out for demands, until something of their kinds is said.
        self._offers: dict[Demand, _Offer | None] = {}
        self._one_of_each_test()

    def _one_of_each_test(self) -> None:
        """Of a test that changed, tell either its course or its first value."""
        results = {which_test(fact): fact for fact in self.facts.get("result", ())}
        for trend in self.facts.get("trend", ()):
            result = results.get(which_test(trend))
            if result is not None:
                self.said.add(result.id if self.rng.random() < _TREND_SHARE else trend.id)

    def made(self, shelf: Shelf) -> Chosen:
        """The parts of the section in order, with the patterns chosen for each and the facts they say."""
        parts = shelf.fitting(self.own)
        fitting = {part.name: [p for p in parts.get(part.name, ()) if self._fits(p)] for part in self.heading.parts}
        chosen: Chosen = [(part, []) for part in self.heading.parts]
        for part, patterns in sorted(chosen, key=lambda item: not item[0].first):
            if not part.alone or not any(others for _, others in chosen):
                patterns += self._part(part, fitting[part.name])
        self._rest(chosen, fitting)
        for _, patterns in chosen:
            patterns.sort(key=lambda item: max((_ORDER.get(kind, 0) for kind in item[0].demand.kinds), default=0))
        return chosen

    def _fits(self, pattern: Pattern) -> bool:
        """Whether the stay passes a pattern's tests of facts that it does not name."""
        return not pattern.others or all(
            test.passes(frozenset().union(*(fact.tags for fact in self.facts.get(kind, ()))))
            for kind, test in pattern.others
        )

    def _part(self, part: Part, patterns: Sequence[Pattern]) -> list[tuple[Pattern, Bound]]:
        """Patterns for one part: drawn until there is nothing new to say or it has its most."""
        chosen: list[tuple[Pattern, Bound]] = []
        left = patterns
        only_must = False  # nothing more for which there is a choice
        while left and len(chosen) < part.most:
            bare = part.bare and len(chosen) < max(part.least, 1)
            feasible = self._feasible(left, bare, only_must)
            if not feasible:
                break
            if part.names and not chosen:
                feasible = [option for option in feasible if option[0].introduces] or feasible
            pattern, offer = self.rng.choices(feasible, [self._weight(*option, part) for option in feasible])[0]
            needed = len(chosen) < part.least or offer.must
            if not needed and self.rng.random() >= part.share:
                only_must = True
                continue
            self._take(pattern, offer.bound)
            chosen.append((pattern, offer.bound))
            left = [other for other, _ in feasible if other is not pattern]
        return chosen

    def _rest(self, chosen: Chosen, fitting: Mapping[str, Sequence[Pattern]]) -> None:
        """Say what the section must say and has not said, wherever there is a pattern for it."""
        for fact in [fact for facts in self.facts.values() for fact in facts if fact.id in self.must]:
            if self.has_said(fact):
                continue
            for part, patterns in chosen:
                if part.alone:
                    continue
                options = [
                    (p, bound)
                    for p in fitting[part.name]
                    if fact.kind in p.demand.kinds
                    and (not p.continues or self._goes_on(p.demand))
                    and (bound := self._bound(p.demand, fact)) is not None
                ]
                fresh = [option for option in options if option[0].where not in self.used] or options
                if fresh:
                    pattern, bound = self.rng.choice(fresh)
                    self._take(pattern, bound)
                    patterns.append((pattern, bound))
                    break
        if any(patterns for part, patterns in chosen if not part.alone):
            for part, patterns in chosen:
                if part.alone:
                    patterns.clear()

    def has_said(self, fact: Fact) -> bool:
        """Whether the section tells a fact, or another in the same words."""
        return fact.kind in self.slots if fact.kind in SINGLE else fact.id in self.said

    # ---- what a pattern would say

    def _feasible(self, patterns: Iterable[Pattern], bare: bool, only_must: bool) -> list[tuple[Pattern, _Offer]]:
        """The patterns that can be used now, in order, with what they would say.

        `bare`: also those that say nothing new; `only_must`: none but those that say what the section must.
        """
        offers, found = self._offers, []
        for pattern in patterns:
            demand = pattern.demand
            if demand not in offers:
                offers[demand] = self._offer(demand)
            offer = offers[demand]
            if offer is None or not (offer.news or bare) or (only_must and not offer.must):
                continue
            if not pattern.continues or self._goes_on(demand):
                found.append((pattern, offer))
        return found

    def _offer(self, demand: Demand) -> _Offer | None:
        """What the patterns of a demand would say, or None where there is nothing for it."""
        bound = self._bound(demand)
        if bound is None:
            return None
        must = not demand.kinds.isdisjoint(self._must_kinds) and any(
            fact.id in self.must and not self.has_said(fact) for facts in bound.values() for fact in facts
        )
        beside = [bound[kind][0].values[slot].text for kind, slot in demand.beside] if demand.beside else ()
        news = self._news(demand, bound)
        return _Offer(bound, news, 0.6 + min(news, 3.0), must, self._liked(demand, bound), beside)

    def _goes_on(self, demand: Demand) -> bool:
        """Whether something has been told that a pattern with "also" or "another" can go on from."""
        families = {family for kind in demand.kinds if (family := _FAMILIES.get(kind))}
        return not families or any(_FAMILIES.get(kind) in families for kind in self.counts)

    def _bound(self, demand: Demand, wanted: Fact | None = None) -> Bound | None:
        """The facts that a demand is met by (with `wanted` where it is of a kind asked for), None where it is not."""
        bound: dict[str, Sequence[Fact]] = {}
        for ask in demand.takes:
            found = self._single(ask) if ask.kind in SINGLE else self._next(ask, wanted)
            if found is None:
                return None
            bound[ask.kind] = (found,)
        for ask in demand.lists:
            listed = self._all(ask)
            if not listed:
                return None
            bound[ask.kind] = listed
        return bound

    def _single(self, ask: Ask) -> Fact | None:
        """The fact of a kind with one, where it has what is asked for and that is not said."""
        kind, slots, test = ask
        fact = self.facts[kind][0]
        said = self.slots.get(kind)
        if said and not said.isdisjoint(slots):
            return None
        if not slots <= fact.values.keys():
            return None
        return fact if test is None or test.passes(fact.tags) else None

    def _next(self, ask: Ask, wanted: Fact | None) -> Fact | None:
        """The first fact of a kind that is not said and has what is asked for."""
        kind, slots, test = ask
        asked = wanted is not None and wanted.kind == kind
        if not asked and self.counts.get(kind, 0) >= self.heading.most.get(kind, 99):
            return None
        for fact in self.facts[kind]:
            if fact.id in self.said or (asked and fact is not wanted):
                continue
            if (test is None or test.passes(fact.tags)) and slots <= fact.values.keys():
                if kind == "followup" and "date" not in slots and self._has_twin(fact):
                    continue
                return fact
        return None

    def _has_twin(self, fact: Fact) -> bool:
        """Whether another fact of the kind has the same name and only its date tells the two apart."""
        return any(other.text == fact.text and _words(other) != _words(fact) for other in self.facts[fact.kind])

    def _all(self, ask: Ask) -> list[Fact]:
        """All facts of a kind, where none has been said and each has what is asked for; otherwise none."""
        kind, slots, test = ask
        facts = self.facts[kind]
        if self.heading.most.get(kind, 99) == 0 or len(facts) > _LONGEST.get(kind, 99):
            return []
        for fact in facts:
            if fact.id in self.said or not slots <= fact.values.keys():
                return []
            if test is not None and not test.passes(fact.tags):
                return []
        if len({fact.text for fact in facts}) < len({_words(fact) for fact in facts}):
            return []  # a list would tell two appointments as one
        return facts

    def _news(self, demand: Demand, bound: Bound) -> float:
        """How much a pattern says that is new: of what is bound nothing has been said, but some goes without saying."""
        news = 0.0
        for kind, slots, _ in demand.takes:
            if kind not in SINGLE:
                news += 1.0
            elif kind != "patient":
                values = bound[kind][0].values
                news += 0.5 * len([slot for slot in slots if values[slot].text not in _DULL])
            else:
                news += 0.3 * len(slots & {"", "aged", "age"})
        return news + sum(len(bound[ask.kind]) for ask in demand.lists)

    # ---- how a pattern is liked

    def _liked(self, demand: Demand, bound: Bound) -> tuple[float, ...]:
        """How lists are liked, and facts told one by one, as factors."""
        if not demand.lists and demand.kinds.isdisjoint(_LISTED):
            return ()
        factors = [_LIST if len(bound[ask.kind]) > 1 else _LIST_OF_ONE for ask in demand.lists]
        for kind, _, _ in demand.takes:
            if kind in _LISTED and sum(fact.id not in self.said for fact in self.facts[kind]) > 1:
                factors.append(_ONE_BY_ONE)
        return tuple(factors)

    def _weight(self, pattern: Pattern, offer: _Offer, part: Part) -> float:
        """How much a pattern is liked here: particular, saying several things, and not beginning like the last."""
        weight = (1.0 + pattern.particular) * offer.gain
        for factor in offer.liked:
            weight *= factor
        if part.wants and not pattern.demand.kinds.isdisjoint(part.wants):
            weight *= _WANTED
        if pattern.opening in self.openings:
            weight *= _SAME_OPENING
        if offer.beside and not self.told.isdisjoint(offer.beside):
            weight *= _ECHO
        return weight

    # ---- what has been said

    def _take(self, pattern: Pattern, bound: Bound) -> None:
        """Count a pattern's facts as said; so are others that would read the same."""
        demand = pattern.demand
        self.used.add(pattern.where)
        self.openings = (*self.openings[-1:], pattern.opening)
        changed = set(demand.kinds)
        for kind, slots, _ in demand.takes:
            if kind in SINGLE:
                once = slots - _AGAIN.get(kind, _NONE)
                if not once and kind not in self._must_kinds:
                    changed.discard(kind)
                self.slots[kind] = self.slots.get(kind, _NONE) | once
                if kind == "dx":
                    self.told.add(bound[kind][0].text)
            else:
                self._count(kind, bound[kind])
        for ask in demand.lists:
            self._count(ask.kind, bound[ask.kind])
        self._offers = {of: offer for of, offer in self._offers.items() if of.kinds.isdisjoint(changed)}

    def _count(self, kind: str, facts: Sequence[Fact]) -> None:
        self.told.update(fact.text for fact in facts)
        same = {_words(fact) for fact in facts}
        self.said.update(fact.id for fact in self.facts[kind] if _words(fact) in same)
        self.counts[kind] = self.counts.get(kind, 0) + len(same)


def _words(fact: Fact) -> tuple[str, ...]:
    """What tells a fact from another of its kind: its name, and when for what is yet to come."""
    return fact.text, fact.values["date"].text if fact.kind == "followup" and "date" in fact.values else ""


def which_test(fact: Fact) -> str:
    """The test that a result or a trend is of."""
    return next((tag for tag in fact.tags if tag.startswith("test:")), fact.id)
