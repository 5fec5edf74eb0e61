"""What one order of a medicine says and supplies: the words of its dose, how much of it, for how many days.

All three are made of the dose and the days of that very order, so that they agree.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fhirsynth.knowledge.schema import Dose, Medicine

SUPPLY_DAYS = 28  # what one issue is for where the dose says nothing else
LONGEST_SUPPLY = 90  # days of a course that are handed out at once; a longer one is issued like a repeat


class Supply(NamedTuple):
    """One issue: `text` as a prescriber writes it, `quantity` in the dose's unit, `days` that it lasts, `issues`."""

    text: str
    quantity: float
    days: int
    issues: int


def dose_of(medicine: Medicine, *, child: bool) -> Dose:
    """The dose of a child, where there is one and it is meant, else that of an adult."""
    return (medicine.child_dose if child else None) or medicine.dose


def said(dose: Dose, days: int | None, *, rest: bool = False) -> str:
    """The dose without how long it is for. `rest`: of a course that has begun, so nothing is said of its first day."""
    if dose.first_day is None or days is None or rest:
        return dose.text
    if days == 1:
        return dose.first_day.text
    return f"{dose.first_day.text}, then {dose.text[0].lower()}{dose.text[1:]}"


def lasting(dose: Dose, days: int | None = None) -> int:
    """Days that one issue lasts, of a repeat prescription or of a course of so many days."""
    if days is not None:
        return days if days <= LONGEST_SUPPLY else SUPPLY_DAYS
    if dose.lasts is not None:
        return dose.lasts
    return SUPPLY_DAYS if dose.prn else math.floor(dose.quantity / (dose.amount * dose.per_day) + 0.05)


def supply(dose: Dose, days: int | None, *, rest: bool = False) -> Supply:
    """One issue of a repeat prescription (`days` None), or of a course of so many days; `rest`: it has begun before."""
    if days is None:
        return Supply(dose.text, dose.quantity, lasting(dose), 1)
    text, lasts = said(dose, days, rest=rest), lasting(dose, days)
    if days * dose.per_day > 1:  # a single dose has no length
        left = days - 1 if dose.first_day is not None and days > 1 and not rest else days
        before, semicolon, after = text.partition(";")
        text = f"{before} for {left} {'day' if left == 1 else 'days'}{semicolon}{after}"
    return Supply(text, _quantity(dose, lasts, rest=rest), lasts, math.ceil(days / lasts))


def _quantity(dose: Dose, days: int, *, rest: bool) -> float:
    """What the days need, in whole packs; of what is taken when needed not more than is usually handed out."""
    needed = dose.amount * dose.per_day * days
    if dose.first_day is not None and not rest:
        needed += dose.first_day.quantity - dose.amount * dose.per_day
    if dose.prn:
        needed = min(needed, dose.quantity * math.ceil(days / SUPPLY_DAYS))
    packs = max(1, math.ceil(needed / dose.pack - 0.01))  # per_day is rounded: 0.14286 is once a week
    return packs * dose.pack
