"""How the functions of FHIRPath are told apart: name, number of arguments, and what builds their code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from fhirsynth.validation.fhirpath.code import Code, ToItems
from fhirsynth.validation.fhirpath.errors import Unsupported
from fhirsynth.validation.fhirpath.nodes import Item, Items
from fhirsynth.validation.fhirpath.syntax import Call, Literal, Member, Node, Variable

if TYPE_CHECKING:
    from fhirsynth.validation.fhirpath.compiler import Compiler


class Site(NamedTuple):
    """A call that is being compiled: the compiler, the call, and the code of what stands before the dot."""

    compiler: Compiler
    call: Call
    source: Code

    def argument(self, place: int) -> Code:
        """The code of an argument that is evaluated once, with the `$this` that stands around the call."""
        return self.compiler.code(self.call.arguments[place])

    def text(self, place: int) -> str | None:
        """An argument that is a literal text, None where it is not."""
        node = self.call.arguments[place]
        return node.value if isinstance(node, Literal) and isinstance(node.value, str) else None

    def type(self, place: int = 0) -> str:
        """An argument that names a type. Raises Unsupported where it does not."""
        node = self.call.arguments[place]
        if isinstance(node, Member):
            if node.source is None:
                return node.name
            if isinstance(node.source, Member) and node.source.source is None:
                return f"{node.source.name}.{node.name}"
        raise Unsupported(f"{self.call.name}() asks for a type", at=node.at)

    def each(self, place: int = 0) -> tuple[ToItems, Code]:
        """The items before the dot, to be walked through, and the code to be evaluated with each as `$this`.

        Where that code asks for `$index` the walk keeps it.
        """
        node = self.call.arguments[place]
        items = self.source.items
        code = self.compiler.code(node)
        return (_numbered(items) if _asks_for_index(node) else items), code


def _numbered(items: ToItems) -> ToItems:
    def walk(this: Any, env: Any) -> Any:
        return _walk(items(this, env), env)

    return walk


def _walk(items: Items, env: Any) -> Iterator[Item]:
    outer = env.index
    try:
        for place, item in enumerate(items):
            env.index = place
            yield item
    finally:
        env.index = outer


def _asks_for_index(node: Any) -> bool:
    if isinstance(node, Variable):
        return node.name == "index"
    if isinstance(node, Call):
        return any(_asks_for_index(part) for part in (node.source, *node.arguments))
    return isinstance(node, Node) and any(
        _asks_for_index(getattr(node, name, None)) for name in ("source", "index", "operand", "left", "right")
    )


Builder: TypeAlias = Callable[[Site], Code]


class Function(NamedTuple):
    """A function: the least and the greatest number of its arguments, and what builds its code."""

    least: int
    most: int
    build: Builder


FUNCTIONS: dict[str, Function] = {}


def function(name: str, least: int = 0, most: int | None = None) -> Callable[[Builder], Builder]:
    """Registers what builds the code of a function."""

    def register(build: Builder) -> Builder:
        FUNCTIONS[name] = Function(least, least if most is None else most, build)
        return build

    return register
