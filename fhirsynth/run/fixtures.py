"""Fixtures kept in a repository: folders of people, each made of a table of a spec file, and again when it changes.

    # tests/fhir/fhirsynth.toml
    [recall]
    n = 5
    condition = ["type-2-diabetes"]
    age = [60, 80]

The folder `tests/fhir/recall` is up to date when its manifest says that it was made of this table by this version of
fhirsynth, and its files are those that were written then.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from fhirsynth import __version__
from fhirsynth.errors import InputError, InterruptedRunError, OutputError
from fhirsynth.letters.folder import Letters
from fhirsynth.letters.making import Manner
from fhirsynth.run import output, shard
from fhirsynth.run.job import Summary, identified, write_population
from fhirsynth.run.state import Job
from fhirsynth.spec import spec_of

#: Keys of a table that are either true or, as by default, false.
_SWITCHES = ("gzip", "letters")


class Fixture(NamedTuple):
    """A folder of people, and what is to be in it."""

    job: Job

    def outdated(self) -> str | None:
        """Why the folder is not what its table asks for; None where it is. Reads all of its files."""
        out = self.job.out
        wanted = identified(self.job)[1]
        try:
            manifest: dict[str, Any] = json.loads((out / output.MANIFEST).read_bytes())
            same_spec = _same_spec(manifest, wanted)
            made_by, same_knowledge = manifest["versions"]["fhirsynth"], manifest["knowledge"] == wanted["knowledge"]
            files = {name: written["sha256"] for name, written in manifest["files"].items()}
        except FileNotFoundError:
            return "it is not there"
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return f"its {output.MANIFEST} cannot be read"
        if not same_spec:
            return "its spec has changed"
        if made_by != __version__ or not same_knowledge:
            return f"it was made by another version of fhirsynth ({made_by}) or with other knowledge files"
        for name, digest in files.items():
            try:
                with (out / name).open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError:
                return f"{name} is missing"
            if found != digest:
                return f"{name} was changed"
        return None

    def make(self) -> Summary:
        """Make the people again.

        Raises InputError where the folder holds what fhirsynth did not write, OutputError where it cannot be written,
        InterruptedRunError where the user stopped it.
        """
        try:
            return write_population(self.job, overwrite=True)
        except InputError as error:  # the spec itself is sound: `read` has made sure
            said = f"{self.job.out} holds what is not known to be fhirsynth's, so it stays"
            raise InputError(f"{said}; move it away, or name another folder in the spec file") from error
        except (OutputError, InterruptedRunError) as error:
            # The remedies that it names are options of `fhirsynth population`.
            said = str(error).partition(";")[0]
            raise type(error)(f"{said}; the same command, given again, makes the folder anew") from error


def _same_spec(manifest: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a manifest was made of what is wanted. Of letters it also says how many there are."""
    letters, asked = manifest.get("letters"), wanted.get("letters")
    if letters is not None and asked is not None:
        letters = {name: letters.get(name) for name in asked}
    return letters == asked and all(manifest[name] == wanted[name] for name in ("spec", "format", "gzip"))


def read(file: Path) -> list[Fixture]:
    """The fixtures of a spec file, in its order.

    A table has the fields of `fhirsynth.Spec`, of which `n` must be there, and `format`, `gzip` and `letters` (those of
    the phrasebook); its name is that of the folder, beside the file. Raises InputError with file and table for what
    cannot be.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # of TOML or of UTF-8
        raise InputError(f"{file} is not TOML: {error}") from None
    if not tables:
        raise InputError(f"{file} holds no table; expected one for each folder, such as [people] with n = 5 under it")
    return list(_fixtures(file, tables))


def _fixtures(file: Path, tables: dict[str, Any]) -> Iterator[Fixture]:
    for name, table in tables.items():
        where = f"{file}: [{name}]"
        if not isinstance(table, dict):
            raise InputError(f"{file}: {name}: expected a table such as [people], with its options under it")
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise InputError(f"{where}: expected the name of a folder beside the file")
        if "n" not in table:
            raise InputError(f"{where}: n is missing: how many people are to be in the folder")
        options = {key.replace("-", "_"): value for key, value in table.items()}
        switches = {key: options.pop(key, False) for key in _SWITCHES}
        for key, value in switches.items():
            if not isinstance(value, bool):
                raise InputError(f"{where}: {key}: expected true or false; found {value!r}")
        try:
            formats = ",".join(output.formats(options.pop("format", "bundle")))
            spec = spec_of(options, besides=("format", *_SWITCHES))
            shard.check(spec)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        letters = Letters(Manner(writer="phrasebook", seed=spec.seed)) if switches["letters"] else None
        yield Fixture(Job(spec, file.parent / path, formats, switches["gzip"], letters))
