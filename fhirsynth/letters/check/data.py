"""The reader's own word lists, read once."""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from fhirsynth.letters.check.tokens import words


@cache
def table(name: str) -> Mapping[str, Any]:
    """One of the package's TOML files: `abbreviations`, `others` or `language`."""
    return tomllib.loads((resources.files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=20_000)
def forms(phrase: str) -> tuple[str, ...]:
    """A phrase as the normal forms of its words."""
    return tuple(words(phrase).forms)


@cache
def word_set(section: str, name: str) -> frozenset[str]:
    """A list of single words of `language.toml`, in normal form."""
    return frozenset(form for word in table("language")[section][name] for form in forms(word))


@cache
def phrases(section: str, name: str) -> frozenset[tuple[str, ...]]:
    """A list of phrases of `language.toml`, as normal forms."""
    return frozenset(forms(phrase) for phrase in table("language")[section][name])


@cache
def starts(section: str, name: str) -> Mapping[str, Sequence[tuple[str, ...]]]:
    """A list of phrases by their first word, the longest first."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for phrase in sorted(phrases(section, name), key=len, reverse=True):
        found.setdefault(phrase[0], []).append(phrase)
    return found


@cache
def either(section: str, *names: str) -> str:
    """One or several lists of phrases of `language.toml` as one piece of a pattern, the longest first."""
    said = {phrase for name in names for phrase in table("language")[section][name]}
    return f"(?:{'|'.join(sorted(map(re.escape, said), key=lambda phrase: (-len(phrase), phrase)))})"


@cache
def only(section: str, name: str, marks: str) -> re.Pattern[str]:
    """What consists of the phrases of a list and some marks alone, or of nothing."""
    return re.compile(rf"(?:[{marks}]|\b{either(section, name)}\b)*", re.I)


@cache
def by_word(section: str, names: tuple[str, ...]) -> Mapping[str, str]:
    """Which of some lists of single words each word is in."""
    return {form: name for name in names for form in word_set(section, name)}


@cache
def findings() -> Mapping[str, str]:
    """Tags of the observations by each word that speaks of them."""
    tags = table("language")["tags"]
    return {form: tag for tag in tags for (form, *more) in phrases("tags", tag) if not more}


@cache
def shown() -> Mapping[str, str]:
    """The observation that a figure is of, by the word right before it that says how it is."""
    of_tag, steady = table("language")["shown"], by_word("steady", tuple(table("language")["steady"]))
    return {**{form: of_tag[tag] for form, tag in findings().items() if tag in of_tag}, **steady}


def first_names(statistics: Mapping[str, bytes]) -> frozenset[str]:
    """All first names that people of a population may bear, less those that are also words."""
    also = set(table("language")["names"]["also_words"])
    return frozenset(name for name in _names(statistics["names_first"]) if name.lower() not in also and len(name) > 2)


def _names(raw: bytes) -> Iterator[str]:
    lines = (line for line in io.StringIO(raw.decode("utf-8")) if not line.startswith("#"))
    for row in csv.DictReader(lines):
        yield from (row.get("names") or "").split()
