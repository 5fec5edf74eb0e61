"""What the user asked for: one model that the command line and the Python API both build."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

#: People to a shard. Part of the meaning of a seed: changing it changes every population.
SHARD_SIZE = 200


class Spec(BaseModel):
    """A population to make. Same spec, same bytes.

    `n` people registered and alive at `index_date`, each with `years` of history; `age` (inclusive, in
    years at the index date), `sex`, `region` and `condition` (keys; everyone has all of them) narrow who
    they are. `deceased` adds those who died inside the history window, as real registers hold them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: Annotated[int, Field(ge=1, le=100_000_000)] = 1000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    index_date: dt.date = dt.date(2026, 1, 1)
    years: Annotated[int, Field(ge=1, le=40)] = 5
    age: tuple[int, int] = (0, 110)
    sex: Literal["female", "male"] | None = None
    region: str | None = None
    condition: tuple[str, ...] = ()
    deceased: bool = True

    @field_validator("age")
    @classmethod
    def _age_in_order(cls, age: tuple[int, int]) -> tuple[int, int]:
        low, high = age
        if not 0 <= low <= high <= 110:
            raise ValueError("expected two whole years from 0 to 110, the lower first")
        return age

    @field_validator("index_date")
    @classmethod
    def _date_in_reach(cls, date: dt.date) -> dt.date:
        if not dt.date(2010, 1, 1) <= date <= dt.date(2035, 12, 31):
            raise ValueError("expected a date from 2010-01-01 to 2035-12-31")
        return date

    @model_validator(mode="after")
    def _conditions_once(self) -> Spec:
        if len(set(self.condition)) != len(self.condition):
            raise ValueError("each condition may be named once")
        return self

    @property
    def start(self) -> dt.date:
        """First day of the history window."""
        try:
            return self.index_date.replace(year=self.index_date.year - self.years)
        except ValueError:  # 29 February
            return self.index_date.replace(year=self.index_date.year - self.years, day=28)

    @property
    def shards(self) -> int:
        """How many shards the population is made in."""
        return -(-self.n // SHARD_SIZE)

    def shard_size(self, shard: int) -> int:
        """Living people in `shard` (counted from 0)."""
        return min(SHARD_SIZE, self.n - shard * SHARD_SIZE)
