"""Letters by the language model beside letters by the phrasebook: how many drafts pass, how they read, how fast.

python benchmarks/letters.py [--stays 500] [--model FOLDER] [--writers lm,phrasebook] [--corpus FILE] [--judge NAME]
                             [--show N]

Both write about the same stays (of people that the model has not been trained on: another seed), on one core. Told for
each: what became of the drafts; of the narrative prose, values put aside, the share of its sentences that stand word
for word in the training text (`--corpus`: the corpus.jsonl of the training run; exemplars are counted in) and in the
phrasebook; distinct-2; self-BLEU-4; length; reading age (Flesch-Kincaid grade + 5); with `--judge` perplexity under
another causal model (a folder, a name, or a .gguf file), with the values in. `--show` prints so many of each in full.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import resource
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from fhirsynth.letters.facts import Stay
from fhirsynth.letters.letter import Letter, Section, as_text
from fhirsynth.letters.making import Manner, make, maker
from fhirsynth.letters.phrases import load
from fhirsynth.run.letters import all_stays
from fhirsynth.spec import Spec

NARRATIVE = ("clinical-summary", "social", "plan", "information")
#: Letters to a call, about as many as a shard of people has.
TOGETHER = 270
_PERSON = re.compile(
    r"\b(?:he|she|him|his|her|hers|himself|herself|they|them|their|theirs|themselves|man|woman|boy|girl|gentleman|lady"
    r"|baby)\b"
)
_SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z{\[])")


def some_stays(wanted: int, seed: int) -> list[Stay]:
    """So many stays, from as many people as it takes."""
    return [told.stay for told in islice(all_stays(Spec(n=100_000, seed=seed)), wanted)]


def prose(letter: Letter) -> list[Section]:
    """The narrative sections of a letter."""
    return [section for section in letter.sections if section.key in NARRATIVE]


def bare(section: Section) -> str:
    """A section's text with {} for each value."""
    text, at = "", 0
    for span in section.spans:
        text += section.text[at : span.start] + "{}"
        at = span.end
    return text + section.text[at:]


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text as far as wording goes: a list is one value, he and she are one, so are a and an."""
    for sentence in _SENTENCE.split(text.replace("\n", " ")):
        said = _PERSON.sub("#", sentence.lower().strip())
        said = re.sub(r"\{\}(?:(?:, | and )\{\})+", "{}", said)
        said = re.sub(r"\ban\b", "a", said).replace("#'s", "#")
        if len(said.split()) > 2:
            yield said


def from_pattern(text: str) -> str:
    """A text with placeholders in the same form as `bare` has."""
    return re.sub(r"\[[^\[\]]*\]", "he", re.sub(r"\{[^{}]*\}", "{}", text))


def known_sentences(corpus: Path) -> set[str]:
    """All sentences of the training text."""
    from fhirsynth.letters.lm.corpus import exemplars, read

    return {said for sample in (*read(corpus), *exemplars()) for said in sentences(from_pattern(sample.text))}


def distinct(texts: Iterable[str], n: int = 2) -> float:
    """Different n-grams over all n-grams."""
    grams: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = re.findall(r"\w+|\{\}", text.lower())
        grams.update(zip(*(words[i:] for i in range(n)), strict=False))
    return len(grams) / max(1, grams.total())


def self_bleu(texts: Sequence[str], among: int = 100) -> float:
    """Mean BLEU-4 of each text against the others: the lower, the more varied (0 to 1)."""
    from sacrebleu.metrics import BLEU

    chosen = random.Random(1).sample(list(texts), min(among, len(texts)))
    bleu = BLEU(effective_order=True)
    scores = (bleu.sentence_score(t, [*chosen[:i], *chosen[i + 1 :]]).score for i, t in enumerate(chosen))
    return statistics.fmean(scores) / 100


def reading_age(texts: Iterable[str]) -> float:
    """Flesch-Kincaid grade + 5, syllables counted as groups of vowels."""
    words = sentences_ = syllables = 0
    for text in texts:
        sentences_ += len(_SENTENCE.split(text))
        for word in re.findall(r"[A-Za-z]+", text):
            words += 1
            syllables += max(1, len(re.findall(r"[aeiouy]+", word.lower().removesuffix("e"))))
    return 0.39 * words / sentences_ + 11.8 * syllables / words - 15.59 + 5


def perplexity(texts: Sequence[str], judge: str, most: int = 100) -> float:
    """Perplexity a token of the first texts under another causal model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = Path(judge)
    where: dict[str, Any] = {"gguf_file": file.name} if file.suffix == ".gguf" else {}
    name = str(file.parent) if where else judge
    tokenizer, model = AutoTokenizer.from_pretrained(name, **where), AutoModelForCausalLM.from_pretrained(name, **where)
    model.eval()
    total = count = 0.0
    with torch.no_grad():
        for text in texts[:most]:
            ids = tokenizer(text, return_tensors="pt").input_ids[:, :1024]
            total += float(model(ids, labels=ids).loss) * (ids.shape[1] - 1)
            count += ids.shape[1] - 1
    return math.exp(total / count)


def main() -> None:
    """Write, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stays", type=int, default=500)
    parser.add_argument("--seed", type=int, default=4242)
    parser.add_argument("--writers", default="lm,phrasebook")
    parser.add_argument("--model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--judge")
    parser.add_argument("--show", type=int, default=0)
    asked = parser.parse_args()
    about = some_stays(asked.stays, asked.seed)
    known = known_sentences(asked.corpus) if asked.corpus else set()
    book = {said for pattern in load().patterns for said in sentences(from_pattern(pattern.text))}
    for writer in asked.writers.split(","):
        manner = Manner(writer=writer, model=asked.model, device=asked.device, to_patient=False, seed=asked.seed)
        by = maker(manner)
        make(about[:20], manner, by)  # loads what is loaded once
        counted: Counter[str] = Counter()
        letters: list[Letter] = []
        wall, cpu = time.perf_counter(), time.process_time()
        for at in range(0, len(about), TOGETHER):
            made, counts = make(about[at : at + TOGETHER], manner, by)
            counted += counts
            letters += [found.letter for found in made if found.letter is not None]
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        sections = [section for letter in letters for section in prose(letter)]
        own = [section for section in sections if section.writer == writer]
        said = [sentence for section in own for sentence in sentences(bare(section))]
        texts = ["\n\n".join(section.text for section in prose(letter)) for letter in letters]
        spans = [(as_text(letter)[0], as_text(letter)[1]) for letter in letters]
        right = sum(text[span.start : span.end] == span.surface for text, found in spans for span in found)
        total = sum(len(found) for _, found in spans)
        figures: dict[str, Any] = {
            **by.identity(),
            "letters": len(letters),
            **{name: count for name, count in sorted(counted.items()) if name != "letters"},
            "letters a second (wall)": len(letters) / wall,
            "letters a second of processor time": len(letters) / cpu,
            "memory (MB, at most)": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "spans that equal their text": right / total,
            "sentences": len(said),
            "share word for word in the training text": sum(s in known for s in said) / len(said) if known else None,
            "share word for word in the phrasebook": sum(s in book for s in said) / len(said),
            "different sentences / sentences": len(set(said)) / len(said),
            "distinct-2": distinct(bare(section) for section in own),
            "self-BLEU-4": self_bleu([bare(section) for section in own if section.key == "clinical-summary"]),
            "words a letter's prose": statistics.fmean(len(text.split()) for text in texts),
            "words a sentence": statistics.fmean(len(sentence.split()) for sentence in said),
            "reading age": reading_age(texts),
        }
        if asked.judge:
            figures["perplexity"] = perplexity(texts, asked.judge)
        print(json.dumps(figures, indent=2, default=str))
        for text in texts[: asked.show]:
            print("-" * 100, text, sep="\n")


if __name__ == "__main__":
    main()
