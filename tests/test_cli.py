"""The command line: what it prints, how it ends, and one clear line for everything that can go wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import Command

from fhirsynth import __version__
from fhirsynth.cli.app import main

FHIRSYNTH = [sys.executable, "-m", "fhirsynth"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "out"
    with pytest.raises(SystemExit) as ended:
        main(["population", "--n", "12", "--seed", "2", "--out", str(folder), "--workers", "1"])
    assert ended.value.code == 0
    return folder


def test_help_is_quick_and_says_how_it_ends() -> None:
    """How quick it is follows from how much it loads (160 modules: 0.1 s), and a busy clock cannot tell."""
    done = subprocess.run([*FHIRSYNTH, "--help"], capture_output=True, text=True, check=True)
    assert "130 interrupted" in done.stdout
    code = "import sys; from fhirsynth.cli.app import main\ntry: main(['--help'])\nfinally: print(len(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert int(ended.stdout.splitlines()[-1]) < 250


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, fhirsynth.cli.app; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split())
    heavy = {"numpy", "pandas", "pgmpy", "pyarrow", "pydantic", "faker", "fhir", "orjson", "torch", "transformers"}
    assert not loaded & (heavy | {"onnxruntime", "tokenizers", "typst", "spacy"})


def test_version(run: Command) -> None:
    assert run("--version").out.strip() == f"fhirsynth {__version__}"


def test_summary(run: Command, tmp_path: Path) -> None:
    ended = run("population", "--n", 12, "--seed", 2, "--out", tmp_path / "o", "--workers", 1)
    assert ended.code == 0
    assert ended.err == ""
    assert "12 living and" in ended.out
    assert re.search(r"Patient\W+1\d", ended.out)
    assert "published" in ended.out
    assert "people a second" in ended.out


def test_summary_as_json(run: Command, tmp_path: Path) -> None:
    ended = run("population", "--n", 3, "--out", tmp_path / "o", "--json", "--no-deceased", "--workers", 1)
    summary = json.loads(ended.out)
    assert summary["living"] == 3
    assert summary["dead"] == 0
    assert summary["resources"]["Patient"] == 3


def test_who_is_made_is_who_was_asked_for(run: Command, tmp_path: Path) -> None:
    arguments = ("--n", 5, "--age", "60-70", "--sex", "female", "--region", "london", "--index-date", "2024-06-30")
    more = ("--condition", "type-2-diabetes", "--condition", "hypertension", "--format", "ndjson", "--no-deceased")
    ended = run("population", *arguments, *more, "--out", tmp_path, "--workers", 1)
    assert ended.code == 0
    lines = (tmp_path / "ndjson" / "Patient.ndjson").read_bytes().splitlines()
    patients = [json.loads(line) for line in lines]
    assert len(patients) == 5
    assert all(p["gender"] == "female" and "1953-06-30" < p["birthDate"] <= "1964-06-30" for p in patients)
    assert re.search(r"Type 2 diabetes mellitus\W+5\W+100.0\W+–", ended.out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "ten"], "--n: expected a valid integer, unable to parse string as an integer; found 'ten'; see "),
        (["--n", "0"], "--n: expected greater than or equal to 1; found 0"),
        (["--years", "99"], "--years: expected less than or equal to 40; found 99"),
        (["--age", "old"], "--age: expected two ages such as 65-90, found 'old'"),
        (["--age", "90-65"], "--age: expected two whole years from 0 to 110, the lower first; found 90-65"),
        (["--index-date", "yesterday"], "--index-date: "),
        (["--index-date", "1950-01-01"], "expected a date from 2010-01-01 to 2035-12-31; found 1950-01-01"),
        (["--sex", "men"], "--sex: 'men' is not one of 'female', 'male'; see "),
        (["--region", "londn"], "region 'londn' is not known; nearest: london"),
        (["--condition", "diabetes-type-2"], "condition 'diabetes-type-2' is not known; nearest: type-2-diabetes"),
        (["--condition", "influenza"], "condition 'influenza' is not one that people live with"),
        (["--condition", "asthma", "--condition", "asthma"], "each condition may be named once"),
        (["--condition", "prostate-cancer", "--sex", "female"], "nobody aged 0 to 110, female"),
        (["--resume", "--overwrite"], "exclude each other"),
        (["--frobnicate"], "--frobnicate"),
        (["--format", "hl7v2"], "--format: expected one of bundle, ndjson, xml, parquet, csv, document, or several"),
    ],
)
def test_wrong_input_is_one_clear_line(run: Command, tmp_path: Path, arguments: list[str], message: str) -> None:
    ended = run("population", *arguments, "--out", tmp_path / "o")
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("fhirsynth: ")
    assert ended.err.count("\n") == 1
    assert message in ended.err
    assert not (tmp_path / "o").exists()


def test_folder_in_use(run: Command, out: Path) -> None:
    ended = run("population", "--n", 1, "--out", out)
    assert ended.code == 2
    assert "not empty" in ended.err
    assert "--overwrite" in ended.err


def test_damaged_knowledge(run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conditions = tmp_path / "knowledge" / "conditions"
    conditions.mkdir(parents=True)
    (conditions / "spots.toml").write_text('name = "Spots"\nsnomed = "spots"\n')
    monkeypatch.setenv("FHIRSYNTH_KNOWLEDGE", str(tmp_path / "knowledge"))
    ended = run("population", "--n", 1, "--out", tmp_path / "o")
    assert ended.code == 2
    assert ended.err.startswith("fhirsynth: knowledge file conditions/spots.toml, line ")
    assert ended.err.count("\n") == 1


def test_interrupted_from_the_keyboard(tmp_path: Path) -> None:
    command = [*FHIRSYNTH, "population", "--n", "100000", "--age", "1-20", "--years", "1", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--workers", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60
        while not list((tmp_path / ".fhirsynth" / "done").glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert re.fullmatch(r"fhirsynth: interrupted with \d+ of 100000 people .* --resume goes on from there\n", err)
    assert not (tmp_path / "manifest.json").exists()


# --- show -----------------------------------------------------------------------------------------


def test_list_of_people(run: Command, out: Path) -> None:
    ended = run("show", out)
    assert ended.code == 0
    assert len(re.findall(r"\b999\d{7}\b", ended.out)) == len(list((out / "people").iterdir()))
    assert "and more" in run("show", out, "--limit", 2).out


def test_one_life_by_number_id_and_nhs_number(run: Command, out: Path) -> None:
    file = sorted((out / "people").iterdir())[2]
    patient = json.loads(file.read_bytes())["entry"][0]["resource"]
    number = patient["identifier"][0]["value"]
    by_number = run("show", out, 3).out
    assert patient["name"][0]["text"] in by_number
    for heading in ("Problems", "Medicines", "Allergies", "What happened"):
        assert heading in by_number
    assert run("show", out, patient["id"]).out == by_number
    assert run("show", out, number).out == by_number
    assert run("show", out, f"{number[:3]} {number[3:6]} {number[6:]}").out == by_number
    assert patient["name"][0]["text"] in run("show", file).out


def test_every_life_can_be_told_from_bundles_and_from_lines(run: Command, out: Path, tmp_path: Path) -> None:
    made = run("population", "--n", 12, "--seed", 2, "--out", tmp_path, "--format", "ndjson", "--gzip", "--workers", 1)
    assert made.code == 0
    for number in range(1, len(list((out / "people").iterdir())) + 1):
        assert run("show", tmp_path, number).out == run("show", out, number).out


def test_nobody_and_nothing_to_show(run: Command, out: Path, tmp_path: Path) -> None:
    ended = run("show", out, "9999999999")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "lists the people" in ended.err
    assert run("show", tmp_path / "nowhere").code == 2
    (tmp_path / "a.json").write_text("{")
    assert "line 1" in run("show", tmp_path).err


# --- validate -------------------------------------------------------------------------------------


def test_what_is_sound(run: Command, out: Path) -> None:
    ended = run("validate", out)
    assert (ended.code, ended.out) == (0, "")
    summary = r"[\d,]+ resources in \d+ files checked in [\d.]+ s: 0 errors, 0 warnings, 0 remarks\n"
    assert re.fullmatch(summary, ended.err)


def test_what_is_wrong_and_where(run: Command, out: Path, tmp_path: Path) -> None:
    source = sorted((out / "people").iterdir())[0]
    bundle = json.loads(source.read_bytes())
    bundle["entry"][0]["resource"]["gender"] = "woman"
    (tmp_path / "one.json").write_text(json.dumps(bundle))
    (tmp_path / "two.json").write_text('{"resourceType": ')
    ended = run("validate", tmp_path)
    assert ended.code == 1
    name = f"Patient/{bundle['entry'][0]['resource']['id']}"
    head, line, *_ = ended.out.partition(f"{tmp_path / 'one.json'}\n")[2].splitlines()
    assert head == f"  {name} (entry 0)"
    assert re.fullmatch(r"    error        Patient.gender: .*woman.*; expected .* \[binding\]", line)
    assert f"{tmp_path / 'two.json'}\n  line 1, column 17\n    error        the JSON ends too early" in ended.out


def test_nothing_to_validate(run: Command, tmp_path: Path) -> None:
    ended = run("validate", tmp_path / "nowhere.json")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
