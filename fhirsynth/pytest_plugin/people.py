"""What a test gets: a person or several as FHIR resources of its own, to read, to change and to write to files.

Everything is parsed afresh from an archive in memory for each object, so that no test can spoil another's people.
"""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from fhirsynth.systems import NHS_NUMBER

Json = dict[str, Any]

#: As `fhirsynth.run.output` has them, which is slow to import.
ORGANISATIONS, PEOPLE, LETTERS = "organisations.json", "people", "letters"
#: Elements that say what a resource is about.
_CODES = ("code", "vaccineCode", "medicationCodeableConcept", "type")


class Archive:
    """The files of a population, zipped in memory; shared by all tests and never changed."""

    def __init__(self, data: bytes) -> None:
        self._zip = zipfile.ZipFile(io.BytesIO(data))
        self.names = tuple(self._zip.namelist())
        self.people = tuple(name for name in self.names if name.startswith(f"{PEOPLE}/"))

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return self._zip.read(name)

    def json(self, name: str) -> Json:
        """A file parsed; what is returned is the caller's own."""
        import orjson

        found: Json = orjson.loads(self._zip.read(name))
        return found


class _WithOrganisations:
    """Whoever has been to practices and hospitals."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    @cached_property
    def organisations(self) -> Json:
        """The transaction bundle of the places and staff that the people refer to, to be loaded before them."""
        return self._archive.json(ORGANISATIONS)


class Person(_WithOrganisations):
    """One synthetic person as UK Core FHIR R4. Nobody real; the test's own copy, to be changed as it likes."""

    def __init__(self, archive: Archive, file: str) -> None:
        super().__init__(archive)
        self._file = file

    def __repr__(self) -> str:
        return f"<Person {self.name}, born {self.patient['birthDate']}, NHS number {self.nhs_number}>"

    @cached_property
    def bundle(self) -> Json:
        """The whole record: a transaction bundle, the Patient first."""
        return self._archive.json(self._file)

    @property
    def patient(self) -> Json:
        """The Patient resource of `bundle`."""
        return self.resources("Patient")[0]

    @property
    def id(self) -> str:
        """The logical id of the Patient."""
        return str(self.patient["id"])

    @property
    def nhs_number(self) -> str:
        """Ten digits, of the range 999 that is kept for tests. Raises LookupError where the test has removed it."""
        for identifier in self.patient.get("identifier", ()):
            if identifier.get("system") == NHS_NUMBER:
                return str(identifier["value"])
        raise LookupError(f"Patient/{self.id} has no NHS number")

    @property
    def name(self) -> str:
        """The official name in one line, such as Mrs Amina Begum."""
        return str(self.patient["name"][0]["text"])

    def resources(self, type: str | None = None, *, code: str | None = None) -> list[Json]:
        """Resources of `bundle` in its order: all, those of a type, those with a coding of `code` in what they are.

        person.resources("Condition", code="44054006")  # type 2 diabetes, in SNOMED CT
        """
        found = (entry["resource"] for entry in self.bundle["entry"])
        return [
            resource
            for resource in found
            if type in (None, resource["resourceType"]) and (code is None or code in _codes(resource))
        ]

    @property
    def letters(self) -> list[str]:
        """Texts of the letters about hospital stays, oldest stay first, to the GP and then to the patient.

        Empty where they were not asked for (`letters=True`), or the person was never in hospital.
        """
        found = (resource["content"][0]["attachment"] for resource in self.resources("DocumentReference"))
        return [base64.b64decode(attachment["data"]).decode() for attachment in found]

    @property
    def documents(self) -> list[Json]:
        """The letters to the GP as UK Core document bundles, in the same order."""
        return [self._archive.json(name) for name in self._letter_files() if name.endswith(".json")]

    def _letter_files(self) -> list[str]:
        """Names of the files of this person's letters: they begin with the id of a stay, its Encounter."""
        stays = {resource["id"]: place for place, resource in enumerate(self.resources("Encounter"))}
        found = [(stays.get(Path(name).name[:36]), name) for name in self._archive.names if name.startswith(LETTERS)]
        return [name for place, name in sorted((place, name) for place, name in found if place is not None)]

    def write(self, folder: str | Path) -> Path:
        """Write the person as `fhirsynth population` does, without a manifest; returns the file of the bundle.

        `organisations.json`, `people/….json` and, where there are letters, `letters/`. The bundles are written as they
        are now, with what the test has changed; the letters as they were made. Raises OSError.
        """
        _write_json(Path(folder) / ORGANISATIONS, self.organisations)
        return self._write(Path(folder))

    def _write(self, folder: Path) -> Path:
        for name in self._letter_files():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._archive.read(name))
        return _write_json(folder / self._file, self.bundle)


class People(_WithOrganisations, Sequence[Person]):
    """Several synthetic people, the living first. Nobody real; the test's own copies."""

    @cached_property
    def _people(self) -> tuple[Person, ...]:
        return tuple(Person(self._archive, file) for file in self._archive.people)

    def __len__(self) -> int:
        return len(self._archive.people)

    @overload
    def __getitem__(self, position: int) -> Person: ...

    @overload
    def __getitem__(self, position: slice) -> Sequence[Person]: ...

    def __getitem__(self, position: int | slice) -> Person | Sequence[Person]:
        return self._people[position]

    def __repr__(self) -> str:
        return f"<{len(self)} People>"

    def bundles(self) -> Iterator[Json]:
        """The bundles that a server is to load, in the right order: organisations first, then each person's."""
        yield self.organisations
        for person in self:
            yield person.bundle

    def resources(self, type: str | None = None, *, code: str | None = None) -> list[Json]:
        """Resources of everybody, as `Person.resources` gives them."""
        return [resource for person in self for resource in person.resources(type, code=code)]

    def write(self, folder: str | Path) -> list[Path]:
        """Write everybody as `Person.write` does; returns the files of the people's bundles. Raises OSError."""
        _write_json(Path(folder) / ORGANISATIONS, self.organisations)
        return [person._write(Path(folder)) for person in self]


def _codes(resource: Json) -> set[str]:
    """The codes in what a resource says it is."""
    elements = [resource.get(name) for name in _CODES]
    listed = [one for element in elements for one in (element if isinstance(element, list) else [element])]
    concepts = [element for element in listed if isinstance(element, dict)]  # the type of an allergy is a mere code
    return {coding["code"] for concept in concepts for coding in concept.get("coding", ()) if "code" in coding}


def _write_json(path: Path, content: Json) -> Path:
    import orjson

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(content))
    return path
