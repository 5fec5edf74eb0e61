"""What the model learns from: sections with their briefs, made by the phrasebook and by hand; nothing else.

Sections of the phrasebook are put in other words at random (`rewording.toml`), and kept only where the check finds
nothing wrong. The exemplars are whole sections by a human hand, in `exemplars/`.
"""

from __future__ import annotations

import json
import random
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from fhirsynth.errors import InputError
from fhirsynth.letters.check import check_section
from fhirsynth.letters.facts import Stay
from fhirsynth.letters.lm.brief import Brief, UnsaidError, brief, section_of
from fhirsynth.letters.phrases import VOICES, load
from fhirsynth.letters.plan import plan
from fhirsynth.letters.writing import PhrasebookWriter, stream, voice_of

#: How often words that can be said otherwise are.
_REWORDED = 0.6
_PIECE = re.compile(r"(\{[^{}]*\}|\[[^\[\]]*\])")
_AN = re.compile(r"\b([Aa])(n?) ([A-Za-z]+)")
_VOWEL = re.compile(r"[aeiouAEIOU]")
#: Words whose first letter and first sound differ.
_ODD = {"hour": True, "honest": True, "one": False, "use": False, "unit": False, "uneventful": True, "united": False}


class Sample(NamedTuple):
    """A section to learn from: `brief` is what the writer was told, `text` what was written, with placeholders."""

    brief: str
    text: str

    @property
    def section(self) -> str:
        """Key of the section, the first item of its brief."""
        return self.brief.partition(">")[0].removeprefix("<")


def samples(stays: Iterable[Stay], seed: int, times: int = 1) -> Iterator[Sample]:
    """Sections of the phrasebook about these stays, each stay in `times` voices, put in other words at random."""
    for stay in stays:
        rng = stream(seed, stay.note_id, "corpus")
        voices = [voice_of(stay, seed), *rng.sample(VOICES, len(VOICES))][:times]
        for number, voice in enumerate(voices):
            for asked, text in briefs(stay, voice, seed + number):
                reworded = _said_otherwise(text, rng)
                if _is_sound(asked, reworded):
                    yield Sample(asked.line, reworded)
                elif reworded != text and _is_sound(asked, text):
                    yield Sample(asked.line, text)


def briefs(stay: Stay, voice: str, seed: int) -> Iterator[tuple[Brief, str]]:
    """The briefs of a letter's narrative sections, with what the phrasebook makes of them."""
    writer = PhrasebookWriter(load(), voice)
    for planned in plan(stay):
        if planned.heading.kind == "narrative":
            made = brief(stay, planned, voice, writer.outline(stay, planned, seed))
            if made is not None:
                yield made


def exemplars() -> tuple[Sample, ...]:
    """The sections written by hand."""
    folder = resources.files("fhirsynth.letters.lm") / "exemplars"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda file: file.name)
    found = (entry for file in files for entry in tomllib.loads(file.read_text(encoding="utf-8"))["exemplar"])
    return tuple(Sample(entry["brief"], entry["text"].strip()) for entry in found)


def read(path: Path) -> list[Sample]:
    """The samples of a JSON Lines file with `brief` and `text`. Raises InputError naming the line."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            found.append(Sample(str(entry["brief"]), str(entry["text"])))
        except (ValueError, KeyError, TypeError):
            raise InputError(f'{path}, line {number}: expected an object with "brief" and "text"') from None
    return found


def _is_sound(asked: Brief, text: str) -> bool:
    try:
        section = section_of(asked, text)
    except UnsaidError:
        return False
    return not check_section(asked.stay, section.key, section.text)


# ---- other words


@cache
def _rewordings() -> tuple[re.Pattern[str], Mapping[str, tuple[str, ...]]]:
    """A pattern that finds what can be said otherwise, and how, by the words in lower case."""
    text = (resources.files("fhirsynth.letters.lm") / "rewording.toml").read_text(encoding="utf-8")
    others: dict[str, tuple[str, ...]] = {}
    for group in tomllib.loads(text)["same"]:
        for words in group:
            others.setdefault(words, tuple(other for other in group if other != words))
    longest = sorted(others, key=lambda words: (-len(words), words))
    either = "|".join(re.escape(words) for words in longest if "[" not in words)
    return re.compile(rf"(?<![\w-])(?:{either})(?![\w-])", re.IGNORECASE), others


def _said_otherwise(text: str, rng: random.Random) -> str:
    """The text with some of its words replaced by others that mean the same."""
    pattern, others = _rewordings()

    def other(match: re.Match[str]) -> str:
        choices = others.get(match[0].lower())
        if not choices or rng.random() >= _REWORDED:
            return match[0]
        chosen = rng.choice(choices)
        return chosen[0].upper() + chosen[1:] if match[0][0].isupper() else chosen

    pieces = _PIECE.split(text)
    pieces[::2] = [pattern.sub(other, piece) for piece in pieces[::2]]
    return "".join(_AN.sub(_article, piece) if place % 2 == 0 else piece for place, piece in enumerate(pieces))


def _article(match: re.Match[str]) -> str:
    """a or an, as the next word sounds."""
    word = match[3].lower()
    sounds = _ODD.get(word, bool(_VOWEL.match(word)) and not word.startswith(("uni", "eu", "use")))
    return f"{match[1]}{'n' if sounds else ''} {match[3]}"
