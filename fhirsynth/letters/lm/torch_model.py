"""Any causal model of transformers, on CPU or CUDA: a folder (an adapter, LoRA, among them), or a name on the hub.

Our own model is one of them, with its own tokens. A foreign model reads and writes with its own tokenizer; what it may
say is ruled by `vocabulary` all the same. Nothing is fetched from the network unless a name on the hub is asked for.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fhirsynth.errors import InputError
from fhirsynth.letters.lm.decoding import Floats
from fhirsynth.letters.lm.onnx_model import own_vocabulary
from fhirsynth.letters.lm.rules import Ints
from fhirsynth.letters.lm.tokens import Tokens, card
from fhirsynth.letters.lm.vocabulary import Vocabulary, foreign_surfaces

if TYPE_CHECKING:
    from fhirsynth.letters.lm.torch_cache import Columns, Memory

DEVICES = ("cpu", "cuda")
#: What a foreign model reads: a line that says what is wanted, the brief, and where the answer begins.
_ASKED = "Write this part of a hospital discharge letter; each placeholder is said once.\n{brief}\nText: "
#: Of a model that says nothing of how much it can read.
_CONTEXT = 2048
#: A name on the hub: an owner and a model, or one of the old models that have no owner.
_HUB = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
#: Seconds that the hub has for its first answer.
_PATIENCE = 10
_NEEDS = "this needs torch, transformers and peft: pip install 'fhirsynth[train]'"

_log = logging.getLogger(__name__)


class Foreign:
    """The tokenizer of a foreign model as a `Codec`; placeholders are spelt."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.end: int = tokenizer.eos_token_id
        self.pad: int = self.end if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def __len__(self) -> int:
        return len(self._tokenizer)

    def prompt(self, brief: str) -> list[int]:
        """A brief's line as tokens, with what the model begins every text with."""
        numbers: list[int] = list(self._tokenizer.encode(_ASKED.format(brief=brief)))
        return numbers[:-1] if numbers[-1] == self.end else numbers

    def answer(self, text: str) -> list[int]:
        """An answer as tokens, with its end."""
        return [*self._tokenizer.encode(text, add_special_tokens=False), self.end]

    def text(self, numbers: Sequence[int]) -> str:
        """The answer that tokens stand for."""
        text = self._tokenizer.decode(list(numbers), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text).strip()

    def vocabulary(self, size: int) -> Vocabulary:
        """What its tokens may do, of a model with logits of this width."""
        return Vocabulary(foreign_surfaces(self._tokenizer), self.end, size)


class TorchModel:
    """A `Causal` of `decoding`."""

    def __init__(self, name: str, device: str = "cpu") -> None:
        """Load a folder, or a name on the hub.

        Raises InputError where the extra, the model, its tokenizer or the device is missing, a file is damaged, or the
        model cannot take words back.
        """
        self.codec, self._model = pretrained(name, device)
        self._model.eval()
        self.begin(1)  # or it says here that it cannot take words back
        self._device = device
        config = self._model.config
        self.context = int(
            getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or _CONTEXT
        )
        size = int(self._model.get_output_embeddings().weight.shape[0])
        if len(self.codec) > size:
            raise InputError(f"{name}: {len(self.codec)} tokens, but the model knows {size}; they are of two models")
        if isinstance(self.codec, Tokens):
            self.vocabulary = own_vocabulary(self.codec, size)
        else:
            self.vocabulary = self.codec.vocabulary(size)
        known = inspect.signature(self._model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        self._placed = "position_ids" in known
        folder = Path(name).expanduser()
        title = str(card(folder).get("name", folder.name)) if folder.is_dir() else name
        self._identity = {"model": title, "revision": _revision(name, config), "engine": "torch"}

    def identity(self) -> dict[str, Any]:
        """Its name, the first characters of its weights' SHA-256 (on the hub: of its commit), and the engine."""
        return dict(self._identity)

    def prompt(self, brief: str) -> list[int]:
        """A brief's line as tokens."""
        return self.codec.prompt(brief)

    def text(self, tokens: Sequence[int]) -> str:
        """The answer that tokens stand for."""
        return self.codec.text(tokens)

    def begin(self, rows: int) -> _Batch:
        """A batch without a row, with room for so many. Raises InputError where the model cannot take words back."""
        from fhirsynth.letters.lm.torch_cache import Columns, Memory

        columns = Columns(rows)
        return _Batch(self, columns, Memory(self._model.config, columns))

    def run(self, ids: Ints, mask: Ints, places: Ints, past: Any) -> Floats:
        """One pass: the logits behind the last token of each row; `past` takes in what was read."""
        import torch

        given = {"position_ids": self.tensor(places)} if self._placed else {}
        with torch.inference_mode(), _fitting():
            found = self._model(
                input_ids=self.tensor(ids),
                attention_mask=self.tensor(mask),
                past_key_values=past,
                use_cache=True,
                **given,
                **self._last_only,
            )
        logits: Floats = found.logits[:, -1].float().cpu().numpy()
        return logits

    def tensor(self, numbers: Ints) -> Any:
        """Whole numbers on the model's device."""
        import torch

        return torch.from_numpy(numbers).to(self._device)


class _Batch:
    """Answers under way, in the columns of a cache."""

    def __init__(self, model: TorchModel, columns: Columns, memory: Memory) -> None:
        self._model, self._columns, self._memory = model, columns, memory

    def add(self, prompts: Sequence[Sequence[int]]) -> Floats:
        """Read the prompts of further rows, all at once."""
        lengths = np.array([len(prompt) for prompt in prompts])
        self._columns.add(lengths)
        ids = np.full((len(prompts), int(lengths.max())), self._model.codec.pad, dtype=np.int64)
        for row, prompt in zip(ids, prompts, strict=True):
            row[len(row) - len(prompt) :] = prompt
        mask = self._columns.mask
        return self._model.run(ids, mask, (mask.cumsum(axis=1) - 1).clip(0), self._memory)

    def step(self, tokens: Ints) -> Floats:
        """Take the next token of each row."""
        self._columns.step()
        ids = np.ascontiguousarray(tokens, dtype=np.int64)[:, None]
        return self._model.run(ids, self._columns.mask, self._columns.lengths[:, None] - 1, self._memory)

    def forget(self, counts: Ints) -> None:
        """Forget the last tokens of each row."""
        self._columns.forget(counts)

    def keep(self, rows: Ints) -> None:
        """Go on with these rows."""
        self._memory.keep(rows)
        self._columns.keep(rows)


# ---- loading


def pretrained(name: str, device: str = "cpu") -> tuple[Tokens | Foreign, Any]:
    """A model with its tokenizer, on its device. An adapter is merged into the model it was made for.

    Raises InputError for what is missing or damaged, and for a device that is not there.
    """
    use(device)
    folder = Path(name).expanduser()
    if folder.is_dir():
        adapter = folder / "adapter_config.json"
        if adapter.exists():
            codec, model = _adapted(folder, adapter, device)
        else:
            codec, model = _loaded(folder, str(folder), device)
    elif folder.exists():
        raise InputError(f"{name} is a file: expected a model's folder, or a name on the hub")
    elif name.startswith((".", "/", "~")) or not _HUB.fullmatch(name):
        raise InputError(f"there is no folder {name}: expected a model's folder, or a name on the hub (owner/model)")
    else:
        codec, model = _loaded(None, name, device, there=_reached(name))
    with _fitting():
        return codec, model.to(device)


def use(device: str) -> None:
    """Make torch ready for a device. Raises InputError where the extra or the device is not there."""
    if device not in DEVICES:
        raise InputError(f"no device is called {device!r}: use one of {', '.join(DEVICES)}")
    try:
        import torch
        import transformers
    except ImportError:
        raise InputError(f"the model is asked for through torch; {_NEEDS}") from None
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no CUDA device here; use --device cpu")
    speaking: Any = transformers.utils.logging
    speaking.set_verbosity_error()
    speaking.disable_progress_bar()


def _reached(name: str) -> bool:
    """Whether the hub has a model; False where it cannot be asked, and what was fetched before must do."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        HfApi().model_info(name, timeout=_PATIENCE)
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise _absent(name, error) from None
    except Exception as error:  # of whichever library speaks to the network
        _log.debug("the hub cannot be asked: %s", error)
        return False
    return True


def _loaded(folder: Path | None, name: str, device: str, there: bool = False) -> tuple[Tokens | Foreign, Any]:
    """A model as it is. `folder` is None for a name on the hub; `there`: it may be fetched."""
    from transformers import AutoModelForCausalLM

    codec = _codec(folder, name, there)
    if folder is not None and card(folder).get("bits"):
        return codec, _unpacked(folder)
    auto: Any = AutoModelForCausalLM
    with _told(name):
        model, about = auto.from_pretrained(
            name,
            dtype="float32" if device == "cpu" else "auto",
            local_files_only=not there,
            output_loading_info=True,
        )
    # transformers would begin with random weights where some are missing
    if lacking := sorted((*about["missing_keys"], *(key for key, *_ in about.get("mismatched_keys", ())))):
        raise InputError(f"the model {name} is damaged: its weights lack {lacking[0]} (and {len(lacking) - 1} more)")
    return codec, model


def _unpacked(folder: Path) -> Any:
    """The model of a folder as it is shipped, its weights made whole."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from fhirsynth.letters.lm.packing import unpacked

    with _told(str(folder)):
        model: Any = LlamaForCausalLM(LlamaConfig.from_pretrained(str(folder)))
        model.load_state_dict({name: torch.from_numpy(array) for name, array in unpacked(folder).items()}, strict=False)
        model.tie_weights()
    return model.float()


def _codec(folder: Path | None, name: str, there: bool) -> Tokens | Foreign:
    """The tokenizer: our own where the folder says it is of fhirsynth."""
    from transformers import AutoTokenizer

    if folder is not None and card(folder):
        return Tokens.load(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=not there)
    except Exception as error:  # each kind of tokenizer has its own ways to fail
        if folder is None and not there:
            raise _absent(name, error) from None
        raise InputError(f"{name} holds no tokenizer that can be read: {_first_line(error)}") from None
    if tokenizer.eos_token_id is None or not len(tokenizer):
        raise InputError(f"the tokenizer of {name} has no token that ends a text (eos_token)")
    return Foreign(tokenizer)


def _adapted(folder: Path, config: Path, device: str) -> tuple[Tokens | Foreign, Any]:
    """The model that an adapter was made for, with the adapter merged in."""
    try:
        from peft import PeftModel
    except ImportError:
        raise InputError(f"{folder} is an adapter; {_NEEDS}") from None
    try:
        base = json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"]
        below = Path(base).expanduser()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{config} is damaged: {_first_line(error)}") from None
    if below.is_dir():
        codec, model = _loaded(below, str(below), device)
    else:
        codec, model = _cached(base, folder, device)
    with _told(str(folder)), warnings.catch_warnings():
        # peft only warns where weights of an adapter are missing
        warnings.filterwarnings("error", message=".*missing adapter keys.*")
        merged = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    return codec, merged


def _cached(base: str, folder: Path, device: str) -> tuple[Tokens | Foreign, Any]:
    """The model of the hub that an adapter names, where it was fetched before: only the adapter was asked for."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = Path(snapshot_download(base, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError, OSError):
        raise InputError(
            f"{folder} is an adapter of {base}, which is not on this machine: fetch it first, or name its folder as "
            "base_model_name_or_path in adapter_config.json"
        ) from None
    return _loaded(found, str(found), device)


@contextmanager
def _fitting() -> Iterator[None]:
    """A device whose memory is too small as one line."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise InputError(
            "the model does not fit into the device's memory: use a smaller one, or --device cpu"
        ) from None


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Errors of loading as one line that names the model."""
    from safetensors import SafetensorError

    try:
        yield
    except InputError:
        raise
    except (SafetensorError, RuntimeError, EOFError, Warning) as error:
        raise InputError(f"the model {name} is damaged: {_first_line(error)}") from None
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        if Path(name).is_dir():
            raise InputError(f"{name} is no causal model of transformers: {_first_line(error)}") from None
        raise _absent(name, error) from None


def _absent(name: str, error: Exception) -> InputError:
    return InputError(
        f"no model {name!r} can be had: it is no folder here, nor can it be fetched from the hub: {_first_line(error)}"
    )


def _first_line(error: BaseException) -> str:
    lines = (line.strip().rstrip(":") for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)


def _revision(name: str, config: Any) -> str:
    """What tells its weights from others."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return str(getattr(config, "_commit_hash", None) or "")[:12]
    digest = hashlib.sha256()
    files = sorted(file for file in folder.iterdir() if file.suffix in (".safetensors", ".bin"))
    for file in files:
        with file.open("rb") as opened:
            while part := opened.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()[:12]
