"""What each answer of a batch may not say next, as a matrix of tokens that is kept up to date row by row.

Every placeholder of a brief is said exactly once, the patient's name a few times at most; an answer cannot end while
one is unsaid, nor in the middle of a sentence; figures stand in words only where the section may have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fhirsynth.letters.lm.brief import NAME, NAMES
from fhirsynth.letters.lm.vocabulary import AGREEING, Bools, Vocabulary, finished, spelt

Ints = NDArray[np.int64]


class State(NamedTuple):
    """What an answer has yet to say where it is: placeholders, and how often the patient's name may be."""

    left: frozenset[str]
    names: int = NAMES


class Rules:
    """What each row may not say next: `forbidden` [rows, vocabulary]."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._rows: list[_Row] = []
        self._figures = np.empty(0, dtype=bool)
        self.forbidden = np.empty((0, vocabulary.size), dtype=bool)
        #: Rows that are within a placeholder, or just behind a break: they change with every token.
        self._passing = np.empty(0, dtype=bool)

    def add(self, wanted: Sequence[frozenset[str]], figures: Sequence[bool]) -> None:
        """Begin further rows, by the placeholders that each must say, and whether its words may hold figures."""
        first, new = len(self._rows), len(wanted)
        self._rows += [_Row(self._vocabulary, may) for may in figures]
        self._figures = np.concatenate([self._figures, np.array(figures, dtype=bool)])
        self._passing = np.concatenate([self._passing, np.ones(new, dtype=bool)])
        self.forbidden = np.concatenate([self.forbidden, np.ones((new, self._vocabulary.size), dtype=bool)])
        for row, places in enumerate(wanted, first):
            self.go_back(row, State(places), first=True)

    def keep(self, rows: Ints) -> None:
        """Go on with these rows: row i is what row `rows[i]` was."""
        places = moved(rows)
        self.forbidden[places] = self.forbidden[rows[places]]
        self.forbidden = self.forbidden[: len(rows)]
        self._passing, self._figures = self._passing[rows], self._figures[rows]
        self._rows = [self._rows[row] for row in rows.tolist()]

    def after(self, tokens: Ints, fresh: Bools | None = None) -> Bools:
        """Take in what each row has said (of `fresh` rows, where given); returns which are at the end of a sentence."""
        vocabulary = self._vocabulary
        changing = self._passing | vocabulary.telling[tokens]
        if fresh is not None:
            changing &= fresh
        for number in np.flatnonzero(changing).tolist():
            row = self._rows[number]
            row.after(int(tokens[number]), self.forbidden[number])
            self._passing[number] = row.passing
        wordy = np.fromiter((not row.spelling for row in self._rows), dtype=bool, count=len(self._rows))
        ruled = np.flatnonzero(wordy & ~self._figures)
        self.forbidden[np.ix_(ruled, vocabulary.named)] = ~vocabulary.naming[tokens[ruled], None]
        done = np.fromiter((not row.left for row in self._rows), dtype=bool, count=len(self._rows))
        ends: Bools = vocabulary.stops[tokens] & ~self._passing
        self.forbidden[:, vocabulary.end] = ~(done & ends)
        return ends

    def state(self, row: int) -> State:
        """What a row has yet to say; not to be asked for within a placeholder."""
        return State(frozenset(self._rows[row].left), self._rows[row].names)

    def passing(self, row: int) -> bool:
        """Whether a row is within a placeholder, or just behind a break."""
        return bool(self._passing[row])

    def go_back(self, row: int, state: State, first: bool = False, within: bool = False) -> None:
        """Let a row be at the end of a sentence as it was, `within` one, or (`first`) before its first token."""
        self._rows[row].begin(state, self.forbidden[row], first)
        self.forbidden[row, self._vocabulary.end] |= within
        self._passing[row] = first


def moved(rows: Ints) -> Ints:
    """The places to which another row moves, where row i is to be what row `rows[i]` was."""
    return np.flatnonzero(rows != np.arange(len(rows)))


class _Row:
    """What one answer has yet to say. `forbidden` is its row of the matrix, changed in place."""

    __slots__ = ("_figures", "_kept", "_vocabulary", "left", "names", "passing", "spelling")

    def __init__(self, vocabulary: Vocabulary, figures: bool) -> None:
        self._vocabulary, self._figures = vocabulary, figures
        self.left: set[str] = set()
        self.names = 0
        #: What is spelt so far of a placeholder that has several tokens.
        self.spelling = ""
        self._kept: Bools | None = None
        #: More changes with the next token, whatever it is.
        self.passing = False

    def begin(self, state: State, forbidden: Bools, first: bool) -> None:
        """At the end of a sentence, or before the first."""
        vocabulary = self._vocabulary
        self.left, self.names = set(state.left), state.names
        self.spelling, self._kept, self.passing = "", None, first
        allowed = vocabulary.words if self._figures else vocabulary.words & ~vocabulary.figures
        np.logical_not(allowed, out=forbidden)
        for place in self._allowed():
            forbidden[vocabulary.whole(place)] = False
        forbidden[vocabulary.beginning(self._allowed())] = False
        forbidden[vocabulary.breaks] = first
        forbidden[vocabulary.end] = first or bool(self.left)

    def after(self, token: int, forbidden: Bools) -> None:
        """A token was said that touches a placeholder, is a break, or follows one."""
        vocabulary = self._vocabulary
        if self.spelling:
            self.spelling += vocabulary.surfaces[token]
        else:
            forbidden[vocabulary.breaks] = vocabulary.breaks[token]
            self.passing = bool(vocabulary.breaks[token])
            if self.passing or not vocabulary.telling[token]:
                return
            self.spelling = spelt(vocabulary.surfaces[token])
        place = finished(self.spelling)
        if place is None:
            self._go_on(forbidden)
        else:
            self._say(place, forbidden)

    def _allowed(self) -> list[str]:
        """The placeholders that may come next."""
        return [*self.left, *AGREEING, *([NAME] if self.names else ())]

    def _go_on(self, forbidden: Bools) -> None:
        """Within a placeholder: nothing but the rest of one that is allowed."""
        if self._kept is None:
            self._kept = forbidden.copy()
        forbidden[:] = True
        forbidden[self._vocabulary.going_on(self.spelling, self._allowed())] = False
        self.passing = True

    def _say(self, place: str, forbidden: Bools) -> None:
        """A placeholder has been said."""
        if self._kept is not None:
            forbidden[:] = self._kept
            self._kept = None
        self.spelling, self.passing = "", False
        self.left.discard(place)
        self.names -= place == NAME
        if place in AGREEING or (place == NAME and self.names):
            return
        forbidden[self._vocabulary.whole(place)] = True
        if self._vocabulary.spells:
            forbidden[self._vocabulary.beginning((place,))] = True
            forbidden[self._vocabulary.beginning(self._allowed())] = False
