"""Values planted where others belong: the figure of another test, a date as a reading, an illness as a medicine."""

from __future__ import annotations

import random
import re

from planting import Change, Planter, append, he, kind_of, narrative, pick, sentence, spans, swap

from fhirsynth.letters.letter import Letter, Span

MEDICINES = ("given", "started", "stopped", "changed", "continued")


def _readings(letter: Letter, *slots: str) -> list[tuple[int, Span]]:
    """The figures of tests, or of observations."""
    return [(n, s) for n, s in spans(letter, "value", "observation") if s.slot in slots and re.search(r"\d", s.surface)]


def _anothers_value(letter: Letter, rng: random.Random) -> Change | None:
    """The figure of one test where that of another stands."""
    facts = {fact.id: fact for fact in letter.stay.facts}
    places = _readings(letter, "value", "last")
    rng.shuffle(places)
    for number, span in places:
        own = facts[span.fact].text
        for fact in letter.stay.of("result"):
            if fact.text != own and fact.values["value"].text != span.surface:
                return Change(number, span.start, span.end, fact.values["value"].text)
    return None


def _anothers_observation(letter: Letter, rng: random.Random) -> Change | None:
    """What was read of one observation where another stands: a pulse as the temperature."""
    places = _readings(letter, "temperature", "pulse", "bp", "rr", "sats", "news2")
    place = pick(rng, places)
    fact = next((fact for fact in letter.stay.facts if place and fact.id == place[1].fact), None)
    if place is None or fact is None:
        return None
    others = [
        v.text
        for slot, v in fact.values.items()
        if slot in ("temperature", "pulse", "bp", "rr") and slot != place[1].slot
    ]
    return swap(place, rng.choice(sorted(others))) if others else None


def _medicine_for_value(letter: Letter, rng: random.Random) -> Change | None:
    """A medicine where the figure of a test stands."""
    names = [fact.text for fact in letter.stay.facts if fact.kind in MEDICINES]
    found = [p for p in _readings(letter, "value") if letter.sections[p[0]].key == "clinical-summary"]
    place = pick(rng, [p for p in found if letter.sections[p[0]].text[p[1].start - 2] != ","])
    return swap(place, rng.choice(names)) if names else None


def _date_for_value(letter: Letter, rng: random.Random) -> Change | None:
    """A date where the first figure of a sentence stands, that of a test."""
    dates = [fact.values["date"].text for fact in letter.stay.of("admission") if "date" in fact.values]
    said = re.compile(r"(?:raised at|low at|high at|\b[Aa]n? [^\d.;]+ of|was) \Z")
    found = []
    for number, span in _readings(letter, "value"):
        text = letter.sections[number].text
        before = text[sentence(text, span.start, span.end)[0] : span.start]
        if said.search(before) and not re.search(r"\d", before):
            found.append((number, span))
    return swap(pick(rng, found), rng.choice(dates)) if dates else None


def _value_for_date(letter: Letter, rng: random.Random) -> Change | None:
    """The figure of a test where a date stands."""
    values = [fact.values["value"].text for fact in letter.stay.of("result")]
    dates = [p for p in spans(letter, "date") if letter.sections[p[0]].text[: p[1].start].endswith(" on ")]
    return swap(pick(rng, dates), rng.choice(values)) if values else None


def _medicine_for_test(letter: Letter, rng: random.Random) -> Change | None:
    """A medicine as what was raised or low."""
    names = [fact.values["name"].text for fact in letter.stay.facts if fact.kind in MEDICINES and "name" in fact.values]
    found = []
    for number, span in spans(letter, "result"):
        text = letter.sections[number].text
        if kind_of(span) == "result" and re.match(r" was (?:raised|low|high|elevated) at", text[span.end :]):
            found.append((number, span))
    return swap(pick(rng, found), rng.choice(names)) if names else None


def _level_turned(letter: Letter, rng: random.Random) -> Change | None:
    """Low for raised, or the other way round, where one test is the only one of its sentence."""
    found = []
    turned = {"raised": "low", "high": "low", "elevated": "low", "low": "raised"}
    for number in narrative(letter):
        section = letter.sections[number]
        for span in section.spans:
            if kind_of(span) != "result" or span.slot:
                continue
            start, end = sentence(section.text, span.start, span.end)
            if any(
                start <= s.start < end and s.type in ("result", "observation") and s is not span for s in section.spans
            ):
                continue
            words = list(re.finditer(rf"\b(?:{'|'.join(turned)})\b", section.text[start:end]))
            if len(words) == 1 and not re.search(r"\b(?:not|no|than|from)\b", section.text[start:end]):
                at = start + words[0].start()
                found.append(Change(number, at, at + len(words[0].group()), turned[words[0].group()]))
    return rng.choice(found) if found else None


def _bare_value(letter: Letter, rng: random.Random) -> Change | None:
    """A figure or an amount of medicine that belongs to nothing."""
    values = [fact.values["value"].text for fact in letter.stay.of("result")]
    values += [fact.values["news2"].text for fact in letter.stay.of("obs") if "news2" in fact.values]
    values += [fact.values["dose"].text for fact in letter.stay.facts if fact.kind in ("started", "continued")]
    values = [value for value in values if ";" not in value]
    if not values:
        return None
    wording = rng.choice(
        [
            "{he} was seen, {value}, and went home.",
            "The ward saw {him}, {value}, in the afternoon.",
            "Discharged on {value}.",
        ]
    )
    return append(
        letter,
        "clinical-summary",
        wording.format(he=he(letter.stay), him=letter.stay.grammar["him"], value=rng.choice(values)),
    )


def _condition_given(letter: Letter, rng: random.Random) -> Change | None:
    """An illness that is taken as a medicine, or a medicine that somebody came in with."""
    stay = letter.stay
    medicines = [fact.values["name"].text for fact in stay.facts if fact.kind in MEDICINES and "name" in fact.values]
    dx = stay.first("dx")
    wordings = [f"{he(stay)} was admitted with {name}." for name in medicines[:1]]
    wordings += [f"The diagnosis is {name}." for name in medicines[:1]]
    if dx is not None and dx.text.split()[-1] not in ("section", "delivery"):  # a birth is a procedure too
        wordings += [f"{he(stay)} was discharged on {dx.text}.", f"{he(stay)} was started on {dx.text}."]
    return append(letter, "clinical-summary", rng.choice(wordings)) if wordings else None


#: Rules of a value that stands where it does not belong.
_UNTIED = {"role", "value", "unit", "unsupported-number"}

KINDS: dict[str, tuple[Planter, set[str]]] = {
    "another's value": (_anothers_value, _UNTIED),
    "another's observation": (_anothers_observation, _UNTIED),
    "medicine for value": (_medicine_for_value, _UNTIED),
    "date for value": (_date_for_value, {"role"}),
    "value for date": (_value_for_date, _UNTIED),
    "medicine for test": (_medicine_for_test, _UNTIED),
    "level turned": (_level_turned, {"level"}),
    "bare value": (_bare_value, _UNTIED),
    "condition given": (_condition_given, {"role"}),
}
