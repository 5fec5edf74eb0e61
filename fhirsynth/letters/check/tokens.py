"""Words of a text in the form in which they are looked up, with sentences and clauses."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

_WORD = re.compile(r"\b[Ww]/[Oo]\b|[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:[.,]\d+)*")
#: Between two words of one term there is at most a space, a hyphen, a slash, a comma or an apostrophe.
_JOINED = re.compile(r"[ \u00a0\-‐–/,'’&+#]*\Z")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\d(\"“])|\n+")
_CLAUSE = re.compile(r"[;:()]|, |\. |\b(?:and|but|while|whereas|then|although|though)\b")
_AMERICAN = (("ae", "e"), ("oe", "e"), ("sulph", "sulf"), ("iz", "is"))


class Word(NamedTuple):
    """One word: its characters in the text, as it stands and normalised; `joined`: to the word before it."""

    start: int
    end: int
    text: str
    form: str
    joined: bool


class _Forms(dict[str, str]):
    """Normal forms by word, worked out once each: small letters, one spelling, singular."""

    def __missing__(self, word: str) -> str:
        form = word.lower().replace("’", "'").removesuffix("'s")
        for before, after in _AMERICAN:
            form = form.replace(before, after)
        if len(form) > 3 and form[-1] == "s" and form[-2] not in "siu":
            if form.endswith("ies"):
                form = form[:-3] + "y"
            elif form.endswith(("sses", "xes", "ches", "shes")):
                form = form[:-2]
            else:
                form = form[:-1]
        self[word] = form
        return form


_forms = _Forms()


def words(text: str) -> list[Word]:
    """All words and numbers of a text, in order."""
    found: list[Word] = []
    new = tuple.__new__  # of many thousand words a second: half the time of Word(…)
    last = 0
    for match in _WORD.finditer(text):
        start, end = match.span()
        said = match.group()
        gap = text[last:start]
        joined = gap in ("", " ", "-") or _JOINED.match(gap) is not None
        found.append(new(Word, (start, end, said, _forms[said], joined)))
        last = end
    return found


class Cuts:
    """Parts of a text between cuts: sentences or clauses, found again by offset."""

    def __init__(self, starts: list[int], end: int) -> None:
        self.starts, self.end = starts, end

    def of(self, at: int) -> int:
        """Number of the part that holds the character `at`."""
        return bisect_right(self.starts, at) - 1

    def span(self, part: int) -> tuple[int, int]:
        """First and last character of a part."""
        return self.starts[part], self.starts[part + 1] if part + 1 < len(self.starts) else self.end


def sentences(text: str) -> Cuts:
    """A text cut into sentences and lines."""
    return Cuts([0, *(match.end() for match in _SENTENCE.finditer(text) if match.end() < len(text))], len(text))


def clauses(text: str, within: Cuts) -> Cuts:
    """A text cut into clauses; every sentence begins one."""
    starts = set(within.starts) | {match.end() for match in _CLAUSE.finditer(text)}
    return Cuts(sorted(starts), len(text))
