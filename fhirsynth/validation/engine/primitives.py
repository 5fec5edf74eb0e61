"""Values of FHIR's primitive types: the JSON they are written in, their form, and whether a date is on the calendar.

The regular expressions are those of the definitions (in the rule files); what they leave open, such as 30 February,
is checked here. A value that was found good once is remembered, since most come again and again.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from fhirsynth.validation.findings import Issue

#: What checks a value; the object that holds it and the scope, which every check is given, say nothing here.
Check = Callable[..., "list[Issue] | None"]

#: Most values remembered a type, and the longest of them.
_MOST, _LONGEST = 20_000, 200
_INT32 = 2**31 - 1
_WHOLE_NUMBERS = {"integer": (-_INT32 - 1, _INT32), "unsignedInt": (0, _INT32), "positiveInt": (1, _INT32)}
_STRING_LENGTH = 1024 * 1024
#: Types whose regular expression says nothing, or takes ages on a long value; base64 is decoded instead.
_NO_PATTERN = ("base64Binary", "markdown", "xhtml")


def said(value: Any) -> str:
    """A value as it is named in a finding."""
    if isinstance(value, str):
        return repr(value if len(value) <= 80 else value[:77] + "…")
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def wrong_type(value: Any, expected: str) -> list[Issue]:
    """The finding of a value that is another kind of JSON."""
    return [Issue("", "json-type", said(value), expected)]


def checker(kind: str, pattern: str) -> Check:
    """What checks a value of the primitive type `kind`, whose definition gives the regular expression `pattern`."""
    if kind == "boolean":
        return lambda value, *_: None if value is True or value is False else wrong_type(value, "true or false")
    if kind in _WHOLE_NUMBERS:
        return _whole_number(kind, *_WHOLE_NUMBERS[kind])
    if kind == "decimal":
        return lambda value, *_: None if type(value) in (float, int) else wrong_type(value, "a number")
    return _text(kind, pattern)


def _whole_number(kind: str, least: int, most: int) -> Check:
    def check(value: Any, holder: Any = None, scope: Any = None) -> list[Issue] | None:
        if type(value) is not int:
            return wrong_type(value, "a whole number")
        if not least <= value <= most:
            return [Issue("", "primitive", said(value), f"{kind} from {least} to {most}")]
        return None

    return check


def _text(kind: str, pattern: str) -> Check:
    matches = re.compile(pattern).fullmatch if pattern and kind not in _NO_PATTERN else None
    further = _FURTHER.get(kind)
    good: set[str] = set()

    def check(value: Any, holder: Any = None, scope: Any = None) -> list[Issue] | None:
        if type(value) is not str:
            return wrong_type(value, f"a string ({kind})")
        if value in good:
            return None
        wrong = ""
        if not value:
            return [Issue("", "primitive", "an empty string", f"{kind} of at least one character")]
        if matches is not None and not matches(value):
            wrong = kind
        elif further is not None:
            wrong = further(value)
        if wrong:
            return [Issue("", "primitive", said(value), wrong)]
        if len(good) < _MOST and len(value) <= _LONGEST:
            good.add(value)
        return None

    return check


def _on_calendar(value: str) -> str:
    day, _, time = value.partition("T")
    try:
        if len(day) == 10:
            dt.date.fromisoformat(day)
        elif day.startswith("0000"):
            return "a year from 0001"
        if time:
            hour, minute = int(time[0:2]), int(time[3:5])
            second = int(time[6:8]) if len(time) > 6 and time[5] == ":" else 0
            # Leap seconds are let in by the definition of dateTime.
            if hour > 23 or minute > 59 or second > 60:
                return "a time of day"
    except ValueError:
        return "a day of the calendar"
    return ""


def _base64(value: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return "base64 without white space"
    return ""


def _uri(value: str) -> str:
    if value.startswith("urn:uuid:") and not re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value):
        return "urn:uuid: and a UUID in lower case"
    if value.startswith("urn:oid:") and not re.fullmatch(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+", value):
        return "urn:oid: and an OID"
    return ""


def _string(value: str) -> str:
    return f"at most {_STRING_LENGTH} characters" if len(value) > _STRING_LENGTH else ""


_FURTHER: dict[str, Callable[[str], str]] = {
    "date": _on_calendar,
    "dateTime": _on_calendar,
    "instant": _on_calendar,
    "base64Binary": _base64,
    "uri": _uri,
    "url": _uri,
    "canonical": _uri,
    "string": _string,
    "markdown": _string,
}
