"""The model on the CPU through ONNX Runtime: a folder with `model.onnx` (see `exporting`) and its tokens.

The weights alone are quantised, and every row is computed as if it were alone: the logits of a prompt are the same to
the last bit in a batch of any size, with any padding and any number of threads. (Another processor may round another
way.) Keys and values of a batch lie in arrays that ONNX Runtime reads and writes in place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhirsynth.errors import InputError
from fhirsynth.letters.lm.decoding import Floats
from fhirsynth.letters.lm.rules import Ints, moved
from fhirsynth.letters.lm.tokens import Tokens, card
from fhirsynth.letters.lm.vocabulary import Vocabulary

#: Names of the files in a model's folder: the graph, and the weights where they are not in it (see `packing`).
MODEL, WEIGHTS = "model.onnx", "model.safetensors"
#: Prompts read at once: few enough that what is computed stays in the processor's cache.
_READ = 8


class OnnxModel:
    """A `Causal` of `decoding`. `threads`: those of one product; the words are the same with any number."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        """Load a folder. Raises InputError where the extra, the file or its tokens are missing, or it is damaged."""
        written = _read(folder / MODEL)
        self._session = _session(folder / MODEL, written, threads)
        if card(folder).get("bits"):
            written = _read(folder / WEIGHTS)  # what tells it from others, with whichever engine
        self.tokens = Tokens.load(folder)
        about = self._about(folder / MODEL)
        self.context, self._layers = int(about["context"]), int(about["layers"])
        self._cache = int(about["shared_heads"]), int(about["head"])
        width = self._session.get_outputs()[0].shape[1]
        if len(self.tokens) > width:
            raise InputError(f"{folder}: {len(self.tokens)} tokens, but {MODEL} knows {width}; they are of two models")
        self.vocabulary = own_vocabulary(self.tokens, width)
        self._width = width
        self._identity = {
            "model": str(card(folder).get("name", folder.name)),
            "revision": hashlib.sha256(written).hexdigest()[:12],
            "engine": "onnx",
        }

    def identity(self) -> dict[str, Any]:
        """Its name, the first characters of the file's SHA-256, and the engine."""
        return dict(self._identity)

    def prompt(self, brief: str) -> list[int]:
        """A brief's line as tokens."""
        return self.tokens.prompt(brief)

    def text(self, tokens: Sequence[int]) -> str:
        """The answer that tokens stand for."""
        return self.tokens.text(tokens)

    def begin(self, rows: int) -> _Batch:
        """A batch without a row, with room for so many."""
        return _Batch(self, rows)

    def _run(self, given: Mapping[str, NDArray[Any]], caches: Sequence[NDArray[np.float32]]) -> Floats:
        """One pass of the model: takes ids, last, seen, total; the caches are added to in place."""
        logits = np.empty((len(given["ids"]), self._width), dtype=np.float32)
        binding = self._session.io_binding()
        for name, array in given.items():
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for number, cache in enumerate(caches):
            name = f"{'values' if number % 2 else 'keys'}.{number // 2}"
            binding.bind_input(name, "cpu", 0, np.float32, cache.shape, cache.ctypes.data)
            binding.bind_output(f"new_{name}", "cpu", 0, np.float32, cache.shape, cache.ctypes.data)
        binding.bind_output("logits", "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
        self._session.run_with_iobinding(binding)
        return logits

    def caches(self, rows: int) -> list[NDArray[np.float32]]:
        """Empty caches: keys and values of each layer in turn, [rows, shared heads, context, head size].

        Memory is taken for what is written there alone.
        """
        heads, head = self._cache
        return [np.zeros((rows, heads, self.context, head), dtype=np.float32) for _ in range(2 * self._layers)]

    def _about(self, file: Path) -> Mapping[str, str]:
        about: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        if not {"context", "layers", "shared_heads", "head"} <= about.keys():
            raise InputError(f"{file} was not written by fhirsynth: make it with scripts/export_letters_model.py")
        return about


class _Batch:
    """Answers under way: the caches, and how many tokens of each row they hold."""

    def __init__(self, model: OnnxModel, rows: int) -> None:
        self._model = model
        self._lengths = np.empty(0, dtype=np.int32)
        self._caches = model.caches(rows)

    def add(self, prompts: Sequence[Sequence[int]]) -> Floats:
        """Read the prompts of further rows, some at a time."""
        first = len(self._lengths)
        added = np.array([len(prompt) for prompt in prompts], dtype=np.int32)
        self._lengths = np.concatenate([self._lengths, added])
        parts = (prompts[at : at + _READ] for at in range(0, len(prompts), _READ))
        return np.concatenate([self._read(part, first + _READ * number) for number, part in enumerate(parts)])

    def _read(self, prompts: Sequence[Sequence[int]], at: int) -> Floats:
        """Read the prompts of the rows from `at` on; returns the logits behind them."""
        rows = slice(at, at + len(prompts))
        lengths = self._lengths[rows]
        ids = np.zeros((len(prompts), int(lengths.max())), dtype=np.int64)
        for row, prompt in zip(ids, prompts, strict=True):
            row[: len(prompt)] = prompt
        last = (lengths - 1).astype(np.int64)[:, None]
        return self._pass(ids, last, np.ascontiguousarray(lengths - 1), ids.shape[1], rows)

    def step(self, tokens: Ints) -> Floats:
        """Take the next token of each row."""
        seen = self._lengths.copy()
        self._lengths += 1
        ids = np.ascontiguousarray(tokens, dtype=np.int64)[:, None]
        return self._pass(ids, np.zeros_like(ids), seen, int(self._lengths.max()), slice(0, len(tokens)))

    def forget(self, counts: Ints) -> None:
        """Forget the last tokens of each row: what the caches hold of them is written over."""
        self._lengths -= counts.astype(np.int32)

    def keep(self, rows: Ints) -> None:
        """Go on with these rows: those that move are copied, the others stay where they are."""
        for row in moved(rows).tolist():
            length = self._lengths[rows[row]]
            for cache in self._caches:
                cache[row, :, :length] = cache[rows[row], :, :length]
        self._lengths = np.ascontiguousarray(self._lengths[rows])

    def _pass(self, ids: Ints, last: Ints, seen: NDArray[np.int32], total: int, rows: slice) -> Floats:
        given: dict[str, NDArray[Any]] = {
            "ids": ids,
            "last": last,
            "seen": seen,
            "total": np.array(total, dtype=np.int32),
        }
        return self._model._run(given, [cache[rows] for cache in self._caches])


def own_vocabulary(tokens: Tokens, size: int) -> Vocabulary:
    """What the tokens of our own tokenizer may do."""
    surfaces = list(tokens.vocabulary)
    surfaces[tokens.paragraph] = "\n\n"
    return Vocabulary(surfaces, tokens.end, size)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no {file}: expected a model written by scripts/export_letters_model.py") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None


def _session(file: Path, written: bytes, threads: int) -> Any:
    try:
        import onnxruntime
        import tokenizers  # noqa: F401
    except ImportError:
        raise InputError(
            "letters by the language model need onnxruntime and tokenizers: pip install 'fhirsynth[letters]', or use "
            "--writer phrasebook"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # where weights lie that are not in the file
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(file.parent))
    try:
        return onnxruntime.InferenceSession(written, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base but this
        raise InputError(f"{file} is damaged: {str(error).splitlines()[0]}") from None
