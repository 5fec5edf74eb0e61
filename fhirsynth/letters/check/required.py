"""Facts that a letter, or one section of it, must state and does not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache

from fhirsynth.letters.check.allergies import NO_ALLERGIES
from fhirsynth.letters.check.data import forms
from fhirsynth.letters.check.known import MEDICINES, Known
from fhirsynth.letters.check.lexicon import Ref
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.reading import Reading
from fhirsynth.letters.facts import Fact

#: What each section must state of the kinds it is there for, by how its key begins.
SECTIONS: dict[str, tuple[str, ...]] = {
    "patient-demographics": ("patient",),
    "admission": ("admission",),
    "discharge": ("discharge", "death"),
    "diagnoses": ("dx", "secondary", "pmh"),
    "procedures": ("proc",),
    "clinical-summary": ("dx",),
    "allergies": ("allergy", "noallergy"),
    "medications": ("started", "changed", "stopped", "continued"),
    "plan": ("started", "stopped", "changed", "followup", "referral"),
}
#: What the letter to the patient must state.
PATIENT = ("dx", "started", "stopped", "changed", "followup", "referral")
_DIED = re.compile(r"\b(?:died|death|dead|passed away|deceased)\b", re.I)


def missing(
    readings: Sequence[Reading], known: Known, kinds: Iterable[str] | None = None, section: str = ""
) -> Iterator[Problem]:
    """The required facts (of some kinds) that none of these texts states."""
    wanted = frozenset(kinds) if kinds is not None else None
    stated = _Stated(readings, known)
    for fact in known.required:
        if (wanted is None or fact.kind in wanted) and not stated.states(fact):
            yield Problem("missing", 0, 0, "", _call(fact), fact.id, section)


def _call(fact: Fact) -> str:
    return fact.text or fact.kind


class _Stated:
    """What some texts state."""

    def __init__(self, readings: Sequence[Reading], known: Known) -> None:
        self.readings, self.known = readings, known

    @cached_property
    def refs(self) -> frozenset[Ref]:
        """All that the texts name."""
        return frozenset().union(*(mention.refs for reading in self.readings for mention in reading.mentions))

    @cached_property
    def allergens(self) -> frozenset[Ref]:
        """All that they name in speaking of allergies."""
        named = ((reading, mention) for reading in self.readings for mention in reading.mentions)
        return frozenset().union(*(m.refs for reading, m in named if reading.about_allergy(m.start)))

    @cached_property
    def dates(self) -> frozenset[tuple[int, int]]:
        """Days and months of the dates in them."""
        every = (q for reading in self.readings for q in reading.quantities if q.type == "date")
        return frozenset(q.value[:2] for q in every if isinstance(q.value, tuple))

    @cached_property
    def text(self) -> str:
        """Their words in normal form, with a blank around each."""
        return f" {' '.join(reading.spoken for reading in self.readings)} "

    def states(self, fact: Fact) -> bool:
        """Whether a fact is stated, by its kind's own measure."""
        known = self.known
        refs = known.main.get(fact.id, frozenset())
        if fact.kind == "patient":
            return any(person.names & self._capitals for person in known.people if person.fact == fact.id)
        if fact.kind in ("admission", "discharge"):
            return self._dated(fact, "date") or ("destination" in fact.values and self._says(fact, "destination"))
        if fact.kind == "death":
            return any(_DIED.search(reading.text) for reading in self.readings)
        if fact.kind == "noallergy":
            return any(NO_ALLERGIES.search(reading.text) for reading in self.readings)
        if fact.kind == "allergy":
            return bool(refs & self.allergens) or (not refs and self._says(fact, ""))
        if fact.kind in MEDICINES:
            refs = frozenset(ref for ref in refs if ref[1].startswith("vtm:"))
        if fact.kind == "followup":
            several = [f for f in known.of("followup") if f.text == fact.text]
            return self._says(fact, "") and (len(several) < 2 or self._dated(fact, "date"))
        if fact.kind in ("dx", "secondary", "pmh", "proc") or fact.kind in MEDICINES:
            return bool(refs & self.refs) or self._says(fact, "")
        return self._says(fact, "")

    def _dated(self, fact: Fact, slot: str) -> bool:
        return any(
            (fact.id, slot) == (id_held, slot_held) and key in self.dates
            for key, held in self.known.dates.items()
            for _, id_held, slot_held in held
        )

    def _says(self, fact: Fact, slot: str) -> bool:
        value = fact.values.get(slot)
        if value is None:
            return True
        return any(said in self.text for option in (value.text, value.patient) if option for said in _sayings(option))

    @cached_property
    def _capitals(self) -> frozenset[str]:
        return frozenset(word.text for reading in self.readings for word in reading.words if word.text[:1].isupper())


@lru_cache(maxsize=20_000)
def _sayings(text: str) -> tuple[str, str]:
    """A text in normal form with a blank around each word, without "the" and as it is."""
    said = forms(text)
    return f" {' '.join(form for form in said if form != 'the')} ", f" {' '.join(said)} "
