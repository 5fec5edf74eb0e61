"""Errors planted mechanically into clean letters, one each, with the rules by which a reader may catch them."""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Callable

import planted_roles
from planting import Change, Planted, Planter, append, he, kind_of, narrative, pick, sentence, spans, swap

from fhirsynth.knowledge import load
from fhirsynth.letters import saying
from fhirsynth.letters.letter import Letter

MEDICINES = ("given", "started", "stopped", "changed", "continued")
_MONTHS = {f"{dt.date(2000, month, 1):%B}": month for month in range(1, 13)}
_SEXED = {
    "he": "she", "she": "he", "his": "her", "him": "her", "her": "his", "himself": "herself", "herself": "himself",
    "man": "woman", "woman": "man", "boy": "girl", "girl": "boy", "gentleman": "lady", "lady": "gentleman",
    "Mr": "Mrs", "Mrs": "Mr", "Miss": "Mr", "Ms": "Mr",
}  # fmt: skip
_TURNED = {
    "fell": "rose", "falling": "rising", "fall": "rise", "dropped": "climbed", "came down": "went up", "down": "up",
    "rose": "fell", "rising": "falling", "rise": "fall", "climbed": "fell", "improved": "worsened",
    "came up": "went down",
    "worsened": "improved", "improving": "worsening", "worsening": "improving", "fallen": "risen", "risen": "fallen",
    "decreased": "increased", "increased": "decreased", "come down": "gone up",
}  # fmt: skip
_SWAPPED = {
    "started": "stopped", "commenced": "discontinued", "stopped": "started", "discontinued": "commenced",
    "begun": "stopped", "initiated": "stopped", "start": "stop", "stop": "start", "new": "stopped",
}  # fmt: skip
_UNITS = {
    "mg/L": "g/L", "mmol/L": "µmol/L", "µmol/L": "mmol/L", "g/L": "mg/L", "×10⁹/L": "g/L", "ng/L": "µg/L",
    "U/L": "mmol/L", "mmol/mol": "mmol/L", "fL": "g/L", "µg/L": "ng/L", "nmol/L": "mmol/L", "pmol/L": "nmol/L",
}  # fmt: skip


def plant(kind: str, letter: Letter, rng: random.Random) -> Planted | None:
    """A letter with one error of a kind, or None where the letter gives no occasion for it."""
    planter, rules = KINDS[kind]
    found = planter(letter, rng)
    if not found:
        return None
    changes = [found] if isinstance(found, Change) else sorted(found, key=lambda c: (c.section, c.start))
    sections = [section._replace(spans=()) for section in letter.sections]
    for change in reversed(changes):
        text = sections[change.section].text
        now = text[: change.start] + change.text + text[change.end :]
        sections[change.section] = sections[change.section]._replace(text=now)
    first = changes[0]
    was = letter.sections[first.section].text[max(0, first.start - 40) : first.end + 40]
    now = sections[first.section].text[max(0, first.start - 40) : first.start + len(first.text) + 40]
    return Planted(kind, frozenset(rules), tuple(s for s in sections if s.text.strip()), was, now)


# ---- the errors


def _wrong_dose(letter: Letter, rng: random.Random) -> Change | None:
    found = []
    for number, span in spans(letter, "medication", "dose"):
        if kind_of(span) not in MEDICINES:
            continue
        for pattern, other in _DOSES:
            match = re.search(pattern, span.surface)
            if match:
                found.append(Change(number, span.start + match.start(), span.start + match.end(), other(match)))
                break
    return rng.choice(found) if found else None


_DOSES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"\b(\d+)(?= ?mg\b)", lambda m: str(int(m[1]) * 2)),
    (r"\b(\d+)(?= ?micrograms?\b)", lambda m: str(int(m[1]) * 5)),
    (r"\bonce a day\b", lambda m: "three times a day"),
    (r"\btwice a day\b", lambda m: "once a day"),
)


def _invented_diagnosis(letter: Letter, rng: random.Random) -> Change | None:
    stay = letter.stay
    said = " ".join(value.text for fact in stay.facts for value in fact.values.values()).lower()
    names = [c.words.letter[0] for c in load().conditions.values() if c.kind == "long-term"]
    names = [name for name in names if not set(re.findall(r"\w{4,}", name.lower())) & set(re.findall(r"\w+", said))]
    name = rng.choice(names)
    wording = rng.choice([f"{he(stay)} also has {name}.", f"Background of {name}.", f"Imaging confirmed {name}."])
    places = [place for place in spans(letter, "condition") if kind_of(place[1]) in ("pmh", "secondary")]
    if places and rng.random() < 0.5:
        return swap(rng.choice(places), name)
    return append(letter, "clinical-summary", wording)


def _invented_drug(letter: Letter, rng: random.Random) -> Change | None:
    said = " ".join(value.text for fact in letter.stay.facts for value in fact.values.values()).lower()
    drugs = [m.vtm_name for m in load().medicines.values() if m.vtm_name.lower().split()[0] not in said]
    drugs += ["vancomycin", "ceftriaxone", "meropenem", "heparin", "labetalol", "phenytoin"]
    drug = rng.choice(sorted(drug for drug in drugs if "+" not in drug)).lower()
    places = [place for place in spans(letter, "medication") if kind_of(place[1]) in MEDICINES]
    if places and rng.random() < 0.5:
        return swap(rng.choice(places), drug)
    return append(
        letter, "clinical-summary", rng.choice([f"Given {drug}.", f"{he(letter.stay)} was treated with {drug}."])
    )


def _dropped_allergy(letter: Letter, rng: random.Random) -> list[Change]:
    changes = []
    if letter.stay.first("allergy") is None:
        return []
    for number, section in enumerate(letter.sections):
        if section.key.startswith("allergies"):
            changes.append(Change(number, 0, len(section.text), "Not discussed"))
    return changes


def _no_allergies_told(letter: Letter, rng: random.Random) -> list[Change]:
    if letter.stay.first("allergy") is None:
        return []
    return [
        Change(number, 0, len(section.text), "No known allergies")
        for number, section in enumerate(letter.sections)
        if section.key.startswith("allergies")
    ]


def _allergic_drug(letter: Letter, rng: random.Random) -> Change | None:
    knowledge = load()
    for fact in letter.stay.of("allergy"):
        blocks = {
            blocked
            for allergy in knowledge.allergies.values()
            if allergy.snomed == fact.values[""].code
            for blocked in allergy.blocks
        }
        drugs = sorted(m.vtm_name for m in knowledge.medicines.values() if blocks & set(m.classes))
        if drugs:
            drug = rng.choice(drugs).lower()
            return append(letter, "clinical-summary", f"Started on {drug} during the stay.")
    return None


def _negated(letter: Letter, rng: random.Random) -> Change | None:
    found = [
        (number, span)
        for number, span in spans(letter, "condition", "procedure")
        if kind_of(span) in ("dx", "secondary", "pmh", "proc") and letter.sections[number].key == "clinical-summary"
    ]
    place = pick(rng, found)
    if place is None:
        return None
    denial = rng.choice(["no evidence of ", "no ", "not "] if kind_of(place[1]) != "proc" else ["no "])
    return Change(place[0], place[1].start, place[1].start, denial)


def _wrong_side(letter: Letter, rng: random.Random) -> Change | None:
    place = pick(rng, [p for p in spans(letter, "laterality") if p[1].surface.lower() in ("left", "right")])
    if place is None:
        return None
    return swap(place, {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}[place[1].surface])


def _wrong_date(letter: Letter, rng: random.Random) -> Change | None:
    place = pick(rng, list(spans(letter, "date")))
    if place is None:
        return None
    surface = place[1].surface
    match = re.fullmatch(r"(?:\w+day )?(\d+) (\w+)(?: (\d{4}))?", surface)
    if match is None:
        return None
    known = {value.text for fact in letter.stay.facts for value in fact.values.values()}
    day = dt.date(int(match[3] or 2021), _MONTHS[match[2]], int(match[1]))
    for _ in range(20):
        other = day + dt.timedelta(days=rng.choice([-30, -9, -2, -1, 1, 2, 7, 31]))
        text = saying.date(other) if match[3] else f"{other:%A} {other.day} {other:%B}"
        if not any(
            f"{other.day} {other:%B}" in said.split(" ", 0)[0] or said.startswith(f"{other.day} {other:%B}")
            for said in known
        ):
            return swap(place, text)
    return None


def _wrong_time(letter: Letter, rng: random.Random) -> Change | None:
    place = pick(rng, list(spans(letter, "time")))
    return swap(place, "3:07am") if place and place[1].surface != "3:07am" else None


def _wrong_number(letter: Letter, rng: random.Random) -> Change | None:
    found = [p for p in spans(letter, "observation", "value") if re.search(r"\d", p[1].surface)]
    place = pick(rng, found)
    if place is None:
        return None
    match = re.search(r"\d[\d,]*(?:\.\d+)?", place[1].surface)
    assert match is not None
    digits = match.group()
    known = " ".join(value.text for fact in letter.stay.facts for value in fact.values.values())
    for _ in range(30):
        place_of_digit = rng.choice([n for n, character in enumerate(digits) if character.isdigit()])
        other = digits[:place_of_digit] + rng.choice("123456789") + digits[place_of_digit + 1 :]
        if other != digits and not re.search(rf"(?<![\d.]){re.escape(other)}(?![\d.])", known):
            start = place[1].start + match.start()
            return Change(place[0], start, start + len(digits), other)
    return None


def _wrong_unit(letter: Letter, rng: random.Random) -> Change | None:
    found = []
    for number, span in spans(letter, "value"):
        digits, _, unit = span.surface.partition(" ")
        if unit in _UNITS:
            found.append(Change(number, span.start, span.end, f"{digits} {_UNITS[unit]}"))
    return rng.choice(found) if found else None


def _other_name(letter: Letter, rng: random.Random) -> Change | None:
    place = pick(rng, list(spans(letter, "person_name")))
    if place is None:
        return None
    title, *names = place[1].surface.split()
    other = rng.choice(
        [name for name in ("Pemberton", "Hargreaves", "Okafor", "Lindqvist") if name not in place[1].surface]
    )
    if not names:
        return swap(place, rng.choice([name for name in ("Oliver", "Freya", "Callum") if name != title]))
    return swap(place, " ".join([title, *names[:-1], other]))


def _wrong_sex(letter: Letter, rng: random.Random) -> Change | None:
    found = []
    for number, section in enumerate(letter.sections):
        for match in re.finditer(rf"\b(?:{'|'.join(_SEXED)})\b", section.text, re.I):
            word = match.group()
            if word.lower() in ("mr", "mrs", "miss", "ms"):
                patient = letter.stay.facts[0].values["short"].text
                if not section.text.startswith(patient, match.start()):
                    continue
            other = _SEXED.get(word) or _SEXED[word.lower()].capitalize()
            found.append(Change(number, match.start(), match.end(), other))
    return rng.choice(found) if found else None


def _wrong_age(letter: Letter, rng: random.Random) -> Change | None:
    place = pick(rng, [p for p in spans(letter, "age") if re.search(r"\d", p[1].surface)])
    if place is None:
        return None
    return swap(
        place, re.sub(r"\d+", lambda m: str(int(m.group()) + rng.choice([3, 11, 20])), place[1].surface, count=1)
    )


def _turned(letter: Letter, rng: random.Random) -> Change | None:
    """A word of direction turned round, where a test that changed is the only test of its sentence."""
    found = []
    for number in narrative(letter):
        section = letter.sections[number]
        for span in section.spans:
            if kind_of(span) != "trend" or span.slot:
                continue
            start, end = sentence(section.text, span.start, span.end)
            if any(start <= s.start < end and s.type == "result" and s.fact != span.fact for s in section.spans):
                continue
            if any(start <= s.start < end and kind_of(s) in ("obs", "obsend") for s in section.spans):
                continue
            words = "|".join(sorted(_TURNED, key=len, reverse=True))
            matches = list(re.finditer(rf"\b(?:{words})\b", section.text[start:end]))
            if len(matches) == 1 and not re.search(r"\b(?:not|no|without)\b", section.text[start:end]):
                match = matches[0]
                place = start + match.start()
                if match.group() in ("down", "up") and not section.text[place:].startswith(
                    ("down to", "down from", "up from", "up to")
                ):
                    continue
                found.append(Change(number, place, place + len(match.group()), _TURNED[match.group()]))
    return rng.choice(found) if found else None


def _swapped(letter: Letter, rng: random.Random) -> Change | None:
    """Started for stopped, or the other way round, where nothing else is told of in the sentence."""
    found = []
    for number, section in enumerate(letter.sections):
        for span in section.spans:
            if kind_of(span) not in ("started", "stopped") or span.slot not in ("", "name"):
                continue
            start, end = sentence(section.text, span.start, span.end)
            others = {kind_of(s) for s in section.spans if start <= s.start < end} & set(MEDICINES)
            words = "|".join(_SWAPPED)
            matches = list(re.finditer(rf"\b(?:{words})\b", section.text[start:end], re.I))
            if others == {kind_of(span)} and len(matches) == 1:
                word = matches[0].group()
                if kind_of(span) == "started" and _SWAPPED[word.lower()] not in ("stopped", "discontinued", "stop"):
                    continue
                if kind_of(span) == "stopped" and _SWAPPED[word.lower()] not in ("started", "commenced", "start"):
                    continue
                other = _SWAPPED[word.lower()]
                place = start + matches[0].start()
                found.append(
                    Change(number, place, place + len(word), other.capitalize() if word[0].isupper() else other)
                )
    return rng.choice(found) if found else None


def _dropped(letter: Letter, rng: random.Random) -> list[Change]:
    """A required fact left out of every sentence and line."""
    required = [fact for fact in letter.stay.facts if fact.required and fact.kind in _DROPPED]
    rng.shuffle(required)
    for fact in required:
        others = {v.text.lower() for f in letter.stay.facts if f is not fact for v in f.values.values()}
        words = set(re.findall(r"[a-z]{4,}", fact.text.lower()))
        if any(words & set(re.findall(r"[a-z]{4,}", other)) for other in others):
            continue  # said in other words by another fact
        changes = []
        for number, section in enumerate(letter.sections):
            cuts = {sentence(section.text, s.start, s.end) for s in section.spans if s.fact == fact.id}
            end_before = -1
            for start, end in sorted(cuts):
                if start >= end_before:
                    changes.append(Change(number, start, end, ""))
                    end_before = end
        if changes:
            return changes
    return []


_DROPPED = ("dx", "secondary", "pmh", "proc", "started", "stopped", "continued", "followup", "referral")


def _wrong_nights(letter: Letter, rng: random.Random) -> Change | None:
    place = pick(rng, [p for p in spans(letter, "duration") if kind_of(p[1]) == "discharge"])
    return swap(place, f"{int(place[1].surface.split()[0]) + 13} nights") if place else None


def _wrong_nhs_number(letter: Letter, rng: random.Random) -> Change | None:
    place = pick(rng, list(spans(letter, "nhs_number")))
    return swap(place, "999 000 0018") if place else None


_WAY = re.compile(r"\b(?:planned|elective|booked|emergency|unplanned) (?=admission|stay)", re.I)


def _other_way_in(letter: Letter, rng: random.Random) -> Change | None:
    """An emergency told as planned, or the other way round."""
    way = "unplanned" if "elective" in letter.stay.tags else "planned"
    found = [
        Change(number, match.start(), match.end(), f"{way} ")
        for number in narrative(letter)
        for match in _WAY.finditer(letter.sections[number].text)
    ]
    return rng.choice(found) if found else append(letter, "clinical-summary", f"This was a {way} admission.")


KINDS: dict[str, tuple[Planter, set[str]]] = {
    "wrong dose": (_wrong_dose, {"dose"}),
    "invented diagnosis": (_invented_diagnosis, {"unsupported-condition"}),
    "invented drug": (_invented_drug, {"unsupported-medicine"}),
    "dropped allergy": (_dropped_allergy, {"missing"}),
    "no allergies told": (_no_allergies_told, {"negated"}),
    "allergic drug": (_allergic_drug, {"allergy-conflict"}),
    "negated": (_negated, {"negated"}),
    "wrong side": (_wrong_side, {"side"}),
    "wrong date": (_wrong_date, {"unsupported-date", "date"}),
    "wrong time": (_wrong_time, {"time"}),
    "wrong number": (_wrong_number, {"value", "unsupported-number"}),
    "wrong unit": (_wrong_unit, {"unit"}),
    "other name": (_other_name, {"name"}),
    "wrong sex": (_wrong_sex, {"sex"}),
    "wrong age": (_wrong_age, {"age"}),
    "fell or rose": (_turned, {"trend"}),
    "started or stopped": (_swapped, {"status"}),
    "dropped fact": (_dropped, {"missing"}),
    "wrong nights": (_wrong_nights, {"duration"}),
    "other way in": (_other_way_in, {"admission"}),
    "wrong NHS number": (_wrong_nhs_number, {"nhs-number"}),
    **planted_roles.KINDS,
}
