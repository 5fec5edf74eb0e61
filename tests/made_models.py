"""Small models for tests of what writes letters: stand-ins whose logits are told, and folders with random weights."""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from made_letters import written

from fhirsynth.letters.facts import Stay
from fhirsynth.letters.lm.brief import Brief
from fhirsynth.letters.lm.corpus import briefs
from fhirsynth.letters.lm.decoding import ROWS, Ask, Causal, Floats, Sampling, answered
from fhirsynth.letters.lm.maker import APART
from fhirsynth.letters.lm.onnx_model import own_vocabulary
from fhirsynth.letters.lm.rules import Ints, Rules
from fhirsynth.letters.lm.tokens import Tokens, learn
from fhirsynth.letters.lm.vocabulary import Vocabulary
from fhirsynth.letters.phrases import VOICES
from fhirsynth.letters.writing import voice_of

WIDTH, HIDDEN, LAYERS, HEADS, SHARED, HEAD, CONTEXT = 64, 96, 2, 4, 2, 16, 512


@cache
def stays() -> tuple[Stay, ...]:
    """The hospital stays of a small population."""
    return tuple(letter.stay for letter in written() if letter.kind == "gp")


@cache
def samples() -> tuple[tuple[Brief, str], ...]:
    """The briefs of their letters in every voice, each once, with what the phrasebook makes of them."""
    made = (made for stay in stays() for voice in VOICES for made in briefs(stay, voice, 1))
    return tuple({asked.prompt: (asked, text) for asked, text in made}.values())


@cache
def own_tokens() -> Tokens:
    """Tokens learnt from these."""
    return learn((asked.prompt for asked, _ in samples()), (text for _, text in samples()), size=800)


@cache
def vocabulary() -> Vocabulary:
    """What they may do."""
    return own_vocabulary(own_tokens(), len(own_tokens()))


@cache
def spelling_vocabulary() -> Vocabulary:
    """A foreign tokenizer's: letters, some syllables, and brackets joined to what stands beside them."""
    letters = [chr(code) for code in range(32, 127)]
    syllables = [" the", "ing", "patient", ".short", "dose", "{s", " {", "({", " [", "[H", "e]", "}.", "})", "],", "}{"]
    return Vocabulary(("", *letters, *syllables, "\n\n", "\n", ".\n\n", "<s>", "\ufffd"), 0)


class Told:
    """A model whose logits are a function of what each row has read and said."""

    context = CONTEXT

    def __init__(
        self, logits: Callable[[tuple[int, ...]], Floats], of: Vocabulary, tokens: Tokens | None = None
    ) -> None:
        self._logits, self.vocabulary, self._tokens = logits, of, tokens

    def identity(self) -> dict[str, Any]:
        return {"model": "told", "revision": "1", "engine": "none"}

    def prompt(self, brief: str) -> list[int]:
        if self._tokens:
            return self._tokens.prompt(brief)
        return [byte % self.vocabulary.size for byte in zlib.crc32(brief.encode()).to_bytes(4, "big")]

    def text(self, tokens: Sequence[int]) -> str:
        if self._tokens:
            return self._tokens.text(tokens)
        return "".join(self.vocabulary.surfaces[token] for token in tokens)

    def begin(self, rows: int) -> _Rows:
        return _Rows(self, rows)

    def logits(self, rows: Sequence[tuple[int, ...]]) -> Floats:
        return np.stack([self._logits(row) for row in rows])


class _Rows:
    def __init__(self, model: Told, most: int) -> None:
        self._model, self._most, self._rows = model, most, list[tuple[int, ...]]()

    def add(self, prompts: Sequence[Sequence[int]]) -> Floats:
        new = [tuple(prompt) for prompt in prompts]
        self._rows += new
        assert 0 < len(self._rows) <= self._most
        return self._model.logits(new)

    def step(self, tokens: Ints) -> Floats:
        self._rows = [(*row, token) for row, token in zip(self._rows, tokens.tolist(), strict=True)]
        return self._model.logits(self._rows)

    def forget(self, counts: Ints) -> None:
        self._rows = [row[: len(row) - count] for row, count in zip(self._rows, counts.tolist(), strict=True)]

    def keep(self, rows: Ints) -> None:
        assert (rows >= np.arange(len(rows))).all()
        self._rows = [self._rows[row] for row in rows.tolist()]


def ruled(of: Vocabulary, places: Collection[str], figures: bool = False) -> Rules:
    """The rules of one answer that says these placeholders."""
    rules = Rules(of)
    rules.add([frozenset(places)], [figures])
    return rules


def generate(
    model: Causal, asks: Sequence[Ask], sampling: Sampling | None = None, rows: int = ROWS
) -> list[str | None]:
    """The answers to what is asked for, in order."""
    wanted = [replace(ask, sampling=sampling or ask.sampling) for ask in asks]
    found = dict(answered(model, deque(wanted), rows))
    assert found.keys() == set(wanted)
    return [found[ask] for ask in wanted]


def at_random(of: Vocabulary, tokens: Tokens | None = None, eager: float = 6.0) -> Told:
    """A model that says anything: normal logits, placeholders and ends likelier by `eager`."""
    liked = np.where(of.telling | of.stops, eager, 0.0)
    liked[of.end] = 2 * eager

    def logits(row: tuple[int, ...]) -> Floats:
        seed = zlib.crc32(np.array(row, dtype=np.int64).tobytes())
        return (np.random.default_rng(seed).standard_normal(of.size) * 2 + liked).astype(np.float32)

    return Told(logits, of, tokens)


def by_heart(answers: Mapping[str, str]) -> Told:
    """A model that says what it was told to, by brief; where it has said something else it would rather end."""
    tokens, of = own_tokens(), vocabulary()
    known = {tuple(tokens.prompt(brief)): tuple(tokens.answer(text)) for brief, text in answers.items()}

    def logits(row: tuple[int, ...]) -> Floats:
        at = row.index(tokens.write) + 1
        answer, said = known.get(row[:at], (tokens.end,)), row[at:]
        found = np.zeros(of.size, dtype=np.float32)
        if said == answer[: len(said)]:
            found[answer[len(said)]] = 60
        else:
            found[tokens.end] = 30
        return found

    return Told(logits, of, tokens)


def either(*models: Told) -> Told:
    """A model that says what one of these says, as it is drawn."""

    def logits(row: tuple[int, ...]) -> Floats:
        found: Floats = np.max([model.logits([row])[0] for model in models], axis=0)
        return found

    return Told(logits, vocabulary(), own_tokens())


def phrasebook_answers(seed: int = 1) -> dict[str, str]:
    """What the phrasebook says for the briefs of these stays, each in its own voice; those of later drafts too."""
    return {
        asked.prompt: text
        for attempt in (2, 1, 0)
        for stay in stays()
        for asked, text in briefs(stay, voice_of(stay, seed), seed + attempt * APART)
    }


def write_model(folder: Path, seed: int = 0, vocabulary_size: int = 0) -> Path:
    """A folder of transformers with a small Llama of random weights, and our tokens."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    size = vocabulary_size or -(-len(own_tokens()) // 16) * 16
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": size,
        "hidden_size": WIDTH,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": SHARED,
        "head_dim": HEAD,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(random_weights(size, seed), folder / "model.safetensors", {"format": "pt"})
    own_tokens().save(folder)
    (folder / "fhirsynth.json").write_text(json.dumps({"name": "tiny"}), encoding="utf-8")
    return folder


def random_weights(size: int, seed: int) -> dict[str, Any]:
    """The weights of such a model."""
    rng = np.random.default_rng(seed)

    def matrix(*shape: int) -> Any:
        return (rng.standard_normal(shape) * 0.6 / np.sqrt(shape[-1])).astype(np.float32)

    def around_one() -> Any:
        return (1 + 0.2 * rng.standard_normal(WIDTH)).astype(np.float32)

    found = {"model.embed_tokens.weight": matrix(size, WIDTH) * 4, "model.norm.weight": around_one()}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        found |= {
            f"{name}.input_layernorm.weight": around_one(),
            f"{name}.post_attention_layernorm.weight": around_one(),
            f"{name}.self_attn.q_proj.weight": matrix(HEADS * HEAD, WIDTH),
            f"{name}.self_attn.k_proj.weight": matrix(SHARED * HEAD, WIDTH),
            f"{name}.self_attn.v_proj.weight": matrix(SHARED * HEAD, WIDTH),
            f"{name}.self_attn.o_proj.weight": matrix(WIDTH, HEADS * HEAD),
            f"{name}.mlp.gate_proj.weight": matrix(HIDDEN, WIDTH),
            f"{name}.mlp.up_proj.weight": matrix(HIDDEN, WIDTH),
            f"{name}.mlp.down_proj.weight": matrix(WIDTH, HIDDEN),
        }
    return found


def reference_logits(weights: Mapping[str, Any], ids: Sequence[int]) -> Any:
    """The logits [length, vocabulary] of a Llama, computed plainly in double precision."""
    named = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}
    positions = np.arange(len(ids))
    angles = np.outer(positions, 10000.0 ** (-np.arange(0, HEAD, 2) / HEAD))
    cosines, sines = np.tile(np.cos(angles), 2), np.tile(np.sin(angles), 2)

    def norm(x: Any, name: str) -> Any:
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * named[name]

    def turned(x: Any) -> Any:  # [heads, length, head]
        half = np.concatenate([-x[..., HEAD // 2 :], x[..., : HEAD // 2]], axis=-1)
        return x * cosines + half * sines

    def heads(x: Any, number: int) -> Any:
        return x.reshape(len(ids), number, HEAD).transpose(1, 0, 2)

    x = named["model.embed_tokens.weight"][list(ids)]
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        entering = norm(x, f"{name}.input_layernorm.weight")
        q, k, v = (entering @ named[f"{name}.self_attn.{part}_proj.weight"].T for part in "qkv")
        q, k, v = turned(heads(q, HEADS)), turned(heads(k, SHARED)), heads(v, SHARED)
        k, v = np.repeat(k, HEADS // SHARED, axis=0), np.repeat(v, HEADS // SHARED, axis=0)
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(HEAD)
        scores = np.where(positions[None, :] > positions[:, None], -np.inf, scores)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        told = (shares @ v).transpose(1, 0, 2).reshape(len(ids), HEADS * HEAD)
        x = x + told @ named[f"{name}.self_attn.o_proj.weight"].T
        entering = norm(x, f"{name}.post_attention_layernorm.weight")
        gate = entering @ named[f"{name}.mlp.gate_proj.weight"].T
        up = entering @ named[f"{name}.mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ named[f"{name}.mlp.down_proj.weight"].T
    return norm(x, "model.norm.weight") @ named["model.embed_tokens.weight"].T
