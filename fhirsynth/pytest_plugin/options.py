"""What a test can ask for: the options of the fixtures, of the factory and of the marker."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal, TypedDict


class Options(TypedDict, total=False):
    """Whom to make: the fields of `fhirsynth.Spec`, and whether letters are written.

    Without any, anybody of 0 to 110 years. `seed` draws another of the people who fit.
    """

    seed: int
    age: int | tuple[int, int]
    sex: Literal["female", "male"] | None
    region: str | None
    condition: str | Sequence[str]
    years: int
    index_date: dt.date | str
    letters: bool


class PopulationOptions(Options, total=False):
    """… and of several people, how many, and whether those who died come on top."""

    n: int
    deceased: bool
