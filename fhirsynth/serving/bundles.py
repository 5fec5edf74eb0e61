"""Answers as bytes: searchset bundles of resources as they are kept, and resources of which a subset was asked for."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import orjson

from fhirsynth.serving.index import Stored

Json = dict[str, Any]

_SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}
#: Types that stand at the end of the name of an element which may have one of several.
_TYPES = frozenset({
    "Age", "Boolean", "Code", "CodeableConcept", "Coding", "Date", "DateTime", "Decimal", "Duration", "Instant",
    "Integer", "Period", "Quantity", "Range", "Ratio", "Reference", "SampledData", "String", "Time", "Timing", "Uri",
})  # fmt: skip
_ALWAYS = ("resourceType", "id", "meta")


class Subset:
    """Which part of each resource is asked for: `_summary`, or `_elements` by name."""

    def __init__(self, summary: str = "false", elements: Sequence[str] = ()) -> None:
        self._summary, self._elements = summary, elements

    def __bool__(self) -> bool:
        return bool(self._elements) or self._summary in ("true", "text", "data")

    def of(self, body: bytes) -> bytes:
        """A resource reduced to the part, and marked as such; whole where all is asked for."""
        if not self:
            return body
        resource: Json = orjson.loads(body)
        keep = self._kept(resource)
        found = {key: value for key, value in resource.items() if keep(key)}
        meta = resource["meta"]
        found["meta"] = {**meta, "tag": [*meta.get("tag", ()), _SUBSETTED]}
        return orjson.dumps(found)

    def _kept(self, resource: Json) -> Any:
        known = _elements().get(resource["resourceType"])
        needed = {*_ALWAYS, *(known["needed"] if known else ())}
        if self._elements:
            wanted = {*needed, *self._elements}
        elif self._summary == "data":
            return lambda key: key != "text"
        elif self._summary == "text":
            wanted = {*needed, "text"}
        elif known is None:
            return lambda key: True
        else:
            wanted = {*needed, *known["summary"]}
        return lambda key: any(key.removeprefix("_") == name or _is_choice(key, name) for name in wanted)


def bundle(
    base: str,
    links: Sequence[tuple[str, str]],
    total: int | None,
    matches: Iterable[Stored],
    includes: Iterable[Stored] = (),
    outcome: Json | None = None,
    subset: Subset | None = None,
) -> bytes:
    """A Bundle of type `searchset`. `links`: relation and URL of each; `outcome`: what is to be said besides."""
    head: Json = {"resourceType": "Bundle", "type": "searchset"}
    if total is not None:
        head["total"] = total
    head["link"] = [{"relation": relation, "url": url} for relation, url in links]
    subset = subset or Subset()
    entries = [_entry(base, item, subset, b"match") for item in matches]
    entries += [_entry(base, item, subset, b"include") for item in includes]
    if outcome is not None:
        entries.append(orjson.dumps({"resource": outcome, "search": {"mode": "outcome"}}))
    text = orjson.dumps(head)
    return text[:-1] + b',"entry":[' + b",".join(entries) + b"]}" if entries else text


def pretty(body: bytes) -> bytes:
    """JSON indented by two."""
    return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _entry(base: str, item: Stored, subset: Subset, mode: bytes) -> bytes:
    url = orjson.dumps(f"{base}/{item.kind}/{item.id}")
    return b'{"fullUrl":' + url + b',"resource":' + subset.of(item.body) + b',"search":{"mode":"' + mode + b'"}}'


def _is_choice(key: str, name: str) -> bool:
    """Whether an element is one of several that a name stands for: `valueQuantity` for `value[x]`, or for `value`."""
    stem = name.removesuffix("[x]")
    return key.removeprefix("_").startswith(stem) and key.removeprefix("_").removeprefix(stem) in _TYPES


@cache
def _elements() -> Mapping[str, Mapping[str, list[str]]]:
    return tomllib.loads(resources.files(__package__).joinpath("elements.toml").read_text("utf-8"))
