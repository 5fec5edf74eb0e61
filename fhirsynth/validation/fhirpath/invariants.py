"""Invariants: what holds or does not, of a value in its resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fhirsynth.validation.fhirpath.code import Code
from fhirsynth.validation.fhirpath.compiler import Compiler
from fhirsynth.validation.fhirpath.errors import Unsupported
from fhirsynth.validation.fhirpath.known import CORRECTED, NATIVE
from fhirsynth.validation.fhirpath.nodes import Items, plain
from fhirsynth.validation.fhirpath.syntax import parse

Json = dict[str, Any]


class Environment(NamedTuple):
    """Where a value stands: its resource (`%resource`), the one that contains that or itself (`%rootResource`), and
    what finds the resource that a reference leads to, for `resolve()`."""

    resource: Json
    root: Json
    resolve: Callable[[str], Json | None]


class _Scope:
    """An environment with what changes while an expression is evaluated."""

    __slots__ = ("context", "index", "resolve", "resource", "root", "total")

    def __init__(self, focus: Any, environment: Environment) -> None:
        self.resource, self.root, self.resolve = environment
        self.context = focus
        self.index: int | None = None
        self.total: Items = ()


def compile_invariant(
    expression: str, functions: Mapping[str, Callable[[Any], bool | None]] | None = None
) -> Callable[[Any, Environment], bool]:
    """What tells whether an invariant holds of a value, raw JSON, in its environment.

    `functions` are more functions without arguments, by name (`htmlChecks`): each is given the JSON of its input, None
    where that is empty, and answers true, false or None. Raises Unsupported for what cannot be compiled.

    Nothing does not hold; a single boolean says so itself; anything else holds. Where the evaluation has no answer (a
    number where a text should stand, several values where one is asked for) the invariant is taken to hold: whatever
    is wrong there, it is not this rule that says so.
    """
    native = NATIVE.get(expression)
    if native is not None:
        return native
    code, scoped = _compiled(CORRECTED.get(expression, expression), functions or {})
    yes = _verdict(code)

    def holds(focus: Any, environment: Environment) -> bool:
        try:
            return yes(focus, environment)
        except Exception:  # whatever a broken resource does to it; see above
            return True

    def holds_in_scope(focus: Any, environment: Environment) -> bool:
        try:
            return yes(focus, _Scope(focus, environment))
        except Exception:
            return True

    return holds_in_scope if scoped else holds


def _compiled(expression: str, functions: Mapping[str, Callable[[Any], bool | None]]) -> tuple[Code, bool]:
    try:
        tree = parse(expression)
        compiler = Compiler(tree, functions)
        return compiler.code(tree), compiler.scoped
    except Unsupported as error:
        raise error if error.expression else error.inside(expression) from None
    except RecursionError:
        raise Unsupported("nested too deeply", expression) from None


def _verdict(code: Code) -> Callable[[Any, Any], bool]:
    if not code.plural:
        return code.yes
    items = code.items

    def yes(focus: Any, env: Any) -> bool:
        found = items(focus, env)
        return len(found) > 1 or (len(found) == 1 and plain(found[0]) is not False)

    return yes


def evaluate(
    expression: str,
    focus: Any,
    environment: Environment,
    functions: Mapping[str, Callable[[Any], bool | None]] | None = None,
) -> list[Any]:
    """The collection that an expression gives, as plain values; for trying expressions out.

    Raises Unsupported as `compile_invariant` does, and Undecided where the evaluation has no answer.
    """
    code, _ = _compiled(expression, functions or {})
    return [plain(item) for item in code.items(focus, _Scope(focus, environment))]
