"""`fhirsynth letters`: the letters of a folder, their annotations, and what is said of wrong input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhirsynth import Population
from fhirsynth.cli.app import app
from fhirsynth.errors import InputError, OutputError
from fhirsynth.letters.folder import Asked, write_letters
from fhirsynth.reading import documents, resources


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("letters") / "out"
    Population(n=60, seed=4).write(folder)
    write_letters(folder, Asked(formats=("txt", "html")))
    return folder


def test_every_stay_has_its_letter_and_spans_say_what_stands_there(made: Path) -> None:
    people = {}
    for file in (made / "people").iterdir():
        for document in documents(file):
            for resource in resources(document.content):  # type: ignore[union-attr]
                people[f"{resource['resourceType']}/{resource['id']}"] = resource
    stays = {
        name.partition("/")[2]
        for name, resource in people.items()
        if name.startswith("Encounter/") and resource["class"]["code"] in ("IMP", "SS")
    }
    notes = [json.loads(line) for line in (made / "letters" / "annotations.jsonl").read_text().splitlines()]
    assert {note["note_id"] for note in notes} == stays
    assert stays
    ours = ("Patient/", "Condition/", "Observation/", "Procedure/", "MedicationRequest/", "AllergyIntolerance/")
    for note in notes:
        text = (made / "letters" / f"{note['note_id']}.txt").read_text(encoding="utf-8")
        html = (made / "letters" / f"{note['note_id']}.html").read_text(encoding="utf-8")
        assert "SYNTHETIC" in html
        assert note["spans"]
        for span in note["spans"]:
            assert text[span["start"] : span["end"]] == span["surface"]
            if (span["resource"] or "").startswith(ours):
                assert span["resource"] in people


def test_the_same_options_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    again = tmp_path / "out"
    again.mkdir()
    shutil.copy(made / "manifest.json", again)
    write_letters(again, Asked(formats=("txt", "html")))
    first, second = ({f.name: f.read_bytes() for f in (p / "letters").iterdir()} for p in (made, again))
    assert first == second


def test_as_many_as_are_asked_for(made: Path, tmp_path: Path) -> None:
    shutil.copy(made / "manifest.json", tmp_path)
    counted = write_letters(tmp_path, Asked(most=3, most_a_person=1, to_patient=False))
    assert (counted["letters"], counted["to_patient"]) == (3, 0)
    assert len(list((tmp_path / "letters").glob("*.txt"))) == 3


def test_wrong_input(made: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--overwrite"):
        write_letters(made, Asked())
    with pytest.raises(InputError, match=r"holds no manifest\.json"):
        write_letters(tmp_path, Asked())
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="is no manifest"):
        write_letters(tmp_path, Asked())
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["knowledge"] = "other"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="another version"):
        write_letters(tmp_path, Asked())
    assert not (tmp_path / "letters").exists()
    run = CliRunner().invoke(app, ["letters", str(made), "--letter-format", "txt,doc"])
    assert isinstance(run.exception, InputError) and "found doc" in str(run.exception)
    run = CliRunner().invoke(app, ["letters", str(made), "--voice", "poet"])
    assert isinstance(run.exception, InputError) and "found poet" in str(run.exception)
