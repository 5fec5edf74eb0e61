"""What was known of a stay at a moment: its facts as far as they had happened, without what came of them later.

Facts that have a day stand from that day on. Of the others, what somebody brings along is known from the start, and
what is only told of a stay as a whole (a result's course, medicines to take home) at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fhirsynth.letters.facts import Fact, Stay
from fhirsynth.letters.levels.moments import Moment, day_of

#: Kinds known from the admission on, with the slots that are; None for all of them.
_FROM_THE_START: Mapping[str, frozenset[str] | None] = {
    **dict.fromkeys(("patient", "gp", "admission", "social", "language", "allergy", "noallergy", "pmh", "obs")),
    "dx": None,
    "continued": None,
    # That it will be stopped or changed, and why, is not known yet; nor is when somebody goes home.
    "stopped": frozenset({"", "name", "dose", "for"}),
    "changed": frozenset({"", "name", "from", "for"}),
    "discharge": frozenset({"consultant"}),
}
#: Kinds with a day of their own.
_DATED = frozenset({"proc", "result"})
_END = frozenset({"discharge", "home", "death"})


def by_then(stay: Stay, moment: Moment) -> Stay:
    """The stay as somebody knows it who writes a note at a moment."""
    facts = tuple(_known(stay, moment))
    tags = {tag for tag in stay.tags if not tag.startswith("has:")} | {f"has:{fact.kind}" for fact in facts}
    return stay._replace(facts=facts, tags=frozenset(tags))


def _known(stay: Stay, moment: Moment) -> Iterator[Fact]:
    over, arrived = moment.occasion in _END, moment.occasion == "admission"
    admitted = day_of(stay.first("admission"))
    # A note of an evening's admission may be written after midnight: what the next day brings is not known then.
    day = admitted if arrived and admitted is not None else moment.at.date()
    for fact in stay.facts:
        slots: frozenset[str] | None = None
        if not over:
            its_day = day_of(fact) if fact.kind in _DATED else None
            if its_day is None and fact.kind not in _FROM_THE_START:
                continue
            if its_day is not None and its_day > day:
                continue
            if fact.kind == "dx" and arrived and "maternity" in stay.tags:  # the birth is yet to come
                continue
            slots = _FROM_THE_START.get(fact.kind)
        values = {slot: value for slot, value in fact.values.items() if value.text and (slots is None or slot in slots)}
        yield fact._replace(values=values) if len(values) < len(fact.values) else fact
