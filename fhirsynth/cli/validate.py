"""`fhirsynth validate`: what is wrong, where, by which rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def validate(
    path: Annotated[Path, typer.Argument(help="A file or folder of FHIR JSON or NDJSON, plain or gzip.")],
) -> None:
    """Check files: references, ids, NHS numbers, UK Core profiles, medical sense.

    One line a finding on standard output. Exit code 0 where all is well, 1 where something is wrong, 2 where
    there is nothing that can be read.
    """
    from fhirsynth.validation import check_path

    resources = findings = 0

    def seen(number: int) -> None:
        nonlocal resources
        resources += number

    for finding in check_path(path, seen):
        findings += 1
        typer.echo(str(finding))
    typer.echo(f"{resources:,} resources checked, {findings:,} findings", err=True)
    if findings:
        raise typer.Exit(1)
