"""The record of a population: its linked tables, person by person or as Arrow, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fhirsynth.record.integrity import Problem, problems
from fhirsynth.record.schema import PLACES, TABLES, Person

if TYPE_CHECKING:
    import pyarrow as pa

#: All rows of one person, by table.
Rows = dict[str, list[Any]]


class Record:
    """Linked tables: table name → list of the named tuples of `fhirsynth.record.schema`.

    Tables that are not given are empty. Raises `KeyError` for a table that the schema does not have.
    """

    __slots__ = ("tables",)

    def __init__(self, tables: Mapping[str, list[Any]]) -> None:
        unknown = [name for name in tables if name not in TABLES]
        if unknown:
            raise KeyError(f"no such table in the record: {', '.join(unknown)}")
        self.tables: dict[str, list[Any]] = {name: tables.get(name, []) for name in TABLES}

    def __getitem__(self, table: str) -> list[Any]:
        return self.tables[table]

    @property
    def people(self) -> list[Person]:
        """The rows of the person table."""
        return self.tables["person"]

    def by_person(self) -> Iterator[tuple[Person, Rows]]:
        """Each person in table order with their rows: table name → rows, tables without a row left out."""
        people: dict[str, Rows] = {person.id: {} for person in self.people}
        for name, rows in self.tables.items():
            if name == "person" or name in PLACES:
                continue
            for row in rows:
                mine = people[row.person_id]
                if name in mine:
                    mine[name].append(row)
                else:
                    mine[name] = [row]
        for person in self.people:
            yield person, people[person.id]

    def arrow(self, table: str) -> pa.Table:
        """One table as Arrow, with the schema of `fhirsynth.record.arrow.ARROW`."""
        from fhirsynth.record.arrow import to_arrow

        return to_arrow(table, self.tables[table])

    def check(self) -> list[Problem]:
        """Faults: ids used twice, required columns left empty, foreign keys that point nowhere."""
        return problems(self.tables)

    @classmethod
    def concat(cls, records: Iterable[Record]) -> Record:
        """One record of several, rows in the order given. Places and staff that they share are kept once."""
        tables: dict[str, list[Any]] = {name: [] for name in TABLES}
        places: dict[str, dict[str, Any]] = {name: {} for name in PLACES}
        for record in records:
            for name, rows in record.tables.items():
                if name in places:
                    for row in rows:
                        places[name].setdefault(row.id, row)
                else:
                    tables[name].extend(rows)
        for name, kept in places.items():
            tables[name] = list(kept.values())
        return cls(tables)
