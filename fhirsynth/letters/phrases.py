"""The phrasebook: sentences of letters with placeholders for values, as read from `phrasebook/*.toml`.

A pattern's text is words, placeholders (`{dx}`, `{obs.pulse}`, `{pmh*}` for all of a kind as a list) and words that
agree with the person (`[He]`). `when` says of which stays and facts it holds. What a placeholder may name is fixed
here, so that a slip is found when the file is read: `load` raises InputError naming file, line and pattern.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from operator import itemgetter
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from fhirsynth.errors import InputError
from fhirsynth.knowledge import Knowledge
from fhirsynth.knowledge.errors import line_of, nearest
from fhirsynth.letters.demands import Demand, Test, asks, demanded, needed

Voice = Literal["terse", "thorough", "geriatrician", "surgeon"]
VOICES: tuple[Voice, ...] = ("terse", "thorough", "geriatrician", "surgeon")

#: Kinds of fact with the slots that a placeholder may name; "" is the main value.
SLOTS: Mapping[str, frozenset[str]] = {
    kind: frozenset(slots)
    for kind, slots in {
        "patient": ("", "short", "age", "aged", "born", "nhs", "address", "phone"),
        "admission": ("date", "day", "time", "ward", "hospital", "specialty", "source"),
        "discharge": ("date", "nights", "destination", "consultant"),
        "death": ("date", "time"),
        "dx": ("", "side", "severity"),
        "secondary": ("",),
        "pmh": ("",),
        "obs": ("temperature", "pulse", "bp", "rr", "sats", "oxygen", "consciousness", "news2"),
        "obsend": ("temperature", "pulse", "bp", "rr", "sats", "oxygen", "consciousness", "news2"),
        "result": ("", "value", "date"),
        "trend": ("", "first", "last"),
        "normal": ("",),
        "proc": ("", "date", "side"),
        "given": ("", "name", "for"),
        "started": ("", "name", "dose", "for", "days"),
        "stopped": ("", "name", "dose", "for", "why"),
        "changed": ("", "name", "from", "to", "dose", "for"),
        "continued": ("", "name", "dose", "for"),
        "allergy": ("", "reaction", "severity"),
        "noallergy": (),
        "followup": ("", "date"),
        "referral": ("",),
        "social": ("living", "smoking", "alcohol"),
        "language": ("",),
        "gp": ("", "practice"),
    }.items()
}
#: Kinds of which a stay has one fact at most: their slots are said one by one.
SINGLE = frozenset({"patient", "admission", "discharge", "death", "dx", "obs", "obsend", "social", "language", "gp"})

_BEDSIDE = (
    *("febrile", "hypothermic", "tachycardic", "bradycardic", "hypotensive", "hypoxic", "tachypnoeic", "confused"),
    *("drowsy", "alert", "on-oxygen", "on-air", "news2-high", "news2-medium", "news2-low"),
)
#: Tags of facts by kind, for `when = ["<kind>:<tag>"]`; those with a key behind them are in `KEYED`.
TAGS: Mapping[str, tuple[str, ...]] = {
    "dx": ("side", "severity"),
    "obs": _BEDSIDE,
    "obsend": _BEDSIDE,
    "result": ("high", "low", "normal"),
    "trend": ("fell", "rose", "normalised", "improved", "worsened"),
    "proc": ("imaging", "operation", "bedside", "birth", "side"),
    "started": ("course",),
    "stopped": ("why",),
    "allergy": ("reaction", "severity"),
    "social": ("alone", "carehome", "smoker", "exsmoker", "neversmoker", "drinker"),
    "language": ("interpreter",),
}
KEYED = {"result": "test", "trend": "test", "proc": "proc", "dx": "cond"}
_STAY_TAGS = frozenset(
    {
        *(
            "emergency",
            "elective",
            "maternity",
            "daycase",
            "died",
            "child",
            "adult",
            "older",
            "male",
            "female",
            "short",
        ),
        *("long", "carehome", "icu", "operation", "via-emergency-department"),
    }
)
GROUPS = (
    *("infection", "respiratory", "cardiac", "stroke", "neuro", "gi", "surgical-abdomen", "renal-urology", "endocrine"),
    *("musculoskeletal", "fracture", "obstetric", "gynae", "mental-health", "cancer", "haematology", "ent", "eye"),
    *("skin", "injury", "poisoning", "general"),
)
#: Parts of the sections that are written from patterns.
PARTS: Mapping[str, tuple[str, ...]] = {
    "clinical-summary": (
        *("presentation", "examination", "diagnosis", "background", "investigations", "treatment", "course"),
        *("procedure-told", "outcome", "death"),
    ),
    "plan": ("medicines", "follow-up", "gp-actions", "hospital-actions", "none"),
    "information": ("told", "safety-net", "medicines-advice", "none"),
    "social": ("living", "habits", "needs", "none"),
    "patient-letter": ("why", "found", "done", "medicines", "next", "help"),
}
_PRONOUNS = ("he", "him", "his", "man", "gentleman", "himself")
GRAMMAR = frozenset({*_PRONOUNS, *(word.capitalize() for word in _PRONOUNS)})

_CONTINUES = re.compile(r"\b(?:also|another|further|other|others|in addition|additionally|too)\b", re.I)
_TOKEN = re.compile(r"\{([^{}]*)\}|\[([^\[\]]*)\]")
_PLACE = re.compile(r"([a-z]+)(?:\.([a-z0-9]+))?(\*)?")


class Words(NamedTuple):
    """Plain words."""

    text: str


class Place(NamedTuple):
    """A placeholder: a slot of one fact of a kind, or (`every`) of all its facts as a list."""

    kind: str
    slot: str
    every: bool


class Agree(NamedTuple):
    """A word that agrees with the person's sex and age."""

    word: str


Piece = Words | Place | Agree


class _Form(BaseModel):
    """One `[[pattern]]` as its author writes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    section: str
    part: str
    voice: tuple[Voice, ...] = VOICES
    when: tuple[str, ...] = ()
    text: str
    abbr: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern, ready for use."""

    where: str
    section: str
    part: str
    voices: frozenset[str]
    when: tuple[str, ...]
    text: str
    pieces: tuple[Piece, ...]
    stay: Test
    #: What a stay and its facts must offer (see `demands.offered`).
    needs: frozenset[str]
    demand: Demand
    abbr: tuple[tuple[str, str], ...]
    #: Its tests of facts that it does not name.
    others: tuple[tuple[str, Test], ...]
    #: How particular it is: conditions on illness, test or procedure make wording that fits better.
    particular: int
    #: It calls the patient by name.
    names: bool = field(default=False)
    #: It says whom it is about: a name, an age or a pronoun.
    introduces: bool = field(default=False)
    #: It goes on from something of the same family ("also", "another"), so it cannot come first.
    continues: bool = field(default=False)
    opening: str = field(default="")


@dataclass(frozen=True, slots=True)
class Shelf:
    """The patterns of a section in one voice, by one need each: that which fewest of them have.

    Sets are kept as numbers here, with a bit for each name: those of so many patterns would not stay in the
    processor's cache. Each pattern stands with its number, its needs, and these with the tags that a stay must lack.
    """

    patterns: tuple[Pattern, ...] = ()
    bits: Mapping[str, int] = field(default_factory=dict)
    by_need: Mapping[str, Sequence[tuple[int, int, int, Pattern]]] = field(default_factory=dict)

    def fitting(self, own: frozenset[str]) -> dict[str, list[Pattern]]:
        """The patterns that a stay may be told by that offers this: by part, in order."""
        known = own.intersection(self.bits)
        has = sum(self.bits[name] for name in known)
        found = [
            (number, pattern)
            for name in known
            for number, needs, asked, pattern in self.by_need.get(name, ())
            if has & asked == needs
        ]
        found.sort(key=itemgetter(0))
        parts: dict[str, list[Pattern]] = {}
        for _, pattern in found:
            parts.setdefault(pattern.part, []).append(pattern)
        return parts


def _shelf(patterns: Sequence[Pattern]) -> Shelf:
    often = Counter(need for pattern in patterns for need in pattern.needs)
    names = sorted(often.keys() | {tag for pattern in patterns for tag in pattern.stay.lacking})
    bits = {name: 1 << number for number, name in enumerate(names)}
    by_need: dict[str, list[tuple[int, int, int, Pattern]]] = {}
    for number, pattern in enumerate(patterns):
        needs = sum(bits[need] for need in pattern.needs)
        asked = needs | sum(bits[tag] for tag in pattern.stay.lacking)
        rarest = min(pattern.needs, key=lambda need: (often[need], need))
        by_need.setdefault(rarest, []).append((number, needs, asked, pattern))
    return Shelf(tuple(patterns), bits, by_need)


@dataclass(frozen=True, slots=True)
class Phrasebook:
    """All patterns, and those of each section in each voice."""

    patterns: tuple[Pattern, ...]
    shelves: Mapping[tuple[str, str], Shelf]

    def shelf(self, section: str, voice: str) -> Shelf:
        """The patterns of a section in one voice, to choose from."""
        return self.shelves.get((section, voice), _EMPTY)

    def of(self, section: str, part: str, voice: str) -> tuple[Pattern, ...]:
        """The patterns of one part of a section in one voice."""
        return tuple(pattern for pattern in self.shelf(section, voice).patterns if pattern.part == part)


_EMPTY = Shelf()


def parse(text: str) -> tuple[Piece, ...]:
    """The pieces of a pattern's text. Raises ValueError where a placeholder or a word that agrees is not known."""
    pieces: list[Piece] = []
    at = 0
    for token in _TOKEN.finditer(text):
        if token.start() > at:
            pieces.append(Words(text[at : token.start()]))
        place, word = token.groups()
        pieces.append(_place(place) if place is not None else _agree(word))
        at = token.end()
    if at < len(text):
        pieces.append(Words(text[at:]))
    for piece in pieces:
        if isinstance(piece, Words) and re.search(r"[{}\[\]]", piece.text):
            raise ValueError(f"a bracket is left open in {text!r}")
    return tuple(pieces)


def _place(inside: str) -> Place:
    match = _PLACE.fullmatch(inside)
    if match is None:
        raise ValueError(f"{{{inside}}} is no placeholder: expected {{kind}}, {{kind.slot}} or {{kind*}}")
    kind, slot, every = match[1], match[2] or "", match[3] is not None
    if kind not in SLOTS:
        raise ValueError(f"{{{inside}}}: no kind of fact is called {kind!r}; {nearest(kind, SLOTS)}")
    if slot not in SLOTS[kind]:
        known = {name or kind for name in SLOTS[kind]}
        raise ValueError(f"{{{inside}}}: {kind} has no slot {slot or kind!r}; {nearest(slot or kind, known)}")
    if every and kind in SINGLE:
        raise ValueError(f"{{{inside}}}: a stay has one {kind} at most, so there is no list of them")
    return Place(kind, slot, every)


def _agree(word: str) -> Agree:
    if word not in GRAMMAR:
        raise ValueError(f"[{word}] is no word that agrees with the person; {nearest(word, GRAMMAR)}")
    return Agree(word)


def condition(text: str) -> tuple[str, str]:
    """One term of `when`, without "!": ("", tag) for a tag of the stay, (kind, tag) for one of a fact's tags.

    Raises ValueError for a term that can never hold.
    """
    prefix, colon, rest = text.partition(":")
    if not colon:
        if text not in _STAY_TAGS:
            raise ValueError(f"no stay is tagged {text!r}; {nearest(text, _STAY_TAGS)}")
        return "", text
    if prefix in ("cond", "spec"):
        return "", text
    if prefix == "group":
        if rest not in GROUPS:
            raise ValueError(f"no group is called {rest!r}; {nearest(rest, GROUPS)}")
        return "", text
    if prefix == "has":
        if rest not in SLOTS:
            raise ValueError(f"{text}: no kind of fact is called {rest!r}; {nearest(rest, SLOTS)}")
        return "", text
    if prefix not in SLOTS:
        raise ValueError(f"{text}: {prefix!r} is no kind of fact; {nearest(prefix, SLOTS)}")
    keyed = KEYED.get(prefix)
    known = TAGS.get(prefix, ())
    if rest in known or (keyed and rest.startswith(f"{keyed}:")):
        return prefix, rest
    raise ValueError(f"no {prefix} is tagged {rest!r}; {nearest(rest, known)}")


def _compiled(form: _Form, where: str) -> Pattern:
    """A pattern from its form. Raises ValueError saying what is wrong."""
    if form.section not in PARTS:
        raise ValueError(f"no section is called {form.section!r}; {nearest(form.section, PARTS)}")
    if form.part not in PARTS[form.section]:
        raise ValueError(f"{form.section} has no part {form.part!r}; {nearest(form.part, PARTS[form.section])}")
    pieces = parse(form.text)
    if not form.text.endswith((".", "?", "!")) or form.text != form.text.strip():
        raise ValueError(f"the text must end a sentence and have no blank around it: {form.text!r}")
    takes: dict[str, set[str]] = {}
    lists: dict[str, set[str]] = {}
    for piece in pieces:
        if isinstance(piece, Place):
            (lists if piece.every else takes).setdefault(piece.kind, set()).add(piece.slot)
    if both := takes.keys() & lists.keys():
        kind = min(both)
        raise ValueError(f"{kind} stands both as one ({{{kind}}}) and as a list ({{{kind}*}})")
    words = " ".join(piece.text for piece in pieces if isinstance(piece, Words))
    for clean, _ in form.abbr:
        if clean not in words:
            raise ValueError(f"abbr: {clean!r} does not stand in the words of the text")
    stay, facts, particular = _tests(form.when)
    demand = demanded(asks(takes, facts), asks(lists, facts), SINGLE)
    first = pieces[0]
    opening = first.text.split(" ")[0] if isinstance(first, Words) else form.text[1:].split("]")[0].split("}")[0]
    return Pattern(
        where,
        form.section,
        form.part,
        frozenset(form.voice),
        form.when,
        form.text,
        pieces,
        stay,
        needed(stay.having, demand),
        demand,
        form.abbr,
        tuple((kind, test) for kind, test in facts.items() if kind not in takes and kind not in lists),
        particular,
        bool(takes.get("patient", set()) & {"", "short"}),
        "patient" in takes or any(isinstance(piece, Agree) for piece in pieces),
        bool(_CONTINUES.search(words)),
        opening.lower(),
    )


def _tests(when: Iterable[str]) -> tuple[Test, Mapping[str, Test], int]:
    """The terms of `when` as tests of the stay and of facts by kind, and how particular they are."""
    sides: dict[str, tuple[set[str], set[str]]] = {"": (set(), set())}
    particular = 0
    for term in when:
        kind, tag = condition(term.removeprefix("!"))
        sides.setdefault(kind, (set(), set()))[term.startswith("!")].add(tag)
        if not term.startswith("!"):
            particular += 2 if tag.startswith(("cond:", "group:", "proc:", "test:", "spec:")) else 1
    tests = {kind: Test(frozenset(having), frozenset(lacking)) for kind, (having, lacking) in sides.items()}
    return tests.pop(""), tests, particular


def shipped() -> Traversable:
    """The folder of the package's own phrasebook."""
    return resources.files("fhirsynth.letters") / "phrasebook"


def problems(folder: Traversable | None = None) -> tuple[list[Pattern], list[str]]:
    """The patterns of a folder that can be used, and one line for each thing that is wrong in it."""
    patterns: list[Pattern] = []
    wrong: list[str] = []
    files = (file for file in (folder or shipped()).iterdir() if file.name.endswith(".toml"))
    for file in sorted(files, key=lambda file: file.name):
        for found in _file(file):
            if isinstance(found, Pattern):
                patterns.append(found)
            else:
                wrong.append(found)
    return patterns, wrong


def _file(file: Traversable) -> Iterator[Pattern | str]:
    """The patterns of one file, and messages about those that cannot be used."""
    try:
        text = file.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        yield f"{file.name}: cannot be read: {error}"
        return
    if other := sorted(content.keys() - {"pattern"}):
        yield f"{file.name}: unknown table {other[0]!r}: a phrasebook holds [[pattern]] only"
    entries = content.get("pattern", [])
    if not isinstance(entries, list):
        yield f"{file.name}: [pattern] must be written [[pattern]]"
        return
    for number, entry in enumerate(entries):
        where = f"{file.name}, pattern {number + 1}"
        try:
            yield _compiled(_Form.model_validate(entry), where)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            yield f"{where} (line {line_of(text, ('pattern', number))}): {key}: {first['msg']}"
        except ValueError as error:
            yield f"{where} (line {line_of(text, ('pattern', number))}): {error}"


def load(folder: Traversable | None = None) -> Phrasebook:
    """The phrasebook of a folder, the package's own if none is given. Raises InputError naming file and pattern."""
    return _shipped() if folder is None else _loaded(folder)


@cache
def _shipped() -> Phrasebook:
    return _loaded(shipped())


def _loaded(folder: Traversable) -> Phrasebook:
    patterns, wrong = problems(folder)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(f"phrasebook: {wrong[0]}{more}")
    return book_of(patterns)


def book_of(patterns: Iterable[Pattern]) -> Phrasebook:
    """A phrasebook of these patterns."""
    index: dict[tuple[str, str], list[Pattern]] = {}
    everything = tuple(patterns)
    for pattern in everything:
        for voice in sorted(pattern.voices):
            index.setdefault((pattern.section, voice), []).append(pattern)
    return Phrasebook(everything, {key: _shelf(found) for key, found in index.items()})


def lint(patterns: Iterable[Pattern], knowledge: Knowledge) -> list[str]:
    """What is suspect in patterns that can be read: keys that knowledge does not have, texts that are alike."""
    known: Mapping[str, Iterable[str]] = {
        "cond": knowledge.conditions,
        "spec": knowledge.specialties,
        "test": knowledge.observables,
        "proc": knowledge.procedures,
    }
    found: list[str] = []
    texts: dict[tuple[str, ...], str] = {}
    for pattern in patterns:
        for term in pattern.when:
            what, _, key = condition(term.removeprefix("!"))[1].partition(":")
            if what in known and key not in known[what]:
                found.append(f"{pattern.where}: {term}: there is no {key!r}; {nearest(key, known[what])}")
        skeleton = _skeleton(pattern)
        if skeleton in texts:
            found.append(f"{pattern.where}: reads like {texts[skeleton]}: {pattern.text!r}")
        texts.setdefault(skeleton, pattern.where)
        wording = " ".join(piece.text for piece in pattern.pieces if isinstance(piece, Words))
        figures = set(re.findall(r"\d[\d.,]*", wording)) - {"2", "111", "999", "24"}
        if figures and pattern.section not in ("information", "patient-letter"):
            found.append(f"{pattern.where}: a figure stands in the words: {pattern.text!r}")
    return found


def _skeleton(pattern: Pattern) -> tuple[str, ...]:
    """The words of a pattern, with the place it has, but without placeholders and punctuation."""
    bare = _TOKEN.sub(lambda token: " " if token[1] is not None else f" {token[2]} ", pattern.text)
    kinds = [*sorted(ask.kind for ask in pattern.demand.takes), *sorted(ask.kind for ask in pattern.demand.lists)]
    return (pattern.section, pattern.part, *kinds, *re.findall(r"[a-z0-9'-]+", bare.lower()))
