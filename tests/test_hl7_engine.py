"""The engine hl7: HL7's validator in Java, its packages, its first use, its process."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fhirsynth.errors import InputError
from fhirsynth.validation.findings import Finding
from fhirsynth.validation.hl7 import Hl7Engine, building, packages

UK_CORE = Path(__file__).parent.parent.parent / "shared" / "ukcore"
EXAMPLES = UK_CORE / "ukcore-stu3dev-examples-json.tgz"
SAMPLES = Path(__file__).parent.parent / "samples" / "people"
PROFILE = "https://fhir.hl7.org.uk/StructureDefinition/"
STU3, STU2 = "fhir.r4.ukcore.stu3.dev", "fhir.r4.ukcore.stu2.branch"
needs_packages = pytest.mark.skipif(not UK_CORE.is_dir(), reason="the official packages, ../shared/ukcore, are absent")
needs_posix = pytest.mark.skipif(os.name != "posix", reason="it makes shell scripts")
Json = dict[str, Any]


@pytest.fixture(scope="module")
def examples() -> dict[str, Json]:
    """The examples of UK Core STU3 by name; to be copied before they are changed."""
    with tarfile.open(EXAMPLES) as tar:
        files = [(Path(member.name).stem, tar.extractfile(member)) for member in tar if member.isfile()]
        return {name: json.load(file) for name, file in files if file is not None}


@pytest.fixture(scope="module")
def claiming(examples: dict[str, Json]) -> dict[str, Json]:
    """The examples with the profile that their name says, where there is one: they claim none."""
    file = next(UK_CORE.glob("fhir.r4.ukcore.stu3*.tgz"))
    with tarfile.open(file) as tar:
        names = [Path(name).stem.removeprefix("StructureDefinition-") for name in tar.getnames()]
    profiles = sorted((name for name in names if name.startswith("UKCore-")), key=len, reverse=True)
    found = {}
    for name, example in examples.items():
        of_type = f"UKCore-{example['resourceType']}"
        claims = [each for each in profiles if each == of_type or each.startswith(f"{of_type}-")]
        profile = next((each for each in claims if name.startswith(f"{each}-")), of_type if of_type in claims else None)
        meta = {"meta": {"profile": [f"{PROFILE}{profile}"]} | example.get("meta", {})} if profile else {}
        found[name] = copy.deepcopy(example) | meta
    return found


def errors(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == "error"]


def bundle(*resources: Json) -> Json:
    """A bundle of resources."""
    entries = [
        {"fullUrl": f"http://example.org/fhir/{each['resourceType']}/{each.get('id')}", "resource": each}
        for each in resources
    ]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


# ---- what it judges

#: What is wrong in the examples themselves. HL7 says of each entry with a relative fullUrl that it is the first.
THEIR_OWN = [
    ("Extension-UKCore-ConditionEpisode-Example", "hl7:Extension_EXT_Type", "extension[0]"),
    ("Extension-UKCore-ConditionEpisode-Example", "hl7:structure", "extension[0]"),
    ("Extension-UKCore-RecordingSetting-Example", "hl7:Extension_EXT_Unknown_NotHere", "extension[0]"),
    *[("UKCore-Bundle-NEWS2Observations-Example", "hl7:BUNDLE_ENTRY_URL_ABSOLUTE", "entry[0]")] * 8,
    ("UKCore-Provenance-RARecordConsent-Example", "hl7:Reference_REF_BadTargetType2", "agent[0].onBehalfOf"),
]


@needs_packages
def test_the_examples_of_uk_core_have_no_errors_but_their_own(hl7_engine: Hl7Engine, claiming: dict[str, Json]) -> None:
    judged = zip(claiming, hl7_engine.check_many(claiming.values()), strict=True)
    found = [(name, finding.rule, finding.path) for name, findings in judged for finding in errors(findings)]
    assert len(claiming) == 215
    assert sum("profile" in example.get("meta", {}) for example in claiming.values()) > 200
    assert sorted(found) == THEIR_OWN


@needs_packages
def test_the_samples_have_no_errors(hl7_engine: Hl7Engine) -> None:
    files = sorted(SAMPLES.glob("*.json"), key=lambda file: file.stat().st_size)[:4]
    assert len(files) == 4
    for file, findings in zip(files, hl7_engine.check_many(json.loads(f.read_text()) for f in files), strict=True):
        assert not errors(findings), (file.name, errors(findings)[:3])


GONE = object()
RICHARD = "UKCore-Patient-RichardSmith-Example"
ALLERGY = "UKCore-AllergyIntolerance-Amoxicillin-Example"
MEDICINE = "UKCore-MedicationRequest-Amoxicillin-Example"
PRESSURE = "UKCore-Observation-VitalSigns-BloodPressure-Example"
HEIGHT = "UKCore-Observation-VitalSigns-BodyHeight-Example"
PULSE = "UKCore-Observation-VitalSigns-HeartRate-Example"
DISCHARGE = "UKCore-Composition-Discharge-Example"
STAY = "UKCore-Encounter-InpatientEncounter-Example"
VACCINE = "UKCore-Immunization-InfluenzaVaccine-Example"
EAR = "UKCore-Condition-BleedingFromEar-Example"
SCAN = "UKCore-DiagnosticReport-CTChestScan-Example"
SKIN = "UKCore-Procedure-ExaminationOfSkin-Example"
CLINIC = "UKCore-Location-CardiologySJUH-Example"
LANGUAGE = "communication[0].language"
CODE = "Terminology_TX_NoValid_16"
CONCEPT = "Terminology_TX_NoValid_1_CC"
LEAST = "Validation_VAL_Profile_Minimum"
UNKNOWN_EXTENSION = [{"url": "https://example.nhs.uk/unknown", "valueString": "x"}]

#: An example, an element of it, what is put there, and the rule and path of an error that must come of it.
WRONG: list[tuple[str, str, Any, str, str]] = [
    (RICHARD, "gender", "boy", CODE, "gender"),
    (RICHARD, "birthDate", "1970-13-11", "Type_Specific_Checks_DT_Date_Valid", "birthDate"),
    (RICHARD, "foo", "bar", "structure", ""),
    (RICHARD, "active", "true", "invalid", "active"),
    (RICHARD, "deceasedBoolean", "x", "Type_Specific_Checks_DT_Boolean_Value", "deceasedBoolean"),
    (RICHARD, "id", "has space", "Resource_RES_ID_Malformed_Chars", "id"),
    (RICHARD, "extension[0].url", f"{PROFILE}Extension-UKCore-Etnic", "Extension_EXT_Unknown_NotHere", "extension[0]"),
    (
        RICHARD,
        "identifier[0].extension[0].valueCodeableConcept.coding[0].code",
        "99",
        CONCEPT,
        "identifier[0].extension[0].valueCodeableConcept",
    ),
    (RICHARD, "telecom[0].system", "pigeon", CODE, "telecom[0].system"),
    (RICHARD, "telecom[0].system", GONE, "cpt-2", "telecom[0]"),
    (RICHARD, "name[0].use", "oficial", CODE, "name[0].use"),
    (
        RICHARD,
        "generalPractitioner",
        [{"reference": "Patient/1"}],
        "Reference_REF_BadTargetType2",
        "generalPractitioner[0]",
    ),
    (
        RICHARD,
        "managingOrganization",
        {"reference": "https://example.nhs.uk/fhir/Device/1"},
        "Reference_REF_BadTargetType2",
        "managingOrganization",
    ),
    (RICHARD, "meta", {"profile": [f"{PROFILE}UKCore-Nope"]}, "Validation_VAL_Profile_Unknown", "meta.profile[0]"),
    (RICHARD, "meta", "x", "invalid", "meta"),
    (RICHARD, "communication[0].language.coding", [{"system": "urn:ietf:bcp:47", "code": "q9"}], CONCEPT, LANGUAGE),
    (RICHARD, "contained", [{"resourceType": "Organization", "id": "o"}], "org-1", "contained[0]"),
    (MEDICINE, "status", "actve", CODE, "status"),
    (MEDICINE, "intent", GONE, LEAST, ""),
    (MEDICINE, "subject.reference", "Practitioner/1", "Reference_REF_BadTargetType2", "subject"),
    (ALLERGY, "code", GONE, LEAST, ""),
    (ALLERGY, "clinicalStatus.coding[0].code", "activ", CONCEPT, "clinicalStatus"),
    (ALLERGY, "criticality", "hi", CODE, "criticality"),
    (PRESSURE, "component[0].code.text", "Systolic", "Validation_VAL_Profile_NotSlice", "component[0]"),
    (PRESSURE, "component[0].code.coding[1].code", "8480-7", "_DT_Fixed_Wrong", "component[0].code.coding[1].code"),
    (PRESSURE, "component[0].valueQuantity.unit", "mmHg", "_DT_Fixed_Wrong", "component[0].valueQuantity.unit"),
    (PRESSURE, "component", GONE, LEAST, ""),
    (HEIGHT, "valueQuantity.value", "tall", "Type_Specific_Checks_DT_Decimal_Valid", "valueQuantity.value"),
    (HEIGHT, "category", GONE, LEAST, ""),
    (PULSE, "valueQuantity.system", "http://example.org", "_DT_Fixed_Wrong", "valueQuantity.system"),
    (PULSE, "dataAbsentReason", {"text": "x"}, "obs-6", ""),
    (DISCHARGE, "author", GONE, LEAST, ""),
    (DISCHARGE, "section[0].text.status", "none", CODE, "section[0].text.status"),
    (STAY, "period", {"start": "2020-02-01", "end": "2020-01-01"}, "per-1", "period"),
    (VACCINE, "vaccineCode", GONE, LEAST, ""),
    (EAR, "clinicalStatus.coding[0].system", "http://example.org/x", CONCEPT, "clinicalStatus"),
    (EAR, "subject.type", "Practitioner", "Reference_REF_WrongTarget", "subject"),
    (SCAN, "status", "done", CODE, "status"),
    (SCAN, "modifierExtension", UNKNOWN_EXTENSION, "Extension_EXT_Unknown_NotHere", "modifierExtension[0]"),
    (CLINIC, "extension", UNKNOWN_EXTENSION, "Extension_EXT_Unknown_NotHere", "extension[0]"),
    (SKIN, "performedDateTime", "2020-01-01T25:00:00Z", "Type_Specific_Checks_DT_DateTime_Valid", "performedDateTime"),
    (SKIN, "subject", [{"reference": "Patient/1"}], "invalid", "subject"),
]


def changed(resource: Json, path: str, value: Any) -> Json:
    """A copy with another value at a path, or without it."""
    result = copy.deepcopy(resource)
    steps = [int(step) if step.isdecimal() else step for step in re.findall(r"\w+", path)]
    holder: Any = result
    for step in steps[:-1]:
        holder = holder[step]
    if value is GONE:
        del holder[steps[-1]]
    else:
        holder[steps[-1]] = value
    return result


@needs_packages
def test_one_thing_made_wrong_is_found_where_it_is(hl7_engine: Hl7Engine, claiming: dict[str, Json]) -> None:
    wrong = [changed(claiming[name], path, value) for name, path, value, _, _ in WRONG]
    missed = []
    for case, findings in zip(WRONG, hl7_engine.check_many(wrong), strict=True):
        name, rule, where = case[0], f"hl7:{case[3]}", case[4]
        found = [(finding.rule, finding.path) for finding in errors(findings)]
        assert all(finding.resource.startswith(f"{claiming[name]['resourceType']}/") for finding in findings)
        if (rule, where) not in found:
            missed.append((case, found))
    assert not missed


@needs_packages
@pytest.mark.parametrize(
    ("tag", "sound"),
    [
        ("bfi", True),
        ("cy-Latn-GB", True),
        ("en-gb", True),
        ("x-own", True),
        ("zz", False),
        ("english", False),
        ("", False),
    ],
)
def test_a_language_is_a_tag_of_bcp47(hl7_engine: Hl7Engine, tag: str, sound: bool) -> None:
    """HAPI alone knows languages with at most a region."""
    language = {"coding": [{"system": "urn:ietf:bcp:47", "code": tag}]}
    patient = {"resourceType": "Patient", "meta": {"profile": [f"{PROFILE}UKCore-Patient"]}}
    assert bool(errors(hl7_engine.check(patient | {"communication": [{"language": language}]}))) is not sound


@needs_packages
def test_a_profile_for_another_type_is_one_finding(hl7_engine: Hl7Engine) -> None:
    patient = {"resourceType": "Patient", "id": "p", "meta": {"profile": [f"{PROFILE}UKCore-Organization"]}}
    [found] = errors(hl7_engine.check(patient | {"name": [{"family": "x"}]}))
    assert "'Organization'" in found.found and "'Patient'" in found.found


@needs_packages
def test_what_takes_a_terminology_server_is_information(hl7_engine: Hl7Engine, examples: dict[str, Json]) -> None:
    [said] = [f for f in hl7_engine.check(examples[STAY]) if f.path == "reasonCode[0]"]
    assert (said.rule, said.severity) == ("hl7:not-checked", "information")
    laboratory = hl7_engine.check(examples["UKCore-Observation-Lab-Albumin-Example"])
    assert {f.severity for f in laboratory if f.path == "code"} == {"information"}
    unknown = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://x.org", "code": "1"}]},
    }
    assert {f.severity for f in hl7_engine.check(unknown) if f.path.startswith("code")} <= {"information"}


@needs_packages
def test_one_coding_of_a_required_value_set_is_enough(hl7_engine: Hl7Engine, examples: dict[str, Json]) -> None:
    allergy = copy.deepcopy(examples[ALLERGY])
    allergy["clinicalStatus"]["coding"].append({"system": "http://example.org/own", "code": "on"})
    assert not errors(hl7_engine.check(allergy))


@needs_packages
def test_findings_in_a_bundle_name_the_resource(hl7_engine: Hl7Engine) -> None:
    sound = {"resourceType": "Patient", "id": "sound"}
    ill = {
        "resourceType": "Observation",
        "id": "ill",
        "status": "final",
        "code": {"text": "x"},
        "valueQuantity": {"value": "x"},
    }
    nameless = {"resourceType": "Patient", "contact": [{"gender": "?"}]}
    found = {(f.resource, f.path) for f in errors(hl7_engine.check(bundle(sound, ill, nameless) | {"id": "b"}))}
    assert ("Observation/ill", "valueQuantity.value") in found
    assert ("Bundle/b", "entry[2].resource.contact[0].gender") in found
    assert not [name for name, _ in found if name == "Patient/sound"]


@needs_packages
def test_letters_of_all_kinds_come_back_as_they_were(hl7_engine: Hl7Engine) -> None:
    strange = 'Zoë 木村 🩺 “\\" \u2028'
    found = errors(hl7_engine.check({"resourceType": "Patient", "gender": strange, "name": [{"family": strange}]}))
    assert any(strange in finding.found for finding in found)


@needs_packages
def test_many_come_in_order_and_few_are_ahead(hl7_engine: Hl7Engine) -> None:
    asked = 0

    def patients() -> Iterator[Json]:
        nonlocal asked
        for number in range(400):
            asked += 1
            yield {"resourceType": "Patient", "id": str(number), "gender": f"no-{number}"}

    for number, findings in enumerate(hl7_engine.check_many(patients())):
        assert any(f"no-{number}'" in finding.found for finding in findings)
        assert {finding.resource for finding in findings} == {f"Patient/{number}"}
        assert asked - number <= 8 * hl7_engine.threads + 1
    assert asked == 400


@needs_packages
def test_one_may_stop_before_all_are_answered(hl7_engine: Hl7Engine) -> None:
    many = hl7_engine.check_many({"resourceType": "Patient", "id": str(n), "gender": "x"} for n in range(1000))
    assert next(many)[0].resource == "Patient/0"
    many.close()  # type: ignore[attr-defined]
    assert {
        finding.resource for finding in hl7_engine.check({"resourceType": "Patient", "id": "after", "gender": "x"})
    } == {"Patient/after"}


@needs_packages
def test_a_resource_of_twenty_megabytes(hl7_engine: Hl7Engine) -> None:
    large = {"resourceType": "Binary", "id": "large", "contentType": "text/plain", "data": "QUFB" * (5 << 20)}
    assert not errors(hl7_engine.check(large))
    assert errors(hl7_engine.check(large | {"contentType": 1}))


def _nested(levels: int) -> Json:
    extension: Json = {"url": "http://example.org/x", "valueString": "x"}
    for _ in range(levels):
        extension = {"url": "http://example.org/x", "extension": [extension]}
    return {"resourceType": "Patient", "extension": [extension]}


@needs_packages
@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"resourceType": 5},
        {"resourceType": "Nope", "id": "n"},
        {"resourceType": "Patient", "meta": {"profile": [None, 5, {}]}},
        {"resourceType": "Patient", "name": [[]]},
        {"resourceType": "Patient", "_name": 3},
        {"resourceType": "Patient", "multipleBirthInteger": 10**40},
        {"resourceType": "Bundle", "entry": {}},
        {"resourceType": "Bundle", "type": "collection", "entry": [None, 3, {"resource": []}]},
        {"resourceType": "Observation", "status": "final", "code": {}, "valueQuantity": {"value": float("nan")}},
        {"resourceType": "Patient", "gender": "\ud800"},
        _nested(300),
    ],
    ids=lambda odd: str(odd)[:40].encode("ascii", "replace").decode(),
)
def test_odd_json_is_wrong_and_nothing_falls_over(hl7_engine: Hl7Engine, odd: Json) -> None:
    assert errors(hl7_engine.check(odd))


# ---- other settings, each with a process of its own


@needs_packages
def test_stu2_and_profiles_that_all_must_meet() -> None:
    profile = f"{PROFILE}UKCore-AllergyIntolerance"
    bare = {"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/1"}}
    of_stu3 = bare | {"meta": {"profile": [f"{PROFILE}UKCore-Observation-VitalSigns"]}, "code": {"text": "x"}}
    with Hl7Engine("stu2", [UK_CORE], [profile]) as engine:
        assert [package.name for package in engine.packages] == [STU2]
        alone, together, claimed = engine.check_many([bare, bundle(bare), of_stu3])
    said = "AllergyIntolerance.code: minimum required = 1"
    assert any(said in finding.found for finding in errors(alone))
    assert any(said in finding.found and finding.resource == "AllergyIntolerance/a" for finding in errors(together))
    severities = {f.severity for f in claimed if f.rule == "hl7:Validation_VAL_Profile_Unknown"}
    assert severities == {"warning"}  # STU2 has no vital signs, and what is written for STU3 claims them


@needs_packages
def test_a_profile_that_is_not_known() -> None:
    with pytest.raises(InputError, match="UKCore-Nope is in none of the packages"):
        Hl7Engine(packages=[UK_CORE], profiles=[f"{PROFILE}UKCore-Nope"])


def test_a_release_that_is_not_known() -> None:
    with pytest.raises(InputError, match="unknown release 'stu9'.*stu3, stu2"):
        Hl7Engine("stu9")


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@needs_packages
def test_the_process_ends_when_it_is_closed() -> None:
    with pytest.raises(ZeroDivisionError), Hl7Engine(packages=[UK_CORE]) as engine:
        assert _is_there(engine.pid)
        raise ZeroDivisionError
    assert not _is_there(engine.pid)
    engine.close()
    with pytest.raises(InputError, match="has been closed"):
        engine.check({"resourceType": "Patient"})


@needs_packages
@needs_posix
def test_a_process_that_is_killed_at_work_is_a_clear_error() -> None:
    with Hl7Engine(packages=[UK_CORE]) as engine:

        def patients() -> Iterator[Json]:
            for number in range(100_000):
                if number == 20:
                    os.kill(engine.pid, signal.SIGKILL)
                yield {"resourceType": "Patient", "id": str(number)}

        with pytest.raises(InputError, match="ended before its answer .killed by SIGKILL."):
            for _ in engine.check_many(patients()):
                pass
        with pytest.raises(InputError, match="SIGKILL"):
            engine.check({"resourceType": "Patient"})


@needs_packages
def test_too_little_memory_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIRSYNTH_JAVA_MEMORY", "24m")
    with pytest.raises(InputError, match="ran out of its 24m of memory.*FHIRSYNTH_JAVA_MEMORY"):
        Hl7Engine(packages=[UK_CORE]).check({"resourceType": "Patient"})


@needs_packages
def test_the_process_ends_with_the_interpreter() -> None:
    program = (
        "import sys; from fhirsynth.validation.hl7 import Hl7Engine\n"
        f"engine = Hl7Engine(packages=[{str(UK_CORE)!r}]); print(engine.pid); sys.exit(3)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 3, done.stderr
    assert not _is_there(int(done.stdout))


# ---- Java and Maven


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Leaves nothing on the PATH but what is put there: a shell script by name, or the real command."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shell = {name: shutil.which(name) for name in ("java", "sh", "sleep", "mkdir", "touch")}
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)

    def put(name: str, script: str = "") -> Path:
        if script:
            for tool in ("sh", "sleep", "mkdir", "touch"):
                if shell[tool] and not (folder / tool).exists():
                    (folder / tool).symlink_to(str(shell[tool]))
            (folder / name).write_text(f"#!{shell['sh']}\n{script}\n")
            (folder / name).chmod(0o755)
        else:
            (folder / name).symlink_to(str(Path(str(shell[name])).resolve()))
        return folder / name

    return put


@pytest.fixture
def some_package(tmp_path: Path) -> Path:
    """A package of the name of UK Core STU3 that holds one value set."""
    return package(tmp_path / "some.tgz", STU3, "1.0.0")


def package(path: Path, name: str, version: str, files: dict[str, Any] | None = None) -> Path:
    """Writes a package as `.tgz`."""
    held = {"package.json": {"name": name, "version": version}}
    held |= (
        {"ValueSet-a.json": {"resourceType": "ValueSet", "url": "http://example.org/a", "status": "draft"}}
        if files is None
        else files
    )
    with tarfile.open(path, "w:gz") as tar:
        for file, content in held.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(f"package/{file}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_no_java(commands: Callable[..., Path], some_package: Path) -> None:
    with pytest.raises(InputError, match="needs Java 17 or later, and there is none.*install a JDK"):
        Hl7Engine(packages=[some_package])


@needs_posix
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo '    java.version = 11.0.2' >&2; echo '    java.home = /x' >&2", r"found 11\.0\.2 \(.*java\)"),
        ("echo '    java.version = 1.8.0_392' >&2", r"found 1\.8\.0_392 \(.*java\)"),
        ("echo 'Unable to locate a Java Runtime.' >&2; exit 1", "does not run: Unable to locate a Java Runtime"),
    ],
)
def test_a_java_that_will_not_do(commands: Callable[..., Path], some_package: Path, script: str, said: str) -> None:
    commands("java", script)
    with pytest.raises(InputError, match=f"needs Java 17 or later, and .*{said}"):
        Hl7Engine(packages=[some_package])


JAVA_17 = "echo '    java.version = 17.0.1' >&2; echo '    java.home = /x' >&2"


@needs_posix
def test_no_maven_at_the_first_use(
    commands: Callable[..., Path], some_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FHIRSYNTH_CACHE", str(tmp_path / "cache"))
    commands("java", JAVA_17)
    with pytest.raises(InputError, match=r"first use .* needs Maven.*no mvn on the PATH: install it"):
        Hl7Engine(packages=[some_package])


@needs_packages
@needs_posix
def test_no_maven_afterwards(hl7_engine: Hl7Engine, commands: Callable[..., Path]) -> None:
    """The fixture has built it, so neither Maven nor the network is needed any more."""
    commands("java")
    called = commands("mvn", 'touch "$0.called"; exit 1')
    with Hl7Engine(packages=[UK_CORE]) as engine:
        assert errors(engine.check({"resourceType": "Patient", "gender": "x"}))
    assert not called.with_name("mvn.called").exists()


@needs_posix
def test_what_maven_says_when_it_fails(
    commands: Callable[..., Path],
    some_package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FHIRSYNTH_CACHE", str(tmp_path / "cache"))
    commands("java", JAVA_17)
    commands("mvn", 'echo "[ERROR] Unknown host repository.example"; echo "[ERROR] Re-run Maven using -X"; exit 1')
    with pytest.raises(InputError, match="Maven said: Unknown host repository.example$"):
        Hl7Engine(packages=[some_package])
    assert "145 MB" in capfd.readouterr().err
    assert [file.name for file in (tmp_path / "cache" / "hl7").iterdir()] == ["lock"]


@needs_posix
def test_a_cache_that_cannot_be_written(
    commands: Callable[..., Path], some_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FHIRSYNTH_CACHE", str(tmp_path / "file"))
    commands("java", JAVA_17)
    commands("mvn", "exit 1")
    with pytest.raises(InputError, match="cannot be built in .*FHIRSYNTH_CACHE names another folder"):
        Hl7Engine(packages=[some_package])


@needs_posix
def test_two_processes_build_it_once(
    commands: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    (cache / "hl7" / "building-left").mkdir(parents=True)
    monkeypatch.setenv("FHIRSYNTH_CACHE", str(cache))
    commands(
        "mvn", f'echo once >> "{tmp_path}/calls"; sleep 1; mkdir -p target/classes target/lib; touch target/lib/a.jar'
    )
    program = "from fhirsynth.validation.hl7 import building, java\nprint(building.built(java.Java('java', '', '17')))"
    running = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        for _ in range(3)
    ]
    said = {process.communicate(timeout=120)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(said) == 1
    assert (Path(said.pop()) / "lib" / "a.jar").exists()
    assert (tmp_path / "calls").read_text() == "once\n"
    assert not list((cache / "hl7").glob("building-*"))


def test_another_version_is_built_anew(tmp_path: Path) -> None:
    first = building.VALIDATOR.key()
    shutil.copytree(building.VALIDATOR.sources, tmp_path / "maven")
    copied = building.VALIDATOR._replace(sources=tmp_path / "maven")
    assert copied.key() == first
    pom = tmp_path / "maven" / "pom.xml"
    pom.write_text(pom.read_text().replace("<hapi>8.8.1<", "<hapi>8.8.2<"))
    assert copied.key() != first


# ---- packages


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without packages, and none in the environment."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.delenv("FHIRSYNTH_PACKAGES", raising=False)
    return home


def test_no_packages(nowhere: Path) -> None:
    with pytest.raises(InputError) as raised:
        Hl7Engine()
    said = str(raised.value)
    assert "UK Core stu3" in said and "found none" in said and "--package" in said and "FHIRSYNTH_PACKAGES" in said
    assert "HL7 UK publishes it" in said and ".fhir" in said


def test_only_the_other_release(nowhere: Path, tmp_path: Path) -> None:
    other = package(tmp_path / "a.tgz", STU2, "2.0.2")
    with pytest.raises(InputError, match=f"stu3 .*found only {STU2} 2.0.2"):
        packages.choose("stu3", [other])
    assert packages.choose("stu2", [other])[0].version == "2.0.2"


def test_the_newest_of_a_folder_by_its_own_name(nowhere: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    package(folder / "a.tgz", STU3, "0.0.9-pre-release")
    package(folder / "b.tgz", STU3, "0.0.10")
    package(folder / "c.tgz", STU3, "0.0.10-beta")
    package(folder / "d.tgz", STU2, "2.0.2")
    package(folder / "e.tgz", "hl7.fhir.r4.core", "4.0.1")
    package(folder / "f.tgz", "hl7.fhir.us.core", "7.0.0")
    (folder / "g.tgz").write_bytes(b"not a package")
    (folder / "h.txt").touch()
    assert [found.path.name for found in packages.choose("stu3", [folder])] == ["b.tgz"]


def test_what_is_named_is_taken_as_well(nowhere: Path, tmp_path: Path) -> None:
    named = [
        package(tmp_path / "a.tgz", "my.own", "1.0.0"),
        package(tmp_path / "b.tgz", "hl7.fhir.r4.core", "4.0.1"),
        package(tmp_path / "c.tgz", STU3, "1.0.0"),
        package(tmp_path / "d.tgz", STU2, "2.0.2"),
    ]
    assert [found.name for found in packages.choose("stu3", named)] == ["my.own", STU3]


def test_environment_then_common_cache(nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = nowhere / ".fhir" / "packages" / f"{STU3}#3.0.0" / "package"
    inner.mkdir(parents=True)
    (inner / "package.json").write_text(json.dumps({"name": STU3, "version": "3.0.0"}))
    assert packages.choose("stu3", [])[0].version == "3.0.0"
    empty = tmp_path / "empty"
    empty.mkdir()
    two = package(tmp_path / "two.tgz", STU3, "2.0.0")
    monkeypatch.setenv("FHIRSYNTH_PACKAGES", os.pathsep.join([str(empty), str(two)]))
    assert packages.choose("stu3", [])[0].version == "2.0.0"
    assert packages.choose("stu3", [package(tmp_path / "one.tgz", STU3, "1.0.0")])[0].version == "1.0.0"
    for unpacked in (inner, inner.parent, inner.parent.parent):
        assert packages.choose("stu3", [unpacked])[0].version == "3.0.0"


def test_a_package_that_is_not_there(nowhere: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--package names .*gone.tgz, which does not exist"):
        packages.choose("stu3", [tmp_path / "gone.tgz"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"junk", "cannot be read"),
        ({"package.json": b"{"}, "package.json is not valid JSON"),
        ({"package.json": []}, "package.json has no name"),
        ({"package.json": {"version": "1"}}, "package.json has no name"),
    ],
)
def test_a_file_that_is_no_package(nowhere: Path, tmp_path: Path, content: Any, said: str) -> None:
    file = tmp_path / "a.tgz"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        package(file, STU3, "1", content)
    with pytest.raises(InputError, match=f"a.tgz is no FHIR package: .*{said}.*expected a .tgz"):
        packages.choose("stu3", [file])


def test_a_package_cut_short(nowhere: Path, tmp_path: Path) -> None:
    files = {f"ValueSet-{n}.json": {"resourceType": "ValueSet", "text": os.urandom(2000).hex()} for n in range(100)}
    whole = package(tmp_path / "a.tgz", STU3, "1", files)
    whole.write_bytes(whole.read_bytes()[:100_000])
    with pytest.raises(InputError, match="a.tgz cannot be read whole"):
        packages.definitions(packages.choose("stu3", [whole])[0])


def test_a_package_of_nothing_and_one_of_no_json(nowhere: Path, tmp_path: Path) -> None:
    empty = package(tmp_path / "a.tgz", STU3, "1", {"Patient-x.json": {"resourceType": "Patient"}})
    with pytest.raises(InputError, match="holds no StructureDefinition, ValueSet or CodeSystem"):
        packages.definitions(packages.choose("stu3", [empty])[0])
    broken = package(tmp_path / "b.tgz", STU3, "1", {"ValueSet-x.json": b"{"})
    with pytest.raises(InputError, match=r"ValueSet-x.json of the package .*b.tgz is not valid JSON"):
        packages.definitions(packages.choose("stu3", [broken])[0])


@needs_packages
@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({"resourceType": "ValueSet", "url": "http://a.b/c", "date": "x"}, "ValueSet-x.json of .*is no FHIR R4.*date"),
        ({"resourceType": "ValueSet", "url": "http://a.b/c", "contained": [{"resourceType": "Nope"}]}, "Nope"),
    ],
)
def test_a_definition_that_is_no_fhir(hl7_engine: Hl7Engine, tmp_path: Path, definition: Json, said: str) -> None:
    odd = package(tmp_path / "a.tgz", STU3, "1", {"ValueSet-x.json": definition})
    with pytest.raises(InputError, match=f"cannot use what it was given: .*{said}"):
        Hl7Engine(packages=[odd])


@needs_packages
def test_several_threads_may_ask(hl7_engine: Hl7Engine) -> None:
    wrong: list[str] = []

    def ask(name: str) -> None:
        for number in range(20):
            patient = {"resourceType": "Patient", "id": f"{name}{number}", "gender": "x"}
            if {finding.resource for finding in hl7_engine.check(patient)} != {f"Patient/{name}{number}"}:
                wrong.append(f"{name}{number}")

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
