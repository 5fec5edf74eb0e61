"""What a language model is told about a section, and how its answer becomes text: placeholders both ways.

A brief is a line of items: the section, the voice, tags of the stay, then part by part the placeholders of the facts
that the section says (`{started2.dose}`), each fact followed by its tags (`<result:high>`). The answer is prose with
the same placeholders, words that agree with the person (`[He]`) and paragraphs. The model never sees a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fhirsynth.letters.drafting import Draft, Filled, Part
from fhirsynth.letters.facts import Fact, Stay
from fhirsynth.letters.letter import Section
from fhirsynth.letters.phrases import GRAMMAR, KEYED, SINGLE, TAGS, Agree, Words
from fhirsynth.letters.plan import Planned
from fhirsynth.letters.writing import Outline, bare_lines

#: The patient's name may stand wherever the model likes, so often at most.
NAME, NAMES = "{patient.short}", 4
#: Facts of one kind that a brief can tell apart.
MOST = 9
PARAGRAPH = "\n\n"
#: Whose manner a section is in, at the head of what the model reads: as the exemplars are, or as the phrasebook's.
BY_HAND, BY_BOOK = "<by:hand>", "<by:book>"

_TOKEN = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]")
#: Where one sentence ends and the next begins.
SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z{\[])")
_KINDS_OF_TAG = ("group:", "cond:", "spec:")
#: Of what a section may say that there is none (or some) without saying which.
_HAS = {
    **dict.fromkeys(("plan", "information"), ("started", "stopped", "changed", "continued", "followup", "referral")),
    "social": ("social", "language"),
}


class UnsaidError(ValueError):
    """An answer that cannot be put into words: a placeholder that the brief does not have, or one left out."""


@dataclass(frozen=True)
class Brief:
    """One section to write. `items`: the line that the model reads; `places`: what each placeholder names."""

    stay: Stay
    planned: Planned
    voice: str
    items: tuple[str, ...]
    places: Mapping[str, Filled]
    #: Facts that no pattern could say: they get a bare line behind the prose.
    unsaid: tuple[Fact, ...] = ()

    @property
    def section(self) -> str:
        """Key of the section."""
        return self.planned.heading.key

    @property
    def line(self) -> str:
        """The items as one line of text."""
        return " ".join(self.items)

    @property
    def prompt(self) -> str:
        """What the model reads to write as the phrasebook does.

        In the manner of the exemplars it is more varied, and now and then tells what no fact says.
        """
        return f"{BY_BOOK} {self.line}"


def brief(stay: Stay, planned: Planned, voice: str, outline: Outline) -> tuple[Brief, str] | None:
    """The brief of an outline, and the text that the phrasebook makes of it, with placeholders.

    None where the section says nothing in prose, or has more facts of a kind than a brief can name.
    """
    draft = Draft(planned.heading.key, stay)
    items = [f"<{planned.heading.key}>", f"<{voice}>", *_stay_tags(stay, planned.heading.key)]
    names = _Names()
    tagged: set[str] = set()
    text: list[str] = []
    for part, patterns in outline.parts:
        if not patterns:
            continue
        if part.paragraph:
            draft.paragraph()
        items.append(f"<part:{part.name}>")
        for pattern, bound in patterns:
            before = len(draft.told)
            draft.sentence(pattern, bound)
            for said in draft.told[before:]:
                if said is None:
                    continue
                for piece in said:
                    if isinstance(piece, Filled):
                        token = names.of(piece)
                        if token != NAME and token not in items:
                            items.append(token)
                            items.extend(_fact_tags(piece.facts, tagged))
            for kind, _ in pattern.others:
                items.extend(_fact_tags(stay.of(kind), tagged))
    for said in draft.told:
        text.append(PARAGRAPH if said is None else "".join(names.written(part) for part in said))
    if not names.few or not text:
        return None
    places = {token: place for token, place in names.places.items() if token != NAME}
    return Brief(stay, planned, voice, tuple(items), places, outline.unsaid), joined(text)


def joined(sentences: Iterable[str]) -> str:
    """Sentences and paragraphs as one text."""
    return re.sub(r" *\n\n *", PARAGRAPH, " ".join(sentences)).strip()


def section_of(asked: Brief, answer: str, abbreviations: Sequence[tuple[str, str]] = (), writer: str = "lm") -> Section:
    """The section that an answer makes, its values put in. Raises UnsaidError where it is not what was asked for."""
    wanted = set(asked.places)
    draft = Draft(asked.section, asked.stay)
    for paragraph in answer.split(PARAGRAPH):
        draft.paragraph()
        for sentence in SENTENCE.split(paragraph.strip()):
            if not sentence:
                continue
            parts = list(_parts(sentence, asked))
            wanted -= set(_TOKEN.findall(sentence))
            words = " ".join(part.text for part in parts if isinstance(part, Words))
            draft.say(parts, [pair for pair in abbreviations if pair[0] in words])
    if wanted:
        raise UnsaidError(f"{', '.join(sorted(wanted))} left out")
    bare_lines(draft, asked.planned, asked.unsaid)
    return draft.section(asked.planned.heading.title, writer)


def _parts(sentence: str, asked: Brief) -> Iterator[Part]:
    at = 0
    for match in _TOKEN.finditer(sentence):
        if match.start() > at:
            yield Words(sentence[at : match.start()])
        token = match.group()
        if token.startswith("["):
            if token[1:-1] not in GRAMMAR:
                raise UnsaidError(f"{token} agrees with nobody")
            yield Agree(token[1:-1])
        elif token == NAME:
            yield Filled(tuple(asked.stay.of("patient")[:1]), "short")
        elif token in asked.places:
            yield asked.places[token]
        else:
            raise UnsaidError(f"{token} is not in the brief")
        at = match.end()
    if at < len(sentence):
        yield Words(sentence[at:])


class _Names:
    """Names for placeholders: facts of a kind are numbered as they come."""

    def __init__(self) -> None:
        self.places: dict[str, Filled] = {}
        self.few = True
        self._numbers: dict[str, dict[str, int]] = {}

    def of(self, piece: Filled) -> str:
        """The name of a placeholder, remembered with what it names."""
        fact = piece.facts[0]
        slot = f".{piece.slot}" if piece.slot else ""
        if piece.every:
            token = f"{{{fact.kind}{slot}*}}"
        elif fact.kind in SINGLE:
            token = f"{{{fact.kind}{slot}}}"
        else:
            numbers = self._numbers.setdefault(fact.kind, {})
            number = numbers.setdefault(fact.id, len(numbers) + 1)
            self.few = self.few and number <= MOST
            token = f"{{{fact.kind}{number}{slot}}}"
        self.places[token] = piece
        return token

    def written(self, part: Part) -> str:
        """A part of a sentence as the model writes it."""
        if isinstance(part, Words):
            return part.text
        return f"[{part.word}]" if isinstance(part, Agree) else self.of(part)


def _stay_tags(stay: Stay, section: str) -> Iterator[str]:
    kinds = {f"has:{kind}" for kind in _HAS.get(section, ())}
    for tag in sorted(stay.tags):
        if ":" not in tag or tag.startswith(_KINDS_OF_TAG) or tag in kinds:
            yield f"<{tag}>"


def _fact_tags(facts: Sequence[Fact], tagged: set[str]) -> Iterator[str]:
    """The tags of facts as items; those of each fact once."""
    for fact in facts:
        if fact.id in tagged:
            continue
        tagged.add(fact.id)
        known, keyed = TAGS.get(fact.kind, ()), KEYED.get(fact.kind)
        for tag in sorted(fact.tags):
            if tag in known:
                yield f"<{fact.kind}:{tag}>"
            elif keyed and tag.startswith(f"{keyed}:"):
                yield f"<{tag}>"
