"""Several packages compiled in order, each into its release folder, leaning on one another and on the shipped rules."""

from __future__ import annotations

import re
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from fhirsynth import shipped
from fhirsynth.errors import InputError, OutputError
from fhirsynth.validation.compiling import packages, structures, terminology, writing
from fhirsynth.validation.compiling.packages import Package, canonical, name_of
from fhirsynth.validation.compiling.terminology import Concepts, Members

Json = dict[str, Any]
T = TypeVar("T")

BASE = "r4"
#: Release folders of packages that are known, by how their names begin.
_RELEASES = {"hl7.fhir.r4.core": BASE, "fhir.r4.ukcore.stu3": "stu3", "fhir.r4.ukcore.stu2": "stu2"}
_RELEASE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
STRUCTURES, VALUE_SETS, CODE_SYSTEMS = "structures", "value-sets", "code-systems"
FOLDERS = (STRUCTURES, VALUE_SETS, CODE_SYSTEMS)


class Compiled(NamedTuple):
    """A package compiled: its release folder, its files by path inside it, and what it names that is not at hand."""

    package: Package
    release: str
    files: dict[str, str]
    missing: tuple[str, ...]

    def count(self, folder: str) -> int:
        """How many files there are in one of the folders."""
        return sum(path.startswith(f"{folder}/") for path in self.files)


def release_of(package: str) -> str:
    """The release folder of a package by its name: `r4`, `stu3`, `stu2`, or that name."""
    return next((release for start, release in _RELEASES.items() if package.startswith(start)), package)


def compile_packages(paths: Sequence[Path], out: Path, release: str | None = None) -> list[Compiled]:
    """Compile packages in order into release folders under `out`; `release` names that of the last.

    A package leans on those before it that it depends on (on all of them, if it names no dependencies), and on the
    rules that are shipped. Nothing is written before all of it is compiled. Raises InputError for a package that
    cannot be compiled, OutputError where it cannot be written.
    """
    read = [packages.read(path) for path in paths]
    names = [release_of(package.name) for package in read]
    if release is not None:
        names[-1] = release
    for name, package in zip(names, read, strict=True):
        if not _RELEASE_NAME.fullmatch(name):
            raise InputError(
                f"{name!r} cannot be the release folder of {package.name}; expected letters, digits, - . _"
            )
        if names.count(name) > 1:
            raise InputError(f"two packages would be written to the release folder {name!r}; compile them one by one")
    shelves: list[Shelf] = []
    done = []
    for package, name in zip(read, names, strict=True):
        shelf = Shelf(package, name, _leans_on(package, shelves))
        shelves.append(shelf)
        done.append(Compiled(package, name, shelf.files(), tuple(sorted(shelf.missing))))
    for item in done:
        write(out, item.release, item.files)
    return done


def _leans_on(package: Package, earlier: Sequence[Shelf]) -> list[Shelf]:
    """The packages that this one may lean on, nearest first: what it depends on, and what that depends on."""
    if not package.dependencies:
        return list(reversed(earlier))
    found: list[Shelf] = []
    waiting = list(package.dependencies)
    while waiting:
        # UK Core is published under one name a build: any build of a release will do.
        wanted = release_of(waiting.pop(0))
        for shelf in earlier:
            if release_of(shelf.package.name) == wanted and shelf not in found:
                found.append(shelf)
                waiting += shelf.package.dependencies
    return found


class Shipped:
    """The rules of one release folder that is shipped, looked up by canonical URL."""

    def __init__(self, release: str) -> None:
        self.folder = shipped.folder("profiles") / release
        self._known: dict[tuple[str, str], Json | None] = {}

    def rules(self, folder: str, url: str) -> Json | None:
        """The rules of a definition; None where this release does not hold it."""
        if (folder, url) not in self._known:
            file = self.folder / folder / f"{name_of(url)}.toml"
            found = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
            self._known[folder, url] = found if found.get("url") == canonical(url) else None
        return self._known[folder, url]


class Shelf:
    """One package at work: its definitions, and those of what it leans on, each compiled once."""

    def __init__(self, package: Package, release: str, leans_on: Sequence[Shelf] = ()) -> None:
        self.package = package
        self.release = release
        self.leans_on = leans_on
        self.is_base = release_of(package.name) == BASE
        given = {release_of(one.name) for one in self._packages}
        self.shipped = [Shipped(name) for name in _shipped_releases(package) if name not in given]
        self.missing: set[str] = set()
        self._concepts: dict[str, Concepts | None] = {}
        self._types: dict[str, Json | None] = {}

    # What `structures` and `terminology` look up.

    def definition(self, kind: str, url: str) -> Json | None:
        """A definition of this package or one it leans on."""
        for package in self._packages:
            found = package.kinds[kind].get(url)
            if found is not None:
                return found
        return None

    @cached_property
    def _packages(self) -> list[Package]:
        return [self.package, *(shelf.package for shelf in self.leans_on)]

    def type_rules(self, name: str) -> Json | None:
        """The rules of a type of FHIR by its name."""
        if name not in self._types:
            url = name if "/" in name else f"http://hl7.org/fhir/StructureDefinition/{name}"
            found = self.definition("StructureDefinition", url)
            if found is None:
                self._types[name] = self._shipped(STRUCTURES, url)
            elif found.get("derivation") == "constraint":
                self._types[name] = None
            else:
                self._types[name] = structures.rules(found, lambda _: None)
        return self._types[name]

    def value_set(self, url: str) -> Json | Members | None:
        """A value set: its definition, or its members where only compiled rules of it are at hand."""
        found = self.definition("ValueSet", url)
        if found is not None:
            return found
        rules = self._shipped(VALUE_SETS, url)
        return terminology.members_of_rules(rules) if rules else None

    def code_system(self, url: str) -> Concepts | None:
        """A code system."""
        url = canonical(url)
        if url not in self._concepts:
            found = self.definition("CodeSystem", url)
            rules = None if found else self._shipped(CODE_SYSTEMS, url)
            if found is not None:
                self._concepts[url] = _read(url, partial(terminology.concepts, found))
            else:
                self._concepts[url] = terminology.concepts_of_rules(rules) if rules else None
        return self._concepts[url]

    def code_system_of(self, value_set: str) -> Concepts | None:
        """The code system that names this as the value set of all its codes."""
        for package in self._packages:
            for url, definition in package.kinds["CodeSystem"].items():
                if canonical(definition.get("valueSet", "")) == value_set:
                    return self.code_system(url)
        return None

    def _shipped(self, folder: str, url: str) -> Json | None:
        return next((found for place in self.shipped if (found := place.rules(folder, url))), None)

    # What is written.

    def files(self) -> dict[str, str]:
        """Every file of the release by its path. Raises InputError for a definition that cannot be compiled."""
        origin = f"{self.package.name} {self.package.version}".strip()
        found: dict[str, str] = {}
        for folder, write, rules in (
            (STRUCTURES, writing.structure, self.structures),
            (VALUE_SETS, writing.value_set, self.value_sets),
            (CODE_SYSTEMS, writing.code_system, self.code_systems),
        ):
            self._put(found, folder, write, rules, origin)
        return found

    def _put(
        self,
        found: dict[str, str],
        folder: str,
        write: Callable[[Mapping[str, Any], str], str],
        rules: Mapping[str, Json],
        origin: str,
    ) -> None:
        names: dict[str, str] = {}
        for url, rule in rules.items():
            name = name_of(url)
            other = names.setdefault(name.lower(), url)
            if other != url:
                raise InputError(f"{other} and {url} would both be written to {folder}/{name}.toml; rename one of them")
            said = [name, str(rule.get("version", "")), f"({rule.get('status', 'no status')}{self._date(folder, url)})"]
            text = partial(write, rule, f"{' '.join(filter(None, said))}, from {origin}")
            found[f"{folder}/{name}.toml"] = _read(url, text)

    def _date(self, folder: str, url: str) -> str:
        kind = {STRUCTURES: "StructureDefinition", VALUE_SETS: "ValueSet", CODE_SYSTEMS: "CodeSystem"}[folder]
        date = (self.definition(kind, url) or {}).get("date", "")
        return f", {date[:10]}" if date else ""

    @cached_property
    def structures(self) -> dict[str, Json]:
        """Rules of the structures of this package; logical models are left out, since no resource is one."""
        found = {}
        for url, definition in self.package.kinds["StructureDefinition"].items():
            if definition.get("kind") == "logical":
                continue
            found[url] = _read(url, partial(structures.rules, definition, self.type_rules))
            base = found[url].get("base")
            if base and not self._is_at_hand(base):
                raise InputError(
                    f"{url} is based on {base}, which is not at hand; give the package that holds it before this one, "
                    "and name it among the dependencies of this one if it names any"
                )
            self.missing |= {named for named in structures.references(found[url]) if not self._is_at_hand(named)}
        return found

    def _is_at_hand(self, url: str) -> bool:
        """Whether a structure can be looked up."""
        return self.definition("StructureDefinition", url) is not None or self._shipped(STRUCTURES, url) is not None

    @cached_property
    def bound(self) -> dict[str, set[str]]:
        """The value sets that structures of this package bind, and how strongly."""
        found: dict[str, set[str]] = {}
        for definition in self.package.kinds["StructureDefinition"].values():
            for url, strength in structures.bindings(definition):
                found.setdefault(url, set()).add(strength)
        return found

    @cached_property
    def value_sets(self) -> dict[str, Json]:
        """Value sets that are written: bound ones that no other release holds, and all of a package but the base."""
        own = self.package.kinds["ValueSet"]
        wanted = set(self.bound) | (set() if self.is_base else set(own))
        found: dict[str, Json] = {}
        for url in sorted(wanted):
            if url not in own and self._elsewhere(url):
                continue
            known = _read(url, partial(terminology.members, url, self))
            if known is None:
                if self.bound[url] != {"example"}:
                    self.missing.add(url)
                continue
            definition = self.definition("ValueSet", url) or {"url": url}
            whole = "required" in self.bound.get(url, ())
            found[url] = terminology.value_set_rules(definition, known, whole=whole)
        return found

    def _elsewhere(self, url: str) -> bool:
        """Whether the rules of a value set are written by what this package leans on, or shipped."""
        return any(url in shelf.value_sets for shelf in self.leans_on) or self._shipped(VALUE_SETS, url) is not None

    @cached_property
    def code_systems(self) -> dict[str, Json]:
        """The code systems of this package that list all their codes.

        Those that the base package has in several versions, each under a URL with its version, are none of them.
        """
        found: dict[str, Json] = {}
        for url in self.package.kinds["CodeSystem"]:
            known = self.code_system(url)
            if known is not None and known.complete:
                found[url] = terminology.code_system_rules(known)
        return found


def _read(url: str, step: Callable[[], T]) -> T:
    """The result of a step on one definition. Raises InputError with its URL where it is not as FHIR defines it."""
    try:
        return step()
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{url} cannot be compiled, it is not as FHIR defines it: {said}") from None


def _shipped_releases(package: Package) -> list[str]:
    """The shipped releases that a package may lean on, nearest first."""
    if release_of(package.name) in _RELEASES.values():
        return [BASE]
    older = any(release_of(name) == "stu2" for name in package.dependencies)
    return ["stu2" if older else "stu3", BASE]


def write(out: Path, release: str, files: Mapping[str, str]) -> None:
    """Write the files of a release into its folder, and remove rule files there that it no longer has.

    All files are written under other names first: where one cannot be, the folder stays as it was. Raises OutputError.
    """
    folder = out / release
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".compiling-", dir=out) as temporary:
            for path, text in files.items():
                file = Path(temporary, path)
                file.parent.mkdir(exist_ok=True)
                file.write_text(text, encoding="utf-8", newline="\n")
            for name in FOLDERS:
                (folder / name).mkdir(parents=True, exist_ok=True)
            for path in files:
                Path(temporary, path).replace(folder / path)
        for name in FOLDERS:
            for old in (folder / name).glob("*.toml"):
                if f"{name}/{old.name}" not in files:
                    old.unlink()
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from None
