"""Where the index of a folder is kept, and whether it still is that of the folder.

It lies beside the data in a hidden folder, `.fhirsynth-serve`, and is made again when a file there, the program or its
search parameters are others. Where the folder cannot be written to, it is a temporary file that goes with the process.
"""

from __future__ import annotations

import atexit
import errno
import hashlib
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fhirsynth import __version__, reading
from fhirsynth.errors import InputError, OutputError
from fhirsynth.run.output import DOCUMENTS, LETTERS, MANIFEST, STATE
from fhirsynth.serving import parameters, tables
from fhirsynth.serving.building import Progress, build
from fhirsynth.serving.index import Index

FOLDER = ".fhirsynth-serve"
_INDEX = "index.sqlite"
_STALE = 3600  # seconds after which what another process was making is taken for left behind


def index_of(folder: Path, progress: Progress | None = None) -> Index:
    """The index of a folder of FHIR files: the one that is kept, or one made now and kept.

    `progress(done, of)` is told of bytes. Raises InputError where the folder cannot be read or holds no FHIR,
    OutputError where there is no room for the index.
    """
    files = _files(folder)
    wanted = _fingerprint(folder, files)
    kept = folder / FOLDER / _INDEX
    if (found := _open(kept, wanted)) is not None:
        return found
    try:
        kept.parent.mkdir(exist_ok=True)
        with _making(kept.parent) as made:
            _make(files, made, wanted, progress)
            made.replace(kept)
    except PermissionError:
        return _temporary(files, wanted, progress)
    except OSError as error:
        if error.errno == errno.EROFS:
            return _temporary(files, wanted, progress)
        raise _no_room(kept.parent, error) from None
    except sqlite3.Error as error:
        raise _no_room(kept.parent, error) from None
    return Index(kept)


def _temporary(files: list[Path], wanted: str, progress: Progress | None) -> Index:
    """An index for this process only."""
    folder = Path(tempfile.mkdtemp(prefix="fhirsynth-serve-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        _make(files, folder / _INDEX, wanted, progress)
    except (OSError, sqlite3.Error) as error:
        raise _no_room(folder, error) from None
    return Index(folder / _INDEX)


def _make(files: list[Path], target: Path, wanted: str, progress: Progress | None) -> None:
    loose = target.with_suffix(".loose")
    try:
        build(files, target, loose, parameters.load(), progress)
    finally:
        loose.unlink(missing_ok=True)
    connection = sqlite3.connect(target)
    with connection:
        connection.execute("INSERT INTO about VALUES ('fingerprint', ?)", (wanted,))
        connection.execute("INSERT INTO about VALUES ('made', ?)", (str(int(time.time())),))
    connection.close()


@contextmanager
def _making(folder: Path) -> Iterator[Path]:
    """A name in the folder for an index in the making; nothing is left there unless it was given another name."""
    for left in folder.glob("making-*"):
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - _STALE:
                left.unlink()
    with tempfile.NamedTemporaryFile(prefix="making-", dir=folder) as taken:
        made = Path(taken.name + ".sqlite")
        try:
            yield made
        finally:
            made.unlink(missing_ok=True)


def _open(kept: Path, wanted: str) -> Index | None:
    """The index that is kept, if it is the one that is wanted."""
    if not kept.is_file():
        return None
    with suppress(sqlite3.Error):
        index = Index(kept)
        if index.about.get("fingerprint") == wanted:
            return index
        index.close()
    return None


def _files(folder: Path) -> list[Path]:
    """The files of a folder in the order in which they are served: places, people, then documents."""
    if folder.is_file():
        raise InputError(f"{folder} is a file; give the folder that `fhirsynth population` has made")
    if (folder / STATE / "run.json").is_file() and not (folder / MANIFEST).is_file():
        raise InputError(f"the people in {folder} are not finished; give the command that began them, with --resume")
    try:
        files = reading.files(folder)
    except InputError:
        if not (folder / MANIFEST).is_file():
            raise
        said = "it holds no JSON; make it with --format bundle or ndjson, which can be served"
        raise InputError(f"the population in {folder} cannot be served: {said}") from None
    places = [file for file in files if file.name == reading.PLACES]
    documents = [file for file in files if folder / LETTERS / DOCUMENTS in file.parents]
    return [*places, *reading.people_files(folder), *documents]


def _fingerprint(folder: Path, files: list[Path]) -> str:
    """What decides what the index holds."""
    told = [f"{__version__} {tables.VERSION} {parameters.load().digest}"]
    manifest = folder / MANIFEST
    if manifest.is_file():
        told.append(hashlib.sha256(manifest.read_bytes()).hexdigest())
    digest = hashlib.sha256("\n".join(told).encode())
    for file in files:
        try:
            state = file.stat()
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
        digest.update(f"\n{file.relative_to(folder)} {state.st_size} {state.st_mtime_ns}".encode())
    return digest.hexdigest()


def _no_room(folder: Path, error: Exception) -> OutputError:
    said = getattr(error, "strerror", None) or error
    return OutputError(
        f"the index of the folder cannot be written to {folder}: {said}; it needs about as much room as the data"
    )
