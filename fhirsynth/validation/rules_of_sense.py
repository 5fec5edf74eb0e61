"""Rules of medical and everyday sense: what no life can hold, whatever the codes say.

Each rule is a function of one person's record and what is known, and yields what it found. They read FHIR, so
they hold for files as well as for what was just made, and share no formula with the makers.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fhirsynth.systems import SNOMED
from fhirsynth.validation.findings import Finding, Json, as_list, name_of

if TYPE_CHECKING:
    from fhirsynth.knowledge import Knowledge
    from fhirsynth.knowledge.schema import Allergy, Condition, Medicine, Vaccine

#: Classes of encounter (v3-ActCode) in which somebody lies in hospital.
_STAYS = ("IMP", "ACUTE", "NONAC", "SS")
_BIRTH_SEX = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-BirthSex"
_SEXES = {"F": "female", "M": "male"}  # v3-AdministrativeGender
GROWN = 18  # years from which height is one figure

#: When a thing happened, by type of resource. What is written down later (`recordedDate`, `issued`) is apart.
_HAPPENED = {
    "Appointment": ("start",),
    "AllergyIntolerance": ("onsetDateTime",),
    "Condition": ("onsetDateTime",),
    "DiagnosticReport": ("effectiveDateTime",),
    "Encounter": ("period.start", "period.end"),
    "EpisodeOfCare": ("period.start", "period.end"),
    "Flag": ("period.start",),
    "Immunization": ("occurrenceDateTime",),
    "MedicationRequest": ("authoredOn", "dispenseRequest.validityPeriod.start"),
    "MedicationStatement": ("effectivePeriod.start",),
    "Observation": ("effectiveDateTime",),
    "Procedure": ("performedDateTime", "performedPeriod.start", "performedPeriod.end"),
    "ServiceRequest": ("authoredOn",),
    "Specimen": ("collection.collectedDateTime",),
}
_WRITTEN = ("recordedDate", "issued", "dateAsserted", "date", "recorded", "created", "receivedTime")


class Known:
    """What the knowledge files say, found by the codes that resources carry."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.conditions: dict[str, list[Condition]] = defaultdict(list)
        for condition in knowledge.conditions.values():
            for code in {condition.snomed: None, **{stage.snomed: None for stage in condition.stages}}:
                self.conditions[code].append(condition)
        self.medicines: dict[str, Medicine] = {item.vmp: item for item in knowledge.medicines.values()}
        self.allergies: dict[str, Allergy] = {item.snomed: item for item in knowledge.allergies.values()}
        self.vaccines: dict[str, Vaccine] = {item.snomed: item for item in knowledge.vaccines.values()}
        self.observables = {item.snomed: item for item in knowledge.observables.values()}
        self.specialty_sex = {s.code: s.sex for s in knowledge.specialties.values() if s.sex}
        self.procedure_sex = _sex_of_procedures(knowledge)


def _sex_of_procedures(knowledge: Knowledge) -> dict[str, str]:
    """Procedures that only conditions of one sex call for: SNOMED CT code → sex."""
    sexes: dict[str, set[str | None]] = defaultdict(set)
    for condition in knowledge.conditions.values():
        for item in (*condition.procedures, *(condition.stay.procedures if condition.stay else ())):
            sexes[item.procedure].add(condition.sex)
    found = {}
    for key, of_key in sexes.items():
        if len(of_key) == 1 and (sex := next(iter(of_key))) is not None:
            found[knowledge.procedures[key].snomed] = sex
    return found


class Life:
    """One person's resources, found by type. `resources` must hold their Patient."""

    def __init__(self, resources: Iterable[Json]) -> None:
        self.by_type: dict[str, list[Json]] = defaultdict(list)
        for resource in resources:
            self.by_type[resource["resourceType"]].append(resource)
        self.patient = self.by_type["Patient"][0]
        self.id = str(self.patient.get("id", ""))
        #: At birth, where that is said: the statistics and equations of medicine are of it, not of gender.
        self.sex: str | None = _birth_sex(self.patient) or self.patient.get("gender")
        #: "" where nobody knows it; rules about age then have nothing to say.
        self.birth: str = self.patient.get("birthDate", "")
        self.death: str | None = self.patient.get("deceasedDateTime")

    def __getitem__(self, kind: str) -> list[Json]:
        return self.by_type.get(kind, [])

    def age(self, moment: str) -> int:
        """Whole years of age on the day of a date or date-time; of a shorter date, in its middle."""
        born, day = _day(self.birth), _day(moment)
        return day.year - born.year - ((day.month, day.day) < (born.month, born.day))

    @cached_property
    def readings(self) -> list[tuple[str, str, Json]]:
        """Observations with a code and a time: SNOMED CT code, date-time, resource."""
        found = []
        for item in self["Observation"]:
            code, moment = snomed(item.get("code")), item.get("effectiveDateTime")
            if code and moment:
                found.append((code, moment, item))
        return found

    def finding(self, rule: str, resource: Json, found: str) -> Finding:
        """A finding about this person."""
        return Finding(rule, found, self.id, name_of(resource))


def _birth_sex(patient: Json) -> str | None:
    for extension in as_list(patient.get("extension")):
        if extension.get("url") == _BIRTH_SEX:
            return next((_SEXES[code] for code in codes(extension.get("valueCodeableConcept")) if code in _SEXES), None)
    return None


Rule = Callable[[Life, Known], Iterator[Finding]]


def codes(concept: Any, system: str | None = None) -> list[str]:
    """Codes of a CodeableConcept, of one system or of all."""
    codings = as_list(concept.get("coding")) if isinstance(concept, dict) else []
    return [c["code"] for c in codings if "code" in c and (system is None or c.get("system") == system)]


def snomed(concept: Any) -> str | None:
    """The first SNOMED CT code of a CodeableConcept."""
    return next(iter(codes(concept, SNOMED)), None)


def _value(resource: Json) -> float | None:
    quantity = resource.get("valueQuantity")
    return quantity.get("value") if isinstance(quantity, dict) else None


def _at(resource: Json, path: str) -> Any:
    if "." not in path:
        return resource.get(path)
    value: Any = resource
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _day(text: str) -> dt.date:
    """The day of a date or date-time; the middle of a year or a month where no more is said."""
    return dt.date.fromisoformat(text[:10] + {4: "-07-02", 7: "-15"}.get(len(text), ""))


def _before(first: str, second: str) -> bool:
    """Whether one date or date-time is before another, as far as both are exact."""
    if len(first) > 10 and len(second) > 10:
        return dt.datetime.fromisoformat(first) < dt.datetime.fromisoformat(second)
    exact = min(len(first), len(second), 10)
    return first[:exact] < second[:exact]


# --- time ------------------------------------------------------------------------------------------


def nothing_before_birth(life: Life, known: Known) -> Iterator[Finding]:
    """Nothing happens to a person, and nothing is written about them, before they are born."""
    for kind, paths in _HAPPENED.items():
        for resource in life[kind]:
            for path in (*paths, *_WRITTEN):
                moment = _at(resource, path)
                if isinstance(moment, str) and _before(moment, life.birth):
                    yield life.finding("nothing-before-birth", resource, f"{path} {moment}, born {life.birth}")


def nothing_after_death(life: Life, known: Known) -> Iterator[Finding]:
    """Nothing happens to a person after they have died; results and notes may be written later."""
    if life.death is None:
        return
    for kind, paths in _HAPPENED.items():
        for resource in life[kind]:
            for path in paths:
                moment = _at(resource, path)
                if isinstance(moment, str) and _before(life.death, moment):
                    yield life.finding("nothing-after-death", resource, f"{path} {moment}, died {life.death}")


def ends_after_it_begins(life: Life, known: Known) -> Iterator[Finding]:
    """Nothing ends before it begins: contacts, treatments, illnesses."""
    spans = (
        ("period.start", "period.end"),
        ("performedPeriod.start", "performedPeriod.end"),
        ("effectivePeriod.start", "effectivePeriod.end"),
        ("dispenseRequest.validityPeriod.start", "dispenseRequest.validityPeriod.end"),
        ("onsetDateTime", "abatementDateTime"),
        ("start", "end"),
    )
    for resources in life.by_type.values():
        for resource in resources:
            for first, last in spans:
                start, end = _at(resource, first), _at(resource, last)
                if isinstance(start, str) and isinstance(end, str) and _before(end, start):
                    yield life.finding("ends-after-it-begins", resource, f"{first} {start}, {last} {end}")


def one_place_at_a_time(life: Life, known: Known) -> Iterator[Finding]:
    """Nobody is seen elsewhere while they are in hospital; the attendance that led to a stay is part of it."""
    contacts = []
    for item in life["Encounter"]:
        start, end = _at(item, "period.start"), _at(item, "period.end")
        if start and end:
            contacts.append((dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end), item))
    stays = [contact for contact in contacts if _at(contact[2], "class.code") in _STAYS]
    for admitted, left, stay in stays:
        for start, end, item in contacts:
            if start < left and end > admitted and item is not stay and not _belongs(item, stay):
                yield life.finding("one-place-at-a-time", item, f"{start} to {end}, during the stay {name_of(stay)}")


def _belongs(one: Json, other: Json) -> bool:
    """Whether one encounter is part of the other."""
    return _at(one, "partOf.reference") == name_of(other) or bool(_at(other, "partOf.reference") == name_of(one))


# --- who can have what -------------------------------------------------------------------------------


def sex_fits(life: Life, known: Known) -> Iterator[Finding]:
    """No illness, operation, vaccine or clinic of the other sex."""
    for item in life["Condition"]:
        forms = [c for code in codes(item.get("code"), SNOMED) for c in known.conditions.get(code, ())]
        if forms and all(form.sex not in (None, life.sex) for form in forms):
            yield life.finding("sex-fits", item, f"{forms[0].name} in a {life.sex} person")
    for item in life["Procedure"]:
        sex = known.procedure_sex.get(snomed(item.get("code")) or "")
        if sex not in (None, life.sex):
            yield life.finding("sex-fits", item, f"an operation of {sex} people in a {life.sex} person")
    for item in life["Immunization"]:
        for code in codes(item.get("vaccineCode")):
            vaccine = known.vaccines.get(code)
            if vaccine and all(dose.sex not in (None, life.sex) for dose in vaccine.doses):
                yield life.finding("sex-fits", item, f"{vaccine.name} in a {life.sex} person")
    for item in life["Appointment"]:
        for code in (code for concept in as_list(item.get("specialty")) for code in codes(concept)):
            sex = known.specialty_sex.get(code)
            if sex not in (None, life.sex):
                yield life.finding("sex-fits", item, f"a clinic for {sex} people, specialty {code}")


def age_fits(life: Life, known: Known) -> Iterator[Finding]:
    """No illness at an age at which the published statistics have none."""
    for item in life["Condition"] if life.birth else ():
        dates = [item[key] for key in ("onsetDateTime", "recordedDate") if item.get(key)]
        if not dates:
            continue
        onset, recorded = dates[0], dates[-1]
        forms = [c for code in codes(item.get("code"), SNOMED) for c in known.conditions.get(code, ())]
        if forms and not any(_at_right_age(form, life.age(onset), life.age(recorded)) for form in forms):
            found = f"{forms[0].name} from age {life.age(onset)}, recorded at {life.age(recorded)}"
            yield life.finding("age-fits", item, f"{found}; known from {forms[0].min_age} to {forms[0].max_age}")


def _at_right_age(condition: Condition, onset: int, recorded: int) -> bool:
    if condition.kind == "long-term":
        return max(condition.min_age, condition.onset.never_before) <= onset <= condition.max_age
    return condition.min_age <= recorded <= condition.max_age


def no_drug_against_allergy(life: Life, known: Known) -> Iterator[Finding]:
    """No medicine of a class that an allergy rules out is prescribed after the allergy was recorded."""
    since: dict[str, str] = {}
    for item in life["AllergyIntolerance"]:
        for code in codes(item.get("code"), SNOMED):
            allergy = known.allergies.get(code)
            for blocked in allergy.blocks if allergy else ():
                recorded = item.get("recordedDate", life.birth)
                since[blocked] = min(since.get(blocked, recorded), recorded)
    for item in life["MedicationRequest"]:
        for code in codes(item.get("medicationCodeableConcept")):
            medicine = known.medicines.get(code)
            for name in medicine.classes if medicine else ():
                if name in since and not _before(item["authoredOn"], since[name]):
                    found = f"{medicine.name if medicine else code}, allergy to {name} recorded {since[name]}"
                    yield life.finding("no-drug-against-allergy", item, found)


def prescription_has_reason(life: Life, known: Known) -> Iterator[Finding]:
    """Every prescription says why: a condition of the same person, or a code."""
    conditions = {name_of(item) for item in life["Condition"]}
    for item in life["MedicationRequest"]:
        references = [r.get("reference") for r in as_list(item.get("reasonReference"))]
        if not item.get("reasonCode") and not any(r in conditions for r in references):
            yield life.finding("prescription-has-reason", item, f"reasons: {references or 'none'}")


# --- readings -----------------------------------------------------------------------------------------


def _together(life: Life, known: Known, *keys: str) -> Iterator[dict[str, Json]]:
    """Readings of observables that were taken at the same time, where all of `keys` were."""
    taken: dict[str, dict[str, Json]] = defaultdict(dict)
    for code, moment, item in life.readings:
        observable = known.observables.get(code)
        if observable and observable.key in keys:
            taken[moment][observable.key] = item
    for found in taken.values():
        if len(found) == len(keys):
            yield found


def bmi_is_weight_over_height_squared(life: Life, known: Known) -> Iterator[Finding]:
    """A BMI is the weight over the square of the height that were measured with it."""
    for found in _together(life, known, "bmi", "height", "weight"):
        bmi, height, weight = (_value(found[key]) for key in ("bmi", "height", "weight"))
        if not bmi or not height or not weight or abs(bmi - weight / (height / 100) ** 2) > 0.1:
            said = f"BMI {bmi}, height {height} cm, weight {weight} kg"
            yield life.finding("bmi-is-weight-over-height-squared", found["bmi"], said)


def one_height(life: Life, known: Known) -> Iterator[Finding]:
    """A grown person has one height."""
    first: float | None = None
    for code, moment, item in life.readings:
        observable = known.observables.get(code)
        if observable and observable.key == "height" and life.birth and life.age(moment) >= GROWN:
            height = _value(item)
            if first is None:
                first = height
            elif height != first:
                yield life.finding("one-height", item, f"{height} cm, and {first} cm at another time")


def systolic_above_diastolic(life: Life, known: Known) -> Iterator[Finding]:
    """The systolic pressure is above the diastolic."""
    for item in life["Observation"]:
        parts = {_at(part, "code.text"): _value(part) for part in as_list(item.get("component"))}
        systolic, diastolic = parts.get("Systolic blood pressure"), parts.get("Diastolic blood pressure")
        if systolic is not None and diastolic is not None and systolic <= diastolic:
            yield life.finding("systolic-above-diastolic", item, f"{systolic}/{diastolic} mmHg")


def egfr_agrees_with_creatinine(life: Life, known: Known) -> Iterator[Finding]:
    """An eGFR is that of the creatinine in the same sample, by CKD-EPI 2009 without an ethnicity factor.

    Levey et al., Ann Intern Med 2009;150:604-12; the factor is left out as NICE NG203 advises. Creatinine in
    µmol/L (88.4 to the mg/dL), eGFR in mL/min/1.73 m², right to one after rounding.
    """
    for found in _together(life, known, "creatinine", "egfr"):
        creatinine, egfr = _value(found["creatinine"]), _value(found["egfr"])
        if creatinine is None or egfr is None or not life.birth:
            continue
        female = life.sex == "female"
        ratio = creatinine / 88.4 / (0.7 if female else 0.9)
        power = (-0.329 if female else -0.411) if ratio < 1 else -1.209
        wanted = (144 if female else 141) * ratio**power * 0.993 ** life.age(found["egfr"]["effectiveDateTime"])
        if abs(egfr - wanted) > 1:
            said = f"eGFR {egfr}, but creatinine {creatinine} means {wanted:.0f}"
            yield life.finding("egfr-agrees-with-creatinine", found["egfr"], said)


def no_reading_twice(life: Life, known: Known) -> Iterator[Finding]:
    """The same thing is not measured twice at the same moment."""
    seen: set[tuple[str, str]] = set()
    for code, moment, item in life.readings:
        if (code, moment) in seen:
            yield life.finding("no-reading-twice", item, f"code {code} again at {moment}")
        seen.add((code, moment))


def diagnosis_was_measured(life: Life, known: Known) -> Iterator[Finding]:
    """Who has a condition that a measurement defines has, somewhere, a reading beyond its threshold."""
    readings: dict[str, list[float]] = defaultdict(list)
    for code, _, item in life.readings:
        observable, value = known.observables.get(code), _value(item)
        if observable and value is not None:
            readings[observable.key].append(value)
    derived = {item.key for item in known.observables.values() if item.derived}
    for item in life["Condition"]:
        forms = [c for code in codes(item.get("code"), SNOMED) for c in known.conditions.get(code, ())]
        for form in forms[:1] if len(forms) == 1 and forms[0].kind == "long-term" else ():
            for key, shift in form.shifts.items():
                above, below = shift.at_least_once_above, shift.at_least_once_below
                if key in derived or (above is None and below is None):
                    continue
                said = f"{form.name} without {key} of "
                if above is not None and not any(value >= above for value in readings[key]):
                    yield life.finding("diagnosis-was-measured", item, f"{said}{above:g} or more")
                if below is not None and not any(value <= below for value in readings[key]):
                    yield life.finding("diagnosis-was-measured", item, f"{said}{below:g} or less")


RULES: tuple[Rule, ...] = (
    nothing_before_birth,
    nothing_after_death,
    ends_after_it_begins,
    one_place_at_a_time,
    sex_fits,
    age_fits,
    no_drug_against_allergy,
    prescription_has_reason,
    bmi_is_weight_over_height_squared,
    one_height,
    systolic_above_diastolic,
    egfr_agrees_with_creatinine,
    no_reading_twice,
    diagnosis_was_measured,
)


def check_life(resources: list[Json], known: Known, *, whole: bool = True) -> list[Finding]:
    """Apply every rule to one person's resources; nothing where their Patient is not among them.

    `whole`: whether these are all that the person has; of a document, which has only what it refers to, nobody can say
    what is missing. A resource of another shape than FHIR's, over which a rule falls, is a finding of that rule.
    """
    if not any(item["resourceType"] == "Patient" for item in resources):
        return []
    life = Life(resources)
    found: list[Finding] = []
    for rule in RULES if whole else (rule for rule in RULES if rule is not diagnosis_was_measured):
        try:
            found.extend(rule(life, known))
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            name = rule.__name__.replace("_", "-")
            found.append(Finding(name, f"cannot be judged, an element has another form than FHIR's: {error}", life.id))
    return found
