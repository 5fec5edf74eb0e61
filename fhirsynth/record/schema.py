"""The linked tables: one class a table, one field a column. Makers write these rows, exporters read them.

Each row is a named tuple. What a column means, what it may hold, in which unit, into which table it
points, and which code list explains it stands beside it (`Says`): `KEYS`, the Arrow schemas and the data
dictionary are made of that.
`Day` is days since 1970-01-01 (Arrow date32), `Instant` seconds since 1970-01-01T00:00Z (Arrow
timestamp[s, UTC]; people see them in Europe/London). Ids are UUID texts. `None` means "not recorded".
Codes are kept as keys into the knowledge files (`condition.key`, `medicine`, `observable`, …), national
codes (ethnic category, admission method) as the code itself.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fhirsynth.record.columns import DATE, TIMESTAMP, Says, columns

Day = Annotated[int, DATE]
Instant = Annotated[int, TIMESTAMP]

_Id = Annotated[str, Says("the key of the row: a UUID")]
_PersonId = Annotated[str, Says("whose it is", key="person")]
_EncounterId = Annotated[str, Says("the contact at which it was done or recorded", key="encounter")]
_RoleId = Annotated[str, Says("who did it or was responsible", key="practitioner_role")]
_ReasonId = Annotated[str, Says("the diagnosis that it is for", key="condition")]
_Sex = Annotated[str, Says("sex", "female | male")]
_Side = Annotated[str, Says("the side of the body", "left | right")]
_Severity = Annotated[str, Says("how bad it is", "mild | moderate | severe")]
_Prefix = Annotated[str, Says("title")]
_Given = Annotated[str, Says("given names, separated by a space")]
_Surname = Annotated[str, Says("family name")]
_Address = Annotated[str, Says("lines of the address, a line end between them; the last is the town")]
_Postcode = Annotated[str, Says("postcode")]
_Phone = Annotated[str, Says("telephone number, of the ranges kept for drama")]
_Specialty = Annotated[str, Says('key of the specialty; "general-practice" for practices', codes="code_specialty.key")]
_Region = Annotated[str, Says("key of the English region", codes="code_region.key")]


class Organisation(NamedTuple):
    """General practices and NHS trusts."""

    id: _Id
    ods: Annotated[str, Says("code of the Organisation Data Service")]
    name: Annotated[str, Says("name")]
    kind: Annotated[str, Says("what it is", "practice | trust")]
    region: _Region
    address: _Address
    postcode: _Postcode
    phone: _Phone
    parent_id: Annotated[str | None, Says("the organisation that it is part of", key="organisation")]


class Location(NamedTuple):
    """Hospital sites, surgeries, and the wards, departments and clinics in them."""

    id: _Id
    name: Annotated[str, Says("name")]
    kind: Annotated[str, Says("what it is; a site is a hospital", "site | surgery | ward | department | clinic")]
    ods_site: Annotated[str | None, Says("site code of the Organisation Data Service, of hospitals")]
    organisation_id: Annotated[str, Says("whose place it is", key="organisation")]
    part_of_id: Annotated[str | None, Says("the hospital that it is in", key="location")]
    address: _Address
    postcode: _Postcode


class Practitioner(NamedTuple):
    """Doctors and nurses, all invented."""

    id: _Id
    prefix: _Prefix
    given: _Given
    surname: _Surname
    sex: _Sex
    gmc: Annotated[str | None, Says("number of the General Medical Council, outside the issued range")]
    sds: Annotated[str | None, Says("user id of the Spine Directory Service, made up")]


class PractitionerRole(NamedTuple):
    """What a doctor or nurse is, and where."""

    id: _Id
    practitioner_id: Annotated[str, Says("who has the role", key="practitioner")]
    organisation_id: Annotated[str, Says("for whom they work", key="organisation")]
    location_id: Annotated[str | None, Says("where they work", key="location")]
    role: Annotated[str, Says("their job", "general-practitioner | practice-nurse | consultant | resident-doctor")]
    specialty: _Specialty


class HealthcareService(NamedTuple):
    """Specialties that a hospital offers."""

    id: _Id
    organisation_id: Annotated[str, Says("who offers it", key="organisation")]
    location_id: Annotated[str, Says("the hospital where it is offered", key="location")]
    specialty: _Specialty
    name: Annotated[str, Says("name")]
    phone: _Phone


class Person(NamedTuple):
    """The people, one row each."""

    id: _Id
    ordinal: Annotated[int, Says("position in the population from 0; the dead follow the living of their shard")]
    nhs_number: Annotated[str | None, Says("NHS number of the test range 999, without spaces")]
    sex: _Sex
    birth: Annotated[Day, Says("date of birth")]
    death: Annotated[Instant | None, Says("time of death; empty for the living")]
    prefix: _Prefix
    given: _Given
    surname: _Surname
    previous_surname: Annotated[str | None, Says("family name before marriage")]
    ethnic_category: Annotated[
        str,
        Says(
            "NHS code of the ethnic category",
            "A | B | C | D | E | F | G | H | J | K | L | M | N | P | R | S | Z",
            codes="code_ethnic_category.key",
        ),
    ]
    marital_status: Annotated[
        str | None,
        Says(
            "code of UKCore-PersonMaritalStatusCode; empty under 16",
            "D | M | P | S | W",
            codes="code_marital_status.key",
        ),
    ]
    language: Annotated[str, Says("preferred language as a BCP 47 tag")]
    interpreter: Annotated[bool, Says("whether an interpreter is needed")]
    household_id: Annotated[str, Says("the same for all who live together; no table of its own")]
    address: Annotated[_Address | None, Says("lines of the address, as elsewhere; empty where it is withheld")]
    postcode: _Postcode | None
    phone: Annotated[str | None, Says("telephone number at home, of the ranges kept for drama")]
    mobile: Annotated[str | None, Says("mobile number, of the range kept for drama")]
    email: Annotated[str | None, Says("e-mail address, of a reserved domain")]
    region: _Region
    imd_decile: Annotated[int, Says("decile of the Index of Multiple Deprivation where they live; 1 is most deprived")]
    household: Annotated[
        str,
        Says(
            "with whom they live",
            "alone | couple | couple-children | lone-parent | with-parents | shared | care-home",
        ),
    ]
    smoking: Annotated[str, Says("whether they smoke", "never | ex | current")]
    alcohol: Annotated[str, Says("how much they drink; high is over 14 units a week", "none | low | high")]
    bmi_class: Annotated[str, Says("class of the body mass index", "underweight | normal | overweight | obese")]
    practice_id: Annotated[str, Says("the general practice where they are registered", key="organisation")]
    gp_role_id: Annotated[str, Says("their usual general practitioner", key="practitioner_role")]
    # What registers hold of few people, and populations of none: the named samples have it.
    number_status: Annotated[
        str, Says("of the NHS number, code of UKCore-NHSNumberVerificationStatusEngland, such as 01 for verified")
    ] = "01"
    no_number_reason: Annotated[
        str | None, Says("why there is no NHS number, code of UKCore-NHSNumberUnavailableReason")
    ] = None
    gender: Annotated[str | None, Says("where it is not the sex at birth", "female | male | other | unknown")] = None
    birth_precision: Annotated[str, Says("how much of the date of birth is known", "day | month | year")] = "day"
    birth_order: Annotated[int | None, Says("of twins and more, 1 for the first")] = None
    death_precision: Annotated[str, Says("how much of the time of death is known", "time | day")] = "time"
    death_notice: Annotated[str, Says("of the death, code of UKCore-DeathNotificationStatus")] = "2"
    country: Annotated[str, Says("of the address, ISO 3166 code")] = "GB"
    registered: Annotated[bool, Says("false: with no practice now; the practice is that which has the record")] = True
    second_gp_role_id: Annotated[
        str | None, Says("where they are registered for a while besides", key="practitioner_role")
    ] = None
    confidentiality: Annotated[str, Says("of who they are and where they live, code of v3-Confidentiality")] = "N"


class Contact(NamedTuple):
    """Related people: next of kin, parents, partners."""

    id: _Id
    person_id: _PersonId
    other_id: Annotated[str | None, Says("who they are, where they are in the population too", key="person")]
    relationship: Annotated[
        str,
        Says("what they are to the person", "spouse | partner | mother | father | daughter | son | sibling | friend"),
    ]
    prefix: _Prefix
    given: _Given
    surname: _Surname
    sex: _Sex
    phone: _Phone
    address: _Address | None
    postcode: _Postcode | None
    next_of_kin: Annotated[bool, Says("whether they are the next of kin")]
    nhs_number: Annotated[str | None, Says("theirs, where the record links to it")] = None


class Encounter(NamedTuple):
    """Contacts with the health service."""

    id: _Id
    person_id: _PersonId
    kind: Annotated[
        str,
        Says(
            "what kind of contact it was",
            "gp | nurse | telephone | home-visit | emergency | outpatient | inpatient | day-case | immunisation",
        ),
    ]
    start: Annotated[Instant, Says("when it began")]
    end: Annotated[Instant, Says("when it ended")]
    reason: Annotated[
        str | None,
        Says("key of the condition, procedure, general reason or vaccine it was about", codes="code_reason.key"),
    ]
    reason_kind: Annotated[
        str | None,
        Says("of what the reason is a key", "condition | procedure | general | vaccine", codes="code_reason.kind"),
    ]
    organisation_id: Annotated[str, Says("the practice or trust", key="organisation")]
    location_id: Annotated[str | None, Says("where it was", key="location")]
    role_id: Annotated[str | None, Says("who was responsible", key="practitioner_role")]
    specialty: _Specialty
    admission_method: Annotated[
        str | None, Says("of a stay, code of the NHS Data Dictionary, such as 21", codes="code_admission_method.key")
    ]
    admission_source: Annotated[
        str | None, Says("of a stay, code of the NHS Data Dictionary", codes="code_admission_source.key")
    ]
    discharge_method: Annotated[
        str | None,
        Says(
            'of a stay, code of the NHS Data Dictionary; of an emergency attendance "home" or "admitted"',
            codes="code_discharge_method.key",
        ),
    ]
    discharge_destination: Annotated[
        str | None, Says("of a stay, code of the NHS Data Dictionary", codes="code_discharge_destination.key")
    ]
    parent_id: Annotated[str | None, Says("the emergency attendance that led to a stay", key="encounter")]
    episode_id: Annotated[str | None, Says("the episode of care that it is part of", key="episode")]


class Episode(NamedTuple):
    """Episodes of care: one condition followed up in one place over time."""

    id: _Id
    person_id: _PersonId
    condition_id: Annotated[str, Says("the condition that is followed up", key="condition")]
    organisation_id: Annotated[str, Says("the trust that follows it up", key="organisation")]
    role_id: _RoleId | None
    start: Annotated[Day, Says("first day")]
    end: Annotated[Day | None, Says("last day; empty while it goes on")]


class Condition(NamedTuple):
    """Diagnoses: problems of the problem list, and what a single contact was about."""

    id: _Id
    person_id: _PersonId
    encounter_id: Annotated[str | None, Says("the contact at which it was recorded", key="encounter")]
    key: Annotated[str, Says("key of the condition", codes="code_condition.key")]
    name: Annotated[str, Says("name of the condition")]
    snomed: Annotated[str, Says("SNOMED CT code")]
    icd10: Annotated[str, Says("ICD-10 code")]
    onset: Annotated[Day, Says("day on which it began")]
    recorded: Annotated[Instant, Says("when it was recorded")]
    resolved: Annotated[Day | None, Says("day on which it was over; empty where it is not")]
    category: Annotated[str, Says("of the problem list, or of one contact", "problem | encounter")]
    rank: Annotated[int | None, Says("of a stay: 1 is the primary diagnosis, 2 and more are secondary")]
    side: _Side | None
    severity: _Severity | None
    problem_id: Annotated[str | None, Says("of a hospital diagnosis: the problem that it is about", key="condition")]
    role_id: _RoleId | None


class Observation(NamedTuple):
    """Readings, scores, habits and laboratory results."""

    id: _Id
    person_id: _PersonId
    encounter_id: _EncounterId | None
    observable: Annotated[str, Says("key of what was measured or asked", codes="code_observable.key")]
    time: Annotated[Instant, Says("when it was measured, or its specimen taken")]
    value: Annotated[float | None, Says("the number; of blood-pressure the systolic", unit="that of the observable")]
    value2: Annotated[float | None, Says("of blood-pressure the diastolic", unit="that of the observable")]
    code: Annotated[str | None, Says("SNOMED CT code of a coded answer")]
    text: Annotated[str | None, Says("what that code means")]
    flag: Annotated[str | None, Says("high, low or normal against the reference range", "H | L | N")]
    report_id: Annotated[str | None, Says("the laboratory report that it is part of", key="report")]
    role_id: _RoleId | None
    purpose: Annotated[
        str | None, Says("on which occasion it was taken", "admission | ward | review | diagnosis | contact")
    ]
    method: Annotated[
        str | None,
        Says("of a score, the points of its parts as observable=points with semicolons between"),
    ]


class Report(NamedTuple):
    """Laboratory reports: one panel on one specimen, asked for by one request."""

    id: _Id
    person_id: _PersonId
    encounter_id: _EncounterId
    panel: Annotated[
        str, Says("key of the panel of tests, or of a test that is asked for alone", codes="code_panel.key")
    ]
    specimen_id: Annotated[str, Says("the specimen that was tested", key="specimen")]
    request_id: Annotated[str, Says("the request that asked for it", key="request")]
    collected: Annotated[Instant, Says("when the specimen was taken")]
    issued: Annotated[Instant, Says("when the report was sent")]
    organisation_id: Annotated[str, Says("the trust of the laboratory", key="organisation")]
    role_id: _RoleId | None


class Specimen(NamedTuple):
    """Specimens for the laboratory."""

    id: _Id
    person_id: _PersonId
    specimen: Annotated[str, Says("key of the kind of specimen", codes="code_specimen.key")]
    collected: Annotated[Instant, Says("when it was taken")]
    received: Annotated[Instant, Says("when the laboratory had it")]
    request_id: Annotated[str, Says("the request that it was taken for", key="request")]
    accession: Annotated[str, Says("the laboratory's number for it")]


class Request(NamedTuple):
    """Requests for laboratory tests, and referrals."""

    id: _Id
    person_id: _PersonId
    encounter_id: _EncounterId
    kind: Annotated[str, Says("what is asked for", "laboratory | referral", codes="code_request.kind")]
    what: Annotated[
        str, Says("key of the panel or single test, or of the specialty of a referral", codes="code_request.key")
    ]
    authored: Annotated[Instant, Says("when it was written")]
    role_id: _RoleId
    reason_id: _ReasonId | None
    priority: Annotated[str, Says("how soon", "routine | urgent")]
    performer_id: Annotated[str, Says("who is asked", key="organisation")]


class Procedure(NamedTuple):
    """What was done: operations, examinations, screening, counselling."""

    id: _Id
    person_id: _PersonId
    encounter_id: _EncounterId
    procedure: Annotated[str, Says("key of the procedure", codes="code_procedure.key")]
    start: Annotated[Instant, Says("when it began")]
    end: Annotated[Instant, Says("when it ended")]
    role_id: _RoleId | None
    location_id: Annotated[str | None, Says("where it was done", key="location")]
    reason_id: _ReasonId | None
    side: _Side | None


class Medication(NamedTuple):
    """Prescriptions: a course, or a repeat prescription from its first issue to its end."""

    id: _Id
    person_id: _PersonId
    encounter_id: Annotated[str | None, Says("the contact at which it was begun", key="encounter")]
    medicine: Annotated[str, Says("key of the medicine", codes="code_medicine.key")]
    start: Annotated[Day, Says("first day")]
    end: Annotated[Day | None, Says("last day; empty while it goes on")]
    authored: Annotated[Instant, Says("when it was written")]
    repeat: Annotated[bool, Says("whether it is a repeat prescription")]
    issues: Annotated[int, Says("how often it was issued", unit="issues")]
    child_dose: Annotated[bool, Says("whether the dose is that of a child")]
    days: Annotated[int | None, Says("length of a course", unit="days")]
    reason_id: _ReasonId
    stop_reason: Annotated[str | None, Says("why it was stopped before its time, in words")]
    role_id: _RoleId
    setting: Annotated[str, Says("where it was prescribed", "community | inpatient | discharge")]


class Allergy(NamedTuple):
    """Allergies, and statements that there is none."""

    id: _Id
    person_id: _PersonId
    allergy: Annotated[str | None, Says("key of the allergy; empty: no known allergies", codes="code_allergy.key")]
    recorded: Annotated[Instant, Says("when it was recorded")]
    onset: Annotated[Day | None, Says("day on which it was first seen")]
    reaction: Annotated[str | None, Says("key of the reaction", codes="code_reaction.key")]
    severity: _Severity | None
    criticality: Annotated[str | None, Says("what a next exposure may do", "low | high")]
    role_id: _RoleId | None


class Immunisation(NamedTuple):
    """Vaccinations, given or declined."""

    id: _Id
    person_id: _PersonId
    encounter_id: _EncounterId | None
    vaccine: Annotated[str, Says("key of the vaccine", codes="code_vaccine.key")]
    time: Annotated[Instant, Says("when it was given or declined")]
    dose_number: Annotated[int, Says("which dose of its series it is, from 1")]
    lot: Annotated[str, Says("batch number")]
    expiry: Annotated[Day, Says("expiry date of the batch")]
    organisation_id: Annotated[str, Says("the practice", key="organisation")]
    role_id: _RoleId | None
    given: Annotated[bool, Says("false where it was declined")]


class FamilyHistory(NamedTuple):
    """Illnesses of relatives."""

    id: _Id
    person_id: _PersonId
    relationship: Annotated[str, Says("who had it", "mother | father | brother | sister")]
    condition: Annotated[str, Says("key of the condition", codes="code_condition.key")]
    onset_age: Annotated[int | None, Says("how old the relative was", unit="years")]
    died: Annotated[bool, Says("whether the relative died of it")]
    recorded: Annotated[Instant, Says("when it was recorded")]


class Appointment(NamedTuple):
    """Appointments in hospital."""

    id: _Id
    person_id: _PersonId
    encounter_id: Annotated[
        str | None, Says("what came of it; empty where it lies ahead or was missed", key="encounter")
    ]
    start: Annotated[Instant, Says("when it begins")]
    end: Annotated[Instant, Says("when it ends")]
    booked: Annotated[Instant, Says("when it was made")]
    status: Annotated[str, Says("what became of it", "fulfilled | noshow | booked | cancelled")]
    specialty: _Specialty
    role_id: Annotated[str, Says("with whom", key="practitioner_role")]
    location_id: Annotated[str | None, Says("where", key="location")]
    reason_id: _ReasonId | None


class Flag(NamedTuple):
    """Alerts on a person's record."""

    id: _Id
    person_id: _PersonId
    key: Annotated[str, Says("key of the flag", codes="code_flag.key")]
    start: Annotated[Day, Says("day on which it was set")]
    end: Annotated[Day | None, Says("day on which it was taken away; empty while it stands")]
    role_id: _RoleId | None


TABLES: dict[str, type] = {
    "organisation": Organisation,
    "location": Location,
    "practitioner": Practitioner,
    "practitioner_role": PractitionerRole,
    "healthcare_service": HealthcareService,
    "person": Person,
    "contact": Contact,
    "encounter": Encounter,
    "episode": Episode,
    "condition": Condition,
    "observation": Observation,
    "report": Report,
    "specimen": Specimen,
    "request": Request,
    "procedure": Procedure,
    "medication": Medication,
    "allergy": Allergy,
    "immunisation": Immunisation,
    "family_history": FamilyHistory,
    "appointment": Appointment,
    "flag": Flag,
}

#: Tables of places and staff, which people share; every other table but `person` has a `person_id`.
PLACES: tuple[str, ...] = (
    "organisation",
    "location",
    "practitioner",
    "practitioner_role",
    "healthcare_service",
)

#: Foreign keys: table → {column: table it points into}.
KEYS: dict[str, dict[str, str]] = {
    name: keys
    for name, table in TABLES.items()
    if (keys := {column.name: column.refers_to for column in columns(table) if column.refers_to})
}
