"""What a search can find in an element: tokens, references, strings, spans of time and quantities of FHIR's JSON.

Nothing here raises for what stands in a resource: an element of another form than expected has no values.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

#: The system of a code whose element implies it (`gender`, `status`): any that is asked for is right.
IMPLIED = "\0"

_OF_NAME = ("family", "given", "prefix", "suffix", "text")
_OF_ADDRESS = ("line", "city", "district", "state", "postalCode", "country", "text")


class Quantity(NamedTuple):
    """A number with its unit: what it is called, and its system and code where they are given."""

    value: float
    unit: str
    system: str
    code: str


def tokens(value: Any) -> list[tuple[str, str]]:
    """(system, code) of a CodeableConcept, Coding, Identifier, ContactPoint, code or boolean; system "" is none."""
    if isinstance(value, dict):
        codings = value.get("coding")
        if not isinstance(codings, list):
            codings = [value]
        found = []
        for coding in codings:
            if isinstance(coding, dict):
                code, system = coding.get("code", coding.get("value")), coding.get("system", "")
                if isinstance(code, str) and isinstance(system, str):
                    found.append((system, code))
        return found
    if isinstance(value, str):
        return [(IMPLIED, value)]
    if isinstance(value, bool):
        return [(IMPLIED, "true" if value else "false")]
    return []


def references(value: Any) -> list[tuple[str, str]]:
    """(type, id) of a reference within the server, or of a resource that is there itself; ("", text) of any other."""
    text = value
    if isinstance(value, dict):
        text = value.get("reference")
        if text is None and "resourceType" in value:
            kind, identity = value["resourceType"], value.get("id")
            return [(kind, identity)] if isinstance(kind, str) and isinstance(identity, str) else []
    return [split_reference(text)] if isinstance(text, str) and text else []


def split_reference(text: str) -> tuple[str, str]:
    """(type, id) of `Type/id`, with a version or without; ("", text) of a URL or what is contained."""
    parts = text.split("/")
    if len(parts) == 2 or (len(parts) == 4 and parts[2] == "_history"):
        kind, identity = parts[:2]
        if kind.isalpha() and kind[0].isupper() and identity:
            return kind, identity
    return "", text


def strings(value: Any) -> Iterator[str]:
    """The texts of a string, a HumanName or an Address."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key in _OF_ADDRESS if any(part in value for part in _OF_ADDRESS[:-1]) else _OF_NAME:
            found = value.get(key)
            for text in found if isinstance(found, list) else [found]:
                if isinstance(text, str):
                    yield text


def quantities(value: Any) -> Iterator[Quantity]:
    """The number of a Quantity, with its unit."""
    if isinstance(value, dict) and isinstance(value.get("value"), int | float) and not isinstance(value["value"], bool):
        unit, system, code = (value.get(key, "") for key in ("unit", "system", "code"))
        if isinstance(unit, str) and isinstance(system, str) and isinstance(code, str):
            yield Quantity(float(value["value"]), unit, system, code)


def fold(text: str) -> str:
    """A text as searches compare it: without case, accents, punctuation, and with single spaces; a hyphen is a space.

    `fold("  O’Brien-LLŶR ") == "obrien llyr"`
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
    kept = []
    for character in text.casefold():
        if character.isalnum():
            kept.append(character)
        elif character.isspace() or unicodedata.category(character) == "Pd":
            kept.append(" ")
        elif unicodedata.category(character)[0] not in "PMC":
            kept.append(character)
    return " ".join("".join(kept).split())


def around(number: Decimal) -> tuple[float, float]:
    """The numbers that a number stands for as it is written: 5.4 for those from 5.35 to under 5.45."""
    exponent = number.as_tuple().exponent
    half = Decimal(5).scaleb(exponent - 1 if isinstance(exponent, int) else 0)
    return float(number - half), float(number + half)
