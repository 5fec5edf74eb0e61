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
from fhirsynth.letters.lm.rules import Ints, moved

#: Columns that the arrays grow by.
_BLOCK = 64


class Columns:
    """Where the tokens of each row stand: prompts that are read together end at one column, with blanks before them,
    and each answer goes on from there."""

    def __init__(self, rows: int) -> None:
        """`rows`: the most that there will be."""
        self.most = rows
        #: What is being read: rows, and the columns that they have then and had before.
        self.rows, self.end, self.seen = slice(0, 0), 0, 0
        #: Tokens of each row [rows].
        self.lengths = np.empty(0, dtype=np.int64)
        self._blanks = np.empty(0, dtype=np.int64)

    def add(self, lengths: Ints) -> None:
        """Make room for the prompts of further rows."""
        first = len(self.lengths)
        self.rows, self.end, self.seen = slice(first, first + len(lengths)), int(lengths.max()), 0
        self.lengths = np.concatenate([self.lengths, lengths])
        self._blanks = np.concatenate([self._blanks, self.end - lengths])

    def step(self) -> None:
        """Make room for the next token of each row."""
        self.lengths = self.lengths + 1
        self.rows, self.end = slice(0, len(self.lengths)), int((self._blanks + self.lengths).max())
        self.seen = self.end - 1

    def forget(self, counts: Ints) -> None:
        """Let the last tokens of each row be written over."""
        self.lengths = self.lengths - counts

    def keep(self, rows: Ints) -> None:
        """Go on with these rows."""
        self.lengths, self._blanks = self.lengths[rows], self._blanks[rows]

    @property
    def last(self) -> Ints:
        """The column of the last token of each row that is being read."""
        return (self._blanks + self.lengths)[self.rows] - 1

    @property
    def mask(self) -> Ints:
        """1 for what each row that is being read sees [rows, end]."""
        column = np.arange(self.end)
        return ((column >= self._blanks[self.rows, None]) & (column <= self.last[:, None])).astype(np.int64)


class _Layer(DynamicLayer):
    """The keys and values of one layer: arrays [most rows, shared heads, columns and some to spare, head size]."""

    keys: Any
    values: Any

    def __init__(self, columns: Columns) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._columns = columns

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        """Begin with empty arrays."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = (
            states.new_zeros((self._columns.most, states.shape[1], 0, states.shape[3]))
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Take in the keys and values of prompts, or of the next token of each row; returns all that there are."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, end = self._columns.rows, self._columns.end
        self.keys, self.values = _roomy(self.keys, end), _roomy(self.values, end)
        if self._columns.seen:
            row = torch.arange(len(key_states), device=self.device)
            last = torch.from_numpy(self._columns.last).to(self.device)
            self.keys[row, :, last] = key_states[:, :, 0]
            self.values[row, :, last] = value_states[:, :, 0]
        else:
            self.keys[rows, :, :end] = key_states
            self.values[rows, :, :end] = value_states
        return self.keys[rows, :, :end], self.values[rows, :, :end]

    def get_seq_length(self) -> int:
        """The columns before those that are being read; the masks of transformers ask for it."""
        return self._columns.seen

    def move(self, row: int, to: int) -> None:
        """Let a row stand where another stood."""
        self.keys[to] = self.keys[row]
        self.values[to] = self.values[row]


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
        """Go on with these rows: those that move are copied, the others stay where they are."""
        for place in moved(rows).tolist():
            for layer in self._kept:
                layer.move(int(rows[place]), place)


def _roomy(array: Any, columns: int) -> Any:
    """An array with at least so many columns; what is new in it is nought, which a mask can hide."""
    lacking = columns - array.shape[2]
    if lacking <= 0:
        return array
    return torch.cat([array, array.new_zeros((*array.shape[:2], lacking + _BLOCK, array.shape[3]))], dim=2)
