"""Invariants of base R4 that are not taken at their word: expressions that say what nobody meant, and dom-3.

HL7's own validator replaces the same expressions, most of them corrected by HL7 in later releases of FHIR. They are
known by their exact text, so that a profile's own rule of the same key is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_DOM_3 = (
    "contained.where((('#'+id in (%resource.descendants().reference | %resource.descendants().as(canonical) | "
    "%resource.descendants().as(uri) | %resource.descendants().as(url))) or descendants().where(reference = "
    "'#').exists() or descendants().where(as(canonical) = '#').exists() or descendants().where(as(canonical) = "
    "'#').exists()).not()).trace('unmatched', id).empty()"
)
_DOM_3_R4B = (
    "contained.where(((id.exists() and ('#'+id in (%resource.descendants().reference | "
    "%resource.descendants().as(canonical) | %resource.descendants().as(uri) | %resource.descendants().as(url)))) or "
    "descendants().where(reference = '#').exists() or descendants().where(as(canonical) = '#').exists() or "
    "descendants().where(as(uri) = '#').exists()).not()).trace('unmatched', id).empty()"
)
#: Elements that hold words for people.
_WORDS = frozenset(("comment", "description", "display", "div", "name", "text", "title"))


def contained_is_used(focus: Any, environment: Any) -> bool:
    """dom-3: each contained resource is referred to from the resource or from a contained one that is, or refers to its
    container with `#`.

    The expression cannot be evaluated on JSON: it asks for the values of type canonical, uri and url, and JSON does not
    say which strings these are. Any string `#id` counts as a reference, but for those of elements that hold words for
    people. It is also slow, and lets a resource pass that refers only to itself: HL7's validator answers as done here,
    without evaluating it. Nothing is walked by recursion, however deep.
    """
    inside = focus.get("contained") if type(focus) is dict else None
    if not inside:
        return True
    contained = [one for one in (inside if type(inside) is list else [inside]) if type(one) is dict]
    references = [_local_references(one) for one in contained]
    by_reference: dict[str, list[int]] = {}
    for place, one in enumerate(contained):
        by_reference.setdefault(f"#{one.get('id')}", []).append(place)
    used = {place for place, found in enumerate(references) if "#" in found}
    followed = list(_local_references({key: value for key, value in focus.items() if key != "contained"}))
    for place in used:
        followed += references[place]
    for reference in followed:  # grows while it is walked
        for place in by_reference.pop(reference, ()):
            if place not in used:
                used.add(place)
                followed += references[place]
    return len(used) == len(contained)


def _local_references(resource: Any) -> set[str]:
    """All strings in a resource that may be references to what is contained, or to what contains it."""
    found: set[str] = set()
    waiting = [resource]
    while waiting:
        top = waiting.pop()
        for key, value in top.items() if type(top) is dict else (("", one) for one in top):
            if type(value) is str:
                if value[:1] == "#" and key not in _WORDS:
                    found.add(value)
            elif type(value) is dict or type(value) is list:
                waiting.append(value)
    return found


def _has_narrative(focus: Any, environment: Any) -> bool:
    """dom-6 is asked of whole resources only: contained ones have no narrative."""
    if focus is not environment.root or type(focus) is not dict:
        return True
    text = focus.get("text")
    return type(text) is dict and ("div" in text or "_div" in text)


#: What holds or does not, by the text of the expression.
NATIVE: Mapping[str, Callable[[Any, Any], bool]] = {
    _DOM_3: contained_is_used,
    _DOM_3_R4B: contained_is_used,
    "text.`div`.exists()": _has_narrative,
}

_LOCAL = (
    "reference.startsWith('#').not() or "
    "(reference.substring(1).trace('url') in %rootResource.contained.id.trace('ids'))"
)
_CON_3 = (
    "clinicalStatus.exists() or verificationStatus.coding.where(system="
    "'http://terminology.hl7.org/CodeSystem/condition-ver-status' and code = 'entered-in-error').exists() or "
)
_EACH = r"""[^\\s\\.,:;\\\'"\\/|?!@#$%&*()\\[\\]{}]{1,64}"""
_PATH = rf"(\\.{_EACH}(\\[x\\])?(\\:[^\\s\\.]+)?)*"
_NAMES = r"[A-Za-z][A-Za-z0-9]*(\\.[a-z][A-Za-z0-9]*(\\[x])?)*"
_RAS_2 = "probability is decimal implies (probability as decimal) <= 100"

#: What is evaluated instead of an expression.
CORRECTED: Mapping[str, str] = {
    # ref-1 is empty, thus fails, for a reference that has only an identifier or a display; and `#` is the container
    _LOCAL: f"reference.exists() implies (reference = '#' or ({_LOCAL}))",
    # adf-0 and its kin hold the pattern against the whole of a name that is there
    "name.matches('[A-Z]([A-Za-z0-9_]){0,254}')": (
        "name.exists() implies name.matches('^[A-Z]([A-Za-z0-9_]){0,254}$')"
    ),
    # eld-19 and eld-20 likewise
    f"path.matches('{_EACH}{_PATH}')": f"path.matches('^{_EACH}{_PATH}$')",
    f"path.matches('{_NAMES}')": f"path.matches('^{_NAMES}$')",
    # con-3 compares a CodeableConcept with a text; it means the coding
    _CON_3 + "category.select($this='problem-list-item').empty()": _CON_3
    + (
        "category.coding.where(system='http://terminology.hl7.org/CodeSystem/condition-category' "
        "and code='problem-list-item').empty()"
    ),
    # tim-9 asks whether several values are in a list at once
    "offset.empty() or (when.exists() and ((when in ('C' | 'CM' | 'CD' | 'CV')).not()))": (
        "offset.empty() or (when.exists() and when.select($this in ('C' | 'CM' | 'CD' | 'CV')).allFalse())"
    ),
    # que-12 says "more than one"
    "enableWhen.count() > 2 implies enableBehavior.exists()": "enableWhen.count() >= 2 implies enableBehavior.exists()",
    # ras-2 is empty, thus fails, where there is no probability
    _RAS_2: f"probability.empty() or ({_RAS_2})",
}
