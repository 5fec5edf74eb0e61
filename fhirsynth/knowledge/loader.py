"""The one loader of knowledge files: reads TOML and CSV, checks form and references."""

from __future__ import annotations

import csv
import hashlib
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from fhirsynth.knowledge import schema
from fhirsynth.knowledge.errors import KnowledgeError, Origin, nearest

#: Names a folder of files laid over the package's own, with the same sub-folders.
OVERLAY = "FHIRSYNTH_KNOWLEDGE"

#: Form of the entries of each file or folder; a folder's `*.toml` hold one entry each or a table an entry.
_FORMS: dict[str, tuple[str, type[schema.Form]]] = {
    "medicines": ("medicines/", schema.Medicine),
    "observables": ("observables/", schema.Observable),
    "panels": ("observables/panels.toml", schema.Panel),
    "specimens": ("observables/specimens.toml", schema.Specimen),
    "procedures": ("procedures.toml", schema.Procedure),
    "vaccines": ("vaccines.toml", schema.Vaccine),
    "allergies": ("allergies.toml", schema.Allergy),
    "reactions": ("reactions.toml", schema.Reaction),
    "specialties": ("specialties.toml", schema.Specialty),
    "general_reasons": ("general-reasons.toml", schema.GeneralReason),
    "flags": ("flags.toml", schema.Flag),
}
_CONDITIONS = "conditions/"
_STATISTICS = "statistics/"

_PATTERNS = {
    r"^\d{6,18}$": "a SNOMED CT id (6 to 18 digits in quotes)",
    r"^[A-Z]\d\d(\.\d|X)?$": "an ICD-10 code such as E11.9 or I10X",
    r"^[A-Z]\d\d\.\d$": "an OPCS-4 code such as W37.1",
    r"^[a-z0-9][a-z0-9.-]*$": "a key of lower-case letters, digits, '-' and '.'",
}

_Model = TypeVar("_Model", bound=schema.Form)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Everything the knowledge files say: key → entry, by kind. `digest`: SHA-256 of all files' bytes."""

    conditions: dict[str, schema.Condition]
    medicines: dict[str, schema.Medicine]
    allergies: dict[str, schema.Allergy]
    reactions: dict[str, schema.Reaction]
    observables: dict[str, schema.Observable]
    panels: dict[str, schema.Panel]
    specimens: dict[str, schema.Specimen]
    procedures: dict[str, schema.Procedure]
    vaccines: dict[str, schema.Vaccine]
    specialties: dict[str, schema.Specialty]
    general_reasons: dict[str, schema.GeneralReason]
    flags: dict[str, schema.Flag]
    digest: str
    origins: dict[tuple[str, str], Origin] = field(repr=False)
    statistics: dict[str, bytes] = field(repr=False)
    _columns: dict[str, dict[str, list[str]]] = field(default_factory=dict, repr=False, compare=False)

    def table(self, name: str) -> dict[str, list[str]]:
        """Columns of `statistics/<name>.csv` as texts; lines that begin with `#` are comments (its source).

        Raises KnowledgeError for an unknown name, or a row of another length than the header.
        """
        if name not in self._columns:
            if name not in self.statistics:
                raise KnowledgeError(f"statistics/{name}.csv: there is no such table; {nearest(name, self.statistics)}")
            self._columns[name] = _columns(name, self.statistics[name])
        return self._columns[name]


def _columns(name: str, content: bytes) -> dict[str, list[str]]:
    numbered = [(n, line) for n, line in enumerate(content.decode().splitlines(), 1) if not line.startswith("#")]
    rows = list(csv.reader(line for _, line in numbered))
    for (line, _), row in zip(numbered, rows, strict=True):
        if len(row) != len(rows[0]):
            expected = f"expected {len(rows[0])} columns as in the header, found {len(row)}"
            raise KnowledgeError(f"statistics/{name}.csv, line {line}: {expected}")
    return {column: [row[position] for row in rows[1:]] for position, column in enumerate(rows[0])}


def load(folder: Path | None = None) -> Knowledge:
    """Read and check all knowledge files; read once a process.

    `folder` (or the environment variable FHIRSYNTH_KNOWLEDGE) names a folder laid over the package's own: a
    file of the same name replaces the package's, a new file adds to it, an entry with a known key replaces
    that entry.
    Raises KnowledgeError with file, line and key for anything that cannot be read or refers to nothing.
    """
    named = folder or os.environ.get(OVERLAY)
    return _load(str(Path(named).resolve()) if named else None)


@lru_cache(maxsize=4)
def _load(overlay: str | None) -> Knowledge:
    from fhirsynth.knowledge.references import check_references

    files = dict(_files(resources.files("fhirsynth.knowledge")))
    own = dict(files)
    if overlay is not None:
        if not Path(overlay).is_dir():
            raise KnowledgeError(f"{overlay}: expected a folder of knowledge files, found none; check {OVERLAY}")
        files.update(_files(Path(overlay)))
    contents = {name: files[name].read_bytes() for name in sorted(files)}
    laid_over = {name for name in files if files[name] is not own.get(name)}
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(name.encode() + b"\0" + content + b"\0")

    origins: dict[tuple[str, str], Origin] = {}
    kinds: dict[str, dict[str, Any]] = {"conditions": _conditions(contents, origins)}
    fixed = {place for place, _ in _FORMS.values()}
    for kind, (place, form) in _FORMS.items():
        names = [n for n in contents if n == place or (place.endswith("/") and n.startswith(place) and n not in fixed)]
        names.sort(key=lambda name: (name in laid_over, name))
        kinds[kind] = _tables(kind, form, {name: contents[name] for name in names}, laid_over, origins)
    statistics = {
        name.removeprefix(_STATISTICS).removesuffix(".csv"): content
        for name, content in contents.items()
        if name.startswith(_STATISTICS) and name.endswith(".csv")
    }
    knowledge = Knowledge(**kinds, digest=digest.hexdigest(), origins=origins, statistics=statistics)
    check_references(knowledge)
    return knowledge


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if not entry.name.startswith(("_", ".")):
                yield from _files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".toml", ".csv")):
            yield prefix + entry.name, entry


def _conditions(contents: dict[str, bytes], origins: dict[tuple[str, str], Origin]) -> dict[str, schema.Condition]:
    adapter = TypeAdapter(schema.Condition)
    out = {}
    for name, content in contents.items():
        if name.startswith(_CONDITIONS) and name.endswith(".toml"):
            key = name.removeprefix(_CONDITIONS).removesuffix(".toml")
            origin = Origin(name, _text(name, content))
            origins["conditions", key] = origin
            out[key] = _entry(adapter, key, _toml(origin), origin)
    return out


def _tables(
    kind: str,
    form: type[_Model],
    contents: dict[str, bytes],
    laid_over: set[str],
    origins: dict[tuple[str, str], Origin],
) -> dict[str, _Model]:
    adapter = TypeAdapter(form)
    out: dict[str, _Model] = {}
    for name, content in contents.items():
        text = _text(name, content)
        for key, data in _toml(Origin(name, text)).items():
            origin = Origin(name, text, (key,))
            if not isinstance(data, dict):
                raise origin.error((), f"expected a table [{key}], found {data!r}; put it under the entry it is about")
            before = origins.get((kind, key))
            if before is not None and name not in laid_over:
                raise origin.error((), f"is also in {before.file}; keep one of the two")
            origins[kind, key] = origin
            out[key] = _entry(adapter, key, data, origin)
    return dict(sorted(out.items()))


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise KnowledgeError(f"{name}, line {line}: expected UTF-8 text; save the file as UTF-8") from None


def _toml(origin: Origin) -> dict[str, Any]:
    try:
        return tomllib.loads(origin.text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).rpartition(" (at ")
        words = place.rstrip(")").replace(",", "").split()
        line = words[1] if words[:1] == ["line"] else str(origin.text.count("\n") + 1)
        problem = f"not valid TOML: {message or place}; look at this line and the one before it"
        raise KnowledgeError(f"{origin.file}, line {line}: {problem}") from None


def _entry(adapter: TypeAdapter[_Model], key: str, data: dict[str, Any], origin: Origin) -> _Model:
    if data.get("key", key) != key:
        raise origin.error(
            ("key",), f"expected {key!r}, the name of the file or table, found {data['key']!r}; leave it out"
        )
    try:
        return adapter.validate_python({**data, "key": key})
    except ValidationError as error:
        raise _explained(error, origin, adapter, data) from None


def _explained(
    error: ValidationError, origin: Origin, adapter: TypeAdapter[Any], data: dict[str, Any]
) -> KnowledgeError:
    """The first of pydantic's complaints in the words of the person who wrote the file."""
    problem = error.errors(include_url=False)[0]
    path, found, context = problem["loc"], problem["input"], problem.get("ctx", {})
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = _known_keys(adapter, path[:-1])
        return origin.error(path, f"unknown key; {nearest(str(path[-1]), known)}; correct the name or remove the line")
    if kind == "missing":
        return origin.error(path, "is missing; add it to this table")
    if kind == "value_error":
        return origin.error(path, str(context["error"]))
    expected = {
        "less_than_equal": "a number from 0 to 1" if context.get("le") == 1 else f"at most {context.get('le')}",
        "greater_than_equal": f"a number of at least {context.get('ge', 0):g}",
        "greater_than": f"a number above {context.get('gt', 0):g}",
        "literal_error": f"one of {context.get('expected')}",
        "string_pattern_mismatch": _PATTERNS.get(str(context.get("pattern")), f"text like {context.get('pattern')}"),
        "model_type": "a table",
        "float_type": "a number",
        "int_type": "a whole number",
        "string_type": "a text in quotes",
        "list_type": "a list in [ ]",
        "dict_type": "a table",
    }.get(kind) or problem["msg"].removeprefix("Input should be ")
    return origin.error(path, f"expected {expected}, found {found!r}; correct the value", found)


def _known_keys(adapter: TypeAdapter[Any], path: tuple[str | int, ...]) -> list[str]:
    """Keys that the form allows at `path`, from its JSON schema."""
    whole = adapter.json_schema()
    node: dict[str, Any] = whole
    for part in (*path, None):
        for option in node.get("anyOf", []):
            if option.get("type") != "null":
                node = option
        if "$ref" in node:
            node = whole["$defs"][node["$ref"].rsplit("/", 1)[1]]
        if part is None:
            break
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
    return [name for name in node.get("properties", {}) if name != "key"]
