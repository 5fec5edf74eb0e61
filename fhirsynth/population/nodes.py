"""The form of a node of the network, and the states that more than one part of it knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

OLDEST = 110
ADULT = 16  # years from which habits and marital status are recorded
SEXES = ("female", "male")
GROUPS = ("white", "south-asian", "black", "mixed", "other")
DECILES = tuple(str(decile) for decile in range(1, 11))
HABITS = {
    "smoking": ("never", "ex", "current"),
    "alcohol": ("none", "low", "high"),
    "bmi": ("underweight", "normal", "overweight", "obese"),
}
PRESENCE = ("absent", "present")


@dataclass(frozen=True)
class Node:
    """One node. `table` has one axis a parent, then one for the states; a condition has `table` None.

    A condition's chance of `present` is the logistic of `intercept[age_band, sex]` plus, for each further
    parent, `effects[parent][state]`; its parents start with age_band and sex.
    """

    name: str
    states: tuple[str, ...]
    parents: tuple[str, ...]
    table: Floats | None = None
    intercept: Floats | None = None
    effects: tuple[tuple[float, ...], ...] = ()

    def probabilities(self) -> Floats:
        """The full table, one axis a parent then the states."""
        if self.table is not None:
            return self.table
        present = logistic(self.logit())
        return np.stack([1 - present, present], axis=-1)

    def logit(self) -> Floats:
        """Log odds of a condition being present, one axis a parent."""
        assert self.intercept is not None
        total = self.intercept
        for effect in self.effects:
            total = total[..., None] + np.asarray(effect)
        return total


def logistic(x: Floats) -> Floats:
    """1 / (1 + e^-x), elementwise; 0 at minus infinity."""
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-x)))
