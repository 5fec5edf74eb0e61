"""When the notes of a stay are written: on admission, on the mornings of days that brought something, at the end.

A note's time is made up as a letter's date is, between those that the record holds: after the admission, before
anybody goes home, after a death.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from typing import Literal, NamedTuple

from fhirsynth.letters.facts import Fact, Stay, Value

Occasion = Literal["admission", "round", "discharge", "home", "death"]
#: Minutes from the admission to its note: first observations and tests are made by then, nothing else.
_CLERKED = (35, 55)
#: Minutes from the admission to the note of somebody who goes home on the same day, of which nobody does within three
#: hours.
_SAME_DAY = (155, 175)
#: Minutes from midnight between which ward rounds see somebody; nobody goes home before the end of the earlier hours.
_ROUND, _ROUND_HOME = (8 * 60 + 30, 11 * 60), (8 * 60, 8 * 60 + 55)
_ROUND_STEP = 5  # minutes
#: Minutes from a death to its note.
_AFTER_DEATH = (10, 50)
#: Kinds of fact whose date is that of something which happened in the stay.
_DATED = ("proc", "result")


class Moment(NamedTuple):
    """When a note is written, and on which occasion: `discharge` is a ward round, `home` a stay without a night."""

    occasion: Occasion
    at: dt.datetime


def moments(stay: Stay, rng: random.Random) -> list[Moment]:
    """The moments of a stay's notes in order; none where the record does not say when it began and ended."""
    admission, last = stay.first("admission"), stay.first("death") or stay.first("discharge")
    began, ended = day_of(admission), day_of(last)
    if admission is None or last is None or began is None or ended is None or "time" not in admission.values:
        return []
    start = dt.datetime.combine(began, clock(admission.values["time"].text))
    if last.kind == "death":
        return [*_until_death(stay, start, ended, last, rng)]
    found = [Moment("admission", start + _minutes(rng, _CLERKED)), *_rounds(stay, began, ended, rng)]
    if began == ended:
        return [*found, Moment("home", start + _minutes(rng, _SAME_DAY))]
    return [*found, Moment("discharge", _morning(ended, rng, _ROUND_HOME))]


def day_of(fact: Fact | None) -> dt.date | None:
    """The day that a fact says it is of, None where it says none."""
    if fact is None or "date" not in fact.values:
        return None
    return dt.datetime.strptime(fact.values["date"].text, "%d %B %Y").date()


def clock(said: str) -> dt.time:
    """The time of day that a letter says: 2:15pm, 11am."""
    return dt.datetime.strptime(said, "%I:%M%p" if ":" in said else "%I%p").time()


def _until_death(stay: Stay, start: dt.datetime, day: dt.date, death: Fact, rng: random.Random) -> Iterator[Moment]:
    """The notes of somebody who died in the stay: the first one before that, however soon it was."""
    said: Value | None = death.values.get("time")
    at = dt.datetime.combine(day, clock(said.text)) if said is not None else start + dt.timedelta(hours=12)
    yield Moment("admission", start + min(_minutes(rng, _CLERKED), (at - start) / 2))
    yield from _rounds(stay, start.date(), day, rng)
    yield Moment("death", at + _minutes(rng, _AFTER_DEATH))


def _rounds(stay: Stay, began: dt.date, ended: dt.date, rng: random.Random) -> Iterator[Moment]:
    """The ward rounds on days between the first and the last of which the record holds something."""
    days = {day_of(fact) for kind in _DATED for fact in stay.of(kind)}
    for day in sorted(day for day in days if day is not None and began < day < ended):
        yield Moment("round", _morning(day, rng, _ROUND))


def _minutes(rng: random.Random, span: tuple[int, int]) -> dt.timedelta:
    return dt.timedelta(minutes=rng.randint(*span))


def _morning(day: dt.date, rng: random.Random, span: tuple[int, int]) -> dt.datetime:
    minutes = rng.randrange(span[0], span[1] + 1, _ROUND_STEP)
    return dt.datetime.combine(day, dt.time()) + dt.timedelta(minutes=minutes)


__all__ = ["Moment", "Occasion", "clock", "day_of", "moments"]
