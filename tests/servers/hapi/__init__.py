"""HAPI FHIR JPA 8.8.0 over H2, the server that most FHIR test servers are, in a process of its own.

It is as HAPI is out of the box, so as strict: a reference to what is not there is refused. What a test should know:

- an unchanged resource gets no new version, a decimal keeps its digits, and `meta` gains `source`;
- a search may be answered from that of a minute ago, unless it says `Cache-Control: no-cache`;
- `Bundle.total` may be absent: ask with `_summary=count` or `_total=accurate`.

`python -m servers.hapi FOLDER` in the folder `tests` runs one until Ctrl-C, its database in that folder.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
from filelock import FileLock

from fhirsynth.errors import InputError
from fhirsynth.validation.hl7.building import Project, built
from fhirsynth.validation.hl7.java import Java, find_java, find_maven

_PROJECT = Project("hapi", "HAPI", Path(__file__).parent, "about 235 MB from Maven Central, a minute or two")
_PATIENCE = 600  # seconds until it answers, on a machine that is busy
_EVERYTHING = {"resourceType": "Parameters", "parameter": [{"name": "expungeEverything", "valueBoolean": True}]}


class Hapi:
    """A server that is running: one for all processes that name the same folder, ending with the last of them.

    base: the FHIR base URL, without a slash at its end. folder: where its log is, and its database while it runs.
    """

    kind = "hapi"

    def __init__(self, folder: Path, *, for_long: bool = True) -> None:
        """Join the server of `folder`, or start it.

        for_long: whether Java may take its time to compile: ready after twice the work, and then twice as fast.

        Raises InputError where there is no Java or no Maven, and RuntimeError where the server cannot be built or does
        not come up.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self._door = self.folder / "door"
        self._process: subprocess.Popen[bytes] | None = None
        with FileLock(folder / "starting.lock"):
            joined = self._join()
            if joined is None:
                self._start(for_long)
                joined = self._join()
        if joined is None:
            raise RuntimeError(f"HAPI is gone: {self._last_words()}")
        self._staying, self.base = joined

    def turn(self) -> AbstractContextManager[object]:
        """Have the server to oneself, among the processes that use it."""
        return FileLock(self.folder / "turn.lock")

    def reset(self) -> None:
        """Empty it."""
        httpx.post(f"{self.base}/$expunge", json=_EVERYTHING, timeout=600).raise_for_status()

    def close(self) -> None:
        """Say that this process needs it no more. May be called again."""
        self._staying.close()

    def _join(self) -> tuple[socket.socket, str] | None:
        """A connection that keeps the server, and the base URL; None where there is no server."""
        try:
            staying = socket.create_connection(("127.0.0.1", int(self._door.read_text())))
        except (FileNotFoundError, ConnectionError):
            return None
        told = b""
        while not told.endswith(b"\n"):
            more = staying.recv(1000)
            if not more:  # it was about to end
                staying.close()
                return None
            told += more
        return staying, told.decode().strip()

    def _start(self, for_long: bool) -> None:
        """Return when it answers."""
        java = _java()
        folder = _built(java)
        self._door.unlink(missing_ok=True)
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    java.command,
                    f"-Xmx{os.environ.get('FHIRSYNTH_JAVA_MEMORY', '1g')}",
                    "-XX:+UseSerialGC",
                    f"-XX:TieredStopAtLevel={4 if for_long else 1}",
                    "-XX:+ExitOnOutOfMemoryError",
                    f"-XX:ErrorFile={self.folder / 'java-crash.log'}",
                    "-XX:-UsePerfData",
                    "-Dfile.encoding=UTF-8",
                    "-Djava.awt.headless=true",
                    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                    "-cp",
                    os.pathsep.join((str(folder / "classes"), str(folder / "lib" / "*"))),
                    "fhirsynth.hapi.Serve",
                    str(self.folder),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for the tests, which need the server until they have ended
            )
        end = time.monotonic() + _PATIENCE
        while not self._door.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                self._process.kill()
                raise RuntimeError(f"HAPI does not come up: {self._last_words()}")
            time.sleep(0.1)

    def _last_words(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]


def _java() -> Java:
    try:
        return find_java()
    except InputError as error:
        raise InputError(f"HAPI needs what the engine hl7 needs: {error}") from None


def _built(java: Java) -> Path:
    """HAPI's classes and jars. Raises InputError where there is no Maven to build it, RuntimeError where that fails."""
    try:
        return built(java, _PROJECT)
    except InputError as error:
        find_maven()  # to lack it is a reason to skip tests, to fail is none
        raise RuntimeError(str(error)) from None
