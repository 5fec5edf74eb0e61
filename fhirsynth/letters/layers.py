"""What happens to clean letters on busy wards: abbreviations, and slips of the keyboard.

Both take a letter and give a new one in which every span is right again. What a value was before stands in its
`Span.clean`; plain words that were changed get a span of type `abbreviation` or `typo` of their own with the clean
form. The clean letter is the one to check and to quote; the changed one is for tests of robustness.
"""

from __future__ import annotations

import random
import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import NamedTuple

from fhirsynth.errors import InputError
from fhirsynth.letters.letter import Letter, Section, Span
from fhirsynth.letters.writing import stream

MOST_TYPOS = 0.1
#: Types of span inside which a part of the value may be abbreviated.
_WITHIN = frozenset({"dose", "observation"})
#: … and those that may be abbreviated as a whole.
_WHOLE = frozenset({"condition", "procedure", "result", "allergy", "laterality"})
_SHORTEST_TYPO = 4  # letters
_PLAIN_WORD = re.compile(rf"(?<![\w'’/-])[A-Za-z]{{{_SHORTEST_TYPO},}}(?![\w'’/-])")
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


class Change(NamedTuple):
    """Characters to be replaced, and the type of span that remembers it ("" inside a value)."""

    start: int
    end: int
    text: str
    type: str


@cache
def _lists() -> Mapping[str, Mapping[str, str]]:
    """The abbreviations by table: words, values, within, and those of notes alone."""
    text = (resources.files("fhirsynth.letters") / "abbreviations.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def _known(table: str, note: bool) -> Mapping[str, str]:
    """The abbreviations of a table; those that only notes have go before the others."""
    return {**_lists()[table], **_lists()[f"note-{table}"]} if note else _lists()[table]


@cache
def _pattern(table: str, note: bool) -> re.Pattern[str]:
    """Finds any clean form of a table as whole words, the longest first; a capital may begin it."""
    forms = sorted(_known(table, note), key=lambda form: (-len(form), form))
    either = (f"[{form[0].upper()}{form[0].lower()}]{re.escape(form[1:])}" for form in forms)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(either)})(?![\w-])")


def abbreviate(letter: Letter, seed: int, share: float = 0.7) -> Letter:
    """The letter with words and values abbreviated; `share` of the abbreviations that there are is used.

    Notes have more of them than letters, and abbreviate their headings. Raises InputError for a share outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise InputError(f"the share of abbreviations must be between 0 and 1, found {share}")
    habit = _Habit(seed, letter.note_id, share, letter.kind == "note")
    return letter._replace(
        sections=tuple(
            s if s.writer == "fixed" else _changed(_titled(s, habit), _abbreviations(s, habit)) for s in letter.sections
        )
    )


class _Habit:
    """Which clean forms the writer of a letter abbreviates; `note`: it is one of the ward's notes."""

    def __init__(self, seed: int, note_id: str, share: float, note: bool) -> None:
        self.seed, self.note_id, self.share, self.note = seed, note_id, share, note
        self._known: dict[str, bool] = {}

    def has(self, clean: str) -> bool:
        form = clean.lower()
        if form not in self._known:
            self._known[form] = stream(self.seed, self.note_id, "abbreviation", form).random() < self.share
        return self._known[form]


def _titled(section: Section, habit: _Habit) -> Section:
    """A section of a note under its short heading; a date and time behind it stay."""
    title, comma, when = section.title.partition(", ")
    short = _lists()["note-titles"].get(title)
    if not habit.note or short is None or not habit.has(title):
        return section
    return section._replace(title=f"{short}{comma}{when}")


def _abbreviations(section: Section, habit: _Habit) -> list[Change]:
    """The changes that abbreviate a section: values, then what the pattern's author named, then common words."""
    text, note = section.text, habit.note
    found: list[Change] = []
    for span in section.spans:
        if span.type in _WHOLE:
            short = _short("values", span.surface, note)
            if short and habit.has(span.surface):
                found.append(Change(span.start, span.end, short, ""))
        elif span.type in _WITHIN:
            for match in _pattern("within", note).finditer(span.surface):
                if habit.has(match[0]):
                    start = span.start + match.start()
                    # "18 breaths per minute" becomes "18/min"
                    short = _short("within", match[0], note)
                    start -= short.startswith("/") and text[start - 1] == " "
                    found.append(Change(start, span.start + match.end(), short, ""))
    taken = [(span.start, span.end) for span in section.spans]
    for mark in section.marks:
        if habit.has(text[mark.start : mark.end]) and _free(mark.start, mark.end, taken):
            found.append(Change(mark.start, mark.end, mark.abbreviation, "abbreviation"))
            taken.append((mark.start, mark.end))
    for match in _pattern("words", note).finditer(text):
        if _free(match.start(), match.end(), taken) and habit.has(match[0]):
            found.append(Change(match.start(), match.end(), _short("words", match[0], note), "abbreviation"))
            taken.append((match.start(), match.end()))
    return found


def misspell(letter: Letter, seed: int, rate: float) -> Letter:
    """The letter with slips of the keyboard: each plain word of four letters or more has one with probability `rate`.

    Values, figures, abbreviations and headings are never touched. Raises InputError for a rate outside 0 to 0.1.
    """
    if not 0 <= rate <= MOST_TYPOS:
        raise InputError(f"the rate of typing errors must be between 0 and {MOST_TYPOS}, found {rate}")
    if not rate:
        return letter
    rng = stream(seed, letter.note_id, "typos")
    return letter._replace(
        sections=tuple(s if s.writer == "fixed" else _changed(s, _typos(s, rate, rng)) for s in letter.sections)
    )


def _typos(section: Section, rate: float, rng: random.Random) -> list[Change]:
    taken = [(span.start, span.end) for span in section.spans]
    found = []
    for match in _PLAIN_WORD.finditer(section.text):
        if match[0].isupper() or not _free(match.start(), match.end(), taken) or rng.random() >= rate:
            continue
        slip = _slip(match[0], rng)
        if slip != match[0]:
            found.append(Change(match.start(), match.end(), slip, "typo"))
    return found


def _slip(word: str, rng: random.Random) -> str:
    """The word as a hurried typist leaves it; its first letter stays."""
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    row = next((row for row in _KEYBOARD if word[at].lower() in row), "")
    place = row.find(word[at].lower())
    beside = [row[i] for i in (place - 1, place + 1) if row and 0 <= i < len(row)]
    return word[:at] + rng.choice(beside) + word[at + 1 :] if beside else word


def _free(start: int, end: int, taken: Iterable[tuple[int, int]]) -> bool:
    return all(end <= a or start >= b for a, b in taken)


def _short(table: str, clean: str, note: bool) -> str:
    """The abbreviation of a clean form, with a capital where it has one; "" where there is none."""
    known = _known(table, note)
    if clean in known:
        return known[clean]
    short = known.get(clean[:1].lower() + clean[1:], "")
    return short[:1].upper() + short[1:] if clean[:1].isupper() else short


def _changed(section: Section, changes: list[Change]) -> Section:
    """The section with changes made that do not overlap, its spans and marks moved, and new spans for plain words."""
    if not changes:
        return section
    ordered = sorted(changes)
    text = section.text
    pieces: list[str] = []
    new: list[Span] = []
    at, length = 0, 0
    edges, shifts = [0], [0]  # places in the old text, and how far what follows has gone
    for change in ordered:
        kept = text[at : change.start]
        pieces += (kept, change.text)
        length += len(kept)
        if change.type:
            clean = text[change.start : change.end]
            new.append(_noise(length, change, clean, section.key))
        length += len(change.text)
        at = change.end
        edges.append(at)
        shifts.append(length - at)
    pieces.append(text[at:])
    result = "".join(pieces)

    def shifted(place: int) -> int:
        """Where a place between changes has gone."""
        return place + shifts[bisect_right(edges, place) - 1]

    spans = []
    for span in section.spans:
        start, end = shifted(span.start), shifted(span.end)
        spans.append(span._replace(start=start, end=end, surface=result[start:end]))
    marks = [
        mark._replace(start=shifted(mark.start), end=shifted(mark.end))
        for mark in section.marks
        if _free(mark.start, mark.end, [(change.start, change.end) for change in ordered])
    ]
    every = tuple(sorted([*spans, *new], key=lambda span: (span.start, span.end)))
    return section._replace(text=result, spans=every, marks=tuple(marks))


def _noise(start: int, change: Change, clean: str, section: str) -> Span:
    """The span that remembers what plain words were."""
    end = start + len(change.text)
    return Span(start, end, change.text, change.type, "", "", None, None, None, False, section, clean)
