"""The rule files in `profiles/`: made of the official packages as they are, whole, and of one mind with HL7's tools."""

from __future__ import annotations

import json
import tarfile
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fhirsynth.validation.compiling import releases, writing
from fhirsynth.validation.compiling.packages import name_of

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent
PROFILES = ROOT / "profiles"
UK_CORE = ROOT.parent / "shared" / "ukcore"
PACKAGES = [
    UK_CORE / "hl7.fhir.r4.core#4.0.1.tgz",
    UK_CORE / "fhir.r4.ukcore.stu3.dev#2025.6.20.tgz",
    UK_CORE / "fhir.r4.ukcore.stu2.branch#2.0.2.tgz",
]
SNAPSHOTS = UK_CORE / "ukcore-stu3dev-snapshots-hl7.tgz"
FHIR = "http://hl7.org/fhir/StructureDefinition/"
NEEDS_PACKAGES = pytest.mark.skipif(
    not all(path.exists() for path in [*PACKAGES, SNAPSHOTS]),
    reason="../shared/ukcore holds the packages and is not there",
)
#: Where a release looks things up, nearest first.
LOOK_UP = {"r4": ("r4",), "stu3": ("stu3", "r4"), "stu2": ("stu2", "r4")}
WRITERS = {
    releases.STRUCTURES: writing.structure,
    releases.VALUE_SETS: writing.value_set,
    releases.CODE_SYSTEMS: writing.code_system,
}
#: What definitions name that is in none of the packages: types of other versions of FHIR and of one maker's server, and
#: value sets that were never published with them. Nothing can be checked there.
ELSEWHERE = {
    "http://hl7.org/fhir/StructureDefinition/SubscriptionTopic",
    "https://medplum.com/fhir/StructureDefinition/Bot",
    "https://medplum.com/fhir/StructureDefinition/ClientApplication",
    "http://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_B.5.html#table_B.5-1",
    "http://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_CID_29.html",
    "http://hl7.org/fhir/ValueSet/characteristic-combination",
    "http://hl7.org/fhir/ValueSet/research-study-arm-type",
    "http://hl7.org/fhir/ValueSet/research-study-party-role",
    "http://hl7.org/fhir/ValueSet/study-design",
    "http://hl7.org/fhir/ValueSet/subscription-notification-type",
    "http://hl7.org/fhir/ValueSet/title-type",
    "http://loinc.org/vs/LL379-9",
    "http://www.rfc-editor.org/bcp/bcp13.txt",
    "http://www.rsna.org/RadLex_Playbook.aspx",
    "http://hl7.org/fhir/StructureDefinition/ConditionRelationship",
    "http://hl7.org/fhir/ValueSet/patient-fetalstatus",
    "http://hl7.org/fhir/ValueSet/subscription-payload-content",
    "https://fhir.hl7.org.uk/ValueSet/UKCore-BloodPressureDeviceType",
}


@cache
def rules_of(folder: str, url: str, release: str) -> Json | None:
    """The rules of a definition as a release looks it up; None where it is not there."""
    for name in LOOK_UP[release]:
        file = PROFILES / name / folder / f"{name_of(url)}.toml"
        if file.exists():
            found = tomllib.loads(file.read_text(encoding="utf-8"))
            if found["url"] == url:
                return found
    return None


def structures(release: str) -> Iterator[Json]:
    for file in sorted((PROFILES / release / releases.STRUCTURES).glob("*.toml")):
        yield tomllib.loads(file.read_text(encoding="utf-8"))


@NEEDS_PACKAGES
def test_the_files_are_those_that_the_packages_give(tmp_path: Path) -> None:
    releases.compile_packages(PACKAGES, tmp_path)
    for release in LOOK_UP:
        made = {str(file.relative_to(tmp_path)): file.read_bytes() for file in (tmp_path / release).rglob("*.toml")}
        there = {str(file.relative_to(PROFILES)): file.read_bytes() for file in (PROFILES / release).rglob("*.toml")}
        assert made.keys() == there.keys()
        assert [name for name in made if made[name] != there[name]] == [], "compile the packages again"


@pytest.mark.parametrize("folder", releases.FOLDERS)
@pytest.mark.parametrize("release", LOOK_UP)
def test_every_file_reads_back_as_it_was_written(release: str, folder: str) -> None:
    files = sorted((PROFILES / release / folder).glob("*.toml"))
    assert len(files) > 40
    for file in files:
        text = file.read_text(encoding="utf-8")
        rules = tomllib.loads(text)
        assert name_of(rules["url"]) == file.stem
        assert WRITERS[folder](rules, text.partition("\n")[0].removeprefix("# ")) == text, file


def test_there_is_what_a_validator_needs() -> None:
    for release, least in (("r4", 600), ("stu3", 150), ("stu2", 75)):
        assert sum(1 for _ in structures(release)) >= least
    kinds = [(rules["kind"], rules["type"]) for rules in structures("r4") if rules["derivation"] == "specialization"]
    assert len([type_ for kind, type_ in kinds if kind == "resource"]) > 145
    assert {type_ for kind, type_ in kinds if kind == "primitive-type"} >= {"string", "date", "id", "decimal", "xhtml"}
    assert rules_of("structures", f"{FHIR}bp", "stu3")
    assert sum(file.stat().st_size for file in PROFILES.rglob("*/*/*.toml")) < 6_000_000


@pytest.mark.parametrize("release", LOOK_UP)
def test_every_reference_can_be_followed(release: str) -> None:
    followed = 0
    for rules in structures(release):
        named = {("structures", rules["base"])} if "base" in rules else set()
        for name, element in rules["element"].items():
            for key in ("profiles", "targets"):
                named |= {("structures", url) for urls in element.get(key, {}).values() for url in urls}
            named |= {("structures", FHIR + type_) for type_ in element.get("types", ())}
            binding = element.get("binding", {})
            named |= {("value-sets", binding[key]) for key in ("value_set", "max_value_set") if key in binding}
            assert element.get("content", name) in rules["element"], rules["url"]
        lost = {url for folder, url in named if url not in ELSEWHERE and rules_of(folder, url, release) is None}
        # HL7 publishes this one with R5 alone; both releases of UK Core name it.
        assert lost <= {"http://hl7.org/fhir/ValueSet/observation-triggeredbytype"}, rules["url"]
        followed += len(named)
    assert followed > 300


@pytest.mark.parametrize("release", LOOK_UP)
def test_no_value_set_lists_a_code_that_its_system_does_not_have(release: str) -> None:
    checked = 0
    for file in sorted((PROFILES / release / releases.VALUE_SETS).glob("*.toml")):
        for system, codes in tomllib.loads(file.read_text(encoding="utf-8"))["codes"].items():
            known = rules_of(releases.CODE_SYSTEMS, system, release)
            if known:
                checked += len(codes)
                assert [code for code in codes if code not in known["codes"]] == [], file
    assert checked > 800


# --- Against the snapshots of HL7's tools: the rules of a profile, laid over those of its bases and of the types of its
# --- elements, must be what HL7's own generator makes of the same definitions.

Frames = list[tuple[Json, str]]  # elements of a structure, and where in it we are; the most general first


@cache
def frames_of(url: str) -> tuple[tuple[Json, str], ...]:
    """A structure and what it is based on, down to its type."""
    rules = rules_of(releases.STRUCTURES, url, "stu3")
    if rules is None:
        return ()
    below = frames_of(rules["base"]) if rules["derivation"] == "constraint" else ()
    return (*below, (rules["element"], rules["type"]))


def laid_over(frames: Frames) -> Json:
    merged: Json = {}
    for elements, path in frames:
        merged |= elements.get(path, {})
    return merged


def inside(frames: Frames, element: Json) -> Frames:
    """The frames in which the children of an element are found: its own, or those of its type and profile."""
    first, path = frames[0]
    if "content" in element:
        return [(first, element["content"]), *frames]
    types = element.get("types", ())
    if len(types) != 1 or any(name.startswith(f"{path}.") for name in first):
        return frames
    profile = element.get("profiles", {}).get(types[0], [""])[0]
    return [*(frames_of(profile) or frames_of(FHIR + types[0])), *frames]


def step(frames: Frames, part: str) -> tuple[Json, Frames]:
    name, _, slice_ = part.partition(":")
    whole = [(elements, f"{path}.{name}") for elements, path in frames]
    if not slice_:
        return laid_over(whole), whole
    sliced = [(elements, f"{path}:{slice_}") for elements, path in whole]
    # A slice begins as a copy of the element as it was in the base of the profile that makes the slice.
    new = next(
        (
            n
            for n, (elements, path) in enumerate(sliced)
            if any(f"{known}.".startswith(f"{path}.") for known in elements)
        ),
        len(sliced),
    )
    element = laid_over(whole[:new]) | {"min": 0} | laid_over(sliced)
    return element, [*whole[:new], *sliced]


def merged(url: str, id_: str) -> Json:
    """What our rules say of one element of a structure."""
    frames: Frames = list(frames_of(url))
    element = laid_over(frames)
    for part in id_.split(".")[1:]:
        element, frames = step(inside(frames, element), part)
    found = {"min": 0, "max": "*"} | element
    found.pop("slicing", None)
    return found


def said(element: Json, resource: bool) -> Json:
    """What HL7's snapshot says of an element, in our words; read from the definition anew, not by the compiler."""
    found: Json = {"min": element["min"], "max": element["max"] if element["max"] == "*" else int(element["max"])}
    for key, value in element.items():
        for word in ("fixed", "pattern"):
            if key.startswith(word):
                found[word] = value
    for type_ in element.get("type", ()):
        marked = [item["valueUrl"] for item in type_.get("extension", ()) if item["url"].endswith("-fhir-type")]
        code = marked[0] if marked else type_["code"]
        if resource and element["id"].count(".") == 1 and element["id"].endswith(".id"):
            code = "id"
        found.setdefault("types", []).append("string" if code.endswith("System.String") else code)
        for key, word in (("profile", "profiles"), ("targetProfile", "targets")):
            if key in type_:
                found.setdefault(word, {})[code] = [url.partition("|")[0] for url in type_[key]]
    if "contentReference" in element:
        found["content"] = element["contentReference"].rpartition("#")[2]
    for key, word in (("maxLength", "max_length"), ("minValueInteger", "min_value"), ("maxValueInteger", "max_value")):
        if key in element:
            found[word] = element[key]
    binding = element.get("binding", {})
    if binding.get("strength", "example") != "example":
        found["binding"] = {"strength": binding["strength"]}
        if "valueSet" in binding:
            found["binding"]["value_set"] = binding["valueSet"].partition("|")[0]
        for item in binding.get("extension", ()):
            if item["url"].endswith("-maxValueSet"):
                found["binding"]["max_value_set"] = item["valueCanonical"].partition("|")[0]
    return found


def differences(definition: Json) -> Iterator[str]:
    resource = definition["kind"] == "resource"
    for element in definition["snapshot"]["element"]:
        ours, theirs = merged(definition["url"], element["id"]), said(element, resource)
        for key in sorted(ours.keys() | theirs.keys()):
            if ours.get(key) != theirs.get(key):
                yield f"{definition['id']} {element['id']} {key}: {ours.get(key)} and not {theirs.get(key)}"


def definitions(archive: Path) -> Iterator[Json]:
    with tarfile.open(archive) as files:
        for member in files:
            file = files.extractfile(member) if "StructureDefinition-" in member.name else None
            if file is not None:
                yield json.load(file)


@NEEDS_PACKAGES
def test_uk_core_is_what_the_snapshots_of_hl7_say() -> None:
    found = [(d["snapshot"]["element"], list(differences(d))) for d in definitions(SNAPSHOTS)]
    assert sum(len(elements) for elements, _ in found) > 5000
    # The base package's snapshots, from which these two were made, have a product's own types where its differentials
    # have those of R4.
    assert {line.partition(":")[0] for _, lines in found for line in lines} == {
        "UKCore-Bundle Bundle.entry.response.outcome types",
        "UKCore-AuditEvent AuditEvent.source.observer targets",
    }


@NEEDS_PACKAGES
def test_invariants_are_those_of_the_snapshots() -> None:
    checked = 0
    for definition in definitions(SNAPSHOTS):
        chain = [rules_of(releases.STRUCTURES, definition["url"], "stu3")]
        while chain[-1] and chain[-1]["derivation"] == "constraint":
            chain.append(rules_of(releases.STRUCTURES, chain[-1]["base"], "stu3"))
        ours = {
            (i["at"], i["key"], i["severity"], i["says"], i["expression"])
            for rules in chain
            for i in (rules or {}).get("invariant", ())
        }
        theirs = [
            (e["id"], c["key"], c["severity"], " ".join(c["human"].split()), c["expression"], c.get("source", ""))
            for e in definition["snapshot"]["element"]
            for c in e.get("constraint", ())
        ]
        assert ours <= {item[:-1] for item in theirs}, definition["id"]
        # What an element's type says, or a slice repeats of its element, is where it was first said.
        names = {"", "DomainResource", *(name_of(rules["url"]) for rules in chain if rules)}
        own = {item[:-1] for item in theirs if name_of(item[-1]) in names and ":" not in item[0]}
        assert {item for item in own if item[1] not in ("ele-1", "ext-1")} <= ours, definition["id"]
        checked += len(ours)
    assert checked > 450


#: Where the generator that made the snapshots of R4 went its own way: that a choice has one type, and must be there, it
#: said at a slice of it; an agent that is sliced in one place it made the shape of another; a profile and two types
#: come from other versions of the package than the rest of it.
ODD_IN_R4 = """
bmi Observation.value[x] min
bmi Observation.value[x]:valueQuantity min
bp Observation.value[x] max
devicemetricobservation Observation.effective[x] min
devicemetricobservation Observation.effective[x]:effectiveDateTime min
cdshooksguidanceresponse GuidanceResponse.module[x]:moduleUri min
provenance-relevant-history Provenance.entity.agent content
picoelement EvidenceVariable.characteristic.groupMeasure binding
"""


@NEEDS_PACKAGES
def test_the_profiles_and_extensions_of_r4_are_what_its_snapshots_say() -> None:
    found: list[str] = []
    elements = 0
    for definition in definitions(PACKAGES[0]):
        if definition.get("derivation") == "constraint":
            found += differences(definition)
            elements += len(definition["snapshot"]["element"])
    assert elements > 5000
    assert {line.partition(": ")[0] for line in found} == set(ODD_IN_R4.split("\n")) - {""}
