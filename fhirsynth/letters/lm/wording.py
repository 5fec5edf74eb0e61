"""What a model may say of what it could: words that its training text has, and has side by side.

A model of this size now and then joins words that mean nothing together, or makes a claim that no fact carries. Both
read like English, and nothing that looks for facts can find them. So each sentence is held against the training text:
every two words that stand together must do so there, and every three where one of them is a placeholder; a word that
belongs to some conditions, procedures or tests must stand there about one of the brief's; a sentence without a
placeholder, which no fact vouches for, must stand there as a whole, in that section and about such a topic. What is
left free is how sentences are built around the facts.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fhirsynth.errors import InputError
from fhirsynth.letters.lm.brief import PARAGRAPH, SENTENCE
from fhirsynth.letters.lm.corpus import Sample

FILE = "wording.npz"
_WORD = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]|[A-Za-z'’]+|\d+|[^\sA-Za-z\d]")
_NUMBER = re.compile(r"\d+(?=[.}])")
_FIRST, _LAST = "<", ">"
#: What a text is about, in its brief.
_TOPIC = re.compile(r"<(?:cond|proc|test):[^<>]*>")
#: A word that stands in texts about this share of all topics belongs to none of them.
_GENERAL = 0.2
_KEPT = ("pairs", "threes", "sentences", "topical", "topics")


class Wording:
    """What stands in a training text, as checksums: pairs of words, threes of words about a placeholder, sentences
    without one, `topical` words and sentences, and those with each topic that they stand in texts about."""

    def __init__(self, **kept: Iterable[int]) -> None:
        self._kept = {name: frozenset(kept[name]) for name in _KEPT}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Wording) and self._kept == other._kept

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def learn(cls, samples: Iterable[Sample]) -> Wording:
        """Of samples of a corpus."""
        kept: dict[str, set[int]] = {name: set() for name in _KEPT}
        about: dict[str, set[str]] = defaultdict(set)
        for sample in samples:
            topics = topics_of(sample.brief)
            for paragraph in sample.text.split(PARAGRAPH):
                for sentence in SENTENCE.split(paragraph):
                    words = _words(sentence)
                    kept["pairs"].update(_pairs(words))
                    kept["threes"].update(_threes(words))
                    if not _has_place(words):
                        whole = " ".join((sample.section, *words))
                        kept["sentences"].add(_sum(whole))
                        words.append(whole)
                    for word in words:
                        about[word] |= topics
        general = _GENERAL * len(set().union(*about.values()))
        for word, found in about.items():
            if len(found) < general:
                kept["topical"].add(_sum(word))
                kept["topics"].update(_sum(word, topic) for topic in found)
        return cls(**kept)

    @classmethod
    def load(cls, folder: Path) -> Wording | None:
        """That of a model's folder, None where there is none. Raises InputError for a damaged file."""
        file = folder / FILE
        if not file.is_file():
            return None
        try:
            with np.load(file) as found:
                return cls(**{name: found[name].tolist() for name in _KEPT})
        except Exception as error:  # a damaged archive fails in many ways
            raise InputError(f"{file} is damaged: {error}") from None

    def save(self, folder: Path) -> None:
        """Write it into a model's folder; the same wording makes the same bytes."""
        arrays: dict[str, Any] = {name: np.array(sorted(self._kept[name]), dtype=np.uint32) for name in _KEPT}
        with (folder / FILE).open("wb") as file:
            np.savez_compressed(file, **arrays)

    def sound(self, section: str, topics: Iterable[str], sentence: str) -> bool:
        """Whether a sentence with placeholders may stand in a section of such topics (see `topics_of`)."""
        words, kept = _words(sentence), self._kept
        if not _has_place(words):
            whole = " ".join((section, *words))
            return _sum(whole) in kept["sentences"] and self._on_topic((*words, whole), topics)
        known = kept["pairs"].issuperset(_pairs(words)) and kept["threes"].issuperset(_threes(words))
        return known and self._on_topic(words, topics)

    def _on_topic(self, words: Iterable[str], topics: Iterable[str]) -> bool:
        belonging = (word for word in words if _sum(word) in self._kept["topical"])
        return all(any(_sum(word, topic) in self._kept["topics"] for topic in topics) for word in belonging)


def topics_of(brief: str) -> frozenset[str]:
    """The conditions, procedures and tests that a brief names."""
    return frozenset(_TOPIC.findall(brief))


def _words(sentence: str) -> list[str]:
    """The words of a sentence between two marks; placeholders without the numbers of their facts."""
    found = (_NUMBER.sub("", word) if word[0] == "{" else word.lower() for word in _WORD.findall(sentence))
    return [_FIRST, *found, _LAST]


def _pairs(words: list[str]) -> Iterator[int]:
    return (_sum(*pair) for pair in zip(words, words[1:], strict=False))


def _threes(words: list[str]) -> Iterator[int]:
    return (_sum(*three) for three in zip(words, words[1:], words[2:], strict=False) if _has_place(three))


def _has_place(words: Iterable[str]) -> bool:
    return any(word[0] == "{" for word in words)


def _sum(*words: str) -> int:
    return zlib.crc32(" ".join(words).encode())
