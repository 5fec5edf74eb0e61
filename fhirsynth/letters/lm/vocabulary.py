"""What each token of a model may be used for in an answer: words, figures, placeholders, the end.

A placeholder is one token of our own tokenizer, and several of a foreign one. So a placeholder is looked at as
characters: a token may begin one, go on with it or finish it, wherever its text fits one that is allowed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhirsynth.letters.lm.brief import NAME, PARAGRAPH
from fhirsynth.letters.phrases import GRAMMAR

Bools = NDArray[np.bool_]

#: Words that agree with the person, as an answer spells them: always allowed.
AGREEING = frozenset(f"[{word}]" for word in GRAMMAR)
#: The one name in a letter that ends in a figure. A token may be its end, of two letters at least.
_NAMED, _FIGURE = "NEWS", "2"
_CLOSED_BY = {"{": "}", "[": "]"}
#: Characters that stand in no words: those of placeholders and tags, and the mark of a broken character.
_FORBIDDEN = frozenset("{}[]<>\ufffd")


class Vocabulary:
    """The tokens of a model by what they may do.

    `surfaces[i]` is the text of token i with its space, "\\n\\n" for the break of a paragraph, "" for one that is never
    to be used; `end` the token that ends an answer; `size` the width of the model's logits, where it is more than the
    number of tokens.
    """

    def __init__(self, surfaces: Sequence[str], end: int, size: int = 0) -> None:
        self.surfaces = (*surfaces, *("" for _ in range(size - len(surfaces))))
        self.size, self.end = len(self.surfaces), end
        #: Tokens of words, and those of them that hold a figure.
        said = [(number, text) for number, text in enumerate(self.surfaces) if number != end]
        self.words = self._mask(number for number, text in said if _is_plain(text))
        self.figures = self._mask(number for number, text in said if _is_plain(text) and _has_figure(text))
        #: The figure of NEWS2, and the tokens that it may stand behind wherever figures may not.
        self.named = np.array([number for number, text in said if text == _FIGURE], dtype=np.int64)
        ends = {_NAMED[place:] for place in range(len(_NAMED) - 1)}
        self.naming = self._mask(number for number, text in said if text.strip() in ends)
        self.breaks = self._mask(number for number, text in said if text == PARAGRAPH)
        self.words |= self.breaks
        #: Tokens behind which an answer may end.
        self.stops = self._mask(number for number, text in said if text.rstrip("'\")’”").endswith((".", "?", "!")))
        self._whole: dict[str, list[int]] = defaultdict(list)
        self._begun: list[tuple[int, str]] = []
        self._inside: dict[str, list[int]] = defaultdict(list)
        self._finishing: dict[str, list[int]] = defaultdict(list)
        special = []
        for number, text in said:
            if text:
                special += [number] * self._learnt(number, text)
        #: Tokens after which it changes what is allowed: those that touch a placeholder, and breaks.
        self.telling = self._mask(special) | self.breaks
        if NAME in self._whole:
            self._begun.clear()  # a tokenizer that has placeholders does not spell them

    @property
    def spells(self) -> bool:
        """Whether placeholders are spelt, with several tokens."""
        return bool(self._begun)

    def can_say(self, places: Iterable[str]) -> bool:
        """Whether the model has tokens for all of these placeholders."""
        return self.spells or all(place in self._whole for place in places)

    def whole(self, place: str) -> list[int]:
        """The tokens that are a placeholder as a whole."""
        return self._whole.get(place, [])

    def beginning(self, allowed: Iterable[str]) -> list[int]:
        """The tokens that begin one of the placeholders, where placeholders are spelt."""
        if not self._begun:
            return []
        names = tuple(allowed)
        return [number for number, text in self._begun if any(name.startswith(text) for name in names)]

    def going_on(self, begun: str, allowed: Iterable[str]) -> list[int]:
        """The tokens that go on with, or finish, what has been spelt of a placeholder."""
        found: list[int] = []
        for rest in {name[len(begun) :] for name in allowed if name.startswith(begun)}:
            for length in range(1, len(rest)):
                found.extend(self._inside.get(rest[:length], ()))
            found.extend(self._finishing.get(rest, ()))
        return found

    def _learnt(self, number: int, text: str) -> bool:
        """Note what a token can do for a placeholder; whether it touches one at all."""
        opens = [place for place, c in enumerate(text) if c in _CLOSED_BY]
        closes = [place for place, c in enumerate(text) if c in _CLOSED_BY.values()]
        if not opens and not closes:
            if not _FORBIDDEN & set(text):
                self._inside[text].append(number)
            return False
        if len(opens) > 1 or len(closes) > 1:
            return False
        before = text[: opens[0]] if opens else ""
        behind = text[closes[0] + 1 :] if closes else ""
        if (before and not _is_wordless(before)) or (behind and not _is_wordless(behind)):
            return False
        if not opens:
            self._finishing[text[: closes[0] + 1]].append(number)
        elif not closes:
            self._begun.append((number, text[opens[0] :]))
        elif closes[0] > opens[0]:
            self._whole[text[opens[0] : closes[0] + 1]].append(number)
        return True

    def _mask(self, numbers: Iterable[int]) -> Bools:
        mask = np.zeros(self.size, dtype=bool)
        mask[np.fromiter(numbers, dtype=np.int64)] = True
        return mask


def spelt(text: str) -> str:
    """Of a token's text, what belongs to a placeholder that begins in it: from the bracket on."""
    return text[min(place for place, c in enumerate(text) if c in _CLOSED_BY) :]


def finished(begun: str) -> str | None:
    """The placeholder that has been spelt to its end, None where it has not."""
    place = begun.find(_CLOSED_BY[begun[0]])
    return None if place < 0 else begun[: place + 1]


def foreign_surfaces(tokenizer: Any) -> tuple[str, ...]:
    """The text of each token of a tokenizer of transformers, with its space; "" for its special ones."""
    special = set(tokenizer.all_special_ids)
    special |= {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    # a token alone may lose its space: it is read behind another
    anchor = tokenizer.encode("a", add_special_tokens=False)
    known = len(tokenizer.decode(anchor))
    texts = tokenizer.batch_decode(
        [[*anchor, number] for number in range(len(tokenizer))],
        skip_special_tokens=False,
        clean_up_tokenization_spaces=False,
    )
    return tuple("" if number in special else text[known:] for number, text in enumerate(texts))


def _is_plain(text: str) -> bool:
    return bool(text) and not _FORBIDDEN & set(text) and text.replace("\u00a0", " ").isprintable()


def _has_figure(text: str) -> bool:
    return any(c.isnumeric() for c in text)


def _is_wordless(text: str) -> bool:
    """Blanks and punctuation that a tokenizer may have joined to a bracket."""
    return _is_plain(text) and not any(c.isalnum() for c in text)
