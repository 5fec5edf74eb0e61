"""`fhirsynth serve` over a small population with letters: one folder for a test run, one server for each worker.

A test module has them with `pytest_plugins = ["served_fixtures"]`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest
from served import Files, Served

from fhirsynth import Population

#: Few, and of all ages.
PEOPLE = {"n": 7, "seed": 11, "years": 4}


@pytest.fixture(scope="session")
def served_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a few people with letters, the same for all workers of a test run. To be read only."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "served"
    with filelock.FileLock(shared / "served.lock"):
        if not (folder / "manifest.json").is_file():
            Population(**PEOPLE).write(folder, letters=True, overwrite=folder.exists())
    return folder


@pytest.fixture(scope="session")
def files(served_folder: Path) -> Files:
    """What is in that folder."""
    return Files(served_folder)


@pytest.fixture(scope="session")
def served(served_folder: Path) -> Iterator[Served]:
    """A server over that folder, one for all tests of this process."""
    server = Served(served_folder)
    yield server
    server.close()
