"""Trees of rules compiled to closures, once a type or profile; checking a value then is calling its closure.

A check takes a value, the object that holds it and its scope, and answers None where all is well, which costs next
to nothing, or a list of issues with paths relative to the value (of an item in a list: `[0].code`). What is needed
for an element is compiled when the element is first met.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fhirsynth.validation.engine import extensions, primitives, references, slices, terms
from fhirsynth.validation.engine.elements import MANY, Element, Invariant, find, merge
from fhirsynth.validation.engine.library import Library
from fhirsynth.validation.engine.scope import Scope
from fhirsynth.validation.fhirpath import Environment, Unsupported, compile_invariant
from fhirsynth.validation.findings import Issue, Json, Severity, under

Check = Callable[[Any, Any, Scope], "list[Issue] | None"]
#: An invariant compiled, and what is said where it does not hold.
Test = tuple[Callable[[Any, Environment], bool], "list[Issue]"]
#: A rule beyond the profiles that hangs on a type: it looks at one value of that type.
Rule = Callable[[Any], "list[Issue] | None"]

#: Invariants that speak of contained resources only: where there are none they hold.
_OF_CONTAINED = ("dom-2", "dom-3", "dom-4", "dom-5")
#: Good practice, not a fault: most test data and every message without a narrative would be warned about.
_GOOD_PRACTICE = ("dom-6",)
#: Invariants that a rule on the type tells in more detail.
_TOLD_BY_RULE = {"txt-1": "Narrative", "txt-2": "Narrative"}


class Compiler:
    """Compiles the definitions of a library. `unchecked` names the invariants that could not be compiled."""

    def __init__(
        self,
        library: Library,
        rules: Mapping[str, tuple[Rule, ...]],
        functions: Mapping[str, Callable[[Any], Any]],
        any_resource: Callable[[Json, Scope, bool], list[Issue] | None],
        *,
        informative: bool,
    ) -> None:
        self.library = library
        self.unchecked: dict[str, str] = {}
        self.informative = informative
        self._rules = rules
        self._functions = functions
        self._any_resource = any_resource
        self._coding = terms.coding_check(library)
        self._objects: dict[tuple[int, int, str], tuple[Check, Element, Element | None]] = {}
        self._primitives: dict[str, primitives.Check] = {}
        self._invariants: dict[str, Callable[[Any, Any], bool] | None] = {}

    # ---- values of a type

    def of_type(self, kind: str, overlay: Element | None = None, path: str = "") -> Check:
        """What checks a value of a FHIR type, with what a profile says of it laid over. `path` names it in rules."""
        structure = self.library.base(kind)
        if kind in ("Resource", "DomainResource") or structure is None:
            contained = path.endswith(".contained")
            return lambda value, holder, scope: self._any_resource(value, scope, contained)
        if structure.kind == "primitive-type":
            return self.primitive(kind)
        return self.object(structure.root, overlay, path if kind in ("Element", "Extension") and path else kind, kind)

    def primitive(self, kind: str) -> Check:
        """What checks a value of a primitive type."""
        if kind not in self._primitives:
            structure = self.library.base(kind)
            self._primitives[kind] = primitives.checker(kind, structure.pattern if structure else "")
        return self._primitives[kind]

    def object(self, base: Element, overlay: Element | None, path: str, kind: str = "") -> Check:
        """What checks an object whose elements `base` defines: a type, a resource, or a part of a resource."""
        key = id(base), id(overlay), path
        if key in self._objects:
            return self._objects[key][0]
        parts = _Parts(kind or path, self._holding(base, overlay), self._ruling(kind))
        check = parts.check()
        # Known before its parts are compiled: types nest in each other (an extension may hold extensions).
        self._objects[key] = check, base, overlay
        if kind and kind[0].isupper() and "meta" in base.children and "implicitRules" in base.children:
            parts.table["resourceType"] = _fine
        for name, child in base.children.items():
            said = overlay.children.get(name) if overlay else None
            if name.endswith("[x]"):
                self._add_choice(parts, child, _with_short_forms(name, said, overlay), path)
            else:
                self._add(parts, child, said, path, kind)
        return check

    # ---- elements

    def _add(self, parts: _Parts, base: Element, said: Element | None, path: str, owner: str) -> None:
        name = base.name
        layer = merge(_bare(base), said)
        assert layer is not None
        kind = (base.types or ("",))[0]
        missed = [f"slice {key}, at least {piece.min}" for key, piece in layer.slices.items() if piece.min]
        if layer.min:
            parts.required.append((name, f"_{name}", [_missing(name, layer)]))
        elif missed:
            parts.required.append((name, f"_{name}", [Issue(name, "slice-min", "nothing", "; ".join(missed))]))
        if kind == "Extension" and name in ("extension", "modifierExtension"):
            parts.later(name, lambda: extensions.checker(self, name, layer, (path, owner)))
            return
        parts.later(name, lambda: self._element(name, base, layer, kind, f"{path}.{name}"))
        if _is_primitive(kind) and not base.children:
            parts.later(f"_{name}", lambda: self._sibling(name, kind, base, layer, f"{path}.{name}"), name)

    def _add_choice(self, parts: _Parts, base: Element, said: Element | None, path: str) -> None:
        stem = base.name[:-3]
        kinds = {stem + kind[0].upper() + kind[1:]: kind for kind in base.types or ()}
        keys = frozenset(kinds)
        allowed = said.types if said and said.types is not None else base.types or ()
        least = max(base.min or 0, (said.min or 0) if said else 0)
        if least:
            present = keys | {f"_{key}" for key in keys}
            parts.choices.append((present, [Issue(stem, "min", "nothing", f"{base.name}, at least {least}")]))
        for key, kind in kinds.items():
            layer = merge(_bare(base), said)
            piece = _piece_of_type(said, kind, key)
            name = f"{stem}.ofType({kind})"
            if piece is not None:
                assert said is not None
                layer = merge(_bare(base), slices.slice_of(said, piece))
                if piece.min:
                    parts.required.append((key, f"_{key}", [_missing(name, piece)]))
            assert layer is not None
            if kind not in allowed or layer.max == 0 or (said is not None and said.max == 0):
                what = f"{base.name} of type {', '.join(allowed)}" if kind not in allowed else f"no {stem}"
                parts.now(key, _forbidden(what), name)
                continue
            build = partial(self._choice, key, keys, base, layer, kind, f"{path}.{base.name}")
            parts.later(key, build, name)
            if _is_primitive(kind):
                beside = partial(self._sibling, key, kind, base, layer, f"{path}.{base.name}")
                parts.later(f"_{key}", beside, name)

    def _choice(self, key: str, keys: frozenset[str], base: Element, layer: Element, kind: str, path: str) -> Check:
        inner = self._element(key, base, layer, kind, path)

        def check(value: Any, holder: Any, scope: Scope) -> list[Issue] | None:
            found = inner(value, holder, scope)
            present = keys & holder.keys()
            if len(present) > 1 and key == min(present):
                return [*(found or ()), Issue("", "max", " and ".join(sorted(present)), f"one {base.name} only")]
            return found

        return check

    def _element(self, key: str, base: Element, layer: Element, kind: str, path: str) -> Check:
        """What checks an element: its one value, or its list."""
        most = MANY if layer.max is None else layer.max
        if most == 0:
            return _forbidden(f"no {key}")
        item = self._item(base, layer, kind, path)
        if (base.max or 1) <= 1:
            return item
        if layer.slices and layer.slicing:
            checks = {name: self._item(base, slices.slice_of(layer, s), kind, path) for name, s in layer.slices.items()}
            return slices.checker(self.library, layer, item, checks)
        return _many(key, item, most, nullable=_is_primitive(kind))

    def _item(self, base: Element, layer: Element, kind: str, path: str) -> Check:
        """What checks one value of an element."""
        for url in (layer.profiles or {}).get(kind, ())[:1]:
            structure = self.library.structure(url)
            if structure is not None and kind not in ("Resource", "DomainResource"):
                layer = merge(self.library.overlay(url), layer) or layer
        if base.content:
            owner = self.library.base(base.content.partition(".")[0])
            target = find(owner.root, base.content) if owner else None
            assert target is not None, base.content
            return self.object(target, layer if layer.children else None, base.content)
        extra = self._value_checks(kind, layer)
        if _is_primitive(kind) and not base.children:
            return _all_of([self.primitive(kind), *extra], self._holding(Element(base.name), layer))
        if base.children:
            # What the base says of this part is in it already; only the profile's word is laid over.
            check = self.object(base, layer, path)
        else:
            speaks = layer.children or layer.invariants
            check = self.of_type(kind, layer if speaks else None, path)
        if kind == "Reference" and (targets := (layer.targets or {}).get(kind)):
            extra.append(references.target_check(self.library, targets))
        return _and_then(check, extra) if extra else check

    def _value_checks(self, kind: str, layer: Element) -> list[Check]:
        found: list[Check] = []
        if layer.fixed is not None:
            found.append(slices.fixed_check(layer.fixed))
        if layer.pattern is not None:
            found.append(slices.pattern_check(layer.pattern))
        if layer.binding is not None:
            found.extend(terms.checkers(kind, layer.binding, self.library))
        if layer.max_length is not None:
            found.append(_length_check(layer.max_length))
        if layer.min_value is not None or layer.max_value is not None:
            found.append(_bounds_check(layer.min_value, layer.max_value))
        return found

    def _sibling(self, key: str, kind: str, base: Element, layer: Element, path: str) -> Check:
        """What checks `_birthDate` beside `birthDate`: the id and extensions of a primitive."""
        element = self.library.base("Element")
        assert element is not None
        check = self.object(element.root, layer if layer.children else None, path, kind)
        if (base.max or 1) <= 1:
            return check

        def many(value: Any, holder: Any, scope: Scope) -> list[Issue] | None:
            if type(value) is not list:
                return [Issue("", "json-type", primitives.said(value), "an array")]
            beside = holder.get(key)
            found: list[Issue] = []
            if isinstance(beside, list) and len(beside) != len(value):
                many_ = f"{len(beside)} values and {len(value)} in _{key}"
                found.append(Issue("", "json-type", many_, "as many", "warning"))
            for place, item in enumerate(value):
                if item is not None:
                    found.extend(under(f"[{place}]", check(item, holder, scope) or ()))
                elif not isinstance(beside, list):
                    found.append(Issue(f"[{place}]", "json-type", "null without a value beside it", "an object"))
            return found or None

        return many

    # ---- invariants and rules beyond the profiles

    def _holding(self, base: Element, overlay: Element | None) -> list[Test]:
        known = {i.key: i for i in (*base.invariants, *(overlay.invariants if overlay else ()))}
        return [test for invariant in known.values() if (test := self._test(invariant)) is not None]

    def _test(self, invariant: Invariant) -> Test | None:
        severity: Severity = "warning" if invariant.severity == "warning" else "error"
        if invariant.key in _GOOD_PRACTICE:
            severity = "information"
            if not self.informative:
                return None
        if _TOLD_BY_RULE.get(invariant.key) in self._rules:
            return None
        holds = self._compiled(invariant)
        if holds is None:
            return None
        return holds, [Issue("", invariant.key, "it does not hold", invariant.says or invariant.expression, severity)]

    def _compiled(self, invariant: Invariant) -> Callable[[Any, Any], bool] | None:
        expression = invariant.expression
        if expression not in self._invariants:
            try:
                self._invariants[expression] = compile_invariant(expression, functions=self._functions)
            except Unsupported as error:
                self._invariants[expression] = None
                self.unchecked[invariant.key] = str(error)
        return self._invariants[expression]

    def _ruling(self, kind: str) -> list[Rule]:
        rules = self._rules.get(kind, ())
        return [self._coding, *rules] if kind == "Coding" else [*rules]


class _Parts:
    """What an object of one kind may and must hold, filled while its definition is read.

    `table` checks each property by its key; `names` says how a property is called in FHIRPath where that is not its
    key (`valueQuantity`, `_birthDate`); `required` are keys, the key beside each, and what is missed; `choices` the
    same where one of several keys must be there.
    """

    def __init__(self, name: str, tests: list[Test], rules: list[Rule]) -> None:
        self.name = name
        self.table: dict[str, Check] = {}
        self.names: dict[str, str] = {}
        self.required: list[tuple[str, str, list[Issue]]] = []
        self.choices: list[tuple[frozenset[str], list[Issue]]] = []
        self.tests = [test for test in tests if test[1][0].rule not in _OF_CONTAINED]
        self.tests_of_contained = [test for test in tests if test[1][0].rule in _OF_CONTAINED]
        self.rules = rules

    def now(self, key: str, check: Check, name: str) -> None:
        """Enter the check of a property."""
        self.table[key] = check
        self.names[key] = name

    def later(self, key: str, build: Callable[[], Check], name: str = "") -> None:
        """Enter a check that is built when the property is first met."""

        def first(value: Any, holder: Any, scope: Scope) -> list[Issue] | None:
            check = self.table[key] = build()
            return check(value, holder, scope)

        self.now(key, first, name or key)

    def check(self) -> Check:
        """What checks an object; parts that are entered afterwards count."""
        name, names, get = self.name, self.names, self.table.get
        required, choices, tests, rules = self.required, self.choices, self.tests, self.rules
        tests_of_contained = self.tests_of_contained

        def check(value: Any, holder: Any, scope: Scope) -> list[Issue] | None:
            if type(value) is not dict:
                return primitives.wrong_type(value, f"an object ({name})")
            found: list[Issue] = []
            for key, inner in value.items():
                part = get(key)
                if part is None:
                    found.append(Issue(key, "unknown-element", key, f"an element of {name}"))
                elif issues := part(inner, value, scope):
                    found += under(names.get(key) or key, issues)
            for key, sibling, missing in required:
                if key not in value and sibling not in value:
                    found += missing
            for keys, missing in choices:
                if keys.isdisjoint(value):
                    found += missing
            if len(value) <= 1 and (not value or "id" in value):
                found.append(Issue("", "ele-1", "an object without content", "a value or children"))
                return found
            for holds, broken in tests:
                if not holds(value, scope.environment):
                    found += broken
            if "contained" in value:
                for holds, broken in tests_of_contained:
                    if not holds(value, scope.environment):
                        found += broken
            for rule in rules:
                if issues := rule(value):
                    found += issues
            return found or None

        return check


def _is_primitive(kind: str) -> bool:
    return kind[:1].islower()


def _bare(base: Element) -> Element:
    """What a base definition says of an element itself, without its parts."""
    found = Element(base.name, base.min, base.max, base.types, base.targets, base.profiles, base.binding)
    found.max_length, found.min_value, found.max_value = base.max_length, base.min_value, base.max_value
    if not base.children:
        found.invariants = base.invariants
    return found


def _with_short_forms(name: str, said: Element | None, overlay: Element | None) -> Element | None:
    """A choice element with what is said under its short forms (`valueQuantity`) as slices by type."""
    stem = name[:-3]
    found = said
    for key, element in overlay.children.items() if overlay else ():
        if key != name and key.startswith(stem) and key[len(stem) :][:1].isupper():
            holder = Element(name)
            holder.slices[key] = element
            found = merge(found, holder)
    return found


def _piece_of_type(said: Element | None, kind: str, key: str) -> Element | None:
    """The slice of a choice element that is for one type."""
    for name, piece in said.slices.items() if said else ():
        if name == key or piece.types == (kind,):
            return piece
    return None


def _missing(name: str, layer: Element) -> Issue:
    return Issue(name, "min", "nothing", f"at least {layer.min}")


def _forbidden(expected: str) -> Check:
    return lambda value, holder, scope: [Issue("", "max", primitives.said(value), expected)]


def _fine(value: Any, holder: Any, scope: Scope) -> None:
    return None


def _many(key: str, item: Check, most: int, *, nullable: bool) -> Check:
    """What checks a list of at most so many; null stands in a list of primitives where `_key` has an object."""

    def check(value: Any, holder: Any, scope: Scope) -> list[Issue] | None:
        if type(value) is not list:
            return [Issue("", "json-type", primitives.said(value), "an array")]
        found: list[Issue] | None = None
        place = 0
        for inner in value:
            if inner is None and nullable and slices.has_sibling(holder, key, place):
                place += 1
                continue
            issues = item(inner, holder, scope)
            if issues:
                issues = under(f"[{place}]", issues)
                found = [*found, *issues] if found else issues
            place += 1
        if place > most:
            found = [*(found or ()), Issue("", "max", f"{place} of them", f"at most {most}")]
        elif not place:
            return [Issue("", "json-type", "an empty array", "an array of at least one, or no such element")]
        return found

    return check


def _all_of(checks: list[Check], tests: list[Test]) -> Check:
    """Checks of a primitive one after the other, up to the first that finds something."""
    if len(checks) == 1 and not tests:
        return checks[0]

    def check(value: Any, holder: Any, scope: Scope) -> list[Issue] | None:
        for one in checks:
            if issues := one(value, holder, scope):
                return issues
        for holds, broken in tests:
            if not holds(value, scope.environment):
                return broken
        return None

    return check


def _and_then(first: Check, others: list[Check]) -> Check:
    """Checks of one object one after the other; the later ones only where it is an object."""

    def check(value: Any, holder: Any, scope: Scope) -> list[Issue] | None:
        found = first(value, holder, scope)
        if type(value) is dict:
            for other in others:
                if issues := other(value, holder, scope):
                    found = [*found, *issues] if found else issues
        return found

    return check


def _length_check(most: int) -> Check:
    def check(value: Any, holder: Any, scope: Scope) -> list[Issue] | None:
        if type(value) is str and len(value) > most:
            return [Issue("", "max-length", f"{len(value)} characters", f"at most {most}")]
        return None

    return check


def _bounds_check(least: Any, most: Any) -> Check:
    """What checks the bounds of a number, or of a date or time written as precisely as its bound."""
    expected = " and ".join(f"{word} {said}" for word, said in (("from", least), ("up to", most)) if said is not None)

    def check(value: Any, holder: Any, scope: Scope) -> list[Issue] | None:
        if _comes_before(value, least) or _comes_before(most, value):
            return [Issue("", "bounds", primitives.said(value), expected)]
        return None

    return check


def _comes_before(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return len(one) == len(other) and one < other
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    return numbers and bool(one < other)
