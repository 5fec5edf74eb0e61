"""Our own valid output, broken mechanically: what the validators are judged by.

From all that could be changed by the rules (`mutation_kinds`) a few of each kind are taken for each profile, those
that were done least often elsewhere first. Whether a change really breaks a rule is not known here: the official
validator is asked. `neutral` mutations must not be found fault with by any validator.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from definitions import Json
from mutation_bundles import of_bundle, of_bundle_neutral
from mutation_changes import Change, transaction
from mutation_kinds import KINDS
from mutation_sources import Pool, Subject

#: How many mutations of a kind are taken for each profile; half a one is one for every second profile.
QUOTAS = {
    "required": 1.5,
    "too-many": 1,
    "json-type": 1,
    "required-code": 1,
    "code-system": 0.5,
    "slice": 3,
    "fixed": 2,
    "invariant": 2,
    "contained": 0.5,
    "narrative": 0.5,
    "extension": 1,  # and two of each extension that the resources have
    "unknown": 1,
    "primitive": 1.5,
    "reference": 1,
    "choice": 1,
    "empty": 1,
    "neutral": 2,
}
#: Mutations of bundles, all of one profile.
OF_BUNDLES = 30


class Mutation(NamedTuple):
    """A changed resource: what kind of change, of which profile, where, in words, and the result."""

    kind: str
    profile: str
    path: str
    description: str
    resource: Json

    @property
    def fingerprint(self) -> str:
        """What tells it from all others, and from itself once our output has changed."""
        text = json.dumps([self.kind, self.path, self.description, self.resource])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return f"{self.kind} {self.profile} {self.path or '.'}: {self.description}"


def mutations(pool: Pool, seed: int = 1) -> Iterator[Mutation]:
    """Mutations of all profiles in a pool; the same for the same pool and seed."""
    used: Counter[str] = Counter()
    for number, subjects in enumerate(pool.subjects()):
        for kind, changes in KINDS.items():
            quota = int(QUOTAS[kind] * (number + 1)) - int(QUOTAS[kind] * number)
            yield from _chosen(kind, changes, subjects, quota, used, seed)
    yield from _of_bundles(pool, seed)


def _chosen(
    kind: str,
    changes: Callable[[Subject], Iterator[Change]],
    subjects: list[Subject],
    quota: int,
    used: Counter[str],
    seed: int,
) -> Iterator[Mutation]:
    profile = subjects[0].profile
    found: dict[tuple[str, str], tuple[Subject, Change]] = {}
    for subject in subjects:
        for change in changes(subject):
            found.setdefault((change.path, change.description), (subject, change))
    candidates = list(found.values())
    random.Random(f"{seed} {profile} {kind}").shuffle(candidates)
    if kind == "extension":
        quota = 2 * len({change.group for _, change in candidates})

    def so_far(place: int) -> tuple[int, int]:
        change = candidates[place][1]
        return used[f"{kind} {change.group}"], used[f"{kind} {change.sort}"]

    for _ in range(min(quota, len(candidates))):
        subject, change = candidates.pop(min(range(len(candidates)), key=so_far))
        used.update({f"{kind} {change.group}", f"{kind} {change.sort}"})
        yield _done(kind, profile, subject.resource, change)


def _of_bundles(pool: Pool, seed: int) -> Iterator[Mutation]:
    bundle = transaction([pool.by_type[kind] for kind in ("Patient", "Condition", "Organization")])
    changes = list(of_bundle(bundle))
    random.Random(f"{seed} bundles").shuffle(changes)
    for change in changes[:OF_BUNDLES]:
        yield _done("bundle", "UKCore-Bundle", bundle, change)
    for change in of_bundle_neutral(bundle):
        yield _done("neutral", "UKCore-Bundle", bundle, change)


def _done(kind: str, profile: str, resource: Json, change: Change) -> Mutation:
    changed = copy.deepcopy(resource)
    result = change.edit(changed)
    return Mutation(kind, profile, change.path, change.description, changed if result is None else result)
