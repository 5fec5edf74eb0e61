"""Hospital stays: how a person comes in, what is found and done, and how they leave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fhirsynth.days import DAY
from fhirsynth.record import schema as rec
from fhirsynth.timeline import results, treatment
from fhirsynth.timeline.body import Acute
from fhirsynth.timeline.clock import instant, local_day, utc_offset, working_day
from fhirsynth.timeline.life import HOME, Life
from fhirsynth.timeline.rates import VIA_EMERGENCY_DEPARTMENT

if TYPE_CHECKING:
    from fhirsynth.knowledge.schema import Condition

LONGEST = 60  # days
DIES_IN_HOSPITAL = 0.44  # of deaths in England (OHID Fingertips, deaths in hospital, 2022)
#: Ward tests of a longer stay: share of the stay that has passed, strength of the illness then.
RECOVERY = ((0.5, 0.5), (1.0, 0.12))
DECLINE = ((0.5, 1.1), (1.0, 1.45))
MOST_SECONDARY = 8  # diagnoses of a stay beside the primary one
#: National codes of the NHS Data Dictionary.
METHOD = {"elective": "11", "planned": "13", "maternity": "31"}
METHOD_EMERGENCY, METHOD_GP = "21", "22"
EMERGENCY_METHODS = (METHOD_EMERGENCY, METHOD_GP)
CARE_HOMES = ("54", "65", "85")
DISCHARGED, DIED = "1", "4"
NOT_APPLICABLE = "79"


def length(life: Life, condition: Condition, age: int) -> float:
    """Nights in hospital, log-normal about the diagnosis' median and longer with age; 0 for a day case."""
    stay = condition.stay
    assert stay is not None
    if life.chance(stay.day_case):
        return 0.0
    factor = 1.0 if age < 65 else 1.0 + (age - 65) * 0.018
    nights = stay.median_days * factor * math.exp(life.rng.gauss(0, 0.75))
    return min(float(LONGEST), nights)


def tell(life: Life, condition: Condition, day: int, nights: float, *, fatal: bool = False) -> rec.Encounter | None:
    """Write one stay that starts on `day`; `fatal`: it ends with the person's death.

    Returns the inpatient (or day-case) encounter, None where it would not end inside the window.
    """
    stay = condition.stay
    assert stay is not None
    rng, site, age = life.rng, life.site, life.age(day)
    emergency = stay.admission == "emergency"
    attended: rec.Encounter | None = None
    if emergency:
        arrival = instant(day, 60 * rng.choice(life.plan.emergency_hours) + int(rng.random() * 60))
        via_department = life.chance(VIA_EMERGENCY_DEPARTMENT)
        start = arrival + (int((2.5 + 5 * rng.random()) * 3600) if via_department else 0)
    else:
        via_department = False
        start = instant(day, 7 * 60 + 15 + 5 * int(rng.random() * 18))
        arrival = start
    if fatal:
        assert life.person.death is not None
        end = life.person.death
        if end <= start + 1800:
            start = end - int((3 + 20 * rng.random()) * 3600)
            arrival = start - int((2 + 2 * rng.random()) * 3600) if via_department else start
            day = local_day(start)
    elif nights < 0.5:
        end = start + int((3 + 7 * rng.random()) * 3600)
        hour = (end + utc_offset(local_day(end))) % DAY / 3600
        if not 8 <= hour < 22:  # nobody is sent home in the night
            end = instant(local_day(end) + (hour >= 22), 9 * 60 + 5 * int(rng.random() * 36))
    else:
        end = instant(local_day(start) + max(1, round(nights)), 10 * 60 + 5 * int(rng.random() * 108))
    if not fatal and local_day(end) > life.last:
        return None
    whole_days = local_day(end) - local_day(start)
    life.busy.update(range(local_day(arrival), local_day(end) + 1))

    if via_department:
        attended = attendance(life, condition, arrival, start, "admitted")
    day_case = not emergency and whole_days == 0 and stay.admission != "maternity"
    source = life.residence
    if fatal:
        how, where = DIED, NOT_APPLICABLE
    else:
        how, where = DISCHARGED, _destination(life, age, emergency, whole_days)
    if emergency:
        method = METHOD_EMERGENCY if via_department else METHOD_GP
    else:
        method = METHOD[stay.admission]
    specialty = life.plan.specialty_for(stay.specialty, age)
    encounter = life.encounter(
        "day-case" if day_case else "inpatient",
        start,
        end,
        condition.key,
        "condition",
        site.organisation_id,
        site.ward(specialty),
        site.role(rng, specialty),
        specialty,
        admission_method=method,
        admission_source=source,
        discharge_method=how,
        discharge_destination=where,
        parent_id=attended.id if attended else None,
    )

    side = life.side(condition.laterality)
    problem = life.problem_behind(condition)
    # Planned treatment is for what the person has had since; an acute illness began today or the days before.
    onset = problem.onset if problem else max(life.birth, day - int(rng.random() * 3 if emergency else 90))
    over = local_day(end) + condition.duration_days
    primary = life.condition(
        condition,
        onset,
        start + 1800,
        encounter.id,
        "encounter",
        encounter.role_id,
        rank=1,
        resolved=None if fatal or over >= life.index else int(over),
        problem=problem.id if problem else None,
        side=side,
    )
    _secondary(life, condition, encounter, day)
    _findings(life, condition, encounter, attended, whole_days, primary.id)
    for item in stay.procedures:
        if life.chance(item.share):
            wait = 3600 * (1 if day_case else 2 + int(rng.random() * 20))
            when = min(start + wait, max(start + 900, end - 3600))
            sided = side if life.plan.procedures[item.procedure].laterality else None
            life.procedure(item.procedure, encounter, when, 30 + int(rng.random() * 60), primary.id, sided)
    treatment.course(life, condition, primary.id, encounter, local_day(start), "hospital", stay_days=whole_days)
    return encounter


def _destination(life: Life, age: int, emergency: bool, nights: int) -> str:
    """Where somebody goes who leaves alive; who goes to a care home lives there from then on."""
    if life.residence != HOME or not emergency or nights == 0 or age < 65:
        return life.residence
    codes, from_65, from_85 = life.plan.destinations
    where: str = life.pick(codes, from_65 if age < 85 else from_85)
    if where in CARE_HOMES:
        life.residence = where
    return where


def day_case(life: Life, condition: Condition, specialty: str, day: int, problem: rec.Condition) -> rec.Encounter:
    """A planned day in hospital for a long-term condition, with that condition as its diagnosis."""
    rng, site = life.rng, life.site
    specialty = life.plan.specialty_for(specialty, life.age(day))
    start = instant(day, 7 * 60 + 30 + 5 * int(rng.random() * 36))
    encounter = life.encounter(
        "day-case",
        start,
        start + int((3 + 4 * rng.random()) * 3600),
        condition.key,
        "condition",
        site.organisation_id,
        site.ward(specialty),
        site.role(rng, specialty),
        specialty,
        admission_method=METHOD["elective"],
        admission_source=life.residence,
        discharge_method=DISCHARGED,
        discharge_destination=life.residence,
    )
    life.condition(
        condition,
        problem.onset,
        start + 1200,
        encounter.id,
        "encounter",
        encounter.role_id,
        rank=1,
        problem=problem.id,
    )
    return encounter


def attendance(life: Life, condition: Condition, start: int, end: int, left: str) -> rec.Encounter:
    """Write an attendance at the emergency department of the person's hospital; `left`: admitted, or home."""
    site = life.site
    return life.encounter(
        "emergency",
        start,
        end,
        condition.key,
        "condition",
        site.organisation_id,
        site.department("emergency"),
        site.role(life.rng, "emergency-medicine"),
        "emergency-medicine",
        discharge_method=left,
    )


def _secondary(life: Life, condition: Condition, encounter: rec.Encounter, day: int) -> None:
    """Comorbidities coded with the stay: those that weigh most on survival first, as coders do."""
    own = {condition.snomed}
    active = [
        row
        for key, row in life.problems.items()
        if row.onset <= day and row.snomed not in own and row.recorded < encounter.start
    ]
    active.sort(key=lambda row: (-life.plan.conditions[row.key].hazard_ratio, row.key))
    for rank, row in enumerate(active[:MOST_SECONDARY], start=2):
        life.condition(
            life.plan.conditions[row.key],
            row.onset,
            encounter.start + 1800,
            encounter.id,
            "encounter",
            encounter.role_id,
            rank=rank,
            problem=row.id,
        )


def _findings(
    life: Life,
    condition: Condition,
    encounter: rec.Encounter,
    attended: rec.Encounter | None,
    whole_days: int,
    reason: str,
) -> None:
    """Observations on arrival and tests; for longer stays again as the illness resolves, or does not."""
    draws: dict[str, float] = {}
    died = encounter.discharge_method == DIED
    # Who dies within days is already very ill on arrival.
    acute = Acute(condition, 1.0, draws, dying=0.8 if died and whole_days < 3 else 0.0)
    emergency = encounter.admission_method in EMERGENCY_METHODS
    first = attended.start + 1200 if attended else encounter.start + 900
    where = attended or encounter
    if emergency or whole_days > 0:
        results.early_warning(life, encounter, encounter.start + 600, "admission", acute)
    if condition.tests:
        results.measure(life, condition.tests, where, first, "admission", acute=acute, reason=reason)
    if whole_days >= 3 and condition.tests:
        course = DECLINE if died else RECOVERY
        for share, strength in course:
            when = instant(local_day(encounter.start) + max(1, int((whole_days - 1) * share)), 7 * 60 + 30)
            fading = Acute(condition, strength, draws, dying=share if died else 0.0)
            results.measure(life, condition.tests, encounter, when, "ward", acute=fading, reason=reason)
            results.early_warning(life, encounter, when + 1800, "ward", fading)


def sample(life: Life) -> list[tuple[int, Condition, float, bool]]:
    """Stays of the window as (day, diagnosis, nights, fatal), in time order, none overlapping another."""
    plan = life.plan
    wanted: list[tuple[int, Condition]] = []
    for part in life.slices():
        for condition in plan.stays.draw(life, part):
            day = plan.random_day(life, part, condition)
            if condition.stay and condition.stay.admission != "emergency":
                day = working_day(day)
            # What is given in cycles is drawn once for all of them.
            cycles = condition.stay.cycles if condition.stay else 1
            if cycles > 1 and not life.chance(1 / cycles):
                continue
            for cycle in range(cycles):
                later = working_day(day + cycle * condition.stay.cycle_days) if condition.stay and cycle else day
                if later <= life.last:
                    wanted.append((later, condition))
    wanted.sort(key=lambda item: (item[0], item[1].key))
    out: list[tuple[int, Condition, float, bool]] = []
    last_stay = _last_stay(life)
    until = last_stay[0] - 3 if last_stay else life.last
    free_from = life.first
    last_of: dict[str, int] = {}
    for day, condition in wanted:
        if day < free_from or not condition.min_age <= life.age(day) <= condition.max_age:
            continue
        assert condition.stay is not None
        group = condition.stay.admission if condition.stay.admission == "maternity" else condition.key
        gap = 0 if condition.stay.cycles > 1 else condition.min_gap_days
        if group in last_of and day - last_of[group] < gap:
            continue
        nights = length(life, condition, life.age(day))
        last_of[group] = day
        if day + nights + 1 >= until:
            break
        if condition.stay.admission == "maternity":
            life.pregnancies.append((day - 280, day))  # 40 weeks
        out.append((day, condition, nights, False))
        free_from = day + math.ceil(nights) + 3
        again = _complication(life, condition, day + math.ceil(nights))
        if again is not None and again[0] + again[2] + 1 < until:
            out.append((*again, False))
            free_from = again[0] + math.ceil(again[2]) + 3
    if last_stay:
        out.append(last_stay)
    return out


def _complication(life: Life, condition: Condition, home: int) -> tuple[int, Condition, float] | None:
    """What a stay leads to after its last day `home`: a stay again, or a contact, which is left for the agenda."""
    for complication in life.plan.complications.get(condition.key, ()):
        follows = complication.follows
        assert follows is not None
        ratio = 1.0
        for risk in complication.risk:
            if risk.of in life.habits or life.onset.get(risk.of, home) < home:
                ratio *= risk.rate_ratio
        first, last = follows.days
        day = home + first + int(life.rng.random() * (last - first))
        draw = life.rng.random() / ratio
        if draw >= follows.admitted + follows.emergency + follows.seen or day > life.last:
            continue
        if not complication.min_age <= life.age(day) <= complication.max_age:
            continue
        if draw < follows.admitted:
            return day, complication, length(life, complication, life.age(day))
        kind = "emergency" if draw < follows.admitted + follows.emergency else "episode"
        life.complications.append((day, kind, complication.key))
    return None


def _last_stay(life: Life) -> tuple[int, Condition, float, bool] | None:
    """The stay in which a person dies, for the share of deaths that happen in hospital."""
    if life.death_day is None or life.last - life.first < 3 or not life.chance(DIES_IN_HOSPITAL):
        return None
    condition = life.plan.last_illness(life)
    if condition is None:
        return None
    nights = min(float(life.last - life.first - 2), length(life, condition, life.age(life.last)))
    return life.death_day - max(0, round(nights)), condition, nights, True
