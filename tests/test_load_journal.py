"""The journal of a load: nothing in it is lost when the loader is killed, and nothing is taken for what it is not."""

from __future__ import annotations

import json
import os
from array import array
from collections import Counter
from pathlib import Path

import pytest

from fhirsynth.errors import InputError, OutputError
from fhirsynth.loading.journal import Journal, place
from fhirsynth.loading.outcome import Issue, Outcome, Refusal
from fhirsynth.loading.source import Source

BASE = "http://127.0.0.1:8080/fhir"
REFUSAL = Refusal(
    "people/2.json", ("Observation/a",), 422, (Issue("error", "invalid", "no unit", "Observation.value"),)
)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path, True, array("Q", range(100, 121)))


def outcome(number: int, *, refused: bool = False) -> Outcome:
    made = Outcome(number, f"people/{number}.json", Counter(Patient=1, Observation=3), created=4)
    if refused:
        made.refused, made.left_out = [REFUSAL], ["DiagnosticReport/b"]
    return made


def written(source: Source, *outcomes: Outcome) -> Path:
    path = place(source.folder, BASE)
    with Journal.begin(path, source, BASE) as journal:
        for made in outcomes:
            journal.add(made)
    return path


def test_what_was_noted_is_known_again(source: Source) -> None:
    path = written(source, outcome(0), outcome(7), outcome(20))
    with Journal.go_on(path, source, BASE) as journal:
        assert [number for number in range(21) if journal.is_done(number)] == [0, 7, 20]
        assert (journal.done, journal.created) == (3, 12)
        assert journal.loaded == Counter(Patient=3, Observation=9)
        journal.add(outcome(8))
    with Journal.go_on(path, source, BASE) as journal:
        assert journal.done == 4


def test_every_line_can_be_cut_off_anywhere(source: Source) -> None:
    path = written(source, outcome(0), outcome(1), outcome(2, refused=True), outcome(3))
    whole = path.read_bytes()
    ends = [place for place, byte in enumerate(whole, 1) if byte == 10]
    for length in range(ends[0], len(whole) + 1):
        path.write_bytes(whole[:length])
        lines = sum(end <= length for end in ends)
        with Journal.go_on(path, source, BASE) as journal:
            assert journal.done == (0, 0, 1, 2, 2, 3)[lines]
            assert len(journal.incomplete) == (lines > 3)
            journal.add(outcome(9))
        assert path.read_bytes().count(b"\n") == lines + 1
        with Journal.go_on(path, source, BASE) as journal:
            assert journal.is_done(9)


def test_what_was_refused_is_told_until_it_is_loaded(source: Source) -> None:
    path = written(source, outcome(1), outcome(2, refused=True))
    with Journal.go_on(path, source, BASE) as journal:
        assert not journal.is_done(2)
        assert journal.incomplete[2].refused == [REFUSAL]
        assert journal.incomplete[2].missing == {"Observation/a", "DiagnosticReport/b"}
        assert journal.loaded["Patient"] == 2
        again = outcome(2)
        again.created = 2
        journal.add(again)
        assert journal.loaded["Patient"] == 2  # the same ones
    with Journal.go_on(path, source, BASE) as journal:
        assert journal.is_done(2) and not journal.incomplete
        assert (journal.loaded["Patient"], journal.created) == (2, 4 + 4 + 2)


def test_what_was_changed_since_is_not_done(source: Source) -> None:
    path = written(source, outcome(0), outcome(1), outcome(2, refused=True), outcome(3))
    states = array("Q", source.states)
    states[1], states[2] = 7, 8
    changed = Source(source.folder, True, states[:4])
    with Journal.go_on(path, changed, BASE) as journal:
        assert [number for number in range(4) if journal.is_done(number)] == [0, 3]
        assert (journal.done, journal.incomplete, journal.loaded["Patient"]) == (2, {}, 2)
        journal.add(outcome(1))
    with Journal.go_on(path, changed, BASE) as journal:
        assert (journal.done, journal.loaded["Patient"]) == (3, 3)
    with Journal.go_on(path, Source(source.folder, True, states[:1]), BASE) as journal:
        assert journal.done == 1  # the others are not there any more
    path = written(source, outcome(0, refused=True))
    states[0] = 9
    with Journal.go_on(path, Source(source.folder, True, states), BASE) as journal:
        assert (journal.done, journal.incomplete) == (0, {})


def test_what_was_not_tried_to_its_end_is_not_done(source: Source) -> None:
    made = outcome(3)
    made.is_whole = False
    path = written(source, made)
    with Journal.go_on(path, source, BASE) as journal:
        assert not journal.is_done(3)


def test_a_line_is_on_the_disk_before_its_unit_is_done(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    with Journal.begin(place(source.folder, BASE), source, BASE) as journal:
        monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
        journal.add(outcome(1))
        assert synced == [journal.path.stat().st_size]

        def full(file: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="cannot be written: No space left on device; choose .* --journal"):
            journal.add(outcome(2))
        assert not journal.is_done(2)


def test_a_new_journal_takes_the_place_of_an_old_one(source: Source) -> None:
    path = written(source, outcome(1))
    with Journal.begin(path, source, BASE) as journal:
        assert journal.done == 0
    assert path.read_bytes().count(b"\n") == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_journals_of_other_loads(source: Source) -> None:
    path = written(source, outcome(1), outcome(2))
    for states in ([*range(200, 221)], [0]):
        with pytest.raises(InputError, match="is of a load of another population"):
            Journal.go_on(path, Source(source.folder, True, array("Q", states)), BASE)
    with pytest.raises(InputError, match=r"is of a load into http://127.0.0.1:8080/fhir, asked for is http://b/fhir"):
        Journal.go_on(path, source, "http://b/fhir")
    with pytest.raises(InputError, match=r"no load of .* into http://b/fhir .*; there were loads into http://127"):
        Journal.go_on(place(source.folder, "http://b/fhir"), source, "http://b/fhir")
    assert place(source.folder, "http://b/fhir") != place(source.folder, "https://b/fhir")
    assert place(source.folder, "http://b/a-c") != place(source.folder, "http://b/a/c")


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (1, b"{}"),
        (1, b"[1]"),
        (2, b"\x00\x00\x00"),
        (2, b'{"unit": 2}'),
        (2, b'{"unit": -1, "name": "x", "loaded": {}, "created": 0}'),
        (2, b'{"unit": 2, "name": "x", "loaded": {}, "created": 0}'),
        (2, b'{"unit": "2", "name": "x", "loaded": {}, "created": 0}'),
        (2, b'{"unit": 2, "name": "x", "loaded": {"Patient": "1"}, "created": 0}'),
        (2, b'{"unit": 2, "name": "x", "loaded": [], "created": 0}'),
        (3, b'{"unit": 2, "name": "x", "loaded": {}, "created": 0, "refused": [{}]}'),
        (3, b'{"unit": 2, "name": "x", "loaded": {}, "cre'),
    ],
)
def test_damaged_journals(source: Source, number: int, line: bytes) -> None:
    path = written(source, outcome(0), outcome(1), outcome(2))
    lines = path.read_bytes().splitlines()
    lines[number - 1] = line
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(InputError, match=f"line {number}: the journal is damaged; load without --resume") as raised:
        Journal.go_on(path, source, BASE)
    assert "\n" not in str(raised.value)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="is empty: no load was begun"):
        Journal.go_on(path, source, BASE)


def test_journal_of_another_version(source: Source) -> None:
    path = written(source, outcome(0))
    path.write_bytes(path.read_bytes().replace(b'"fhirsynth_load": 2', b'"fhirsynth_load": 1'))
    with pytest.raises(InputError, match="is of another version of fhirsynth; load without --resume"):
        Journal.go_on(path, source, BASE)


def test_lines_are_json(source: Source) -> None:
    path = written(source, outcome(0), outcome(2, refused=True))
    head, _, line = (json.loads(text) for text in path.read_bytes().splitlines())
    assert head["server"] == BASE
    assert line["state"] == 102
    assert line["refused"][0]["issues"][0]["diagnostics"] == "no unit"
    assert line["name"] == "people/2.json"
