"""What the reader reports: one problem of one passage."""

from __future__ import annotations

from typing import NamedTuple

#: Rules of a statement that no fact holds; `role`: one that nothing could hold, a value where no such value can stand.
UNSUPPORTED = frozenset(
    {
        "unsupported-condition",
        "unsupported-medicine",
        "unsupported-procedure",
        "unsupported-test",
        "unsupported-allergy",
        "unsupported-finding",
        "unsupported-date",
        "unsupported-time",
        "unsupported-duration",
        "unsupported-number",
        "unsupported-side",
        "role",
    }
)
#: The rule of a required fact that is stated nowhere (or not in the section that must state it).
MISSING = "missing"
#: Rules of a statement that a fact speaks against.
CONTRADICTIONS = frozenset(
    {"sex", "age", "side", "dose", "negated", "allergy-conflict", "trend", "level", "name", "date", "time"}
    | {"duration", "value", "unit", "status", "nhs-number", "place", "admission"}
)


class Problem(NamedTuple):
    """One disagreement of text and facts.

    `start`, `end`: characters of the text that was read (both 0 where something is missing); `found`: what stands
    there; `expected`: what the facts say, as far as one can tell; `fact`: id of the fact it is about, if any;
    `section`: key of the section that the offsets belong to, "" if the letter was read as one text.
    """

    rule: str
    start: int
    end: int
    found: str
    expected: str
    fact: str
    section: str = ""

    def __str__(self) -> str:
        where = f"{self.section or 'letter'}[{self.start}:{self.end}]"
        return f"{self.rule} {where}: {self.found!r}" + (f", expected {self.expected!r}" if self.expected else "")
