"""What a record holds besides contacts: allergies, family history, flags."""

from __future__ import annotations

from fhirsynth.record import schema as rec
from fhirsynth.timeline.clock import YEAR, instant, working_day
from fhirsynth.timeline.life import Life

RELATIVES = ("mother", "father", "brother", "sister")
NONE_RECORDED = 0.85  # of people without an allergy, those whose record says so (estimate)
SEVERITIES = ("mild", "moderate", "severe")
FAMILY_AGE = 16  # years from which a family history is asked for
OWN_FAMILY = 1.8  # times as often told by those who have the condition themselves (order of magnitude)


def allergies(life: Life) -> None:
    """Draw allergies first of all: nothing that they rule out is ever prescribed."""
    rng = life.rng
    years = life.body.age(life.last)
    # Allergies are met in the course of life: a child has had less of it than the adults of the figures.
    exposure = min(1.0, 0.25 + years / 40)
    found = False
    for allergy in life.plan.allergies:
        if not life.chance(allergy.share * exposure):
            continue
        found = True
        life.blocked_classes.update(allergy.blocks)
        day = life.birth + int((life.last - life.birth) * (0.15 + 0.8 * rng.random()))
        reaction = life.plan.reactions[rng.choice(allergy.reactions)]
        severity = "severe" if reaction.severe else SEVERITIES[int(rng.random() * 2)]
        recorded = instant(working_day(min(day + 20, life.last)), 10 * 60 + int(rng.random() * 300))
        life.rows["allergy"].append(
            rec.Allergy(
                life.new_id(),
                life.person.id,
                allergy.key,
                min(recorded, _latest(life)),
                day,
                reaction.key,
                severity,
                "high" if reaction.severe else "low",
                life.person.gp_role_id,
            )
        )
    if not found and life.chance(NONE_RECORDED):
        earliest = max(life.birth + 14, life.first - int(8 * YEAR))
        day = earliest + int(max(0, life.last - earliest) * rng.random())
        life.rows["allergy"].append(
            rec.Allergy(
                life.new_id(),
                life.person.id,
                None,
                min(instant(working_day(day), 11 * 60), _latest(life)),
                None,
                None,
                None,
                None,
                life.person.gp_role_id,
            )
        )


def _latest(life: Life) -> int:
    """The last moment at which something can be written down in the living person's record."""
    return instant(life.last, 17 * 60)


def family_history(life: Life) -> None:
    """Conditions of parents and siblings, more often told by those who have the condition."""
    rng = life.rng
    if life.body.age(life.last) < FAMILY_AGE:
        return
    since = max(life.first, life.birth + int(FAMILY_AGE * YEAR))
    for key, share in life.plan.family_shares:
        factor = OWN_FAMILY if key in life.has else 1.0
        if not life.chance(min(0.6, share * factor)):
            continue
        condition = life.plan.conditions[key]
        relatives = [
            name
            for name in RELATIVES
            if condition.sex is None or (condition.sex == "female") == (name in ("mother", "sister"))
        ]
        curve = life.plan.onset_curves[key]["female"]
        youngest = max(condition.min_age, condition.onset.never_before, 20 if curve[20] > 0 else 0)
        onset = min(90, youngest + int(rng.gammavariate(4, 7)))
        died = condition.cause_of_death > 0 and life.chance(0.35)
        recorded = instant(working_day(since + int((life.last - since) * rng.random())), 10 * 60)
        life.rows["family_history"].append(
            rec.FamilyHistory(
                life.new_id(), life.person.id, rng.choice(relatives), key, onset, died, min(recorded, _latest(life))
            )
        )


def flags(life: Life) -> None:
    """Alerts that every clinician should see: those whose condition holds at the end of the person's history."""
    for flag in life.plan.flags:
        if flag.when is not None and not all(life.holds(term, life.last) for term in flag.when):
            continue
        if flag.interpreter and not life.person.interpreter:
            continue
        if not life.chance(flag.share):
            continue
        start = life.first + int((life.last - life.first) * life.rng.random())
        life.rows["flag"].append(
            rec.Flag(life.new_id(), life.person.id, flag.key, start, life.death_day, life.person.gp_role_id)
        )
