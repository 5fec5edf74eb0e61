"""When today's conditions began: told backwards from the state at the end of the person's history.

The onset age is drawn from the incidence that the published prevalence curve implies below the person's age,
then put in causal order.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from fhirsynth.days import DAY, birthday
from fhirsynth.record import schema as rec
from fhirsynth.timeline import results
from fhirsynth.timeline.clock import YEAR, instant, working_day
from fhirsynth.timeline.life import Life

if TYPE_CHECKING:
    from fhirsynth.knowledge.schema import Condition

SPACING = 30  # days at least between a condition and one that it leads to


def draw(life: Life) -> None:
    """Give every condition of the person an onset day (into `life.onset`), causes before consequences."""
    for key in life.plan.causal_order:
        if key in life.has:
            life.onset[key] = _onset_day(life, life.plan.conditions[key])


def _onset_day(life: Life, condition: Condition) -> int:
    rng = life.rng
    curve = life.plan.onset_curves[condition.key][life.sex]
    last_age = life.body.age(life.last)
    youngest = float(max(condition.min_age, condition.onset.never_before))
    low, high = curve[int(youngest)], curve[min(len(curve) - 1, int(last_age) + 1)]
    if high > low:
        target = low + (high - low) * rng.random()
        age = bisect_left(curve, target) - 1 + rng.random()
    else:
        age = youngest + (last_age - youngest) * rng.random()
    day = life.birth + int(max(age, youngest) * YEAR)
    for cause in condition.onset.after:
        if cause in life.onset:
            day = max(day, life.onset[cause] + SPACING + int(rng.random() * 700))
    # A person who has it has it by the end; one who has just reached the youngest age has it since then.
    earliest = birthday(life.birth, int(youngest))
    return min(life.last, max(earliest, min(day, life.last - 1 - int(rng.random() * 20))))


def record_before_window(life: Life, condition: Condition) -> None:
    """Write the problem, and the reading that made the diagnosis, of a condition older than the window."""
    onset = life.onset[condition.key]
    recorded = instant(working_day(onset), 9 * 60 + int(life.rng.random() * 480))
    row = life.condition(condition, onset, recorded, None, "problem", life.person.gp_role_id)
    life.problems[condition.key] = row
    diagnostic_readings(life, condition, recorded, None)


def diagnostic_readings(life: Life, condition: Condition, time: int, encounter: rec.Encounter | None) -> set[str]:
    """The readings above (or below) the threshold that diagnosis needs; gives back which were written."""
    written = set()
    for key, shift in condition.shifts.items():
        if shift.at_least_once_above is None and shift.at_least_once_below is None:
            continue
        if key in life.plan.derived:
            continue  # written with the readings that it follows from
        value = life.body.at_diagnosis(condition, key, shift, time // DAY)
        role = life.person.gp_role_id if encounter is None else None
        if key == "systolic-blood-pressure":
            lower = results.diastolic(life, value, time // DAY, None)
            results.observe(life, "blood-pressure", time, encounter, "diagnosis", value, value2=lower, role=role)
            written.add("blood-pressure")
        else:
            results.observe(life, key, time, encounter, "diagnosis", value, role=role)
            written.add(key)
    return written
