"""Files that are hard to read: each gets a clear finding with its place, no traceback, and the next file is read."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirsynth import reading
from fhirsynth.cli.app import main
from fhirsynth.errors import InputError
from fhirsynth.reading import parsing
from fhirsynth.validation import works
from fhirsynth.validation.engines import Asked
from fhirsynth.validation.files import check_paths
from fhirsynth.validation.findings import Finding
from fhirsynth.validation.reports import expression

Json = dict[str, Any]
SAMPLES = Path(__file__).parent.parent / "samples"
#: Bytes of the bundle whose check is measured, and of memory that it may take.
BIG, MEMORY = 64 << 20, 320 << 20

PATIENT = b'{"resourceType": "Patient", "id": "x", "gender": "male"}'
DEEP = b'{"resourceType": "Patient", "extension": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"
BUNDLE = b"""{"resourceType": "Bundle", "type": "collection", "entry": [
 {"fullUrl": "http://a.example/Patient/a", "resource": {"resourceType": "Patient", "id": "a"}},
 {"fullUrl": "http://a.example/Patient/b", "resource": {"resourceType": "Patient", "id": "b", "gender": "WHAT"}},
 {"fullUrl": "http://a.example/Patient/c", "resource": {"resourceType": "Patient", "id": "c", "gender": "lady"}}
]}"""
NAN = BUNDLE.replace(b'"WHAT"', b"NaN")


class Ended:
    """How a command ended, and the findings that it printed as JSON."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.err = code, err
        *lines, last = out.splitlines()
        self.findings = [json.loads(line) for line in lines]
        self.summary = json.loads(last)["summary"]

    def of(self, file: Path) -> list[Json]:
        """The findings of one file."""
        return [finding for finding in self.findings if finding["file"] == str(file)]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs `fhirsynth validate --format json` in this process."""

    def command(*arguments: object) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(["validate", "--format", "json", *map(str, arguments)])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        assert "Traceback" not in printed.err
        return Ended(ended.value.code, printed.out, printed.err)

    return command


def patients(*more: bytes) -> bytes:
    return b"\n".join([PATIENT.replace(b'"x"', b'"1"'), PATIENT.replace(b'"x"', b'"2"'), *more])


@pytest.mark.parametrize(
    ("name", "content", "line", "column", "found", "expected"),
    [
        ("a.json", b"", 1, 1, "the file is empty", "a FHIR resource"),
        ("a.json", b" \n\t", 1, 1, "the file is empty", "a FHIR resource"),
        ("a.json.gz", gzip.compress(b"", mtime=0), 1, 1, "the file is empty", "a FHIR resource"),
        ("a.json", BUNDLE[:200], 3, 45, "ends too early, after 'http://a", "cut off, get it again"),
        ("a.json", b'{"resourceType": "Patient", "id": "x\n', 1, 37, "ends too early", "cut off"),
        ("a.json", '{"id": "é'.encode()[:-1], 1, 9, "in the middle of a character", "cut off"),
        (
            "a.json.gz",
            gzip.compress(bytes(random.Random(1).choices(b"ab", k=9999)), mtime=0)[:-40],
            1,
            None,
            "gzip",
            "cut off",
        ),
        ("a.json.gz", PATIENT, 1, 1, "it does not begin as gzip does", "name it as what it is"),
        ("a.json", NAN, 3, 105, "NaN", ""),
        ("a.json", BUNDLE.replace(b'"c"}},', b'"c"},').replace(b'"lady"}}', b'"lady"}'), 5, 1, "']}'", ""),
        ("a.json", b'{"resourceType":\n "Patient",}', 2, 11, "trailing comma", ""),
        ("a.json", b"{'resourceType': 'Patient'}", 1, 2, "not valid JSON", ""),
        ("a.json", b'{"resourceType": "Pat\x1b[31mient"}', 1, 22, "control character", ""),
        ("a.json", PATIENT.decode().encode("utf-16"), 1, 1, "text in UTF-16", "iconv -f UTF-16"),
        ("a.json", PATIENT.decode().encode("utf-16-be"), 1, 1, "text in UTF-16BE", "iconv -f UTF-16BE -t UTF-8"),
        ("a.json", PATIENT.decode().encode("utf-32-le"), 1, 1, "text in UTF-32LE", "iconv -f UTF-32LE -t UTF-8"),
        ("a.ndjson", PATIENT.decode().encode("utf-16"), 1, 1, "text in UTF-16", "iconv -f UTF-16"),
        ("a.json", b'{"resourceType":\n"\xe9"}', 2, 2, "0xE9, 'é' in ISO-8859-1", "iconv -f ISO-8859-1 -t UTF-8"),
        ("a.json", b'{"resourceType": "\x93"}', 1, 19, "0x93, '“' in windows-1252", "iconv -f windows-1252 -t UTF-8"),
        ("a.json", '{"é": "'.encode() + b'\x93"}', 1, 8, "0x93 in the midst of UTF-8", "the text is damaged"),
        ("a.json", bytes(range(256)), 1, 1, "no text, by its bytes", "FHIR in JSON"),
        ("a.json", b"PK\x03\x04" + bytes(99), 1, 1, "a ZIP archive", "FHIR in JSON"),
        ("a.json", b"<?xml version='1.0'?><Patient/>", 1, 1, "XML", "FHIR in JSON"),
        ("a.json", DEEP, 1, 295, "10001 levels deep", "at most 254 levels"),
        ("a.json", PATIENT + b"\n" + PATIENT, 2, 1, "another resource after the first", "name the file *.ndjson"),
        ("a.json", b"12", 1, 1, "12", "a FHIR resource"),
        ("a.json", b'{"id": 1}', 1, 1, "an object with 'id' and without a resourceType", "a FHIR resource"),
        ("a.json", b'{"resourceType": 7}', 1, 1, "resourceType is 7", "a FHIR resource"),
    ],
)
def test_file_that_cannot_be_read(
    run: Callable[..., Ended],
    tmp_path: Path,
    name: str,
    content: bytes,
    line: int,
    column: int | None,
    found: str,
    expected: str,
) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "b.json").write_bytes(PATIENT)
    ended = run(tmp_path)
    (finding,) = ended.of(tmp_path / name)
    assert (finding["severity"], finding["rule"], finding["line"]) == ("error", "readable", line)
    assert column in (None, finding["column"])
    assert found in finding["found"]
    assert expected in finding["expected"]
    assert ended.code == 1
    assert ended.summary["files"] == 2
    assert ended.summary["resources"] == 1, "the other file is read"


def test_byte_order_mark_is_a_warning(run: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + PATIENT)
    ended = run(tmp_path / "a.json")
    assert [(f["severity"], f["rule"]) for f in ended.findings] == [("warning", "byte-order-mark")]
    assert (ended.code, ended.summary["resources"]) == (0, 1)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\n\n \n"])
def test_lines_of_which_one_is_broken(run: Callable[..., Ended], tmp_path: Path, ending: bytes) -> None:
    file = tmp_path / "a.ndjson"
    file.write_bytes(patients(b'{"resourceType": "Pat', PATIENT.replace(b"male", b"lady")) + ending)
    ended = run(file)
    assert [(f["line"], f["column"], f["rule"]) for f in ended.findings] == [(3, 22, "readable"), (4, None, "binding")]
    assert ended.summary["resources"] == 3


def test_lines_that_are_deep_or_in_another_encoding(run: Callable[..., Ended], tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_bytes(patients(DEEP, b'{"resourceType": "\xe9"}', PATIENT))
    ended = run(file)
    assert [(f["line"], f["rule"]) for f in ended.findings] == [(3, "readable"), (4, "readable")]
    assert ended.summary["resources"] == 3


def test_lines_of_a_gzip_that_was_cut_off(run: Callable[..., Ended], tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson.gz"
    lines = [PATIENT.replace(b'"x"', b'"%032x"' % random.Random(n).getrandbits(128)) for n in range(2000)]
    file.write_bytes(gzip.compress(b"\n".join(lines))[:20_000])
    ended = run(file)
    (finding,) = ended.findings
    assert finding["found"] == "the gzip file ends too early"
    assert 500 < finding["line"] == ended.summary["resources"] + 1


def test_one_resource_over_several_lines_in_ndjson(run: Callable[..., Ended], tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_bytes(orjson.dumps(orjson.loads(BUNDLE.replace(b"WHAT", b"male")), option=orjson.OPT_INDENT_2))
    ended = run(file)
    assert {f["rule"] for f in ended.findings} == {"ndjson", "binding"}
    assert ended.summary["resources"] == 3


def test_array_of_resources(run: Callable[..., Ended], tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"[" + patients().replace(b"\n", b",") + b', {"resourceType": "Patient", "gender": "lady"}, 3]')
    ended = run(file)
    assert [f["rule"] for f in ended.findings] == ["array", "binding"]
    assert ended.findings[0]["found"] == "an array of 4, 1 of them no resource"
    assert ended.summary["resources"] == 3


@pytest.mark.parametrize("large", [False, True])
def test_key_that_stands_twice(
    run: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr(reading, "LARGE", 100)
    twice = BUNDLE.replace(b'"WHAT"', b'"male", "name": [{"family": "A"}, {"family": "A", "family" : "\\":B"}]')
    (tmp_path / "a.json").write_bytes(twice.replace(b"lady", b"male"))
    (tmp_path / "b.ndjson").write_bytes(patients(PATIENT[:-1] + b',"id":"y"}'))
    ended = run(tmp_path)
    assert [(f["resource"], f["line"], f["expression"], f["found"]) for f in ended.findings] == [
        ("Patient/b", 3 if large else None, "Bundle.entry[1].resource.name[1]", "the key 'family' more than once"),
        ("Patient/y", 3, "Patient", "the key 'id' more than once"),
    ]
    assert {f["rule"] for f in ended.findings} == {"duplicate-key"}


def test_no_key_is_said_to_stand_twice_where_none_does(tmp_path: Path) -> None:
    odd = {"a": 'x":', "b\\": '":"', '":': "\\", "c": ["\u2028", '\\":\\":']}
    for text in (json.dumps(odd), json.dumps(odd, indent=1), json.dumps(odd, separators=(" , ", " : "))):
        assert parsing.parse(text.replace("\\u2028", "\u2028").encode(), tmp_path)[1] == []


_MISCHIEF = st.binary(max_size=20) | st.text('{}[],:"\\ \n1aé', max_size=8).map(str.encode)


@settings(max_examples=500, deadline=None)
@given(data=_MISCHIEF, cut=st.integers(0, len(BUNDLE)), gap=st.integers(0, 9))
def test_no_bytes_make_reading_fail(data: bytes, cut: int, gap: int) -> None:
    text = BUNDLE[:cut] + data + BUNDLE[cut + gap :]
    content, troubles = parsing.parse(text, Path("x"))
    assert all(trouble.line is None or trouble.line > 0 for trouble in troubles)
    bundle = reading.LargeBundle(Path("x"), lambda: io.BufferedReader(io.BytesIO(text), 16))
    entries = [part.parsed(Path("x"))[0] for part in bundle.parts()]
    if isinstance(content, dict) and not troubles:
        if isinstance(content.get("entry"), list) and bundle.is_bundle:
            assert entries == content["entry"]
            assert not bundle.troubles
        if bundle.is_bundle:
            assert bundle.frame | {"entry": entries} == content | {"entry": content.get("entry", [])}
    elif bundle.is_bundle:
        inside = [trouble for part in bundle.parts() for trouble in part.parsed(Path("x"))[1]]
        assert bundle.troubles or inside, "what is wrong with the whole is wrong with a part"


def test_names_in_folders_that_are_not_fhir_are_left_out(run: Callable[..., Ended], tmp_path: Path) -> None:
    for name in ("package.json", "manifest.json", ".index.json", ".hidden/a.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"name": "a package"}')
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "a.json").write_bytes(PATIENT)
    assert run(tmp_path).summary["files"] == 1


def test_file_of_another_name_is_read_by_what_is_in_it(run: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_bytes(patients())
    (tmp_path / "one.txt").write_bytes(BUNDLE.replace(b"WHAT", b"male").replace(b"lady", b"male"))
    (tmp_path / "packed.json").write_bytes(gzip.compress(PATIENT))
    for name, resources in (("lines.txt", 2), ("one.txt", 3), ("packed.json", 1)):
        ended = run(tmp_path / name)
        assert (ended.findings, ended.summary["resources"]) == ([], resources)


def test_file_that_may_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_bytes(PATIENT)
    (tmp_path / "b.json").write_bytes(PATIENT)

    def refused(file: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(reading, "_opened", refused)
    findings = list(check_paths([tmp_path]))
    assert [(Path(f.file).name, f.rule) for f in findings] == [("a.json", "readable"), ("b.json", "readable")]
    assert "Permission denied" in findings[0].found
    with pytest.raises(InputError, match="Permission denied"):
        list(reading.documents(tmp_path / "a.json"))


# --- large bundles --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "line", "column", "found", "read"),
    [
        (BUNDLE[:-60], 4, 56, "ends too early, after", 2),
        (BUNDLE[:-2], 5, 1, "ends too early, after", 3),
        (NAN, 3, 105, "NaN", 2),
        (NAN[:-1], 3, 105, "NaN", 2),
        (BUNDLE.replace(b'"WHAT"}', b'"male"]'), 3, 111, "not valid JSON: ']}", 1),
        (BUNDLE.replace(b"}},\n", b"}}\n"), 3, 2, "not valid JSON: '{", 1),
        (BUNDLE + b"}", 5, 3, "'}' after the end of the bundle", 3),
        (BUNDLE.replace(b'"WHAT"', DEEP), 3, None, "10003 levels deep", 2),
    ],
)
def test_large_bundle_is_read_as_far_as_can_be(
    run: Callable[..., Ended],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    line: int,
    column: int | None,
    found: str,
    read: int,
) -> None:
    monkeypatch.setattr(reading, "LARGE", 100)
    for name, data in (("a.json", content), ("b.json.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(data)
        ended = run(tmp_path / name)
        first = next(f for f in ended.findings if f["rule"] == "readable")
        assert first["line"] == line
        assert column in (None, first["column"])
        assert found in first["found"]
        assert ended.summary["resources"] == read


def test_large_file_that_is_no_bundle(
    run: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LARGE", 50)
    (tmp_path / "a.json").write_bytes(PATIENT.replace(b"male", b"lady"))
    (tmp_path / "b.json").write_bytes(b"[" + PATIENT + b"]")
    (tmp_path / "c.json").write_bytes(b'{"x": "' + b"x" * 50)
    (tmp_path / "d.json").write_bytes(b"<Patient>" + b" " * 50)
    ended = run(tmp_path)
    assert [f["rule"] for f in ended.findings] == ["binding", "array", "readable", "readable"]
    monkeypatch.setattr(reading, "LARGEST", 52)
    monkeypatch.setattr(reading, "size_of", "{} bytes".format)
    (tmp_path / "e.ndjson").write_bytes(PATIENT + b"\n" + b'{"resourceType": "Patient"}\n')
    ended = run(tmp_path)
    assert [f["found"] for f in ended.of(tmp_path / "a.json")] == ["one resource of more than 52 bytes"]
    assert [(f["line"], f["rule"]) for f in ended.of(tmp_path / "e.ndjson")] == [(1, "readable"), (2, "ids-are-unique")]


def _damaged(source: Path) -> Json:
    """A person with something of each kind wrong: elements, references, addresses, ids, sense."""
    bundle: Json = json.loads(source.read_bytes())
    entries = bundle["entry"]
    of: dict[str, list[Json]] = {}
    for entry in entries:
        of.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    for observation in of["Observation"][::20]:
        observation["status"] = "finished"
        observation["code"]["coding"][0]["extra"] = 'é\\"{['
    of["Observation"][3]["subject"]["reference"] = "Patient/nobody"
    of["Condition"][0]["onsetDateTime"] = "1066-10-14"
    entries[7]["fullUrl"] += "x"
    entries[11]["request"]["url"] = "Patient/other"
    entries[-1]["fullUrl"] = entries[2]["fullUrl"]
    entries.append(entries[5])
    del entries[9]["fullUrl"]
    entries.append(entries[9])
    bundle["type"] = "transactions"
    return bundle


def _all(findings: Iterator[Finding]) -> set[tuple[str, ...]]:
    return {(f.severity, f.rule, expression(f), f.resource, f.found, f.expected) for f in findings}


def test_large_bundle_is_judged_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "person.json"
    file.write_text(json.dumps(_damaged(sorted((SAMPLES / "people").iterdir())[2]), indent=1))
    (tmp_path / "organisations.json").write_bytes((SAMPLES / "organisations.json").read_bytes())
    whole = _all(check_paths([file], Asked(minimum="information")))
    rules = {rule for _, rule, *_ in whole}
    assert rules >= {"binding", "unknown-element", "references-resolve", "bundle-addresses-agree", "ids-are-unique"}
    assert "nothing-before-birth" in rules
    # What is said of all entries at once is only said of a bundle that is read as a whole.
    assert "bdl-7" in rules
    whole = {finding for finding in whole if finding[1] != "bdl-7"}
    monkeypatch.setattr(reading, "LARGE", 1000)
    monkeypatch.setattr(works, "_TOGETHER", 7)
    assert _all(check_paths([file], Asked(minimum="information"))) == whole


#: A check that tells the most memory it took, in kilobytes. What getrusage says counts the process that started it.
_MEASURED = """
import atexit, re, sys
from fhirsynth.cli.app import main

def tell():
    print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1], file=sys.stderr)

atexit.register(tell)
main(["validate", "--format", "json", *sys.argv[1:]])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's memory so")
def test_memory_does_not_grow_with_a_bundle(tmp_path: Path) -> None:
    file = tmp_path / "big.json"
    people = [orjson.loads(path.read_bytes()) for path in sorted((SAMPLES / "people").iterdir())]
    resources = _repeated(people, file)
    arguments = [sys.executable, "-c", _MEASURED, str(file), str(SAMPLES / "organisations.json")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    summary = json.loads(done.stdout.splitlines()[-1])["summary"]
    assert summary["findings"] == {"error": 0, "warning": 0, "information": 0}
    assert summary["resources"] > resources
    kilobytes = int(done.stderr.split()[-1])
    assert kilobytes << 10 < MEMORY, f"{kilobytes >> 10} MB for {BIG >> 20} MB"


def _repeated(people: list[Json], file: Path) -> int:
    """Write people again and again, each time with other ids, into one bundle of `BIG` bytes."""
    ids = re.compile(rb"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-)([0-9a-f]{12})")
    texts = [b",".join(orjson.dumps({k: e[k] for k in ("fullUrl", "resource")}) for e in p["entry"]) for p in people]
    written = count = turn = 0
    with file.open("wb") as out:
        out.write(b'{"resourceType":"Bundle","type":"collection","entry":[')
        while written < BIG:
            for person, text in zip(people, texts, strict=True):
                if turn:
                    # Of the same length, so that places and staff, which are not in the bundle, keep their ids.
                    own = {e["resource"]["id"].encode() for e in person["entry"]}
                    number = turn

                    def other(match: re.Match[bytes], own: set[bytes] = own, number: int = number) -> bytes:
                        if match[0] not in own:
                            return match[0]
                        return match[1] + b"%012x" % ((int(match[2], 16) + number) % (1 << 48))

                    text = ids.sub(other, text)
                out.write(b"," * (written > 0) + text)
                written += len(text)
                count += len(person["entry"])
            turn += 1
        out.write(b"]}")
    return count
