"""What the operators of FHIRPath do with values: equality, order, arithmetic. None is the empty collection."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, DivisionByZero, InvalidOperation
from typing import Any

from fhirsynth.validation.fhirpath import moments, quantities
from fhirsynth.validation.fhirpath.errors import Undecided
from fhirsynth.validation.fhirpath.moments import Moment, moment
from fhirsynth.validation.fhirpath.nodes import Element, Items, Keys, as_text, plain
from fhirsynth.validation.fhirpath.quantities import Quantity, decimal, quantity_of

_UNIT = ("unit", "code", "system")
_NUMBERS = (int, float, Decimal)


def is_number(value: Any) -> bool:
    """Whether a plain value is an integer or a decimal."""
    return type(value) in _NUMBERS


def equal(left: Any, right: Any) -> bool | None:
    """`left = right` of two plain values; None where the precision of dates leaves it open.

    An element without a value (its extension says why) equals nothing, as in HL7's validator.
    """
    one, other = type(left), type(right)
    if one is str and other is str:
        return left == right or _both_moments(left, right)
    if one is dict or other is dict:
        return _equal_objects(left, right)
    if one in _NUMBERS and other in _NUMBERS:
        return left == right if one is other else decimal(left) == decimal(right)
    if one is Moment or other is Moment:
        a, b = as_moment(left), as_moment(right)
        return _same(moments.order(a, b)) if a is not None and b is not None else False
    if one is Quantity or other is Quantity:
        c, d = quantity_of(left), quantity_of(right)
        return _same_quantity(c, d) if c is not None and d is not None else False
    return bool(left == right) if one is other else False


def _equal_objects(left: Any, right: Any) -> bool | None:
    if type(left) is Quantity or type(right) is Quantity or (_measures(left) and _measures(right)):
        a, b = quantity_of(left), quantity_of(right)
        return _same_quantity(a, b) if a is not None and b is not None else False
    if type(left) is not type(right) or left.keys() != right.keys():
        return False
    keys = Keys()
    return bool(keys.of(left) == keys.of(right))


def _measures(value: Any) -> bool:
    """Whether an object is a Quantity with a value and a unit."""
    return type(value) is dict and "value" in value and ("unit" in value or "code" in value)


def _same_quantity(left: Quantity, right: Quantity) -> bool | None:
    try:
        return _same(quantities.order(left, right))
    except Undecided:
        return None


def _same(order: int | None) -> bool | None:
    return None if order is None else order == 0


def _both_moments(left: str, right: str) -> bool | None:
    """Two texts that differ: still equal if both are the same moment in other offsets, open if one is less precise."""
    if not (left[:4].isdigit() and right[:4].isdigit()):
        return False
    a, b = moment(left), moment(right)
    if a is None or b is None:
        return False
    return _same(moments.order(a, b))


def as_moment(value: Any) -> Moment | None:
    """A plain value as a moment, None where it is none."""
    if type(value) is Moment:
        return value
    return moment(value) if type(value) is str else None


def equal_items(left: Items, right: Items) -> bool | None:
    """`left = right` of two collections: as long, and equal place by place."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    answer: bool | None = True
    for one, other in zip(left, right, strict=True):
        same = equal(plain(one), plain(other))
        if same is False:
            return False
        if same is None:
            answer = None
    return answer


def equivalent_items(left: Items, right: Items) -> bool:
    """`left ~ right`: equal but for order, letter case, white space and digits beyond those of the coarser number."""
    if len(left) != len(right):
        return False
    if len(left) == 1:
        return _equivalent(plain(left[0]), plain(right[0]))
    keys = Keys(loose=True)
    return sorted(keys.all(left), key=repr) == sorted(keys.all(right), key=repr)


def _equivalent(left: Any, right: Any) -> bool:
    if is_number(left) and is_number(right):
        a, b = decimal(left).normalize(), decimal(right).normalize()
        places = max(int(a.as_tuple().exponent), int(b.as_tuple().exponent))
        step = Decimal(1).scaleb(min(places, 0))
        return a.quantize(step) == b.quantize(step)
    if type(left) in (Moment, Quantity) or type(right) in (Moment, Quantity):
        return equal(left, right) is True
    keys = Keys(loose=True)
    return bool(keys.of(left) == keys.of(right))


def compared(left: Any, right: Any) -> int | None:
    """-1, 0 or 1 as a plain value is less than, equal to or greater than another; None where it is open.

    Raises Undecided for values that have no order: a number beside a text, objects that are no quantities.
    """
    one, other = type(left), type(right)
    if left is None or right is None or one is Element or other is Element:
        return None
    if one is str and other is str:
        # texts as long as each other with the same offset are in the order of the moments that they may state
        if len(left) != len(right) or left[19:] != right[19:]:
            a, b = moment(left), moment(right)
            if a is not None and b is not None:
                return moments.order(a, b)
        return int(left > right) - int(left < right)
    if one in _NUMBERS and other in _NUMBERS:
        if one is not other:
            left, right = decimal(left), decimal(right)
        return int(left > right) - int(left < right)
    if one is Moment or other is Moment:
        a, b = as_moment(left), as_moment(right)
        if a is not None and b is not None:
            return moments.order(a, b)
    elif one in (dict, Quantity) or other in (dict, Quantity):
        if one is other is dict and all(left.get(part) == right.get(part) for part in _UNIT):
            return compared(left.get("value"), right.get("value"))
        c, d = quantity_of(left), quantity_of(right)
        if c is not None and d is not None:
            return quantities.order(c, d)
        if one in (dict, Quantity) and other in (dict, Quantity):
            return None  # a Quantity without a value
    raise Undecided(f"{left!r} beside {right!r}")


def _concatenated(left: Any, right: Any) -> str:
    return (as_text(left) or "") + (as_text(right) or "")


def _added(left: Any, right: Any) -> Any:
    if type(left) is str and type(right) is str:
        return left + right
    if type(right) is Quantity:
        return _later(left, right)
    return decimal_of(left) + decimal_of(right)


def _subtracted(left: Any, right: Any) -> Any:
    if type(right) is Quantity:
        return _later(left, Quantity(-right.value, right.unit))
    return decimal_of(left) - decimal_of(right)


def _later(left: Any, span: Quantity) -> Any:
    start = as_moment(left)
    if start is not None:
        return moments.shifted(start, span.value, span.unit)
    base = quantity_of(left)
    if base is None or base.unit != span.unit:
        raise Undecided(f"{left!r} beside {span}")
    return Quantity(base.value + span.value, base.unit)


def decimal_of(value: Any) -> Decimal:
    """A number as a decimal. Raises Undecided for what is none."""
    if type(value) not in _NUMBERS:
        raise Undecided(f"{value!r} is no number")
    return decimal(value)


def _multiplied(left: Any, right: Any) -> Any:
    if type(left) is Quantity or type(right) is Quantity:
        a, b = quantity_of(left), quantity_of(right)
        if a is None or b is None or "1" not in (a.unit, b.unit):
            raise Undecided(f"{left!r} times {right!r}")
        return Quantity(a.value * b.value, a.unit if b.unit == "1" else b.unit)
    return decimal_of(left) * decimal_of(right)


def _divided(left: Any, right: Any) -> Any:
    if type(left) is Quantity:
        by = quantity_of(right)
        if by is None or by.unit not in ("1", left.unit):
            raise Undecided(f"{left!r} by {right!r}")
        return None if not by.value else Quantity(left.value / by.value, "1" if by.unit == left.unit else left.unit)
    return decimal_of(left) / decimal_of(right)


def _whole(left: Any, right: Any) -> Any:
    return int(decimal_of(left) / decimal_of(right))


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": _added,
    "-": _subtracted,
    "*": _multiplied,
    "/": _divided,
    "div": _whole,
    "mod": lambda left, right: decimal_of(left) % decimal_of(right),
}


def calculator(operator: str) -> Callable[[Any, Any], Any]:
    """What works out `left operator right` of two plain values, either of which may be None.

    Division by zero is empty; whole numbers stay so but where they are divided with `/`.
    """
    if operator == "&":
        return _concatenated
    calculate = _ARITHMETIC[operator]

    def run(left: Any, right: Any) -> Any:
        if left is None or right is None or type(left) is Element or type(right) is Element:
            return None
        try:
            found = calculate(left, right)
        except (DivisionByZero, InvalidOperation):
            return None
        if type(left) is int and type(right) is int and operator != "/":
            return int(found)
        return found

    return run
