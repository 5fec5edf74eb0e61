"""Medicines of a text against the facts: dose, started or stopped, allergy."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhirsynth.letters.check import data
from fhirsynth.letters.check.known import Known
from fhirsynth.letters.check.lexicon import Mention
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.quantities import Quantity, is_dose
from fhirsynth.letters.check.reading import Reading

_LABEL = re.compile(r"\s*([A-Z]\w+(?: [a-z]+){0,3}):")
_FORM = re.compile(r" (?:[a-z-]+ ){0,3}(?:tablets?|capsules?|inhaler|injection|solution|suspension|patch(?:es)?)\b")
_STATUSES = ("started", "stopped", "continued")
#: Kinds of fact that bear out a medicine being told as started or stopped.
_BORNE_OUT = {"started": {"started", "given", "changed"}, "stopped": {"stopped", "given"}}


def check(reading: Reading, known: Known) -> Iterator[Problem]:
    """Wrong doses, statuses turned round, and new medicines that an allergy forbids."""
    named = [mention for mention in reading.mentions if mention.of("medicine")]
    for mention in named:
        if reading.about_allergy(mention.start):
            continue
        yield from _status(reading, known, mention)
    for quantity in reading.quantities:
        if is_dose(quantity) and not any(m.start <= quantity.start < m.end for m in reading.mentions):
            yield from _dose(reading, known, named, quantity)


def subject(reading: Reading, named: list[Mention], quantity: Quantity) -> Mention | None:
    """The medicine that an amount belongs to: the last one before it in its sentence, else the first one behind."""
    start, end = reading.sentence(quantity.start)
    own = [mention for mention in named if start <= mention.start < end]
    before = [mention for mention in own if mention.end <= quantity.start]
    return before[-1] if before else own[0] if own else None


def _dose(reading: Reading, known: Known, named: list[Mention], quantity: Quantity) -> Iterator[Problem]:
    mention = subject(reading, named, quantity)
    wanted = (quantity.type, quantity.value)
    if mention is None:
        if quantity.type == "measure" and quantity.value not in known.loose:
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


def _status(reading: Reading, known: Known, mention: Mention) -> Iterator[Problem]:
    refs = mention.of("medicine")
    told = _told(reading, mention)
    if told != "stopped":
        allergy = known.blocked(refs)
        kinds = {fact.kind for fact in known.medicines(refs)}
        if allergy is not None and (told == "started" or kinds & {"started", "given"} or not kinds):
            found = reading.text[mention.start : mention.end]
            yield Problem("allergy-conflict", mention.start, mention.end, found, allergy.text, allergy.id)
    if told not in _BORNE_OUT:
        return
    facts = known.medicines(refs)
    if facts and not {fact.kind for fact in facts} & _BORNE_OUT[told]:
        found = reading.text[mention.start : mention.end]
        yield Problem("status", mention.start, mention.end, f"{told}: {found}", facts[0].kind, facts[0].id)


def _told(reading: Reading, mention: Mention) -> str:
    """How a text tells of a medicine: started, stopped, continued, or "" where it does not say or says several."""
    sentence = reading.sentence(mention.start)
    label = _LABEL.match(reading.text, *sentence)
    if label:
        found = {s for s in _STATUSES for form in data.forms(label.group(1)) if form in data.word_set("status", s)}
        if len(found) == 1:
            return found.pop()
    for start, end in (reading.clause(mention.start), sentence):
        found = set()
        said = reading.said(start, end)
        for place, word in enumerate(said):
            if any(m.start <= word.start < m.end for m in reading.within(start, end)):
                continue
            for status in _STATUSES:
                if word.form in data.word_set("status", status):
                    around = {w.form for w in said[max(0, place - 2) : place]}
                    if around & data.word_set("status", "unless"):
                        return ""
                    found.add(status)
        if found:
            return found.pop() if len(found) == 1 else ""
    return ""
