"""What a model of transformers remembers of answers that go forward and back, each at its own pace.

Its own cache copies all that it holds with each token, and what an answer takes back stays in it as a hole. Here every
answer writes over what it has forgotten, in arrays that grow by blocks, as those of `onnx_model` do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from fhirsynth.errors import InputError
from fhirsynth.letters.lm.rules import Ints

#: Columns that the arrays grow by.
_BLOCK = 64


class Columns:
    """Where tokens stand: prompts end together at column `read`, with blanks before them, and each answer goes on from
    there."""

    def __init__(self, lengths: Ints) -> None:
        """`lengths` of the prompts [rows]."""
        #: Columns that are in use, and those that were before the tokens which are being read.
        self.end, self.seen = int(lengths.max()), 0
        self.lengths = lengths
        self._blanks = self.end - lengths

    def step(self) -> None:
        """Make room for the next token of each row."""
        self.lengths = self.lengths + 1
        self.end = int((self._blanks + self.lengths).max())
        self.seen = self.end - 1

    def forget(self, counts: Ints) -> None:
        """Let the last tokens of each row be written over."""
        self.lengths = self.lengths - counts

    def keep(self, rows: Ints) -> None:
        """Go on with these rows."""
        self.lengths, self._blanks = self.lengths[rows], self._blanks[rows]
        self.end = int((self._blanks + self.lengths).max())

    @property
    def last(self) -> Ints:
        """The column of each row's last token [rows]."""
        return self._blanks + self.lengths - 1

    @property
    def mask(self) -> Ints:
        """1 for what each row sees [rows, end]."""
        column = np.arange(self.end)
        return ((column >= self._blanks[:, None]) & (column <= self.last[:, None])).astype(np.int64)


class _Layer(DynamicLayer):
    """The keys and values of one layer: arrays [rows, shared heads, columns, head size] with some columns to spare."""

    keys: Any
    values: Any

    def __init__(self, columns: Columns) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._columns = columns

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        """Begin with empty arrays."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        self.is_initialized = True

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Take in the keys and values of a prompt, or of the next token of each row; returns all that there are."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        columns = self._columns
        self.keys, self.values = _roomy(self.keys, columns.end), _roomy(self.values, columns.end)
        if columns.seen:
            rows = torch.arange(len(key_states), device=self.device)
            last = torch.from_numpy(columns.last).to(self.device)
            self.keys[rows, :, last] = key_states[:, :, 0]
            self.values[rows, :, last] = value_states[:, :, 0]
        else:
            self.keys[:, :, : columns.end] = key_states
            self.values[:, :, : columns.end] = value_states
        return self.keys[:, :, : columns.end], self.values[:, :, : columns.end]

    def get_seq_length(self) -> int:
        """The columns before those that are being read; the masks of transformers ask for it."""
        return self._columns.seen

    def keep(self, rows: Ints) -> None:
        """Go on with these rows: those that move are copied, the others stay where they are."""
        end = self._columns.end
        for place in np.flatnonzero(rows != np.arange(len(rows))).tolist():
            self.keys[place, :, :end] = self.keys[rows[place], :, :end]
            self.values[place, :, :end] = self.values[rows[place], :, :end]
        self.keys, self.values = self.keys[: len(rows)], self.values[: len(rows)]


class Memory(Cache):
    """The cache of a batch whose tokens stand in some columns."""

    def __init__(self, config: Any, columns: Columns) -> None:
        """Nothing yet. Raises InputError for a model that remembers otherwise than by keys and values."""
        usual = DynamicCache(config=config).layers
        if any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in usual):
            raise InputError(
                f"a model of the kind {config.model_type} cannot take words back: use one with attention only"
            )
        self._kept = [_Layer(columns) for _ in usual]
        super().__init__(layers=list(self._kept))

    @torch.inference_mode()
    def keep(self, rows: Ints) -> None:
        """Go on with these rows; to be called before the columns are."""
        for layer in self._kept:
            layer.keep(rows)


def _roomy(array: Any, columns: int) -> Any:
    """An array with at least so many columns; what is new in it is nought, which a mask can hide."""
    lacking = columns - array.shape[2]
    if lacking <= 0:
        return array
    return torch.cat([array, array.new_zeros((*array.shape[:2], lacking + _BLOCK, array.shape[3]))], dim=2)
