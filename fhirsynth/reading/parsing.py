"""Bytes as JSON: what they hold, or what is wrong with them, where, and what to do about it.

FHIR's JSON is UTF-8, has each key once in an object, and is never nested deeply. orjson reads it and is silent about
a key that stands twice; it is asked to write again what it read, and where that has fewer keys a slower reader says
which. The same writing refuses more than `DEEPEST` levels, so that whoever walks through what was read, level by
level, is safe.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

Json = dict[str, Any]
Severity = Literal["error", "warning"]
#: The text of a file, unpacked.
Stream = io.BufferedReader | gzip.GzipFile

#: Bytes of one resource above which it is not read.
LARGEST = 256 << 20
#: Levels of objects and arrays that are read: those that orjson writes.
DEEPEST = 254
#: What gzip raises over a file that is damaged or cut off.
DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error)
_CHUNK = 1 << 20  # read1 makes room for as many bytes as it is asked for
_SHOWN = 30  # characters of a text that a message shows

_ONCE = "each key once in an object: the last is read"

_MARK = b"\xef\xbb\xbf"
_WIDE = (
    (b"\xff\xfe\x00\x00", "UTF-32LE"),
    (b"\x00\x00\xfe\xff", "UTF-32BE"),
    (b"\xff\xfe", "UTF-16LE"),
    (b"\xfe\xff", "UTF-16BE"),
)
#: Where the zeros are in the first four bytes of JSON, which begins with two ASCII characters.
_ZEROS = {"1000": "UTF-32LE", "0001": "UTF-32BE", "1010": "UTF-16LE", "0101": "UTF-16BE"}
_OTHERS = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "gzip inside gzip"),
    (b"\x89PNG", "a PNG image"),
    (b"\xfd7zXZ", "an XZ file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"PAR1", "a Parquet file"),
)
_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]', re.S)
_SPACED = re.compile(rb'"[ \t\r\n]++:')
_CONTINUED = bytes(range(0x80, 0xC0))  # the bytes of a UTF-8 character after its first


class Place(NamedTuple):
    """Line and column (in characters) of a text, both from 1."""

    line: int
    column: int

    def after(self, text: bytes) -> Place:
        """The place at the end of `text` that begins here."""
        lines = text.count(b"\n")
        last = text[text.rfind(b"\n") + 1 :] if lines else text
        return Place(self.line + lines, len(last.translate(None, _CONTINUED)) + (1 if lines else self.column))


START = Place(1, 1)


class Trouble(NamedTuple):
    """Something in a file that is wrong before FHIR begins: where, what was found, what should be there.

    The `rule` is `readable` where something could not be read at all; `path` is that of an element of the resource,
    where the trouble is inside one.
    """

    file: Path
    line: int | None
    column: int | None
    message: str
    expected: str = ""
    rule: str = "readable"
    severity: Severity = "error"
    path: str = ""


def parse(data: bytes, file: Path, at: Place = START) -> tuple[Any, list[Trouble]]:
    """What a text that begins `at` a place of a file holds (None if it cannot be read), and what is wrong with it."""
    troubles = []
    if data.startswith(_MARK):
        data = data[len(_MARK) :]
        said = "a byte order mark at the beginning"
        troubles.append(Trouble(file, *at, said, "UTF-8 without it", "byte-order-mark", "warning"))
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return None, [*troubles, _why(data, error, file, at)]
    try:
        written = orjson.dumps(content)
    except orjson.JSONEncodeError:
        return None, [*troubles, _too_deep(data, file, at)]
    if _keys(data) != _keys(written):
        for path, key in _keys_twice(data):
            said = f"the key {key!r} more than once"
            line = at.line if at != START else None  # where the resource begins, which is not where the key is
            troubles.append(Trouble(file, line, None, said, _ONCE, "duplicate-key", path=path))
    return content, troubles


def up_to(stream: Stream, size: int) -> tuple[bytes, Exception | None]:
    """So many bytes of a stream, or all there are, and why it ended where its gzip is damaged."""
    found: list[bytes] = []
    try:
        # `read` would lose what was unpacked before the damage.
        while size > 0 and (chunk := stream.read1(min(size, _CHUNK))):
            found.append(chunk)
            size -= len(chunk)
    except DAMAGED as error:
        return b"".join(found), error
    return b"".join(found), None


def damage(error: Exception) -> tuple[str, str]:
    """What is wrong with a gzip file, and what was expected."""
    if isinstance(error, EOFError):
        return "the gzip file ends too early", "a whole file: it was cut off, get it again"
    return f"damaged gzip: {error}", "a whole gzip file: get it again, or name it as what it is"


def not_utf8(head: bytes) -> tuple[str, str] | None:
    """What a file looks like, and what was expected, where its first bytes are not those of UTF-8 text."""
    name = next((name for mark, name in _WIDE if head.startswith(mark)), None)
    if name is None and len(head) > 3:
        name = _ZEROS.get("".join("0" if byte == 0 else "1" for byte in head[:4]))
    if name is not None:
        return f"text in {name}", f"UTF-8: convert it with `iconv -f {name} -t UTF-8`"
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return f"{name}, by its first bytes", "FHIR in JSON"
    return None


# --- what is wrong --------------------------------------------------------------------------------


def _why(data: bytes, error: orjson.JSONDecodeError, file: Path, at: Place) -> Trouble:
    """What makes a text no JSON."""
    if not data.strip():
        return Trouble(file, *at, "nothing: the file is empty", "a FHIR resource")
    if wrong := not_utf8(data[:8]):
        return Trouble(file, *at, *wrong)
    try:
        text = data.decode()
    except UnicodeDecodeError as wrong_bytes:
        return _other_encoding(data, wrong_bytes, file, at)
    if "depth" in error.msg or "recursion" in error.msg:
        return _too_deep(data, file, at)
    if text.lstrip().startswith("<"):
        found = "HTML" if re.match(r"\s*<(!doctype )?html", text, re.I) else "XML"
        return Trouble(file, *at, f"what looks like {found}", "FHIR in JSON")
    place = at.after(text[: min(error.pos, len(text.rstrip()))].encode())
    if error.pos >= len(text.rstrip()):
        said = f"the JSON ends too early, after {_shown(text.rstrip()[-_SHOWN:])}"
        return Trouble(file, *place, said, "a whole file: it was cut off, get it again")
    found = _shown(text[error.pos : error.pos + _SHOWN])
    if "after document" in error.msg and text[error.pos :].lstrip().startswith("{"):
        said = f"another resource after the first, {found}"
        return Trouble(file, *place, said, "one resource; if there is one a line, name the file *.ndjson")
    return Trouble(file, *place, f"not valid JSON, {error.msg}: {found}")


def _shown(text: str) -> str:
    return repr(text.partition("\n")[0] or text)


def _other_encoding(data: bytes, error: UnicodeDecodeError, file: Path, at: Place) -> Trouble:
    """Text that is not UTF-8: which encoding it looks like."""
    place = at.after(data[: error.start])
    byte = data[error.start]
    if error.start + 4 > len(data) and error.reason == "unexpected end of data":
        said = "the text ends in the middle of a character"
        return Trouble(file, *place, said, "a whole file: it was cut off, get it again")
    controls = sum(data[:4096].count(bytes([code])) for code in range(32) if code not in b"\t\n\r\f")
    if controls:
        return Trouble(file, *at, "no text, by its bytes", "FHIR in JSON")
    name = "windows-1252" if any(0x80 <= code < 0xA0 for code in data) else "ISO-8859-1"
    character = bytes([byte]).decode(name, "replace")
    if data[: error.start].isascii() and character.isprintable():
        said = f"the byte 0x{byte:02X}, {character!r} in {name}, which the file looks like"
        return Trouble(file, *place, said, f"UTF-8: convert it with `iconv -f {name} -t UTF-8`")
    return Trouble(file, *place, f"the byte 0x{byte:02X} in the midst of UTF-8 text", "UTF-8: the text is damaged")


def _too_deep(data: bytes, file: Path, at: Place) -> Trouble:
    depth = deepest = 0
    where: int | None = None
    for match in _BRACKETS.finditer(data):
        bracket = match[0]
        if bracket in b"{[":
            depth += 1
            deepest = max(deepest, depth)
            if depth > DEEPEST and where is None:
                where = match.start()
        elif bracket in b"}]":
            depth -= 1
    place = at.after(data[:where])
    return Trouble(file, *place, f"objects and arrays {deepest} levels deep", f"at most {DEEPEST} levels")


def _keys(text: bytes) -> int:
    """How many keys there are in JSON, and quotes with a colon in its strings: alike in what is read and written."""
    return text.count(b'":') + len(_SPACED.findall(text))


class _Twice(dict[str, Any]):
    """An object in which keys stand more than once."""

    keys_twice: tuple[str, ...]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    marked = _Twice(found)
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for key, _ in pairs:
        if key in seen:
            twice[key] = None
        seen.add(key)
    marked.keys_twice = tuple(twice)
    return marked


def _keys_twice(data: bytes) -> Iterator[tuple[str, str]]:
    """Path of each object in which a key stands more than once, and the key."""
    todo: list[tuple[str, Any]] = [("", json.loads(data, object_pairs_hook=_object))]
    while todo:
        path, value = todo.pop()
        if isinstance(value, _Twice):
            for key in value.keys_twice:
                yield path, key
        if isinstance(value, dict):
            inner = [(f"{path}.{key}" if path else key, item) for key, item in value.items()]
            todo.extend(reversed(inner))
        elif isinstance(value, list):
            todo.extend(reversed([(f"{path}[{place}]", item) for place, item in enumerate(value)]))


def size_of(number: int) -> str:
    """A number of bytes in words."""
    return f"{number >> 20} MB" if number >= 1 << 20 else f"{number:,} bytes"


def printable(text: str) -> str:
    """A text on one line without control characters, which would move a terminal's cursor."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    return repr(character)[1:-1]
