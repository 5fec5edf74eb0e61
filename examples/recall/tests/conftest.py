"""What several tests need: a practice with some patients, made once."""

from __future__ import annotations

import pytest
from recall import Register

from fhirsynth.pytest_plugin import Fhirsynth


@pytest.fixture(scope="session")
def practice(fhirsynth: Fhirsynth) -> Register:
    """Three people with diabetes, and two children."""
    with_diabetes = fhirsynth.population(n=3, condition="type-2-diabetes", age=(60, 80), seed=1)
    children = fhirsynth.population(n=2, age=(0, 11))
    return Register(person.bundle for person in [*with_diabetes, *children])
