"""The model's corpus, its tokens, and training: sound samples, exact round trips, a run that resumes where it was."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fhirsynth.cli.app import app
from fhirsynth.errors import InputError
from fhirsynth.letters.check import check_section
from fhirsynth.letters.facts import Stay
from fhirsynth.letters.lm.brief import NAME, Brief, UnsaidError, section_of
from fhirsynth.letters.lm.corpus import Sample, briefs, exemplars, read, samples
from fhirsynth.letters.lm.tokens import Tokens, learn
from fhirsynth.letters.lm.training import Plan, train
from fhirsynth.letters.phrases import GRAMMAR, VOICES, load
from fhirsynth.letters.plan import plan
from fhirsynth.letters.writing import PhrasebookWriter, voice_of
from fhirsynth.run.letters import all_stays
from fhirsynth.spec import Spec

SMALL = Plan(people=8, times=1, steps=6, batch=600, layers=1, width=32, heads=2, shared_heads=1, hidden=64)


def some(people: int, seed: int) -> Iterator[Stay]:
    return (told.stay for told in all_stays(Spec(n=people, seed=seed)))


@pytest.fixture(scope="module")
def corpus() -> list[Sample]:
    return list(samples(some(40, 3), 1, 2))


@pytest.fixture(scope="module")
def asked() -> list[tuple[Brief, str]]:
    return [pair for stay in islice(some(30, 5), 40) for pair in briefs(stay, voice_of(stay, 1), 1)]


def test_a_brief_and_its_text_make_the_section_that_the_phrasebook_writes(asked: list[tuple[Brief, str]]) -> None:
    assert len(asked) > 80
    for brief, text in asked:
        writer = PhrasebookWriter(load(), brief.voice)
        planned = next(item for item in plan(brief.stay) if item.heading.key == brief.section)
        expected = writer.section(brief.stay, planned, 1)
        made = section_of(brief, text)
        assert (made.text, made.spans) == (expected.text, expected.spans)
        assert made.writer == "lm"


def test_no_value_stands_in_what_the_model_reads_or_writes(asked: list[tuple[Brief, str]]) -> None:
    for brief, text in asked:
        for place in brief.places.values():
            value = place.facts[0].values[place.slot]
            if value.type in ("person_name", "nhs_number", "medication", "date", "staff_name") and len(value.text) > 4:
                assert value.text not in brief.prompt
                assert value.text not in text


def test_an_answer_that_is_not_what_was_asked_for_is_refused(asked: list[tuple[Brief, str]]) -> None:
    brief, text = next(pair for pair in asked if pair[0].places)
    one = next(iter(brief.places))
    with pytest.raises(UnsaidError, match="left out"):
        section_of(brief, text.replace(one, "it"))
    with pytest.raises(UnsaidError, match="not in the brief"):
        section_of(brief, text + " Also {started9.dose}.")
    with pytest.raises(UnsaidError, match="agrees with nobody"):
        section_of(brief, text + " [They] left.")


def test_samples_are_said_in_many_ways_and_are_sound(corpus: list[Sample]) -> None:
    reworded = {re.sub(r"\{[^}]*\}", "{}", sample.text) for sample in corpus}
    book = {re.sub(r"\{[^}]*\}", "{}", pattern.text) for pattern in load().patterns}
    said = {sentence for text in reworded for sentence in re.split(r"(?<=[.?!])\s+", text)}
    assert len(said - book) > len(said) / 4
    assert {sample.brief.split(" ")[1].strip("<>") for sample in corpus} == set(VOICES)


def test_exemplars_use_the_words_of_their_brief_once() -> None:
    found = exemplars()
    assert len(found) >= 400
    for sample in found:
        wanted = [item for item in sample.brief.split(" ") if item.startswith("{")]
        written = [token for token in re.findall(r"\{[^{}]*\}", sample.text) if token != NAME]
        assert sorted(wanted) == sorted(written), sample.text
        assert set(re.findall(r"\[([^\[\]]*)\]", sample.text)) <= GRAMMAR
        assert not re.search(r"\b(?:he|she|him|his|her|hers)\b", re.sub(r"[\[{][^\]}]*[\]}]", "", sample.text), re.I)


def test_exemplars_can_be_said_of_a_stay(asked: list[tuple[Brief, str]]) -> None:
    """Each text that fits a brief here (same placeholders) is read by the check without a failure of form."""
    tried = 0
    by_places = {frozenset(t for t in s.brief.split(" ") if t[0] == "{"): s for s in exemplars()}
    for brief, _ in asked:
        sample = by_places.get(frozenset(brief.places))
        if sample is not None and sample.brief.split(" ")[0] == f"<{brief.section}>":
            section = section_of(brief, sample.text)
            check_section(brief.stay, section.key, section.text)
            assert section.text.count("{") == 0
            tried += 1
    assert tried


def test_tokens_give_back_every_text(corpus: list[Sample], tmp_path: Path) -> None:
    tokens = learn((sample.brief for sample in corpus), (sample.text for sample in corpus), 1200)
    tokens.save(tmp_path)
    again = Tokens.load(tmp_path)
    assert again.vocabulary == tokens.vocabulary
    for sample in corpus:
        numbers = again.answer(sample.text)
        assert numbers[-1] == again.end
        assert again.text(numbers) == sample.text
        assert (
            "".join(again.vocabulary[number] for number in numbers[:-1]).replace("<paragraph>", "\n\n") == sample.text
        )
    prompt = again.prompt(f"{corpus[0].brief} <never-seen>")
    assert prompt == again.prompt(corpus[0].brief)


@given(st.text(st.characters(codec="utf-8", exclude_characters="<>{}[]\n"), max_size=60))
def test_tokens_know_any_text(text: str) -> None:
    tokens = _few()
    assert tokens.text(tokens.answer(text)) == text.strip()


def _few() -> Tokens:
    return learn(["<social>"], ["{patient.short} lives alone. [He] smokes."] * 4, 300)


def test_tokens_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no tokenizer\.json"):
        Tokens.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="is no tokenizer"):
        Tokens.load(tmp_path)


def test_a_run_that_was_stopped_gives_the_model_of_one_go(tmp_path: Path) -> None:
    train(tmp_path / "whole", SMALL, some, threads=1, every=3)

    class StoppedError(Exception):
        pass

    import fhirsynth.letters.lm.training as training

    original = training._Run._checkpoint

    def once(run: training._Run) -> None:
        original(run)
        if run.step == 3:
            raise StoppedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training._Run, "_checkpoint", once)
        with pytest.raises(StoppedError):
            train(tmp_path / "halves", SMALL, some, threads=1, every=3)
    with pytest.raises(InputError, match="--resume goes on"):
        train(tmp_path / "halves", SMALL, some)
    with pytest.raises(InputError, match="begun with steps 6, asked for now is 7"):
        train(tmp_path / "halves", SMALL.__class__(**{**vars(SMALL), "steps": 7}), some, resume=True)
    model = train(tmp_path / "halves", SMALL, some, threads=1, every=3, resume=True)
    first, second = (tmp_path / name / "model" / "model.safetensors" for name in ("whole", "halves"))
    assert first.read_bytes() == second.read_bytes()
    about = json.loads((model / "fhirsynth.json").read_text())
    assert about["revision"] == json.loads((first.parent / "fhirsynth.json").read_text())["revision"]
    assert about["held_out_loss"] > 0
    (tmp_path / "halves" / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="is damaged"):
        train(tmp_path / "halves", SMALL, some, resume=True)


def test_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("there")
    with pytest.raises(InputError, match="is not empty"):
        train(tmp_path, SMALL, some)
    with pytest.raises(InputError, match="no training run to resume"):
        train(tmp_path / "new", SMALL, some, resume=True)
    (tmp_path / "lines.jsonl").write_text('{"brief": "<social>", "text": "Lives alone."}\n{"brief": 1}\n')
    with pytest.raises(InputError, match="line 2"):
        read(tmp_path / "lines.jsonl")
    result = CliRunner().invoke(app, ["letters", "train", str(tmp_path / "new"), "--device", "cuda", "--steps", "1"])
    assert result.exit_code != 0


def _base(folder: Path, texts: list[str]) -> Path:
    """A small Llama with a byte-level BPE tokenizer, as others make them."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=900, special_tokens=["<|end|>"], show_progress=False)
    bpe.save(str(folder / "bpe.json"))
    PreTrainedTokenizerFast(tokenizer_file=str(folder / "bpe.json"), eos_token="<|end|>").save_pretrained(folder)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
    LlamaForCausalLM(
        LlamaConfig(vocab_size=900, num_hidden_layers=6, tie_word_embeddings=True, **shape)
    ).save_pretrained(folder)
    return folder


def test_a_larger_model_made_small_keeps_its_layers_and_words(corpus: list[Sample], tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    from fhirsynth.letters.lm.reducing import reduced

    plain = [re.sub(r"[\[{][^\]}]*[\]}]", "", sample.text) for sample in corpus]
    base = _base(tmp_path, [*plain, "quite other words, which no letter has: zebra, quixotic"] * 2)
    few = corpus[:60]
    tokens, small = reduced(str(base), 5, 128, (sample.brief for sample in corpus), [sample.text for sample in few])
    whole, spelt = LlamaForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    for mine, theirs in enumerate((0, 1, 3, 4, 5)):  # the third is cut: the last three are kept
        for name, weight in small.model.layers[mine].state_dict().items():
            assert torch.equal(weight, whole.model.layers[theirs].state_dict()[name])
    for sample in few:
        numbers = tokens.answer(sample.text)
        assert tokens.text(numbers) == sample.text
    words = max(re.split(r"\{[^}]*\}|\[[^\]]*\]|\n\n", few[0].text), key=len)
    numbers = tokens.answer(words)[:-1]
    assert [tokens.vocabulary[n] for n in numbers] == [spelt.decode([n]) for n in spelt.encode(words)]
    rows, before = small.get_input_embeddings().weight, whole.get_input_embeddings().weight
    assert torch.equal(rows[numbers[0]], before[spelt.encode(words)[0]])
    with pytest.raises(InputError, match="6 layers"):
        reduced(str(base), 7, 128, [], [])
    with pytest.raises(InputError, match="cannot be read"):
        reduced(str(tmp_path / "nothing"), 4, 128, [], [])
