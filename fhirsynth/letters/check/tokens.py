"""Words of a text in the form in which they are looked up, with sentences and clauses."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import accumulate
from typing import Any, NamedTuple

#: A word, as a group: splitting at it gives words and what stands between them in turn.
_WORD = re.compile(r"([Ww](?<!\w.)/[Oo]\b|[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:[.,]\d+)*)")
#: Between two words of one term there is at most a space, a hyphen, a slash, a comma or an apostrophe.
_JOINED = re.compile(r"[ \u00a0\-‐–/,'’&+#]*\Z")
#: A sentence's end, with the blanks behind it. Patterns that begin with a set of characters are searched for quickly.
_SENTENCE = re.compile(r"[.!?\n](?:(?<=\n)\n*|(?<!\n)\s+(?=[A-Z\d(\"“]))")
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


class _Joins(dict[str, bool]):
    """Whether what stands between two words joins them, worked out once each."""

    def __missing__(self, gap: str) -> bool:
        joined = self[gap] = _JOINED.match(gap) is not None
        return joined


class Words(list[Word]):
    """Words in order, with their texts, normal forms and first characters also by themselves."""

    def __init__(self, words: Iterable[Word], texts: list[str], forms: list[str], starts: list[int]) -> None:
        super().__init__(words)
        self.texts, self.forms, self.starts = texts, forms, starts


_forms, _joins = _Forms(), _Joins()
#: Word(…) from a tuple of its fields; of many thousand words a second the class itself takes half the time.
_word: Callable[[tuple[Any, ...]], Word] = partial(tuple.__new__, Word)


def words(text: str) -> Words:
    """All words and numbers of a text, in order."""
    parts = _WORD.split(text)  # what stands before a word, the word, what stands before the next …
    gaps, texts = parts[:-1:2], parts[1::2]
    places = list(accumulate(map(len, parts)))
    starts, ends = places[:-1:2], places[1::2]
    forms, joined = list(map(_forms.__getitem__, texts)), map(_joins.__getitem__, gaps)
    return Words(map(_word, zip(starts, ends, texts, forms, joined, strict=True)), texts, forms, starts)


#: The words of a fact's text, which several ask for one after the other; nobody may change them.
words_of_value = lru_cache(maxsize=1_000)(words)


def all_forms(forms: Iterable[str]) -> frozenset[str]:
    """Some normal forms, and those of the parts of those with an apostrophe ("he'll" is also "he")."""
    found = set(forms)
    parts = [part for form in found if "'" in form for part in form.split("'")]
    return frozenset(found.union(_forms[part] for part in parts))


class Cuts:
    """Parts of a text between cuts: sentences or clauses, found again by offset."""

    def __init__(self, starts: list[int], end: int) -> None:
        self.starts = starts
        self._spans = list(zip(starts, [*starts[1:], end], strict=True))

    def of(self, at: int) -> int:
        """Number of the part that holds the character `at`."""
        return bisect_right(self.starts, at) - 1

    def span(self, part: int) -> tuple[int, int]:
        """First and last character of a part."""
        return self._spans[part]

    def around(self, at: int) -> tuple[int, int]:
        """First and last character of the part that holds the character `at`."""
        return self._spans[bisect_right(self.starts, at) - 1]


def sentences(text: str) -> Cuts:
    """A text cut into sentences and lines."""
    return Cuts([0, *(match.end() for match in _SENTENCE.finditer(text) if match.end() < len(text))], len(text))


def clauses(text: str, within: Cuts) -> Cuts:
    """A text cut into clauses; every sentence begins one."""
    starts = set(within.starts) | {match.end() for match in _CLAUSE.finditer(text)}
    return Cuts(sorted(starts), len(text))
