"""Value sets as lists of codes, as far as the packages at hand tell them.

What cannot be listed, because it needs SNOMED CT, dm+d or another system that no package holds whole, is told as
open: a system of which codes outside the list may belong, and why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from fhirsynth.systems import SNOMED
from fhirsynth.validation.compiling.packages import canonical

Json = dict[str, Any]

#: Stands for "any system" among what is open: a value set that is not at hand may hold codes of every system.
ANY = "*"
#: A value set that lists more codes than this is left open, unless an element must have one of them.
MOST_CODES = 3000

_LONGEST_WHY = 240
_MOST_NAMED = 12
_RETIRED = ("retired", "deprecated", "inactive")
#: An expression over SNOMED CT that lists concepts one by one: `(123037004 |Body structure| OR 49062001)`.
_LISTED = re.compile(r"\(?\s*\d{6,18}(\s+OR\s+\d{6,18})*\s*\)?", re.IGNORECASE)
_TERM = re.compile(r"\|[^|]*\|")
_CONCEPT = re.compile(r"(\d{6,18})\s*(?:\|\s*([^|]*?)\s*\|)?")


class Concepts(NamedTuple):
    """A code system: displays by code in the order of the definition, what lies below what, properties by code.

    `complete` is False where the definition does not list all codes.
    """

    url: str
    version: str
    status: str
    complete: bool
    case_sensitive: bool | None
    displays: dict[str, str]
    children: dict[str, list[str]]
    properties: dict[str, dict[str, list[str]]]
    retired: tuple[str, ...]

    def below(self, code: str) -> set[str]:
        """All codes below `code`, at any depth."""
        found: set[str] = set()
        waiting = list(self.children.get(code, ()))
        while waiting:
            child = waiting.pop()
            if child not in found:
                found.add(child)
                waiting += self.children.get(child, ())
        return found


class Members:
    """The codes of a value set by system, with displays, and why a system is open."""

    def __init__(self) -> None:
        self.codes: dict[str, dict[str, str]] = {}
        self.open: dict[str, list[str]] = {}

    def add(self, system: str, codes: Mapping[str, str]) -> None:
        """Add codes; a display that is known stays."""
        known = self.codes.setdefault(system, {})
        for code, display in codes.items():
            known[code] = known.get(code) or display

    def opened(self, system: str, why: str) -> None:
        """Note that codes of a system may belong that are not listed."""
        reasons = self.open.setdefault(system, [])
        if why and why not in reasons:
            reasons.append(why)

    def is_open(self, system: str) -> bool:
        """Whether codes of this system may belong that are not listed."""
        return system in self.open or ANY in self.open

    def count(self) -> int:
        """How many codes are listed."""
        return sum(len(codes) for codes in self.codes.values())


class Library(Protocol):
    """Where definitions are looked up by canonical URL; each gives None for what is not at hand."""

    def value_set(self, url: str) -> Json | Members | None:
        """A value set: its definition, or its members where it is known compiled."""

    def code_system(self, url: str) -> Concepts | None:
        """A code system."""

    def code_system_of(self, value_set: str) -> Concepts | None:
        """The code system that names this as the value set of all its codes."""


def concepts(definition: Json) -> Concepts:
    """A code system of its definition."""
    displays: dict[str, str] = {}
    children: dict[str, list[str]] = {}
    properties: dict[str, dict[str, list[str]]] = {}
    retired: list[str] = []

    def put(parent: str, child: str) -> None:
        if child not in children.setdefault(parent, []):
            children[parent].append(child)

    waiting: list[tuple[str | None, Json]] = [(None, concept) for concept in reversed(definition.get("concept", ()))]
    while waiting:
        parent, concept = waiting.pop()
        code = concept["code"]
        displays.setdefault(code, concept.get("display", ""))
        if parent is not None:
            put(parent, code)
        found = _properties(concept)
        if found:
            properties[code] = found
        for above in (*found.get("parent", ()), *found.get("subsumedBy", ())):
            put(above, code)
        for below in found.get("child", ()):
            put(code, below)
        if _is_retired(found):
            retired.append(code)
        waiting += [(code, inner) for inner in reversed(concept.get("concept", ()))]
    return Concepts(
        definition["url"],
        definition.get("version", ""),
        definition.get("status", ""),
        definition.get("content") == "complete",
        definition.get("caseSensitive"),
        displays,
        children,
        properties,
        tuple(dict.fromkeys(retired)),
    )


def _properties(concept: Json) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for property_ in concept.get("property", ()):
        for key, value in property_.items():
            if key.startswith("value"):
                found.setdefault(property_["code"], []).append(_as_text(value))
    return found


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.get("code", "")) if isinstance(value, dict) else str(value)


def _is_retired(properties: Mapping[str, list[str]]) -> bool:
    return (
        any(status.lower() in _RETIRED for status in properties.get("status", ()))
        or "true" in properties.get("inactive", ())
        or "deprecationDate" in properties
    )


def members(url: str, library: Library, within: tuple[str, ...] = ()) -> Members | None:
    """The codes of a value set; None where it is not at hand.

    `within` are the value sets that are being put together around this one: one that is among them adds nothing that
    they do not hold already, so that value sets which include each other come to an end.
    """
    url = canonical(url)
    if url in within:
        return Members()
    found = library.value_set(url)
    if isinstance(found, Members):
        return found
    if found is not None:
        return compose(found, library, (*within, url))
    whole = library.code_system_of(url)
    if whole is None:
        return None
    result = Members()
    _put_system(result, {"system": whole.url}, library)
    return result


def compose(definition: Json, library: Library, within: tuple[str, ...] = ()) -> Members:
    """The codes of a value set of its definition."""
    stated = definition.get("compose")
    result = Members()
    if not stated:
        return _of_expansion(definition)
    for include in stated.get("include", ()):
        _join(result, _include(include, library, within))
    if stated.get("inactive") is False:
        _without_retired(result, library)
    for exclude in stated.get("exclude", ()):
        _take_out(result, exclude, library, within)
    _name_known(result, definition)
    result.codes = {system: codes for system, codes in result.codes.items() if codes}
    return result


def _of_expansion(definition: Json) -> Members:
    """Members of a value set that is published as nothing but its expansion."""
    result = Members()
    expansion = definition.get("expansion", {})
    for system, code, display in _expanded(expansion.get("contains", ())):
        result.add(system, {code: display})
    listed = result.count()
    if not definition.get("expansion") or expansion.get("total", listed) > listed:
        result.opened(ANY, "the definition lists no codes" if not listed else "the definition lists only some codes")
    return result


def _expanded(contains: Iterable[Json]) -> Iterator[tuple[str, str, str]]:
    for item in contains:
        if item.get("code") and not item.get("abstract"):
            yield item.get("system", ""), item["code"], item.get("display", "")
        yield from _expanded(item.get("contains", ()))


def _name_known(result: Members, definition: Json) -> None:
    """Use the publisher's own expansion: codes of systems that stay open, displays of codes that have none."""
    for system, code, display in _expanded(definition.get("expansion", {}).get("contains", ())):
        if system in result.open or code in result.codes.get(system, ()):
            result.add(system, {code: display})


def _include(include: Json, library: Library, within: tuple[str, ...]) -> Members:
    """What one part of a value set names: codes that are of its system and filters, and of all its value sets."""
    parts: list[Members] = []
    if "system" in include:
        parts.append(Members())
        _put_system(parts[0], include, library)
    for url in include.get("valueSet", ()):
        found = members(url, library, within)
        if found is None:
            found = Members()
            found.opened(ANY, f"the value set {canonical(url)} is not at hand")
        parts.append(found)
    result = parts[0] if parts else Members()
    for part in parts[1:]:
        result = _both(result, part)
    return result


def _put_system(result: Members, include: Json, library: Library) -> None:
    """Add what a part of a value set names of one code system."""
    system = include["system"]
    known = library.code_system(system)
    listed = include.get("concept")
    if listed:
        displays = known.displays if known else {}
        result.add(system, {c["code"]: c.get("display") or displays.get(c["code"], "") for c in listed})
        return
    filters = include.get("filter", ())
    if not filters:
        if known:
            result.add(system, known.displays)
        if not known or not known.complete:
            result.opened(system, "every code of the system")
        return
    why = " and ".join(f"{item['property']} {item['op']} {item['value']}" for item in filters)
    if system == SNOMED and len(filters) == 1:
        named = _listed(filters[0])
        if named:
            result.add(
                system, {code: display or (known.displays.get(code, "") if known else "") for code, display in named}
            )
            return
    if known is None or not known.complete:
        result.opened(system, _short(why))
        return
    codes = set(known.displays)
    for item in filters:
        found = _filtered(known, item)
        if found is None:
            result.opened(system, _short(why))
            return
        codes &= found
    result.add(system, {code: display for code, display in known.displays.items() if code in codes})


def _listed(item: Json) -> list[tuple[str, str]]:
    """Concepts that an expression over SNOMED CT names one by one; none where it asks for more."""
    if item["property"] != "constraint" or item["op"] != "=":
        return []
    value = item["value"]
    return _CONCEPT.findall(value) if _LISTED.fullmatch(_TERM.sub(" ", value).strip()) else []


def _short(why: str) -> str:
    text = " ".join(why.split())
    return text if len(text) <= _LONGEST_WHY else f"{text[: _LONGEST_WHY - 1].rstrip()}…"


def _filtered(known: Concepts, item: Json) -> set[str] | None:
    """The codes of a complete code system that a filter lets through; None where that cannot be told."""
    property_, op, value = item["property"], item["op"], item["value"]
    if property_ in ("concept", "code"):
        below: dict[str, Callable[[], set[str]]] = {
            "is-a": lambda: {value} | known.below(value),
            "descendent-of": lambda: known.below(value),
            "is-not-a": lambda: set(known.displays) - {value} - known.below(value),
            "generalizes": lambda: {code for code in known.displays if code == value or value in known.below(code)},
        }
        if op in below:
            return below[op]()
    values = _values(known, property_)
    if values is None:
        return None
    several = {part.strip() for part in value.split(",")}
    if op == "=":
        return {code for code, found in values.items() if value in found}
    if op == "in":
        return {code for code, found in values.items() if several & set(found)}
    if op == "not-in":
        return {code for code, found in values.items() if not several & set(found)}
    if op == "exists":
        return {code for code, found in values.items() if bool(found) == (value == "true")}
    if op == "regex":
        try:
            pattern = re.compile(value)
        except re.error:
            return None
        return {code for code, found in values.items() if any(pattern.fullmatch(text) for text in found)}
    return None


def _values(known: Concepts, property_: str) -> dict[str, list[str]] | None:
    """The values of a property by code; None where the code system tells nothing of it."""
    if property_ in ("concept", "code"):
        return {code: [code] for code in known.displays}
    if property_ == "display":
        return {code: [display] for code, display in known.displays.items()}
    if property_ in ("parent", "child"):
        if property_ == "child":
            return {code: known.children.get(code, []) for code in known.displays}
        above: dict[str, list[str]] = {code: [] for code in known.displays}
        for parent, children in known.children.items():
            for child in children:
                above.setdefault(child, []).append(parent)
        return above
    if not any(property_ in found for found in known.properties.values()):
        return None
    return {code: known.properties.get(code, {}).get(property_, []) for code in known.displays}


def _join(result: Members, more: Members) -> None:
    for system, codes in more.codes.items():
        result.add(system, codes)
    for system, reasons in more.open.items():
        for why in reasons:
            result.opened(system, why)


def _both(one: Members, other: Members) -> Members:
    """Codes that belong to both; what only one of them lists and the other leaves open stays open."""
    result = Members()
    for system in dict.fromkeys([*one.codes, *one.open, *other.codes, *other.open]):
        first, second = one.codes.get(system, {}), other.codes.get(system, {})
        common = {code: display or second[code] for code, display in first.items() if code in second}
        if common:
            result.add(system, common)
        may_be = one.is_open(system) and (other.is_open(system) or second.keys() - first.keys())
        if may_be or (other.is_open(system) and first.keys() - second.keys()):
            reasons = [*one.open.get(system, ()), *other.open.get(system, ())]
            result.opened(system, " and ".join(reasons) or "one of its value sets is not at hand")
    return result


def _without_retired(result: Members, library: Library) -> None:
    for system, codes in result.codes.items():
        known = library.code_system(system)
        for code in known.retired if known else ():
            codes.pop(code, None)


def _take_out(result: Members, exclude: Json, library: Library, within: tuple[str, ...]) -> None:
    """Take out what one part of a value set excludes; what it may exclude becomes open."""
    if "system" in exclude and not any(key in exclude for key in ("concept", "filter", "valueSet")):
        result.codes.pop(exclude["system"], None)
        result.open.pop(exclude["system"], None)
        return
    out = _include(exclude, library, within)
    for system, codes in out.codes.items():
        for code in codes:
            result.codes.get(system, {}).pop(code, None)
        if system in result.open and codes:
            named = list(codes)[:_MOST_NAMED]
            more = f" and {len(codes) - len(named)} more" if len(codes) > len(named) else ""
            result.opened(system, f"less {', '.join(named)}{more}")
    for system, reasons in out.open.items():
        for affected in list(result.codes) if system == ANY else [system]:
            if result.codes.pop(affected, None) or affected in result.open:
                result.opened(affected, f"less {' and '.join(reasons)}")


def value_set_rules(definition: Json, found: Members, *, whole: bool) -> Json:
    """A value set as its file holds it; long ones are left open unless the `whole` list is needed."""
    rules: Json = {key: definition[key] for key in ("url", "version", "status") if key in definition}
    count = found.count()
    codes, opened = dict(found.codes), {system: list(reasons) for system, reasons in found.open.items()}
    if count > MOST_CODES and not whole:
        for system, listed in found.codes.items():
            opened.setdefault(system, []).append(f"{len(listed)} codes, more than are listed here")
        codes = {}
    if opened:
        rules["open"] = [{"system": system, "why": "; ".join(reasons)} for system, reasons in opened.items()]
    rules["codes"] = codes
    return rules


def code_system_rules(known: Concepts) -> Json:
    """A complete code system as its file holds it."""
    rules: Json = {"url": known.url}
    if known.version:
        rules["version"] = known.version
    if known.status:
        rules["status"] = known.status
    if known.case_sensitive is not None:
        rules["case_sensitive"] = known.case_sensitive
    if known.retired:
        rules["retired"] = list(known.retired)
    rules["codes"] = known.displays
    if known.children:
        rules["children"] = known.children
    return rules


def members_of_rules(rules: Json) -> Members:
    """A value set read back from its file."""
    result = Members()
    for system, codes in rules["codes"].items():
        result.add(system, codes)
    for item in rules.get("open", ()):
        result.opened(item["system"], item["why"])
    return result


def concepts_of_rules(rules: Json) -> Concepts:
    """A code system read back from its file; properties are not kept there."""
    return Concepts(
        rules["url"],
        rules.get("version", ""),
        rules.get("status", ""),
        True,
        rules.get("case_sensitive"),
        rules["codes"],
        rules.get("children", {}),
        {},
        tuple(rules.get("retired", ())),
    )
