"""Where people are kept between tests and sessions: in memory, and as one archive a population in pytest's cache.

An entry is the SHA-256 of an archive and the archive, written under a temporary name and then given its own, so that
several workers of pytest-xdist can read and write at once. One that is damaged is made anew. Its name is a digest of
the options and of all that decides who comes of them: the code and data of fhirsynth, and what they run on.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import fhirsynth
from fhirsynth.pytest_plugin.people import Archive

_FOLDER = "fhirsynth"
_DIGEST = hashlib.sha256().digest_size
#: Entries that no test has used for so long are removed: other versions and other options wrote them.
_DAYS_KEPT = 30

#: Folders of the package that have no part in what comes out (the language model writes no letters here, and is large).
_NO_PART = {"__pycache__", "_profiles", "cli", "lm", "loading", "reading", "serving", "validation"}
#: Packages whose version can have one, as for a run that is resumed (`fhirsynth.run.state`, which is slow to import).
_PACKAGES = ("numpy", "orjson", "pydantic")
#: Names a folder of knowledge files laid over the package's own.
_OVERLAY = "FHIRSYNTH_KNOWLEDGE"


class Cache:
    """The archives of a session: each is read or made once."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._open: dict[str, Archive] = {}

    def archive(self, options: Mapping[str, Any]) -> Archive:
        """The people of these options, kept or made now. Raises as `making.make` does."""
        name = key(options)
        if name not in self._open:
            folder = self._folder()
            data = _read(folder / name) if folder else None
            if data is None:
                from fhirsynth.pytest_plugin.making import make

                data = make(options, self._config)
                if folder:
                    _write(folder / name, data)
            self._open[name] = Archive(data)
        return self._open[name]

    def _folder(self) -> Path | None:
        """The folder in pytest's cache; None where there is no cache (`-p no:cacheprovider`) or it is read-only."""
        cache: pytest.Cache | None = getattr(self._config, "cache", None)
        if cache is None:
            return None
        try:
            return cache.mkdir(_FOLDER)
        except OSError as error:
            _warn(error)
            return None


# ---- the name of an entry


def key(options: Mapping[str, Any]) -> str:
    """A name for the people whom these options give on this machine, of 32 hexadecimal digits."""
    told = json.dumps([fingerprint(), options], sort_keys=True, default=repr)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def fingerprint() -> str:
    """What decides who comes of some options: versions, and a digest of the code and data of this package.

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


# ---- the files


def _read(path: Path) -> bytes | None:
    """The archive of an entry; None where there is none that is whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, archive = data[:_DIGEST], data[_DIGEST:]
    if hashlib.sha256(archive).digest() != digest:
        return None
    with suppress(OSError):
        os.utime(path)  # it is in use
    return archive


def _write(path: Path, archive: bytes) -> None:
    """Keep an archive. Where that cannot be, say so: it is made again in the next session."""
    temporary = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        try:
            temporary.write_bytes(hashlib.sha256(archive).digest() + archive)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _tidy(path.parent)
    except OSError as error:
        _warn(error)


def _tidy(folder: Path) -> None:
    """Remove what has long been of no use."""
    oldest = time.time() - _DAYS_KEPT * 24 * 60 * 60
    for entry in folder.iterdir():
        with suppress(FileNotFoundError):  # another worker is tidying too
            if entry.stat().st_mtime < oldest:
                entry.unlink()


def _warn(error: OSError) -> None:
    said = f"fhirsynth: people cannot be kept in pytest's cache: {error}; the next session makes them again"
    warnings.warn(pytest.PytestCacheWarning(said), stacklevel=2)
