"""The `fhirsynth` command: its verbs, and how it ends when something is wrong."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from fhirsynth import __version__
from fhirsynth.cli import fixtures, letters, load, population, profiles, samples, serve, show, validate
from fhirsynth.cli.commands import Command
from fhirsynth.errors import FhirsynthError

EXIT_CODES = (
    "Exit codes: 0 done; 1 validate found an error, or load something that the server refused or holds otherwise; "
    "2 the input is wrong or cannot be read; 3 the output cannot be written; 130 interrupted."
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Make synthetic UK populations as UK Core FHIR R4.\n\nNobody in them is real.",
    epilog=EXIT_CODES,
    pretty_exceptions_enable=False,
)
app.command("population", cls=Command)(population.population)
app.add_typer(letters.app, name="letters")
app.command("load")(load.load)
app.command("samples")(samples.samples)
app.command("serve")(serve.serve)
app.command("show")(show.show)
app.command("validate")(validate.validate)
app.add_typer(profiles.app, name="profiles")
app.command("fixtures")(fixtures.fixtures)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fhirsynth {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    pass


def fail(message: str, code: int) -> NoReturn:
    """End with one line on standard error."""
    typer.echo(f"fhirsynth: {' '.join(message.split())}", err=True)
    sys.exit(code)


def _said(error: typer.TyperException, arguments: list[str]) -> str:
    """An error of the command line in words: which option, what was expected, what was found."""
    for option in getattr(getattr(error, "param", None), "opts", ()):
        if option in arguments and error.message:
            found = "".join(arguments[arguments.index(option) + 1 :][:1])
            said = error.message.removeprefix("Value error, ").replace("Input should be", "expected").rstrip(".")
            return f"{option}: {said}" + ("" if repr(found) in said else f"; found {found!r}")
    return error.format_message().rstrip(".")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; every error is one line on standard error, and there is no traceback."""
    try:
        ended = app(arguments, prog_name="fhirsynth", standalone_mode=False)
    except FhirsynthError as error:
        fail(str(error), error.exit_code)
    except ValueError as error:
        # Imported only now: the knowledge package is too slow for `--help`.
        from fhirsynth.knowledge.errors import KnowledgeError

        if not isinstance(error, KnowledgeError):
            raise
        fail(f"knowledge file {error}", 2)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        verb = context.command_path if context else "fhirsynth"
        fail(f"{_said(error, sys.argv[1:] if arguments is None else arguments)}; see {verb} --help", 2)
    if ended == 130:
        fail("interrupted before anything was written", 130)
    sys.exit(ended if isinstance(ended, int) else 0)
