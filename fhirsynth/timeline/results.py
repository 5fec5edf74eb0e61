"""What is measured at a contact: vital signs, scores, lifestyle, and laboratory tests with their report.

A laboratory test makes one request, one report and its observations; tests taken together from the same kind of
sample share the specimen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fhirsynth.record import schema as rec
from fhirsynth.timeline.body import Acute, egfr_ckd_epi
from fhirsynth.timeline.clock import local_day
from fhirsynth.timeline.life import Life

if TYPE_CHECKING:
    from fhirsynth.knowledge.schema import Panel

VITAL_SIGNS = (
    "respiratory-rate",
    "oxygen-saturation",
    "inspired-oxygen",
    "blood-pressure",
    "heart-rate",
    "acvpu",
    "body-temperature",
)
#: Units of alcohol a week by class of drinking: lowest, highest (the low-risk guideline is 14).
UNITS = {"none": (0, 0), "low": (1, 14), "high": (15, 48)}
PRESSURE_GAP = 18.0  # mmHg between systolic and diastolic at least


def observe(
    life: Life,
    observable: str,
    time: int,
    encounter: rec.Encounter | None,
    purpose: str,
    value: float | None = None,
    *,
    value2: float | None = None,
    code: str | None = None,
    text: str | None = None,
    report: str | None = None,
    role: str | None = None,
    method: str | None = None,
) -> None:
    """Write one observation, flagged against its reference range."""
    flag = None
    if value is not None:
        flag = life.plan.flag(observable, life.sex, value)
    life.rows["observation"].append(
        rec.Observation(
            life.new_id(),
            life.person.id,
            encounter.id if encounter else None,
            observable,
            time,
            value,
            value2,
            code,
            text,
            flag,
            report,
            role or (encounter.role_id if encounter else None),
            purpose,
            method,
        )
    )


def measure(
    life: Life,
    what: Iterable[str],
    encounter: rec.Encounter,
    time: int,
    purpose: str,
    *,
    acute: Acute | None = None,
    reason: str | None = None,
) -> None:
    """Take everything in `what` (keys of observables, panels, procedures) at `time` (an instant)."""
    plan = life.plan
    day = local_day(time)
    age = life.body.age(day)
    laboratory: list[str] = []
    done: set[str] = set()
    what = list(what)
    if "bmi" in what:
        what.sort(key=lambda key: key != "bmi")  # a BMI brings its own height and weight
    for key in what:
        if key in done:
            continue
        done.add(key)
        if key in plan.laboratory_tests:
            if key in plan.panels or age >= plan.observables[key].min_age:
                laboratory.append(key)
        elif key in plan.procedures:
            life.procedure(key, encounter, time, 10, reason, None)
        elif age >= plan.observables[key].min_age:
            at_bedside(life, key, encounter, time, purpose, acute, done)
    if laboratory:
        order_tests(life, laboratory, encounter, time, purpose, acute, reason)


def at_bedside(
    life: Life, key: str, encounter: rec.Encounter, time: int, purpose: str, acute: Acute | None, done: set[str]
) -> None:
    """Measure one observable that needs no laboratory. Weight is taken with a BMI, and height with it."""
    day = local_day(time)
    body, rng = life.body, life.rng
    if key == "blood-pressure":
        systolic = body.reading("systolic-blood-pressure", day, acute)
        observe(life, key, time, encounter, purpose, systolic, value2=diastolic(life, systolic, day, acute))
    elif key == "bmi":
        height, weight = body.reading("height", day), body.reading("weight", day)
        done.update(("height", "weight"))
        observe(life, "height", time, encounter, purpose, height)
        observe(life, "weight", time, encounter, purpose, weight)
        observe(life, "bmi", time, encounter, purpose, round(weight / (height / 100) ** 2, 1))
    elif key == "smoking-status":
        _coded(life, key, life.person.smoking, encounter, time, purpose)
    elif key == "alcohol-units-week":
        low, high = UNITS[life.person.alcohol]
        observe(life, key, time, encounter, purpose, float(low + int(rng.random() * (high - low + 1))))
    elif key in ("acvpu", "inspired-oxygen", "news2"):
        early_warning(life, encounter, time, purpose, acute)
        done.update((*VITAL_SIGNS, "news2"))
    elif key in life.plan.levels:
        observe(life, key, time, encounter, purpose, body.reading(key, day, acute))


def diastolic(life: Life, systolic: float, day: int, acute: Acute | None) -> float:
    """The diastolic reading that goes with a systolic one, always well below it."""
    return float(round(min(life.body.reading("diastolic-blood-pressure", day, acute), systolic - PRESSURE_GAP)))


def _coded(life: Life, key: str, state: str, encounter: rec.Encounter | None, time: int, purpose: str) -> None:
    answer = life.plan.observables[key].answers[state]
    observe(life, key, time, encounter, purpose, code=answer.snomed, text=answer.name)


def early_warning(life: Life, encounter: rec.Encounter, time: int, purpose: str, acute: Acute | None) -> None:
    """A full set of NEWS2 observations and the score that they add up to (RCP 2017, SpO2 scale 1)."""
    body, rng, day = life.body, life.rng, local_day(time)
    rate = body.reading("respiratory-rate", day, acute)
    saturation = min(100.0, body.reading("oxygen-saturation", day, acute))
    on_oxygen = saturation < 92 and rng.random() < 0.85
    oxygen = 21.0
    if on_oxygen:
        oxygen = rng.choice((24.0, 28.0, 28.0, 35.0, 40.0))
        saturation = min(97.0, saturation + 2 + round(rng.random() * 2))
    systolic = body.reading("systolic-blood-pressure", day, acute)
    lower = diastolic(life, systolic, day, acute)
    heart = body.reading("heart-rate", day, acute)
    temperature = body.reading("body-temperature", day, acute)
    confused = life.plan.confuses(acute, rng) if acute else False
    state = "confusion" if confused else "alert"
    observe(life, "respiratory-rate", time, encounter, purpose, rate)
    observe(life, "oxygen-saturation", time, encounter, purpose, saturation)
    observe(life, "inspired-oxygen", time, encounter, purpose, oxygen)
    observe(life, "blood-pressure", time, encounter, purpose, systolic, value2=lower)
    observe(life, "heart-rate", time, encounter, purpose, heart)
    observe(life, "body-temperature", time, encounter, purpose, temperature)
    _coded(life, "acvpu", state, encounter, time, purpose)
    if life.age(day) < 16:
        return  # NEWS2 is for people of 16 and over
    score = life.plan.news2
    parts = {
        "respiratory-rate": score.points("respiratory_rate", rate),
        "oxygen-saturation": score.points("spo2_scale1", saturation),
        "inspired-oxygen": 2 if on_oxygen else 0,
        "systolic-blood-pressure": score.points("systolic_bp", systolic),
        "heart-rate": score.points("pulse", heart),
        "acvpu": 3 if confused else 0,
        "body-temperature": score.points("temperature", temperature),
    }
    method = ";".join(f"{name}={points}" for name, points in parts.items())
    observe(life, "news2", time, encounter, purpose, float(sum(parts.values())), method=method)


def order_tests(
    life: Life,
    tests: list[str],
    encounter: rec.Encounter,
    time: int,
    purpose: str,
    acute: Acute | None,
    reason: str | None,
) -> None:
    """Ask for laboratory tests: one request and one report each, one specimen for each kind of sample."""
    plan, rng, person = life.plan, life.rng, life.person
    life.last_tests = local_day(time)
    urgent = encounter.kind in ("emergency", "inpatient")
    received = time + (3600 if urgent else 4 * 3600) + int(rng.random() * 3600)
    # Routine results come out on the next morning, those of the acutely ill within hours.
    issued = received + (2400 if urgent else 14 * 3600) + int(rng.random() * 5400)
    laboratory = life.site.organisation_id
    age = life.body.age(local_day(time))
    values: dict[str, float] = {}
    specimens: dict[str, str] = {}
    for test in tests:
        panel: Panel | None = plan.panels.get(test)
        members = panel.members if panel else [test]
        kind = panel.specimen if panel else plan.specimen_of(test)
        members = [m for m in members if m not in values and age >= plan.observables[m].min_age]
        if not members:
            continue
        request = life.new_id()
        life.rows["request"].append(
            rec.Request(
                request,
                person.id,
                encounter.id,
                "laboratory",
                test,
                time,
                encounter.role_id or person.gp_role_id,
                reason,
                "urgent" if urgent else "routine",
                laboratory,
            )
        )
        specimen = specimens.get(kind)
        if specimen is None:
            specimen = specimens[kind] = life.new_id()
            accession = f"{local_day(time) % 10000:04d}{rng.randrange(10**6):06d}"
            life.rows["specimen"].append(rec.Specimen(specimen, person.id, kind, time, received, request, accession))
        report = life.new_id()
        life.rows["report"].append(
            rec.Report(report, person.id, encounter.id, test, specimen, request, time, issued, laboratory, None)
        )
        _results(life, members, values, local_day(time), acute)
        for member in members:
            observe(life, member, time, encounter, purpose, values[member], report=report)


def _results(life: Life, members: list[str], values: dict[str, float], day: int, acute: Acute | None) -> None:
    """Values for `members` into `values`, those that follow from others after them."""
    body, plan = life.body, life.plan
    for member in members:
        if member not in plan.derived:
            values[member] = body.reading(member, day, acute)
    for member in members:
        rule = plan.derived.get(member)
        if rule == "egfr-ckd-epi-2009":
            if "creatinine" not in values:
                values["creatinine"] = body.reading("creatinine", day, acute)
            values[member] = float(round(egfr_ckd_epi(values["creatinine"], life.age(day), life.sex)))
        elif rule == "non-hdl":
            values["hdl"] = min(values["hdl"], round(values["cholesterol"] * 0.6, 1))
            values[member] = round(values["cholesterol"] - values["hdl"], 1)
        elif rule == "white-cells-less-lymphocytes":
            # The rest are monocytes, eosinophils and basophils: 4 to 12 % of all white cells.
            others = values["white-cells"] * (0.04 + 0.08 * life.rng.random())
            most = 0.6 if life.age(day) < 6 else 0.42
            values["lymphocytes"] = min(values["lymphocytes"], round(values["white-cells"] * most, 1))
            values[member] = max(0.1, round(values["white-cells"] - values["lymphocytes"] - others, 1))
