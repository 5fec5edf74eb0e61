"""FHIR XML read back into what its JSON says, by the compiled definitions, apart from what writes it.

Numbers are kept as their text, so that every digit counts. An element out of the order of its definition, or one that
the definition does not have, is an error.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from lxml import etree

from fhirsynth.validation.engine.elements import Element, find
from fhirsynth.validation.engine.library import Library

Json = dict[str, Any]

_FHIR, _XHTML = "{http://hl7.org/fhir}", "{http://www.w3.org/1999/xhtml}"
_NUMBERS = ("decimal", "integer", "positiveInt", "unsignedInt")


class Digits(str):
    """A number as it is written."""


@cache
def _library() -> Library:
    return Library()


def read(data: bytes) -> Json:
    """A resource or bundle."""
    return _resource(etree.fromstring(data))


def _resource(node: Any) -> Json:
    kind = _name(node)
    structure = _library().base(kind)
    assert structure is not None, kind
    return {"resourceType": kind, **_children(node, structure.root, {})}


def _name(node: Any) -> str:
    assert node.tag.startswith(_FHIR), node.tag
    return str(node.tag.removeprefix(_FHIR))


def _children(node: Any, element: Element, found: Json) -> Json:
    known: dict[str, tuple[int, str, Element]] = {}
    for place, child in enumerate(element.children.values()):
        for kind in child.types or ("",):
            known[child.name.replace("[x]", kind[:1].upper() + kind[1:])] = (place, kind, child)
    last = -1
    for inner in node:
        if inner.tag.startswith(_XHTML):
            found["div"] = etree.tostring(inner, encoding="unicode", with_tail=False)
            continue
        name = _name(inner)
        place, kind, child = known[name]
        assert place >= last, f"{name} comes too late in {_name(node)}"
        last = place
        value, beside = _value(inner, kind, child)
        _add(found, name, value, beside, many=(child.max or 1) > 1)
    return found


def _add(found: Json, name: str, value: Any, beside: Any, *, many: bool) -> None:
    """Put a value, and the id and extensions of a primitive beside it, where JSON has them."""
    if not many:
        assert name not in found and f"_{name}" not in found, f"{name} is there twice"
        found |= {key: item for key, item in ((name, value), (f"_{name}", beside)) if item is not None}
        return
    values, more = found.setdefault(name, []), found.pop(f"_{name}", None)
    values.append(value)
    if more is not None or beside is not None:
        found[f"_{name}"] = [*(more or [None] * (len(values) - 1)), beside]


def _value(node: Any, kind: str, child: Element) -> tuple[Any, Any]:
    if kind == "Resource":
        (inner,) = node
        return _resource(inner), None
    if child.content:
        owner = _library().base(child.content.partition(".")[0])
        target = find(owner.root, child.content) if owner else None
        assert target is not None
        return _complex(node, target), None
    if child.children:
        return _complex(node, child), None
    structure = _library().base(kind)
    assert structure is not None, kind
    if structure.kind != "primitive-type":
        return _complex(node, structure.root), None
    text = node.get("value")
    value: Any = text
    if text is not None and kind in _NUMBERS:
        value = Digits(text)
    elif kind == "boolean":
        value = {"true": True, "false": False}[text]
    base = _library().base("Element")
    assert base is not None
    return value, _complex(node, base.root) or None


def _complex(node: Any, element: Element) -> Json:
    attributes = {key: node.get(key) for key in ("id", "url") if node.get(key) is not None}
    return _children(node, element, attributes)
