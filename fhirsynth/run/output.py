"""Files that are never half there: written under a temporary name, hashed, then given their own name."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Literal, NamedTuple, get_args

from fhirsynth.errors import InputError
from fhirsynth.record.schema import Person
from fhirsynth.spec import SHARD_SIZE, Spec

Format = Literal["bundle", "ndjson", "xml", "parquet", "csv", "document"]
FORMATS: tuple[Format, ...] = get_args(Format)

PEOPLE = "people"
NDJSON = "ndjson"
PARQUET, CSV = "parquet", "csv"
ORGANISATIONS = "organisations.json"
ORGANISATIONS_XML = "organisations.xml"
#: What the columns of tables mean: to be read by people, by spreadsheets, and by tools.
DICTIONARIES = ("data-dictionary.md", "data-dictionary.csv", "data-dictionary.json")
MANIFEST = "manifest.json"
LETTERS = "letters"
#: Folders in that of the letters: document bundles, and annotations as BRAT reads them.
DOCUMENTS, BRAT = "documents", "brat"
SUMMARY = "summary.json"
#: Where an unfinished run keeps its notes and temporary files, and there what is to be joined.
STATE = ".fhirsynth"
PARTS = f"{STATE}/parts"

#: The folder of each format, and its files beside that. Documents lie in the folder of the letters.
FOLDERS: dict[Format, str] = {"bundle": PEOPLE, "ndjson": NDJSON, "xml": PEOPLE, "parquet": PARQUET, "csv": CSV}
_BESIDE: dict[Format, tuple[str, ...]] = {
    "bundle": (ORGANISATIONS,),
    "ndjson": (ORGANISATIONS,),
    "xml": (ORGANISATIONS_XML,),
    "parquet": DICTIONARIES,
    "csv": DICTIONARIES,
}

#: More people than this are kept in sub-folders of so many shards each.
_FLAT = 10_000
_SHARDS_A_FOLDER = 5
_LEVEL = 6  # of gzip
_CHUNK = 1 << 20


def formats(text: str | Iterable[str]) -> tuple[Format, ...]:
    """The formats that are named, once and in their usual order; in a text there are commas between.

    Raises InputError, in the words of the command line, for one that there is not.
    """
    listed = text.split(",") if isinstance(text, str) else text if isinstance(text, Iterable) else [text]
    named = [str(part).strip() for part in listed]
    wrong = [name for name in named if name not in FORMATS]
    if wrong or not named:
        said = f"one of {', '.join(FORMATS)}, or several with commas between"
        raise InputError(f"--format: expected {said}; found {', '.join(wrong) or 'nothing'}")
    return tuple(name for name in FORMATS if name in named)


def names(formats: Iterable[Format]) -> list[str]:
    """Files and folders that a run in these formats writes into its folder, but for those of letters."""
    found = [name for form in formats for name in (*_BESIDE.get(form, ()), *filter(None, [FOLDERS.get(form)]))]
    return list(dict.fromkeys([*found, MANIFEST, STATE]))


class Written(NamedTuple):
    """A finished file: its path inside the output folder (with "/"), SHA-256 and length in bytes."""

    path: str
    sha256: str
    size: int


def compressed(data: bytes) -> bytes:
    """`data` as gzip without a time in its header, so that the same data give the same bytes."""
    return gzip.compress(data, _LEVEL, mtime=0)


def write(out: Path, path: str, data: bytes) -> Written:
    """Write one file of the output. Raises OSError; nothing is left under the file's own name then."""
    final = out / path
    temporary = out / STATE / "tmp" / f"{os.getpid()}-{final.name}"
    try:
        temporary.write_bytes(data)
        temporary.replace(final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return Written(path, hashlib.sha256(data).hexdigest(), len(data))


def write_part(out: Path, name: str, shard: int, data: bytes) -> None:
    """Write what a shard has for a file that is to be joined of all shards' parts, by the name of that file."""
    path = f"{PARTS}/{name}/{shard}"
    (out / path).parent.mkdir(parents=True, exist_ok=True)
    write(out, path, data)


def join(out: Path, path: str, parts: Iterable[Path], head: bytes = b"") -> Written:
    """Write one file from `head` and the bytes of others, in order, without holding them. Raises OSError as `write`."""
    final = out / path
    temporary = out / STATE / "tmp" / final.name
    digest, size = hashlib.sha256(head), len(head)
    try:
        with temporary.open("wb") as file:
            file.write(head)
            for part in parts:
                with part.open("rb") as source:
                    while chunk := source.read(_CHUNK):
                        file.write(chunk)
                        digest.update(chunk)
                        size += len(chunk)
        temporary.replace(final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return Written(path, digest.hexdigest(), size)


def fill(out: Path, path: str, filling: Callable[[IO[bytes]], object]) -> Written:
    """Write one file by giving it, open, to `filling`. Raises OSError as `write`, and what `filling` raises."""
    final = out / path
    temporary = out / STATE / "tmp" / final.name
    try:
        with temporary.open("w+b") as file:
            filling(file)
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        temporary.replace(final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return Written(path, digest, size)


def person_path(
    spec: Spec, shard: int, position: int, person: Person, *, gzipped: bool, suffix: Literal["json", "xml"] = "json"
) -> str:
    """Path of a person's bundle: the living are numbered from 1, the dead come after them by name."""
    living = position < spec.shard_size(shard)
    width = max(6, len(str(spec.n)))
    number = f"{shard * SHARD_SIZE + position + 1:0{width}d}" if living else f"dead-{person.ordinal + 1:0{width}d}"
    return f"{PEOPLE}/{_within(spec, shard)}{number}-{person.id}.{suffix}" + (".gz" if gzipped else "")


def letter_path(spec: Spec, shard: int, file: str, kind: str = "") -> str:
    """Path of a file of a letter: in the letters' folder, or in that of a `kind` of files there."""
    return f"{LETTERS}/{kind}/{_within(spec, shard)}{file}" if kind else f"{LETTERS}/{_within(spec, shard)}{file}"


def letter_folders(spec: Spec, shard: int, kinds: Iterable[str]) -> list[str]:
    """Folders of what `letter_path` names: that of a shard's letters, and those of `kinds` of files."""
    return [letter_path(spec, shard, "", kind).rstrip("/") for kind in ("", *kinds)]


def _within(spec: Spec, shard: int) -> str:
    """The sub-folder of a shard's people, with "/" behind it; none where there are few."""
    return f"{shard // _SHARDS_A_FOLDER:05d}/" if spec.n > _FLAT else ""
