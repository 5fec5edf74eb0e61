"""A model's folder as it is shipped: weights of 8 (or 4) bits in one file of safetensors, which both engines read.

`model.safetensors` holds the whole numbers and scales that `exporting` makes of each matrix, and the norms as they are.
`model.onnx` is the graph alone: its weights are places in that file. For torch the matrices are made whole again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fhirsynth.errors import InputError, OutputError
from fhirsynth.letters.lm.exporting import BLOCK, Array, Shape, graph, shape, weights
from fhirsynth.letters.lm.onnx_model import MODEL, WEIGHTS
from fhirsynth.letters.lm.tokens import CARD, card
from fhirsynth.letters.lm.tokens import FILE as TOKENS
from fhirsynth.letters.lm.wording import FILE as WORDING

if TYPE_CHECKING:
    import onnx

#: What was learnt; the rest of what a graph holds is constant.
_LEARNT = (".weight", ".numbers", ".scales")


def pack(folder: Path, to: Path, bits: int = 8) -> Path:
    """Write the model of a folder of transformers as a folder to ship. Same weights, same bytes.

    Raises InputError where the folder holds no Llama that can be written so, or `to` is not empty, OutputError where
    it cannot be written.
    """
    if bits not in (4, 8):
        raise InputError(f"weights to ship have 8 or 4 bits, asked for are {bits}")
    if to.exists() and any(to.iterdir()):
        raise InputError(f"{to} is not empty: choose another folder for the model")
    from safetensors.numpy import save

    made = graph(shape(folder), weights(folder), bits)
    arrays = _taken_out(made)
    written = save(arrays, {"format": "np"})
    _point(made, written)
    about = {**card(folder), "revision": hashlib.sha256(written).hexdigest()[:12], "bits": bits}
    temporary = to.with_name(f".{to.name}.part")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        (temporary / WEIGHTS).write_bytes(written)
        (temporary / MODEL).write_bytes(made.SerializeToString(deterministic=True))
        (temporary / CARD).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        for name in ("config.json", TOKENS, WORDING):
            if (folder / name).exists():
                shutil.copyfile(folder / name, temporary / name)
        if to.exists():
            to.rmdir()
        temporary.replace(to)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise OutputError(f"{to} cannot be written: {error.strerror or error}") from None
    return to


def unpacked(folder: Path) -> dict[str, Array]:
    """The weights of a packed folder as float32, by the names of transformers. Raises InputError for a damaged one."""
    of, file = shape(folder), folder / WEIGHTS
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(file.read_bytes())
        return dict(_whole(of, found))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{file} is damaged: {error}") from None


def _whole(of: Shape, found: dict[str, Array]) -> Iterator[tuple[str, Array]]:
    def matrix(name: str, width: int) -> Array:
        numbers, scales = found[f"{name}.numbers"], found[f"{name}.scales"]
        few = numbers.shape[2] * 2 == BLOCK  # two of 4 bits in a byte
        if few:
            numbers = np.stack([numbers & 15, numbers >> 4], axis=3).reshape(*numbers.shape[:2], BLOCK)
        middle = 8 if few else 128
        return ((numbers.astype(np.float32) - middle) * scales[:, :, None]).reshape(-1, width)

    own, shared = of.heads * of.head, of.shared_heads * of.head
    if of.tied:
        yield "model.embed_tokens.weight", matrix("head", of.width)
    else:
        yield "model.embed_tokens.weight", matrix("tokens", of.width)
        yield "lm_head.weight", matrix("head", of.width)
    yield "model.norm.weight", found["model.norm.weight"]
    for layer in range(of.layers):
        name = f"model.layers.{layer}"
        joined = matrix(f"qkv.{layer}", of.width)
        for part, rows in zip("qkv", np.split(joined, [own, own + shared]), strict=True):
            yield f"{name}.self_attn.{part}_proj.weight", rows
        yield f"{name}.self_attn.o_proj.weight", matrix(f"out.{layer}", own)
        for part, width in (("gate", of.width), ("up", of.width), ("down", of.hidden)):
            yield f"{name}.mlp.{part}_proj.weight", matrix(f"{part}.{layer}", width)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{name}.{norm}.weight", found[f"{name}.{norm}.weight"]


def _taken_out(made: onnx.ModelProto) -> dict[str, Array]:
    """The weights of a graph that go into the other file, by name."""
    from onnx import numpy_helper

    learnt = [tensor for tensor in made.graph.initializer if tensor.name.endswith(_LEARNT)]
    return {tensor.name: np.asarray(numpy_helper.to_array(tensor)) for tensor in learnt}


def _point(made: onnx.ModelProto, written: bytes) -> None:
    """Let the weights of a graph be places in a file of safetensors: eight bytes of length, a table, the numbers."""
    from onnx import TensorProto

    length = int.from_bytes(written[:8], "little")
    table = json.loads(written[8 : 8 + length])
    for tensor in made.graph.initializer:
        if tensor.name not in table:
            continue
        start, end = table[tensor.name]["data_offsets"]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS), ("offset", 8 + length + start), ("length", end - start)):
            tensor.external_data.add(key=key, value=str(value))
