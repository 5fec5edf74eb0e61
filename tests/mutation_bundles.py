"""Mutations of a bundle itself, not of the resources that it holds."""

from __future__ import annotations

from collections.abc import Iterator

from definitions import Json, Step
from mutation_changes import BASE, Change, all_of, drop, put, turned_round


def of_bundle(bundle: Json) -> Iterator[Change]:
    """What can be wrong in a bundle but not in the resources that it holds."""
    first, second = bundle["entry"][:2]
    entry: tuple[Step, ...] = ("entry", 1)
    url = second["fullUrl"]
    for key in ("fullUrl", "resource", "request"):
        yield Change(f"entry[1].{key}", "taken away", drop((*entry, key)), key)
    yield Change(
        "entry[1]", "without resource and request", all_of(drop((*entry, "resource")), drop((*entry, "request"))), ""
    )
    for name, value in {
        "the URL of another": first["fullUrl"],
        "relative": url.removeprefix(BASE),
        "of another id": f"{BASE}{second['resource']['resourceType']}/other",
        "of another type": url.replace(second["resource"]["resourceType"], "Basic"),
        "of a version": f"{url}/_history/1",
        "no UUID": "urn:uuid:123",
        "a UUID in capitals": "urn:uuid:C757873D-EC9A-4326-A141-556F43239520",
    }.items():
        yield Change("entry[1].fullUrl", name, put((*entry, "fullUrl"), value), name)
    for key, value in (("method", "PUSH"), ("url", "has a space"), ("ifNoneExist", 1)):
        yield Change(f"entry[1].request.{key}", f"{value}", put((*entry, "request", key), value), key)
    for key in ("method", "url"):
        yield Change(f"entry[1].request.{key}", "taken away", drop((*entry, "request", key)), key)
    yield Change("entry[1].response", "in a transaction", put((*entry, "response"), {"status": "200"}), "")
    yield Change("entry[1].search", "in a transaction", put((*entry, "search"), {"mode": "match"}), "")
    yield Change("entry[1].resource.id", "taken away", drop((*entry, "resource", "id")), "")
    yield Change("entry[1].resource.resourceType", "taken away", drop((*entry, "resource", "resourceType")), "")
    yield Change("entry[1].resource.resourceType", "no type", put((*entry, "resource", "resourceType"), "Ghost"), "")
    yield Change("entry[1].resource", "an empty object", put((*entry, "resource"), {}), "")
    yield Change("entry", "an empty entry", put(("entry", len(bundle["entry"])), {}), "")
    yield Change("entry", "an empty array", put(("entry",), []), "")
    yield Change("entry", "an object for an array", put(("entry",), second), "")
    yield Change("type", "taken away", drop(("type",)), "")
    for kind in ("no-such-type", "collection", "searchset", "history", "document", "message", "batch-response"):
        yield Change("type", kind, put(("type",), kind), kind)
    yield Change("total", "in a transaction", put(("total",), 2), "")
    yield Change("link[0]", "without relation", put(("link",), [{"url": BASE}]), "")
    yield Change("timestamp", "a date for an instant", put(("timestamp",), "2026-01-01"), "")
    yield Change("text", "which a bundle has not", put(("text",), {"status": "empty"}), "")
    yield Change("identifier", "in an array", put(("identifier",), [{"value": "x"}]), "")


def of_bundle_neutral(bundle: Json) -> Iterator[Change]:
    """What may be changed in a bundle."""
    yield Change("", "properties in another order", turned_round, "")
    yield Change("type", "batch", put(("type",), "batch"), "")
    yield Change("timestamp", "added", put(("timestamp",), "2026-01-01T10:00:00Z"), "")
    yield Change("identifier", "added", put(("identifier",), {"system": "https://example.org/id", "value": "1"}), "")
    yield Change("entry", "taken away", drop(("entry",)), "")
