"""A person's own levels: what their body measures, usually and on a given day.

Each observable with a `level` has a usual value for this person (mean by age and sex, plus their own
deviation), shifted by their conditions from onset on and moved back by treatment. A reading is that level,
plus what an acute episode does, plus the day's noise. Weight follows height and BMI; creatinine follows
the latent eGFR; what is derived is computed from the readings that are written down, so they agree.
"""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from fhirsynth.timeline.clock import YEAR

if TYPE_CHECKING:
    from fhirsynth.knowledge.schema import Condition, Shift
    from fhirsynth.timeline.plan import Plan

#: Limits of adult BMI in each class of the model, kg/m² (NICE CG189 classes).
BMI_LIMITS = {
    "underweight": (15.8, 18.3),
    "normal": (18.7, 24.8),
    "overweight": (25.2, 29.8),
    "obese": (30.3, 46.0),
}
#: Standard deviations of weight for age of a child in each class (UK90 centiles: 2nd, 91st, 98th).
CHILD_Z = {"underweight": (-2.4, -1.9), "normal": (-1.3, 1.1), "overweight": (1.2, 1.8), "obese": (2.0, 3.0)}
GROWN = 18  # years from which height is one constant
QUARTERS_A_DAY = 4 / YEAR
RAMP = 60.0  # days until a treatment has its full effect
#: κ in mg/dL, α and the factor of the equation by sex.
CKD_EPI = {"female": (0.7, -0.329, 144.0), "male": (0.9, -0.411, 141.0)}


def egfr_ckd_epi(creatinine: float, age: int, sex: str) -> float:
    """eGFR in mL/min/1.73 m² from serum creatinine in µmol/L by CKD-EPI 2009, no ethnicity factor (NICE NG203)."""
    kappa, alpha, factor = CKD_EPI[sex]
    ratio = creatinine / 88.4 / kappa
    return float(factor * min(ratio, 1.0) ** alpha * max(ratio, 1.0) ** -1.209 * 0.993**age)


def creatinine_for(egfr: float, age: int, sex: str) -> float:
    """Serum creatinine in µmol/L at which CKD-EPI 2009 gives `egfr`: the inverse of `egfr_ckd_epi`."""
    kappa, alpha, factor = CKD_EPI[sex]
    at_kappa = factor * 0.993**age
    power = -1.209 if egfr < at_kappa else alpha
    return 88.4 * kappa * float((egfr / at_kappa) ** (1.0 / power))


def around(rng: Random, centre: float, sd: float) -> float:
    """A draw about `centre` without the tails that no patient has (below 1.5 or above 2.5 `sd`, or next to nothing)."""
    value = max(centre - 1.5 * sd, min(centre + 2.5 * sd, rng.gauss(centre, sd)))
    return max(value, 0.3 * centre) if centre > 0 else value


class Acute(NamedTuple):
    """An episode that shifts readings now; `strength` falls from 1 to 0 as it resolves.

    `dying` rises to 1 on the last day of those whom it kills.
    """

    condition: Condition
    strength: float
    draws: dict[str, float]
    dying: float = 0.0


class Effect(NamedTuple):
    """A treatment's change of a level: from `start` until `end` (days; None while it goes on)."""

    observable: str
    amount: float
    start: int
    end: int | None


class Body:
    """Levels and readings of one person. Days are days since 1970-01-01."""

    def __init__(self, plan: Plan, rng: Random, sex: str, birth: int, bmi_class: str, reference_day: int) -> None:
        self.plan, self.rng, self.sex, self.birth = plan, rng, sex, birth
        self.reference_day = reference_day
        self.onset: dict[str, int] = {}
        self._effects: dict[str, list[Effect]] = {}
        # Means by quarter of a year, offset and factor of each level; shifts of the conditions that the person has
        # (their onsets are known before the first level is asked for).
        self._own: dict[str, tuple[list[float], float, float]] = {}
        self._own_shifts: dict[str, list[tuple[str, Shift, int]]] = {}
        self._z: dict[str, float] = {}
        self._to: dict[tuple[str, str], float] = {}
        gauss = rng.gauss
        self._z_height = max(-2.4, min(2.4, gauss(0, 1)))
        low, high = BMI_LIMITS[bmi_class]
        # Within a class low BMIs are commoner than high ones only among the obese, where the tail is long.
        if bmi_class == "obese":
            self._bmi = min(high, low + rng.expovariate(1 / 4.2))
        else:
            self._bmi = low + (high - low) * rng.random()
        child_low, child_high = CHILD_Z[bmi_class]
        self._z_weight = child_low + (child_high - child_low) * rng.random()
        self._drift = gauss(0, 0.10)  # kg/m² a year
        self.adult_height = float(round(self._height_mean(GROWN)))

    # --- the usual level -----------------------------------------------------------------------

    def age(self, day: float) -> float:
        """Age in years, with a fraction."""
        return (day - self.birth) / YEAR

    def z(self, key: str) -> float:
        """This person's deviation for `key` in standard deviations; relatives of a family share half of it."""
        value = self._z.get(key)
        if value is None:
            family = self.plan.families.get(key)
            if family and family != key:
                value = 0.6 * self.z(family) + 0.8 * self.rng.gauss(0, 1)
            else:
                value = self.rng.gauss(0, 1)
            self._z[key] = value = max(-2.3, min(2.3, value))
        return value

    def level(self, key: str, day: float) -> float:
        """The usual level of `key` on `day`, conditions and treatment included, in the observable's unit."""
        derived = self.plan.derived.get(key)
        if derived == "egfr-ckd-epi-2009":
            return self._egfr(day)
        if derived == "bmi":
            return self.weight(day) / (self.height(day) / 100) ** 2
        if derived == "non-hdl":
            return self.level("cholesterol", day) - self.level("hdl", day)
        if key == "height":
            return self.height(day)
        if key == "weight":
            return self.weight(day)
        base = self._undiagnosed(key, self._shifted(key, self._base(key, day), day), day)
        compiled = self.plan.levels[key]
        return min(compiled.ceiling, max(compiled.floor, base))

    def _base(self, key: str, day: float) -> float:
        """The level without conditions and treatment: the mean for sex and age with the person's own deviation."""
        own = self._own.get(key)
        if own is None:
            compiled = self.plan.levels[key]
            off = compiled.sd * self.z(key)
            means = compiled.means[self.sex]
            own = self._own[key] = (means, 0.0, math.exp(off)) if compiled.log else (means, off, 1.0)
        means, offset, factor = own
        quarter = int((day - self.birth) * QUARTERS_A_DAY)
        return means[min(len(means) - 1, max(0, quarter))] * factor + offset

    def _shifted(self, key: str, base: float, day: float) -> float:
        """`base` as the person's conditions and treatment have moved it by `day`."""
        shifts = self._own_shifts.get(key)
        if shifts is None:
            shifts = self._own_shifts[key] = [
                (condition, shift, self.onset[condition])
                for condition, shift in self.plan.shifts.get(key, ())
                if condition in self.onset
            ]
        effects = self._effects.get(key)
        if not shifts and not effects:
            return base
        target: float | None = None
        change = 0.0
        for condition, shift, began in shifts:
            if day < began:
                continue
            if shift.to is not None:
                own = self._to.get((condition, key))
                if own is None:
                    own = around(self.rng, shift.to, shift.sd or 0.0)
                    self._to[(condition, key)] = own
                if target is None or abs(own - base) > abs(target - base):
                    target = own
            change += shift.add
            if shift.slope_per_year:
                change += shift.slope_per_year * (day - began) / YEAR
        for effect in effects or ():
            if effect.start <= day and (effect.end is None or day < effect.end):
                change += effect.amount * min(1.0, (day - effect.start) / RAMP)
        return (base if target is None else target) + change

    def treat(self, effect: Effect) -> None:
        """Let a treatment move a level from its start on."""
        self._effects.setdefault(effect.observable, []).append(effect)

    def untreat(self, observable: str, start: int, end: int) -> None:
        """End the effect on `observable` of the treatment that began on `start`."""
        effects = self._effects.get(observable, [])
        for position, effect in enumerate(effects):
            if effect.start == start and effect.end is None:
                effects[position] = effect._replace(end=end)
                return

    def _egfr(self, day: float) -> float:
        age = self.age(day)
        base = egfr_ckd_epi(self._base("creatinine", day), int(age), self.sex)
        level = self._shifted("egfr", base, day)
        return max(5.0, min(125.0, self._undiagnosed("egfr", level, day)))

    def _undiagnosed(self, key: str, level: float, day: float) -> float:
        """`level` kept on the healthy side of a diagnostic threshold for those without the condition."""
        limit = self.plan.diagnostic.get(key)
        if limit is None or any(self.onset.get(condition, math.inf) <= day for condition in limit.conditions):
            return level
        return min(limit.below, max(limit.above, level))

    def _height_mean(self, age: float) -> float:
        compiled = self.plan.levels["height"]
        # Children vary in proportion to their height; the file's sd is that of grown people.
        grown = compiled.mean(self.sex, GROWN)
        mean = compiled.mean(self.sex, age)
        return mean + compiled.sd * self._z_height * mean / grown

    def height(self, day: float) -> float:
        """Height in cm: grows until 18, then one constant."""
        age = self.age(day)
        return self.adult_height if age >= GROWN else self._height_mean(age)

    def weight(self, day: float) -> float:
        """Weight in kg: BMI class and height in adults, centile in children, blended from 16 to 18."""
        age = self.age(day)
        years = (day - self.reference_day) / YEAR
        grown = (self._bmi + self._drift * years) * (self.height(day) / 100) ** 2
        if age >= GROWN:
            return self._shifted("weight", grown, day)
        compiled = self.plan.levels["weight"]
        child = compiled.mean(self.sex, age) * math.exp(0.14 * self._z_weight + 0.05 * self._z_height)
        if age <= 16:
            return child
        share = (age - 16) / 2
        return share * grown + (1 - share) * child

    # --- a reading -----------------------------------------------------------------------------

    def reading(self, key: str, day: float, acute: Acute | None = None) -> float:
        """One measurement of `key` on `day`, rounded as it is reported."""
        compiled = self.plan.levels.get(key)
        decimals = self.plan.decimals[key]
        if key == "weight":
            value = self.weight(day)
            value += self.rng.gauss(0, 0.006) * value
        elif key == "height":
            return round(self.height(day), 0 if self.age(day) >= GROWN else decimals)
        else:
            assert compiled is not None
            if key == "creatinine":
                value = creatinine_for(self._egfr(day), int(self.age(day)), self.sex)
            else:
                value = self.level(key, day)
            if acute is not None:
                shift = acute.condition.shifts.get(key)
                if shift is not None:
                    if shift.to is not None:
                        own = acute.draws.get(key)
                        if own is None:
                            own = acute.draws[key] = around(self.rng, shift.to, shift.sd or 0.0)
                        value += (own - value) * acute.strength
                    value += shift.add * acute.strength
                if acute.dying:
                    value += self.plan.dying.get(key, 0.0) * acute.dying
            noise = self.rng.gauss(0, compiled.daily_sd)
            value = value * math.exp(noise) if compiled.log else value + noise
            value = min(compiled.ceiling, max(compiled.floor, value))
        return round(value, decimals) if decimals else float(round(value))

    def at_diagnosis(self, condition: Condition, key: str, shift: Shift, day: float) -> float:
        """The reading that made the diagnosis: on the right side of the diagnostic threshold."""
        value = self.reading(key, day) if key != "egfr" else self._egfr(day)
        step = 10 ** -self.plan.decimals[key]
        if shift.at_least_once_above is not None and value < shift.at_least_once_above:
            value = shift.at_least_once_above + abs(self.rng.gauss(0, shift.sd or 5 * step)) * 0.3
        if shift.at_least_once_below is not None and value > shift.at_least_once_below:
            value = shift.at_least_once_below - abs(self.rng.gauss(0, shift.sd or 5 * step)) * 0.3
        decimals = self.plan.decimals[key]
        return round(value, decimals) if decimals else float(round(value))
