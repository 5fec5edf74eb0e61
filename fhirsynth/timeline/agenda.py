"""What is due and what happens by chance: a person's agenda for the window, before any of it is told.

Contacts are put on it at the published rates: what a condition or a stay brings first, the rest to make up the mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fhirsynth.timeline import stays
from fhirsynth.timeline.clock import YEAR
from fhirsynth.timeline.life import Life

if TYPE_CHECKING:
    from fhirsynth.knowledge.schema import GeneralReason

MERGE_DAYS = 100  # reviews that fall due within this time are done at one visit
# Some people's follow-up alone is more than the published rate of their age; the rest are given so much of it that
# the population's mean agrees (fitted, see the test of contact rates).
OTHER_CLINICS = 0.84
OTHER_CONTACTS = 0.93  # likewise for what is left of GP consultations after reviews and illnesses
SEEN_BEFORE, SEEN_AFTER = 0.6, 0.4  # planned stays with a clinic before (others go straight to test) and after
FOLLOW_UP = 0.3  # emergency stays followed by a clinic
MISSED = 35  # days into a pregnancy when it is known and care is asked for
ANTENATAL_WEEKS = (10, 16, 20, 25, 28, 31, 34, 36, 38, 40)


class Item(NamedTuple):
    """Something on the agenda. `order` breaks ties on a day; `what` depends on `kind`."""

    day: int
    order: int
    kind: str  # diagnosis | review | episode | emergency | stay | clinic | procedure | general | vaccines
    key: str
    what: tuple  # type: ignore[type-arg]


def agenda(life: Life) -> list[Item]:
    """All that will happen to this person in the window, in the order of time."""
    items: list[Item] = []
    _choose_clinics(life)
    for day, condition, nights, fatal in stays.sample(life):
        items.append(Item(day, 0, "stay", condition.key, (nights, fatal)))
    for day, kind, key in life.complications:
        items.append(Item(day, 2 if kind == "emergency" else 4, kind, key, ()))
    items.extend(_diagnoses(life))
    items.extend(_reviews(life))
    items.extend(_illnesses(life))
    items.extend(_clinics(life, items))
    items.extend(_general(life, items))
    items.sort(key=lambda item: (item.day, item.order, item.kind, item.key))
    return items


def _choose_clinics(life: Life) -> None:
    """Whom a hospital clinic follows up for which condition."""
    age = life.age(life.last)
    for key in life.onset:
        for clinic in life.plan.conditions[key].outpatient:
            # Not everyone goes on being seen; whoever is diagnosed now is seen for what a specialist begins.
            asked = life.chance(clinic.share) or (
                life.onset[key] >= life.first and key in life.plan.begun_by_specialists
            )
            if asked and life.plan.fits_specialty(life, clinic.specialty, age):
                life.clinics.setdefault(key, []).append(clinic)


def _diagnoses(life: Life) -> list[Item]:
    out = []
    for key, day in life.onset.items():
        if day >= life.first:
            seen = min(life.last, day + int(life.rng.random() * 15))
            out.append(Item(seen, 1, "diagnosis", key, ()))
            out.extend(_investigations(life, key, seen))
    return out


def _investigations(life: Life, key: str, day: int) -> list[Item]:
    """Hospital procedures that follow a diagnosis (a scan, an operation), one at a time in the file's order."""
    out = []
    condition = life.plan.conditions[key]
    for item in condition.procedures:
        procedure = life.plan.procedures[item.procedure]
        if procedure.where == "gp" or not condition.outpatient or not life.chance(item.share):
            continue
        day += 14 + int(life.rng.random() * 45)
        if day <= life.last:
            out.append(Item(day, 5, "procedure", key, (item.procedure, condition.outpatient[0].specialty)))
    return out


def _reviews(life: Life) -> list[Item]:
    """Monitoring that falls due, merged so that one visit serves several conditions."""
    due: list[tuple[int, str, tuple[str, ...]]] = []
    for key, onset in life.onset.items():
        for monitoring in life.plan.conditions[key].monitoring:
            step = monitoring.every_months * YEAR / 12
            day = max(onset + step, life.first + life.rng.random() * step)
            while day <= life.last:
                # What a clinic looks after is the practice's for those whom no clinic sees.
                if monitoring.where == "gp" or not life.followed_up(key):
                    due.append((int(day), key, tuple(monitoring.what)))
                day += max(7.0, step * (1 + monitoring.spread * life.rng.uniform(-1, 1)))
    due.sort()
    out: list[Item] = []
    position = 0
    while position < len(due):
        first = due[position][0]
        keys: list[str] = []
        what: dict[str, None] = {}
        while position < len(due) and due[position][0] <= first + MERGE_DAYS:
            _, key, things = due[position]
            if key not in keys:
                keys.append(key)
            what.update(dict.fromkeys(things))
            position += 1
        out.append(Item(first, 3, "review", keys[0], (tuple(keys), tuple(what))))
    return out


def _illnesses(life: Life) -> list[Item]:
    """Acute illness that comes to the practice or to the emergency department and is not admitted."""
    out = []
    last: dict[str, int] = {}
    for part in life.slices():
        for kind, process, order in (("episode", life.plan.illness, 4), ("emergency", life.plan.emergency, 2)):
            for condition in process.draw(life, part):
                day = life.plan.random_day(life, part, condition)
                gap = condition.min_gap_days
                if condition.key in last and abs(day - last[condition.key]) < gap:
                    continue
                last[condition.key] = day
                out.append(Item(day, order, kind, condition.key, ()))
    return out


def _clinics(life: Life, items: list[Item]) -> list[Item]:
    """Outpatient attendances: follow-up of conditions, around stays, and the rest at the published rate."""
    plan, rng = life.plan, life.rng
    out: list[Item] = []
    for key, onset in life.onset.items():
        for clinic in life.clinics.get(key, ()):
            step = YEAR / clinic.per_year
            day = max(onset + 21 + rng.random() * 60, life.first + rng.random() * step)
            while day <= life.last + step:
                out.append(Item(int(day), 5, "clinic", clinic.specialty, (key, None)))
                day += step * rng.uniform(0.8, 1.2)
    for item in items:
        if item.kind != "stay":
            continue
        condition = plan.conditions[item.key]
        stay = condition.stay
        assert stay is not None
        specialty = plan.specialty_for(stay.specialty, life.age(item.day))
        if stay.admission == "maternity":
            conceived = item.day - 280  # or rather the first day of the last period
            for week in ANTENATAL_WEEKS:
                day = conceived + 7 * week
                if life.first < day < item.day - 4:
                    out.append(Item(day, 5, "clinic", "midwifery", (None, conceived + MISSED)))
            continue
        after = item.day + int(item.what[0]) + 28 + int(rng.random() * 28)
        if stay.admission == "elective":
            before = item.day - 14 - int(rng.random() * 50)
            if before > life.first and life.chance(SEEN_BEFORE):
                out.append(Item(before, 5, "clinic", specialty, (item.key, None)))
            if life.chance(SEEN_AFTER):
                out.append(Item(after, 5, "clinic", specialty, (item.key, item.day)))
        elif stay.admission == "emergency" and life.chance(FOLLOW_UP):
            out.append(Item(after, 5, "clinic", specialty, (item.key, item.day)))
    for part in life.slices():
        already = sum(1 for item in out if part.start <= item.day < part.end)
        wanted = OTHER_CLINICS * plan.outpatient_rate[life.sex][min(part.age, 110)] * part.years * life.frailty
        for _ in range(life.poisson(wanted - already)):
            clinic_key = plan.any_specialty(life, part.age)
            if clinic_key:
                day = part.start + int(rng.random() * (part.end - part.start))
                out.append(Item(day, 5, "clinic", clinic_key, (None, None)))
    return out


def _general(life: Life, items: list[Item]) -> list[Item]:
    """What is left of the published GP consultation rate: advice, tests, forms, minor things."""
    plan, rng = life.plan, life.rng
    out = []
    days: dict[str, list[int]] = {}
    for part in life.slices():
        already = sum(
            1 for item in items if part.start <= item.day < part.end and item.kind in ("review", "episode", "diagnosis")
        )
        wanted = OTHER_CONTACTS * plan.gp_rate[life.sex][min(part.age, 110)] * part.years * life.frailty
        for _ in range(life.poisson(wanted - already)):
            day = part.start + int(rng.random() * (part.end - part.start))
            reason = _reason_on(life, part.age, day, days)
            if reason is not None:
                days.setdefault(reason.key, []).append(day)
                out.append(Item(day, 6, "general", reason.key, ()))
    return out


def _reason_on(life: Life, age: int, day: int, days: dict[str, list[int]]) -> GeneralReason | None:
    """A general reason for which the person does not come close to `day` anyway; None if none is found."""
    for _ in range(6):
        reason = life.plan.general_reason(life, age)
        if reason is None or all(abs(day - other) >= reason.min_gap_days for other in days.get(reason.key, ())):
            return reason
    return None
