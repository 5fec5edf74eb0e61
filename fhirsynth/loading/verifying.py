"""What a server holds beside what was to be loaded: the number of each type, and a sample of resources in full."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fhirsynth.errors import OutputError
from fhirsynth.loading.comparing import differences
from fhirsynth.loading.concurrency import together
from fhirsynth.loading.entries import Entry
from fhirsynth.loading.server import Server
from fhirsynth.loading.source import Source

#: Resources of each type that are read back by default.
SAMPLE = 20
_MOST_TOLD = 100  # of resources that differ
_MOST_PLACES = 5  # at which one of them differs


class Count(NamedTuple):
    """How many resources of a type should be there at least, and how many the server says there are, if it says."""

    expected: int
    found: int | None

    @property
    def is_enough(self) -> bool:
        """Whether none is missing. More may be there: others load into the server as well."""
        return self.found is None or self.found >= self.expected


@dataclass
class Verified:
    """What came of a verification.

    counts: by type. compared: resources that were read back. different: what differs in which of them, in words;
    at most a hundred, `differing` says how many there are.
    """

    counts: dict[str, Count] = field(default_factory=dict)
    compared: int = 0
    differing: int = 0
    different: list[tuple[str, list[str]]] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether the server holds what was loaded."""
        return not self.differing and all(count.is_enough for count in self.counts.values())

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "sound": self.is_sound,
            "counts": {kind: count._asdict() for kind, count in self.counts.items()},
            "compared": self.compared,
            "differing": self.differing,
            "different": [{"resource": key, "differences": told} for key, told in self.different],
        }


async def verify(
    source: Source,
    server: Server,
    missing: Collection[str],
    *,
    sample: int = SAMPLE,
    workers: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> Verified:
    """Count and read back what is on a server.

    missing: names of resources that are known not to be there, because the server refused them. sample: how many of
    each type are read back; always the same ones of a population. progress: gets how many people were looked
    through, and of how many. Raises InputError and OutputError as the source and the server do.
    """
    expected, chosen = _expected(source, missing, sample, progress)
    made = Verified()
    for kind in sorted(expected):
        made.counts[kind] = Count(expected[kind], await _count(server, kind))
    await together(_compare(server, chosen, made) for _ in range(workers))
    made.different.sort()
    return made


def _expected(
    source: Source, missing: Collection[str], sample: int, progress: Callable[[int, int], None] | None
) -> tuple[Counter[str], Iterator[Entry]]:
    """How many there are of each type, and so many of each, by chance but always the same."""
    chance = random.Random(0)
    counts: Counter[str] = Counter()
    kept: defaultdict[str, list[Entry]] = defaultdict(list)
    for unit in source.units():
        for entry in unit.read():
            if entry.key in missing:
                continue
            counts[entry.kind] += 1
            chosen = kept[entry.kind]
            if len(chosen) < sample:
                chosen.append(entry)
            elif (place := chance.randrange(counts[entry.kind])) < sample:
                chosen[place] = entry
        if progress:
            progress(unit.number, source.people)
    return counts, iter([entry for kind in sorted(kept) for entry in kept[kind]])


async def _count(server: Server, kind: str) -> int | None:
    """How many resources of a type there are, None where the server does not say."""
    for params in ({"_summary": "count"}, {"_total": "accurate", "_count": "1"}):
        answer = await server.ask("GET", kind, params=params)
        server.demand_access(answer)
        total = answer.content.get("total") if answer.is_success and answer.is_a("Bundle") else None
        if isinstance(total, int):
            return total
    return None


async def _compare(server: Server, chosen: Iterator[Entry], made: Verified) -> None:
    """Read back what is chosen, one after another; several may do so together."""
    for entry in chosen:
        answer = await server.ask("GET", entry.key)
        server.demand_access(answer)
        if answer.status in (404, 410):
            told = ["is not there"]
        elif not (answer.is_success and isinstance(answer.content, dict)):
            raise OutputError(f"{server.target.base} cannot be read back: {entry.key} is answered {answer.status}")
        else:
            found = differences(entry.resource, answer.content, server.target.base)
            told = [server.target.without_secrets(str(difference)) for difference in found]
        made.compared += 1
        made.differing += bool(told)
        if told and len(made.different) < _MOST_TOLD:
            made.different.append((entry.key, told[:_MOST_PLACES]))
