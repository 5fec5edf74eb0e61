"""What several tests need and is dear to make."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Command
from servers.hapi import Hapi
from servers.sekmet import Sekmet

from fhirsynth.errors import InputError
from fhirsynth.validation.hl7 import Hl7Engine

#: The official packages of UK Core, where they are at hand.
UK_CORE = Path(__file__).parent.parent.parent / "shared" / "ukcore"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs commands of the command line in this process."""
    return Command(capsys)


@pytest.fixture(scope="session")
def hl7_engine() -> Iterator[Hl7Engine]:
    """HL7's own validator over UK Core STU3, one warm process for the whole session."""
    if not UK_CORE.is_dir():
        pytest.skip("the official packages of UK Core, ../shared/ukcore, are not there")
    with Hl7Engine(release="stu3", packages=[UK_CORE], threads=2) as engine:
        yield engine


@pytest.fixture(scope="session")
def sekmet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sekmet]:
    """sekmet-fhir on loopback, one for all tests of this process. A test that wants it empty calls its `reset()`."""
    server = Sekmet(tmp_path_factory.mktemp("sekmet"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def hapi_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hapi]:
    """HAPI FHIR on loopback, one for all workers of a test run; a test asks for `hapi` instead."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # which the workers share
    try:
        server = Hapi(folder / "hapi", for_long=False)
    except InputError as error:  # there is no Java, or no Maven
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield server
    server.close()


@pytest.fixture(scope="module")
def hapi(hapi_process: Hapi) -> Iterator[Hapi]:
    """HAPI FHIR, for the tests of one module alone: those of another worker wait for it.

    It may hold what another module loaded; a test that wants it empty calls its `reset()`.
    """
    with hapi_process.turn():
        yield hapi_process
