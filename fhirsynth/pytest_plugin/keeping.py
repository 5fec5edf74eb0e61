"""Where people are kept between tests and sessions: in memory, and as one archive a population in pytest's cache.

An entry is the SHA-256 of an archive and the archive, written under a temporary name and then given its own, so that
several workers of pytest-xdist can read and write at once. One that is damaged is made anew.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from fhirsynth.pytest_plugin.asking import Asked
from fhirsynth.pytest_plugin.people import Archive

_FOLDER = "fhirsynth"
_DIGEST = hashlib.sha256().digest_size
#: Entries that no test has used for so long are removed: other versions and other specs wrote them.
_DAYS_KEPT = 30


class Cache:
    """The archives of a session: each is read or made once."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._open: dict[str, Archive] = {}

    def archive(self, asked: Asked) -> Archive:
        """The people asked for, kept or made now. Raises InputError as `making.make` does."""
        key = asked.key()
        if key not in self._open:
            folder = self._folder()
            data = _read(folder / key) if folder else None
            if data is None:
                from fhirsynth.pytest_plugin.making import make

                data = make(asked, self._config)
                if folder:
                    _write(folder / key, data)
            self._open[key] = Archive(data)
        return self._open[key]

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
