"""One text read once: its words, sentences, clauses, terms and quantities, and how each term is meant."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import cached_property

from fhirsynth.letters.check import data
from fhirsynth.letters.check.lexicon import Lexicon, Mention
from fhirsynth.letters.check.quantities import Quantity, is_figure, quantities
from fhirsynth.letters.check.tokens import Cuts, Word, all_forms, clauses, sentences, words

_BEFORE_TERM = 9  # words looked back for a denial
_BEHIND_TERM = 3
_MARKS = frozenset(".;:,(\n")  # right behind a term they cut it off from what follows
_SUBJECT, _PHRASE = 16, 4  # words behind a symptom in which a verb is looked for, and of such a phrase
_ALLERGIES = re.compile(
    r"allerg(?!ic (?:reaction|rhinitis|contact))|reactions? to|adverse reaction|recorded reaction|react(?:s|ed)? "
    r"|intoleran|sensitiv",
    re.I,
)
#: … which has one of these in it
_OF_ALLERGIES = ("allerg", "react", "intoleran", "sensitiv")
_BREATHING = re.compile(r"\d ?%|\b(?:sats?|saturations?|SpO2|oxygen|weaned|breathing|on (?=RA))\b", re.I)
#: The numbers that people ring: emergency, urgent advice.
EMERGENCY = frozenset({111.0, 999.0, 112.0, 119.0})
ALLERGY_SECTION = "allergies"


class Reading:
    """What stands in one text. `key`: the section's key, "" for a whole letter."""

    def __init__(self, text: str, lexicon: Lexicon, key: str = "") -> None:
        self.text, self.key, self.lexicon = text, key, lexicon
        self.words = words(text)
        self.starts = self.words.starts
        #: All its words in normal form, and the parts of those with an apostrophe: whether a rule has to look closer.
        self.forms = all_forms(self.words.forms)
        self.sentences = sentences(text)
        self.mentions: list[Mention] = [m for m in lexicon.longest(text, self.words) if self._noun(m)]
        self._firsts = [mention.start for mention in self.mentions]
        self.quantities: list[Quantity] = quantities(text, self.words)

    # ---- where things stand

    @cached_property
    def lower(self) -> str:
        """The text in small letters, for a look whether a pattern can match."""
        return self.text.lower()

    @cached_property
    def spoken(self) -> str:
        """The words in normal form, with a blank between two."""
        return " ".join(self.words.forms)

    @cached_property
    def clauses(self) -> Cuts:
        """The text cut into clauses."""
        return clauses(self.text, self.sentences)

    def sentence(self, at: int) -> tuple[int, int]:
        """The sentence that holds a character."""
        return self.sentences.around(at)

    def clause(self, at: int) -> tuple[int, int]:
        """The clause that holds a character."""
        return self.clauses.around(at)

    def said(self, start: int, end: int) -> list[Word]:
        """The words of a stretch."""
        return self.words[bisect_left(self.starts, start) : bisect_left(self.starts, end)]

    def place(self, at: int) -> int:
        """The number of the first word from a character on."""
        return bisect_left(self.starts, at)

    def within(self, start: int, end: int) -> list[Mention]:
        """The terms of a stretch."""
        return self.mentions[bisect_left(self._firsts, start) : bisect_left(self._firsts, end)]

    def term_at(self, at: int) -> Mention | None:
        """The term that a character is part of."""
        place = bisect_right(self._firsts, at) - 1
        return self.mentions[place] if place >= 0 and at < self.mentions[place].end else None

    @cached_property
    def measured(self) -> list[Quantity]:
        """The figures that may be readings, those inside terms put aside."""
        return [q for q in self.quantities if is_figure(q) and self.term_at(q.start) is None]

    @cached_property
    def bare(self) -> str:
        """The text with spaces in place of its quantities: the same offsets, only words."""
        pieces, at = [], 0
        for quantity in self.quantities:
            pieces += [self.text[at : quantity.start], " " * (quantity.end - quantity.start)]
            at = quantity.end
        return "".join([*pieces, self.text[at:]])

    # ---- how things are meant

    @cached_property
    def _supposed(self) -> dict[int, bool]:
        return {}

    def supposed(self, at: int) -> bool:
        """Whether the sentence at a character says what may come or what to do, not what is."""
        number = self.sentences.of(at)
        if number not in self._supposed:
            said = self.said(*self.sentences.span(number))
            forms = [word.form for word in said]
            found = not data.word_set("supposed", "words").isdisjoint(forms) or has_phrase(forms, "supposed", "phrases")
            if not found and (has_phrase(forms, "supposed", "places") or self._call(number)):
                found = data.word_set("supposed", "happened").isdisjoint(forms)
            self._supposed[number] = found
        return self._supposed[number]

    def _call(self, number: int) -> bool:
        """Whether a sentence names a telephone number for emergencies."""
        start, end = self.sentences.span(number)
        return any(q.type == "number" and q.value in EMERGENCY and start <= q.start < end for q in self.quantities)

    def foretold(self, mention: Mention) -> bool:
        """Whether a symptom is told as one that may come, or any such ("headache may follow"), not as the person's."""
        start, end = self.sentence(mention.start)
        place = mention.first - 1
        while place >= 0 and self.words[place].start >= start:
            term = self.term_at(self.words[place].start)
            form = self.words[place].form
            if form == "any":
                return not self.negated(mention)
            if term is None and form not in data.word_set("supposed", "between"):
                break
            place = place - 1 if term is None else term.first - 1
        if (
            place >= 0
            and self.words[place].start >= start
            and self.words[place].form in data.word_set("supposed", "own")
        ):
            return False
        forms = [word.form for word in self.said(mention.end, end)[:_SUBJECT]]
        told = next((at for at, form in enumerate(forms) if form in data.word_set("supposed", "told")), len(forms))
        return has_phrase(forms[: told + _PHRASE], "supposed", "behind", told)

    def service(self, mention: Mention) -> bool:
        """Whether a term only names a service or a matter ("stroke team", "falls clinic")."""
        wanted = data.word_set("supposed", "service")
        following = self.words[mention.behind : mention.behind + 3]
        for place, word in enumerate(following):
            if self.text[mention.end : word.start].strip(" -and") and place == 0:
                return False
            if word.form in wanted:
                return True
            if place == 0 and word.form not in ("and", "or", "early", "specialist", "outpatient"):
                return False
        return False

    def negated(self, mention: Mention) -> bool:
        """Whether a term is denied: a denial before it with only filling words between, or one right behind it."""
        start, end = self.sentence(mention.start)
        before, between = data.word_set("negation", "before"), data.word_set("negation", "between")
        place = mention.first - 1
        for _ in range(_BEFORE_TERM):
            if place < 0 or self.words[place].start < start:
                break
            word = self.words[place]
            gap = self.text[word.end : self.words[place + 1].start]
            if any(mark in gap for mark in ".;:()\n"):
                break
            if word.form in before:
                return True
            if place and (self.words[place - 1].form, word.form) in data.phrases("negation", "phrases"):
                return True
            if place in self._last_words:  # another term of the same list
                place = self._last_words[place] - 1
                continue
            if word.form not in between and word.form not in data.findings():
                break
            place -= 1
        if self.text[mention.end : mention.end + 1] in _MARKS:
            return False
        behind = [word.form for word in self.said(mention.end, end)[: _BEHIND_TERM + 3]]
        denials = data.starts("negation", "behind")
        return bool(behind) and any(tuple(behind[: len(phrase)]) == phrase for phrase in denials.get(behind[0], ()))

    @cached_property
    def _last_words(self) -> dict[int, int]:
        """The place of each term's first word by that of its last."""
        return {mention.behind - 1: mention.first for mention in self.mentions}

    def about_allergy(self, at: int) -> bool:
        """Whether the line at a character speaks of allergies, by its words or its section."""
        if self.key.startswith(ALLERGY_SECTION):
            return True
        if not self._of_allergies:
            return False
        start, end = self.sentence(at)
        return _ALLERGIES.search(self.text, start, end) is not None or self._heading(at).startswith(ALLERGY_SECTION)

    @cached_property
    def _of_allergies(self) -> bool:
        """Whether any sentence, or heading, speaks of allergies."""
        return any(part in self.lower for part in _OF_ALLERGIES)

    @cached_property
    def _headings(self) -> list[tuple[int, str]]:
        return [(m.start(), m.group().strip().lower()) for m in re.finditer(r"(?m)^[A-Z][A-Z ,]+$", self.text)]

    def _heading(self, at: int) -> str:
        return next((said for start, said in reversed(self._headings) if start <= at), "")

    def _noun(self, mention: Mention) -> bool:
        """Whether a word that may also be a verb stands as a noun."""
        if mention.behind - mention.first > 1:
            return True
        if self.text[mention.start : mention.end] == "RA" and _BREATHING.search(
            self.text, *self.sentence(mention.start)
        ):
            return False  # room air
        form = self.words[mention.first].form
        if form not in data.word_set("ambiguous", "words"):
            return True
        said = self.text[mention.start : mention.end]
        if mention.first == 0 or "\n" in self.text[self.words[mention.first - 1].end : mention.start]:
            return said.isupper() or said[0].islower()
        gap = self.text[self.words[mention.first - 1].end : mention.start]
        if ":" in gap or "(" in gap or "," in gap:
            return True
        if mention.behind < len(self.words) and self.words[mention.behind].form in ("from", "to", "in", "short", "off"):
            return False
        return self.words[mention.first - 1].form in data.word_set("ambiguous", "nouns")


def has_phrase(forms: list[str], section: str, name: str, most: int | None = None) -> bool:
    """Whether one of the phrases of a list stands among these forms (and begins at one of the first `most` or so)."""
    starts = data.starts(section, name)
    for place, form in enumerate(forms[: None if most is None else most + 1]):
        for phrase in starts.get(form, ()):
            if tuple(forms[place : place + len(phrase)]) == phrase:
                return True
    return False
