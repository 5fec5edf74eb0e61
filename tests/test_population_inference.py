"""Elimination and draws on small random networks against the full joint table."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirsynth.population import inference
from fhirsynth.population.inference import Factor, Posterior, elimination_order, joint


@st.composite
def networks(draw):
    """Factors of a random directed graph of three to five nodes in two cells."""
    n = draw(st.integers(3, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = {f"v{i}": int(rng.integers(2, 4)) for i in range(n)}
    factors = []
    for i in range(n):
        parents = [f"v{j}" for j in range(i) if rng.random() < 0.6]
        shape = (2, *(size[p] for p in parents), size[f"v{i}"])
        table = rng.random(shape) + 0.01
        factors.append(Factor((*parents, f"v{i}"), table / table.sum(axis=-1, keepdims=True)))
    return factors, size


def full(factors, size):
    names = tuple(size)
    total = np.ones((2, *size.values()))
    for variables, values in factors:
        order = sorted(range(len(variables)), key=lambda i: names.index(variables[i]))
        moved = values.transpose(0, *(1 + i for i in order))
        total = total * moved.reshape(2, *(size[v] if v in variables else 1 for v in names))
    return total


@settings(max_examples=40, deadline=None)
@given(networks(), st.data())
def test_joint_of_any_variables_is_the_sum_over_the_others(network, data):
    factors, size = network
    wanted = tuple(data.draw(st.lists(st.sampled_from(sorted(size)), min_size=1, unique=True)))
    table = full(factors, size)
    names = list(size)
    others = tuple(1 + names.index(v) for v in names if v not in wanted)
    left = [v for v in names if v in wanted]
    expected = table.sum(axis=others).transpose(0, *(1 + left.index(v) for v in wanted))
    np.testing.assert_allclose(joint(factors, wanted, 2, size), expected, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(networks(), st.data())
def test_draws_follow_the_joint_given_evidence(network, data):
    factors, size = network
    held = data.draw(st.sampled_from(sorted(size)))
    state = data.draw(st.integers(0, size[held] - 1))
    posterior = Posterior(factors, {held: state}, size)
    table = np.take(full(factors, size), state, axis=1 + list(size).index(held))
    np.testing.assert_allclose(posterior.chance, table.reshape(2, -1).sum(axis=1), atol=1e-12)
    n = 30_000
    cells = np.repeat([0, 1], n)
    drawn = posterior.draw(cells, np.random.default_rng(1))
    free = [v for v in size if v != held]
    flat = np.ravel_multi_index([drawn[v] for v in free], [size[v] for v in free])
    for cell in (0, 1):
        expected = table[cell].reshape(-1) / table[cell].sum()
        found = np.bincount(flat[cells == cell], minlength=len(expected)) / n
        assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected / n) + 5 / n)
    assert (drawn[held] == state).all()


def test_working_in_blocks_changes_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    first = rng.random((12, 3))
    second = rng.random((12, 3, 2))
    factors = [
        Factor(("a",), first / first.sum(axis=-1, keepdims=True)),
        Factor(("a", "b"), second / second.sum(axis=-1, keepdims=True)),
    ]
    size = {"a": 3, "b": 2}
    cells = rng.integers(0, 12, 200)
    whole = Posterior(factors, {"b": 1}, size)
    kept = whole.draw(cells, np.random.default_rng(7))
    monkeypatch.setattr(inference, "BLOCK", 8)
    parts = Posterior(factors, {"b": 1}, size)
    np.testing.assert_array_equal(parts.chance, whole.chance)
    np.testing.assert_array_equal(parts.draw(cells, np.random.default_rng(7))["a"], kept["a"])


def test_a_chain_is_eliminated_from_its_ends():
    order, cost = elimination_order([("a",), ("a", "b"), ("b", "c"), ("c", "d")], ("d",), dict.fromkeys("abcd", 2))
    assert set(order) == {"a", "b", "c"} and cost == 12
