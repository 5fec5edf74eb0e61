"""Two forms of one resource beside each other: what was sent, and what a server gives back.

A server may add `meta.versionId`, `meta.lastUpdated`, `meta.source`, further tags, and a narrative where there was
none, and may write references to itself in full. All else must be as it was: a decimal with its digits, so 70.50 is
not 70.5; texts to the character; a narrative as its XML means, not as it is spelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple
from xml.etree import ElementTree

from fhirsynth.reading import Json

_SERVERS_OWN = ("versionId", "lastUpdated", "source")
_SETS = ("profile", "security", "tag")
_SHOWN = 60  # characters of a value


class Difference(NamedTuple):
    """Where two forms of a resource differ: the path, what was sent and what came back, as words."""

    path: str
    sent: str
    found: str

    def __str__(self) -> str:
        return f"{self.path}: sent {self.sent}, found {self.found}"


def differences(sent: Json, found: Json, base: str) -> list[Difference]:
    """Where `found` on the server at `base` is not what was `sent`; both as `entries.parse` gives them."""
    found = dict(found)
    if "text" not in sent:
        found.pop("text", None)
    kind = str(sent.get("resourceType"))
    made = list(_meta(f"{kind}.meta", sent.get("meta", {}), found.get("meta", {})))
    rest = [{name: value for name, value in one.items() if name != "meta"} for one in (sent, found)]
    return made + list(_compare(kind, rest[0], rest[1], base.rstrip("/") + "/"))


def _meta(path: str, sent: Any, found: Any) -> Iterator[Difference]:
    if not (isinstance(sent, dict) and isinstance(found, dict)):
        yield from _compare(path, sent, found, "")
        return
    for name, value in sent.items():
        if name in _SETS and isinstance(value, list):
            there = found.get(name)
            for item in value:
                if not isinstance(there, list) or item not in there:
                    yield Difference(f"{path}.{name}", _shown(item), _shown(there))
        elif name not in _SERVERS_OWN or name == "source":
            yield from _compare(f"{path}.{name}", value, found.get(name, _NOTHING), "")
    for name in found.keys() - sent.keys() - {*_SERVERS_OWN, *_SETS}:
        yield Difference(f"{path}.{name}", _shown(_NOTHING), _shown(found[name]))


class _Nothing:
    """What stands where there is no value."""

    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _compare(path: str, sent: Any, found: Any, base: str) -> Iterator[Difference]:
    if isinstance(sent, dict) and isinstance(found, dict):
        for name in [*sent, *(name for name in found if name not in sent)]:
            one, other = sent.get(name, _NOTHING), found.get(name, _NOTHING)
            if name == "reference" and isinstance(one, str) and isinstance(other, str):
                one, other = one.removeprefix(base), other.removeprefix(base)
            if name == "div" and isinstance(one, str) and isinstance(other, str) and _means_the_same(one, other):
                continue
            yield from _compare(f"{path}.{name}", one, other, base)
    elif isinstance(sent, list) and isinstance(found, list):
        for place in range(max(len(sent), len(found))):
            one, other = (items[place] if place < len(items) else _NOTHING for items in (sent, found))
            yield from _compare(f"{path}[{place}]", one, other, base)
    elif not _equal(sent, found):
        yield Difference(path, _shown(sent), _shown(found))


def _equal(sent: Any, found: Any) -> bool:
    """Whether two values that are no lists or objects are the same, numbers with their digits."""
    if isinstance(sent, Decimal) and isinstance(found, Decimal):
        return sent.as_tuple() == found.as_tuple()
    return type(sent) is type(found) and bool(sent == found)


def _means_the_same(one: str, other: str) -> bool:
    """Whether two narratives are the same XML, however they are spelled."""
    if one == other:
        return True
    try:
        return ElementTree.canonicalize(one) == ElementTree.canonicalize(other)
    except ElementTree.ParseError:
        return False


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
