"""Writes a trained model as `model.onnx` beside its weights, in 8 bits (or 4, or whole), or as a folder to ship."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fhirsynth.errors import FhirsynthError
from fhirsynth.letters.lm.exporting import export
from fhirsynth.letters.lm.onnx_model import MODEL, WEIGHTS
from fhirsynth.letters.lm.packing import pack


def main() -> int:
    """Export a model's folder; same weights, same bytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder `model` of a training run")
    parser.add_argument("--ship", type=Path, help=f"a new folder to write, {MODEL} and {WEIGHTS} of few bits in it")
    parser.add_argument("--bits", type=int, default=8, choices=(4, 8, 32), help="bits of a weight (8)")
    asked = parser.parse_args()
    try:
        if asked.ship:
            pack(asked.folder, asked.ship, asked.bits)
            print(f"{asked.ship}: {sum(file.stat().st_size for file in asked.ship.iterdir()):,} bytes")
            return 0
        target = asked.folder / MODEL
        revision = export(asked.folder, target, asked.bits)
    except FhirsynthError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{target}: {target.stat().st_size:,} bytes, revision {revision}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
