"""Items of a list sorted into the slices of a profile, each checked by its slice's rules and counted.

A discriminator of type value or pattern is compared with what the slice fixes at its path, or with the value set
it is bound to there; type and exists are judged as they say. Where only a terminology server could tell slices
apart, an item is let pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fhirsynth.validation.engine import terms
from fhirsynth.validation.engine.elements import MANY, Element, slice_of
from fhirsynth.validation.engine.library import Library
from fhirsynth.validation.engine.primitives import said
from fhirsynth.validation.findings import Issue, Json, as_list, under

Check = Callable[..., "list[Issue] | None"]
#: Whether an item belongs to a slice; None where it cannot be told.
Match = Callable[[Any], "bool | None"]

__all__ = ["checker", "fixed_check", "has_sibling", "pattern_check", "slice_of"]


def checker(library: Library, layer: Element, unsliced: Check, checks: Mapping[str, Check]) -> Check:
    """What checks a sliced list: `unsliced` checks an item of no slice, `checks` one of each slice by name."""
    slicing = layer.slicing
    assert slicing is not None
    pieces = [
        (name, _match(library, layer, piece, slicing.by), checks[name], piece.min or 0, _most(piece))
        for name, piece in layer.slices.items()
    ]
    most = _most(layer)
    closed = slicing.rules == "closed"

    def check(value: Any, holder: Any, scope: Any) -> list[Issue] | None:
        if type(value) is not list:
            return [Issue("", "json-type", said(value), "an array")]
        if not value:
            return [Issue("", "json-type", "an empty array", "an array of at least one, or no such element")]
        found: list[Issue] = []
        counts = dict.fromkeys(checks, 0)
        for place, item in enumerate(value):
            of_slice, none_fits = unsliced, closed
            for name, match, of_piece, _, _ in pieces:
                held = match(item)
                if held:
                    counts[name] += 1
                    of_slice, none_fits = of_piece, False
                    break
                if held is None:
                    none_fits = False
            if issues := of_slice(item, holder, scope):
                found += under(f"[{place}]", issues)
            if none_fits:
                expected = f"one of the slices {', '.join(checks)}"
                found.append(Issue(f"[{place}]", "slicing", "an item of no slice", expected))
        if len(value) > most:
            found.append(Issue("", "max", f"{len(value)} of them", f"at most {most}"))
        for name, _, _, least, at_most in pieces:
            if counts[name] < least:
                found.append(Issue("", "slice-min", f"{counts[name]} of slice {name}", f"at least {least}"))
            elif counts[name] > at_most:
                found.append(Issue("", "slice-max", f"{counts[name]} of slice {name}", f"at most {at_most}"))
        return found or None

    return check


def _most(element: Element) -> int:
    return MANY if element.max is None else element.max


def _match(library: Library, sliced: Element, piece: Element, by: tuple[tuple[str, str], ...]) -> Match:
    whole = slice_of(sliced, piece)
    matches = [_discriminated(library, whole, how, path) for how, path in by]

    def match(item: Any) -> bool | None:
        answer: bool | None = True
        for one in matches:
            held = one(item)
            if held is False:
                return False
            if held is None:
                answer = None
        return answer

    return match


def _discriminated(library: Library, piece: Element, how: str, path: str) -> Match:
    """Whether an item is of the slice by one discriminator."""
    steps = [] if path == "$this" else path.split(".")
    if how == "type":
        types = piece.types or ()
        return lambda item: all(_type_of(value) in types or not types for value in _values(item, steps))
    element: Element | None = piece
    asked: list[Match] = []
    for place in range(len(steps) + 1):
        if element is not None:
            inner = steps[:place]
            if element.fixed is not None:
                asked.append(_any(inner, lambda value, fixed=element.fixed: value == fixed))  # type: ignore[misc]
            if element.pattern is not None:
                asked.append(_any(inner, lambda value, pattern=element.pattern: fits(value, pattern)))  # type: ignore[misc]
        if place < len(steps):
            element = _child(element, steps[place])
    if how == "exists" and element is not None:
        wanted = element.max != 0
        return lambda item: bool(_values(item, steps)) == wanted
    if not asked and element is not None and element.binding is not None:
        values = library.value_set(element.binding.value_set)
        if values is not None:
            return lambda item: _bound(_values(item, steps), values)
    if not asked:
        return lambda item: None
    return lambda item: all(ask(item) for ask in asked)


def _child(element: Element | None, name: str) -> Element | None:
    """A part by its name; where only its slices fix something, the first slice that must be there."""
    if element is None:
        return None
    child = element.children.get(name) or element.children.get(f"{name}[x]")
    if child is not None and child.slices and child.fixed is None and child.pattern is None:
        for piece in child.slices.values():
            if piece.min:
                return slice_of(child, piece)
    return child


def _any(steps: list[str], holds: Callable[[Any], bool]) -> Match:
    if len(steps) == 1:
        (name,) = steps

        def one(item: Any) -> bool:
            value = item.get(name) if type(item) is dict else None
            return any(map(holds, value)) if type(value) is list else holds(value)

        return one
    return lambda item: any(holds(value) for value in _values(item, steps))


def _values(item: Any, steps: list[str]) -> list[Any]:
    values = [item]
    for name in steps:
        values = [inner for value in values if isinstance(value, dict) for inner in _step(value, name)]
    return values


def _step(value: Json, name: str) -> list[Any]:
    if name in value:
        return as_list(value[name])
    start = len(name)
    return [v for key, v in value.items() if key.startswith(name) and key[start : start + 1].isupper()]


def _type_of(value: Any) -> str:
    return str(value.get("resourceType", "")) if isinstance(value, dict) else ""


def _bound(values: list[Any], codes: Any) -> bool | None:
    answer: bool | None = False
    for value in values:
        for coding in as_list(value.get("coding", value)) if isinstance(value, dict) else [{"code": value}]:
            if not isinstance(coding, dict) or not isinstance(coding.get("code"), str):
                continue
            system = coding.get("system")
            held = terms.contains(codes, system if isinstance(system, str) else None, coding["code"])
            if held:
                return True
            if held is None:
                answer = None
    return answer


def fits(value: Any, pattern: Any) -> bool:
    """Whether a value holds at least what a pattern says, as FHIR's pattern[x] means it."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            key in value and fits(value[key], inner) for key, inner in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(fits(item, inner) for item in value) for inner in pattern)
    return bool(value == pattern and type(value) is type(pattern))


def fixed_check(fixed: Any) -> Check:
    """What checks that a value is exactly `fixed`."""
    issue = f"{said(fixed)} and nothing else"
    return lambda value, *_: None if value == fixed else [Issue("", "fixed", said(value), issue)]


def pattern_check(pattern: Any) -> Check:
    """What checks that a value holds at least what `pattern` says."""
    return lambda value, *_: (
        None if fits(value, pattern) else [Issue("", "pattern", said(value), f"at least {pattern}")]
    )


def has_sibling(holder: Json, key: str, place: int) -> bool:
    """Whether the null at `place` of a primitive array has an object beside it in `_key`."""
    beside = holder.get(f"_{key}")
    return isinstance(beside, list) and place < len(beside) and isinstance(beside[place], dict)
