"""The small pieces that resources are made of: codings, references, narrative, quantities, addresses, names.

What these return is put into many resources at once and must not be changed afterwards.
"""

from __future__ import annotations

from html import escape
from typing import Any

#: A FHIR element or resource.
Json = dict[str, Any]

UK_CORE = "https://fhir.hl7.org.uk/StructureDefinition/"

_NARRATIVE_START = '<div xmlns="http://www.w3.org/1999/xhtml">'
_NARRATIVE_END = "</div>"


def coding(system: str, code: str, display: str | None = None) -> Json:
    """A Coding."""
    if display is None:
        return {"system": system, "code": code}
    return {"system": system, "code": code, "display": display}


def concept(system: str, code: str, display: str) -> Json:
    """A CodeableConcept of one coding."""
    return {"coding": [coding(system, code, display)]}


def extension(name: str, kind: str, value: Any) -> Json:
    """A UK Core extension: `name` as in `Extension-UKCore-<name>`, `kind` as in `value<kind>`."""
    return {"url": f"{UK_CORE}Extension-UKCore-{name}", f"value{kind}": value}


def escaped(text: str) -> str:
    """`text` as it may stand in a narrative."""
    return escape(text, quote=False)


def narrative(text: str) -> Json:
    """A generated narrative that says `text`, which must already be `escaped`."""
    return {"status": "generated", "div": _NARRATIVE_START + text + _NARRATIVE_END}


def number(value: float, decimals: int) -> float | int:
    """A reading with at most `decimals` decimals; whole numbers are written without a point."""
    return round(value, decimals) if decimals else round(value)


def address(lines: str, postcode: str | None, use: str, country: str = "GB") -> Json:
    """An Address from lines joined by line ends, the last of them the town."""
    *street, town = lines.split("\n")
    found: Json = {"use": use, "type": "physical"}
    if street:
        found["line"] = street
    found["city"] = town
    if postcode is not None:
        found["postalCode"] = postcode
    found["country"] = country
    return found


def human_name(prefix: str, given: str, surname: str, use: str = "official") -> Json:
    """A HumanName; `given` names are separated by a space, and "" where somebody has only one name."""
    name: Json = {"use": use, "text": " ".join(filter(None, (prefix, given, surname))), "family": surname}
    if given:
        name["given"] = given.split(" ")
    if prefix:
        name["prefix"] = [prefix]
    return name


def phone(value: str, use: str) -> Json:
    """A ContactPoint for a telephone."""
    return {"system": "phone", "value": value, "use": use}


def phone_of(value: str) -> Json:
    """A ContactPoint for a number of the United Kingdom: mobile numbers begin with 07."""
    return phone(value, "mobile" if value.startswith("07") else "home")
