"""FHIR packages as they are published: a `.tgz`, a folder, or a single definition in JSON.

A package holds `package.json` (or an ImplementationGuide that names it) and one file a definition, either in the
folder `package/` or beside it. Only JSON is read, only definitions that the compiler needs are kept, and nothing is
unpacked to disk.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from fhirsynth.errors import InputError

Json = dict[str, Any]

_KEPT = ("StructureDefinition", "ValueSet", "CodeSystem")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Package(NamedTuple):
    """A package: its name and version, the names of those that it says it leans on, its definitions by kind and URL.

    `kinds` maps "StructureDefinition", "ValueSet" and "CodeSystem" to definitions by canonical URL, in the order of
    the names of their files. `dependencies` is empty where the package names none.
    """

    name: str
    version: str
    dependencies: tuple[str, ...]
    kinds: dict[str, dict[str, Json]]


def canonical(url: str) -> str:
    """A canonical URL without its version."""
    return url.partition("|")[0]


def name_of(url: str) -> str:
    """The name that the file of a definition has (without `.toml`): the last part of its canonical URL.

    What no file name should hold, such as the colons of `urn:iso:std:iso:3166`, becomes a hyphen.
    """
    return _NOT_IN_NAMES.sub("-", canonical(url).rstrip("/").rpartition("/")[2])


def read(path: Path) -> Package:
    """The package at `path`. Raises InputError where there is none, or a file of it cannot be read."""
    if path.is_dir():
        return _package(path, _of_folder(path))
    if not path.exists():
        raise InputError(f"{path} does not exist; give a FHIR package: a .tgz, a folder, or a definition in JSON")
    if path.suffix == ".json":
        return _single(path)
    return _package(path, _of_archive(path))


def _of_folder(path: Path) -> Iterator[tuple[str, bytes]]:
    inner = path / "package"
    folder = inner if inner.is_dir() else path
    for file in sorted(folder.glob("*.json")):
        try:
            yield file.name, file.read_bytes()
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror or error}") from None


def _of_archive(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path, "r:*") as archive:
            # Read in the order of the archive: to go back in a compressed file is to read it again.
            for member in archive:
                folder, _, name = member.name.removeprefix("./").rpartition("/")
                file = archive.extractfile(member) if folder in ("package", "") and name.endswith(".json") else None
                if file is not None:
                    yield name, file.read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} is no FHIR package: expected a .tgz, a folder, or a definition in JSON ({error})"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _content(where: str, data: bytes) -> Any:
    try:
        return orjson.loads(data.removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as error:
        raise InputError(f"{where}: not valid JSON, line {error.lineno} column {error.colno}: {error.msg}") from None


def _package(path: Path, files: Iterator[tuple[str, bytes]]) -> Package:
    named: Json | None = None
    guide: Json | None = None
    definitions: dict[str, Json] = {}
    for name, data in files:
        content = _content(f"{path}: {name}", data)
        if not isinstance(content, dict):
            continue
        if name == "package.json":
            named = content
        elif content.get("resourceType") == "ImplementationGuide":
            guide = content
        elif content.get("resourceType") in _KEPT:
            definitions[name] = content
    if named is None and guide is not None:
        depends = {item.get("packageId"): item.get("version") for item in guide.get("dependsOn", ())}
        named = {"name": guide.get("packageId"), "version": guide.get("version"), "dependencies": depends}
    if named is None or not isinstance(named.get("name"), str):
        raise InputError(f"{path} is no FHIR package: it holds no package.json that names it")
    if not definitions:
        raise InputError(f"{path} holds no StructureDefinition, ValueSet or CodeSystem in JSON; nothing to compile")
    kinds: dict[str, dict[str, Json]] = {kind: {} for kind in _KEPT}
    for name, content in sorted(definitions.items()):
        _keep(kinds, f"{path}: {name}", content)
    dependencies = tuple(str(name) for name in named.get("dependencies") or () if name)
    return Package(named["name"], str(named.get("version") or ""), dependencies, kinds)


def _single(path: Path) -> Package:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    content = _content(str(path), data)
    kinds: dict[str, dict[str, Json]] = {kind: {} for kind in _KEPT}
    if not isinstance(content, dict) or not _keep(kinds, str(path), content):
        raise InputError(f"{path} is no definition; expected a resource of the type {', '.join(_KEPT)}")
    return Package(name_of(content["url"]), str(content.get("version") or ""), (), kinds)


def _keep(kinds: dict[str, dict[str, Json]], where: str, content: Json) -> bool:
    """Add a definition to its kind; False where it is none that is needed.

    Raises InputError for a structure without a URL, one for another version of FHIR, and a URL that was there before.
    """
    kind = content.get("resourceType")
    if kind not in kinds:
        return False
    url = content.get("url")
    if not isinstance(url, str) or not url:
        if kind != "StructureDefinition":
            return False
        raise InputError(f"{where}: this {kind} has no url, by which others could refer to it")
    release = str(content.get("fhirVersion") or "4")
    if not release.startswith("4"):
        raise InputError(f"{where}: this {kind} is for FHIR {release}; expected R4 (4.0.1)")
    if url in kinds[kind]:
        raise InputError(f"{where}: another {kind} of the package has the url {url}")
    kinds[kind][url] = content
    return True
