"""The manifest: what was asked, by which versions, what came of it, and the SHA-256 of every file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fhirsynth.run import output
from fhirsynth.run.output import Written
from fhirsynth.run.tally import Tally


def write(out: Path, head: dict[str, Any], tally: Tally, files: Iterable[Written]) -> None:
    """Write the manifest, its list of files line by line, so that no number of people fills the memory."""
    counted = tally.as_json()
    head = head | {"people": {"living": counted.pop("living"), "dead": counted.pop("dead")}, **counted}
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


def read_tally(out: Path) -> Tally:
    """The counts of a finished run."""
    found = json.loads((out / output.MANIFEST).read_bytes())
    return Tally.from_json(found | found["people"])
