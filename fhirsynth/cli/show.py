"""`fhirsynth show`: the people of a folder, or one person's life as a timeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhirsynth.errors import InputError


def show(
    path: Annotated[Path, typer.Argument(help="Folder that `fhirsynth population` wrote, or one file of it.")],
    person: Annotated[str | None, typer.Argument(help="Whom: id, NHS number, or number in the list (from 1).")] = None,
    limit: Annotated[int, typer.Option(min=1, help="People to list at most.")] = 50,
) -> None:
    """Show the people, or one person's life from birth to the index date."""
    from rich.console import Console

    from fhirsynth.cli import lives, telling

    console = Console(highlight=False)
    if person is None and not path.is_file():
        telling.list_people(console, lives.all_people(path), limit)
        return
    found = next(iter(lives.all_people(path)), None) if person is None else lives.find(path, person)
    if found is None:
        raise InputError(f"{path} holds no patient")
    telling.tell(console, found, lives.place_names(path))
