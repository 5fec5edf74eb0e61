"""Extensions: known by URL, allowed where they stand, with the value and the parts that their definition asks for.

Whether an extension may stand on an element of a certain path (`Patient.contact`) is known only by the resource
around it. The check of the extension then hands up an issue with the rule PENDING, which the resource settles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fhirsynth.validation.engine.elements import MANY, Element, Structure, slice_of
from fhirsynth.validation.engine.primitives import said
from fhirsynth.validation.engine.scope import Scope
from fhirsynth.validation.findings import Issue, Json, under

if TYPE_CHECKING:
    from fhirsynth.validation.engine.checkers import Check, Compiler

#: What a path of FHIRPath has beyond the id of an element.
_INDEX_OR_TYPE = re.compile(r"\[\d+\]|\.ofType\([A-Za-z]+\)")

PENDING = "extension-context?"
#: Where every extension is known, so that one that is not is misspelt.
_KNOWN_WHOLE = ("http://hl7.org/fhir/StructureDefinition/", "https://fhir.hl7.org.uk/StructureDefinition/")


def checker(compiler: Compiler, key: str, layer: Element, owners: tuple[str, str]) -> Check:
    """What checks the extensions of one element. `owners` are its path and its type.

    The path of an extension that holds others is its URL, that of a part `URL#part`.
    """
    owner = owners[0]
    pieces = dict(_pieces(compiler, layer))
    parts = {url: piece for url, piece in pieces.items() if ":" not in url}
    counted = {url: (piece.min or 0, MANY if piece.max is None else piece.max) for url, piece in pieces.items()}
    most = MANY if layer.max is None else layer.max
    known: dict[str, Check] = {}
    bounded = {url: limits for url, limits in counted.items() if limits != (0, MANY)}

    def by_url(url: str) -> Check:
        if url in parts:
            return compiler.of_type("Extension", slice_of(layer, parts[url]), f"{owner}#{url}")
        return _of_definition(compiler, url, owners, modifies=key == "modifierExtension")

    def check(value: Any, holder: Any, scope: Scope) -> list[Issue] | None:
        if type(value) is not list:
            return [Issue("", "json-type", said(value), "an array")]
        if not value:
            return [Issue("", "json-type", "an empty array", "an array of at least one, or no such element")]
        found: list[Issue] | None = None
        for place, item in enumerate(value):
            url = item.get("url") if type(item) is dict else None
            name = url if type(url) is str else ""
            of_url = known.get(name)
            if of_url is None:
                of_url = by_url(name)
                if len(known) < 1000:
                    known[name] = of_url
            issues = of_url(item, holder, scope)
            if issues:
                issues = under(f"[{place}]", issues)
                found = [*found, *issues] if found else issues
        if len(value) > most:
            found = [*(found or ()), Issue("", "max", f"{len(value)} of them", f"at most {most}")]
        for url, (least, at_most) in bounded.items():
            there = sum(type(item) is dict and item.get("url") == url for item in value)
            if not least <= there <= at_most:
                expected = f"at least {least}" if there < least else f"at most {at_most}"
                found = [*(found or ()), Issue("", "slice-min", f"{there} of extension {url}", expected)]
        return found

    return check


def _pieces(compiler: Compiler, layer: Element) -> Iterator[tuple[str, Element]]:
    """The slices of an element `extension` by the URL that tells them apart."""
    for piece in layer.slices.values():
        for url in (piece.profiles or {}).get("Extension", ()):
            yield url.partition("|")[0], piece
            break
        else:
            url_element = piece.children.get("url")
            if url_element is not None and isinstance(url_element.fixed, str):
                yield url_element.fixed, piece


def _of_definition(compiler: Compiler, url: str, owners: tuple[str, str], *, modifies: bool) -> Check:
    """What checks an extension by its definition."""
    structure = compiler.library.structure(url) if ":" in url else None
    base = compiler.of_type("Extension")
    if structure is None or structure.type != "Extension":
        return _with(base, _unknown(url, owners[0]))
    always: list[Issue] = []
    if structure.status == "retired":
        always.append(Issue("url", "retired", f"{url}, which is retired", "an extension in use", "warning"))
    if modifies != structure.modifier:
        expected = "in modifierExtension" if structure.modifier else "in extension"
        always.append(Issue("", "extension-modifier", url, expected))
    fits = _fits_here(structure, owners)
    if fits is False:
        always.append(Issue("", "extension-context", f"{url} on {owners[0]}", f"on {_contexts(structure)}"))
    elif fits is None:
        always.append(Issue("", PENDING, url, "", "error"))
    return _with(compiler.of_type("Extension", compiler.library.overlay(url), url), always)


def _with(check: Check, always: list[Issue]) -> Check:
    if not always:
        return check
    return lambda value, holder, scope: [*(check(value, holder, scope) or ()), *always]


def _unknown(url: str, owner: str) -> list[Issue]:
    if not url:
        return []  # that there is none is found by the minimum of Extension.url
    if ":" not in url:
        if owner == "Extension":
            return []  # a part of an extension that is not known
        what = f"a part of {owner}" if ":" in owner else "an absolute URL"
        return [Issue("url", "extension-unknown", url, what)]
    if url.startswith(_KNOWN_WHOLE) and "/" not in url.removeprefix(_KNOWN_WHOLE[0]).removeprefix(_KNOWN_WHOLE[1]):
        return [Issue("url", "extension-unknown", url, "an extension that is defined")]
    return [Issue("url", "extension-unknown", f"{url}, whose definition is not at hand", "", "information")]


def _fits_here(structure: Structure, owners: tuple[str, str]) -> bool | None:
    """Whether an extension may stand on its owner; None where the path through the resource decides."""
    contexts = structure.context
    owner = owners[0]
    if not contexts and not structure.context_extension:
        return True
    if "Element" in contexts or any(name in contexts for name in owners) or owner in structure.context_extension:
        return True
    if "#" in owner and owner.partition("#")[0] in structure.context_extension:
        return True
    if structure.context_fhirpath:
        return True  # FHIRPath contexts are beyond what is checked
    return None


def _contexts(structure: Structure) -> str:
    return ", ".join((*structure.context, *structure.context_extension))


def settle(compiler: Compiler, resource: Json, issues: list[Issue]) -> list[Issue]:
    """The issues of a resource with the question answered whether its extensions may stand where they do."""
    found = []
    for issue in issues:
        if issue.rule != PENDING:
            found.append(issue)
            continue
        structure = compiler.library.structure(issue.found)
        assert structure is not None
        kind = str(resource.get("resourceType", ""))
        path = _INDEX_OR_TYPE.sub("", issue.path).rpartition(".")[0]
        here = f"{kind}.{path}" if path else kind
        if not any(_is_at(context, here, kind, bool(path)) for context in structure.context):
            said_ = f"{structure.url} on {here}"
            found.append(Issue(issue.path, "extension-context", said_, f"on {_contexts(structure)}"))
    return found


def _is_at(context: str, here: str, kind: str, inside: bool) -> bool:
    if not inside and context in ("Resource", "DomainResource", kind):
        return True
    if context in ("Resource", "DomainResource"):
        return False
    return context.replace("[x]", "") == here
