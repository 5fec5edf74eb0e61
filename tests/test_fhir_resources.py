"""Each resource says what its row says, in the codes and form that UK Core asks for."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import records
from hypothesis import example, given
from hypothesis import strategies as st
from records import ANNE, BRIAN, CARL, made

from fhirsynth.fhir import Context, civil, organisations_bundle, person_bundle, person_resources
from fhirsynth.fhir.medication import timing
from fhirsynth.record import Record

Found = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def record() -> Record:
    return records.record()


@pytest.fixture(scope="module")
def context() -> Context:
    return Context(records.knowledge(), index=records.INDEX)


@pytest.fixture(scope="module")
def found(record: Record, context: Context) -> Found:
    bundles = [organisations_bundle(record.tables, context)]
    bundles += [person_bundle(person, rows, context) for person, rows in record.by_person()]
    entries = [entry for bundle in bundles for entry in bundle["entry"]]
    return {(entry["resource"]["resourceType"], entry["resource"]["id"]): entry["resource"] for entry in entries}


def extension(resource: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = [e for e in resource["extension"] if e["url"].endswith(name)]
    return one


def codes(concept: dict[str, Any]) -> list[str]:
    return [coding["code"] for coding in concept["coding"]]


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["reference"]] if isinstance(node.get("reference"), str) else []
        return own + [r for value in node.values() for r in references(value)]
    if isinstance(node, list):
        return [r for value in node for r in references(value)]
    return []


def test_every_row_becomes_a_resource(record: Record, found: Found) -> None:
    types = {
        "person": "Patient",
        "contact": "RelatedPerson",
        "organisation": "Organization",
        "location": "Location",
        "practitioner": "Practitioner",
        "practitioner_role": "PractitionerRole",
        "healthcare_service": "HealthcareService",
        "encounter": "Encounter",
        "episode": "EpisodeOfCare",
        "condition": "Condition",
        "observation": "Observation",
        "report": "DiagnosticReport",
        "specimen": "Specimen",
        "request": "ServiceRequest",
        "procedure": "Procedure",
        "medication": "MedicationRequest",
        "allergy": "AllergyIntolerance",
        "immunisation": "Immunization",
        "family_history": "FamilyMemberHistory",
        "appointment": "Appointment",
        "flag": "Flag",
    }
    assert set(types) == set(record.tables)
    for table, kind in types.items():
        for row in record[table]:
            assert (kind, row.id) in found


def test_every_reference_leads_to_a_resource(found: Found) -> None:
    for resource in found.values():
        for reference in references(resource):
            if reference != "#fhirsynth":
                kind, _, key = reference.partition("/")
                assert (kind, key) in found, reference


def test_every_resource_is_marked_as_test_data_and_names_its_profile(found: Found) -> None:
    for resource in found.values():
        (profile,) = resource["meta"]["profile"]
        assert profile.startswith("https://fhir.hl7.org.uk/StructureDefinition/UKCore-")
        assert "|" not in profile
        assert [s["code"] for s in resource["meta"]["security"]] == ["HTEST"]
        assert resource["text"]["status"] == "generated"


def test_narrative_escapes_markup(found: Found) -> None:
    div = found["RelatedPerson", made("contact-2")]["text"]["div"]
    assert "Ewa &lt;E&gt;" in div
    assert "Moor &amp; Dale" in found["Organization", records.TRUST]["text"]["div"]


def test_patient(found: Found) -> None:
    anne = found["Patient", ANNE]
    (identifier,) = anne["identifier"]
    assert identifier["system"] == "https://fhir.nhs.uk/Id/nhs-number"
    assert codes(identifier["extension"][0]["valueCodeableConcept"]) == ["01"]
    assert codes(extension(anne, "EthnicCategory")["valueCodeableConcept"]) == ["A"]
    assert codes(extension(anne, "BirthSex")["valueCodeableConcept"]) == ["F"]
    assert anne["name"][0]["given"] == ["Anne", "Mary"]
    assert anne["name"][1] == {"use": "old", "family": "O'Dale", "given": ["Anne", "Mary"]}
    assert anne["address"][0]["line"] == ["Flat 2", "9 Beck Row"]
    assert anne["address"][0]["city"] == "Testford"
    assert [t["system"] for t in anne["telecom"]] == ["phone", "phone", "email"]
    assert codes(anne["contact"][0]["relationship"][0]) == ["SONC", "N"]
    assert anne["active"] is True
    assert "deceasedDateTime" not in anne


def test_patient_who_died_and_patient_who_needs_an_interpreter(found: Found) -> None:
    brian, carl = found["Patient", BRIAN], found["Patient", CARL]
    assert brian["deceasedDateTime"] == "2023-11-05T22:15:00+00:00"
    assert brian["active"] is False
    assert carl["communication"][0]["language"]["coding"][0]["display"] == "Polish"
    assert extension(carl, "patient-interpreterRequired")["valueBoolean"] is True
    assert "maritalStatus" not in carl
    assert "telecom" not in carl


def test_stay_after_an_emergency_attendance(found: Found) -> None:
    stay, attendance = found["Encounter", made("stay")], found["Encounter", made("ed")]
    assert stay["class"]["code"] == "IMP"
    # The night of 30 March 2025: in at 00:20 GMT, out in British Summer Time.
    assert stay["period"] == {"start": "2025-03-30T00:20:00+00:00", "end": "2025-04-03T14:00:00+01:00"}
    assert stay["partOf"] == {"reference": "Encounter/" + made("ed")}
    assert codes(stay["hospitalization"]["extension"][0]["valueCodeableConcept"]) == ["21"]
    assert codes(stay["hospitalization"]["dischargeDisposition"]) == ["19"]
    assert codes(extension(stay, "DischargeMethod")["valueCodeableConcept"]) == ["1"]
    assert codes(stay["reasonCode"][0]) == ["233604007"]
    assert [(d["rank"], codes(d["use"])) for d in stay["diagnosis"]] == [(1, ["DD"]), (2, ["CM"])]
    assert extension(attendance, "EmergencyCareDischargeStatus")
    assert attendance["class"]["code"] == "EMER"


def test_clinic_in_the_hour_when_clocks_go_back(found: Found) -> None:
    clinic = found["Encounter", made("clinic")]
    assert clinic["period"] == {"start": "2025-10-26T01:45:00+01:00", "end": "2025-10-26T01:15:00+00:00"}
    assert clinic["appointment"] == [{"reference": "Appointment/" + made("kept")}]


def test_conditions(found: Found) -> None:
    problem, diagnosis = found["Condition", made("diabetes")], found["Condition", made("diabetes-in-stay")]
    assert codes(problem["code"]) == ["44054006"]
    assert codes(diagnosis["code"]) == ["44054006", "E11.9"]
    assert extension(diagnosis, "condition-related")["valueReference"]["reference"].endswith(made("diabetes"))
    fracture = found["Condition", made("fracture")]
    assert codes(fracture["clinicalStatus"]) == ["resolved"]
    assert fracture["abatementDateTime"] == "2024-12-01"
    assert fracture["code"]["text"] == "Fracture of distal end of radius (left)"
    assert codes(problem["clinicalStatus"]) == ["active"]


def test_problem_list_holds_current_problems(found: Found) -> None:
    assert found["List", ANNE]["entry"] == [{"item": {"reference": "Condition/" + made("diabetes")}}]
    assert codes(found["List", BRIAN]["emptyReason"]) == ["nilknown"]


def observation(record: Record, found: Found, observable: str, person: str = ANNE) -> dict[str, Any]:
    row = next(r for r in record["observation"] if r.observable == observable and r.person_id == person)
    return found["Observation", row.id]


def test_blood_pressure(record: Record, found: Found) -> None:
    resource = observation(record, found, "blood-pressure")
    assert resource["meta"]["profile"][0].endswith("VitalSigns-BloodPressure")
    assert "valueQuantity" not in resource
    systolic, diastolic = resource["component"]
    assert (systolic["code"]["text"], systolic["valueQuantity"]["value"]) == ("Systolic blood pressure", 138)
    assert (diastolic["code"]["text"], diastolic["valueQuantity"]["value"]) == (
        "Diastolic blood pressure",
        82,
    )
    assert systolic["valueQuantity"]["unit"] == "millimeter of mercury"
    assert "138/82 mmHg" in resource["text"]["div"]


@pytest.mark.parametrize(
    ("observable", "profile", "value", "code"),
    [
        ("height", "VitalSigns-BodyHeight", 162.0, "cm"),
        ("bmi", "VitalSigns-BMI", 27.2, "kg/m2"),
        ("alcohol-units-week", "AlcoholConsumption", 6, "/wk"),
        ("frailty-score", "UKCore-Observation", 3, "1"),
        ("peak-flow", "UKCore-Observation", 340, "L/min"),
        ("inspired-oxygen", "InspiredOxygen", 28, "%"),
        ("news2", "EarlyWarningTotalScore", 7, "{ScoreOf}"),
        ("hba1c", "Observation-Lab", 59, "mmol/mol"),
    ],
)
def test_quantities(record: Record, found: Found, observable: str, profile: str, value: float, code: str) -> None:
    resource = observation(record, found, observable)
    assert resource["meta"]["profile"][0].endswith(profile)
    assert resource["valueQuantity"]["value"] == value
    assert resource["valueQuantity"]["code"] == code


def test_coded_answers_and_scores(record: Record, found: Found) -> None:
    assert codes(observation(record, found, "smoking-status")["valueCodeableConcept"]) == ["8517006"]
    assert observation(record, found, "acvpu")["meta"]["profile"][0].endswith("ACVPU")
    parts = observation(record, found, "news2")["component"]
    assert sum(part["valueQuantity"]["value"] for part in parts) == 7
    assert codes(observation(record, found, "inspired-oxygen")["code"]) == ["371825009"]
    assert codes(observation(record, found, "inspired-oxygen", BRIAN)["code"]) == ["722742002"]


def test_reading_without_a_value_says_so(record: Record, found: Found) -> None:
    row = next(r for r in record["observation"] if r.observable == "weight" and r.value is None)
    resource = found["Observation", row.id]
    assert codes(resource["dataAbsentReason"]) == ["unknown"]
    assert resource["meta"]["profile"][0].endswith("UKCore-Observation-VitalSigns")


def test_laboratory_chain(record: Record, found: Found) -> None:
    report = found["DiagnosticReport", made("fbc")]
    group = found["Observation", made("fbc")]
    haemoglobin = observation(record, found, "haemoglobin")
    assert report["result"][0] == {"reference": "Observation/" + made("fbc")}
    assert report["result"][1:] == group["hasMember"]
    assert {"reference": "Observation/" + haemoglobin["id"]} in group["hasMember"]
    assert haemoglobin["specimen"] == {"reference": "Specimen/" + made("blood")}
    assert haemoglobin["basedOn"] == report["basedOn"] == [{"reference": "ServiceRequest/" + made("request-fbc")}]
    assert codes(haemoglobin["interpretation"][0]) == ["L"]
    assert haemoglobin["referenceRange"][0]["low"]["value"] == 115
    single = found["DiagnosticReport", made("hba1c")]
    assert len(single["result"]) == 1
    assert ("Observation", made("hba1c")) not in found


def test_requests(found: Found) -> None:
    assert found["ServiceRequest", made("request-fbc")]["status"] == "completed"
    assert found["ServiceRequest", made("referral")]["status"] == "completed"
    assert found["ServiceRequest", made("referral-2")]["status"] == "active"
    assert codes(found["ServiceRequest", made("referral")]["code"]) == ["183519002"]


def test_repeat_medicine(found: Found) -> None:
    order = found["MedicationRequest", made("metformin")]
    assert order["status"] == "active"
    assert order["substitution"] == {"allowedBoolean": False}
    assert order["medicationCodeableConcept"]["coding"][0]["system"] == "https://dmd.nhs.uk"
    repeat = extension(order, "MedicationRepeatInformation")["extension"]
    assert repeat[0]["valueUnsignedInt"] == 59
    # Asked for on 1 June 2021 and renewed yearly: good for some months after the index date.
    assert records.INDEX.isoformat() < repeat[1]["valueDateTime"] <= "2026-12-31"
    assert codes(order["courseOfTherapyType"]) == ["continuous"]
    statement = found["MedicationStatement", made("metformin")]
    assert statement["basedOn"] == [{"reference": "MedicationRequest/" + made("metformin")}]
    assert statement["dosage"] == order["dosageInstruction"]


def test_courses_and_ended_medicines(found: Found) -> None:
    stopped = found["MedicationRequest", made("alendronic")]
    assert stopped["status"] == "stopped"
    assert stopped["statusReason"] == {"text": "Adverse effect"}
    assert stopped["dosageInstruction"][0]["timing"] == {"repeat": {"frequency": 1, "period": 1, "periodUnit": "wk"}}
    assert ("MedicationStatement", made("alendronic")) not in found
    course = found["MedicationRequest", made("amoxicillin")]
    assert course["status"] == "completed"
    assert course["dispenseRequest"]["expectedSupplyDuration"]["value"] == 5
    assert codes(course["category"][0]) == ["inpatient"]
    child = found["MedicationRequest", made("paracetamol")]
    assert child["status"] == "active"
    assert child["dosageInstruction"][0]["asNeededBoolean"] is True
    assert child["dosageInstruction"][0]["doseAndRate"][0]["doseQuantity"] == {
        "value": 10,
        "unit": "ml",
        "system": "http://unitsofmeasure.org",
        "code": "mL",
    }


def test_dmd_codes_under_the_snomed_system(record: Record) -> None:
    context = Context(records.knowledge(), index=records.INDEX, medication_system="http://snomed.info/sct")
    person, rows = next(record.by_person())
    orders = [r for r in person_resources(person, rows, context) if r["resourceType"] == "MedicationRequest"]
    systems = {order["medicationCodeableConcept"]["coding"][0]["system"] for order in orders}
    assert systems == {"http://snomed.info/sct"}


def test_allergies(found: Found) -> None:
    penicillin = found["AllergyIntolerance", made("allergy")]
    assert penicillin["reaction"][0]["severity"] == "moderate"
    assert penicillin["criticality"] == "low"
    nothing = found["AllergyIntolerance", made("no-allergy")]
    assert codes(nothing["code"]) == ["716186003"]
    assert not {"category", "criticality", "reaction", "type"} & set(nothing)


def test_immunisations(found: Found) -> None:
    given_, declined = found["Immunization", made("flu")], found["Immunization", made("declined")]
    assert given_["status"] == "completed"
    assert given_["lotNumber"] == "AB1234"
    assert codes(extension(given_, "VaccinationProcedure")["valueCodeableConcept"]) == ["822851000000102"]
    assert declined["status"] == "not-done"
    assert codes(declined["statusReason"]) == ["591000119102"]
    assert "lotNumber" not in declined


def test_procedure_in_snomed_and_opcs(found: Found) -> None:
    procedure = found["Procedure", made("manipulation")]
    assert codes(procedure["code"]) == ["302191003", "W26.2"]
    assert codes(procedure["bodySite"][0]) == ["7771000"]


def test_provenance_is_of_everything_else(record: Record, context: Context) -> None:
    for person, rows in record.by_person():
        *others, provenance = person_resources(person, rows, context)
        assert [t["reference"] for t in provenance["target"]] == [f"{r['resourceType']}/{r['id']}" for r in others]
        assert provenance["recorded"] == "2026-01-01T00:00:00+00:00"
        assert provenance["agent"][0]["who"]["reference"] == "#" + provenance["contained"][0]["id"]


def test_bundle_is_a_transaction_with_absolute_urls(record: Record, context: Context) -> None:
    person, rows = next(record.by_person())
    bundle = person_bundle(person, rows, context)
    assert bundle["type"] == "transaction"
    for entry in bundle["entry"]:
        url = f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        assert entry["fullUrl"] == "https://fhirsynth.example/fhir/" + url
        assert entry["request"] == {"method": "PUT", "url": url}


def test_a_bundle_is_the_callers_own(record: Record, context: Context) -> None:
    person, rows = next(record.by_person())
    bundle = person_bundle(person, rows, context)
    bundle["entry"][0]["resource"]["meta"]["profile"].clear()
    again = person_bundle(person, rows, context)
    assert again["entry"][0]["resource"]["meta"]["profile"]
    assert again == person_bundle(person, rows, context, shared=True)


def test_order_of_people_does_not_matter(record: Record) -> None:
    people = list(record.by_person())

    def made_in(order: list[Any]) -> dict[str, Any]:
        context = Context(records.knowledge(), index=records.INDEX)
        return {person.id: person_bundle(person, rows, context) for person, rows in order}

    assert made_in(people) == made_in(people[::-1])


@example(-798073201)  # double summer time, 1944
@given(st.integers(min_value=-2_000_000_000, max_value=2_500_000_000))
def test_date_times_are_the_instant_in_london(instant: int) -> None:
    read = dt.datetime.fromisoformat(civil.date_time(instant))
    offset = read.utcoffset()
    assert offset is not None
    assert offset.total_seconds() in (0, 3600, 7200)
    assert int(read.timestamp()) == instant


@given(st.integers(min_value=0, max_value=30_000))
def test_local_midnight_begins_the_day(day: int) -> None:
    assert civil.date_time(civil.local_midnight(day)).startswith(civil.date(day) + "T00:00:00")


@given(st.integers(min_value=1, max_value=8), st.sampled_from([1, 2, 7, 14, 28, 84]))
def test_timing_gives_back_times_a_day(times: int, days: int) -> None:
    repeat = timing(times / days)["repeat"]
    length = repeat["period"] * (7 if repeat["periodUnit"] == "wk" else 1)
    assert abs(repeat["frequency"] / length - times / days) < 0.02
