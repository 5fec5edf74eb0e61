"""Works judged: by an engine, and by the rules over what belongs together and over people's lives."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from fhirsynth import reading
from fhirsynth.errors import FhirsynthError
from fhirsynth.validation.beyond import check_group
from fhirsynth.validation.engines import Engine
from fhirsynth.validation.findings import Finding, Json, as_list, name_of
from fhirsynth.validation.gathering import Kept, index, people_of
from fhirsynth.validation.rules_of_sense import Known, check_life
from fhirsynth.validation.works import (
    Entries,
    Frame,
    Lines,
    OneFile,
    Others,
    People,
    Told,
    Whole,
    Work,
    Works,
    inside,
    place_of,
    told,
)

#: Elements of a bundle's entry itself, told of the entry's resource or of the bundle.
_OF_BUNDLE = re.compile(r"entry\[(\d+)\]\.(?:fullUrl|link|search|request|response)\b")
#: Rules of findings that are about all entries that were judged in one go.
_OF_ALL = ("not-judged", "nesting")
_ENTRY = re.compile(r"entry\[(\d+)\]")


class Piece(NamedTuple):
    """One document to judge, cut out of a work, and where it comes from.

    `entries`, in a piece of a large bundle: the numbers of its entries, from the first to before the last; entries
    that come after these in `content` only stand for what is referred to. `unread` are those in `content` in whose
    place there is nothing, since they could not be read.
    """

    work: Work
    content: Json
    file: str
    entries: range | None = None
    unread: frozenset[int] = frozenset()

    @property
    def resources(self) -> list[Json]:
        """The resources to judge."""
        found = reading.resources(self.content)
        if isinstance(self.work, Frame):
            return []
        return found if self.entries is None else found[: self.many]

    @property
    def many(self) -> int:
        """How many entries are to be judged."""
        return 0 if self.entries is None else len(self.entries)


class Result(NamedTuple):
    """What was found, and how many resources were judged."""

    findings: list[Finding]
    resources: int = 0


class Judge:
    """Judges works. `known` is there where people's lives are to be judged too; `places` as in `check_group`."""

    def __init__(self, engine: Engine, known: Known | None, places: Collection[str] | None) -> None:
        self._engine, self._known, self._places = engine, known, places

    def judge(self, work: Work) -> Iterator[Result]:
        """Everything that is wrong in a work."""
        if isinstance(work, OneFile):
            with tempfile.TemporaryDirectory(prefix="fhirsynth-validate-") as folder:
                for inner in Works(Path(folder), gather=self._known is not None).of(work.file):
                    yield from self.judge(inner)
        else:
            for piece in pieces(work):
                yield self.result(piece, None)
            yield from self.gathered(work)

    def result(self, piece: Piece | Result, found: list[Finding] | None) -> Result:
        """What is wrong with one piece; `found` is what the engine has found, where it was asked before."""
        if isinstance(piece, Result):
            return piece
        if found is None:
            found = _safely(lambda: self._engine.check(piece.content), piece.content)
        if self._known is not None:
            found = [*found, *_safely(lambda: self._together(piece), piece.content)]
        return Result(settled(found, piece), len(piece.resources))

    def _together(self, piece: Piece) -> Iterator[Finding]:
        """What is wrong between the resources of one document, and in the life of the person it is about."""
        work, content = piece.work, piece.content
        if self._known is None or isinstance(work, Frame | Lines):
            return
        resources = reading.resources(content)
        if content["resourceType"] != "Bundle":
            yield from check_group(resources, self._places, alone=True)
            return
        yield from check_group(resources, self._places, bundle=content)
        if isinstance(work, Entries):
            return  # lives are judged with the heaps
        patients = [item for item in resources if item["resourceType"] == "Patient"]
        for life in [resources] if len(patients) == 1 else _by_person(resources):
            found = check_life(life, self._known, whole=content.get("type") != "document")
            if len(patients) == 1:
                person = str(patients[0].get("id") or "")
                found = [finding._replace(person=finding.person or person) for finding in found]
            yield from found

    def gathered(self, work: Work) -> Iterator[Result]:
        """What is wrong in the resources that were put together, out of lines or of a large bundle."""
        if isinstance(work, Others):
            with work.heap.open("rb") as lines:
                lines.seek(work.begin)
                told_of = map(orjson.loads, lines.read(work.size).splitlines())
                kept = [Kept(file, line, resource) for file, line, _, resource in told_of]
            yield self._group(kept, work.index)
        elif isinstance(work, People):
            for person in people_of(work.heap):
                resources = [kept.resource for kept in person]
                found = self._group(person, work.index).findings if work.grouped else []
                if self._known is not None:
                    life = _safely(partial(check_life, resources, self._known), resources[0])
                    found += _at(life, person, lines=work.grouped)
                yield Result(found)

    def _group(self, kept: list[Kept], names: Path | None) -> Result:
        """What is wrong between resources of NDJSON that belong together, where others are in an index."""
        resources = [item.resource for item in kept]
        own = {name_of(resource) for resource in resources}
        others: list[Json] = []
        if names is not None:
            others = [entry["resource"] for entry in index(names).stand_ins(orjson.dumps(resources), own)]
        found = _safely(lambda: check_group([*resources, *others], self._places), resources[0])
        return Result(_at([finding for finding in found if finding.resource in own], kept, lines=True))


def _safely(check: Callable[[], Iterable[Finding]], content: Json) -> list[Finding]:
    """What a check finds; where it falls over a resource, that is what is found, and the next one is looked at."""
    try:
        return list(check())
    except FhirsynthError:
        raise
    except RecursionError:
        return [Finding("not-judged", "elements nested too deeply", resource=name_of(content), expected="fewer levels")]
    except Exception as error:
        said = f"the check itself failed, {type(error).__name__}: {error}"
        return [Finding("not-judged", said, resource=name_of(content), expected="a report of this as a fault")]


def _by_person(resources: list[Json]) -> list[list[Json]]:
    people: dict[str, list[Json]] = {}
    for resource in resources:
        person = reading.person_of(resource)
        if person is not None:
            people.setdefault(person, []).append(resource)
    return list(people.values())


# --- pieces ---------------------------------------------------------------------------------------


def pieces(work: Work) -> Iterator[Piece | Result]:
    """The documents in a work that an engine judges, and what was found in reading them."""
    if isinstance(work, Told):
        yield Result(work.findings)
    elif isinstance(work, Whole):
        yield Piece(work, work.content, place_of(work.file, work.line))
    elif isinstance(work, Frame):
        yield Piece(work, work.content, place_of(work.file, None))
    elif isinstance(work, Lines):
        for line in work.lines:
            yield Piece(work, orjson.loads(line.data), place_of(line.file, line.number))
    elif isinstance(work, Entries):
        yield from _entries(work)


def _entries(work: Entries) -> Iterator[Piece | Result]:
    found: list[Any] = []
    own: set[str] = set()
    troubles: list[Finding] = []
    unread = set()
    for place, part in enumerate(work.parts):
        entry, wrong = part.parsed(work.file)
        troubles += [told(trouble, {"resourceType": "Bundle", "entry": {part.number: entry}}) for trouble in wrong]
        if any(trouble.rule == "readable" for trouble in wrong):
            unread.add(place)
            entry = {}
        found.append(entry)
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict):
            own.add(name_of(resource))
            if isinstance(entry.get("fullUrl"), str):
                own.add(entry["fullUrl"])
    others = index(work.index).stand_ins(b"\n".join(part.data or b"" for part in work.parts), own)
    frame = {key: value for key, value in work.frame.items() if key in ("resourceType", "type", "meta", "id")}
    if frame.get("type") in ("document", "message"):
        frame["type"] = "collection"  # what is said of the first entry is said with the frame
    numbers = range(work.parts[0].number, work.parts[-1].number + 1)
    if troubles:
        yield Result(troubles)
    yield Piece(work, {**frame, "entry": [*found, *others]}, place_of(work.file, None), numbers, frozenset(unread))


# --- findings -------------------------------------------------------------------------------------


def settled(findings: Iterable[Finding], piece: Piece) -> list[Finding]:
    """The findings of a piece with file, resource and entry, as they are in the file that it was cut out of.

    Of the frame of a large bundle, those count that are about the bundle; of some entries, those about these.
    """
    whole = not isinstance(piece.work, Entries | Frame)
    found = []
    where: _Where | None = None
    for finding in findings:
        finding = finding._replace(file=finding.file or piece.file)
        if piece.content["resourceType"] != "Bundle":
            found.append(inside(finding, piece.content))
            continue
        finding, about = _in_bundle(finding, piece.content)
        if finding.entry is None and about is None and finding.resource != name_of(piece.content):
            where = where or _Where(_entry_names(piece.content))
            finding = finding._replace(entry=where.of(finding))
        if whole:
            found.append(finding)
        elif isinstance(piece.work, Frame):
            if finding.entry is None and about is None and not finding.path.startswith("entry"):
                found.append(finding)
        elif piece.entries is not None:
            number = finding.entry if about is None else about
            if number is None:
                if finding.person or finding.rule in _OF_ALL:
                    found.append(finding)
            elif number < piece.many and number not in piece.unread:
                place = piece.entries[number]
                if about is None:
                    found.append(finding._replace(entry=place))
                else:
                    found.append(finding._replace(path=_ENTRY.sub(f"entry[{place}]", finding.path, count=1)))
    return found


def _in_bundle(finding: Finding, content: Json) -> tuple[Finding, int | None]:
    """A finding with its resource and entry; and the entry it is about, where it is one of the bundle's own."""
    own = name_of(content)
    if finding.entry is None and finding.resource in ("", own):
        finding = inside(finding, content)
        match = _ENTRY.match(finding.path) if finding.entry is None else None
    else:
        match = _OF_BUNDLE.match(finding.path) if finding.entry is None else None
    if match is None:
        return finding, None
    return finding._replace(resource=own), int(match[1])


class _Where:
    """Where the resources of a name are; those that have the same name are told apart by the order of findings."""

    def __init__(self, names: Iterable[str]) -> None:
        self._places: dict[str, list[int]] = {}
        self._told: Counter[str] = Counter()
        for place, name in enumerate(names):
            self._places.setdefault(name, []).append(place)

    def of(self, finding: Finding) -> int | None:
        """The place of the resource that a finding is about."""
        places = self._places.get(finding.resource)
        if places is None or finding.rule != "ids-are-unique":
            return places[0] if places else None
        # A resource without an id is told each time, one whose id was there before from the second on.
        self._told[finding.resource] += 1
        number = self._told[finding.resource] - finding.resource.endswith("/?")
        return places[min(number, len(places) - 1)]


def _entry_names(content: Json) -> Iterator[str]:
    for entry in as_list(content.get("entry")):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        yield name_of(resource) if isinstance(resource, dict) else ""


def _at(findings: Iterable[Finding], kept: list[Kept], *, lines: bool) -> list[Finding]:
    """Findings over resources that were put together, each with where its resource was read."""
    where = _Where(name_of(item.resource) for item in kept)
    person = reading.person_of(kept[0].resource) or ""
    found = []
    for finding in findings:
        place = where.of(finding)
        item = kept[place or 0]
        found.append(
            finding._replace(
                person=finding.person or person,
                file=place_of(Path(item.file), item.place if lines else None),
                entry=None if lines or place is None else item.place,
            )
        )
    return found
