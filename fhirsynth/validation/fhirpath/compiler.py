"""From the tree of an expression to closures: paths, operators, constants; functions are in `functions`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fhirsynth.systems import LOINC, SNOMED, UCUM
from fhirsynth.validation.fhirpath import boolean, functions
from fhirsynth.validation.fhirpath.code import Code, of_constant, of_items, of_test, of_truth, of_value
from fhirsynth.validation.fhirpath.errors import Undecided, Unsupported
from fhirsynth.validation.fhirpath.moments import Moment
from fhirsynth.validation.fhirpath.nodes import NOTHING, Item, Items, has_member, is_of, member, plain
from fhirsynth.validation.fhirpath.operators import (
    calculator,
    compared,
    decimal_of,
    equal,
    equal_items,
    equivalent_items,
)
from fhirsynth.validation.fhirpath.quantities import Quantity
from fhirsynth.validation.fhirpath.syntax import (
    Binary,
    Call,
    Constant,
    Empty,
    Indexer,
    Literal,
    Member,
    Node,
    Polarity,
    TypeOperation,
    Variable,
)
from fhirsynth.validation.fhirpath.types import KNOWN, derives

_URLS = {
    "ucum": UCUM,
    "sct": SNOMED,
    "loinc": LOINC,
}
#: Constants that begin with these and end with the name of a definition of HL7's.
_FOLDERS = {
    "vs-": "http://hl7.org/fhir/ValueSet/",
    "cs-": "http://hl7.org/fhir/CodeSystem/",
    "ext-": "http://hl7.org/fhir/StructureDefinition/",
}


class Compiler:
    """Compiles one expression.

    `functions` are more functions without arguments, by name: each is given the plain value of its input (None for
    none) and answers true, false or None. Afterwards `scoped` says whether the expression asks for what changes while
    it is evaluated (`$index`, `$total`, `%context`), which the environment must then hold.
    """

    def __init__(self, tree: Node, more: Mapping[str, Callable[[Any], bool | None]]) -> None:
        self.more = more
        self.scoped = False
        #: Whether the types of choice elements are to be carried along.
        self.typed = _asks_for_types(tree)

    def code(self, node: Node) -> Code:
        """The code of a node. Raises Unsupported for what it cannot do."""
        match node:
            case Empty():
                return of_constant(())
            case Literal(value=value):
                return of_constant((value,))
            case Variable():
                return self._variable(node)
            case Constant():
                return self._constant(node)
            case Member():
                return self._member(node)
            case Call():
                return functions.compile_call(self, node)
            case Indexer():
                return self._indexer(node)
            case Polarity():
                return self._polarity(node)
            case TypeOperation():
                return self.type_operation(self.code(node.operand), node.operator, node.type, node.at)
            case Binary():
                return self._binary(node)
        raise Unsupported(f"{type(node).__name__} is not supported", at=node.at)

    # ---- what stands alone

    def _variable(self, node: Variable) -> Code:
        if node.name == "this":
            return of_items(
                lambda this, env: () if this is NOTHING else (this,),
                lambda this, env: this is not NOTHING,
                lambda this, env: None if this is NOTHING else plain(this),
            )
        self.scoped = True
        if node.name == "index":
            return of_value(lambda this, env: env.index)
        return of_items(lambda this, env: env.total)

    def _constant(self, node: Constant) -> Code:
        name = node.name
        if name == "resource":
            return of_items(lambda this, env: (env.resource,))
        if name == "rootResource":
            return of_items(lambda this, env: (env.root,))
        if name == "context":
            self.scoped = True
            return of_items(lambda this, env: (env.context,))
        if name in _URLS:
            return of_constant((_URLS[name],))
        for beginning, folder in _FOLDERS.items():
            if name.startswith(beginning):
                return of_constant((folder + name.removeprefix(beginning),))
        raise Unsupported(f"%{name} is unknown", at=node.at)

    # ---- paths

    def _member(self, node: Member) -> Code:
        if node.source is None and node.name[:1].isupper() and node.name in KNOWN:
            return _type_at_head(node.name)
        get = member(node.name, self.typed)
        has = has_member(node.name)
        if node.source is None:
            return _at_head(node.name, get, has)
        source = self.code(node.source).items

        def items(this: Any, env: Any) -> Items:
            before = source(this, env)
            if len(before) == 1:
                return get(before[0])
            found: list[Item] = []
            for item in before:
                found += get(item)
            return found

        def exists(this: Any, env: Any) -> bool:
            for item in source(this, env):  # noqa: SIM110 - a generator would cost more than the loop
                if has(item):
                    return True
            return False

        return of_items(items, exists)

    def _indexer(self, node: Indexer) -> Code:
        source, index = self.code(node.source).items, self.code(node.index).value

        def items(this: Any, env: Any) -> Items:
            place = index(this, env)
            if place is None:
                return ()
            if type(place) is not int:
                raise Undecided(f"{place!r} is no index")
            found = source(this, env)
            return (found[place],) if 0 <= place < len(found) else ()

        return of_items(items)

    # ---- operators

    def _polarity(self, node: Polarity) -> Code:
        operand = self.code(node.operand)
        if node.sign == "+":
            return operand

        def negative(value: Any) -> Any:
            if value is None:
                return None
            if type(value) is Quantity:
                return Quantity(-value.value, value.unit)
            return -value if type(value) is int else -decimal_of(value)

        if operand.constant and not isinstance(operand.constant[0], (str, bool, Moment)):
            return of_constant((negative(operand.constant[0]),))
        return of_value(lambda this, env: negative(operand.value(this, env)))

    def type_operation(self, source: Code, operator: str, name: str, at: int) -> Code:
        """`source is Type`, `source as Type` and, filtering as the latter does in R4, `ofType(Type)`."""
        if name.removeprefix("FHIR.").removeprefix("System.") not in KNOWN:
            raise Unsupported(f"{name} is no type of FHIR R4", at=at)
        items = source.items
        if operator != "is":
            return of_items(lambda this, env: [item for item in items(this, env) if is_of(item, name)])

        def truth(this: Any, env: Any) -> bool | None:
            found = items(this, env)
            if not found:
                return None
            return len(found) == 1 and is_of(found[0], name)

        return of_truth(truth)

    def _binary(self, node: Binary) -> Code:
        operator = node.operator
        left, right = self.code(node.left), self.code(node.right)
        match operator:
            case "and":
                return boolean.both(left, right)
            case "or":
                return boolean.either(left, right)
            case "xor":
                return boolean.one_of(left, right)
            case "implies":
                return boolean.implied(left, right)
            case "=":
                return self._equality(node, left, right)
            case "!=":
                return boolean.negated(self._equality(node, left, right))
            case "~" | "!~":
                code = of_test(lambda this, env: equivalent_items(left.items(this, env), right.items(this, env)))
                return code if operator == "~" else boolean.negated(code)
            case "<" | "<=" | ">" | ">=":
                return _comparison(operator, left, right)
            case "in":
                return _membership(left, right)
            case "contains":
                return _membership(right, left)
            case "|":
                return functions.union(left, right)
        calculate = calculator(operator)
        a, b = left.value, right.value
        return of_value(lambda this, env: calculate(a(this, env), b(this, env)))

    def _equality(self, node: Binary, left: Code, right: Code) -> Code:
        if left.total and right.total:
            return of_test(lambda this, env: left.yes(this, env) is right.yes(this, env))
        if left.constant is not None and right.constant is None:
            return self._equality(Binary(node.at, "=", node.right, node.left), right, left)
        text = right.constant[0] if right.constant and type(right.constant[0]) in (str, bool) else None
        if text is None:
            return of_truth(lambda this, env: equal_items(left.items(this, env), right.items(this, env)))
        head = node.left.name if isinstance(node.left, Member) and node.left.source is None else None
        return boolean.equal_to(left, text, head)


def _asks_for_types(node: Any) -> bool:
    if isinstance(node, TypeOperation) or (isinstance(node, Call) and node.name in ("is", "as", "ofType")):
        return True
    if isinstance(node, Call):
        return any(_asks_for_types(part) for part in (node.source, *node.arguments))
    return isinstance(node, Node) and any(
        _asks_for_types(getattr(node, name, None)) for name in ("source", "index", "operand", "left", "right")
    )


def _type_at_head(name: str) -> Code:
    """A path that begins with the name of a type: the item itself where it is of that type."""

    def items(this: Any, env: Any) -> Items:
        kind = this.get("resourceType") if type(this) is dict else None
        if kind is None:
            return (this,) if this is not NOTHING and is_of(this, name) else ()
        return (this,) if kind == name or derives(str(kind), name) else ()

    return of_items(items)


def _at_head(name: str, get: Callable[[Item], Items], has: Callable[[Item], bool]) -> Code:
    def value(this: Any, env: Any) -> Any:
        if type(this) is dict:
            found = this.get(name)
            if type(found) is str or type(found) is bool:
                return found
        items = get(this)
        if len(items) > 1:
            raise Undecided(f"{len(items)} items of {name}")
        return plain(items[0]) if items else None

    return of_items(lambda this, env: get(this), lambda this, env: has(this), value)


def _comparison(operator: str, left: Code, right: Code) -> Code:
    a, b = left.value, right.value
    signs = {"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (1, 0)}[operator]

    def truth(this: Any, env: Any) -> bool | None:
        order = compared(a(this, env), b(this, env))
        return None if order is None else order in signs

    return of_truth(truth)


def _membership(one: Code, many: Code) -> Code:
    """`one in many`."""
    value, among = one.value, many.items
    texts = frozenset(many.constant or ()) if all(type(text) is str for text in many.constant or ()) else frozenset()

    def among_texts(this: Any, env: Any) -> bool | None:
        found = value(this, env)
        return None if found is None else type(found) is str and found in texts

    def truth(this: Any, env: Any) -> bool | None:
        found = value(this, env)
        if found is None:
            return None
        return any(equal(found, plain(other)) is True for other in among(this, env))

    return of_truth(among_texts if texts else truth)
