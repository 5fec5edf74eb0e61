"""The judges: HL7's validator over both UK Core packages, and the typed models of `fhir.resources`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import records

from fhirsynth.fhir import (
    Context,
    as_models,
    organisations_bundle,
    person_bundle,
    to_bytes,
)

VALIDATOR = Path(__file__).parent.parent.parent / "shared" / "tools" / "hl7-validator" / "validate"

#: Warnings that are not ours to mend: no terminology server; unit codes that a UK Core profile or UK
#: laboratories fix; profiles of STU3 that STU2 does not have.
KNOWN_WARNINGS = {
    "TERMINOLOGY_TX_SYSTEM_UNSUPPORTED",
    "TYPE_SPECIFIC_CHECKS_DT_QTY_UCUM_ANNOTATIONS",
    "TYPE_SPECIFIC_CHECKS_DT_QTY_UCUM_ANNOTATIONS_NOT_IN_UNIT",
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    record, context = records.record(), Context(records.knowledge(), index=records.INDEX)
    (folder / "places.json").write_bytes(to_bytes(organisations_bundle(record.tables, context)))
    for person, rows in record.by_person():
        (folder / f"{person.id}.json").write_bytes(to_bytes(person_bundle(person, rows, context), indent=True))
    return folder


@pytest.mark.skipif(not VALIDATOR.exists(), reason="the HL7 validator is not beside this project")
@pytest.mark.skipif(shutil.which("java") is None, reason="the HL7 validator needs Java")
@pytest.mark.parametrize("release", ["stu3", "stu2"])
def test_official_validator_finds_no_error(bundles: Path, release: str) -> None:
    done = subprocess.run(
        [VALIDATOR, release, "--threads", "2", "--min", "warning", bundles],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr
    known = KNOWN_WARNINGS | ({"Validation_VAL_Profile_Unknown"} if release == "stu2" else set())
    unexpected = [
        f"{line['location']}: {line['message']}"
        for line in lines
        if "severity" in line and (line["severity"] != "warning" or line["id"] not in known)
    ]
    assert unexpected == []
    assert lines[-1]["summary"]
    assert lines[-1]["resources"] > 80


def test_every_resource_is_a_sound_r4_model(bundles: Path) -> None:
    pytest.importorskip("fhir.resources")
    for path in sorted(bundles.glob("*.json")):
        model = as_models(json.loads(path.read_bytes()))
        assert model.entry
        assert all(entry.resource.id for entry in model.entry)
