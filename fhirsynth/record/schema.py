"""The linked tables: one class a table, one field a column. Makers write these rows, exporters read them.

Each row is a named tuple; `KEYS` gives the foreign keys (`fhirsynth.record.arrow` the Arrow schemas).
`Day` is days since 1970-01-01 (Arrow date32), `Instant` seconds since 1970-01-01T00:00Z (Arrow
timestamp[s, UTC]; people see them in Europe/London). Ids are UUID texts. `None` means "not recorded".
Codes are kept as keys into the knowledge files (`condition.key`, `medicine`, `observable`, …), national
codes (ethnic category, admission method) as the code itself.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

Day = Annotated[int, "date32"]
Instant = Annotated[int, "timestamp"]


class Organisation(NamedTuple):
    id: str
    ods: str
    name: str
    kind: str  # practice | trust
    region: str
    address: str  # lines joined by "\n"; last line is the town
    postcode: str
    phone: str
    parent_id: str | None


class Location(NamedTuple):
    id: str
    name: str
    kind: str  # site (hospital, ODS site code) | surgery | ward | department | clinic
    ods_site: str | None
    organisation_id: str
    part_of_id: str | None
    address: str
    postcode: str


class Practitioner(NamedTuple):
    id: str
    prefix: str
    given: str
    surname: str
    sex: str
    gmc: str | None  # made up, outside the issued range
    sds: str | None


class PractitionerRole(NamedTuple):
    id: str
    practitioner_id: str
    organisation_id: str
    location_id: str | None
    role: str  # general-practitioner | practice-nurse | consultant | resident-doctor
    specialty: str  # key of specialties.toml ("general-practice" for practices)


class HealthcareService(NamedTuple):
    id: str
    organisation_id: str
    location_id: str
    specialty: str
    name: str
    phone: str


class Person(NamedTuple):
    id: str
    ordinal: int  # position in the population; the dead follow the living of their shard
    nhs_number: str
    sex: str  # female | male
    birth: Day
    death: Instant | None
    prefix: str
    given: str  # given names separated by a space
    surname: str
    previous_surname: str | None
    ethnic_category: str  # NHS code A..S, Z
    marital_status: str | None  # UKCore-PersonMaritalStatusCode; None under 16
    language: str  # BCP 47
    interpreter: bool
    household_id: str
    address: str  # lines joined by "\n"; last line is the town
    postcode: str
    phone: str | None
    mobile: str | None
    email: str | None
    region: str
    imd_decile: int  # 1 most deprived
    household: str  # alone | couple | couple-children | lone-parent | with-parents | shared | care-home
    smoking: str  # never | ex | current
    alcohol: str  # none | low | high (over 14 units a week)
    bmi_class: str  # underweight | normal | overweight | obese
    practice_id: str
    gp_role_id: str


class Contact(NamedTuple):
    """A related person: next of kin, parent, partner. `other_id` where they are in the population too."""

    id: str
    person_id: str
    other_id: str | None
    relationship: str  # spouse | partner | mother | father | daughter | son | sibling | friend
    prefix: str
    given: str
    surname: str
    sex: str
    phone: str
    address: str
    postcode: str
    next_of_kin: bool


class Encounter(NamedTuple):
    id: str
    person_id: str
    #: gp | nurse | telephone | home-visit | emergency | outpatient | inpatient | day-case | immunisation
    kind: str
    start: Instant
    end: Instant
    reason: str | None  # key of a condition, procedure, general reason or vaccine
    reason_kind: str | None  # condition | procedure | general | vaccine
    organisation_id: str
    location_id: str | None
    role_id: str | None  # PractitionerRole who was responsible
    specialty: str
    admission_method: str | None  # NHS Data Dictionary, "21" …
    admission_source: str | None
    discharge_method: str | None
    discharge_destination: str | None
    parent_id: str | None  # the A&E attendance that led to a stay
    episode_id: str | None


class Episode(NamedTuple):
    """An episode of care: one condition followed up in one place over time."""

    id: str
    person_id: str
    condition_id: str
    organisation_id: str
    role_id: str | None
    start: Day
    end: Day | None


class Condition(NamedTuple):
    id: str
    person_id: str
    encounter_id: str | None  # where it was recorded
    key: str
    name: str
    snomed: str
    icd10: str
    onset: Day
    recorded: Instant
    resolved: Day | None
    category: str  # problem | encounter
    rank: int | None  # 1 = primary diagnosis of the stay, 2… = secondary
    side: str | None  # left | right
    severity: str | None  # mild | moderate | severe
    problem_id: str | None  # for a hospital diagnosis: the problem-list row it is about
    role_id: str | None


class Observation(NamedTuple):
    id: str
    person_id: str
    encounter_id: str | None
    observable: str  # "blood-pressure" carries systolic in value, diastolic in value2
    time: Instant
    value: float | None
    value2: float | None
    code: str | None  # SNOMED code of a coded answer
    text: str | None  # its display
    flag: str | None  # H | L | N against the reference range
    report_id: str | None
    role_id: str | None
    purpose: str | None  # admission | review | diagnosis | contact
    method: str | None  # e.g. NEWS2 parts as JSON for derived scores


class Report(NamedTuple):
    """A laboratory report: one panel on one specimen, asked for by one request."""

    id: str
    person_id: str
    encounter_id: str
    panel: str
    specimen_id: str
    request_id: str
    collected: Instant
    issued: Instant
    organisation_id: str  # laboratory's trust
    role_id: str | None


class Specimen(NamedTuple):
    id: str
    person_id: str
    specimen: str  # key of the specimen type
    collected: Instant
    received: Instant
    request_id: str
    accession: str


class Request(NamedTuple):
    id: str
    person_id: str
    encounter_id: str
    kind: str  # laboratory | referral
    what: str  # panel key, or specialty key for a referral
    authored: Instant
    role_id: str
    reason_id: str | None  # condition row
    priority: str  # routine | urgent
    performer_id: str  # organisation


class Procedure(NamedTuple):
    id: str
    person_id: str
    encounter_id: str
    procedure: str
    start: Instant
    end: Instant
    role_id: str | None
    location_id: str | None
    reason_id: str | None
    side: str | None


class Medication(NamedTuple):
    """One order: a course, or a repeat prescription from its first issue to its end."""

    id: str
    person_id: str
    encounter_id: str | None
    medicine: str
    start: Day
    end: Day | None
    authored: Instant
    repeat: bool
    issues: int
    child_dose: bool
    days: int | None  # length of a course
    reason_id: str  # condition row
    stop_reason: str | None
    role_id: str
    setting: str  # community | inpatient | discharge


class Allergy(NamedTuple):
    id: str
    person_id: str
    allergy: str | None  # None: no known allergies
    recorded: Instant
    onset: Day | None
    reaction: str | None
    severity: str | None  # mild | moderate | severe
    criticality: str | None  # low | high
    role_id: str | None


class Immunisation(NamedTuple):
    id: str
    person_id: str
    encounter_id: str | None
    vaccine: str
    time: Instant
    dose_number: int
    lot: str
    expiry: Day
    organisation_id: str
    role_id: str | None
    given: bool  # False: declined


class FamilyHistory(NamedTuple):
    id: str
    person_id: str
    relationship: str  # mother | father | brother | sister
    condition: str
    onset_age: int | None
    died: bool
    recorded: Instant


class Appointment(NamedTuple):
    id: str
    person_id: str
    encounter_id: str | None  # None: booked ahead of the index date, or missed
    start: Instant
    end: Instant
    booked: Instant
    status: str  # fulfilled | noshow | booked | cancelled
    specialty: str
    role_id: str
    location_id: str | None
    reason_id: str | None


class Flag(NamedTuple):
    id: str
    person_id: str
    key: str  # key of flags.toml
    start: Day
    end: Day | None
    role_id: str | None


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
    "location": {"organisation_id": "organisation", "part_of_id": "location"},
    "practitioner_role": {
        "practitioner_id": "practitioner",
        "organisation_id": "organisation",
        "location_id": "location",
    },
    "healthcare_service": {"organisation_id": "organisation", "location_id": "location"},
    "person": {"practice_id": "organisation", "gp_role_id": "practitioner_role"},
    "contact": {"person_id": "person", "other_id": "person"},
    "encounter": {
        "person_id": "person",
        "organisation_id": "organisation",
        "location_id": "location",
        "role_id": "practitioner_role",
        "parent_id": "encounter",
        "episode_id": "episode",
    },
    "episode": {
        "person_id": "person",
        "condition_id": "condition",
        "organisation_id": "organisation",
        "role_id": "practitioner_role",
    },
    "condition": {
        "person_id": "person",
        "encounter_id": "encounter",
        "problem_id": "condition",
        "role_id": "practitioner_role",
    },
    "observation": {
        "person_id": "person",
        "encounter_id": "encounter",
        "report_id": "report",
        "role_id": "practitioner_role",
    },
    "report": {
        "person_id": "person",
        "encounter_id": "encounter",
        "specimen_id": "specimen",
        "request_id": "request",
        "organisation_id": "organisation",
        "role_id": "practitioner_role",
    },
    "specimen": {"person_id": "person", "request_id": "request"},
    "request": {
        "person_id": "person",
        "encounter_id": "encounter",
        "role_id": "practitioner_role",
        "reason_id": "condition",
        "performer_id": "organisation",
    },
    "procedure": {
        "person_id": "person",
        "encounter_id": "encounter",
        "role_id": "practitioner_role",
        "location_id": "location",
        "reason_id": "condition",
    },
    "medication": {
        "person_id": "person",
        "encounter_id": "encounter",
        "reason_id": "condition",
        "role_id": "practitioner_role",
    },
    "allergy": {"person_id": "person", "role_id": "practitioner_role"},
    "immunisation": {
        "person_id": "person",
        "encounter_id": "encounter",
        "organisation_id": "organisation",
        "role_id": "practitioner_role",
    },
    "family_history": {"person_id": "person"},
    "appointment": {
        "person_id": "person",
        "encounter_id": "encounter",
        "role_id": "practitioner_role",
        "location_id": "location",
        "reason_id": "condition",
    },
    "flag": {"person_id": "person", "role_id": "practitioner_role"},
}
