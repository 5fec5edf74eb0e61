"""The values of search criteria as conditions in SQL: dates, quantities and strings, with their prefixes and escapes.

A condition is an expression over the columns of the value's table, and its parameters.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from fhirsynth.serving import values
from fhirsynth.serving.dates import Span, now, span_of_text
from fhirsynth.serving.outcomes import FhirError

#: An expression and its parameters.
Sql = tuple[str, tuple[Any, ...]]

_PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)", re.S)
_DAY = 86_400_000  # milliseconds
_MOST_VALUES = 400  # SQLite joins at most 500 queries


def invalid(said: str) -> FhirError:
    """A value that cannot be searched by."""
    return FhirError(400, "invalid", said)


def split(text: str, by: str) -> list[str]:
    """The parts of a value between `by`, where that has no backslash before it; the parts keep theirs."""
    parts, escaped = [""], False
    for character in text:
        if character == by and not escaped:
            parts.append("")
            continue
        parts[-1] += character
        escaped = character == "\\" and not escaped
    return parts


def several(asked: str, text: str) -> list[str]:
    """The values of a criterion, of which any may fit."""
    found = split(text, ",")
    if len(found) > _MOST_VALUES:
        raise FhirError(400, "too-costly", f"{asked}: {len(found)} values; at most {_MOST_VALUES} can be searched for")
    return found


def unescaped(text: str) -> str:
    """A value without the backslashes before `,`, `|`, `$` and backslash."""
    return re.sub(r"\\([,|$\\])", r"\1", text)


def _prefixed(value: str) -> tuple[str, str]:
    match = _PREFIXED.fullmatch(value)
    assert match is not None  # it matches all there is
    return match[1] or "eq", match[2]


def date(asked: str, value: str, first: str, after: str) -> Sql:
    """A condition on a span of which `first` and `after` are the ends."""
    prefix, text = _prefixed(unescaped(value))
    span = span_of_text(text)
    if span is None:
        said = "expected a date such as 2024, 2024-03, 2024-03-01, ge2024-03-01 or 2024-03-01T09:30:00Z"
        raise invalid(f"{asked}: {said}; found {value!r:.80}")
    low, high = span
    if prefix == "ap":
        low, high = _about(span)
        return f"{after} > ? AND {first} < ?", (low, high)
    return {
        "eq": (f"{first} >= ? AND {first} < ? AND {after} <= ?", (low, high, high)),
        "ne": (f"NOT ({first} >= ? AND {after} <= ?)", (low, high)),
        "gt": (f"{after} > ?", (high,)),
        "lt": (f"{first} < ?", (low,)),
        "ge": (f"({after} > ? OR {first} >= ?)", (high, low)),
        "le": (f"({first} < ? OR {after} <= ?)", (low, high)),
        "sa": (f"{first} >= ?", (high,)),
        "eb": (f"{after} <= ?", (low,)),
    }[prefix]


def _about(span: Span) -> Span:
    """A span with a tenth of its distance from today on either side, as FHIR has `ap`."""
    slack = max(_DAY, abs(now() - span[0]) // 10)
    return span[0] - slack, span[1] + slack


def quantity(asked: str, value: str) -> Sql:
    """A condition on a quantity: `5.4`, `ge5.4`, with `|system|code` or `||code` behind it."""
    parts = [unescaped(part) for part in split(value, "|")]
    prefix, number = _prefixed(parts[0])
    try:
        exact = Decimal(number)
        low, high = values.around(exact)
    except InvalidOperation:
        low = high = float("nan")
    if not (low < high) or len(parts) > 3:
        said = "expected a number such as 5.4, ge5.4 or 5.4|http://unitsofmeasure.org|mmol/L"
        raise invalid(f"{asked}: {said}; found {value!r:.80}")
    is_number, params = _compared(prefix, float(exact), low, high)
    if len(parts) == 2 and parts[1]:
        return f"{is_number} AND (code = ? OR unit = ?)", (*params, parts[1], parts[1])
    if len(parts) == 3:
        system, code = parts[1:]
        if system:
            of_unit = "system = ? AND code = ?" if code else "system = ?"
            return f"{is_number} AND {of_unit}", (*params, system, code) if code else (*params, system)
        if code:
            return f"{is_number} AND (code = ? OR unit = ?)", (*params, code, code)
    return is_number, params


def _compared(prefix: str, exact: float, low: float, high: float) -> Sql:
    """A condition on `value`."""
    if prefix == "ap":
        slack = abs(exact) / 10
        return "value BETWEEN ? AND ?", (exact - slack, exact + slack)
    if prefix in ("eq", "ne"):
        said = "value >= ? AND value < ?"
        return (said if prefix == "eq" else f"NOT ({said})"), (low, high)
    signs = {"gt": ">", "lt": "<", "ge": ">=", "le": "<=", "sa": ">", "eb": "<"}
    return f"value {signs[prefix]} ?", (exact,)


def string(modifier: str, value: str) -> Sql:
    folded = values.fold(value)
    if modifier == "exact":
        return "folded = ? AND text = ?", (folded, value)
    if not folded:
        raise invalid(f"{value!r:.80}: there is no letter or digit to search for")
    if modifier == "contains":
        return "instr(folded, ?)", (folded,)
    return "folded >= ? AND folded < ?", (folded, folded + chr(0x10FFFF))
