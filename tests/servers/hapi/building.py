"""HAPI fetched and built, once, into the user's cache: `<cache>/hapi/<key>/` with `lib/*.jar` and `classes/`.

`<key>` is a hash of the sources, the pom with its versions among them. A build is made in a folder of its own and
renamed when it is whole; of two processes that need it at once, one builds and the other waits.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

from fhirsynth.validation.hl7.building import cache_folder
from fhirsynth.validation.hl7.java import Java, find_maven

HERE = Path(__file__).parent
PARTS = ("classes", "lib")


def built(java: Java) -> Path:
    """The folder with `classes` and `lib`, which is built first where it is not there: a minute, 290 MB of jars.

    Raises InputError where there is no Maven, RuntimeError with Maven's words where it fails.
    """
    folder = cache_folder() / "hapi" / _key()
    if not _is_whole(folder):
        maven = find_maven()
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / "lock"):
            if not _is_whole(folder):  # another process may have built it while this one waited
                _build(folder, maven, java)
    return folder


def _is_whole(folder: Path) -> bool:
    return all((folder / part).is_dir() for part in PARTS)


def _sources() -> list[Path]:
    return [HERE / "pom.xml", *sorted((HERE / "src").rglob("*.java"))]


def _key() -> str:
    hashed = hashlib.sha256()
    for file in _sources():
        content = file.read_bytes()
        hashed.update(f"{file.relative_to(HERE).as_posix()} {len(content)}\n".encode() + content)
    return hashed.hexdigest()[:16]


def _build(folder: Path, maven: str, java: Java) -> None:
    for left in folder.parent.glob("building-*"):  # of a process that was killed: nobody else builds now
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))
    try:
        for file in _sources():
            copy = work / file.relative_to(HERE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
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
            raise RuntimeError(f"HAPI could not be fetched and built; Maven said: {done.stdout[-2000:]}")
        whole = work / "whole"
        whole.mkdir()
        for part in PARTS:
            (work / "target" / part).replace(whole / part)
        if folder.exists():  # of which somebody deleted a part
            shutil.rmtree(folder)
        whole.replace(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
