"""`fhirsynth load`: a population into a FHIR server."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fhirsynth.cli.running import Bar
from fhirsynth.errors import InputError

if TYPE_CHECKING:
    from fhirsynth.loading.loader import Job, Plan, Summary
    from fhirsynth.loading.verifying import Verified

_SHOWN = 20  # refusals and differences that are told one by one


class Mode(StrEnum):
    transaction = "transaction"
    single = "single"


def load(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `fhirsynth population` has made.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="FHIR base URL, such as http://127.0.0.1:8080/fhir.")],
    mode: Annotated[Mode, typer.Option(help="Bundles that are taken as a whole, or each resource by itself.")] = (
        Mode.transaction
    ),
    workers: Annotated[int, typer.Option(min=1, max=64, help="Requests at once.")] = 4,
    batch: Annotated[
        int, typer.Option(min=1, help="Entries of a transaction at most; whoever has more is cut into several.")
    ] = 500,
    token_env: Annotated[
        str | None, typer.Option(metavar="VAR", help="Environment variable that holds the bearer token.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME: VALUE'",
            help="A further header; ${VAR} stands for an environment variable; may be given again.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a load; what was refused, or changed since, is sent again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent; no server is asked.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Count and read back what the server holds.")] = False,
    sample: Annotated[int, typer.Option(min=0, help="Resources of each type that --verify reads back.")] = 20,
    journal: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to note what is done; by default DIR/.load/….jsonl.")
    ] = None,
    attempts: Annotated[int, typer.Option(min=1, max=50, help="Times that a request is tried.")] = 8,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one answer.")] = 120,
    max_refused: Annotated[int, typer.Option(min=1, help="Stop when the server has refused so many resources.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON and nothing else.")] = False,
) -> None:
    """Load a population into a FHIR R4 server: places and staff first, then people.

    Every resource is put under its own id, so that loading twice changes nothing. A load that was stopped goes on
    with --resume. Exit code 1 where the server refused something or --verify found it otherwise, 3 where the server
    failed for too long.
    """
    if dry_run and verify:
        raise InputError("--dry-run and --verify exclude each other: give one of them")
    from fhirsynth.loading import loader
    from fhirsynth.loading.target import target

    asked = target(url, token_env=token_env, headers=header or ())
    job = loader.Job(folder, asked, mode.value, workers, batch, journal, attempts, timeout, max_refused)
    if dry_run:
        with Bar(quiet=as_json, what="people read") as bar:
            planned = loader.plan(job, resume=resume, progress=bar.people)
        _say_plan(job, planned, as_json)
        return
    if asked.is_open:
        typer.echo(f"fhirsynth: the token goes to {asked.base} without encryption; use https", err=True)
    with Bar(quiet=as_json) as bar:
        summary = loader.load(
            job,
            resume=resume,
            sample=sample if verify else None,
            progress=bar.people,
            verifying=partial(bar.steps, words="people verified") if sys.stderr.isatty() else None,
        )
    if as_json:
        print(json.dumps(_as_json(job, summary), indent=2))
    else:
        _say(job, summary)
    if not summary.is_sound:
        raise typer.Exit(1)


def _say_plan(job: Job, planned: Plan, as_json: bool) -> None:
    total = planned.resources.total()
    if as_json:
        told = {"server": job.target.base, "people": planned.people, "resources": dict(planned.resources.most_common())}
        print(json.dumps({**told, "requests": planned.requests, "bytes": planned.size}, indent=2))
        return
    typer.echo(
        f"{total:,} resources of {planned.people:,} people would go to {job.target.base} in {planned.requests:,} "
        f"requests of together {planned.size / 1e6:,.1f} MB; nothing was sent"
    )


def _as_json(job: Job, summary: Summary) -> dict[str, Any]:
    seconds = summary.seconds
    return {
        "folder": str(job.folder),
        "server": job.target.base,
        "people": summary.people,
        "people_loaded": summary.done,
        "resources": dict(summary.loaded.most_common()),
        "created": summary.created,
        "refused": [refusal.as_json() for refusal in summary.refused],
        "left_out": summary.left_out,
        "complete": summary.is_whole and not summary.refused,
        "requests": summary.requests,
        "retries": summary.retries,
        "seconds": round(seconds, 2),
        "resources_per_second": round(summary.sent / seconds, 1) if seconds else 0,
        "journal": str(summary.journal),
        "verified": summary.verified.as_json() if summary.verified else None,
    }


def _say(job: Job, summary: Summary) -> None:
    """The summary in words: what is there, what was refused and why, what differs."""
    total = summary.loaded.total()
    typer.echo(
        f"{total:,} resources, and {summary.done:,} of {summary.people:,} people whole, are in {job.target.base}; "
        f"{summary.created:,} resources were new to it"
    )
    if summary.sent:
        rate = summary.sent / summary.seconds
        again = f", {summary.retries:,} of them again" if summary.retries else ""
        typer.echo(f"{summary.seconds:,.1f} s, {rate:,.0f} resources a second, {summary.requests:,} requests{again}")
    if summary.refused:
        number = sum(len(refusal.resources) for refusal in summary.refused)
        things = "resource" if number == 1 else "resources"
        left_out = f", and {summary.left_out:,} left out that refer to them" if summary.left_out else ""
        typer.echo(f"refused by the server: {number:,} {things}{left_out}; all are in {summary.journal}")
        _list(map(str, summary.refused), len(summary.refused))
    if not summary.is_whole:
        typer.echo("stopped, as so many were refused; put that right and go on with --resume (see --max-refused)")
    if summary.verified:
        _say_verified(summary.verified)


def _say_verified(verified: Verified) -> None:
    missing = {kind: count for kind, count in verified.counts.items() if not count.is_enough}
    more = {k: c for k, c in verified.counts.items() if c.found is not None and c.found > c.expected}
    unknown = [kind for kind, count in verified.counts.items() if count.found is None]
    equal = len(verified.counts) - len(missing) - len(more) - len(unknown)
    typer.echo(
        f"verified: the numbers of {equal} of {len(verified.counts)} types are equal, "
        f"{verified.compared - verified.differing:,} of {verified.compared:,} resources that were read back too"
    )
    _list((f"{kind}: {c.expected:,} expected, {c.found:,} there" for kind, c in missing.items()), len(missing))
    if more:
        told = ", ".join(f"{(c.found or 0) - c.expected:,} more of {kind}" for kind, c in more.items())
        typer.echo(f"the server holds more than these people, so that numbers do not show what is missing: {told}")
    if unknown:
        typer.echo(f"the server does not say how many there are of {', '.join(unknown)}")
    _list((f"{key} {'; '.join(told)}" for key, told in verified.different), verified.differing)


def _list(lines: Any, number: int) -> None:
    """The first of some lines, and how many more there are."""
    for _, line in zip(range(_SHOWN), lines, strict=False):
        typer.echo(f"  {line}")
    if number > _SHOWN:
        typer.echo(f"  … and {number - _SHOWN:,} more")
