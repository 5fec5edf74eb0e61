"""What a piece of an expression compiles to: closures over (`$this`, environment), in whatever form a caller needs.

`where` asks only whether its criterion is true, `exists()` only whether there is something, `=` for a single value.
A piece knows the form that is natural to it and perhaps faster ones; the others are worked out from these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from fhirsynth.validation.fhirpath.nodes import Items, single, truth

ToItems: TypeAlias = Callable[[Any, Any], Items]
ToValue: TypeAlias = Callable[[Any, Any], Any]
ToTruth: TypeAlias = Callable[[Any, Any], bool | None]
Test: TypeAlias = Callable[[Any, Any], bool]


class Code:
    """A compiled piece.

    `items` gives the collection; `value` its only item as a plain value (None for none, Undecided for many); `truth`
    the same as a boolean of three values; `yes` and `no` whether that is certainly true or false; `exists` whether the
    collection holds anything. `total`: `truth` is never None. `plural`: there may be several items. `constant`: the
    items, where they are known beforehand. `fixed`: pairs of a child of `$this` and the text it must be, where the
    code asks just for these.
    """

    __slots__ = ("constant", "exists", "fixed", "items", "no", "plural", "total", "truth", "value", "yes")

    def __init__(
        self,
        items: ToItems,
        value: ToValue,
        truth: ToTruth,
        yes: Test,
        no: Test,
        exists: Test,
        total: bool = False,
    ) -> None:
        self.items = items
        self.value = value
        self.truth = truth
        self.yes = yes
        self.no = no
        self.exists = exists
        self.total = total
        self.plural = False
        self.constant: Items | None = None
        self.fixed: tuple[tuple[str, str], ...] = ()


def of_items(items: ToItems, exists: Test | None = None, value: ToValue | None = None) -> Code:
    """Code of what gives a collection."""

    def as_truth(this: Any, env: Any) -> bool | None:
        return truth(items(this, env))

    code = Code(
        items,
        value or (lambda this, env: single(items(this, env))),
        as_truth,
        lambda this, env: truth(items(this, env)) is True,
        lambda this, env: truth(items(this, env)) is False,
        exists or (lambda this, env: len(items(this, env)) > 0),
    )
    code.plural = True
    return code


def of_value(value: ToValue) -> Code:
    """Code of what gives a single plain value or None."""

    def items(this: Any, env: Any) -> Items:
        found = value(this, env)
        return () if found is None else (found,)

    return of_items(items, lambda this, env: value(this, env) is not None, value)


def of_constant(items: Items) -> Code:
    """Code of items that are known beforehand."""
    code = of_items(lambda this, env: items)
    code.constant = items
    if len(items) == 1:
        code.value = lambda this, env: items[0]
    return code


def of_truth(answer: ToTruth, yes: Test | None = None, no: Test | None = None) -> Code:
    """Code of what answers true, false or nothing."""

    def items(this: Any, env: Any) -> Items:
        found = answer(this, env)
        return () if found is None else (found,)

    return Code(
        items,
        answer,
        answer,
        yes or (lambda this, env: answer(this, env) is True),
        no or (lambda this, env: answer(this, env) is False),
        lambda this, env: answer(this, env) is not None,
    )


def of_test(test: Test) -> Code:
    """Code of what always answers true or false."""
    return Code(
        lambda this, env: (test(this, env),),
        test,
        test,
        test,
        lambda this, env: not test(this, env),
        lambda this, env: True,
        total=True,
    )
