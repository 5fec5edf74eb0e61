"""What all resources of a run share: the date they are told at, the caches of codes, and of references.

`Context` is built once a process from the knowledge and the index date; `Scope` once a person.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from fhirsynth.days import day_of
from fhirsynth.fhir import civil
from fhirsynth.fhir.codes import load_codes
from fhirsynth.fhir.elements import UK_CORE, Json, coding, concept
from fhirsynth.systems import DMD, OPCS4, SNOMED

if TYPE_CHECKING:
    from fhirsynth.fhir.observation import Form
    from fhirsynth.knowledge import Knowledge
    from fhirsynth.record.schema import Condition, Person

#: Where the resources say that they live; `.example` is a reserved name (RFC 2606).
BASE_URL = "https://fhirsynth.example/fhir"

_TEST_DATA = [coding("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST", "test health data")]


class _Meta(dict[str, Json]):
    """`meta` by name of profile: the profile without a version, and the label of test data."""

    def __missing__(self, profile: str) -> Json:
        meta = self[profile] = {"profile": [UK_CORE + profile], "security": _TEST_DATA}
        return meta


class References(dict[str, Json]):
    """References to resources of one type, by id."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._prefix = kind + "/"

    def __missing__(self, key: str) -> Json:
        reference = self[key] = {"reference": self._prefix + key}
        return reference


class _Times(dict[int, str]):
    """Local date-times by instant."""

    def __missing__(self, instant: int) -> str:
        text = self[instant] = civil.date_time(instant)
        return text


class Context:
    """Everything that the builders need beside a row.

    `index`: the date the record is told at; what ends later is still going on. `medication_system`: the
    system of dm+d codes, `https://dmd.nhs.uk` (UK Core) or `http://snomed.info/sct` (some live NHS APIs).
    `base_url`: start of every `fullUrl`.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        *,
        index: dt.date,
        medication_system: str = DMD,
        base_url: str = BASE_URL,
    ) -> None:
        # The modules of these two forms need `Context` for their types.
        from fhirsynth.fhir.medication import Products
        from fhirsynth.fhir.observation import forms

        self.knowledge = knowledge
        self.codes = load_codes()
        self.medication_system = medication_system
        self.base_url = base_url.rstrip("/")
        self.id_system = self.base_url.rsplit("/", 1)[0] + "/Id/"
        self.index_day = day_of(index)
        self.index = civil.local_midnight(self.index_day)
        self.index_time = civil.date_time(self.index)

        self.meta = _Meta()
        self.roles = References("PractitionerRole")
        self.organisations = References("Organization")
        self.locations = References("Location")

        self.conditions = {key: concept(SNOMED, item.snomed, item.name) for key, item in knowledge.conditions.items()}
        self.procedures: dict[str, Json] = {}
        for key, procedure in knowledge.procedures.items():
            codings = [coding(SNOMED, procedure.snomed, procedure.name)]
            if procedure.opcs4:
                codings.append(coding(OPCS4, procedure.opcs4))
            self.procedures[key] = {"coding": codings, "text": procedure.name}
        #: CodeableConcepts of why somebody was seen: kind of reason → key.
        self.reasons: dict[str, dict[str, Json]] = {
            "condition": self.conditions,
            "procedure": {key: concept(SNOMED, item.snomed, item.name) for key, item in knowledge.procedures.items()},
            "general": {
                key: concept(SNOMED, item.snomed, item.name) for key, item in knowledge.general_reasons.items()
            },
            "vaccine": {
                key: concept(SNOMED, item.procedure, item.procedure_name) for key, item in knowledge.vaccines.items()
            },
        }
        self.practice_settings = {key: self._practice_setting(key) for key in knowledge.specialties}
        self.condition_codes: dict[tuple[str, str, str, str, str | None], Json] = {}
        self.answers: dict[str, Json] = {}
        self.forms: dict[str, Form] = forms(self)
        self.products = Products(self)

    def _practice_setting(self, specialty: str) -> Json:
        """A specialty by its main specialty code, its own name as text; without a code by name."""
        known = self.knowledge.specialties[specialty]
        code = self.codes.main_specialty.get(known.code, known.code)
        found = self.codes.national["practice-setting"].get(code, {})
        return {**found, "text": known.name}

    def answer(self, code: str, text: str | None) -> Json:
        """The CodeableConcept of a coded answer."""
        found = self.answers.get(code)
        if found is None:
            found = self.answers[code] = {"coding": [coding(SNOMED, code, text)]}
        return found


class Scope:
    """What the resources of one person share: references, and rows found by what they belong to."""

    __slots__ = (
        "appointments",
        "conditions",
        "diagnoses",
        "encounters",
        "episodes",
        "patient",
        "person",
        "practice",
        "reports",
        "requests",
        "results",
        "specimens",
        "times",
    )

    def __init__(self, person: Person, context: Context) -> None:
        self.person = person
        self.patient: Json = {"reference": "Patient/" + person.id}
        self.practice = context.organisations[person.practice_id]
        self.encounters = References("Encounter")
        self.episodes = References("EpisodeOfCare")
        self.conditions = References("Condition")
        self.specimens = References("Specimen")
        self.requests = References("ServiceRequest")
        self.times = _Times()
        #: Conditions recorded at each encounter.
        self.diagnoses: dict[str, list[Condition]] = {}
        #: References to the appointments that were kept, by encounter.
        self.appointments: dict[str, list[Json]] = {}
        #: What the observations of a report say of it, by report.
        self.reports: dict[str, Json] = {}
        #: References to the observations of each report.
        self.results: dict[str, list[Json]] = {}


def group(rows: list[Any], column: str) -> dict[str, list[Any]]:
    """Rows by the value of a column; rows without one left out."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        key = getattr(row, column)
        if key is not None:
            found.setdefault(key, []).append(row)
    return found
