"""The small language of `when` and `blocked_by`: `egfr<30`, `age>75`, `condition:asthma`, `allergy:nsaid`.

Forms: `<observable><op><number>`, `age<op><number>`, `sex=female`, `smoking=current` (likewise alcohol,
bmi), `condition:<key>`, `allergy:<drug class>`, `taking:<drug class>`, `pregnancy`. `<op>` is one of < <= > >=.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal, NamedTuple

Kind = Literal["level", "age", "sex", "habit", "condition", "allergy", "taking", "pregnancy"]

#: What a term may look like, as it is said to whoever wrote another one.
FORMS = (
    "<observable><op><number>, age<op><number>, sex=female, habit=state, condition:<key>, allergy:<class>, "
    "taking:<class> or pregnancy"
)
_COMPARISON = re.compile(r"^([a-z0-9-]+)\s*(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)$")
_HABITS = ("smoking", "alcohol", "bmi")


class Expression(NamedTuple):
    """One parsed term: what it looks at, which one, how it compares, with what."""

    kind: Kind
    name: str
    operator: str
    value: float
    state: str


@cache
def parse(text: str) -> Expression:
    """Read one term. Raises ValueError naming the term and the forms that are understood."""
    if text == "pregnancy":
        return Expression("pregnancy", "", "", 0.0, "")
    if match := _COMPARISON.match(text):
        name, operator, value = match.groups()
        kind: Kind = "age" if name == "age" else "level"
        return Expression(kind, name, operator, float(value), "")
    for prefix in ("condition", "allergy", "taking"):
        if text.startswith(prefix + ":"):
            return Expression(prefix, text.partition(":")[2], "", 0.0, "")
    name, equals, state = text.partition("=")
    if equals and name == "sex" and state in ("female", "male"):
        return Expression("sex", name, "", 0.0, state)
    if equals and name in _HABITS:
        return Expression("habit", name, "", 0.0, state)
    raise ValueError(f"expected {FORMS}, found {text!r}")


def compare(left: float, operator: str, right: float) -> bool:
    """`left operator right` for one of < <= > >=."""
    if operator == "<":
        return left < right
    if operator == ">":
        return left > right
    if operator == "<=":
        return left <= right
    return left >= right
