"""The kinds of mutations: for each a function that says all that could be changed in a resource, and how.

They go by the compiled rules alone; nothing is written for one profile.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from definitions import CORE, MANY, Json, Node, Property, Step, Structure, at, written
from mutation_changes import (
    BASE,
    Change,
    Edit,
    add,
    all_of,
    drop,
    element_of,
    path_of,
    put,
    rename,
    transaction,
    turned_round,
)
from mutation_invariants import invariant
from mutation_sources import EXAMPLES, Subject

_INTEGERS = ("integer", "positiveInt", "unsignedInt")


def required(subject: Subject) -> Iterator[Change]:
    """Elements that must be there, taken away."""
    for node, item in subject.present():
        if item.min and not (item.key == "url" and node.type == "Extension"):
            yield Change(path_of(item), "taken away", drop((*item.holder, item.key)), element_of(item))


def too_many(subject: Subject) -> Iterator[Change]:
    """More values than the maximum, in a list or where no list belongs; an element that must not be there."""
    for node, item in subject.present():
        steps = (*item.holder, item.key)
        value = node.value[item.key]
        if not item.many:
            yield Change(path_of(item), "two values", put(steps, [value, value]), f"{element_of(item)} two")
        elif len(value) <= item.max < MANY:
            more = put(steps, [value[0]] * (item.max + 1))
            yield Change(path_of(item), "more than allowed", more, f"{element_of(item)} more")
    for _, item in subject.absent():
        if item.max == 0 and (value := subject.pool.example(item)) is not None:
            yield Change(path_of(item), "added, and allowed nowhere", add(item, value), f"{element_of(item)} none")


def json_type(subject: Subject) -> Iterator[Change]:
    """Values of another kind of JSON."""
    for node, item in subject.present():
        value, steps, element = node.value[item.key], (*item.holder, item.key), element_of(item)
        if item.many:
            yield Change(path_of(item), "not in an array", put(steps, value[0]), f"{element} array")
        elif isinstance(value, dict):
            yield Change(path_of(item), "in an array", put(steps, [value]), f"{element} array")
        if item.many and isinstance(value[0], dict):
            steps = (*steps, 0)
            value = value[0]
        if isinstance(value, dict):
            yield Change(written(steps), "text for an object", put(steps, "text"), f"{element} text")
        elif isinstance(value, str):
            yield Change(path_of(item), "a number for text", put(steps, 7), f"{element} number")
            yield Change(path_of(item), "an object for text", put(steps, {"value": value}), f"{element} object")
        elif isinstance(value, bool):
            yield Change(path_of(item), "text for a boolean", put(steps, str(value).lower()), f"{element} boolean")
            yield Change(path_of(item), "a number for a boolean", put(steps, int(value)), f"{element} boolean number")
        elif isinstance(value, int | float):
            yield Change(path_of(item), "text for a number", put(steps, str(value)), f"{element} decimal")
            if item.type in _INTEGERS:
                yield Change(
                    path_of(item), "a fraction for a whole number", put(steps, value + 0.5), f"{element} whole"
                )


def required_code(subject: Subject) -> Iterator[Change]:
    """Codes that are not in the value set that they must be from."""
    for node in subject.nodes:
        binding = node.say("binding")
        if not binding or not (binding["strength"] == "required" or binding.get("max_value_set")):
            continue
        element = element_of(node.item)
        wanted = binding.get("max_value_set") or binding["value_set"]
        allowed = {code for _, code in subject.pool.codes(wanted)}
        if node.type == "code":
            other = node.value.swapcase()
            yield Change(node.path, "an unknown code", put(node.steps, "no-such-code"), f"{element} unknown")
            if other not in allowed:
                yield Change(node.path, "in the other case", put(node.steps, other), f"{element} case")
            if node.value != "draft" and "draft" not in allowed:
                yield Change(node.path, "a code of another set", put(node.steps, "draft"), f"{element} other")
        elif node.type == "CodeableConcept" and node.value.get("coding"):
            codings = [dict(coding, code="no-such-code") for coding in node.value["coding"]]
            steps = (*node.steps, "coding")
            yield Change(node.path, "unknown codes", put(steps, codings), f"{element} unknown")
            codings = [dict(coding, system="https://example.org/codes") for coding in node.value["coding"]]
            yield Change(node.path, "codes of another system", put(steps, codings), f"{element} system")
            codings = [dict(coding, code=str(coding.get("code")).swapcase()) for coding in node.value["coding"]]
            if not allowed & {coding["code"] for coding in codings}:
                yield Change(node.path, "codes in the other case", put(steps, codings), f"{element} case")
            yield Change(node.path, "text for a code", put(node.steps, {"text": "Example"}), f"{element} text")
        elif node.type == "Coding":
            for key, value in (("code", "no-such-code"), ("system", "https://example.org/codes")):
                yield Change(node.path, f"another {key}", put((*node.steps, key), value), f"{element} {key}")
    for _, item in subject.absent():
        binding = item.say("binding") or {}
        if binding.get("strength") == "required" and item.max and subject.pool.codes(binding.get("value_set", "")):
            concept = {"coding": [{"system": "https://example.org/codes", "code": "no-such-code"}]}
            wrong: dict[str, Any] = {"code": "no-such-code", "CodeableConcept": concept}
            if item.type in wrong:
                added = add(item, wrong[item.type])
                yield Change(path_of(item), "added with an unknown code", added, f"{element_of(item)} added")


def code_system(subject: Subject) -> Iterator[Change]:
    """Codes that their system does not have, where all of its codes are known; units that are none."""
    for node in subject.nodes:
        if node.type == "Coding" and "code" in node.value:
            if subject.definitions.code_system(node.value.get("system", "")):
                element = element_of(node.item)
                code = (*node.steps, "code")
                yield Change(written(code), "a code that the system has not", put(code, "no-such-code"), element)
                yield Change(written(code), "in the other case", put(code, node.value["code"].swapcase()), element)
        elif node.value == "http://unitsofmeasure.org":
            code = (*node.steps[:-1], "code")
            yield Change(written(code), "no unit of UCUM", put(code, "no-such-unit"), element_of(node.item))


def slices(subject: Subject) -> Iterator[Change]:
    """Slices that are missing, come too often, or hold what tells none of them."""
    for node, item in subject.present():
        if not item.slices or not item.many:
            continue
        values = node.value[item.key]
        inner = [subject.definitions.node(item, v, (*item.holder, item.key, n)) for n, v in enumerate(values)]
        slicing = item.say("slicing") or {}
        for piece in item.slices:
            members = [found for found in inner if found.slice == piece.name]
            sort = f"{element_of(item)}:{piece.name}"
            if members and piece.min and item.type != "Extension":
                rest = [found.value for found in inner if found.slice != piece.name]
                steps = (*item.holder, item.key)
                edit = put(steps, rest) if rest else drop(steps)
                yield Change(path_of(item), f"without slice {piece.name}", edit, f"{sort} without")
            if members and len(members) == piece.max:
                again = put((*item.holder, item.key, len(values)), members[0].value)
                yield Change(path_of(item), f"slice {piece.name} once more", again, f"{sort} again")
        for found in inner:
            if found.slice and slicing:
                for kind, where in slicing.get("by", ()):
                    told_by = _first(found, where) if kind in ("value", "pattern") and item.type != "Extension" else ()
                    if told_by and isinstance(at(subject.resource, told_by), str):
                        changed = "https://example.org/codes" if told_by[-1] == "system" else "Something else"
                        closed = "closed " if slicing.get("rules") == "closed" else ""
                        told = f"told from the {closed}slices by another value"
                        yield Change(written(told_by), told, put(told_by, changed), f"{element_of(item)} {where}")


def _first(node: Node, where: str) -> tuple[Step, ...]:
    """Steps to the first value at a discriminator's path; none where there is none."""
    steps, value = node.steps, node.value
    for name in where.split(".") if where != "$this" else ():
        if not isinstance(value, dict) or name not in value:
            return ()
        steps, value = (*steps, name), value[name]
        if isinstance(value, list):
            steps, value = (*steps, 0), value[0]
    return steps


def fixed(subject: Subject) -> Iterator[Change]:
    """Values that a definition fixes, changed."""
    for node in subject.nodes:
        expected = node.say("fixed")
        if node.type == "Extension" or (node.steps and node.steps[-1] == "url"):
            continue
        if isinstance(expected, str) and node.value == expected:
            element = ".".join(view.id for view in node.views[:1])
            yield Change(node.path, "another value than is fixed", put(node.steps, f"{expected} too"), element)
            if expected != expected.upper():
                yield Change(node.path, "in capitals", put(node.steps, expected.upper()), f"{element} case")
        expected = node.say("pattern")
        if isinstance(expected, dict) and isinstance(node.value, dict):
            for key in expected:
                if isinstance(node.value.get(key), str):
                    other = put((*node.steps, key), f"{node.value[key]}-too")
                    yield Change(f"{node.path}.{key}", "another value than the pattern", other, element_of(node.item))


def contained(subject: Subject) -> Iterator[Change]:
    """Contained resources: unreferenced, nested, with a label, of a wrong type, or not there."""
    for _, item in [*subject.present(), *subject.absent(deep=False)]:
        if item.type != "Reference" or item.max == 0:
            continue
        allowed = _targets(subject, item)
        inside = {kind: found for kind, found in subject.pool.by_type.items() if kind != "Patient"}
        right = next((found for kind, found in sorted(inside.items()) if allowed is None or kind in allowed), None)
        if right is None:
            continue
        good = _inner(right)
        referred = add(item, {"reference": "#inner"})
        sort = "contained"

        def holding(*found: Json, refer: Edit = referred) -> Edit:
            return all_of(put(("contained",), list(found)), refer)

        yield Change("contained", "referred to by nothing", put(("contained",), [good]), f"{sort} orphan")
        yield Change(path_of(item), "refers to nothing contained", referred, f"{sort} missing")
        nested = good | {"contained": [good | {"id": "nested"}]}
        yield Change("contained[0]", "contains another", holding(nested), f"{sort} nested")
        labelled = good | {"meta": {"security": subject.resource["meta"]["security"]}}
        yield Change("contained[0].meta", "with a security label", holding(labelled), f"{sort} label")
        dated = good | {"meta": {"lastUpdated": "2026-01-01T10:00:00Z"}}
        yield Change("contained[0].meta", "with a time of change", holding(dated), f"{sort} dated")
        yield Change("contained[0]", "without id", holding({k: v for k, v in good.items() if k != "id"}), f"{sort} id")
        broken = good | {"noSuchElement": "x"}
        yield Change("contained[0]", "with an unknown element", holding(broken), f"{sort} unknown")
        typeless = {k: v for k, v in good.items() if k != "resourceType"}
        yield Change("contained[0]", "without a type", holding(typeless), f"{sort} type")
        if allowed is not None:
            wrong = next((found for kind, found in sorted(inside.items()) if kind not in allowed), None)
            if wrong is not None:
                told = f"refers to a contained {wrong['resourceType']}"
                yield Change(path_of(item), told, holding(_inner(wrong)), f"{sort} wrong")


def _inner(resource: Json) -> Json:
    """A resource as one may stand inside another."""
    kept = {k: v for k, v in resource.items() if k not in ("meta", "text", "id")}
    return {"resourceType": kept.pop("resourceType"), "id": "inner", **copy.deepcopy(kept)}


def narrative(subject: Subject) -> Iterator[Change]:
    """Narrative that is not the HTML that FHIR allows."""
    div = subject.resource.get("text", {}).get("div")
    if not div:
        return
    inside = re.sub(r"^<div[^>]*>|</div>$", "", div)
    opened = '<div xmlns="http://www.w3.org/1999/xhtml">'
    for name, text in {
        "no namespace": f"<div>{inside}</div>",
        "a script": f"{opened}<script>x</script>{inside}</div>",
        "an event": f'{opened}<p onclick="x()">{inside}</p></div>',
        "nothing inside": f"{opened}</div>",
        "only space inside": f"{opened} \n </div>",
        "not closed": f"{opened}<p>{inside}</div>",
        "plain text": inside,
        "another element around": f'<p xmlns="http://www.w3.org/1999/xhtml">{inside}</p>',
        "an unknown element": f"{opened}<blink>{inside}</blink></div>",
        "a bare ampersand": f"{opened}this & that</div>",
        "an unknown entity": f"{opened}{inside}&nosuch;</div>",
        "an iframe": f'{opened}<iframe src="https://example.org"/>{inside}</div>',
        "a form": f"{opened}<form><input/></form>{inside}</div>",
    }.items():
        yield Change("text.div", name, put(("text", "div"), text), f"narrative {name}")


def extension(subject: Subject) -> Iterator[Change]:
    """Extensions with a wrong value, unknown parts, a misspelt URL, or where they do not belong."""
    for node in subject.objects:
        if node.type != "Extension" or not node.item or "/" not in node.value.get("url", ""):
            continue
        url, steps = node.value["url"], node.steps
        name = url.rpartition("/")[2]
        key = next((key for key in node.value if key.startswith("value")), None)
        possible = {item.key: item for item in subject.possible(node)}
        if key:
            for other in ("valueString", "valueInteger", "valueBoolean", "valueDateTime"):
                if other in possible and possible[other].type not in possible[other].types:
                    edit = all_of(drop((*steps, key)), put((*steps, other), EXAMPLES[possible[other].type]))
                    yield Change(node.path, f"{name} with {other}", edit, f"{name} type")
            part = [{"url": "note", "valueString": "x"}]
            yield Change(node.path, f"{name} with a value and parts", put((*steps, "extension"), part), f"{name} parts")
            yield Change(node.path, f"{name} with two values", put((*steps, _second(key)), True), f"{name} two")
            yield Change(node.path, f"{name} without its value", drop((*steps, key)), f"{name} no value")
        else:
            unknown = put(
                (*steps, "extension", len(node.value["extension"])), {"url": "noSuchPart", "valueString": "x"}
            )
            yield Change(node.path, f"{name} with an unknown part", unknown, f"{name} part")
            yield Change(node.path, f"{name} with a value too", put((*steps, "valueString"), "x"), f"{name} value")
            first = node.value["extension"][0]
            again = put((*steps, "extension", len(node.value["extension"])), first)
            yield Change(node.path, f"{name} with part {first['url']} twice", again, f"{name} again")
            wrong = {"url": first["url"], "valueCode": "x"}
            yield Change(
                node.path, f"{name} with a part of another type", put((*steps, "extension", 0), wrong), f"{name} inner"
            )
            yield Change(node.path, f"{name} without its parts", drop((*steps, "extension")), f"{name} no parts")
        yield Change(node.path, f"{name} misspelt", put((*steps, "url"), f"{url}s"), f"{name} misspelt")
        yield Change(
            node.path, f"{name} in the other domain", put((*steps, "url"), CORE + name + "-uk"), f"{name} domain"
        )
        yield Change(node.path, f"{name} by its name alone", put((*steps, "url"), name), f"{name} relative")
        yield Change(node.path, f"{name} without url", drop((*steps, "url")), f"{name} url")
        modifier = all_of(put(("modifierExtension",), [node.value]))
        yield Change("modifierExtension", f"{name} as a modifier", modifier, f"{name} modifier")
        yield Change("meta", f"{name} on meta", put(("meta", "extension"), [node.value]), f"{name} meta")
    for found in subject.definitions.extensions():
        here = subject.resource["resourceType"]
        if not any(path.split(".")[0] in (here, "Element", "Resource", "DomainResource") for path in found.context):
            value = _example_of(subject, found)
            if value is not None:
                told = f"{found.url.rpartition('/')[2]}, which is for {', '.join(found.context)}"
                yield Change("extension", told, _extended((), value), "misplaced")


def _second(key: str) -> str:
    return "valueBoolean" if key != "valueBoolean" else "valueString"


def _extended(steps: tuple[Step, ...], value: Json) -> Edit:
    def edit(resource: Json) -> None:
        at(resource, steps).setdefault("extension", []).append(copy.deepcopy(value))

    return edit


def _example_of(subject: Subject, found: Structure) -> Json | None:
    """An extension with a value; None for one that has parts, or a value that cannot be made."""
    layers = subject.definitions.layers(found.url)
    node = Node(("extension", 0), {"url": found.url}, "Extension", layers, None, "")
    for item in subject.definitions.possible(node):
        if item.name == "value[x]" and item.type in item.types and item.max:
            value = subject.pool.example(item)
            if value is not None:
                return {"url": found.url, item.key: value}
    return None


def unknown(subject: Subject) -> Iterator[Change]:
    """Misspelt properties, and properties of other types."""
    for node, item in subject.present():
        possible = {found.key for found in subject.possible(node)}
        misspelt = item.key[:-1] if item.key[:-1] not in possible and len(item.key) > 3 else f"{item.key}s"
        if misspelt not in possible and not item.min:
            steps = (*item.holder, item.key)
            yield Change(path_of(item), f"misspelt {misspelt}", rename(steps, misspelt), element_of(item))
    for node in subject.objects:
        possible = {found.key for found in subject.possible(node)}
        edit = put((*node.steps, "noSuchElement"), "x")
        yield Change(node.path, "with an unknown element", edit, f"{element_of(node.item)} new")
    root = {found.key for found in subject.possible(subject.objects[0])}
    for kind, other in subject.pool.by_type.items():
        for key, value in other.items():
            if key not in root and key != "resourceType":
                yield Change("", f"with {key} of {kind}", put((key,), value), f"of {kind}")


_WRONG: dict[str, tuple[Any, ...]] = {
    "base64Binary": ("@@@@", "QUJ", "QU JD"),
    "canonical": ("has a space",),
    "code": (" {}", "{} ", "two  spaces"),
    "date": ("2026-13-01", "2026-02-30", "2026-1-5", "5/1/2026", "2026-01-01T10:00:00Z", "0000-01-01"),
    "dateTime": (
        "2026-01-01T10:00:00",
        "2026-02-30T10:00:00Z",
        "2026-01-01T10:00Z",
        "2026-01-01 10:00:00Z",
        "2026-01-01T25:00:00Z",
        "2026-01-01T10",
        "2026-13-01",
        "26-01-01",
    ),
    "id": ("a_b", "a" * 65, "a b", "ä"),
    "instant": ("2026-01-01T10:00:00", "2026-01-01", "2026-01-01T10:00Z", "2026-02-30T10:00:00Z"),
    "integer": (2**31, 1.5),
    "markdown": ("",),
    "oid": ("1.2.3", "urn:oid:abc", "urn:oid:3.1"),
    "positiveInt": (0, -1, 2**31),
    "string": ("",),
    "time": ("25:00:00", "10:00", "10:61:00"),
    "unsignedInt": (-1, 2**31),
    "uri": ("has a space", "urn:oid:abc", "urn:uuid:123"),
    "url": ("has a space",),
    "uuid": ("urn:uuid:123", "c757873d-ec9a-4326-a141-556f43239520"),
}


def primitive(subject: Subject) -> Iterator[Change]:
    """Values that are not of the form of their type."""
    for node in subject.nodes:
        kind = "id" if node.steps == ("id",) else node.type
        for value in _WRONG.get(kind, ()):
            wrong = value.format(node.value) if isinstance(value, str) else value
            edit = put(node.steps, wrong)
            yield Change(node.path, f"{json.dumps(wrong)[:40]} for {kind}", edit, f"{kind} {value}"[:40])
    for _, item in subject.absent():
        for value in _WRONG.get(item.type, ()):
            if item.max and item.type not in ("code", "string", "markdown"):
                wrong = add(item, value)
                sort = f"{item.type} {value}"
                yield Change(path_of(item), f"{json.dumps(value)[:40]} for {item.type}, added", wrong, sort[:40])


def _targets(subject: Subject, item: Property) -> set[str] | None:
    """The types that a reference may lead to; None for all."""
    urls = (item.say("targets") or {}).get("Reference")
    if not urls:
        return None
    found = {structure.type for url in urls if (structure := subject.definitions.structure(url))}
    return None if "Resource" in found else found


def reference(subject: Subject) -> Iterator[Change]:
    """References to a resource of a type that is not allowed, here or elsewhere, or that say they are of one."""
    for _, item in subject.present():
        if item.type != "Reference":
            continue
        allowed = _targets(subject, item)
        if not allowed:
            continue
        steps = (*item.holder, item.key, *((0,) if item.many else ()))
        element = element_of(item)
        wrong = [other for kind, other in subject.pool.by_type.items() if kind not in allowed]
        for other in wrong[:4]:
            name = f"{other['resourceType']}/{other['id']}"
            edit = _bundled(put(steps, {"reference": name}), other)
            told = f"refers to a {other['resourceType']} in the bundle"
            yield Change(written(steps), told, edit, f"{element} bundled")
            edit = _bundled(put(steps, {"reference": BASE + name}), other)
            yield Change(written(steps), f"{told} by its URL", edit, f"{element} url")
            edit = put((*steps, "reference"), name)
            yield Change(written(steps), f"refers to a {other['resourceType']} elsewhere", edit, f"{element} elsewhere")
            edit = put((*steps, "type"), other["resourceType"])
            if at(subject.resource, steps).get("reference"):
                yield Change(written(steps), f"says it is of type {other['resourceType']}", edit, f"{element} says")
        if at(subject.resource, steps).get("reference"):
            yield Change(
                written(steps), "says it is of no known type", put((*steps, "type"), "Ghost"), f"{element} ghost"
            )
        spaced = put((*steps, "reference"), "not a reference")
        yield Change(written(steps), "refers by text with spaces", spaced, f"{element} spaces")


def _bundled(edit: Edit, *others: Json) -> Edit:
    """The edited resource in a transaction with others."""

    def into(resource: Json) -> Json:
        edit(resource)
        return transaction([resource, *(copy.deepcopy(other) for other in others)])

    return into


def choice(subject: Subject) -> Iterator[Change]:
    """Values of a type that a choice does not have, and two values at once."""
    pairs = [(node, item, True) for node, item in subject.present() if item.name.endswith("[x]")]
    pairs += [(node, item, False) for node, item in subject.absent() if item.name.endswith("[x]") and item.max]
    for node, item, there in pairs:
        of_same = [other for other in subject.possible(node) if other.name == item.name]
        keys, stem, element = {other.key for other in of_same}, item.name[:-3], element_of(item)
        first = (drop((*node.steps, item.key)),) if there else ()
        for kind in ("date", "string", "integer", "uri", "boolean"):
            key = stem + kind[0].upper() + kind[1:]
            if key not in keys:
                steps = (*node.steps, key)
                edit = all_of(*first, put(steps, EXAMPLES[kind]))
                yield Change(written(steps), "of a type that the choice has not", edit, f"{element} type")
        for other in of_same:
            if other.key == item.key or (value := subject.pool.example(other)) is None:
                continue
            edit = put((*node.steps, other.key), value)
            if other.type not in other.types:
                edit = all_of(*first, edit)
                yield Change(path_of(other), "of a type that the profile excludes", edit, f"{element} excluded")
            elif there:
                yield Change(path_of(other), f"beside {item.key}", edit, f"{element} two")


def empty(subject: Subject) -> Iterator[Change]:
    """Empty objects, arrays and strings, and null."""
    for node, item in subject.present():
        steps, element = (*item.holder, item.key), element_of(item)
        if item.many:
            yield Change(path_of(item), "an empty array", put(steps, []), f"{element} array")
            if item.type[0].isupper():
                last = (*steps, len(node.value[item.key]))
                yield Change(path_of(item), "an empty object in the array", put(last, {}), f"{element} object in")
                yield Change(path_of(item), "null in the array", put(last, None), f"{element} null in")
        elif isinstance(node.value[item.key], dict):
            yield Change(path_of(item), "an empty object", put(steps, {}), f"{element} object")
            yield Change(path_of(item), "null", put(steps, None), f"{element} null")
        else:
            yield Change(path_of(item), "null", put(steps, None), f"{element} null")
            if isinstance(node.value[item.key], str):
                yield Change(path_of(item), "an empty string", put(steps, ""), f"{element} string")
    for _, item in subject.absent(deep=False):
        if item.type[0].isupper() and item.max:
            yield Change(path_of(item), "added empty", add(item, {}), f"{element_of(item)} added")


def neutral(subject: Subject) -> Iterator[Change]:
    """Changes that are allowed: another order, optional elements more or fewer, ids, extensions where they belong."""
    root = subject.objects[0]
    yield Change("", "properties in another order", turned_round, "order")
    for node in subject.objects:
        if node.steps and node.type not in ("Resource", "Extension"):
            yield Change(node.path, "with an id", put((*node.steps, "id"), "here"), "id")
    for node, item in subject.present():
        if item.min or _is_spoken_of(subject, node, item) or item.slices or item.key in ("meta", "id", "contained"):
            continue
        if node.type == "Coding" or (node.item and (node.item.slices or len(node.value) < 3)):
            continue
        yield Change(
            path_of(item), "taken away, as is allowed", drop((*item.holder, item.key)), f"less {element_of(item)}"
        )
    there = {item.name for item in subject.possible(root) if item.key in root.value}
    for other in subject.pool.by_profile[subject.profile]:
        for item in subject.possible(root):
            if item.key in other and item.name not in there and not _is_spoken_of(subject, root, item):
                copied = put((item.key,), other[item.key])
                yield Change(path_of(item), "copied from another", copied, f"copy {element_of(item)}")
    for node, item in subject.absent():
        if node.type in ("Extension", "Reference") or _is_spoken_of(subject, node, item) or not item.max or item.slices:
            continue
        if item.type not in ("Quantity", "Period", "Reference"):
            inner = subject.definitions.node(item, {}, (*item.holder, item.key))
            if inner.invariants:
                continue
        if item.key in ("implicitRules", "language") or (value := subject.pool.example(item)) is None:
            continue
        yield Change(path_of(item), "added, as is allowed", add(item, value), f"more {element_of(item)}")
    known = {item["url"] for item in subject.resource.get("extension", ())}
    for found in subject.definitions.extensions():
        here = subject.resource["resourceType"] in found.context
        if here and found.url not in known and (value := _example_of(subject, found)) is not None:
            name = found.url.rpartition("/")[2]
            yield Change("extension", f"{name} added", _extended((), value), f"extension {name}")
    if div := subject.resource.get("text", {}).get("div"):
        table = div.replace('xhtml">', 'xhtml"><table class="x"><tr><td>1</td></tr></table>', 1)
        yield Change("text.div", "a table", put(("text", "div"), table), "table")


def _is_spoken_of(subject: Subject, node: Node, item: Property) -> bool:
    """Whether an invariant of an object, or of the resource that holds it, names one of its properties."""
    name = item.name.removesuffix("[x]")
    rules = [*node.invariants, *subject.nodes[0].invariants]
    return any(re.search(rf"\b{name}\b", rule["expression"]) for rule in rules if not rule["key"].startswith("dom-"))


KINDS: dict[str, Callable[[Subject], Iterator[Change]]] = {
    "required": required,
    "too-many": too_many,
    "json-type": json_type,
    "required-code": required_code,
    "code-system": code_system,
    "slice": slices,
    "fixed": fixed,
    "invariant": invariant,
    "contained": contained,
    "narrative": narrative,
    "extension": extension,
    "unknown": unknown,
    "primitive": primitive,
    "reference": reference,
    "choice": choice,
    "empty": empty,
    "neutral": neutral,
}
