"""What is loaded, line by line in a file that survives being killed: so that a load can go on where it ended.

The first line says into which server, each further one what came of a unit. A line is on the disk before its unit
counts as done; a unit whose line is missing or cut off, or whose file was changed since, is sent again, which does no
harm, as it is put under the same ids. There is nothing in it about who loads: no token, no header.
"""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from fhirsynth.errors import InputError, OutputError
from fhirsynth.loading.outcome import Outcome, Refusal
from fhirsynth.loading.source import Source

#: Where journals lie in a population's folder; hidden, so that nothing else reads it.
FOLDER = ".load"
_FORM = 2


def place(folder: Path, base: str) -> Path:
    """The usual place of the journal of a load into the server at `base`: one for each server."""
    parts = urlsplit(base)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", parts.netloc + parts.path).strip("-.")[:80]
    return folder / FOLDER / f"{name}-{hashlib.sha256(base.encode()).hexdigest()[:8]}.jsonl"


class Journal:
    """What is loaded of a source into a server; a context manager, to be made with `begin` or `go_on`.

    loaded: resources that the server took, by type; created: how many were new to it; done: units that are whole.
    incomplete: what came of the units of which something was refused or left out, by number; they are tried again.
    """

    def __init__(self, path: Path, source: Source) -> None:
        self.path, self.done, self.created = path, 0, 0
        self.loaded: Counter[str] = Counter()
        self.incomplete: dict[int, Outcome] = {}
        self._states = source.states
        self._is_done = bytearray(len(source.states) // 8 + 1)
        self._file: BinaryIO | None = None

    @classmethod
    def begin(cls, path: Path, source: Source, base: str) -> Journal:
        """A new journal, in place of an old one. Raises OutputError where it cannot be written."""
        made = cls(path, source)
        begun = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        head = {"fhirsynth_load": _FORM, "server": base, "begun": begun}
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with _writing(path):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with temporary.open("wb") as file:
                    file.write(json.dumps(head).encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
                _keep_name(path)
            finally:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
            made._file = path.open("ab", buffering=0)
        return made

    @classmethod
    def go_on(cls, path: Path, source: Source, base: str) -> Journal:
        """The journal of a load that was begun.

        Raises InputError where there is none, where it is of another population or server, or where it is damaged;
        OutputError where it cannot be written on.
        """
        made = cls(path, source)
        length = made._read(base, source.folder)
        with _writing(path):
            file = made._file = path.open("r+b", buffering=0)
            file.truncate(length)  # of a line that was cut off
            file.seek(length)
        return made

    def is_done(self, number: int) -> bool:
        """Whether the server has all of a unit."""
        return bool(self._is_done[number // 8] & 1 << number % 8)

    def add(self, outcome: Outcome) -> None:
        """Note what came of a unit; it is on the disk on return. Raises OutputError."""
        if not outcome.is_done and not outcome.missing:
            return  # not tried to its end, and nothing to tell
        line: dict[str, Any] = {
            "unit": outcome.number,
            "name": outcome.name,
            "state": self._states[outcome.number],
            "loaded": dict(outcome.loaded),
            "created": outcome.created,
        }
        if outcome.missing:
            line["refused"] = [refusal.as_json() for refusal in outcome.refused]
            line["left_out"] = outcome.left_out
        assert self._file is not None
        with _writing(self.path):
            data = json.dumps(line).encode() + b"\n"
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        earlier = self.incomplete.pop(outcome.number, None)
        if earlier is not None:
            self.loaded -= earlier.loaded
        self.loaded += outcome.loaded
        self.created += outcome.created
        if outcome.missing:
            self.incomplete[outcome.number] = outcome
        elif not self.is_done(outcome.number):
            self.done += 1
            self._is_done[outcome.number // 8] |= 1 << outcome.number % 8

    # --- reading ---------------------------------------------------------------------------------

    def _read(self, base: str, folder: Path) -> int:
        """Read the file; returns how many bytes of it are whole lines."""
        length = lines = known = 0
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if not line.endswith(b"\n"):
                        break
                    known += self._line(number, line, base)
                    length, lines = length + len(line), number
        except FileNotFoundError:
            raise InputError(_nothing_begun(self.path, folder, base)) from None
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from None
        if not length:
            raise InputError(f"{self.path} is empty: no load was begun; load without --resume")
        if not known and lines > 2:  # one unit that was put right is still to be resumed
            raise InputError(
                f"{self.path} is of a load of another population, or of this one before all of it was changed; load "
                "without --resume"
            )
        return length

    def _line(self, number: int, line: bytes, base: str) -> bool:
        """Take up a line; whether it is about a unit that still is as it was."""
        try:
            found = json.loads(line)
            if number == 1:
                _compare(self.path, found, base)
                return False
            outcome = _outcome(found)
            is_known = outcome.number < len(self._states) and found["state"] == self._states[outcome.number]
            if is_known:
                self._count(outcome)
            return is_known
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(
                f"{self.path}, line {number}: the journal is damaged; load without --resume, which sends everything "
                "again and does no harm to what is there"
            ) from None

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say in one line why the journal cannot be written."""
    try:
        yield
    except OSError as error:
        said = f"the journal {path} cannot be written: {error.strerror or error}"
        raise OutputError(f"{said}; choose another place with --journal") from None


def _compare(path: Path, found: dict[str, Any], base: str) -> None:
    """Raise InputError where a journal is of a load into another server, KeyError and such where it is none."""
    if found["fhirsynth_load"] != _FORM:
        raise InputError(f"{path} is of another version of fhirsynth; load without --resume")
    if found["server"] != base:
        raise InputError(
            f"{path} is of a load into {found['server']}, asked for is {base}; load without --resume, or choose "
            "another --journal"
        )


def _outcome(found: dict[str, Any]) -> Outcome:
    """What a line says. Raises KeyError, TypeError or ValueError where it is none."""
    number, created = found["unit"], found["created"]
    if not (isinstance(number, int) and number >= 0 and isinstance(created, int)):
        raise ValueError(number)
    if not all(isinstance(count, int) for count in found["loaded"].values()):
        raise ValueError(number)
    refused = [Refusal.from_json(item) for item in found.get("refused", ())]
    return Outcome(number, found["name"], Counter(found["loaded"]), created, refused, list(found.get("left_out", ())))


def _nothing_begun(path: Path, folder: Path, base: str) -> str:
    others = sorted(set(_servers(folder / FOLDER)) - {base})
    found = f"; there were loads into {', '.join(others)}" if others else ""
    return f"there is no load of {folder} into {base} to resume ({path} is not there){found}; load without --resume"


def _servers(folder: Path) -> Iterator[str]:
    for file in folder.glob("*.jsonl") if folder.is_dir() else ():
        with suppress(OSError, ValueError, KeyError, TypeError), file.open("rb") as stream:
            yield str(json.loads(stream.readline())["server"])


def _keep_name(path: Path) -> None:
    """See that a file's name is on the disk as well, where the system knows how to."""
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
