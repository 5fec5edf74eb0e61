"""The notes of an unfinished run, in `.fhirsynth` inside the output folder: what was asked, which shards are done."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from fhirsynth import __version__
from fhirsynth import knowledge as kb
from fhirsynth.errors import InputError, OutputError
from fhirsynth.run import output
from fhirsynth.run.output import Format, Written
from fhirsynth.run.tally import Tally
from fhirsynth.spec import Spec

#: Packages whose version can change the bytes that are written.
_PACKAGES = ("numpy", "orjson", "pydantic")
_OURS = (output.PEOPLE, output.NDJSON, output.ORGANISATIONS, output.MANIFEST, output.STATE)
_RUN = "run.json"


@dataclass(frozen=True)
class Job:
    """What is to be written where; the same for every shard, and passed to the workers."""

    spec: Spec
    out: Path
    format: Format = "bundle"
    gzip: bool = False

    @property
    def state(self) -> Path:
        """The folder of the run's notes."""
        return self.out / output.STATE


def identity(job: Job) -> dict[str, Any]:
    """All that decides which bytes are written, as JSON: the head of the manifest, and what resuming compares."""
    versions = {"fhirsynth": __version__, "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in _PACKAGES}
    return {
        "spec": job.spec.model_dump(mode="json"),
        "format": job.format,
        "gzip": job.gzip,
        "knowledge": kb.load().digest,
        "versions": versions,
    }


def prepare(job: Job, *, resume: bool, overwrite: bool) -> bool:
    """Make the output folder ready; True where an earlier run has finished it already.

    Raises InputError where the folder holds something that was not meant, OutputError where it cannot be
    written to.
    """
    wanted = identity(job)
    try:
        if overwrite:
            _clear(job)
        found = _begun(job.out)
        if found is None and not overwrite and job.out.is_dir() and any(job.out.iterdir()):
            raise InputError(_in_use(job.out, resume))
        if found is not None:
            if not resume:
                raise InputError(_in_use(job.out, resume))
            _compare(job.out, found, wanted)
            if not job.state.exists():
                return True
        for name in ("tmp", "done", "joined"):
            (job.state / name).mkdir(parents=True, exist_ok=True)
        for left in (job.state / "tmp").iterdir():
            left.unlink()
        (job.out / (output.PEOPLE if job.format == "bundle" else output.NDJSON)).mkdir(exist_ok=True)
        (job.state / _RUN).write_text(json.dumps(wanted), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"cannot write to the folder {job.out}: {error.strerror or error}; "
            "make it writable or choose another with --out"
        ) from None
    return False


def _in_use(out: Path, resume: bool) -> str:
    if resume:
        return f"the folder {out} holds files but no unfinished run to resume; choose an empty folder with --out"
    return (
        f"the folder {out} is not empty; use --resume to go on with an unfinished run, --overwrite to replace a "
        "finished one, or another folder with --out"
    )


def _begun(out: Path) -> dict[str, Any] | None:
    """What the run in this folder was asked for, if there is one."""
    for path in (out / output.STATE / _RUN, out / output.MANIFEST):
        if path.is_file():
            try:
                found = json.loads(path.read_bytes())
                if isinstance(found, dict) and "spec" in found and "versions" in found:
                    return found
            except ValueError:
                continue
    return None


def _compare(out: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    def flat(data: dict[str, Any]) -> dict[str, Any]:
        return {**data["spec"], **data["versions"], **{k: data.get(k) for k in ("format", "gzip", "knowledge")}}

    then, now = flat(found), flat(wanted)
    for name in now:
        if then.get(name) != now[name]:
            raise InputError(
                f"the run in {out} was begun with {name} {then.get(name)!r}, asked for now is {now[name]!r}; "
                "resume with what it was begun with, or start afresh with --overwrite"
            )


def _clear(job: Job) -> None:
    """Remove what an earlier run wrote, and nothing else."""
    ours = [job.out / name for name in _OURS if (job.out / name).exists()]
    if ours and _begun(job.out) is None:
        raise InputError(
            f"{ours[0]} was not written by fhirsynth, so --overwrite leaves it; choose another folder with --out"
        )
    for path in ours:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def note_shard(job: Job, number: int, tally: Tally, files: list[Written], places: Iterable[str]) -> None:
    """Note that a shard is done, and which places it refers to: the last thing that its worker does."""
    _note(job, f"done/{number}.json", {"tally": tally.as_json(), "files": files, "places": sorted(places)})


def note_joined(job: Job, name: str, written: Written) -> None:
    """Note that the parts of one NDJSON file are joined, before they are removed."""
    _note(job, f"joined/{name}.json", {"file": written})


def joined(job: Job, name: str) -> Written | None:
    """What `note_joined` noted of an NDJSON file, if it was."""
    path = job.state / f"joined/{name}.json"
    return Written(*json.loads(path.read_bytes())["file"]) if path.exists() else None


def _note(job: Job, path: str, data: dict[str, Any]) -> None:
    temporary = job.state / "tmp" / f"{os.getpid()}-{Path(path).name}.note"
    temporary.write_text(json.dumps(data), encoding="utf-8")
    temporary.replace(job.state / path)


def is_done(job: Job, number: int) -> bool:
    """Whether a shard is finished."""
    return (job.state / f"done/{number}.json").exists()


def shards_done(job: Job) -> Iterator[tuple[Tally, list[Written]]]:
    """Counts and files of every shard, in order. All must be done."""
    for number in range(job.spec.shards):
        note = json.loads((job.state / f"done/{number}.json").read_bytes())
        yield Tally.from_json(note["tally"]), [Written(*file) for file in note["files"]]


def places_used(job: Job) -> set[str]:
    """Ids of the places and staff that the shards refer to. All must be done."""
    used: set[str] = set()
    for number in range(job.spec.shards):
        used.update(json.loads((job.state / f"done/{number}.json").read_bytes())["places"])
    return used


def clean(job: Job) -> None:
    """Remove the notes of a finished run."""
    shutil.rmtree(job.state)
