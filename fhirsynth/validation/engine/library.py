"""The compiled definitions: structures, value sets and code systems, found by canonical URL and read once.

A canonical's file is named by the last part of its URL; the folders of one's own rules come first, then those of
the release, then base R4.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fhirsynth import shipped
from fhirsynth.errors import InputError
from fhirsynth.validation.compiling.packages import name_of
from fhirsynth.validation.engine import elements
from fhirsynth.validation.engine.elements import Element, Structure

CORE = "http://hl7.org/fhir/StructureDefinition/"
RELEASES = ("stu3", "stu2")


class ValueSet(NamedTuple):
    """Codes by system, and the systems of which other codes too may belong to the set (None decided offline)."""

    url: str
    status: str
    codes: Mapping[str, Mapping[str, str]]
    open: frozenset[str]

    def holds(self, system: str | None, code: str) -> bool | None:
        """Whether a code is in the set; None where this cannot be decided without a terminology server."""
        if code in self.codes.get(system or "", ()):
            return True
        return None if system in self.open or "*" in self.open else False


class CodeSystem(NamedTuple):
    """A complete list of codes with their displays; `retired` ones are no longer for use."""

    url: str
    status: str
    codes: Mapping[str, str]
    retired: frozenset[str]
    case_sensitive: bool


class Library:
    """Definitions of one release of UK Core over base R4, and of folders of one's own.

    Raises InputError for a release that is not there and for a damaged file of rules.
    """

    def __init__(self, release: str = "stu3", folders: Sequence[Path] = ()) -> None:
        shipped_rules = shipped.folder("profiles")
        if release not in RELEASES:
            raise InputError(f"unknown release {release!r}: expected one of {', '.join(RELEASES)}")
        self.release = release
        own = [inner for folder in folders for inner in _inside(folder)]
        self.folders = [*own, shipped_rules / release, shipped_rules / "r4"]
        self._others = [shipped_rules / other for other in RELEASES if other != release]
        self._structures: dict[str, Structure | None] = {}
        self._overlays: dict[str, Element | None] = {}
        self._value_sets: dict[str, ValueSet | None] = {}
        self._code_systems: dict[str, CodeSystem | None] = {}

    def structure(self, url: str) -> Structure | None:
        """The structure of a canonical URL (its version is left aside), or of a type's bare name; None if unknown."""
        url = url.partition("|")[0]
        if "/" not in url:
            url = CORE + url
        if url not in self._structures:
            self._structures[url] = self._read_structure(url, self.folders)
        return self._structures[url]

    def is_of_another_release(self, url: str) -> bool:
        """Whether a profile that this release lacks is one of another release of UK Core."""
        return self._read_structure(url.partition("|")[0], self._others) is not None

    def base(self, kind: str) -> Structure | None:
        """The base definition of a FHIR type or resource by its name."""
        found = self.structure(kind)
        return found if found is not None and found.derivation != "constraint" else None

    def overlay(self, url: str) -> Element | None:
        """What a profile and the profiles below it say beyond the base type; None for a base type.

        Raises InputError where a profile leans on one that is not there.
        """
        url = url.partition("|")[0]
        if url not in self._overlays:
            structure = self.structure(url)
            if structure is None:
                raise InputError(
                    f"the profile {url} is not there: compile its package with `fhirsynth profiles compile`"
                )
            said = None
            if structure.derivation == "constraint":
                said = elements.merge(self.overlay(structure.base), structure.root)
            self._overlays[url] = said
        return self._overlays[url]

    def descends(self, url: str, ancestor: str) -> bool:
        """Whether a profile is `ancestor` or is derived from it."""
        seen = set()
        while url and url not in seen:
            if url == ancestor:
                return True
            seen.add(url)
            found = self.structure(url)
            url = found.base if found else ""
        return False

    def profiles(self) -> list[str]:
        """Canonical URLs of all profiles on resources, extensions left out."""
        found = []
        for folder in self.folders:
            for file in sorted((folder / "structures").glob("*.toml")):
                structure = elements.read(file)
                if structure.derivation == "constraint" and structure.kind == "resource":
                    found.append(structure.url)
        return found

    def value_set(self, url: str) -> ValueSet | None:
        """A value set; None where it was not compiled."""
        url = url.partition("|")[0]
        if url not in self._value_sets:
            data = self._read("value-sets", url)
            self._value_sets[url] = data and ValueSet(  # type: ignore[assignment]
                url,
                data.get("status", "active"),
                data.get("codes", {}),
                frozenset(item["system"] for item in data.get("open", ())),
            )
        return self._value_sets[url]

    def code_system(self, url: str) -> CodeSystem | None:
        """A code system whose codes are all known; None for others."""
        if url not in self._code_systems:
            data = self._read("code-systems", url)
            self._code_systems[url] = data and CodeSystem(  # type: ignore[assignment]
                url,
                data.get("status", "active"),
                data.get("codes", {}),
                frozenset(data.get("retired", ())),
                data.get("case_sensitive", False),  # where it is not stated HL7's validator takes it so
            )
        return self._code_systems[url]

    def _read_structure(self, url: str, folders: Sequence[Path]) -> Structure | None:
        for folder in folders:
            file = folder / "structures" / f"{name_of(url)}.toml"
            if file.is_file():
                try:
                    found = elements.read(file)
                except ValueError as error:
                    raise InputError(f"{error}; compile it again with `fhirsynth profiles compile`") from None
                if found.url == url:
                    return found
        return None

    def _read(self, kind: str, url: str) -> dict[str, Any] | None:
        for folder in self.folders:
            file = folder / kind / f"{name_of(url)}.toml"
            if file.is_file():
                try:
                    data = tomllib.loads(file.read_text(encoding="utf-8"))
                except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                    raise InputError(f"{file} is not a file of rules: {error}") from None
                if data.get("url") == url:
                    return data
        return None


def _inside(folder: Path) -> list[Path]:
    """A folder of rules itself, or the folders in it that hold structures. Raises InputError where there are none."""
    found = [inner for inner in (folder, *sorted(folder.glob("*"))) if (inner / "structures").is_dir()]
    if not found:
        raise InputError(f"{folder} holds no rules; expected a folder that `fhirsynth profiles compile` has written")
    return found
