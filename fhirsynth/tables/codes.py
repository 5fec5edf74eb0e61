"""Code lists: what the keys and national codes that stand in the record's tables mean, by name and in other codes.

One class a list, one field a column, as in `fhirsynth.record.schema`; a column there names its list
(`Says("key of the medicine", codes="code_medicine.key")`). The rows come from the knowledge files, those of national
codes from the tables of `fhirsynth.fhir`. A list holds all that there is, whether or not anybody has it: it does not
depend on the population.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from fhirsynth.fhir.codes import load_codes
from fhirsynth.knowledge.units import written
from fhirsynth.population import REGIONS
from fhirsynth.record.columns import Says
from fhirsynth.systems import DMD, ICD10, LOINC, OPCS4, SNOMED

if TYPE_CHECKING:
    from fhirsynth.knowledge import Knowledge

_Key = Annotated[str, Says("the key")]
_Name = Annotated[str, Says("its name")]
_Snomed = Annotated[str, Says(f"SNOMED CT code ({SNOMED})")]


class Condition(NamedTuple):
    """Conditions. The table `condition` has the name and codes of the stage, where a condition has stages."""

    key: _Key
    name: _Name
    snomed: _Snomed
    icd10: Annotated[str, Says(f"ICD-10 code ({ICD10})")]


class Medicine(NamedTuple):
    """Medicines: products as they are prescribed, without a brand."""

    key: _Key
    name: _Name
    vmp: Annotated[str, Says(f"dm+d code of the product, VMP ({DMD})")]
    vtm: Annotated[str, Says(f"dm+d code of the substance, VTM ({DMD})")]
    vtm_name: Annotated[str, Says("name of the substance")]


class Procedure(NamedTuple):
    """Operations, examinations, screening and counselling."""

    key: _Key
    name: _Name
    snomed: _Snomed
    opcs4: Annotated[str | None, Says(f"OPCS-4 code, where it has one ({OPCS4})")]


class Vaccine(NamedTuple):
    """Vaccines, and the procedures that giving them is recorded as."""

    key: _Key
    name: _Name
    dmd: Annotated[str, Says(f"dm+d code of the product ({DMD})")]
    procedure: Annotated[str, Says(f"SNOMED CT code of its administration ({SNOMED})")]
    procedure_name: Annotated[str, Says("name of its administration")]


class Allergy(NamedTuple):
    """Allergies."""

    key: _Key
    name: _Name
    snomed: _Snomed
    category: Annotated[str, Says("what kind of thing it is to", "medication | food | environment | biologic")]


class Observable(NamedTuple):
    """What is measured or asked, and in which unit its values are."""

    key: _Key
    name: _Name
    unit: Annotated[str | None, Says("the unit of its values as it is written; empty where there is none")]
    ucum: Annotated[str | None, Says("UCUM code of the unit")]
    decimals: Annotated[int, Says("decimals of its values")]
    snomed: _Snomed
    loinc: Annotated[str | None, Says(f"LOINC code of vital signs ({LOINC})")]


class Concept(NamedTuple):
    """A list whose keys have a SNOMED CT code and no other."""

    key: _Key
    name: _Name
    snomed: _Snomed


class Reaction(Concept):
    """What an allergy does."""


class Panel(Concept):
    """What a laboratory is asked for: panels of tests, and tests that are asked for alone."""


class Specimen(Concept):
    """Kinds of specimen."""


class Flag(Concept):
    """Alerts on a person's record."""


class Reason(NamedTuple):
    """What people are seen for: conditions, procedures, vaccines (as their administration), and general reasons."""

    kind: Annotated[str, Says("of what it is the key", "condition | procedure | general | vaccine")]
    key: _Key
    name: _Name
    snomed: _Snomed


class Request(NamedTuple):
    """What is asked for: laboratory tests, and specialties as referrals to them."""

    kind: Annotated[str, Says("what is asked for", "laboratory | referral")]
    key: _Key
    name: _Name
    snomed: _Snomed


class Specialty(NamedTuple):
    """Specialties of hospitals, and general practice."""

    key: _Key
    name: _Name
    treatment_function: Annotated[str, Says("treatment function code of the NHS Data Dictionary")]


class Region(NamedTuple):
    """The regions of England."""

    key: _Key
    name: _Name


class National(NamedTuple):
    """A list whose keys are national codes."""

    key: Annotated[str, Says("what stands in the record")]
    name: Annotated[str, Says("what it means")]
    system: Annotated[str, Says("the code system of the code, as FHIR names it")]
    code: Annotated[str, Says("the code")]


class EthnicCategory(National):
    """Ethnic categories."""


class MaritalStatus(National):
    """Marital statuses."""


class AdmissionMethod(National):
    """How people were admitted."""


class AdmissionSource(National):
    """Where people were before they were admitted."""


class DischargeMethod(National):
    """How stays ended, in the codes of the NHS Data Dictionary; how emergency attendances ended, in SNOMED CT."""


class DischargeDestination(National):
    """Where people went after a stay."""


class CodeList(NamedTuple):
    """A code list: the class of its rows, how they are made, and the columns that tell them apart."""

    table: type
    made: Callable[[Knowledge], Iterable[tuple[Any, ...]]]
    primary: tuple[str, ...] = ("key",)

    def rows(self, knowledge: Knowledge) -> list[tuple[Any, ...]]:
        """Its rows, in the order of their keys."""
        return sorted(self.made(knowledge), key=attrgetter(*self.primary))


def _observables(knowledge: Knowledge) -> Iterable[Observable]:
    for key, item in knowledge.observables.items():
        unit = item.unit or written(item.ucum) or None
        yield Observable(key, item.name, unit, item.ucum, item.decimals, item.snomed, item.loinc)


def _panels(knowledge: Knowledge) -> Iterable[Panel]:
    for key, panel in knowledge.panels.items():
        yield Panel(key, panel.name, panel.snomed)
    for key, test in knowledge.observables.items():
        if test.group == "laboratory" and key not in knowledge.panels:
            yield Panel(key, test.name, test.snomed)


def _reasons(knowledge: Knowledge) -> Iterable[Reason]:
    kinds: dict[str, Mapping[str, Any]] = {
        "condition": knowledge.conditions,
        "procedure": knowledge.procedures,
        "general": knowledge.general_reasons,
    }
    for kind, items in kinds.items():
        for key, item in items.items():
            yield Reason(kind, key, item.name, item.snomed)
    for key, vaccine in knowledge.vaccines.items():
        yield Reason("vaccine", key, vaccine.procedure_name, vaccine.procedure)


def _requests(knowledge: Knowledge) -> Iterable[Request]:
    for item in _panels(knowledge):
        yield Request("laboratory", *item)
    for key, concept in load_codes().words["referral"].items():
        coding = concept["coding"][0]
        yield Request("referral", key, coding["display"], coding["code"])


def _concepts(made: type[Concept], items: Mapping[str, Any]) -> Iterable[Concept]:
    return (made(key, item.name, item.snomed) for key, item in items.items())


def _national(made: type[National], *names: str) -> Iterable[National]:
    codes = load_codes()
    for name in names:
        for key, concept in (codes.national.get(name) or codes.words[name]).items():
            coding = concept["coding"][0]
            yield made(key, coding["display"], coding["system"], coding["code"])


#: The code lists, by the names of their files.
LISTS: dict[str, CodeList] = {
    "code_condition": CodeList(
        Condition, lambda known: (Condition(key, i.name, i.snomed, i.icd10) for key, i in known.conditions.items())
    ),
    "code_medicine": CodeList(
        Medicine, lambda known: (Medicine(key, i.name, i.vmp, i.vtm, i.vtm_name) for key, i in known.medicines.items())
    ),
    "code_procedure": CodeList(
        Procedure, lambda known: (Procedure(key, i.name, i.snomed, i.opcs4) for key, i in known.procedures.items())
    ),
    "code_vaccine": CodeList(
        Vaccine,
        lambda known: (
            Vaccine(key, i.name, i.snomed, i.procedure, i.procedure_name) for key, i in known.vaccines.items()
        ),
    ),
    "code_allergy": CodeList(
        Allergy, lambda known: (Allergy(key, i.name, i.snomed, i.category) for key, i in known.allergies.items())
    ),
    "code_reaction": CodeList(Reaction, lambda known: _concepts(Reaction, known.reactions)),
    "code_observable": CodeList(Observable, _observables),
    "code_panel": CodeList(Panel, _panels),
    "code_specimen": CodeList(Specimen, lambda known: _concepts(Specimen, known.specimens)),
    "code_flag": CodeList(Flag, lambda known: _concepts(Flag, known.flags)),
    "code_reason": CodeList(Reason, _reasons, ("kind", "key")),
    "code_request": CodeList(Request, _requests, ("kind", "key")),
    "code_specialty": CodeList(
        Specialty, lambda known: (Specialty(key, i.name, i.code) for key, i in known.specialties.items())
    ),
    "code_region": CodeList(Region, lambda _: (Region(*item) for item in REGIONS.items())),
    "code_ethnic_category": CodeList(EthnicCategory, lambda _: _national(EthnicCategory, "ethnic-category")),
    "code_marital_status": CodeList(MaritalStatus, lambda _: _national(MaritalStatus, "marital-status")),
    "code_admission_method": CodeList(AdmissionMethod, lambda _: _national(AdmissionMethod, "admission-method")),
    "code_admission_source": CodeList(AdmissionSource, lambda _: _national(AdmissionSource, "admission-source")),
    "code_discharge_method": CodeList(
        DischargeMethod, lambda _: _national(DischargeMethod, "discharge-method", "emergency-discharge")
    ),
    "code_discharge_destination": CodeList(
        DischargeDestination, lambda _: _national(DischargeDestination, "discharge-destination")
    ),
}
