"""Bundles that are too large to be read as a whole: their entries one by one, with little memory.

The text is gone through once to find where each entry begins and ends, with a regular expression that runs over
brackets and strings; the entries are then cut out and parsed like any other JSON. So a mistake inside one entry is
told with its line and column, and the others are read; what is beyond a missing bracket is lost.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fhirsynth.reading.parsing import LARGEST, START, Json, Place, Stream, Trouble, damage, parse, size_of, up_to

_CHUNK = 1 << 20
#: Bytes of an element of the bundle itself (`meta`, `link`, `signature`) up to which it is kept.
_KEPT = 4 << 20

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'


def _flat(levels: int) -> bytes:
    """A pattern that runs over whole strings, over all that is no bracket, and over so many levels of brackets."""
    inner = rb'[^"{}\[\]]++|' + _STRING
    if levels:
        deeper = _flat(levels - 1)
        inner += rb"|\{" + deeper + rb"\}|\[" + deeper + rb"\]"
    return rb"(?:" + inner + rb")*+"


_FLAT = re.compile(_flat(3), re.S)  # three levels are fastest, by measurement
_INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.S)
_SPACE = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb'[^ \t\r\n,:"{}\[\]]*+')
_CLOSES = {ord("{"): ord("}"), ord("["): ord("]")}


class Part(NamedTuple):
    """The text of one entry: its number (from 0), where it begins, and its bytes (None where it is too large)."""

    number: int
    at: Place
    data: bytes | None

    def parsed(self, file: Path) -> tuple[Any, list[Trouble]]:
        """The entry (None if it cannot be read), and what is wrong with it as JSON."""
        path = f"entry[{self.number}]"
        if self.data is None:
            said = f"an entry of more than {size_of(LARGEST)}"
            return None, [Trouble(file, *self.at, said, f"at most {size_of(LARGEST)}", path=path)]
        content, troubles = parse(self.data, file, self.at)
        return content, [
            trouble._replace(path=".".join(part for part in (path, trouble.path) if part)) for trouble in troubles
        ]


class LargeBundle:
    """A bundle above the size that is read as a whole.

    `kind` is its resourceType (None where the text was damaged before it), `frame` the bundle without its entries,
    `troubles` what is wrong with the file outside the entries. It is gone through when made, and as often as its
    parts are asked for.
    """

    def __init__(self, file: Path, opened: Callable[[], Stream]) -> None:
        self.file = file
        self._opened = opened
        with opened() as stream:
            scan = _Scan(file, stream)
            scan.run()
        self.troubles, self.frame, self._spans = scan.troubles, scan.frame, scan.spans
        found = self.frame.get("resourceType")
        self.kind: str | None = found if isinstance(found, str) else None

    @property
    def is_bundle(self) -> bool:
        """Whether it is a bundle at all."""
        return self.kind == "Bundle"

    def __len__(self) -> int:
        return len(self._spans) // 2

    @property
    def size(self) -> int:
        """Bytes of text of all entries."""
        return self._spans[-1] - self._spans[0] if self._spans else 0

    def parts(self) -> Iterator[Part]:
        """The texts of the entries, one after another."""
        at, offset = START, 0
        with self._opened() as stream:
            for index in range(len(self)):
                begin, end = self._spans[2 * index : 2 * index + 2]
                while offset < begin:
                    skipped = stream.read(min(_CHUNK, begin - offset))
                    offset, at = offset + len(skipped), at.after(skipped)
                if end - begin > LARGEST:
                    yield Part(index, at, None)
                    continue
                data = stream.read(end - begin)
                yield Part(index, at, data)
                offset, at = end, at.after(data)


class _BrokenError(Exception):
    """The text cannot be followed further: what was found, what was expected."""

    def __init__(self, found: str, expected: str = "") -> None:
        super().__init__(found)
        self.found, self.expected = found, expected


class _Scan:
    """Goes through the text of one object: its own elements, and where the elements of its `entry` lie."""

    def __init__(self, file: Path, stream: Stream) -> None:
        self.file = file
        self.troubles: list[Trouble] = []
        self.frame: Json = {}
        self.spans = array("Q")
        self._stream = stream
        self._text, self._at = b"", 0  # what was read last, and how far it is understood
        self._start, self._place = 0, START  # offset and place of its first byte
        self._damage: Exception | None = None  # of gzip, behind what was read last
        self._held: int | None = None  # offset from which on the text is kept, if any

    def run(self) -> None:
        """Go to the end, or as far as can be. Where it turns out to be no bundle, the rest is left."""
        try:
            self._peek()
            if self._text.startswith(b"\xef\xbb\xbf"):
                self._at = 3
                said = "a byte order mark at the beginning"
                self.troubles.append(Trouble(self.file, *START, said, "UTF-8 without it", "byte-order-mark", "warning"))
            if self._whole_object() and (found := self._peek()) is not None:
                raise _BrokenError(f"{chr(found)!r} after the end of the bundle", "one bundle a file")
        except _BrokenError as error:
            place = self._place.after(self._text[: self._at])
            self.troubles.append(Trouble(self.file, *place, error.found, error.expected))

    def _whole_object(self) -> bool:
        self._expect(b"{")
        if self._peek() == ord("}"):
            self._at += 1
            return True
        while True:
            key = self._key()
            self._expect(b":")
            if key in self.frame or (key == "entry" and self.spans):
                said = f"the key {key!r} more than once"
                self.troubles.append(Trouble(self.file, None, None, said, "each key once", "duplicate-key"))
            if key == "entry" and self._peek() == ord("["):
                self._entries()
            else:
                self.frame[key] = self._kept_value()
            if isinstance(self.frame.get("resourceType"), str) and self.frame["resourceType"] != "Bundle":
                return False
            if self._next(b",}") == ord("}"):
                return True

    def _entries(self) -> None:
        self._expect(b"[")
        if self._peek() == ord("]"):
            self._at += 1
            return
        while True:
            self._peek()
            begin = self._start + self._at
            self._value()
            self.spans.extend((begin, self._start + self._at))
            if self._next(b",]") == ord("]"):
                return

    def _key(self) -> str:
        if self._peek() != ord('"'):
            raise _BrokenError(self._found(), "a key in quotes")
        key = self._kept_value()
        if not isinstance(key, str):
            raise _BrokenError("a key that is too long")
        return key

    def _kept_value(self) -> Any:
        """An element of the bundle itself; None where it is too large to be kept."""
        self._peek()
        begin = self._start + self._at
        place = self._place.after(self._text[: self._at])
        self._held = begin
        self._value()
        held, self._held = self._held, None
        if held is None:
            return None
        content, troubles = parse(self._text[begin - self._start : self._at], self.file, place)
        self.troubles.extend(troubles)
        return content

    # --- the next of what there is -------------------------------------------------------------

    def _more(self) -> bool:
        """Read on; what is understood is let go. Whether there was more."""
        if self._held is not None and self._start + self._at - self._held > _KEPT:
            self._held = None
        kept_from = self._at if self._held is None else self._held - self._start
        rest = self._text[kept_from:]
        if self._damage is not None:
            self._at = len(self._text)
            raise _BrokenError(*damage(self._damage))
        # As much again as is waiting, so that a long string is not gone through over and over.
        chunk, self._damage = up_to(self._stream, max(_CHUNK, len(rest)))
        if not chunk:
            return self._damage is not None and self._more()
        self._place = self._place.after(self._text[:kept_from])
        self._start += kept_from
        self._at -= kept_from
        self._text = rest + chunk
        return True

    def _peek(self) -> int | None:
        """The next byte that is no space, None at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None  # it matches nothing too
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return None

    def _next(self, wanted: bytes) -> int:
        found = self._peek()
        if found is None:
            raise self._ends()
        if found not in wanted:
            raise _BrokenError(self._found(), " or ".join(repr(chr(byte)) for byte in wanted))
        self._at += 1
        return found

    def _expect(self, wanted: bytes) -> None:
        self._next(wanted)

    def _found(self) -> str:
        found = self._text[self._at : self._at + 30].decode(errors="replace")
        if found:
            return f"not valid JSON: {found.partition(chr(10))[0]!r}"
        last = self._text[max(0, self._at - 30) : self._at].decode(errors="replace")
        return f"the JSON ends too early, after {last!r}"

    def _ends(self) -> _BrokenError:
        self._at = len(self._text)
        return _BrokenError(self._found(), "a whole file: it was cut off, get it again")

    def _value(self) -> None:
        """Go to the end of a value; what is in it is not looked at."""
        found = self._peek()
        if found is None:
            raise self._ends()
        if found == ord('"'):
            self._at += 1
            self._string()
        elif found in _CLOSES:
            self._nest()
        else:
            begin = self._start + self._at
            while True:
                match = _SCALAR.match(self._text, self._at)
                assert match is not None
                self._at = match.end()
                if self._at < len(self._text) or not self._more():
                    break
            if self._start + self._at == begin:
                raise _BrokenError(self._found())

    def _string(self) -> None:
        """Go to the end of a string, the quote at its beginning being behind."""
        while True:
            match = _INSIDE.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text) and self._text[self._at] == ord('"'):
                self._at += 1
                return
            if not self._more():
                raise self._ends()

    def _nest(self) -> None:
        """Go to the end of an object or array."""
        closing = bytearray((_CLOSES[self._text[self._at]],))
        self._at += 1
        while closing:
            match = _FLAT.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at == len(self._text):
                if not self._more():
                    raise self._ends()
                continue
            found = self._text[self._at]
            if found == closing[-1]:
                closing.pop()
                self._at += 1
            elif found in _CLOSES:
                closing.append(_CLOSES[found])
                self._at += 1
            elif found == ord('"'):  # a string whose end is not read yet
                self._at += 1
                self._string()
            else:
                raise _BrokenError(self._found(), repr(chr(closing[-1])))
