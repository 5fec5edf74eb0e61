"""The notes of an unfinished run, in `.fhirsynth` inside the output folder: what was asked, which shards are done."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhirsynth import __version__
from fhirsynth import knowledge as kb
from fhirsynth.errors import InputError, OutputError
from fhirsynth.run import output
from fhirsynth.run.output import Format, Written
from fhirsynth.run.tally import Tally
from fhirsynth.spec import Spec

if TYPE_CHECKING:
    from fhirsynth.letters.folder import Letters

#: Packages whose version can change the bytes that are written, and those that do so for one format.
_PACKAGES = ("numpy", "orjson", "pydantic")
_OF_FORMAT: dict[Format, str] = {"xml": "lxml", "parquet": "pyarrow", "csv": "pyarrow"}
_RUN = "run.json"


@dataclass(frozen=True)
class Job:
    """What is to be written where; the same for every shard, and passed to the workers.

    `format`: one of `output.FORMATS`, or several with commas between.
    """

    spec: Spec
    out: Path
    format: str = "bundle"
    gzip: bool = False
    letters: Letters | None = None

    @property
    def formats(self) -> tuple[Format, ...]:
        """The formats, in their usual order. Raises InputError for one that there is not."""
        return output.formats(self.format)

    @property
    def state(self) -> Path:
        """The folder of the run's notes."""
        return self.out / output.STATE


def identity(job: Job) -> dict[str, Any]:
    """All that decides which bytes are written, as JSON: the head of the manifest, and what resuming compares.

    Raises InputError where the writer of the letters cannot be had.
    """
    versions = {"fhirsynth": __version__, "python": platform.python_version()}
    of_format = {_OF_FORMAT[form] for form in job.formats if form in _OF_FORMAT}
    versions |= {name: metadata.version(name) for name in (*_PACKAGES, *sorted(of_format))}
    told = {
        "spec": job.spec.model_dump(mode="json"),
        "format": job.format,
        "gzip": job.gzip,
        "knowledge": kb.load().digest,
        "versions": versions,
    }
    if job.letters is not None:
        from fhirsynth.run.letters import writer

        versions |= job.letters.versions()
        told["letters"] = {**writer(job.letters.manner).identity(), **job.letters.identity()}
    return told


def prepare(job: Job, wanted: dict[str, Any], *, resume: bool, overwrite: bool) -> bool:
    """Make the output folder ready; True where an earlier run has finished it already.

    `wanted`: the job's identity. Raises InputError where the folder holds something that was not meant, OutputError
    where it cannot be written to.
    """
    with _writing_to(job.out, "make it writable or choose another with --out"):
        if overwrite:
            _clear(job)
        found = _begun(job.out)
        if found is None and not overwrite and job.out.is_dir() and any(job.out.iterdir()):
            raise InputError(_in_use(job.out, resume))
        if found is not None:
            if not resume:
                raise InputError(_in_use(job.out, resume))
            _compare(job.out, found, wanted)
            if not (job.state / _RUN).exists():
                return True
        _make_ready(job, wanted)
    return False


def prepare_letters(job: Job, wanted: dict[str, Any], *, resume: bool, overwrite: bool) -> bool:
    """Make a folder whose people are finished ready for their letters; True where these are finished already.

    The people's files and the manifest stay until others take their places. Raises as `prepare`.
    """
    folder = job.out / output.LETTERS
    with _writing_to(job.out, "make it writable"):
        run = _read(job.state / _RUN)
        begun = run if run is not None and "letters" in run else None
        ours = begun or _read(job.out / output.MANIFEST) or {}
        if "letters" not in ours and folder.exists():
            raise InputError(f"{folder} was not written by fhirsynth, so it stays; move it away")
        if "letters" in ours and resume:
            _compare(job.out, ours, wanted)
            if begun is None:
                return True
        elif "letters" in ours and not overwrite:
            said = "are there already: use" if begun is None else "were begun: use --resume to go on with them, or"
            raise InputError(f"the letters in {job.out} {said} --overwrite to replace them")
        else:
            for path in (job.state, folder):
                if path.exists():
                    shutil.rmtree(path)
        _make_ready(job, wanted)
    return False


@contextmanager
def _writing_to(out: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write to the folder {out}: {error.strerror or error}; {remedy}") from None


def _make_ready(job: Job, wanted: dict[str, Any]) -> None:
    """The folders of a run, and the note of what is asked."""
    for name in ("tmp", "done", "joined"):
        (job.state / name).mkdir(parents=True, exist_ok=True)
    for left in (job.state / "tmp").iterdir():
        left.unlink()
    for form in job.formats:
        if form in output.FOLDERS:
            (job.out / output.FOLDERS[form]).mkdir(exist_ok=True)
    _note(job, _RUN, wanted)


def _in_use(out: Path, resume: bool) -> str:
    if resume:
        return f"the folder {out} holds files but no unfinished run to resume; choose an empty folder with --out"
    return (
        f"the folder {out} is not empty; use --resume to go on with an unfinished run, --overwrite to replace a "
        "finished one, or another folder with --out"
    )


def _begun(out: Path) -> dict[str, Any] | None:
    """What the run in this folder was asked for, if there is one."""
    return next(filter(None, map(_read, _heads(out))), None)


def _heads(out: Path) -> tuple[Path, Path]:
    """The files that say what a run was asked for: while it goes on, and at its end."""
    return out / output.STATE / _RUN, out / output.MANIFEST


def _read(path: Path) -> dict[str, Any] | None:
    """What a run noted that it was asked for; None where there is no such file, or another."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found if isinstance(found, dict) and "spec" in found and "versions" in found else None


def _compare(out: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    if "letters" in found and "letters" not in wanted:
        raise InputError(
            f"the run in {out} has letters; resume with --letters and the options that it was begun with, or start "
            "afresh with --overwrite"
        )
    if "letters" in wanted and "letters" not in found:
        raise InputError(
            f"the run in {out} was begun without letters; resume it without them, then `fhirsynth letters {out}` "
            "writes them, or start afresh with --overwrite"
        )

    def flat(data: dict[str, Any]) -> dict[str, Any]:
        letters = {f"letters' {key}": value for key, value in data.get("letters", {}).items()}
        plain = {key: data.get(key) for key in ("format", "gzip", "knowledge")}
        return {**data["spec"], **plain, **letters, **data["versions"]}

    then, now = flat(found), flat(wanted)
    for name in now:
        if then.get(name) != now[name]:
            raise InputError(
                f"the run in {out} was begun with {name} {then.get(name)!r}, asked for now is {now[name]!r}; "
                "resume with what it was begun with, or start afresh with --overwrite"
            )


def _clear(job: Job) -> None:
    """Remove what an earlier run wrote, and nothing else."""
    begun = _begun(job.out)
    ours = output.names(output.formats(begun["format"])) if begun is not None else []
    if any("letters" in (_read(path) or {}) for path in _heads(job.out)):
        ours.append(output.LETTERS)
    for name in [*output.names(job.formats), *([output.LETTERS] if job.letters is not None else [])]:
        if name not in ours and (job.out / name).exists():
            raise InputError(_not_ours(job.out / name))
    for path in [job.out / name for name in ours if (job.out / name).exists()]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _not_ours(path: Path) -> str:
    return f"{path} was not written by fhirsynth, so --overwrite leaves it; choose another folder with --out"


def note_shard(
    job: Job, number: int, tally: Tally, files: list[Written], places: Iterable[str], types: Iterable[str] = ()
) -> None:
    """Note that a shard is done, which places it refers to, and the types of span in its letters.

    It is the last thing that its worker does.
    """
    note = {"tally": tally.as_json(), "files": files, "places": sorted(places)}
    if job.letters is not None:
        note["types"] = sorted(types)
    _note(job, f"done/{number}.json", note)


def note_joined(job: Job, name: str, written: list[Written]) -> None:
    """Note that the parts of what is one file for all shards are joined, before they are removed."""
    _note(job, f"joined/{name}.json", {"files": written})


def joined(job: Job, name: str) -> list[Written] | None:
    """What `note_joined` noted, if it did."""
    path = job.state / f"joined/{name}.json"
    return [Written(*file) for file in json.loads(path.read_bytes())["files"]] if path.exists() else None


def _note(job: Job, path: str, data: dict[str, Any]) -> None:
    temporary = job.state / "tmp" / f"{os.getpid()}-{Path(path).name}.note"
    temporary.write_text(json.dumps(data), encoding="utf-8")
    temporary.replace(job.state / path)


def is_done(job: Job, number: int) -> bool:
    """Whether a shard is finished."""
    return (job.state / f"done/{number}.json").exists()


def _done(job: Job, number: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((job.state / f"done/{number}.json").read_bytes())
    return found


def tally_of(job: Job, number: int) -> Tally:
    """Counts of one shard. It must be done."""
    return Tally.from_json(_done(job, number)["tally"])


def shards_done(job: Job) -> Iterator[tuple[Tally, list[Written]]]:
    """Counts and files of every shard, in order. All must be done."""
    for number in range(job.spec.shards):
        note = _done(job, number)
        yield Tally.from_json(note["tally"]), [Written(*file) for file in note["files"]]


def places_used(job: Job) -> set[str]:
    """Ids of the places and staff that the shards refer to. All must be done."""
    return {place for number in range(job.spec.shards) for place in _done(job, number)["places"]}


def span_types(job: Job) -> set[str]:
    """Types of span in the letters of the shards. All must be done, with letters."""
    return {kind for number in range(job.spec.shards) for kind in _done(job, number)["types"]}


def clean(job: Job) -> None:
    """Remove the notes of a finished run, first that it was begun."""
    (job.state / _RUN).unlink()
    shutil.rmtree(job.state)
