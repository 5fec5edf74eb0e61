"""A large causal model made small for letters: fewer tokens, fewer layers, and tokens of our own for placeholders.

What it knows of English stays in the layers that are kept; training on letters mends what the cuts have hurt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fhirsynth.errors import InputError
from fhirsynth.letters.lm.tokens import Tokens, narrowed

#: Layers at the end that are kept whatever is cut: they turn thoughts into words. What is cut lies before them.
_LAST = 3
_WORD = re.compile(r"[A-Za-z]+")


def llama(tokens: Tokens, **shape: Any) -> Any:
    """A Llama of random numbers for these tokens; `shape` as transformers' LlamaConfig takes it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=-(-len(tokens) // 16) * 16,  # a round number of rows is quicker
        tie_word_embeddings=True,
        bos_token_id=tokens.begin,
        eos_token_id=tokens.end,
        pad_token_id=tokens.pad,
        **shape,
    )
    model = LlamaForCausalLM(config)
    model.set_attn_implementation("eager")  # for short sequences the quickest on a processor
    return model


def reduced(base: str, layers: int, context: int, briefs: Iterable[str], texts: Iterable[str]) -> tuple[Tokens, Any]:
    """A Llama with the first and last of a base model's layers, and the tokens that these briefs and texts need.

    `base`: a folder, a name on the hub, or a .gguf file. Raises InputError where it cannot be read or is no Llama.
    """
    import torch

    description, model = _read(base)
    large = model.config
    if large.model_type != "llama" or not large.tie_word_embeddings:
        raise InputError(f"{base} is a {large.model_type}: expected a Llama with tied embeddings, such as SmolLM2")
    if not _LAST < layers <= large.num_hidden_layers:
        raise InputError(f"{base} has {large.num_hidden_layers} layers; between {_LAST + 1} and so many can be kept")
    tokens, origin = narrowed(description, briefs, texts)
    small = llama(
        tokens,
        max_position_embeddings=context,
        hidden_size=large.hidden_size,
        intermediate_size=large.intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=large.num_attention_heads,
        num_key_value_heads=large.num_key_value_heads,
        rms_norm_eps=large.rms_norm_eps,
        rope_parameters=large.rope_parameters,
    )
    kept = [*range(layers - _LAST), *range(large.num_hidden_layers - _LAST, large.num_hidden_layers)]
    whole = model.state_dict()
    with torch.no_grad():
        for name, weight in small.state_dict().items():
            match = re.match(r"(model\.layers\.)(\d+)(\..*)", name)
            if match:
                weight.copy_(whole[f"{match[1]}{kept[int(match[2])]}{match[3]}"])
            elif name == "model.norm.weight":
                weight.copy_(whole[name])
        _embed(small.get_input_embeddings().weight, model.get_input_embeddings().weight, origin, description)
    return tokens, small


def _read(base: str) -> tuple[str, Any]:
    """A base model's tokenizer as JSON, and the model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = Path(base).expanduser()
    name, more = (str(file.parent), {"gguf_file": file.name}) if file.suffix == ".gguf" else (base, {})
    loader: Any = AutoModelForCausalLM
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **more)
        return tokenizer.backend_tokenizer.to_str(), loader.from_pretrained(name, dtype="float32", **more)
    except Exception as error:  # each kind of file has its own ways to fail
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"the base model {base} cannot be read: {first}") from None


def _embed(small: Any, large: Any, origin: list[int | str], description: str) -> None:
    """A row for each token: its own from before, or for one of ours the mean of the words that it is made of."""
    from tokenizers import Tokenizer

    whole = Tokenizer.from_str(description)
    mean = large.mean(dim=0)
    small.copy_(mean.expand_as(small))
    for number, was in enumerate(origin):
        if isinstance(was, int):
            small[number] = large[was]
            continue
        words = [f" {word}" for word in _WORD.findall(was)]
        rows = [row for word in words for row in whole.encode(word, add_special_tokens=False).ids]
        if rows:
            # two tokens of the same words (of the first fact and the second) must not begin as one
            small[number] = large[rows].mean(dim=0) + 0.3 * large.std() * _noise(large, number)


def _noise(like: Any, seed: int) -> Any:
    import torch

    return torch.randn(like.shape[1], generator=torch.Generator().manual_seed(seed))
