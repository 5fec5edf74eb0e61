"""The pytest plugin: whom its fixtures give, that no test spoils another's people, and what is kept for next time."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from commands import full_disk

# Loaded before pytest runs within pytest, which forgets what was loaded in between: numpy cannot be loaded twice.
import fhirsynth.run.job
import fhirsynth.run.letters
from fhirsynth import Population, __version__
from fhirsynth.errors import OutputError
from fhirsynth.pytest_plugin import Fhirsynth, People, Person
from fhirsynth.pytest_plugin.cache import _PACKAGES, _files, _of_folder, _read, fingerprint, key
from fhirsynth.pytest_plugin.making import make
from fhirsynth.run import state
from fhirsynth.systems import NHS_NUMBER

pytest_plugins = ["pytester"]

DIABETES, ASTHMA = "44054006", "195967001"


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Runs pytest with this plugin alone: others load heavy things of their own, in each run anew."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", fhirsynth.pytest_plugin.__name__)
    return pytester


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

    @pytest.mark.fhirsynth(n=3, deceased=True)
    def test_person_is_one_of_those_whom_a_marker_asks_for(self, fhirsynth_person: Person) -> None:
        assert fhirsynth_person.patient["gender"] == "female"

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

@pytest.mark.parametrize("fhirsynth_person", [{"n": 3}], indirect=True)
def test_several(fhirsynth_person): pass

def test_one_of_five(fhirsynth): fhirsynth.person(n=5)

def test_ages(fhirsynth): fhirsynth.person(age=(80, 60))

def test_nobody(fhirsynth): fhirsynth.population(condition="prostate-cancer", sex="female")

def test_date(fhirsynth): fhirsynth.person(index_date="yesterday")

def test_letters(fhirsynth): fhirsynth.person(letters="txt")

def test_region(fhirsynth): fhirsynth.person(region="londn")
"""


def test_wrong_options_are_one_line_that_names_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_wrong=WRONG)
    ran = pytester.runpytest_inprocess("--strict-markers", "-rN")
    ran.assert_outcomes(errors=5, failed=6)
    said = [line for line in ran.outlines if "fhirsynth: " in line]
    for test, message in (
        ("condition", "condition 'diabetes-type-2' is not known; nearest: type-2-diabetes"),
        ("option", "there is no option 'conditions' here; expected some of age, condition, deceased, index_date, "),
        ("number", "the marker takes options by name, such as @pytest.mark.fhirsynth(n=5); found 5"),
        ("parameter[7]", "parametrize fhirsynth_person with dicts of options, such as {'seed': 2}; found 7"),
        ("several[fhirsynth_person0]", "there is no option 'n' here; expected some of age, condition, index_date, "),
        ("one_of_five", "there is no option 'n' here; expected some of age, condition, index_date, letters, "),
        ("ages", "age: expected two whole years from 0 to 110, the lower first; found (80, 60)"),
        ("nobody", "nobody aged 0 to 110, female can have prostate-cancer"),
        ("date", "index_date: "),
        ("letters", "letters: expected True or False; found 'txt'"),
        ("region", "region 'londn' is not known; nearest: london"),
    ):
        [line] = [line for line in said if f"test_wrong.py::test_{test}: " in line]
        assert line.partition("fhirsynth: ")[2].startswith(message)
    assert len(said) == 11
    assert not any(line.startswith(("E ", ">")) or "pydantic" in line for line in ran.outlines)
    assert not entries(pytester)


def test_a_damaged_knowledge_file_is_one_line(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    overlay = pytester.mkdir("knowledge")
    (overlay / "flags.toml").write_text("[broken\n", encoding="utf-8")
    monkeypatch.setenv("FHIRSYNTH_KNOWLEDGE", str(overlay))
    pytester.makepyfile("def test_it(fhirsynth_person): pass")
    ran = pytester.runpytest_inprocess()
    ran.stdout.fnmatch_lines(["*::test_it: fhirsynth: knowledge file flags.toml, line 1: not valid TOML*"])


def test_a_full_disk_is_told_without_options_of_the_command_line(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, 2)
    with pytest.raises(OutputError, match=r"^cannot write to \S+: the disk is full$"):
        make({"n": 1, "age": 20, "years": 1}, pytestconfig)


# ---- what is kept

ONE = """
def test_one(fhirsynth_person):
    assert fhirsynth_person.nhs_number.startswith("999")
"""
SPY = """
import sys

def pytest_unconfigure(config):
    hook = type(config.pluginmanager.rewrite_hook)
    loaded = sorted(sys.modules)
    rewritten = sorted(n for n, m in sys.modules.items() if isinstance(getattr(m, "__loader__", None), hook))
    with open("spied.txt", "w") as file:
        print(*loaded, file=file)
        print(*rewritten, file=file)
        print(type(sys.meta_path[0]).__name__, file=file)
"""
HEAVY = {"numpy", "pandas", "pgmpy", "pyarrow", "pydantic", "faker", "fhir", "orjson", "lxml", "torch", "jinja2"}


def spied(pytester: pytest.Pytester) -> tuple[set[str], set[str], str]:
    """Of the last run: modules loaded, those with assertions rewritten, the first finder."""
    loaded, rewritten, finder = (pytester.path / "spied.txt").read_text().splitlines()
    return set(loaded.split()), set(rewritten.split()), finder


def test_pytest_finds_it_where_fhirsynth_is_installed() -> None:
    [entry] = [entry for entry in metadata.entry_points(group="pytest11") if entry.name == "fhirsynth"]
    assert entry.load() is fhirsynth.pytest_plugin


def test_unused_it_costs_nothing(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeconftest(SPY)
    pytester.makepyfile("def test_nothing(): pass")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    loaded, *_ = spied(pytester)
    monkeypatch.delenv("PYTEST_PLUGINS")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    without, *_ = spied(pytester)
    ours = {name for name in loaded - without if name.startswith("fhirsynth")}
    assert ours == {
        "fhirsynth", "fhirsynth.errors", "fhirsynth.pytest_plugin", "fhirsynth.pytest_plugin.cache",
        "fhirsynth.pytest_plugin.options", "fhirsynth.pytest_plugin.people", "fhirsynth.systems",
    }  # fmt: skip
    assert loaded - without - ours <= {"zipfile"}


def test_people_are_made_once_and_then_read(pytester: pytest.Pytester) -> None:
    """First made, by modules that are loaded as they are although pytest was told to rewrite them; then read."""
    pytester.makeconftest(SPY + "\nimport pytest\npytest.register_assert_rewrite('fhirsynth.run', 'fhirsynth.fhir')\n")
    pytester.makepyfile("import pytest\n\n@pytest.mark.fhirsynth(age=85, years=1, letters=True)" + ONE)
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)
    loaded, rewritten, finder = spied(pytester)
    assert {"numpy", "fhirsynth.run.shard", "fhirsynth.fhir.patient", "fhirsynth.run.letters"} <= loaded
    package = Path(fhirsynth.__file__).parent
    read = {file.relative_to(package).with_suffix("").as_posix() for file in _files(package)}
    taken = {name.removeprefix("fhirsynth.").replace(".", "/") for name in loaded if name.startswith("fhirsynth.")}
    assert {name for name in taken if {name, f"{name}/__init__"}.isdisjoint(read)} == set()
    assert not [name for name in rewritten if name.startswith(("fhirsynth.run", "fhirsynth.fhir"))]
    assert finder == "AssertionRewritingHook"
    [(name, entry)] = entries(pytester).items()

    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)
    loaded, _, _ = spied(pytester)
    assert not loaded & (HEAVY - {"orjson"})
    assert entries(pytester) == {name: entry}


def test_a_damaged_entry_is_made_anew(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ONE)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
    [(name, whole)] = entries(pytester).items()
    entry = pytester.path / ".pytest_cache" / "d" / "fhirsynth" / name
    for damaged in (whole[:-7], b"", whole[:50] + b"x" + whole[51:]):
        entry.write_bytes(damaged)
        assert _read(entry) is None
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
    assert entries(pytester) == {name: whole}


def test_workers_share_the_cache(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("time", range(6))
        def test_same(fhirsynth, time):
            assert len(fhirsynth.population(n=2, age=20, years=1)) == 2
            assert fhirsynth.person(age=20, years=1, seed=time % 2).nhs_number.startswith("999")
        """
    )
    pytester.runpytest_subprocess("-p", "xdist.plugin", "-p", "xdist.looponfail", "-n", "2").assert_outcomes(passed=6)
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


def test_other_options_are_another_entry() -> None:
    assert key({"age": [60, 70], "seed": 2}) == key({"seed": 2, "age": (60, 70)})
    different = [{"age": 71}, {"age": 70, "letters": True}, {"age": 70, "seed": 2}, {"age": 70, "n": 2}, {}]
    different += [{"index_date": dt.date(2025, 3, day)} for day in (1, 2)]
    assert len({key(options) for options in [*different, {"age": 70}]}) == 8


def test_other_knowledge_is_another_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = key({"age": 70})
    monkeypatch.setenv("FHIRSYNTH_KNOWLEDGE", str(tmp_path))
    (tmp_path / "flags.toml").write_text("", encoding="utf-8")
    overlaid = key({"age": 70})
    (tmp_path / "flags.toml").write_text("# changed", encoding="utf-8")
    assert len({package, overlaid, key({"age": 70})}) == 3


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


def test_versions_are_part_of_it() -> None:
    told = fingerprint().split()
    assert told[:2] == [__version__, ".".join(map(str, sys.version_info[:3]))]
    assert told[2:-1] == [metadata.version(name) for name in state._PACKAGES]
    assert _PACKAGES == state._PACKAGES
