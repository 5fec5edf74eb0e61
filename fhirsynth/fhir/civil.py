"""Days and instants as FHIR writes them: dates, and date-times in Europe/London with their offset."""

from __future__ import annotations

import datetime as dt
from functools import cache
from zoneinfo import ZoneInfo

from fhirsynth.days import DAY, date_of

_LONDON = ZoneInfo("Europe/London")

_MINUTES = tuple(f"T{hour:02d}:{minute:02d}" for hour in range(24) for minute in range(60))
#: Seconds with the offset behind them, by hours ahead of UTC; two in the summers of the war.
_SECONDS = tuple(tuple(f":{second:02d}+{hours:02d}:00" for second in range(60)) for hours in range(3))


@cache
def date(day: int) -> str:
    """`2024-03-01` for days since 1970-01-01."""
    return date_of(day).isoformat()


def _offset_at(instant: int) -> int:
    moment = dt.datetime.fromtimestamp(instant, dt.UTC).astimezone(_LONDON)
    offset = moment.utcoffset()
    return int(offset.total_seconds()) if offset else 0


@cache
def _offset(day: int) -> int | None:
    """Seconds ahead of UTC all through a UTC day; None on a day when the clocks change."""
    start, end = _offset_at(day * DAY), _offset_at((day + 1) * DAY - 1)
    return start if start == end else None


def local_midnight(day: int) -> int:
    """The instant at which `day` begins in Europe/London (clocks change later in the day)."""
    return day * DAY - _offset_at(day * DAY - 3600)


def date_time(instant: int) -> str:
    """`2024-07-01T09:30:00+01:00` for seconds since 1970-01-01T00:00Z."""
    offset = _offset(instant // DAY)
    if offset is None:
        offset = _offset_at(instant)
    day, second = divmod(instant + offset, DAY)
    return date(day) + _MINUTES[second // 60] + _SECONDS[offset // 3600][second % 60]


def local_day(instant: int) -> int:
    """The day in Europe/London on which an instant falls, as days since 1970-01-01."""
    offset = _offset(instant // DAY)
    return (instant + (_offset_at(instant) if offset is None else offset)) // DAY
