"""The functions of FHIRPath over collections, and those that FHIR adds; texts and numbers are in `values`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fhirsynth.validation.fhirpath import (
    boolean,
    values,  # noqa: F401 - registers its functions
)
from fhirsynth.validation.fhirpath.code import Code, Test, of_constant, of_items, of_test, of_truth, of_value
from fhirsynth.validation.fhirpath.errors import Undecided, Unsupported
from fhirsynth.validation.fhirpath.nodes import (
    NOTHING,
    Item,
    Items,
    Keys,
    children,
    descendants,
    distinct,
    extensions,
    has_value,
    plain,
    truth,
)
from fhirsynth.validation.fhirpath.registry import FUNCTIONS, Site, function
from fhirsynth.validation.fhirpath.syntax import Call, Variable

if TYPE_CHECKING:
    from fhirsynth.validation.fhirpath.compiler import Compiler

#: Functions of FHIR that need what is not at hand, and what that is.
_BEYOND = {
    "memberOf": "a terminology service",
    "subsumes": "a terminology service",
    "subsumedBy": "a terminology service",
    "conformsTo": "a validator",
    "elementDefinition": "the definitions",
    "slice": "the definitions",
    "checkModifiers": "the definitions",
    "type": "the definitions",
}


def compile_call(compiler: Compiler, call: Call) -> Code:
    """The code of a call. Raises Unsupported for a function that is unknown or called with too many arguments."""
    name = call.name
    given = compiler.more.get(name)
    found = FUNCTIONS.get(name)
    if given is None and found is None:
        if name in _BEYOND:
            raise Unsupported(f"{name}() needs {_BEYOND[name]}", at=call.at)
        raise Unsupported(f"{name}() is unknown", at=call.at)
    source = compiler.code(Variable(call.at, "this") if call.source is None else call.source)
    if given is not None:
        return of_truth(lambda this, env: given(source.value(this, env)))
    assert found is not None
    if not found.least <= len(call.arguments) <= found.most:
        asked = str(found.least) if found.least == found.most else f"{found.least} to {found.most}"
        raise Unsupported(f"{name}() takes {asked} arguments, not {len(call.arguments)}", at=call.at)
    return found.build(Site(compiler, call, source))


def union(left: Code, right: Code) -> Code:
    """`left | right`."""
    if left.constant is not None and right.constant is not None:
        return of_constant(distinct((*left.constant, *right.constant)))
    a, b = left.items, right.items
    return of_items(
        lambda this, env: distinct((*a(this, env), *b(this, env))),
        lambda this, env: left.exists(this, env) or right.exists(this, env),
    )


# ---- existence


@function("exists", 0, 1)
def _exists(site: Site) -> Code:
    return of_test(_some(site) if site.call.arguments else site.source.exists)


@function("empty")
def _empty(site: Site) -> Code:
    exists = site.source.exists
    return of_test(lambda this, env: not exists(this, env))


@function("not")
def _not(site: Site) -> Code:
    return boolean.negated(site.source)


def _some(site: Site) -> Test:
    """Whether a criterion is true of any item."""
    items, criterion = site.each()
    yes = criterion.yes

    def some(this: Any, env: Any) -> bool:
        for item in items(this, env):  # noqa: SIM110 - a generator would cost more than the loop
            if yes(item, env):
                return True
        return False

    return some


@function("all", 1)
def _all(site: Site) -> Code:
    items, criterion = site.each()
    yes = criterion.yes

    def every(this: Any, env: Any) -> bool:
        for item in items(this, env):  # noqa: SIM110 - a generator would cost more than the loop
            if not yes(item, env):
                return False
        return True

    return of_test(every)


def _booleans(name: str, judge: Callable[[list[bool | None]], bool]) -> None:
    def build(site: Site) -> Code:
        items = site.source.items
        return of_test(lambda this, env: judge([truth((item,)) for item in items(this, env)]))

    function(name)(build)


_booleans("allTrue", lambda found: all(one is True for one in found))
_booleans("anyTrue", lambda found: any(one is True for one in found))
_booleans("allFalse", lambda found: all(one is False for one in found))
_booleans("anyFalse", lambda found: any(one is False for one in found))


def _sets(name: str, judge: Callable[[set[Any], set[Any]], bool]) -> None:
    def build(site: Site) -> Code:
        mine, others = site.source.items, site.argument(0).items

        def test(this: Any, env: Any) -> bool:
            keys = Keys()
            a, b = mine(this, env), others(this, env)
            return judge(set(keys.all(a)), set(keys.all(b)))

        return of_test(test)

    function(name, 1)(build)


_sets("subsetOf", lambda mine, others: mine <= others)
_sets("supersetOf", lambda mine, others: mine >= others)


@function("count")
def _count(site: Site) -> Code:
    items = site.source.items
    return of_value(lambda this, env: len(items(this, env)))


@function("isDistinct")
def _is_distinct(site: Site) -> Code:
    items = site.source.items

    def test(this: Any, env: Any) -> bool:
        found = items(this, env)
        return len(found) < 2 or len(set(Keys().all(found))) == len(found)

    return of_test(test)


@function("hasValue")
def _has_value(site: Site) -> Code:
    items = site.source.items

    def test(this: Any, env: Any) -> bool:
        found = items(this, env)
        return len(found) == 1 and (type(found[0]) is str or has_value(found[0]))

    return of_test(test)


# ---- filters and projections


@function("where", 1)
def _where(site: Site) -> Code:
    items, criterion = site.each()
    yes = criterion.yes
    return of_items(lambda this, env: [item for item in items(this, env) if yes(item, env)], _some(site))


@function("select", 1)
def _select(site: Site) -> Code:
    items, projection = site.each()
    project = projection.items

    def selected(this: Any, env: Any) -> Items:
        found: list[Item] = []
        for item in items(this, env):
            found += project(item, env)
        return found

    def exists(this: Any, env: Any) -> bool:
        for item in items(this, env):  # noqa: SIM110 - a generator would cost more than the loop
            if projection.exists(item, env):
                return True
        return False

    return of_items(selected, exists)


@function("repeat", 1)
def _repeat(site: Site) -> Code:
    items, projection = site.each()
    project = projection.items

    def repeated(this: Any, env: Any) -> Items:
        keys = Keys()
        seen: set[Any] = set()
        found: list[Item] = []

        def add(more: Items) -> None:
            for item in more:
                key = keys.of(item)
                if key not in seen:
                    seen.add(key)
                    found.append(item)

        for item in items(this, env):
            add(project(item, env))
        for item in found:  # grows while it is walked
            add(project(item, env))
        return found

    return of_items(repeated)


@function("aggregate", 1, 2)
def _aggregate(site: Site) -> Code:
    items, aggregator = site.each()
    start = site.argument(1).items if len(site.call.arguments) == 2 else lambda this, env: ()
    site.compiler.scoped = True

    def aggregated(this: Any, env: Any) -> Items:
        outer = env.total
        env.total = start(this, env)
        try:
            for item in items(this, env):
                env.total = aggregator.items(item, env)
            found: Items = env.total
            return found
        finally:
            env.total = outer

    return of_items(aggregated)


@function("ofType", 1)
def _of_type(site: Site) -> Code:
    return site.compiler.type_operation(site.source, "ofType", site.type(), site.call.at)


@function("as", 1)
def _as(site: Site) -> Code:
    return site.compiler.type_operation(site.source, "as", site.type(), site.call.at)


@function("is", 1)
def _is(site: Site) -> Code:
    return site.compiler.type_operation(site.source, "is", site.type(), site.call.at)


# ---- parts of a collection


@function("single")
def _single(site: Site) -> Code:
    items = site.source.items

    def only(this: Any, env: Any) -> Items:
        found = items(this, env)
        if len(found) > 1:
            raise Undecided(f"{len(found)} items for single()")
        return found

    return of_items(only)


def _slices(name: str, cut: Callable[[Items], Items]) -> None:
    def build(site: Site) -> Code:
        items = site.source.items
        return of_items(lambda this, env: cut(items(this, env)))

    function(name)(build)


_slices("first", lambda items: items[:1])
_slices("last", lambda items: items[-1:])
_slices("tail", lambda items: items[1:])
_slices("distinct", distinct)


def _cuts(name: str, cut: Callable[[Items, int], Items]) -> None:
    def build(site: Site) -> Code:
        items, number = site.source.items, site.argument(0).value

        def part(this: Any, env: Any) -> Items:
            count = number(this, env)
            if count is None:
                return ()
            if type(count) is not int:
                raise Undecided(f"{count!r} is no whole number")
            return cut(items(this, env), max(count, 0))

        return of_items(part)

    function(name, 1)(build)


_cuts("skip", lambda items, count: items[count:])
_cuts("take", lambda items, count: items[:count])


@function("intersect", 1)
def _intersect(site: Site) -> Code:
    mine, others = site.source.items, site.argument(0).items

    def common(this: Any, env: Any) -> Items:
        first, second = mine(this, env), others(this, env)
        if not first or not second:
            return ()
        keys = Keys()
        wanted = set(keys.all(second))
        return distinct([item for item in first if keys.of(item) in wanted])

    return of_items(common)


@function("exclude", 1)
def _exclude(site: Site) -> Code:
    mine, others = site.source.items, site.argument(0).items

    def rest(this: Any, env: Any) -> Items:
        keys = Keys()
        second = others(this, env)
        unwanted = set(keys.all(second))
        return [item for item in mine(this, env) if keys.of(item) not in unwanted]

    return of_items(rest)


@function("union", 1)
def _union(site: Site) -> Code:
    return union(site.source, site.argument(0))


@function("combine", 1)
def _combine(site: Site) -> Code:
    mine, others = site.source.items, site.argument(0).items
    return of_items(lambda this, env: (*mine(this, env), *others(this, env)))


# ---- the tree


@function("children")
def _children(site: Site) -> Code:
    items, typed = site.source.items, site.compiler.typed

    def below(this: Any, env: Any) -> Items:
        found: list[Item] = []
        for item in items(this, env):
            found += children(item, typed)
        return found

    return of_items(below)


@function("descendants")
def _descendants(site: Site) -> Code:
    items, typed = site.source.items, site.compiler.typed

    def below(this: Any, env: Any) -> Items:
        found: list[Item] = []
        for item in items(this, env):
            found += descendants(item, typed)
        return found

    return of_items(below)


# ---- the rest


@function("iif", 2, 3)
def _iif(site: Site) -> Code:
    """The arguments are evaluated with the single item before the dot as `$this`, or with nothing where it is empty."""
    items = site.source.items
    criterion, then = site.argument(0), site.argument(1)
    otherwise = site.argument(2) if len(site.call.arguments) == 3 else of_constant(())

    def chosen(this: Any, env: Any) -> Items:
        found = items(this, env)
        if len(found) > 1:
            raise Undecided(f"{len(found)} items for iif()")
        inner = found[0] if found else NOTHING
        return then.items(inner, env) if criterion.yes(inner, env) else otherwise.items(inner, env)

    return of_items(chosen)


@function("trace", 1, 2)
def _trace(site: Site) -> Code:
    """Writes nothing anywhere; its arguments are only checked."""
    for place in range(len(site.call.arguments)):
        site.argument(place)
    return site.source


@function("getValue")
def _get_value(site: Site) -> Code:
    items = site.source.items

    def value(this: Any, env: Any) -> Any:
        found = items(this, env)
        return plain(found[0]) if len(found) == 1 and has_value(found[0]) else None

    return of_value(value)


@function("extension", 1)
def _extension(site: Site) -> Code:
    items, argument = site.source.items, site.argument(0).value

    def found(this: Any, env: Any) -> Items:
        url = argument(this, env)
        result: list[Item] = []
        for item in items(this, env):
            result += extensions(item, url)
        return result

    return of_items(found)


@function("resolve")
def _resolve(site: Site) -> Code:
    """What references lead to, as far as it is at hand: `#id` to what is contained, `#` to what contains."""
    items = site.source.items

    def resolved(this: Any, env: Any) -> Items:
        found: list[Item] = []
        for item in items(this, env):
            value = plain(item)
            reference = value.get("reference") if type(value) is dict else value
            if type(reference) is str:
                target = _target(reference, env)
                if target is not None:
                    found.append(target)
        return found

    return of_items(resolved)


def _target(reference: str, env: Any) -> Item | None:
    if reference == "#":
        return env.root
    if reference[:1] == "#":
        inside = env.root.get("contained")
        for one in inside if type(inside) is list else ():
            if type(one) is dict and one.get("id") == reference[1:]:
                return one
        return None
    return env.resolve(reference)
