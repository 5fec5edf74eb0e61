"""Where mutations come from: valid resources of each profile, and values that could be added to them."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from definitions import Definitions, Json, Node, Property, Step, as_list

#: The longest resource that is mutated, in characters of JSON.
_LONGEST = 12_000


class Subject:
    """A valid resource that is to be changed, with all that is defined of its values."""

    def __init__(self, resource: Json, profile: str, pool: Pool) -> None:
        self.resource = resource
        self.profile = profile
        self.pool = pool
        self.definitions = pool.definitions
        self._possible: dict[tuple[Step, ...], list[Property]] = {}

    @cached_property
    def nodes(self) -> list[Node]:
        """All values."""
        return list(self.definitions.walk(self.resource))

    @cached_property
    def objects(self) -> list[Node]:
        """All values that are objects."""
        return [node for node in self.nodes if isinstance(node.value, dict)]

    def possible(self, node: Node) -> list[Property]:
        """All properties that an object may have."""
        if node.steps not in self._possible:
            self._possible[node.steps] = list(self.definitions.possible(node))
        return self._possible[node.steps]

    def present(self) -> Iterator[tuple[Node, Property]]:
        """All properties, with the object that has them."""
        for node in self.objects:
            for item in self.possible(node):
                if item.key in node.value:
                    yield node, item

    def absent(self, *, deep: bool = True) -> Iterator[tuple[Node, Property]]:
        """All properties that an object does not have but could."""
        for node in self.objects if deep else self.objects[:1]:
            names = {item.name for item in self.possible(node) if item.key in node.value}
            for item in self.possible(node):
                if item.name not in names and item.key not in ("id", "extension", "modifierExtension", "contained"):
                    yield node, item


class Pool:
    """Valid resources by profile, and values to add to others."""

    def __init__(self, definitions: Definitions, bundles: Iterable[Json], each: int = 60) -> None:
        self.definitions = definitions
        self.by_profile: dict[str, list[Json]] = defaultdict(list)
        self.by_type: dict[str, Json] = {}
        for bundle in bundles:
            for entry in bundle["entry"]:
                resource = entry["resource"]
                for url in resource["meta"]["profile"]:
                    found = self.by_profile[url.rpartition("/")[2]]
                    if len(found) < each:
                        found.append(resource)
                self.by_type.setdefault(resource["resourceType"], resource)

    def subjects(self, count: int = 3) -> Iterator[list[Subject]]:
        """Of each profile the resources that have the most different elements, and are not too long."""
        for profile in sorted(self.by_profile):
            found = [item for item in self.by_profile[profile] if len(json.dumps(item)) < _LONGEST]
            chosen: list[Json] = []
            seen: set[str] = set()
            for _ in range(count):
                best = max(found, key=lambda item: len(_shapes(item) - seen))
                if not chosen or _shapes(best) - seen:
                    chosen.append(best)
                    seen |= _shapes(best)
            yield [Subject(item, profile, self) for item in chosen]

    def codes(self, url: str) -> list[tuple[str, str]]:
        """Systems and codes of a value set, as far as listed."""
        values = self.definitions.value_set(url)
        return [(system, code) for system, codes in (values or {}).get("codes", {}).items() for code in codes]

    def example(self, item: Property, depth: int = 0) -> Any:
        """A value that an element may have, not in a list; None where none comes to mind."""
        for key in ("fixed", "pattern"):
            if (value := item.say(key)) is not None:
                return copy.deepcopy(value)
        binding = item.say("binding") or {}
        must = binding.get("max_value_set") or (binding.get("strength") == "required" and binding.get("value_set"))
        codes = self.codes(must or binding.get("value_set", ""))
        if must and not codes:
            return None
        match item.type:
            case "Reference":
                return {"display": "Example"}
            case "CodeableConcept":
                return {"coding": [_coding(codes)]} if codes else {"text": "Example"}
            case "Coding":
                return _coding(codes or [("https://example.org/codes", "example")])
            case "code":
                return codes[0][1] if codes else "example"
            case "Extension" | "Resource" | "Narrative" | "xhtml":
                return None
        if item.type in EXAMPLES:
            return EXAMPLES[item.type]
        return self._complex(item, depth) if depth < 4 else None

    def _complex(self, item: Property, depth: int) -> Json | None:
        node = self.definitions.node(item, {}, (*item.holder, item.key, *((0,) if item.many else ())))
        found: Json = {}
        names: set[str] = set()
        children = [c for c in self.definitions.possible(node) if c.key not in ("id", "extension", "modifierExtension")]
        for child in children:
            if child.min and child.name not in names:
                value = self.example(child, depth + 1)
                if value is None:
                    return None
                names.add(child.name)
                found[child.key] = [value] if child.many else value
        if not found:
            for child in children:
                if child.type in EXAMPLES or child.type in ("code", "CodeableConcept", "Reference"):
                    value = self.example(child, depth + 1)
                    if value is not None and child.max:
                        found[child.key] = [value] if child.many else value
                        break
        return found or None


def _coding(codes: list[tuple[str, str]]) -> Json:
    system, code = codes[0]
    return {"system": system, "code": code}


#: A value of each simple type.
EXAMPLES: dict[str, Any] = {
    "base64Binary": "QUJD",
    "boolean": True,
    "canonical": "https://example.org/fhir/ValueSet/example",
    "date": "1990-01-01",
    "dateTime": "1990-01-01",
    "decimal": 1.5,
    "id": "example",
    "instant": "1990-01-01T10:00:00Z",
    "integer": 1,
    "markdown": "Example",
    "oid": "urn:oid:1.2.3",
    "positiveInt": 1,
    "string": "Example",
    "time": "10:00:00",
    "unsignedInt": 1,
    "uri": "https://example.org/example",
    "url": "https://example.org/example",
    "uuid": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
    "Quantity": {"value": 1.5},
    "Period": {"start": "1990-01-01"},
}
#: Properties that every object may have.
LABEL = "id", "extension", "modifierExtension"


def _shapes(value: Any, path: str = "") -> frozenset[str]:
    """The paths of all elements, and the URLs of all extensions."""
    found = {path}
    if isinstance(value, dict):
        if "url" in value:
            found.add(f"{path}={value['url']}")
        for key, inner in value.items():
            for item in as_list(inner):
                found |= _shapes(item, f"{path}.{key}")
    return frozenset(found)
