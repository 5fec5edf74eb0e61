"""Runs a search: which resources, how many in all, on which page, and what comes along with them.

Where few resources meet one criterion, they are looked at one by one; where many meet each, the resources
of the type are gone through in order until the page is full. Either way the work for a page does not grow with the
number of people, but for a total, which is kept for the pages that follow, and an order, which all must be known for.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from fhirsynth.serving.criteria import Criterion
from fhirsynth.serving.index import Index, Stored
from fhirsynth.serving.outcomes import FhirError
from fhirsynth.serving.parameters import Parameters
from fhirsynth.serving.query import Include, Order, Query
from fhirsynth.serving.tables import TABLE_OF

#: Keys that a criterion may give for them to be looked at one by one.
_FEW = 2000
#: Totals that are kept.
_KEPT = 1000
#: Resources that may come along on one page.
_MOST_INCLUDED = 10_000


class Page(NamedTuple):
    """A page of results: resources found, those along with them, how many are found in all, the next cursor."""

    found: list[Stored]
    included: list[Stored]
    total: int | None
    next: str | None


class Searches:
    """Runs searches over an index. May be shared by threads."""

    def __init__(self, index: Index, parameters: Parameters) -> None:
        self._index, self._parameters = index, parameters
        self._totals: OrderedDict[tuple[Any, ...], int] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, query: Query) -> Page:
        """The page that was asked for. Raises FhirError where too much would come along with it."""
        kind = self._index.kinds.get(query.kind)
        if kind is None:
            return Page([], [], 0, None)
        rows = _Rows(self._index, kind.id, query.criteria)
        total = self._total(query, kind.resources, rows) if query.total or query.counted_only else None
        if query.counted_only:
            return Page([], [], total, None)
        keys = rows.page(query)
        cursor = None
        if len(keys) > query.count:
            keys = keys[: query.count]
            cursor = f"from-{query.skipped + len(keys)}" if query.order else f"after-{keys[-1]}"
        found = self._index.by_keys(keys)
        return Page(found, self._included(query.includes, found) if query.includes else [], total, cursor)

    def _total(self, query: Query, all_of_them: int, rows: _Rows) -> int:
        if not query.criteria:
            return all_of_them
        key = rows.identity
        with self._lock:
            if key in self._totals:
                self._totals.move_to_end(key)
                return self._totals[key]
        total = rows.count()
        with self._lock:
            self._totals[key] = total
            if len(self._totals) > _KEPT:
                self._totals.popitem(last=False)
        return total

    # --- what comes along -------------------------------------------------------------------------

    def _included(self, includes: list[Include], found: list[Stored]) -> list[Stored]:
        seen = {item.key for item in found}
        included: list[Stored] = []
        last, first = found, True
        while last:
            keys: dict[int, None] = {}
            for one in includes:
                if first or one.iterate:
                    keys.update(dict.fromkeys(self._referring(one, last) if one.reverse else self._referred(one, last)))
            first = False
            fresh = [key for key in keys if key not in seen]
            if len(included) + len(fresh) > _MOST_INCLUDED:
                said = f"more than {_MOST_INCLUDED:,} resources come along with this page; ask for fewer with _count"
                raise FhirError(400, "too-costly", said)
            seen.update(fresh)
            last = self._index.by_keys(fresh)
            included += last
        return included

    def _referred(self, include: Include, items: list[Stored]) -> Iterable[int]:
        """Keys of what these resources refer to."""
        own = self._parameters.of(include.source).values()
        by = [include.parameter] if include.parameter else [one for one in own if one.type == "reference"]
        for item in items:
            if item.kind == include.source:
                resource = orjson.loads(item.body)
                for parameter in by:
                    for kind, identity in parameter.values(resource):
                        if include.target in (None, kind) and parameter.target in (None, kind):
                            key = self._index.key(kind, identity)
                            if key is not None:
                                yield key

    def _referring(self, include: Include, items: list[Stored]) -> Iterable[int]:
        """Keys of what refers to these resources."""
        assert include.parameter is not None
        for item in items:
            if include.target in (None, item.kind) and include.parameter.target in (None, item.kind):
                for field in self._index.fields(include.parameter):
                    sql = "SELECT resource FROM link WHERE field = ? AND target = ? LIMIT ?"
                    for (key,) in self._index.rows(sql, (field, item.key, _MOST_INCLUDED + 1)):
                        yield key


class _Rows:
    """The keys of what meets all criteria, as a query."""

    def __init__(self, index: Index, kind: int, criteria: list[Criterion]) -> None:
        self._index, self._kind, self._criteria = index, kind, criteria
        tests = [criterion.test() for criterion in criteria]
        self.identity: tuple[Any, ...] = (kind, *((test, tuple(params)) for test, params in tests))
        leading = [criterion for criterion in criteria if not criterion.negated]
        sizes = [criterion.size(index, _FEW + 1) for criterion in leading]
        least = min(range(len(leading)), key=sizes.__getitem__, default=None)
        self._leader = None if least is None else leading[least]
        self._few = least is not None and sizes[least] <= _FEW

    def page(self, query: Query) -> list[int]:
        """Keys of a page, and one more where there is another page."""
        rows, params, tests, more = self._led() if self._few or query.order else self._scanned()
        order, joins = _ordered(self._index, query.order)
        sql = f"SELECT r.key FROM {rows}{joins} WHERE {tests} AND r.key > ? ORDER BY {order} LIMIT ? OFFSET ?"
        found = self._index.rows(sql, (*params, *more, query.after, query.count + 1, query.skipped))
        return [key for (key,) in found]

    def count(self) -> int:
        """How many keys there are."""
        rows, params, tests, more = self._led()
        counted: int = self._index.rows(f"SELECT count(*) FROM {rows} WHERE {tests}", (*params, *more))[0][0]
        return counted

    def _led(self) -> _Sql:
        """By the keys that the criterion with the fewest gives, and the tests of the others."""
        if self._leader is None:
            return self._scanned()
        select, params = self._leader.select()
        tests, more = _all([criterion for criterion in self._criteria if criterion is not self._leader])
        return f"(SELECT DISTINCT resource AS key FROM ({select})) r", params, tests, more

    def _scanned(self) -> _Sql:
        """By all resources of the type, in order, and the tests of all criteria."""
        tests, params = _all(self._criteria)
        return "resource r INDEXED BY by_kind", [], f"r.kind = ? AND {tests}", [self._kind, *params]


#: What rows there are and its parameters, what must be true of them and its parameters.
_Sql = tuple[str, list[Any], str, list[Any]]


def _all(criteria: list[Criterion]) -> tuple[str, list[Any]]:
    """The tests of all criteria as one, and its parameters."""
    tests, params = ["1"], []
    for criterion in criteria:
        test, more = criterion.test()
        tests.append(test)
        params += more
    return " AND ".join(tests), params


def _ordered(index: Index, order: list[Order]) -> tuple[str, str]:
    """What rows are ordered by, and what must be joined to them for it. Those without a value come last."""
    said, joins = [], ""
    for number, one in enumerate(order):
        end = "max" if one.falling else "min"
        if isinstance(one.by, str):
            value = f"(SELECT {'id' if one.by == '_id' else 'updated'} FROM resource WHERE key = r.key)"
        else:
            table, fields = TABLE_OF[one.by.type].name, ", ".join(map(str, index.fields(one.by)))
            column = {"moment": "after" if one.falling else "first", "quantity": "value", "string": "folded"}
            best = f"{end}(+{column.get(table, 'code')})"  # "+": not by going through an index from its end
            if table in ("moment", "quantity"):  # sorted by resource, so that the value is quickly found
                value = f"(SELECT {best} FROM {table} WHERE field IN ({fields}) AND resource = r.key)"
            else:
                query = f"SELECT resource, {best} AS value FROM {table} WHERE field IN ({fields}) GROUP BY resource"
                joins += f" LEFT JOIN ({query}) s{number} ON s{number}.resource = r.key"
                value = f"s{number}.value"
        said.append(f"{value} {'DESC' if one.falling else 'ASC'} NULLS LAST")
    return ", ".join([*said, "r.key"]), joins
