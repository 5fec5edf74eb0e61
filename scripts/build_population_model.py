"""Builds the population model from the knowledge files and stores it in the package."""

from __future__ import annotations

import logging
from pathlib import Path

import fhirsynth.population
from fhirsynth.knowledge import load
from fhirsynth.population.model import STORED, build


def main() -> None:
    """Write `fhirsynth/population/model.npz`; same knowledge files, same bytes."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    target = Path(fhirsynth.population.__file__).with_name(STORED)
    data = build(load()).to_bytes()
    target.write_bytes(data)
    print(f"{target}: {len(data):,} bytes")


if __name__ == "__main__":
    main()
