"""People found in the files of a population: all of them, or one by id, NHS number or place in the list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fhirsynth import reading
from fhirsynth.errors import InputError
from fhirsynth.systems import NHS_NUMBER

Json = dict[str, Any]


def all_people(path: Path) -> Iterator[list[Json]]:
    """Each person's resources, in the order of their files. Of NDJSON only the Patients are given."""
    for file in reading.people_files(path):
        if reading.is_ndjson(file) and not file.name.startswith("Patient."):
            continue
        for content in _contents(file):
            resources = reading.resources(content)
            if any(item["resourceType"] == "Patient" for item in resources):
                yield resources


def find(path: Path, wanted: str) -> list[Json]:
    """One person's resources. Raises InputError where nobody is meant by `wanted`."""
    wanted = wanted.replace(" ", "")
    files = reading.people_files(path)
    bundles = [file for file in files if not reading.is_ndjson(file)]
    if bundles:
        if wanted.isdigit() and len(wanted) < 10 and 0 < int(wanted) <= len(bundles):
            return _person_in(bundles[int(wanted) - 1])
        named = [file for file in bundles if wanted in file.name] if len(wanted) >= 8 else []
        for file in named or bundles:
            resources = _person_in(file)
            if is_meant(resources, wanted):
                return resources
    else:
        for number, resources in enumerate(all_people(path), 1):
            if is_meant(resources, wanted) or wanted == str(number):
                return _gathered(files, str(resources[0]["id"]))
    raise InputError(
        f"nobody in {path} has the id, NHS number or list number {wanted!r}; `fhirsynth show {path}` lists the people"
    )


def is_meant(resources: list[Json], wanted: str) -> bool:
    """Whether these are the resources of the person with this id or NHS number."""
    patient = next((item for item in resources if item["resourceType"] == "Patient"), None)
    return patient is not None and wanted in (patient.get("id"), nhs_number(patient))


def nhs_number(patient: Json) -> str:
    """A patient's NHS number, empty where there is none."""
    return next((i["value"] for i in patient.get("identifier", ()) if i.get("system") == NHS_NUMBER), "")


def _person_in(file: Path) -> list[Json]:
    return [resource for content in _contents(file) for resource in reading.resources(content)]


def _gathered(files: list[Path], person: str) -> list[Json]:
    """One person's resources out of all NDJSON files."""
    return [content for file in files for content in _contents(file) if reading.person_of(content) == person]


def _contents(file: Path) -> Iterator[Json]:
    for document in reading.documents(file):
        if isinstance(document, reading.Trouble):
            raise InputError(f"{file}, line {document.line}: {document.message}; `fhirsynth validate` says more")
        yield document.content


def place_names(path: Path) -> dict[str, str]:
    """Names of organisations and places by reference, from the organisations file of the run, if it is there."""
    for folder in (path, *path.absolute().parents[:2]):
        file = folder / reading.PLACES
        if folder.is_dir() and file.is_file():
            return {
                f"{item['resourceType']}/{item['id']}": item["name"]
                for content in _contents(file)
                for item in reading.resources(content)
                if isinstance(item.get("name"), str)
            }
    return {}
