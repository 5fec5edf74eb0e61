"""What a population's folder holds to be loaded: its places and staff, then its people, one after another.

    found = find(Path("out"))
    for unit in found.units():  # 0 is organisations.json, the people come after it
        unit.read()  # the resources that go together

People are read one at a time from `people/`, or put together of the lines of `ndjson/`, where they stand in the same
order in every file. So memory does not grow with their number.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fhirsynth import reading
from fhirsynth.errors import InputError
from fhirsynth.loading.entries import PLACES, Entry, entry, parse
from fhirsynth.reading.parsing import DAMAGED, damage
from fhirsynth.reading.parsing import parse as explained
from fhirsynth.run.output import NDJSON, ORGANISATIONS, PEOPLE, STATE

_BUNDLES = (".json", ".json.gz")
_LINES = (".ndjson", ".ndjson.gz")


class Unit(NamedTuple):
    """What is loaded as one: the places, or one person.

    number: its place among all, from 0. name: its file, or of NDJSON the person, as reports name it.
    """

    number: int
    name: str
    read: Callable[[], list[Entry]]


@dataclass(frozen=True)
class Source:
    """A folder whose units are known by number.

    `has_bundles`: whether people are in `people/` rather than in `ndjson/`. `states`: a number for each unit, which is
    another where its files were changed since.
    """

    folder: Path
    has_bundles: bool
    states: array[int]

    @property
    def people(self) -> int:
        """How many people there are."""
        return len(self.states) - 1

    def units(self) -> Iterator[Unit]:
        """The places, then the people. Raises InputError, as `Unit.read` does, for what cannot be read."""
        if (self.folder / ORGANISATIONS).exists():
            yield Unit(0, ORGANISATIONS, partial(_bundle, self.folder / ORGANISATIONS))
        else:
            files = [file for file in _lines_in(self.folder) if _kind(file) in PLACES]
            yield Unit(0, NDJSON, partial(_all_lines, files))
        if self.has_bundles:
            for number, file in enumerate(_bundles_in(self.folder / PEOPLE), 1):
                yield Unit(number, file.relative_to(self.folder).as_posix(), partial(_bundle, file))
        else:
            files = [file for file in _lines_in(self.folder) if _kind(file) not in PLACES]
            for number, (person, found) in enumerate(_people_in(files), 1):
                yield Unit(number, f"Patient/{person}", partial(list, found))


def find(folder: Path) -> Source:
    """The population in a folder. Raises InputError where there is none, or one that is not finished."""
    try:
        if not folder.is_dir():
            said = "is a file" if folder.exists() else "does not exist"
            raise InputError(f"{folder} {said}; give a folder that `fhirsynth population` made")
        if (folder / STATE).is_dir():
            raise InputError(f"the population in {folder} is not finished; give the command that began it --resume")
        return _found(folder)
    except OSError as error:
        raise InputError(f"{error.filename or folder} cannot be read: {error.strerror or error}") from None


def _found(folder: Path) -> Source:
    lines = _lines_in(folder)
    bundles = (folder / PEOPLE).is_dir() and any(True for _ in _bundles_in(folder / PEOPLE))
    if not (bundles or any(_kind(file) == "Patient" for file in lines)):
        raise InputError(
            f"{folder} holds no population that can be loaded: expected JSON in {PEOPLE}/ or {NDJSON}/, as "
            "`fhirsynth population` makes it with --format bundle or ndjson"
        )
    places = folder / ORGANISATIONS
    if not places.exists() and (bundles or not any(_kind(file) in PLACES for file in lines)):
        raise InputError(f"{places} is not there: it holds the places that people refer to, and is loaded first")
    own = [places] if places.exists() else [file for file in lines if _kind(file) in PLACES]
    states = array("Q", [_state(folder, own)])
    if bundles:
        states.extend(_state(folder, [file]) for file in _bundles_in(folder / PEOPLE))
    else:
        people = sum(1 for file in lines if _kind(file) == "Patient" for _ in _texts(file))
        states.extend([_state(folder, lines)] * people)
    if len(states) == 1:
        raise InputError(f"{folder} holds nobody: there is no line in its Patient.ndjson")
    return Source(folder, bundles, states)


def _state(folder: Path, files: list[Path]) -> int:
    """A number of 64 bits that is another where one of the files has another name, size or time."""
    found = [(file.relative_to(folder).as_posix(), file.stat()) for file in files]
    told = "\n".join(f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in found)
    return int.from_bytes(hashlib.blake2b(told.encode(), digest_size=8).digest())


# --- one bundle a person --------------------------------------------------------------------------


def _bundles_in(folder: Path) -> Iterator[Path]:
    """The files of bundles under a folder, by name; only those of one sub-folder are known at once."""
    with os.scandir(folder) as found:
        names = sorted((item.name, item.is_dir()) for item in found if not item.name.startswith("."))
    for name, is_folder in names:
        if is_folder:
            yield from _bundles_in(folder / name)
        elif name.endswith(_BUNDLES):
            yield folder / name


def _bundle(file: Path) -> list[Entry]:
    try:
        data = file.read_bytes()
        content = _parsed(gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data, file)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    except DAMAGED as error:
        raise InputError(f"{file}: {damage(error)[0]}") from None
    entries = content.get("entry") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise InputError(f"{file} holds no bundle; expected one, as `fhirsynth population` makes it")
    return _named(
        [(f"{file}, entry {number}", _resource_of(item)) for number, item in enumerate(entries)],
    )


def _resource_of(item: Any) -> Any:
    return item.get("resource") if isinstance(item, dict) else None


def _named(resources: list[tuple[str, Any]]) -> list[Entry]:
    """Resources, each with the words that say where it stands, under their names."""
    made: dict[str, Entry] = {}
    for where, resource in resources:
        try:
            found = entry(resource)
        except ValueError as error:
            raise InputError(f"{where}: {error}") from None
        if found.key in made:
            raise InputError(f"{where}: {found.key} stands there a second time")
        made[found.key] = found
    return list(made.values())


def _parsed(data: bytes, file: Path, line: int | None = None) -> Any:
    try:
        return parse(data)
    except (ValueError, RecursionError) as error:
        troubles = explained(data, file)[1]
        said = next((found.message for found in troubles if found.rule == "readable"), str(error))
        where = f"{file}, line {line}" if line else str(file)
        raise InputError(f"{where}: {said}; `fhirsynth validate` says more") from None


# --- one resource a line --------------------------------------------------------------------------


def _lines_in(folder: Path) -> list[Path]:
    """The files of `ndjson/`, by name."""
    lines = folder / NDJSON
    return sorted(file for file in lines.iterdir() if file.name.endswith(_LINES)) if lines.is_dir() else []


def _kind(file: Path) -> str:
    return file.name.partition(".")[0]


def _texts(file: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not empty, and their numbers from 1."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, line
    except DAMAGED as error:
        raise InputError(f"{file}: {damage(error)[0]}") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None


def _resources(file: Path) -> Iterator[tuple[str, Any]]:
    for number, text in _texts(file):
        yield f"{file}, line {number}", _parsed(text, file, number)


def _all_lines(files: list[Path]) -> list[Entry]:
    return _named([found for file in files for found in _resources(file)])


class _Waiting:
    """A file of lines, of which the next one is known: where it stands, whom it is about, and the resource."""

    where: str
    resource: Any

    def __init__(self, file: Path) -> None:
        self._resources = _resources(file)
        self.next()

    def next(self) -> None:
        """Go to the next line."""
        self.where, self.resource = next(self._resources, ("", None))
        self.person = reading.person_of(self.resource) if isinstance(self.resource, dict) else None

    def of(self, person: str) -> Iterator[tuple[str, Any]]:
        """The lines from here on that are about somebody."""
        while self.where and self.person == person:
            yield self.where, self.resource
            self.next()


def _people_in(files: list[Path]) -> Iterator[tuple[str, list[Entry]]]:
    """Everybody of whom there is a Patient, with all that is about them, in the order of the Patients."""
    others = [_Waiting(file) for file in files if _kind(file) != "Patient"]
    for file in files:
        if _kind(file) == "Patient":
            for where, patient in _resources(file):
                person = _only(where, patient).key.removeprefix("Patient/")
                found = [(where, patient)]
                for other in others:
                    found.extend(other.of(person))
                yield person, _named(found)
    for other in others:
        if other.where:
            raise InputError(
                f"{other.where}: {f'Patient/{other.person}' if other.person else 'nobody'} is meant, who is not next; "
                "expected the people in the same order in every file, as `fhirsynth population` writes them"
            )


def _only(where: str, resource: Any) -> Entry:
    """One resource under its name. Raises InputError."""
    return _named([(where, resource)])[0]
