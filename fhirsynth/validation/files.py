"""Files and folders checked: read, put together person by person, and every rule applied."""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import orjson

from fhirsynth import knowledge as kb
from fhirsynth import reading
from fhirsynth.validation import structure
from fhirsynth.validation.findings import Finding, Json
from fhirsynth.validation.rules_of_sense import Known, check_life

#: Bytes of NDJSON that are put together in memory at once.
_HEAP = 256 << 20
_MOST_HEAPS = 200  # files open at once


def check_path(path: Path, seen: Callable[[int], None] | None = None) -> Iterator[Finding]:
    """Everything that is wrong in a file or folder. `seen` is told how many resources were looked at.

    Raises InputError where there is nothing to read, KnowledgeError where the knowledge files are damaged.
    """
    files = reading.files(path)
    known = Known(kb.load())
    places = _places(path, files)
    lines = [file for file in files if reading.is_ndjson(file)]
    for file in files:
        if reading.is_ndjson(file):
            continue
        for document in reading.documents(file):
            if isinstance(document, reading.Trouble):
                yield _trouble(document)
                continue
            yield from _check_content(document.content, known, places, str(file), seen)
    if lines:
        yield from _check_ndjson(lines, known, places, seen)


def check_bundle(bundle: Json, known: Known, places: Collection[str] | None = None) -> list[Finding]:
    """Everything that is wrong in one bundle; `places` as in `structure.references_resolve`."""
    return list(_check_content(bundle, known, places, "", None))


def _check_content(
    content: Json, known: Known, places: Collection[str] | None, file: str, seen: Callable[[int], None] | None
) -> Iterator[Finding]:
    resources = reading.resources(content)
    if seen:
        seen(len(resources))
    alone = content["resourceType"] != "Bundle"
    if not alone:
        for finding in (*structure.bundle_addresses_agree(content), *structure.profiles_hold(content)):
            yield finding._replace(file=file)
    yield from _check_group(resources, known, places, file, alone=alone)


def _check_group(
    resources: list[Json], known: Known, places: Collection[str] | None, file: str, *, alone: bool = False
) -> Iterator[Finding]:
    """Check resources that belong together; a resource that stands `alone` has nothing to refer to."""
    person = next((str(item.get("id")) for item in resources if item["resourceType"] == "Patient"), "")
    found = structure.check_resources(resources, places)
    if alone:
        found = [finding for finding in found if finding.rule != "references-resolve"]
    else:
        found.extend(check_life(resources, known))
    for finding in found:
        yield finding._replace(file=file, person=finding.person or person)


def _trouble(trouble: reading.Trouble) -> Finding:
    where = f"{trouble.file}, line {trouble.line}, column {trouble.column}"
    return Finding("readable", trouble.message, file=where)


def _places(path: Path, files: list[Path]) -> set[str] | None:
    """Names of all places and staff in the organisations file of the run; None where there is none."""
    folders = [path, *path.absolute().parents[:3]] if path.is_file() else [path, *path.absolute().parents[:2]]
    candidates = [file for file in files if file.name == reading.PLACES]
    candidates += [folder / reading.PLACES for folder in folders if folder.is_dir()]
    for file in candidates:
        if file.is_file():
            found: set[str] = set()
            for document in reading.documents(file):
                if isinstance(document, reading.Document):
                    found.update(f"{r['resourceType']}/{r.get('id')}" for r in reading.resources(document.content))
            return found
    return None


def _check_ndjson(
    files: list[Path], known: Known, places: set[str] | None, seen: Callable[[int], None] | None
) -> Iterator[Finding]:
    """Put the lines of NDJSON files together person by person, by way of temporary files, and check each person."""
    size = sum(file.stat().st_size * (8 if file.suffix == ".gz" else 1) for file in files)
    heaps = min(_MOST_HEAPS, size // _HEAP + 1)
    folder = Path(tempfile.mkdtemp(prefix="fhirsynth-validate-"))
    others: list[Json] = []
    try:
        with ExitStack() as stack:
            out = [stack.enter_context((folder / str(number)).open("wb")) for number in range(heaps)]
            for document in chain.from_iterable(map(reading.documents, files)):
                if isinstance(document, reading.Trouble):
                    yield _trouble(document)
                    continue
                if seen:
                    seen(1)
                person = reading.person_of(document.content)
                if person is None:
                    others.append(document.content)
                else:
                    heap = out[zlib.crc32(person.encode()) % heaps]
                    heap.write(orjson.dumps([person, document.content], option=orjson.OPT_APPEND_NEWLINE))
        if others:
            yield from _check_group(others, known, places, str(files[0].parent))
            places = (places or set()) | {f"{r['resourceType']}/{r.get('id')}" for r in others}
        for number in range(heaps):
            people: dict[str, list[Json]] = defaultdict(list)
            with (folder / str(number)).open("rb") as heap_lines:
                for line in heap_lines:
                    person, resource = orjson.loads(line)
                    people[person].append(resource)
            for resources in people.values():
                yield from _check_group(resources, known, places, str(files[0].parent))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
