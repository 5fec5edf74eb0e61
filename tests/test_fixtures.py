"""`fhirsynth fixtures`: folders are made when they are not what their table asks for, and only then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import full_disk
from test_run import interrupt

from fhirsynth import Population
from fhirsynth.cli.app import main
from fhirsynth.run import engine

SPEC = """
[many]
n = 2
seed = 4
deceased = false

["sub/old"]
n = 1
index-date = 2025-06-30
years = 2
age = [90, 95]
letters = true
format = "ndjson"
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "fhirsynth.toml"
    file.write_text(SPEC, encoding="utf-8")
    return file


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Runs `fhirsynth fixtures`; gives its exit code and what it said."""

    def command(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["fixtures", *map(str, arguments)])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out + printed.err

    return command


def test_folders_are_made_once_and_again_when_something_changed(run, spec: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    many, old = spec.parent / "many", spec.parent / "sub" / "old"
    assert run(spec, "--check") == (1, f"{many}: it is not there\n{old}: it is not there\n")
    assert not many.exists()

    code, said = run(spec)
    assert code == 0
    assert said.startswith(f"{many}: it is not there; made, 2 people\n{old}: it is not there; made, ")
    Population(n=2, seed=4, deceased=False).write(tmp_path / "api")
    made, wanted = (sorted((folder / "people").iterdir()) for folder in (many, tmp_path / "api"))
    assert [file.read_bytes() for file in made] == [file.read_bytes() for file in wanted]
    assert (old / "ndjson" / "Patient.ndjson").is_file()
    assert (old / "letters" / "summary.json").is_file()

    assert run(spec, "--check", "--exit-code") == (0, f"{many}: up to date\n{old}: up to date\n")

    made[0].write_bytes(b"{}")
    code, said = run(spec, "--exit-code")
    assert code == 1
    assert f"{many}: people/{made[0].name} was changed; made, 2 people" in said
    assert f"{old}: up to date" in said
    made[1].unlink()
    assert f"{many}: people/{made[1].name} is missing" in run(spec, "--check")[1]

    spec.write_text(SPEC.replace("n = 2", "n = 1").replace("letters = true\n", ""), encoding="utf-8")
    assert run(spec, "--check") == (1, f"{many}: its spec has changed\n{old}: its spec has changed\n")
    assert run(spec)[0] == 0
    assert len(list((many / "people").iterdir())) == 1
    assert not (old / "letters").exists()


def test_letters_as_documents_are_up_to_date_too(run, spec: Path) -> None:  # type: ignore[no-untyped-def]
    """The letters that a run writes as documents are not those that it was asked for, though nothing has changed."""
    alone = '[alone]\nn = 1\nage = 85\nyears = 1\nformat = "document"\n'
    beside = '[beside]\nn = 1\nage = 85\nyears = 1\nformat = ["document", "ndjson"]\nletters = true\n'
    spec.write_text(alone + beside, encoding="utf-8")
    folders = [spec.parent / "alone", spec.parent / "beside"]
    assert run(spec)[0] == 0
    assert run(spec, "--check") == (0, "".join(f"{folder}: up to date\n" for folder in folders))
    spec.write_text(alone + beside.replace("letters = true", 'letters = true\ncondition = "asthma"'), encoding="utf-8")
    assert run(spec, "--check") == (1, f"{folders[0]}: up to date\n{folders[1]}: its spec has changed\n")


def test_another_version_makes_them_again(run, spec: Path) -> None:  # type: ignore[no-untyped-def]
    spec.write_text("[one]\nn = 1\ndeceased = false\n", encoding="utf-8")
    run(spec)
    manifest = spec.parent / "one" / "manifest.json"
    told = json.loads(manifest.read_bytes())
    told["versions"]["fhirsynth"] = "0.0.1"
    manifest.write_text(json.dumps(told), encoding="utf-8")
    assert "one: it was made by another version of fhirsynth (0.0.1)" in run(spec, "--check")[1]
    assert run(spec)[0] == 0
    assert run(spec, "--check")[0] == 0
    manifest.write_text("[]", encoding="utf-8")
    assert "one: its manifest.json cannot be read" in run(spec, "--check")[1]


def test_what_was_not_finished_is_made_anew(run, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    spec.write_text("[one]\nn = 1\nage = 20\nyears = 1\n", encoding="utf-8")
    folder = spec.parent / "one"
    again = "the same command, given again, makes the folder anew"
    with monkeypatch.context() as patched:
        full_disk(patched, 2)
        assert run(spec) == (3, f"fhirsynth: cannot write to {folder}: the disk is full; {again}\n")
    with monkeypatch.context() as patched:
        patched.setattr(engine.InProcess, "submit", lambda *_: interrupt())
        stopped = f"fhirsynth: interrupted with 0 of 1 people finished in {folder}; {again}\n"
        assert run(spec) == (130, stopped)
    assert run(spec, "--check") == (1, f"{folder}: it is not there\n")
    assert run(spec)[0] == 0
    assert run(spec, "--check")[0] == 0


def test_what_is_not_ours_stays(run, spec: Path) -> None:  # type: ignore[no-untyped-def]
    spec.write_text("[one]\nn = 1\n", encoding="utf-8")
    theirs = spec.parent / "one" / "people" / "me.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("{}", encoding="utf-8")
    code, said = run(spec)
    assert code == 2
    assert f"{spec.parent / 'one'} holds what is not known to be fhirsynth's, so it stays; move it away, or" in said
    assert theirs.read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no table; expected one for each folder, such as [people] with n = 5 under it"),
        ("[one", "fhirsynth.toml is not TOML: "),
        ("n = 5", "fhirsynth.toml: n: expected a table such as [people]"),
        ("[one]\nseed = 1", "fhirsynth.toml: [one]: n is missing"),
        ('["../one"]\nn = 1', "fhirsynth.toml: [../one]: expected the name of a folder beside the file"),
        ("[one]\nn = 0", "fhirsynth.toml: [one]: n: expected greater than or equal to 1; found 0"),
        ("[one]\nn = 1\nsexes = 'male'", "fhirsynth.toml: [one]: there is no option sexes; expected some of n, seed, "),
        ("[one]\nn = 1\ngzip = 'yes'", "fhirsynth.toml: [one]: gzip: expected true or false; found 'yes'"),
        ("[one]\nn = 1\nformat = 5", "fhirsynth.toml: [one]: --format: expected one of bundle, ndjson"),
        ("[one]\nn = 1\nformat = ['xml', 5]", "or several with commas between; found 5"),
        ("[one]\nn = 1\nage = '60-80'", "[one]: age: expected two whole years from 0 to 110, the lower first; found '"),
        ("[one]\nn = 1\ncondition = 5", "condition: expected keys of conditions, such as type-2-diabetes; found 5"),
        ("[one]\nn = 1\nindex-date = 'now'", "[one]: index_date: expected a valid date"),
        ("[one]\nn = 1\nletter = true", "expected some of n, seed, index_date, years, age, sex, region, condition, "),
        ("[one]\nn = 1\nletter = true", "deceased, format, gzip, letters\n"),
        ("[one]\nn = 1\nformat = 'pdf'", "fhirsynth.toml: [one]: --format: expected one of bundle, ndjson"),
        ("[one]\nn = 1\ncondition = ['asma']", "fhirsynth.toml: [one]: condition 'asma' is not known; nearest: asthma"),
        ("[a]\nn = 1\n[one]\nn = 1\nage = [9, 1]", "[one]: age: expected two whole years from 0 to 110"),
    ],
)
def test_a_wrong_spec_is_one_clear_line_and_makes_nothing(run, spec: Path, text: str, message: str) -> None:  # type: ignore[no-untyped-def]
    spec.write_text(text, encoding="utf-8")
    code, said = run(spec)
    assert code == 2
    assert said.startswith("fhirsynth: ")
    assert said.count("\n") == 1
    assert message in said
    assert list(spec.parent.iterdir()) == [spec]


def test_a_spec_that_is_not_there(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "fhirsynth.toml cannot be read: No such file or directory" in run(tmp_path / "fhirsynth.toml")[1]
