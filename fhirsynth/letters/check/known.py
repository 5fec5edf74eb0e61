"""What the facts of a stay say, laid out for comparison with a text: things, figures, doses, dates, names, sides."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from fhirsynth.knowledge import Knowledge, load
from fhirsynth.letters.check.data import forms
from fhirsynth.letters.check.lexicon import Lexicon, Ref
from fhirsynth.letters.check.quantities import Quantity, age_value, is_dose, quantities
from fhirsynth.letters.check.tokens import Word, words_of_value
from fhirsynth.letters.facts import Fact, Stay

MEDICINES = frozenset({"given", "started", "stopped", "changed", "continued"})
TESTS = frozenset({"result", "trend", "normal"})
BEDSIDE = frozenset({"obs", "obsend"})
_DATED = ("date", "time", "nhs", "phone")
_NUMBER = re.compile(r"-?[\d,]*\.?\d+")
_PLAIN = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?")


class Person(NamedTuple):
    """Somebody a letter may name: title and the words of the name."""

    title: str
    names: frozenset[str]
    text: str
    fact: str


class Known:
    """The facts of one stay by what is looked for in a text."""

    def __init__(self, stay: Stay, lexicon: Lexicon, knowledge: Knowledge | None = None) -> None:
        self.stay, self.lexicon = stay, lexicon
        self.knowledge = knowledge or load()
        self.by_id = {fact.id: fact for fact in stay.facts}
        self.required = [fact for fact in stay.facts if fact.required]
        self._by_kind: dict[str, list[Fact]] = {}
        for fact in stay.facts:
            self._by_kind.setdefault(fact.kind, []).append(fact)
        #: Facts by each thing that they name.
        self.holders: dict[Ref, list[Fact]] = defaultdict(list)
        #: Panels told as normal, and their tests.
        self.normal: set[Ref] = set()
        #: What a fact's main value names by its longest terms.
        self.main: dict[str, frozenset[Ref]] = {}
        self.dates: dict[tuple[int, int], list[tuple[int, str, str]]] = defaultdict(list)
        self.times: dict[int, str] = {}
        self.ages: set[tuple[int, str]] = set()
        self.lengths: set[object] = set()
        self.numbers: set[float] = set()
        #: Words that stand beside a bare number in a fact's own text, by the number: "ward" for "Ward 7".
        self.beside: dict[float, set[str]] = defaultdict(set)
        #: Readings by what was read: ("test", key) or ("vital", slot); doses by substance.
        self.readings: dict[Ref, set[tuple[object, str]]] = defaultdict(set)
        self.doses: dict[Ref, set[tuple[str, object]]] = defaultdict(set)
        self.strengths: dict[Ref, set[object]] = defaultdict(set)
        self.totals: dict[Ref, set[object]] = defaultdict(set)
        self.courses: dict[Ref, set[object]] = defaultdict(set)
        self.loose: set[object] = set()
        self.texts: list[str] = []
        #: Names of wards, specialties, clinics and the like, in small letters.
        self.places: list[str] = []
        self.people: list[Person] = []
        self.bedside = [fact for fact in stay.facts if fact.kind in BEDSIDE]
        self.tags = frozenset(tag for fact in self.bedside for tag in fact.tags)
        self.sex = "female" if stay.grammar.get("he") == "she" else "male"
        for fact in stay.facts:
            self._things(fact)
            self._figures(fact)
            self._names(fact)

    @cached_property
    def forms(self) -> frozenset[str]:
        """The words of all facts, in normal form."""
        return frozenset(form for text in self.texts for form in forms(text))

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of all facts, as they stand."""
        return frozenset(word for text in self.texts for word in re.findall(r"[\w'’-]+", text))

    # ---- what is asked

    def of(self, kind: str) -> Sequence[Fact]:
        """The facts of one kind, in order."""
        return self._by_kind.get(kind, ())

    def first(self, kind: str) -> Fact | None:
        """The first fact of a kind, if there is one."""
        return next(iter(self.of(kind)), None)

    def holds(self, refs: Iterable[Ref]) -> list[Fact]:
        """The facts that name one of these things."""
        return [fact for ref in refs for fact in self.holders.get(ref, ())]

    def medicines(self, refs: Iterable[Ref]) -> list[Fact]:
        """The facts about one of these medicines."""
        return [fact for fact in self.holds(refs) if fact.kind in MEDICINES]

    def direction(self, ref: Ref) -> frozenset[str]:
        """How a test or observation went: fell, rose, normalised, improved, worsened; nothing if not known."""
        kind, key = ref
        if kind == "test":
            found: set[str] = set()
            for fact in self.of("trend"):
                if f"test:{key}" in fact.tags:
                    found |= fact.tags & {"fell", "rose", "normalised", "improved", "worsened"}
            return frozenset(found)
        first, last = self.first("obs"), self.first("obsend")
        if first is None or last is None or key not in first.values or key not in last.values:
            return frozenset()
        before, after = (float(_NUMBER.search(f.values[key].text).group()) for f in (first, last))  # type: ignore[union-attr]
        return frozenset({"fell"} if after < before else {"rose"} if after > before else {"same"})

    def level(self, ref: Ref) -> frozenset[str]:
        """Whether a test was high or low at first, or it or its panel is told as normal; nothing if not known."""
        facts = (fact for kind in ("result", "trend") for fact in self.of(kind) if f"test:{ref[1]}" in fact.tags)
        found = frozenset(tag for fact in facts for tag in fact.tags if tag in ("high", "low"))
        return found or (frozenset({"normal"}) if ref in self.normal else frozenset())

    def score(self) -> frozenset[str]:
        """In which ranges the early warning scores are (low, medium, high); nothing where none is told."""
        return frozenset(tag.removeprefix("news2-") for tag in self.tags if tag.startswith("news2-"))

    def blocked(self, refs: Iterable[Ref]) -> Fact | None:
        """The allergy that speaks against a medicine, if one does."""
        if not self.of("allergy"):
            return None
        classes = {name for ref in refs for name in self.lexicon.classes.get(ref, ())}
        for fact in self.of("allergy"):
            keys = [key for kind, key in self.main[fact.id] if kind == "allergen"]
            for key in keys:
                if classes & ({key} | set(self.knowledge.allergies[key].blocks)):
                    return fact
        return None

    # ---- how it is laid out

    def _things(self, fact: Fact) -> None:
        named: set[Ref] = set()
        for slot, value in fact.values.items():
            for text in (value.text, value.patient) if value.patient else (value.text,):
                named |= self.lexicon.refs(text)
                if slot == "":
                    self.main[fact.id] = self.main.get(fact.id, frozenset()) | self._main(fact, text)
        allowed = _NAMES.get(fact.kind, _OTHER)
        for tag in fact.tags:
            if tag.startswith("test:"):
                named.add(("test", tag.removeprefix("test:")))
        if fact.kind in BEDSIDE:
            named |= {("vital", slot) for slot in fact.values}
        for ref in named:
            if ref[0] in allowed:
                self.holders[ref].append(fact)
        if fact.kind == "normal":
            for ref in named:
                if ref[0] == "panel":
                    self.normal.add(ref)
                    for member in self.knowledge.panels[ref[1]].members:
                        self.normal.add(("test", member))
                        self.holders[("test", member)].append(fact)
        elif fact.kind in TESTS:
            for panel in {panel for kind, key in named if kind == "test" for panel in self.lexicon.panels.get(key, ())}:
                self.holders["panel", panel].append(fact)

    def _main(self, fact: Fact, text: str) -> frozenset[Ref]:
        return _of_kinds(self.lexicon.named(text), _NAMES.get(fact.kind, _OTHER))

    def _figures(self, fact: Fact) -> None:
        for slot, value in fact.values.items():
            self.texts.append(value.text)
            if value.type in _PLACES:
                self.places.append(value.text.lower())
            if value.type == "age":
                self.ages.add(age_value(value.text))
                self.numbers.add(float(age_value(value.text)[0]))
            around, found = _in_figures(value.text)
            for number, form in around:
                self.beside[number].add(form)
            if not found:
                continue
            for quantity in found:
                self._figure(fact, slot, value.type, quantity)
            if fact.kind in BEDSIDE and slot in ("temperature", "pulse", "rr", "sats", "bp", "news2", "oxygen"):
                self._reading(("vital", slot), found)
            elif fact.kind in TESTS and slot in ("value", "first", "last"):
                for tag in fact.tags:
                    if tag.startswith("test:"):
                        self._reading(("test", tag.removeprefix("test:")), found)
            elif fact.kind in MEDICINES and slot not in ("for", "why"):
                self._dose(fact, found, slot)

    def _figure(self, fact: Fact, slot: str, kind: str, quantity: Quantity) -> None:
        value = quantity.value
        if quantity.type == "date" and isinstance(value, tuple):
            self.dates[value[0], value[1]].append((value[2], fact.id, slot))
        elif quantity.type == "time" and isinstance(value, int):
            self.times[value] = fact.id
        elif quantity.type == "length":
            self.lengths.add(value)
            if kind == "age" and isinstance(value, tuple):
                self.ages.add((int(value[0]), value[1]))
        elif quantity.type not in _DATED:
            self.loose.add(value)
            if isinstance(value, tuple) and isinstance(value[0], float):
                self.numbers.add(value[0])
            elif isinstance(value, float):
                self.numbers.add(value)

    def _reading(self, ref: Ref, found: Iterable[Quantity]) -> None:
        for quantity in found:
            if isinstance(quantity.value, tuple):
                self.readings[ref].add((quantity.value[0], quantity.value[1]))
            elif isinstance(quantity.value, float):
                self.readings[ref].add((quantity.value, ""))

    def _dose(self, fact: Fact, found: Iterable[Quantity], slot: str) -> None:
        refs = [ref for ref in self.main.get(fact.id, ()) if ref[1].startswith("vtm:")]
        for quantity in found:
            for ref in refs:
                if is_dose(quantity):
                    self.doses[ref].add((quantity.type, quantity.value))
                    (self.totals if slot in ("dose", "from", "to") else self.strengths)[ref].add(quantity.value)
                elif quantity.type == "length":
                    self.courses[ref].add(quantity.value)

    def _names(self, fact: Fact) -> None:
        for value in fact.values.values():
            if value.type in ("person_name", "staff_name") and value.text:
                first, *rest = value.text.split()
                title = first if first.rstrip(".") in _TITLES else ""
                names = frozenset(rest if title else [first, *rest])
                self.people.append(Person(title, names, value.text, fact.id))


_PLACES = frozenset({"ward", "specialty", "clinic", "organisation", "destination"})
_TITLES = frozenset({"Mr", "Mrs", "Miss", "Ms", "Mx", "Dr", "Prof", "Professor", "Master", "Sister", "Lady", "Sir"})
_OTHER = frozenset({"condition", "procedure", "reaction", "finding", "test"})
#: Which things the values of a kind of fact can name. An allergen is no medicine that somebody takes.
_NAMES: Mapping[str, frozenset[str]] = {
    **{kind: frozenset({"medicine", "condition", "procedure", "reaction", "finding", "test"}) for kind in MEDICINES},
    **{kind: frozenset({"test", "panel", "condition"}) for kind in TESTS},
    "allergy": frozenset({"allergen", "reaction", "condition"}),
    "obs": frozenset({"vital", "finding"}),
    "obsend": frozenset({"vital", "finding"}),
}


@lru_cache(maxsize=20_000)
def _of_kinds(refs: frozenset[Ref], kinds: frozenset[str]) -> frozenset[Ref]:
    return frozenset(ref for ref in refs if ref[0] in kinds)


@lru_cache(maxsize=20_000)
def _in_figures(text: str) -> tuple[tuple[tuple[float, str], ...], tuple[Quantity, ...]]:
    """The bare numbers of a fact's text with the words beside them, and its quantities: texts come again and again."""
    said = words_of_value(text)
    return _beside(said), tuple(quantities(text, said))


def _beside(said: Sequence[Word]) -> tuple[tuple[float, str], ...]:
    """Bare numbers, each with a word that stands beside it."""
    numbers = [(place, float(w.text.replace(",", ""))) for place, w in enumerate(said) if _PLAIN.fullmatch(w.text)]
    around = (
        (number, said[at].form) for place, number in numbers for at in (place - 1, place + 1) if 0 <= at < len(said)
    )
    return tuple((number, form) for number, form in around if not form[0].isdecimal())
