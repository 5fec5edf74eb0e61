"""Dates inside one resource that can only come in one order, where no invariant of FHIR says so.

Dates may be partial and date-times in any zone: one is before another only where that holds whatever is left open.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from fhirsynth.validation.findings import Issue, Severity

_FORM = re.compile(r"([0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?)(T[0-9:.]+(?:Z|[+-][0-9]{2}:[0-9]{2})?)?", re.ASCII)
#: A day on which it is already tomorrow in British summer.
_SUMMER = dt.timezone(dt.timedelta(hours=1))


def before(first: Any, second: Any) -> bool:
    """Whether a FHIR date, dateTime or instant is certainly before another; False for what is none of them.

    Two date-times are compared as moments, partial dates as far as both are given. A day and a date-time are
    compared by the day that the date-time falls on where it was written, in UTC and in British summer time.
    """
    if type(first) is not str or type(second) is not str:
        return False
    one, other = _FORM.fullmatch(first), _FORM.fullmatch(second)
    if one is None or other is None:
        return False
    try:
        if one[2] and other[2]:
            a, b = dt.datetime.fromisoformat(first), dt.datetime.fromisoformat(second)
            if (a.tzinfo is None) == (b.tzinfo is None):
                return a < b
            return _is_before(a.date().isoformat(), b.date().isoformat())
        return _is_before(
            max(_days(first)) if one[2] else first,
            min(_days(second)) if other[2] else second,
        )
    except (ValueError, OverflowError):
        return False


def _is_before(first: str, second: str) -> bool:
    exact = min(len(first), len(second))
    return first[:exact] < second[:exact]


def _days(moment: str) -> list[str]:
    found = dt.datetime.fromisoformat(moment)
    days = [found.date()]
    if found.tzinfo is not None:
        days += [found.astimezone(dt.UTC).date(), found.astimezone(_SUMMER).date()]
    return [day.isoformat() for day in days]


class Order(NamedTuple):
    """What comes first and what comes after it: paths of two steps at most, of which a resource has one or none."""

    first: tuple[str, ...]
    last: tuple[str, ...]
    severity: Severity = "warning"


#: By type of resource. "error" only where nothing can explain it. Periods are left to FHIR's invariant per-1.
_ORDERS: dict[str, tuple[Order, ...]] = {
    "AdverseEvent": (Order(("date",), ("recordedDate",)),),
    "AllergyIntolerance": (
        Order(("onsetDateTime", "onsetPeriod.start"), ("recordedDate",)),
        Order(("onsetDateTime", "onsetPeriod.start"), ("lastOccurrence",)),
    ),
    "Appointment": (Order(("start",), ("end",), "error"),),
    "Communication": (Order(("sent",), ("received",)),),
    "Condition": (
        Order(("onsetDateTime", "onsetPeriod.start"), ("abatementDateTime", "abatementPeriod.end"), "error"),
        Order(("onsetDateTime", "onsetPeriod.start"), ("recordedDate",)),
    ),
    "Device": (Order(("manufactureDate",), ("expirationDate",)),),
    "DiagnosticReport": (Order(("effectiveDateTime", "effectivePeriod.start"), ("issued",)),),
    "FamilyMemberHistory": (Order(("bornDate", "bornPeriod.start"), ("deceasedDate",), "error"),),
    "Immunization": (
        Order(("occurrenceDateTime",), ("recorded",)),
        Order(("occurrenceDateTime",), ("expirationDate",)),
    ),
    "MedicationRequest": (Order(("authoredOn",), ("dispenseRequest.validityPeriod.end",)),),
    "Observation": (Order(("effectiveDateTime", "effectivePeriod.start", "effectiveInstant"), ("issued",)),),
    "Patient": (Order(("birthDate",), ("deceasedDateTime",), "error"),),
    "Provenance": (Order(("occurredDateTime", "occurredPeriod.start"), ("recorded",)),),
    "Slot": (Order(("start",), ("end",), "error"),),
    "Specimen": (Order(("collection.collectedDateTime", "collection.collectedPeriod.start"), ("receivedTime",)),),
}


_Paths = tuple[tuple[str, ...], ...]


def _rule(orders: tuple[tuple[_Paths, _Paths, Severity], ...], value: Any) -> list[Issue] | None:
    """`dates-in-order` [warning, or error where nothing can explain it]: what comes first is not after the rest."""
    if type(value) is not dict:
        return None
    found: list[Issue] | None = None
    for firsts, lasts, severity in orders:
        for last in lasts:
            end = _at(value, last)
            if end is None:
                continue
            for first in firsts:
                start = _at(value, first)
                # In one zone and without fractions of a second, texts sort as moments do.
                if start is not None and not (start <= end and start[19:] == end[19:]) and before(end, start):
                    expected = f"not before {'.'.join(first)}, {start}"
                    found = [*(found or ()), Issue(".".join(last), "dates-in-order", end, expected, severity)]
    return found


def _at(value: dict[str, Any], path: tuple[str, ...]) -> str | None:
    found: Any = value.get(path[0])
    for step in path[1:]:
        if type(found) is not dict:
            return None
        found = found.get(step)
    return found if type(found) is str else None


def _location(value: Any) -> list[Issue] | None:
    """`dates-in-order` [warning]: nobody is at a place of an Encounter before it begins or after it has ended."""
    period, places = (value.get("period"), value.get("location")) if type(value) is dict else (None, None)
    if type(period) is not dict or type(places) is not list:
        return None
    found: list[Issue] = []
    start, end = period.get("start"), period.get("end")
    for number, place in enumerate(places):
        stay = place.get("period") if type(place) is dict else None
        if type(stay) is not dict:
            continue
        path = f"location[{number}].period"
        if before(stay.get("start"), start):
            expected = f"not before the encounter, {start}"
            found.append(Issue(f"{path}.start", "dates-in-order", str(stay["start"]), expected, "warning"))
        if before(end, stay.get("end")):
            expected = f"not after the encounter, {end}"
            found.append(Issue(f"{path}.end", "dates-in-order", str(stay["end"]), expected, "warning"))
    return found or None


def _steps(paths: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(path.split(".")) for path in paths)


RULES: dict[str, Callable[[Any], list[Issue] | None]] = {
    kind: partial(_rule, tuple((_steps(o.first), _steps(o.last), o.severity) for o in orders))
    for kind, orders in _ORDERS.items()
} | {"Encounter": _location}
