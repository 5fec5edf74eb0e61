"""Allergies of a text against the facts: what somebody is said to react to, to be kept from, or to bear."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhirsynth.letters.check import data
from fhirsynth.letters.check.data import either
from fhirsynth.letters.check.known import Known
from fhirsynth.letters.check.lexicon import Mention
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.reading import Reading
from fhirsynth.letters.facts import Fact

NO_ALLERGIES = re.compile(
    r"\bno (?:known )?(?:(?:drug|medicine|food|other) )*(?:allerg(?:y|ies)|adverse reactions?)|\bNKDA\b|\bnil known\b"
    r"|\bnot (?:known to be )?allergic\b|\bno allerg(?:y|ies)\b|\bnone known\b|\bno record of (?:an |any )?allerg",
    re.I,
)
_ALLERGIC = re.compile(r"\ballerg(?:ic|y) to ([\w-]+)", re.I)
_LIST = r"(?:[\w-]+(?:, | and | or ))*"
_TAKING = either("allergy", "taking")
#: Before a medicine that somebody is to be kept from, and behind one.
_KEPT_FROM = re.compile(
    rf"\b(?:{either('allergy', 'kept')}|{either('allergy', 'barred')} (?:be |ever |safely )*{_TAKING}) "
    rf"(?:any |all |the )?{_LIST}\Z",
    re.I,
)
#: The words that what stands before one may begin with, and what may stand right behind one that something is told of.
_KEEPS = frozenset({*data.starts("allergy", "kept"), *data.starts("allergy", "barred")})
_BLANKS = frozenset(" ,")
_AVOIDED = re.compile(
    rf"(?:,? (?:and|or) [\w-]+)*,? (?:{either('allergy', 'avoided')}|{either('allergy', 'not_be')} {_TAKING})\b", re.I
)
_NOT_GIVEN = re.compile(rf" (?:was|were|is|are) (?:not|never|therefore not|thus not) {_TAKING}\b", re.I)
#: Behind what brought a reaction, and before it.
_CAUSES = re.compile(rf"(?:,? {either('allergy', 'between')})*,? {either('allergy', 'causes')}\b", re.I)
_EXPOSED = re.compile(rf"\b{either('allergy', 'exposed')} \Z", re.I)
_EXPOSES = frozenset(data.starts("allergy", "exposed"))
#: A rash and the like, for which the facts have a longer word.
_REACTION = re.compile(rf"\b{either('allergy', 'reactions')}\b", re.I)
#: Behind what somebody is said to bear after all, and before it.
_BORNE = re.compile(
    rf" (?:(?:is|was|are|were) {either('allergy', 'borne')}"
    rf"|{either('allergy', 'harmless')} {either('allergy', 'causes')}|{either('allergy', 'may_be')})\b",
    re.I,
)
_BEARS = re.compile(rf"\b{either('allergy', 'bears')} \Z", re.I)
#: Before what is told as given, and behind it.
_GIVEN = re.compile(rf"\b{either('allergy', 'given')} (?:(?:a|an|the|some|oral|intravenous|IV) )*\Z", re.I)
_WAS_GIVEN = re.compile(rf" (?:was|were|has been|have been) (?:\w+ly )?{either('allergy', 'was_given')}\b", re.I)


def kept_from(reading: Reading, mention: Mention) -> bool:
    """Whether a medicine is told as one to avoid."""
    start, end = reading.sentence(mention.start)
    text = reading.text
    if text[mention.end : mention.end + 1] in _BLANKS and _AVOIDED.match(text, mention.end, end):
        return True
    return not reading.forms.isdisjoint(_KEEPS) and _KEPT_FROM.search(text, start, mention.start) is not None


def reacts(reading: Reading, mention: Mention) -> bool:
    """Whether a substance is told as the cause of a reaction, without the word allergy."""
    start, end = reading.sentence(mention.start)
    text = reading.text
    causes = text[mention.end : mention.end + 1] in _BLANKS and _CAUSES.match(text, mention.end, end)
    exposed = not reading.forms.isdisjoint(_EXPOSES) and _EXPOSED.search(text, start, mention.start)
    if not (causes or exposed):
        return False
    told = _REACTION.search(text, start, end) or any(other.of("reaction") for other in reading.within(start, end))
    return bool(told)


def avoided(reading: Reading, mention: Mention) -> bool:
    """Whether a substance stands as what somebody must not have, for either reason."""
    return kept_from(reading, mention) or reacts(reading, mention)


def allergen(reading: Reading, known: Known, mention: Mention) -> Iterator[Problem]:
    """What is wrong with a substance of an allergy: that none is known, or that it is denied."""
    found = reading.text[mention.start : mention.end]
    facts = held(known, mention)
    if facts:
        if reading.negated(mention) and not kept_from(reading, mention):
            yield Problem("negated", mention.start, mention.end, found, facts[0].text, facts[0].id)
        return
    start, end = reading.sentence(mention.start)
    refs = mention.of("medicine")
    if known.blocked(refs) and (kept_from(reading, mention) or _NOT_GIVEN.match(reading.text, mention.end, end)):
        return  # of the class that the allergy is to
    cue = _ALLERGIC.search(reading.text, start, end)
    named = (cue is not None and cue.start(1) == mention.start) or reacts(reading, mention)
    if known.medicines(refs) and not named and not reading.key.startswith("allerg"):
        return
    yield Problem("unsupported-allergy", mention.start, mention.end, found, "", "")


def held(known: Known, mention: Mention) -> list[Fact]:
    """The allergies to what a term names."""
    facts = [fact for fact in known.holds(mention.of("allergen")) if fact.kind == "allergy"]
    if not facts and mention.of("medicine"):
        facts = [
            fact
            for fact in known.of("allergy")
            if known.lexicon.refs(fact.text) & mention.of("medicine")
            or any(ref in mention.refs for ref in known.main[fact.id])
        ]
    return facts


def against(reading: Reading, known: Known, mention: Mention) -> Iterator[Problem]:
    """A substance of one of the stay's allergies that is told as given, or as one that does no harm."""
    facts = held(known, mention)
    if not facts:
        return
    start, end = reading.sentence(mention.start)
    text, found = reading.text, reading.text[mention.start : mention.end]
    if _BORNE.match(text, mention.end, end) or _BEARS.search(text, start, mention.start):
        yield Problem("negated", mention.start, mention.end, found, facts[0].text, facts[0].id)
    elif known.medicines(mention.of("medicine")) or reading.about_allergy(mention.start):
        return
    elif not (avoided(reading, mention) or reading.negated(mention) or reading.supposed(mention.start)):
        clause, _ = reading.clause(mention.start)
        if _GIVEN.search(text[clause : mention.start]) or _WAS_GIVEN.match(text, mention.end, end):
            yield Problem("allergy-conflict", mention.start, mention.end, found, facts[0].text, facts[0].id)


def no_allergies(reading: Reading, known: Known) -> Iterator[Problem]:
    """No allergies told of somebody who has one."""
    allergies = known.of("allergy")
    if not allergies:
        return
    for match in NO_ALLERGIES.finditer(reading.text):
        following = reading.text[match.end() : match.end() + 12]
        if "other" in match.group().lower() or following.startswith((" other", " apart", " except")):
            continue
        yield Problem("negated", match.start(), match.end(), match.group(), allergies[0].text, allergies[0].id)
