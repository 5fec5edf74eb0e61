"""Single changes to a resource: values put, taken away, added, renamed, each as a function that does it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

from definitions import Json, Property, Step, at, written

#: Changes the resource that it is given, or answers with another in its place.
Edit = Callable[[Json], Json | None]

BASE = "https://fhirsynth.example/fhir/"


class Change(NamedTuple):
    """Something that could be done: where, in words, how.

    `sort` is what it has in common with others like it: of which element or extension (`group`), and what is done.
    """

    path: str
    description: str
    edit: Edit
    sort: str

    @property
    def group(self) -> str:
        """What is changed, whatever is done to it."""
        return self.sort.partition(" ")[0]


def put(steps: tuple[Step, ...], value: Any) -> Edit:
    """Set a value, in a list at its end where the last step is one too far."""

    def edit(resource: Json) -> None:
        holder, last = at(resource, steps[:-1]), steps[-1]
        if isinstance(holder, list) and isinstance(last, int) and last == len(holder):
            holder.append(copy.deepcopy(value))
        else:
            holder[last] = copy.deepcopy(value)

    return edit


def drop(steps: tuple[Step, ...]) -> Edit:
    """Take a value away, and a list that is empty then."""

    def edit(resource: Json) -> None:
        holder = at(resource, steps[:-1])
        del holder[steps[-1]]
        if holder == [] and len(steps) > 1:
            del at(resource, steps[:-2])[steps[-2]]

    return edit


def all_of(*edits: Edit) -> Edit:
    def edit(resource: Json) -> None:
        for one in edits:
            one(resource)

    return edit


def add(item: Property, value: Any) -> Edit:
    """Add a value to a property, or set it where only one is possible."""

    def edit(resource: Json) -> None:
        holder = at(resource, item.holder)
        if item.many:
            holder.setdefault(item.key, []).append(copy.deepcopy(value))
        else:
            holder[item.key] = copy.deepcopy(value)

    return edit


def rename(steps: tuple[Step, ...], name: str) -> Edit:
    def edit(resource: Json) -> None:
        holder = at(resource, steps[:-1])
        kept = {name if key == steps[-1] else key: value for key, value in holder.items()}
        holder.clear()
        holder.update(kept)

    return edit


def path_of(item: Property) -> str:
    return written((*item.holder, item.key))


def element_of(item: Property | None) -> str:
    """The id of the element where it is defined first."""
    return item.views[-1].id if item and item.views else ""


def turned_round(resource: Json) -> Json:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(item) for item in value] if isinstance(value, list) else value

    return dict(turned(resource))


def transaction(resources: list[Json]) -> Json:
    """Resources in a bundle as we write it."""
    entries = []
    for resource in resources:
        name = f"{resource['resourceType']}/{resource['id']}"
        request = {"method": "PUT", "url": name}
        entries.append({"fullUrl": BASE + name, "resource": resource, "request": request})
    profile = ["https://fhir.hl7.org.uk/StructureDefinition/UKCore-Bundle"]
    return {"resourceType": "Bundle", "meta": {"profile": profile}, "type": "transaction", "entry": entries}
