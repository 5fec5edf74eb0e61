"""What goes wrong in a knowledge file, and on which line: messages for the person who wrote the file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Path = tuple[str | int, ...]

_PART = r"""(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"^\s*(\[\[|\[)\s*({_DOTTED})\s*\]")
_ASSIGNMENT = re.compile(rf"^\s*({_DOTTED})\s*=")
_MULTILINE = re.compile(r"\"\"\"|'''")


class KnowledgeError(ValueError):
    """A knowledge file cannot be used: the message says where, what was expected and what to do."""


class Origin(NamedTuple):
    """Where an entry was written: file (relative to the knowledge folder), its text, path to the entry."""

    file: str
    text: str
    prefix: Path = ()

    def error(self, path: Path, message: str, value: object = None) -> KnowledgeError:
        """An error about `path` inside this entry; `value` narrows the line to where it is written."""
        whole = (*self.prefix, *path)
        where = f"{self.file}, line {line_of(self.text, whole, value)}"
        return KnowledgeError(f"{where}: {shown(whole)}: {message}" if whole else f"{where}: {message}")


def line_of(text: str, path: Path, value: object = None) -> int:
    """Line of a TOML text (from 1) on which `path` is written, or the nearest enclosing table or key.

    `path` holds keys, and positions in arrays of tables. If `value` is a text that stands in quotes between
    that line and the next key, the line with the value is returned (lists over several lines).
    """
    lines = _index(text)
    for length in range(len(path), 0, -1):
        line = lines.get(path[:length])
        if line is not None:
            break
    else:
        return 1
    if isinstance(value, str):
        following = min((other for other in lines.values() if other > line), default=10**9)
        for number, content in enumerate(text.splitlines(), 1):
            if line <= number < following and (f'"{value}"' in content or f"'{value}'" in content):
                return number
    return line


def _index(text: str) -> dict[Path, int]:
    """First line of every table, array element and key of a TOML text."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    quoted = False
    for number, line in enumerate(text.splitlines(), 1):
        delimiters = len(_MULTILINE.findall(line))
        if quoted:
            quoted = delimiters % 2 == 0
            continue
        quoted = delimiters % 2 == 1
        if header := _HEADER.match(line):
            table = _resolved(_parts(header[2]), counts)
            if header[1] == "[[":
                found.setdefault(table, number)
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            found.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            found.setdefault((*table, *_parts(assignment[1])), number)
    return found


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_PART, dotted)]


def _resolved(parts: Sequence[str], counts: dict[Path, int]) -> Path:
    """A header's path with the position put in where it goes into an array of tables."""
    path: Path = ()
    for position, part in enumerate(parts):
        path = (*path, part)
        if path in counts and position < len(parts) - 1:
            path = (*path, counts[path])
    return path


def shown(path: Path) -> str:
    """`treatment[0].share`, as people read it."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            out += ("." if out else "") + (f'"{part}"' if "." in part else part)
    return out


def nearest(word: str, known: Iterable[str]) -> str:
    """`nearest: a, b, c` for an unknown `word`, or what there is when nothing is near."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    if close:
        return "nearest: " + ", ".join(close)
    return "known: " + ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "none is known"
