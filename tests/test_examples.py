"""The examples work, and what other repositories take from this one: the GitHub Action and the pre-commit hooks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from fhirsynth import reading

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
    # As YAML gives what stands on several lines.
    more = {"letters": "true", "arguments": "--gzip\n--letter-format txt,html\n", "out": "build/some people"}
    ran, outputs = make_people(tmp_path, n="2", condition="type-2-diabetes,\nhypertension", age="70-80", **more)
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


@pytest.mark.parametrize("switch", ["deceased", "letters", "check"])
def test_the_action_takes_true_and_false(tmp_path: Path, switch: str) -> None:
    ran, outputs = make_people(tmp_path, **{switch: "yes"})
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"fhirsynth: {switch}: expected true or false\n")
    assert not outputs


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


def run_hooks(theirs: Path, *, overridden: bool = True) -> tuple[int, str]:
    """Stage all and run pre-commit with the hooks as they are here, rather than installed; exit code and what it said.

    `overridden`: as their configuration changes them.
    """
    [repository] = loaded(THEIRS / ".pre-commit-config.yaml")["repos"]
    known = {hook["id"]: hook for hook in loaded(HOOKS)}
    hooks = [
        {**known[hook["id"]], **(hook if overridden else {}), "language": "system"} for hook in repository["hooks"]
    ]
    config = theirs.parent / "config.yaml"
    config.write_text(yaml.safe_dump({"repos": [{"repo": "local", "hooks": hooks}]}))
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(theirs.parent / "pre-commit"),
    }
    subprocess.run(["git", "init", "--quiet"], cwd=theirs, env=env, check=True)
    subprocess.run(["git", "add", "--all"], cwd=theirs, env=env, check=True)
    command = [sys.executable, "-m", "pre_commit", "run", "--all-files", "--verbose", "--config", str(config)]
    ran = subprocess.run(command, cwd=theirs, env=env, capture_output=True, text=True)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not there, without which pre-commit does nothing")
def test_the_hooks_make_fixtures_and_check_them(theirs: Path) -> None:
    code, said = run_hooks(theirs)
    assert (code, "made, 2 people" in said) == (1, True), said
    code, said = run_hooks(theirs, overridden=False)  # with the places, and no manifest
    assert (code, "diabetes: up to date" in said, "in 5 files checked" in said) == (0, True, True), said

    [newborn] = (theirs / "tests/fhir/newborn/people").iterdir()
    spoilt = theirs / "tests/fhir/mine/people/one.json"
    spoilt.parent.mkdir(parents=True)
    spoilt.write_text(newborn.read_text().replace('"birthDate":"', '"birthDate":"the '))
    code, said = run_hooks(theirs)
    assert (code, "in 4 files checked" in said, "Patient.birthDate: 'the " in said) == (1, True, True), said

    spec = theirs / "tests/fhir/fhirsynth.toml"
    spec.write_text(spec.read_text().replace("age = [0, 0]", "age = 0\nseed = 9"))
    code, said = run_hooks(theirs)
    assert not newborn.exists()
    assert (code, "newborn: its spec has changed; made, 1 people" in said) == (1, True), said
    assert "error" not in said and "validate" not in said  # it is not run on files that are gone


def test_the_hook_leaves_out_what_is_not_fhir() -> None:
    [without] = [hook["exclude"] for hook in loaded(HOOKS) if hook["id"] == "fhirsynth-validate"]
    assert all(re.search(without, f"tests/fhir/some/{name}") for name in ("letters/summary.json", *reading._NOT_FHIR))
