"""The form of SNOMED CT identifiers, which dm+d uses too: length, partition and check digit.

Source: SNOMED CT Release File Specification, "SCTID" (SNOMED International); the check digit is Verhoeff's.
"""

from __future__ import annotations

import re


def _tables() -> tuple[list[list[int]], list[list[int]]]:
    """Verhoeff's tables: products in the dihedral group of ten, and what is done to a digit by its place."""
    products = [
        [(a + b) % 5 + (5 if b > 4 else 0) if a < 5 else (a - b) % 5 + (0 if b > 4 else 5) for b in range(10)]
        for a in range(10)
    ]
    step = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    places = [list(range(10))]
    for _ in range(7):
        places.append([places[-1][digit] for digit in step])
    return products, places


_PRODUCTS, _PLACES = _tables()
_KINDS = {"0": "a concept", "1": "a description", "2": "a relationship"}
_FORM = re.compile(r"[1-9][0-9]{5,17}")
#: What tells a post-coordinated expression (SNOMED CT Compositional Grammar) from an identifier.
_EXPRESSION = frozenset(" :+=,{}()|<\t\r\n")
_TERM = re.compile(r"\|[^|]*\|")
_QUOTED = re.compile(r'"[^"]*"|#[+-]?[0-9.]+')
_NUMBER = re.compile(r"[0-9]+")


def has_check_digit(digits: str) -> bool:
    """Whether the last of these digits is right for the others (Verhoeff)."""
    found = 0
    for place, digit in enumerate(reversed(digits)):
        found = _PRODUCTS[found][_PLACES[place % 8][int(digit)]]
    return found == 0


def fault(code: str) -> str:
    """What keeps a code from being the identifier of a SNOMED CT concept; "" where nothing does."""
    if _FORM.fullmatch(code) is None:
        return "not of 6 to 18 digits"
    if not has_check_digit(code):
        return "with a wrong check digit"
    partition, kind = code[-3], code[-2]
    if partition not in "01" or kind not in _KINDS:
        return f"of a partition, {partition}{kind}, that does not exist"
    if partition == "1" and len(code) < 11:
        return "too short for an identifier with a namespace"
    return f"the identifier of {_KINDS[kind]}" if kind != "0" else ""


def expression_fault(code: str) -> str:
    """The same for a code that may be a post-coordinated expression: each concept in it must be sound."""
    if _EXPRESSION.isdisjoint(code):
        return fault(code)
    numbers = _NUMBER.findall(_QUOTED.sub(" ", _TERM.sub(" ", code)))
    if not numbers:
        return "neither an identifier nor an expression of identifiers"
    return next((f"an expression with {number}, {wrong}" for number in numbers if (wrong := fault(number))), "")
