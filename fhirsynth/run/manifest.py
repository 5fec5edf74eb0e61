"""The manifest: what was asked, by which versions, what came of it, and the SHA-256 of every file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fhirsynth import __version__
from fhirsynth import knowledge as kb
from fhirsynth.errors import InputError
from fhirsynth.run import output
from fhirsynth.run.output import Written
from fhirsynth.run.state import Job
from fhirsynth.run.tally import Tally
from fhirsynth.spec import Spec

#: Where the counts of letters stand, beside the options they were written with.
_MADE = "made"


def write(out: Path, head: dict[str, Any], tally: Tally, files: Iterable[Written]) -> None:
    """Write the manifest, its list of files line by line, so that no number of people fills the memory."""
    counted = tally.as_json()
    head = head | {"people": {"living": counted.pop("living"), "dead": counted.pop("dead")}}
    if letters := counted.pop("letters", None):
        head |= {"letters": summary_of_letters(head, letters)}
    head |= counted
    temporary = out / output.STATE / "tmp" / output.MANIFEST
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head, indent=2).removesuffix("\n}") + ',\n  "files": {')
        comma = ""
        for written in files:
            entry = json.dumps({"sha256": written.sha256, "bytes": written.size})
            file.write(f"{comma}\n    {json.dumps(written.path)}: {entry}")
            comma = ","
        file.write("\n  }\n}\n")
    temporary.replace(out / output.MANIFEST)


def summary_of_letters(head: dict[str, Any], counted: dict[str, int]) -> dict[str, Any]:
    """How letters were written, as the head of the manifest says it, and how many of what."""
    return {**head["letters"], _MADE: counted}


def read_tally(out: Path) -> Tally:
    """The counts of a finished run."""
    found = json.loads((out / output.MANIFEST).read_bytes())
    letters = {"letters": found.pop("letters")[_MADE]} if "letters" in found else {}
    return Tally.from_json(found | found["people"] | letters)


def made_with(folder: Path) -> Job:
    """What a folder was made with, but for its letters.

    Raises InputError where it holds no manifest, or one of another version or other knowledge files: the people made
    again would be others.
    """
    file = folder / output.MANIFEST
    try:
        manifest = json.loads(file.read_bytes())
        job = Job(Spec(**manifest["spec"]), folder, manifest["format"], manifest["gzip"])
        made_by = manifest["versions"]["fhirsynth"]
    except FileNotFoundError:
        said = "expected a folder that `fhirsynth population` made"
        if (folder / output.STATE).is_dir():
            said = "its people are not finished; give the command that began them again, with --resume"
        raise InputError(f"{folder} holds no {output.MANIFEST}: {said}") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise InputError(f"{file} is no manifest of fhirsynth: {error}") from None
    if made_by != __version__ or manifest.get("knowledge") != kb.load().digest:
        raise InputError(
            f"{folder} was made by another version of fhirsynth ({made_by}) or with other knowledge files, and its "
            "people would not be the same today; make it again with `fhirsynth population`"
        )
    return job
