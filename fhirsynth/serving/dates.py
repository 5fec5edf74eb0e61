"""Dates and times of FHIR as spans: a date is as long as it is precise, a period lasts from its start to its end.

Spans are (first, end) in milliseconds since 1970-01-01T00:00Z; the end is the first millisecond that is outside. What
names no time zone is in Europe/London, where the data are from.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

Span = tuple[int, int]

#: Ends of a period that has none.
EARLIEST, LATEST = -(1 << 60), 1 << 60

_ZONE = ZoneInfo("Europe/London")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)
#: A space before the offset is a "+" that was not escaped in a URL.
_TEXT = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<part>\d+))?)?(?P<zone>Z|[+ -]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)


@lru_cache(4096)
def span_of_text(text: str) -> Span | None:
    """The span of a date, dateTime or instant, of any precision that FHIR has; None where it is none."""
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (
        int(match[name]) if match[name] else None for name in ("year", "month", "day", "hour", "minute", "second")
    )
    try:
        assert year is not None
        if hour is None:
            return _days(year, month, day)
        assert month is not None and day is not None and minute is not None
        local = dt.datetime(year, month, day, hour, minute, second or 0, tzinfo=_zone(match["zone"]))
        first, length = _milliseconds(local), 60_000 if second is None else 1000
        if part := match["part"]:
            first, length = first + int(part[:3].ljust(3, "0")), 10 ** max(0, 3 - len(part))
        return first, first + length
    except (ValueError, OverflowError):
        return None


def span_of(value: Any) -> Span | None:
    """The span of a date, dateTime, instant, Period or Timing as it stands in JSON; None where there is none."""
    if isinstance(value, str):
        return span_of_text(value)
    if not isinstance(value, dict):
        return None
    if "event" in value or "repeat" in value:
        repeat = value.get("repeat")
        events = value.get("event")
        found = [*events] if isinstance(events, list) else []
        found += [repeat.get("boundsPeriod")] if isinstance(repeat, dict) else []
        spans = [span for span in map(span_of, found) if span is not None]
        return (min(first for first, _ in spans), max(end for _, end in spans)) if spans else None
    start, end = span_of(value.get("start")), span_of(value.get("end"))
    if start is None and end is None:
        return None
    return start[0] if start else EARLIEST, end[1] if end else LATEST


def now() -> int:
    """This moment in milliseconds since 1970."""
    return _milliseconds(dt.datetime.now(dt.UTC))


def _days(year: int, month: int | None, day: int | None) -> Span:
    """The span of a day, month or year in local time."""
    first = dt.date(year, 1 if month is None else month, 1 if day is None else day)
    try:
        if month is None:
            after = dt.date(year + 1, 1, 1)
        elif day is None:
            after = dt.date(year + month // 12, month % 12 + 1, 1)
        else:
            after = first + dt.timedelta(days=1)
    except (ValueError, OverflowError):  # 9999-12-31, which stands for no end at all
        return _midnight(first), LATEST
    return _midnight(first), _midnight(after)


def _midnight(day: dt.date) -> int:
    return _milliseconds(dt.datetime(day.year, day.month, day.day, tzinfo=_ZONE))


def _zone(text: str | None) -> dt.tzinfo:
    if text is None:
        return _ZONE
    if text == "Z":
        return dt.UTC
    hours, minutes = int(text[1:3]), int(text[4:6])
    offset = dt.timedelta(hours=hours, minutes=minutes)
    return dt.timezone(-offset if text[0] == "-" else offset)


def _milliseconds(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND
