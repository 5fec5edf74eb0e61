"""`fhirsynth letters`: the discharge letters of a population that was made before."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from fhirsynth.errors import InputError


def letters(
    folder: Annotated[Path, typer.Argument(help="A folder that `fhirsynth population` has made.")] = Path("out"),
    letter_format: Annotated[str, typer.Option(help="txt, html and pdf, those wanted with commas between.")] = "txt",
    voice: Annotated[
        str | None, typer.Option(help="Always written by: terse, thorough, geriatrician or surgeon.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same letters.")] = 1,
    max_letters: Annotated[int | None, typer.Option(min=1, help="At most so many stays.")] = None,
    letters_per_person: Annotated[int | None, typer.Option(min=1, help="At most so many stays a person.")] = None,
    to_patient: Annotated[bool, typer.Option(help="Write a plain-English letter to the patient as well.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace letters that are there.")] = False,
) -> None:
    """Write a discharge letter for each hospital stay, with gold annotations, into the folder's letters/.

    Everything a letter says is a fact of the record. The same options give the same bytes.
    """
    from fhirsynth.letters.folder import FORMATS, Asked, Format, write_letters
    from fhirsynth.letters.phrases import VOICES

    formats = tuple(part.strip() for part in letter_format.split(",") if part.strip())
    wrong = [part for part in formats if part not in FORMATS]
    if wrong or not formats:
        raise InputError(f"--letter-format: expected {', '.join(FORMATS)}, found {', '.join(wrong) or 'nothing'}")
    if voice is not None and voice not in VOICES:
        raise InputError(f"--voice: expected one of {', '.join(VOICES)}, found {voice}")
    asked = Asked(cast("tuple[Format, ...]", formats), voice, seed, max_letters, letters_per_person, to_patient)
    with _Counter() as counter:
        counted = write_letters(folder, asked, overwrite=overwrite, progress=counter.show)
    typer.echo(
        f"{counted['letters']:,} letters to general practitioners and {counted['to_patient']:,} to patients in "
        f"{folder / 'letters'}, {counted['spans']:,} annotated spans; {counted['rejected']:,} of {counted['drafts']:,} "
        f"drafts were rejected by the check and written again, {counted['withheld']:,} letters withheld"
    )


class _Counter:
    """How many letters are written, on standard error where that is a terminal."""

    def __init__(self) -> None:
        self._status: Any = None
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("Letters: 0")

    def __enter__(self) -> _Counter:
        if self._status:
            self._status.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._status:
            self._status.__exit__(*error)

    def show(self, written: int) -> None:
        """Say how many there are."""
        if self._status:
            self._status.update(f"Letters: {written:,}")
