"""Codes of terminologies that no package holds: their form, whether they are known here, and retired code systems."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import Any

from fhirsynth import shipped
from fhirsynth.systems import DMD, ICD10, OPCS4, SNOMED
from fhirsynth.validation.beyond import known_codes, sctid
from fhirsynth.validation.findings import Issue

Judge = Callable[[str], "list[Issue] | None"]

#: Most codes remembered a system, and most systems.
_MOST = 50_000


def check(value: Any) -> list[Issue] | None:
    """The code of a Coding, judged by its system; codes and systems that were judged once are remembered."""
    if type(value) is not dict:
        return None
    system = value.get("system")
    if type(system) is not str:
        return None
    try:
        seen, judge = _systems[system]
    except KeyError:
        seen, judge = _system(system)
    if judge is None:
        return None
    code = value.get("code")
    if type(code) is not str:
        return None
    try:
        return seen[code]
    except KeyError:
        found = judge(code)
        if len(seen) < _MOST:
            seen[code] = found
        return found


_systems: dict[str, tuple[dict[str, list[Issue] | None], Judge | None]] = {}


def _system(system: str) -> tuple[dict[str, list[Issue] | None], Judge | None]:
    judge = _JUDGES.get(system)
    if judge is None and is_retired(system):
        said = [Issue("system", "retired", f"{system}, which is retired", "a code system in use", "warning")]
        judge = _always(said)
    if len(_systems) < _MOST:
        _systems[system] = {}, judge
    return {}, judge


def _always(issues: list[Issue]) -> Judge:
    return lambda code: issues


def snomed(code: str) -> list[Issue] | None:
    """`sctid` [error]: the identifier of a concept, or an expression of such; `code-known` [information].

    Source: SNOMED CT Release File Specification and Compositional Grammar; HL7, "Using SNOMED CT with FHIR", by
    which `Coding.code` is a concept or an expression, and never a description.
    """
    wrong = sctid.expression_fault(code)
    if wrong:
        return [Issue("code", "sctid", f"{code[:60]}, {wrong}", "the identifier of a SNOMED CT concept")]
    return None if code in known_codes.snomed() else _unknown(code)


def dmd(code: str) -> list[Issue] | None:
    """`sctid` [error], `code-known` [information]: a code of dm+d is the identifier of a SNOMED CT concept.

    Source: NHS dictionary of medicines and devices, technical specification.
    """
    wrong = sctid.fault(code)
    if wrong:
        return [Issue("code", "sctid", f"{code[:60]}, {wrong}", "an identifier of dm+d")]
    return None if code in known_codes.snomed() else _unknown(code)


_ICD10 = re.compile(r"[A-Z][0-9]{2}(?:\.?[0-9X][0-9]?)?(?:\.?-)?[AD+*†]?")
_OPCS4 = re.compile(r"[A-HJ-Z][0-9]{2}(?:\.?[0-9])?")


def icd10(code: str) -> list[Issue] | None:
    """`icd10-form` [warning]: a letter, two digits, then up to two more, X as a filler; `code-known` [information].

    Source: ICD-10 5th edition as the NHS uses it (NHS Data Dictionary, ICD-10), with dagger and asterisk as D and A.
    """
    if _ICD10.fullmatch(code) is None:
        return [Issue("code", "icd10-form", repr(code[:40]), "an ICD-10 code such as E11.9", "warning")]
    return None if known_codes.plain_icd10(code) in known_codes.icd10() else _unknown(code)


def opcs4(code: str) -> list[Issue] | None:
    """`opcs4-form` [warning]: a letter but I, two digits, and one more; `code-known` [information].

    Source: OPCS Classification of Interventions and Procedures, version 4 (NHS England).
    """
    if _OPCS4.fullmatch(code) is None:
        return [Issue("code", "opcs4-form", repr(code[:40]), "an OPCS-4 code such as W37.1", "warning")]
    return None if code.replace(".", "") in known_codes.opcs4() else _unknown(code)


def _unknown(code: str) -> list[Issue]:
    said = f"{code[:60]}, which is in none of the lists that come with fhirsynth"
    return [Issue("code", "code-known", said, "", "information")]


_JUDGES: dict[str, Judge] = {
    SNOMED: snomed,
    DMD: dmd,
    f"{DMD}/": dmd,
    ICD10: icd10,
    "http://hl7.org/fhir/sid/icd-10-uk": icd10,
    OPCS4: opcs4,
    "https://fhir.hl7.org.uk/Id/opcs-4": opcs4,
    "https://fhir.nhs.uk/Id/opcs-4": opcs4,
}


def is_retired(system: str) -> bool:
    """`retired` [warning]: whether UK Core (its newest compiled release) or FHIR R4 has retired a code system.

    Retired codes of code systems in use, extensions and profiles are found where the definitions are applied.
    """
    name = system.partition("|")[0].rpartition("/")[2]
    if not _NAME.fullmatch(name):
        return False
    profiles = shipped.folder("profiles")
    for release in ("stu3", "r4", "stu2"):
        file = profiles / release / "code-systems" / f"{name}.toml"
        if file.is_file():
            head = tomllib.loads(file.read_text(encoding="utf-8").partition("\n[codes]")[0])
            if head.get("url") == system.partition("|")[0]:
                return head.get("status") == "retired"
    return False


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}")
