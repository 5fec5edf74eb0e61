"""What a test asks for: the options of the fixtures, their one normal form, and the key under which it is kept."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

import fhirsynth
from fhirsynth.errors import InputError


class Options(TypedDict, total=False):
    """Whom to make: the fields of `fhirsynth.Spec`, more loosely typed, and whether letters are written.

    Without any, anybody of 0 to 110 years. `seed` draws another of the people who fit.
    """

    seed: int
    age: int | tuple[int, int]
    sex: Literal["female", "male"] | None
    region: str | None
    condition: str | Sequence[str]
    years: int
    index_date: dt.date | str
    letters: bool


class PopulationOptions(Options, total=False):
    """… and of several people, how many, and whether those who died come on top."""

    n: int
    deceased: bool


_KNOWN = (*PopulationOptions.__required_keys__, *PopulationOptions.__optional_keys__)
#: Folders of the package that have no part in what comes out (the language model writes no letters here, and is large).
_NO_PART = {"__pycache__", "_profiles", "cli", "lm", "loading", "reading", "serving", "validation"}
#: Packages whose version can have one.
_PACKAGES = ("numpy", "orjson", "pydantic")
#: Names a folder of knowledge files laid over the package's own.
_OVERLAY = "FHIRSYNTH_KNOWLEDGE"


class Asked(NamedTuple):
    """A population that a test asks for: the fields of its spec, and whether it has letters."""

    spec: dict[str, Any]
    letters: bool

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Asked:
        """The same for all ways to say the same. Raises InputError for an option that there is not.

        Values are judged when people are made of them, which those that are in the cache need not be.
        """
        for name in options:
            if name not in _KNOWN:
                raise InputError(f"there is no option {name!r}; expected one of {', '.join(sorted(_KNOWN))}")
        spec = dict(options)
        letters = spec.pop("letters", False)
        if not isinstance(letters, bool):
            raise InputError(f"letters: expected True or False; found {letters!r}")
        age, condition, date = spec.get("age"), spec.get("condition"), spec.get("index_date")
        if isinstance(age, int):
            spec["age"] = (age, age)
        if isinstance(condition, str):
            spec["condition"] = (condition,)
        if isinstance(date, dt.date):
            spec["index_date"] = date.isoformat()
        return cls(spec, letters)

    def key(self) -> str:
        """A name for these people as this version of fhirsynth makes them, of 32 hexadecimal digits."""
        told = [fingerprint(), self.spec, self.letters]
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=repr).encode()).hexdigest()[:32]


def fingerprint() -> str:
    """A digest of all that decides who comes of a spec: the code and data of this package, and what they run on.

    The bytes themselves are read (5 MB, 20 ms), so that it is right for sources that are being worked on too, and the
    same wherever the same package is installed.
    """
    overlay = os.environ.get(_OVERLAY)
    return _of_package() + (_of_folder(Path(overlay)) if overlay else "")


@cache
def _of_package() -> str:
    versions = [platform.python_version(), *map(metadata.version, _PACKAGES)]
    return " ".join([fhirsynth.__version__, *versions, _of_folder(Path(fhirsynth.__file__).parent)])


def _of_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(_files(folder)):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        if entry.is_file():
            yield Path(entry.path)
        elif entry.is_dir() and entry.name not in _NO_PART:
            yield from _files(Path(entry.path))
