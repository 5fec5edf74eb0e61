"""Published figures as rates by sex and single year of age, and how ours are brought to agree with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhirsynth.knowledge import Knowledge
    from fhirsynth.knowledge.schema import ByAge, Condition

OLDEST = 110
SEXES = ("female", "male")
VIA_EMERGENCY_DEPARTMENT = 0.78  # of emergency admissions (method 21; HES 2023-24 group totals)
MOST_RAISED = 2.5  # times a rate may be raised for diagnosis groups that no condition file stands for

ByYear = dict[str, list[float]]  # sex → a value for each year of age from 0 to 110


def by_year(rates: ByAge, scale: float = 1.0) -> dict[str, list[float]]:
    """A `ByAge` spread over single years of age 0 to 110, times `scale`."""
    out: dict[str, list[float]] = {}
    for sex in SEXES:
        values: list[float] = getattr(rates, sex)
        line: list[float] = []
        for position, value in enumerate(values):
            until = rates.age[position + 1] if position + 1 < len(values) else OLDEST + 1
            line.extend([value * scale] * (until - rates.age[position]))
        out[sex] = line
    return out


def _first_age(band: str) -> int:
    return int(band.rstrip("+").split("-")[0])


def banded(table: dict[str, list[str]], scale: float = 1.0, suffix: str = "") -> ByYear:
    """A table with `age_band` and a column for each sex (name and `suffix`), by year of age, times `scale`."""
    starts = [_first_age(band) for band in table["age_band"]]
    out: ByYear = {}
    for sex in SEXES:
        values = [float(value) * scale for value in table[sex + suffix]]
        line: list[float] = []
        for position, value in enumerate(values):
            until = starts[position + 1] if position + 1 < len(values) else OLDEST + 1
            line.extend([value] * (until - starts[position]))
        out[sex] = line
    return out


def causal_order(long_term: dict[str, Condition]) -> list[str]:
    """Keys with every condition after those that `onset.after` names; otherwise as the files are sorted."""
    out: list[str] = []
    waiting = sorted(long_term)
    while waiting:
        ready = [key for key in waiting if not any(c in waiting for c in long_term[key].onset.after)]
        if not ready:
            raise ValueError(f"onset.after goes in a circle among {', '.join(waiting)}")
        out.extend(ready)
        waiting = [key for key in waiting if key not in ready]
    return out


def prevalence_curves(long_term: dict[str, Condition], knowledge: Knowledge) -> dict[str, ByYear]:
    """Share of people with each long-term condition by sex and year of age, from its published table.

    The ten-year bands are joined by straight lines between their middles; nothing outside the condition's ages and
    sex.
    """
    table = knowledge.table("conditions_kuan")
    bands = [name for name in table if name not in ("code", "sex")]
    rows = {
        (code, sex): [float(table[band][position] or 0) for band in bands]
        for position, (code, sex) in enumerate(zip(table["code"], table["sex"], strict=True))
    }
    middles = [_first_age(band) + 4.5 for band in bands]
    out: dict[str, ByYear] = {}
    for key, condition in long_term.items():
        assert condition.prevalence is not None
        youngest = max(condition.min_age, condition.onset.never_before)
        out[key] = {}
        for sex in SEXES:
            values = rows.get((condition.prevalence.code, sex))
            if values is None or condition.sex not in (None, sex):
                out[key][sex] = [0.0] * (OLDEST + 1)
                continue
            curve = []
            for age in range(OLDEST + 1):
                inside = youngest <= age <= condition.max_age
                curve.append(_between(middles, values, age) / 10_000 if inside else 0.0)
            out[key][sex] = curve
    return out


def _between(xs: list[float], ys: list[float], x: float) -> float:
    """Straight-line interpolation, flat beyond the ends."""
    if x <= xs[0]:
        return ys[0]
    for left in range(len(xs) - 1):
        if x <= xs[left + 1]:
            share = (x - xs[left]) / (xs[left + 1] - xs[left])
            return ys[left] + share * (ys[left + 1] - ys[left])
    return ys[-1]


def habit_shares(knowledge: Knowledge) -> dict[str, ByYear]:
    """Share of people in each habit state (`smoking=current`) by sex and year of age."""
    table = knowledge.table("population_habits")
    out: dict[str, ByYear] = {}
    rows = sorted(
        zip(table["node"], table["state"], table["sex"], map(int, table["age"]), table["percent"], strict=True)
    )
    for node, state, sex, age, percent in rows:
        line = out.setdefault(f"{node}={state}", {}).setdefault(sex, [0.0] * (OLDEST + 1))
        line[age:] = [float(percent) / 100] * (OLDEST + 1 - age)
    return out


def _hes_rates(condition: Condition, groups: dict[str, dict[str, str]], bands: list[str]) -> ByYear:
    """Admissions a year by the HES groups that a stay stands for, of its kind of admission."""
    stay = condition.stay
    assert stay is not None
    out = {sex: [0.0] * (OLDEST + 1) for sex in SEXES}
    for name in stay.hes_groups:
        group = groups[name]
        emergency = float(group["emergency_share"])
        listed = float(group["waiting_list_share"]) + float(group["planned_share"])
        of_kind = {
            "emergency": emergency,
            "elective": listed,
            "planned": listed,
            "maternity": max(0.0, 1 - emergency - listed),
        }[stay.admission]
        female = float(group["female_share"])
        for position, band in enumerate(bands):
            start = _first_age(band)
            until = _first_age(bands[position + 1]) if position + 1 < len(bands) else OLDEST + 1
            rate = float(group[band]) / 1000 * of_kind * stay.share_of_groups
            for age in range(start, until):
                out["female"][age] += rate * 2 * female
                out["male"][age] += rate * 2 * (1 - female)
    return out


def calibrated_stays(stays: list[Condition], knowledge: Knowledge) -> list[ByYear]:
    """Rates of each kind of stay: the mix of HES diagnosis groups, brought to all admissions by age and sex.

    The condition files stand for most groups but not all. What they leave out is made up for by raising emergency and
    planned stays each to its published total (at most `MOST_RAISED` times); births and maternity stay as they are.
    """
    table = knowledge.table("hes_groups")
    names = list(table)
    bands = names[names.index("0") :]
    groups = {name: {column: table[column][row] for column in names} for row, name in enumerate(table["icd10_range"])}
    rates = [_hes_rates(condition, groups, bands) for condition in stays]
    published = knowledge.table("admissions")
    every, emergency = banded(published, 1e-3), banded(published, 1e-3, "_emergency")
    for sex in SEXES:
        for age in range(1, OLDEST + 1):  # the admissions of age 0 are births
            covered = dict.fromkeys(("emergency", "elective", "planned", "maternity"), 0.0)
            for condition, rate in zip(stays, rates, strict=True):
                if condition.stay and condition.sex in (None, sex) and condition.min_age <= age <= condition.max_age:
                    covered[condition.stay.admission] += rate[sex][age]
            by_plan = covered["elective"] + covered["planned"]
            factor = {
                "emergency": _raised(emergency[sex][age], covered["emergency"]),
                "maternity": 1.0,
            }
            factor["elective"] = factor["planned"] = _raised(
                every[sex][age] - emergency[sex][age] - covered["maternity"], by_plan
            )
            for condition, rate in zip(stays, rates, strict=True):
                if condition.stay:
                    rate[sex][age] *= factor[condition.stay.admission]
    return rates


def _raised(published: float, covered: float) -> float:
    return min(MOST_RAISED, max(0.5, published / covered)) if covered > 0 else 1.0


def calibrated_attendances(attended: list[Condition], knowledge: Knowledge) -> list[ByYear]:
    """Attendances that end with going home, so that with those admitted they make the published rate by age."""
    rates = [by_year(condition.emergency, 1e-3) for condition in attended if condition.emergency]
    published = banded(knowledge.table("emergency_attendances"), 1e-3)
    admitted = banded(knowledge.table("admissions"), VIA_EMERGENCY_DEPARTMENT * 1e-3, "_emergency")
    for sex in SEXES:
        for age in range(OLDEST + 1):
            total = sum(
                rate[sex][age]
                for condition, rate in zip(attended, rates, strict=True)
                if condition.sex in (None, sex) and condition.min_age <= age <= condition.max_age
            )
            home = max(0.0, published[sex][age] - admitted[sex][age])
            if total > 0:
                for rate in rates:
                    rate[sex][age] *= home / total
    return rates
