"""Immunisations by the UK schedule: what was due when, what was given, what was declined."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import TYPE_CHECKING

from fhirsynth.days import DAY, date_of, day_of
from fhirsynth.record import schema as rec
from fhirsynth.timeline.clock import YEAR, instant, local_day, working_day
from fhirsynth.timeline.life import Life

if TYPE_CHECKING:
    from fhirsynth.knowledge.schema import Vaccine, VaccineDose

Dose = tuple["Vaccine", "VaccineDose"]

CHILD = 18  # years: below it the whole childhood history is told, above it the window only
DECLINE_WRITTEN = 0.08  # of doses not taken inside the window, those whose refusal is written down (estimate)


def schedule(life: Life) -> dict[int, list[Dose]]:
    """Doses given on each day, from birth for children and from the window's start for adults.

    Doses given before the window, and refusals, are written at once; the rest are given back for the agenda.
    """
    rng = life.rng
    attitude = rng.random()  # the same person tends to take all vaccines, or few
    delays: dict[float, int] = {}
    from_day = life.birth if life.age(life.last) < CHILD else life.first
    out: dict[int, list[Dose]] = {}
    for vaccine in life.plan.vaccines:
        missed = False
        before: int | None = None  # when the dose before falls due
        for dose in vaccine.doses:
            if missed and dose.yearly_from is None:
                break  # a course is not continued where a dose was missed
            if not _could_be_offered(life, dose):
                continue
            for day in _due(life, dose, delays, before):
                if not from_day <= day <= life.last or not _offered(life, dose, day):
                    continue
                if attitude + rng.gauss(0, 0.06) >= dose.coverage:
                    missed = True
                    if day >= life.first and life.chance(DECLINE_WRITTEN):
                        give(life, vaccine, dose, instant(working_day(day), 14 * 60), None, given=False)
                    continue
                before = day
                if day < life.first:
                    give(life, vaccine, dose, instant(working_day(day), 10 * 60), None)
                else:
                    out.setdefault(day, []).append((vaccine, dose))
    return out


def _due(life: Life, dose: VaccineDose, delays: dict[float, int], before: int | None) -> list[int]:
    """Days on which a dose falls due, one at an age long enough after the dose before."""
    rng = life.rng
    if dose.yearly_from is None:
        weeks = dose.at_weeks if dose.at_weeks is not None else (dose.at_years or 0) * YEAR / 7
        # What is due at one age is given at one visit.
        if weeks not in delays:
            delays[weeks] = int(rng.expovariate(1 / (9 if weeks < 60 else 40)))
        due = life.birth + int(weeks * 7) + delays[weeks]
        if before is not None and due < before + 7 * dose.after_weeks:
            delays[weeks] += int(before + 7 * dose.after_weeks - due)
            return [int(before + 7 * dose.after_weeks)]
        return [due]
    days = []
    for year in range(date_of(life.first).year, date_of(life.last).year + 1):
        month = rng.choice(dose.months or [10])
        days.append(day_of(dt.date(year, month, 1)) + int(rng.random() * 28))
    return days


def _could_be_offered(life: Life, dose: VaccineDose) -> bool:
    """Quick answer for the many who are never offered a yearly dose in the window."""
    if dose.yearly_from is None or any(key in life.onset for key in dose.conditions):
        return True
    return life.age(life.last) >= dose.yearly_from and life.age(life.first) <= dose.yearly_to


@cache
def _day(date: str) -> int:
    return day_of(dt.date.fromisoformat(date))


def _offered(life: Life, dose: VaccineDose, day: int) -> bool:
    if dose.sex is not None and dose.sex != life.sex:
        return False
    if (dose.born_from and life.birth < _day(dose.born_from)) or (dose.born_to and life.birth > _day(dose.born_to)):
        return False
    if (dose.since and day < _day(dose.since)) or (dose.until and day > _day(dose.until)):
        return False
    at_risk = any(life.onset.get(key, day + 1) <= day for key in dose.conditions)
    if dose.yearly_from is not None:
        return at_risk or dose.yearly_from <= life.age(day) <= dose.yearly_to
    return at_risk or not dose.conditions


def give(
    life: Life, vaccine: Vaccine, dose: VaccineDose, time: int, encounter: rec.Encounter | None, *, given: bool = True
) -> None:
    """Write one immunisation row; `given` False for a refusal."""
    rng = life.rng
    if given:
        life.vaccinated[vaccine.key] = local_day(time)
    lot = f"{rng.choice('ABCDEFGHKLMNPRTVW')}{rng.choice('ABCDEFGHKLMNPRTVW')}{rng.randrange(10**4):04d}"
    number = dose.number
    life.rows["immunisation"].append(
        rec.Immunisation(
            life.new_id(),
            life.person.id,
            encounter.id if encounter else None,
            vaccine.key,
            time,
            number,
            lot,
            time // DAY + 120 + int(rng.random() * 500),
            life.gp.organisation_id,
            encounter.role_id if encounter else None,
            given,
        )
    )


def tell(life: Life, day: int, doses: list[Dose]) -> None:
    """Give the doses of one day: at the practice as one visit, elsewhere without an encounter of ours."""
    # Who came late for the dose before, or was in hospital when this one fell due, comes later for this one.
    waits = (
        life.vaccinated[vaccine.key] + int(7 * d.after_weeks) for vaccine, d in doses if vaccine.key in life.vaccinated
    )
    day = max(day, *waits, day)
    at_practice = [item for item in doses if item[0].where == "gp"]
    for vaccine, dose in doses:
        if vaccine.where != "gp":
            give(life, vaccine, dose, instant(working_day(day), 9 * 60 + int(life.rng.random() * 400)), None)
    if not at_practice:
        return
    free = life.free_day(day)
    if free is None:
        return
    visit = life.gp_visit(free, "immunisation", at_practice[0][0].key, "vaccine", 10)
    for vaccine, dose in at_practice:
        give(life, vaccine, dose, visit.start + 240, visit)
