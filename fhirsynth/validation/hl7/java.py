"""Java and Maven as they are on this machine, or a clear word about what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from fhirsynth.errors import InputError

#: The oldest Java that HAPI runs on.
OLDEST = 17

_GET_JAVA = "install a JDK, such as Debian's openjdk-17-jdk-headless, Homebrew's openjdk or https://adoptium.net"
_GET_MAVEN = "install it, such as Debian's or Homebrew's maven or https://maven.apache.org"
_SETTING = re.compile(r"^\s*(java\.home|java\.version) = (.*?)\s*$", re.MULTILINE)


class Java(NamedTuple):
    """A Java that will do: its command, its home folder, its version such as "17.0.15"."""

    command: str
    home: str
    version: str


def find_java() -> Java:
    """That of JAVA_HOME, or else the first on the PATH. Raises InputError where neither is Java 17 or later."""
    bins = [str(Path(home) / "bin")] if (home := os.environ.get("JAVA_HOME")) else []
    commands = [command for path in (*bins, None) if (command := shutil.which("java", path=path))]
    found = []
    for command in dict.fromkeys(commands):
        java, trouble = _ask(command)
        if java and _major(java.version) >= OLDEST:
            return java
        found.append(f"{java.version if java else trouble} ({command})")
    said = f"found {' and '.join(found)}" if found else "there is none in JAVA_HOME or on the PATH"
    raise InputError(f"the engine hl7 needs Java {OLDEST} or later, and {said}: {_GET_JAVA}")


def find_maven() -> str:
    """The command of Maven. Raises InputError where there is none."""
    command = shutil.which("mvn")
    if command is None:
        raise InputError(
            "the first use of the engine hl7 needs Maven, which fetches HL7's validator, and there is no mvn on the "
            f"PATH: {_GET_MAVEN}"
        )
    return command


def _ask(command: str) -> tuple[Java | None, str]:
    """What a Java says of itself, or why it does not."""
    try:
        done = subprocess.run(
            [command, "-XshowSettings:properties", "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"one that does not run: {error}"
    said = dict(_SETTING.findall(done.stderr + done.stdout))
    if done.returncode or "java.version" not in said:
        words = (done.stderr or done.stdout).strip().splitlines()
        return None, f"one that does not run: {words[-1] if words else f'exit code {done.returncode}'}"
    return Java(command, said.get("java.home", ""), said["java.version"]), ""


def _major(version: str) -> int:
    """17 of "17.0.15", 8 of "1.8.0_392", 0 of what is no version."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    if numbers[:1] == [1]:
        numbers = numbers[1:]
    return numbers[0] if numbers else 0
