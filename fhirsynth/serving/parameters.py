"""Search parameters, as `parameters.toml` has them, and the fields of the index that they search in.

A field is one path in one type of resource, read in one way. Parameters that take their values from the same elements
share it: `patient` and `subject`, `code` and `combo-code`.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any, NamedTuple

from fhirsynth.serving import values
from fhirsynth.serving.dates import span_of

Json = dict[str, Any]
#: A value of a field. token, reference, uri: (system or type, code or id); string: (folded, as it is);
#: date: (first, end); quantity: (value, unit, system, code).
Value = tuple[Any, ...]

#: The type of resource under which stand the parameters that all types have.
ANY = "Resource"
_CANONICAL = "http://hl7.org/fhir/SearchParameter/"


class _Step(NamedTuple):
    """One element of a path, and what another element in it must be for it to count."""

    name: str
    where: tuple[str, str] | None


@dataclass(frozen=True)
class Field:
    """One path in a type of resource. `present`: its value is whether there is anything, other than false."""

    kind: str
    type: str
    path: str
    present: bool = False

    @cached_property
    def _ways(self) -> tuple[tuple[_Step, ...], ...]:
        return tuple(tuple(map(_step, way.split("."))) for way in self.path.split(" | "))

    @property
    def first(self) -> str:
        """The element that a path begins with."""
        return self._ways[0][0].name

    @property
    def numbered(self) -> bool:
        """Whether its values are the same few URLs again and again, so that the index has a number for each."""
        return self.type == "uri" and self.path.startswith("meta.")

    def values(self, resource: Json) -> Iterator[Value]:
        """The values in a resource."""
        if self.present:
            found = (element for way in self._ways for element in _below(way, resource.get(way[0].name)))
            yield values.IMPLIED, "true" if any(element is not False for element in found) else "false"
        else:
            yield from self.values_in(resource.get(self.first))

    def values_in(self, element: Any) -> list[Value]:
        """The values in what a resource has as the first element of the path."""
        return [value for found in _below(self._way, element) for value in self._read(found)]

    @cached_property
    def _way(self) -> tuple[_Step, ...]:
        return self._ways[0]

    @cached_property
    def _read(self) -> Callable[[Any], Iterable[Value]]:
        return _READ[self.type]


@dataclass(frozen=True)
class Parameter:
    """One search parameter of one type of resource.

    `kind`: the type of resource, `type`: that of the search (token, reference, string, date, quantity, uri), `path`:
    the elements it searches in, `target`: the one type that a reference must point to, `defined`: its canonical URL.
    """

    kind: str
    name: str
    type: str
    path: str
    target: str | None
    present: bool
    defined: str

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """Where it searches."""
        paths = [self.path] if self.present else self.path.split(" | ")
        return tuple(Field(self.kind, self.type, path, self.present) for path in paths)

    def values(self, resource: Json) -> Iterator[Value]:
        """The values in a resource; of a reference also those to other types than the target."""
        for field in self.fields:
            yield from field.values(resource)


class Parameters:
    """The search parameters of all types of resource."""

    def __init__(self, text: str) -> None:
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        self._of: dict[str, dict[str, Parameter]] = {}
        read: dict[str, dict[str, Any]] = tomllib.loads(text)
        self._common = read.pop(ANY)
        for kind, rows in read.items():
            self._of[kind] = {name: _parameter(kind, name, row) for name, row in {**rows, **self._common}.items()}

    @property
    def kinds(self) -> frozenset[str]:
        """The types of resource that have parameters of their own."""
        return frozenset(self._of)

    def of(self, kind: str) -> Mapping[str, Parameter]:
        """The parameters of a type of resource by name; of an unknown one those that all types have."""
        if kind not in self._of:
            return {name: _parameter(kind, name, row) for name, row in self._common.items()}
        return self._of[kind]

    def fields(self, kind: str) -> list[Field]:
        """The fields of a type of resource, each once."""
        return list(dict.fromkeys(field for parameter in self.of(kind).values() for field in parameter.fields))


@cache
def load() -> Parameters:
    """The search parameters of the package."""
    return Parameters(resources.files(__package__).joinpath("parameters.toml").read_text("utf-8"))


def _parameter(kind: str, name: str, row: Mapping[str, Any]) -> Parameter:
    return Parameter(
        kind,
        name,
        row["type"],
        row["path"],
        row.get("target"),
        row.get("present", False),
        _CANONICAL + row.get("defined", f"{kind}-{name}"),
    )


def _step(text: str) -> _Step:
    name, _, where = text.partition("[")
    key, _, value = where.removesuffix("]").partition("=")
    return _Step(name, (key, value) if where else None)


def _below(way: tuple[_Step, ...], element: Any) -> list[Any]:
    """What stands at a path whose first element is this, lists being taken apart."""
    if element is None:
        return []
    found = element if isinstance(element, list) else [element]
    for number, (name, where) in enumerate(way):
        if number:
            inner: list[Any] = []
            for part in found:
                if isinstance(part, dict) and (value := part.get(name)) is not None:
                    if isinstance(value, list):
                        inner += value
                    else:
                        inner.append(value)
            found = inner
        if where is not None:
            key, wanted = where
            found = [part for part in found if isinstance(part, dict) and part.get(key) == wanted]
    return found


def _uris(element: Any) -> Iterator[Value]:
    if isinstance(element, str):
        yield values.IMPLIED, element


def _strings(element: Any) -> Iterator[Value]:
    for text in values.strings(element):
        yield values.fold(text), text


def _spans(element: Any) -> Iterator[Value]:
    if (span := span_of(element)) is not None:
        yield span


_READ: Mapping[str, Callable[[Any], Iterable[Value]]] = {
    "token": values.tokens,
    "reference": values.references,
    "uri": _uris,
    "string": _strings,
    "date": _spans,
    "quantity": values.quantities,
}
