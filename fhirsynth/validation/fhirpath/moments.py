"""Dates, dateTimes and times as FHIRPath sees them: known to the year, the month, the day, the minute or the second."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

_DATE_TIME = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d))?)?"
    r"(?P<mark>T((?P<hour>\d\d)(:(?P<minute>\d\d)(:(?P<second>\d\d(\.\d+)?))?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?)?",
    re.ASCII,
)
_TIME = re.compile(r"T?(?P<hour>\d\d)(:(?P<minute>\d\d)(:(?P<second>\d\d(\.\d+)?))?)?", re.ASCII)
_PARTS = ("year", "month", "day", "hour", "minute", "second")
#: Units of time in the order of the parts of a date; weeks and milliseconds are worked out by days and seconds.
_UNITS = {"a": 0, "mo": 1, "d": 2, "h": 3, "min": 4, "s": 5}
_SECONDS = {"d": 86400, "h": 3600, "min": 60, "s": 1}


class Moment(NamedTuple):
    """A point in time, as precisely as it is known.

    `kind` is `date`, `dateTime` or `time`; `parts` are year, month, day, hour, minute, second as far as known (a time
    begins with the hour); `zone` is the offset from UTC in minutes, None where there is none.
    """

    kind: str
    parts: tuple[int | Decimal, ...]
    zone: int | None = None

    def __str__(self) -> str:
        clock = self.parts if self.kind == "time" else self.parts[3:]
        time = ":".join(f"{part:02d}" if isinstance(part, int) else _seconds(part) for part in clock)
        if self.kind == "time":
            return time
        first, *rest = self.parts[:3]
        date = "-".join((f"{first:04d}", *(f"{part:02d}" for part in rest)))
        if self.kind == "date":
            return date
        return f"{date}T{time}{_zone(self.zone)}" if time else date


@lru_cache(4096)
def moment(text: str) -> Moment | None:
    """The date, dateTime or time that a text states, None where it states none."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        match = _TIME.fullmatch(text)
        if match is None:
            return None
        return Moment("time", _parts(match, _PARTS[3:]))
    parts = _parts(match, _PARTS)
    if len(parts) > 1 and not 1 <= parts[1] <= 12:
        return None
    if len(parts) > 2 and not 1 <= parts[2] <= calendar.monthrange(max(int(parts[0]), 1), int(parts[1]))[1]:
        return None
    zone = match["zone"]
    offset = None
    if zone == "Z":
        offset = 0
    elif zone:
        offset = (int(zone[1:3]) * 60 + int(zone[4:])) * (-1 if zone[0] == "-" else 1)
    return Moment("dateTime" if match["mark"] else "date", parts, offset)


def _parts(match: re.Match[str], names: tuple[str, ...]) -> tuple[int | Decimal, ...]:
    found = (match[name] for name in names)
    return tuple(Decimal(part) if "." in part else int(part) for part in found if part is not None)


def _seconds(part: Decimal) -> str:
    return f"{part:06.3f}" if part.as_tuple().exponent >= -3 else f"{part:09.6f}"  # type: ignore[operator]


def _zone(zone: int | None) -> str:
    if zone is None:
        return ""
    sign = "-" if zone < 0 else "+"
    return f"{sign}{abs(zone) // 60:02d}:{abs(zone) % 60:02d}" if zone else "Z"


def order(left: Moment, right: Moment) -> int | None:
    """-1, 0 or 1 as the left moment is before, at or after the right one.

    None where the precision of one leaves it open, or where a time is set beside a date. A moment with an offset is
    taken to UTC first, as HL7's validator does, so that it can also be set beside a mere date.
    """
    if (left.kind == "time") != (right.kind == "time"):
        return None
    a, b = _in_utc(left).parts, _in_utc(right).parts
    for one, other in zip(a, b, strict=False):
        if one != other:
            return -1 if one < other else 1
    return 0 if len(a) == len(b) else None


def _in_utc(this: Moment) -> Moment:
    if not this.zone or len(this.parts) < 5:
        return this
    year, month, day, hour, minute, *second = this.parts
    try:
        base = datetime(int(year), int(month), int(day), int(hour), int(minute)) - timedelta(minutes=this.zone)
    except (ValueError, OverflowError):
        return this
    return Moment(this.kind, (base.year, base.month, base.day, base.hour, base.minute, *second), 0)


def shifted(this: Moment, amount: Decimal, unit: str) -> Moment | None:
    """A moment so much later; None where the unit is no time, or the result no date.

    A duration finer than the moment is known counts in whole units of its precision: `@2020 + 18 'mo'` is 2021.
    """
    if unit == "wk":
        amount, unit = amount * 7, "d"
    elif unit == "ms":
        amount, unit = amount / 1000, "s"
    place = _UNITS.get(unit)
    if place is None:
        return None
    known = len(this.parts) - 1 + (3 if this.kind == "time" else 0)
    while place > known:
        amount = Decimal(int(amount / (12, 30, 24, 60, 60)[place - 1]))
        place -= 1
    unit = list(_UNITS)[place]
    try:
        if this.kind == "time":
            return Moment("time", _clock(this.parts, amount * _SECONDS[unit]))
        if place < 2:
            return this._replace(parts=_months_later(this.parts, int(amount) * (1 if place else 12)))
        year, month, day, hour, minute, second = (*(this.parts), 0, 0, 0)[:6]
        whole_units = amount if unit == "s" else int(amount)
        elapsed = whole_units * _SECONDS[unit] + Decimal(second)
        whole = int(elapsed // 1)
        later = datetime(int(year), int(month), int(day), int(hour), int(minute)) + timedelta(seconds=whole)
    except (ValueError, OverflowError, KeyError):
        return None
    last: int | Decimal = later.second + (elapsed - whole) if elapsed != whole else later.second
    found = (later.year, later.month, later.day, later.hour, later.minute, last)
    return this._replace(parts=found[: len(this.parts)])


def _clock(parts: tuple[int | Decimal, ...], seconds: Decimal) -> tuple[int | Decimal, ...]:
    """A time of day so many seconds later, past midnight where need be."""
    given = [Decimal(part) for part in (*parts, 0, 0)][:3]
    total = (given[0] * 3600 + given[1] * 60 + given[2] + seconds) % 86400
    rest = total % 60
    last: int | Decimal = int(rest) if rest == int(rest) else rest
    return (int(total // 3600), int(total % 3600 // 60), last)[: len(parts)]


def _months_later(parts: tuple[int | Decimal, ...], months: int) -> tuple[int | Decimal, ...]:
    """A date so many months later; the day is that of the end of the month where the month is shorter."""
    year, month = int(parts[0]), int(parts[1]) if len(parts) > 1 else 1
    year, month = year + (month - 1 + months) // 12, (month - 1 + months) % 12 + 1
    if not 1 <= year <= 9999:
        raise ValueError
    if len(parts) < 3:
        return (year, month)[: len(parts)]
    return (year, month, min(int(parts[2]), calendar.monthrange(year, month)[1]), *parts[3:])


def now() -> Moment:
    """This moment, in UTC."""
    at = datetime.now(UTC)
    second = Decimal(at.second) + Decimal(at.microsecond // 1000) / 1000
    return Moment("dateTime", (at.year, at.month, at.day, at.hour, at.minute, second), 0)


def today() -> Moment:
    """The day that it is."""
    at = datetime.now()
    return Moment("date", (at.year, at.month, at.day))
