"""Quantities: a value with a unit, and those units of UCUM that can be told apart and converted without its tables."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from fhirsynth.systems import UCUM
from fhirsynth.validation.fhirpath.errors import Undecided

#: The words for time that may follow a number in FHIRPath, and their UCUM units.
CALENDAR = {
    word + plural: unit
    for word, unit in (
        ("year", "a"),
        ("month", "mo"),
        ("week", "wk"),
        ("day", "d"),
        ("hour", "h"),
        ("minute", "min"),
        ("second", "s"),
        ("millisecond", "ms"),
    )
    for plural in ("", "s")
}

#: Units that take prefixes, each of its own dimension; L is worked out from m.
_METRIC = frozenset(("g", "m", "s", "mol", "Pa", "J", "W", "V", "Hz", "kat", "U", "[iU]", "eq", "osm", "cal", "bar"))
_PREFIXES = {
    "": Decimal(1),
    "k": Decimal(1000),
    "h": Decimal(100),
    "d": Decimal("0.1"),
    "c": Decimal("0.01"),
    "m": Decimal("0.001"),
    "u": Decimal("1e-6"),
    "n": Decimal("1e-9"),
    "p": Decimal("1e-12"),
    "f": Decimal("1e-15"),
}
_FIXED = {
    "1": ("1", Decimal(1)),
    "": ("1", Decimal(1)),
    "%": ("1", Decimal("0.01")),
    "min": ("s", Decimal(60)),
    "h": ("s", Decimal(3600)),
    "d": ("s", Decimal(86400)),
    "wk": ("s", Decimal(604800)),
    "mo": ("s", Decimal("2629800")),
    "a": ("s", Decimal("31557600")),
    "[in_i]": ("m", Decimal("0.0254")),
    "[ft_i]": ("m", Decimal("0.3048")),
    "[lb_av]": ("g", Decimal("453.59237")),
    "[oz_av]": ("g", Decimal("28.349523125")),
    "mm[Hg]": ("Pa", Decimal("133.322")),
    "Cel": ("Cel", Decimal(1)),
    "[degF]": ("[degF]", Decimal(1)),
}


class Quantity(NamedTuple):
    """A number and its UCUM unit. A unit that is mere text carries a blank before it: no UCUM unit equals it."""

    value: Decimal
    unit: str

    def __str__(self) -> str:
        return f"{self.value} '{self.unit.strip()}'"


def quantity_of(value: Any) -> Quantity | None:
    """A FHIR Quantity in JSON, a number or a Quantity as a Quantity, None where it has no value."""
    if isinstance(value, Quantity):
        return value
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return Quantity(decimal(value), "1")
    if not isinstance(value, dict):
        return None
    number = value.get("value")
    if not isinstance(number, (int, float, Decimal)) or isinstance(number, bool):
        return None
    code, system, unit = value.get("code"), value.get("system"), value.get("unit")
    if isinstance(code, str):
        return Quantity(decimal(number), code if system in (UCUM, None) else f" {system}|{code}")
    return Quantity(decimal(number), f" {unit}" if isinstance(unit, str) else "1")


def decimal(number: int | float | Decimal) -> Decimal:
    """A number of JSON as the decimal that was written."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def order(left: Quantity, right: Quantity) -> int | None:
    """-1, 0 or 1 as the left quantity is less than, equal to or greater than the right one.

    None where they measure different things. Raises Undecided where the units cannot be converted.
    """
    a, b = left.value, right.value
    if left.unit != right.unit:
        one, other = _measure(left.unit), _measure(right.unit)
        if one is None or other is None:
            raise Undecided(f"{left.unit} beside {right.unit}")
        if one[0] != other[0]:
            return None
        a, b = a * one[1], b * other[1]
    return (a > b) - (a < b)


@lru_cache(512)
def _measure(unit: str) -> tuple[tuple[str, ...], Decimal] | None:
    """The dimensions that a unit measures (numerator, denominators) and its factor; None where it is unknown."""
    dimensions: list[str] = []
    factor = Decimal(1)
    for place, part in enumerate(unit.split("/")):
        found = _simple(part)
        if found is None:
            return None
        dimensions.append(found[0])
        factor = factor / found[1] if place else factor * found[1]
    return (dimensions[0], *sorted(name for name in dimensions[1:] if name != "1")), factor


def _simple(unit: str) -> tuple[str, Decimal] | None:
    if unit in _FIXED:
        return _FIXED[unit]
    for length in (0, 1):
        prefix, rest = unit[:length], unit[length:]
        if prefix in _PREFIXES:
            if rest in _METRIC:
                return rest, _PREFIXES[prefix]
            if rest in ("L", "l"):
                return "L", _PREFIXES[prefix]
    return None
