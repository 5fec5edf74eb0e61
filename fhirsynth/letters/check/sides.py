"""Sides of the body in a text against the facts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhirsynth.letters.check import data
from fhirsynth.letters.check.known import Known
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.reading import Reading

_SIDE = re.compile(r"\b(left|right|bilateral|bilaterally)\b", re.I)
_STEMS = ("left", "right", "bilateral")
_ALONE = re.compile(r"^[ ]?(?:[,;:.)]|$|\n|on\b|-sided)")


def check(reading: Reading, known: Known) -> Iterator[Problem]:
    """Sides that no fact holds, or that are not those of the thing they stand with."""
    if not any(word in reading.lower for word in _STEMS):
        return
    held = {fact.values["side"].text.lower(): fact for fact in known.stay.facts if "side" in fact.values}
    for match in _SIDE.finditer(reading.text):
        if not _of_the_body(reading, match):
            continue
        if any(m.start <= match.start() < m.end and known.holds(m.refs) for m in reading.mentions):
            continue  # part of the name of a thing that is held
        side = match.group(1).lower().removesuffix("ly")
        if side in held:
            expected = _thing(reading, known, match, side)
            if expected is None:
                continue
            yield Problem("side", match.start(), match.end(), match.group(), *expected)
        elif held:
            first = next(iter(held.values()))
            yield Problem("side", match.start(), match.end(), match.group(), first.values["side"].text, first.id)
        elif not reading.supposed(match.start()):
            yield Problem("unsupported-side", match.start(), match.end(), match.group(), "", "")


def _of_the_body(reading: Reading, match: re.Match[str]) -> bool:
    if any(m.start <= match.start() < m.end for m in reading.mentions):
        return True
    if match.group(1).lower().startswith("bilateral"):
        return True
    text, parts = reading.text, data.word_set("sides", "parts")
    after = reading.said(match.end(), match.end() + 30)[:1]
    before = text[: match.start()].rstrip(" ")
    if after and after[0].form in parts and text[match.end() : after[0].start] in (" ", "-"):
        return not (
            match.group(1).lower() == "left" and before.lower().endswith((" he", " she", " have", " had", " being"))
        )
    if any(m.start == match.end() + 1 and (m.of("condition") or m.of("procedure")) for m in reading.mentions):
        return not before.lower().endswith((" he", " she", " having", " when he", " when she"))
    if not _ALONE.match(text[match.end() :]):
        return False
    if before.endswith("("):
        return True
    if before.endswith((",", ":")):
        return match.group(1)[0].islower() or before.endswith(":")
    return before.lower().endswith((" the", "affected"))


def _thing(reading: Reading, known: Known, match: re.Match[str], side: str) -> tuple[str, str] | None:
    """Where both sides are held: side and fact of the only thing of the sentence that has a side, if it is another."""
    start, end = reading.sentence(match.start())
    facts = {
        fact.id: fact
        for mention in reading.within(start, end)
        for fact in known.holds(mention.refs)
        if "side" in fact.values and known.main.get(fact.id, frozenset()) & mention.refs
    }
    sides = {fact.values["side"].text.lower() for fact in facts.values()}
    if len(sides) == 1 and side not in sides:
        fact = next(iter(facts.values()))
        return fact.values["side"].text, fact.id
    return None
