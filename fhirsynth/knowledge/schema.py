"""The form of every knowledge file: what a clinician may write, and what each entry means.

One class a file form. Unknown keys are refused. Figures carry their source in the file, beside the number.
Age-dependent figures are written as three parallel lists (`age`, `female`, `male`): the value at
position *i* holds from `age[i]` up to the next age.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Sex = Literal["female", "male"]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
Snomed = Annotated[str, Field(pattern=r"^\d{6,18}$")]
Icd10 = Annotated[str, Field(pattern=r"^[A-Z]\d\d(\.\d|X)?$")]
Opcs4 = Annotated[str, Field(pattern=r"^[A-Z]\d\d\.\d$")]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ByAge(Form):
    """A figure by age and sex. `female[i]` and `male[i]` hold for ages `age[i]` to `age[i + 1] - 1`."""

    age: list[int]
    female: list[float]
    male: list[float]
    source: str

    @model_validator(mode="after")
    def _parallel(self) -> ByAge:
        if not len(self.age) == len(self.female) == len(self.male):
            raise ValueError("age, female and male must have the same length")
        if self.age != sorted(set(self.age)) or self.age[:1] != [0]:
            raise ValueError("age must start at 0 and rise")
        return self


# --- conditions --------------------------------------------------------------------------------


class Prevalence(Form):
    """The marginal that the population model reproduces: one condition of a published table."""

    table: Literal["kuan"] = "kuan"
    code: str


class Because(Form):
    """A parent in the network: `of` is `habit=state` (`bmi=obese`) or the key of a condition."""

    of: str
    odds_ratio: Positive
    source: str


class Onset(Form):
    """When it may begin: never before this age in years, and after these conditions where present."""

    never_before: int = 0
    after: list[Key] = []


class Shift(Form):
    """What a condition does to a person's own level of an observable.

    `to`: the untreated level is drawn around this value (spread `sd`), `add`: added to the usual level,
    `slope_per_year`: change per year since onset, `at_least_once_above`: the reading at diagnosis is at
    least this high, `at_least_once_below`: at most this low. `diagnostic`: whoever has such a level has the
    condition, so nobody without one of the conditions that say so of the observable usually has it.
    """

    to: float | None = None
    sd: float | None = None
    add: float = 0.0
    slope_per_year: float = 0.0
    at_least_once_above: float | None = None
    at_least_once_below: float | None = None
    diagnostic: bool = False


class Monitoring(Form):
    """What is looked at, where and how often. `what`: keys of observables, panels or procedures."""

    what: list[Key]
    where: Literal["gp", "outpatient"] = "gp"
    every_months: Positive
    spread: Share = 0.2


class Treatment(Form):
    """One step of treatment, or for an episode one choice of course.

    `medicine`: alternatives, chosen by `shares` (equal if absent), the next one where the first is
    blocked (allergy to its class, `blocked_by`). `share`: who of those with the condition gets this step.
    `after_years`, `until_years`: earliest start and end, in years since onset. `when`: a level that must
    hold (`hba1c>58`).
    `days`: length of a course; absent means long-term. `where`: where an episode's course is given; a step of a
    long-term condition that says `hospital` is begun by a specialist at a clinic, and may be gone on with elsewhere.
    `effect`: change of the person's level of an observable once established.
    """

    step: int = 1
    medicine: list[Key]
    shares: list[Share] = []
    share: Share = 1.0
    when: str | None = None
    after_years: float = 0.0
    until_years: Positive | None = None
    days: int | None = None
    where: Literal["any", "gp", "hospital"] = "any"
    blocked_by: list[str] = []
    effect: dict[Key, float] = {}
    min_age: int = 0
    max_age: int = 120

    @model_validator(mode="after")
    def _shares_fit(self) -> Treatment:
        if self.shares and len(self.shares) != len(self.medicine):
            raise ValueError("shares must be as many as medicine")
        return self


class Stage(Form):
    """A more exact code that replaces the condition's own while `when` holds (`egfr<30`)."""

    when: str
    name: str
    snomed: Snomed
    icd10: Icd10


class Outpatient(Form):
    """Follow-up in a specialty's clinic: attendances a year by those with the condition."""

    specialty: Key
    per_year: Positive
    share: Share = 1.0


class Risk(Form):
    """Who gets an episode more often: rate ratio for those with a condition or a habit state."""

    of: str
    rate_ratio: Positive
    source: str


class ProcedureShare(Form):
    procedure: Key
    share: Share = 1.0


class Stay(Form):
    """A hospital stay for this diagnosis. Rates by age and length come from the HES table.

    `hes_groups`: rows of `hes_primary_diagnosis_summary` that it stands for.
    `admission`: emergency, elective (waiting list), planned, or maternity.
    `day_case`: share without a night (elective). `mortality`: share that dies in hospital (adults).
    `cycles`: as many stays follow one another every `cycle_days` days (chemotherapy); the rate counts each.
    """

    hes_groups: list[str]
    share_of_groups: Share = 1.0
    admission: Literal["emergency", "elective", "planned", "maternity"]
    specialty: Key
    day_case: Share = 0.0
    mortality: Share = 0.0
    procedures: list[ProcedureShare] = []
    median_days: Positive
    cycles: Annotated[int, Field(ge=1)] = 1
    cycle_days: Annotated[int, Field(ge=1)] = 21
    source: str


class Follows(Form):
    """What an episode is a complication of: stays for one of `after`, and it never comes without one.

    Shares of those stays after which it comes, the first to the last of `days` after going home: `seen` at the
    practice, `emergency` at the department and home again, `admitted`; `risk` raises each.
    """

    after: list[Key]
    days: tuple[int, int]
    seen: Share = 0.0
    emergency: Share = 0.0
    admitted: Share = 0.0
    source: str


class Words(Form):
    """What letters may call it (`letter`), and how it is put to the patient (`patient`)."""

    letter: list[str]
    patient: str


class Condition(Form):
    """One condition: a long-term illness of the network, or an episode that starts and ends.

    `long-term` needs `prevalence`; `episode` needs `incidence` (GP presentations per 1,000
    person-years), `emergency` (A&E attendances per 1,000 person-years that are not admitted) or `stay`.
    Rates do not count where `follows` says what it comes after. `elective` episodes are planned treatment; `needs`
    names the condition or conditions (one of them) that a person must have; `laterality` gives the side.
    """

    key: Key
    name: str
    snomed: Snomed
    icd10: Icd10
    kind: Literal["long-term", "episode", "elective"]
    sex: Sex | None = None
    min_age: int = 0
    max_age: int = 120
    source: str

    # long-term
    prevalence: Prevalence | None = None
    because: list[Because] = []
    onset: Onset = Onset()
    monitoring: list[Monitoring] = []
    outpatient: list[Outpatient] = []
    stages: list[Stage] = []
    hazard_ratio: Positive = 1.0
    cause_of_death: float = 0.0
    family_history: Share = 0.0
    procedures: list[ProcedureShare] = []

    # episodes
    incidence: ByAge | None = None
    emergency: ByAge | None = None
    stay: Stay | None = None
    follows: Follows | None = None
    risk: list[Risk] = []
    needs: list[Key] = []
    duration_days: Positive = 10
    min_gap_days: int = 28
    laterality: bool = False
    tests: list[Key] = []
    winter: Positive = 1.0

    # both
    shifts: dict[Key, Shift] = {}
    treatment: list[Treatment] = []
    words: Words

    @model_validator(mode="after")
    def _kind_is_complete(self) -> Condition:
        if self.kind == "long-term" and self.prevalence is None:
            raise ValueError("a long-term condition needs [prevalence]")
        if self.kind != "long-term" and not (self.incidence or self.emergency or self.stay):
            raise ValueError("an episode needs [incidence], [emergency] or [stay]")
        return self


# --- medicines ---------------------------------------------------------------------------------


class FirstDay(Form):
    """What is taken on the first day of a course, where that is another dose: its words, and units in all."""

    text: str
    quantity: Positive


class Dose(Form):
    """A dose as structure and as a prescriber writes it.

    `text` never says how long: the days of an order are put to it (`fhirsynth.knowledge.dosing`).
    `amount` `unit` each time; `per_day` times a day (0.14286 = weekly); `prn` when required.
    `quantity`: units in one issue of a repeat prescription, or at most in 28 days of what is taken when needed.
    `pack`: units that are only handed out together (a bottle, an inhaler). `lasts`: days of one issue, where
    they are not what the dose makes of the quantity (eye drops are thrown away four weeks after opening).
    `first_day`: another dose on the first day of a course.
    """

    text: str
    amount: Positive
    unit: str
    per_day: Positive
    prn: bool = False
    quantity: Positive
    pack: Positive = 1
    lasts: Annotated[int, Field(ge=1)] | None = None
    first_day: FirstDay | None = None


class Medicine(Form):
    """One dm+d product (VMP) with the dose it is usually given in.

    `blocked_by`: what stands against it (`fhirsynth.knowledge.expressions`). `taking:<class>` is told of the medicine
    that gives way: it is not begun beside that class, and stopped where one of that class is begun; where each tells it
    of the other, whichever was first stays. `since`: the year in which it was authorised.
    """

    key: Key
    name: str
    vmp: Snomed
    vtm: Snomed
    vtm_name: str
    classes: list[Key]
    form: str
    form_code: Snomed
    route: str
    route_code: Snomed
    dose: Dose
    child_dose: Dose | None = None
    blocked_by: list[str] = []
    since: Annotated[int, Field(ge=1900)] | None = None
    source: str


# --- allergies ---------------------------------------------------------------------------------


class Allergy(Form):
    """A recorded allergy: the coded finding or substance, its share of people, what it rules out."""

    key: Key
    name: str
    snomed: Snomed
    category: Literal["medication", "food", "environment", "biologic"]
    share: Share
    blocks: list[Key] = []
    reactions: list[str]
    source: str


class Reaction(Form):
    key: Key
    name: str
    snomed: Snomed
    severe: bool = False


# --- observables -------------------------------------------------------------------------------


class Range(Form):
    """Reference range of a laboratory, in the observable's unit."""

    low: float | None = None
    high: float | None = None


class Level(Form):
    """A person's own usual level: mean and between-person spread by age and sex, day-to-day spread.

    The means at the ages `age` (years; fractions where growth is fast) are joined by straight lines, flat
    beyond the ends. With `log`, `female` and `male` are medians, and `sd` and `daily_sd` are on the scale of
    natural logarithms; otherwise all are in the observable's unit.
    """

    age: list[float]
    female: list[float]
    male: list[float]
    sd: Positive
    daily_sd: Positive
    log: bool = False
    floor: float
    ceiling: float
    source: str

    @model_validator(mode="after")
    def _parallel(self) -> Level:
        if not len(self.age) == len(self.female) == len(self.male) > 0:
            raise ValueError("age, female and male must have the same length")
        if self.age != sorted(set(self.age)):
            raise ValueError("age must rise")
        return self


class Answer(Form):
    """A coded answer: what an observable such as ACVPU or smoking status can say."""

    name: str
    snomed: Snomed


class Observable(Form):
    """Something measured: codes, unit, range, decimals, usual level.

    `dying`: what is added to it on the last day of an illness that kills; of `acvpu` the chance of confusion.
    `answers`: for coded observables, state (`never`, `ex`, `current`; `alert`, `confusion`, …) to its code. `air`: what
    inspired oxygen is called up to the 21 % of room air.
    `specimen`: for laboratory tests that are asked for alone, the key of the sample's kind.

    `group`: `vital-sign`, `laboratory`, `lifestyle`, `score`. `derived`: computed from others by the
    engine's named formula (`bmi`, `egfr-ckd-epi-2009`, `news2`, `non-hdl`,
    `white-cells-less-lymphocytes`), so it has no level.
    """

    key: Key
    name: str
    snomed: Snomed
    loinc: str | None = None
    unit: str | None = None
    ucum: str | None = None
    decimals: int = 0
    group: Literal["vital-sign", "laboratory", "lifestyle", "score"]
    range: Range | None = None
    range_female: Range | None = None
    range_male: Range | None = None
    level: Level | None = None
    dying: float = 0.0
    derived: str | None = None
    answers: dict[str, Answer] = {}
    air: Answer | None = None
    specimen: Key | None = None
    min_age: int = 0
    profile: str | None = None
    source: str


class Panel(Form):
    """A group of laboratory tests that are asked for and reported together."""

    key: Key
    name: str
    snomed: Snomed
    members: list[Key]
    specimen: Key
    department: Key = "blood-sciences"


class Specimen(Form):
    key: Key
    name: str
    snomed: Snomed


# --- procedures, immunisations, contacts ---------------------------------------------------------


class Procedure(Form):
    """Something done to a person. `where`: at the practice, at an outpatient clinic, in hospital, or anywhere."""

    key: Key
    name: str
    snomed: Snomed
    opcs4: Opcs4 | None = None
    where: Literal["gp", "outpatient", "hospital", "any"] = "any"
    laterality: bool = False
    source: str


class Vaccine(Form):
    """One vaccine of the UK schedule and who is offered which dose when.

    Each dose: `at_weeks` or `at_years` of age, or `yearly_from` an age (in `months`), coverage as a
    share, `born_from`/`born_to` (ISO dates) for programmes that began or ended with a birth cohort,
    `since` for the first calendar date on which it was given, `conditions`: also offered to those with.
    `after_weeks`: weeks that lie at least between it and the dose before.
    """

    key: Key
    name: str
    snomed: Snomed
    procedure: Snomed
    procedure_name: str
    diseases: dict[str, Snomed]
    route: str
    route_code: Snomed
    site: str
    site_code: Snomed
    doses: list[VaccineDose]
    where: Literal["gp", "school", "pharmacy"] = "gp"
    source: str


class VaccineDose(Form):
    number: int
    at_weeks: float | None = None
    at_years: float | None = None
    yearly_from: int | None = None
    yearly_to: int = 120
    months: list[int] = []
    coverage: Share
    sex: Sex | None = None
    born_from: str | None = None
    born_to: str | None = None
    since: str | None = None
    until: str | None = None
    conditions: list[Key] = []
    after_weeks: Annotated[float, Field(ge=0)] = 0


class Specialty(Form):
    """A hospital specialty: treatment function code of the NHS Data Dictionary and how it is called."""

    key: Key
    name: str
    code: str
    title: str
    ward: str | None = None
    outpatient_weight: Annotated[float, Field(ge=0)] = 0.0
    sex: Sex | None = None
    min_age: int = 0
    max_age: int = 120


class GeneralReason(Form):
    """Why people see a GP when no condition file says so: weight by age and sex, coded.

    `min_gap_days`: how long until the same person comes for it again. `refers`: the specialties to which it may lead
    to a referral; absent, any.
    """

    key: Key
    name: str
    snomed: Snomed
    weight: ByAge
    mode: Literal["any", "telephone", "home"] = "any"
    min_gap_days: int = 21
    procedures: list[Key] = []
    observables: list[Key] = []
    refers: list[Key] | None = None


class Flag(Form):
    """An alert on a record: everyone for whom all of `when` holds (and who needs an interpreter, where
    `interpreter` is set) has it with probability `share`."""

    key: Key
    name: str
    snomed: Snomed
    when: list[str] = []
    interpreter: bool = False
    share: Share
    source: str


Vaccine.model_rebuild()
