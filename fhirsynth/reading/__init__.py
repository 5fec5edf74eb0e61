"""FHIR resources as they lie in files: JSON or NDJSON, plain or gzip, bundles or single resources, in folders.

    for item in read(Path("people.ndjson")):
        ...  # a Document, a LargeBundle, or a Trouble that says what cannot be read and where

Nothing that is in a file raises: what cannot be read is told as a Trouble, and the reading goes on with the next
line, entry or file. Memory is bounded: a file is read as a whole only up to `LARGE` bytes of text, a larger bundle
entry by entry, and a single resource above `LARGEST` is refused.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeGuard

from fhirsynth.errors import InputError
from fhirsynth.reading.large import LargeBundle, Part
from fhirsynth.reading.parsing import (
    DAMAGED,
    LARGEST,
    START,
    Json,
    Place,
    Stream,
    Trouble,
    damage,
    not_utf8,
    parse,
    size_of,
    up_to,
)

__all__ = [
    "INPUT",
    "LARGE",
    "LARGEST",
    "PLACES",
    "Document",
    "Json",
    "LargeBundle",
    "Part",
    "Trouble",
    "documents",
    "files",
    "is_ndjson",
    "people_files",
    "person_of",
    "read",
    "resources",
    "text_size",
]

_KINDS = (".json", ".ndjson", ".json.gz", ".ndjson.gz")
#: Files beside resources in the folders that `fhirsynth population` and FHIR packages make.
_NOT_FHIR = ("manifest.json", "package.json", "data-dictionary.json")
#: … and in that of letters: what is told of them all, and the folder of documents, which repeat what people have.
_LETTERS, _SUMMARY, _DOCUMENTS = "letters", "summary.json", "documents"
#: Folders of a population: a bundle a person, and the same resources by type where both are asked for.
_PEOPLE, _BY_TYPE = "people", "ndjson"
#: The file of places and staff that people refer to.
PLACES = "organisations.json"
#: The path that means standard input.
INPUT = Path("-")
#: Bytes of text above which a bundle is read entry by entry. Parsed, text takes about seven times its size.
LARGE = 16 << 20
_CHUNK = 1 << 20
#: How many times larger than a gzip file its text may be, by experience.
_PACKED = 30


class Document(NamedTuple):
    """One resource or bundle and where it was read: the file, and in NDJSON the line (from 1)."""

    file: Path
    line: int | None
    content: Json


def files(path: Path) -> list[Path]:
    """The files of resources under `path` (itself, where it is one), by name; hidden folders are left out.

    `-` is standard input. Raises InputError where there is nothing that can be read.
    """
    if path == INPUT:
        return [path]
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
        if not is_folder:
            if path.is_file():
                path.open("rb").close()
            return [path]
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give a file or a folder of FHIR JSON or NDJSON") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    found = [
        file
        for file in path.rglob("*")
        if file.name.endswith(_KINDS)
        and file.name not in _NOT_FHIR
        and (file.parent.name, file.name) != (_LETTERS, _SUMMARY)
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
        and not file.is_dir()
    ]
    if not found:
        raise InputError(f"{path} holds no FHIR files; expected names that end in {', '.join(_KINDS)}")
    return sorted(found, key=lambda file: (file.name, str(file)))


def people_files(path: Path) -> list[Path]:
    """`files` without those of places and staff, documents of letters, and NDJSON of what is in bundles beside it."""
    left_out = {path / _LETTERS / _DOCUMENTS}
    found = [file for file in files(path) if file.name != PLACES]
    if any(path / _PEOPLE in file.parents for file in found):
        left_out.add(path / _BY_TYPE)
    return [file for file in found if left_out.isdisjoint(file.parents)]


def is_ndjson(file: Path) -> bool:
    """Whether a file holds one resource a line, by its name."""
    return file.name.endswith((".ndjson", ".ndjson.gz"))


def documents(file: Path) -> Iterator[Document | Trouble]:
    """What a file holds, one by one and whole: for those who need all of a bundle at once.

    Troubles are only those for which something could not be read. Raises InputError where
    the file cannot be opened, never for what is in it.
    """
    for item in read(file):
        if isinstance(item, Trouble):
            if item.rule == "readable" and item.line is None:
                raise InputError(f"{file} {item.message}")
            if item.rule == "readable":
                yield item
        elif isinstance(item, LargeBundle):
            content = dict(item.frame)
            entries: list[Any] = []
            for part in item.parts():
                parsed, troubles = part.parsed(file)
                entries.append(parsed)
                yield from troubles
            yield Document(file, None, content | {"entry": entries})
            yield from item.troubles
        else:
            yield item


def read(file: Path) -> Iterator[Document | LargeBundle | Trouble]:
    """What a file holds, one by one: a bundle above `LARGE` as a LargeBundle, all else as Documents.

    The layout goes by the file's name; where that does not tell, by what its first line is. Never raises for what is
    in the file; a file that cannot be opened or read on is a Trouble too.
    """
    at = Place(0, 0)
    try:
        with _opened(file) as stream:
            head = stream.peek(_CHUNK)
            if wrong := not_utf8(head):
                yield Trouble(file, *START, *wrong)
            elif _is_lines(file, head):
                for item in _lines(file, stream):
                    at = Place(item.line or 0, 1)
                    yield item
            else:
                yield from _whole(file, stream)
    except DAMAGED as error:
        yield Trouble(file, at.line + 1, 1, *damage(error))
    except OSError as error:
        yield Trouble(file, None, None, f"cannot be read: {error.strerror or error}", "a file that can be opened")


# --- opening --------------------------------------------------------------------------------------


@cache
def _standard_input() -> IO[bytes]:
    """Standard input, copied to a file of its own so that it can be read more than once."""
    return _spooled(sys.stdin.buffer)


@cache
def _pipe(file: Path) -> IO[bytes]:
    with file.open("rb") as source:
        return _spooled(source)


def _spooled(source: IO[bytes]) -> IO[bytes]:
    spool = tempfile.TemporaryFile(prefix="fhirsynth-")  # noqa: SIM115 - it is to stay open, and goes with the process
    shutil.copyfileobj(source, spool, _CHUNK)
    return spool


class _Unpacked(gzip.GzipFile):
    """The text of a gzip file, which is closed with it."""

    def __init__(self, packed: io.BufferedReader) -> None:
        super().__init__(fileobj=packed)
        self._packed = packed

    def close(self) -> None:
        super().close()
        self._packed.close()


def _opened(file: Path) -> Stream:
    """The text of a file as a stream of bytes, unpacked where it is gzip, whatever its name says.

    Raises OSError, and BadGzipFile where the name says gzip and the content does not.
    """
    if file == INPUT or not file.is_file():
        spool = _standard_input() if file == INPUT else _pipe(file)
        spool.flush()
        spool.seek(0)
        raw = io.FileIO(os.dup(spool.fileno()))
    else:
        raw = io.FileIO(file)
    stream: io.BufferedReader = io.BufferedReader(raw, _CHUNK)
    magic = stream.peek(2)[:2]
    if magic == b"\x1f\x8b":
        return _Unpacked(stream)
    if file.name.endswith(".gz") and magic:
        stream.close()
        raise gzip.BadGzipFile("it does not begin as gzip does")
    return stream


def text_size(file: Path) -> int:
    """Bytes of text in a file, roughly: of gzip rather too many; 0 where it cannot be opened."""
    try:
        if file == INPUT or not file.is_file():
            spool = _standard_input() if file == INPUT else _pipe(file)
            return os.fstat(spool.fileno()).st_size * _PACKED
        return file.stat().st_size * (_PACKED if file.suffix == ".gz" else 1)
    except OSError:
        return 0


# --- one resource a line --------------------------------------------------------------------------


def _is_lines(file: Path, head: bytes) -> bool:
    """Whether a file holds a resource a line: by its name, else by whether its first line is whole and not the last."""
    first, _, rest = head.lstrip().partition(b"\n")
    if is_ndjson(file):
        return first.strip() not in (b"{", b"[")  # one resource over several lines, whatever the name says
    if file.name.endswith(_KINDS) or not rest.strip():
        return False
    return isinstance(parse(first, file)[0], dict)


def _lines(file: Path, stream: Stream) -> Iterator[Document | Trouble]:
    number = 0
    while line := stream.readline(LARGEST + 1):
        number += 1
        at = Place(number, 1)
        if len(line) > LARGEST:
            while line and not line.endswith(b"\n"):
                line = stream.readline(_CHUNK)
            yield _too_large(file, at)
        elif line.strip():
            yield from _resource(file, line.rstrip(), at, number)


# --- one resource a file --------------------------------------------------------------------------


def _whole(file: Path, stream: Stream) -> Iterator[Document | LargeBundle | Trouble]:
    data, broken = up_to(stream, LARGE + 1)
    if len(data) > LARGE and data.lstrip().startswith(b"{"):
        bundle = LargeBundle(file, lambda: _opened(file))
        if bundle.is_bundle:
            del data
            yield bundle
            return
        if bundle.kind is None and any(trouble.rule == "readable" for trouble in bundle.troubles):
            yield from bundle.troubles  # damaged before it said what it is
            return
    if broken is None and len(data) > LARGE:
        more, broken = up_to(stream, LARGEST + 1 - len(data))
        data += more
        if len(data) > LARGEST:
            yield _too_large(file, START)
            return
    if broken is not None:
        yield Trouble(file, *START.after(data), *damage(broken))
        return
    if is_ndjson(file):
        said = "one resource over several lines, in a file named as NDJSON"
        yield Trouble(file, *START, said, "one resource a line, or the name *.json", "ndjson")
    yield from _resource(file, data, START, None)


def _resource(file: Path, data: bytes, at: Place, line: int | None) -> Iterator[Document | Trouble]:
    content, troubles = parse(data, file, at)
    yield from troubles
    if any(trouble.rule == "readable" for trouble in troubles):
        return
    if isinstance(content, list):
        good = [item for item in content if _is_resource(item)]
        said = f"an array of {len(content)}"
        if len(good) < len(content):
            said += f", {len(content) - len(good)} of them no resource"
        expected = "one resource: put several into a Bundle, or one a line into NDJSON"
        yield Trouble(file, *at, said, expected, "array" if good else "readable")
        yield from (Document(file, line, item) for item in good)
    elif _is_resource(content):
        yield Document(file, line, content)
    else:
        yield Trouble(file, *at, _other_than_resource(content), "a FHIR resource, an object with a resourceType")


def _is_resource(content: Any) -> TypeGuard[Json]:
    return isinstance(content, dict) and isinstance(content.get("resourceType"), str)


def _other_than_resource(content: Any) -> str:
    if isinstance(content, dict):
        if "resourceType" in content:
            return f"an object whose resourceType is {content['resourceType']!r:.40}, not a string"
        keys = ", ".join(repr(key[:40]) for key in list(content)[:4])
        return f"an object with {keys} and without a resourceType" if keys else "an empty object"
    return f"{content!r:.40}"


def _too_large(file: Path, at: Place) -> Trouble:
    return Trouble(file, *at, f"one resource of more than {size_of(LARGEST)}", f"at most {size_of(LARGEST)} a resource")


# --- what is in a resource ------------------------------------------------------------------------


def resources(content: Json) -> list[Json]:
    """The resources of a bundle, or the resource itself. Entries without a resource are left out."""
    if content["resourceType"] != "Bundle":
        return [content]
    entries = content.get("entry")
    found = [entry.get("resource") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [item for item in found if _is_resource(item)]


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
