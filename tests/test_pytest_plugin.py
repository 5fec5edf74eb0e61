"""The pytest plugin: whom its fixtures give, that no test spoils another's people, and what is kept for next time."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

# Loaded before pytest runs within pytest, which forgets what was loaded in between: numpy cannot be loaded twice.
import fhirsynth.run.job
import fhirsynth.run.letters  # noqa: F401
from fhirsynth import Population
from fhirsynth.pytest_plugin import Fhirsynth, People, Person
from fhirsynth.pytest_plugin.asking import Asked, _of_folder
from fhirsynth.pytest_plugin.people import NHS_NUMBER

pytest_plugins = ["pytester"]

DIABETES, ASTHMA = "44054006", "195967001"


def files(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, by path."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def entries(pytester: pytest.Pytester) -> dict[str, bytes]:
    """What the plugin keeps in the cache of a run."""
    return files(pytester.path / ".pytest_cache" / "d" / "fhirsynth")


# ---- whom a test gets


@pytest.mark.fhirsynth(condition="type-2-diabetes", age=(60, 80), sex="female")
class TestMarked:
    def test_person_is_who_was_asked_for(self, fhirsynth_person: Person) -> None:
        assert fhirsynth_person.patient["gender"] == "female"
        assert "1945-01-02" <= fhirsynth_person.patient["birthDate"] <= "1966-01-01"
        assert fhirsynth_person.resources("Condition", code=DIABETES)

    @pytest.mark.fhirsynth(n=3, sex="male", condition=("type-2-diabetes", "asthma"))
    def test_marker_of_a_test_adds_to_that_of_its_class(self, fhirsynth_population: People) -> None:
        assert len(fhirsynth_population) == 3
        for person in fhirsynth_population:
            assert person.patient["gender"] == "male"
            assert person.patient["birthDate"] <= "1966-01-01"
            assert person.resources("Condition", code=DIABETES)
            assert person.resources("Condition", code=ASTHMA)

    @pytest.mark.parametrize("fhirsynth_person", [{"age": 30}, {"age": (18, 20), "seed": 4}], indirect=True)
    def test_parameters_come_before_markers(self, fhirsynth_person: Person) -> None:
        assert fhirsynth_person.patient["birthDate"] > "1994-12-31"
        assert fhirsynth_person.resources("Condition", code=DIABETES)


def test_without_options(fhirsynth_person: Person, fhirsynth_population: People) -> None:
    assert fhirsynth_person.bundle["entry"][0]["resource"] is fhirsynth_person.patient
    assert len(fhirsynth_population) == 10


def test_same_people_as_the_api_makes(fhirsynth: Fhirsynth) -> None:
    made = fhirsynth.population(n=2, seed=5, age=(80, 90), years=3, deceased=True)
    assert [person.bundle for person in made] == list(Population(n=2, seed=5, age=(80, 90), years=3).people())
    assert [bundle["entry"][0]["resource"]["resourceType"] for bundle in made.bundles()][1:] == ["Patient"] * len(made)


def test_what_a_person_has(fhirsynth: Fhirsynth) -> None:
    person = fhirsynth.person(age=(60, 80), seed=2)
    official = person.patient["name"][0]
    assert person.name == official["text"]
    assert person.nhs_number.startswith("999")
    assert repr(person) == f"<Person {person.name}, born {person.patient['birthDate']}, NHS number {person.nhs_number}>"
    assert len(person.resources()) == len(person.bundle["entry"])
    assert person.resources("Observation") == [r for r in person.resources() if r["resourceType"] == "Observation"]
    placed = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in person.organisations["entry"]}
    own = {f"{resource['resourceType']}/{resource['id']}" for resource in person.resources()}
    referred = {reference for reference in _references(person.bundle) if not reference.startswith("#")}
    assert referred <= placed | own
    assert referred & placed
    person.patient["identifier"] = [i for i in person.patient["identifier"] if i["system"] != NHS_NUMBER]
    with pytest.raises(LookupError, match=f"Patient/{person.id} has no NHS number"):
        _ = person.nhs_number


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        here = [node["reference"]] if isinstance(node.get("reference"), str) else []
        return here + [found for value in node.values() for found in _references(value)]
    return [found for value in node for found in _references(value)] if isinstance(node, list) else []


def test_no_test_spoils_the_people_of_another(fhirsynth: Fhirsynth) -> None:
    mine, yours = fhirsynth.person(seed=3), fhirsynth.person(seed=3)
    assert mine.bundle == yours.bundle
    mine.patient["name"][0]["family"] = "Spoilt"
    mine.bundle["entry"].clear()
    mine.organisations["entry"].clear()
    assert yours.patient["name"][0]["family"] != "Spoilt"
    assert fhirsynth.person(seed=3).bundle == yours.bundle
    assert fhirsynth.person(seed=3).organisations["entry"]


def test_letters_and_files_are_those_that_the_command_writes(fhirsynth: Fhirsynth, tmp_path: Path) -> None:
    asked = {"n": 3, "age": (80, 90), "seed": 1}
    made = fhirsynth.population(**asked, letters=True)
    Population(**asked, deceased=False).write(tmp_path / "command", letters=True)
    wanted = files(tmp_path / "command")
    made.write(tmp_path / "plugin")
    not_a_persons = ("manifest.json", "letters/annotations.csv", "letters/annotations.jsonl", "letters/summary.json")
    assert files(tmp_path / "plugin") == {name: data for name, data in wanted.items() if name not in not_a_persons}

    texts = [letter for person in made for letter in person.letters]
    assert sorted(texts) == sorted(data.decode() for name, data in wanted.items() if name.endswith(".txt"))
    assert texts
    for person in made:
        titles = {document["entry"][0]["resource"]["resourceType"] for document in person.documents}
        assert titles <= {"Composition"}
        assert len(person.documents) == len([1 for r in person.resources("Encounter") if _document_of(r, wanted)])
    assert not fhirsynth.population(**asked)[0].letters


def _document_of(encounter: dict[str, object], written: dict[str, bytes]) -> bool:
    return f"letters/documents/{encounter['id']}.json" in written


def test_a_person_is_written_as_the_test_left_them(fhirsynth: Fhirsynth, tmp_path: Path) -> None:
    person = fhirsynth.person(seed=3)
    person.patient["name"][0]["family"] = "Changed"
    written = person.write(tmp_path)
    assert json.loads(written.read_bytes()) == person.bundle
    assert written.parent == tmp_path / "people"
    assert json.loads((tmp_path / "organisations.json").read_bytes()) == person.organisations


# ---- what is asked for wrongly

WRONG = """
import pytest

@pytest.mark.fhirsynth(condition="diabetes-type-2")
def test_condition(fhirsynth_person): pass

@pytest.mark.fhirsynth(conditions="asthma")
def test_option(fhirsynth_population): pass

@pytest.mark.fhirsynth(5)
def test_number(fhirsynth_population): pass

@pytest.mark.parametrize("fhirsynth_person", [7], indirect=True)
def test_parameter(fhirsynth_person): pass

def test_ages(fhirsynth): fhirsynth.person(age=(80, 60))

def test_nobody(fhirsynth): fhirsynth.population(condition="prostate-cancer", sex="female")

def test_date(fhirsynth): fhirsynth.person(index_date="yesterday")

def test_letters(fhirsynth): fhirsynth.person(letters="txt")

def test_region(fhirsynth): fhirsynth.person(region="londn")
"""


def test_wrong_options_are_one_line_that_names_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_wrong=WRONG)
    ran = pytester.runpytest_inprocess("--strict-markers", "-rN")
    ran.assert_outcomes(errors=4, failed=5)
    said = [line for line in ran.outlines if "fhirsynth: " in line]
    for test, message in (
        ("condition", "condition 'diabetes-type-2' is not known; nearest: type-2-diabetes"),
        ("option", "there is no option 'conditions'; expected one of age, condition, "),
        ("number", "the marker takes options by name, such as @pytest.mark.fhirsynth(n=5); found 5"),
        ("parameter[7]", "parametrize fhirsynth_person with dicts of options, such as {'seed': 2}; found 7"),
        ("ages", "age: expected two whole years from 0 to 110, the lower first; found (80, 60)"),
        ("nobody", "nobody aged 0 to 110, female can have prostate-cancer"),
        ("date", "index_date: "),
        ("letters", "letters: expected True or False; found 'txt'"),
        ("region", "region 'londn' is not known; nearest: london"),
    ):
        [line] = [line for line in said if f"test_wrong.py::test_{test}: " in line]
        assert line.partition("fhirsynth: ")[2].startswith(message)
    assert len(said) == 9
    assert not any(line.startswith(("E ", ">")) or "pydantic" in line for line in ran.outlines)
    assert not entries(pytester)


def test_a_damaged_knowledge_file_is_one_line(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    overlay = pytester.mkdir("knowledge")
    (overlay / "flags.toml").write_text("[broken\n", encoding="utf-8")
    monkeypatch.setenv("FHIRSYNTH_KNOWLEDGE", str(overlay))
    pytester.makepyfile("def test_it(fhirsynth_person): pass")
    ran = pytester.runpytest_inprocess()
    ran.stdout.fnmatch_lines(["*::test_it: fhirsynth: knowledge file flags.toml, line 1: not valid TOML*"])


# ---- what is kept

ONE = """
def test_one(fhirsynth_person):
    assert fhirsynth_person.nhs_number.startswith("999")
"""
SPY = """
import sys

def pytest_unconfigure(config):
    hook = type(config.pluginmanager.rewrite_hook)
    loaded = sorted(name for name, module in sys.modules.items())
    rewritten = sorted(n for n, m in sys.modules.items() if isinstance(getattr(m, "__loader__", None), hook))
    with open("spied.txt", "w") as file:
        print(*loaded, file=file)
        print(*rewritten, file=file)
        print(type(sys.meta_path[0]).__name__, config.pluginmanager.hasplugin("fhirsynth"), file=file)
"""
HEAVY = {"numpy", "pandas", "pgmpy", "pyarrow", "pydantic", "faker", "fhir", "orjson", "lxml", "torch", "jinja2"}


def spied(pytester: pytest.Pytester) -> tuple[set[str], set[str], list[str]]:
    """Of the last run: modules loaded, those with assertions rewritten, the first finder, whether it was there."""
    loaded, rewritten, rest = (pytester.path / "spied.txt").read_text().splitlines()
    return set(loaded.split()), set(rewritten.split()), rest.split()


def test_unused_it_costs_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(SPY)
    pytester.makepyfile("def test_nothing(): pass")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    loaded, _, (_, there) = spied(pytester)
    assert there == "True"
    pytester.runpytest_subprocess("-p", "no:fhirsynth").assert_outcomes(passed=1)
    without, _, (_, there) = spied(pytester)
    assert there == "False"
    assert {name for name in loaded - without if not name.startswith("fhirsynth")} <= {"zipfile"}
    assert not [name for name in loaded if name.startswith(("fhirsynth.knowledge", "fhirsynth.run", "fhirsynth.spec"))]


def test_people_are_made_once_and_then_read(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """First made, by modules that are loaded as they are although pytest was told to rewrite them; then read."""
    alone = ("-W", "error", "-p", "fhirsynth.pytest_plugin")  # other plugins load heavy things of their own
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(SPY + "\nimport pytest\npytest.register_assert_rewrite('fhirsynth.run', 'fhirsynth.fhir')\n")
    pytester.makepyfile(ONE)
    pytester.runpytest_subprocess(*alone).assert_outcomes(passed=1)
    loaded, rewritten, (finder, _) = spied(pytester)
    assert {"numpy", "fhirsynth.run.shard", "fhirsynth.fhir.patient"} <= loaded
    assert not [name for name in rewritten if name.startswith(("fhirsynth.run", "fhirsynth.fhir"))]
    assert finder == "AssertionRewritingHook"
    [(name, entry)] = entries(pytester).items()

    pytester.runpytest_subprocess(*alone).assert_outcomes(passed=1)
    loaded, _, _ = spied(pytester)
    assert not loaded & (HEAVY - {"orjson"})
    assert entries(pytester) == {name: entry}


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:50] + b"x" + data[51:], lambda _: b""])
def test_a_damaged_entry_is_made_anew(pytester: pytest.Pytester, damage) -> None:  # type: ignore[no-untyped-def]
    pytester.makepyfile(ONE)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
    [(name, whole)] = entries(pytester).items()
    (pytester.path / ".pytest_cache" / "d" / "fhirsynth" / name).write_bytes(damage(whole))
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
    assert entries(pytester) == {name: whole}


def test_workers_share_the_cache(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("time", range(6))
        def test_same(fhirsynth, time):
            assert len(fhirsynth.population(n=2, seed=9)) == 2
            assert fhirsynth.person(seed=time % 2).nhs_number.startswith("999")
        """
    )
    pytester.runpytest_subprocess("-n", "2").assert_outcomes(passed=6)
    kept = entries(pytester)
    assert len(kept) == 3
    assert not [name for name in kept if name.endswith(".part")]


def test_without_a_cache_people_are_made_for_the_session(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ONE)
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
    assert not (pytester.path / ".pytest_cache").exists()


def test_a_cache_that_cannot_be_written_is_a_warning(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ONE)
    in_the_way = pytester.path / ".pytest_cache" / "d" / "fhirsynth"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("a file", encoding="utf-8")
    ran = pytester.runpytest_inprocess()
    ran.assert_outcomes(passed=1, warnings=1)
    ran.stdout.fnmatch_lines(["*PytestCacheWarning: fhirsynth: people cannot be kept in pytest's cache: *File exists*"])


def test_what_no_test_uses_any_more_is_removed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ONE)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
    [name] = entries(pytester)
    folder = pytester.path / ".pytest_cache" / "d" / "fhirsynth"
    for other, days in (("old", 31), ("abandoned.part", 31), ("recent", 29)):
        (folder / other).write_bytes(b"of another version")
        os.utime(folder / other, (time.time() - days * 86400,) * 2)
    os.utime(folder / name, (time.time() - 31 * 86400,) * 2)
    pytester.makepyfile(ONE + "\ndef test_another(fhirsynth):\n    fhirsynth.person(age=5)\n")
    pytester.runpytest_inprocess().assert_outcomes(passed=2)
    kept = entries(pytester)
    assert name in kept  # it was old, but used before anything was written
    assert len(kept) == 3
    assert "recent" in kept


def test_markers_are_told(pytester: pytest.Pytester) -> None:
    pytester.runpytest_inprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.fhirsynth(n, seed, condition, *"])


# ---- the key


def test_the_same_said_otherwise_is_the_same_entry() -> None:
    import datetime as dt

    one = Asked.of({"age": 70, "condition": "asthma", "index_date": dt.date(2025, 3, 1)})
    other = Asked.of({"index_date": "2025-03-01", "condition": ("asthma",), "age": (70, 70)})
    listed = Asked.of({"index_date": "2025-03-01", "condition": ["asthma"], "age": [70, 70]})
    assert one.key() == other.key() == listed.key()
    different = [{"age": 71}, {"age": 70, "letters": True}, {"age": 70, "seed": 2}, {"age": 70, "n": 2}, {}]
    assert len({Asked.of(options).key() for options in [*different, {"age": 70}]}) == 6


def test_other_knowledge_is_another_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked.of({"age": 70})
    package = asked.key()
    monkeypatch.setenv("FHIRSYNTH_KNOWLEDGE", str(tmp_path))
    (tmp_path / "flags.toml").write_text("", encoding="utf-8")
    overlaid = asked.key()
    (tmp_path / "flags.toml").write_text("# changed", encoding="utf-8")
    assert len({package, overlaid, asked.key()}) == 3


def test_fingerprint_sees_contents_and_names(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_bytes(b"one")
    first = _of_folder(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "b.pyc").write_bytes(b"compiled")
    os.utime(tmp_path / "a" / "b.py", (0, 0))
    assert _of_folder(tmp_path) == first
    (tmp_path / "a" / "b.py").write_bytes(b"two")
    second = _of_folder(tmp_path)
    (tmp_path / "a" / "b.py").rename(tmp_path / "a" / "c.py")
    assert len({first, second, _of_folder(tmp_path)}) == 3


def test_version_of_python_is_part_of_it() -> None:
    from fhirsynth.pytest_plugin.asking import fingerprint

    assert ".".join(map(str, sys.version_info[:3])) in fingerprint().split()
