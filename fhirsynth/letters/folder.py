"""The letters of a population as files: which are wanted, how they are named, and what their pages say at the head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import metadata, util
from typing import Any, Literal, NamedTuple, get_args

from fhirsynth.days import date_of
from fhirsynth.errors import InputError
from fhirsynth.letters import saying
from fhirsynth.letters.annotations import Form
from fhirsynth.letters.facts import Stay
from fhirsynth.letters.layers import MOST_TYPOS
from fhirsynth.letters.letter import Letter, as_text
from fhirsynth.letters.making import LEVELS, WRITERS, Manner
from fhirsynth.letters.page.model import Letterhead
from fhirsynth.letters.phrases import VOICES
from fhirsynth.record import schema as rec

Format = Literal["txt", "html", "pdf"]
FORMATS: tuple[Format, ...] = get_args(Format)
FORMS: tuple[Form, ...] = get_args(Form)
DEVICES = ("cpu", "cuda")

#: Packages whose version can change the bytes of a format or form, and the extra that brings one.
_PACKAGES = {"html": ("jinja2", "markupsafe"), "pdf": ("typst",), "spacy": ("spacy",)}
_EXTRAS = {"typst": "pdf", "spacy": "spacy"}


class Letters(NamedTuple):
    """Which letters are written about a population, and as which files.

    `documents`: each letter as a UK Core document bundle too. `most`: only the first so many stays, person by person;
    `most_a_person`: only so many of each person's, the oldest first.
    """

    manner: Manner = Manner()
    formats: tuple[Format, ...] = ("txt",)
    annotations: tuple[Form, ...] = ("jsonl", "csv")
    documents: bool = True
    most: int | None = None
    most_a_person: int | None = None

    def identity(self) -> dict[str, Any]:
        """All that decides what is written, but for what the writer says of itself, as JSON."""
        told = self.manner._asdict()
        # The writer names its model better than the user did, and says whether the device makes a difference.
        for name in ("writer", "model", "device"):
            del told[name]
        return {
            **told,
            "formats": list(self.formats),
            "annotations": list(self.annotations),
            "documents": self.documents,
            "max_letters": self.most,
            "letters_per_person": self.most_a_person,
        }

    def versions(self) -> dict[str, str]:
        """Versions of the packages that put the letters into files."""
        packages = sorted({name for form in (*self.formats, *self.annotations) for name in _PACKAGES.get(form, ())})
        return {name: metadata.version(name) for name in packages}


def check(letters: Letters) -> Letters:
    """The same, formats and annotations once and in their usual order.

    Raises InputError, in the words of the command line, for what cannot be: a format, a voice, a share that there is
    not, a package that is not installed.
    """
    manner = letters.manner
    _check_several("--letter-format", letters.formats, FORMATS)
    _check_several("--annotations", letters.annotations, FORMS)
    for option, found, known in (
        ("--writer", manner.writer, WRITERS),
        ("--device", manner.device, DEVICES),
        ("--level", manner.level, LEVELS),
        ("--voice", manner.voice or VOICES[0], VOICES),
    ):
        if found not in known:
            raise InputError(f"{option}: expected one of {', '.join(known)}; found {found}")
    for option, share, most in (
        ("--abbreviations", manner.abbreviations, 1.0),
        ("--typos", manner.typos, MOST_TYPOS),
    ):
        if not 0 <= share <= most:
            raise InputError(f"{option}: expected a share from 0 to {most:g}; found {share:g}")
    for option, number in (("--max-letters", letters.most), ("--letters-per-person", letters.most_a_person)):
        if number is not None and number < 1:
            raise InputError(f"{option}: expected a number from 1; found {number}")
    if manner.model is not None and manner.writer != "lm":
        raise InputError(f"--model: only --writer lm has a model; found --writer {manner.writer}")
    for form in (*letters.formats, *letters.annotations):
        for package in _PACKAGES.get(form, ()):
            if package in _EXTRAS and util.find_spec(package) is None:
                raise InputError(
                    f"{form} needs the package {package}: pip install 'fhirsynth[{_EXTRAS[package]}]', or leave it out"
                )
    return letters._replace(
        formats=tuple(name for name in FORMATS if name in letters.formats),
        annotations=tuple(name for name in FORMS if name in letters.annotations),
    )


def _check_several(option: str, found: tuple[str, ...], known: tuple[str, ...]) -> None:
    wrong = [name for name in found if name not in known]
    if wrong or not found:
        said = f"one of {', '.join(known)}, or several with commas between"
        raise InputError(f"{option}: expected {said}; found {', '.join(wrong) or 'nothing'}")


# ---- one letter


class Told(NamedTuple):
    """A stay and whose it is."""

    person: rec.Person
    encounter: rec.Encounter
    stay: Stay


def pages(name: str, letter: Letter, head: Letterhead, formats: Iterable[Format]) -> Iterator[tuple[str, bytes]]:
    """The letter in each format: the name of its file, and the bytes. Raises InputError as `page.pdf` does."""
    for form in formats:
        if form == "txt":
            data = as_text(letter)[0].encode()
        elif form == "html":
            from fhirsynth.letters.page.html import html

            data = html(letter, head).encode()
        else:
            from fhirsynth.letters.page.pdf import pdf

            data = pdf(letter, head)
        yield f"{name}.{form}", data


def letterhead(told: Told, places: dict[str, Any]) -> Letterhead:
    """Addresses and names of the page, from the rows of the stay. `places`: rows of places and staff by id."""
    person, encounter, stay = told
    trust, practice = places[encounter.organisation_id], places[person.practice_id]
    ward = places.get(encounter.location_id or "")
    role = places.get(encounter.role_id or "")
    author = places.get(role.practitioner_id) if role is not None else None
    patient, gp, admission = stay.first("patient"), stay.first("gp"), stay.first("admission")
    assert patient is not None and gp is not None and admission is not None
    return Letterhead(
        trust=trust.name,
        address=(*trust.address.split("\n"), trust.postcode),
        phone=trust.phone,
        ward=ward.name if ward is not None else "",
        gp=gp.text,
        practice=practice.name,
        practice_address=(*practice.address.split("\n"), practice.postcode),
        patient=patient.text,
        patient_short=patient.values["short"].text,
        patient_address=_lines(person),
        born=date_of(person.birth),
        nhs_number=person.nhs_number or "",
        written=saying.moment(encounter.end).date(),
        author=f"{author.prefix} {author.given[0]} {author.surname}" if author is not None else "",
        grade=(role.role.replace("-", " ").capitalize() if role is not None else ""),
        specialty=admission.values["specialty"].text,
    )


def _lines(person: rec.Person) -> tuple[str, ...]:
    """A person's address, the postcode last; no lines where it is withheld."""
    lines = person.address.split("\n") if person.address is not None else []
    return (*lines, person.postcode) if person.postcode is not None else tuple(lines)
