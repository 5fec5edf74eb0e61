"""Units of measure: codes of UCUM that have the form of its grammar, with its own unit atoms and prefixes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from fhirsynth.systems import UCUM
from fhirsynth.validation.findings import Issue

if TYPE_CHECKING:
    from lark import Lark

_MOST, _LONGEST = 20_000, 200
_judged: dict[str, list[Issue] | None] = {}


def of_quantity(value: Any) -> list[Issue] | None:
    """`ucum` [error]: the code of a Quantity in the system of UCUM is one of its units (`mm[Hg]`, not `mmHg`).

    Source: the Unified Code for Units of Measure, as the library ucumvert reads it.
    """
    code = value.get("code") if type(value) is dict and value.get("system") == UCUM else None
    if type(code) is not str:
        return None
    try:
        return _judged[code]
    except KeyError:
        found = None if is_unit(code) else [Issue("code", "ucum", repr(code[:60]), "a unit of UCUM")]
        if len(_judged) < _MOST:
            _judged[code] = found
        return found


def of_amount(value: Any) -> list[Issue] | None:
    """`ucum` [warning] for an Age, Count, Distance or Duration, whose units HL7's validator leaves alone."""
    found = of_quantity(value)
    return found and [issue._replace(severity="warning") for issue in found]


def is_unit(code: str) -> bool:
    """Whether a text is a unit of UCUM, case-sensitive form."""
    from lark.exceptions import LarkError

    if not 0 < len(code) <= _LONGEST:
        return False
    try:
        _parser().parse(code)
    except LarkError:
        return False
    return True


@cache
def _parser() -> Lark:
    """The parser, made when the first unit is met: its libraries take a tenth of a second to load."""
    from ucumvert import get_ucum_parser  # type: ignore[import-untyped]

    parser: Lark = get_ucum_parser()
    return parser
