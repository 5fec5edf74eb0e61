"""Resources against the rules compiled from UK Core profiles: the readable files in `profiles/`.

An element's path is that of FHIR, with `[x]` for a choice of types and `[path='value']` where only those that
hold a fixed value are meant: `code.coding[system='http://loinc.org'].code`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from fhirsynth import shipped
from fhirsynth.validation.findings import Finding, Json, as_list, name_of

_STEP = re.compile(r"([A-Za-z]+)(\[x\])?(?:\[([A-Za-z.]+)='([^']*)'\])?(?:\.|$)")


class Step(NamedTuple):
    """One part of a path: the element, whether its type is open, and what chooses among those that repeat."""

    name: str
    choice: bool
    where: tuple[str, ...]
    equals: str


class Rule(NamedTuple):
    """What holds for one element: how often it is there, what it must be, which codes it may have."""

    path: str
    steps: tuple[Step, ...]
    least: int
    most: int | None
    fixed: Any
    codes: frozenset[str]
    value_set: str


class Profile(NamedTuple):
    """One profile: its canonical URL, the type it is for, and its rules."""

    url: str
    type: str
    rules: tuple[Rule, ...]


def steps(path: str) -> tuple[Step, ...]:
    """The parts of a path. Raises ValueError for one that cannot be read."""
    found, end = [], 0
    for match in _STEP.finditer(path):
        if match.start() != end or match.end() == match.start():
            break
        name, choice, where, equals = match.groups()
        found.append(Step(name, bool(choice), tuple(where.split(".")) if where else (), equals or ""))
        end = match.end()
    if end != len(path):
        raise ValueError(f"cannot read the path {path!r} at {path[end:]!r}")
    return tuple(found)


@cache
def load() -> dict[str, Profile]:
    """All profiles by canonical URL."""
    found = {}
    for file in sorted(shipped.folder("profiles").glob("*.toml")):
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        rules = tuple(
            Rule(
                element["path"],
                steps(element["path"]),
                element.get("min", 0),
                element.get("max"),
                element.get("fixed"),
                frozenset(element.get("codes", ())),
                element.get("value_set", ""),
            )
            for element in data["element"]
        )
        found[data["url"]] = Profile(data["url"], data["type"], rules)
    return found


def check(resource: Json, profile: str) -> list[Finding]:
    """What in `resource` breaks the profile of this canonical URL. Profiles that are not known find nothing."""
    known = load().get(profile.split("|")[0])
    if known is None:
        return []
    if resource.get("resourceType") != known.type:
        return [Finding("profile", f"{known.url} is for {known.type}", resource=name_of(resource), path="meta.profile")]
    found: list[Finding] = []
    for rule in known.rules:
        for message in _broken(resource, rule):
            found.append(Finding("profile", message, resource=name_of(resource), path=rule.path))
    return found


def _broken(resource: Json, rule: Rule) -> Iterator[str]:
    *parents, last = rule.steps
    holders: list[Any] = [resource]
    for step in parents:
        holders = [value for holder in holders for value in _values(holder, step)]
    for holder in holders:
        values = _values(holder, last)
        if len(values) < rule.least:
            yield f"expected at least {rule.least}, found {len(values)}"
        if rule.most is not None and len(values) > rule.most:
            yield f"expected at most {rule.most}, found {len(values)}"
        for value in values:
            if rule.fixed is not None and value != rule.fixed:
                yield f"expected {rule.fixed!r}, found {value!r}"
            if rule.codes and not _is_one_of(value, rule.codes):
                yield f"expected a code of {rule.value_set}, found {_said(value)!r}"


def _values(holder: Any, step: Step) -> list[Any]:
    """The values of an element in one holder, chosen as the step says."""
    if not isinstance(holder, dict):
        return []
    if step.choice:
        start = len(step.name)
        values = [v for k, v in holder.items() if k.startswith(step.name) and k[start : start + 1].isupper()]
    else:
        values = as_list(holder.get(step.name))
    return [value for value in values if step.equals in _inside(value, step.where)] if step.where else values


def _inside(value: Any, path: tuple[str, ...]) -> list[Any]:
    values = [value]
    for name in path:
        values = [found for holder in values if isinstance(holder, dict) for found in as_list(holder.get(name))]
    return values


def _is_one_of(value: Any, allowed: frozenset[str]) -> bool:
    """Whether a code, Coding or CodeableConcept (any coding of it) is in a list of `code` and `system|code`."""
    if isinstance(value, str):
        return value in allowed
    codings = as_list(value.get("coding")) if "coding" in value else [value]
    return any(f"{c.get('system')}|{c.get('code')}" in allowed for c in codings if isinstance(c, dict))


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value
    codings = as_list(value.get("coding")) if "coding" in value else [value]
    return ", ".join(f"{c.get('system')}|{c.get('code')}" for c in codings if isinstance(c, dict))
