"""People of a text against the facts: names, titles, sex, age, NHS number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from fhirsynth.letters.check.data import forms
from fhirsynth.letters.check.known import Known
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.quantities import age_value
from fhirsynth.letters.check.reading import Reading

#: Mrs, Mr, Miss, Ms, Mx, Dr, Professor, Prof, Master, Sister and a name. This and the next begin with a set of
#: characters, for which a search is quick.
_TITLED = re.compile(
    r"([DMPS](?<!\w.)(?:(?<=M)(?:rs?|iss|s|x|aster)|(?<=D)r|(?<=P)rof(?:essor)?|(?<=S)ister))\b\.? "
    r"([A-Z][\w'’]*(?:[- ](?:[A-Z][\w'’]*|de|van|der|al)\b)*)"
)
_FEMALE = frozenset({"she", "her", "hers", "herself", "woman", "lady", "girl"})
_MALE = frozenset({"he", "him", "his", "himself", "man", "gentleman", "boy"})
_FORMS = {words: frozenset(form for word in words for form in forms(word)) for words in (_FEMALE, _MALE)}
_SEXED = re.compile(rf"\b(?:{'|'.join(sorted(_FEMALE | _MALE))})\b", re.I)
_TITLE_SEX = {"Mrs": "female", "Miss": "female", "Ms": "female", "Mr": "male", "Master": "male"}
_POSSESSIVE = re.compile(r"['’]s\b")
_AGED = re.compile(r"\bage|old\b", re.I)
_CAPITAL = re.compile(r"[A-Z](?<!\w.)[a-zà-ÿ'’]{2,}\b")


def check(reading: Reading, known: Known) -> Iterator[Problem]:
    """Names of people who are in no fact, words of the wrong sex, wrong ages, another NHS number."""
    yield from _names(reading, known)
    yield from _sex(reading, known)
    yield from _ages(reading, known)
    patient = known.first("patient")
    number = patient.values["nhs"].code if patient is not None and "nhs" in patient.values else None
    for quantity in reading.quantities:
        if quantity.type == "nhs" and number and quantity.value != number:
            yield Problem("nhs-number", quantity.start, quantity.end, quantity.text, number, "patient:1")


def _names(reading: Reading, known: Known) -> Iterator[Problem]:
    text = reading.text
    spans = []
    for match in _TITLED.finditer(text):
        title, said = match.group(1), match.group(2)
        owner = _POSSESSIVE.search(said)
        end = match.start(2) + owner.start() if owner else match.end()
        spans.append((match.start(), end))
        problem = _person(known, title, text[match.start(2) : end].split())
        if problem is not None:
            rule, expected, fact = problem
            yield Problem(rule, match.start(), end, text[match.start() : end], expected, fact)
    if _with_genitives(known.lexicon.first_names).isdisjoint(_CAPITAL.findall(text)):
        return
    for match in _CAPITAL.finditer(text):
        name = match.group().removesuffix("'s").removesuffix("’s")
        if name not in known.lexicon.first_names or name in known.words:
            continue
        if any(start <= match.start() < end for start, end in spans):
            continue
        if any(m.start <= match.start() < m.end for m in reading.mentions):
            continue
        patient = known.first("patient")
        yield Problem("name", match.start(), match.end(), name, patient.text if patient else "", "patient:1")


@lru_cache(maxsize=4)
def _with_genitives(names: frozenset[str]) -> frozenset[str]:
    """Names as they are and with the ending of a genitive."""
    return frozenset(name + ending for name in names for ending in ("", "'s", "’s"))


def _person(known: Known, title: str, names: list[str]) -> tuple[str, str, str] | None:
    """What is wrong with a titled name; None if somebody of the facts is called so."""
    surname_known = None
    for person in known.people:
        own = [name for name in names if name in person.names]
        if own == names or (own and own == names[: len(own)] and names[len(own)] in known.words):
            if person.title in ("", title):
                return None
            surname_known = person
    if surname_known is not None:
        sexes = {_TITLE_SEX.get(title), _TITLE_SEX.get(surname_known.title)}
        rule = "sex" if surname_known.fact.startswith("patient") and len(sexes - {None}) == 2 else "name"
        return rule, surname_known.text, surname_known.fact
    patient = next((person for person in known.people if person.fact.startswith("patient")), None)
    return "name", patient.text if patient is not None else "", patient.fact if patient is not None else ""


def _sex(reading: Reading, known: Known) -> Iterator[Problem]:
    wrong = _MALE if known.sex == "female" else _FEMALE
    if reading.forms.isdisjoint(_FORMS[wrong]):
        return
    for match in _SEXED.finditer(reading.text):
        word = match.group().lower()
        if word not in wrong or match.group().isupper():
            continue
        yield Problem("sex", match.start(), match.end(), match.group(), known.sex, "patient:1")


def _ages(reading: Reading, known: Known) -> Iterator[Problem]:
    patient = known.first("patient")
    if patient is None:
        return
    for quantity in reading.quantities:
        if quantity.type != "age":
            continue
        value = age_value(re.sub(r"^\D+", "", quantity.text))
        plain = _AGED.search(quantity.text) or _AGED.search(reading.text, max(0, quantity.start - 6), quantity.start)
        if value not in known.ages and (plain or float(value[0]) not in known.numbers):
            expected = patient.values["age"].text if "age" in patient.values else ""
            yield Problem("age", quantity.start, quantity.end, quantity.text, expected, patient.id)
