"""How somebody came in, in a text and by the facts: as planned or as an emergency, for a day or longer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from fhirsynth.letters.check import data
from fhirsynth.letters.check.known import Known
from fhirsynth.letters.check.problem import Problem
from fhirsynth.letters.check.reading import Reading

#: Tags of a stay that words speak of, each a list of `language.toml`.
_TAGS = ("elective", "emergency", "daycase", "via-emergency-department")
#: How a stay is told of: it has one of these.
_WAYS = ("emergency", "elective", "maternity")


def check(reading: Reading, known: Known) -> Iterator[Problem]:
    """Words for another way of coming in than that of the stay."""
    tags, admission = known.stay.tags, known.stay.first("admission")
    expected = next((way for way in _WAYS if way in tags), "")
    if admission is None or not expected:
        return
    for tag in _TAGS:
        if tag in tags or reading.forms.isdisjoint(data.starts("admission", tag)):
            continue
        for match in _said(tag).finditer(reading.text):
            if not reading.supposed(match.start()):
                yield Problem("admission", match.start(), match.end(), match.group(), expected, admission.id)


@cache
def _said(tag: str) -> re.Pattern[str]:
    return re.compile(rf"\b{data.either('admission', tag)}\b", re.I)
