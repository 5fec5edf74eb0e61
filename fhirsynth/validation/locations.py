"""Paths that begin at a document, as the outer engines give them, turned into a resource and the path inside it."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from fhirsynth.validation.findings import Json, name_of

_ENTRY = re.compile(r"entry\[(\d+)\]\.resource(?:\.|$)")


class Place(NamedTuple):
    """A resource, `Type/id`, and the path of an element in it, "" where the whole resource is meant."""

    resource: str
    path: str


def place(path: str, resource: Json) -> Place:
    """The place that a path in `resource`, without its type, means.

    In a bundle it is the resource of the entry, where that has an id to be known by, and else the bundle itself.
    """
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
