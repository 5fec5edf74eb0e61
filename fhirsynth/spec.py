"""What the user asked for: one model that the command line and the Python API both build."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from fhirsynth.errors import InputError

#: People to a shard. Part of the meaning of a seed: changing it changes every population.
SHARD_SIZE = 200


class Spec(BaseModel):
    """A population to make. Same spec, same bytes.

    `n` people registered and alive at `index_date`, each with `years` of history; `age` (in years at the index
    date, one or the lowest and highest), `sex`, `region` and `condition` (a key or several; everyone has all of
    them) narrow who they are. `deceased` adds those who died inside the history window, as real registers hold them.
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

    @field_validator("age", mode="wrap")
    @classmethod
    def _age_in_order(cls, age: Any, checked: ValidatorFunctionWrapHandler) -> tuple[int, int]:
        try:
            low, high = checked((age, age) if type(age) is int else age)
        except ValidationError:  # pydantic would tell of tuples and items
            low, high = 1, 0
        if not 0 <= low <= high <= 110:
            raise ValueError("expected two whole years from 0 to 110, the lower first")
        return low, high

    @field_validator("condition", mode="wrap")
    @classmethod
    def _condition_alone(cls, condition: Any, checked: ValidatorFunctionWrapHandler) -> Any:
        try:
            return checked((condition,) if isinstance(condition, str) else condition)
        except ValidationError:
            raise ValueError("expected keys of conditions, such as type-2-diabetes") from None

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


def spec_of(options: Mapping[str, Any], besides: Sequence[str] = ()) -> Spec:
    """The spec of options that somebody wrote down by name, in a file or in a test.

    Raises InputError with one line that names the option, what was expected and what was found. `besides`: other
    options that there are in that place.
    """
    for name in options:
        if name not in Spec.model_fields:
            known = ", ".join((*Spec.model_fields, *besides))
            raise InputError(f"there is no option {name}; expected some of {known}")
    try:
        return Spec(**options)
    except ValidationError as error:
        name, expected = first_problem(error)
        raise InputError(f"{name}: {expected}; found {options[name]!r}") from None


def first_problem(error: ValidationError) -> tuple[str, str]:
    """The field of a spec that holds what it cannot, and what was expected."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "condition"
    if first["type"] == "value_error":  # one of ours
        return name, str(first["ctx"]["error"])
    return name, first["msg"].replace("Input should be", "expected")
