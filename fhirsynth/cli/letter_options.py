"""The options about letters that `population` and `letters` have in common."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from fhirsynth.letters.folder import Letters

PANEL = "Letters"


class Writer(StrEnum):
    lm = "lm"
    phrasebook = "phrasebook"


#: Who writes where the user does not say.
DEFAULT_WRITER = Writer.phrasebook


class Device(StrEnum):
    cpu = "cpu"
    cuda = "cuda"


class Level(StrEnum):
    words = "words"
    note = "note"
    letter = "letter"


def _option(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=PANEL, **more)


def _options(
    writer: Annotated[
        Writer, _option(help="Who puts facts into words: a language model, or hand-written patterns alone.")
    ] = DEFAULT_WRITER,
    model: Annotated[str | None, _option(help="Name or folder of the language model.")] = None,
    device: Annotated[Device, _option(help="Where the language model runs.")] = Device.cpu,
    level: Annotated[Level, _option(help="How much is written: key words, a short note, or a letter.")] = Level.letter,
    letter_format: Annotated[str, _option(help="txt, html and pdf, those wanted with commas between.")] = "txt",
    voice: Annotated[
        str | None,
        _option(help="Always written by: terse, thorough, geriatrician or surgeon; otherwise one drawn for each stay."),
    ] = None,
    letter_seed: Annotated[
        int | None, _option(min=0, help="The same seed gives the same letters; by default the population's.")
    ] = None,
    max_letters: Annotated[int | None, _option(min=1, help="Only of the first so many stays.")] = None,
    letters_per_person: Annotated[int | None, _option(min=1, help="Only of a person's first so many stays.")] = None,
    to_patient: Annotated[bool, _option(help="Write a plain-English letter to the patient as well.")] = True,
    abbreviations: Annotated[
        float,
        _option(
            min=0,
            max=1,
            metavar="[share]",
            help="Abbreviate so much of what doctors in a hurry abbreviate; without a number 0.7.",
        ),
    ] = 0.0,
    typos: Annotated[float, _option(min=0, max=0.1, help="Share of plain words with a slip of the keyboard.")] = 0.0,
    documents: Annotated[bool, _option(help="Write each letter as a UK Core document bundle too.")] = True,
    annotations: Annotated[
        str, _option(help="jsonl, csv, brat and spacy, those wanted with commas between.")
    ] = "jsonl,csv",
) -> None:
    """The options; the names are those on the command line."""


_PARAMETERS = [
    found.replace(kind=inspect.Parameter.KEYWORD_ONLY)
    for found in inspect.signature(_options, eval_str=True).parameters.values()
]
_NAMES = tuple(found.name for found in _PARAMETERS)


class Given(NamedTuple):
    """The values of the options about letters, and the names of those that stand on the command line."""

    values: dict[str, Any]
    named: tuple[str, ...]

    def letters(self, seed: int) -> Letters:
        """What they ask for; `seed`: the population's. Raises InputError where that cannot be."""
        from fhirsynth.letters.folder import Letters, check
        from fhirsynth.letters.making import Manner

        given = self.values
        manner = Manner(
            writer=str(given["writer"]),
            model=given["model"],
            device=str(given["device"]),
            level=given["level"].value,
            voice=given["voice"],
            seed=seed if given["letter_seed"] is None else given["letter_seed"],
            to_patient=given["to_patient"],
            abbreviations=given["abbreviations"],
            typos=given["typos"],
        )
        return check(
            Letters(
                manner,
                formats=_listed(given["letter_format"]),
                annotations=_listed(given["annotations"]),
                documents=given["documents"],
                most=given["max_letters"],
                most_a_person=given["letters_per_person"],
            )
        )

    def workers(self, wanted: int) -> int:
        """How many processes: as many as there are cores where the user does not say, one where they share a GPU."""
        from fhirsynth.run.engine import usable_cores

        return wanted or (1 if self.values["device"] is Device.cuda else usable_cores())


def _listed(text: str) -> tuple[Any, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def with_letter_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command that has the options about letters besides its own, and gets them together as `given`.

    It takes Typer's context as `ctx`.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [
        *(found.replace(kind=inspect.Parameter.KEYWORD_ONLY) for found in own if found.name != "given"),
        *_PARAMETERS,
    ]

    @wraps(command)
    def called(*, ctx: typer.Context, **values: Any) -> None:
        given = {name: values.pop(name) for name in _NAMES}
        sources = {name: ctx.get_parameter_source(name) for name in _NAMES}
        named = tuple(
            f"--{name.replace('_', '-')}" for name, source in sources.items() if source and source.name == "COMMANDLINE"
        )
        command(ctx=ctx, **values, given=Given(given, named))

    del called.__wrapped__  # Typer is to see the options of both
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {found.name: found.annotation for found in parameters}
    return called
