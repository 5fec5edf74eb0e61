"""References: their form, and whether they lead to what they say."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from fhirsynth.validation.beyond.resource_types import RESOURCE_TYPES
from fhirsynth.validation.findings import Issue

_CORE = "http://hl7.org/fhir/StructureDefinition/"
_ID = r"[A-Za-z0-9\-.]{1,64}"
_LOCAL = re.compile(rf"([A-Za-z]+)/({_ID})(?:/_history/{_ID})?")
_REST = re.compile(rf"https?://[^\s?#]+/([A-Z][A-Za-z]+)/({_ID})(?:/_history/{_ID})?")
_ABSOLUTE = re.compile(r"https?://[^\s/?#]+(?:[/?#]\S*)?")
_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_OID = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+")
_FRAGMENT = re.compile(rf"#(?:{_ID})?")
_CONDITIONAL = re.compile(r"([A-Za-z]+)\?\S+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")


class Target(NamedTuple):
    """What a reference says about itself.

    `kind`: the type of resource it leads to, "" where it does not say; `name`: `Type/id` without server and
    version, for one that leads to a resource by type and id; `server`: whether it names one; `wrong`: what
    keeps it from being a reference; `odd`: what makes it one that nobody can follow by FHIR's rules.
    """

    kind: str = ""
    name: str = ""
    server: bool = False
    wrong: str = ""
    odd: str = ""


_MOST = 200_000
_targets: dict[str, Target] = {}


def target(reference: str) -> Target:
    """What a reference leads to, by its form alone; remembered, since most come again and again."""
    try:
        return _targets[reference]
    except KeyError:
        found = _target(reference)
        if len(_targets) >= _MOST:
            _targets.clear()
        _targets[reference] = found
        return found


def _target(reference: str) -> Target:
    local = _LOCAL.fullmatch(reference)
    if local is not None:
        kind, identifier = local.groups()
        if kind in RESOURCE_TYPES:
            return Target(kind, f"{kind}/{identifier}")
        near = next((f"; {name} is one" for name in RESOURCE_TYPES if name.lower() == kind.lower()), "")
        return Target(wrong=f"{kind} is no type of resource{near}")
    if reference.startswith(("http://", "https://")):
        if _ABSOLUTE.fullmatch(reference) is None or reference.endswith("/"):
            return Target(wrong="not the URL of a resource")
        rest = _REST.fullmatch(reference)
        if rest is not None and rest[1] in RESOURCE_TYPES:
            return Target(rest[1], f"{rest[1]}/{rest[2]}", server=True)
        return Target(server=True, odd="an URL that does not end in a type of resource and an id")
    if reference.startswith("#"):
        return Target() if _FRAGMENT.fullmatch(reference) else Target(wrong="no legal id after the #")
    if reference.startswith("urn:uuid:"):
        return Target() if _UUID.fullmatch(reference) else Target(wrong="no UUID after urn:uuid:")
    if reference.startswith("urn:oid:"):
        return Target() if _OID.fullmatch(reference) else Target(wrong="no OID after urn:oid:")
    conditional = _CONDITIONAL.fullmatch(reference)
    if conditional is not None and conditional[1] in RESOURCE_TYPES:
        return Target(conditional[1])
    if _SCHEME.fullmatch(reference):
        return Target(odd="a scheme other than http, https and urn")
    return Target(wrong="not a type of resource, /, and an id")


def check(value: Any) -> list[Issue] | None:
    """`reference-form` [error; information for what FHIR cannot follow], `reference-type` [error].

    Source: FHIR R4, references.html: a reference is `Type/id`, an absolute URL, `urn:uuid:`, `urn:oid:` or `#id`,
    in transactions also a search `Type?…`; what `Reference.type` says is the type of what it leads to.
    """
    if type(value) is not dict:
        return None
    reference = value.get("reference")
    if type(reference) is not str or not reference:
        return None
    found = target(reference)
    if found.wrong or found.odd:
        expected = "Type/id, an absolute URL, urn:uuid: or #id"
        said = f"{reference[:100]!r}: {found.wrong or found.odd}"
        return [Issue("reference", "reference-form", said, expected, "error" if found.wrong else "information")]
    kind = value.get("type")
    if kind is not None and found.kind and disagree(kind, found.kind):
        return [Issue("type", "reference-type", kind, f"{found.kind}, as in {reference[:100]}")]
    return None


def disagree(said: Any, kind: str) -> bool:
    """Whether `Reference.type` says another type than `kind`; what is no type of resource of FHIR's is let pass."""
    if type(said) is not str:
        return False
    name = said.removeprefix(_CORE)
    return name != kind and name in RESOURCE_TYPES and name not in ("Resource", "DomainResource")
