"""The stays of a record turned into facts, kind by kind.

`Reader` holds what is the same for all people (knowledge, words, places); `Reader.stays` yields the hospital stays
of one person, oldest first.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from fhirsynth.days import DAY, age_on, date_of
from fhirsynth.fhir.codes import read_toml
from fhirsynth.knowledge import Knowledge, dosing
from fhirsynth.knowledge.units import written
from fhirsynth.letters import saying
from fhirsynth.letters.facts import Fact, Stay, Value
from fhirsynth.record import Rows
from fhirsynth.record import schema as rec
from fhirsynth.systems import DMD, NHS_NUMBER, ODS, SNOMED

STAYS = ("inpatient", "day-case")
#: Sources of admission (NHS Data Dictionary) that are care homes.
CARE_HOMES = frozenset({"54", "65", "85"})
CHILD, OLDER = 16, 75  # years: from when somebody is no child, and is told of as an older person
SHORT, LONG = 1, 8  # nights
BOOKED_AHEAD = 200 * DAY  # how far ahead of discharge an appointment counts as arranged

#: Kinds of row that a fact may come from, as resources of the person's bundle.
_TYPES = {
    rec.Encounter: "Encounter",
    rec.Condition: "Condition",
    rec.Observation: "Observation",
    rec.Procedure: "Procedure",
    rec.Medication: "MedicationRequest",
    rec.Allergy: "AllergyIntolerance",
    rec.Appointment: "Appointment",
    rec.Request: "ServiceRequest",
    rec.Person: "Patient",
    rec.Practitioner: "Practitioner",
    rec.PractitionerRole: "PractitionerRole",
    rec.Organisation: "Organization",
    rec.Location: "Location",
}
#: Observations at the bedside by the slot that holds them, with what is written behind the number.
_VITALS = {
    "temperature": ("body-temperature", " °C"),
    "pulse": ("heart-rate", " beats per minute"),
    "rr": ("respiratory-rate", " breaths per minute"),
    "sats": ("oxygen-saturation", "%"),
    "news2": ("news2", ""),
}
#: Tags of bedside observations in adults, by NEWS2's own bands (RCP 2017): at or above, at or below.
_TAGS = {
    "temperature": (("febrile", 38.1, None), ("hypothermic", None, 35.0)),
    "pulse": (("tachycardic", 111, None), ("bradycardic", None, 50)),
    "rr": (("tachypnoeic", 21, None),),
    "sats": (("hypoxic", None, 93),),
    "news2": (("news2-high", 7, None), ("news2-medium", 5, 6), ("news2-low", None, 4)),
}
_ALERT = "248234008"
_CONSCIOUSNESS = {
    _ALERT: ("alert", "alert"),
    "130987000": ("newly confused", "confused"),
    "300202002": ("responding to voice", "drowsy"),
    "450847001": ("responding to pain", "drowsy"),
    "422768004": ("unresponsive", "drowsy"),
}
#: Tests of which one figure speaks for its panel, told first; and how many results and trends a letter has at most.
_TELLING = (
    *("crp", "white-cells", "troponin-t", "haemoglobin", "creatinine", "egfr", "lactate", "nt-pro-bnp", "sodium"),
    *("potassium", "glucose", "inr", "urea", "neutrophils", "platelets", "alt", "bilirubin", "albumin"),
)
_MOST_RESULTS, _MOST_TRENDS = 6, 3
#: Share of its first value by which a test must have changed for a trend to be told.
_CHANGED = 0.15


@cache
def words() -> Mapping[str, Any]:
    """The words of `words.toml` by table."""
    return tomllib.loads(resources.files(__package__).joinpath("words.toml").read_text(encoding="utf-8"))


@cache
def groups() -> Mapping[str, list[str]]:
    """Groups of illness by key of the condition, from `groups.toml`."""
    text = resources.files(__package__).joinpath("groups.toml").read_text(encoding="utf-8")
    found: Mapping[str, list[str]] = tomllib.loads(text)["groups"]
    return found


@cache
def languages() -> Mapping[str, str]:
    """English names of languages by their tags, as the FHIR resources call them."""
    found: Mapping[str, str] = read_toml("codes.toml")["language"]["display"]
    return found


class Reader:
    """Turns the rows of people into stays. `places`: the rows of places and staff."""

    def __init__(self, knowledge: Knowledge, places: Mapping[str, Iterable[Any]]) -> None:
        self.knowledge = knowledge
        self.places: dict[str, Any] = {row.id: row for rows in places.values() for row in rows}

    def stays(self, person: rec.Person, rows: Rows) -> Iterator[Stay]:
        """The finished hospital stays of one person."""
        for encounter in sorted(rows.get("encounter", ()), key=lambda row: row.start):
            if encounter.kind in STAYS:
                yield _Facts(self, person, rows, encounter).stay()


class _Facts:
    """The facts of one stay while they are gathered."""

    def __init__(self, reader: Reader, person: rec.Person, rows: Rows, stay: rec.Encounter) -> None:
        self.reader, self.knowledge = reader, reader.knowledge
        self.person, self.rows, self.encounter = person, rows, stay
        self.start, self.end = saying.moment(stay.start), saying.moment(stay.end)
        self.nights = (self.end.date() - self.start.date()).days
        self.died = stay.discharge_method == "4"
        self.facts: list[Fact] = []
        self.tags: set[str] = set()
        self._counts: dict[str, int] = defaultdict(int)

    def stay(self) -> Stay:
        """The whole stay."""
        self._person()
        self._admission()
        self._diagnoses()
        self._bedside()
        self._results()
        self._procedures()
        self._medicines()
        self._allergies()
        self._afterwards()
        self._social()
        self._stay_tags()
        tags = self.tags | {f"has:{fact.kind}" for fact in self.facts}
        return Stay(
            self.encounter.id,
            self.person.id,
            self.encounter.id,
            tuple(self.facts),
            frozenset(tags),
            _grammar(self.person.sex, self._age),
        )

    # ---- helpers

    def add(
        self, kind: str, values: Mapping[str, Value], *rows: Any, tags: Iterable[str] = (), required: bool = False
    ) -> None:
        """One more fact of a kind, from these rows."""
        if self._age < CHILD:  # a letter about a child speaks to the parents
            values = {slot: value._replace(patient=_of_child(value.patient)) for slot, value in values.items()}
        self._counts[kind] += 1
        names = tuple(f"{_TYPES[type(row)]}/{row.id}" for row in rows if row is not None)
        self.facts.append(Fact(f"{kind}:{self._counts[kind]}", kind, values, names, frozenset(tags), required))

    def here(self, table: str) -> list[Any]:
        """The rows of a table that belong to this stay."""
        return [row for row in self.rows.get(table, ()) if row.encounter_id == self.encounter.id]

    @property
    def _age(self) -> int:
        return age_on(self.person.birth, (self.start.date() - date_of(0)).days)

    def _staff(self, role_id: str | None) -> tuple[Any, str]:
        """The practitioner behind a role, and the name they sign with."""
        role = self.reader.places.get(role_id or "")
        who = self.reader.places.get(role.practitioner_id) if role is not None else None
        return who, f"{who.prefix} {who.given[0]} {who.surname}" if who is not None else ""

    # ---- the kinds

    def _person(self) -> None:
        person = self.person
        age, aged = saying.aged(date_of(person.birth), self.start.date())
        given = person.given.split(" ")[0]
        name = " ".join(filter(None, (person.prefix, given, person.surname)))
        short = given if given and self._age < CHILD else f"{person.prefix} {person.surname}".strip()
        values = {
            "": Value(name, "person_name"),
            "short": Value(short, "person_name"),
            "age": Value(age, "age"),
            "aged": Value(aged, "age"),
            "born": Value(saying.date(date_of(person.birth)), "date"),
        }
        if person.nhs_number is not None:
            said = saying.nhs_number(person.nhs_number)
            values["nhs"] = Value(said, "nhs_number", NHS_NUMBER, person.nhs_number)
        self.add("patient", values, person, required=True)
        practice = self.reader.places[person.practice_id]
        who, doctor = self._staff(person.gp_role_id)
        gp = {"": Value(doctor, "staff_name"), "practice": Value(practice.name, "organisation", ODS, practice.ods)}
        self.add("gp", gp, practice, who)

    def _admission(self) -> None:
        encounter, said = self.encounter, words()
        ward = self.reader.places.get(encounter.location_id or "")
        trust = self.reader.places[encounter.organisation_id]
        specialty = self.knowledge.specialties[encounter.specialty]
        values = {
            "date": Value(saying.date(self.start.date()), "date"),
            "day": Value(saying.weekday(self.start.date()), "date"),
            "time": Value(saying.time(self.start), "time"),
            "hospital": Value(trust.name, "organisation", ODS, trust.ods),
            "specialty": Value(within_sentence(specialty.name), "specialty"),
        }
        if ward is not None:
            values["ward"] = Value(ward.name, "ward")
        source = said["admission-source"].get(encounter.admission_source or "")
        if source:
            values["source"] = Value(source, "destination")
        self.add("admission", values, encounter, ward, trust, required=True)
        if self.died:
            death = {"date": Value(saying.date(self.end.date()), "date"), "time": Value(saying.time(self.end), "time")}
            self.add("death", death, encounter, self.person, required=True)
            return
        who, consultant = self._staff(encounter.role_id)
        leaving = {
            "date": Value(saying.date(self.end.date()), "date"),
            "consultant": Value(consultant, "staff_name"),
        }
        if self.nights:
            leaving["nights"] = Value(saying.plural(self.nights, "night"), "duration")
        destination = said["discharge-destination"].get(encounter.discharge_destination or "")
        if destination:
            leaving["destination"] = Value(destination, "destination")
        self.add("discharge", leaving, encounter, who, required=True)

    def _diagnoses(self) -> None:
        coded = sorted(self.here("condition"), key=lambda row: (row.rank or 99, row.id))
        known_before = {
            row.id: row
            for row in self.rows.get("condition", ())
            if row.category == "problem" and row.recorded < self.encounter.start
        }
        for row in coded:
            condition = self.knowledge.conditions[row.key]
            # A stage is told by the name it is coded with; everything else by the word that letters use.
            name = condition.words.letter[0] if row.name == condition.name else within_sentence(row.name)
            value = Value(name, "condition", SNOMED, row.snomed, condition.words.patient)
            if row.rank == 1:
                values, tags = (
                    {"": value},
                    {f"cond:{row.key}", *(f"group:{g}" for g in groups().get(row.key, ("general",)))},
                )
                if row.side:
                    values["side"] = Value(row.side, "laterality")
                    tags.add("side")
                if row.severity:
                    values["severity"] = Value(row.severity, "severity")
                    tags.add("severity")
                self.tags |= {tag for tag in tags if ":" in tag}
                self.add("dx", values, row, tags=tags, required=True)
            elif row.problem_id in known_before:
                self.add("pmh", {"": value}, row, known_before[row.problem_id], required=True)
            else:
                self.add("secondary", {"": value}, row, required=True)

    def _bedside(self) -> None:
        by_time: dict[int, dict[str, rec.Observation]] = defaultdict(dict)
        for row in self.here("observation"):
            if row.observable in ("blood-pressure", "acvpu", "inspired-oxygen") or row.observable in _AT_BEDSIDE:
                by_time[row.time][row.observable] = row
        moments = sorted(at for at, found in by_time.items() if len(found) > 2)
        for kind, at in (("obs", moments[:1]), ("obsend", moments[1:][-1:])):
            for moment in at:
                self._vitals(kind, by_time[moment])

    def _vitals(self, kind: str, found: Mapping[str, rec.Observation]) -> None:
        values: dict[str, Value] = {}
        tags: set[str] = set()
        for slot, (key, unit) in _VITALS.items():
            row, observable = found.get(key), self.knowledge.observables[key]
            if row is None or row.value is None:
                continue
            said = saying.number(row.value, observable.decimals)
            values[slot] = Value(f"{said}{unit}", "observation", SNOMED, observable.snomed)
            if self._age >= CHILD:
                tags |= {tag for tag, low, high in _TAGS[slot] if _within(row.value, low, high)}
        pressure = found.get("blood-pressure")
        if pressure is not None and pressure.value is not None and pressure.value2 is not None:
            said = f"{pressure.value:.0f}/{pressure.value2:.0f} mmHg"
            values["bp"] = Value(said, "observation", SNOMED, self.knowledge.observables["blood-pressure"].snomed)
            if self._age >= CHILD and pressure.value <= 100:
                tags.add("hypotensive")
        oxygen = found.get("inspired-oxygen")
        if oxygen is not None and oxygen.value is not None:
            on_air = oxygen.value <= 21
            said = "on air" if on_air else f"on {oxygen.value:.0f}% oxygen"
            observable = self.knowledge.observables["inspired-oxygen"]
            called = observable.air if on_air and observable.air is not None else observable
            values["oxygen"] = Value(said, "observation", SNOMED, called.snomed)
            tags.add("on-air" if on_air else "on-oxygen")
        level = found.get("acvpu")
        if level is not None and level.code in _CONSCIOUSNESS:
            said, tag = _CONSCIOUSNESS[level.code]
            values["consciousness"] = Value(said, "observation", SNOMED, level.code)
            tags.add(tag)
        of_slot = {slot: found.get(key) for slot, (key, _) in _VITALS.items()}
        of_slot |= {"bp": pressure, "oxygen": oxygen, "consciousness": level}
        for slot, value in values.items():
            row = of_slot[slot]
            assert row is not None
            values[slot] = value._replace(resource=f"Observation/{row.id}")
        self.add(kind, values, *found.values(), tags=tags)

    def _results(self) -> None:
        tests: dict[str, list[rec.Observation]] = defaultdict(list)
        for row in self.here("observation"):
            observable = self.knowledge.observables.get(row.observable)
            if observable is not None and observable.group == "laboratory" and row.value is not None:
                tests[row.observable].append(row)
        order = {key: place for place, key in enumerate(_TELLING)}
        told = sorted(tests, key=lambda key: (order.get(key, len(order)), key))
        abnormal = [key for key in told if tests[key] and self._first(tests[key]).flag in ("H", "L")]
        for key in abnormal[:_MOST_RESULTS]:
            row = self._first(tests[key])
            values = self._test(key, row)
            values["value"] = self._figure(key, row)
            values["date"] = Value(saying.date(saying.moment(row.time).date()), "date")
            tags = {f"test:{key}", "high" if row.flag == "H" else "low"}
            self.add("result", values, row, tags=tags)
        trends = 0
        for key in told:
            rows = sorted(tests[key], key=lambda row: row.time)
            first, last = rows[0], rows[-1]
            if trends == _MOST_TRENDS or first.flag not in ("H", "L") or first is last:
                continue
            if not first.value or abs((last.value or 0) - first.value) < _CHANGED * abs(first.value):
                continue
            values = self._test(key, first)
            values["first"], values["last"] = self._figure(key, first), self._figure(key, last)
            fell = (last.value or 0) < first.value
            better = fell == (first.flag == "H")
            tags = {f"test:{key}", "fell" if fell else "rose", "improved" if better else "worsened"}
            if last.flag == "N":
                tags.add("normalised")
            self.add("trend", values, first, last, tags=tags)
            trends += 1
        self._normal(tests)

    @staticmethod
    def _first(rows: list[rec.Observation]) -> rec.Observation:
        return min(rows, key=lambda row: row.time)

    def _test(self, key: str, row: rec.Observation) -> dict[str, Value]:
        observable = self.knowledge.observables[key]
        said = words()["test"].get(key, {"letter": observable.name.lower(), "patient": ""})
        return {"": Value(said["letter"], "result", SNOMED, observable.snomed, said["patient"])}

    def _figure(self, key: str, row: rec.Observation) -> Value:
        observable = self.knowledge.observables[key]
        unit = written(observable.ucum)
        said = saying.number(row.value or 0.0, observable.decimals)
        joined = f"{said}{unit}" if unit == "%" else f"{said} {unit}".strip()
        return Value(joined, "value", SNOMED, observable.snomed)

    def _normal(self, tests: Mapping[str, list[rec.Observation]]) -> None:
        for key, panel in sorted(self.knowledge.panels.items()):
            done = [row for member in panel.members for row in tests.get(member, ())]
            if len(done) > 1 and all(row.flag == "N" for row in done):
                said = words()["panel"].get(key, {"letter": panel.name.lower(), "patient": ""})
                value = Value(said["letter"], "result", SNOMED, panel.snomed, said["patient"])
                self.add("normal", {"": value}, *done)

    def _procedures(self) -> None:
        said, kinds = words()["procedure"], words()["procedure-tags"]
        for row in sorted(self.here("procedure"), key=lambda row: (row.start, row.id)):
            procedure = self.knowledge.procedures[row.procedure]
            name = within_sentence(procedure.name)
            called = said.get(row.procedure, {"letter": name, "patient": name})
            tags = {f"proc:{row.procedure}", *(kind for kind, keys in kinds.items() if row.procedure in keys)}
            if not tags & set(kinds):
                tags.add("operation")
                self.tags.add("operation")
            values = {
                "": Value(called["letter"], "procedure", SNOMED, procedure.snomed, called["patient"]),
                "date": Value(saying.date(saying.moment(row.start).date()), "date"),
            }
            if row.side:
                values["side"] = Value(row.side, "laterality")
                tags.add("side")
            self.add("proc", values, row, tags=tags, required=True)

    def _medicines(self) -> None:
        here = sorted(self.here("medication"), key=lambda row: (row.start, row.id))
        home = {row.medicine for row in here if row.setting == "discharge"}
        first, last = (self.start.date() - date_of(0)).days, (self.end.date() - date_of(0)).days
        before = [row for row in self.rows.get("medication", ()) if row.repeat and row.start < first]
        taken = {row.medicine for row in before if row.end is None or row.end >= first}
        for row in here:
            if row.setting == "inpatient" and row.medicine not in home:
                self.add("given", self._medicine(row), row)
            elif row.setting == "discharge" and row.medicine not in taken:
                values = self._medicine(row)
                tags = set()
                if row.days:
                    values["days"] = Value(f"for {saying.plural(row.days, 'more day')}", "duration")
                    tags.add("course")
                self.add("started", values, row, tags=tags, required=True)
        for row in sorted(before, key=lambda row: (row.start, row.id)):
            if row.end is not None and row.end < first:
                continue
            stopped = row.end is not None and first <= row.end <= last and row.stop_reason not in (None, "Patient died")
            if stopped:
                values = self._medicine(row)
                why = (row.stop_reason or "").lower()
                values["why"] = Value(why, "reason")
                self.add("stopped", values, row, tags={"why"}, required=not self.died)
            elif row.end is None or row.end > last:
                self.add("continued", self._medicine(row), row, required=not self.died)

    def _medicine(self, row: rec.Medication) -> dict[str, Value]:
        medicine = self.knowledge.medicines[row.medicine]
        # How long it is for stands in a slot of its own, or is not said.
        dose = dosing.said(dosing.dose_of(medicine, child=row.child_dose), row.days, rest=row.setting == "discharge")
        substance = medicine.vtm_name if medicine.vtm_name[:2].isupper() else medicine.vtm_name.lower()
        values = {
            "": Value(within_sentence(medicine.name), "medication", DMD, medicine.vmp),
            "name": Value(substance, "medication", DMD, medicine.vtm),
            "dose": Value(dose[0].lower() + dose[1:], "dose"),
        }
        reason = next((c for c in self.rows.get("condition", ()) if c.id == row.reason_id), None)
        if reason is not None:
            condition = self.knowledge.conditions[reason.key]
            values["for"] = Value(
                condition.words.letter[0], "condition", SNOMED, reason.snomed, condition.words.patient
            )
        return values

    def _allergies(self) -> None:
        known = [a for a in self.rows.get("allergy", ()) if a.allergy and a.recorded <= self.encounter.end]
        for row in sorted(known, key=lambda row: (row.recorded, row.id)):
            allergy = self.knowledge.allergies[row.allergy]
            name = _substance(allergy.name)
            values = {"": Value(name, "allergy", SNOMED, allergy.snomed)}
            tags = set()
            reaction = self.knowledge.reactions.get(row.reaction or "")
            if reaction is not None:
                values["reaction"] = Value(within_sentence(reaction.name), "reaction", SNOMED, reaction.snomed)
                tags.add("reaction")
            if row.severity:
                values["severity"] = Value(row.severity, "severity")
                tags.add("severity")
            self.add("allergy", values, row, tags=tags, required=True)
        if not known:
            none = [a for a in self.rows.get("allergy", ()) if a.allergy is None]
            self.add("noallergy", {}, *none[:1], required=True)

    def _afterwards(self) -> None:
        if self.died:
            return
        end = self.encounter.end
        for row in sorted(self.rows.get("appointment", ()), key=lambda row: (row.start, row.id)):
            if end < row.start < end + BOOKED_AHEAD and self.encounter.start <= row.booked <= end + 14 * DAY:
                clinic = words()["clinic"].get(row.specialty)
                if clinic:
                    at = saying.moment(row.start)
                    values = {"": Value(f"the {clinic}", "clinic"), "date": Value(saying.date(at.date()), "date")}
                    self.add("followup", values, row, required=True)
        for row in self.here("request"):
            if row.kind == "referral" and row.what in self.knowledge.specialties:
                name = self.knowledge.specialties[row.what].name
                self.add("referral", {"": Value(within_sentence(name), "specialty")}, row, required=True)

    def _social(self) -> None:
        said, person = words(), self.person
        his = _grammar(person.sex, self._age)["his"]
        values: dict[str, Value] = {}
        tags: set[str] = set()
        # whoever comes from a care home lives there, whatever household they belonged to before they moved
        household = "care-home" if self.encounter.admission_source in CARE_HOMES else person.household
        living = said["living"].get(household)
        if living:
            values["living"] = Value(living.replace("[his]", his), "social")
        if self._age >= CHILD:
            values["smoking"] = Value(said["smoking"][person.smoking], "social")
            values["alcohol"] = Value(said["alcohol"][person.alcohol], "social")
            tags |= {{"current": "smoker", "ex": "exsmoker", "never": "neversmoker"}[person.smoking]}
            if person.alcohol != "none":
                tags.add("drinker")
        if household == "alone":
            tags.add("alone")
        if household == "care-home":
            tags.add("carehome")
            self.tags.add("carehome")
        self.add("social", values, person, tags=tags)
        if person.interpreter:
            language = languages().get(person.language)
            if language:
                self.add("language", {"": Value(language, "language")}, person, tags={"interpreter"}, required=True)

    def _stay_tags(self) -> None:
        method = (self.encounter.admission_method or " ")[0]
        self.tags.add({"2": "emergency", "3": "maternity"}.get(method, "elective"))
        if self.encounter.kind == "day-case":
            self.tags.add("daycase")
        if self.died:
            self.tags.add("died")
        self.tags.add("child" if self._age < CHILD else "adult")
        if self._age >= OLDER:
            self.tags.add("older")
        self.tags.add(self.person.sex)
        if self.nights <= SHORT:
            self.tags.add("short")
        if self.nights >= LONG:
            self.tags.add("long")
        if self.encounter.parent_id is not None:
            self.tags.add("via-emergency-department")
        self.tags.add(f"spec:{self.encounter.specialty}")


_AT_BEDSIDE = frozenset(key for key, _ in _VITALS.values())


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _substance(name: str) -> str:
    """What somebody is allergic to, from the name of the allergy."""
    for before in ("Allergy to ",):
        if name.startswith(before):
            return name.removeprefix(before)
    for behind in (" allergy", " adverse reaction"):
        if name.endswith(behind):
            name = name.removesuffix(behind)
    return within_sentence(name)


def within_sentence(name: str) -> str:
    """The name of a thing as it stands within a sentence: small at its start, but for abbreviations and people."""
    if name[:2].isupper() or name.startswith(tuple(words()["people"]["named-after"])):
        return name
    return name[0].lower() + name[1:]


def _of_child(plain: str) -> str:
    """Plain words that speak to the patient, spoken to the parents."""
    return re.sub(r"\byou\b", "your child", re.sub(r"\byour\b", "your child's", plain))


def _grammar(sex: str, age: int) -> Mapping[str, str]:
    """Words that agree with the person, and those that begin a sentence."""
    female = sex == "female"
    if age < 1:
        man = "baby girl" if female else "baby boy"
    elif age < CHILD:
        man = "girl" if female else "boy"
    else:
        man = "woman" if female else "man"
    found = {
        "he": "she" if female else "he",
        "him": "her" if female else "him",
        "his": "her" if female else "his",
        "himself": "herself" if female else "himself",
        "man": man,
        "gentleman": ("lady" if female else "gentleman") if age >= CHILD else man,
    }
    return found | {key.capitalize(): word.capitalize() for key, word in found.items()}
