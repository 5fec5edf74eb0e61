"""Things that a text names against those that the facts hold: illnesses, procedures, tests, medicines, allergies."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhirsynth.letters.check import data
from fhirsynth.letters.check.known import Known
from fhirsynth.letters.check.lexicon import Mention
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.reading import Reading

_RULES = (
    ("medicine", "unsupported-medicine"),
    ("procedure", "unsupported-procedure"),
    ("condition", "unsupported-condition"),
    ("reaction", "unsupported-finding"),
    ("finding", "unsupported-finding"),
    ("test", "unsupported-test"),
    ("panel", "unsupported-test"),
)
NO_ALLERGIES = re.compile(
    r"\bno (?:known )?(?:(?:drug|medicine|food|other) )*(?:allerg(?:y|ies)|adverse reactions?)|\bNKDA\b|\bnil known\b"
    r"|\bnot (?:known to be )?allergic\b|\bno allerg(?:y|ies)\b|\bnone known\b|\bno record of (?:an |any )?allerg",
    re.I,
)
_ALLERGIC = re.compile(r"\ballerg(?:ic|y) to ([\w-]+)", re.I)


def check(reading: Reading, known: Known) -> Iterator[Problem]:
    """Everything named that no fact holds, and everything held that is denied."""
    for mention in reading.mentions:
        yield from _mention(reading, known, mention)
    yield from _no_allergies(reading, known)
    yield from _tags(reading, known)


def _mention(reading: Reading, known: Known, mention: Mention) -> Iterator[Problem]:
    kinds = {kind for kind, _ in mention.refs}
    found = reading.text[mention.start : mention.end]
    medicines, allergens = mention.of("medicine"), mention.of("allergen")
    if (medicines or allergens) and reading.about_allergy(mention.start) and not kinds & {"condition", "procedure"}:
        yield from _allergen(reading, known, mention, found)
        return
    if kinds <= {"vital", "allergen"}:
        return
    facts = known.holds(mention.refs)
    if medicines:
        products = {ref for ref in medicines if not ref[1].startswith(("vtm:", "other:"))}
        held = known.medicines(medicines)
        if products and held and not known.medicines(products):
            expected = held[0].text
            yield Problem("dose", mention.start, mention.end, found, expected, held[0].id)
            return
    tag = _tag_of(found)
    if tag and _told_by_tag(reading, known, mention, tag):
        return
    if tag in known.tags and reading.negated(mention):
        yield Problem("negated", mention.start, mention.end, found, found, known.bedside[0].id)
        return
    if facts:
        if kinds & {"condition", "procedure", "finding"} and reading.negated(mention) and not _off(reading, mention):
            yield Problem("negated", mention.start, mention.end, found, facts[0].text or found, facts[0].id)
        return
    if _conditional(reading, mention) if medicines else _off(reading, mention):
        return
    rule = next(rule for kind, rule in _RULES if kind in kinds)
    yield Problem(rule, mention.start, mention.end, found, "", "")


def _off(reading: Reading, mention: Mention) -> bool:
    return reading.service(mention) or reading.supposed(mention.start)


def _conditional(reading: Reading, mention: Mention) -> bool:
    """Whether a thing is named behind an "if" of its sentence."""
    start, _ = reading.sentence(mention.start)
    return any(word.form == "if" for word in reading.said(start, mention.start))


def _allergen(reading: Reading, known: Known, mention: Mention, found: str) -> Iterator[Problem]:
    facts = [fact for fact in known.holds(mention.of("allergen")) if fact.kind == "allergy"]
    if not facts and mention.of("medicine"):
        facts = [
            fact
            for fact in known.of("allergy")
            if known.lexicon.refs(fact.text) & mention.of("medicine")
            or any(ref in mention.refs for ref in known.main[fact.id])
        ]
    if facts:
        if reading.negated(mention):
            yield Problem("negated", mention.start, mention.end, found, facts[0].text, facts[0].id)
        return
    start, end = reading.sentence(mention.start)
    cue = _ALLERGIC.search(reading.text, start, end)
    named = cue is not None and cue.start(1) == mention.start
    if known.medicines(mention.of("medicine")) and not named and not reading.key.startswith("allerg"):
        return
    yield Problem("unsupported-allergy", mention.start, mention.end, found, "", "")


def _no_allergies(reading: Reading, known: Known) -> Iterator[Problem]:
    allergies = known.of("allergy")
    if not allergies:
        return
    for match in NO_ALLERGIES.finditer(reading.text):
        following = reading.text[match.end() : match.end() + 12]
        if "other" in match.group().lower() or following.startswith((" other", " apart", " except")):
            continue
        yield Problem("negated", match.start(), match.end(), match.group(), allergies[0].text, allergies[0].id)


def _tag_of(found: str) -> str:
    """The tag of the observations that a word speaks of, "" if it speaks of none."""
    form = data.forms(found)
    return next((tag for tag in data.table("language")["tags"] if form in data.phrases("tags", tag)), "")


def _told_by_tag(reading: Reading, known: Known, mention: Mention, tag: str) -> bool:
    """Whether the observations bear out what is said of a finding: there with the tag, denied without it."""
    if reading.negated(mention):
        return bool(known.bedside) and not all(tag in fact.tags for fact in known.bedside)
    return tag in known.tags


def _tags(reading: Reading, known: Known) -> Iterator[Problem]:
    """Words such as "febrile" and "hypotensive" that only the observations can bear out."""
    if "child" in known.stay.tags:
        return
    wanted = data.findings()
    for place, word in enumerate(reading.words):
        tag = wanted.get(word.form)
        if tag is None or any(m.first <= place < m.behind for m in reading.mentions):
            continue
        mention = Mention(word.start, word.end, place, place + 1, frozenset())
        if _told_by_tag(reading, known, mention, tag) or reading.supposed(word.start):
            continue
        if word.form in known.forms:
            continue
        denied = tag in known.tags
        rule, expected = ("negated", word.text) if denied else ("unsupported-finding", "")
        yield Problem(rule, word.start, word.end, word.text, expected, known.bedside[0].id if denied else "")
