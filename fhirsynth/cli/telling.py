"""A person's record told for reading: who they are, what they have and take, then what happened, by date."""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from fhirsynth.cli.lives import Json, nhs_number
from fhirsynth.knowledge.units import written
from fhirsynth.systems import NHS_NUMBER

if TYPE_CHECKING:
    from rich.console import Console

#: What is said of a prescription made in hospital: a course begun there goes on at home as an order of its own.
_PRESCRIBED = {"inpatient": " in hospital:", "discharge": " to take home:"}
_FLAGS = {"H": "high", "HH": "very high", "L": "low", "LL": "very low"}
_STAYS = ("IMP", "SS")
_ETHNIC = "Extension-UKCore-EthnicCategory"
_NO_NUMBER = "Extension-UKCore-NHSNumberUnavailableReason"
_INTERPRETER = "patient-interpreterRequired"
#: National code of an NHS number that is present and verified.
_VERIFIED = "01"


def list_people(console: Console, people: Iterable[list[Json]], limit: int) -> None:
    """A table of at most `limit` people."""
    table = Table("#", "name", "sex", "born", "died", "NHS number", "problems", box=None, header_style="bold")
    for column in (*table.columns[:1], *table.columns[2:6]):
        column.no_wrap = True
    people = iter(people)
    for number, resources in enumerate(islice(people, limit), 1):
        patient = _of(resources, "Patient")[0]
        problems = [words(item.get("code")) for item in _problems(resources) if is_active(item)]
        died = patient.get("deceasedDateTime", "")[:10]
        row = (name(patient), patient.get("gender", ""), patient.get("birthDate", ""), died, nhs_number(patient))
        table.add_row(str(number), *map(escape, row), escape(", ".join(problems)))
    console.print(table)
    if next(people, None) is not None:
        console.print(f"… and more; --limit shows more than {limit}", style="dim")


def tell(console: Console, resources: list[Json], places: Mapping[str, str] | None = None) -> None:
    """One person's life. `places`: names of organisations, places and staff by reference."""
    _Telling(console, resources, places or {}).whole()


def name(patient: Json) -> str:
    """The name that somebody goes by."""
    found = (patient.get("name") or [{}])[0]
    return str(found.get("text") or " ".join([*found.get("given", ()), found.get("family", "")]))


def words(concept: Any) -> str:
    """What a CodeableConcept says."""
    if not isinstance(concept, dict):
        return ""
    display = next((c["display"] for c in concept.get("coding", ()) if c.get("display")), "")
    return str(concept.get("text") or display)


def is_active(resource: Json) -> bool:
    """Whether a condition is still there."""
    return any(c.get("code") == "active" for c in resource.get("clinicalStatus", {}).get("coding", ()))


def _of(resources: list[Json], kind: str) -> list[Json]:
    return [item for item in resources if item["resourceType"] == kind]


def _problems(resources: list[Json]) -> list[Json]:
    """The problem list: conditions that are not the diagnosis of one contact."""
    return [
        item
        for item in _of(resources, "Condition")
        if any(c.get("code") == "problem-list-item" for k in item.get("category", ()) for c in k.get("coding", ()))
    ]


def _extensions(patient: Json) -> list[Json]:
    return list(patient.get("extension", ()))


def _number(patient: Json) -> str:
    """The NHS number, and whether it is to be trusted; or why there is none."""
    number = nhs_number(patient)
    if not number:
        reasons = (item for item in _extensions(patient) if item["url"].endswith(_NO_NUMBER))
        why = next((words(item.get("valueCodeableConcept")) for item in reasons), "")
        return f"no NHS number: {why}" if why else "no NHS number"
    for identifier in patient.get("identifier", ()):
        for item in identifier.get("extension", ()) if identifier.get("system") == NHS_NUMBER else ():
            status = item.get("valueCodeableConcept", {})
            if any(c.get("code") != _VERIFIED for c in status.get("coding", ())):
                return f"NHS number {number}, not to be relied on: {words(status)}"
    return f"NHS number {number}"


def _restricted(patient: Json) -> str:
    """That not everyone may see who this is and where they live."""
    labels = patient.get("meta", {}).get("security", ())
    said = [label.get("display", label["code"]) for label in labels if label.get("code") in ("R", "V")]
    return f"Confidentiality: {', '.join(said)}" if said else ""


def _quantity(quantity: Json) -> str:
    return f"{quantity.get('value', '')} {_unit(quantity)}".strip()


def _unit(quantity: Json) -> str:
    """A unit as it is written by hand: the UCUM code where that can be read, else the words of the resource."""
    said = written(quantity.get("code"))
    if not quantity.get("code") or set(said) & set("{[*"):
        return str(quantity.get("unit", ""))
    return said


def _day(text: str) -> str:
    """`3 March 2024` for a FHIR date or date-time; shorter ones as they are."""
    if len(text) < 10:
        return text
    day = dt.date.fromisoformat(text[:10])
    return f"{day.day} {day:%B %Y}"


def _first_words(text: str) -> str:
    text = re.sub(r" *\([^)]*\)", "", text)
    return re.split(r" unless |[.,]| or with ", text, maxsplit=1)[0].strip()


class _Telling:
    def __init__(self, console: Console, resources: list[Json], places: Mapping[str, str]) -> None:
        self.console, self.resources, self.places = console, resources, places
        self.patient = _of(resources, "Patient")[0]
        self.by_name = {f"{item['resourceType']}/{item.get('id')}": item for item in resources}
        self.at: dict[str, list[Json]] = defaultdict(list)
        for item in resources:
            encounter = item.get("encounter")
            self.at[encounter["reference"] if isinstance(encounter, dict) else ""].append(item)

    def whole(self) -> None:
        """Everything, in the order in which a GP reads."""
        self._who()
        problems = sorted(_problems(self.resources), key=lambda item: item.get("onsetDateTime", ""))
        self._list("Problems", [self._problem(item) for item in problems if is_active(item)])
        self._list("Past problems", [self._problem(item) for item in problems if not is_active(item)])
        current = [item for item in _of(self.resources, "MedicationRequest") if item.get("status") == "active"]
        self._list("Medicines", [self._medicine(item) for item in current])
        self._list("Allergies", [self._allergy(item) for item in _of(self.resources, "AllergyIntolerance")])
        self._list("Family history", [self._relative(item) for item in _of(self.resources, "FamilyMemberHistory")])
        self._list("Alerts", [words(item.get("code")) for item in _of(self.resources, "Flag")], none=False)
        self._list("Booked", [self._booked(a) for a in _of(self.resources, "Appointment") if a["status"] == "booked"],
                   none=False)  # fmt: skip
        self.console.print("\n[bold]What happened[/bold]")
        self._before()
        for encounter in sorted(_of(self.resources, "Encounter"), key=_start):
            self._contact(encounter)
        if died := self.patient.get("deceasedDateTime"):
            self.console.print(f"\n[bold]{_day(died)} {died[11:16]}[/bold]  Died")

    # --- the summary ---------------------------------------------------------------------------

    def _who(self) -> None:
        patient = self.patient
        born, died = patient.get("birthDate", ""), patient.get("deceasedDateTime")
        when = f"born {_day(born)}" if born else "date of birth not known"
        self.console.print(f"[bold]{escape(name(patient))}[/bold]  {patient.get('gender', '')}, {when}")
        if died:
            self.console.print(f"died {_day(died)}")
        lines = [_restricted(patient), _number(patient)]
        for address in patient.get("address", ()):
            parts = (*address.get("line", ()), address.get("city"), address.get("postalCode"))
            lines.append(", ".join(filter(None, parts)))
        lines.extend(contact["value"] for contact in patient.get("telecom", ()))
        for extension in _extensions(patient):
            if extension["url"].endswith(_ETHNIC):
                lines.append(words(extension.get("valueCodeableConcept")))
        status = words(patient.get("maritalStatus"))
        speaks = ", ".join(words(item.get("language")) for item in patient.get("communication", ()))
        if any(item["url"].endswith(_INTERPRETER) and item.get("valueBoolean") for item in _extensions(patient)):
            speaks += " (needs an interpreter)"
        lines.append(", ".join(part for part in (status, f"speaks {speaks}" if speaks else "") if part))
        practice = self._place(patient.get("managingOrganization"))
        if practice or "managingOrganization" not in patient:
            lines.append(f"registered with {practice or 'no practice'}")
        for line in filter(None, lines):
            self.console.print(escape(line))

    def _list(self, title: str, lines: list[str], *, none: bool = True) -> None:
        if lines or none:
            self.console.print(f"\n[bold]{title}[/bold]")
            for line in lines or ["none recorded"]:
                self._line(escape(line))

    def _line(self, markup: str, style: str = "") -> None:
        """A line set in by two, however often it is broken."""
        self.console.print(Padding(markup, (0, 0, 0, 2), expand=False), style=style)

    def _problem(self, item: Json) -> str:
        until = f" to {item['abatementDateTime'][:10]}" if "abatementDateTime" in item else ""
        return f"{item.get('onsetDateTime', '')[:10]}{until}  {words(item.get('code'))}"

    def _medicine(self, item: Json, since: bool = True) -> str:
        """Product, dose, `since` when and why."""
        dose = "; ".join(dosage.get("text", "") for dosage in item.get("dosageInstruction", ()))
        reasons = ", ".join(filter(None, map(self._reason, item.get("reasonReference", ()))))
        start = f", since {item.get('authoredOn', '')[:10]}" if since else ""
        why = f" (for {reasons})" if reasons else ""
        return f"{words(item.get('medicationCodeableConcept'))}: {dose}{start}{why}"

    def _reason(self, reference: Json) -> str:
        return words(self.by_name.get(reference.get("reference", ""), {}).get("code"))

    def _allergy(self, item: Json) -> str:
        said = words(item.get("code"))
        for reaction in item.get("reaction", ()):
            told = ", ".join(map(words, reaction.get("manifestation", ())))
            said += f": {told}" + (f" ({reaction['severity']})" if "severity" in reaction else "")
        return said

    def _relative(self, item: Json) -> str:
        conditions = ", ".join(words(condition.get("code")) for condition in item.get("condition", ()))
        return f"{words(item.get('relationship'))}: {conditions}"

    def _booked(self, item: Json) -> str:
        return f"{item['start'][:10]} {item['start'][11:16]}  {', '.join(map(words, item.get('specialty', ())))}"

    # --- the timeline --------------------------------------------------------------------------

    def _before(self) -> None:
        """What belongs to no contact: childhood vaccines, readings of long ago, repeat prescriptions taken over."""
        loose = []
        for item in self.at[""]:
            kind = item["resourceType"]
            if kind == "Immunization":
                loose.append((item.get("occurrenceDateTime", ""), self._vaccine(item)))
            elif kind == "Observation":
                loose.append((item.get("effectiveDateTime", ""), self._reading(item)))
            elif kind == "MedicationRequest":
                loose.append((item.get("authoredOn", ""), "Prescribed: " + self._medicine(item, since=False)))
            elif kind == "Procedure":
                loose.append((_start(item, "performedPeriod"), "Procedure: " + words(item.get("code"))))
        for moment, line in sorted(loose):
            self._line(f"{moment[:10]}  {escape(line)}")

    def _contact(self, encounter: Json) -> None:
        period = encounter.get("period", {})
        start, end = period.get("start", ""), period.get("end", "")
        kind = ", ".join(map(words, encounter.get("type", ())))
        # The place says all that "general practice" says.
        inside = encounter.get("class", {}).get("code") in (*_STAYS, "EMER") or "outpatient" in kind
        service = words(encounter.get("serviceType")) if inside else ""
        reasons = ", ".join(map(words, encounter.get("reasonCode", ())))
        head = kind + (f", {service}" if service else "") + (f": {reasons}" if reasons else "")
        self.console.print(f"\n[bold]{_day(start)} {start[11:16]}[/bold]  {escape(head)}")
        spot = [self._place(item.get("location")) for item in encounter.get("location", ())]
        where = ", ".join(dict.fromkeys(filter(None, [*spot, self._place(encounter.get("serviceProvider"))])))
        if where:
            self._line(escape(where), "dim")
        if encounter.get("class", {}).get("code") in _STAYS:
            self._stay(encounter, start, end)
        for line in self._what(f"Encounter/{encounter.get('id')}"):
            self._line(line)

    def _stay(self, encounter: Json, start: str, end: str) -> None:
        hospital = encounter.get("hospitalization", {})
        extensions = [*hospital.get("extension", ()), *encounter.get("extension", ())]
        told = {item["url"].rpartition("-")[2]: words(item.get("valueCodeableConcept")) for item in extensions}
        self._line(f"Admitted {_day(start)}: {escape(told.get('AdmissionMethod', ''))}")
        if end:
            nights = (dt.date.fromisoformat(end[:10]) - dt.date.fromisoformat(start[:10])).days
            to = words(hospital.get("dischargeDisposition"))
            # The national lists put whole definitions into their displays: the first words say it.
            how = ", ".join(_first_words(text) for text in (told.get("DischargeMethod"), to) if text)
            self._line(f"Discharged {_day(end)} {end[11:16]}, nights: {nights}: {escape(how)}")

    def _what(self, encounter: str) -> list[str]:
        """What was found and done at one contact, a line each."""
        items = self.at[encounter]
        lines = []
        for item in sorted(_of(items, "Condition"), key=lambda item: item.get("recordedDate", "")):
            lines.append(f"[cyan]Diagnosis[/cyan] {escape(words(item.get('code')))}")
        reported = set()
        reports = []
        for report in _of(items, "DiagnosticReport"):
            results = [self.by_name.get(r.get("reference", ""), {}) for r in report.get("result", ())]
            reported |= {item.get("id") for item in results}
            said = ", ".join(self._marked(item) for item in results if item and "hasMember" not in item)
            when = report.get("effectiveDateTime", "")[:10]
            name = words(report.get("code"))
            title = "" if len(results) == 1 else f"{escape(name)}: "  # a single test says its own name
            reports.append((when, f"[green]Result[/green] {when} {title}{said}"))
        readings: dict[str, list[str]] = defaultdict(list)
        for item in _of(items, "Observation"):
            if item.get("id") not in reported and "hasMember" not in item:
                readings[item.get("effectiveDateTime", "")].append(self._marked(item))
        lines += [f"{when[:10]} {when[11:16]} {', '.join(said)}" for when, said in sorted(readings.items())]
        lines += [line for _, line in sorted(reports)]
        for item in _of(items, "Procedure"):
            lines.append(f"[magenta]Procedure[/magenta] {escape(words(item.get('code')))}")
        lines += [escape(self._vaccine(item)) for item in _of(items, "Immunization")]
        for item in _of(items, "MedicationRequest"):
            categories = (c.get("code") for concept in item.get("category", ()) for c in concept.get("coding", ()))
            where = next((_PRESCRIBED[code] for code in categories if code in _PRESCRIBED), "")
            lines.append(f"[yellow]Prescribed[/yellow]{where} {escape(self._medicine(item, since=False))}")
        for item in _of(items, "ServiceRequest"):
            if "category" in item and not any("laborator" in words(c).lower() for c in item["category"]):
                lines.append(f"Referred: {escape(words(item.get('code')))}")
        return lines

    def _marked(self, item: Json) -> str:
        """A reading, its flag in colour."""
        codes = [c.get("code") for concept in item.get("interpretation", ()) for c in concept.get("coding", ())]
        flag = next((_FLAGS[code] for code in codes if code in _FLAGS), None)
        said = escape(self._reading(item))
        return f"[red]{said} ({flag})[/red]" if flag else said

    def _reading(self, item: Json) -> str:
        what = words(item.get("code"))
        if "component" in item and "valueQuantity" not in item:
            values = [part["valueQuantity"] for part in item["component"] if "valueQuantity" in part]
            if values:
                said = "/".join(str(value.get("value")) for value in values)
                return f"{what} {said} {_unit(values[-1])}"
        if "valueQuantity" in item:
            return f"{what} {_quantity(item['valueQuantity'])}"
        return f"{what} {words(item.get('valueCodeableConcept')) or item.get('valueInteger', '')}".strip()

    def _vaccine(self, item: Json) -> str:
        declined = " declined" if item.get("status") == "not-done" else ""
        return f"Vaccine{declined}: {words(item.get('vaccineCode'))}"

    def _place(self, reference: Any) -> str:
        return self.places.get(reference.get("reference", ""), "") if isinstance(reference, dict) else ""


def _start(item: Json, element: str = "period") -> str:
    return str(item.get(element, {}).get("start", ""))
