"""The Java process: started, asked, answered, ended.

Questions are written by whoever asks; one thread of this side reads the answers as they come, so that neither side
waits for the other with full pipes. How many questions are under way is for the caller to bound.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from fhirsynth.errors import InputError

_TAIL = 2000  # bytes of Java's last words that are kept
_PATIENCE = 5  # seconds to end by itself
_OUT_OF_MEMORY = 3  # the exit code that ExitOnOutOfMemoryError gives


class Process:
    """HL7's validator at work. Every method may be called from several threads."""

    def __init__(self, java: str, built: Path, start: dict[str, Any]) -> None:
        """Start it; `start` is what it is told first. Raises InputError where it does not come up."""
        self.memory = os.environ.get("FHIRSYNTH_JAVA_MEMORY", "3g")
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        command = [
            java,
            f"-Xmx{self.memory}",
            "-XX:+ExitOnOutOfMemoryError",
            f"-XX:ErrorFile={built.parent / 'java-crash-%p.log'}",
            "-XX:-UsePerfData",
            # The default collector takes all the memory it may have before it looks at what is still needed.
            "-XX:+UseSerialGC" if start["threads"] == 1 else "-XX:+UseParallelGC",
            "-Dfile.encoding=UTF-8",
            "-Djava.awt.headless=true",
            "-cp",
            os.pathsep.join((str(built / "classes"), str(built / "lib" / "*"))),
            "fhirsynth.hl7.Serve",
        ]
        try:
            self._java = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, **_own_group()
            )
        except OSError as error:
            self._words.close()
            raise InputError(f"Java cannot be started: {error}") from None
        assert self._java.stdin and self._java.stdout
        self._in, self._out = self._java.stdin, self._java.stdout
        self._writing = threading.Lock()
        self._news = threading.Condition()
        self._last = 0
        self._open: set[int] = set()
        self._answers: dict[int, list[dict[str, str]]] = {}
        self._first: dict[str, Any] | None = None
        self._trouble = ""
        self._reader = threading.Thread(target=self._read, name="hl7-answers", daemon=True)
        self._reader.start()
        try:
            self._write(orjson.dumps(start))
            with self._news:
                self._news.wait_for(lambda: self._first is not None or self._trouble)
            if self._first is None:
                raise InputError(self._trouble)
            if "failed" in self._first:
                raise InputError(f"HL7's validator cannot use what it was given: {self._first['failed']}")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._java.pid

    def ask(self, text: bytes, claims: Sequence[str] = ()) -> int:
        """Hand over a resource as JSON and the profiles it claims; the number is that by which to fetch its answer."""
        with self._news:
            if self._trouble:
                raise InputError(self._trouble)
            self._last += 1
            number = self._last
            self._open.add(number)
        self._write(orjson.dumps({"id": number, "text": text.decode(), "claims": claims}))
        return number

    def answer(self, number: int) -> list[dict[str, str]]:
        """Wait for an answer. Raises InputError where the process ended before."""
        with self._news:
            self._news.wait_for(lambda: number in self._answers or self._trouble)
            self._open.discard(number)
            if number not in self._answers:
                raise InputError(self._trouble)
            return self._answers.pop(number)

    def forget(self, numbers: Iterable[int]) -> None:
        """Say that nobody will fetch these answers."""
        with self._news:
            for number in numbers:
                self._open.discard(number)
                self._answers.pop(number, None)

    def close(self) -> None:
        """End the process, whatever it is doing. May be called again."""
        with self._news:
            self._trouble = self._trouble or "HL7's validator has been closed"
        if self._writing.acquire(timeout=_PATIENCE):  # or else it has stopped reading
            with contextlib.suppress(OSError):
                self._in.close()  # it ends when nothing more can come
            self._writing.release()
        try:
            self._java.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._java.kill()
            self._java.wait()
        self._reader.join()
        self._words.close()

    def _write(self, line: bytes) -> None:
        try:
            with self._writing:
                self._in.write(line)
                self._in.write(b"\n")
                self._in.flush()
        except (OSError, ValueError):  # the pipe is broken, or closed
            self._reader.join()
            raise InputError(self._trouble) from None
        except BaseException:  # half a line may be written: nothing more can be understood
            self._java.kill()
            raise

    def _read(self) -> None:
        with self._out:
            for line in self._out:
                try:
                    answer = orjson.loads(line)
                except orjson.JSONDecodeError:
                    if self._first is None:
                        continue  # options in JAVA_TOOL_OPTIONS may have Java itself say something
                    self._java.kill()  # an answer is lost, and would be waited for
                    break
                with self._news:
                    if self._first is None:
                        self._first = answer
                    elif answer["id"] in self._open:
                        self._answers[answer["id"]] = answer["issues"]
                    self._news.notify_all()
        code = self._java.wait()
        with self._news:
            self._trouble = self._trouble or self._why(code)
            self._news.notify_all()

    def _why(self, code: int) -> str:
        """How the process ended, and its last words."""
        self._words.seek(0, os.SEEK_END)
        self._words.seek(max(0, self._words.tell() - _TAIL))
        words = " ".join(self._words.read().decode("utf-8", "replace").split())
        if code == _OUT_OF_MEMORY or "OutOfMemoryError" in words:
            return (
                f"HL7's validator ran out of its {self.memory} of memory: give it more with FHIRSYNTH_JAVA_MEMORY, "
                "such as 6g, or resources one by one instead of one large bundle"
            )
        how = f"exit code {code}"
        if code < 0:
            how = f"killed by {signal.Signals(-code).name if -code in set(signal.Signals) else f'signal {-code}'}"
        return f"HL7's validator ended before its answer ({how}); its last words: {words or 'none'}"


def _own_group() -> dict[str, Any]:
    """Keep a Ctrl-C in the terminal from Java: this side ends it, once it has said what it had to say."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined,unused-ignore]
    return {"start_new_session": True}
