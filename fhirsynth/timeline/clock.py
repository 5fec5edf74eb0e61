"""Civil time in Europe/London: times of day, working days, and the UTC instants they stand for.

A day is a count of days since 1970-01-01; an instant a count of seconds since 1970-01-01T00:00Z.
"""

from __future__ import annotations

import datetime as dt
from functools import cache

from fhirsynth.days import DAY, date_of, day_of

YEAR = 365.25


def weekday(day: int) -> int:
    """0 for Monday … 6 for Sunday (1970-01-01 was a Thursday)."""
    return (day + 3) % 7


@cache
def _summer(year: int) -> tuple[int, int]:
    """First and last day of British Summer Time: the last Sundays of March and October."""
    march = day_of(dt.date(year, 3, 31))
    october = day_of(dt.date(year, 10, 31))
    return march - (weekday(march) + 1) % 7, october - (weekday(october) + 1) % 7


@cache
def utc_offset(day: int) -> int:
    """Seconds that Europe/London is ahead of UTC at noon of `day` (BST since the rule of 1996)."""
    first, last = _summer(date_of(day).year)
    return 3600 if first <= day < last else 0


def instant(day: int, minutes: float) -> int:
    """The instant at `minutes` after midnight, local civil time, on `day`.

    On the two days a year on which clocks change the offset is that of noon; contacts before 02:00 on
    those days are an hour out, which no reader can see.
    """
    return day * DAY + int(minutes * 60) - utc_offset(day)


def local_day(moment: int) -> int:
    """The local day of an instant."""
    day = moment // DAY
    return (moment + utc_offset(day)) // DAY


@cache
def is_working(day: int) -> bool:
    """Monday to Friday, without the three bank holidays that have a fixed date."""
    date = date_of(day)
    return weekday(day) < 5 and (date.month, date.day) not in ((1, 1), (12, 25), (12, 26))


@cache
def working_day(day: int) -> int:
    """`day`, or the next working day after it."""
    while not is_working(day):
        day += 1
    return day


@cache
def month_of(day: int) -> int:
    """1 for January … 12 for December."""
    return date_of(day).month
