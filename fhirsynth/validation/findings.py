"""What a check found: which rule, how grave, about whom, in which resource, where in it, what was there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

Json = dict[str, Any]
Severity = Literal["error", "warning", "information"]
SEVERITIES: tuple[Severity, ...] = ("information", "warning", "error")


class Finding(NamedTuple):
    """One thing that is wrong, or worth knowing.

    `resource` is `Type/id`, `path` the FHIRPath of an element from that resource on without its type
    (`component[1].code`), `file` where it was read, `expected` what should have stood there.
    """

    rule: str
    found: str
    person: str = ""
    resource: str = ""
    path: str = ""
    file: str = ""
    severity: Severity = "error"
    expected: str = ""
    entry: int | None = None  # in a bundle, the number of the entry whose resource it is

    @property
    def location(self) -> str:
        """The FHIRPath of the element, beginning with the type of resource: `Observation.component[1].code`."""
        return ".".join(part for part in (self.resource.partition("/")[0], self.path) if part)

    def __str__(self) -> str:
        where = ".".join(part for part in (self.resource, self.path) if part)
        about = f"person {self.person}" if self.person and self.person not in self.resource else ""
        said = f"{self.found}, expected {self.expected}" if self.expected else self.found
        return ": ".join(part for part in (self.file, about, where, f"{self.severity} {self.rule}", said) if part)


class Issue(NamedTuple):
    """A finding inside one value: `path` is relative to the value that was looked at, "" is the value itself."""

    path: str
    rule: str
    found: str
    expected: str = ""
    severity: Severity = "error"


def under(prefix: str, issues: Iterable[Issue]) -> list[Issue]:
    """Issues of an inner value as issues of the value that holds it under `prefix` (`coding`, `coding[0]`).

    A path that begins with an index, as that of an item of a list, goes on without a dot.
    """
    found = []
    for issue in issues:
        path = issue.path
        joined = f"{prefix}{path}" if path.startswith("[") else f"{prefix}.{path}" if path else prefix
        found.append(issue._replace(path=joined))
    return found


def name_of(resource: Json) -> str:
    """`Type/id` of a resource."""
    return f"{resource.get('resourceType', '?')}/{resource.get('id', '?')}"


def as_list(value: Any) -> list[Any]:
    """A repeating element as a list, whether it is missing, single or many."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
