"""Answers of a model, token by token, within the rules (`rules`): what a brief does not name can never be said.

A model that has lost its way begins a sentence about what the brief does not have, or wants to end with a placeholder
unsaid. What the rules would make of that is sound, and nonsense. So where what the model wants most is forbidden, or a
sentence has come out wrong, it goes back to where it was in doubt, or to the end of a sentence, and goes on otherwise.

Each answer has random numbers of its own; it leaves the batch when it is finished, and what waits takes its place. What
is written does not depend on what is written beside it (as far as the model's own arithmetic does not: that of
`onnx_model` does not at all).
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fhirsynth.errors import InputError
from fhirsynth.letters.lm.rules import Ints, Rules, State
from fhirsynth.letters.lm.vocabulary import Bools, Vocabulary

Floats = NDArray[np.float32]

#: Rows of a batch, where nothing else is asked for.
ROWS = 64
#: The likeliest tokens that one is drawn from at most.
_LIKELIEST = 64
_NOTHING = -1
#: How often an answer goes on otherwise from the same place, and from all doubtful ones of a sentence, before it goes
#: back further; and of what share a token is so sure that its place is not doubtful.
_TRIES, _DOUBTS, _SURE = 3, 6, 0.9
#: How much more strain is borne where what the model wanted has been tried.
_AGAIN = 2


class Batch(Protocol):
    """Answers under way, with what the model remembers of each."""

    def add(self, prompts: Sequence[Sequence[int]]) -> Floats:
        """Read the prompts of further rows, behind the others; returns the logits of each first token."""
        ...

    def step(self, tokens: Ints) -> Floats:
        """Take the next token of each row [rows]; returns the logits of the one behind it [rows, vocabulary].

        The caller may change what is returned.
        """
        ...

    def forget(self, counts: Ints) -> None:
        """Forget the last tokens of each row, so many of each [rows]."""
        ...

    def keep(self, rows: Ints) -> None:
        """Go on with these rows only: row i is what row `rows[i]` was, and none moves up the order."""
        ...


class Causal(Protocol):
    """A model that tells the next token. `context`: the most tokens of a prompt with its answer."""

    vocabulary: Vocabulary
    context: int

    def prompt(self, brief: str) -> list[int]:
        """A brief's line as tokens, ready for the answer."""
        ...

    def text(self, tokens: Sequence[int]) -> str:
        """The answer that tokens stand for."""
        ...

    def begin(self, rows: int) -> Batch:
        """A batch without a row, with room for so many."""
        ...

    def identity(self) -> dict[str, Any]:
        """What decides its words: `model`, `revision` and `engine`."""
        ...


class Sampling(NamedTuple):
    """How bold the model is. `temperature` 0 takes the likeliest token; `top_p`: of the likeliest, so much together.

    `strain`: how much a rule may bend an answer: the logarithm of how many times likelier the likeliest token may be
    than the likeliest that is allowed. `returns`: how often an answer that is bent more goes back before it is given
    up, counted anew from each sentence with which it has said more of its placeholders than ever before.
    """

    temperature: float = 0.8
    top_p: float = 0.95
    strain: float = math.inf
    returns: int = 0


#: Neither very bold, nor held back by any rule.
_PLAIN = Sampling()


@dataclass(frozen=True, eq=False)
class Ask:
    """One answer that is wanted: at most `longest` tokens, saying the placeholders `places`, drawn with `chance`.

    The placeholders stand in the order of the brief; the answer may have another. `sound`: whether a sentence may stand
    as it is; where it may not, the answer goes back to its beginning.
    """

    prompt: Sequence[int]
    places: Sequence[str]
    chance: random.Random
    longest: int
    figures: bool = False
    sound: Callable[[str], bool] | None = None
    sampling: Sampling = _PLAIN


def answered(model: Causal, waiting: deque[Ask], rows: int = ROWS) -> Iterator[tuple[Ask, str | None]]:
    """What is asked for with its answers, as they are finished; None for one that came to no end within its length, or
    was given up.

    As many as `rows` are under way at once, taken from the left of `waiting`; more may be put there meanwhile.
    Raises InputError where the model computes no numbers: its weights are damaged.
    """
    together = _Together(model, rows)
    while True:
        for ask in together.take_up(waiting):
            yield ask, None
        if not together.answers:
            return
        yield from together.go_on()


@dataclass
class _Point:
    """Where an answer can go on otherwise: not with a token that it has `tried`.

    The end of a sentence, or within one where the token that was drawn had only a `share` of what was likely.
    """

    at: int
    state: State
    share: float = 1.0
    tries: int = 0
    tried: set[int] = field(default_factory=set)


@dataclass
class _Answer:
    """One answer under way, and what it has said."""

    ask: Ask
    context: int
    said: list[int] = field(default_factory=list)
    #: The ends of its sentences, and the doubtful points of the sentence that it is in.
    starts: list[_Point] = field(default_factory=list)
    doubts: list[_Point] = field(default_factory=list)
    #: How often it has gone back since it got on, and the fewest placeholders that were left at the end of a sentence.
    returns: int = 0
    fewest: int = field(init=False)

    def __post_init__(self) -> None:
        self.fewest = len(self.ask.places)
        self.limit = min(self.ask.longest, self.context - len(self.ask.prompt))
        self.starts.append(_Point(0, State(frozenset(self.ask.places))))

    @property
    def point(self) -> _Point | None:
        """The point that it stands at, if it is one."""
        points = (*self.doubts[-1:], *self.starts[-1:])
        return next((point for point in points if point.at == len(self.said)), None)

    @property
    def last(self) -> int:
        """The last token that the model has seen of it."""
        return self.said[-1] if self.said else self.ask.prompt[-1]

    def is_sound(self, model: Causal, stop: int) -> bool:
        """Whether the sentence that this token would end may stand."""
        return self.ask.sound is None or self.ask.sound(model.text([*self.said[self.starts[-1].at :], stop]))

    def doubt(self, state: State, share: float) -> None:
        """Note that the token to be said here has only a share of what is likely."""
        point = self.point
        if point is None:
            self.doubts.append(_Point(len(self.said), state, share))
        else:
            point.share = share

    def end_sentence(self, state: State) -> None:
        """Note that a sentence is at its end."""
        self.starts.append(_Point(len(self.said), state))
        self.doubts.clear()
        if len(state.left) < self.fewest:
            self.fewest, self.returns = len(state.left), 0

    def go_back(self, ending: bool) -> int:
        """Go back to where it can go on otherwise; returns how many tokens the model must forget.

        First to the most doubtful points of the sentence, then to its beginning, then further. An answer that is
        `ending` with a placeholder unsaid goes back to where it passed that one by.
        """
        if ending:
            self._to_what_was_passed_by()
        start = self.starts[-1]
        open_ones = [point for point in self.doubts if point.at < len(self.said) and point.tries < _TRIES]
        if not ending and open_ones and sum(point.tries for point in self.doubts) < _DOUBTS:
            point = min(open_ones, key=lambda point: point.share)
            self.doubts = [earlier for earlier in self.doubts if earlier.at <= point.at]
        else:
            while len(self.starts) > 1 and (start.at == len(self.said) or start.tries >= _TRIES):
                self.starts.pop()
                start = self.starts[-1]
            point = start
            self.doubts.clear()
        self.returns += 1
        point.tries += 1
        point.tried.update(self.said[point.at : point.at + 1])
        gone = len(self.said) - point.at
        del self.said[point.at :]
        return gone + 1  # its last token is given to the model once more

    def _to_what_was_passed_by(self) -> None:
        """Drop the ends of sentences behind the one after which something was said that the brief has later."""
        left = self.starts[-1].state.left
        first = next((place for place, name in enumerate(self.ask.places) if name in left), len(self.ask.places))
        later = frozenset(self.ask.places[first:]) - left
        while len(self.starts) > 1 and later - self.starts[-1].state.left:
            self.starts.pop()


class _Together:
    """The answers that are under way, one in each row of a batch, with the logits of what each may say next."""

    def __init__(self, model: Causal, rows: int) -> None:
        self._model, self._most = model, rows
        self._batch, self._rules = model.begin(rows), Rules(model.vocabulary)
        self._logits = np.empty((0, model.vocabulary.size), dtype=np.float32)
        self._bold = np.empty((0, len(Sampling._fields)))
        self.answers: list[_Answer] = []

    def take_up(self, waiting: deque[Ask]) -> Iterator[Ask]:
        """Begin what waits while there is room; returns what is asked for in vain, for it has no room for a token."""
        begun: list[_Answer] = []
        while waiting and len(self.answers) + len(begun) < self._most:
            answer = _Answer(waiting.popleft(), self._model.context)
            if answer.limit > 0:
                begun.append(answer)
            else:
                yield answer.ask
        if begun:
            asks = [answer.ask for answer in begun]
            self.answers += begun
            self._rules.add([frozenset(ask.places) for ask in asks], [ask.figures for ask in asks])
            self._bold = np.concatenate([self._bold, np.array([ask.sampling for ask in asks], dtype=np.float64)])
            logits = self._batch.add([ask.prompt for ask in asks])
            self._logits = np.concatenate([self._logits, logits]) if len(self._logits) else logits

    def go_on(self) -> Iterator[tuple[Ask, str | None]]:
        """Say the next token of each answer, or take the last ones back; returns those that have ended."""
        model, rules, logits, rows = self._model, self._rules, self._logits, self.answers
        best = logits.argmax(axis=1)
        wanted = logits[np.arange(len(rows)), best]
        temperature, top_p, strain, returns = self._bold.T
        strain = strain.copy()
        for place, row in enumerate(rows):
            if row.point and row.point.tried:
                logits[place, sorted(row.point.tried)] = -np.inf
                strain[place] *= _AGAIN
        draws = np.fromiter((row.ask.chance.random() for row in rows), dtype=np.float64, count=len(rows))
        tokens, shares = drawn(logits, rules.forbidden, draws, temperature, top_p)
        bent = (tokens == _NOTHING) | (wanted - logits.max(axis=1) > strain)
        for place in np.flatnonzero(model.vocabulary.stops[tokens] & ~bent).tolist():
            bent[place] = not rows[place].is_sound(model, int(tokens[place]))
        staying, gone = np.ones(len(rows), dtype=bool), np.zeros(len(rows), dtype=np.int64)
        for place, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
            if bent[place]:
                staying[place] = bool(row.said) and row.returns < returns[place]
                if staying[place]:
                    gone[place], tokens[place] = row.go_back(best[place] == model.vocabulary.end), row.last
            elif token == model.vocabulary.end:
                staying[place] = False
                yield row.ask, model.text(row.said)
                continue
            else:
                if shares[place] < _SURE and returns[place] and not rules.passing(place):
                    row.doubt(rules.state(place), float(shares[place]))
                row.said.append(token)
                staying[place] = len(row.said) < row.limit
            if not staying[place]:
                yield row.ask, None
        if not staying.all():
            kept = _closed_up(staying)
            tokens, gone = tokens[kept], gone[kept]
            self._keep(kept)
        if self.answers:
            self._logits = self._step(tokens, gone)

    def _keep(self, kept: Ints) -> None:
        self.answers = [self.answers[place] for place in kept.tolist()]
        self._bold, self._logits = self._bold[kept], self._logits[: len(kept)]
        self._batch.keep(kept)
        self._rules.keep(kept)

    def _step(self, tokens: Ints, gone: Ints) -> Floats:
        """Take in a token of each row, after so many have `gone` from what it had said."""
        if gone.any():
            self._batch.forget(gone)
        ends = self._rules.after(tokens, gone == 0)
        for place in np.flatnonzero(gone).tolist():
            row = self.answers[place]
            assert row.point is not None
            self._rules.go_back(place, row.point.state, first=not row.point.at, within=row.point is not row.starts[-1])
        for place in np.flatnonzero(ends & (gone == 0)).tolist():
            self.answers[place].end_sentence(self._rules.state(place))
        return self._batch.step(tokens)


def _closed_up(staying: Bools) -> Ints:
    """The rows that stay, the last of them moved into the gaps, so that few have to be copied."""
    rows = np.flatnonzero(staying)
    order = np.arange(len(rows))
    gaps = np.flatnonzero(~staying[: len(rows)])
    order[gaps] = rows[rows >= len(rows)]
    return order


def drawn(
    logits: Floats,
    forbidden: Bools,
    draws: NDArray[np.float64],
    temperature: NDArray[np.float64],
    top_p: NDArray[np.float64],
) -> tuple[Ints, NDArray[np.float64]]:
    """One token a row, -1 where none is allowed, and its share of those that could have been drawn.

    `draws`: a random number in [0, 1) a row; `temperature`, `top_p`: a number a row, see `Sampling`. Changes `logits`.
    """
    np.copyto(logits, -np.inf, where=forbidden)
    each = np.arange(len(logits))
    best = logits.argmax(axis=1)
    highest = logits[each, best]
    if np.isnan(highest).any():
        raise InputError("the language model computes no numbers: its weights are damaged, use another model")
    tokens, shares = best, np.ones(len(best))
    drawing = temperature > 0
    if drawing.any():
        width = min(_LIKELIEST, logits.shape[1])
        likely = np.argpartition(logits, logits.shape[1] - width, axis=1)[:, -width:]
        likely.sort(axis=1)  # so that equals stand in the same order on every machine
        values = np.take_along_axis(logits, likely, axis=1).astype(np.float64)
        order = np.argsort(-values, axis=1, kind="stable")
        values = np.take_along_axis(values, order, axis=1)
        with np.errstate(invalid="ignore"):  # a row without any: nothing less nothing
            weights = np.exp((values - values[:, :1]) / np.where(drawing, temperature, 1.0)[:, None])
        sums = np.cumsum(weights, axis=1)
        count = ((sums - weights) < top_p[:, None] * sums[:, -1:]).sum(axis=1).clip(1)
        aim = draws * sums[each, count - 1]
        place = np.minimum((sums <= aim[:, None]).sum(axis=1), count - 1)
        tokens = np.where(drawing, likely[each, order[each, place]], best)
        shares = np.where(drawing, weights[each, place] / sums[each, count - 1], 1.0)
    return np.where(np.isneginf(highest), _NOTHING, tokens), shares
