"""Things that a text names against those that the facts hold: illnesses, procedures, tests, medicines, allergies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from fhirsynth.letters.check import allergies, data
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


def check(reading: Reading, known: Known) -> Iterator[Problem]:
    """Everything named that no fact holds, and everything held that is denied."""
    for mention in reading.mentions:
        yield from _mention(reading, known, mention)
    yield from allergies.no_allergies(reading, known)
    yield from _tags(reading, known)


def _mention(reading: Reading, known: Known, mention: Mention) -> Iterator[Problem]:
    kinds = mention.kinds
    found = reading.text[mention.start : mention.end]
    medicines = mention.of("medicine")
    if medicines or "allergen" in kinds:
        if known.of("allergy"):
            yield from allergies.against(reading, known, mention)
        if not kinds & {"condition", "procedure"} and (
            reading.about_allergy(mention.start) or allergies.avoided(reading, mention)
        ):
            yield from allergies.allergen(reading, known, mention)
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
    if _conditional(reading, mention) if medicines else _off(reading, mention) or _may_come(reading, known, mention):
        return
    if _of_a_place(reading, known, mention):
        return
    rule = next(rule for kind, rule in _RULES if kind in kinds)
    yield Problem(rule, mention.start, mention.end, found, "", "")


def _of_a_place(reading: Reading, known: Known, mention: Mention) -> bool:
    """Whether a term is part of the name of a ward, specialty or clinic of the stay ("stroke medicine")."""
    text, length = reading.text, mention.end - mention.start
    for name in known.places:
        if len(name) > length:
            around = text[max(0, mention.start - len(name) + length) : mention.end + len(name) - length]
            if name in around.lower():
                return True
    return False


def _off(reading: Reading, mention: Mention) -> bool:
    return reading.service(mention) or reading.supposed(mention.start)


def _may_come(reading: Reading, known: Known, mention: Mention) -> bool:
    """Whether a symptom or a passing illness is told as one that may come."""
    kinds = mention.kinds
    if not kinds <= {"finding", "reaction", "condition"}:
        return False
    conditions = [known.knowledge.conditions.get(key) for _, key in sorted(mention.of("condition"))]
    if conditions and all(condition is None or condition.kind == "long-term" for condition in conditions):
        return False
    return reading.foretold(mention)


def _conditional(reading: Reading, mention: Mention) -> bool:
    """Whether a thing is named behind an "if" of its sentence."""
    start, _ = reading.sentence(mention.start)
    return any(word.form == "if" for word in reading.said(start, mention.start))


def _tag_of(found: str) -> str:
    """The tag of the observations that a word speaks of, "" if it speaks of none."""
    return _tags_by_phrase().get(data.forms(found), "")


@cache
def _tags_by_phrase() -> Mapping[tuple[str, ...], str]:
    """Tags of the observations by each phrase that speaks of them, the first where there are several."""
    tags = reversed(data.table("language")["tags"])
    return {phrase: tag for tag in tags for phrase in data.phrases("tags", tag)}


def _told_by_tag(reading: Reading, known: Known, mention: Mention, tag: str) -> bool:
    """Whether the observations bear out what is said of a finding: there with the tag, denied without it."""
    if reading.negated(mention):
        return bool(known.bedside) and not all(tag in fact.tags for fact in known.bedside)
    return tag in known.tags


def _tags(reading: Reading, known: Known) -> Iterator[Problem]:
    """Words such as "febrile" and "hypotensive" that only the observations can bear out."""
    wanted = data.findings()
    if "child" in known.stay.tags or reading.forms.isdisjoint(wanted):
        return
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
