"""Where the folders are that lie beside the package in the sources and inside it once installed."""

from __future__ import annotations

from pathlib import Path


def folder(name: str) -> Path:
    """The folder `name` (such as `profiles`) of the sources, or its copy in the installed package.

    Raises FileNotFoundError where neither is there: the installation is not whole.
    """
    package = Path(__file__).parent
    for candidate in (package / f"_{name}", package.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the folder {name!r} of fhirsynth is missing: install the package again")
