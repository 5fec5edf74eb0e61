"""What happens around a program, for tests: how commands ended, a disk that fills, other seeds of hashes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fhirsynth.cli.app import main

_ROOT = Path(__file__).parent.parent


class Ended:
    """How a command ended: its exit code and what it printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Command:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, printed.out, printed.err)


def full_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """So many files can be written, then the disk is full."""
    left = after
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)


def under_hash_seeds(program: str) -> list[str]:
    """What a program prints that can import the tests, once under each of two seeds of Python's hashes."""
    return [
        subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, 'tests')\n{program}"],
            cwd=_ROOT,
            env=os.environ | {"PYTHONHASHSEED": hashing, "PYTHONPATH": str(_ROOT)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hashing in ("1", "2")
    ]
