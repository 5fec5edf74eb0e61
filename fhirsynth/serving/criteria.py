"""Search criteria (`name=value`) in the SQL of the index.

A criterion has a query that gives the keys of all resources that meet it (`select`), which one search is led by, and
mostly a test of one key (`probe`), by which the other criteria of that search are checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fhirsynth.serving import values
from fhirsynth.serving.comparisons import Sql, date, invalid, quantity, several, split, string, unescaped
from fhirsynth.serving.index import Index
from fhirsynth.serving.outcomes import FhirError
from fhirsynth.serving.parameters import Parameter, Parameters
from fhirsynth.serving.tables import IMPLIED_SYSTEM, NO_SYSTEM, TABLE_OF

_IDENTITY = re.compile(r"[A-Za-z0-9.-]{1,64}")
#: What the index beside a table is for. With a "+" before it SQLite leaves that index alone, and finds the resource.
_COMPARED = re.compile(r"\b(first|after|value)\b")
_DEEPEST = 3  # references that a chain may follow
_MODIFIERS = {
    "token": ("not", "missing"),
    "reference": ("missing",),  # and the name of a type
    "string": ("exact", "contains", "missing"),
    "date": ("missing",),
    "quantity": ("missing",),
    "uri": ("missing",),
}


@dataclass(frozen=True)
class Match:
    """Resources that one value of a criterion fits.

    `select` gives a column `resource`; `probe` is true of a row `r` with a column `key`, and has the same parameters.
    """

    select: str
    probe: str | None
    params: tuple[Any, ...]


@dataclass(frozen=True)
class Criterion:
    """What resources must be: any of the matches, or none of them. No match at all is never met."""

    matches: tuple[Match, ...]
    negated: bool = False

    def select(self) -> tuple[str, list[Any]]:
        """A query of all keys, some perhaps more than once, and its parameters."""
        if not self.matches:
            return "SELECT 0 AS resource WHERE 0", []
        return " UNION ALL ".join(match.select for match in self.matches), [p for m in self.matches for p in m.params]

    def test(self) -> tuple[str, list[Any]]:
        """An expression that is true of a row `r`, and its parameters."""
        if not self.matches:
            return ("1" if self.negated else "0"), []
        tests = (match.probe or f"r.key IN ({match.select})" for match in self.matches)
        said = "(" + " OR ".join(tests) + ")"
        return ("NOT " + said if self.negated else said), [p for m in self.matches for p in m.params]

    def size(self, index: Index, most: int) -> int:
        """How many keys it gives, counted up to `most`."""
        sql, params = self.select()
        counted: int = index.rows(f"SELECT count(*) FROM ({sql} LIMIT {most})", params)[0][0]
        return counted


class Criteria:
    """Reads criteria. `base` is the URL of the server, which references may have before them."""

    def __init__(self, index: Index, parameters: Parameters, base: str) -> None:
        self._index, self._parameters, self._base = index, parameters, base

    def of(self, kind: str, name: str, text: str, depth: int = 0) -> Criterion | None:
        """The criterion `name=text`; None where the type has no such parameter.

        `depth`: how many links of a chain are before it. Raises FhirError where the value or a modifier is not one
        that can be searched by.
        """
        if depth > _DEEPEST:
            raise FhirError(400, "too-costly", f"a chain of more than {_DEEPEST} references")
        if name.startswith("_has:"):
            return self._has(kind, name, text, depth)
        head, chained, rest = name.partition(".")
        name, _, modifier = head.partition(":")
        if name in ("_id", "_lastUpdated"):
            if modifier or chained:
                raise invalid(f"{head} has no modifiers here")
            return self._of_itself(kind, name, text)
        parameter = self._parameters.of(kind).get(name)
        if parameter is None:
            return None
        if chained:
            return self._chain(parameter, modifier, rest, text, depth)
        if modifier == "missing":
            return self._missing(parameter, text)
        narrowed = parameter.type == "reference" and modifier[:1].isupper()
        if modifier and not narrowed and modifier not in _MODIFIERS[parameter.type]:
            can = ", ".join(f":{one}" for one in _MODIFIERS[parameter.type])
            raise invalid(
                f"{kind}?{head}: the modifier :{modifier} is not supported; {parameter.type} parameters have {can}"
            )
        found: list[Match] = []
        for value in several(f"{kind}?{head}", text):
            if value == "":
                raise invalid(f"{kind}?{head}: there is no value")
            for field in self._index.fields(parameter):
                found += self._matches(parameter, field, modifier, value)
        return Criterion(tuple(found), negated=modifier == "not")

    # --- what a value means -----------------------------------------------------------------------

    def _matches(self, parameter: Parameter, field: int, modifier: str, value: str) -> list[Match]:
        """What a value fits in a field."""
        if parameter.type == "reference":
            return self._reference(parameter, field, modifier, value)
        if parameter.type == "token":
            where = self._token(value)
        elif parameter.type == "uri":
            number = self._index.system(value) if parameter.fields[0].numbered else unescaped(value)
            where = None if number is None else ("code = ?", (number,))
        elif parameter.type == "string":
            where = string(modifier, unescaped(value))
        elif parameter.type == "date":
            where = date(f"{parameter.kind}?{parameter.name}", value, "first", "after")
        else:
            where = quantity(f"{parameter.kind}?{parameter.name}", value)
        return [] if where is None else [_in_table(TABLE_OF[parameter.type].name, field, *where)]

    def _token(self, value: str) -> Sql | None:
        parts = [unescaped(part) for part in split(value, "|")]
        if len(parts) == 1:
            return "code = ?", (parts[0],)
        uri, code = parts[0], "|".join(parts[1:])
        if uri == "":
            return ("code = ? AND system IN (?, ?)", (code, NO_SYSTEM, IMPLIED_SYSTEM)) if code else None
        system = self._index.system(uri)
        if code == "":
            return None if system is None else ("system = ?", (system,))
        if system is None:  # one that no code has says nothing against those that have theirs implied
            system = IMPLIED_SYSTEM
        return "code = ? AND system IN (?, ?)", (code, system, IMPLIED_SYSTEM)

    def _reference(self, parameter: Parameter, field: int, modifier: str, value: str) -> list[Match]:
        text = unescaped(value).removeprefix(self._base + "/")
        only = {kind for kind in (modifier, parameter.target) if kind}
        kind, identity = values.split_reference(text)
        if kind:
            kinds = [kind] if only <= {kind} else []
        elif _IDENTITY.fullmatch(identity):
            kinds = [*only] if len(only) == 1 else [] if only else self._index.targets(parameter)
            text = f"{kinds[0]}/{identity}" if only and kinds else identity
        else:
            kinds = []
            only = only or {""}  # a URL, which no type is known of
        keys = [key for key in (self._index.key(kind, identity) for kind in kinds) if key is not None]
        found = [_in_table("link", field, "target = ?", (key,)) for key in keys]
        if not keys and (kinds or only == {""}):  # to what is not there
            found.append(_in_table("token", field, "code = ?", (text,)))
        return found

    # --- what is not in a field of its own --------------------------------------------------------

    def _of_itself(self, kind: str, name: str, text: str) -> Criterion:
        """By the resource's own id, or by when it was last changed."""
        number = self._kind(kind)
        if name == "_id":
            wanted = [unescaped(value) for value in split(text, ",")]
            wheres = [(f"id IN ({', '.join('?' * len(wanted))})", tuple(wanted))]
        else:
            span = "updated * 1000", "updated * 1000 + 1000"
            wheres = [date(f"{kind}?{name}", value, *span) for value in several(f"{kind}?{name}", text)]
        found = []
        for where, params in wheres:
            select = f"SELECT key AS resource FROM resource WHERE kind = ? AND ({where})"
            probe = f"EXISTS (SELECT 1 FROM resource WHERE key = r.key AND kind = ? AND ({where}))"
            found.append(Match(select, probe, (number, *params)))
        return Criterion(tuple(found))

    def _missing(self, parameter: Parameter, text: str) -> Criterion:
        """Whether there is a value at all."""
        if text not in ("true", "false"):
            raise invalid(f"{parameter.kind}?{parameter.name}:missing: expected true or false; found {text!r:.80}")
        found = []
        target = parameter.target
        for field in self._index.fields(parameter):
            if target is None:
                found.append(_in_table(TABLE_OF[parameter.type].name, field, "1", ()))
            else:  # with the type before it: "0" is what comes after "/"
                found.append(_in_table("token", field, "code >= ? AND code < ?", (f"{target}/", f"{target}0")))
            if parameter.type == "reference":
                to = (
                    "SELECT l.resource FROM link l JOIN resource p ON p.key = l.target WHERE l.field = ? AND p.kind = ?"
                )
                any_ = "SELECT resource FROM link WHERE field = ?"
                params = (field,) if target is None else (field, self._kind(target))
                found.append(Match(any_ if target is None else to, None, params))
        return Criterion(tuple(found), negated=text == "true")

    def _chain(self, parameter: Parameter, modifier: str, rest: str, text: str, depth: int) -> Criterion:
        """By a parameter of what is referred to: `patient.identifier`, `subject:Patient.name`."""
        asked = f"{parameter.kind}?{parameter.name}.{rest}"
        if parameter.type != "reference":
            raise invalid(f"{asked}: {parameter.name} is no reference, and nothing can be chained to it")
        if modifier and not modifier[:1].isupper():
            raise invalid(f"{asked}: :{modifier} is no type of resource")
        found, known = [], False
        kinds = [modifier] if modifier else self._index.targets(parameter)
        for kind in kinds:
            inner = self.of(kind, rest, text, depth + 1)
            if inner is None:
                continue
            known = True
            keys, params = self._keys(inner, kind)
            for field in self._index.fields(parameter):
                linked = "CROSS JOIN link l ON l.field = ? AND l.target = s.resource"
                found.append(Match(f"SELECT l.resource FROM ({keys}) s {linked}", None, (*params, field)))
        if kinds and not known:
            raise invalid(f"{asked}: what {parameter.name} refers to has no search parameter {rest.split(':')[0]!r}")
        return Criterion(tuple(found))

    def _has(self, kind: str, name: str, text: str, depth: int) -> Criterion:
        """By a parameter of what refers to it: `_has:Condition:patient:code`."""
        parts = name.split(":", 3)
        if len(parts) < 4:
            raise invalid(f"{name}: expected _has:TYPE:REFERENCE:PARAMETER, such as _has:Condition:patient:code")
        _, other, by, rest = parts
        parameter = self._parameters.of(other).get(by)
        inner = self.of(other, rest, text, depth + 1)
        if parameter is None or parameter.type != "reference" or inner is None:
            wrong = by if parameter is None or parameter.type != "reference" else rest
            raise invalid(f"{name}: {other} has no search parameter {wrong!r} that can be used so")
        if parameter.target not in (None, kind):
            return Criterion(())
        keys, params = self._keys(inner, other)
        select = (
            "SELECT l.target AS resource FROM link l JOIN resource p ON p.key = l.target "
            f"WHERE l.field = ? AND l.resource IN ({keys}) AND p.kind = ?"
        )
        fields = self._index.fields(parameter)
        return Criterion(tuple(Match(select, None, (field, *params, self._kind(kind))) for field in fields))

    def _keys(self, inner: Criterion, kind: str) -> tuple[str, list[Any]]:
        """A query of the keys of what meets a criterion, of one type of resource."""
        if not inner.negated:
            return inner.select()
        test, params = inner.test()
        select = "SELECT r.key AS resource FROM resource r INDEXED BY by_kind WHERE r.kind = ? AND "
        return select + test, [self._kind(kind), *params]

    def _kind(self, kind: str) -> int:
        """The number of a type of resource; 0 where there is none of it."""
        return self._index.kinds[kind].id if kind in self._index.kinds else 0


# --- SQL ------------------------------------------------------------------------------------------


def _in_table(table: str, field: int, where: str, params: Sequence[Any]) -> Match:
    """A match of rows of a field in a table."""
    select = f"SELECT resource FROM {table} WHERE field = ? AND ({where})"
    probe = None
    # What a table is sorted by leads to one row at once; where it does not, all that match are better found once.
    if where.startswith(("code = ?", "target = ?")) or table in ("moment", "quantity"):
        of_one = _COMPARED.sub(r"+\1", where)
        probe = f"EXISTS (SELECT 1 FROM {table} WHERE field = ? AND resource = r.key AND ({of_one}))"
    return Match(select, probe, (field, *params))
