"""Letters whose prose a language model writes, section by section; every draft is read back before it is used.

Of each stay the facts of a section are chosen as the phrasebook chooses them, and go to the model as a brief. A draft
that does not come to its end, or in which the reader finds something wrong, is written again, bolder and from another
choice of facts; after the last one the phrasebook writes that section. Where a whole letter does not pass, it is
written by the phrasebook.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

from fhirsynth.errors import InputError
from fhirsynth.letters.check import check_letter, check_section
from fhirsynth.letters.facts import Stay
from fhirsynth.letters.letter import Letter, Section
from fhirsynth.letters.lm.brief import Brief, UnsaidError, brief, section_of
from fhirsynth.letters.lm.decoding import ROWS, Ask, Causal, Sampling, answered
from fhirsynth.letters.lm.wording import Wording, topics_of
from fhirsynth.letters.making import Manner, sound
from fhirsynth.letters.phrases import VOICES
from fhirsynth.letters.phrases import load as phrasebook
from fhirsynth.letters.plan import Planned, plan
from fhirsynth.letters.writing import PhrasebookWriter, stream, voice_of

#: How bold each draft of a section is, the first one first; a token twenty times less likely than what the model wants
#: is none that it means.
DRAFTS = (Sampling(0.5, 0.95, 3.0, 40), Sampling(0.85, 0.95, 3.0, 20), Sampling(1.0, 0.95, 4.0, 20))
#: Tokens that an answer may have: so many, and so many more for each placeholder. The corpus needs half of it.
_LENGTH, _A_PLACE = 96, 12
#: Sections in whose words figures may stand (when to call 999).
_FIGURES = frozenset({"information"})
#: Drafts of a section by the phrasebook, and how far apart the seeds are of one draft and the next.
_BY_HAND, APART = 4, 1_000_003
#: What is counted, in the order of a draft's life.
COUNTED = (
    *("sections", "drafts", "rejected", "first_draft", "after_retries", "fallback", "unbriefed", "letters_fallback"),
)
#: The model of the package.
_SHIPPED = "default"

_log = logging.getLogger(__name__)


@dataclass
class _Task:
    """A narrative section of a letter: what the model is asked for, and the section once it is sound."""

    stay: Stay
    planned: Planned
    voice: str
    brief: Brief | None
    made: Section | None = field(default=None)


class ModelMaker:
    """A `Maker` of `making`: the letters to general practitioners, written by a model."""

    def __init__(
        self, model: Causal, drafts: Sequence[Sampling] = DRAFTS, rows: int = ROWS, wording: Wording | None = None
    ) -> None:
        self.model, self.drafts, self.rows, self.wording = model, tuple(drafts), rows, wording

    def identity(self) -> dict[str, Any]:
        """That a model writes, and which."""
        return {"writer": "lm", **self.model.identity()}

    def letters(self, stays: Sequence[Stay], manner: Manner, counted: Counter[str]) -> list[Letter | None]:
        """A letter for each stay, in order; None where nobody can write one that passes the check.

        Adds to `counted`: `sections` given to the model, of them `first_draft`, `after_retries` and `fallback` (to the
        phrasebook), its `drafts` and those `rejected`; `unbriefed` sections, for which there can be no brief;
        `letters_fallback`, whole letters by the phrasebook. Raises InputError for a voice that there is not.
        """
        if manner.voice is not None and manner.voice not in VOICES:
            raise InputError(f"no voice is called {manner.voice!r}: use one of {', '.join(VOICES)}")
        for name in COUNTED:
            counted[name] += 0
        planned = [(stay, plan(stay), manner.voice or voice_of(stay, manner.seed)) for stay in stays]
        tasks = {
            (number, section.heading.key): _Task(stay, section, voice, self._brief(stay, section, voice, manner.seed))
            for number, (stay, sections, voice) in enumerate(planned)
            for section in sections
            if section.heading.kind == "narrative"
        }
        self._write(list(tasks.values()), manner.seed, counted)
        letters: list[Letter | None] = []
        for number, (stay, sections, voice) in enumerate(planned):
            writer = PhrasebookWriter(phrasebook(), voice)
            made = [
                _sound_section(tasks[number, section.heading.key], writer, manner.seed, counted)
                if section.heading.kind == "narrative"
                else writer.section(stay, section, manner.seed)
                for section in sections
            ]
            letter = Letter(stay.note_id, stay, tuple(section for section in made if section.text), voice, "gp")
            wrong = check_letter(stay, letter.sections)
            if wrong:
                _log.debug("%s: by the phrasebook: %s", stay.note_id, wrong[0])
                counted["letters_fallback"] += 1
            letters.append(sound(stay, manner, "gp", counted) if wrong else letter)
        return letters

    def _brief(self, stay: Stay, planned: Planned, voice: str, seed: int) -> Brief | None:
        """The brief of a section with facts chosen by a seed, None where there is none that the model can read."""
        made = brief(stay, planned, voice, PhrasebookWriter(phrasebook(), voice).outline(stay, planned, seed))
        return made[0] if made is not None and self.model.vocabulary.can_say(made[0].places) else None

    def _write(self, tasks: Sequence[_Task], seed: int, counted: Counter[str]) -> None:
        """Let the model write what it can; a draft that is not sound is asked for again at once."""
        asked = {self._ask(task, seed, 0): (task, 0) for task in tasks if task.brief is not None}
        counted["sections"] += len(asked)
        # the longest first, so that none of them is left alone at the end
        waiting = deque(sorted(asked, key=lambda ask: (ask.longest, len(ask.prompt)), reverse=True))
        for ask, answer in answered(self.model, waiting, self.rows):
            task, attempt = asked.pop(ask)
            task.made = _read_back(task, answer)
            counted["drafts"] += 1
            if task.made is not None:
                counted["after_retries" if attempt else "first_draft"] += 1
                continue
            counted["rejected"] += 1
            attempt += 1
            if attempt == len(self.drafts):
                counted["fallback"] += 1
                continue
            task.brief = self._brief(task.stay, task.planned, task.voice, seed + attempt * APART) or task.brief
            again = self._ask(task, seed, attempt)
            asked[again] = task, attempt
            waiting.appendleft(again)

    def _ask(self, task: _Task, seed: int, attempt: int) -> Ask:
        assert task.brief is not None
        asked, key = task.brief, task.brief.section
        chance = stream(seed, task.stay.note_id, "lm", key, task.voice, str(attempt))
        longest = _LENGTH + _A_PLACE * len(asked.places)
        sound = partial(self.wording.sound, key, topics_of(asked.line)) if self.wording else None
        prompt, sampling = self.model.prompt(asked.prompt), self.drafts[attempt]
        return Ask(prompt, tuple(asked.places), chance, longest, key in _FIGURES, sound, sampling)


def load(model: str | None = None, device: str = "cpu", threads: int = 1) -> ModelMaker:
    """The writer of a model: the package's own (None), a folder, or a name on the hub.

    A folder with `model.onnx` runs through ONNX Runtime on the CPU, with `threads` threads; anything else through
    torch. Raises InputError where the model, its tokenizer, its device or an extra is missing, or a file is damaged.
    """
    from fhirsynth.letters.lm.onnx_model import MODEL, OnnxModel

    if device not in ("cpu", "cuda"):
        raise InputError(f"no device is called {device!r}: use cpu or cuda")
    folder = shipped() if model is None else Path(model).expanduser()
    if model is None and not folder.exists():
        raise InputError(
            "no language model came with this package: name one with --model, such as `fhirsynth letters train` makes, "
            "or let --writer phrasebook write"
        )
    if device == "cpu" and (model is None or (folder / MODEL).exists()):
        return ModelMaker(OnnxModel(folder, threads), wording=Wording.load(folder))
    from fhirsynth.letters.lm.torch_model import TorchModel

    return ModelMaker(TorchModel(str(folder) if model is None else model, device), wording=Wording.load(folder))


def shipped() -> Path:
    """The folder of the package's own model."""
    return Path(str(resources.files("fhirsynth.letters.lm") / _SHIPPED))


def _read_back(task: _Task, answer: str | None) -> Section | None:
    """The section that an answer makes, None where something is wrong in it."""
    assert task.brief is not None
    where = f"{task.stay.note_id} {task.brief.section}"
    if answer is None:
        _log.debug("%s: no end, or given up", where)
        return None
    try:
        section = section_of(task.brief, answer, abbreviations())
    except UnsaidError as error:
        _log.debug("%s: %s", where, error)
        return None
    wrong = check_section(task.stay, section.key, section.text)
    if wrong:
        _log.debug("%s: %s", where, wrong[0])
        return None
    return section


def _sound_section(task: _Task, writer: PhrasebookWriter, seed: int, counted: Counter[str]) -> Section:
    """The model's section, or else the phrasebook's: its first draft that passes, or its last."""
    if task.made is not None:
        return task.made
    section = writer.section(task.stay, task.planned, seed)
    for attempt in range(1, _BY_HAND):
        if not check_section(task.stay, section.key, section.text):
            break
        section = writer.section(task.stay, task.planned, seed + attempt * APART)
    counted["unbriefed"] += task.brief is None and bool(section.text)
    return section


@cache
def abbreviations() -> tuple[tuple[str, str], ...]:
    """Words that a writer in a hurry abbreviates, with their short forms: all that the phrasebook knows."""
    pairs = {pair for pattern in phrasebook().patterns for pair in pattern.abbr}
    return tuple(sorted(pairs, key=lambda pair: (-len(pair[0]), pair)))
