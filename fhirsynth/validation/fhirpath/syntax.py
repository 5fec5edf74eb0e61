"""FHIRPath expressions as trees: a small Pratt parser of the grammar of FHIRPath 2.0 (http://hl7.org/fhirpath/N1/)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from fhirsynth.validation.fhirpath.errors import Unsupported
from fhirsynth.validation.fhirpath.moments import moment
from fhirsynth.validation.fhirpath.quantities import CALENDAR, Quantity


@dataclass(frozen=True, slots=True)
class Node:
    """A piece of an expression; `at` is where it begins in the text, counted from 0."""

    at: int


@dataclass(frozen=True, slots=True)
class Empty(Node):
    """`{}`."""


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A string, number, boolean, date, time or quantity."""

    value: Any


@dataclass(frozen=True, slots=True)
class Variable(Node):
    """`$this`, `$index` or `$total`, without the dollar."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """`%resource` and its like, without the per cent sign."""

    name: str


@dataclass(frozen=True, slots=True)
class Member(Node):
    """`source.name`, or a name at the head of a path."""

    source: Node | None
    name: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`source.name(arguments)`."""

    source: Node | None
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Indexer(Node):
    """`source[index]`."""

    source: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Polarity(Node):
    """`+x` or `-x`."""

    sign: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """Two operands and what stands between them."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class TypeOperation(Node):
    """`operand is Type` or `operand as Type`."""

    operator: str
    operand: Node
    type: str


class Token(NamedTuple):
    """A word of an expression: its kind, its text, where it begins."""

    kind: str
    text: str
    at: int


_TOKEN = re.compile(
    r"""
    (?P<space>\s+ | //[^\n]* | /\*.*?\*/)
    | (?P<moment>@T\d\d(:\d\d(:\d\d(\.\d+)?)?)?
        | @\d{4}(-\d\d(-\d\d)?)?(T(\d\d(:\d\d(:\d\d(\.\d+)?)?)?(Z|[+-]\d\d:\d\d)?)?)?)
    | (?P<number>\d+(\.\d+)?)
    | (?P<string>'([^'\\]|\\.)*')
    | (?P<constant>%(\w+|`([^`\\]|\\.)*`|'([^'\\]|\\.)*'|"([^"\\]|\\.)*"))
    | (?P<variable>\$\w+)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<delimited>`([^`\\]|\\.)*`)
    | (?P<operator><=|>=|!=|!~|[-+*/&|=~<>().,\[\]{}])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "f": "\f"} | {sign: sign for sign in "\\/'\"`"}

#: How tightly an operator binds; what stands higher binds more loosely.
_POWER = {
    name: power
    for power, names in enumerate(
        (
            ("implies",),
            ("or", "xor"),
            ("and",),
            ("in", "contains"),
            ("=", "~", "!=", "!~"),
            ("<", ">", "<=", ">="),
            ("|",),
            ("is", "as"),
            ("+", "-", "&"),
            ("*", "/", "div", "mod"),
        ),
        1,
    )
    for name in names
}
_UNARY = 11
#: Words that cannot begin a term: an element of such a name is written between backticks.
_RESERVED = frozenset(("and", "or", "xor", "implies", "div", "mod"))
_VARIABLES = frozenset(("this", "index", "total"))


def parse(expression: str) -> Node:
    """The tree of an expression. Raises Unsupported where it is not well formed, or nested beyond reason."""
    try:
        return _Parser(expression).whole()
    except Unsupported as error:
        raise error.inside(expression) from None
    except RecursionError:
        raise Unsupported("nested too deeply", expression) from None


class _Parser:
    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = list(_tokens(expression))
        self._next = 0

    def whole(self) -> Node:
        found = self._expression_of(0)
        token = self._peek()
        if token.kind != "end":
            raise Unsupported(f"unexpected {token.text}", at=token.at)
        return found

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        if token.kind != "end":
            self._next += 1
        return token

    def _expect(self, text: str) -> None:
        token = self._take()
        if token.text != text or token.kind not in ("operator", "name"):
            raise Unsupported(f"expected {text}, found {token.text or 'the end'}", at=token.at)

    def _expression_of(self, loosest: int) -> Node:
        left = self._term()
        while True:
            token = self._peek()
            if token.kind not in ("operator", "name"):
                return left
            if token.text in (".", "["):
                # polarity binds more loosely: -1.abs() is -(1.abs())
                left = self._invocation(left)
                continue
            power = _POWER.get(token.text, 0)
            if not power or power <= loosest:
                return left
            self._take()
            if token.text in ("is", "as"):
                left = TypeOperation(token.at, token.text, left, self._type())
            else:
                left = Binary(token.at, token.text, left, self._expression_of(power))

    def _invocation(self, source: Node) -> Node:
        token = self._take()
        if token.text == "[":
            index = self._expression_of(0)
            self._expect("]")
            return Indexer(token.at, source, index)
        name = self._take()
        if name.kind == "variable":
            return self._variable(name)
        if name.kind not in ("name", "delimited"):
            raise Unsupported(f"expected a name, found {name.text or 'the end'}", at=name.at)
        return self._named(source, name)

    def _named(self, source: Node | None, name: Token) -> Node:
        if self._peek().text == "(" and self._peek().kind == "operator":
            return Call(name.at, source, name.text, self._arguments())
        return Member(name.at, source, name.text)

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        found: list[Node] = []
        while self._peek().text != ")" or self._peek().kind != "operator":
            if found:
                self._expect(",")
            found.append(self._expression_of(0))
        self._take()
        return tuple(found)

    def _type(self) -> str:
        name = self._take()
        if name.kind not in ("name", "delimited"):
            raise Unsupported(f"expected a type, found {name.text or 'the end'}", at=name.at)
        if name.text in ("FHIR", "System") and self._peek().text == ".":
            self._take()
            return f"{name.text}.{self._take().text}"
        return name.text

    def _term(self) -> Node:
        token = self._take()
        match token.kind:
            case "name" if token.text in ("true", "false"):
                return Literal(token.at, token.text == "true")
            case "name" if token.text not in _RESERVED:
                return self._named(None, token)
            case "delimited":
                return self._named(None, token)
            case "string":
                return Literal(token.at, token.text)
            case "number":
                return self._number(token)
            case "moment":
                found = moment(token.text[1:])
                if found is None:
                    raise Unsupported(f"{token.text} is no date", at=token.at)
                return Literal(token.at, found)
            case "constant":
                return Constant(token.at, token.text)
            case "variable":
                return self._variable(token)
            case "operator" if token.text in "+-":
                return Polarity(token.at, token.text, self._expression_of(_UNARY))
            case "operator" if token.text == "(":
                inner = self._expression_of(0)
                self._expect(")")
                return inner
            case "operator" if token.text == "{":
                self._expect("}")
                return Empty(token.at)
        raise Unsupported(f"unexpected {token.text or 'end'}", at=token.at)

    def _variable(self, token: Token) -> Node:
        if token.text not in _VARIABLES:
            raise Unsupported(f"${token.text} is unknown; $this, $index and $total are known", at=token.at)
        return Variable(token.at, token.text)

    def _number(self, token: Token) -> Node:
        unit = self._peek()
        if unit.kind == "string":
            return Literal(token.at, Quantity(Decimal(token.text), self._take().text))
        if unit.kind == "name" and unit.text in CALENDAR:
            return Literal(token.at, Quantity(Decimal(token.text), CALENDAR[self._take().text]))
        return Literal(token.at, Decimal(token.text) if "." in token.text else int(token.text))


def _tokens(expression: str) -> Iterator[Token]:
    at = 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise Unsupported(f"unexpected {expression[at]}", at=at)
        kind, text = match.lastgroup, match.group()
        assert kind is not None
        if kind != "space":
            yield Token(kind, _text(kind, text, at), at)
        at = match.end()
    yield Token("end", "", at)


def _text(kind: str, text: str, at: int) -> str:
    """The text of a word without the signs that mark its kind, its escapes undone."""
    if kind == "variable":
        return text[1:]
    if kind == "constant":
        return _unescaped(text[2:-1], at) if text[1] in "`'\"" else text[1:]
    if kind in ("string", "delimited"):
        return _unescaped(text[1:-1], at)
    return text


def _unescaped(text: str, at: int) -> str:
    def undo(match: re.Match[str]) -> str:
        escape = match.group(1)
        if len(escape) > 1:
            return chr(int(escape[1:], 16))
        if escape not in _ESCAPES:
            raise Unsupported(f"unknown escape \\{escape}", at=at)
        return _ESCAPES[escape]

    return _ESCAPE.sub(undo, text) if "\\" in text else text
