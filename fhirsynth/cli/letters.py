"""`fhirsynth letters`: the discharge letters of a population that was made before, and commands about letters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fhirsynth.cli import letters_train
from fhirsynth.cli.commands import CommandWithOthers
from fhirsynth.cli.letter_options import Given, with_letter_options
from fhirsynth.cli.running import Bar, letters_in_words
from fhirsynth.errors import InputError

app = typer.Typer(
    cls=CommandWithOthers,
    invoke_without_command=True,
    rich_markup_mode=None,
    subcommand_metavar="| COMMAND [ARGS]...",
)


@app.callback()
@with_letter_options
def letters(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder that `fhirsynth population` has made.")] = Path("out"),
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 means one a core.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with unfinished letters.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace letters that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON and nothing else.")] = False,
    *,
    given: Given,
) -> None:
    """Write a discharge letter for each hospital stay, with gold annotations, into the folder's letters/.

    Everything a letter says is a fact of the record. The people's files get a DocumentReference for each letter, as
    if `fhirsynth population --letters` had made them. The same options give the same bytes.
    """
    if ctx.invoked_subcommand is not None:
        return
    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other: give one of them")
    from fhirsynth.run.job import write_letters
    from fhirsynth.run.manifest import made_with

    asked = given.letters(made_with(folder).spec.seed)
    with Bar(quiet=as_json, letters=True) as bar:
        summary = write_letters(
            folder,
            asked,
            workers=given.workers(workers),
            resume=resume,
            overwrite=overwrite,
            progress=bar.people,
            letters_done=bar.letters,
        )
    counted = summary.tally.as_json()["letters"]
    if as_json:
        told = {"out": str(folder), "letters": counted, "seconds": round(summary.seconds, 2)}
        print(json.dumps(told, indent=2))
    else:
        typer.echo(letters_in_words(counted, asked.manner.level, folder))


app.command("train")(letters_train.train)
