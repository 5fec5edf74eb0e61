"""Logic of three values: `and`, `or`, `xor`, `implies`, `not`, and equality with a text, which feeds them most often.

Code that is only asked whether it is certainly true (`yes`) or certainly false (`no`) need not tell false from empty:
`a and b` is true where both are, `a implies b` where `a` is false or `b` is true.
"""

from __future__ import annotations

from typing import Any

from fhirsynth.validation.fhirpath.code import Code, Test, of_test, of_truth
from fhirsynth.validation.fhirpath.nodes import plain


def both(left: Code, right: Code) -> Code:
    """`left and right`."""
    a, b, not_a, not_b = left.yes, right.yes, left.no, right.no
    if left.total and right.total:
        return of_test(lambda this, env: a(this, env) and b(this, env))

    def truth(this: Any, env: Any) -> bool | None:
        one = left.truth(this, env)
        if one is False:
            return False
        other = right.truth(this, env)
        if other is False:
            return False
        return True if one and other else None

    def yes(this: Any, env: Any) -> bool:
        return a(this, env) and b(this, env)

    fixed = left.fixed + right.fixed
    code = of_truth(
        truth,
        _all_fixed(fixed, yes) if left.fixed and right.fixed else yes,
        lambda this, env: not_a(this, env) or not_b(this, env),
    )
    if left.fixed and right.fixed:
        code.fixed = fixed
    return code


def _all_fixed(fixed: tuple[tuple[str, str], ...], otherwise: Test) -> Test:
    """Whether children of `$this` are these texts; `otherwise` decides where they are no plain texts."""
    if len(fixed) == 2:
        (first, text), (second, other) = fixed

        def two(this: Any, env: Any) -> bool:
            if type(this) is dict:
                one = this.get(first)
                if type(one) is str:
                    if one != text:
                        return False
                    found = this.get(second)
                    if type(found) is str:
                        return found == other
            return otherwise(this, env)

        return two

    def every(this: Any, env: Any) -> bool:
        if type(this) is dict:
            for name, wanted in fixed:
                found = this.get(name)
                if type(found) is not str:
                    break
                if found != wanted:
                    return False
            else:
                return True
        return otherwise(this, env)

    return every


def either(left: Code, right: Code) -> Code:
    """`left or right`."""
    a, b, not_a, not_b = left.yes, right.yes, left.no, right.no
    if left.total and right.total:
        return of_test(lambda this, env: a(this, env) or b(this, env))

    def truth(this: Any, env: Any) -> bool | None:
        one = left.truth(this, env)
        if one:
            return True
        other = right.truth(this, env)
        if other:
            return True
        return None if one is None or other is None else False

    return of_truth(
        truth,
        lambda this, env: a(this, env) or b(this, env),
        lambda this, env: not_a(this, env) and not_b(this, env),
    )


def one_of(left: Code, right: Code) -> Code:
    """`left xor right`."""
    if left.total and right.total:
        a, b = left.yes, right.yes
        return of_test(lambda this, env: a(this, env) is not b(this, env))

    def truth(this: Any, env: Any) -> bool | None:
        one, other = left.truth(this, env), right.truth(this, env)
        return None if one is None or other is None else one is not other

    return of_truth(truth)


def implied(left: Code, right: Code) -> Code:
    """`left implies right`."""
    a, not_a, b, not_b = left.yes, left.no, right.yes, right.no
    if left.total and right.total:
        return of_test(lambda this, env: not_a(this, env) or b(this, env))

    def truth(this: Any, env: Any) -> bool | None:
        one = left.truth(this, env)
        if one is False:
            return True
        other = right.truth(this, env)
        if other:
            return True
        return None if one is None or other is None else False

    return of_truth(
        truth,
        lambda this, env: not_a(this, env) or b(this, env),
        lambda this, env: a(this, env) and not_b(this, env),
    )


def negated(code: Code) -> Code:
    """`code.not()`."""
    if code.total:
        return of_test(code.no)

    def truth(this: Any, env: Any) -> bool | None:
        found = code.truth(this, env)
        return None if found is None else not found

    return of_truth(truth, code.no, code.yes)


def equal_to(code: Code, wanted: str | bool, name: str | None) -> Code:
    """`code = wanted`, a text or a boolean; `name` where the code is just a child of `$this`."""
    items = code.items
    kind = type(wanted)

    def truth(this: Any, env: Any) -> bool | None:
        found = items(this, env)
        if not found:
            return None
        if len(found) > 1:
            return False
        value = plain(found[0])
        return type(value) is kind and value == wanted

    if name is None:
        return of_truth(truth)

    def yes(this: Any, env: Any) -> bool:
        if type(this) is dict:
            found = this.get(name)
            if type(found) is kind:
                return bool(found == wanted)
        return truth(this, env) is True

    def no(this: Any, env: Any) -> bool:
        if type(this) is dict:
            found = this.get(name)
            if type(found) is kind:
                return bool(found != wanted)
        return truth(this, env) is False

    equality = of_truth(truth, yes, no)
    if type(wanted) is str:
        equality.fixed = ((name, wanted),)
    return equality
