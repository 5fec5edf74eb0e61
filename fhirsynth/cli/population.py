"""`fhirsynth population`: make a population and write it."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fhirsynth.cli.letter_options import PANEL, Given, with_letter_options
from fhirsynth.cli.running import Bar, letters_in_words
from fhirsynth.errors import InputError

if TYPE_CHECKING:
    from fhirsynth.run.job import Summary
    from fhirsynth.spec import Spec

_MOST_COMMON = 10


class Sex(StrEnum):
    female = "female"
    male = "male"


#: Options about letters that have no meaning where letters are written as documents alone.
_OF_PAGES = ("--annotations", "--letter-format")


@with_letter_options
def population(
    ctx: typer.Context,
    n: Annotated[int, typer.Option("--n", help="Living people to make; the dead come on top.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same people.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("out"),
    index_date: Annotated[str, typer.Option(help="The day on which the record is told.")] = "2026-01-01",
    years: Annotated[int, typer.Option(help="Years of history before that day.")] = 5,
    age: Annotated[str, typer.Option(help="Youngest and oldest age, such as 65-90.")] = "0-110",
    sex: Annotated[Sex | None, typer.Option(help="Only people of this sex.")] = None,
    region: Annotated[str | None, typer.Option(help="Only people of this region, such as london.")] = None,
    condition: Annotated[
        list[str] | None, typer.Option(help="Only people with this long-term condition; may be given again.")
    ] = None,
    deceased: Annotated[bool, typer.Option(help="Add people who died within those years.")] = True,
    format: Annotated[
        str,
        typer.Option(
            help="bundle or xml (a bundle a person), ndjson (a file a type), parquet or csv (a file a table), document "
            "(letters as document bundles, alone); those wanted with commas between."
        ),
    ] = "bundle",
    gzip: Annotated[bool, typer.Option("--gzip", help="Compress the files, but Parquet and letters.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 means one a core.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run wrote.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON and nothing else.")] = False,
    letters: Annotated[
        bool,
        typer.Option(
            "--letters", help="Write a discharge letter for each hospital stay, into letters/.", rich_help_panel=PANEL
        ),
    ] = False,
    *,
    given: Given,
) -> None:
    """Make a population and write it as UK Core FHIR R4.

    Writes people/ (or ndjson/, parquet/, csv/), organisations.json and manifest.json into the folder, with --letters
    also letters/. The same options give the same bytes, with any number of workers.
    """
    from fhirsynth.run import output

    formats = output.formats(format)
    if "document" in formats:
        letters = True
        if without := [name for name in given.named if name in _OF_PAGES]:
            raise InputError(
                f"{without[0]}: --format document writes letters as documents alone; leave one of them out"
            )
    if given.named and not letters:
        raise InputError(f"{given.named[0]} is about letters: give --letters as well, or leave it out")
    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other: give one of them")
    spec = _spec(
        n=n,
        seed=seed,
        index_date=index_date,
        years=years,
        age=_ages(age),
        sex=sex.value if sex else None,
        region=region,
        condition=tuple(condition or ()),
        deceased=deceased,
    )
    from fhirsynth.run.job import write_population
    from fhirsynth.run.state import Job

    job = Job(spec, out, ",".join(formats), gzip, given.letters(spec.seed) if letters else None)
    with Bar(quiet=as_json, letters=letters) as bar:
        summary = write_population(
            job,
            workers=given.workers(workers),
            resume=resume,
            overwrite=overwrite,
            progress=bar.people,
            letters_done=bar.letters,
        )
    if as_json:
        print(json.dumps(_as_json(summary), indent=2))
    else:
        _print(summary, spec, given.values["level"], documents_alone="document" in formats)


def _ages(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    if not (low.isdigit() and (high.isdigit() or (not high and "-" not in text))):
        raise InputError(f"--age: expected two ages such as 65-90, found {text!r}")
    return int(low), int(high or low)


def _spec(**fields: Any) -> Spec:
    """The spec, with pydantic's complaint as one line that names the option."""
    from pydantic import ValidationError

    from fhirsynth.spec import Spec, first_problem

    try:
        return Spec(**fields)
    except ValidationError as error:
        name, expected = first_problem(error)
        found = fields[name]
        if name == "age":
            found = "-".join(map(str, found))
        raise InputError(f"--{name.replace('_', '-')}: {expected}; found {found}") from None


def _as_json(summary: Summary) -> dict[str, Any]:
    return {
        "out": str(summary.out),
        **summary.tally.as_json(),
        "seconds": round(summary.seconds, 2),
        "people_per_second": round(summary.people_per_second, 1),
    }


def _print(summary: Summary, spec: Spec, level: str, *, documents_alone: bool) -> None:
    """The summary: people, resources by type or rows by table, the most frequent conditions, and letters."""
    from rich.console import Console
    from rich.table import Table

    from fhirsynth import knowledge as kb

    tally, console = summary.tally, Console()
    whole = f"{tally.living:,} living"
    if spec.deceased:
        whole += f" and {tally.dead:,} who died within {spec.years} years"
    console.print(f"{whole}, as told on {spec.index_date}, in {summary.out}/", highlight=False)

    for what, title, counted in (("resource", "Resources", tally.resources), ("table", "Rows", tally.rows)):
        if counted:
            table = Table(what, title=title, title_justify="left")
            table.add_column("number", justify="right")
            for kind, count in counted.most_common():
                table.add_row(kind, f"{count:,}")
            table.add_section()
            table.add_row("all", f"{counted.total():,}")
            console.print(table)

    names = kb.load().conditions
    conditions = Table("condition", title="Most frequent conditions of the living", title_justify="left")
    for heading in ("people", "per cent", "published"):
        conditions.add_column(heading, justify="right")
    for key, count in sorted(tally.conditions.items(), key=lambda item: (-item[1], item[0]))[:_MOST_COMMON]:
        expected = "–" if spec.condition else f"{100 * tally.expected[key] / tally.living:.1f}"
        conditions.add_row(names[key].name, f"{count:,}", f"{100 * count / tally.living:.1f}", expected)
    console.print(conditions)
    if not spec.condition:
        console.print("published: what Kuan et al. found in people of the same ages and sexes", style="dim")
    if tally.letters is not None and documents_alone:
        folder = summary.out / "letters" / "documents"
        console.print(
            f"{tally.letters['documents']:,} letters as documents in {folder}", highlight=False, soft_wrap=True
        )
    elif tally.letters is not None:
        console.print(letters_in_words(tally.letters, level, summary.out), highlight=False, soft_wrap=True)
    rate = f", {summary.people_per_second:,.0f} people a second" if summary.made else ""
    console.print(f"{summary.seconds:,.1f} s{rate}", highlight=False)
