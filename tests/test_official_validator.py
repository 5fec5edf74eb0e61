"""The judge outside: HL7's own validator finds no error in what was made, people and organisations."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from fhirsynth import Population

VALIDATOR = Path(__file__).parent.parent.parent / "shared" / "tools" / "hl7-validator" / "validate"
TOOLS = [name for name in ("java", "mvn") if shutil.which(name) is None]
#: Organisations to judge of each type: all are made alike, and the judge is slow.
OF_EACH_TYPE = 40

pytestmark = [
    pytest.mark.skipif(not VALIDATOR.exists(), reason="../shared holds HL7's validator and is not there"),
    pytest.mark.skipif(bool(TOOLS), reason=f"HL7's validator needs {' and '.join(TOOLS)}, not found here"),
]


def test_ten_people_and_the_organisations_have_no_error(tmp_path: Path) -> None:
    population = Population(n=10, seed=1)
    places = population.organisations()
    by_type: dict[str, int] = {}
    kept = []
    for entry in places["entry"]:
        kind = entry["resource"]["resourceType"]
        by_type[kind] = by_type.get(kind, 0) + 1
        if by_type[kind] <= OF_EACH_TYPE:
            kept.append(entry)
    (tmp_path / "organisations.json").write_text(json.dumps(places | {"entry": kept}))
    for number, bundle in enumerate(population.people()):
        (tmp_path / f"{number:02}.json").write_text(json.dumps(bundle))
    done = subprocess.run(
        [str(VALIDATOR), "--min", "error", str(tmp_path)], capture_output=True, text=True, timeout=900
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    errors = [answer for answer in answers if answer.get("severity") in ("error", "fatal")]
    assert not errors, "\n".join(json.dumps(error) for error in errors[:10])
    assert done.returncode == 0, done.stderr[-2000:]
