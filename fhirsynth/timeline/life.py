"""One person's life while it is being told: state that later events depend on, and the rows written so far."""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from fhirsynth.days import age_on, birthday
from fhirsynth.knowledge.expressions import compare, parse
from fhirsynth.record import schema as rec
from fhirsynth.timeline.body import Body
from fhirsynth.timeline.clock import YEAR, instant, local_day, working_day

if TYPE_CHECKING:
    from fhirsynth.knowledge.schema import Condition, Medicine, Outpatient
    from fhirsynth.timeline.plan import Plan

Rows = dict[str, list[Any]]
ID_BATCH = 64
#: Where people live, by the codes that the NHS Data Dictionary has for coming from there and going there.
HOME = "19"
CARE_HOME = "85"  # not run by the NHS or a local authority, as nearly all are


class Slice(NamedTuple):
    """A stretch of the window in which the person has one age: days `start` to `end` (exclusive)."""

    age: int
    start: int
    end: int

    @property
    def years(self) -> float:
        return (self.end - self.start) / YEAR


class Order:
    """A medicine being taken; becomes one medication row when the life has been told."""

    __slots__ = (
        "authored",
        "child",
        "days",
        "encounter",
        "end",
        "id",
        "medicine",
        "reason",
        "repeat",
        "role",
        "setting",
        "source",
        "start",
        "stop_reason",
    )

    def __init__(
        self,
        id: str,
        medicine: Medicine,
        start: int,
        authored: int,
        encounter: str | None,
        reason: str,
        source: str,
        role: str,
        setting: str,
        days: int | None,
        child: bool,
    ) -> None:
        self.id, self.medicine, self.start, self.authored, self.encounter = id, medicine, start, authored, encounter
        self.reason, self.source, self.role, self.setting = reason, source, role, setting
        self.days, self.repeat, self.child = days, days is None, child
        self.end: int | None = None if days is None else start + days - 1
        self.stop_reason: str | None = None

    def taken_on(self, day: int) -> bool:
        return self.start <= day and (self.end is None or day <= self.end)


class Life:
    """State and rows of one person between `first` and `last` (days, inclusive) of the history window."""

    def __init__(
        self, plan: Plan, rng: Random, person: rec.Person, has: list[str], start: int, index: int, rows: Rows
    ) -> None:
        self.plan, self.rng, self.person, self.rows = plan, rng, person, rows
        self._ids: list[str] = []
        self.sex, self.birth = person.sex, person.birth
        self.death_day = None if person.death is None else local_day(person.death)
        #: A day after the last on which something can happen to the living person.
        self.index = index
        self.end = index if self.death_day is None else self.death_day
        self.first = max(start, self.birth)
        self.last = self.end - 1
        self.has = has
        self.body = Body(plan, rng, person.sex, person.birth, person.bmi_class, index)
        self.onset = self.body.onset
        self.problems: dict[str, rec.Condition] = {}
        self.allergies: set[str] = set()
        self.blocked_classes: set[str] = set()
        self.orders: list[Order] = []
        self.unsuitable: set[str] = set()  # medicines stopped for what they did, or for what stands against them
        #: Treatment steps (condition, position): whom they suit, and which have been taken or refused.
        self.willing: dict[tuple[str, int], bool] = {}
        self.decided: set[tuple[str, int]] = set()
        self.clinics: dict[str, list[Outpatient]] = {}  # hospital follow-up by condition
        self.residence = CARE_HOME if person.household == "care-home" else HOME
        self.had: set[str] = set()  # everything diagnosed so far, episodes too
        self.busy: set[int] = set()
        self.complications: list[tuple[int, str, str]] = []  # day, kind of contact and condition, of what stays lead to
        self.vaccinated: dict[str, int] = {}  # day of the latest dose of each vaccine
        self.pregnancies: list[tuple[int, int]] = []
        self.referred: set[str] = set()  # specialties
        self.referrals: set[str] = set()  # contacts at which a referral was made
        self.last_tests = self.first - 10_000  # day of the latest laboratory tests
        # Where this person's rows begin in the shard's tables.
        self.encounters_from, self.episodes_from = len(rows["encounter"]), len(rows["episode"])
        self.gp = plan.gp_of(person)
        self.site = plan.site_of(person)
        self.habit_list = [f"smoking={person.smoking}", f"alcohol={person.alcohol}", f"bmi={person.bmi_class}"]
        self.habits = set(self.habit_list)
        self.frailty = rng.gammavariate(2.5, 0.4)  # how readily they seek care: mean 1, sd 0.63

    # --- small tools ---------------------------------------------------------------------------

    def new_id(self) -> str:
        """A random UUID (version 4) from the person's stream, which is read for many at a time."""
        if not self._ids:
            h = self.rng.randbytes(16 * ID_BATCH).hex()
            self._ids = [
                f"{h[i : i + 8]}-{h[i + 8 : i + 12]}-4{h[i + 13 : i + 16]}-a{h[i + 17 : i + 20]}-{h[i + 20 : i + 32]}"
                for i in range(0, 32 * ID_BATCH, 32)
            ]
        return self._ids.pop()

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def age(self, day: int) -> int:
        """Completed years of age on `day`."""
        return age_on(self.birth, day)

    def poisson(self, mean: float) -> int:
        """A Poisson count (Knuth's product below 30, the normal limit above)."""
        if mean <= 0:
            return 0
        if mean > 30:
            return max(0, round(self.rng.gauss(mean, math.sqrt(mean))))
        limit, count, product = math.exp(-mean), 0, self.rng.random()
        while product > limit:
            count += 1
            product *= self.rng.random()
        return count

    def pick(self, items: list[Any], weights: Iterable[float] | None = None) -> Any:
        """One of `items`, by weight."""
        if weights is None:
            return items[int(self.rng.random() * len(items))]
        return self.rng.choices(items, list(weights))[0]

    def slices(self) -> list[Slice]:
        """The window cut at the person's birthdays."""
        out = []
        day = self.first
        while day < self.end:
            age = self.age(day)
            until = min(self.end, birthday(self.birth, age + 1))
            out.append(Slice(age, day, until))
            day = until
        return out

    def free_day(self, day: int, *, working: bool = True) -> int | None:
        """The first day from `day` on without a contact or a stay, or None where the window ends first."""
        for _ in range(40):
            if working:
                day = working_day(day)
            if day > self.last:
                return None
            if day not in self.busy:
                return day
            day += 1
        return None

    def factors(self, part: Slice) -> list[str]:
        """Habit states, and the conditions that began before the slice ended: what can make an episode likelier."""
        return [*self.habit_list, *(key for key, day in self.onset.items() if day < part.end)]

    def has_any(self, keys: Iterable[str]) -> bool:
        return any(key in self.onset for key in keys)

    def followed_up(self, key: str) -> bool:
        """Whether a hospital clinic sees the person for this condition."""
        return key in self.clinics

    # --- what holds ----------------------------------------------------------------------------

    def holds(self, text: str, day: int) -> bool:
        """Whether an expression of a knowledge file holds for this person on `day`."""
        term = parse(text)
        if term.kind == "level":
            if term.name not in self.plan.measurable:
                return False
            return compare(self.body.level(term.name, day), term.operator, term.value)
        if term.kind == "age":
            return compare(self.body.age(day), term.operator, term.value)
        if term.kind == "sex":
            return self.sex == term.state
        if term.kind == "habit":
            return f"{term.name}={term.state}" in self.habits
        if term.kind == "condition":
            return term.name in self.has or term.name in self.had
        if term.kind == "taking":
            return any(o.taken_on(day) and term.name in o.medicine.classes for o in self.orders)
        if term.kind == "allergy":
            return term.name in self.blocked_classes
        return any(start <= day <= end for start, end in self.pregnancies)

    def problem_behind(self, condition: Condition) -> rec.Condition | None:
        """The long-term problem that an episode belongs to, if the person has it."""
        return next((self.problems[key] for key in condition.needs if key in self.problems), None)

    def side(self, laterality: bool) -> str | None:
        """Left or right, for what has a side."""
        return str(self.pick(["left", "right"])) if laterality else None

    # --- rows ----------------------------------------------------------------------------------

    def encounter(
        self,
        kind: str,
        start: int,
        end: int,
        reason: str | None,
        reason_kind: str | None,
        organisation: str,
        location: str | None,
        role: str | None,
        specialty: str,
        **details: str | None,
    ) -> rec.Encounter:
        """Write one encounter row (instants) and give it back."""
        row = rec.Encounter(
            self.new_id(),
            self.person.id,
            kind,
            start,
            end,
            reason,
            reason_kind,
            organisation,
            location,
            role,
            specialty,
            details.get("admission_method"),
            details.get("admission_source"),
            details.get("discharge_method"),
            details.get("discharge_destination"),
            details.get("parent_id"),
            details.get("episode_id"),
        )
        self.rows["encounter"].append(row)
        return row

    def condition(
        self,
        condition: Condition,
        onset: int,
        recorded: int,
        encounter: str | None,
        category: str,
        role: str | None,
        *,
        rank: int | None = None,
        resolved: int | None = None,
        problem: str | None = None,
        side: str | None = None,
    ) -> rec.Condition:
        """Write one condition row, coded to the stage that holds on the day it is recorded.

        A problem has the stage of the window's end: registers go on with the code as the illness does.
        """
        name, snomed, icd10 = condition.name, condition.snomed, condition.icd10
        day = self.last if category == "problem" else local_day(recorded)
        for stage in condition.stages:
            if self.holds(stage.when, day):
                name, snomed, icd10 = stage.name, stage.snomed, stage.icd10
                break
        row = rec.Condition(
            self.new_id(),
            self.person.id,
            encounter,
            condition.key,
            name,
            snomed,
            icd10,
            onset,
            recorded,
            resolved,
            category,
            rank,
            side,
            None,
            problem,
            role,
        )
        self.rows["condition"].append(row)
        self.had.add(condition.key)
        return row

    def procedure(
        self, key: str, encounter: rec.Encounter, start: int, minutes: int, reason: str | None, side: str | None
    ) -> None:
        """Write one procedure row."""
        self.rows["procedure"].append(
            rec.Procedure(
                self.new_id(),
                self.person.id,
                encounter.id,
                key,
                start,
                min(start + minutes * 60, encounter.end),
                encounter.role_id,
                encounter.location_id,
                reason,
                side,
            )
        )

    def gp_visit(
        self, day: int, kind: str, reason: str | None, reason_kind: str | None, length: int = 10
    ) -> rec.Encounter:
        """A contact at the practice: books the day and writes the encounter."""
        self.busy.add(day)
        start = instant(day, 8 * 60 + 30 + 10 * int(self.rng.random() * 55))
        nurse = kind in ("nurse", "immunisation")
        role = self.gp.nurse(self.rng) if nurse else self.gp.doctor(self.rng)
        location = None if kind in ("telephone", "home-visit") else self.gp.location_id
        return self.encounter(
            kind,
            start,
            start + 60 * length,
            reason,
            reason_kind,
            self.gp.organisation_id,
            location,
            role,
            "general-practice",
        )
