"""Codes of SNOMED CT, dm+d, ICD-10 and OPCS-4 that this package has verified: its knowledge, and UK Core's lists.

No package of UK Core holds these terminologies, so a code that is not here may well be right.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import BaseModel

from fhirsynth import shipped
from fhirsynth.systems import DMD, SNOMED
from fhirsynth.validation.beyond import sctid

_SECTION = re.compile(rf'^\[codes\."(?:{re.escape(SNOMED)}|{re.escape(DMD)})"\]\n', re.MULTILINE)


@cache
def snomed() -> frozenset[str]:
    """Codes of SNOMED CT and dm+d (whose codes are SNOMED CT's): of the knowledge files, of the alerts that only the
    named people have, and of the value sets."""
    from fhirsynth.fhir.codes import read_toml
    from fhirsynth.letters.plan import headings

    ours = [read_toml(name) for name in ("codes.toml", "observations.toml", "documents.toml")]
    # Read as text: the package of the named people would bring all that makes people with it.
    cases = files("fhirsynth").joinpath("named", "cases.toml").read_text(encoding="utf-8")
    ours.append(tomllib.loads(cases)["flags"])
    texts = {text for _, text in _texts("", [*_forms(), *ours])} | {heading.snomed for heading in headings()}
    found = {text for text in texts if text.isdigit() and not sctid.fault(text)}
    for file in shipped.folder("profiles").glob("*/value-sets/*.toml"):
        found.update(_listed(file.read_text(encoding="utf-8")))
    return frozenset(found)


@cache
def icd10() -> frozenset[str]:
    """Codes of ICD-10 of the knowledge files, in the form of `plain_icd10`."""
    return frozenset(plain_icd10(text) for key, text in _texts("", _forms()) if key == "icd10")


@cache
def opcs4() -> frozenset[str]:
    """Codes of OPCS-4 of the knowledge files, without the dot."""
    return frozenset(text.replace(".", "") for key, text in _texts("", _forms()) if key == "opcs4")


def plain_icd10(code: str) -> str:
    """An ICD-10 code without dot, filling X, dagger and asterisk: I10 for I10.X, E103 for E10.3D."""
    return code.replace(".", "").rstrip("ADX+*-†")


def _listed(text: str) -> Iterator[str]:
    """Codes of SNOMED CT and dm+d in a compiled value set, read without the rest of a file that may be long."""
    for section in _SECTION.finditer(text):
        end = text.find("\n[", section.end())
        yield from tomllib.loads(text[section.end() : end if end >= 0 else len(text)])


def _forms() -> list[Any]:
    """The entries of the knowledge files."""
    from fhirsynth.knowledge import load

    knowledge = load()
    kinds: tuple[dict[str, Any], ...] = (
        *(knowledge.conditions, knowledge.medicines, knowledge.allergies, knowledge.reactions),
        *(knowledge.observables, knowledge.panels, knowledge.specimens, knowledge.procedures),
        *(knowledge.vaccines, knowledge.general_reasons, knowledge.flags),
    )
    return [form for kind in kinds for form in kind.values()]


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """All texts in entries of knowledge files or of TOML, each with the key that it stands under."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, BaseModel):
        for name, inner in value:
            yield from _texts(name, inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(name, inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(key, inner)
