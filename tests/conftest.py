"""What several tests need and is dear to make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhirsynth.validation.hl7 import Hl7Engine

#: The official packages of UK Core, where they are at hand.
UK_CORE = Path(__file__).parent.parent.parent / "shared" / "ukcore"


@pytest.fixture(scope="session")
def hl7_engine() -> Iterator[Hl7Engine]:
    """HL7's own validator over UK Core STU3, one warm process for the whole session."""
    if not UK_CORE.is_dir():
        pytest.skip("the official packages of UK Core, ../shared/ukcore, are not there")
    with Hl7Engine(release="stu3", packages=[UK_CORE], threads=2) as engine:
        yield engine
