"""Trees of rules compiled to closures, once a type or profile; checking a value then is calling its closure.

A check takes a value and its scope and answers None where all is well, which costs next to nothing, or a list of
issues with paths relative to the value. What is needed for an element is compiled when the element is first met.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fhirsynth.validation.engine import extensions, primitives, references, slices, terms
from fhirsynth.validation.engine.elements import MANY, Element, Invariant, find, merge
from fhirsynth.validation.engine.library import Library
from fhirsynth.validation.engine.scope import Scope
from fhirsynth.validation.fhirpath import Unsupported, compile_invariant
from fhirsynth.validation.findings import Issue, Json, under

Check = Callable[[Any, Scope], "list[Issue] | None"]
Handler = Callable[[Any, Json, Scope], "list[Issue] | None"]
#: A rule beyond the profiles that hangs on a type: it looks at one value of that type.
Rule = Callable[[Any], "list[Issue] | None"]

#: Invariants that speak of contained resources only: where there are none they hold.
_OF_CONTAINED = ("dom-2", "dom-3", "dom-4", "dom-5")
#: Good practice, not a fault: most test data and every message without a narrative would be warned about.
_GOOD_PRACTICE = ("dom-6",)


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
            return lambda value, scope: self._any_resource(value, scope, contained)
        if structure.kind == "primitive-type":
            check = self.primitive(kind)
            return lambda value, scope: check(value)
        return self.object(structure.root, overlay, path if kind in ("Element", "Extension") and path else kind, kind)

    def primitive(self, kind: str) -> primitives.Check:
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
        table: dict[str, Handler] = {}
        required: list[tuple[str, str, list[Issue]]] = []
        choices: list[tuple[frozenset[str], list[Issue]]] = []
        tests = [*self._holding(base, overlay), *self._ruling(kind)]
        check = _object(kind or path, table, required, choices, tests)
        # Known before its parts are compiled: types nest in each other (an extension may hold extensions).
        self._objects[key] = check, base, overlay
        if kind and kind[0].isupper() and "meta" in base.children and "implicitRules" in base.children:
            table["resourceType"] = _fine
        for name, child in base.children.items():
            said = overlay.children.get(name) if overlay else None
            if name.endswith("[x]"):
                self._add_choice(table, required, choices, child, _with_short_forms(name, said, overlay), path)
            else:
                self._add(table, required, child, said, path, kind)
        return check

    # ---- elements

    def _add(
        self,
        table: dict[str, Handler],
        required: list[tuple[str, str, list[Issue]]],
        base: Element,
        said: Element | None,
        path: str,
        owner: str,
    ) -> None:
        name = base.name
        layer = merge(_bare(base), said)
        assert layer is not None
        kind = (base.types or ("",))[0]
        missed = [f"slice {key}, at least {piece.min}" for key, piece in layer.slices.items() if piece.min]
        if layer.min:
            required.append((name, f"_{name}", [_missing(name, layer)]))
        elif missed:
            required.append((name, f"_{name}", [Issue(name, "slice-min", "nothing", "; ".join(missed))]))
        if kind == "Extension" and name in ("extension", "modifierExtension"):
            _lazily(table, name, lambda: extensions.handler(self, name, layer, (path, owner)))
            return
        _lazily(table, name, lambda: self._handler(name, base, layer, kind, f"{path}.{name}"))
        if _is_primitive(kind) and not base.children:
            _lazily(table, f"_{name}", lambda: self._sibling(name, kind, base, layer, f"{path}.{name}"))

    def _add_choice(
        self,
        table: dict[str, Handler],
        required: list[tuple[str, str, list[Issue]]],
        choices: list[tuple[frozenset[str], list[Issue]]],
        base: Element,
        said: Element | None,
        path: str,
    ) -> None:
        stem = base.name[:-3]
        kinds = {stem + kind[0].upper() + kind[1:]: kind for kind in base.types or ()}
        keys = frozenset(kinds)
        allowed = said.types if said and said.types is not None else base.types or ()
        least = max(base.min or 0, (said.min or 0) if said else 0)
        if least:
            present = keys | {f"_{key}" for key in keys}
            choices.append((present, [Issue(stem, "min", "nothing", f"{base.name}, at least {least}")]))
        for key, kind in kinds.items():
            layer = merge(_bare(base), said)
            piece = _piece_of_type(said, kind, key)
            if piece is not None:
                assert said is not None
                layer = merge(_bare(base), slices.slice_of(said, piece))
                if piece.min:
                    required.append((key, f"_{key}", [_missing(key, piece)]))
            assert layer is not None
            if kind not in allowed or layer.max == 0 or (said is not None and said.max == 0):
                what = f"{base.name} of type {', '.join(allowed)}" if kind not in allowed else f"no {stem}"
                table[key] = _forbidden(key, what)
                continue
            _lazily(
                table, key, lambda key=key, layer=layer, kind=kind: self._choice(key, keys, base, layer, kind, path)
            )  # type: ignore[misc]
            if _is_primitive(kind):
                _lazily(
                    table,
                    f"_{key}",
                    lambda key=key, layer=layer, kind=kind: self._sibling(
                        key, kind, base, layer, f"{path}.{base.name}"
                    ),
                )  # type: ignore[misc]

    def _choice(self, key: str, keys: frozenset[str], base: Element, layer: Element, kind: str, path: str) -> Handler:
        inner = self._handler(key, base, layer, kind, f"{path}.{base.name}")

        def check(value: Any, holder: Json, scope: Scope) -> list[Issue] | None:
            found = inner(value, holder, scope)
            present = keys & holder.keys()
            if len(present) > 1 and key == min(present):
                issue = Issue(key, "max", " and ".join(sorted(present)), f"one {base.name} only")
                return [*(found or ()), issue]
            return found

        return check

    def _handler(self, key: str, base: Element, layer: Element, kind: str, path: str) -> Handler:
        most = MANY if layer.max is None else layer.max
        if most == 0:
            return _forbidden(key, f"no {key}")
        item = self._item(base, layer, kind, path)
        if (base.max or 1) <= 1:
            return _single(key, item)
        if layer.slices and layer.slicing:
            checks = {name: self._item(base, slices.slice_of(layer, s), kind, path) for name, s in layer.slices.items()}
            return slices.handler(self.library, key, layer, item, checks, kind)
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
        if base.children:
            # What the base says of this part is in it already; only the profile's word is laid over.
            check = self.object(base, layer, path)
        elif _is_primitive(kind):
            return _all_of(self._value_checks(kind, layer), self._holding(Element(base.name), layer))
        else:
            speaks = layer.children or layer.invariants
            check = self.of_type(kind, layer if speaks else None, path)
        extra = self._value_checks(kind, layer)
        if kind == "Reference" and (targets := (layer.targets or {}).get(kind)):
            checked = references.target_check(self.library, targets)
            return _both(check, _all_of(extra, []) if extra else None, checked)
        return _both(check, _all_of(extra, []) if extra else None, None)

    def _value_checks(self, kind: str, layer: Element) -> list[primitives.Check]:
        found: list[primitives.Check] = []
        if _is_primitive(kind):
            found.append(self.primitive(kind))
        if layer.fixed is not None:
            found.append(slices.fixed_check(layer.fixed))
        if layer.pattern is not None:
            found.append(slices.pattern_check(layer.pattern))
        if layer.binding is not None:
            found.extend(terms.checkers(kind, layer.binding, self.library))
        if layer.max_length is not None:
            found.append(_length_check(layer.max_length))
        return found

    def _sibling(self, key: str, kind: str, base: Element, layer: Element, path: str) -> Handler:
        """What checks `_birthDate` beside `birthDate`: the id and extensions of a primitive."""
        element = self.library.base("Element")
        assert element is not None
        check = self.object(element.root, layer if layer.children else None, path, kind)
        if (base.max or 1) <= 1:
            return _single(key, check)

        def many(value: Any, holder: Json, scope: Scope) -> list[Issue] | None:
            if type(value) is not list:
                return [Issue(key, "json-type", primitives.said(value), "an array")]
            beside = holder.get(key)
            found: list[Issue] = []
            if isinstance(beside, list) and len(beside) != len(value):
                many_ = f"{len(beside)} values and {len(value)} in _{key}"
                found.append(Issue(key, "json-type", many_, "as many", "warning"))
            for place, item in enumerate(value):
                if item is not None:
                    found.extend(under(f"{key}[{place}]", check(item, scope) or ()))
                elif not isinstance(beside, list):
                    found.append(Issue(f"{key}[{place}]", "json-type", "null without a value beside it", "an object"))
            return found or None

        return many

    # ---- invariants and rules beyond the profiles

    def _holding(self, base: Element, overlay: Element | None) -> list[Check]:
        known = {i.key: i for i in (*base.invariants, *(overlay.invariants if overlay else ()))}
        return [check for invariant in known.values() if (check := self._invariant(invariant)) is not None]

    def _invariant(self, invariant: Invariant) -> Check | None:
        severity: Any = invariant.severity if invariant.severity in ("error", "warning") else "error"
        if invariant.key in _GOOD_PRACTICE:
            severity = "information"
            if not self.informative:
                return None
        holds = self._compiled(invariant)
        if holds is None:
            return None
        issue = [Issue("", invariant.key, "it does not hold", invariant.says or invariant.expression, severity)]
        if invariant.key in _OF_CONTAINED:
            return lambda value, scope: issue if "contained" in value and not holds(value, scope.environment) else None
        return lambda value, scope: None if holds(value, scope.environment) else issue

    def _compiled(self, invariant: Invariant) -> Callable[[Any, Any], bool] | None:
        expression = invariant.expression
        if expression not in self._invariants:
            try:
                self._invariants[expression] = compile_invariant(expression, functions=self._functions)
            except Unsupported as error:
                self._invariants[expression] = None
                self.unchecked[invariant.key] = str(error)
        return self._invariants[expression]

    def _ruling(self, kind: str) -> list[Check]:
        rules: list[Rule] = [*self._rules.get(kind, ())]
        if kind == "Coding":
            rules.insert(0, self._coding)
        return [_ignoring_scope(rule) for rule in rules]


def _ignoring_scope(rule: Rule) -> Check:
    return lambda value, scope: rule(value)


def _is_primitive(kind: str) -> bool:
    return kind[:1].islower()


def _bare(base: Element) -> Element:
    """What a base definition says of an element itself, without its parts."""
    found = Element(base.name, base.min, base.max, base.types, base.targets, base.profiles, base.binding)
    found.max_length = base.max_length
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


def _forbidden(key: str, expected: str) -> Handler:
    return lambda value, holder, scope: [Issue(key.lstrip("_"), "max", primitives.said(value), expected)]


def _fine(value: Any, holder: Json, scope: Scope) -> None:
    return None


def _lazily(table: dict[str, Handler], key: str, build: Callable[[], Handler]) -> None:
    """Enter a handler that is built when the element is first met."""

    def first(value: Any, holder: Json, scope: Scope) -> list[Issue] | None:
        handler = table[key] = build()
        return handler(value, holder, scope)

    table[key] = first


def _object(
    name: str,
    table: Mapping[str, Handler],
    required: list[tuple[str, str, list[Issue]]],
    choices: list[tuple[frozenset[str], list[Issue]]],
    tests: list[Check],
) -> Check:
    get = table.get

    def check(value: Any, scope: Scope) -> list[Issue] | None:
        if type(value) is not dict:
            return primitives.wrong_type(value, f"an object ({name})")
        found: list[Issue] | None = None
        for key, inner in value.items():
            handler = get(key)
            issues = handler(inner, value, scope) if handler is not None else [_unknown(key, name)]
            if issues:
                found = [*found, *issues] if found else issues
        for key, sibling, issues in required:
            if key not in value and sibling not in value:
                found = [*found, *issues] if found else issues
        for keys, issues in choices:
            if keys.isdisjoint(value):
                found = [*found, *issues] if found else issues
        if len(value) <= 1 and (not value or "id" in value):
            issues = [Issue("", "ele-1", "an object without content", "a value or children")]
            return [*found, *issues] if found else issues
        for test in tests:
            issues = test(value, scope)  # type: ignore[assignment]
            if issues:
                found = [*found, *issues] if found else issues
        return found

    return check


def _unknown(key: str, name: str) -> Issue:
    return Issue(key, "unknown-element", key, f"an element of {name}")


def _single(key: str, item: Check) -> Handler:
    def check(value: Any, holder: Json, scope: Scope) -> list[Issue] | None:
        issues = item(value, scope)
        return under(key, issues) if issues else None

    return check


def _many(key: str, item: Check, most: int, *, nullable: bool) -> Handler:
    def check(value: Any, holder: Json, scope: Scope) -> list[Issue] | None:
        if type(value) is not list:
            return [Issue(key, "json-type", primitives.said(value), "an array")]
        found: list[Issue] | None = None
        place = 0
        for inner in value:
            if inner is None and nullable and slices.has_sibling(holder, key, place):
                place += 1
                continue
            issues = item(inner, scope)
            if issues:
                issues = under(f"{key}[{place}]", issues)
                found = [*found, *issues] if found else issues
            place += 1
        if place > most:
            found = [*(found or ()), Issue(key, "max", f"{place} of them", f"at most {most}")]
        elif not place:
            return [Issue(key, "json-type", "an empty array", "an array of at least one, or no such element")]
        return found

    return check


def _all_of(checks: list[primitives.Check], tests: list[Check]) -> Check:
    if len(checks) == 1 and not tests:
        (only,) = checks
        return lambda value, scope: only(value)

    def check(value: Any, scope: Scope) -> list[Issue] | None:
        for one in checks:
            issues = one(value)
            if issues:
                return issues
        for test in tests:
            issues = test(value, scope)
            if issues:
                return issues
        return None

    return check


def _both(first: Check, second: Check | None, third: Check | None) -> Check:
    """Checks of one object one after the other; the later ones only where it is an object."""
    later = [check for check in (second, third) if check is not None]
    if not later:
        return first

    def check(value: Any, scope: Scope) -> list[Issue] | None:
        found = first(value, scope)
        if type(value) is dict:
            for other in later:
                issues = other(value, scope)
                if issues:
                    found = [*found, *issues] if found else issues
        return found

    return check


def _length_check(most: int) -> primitives.Check:
    def check(value: Any) -> list[Issue] | None:
        if type(value) is str and len(value) > most:
            return [Issue("", "max-length", f"{len(value)} characters", f"at most {most}")]
        return None

    return check
