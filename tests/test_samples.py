"""The samples are what the command in their README makes today."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fhirsynth.cli.app import main

SAMPLES = Path(__file__).parent.parent / "samples"


def test_samples_are_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = re.search(r"^fhirsynth (population .*)$", (SAMPLES / "README.md").read_text(encoding="utf-8"), re.M)
    assert command is not None
    arguments = [str(tmp_path) if word == "samples" else word for word in shlex.split(command[1])]
    with pytest.raises(SystemExit) as ended:
        main([word for word in arguments if word != "--overwrite"])
    assert ended.value.code == 0, capsys.readouterr().err

    def found(folder: Path) -> dict[str, bytes]:
        # The manifest names the versions of the packages that are installed, the README is ours, and the named
        # people have tests of their own.
        files = [file for file in folder.rglob("*") if file.is_file() and folder / "named" not in file.parents]
        kept = (file for file in files if file.name not in ("manifest.json", "README.md"))
        return {str(file.relative_to(folder)): file.read_bytes() for file in kept}

    kept, made = found(SAMPLES), found(tmp_path)
    assert sorted(made) == sorted(kept)
    changed = [name for name, data in kept.items() if made[name] != data]
    assert not changed, f"other bytes in {', '.join(changed)}: make the samples again with the command in their README"
