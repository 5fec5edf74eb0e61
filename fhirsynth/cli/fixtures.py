"""`fhirsynth fixtures`: the folders of people that spec files ask for, made where they are not what is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def fixtures(
    specs: Annotated[
        list[Path], typer.Argument(metavar="SPEC", help="TOML files with a table for each folder beside them.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Make nothing; end with 1 where a folder is not up to date.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 1 where a folder was made, as a pre-commit hook has to.")
    ] = False,
) -> None:
    """Make the folders of people that SPEC files ask for, unless they are up to date.

    A table such as [recall] with n = 5 and condition = ["asthma"] under it asks for the folder recall beside its file.
    Up to date is a folder made of the same table by the same version of fhirsynth, with no file changed since.
    """
    from fhirsynth.run.fixtures import read

    stale = False
    # All files are read before anything is made: a mistake in the last one is not found halfway.
    for fixture in [fixture for spec in specs for fixture in read(spec)]:
        folder, reason = fixture.job.out, fixture.outdated()
        if reason is None:
            typer.echo(f"{folder}: up to date")
            continue
        stale = True
        if check:
            typer.echo(f"{folder}: {reason}")
        else:
            tally = fixture.make().tally
            typer.echo(f"{folder}: {reason}; made, {tally.living + tally.dead:,} people")
    if stale and (check or exit_code):
        raise typer.Exit(1)
