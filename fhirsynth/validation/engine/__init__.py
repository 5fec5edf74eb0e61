"""The built-in validator: base R4, UK Core and one's own profiles, from the compiled rules, in Python.

    validator = Validator(release="stu3")
    for finding in validator.check(resource):
        print(finding)

Rules are compiled to closures when a type or profile is first met; a validator is made once and used for many.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fhirsynth.errors import InputError
from fhirsynth.validation.beyond import OF_TYPE
from fhirsynth.validation.beyond.narrative import html_is_fine
from fhirsynth.validation.engine import extensions
from fhirsynth.validation.engine.checkers import Check, Compiler, Rule
from fhirsynth.validation.engine.library import CORE, RELEASES, Library
from fhirsynth.validation.engine.primitives import said
from fhirsynth.validation.engine.scope import Context, Scope, scope_of
from fhirsynth.validation.findings import SEVERITIES, Finding, Issue, Json, Severity, name_of

__all__ = ["RELEASES", "Context", "Library", "Validator"]

#: Canonicals under these are UK Core's and HL7's: one that is not known is misspelt or of another release.
_KNOWN_WHOLE = (CORE, "https://fhir.hl7.org.uk/StructureDefinition/")
_ENTRY = re.compile(r"entry\[(\d+)\]\.resource\.?")


class Validator:
    """Checks resources and bundles.

    `profiles` are canonical URLs that every resource of their type must meet besides those in its `meta.profile`;
    `folders` hold rules of one's own, compiled from other packages; findings below `minimum` are left out.
    Raises InputError for a release or profile that is not known.
    """

    name = "builtin"

    def __init__(
        self,
        release: str = "stu3",
        profiles: Sequence[str] = (),
        folders: Sequence[Path] = (),
        minimum: Severity = "warning",
        rules: Mapping[str, tuple[Rule, ...]] = OF_TYPE,
    ) -> None:
        self.library = Library(release, folders)
        self._minimum = SEVERITIES.index(minimum)
        functions: dict[str, Callable[[Any], Any]] = {"htmlChecks": html_is_fine}
        self._compiler = Compiler(
            self.library, rules, functions, self._any_resource, informative=minimum == "information"
        )
        self._checks: dict[tuple[str, tuple[str, ...]], list[Check]] = {}
        self._asked: dict[str, tuple[str, ...]] = {}
        for url in profiles:
            structure = self.library.structure(url)
            if structure is None:
                near = difflib.get_close_matches(url, self.library.profiles(), 3)
                hint = f"; did you mean {' or '.join(near)}?" if near else ""
                raise InputError(f"unknown profile {url}{hint} Others are compiled with `fhirsynth profiles compile`")
            self._asked[structure.type] = (*self._asked.get(structure.type, ()), structure.url)

    def check(self, resource: Json, context: Context | None = None) -> list[Finding]:
        """What is wrong in a resource, or in a bundle and all its entries.

        `context` holds resources that stand beside it, for its references; a bundle brings its own.
        """
        try:
            issues = self._resource(resource, context or self.context())
        except RecursionError:
            issues = [Issue("", "nesting", "elements nested too deeply to be checked", "fewer levels")]
        if not issues:
            return []
        return [_finding(resource, i) for i in issues if SEVERITIES.index(i.severity) >= self._minimum]

    def context(self, bundle: Json | None = None) -> Context:
        """The context of resources that stand in one bundle, or an empty one to add resources to."""
        return Context(bundle, self._meets)

    def meets(self, resource: Json, profile: str) -> bool:
        """Whether a resource meets a profile. Raises InputError where the profile is not known."""
        return self._meets(resource, profile, self.context())

    @property
    def unchecked(self) -> Mapping[str, str]:
        """Invariants that were met and cannot be checked, and why."""
        return self._compiler.unchecked

    def _meets(self, resource: Json, profile: str, context: Context) -> bool:
        structure = self.library.structure(profile)
        if structure is None or structure.type != resource.get("resourceType"):
            return False
        scope = scope_of(resource, resource, context)
        checks = self._compiled(structure.type, (structure.url,))
        return not any(i.severity == "error" for check in checks for i in self._settled(check, resource, scope))

    def _any_resource(self, value: Any, scope: Scope, contained: bool) -> list[Issue] | None:
        """A resource inside another: contained, or in an entry of a bundle or a parameter."""
        return self._resource(value, scope.context, scope.root if contained else None)

    def _resource(self, value: Any, context: Context, root: Json | None = None) -> list[Issue] | None:
        kind = value.get("resourceType") if type(value) is dict else None
        if type(kind) is not str:
            return [Issue("", "json-type", said(value), "a resource: an object with a resourceType")]
        structure = self.library.base(kind)
        if structure is None or structure.kind != "resource" or structure.abstract:
            return [Issue("resourceType", "unknown-type", kind, "a type of resource of FHIR R4")]
        if kind == "Bundle":
            context = self.context(value)
        found: list[Issue] = []
        if root is not None and "id" not in value:
            found.append(Issue("id", "min", "nothing", "an id, for a contained resource"))
        profiles = self._profiles(kind, value, found)
        scope = scope_of(value, value if root is None else root, context)
        checks = self._compiled(kind, profiles)
        for check in checks:
            found += self._settled(check, value, scope)
        if len(checks) > 1:
            return list(dict.fromkeys(found))
        return found

    def _settled(self, check: Check, resource: Json, scope: Scope) -> list[Issue]:
        issues = check(resource, None, scope)
        return extensions.settle(self._compiler, resource, issues) if issues else []

    def _compiled(self, kind: str, profiles: tuple[str, ...]) -> list[Check]:
        key = kind, profiles
        if key not in self._checks:
            if len(self._checks) > 10_000:
                self._checks.clear()
            overlays = [self.library.overlay(url) for url in profiles] or [None]
            self._checks[key] = [self._compiler.of_type(kind, overlay) for overlay in overlays]
        return self._checks[key]

    def _profiles(self, kind: str, resource: Json, found: list[Issue]) -> tuple[str, ...]:
        """The profiles that a resource must meet; what is wrong with those it claims goes into `found`."""
        meta = resource.get("meta")
        claimed = meta.get("profile") if type(meta) is dict else None
        asked = self._asked.get(kind, ())
        if type(claimed) is not list:
            return asked
        profiles = list(asked)
        for place, url in enumerate(claimed):
            if type(url) is not str:
                continue
            structure = self.library.structure(url)
            path = f"meta.profile[{place}]"
            if structure is None:
                found.append(self._unknown_profile(url, path))
            elif structure.type != kind:
                found.append(Issue(path, "profile", f"{url}, which is for {structure.type}", f"a profile on {kind}"))
            elif structure.url not in profiles and structure.derivation == "constraint":
                profiles.append(structure.url)
                if structure.status == "retired":
                    found.append(Issue(path, "retired", f"{url}, which is retired", "a profile in use", "warning"))
        return tuple(profiles)

    def _unknown_profile(self, url: str, path: str) -> Issue:
        if self.library.is_of_another_release(url):
            said_ = f"{url}, which is not in this release of UK Core"
            return Issue(path, "profile-unknown", said_, f"a profile of {self.library.release}", "warning")
        severity: Severity = "error" if url.startswith(_KNOWN_WHOLE) else "warning"
        return Issue(path, "profile-unknown", f"{url}, which is not known", "a known profile", severity)


def _finding(resource: Json, issue: Issue) -> Finding:
    """An issue as a finding of the resource it stands in: in a bundle, that of the entry."""
    path, inner, entry = issue.path, resource, None
    match = _ENTRY.match(path)
    if match and resource.get("resourceType") == "Bundle":
        entry = int(match[1])
        inner, path = resource["entry"][entry]["resource"], path[match.end() :]
    name = name_of(inner) if isinstance(inner, dict) else name_of(resource)
    return Finding(issue.rule, issue.found, "", name, path, "", issue.severity, issue.expected, entry)
