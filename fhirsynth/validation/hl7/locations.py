"""Where HL7's validator says that something is, as the name of a resource and a path in it."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from fhirsynth.validation.findings import Json, name_of

#: Types and ids of inner resources, which HL7 puts between: `entry[3].resource/*Observation/abc*/.status`.
_REMARK = re.compile(r"/\*.*?\*/")
#: A choice of types as FHIRPath has it: `value.ofType(Quantity)`, in JSON valueQuantity.
_CHOICE = re.compile(r"\.ofType\(([A-Za-z])([A-Za-z0-9]*)\)")
_ENTRY = re.compile(r"entry\[(\d+)\]\.resource(?:\.|$)")


class Place(NamedTuple):
    """A resource, `Type/id`, and the path of an element in it, "" where the whole resource is meant."""

    resource: str
    path: str


def place(location: str, resource: Json) -> Place:
    """The place that a location in `resource` means.

    In a bundle it is the resource of the entry, where that has an id to be known by, and else the bundle. The path is
    in the words of JSON, as those of the other engines are: `valueQuantity.code`.
    """
    path = _CHOICE.sub(lambda found: found[1].upper() + found[2], _REMARK.sub("", location))
    kind = resource.get("resourceType")
    path = path.removeprefix(str(kind)).removeprefix(".")
    here = resource
    while here.get("resourceType") == "Bundle" and (found := _ENTRY.match(path)):
        inner = _entry(here, int(found[1]))
        if not isinstance(inner, dict) or not isinstance(inner.get("id"), str):
            break
        here, path = inner, path[found.end() :]
    return Place(name_of(here), path)


def _entry(bundle: Json, number: int) -> Any:
    entries = bundle.get("entry")
    entry = entries[number] if isinstance(entries, list) and number < len(entries) else None
    return entry.get("resource") if isinstance(entry, dict) else None
