"""Resources and bundles as FHIR XML, element by element in the order that the definitions of FHIR R4 give.

The definitions are those that the validator reads (`profiles/r4`): they say which elements a type has, in which order,
and of which types. Numbers keep the digits that they have in JSON, primitives their ids and extensions; the narrative
is XHTML in the midst of the XML, as FHIR has it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from copy import copy
from decimal import Decimal
from functools import cache, lru_cache
from itertools import zip_longest
from math import isfinite
from typing import Any, Literal, NamedTuple

import orjson
from lxml import etree  # type: ignore[import-untyped]
from lxml.etree import SubElement  # type: ignore[import-untyped]

from fhirsynth import shipped
from fhirsynth.fhir.elements import Json

_FHIR = "http://hl7.org/fhir"
_TAG = "{" + _FHIR + "}"
_NAMESPACES = {None: _FHIR}
_DIV = "{http://www.w3.org/1999/xhtml}div"
#: A narrative has no document type, so there is nothing to be resolved or fetched.
_XHTML = etree.XMLParser(resolve_entities=False, no_network=True)

_Form = Literal["attribute", "primitive", "xhtml", "resource", "complex"]
#: Elements that are made, and of what type they are, by the identity of the object that they were made of.
_Made = dict[int, tuple[Any, str]]


class _Part(NamedTuple):
    """An element of a type: its place among the others, its name in XML, how it is written, and what it is made of."""

    place: int
    tag: str
    form: _Form
    kind: str


def to_xml(resource: Json) -> bytes:
    """A resource or bundle as XML (UTF-8), on one line behind the declaration.

    Decimals that are `Decimal` keep every digit, floats have those of `to_bytes`. Raises ValueError for what XML or
    FHIR R4 has no place for: an unknown type or element, a control character, a narrative that is not well-formed.
    """
    kind = _type_of(resource)
    root = etree.Element(_TAG + kind, nsmap=_NAMESPACES)
    _fill(root, resource, kind, {})
    written: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return written


# --- writing --------------------------------------------------------------------------------------


def _type_of(resource: Json) -> str:
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        raise ValueError("expected a resource with a resourceType")
    return kind


def _fill(node: Any, value: Json, kind: str, made: _Made) -> None:
    """Give `node` the attributes and children that `value`, of the type or element `kind`, has."""
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, of the type {kind}, found {value!r:.40}")
    for key, part, beside in _ordered(kind, tuple(value)):
        found = value[key]
        if part.form == "primitive":
            if beside:
                _primitives(node, part.tag, None if beside == key else found, value[beside], made)
            elif isinstance(found, list):
                for item in found:
                    SubElement(node, part.tag, value=_text(item))
            else:
                SubElement(node, part.tag, value=_text(found))
        elif part.form == "complex":
            for item in found if isinstance(found, list) else (found,):
                _object(node, item, part, made)
        elif part.form == "attribute":
            node.set(part.tag, _text(found))
        elif part.form == "resource":
            for item in found if isinstance(found, list) else (found,):
                inner = _type_of(item)
                _fill(SubElement(SubElement(node, part.tag), _TAG + inner), item, inner, made)
        else:
            node.append(_narrative(found))


def _object(node: Any, value: Json, part: _Part, made: _Made) -> None:
    """Add an element with children. Resources share many of their parts: one that was made before is copied."""
    before = made.get(id(value))
    if before is not None and before[1] == part.kind:
        again = copy(before[0])
        again.tag = part.tag
        node.append(again)
        return
    inner = SubElement(node, part.tag)
    _fill(inner, value, part.kind, made)
    made[id(value)] = inner, part.kind


def _primitives(node: Any, tag: str, found: Any, beside: Any, made: _Made) -> None:
    """Primitive values with the ids and extensions that stand beside them, both a list or neither."""
    values = found if isinstance(found, list) else [found]
    more = beside if isinstance(beside, list) else [beside]
    for item, said in zip_longest(values, more):
        inner = SubElement(node, tag)
        if item is not None:
            inner.set("value", _text(item))
        if said is not None:
            _fill(inner, said, "Element", made)


def _text(value: Any) -> str:
    """A primitive as the value of an attribute, numbers with the digits that they have in JSON."""
    if type(value) is str:
        return value
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    if isinstance(value, bool | int | float) and isfinite(value):
        return orjson.dumps(value).decode()
    raise ValueError(f"expected a text, a number, true or false, found {value!r:.40}")


def _narrative(div: str) -> Any:
    try:
        found = etree.fromstring(div, _XHTML)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"the narrative is not well-formed XHTML: {error}") from None
    if found.tag != _DIV:  # without its namespace it would be read as one of FHIR's elements
        raise ValueError(f"the narrative is no div of XHTML: {div!r:.40}")
    return found


# --- the definitions ------------------------------------------------------------------------------


@cache
def _elements(kind: str) -> Mapping[str, Any]:
    """What the definition of a type says of its elements, by id, in their order. Raises ValueError for no such type."""
    file = shipped.folder("profiles") / "r4" / "structures" / f"{kind}.toml"
    if not file.is_file():
        raise ValueError(f"{kind} is no type of FHIR R4")
    found: Mapping[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))["element"]
    return found


@lru_cache(maxsize=4096)
def _ordered(kind: str, keys: tuple[str, ...]) -> list[tuple[str, _Part, str]]:
    """The keys of an object in their order, each with its part and, of a primitive, the key of what is beside it.

    Where there is only what is beside a primitive, that key stands in both places.
    """
    parts = _parts(kind)
    if unknown := [key for key in keys if key not in parts]:
        raise ValueError(f"{unknown[0]} is no element of {kind} in FHIR R4")
    found = []
    for key in sorted(keys, key=lambda key: parts[key].place):
        if key.startswith("_"):
            if key[1:] not in keys:
                found.append((key, parts[key], key))
        elif key != "resourceType":
            found.append((key, parts[key], f"_{key}" if f"_{key}" in keys else ""))
    return found


@cache
def _parts(kind: str) -> Mapping[str, _Part]:
    """The elements of a type, or of an element such as `Patient.contact`, by their names in JSON."""
    elements = _elements(kind.partition(".")[0])
    parts: dict[str, _Part] = {}
    place = 1
    for identifier, said in elements.items():
        owner, _, name = identifier.rpartition(".")
        if owner != kind:
            continue
        place += 1
        inner = said.get("content") or (identifier if _has_own(identifier, elements) else "")
        for type_ in said.get("types", ("",)):
            # `value[x]` is written as valueQuantity, valueString and so on.
            key = name.replace("[x]", type_[:1].upper() + type_[1:])
            part = _part(place, key, inner or type_, kind)
            parts[key] = part
            if part.form == "primitive":
                parts["_" + key] = part
    if _is_resource(kind):
        # It is the name of the element in XML, not something in it.
        parts["resourceType"] = _Part(0, "", "attribute", "")
    return parts


def _has_own(identifier: str, elements: Mapping[str, Any]) -> bool:
    """Whether the elements inside this one are given here, rather than by its type."""
    return any(other.startswith(identifier + ".") for other in elements)


def _part(place: int, name: str, type_: str, owner: str) -> _Part:
    form: _Form
    if (name == "id" and not _is_resource(owner)) or (owner, name) == ("Extension", "url"):
        return _Part(0, name, "attribute", type_)
    if type_ in ("Resource", "DomainResource"):
        form = "resource"
    elif type_ == "xhtml":
        form = "xhtml"
    else:
        form = "primitive" if type_[0].islower() else "complex"
    return _Part(place, _TAG + name, form, type_)


def _is_resource(kind: str) -> bool:
    """Whether a type is one of resource: only these have `implicitRules`."""
    return "." not in kind and f"{kind}.implicitRules" in _elements(kind)
