"""Prevalence of every long-term condition in a generated record, by sex and ten-year band, beside the published one.

    python benchmarks/prevalence.py [--n 100000] [--seed 1] [--workers 2] [--all]

Only the record is made, no resources. A cell counts where the published share gives at least 50 people; it agrees
within 10 % or three standard errors of the published number. Prints a line a condition (`--all`: a line a cell).
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from fhirsynth.days import age_on, day_of
from fhirsynth.knowledge import load
from fhirsynth.run.shard import make
from fhirsynth.spec import Spec

BANDS = ("0-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70-79", "80+")
LEAST = 50


def count(spec: Spec, shard: int) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str, str]]]:
    """People by (sex, band) and those with a problem by (condition, sex, band) among the living of one shard."""
    rows = make(spec, shard).record
    index = day_of(spec.index_date)
    cell = {
        person.id: (person.sex, BANDS[min(8, age_on(person.birth, index) // 10)])
        for person in rows["person"]
        if person.death is None
    }
    having = Counter(
        (row.key, *cell[row.person_id])
        for row in rows["condition"]
        if row.category == "problem" and row.person_id in cell
    )
    return Counter(cell.values()), having


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--all", action="store_true", help="a line for each cell")
    options = parser.parse_args()
    spec = Spec(n=options.n, seed=options.seed)
    people: Counter[tuple[str, str]] = Counter()
    having: Counter[tuple[str, str, str]] = Counter()
    with ProcessPoolExecutor(options.workers) as pool:
        for found, with_condition in pool.map(partial(count, spec), range(spec.shards), chunksize=4):
            people += found
            having += with_condition

    table = load().table("conditions_kuan")
    published = {
        (code, sex, band): float(table[band][row] or 0) / 10_000
        for row, (code, sex) in enumerate(zip(table["code"], table["sex"], strict=True))
        for band in BANDS
    }
    cells = agreeing = 0
    print(f"{'condition':45}{'people':>8}{'published':>11}{'ratio':>7}{'cells':>7}{'agree':>7}")
    for key, condition in sorted(load().conditions.items()):
        if condition.prevalence is None:
            continue
        expected_all = found_all = 0.0
        own = own_agreeing = 0
        for (sex, band), n in sorted(people.items()):
            expected = n * published.get((condition.prevalence.code, sex, band), 0.0)
            found = having[key, sex, band]
            expected_all += expected
            found_all += found
            if expected < LEAST:
                continue
            error = math.sqrt(expected * (1 - expected / n))
            agrees = abs(found - expected) <= max(0.1 * expected, 3 * error)
            own += 1
            own_agreeing += agrees
            if options.all or not agrees:
                print(f"  {key:43}{found:8d}{expected:11.0f}{found / expected:7.2f}  {sex} {band}")
        cells += own
        agreeing += own_agreeing
        ratio = found_all / expected_all if expected_all else float("nan")
        print(f"{key:45}{found_all:8.0f}{expected_all:11.0f}{ratio:7.2f}{own:7d}{own_agreeing:7d}")
    print(f"{agreeing} of {cells} cells with at least {LEAST} expected agree: {100 * agreeing / max(1, cells):.1f} %")


if __name__ == "__main__":
    main()
