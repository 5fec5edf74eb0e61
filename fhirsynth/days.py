"""Days as the record counts them (since 1970-01-01), the dates they stand for, ages and birthdays."""

from __future__ import annotations

import datetime as dt
from functools import cache

_EPOCH = dt.date(1970, 1, 1).toordinal()
DAY = 86_400  # seconds


def day_of(date: dt.date) -> int:
    """Days since 1970-01-01."""
    return date.toordinal() - _EPOCH


@cache
def date_of(day: int) -> dt.date:
    """The date `day` days after 1970-01-01."""
    return dt.date.fromordinal(day + _EPOCH)


def age_on(birth: int, day: int) -> int:
    """Completed years of age on `day`."""
    b, d = date_of(birth), date_of(day)
    return d.year - b.year - ((d.month, d.day) < (b.month, b.day))


def birthday(birth: int, age: int) -> int:
    """The day on which somebody born on `birth` turns `age` (1 March where there is no 29 February)."""
    b = date_of(birth)
    try:
        return day_of(b.replace(year=b.year + age))
    except ValueError:
        return day_of(dt.date(b.year + age, 3, 1))
