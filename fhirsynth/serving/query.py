"""What a search asks for besides its criteria: how many, in which order, which parts, what else.

`Query.of` reads the parameters of a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from fhirsynth.serving.criteria import Criteria, Criterion
from fhirsynth.serving.outcomes import FhirError
from fhirsynth.serving.parameters import Parameter, Parameters

#: Resources on a page, unless `_count` says otherwise, and at most.
USUAL, MOST = 50, 1000

_CURSOR = re.compile(r"(?:after-(\d{1,18})|from-(\d{1,18}))")
_SUMMARIES = ("true", "text", "data", "count", "false")
_TOTALS = ("none", "estimate", "accurate")
#: Values that all criteria may have together: more than 32,766 are too many for SQLite.
_MOST_VALUES = 10_000
#: Parameters of any request, which have been heeded already.
_GENERAL = ("_format", "_pretty")
#: Result parameters, of which each stands once.
_ONCE = ("_count", "_total", "_summary", "_elements", "_sort", "_page")
#: By what results can be ordered besides the parameters of their type.
_OF_ITSELF = ("_id", "_lastUpdated")


@dataclass(frozen=True)
class Order:
    """One part of an order: by a parameter (or `_id`, `_lastUpdated`), rising or falling."""

    by: Parameter | str
    falling: bool


@dataclass(frozen=True)
class Include:
    """What else is to be on a page: what is referred to by a parameter (of any type: None), or what refers to it.

    `source`: the type that the parameter belongs to, `target`: the only type to be followed to, `iterate`: whether
    also from what is there only for this reason.
    """

    source: str
    parameter: Parameter | None
    target: str | None
    reverse: bool
    iterate: bool


@dataclass
class Query:
    """A search for resources of one type.

    A page begins behind the key `after`, or when so many are `skipped`. `heeded`: what the link to the search says,
    without the page; `ignored`: what is not known.
    """

    kind: str
    criteria: list[Criterion] = field(default_factory=list)
    count: int = USUAL
    order: list[Order] = field(default_factory=list)
    total: bool = True
    summary: str = "false"
    elements: tuple[str, ...] = ()
    includes: list[Include] = field(default_factory=list)
    after: int = 0
    skipped: int = 0
    page: str | None = None
    heeded: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)

    @property
    def counted_only(self) -> bool:
        """Whether only the number of resources is asked for."""
        return self.summary == "count" or self.count == 0

    @classmethod
    def of(cls, kind: str, given: Iterable[tuple[str, str]], parameters: Parameters, criteria: Criteria) -> Query:
        """Read the parameters of a search. Raises FhirError where one is known and its value is wrong."""
        query = cls(kind)
        seen: set[str] = set()
        values = 0
        for name, text in given:
            if name in _GENERAL:
                query.heeded.append((name, text))
                continue
            if name in _ONCE and name in seen:
                raise FhirError(400, "invalid", f"{name} is there more than once")
            seen.add(name)
            if name in _ONCE or name.partition(":")[0] in ("_include", "_revinclude"):
                known = query._result(name, text, parameters)
            else:
                criterion = criteria.of(kind, name, text)
                known = criterion is not None
                if criterion is not None:
                    query.criteria.append(criterion)
                    values += sum(len(match.params) for match in criterion.matches)
                    if values > _MOST_VALUES:
                        raise FhirError(400, "too-costly", "too many criteria at once")
            if known and name != "_page":
                query.heeded.append((name, text))
            elif not known:
                query.ignored.append((name, text))
        if query.after and query.order:
            raise FhirError(400, "invalid", "_page is that of another search: begin without it")
        return query

    def _result(self, name: str, text: str, parameters: Parameters) -> bool:
        """Take up a parameter that says how results are given; whether it is supported."""
        if name == "_count":
            self.count = read_count(text)
        elif name == "_total":
            self.total = _one_of(name, text, _TOTALS) != "none"
        elif name == "_summary":
            self.summary = _one_of(name, text, _SUMMARIES)
        elif name == "_elements":
            names = (part.strip().removeprefix(f"{self.kind}.") for part in text.split(","))
            self.elements = tuple(filter(None, names))
        elif name == "_sort":
            self.order = [self._order(part, parameters) for part in text.split(",")]
        elif name == "_page":
            self.page = text
            self.after, self.skipped = read_cursor(text)
        else:
            return self._include(name, text, parameters)
        return True

    def _order(self, text: str, parameters: Parameters) -> Order:
        falling, name = text.startswith("-"), text.removeprefix("-")
        if name in _OF_ITSELF:
            return Order(name, falling)
        parameter = parameters.of(self.kind).get(name)
        if parameter is None:
            raise FhirError(400, "invalid", f"_sort: {self.kind} has no search parameter {name!r}")
        if parameter.type in ("reference", "uri"):
            raise FhirError(400, "not-supported", f"_sort: {name} is a {parameter.type}, which has no order")
        return Order(parameter, falling)

    def _include(self, name: str, text: str, parameters: Parameters) -> bool:
        verb, _, modifier = name.partition(":")
        if modifier not in ("", "iterate", "recurse"):
            raise FhirError(400, "invalid", f"{name}: the modifier :{modifier} is not supported; there is :iterate")
        reverse, iterate = verb == "_revinclude", modifier != ""
        source, _, rest = text.partition(":")
        by, _, target = rest.partition(":")
        if text == "*" and not reverse:
            source, by = self.kind, "*"
        found = parameters.of(source).get(by)
        if by != "*" and (found is None or found.type != "reference"):
            said = f"{source} has no reference {by!r}" if by else "expected TYPE:REFERENCE, or * for all references"
            raise FhirError(400, "invalid", f"{name}={text}: {said}")
        if by == "*" and reverse:
            raise FhirError(400, "not-supported", f"{name}={text}: name one reference")
        self.includes.append(Include(source, found, target or None, reverse, iterate))
        return True


def read_count(text: str) -> int:
    """The value of `_count`, cut to `MOST`."""
    if not re.fullmatch(r"\d{1,9}", text):
        raise FhirError(400, "invalid", f"_count: expected a whole number; found {text!r:.40}")
    return min(int(text), MOST)


def read_cursor(text: str) -> tuple[int, int]:
    """The key after which a page begins, and how many resources are before it; one of them is 0."""
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise FhirError(400, "invalid", f"_page: {text!r:.40} is not of a link that this server gave")
    return int(match[1] or 0), int(match[2] or 0)


def _one_of(name: str, text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise FhirError(400, "invalid", f"{name}: expected one of {', '.join(known)}; found {text!r:.40}")
    return text
