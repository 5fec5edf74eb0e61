"""What is of Java fetched and built, once, into the user's cache.

    <cache>/hl7/<key>/lib/*.jar     HL7's validator and what it needs, as Maven fetched them
    <cache>/hl7/<key>/classes/      the classes of `maven/`, compiled

So is every other `Project`, in a folder of its name.

`<key>` is a hash of the sources, the pom with its versions among them: another version builds anew, and leaves that of
an older fhirsynth which may still be in use. A build is made in a folder of its own and renamed when it is whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fhirsynth.errors import InputError
from fhirsynth.validation.hl7.java import Java, find_maven

_WORDS_KEPT = 6
_PARTS = ("classes", "lib")


class Project(NamedTuple):
    """A small Maven build.

    `name`: its folder in the cache. `title`: as messages name it. `sources`: the folder of its .java and .xml files.
    `fetching`: how much is fetched at first, from where, and how long that takes.
    """

    name: str
    title: str
    sources: Path
    fetching: str

    def files(self) -> list[Path]:
        """All of its sources, in order."""
        return sorted(file for file in self.sources.rglob("*") if file.suffix in (".java", ".xml"))

    def key(self) -> str:
        """A hash of the sources."""
        hashed = hashlib.sha256()
        for file in self.files():
            content = file.read_bytes()
            hashed.update(f"{file.relative_to(self.sources).as_posix()} {len(content)}\n".encode() + content)
        return hashed.hexdigest()[:16]


VALIDATOR = Project(
    "hl7", "HL7's validator", Path(__file__).parent / "maven", "about 145 MB from Maven Central, a minute or two"
)


def cache_folder() -> Path:
    """`$FHIRSYNTH_CACHE`, or the folder `fhirsynth` where the platform keeps caches."""
    if given := os.environ.get("FHIRSYNTH_CACHE"):
        return Path(given)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fhirsynth"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "fhirsynth"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fhirsynth"


def built(java: Java, project: Project = VALIDATOR) -> Path:
    """The folder with `lib` and `classes`, which is built first where it is not there.

    Raises InputError where Maven is missing or fails, and where the cache cannot be written.
    """
    folder = cache_folder() / project.name / project.key()
    if _is_whole(folder):
        return folder
    maven = find_maven()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.parent / "lock"):
            if not _is_whole(folder):  # another process may have built it while this one waited
                _build(project, folder, maven, java)
    except OSError as error:
        raise InputError(
            f"{project.title} cannot be built in {folder.parent}: {error.strerror or error}; "
            "FHIRSYNTH_CACHE names another folder for it"
        ) from None
    return folder


def _is_whole(folder: Path) -> bool:
    return all((folder / part).is_dir() for part in _PARTS)


def _build(project: Project, folder: Path, maven: str, java: Java) -> None:
    for left in folder.parent.glob("building-*"):  # of a process that was killed: nobody else builds now
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))
    try:
        for file in project.files():
            copy = work / file.relative_to(project.sources)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        with _saying(f"fhirsynth: fetching {project.title} for its first use: {project.fetching}"):
            _run_maven(project, maven, java, work)
        whole = work / "whole"
        whole.mkdir()
        for part in _PARTS:
            (work / "target" / part).replace(whole / part)
        if folder.exists():  # of which somebody deleted a part
            shutil.rmtree(folder)
        whole.replace(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run_maven(project: Project, maven: str, java: Java, work: Path) -> None:
    done = subprocess.run(
        [maven, "-B", "-q", "compiler:compile", "dependency:copy-dependencies"],
        cwd=work,
        env=os.environ | ({"JAVA_HOME": java.home} if java.home else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode or not _is_whole(work / "target"):
        raise InputError(f"{project.title} could not be fetched and built; Maven said: {_last_words(done.stdout)}")


def _last_words(output: str) -> str:
    """What Maven said of the error, without its advice on how to run Maven again."""
    lines = [line.removeprefix("[ERROR]").strip() for line in output.splitlines() if line.startswith("[ERROR]")]
    lines = lines or [line.strip() for line in output.splitlines()]
    told = []
    for line in lines:
        if line.startswith(("To see the full stack trace", "Re-run Maven", "For more information about the errors")):
            break
        if line:
            told.append(line)
    return " ".join(told[-_WORDS_KEPT:]) or "nothing"


@contextmanager
def _saying(message: str) -> Iterator[None]:
    """Say what takes its time on standard error: with a moving sign on a terminal, as one line elsewhere."""
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status(message):
            yield
    else:
        print(message, file=sys.stderr, flush=True)
        yield


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process is in here. The system lets go of the lock when a process ends, however it ends."""
    with lock.open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt
            import time

            while True:
                try:
                    file.seek(0)
                    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                    break
                except OSError:  # another process has it
                    time.sleep(0.5)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
