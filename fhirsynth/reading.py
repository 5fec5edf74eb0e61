"""FHIR resources as they lie in files: JSON or NDJSON, plain or gzip, bundles or single resources, in folders."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from fhirsynth.errors import InputError

Json = dict[str, Any]

_KINDS = (".json", ".ndjson", ".json.gz", ".ndjson.gz")
#: Files of an output folder that hold no resources.
_NOT_FHIR = ("manifest.json",)
#: The file of places and staff that people refer to.
PLACES = "organisations.json"


class Document(NamedTuple):
    """One resource or bundle and where it was read: the file, and in NDJSON the line (from 1)."""

    file: Path
    line: int | None
    content: Json


class Trouble(NamedTuple):
    """Something in a file that is no resource, and where."""

    file: Path
    line: int
    column: int
    message: str


def files(path: Path) -> list[Path]:
    """The files of resources under `path` (itself, where it is one), by name; hidden folders are left out.

    Raises InputError where there is nothing that can be read.
    """
    if path.is_file():
        return [path]
    if not path.exists():
        raise InputError(f"{path} does not exist; give a file or a folder of FHIR JSON or NDJSON")
    found = [
        file
        for file in path.rglob("*")
        if file.name.endswith(_KINDS)
        and file.name not in _NOT_FHIR
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not found:
        raise InputError(f"{path} holds no FHIR files; expected names that end in {', '.join(_KINDS)}")
    return sorted(found, key=lambda file: (file.name, str(file)))


def people_files(path: Path) -> list[Path]:
    """`files` without those of places and staff."""
    return [file for file in files(path) if file.name != PLACES]


def is_ndjson(file: Path) -> bool:
    """Whether a file holds one resource a line."""
    return file.name.endswith((".ndjson", ".ndjson.gz"))


def documents(file: Path) -> Iterator[Document | Trouble]:
    """What a file holds, one by one. Raises InputError where it cannot be opened."""
    try:
        if is_ndjson(file):
            with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield _document(file, number, line)
        else:
            data = file.read_bytes()
            yield _document(file, None, gzip.decompress(data) if file.suffix == ".gz" else data)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        yield Trouble(file, 1, 1, f"not a whole gzip file: {error}")
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None


def _document(file: Path, line: int | None, data: bytes) -> Document | Trouble:
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return Trouble(file, line or error.lineno, error.colno, f"not valid JSON: {error.msg}")
    if not isinstance(content, dict) or not isinstance(content.get("resourceType"), str):
        return Trouble(file, line or 1, 1, "expected a FHIR resource, an object with a resourceType")
    return Document(file, line, content)


def resources(content: Json) -> list[Json]:
    """The resources of a bundle, or the resource itself. Entries without a resource are left out."""
    if content["resourceType"] != "Bundle":
        return [content]
    entries = content.get("entry")
    found = [entry.get("resource") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [item for item in found if isinstance(item, dict) and isinstance(item.get("resourceType"), str)]


def person_of(resource: Json) -> str | None:
    """Id of the patient whom a resource is about; None for places and staff."""
    if resource["resourceType"] == "Patient":
        found = resource.get("id")
        return found if isinstance(found, str) else None
    for key in ("subject", "patient", "target", "participant"):
        values = resource.get(key)
        for value in values if isinstance(values, list) else [values]:
            if key == "participant" and isinstance(value, dict):
                value = value.get("actor")
            reference = value.get("reference") if isinstance(value, dict) else None
            if isinstance(reference, str) and reference.startswith("Patient/"):
                return reference.removeprefix("Patient/")
    return None
