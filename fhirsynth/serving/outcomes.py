"""What a FHIR server says when something is not as asked: OperationOutcomes, and the error that carries one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


class FhirError(Exception):
    """A request that cannot be answered: its HTTP status, an issue type of FHIR, and what to do about it in words."""

    def __init__(self, status: int, code: str, said: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(said)
        self.status, self.code, self.said = status, code, said
        self.headers = dict(headers or {})


def issue(severity: str, code: str, said: str) -> Json:
    """One issue of an OperationOutcome: severity and type are codes of FHIR, `said` is for people."""
    return {"severity": severity, "code": code, "diagnostics": said}


def outcome(*issues: Json) -> Json:
    """An OperationOutcome of these issues."""
    return {"resourceType": "OperationOutcome", "issue": list(issues)}


def as_outcome(error: FhirError) -> Json:
    """An error as an OperationOutcome."""
    return outcome(issue("error", error.code, error.said))
