"""The FHIR packages that HL7's validator judges by: where they are looked for, which are taken, what they hold.

A package is a `.tgz` with `package/package.json` in it, or that unpacked: a folder with `package/package.json`, or the
folder `package` itself. It is known by the name in package.json and not by that of the file. The project carries no
official package: the user brings those of UK Core.
"""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import orjson

from fhirsynth.errors import InputError

#: Names of UK Core's packages begin like this.
UK_CORE = {"stu3": "fhir.r4.ukcore.stu3", "stu2": "fhir.r4.ukcore.stu2"}
#: Where FHIR's tools keep the packages that they fetch.
COMMON_CACHE = Path(".fhir") / "packages"
_BASE = "hl7.fhir.r4.core"  # HAPI brings it
_NAMED = 8  # packages that a message names
_KINDS = ("StructureDefinition", "ValueSet", "CodeSystem")
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, OSError)


class Package(NamedTuple):
    """A package: its name and version by package.json, and the file or folder."""

    name: str
    version: str
    path: Path

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class _NotAPackageError(Exception):
    """A file or folder is no package; the message says why."""


def choose(release: str, given: Sequence[Path]) -> list[Package]:
    """UK Core of a release, and what else was given by name, in the order in which they are to be read.

    UK Core is taken from the first place that has it: `given`, `$FHIRSYNTH_PACKAGES`, the common cache in the user's
    home; the newest where a place has several. Raises InputError where no place has it, where something given is not
    there, and where a file that was given by name is no package.
    """
    seen: list[Package] = []
    others: list[Package] = []
    core: Package | None = None
    from_environment = [Path(part) for part in os.environ.get("FHIRSYNTH_PACKAGES", "").split(os.pathsep) if part]
    for place, paths in (("--package", given), ("FHIRSYNTH_PACKAGES", from_environment)):
        by_name, in_folders = _look(place, paths)
        others += [package for package in by_name if _release_of(package) is None and package.name != _BASE]
        seen += [*by_name, *in_folders]
        core = core or _newest(release, [*by_name, *in_folders])
    common = Path.home() / COMMON_CACHE
    if core is None and common.is_dir():
        in_common = _in_folder(common)
        seen += in_common
        core = _newest(release, in_common)
    if core is None:
        raise InputError(_none_found(release, seen))
    return [*dict.fromkeys(others), core]


def definitions(package: Package) -> dict[str, str]:
    """Profiles, extensions, value sets and code systems of a package as JSON, by a name for messages.

    Raises InputError where it cannot be read or holds none.
    """
    found = {}
    try:
        for name, content in _members(package.path):
            if not name.endswith(".json") or name in ("package.json", ".index.json"):
                continue
            where = f"{name} of the package {package.path}"
            try:
                resource = orjson.loads(content)
            except orjson.JSONDecodeError as error:
                raise InputError(f"{where} is not valid JSON: {error}") from None
            if isinstance(resource, dict) and resource.get("resourceType") in _KINDS:
                found[where] = content.decode()
    except _DAMAGED as error:
        raise InputError(f"the package {package.path} cannot be read whole: {error}") from None
    if not found:
        raise InputError(f"the package {package.path} ({package}) holds no {', '.join(_KINDS[:-1])} or {_KINDS[-1]}")
    return found


def _none_found(release: str, seen: list[Package]) -> str:
    names = dict.fromkeys(str(package) for package in seen if package.name != _BASE)
    there = ", ".join([*names][:_NAMED])
    return (
        f"the engine hl7 needs the FHIR package of UK Core {release} (a name that begins {UK_CORE[release]}), and "
        f"found {f'only {there}' if there else 'none'}: HL7 UK publishes it as "
        "a .tgz; give it, or a folder with it, as --package PATH or in "
        f"FHIRSYNTH_PACKAGES, or install it into {Path.home() / COMMON_CACHE}"
    )


def _look(place: str, paths: Sequence[Path]) -> tuple[list[Package], list[Package]]:
    """The packages that were given by name, and those that lie in folders that were given."""
    by_name: list[Package] = []
    in_folders: list[Package] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{place} names {path}, which does not exist; expected a FHIR package or a folder of them")
        try:
            by_name.append(_package(path))
        except _NotAPackageError as error:
            if not path.is_dir():
                raise InputError(
                    f"{path} is no FHIR package: {error}; expected a .tgz with package/package.json"
                ) from None
            in_folders += _in_folder(path)
    return by_name, in_folders


def _in_folder(folder: Path) -> list[Package]:
    """The packages that lie directly in a folder; what is none is left out."""
    found = []
    try:
        inner = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}") from None
    for path in inner:
        if path.is_dir() or path.name.endswith((".tgz", ".tar.gz")):
            try:
                found.append(_package(path))
            except _NotAPackageError:
                continue
    return found


def _package(path: Path) -> Package:
    """The package in a file or folder, by its package.json."""
    try:
        content = next((content for name, content in _members(path) if name == "package.json"), None)
    except _DAMAGED as error:
        raise _NotAPackageError(f"it cannot be read ({error})") from None
    if content is None:
        raise _NotAPackageError("it holds no package.json")
    try:
        said = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _NotAPackageError(f"its package.json is not valid JSON ({error})") from None
    if not isinstance(said, dict) or not isinstance(said.get("name"), str):
        raise _NotAPackageError("its package.json has no name")
    return Package(said["name"], str(said.get("version", "")), path)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in a package's folder `package`, not of those further down.

    package.json comes first where it lies in a folder; in a .tgz all come in their order there.
    """
    if path.is_dir():
        folder = path / "package" if (path / "package" / "package.json").is_file() else path
        if (folder / "package.json").is_file():
            for file in (folder / "package.json", *sorted(folder.glob("*.json"))):
                yield file.name, file.read_bytes()
        return
    with tarfile.open(path, "r:gz") as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts
            content = tar.extractfile(member) if member.isfile() and parts[:-1] == ("package",) else None
            if content is not None:
                yield parts[-1], content.read()


def _release_of(package: Package) -> str | None:
    return next((release for release, name in UK_CORE.items() if package.name.startswith(name)), None)


def _newest(release: str, packages: list[Package]) -> Package | None:
    fitting = [package for package in packages if _release_of(package) == release]
    return max(fitting, key=_age, default=None)


def _age(package: Package) -> list[tuple[int, int, str]]:
    """Of two versions of a package the newer has the greater: numbers as numbers, 2.0.0 above 2.0.0-beta."""
    parts = re.split(r"[.\-+]", package.version)
    return [*((2, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts), (1, 0, "")]
