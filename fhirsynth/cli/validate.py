"""`fhirsynth validate`: what is wrong, where, by which rule."""

from __future__ import annotations

import gc
import io
import os
import sys
import time
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fhirsynth.errors import FhirsynthError, InterruptedRunError

if TYPE_CHECKING:
    from fhirsynth.validation.engines import Asked
    from fhirsynth.validation.files import Progress
    from fhirsynth.validation.reports import Report, Summary

_COLOURS = {"error": "red", "warning": "yellow", "information": "cyan"}


class Release(StrEnum):
    stu3 = "stu3"
    stu2 = "stu2"


class Engine(StrEnum):
    builtin = "builtin"
    hl7 = "hl7"
    models = "models"


class Format(StrEnum):
    text = "text"
    json = "json"
    operationoutcome = "operationoutcome"


class Severity(StrEnum):
    error = "error"
    warning = "warning"
    information = "information"


def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Files or folders of FHIR JSON or NDJSON, plain or gzip; - is stdin."),
    ],
    profile: Annotated[
        list[str] | None,
        typer.Option(help="Canonical URL of a profile that every resource of its type must meet; may be given again."),
    ] = None,
    release: Annotated[Release, typer.Option(help="Release of UK Core.")] = Release.stu3,
    engine: Annotated[
        Engine,
        typer.Option(help="builtin; HL7's own validator (needs Java); or the typed models of fhir.resources."),
    ] = Engine.builtin,
    format: Annotated[Format, typer.Option(help="Lines for people, JSON Lines, or a FHIR resource.")] = Format.text,
    minimum: Annotated[Severity, typer.Option("--min", help="Leave out what is less grave.")] = Severity.warning,
    rules: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of rules that `fhirsynth profiles compile` wrote; may be given again."),
    ] = None,
    package: Annotated[
        list[Path] | None, typer.Option(help="FHIR package, or folder of them, for --engine hl7; may be given again.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes (threads for hl7); 0 means one a core.")] = 1,
    everything: Annotated[bool, typer.Option("--all", help="Show all findings that are alike.")] = False,
) -> None:
    """Check files against base FHIR R4, UK Core, and what must hold besides.

    Findings go to standard output, a summary to standard error. A file that cannot be read is a finding, and the
    next one is read. Exit code 0 where there is no error, 1 where there is one, 2 where there is nothing to read or
    an option is wrong, 130 where it was interrupted.
    """
    from fhirsynth.run.engine import usable_cores
    from fhirsynth.validation.engines import Asked

    asked = Asked(
        engine.value,
        release.value,
        tuple(profile or ()),
        tuple(rules or ()),
        tuple(package or ()),
        minimum.value,
    )
    errors = _run(paths, asked, format, workers or usable_cores(), everything)
    if errors:
        raise typer.Exit(1)


def _run(paths: list[Path], asked: Asked, format: Format, workers: int, everything: bool) -> int:
    """Check and report; returns the number of errors. Raises InterruptedRunError where the user stopped it."""
    from fhirsynth.validation.files import Progress, check_paths
    from fhirsynth.validation.reports import Summary, Tally

    progress, tally = Progress(), Tally()
    began = time.perf_counter()

    def summary(ended: str = "") -> Summary:
        seconds = time.perf_counter() - began
        return Summary(asked.engine, asked.release, progress.files, progress.resources, seconds, ended)

    # What is read holds no cycles, and the collector walks over all of it again and again: a quarter of the time.
    gc.set_threshold(100_000, 50, 50)
    try:
        with (
            _Screen(progress) as screen,
            closing(check_paths(paths, asked, workers=workers, progress=progress)) as found,
        ):
            report = _report(format, screen, everything)
            try:
                for finding in found:
                    tally.add(finding)
                    report.add(finding)
            except KeyboardInterrupt:
                report.end(summary("interrupted"))
                raise InterruptedRunError(f"interrupted; {tally.lines(summary())[0]}") from None
            except FhirsynthError as error:
                if progress.resources or tally.by_rule:
                    report.end(summary(str(error)))
                raise
            report.end(summary())
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the findings has enough of them. What is still to be written at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        typer.echo("\n".join(tally.lines(summary())), err=True)
    return tally.of("error")


def _report(format: Format, screen: _Screen, everything: bool) -> Report:
    from fhirsynth.validation import reports

    if format is Format.json:
        return reports.JsonLines(screen.write)
    if format is Format.operationoutcome:
        return reports.OperationOutcome(screen.write)
    return reports.Text(screen.write, 0 if everything else reports.REPEATS, _coloured if screen.in_colour else None)


def _coloured(text: str, severity: str) -> str:
    return typer.style(text, fg=_COLOURS[severity])


class _Screen:
    """Standard output, and how far the check is on standard error, where that is a terminal."""

    def __init__(self, progress: Progress) -> None:
        self.in_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._console: Any = None
        self._bar: Any = None
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            together = sys.stdout.isatty()  # then the lines must go by way of the console, above the bar
            console = Console(stderr=not together, highlight=False)
            self._console = console if together else None
            self._bar = Live(
                console=console,
                transient=True,
                refresh_per_second=4,
                redirect_stdout=False,
                redirect_stderr=False,
                get_renderable=lambda: f"{progress.resources:,} resources, file {progress.files:,} of {progress.of:,}",
            )

    def __enter__(self) -> _Screen:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def write(self, line: str) -> None:
        """Write a line to standard output."""
        if self._console:
            from rich.text import Text

            self._console.print(Text.from_ansi(line), soft_wrap=True)
        else:
            sys.stdout.write(line + "\n")
