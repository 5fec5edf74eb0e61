"""In which order resources go to a server that refuses a reference to what is not there.

Whatever a resource refers to goes before it or together with it. Resources that refer to one another in a ring, such
as a stay and its diagnoses, cannot be parted: they make one group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from fhirsynth.loading.entries import Entry, references
from fhirsynth.reading import Json

#: Resources that must go together: one, or a ring.
Group = list[Entry]


def groups(entries: Sequence[Entry]) -> list[Group]:
    """The entries in groups, each behind those that it refers to; otherwise as they stand.

    References to what is not among the entries do not matter.
    """
    place = {found.key: number for number, found in enumerate(entries)}
    targets = [sorted({place[key] for key in references(found.resource) if key in place}) for found in entries]
    return [[entries[number] for number in sorted(ring)] for ring in _rings(targets)]


def _rings(targets: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Tarjan's strongly connected components of a graph, each behind those that its members lead to."""
    found = [-1] * len(targets)  # when a node was first come to
    low = [0] * len(targets)  # the earliest waiting node that can be reached from it
    waiting: list[int] = []
    is_waiting = [False] * len(targets)
    count = 0
    for root in range(len(targets)):
        if found[root] >= 0:
            continue
        path = [(root, iter(targets[root]))]
        while path:
            node, ahead = path[-1]
            if found[node] < 0:
                found[node] = low[node] = count
                count += 1
                waiting.append(node)
                is_waiting[node] = True
            for target in ahead:
                if found[target] < 0:
                    path.append((target, iter(targets[target])))
                    break
                if is_waiting[target]:
                    low[node] = min(low[node], low[target])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == found[node]:
                    ring = []
                    while is_waiting[node]:
                        ring.append(waiting.pop())
                        is_waiting[ring[-1]] = False
                    yield ring


def pieces(entries: Sequence[Entry], most: int) -> list[list[Entry]]:
    """The entries cut into requests of at most `most`, in an order in which each can be loaded after the others.

    Those that fit into one stay as they are. A ring that is larger than `most` is not cut.
    """
    if len(entries) <= most:
        return [list(entries)]
    made: list[list[Entry]] = []
    for group in groups(entries):
        if not made or len(made[-1]) + len(group) > most:
            made.append([])
        made[-1].extend(group)
    return made


def halves(parts: Sequence[Group]) -> tuple[list[Entry], list[Entry]]:
    """Two or more groups, in their order, as two of about the same number of entries; neither is empty."""
    half = sum(map(len, parts)) / 2
    cut = size = 0
    while cut < len(parts) - 1 and (not cut or size + len(parts[cut]) <= half):
        size += len(parts[cut])
        cut += 1
    return list(chain.from_iterable(parts[:cut])), list(chain.from_iterable(parts[cut:]))


class Step(NamedTuple):
    """A resource to be put by itself; `is_whole` is false where it comes again, with more in it."""

    entry: Entry
    is_whole: bool


def one_by_one(entries: Sequence[Entry]) -> Iterator[Step]:
    """The entries in an order in which they can be put by themselves.

    One of each ring goes first without the elements that refer to the others, and once more behind them as it is.
    """
    for group in groups(entries):
        yield from _opened(group)


def _opened(ring: Group) -> Iterator[Step]:
    if len(ring) == 1:
        yield Step(ring[0], True)
        return
    keys = {found.key for found in ring}
    named = [key for found in ring for key in references(found.resource) if key in keys and key != found.key]
    first = max(ring, key=lambda found: named.count(found.key))
    yield Step(Entry(first.key, _without(first.resource, keys - {first.key})), False)
    for group in groups([found for found in ring if found is not first]):
        yield from _opened(group)
    yield Step(first, True)


def _without(resource: Json, keys: set[str]) -> Json:
    """A resource without the elements, or items of its lists, in which one of `keys` is referred to."""

    def refers(value: Any) -> bool:
        return any(key in keys for key in references(value))

    kept: Json = {}
    for name, value in resource.items():
        if isinstance(value, list):
            if items := [item for item in value if not refers(item)]:
                kept[name] = items
        elif not refers(value):
            kept[name] = value
    return kept


def that_refer_to(missing: Iterable[str], entries: Sequence[Entry]) -> set[str]:
    """Names of the entries that refer to one of `missing`, or to one that does."""
    named: Mapping[str, set[str]] = {found.key: set(references(found.resource)) for found in entries}
    found: set[str] = set()
    absent = set(missing)
    while more := {key for key, keys in named.items() if key not in found and keys & absent}:
        found |= more
        absent = more
    return found
