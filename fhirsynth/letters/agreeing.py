"""How values and the words around them agree: a or an, one or many, capitals. Word lists: `agreement.toml`."""

from __future__ import annotations

import re
import tomllib
from functools import cache, lru_cache
from importlib import resources

#: Letters whose names begin with a vowel's sound: an MRI scan, an X-ray.
_VOWEL_NAMES = frozenset("AEFHILMNORSX")
_ONE_TO_MANY = {"was": "were", "is": "are", "has": "have"}
_MANY_TO_ONE = {many: one for one, many in _ONE_TO_MANY.items()}
#: Where the head of a phrase ends: "transfusion of red cells" is one transfusion.
_HEAD = re.compile(r" (?:of|for|in|with|to|from|due|on|at) |[,(;]")


@cache
def _lists() -> dict[str, tuple[str, ...]]:
    text = (resources.files("fhirsynth.letters") / "agreement.toml").read_text(encoding="utf-8")
    return {name: tuple(words) for name, words in tomllib.loads(text).items()}


@cache
def article(text: str) -> str:
    """`a` or `an`, as the text that follows sounds."""
    first = re.split(r"[\s,;/]", text, maxsplit=1)[0]
    if first[:1].isdigit():
        number = re.match(r"\d+", first)
        said = number[0] if number else ""
        return "an" if said.startswith("8") or said in ("11", "18") else "a"
    low = first.lower()
    if any(low == word for word in _lists()["an"]):
        return "an"
    if any(low.startswith(word) for word in _lists()["a"]):
        return "a"
    letters = re.match(r"[A-Z]{2,}|[A-Z](?=-)|[A-Z]$", first)
    if letters:
        return "an" if first[0] in _VOWEL_NAMES else "a"
    return "an" if low[:1] in set("aeiou") else "a"


@cache
def is_many(text: str) -> bool:
    """Whether a phrase is plural, as far as its form tells."""
    head = _HEAD.split(text, maxsplit=1)[0].strip()
    word = head.split(" ")[-1].lower()
    if not word.endswith("s") or word.endswith(("ss", "is", "us", "'s", "’s", "as", "os")):
        return False
    return word not in _lists()["singular"]


@cache
def takes_no_article(text: str) -> bool:
    """Whether "a" cannot stand before a phrase: intravenous fluids, oxygen therapy."""
    head = _HEAD.split(text, maxsplit=1)[0].strip()
    return is_many(text) or head.split(" ")[-1].lower() in _lists()["uncountable"]


def verb(word: str, many: bool) -> str:
    """The verb as it goes with one or with many."""
    return (_ONE_TO_MANY if many else _MANY_TO_ONE).get(word, word)


@lru_cache(maxsize=20_000)
def capital(text: str) -> str:
    """With a capital at its start, unless its first word has capitals of its own (eGFR)."""
    first = re.split(r"[\s-]", text, maxsplit=1)[0]
    return text[:1].upper() + text[1:] if first.islower() else text
