"""The named people in words: the page that lies beside their files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fhirsynth.days import age_on, day_of
from fhirsynth.fhir import civil
from fhirsynth.named.making import INDEX, Named

if TYPE_CHECKING:
    from fhirsynth.record.schema import Person

_HEAD = """# Named people worth testing with

{count} synthetic people, each a case that software for the NHS stumbles over. Nobody in them is real: NHS numbers are
of the test range 999, telephone numbers of the ranges kept for drama, postcodes of forms that no real one has.
Records are told on {index}.

Load `organisations.json` first, then the people: each file is a transaction bundle. `manifest.json` has the same
list for programs. Written by `{command}`.

"Found" people are as the population has them. Of the others the last column says what was set before their life was
told; everything else was found.

| file | who | what for | found or set |
|---|---|---|---|
"""


def readme(people: Sequence[Named], letters: bool = False) -> str:
    """The page as Markdown: a line for each person."""
    command = "fhirsynth samples --letters" if letters else "fhirsynth samples"
    index = f"{INDEX.day} {INDEX:%B %Y}"
    return _HEAD.format(count=len(people), index=index, command=command) + "".join(map(_line, people))


def _line(named: Named) -> str:
    case = named.case
    made = ", ".join(case.changed) or "found"
    known = who(named.person) if "birthDate" not in case.drops else f"{named.person.given} {named.person.surname}"
    cells = (f"[{case.key}](people/{case.key}.json)", known, f"**{case.name}.** {case.tests}", made)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"


def who(person: Person) -> str:
    """A person in a few words: `Mrs Anne Bell, 67`."""
    name = " ".join(filter(None, (person.prefix, person.given, person.surname)))
    died = person.death is not None
    age = age_on(person.birth, day_of(INDEX) if person.death is None else civil.local_day(person.death))
    return f"{name}, {f'died at {age}' if died else age}"
