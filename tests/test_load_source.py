"""What a folder holds to be loaded: the same people of every layout, and one clear line where there is nothing."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from fhirsynth import Population
from fhirsynth.errors import InputError
from fhirsynth.loading.entries import PLACES, written
from fhirsynth.loading.source import find

POPULATION = Population(n=4, seed=8, age=(1, 40), years=1)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("load") / "bundles"
    POPULATION.write(out)
    return out


@pytest.fixture
def out(bundles: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copytree(bundles, tmp_path / "out"))


def held(folder: Path) -> list[dict[str, bytes]]:
    """What each unit holds, by name."""
    found = find(folder)
    units = list(found.units())
    assert [unit.number for unit in units] == list(range(found.people + 1))
    return [{entry.key: written(entry.resource) for entry in unit.read()} for unit in units]


def test_every_layout_holds_the_same(bundles: Path, tmp_path: Path) -> None:
    expected = held(bundles)
    assert {key.partition("/")[0] for key in expected[0]} <= PLACES
    assert all(next(iter(person)).startswith("Patient/") for person in expected[1:])
    for name, how in (
        ("lines", {"format": "ndjson"}),
        ("packed-lines", {"format": "ndjson", "gzip": True}),
        ("packed", {"gzip": True}),
    ):
        POPULATION.write(tmp_path / name, **how)
        assert held(tmp_path / name) == expected


def test_places_may_be_among_the_lines(tmp_path: Path) -> None:
    out = tmp_path / "out"
    POPULATION.write(out, format="ndjson")
    expected = held(out)
    lines: dict[str, list[bytes]] = {}
    for item in json.loads((out / "organisations.json").read_bytes())["entry"]:
        lines.setdefault(item["resource"]["resourceType"], []).append(written(item["resource"]))
    for kind, found in lines.items():
        (out / "ndjson" / f"{kind}.ndjson").write_bytes(b"\n".join(found) + b"\n")
    assert held(out) == expected  # and not twice
    (out / "organisations.json").unlink()
    made = held(out)
    assert made[0] == expected[0] and made[1:] == expected[1:]


def test_the_text_is_sent_as_it_is(bundles: Path) -> None:
    """What is parsed and written again is, but for the frame of the bundle, what lies in the file."""
    for unit in find(bundles).units():
        text = (bundles / unit.name).read_bytes()
        assert all(written(entry.resource) in text for entry in unit.read())


def test_states_are_those_of_the_files(out: Path) -> None:
    before = find(out)
    assert find(out) == before
    file = sorted((out / "people").iterdir())[1]
    file.write_bytes(file.read_bytes() + b"\n")
    longer = find(out)
    assert [number for number in range(5) if longer.states[number] != before.states[number]] == [2]
    file.write_bytes(file.read_bytes().replace(b"final", b"fatal"))
    assert find(out).states[2] != longer.states[2]  # though it is as long
    places = out / "organisations.json"
    places.write_bytes(places.read_bytes() + b"\n")
    assert find(out).states[0] != before.states[0]


def test_states_of_lines_are_those_of_all_files(tmp_path: Path) -> None:
    POPULATION.write(tmp_path, format="ndjson")
    before = find(tmp_path)
    file = tmp_path / "ndjson" / "Observation.ndjson"
    file.write_bytes(file.read_bytes() + b"\n")
    after = find(tmp_path)
    assert [one == other for one, other in zip(before.states, after.states, strict=True)] == [True, *[False] * 4]


def test_sub_folders_come_in_their_order(out: Path) -> None:
    expected = held(out)
    files = sorted((out / "people").iterdir())
    for number, file in enumerate(files):
        folder = out / "people" / f"{number // 2:05d}"
        folder.mkdir(exist_ok=True)
        file.rename(folder / file.name)
    assert held(out) == expected


def nothing(out: Path) -> None:
    shutil.rmtree(out)


def a_file(out: Path) -> None:
    shutil.rmtree(out)
    out.write_text("x")


def no_people(out: Path) -> None:
    shutil.rmtree(out / "people")


def only_xml(out: Path) -> None:
    for file in (out / "people").iterdir():
        file.rename(file.with_suffix(".xml"))


def no_places(out: Path) -> None:
    (out / "organisations.json").unlink()


def unfinished(out: Path) -> None:
    (out / ".fhirsynth").mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (nothing, "does not exist; give a folder that `fhirsynth population` made"),
        (a_file, "is a file; give a folder"),
        (no_people, "holds no population that can be loaded: expected JSON in people/ or ndjson/"),
        (only_xml, "holds no population that can be loaded"),
        (no_places, "organisations.json is not there: it holds the places"),
        (unfinished, "is not finished; give the command that began it --resume"),
    ],
)
def test_no_population(out: Path, spoil: object, message: str) -> None:
    spoil(out)  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as raised:
        find(out)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"resourceType": "Bundle", "entry": [', "the JSON ends too early"),
        (b"<Bundle/>", "what looks like XML"),
        (b"", "the file is empty"),
        (b'{"resourceType": "Patient", "id": "a"}', "holds no bundle"),
        (b'{"entry": [{"resource": {"resourceType": "Patient"}}]}', "entry 0: the Patient has no id"),
        (b'{"entry": [{"resource": {"id": "a"}}]}', "entry 0: expected a resource with a resourceType"),
        (b'{"entry": [{}]}', "entry 0: expected a resource, an object"),
        (
            b'{"entry": [%s, %s]}' % (2 * (b'{"resource": {"resourceType": "X", "id": "a"}}',)),
            "X/a stands there a second",
        ),
        (gzip.compress(b'{"entry": []}', mtime=0)[:-6], "the gzip file ends too early"),
        (b"[" * 100_000, "levels deep"),
    ],
)
def test_damaged_files(out: Path, content: bytes, message: str) -> None:
    file = sorted((out / "people").iterdir())[1]
    file.write_bytes(content)
    unit = list(find(out).units())[2]
    with pytest.raises(InputError, match=message) as raised:
        unit.read()
    assert str(raised.value).startswith(str(file))
    assert "\n" not in str(raised.value)


def test_damaged_lines(tmp_path: Path) -> None:
    POPULATION.write(tmp_path, format="ndjson")
    file = tmp_path / "ndjson" / "Observation.ndjson"
    lines = file.read_bytes().splitlines(keepends=True)

    def message(changed: list[bytes]) -> str:
        file.write_bytes(b"".join(changed))
        with pytest.raises(InputError) as raised:
            held(tmp_path)
        return str(raised.value)

    assert message([lines[0], b"{\n", *lines[2:]]).startswith(f"{file}, line 2: the JSON ends too early")
    first = json.loads(lines[0])["subject"]
    others = [number for number, line in enumerate(lines) if json.loads(line)["subject"] != first]
    said = message([*lines[others[0] :], *lines[: others[0]]])
    assert "who is not next; expected the people in the same order in every file" in said
    assert "nobody is meant" in message([*lines, b'{"resourceType": "Observation", "id": "x"}\n'])
