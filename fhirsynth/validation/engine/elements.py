"""Rule files as trees of elements, and several layers of them (base type, profile, its parent) as one.

A structure's rules are keyed by FHIR element ids. As a tree, every element holds its children by name and its
slices by name of slice; what a profile does not say is None, so that a layer above can be laid over one below.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

MANY = 1 << 30  # the maximum "*"


class Invariant(NamedTuple):
    """A constraint of the definition: what must hold for an element, as FHIRPath."""

    key: str
    severity: str
    says: str
    expression: str


class Binding(NamedTuple):
    """From where the codes of an element come. Canonical URLs; `max_value_set` is required whatever the strength."""

    strength: str
    value_set: str
    max_value_set: str


class Slicing(NamedTuple):
    """How items of a list are told apart: discriminators as (type, path), and whether others are let in."""

    by: tuple[tuple[str, str], ...]
    rules: str


@dataclass(slots=True)
class Element:
    """What is said of one element; None (or nothing) where it is not spoken of."""

    name: str
    min: int | None = None
    max: int | None = None
    types: tuple[str, ...] | None = None
    targets: Mapping[str, tuple[str, ...]] | None = None
    profiles: Mapping[str, tuple[str, ...]] | None = None
    binding: Binding | None = None
    fixed: Any = None
    pattern: Any = None
    min_value: Any = None
    max_value: Any = None
    max_length: int | None = None
    slicing: Slicing | None = None
    content: str | None = None
    invariants: tuple[Invariant, ...] = ()
    children: dict[str, Element] = field(default_factory=dict)
    slices: dict[str, Element] = field(default_factory=dict)


@dataclass(slots=True)
class Structure:
    """One StructureDefinition as read from its file."""

    url: str
    status: str
    kind: str
    type: str
    base: str
    derivation: str
    abstract: bool
    modifier: bool
    context: tuple[str, ...]
    context_extension: tuple[str, ...]
    context_fhirpath: tuple[str, ...]
    pattern: str
    root: Element


#: Keys where the upper layer's word replaces the lower one's.
_REPLACED = tuple(
    f.name for f in fields(Element) if f.name not in ("name", "min", "max", "invariants", "children", "slices")
)


def merge(below: Element | None, above: Element | None) -> Element | None:
    """One element laid over another: both hold. Neither is changed."""
    if below is None or above is None:
        return above if below is None else below
    found = Element(above.name)
    for key in _REPLACED:
        upper = getattr(above, key)
        setattr(found, key, getattr(below, key) if upper is None else upper)
    found.min = max((n for n in (below.min, above.min) if n is not None), default=None)
    found.max = min((n for n in (below.max, above.max) if n is not None), default=None)
    found.invariants = tuple({i.key: i for i in (*below.invariants, *above.invariants)}.values())
    found.children = _merged(below.children, above.children)
    found.slices = _merged(below.slices, above.slices)
    return found


def _merged(below: dict[str, Element], above: dict[str, Element]) -> dict[str, Element]:
    found = dict(below)
    for key, element in above.items():
        found[key] = merge(below[key], element) if key in below else element  # type: ignore[assignment]
    return found


def slice_of(sliced: Element, piece: Element) -> Element:
    """What holds for an item of a slice: what is said of every item, and what is said of the slice."""
    every = Element(sliced.name)
    for key in _REPLACED:
        if key != "slicing":
            setattr(every, key, getattr(sliced, key))
    every.invariants, every.children = sliced.invariants, sliced.children
    found = merge(every, piece)
    assert found is not None
    return found


def read(file: Path) -> Structure:
    """A rule file. Raises ValueError where it is not one."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        return structure(data)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not a file of rules: {error}") from None


def structure(data: Mapping[str, Any]) -> Structure:
    """The rules of one structure as a tree."""
    root = Element(data["type"])
    for identifier, said in data.get("element", {}).items():
        _say(_at(root, identifier), said)
    for rule in data.get("invariant", ()):
        element = _at(root, rule["at"])
        element.invariants += (Invariant(rule["key"], rule["severity"], rule.get("says", ""), rule["expression"]),)
    return Structure(
        url=data["url"],
        status=data.get("status", "active"),
        kind=data["kind"],
        type=data["type"],
        base=data.get("base", ""),
        derivation=data["derivation"],
        abstract=data.get("abstract", False),
        modifier=data.get("modifier", False),
        context=tuple(data.get("context", ())),
        context_extension=tuple(data.get("context_extension", ())),
        context_fhirpath=tuple(data.get("context_fhirpath", ())),
        pattern=data.get("pattern", ""),
        root=root,
    )


def find(root: Element, identifier: str) -> Element | None:
    """The element of an id such as `Observation.referenceRange`; None where nothing is said of it."""
    element: Element | None = root
    for name, piece in _steps(identifier):
        element = element.children.get(name) if element else None
        if element and piece:
            element = element.slices.get(piece)
    return element


def _at(root: Element, identifier: str) -> Element:
    element = root
    for name, piece in _steps(identifier):
        element = element.children.setdefault(name, Element(name))
        if piece:
            element = element.slices.setdefault(piece, Element(name))
    return element


def _steps(identifier: str) -> Iterable[tuple[str, str]]:
    for step in identifier.split(".")[1:]:
        name, _, piece = step.partition(":")
        yield name, piece


def _say(element: Element, said: Mapping[str, Any]) -> None:
    for key, value in said.items():
        match key:
            case "max":
                element.max = MANY if value == "*" else int(value)
            case "types":
                element.types = tuple(value)
            case "targets" | "profiles":
                setattr(element, key, {kind: tuple(urls) for kind, urls in value.items()})
            case "binding":
                urls = value.get("value_set", ""), value.get("max_value_set", "")
                element.binding = Binding(value["strength"], *urls)
            case "slicing":
                by = tuple((kind, path) for kind, path in value.get("by", ()))
                element.slicing = Slicing(by, value.get("rules", "open"))
            case _:
                setattr(element, key, value)
