"""The items of a collection: raw JSON wherever possible, and the little that JSON cannot say beside it.

An item is a dict, a str, a bool or a number as `orjson` reads them; an `Element` where a primitive has an extension
(`_birthDate` beside `birthDate`) or a type is known (`valueQuantity`); a `Moment`, `Quantity` or `Decimal` where an
expression states or works out one. Collections are lists or tuples and are never changed once made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any, TypeAlias

from fhirsynth.validation.fhirpath.errors import Undecided
from fhirsynth.validation.fhirpath.moments import Moment
from fhirsynth.validation.fhirpath.quantities import Quantity, decimal
from fhirsynth.validation.fhirpath.types import CHOICES, TYPE_OF_KEY, derives, may_be

Item: TypeAlias = Any
Items: TypeAlias = Sequence[Any]


class Element:
    """An element of which more is known than its value.

    `value` is its JSON (None where only an extension stands), `beside` the object under the key with the underscore,
    `type` its FHIR type, "" where it is not known.
    """

    __slots__ = ("beside", "type", "value")

    def __init__(self, value: Any, beside: Any = None, kind: str = "") -> None:
        self.value = value
        self.beside = beside
        self.type = kind


#: What `$this` is where a path is continued from an empty collection.
NOTHING = Element(None)


def plain(item: Item) -> Any:
    """The JSON value of an item; the item itself where it is an element without a value."""
    if type(item) is Element and item.value is not None:
        return item.value
    return item


def single(items: Items) -> Any:
    """The only item of a collection as a plain value, None for none. Raises Undecided where there are more."""
    if not items:
        return None
    if len(items) > 1:
        raise Undecided(f"{len(items)} items where one is asked for")
    return plain(items[0])


def truth(items: Items) -> bool | None:
    """A collection where a boolean is asked for: a single item that is no boolean counts as true."""
    value = single(items)
    if value is None or type(value) is bool:
        return value
    return None if type(value) is Element else True


def has_value(item: Item) -> bool:
    """Whether an item is a primitive with a value."""
    return type(plain(item)) not in (Element, dict, list)


def member(name: str, typed: bool) -> Callable[[Item], Items]:
    """What gives the children of an item under a name.

    Choice elements are found under the name with their type (`value` under `valueQuantity`). With `typed` they come as
    an Element with that type: needed only where an expression asks for types.
    """
    under = "_" + name
    choices = CHOICES.get(name)
    choice = _choice(choices, typed) if choices else _none

    def get(item: Item) -> Items:
        if type(item) is dict:
            found = item.get(name)
            if under in item:
                return _beside(found, item[under])
            if found is None:
                return choice(item)
            if type(found) is list:
                return found if None not in found else [value for value in found if value is not None]
            return (found,)
        if type(item) is Element:
            return get(item.value if type(item.value) is dict else item.beside)
        return ()

    return get


def has_member(name: str) -> Callable[[Item], bool]:
    """What tells whether an item has children under a name; the same as `member` that gives any, but faster."""
    under = "_" + name
    choices = frozenset(_with_beside(CHOICES.get(name, {})))

    def has(item: Item) -> bool:
        if type(item) is dict:
            found = item.get(name)
            if found:
                return True
            if found is None:
                return under in item or not choices.isdisjoint(item)
            return found != [] or under in item
        if type(item) is Element:
            return has(item.value if type(item.value) is dict else item.beside)
        return False

    return has


def _none(item: Item) -> Items:
    return ()


def _with_beside(keys: dict[str, str]) -> dict[str, str]:
    """Keys and those with the underscore beside them."""
    return {**keys, **{"_" + key: kind for key, kind in keys.items()}}


def _choice(keys: dict[str, str], typed: bool) -> Callable[[dict[str, Any]], Items]:
    kinds = _with_beside(keys)
    choices = frozenset(kinds)

    def choice(item: dict[str, Any]) -> Items:
        if choices.isdisjoint(item):
            return ()
        key = next(key for key in item if key in kinds)
        kind, key = kinds[key], key.removeprefix("_")
        value = item.get(key)
        beside = item.get("_" + key)
        if typed:
            return [
                Element(plain(one), one.beside if type(one) is Element else None, kind)
                for one in _beside(value, beside)
            ]
        if beside is None and type(value) is not list:
            return (value,) if value is not None else ()
        return _beside(value, beside)

    return choice


def _beside(found: Any, beside: Any) -> Items:
    """Values and what stands beside them under the key with the underscore, place by place."""
    values = found if type(found) is list else [found]
    others = beside if type(beside) is list else [beside]
    return [
        value if other is None else Element(value, other)
        for value, other in zip_longest(values, others)
        if value is not None or other is not None
    ]


def children(item: Item, typed: bool) -> Items:
    """All children of an item, in the order in which they stand."""
    if type(item) is Element:
        item = item.value if type(item.value) is dict else item.beside
    if type(item) is not dict:
        return ()
    found: list[Item] = []
    for key, value in item.items():
        if key[:1] == "_":
            if key[1:] not in item:
                found += _as_typed(_beside(None, value), key[1:], typed)
        elif key != "resourceType" and value is not None:
            beside = item.get("_" + key)
            if beside is None and type(value) is list:
                found += _as_typed(value if None not in value else _beside(value, None), key, typed)
            else:
                found += _as_typed(_beside(value, beside), key, typed)
    return found


def _as_typed(items: Items, key: str, typed: bool) -> Items:
    kind = TYPE_OF_KEY.get(key) if typed else None
    if kind is None:
        return items
    return [Element(plain(item), item.beside if type(item) is Element else None, kind) for item in items]


def descendants(item: Item, typed: bool) -> list[Item]:
    """All children of an item, their children and so on, level by level; however deep, without recursion."""
    found = list(children(item, typed))
    for one in found:  # grows while it is walked
        if type(one) is dict or type(one) is Element:
            found += children(one, typed)
    return found


def extensions(item: Item, url: str) -> Items:
    """The extensions of an item that have a url."""
    if type(item) is Element:
        item = item.value if type(item.value) is dict else item.beside
    if type(item) is not dict:
        return ()
    found = item.get("extension")
    if type(found) is not list:
        return ()
    return [one for one in found if type(one) is dict and one.get("url") == url]


def is_of(item: Item, kind: str) -> bool:
    """Whether an item is of a type, or may be as far as JSON tells."""
    name = kind.removeprefix("FHIR.").removeprefix("System.")
    if type(item) is Moment:
        return name == {"date": "Date", "dateTime": "DateTime", "time": "Time"}[item.kind]
    if type(item) is Quantity:
        return name == "Quantity"
    if type(item) is Element:
        if not item.type:
            return item.value is not None and may_be(item.value, name)
        if type(item.value) is dict and type(item.value.get("resourceType")) is str:
            return may_be(item.value, name)
        return derives(item.type, name)
    return may_be(item, name)


class Keys:
    """Gives each item a key that is equal for equal items, so that sets can be made of them.

    Objects are numbered from their innermost parts outwards, each once and without recursion; a Keys must not outlive
    the collections whose items it was asked about. With `loose`, letter case, white space and order are left aside.
    """

    def __init__(self, loose: bool = False) -> None:
        self._loose = loose
        self._numbers: dict[Any, int] = {}
        self._known: dict[int, int] = {}
        self._alive: list[Any] = []

    def of(self, item: Item) -> Any:
        """The key of an item."""
        kind = type(item)
        if kind is str:
            return " ".join(item.lower().split()) if self._loose else item
        if kind is bool:
            return ("bool", item)
        if kind is float:
            return decimal(item)
        if kind is Element:
            value = None if item.value is None else self.of(item.value)
            return value if item.beside is None else ("element", value, self.of(item.beside))
        if kind is dict or kind is list:
            return ("object", self._number(item))
        return item

    def all(self, items: Iterable[Item]) -> list[Any]:
        """The keys of items."""
        return [self.of(item) for item in items]

    def _number(self, value: Any) -> int:
        waiting = [value]
        while waiting:
            top = waiting[-1]
            inner = [
                part
                for part in (top.values() if type(top) is dict else top)
                if type(part) in (dict, list) and id(part) not in self._known
            ]
            if inner:
                waiting += inner
                continue
            waiting.pop()
            self._known[id(top)] = self._numbers.setdefault(self._shape(top), len(self._numbers))
            self._alive.append(top)
        return self._known[id(value)]

    def _shape(self, value: Any) -> Any:
        """The key of an object whose inner objects are known."""
        if type(value) is dict:
            return frozenset((key, self._part(part)) for key, part in value.items())
        parts = [self._part(part) for part in value]
        return tuple(sorted(parts, key=repr)) if self._loose else tuple(parts)

    def _part(self, part: Any) -> Any:
        return ("object", self._known[id(part)]) if type(part) in (dict, list) else self.of(part)


def distinct(items: Items) -> Items:
    """Items without repetition, each where it first stood."""
    if len(items) < 2:
        return items
    keys = Keys()
    found: dict[Any, Item] = {}
    for item in items:
        found.setdefault(keys.of(item), item)
    return list(found.values())


def as_text(value: Any) -> str | None:
    """A primitive as text, None for what has no text."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if kind is float or kind is Decimal:
        return format(decimal(value), "f")
    return str(value) if kind in (Moment, Quantity) else None
