"""`fhirsynth population --letters` and `fhirsynth letters`: what they write, say, and refuse."""

from __future__ import annotations

import inspect
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Command

from fhirsynth.cli import letter_options, running
from fhirsynth.cli.app import main
from fhirsynth.cli.lives import all_people
from fhirsynth.letters.making import Manner
from fhirsynth.reading import documents, resources
from fhirsynth.validation.files import check_path

MANY = ("--n", "8", "--seed", "2", "--age", "50-90", "--years", "1", "--workers", "1")


def make(out: Path, *more: str) -> Path:
    """A population, made by the command."""
    with pytest.raises(SystemExit) as ended:
        main(["population", *MANY, "--out", str(out), *more])
    assert ended.value.code == 0
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A population with letters."""
    return make(tmp_path_factory.mktemp("letters") / "out", "--letters", "--letter-format", "txt,html")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same people without letters."""
    return make(tmp_path_factory.mktemp("plain") / "out")


def notes(folder: Path) -> list[dict[str, object]]:
    """The annotated letters of a folder."""
    return [json.loads(line) for line in (folder / "letters" / "annotations.jsonl").read_bytes().splitlines()]


# --- what is written ------------------------------------------------------------------------------


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
    assert {note["note_id"] for note in notes(made)} == stays
    assert len(stays) > 2
    ours = ("Patient/", "Condition/", "Observation/", "Procedure/", "MedicationRequest/", "AllergyIntolerance/")
    for note in notes(made):
        text = (made / "letters" / f"{note['note_id']}.txt").read_text(encoding="utf-8")
        html = (made / "letters" / f"{note['note_id']}.html").read_text(encoding="utf-8")
        assert "SYNTHETIC" in html
        spans: list[dict[str, str]] = note["spans"]  # type: ignore[assignment]
        assert spans
        for span in spans:
            assert text[int(span["start"]) : int(span["end"])] == span["surface"]
            if (span["resource"] or "").startswith(ours):
                assert span["resource"] in people


def test_a_folder_with_letters_is_sound(made: Path) -> None:
    checked = 0

    def seen(more: int) -> None:
        nonlocal checked
        checked += more

    found = [finding for finding in check_path(made, seen) if finding.severity != "information"]
    assert found == []
    people = [file for file in (made / "people").iterdir() if file.name != "organisations.json"]
    assert checked > sum(len(json.loads(file.read_bytes())["entry"]) for file in people)


def test_documents_are_no_people(made: Path) -> None:
    assert list((made / "letters" / "documents").iterdir())
    assert len(list(all_people(made))) == len(list((made / "people").iterdir()))


def test_what_is_said_at_the_end(run: Command, plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "out")
    ended = run("letters", tmp_path / "out", "--workers", 1, "--no-documents", "--abbreviations", "--typos", 0.02)
    assert (ended.code, ended.err) == (0, "")
    written = notes(tmp_path / "out")
    first, second = ended.out.splitlines()
    spans = sum(len(note["spans"]) for note in written)  # type: ignore[arg-type]
    assert first.startswith(f"{len(written)} letters to general practitioners and ")
    assert first.endswith(f" to patients in {tmp_path / 'out' / 'letters'}, with {spans:,} annotated spans")
    assert "drafts were rejected by the check and written again, 0 letters withheld" in second
    told = json.loads((tmp_path / "out" / "manifest.json").read_bytes())["letters"]
    assert (told["abbreviations"], told["typos"], told["documents"]) == (0.7, 0.02, False)
    assert not (tmp_path / "out" / "letters" / "documents").exists()


def test_the_summary_as_json(run: Command, plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "out")
    arguments = ("--workers", 1, "--level", "note", "--max-letters", 2, "--annotations", "csv", "--json")
    summary = json.loads(run("letters", tmp_path / "out", *arguments).out)
    assert summary["out"] == str(tmp_path / "out")
    assert (summary["letters"]["letters"], summary["letters"]["to_patient"], summary["letters"]["stays"]) == (2, 0, 2)
    ended = run("letters", tmp_path / "out", *arguments[:-1], "--resume")
    assert ended.out.startswith("2 sets of ward notes in ")
    ended = run("population", *MANY, "--out", tmp_path / "new", "--letters", "--max-letters", 1, "--json")
    summary = json.loads(ended.out)
    assert (summary["letters"]["letters"], summary["living"]) == (1, 8)
    assert summary["resources"]["DocumentReference"] >= 1


def test_the_letters_seed_is_the_population_s_where_none_is_given(run: Command, made: Path, tmp_path: Path) -> None:
    assert json.loads((made / "letters" / "summary.json").read_bytes())["seed"] == 2
    folder = tmp_path / "out"
    shutil.copytree(made, folder)
    few = ("--workers", 1, "--overwrite", "--max-letters", 1, "--no-documents", "--voice", "terse")
    run("letters", folder, *few, "--letter-seed", 5)
    other = (folder / "letters" / f"{notes(folder)[0]['note_id']}.txt").read_text()
    assert json.loads((folder / "letters" / "summary.json").read_bytes())["seed"] == 5
    run("letters", folder, *few)
    assert json.loads((folder / "letters" / "summary.json").read_bytes())["seed"] == 2
    assert (folder / "letters" / f"{notes(folder)[0]['note_id']}.txt").read_text() != other


@pytest.mark.parametrize(
    ("given", "share"),
    [
        (["--abbreviations"], 0.7),
        (["--abbreviations", "0.25"], 0.25),
        (["--abbreviations=1"], 1.0),
        (["--abbreviations", "--typos", "0"], 0.7),
        (["--abbreviations", "--letter-format", "txt"], 0.7),
        ([], 0.0),
    ],
)
def test_abbreviations_with_and_without_a_share(given: list[str], share: float, tmp_path: Path) -> None:
    few = ("--n", "1", "--seed", "3", "--age", "9", "--years", "1", "--workers", "1", "--letters")
    with pytest.raises(SystemExit):
        main(["population", *few, *given, "--out", str(tmp_path)])
    told = json.loads((tmp_path / "letters" / "summary.json").read_bytes())
    assert told["abbreviations"] == share


# --- the command line -----------------------------------------------------------------------------


def test_help_shows_the_options_and_the_commands_under_it() -> None:
    command = [sys.executable, "-m", "fhirsynth", "letters", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    usage, _, rest = shown.partition("\n")
    assert usage == "Usage: fhirsynth letters [OPTIONS] [folder] | COMMAND [ARGS]..."
    panels = [line for line in rest.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert panels == ["Arguments:", "Options:", "Letters:", "Commands:"]
    assert "\n  train " in rest


def test_both_commands_have_the_same_options_about_letters(run: Command) -> None:
    of = [run(*verb, "--help").out.partition("\nLetters:\n")[2].partition("\nCommands:")[0] for verb in _VERBS]
    assert of[0].strip() and of[0].strip() in of[1].strip()
    for name in inspect.signature(letter_options._options).parameters:
        assert f"--{name.replace('_', '-')} " in of[0]


_VERBS = (["letters"], ["population"])


def test_commands_under_letters(run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("letters", "train", "--help").out.startswith("Usage: fhirsynth letters train ")
    monkeypatch.chdir(tmp_path)
    assert "fhirsynth: train holds no manifest.json" in run("letters", "./train").err
    assert "fhirsynth: out holds no manifest.json" in run("letters").err
    assert "unexpected extra argument" in run("letters", "one", "two").err


def test_the_writer_by_default_is_that_of_the_library() -> None:
    assert Manner().writer == letter_options.DEFAULT_WRITER


def test_one_process_where_there_is_one_gpu() -> None:
    given = letter_options.Given({"device": letter_options.Device.cuda}, ())
    assert (given.workers(0), given.workers(3)) == (1, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--letter-format", "txt,doc"], "--letter-format: expected one of txt, html, pdf, or several"),
        (["--letter-format", ","], "; found nothing"),
        (["--annotations", "conll"], "--annotations: expected one of jsonl, csv, brat, spacy, or several"),
        (["--voice", "poet"], "--voice: expected one of terse, thorough, geriatrician, surgeon; found poet"),
        (["--writer", "poet"], "--writer: 'poet' is not one of 'lm', 'phrasebook'; see "),
        (["--writer", "phrasebook", "--model", "some"], "--model: only --writer lm has a model; found --writer phr"),
        (["--device", "tpu"], "--device: 'tpu' is not one of 'cpu', 'cuda'; see "),
        (["--level", "book"], "--level: 'book' is not one of 'words', 'note', 'letter'; see "),
        (["--letter-seed", "-1"], "--letter-seed: expected greater than or equal to 0; found '-1'"),
        (["--max-letters", "0"], "--max-letters: expected greater than or equal to 1; found '0'"),
        (["--letters-per-person", "none"], "--letters-per-person: expected a valid integer"),
        (["--abbreviations", "2"], "expected less than or equal to 1"),
        (["--typos", "0.5"], "--typos: expected less than or equal to 0.1; found '0.5'"),
        (["--resume", "--overwrite"], "exclude each other"),
        (["--frobnicate"], "--frobnicate"),
    ],
)
def test_wrong_input_is_one_clear_line(  # type: ignore[no-untyped-def]
    run, plain: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    for command in (["population", "--letters", "--out", tmp_path / "o"], ["letters", plain]):
        ended = run(*command, *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("fhirsynth: ")
        assert ended.err.count("\n") == 1
        assert message in ended.err
    assert not (tmp_path / "o").exists()
    assert not (plain / "letters").exists()


@pytest.mark.parametrize("arguments", [["--voice", "terse"], ["--no-to-patient"], ["--abbreviations"]])
def test_options_about_letters_need_letters(run: Command, tmp_path: Path, arguments: list[str]) -> None:
    ended = run("population", "--out", tmp_path / "o", *arguments)
    named = arguments[0].replace("--no-", "--")
    assert ended.err == f"fhirsynth: {named} is about letters: give --letters as well, or leave it out\n"
    assert ended.code == 2
    assert not (tmp_path / "o").exists()


def test_progress_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with running.Bar(quiet=False, letters=True) as bar:
            bar.people(200, 401)
            bar.letters(1234)
        assert ("200/401" in stream.getvalue() and "1,234 letters" in stream.getvalue()) == shown
    assert stream.getvalue() == ""


def test_counts_of_a_model_in_words() -> None:
    counted = {"letters": 1200, "to_patient": 0, "spans": 9, "drafts": 0, "rejected": 0, "withheld": 0}
    model = {"sections": 7000, "first_draft": 6500, "after_retries": 400, "fallback": 100}
    said = running.letters_in_words(counted | model, "letter", Path("out"))
    assert said.splitlines() == [
        f"1,200 letters to general practitioners in {Path('out/letters')}, with 9 annotated spans",
        "of 7,000 sections by the language model 6,500 were right at once, 400 when tried again, and 100 come from the "
        "phrasebook",
    ]
