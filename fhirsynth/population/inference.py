"""Exact inference by variable elimination, all age-and-sex cells at once, and exact draws given evidence.

A factor's array has the cell as its first axis and then one axis a variable. Eliminating a variable
multiplies the factors that hold it and sums it out; keeping those products makes it possible to draw the
variables in reverse order, each given the ones eliminated after it, exactly from their joint distribution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = dict[str, NDArray[np.int8]]

#: Numbers held at once while eliminating (8 bytes each).
BLOCK = 8_000_000


class Factor(NamedTuple):
    """A table over `variables`; `values` has shape (cells, states of each variable)."""

    variables: tuple[str, ...]
    values: Floats


class Step(NamedTuple):
    """One elimination: the product of all factors with `variable`, which is its last axis."""

    variable: str
    others: tuple[str, ...]
    values: Floats


def _aligned(factor: Factor, scope: tuple[str, ...]) -> Floats:
    order = sorted(range(len(factor.variables)), key=lambda i: scope.index(factor.variables[i]))
    values = factor.values.transpose(0, *(1 + i for i in order))
    present = [factor.variables[i] for i in order]
    shape = [values.shape[0]]
    for variable in scope:
        shape.append(values.shape[1 + present.index(variable)] if variable in present else 1)
    return values.reshape(shape)


def _product(factors: Sequence[Factor], scope: tuple[str, ...]) -> Floats:
    total = _aligned(factors[0], scope)
    for factor in factors[1:]:
        total = total * _aligned(factor, scope)
    return total


def elimination_order(
    scopes: Sequence[tuple[str, ...]], keep: Sequence[str], size: Mapping[str, int]
) -> tuple[list[str], int]:
    """Variables not in `keep` in an order that keeps tables small, and the numbers a cell then needs."""
    left = [set(scope) for scope in scopes]
    pending = {variable for scope in left for variable in scope} - set(keep)
    order: list[str] = []
    cost = 0
    while pending:
        best: tuple[int, str] | None = None
        for variable in sorted(pending):
            merged = set().union(*(scope for scope in left if variable in scope))
            weight = 1
            for other in merged:
                weight *= size[other]
            if best is None or (weight, variable) < best:
                best = (weight, variable)
        assert best is not None
        weight, variable = best
        cost += weight
        merged = set().union(*(scope for scope in left if variable in scope)) - {variable}
        left = [scope for scope in left if variable not in scope] + [merged]
        pending.discard(variable)
        order.append(variable)
    return order, cost


def eliminate(factors: Sequence[Factor], order: Sequence[str]) -> tuple[list[Step], list[Factor]]:
    """Eliminate `order` from `factors`: the steps taken and the factors left."""
    left = list(factors)
    steps = []
    for variable in order:
        held = [factor for factor in left if variable in factor.variables]
        scope = dict.fromkeys(v for factor in held for v in factor.variables if v != variable)
        values = _product(held, (*scope, variable))
        steps.append(Step(variable, tuple(scope), values))
        left = [factor for factor in left if variable not in factor.variables]
        left.append(Factor(tuple(scope), values.sum(axis=-1)))
    return steps, left


def _part(factors: Sequence[Factor], cells: slice | NDArray[np.intp]) -> list[Factor]:
    return [Factor(factor.variables, factor.values[cells]) for factor in factors]


def joint(factors: Sequence[Factor], of: tuple[str, ...], cells: int, size: Mapping[str, int]) -> Floats:
    """The joint table of the variables `of` in each cell; shape (cells, states of each)."""
    if not of:
        return np.ones((cells,))
    order, cost = elimination_order([f.variables for f in factors], of, size)
    step = max(1, BLOCK // max(cost, 1))
    blocks = []
    for start in range(0, cells, step):
        _, left = eliminate(_part(factors, slice(start, start + step)), order)
        blocks.append(_product(left, of))
    return np.concatenate(blocks)


def restrict(factors: Sequence[Factor], evidence: Mapping[str, int]) -> list[Factor]:
    """The factors with each variable of `evidence` held at its state."""
    out = []
    for variables, values in factors:
        index = tuple(evidence.get(v, slice(None)) for v in variables)
        out.append(Factor(tuple(v for v in variables if v not in evidence), values[(slice(None), *index)]))
    return out


class Posterior:
    """The ancestors of some evidence, given that evidence, ready to be drawn for people of any cell."""

    def __init__(self, factors: Sequence[Factor], evidence: Mapping[str, int], size: Mapping[str, int]) -> None:
        self.evidence = dict(evidence)
        self._factors = restrict(factors, evidence)
        self._order, cost = elimination_order([f.variables for f in self._factors], (), size)
        self._step = max(1, BLOCK // max(cost, 1))
        cells = self._factors[0].values.shape[0]
        self._kept: tuple[list[Step], ...] | None = () if cells <= self._step else None
        chance = []
        for start in range(0, cells, self._step):
            steps, left = eliminate(_part(self._factors, slice(start, start + self._step)), self._order)
            chance.append(_product(left, ()))
            if self._kept is not None:
                self._kept = (steps,)
        #: Chance of the evidence in each cell.
        self.chance: Floats = np.concatenate(chance)

    def draw(self, cells: NDArray[np.intp], rng: np.random.Generator) -> Codes:
        """Draw every ancestor for one person a cell number of `cells`; evidence nodes included."""
        uniform = rng.random((len(self._order), len(cells)))
        out: Codes = {v: np.full(len(cells), state, np.int8) for v, state in self.evidence.items()}
        out |= {v: np.zeros(len(cells), np.int8) for v in self._order}
        if self._kept:
            self._fill(self._kept[0], np.arange(len(cells)), cells, uniform, out)
            return out
        # Too large to hold for all cells: work through the cells that are asked for, a block at a time.
        asked = np.unique(cells)
        for start in range(0, len(asked), self._step):
            block = asked[start : start + self._step]
            steps, _ = eliminate(_part(self._factors, block), self._order)
            people = np.flatnonzero(np.isin(cells, block))
            self._fill(steps, people, np.searchsorted(block, cells[people]), uniform, out)
        return out

    @staticmethod
    def _fill(
        steps: list[Step], people: NDArray[np.intp], cells: NDArray[np.intp], uniform: Floats, out: Codes
    ) -> None:
        for number in range(len(steps) - 1, -1, -1):
            variable, others, values = steps[number]
            rows = values[(cells, *(out[v][people] for v in others))]
            running = np.cumsum(rows, axis=1)
            level = uniform[number, people] * running[:, -1]
            out[variable][people] = (running[:, :-1] <= level[:, None]).sum(axis=1)
