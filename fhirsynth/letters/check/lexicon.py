"""All terms that a letter may name, and the one pass that finds them, the longest first.

A term points at what it names as pairs of kind and key: `("condition", "copd")`, `("medicine", "vtm:amlodipine")`.
Terms come from the knowledge files (names, letter words, patient words), from the letters' words for tests and
procedures, and from the reader's own lists of abbreviations and of things that no record holds (key `other:…`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

from fhirsynth.knowledge import Knowledge, load
from fhirsynth.letters.check import data
from fhirsynth.letters.check.tokens import Word, Words, words_of_value
from fhirsynth.letters.stays import words as letter_words

Ref = tuple[str, str]
_END = ""
_KEPT = 20_000  # texts of facts, which come again and again, whose terms are kept


class Mention(NamedTuple):
    """A term found in a text: characters, words (first, behind the last), and what it may name."""

    start: int
    end: int
    first: int
    behind: int
    refs: frozenset[Ref]

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of what it may name."""
        return _kinds(self.refs)

    def of(self, kind: str) -> frozenset[Ref]:
        """What it names of one kind."""
        return _of_kind(self.refs, kind)


@lru_cache(maxsize=20_000)
def _kinds(refs: frozenset[Ref]) -> frozenset[str]:
    return frozenset(kind for kind, _ in refs)


@lru_cache(maxsize=20_000)
def _of_kind(refs: frozenset[Ref], wanted: str) -> frozenset[Ref]:
    return frozenset(ref for ref in refs if ref[0] == wanted)


class Lexicon:
    """A tree of the words of all terms."""

    def __init__(self) -> None:
        self._tree: dict[str, Any] = {}
        self.first_names: frozenset[str] = frozenset()
        #: Classes of each medicine, to hold against allergies.
        self.classes: dict[Ref, set[str]] = defaultdict(set)
        #: Panels that each test is part of, by their keys.
        self.panels: dict[str, list[str]] = defaultdict(list)
        self._refs: dict[str, frozenset[Ref]] = {}
        self._named: dict[str, frozenset[Ref]] = {}

    def add(self, wording: str, refs: Iterable[Ref]) -> None:
        """One more wording for some things."""
        wording = wording.strip()
        forms = data.forms(wording)
        if not forms:
            return
        letters = "".join(character for character in wording if character.isalpha())
        exact = wording if len(letters) < 6 and sum(map(str.isupper, letters)) > len(letters) / 2 else None
        exact = wording if len(letters) < 4 and letters[:1].isupper() and exact is None else exact
        node = self._tree
        for form in forms:
            node = node.setdefault(form, {})
        terms: dict[str | None, frozenset[Ref]] = node.setdefault(_END, {})
        terms[exact] = terms.get(exact, frozenset()) | frozenset(refs)

    def longest(self, text: str, said: Words) -> list[Mention]:
        """The terms of a text, the longest at each place; no two overlap."""
        found: list[Mention] = []
        tree, behind = self._tree, 0
        for at, form in enumerate(said.forms):
            if form in tree and at >= behind:
                here = list(self._from(text, said, at))
                found += here[-1:]
                behind = here[-1].behind if here else behind
        return found

    def all(self, text: str) -> Iterator[Mention]:
        """Every term of a text at every place, also inside longer ones."""
        said = words_of_value(text)
        for at, form in enumerate(said.forms):
            if form in self._tree:
                yield from self._from(text, said, at)

    def named(self, text: str) -> frozenset[Ref]:
        """All that a text names by its longest terms."""
        if text not in self._named:
            refs = frozenset(ref for mention in self.longest(text, words_of_value(text)) for ref in mention.refs)
            if len(self._named) >= _KEPT:
                return refs
            self._named[text] = refs
        return self._named[text]

    def refs(self, text: str) -> frozenset[Ref]:
        """All that a text names, by longer and by shorter terms; what only sounds in a longer term is left out."""
        known = self._refs.get(text)
        if known is not None:
            return known
        opaque = data.phrases("ambiguous", "opaque")
        found = list(self.all(text))
        closed = [mention for mention in found if data.forms(text[mention.start : mention.end]) in opaque]
        refs = frozenset(
            ref
            for mention in found
            for ref in mention.refs
            if not any(c.first <= mention.first and mention.behind <= c.behind and c is not mention for c in closed)
        )
        if len(self._refs) < _KEPT:
            self._refs[text] = refs
        return refs

    def _from(self, text: str, said: Sequence[Word], at: int) -> Iterator[Mention]:
        node: dict[str, Any] | None = self._tree
        place = at
        while place < len(said) and (place == at or said[place].joined):
            node = node.get(said[place].form) if node is not None else None
            if node is None:
                return
            place += 1
            terms = node.get(_END)
            if terms:
                start, end = said[at].start, said[place - 1].end
                refs = self._as_written(terms, text[start:end])
                if refs:
                    yield Mention(start, end, at, place, refs)

    @staticmethod
    def _as_written(terms: Mapping[str | None, frozenset[Ref]], surface: str) -> frozenset[Ref]:
        """What a term names that is written so; the set that it names in any case, where there is no other."""
        always = terms.get(None, frozenset())
        if len(terms) == 1 and always:
            return always
        found = terms.get(surface) or terms.get(f"#{surface}")
        if found is None and surface.endswith("s"):
            found = terms.get(surface[:-1])
        return always | found if found else always


@cache
def lexicon() -> Lexicon:
    """The lexicon of the package's knowledge."""
    return build(load())


def build(knowledge: Knowledge) -> Lexicon:
    """A lexicon of all that some knowledge names."""
    lex = Lexicon()
    lex.first_names = data.first_names(knowledge.statistics)
    done = _procedures(lex, knowledge)
    _conditions(lex, knowledge, done)
    _medicines(lex, knowledge)
    _tests(lex, knowledge)
    for allergy in knowledge.allergies.values():
        for wording in substances(allergy.name):
            lex.add(wording, [("allergen", allergy.key)])
    for reaction in knowledge.reactions.values():
        lex.add(reaction.name, [("reaction", reaction.key)])
    others = data.table("others")
    for kind, name in (("medicine", "medicines"), ("condition", "conditions"), ("procedure", "procedures")):
        for wording in others[name]:
            lex.add(wording, [(kind, f"other:{wording}")])
    for wording in others["findings"]:
        lex.add(wording, [("finding", f"other:{wording}")])
    return lex


def _article(phrase: str) -> str:
    for article in ("a ", "an ", "the ", "your "):
        if phrase.startswith(article):
            return phrase.removeprefix(article)
    return phrase


def _procedures(lex: Lexicon, knowledge: Knowledge) -> frozenset[tuple[str, ...]]:
    """Adds what is done to people; the wordings, so that a condition's list does not claim them again."""
    said, skipped = letter_words()["procedure"], data.phrases("ambiguous", "skipped")
    done = set()
    for key, procedure in knowledge.procedures.items():
        called = said.get(key, {"letter": procedure.name, "patient": ""})
        for wording in {procedure.name, called["letter"], _article(called["patient"])}:
            forms = data.forms(wording)
            if forms and forms not in skipped:
                lex.add(wording, [("procedure", key)])
                done.add(forms)
    for wording, keys in data.table("abbreviations")["procedure"].items():
        for key in _many(keys):
            lex.add(wording, [("procedure", key)])
            done.add(data.forms(wording))
    return frozenset(done)


def _conditions(lex: Lexicon, knowledge: Knowledge, done: frozenset[tuple[str, ...]]) -> None:
    skipped = data.phrases("ambiguous", "skipped")
    for key, condition in knowledge.conditions.items():
        names = {condition.name, *condition.words.letter, *(stage.name for stage in condition.stages)}
        names |= {_article(condition.words.patient)}
        names |= {head for head in [_article(condition.words.patient.split(",")[0].split(";")[0])] if " " in head}
        for wording in sorted(names):
            forms = data.forms(wording)
            if forms not in done and (forms not in skipped or wording.isupper()):
                lex.add(wording, [("condition", key)])
    for wording, keys in data.table("abbreviations")["condition"].items():
        lex.add(wording, [("condition", key) for key in _many(keys)])


def _medicines(lex: Lexicon, knowledge: Knowledge) -> None:
    for key, medicine in knowledge.medicines.items():
        substances = [part.strip() for part in medicine.vtm_name.split("+")]
        refs = [("medicine", f"vtm:{part.lower()}") for part in substances]
        lex.add(medicine.name, [("medicine", key), *refs])
        classes = {*medicine.classes, *medicine.blocked_by, *(part.lower().replace(" ", "-") for part in substances)}
        for ref in (("medicine", key), *refs):
            lex.classes[ref] |= classes
        lex.add(medicine.vtm_name.replace("+", ""), refs)
        for part, ref in zip(substances, refs, strict=True):
            lex.add(part, [ref])
    for wording, names in data.table("abbreviations")["medicine"].items():
        lex.add(wording, [("medicine", f"vtm:{name}") for name in _many(names)])


def _tests(lex: Lexicon, knowledge: Knowledge) -> None:
    said, short = letter_words(), data.table("abbreviations")
    for key, called in said["test"].items():
        lex.add(called["letter"], [("test", key)])
    for key, observable in knowledge.observables.items():
        if observable.group == "laboratory":
            lex.add(observable.name, [("test", key)])
            lex.add(observable.name.removeprefix("Serum ").removesuffix(" level"), [("test", key)])
    for key, panel in knowledge.panels.items():
        for member in panel.members:
            lex.panels[member].append(key)
        lex.add(panel.name, [("panel", key)])
        lex.add(said["panel"].get(key, {"letter": panel.name})["letter"], [("panel", key)])
    for kind in ("test", "panel", "vital"):
        for wording, keys in short[kind].items():
            lex.add(wording, [(kind, key) for key in _many(keys)])


def _many(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def substances(allergy: str) -> list[str]:
    """What somebody is allergic to, by the name of the allergy."""
    name = allergy.removeprefix("Allergy to ").removesuffix(" allergy").removesuffix(" adverse reaction")
    return [name, f"{name[0].lower()}{name[1:]}"]
