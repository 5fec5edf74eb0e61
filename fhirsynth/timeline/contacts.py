"""Contacts with the practice, the emergency department and clinics, told from the agenda in the order of time.

A decision at a visit (a treatment step, a stop) sees what came before it. One contact a day; none on a day in
hospital.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirsynth.days import DAY
from fhirsynth.record import schema as rec
from fhirsynth.timeline import immunisation, results, stays, treatment
from fhirsynth.timeline import onset as onsets
from fhirsynth.timeline.agenda import Item
from fhirsynth.timeline.body import Acute
from fhirsynth.timeline.clock import instant, local_day, working_day
from fhirsynth.timeline.life import Life

if TYPE_CHECKING:
    from fhirsynth.knowledge.schema import Condition, GeneralReason

TELEPHONE = 0.30  # of GP contacts for an illness (GP appointment data 2023: about a third)
HOME_VISIT_80 = 0.05  # of GP contacts of those of 80 and over
SOONEST = 7  # days from what a clinic is for to the clinic
NOT_ATTENDED = 0.066  # of outpatient appointments (HES outpatient 2022-23)
AFTER_STAY = 0.4  # emergency stays followed by a contact with the practice
BEDSIDE = ("blood-pressure", "heart-rate", "body-temperature", "respiratory-rate", "oxygen-saturation")
MEASURED = 0.55  # of face-to-face illness contacts in which vital signs are written down
TESTED, TESTED_EMERGENCY = 0.25, 0.5  # of illness contacts face to face, of attendances: with blood tests (estimate)
TESTED_LATELY = 28  # days in which nobody is sent for blood tests again without being ill


def tell(life: Life, items: list[Item]) -> None:
    """Tell everything on the agenda. Stays come first on their day; contacts give way to them."""
    # Stays are fixed before anything else moves, so that no contact is booked into one.
    planned = [(item.day, item.day + int(item.what[0]) + 2) for item in items if item.kind == "stay"]
    for start, end in planned:
        life.busy.update(range(start, end + 1))
    last_review = life.first
    for item in items:
        if item.kind == "stay":
            condition = life.plan.conditions[item.key]
            encounter = stays.tell(life, condition, item.day, item.what[0], fatal=item.what[1])
            if encounter is not None and encounter.admission_method in stays.EMERGENCY_METHODS:
                treatment.reconcile(life, encounter)
                _after_stay(life, condition, encounter)
        elif item.kind == "diagnosis":
            _diagnose(life, item)
        elif item.kind == "review":
            last_review = _review(life, item, last_review)
        elif item.kind == "episode":
            _episode(life, item)
        elif item.kind == "emergency":
            _emergency(life, item)
        elif item.kind == "clinic":
            _clinic(life, item)
        elif item.kind == "procedure":
            _investigate(life, item)
        elif item.kind == "general":
            _general_visit(life, item)
        elif item.kind == "vaccines":
            immunisation.tell(life, item.day, list(item.what[0]))


def _diagnose(life: Life, item: Item) -> None:
    """A long-term condition is recognised: problem, tests, first treatment. Always written, as it is a fact."""
    condition = life.plan.conditions[item.key]
    day = life.free_day(item.day)
    if day is None:
        # No contact left in the window: recorded from a letter, without a visit of its own.
        time = instant(min(item.day, life.last), 13 * 60)
        life.problems[item.key] = life.condition(
            condition, life.onset[item.key], time, None, "problem", life.person.gp_role_id
        )
        onsets.diagnostic_readings(life, condition, time, None)
        return
    visit = life.gp_visit(day, "gp", item.key, "condition", 15)
    row = life.condition(condition, life.onset[item.key], visit.start + 120, visit.id, "problem", visit.role_id)
    life.problems[item.key] = row
    written = onsets.diagnostic_readings(life, condition, visit.start + 240, visit)
    what = [
        key
        for monitoring in condition.monitoring
        for key in monitoring.what
        if key not in written and not written.intersection(life.plan.members(key))
    ]
    results.measure(life, what, visit, visit.start + 300, "diagnosis", reason=row.id)
    treatment.long_term(life, condition, row.id, day, visit, "community")


def _review(life: Life, item: Item, since: int) -> int:
    day = life.free_day(item.day)
    if day is None:
        return since
    keys, what = item.what
    keys = tuple(key for key in keys if key in life.problems)
    if not keys:
        return since
    visit = life.gp_visit(day, "nurse" if life.chance(0.65) else "gp", keys[0], "condition", 20)
    results.measure(life, what, visit, visit.start + 300, "review", reason=life.problems[keys[0]].id)
    for key in keys:
        treatment.review(life, life.plan.conditions[key], life.problems[key].id, day, visit, since)
    return day


def _illness_row(life: Life, condition: Condition, visit: rec.Encounter, day: int) -> rec.Condition:
    resolved = day + max(1, int(condition.duration_days * life.rng.uniform(0.6, 1.4)))
    problem = life.problem_behind(condition)
    return life.condition(
        condition,
        max(life.birth, day - int(life.rng.random() * 4)),
        visit.start + 180,
        visit.id,
        "encounter",
        visit.role_id,
        resolved=resolved if resolved < life.end else None,
        side=life.side(condition.laterality),
        problem=problem.id if problem else None,
    )


def _vital_signs(life: Life, condition: Condition) -> list[str]:
    """Which vital signs a clinician writes down for this illness: those that it shifts, and blood pressure."""
    touched = [key for key in BEDSIDE if key in condition.shifts]
    if life.age(life.first) >= 40 and life.chance(0.5):
        touched.append("blood-pressure")
    return touched


def _episode(life: Life, item: Item) -> None:
    """An acute illness seen at the practice."""
    condition = life.plan.conditions[item.key]
    day = life.free_day(item.day)
    if day is None or not condition.min_age <= life.age(day) <= condition.max_age:
        return
    draw = life.rng.random()
    kind = "gp"
    if life.age(day) >= 80 and draw < HOME_VISIT_80:
        kind = "home-visit"
    elif draw < TELEPHONE:
        kind = "telephone"
    visit = life.gp_visit(day, kind, item.key, "condition")
    row = _illness_row(life, condition, visit, day)
    if kind != "telephone":
        acute = Acute(condition, 1.0, {})
        if life.chance(MEASURED):
            signs = _vital_signs(life, condition)
            results.measure(life, signs, visit, visit.start + 240, "contact", acute=acute, reason=row.id)
        if condition.tests and life.chance(TESTED):
            results.measure(life, condition.tests, visit, visit.start + 360, "contact", acute=acute, reason=row.id)
    treatment.course(life, condition, row.id, visit, day, "gp")


def _emergency(life: Life, item: Item) -> None:
    """An attendance at the emergency department that ends with going home."""
    condition = life.plan.conditions[item.key]
    day = life.free_day(item.day, working=False)
    if day is None or not condition.min_age <= life.age(day) <= condition.max_age:
        return
    life.busy.add(day)
    rng = life.rng
    # Before 19:00, so that even a long wait ends on the same day.
    hour = min(18, rng.choice(life.plan.emergency_hours))
    start = instant(day, 60 * hour + int(rng.random() * 60))
    visit = stays.attendance(life, condition, start, start + int((1.2 + 2.9 * rng.random()) * 3600), "home")
    row = _illness_row(life, condition, visit, day)
    acute = Acute(condition, 1.0, {})
    if life.chance(0.85):
        results.early_warning(life, visit, visit.start + 900, "contact", acute)
    if condition.tests and life.chance(TESTED_EMERGENCY):
        results.measure(life, condition.tests, visit, visit.start + 1800, "contact", acute=acute, reason=row.id)
    treatment.course(life, condition, row.id, visit, day, "gp")


def _after_stay(life: Life, condition: Condition, stay: rec.Encounter) -> None:
    """The practice gets in touch after an emergency stay."""
    if not life.chance(AFTER_STAY):
        return
    day = life.free_day(local_day(stay.end) + 4 + int(life.rng.random() * 10))
    if day is not None:
        life.gp_visit(day, "telephone" if life.chance(0.6) else "gp", condition.key, "condition")


def _clinic(life: Life, item: Item) -> None:
    """An outpatient appointment: attended, missed, or (after the index date) booked ahead."""
    plan, rng, site = life.plan, life.rng, life.site
    reason, since = item.what
    role = site.role(rng, item.key)
    location = site.department("outpatients")
    problem = life.problems.get(reason) if reason else None
    ahead = item.day > life.last
    if ahead and (life.death_day is not None or item.day > life.index + 183):
        return
    # Nobody is booked in for what is not known yet: not before the diagnosis, the stay or the pregnancy.
    known = local_day(problem.recorded) if problem else since
    wanted = item.day if known is None else max(item.day, known + SOONEST)
    day: int | None = working_day(wanted) if ahead else life.free_day(wanted)
    if day is None:
        return
    start = instant(day, 9 * 60 + 15 * int(rng.random() * 30))
    end = start + 60 * (20 if item.key in life.referred else 30)
    latest_booking = life.index - 1 if ahead else day - 2
    earliest = life.birth if known is None else known
    booked_day = max(earliest, min(latest_booking, day - 14 - int(rng.random() * 120)))
    booked = instant(booked_day, 18 * 60 if booked_day == known else 11 * 60)
    missed = not ahead and life.chance(NOT_ATTENDED)
    visit: rec.Encounter | None = None
    if not ahead:
        life.busy.add(day)
        if not missed:
            episode = _episode_of_care(life, reason, role, day) if problem else None
            visit = life.encounter(
                "outpatient",
                start,
                end,
                reason,
                "condition" if reason else None,
                site.organisation_id,
                location,
                role,
                item.key,
                episode_id=episode,
            )
            if reason:
                _clinic_findings(life, plan.conditions[reason], visit, problem)
            if problem and reason in plan.begun_by_specialists:
                treatment.long_term(life, plan.conditions[reason], problem.id, day, visit, "community")
    status = "booked" if ahead else "noshow" if missed else "fulfilled"
    life.rows["appointment"].append(
        rec.Appointment(
            life.new_id(),
            life.person.id,
            visit.id if visit else None,
            start,
            end,
            booked,
            status,
            item.key,
            role,
            location,
            problem.id if problem else None,
        )
    )
    _refer(life, item.key, role, day, problem)


def _investigate(life: Life, item: Item) -> None:
    """One hospital procedure for a long-term condition: a scan or test at a clinic, else a day in hospital."""
    day = life.free_day(item.day)
    problem = life.problems.get(item.key)
    if day is None or problem is None:
        return
    life.busy.add(day)
    key, specialty = item.what
    procedure = life.plan.procedures[key]
    if procedure.where == "hospital":
        encounter = stays.day_case(life, life.plan.conditions[item.key], specialty, day, problem)
    else:
        site, rng = life.site, life.rng
        specialty = life.plan.specialty_for(specialty, life.age(day))
        start = instant(day, 9 * 60 + 15 * int(rng.random() * 30))
        encounter = life.encounter(
            "outpatient",
            start,
            start + 45 * 60,
            item.key,
            "condition",
            site.organisation_id,
            site.department("outpatients"),
            site.role(rng, specialty),
            specialty,
        )
    life.procedure(key, encounter, encounter.start + 900, 40, problem.id, life.side(procedure.laterality))


def _clinic_findings(life: Life, condition: Condition, visit: rec.Encounter, problem: rec.Condition | None) -> None:
    what = [key for m in condition.monitoring if m.where == "outpatient" for key in m.what]
    if not what and life.chance(0.5):
        what = ["blood-pressure"]
    results.measure(life, what, visit, visit.start + 420, "review", reason=problem.id if problem else None)


def _episode_of_care(life: Life, key: str, role: str, day: int) -> str:
    """The hospital's episode of care for a condition: opened at the first clinic, open since."""
    for row in life.rows["episode"][life.episodes_from :]:
        if row.condition_id == life.problems[key].id:
            found: str = row.id
            return found
    row = rec.Episode(
        life.new_id(), life.person.id, life.problems[key].id, life.site.organisation_id, role, day, life.death_day
    )
    life.rows["episode"].append(row)
    return row.id


def _may_refer(life: Life, contact: rec.Encounter, problem: rec.Condition | None, specialty: str) -> bool:
    """Whether a contact with the practice may be where a referral was made: for the problem, or what leads there."""
    if contact.kind not in ("gp", "telephone", "home-visit", "nurse"):
        return False
    if problem is not None:
        return contact.reason == problem.key
    if contact.reason_kind != "general" or contact.reason is None:
        return False
    reason = life.plan.general_reasons[contact.reason]
    if reason.procedures or reason.observables:
        return False
    return reason.refers is None or specialty in reason.refers


def _refer(life: Life, specialty: str, role: str, day: int, problem: rec.Condition | None) -> None:
    """The first clinic of a specialty comes from a referral at the last fitting contact before it, if there is one."""
    if specialty in life.referred:
        return
    life.referred.add(specialty)
    latest = instant(day - 10, 0)
    source = None
    for encounter in reversed(life.rows["encounter"][life.encounters_from :]):
        if (
            encounter.start < latest
            and encounter.id not in life.referrals
            and _may_refer(life, encounter, problem, specialty)
        ):
            source = encounter
            break
    if source is None or source.start < latest - 200 * DAY:
        return
    life.referrals.add(source.id)
    if problem is not None and problem.recorded > source.end:
        problem = None
    life.rows["request"].append(
        rec.Request(
            life.new_id(),
            life.person.id,
            source.id,
            "referral",
            specialty,
            source.start + 480,
            source.role_id or life.person.gp_role_id,
            problem.id if problem else None,
            "urgent" if life.chance(0.08) else "routine",
            life.site.organisation_id,
        )
    )


def _general_visit(life: Life, item: Item) -> None:
    """A contact at the practice without an illness of its own."""
    reason: GeneralReason = life.plan.general_reasons[item.key]
    day = life.free_day(item.day)
    if day is None:
        return
    kind = {"telephone": "telephone", "home": "home-visit"}.get(reason.mode, "gp")
    if reason.procedures or reason.observables:
        kind = "nurse"
    elif kind == "gp" and life.chance(TELEPHONE):
        kind = "telephone"
    tests = reason.observables
    if day - life.last_tests < TESTED_LATELY and any(key in life.plan.laboratory_tests for key in tests):
        return  # the results that would be asked for are there already
    visit = life.gp_visit(day, kind, item.key, "general")
    what = [*tests, *reason.procedures]
    if what:
        results.measure(life, what, visit, visit.start + 240, "contact")
