"""MedicationRequest and MedicationStatement: what was prescribed, and what somebody takes now.

Code, dose and quantity of an order of so many days are worked out once (`Product`); a row adds when and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fhirsynth.fhir import civil
from fhirsynth.fhir.context import Context, Scope
from fhirsynth.fhir.elements import UK_CORE, Json, concept, escaped, extension, narrative
from fhirsynth.knowledge.dosing import dose_of, supply
from fhirsynth.systems import SNOMED, UCUM

if TYPE_CHECKING:
    from fhirsynth.record import schema as rows

_AUTHORISED_DAYS = 365  # repeats are reauthorised at the yearly medication review
_ORDERED = concept("http://terminology.hl7.org/CodeSystem/dose-rate-type", "ordered", "Ordered")
_REPEAT_INFORMATION = UK_CORE + "Extension-UKCore-MedicationRepeatInformation"
_COMMUNITY = concept("http://terminology.hl7.org/CodeSystem/medication-statement-category", "community", "Community")
_FROM_PRACTICE = extension(
    "MedicationPrescribingOrganizationType",
    "CodeableConcept",
    concept(
        "https://fhir.hl7.org.uk/CodeSystem/UKCore-MedicationPrescribingOrganizationType",
        "prescribed-at-gp-practice",
        "Prescribed at GP practice",
    ),
)
_NO_SUBSTITUTION = {"allowedBoolean": False}


class Product(NamedTuple):
    """One product in one dose for so many days: `said` for narratives, `medication` its code, `dosage` and `quantity`.

    `supply`: FHIR's length of one issue, which lasts `lasts` days; a course takes `issues` of them.
    """

    said: str
    medication: Json
    dosage: list[Json]
    quantity: Json
    supply: Json
    lasts: int
    issues: int


def timing(per_day: float) -> Json:
    """Times a day as frequency and period: the shortest period up to 90 days in which it is whole."""
    for days in range(1, 91):
        times = round(per_day * days)
        if times and abs(per_day * days - times) < 0.01:
            break
    if days % 7 == 0:
        return {"repeat": {"frequency": times, "period": days // 7, "periodUnit": "wk"}}
    return {"repeat": {"frequency": times, "period": days, "periodUnit": "d"}}


def _days(number: int) -> Json:
    return {"value": number, "unit": "day", "system": UCUM, "code": "d"}


def _amount(value: float, unit: str, context: Context) -> Json:
    found: Json = {"value": int(value) if value == int(value) else value, "unit": unit}
    known = context.codes.units.get(unit)
    if known is not None:
        found["system"], found["code"] = known
    return found


#: What tells orders of one product apart: medicine, whether the dose is a child's, days of a course, the rest of one.
Ordered = tuple[str, bool, int | None, bool]


class Products(dict[Ordered, Product]):
    """Every product that was ordered so far."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    def __missing__(self, ordered: Ordered) -> Product:
        found = self[ordered] = _product(ordered, self._context)
        return found


def _product(ordered: Ordered, context: Context) -> Product:
    key, child, days, rest = ordered
    medicine = context.knowledge.medicines[key]
    dose = dose_of(medicine, child=child)
    issue = supply(dose, days, rest=rest)
    when = timing(dose.per_day)
    if days is not None:
        when = {"repeat": {"boundsDuration": _days(days), **when["repeat"]}}
    dosage: Json = {
        "text": issue.text,
        "timing": when,
        "asNeededBoolean": dose.prn,
        "route": concept(SNOMED, medicine.route_code, medicine.route),
        "doseAndRate": [{"type": _ORDERED, "doseQuantity": _amount(dose.amount, dose.unit, context)}],
    }
    return Product(
        said=f"{escaped(medicine.name)}: {escaped(issue.text)}",
        medication=concept(context.medication_system, medicine.vmp, medicine.name),
        dosage=[dosage],
        quantity=_amount(issue.quantity, dose.unit, context),
        supply=_days(issue.days),
        lasts=issue.days,
        issues=issue.issues,
    )


def ordered(row: rows.Medication) -> Ordered:
    """What a row orders: what is taken home of a course was begun on the ward."""
    return row.medicine, row.child_dose, row.days, row.setting == "discharge"


def is_current(row: rows.Medication, context: Context) -> bool:
    """Whether it is still taken at the index date."""
    return row.end is None or row.end > context.index_day


def _status(row: rows.Medication, context: Context) -> str:
    if is_current(row, context):
        return "active"
    return "stopped" if row.stop_reason is not None else "completed"


def medication_request(row: rows.Medication, scope: Scope, context: Context) -> Json:
    """UKCore-MedicationRequest: a course, or a repeat prescription with all its issues."""
    product = context.products[ordered(row)]
    words = context.codes.words
    status = _status(row, context)
    start = civil.date(row.start)
    resource: Json = {
        "resourceType": "MedicationRequest",
        "id": row.id,
        "meta": context.meta["UKCore-MedicationRequest"],
        "text": narrative(product.said),
    }
    validity: Json = {"start": start}
    supply: Json = {"validityPeriod": validity}
    if row.end is not None:
        validity["end"] = civil.date(row.end)
    if row.repeat:
        # Authorised a year at a time up to the last year that was begun.
        last = min(row.end if row.end is not None else context.index_day, context.index_day)
        years = max(0, last - row.start) // _AUTHORISED_DAYS + 1
        resource["extension"] = [
            {
                "url": _REPEAT_INFORMATION,
                "extension": [
                    {"url": "numberOfPrescriptionsIssued", "valueUnsignedInt": row.issues},
                    {
                        "url": "authorisationExpiryDate",
                        "valueDateTime": civil.date(row.start + years * _AUTHORISED_DAYS),
                    },
                ],
            }
        ]
        supply["numberOfRepeatsAllowed"] = max(row.issues - 1, _AUTHORISED_DAYS // product.lasts - 1)
    elif product.issues > 1:
        supply["numberOfRepeatsAllowed"] = product.issues - 1
    supply["quantity"] = product.quantity
    supply["expectedSupplyDuration"] = product.supply
    resource["identifier"] = [{"system": context.id_system + "prescription", "value": row.id}]
    resource["status"] = status
    if status == "stopped":
        resource["statusReason"] = {"text": row.stop_reason}
    resource["intent"] = "order"
    resource["category"] = [words["medication-setting"][row.setting]]
    resource["medicationCodeableConcept"] = product.medication
    resource["subject"] = scope.patient
    if row.encounter_id is not None:
        resource["encounter"] = scope.encounters[row.encounter_id]
    resource["authoredOn"] = scope.times[row.authored]
    resource["requester"] = context.roles[row.role_id]
    resource["reasonReference"] = [scope.conditions[row.reason_id]]
    resource["courseOfTherapyType"] = words["medication-course"]["repeat" if row.repeat else "acute"]
    resource["dosageInstruction"] = product.dosage
    resource["dispenseRequest"] = supply
    resource["substitution"] = _NO_SUBSTITUTION
    return resource


def medication_statement(row: rows.Medication, scope: Scope, context: Context) -> Json:
    """UKCore-MedicationStatement of a current repeat medicine. Its id is that of the order."""
    product = context.products[ordered(row)]
    issued = min(row.start + product.lasts * max(0, row.issues - 1), context.index_day)
    return {
        "resourceType": "MedicationStatement",
        "id": row.id,
        "meta": context.meta["UKCore-MedicationStatement"],
        "text": narrative(product.said),
        "extension": [
            extension("MedicationStatementLastIssueDate", "DateTime", civil.date(issued)),
            _FROM_PRACTICE,
        ],
        "identifier": [{"system": context.id_system + "medication-statement", "value": row.id}],
        "basedOn": [{"reference": "MedicationRequest/" + row.id}],
        "status": "active",
        "category": _COMMUNITY,
        "medicationCodeableConcept": product.medication,
        "subject": scope.patient,
        "effectivePeriod": {"start": civil.date(row.start)},
        "dateAsserted": context.index_time,
        "reasonReference": [scope.conditions[row.reason_id]],
        "dosage": product.dosage,
    }
