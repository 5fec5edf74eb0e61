"""Letters as part of a run: the same bytes however they come about, resumed after any end, nothing half-written."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from commands import full_disk
from test_run import Stopping, contents, interrupt

from fhirsynth import Population, Spec
from fhirsynth.errors import InputError, InterruptedRunError, OutputError
from fhirsynth.letters.folder import Letters, check
from fhirsynth.letters.letter import as_text
from fhirsynth.letters.making import Manner
from fhirsynth.letters.writing import write
from fhirsynth.run import letters as run_letters
from fhirsynth.run import output
from fhirsynth.run.job import write_letters, write_population
from fhirsynth.run.manifest import made_with
from fhirsynth.run.state import Job

#: Two shards and one person of a third, of children, whose records are small. Each shard has stays.
SPEC = Spec(n=401, seed=11, age=(1, 12), years=1)
ASKED = Letters(Manner(seed=7), formats=("txt", "html"), annotations=("jsonl", "csv", "brat"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one worker writes without a stop."""
    out = tmp_path_factory.mktemp("whole") / "out"
    write_population(Job(SPEC, out, letters=ASKED))
    return contents(out)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same people without letters."""
    out = tmp_path_factory.mktemp("plain") / "out"
    write_population(Job(SPEC, out))
    return out


@pytest.fixture
def people(plain: Path, tmp_path: Path) -> Path:
    """A folder of people that the test may write letters into."""
    return copied(plain, tmp_path / "out")


def copied(source: Path, out: Path) -> Path:
    """A copy of a folder."""
    for name, data in contents(source).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    return out


def note_ids(files: dict[str, bytes]) -> list[str]:
    """The notes that are annotated, in order."""
    return [json.loads(line)["note_id"] for line in files["letters/annotations.jsonl"].splitlines()]


# --- what is written ------------------------------------------------------------------------------


def test_every_file_is_in_the_manifest_and_the_counts_are_those_of_the_files(whole: dict[str, bytes]) -> None:
    manifest = json.loads(whole["manifest.json"])
    assert set(manifest["files"]) == set(whole) - {"manifest.json"}
    for name, entry in manifest["files"].items():
        assert entry == {"sha256": hashlib.sha256(whole[name]).hexdigest(), "bytes": len(whole[name])}
    told = manifest["letters"]
    assert (told["writer"], told["seed"], told["formats"]) == ("phrasebook", 7, ["txt", "html"])
    assert json.loads(whole["letters/summary.json"]) == told
    made = told["made"]
    texts = [name for name in whole if name.startswith("letters/") and name.endswith(".txt") and "brat" not in name]
    to_patients = [name for name in texts if name.endswith("-patient.txt")]
    assert made["letters"] == len(texts) - len(to_patients) == len(note_ids(whole)) > 10
    assert made["to_patient"] == len(to_patients)
    assert made["stays"] == made["letters"] + made["withheld"]
    documents = [name for name in whole if name.startswith("letters/documents/")]
    assert made["documents"] == len(documents) == made["letters"]
    assert manifest["resources"]["DocumentReference"] == made["letters"] + made["to_patient"]
    lines = [json.loads(line) for line in whole["letters/annotations.jsonl"].splitlines()]
    assert made["spans"] == sum(len(line["spans"]) for line in lines)
    assert {"jinja2", "markupsafe"} <= set(manifest["versions"])


def test_each_form_of_annotations_says_the_same(whole: dict[str, bytes]) -> None:
    concepts = whole["letters/annotations.csv"].decode().splitlines()
    assert concepts[0] == "note_id,start,end,concept_id"
    said: list[str] = []
    types = set()
    for line in map(json.loads, whole["letters/annotations.jsonl"].splitlines()):
        note = line["note_id"]
        text = whole[f"letters/{note}.txt"].decode()
        assert whole[f"letters/brat/{note}.txt"].decode() == text
        assert whole[f"letters/brat/{note}.ann"].decode().count("\nT") == len(line["spans"]) - 1
        for span in line["spans"]:
            assert text[span["start"] : span["end"]] == span["surface"]
            types.add(span["type"])
            if span["system"] in ("http://snomed.info/sct", "https://dmd.nhs.uk") and not span["negated"]:
                said.append(f"{note},{span['start']},{span['end']},{span['code']}")
    assert concepts[1:] == said
    configured = whole["letters/brat/annotation.conf"].decode().split("[relations]")[0].split()[1:]
    assert configured == sorted(types)


def test_spacy_has_files_of_a_few_shards_each(
    people: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    spacy = pytest.importorskip("spacy", reason="spacy is not installed")
    from spacy.tokens import DocBin

    monkeypatch.setattr(run_letters, "DOCS_A_FILE", 1)
    write_letters(people, Letters(Manner(seed=7, to_patient=False), annotations=("spacy",), documents=False))
    files = sorted((people / "letters").glob("*.spacy"), key=lambda file: (len(file.name), file.name))
    assert [file.name for file in files][:2] == ["annotations.spacy", "annotations-00002.spacy"]
    english = spacy.blank("en")
    docs = [doc for file in files for doc in DocBin().from_disk(file).get_docs(english.vocab)]
    assert [doc.user_data["note_id"] for doc in docs] == note_ids(whole)
    assert all(doc.text == whole[f"letters/{doc.user_data['note_id']}.txt"].decode() for doc in docs)


def test_letters_of_many_people_are_spread_over_folders() -> None:
    many = Spec(n=10_001)
    assert output.letter_path(many, 50, "a.txt") == "letters/00010/a.txt"
    assert output.letter_path(many, 50, "a.ann", output.BRAT) == "letters/brat/00010/a.ann"
    assert output.letter_path(SPEC, 1, "a.txt") == "letters/a.txt"
    assert output.letter_folders(many, 4, [output.DOCUMENTS]) == ["letters/00000", "letters/documents/00000"]
    assert output.letter_folders(SPEC, 4, [output.DOCUMENTS]) == ["letters", "letters/documents"]


# --- the same bytes -------------------------------------------------------------------------------


def test_two_processes_write_the_same_bytes(whole: dict[str, bytes], tmp_path: Path) -> None:
    write_population(Job(SPEC, tmp_path / "out", letters=ASKED), workers=2)
    assert contents(tmp_path / "out") == whole


def test_people_first_and_letters_later_are_the_same_bytes(whole: dict[str, bytes], people: Path) -> None:
    summary = write_letters(people, ASKED)
    assert contents(people) == whole
    assert summary.tally.letters is not None
    assert dict(summary.tally.letters) == json.loads(whole["letters/summary.json"])["made"]


def test_people_are_the_same_but_for_what_is_said_of_letters(whole: dict[str, bytes], plain: Path) -> None:
    """A DocumentReference for each letter, with the text of the letter's file, and in the Provenance."""
    told = []
    for name, data in contents(plain).items():
        if not name.startswith("people/"):
            assert whole[name] == data or name == "manifest.json"
            continue
        then = [entry["resource"] for entry in json.loads(data)["entry"]]
        now = [entry["resource"] for entry in json.loads(whole[name])["entry"]]
        references = [found for found in now if found["resourceType"] == "DocumentReference"]
        targets = now[-1]["target"][len(then[-1]["target"]) :]
        assert targets == [{"reference": f"DocumentReference/{found['id']}"} for found in references]
        now[-1]["target"] = now[-1]["target"][: len(then[-1]["target"])]
        assert [found for found in now if found not in references] == then
        for found in references:
            files = [base64.b64decode(content["attachment"]["data"]) for content in found["content"]]
            stay = found["context"]["encounter"][0]["reference"].removeprefix("Encounter/")
            note = stay if files[0] == whole[f"letters/{stay}.txt"] else f"{stay}-patient"
            assert files == [whole[f"letters/{note}.{suffix}"] for suffix in ("txt", "html")]
            told.append(note)
    assert sorted(told) == sorted(
        name.removeprefix("letters/").removesuffix(".html") for name in whole if name.endswith(".html")
    )


def test_documents_are_about_their_letters(whole: dict[str, bytes]) -> None:
    for note in note_ids(whole):
        document = json.loads(whole[f"letters/documents/{note}.json"])
        assert (document["resourceType"], document["type"]) == ("Bundle", "document")
        first = document["entry"][0]["resource"]
        assert first["resourceType"] == "Composition"
        assert first["encounter"] == {"reference": f"Encounter/{note}"}


def test_ndjson_has_the_same_letters(whole: dict[str, bytes], tmp_path: Path) -> None:
    task = Job(SPEC, tmp_path / "at-once", "ndjson", True, ASKED)
    write_population(task)
    write_population(Job(SPEC, tmp_path / "later", "ndjson", True))
    write_letters(tmp_path / "later", ASKED)
    made = contents(task.out)
    assert contents(tmp_path / "later") == made

    def letters(files: dict[str, bytes]) -> dict[str, bytes]:
        return {name: data for name, data in files.items() if name.startswith("letters/")}

    ours, theirs = letters(made), letters(whole)
    assert ours == theirs
    lines = gzip.decompress(made["ndjson/DocumentReference.ndjson.gz"]).splitlines()
    assert len(lines) == json.loads(whole["manifest.json"])["resources"]["DocumentReference"]


# --- stopped and resumed --------------------------------------------------------------------------


def test_a_population_with_letters_goes_on(whole: dict[str, bytes], tmp_path: Path) -> None:
    task = Job(SPEC, tmp_path / "out", letters=ASKED)
    with pytest.raises(InterruptedRunError, match=r"200 of 401 people .* --resume"):
        write_population(task, engine=Stopping(1, interrupt))
    assert not (task.out / "manifest.json").exists()
    with pytest.raises(InputError, match=r"holds no manifest\.json: its people are not finished"):
        write_letters(task.out, ASKED)
    with pytest.raises(InputError, match=r"has letters; resume with --letters"):
        write_population(Job(SPEC, task.out), resume=True)
    other = ASKED._replace(manner=ASKED.manner._replace(voice="terse"))
    with pytest.raises(InputError, match=r"letters' voice None, asked for now is 'terse'"):
        write_population(Job(SPEC, task.out, letters=other), resume=True)
    seen: list[int] = []
    write_population(task, resume=True, letters_done=seen.append)
    assert contents(task.out) == whole
    assert 0 < seen[0] < seen[-1] == len(note_ids(whole))


def test_letters_over_people_go_on(whole: dict[str, bytes], people: Path) -> None:
    manifest = (people / "manifest.json").read_bytes()
    with pytest.raises(InterruptedRunError, match=r"200 of 401 people .* --resume"):
        write_letters(people, ASKED, engine=Stopping(1, interrupt))
    assert (people / "manifest.json").read_bytes() == manifest
    with pytest.raises(InputError, match=r"were begun: use --resume to go on with them, or --overwrite"):
        write_letters(people, ASKED)
    with pytest.raises(InputError, match=r"letters' formats \['txt', 'html'\], asked for now is \['txt'\]"):
        write_letters(people, ASKED._replace(formats=("txt",)), resume=True)
    write_letters(people, ASKED, resume=True)
    assert contents(people) == whole


def test_what_is_finished_is_kept_unless_it_is_to_be_replaced(whole: dict[str, bytes], people: Path) -> None:
    write_letters(people, ASKED)
    with pytest.raises(InputError, match=r"are there already: use --overwrite"):
        write_letters(people, ASKED)
    again = write_letters(people, ASKED, resume=True)
    assert (again.made, contents(people)) == (0, whole)
    assert again.tally.letters is not None and again.tally.letters["letters"] == len(note_ids(whole))
    fewer = Letters(Manner(seed=7, to_patient=False), annotations=("csv",), documents=False)
    write_letters(people, fewer, overwrite=True)
    left = {name for name in contents(people) if name.startswith("letters/")}
    wanted = {f"letters/{note}.txt" for note in note_ids(whole)}
    assert left == wanted | {"letters/annotations.csv", "letters/summary.json"}


def test_population_over_letters(people: Path) -> None:
    write_letters(people, ASKED._replace(most=1))
    with pytest.raises(InputError, match=r"has letters; resume with --letters"):
        write_population(Job(SPEC, people), resume=True)
    small = Spec(n=2, age=(1, 12), years=1)
    write_population(Job(small, people), overwrite=True)
    assert not (people / "letters").exists()
    with pytest.raises(InputError, match=r"begun without letters; .* then `fhirsynth letters"):
        write_population(Job(small, people, letters=ASKED), resume=True)


def test_a_foreign_folder_of_letters_stays(people: Path) -> None:
    (people / "letters").mkdir()
    (people / "letters" / "mine.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"letters was not written by fhirsynth"):
            write_letters(people, ASKED, overwrite=overwrite)
    small = Spec(n=2, age=(1, 12), years=1)
    with pytest.raises(InputError, match=r"letters was not written by fhirsynth"):
        write_population(Job(small, people, letters=ASKED), overwrite=True)
    write_population(Job(small, people), overwrite=True)
    assert (people / "letters" / "mine.txt").read_text() == "mine"


def test_full_disk(whole: dict[str, bytes], people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(people)
    with monkeypatch.context() as patched:
        full_disk(patched, 150)
        with pytest.raises(OutputError, match=r"the disk is full; make room .* --resume"):
            write_letters(people, ASKED)
    for name, data in contents(people).items():
        if not name.startswith(".fhirsynth/"):
            assert data in (before.get(name), whole[name])
    assert not list((people / ".fhirsynth" / "tmp").iterdir())
    assert (people / "manifest.json").read_bytes() == before["manifest.json"]
    write_letters(people, ASKED, resume=True)
    assert contents(people) == whole


def test_folder_that_cannot_be_written_to(people: Path) -> None:
    (people / ".fhirsynth").write_text("in the way")
    before = contents(people)
    with pytest.raises(OutputError, match=r"cannot write to the folder .*; make it writable"):
        write_letters(people, ASKED)
    assert contents(people) == before


# --- as many as are asked for ---------------------------------------------------------------------


def test_the_first_stays_have_letters_whatever_makes_them(whole: dict[str, bytes], people: Path) -> None:
    asked = ASKED._replace(most=15, formats=("txt",), documents=False)
    with ThreadPoolExecutor(2) as threads:
        summary = write_letters(people, asked, engine=threads, workers=2)
    assert summary.tally.letters is not None and summary.tally.letters["letters"] == 15
    of_first = json.loads((people / "manifest.json").read_bytes())["files"]
    assert note_ids(contents(people)) == note_ids(whole)[:15]
    assert len([name for name in of_first if name.startswith("letters/brat/") and name.endswith(".ann")]) == 15
    write_population(Job(SPEC, people.parent / "at-once", letters=asked))
    assert contents(people.parent / "at-once") == contents(people)


def test_the_first_stays_have_letters_when_a_run_goes_on(whole: dict[str, bytes], people: Path) -> None:
    asked = ASKED._replace(most=15, formats=("txt",), documents=False)
    stops = Stopping(4, interrupt)  # the shards that are counted, and two of those that are written
    with pytest.raises(InterruptedRunError):
        write_letters(people, asked, engine=stops)
    write_letters(people, asked, resume=True)
    assert note_ids(contents(people)) == note_ids(whole)[:15]


def test_so_many_of_a_person(tmp_path: Path) -> None:
    spec = Spec(n=6, seed=4, age=(80, 90))
    letters = Letters(Manner(to_patient=False), documents=False)
    of: list[list[str]] = []
    for name, asked in (("all", letters), ("two", letters._replace(most_a_person=2))):
        write_population(Job(spec, tmp_path / name, letters=asked))
        lines = (tmp_path / name / "letters" / "annotations.jsonl").read_bytes().splitlines()
        of.append([json.loads(line)["person"] for line in lines])
    everyone, some = of
    assert max(map(everyone.count, everyone)) > 2 and len(some) > 5
    assert some == [person for place, person in enumerate(everyone) if everyone[:place].count(person) < 2]
    write_population(Job(spec, tmp_path / "five", letters=letters._replace(most_a_person=2, most=5)))
    lines = (tmp_path / "five" / "letters" / "annotations.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["person"] for line in lines] == some[:5]


def test_nobody_has_been_in_hospital(tmp_path: Path) -> None:
    spec = Spec(n=1, seed=3, age=(9, 9), years=1, deceased=False)
    summary = write_population(Job(spec, tmp_path, letters=ASKED))
    assert summary.tally.letters is not None and summary.tally.letters["stays"] == 0
    made = {name: data for name, data in contents(tmp_path).items() if name.startswith("letters/")}
    assert made["letters/annotations.jsonl"] == b""
    assert made["letters/annotations.csv"] == b"note_id,start,end,concept_id\n"
    assert "letters/brat/annotation.conf" in made and "letters/summary.json" in made


# --- the writer -----------------------------------------------------------------------------------


def test_the_writer_is_loaded_once_and_named_in_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Manner] = []

    class Model:
        """A model that writes as the phrasebook does."""

        def identity(self) -> dict[str, Any]:
            return {"writer": "lm", "model": "test", "revision": "1"}

        def letters(self, stays: Any, manner: Manner, counted: Any) -> Any:
            counted.update(sections=3, first_draft=2, fallback=1)
            return [write(stay, manner.seed) for stay in stays]

    def load(manner: Manner) -> Model:
        loaded.append(manner)
        return Model()

    monkeypatch.setattr(run_letters, "maker", load)
    run_letters.forget_writer()
    manner = Manner(writer="lm", model="test")
    small = SPEC.model_copy(update={"n": 201})
    try:
        write_population(Job(small, tmp_path / "a", letters=Letters(manner, documents=False)))
        told = json.loads((tmp_path / "a" / "manifest.json").read_bytes())["letters"]
        assert (told["writer"], told["model"], told["revision"]) == ("lm", "test", "1")
        assert (told["made"]["sections"], told["made"]["fallback"]) == (6, 2)
        assert [(found.model, found.device) for found in loaded] == [("test", "cpu")]
        write_population(Job(small, tmp_path / "b", letters=Letters(manner._replace(level="note"))))
        assert loaded[-1].writer == "phrasebook"
    finally:
        run_letters.forget_writer()


# --- wrong input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Letters(formats=()), "--letter-format: expected one of txt, html, pdf, or several .*; found nothing"),
        (Letters(formats=("txt", "doc")), "--letter-format: .*; found doc"),  # type: ignore[arg-type]
        (Letters(annotations=("conll",)), "--annotations: expected one of jsonl, csv, brat, spacy"),  # type: ignore[arg-type]
        (Letters(Manner(writer="poet")), "--writer: expected one of lm, phrasebook; found poet"),
        (Letters(Manner(voice="poet")), "--voice: expected one of terse, .*; found poet"),
        (Letters(Manner(level="book")), "--level: expected one of words, note, letter; found book"),  # type: ignore[arg-type]
        (Letters(Manner(device="tpu")), "--device: expected one of cpu, cuda; found tpu"),
        (Letters(Manner(model="some")), "--model: only --writer lm has a model"),
        (Letters(Manner(abbreviations=1.5)), "--abbreviations: expected a share from 0 to 1; found 1.5"),
        (Letters(Manner(typos=0.5)), "--typos: expected a share from 0 to 0.1; found 0.5"),
        (Letters(most=0), "--max-letters: expected a number from 1; found 0"),
        (Letters(most_a_person=0), "--letters-per-person: expected a number from 1; found 0"),
    ],
)
def test_what_cannot_be(asked: Letters, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        write_population(Job(SPEC, tmp_path / "out", letters=asked))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("asked", "extra"),
    [(Letters(formats=("pdf",)), "pdf"), (Letters(annotations=("spacy",)), "spacy")],
)
def test_without_a_package_the_extra_is_named(asked: Letters, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhirsynth.letters.folder.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"pip install 'fhirsynth\[{extra}\]', or leave it out"):
        check(asked)


def test_formats_come_once_and_in_order() -> None:
    found = check(Letters(formats=("html", "txt", "html"), annotations=("csv", "jsonl", "csv")))
    assert (found.formats, found.annotations) == (("txt", "html"), ("jsonl", "csv"))


def test_folders_that_hold_no_population(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"holds no manifest\.json: expected a folder that `fhirsynth population` made"
    ):
        made_with(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="is no manifest"):
        made_with(tmp_path)
    manifest = json.loads((plain / "manifest.json").read_bytes())
    for change in ({"knowledge": "other"}, {"versions": {"fhirsynth": "0.0.1"}}):
        (tmp_path / "manifest.json").write_text(json.dumps(manifest | change))
        with pytest.raises(InputError, match="another version of fhirsynth"):
            write_letters(tmp_path, ASKED)
    assert not (tmp_path / "letters").exists()


# --- the Python API -------------------------------------------------------------------------------


def test_letters_one_by_one(whole: dict[str, bytes]) -> None:
    made = list(Population(SPEC).letters(ASKED.manner))
    assert [found.stay.note_id for found in made] == note_ids(whole)
    for found in made:
        assert found.letter is not None and found.to_patient is not None
        assert as_text(found.letter)[0].encode() == whole[f"letters/{found.stay.note_id}.txt"]
        assert as_text(found.to_patient)[0].encode() == whole[f"letters/{found.stay.note_id}-patient.txt"]


def test_the_population_s_seed_is_the_letters_seed() -> None:
    population = Population(n=20, seed=4, age=(70, 90), years=1)
    by_default, again, others = (
        [found.letter for found in population.letters(manner)] for manner in (None, Manner(seed=4), Manner(seed=5))
    )
    assert by_default == again != others
    with pytest.raises(InputError, match="--voice"):
        next(population.letters(Manner(voice="poet")))


@pytest.mark.parametrize(
    ("asked", "seed", "voice"),
    [
        (True, 4, None),
        (Manner(voice="terse"), 1, "terse"),
        (Letters(Manner(voice="surgeon", seed=2), annotations=("csv",)), 2, "surgeon"),
    ],
)
def test_writing_with_letters(asked: Any, seed: int, voice: str | None, tmp_path: Path) -> None:
    Population(n=3, seed=4, age=(70, 90), years=1).write(tmp_path, letters=asked)
    told = json.loads((tmp_path / "letters" / "summary.json").read_bytes())
    assert (told["seed"], told["voice"]) == (seed, voice)
    assert (tmp_path / "letters" / "annotations.jsonl").exists() == ("jsonl" in told["annotations"])


def test_progress_is_told(tmp_path: Path) -> None:
    people: list[tuple[int, int]] = []
    letters: list[int] = []
    told: Callable[[int, int], None] = lambda done, of: people.append((done, of))  # noqa: E731
    spec = SPEC.model_copy(update={"n": 201})
    summary = write_population(Job(spec, tmp_path, letters=ASKED), progress=told, letters_done=letters.append)
    assert people == [(0, 201), (200, 201), (201, 201)]
    assert summary.tally.letters is not None
    assert letters[0] == 0 and letters[-1] == summary.tally.letters["letters"] > 0
