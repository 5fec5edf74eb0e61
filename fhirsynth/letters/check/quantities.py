"""Dates, times, ages, readings, doses and lengths of time in a text, found in one pass and brought to one form."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from fhirsynth.letters.check.tokens import Words, words

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)"
)
_DAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_COUNTS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12,
}  # fmt: skip
_COUNT_SAID = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_COUNT_WRITTEN = r"\d+(?:\.\d+)?"
_COUNT = rf"(?:{_COUNT_WRITTEN}|{_COUNT_SAID})"
_FORM = (
    r"(?:tablets?|capsules?|puffs?|sachets?|drops?|vials?|sprays?|patch(?:es)?|inhalations?|ampoules?|suppositor(?:y|ies)"
    r"|caps|tabs?)"
)
_PERIOD = r"(?:day|week|month)"
#: Units of readings and doses, with what they count in the form of comparison.
_SCALE = {
    "micrograms": ("mg", 0.001), "microgram": ("mg", 0.001), "mcg": ("mg", 0.001), "mg": ("mg", 1.0),
    "g": ("mg", 1000.0), "units": ("unit", 1.0), "unit": ("unit", 1.0),
    "ml": ("ml", 1.0), "mls": ("ml", 1.0), "nanograms": ("mg", 1e-6),
}  # fmt: skip
_SAME = {
    "bpm": "beats per minute", "beats/min": "beats per minute", "beats a minute": "beats per minute",
    "breaths/min": "breaths per minute", "breaths a minute": "breaths per minute", "°c": "°C", "ºc": "°C",
    "degrees": "°C", "mmhg": "mmHg", "percent": "%", "per cent": "%",
}  # fmt: skip
_UNIT = (
    r"(?:beats per minute|beats a minute|breaths per minute|breaths a minute|beats/min|breaths/min|/min|bpm|mmHg|°C|ºC"
    r"|×10⁹/L|x10\^?9/L|10\*9/L|mL/min/1\.73 ?m²|[munµμ]?mol/(?:mol|L|l)|[mnµμu]?g/(?:mmol|dL|dl|L|l|ml|24hours|hour|h)"
    r"|m?I?[Uu]/(?:L|l|ml)|units/ml|kg/m²|mL/min|ml/min|fL|micrograms?|nanograms?|mcg|mg|mls?|units?|kg|cm|%"
    r"|per cent|g(?![a-z/]))"
)
_UNIT = _UNIT.replace(" ", "[ ]")  # the patterns below are verbose
_DATE = rf"\d{{1,2}}(?:st|nd|rd|th)?[ ](?:of[ ])?{_MONTH}\b(?:,?[ ]\d{{4}})?"
_A_PERIOD = rf"(?:a|per|each|every)[ ]{_PERIOD}\b"
_LASTS = r"(?:more[ ])?(?:nights?|days?|weeks?|months?|hours?|years?|minutes?)\b"
#: Quantities that begin with a figure; `match` at each place where one may begin is quicker than a search for them.
_WRITTEN = re.compile(
    rf"""
      (?P<nhs>(?<![\d])\d{{3}}[ -]\d{{3}}[ -]\d{{4}}(?!\d))
    | (?P<phone>(?<!\d)\(?0\d{{2,4}}\)?[ ]?\d{{3,4}}[ ]?\d{{3,4}}(?!\d))
    | (?P<iso>\b\d{{4}}-\d\d-\d\d\b)
    | (?P<slashed>(?<![\d/])\d{{1,2}}/\d{{1,2}}/\d{{2,4}}(?![\d/]))
    | (?P<date>\b{_DATE})
    | (?P<time>\b\d{{1,2}}(?:[:.]\d\d)?[ ]?(?:am|pm)\b|\b\d{{1,2}}:\d\d\b(?!:))
    | (?P<age>\b\d{{1,3}}[- ](?:year|month|week|day)s?[- ]old\b
        |(?:(?<=\A)|(?<=\n)|(?<=[.][ ]))(?P<opening>\d{{1,3}})(?=,[ ][a-z]|[ ]and[ ]))
    | (?P<pressure>(?<![\d/.])\d{{2,3}}/\d{{2,3}}(?![\d/])(?:[ ]?mmHg)?)
    | (?P<often>\b{_COUNT_WRITTEN}[ ]times[ ](?:{_A_PERIOD}|daily\b))
    | (?P<amount>\b{_COUNT_WRITTEN}[ ]{_FORM}\b)
    | (?P<length>\b{_COUNT_WRITTEN}[ ]{_LASTS})
    | (?P<measure>(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:-\d+(?:\.\d+)?)?[ ]?{_UNIT}(?![A-Za-z²]))
    | (?P<number>(?<![\w.,/-])\d+(?:,\d{{3}})*(?:\.\d+)?(?![\w]))
    """,
    re.X,
)
#: … and with a word.
_SAID = re.compile(
    rf"""
      (?P<date>\b{_DAY}[ ]{_DATE})
    | (?P<age>\b(?:[Aa]ged?:?|At)[ ](?P<years>\d{{1,3}}(?:[ ](?:months?|weeks?|days?))?)\b
            (?![-.:/%,][\d]|[ ]?(?:{_UNIT}|[ap]m\b))
        |\b(?:patient|man|woman|lady|gentleman|boy|girl|(?:Mrs?|Miss|Ms)[ ][A-Z][\w'’-]+),[ ]
            (?P<after>\d{{1,3}})(?=[:,;.][ ])
        |\b(?:is|was)[ ](?P<is>\d{{1,3}})(?=[ ]and\b|[ ]years[ ]old|,[ ](?:and|he|she)\b))
    | (?P<often>\b(?:once|twice|{_COUNT_SAID}[ ]times)[ ]{_A_PERIOD}
        |\b(?:once|twice)[ ](?:daily|weekly)\b|\b{_COUNT_SAID}[ ]times[ ]daily\b
        |\bevery[ ]{_COUNT}(?:[ ]to[ ]{_COUNT})?[ ](?:hours|days|months|weeks)\b
        |\b(?:OD|BD|TDS|TID|QDS|QID|bd|tds|qds)\b)
    | (?P<amount>\b(?:half[ ]an?|{_COUNT_SAID})[ ]{_FORM}\b)
    | (?P<length>\b{_COUNT_SAID}[ ]{_LASTS})
    """,
    re.X,
)
#: Where a quantity of figures may begin: a figure, or a sign right before one.
_FIGURE = re.compile(r"[-(\d]\d*")
#: The words that one of words may begin with.
_LEADING = frozenset(
    (
        *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "Age", "Aged", "age", "aged"),
        *("At", "patient", "man", "woman", "lady", "gentleman", "boy", "girl", "Mr", "Mrs", "Miss", "Ms", "is", "was"),
        *("once", "twice", "every", "half", "OD", "BD", "TDS", "TID", "QDS", "QID", "bd", "tds", "qds", *_COUNTS),
    )
)
_PIECE = re.compile(r"[^'’]+")
#: Of an age, the groups that hold the number where words stand before it.
_BARE_AGES = {_WRITTEN: ("opening",), _SAID: ("years", "is", "after")}
_AMOUNT = re.compile(rf"(half an?|{_COUNT}) ({_FORM})")
_DATES = frozenset({"iso", "slashed", "date"})
_DIGITS = re.compile(r"\d[\d,]*(?:\.\d+)?")
_FREQUENCIES = {"od": "1/day", "bd": "2/day", "tds": "3/day", "tid": "3/day", "qds": "4/day", "qid": "4/day"}


class Quantity(NamedTuple):
    """One quantity. `type`: nhs, phone, date, time, age, pressure, often, amount, length, measure or number.

    `value` is its form for comparison: a date is (day, month, year or 0), a time minutes of the day, a length
    (count, unit), a measure (number, unit), an amount (count, form), the others a text or number.
    """

    start: int
    end: int
    type: str
    text: str
    value: Any


def quantities(text: str, said: Words | None = None) -> list[Quantity]:
    """All quantities of a text, in order. `said`: its words, where they have been found before."""
    found, end = [], 0
    for at in _beginnings(text, words(text) if said is None else said):
        if at < end:
            continue
        pattern = _SAID if text[at].isalpha() else _WRITTEN
        match = pattern.match(text, at)
        if match is not None:
            end = match.end()
            found.append(_quantity(match))
    return found


def _beginnings(text: str, said: Words) -> list[int]:
    """The places where a quantity may begin, in order."""
    places: list[int] = []
    for match in _FIGURE.finditer(text):
        start, end = match.span()
        if text[start] not in "-(":
            places.append(start)
        elif end - start > 1:
            places += (start, start + 1)
    leading = zip(said.starts, map(_leading.__getitem__, said.texts), strict=True)
    worded = [start + offset for start, offsets in leading if offsets for offset in offsets]
    return sorted(places + worded) if worded else places


class _Leading(dict[str, tuple[int, ...]]):
    """Where in a word a quantity may begin, worked out once each; behind an apostrophe a word begins as well."""

    def __missing__(self, word: str) -> tuple[int, ...]:
        places = tuple(piece.start() for piece in _PIECE.finditer(word) if piece.group() in _LEADING)
        self[word] = places
        return places


_leading = _Leading()


def _quantity(match: re.Match[str]) -> Quantity:
    kind = match.lastgroup or ""
    start, end = match.span()
    said = match.group()
    if kind == "age":
        for bare in _BARE_AGES[match.re]:
            if match.group(bare):
                start, said = match.start(bare), match.group(bare)
    return Quantity(start, end, "date" if kind in _DATES else kind, said, _value(kind, said))


@lru_cache(maxsize=20_000)
def _value(kind: str, said: str) -> object:
    """The form for comparison of a quantity of a kind that is written so."""
    if kind in _DATES:
        return date_value(said)
    if kind == "time":
        return _time(said)
    if kind == "age":
        return age_value(said)
    if kind == "pressure":
        return said.removesuffix("mmHg").strip(), "mmHg"
    if kind == "nhs":
        return re.sub(r"\D", "", said)
    if kind == "often":
        return _often(said)
    if kind == "amount":
        count, form = _AMOUNT.fullmatch(said).groups()  # type: ignore[union-attr]
        return _count(count), form[:3]
    if kind == "length":
        pieces = said.replace(" more", "").split()
        return _count(pieces[0]), pieces[1].rstrip("s")
    if kind == "measure":
        return _measure(said)
    if kind == "number":
        return float(said.replace(",", "").rstrip("."))
    return said


def _count(word: str) -> float:
    word = word.lower()
    if word.startswith("half"):
        return 0.5
    return float(_COUNTS[word]) if word in _COUNTS else float(word)


def date_value(said: str) -> tuple[int, int, int]:
    """Day, month and year (0 where unsaid) of a date in any of the forms that letters use."""
    if re.match(r"\d{4}-", said):
        year, month, day = map(int, said.split("-"))
        return day, month, year
    if "/" in said:
        day, month, year = map(int, said.split("/"))
        return day, month, year + 2000 if year < 100 else year
    day_said, month_said, year_said = re.search(r"(\d+)\D*? (?:of )?([A-Z][a-z]+),? ?(\d*)", said).groups()  # type: ignore[union-attr]
    return int(day_said), _MONTHS.index(month_said[:3].lower()) + 1, int(year_said or 0)


def _time(said: str) -> int:
    hour, minute = re.match(r"(\d+)[:.]?(\d*)", said).groups()  # type: ignore[union-attr]
    hours = int(hour)
    if said.endswith(("am", "pm")):
        hours = hours % 12 + (12 if said.endswith("pm") else 0)
    return hours * 60 + int(minute or 0)


def age_value(said: str) -> tuple[int, str]:
    """An age as a number and its unit, from "84", "84-year-old" or "5 months"."""
    found = re.match(r"(\d+)[- ]?(year|month|week|day)?", said)
    return (int(found[1]), found[2] or "year") if found else (-1, "year")


def _often(said: str) -> str:
    said = said.lower()
    if said in _FREQUENCIES:
        return _FREQUENCIES[said]
    if said.startswith("every"):
        return said
    count = 1.0 if said.startswith("once") else 2.0 if said.startswith("twice") else _count(said.split()[0])
    period = "week" if said.endswith(("week", "weekly")) else "month" if said.endswith("month") else "day"
    return f"{count:g}/{period}"


def _measure(said: str) -> tuple[object, str]:
    match = _DIGITS.match(said.lstrip("-"))
    digits = match.group() if match else "0"
    unit = said.lstrip("-")[len(digits) :]
    if unit.startswith("-"):  # a span such as 3.1-3.7g counts by its first number
        unit = re.sub(r"^-[\d.]+", "", unit)
    unit = unit.strip()
    number = float(digits.replace(",", ""))
    if unit in _SCALE:
        unit, scale = _SCALE[unit]
        return round(number * scale, 7), unit
    unit = _SAME.get(unit.lower(), unit)
    unit = "×10⁹/L" if unit in ("x10^9/L", "x109/L", "10*9/L") else unit.replace("μ", "µ")
    return number, unit


def is_dose(quantity: Quantity) -> bool:
    """Whether a quantity is an amount of medicine (or could be one)."""
    if quantity.type in ("amount", "often"):
        return True
    return (
        quantity.type == "measure" and isinstance(quantity.value, tuple) and quantity.value[1] in ("mg", "unit", "ml")
    )


def is_figure(quantity: Quantity) -> bool:
    """Whether a quantity is the reading of a test or an observation (or could be one)."""
    return quantity.type in ("number", "pressure") or (quantity.type == "measure" and not is_dose(quantity))
