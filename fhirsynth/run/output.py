"""Files that are never half there: written under a temporary name, hashed, then given their own name."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from fhirsynth.record.schema import Person
from fhirsynth.spec import SHARD_SIZE, Spec

Format = Literal["bundle", "ndjson"]

PEOPLE = "people"
NDJSON = "ndjson"
ORGANISATIONS = "organisations.json"
MANIFEST = "manifest.json"
#: Where an unfinished run keeps its notes and temporary files.
STATE = ".fhirsynth"

#: More people than this are kept in sub-folders of so many shards each.
_FLAT = 10_000
_SHARDS_A_FOLDER = 5
_LEVEL = 6  # of gzip
_CHUNK = 1 << 20


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


def join(out: Path, path: str, parts: Iterable[Path]) -> Written:
    """Write one file from the bytes of others, in order, without holding them. Raises OSError as `write` does."""
    final = out / path
    temporary = out / STATE / "tmp" / final.name
    digest, size = hashlib.sha256(), 0
    try:
        with temporary.open("wb") as file:
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


def person_path(spec: Spec, shard: int, position: int, person: Person, *, gzipped: bool) -> str:
    """Path of a person's bundle: the living are numbered from 1, the dead come after them by name."""
    living = position < spec.shard_size(shard)
    width = max(6, len(str(spec.n)))
    number = f"{shard * SHARD_SIZE + position + 1:0{width}d}" if living else f"dead-{person.ordinal + 1:0{width}d}"
    folder = PEOPLE
    if spec.n > _FLAT:
        folder += f"/{shard // _SHARDS_A_FOLDER:05d}"
    return f"{folder}/{number}-{person.id}.json" + (".gz" if gzipped else "")
