"""Where a value stands while it is checked: in which resource, and which other resources are at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fhirsynth.validation.fhirpath import Environment
from fhirsynth.validation.findings import Json, as_list


class Context:
    """The resources that stand together, as in one bundle; found by `Type/id`, absolute URL or `urn:uuid:`."""

    def __init__(self, bundle: Json | None = None, judge: Callable[[Json, str, Context], bool] | None = None) -> None:
        self._found: dict[str, Json] = {}
        self._judge = judge
        self._judged: dict[tuple[int, str], bool] = {}
        #: References that were found good: (reference, the targets that were asked for).
        self.good: set[tuple[str, frozenset[str]]] = set()
        for entry in as_list(bundle.get("entry")) if bundle else ():
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(resource, dict):
                self.add(resource, entry.get("fullUrl"))

    def add(self, resource: Json, full_url: Any = None) -> None:
        """Make a resource known."""
        if isinstance(resource.get("resourceType"), str) and isinstance(resource.get("id"), str):
            self._found.setdefault(f"{resource['resourceType']}/{resource['id']}", resource)
        if isinstance(full_url, str):
            self._found[full_url] = resource

    def meets(self, resource: Json, profile: str) -> bool:
        """Whether a resource that is here meets a profile."""
        if self._judge is None:
            return True
        key = id(resource), profile
        if key not in self._judged:
            self._judged[key] = True  # taken for granted while it is judged: references may go in circles
            self._judged[key] = self._judge(resource, profile, self)
        return self._judged[key]

    def resolve(self, reference: str) -> Json | None:
        """The resource a reference leads to, if it is here; a version is left aside."""
        found = self._found.get(reference)
        if found is None and "/_history/" in reference:
            found = self._found.get(reference.partition("/_history/")[0])
        return found


class Scope(NamedTuple):
    """One resource under check: it, the resource that contains it (or itself), and what is at hand."""

    resource: Json
    root: Json
    context: Context
    environment: Environment

    def resolve(self, reference: str) -> Json | None:
        """The resource that a reference in here leads to: contained or at hand."""
        return resolve(self.root, self.context, reference)


def resolve(root: Json, context: Context, reference: str) -> Json | None:
    """The contained resource for `#id`, the container for `#`, else what the context holds."""
    if not reference.startswith("#"):
        return context.resolve(reference)
    if reference == "#":
        return root
    for inner in as_list(root.get("contained")):
        if isinstance(inner, dict) and inner.get("id") == reference[1:]:
            return inner
    return None


def scope_of(resource: Json, root: Json, context: Context) -> Scope:
    """The scope of a resource."""
    return Scope(
        resource, root, context, Environment(resource, root, lambda reference: resolve(root, context, reference))
    )
