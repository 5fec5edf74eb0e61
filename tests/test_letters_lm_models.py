"""The engines of the letters' model: they compute what they should, alone as in a batch, and say what is wrong."""

from __future__ import annotations

import builtins
import json
import random
import shutil
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_models import (
    LAYERS,
    WIDTH,
    generate,
    own_tokens,
    random_weights,
    reference_logits,
    samples,
    stays,
    write_model,
)

from fhirsynth.errors import InputError, OutputError
from fhirsynth.letters.lm import maker
from fhirsynth.letters.lm.decoding import Ask, Causal, Sampling
from fhirsynth.letters.lm.exporting import BLOCK, export, quantised, shape, weights
from fhirsynth.letters.lm.maker import DRAFTS, ModelMaker, shipped
from fhirsynth.letters.lm.onnx_model import MODEL, WEIGHTS, OnnxModel
from fhirsynth.letters.lm.packing import pack, unpacked
from fhirsynth.letters.making import Manner

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

LENGTHS = (17, 3, 29, 1, 8, 40, 22, 5, 31, 12, 2)
FURTHER = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights, with nothing of ONNX."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def exported(folder: Path) -> dict[int, Path]:
    """The same model in each number of bits, each in a folder of its own."""
    made = {}
    for bits in (32, 8, 4):
        made[bits] = folder.parent / f"tiny-{bits}"
        shutil.copytree(folder, made[bits])
        export(folder, made[bits] / MODEL, bits)
    return made


@pytest.fixture(scope="module")
def packed(folder: Path) -> dict[int, Path]:
    """The same model as it would be shipped."""
    return {bits: pack(folder, folder.parent / f"packed-{bits}", bits) for bits in (8, 4)}


def sequences(lengths: Sequence[int] = LENGTHS, seed: int = 1) -> list[list[int]]:
    """Tokens at random, `FURTHER` more than the length of each prompt."""
    rng = random.Random(seed)
    return [[rng.randrange(5, 600) for _ in range(length + FURTHER)] for length in lengths]


def logits_along(model: Causal, told: Sequence[list[int]], leaving: bool = False) -> list[np.ndarray]:
    """The logits behind each prompt and each further token. `leaving`: rows leave the batch on the way."""
    batch = model.begin(len(told))
    logits = batch.add([tokens[:-FURTHER] for tokens in told])
    found: list[list[np.ndarray]] = [[] for _ in told]
    alive = np.arange(len(told))
    for step in range(FURTHER):
        for place, row in enumerate(alive.tolist()):
            found[row].append(logits[place].copy())
        if leaving and step in (3, 6) and len(alive) > 3:
            kept = np.arange(len(alive) - 2)
            kept[1] = len(alive) - 1  # the last row into a gap; two others are finished
            alive = alive[kept]
            batch.keep(kept)
        tokens = np.array([told[row][len(told[row]) - FURTHER + step] for row in alive.tolist()])
        logits = batch.step(tokens)
    return [np.stack(rows) for rows in found]


# ---- what is computed


def test_the_whole_model_computes_what_a_llama_is(folder: Path, exported: dict[int, Path]) -> None:
    named = weights(folder)
    told = sequences()
    for tokens, logits in zip(told, logits_along(OnnxModel(exported[32]), told), strict=True):
        expected = reference_logits(named, tokens[:-1])[-FURTHER:]
        assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(("bits", "least"), [(8, 0.999), (4, 0.93)])
def test_the_quantised_model_computes_nearly_the_same(exported: dict[int, Path], bits: int, least: float) -> None:
    told = sequences()
    whole = np.concatenate(logits_along(OnnxModel(exported[32]), told))
    rounded = np.concatenate(logits_along(OnnxModel(exported[bits]), told))
    assert np.corrcoef(whole.ravel(), rounded.ravel())[0, 1] > least
    assert (exported[bits] / MODEL).stat().st_size < (exported[32] / MODEL).stat().st_size / 2


@pytest.mark.parametrize("bits", [32, 8, 4])
def test_a_row_is_the_same_to_the_last_bit_in_any_batch(exported: dict[int, Path], bits: int) -> None:
    model, told = OnnxModel(exported[bits]), sequences()
    alone = [logits_along(model, [tokens])[0] for tokens in told]
    for found in (logits_along(model, told), logits_along(OnnxModel(exported[bits], threads=2), told)):
        assert all(np.array_equal(one, other) for one, other in zip(alone, found, strict=True))
    for one, other in zip(alone, logits_along(model, told, leaving=True), strict=True):
        assert np.array_equal(one[: len(other)], other)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_torch_computes_what_onnx_does(folder: Path, exported: dict[int, Path], device: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    model, told = torch_model(folder, device), sequences()
    by_onnx, by_torch = logits_along(OnnxModel(exported[32]), told), logits_along(model, told)
    for one, other in zip(by_onnx, by_torch, strict=True):
        assert np.abs(one - other).max() < 1e-4 * np.abs(one).max()
        assert (one.argmax(axis=1) == other.argmax(axis=1)).all()
    for one, other in zip(by_torch, logits_along(model, told, leaving=True), strict=True):
        assert np.abs(one[: len(other)] - other).max() < 1e-4 * np.abs(one).max()


@pytest.mark.parametrize("bits", [8, 4])
def test_what_is_packed_computes_what_was_exported(
    folder: Path, exported: dict[int, Path], packed: dict[int, Path], bits: int
) -> None:
    told = sequences()
    by_onnx = logits_along(OnnxModel(packed[bits]), told)
    for one, other in zip(by_onnx, logits_along(OnnxModel(exported[bits]), told), strict=True):
        assert np.array_equal(one, other)
    rounded, before = unpacked(packed[bits]), weights(folder)
    assert rounded.keys() == before.keys()
    for name, matrix in before.items():
        # as far off as rounding brings it, the table of the tokens in 8 bits
        steps = 254 if bits == 8 or "embed" in name else 14
        assert np.abs(rounded[name] - matrix).max() <= 1.01 * np.abs(matrix).max() / steps
    by_torch = np.concatenate(logits_along(torch_model(packed[bits]), told))
    assert np.corrcoef(np.concatenate(by_onnx).ravel(), by_torch.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_rows_that_come_later_compute_the_same(folder: Path, exported: dict[int, Path], engine: str) -> None:
    """Rows leave at all times, and others take their places."""
    model = OnnxModel(exported[32]) if engine == "onnx" else torch_model(folder)
    told = sequences()
    expected = logits_along(model, told)
    batch, waiting = model.begin(4), list(range(len(told)))
    alive: list[int] = []
    done = np.zeros(len(told), dtype=int)
    while waiting or alive:
        new, waiting = waiting[: 4 - len(alive)], waiting[4 - len(alive) :]
        logits = batch.add([told[row][:-FURTHER] for row in new]) if new else np.empty((0, 0))
        for row, found in zip(new, logits, strict=True):
            assert np.abs(found - expected[row][0]).max() <= (0 if engine == "onnx" else 1e-4 * np.abs(found).max())
        alive += new
        # each has a length of its own, so that they leave one by one
        kept = np.array([place for place, row in enumerate(alive) if done[row] < FURTHER - 1 - row % 5], dtype=np.int64)
        if len(kept) < len(alive):
            batch.keep(kept)
            alive = [alive[place] for place in kept.tolist()]
            continue
        logits = batch.step(np.array([told[row][len(told[row]) - FURTHER + done[row]] for row in alive]))
        for row, found in zip(alive, logits, strict=True):
            done[row] += 1
            wrong = np.abs(found - expected[row][done[row]]).max()
            assert wrong <= (0 if engine == "onnx" else 1e-4 * np.abs(found).max())
    assert done.tolist() == [FURTHER - 1 - row % 5 for row in range(len(told))]


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_what_is_forgotten_leaves_no_trace(folder: Path, exported: dict[int, Path], engine: str) -> None:
    """Some rows go astray for a while, each as long as it likes, and come back."""
    model = OnnxModel(exported[32]) if engine == "onnx" else torch_model(folder)
    told = sequences()
    expected = logits_along(model, told)
    astray, rng = np.array([0, 3, 1, 0, 2, 5, 4, 0, 1, 2, 3]), np.random.default_rng(1)
    batch = model.begin(len(told))
    batch.add([tokens[:-FURTHER] for tokens in told])
    for step in range(FURTHER - 1):
        logits = batch.step(np.array([tokens[len(tokens) - FURTHER + step] for tokens in told]))
        for row, whole in zip(logits, expected, strict=True):
            assert np.abs(row - whole[step + 1]).max() <= (0 if engine == "onnx" else 1e-4 * np.abs(whole).max())
        if step in (4, 7):
            for _ in range(5):
                batch.step(rng.integers(5, 600, len(told)))
            batch.forget(np.where(astray > step // 7, 6, 5))
            far = astray > step // 7
            again = [
                tokens[len(tokens) - FURTHER + step] if gone else 7 for tokens, gone in zip(told, far, strict=True)
            ]
            batch.step(np.array(again))
            batch.forget((~far).astype(np.int64))


def test_torch_and_onnx_write_the_same(folder: Path, exported: dict[int, Path]) -> None:
    """Greedily, within the rules, as far as an answer may go: random weights come to no end by themselves."""
    engines = torch_model(folder), OnnxModel(exported[32])
    for engine in engines:
        engine.text = lambda tokens, engine=engine: engine.vocabulary.surfaces  # type: ignore[method-assign]
    said = []
    for engine in engines:
        steps: list[list[int]] = []
        recorded(engine, steps)
        generate(engine, asks(engine, 12, longest=40), Sampling(0.0))
        said.append(steps)
    assert said[0] == said[1]
    assert len(said[0]) > 30


def recorded(model: Any, steps: list[list[int]]) -> None:
    """Let a model note the tokens that it is given."""
    begin = model.begin

    def noting(rows: int) -> Any:
        batch = begin(rows)
        step = batch.step

        def noted(tokens: Any) -> Any:
            steps.append(tokens.tolist())
            return step(tokens)

        batch.step = noted
        return batch

    model.begin = noting


def asks(model: Causal, number: int, longest: int = 200) -> list[Ask]:
    """What is asked for by the first samples."""
    return [
        Ask(model.prompt(asked.prompt), tuple(asked.places), random.Random(n), longest)
        for n, (asked, _) in enumerate(samples()[:number])
    ]


def torch_model(folder: Path, device: str = "cpu") -> Any:
    """The model through torch, where that is installed."""
    for module in ("torch", "transformers", "peft"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    from fhirsynth.letters.lm.torch_model import TorchModel

    return TorchModel(str(folder), device)


@pytest.mark.parametrize("bits", [4, 8])
def test_blocks_stand_for_the_matrix(bits: int) -> None:
    matrix = np.random.default_rng(1).standard_normal((6, 3 * BLOCK)).astype(np.float32)
    matrix[2, :BLOCK] = 0
    packed, scales = quantised(matrix, bits)
    assert packed.shape == (6, 3, BLOCK * bits // 8) and scales.shape == (6, 3)
    numbers = packed if bits == 8 else np.stack([packed & 15, packed >> 4], axis=3).reshape(6, 3, BLOCK)
    back = (numbers.astype(np.float32) - 2 ** (bits - 1)) * scales[:, :, None]
    assert (np.abs(back.reshape(matrix.shape) - matrix).reshape(6, 3, BLOCK).max(axis=2) <= scales * 0.501).all()


def test_the_same_weights_make_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    revisions = {export(folder, tmp_path / name, 8) for name in ("a", "b")}
    assert len(revisions) == 1
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"]


def test_packing_makes_the_same_bytes_and_one_revision(
    folder: Path, packed: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = pack(folder, tmp_path / "again")
    assert {file.name for file in again.iterdir()} == {
        *("config.json", "fhirsynth.json", "model.onnx", "model.safetensors", "tokenizer.json")
    }
    assert all(file.read_bytes() == (packed[8] / file.name).read_bytes() for file in again.iterdir())
    assert (again / MODEL).stat().st_size < (again / WEIGHTS).stat().st_size / 3
    by_onnx, by_torch = maker.load(str(again)).identity(), torch_model(again).identity()
    assert by_onnx["revision"] == by_torch["revision"] != OnnxModel(packed[4]).identity()["revision"]
    with pytest.raises(InputError, match="again is not empty"):
        pack(folder, again)
    with pytest.raises(InputError, match="8 or 4 bits, asked for are 32"):
        pack(folder, tmp_path / "whole", 32)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        pack(folder, tmp_path / "file" / "below")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again", "file"]


def test_the_identity_names_the_file(exported: dict[int, Path], folder: Path, tmp_path: Path) -> None:
    revision = export(folder, tmp_path / "again", 8)
    whole = {"writer": "lm", "model": "tiny", "revision": revision, "engine": "onnx"}
    assert maker.load(str(exported[8])).identity() == whole
    assert maker.load(str(exported[4])).identity()["revision"] != revision
    torch_model(folder)
    assert maker.load(str(folder)).identity() | {"revision": ""} == whole | {"engine": "torch", "revision": ""}


# ---- other models


@pytest.fixture(scope="module")
def foreign(folder: Path) -> Path:
    """A model with a tokenizer of another kind, that spells placeholders."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator((text for _, text in samples()), trainer)
    made = write_model(folder.parent / "foreign", seed=2, vocabulary_size=tokenizer.get_vocab_size() + 3)
    for name in ("tokenizer.json", "fhirsynth.json"):
        (made / name).unlink()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(made)
    return made


def test_a_foreign_model_keeps_the_rules(foreign: Path) -> None:
    model = torch_model(foreign)
    assert model.vocabulary.spells
    of = model.vocabulary
    assert of.breaks.sum() <= 1 and of.figures.sum() >= 10
    # what the phrasebook says can be said with its tokens, and reads the same
    for asked, text in samples()[:40]:
        if "\n" not in text:
            assert model.text(model.codec.answer(text)) == text
            assert "".join(of.surfaces[n] for n in model.codec.answer(text)[:-1]) == text
        assert model.prompt(asked.prompt)
    recordings: list[list[int]] = []
    recorded(model, recordings)
    generate(model, asks(model, 4, longest=60), Sampling(1.0, 1.0))
    said = "".join(of.surfaces[tokens[0]] for tokens in recordings)
    assert len(said) > 40
    assert not any(c.isdigit() for c in said.replace("{", "\0{").split("\0")[0])


def test_an_adapter_is_put_on_its_model(folder: Path, tmp_path: Path) -> None:
    plain = torch_model(folder)
    made = adapter(folder, tmp_path / "adapter")
    model, told = torch_model(made), sequences((6, 9))
    changed, before = logits_along(model, told), logits_along(plain, told)
    assert all(np.abs(one - other).max() > 0.1 for one, other in zip(changed, before, strict=True))
    assert isinstance(model.codec, type(own_tokens()))

    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    unmerged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(str(folder)), str(made)).eval()
    with torch.inference_mode():
        expected = unmerged(input_ids=torch.tensor([told[0][:-1]])).logits[0, -FURTHER:].numpy()
    assert np.abs(changed[0] - expected).max() < 1e-3 * np.abs(expected).max()


def adapter(base: Path, to: Path) -> Path:
    """An adapter of random weights for a model."""
    pytest.importorskip("peft", reason="peft is not installed")
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    names = ["q_proj", "up_proj"]
    config = LoraConfig(r=4, target_modules=names, task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(str(base)), config).save_pretrained(str(to))
    return to


def test_nothing_is_fetched_for_a_folder(folder: Path, foreign: Path, tmp_path: Path, no_network: None) -> None:
    torch_model(folder)
    torch_model(foreign)
    torch_model(adapter(folder, tmp_path / "adapter"))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a network: who tries to reach one is told so."""

    def refused(*_: Any, **__: Any) -> None:
        raise OSError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)


# ---- what can be wrong


def refused(folder: Path | str, device: str = "cpu") -> str:
    """What the user is told who asks for a model that cannot be had."""
    with pytest.raises(InputError) as told:
        maker.load(str(folder), device)
    message = str(told.value)
    assert "\n" not in message and "Traceback" not in message
    return message


def test_a_damaged_onnx_file(exported: dict[int, Path], tmp_path: Path) -> None:
    whole = (exported[8] / MODEL).read_bytes()
    copied = Path(shutil.copytree(exported[8], tmp_path / "copied"))
    for damaged in (whole[: len(whole) // 2], b"", b"no model", whole[:2000] + b"\xff" * 3000 + whole[5000:]):
        (copied / MODEL).write_bytes(damaged)
        if damaged.startswith(whole[:2000]) and len(damaged) == len(whole):
            continue  # weights that are numbers still cannot be told from others
        assert f"{copied / MODEL}" in refused(copied)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_damaged_packed_folder(packed: dict[int, Path], tmp_path: Path, engine: str) -> None:
    copied = Path(shutil.copytree(packed[8], tmp_path / "copied"))
    if engine == "torch":
        torch_model(copied)
        (copied / MODEL).unlink()
    whole = (copied / WEIGHTS).read_bytes()
    for damaged in (whole[: len(whole) // 2], b""):
        (copied / WEIGHTS).write_bytes(damaged)
        assert "is damaged" in refused(copied)
    (copied / WEIGHTS).unlink()
    assert str(copied) in refused(copied)


def test_an_onnx_file_of_another_program(exported: dict[int, Path], tmp_path: Path) -> None:
    import onnx

    copied = Path(shutil.copytree(exported[32], tmp_path / "copied"))
    model = onnx.load(copied / MODEL)
    del model.metadata_props[:]
    onnx.save(model, copied / MODEL)
    assert "was not written by fhirsynth" in refused(copied)


def test_a_folder_without_its_parts(exported: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = Path(shutil.copytree(exported[8], tmp_path / "copied"))
    (copied / "tokenizer.json").unlink()
    assert "holds no tokenizer.json" in refused(copied)
    monkeypatch.setattr(maker, "shipped", lambda: tmp_path / "nowhere")
    with pytest.raises(InputError, match="no language model came with this package: name one with --model"):
        maker.load(None)
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(InputError, match=r"there is no .*nowhere.model\.onnx"):
        maker.load(None)
    too_many = Path(shutil.copytree(exported[8], tmp_path / "others"))
    (too_many / MODEL).unlink()
    export(write_model(tmp_path / "narrow", vocabulary_size=320), too_many / MODEL)
    assert "they are of two models" in refused(too_many)


def test_a_damaged_model_of_torch(folder: Path, tmp_path: Path) -> None:
    torch_model(folder)
    from safetensors.numpy import save_file

    copied = Path(shutil.copytree(folder, tmp_path / "copied"))
    file = copied / "model.safetensors"
    whole = file.read_bytes()
    for damaged in (whole[:-100], whole[:50], b""):
        file.write_bytes(damaged)
        assert "is damaged" in refused(copied)
        with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
            export(copied, tmp_path / "x.onnx")
    lacking = random_weights(shape(folder).vocabulary, 0)
    del lacking["model.layers.1.mlp.up_proj.weight"]
    save_file(lacking, file, {"format": "pt"})
    assert "lack model.layers.1.mlp.up_proj.weight" in refused(copied)
    with pytest.raises(InputError, match=r"model\.layers\.1\.mlp\.up_proj\.weight is missing"):
        export(copied, tmp_path / "x.onnx")
    file.unlink()
    assert f"{copied}" in refused(copied)
    with pytest.raises(InputError, match=r"model\.safetensors cannot be read"):
        export(copied, tmp_path / "x.onnx")
    assert not list(tmp_path.glob("*.onnx*")) + list(tmp_path.glob(".*"))


def test_a_damaged_adapter(folder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    torch_model(folder)
    made = adapter(folder, tmp_path / "adapter")
    file, config = made / "adapter_model.safetensors", made / "adapter_config.json"
    whole, named, told = file.read_bytes(), load_file(file), config.read_text()
    file.write_bytes(whole[:-30])
    assert f"{made} is damaged" in refused(made)
    save_file(dict(list(named.items())[1:]), file, {"format": "pt"})
    assert f"{made} is damaged" in refused(made)
    save_file({name: value[..., :-1].copy() for name, value in named.items()}, file, {"format": "pt"})
    assert f"{made} is damaged" in refused(made)
    file.write_bytes(whole)
    config.write_text(told[:40])
    assert f"{config} is damaged" in refused(made)
    config.write_text(json.dumps(json.loads(told) | {"base_model_name_or_path": "nobody/nothing"}))
    assert "an adapter of nobody/nothing, which is not on this machine" in refused(made)


def test_no_tokenizer(foreign: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(foreign, tmp_path / "copied"))
    for file in copied.glob("tokenizer*"):
        file.unlink()
    assert f"{copied} holds no tokenizer that can be read" in refused(copied)


def test_a_model_that_cannot_take_words_back(foreign: Path, tmp_path: Path) -> None:
    torch_model(foreign)
    from transformers import MambaConfig, MambaForCausalLM

    copied = Path(shutil.copytree(foreign, tmp_path / "copied"))
    size = len(torch_model(foreign).codec)
    MambaForCausalLM(MambaConfig(vocab_size=size, hidden_size=32, num_hidden_layers=2)).save_pretrained(copied)
    assert "a model of the kind mamba cannot take words back" in refused(copied)


def test_tokens_of_another_model(foreign: Path, tmp_path: Path) -> None:
    narrow = write_model(tmp_path / "narrow", vocabulary_size=320)
    assert "they are of two models" in refused(narrow)
    (narrow / "fhirsynth.json").unlink()
    for file in foreign.glob("tokenizer*"):
        shutil.copy(file, narrow)
    assert "they are of two models" in refused(narrow)


def test_a_model_that_does_not_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = torch_model(folder)
    import torch

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(model._model), "forward", full)
    with pytest.raises(InputError, match="does not fit into the device's memory"):
        generate(model, asks(model, 1))


def test_no_such_model(tmp_path: Path, no_network: None) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    assert "there is no folder" in refused(tmp_path / "nowhere")
    assert "there is no folder" in refused("a/b/c")
    assert "no model 'nobody/nothing-at-all' can be had" in refused("nobody/nothing-at-all")
    (tmp_path / "file").write_text("no model")
    assert "is a file" in refused(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'empty'}" in refused(tmp_path / "empty")


def test_no_such_device(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no device is called 'abacus'" in refused(folder, "abacus")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--device cuda" in refused(folder, "cuda")


@pytest.mark.parametrize(
    ("missing", "extra"),
    [("onnxruntime", "letters"), ("tokenizers", "letters"), ("torch", "train"), ("transformers", "train")],
)
def test_an_extra_that_is_not_installed(
    folder: Path, exported: dict[int, Path], monkeypatch: pytest.MonkeyPatch, missing: str, extra: str
) -> None:
    lacking(missing, monkeypatch)
    assert f"fhirsynth[{extra}]" in refused(exported[8] if extra == "letters" else folder)


def test_exporting_says_what_it_lacks(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("onnx", "safetensors"):
        with monkeypatch.context() as patch:
            lacking(missing, patch)
            with pytest.raises(InputError, match=r"fhirsynth\[train\]"):
                export(folder, tmp_path / "x.onnx")


def lacking(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a package not be installed."""
    found = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.split(".")[0] == missing:
            raise ImportError(f"No module named {missing!r}")
        return found(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model_type": "gpt2"}, "only a plain Llama"),
        ({"attention_bias": True}, "only a plain Llama"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "only a plain Llama"),
        ({"hidden_act": "gelu"}, "expected the activation 'silu'"),
        ({"hidden_size": WIDTH + 16}, "expected"),
        ({"num_hidden_layers": LAYERS + 1}, "is missing"),
        ({"num_hidden_layers": "many"}, "is no configuration"),
    ],
)
def test_what_cannot_be_exported(folder: Path, tmp_path: Path, change: dict[str, Any], told: str) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "copied"))
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError, match=told):
        export(copied, tmp_path / "x.onnx")


def test_where_nothing_can_be_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        export(folder, tmp_path / "no" / "x.onnx")
    with pytest.raises(InputError, match="4, 8 or 32 bits"):
        export(folder, tmp_path / "x.onnx", 5)


# ---- the model of the package


@pytest.fixture(scope="module")
def default() -> Iterator[Path]:
    """The folder of the package's own model."""
    if not (shipped() / MODEL).exists():
        pytest.skip("the package's own model is not there")
    yield shipped()


@pytest.fixture(scope="module")
def whole(default: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in a folder of transformers with an ONNX file, both of whole weights."""
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("whole")
    for name in ("config.json", "tokenizer.json"):
        shutil.copyfile(default / name, folder / name)
    (folder / "fhirsynth.json").write_text('{"name": "whole"}', encoding="utf-8")
    save_file(unpacked(default), folder / WEIGHTS, {"format": "pt"})
    export(folder, folder / MODEL, 32)
    return folder


def test_the_shipped_files_are_of_one_model(default: Path, whole: Path, tmp_path: Path) -> None:
    again = pack(whole, tmp_path / "again")
    assert (again / MODEL).read_bytes() == (default / MODEL).read_bytes()
    assert sum(file.stat().st_size for file in default.iterdir()) < 60e6
    for name, matrix in unpacked(again).items():
        assert np.allclose(matrix, unpacked(default)[name], rtol=1e-3, atol=1e-6)


def test_the_shipped_model_is_as_good_in_integers(default: Path, whole: Path) -> None:
    """It tells the phrasebook's next token as well as in whole numbers, and as many of its drafts are sound."""
    exact, rounded = OnnxModel(whole), OnnxModel(default)
    agreeing = [
        (one.argmax(axis=1) == other.argmax(axis=1)).mean()
        for one, other in zip(read_along(exact), read_along(rounded), strict=True)
    ]
    assert np.mean(agreeing) > 0.97
    shares = []
    for model in (exact, rounded):
        counted = Counter[str]()
        ModelMaker(model, DRAFTS[:1]).letters(stays()[:30], Manner(writer="lm"), counted)
        shares.append(counted["first_draft"] / counted["sections"])
    assert shares[1] > shares[0] - 0.08
    assert shares[1] > 0.7


def read_along(model: OnnxModel) -> list[np.ndarray]:
    """The logits behind each token of what the phrasebook says, sample by sample."""
    found = []
    for asked, text in samples()[::12]:
        tokens = [*model.tokens.prompt(asked.prompt), *model.tokens.answer(text)]
        if len(tokens) <= model.context:
            batch = model.begin(1)
            rows = [batch.add([tokens[:-FURTHER]])[0]]
            rows += [batch.step(np.array([token]))[0] for token in tokens[-FURTHER:-1]]
            found.append(np.stack(rows))
    return found


def test_torch_and_onnx_write_the_same_with_the_shipped_model(default: Path, whole: Path) -> None:
    engines = torch_model(default), OnnxModel(whole)
    answers = [generate(model, asks(model, 12), Sampling(0.0)) for model in engines]
    assert answers[0] == answers[1]
    assert sum(answer is not None for answer in answers[0]) >= 10
