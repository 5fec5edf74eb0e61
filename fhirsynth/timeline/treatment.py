"""What is prescribed: steps of long-term treatment in their order, courses for episodes, stops and changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirsynth.days import DAY, date_of
from fhirsynth.knowledge.dosing import SUPPLY_DAYS, dose_of, lasting
from fhirsynth.knowledge.expressions import parse
from fhirsynth.record import schema as rec
from fhirsynth.timeline.body import Effect
from fhirsynth.timeline.clock import YEAR, instant, local_day
from fhirsynth.timeline.life import Life, Order

if TYPE_CHECKING:
    from fhirsynth.knowledge.schema import Condition, Medicine, Treatment

CHILD_UNTIL = 12  # years: below it the child dose is written
STOP_PER_YEAR = 0.035  # long-term medicines stopped for an adverse effect (estimate)
CHANGED_YEARS = 5.0  # mean time since a long-term prescription was last changed (estimate)


def allowed(
    life: Life,
    medicine: Medicine,
    treatment: Treatment,
    day: int,
    *,
    taking: Order | None = None,
    instead: Order | None = None,
) -> bool:
    """Whether this person may be given `medicine` on `day`: authorised, age, allergies, what blocks it.

    `taking`: the order by which they take it already, so neither itself nor a level that it moves (a pulse slowed by
    it) is a reason against it. `instead`: the order that it is to take the place of.
    """
    if any(name in life.blocked_classes for name in medicine.classes):
        return False
    if medicine.key in life.unsuitable and taking is None:
        return False
    if medicine.since is not None and date_of(day).year < medicine.since:
        return False
    age = life.age(day)
    if age < CHILD_UNTIL and medicine.child_dose is None:
        return False
    against = life.plan.not_beside[medicine.key]
    if against:
        for order in life.orders:
            # What was told of a later day already counts as well: both would be taken then.
            if order is taking or order is instead or (order.end is not None and order.end < day):
                continue
            if not against.isdisjoint(order.medicine.classes):
                return False
    for term in (*life.plan.blocked_by[medicine.key], *treatment.blocked_by):
        if taking is not None and parse(term).name in treatment.effect:
            continue
        if life.holds(term, day):
            return False
    return True


def choose(life: Life, treatment: Treatment, day: int) -> Medicine | None:
    """The first allowed alternative, starting from one drawn by `shares`; None where all are blocked."""
    keys = list(treatment.medicine)
    if len(keys) > 1 and treatment.shares:
        first = life.pick(keys, treatment.shares)
        keys.remove(first)
        keys.insert(0, first)
    for key in keys:
        medicine = life.plan.medicines[key]
        if allowed(life, medicine, treatment, day):
            return medicine
    return None


def covered(life: Life, medicine: Medicine, source: str, day: int) -> bool:
    """Whether this substance, or its class for another condition, is being taken on `day` already."""
    for order in life.orders:
        if not (order.end is None or order.end >= day):
            continue
        if order.medicine.vtm == medicine.vtm:
            return True
        if order.source != source and order.medicine.classes[0] == medicine.classes[0]:
            return True
    return False


def prescribe(
    life: Life,
    medicine: Medicine,
    treatment: Treatment,
    source: str,
    reason: str,
    start: int,
    encounter: rec.Encounter | None,
    setting: str,
    days: int | None,
) -> Order:
    """Write an order for `medicine` from `start`; its effect on levels begins the same day.

    What cannot be taken beside it ends.
    """
    displaced = [
        other
        for other in life.orders
        if other.medicine.key in life.plan.displaced[medicine.key]
        and other.medicine.vtm != medicine.vtm
        and (other.end is None or other.end >= start)
    ]
    authored = encounter.start + 300 if encounter else instant(start, 12 * 60)
    role = (encounter.role_id if encounter else None) or life.person.gp_role_id
    order = Order(
        life.new_id(),
        medicine,
        start,
        authored,
        encounter.id if encounter else None,
        reason,
        source,
        role,
        setting,
        days,
        life.age(start) < CHILD_UNTIL,
    )
    life.orders.append(order)
    if days is None:
        for observable, amount in treatment.effect.items():
            life.body.treat(Effect(observable, amount, start, None))
    for other in displaced:
        _give_way(life, other, order, encounter)
    return order


def _give_way(life: Life, order: Order, new: Order, encounter: rec.Encounter | None) -> None:
    """End an order that cannot go on beside a new one, with the next choice in its place where that can."""
    step = _step_of(life, order)
    day = max(order.start, new.start)
    if order.start >= new.start:
        # Not begun at all: what stands against it is known on the same day, or was before.
        life.orders.remove(order)
        for observable in step.effect if step and order.repeat else ():
            life.body.untreat(observable, order.start, order.start)
    else:
        stop(life, order, step if order.repeat else None, day, "No longer suitable")
    if step is not None and order.repeat:
        other = _next_choice(life, order, step, day)
        if other is not None:
            setting = "discharge" if new.setting == "discharge" else "community"
            prescribe(life, other, step, order.source, order.reason, day, encounter, setting, None)


def _step_of(life: Life, order: Order) -> Treatment | None:
    """The step of treatment that an order was written for."""
    steps = life.plan.conditions[order.source].treatment
    return next((s for s in steps if order.medicine.key in s.medicine), None)


def _next_choice(life: Life, order: Order, step: Treatment, day: int) -> Medicine | None:
    """The first other medicine of a step that may take the place of an order."""
    for key in step.medicine:
        other = life.plan.medicines[key]
        if key == order.medicine.key or covered(life, other, order.source, day):
            continue
        if allowed(life, other, step, day, instead=order):
            return other
    return None


def long_term(
    life: Life, condition: Condition, reason: str, day: int, encounter: rec.Encounter | None, setting: str
) -> None:
    """Take the treatment steps of `condition` that are due on `day` and not decided yet.

    At a clinic these are the steps that a specialist begins, and elsewhere the others.
    Before the window (`encounter` None) each step is dated from onset; inside it from the visit.
    """
    onset = life.onset.get(condition.key, day)
    begun: int | None = None
    for position, step in enumerate(condition.treatment):
        if step.days is not None or (condition.key, position) in life.decided:
            continue
        if encounter and begun not in (None, step.step):
            continue  # one step at a visit
        if encounter and (step.where == "hospital") != (encounter.kind == "outpatient"):
            continue
        due = onset + int(step.after_years * YEAR)
        if due > day:
            continue
        start = day if encounter else _started_before(life, due, day)
        ends = None if step.until_years is None else onset + int(step.until_years * YEAR)
        if ends is not None and ends <= start + SUPPLY_DAYS:
            continue
        age = life.age(start)
        if not step.min_age <= age <= step.max_age:
            continue
        if step.when and not life.holds(step.when, start):
            continue
        # Who takes the step is drawn once; a person who will not is never asked again, one for whom everything
        # is blocked today may be at a later review.
        if (condition.key, position) not in life.willing:
            life.willing[(condition.key, position)] = life.chance(step.share)
        if not life.willing[(condition.key, position)]:
            life.decided.add((condition.key, position))
            continue
        medicine = choose(life, step, start)
        if medicine is None:
            continue
        life.decided.add((condition.key, position))
        if covered(life, medicine, condition.key, start):
            continue
        begun = step.step
        order = prescribe(life, medicine, step, condition.key, reason, start, encounter, setting, None)
        if ends is not None:
            stop(life, order, step, ends, "Course of treatment completed")


def _started_before(life: Life, due: int, day: int) -> int:
    """When something taken on `day`, the first of the window, was started: old treatment has been changed since."""
    earliest = day - int(life.rng.expovariate(1 / CHANGED_YEARS) * YEAR)
    return min(day, max(due + int(life.rng.random() * 60), earliest))


def stop(life: Life, order: Order, step: Treatment | None, day: int, why: str) -> None:
    """End an order on the day before `day`, and what it does to levels with it."""
    order.end, order.stop_reason = day - 1, why
    for observable in step.effect if step else ():
        life.body.untreat(observable, order.start, day)


def course(
    life: Life,
    condition: Condition,
    reason: str,
    encounter: rec.Encounter,
    day: int,
    where: str,
    *,
    stay_days: int = 0,
) -> None:
    """Courses for an episode: in the community, or in hospital with the rest of the course to go home with."""
    given: set[int] = set()
    age = life.age(day)
    for step in condition.treatment:
        if step.step in given or step.where not in ("any", where) or not step.min_age <= age <= step.max_age:
            continue
        if step.when and not life.holds(step.when, day):
            continue
        if not life.chance(step.share):
            continue
        medicine = choose(life, step, day)
        if medicine is None or covered(life, medicine, condition.key, day):
            continue
        given.add(step.step)
        if where == "gp":
            prescribe(life, medicine, step, condition.key, reason, day, encounter, "community", step.days)
            continue
        discharge_day = local_day(encounter.end)
        lives_on = discharge_day < life.last
        if step.days is None:
            if lives_on:
                prescribe(life, medicine, step, condition.key, reason, discharge_day, encounter, "discharge", None)
            continue
        inpatient = min(step.days, stay_days + 1)
        prescribe(life, medicine, step, condition.key, reason, day, encounter, "inpatient", inpatient)
        left = step.days - inpatient
        if left >= 2 and lives_on:
            order = prescribe(
                life, medicine, step, condition.key, reason, discharge_day + 1, encounter, "discharge", left
            )
            order.authored = encounter.end - 3600


def review(life: Life, condition: Condition, reason: str, day: int, encounter: rec.Encounter, since: int) -> None:
    """At a review: stop what is not tolerated (and start the next choice), then take steps that are due."""
    years = max(0.0, (day - since) / YEAR)
    for order in list(life.orders):
        if order.source != condition.key or not order.repeat or order.start >= day - 14:
            continue
        if order.end is not None and order.end < day:
            continue
        step = _step_of(life, order)
        if step is None:
            continue
        blocked = not allowed(life, order.medicine, step, day, taking=order)
        if not blocked and not life.chance(STOP_PER_YEAR * years):
            continue
        other = None
        if step.where != "hospital":
            other = _next_choice(life, order, step, day)
        elif blocked:  # the clinic decides what comes next
            life.decided.discard((condition.key, condition.treatment.index(step)))
        if other is None and not blocked:
            continue  # what nothing can take the place of is put up with
        life.unsuitable.add(order.medicine.key)
        stop(life, order, step, day, "No longer suitable" if blocked else "Adverse effect")
        if other is not None:
            prescribe(life, other, step, condition.key, reason, day, encounter, "community", None)
    long_term(life, condition, reason, day, encounter, "community")


def reconcile(life: Life, stay: rec.Encounter) -> None:
    """On discharge, stop long-term medicines that what has happened now stands against (an NSAID after a bleed)."""
    day = local_day(stay.end)
    if day > life.last:
        return
    for order in life.orders:
        if not order.repeat or not order.start < day or not order.taken_on(day):
            continue
        step = _step_of(life, order)
        if step is not None and not allowed(life, order.medicine, step, day, taking=order):
            life.unsuitable.add(order.medicine.key)
            stop(life, order, step, day, "No longer suitable")


def close(life: Life) -> None:
    """Turn the orders into medication rows: nothing is taken after death, courses end by the index date."""
    for order in life.orders:
        end, why = order.end, order.stop_reason
        if life.death_day is not None and (end is None or end > life.death_day):
            end, why = life.death_day, why or "Patient died"
        if end is not None and end < order.start:
            end = order.start
        if end is not None and order.repeat and end >= life.index:
            end, why = None, None  # planned to end, and still taken today
        until = end if end is not None else life.index
        lasts = lasting(dose_of(order.medicine, child=order.child), order.days)
        issues = max(1, -(-(until - order.start) // lasts))
        life.rows["medication"].append(
            rec.Medication(
                order.id,
                life.person.id,
                order.encounter,
                order.medicine.key,
                order.start,
                end,
                max(order.authored, life.birth * DAY),
                order.repeat,
                issues,
                order.child,
                order.days,
                order.reason,
                why,
                order.role,
                order.setting,
            )
        )
