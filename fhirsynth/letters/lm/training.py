"""Training the model that writes letters: a decoder of our own, another model made small, or an adapter (LoRA) on it.

A run is a folder: its corpus, its tokens and its checkpoints lie there, and the finished model is an ordinary folder of
transformers. The order of the samples comes from the seed and the step alone, so that a run which was stopped and
resumed gives the model that it would have given in one go (on one machine, with as many threads).
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fhirsynth import __version__
from fhirsynth.errors import InputError, OutputError
from fhirsynth.letters.facts import Stay
from fhirsynth.letters.lm import corpus
from fhirsynth.letters.lm.brief import BY_BOOK, BY_HAND
from fhirsynth.letters.lm.corpus import Sample
from fhirsynth.letters.lm.reducing import llama, reduced
from fhirsynth.letters.lm.tokens import CARD, Codec, Tokens, learn
from fhirsynth.letters.lm.torch_model import pretrained, use
from fhirsynth.letters.lm.wording import Wording

CORPUS, HELD_OUT, STATE = "corpus.jsonl", "held-out.jsonl", "checkpoint.pt"
#: Longest sequence that the model reads, in tokens; longer samples are left out of training.
CONTEXT = 512
#: Tags that are left out of a brief now and then while learning, so that one it has never seen does not stop the model.
_DROPPED = ("<cond:", "<proc:", "<test:", "<spec:")
_DROP_SHARE = 0.25
_IGNORED = -100
#: Samples among which neighbours of like length are sought.
_WINDOW = 4096

_Pair = tuple[list[int], list[int]]
#: The stays of so many people, with a seed.
Stays = Callable[[int, int], Iterable[Stay]]


@dataclass(frozen=True)
class Plan:
    """What to train, and how. `people`: those whose stays the phrasebook writes up, each stay in `times` voices.

    `steps` of about `batch` tokens each; from the share `exemplars_from` of the steps on, a share `exemplars_share` of
    them is of sections written by hand. Without a `base` the model begins as random numbers, of `layers`, `width` and
    so on. With one (a causal model: a folder, a name or a .gguf file) it begins as that model's first and last layers,
    `layers` in all, and all weights are trained; or, with a `rank`, it is an adapter of that rank on the whole model.
    """

    seed: int = 1
    people: int = 5000
    times: int = 3
    steps: int = 2400
    batch: int = 4608
    rate: float = 1.5e-3
    layers: int = 6
    width: int = 384
    heads: int = 6
    shared_heads: int = 2
    hidden: int = 1024
    exemplars_from: float = 0.6
    exemplars_share: float = 0.3
    base: str | None = None
    rank: int = 0


def _length(pair: _Pair) -> int:
    return len(pair[0]) + len(pair[1])


class Progress(NamedTuple):
    """How far a run is: `loss` is the mean of the steps since the last report, `held_out` the last one measured."""

    step: int
    steps: int
    loss: float
    held_out: float
    tokens_a_second: float


def train(
    out: Path,
    plan: Plan,
    stays: Stays,
    *,
    device: str = "cpu",
    threads: int = 0,
    resume: bool = False,
    every: int = 250,
    report: Callable[[Progress], None] | None = None,
) -> Path:
    """Train a model into the folder `out`; a checkpoint is kept every `every` steps.

    `stays` gives the hospital stays of so many people by their number and a seed.
    Raises InputError where torch is missing, the folder holds something else, or what is resumed was begun otherwise.
    """
    torch = _torch()
    use(device)
    if threads:
        torch.set_num_threads(threads)
    try:
        _prepare(out, plan, resume)
        if not (out / HELD_OUT).exists():
            make_corpus(out, plan, stays)
        run = _Run(torch, out, plan, device)
        run.go(every, report)
        return run.finish()
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror or error}") from None


def make_corpus(out: Path, plan: Plan, stays: Stays) -> None:
    """Write the corpus and the held-out samples (of other people) as JSON Lines."""
    for name, seed, people in ((CORPUS, plan.seed, plan.people), (HELD_OUT, plan.seed + 7919, 60)):
        temporary = out / f".{name}"
        with temporary.open("w", encoding="utf-8") as file:
            for sample in corpus.samples(stays(people, seed), seed, plan.times):
                file.write(json.dumps(sample._asdict(), ensure_ascii=False) + "\n")
        temporary.replace(out / name)


def _torch() -> Any:
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise InputError("training needs torch and transformers: pip install 'fhirsynth[train]'") from error
    return torch


def _prepare(out: Path, plan: Plan, resume: bool) -> None:
    """Make the folder ready, and hold what is resumed against what was begun."""
    noted = out / "plan.json"
    wanted = json.loads(json.dumps(asdict(plan)))
    if noted.exists():
        begun = json.loads(noted.read_text(encoding="utf-8"))
        if not resume:
            raise InputError(f"{out} holds a training run; --resume goes on with it, or choose another folder")
        for name, value in wanted.items():
            if begun.get(name) != value:
                raise InputError(
                    f"the run in {out} was begun with {name} {begun.get(name)!r}, asked for now is {value!r}"
                )
    elif out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty: choose another folder for the model")
    elif resume:
        raise InputError(f"{out} holds no training run to resume")
    out.mkdir(parents=True, exist_ok=True)
    noted.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


class _Run:
    """A training run: model, optimiser and where it stands."""

    def __init__(self, torch: Any, out: Path, plan: Plan, device: str) -> None:
        self.torch, self.out, self.plan, self.device = torch, out, plan, device
        self.samples = corpus.read(out / CORPUS)
        self.exemplars = list(corpus.exemplars())
        torch.manual_seed(plan.seed)
        if plan.base:
            self.codec, self.model = self._adapted(plan.base) if plan.rank else self._reduced(plan.base)
        else:
            self.codec, self.model = self._own()
        self.model.to(device)
        self.held_out = self._encoded(corpus.read(out / HELD_OUT))[:512]
        self.encoded = self._encoded(self.samples)
        self.by_hand = sorted(self._encoded(self.exemplars, BY_HAND), key=_length)
        free = [weight for weight in self.model.parameters() if weight.requires_grad]
        decayed = [weight for weight in free if weight.dim() > 1]
        plain = [weight for weight in free if weight.dim() <= 1]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.95), fused=True)
        self.step, self.held_out_loss = 0, math.nan
        self._epoch, self._began = 0, 0
        self._batches = self._ordered(0)
        self._resume()

    # ---- the model

    def _own(self) -> tuple[Codec, Any]:
        tokens = learn((sample.brief for sample in self.samples), (sample.text for sample in self.samples))
        tokens.save(self.out)
        plan = self.plan
        return tokens, llama(
            tokens,
            max_position_embeddings=CONTEXT,
            hidden_size=plan.width,
            intermediate_size=plan.hidden,
            num_hidden_layers=plan.layers,
            num_attention_heads=plan.heads,
            num_key_value_heads=plan.shared_heads,
        )

    def _reduced(self, base: str) -> tuple[Codec, Any]:
        texts = [sample.text for sample in (*self.samples, *self.exemplars)]
        tokens, model = reduced(base, self.plan.layers, CONTEXT, (sample.brief for sample in self.samples), texts)
        tokens.save(self.out)
        return tokens, model

    def _adapted(self, base: str) -> tuple[Codec, Any]:
        from peft import LoraConfig, get_peft_model

        codec, model = pretrained(base, self.device)
        names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        lora = LoraConfig(r=self.plan.rank, lora_alpha=2 * self.plan.rank, target_modules=names, task_type="CAUSAL_LM")
        return codec, get_peft_model(model, lora)

    # ---- the samples

    def _encoded(self, samples: Sequence[Sample], manner: str = BY_BOOK) -> list[_Pair]:
        found = [(self.codec.prompt(f"{manner} {s.brief}"), self.codec.answer(s.text)) for s in samples]
        return [pair for pair in found if _length(pair) <= CONTEXT]

    def _batch(self, step: int) -> list[_Pair]:
        """The sequences of one step, of like length: the corpus epoch by epoch, and exemplars now and then."""
        while step >= self._began + len(self._batches):
            self._began += len(self._batches)
            self._epoch += 1
            self._batches = self._ordered(self._epoch)
        rng = random.Random(f"{self.plan.seed}-{step}")
        late = step >= self.plan.exemplars_from * self.plan.steps
        if self.by_hand and late and rng.random() < self.plan.exemplars_share:
            return self._some_by_hand(rng)
        return [self.encoded[number] for number in self._batches[step - self._began]]

    def _some_by_hand(self, rng: random.Random) -> list[_Pair]:
        """Exemplars of like length, as many as a step has room for."""
        at = rng.randrange(len(self.by_hand))
        longest = _length(self.by_hand[at])
        return self.by_hand[max(0, at + 1 - self.plan.batch // longest) : at + 1]

    def _ordered(self, epoch: int) -> list[list[int]]:
        """The samples of an epoch in batches of so many tokens, blanks counted in."""
        rng = random.Random(f"{self.plan.seed}-epoch-{epoch}")
        numbers = list(range(len(self.encoded)))
        rng.shuffle(numbers)
        batches: list[list[int]] = []
        for start in range(0, len(numbers), _WINDOW):
            batch: list[int] = []
            for number in sorted(numbers[start : start + _WINDOW], key=lambda number: _length(self.encoded[number])):
                if batch and (len(batch) + 1) * _length(self.encoded[number]) > self.plan.batch:
                    batches.append(batch)
                    batch = []
                batch.append(number)
            batches.append(batch)
        rng.shuffle(batches)
        return batches

    def _tensors(self, pairs: Sequence[_Pair], rng: random.Random | None) -> tuple[Any, Any]:
        dropped = self._droppable if rng is not None else frozenset()
        rows = []
        for prompt, answer in pairs:
            if rng is not None and dropped:
                prompt = [n for n in prompt if n not in dropped or rng.random() >= _DROP_SHARE]
            rows.append((prompt, answer))
        longest = max(len(prompt) + len(answer) for prompt, answer in rows)
        ids = self.torch.full((len(rows), longest), self.codec.pad, dtype=self.torch.long)
        labels = self.torch.full((len(rows), longest), _IGNORED, dtype=self.torch.long)
        for row, (prompt, answer) in enumerate(rows):
            whole = self.torch.tensor(prompt + answer)
            ids[row, : len(whole)] = whole
            labels[row, len(prompt) : len(whole)] = whole[len(prompt) :]
        return ids.to(self.device), labels.to(self.device)  # blanks stand behind what is read: no mask is needed

    @property
    def _droppable(self) -> frozenset[int]:
        if not isinstance(self.codec, Tokens):
            return frozenset()
        if not hasattr(self, "_droppable_found"):
            found = (n for n, name in enumerate(self.codec.vocabulary) if name.startswith(_DROPPED))
            self._droppable_found = frozenset(found)
        return self._droppable_found

    # ---- steps

    def go(self, every: int, report: Callable[[Progress], None] | None) -> None:
        """Train to the end. Interrupted, the last checkpoint is kept."""
        torch, plan = self.torch, self.plan
        self.model.train()
        total, counted, tokens, began, held_out = 0.0, 0, 0, time.perf_counter(), math.nan
        while self.step < plan.steps:
            rng = random.Random(f"{plan.seed}-drop-{self.step}")
            ids, labels = self._tensors(self._batch(self.step), rng)
            for group in self.optimiser.param_groups:
                group["lr"] = self._rate()
            with torch.autocast(self.device, dtype=torch.bfloat16):
                loss = self.model(input_ids=ids, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            self.step += 1
            total, counted, tokens = total + float(loss.detach()), counted + 1, tokens + ids.numel()
            if self.step % every == 0 or self.step == plan.steps:
                held_out = self.held_out_loss = self._measured()
                self._checkpoint()
            if report and (self.step % 25 == 0 or self.step == plan.steps):
                pace = tokens / (time.perf_counter() - began)
                report(Progress(self.step, plan.steps, total / counted, held_out, pace))
                total, counted, tokens, began = 0.0, 0, 0, time.perf_counter()

    def _rate(self) -> float:
        """Warm-up over the first steps, then a cosine down to a twentieth."""
        warm = min(200, max(1, self.plan.steps // 20))
        if self.step < warm:
            return self.plan.rate * (self.step + 1) / warm
        done = (self.step - warm) / max(1, self.plan.steps - warm)
        return self.plan.rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))

    def _measured(self) -> float:
        """Mean loss a token on people that the model has not read about."""
        torch = self.torch
        self.model.eval()
        total = count = 0.0
        with torch.no_grad(), torch.autocast(self.device, dtype=torch.bfloat16):
            for at in range(0, len(self.held_out), 64):
                ids, labels = self._tensors(self.held_out[at : at + 64], None)
                known = float((labels[:, 1:] != _IGNORED).sum())
                total += float(self.model(input_ids=ids, labels=labels).loss) * known
                count += known
        self.model.train()
        return total / max(count, 1.0)

    # ---- checkpoints

    def _weights(self) -> dict[str, Any]:
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    def _checkpoint(self) -> None:
        temporary = self.out / f"{STATE}.part"
        weights = {name: weight.detach().cpu() for name, weight in self._weights().items()}
        self.torch.save({"step": self.step, "model": weights, "optimiser": self.optimiser.state_dict()}, temporary)
        temporary.replace(self.out / STATE)

    def _resume(self) -> None:
        file = self.out / STATE
        if not file.exists():
            return
        try:
            found = self.torch.load(file, map_location=self.device, weights_only=True)
            with self.torch.no_grad():
                for name, weight in self._weights().items():
                    weight.copy_(found["model"][name])
            self.optimiser.load_state_dict(found["optimiser"])
            self.step = found["step"]
        except Exception as error:  # a damaged file fails in as many ways as torch has readers
            raise InputError(f"{file} is damaged ({type(error).__name__}); remove it to begin the run again") from None

    def finish(self) -> Path:
        """Write the model as a folder of transformers, inside the run's folder; returns it."""
        final, temporary = self.out / "model", self.out / ".model"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        model = self.model if self.plan.rank else self.model.half()
        model.save_pretrained(temporary)
        if isinstance(self.codec, Tokens):
            self.codec.save(temporary)
        Wording.learn((*self.samples, *self.exemplars)).save(temporary)
        weights = sorted(temporary.glob("*.safetensors"))
        digest = hashlib.sha256(b"".join(file.read_bytes() for file in weights)).hexdigest()
        about = {
            "name": self.out.name,
            "revision": digest[:12],
            "fhirsynth": __version__,
            "plan": asdict(self.plan) | ({"base": Path(self.plan.base).name} if self.plan.base else {}),
            "samples": len(self.samples),
            "exemplars": len(self.exemplars),
            "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "held_out_loss": round(self.held_out_loss, 4),
        }
        (temporary / CARD).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(final, ignore_errors=True)
        temporary.replace(final)
        return final
