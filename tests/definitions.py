"""The compiled rules read once more, apart from the validator that is judged: what may stand where in a resource.

`Definitions.walk` goes through a resource and says of every value which elements of which definitions it is: those
of the base type, of its data type, of the profile and what that is derived from, of the slices it falls into.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fhirsynth import shipped

Json = dict[str, Any]
Step = str | int

CORE = "http://hl7.org/fhir/StructureDefinition/"
MANY = 1 << 30
_PRIMITIVE = "value"  # the element that holds the value of a primitive type
_BACKBONES = ("BackboneElement", "Element")


class Structure:
    """One rule file, with its elements found by their parent."""

    def __init__(self, data: Json) -> None:
        self.url: str = data["url"]
        self.type: str = data["type"]
        self.kind: str = data["kind"]
        self.base: str = data.get("base", "")
        self.abstract: bool = data.get("abstract", False)
        self.constrains: bool = data["derivation"] == "constraint"
        self.context: list[str] = data.get("context", [])
        self.elements: dict[str, Json] = data.get("element", {})
        self.invariants: dict[str, list[Json]] = defaultdict(list)
        for rule in data.get("invariant", ()):
            self.invariants[rule["at"]].append(rule)
        self.children: dict[str, dict[str, None]] = defaultdict(dict)
        self.slices: dict[str, dict[str, None]] = defaultdict(dict)
        for identifier in self.elements:
            steps = identifier.split(".")
            for depth in range(1, len(steps)):
                parent, (name, _, piece) = ".".join(steps[:depth]), steps[depth].partition(":")
                self.children[parent][name] = None
                if piece:
                    self.slices[f"{parent}.{name}"][piece] = None


class View(NamedTuple):
    """An element of a definition."""

    structure: Structure
    id: str

    @property
    def said(self) -> Json:
        """What the definition says of it."""
        return self.structure.elements.get(self.id, {})


Views = tuple[View, ...]


class Slice(NamedTuple):
    """A slice of an element: how often it comes, and its definitions."""

    name: str
    min: int
    max: int
    views: Views


class Property(NamedTuple):
    """An element of an object as its definitions have it, and where it is (or would be) in the resource.

    `key` is its name in the JSON (`valueQuantity`), `name` that of its definition (`value[x]`).
    """

    holder: tuple[Step, ...]
    key: str
    name: str
    type: str
    views: Views
    many: bool
    slices: tuple[Slice, ...]

    def say(self, key: str) -> Any:
        """What the nearest definition says under `key`."""
        return next((view.said[key] for view in self.views if key in view.said), None)

    @property
    def min(self) -> int:
        """How often it must be there."""
        return max((view.said.get("min", 0) for view in self.views), default=0)

    @property
    def max(self) -> int:
        """How often it may be there."""
        return _least(view.said.get("max", "*") for view in self.views)

    @property
    def types(self) -> list[str]:
        """The types that it may have."""
        return self.say("types") or []

    @property
    def stated_here(self) -> bool:
        """Whether a profile speaks of it."""
        return any(view.structure.constrains and view.said for view in self.views)


class Node(NamedTuple):
    """A value in a resource: where, of which type, and all that is defined of it."""

    steps: tuple[Step, ...]
    value: Any
    type: str
    views: Views
    item: Property | None
    slice: str

    def say(self, key: str) -> Any:
        """What the nearest definition says under `key`."""
        return next((view.said[key] for view in self.views if key in view.said), None)

    @property
    def path(self) -> str:
        """FHIRPath from the resource on, without its type."""
        return written(self.steps)

    @property
    def invariants(self) -> list[Json]:
        """Invariants that hang on it, of severity error."""
        found = {}
        for view in self.views:
            for rule in view.structure.invariants.get(view.id, ()):
                if rule["severity"] == "error":
                    found[rule["key"]] = rule
        return list(found.values())


def written(steps: tuple[Step, ...]) -> str:
    """Steps into a resource as FHIRPath."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def at(value: Any, steps: tuple[Step, ...]) -> Any:
    """The value that steps lead to."""
    for step in steps:
        value = value[step]
    return value


def as_list(value: Any) -> list[Any]:
    """A value or values as a list."""
    return value if isinstance(value, list) else [value]


class Definitions:
    """The rules of one release of UK Core over base R4."""

    def __init__(self, release: str = "stu3", folder: Path | None = None) -> None:
        root = folder or shipped.folder("profiles")
        self._folders = [root / release, root / "r4"]
        self._structures: dict[str, Structure | None] = {}
        self._value_sets: dict[str, Json | None] = {}

    def structure(self, url: str) -> Structure | None:
        """The structure of a canonical URL or of a type's name."""
        url = url if "/" in url else CORE + url
        if url not in self._structures:
            data = self._read("structures", url)
            self._structures[url] = Structure(data) if data else None
        return self._structures[url]

    def value_set(self, url: str) -> Json | None:
        """A compiled value set, as in its file."""
        if url not in self._value_sets:
            self._value_sets[url] = self._read("value-sets", url)
        return self._value_sets[url]

    @cache  # noqa: B019 - one object lives as long as the tests
    def code_system(self, url: str) -> Json | None:
        """A compiled code system, as in its file."""
        return self._read("code-systems", url)

    @cache  # noqa: B019
    def extensions(self) -> tuple[Structure, ...]:
        """All extensions of the release, in the order of their URLs."""
        files = sorted((self._folders[0] / "structures").glob("Extension-*.toml"))
        found = [Structure(tomllib.loads(file.read_text(encoding="utf-8"))) for file in files]
        return tuple(item for item in found if item.type == "Extension")

    def layers(self, url: str) -> Views:
        """The roots of a profile and of all that it is derived from, the nearest first."""
        found = []
        structure = self.structure(url)
        while structure is not None:
            found.append(View(structure, structure.type))
            structure = self.structure(structure.base) if structure.constrains else None
        return tuple(found)

    def walk(self, resource: Json, profile: str | None = None) -> Iterator[Node]:
        """Every value in a resource, from the outside in; of unknown properties nothing."""
        urls = resource.get("meta", {}).get("profile", [])
        root = profile or next((url for url in urls if self.structure(url)), resource["resourceType"])
        yield from self._walk(Node((), resource, resource["resourceType"], self.layers(root), None, ""))

    def _walk(self, node: Node) -> Iterator[Node]:
        yield node
        if not isinstance(node.value, dict):
            return
        for item in self.present(node):
            value = node.value[item.key]
            for place, inner in enumerate(as_list(value)):
                steps = (*node.steps, item.key, place) if isinstance(value, list) else (*node.steps, item.key)
                yield from self._walk(self.node(item, inner, steps))

    def node(self, item: Property, value: Any, steps: tuple[Step, ...]) -> Node:
        """A value of a property, with the definitions of the slices and the data type that it is of."""
        views = list(item.views)
        kind, within = item.type, ""
        if kind == "Resource" and isinstance(value, dict) and isinstance(value.get("resourceType"), str):
            profiles = value.get("meta", {}).get("profile", [])
            return Node(
                steps, value, value["resourceType"], self.layers((*profiles, value["resourceType"])[0]), item, ""
            )
        for piece in item.slices:
            if self._is_in(value, piece, item):
                views[:0] = piece.views
                within = piece.name
        for view in list(views):
            for url in (view.said.get("profiles") or {}).get(kind, ()):
                views += [layer for layer in self.layers(url) if layer not in views]
        if kind == "Extension" and isinstance(value, dict) and "/" in str(value.get("url", "")):
            views += [layer for layer in self.layers(value["url"]) if layer not in views]
        if kind not in _BACKBONES:
            views += [layer for layer in self.layers(kind) if layer not in views]
        return Node(steps, value, kind, tuple(views), item, within)

    def present(self, node: Node) -> Iterator[Property]:
        """The properties that an object has, as far as they are defined."""
        possible = {key: item for item in self.possible(node) for key in (item.key,)}
        for key in node.value:
            if key in possible:
                yield possible[key]

    def possible(self, node: Node) -> Iterator[Property]:
        """All properties that an object may have; one for each type of a choice."""
        names: dict[str, None] = {}
        for view in node.views:
            names.update(view.structure.children.get(view.id, {}))
        for name in names:
            if name == _PRIMITIVE and not isinstance(node.value, dict):
                continue
            yield from self._named(node, name)

    def _named(self, node: Node, name: str) -> Iterator[Property]:
        found: list[View] = []
        for view in node.views:
            element = View(view.structure, f"{view.id}.{name}")
            if element.said or element.id in view.structure.children or element.id in view.structure.slices:
                found.append(element)
                content = element.said.get("content")
                if content:
                    found.append(View(view.structure, content))
        views = tuple(found)
        defined: list[str] = next((view.said["types"] for view in reversed(views) if "types" in view.said), [])
        if not defined and any("content" in view.said for view in views):
            defined = ["BackboneElement"]
        many = any(view.said.get("max") == "*" or _number(view.said.get("max", 1)) > 1 for view in views[-1:])
        if any("content" in view.said for view in views):
            many = any(view.said.get("max") == "*" for view in views)
        if not name.endswith("[x]"):
            for kind in defined[:1]:
                yield Property(node.steps, name, name, kind, views, many, tuple(self._slices(views)))
            return
        for kind in defined:
            key = name[:-3] + kind[0].upper() + kind[1:]
            own = []
            for view in views:
                piece = View(view.structure, f"{view.id}:{key}")
                named = View(view.structure, f"{view.id.removesuffix(name)}{key}")
                own += [v for v in (piece, named) if v.said or v.id in view.structure.children]
            yield Property(node.steps, key, name, kind, (*own, *views), many, ())

    def _slices(self, views: Views) -> Iterator[Slice]:
        names: dict[str, list[View]] = defaultdict(list)
        for view in views:
            for name in view.structure.slices.get(view.id, ()):
                names[name].append(View(view.structure, f"{view.id}:{name}"))
        for name, found in names.items():
            least = max(view.said.get("min", 0) for view in found)
            yield Slice(name, least, _least(view.said.get("max", "*") for view in found), tuple(found))

    def _is_in(self, value: Any, piece: Slice, item: Property) -> bool:
        """Whether a value falls into a slice, as far as fixed values and URLs of extensions tell."""
        if not isinstance(value, dict):
            return False
        if item.type == "Extension":
            url = value.get("url")
            of_profiles = [u for view in piece.views for u in (view.said.get("profiles") or {}).get("Extension", ())]
            fixed = [view.structure.elements.get(f"{view.id}.url", {}).get("fixed") for view in piece.views]
            return url in (*of_profiles, *filter(None, fixed))
        slicing = next((view.said["slicing"] for view in item.views if "slicing" in view.said), None)
        if slicing is None:
            return False
        told = 0
        for _, path in slicing["by"]:
            wanted = [w for view in piece.views for w in _values_below(view, "" if path == "$this" else path)]
            if not wanted:
                return False
            told += 1
            for steps, expected in wanted:
                if not any(_holds(inner, expected) for inner in _reach(value, steps)):
                    return False
        return told > 0

    def _read(self, kind: str, url: str) -> Json | None:
        for folder in self._folders:
            file = folder / kind / f"{url.rpartition('/')[2]}.toml"
            if file.is_file():
                data = tomllib.loads(file.read_text(encoding="utf-8"))
                if data["url"] == url:
                    return data
        return None


def _values_below(view: View, path: str) -> Iterator[tuple[list[str], Any]]:
    """Fixed values and patterns at or below a path of a slice."""
    start = f"{view.id}.{path}" if path else view.id
    for identifier, said in view.structure.elements.items():
        if identifier != start and not identifier.startswith(f"{start}."):
            continue
        expected = said.get("fixed", said.get("pattern"))
        if expected is not None:
            steps = identifier[len(view.id) :].strip(".")
            yield [step.partition(":")[0] for step in steps.split(".") if step], expected


def _reach(value: Any, steps: list[str]) -> Iterator[Any]:
    if not steps:
        yield value
        return
    inner = value.get(steps[0]) if isinstance(value, dict) else None
    for item in as_list(inner) if inner is not None else ():
        yield from _reach(item, steps[1:])


def _holds(value: Any, pattern: Any) -> bool:
    """Whether a value has all that a pattern asks for."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(k in value and _holds(value[k], v) for k, v in pattern.items())
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(_holds(v, p) for v in value) for p in pattern)
    return bool(value == pattern)


def _number(most: Any) -> int:
    return MANY if most == "*" else int(most)


def _least(found: Iterator[Any]) -> int:
    return min((_number(most) for most in found), default=MANY)
