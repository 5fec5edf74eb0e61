"""Medicines of a text against the facts: dose, started or stopped, allergy."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhirsynth.letters.check import allergies, data
from fhirsynth.letters.check.known import Known
from fhirsynth.letters.check.lexicon import Mention
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.quantities import Quantity, is_dose
from fhirsynth.letters.check.reading import Reading
from fhirsynth.letters.check.statuses import Statuses

_FORM = re.compile(r" (?:[a-z-]+ ){0,3}(?:tablets?|capsules?|inhaler|injection|solution|suspension|patch(?:es)?)\b")
#: In a sentence that names no medicine: words that an amount of one may stand with …
_TAKEN = re.compile(rf"\b{data.either('dose', 'taken')}\b", re.I)
#: … and that take up the one of the sentence before.
_AGAIN = re.compile(rf"\b{data.either('dose', 'again')}\b", re.I)
_DRINKS = re.compile(rf"\b{data.either('dose', 'drinks')}\b", re.I)
#: Kinds of fact that bear out a medicine being told as started or stopped.
_BORNE_OUT = {"started": {"started", "given", "changed"}, "stopped": {"stopped", "given"}}


def check(reading: Reading, known: Known) -> Iterator[Problem]:
    """Wrong doses, statuses turned round, and new medicines that an allergy forbids."""
    named = [mention for mention in reading.mentions if mention.of("medicine")]
    statuses = Statuses(reading, named)
    for mention in named:
        told = statuses.of(mention)
        if told not in _BORNE_OUT and not known.of("allergy"):
            continue
        if not reading.about_allergy(mention.start) and not allergies.avoided(reading, mention):
            yield from _status(reading, known, told, mention)
    for quantity in reading.quantities:
        if is_dose(quantity) and reading.term_at(quantity.start) is None:
            yield from _dose(reading, known, named, quantity)


def _subject(reading: Reading, quantity: Quantity) -> Mention | None:
    """The medicine that an amount belongs to: the last one before it in its sentence, else the first one behind."""
    own = [mention for mention in reading.within(*reading.sentence(quantity.start)) if "medicine" in mention.kinds]
    before = [mention for mention in own if mention.end <= quantity.start]
    return before[-1] if before else own[0] if own else None


def _dose(reading: Reading, known: Known, named: list[Mention], quantity: Quantity) -> Iterator[Problem]:
    mention = _subject(reading, quantity)
    wanted = (quantity.type, quantity.value)
    if mention is None:
        unknown = quantity.type == "measure" and quantity.value not in known.loose
        if unknown or not _may_stand_alone(reading, named, quantity):
            yield Problem("unsupported-number", quantity.start, quantity.end, quantity.text, "", "")
        return
    refs = [ref for ref in mention.of("medicine") if ref[1].startswith("vtm:")]
    facts = known.medicines(refs)
    strength = quantity.start - mention.end <= 1 and _FORM.match(reading.text, quantity.end)
    if strength and not any(quantity.value in known.strengths[ref] for ref in refs):
        wanted = ("", "")
    totals = {value for ref in refs for value in known.totals[ref]}
    if quantity.type == "measure" and totals and reading.text[quantity.start - 1 : quantity.start] == "(":
        wanted = wanted if quantity.value in totals else ("", "")
    if not facts or any(wanted in known.doses[ref] for ref in refs):
        return
    if quantity.type == "measure" and quantity.value in known.loose and not any(known.doses[ref] for ref in refs):
        return
    expected = facts[0].values["dose"].text if "dose" in facts[0].values else facts[0].text
    yield Problem("dose", quantity.start, quantity.end, quantity.text, expected, facts[0].id)


def _may_stand_alone(reading: Reading, named: list[Mention], quantity: Quantity) -> bool:
    """Whether an amount may stand in a sentence without a medicine: its words or the sentence before say of what."""
    start, end = reading.sentence(quantity.start)
    if quantity.type == "often" or _TAKEN.search(reading.bare, start, end):
        return True
    if quantity.type == "measure" and quantity.value[1] == "unit" and _DRINKS.search(reading.text, start, end):
        return True
    number = reading.sentences.of(quantity.start)
    if not number or (quantity.start > start + 1 and not _AGAIN.search(reading.bare, start, end)):
        return False
    last = reading.sentences.span(number - 1)
    return any(last[0] <= mention.start < last[1] for mention in named)


def _status(reading: Reading, known: Known, told: str, mention: Mention) -> Iterator[Problem]:
    refs = mention.of("medicine")
    if told != "stopped":
        allergy = known.blocked(refs)
        kinds = {fact.kind for fact in known.medicines(refs)} if allergy is not None else set()
        if allergy is not None and (told == "started" or kinds & {"started", "given"} or not kinds):
            found = reading.text[mention.start : mention.end]
            yield Problem("allergy-conflict", mention.start, mention.end, found, allergy.text, allergy.id)
    if told not in _BORNE_OUT:
        return
    facts = known.medicines(refs)
    if facts and not {fact.kind for fact in facts} & _BORNE_OUT[told]:
        found = reading.text[mention.start : mention.end]
        yield Problem("status", mention.start, mention.end, f"{told}: {found}", facts[0].kind, facts[0].id)
