"""The built-in validator judged by HL7's own: on our output broken mechanically, and on UK Core's examples."""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import mutation_verdicts
import pytest
from mutation_kinds import KINDS
from mutation_verdicts import all_mutations
from mutations import Mutation

from fhirsynth.validation.beyond import check_group
from fhirsynth.validation.engine import Validator
from fhirsynth.validation.findings import Finding, Json

EXAMPLES = Path(__file__).parent.parent.parent / "shared" / "ukcore" / "ukcore-stu3dev-examples-json.tgz"
AGREEMENT = 0.99
#: Findings in a bundle have the path inside the resource.
_INSIDE = re.compile(r"^entry\[\d+\]\.resource\.?")
_OF_TYPE = re.compile(r"(\w+)\.ofType\((\w+)\)")


class Difference(NamedTuple):
    """Mutations of which the two validators think differently, and why that is so.

    `where` and `what` are regular expressions for the whole path and description; `error` who finds one.
    """

    kind: str
    where: str
    what: str
    error: str
    why: str

    def covers(self, mutation: Mutation) -> bool:
        """Whether this is why the validators differ on a mutation."""
        return (
            mutation.kind == self.kind
            and re.fullmatch(self.where, mutation.path) is not None
            and re.fullmatch(self.what, mutation.description) is not None
        )


DIFFERENCES = (
    Difference(
        "bundle",
        r"entry\[1\]\.resource",
        "taken away",
        "builtin",
        "A PUT without a resource updates nothing: HTTP's PUT needs a body, though no invariant of Bundle says so.",
    ),
    Difference(
        "fixed",
        r"identifier\[0\]\.system",
        "in capitals",
        "hl7",
        "HL7's validator takes a URI whose scheme is in capitals for a relative one. Schemes have no case (RFC 3986).",
    ),
)


class Defect(NamedTuple):
    """What is wrong with one of UK Core's own examples: the rule that finds it, whether HL7's validator does, why."""

    rule: str
    by_hl7: bool
    why: str


_NO_TYPE = "a reference that is a bare id"
DEFECTS = {
    "Extension-UKCore-ConditionEpisode-Example": Defect("max", True, "two values of one extension"),
    "Extension-UKCore-RecordingSetting-Example": Defect("extension-unknown", True, "URL misspelt RcordingSetting"),
    "UKCore-Bundle-NEWS2Observations-Example": Defect("bundle-addresses-agree", True, "relative URLs as fullUrl"),
    "UKCore-MedicationDispense-Amoxicillin-Example": Defect("reference-form", False, _NO_TYPE),
    "UKCore-MedicationDispense-CiprofloxacinIV-Example": Defect("reference-form", False, _NO_TYPE),
    "UKCore-MedicationDispense-CiprofloxacinOral-Example": Defect("reference-form", False, _NO_TYPE),
    "UKCore-Patient-BabyPatient-Example": Defect("nhs-number", False, "an NHS number with a wrong check digit"),
    "UKCore-Provenance-RARecordConsent-Example": Defect("reference-form", True, "a URL in the place of an id"),
}


@pytest.fixture(scope="module")
def builtin() -> Validator:
    return Validator()


@pytest.fixture(scope="module")
def official(hl7_engine: Any) -> dict[str, bool]:
    """Whether HL7's validator finds an error in each mutation, by fingerprint."""
    answers = hl7_engine.check_many(mutation.resource for mutation in all_mutations())
    return {m.fingerprint: _wrong(found) for m, found in zip(all_mutations(), answers, strict=True)}


@pytest.fixture(scope="module")
def kept() -> dict[str, bool]:
    """The same as it was when the verdicts were kept last."""
    found = mutation_verdicts.read()
    missing = sum(mutation.fingerprint not in found for mutation in all_mutations())
    if missing:
        pytest.skip(f"our output has changed, and {missing} mutations have no verdict of HL7's validator yet")
    return found


def _wrong(found: list[Finding]) -> bool:
    return any(finding.severity == "error" for finding in found)


def errors(validator: Validator, resource: Json) -> list[Finding]:
    """Errors that the built-in validator finds, in a bundle also those between its entries."""
    found = validator.check(resource)
    if resource.get("resourceType") == "Bundle":
        entries = resource.get("entry")
        inner = (
            [entry.get("resource") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        )
        found += check_group([item for item in inner if isinstance(item, dict)], bundle=resource)
    return [finding for finding in found if finding.severity == "error"]


def test_mutations_are_many_and_of_everything() -> None:
    kinds = Counter(mutation.kind for mutation in all_mutations())
    profiles = Counter(mutation.profile for mutation in all_mutations())
    assert sum(kinds.values()) >= 600
    assert set(kinds) == {*KINDS, "bundle"}
    assert min(kinds.values()) >= 15, kinds
    assert len(profiles) >= 40
    assert min(profiles.values()) >= 10, profiles
    assert len({mutation.fingerprint for mutation in all_mutations()}) == len(all_mutations())


def test_the_two_validators_agree(official: dict[str, bool], builtin: Validator) -> None:
    """Every difference is one that the table explains, and there are few."""
    found = [m for m in all_mutations() if bool(errors(builtin, m.resource)) != official[m.fingerprint]]
    _explained(found, official)
    assert len(found) <= (1 - AGREEMENT) * len(all_mutations()), (
        f"{len(found)} of {len(all_mutations())} judged differently"
    )


def test_kept_verdicts_are_those_of_today(official: dict[str, bool]) -> None:
    assert mutation_verdicts.read() == official, "ask again with `python tests/mutation_verdicts.py`"


def test_the_builtin_validator_agrees_with_the_kept_verdicts(kept: dict[str, bool], builtin: Validator) -> None:
    """The same without Java: against what HL7's validator once said of the same mutations."""
    _explained([m for m in all_mutations() if bool(errors(builtin, m.resource)) != kept[m.fingerprint]], kept)


def test_every_mutation_that_hl7_finds_is_found_where_it_is(kept: dict[str, bool], builtin: Validator) -> None:
    """The built-in validator names the place: the changed element, one around it, or one inside."""
    found, elsewhere = 0, []
    for mutation in all_mutations():
        wrong = errors(builtin, mutation.resource) if kept[mutation.fingerprint] else []
        found += bool(wrong)
        if wrong and not any(_at(finding, mutation) for finding in wrong):
            elsewhere.append(f"{mutation}\n    found {wrong[0]}")
    assert len(elsewhere) <= 0.01 * found, "\n".join(elsewhere)


def _at(finding: Finding, mutation: Mutation) -> bool:
    found = _OF_TYPE.sub(lambda match: match[1] + match[2][0].upper() + match[2][1:], _INSIDE.sub("", finding.path))
    changed = _INSIDE.sub("", mutation.path)
    if mutation.description.startswith("beside"):
        changed = changed.rpartition(".")[0]  # either of two values may be the one too many
    return found.startswith(changed) or changed.startswith(found)


def test_nothing_is_found_in_what_was_not_broken(builtin: Validator) -> None:
    alarms = [
        f"{m}: {found[0]}" for m in all_mutations() if m.kind == "neutral" and (found := errors(builtin, m.resource))
    ]
    assert not alarms, "\n".join(alarms)


def test_hl7_finds_nothing_in_what_was_not_broken(official: dict[str, bool]) -> None:
    alarms = [str(m) for m in all_mutations() if m.kind == "neutral" and official[m.fingerprint]]
    assert not alarms, "\n".join(alarms)


def _explained(found: list[Mutation], official: dict[str, bool]) -> None:
    """Fail where a difference is not in the table, or the table has one that is no more."""
    left = set(DIFFERENCES)
    unknown = []
    for mutation in found:
        who = "hl7" if official[mutation.fingerprint] else "builtin"
        why = [known for known in DIFFERENCES if known.error == who and known.covers(mutation)]
        left -= set(why)
        if not why:
            unknown.append(f"only {who} finds an error: {mutation}")
    assert not unknown, "\n".join(unknown)
    assert not left, f"these differences are no more: {left}"


@cache
def examples() -> dict[str, Json]:
    """UK Core's examples by name."""
    if not EXAMPLES.is_file():
        pytest.skip("../shared/ukcore holds the examples of UK Core and is not there")
    return dict(_read())


def _read() -> Iterator[tuple[str, Json]]:
    with tarfile.open(EXAMPLES) as archive:
        for member in archive:
            if member.name.endswith(".json"):
                file = archive.extractfile(member)
                assert file is not None
                yield Path(member.name).stem, json.loads(file.read())


def test_examples_of_uk_core_have_no_errors_but_their_own(builtin: Validator) -> None:
    assert len(examples()) == 215
    found = {name: {f.rule for f in errors(builtin, resource)} for name, resource in examples().items()}
    assert {name: rules for name, rules in found.items() if rules} == {name: {d.rule} for name, d in DEFECTS.items()}


def test_hl7_finds_the_same_in_the_examples(hl7_engine: Any) -> None:
    answers = zip(examples(), hl7_engine.check_many(examples().values()), strict=True)
    assert {name for name, found in answers if _wrong(found)} == {name for name, d in DEFECTS.items() if d.by_hl7}
