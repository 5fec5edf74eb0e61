"""Writes the letters' model as `model.onnx`, its weights in 8 bits (or 4, or whole), beside its weights and tokens."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fhirsynth.errors import FhirsynthError
from fhirsynth.letters.lm.exporting import MODEL, export
from fhirsynth.letters.lm.maker import shipped


def main() -> int:
    """Export a model's folder; same weights, same bytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=shipped(), help="the package's own model, if not given")
    parser.add_argument("--to", type=Path, help=f"the file to write: {MODEL} in the folder, if not given")
    parser.add_argument("--bits", type=int, default=8, choices=(4, 8, 32), help="bits of a weight (8)")
    asked = parser.parse_args()
    target = asked.to or asked.folder / MODEL
    try:
        revision = export(asked.folder, target, asked.bits)
    except FhirsynthError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{target}: {target.stat().st_size:,} bytes, revision {revision}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
