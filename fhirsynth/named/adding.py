"""What a case adds to the resources of its person and the tables of the record have no column for.

Elements as `cases.toml` gives them are laid over the Patient, and over the RelatedPerson of whom is named first:
lists grow, what else is there already is replaced, and what is named in `drops` goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fhirsynth.fhir.elements import Json
    from fhirsynth.named.cases import Case


def added(case: Case, resources: list[Json]) -> list[Json]:
    """The resources of a case's person with what the case adds to them; those of the argument stay as they are."""
    waiting = {"Patient": case.patient, "RelatedPerson": case.related}
    found = []
    for resource in resources:
        elements = waiting.pop(resource["resourceType"], None)
        if elements:
            resource = _laid_over(resource, elements)
        if resource["resourceType"] == "Patient":
            resource = {name: value for name, value in resource.items() if name not in case.drops}
        found.append(resource)
    return found


def _laid_over(under: Any, over: Any) -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        return under | {
            name: _laid_over(under[name], value) if name in under else value for name, value in over.items()
        }
    if isinstance(under, list) and isinstance(over, list):
        return [*under, *over]
    return over
