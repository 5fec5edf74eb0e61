"""What HL7's validator said of each mutation, kept so that the built-in one can be judged where there is no Java.

python tests/mutation_verdicts.py

asks it again and writes the file; needed whenever our output has changed.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from definitions import Definitions
from made import people
from mutation_sources import Pool
from mutations import Mutation, mutations

from fhirsynth import Population

FILE = Path(__file__).with_name("mutation_verdicts.json")
PACKAGES = Path(__file__).parent.parent.parent / "shared" / "ukcore"


@cache
def all_mutations() -> tuple[Mutation, ...]:
    """Mutations of the population that other tests look at too, and of its organisations."""
    places = Population(n=250, seed=3).organisations()
    return tuple(mutations(Pool(Definitions(), (*people(), places))))


def read() -> dict[str, bool]:
    """Whether HL7's validator found an error, by fingerprint."""
    if not FILE.is_file():
        return {}
    kept: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8"))
    return {fingerprint: wrong == "wrong" for wrong, found in kept.items() for fingerprint in found.split()}


def write(verdicts: dict[str, bool]) -> None:
    """Keep the verdicts: fingerprints of those that are wrong and of those that are fine."""
    lines = []
    for name, wanted in (("wrong", True), ("fine", False)):
        found = " ".join(sorted(fingerprint for fingerprint, wrong in verdicts.items() if wrong is wanted))
        lines.append(f"{json.dumps(name)}: {json.dumps(found)}")
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Ask HL7's validator, and keep what it says."""
    from fhirsynth.validation.hl7 import Hl7Engine

    with Hl7Engine(packages=[PACKAGES] if PACKAGES.is_dir() else (), threads=2) as engine:
        answers = engine.check_many(mutation.resource for mutation in all_mutations())
        verdicts = {
            mutation.fingerprint: any(finding.severity == "error" for finding in found)
            for mutation, found in zip(all_mutations(), answers, strict=True)
        }
    write(verdicts)
    print(f"{len(verdicts)} mutations, {sum(verdicts.values())} with an error, in {FILE}")


if __name__ == "__main__":
    main()
