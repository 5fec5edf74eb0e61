"""Codes against the value sets they are bound to.

FHIR asks of a CodeableConcept that one of its codings is in the set. Sets that lean on SNOMED CT, dm+d or another
terminology that no package holds cannot be decided here: what they leave open is let pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fhirsynth.validation.engine.elements import Binding
from fhirsynth.validation.engine.library import CodeSystem, Library, ValueSet
from fhirsynth.validation.findings import Issue

Check = Callable[..., "list[Issue] | None"]

#: RFC 5646: language, extended language, script, region, variants, extensions, private use.
_LANGUAGE = re.compile(
    r"(([a-z]{2,3}(-[a-z]{3}){0,3}|[a-z]{5,8})(-[a-z]{4})?(-([a-z]{2}|\d{3}))?(-([a-z0-9]{5,8}|\d[a-z0-9]{3}))*"
    r"(-[a-wyz0-9](-[a-z0-9]{2,8})+)*(-x(-[a-z0-9]{1,8})+)?|x(-[a-z0-9]{1,8})+)",
    re.IGNORECASE,
)
_MIME_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+*-]+(\s*;.*)?")
#: Most codes remembered as good.
_MOST = 20_000
#: Systems whose codes are told by their form.
_BY_FORM = {"urn:ietf:bcp:47": _LANGUAGE, "urn:ietf:bcp:13": _MIME_TYPE}


def contains(values: ValueSet, system: str | None, code: str) -> bool | None:
    """Whether a code is in a set; systems such as language tags are judged by form; None where it stays open."""
    held = values.holds(system, code)
    if held is None and system in _BY_FORM:
        return _BY_FORM[system].fullmatch(code) is not None
    return held


def checkers(kind: str, binding: Binding, library: Library) -> list[Check]:
    """What checks a value of type `kind` against its binding: none where nothing can be decided or is asked."""
    found: list[Check] = []
    asked = []
    if binding.value_set and binding.strength in ("required", "extensible"):
        asked.append((binding.value_set, binding.strength == "required"))
    if binding.max_value_set:
        asked.append((binding.max_value_set, True))
    for url, required in asked:
        values = library.value_set(url)
        if values is not None and (check := _checker(kind, values, required)):
            found.append(check)
    return found


def _checker(kind: str, values: ValueSet, required: bool) -> Check | None:
    match kind:
        case "code" | "string" | "uri" | "url" | "canonical":
            return _code(values, required)
        case "Coding":
            return _coding(values, required)
        case "CodeableConcept":
            return _concept(values, required)
        case "Quantity" | "Age" | "Duration" | "Distance" | "Count" | "Money":
            return _quantity(values, required)
    return None


def coding_check(library: Library) -> Check:
    """What checks any Coding, bound or not: a code of a system whose codes are all known must be one of them."""
    good: set[tuple[str, str]] = set()

    def check(value: Any, holder: Any = None, scope: Any = None) -> list[Issue] | None:
        system, code = value.get("system"), value.get("code")
        if type(system) is not str or not (code is None or type(code) is str) or (system, code) in good:
            return None
        codes = library.code_system(system.partition("|")[0])
        if codes is not None and codes.codes:
            if code is None:
                return [Issue("code", "code-unknown", "nothing", f"a code of {system}")]
            if code not in codes.codes and (codes.case_sensitive or not _alike(code, codes)):
                return [Issue("code", "code-unknown", repr(code), f"a code of {system}")]
            if code in codes.retired:
                return [Issue("code", "retired", f"{system}|{code}, which is retired", "a code in use", "warning")]
        if code is not None and len(good) < _MOST:
            good.add((system, code))
        return None

    return check


def _alike(code: str, codes: CodeSystem) -> bool:
    return any(code.casefold() == other.casefold() for other in codes.codes)


def _severity(required: bool) -> Any:
    return "error" if required else "warning"


def _code(values: ValueSet, required: bool) -> Check | None:
    allowed = frozenset(code for codes in values.codes.values() for code in codes)
    forms = [_BY_FORM[system] for system in values.open if system in _BY_FORM]
    if values.open - _BY_FORM.keys():  # the code of a system that is not listed
        return None
    expected = f"a code of {values.url}"
    severity = _severity(required)

    def check(value: Any, holder: Any = None, scope: Any = None) -> list[Issue] | None:
        if type(value) is not str or value in allowed or any(form.fullmatch(value) for form in forms):
            return None
        return [Issue("", "binding", repr(value), expected, severity)]

    return check


def _coding(values: ValueSet, required: bool) -> Check:
    expected, severity = f"a code of {values.url}", _severity(required)

    def check(value: Any, holder: Any = None, scope: Any = None) -> list[Issue] | None:
        system, code = value.get("system"), value.get("code")
        if type(code) is not str or not (system is None or type(system) is str):
            return None if code is not None or not required else [Issue("", "binding", "no code", expected, severity)]
        if contains(values, system, code) is False:
            return [Issue("", "binding", f"{system}|{code}", expected, severity)]
        return None

    return check


def _concept(values: ValueSet, required: bool) -> Check:
    expected, severity = f"a code of {values.url}", _severity(required)
    good: set[tuple[Any, Any]] = set()

    def check(value: Any, holder: Any = None, scope: Any = None) -> list[Issue] | None:
        codings = value.get("coding")
        if type(codings) is not list:
            return [Issue("", "binding", "no code", expected, severity)] if codings is None and required else None
        seen = []
        for coding in codings:
            if type(coding) is not dict:
                return None
            system, code = coding.get("system"), coding.get("code")
            if type(code) is not str or not (system is None or type(system) is str):
                continue
            if (system, code) in good or contains(values, system, code) is not False:
                if len(good) < _MOST:
                    good.add((system, code))
                return None
            seen.append(f"{system}|{code}")
        if not seen and not required:
            return None
        return [Issue("", "binding", ", ".join(seen) or "no code", expected, severity)]

    return check


def _quantity(values: ValueSet, required: bool) -> Check:
    coding = _coding(values, required)

    def check(value: Any, holder: Any = None, scope: Any = None) -> list[Issue] | None:
        return coding(value) if "code" in value else None

    return check
