"""Operations: all of a person (`$everything`), a letter as a document (`$document`), all resources (`$export`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from fhirsynth import reading
from fhirsynth.serving.dates import span_of_text
from fhirsynth.serving.index import Index, Stored
from fhirsynth.serving.outcomes import FhirError
from fhirsynth.serving.parameters import Parameters

#: Resources that an export reads at a time.
_AT_ONCE = 200
_REFERENCE = re.compile(rb'"reference":"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})"')


class Everything(NamedTuple):
    """A page of a person's record: what is theirs, the places and staff it refers to, how much in all, the cursor."""

    found: list[Stored]
    included: list[Stored]
    total: int
    next: str | None


def everything(
    index: Index, patient: str, kinds: frozenset[str], since: str | None, count: int | None, after: int
) -> Everything:
    """A person's record. Raises FhirError where there is nobody of that id, or `since` is no moment.

    `kinds`: the only types of resource to be given (all: none), `since`: only what was changed since, `count`: how
    many (all: None), `after`: the key behind which they begin.
    """
    key = index.key("Patient", patient)
    if key is None:
        raise FhirError(404, "not-found", f"there is no Patient/{patient}")
    items = index.by_keys(index.compartment(key))
    changed = read_since(since)
    items = [item for item in items if (not kinds or item.kind in kinds) and item.updated * 1000 >= changed]
    items.sort(key=lambda item: (item.kind != "Patient", item.key))  # the person first, wherever the file had them
    total = len(items)
    begin = next((place + 1 for place, item in enumerate(items) if item.key == after), 0) if after else 0
    page = items[begin:] if count is None else items[begin : begin + count]
    more = begin + len(page) < total and count is not None and page
    return Everything(page, _places(index, page, kinds), total, f"after-{page[-1].key}" if more else None)


def _places(index: Index, items: list[Stored], kinds: frozenset[str]) -> list[Stored]:
    """What resources refer to, and what that refers to, and so on, that belongs to nobody's record."""
    seen = {(item.kind, item.id) for item in items}
    found: list[Stored] = []
    last = items
    while last:
        named: dict[tuple[str, str], None] = {}
        for item in last:
            for kind, identity in _REFERENCE.findall(item.body):
                named[kind.decode(), identity.decode()] = None
        fresh = [name for name in named if name not in seen]
        seen.update(fresh)
        read = [item for item in (index.read(*name) for name in fresh) if item is not None]
        last = [item for item in read if reading.person_of(orjson.loads(item.body)) is None]
        found += [item for item in last if not kinds or item.kind in kinds]
    return found


def document(index: Index, parameters: Parameters, composition: str) -> Stored:
    """The document bundle that a Composition is the first resource of. Raises FhirError where there is none."""
    key = index.key("Composition", composition)
    if key is None:
        raise FhirError(404, "not-found", f"there is no Composition/{composition}")
    for field in index.fields(parameters.of("Bundle")["composition"]):
        found = index.rows("SELECT resource FROM link WHERE field = ? AND target = ? LIMIT 1", (field, key))
        if found:
            return index.by_keys(found[0])[0]
    raise FhirError(404, "not-found", f"there is no document of Composition/{composition}")


def read_kinds(text: str | None, known: list[str]) -> frozenset[str]:
    """The types of resource in `_type`. Raises FhirError where one is not served."""
    kinds = frozenset(part.strip() for part in (text or "").split(",") if part.strip())
    for kind in sorted(kinds - set(known)):
        raise FhirError(400, "not-supported", f"_type: {kind!r} is no type of resource that is served")
    return kinds


def read_since(text: str | None) -> int:
    """The value of `_since` in milliseconds since 1970, or 0. Raises FhirError where it is no moment."""
    if text is None:
        return 0
    span = span_of_text(text)
    if span is None:
        raise FhirError(400, "invalid", f"_since: expected a moment such as 2026-01-01T00:00:00Z; found {text!r:.40}")
    return span[0]


# --- export ---------------------------------------------------------------------------------------


def export_kinds(index: Index, parameters: Parameters, asked: frozenset[str], *, of_people: bool) -> list[str]:
    """The types of resource of an export that are there; `of_people`: only those of people's records."""
    return [
        kind
        for kind in index.kinds
        if (not asked or kind in asked) and (not of_people or kind == "Patient" or "patient" in parameters.of(kind))
    ]


def lines(index: Index, kind: str, since: str | None) -> Iterator[bytes]:
    """All resources of a type as NDJSON, some at a time. Raises FhirError where `since` is no moment, at once."""
    changed = read_since(since)

    def read() -> Iterator[bytes]:
        after = 0
        while items := index.of_kind(kind, after, _AT_ONCE):
            yield b"".join(item.body + b"\n" for item in items if item.updated * 1000 >= changed)
            after = items[-1].key

    return read()
