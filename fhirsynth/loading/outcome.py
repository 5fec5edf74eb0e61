"""What came of a unit that was sent: what the server took, what it refused and in which words, what was left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fhirsynth.loading.server import SERIOUS, Answer
from fhirsynth.loading.target import Target
from fhirsynth.reading.parsing import printable

_MOST_ISSUES = 20
_LONGEST = 1000  # characters of one text of a server that are kept: some answer with a whole stack trace


class Issue(NamedTuple):
    """One issue of an OperationOutcome: severity and code as FHIR has them, what is wrong, and where."""

    severity: str
    code: str
    diagnostics: str
    expression: str

    def __str__(self) -> str:
        return f"{self.diagnostics or self.code}{f' ({self.expression})' if self.expression else ''}"


class Refusal(NamedTuple):
    """What a server did not take: the file (of NDJSON, the person), the resources (several, where they refer to one
    another and go together), the HTTP status, and the issues of its OperationOutcome.
    """

    file: str
    resources: tuple[str, ...]
    status: int
    issues: tuple[Issue, ...]

    def __str__(self) -> str:
        shown = ", ".join(self.resources[:2]) + (f" and {len(self.resources) - 2} more" if self.resources[2:] else "")
        said = "; ".join(dict.fromkeys(map(str, self.issues))) or "without a reason"
        return f"{self.file} {shown}: {self.status} {said}"

    def as_json(self) -> dict[str, Any]:
        """For the journal and for `--json`."""
        return {
            "file": self.file,
            "resources": list(self.resources),
            "status": self.status,
            "issues": [issue._asdict() for issue in self.issues],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Refusal:
        """What `as_json` gave. Raises KeyError and TypeError where it did not."""
        issues = tuple(Issue(**issue) for issue in data["issues"])
        return cls(data["file"], tuple(data["resources"]), data["status"], issues)


@dataclass
class Outcome:
    """What came of one unit, or of its part until now.

    loaded: resources that the server took, by type; created: how many of them were new to it. left_out: names of
    what was not sent because it refers to what was refused. is_whole: whether all of the unit was tried.
    """

    number: int
    name: str
    loaded: Counter[str] = field(default_factory=Counter)
    created: int = 0
    refused: list[Refusal] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    is_whole: bool = True

    @property
    def is_done(self) -> bool:
        """Whether the server has all of it, so that it need not be sent again."""
        return self.is_whole and not self.missing

    @property
    def missing(self) -> set[str]:
        """Names of what the server does not have."""
        return {*self.left_out, *(name for refusal in self.refused for name in refusal.resources)}


def issues(answer: Answer, target: Target) -> tuple[Issue, ...]:
    """What a server says against a request, the errors where it names any; or its words, where it is no FHIR.

    What is secret to the target is blotted out of them: some servers repeat what they were sent.
    """
    made = [_issue(found, target) for found in answer.issues]
    errors = [issue for issue in made if issue.severity in SERIOUS]
    if not made and answer.said:
        made = [Issue("error", "", answer.said, "")]
    return tuple((errors or made)[:_MOST_ISSUES])


def _issue(found: dict[str, Any], target: Target) -> Issue:
    details = found.get("details")
    said = found.get("diagnostics") or (details.get("text") if isinstance(details, dict) else None) or ""
    where = found.get("expression") or found.get("location")
    places = ", ".join(map(str, where)) if isinstance(where, list) else ""
    texts = (str(text or "") for text in (found.get("severity"), found.get("code"), said, places))
    return Issue(*(printable(" ".join(target.without_secrets(text).split()))[:_LONGEST] for text in texts))
