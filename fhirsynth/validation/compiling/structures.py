"""Structure definitions as rules: what each element must be, in the words of FHIR, without texts for people.

Of a type (derivation "specialization") all that its snapshot says is kept, of a profile or extension (derivation
"constraint") only what its differential states, so that the rules of a profile are those of its base with its own
laid over them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from fhirsynth.errors import InputError
from fhirsynth.validation.compiling.packages import canonical

Json = dict[str, Any]
#: Gives the rules of a type by its name ("Patient", "Quantity"); None where it is not known.
Types = Callable[[str], Json | None]

_EXTENSIONS = "http://hl7.org/fhir/StructureDefinition/"
_FHIR_TYPE = _EXTENSIONS + "structuredefinition-fhir-type"
_REGEX = _EXTENSIONS + "regex"
_MAX_VALUE_SET = _EXTENSIONS + "elementdefinition-maxValueSet"
_SYSTEM_TYPE = "http://hl7.org/fhirpath/System."
#: Invariants that the snapshot repeats wherever an element or extension is; they are kept at these types alone.
_EVERYWHERE = {"ele-1": "Element", "ext-1": "Extension"}
#: A rule that strayed from a later version of FHIR into the base package; it holds of nothing in R4.
_STRAYED = ("dom-r4b",)
_CONTEXTS = {"element": "context", "extension": "context_extension", "fhirpath": "context_fhirpath"}
_NUMBERS = {"minValue": "min_value", "maxValue": "max_value"}
_EXTENSION = re.compile(r"\.(extension|modifierExtension)(:[^.]*)?$")
_SLICE = re.compile(r":[^.]*")


def rules(definition: Json, types: Types) -> Json:
    """The rules of one structure definition, as its file holds them.

    `types` gives the rules of the types that the definition's paths go through. Raises InputError for a definition
    that says nothing.
    """
    url = definition["url"]
    constraint = definition.get("derivation") == "constraint"
    parts = ("differential", "snapshot") if constraint else ("snapshot",)
    elements = next((part for key in parts if (part := definition.get(key, {}).get("element"))), None)
    if elements is None or not isinstance(definition.get("type"), str):
        raise InputError(f"{url} cannot be compiled: expected a type and a {' or '.join(parts)} with elements")
    named = list(zip(_ids(elements, url), elements, strict=True))
    if not constraint:
        own = {element["path"]: element for element in definition.get("differential", {}).get("element", ())}
        named = [(name, _mended(element, own)) for name, element in named if not _strayed(element, own)]
    found: Json = {"url": url}
    for key in ("version", "status", "kind", "type"):
        if key in definition:
            found[key] = definition[key]
    if "baseDefinition" in definition:
        found["base"] = canonical(definition["baseDefinition"])
    found["derivation"] = "constraint" if constraint else "specialization"
    if definition.get("abstract"):
        found["abstract"] = True
    if constraint and elements[0].get("isModifier"):
        found["modifier"] = True
    found |= _context(definition)
    pattern = _value_regex(definition)
    if pattern:
        found["pattern"] = pattern
    invariants = [
        item for name, element in named for item in _invariants(name, element, definition["type"], constraint)
    ]
    if invariants:
        found["invariant"] = invariants
    if constraint:
        found["element"] = dict(_stated(_without_shortcuts(named, types)))
    else:
        found["element"] = dict(_whole(named, definition["kind"]))
    return found


def bindings(definition: Json) -> Iterator[tuple[str, str]]:
    """Every value set that a structure definition binds, with the strength; one that nothing may leave is required."""
    for part in ("snapshot", "differential"):
        for element in definition.get(part, {}).get("element", ()):
            binding = element.get("binding", {})
            if "valueSet" in binding:
                yield canonical(binding["valueSet"]), binding["strength"]
            most = _extension(binding, _MAX_VALUE_SET)
            if most is not None:
                yield canonical(most), "required"


def references(rules: Json) -> Iterator[str]:
    """The structures that rules name: profiles of values and of what is referred to."""
    for element in rules["element"].values():
        for key in ("profiles", "targets"):
            for urls in element.get(key, {}).values():
                yield from urls


def _strayed(element: Json, own: Collection[str]) -> bool:
    """Whether an element of a snapshot is not the type's: neither inherited nor among the paths of its differential.

    The base package has some of later versions of FHIR, such as Meta.author.
    """
    path = element["path"]
    return bool(own) and "." in path and path not in own and element.get("base", {}).get("path") == path


def _mended(element: Json, own: Mapping[str, Json]) -> Json:
    """An element of a snapshot with the types that its own differential gives.

    The base package's snapshots have targets of a product's own types, and types of later versions of FHIR. A
    primitive's value keeps what the snapshot says, which has its regular expression.
    """
    types = own.get(element["path"], {}).get("type")
    return {**element, "type": types} if types and not element["path"].endswith(".value") else element


def _ids(elements: Iterable[Json], url: str) -> Iterator[str]:
    """The id of each element.

    Where a differential leaves it out it is made of path and name of the slice; where that name and the id are not
    of one mind the name is right, of what lies below too.
    """
    latest: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for element in elements:
        path, slice_ = element.get("path"), element.get("sliceName")
        if not isinstance(path, str):
            raise InputError(f"{url} cannot be compiled: an element has no path")
        parent, _, last = path.rpartition(".")
        found = element.get("id")
        if not isinstance(found, str):
            found = f"{_known(latest, parent)}.{last}" if parent else last
            found += f":{slice_}" if slice_ else ""
        for old, new in renamed.items():
            if found.startswith(f"{old}."):
                found = new + found.removeprefix(old)
        holder, _, end = found.rpartition(".")
        name, colon, called = end.partition(":")
        if slice_ and colon and called != slice_:
            renamed[found] = f"{holder}.{name}:{slice_}"
            found = renamed[found]
        for old in [known for known in latest if known.startswith(f"{path}.")]:
            del latest[old]
        latest[path] = found
        yield found


def _known(latest: Mapping[str, str], path: str) -> str:
    """The id that a path stands for at this place of the differential, whose parents it need not list."""
    if path in latest or "." not in path:
        return latest.get(path, path)
    parent, _, name = path.rpartition(".")
    return f"{_known(latest, parent)}.{name}"


def _context(definition: Json) -> Json:
    """Where an extension may be used, by kind of context."""
    found: dict[str, list[str]] = {}
    for context in definition.get("context", ()):
        key = _CONTEXTS.get(context.get("type", ""))
        if key:
            found.setdefault(key, []).append(context["expression"])
    if definition.get("contextInvariant"):
        found["context_invariant"] = list(definition["contextInvariant"])
    return {key: found[key] for key in (*_CONTEXTS.values(), "context_invariant") if key in found}


def _value_regex(definition: Json) -> str | None:
    """The regular expression that the values of a primitive type match."""
    if definition.get("kind") != "primitive-type":
        return None
    for element in definition.get("snapshot", {}).get("element", ()):
        if element["path"] == f"{definition['type']}.value":
            for type_ in element.get("type", ()):
                found = _extension(type_, _REGEX)
                if found is not None:
                    return str(found)
    return None


def _extension(holder: Json, url: str) -> Any:
    """The value of an extension; None where it is not there."""
    for extension in holder.get("extension", ()):
        if extension.get("url") == url:
            return next((value for key, value in extension.items() if key.startswith("value")), None)
    return None


def _invariants(name: str, element: Json, type_: str, constraint: bool) -> Iterator[Json]:
    for invariant in element.get("constraint", ()):
        key, expression = invariant.get("key", ""), invariant.get("expression")
        source = canonical(invariant.get("source", "")).rpartition("/")[2]
        if not expression or key in _STRAYED or _EVERYWHERE.get(key, type_) != type_:
            continue
        # A copy, at an element, of what its type says: kept at the type.
        if not constraint and "." in name and source not in ("", type_):
            continue
        severity = invariant.get("severity", "error")
        says = " ".join(invariant.get("human", "").split())
        yield {"at": name, "key": key, "severity": severity, "says": says, "expression": expression}


def _whole(named: Iterable[tuple[str, Json]], kind: str) -> Iterator[tuple[str, Json]]:
    """The elements of a type: how often each may be there and of what type it is, always."""
    for name, element in named:
        rule: Json = {}
        if element.get("min", 0) > 0:
            rule["min"] = element["min"]
        if "." in name:
            rule["max"] = _most(element.get("max", "*"))
        rule |= _said(name, element)
        if kind == "resource" and name.endswith(".id") and name.count(".") == 1:
            rule["types"] = ["id"]  # the base package calls it a string
        if rule:
            yield name, rule


def _stated(named: Iterable[tuple[str, Json]]) -> Iterator[tuple[str, Json]]:
    """What a differential states of its elements; those of which it only changes texts are left out."""
    for name, element in named:
        rule: Json = {}
        is_slice = ":" in name.rpartition(".")[2]
        # A profile can only narrow: that something may be absent, or be there any number of times, is news of a
        # slice alone.
        if "min" in element and (element["min"] > 0 or is_slice):
            rule["min"] = element["min"]
        if "max" in element and (element["max"] != "*" or is_slice):
            rule["max"] = _most(element["max"])
        rule |= _said(name, element)
        if rule or is_slice:
            yield name, rule


def _most(text: str) -> int | str:
    return "*" if text == "*" else int(text)


def _said(id_: str, element: Json) -> Json:
    """All that is kept of an element besides how often it may be there."""
    rule: Json = {}
    rule |= _types(element.get("type", ()))
    if "contentReference" in element:
        rule["content"] = element["contentReference"].rpartition("#")[2]
    if "slicing" in element:
        rule["slicing"] = _slicing(element["slicing"])
    for key, value in element.items():
        for start, word in (("fixed", "fixed"), ("pattern", "pattern"), *_NUMBERS.items()):
            if key.startswith(start) and key[len(start) : len(start) + 1].isupper():
                rule[word] = value
    if "maxLength" in element:
        rule["max_length"] = element["maxLength"]
    binding = _binding(element.get("binding", {}))
    # Some definitions bind an extension as a whole, which has no code; the binding of its value is what counts.
    if binding and not _EXTENSION.search(id_):
        rule["binding"] = binding
    return rule


def _types(stated: Iterable[Json]) -> Json:
    """Types, the profiles that their values must meet, the profiles that what they refer to must meet."""
    codes: list[str] = []
    profiles: dict[str, list[str]] = {}
    targets: dict[str, list[str]] = {}
    for type_ in stated:
        code = _primitive(type_)
        if code not in codes:
            codes.append(code)
        for key, found in (("profile", profiles), ("targetProfile", targets)):
            if type_.get(key):
                found.setdefault(code, []).extend(canonical(url) for url in type_[key])
    rule: Json = {}
    for word, value in (("types", codes), ("profiles", profiles), ("targets", targets)):
        if value:
            rule[word] = value
    return rule


def _primitive(type_: Json) -> str:
    """The name of a type; a FHIR primitive for the types of FHIRPath that stand for values."""
    code = str(type_.get("code", ""))
    if not code.startswith(_SYSTEM_TYPE):
        return code
    name = code.removeprefix(_SYSTEM_TYPE)
    return str(_extension(type_, _FHIR_TYPE) or name[:1].lower() + name[1:])


def _slicing(slicing: Json) -> Json:
    found: Json = {
        "by": [[item["type"], item["path"]] for item in slicing.get("discriminator", ())],
        "rules": slicing.get("rules", "open"),
    }
    return found | ({"ordered": True} if slicing.get("ordered") else {})


def _binding(binding: Json) -> Json | None:
    """Strength and value set; None for an example, which binds nobody."""
    if not binding:
        return None
    most = _extension(binding, _MAX_VALUE_SET)
    if binding.get("strength") == "example" and most is None:
        return None
    found = {"strength": binding["strength"]}
    if "valueSet" in binding:
        found["value_set"] = canonical(binding["valueSet"])
    if most is not None:
        found["max_value_set"] = canonical(most)
    return found


def _without_shortcuts(named: list[tuple[str, Json]], types: Types) -> list[tuple[str, Json]]:
    """Elements with every choice of types under its own name.

    A differential may say `valueQuantity` for "`value[x]`, and it is a Quantity". Where it speaks of one type, its
    rules become those of `value[x]`; where of several, those of slices of it that are named like the shortcuts.
    """
    shortcuts: dict[str, tuple[str, str]] = {}
    for name, _ in named:
        holder, _, last = name.rpartition(".")
        found = _choice(_SLICE.sub("", holder), last, types) if holder and ":" not in last else None
        if found:
            shortcuts[name] = (f"{holder}.{found[0]}", found[1])
    if not shortcuts:
        return named
    allowed: dict[str, list[Json]] = {}
    for choice, type_ in shortcuts.values():
        allowed.setdefault(choice, []).append({"code": type_})
    result: dict[str, Json] = {}
    for name, element in named:
        start = next((known for known in shortcuts if name == known or name.startswith(f"{known}.")), "")
        stated = element
        if start:
            choice = target = shortcuts[start][0]
            if name == start:
                result[choice] = result.get(choice, {}) | {"type": allowed[choice]}
            if len(allowed[choice]) > 1:
                target = f"{choice}:{start.rpartition('.')[2]}"
                stated = {"type": [{"code": shortcuts[start][1]}]} | element if name == start else element
            name = target + name.removeprefix(start)
        result[name] = result.get(name, {}) | stated
    return list(result.items())


def _choice(path: str, name: str, types: Types) -> tuple[str, str] | None:
    """The choice and the type that `name` is a shortcut for under `path`; None where it is an element itself."""
    if not any(letter.isupper() for letter in name):
        return None
    elements, holder = _holder(path, types)
    if not elements or f"{holder}.{name}" in elements:
        return None
    for position, letter in enumerate(name):
        known = elements.get(f"{holder}.{name[:position]}[x]") if letter.isupper() else None
        for type_ in known.get("types", ()) if known else ():
            if type_[:1].upper() + type_[1:] == name[position:]:
                return f"{name[:position]}[x]", type_
    return None


def _holder(path: str, types: Types) -> tuple[Mapping[str, Json], str]:
    """The elements of the type that a path leads into, and the path there whose children it has; empty if unclear."""
    first, *names = path.split(".")
    elements: Mapping[str, Json] = (types(first) or {}).get("element", {})
    here = first
    for name in names:
        here = f"{here}.{name}"
        element = elements.get(here, {})
        if "content" in element:
            here = element["content"]
        elif not any(known.startswith(f"{here}.") for known in elements):
            if len(element.get("types", ())) != 1:
                return {}, ""
            here = element["types"][0]
            elements = (types(here) or {}).get("element", {})
    return elements, here
