"""References against the types and profiles that an element may refer to."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from fhirsynth.validation.engine.library import CORE, Library
from fhirsynth.validation.engine.scope import Scope
from fhirsynth.validation.findings import Issue, Json

Check = Callable[[Any, Any, Scope], "list[Issue] | None"]

_LITERAL = re.compile(r"(?:https?://.*/)?([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?")


def target_check(library: Library, targets: Sequence[str]) -> Check:
    """What checks that a reference leads to one of the target profiles."""
    types = {}
    for url in targets:
        structure = library.structure(url)
        types[url] = structure.type if structure else url.removeprefix(CORE) if url.startswith(CORE) else ""
    if any(kind in ("", "Resource", "DomainResource") for kind in types.values()):
        return lambda value, holder, scope: None
    allowed = frozenset(types.values())
    expected = f"a reference to {', '.join(sorted(allowed))}"
    asked = frozenset(targets)
    profiles = [url for url in targets if not url.startswith(CORE) or "/" in url.removeprefix(CORE)]
    plain = frozenset(kind for url, kind in types.items() if url not in profiles)

    def check(value: Any, holder: Any, scope: Scope) -> list[Issue] | None:
        reference, kind = value.get("reference"), value.get("type")
        if kind is not None and type(kind) is str and kind.removeprefix(CORE) not in allowed:
            return [Issue("type", "reference-target", kind, expected)]
        if type(reference) is not str or (reference, asked) in scope.context.good:
            return None
        target = scope.resolve(reference)
        if target is None:
            literal = _LITERAL.fullmatch(reference)
            found = literal[1] if literal else None
        else:
            found = target.get("resourceType")
        if found is not None and found not in allowed:
            if target is None and library.base(found) is None:
                return None
            return [Issue("reference", "reference-target", f"{reference}, a {found}", expected)]
        if target is not None and found not in plain and profiles:
            wanted = [url for url in profiles if types[url] == found]
            fits = any(_claims(library, target, url) or scope.context.meets(target, url) for url in wanted)
            if wanted and not fits:
                said = f"{reference} that meets none of {', '.join(wanted)}"
                # A warning: HL7's validator follows the types of targets and leaves their profiles alone.
                expected_ = "a resource that meets one of them"
                return [Issue("reference", "reference-profile", said, expected_, "warning")]
        if not reference.startswith("#"):
            scope.context.good.add((reference, asked))
        return None

    return check


def _claims(library: Library, resource: Json, profile: str) -> bool:
    """Whether a resource says that it meets a profile, which then is checked where the resource itself is."""
    meta = resource.get("meta")
    claimed = meta.get("profile") if isinstance(meta, dict) else None
    if not isinstance(claimed, list):
        return False
    return any(isinstance(url, str) and library.descends(url.partition("|")[0], profile) for url in claimed)
