"""A section while its text is put together: values go into the words here, and every value's place is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from fhirsynth.letters.agreeing import article, capital, is_many, takes_no_article, verb
from fhirsynth.letters.facts import Fact, Stay, Value
from fhirsynth.letters.letter import Mark, Section, Span
from fhirsynth.letters.phrases import Agree, Pattern, Piece, Place, Words

#: Where in a fact's resources that of a value lies, by the value's type; others come from the first.
_RESOURCE_TYPES = {
    "person_name": "Patient/",
    "staff_name": "Practitioner/",
    "organisation": "Organization/",
    "ward": "Location/",
}
_PRONOUNS = frozenset({"he", "him", "his", "He", "Him", "His"})
_DETERMINERS = frozenset({"a", "an", "the", "your", "his", "her", "their", "some"})
#: Types of value that can be one or many: verbs and articles beside them agree.
_COUNTED = frozenset({"condition", "procedure", "result", "medication"})

_SENTENCE_END = re.compile(r"(?:^|[.!?]['\")]?\s+|\n)$")
_NO_SENTENCE_END = re.compile(r"\b(?:e\.g|i\.e|vs|approx)\.\s+$")
_SUBJECT = re.compile(r"(?:^|[.;:!?] |\n|, (?:and|but|while|whereas) )(?:While )?(?:(?:The|An?|the|an?) )?$")
_LAST_WORD = re.compile(r"(?:^|(?<=[\s(]))([A-Za-z]+) $")
_FIRST_WORD = re.compile(r"[A-Za-z]+(?![\w-])")
_VERB = re.compile(r" (was|were|is|are|has|have)\b")


class Filled(NamedTuple):
    """A placeholder with what it names: a slot of one fact or (`every`) of several, as a list."""

    facts: tuple[Fact, ...]
    slot: str
    every: bool = False


#: What a sentence is put together from once its facts are chosen.
Part = Words | Agree | Filled


class _Token:
    """A stretch of a sentence: plain words, or a value with the fact and slot it comes from."""

    __slots__ = ("fact", "many", "slot", "text", "value")

    def __init__(self, text: str, value: Value | None = None, fact: Fact | None = None, slot: str = "") -> None:
        self.text, self.value, self.fact, self.slot = text, value, fact, slot
        self.many = False


def resource_of(fact: Fact, value: Value, slot: str) -> str | None:
    """The FHIR resource that a value comes from, among those of its fact."""
    if value.resource:
        return value.resource
    wanted = _RESOURCE_TYPES.get(value.type)
    if wanted is not None:
        return next((name for name in fact.resources if name.startswith(wanted)), None)
    if fact.kind == "trend" and slot == "last":
        return fact.resources[-1] if fact.resources else None
    return fact.resources[0] if fact.resources else None


class Draft:
    """The text of one section so far. `plain`: values stand in their words for the patient."""

    def __init__(self, key: str, stay: Stay, plain: bool = False) -> None:
        self.key, self.stay, self.plain = key, stay, plain
        self.text = ""
        self.spans: list[Span] = []
        self.marks: list[Mark] = []
        #: The sentences put in so far, as their parts; None where a paragraph begins.
        self.told: list[tuple[Part, ...] | None] = []
        self._named = plain  # the patient has been named in this paragraph; a letter to them says "you"
        self._just_named = False  # … and by the sentence before, with nobody else in it

    def section(self, title: str, writer: str) -> Section:
        """The finished section."""
        return Section(self.key, title, self.text, tuple(self.spans), writer, tuple(self.marks))

    def paragraph(self) -> None:
        """Begin a new paragraph, where something stands already."""
        if self.text:
            self.text += "\n\n"
            self.told.append(None)
            self._named, self._just_named = self.plain, False

    def sentence(self, pattern: Pattern, bound: Mapping[str, Sequence[Fact]]) -> None:
        """Put a pattern in, with the facts bound to the kinds it names, and the patient's name where it is due."""
        self.say(self._filled(self._naming(pattern.pieces, pattern.names), bound), pattern.abbr)

    def say(self, parts: Sequence[Part], abbreviations: Sequence[tuple[str, str]] = ()) -> None:
        """Put a sentence in as it is; `abbreviations`: words of it with their short forms."""
        if self.text and not self.text.endswith("\n"):
            self.text += " "
        self.told.append(tuple(parts))
        tokens = self._tokens(parts)
        self._fit(tokens)
        start = len(self.text)
        self._put(tokens)
        if abbreviations:
            self._mark(start, abbreviations)

    def line(self, pieces: Sequence[Piece], bound: Mapping[str, Sequence[Fact]]) -> None:
        """Put a line of a fixed section in, on a line of its own."""
        if self.text:
            self.text += "\n"
        self._put(self._tokens(self._filled(pieces, bound)))

    # ---- names and pronouns

    def _naming(self, pieces: tuple[Piece, ...], names: bool) -> list[Piece]:
        """The pieces, with a name in place of a paragraph's first pronoun, and a pronoun for a name just said."""
        found: list[Piece] = list(pieces)
        if self.plain:
            return found
        pronoun = next((i for i, piece in enumerate(found) if isinstance(piece, Agree) and piece.word in _PRONOUNS), -1)
        told = next((i for i, piece in enumerate(found) if _introduces(piece)), -1)
        if pronoun >= 0 and not self._named and told < 0 and not names:
            word = found[pronoun]
            assert isinstance(word, Agree)
            name: list[Piece] = [Place("patient", "short", False)]
            found[pronoun : pronoun + 1] = [*name, Words("'s")] if word.word.lower() == "his" else name
        elif self._just_named and found[0] == Place("patient", "short", False) and len(found) > 1:
            behind = found[1]
            if isinstance(behind, Words) and behind.text.startswith("'s "):
                found[:2] = [Agree("His"), Words(behind.text.removeprefix("'s"))]
            else:
                found[0] = Agree("He")
        mentions = told >= 0 or pronoun >= 0 or names
        self._named = self._named or mentions
        others = any(isinstance(piece, Place) and (piece.kind == "gp" or piece.slot == "consultant") for piece in found)
        self._just_named = mentions and not others
        return found

    # ---- from pieces to tokens

    def _filled(self, pieces: Sequence[Piece], bound: Mapping[str, Sequence[Fact]]) -> list[Part]:
        """The pieces with the facts that their placeholders name."""
        parts: list[Part] = []
        for piece in pieces:
            if isinstance(piece, Place):
                facts = bound.get(piece.kind) or self.stay.of(piece.kind)
                parts.append(Filled(tuple(facts) if piece.every else (facts[0],), piece.slot, piece.every))
            else:
                parts.append(piece)
        return parts

    def _tokens(self, parts: Sequence[Part]) -> list[_Token]:
        tokens: list[_Token] = []
        for part in parts:
            if isinstance(part, Words):
                tokens.append(_Token(part.text))
            elif isinstance(part, Agree):
                tokens.append(_Token(self.stay.grammar[part.word]))
            elif part.every:
                tokens.extend(self._listed(part))
            else:
                tokens.append(self._value(part.facts[0], part.slot))
        return tokens

    def _value(self, fact: Fact, slot: str) -> _Token:
        value = fact.values[slot]
        token = _Token((self.plain and value.patient) or value.text, value, fact, slot)
        token.many = value.type in _COUNTED and is_many(token.text)
        return token

    def _listed(self, part: Filled) -> list[_Token]:
        """a, b and c: each a value of its own, the same words once."""
        once: dict[str, _Token] = {}
        for fact in part.facts:
            token = self._value(fact, part.slot)
            once.setdefault(token.text, token)
        tokens: list[_Token] = []
        for place, token in enumerate(once.values()):
            if place:
                tokens.append(_Token(" and " if place == len(once) - 1 else ", "))
            tokens.append(token)
        if len(once) > 1:
            tokens[-1].many = True
        return tokens

    # ---- agreement

    def _fit(self, tokens: list[_Token]) -> None:
        """Mend the words beside values: articles, a word said by both, verbs of one or many."""
        for place, token in enumerate(tokens):
            if token.value is None:
                continue
            if place and tokens[place - 1].value is None:
                before = tokens[place - 1]
                if place + 1 < len(tokens) and tokens[place + 1].value is None and _begins_clause(before.text):
                    _agree(tokens[place + 1], token.many, token.value.type)
                before.text = _before(before.text, token)
            elif not place and len(tokens) > 1 and tokens[1].value is None:
                if tokens[1].text in (", ", " and "):
                    self._agree_list(tokens)
                else:
                    _agree(tokens[1], token.many, token.value.type)
            behind = tokens[place + 1] if place + 1 < len(tokens) else None
            if behind is not None and behind.value is None and token.text.endswith(".") and behind.text.startswith("."):
                behind.text = behind.text[1:]

    @staticmethod
    def _agree_list(tokens: list[_Token]) -> None:
        """The verb behind a list that begins the sentence."""
        last = 0
        while (
            last + 2 < len(tokens) and tokens[last + 1].text in (", ", " and ") and tokens[last + 2].value is not None
        ):
            last += 2
        if last + 1 < len(tokens):
            _agree(tokens[last + 1], True, "condition")

    # ---- from tokens to text

    def _put(self, tokens: list[_Token]) -> None:
        for token in tokens:
            text = token.text
            if not text:
                continue
            last = self.text[-1:]
            if (not last or last.isspace()) and _begins_sentence(self.text[-8:]):
                text = capital(text)
            start = len(self.text)
            self.text += text
            if token.value is not None and token.fact is not None:
                self._span(start, text, token.value, token.fact, token.slot)

    def _span(self, start: int, text: str, value: Value, fact: Fact, slot: str, negated: bool = False) -> None:
        place = resource_of(fact, value, slot)
        self.spans.append(
            Span(
                start,
                start + len(text),
                text,
                value.type,
                fact.id,
                slot,
                value.system,
                value.code,
                place,
                negated,
                self.key,
                text,
            )
        )

    def states(self, start: int, type_: str, fact: Fact) -> None:
        """Mark the text from `start` on as the statement that there is none of what `type_` names."""
        self._span(start, self.text[start:], Value(self.text[start:], type_), fact, "", negated=True)

    def _mark(self, start: int, abbreviations: Sequence[tuple[str, str]]) -> None:
        """Remember where the sentence from `start` on has words that could be abbreviated."""
        taken = [(span.start, span.end) for span in self.spans if span.start >= start]
        for clean, short in abbreviations:
            for place in _alone(clean, self.text[start:]):
                here = start + place, start + place + len(clean)
                if all(here[1] <= a or here[0] >= b for a, b in taken):
                    self.marks.append(Mark(*here, short))
                    taken.append(here)


@lru_cache(maxsize=10_000)
def _begins_sentence(ahead: str) -> bool:
    """Whether what follows these last few characters begins a sentence."""
    return _SENTENCE_END.search(ahead) is not None and _NO_SENTENCE_END.search(ahead) is None


@lru_cache(maxsize=10_000)
def _begins_clause(words: str) -> bool:
    """Whether what follows these words is the subject of a sentence or clause."""
    return _SUBJECT.search(words) is not None


@lru_cache(maxsize=10_000)
def _last_word(words: str) -> tuple[str, str] | None:
    """The last word before a value, and what stands before it; None where something else does."""
    match = _LAST_WORD.search(words)
    return (match[1], words[: match.start()]) if match is not None else None


def _alone(words: str, text: str) -> Iterator[int]:
    """Where some words stand by themselves in a text. There are hundreds: patterns for them would be long in making."""
    place = text.find(words)
    while place >= 0:
        end = place + len(words)
        free = not (_goes_on(text[place - 1 : place]) or _goes_on(text[end : end + 1]))
        if free:
            yield place
        place = text.find(words, end if free else place + 1)


def _goes_on(character: str) -> bool:
    """Whether a character beside a word makes it part of a longer one."""
    return character.isalnum() or character in ("_", "-")


def _introduces(piece: Piece) -> bool:
    """Whether a piece says who is spoken of."""
    if isinstance(piece, Place):
        return piece.kind == "patient" and piece.slot in ("", "short")
    return isinstance(piece, Agree) and piece.word.lower() in ("man", "gentleman")


def _agree(behind: _Token, many: bool, type_: str) -> None:
    """Let the verb at the start of the words behind a value agree with it."""
    match = _VERB.match(behind.text)
    if match and type_ in _COUNTED:
        behind.text = f" {verb(match[1], many)}{behind.text[match.end() :]}"


def _before(words: str, token: _Token) -> str:
    """The words before a value: a or an as it sounds, no article where it takes none, no word said twice."""
    found = _last_word(words)
    if found is None:
        return words
    last, kept = found
    first = _FIRST_WORD.match(token.text)
    low, begins = last.lower(), first[0].lower() if first else ""
    if begins and (low == begins or (low in _DETERMINERS and begins in _DETERMINERS)):
        return kept
    if low == "to" and token.text == "home":
        return kept
    if low not in ("a", "an"):
        return words
    counted = token.value is not None and token.value.type in ("procedure", "condition", "result")
    if counted and takes_no_article(token.text):
        return kept
    right = article(token.text)
    return f"{kept}{right.capitalize() if last[0].isupper() else right} "
