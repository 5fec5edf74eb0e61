"""`fhirsynth validate`: options, formats, exit codes, standard input, workers, interrupts."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import Command, Ended

from fhirsynth.validation import files
from fhirsynth.validation.engine import Validator
from fhirsynth.validation.engines import Asked, make
from fhirsynth.validation.files import check_paths
from fhirsynth.validation.findings import Finding
from fhirsynth.validation.reports import REPEATS, JsonLines, OperationOutcome, Summary, Tally, Text, code, issue

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
PEOPLE = sorted((SAMPLES / "people").iterdir())
FHIRSYNTH = [sys.executable, "-m", "fhirsynth", "validate"]
PROFILE = "https://fhir.hl7.org.uk/StructureDefinition/UKCore-"
SUMMARY = Summary("builtin", "stu3", 1, 2, 0.5)


@pytest.fixture
def run(run: Command) -> Callable[..., Ended]:
    """Runs `fhirsynth validate` in this process."""
    return partial(run, "validate")


def patient(**more: Any) -> Json:
    return {"resourceType": "Patient", "id": "a", "name": [{"family": "Smith"}], **more}


def written(folder: Path, *resources: Json, name: str = "a.ndjson") -> Path:
    (folder / name).write_text("".join(json.dumps(resource) + "\n" for resource in resources))
    return folder / name


def people(number: int, **more: Any) -> list[Json]:
    return [patient(**more) | {"id": f"p{n}"} for n in range(number)]


# --- options and exit codes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.json"], "nowhere.json does not exist; give a file or a folder of FHIR JSON or NDJSON"),
        ([SAMPLES, "nowhere.json"], "nowhere.json does not exist"),
        ([ROOT / "tests" / "made.py", "--profile", PROFILE + "Patiend"], f"unknown profile {PROFILE}Patiend; did you"),
        ([SAMPLES, "--profile", PROFILE + "Patiend"], f"{PROFILE}Patient"),
        ([SAMPLES, "--release", "stu4"], "--release: 'stu4' is not one of 'stu3', 'stu2'; see fhirsynth validate"),
        ([SAMPLES, "--engine", "best"], "--engine: 'best' is not one of 'builtin', 'hl7', 'models'"),
        ([SAMPLES, "--format", "xml"], "--format: 'xml' is not one of 'text', 'json', 'operationoutcome'"),
        ([SAMPLES, "--min", "fatal"], "--min: 'fatal' is not one of 'error', 'warning', 'information'"),
        ([SAMPLES, "--workers", "-1"], "--workers"),
        ([SAMPLES, "--rules", "nowhere"], "nowhere"),
        ([SAMPLES, "--package", "x.tgz"], "the engine builtin does not read packages: compile them with"),
        ([SAMPLES, "--engine", "models", "--rules", "x"], "the engine models does not read compiled rules"),
        ([SAMPLES, "--engine", "models", "--profile", PROFILE + "Patient"], "knows base FHIR R4 and no profiles"),
        ([], "PATH"),
    ],
)
def test_what_is_asked_wrongly_is_one_line_and_ends_with_2(
    run: Callable[..., Ended], arguments: list[object], message: str
) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("fhirsynth: ")
    assert ended.err.count("\n") == 1
    assert message in ended.err


def test_folder_without_fhir(run: Callable[..., Ended], tmp_path: Path) -> None:
    ended = run(tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert "holds no FHIR files" in ended.err


def test_only_errors_end_with_1(run: Callable[..., Ended], tmp_path: Path) -> None:
    file = written(tmp_path, patient(meta={"profile": ["https://example.org/mine"]}))
    ended = run(file)
    assert (ended.code, "1 warning" in ended.err, "[profile-unknown]" in ended.out) == (0, True, True)
    ended = run(file, "--min", "error")
    assert (ended.code, ended.out, "0 warnings" in ended.err) == (0, "", True)
    assert run(written(tmp_path, patient(gender="lady"))).code == 1


def test_informative_findings_are_shown_when_asked_for(run: Callable[..., Ended], tmp_path: Path) -> None:
    file = written(tmp_path, patient())
    assert "information" not in run(file).out
    ended = run(file, "--min", "information")
    assert "[label-of-test-data]" in ended.out
    assert ended.code == 0


def test_profile_that_every_resource_of_its_type_must_meet(run: Callable[..., Ended], tmp_path: Path) -> None:
    nhs_number = {"system": "https://fhir.nhs.uk/Id/nhs-number", "use": "old"}
    file = written(tmp_path, patient(identifier=[nhs_number]))
    assert "identifier[0].value" not in run(file).out
    ended = run(file, "--profile", PROFILE + "Patient")
    assert ended.code == 1
    assert "Patient.identifier[0].value" in ended.out


def test_several_paths_of_which_one_is_given_twice(run: Callable[..., Ended], tmp_path: Path) -> None:
    one, two = written(tmp_path, patient()), written(tmp_path, patient(id="b"), name="b.ndjson")
    ended = run(one, two, one)
    assert (ended.code, ended.err.startswith("2 resources in 2 files")) == (0, True)


def test_release_is_the_one_asked_for(run: Callable[..., Ended], tmp_path: Path) -> None:
    # UKCore-Flag is only in STU3.
    coded = {"coding": [{"system": "http://snomed.info/sct", "code": "225728007"}]}
    flag = {"resourceType": "Flag", "id": "f", "status": "active", "code": coded, "subject": {"reference": "Patient/a"}}
    file = written(tmp_path, patient(), flag | {"meta": {"profile": [PROFILE + "Flag"]}})
    assert "profile-unknown" not in run(file).out
    assert "profile-unknown" in run(file, "--release", "stu2").out


# --- standard input -------------------------------------------------------------------------------


def _piped(data: bytes, *arguments: str) -> Ended:
    done = subprocess.run([*FHIRSYNTH, "-", *arguments], input=data, capture_output=True, timeout=120, cwd=ROOT)
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["one", "lines", "bundle"])
def test_standard_input(form: str, packed: bool) -> None:
    texts = [json.dumps(item) for item in people(3, gender="lady")]
    entries = ",".join(
        f'{{"fullUrl": "http://a.example/Patient/p{n}", "resource": {text}}}' for n, text in enumerate(texts)
    )
    data = {
        "one": json.dumps(json.loads(texts[0]), indent=1),
        "lines": "\n".join(texts),
        "bundle": f'{{"resourceType": "Bundle", "type": "collection", "entry": [{entries}]}}',
    }[form].encode()
    ended = _piped(gzip.compress(data) if packed else data, "--format", "json")
    *findings, last = map(json.loads, ended.out.splitlines())
    wanted = 1 if form == "one" else 3
    assert [(f["file"], f["line"], f["entry"]) for f in findings] == [
        ("standard input", n + 1 if form == "lines" else None, n if form == "bundle" else None) for n in range(wanted)
    ]
    assert last["summary"]["resources"] == wanted
    assert ended.code == 1


def test_nothing_in_standard_input() -> None:
    ended = _piped(b"")
    assert ended.code == 1
    assert "standard input\n  line 1, column 1\n    error        nothing: the file is empty" in ended.out


def test_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(
        [*FHIRSYNTH, str(pipe)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        pipe.write_text("\n".join(json.dumps(item) for item in people(2)))
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.startswith("2 resources in 1 file")


# --- text -----------------------------------------------------------------------------------------


def test_text_is_grouped_by_file_and_resource(run: Callable[..., Ended], tmp_path: Path) -> None:
    entry = {"fullUrl": "http://a.example/Patient/a", "resource": patient(gender="lady", birthDate="1950-02-30")}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [entry]}
    (tmp_path / "a.json").write_text(json.dumps(bundle))
    ended = run(tmp_path / "a.json")
    file, resource, *lines = ended.out.splitlines()
    assert file == str(tmp_path / "a.json")
    assert resource == "  Patient/a (entry 0)"
    assert sorted(line.split()[1] for line in lines) == ["Patient.birthDate:", "Patient.gender:"]
    assert all(line.startswith("    error        Patient.") for line in lines)
    first, *by_rule = ended.err.splitlines()
    assert first.startswith("1 resource in 1 file checked in ")
    assert first.endswith(": 2 errors, 0 warnings, 0 remarks")
    assert sorted(line.split() for line in by_rule) == [["1", "error", "binding"], ["1", "error", "primitive"]]


def test_findings_that_are_alike_do_not_drown_the_others(run: Callable[..., Ended], tmp_path: Path) -> None:
    file = written(tmp_path, *people(REPEATS + 7, gender="lady"), patient(id="last", birthDate="1950-02-30"))
    ended = run(file)
    assert ended.out.count("[binding]") == REPEATS + 1
    assert ended.out.endswith("many like them (--all shows them):\n    error        7 more: Patient.gender [binding]\n")
    assert ended.out.index("Patient.birthDate") < ended.out.index("7 more")
    assert f"{REPEATS + 8} errors" in ended.err
    everything = run(file, "--all").out
    assert everything.count("[binding]") == REPEATS + 7
    assert "more:" not in everything


def test_indexes_do_not_tell_findings_apart_and_files_that_cannot_be_read_are() -> None:
    lines: list[str] = []
    report = Text(lines.append, 2)
    for number in range(5):
        report.add(Finding("binding", "x", resource="Patient/a", path=f"name[{number}].use", file="a.json"))
        report.add(Finding("readable", "nothing", file=f"{number}.json, line 1, column 1"))
    report.end(SUMMARY)
    assert sum("Patient.name[" in line for line in lines) == 2
    assert sum("[readable]" in line for line in lines) == 5
    assert lines[-1] == "    error        3 more: Patient.name.use [binding]"


def test_what_is_in_a_file_cannot_write_to_the_terminal(run: Callable[..., Ended], tmp_path: Path) -> None:
    odd = "\x1b[2J\u202e\r\nlady\u00e9"
    file = written(tmp_path, patient(gender=odd, id=odd), name="a\x1bb.ndjson")
    ended = run(file)
    assert ended.code == 1
    assert "ladyé" in ended.out
    assert all(line.isprintable() for line in ended.out.splitlines())


def test_output_that_cannot_show_a_character(tmp_path: Path) -> None:
    file = written(tmp_path, patient(gender="l\u00e4dy \u4e2d"))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*FHIRSYNTH, str(file)], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "l\\xe4dy \\u4e2d" in done.stdout


# --- formats for programs -------------------------------------------------------------------------


def test_json_lines(run: Callable[..., Ended], tmp_path: Path) -> None:
    file = written(tmp_path, patient(), patient(id="b", name=[{"use": "mine"}]))
    ended = run(file, "--format", "json", "--workers", 1)
    finding, last = map(json.loads, ended.out.splitlines())
    assert finding.pop("found")
    assert finding.pop("expected")
    assert finding == {
        "file": str(file),
        "line": 2,
        "column": None,
        "resource": "Patient/b",
        "person": "",
        "entry": None,
        "location": "Patient.name[0].use",
        "expression": "Patient.name[0].use",
        "severity": "error",
        "rule": "binding",
    }
    summary = last["summary"]
    assert summary.pop("seconds") >= 0
    assert summary == {
        "engine": "builtin",
        "release": "stu3",
        "files": 1,
        "resources": 2,
        "findings": {"error": 1, "warning": 0, "information": 0},
        "rules": {"error": {"binding": 1}, "warning": {}, "information": {}},
    }


def test_json_says_where_in_a_bundle(run: Callable[..., Ended], tmp_path: Path) -> None:
    bundle = json.loads(PEOPLE[2].read_bytes())
    bundle["entry"][3]["resource"]["status"] = "finis"
    file = tmp_path / "a.json"
    file.write_text(json.dumps(bundle))
    kind, person = bundle["entry"][3]["resource"]["resourceType"], bundle["entry"][0]["resource"]["id"]
    findings = [json.loads(line) for line in run(file, "--format", "json").out.splitlines()[:-1]]
    finding = next(f for f in findings if f["rule"] == "binding")
    assert finding["expression"] == "Bundle.entry[3].resource.status"
    assert finding["location"] == f"{kind}.status"
    assert (finding["entry"], finding["file"]) == (3, str(file))
    assert all(f["person"] in ("", person) for f in findings)


def test_entries_without_ids_are_told_apart(run: Callable[..., Ended], tmp_path: Path) -> None:
    entries = [
        {"fullUrl": f"urn:uuid:00000000-0000-4000-8000-00000000000{n}", "resource": item, "request": request}
        for n in range(3)
        for item in ({"resourceType": "Patient", "gender": "lady" if n == 2 else "male"},)
        for request in ({"method": "POST", "url": "Patient"},)
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    (tmp_path / "a.json").write_text(json.dumps(bundle))
    findings = [json.loads(line) for line in run(tmp_path, "--format", "json").out.splitlines()[:-1]]
    assert [(f["rule"], f["expression"]) for f in findings] == [("binding", "Bundle.entry[2].resource.gender")]


def _outcome(findings: Iterable[Finding], summary: Summary = SUMMARY) -> Json:
    lines: list[str] = []
    report = OperationOutcome(lines.append)
    for finding in findings:
        report.add(finding)
    report.end(summary)
    found: Json = json.loads("".join(lines))
    return found


@pytest.mark.parametrize("engine", ["builtin", "models"])
def test_operationoutcome_is_sound_fhir(run: Callable[..., Ended], tmp_path: Path, engine: str) -> None:
    bundle = json.loads(PEOPLE[2].read_bytes())
    for entry in bundle["entry"][::3]:
        entry["resource"].update(status="\x1b  finis", meta={}, extra=[None])
    bundle["entry"][4]["fullUrl"] += "x"
    (tmp_path / "a.json").write_text(json.dumps(bundle))
    (tmp_path / "b.json").write_text("{")
    written(tmp_path, patient(gender=" "), name="c.ndjson")
    outcome = json.loads(run(tmp_path, "--format", "operationoutcome", "--min", "information").out)
    assert len(outcome["issue"]) > 20
    judge = make(Asked(engine))
    for resource in (outcome, _outcome([]), _outcome([], SUMMARY._replace(ended="interrupted"))):
        assert [f for f in judge.check(resource) if f.severity == "error"] == []
    expressions = {path for found in outcome["issue"] for path in found.get("expression", ())}
    assert {"Patient.gender", "Bundle.entry[4].fullUrl"} <= expressions
    assert any(path.startswith("Bundle.entry[3].resource.extra") for path in expressions)


def test_operationoutcome_without_findings_says_so(run: Callable[..., Ended], tmp_path: Path) -> None:
    ended = run(written(tmp_path, patient()), "--format", "operationoutcome")
    (found,) = json.loads(ended.out)["issue"]
    assert (found["severity"], found["code"], ended.code) == ("information", "informational", 0)


def test_issue_of_a_finding() -> None:
    finding = Finding("min", "nothing", "p", "Observation/o", "component[1].code", "a.json", "error", "at least 1", 3)
    assert issue(finding) == {
        "severity": "error",
        "code": "required",
        "details": {"text": "nothing; expected at least 1"},
        "diagnostics": "a.json: Observation/o: person p: rule min",
        "expression": ["Bundle.entry[3].resource.component[1].code"],
    }


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("readable", "structure"),
        ("binding", "code-invalid"),
        ("bdl-7", "invariant"),
        ("hl7:pat-1", "invariant"),
        ("models:missing", "required"),
        ("hl7:Type_Specific_Checks_DT_Date_Valid", "invalid"),
        ("nothing-before-birth", "business-rule"),
        ("references-resolve", "not-found"),
    ],
)
def test_code_of_a_rule(rule: str, expected: str) -> None:
    assert code(rule) == expected


# --- workers and other engines --------------------------------------------------------------------


def test_workers_find_the_same_in_the_same_order(run: Callable[..., Ended], tmp_path: Path) -> None:
    for number, source in enumerate(PEOPLE[1:4]):
        bundle = json.loads(source.read_bytes())
        bundle["entry"][number]["resource"]["language"] = 7
        bundle["entry"][-1]["resource"]["subject"] = {"reference": "Patient/nobody"}
        (tmp_path / f"{number}.json").write_text(json.dumps(bundle))
    written(tmp_path, *people(900, gender="lady"), name="Patient.ndjson")
    written(tmp_path, {"resourceType": "Organization", "id": "o"}, name="Organization.ndjson")
    (tmp_path / "broken.json").write_text("{")
    alone, together = (run(tmp_path, "--format", "json", "--workers", number) for number in (1, 2))
    *one, first = alone.out.splitlines()
    *two, second = together.out.splitlines()
    assert len(one) > 900
    assert one == two
    for summary in (first, second):
        assert json.loads(summary)["summary"]["resources"] == json.loads(first)["summary"]["resources"]
        assert json.loads(summary)["summary"]["files"] == 6


class Slow:
    """An engine that answers only when it has been given three more."""

    name = "slow"

    def check(self, resource: Json) -> list[Finding]:
        raise AssertionError("it is to be given many")

    def check_many(self, resources: Iterable[Json]) -> Iterator[list[Finding]]:
        waiting: list[str] = []
        for resource in resources:
            waiting.append(resource["id"])
            if len(waiting) > 3:
                yield [Finding("slow", waiting.pop(0), path="gender")]
        yield from ([Finding("slow", name, path="gender")] for name in waiting)


def test_engine_that_takes_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "make", lambda asked: Slow())
    lines = [json.dumps(item) for item in people(6)]
    (tmp_path / "a.ndjson").write_text("\n".join([*lines[:2], "{", *lines[2:], "{"]))
    found = [(f.rule, f.found, f.file.partition(", ")[2]) for f in check_paths([tmp_path], Asked("hl7"))]
    assert [item for item in found if item[0] == "slow"] == [
        ("slow", f"p{n}", f"line {n + 1 + (n > 1)}") for n in range(6)
    ]
    assert [where for rule, _, where in found if rule == "readable"] == ["line 3, column 2", "line 8, column 2"]
    assert [rule for rule, *_ in found].index("readable") == 2


def test_check_that_fails_is_a_finding_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Faulty(Validator):
        def check(self, resource: Json, context: Any = None) -> list[Finding]:
            if resource.get("id") == "p1":
                raise KeyError("surprise")
            return super().check(resource, context)

    monkeypatch.setattr(files, "make", lambda asked: Faulty())
    file = written(tmp_path, *people(3, gender="lady"))
    found = [(f.rule, f.resource) for f in check_paths([file])]
    assert found == [("binding", "Patient/p0"), ("not-judged", "Patient/p1"), ("binding", "Patient/p2")]


def test_people_in_one_bundle_are_told_apart(tmp_path: Path) -> None:
    first, second = (json.loads(PEOPLE[n].read_bytes()) for n in (2, 8))
    bundle = first | {"entry": first["entry"] + second["entry"]}
    (tmp_path / "a.json").write_text(json.dumps(bundle))
    (tmp_path / "organisations.json").write_bytes((SAMPLES / "organisations.json").read_bytes())
    assert list(check_paths([tmp_path])) == []


def test_places_of_several_runs_are_known_together(tmp_path: Path) -> None:
    places = json.loads((SAMPLES / "organisations.json").read_bytes())
    for name, entries in {"a": places["entry"][:1], "b": places["entry"]}.items():
        (tmp_path / name / "people").mkdir(parents=True)
        (tmp_path / name / "organisations.json").write_text(json.dumps(places | {"entry": entries}))
    (tmp_path / "b/people/one.json").write_bytes(PEOPLE[2].read_bytes())
    assert list(check_paths([tmp_path / "a", tmp_path / "b"])) == []


# --- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["text", "json", "operationoutcome"])
def test_reader_that_has_enough(tmp_path: Path, format: str) -> None:
    file = written(tmp_path, *people(3000, gender="lady"))
    command = [*FHIRSYNTH, str(file), "--all", "--format", format]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert err == ""
    assert process.returncode == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_from_the_keyboard(tmp_path: Path, workers: int) -> None:
    file = written(tmp_path, *people(60_000, gender="lady"))
    command = [*FHIRSYNTH, str(file), "--all", "--format", "json", "--workers", str(workers)]
    process = subprocess.Popen(
        command, stdout=(tmp_path / "out").open("w"), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "out").stat().st_size and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.startswith("fhirsynth: interrupted; ")
    assert err.count("\n") == 1
    last = json.loads((tmp_path / "out").read_text().splitlines()[-1])
    assert last["summary"]["ended"] == "interrupted"
    assert 0 < last["summary"]["resources"] < 60_000


def test_tally_in_words() -> None:
    tally = Tally()
    for severity, rule, many in (("error", "min", 2), ("error", "max", 1_200), ("warning", "retired", 1)):
        for _ in range(many):
            tally.add(Finding(rule, "x", severity=severity))  # type: ignore[arg-type]
    assert tally.lines(SUMMARY._replace(files=3, resources=4_000)) == [
        "4,000 resources in 3 files checked in 0.5 s: 1,202 errors, 1 warning, 0 remarks",
        "  1,200  error        max",
        "      2  error        min",
        "      1  warning      retired",
    ]


def test_report_that_ended_early_says_so() -> None:
    lines: list[str] = []
    JsonLines(lines.append).end(SUMMARY._replace(ended="interrupted"))
    assert json.loads(lines[-1])["summary"]["ended"] == "interrupted"
