"""From the weights of a small Llama to one ONNX file for the CPU, whole or with its weights in 8 or 4 bits.

The graph is built here, operator by operator, so that nothing of torch is needed and it is the one that ONNX Runtime
runs fastest: grouped attention with rotary positions and a key-value cache, and products whose weights alone are
quantised, block by block. The table of the tokens is held once, for reading tokens and for telling the next one.

Inputs: `ids` [rows, length] int64, `last` [rows, 1] int64 (place of the last token of each row), `seen` [rows] int32
(tokens of the row with these, less one), `total` [] int32 (the most of them), `keys.<layer>`, `values.<layer>` [rows,
shared heads, cached, head size] float32. Outputs: `logits` [rows, vocabulary] float32 and the caches
`new_keys.<layer>`, `new_values.<layer>`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fhirsynth.errors import InputError, OutputError
from fhirsynth.letters.lm.onnx_model import WEIGHTS

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]

#: Numbers of one row that share a scale; a multiple of 16, and a divisor of the widths.
BLOCK = 32
#: Opset of ONNX, and the version of the file's format: old enough for every ONNX Runtime of the last two years.
_OPSET, _FORMAT = 21, 10
#: Activations are brought to 8 bits for a product, row by row: integer arithmetic, several times as fast.
_IN_8_BITS = 4


class Shape(NamedTuple):
    """What the graph needs to know of a Llama, from its config.json."""

    vocabulary: int
    width: int
    hidden: int
    layers: int
    heads: int
    shared_heads: int
    head: int
    context: int
    epsilon: float
    theta: float
    tied: bool


def export(folder: Path, to: Path, bits: int = 8) -> str:
    """Write the model of a folder of transformers as an ONNX file, its weights in 8, 4 or (whole) 32 bits.

    Returns the revision: the first characters of the SHA-256 of what was written. Raises InputError where the folder
    holds no Llama that can be written so, OutputError where the file cannot be written.
    """
    if bits not in (4, 8, 32):
        raise InputError(f"weights can have 4, 8 or 32 bits, asked for are {bits}")
    written: bytes = graph(shape(folder), weights(folder), bits).SerializeToString(deterministic=True)
    temporary = to.with_name(f".{to.name}.part")
    try:
        temporary.write_bytes(written)
        temporary.replace(to)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{to} cannot be written: {error.strerror or error}") from None
    return hashlib.sha256(written).hexdigest()[:12]


def shape(folder: Path) -> Shape:
    """The shape of the model in a folder. Raises InputError where it is no plain Llama."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        kind = config["model_type"]
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        heads = int(config["num_attention_heads"])
        found = Shape(
            vocabulary=int(config["vocab_size"]),
            width=int(config["hidden_size"]),
            hidden=int(config["intermediate_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            shared_heads=int(config.get("num_key_value_heads") or heads),
            head=int(config.get("head_dim") or config["hidden_size"] // heads),
            context=int(config["max_position_embeddings"]),
            epsilon=float(config["rms_norm_eps"]),
            theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}; expected a model's folder") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} is no configuration of a Llama: {error!r}") from None
    plain = rope.get("rope_type", rope.get("type", "default")) in ("default", None)
    if kind != "llama" or config.get("attention_bias") or config.get("mlp_bias") or not plain:
        raise InputError(f"{file}: only a plain Llama can be written as ONNX, this is {kind!r}; use it through torch")
    if config.get("hidden_act", "silu") != "silu":
        raise InputError(f"{file}: expected the activation 'silu', found {config['hidden_act']!r}")
    return found


def weights(folder: Path) -> dict[str, Array]:
    """The weights of a folder as float32, by name. Raises InputError where the file is missing or damaged."""
    file = folder / WEIGHTS
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ImportError:
        raise InputError("writing a model as ONNX needs safetensors: pip install 'fhirsynth[train]'") from None
    try:
        return {name: np.ascontiguousarray(array, np.float32) for name, array in load(file.read_bytes()).items()}
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is damaged: {error}") from None


def graph(of: Shape, named: dict[str, Array], bits: int) -> onnx.ModelProto:
    """The model as a graph. Raises InputError where the weights are not those of the shape."""
    try:
        from onnx import TensorProto, helper
    except ImportError:
        raise InputError("writing a model as ONNX needs onnx: pip install 'fhirsynth[train]'") from None

    making = _Graph(of, named, bits)
    making.build()
    number, whole, small = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32
    info = helper.make_tensor_value_info
    cache: list[str | int] = ["rows", of.shared_heads, "cached", of.head]
    inputs = [
        info("ids", whole, ["rows", "length"]),
        info("last", whole, ["rows", 1]),
        info("seen", small, ["rows"]),
        info("total", small, []),
    ]
    outputs = [info("logits", number, ["rows", of.vocabulary])]
    for layer in range(of.layers):
        inputs += [info(f"{what}.{layer}", number, cache) for what in ("keys", "values")]
        outputs += [
            info(f"new_{what}.{layer}", number, ["rows", of.shared_heads, "then", of.head])
            for what in ("keys", "values")
        ]
    made = helper.make_graph(making.nodes, "letters", inputs, outputs, making.initializers)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(made, opset_imports=opsets, producer_name="fhirsynth", ir_version=_FORMAT)
    helper.set_model_props(
        model,
        {
            "context": str(of.context),
            "layers": str(of.layers),
            "shared_heads": str(of.shared_heads),
            "head": str(of.head),
            "bits": str(bits),
        },
    )
    return model


def quantised(matrix: Array, bits: int) -> tuple[Array, Array]:
    """A matrix [out, in] in blocks: whole numbers [out, blocks, bytes] uint8 and scales [out, blocks] float32.

    A number n stands for (n - 2^(bits-1)) * scale; two of 4 bits share a byte, the first in its lower half.
    """
    rows, columns = matrix.shape
    middle = 1 << (bits - 1)
    blocks = matrix.reshape(rows, columns // BLOCK, BLOCK)
    scales = np.abs(blocks).max(axis=2) / (middle - 1)
    scales[scales == 0] = 1.0
    numbers = np.rint(blocks / scales[:, :, None]).clip(1 - middle, middle - 1) + middle
    packed = numbers.astype(np.uint8)
    if bits == 4:
        packed = packed[:, :, ::2] | (packed[:, :, 1::2] << 4)
    return packed, scales.astype(np.float32)


class _Graph:
    """Nodes and weights while the graph is put together. A method returns the name of what it computes."""

    def __init__(self, of: Shape, named: dict[str, Array], bits: int) -> None:
        from onnx import helper, numpy_helper

        self._node, self._tensor = helper.make_node, numpy_helper.from_array
        self.of, self.named, self.bits = of, named, bits
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def build(self) -> None:
        """The whole model."""
        of = self.of
        self._rotations()
        table = self._weight("model.embed_tokens.weight", of.vocabulary, of.width)
        head = table if of.tied else self._weight("lm_head.weight", of.vocabulary, of.width)
        # 4 bits are too few for the table of the tokens: rare ones are told apart by little
        bits = max(self.bits, 8)
        self._matrix("head", head, bits)
        if of.tied:
            stream = self._embedded("head", bits)
        else:
            self._matrix("tokens", table, bits)
            stream = self._embedded("tokens", bits)
        normed = self._op(
            "SimplifiedLayerNormalization",
            [stream, self._norm("model.layers.0.input_layernorm.weight")],
            "start",
            epsilon=of.epsilon,
            axis=-1,
            stash_type=1,
        )
        for layer in range(of.layers):
            name = f"model.layers.{layer}"
            normed, stream = self._added(
                self._attention(layer, normed), stream, f"{name}.post_attention_layernorm.weight"
            )
            behind = f"model.layers.{layer + 1}.input_layernorm" if layer + 1 < of.layers else "model.norm"
            normed, stream = self._added(self._feed_forward(layer, normed), stream, f"{behind}.weight")
        ends = self._op("GatherND", [normed, "last"], "ends", batch_dims=1)
        self._product(ends, "head", bits, of.vocabulary, of.width, "logits")

    def _rotations(self) -> None:
        """Cosines and sines of every position, as float32 of angles in double precision."""
        of = self.of
        angles = np.outer(np.arange(of.context), of.theta ** (-np.arange(0, of.head, 2) / of.head))
        self._constant("cosines", np.cos(angles).astype(np.float32))
        self._constant("sines", np.sin(angles).astype(np.float32))

    def _attention(self, layer: int, entering: str) -> str:
        of, name = self.of, f"model.layers.{layer}.self_attn"
        own, shared = of.heads * of.head, of.shared_heads * of.head
        joined = np.concatenate(
            [
                self._weight(f"{name}.q_proj.weight", own, of.width),
                self._weight(f"{name}.k_proj.weight", shared, of.width),
                self._weight(f"{name}.v_proj.weight", shared, of.width),
            ]
        )
        self._matrix(f"qkv.{layer}", joined, self.bits)
        asked = self._product(entering, f"qkv.{layer}", self.bits, own + 2 * shared, of.width)
        out = f"attended.{layer}"
        caches = [f"keys.{layer}", f"values.{layer}"]
        self.nodes.append(
            self._node(
                "GroupQueryAttention",
                [asked, "", "", *caches, "seen", "total", "cosines", "sines"],
                [out, *(f"new_{cache}" for cache in caches)],
                domain="com.microsoft",
                num_heads=of.heads,
                kv_num_heads=of.shared_heads,
                do_rotary=1,
                rotary_interleaved=0,
            )
        )
        self._matrix(f"out.{layer}", self._weight(f"{name}.o_proj.weight", of.width, own), self.bits)
        return self._product(out, f"out.{layer}", self.bits, of.width, own)

    def _feed_forward(self, layer: int, entering: str) -> str:
        of, name = self.of, f"model.layers.{layer}.mlp"
        for part in ("gate", "up"):
            self._matrix(f"{part}.{layer}", self._weight(f"{name}.{part}_proj.weight", of.hidden, of.width), self.bits)
        gate = self._product(entering, f"gate.{layer}", self.bits, of.hidden, of.width)
        up = self._product(entering, f"up.{layer}", self.bits, of.hidden, of.width)
        # x times its logistic function
        opened = self._op("QuickGelu", [gate], f"opened.{layer}", domain="com.microsoft", alpha=1.0)
        through = self._op("Mul", [opened, up], f"through.{layer}")
        self._matrix(f"down.{layer}", self._weight(f"{name}.down_proj.weight", of.width, of.hidden), self.bits)
        return self._product(through, f"down.{layer}", self.bits, of.width, of.hidden)

    def _added(self, new: str, stream: str, norm: str) -> tuple[str, str]:
        """What a layer found, added to the stream; and that sum brought to the next part's scale."""
        normed, summed = f"{norm}:normed", f"{norm}:summed"
        self.nodes.append(
            self._node(
                "SkipSimplifiedLayerNormalization",
                [new, stream, self._norm(norm)],
                [normed, "", "", summed],
                domain="com.microsoft",
                epsilon=self.of.epsilon,
            )
        )
        return normed, summed

    def _embedded(self, name: str, bits: int) -> str:
        """The rows of the tokens' table, [rows, length, width]."""
        if bits == 32:
            rows = self._op("Transpose", [f"{name}.table"], f"{name}.rows", perm=[1, 0])
            return self._op("Gather", [rows, "ids"], "embedded", axis=0)
        from onnx import TensorProto

        picked = self._op("Gather", [f"{name}.numbers", "ids"], "picked", axis=0)
        floating = self._op("Cast", [picked], "picked.float", to=TensorProto.FLOAT)
        centred = self._op("Sub", [floating, self._constant("middle", np.float32(1 << (bits - 1)))], "picked.centred")
        scales = self._op("Gather", [f"{name}.scales", "ids"], "picked.scales", axis=0)
        wide = self._op("Unsqueeze", [scales, self._constant("behind", np.array([-1]))], "picked.wide")
        scaled = self._op("Mul", [centred, wide], "picked.scaled")
        back = self._constant("flat", np.array([0, 0, self.of.width]))
        return self._op("Reshape", [scaled, back], "embedded")

    # ---- products

    def _matrix(self, name: str, matrix: Array, bits: int) -> None:
        """Put a matrix [out, in] in: whole numbers with scales, or (32 bits) as it is, turned round."""
        if bits == 32:
            self._constant(f"{name}.table", np.ascontiguousarray(matrix.T))
        else:
            numbers, scales = quantised(matrix, bits)
            self._constant(f"{name}.numbers", numbers)
            self._constant(f"{name}.scales", scales)

    def _product(self, entering: str, name: str, bits: int, out: int, width: int, called: str = "") -> str:
        called = called or f"{name}:product"
        if bits == 32:
            return self._op("MatMul", [entering, f"{name}.table"], called)
        return self._op(
            "MatMulNBits",
            [entering, f"{name}.numbers", f"{name}.scales"],
            called,
            domain="com.microsoft",
            N=out,
            K=width,
            bits=bits,
            block_size=BLOCK,
            accuracy_level=_IN_8_BITS,
        )

    # ---- pieces

    def _op(self, kind: str, entering: list[str], called: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(self._node(kind, entering, [called], domain=domain, **attributes))
        return called

    def _constant(self, name: str, value: Array | np.float32) -> str:
        self.initializers.append(self._tensor(np.asarray(value), name))
        return name

    def _norm(self, name: str) -> str:
        return self._constant(name, self._weight(name, self.of.width))

    def _weight(self, name: str, *dimensions: int) -> Array:
        found = self.named.get(name)
        if found is None or found.shape != dimensions:
            have = "is missing" if found is None else f"has the shape {list(found.shape)}"
            raise InputError(
                f"the weights are not those of the configuration: {name} {have}, expected {list(dimensions)}"
            )
        if len(dimensions) == 2 and self.bits < 32 and dimensions[1] % BLOCK:
            raise InputError(
                f"{name}: {dimensions[1]} numbers a row are no multiple of {BLOCK}; export it with 32 bits"
            )
        return found
