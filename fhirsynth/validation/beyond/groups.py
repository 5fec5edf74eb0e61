"""Rules over resources that belong together: one bundle, one person's lines of NDJSON, one file of places."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fhirsynth import reading
from fhirsynth.validation.beyond import narrative, nations, references
from fhirsynth.validation.beyond.resource_types import RESOURCE_TYPES
from fhirsynth.validation.findings import Finding, Json, Severity, as_list, name_of

#: Types of resource that an organisations file holds, to which people's records refer.
PLACES = ("Organization", "Location", "Practitioner", "PractitionerRole", "HealthcareService")
_TEST_DATA = ("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST")
#: Types of bundle that are parts of what a server holds: what they refer to may well be elsewhere.
_PARTS = ("batch", "searchset", "history", "batch-response", "transaction-response", "subscription-notification")
_REST = re.compile(r"https?://.+/([A-Z][A-Za-z]+)/([^/]+)(?:/_history/[^/]+)?")
_INSIDE = re.compile(r"""["']#""")


class Bundle(NamedTuple):
    """What a bundle says of the resources in it; `kind` is "" where resources stand together without a bundle."""

    kind: str
    entries: Sequence[Json]
    by_url: Mapping[str, Json]


class Gathered(NamedTuple):
    """What the rules look for inside a resource: texts of references and the values that hold them, code systems."""

    references: list[tuple[str, Json]]
    national: set[str]


def check_group(
    resources: Sequence[Json],
    places: Collection[str] | None = None,
    *,
    bundle: Json | None = None,
    alone: bool = False,
) -> Iterator[Finding]:
    """What is wrong between resources that belong together.

    `places` are names (`Type/id`) of the places and staff that are known; where they are given, the resources are
    taken to be whole, so that a reference that leads nowhere is an error. `bundle` is the bundle that the resources
    are the entries of; a resource that stands `alone` has nothing that it could refer to.
    """
    entries = [entry for entry in as_list(bundle.get("entry")) if isinstance(entry, dict)] if bundle else []
    kind = bundle.get("type") if bundle else ""
    whole = Bundle(kind if isinstance(kind, str) else "", entries, dict(_addressed(entries)))
    if bundle is not None:
        yield from bundle_addresses_agree(bundle)
    if not alone:
        yield from ids_are_unique(resources, whole, strict=places is not None)
    gathered = [_gathered(resource) for resource in resources]
    if not alone:
        yield from references_resolve(resources, gathered, places, whole)
    yield from nations_mixed(resources, gathered)
    yield from narrative_links(resources)
    for resource in resources:
        yield from label_of_test_data(resource)


def _addressed(entries: Sequence[Json]) -> Iterator[tuple[str, Json]]:
    for entry in entries:
        url, resource = entry.get("fullUrl"), entry.get("resource")
        if isinstance(url, str) and isinstance(resource, dict):
            yield url, resource


def _gathered(resource: Json) -> Gathered:
    """What is inside a resource, found without recursion: resources may be nested deeply."""
    found: list[tuple[str, Json]] = []
    national: set[str] = set()
    values: list[Any] = [resource]
    for value in values:  # which grows as it is gone through
        if type(value) is dict:
            if "reference" in value:
                if type(value["reference"]) is str:
                    found.append((value["reference"], value))
            elif "system" in value:
                system = value["system"]
                if type(system) is str and nations.nation(system):
                    national.add(system)
            inner: Iterable[Any] = value.values()
        else:
            inner = value
        values += [item for item in inner if type(item) is dict or type(item) is list]
    return Gathered(found, national)


def _path(resource: Json, holder: Json) -> str:
    """Where a value stands in a resource."""
    stack: list[tuple[Any, str]] = [(resource, "")]
    while stack:
        value, path = stack.pop()
        if value is holder:
            return path
        if type(value) is dict:
            stack.extend((v, f"{path}.{k}" if path else k) for k, v in value.items() if type(v) in (dict, list))
        else:
            stack.extend((v, f"{path}[{n}]") for n, v in enumerate(value) if type(v) in (dict, list))
    return ""


# --- ids and addresses ---------------------------------------------------------------------------------


def ids_are_unique(resources: Sequence[Json], bundle: Bundle, *, strict: bool) -> Iterator[Finding]:
    """`ids-are-unique` [error]: no two resources of a type have one id; outside bundles, each has one [warning].

    Source: FHIR R4, resource.html. Two versions of one resource, or two servers' resources, may share an id; what
    a transaction or batch creates (POST) is given a new one.
    """
    # Of two with one address only one is found by it, and it is the address that is told.
    apart = {id(resource): _server(url) for url, resource in bundle.by_url.items()}
    posted = {id(entry.get("resource")) for entry in bundle.entries if _method(entry) == "POST"}
    seen: set[tuple[str, str, str]] = set()
    for resource in resources:
        name, meta = name_of(resource), resource.get("meta")
        if not isinstance(resource.get("id"), str):
            if strict or not (bundle.kind or bundle.entries):
                grave: Severity = "error" if strict else "warning"
                yield Finding("ids-are-unique", "there is no id", resource=name, path="id", severity=grave)
            continue
        version = meta.get("versionId") if isinstance(meta, dict) else None
        key = apart.get(id(resource), ""), name, str(version or "")
        if key in seen and id(resource) not in posted and bundle.kind != "batch":
            yield Finding("ids-are-unique", "the id is there twice", resource=name, path="id")
        seen.add(key)


def _server(url: str) -> str:
    match = _REST.fullmatch(url)
    return url[: match.start(1)] if match else ""


def _method(entry: Json) -> str | None:
    request = entry.get("request")
    method = request.get("method") if isinstance(request, dict) else None
    return method if isinstance(method, str) else None


def bundle_addresses_agree(content: Json) -> Iterator[Finding]:
    """`bundle-addresses-agree` [error]: each entry's addresses are those of its resource, and no other entry's.

    A `fullUrl` is absolute, and ends in `Type/id` where it is a server's; it is missing in transactions and batches
    only, of resources without relative references, which are read against it. What is put (PUT) goes to `Type/id`,
    what is created (POST) to `Type`.
    Source: FHIR R4, bundle.html ("Resource URL & Uniqueness rules") and http.html#transaction.
    """
    kind, bundle, seen = content.get("type"), name_of(content), set()
    for place, entry in enumerate(as_list(content.get("entry"))):
        path = f"entry[{place}]"
        if not isinstance(entry, dict):
            continue  # that it is none is found by the definition of Bundle
        resource, method = entry.get("resource"), _method(entry)
        url = entry.get("fullUrl")
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            if method in ("POST", "PUT") or resource is not None:
                yield Finding("bundle-addresses-agree", "the entry holds no resource", resource=bundle, path=path)
            continue
        for found, expected, element in (*_full_url(url, resource, kind), *_request(entry, resource, method)):
            at = f"{path}.{element}"
            yield Finding("bundle-addresses-agree", found, resource=bundle, path=at, expected=expected)
        if isinstance(url, str):
            meta = resource.get("meta")
            version = meta.get("versionId") if isinstance(meta, dict) else None
            key = url, str(version or "")
            if key in seen and kind != "history":
                said = f"{url}, as in another entry"
                yield Finding("bundle-addresses-agree", said, resource=bundle, path=f"{path}.fullUrl")
            seen.add(key)


def _full_url(url: Any, resource: Json, kind: Any) -> Iterator[tuple[str, str, str]]:
    name = name_of(resource)
    if url is None:
        if kind not in ("transaction", "batch", "transaction-response", "batch-response") or _refers_to_beside(
            resource
        ):
            yield "there is no fullUrl", "the URL that the resource is known by", "fullUrl"
        return
    if not isinstance(url, str):
        return
    if ":" not in url:
        yield f"fullUrl is {url}", "an absolute URL", "fullUrl"
        return
    match = _REST.fullmatch(url)
    if match is None or match[1] not in RESOURCE_TYPES:
        return
    if not isinstance(resource.get("id"), str):
        if kind not in ("transaction", "batch"):
            yield f"fullUrl is {url}, and the resource has no id", "an id", "fullUrl"
    elif f"{match[1]}/{match[2]}" != name:
        yield f"fullUrl is {url}", f"an URL that ends in /{name}", "fullUrl"


def _refers_to_beside(resource: Json) -> bool:
    """Whether a resource has a relative reference, such as `Patient/1`."""
    return any(
        ":" not in reference and not reference.startswith("#") for reference, _ in _gathered(resource).references
    )


def _request(entry: Json, resource: Json, method: str | None) -> Iterator[tuple[str, str, str]]:
    request = entry.get("request")
    url = request.get("url") if isinstance(request, dict) else None
    if not isinstance(url, str) or method not in ("PUT", "POST") or "$" in url:
        return
    kind, name = resource["resourceType"], name_of(resource)
    address, _, search = url.partition("?")
    address = (
        "/".join(address.rsplit("/", 2 if method == "PUT" and not search else 1)[-2:]) if "://" in url else address
    )
    if method == "PUT":
        if address != (kind if search else name) and not (search and address == name):
            yield f"request.url is {url}", name, "request.url"
    elif "://" not in url and address != kind and not address.endswith("_search"):
        yield f"request.url is {url}", kind, "request.url"


# --- references --------------------------------------------------------------------------------------


def references_resolve(
    resources: Sequence[Json], gathered: Sequence[Gathered], places: Collection[str] | None, bundle: Bundle
) -> Iterator[Finding]:
    """`references-resolve`: references lead to a resource beside the one that refers, or to one of `places`.

    An error for `#id` and `urn:uuid:`, which can be nowhere else, for what the Composition of a document refers to,
    and for all where `places` is given. Otherwise a reference may be to a resource on a server: [warning] in a
    whole (a transaction, document, message or collection, a person's lines), nothing in a batch or what a server has
    answered, nor for places and staff. `reference-type` [error]: `Reference.type` is the type of what is found.
    Source: FHIR R4, references.html, bundle.html#references, documents.html.
    """
    here = {name_of(resource) for resource in resources}
    strict = places is not None
    lenient = bundle.kind in _PARTS and not strict
    document = bundle.kind == "document"
    for resource, (found, _) in zip(resources, gathered, strict=True):
        contained: set[str] | None = None
        for reference, holder in found:
            if reference in here or (places and reference in places):
                continue
            severity: Severity = "error"
            if reference.startswith("#"):
                if contained is None:
                    inside = as_list(resource.get("contained"))
                    contained = {"#", *(f"#{item.get('id')}" for item in inside if isinstance(item, dict))}
                if reference in contained:
                    continue
            else:
                kind, name, server, wrong, odd = references.target(reference)
                other = bundle.by_url.get(reference.partition("/_history/")[0])
                if other is not None:
                    yield from _mistyped(resource, holder, other)
                    continue
                if wrong or odd or server or (kind and not name) or name in here or (places and name in places):
                    continue
                if name and not strict:
                    if lenient or (kind in PLACES and not document):
                        continue
                    severity = "error" if document and resource.get("resourceType") == "Composition" else "warning"
            path = _path(resource, holder)
            said = f"{reference[:200]} is not there"
            yield Finding("references-resolve", said, resource=name_of(resource), path=path, severity=severity)


def _mistyped(resource: Json, holder: Json, other: Json) -> Iterator[Finding]:
    kind = other.get("resourceType")
    if isinstance(kind, str) and references.disagree(holder.get("type"), kind):
        path = f"{_path(resource, holder)}.type"
        expected = f"{kind}, which the reference leads to"
        yield Finding("reference-type", str(holder["type"]), resource=name_of(resource), path=path, expected=expected)


def narrative_links(resources: Sequence[Json]) -> Iterator[Finding]:
    """`narrative-links` [error]: a link `#x` of a narrative leads to an id in its resource, or in its bundle.

    Source: FHIR R4, narrative.html; HL7's validator resolves them in the same places.
    """
    ids: set[str] | None = None
    for resource in resources:
        for path, div in _divs(resource):
            if _INSIDE.search(div) is None:
                continue
            inner = narrative.links(div)
            for target in inner.to:
                if target in inner.ids:
                    continue
                if ids is None:
                    ids = set(_ids(resources))
                if target not in ids:
                    yield Finding("narrative-links", f"#{target} is not there", resource=name_of(resource), path=path)


def _divs(resource: Json) -> Iterator[tuple[str, str]]:
    text = resource.get("text")
    if isinstance(text, dict) and isinstance(text.get("div"), str):
        yield "text.div", text["div"]
    for place, inner in enumerate(as_list(resource.get("contained"))):
        text = inner.get("text") if isinstance(inner, dict) else None
        if isinstance(text, dict) and isinstance(text.get("div"), str):
            yield f"contained[{place}].text.div", text["div"]


def _ids(resources: Sequence[Json]) -> Iterator[str]:
    """All ids in resources: their own, those of elements and of what is contained, and those in narratives."""
    stack: list[Any] = list(resources)
    while stack:
        value = stack.pop()
        if type(value) is dict:
            identifier, div = value.get("id"), value.get("div")
            if type(identifier) is str:
                yield identifier
            if type(div) is str and ("id=" in div or "name=" in div):
                yield from narrative.links(div).ids
            value = value.values()
        stack.extend(inner for inner in value if type(inner) is dict or type(inner) is list)


# --- people ------------------------------------------------------------------------------------------


def nations_mixed(resources: Sequence[Json], gathered: Sequence[Gathered]) -> Iterator[Finding]:
    """`nations-mixed` [warning]: one person's codes come from the lists of one nation. See `nations`."""
    lists: dict[str, set[str]] = defaultdict(set)
    for resource, (_, systems) in zip(resources, gathered, strict=True):
        if systems:
            lists[_person(resource)].update(systems)
    for person, systems in lists.items():
        if person and len({nations.nation(system) for system in systems}) > 1:
            said = f"codes of {nations.said(systems)}"
            expected = "the lists of one nation"
            name = f"Patient/{person}"
            yield Finding("nations-mixed", said, person, name, severity="warning", expected=expected)


def _person(resource: Json) -> str:
    kind = resource.get("resourceType")
    return (reading.person_of(resource) or "") if isinstance(kind, str) else ""


def label_of_test_data(resource: Json) -> Iterator[Finding]:
    """`label-of-test-data` [information]: a resource says in `meta.security` that it is test data (HTEST).

    Source: HL7 terminology, v3-ActReason HTEST; FHIR R4, security-labels.html.
    """
    meta = resource.get("meta")
    labels = meta.get("security") if isinstance(meta, dict) else None
    for label in labels if isinstance(labels, list) else ():
        if isinstance(label, dict) and (label.get("system"), label.get("code")) == _TEST_DATA:
            return
    said = "no HTEST label"
    yield Finding("label-of-test-data", said, resource=name_of(resource), path="meta.security", severity="information")
