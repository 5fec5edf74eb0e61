"""The population model: the network compiled for drawing people, stored with the package, open to pgmpy."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fhirsynth.population.demography import age_weights, band_of_age
from fhirsynth.population.inference import Posterior
from fhirsynth.population.network import build_nodes, cell_factors, digest
from fhirsynth.population.nodes import OLDEST, PRESENCE, SEXES, Node, logistic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from pgmpy.models import DiscreteBayesianNetwork

    from fhirsynth.knowledge import Knowledge

    Floats = NDArray[np.float64]
    Codes = dict[str, NDArray[np.int8]]

log = logging.getLogger(__name__)

STORED = "model.npz"


class _Sampler:
    """One node's lookup: row number from the parents' codes, then a draw from the row's running totals."""

    def __init__(self, node: Node, size: Mapping[str, int]) -> None:
        self.parents = node.parents
        strides = []
        stride = 1
        for parent in reversed(node.parents):
            strides.append(stride)
            stride *= size[parent]
        self.strides = strides[::-1]
        self.intercept = self.effects = self.running = None
        if node.table is not None:
            running = np.cumsum(node.table.reshape(-1, len(node.states)), axis=1)[:, :-1]
            self.running = np.ascontiguousarray(running)
        else:
            assert node.intercept is not None
            self.intercept = node.intercept
            self.effects = [np.array(effect) for effect in node.effects]

    def draw(self, codes: Codes, uniform: Floats) -> NDArray[np.int8]:
        if self.running is not None:
            row = np.zeros(len(uniform), np.intp)
            for parent, stride in zip(self.parents, self.strides, strict=True):
                row += codes[parent].astype(np.intp) * stride
            return np.asarray((self.running[row] <= uniform[:, None]).sum(axis=1), dtype=np.int8)
        assert self.intercept is not None and self.effects is not None
        logit = self.intercept[codes["age_band"], codes["sex"]]
        for parent, effect in zip(self.parents[2:], self.effects, strict=True):
            logit = logit + effect[codes[parent]]
        return np.asarray(uniform < logistic(logit), dtype=np.int8)


class PopulationModel:
    """Who people are, as one Bayesian network over demography, habits and long-term conditions.

    Made by `build` or `load_model`. `edges` are the first ages of the bands, `bands` the band of each year.
    `states[node]` names the codes that `sample` returns; a condition's codes are 0 absent, 1 present.
    """

    def __init__(self, edges: tuple[int, ...], nodes: Iterable[Node], weights: Floats, built_from: str) -> None:
        self.edges = edges
        self.node = {node.name: node for node in nodes}
        self.digest = built_from
        self.nodes = tuple(self.node)
        self.states = {name: node.states for name, node in self.node.items()}
        self.parents = {name: node.parents for name, node in self.node.items()}
        self.conditions = tuple(name for name, node in self.node.items() if node.intercept is not None)
        self.size = {name: len(states) for name, states in self.states.items()}
        self._weights = weights
        #: Band number of each year of age.
        self.bands = band_of_age(edges)
        self._samplers = {name: _Sampler(node, self.size) for name, node in self.node.items()}
        self._posteriors: dict[tuple[tuple[str, int], ...], Posterior] = {}

    # --- drawing ---------------------------------------------------------------------------------

    def age_sex_weights(
        self,
        age: tuple[int, int] = (0, OLDEST),
        sex: str | None = None,
        evidence: Mapping[str, int] | None = None,
    ) -> Floats:
        """People (of the mid-2023 population) by year of age and sex who fit; shape (111, 2).

        Raises ValueError naming what cannot go together when nobody fits.
        """
        weights = np.zeros_like(self._weights)
        low, high = age
        columns = slice(None) if sex is None else SEXES.index(sex)
        weights[low : high + 1, columns] = self._weights[low : high + 1, columns]
        if evidence:
            chance = self.posterior(evidence).chance.reshape(len(self.edges), 2)
            weights *= chance[self.bands]
        if weights.sum() <= 0:
            held = [f"{n}={self.states[n][s]}" if n not in self.conditions else n for n, s in (evidence or {}).items()]
            who = f"aged {low} to {high}" + (f", {sex}" if sex else "")
            raise ValueError(f"nobody {who} can have {' and '.join(held) or 'these limits'} together")
        return weights

    def codes_of(self, evidence: Mapping[str, str | bool] | None = None, region: str | None = None) -> dict[str, int]:
        """Evidence by name → by state number. Raises ValueError for an unknown node or state."""
        out: dict[str, int] = {}
        given: dict[str, str | bool] = {**(evidence or {})}
        if region is not None:
            given["region"] = region
        for name, value in given.items():
            state = PRESENCE[value] if isinstance(value, bool) else value
            if name not in self.node or name in ("age_band", "sex"):
                raise ValueError(f"{name!r} is not a node that can be given (age and sex have their own limits)")
            if state not in self.states[name]:
                raise ValueError(f"{name}: {state!r} is not one of {', '.join(self.states[name])}")
            out[name] = self.states[name].index(state)
        return out

    def posterior(self, evidence: Mapping[str, int]) -> Posterior:
        """The ancestors of `evidence` given it; kept, so that every shard uses the same one."""
        key = tuple(sorted(evidence.items()))
        if key not in self._posteriors:
            factors = cell_factors(self.node, tuple(sorted(evidence)))
            self._posteriors[key] = Posterior(factors, dict(key), self.size)
        return self._posteriors[key]

    def draw_ages(self, n: int, rng: np.random.Generator, weights: Floats) -> Codes:
        """Age in years, age band and sex of `n` people in proportion to `weights` (111, 2)."""
        running = np.cumsum(weights.reshape(-1))
        place = np.searchsorted(running, rng.random(n) * running[-1], side="right")
        return self.cells_of(place // 2, (place % 2).astype(np.int8))

    def cells_of(self, age: NDArray[np.intp], sex: NDArray[np.int8]) -> Codes:
        """The codes `age` (years), `age_band` and `sex` to start people of known age and sex from."""
        return {"age": age.astype(np.int16), "age_band": self.bands[age], "sex": sex}

    def complete(
        self,
        codes: Codes,
        rng: np.random.Generator,
        evidence: Mapping[str, int] | None = None,
        until: str | None = None,
    ) -> Codes:
        """Draw every node that `codes` lacks, in place, for the people it holds; returns it.

        `evidence` must be given from the start (with nothing but age and sex in `codes`); `until` is the last
        node to draw, so that what comes after can be drawn later, given what was changed in between.
        """
        n = len(codes["age_band"])
        if evidence:
            cells = codes["age_band"].astype(np.intp) * 2 + codes["sex"]
            codes.update(self.posterior(evidence).draw(cells, rng))
        names = self.nodes[: self.nodes.index(until) + 1] if until else self.nodes
        missing = [name for name in names if name not in codes]
        uniform = rng.random((len(missing), n))
        for row, name in enumerate(missing):
            codes[name] = self._samplers[name].draw(codes, uniform[row])
        return codes

    def sample(
        self,
        n: int,
        rng: np.random.Generator,
        evidence: Mapping[str, str | bool] | None = None,
        age: tuple[int, int] = (0, OLDEST),
        sex: str | None = None,
        region: str | None = None,
    ) -> Codes:
        """Draw `n` people from the model given the evidence: node → state numbers, and `age` in years.

        `evidence`: node → state name (conditions: True or False). People are drawn exactly from the
        distribution given all of it, whatever its chance. Raises ValueError when nobody can fit.
        """
        held = self.codes_of(evidence, region)
        codes = self.draw_ages(n, rng, self.age_sex_weights(age, sex, held))
        return self.complete(codes, rng, held)

    # --- asking ----------------------------------------------------------------------------------

    def prevalence(self, condition: str) -> Floats:
        """Exact share with `condition` by age band and sex; shape (bands, 2)."""
        return self.posterior({condition: 1}).chance.reshape(len(self.edges), 2)

    def as_pgmpy(self) -> DiscreteBayesianNetwork:
        """The same network as a pgmpy model: queries, interventions, export."""
        from pgmpy.factors.discrete import TabularCPD
        from pgmpy.models import DiscreteBayesianNetwork

        network = DiscreteBayesianNetwork([(p, name) for name in self.nodes for p in self.parents[name]])
        for name, node in self.node.items():
            table = node.probabilities()
            network.add_cpds(
                TabularCPD(
                    name,
                    len(node.states),
                    table.reshape(-1, len(node.states)).T,
                    evidence=list(node.parents) or None,
                    evidence_card=[self.size[p] for p in node.parents] or None,
                    state_names={n: list(self.states[n]) for n in (name, *node.parents)},
                )
            )
        return network

    # --- keeping ---------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The model as one compressed file."""
        arrays: dict[str, NDArray[np.generic]] = {"age_weights": self._weights}
        header = []
        for name, node in self.node.items():
            values = node.table if node.table is not None else node.intercept
            assert values is not None
            arrays[name] = values
            header.append([name, node.states, node.parents, node.table is None, node.effects])
        text = json.dumps({"digest": self.digest, "edges": self.edges, "nodes": header})
        arrays["header"] = np.frombuffer(text.encode(), np.uint8)
        out = io.BytesIO()
        np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, wanted: str | None = None) -> PopulationModel | None:
        """Read a stored model; None when it was built from something other than digest `wanted`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes())
            if wanted is not None and header["digest"] != wanted:
                return None
            weights = arrays["age_weights"]
            nodes = []
            for name, states, parents, logit, effects in header["nodes"]:
                values = arrays[name]
                nodes.append(
                    Node(
                        name,
                        tuple(states),
                        tuple(parents),
                        None if logit else values,
                        values if logit else None,
                        tuple(tuple(e) for e in effects),
                    )
                )
        return cls(tuple(header["edges"]), nodes, weights, header["digest"])


def build(knowledge: Knowledge) -> PopulationModel:
    """Build the model from the knowledge files. Takes seconds to minutes; progress goes to the log."""
    edges, nodes = build_nodes(knowledge)
    return PopulationModel(edges, nodes, age_weights(knowledge), digest(knowledge))


def load_model(knowledge: Knowledge) -> PopulationModel:
    """The model of these knowledge files: the one shipped, the one cached, or else one built and cached."""
    wanted = digest(knowledge)
    shipped = files("fhirsynth.population").joinpath(STORED)
    if shipped.is_file():
        model = PopulationModel.from_bytes(shipped.read_bytes(), wanted)
        if model is not None:
            return model
    cached = cache_folder() / f"model-{wanted[:24]}.npz"
    try:
        model = PopulationModel.from_bytes(cached.read_bytes(), wanted)
        if model is not None:
            return model
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError) as error:
        log.warning("the cached population model %s cannot be read (%s): building it again", cached, error)
    log.info("knowledge differs from the stored population model: building it, which happens once")
    model = build(knowledge)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        part = cached.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(model.to_bytes())
        part.replace(cached)
    except OSError as error:
        log.warning("the population model could not be kept in %s: %s", cached, error)
    return model


def cache_folder() -> Path:
    """Where this user's built models are kept, as the platform wants it."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "fhirsynth"
