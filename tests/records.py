"""A small record written by hand, with every table and every kind of row, and the knowledge it needs.

Three people: a woman of 67 with diabetes (a stay after an A&E attendance, repeat medicines, laboratory
panels, an allergy), her husband who died, and their grandson of 3 (no known allergies, a declined vaccine).
"""

from __future__ import annotations

import datetime as dt
import uuid

from fhirsynth.knowledge import Knowledge
from fhirsynth.knowledge import schema as form
from fhirsynth.record import Record
from fhirsynth.record import schema as rec

INDEX = dt.date(2026, 1, 1)
SOURCE = "made up for tests"


def day(text: str) -> int:
    """Days since 1970-01-01."""
    return dt.date.fromisoformat(text).toordinal() - dt.date(1970, 1, 1).toordinal()


def instant(text: str) -> int:
    """Seconds since 1970-01-01T00:00Z of a UTC time."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp())


def made(name: str) -> str:
    """The id of the row that tests call `name`."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "https://fhirsynth.example/tests/" + name))


# --- knowledge -----------------------------------------------------------------------------------


def _words(name: str) -> form.Words:
    return form.Words(letter=[name], patient=name)


def _long_term(key: str, name: str, snomed: str, icd10: str) -> form.Condition:
    return form.Condition(
        key=key,
        name=name,
        snomed=snomed,
        icd10=icd10,
        kind="long-term",
        source=SOURCE,
        prevalence=form.Prevalence(code="t2dm"),
        words=_words(name),
    )


def _episode(key: str, name: str, snomed: str, icd10: str) -> form.Condition:
    rate = form.ByAge(age=[0], female=[1.0], male=[1.0], source=SOURCE)
    return form.Condition(
        key=key,
        name=name,
        snomed=snomed,
        icd10=icd10,
        kind="episode",
        source=SOURCE,
        incidence=rate,
        words=_words(name),
    )


def _medicine(
    key: str,
    name: str,
    vmp: str,
    vtm: str,
    text: str,
    amount: float,
    unit: str,
    per_day: float,
    quantity: float,
    *,
    prn: bool = False,
    child: form.Dose | None = None,
) -> form.Medicine:
    dose = form.Dose(text=text, amount=amount, unit=unit, per_day=per_day, prn=prn, quantity=quantity)
    return form.Medicine(
        key=key,
        name=name,
        vmp=vmp,
        vtm=vtm,
        vtm_name=name.split()[0],
        classes=[],
        form="tablet",
        form_code="385055001",
        route="Oral",
        route_code="26643006",
        dose=dose,
        child_dose=child,
        source=SOURCE,
    )


def _observable(key: str, name: str, snomed: str, group: str, **more: object) -> form.Observable:
    return form.Observable.model_validate(
        {"key": key, "name": name, "snomed": snomed, "group": group, "source": SOURCE, **more}
    )


def knowledge() -> Knowledge:
    """What the record below names, and no more."""
    observables = [
        _observable(
            "blood-pressure",
            "Blood pressure",
            "75367002",
            "vital-sign",
            loinc="85354-9",
            unit="mmHg",
            ucum="mm[Hg]",
        ),
        _observable("heart-rate", "Heart rate", "364075005", "vital-sign", loinc="8867-4", unit="/min", ucum="/min"),
        _observable(
            "respiratory-rate",
            "Respiratory rate",
            "86290005",
            "vital-sign",
            loinc="9279-1",
            unit="/min",
            ucum="/min",
        ),
        _observable(
            "body-temperature",
            "Body temperature",
            "386725007",
            "vital-sign",
            loinc="8310-5",
            unit="°C",
            ucum="Cel",
            decimals=1,
        ),
        _observable(
            "oxygen-saturation",
            "Peripheral oxygen saturation",
            "431314004",
            "vital-sign",
            loinc="2708-6",
            unit="%",
            ucum="%",
        ),
        _observable(
            "height",
            "Body height measure",
            "50373000",
            "vital-sign",
            loinc="8302-2",
            unit="cm",
            ucum="cm",
            decimals=1,
        ),
        _observable(
            "weight",
            "Body weight",
            "27113001",
            "vital-sign",
            loinc="29463-7",
            unit="kg",
            ucum="kg",
            decimals=1,
        ),
        _observable(
            "bmi",
            "Body mass index",
            "60621009",
            "vital-sign",
            loinc="39156-5",
            unit="kg/m2",
            ucum="kg/m2",
            decimals=1,
        ),
        _observable(
            "head-circumference",
            "Head circumference",
            "363812007",
            "vital-sign",
            loinc="9843-4",
            unit="cm",
            ucum="cm",
            decimals=1,
        ),
        _observable("acvpu", "ACVPU scale score", "1104441000000107", "score"),
        _observable(
            "inspired-oxygen",
            "Patient on oxygen",
            "371825009",
            "vital-sign",
            unit="%",
            ucum="%",
            air={"name": "Breathing room air", "snomed": "722742002"},
        ),
        _observable(
            "news2",
            "Royal College of Physicians NEWS2 (National Early Warning Score 2) total score",
            "1104051000000101",
            "score",
        ),
        _observable("peak-flow", "Peak expiratory flow rate", "18491006", "vital-sign", unit="L/min", ucum="L/min"),
        _observable("smoking-status", "Tobacco use and exposure", "229819007", "lifestyle"),
        _observable(
            "alcohol-units-week",
            "Alcohol units consumed per week",
            "1082641000000106",
            "lifestyle",
            unit="units/week",
            ucum="{unit}/wk",
        ),
        _observable(
            "frailty-score",
            "CSHA Clinical Frailty Scale score",
            "763264000",
            "score",
            unit="score",
            ucum="{score}",
        ),
        _observable(
            "haemoglobin",
            "Haemoglobin estimation",
            "1022431000000105",
            "laboratory",
            unit="g/L",
            ucum="g/L",
            range_female={"low": 115, "high": 165},
            range_male={"low": 130, "high": 180},
        ),
        _observable(
            "white-cells",
            "Total white cell count",
            "1022541000000102",
            "laboratory",
            unit="10*9/L",
            ucum="10*9/L",
            decimals=1,
            range={"low": 3.6, "high": 11.0},
        ),
        _observable(
            "hba1c",
            "Haemoglobin A1c level - IFCC standardised",
            "999791000000106",
            "laboratory",
            unit="mmol/mol",
            ucum="mmol/mol",
            range={"high": 41},
        ),
        _observable(
            "egfr",
            "eGFR using creatinine CKD-EPI per 1.73 square metres",
            "1011481000000105",
            "laboratory",
            unit="mL/min/1.73m2",
            ucum="mL/min/{1.73_m2}",
        ),
    ]
    vaccine = form.Vaccine(
        key="influenza",
        name="Supemtek Quadrivalent vaccine (recombinant) solution for injection 0.5ml pre-filled syringes (Sanofi)",
        snomed="39566211000001103",
        procedure="822851000000102",
        procedure_name="Seasonal influenza vaccination",
        diseases={"Influenza": "6142004"},
        route="Intramuscular",
        route_code="78421000",
        site="Left upper arm structure",
        site_code="368208006",
        doses=[],
        source=SOURCE,
    )
    everyone = form.ByAge(age=[0], female=[1.0], male=[1.0], source=SOURCE)
    child_dose = form.Dose(
        text="10 ml every 4 to 6 hours if needed", amount=10, unit="ml", per_day=4, prn=True, quantity=100
    )
    entries: dict[str, list[form.Form]] = {
        "conditions": [
            _long_term("type-2-diabetes", "Type 2 diabetes mellitus", "44054006", "E11.9"),
            _long_term("asthma", "Asthma", "195967001", "J45.9"),
            _episode("community-acquired-pneumonia", "Pneumonia", "233604007", "J18.9"),
            _episode("wrist-fracture", "Fracture of distal end of radius", "263199001", "S52.5"),
        ],
        "medicines": [
            _medicine(
                "metformin-500mg-tablets",
                "Metformin 500mg tablets",
                "325278007",
                "109081006",
                "One tablet twice a day with food",
                1,
                "tablet",
                2,
                56,
            ),
            _medicine(
                "amoxicillin-500mg-capsules",
                "Amoxicillin 500mg capsules",
                "39732411000001106",
                "27658006",
                "One capsule three times a day",
                1,
                "capsule",
                3,
                21,
            ),
            _medicine(
                "alendronic-acid-70mg-tablets",
                "Alendronic acid 70mg tablets",
                "39693011000001102",
                "116092009",
                "One tablet once a week",
                1,
                "tablet",
                0.14286,
                4,
            ),
            _medicine(
                "paracetamol-oral-suspension",
                "Paracetamol 120mg/5ml oral suspension paediatric",
                "322280009",
                "90332006",
                "10 to 20 ml if needed",
                20,
                "ml",
                4,
                200,
                prn=True,
                child=child_dose,
            ),
        ],
        "allergies": [
            form.Allergy(
                key="penicillin",
                name="Allergy to penicillin",
                snomed="91936005",
                category="medication",
                share=0.05,
                blocks=["penicillin"],
                reactions=["urticaria"],
                source=SOURCE,
            )
        ],
        "reactions": [form.Reaction(key="urticaria", name="Urticaria", snomed="126485001")],
        "panels": [
            form.Panel(
                key="full-blood-count",
                name="Full blood count",
                snomed="1022441000000101",
                members=["haemoglobin", "white-cells"],
                specimen="venous-blood",
            )
        ],
        "specimens": [form.Specimen(key="venous-blood", name="Venous blood specimen", snomed="122555007")],
        "procedures": [
            form.Procedure(
                key="wrist-manipulation",
                name="Manipulation of fracture of distal radius",
                snomed="302191003",
                opcs4="W26.2",
                laterality=True,
                source=SOURCE,
            )
        ],
        "vaccines": [vaccine],
        "specialties": [
            form.Specialty(key="general-practice", name="General practice", code="600", title="General Practitioner"),
            form.Specialty(
                key="general-internal-medicine",
                name="General internal medicine",
                code="300",
                title="Consultant Physician",
            ),
            form.Specialty(
                key="emergency-medicine",
                name="Emergency medicine",
                code="180",
                title="Consultant in Emergency Medicine",
            ),
            form.Specialty(key="cardiology", name="Cardiology", code="320", title="Consultant Cardiologist"),
            form.Specialty(
                key="stroke-medicine", name="Stroke medicine", code="328", title="Consultant Stroke Physician"
            ),
        ],
        "general_reasons": [
            form.GeneralReason(key="medication-review", name="Medication review", snomed="182836005", weight=everyone)
        ],
        "flags": [form.Flag(key="falls", name="At risk for falls", snomed="129839007", share=0.1, source=SOURCE)],
    }
    keyed = {kind: {item.key: item for item in items} for kind, items in entries.items()}  # type: ignore[attr-defined]
    return Knowledge(
        **keyed,
        observables={item.key: item for item in observables},
        digest="",
        origins={},
        statistics={},
    )  # type: ignore[arg-type]


# --- record --------------------------------------------------------------------------------------

PRACTICE, TRUST = made("practice"), made("trust")
GP, NURSE, CONSULTANT, RESIDENT = (
    made("gp-role"),
    made("nurse-role"),
    made("consultant-role"),
    made("resident-role"),
)
SITE, SURGERY, WARD, DEPARTMENT, CLINIC = (made(name) for name in ("site", "surgery", "ward", "department", "clinic"))
ANNE, BRIAN, CARL = made("anne"), made("brian"), made("carl")


def _places() -> dict[str, list]:
    staff = [
        ("gp", "Dr", "Amina & Co", "Khan", "female", "9999001"),
        ("nurse", "Ms", "Beth", "Jones", "female", None),
        ("consultant", "Mr", "Colin", "O'Neill", "male", "9999002"),
        ("resident", "Dr", "Devi", "Rao", "female", "9999003"),
    ]
    return {
        "organisation": [
            rec.Organisation(
                TRUST,
                "ZX1",
                "Moor & Dale NHS Foundation Trust",
                "trust",
                "north-east",
                "Infirmary Road\nTestford",
                "ZZ1 1CI",
                "01632 960001",
                None,
            ),
            rec.Organisation(
                PRACTICE,
                "Z00001",
                "Mill Lane Surgery",
                "practice",
                "north-east",
                "1 Mill Lane\nTestford",
                "ZZ1 2CI",
                "01632 960002",
                None,
            ),
        ],
        "location": [
            rec.Location(SITE, "Moor Infirmary", "site", "ZX101", TRUST, None, "Infirmary Road\nTestford", "ZZ1 1CI"),
            rec.Location(
                SURGERY,
                "Mill Lane Surgery",
                "surgery",
                None,
                PRACTICE,
                None,
                "1 Mill Lane\nTestford",
                "ZZ1 2CI",
            ),
            rec.Location(WARD, "Ward 7", "ward", None, TRUST, SITE, "Infirmary Road\nTestford", "ZZ1 1CI"),
            rec.Location(
                DEPARTMENT,
                "Emergency Department",
                "department",
                None,
                TRUST,
                SITE,
                "Infirmary Road\nTestford",
                "ZZ1 1CI",
            ),
            rec.Location(
                CLINIC,
                "Outpatient Department",
                "clinic",
                None,
                TRUST,
                SITE,
                "Infirmary Road\nTestford",
                "ZZ1 1CI",
            ),
        ],
        "practitioner": [
            rec.Practitioner(made(key), prefix, given, surname, sex, gmc, "555500000001" if gmc else None)
            for key, prefix, given, surname, sex, gmc in staff
        ],
        "practitioner_role": [
            rec.PractitionerRole(GP, made("gp"), PRACTICE, SURGERY, "general-practitioner", "general-practice"),
            rec.PractitionerRole(NURSE, made("nurse"), PRACTICE, SURGERY, "practice-nurse", "general-practice"),
            rec.PractitionerRole(
                CONSULTANT, made("consultant"), TRUST, SITE, "consultant", "general-internal-medicine"
            ),
            rec.PractitionerRole(RESIDENT, made("resident"), TRUST, None, "resident-doctor", "stroke-medicine"),
        ],
        "healthcare_service": [
            rec.HealthcareService(made("service"), TRUST, CLINIC, "cardiology", "Cardiology", "01632 960003"),
        ],
    }


def _person(key: str, ordinal: int, nhs: str, sex: str, birth: str, given: str, **more: object) -> rec.Person:
    values: dict[str, object] = {
        "id": made(key),
        "ordinal": ordinal,
        "nhs_number": nhs,
        "sex": sex,
        "birth": day(birth),
        "death": None,
        "prefix": "Mr",
        "given": given,
        "surname": "Fell",
        "previous_surname": None,
        "ethnic_category": "A",
        "marital_status": "M",
        "language": "en",
        "interpreter": False,
        "household_id": made("household"),
        "address": "Flat 2\n9 Beck Row\nTestford",
        "postcode": "ZZ1 3CI",
        "phone": "01632 960010",
        "mobile": None,
        "email": None,
        "region": "north-east",
        "imd_decile": 4,
        "household": "couple",
        "smoking": "never",
        "alcohol": "low",
        "bmi_class": "normal",
        "practice_id": PRACTICE,
        "gp_role_id": GP,
    }
    return rec.Person(**{**values, **more})  # type: ignore[arg-type]


def _encounter(key: str, person: str, kind: str, start: str, end: str, **more: object) -> rec.Encounter:
    hospital = kind in ("emergency", "outpatient", "inpatient", "day-case")
    values: dict[str, object] = {
        "id": made(key),
        "person_id": person,
        "kind": kind,
        "start": instant(start),
        "end": instant(end),
        "reason": None,
        "reason_kind": None,
        "organisation_id": TRUST if hospital else PRACTICE,
        "location_id": SITE if hospital else SURGERY,
        "role_id": CONSULTANT if hospital else GP,
        "specialty": "general-internal-medicine" if hospital else "general-practice",
        "admission_method": None,
        "admission_source": None,
        "discharge_method": None,
        "discharge_destination": None,
        "parent_id": None,
        "episode_id": None,
    }
    return rec.Encounter(**{**values, **more})  # type: ignore[arg-type]


def _condition(
    key: str, person: str, condition: str, name: str, snomed: str, icd10: str, onset: str, **more: object
) -> rec.Condition:
    values: dict[str, object] = {
        "id": made(key),
        "person_id": person,
        "encounter_id": None,
        "key": condition,
        "name": name,
        "snomed": snomed,
        "icd10": icd10,
        "onset": day(onset),
        "recorded": instant(onset + "T10:00"),
        "resolved": None,
        "category": "problem",
        "rank": None,
        "side": None,
        "severity": None,
        "problem_id": None,
        "role_id": GP,
    }
    return rec.Condition(**{**values, **more})  # type: ignore[arg-type]


def _observation(person: str, encounter: str | None, observable: str, time: str, **more: object) -> rec.Observation:
    values: dict[str, object] = {
        "id": made(f"{person}{encounter}{observable}{time}"),
        "person_id": person,
        "encounter_id": made(encounter) if encounter else None,
        "observable": observable,
        "time": instant(time),
        "value": None,
        "value2": None,
        "code": None,
        "text": None,
        "flag": None,
        "report_id": None,
        "role_id": NURSE,
        "purpose": "review",
        "method": None,
    }
    return rec.Observation(**{**values, **more})  # type: ignore[arg-type]


def record() -> Record:
    """The three people and all that happened to them."""
    review, gp_visit, ed, stay = "review", "gp-visit", "ed", "stay"
    t_review, t_stay = "2025-07-01T08:30", "2025-03-30T00:30"
    news_parts = (
        "respiratory-rate=2;oxygen-saturation=1;inspired-oxygen=2;systolic-blood-pressure=0;heart-rate=1;acvpu=0;"
        "body-temperature=1"
    )
    observations = [
        _observation(ANNE, review, "blood-pressure", t_review, value=138.0, value2=82.0),
        _observation(ANNE, review, "height", t_review, value=162.0),
        _observation(ANNE, review, "weight", t_review, value=71.3),
        _observation(ANNE, review, "bmi", t_review, value=27.2),
        _observation(ANNE, review, "smoking-status", t_review, code="8517006", text="Ex-smoker"),
        _observation(ANNE, review, "alcohol-units-week", t_review, value=6.0),
        _observation(ANNE, review, "frailty-score", t_review, value=3.0),
        _observation(ANNE, review, "peak-flow", t_review, value=340.0),
        _observation(ANNE, review, "haemoglobin", t_review, value=112.0, flag="L", report_id=made("fbc"), role_id=None),
        _observation(ANNE, review, "white-cells", t_review, value=6.4, flag="N", report_id=made("fbc"), role_id=None),
        _observation(ANNE, review, "hba1c", t_review, value=59.0, flag="H", report_id=made("hba1c"), role_id=None),
        _observation(ANNE, review, "egfr", t_review, value=71.0, report_id=made("egfr"), role_id=None),
        _observation(ANNE, stay, "respiratory-rate", t_stay, value=22.0, role_id=RESIDENT, purpose="admission"),
        _observation(ANNE, stay, "oxygen-saturation", t_stay, value=95.0, role_id=RESIDENT, purpose="admission"),
        _observation(ANNE, stay, "inspired-oxygen", t_stay, value=28.0, role_id=RESIDENT, purpose="admission"),
        _observation(ANNE, stay, "heart-rate", t_stay, value=104.0, role_id=RESIDENT, purpose="admission"),
        _observation(ANNE, stay, "body-temperature", t_stay, value=38.4, role_id=RESIDENT, purpose="admission"),
        _observation(ANNE, stay, "acvpu", t_stay, code="248234008", text="Mentally alert", role_id=RESIDENT),
        _observation(ANNE, stay, "news2", t_stay, value=7.0, method=news_parts, role_id=RESIDENT),
        _observation(ANNE, None, "weight", "2020-02-02T10:00", role_id=None),
        _observation(BRIAN, None, "inspired-oxygen", "2023-11-01T03:00", value=21.0),
        _observation(CARL, None, "head-circumference", "2023-02-01T10:00", value=43.5),
    ]
    blood = {"person_id": ANNE, "encounter_id": made(review)}
    tables = _places() | {
        "person": [
            _person(
                "anne",
                0,
                "9990000018",
                "female",
                "1958-05-17",
                "Anne Mary",
                prefix="Mrs",
                previous_surname="O'Dale",
                mobile="07700 900001",
                email="anne@example.com",
            ),
            _person(
                "carl",
                1,
                "9990000026",
                "male",
                "2022-09-30",
                "Carl",
                prefix="Master",
                marital_status=None,
                language="pl",
                interpreter=True,
                ethnic_category="C",
                phone=None,
            ),
            _person(
                "brian",
                2,
                "9990000034",
                "male",
                "1950-12-01",
                "Brian",
                death=instant("2023-11-05T22:15"),
                marital_status="M",
            ),
        ],
        "contact": [
            rec.Contact(
                made("contact-1"),
                ANNE,
                CARL,
                "son",
                "Mr",
                "Dan",
                "Fell",
                "male",
                "07700 900002",
                "3 Beck Row\nTestford",
                "ZZ1 3CI",
                True,
            ),
            rec.Contact(
                made("contact-2"),
                CARL,
                ANNE,
                "mother",
                "Mrs",
                "Ewa <E>",
                "Fell",
                "female",
                "07700 900003",
                "3 Beck Row\nTestford",
                "ZZ1 3CI",
                False,
            ),
        ],
        "encounter": [
            _encounter(
                gp_visit,
                ANNE,
                "gp",
                "2021-06-01T09:00",
                "2021-06-01T09:10",
                reason="type-2-diabetes",
                reason_kind="condition",
                episode_id=made("episode"),
            ),
            _encounter(
                review,
                ANNE,
                "nurse",
                t_review,
                "2025-07-01T08:45",
                reason="medication-review",
                reason_kind="general",
                role_id=NURSE,
            ),
            _encounter("call", ANNE, "telephone", "2025-08-01T14:00", "2025-08-01T14:10"),
            _encounter(
                ed,
                ANNE,
                "emergency",
                "2025-03-29T20:00",
                "2025-03-30T00:20",
                reason="community-acquired-pneumonia",
                reason_kind="condition",
                location_id=DEPARTMENT,
                specialty="emergency-medicine",
                discharge_method="admitted",
            ),
            _encounter(
                stay,
                ANNE,
                "inpatient",
                "2025-03-30T00:20",
                "2025-04-03T13:00",
                reason="community-acquired-pneumonia",
                reason_kind="condition",
                location_id=WARD,
                admission_method="21",
                admission_source="19",
                discharge_method="1",
                discharge_destination="19",
                parent_id=made(ed),
            ),
            _encounter(
                "day",
                ANNE,
                "day-case",
                "2024-10-10T08:00",
                "2024-10-10T15:00",
                reason="wrist-manipulation",
                reason_kind="procedure",
                admission_method="11",
                admission_source="19",
                discharge_method="1",
                discharge_destination="19",
            ),
            _encounter(
                "clinic",
                ANNE,
                "outpatient",
                "2025-10-26T00:45",
                "2025-10-26T01:15",
                location_id=CLINIC,
                specialty="cardiology",
            ),
            _encounter(
                "home",
                BRIAN,
                "home-visit",
                "2023-11-01T10:00",
                "2023-11-01T10:30",
                location_id=None,
                role_id=None,
            ),
            _encounter(
                "fall",
                BRIAN,
                "emergency",
                "2023-11-02T10:00",
                "2023-11-02T12:30",
                location_id=DEPARTMENT,
                specialty="emergency-medicine",
                discharge_method="home",
            ),
            _encounter(
                "last-stay",
                BRIAN,
                "inpatient",
                "2023-11-03T10:00",
                "2023-11-05T22:15",
                location_id=WARD,
                admission_method="22",
                admission_source="85",
                discharge_method="4",
                discharge_destination="79",
            ),
            _encounter("jab", CARL, "immunisation", "2025-10-10T09:00", "2025-10-10T09:10", role_id=NURSE),
        ],
        "episode": [
            rec.Episode(made("episode"), ANNE, made("diabetes"), PRACTICE, GP, day("2021-06-01"), None),
            rec.Episode(made("episode-2"), ANNE, made("fracture"), TRUST, None, day("2024-10-01"), day("2024-12-01")),
        ],
        "condition": [
            _condition(
                "diabetes",
                ANNE,
                "type-2-diabetes",
                "Type 2 diabetes mellitus",
                "44054006",
                "E11.9",
                "2021-06-01",
                encounter_id=made(gp_visit),
                severity="moderate",
            ),
            _condition(
                "fracture",
                ANNE,
                "wrist-fracture",
                "Fracture of distal end of radius",
                "263199001",
                "S52.5",
                "2024-10-01",
                resolved=day("2024-12-01"),
                side="left",
            ),
            _condition(
                "pneumonia",
                ANNE,
                "community-acquired-pneumonia",
                "Pneumonia",
                "233604007",
                "J18.9",
                "2025-03-29",
                encounter_id=made(stay),
                resolved=day("2025-04-20"),
                category="encounter",
                rank=1,
                severity="severe",
                role_id=CONSULTANT,
            ),
            _condition(
                "diabetes-in-stay",
                ANNE,
                "type-2-diabetes",
                "Type 2 diabetes mellitus",
                "44054006",
                "E11.9",
                "2021-06-01",
                encounter_id=made(stay),
                category="encounter",
                rank=2,
                problem_id=made("diabetes"),
                role_id=None,
            ),
            _condition("asthma", CARL, "asthma", "Asthma", "195967001", "J45.9", "2025-01-10"),
        ],
        "observation": observations,
        "report": [
            rec.Report(
                made("fbc"),
                ANNE,
                made(review),
                "full-blood-count",
                made("blood"),
                made("request-fbc"),
                instant(t_review),
                instant("2025-07-02T07:00"),
                TRUST,
                CONSULTANT,
            ),
            rec.Report(
                made("hba1c"),
                ANNE,
                made(review),
                "hba1c",
                made("blood"),
                made("request-hba1c"),
                instant(t_review),
                instant("2025-07-02T09:00"),
                TRUST,
                None,
            ),
            rec.Report(
                made("egfr"),
                ANNE,
                made(review),
                "egfr",
                made("blood"),
                made("request-egfr"),
                instant(t_review),
                instant("2025-07-02T09:00"),
                TRUST,
                None,
            ),
        ],
        "specimen": [
            rec.Specimen(
                made("blood"),
                ANNE,
                "venous-blood",
                instant(t_review),
                instant("2025-07-01T13:00"),
                made("request-fbc"),
                "4001123456",
            )
        ],
        "request": [
            rec.Request(
                made("request-fbc"),
                kind="laboratory",
                what="full-blood-count",
                authored=instant(t_review),
                role_id=NURSE,
                reason_id=None,
                priority="routine",
                performer_id=TRUST,
                **blood,
            ),
            rec.Request(
                made("request-hba1c"),
                kind="laboratory",
                what="hba1c",
                authored=instant(t_review),
                role_id=NURSE,
                reason_id=made("diabetes"),
                priority="urgent",
                performer_id=TRUST,
                **blood,
            ),
            rec.Request(
                made("request-egfr"),
                kind="laboratory",
                what="egfr",
                authored=instant(t_review),
                role_id=NURSE,
                reason_id=None,
                priority="routine",
                performer_id=TRUST,
                **blood,
            ),
            rec.Request(
                made("referral"),
                kind="referral",
                what="cardiology",
                authored=instant(t_review),
                role_id=GP,
                reason_id=None,
                priority="routine",
                performer_id=TRUST,
                **blood,
            ),
            rec.Request(
                made("referral-2"),
                kind="referral",
                what="stroke-medicine",
                authored=instant(t_review),
                role_id=GP,
                reason_id=None,
                priority="urgent",
                performer_id=TRUST,
                **blood,
            ),
        ],
        "procedure": [
            rec.Procedure(
                made("manipulation"),
                ANNE,
                made("day"),
                "wrist-manipulation",
                instant("2024-10-10T10:00"),
                instant("2024-10-10T10:40"),
                CONSULTANT,
                SITE,
                made("fracture"),
                "left",
            ),
            rec.Procedure(
                made("manipulation-2"),
                ANNE,
                made("day"),
                "wrist-manipulation",
                instant("2024-10-10T11:00"),
                instant("2024-10-10T11:10"),
                None,
                None,
                None,
                None,
            ),
        ],
        "medication": [
            rec.Medication(
                made("metformin"),
                ANNE,
                made(gp_visit),
                "metformin-500mg-tablets",
                day("2021-06-01"),
                None,
                instant("2021-06-01T09:05"),
                True,
                59,
                False,
                None,
                made("diabetes"),
                None,
                GP,
                "community",
            ),
            rec.Medication(
                made("alendronic"),
                ANNE,
                None,
                "alendronic-acid-70mg-tablets",
                day("2024-10-15"),
                day("2025-01-15"),
                instant("2024-10-15T11:00"),
                True,
                3,
                False,
                None,
                made("fracture"),
                "Adverse effect",
                GP,
                "community",
            ),
            rec.Medication(
                made("amoxicillin"),
                ANNE,
                made(stay),
                "amoxicillin-500mg-capsules",
                day("2025-03-30"),
                day("2025-04-04"),
                instant("2025-03-30T00:50"),
                False,
                1,
                False,
                5,
                made("pneumonia"),
                None,
                CONSULTANT,
                "inpatient",
            ),
            rec.Medication(
                made("to-take-home"),
                ANNE,
                made(stay),
                "amoxicillin-500mg-capsules",
                day("2025-04-04"),
                day("2025-04-06"),
                instant("2025-04-03T12:50"),
                False,
                1,
                False,
                2,
                made("pneumonia"),
                None,
                CONSULTANT,
                "discharge",
            ),
            rec.Medication(
                made("paracetamol"),
                CARL,
                None,
                "paracetamol-oral-suspension",
                day("2025-12-30"),
                day("2026-01-04"),
                instant("2025-12-30T09:00"),
                False,
                1,
                True,
                5,
                made("asthma"),
                None,
                GP,
                "community",
            ),
        ],
        "allergy": [
            rec.Allergy(
                made("allergy"),
                ANNE,
                "penicillin",
                instant("1990-01-05T10:00"),
                day("1989-12-20"),
                "urticaria",
                "moderate",
                "low",
                GP,
            ),
            rec.Allergy(made("no-allergy"), CARL, None, instant("2023-02-01T10:00"), None, None, None, None, None),
        ],
        "immunisation": [
            rec.Immunisation(
                made("flu"),
                ANNE,
                None,
                "influenza",
                instant("2025-10-01T10:00"),
                1,
                "AB1234",
                day("2026-06-30"),
                PRACTICE,
                NURSE,
                True,
            ),
            rec.Immunisation(
                made("declined"),
                CARL,
                made("jab"),
                "influenza",
                instant("2025-10-10T09:05"),
                1,
                "",
                day("2026-06-30"),
                PRACTICE,
                None,
                False,
            ),
        ],
        "family_history": [
            rec.FamilyHistory(made("mother"), ANNE, "mother", "type-2-diabetes", 61, True, instant("2021-06-01T09:05")),
            rec.FamilyHistory(made("brother"), ANNE, "brother", "asthma", None, False, instant("2021-06-01T09:05")),
        ],
        "appointment": [
            rec.Appointment(
                made("kept"),
                ANNE,
                made("clinic"),
                instant("2025-10-26T00:45"),
                instant("2025-10-26T01:15"),
                instant("2025-07-01T08:40"),
                "fulfilled",
                "cardiology",
                CONSULTANT,
                CLINIC,
                made("diabetes"),
            ),
            rec.Appointment(
                made("missed"),
                ANNE,
                None,
                instant("2025-09-26T10:45"),
                instant("2025-09-26T11:15"),
                instant("2025-07-01T08:40"),
                "noshow",
                "cardiology",
                CONSULTANT,
                None,
                None,
            ),
            rec.Appointment(
                made("booked"),
                CARL,
                None,
                instant("2026-02-03T10:00"),
                instant("2026-02-03T10:10"),
                instant("2025-12-01T08:40"),
                "booked",
                "general-practice",
                GP,
                SURGERY,
                None,
            ),
            rec.Appointment(
                made("cancelled"),
                CARL,
                None,
                instant("2025-02-03T10:00"),
                instant("2025-02-03T10:10"),
                instant("2024-12-01T08:40"),
                "cancelled",
                "general-practice",
                GP,
                SURGERY,
                None,
            ),
        ],
        "flag": [
            rec.Flag(made("flag"), ANNE, "falls", day("2024-10-02"), None, GP),
            rec.Flag(made("old-flag"), ANNE, "falls", day("2019-10-02"), day("2020-10-02"), None),
        ],
    }
    return Record(tables)
