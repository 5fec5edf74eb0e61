"""Whether resources hang together: ids, references, NHS numbers, the label of test data, their profiles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import nhs_number

from fhirsynth.validation import profiles
from fhirsynth.validation.findings import Finding, Json, as_list, name_of

PLACES = ("Organization", "Location", "Practitioner", "PractitionerRole", "HealthcareService")
_NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
_TEST_DATA = ("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST")


def ids_are_unique(resources: list[Json]) -> Iterator[Finding]:
    """Every resource has an id that no other of its type has."""
    seen: set[str] = set()
    for resource in resources:
        name = name_of(resource)
        if not isinstance(resource.get("id"), str):
            yield Finding("ids-are-unique", "there is no id", resource=name)
        elif name in seen:
            yield Finding("ids-are-unique", "the id is there twice", resource=name)
        seen.add(name)


def bundle_addresses_agree(content: Json) -> Iterator[Finding]:
    """In a bundle, each entry's address is that of its resource: `fullUrl` ends in `Type/id`, as does the request."""
    for place, entry in enumerate(as_list(content.get("entry"))):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            yield Finding("bundle-addresses-agree", "the entry holds no resource", path=f"entry[{place}]")
            continue
        name = name_of(resource)
        if not str(entry.get("fullUrl", "")).endswith("/" + name):
            yield Finding("bundle-addresses-agree", f"fullUrl is {entry.get('fullUrl')}", resource=name)
        request = entry.get("request")
        if isinstance(request, dict) and request.get("method") == "PUT" and request.get("url") != name:
            yield Finding("bundle-addresses-agree", f"request.url is {request.get('url')}", resource=name)


def references_resolve(resources: list[Json], places: Collection[str] | None) -> Iterator[Finding]:
    """Every reference is to a resource beside it or to a place or member of staff in `places`.

    Where `places` is None (no organisations file is at hand), references to places and staff are let pass.
    """
    here = {name_of(resource) for resource in resources}
    for resource in resources:
        contained = {f"#{item.get('id')}" for item in as_list(resource.get("contained")) if isinstance(item, dict)}
        for path, reference in _references(resource, ""):
            if reference in here or reference in contained or (places and reference in places):
                continue
            if places is None and reference.split("/")[0] in PLACES:
                continue
            yield Finding("references-resolve", f"{reference} is not there", resource=name_of(resource), path=path)


def _references(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "reference" and isinstance(inner, str):
                yield path, inner
            elif isinstance(inner, dict | list):
                yield from _references(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _references(inner, f"{path}[{place}]")


def nhs_number_is_sound(resource: Json) -> Iterator[Finding]:
    """A patient's NHS number has the right check digit and is in the 999 range, which nobody real is given."""
    if resource["resourceType"] != "Patient":
        return
    for identifier in as_list(resource.get("identifier")):
        if identifier.get("system") == _NHS_NUMBER:
            value = identifier.get("value")
            if not isinstance(value, str) or not nhs_number.is_valid(value):
                yield Finding("nhs-number-is-sound", f"{value} has a wrong check digit", resource=name_of(resource))
            elif not value.startswith("999"):
                said = f"{value} is outside the test range 999"
                yield Finding("nhs-number-is-sound", said, resource=name_of(resource))


def is_labelled_test_data(resource: Json) -> Iterator[Finding]:
    """Every resource says in `meta.security` that it is test data (HTEST)."""
    labels = as_list((resource.get("meta") or {}).get("security"))
    if not any((label.get("system"), label.get("code")) == _TEST_DATA for label in labels):
        yield Finding("is-labelled-test-data", "no HTEST label in meta.security", resource=name_of(resource))


def profiles_hold(resource: Json) -> Iterator[Finding]:
    """What the profiles that a resource claims ask for."""
    for profile in as_list((resource.get("meta") or {}).get("profile")):
        yield from profiles.check(resource, profile)


_EACH: tuple[Callable[[Json], Iterator[Finding]], ...] = (nhs_number_is_sound, is_labelled_test_data, profiles_hold)


def check_resources(resources: list[Json], places: Collection[str] | None) -> list[Finding]:
    """All rules of structure over resources that belong together, such as those of one person."""
    found = [*ids_are_unique(resources), *references_resolve(resources, places)]
    for resource in resources:
        for rule in _EACH:
            try:
                found.extend(rule(resource))
            except (AttributeError, TypeError, KeyError, ValueError) as error:
                name = rule.__name__.replace("_", "-")
                said = f"cannot be judged, an element has another form than FHIR's: {error}"
                found.append(Finding(name, said, resource=name_of(resource)))
    return found
