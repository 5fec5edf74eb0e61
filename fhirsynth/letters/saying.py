"""Dates, times, lengths, numbers and lists as UK letters write them (NHS service manual).

Source of the conventions: NHS digital service manual, "Numbers, measurements, dates and time" (OGL v3).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

_LONDON = ZoneInfo("Europe/London")


def moment(instant: int) -> dt.datetime:
    """The local time of an instant."""
    return dt.datetime.fromtimestamp(instant, _LONDON)


def date(day: dt.date) -> str:
    """3 March 2026."""
    return f"{day.day} {day:%B %Y}"


def weekday(day: dt.date) -> str:
    """Tuesday 3 March."""
    return f"{day:%A} {day.day} {day:%B}"


def time(at: dt.datetime) -> str:
    """2:15pm, 11am."""
    hour, half = at.hour % 12 or 12, "am" if at.hour < 12 else "pm"
    return f"{hour}:{at.minute:02}{half}" if at.minute else f"{hour}{half}"


def number(value: float, decimals: int = 0) -> str:
    """1,234 or 4.3: a comma over 999, as many decimals as the measure has."""
    return f"{value:,.{decimals}f}"


def listed(items: Sequence[str]) -> str:
    """a, b and c."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def plural(count: int, word: str) -> str:
    """1 night, 2 nights."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def aged(born: dt.date, on: dt.date) -> tuple[str, str]:
    """The age as a number and as an adjective: 84, 84-year-old; under two years in months, under 12 weeks in weeks."""
    years = on.year - born.year - ((on.month, on.day) < (born.month, born.day))
    if years >= 2:
        return str(years), f"{years}-year-old"
    days = (on - born).days
    if days < 14:
        return plural(days, "day"), f"{days}-day-old"
    if days < 84:
        return plural(days // 7, "week"), f"{days // 7}-week-old"
    months = (on.year - born.year) * 12 + on.month - born.month - (on.day < born.day)
    return plural(months, "month"), f"{months}-month-old"


def nhs_number(value: str) -> str:
    """999 123 4567; of "", which stands for none, that it is not known."""
    return f"{value[:3]} {value[3:6]} {value[6:]}" if value else "not known"
