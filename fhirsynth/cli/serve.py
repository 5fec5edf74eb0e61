"""`fhirsynth serve`: a read-only FHIR endpoint over the folder of a population."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from fhirsynth.cli.running import Bar
from fhirsynth.errors import InputError, InterruptedRunError


def serve(
    folder: Annotated[Path, typer.Argument(help="A folder that `fhirsynth population` has made.")] = Path("out"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 means one that is free.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    log: Annotated[bool, typer.Option("--log", help="Print a line for each request.")] = False,
) -> None:
    """Serve the people of a folder as a read-only FHIR R4 endpoint, until Ctrl-C.

    Reads, searches, $everything and $export; GET /metadata says what else. The first start makes an index in
    FOLDER/.fhirsynth-serve, which the next one finds there. Needs pip install 'fhirsynth[serve]'.
    """
    try:
        from fhirsynth.serving import running
    except ImportError as error:
        raise InputError(f"serving needs the package {error.name}: pip install 'fhirsynth[serve]' brings it") from None
    from fhirsynth.serving.cache import index_of

    taken = running.listening(host, port)
    try:
        with Bar(what="MB indexed") as bar:
            index = index_of(folder, lambda done, of: bar.people(done >> 20, of >> 20))
    except KeyboardInterrupt:
        taken.close()
        raise InterruptedRunError("interrupted before the index was finished; nothing of it is kept") from None
    taken.listen()  # so that whoever asks as soon as the address is printed is answered
    url = running.url_of(taken, host)
    people = index.kinds["Patient"].resources if "Patient" in index.kinds else 0
    typer.echo(f"SYNTHETIC test data: {people:,} people, {index.resources:,} resources, of {folder}")
    typer.echo(f"FHIR R4, read-only, at {url} until Ctrl-C; open it in a browser, or ask for {url}/metadata")
    with suppress(KeyboardInterrupt):
        running.run(index, taken, log=log)
    typer.echo("stopped")
