"""What a check found: which rule, about whom, in which resource, where in it, and what was there."""

from __future__ import annotations

from typing import Any, NamedTuple

Json = dict[str, Any]


class Finding(NamedTuple):
    """One thing that is wrong. `resource` is `Type/id`, `path` an element inside it, `file` where it was read."""

    rule: str
    found: str
    person: str = ""
    resource: str = ""
    path: str = ""
    file: str = ""

    def __str__(self) -> str:
        where = ".".join(part for part in (self.resource, self.path) if part)
        about = f"person {self.person}" if self.person and self.person not in self.resource else ""
        return ": ".join(part for part in (self.file, about, where, self.rule, self.found) if part)


def name_of(resource: Json) -> str:
    """`Type/id` of a resource."""
    return f"{resource.get('resourceType', '?')}/{resource.get('id', '?')}"


def as_list(value: Any) -> list[Any]:
    """A repeating element as a list, whether it is missing, single or many."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
