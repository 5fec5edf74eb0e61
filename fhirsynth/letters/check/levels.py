"""Words of level (raised, low, normal) against the facts, each held against the tests that it is said of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from fhirsynth.letters.check import data
from fhirsynth.letters.check.known import Known
from fhirsynth.letters.check.lexicon import Mention
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.reading import Reading
from fhirsynth.letters.check.ties import LINKS
from fhirsynth.letters.check.tokens import Word

_SCORE = ("vital", "news2")
_MOST_BETWEEN = 8  # words between a test and what is said of it
#: Between a word of level and the test that it stands before.
_BEFORE = re.compile(r":?[ ](?:(?:the|his|her|your|serum|plasma|first|initial|admission|level|levels|of)[ ])*", re.I)
#: Between two tests that one word of level stands before ("low sodium and potassium").
_AND = re.compile(r"(?:,| and| or|,? as well as| plus)[ ]", re.I)
_ONE, _ALL = re.compile(r"\b(?:was|is|being)\b", re.I), re.compile(r"\b(?:were|are|both)\b", re.I)
_LINE = re.compile(r"[;.\n]")
_RANGE = re.compile(r"\bin the (low|high|normal)(?:er|est)? range\b", re.I)
_SAID = re.compile(r"[ ](?:was|were|is|are|remained|proved|came back|found|being)(?:[ ]\w+ly)?[ ](?:to be[ ])?\Z")


def check(reading: Reading, known: Known) -> Iterator[Problem]:
    """Tests told as high, low or normal that are not, and levels said of what has none."""
    levels = _levels()
    for place, word in enumerate(() if reading.forms.isdisjoint(levels) else reading.words):
        level = levels.get(word.form)
        if level is None or reading.term_at(word.start) or reading.supposed(word.start):
            continue
        if place and reading.words[place - 1].form in data.word_set("negation", "before"):
            continue
        start, end = reading.sentence(word.start)
        thing = _thing(reading, word, place, start)
        if thing is not None:
            found = reading.text[thing.start : thing.end]
            yield Problem("role", word.start, word.end, word.text, f"a test, not {found}", "")
            continue
        targets = _before(reading, word, end) if level != "normal" else []
        if not targets and word.form not in data.word_set("level", "only_before"):
            targets = _behind(reading, word, place, start)
        for target in targets:
            problem = _against(known, target, word, level)
            if problem is not None:
                yield problem
                break
    yield from _ranges(reading)


def _levels() -> Mapping[str, str]:
    return data.by_word("level", ("high", "low", "normal", "abnormal"))


def _against(known: Known, target: Mention, word: Word, level: str) -> Problem | None:
    if _SCORE in target.refs:
        return _against_score(known, word)
    refs = sorted(ref for ref in target.refs if ref[0] in ("test", "panel"))
    tests = [ref for ref in refs if ref[0] == "test"]
    held = frozenset(told for ref in tests or refs for told in known.level(ref))
    if not held or level in held or (level == "abnormal" and held != {"normal"}):
        return None
    if level == "normal" and (not tests or any("normalised" in known.direction(ref) for ref in tests)):
        return None
    fact = next((f.id for f in known.holds(tests or refs)), "")
    return Problem("level", word.start, word.end, word.text, " or ".join(sorted(held)), fact)


def _against_score(known: Known, word: Word) -> Problem | None:
    """A low score is in the low range; a high one is above it."""
    held = known.score()
    wrong = {"low": "low" not in held, "high": held == {"low"}}
    if not held or not wrong.get(word.form):
        return None
    fact = next((fact.id for fact in known.holds([_SCORE])), "")
    return Problem("level", word.start, word.end, word.text, " or ".join(sorted(held)), fact)


def _before(reading: Reading, word: Word, end: int) -> list[Mention]:
    """The tests that a word of level stands before, but for those of a list that have a level of their own."""
    following = _named(reading, word.end, end)
    if not following or not _BEFORE.fullmatch(reading.text, word.end, following[0].start):
        return []
    found = following[:1]
    for mention in following[1:]:
        if not _AND.fullmatch(reading.bare, found[-1].end, mention.start):
            break
        found.append(mention)
    behind = following[len(found)].start if len(found) < len(following) else end
    if len(found) > 1 and any(w.form in _levels() for w in reading.said(found[-1].end, behind)):
        found = found[:1]
    return found


def _behind(reading: Reading, word: Word, place: int, start: int) -> list[Mention]:
    """The tests that a word of level is said of behind them: the nearest, with those of its list."""
    before = _named(reading, start, word.start)
    if not before or not _ends(reading, place):
        return []
    between = reading.said(before[-1].end, word.start)
    forms = {w.form for w in between} | {w.form for w in reading.said(start, word.start) if w.form == "neither"}
    if len(between) > _MOST_BETWEEN or forms & data.word_set("level", "unless") or forms & _levels().keys():
        return []
    if _LINE.search(reading.bare, before[-1].end, word.start):
        return []
    if word.form in data.word_set("level", "normal") and not data.only(*LINKS).fullmatch(
        reading.bare, before[-1].end, word.start
    ):
        return []
    found = before[-1:]
    if _ONE.search(reading.bare, before[-1].end, word.start):
        return found
    # said of a list: "the eGFR, at 32, and the INR, at 2.2, were low", but no figures in "CRP 30 mg/L, calcium normal"
    text = reading.bare if _ALL.search(reading.bare, before[-1].end, word.start) else reading.text
    listed = data.only("link", "list", " ,()&/")
    for mention in reversed(before[:-1]):
        if not listed.fullmatch(text, mention.end, found[0].start):
            break
        found.insert(0, mention)
    return found


def _named(reading: Reading, start: int, end: int) -> list[Mention]:
    return [m for m in reading.within(start, end) if any(kind in ("test", "panel", "vital") for kind, _ in m.refs)]


def _ends(reading: Reading, place: int) -> bool:
    """Whether a word of level stands as what is said of something, not before a thing of its own ("low mood")."""
    if place + 1 == len(reading.words):
        return True
    word, following = reading.words[place], reading.words[place + 1]
    if reading.text[word.end : following.start] not in (" ", "-"):
        return True
    return following.text[0].isdigit() or following.form in data.word_set("level", "may_follow")


def _thing(reading: Reading, word: Word, place: int, start: int) -> Mention | None:
    """What has no level and is told as high or low: a medicine, a procedure or an illness."""
    if word.form not in data.word_set("level", "of_tests"):
        return None
    after = reading.term_at(word.end + 1)
    if after is not None and after.start == word.end + 1 and _has_no_level(after, "medicine", "procedure"):
        return after
    said = _SAID.search(reading.text, max(start, word.start - 30), word.start)
    before = reading.term_at(said.start() - 1) if said and said.start() > 0 else None
    if before is not None and _ends(reading, place) and _has_no_level(before, "medicine", "procedure", "condition"):
        return before
    return None


def _has_no_level(mention: Mention, *kinds: str) -> bool:
    return all(kind in (*kinds, "allergen") for kind, _ in mention.refs)


def _ranges(reading: Reading) -> Iterator[Problem]:
    """ "In the low range" of a sentence that names nothing with a range, or right behind what has none."""
    for match in _RANGE.finditer(reading.text) if "range" in reading.lower else ():
        start, end = reading.sentence(match.start())
        said = {word.form for word in reading.said(start, end)}
        if _named(reading, start, match.start()) or said & data.word_set("level", "measurable"):
            continue
        yield Problem("role", match.start(), match.end(), match.group(), "what was in it", "")
