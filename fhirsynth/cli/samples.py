"""`fhirsynth samples`: named people worth testing with, as a folder or as a zip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhirsynth.cli.running import Bar
from fhirsynth.errors import InputError


def samples(
    out: Annotated[Path | None, typer.Option(help="Folder to write into; by default `named-people`.")] = None,
    archive: Annotated[Path | None, typer.Option("--zip", help="Write a zip of the same files.")] = None,
    list_only: Annotated[
        bool, typer.Option("--list", help="Say who there is and what for, and write nothing.")
    ] = False,
    letters: Annotated[
        bool, typer.Option("--letters", help="Write the letters about their hospital stays too.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run wrote.")] = False,
) -> None:
    """Write named people worth testing with.

    Each is a case that software stumbles over: no NHS number, a very long name, twins, a death last week. Writes
    people/, organisations.json, README.md and manifest.json; with --zip alone only the zip. The bytes are the same
    each time.
    """
    if list_only:
        if out or archive or letters or overwrite:
            raise InputError("--list writes nothing: give it alone")
        _list()
        return
    from fhirsynth.named import cases, people
    from fhirsynth.named.writing import write

    if out is None and archive is None:
        out = Path("named-people")
    whole, so_far = len(cases().people), 0

    with Bar(what="people") as bar:

        def done() -> None:
            nonlocal so_far
            so_far += 1
            bar.people(so_far, whole)

        write(people(), out, archive, letters=letters, overwrite=overwrite, done=done)
    typer.echo(f"{whole} named people in {' and '.join(str(path) for path in (out, archive) if path)}")


def _list() -> None:
    """The cases as a table."""
    from rich.console import Console
    from rich.table import Table

    from fhirsynth.named.cases import cases

    table = Table("key", "who", "what for", box=None, header_style="bold")
    table.columns[0].no_wrap = True
    for case in cases().people.values():
        table.add_row(case.key, case.name, case.tests)
    Console().print(table)
