"""The knowledge files compiled for telling lives: levels, rates, onset curves, lookups.

Built once a process from `Knowledge` and `Places`; plain lists and dicts, rates indexed [sex][age in years].
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from fhirsynth.timeline.clock import month_of
from fhirsynth.timeline.early_warning import EarlyWarning
from fhirsynth.timeline.process import Process, Shares
from fhirsynth.timeline.rates import (
    OLDEST,
    SEXES,
    banded,
    by_year,
    calibrated_attendances,
    calibrated_stays,
    causal_order,
    habit_shares,
    prevalence_curves,
)
from fhirsynth.timeline.settings import Hospital, Practice

if TYPE_CHECKING:
    from fhirsynth.knowledge import Knowledge
    from fhirsynth.knowledge.schema import Condition, GeneralReason, Level, Medicine, Shift
    from fhirsynth.population.places import Places
    from fhirsynth.record.schema import Person
    from fhirsynth.timeline.body import Acute
    from fhirsynth.timeline.life import Life, Slice


TAKING = "taking:"
EGFR_MARGIN = 3.0  # mL/min/1.73 m², for what is computed and so has no daily spread of its own


class CompiledLevel(NamedTuple):
    """Mean by sex and quarter year of age (0 to 110), spread between and within people, limits."""

    means: dict[str, list[float]]
    sd: float
    daily_sd: float
    log: bool
    floor: float
    ceiling: float

    def mean(self, sex: str, age: float) -> float:
        """Mean at `age` in years."""
        return self.means[sex][min(4 * OLDEST, max(0, int(age * 4)))]


class Threshold(NamedTuple):
    """Where an observable's usual level stays for people with none of `conditions`: from `above` to `below`."""

    conditions: list[str]
    above: float
    below: float


def _giving_way(medicine: Medicine, medicines: dict[str, Medicine]) -> frozenset[str]:
    """Keys of the medicines that are not taken beside `medicine`."""
    return frozenset(key for key, other in medicines.items() if not _beside(other).isdisjoint(medicine.classes))


def _beside(medicine: Medicine) -> frozenset[str]:
    """Classes that a medicine is not taken beside."""
    return frozenset(term.removeprefix(TAKING) for term in medicine.blocked_by if term.startswith(TAKING))


def _compile_level(level: Level) -> CompiledLevel:
    import numpy as np

    quarters = np.arange(4 * OLDEST + 1) / 4
    means = {sex: np.interp(quarters, level.age, getattr(level, sex)).tolist() for sex in SEXES}
    return CompiledLevel(means, level.sd, level.daily_sd, level.log, level.floor, level.ceiling)


class Plan:
    """Everything about the knowledge and the places that telling a life looks up."""

    def __init__(self, knowledge: Knowledge, places: Places) -> None:
        self.conditions = knowledge.conditions
        self.medicines = knowledge.medicines
        #: What stands against a medicine: classes that are taken, and other terms.
        self.not_beside = {key: _beside(medicine) for key, medicine in self.medicines.items()}
        self.blocked_by = {
            key: [term for term in medicine.blocked_by if not term.startswith(TAKING)]
            for key, medicine in self.medicines.items()
        }
        self.displaced = {key: _giving_way(medicine, knowledge.medicines) for key, medicine in self.medicines.items()}
        self.observables = knowledge.observables
        self.panels = knowledge.panels
        self.procedures = knowledge.procedures
        self.reactions = knowledge.reactions
        self.general_reasons = knowledge.general_reasons
        self.specialties = knowledge.specialties
        self.vaccines = list(knowledge.vaccines.values())
        self.allergies = list(knowledge.allergies.values())
        self.flags = list(knowledge.flags.values())
        self._measures()
        self._long_term(knowledge)
        self._rates(knowledge)
        self._places = places
        self._practices: dict[str, Practice] = {}
        self._hospitals: dict[str, Hospital] = {}

    # --- compiling -----------------------------------------------------------------------------

    def _measures(self) -> None:
        observables = self.observables
        self.levels = {key: _compile_level(o.level) for key, o in observables.items() if o.level}
        self.dying = {key: o.dying for key, o in observables.items() if o.dying}
        self.decimals = {key: o.decimals for key, o in observables.items()}
        self.derived = {key: o.derived for key, o in observables.items() if o.derived}
        self.laboratory = {key for key, o in observables.items() if o.group == "laboratory"}
        self.laboratory_tests = self.laboratory | set(self.panels)
        self.measurable = set(self.levels) | set(self.derived)
        #: Levels that go together in a person: the second follows the first.
        self.families = {"diastolic-blood-pressure": "systolic-blood-pressure"}
        self._ranges = {
            (key, sex): (o.range_female if sex == "female" else o.range_male) or o.range
            for key, o in observables.items()
            for sex in SEXES
        }

    def _long_term(self, knowledge: Knowledge) -> None:
        self.long_term = {key: c for key, c in self.conditions.items() if c.kind == "long-term"}
        #: Long-term conditions with a treatment that is begun at a clinic only.
        self.begun_by_specialists = frozenset(
            key for key, c in self.long_term.items() if any(step.where == "hospital" for step in c.treatment)
        )
        self.curves = prevalence_curves(self.long_term, knowledge)
        self.onset_curves = {
            key: {sex: list(accumulate(curve[sex], max)) for sex in SEXES} for key, curve in self.curves.items()
        }
        self.causal_order = causal_order(self.long_term)
        self.family_shares = [(key, c.family_history) for key, c in self.long_term.items() if c.family_history]
        self.shifts: dict[str, list[tuple[str, Shift]]] = {}
        for key, condition in self.long_term.items():
            for observable, shift in condition.shifts.items():
                self.shifts.setdefault(observable, []).append((key, shift))
        self.diagnostic = {key: self._threshold(key) for key in self.shifts if self._diagnosed_by(key)}

    def _diagnosed_by(self, observable: str) -> list[tuple[str, Shift]]:
        return [(key, shift) for key, shift in self.shifts[observable] if shift.diagnostic]

    def _threshold(self, observable: str) -> Threshold:
        found = self._diagnosed_by(observable)
        compiled = self.levels.get(observable)
        # Far enough off that the day's noise seldom crosses it.
        margin = compiled.daily_sd if compiled and not compiled.log else EGFR_MARGIN
        highest = [s.at_least_once_above - margin for _, s in found if s.at_least_once_above is not None]
        lowest = [s.at_least_once_below + margin for _, s in found if s.at_least_once_below is not None]
        return Threshold(
            [key for key, _ in found], max(lowest, default=float("-inf")), min(highest, default=float("inf"))
        )

    def _rates(self, knowledge: Knowledge) -> None:
        episodes = [c for c in self.conditions.values() if c.kind != "long-term"]
        shares = Shares(self.curves, habit_shares(knowledge))
        #: Episodes that come after stays for a condition, and never without one.
        self.complications: dict[str, list[Condition]] = {}
        for condition in episodes:
            for key in condition.follows.after if condition.follows else ():
                self.complications.setdefault(key, []).append(condition)
        episodes = [c for c in episodes if c.follows is None]
        seen = [c for c in episodes if c.incidence]
        self.illness = Process(seen, [by_year(c.incidence, 1e-3) for c in seen if c.incidence], shares)
        stays = [c for c in episodes if c.stay]
        stay_rates = calibrated_stays(stays, knowledge)
        self.stays = Process(stays, stay_rates, shares)
        self._stay_rates = {c.key: rate for c, rate in zip(stays, stay_rates, strict=True)}
        attended = [c for c in episodes if c.emergency]
        self.emergency = Process(attended, calibrated_attendances(attended, knowledge), shares)
        self.gp_rate = banded(knowledge.table("gp_consultations"))
        self.outpatient_rate = banded(knowledge.table("outpatient_attendances"), 1e-3)
        arrivals = knowledge.table("emergency_arrival_hours")
        #: Each hour of the day as often as people arrive in it, for a plain random choice.
        self.emergency_hours = [
            int(hour)
            for hour, weight in zip(arrivals["hour"], arrivals["weight"], strict=True)
            for _ in range(int(weight))
        ]
        leaving = knowledge.table("discharge_destinations")
        #: National codes of destinations and their shares at 65 to 84 and from 85.
        self.destinations = (
            leaving["code"],
            [float(share) for share in leaving["from_65"]],
            [float(share) for share in leaving["from_85"]],
        )
        self.news2 = EarlyWarning(knowledge.table("news2_scoring"))
        self._reasons: dict[str, dict[int, tuple[list[GeneralReason], list[float]]]] = {sex: {} for sex in SEXES}
        self._reason_weights = {key: by_year(r.weight) for key, r in self.general_reasons.items()}
        self._clinics: dict[tuple[str, int], tuple[list[str], list[float]]] = {}

    # --- looking up ----------------------------------------------------------------------------

    def gp_of(self, person: Person) -> Practice:
        if person.practice_id not in self._practices:
            self._practices[person.practice_id] = Practice(self._places, person.practice_id)
        return self._practices[person.practice_id]

    def site_of(self, person: Person) -> Hospital:
        site = self._places.site_for(person.region, person.ordinal)
        if site.id not in self._hospitals:
            self._hospitals[site.id] = Hospital(self._places, site)
        return self._hospitals[site.id]

    def members(self, key: str) -> list[str]:
        """The tests of a panel; a single test is its own only member."""
        panel = self.panels.get(key)
        return panel.members if panel else [key]

    def specimen_of(self, test: str) -> str:
        return self.observables[test].specimen or next(iter(self.panels.values())).specimen

    def flag(self, observable: str, sex: str, value: float) -> str | None:
        """H, L or N against the reference range for the sex; None where there is no range."""
        limits = self._ranges.get((observable, sex))
        if limits is None:
            return None
        if limits.low is not None and value < limits.low:
            return "L"
        if limits.high is not None and value > limits.high:
            return "H"
        return "N"

    def confuses(self, acute: Acute, rng: Random) -> bool:
        """Whether an episode has made the person newly confused: `shifts.acvpu.add` is the chance that it does."""
        shift = acute.condition.shifts.get("acvpu")
        chance = (shift.add * acute.strength if shift else 0.0) + self.dying.get("acvpu", 0.0) * acute.dying
        return chance > 0 and rng.random() < chance

    def random_day(self, life: Life, part: Slice, condition: Condition) -> int:
        """A day of the slice, likelier in December to February for what comes in winter."""
        rng = life.rng
        winter = condition.winter
        rest = max(0.2, (12 - 3 * winter) / 9)
        most = max(winter, rest)
        while True:
            day = part.start + int(rng.random() * (part.end - part.start))
            if winter == 1.0 or rng.random() * most <= (winter if month_of(day) in (12, 1, 2) else rest):
                return day
            if part.end - part.start < 60:
                return day  # too short a stretch to hold a season

    def specialty_for(self, key: str, age: int) -> str:
        """The specialty that sees someone of this age: children go to the one that is for children."""
        specialty = self.specialties[key]
        if specialty.min_age <= age <= specialty.max_age:
            return key
        if age < 18:
            return next((k for k, s in self.specialties.items() if s.min_age <= age <= s.max_age < 20), key)
        return "general-internal-medicine"

    def fits_specialty(self, life: Life, key: str, age: int) -> bool:
        specialty = self.specialties[key]
        return specialty.sex in (None, life.sex) and specialty.min_age <= age <= specialty.max_age

    def any_specialty(self, life: Life, age: int) -> str | None:
        """A clinic by the specialties' outpatient weights, for an attendance that no condition explains."""
        cell = (life.sex, age)
        if cell not in self._clinics:
            fitting = [
                k for k, s in self.specialties.items() if s.outpatient_weight and self.fits_specialty(life, k, age)
            ]
            self._clinics[cell] = fitting, list(accumulate(self.specialties[k].outpatient_weight for k in fitting))
        keys, cumulative = self._clinics[cell]
        if not keys:
            return None
        return keys[bisect_right(cumulative, life.rng.random() * cumulative[-1])]

    def general_reason(self, life: Life, age: int) -> GeneralReason | None:
        """Why someone of this age and sex sees the practice without an illness of its own."""
        age = min(age, OLDEST)
        by_age = self._reasons[life.sex]
        if age not in by_age:
            reasons = [r for r in self.general_reasons.values() if self._reason_weights[r.key][life.sex][age] > 0]
            weights = accumulate(self._reason_weights[r.key][life.sex][age] for r in reasons)
            by_age[age] = reasons, list(weights)
        reasons, cumulative = by_age[age]
        if not reasons:
            return None
        return reasons[bisect_right(cumulative, life.rng.random() * cumulative[-1])]

    def last_illness(self, life: Life) -> Condition | None:
        """The illness that someone dies of in hospital: by how often it admits them and how often it kills."""
        age = min(life.age(life.last), OLDEST)
        candidates: list[Condition] = []
        weights: list[float] = []
        for condition in self.stays.conditions:
            stay = condition.stay
            if stay is None or stay.admission != "emergency" or stay.mortality <= 0:
                continue
            if condition.sex not in (None, life.sex) or not condition.min_age <= age <= condition.max_age:
                continue
            if condition.needs and not life.has_any(condition.needs):
                continue
            ratio = 1.0
            for risk in condition.risk:
                if risk.of in life.habits or risk.of in life.onset:
                    ratio += risk.rate_ratio - 1
            rate = self._stay_rates[condition.key][life.sex][age]
            if rate > 0:
                candidates.append(condition)
                weights.append(rate * stay.mortality * max(0.1, ratio))
        return life.rng.choices(candidates, weights)[0] if candidates else None


_plans: dict[tuple[str, int], Plan] = {}


def plan_for(knowledge: Knowledge, places: Places) -> Plan:
    """The plan of this knowledge, compiled once a process."""
    key = (knowledge.digest, id(places))
    if key not in _plans:
        _plans[key] = Plan(knowledge, places)
    return _plans[key]
