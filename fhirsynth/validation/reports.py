"""Findings written down: lines for people, JSON Lines for programs, a FHIR OperationOutcome.

A report is given one finding after another and writes it at once, so that memory does not grow with their number.

JSON Lines, one object a finding, every key always there (null or "" where it does not apply):
    file        where it was read; line, column (from 1) where the text is one of lines or cannot be read
    resource    `Type/id`; person: id of the Patient whom it is about
    entry       number (from 0) of the entry, for a resource in a bundle
    location    FHIRPath in the resource, such as `Observation.component[1].code`
    expression  FHIRPath in what the file or line holds, such as `Bundle.entry[3].resource.component[1].code`
    severity    error, warning, information; rule; found; expected
The last line is an object whose only key is `summary`: engine, release, files, resources, seconds, findings by
severity, and rules by severity.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from fhirsynth.reading.parsing import printable
from fhirsynth.validation.findings import SEVERITIES, Finding

#: How many findings of one rule at one element the text shows.
REPEATS = 20
_LONGEST = 400  # characters of what was found that a line of text shows
_PLACE = re.compile(r"(?:, line (\d+))(?:, column (\d+))?$")
_INDEX = re.compile(r"\[\d+\]")
_INVARIANT = re.compile(r"[a-z]{2,10}-[a-z0-9]{1,4}")

#: Codes of FHIR's issue-type by rule; invariants are told by the form of their key. What another engine names otherwise
#: is invalid, what this one does is a rule of its own.
_CODES = {
    "readable": "structure",
    "array": "structure",
    "byte-order-mark": "structure",
    "ndjson": "structure",
    "duplicate-key": "structure",
    "json-type": "structure",
    "unknown-element": "structure",
    "unknown-type": "structure",
    "max": "structure",
    "slice-max": "structure",
    "slicing": "structure",
    "min": "required",
    "slice-min": "required",
    "primitive": "value",
    "fixed": "value",
    "pattern": "value",
    "max-length": "too-long",
    "html": "value",
    "binding": "code-invalid",
    "code-unknown": "code-invalid",
    "code-known": "code-invalid",
    "sctid": "code-invalid",
    "ucum": "code-invalid",
    "retired": "code-invalid",
    "extension-unknown": "extension",
    "extension-context": "extension",
    "references-resolve": "not-found",
    "profile-unknown": "not-found",
    "ids-are-unique": "duplicate",
    "missing": "required",
    "not-checked": "not-supported",
    "not-judged": "exception",
    "nesting": "too-costly",
}


class Summary(NamedTuple):
    """What was checked, and how long it took; `ended` says why it ended early, if it did."""

    engine: str
    release: str
    files: int
    resources: int
    seconds: float
    ended: str = ""


class Place(NamedTuple):
    """The file of a finding, with line and column where there are any."""

    file: str
    line: int | None
    column: int | None


class Report(Protocol):
    """Takes findings one by one, and at the end the summary."""

    def add(self, finding: Finding) -> None:
        """Write a finding."""
        ...

    def end(self, summary: Summary) -> None:
        """Write what comes after the last finding."""
        ...


class Tally:
    """How many findings there are, by severity and rule."""

    def __init__(self) -> None:
        self.by_rule: Counter[tuple[str, str]] = Counter()

    def add(self, finding: Finding) -> None:
        """Count a finding."""
        self.by_rule[finding.severity, finding.rule] += 1

    def of(self, severity: str) -> int:
        """Findings of one severity."""
        return sum(count for (found, _), count in self.by_rule.items() if found == severity)

    def rules(self, severity: str) -> dict[str, int]:
        """Findings of one severity by rule, the most frequent first."""
        return {rule: count for (found, rule), count in self.by_rule.most_common() if found == severity}

    def lines(self, summary: Summary) -> list[str]:
        """The summary in words."""
        counts = ", ".join(_many(self.of(severity), _PLURALS[severity]) for severity in reversed(SEVERITIES))
        resources = _many(summary.resources, ("resource", "resources"))
        files = _many(summary.files, ("file", "files"))
        said = f"{resources} in {files} checked in {summary.seconds:,.1f} s: {counts}"
        width = len(f"{max(self.by_rule.values(), default=0):,}")
        return [
            said,
            *(
                f"  {count:>{width},}  {severity:<11}  {rule}"
                for severity in reversed(SEVERITIES)
                for rule, count in self.rules(severity).items()
            ),
        ]


_PLURALS = {
    "error": ("error", "errors"),
    "warning": ("warning", "warnings"),
    "information": ("remark", "remarks"),
}


def _many(count: int, words: tuple[str, str]) -> str:
    return f"{count:,} {words[count != 1]}"


def place_of(finding: Finding) -> Place:
    """Where a finding's resource was read; line and column stand at the end of what it calls its file."""
    match = _PLACE.search(finding.file)
    if match is None:
        return Place(finding.file, None, None)
    return Place(finding.file[: match.start()], int(match[1]), int(match[2]) if match[2] else None)


def expression(finding: Finding) -> str:
    """The FHIRPath of a finding in what the file, or the line, holds; "" where there is none."""
    if finding.entry is None:
        return finding.location
    return ".".join(part for part in (f"Bundle.entry[{finding.entry}].resource", finding.path) if part)


# --- for people -----------------------------------------------------------------------------------


class Text:
    """Lines for people: under each file its resources, under each resource a line a finding.

    Of findings of one rule at one element, whatever its index, only the first `repeats` are shown, and the others
    counted at the end; with 0 all are shown. `style` colours a severity.
    """

    def __init__(
        self, write: Callable[[str], object], repeats: int = REPEATS, style: Callable[[str, str], str] | None = None
    ) -> None:
        self._write, self._repeats = write, repeats
        self._style = style or (lambda text, severity: text)
        self._seen: Counter[tuple[str, str, str]] = Counter()
        self._file = self._heading = ""

    def add(self, finding: Finding) -> None:
        """Write a finding, unless there were many like it."""
        place = place_of(finding)
        # What has no element is about a file, and the next file is another thing.
        where = _INDEX.sub("", finding.location) or printable(place.file)
        kind = finding.severity, where, finding.rule
        self._seen[kind] += 1
        if self._repeats and self._seen[kind] > self._repeats:
            return
        if place.file != self._file:
            self._write(printable(place.file))
            self._file, self._heading = place.file, ""
        heading = _heading(finding, place)
        if heading != self._heading:
            if heading:
                self._write(f"  {heading}")
            self._heading = heading
        self._write(f"    {self._style(f'{finding.severity:<11}', finding.severity)}  {_said(finding)}")

    def end(self, summary: Summary) -> None:
        """Say how many were not shown."""
        hidden = {kind: count - self._repeats for kind, count in self._seen.items() if count > self._repeats > 0}
        if not hidden:
            return
        self._write("Not shown, since there are many like them (--all shows them):")
        width = len(f"{max(hidden.values()):,}")
        for (severity, where, rule), count in sorted(hidden.items(), key=lambda item: (-item[1], item[0])):
            self._write(f"    {self._style(f'{severity:<11}', severity)}  {count:>{width},} more: {where} [{rule}]")


def _heading(finding: Finding, place: Place) -> str:
    """The resource of a finding and where it is in its file."""
    where = f"line {place.line}" if place.line is not None else ""
    if place.column is not None:
        where += f", column {place.column}"
    if finding.entry is not None:
        where = ", ".join(part for part in (where, f"entry {finding.entry}") if part)
    name = finding.resource.removesuffix("/?")
    about = f", of person {finding.person}" if finding.person and finding.person not in finding.resource else ""
    if not name:
        return printable(where + about)
    return printable(f"{name}{about} ({where})" if where else f"{name}{about}")


def _said(finding: Finding) -> str:
    said = finding.found if len(finding.found) <= _LONGEST else finding.found[:_LONGEST] + "…"
    if finding.expected:
        said += f"; expected {finding.expected}"
    return printable(": ".join(part for part in (finding.location, said) if part) + f" [{finding.rule}]")


# --- for programs ---------------------------------------------------------------------------------


class JsonLines:
    """JSON Lines: an object a finding, then the summary. The keys are told at the head of this module."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._tally = Tally()

    def add(self, finding: Finding) -> None:
        """Write a finding."""
        self._tally.add(finding)
        self._write(json.dumps(as_json(finding)))

    def end(self, summary: Summary) -> None:
        """Write the summary."""
        said = {
            "engine": summary.engine,
            "release": summary.release,
            "files": summary.files,
            "resources": summary.resources,
            "seconds": round(summary.seconds, 2),
            "findings": {severity: self._tally.of(severity) for severity in reversed(SEVERITIES)},
            "rules": {severity: self._tally.rules(severity) for severity in reversed(SEVERITIES)},
        }
        if summary.ended:
            said["ended"] = summary.ended
        self._write(json.dumps({"summary": said}))


def as_json(finding: Finding) -> dict[str, Any]:
    """A finding as an object of JSON."""
    place = place_of(finding)
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "resource": finding.resource,
        "person": finding.person,
        "entry": finding.entry,
        "location": finding.location,
        "expression": expression(finding),
        "severity": finding.severity,
        "rule": finding.rule,
        "found": finding.found,
        "expected": finding.expected,
    }


class OperationOutcome:
    """One OperationOutcome of FHIR R4 with an issue a finding; without findings, one that says so."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._some = False

    def add(self, finding: Finding) -> None:
        """Write a finding."""
        self._issue(issue(finding))

    def end(self, summary: Summary) -> None:
        """Close the resource."""
        if summary.ended:
            told = f"{summary.ended}: there may be more"
            self._issue({"severity": "warning", "code": "incomplete", "details": {"text": told}})
        elif not self._some:
            told = f"nothing was found in {_many(summary.resources, ('resource', 'resources'))}"
            self._issue({"severity": "information", "code": "informational", "details": {"text": told}})
        self._write("]}")

    def _issue(self, found: dict[str, Any]) -> None:
        head = "," if self._some else '{"resourceType":"OperationOutcome","issue":[\n'
        self._some = True
        self._write(head + json.dumps(found))


def issue(finding: Finding) -> dict[str, Any]:
    """A finding as an issue of an OperationOutcome."""
    said = f"{finding.found}; expected {finding.expected}" if finding.expected else finding.found
    about = f"person {finding.person}" if finding.person and finding.person not in finding.resource else ""
    where = ": ".join(part for part in (finding.file, finding.resource, about, f"rule {finding.rule}") if part)
    found: dict[str, Any] = {
        "severity": finding.severity,
        "code": code(finding.rule),
        "details": {"text": printable(said).strip() or finding.rule},
        "diagnostics": printable(where).strip(),
    }
    if path := expression(finding):
        found["expression"] = [path]
    return found


def code(rule: str) -> str:
    """The code of FHIR's issue-type for a rule."""
    engine, _, name = rule.rpartition(":")
    if name in _CODES:
        return _CODES[name]
    if _INVARIANT.fullmatch(name):
        return "invariant"
    return "invalid" if engine else "business-rule"
