"""Resources as they are sent and compared: with every digit of their numbers, and what they refer to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

import orjson

from fhirsynth.reading import Json

#: Types of places and staff, which people's resources refer to.
PLACES = frozenset(("Organization", "Location", "Practitioner", "PractitionerRole", "HealthcareService"))


_LONG = 19  # digits that an integer of 64 bits may not have


class Entry(NamedTuple):
    """A resource and its name on a server, `Type/id`."""

    key: str
    resource: Json

    @property
    def kind(self) -> str:
        """Its resourceType."""
        return self.key.partition("/")[0]


def parse(data: bytes) -> Any:
    """JSON with its decimals as `Decimal`, which keeps 70.50 apart from 70.5. Raises ValueError, RecursionError."""
    return json.loads(data, parse_float=Decimal, parse_int=_integer, parse_constant=_no_number)


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) < _LONG else Decimal(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def written(value: Any) -> bytes:
    """What `parse` gives, as JSON on one line."""
    return orjson.dumps(value, default=_digits)


def _digits(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} is not of JSON")


def entry(resource: Any) -> Entry:
    """A resource under its name. Raises ValueError, in words, where it has none."""
    if not isinstance(resource, dict):
        raise ValueError("expected a resource, an object with a resourceType and an id")
    kind, id_ = resource.get("resourceType"), resource.get("id")
    if not (isinstance(kind, str) and kind.isalpha()):
        raise ValueError("expected a resource with a resourceType")
    if not (isinstance(id_, str) and id_ and "/" not in id_):
        raise ValueError(f"the {kind} has no id, under which it would be put")
    return Entry(f"{kind}/{id_}", resource)


def references(value: Any) -> Iterator[str]:
    """All literal references of a resource, or of a part of it."""
    todo = [value]
    while todo:
        found = todo.pop()
        if isinstance(found, dict):
            reference = found.get("reference")
            if isinstance(reference, str):
                yield reference
            todo.extend(inner for inner in found.values() if isinstance(inner, dict | list))
        elif isinstance(found, list):
            todo.extend(inner for inner in found if isinstance(inner, dict | list))


def transaction(entries: Iterable[Entry], base: str) -> bytes:
    """A bundle that puts each resource at its own id on the server at `base`, all of them or none."""
    return written(
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {
                    "fullUrl": f"{base}/{found.key}",
                    "resource": found.resource,
                    "request": {"method": "PUT", "url": found.key},
                }
                for found in entries
            ],
        }
    )
