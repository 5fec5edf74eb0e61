"""Code lists that UK Core has once a nation: those of one person come from one nation.

Source: UK Core's code systems for England, Wales and Scotland (ethnic category, marital status, admission and
discharge, NHS number verification, …), which share codes with different meanings. The code systems
NHSDataModelAndDictionary-… are England's.
"""

from __future__ import annotations

import re

_SYSTEM = re.compile(
    r"https://fhir\.hl7\.org\.uk/CodeSystem/(?:UKCore-(\w+?)(England|Wales|Scotland)|NHSDataModelAndDictionary-(\w+))"
)
_MOST = 10_000
_nations: dict[str, str] = {}


def nation(system: str) -> str:
    """The nation whose list a code system is; "" for others."""
    try:
        return _nations[system]
    except KeyError:
        match = _SYSTEM.fullmatch(system)
        found = "" if match is None else match[2] or "England"
        if len(_nations) < _MOST:
            _nations[system] = found
        return found


def said(systems: set[str]) -> str:
    """The nations of code systems with the names of their lists, as in a finding."""
    found: dict[str, set[str]] = {}
    for system in systems:
        match = _SYSTEM.fullmatch(system)
        if match is not None:
            found.setdefault(match[2] or "England", set()).add(match[1] or match[3])
    return " and ".join(f"{name} ({', '.join(sorted(lists))})" for name, lists in sorted(found.items()))
