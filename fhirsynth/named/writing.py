"""The named people as files: a folder that is whole or not there, or a zip that is the same each time."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhirsynth.errors import InputError, OutputError
from fhirsynth.fhir import to_bytes
from fhirsynth.fhir.bundle import bundle
from fhirsynth.named.making import INDEX, Named, context, record
from fhirsynth.named.readme import readme
from fhirsynth.population.people import People
from fhirsynth.run import output, shard
from fhirsynth.run.shard import Shard
from fhirsynth.run.state import Job
from fhirsynth.spec import Spec

if TYPE_CHECKING:
    from fhirsynth.run.letters import ShardLetters

README = "README.md"
#: What the manifest says of itself: a folder with it was written here, and may be replaced.
MAKER = "fhirsynth samples"
#: The folder inside a zip.
_TOP = "fhirsynth-samples"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can hold
_MODE = 0o644 << 16


def write(
    people: Iterable[Named],
    out: Path | None,
    archive: Path | None = None,
    *,
    letters: bool = False,
    overwrite: bool = False,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Write the people into the folder `out`, into a zip, or both; with `letters` those about their stays too.

    `done` is called after each of them. Folder and zip appear under their names when they are whole; what the same
    people are written as is the same each time. Raises InputError where `out` holds something else, or what an
    earlier call wrote and `overwrite` is not given; OutputError where they cannot be written.
    """
    if out is not None:
        _check(out, overwrite)
    if archive is not None and archive.is_dir():
        raise InputError(f"--zip: expected the name of a file, found the folder {archive}")
    beside = None if out is None else out.absolute().parent  # so that a rename is enough
    with _saying_what(out or archive):
        if beside is not None:
            beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fhirsynth-samples-", dir=beside) as temporary:
            made = Path(temporary) / "made"
            _fill(made, people, letters, done)
            if archive is not None:
                _pack(made, archive)
            if out is not None:
                if out.exists():
                    out.rename(Path(temporary) / "before")
                made.rename(out)


@contextmanager
def _saying_what(path: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        said = error.strerror or str(error)
        raise OutputError(
            f"cannot write {path}: {said}; make room or make it writable, or choose another place"
        ) from None


def _check(out: Path, overwrite: bool) -> None:
    """Whether the folder may be written: it is not there, is empty, or was written here and is to be replaced."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not _is_ours(out):
        raise InputError(f"{out} holds something that `{MAKER}` did not write; choose another folder with --out")
    if not overwrite:
        raise InputError(f"{out} holds the samples of an earlier run; use --overwrite to replace them")


def _is_ours(out: Path) -> bool:
    try:
        return bool(json.loads((out / output.MANIFEST).read_bytes())["made by"] == MAKER)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _fill(folder: Path, people: Iterable[Named], letters: bool, done: Callable[[], None]) -> None:
    """Write all files into a folder that is not there yet."""
    (folder / output.PEOPLE).mkdir(parents=True)
    (folder / output.STATE / "tmp").mkdir(parents=True)
    everybody: list[Named] = []
    entries: list[dict[str, Any]] = []
    for named in people:
        resources = named.resources
        told = _letters(folder, named) if letters else None
        if told is not None:
            resources = told.deliver(named.person, resources)
        path = f"{output.PEOPLE}/{named.case.key}.json"
        output.write(folder, path, to_bytes(bundle(resources, context())))
        entries.append(_entry(named, path, [] if told is None else [file.path for file in told.files]))
        everybody.append(named)
        done()
    used = shard.places_used(Shard(len(everybody), People([], [], {}), record(everybody)))
    output.write(folder, output.ORGANISATIONS, to_bytes(shard.organisations(Spec(index_date=INDEX), used)))
    manifest = {"made by": MAKER, "index_date": INDEX.isoformat(), "people": entries}
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    output.write(folder, output.MANIFEST, text.encode())
    output.write(folder, README, readme(everybody, letters).encode())
    shutil.rmtree(folder / output.STATE)


def _letters(folder: Path, named: Named) -> ShardLetters:
    """The letters about one person's stays, by the phrasebook, as text and as pages; a document bundle of each."""
    from fhirsynth.letters.folder import Letters
    from fhirsynth.run.letters import ShardLetters

    job = Job(Spec(n=1, index_date=INDEX), folder, letters=Letters(formats=("txt", "html"), annotations=()))
    return ShardLetters(job, 0, [(named.person, named.rows)], None)


def _entry(named: Named, path: str, letters: list[str]) -> dict[str, Any]:
    """What the manifest says of one person."""
    case, person = named.case, named.person
    entry = {
        "key": case.key,
        "name": case.name,
        "tests": case.tests,
        "file": path,
        "id": person.id,
        "nhs_number": person.nhs_number,
        "seed": named.seed,
        "made": case.changed,
    }
    return entry | {"letters": letters} if letters else entry


def _pack(folder: Path, archive: Path) -> None:
    """Put all files of a folder into a zip, by name and without the time of day. Raises OSError."""
    archive.absolute().parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(f".{archive.name}.part")
    try:
        with zipfile.ZipFile(part, "w") as pack:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                info = zipfile.ZipInfo(f"{_TOP}/{path.relative_to(folder).as_posix()}", _EPOCH)
                info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_DEFLATED, _MODE, 3
                pack.writestr(info, path.read_bytes())
        part.replace(archive)
    finally:
        part.unlink(missing_ok=True)
