"""What a search should find, the slow way: by the rules of FHIR, one resource after another, without the index."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from fhirsynth.serving.parameters import Parameter

Json = dict[str, Any]
Span = tuple[dt.datetime, dt.datetime]

LONDON = ZoneInfo("Europe/London")
_MIN, _MAX = dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)


def elements(resource: Json, path: str) -> Iterator[Any]:
    """What stands at a path of `parameters.toml`, the tests of whose paths are elsewhere."""
    for way in path.split(" | "):
        yield from _down(resource, way.split("."))


def _down(value: Any, way: list[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _down(item, way)
    elif not way:
        yield value
    elif isinstance(value, dict):
        name, _, where = way[0].partition("[")
        inner = value.get(name, [])
        if where:
            key, wanted = where.rstrip("]").split("=")
            inner = [item for item in (inner if isinstance(inner, list) else [inner]) if item.get(key) == wanted]
        yield from _down(inner, way[1:])


def matches(resource: Json, parameter: Parameter, modifier: str, values: list[str]) -> bool:
    """Whether a resource meets a criterion, of whose values any may fit."""
    found = [_as_reference(item) for item in elements(resource, parameter.path)]
    if parameter.present:
        found = [any(item is not False for item in found)]
    if modifier == "missing":
        if parameter.target:
            found = [item for item in found if item.get("reference", "").startswith(f"{parameter.target}/")]
        return (not found) == (values == ["true"])
    if modifier == "not":
        return not any(_token(item, value) for item in found for value in values)
    test = {
        "token": _token,
        "uri": lambda item, value: item == value,
        "reference": lambda item, value: _reference(item, value, {modifier or None, parameter.target} - {None}),
        "string": lambda item, value: any(_string(text, value, modifier) for text in _texts(item)),
        "date": lambda item, value: _date(item, value),
        "quantity": _quantity,
    }[parameter.type]
    return any(test(item, value) for item in found for value in values)


def _token(item: Any, value: str) -> bool:
    if isinstance(item, bool):
        pairs = [(None, str(item).lower())]
    elif isinstance(item, str):
        pairs = [(None, item)]
    elif "coding" in item:
        pairs = [(coding.get("system", ""), coding["code"]) for coding in item["coding"]]
    else:
        pairs = [(item.get("system", ""), item.get("code") or item.get("value"))]
    if "|" not in value:
        return any(code == value for _, code in pairs)
    system, code = value.split("|")
    return any(
        (code in ("", its_code) and its_system == system) or (its_system is None and code == its_code)
        for its_system, its_code in pairs
    )


def _as_reference(item: Any) -> Any:
    """A resource that stands in another, as a reference to it; anything else as it is."""
    inside = isinstance(item, dict) and "resourceType" in item
    return {"reference": f"{item['resourceType']}/{item['id']}"} if inside else item


def _reference(item: Any, value: str, only: set[str | None]) -> bool:
    if item["reference"].startswith("#"):
        return item["reference"] == value and not only
    of, identity = item["reference"].split("/")
    wanted_kind, _, wanted = value.rpartition("/")
    return identity == wanted and wanted_kind in ("", of) and only <= {of}


def _texts(item: Any) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    else:
        for key in ("family", "given", "prefix", "suffix", "text", "line", "city", "district", "state", "postalCode"):
            inner = item.get(key, [])
            yield from [inner] if isinstance(inner, str) else inner
        if "country" in item:
            yield item["country"]


def _string(text: str, value: str, modifier: str) -> bool:
    if modifier == "exact":
        return text == value
    return folded(value) in folded(text) if modifier == "contains" else folded(text).startswith(folded(value))


def folded(text: str) -> str:
    """A text without case, accents and punctuation; a dash is a space, and spaces are single."""
    kept = ""
    for character in unicodedata.normalize("NFKD", text).casefold():
        category = unicodedata.category(character)
        kept += " " if category == "Pd" or character.isspace() else "" if category[0] in "PMC" else character
    return " ".join(kept.split())


def span(text: str) -> Span:
    """From when to when a date or dateTime is, in London where it has no zone."""
    if len(text) <= 10:
        parts = [int(part) for part in text.split("-")]
        year, month, day = (*parts, 1, 1)[:3]
        start = dt.datetime(year, month, day, tzinfo=LONDON)
        if len(parts) == 3:
            end = start + dt.timedelta(days=1)  # of the calendar, as both have the zone
        else:
            end = start.replace(year=year + 1) if len(parts) == 1 or month == 12 else start.replace(month=month + 1)
            end = end.replace(month=1) if len(parts) == 2 and month == 12 else end
        return start, end
    clock, zone = text[11:], None
    for sign in "Z+-":
        if sign in clock:
            clock, zone = clock.split(sign)[0], clock[clock.index(sign) :]
    start = dt.datetime.fromisoformat(text[:11] + clock + (zone or ""))
    start = start if zone else start.replace(tzinfo=LONDON)
    return start, start.astimezone(dt.UTC) + dt.timedelta(seconds=60 if len(clock) == 5 else 1)


def _span_of(item: Any) -> Span:
    if isinstance(item, str):
        return span(item)
    return (span(item["start"])[0] if "start" in item else _MIN, span(item["end"])[1] if "end" in item else _MAX)


def _date(item: Any, value: str) -> bool:
    prefix, text = (value[:2], value[2:]) if value[0].isalpha() else ("eq", value)
    (low, high), (first, after) = span(text), _span_of(item)
    inside = low <= first and after <= high
    return {
        "eq": inside,
        "ne": not inside,
        "gt": after > high,
        "lt": first < low,
        "ge": after > high or inside,
        "le": first < low or inside,
        "sa": first >= high,
        "eb": after <= low,
    }[prefix]


def _quantity(item: Any, value: str) -> bool:
    number, *unit = value.split("|")
    prefix, number = (number[:2], number[2:]) if number[0].isalpha() else ("eq", number)
    decimals = len(number.partition(".")[2])
    exact, half, its = Fraction(number), Fraction(1, 2 * 10**decimals), Fraction(str(item["value"]))
    right = {
        "eq": exact - half <= its < exact + half,
        "ne": not exact - half <= its < exact + half,
        "gt": its > exact,
        "lt": its < exact,
        "ge": its >= exact,
        "le": its <= exact,
        "sa": its > exact,
        "eb": its < exact,
    }[prefix]
    if not unit:
        return right
    if len(unit) == 1 or unit[0] == "":
        return right and unit[-1] in ("", item.get("code"), item.get("unit"))  # nothing asks for nothing
    return right and item.get("system") == unit[0] and unit[1] in ("", item.get("code"))
