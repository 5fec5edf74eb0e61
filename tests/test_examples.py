"""The examples work, and what other repositories take from this one: the GitHub Action and the pre-commit hooks."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from fhirsynth.cli.app import main

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
THEIRS = EXAMPLES / "their-repository"
ACTION = ROOT / "action.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
#: Where `fhirsynth` and the Python that it runs on are.
PROGRAMS = Path(sysconfig.get_path("scripts"))


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A copy of the other repository."""
    return Path(shutil.copytree(THEIRS, tmp_path / "theirs"))


def test_an_app_and_its_tests(tmp_path: Path) -> None:
    app = shutil.copytree(EXAMPLES / "recall", tmp_path / "recall", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    ran = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=app, capture_output=True, text=True)
    assert "9 passed" in ran.stdout, ran.stdout + ran.stderr


# ---- the form of the files


@pytest.mark.parametrize(
    "checking",
    [
        ["check_jsonschema", "--builtin-schema", "vendor.github-actions", ACTION],
        ["check_jsonschema", "--builtin-schema", "vendor.github-workflows", THEIRS / ".github/workflows/test.yml"],
        ["pre_commit", "validate-manifest", HOOKS],
        ["pre_commit", "validate-config", THEIRS / ".pre-commit-config.yaml"],
    ],
    ids=["action", "workflow", "hooks", "pre-commit"],
)
def test_the_form_is_the_published_one(checking: list[Any]) -> None:
    ran = subprocess.run([sys.executable, "-m", *map(str, checking)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_the_examples_take_is_there() -> None:
    inputs = loaded(ACTION)["inputs"]
    jobs = loaded(THEIRS / ".github/workflows/test.yml")["jobs"].values()
    uses = [step for job in jobs for step in job["steps"] if "fhirsynth" in step.get("uses", "")]
    assert len(uses) == 2
    assert {name for step in uses for name in step["with"]} <= set(inputs)
    [repository] = loaded(THEIRS / ".pre-commit-config.yaml")["repos"]
    assert [hook["id"] for hook in repository["hooks"]] == ["fhirsynth-fixtures", "fhirsynth-validate"]
    assert {hook["id"] for hook in repository["hooks"]} == {hook["id"] for hook in loaded(HOOKS)}


def test_every_input_is_used_and_none_is_put_into_a_script() -> None:
    action = loaded(ACTION)
    steps = action["runs"]["steps"]
    given = [value for step in steps for value in step["env"].values()]
    assert {found for value in given for found in re.findall(r"inputs\.([\w-]+)", value)} == set(action["inputs"])
    for step in steps:
        assert "${{" not in step["run"]
        assert set(re.findall(r"\$\{?([A-Z][A-Z_]+)", step["run"])) <= {*step["env"], "RUNNER_TEMP", "GITHUB_OUTPUT"}
    for output in action["outputs"].values():
        step, name = re.fullmatch(r"\$\{\{ steps\.(\w+)\.outputs\.(\w+) \}\}", output["value"]).groups()  # type: ignore[union-attr]
        [script] = [found["run"] for found in steps if found["id"] == step]
        assert f'echo "{name}=' in script


# ---- the action


def make_people(folder: Path, **given: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """Run the action's second step as GitHub's runner does, with fhirsynth as it is installed here; and its outputs."""
    action = loaded(ACTION)
    inputs = {name.replace("_", "-"): value for name, value in given.items()}
    values = {f"inputs.{name}": inputs.get(name, told["default"]) for name, told in action["inputs"].items()}
    values["steps.install.outputs.fhirsynth"] = str(PROGRAMS / "fhirsynth")
    [step] = [step for step in action["runs"]["steps"] if step["id"] == "make"]
    env = {
        name: re.sub(r"\$\{\{ (\S+) \}\}", lambda found: values[found[1]], text) for name, text in step["env"].items()
    }
    temporary, outputs = folder / "temp", folder / "outputs"
    temporary.mkdir(exist_ok=True)
    outputs.write_text("")
    script = temporary / "step.sh"
    script.write_text(step["run"])
    ran = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],  # what `shell: bash` means there
        cwd=folder,
        env={**os.environ, **env, "RUNNER_TEMP": str(temporary), "GITHUB_OUTPUT": str(outputs)},
        capture_output=True,
        text=True,
    )
    return ran, dict(line.split("=", 1) for line in outputs.read_text().splitlines())


def test_the_action_makes_people(tmp_path: Path) -> None:
    more = {"letters": "true", "arguments": "--gzip  --letter-format txt,html", "out": "build/some people"}
    ran, outputs = make_people(tmp_path, n="2", condition="type-2-diabetes, hypertension", age="70-80", **more)
    assert ran.returncode == 0, ran.stderr
    out = tmp_path / "build" / "some people"
    assert outputs == {"people": "2", "path": "build/some people"}
    assert len(list((out / "people").glob("*.json.gz"))) == 2
    asked = json.loads((out / "manifest.json").read_bytes())
    assert asked["spec"]["condition"] == ["type-2-diabetes", "hypertension"]
    assert (asked["spec"]["age"], asked["spec"]["deceased"]) == ([70, 80], False)
    assert asked["letters"]["formats"] == ["txt", "html"]

    ran, outputs = make_people(tmp_path, n="1", sex="male", region="london", out="build/some people")
    assert ran.returncode == 0, ran.stderr
    assert outputs["people"] == "1"
    assert len(list((out / "people").iterdir())) == 1


def test_the_action_takes_inputs_as_they_are(tmp_path: Path) -> None:
    ran, outputs = make_people(tmp_path, condition="$(touch>hit)`touch>hit`;touch>hit", region='"; touch hit; "')
    assert ran.returncode == 2
    assert "is not known" in ran.stderr
    assert not outputs
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outputs", "temp"]


def test_the_action_takes_a_spec_file(theirs: Path) -> None:
    spec = "tests/fhir/fhirsynth.toml"
    ran, outputs = make_people(theirs, spec=spec, check="true")
    assert (ran.returncode, outputs) == (1, {})
    assert "tests/fhir/diabetes: it is not there" in ran.stdout
    ran, outputs = make_people(theirs, spec=spec)
    assert (ran.returncode, outputs) == (0, {"path": "tests/fhir"})
    assert len(list((theirs / "tests/fhir/diabetes/people").iterdir())) == 2
    assert make_people(theirs, spec=spec, check="true")[0].returncode == 0


# ---- the hooks


def test_the_hooks_make_fixtures_and_check_them(
    theirs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each as pre-commit calls it: its entry, the arguments of their configuration, the files that match."""
    monkeypatch.chdir(theirs)
    [repository] = loaded(Path(".pre-commit-config.yaml"))["repos"]
    hooks = {hook["id"]: {**hook, **theirs_of(hook["id"], repository)} for hook in loaded(HOOKS)}

    def call(name: str, within: str = "", files: str | None = None) -> tuple[int, str, list[str]]:
        hook = hooks[name]
        staged = sorted(path.relative_to(theirs).as_posix() for path in (theirs / within).rglob("*") if path.is_file())
        pattern, without = files or hook["files"], hook.get("exclude", "^$")
        matching = [path for path in staged if re.search(pattern, path) and not re.search(without, path)]
        program, *words = shlex.split(hook["entry"])
        assert program == "fhirsynth"
        with pytest.raises(SystemExit) as ended:
            main([*words, *hook.get("args", ()), *matching])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out + printed.err, matching

    code, said, matching = call("fhirsynth-fixtures")
    assert (code, matching) == (1, ["tests/fhir/fhirsynth.toml"])
    assert "made, 2 people" in said
    assert call("fhirsynth-fixtures")[0] == 0

    [default] = [hook["files"] for hook in loaded(HOOKS) if hook["id"] == "fhirsynth-validate"]
    for folder, people in (("tests/fhir/diabetes", 2), ("tests/fhir/newborn", 1)):
        code, said, matching = call("fhirsynth-validate", folder)
        assert (code, len(matching)) == (0, people), said
        code, said, more = call("fhirsynth-validate", folder, default)
        assert (code, {*more} - {*matching}) == (0, {f"{folder}/organisations.json"}), said  # and no manifest

    spoilt = theirs / matching[-1]
    spoilt.write_text(spoilt.read_text().replace('"birthDate":"', '"birthDate":"the '))
    code, said, _ = call("fhirsynth-validate", "tests/fhir/newborn")
    assert code == 1
    assert "birthDate" in said


def theirs_of(name: str, repository: dict[str, Any]) -> dict[str, Any]:
    """What a configuration says about a hook."""
    [found] = [hook for hook in repository["hooks"] if hook["id"] == name]
    return dict(found)
