"""What a table's class says of its columns: type, whether they may be empty, meaning, allowed values, unit.

    class Organisation(NamedTuple):
        kind: Annotated[str, Says("what it is", "practice | trust")]

`columns(Organisation)` reads this back; the Arrow schemas, the check of the record and the data dictionary are made
of it.
"""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

#: Types of columns, by the names that the Table Schema of Frictionless Data has for them.
Kind = Literal["string", "integer", "number", "boolean", "date", "datetime"]

#: Marks of the whole numbers that stand for a day or a moment.
DATE, TIMESTAMP = "date32", "timestamp"
_MARKED: dict[str, Kind] = {DATE: "date", TIMESTAMP: "datetime"}
_PLAIN: dict[type, Kind] = {str: "string", int: "integer", float: "number", bool: "boolean"}


class Says(NamedTuple):
    """What a column means.

    `values`: all that it may hold, with " | " between; `unit`: of a number, in words; `key`: of a foreign key, the
    table it points into; `codes`: of a key or national code, the code list (`fhirsynth.tables.codes`) that says what it
    stands for, and the column there, as in `code_medicine.key`.
    """

    meaning: str
    values: str = ""
    unit: str = ""
    key: str = ""
    codes: str = ""


class Column(NamedTuple):
    """One column of a table.

    `required`: never empty; `values`: all that it may hold, nothing where that is open; `refers_to`: the table that a
    foreign key points into; `codes`: the column of a code list that says what it stands for.
    """

    name: str
    kind: Kind
    required: bool
    meaning: str
    values: tuple[str, ...]
    unit: str
    refers_to: str
    codes: str


@cache
def columns(table: type) -> tuple[Column, ...]:
    """The columns of a table's class, in order."""
    return tuple(_column(name, hint) for name, hint in get_type_hints(table, include_extras=True).items())


def _column(name: str, hint: Any) -> Column:
    notes: list[Any] = []
    required = True
    while (origin := get_origin(hint)) is not None:
        if origin is Annotated:
            hint, *more = get_args(hint)
            notes += more
        elif origin in (Union, UnionType):
            (hint,) = (one for one in get_args(hint) if one is not NoneType)
            required = False
    said = next((note for note in notes if isinstance(note, Says)), Says(""))
    kind = next((_MARKED[note] for note in notes if isinstance(note, str)), None) or _PLAIN[hint]
    values = tuple(said.values.split(" | ")) if said.values else ()
    return Column(name, kind, required, said.meaning, values, said.unit, said.key, said.codes)
