"""`fhirsynth profiles`: rule files made of FHIR packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, help="Make rule files for `validate`.")


@app.callback()
def _profiles() -> None:
    """Rule files for `validate`, made of FHIR packages."""


@app.command("compile")
def compile_(
    package: Annotated[
        list[Path], typer.Argument(help="FHIR packages: a .tgz, a folder, or a definition in JSON; bases first.")
    ],
    out: Annotated[Path, typer.Option(help="Folder that gets one folder a release.")],
    release: Annotated[str | None, typer.Option(help="Release folder of the last package [its name].")] = None,
) -> None:
    """Compile FHIR packages into readable rule files, which `validate --rules` reads.

    What a package leans on is looked up in the packages before it, then in the rules that come with fhirsynth.
    """
    from fhirsynth.validation.compiling import releases

    for done in releases.compile_packages(package, out, release):
        counts = ", ".join(f"{done.count(folder):,} {folder}" for folder in releases.FOLDERS)
        name = f"{done.package.name} {done.package.version}".strip()
        typer.echo(f"{name}: {counts} in {out / done.release}")
        for url in done.missing:
            typer.echo(f"  not at hand, so not checked: {url}")
