"""The functions of FHIRPath over single values: texts, numbers, conversions, dates."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from fhirsynth.validation.fhirpath import moments
from fhirsynth.validation.fhirpath.code import Code, of_items, of_truth, of_value
from fhirsynth.validation.fhirpath.errors import Unsupported
from fhirsynth.validation.fhirpath.moments import Moment
from fhirsynth.validation.fhirpath.nodes import Element, Items, as_text, plain
from fhirsynth.validation.fhirpath.operators import as_moment, is_number
from fhirsynth.validation.fhirpath.quantities import CALENDAR, Quantity, decimal, quantity_of
from fhirsynth.validation.fhirpath.registry import Site, function

# ---- texts: each function is empty where its input or an argument is, or is no text; an element without a value (its
# extension says why) begins with nothing, as in HL7's validator


def _textual(name: str, work: Callable[..., Any], least: int = 0, most: int | None = None, truth: bool = False) -> None:
    """Registers a function of a text and arguments that are texts or whole numbers."""

    def build(site: Site) -> Code:
        value = site.source.value
        count = len(site.call.arguments)
        arguments = [site.argument(place).value for place in range(count)]
        if name in _OF_PATTERN and (pattern := site.text(0)) is not None:
            _checked_pattern(pattern, site)

        if count == 1:
            (argument,) = arguments

            def one(this: Any, env: Any) -> Any:
                text = value(this, env)
                given = argument(this, env)
                if type(text) is not str or given is None:
                    return False if truth and type(text) is Element else None
                return work(text, given)

            return of_truth(one) if truth else of_value(one)

        def any_number(this: Any, env: Any) -> Any:
            text = value(this, env)
            given = [argument(this, env) for argument in arguments]
            if type(text) is not str or None in given:
                return None
            return work(text, *given)

        return of_truth(any_number) if truth else of_value(any_number)

    function(name, least, most)(build)


_OF_PATTERN = frozenset(("matches", "matchesFull", "replaceMatches"))


@lru_cache(512)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.DOTALL)


def _checked_pattern(text: str, site: Site) -> None:
    try:
        _pattern(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise Unsupported(f"{text} is no regular expression that can be used ({error})", at=site.call.at) from None


def _substring(text: str, start: int, length: int | None = None) -> str | None:
    if not 0 <= start < len(text):
        return None
    return text[start:] if length is None else text[start : start + max(length, 0)]


def _replaced_matches(text: str, pattern: str, by: str) -> str:
    # $1 and ${name} as in Java and JavaScript
    template = re.sub(r"\$(?:(\d+)|\{(\w+)\})", r"\\g<\1\2>", by.replace("\\", "\\\\"))
    return _pattern(pattern).sub(template, text)


def _coded(text: str, form: str) -> str | None:
    data = text.encode()
    match form:
        case "base64":
            return base64.b64encode(data).decode()
        case "urlbase64":
            return base64.urlsafe_b64encode(data).decode()
        case "hex":
            return data.hex()
    return None


def _decoded(text: str, form: str) -> str | None:
    try:
        match form:
            case "base64":
                return base64.b64decode(text, validate=True).decode()
            case "urlbase64":
                return base64.urlsafe_b64decode(text).decode()
            case "hex":
                return bytes.fromhex(text).decode()
    except (ValueError, binascii.Error):
        return None
    return None


_textual("startsWith", str.startswith, 1, truth=True)
_textual("endsWith", str.endswith, 1, truth=True)
_textual("contains", str.__contains__, 1, truth=True)
_textual("matches", lambda text, pattern: _pattern(pattern).search(text) is not None, 1, truth=True)
_textual("matchesFull", lambda text, pattern: _pattern(pattern).fullmatch(text) is not None, 1, truth=True)
_textual("replaceMatches", _replaced_matches, 2)
_textual("replace", str.replace, 2)
_textual("indexOf", str.find, 1)
_textual("lastIndexOf", str.rfind, 1)
_textual("substring", _substring, 1, 2)
_textual("upper", str.upper)
_textual("lower", str.lower)
_textual("trim", str.strip)
_textual("length", len)
_textual("encode", _coded, 1)
_textual("decode", _decoded, 1)


@function("toChars")
def _to_chars(site: Site) -> Code:
    value = site.source.value

    def characters(this: Any, env: Any) -> Items:
        text = value(this, env)
        return list(text) if type(text) is str else ()

    return of_items(characters)


@function("split", 1)
def _split(site: Site) -> Code:
    value, by = site.source.value, site.argument(0).value

    def parts(this: Any, env: Any) -> Items:
        text, sign = value(this, env), by(this, env)
        if type(text) is not str or type(sign) is not str:
            return ()
        return text.split(sign) if sign else list(text)

    return of_items(parts)


@function("join", 0, 1)
def _join(site: Site) -> Code:
    items = site.source.items
    by = site.argument(0).value if site.call.arguments else lambda this, env: ""

    def joined(this: Any, env: Any) -> str | None:
        found = [as_text(plain(item)) for item in items(this, env)]
        return (by(this, env) or "").join(text for text in found if text is not None) if found else None

    return of_value(joined)


# ---- numbers


def _numeric(name: str, work: Callable[..., Any], least: int = 0, most: int | None = None) -> None:
    """Registers a function of a number and numbers; empty where one is missing or the result is no number."""

    def build(site: Site) -> Code:
        value = site.source.value
        arguments = [site.argument(place).value for place in range(len(site.call.arguments))]

        def worked(this: Any, env: Any) -> Any:
            numbers = [value(this, env), *(argument(this, env) for argument in arguments)]
            if not all(is_number(number) for number in numbers):
                return None
            try:
                return work(*numbers)
            except (ValueError, InvalidOperation, ArithmeticError):
                return None

        return of_value(worked)

    function(name, least, most)(build)


def _rounded(number: Any, places: int = 0) -> Decimal:
    return decimal(number).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _power(number: Any, exponent: Any) -> Any:
    found = decimal(number) ** decimal(exponent)
    return int(found) if type(number) is int and type(exponent) is int and exponent >= 0 else found


_numeric("abs", abs)
_numeric("ceiling", lambda number: int(decimal(number).to_integral_value(ROUND_CEILING)))
_numeric("floor", lambda number: int(decimal(number).to_integral_value(ROUND_FLOOR)))
_numeric("truncate", lambda number: int(decimal(number)))
_numeric("round", _rounded, 0, 1)
_numeric("sqrt", lambda number: decimal(number).sqrt())
_numeric("ln", lambda number: decimal(number).ln())
_numeric("exp", lambda number: decimal(number).exp())
_numeric("log", lambda number, base: Decimal(repr(math.log(number, base))), 1)
_numeric("power", _power, 1)


# ---- conversions: from a plain value, None where it cannot be

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_QUANTITY = re.compile(r"(?P<value>[+-]?\d+(\.\d+)?)\s*('(?P<unit>[^']+)'|(?P<word>[a-zA-Z]+))?", re.ASCII)
_TRUE = frozenset(("true", "t", "yes", "y", "1", "1.0"))
_FALSE = frozenset(("false", "f", "no", "n", "0", "0.0"))


def _to_integer(value: Any) -> int | None:
    if type(value) is str:
        return int(value) if _INTEGER.fullmatch(value) else None
    return int(value) if type(value) in (bool, int) else None


def _to_decimal(value: Any) -> Decimal | None:
    if type(value) is str:
        return Decimal(value) if _DECIMAL.fullmatch(value) else None
    if type(value) is bool:
        return Decimal(int(value))
    return decimal(value) if is_number(value) else None


def _to_boolean(value: Any) -> bool | None:
    if type(value) is bool:
        return value
    if is_number(value):
        return {0: False, 1: True}.get(value)
    text = value.lower() if type(value) is str else ""
    return True if text in _TRUE else False if text in _FALSE else None


def _to_quantity(value: Any) -> Quantity | None:
    if type(value) is bool:
        return Quantity(Decimal(int(value)), "1")
    if type(value) is not str:
        return quantity_of(value)
    match = _QUANTITY.fullmatch(value)
    if match is None or (match["word"] and match["word"] not in CALENDAR):
        return None
    return Quantity(Decimal(match["value"]), match["unit"] or CALENDAR.get(match["word"] or "", "1"))


def _to_moment(*kinds: str) -> Callable[[Any], Moment | None]:
    def convert(value: Any) -> Moment | None:
        found = as_moment(value)
        if found is None:
            return None
        if kinds == ("date",) and found.kind == "dateTime":
            return Moment("date", found.parts[:3])
        if found.kind not in kinds:
            return None
        return found._replace(kind="dateTime") if "dateTime" in kinds else found

    return convert


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "Integer": _to_integer,
    "Decimal": _to_decimal,
    "Boolean": _to_boolean,
    "String": as_text,
    "Quantity": _to_quantity,
    "Date": _to_moment("date"),
    "DateTime": _to_moment("date", "dateTime"),
    "Time": _to_moment("time"),
}


def _conversion(kind: str, convert: Callable[[Any], Any]) -> None:
    def to(site: Site) -> Code:
        value = site.source.value

        def converted(this: Any, env: Any) -> Any:
            found = value(this, env)
            return None if found is None else convert(found)

        return of_truth(converted) if kind == "Boolean" else of_value(converted)

    def converts(site: Site) -> Code:
        value = site.source.value

        def convertible(this: Any, env: Any) -> bool | None:
            found = value(this, env)
            return None if found is None else convert(found) is not None

        return of_truth(convertible)

    function(f"to{kind}", 0, 1 if kind == "Quantity" else 0)(to)
    function(f"convertsTo{kind}", 0, 1 if kind == "Quantity" else 0)(converts)


for _kind, _convert in _CONVERSIONS.items():
    _conversion(_kind, _convert)


# ---- time


@function("now")
def _now(site: Site) -> Code:
    return of_value(lambda this, env: moments.now())


@function("today")
def _today(site: Site) -> Code:
    return of_value(lambda this, env: moments.today())


@function("timeOfDay")
def _time_of_day(site: Site) -> Code:
    return of_value(lambda this, env: Moment("time", moments.now().parts[3:]))
