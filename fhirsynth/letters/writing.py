"""Letters from the phrasebook: which patterns a section takes, and the whole letter about a stay.

A section says each of its facts once. Its parts stand in order; in each, patterns are drawn whose facts are there and
not yet said, those that fit the illness best more often. Facts that the section must say and that no pattern of a
part took get one from any part at the end, or a bare line. The same stay, seed and voice give the same letter.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, overload

from fhirsynth.errors import InputError
from fhirsynth.letters.drafting import Draft
from fhirsynth.letters.facts import Fact, Stay
from fhirsynth.letters.letter import KINDS, Letter, Section
from fhirsynth.letters.phrases import SINGLE, VOICES, Pattern, Phrasebook, Piece, Place, Test, load
from fhirsynth.letters.plan import PATIENT_LETTER, Heading, Line, Part, Planned, heading_of, holds, plan

Bound = Mapping[str, Sequence[Fact]]
_Chosen = list[tuple[Part, list[tuple[Pattern, Bound]]]]

#: Slots that may be said again: a name, and what only points at the stay.
_AGAIN = frozenset({("patient", "short")})
_SURGICAL = frozenset(
    f"spec:{key}"
    for key in (
        *("general-surgery", "trauma-and-orthopaedics", "urology", "vascular-surgery", "ear-nose-and-throat"),
        *("ophthalmology", "gynaecology", "colorectal-surgery", "cardiothoracic-surgery", "neurosurgery"),
    )
)
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


class Outline(NamedTuple):
    """What is chosen for a section: patterns by part with the facts they say; `unsaid`: what it must say besides."""

    parts: tuple[tuple[Part, list[tuple[Pattern, Bound]]], ...]
    unsaid: tuple[Fact, ...]


def stream(seed: int, *names: str) -> random.Random:
    """Random numbers of their own for what the names name: the same on every machine and Python."""
    digest = hashlib.blake2b("\x1f".join((str(seed), *names)).encode(), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "big"))


def voice_of(stay: Stay, seed: int) -> str:
    """Whose manner the letters about a stay are written in: geriatricians for the old, surgeons after operations."""
    weights = {"terse": 2.0, "thorough": 2.0}
    if "older" in stay.tags or "spec:geriatric-medicine" in stay.tags:
        weights["geriatrician"] = 8.0 if "spec:geriatric-medicine" in stay.tags else 2.0
    if stay.tags & _SURGICAL or "operation" in stay.tags:
        weights["surgeon"] = 4.0
    return stream(seed, stay.note_id, "voice").choices(list(weights), list(weights.values()))[0]


@overload
def write(stay: Stay, seed: int, voice: str | None = None, kind: Literal["gp"] = "gp") -> Letter: ...
@overload
def write(stay: Stay, seed: int, voice: str | None = None, *, kind: Literal["patient"]) -> Letter | None: ...
@overload
def write(stay: Stay, seed: int, voice: str | None, kind: Literal["patient"]) -> Letter | None: ...


def write(stay: Stay, seed: int, voice: str | None = None, kind: str = "gp") -> Letter | None:
    """The letter about a stay to the GP, or in plain English to the patient (None where the patient died).

    Raises InputError for a voice or kind that there is not.
    """
    if voice is not None and voice not in VOICES:
        raise InputError(f"no voice is called {voice!r}: use one of {', '.join(VOICES)}")
    if kind not in KINDS:
        raise InputError(f"no kind of letter is called {kind!r}: use one of {', '.join(KINDS)}")
    voice = voice or voice_of(stay, seed)
    writer = PhrasebookWriter(load(), voice)
    planned = plan(stay, kind)
    if not planned:
        return None
    if kind == "patient":
        sections = writer.by_part(stay, planned[0], seed)
    else:
        sections = [writer.section(stay, item, seed) for item in planned]
    return Letter(stay.note_id, stay, tuple(section for section in sections if section.text), voice, kind)


class PhrasebookWriter:
    """Writes sections from patterns. Without a `voice`, each stay has its own (see `voice_of`)."""

    def __init__(self, book: Phrasebook, voice: str | None = None) -> None:
        self.book, self.voice = book, voice

    def write(self, stay: Stay, section: str, facts: Sequence[Fact], seed: int) -> Section:
        """A narrative section by its key, said with no other facts than these."""
        heading = heading_of(section)
        wanted = (f.id for f in facts for kind, tag in heading.must if f.kind == kind and (not tag or tag in f.tags))
        return self.section(stay, Planned(heading, tuple(facts), frozenset(wanted)), seed)

    def section(self, stay: Stay, planned: Planned, seed: int) -> Section:
        """A section as planned; its text is "" where there is nothing to say."""
        heading = planned.heading
        if heading.kind == "fixed":
            return _fixed(stay, planned)
        draft = Draft(heading.key, stay, heading.key == PATIENT_LETTER)
        outline = self.outline(stay, planned, seed)
        for part, patterns in outline.parts:
            if part.paragraph and patterns:
                draft.paragraph()
            for pattern, bound in patterns:
                draft.sentence(pattern, bound)
        bare_lines(draft, planned, outline.unsaid)
        return draft.section(heading.title, "phrasebook")

    def by_part(self, stay: Stay, planned: Planned, seed: int) -> list[Section]:
        """A section whose parts stand under headings of their own, as sections `<key>-<part>`."""
        sections = []
        for part, patterns in self.outline(stay, planned, seed).parts:
            draft = Draft(f"{planned.heading.key}-{part.name}", stay, planned.heading.key == PATIENT_LETTER)
            for pattern, bound in patterns:
                draft.sentence(pattern, bound)
            sections.append(draft.section(part.title, "phrasebook"))
        return sections

    def outline(self, stay: Stay, planned: Planned, seed: int) -> Outline:
        """What a narrative section says, part by part, and the patterns that would say it."""
        key, voice = planned.heading.key, self.voice or voice_of(stay, seed)
        choice = _Choice(stay, planned, stream(seed, stay.note_id, key, voice))
        made = choice.made({p.name: self.book.of(key, p.name, voice) for p in planned.heading.parts})
        unsaid = (fact for fact in planned.facts if fact.id in planned.must and not choice.has_said(fact))
        return Outline(tuple(made), tuple(unsaid))


def bare_lines(draft: Draft, planned: Planned, facts: Sequence[Fact]) -> None:
    """Put bare lines behind the prose for facts that no pattern could say."""
    _lines(draft, planned.heading, draft.stay, facts)


class _Choice:
    """The patterns of one section while they are chosen."""

    def __init__(self, stay: Stay, planned: Planned, rng: random.Random) -> None:
        self.stay, self.heading, self.must, self.rng = stay, planned.heading, planned.must, rng
        self.facts: dict[str, list[Fact]] = {}
        for fact in planned.facts:
            self.facts.setdefault(fact.kind, []).append(fact)
        self.said: set[str] = set()  # ids of facts said, of kinds with several
        self.slots: set[tuple[str, str]] = set()  # kind and slot said, of kinds with one
        self.counts: dict[str, int] = {}
        self.used: set[str] = set()
        self.told: set[str] = set()  # main values of the facts said
        if "maternity" in stay.tags:  # a medicine is not "for" a birth
            self.told.update(fact.text for fact in stay.of("dx"))
        self.openings: tuple[str, ...] = ()
        self._one_of_each_test()

    def _one_of_each_test(self) -> None:
        """Of a test that changed, tell either its course or its first value."""
        results = {_test(fact): fact for fact in self.facts.get("result", ())}
        for trend in self.facts.get("trend", ()):
            result = results.get(_test(trend))
            if result is not None:
                self.said.add(result.id if self.rng.random() < _TREND_SHARE else trend.id)

    def made(self, candidates: Mapping[str, Sequence[Pattern]]) -> _Chosen:
        """The parts of the section in order, with the patterns chosen for each and the facts they say."""
        tags, kinds = self.stay.tags, self.facts.keys()
        fitting = {
            name: [
                p
                for p in patterns
                if p.stay.having <= tags and p.kinds <= kinds and not p.stay.lacking & tags and self._fits(p)
            ]
            for name, patterns in candidates.items()
        }
        chosen: _Chosen = [(part, []) for part in self.heading.parts]
        for part, patterns in sorted(chosen, key=lambda item: not item[0].first):
            if not part.alone or not any(others for _, others in chosen):
                patterns += self._part(part, fitting[part.name])
        self._rest(chosen, fitting)
        for _, patterns in chosen:
            patterns.sort(key=lambda item: max((_ORDER.get(kind, 0) for kind in item[0].kinds), default=0))
        return chosen

    def _fits(self, pattern: Pattern) -> bool:
        """Whether the stay passes a pattern's tests of facts that it does not name."""
        return all(
            test.passes(frozenset().union(*(fact.tags for fact in self.facts.get(kind, ()))))
            for kind, test in pattern.others
        )

    def _part(self, part: Part, patterns: Sequence[Pattern]) -> list[tuple[Pattern, Bound]]:
        """Patterns for one part: drawn until there is nothing new to say or it has its most."""
        chosen: list[tuple[Pattern, Bound]] = []
        left = list(patterns)
        only_must = False  # nothing more for which there is a choice
        while left and len(chosen) < part.most:
            feasible: list[tuple[Pattern, Bound, float]] = []
            for pattern in left:
                bound = self._bound(pattern)
                if bound is None or (only_must and not self._says_a_must(bound)):
                    continue
                news = self._news(pattern, bound)
                if news or (part.bare and len(chosen) < max(part.least, 1)):
                    feasible.append((pattern, bound, self._weight(pattern, bound, news, part)))
            if not feasible:
                break
            if part.names and not chosen:
                feasible = [option for option in feasible if option[0].introduces] or feasible
            pattern, bound, _ = self.rng.choices(feasible, [weight for *_, weight in feasible])[0]
            needed = len(chosen) < part.least or self._says_a_must(bound)
            if not needed and self.rng.random() >= part.share:
                only_must = True
                continue
            self._take(pattern, bound)
            chosen.append((pattern, bound))
            left = [other for other, *_ in feasible if other is not pattern]
        return chosen

    def _says_a_must(self, bound: Bound) -> bool:
        """Whether one of these facts is among those that the section must say and has not said."""
        return any(fact.id in self.must and not self.has_said(fact) for facts in bound.values() for fact in facts)

    def _rest(self, chosen: _Chosen, fitting: Mapping[str, Sequence[Pattern]]) -> None:
        """Say what the section must say and has not said, wherever there is a pattern for it."""
        for fact in [fact for facts in self.facts.values() for fact in facts if fact.id in self.must]:
            if self.has_said(fact):
                continue
            for part, patterns in chosen:
                if part.alone:
                    continue
                options = [(p, bound) for p in fitting[part.name] if (bound := self._bound(p, fact)) is not None]
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
        if fact.kind in SINGLE:
            return any(kind == fact.kind for kind, _ in self.slots)
        return fact.id in self.said

    def _bound(self, pattern: Pattern, wanted: Fact | None = None) -> Bound | None:
        """The facts that a pattern would say, or None where it cannot be used (or does not say `wanted`)."""
        bound: dict[str, Sequence[Fact]] = {}
        if wanted is not None and wanted.kind not in pattern.takes and wanted.kind not in pattern.lists:
            return None
        if pattern.continues and not self._goes_on(pattern):
            return None
        for kind, slots in pattern.takes.items():
            test = pattern.facts.get(kind)
            found = self._single(kind, slots, test) if kind in SINGLE else self._next(kind, slots, test, wanted)
            if found is None:
                return None
            bound[kind] = (found,)
        for kind, slots in pattern.lists.items():
            listed = self._all(kind, slots, pattern.facts.get(kind))
            if not listed:
                return None
            bound[kind] = listed
        return bound

    def _goes_on(self, pattern: Pattern) -> bool:
        """Whether something has been told that a pattern with "also" or "another" can go on from."""
        families = {family for kind in (*pattern.takes, *pattern.lists) if (family := _FAMILIES.get(kind))}
        return not families or any(_FAMILIES.get(kind) in families for kind in self.counts)

    def _single(self, kind: str, slots: frozenset[str], test: Test | None) -> Fact | None:
        fact = self.facts[kind][0]
        for slot in slots:
            if slot not in fact.values or ((kind, slot) in self.slots and (kind, slot) not in _AGAIN):
                return None
        return fact if test is None or test.passes(fact.tags) else None

    def _next(self, kind: str, slots: frozenset[str], test: Test | None, wanted: Fact | None) -> Fact | None:
        """The first fact of a kind that is not said and has what is asked for."""
        asked = wanted is not None and wanted.kind == kind
        if not asked and self.counts.get(kind, 0) >= self.heading.most.get(kind, 99):
            return None
        for fact in self.facts[kind]:
            if fact.id in self.said or (asked and fact is not wanted):
                continue
            if slots <= fact.values.keys() and (test is None or test.passes(fact.tags)):
                if kind == "followup" and "date" not in slots and self._has_twin(fact):
                    continue
                return fact
        return None

    def _has_twin(self, fact: Fact) -> bool:
        """Whether another fact of the kind has the same name and only its date tells the two apart."""
        return any(other.text == fact.text and _words(other) != _words(fact) for other in self.facts[fact.kind])

    def _all(self, kind: str, slots: frozenset[str], test: Test | None) -> list[Fact]:
        """All facts of a kind, where none has been said and each has what is asked for; otherwise none."""
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

    def _news(self, pattern: Pattern, bound: Bound) -> float:
        """How much a pattern says that has not been said."""
        news = 0.0
        for kind, slots in pattern.takes.items():
            if kind not in SINGLE:
                news += 1.0
            elif kind != "patient":
                values = bound[kind][0].values
                news += 0.5 * sum((kind, slot) not in self.slots and values[slot].text not in _DULL for slot in slots)
            else:
                news += 0.3 * len(slots & {"", "aged", "age"})
        return news + sum(len(bound[kind]) for kind in pattern.lists)

    def _weight(self, pattern: Pattern, bound: Bound, news: float, part: Part) -> float:
        """How much a pattern is liked here: particular, saying several things, and not beginning like the last."""
        weight = (1.0 + pattern.particular) * (0.6 + min(news, 3.0))
        for kind in pattern.lists:
            weight *= _LIST if len(bound[kind]) > 1 else _LIST_OF_ONE
        for kind in pattern.takes:
            if kind in _LISTED and sum(fact.id not in self.said for fact in self.facts[kind]) > 1:
                weight *= _ONE_BY_ONE
        if not pattern.kinds.isdisjoint(part.wants):
            weight *= _WANTED
        if pattern.opening in self.openings:
            weight *= _SAME_OPENING
        if self._echoes(pattern, bound):
            weight *= _ECHO
        return weight

    def _echoes(self, pattern: Pattern, bound: Bound) -> bool:
        """Whether a slot beside the main one (what a medicine is for) says again what the section has told."""
        return any(
            slot and slot in fact.values and fact.values[slot].text in self.told
            for kind, slots in pattern.takes.items()
            if kind not in SINGLE
            for fact in bound[kind]
            for slot in slots
        )

    def _take(self, pattern: Pattern, bound: Bound) -> None:
        """Count a pattern's facts as said; so are others that would read the same."""
        self.used.add(pattern.where)
        self.openings = (*self.openings[-1:], pattern.opening)
        for kind, slots in pattern.takes.items():
            if kind in SINGLE:
                self.slots.update((kind, slot) for slot in slots)
                if kind == "dx":
                    self.told.add(bound[kind][0].text)
            else:
                self._count(kind, bound[kind])
        for kind in pattern.lists:
            self._count(kind, bound[kind])

    def _count(self, kind: str, facts: Sequence[Fact]) -> None:
        self.told.update(fact.text for fact in facts)
        same = {_words(fact) for fact in facts}
        self.said.update(fact.id for fact in self.facts[kind] if _words(fact) in same)
        self.counts[kind] = self.counts.get(kind, 0) + len(same)


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


def _words(fact: Fact) -> tuple[str, ...]:
    """What tells a fact from another of its kind: its name, and when for what is yet to come."""
    return fact.text, fact.values["date"].text if fact.kind == "followup" and "date" in fact.values else ""


def _test(fact: Fact) -> str:
    """The test that a result or a trend is of."""
    return next((tag for tag in fact.tags if tag.startswith("test:")), fact.id)


# ---- sections made of lines


def _fixed(stay: Stay, planned: Planned) -> Section:
    """The lines of a fixed section, each fact of a kind on the first line that fits it."""
    draft = Draft(planned.heading.key, stay)
    _lines(draft, planned.heading, stay, planned.facts)
    return draft.section(planned.heading.title, "fixed")


def _lines(draft: Draft, heading: Heading, stay: Stay, told: Iterable[Fact]) -> None:
    """Put in the lines of a section for these facts. A narrative section's lines are for what no pattern could say."""
    facts: dict[str, list[Fact]] = {}
    for fact in told:
        facts.setdefault(fact.kind, []).append(fact)
    said: set[str] = set()
    for line in heading.lines:
        if line.each:
            for fact in facts.get(line.each, ()):
                if fact.id not in said:
                    bound = {line.each: [fact]} | _joined(line, fact, facts)
                    said.update(_line(draft, line, stay, bound))
        elif not line.says or line.says in facts:
            _line(draft, line, stay, facts)


def _joined(line: Line, fact: Fact, facts: Mapping[str, list[Fact]]) -> dict[str, list[Fact]]:
    """The fact of another kind about the same test, for a line that joins the two."""
    found = [other for other in facts.get(line.joined, ()) if _test(other) == _test(fact)]
    return {line.joined: found[:1]} if found else {}


def _line(draft: Draft, line: Line, stay: Stay, bound: Bound) -> Iterable[str]:
    """Put a line in if all its slots are there; returns the ids of the facts it says."""
    if not holds(line, stay, {kind: facts[0] for kind, facts in bound.items() if facts}):
        return ()
    pieces: list[Piece] = []
    for stretch in line.stretches:
        places = [piece for piece in stretch.pieces if isinstance(piece, Place)]
        if all(bound.get(p.kind) and p.slot in bound[p.kind][0].values for p in places):
            pieces.extend(stretch.pieces)
        elif not stretch.optional:
            return ()
    draft.line(pieces, bound)
    if line.says:
        start = draft.text.rindex(line.about)
        draft.states(start, line.type, bound[line.says][0])
    return [facts[0].id for kind, facts in bound.items() if kind in (line.each, line.joined)]


__all__ = ["Outline", "PhrasebookWriter", "bare_lines", "stream", "voice_of", "write"]
