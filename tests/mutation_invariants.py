"""Mutations that should break the invariants of the definitions, by the form of their expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from definitions import Json, Node, Property
from mutation_changes import Change, add, all_of, drop, path_of, put
from mutation_sources import LABEL, Subject


def invariant(subject: Subject) -> Iterator[Change]:
    """What the expression of an invariant speaks of, taken away, added, or given the codes that it names."""
    for node in subject.objects:
        if node.type == "Reference":
            continue
        for rule in node.invariants:
            if not rule["key"].startswith("dom-"):
                yield from _about(subject, node, rule)
    for _, item in subject.absent():
        inner = subject.definitions.node(item, {}, (*item.holder, item.key))
        value = subject.pool.example(item)
        if isinstance(value, dict) and item.max:
            for rule in inner.invariants:
                spoken = {key for key in value if re.search(rf"\b{key}\b", rule["expression"])}
                if rule["key"] != "ref-1" and not spoken:
                    yield Change(path_of(item), f"added without what {rule['key']} asks", add(item, value), rule["key"])


def _about(subject: Subject, node: Node, rule: Json) -> Iterator[Change]:
    """What could break one invariant: by the form of its expression."""
    key, expression = rule["key"], re.sub(r"\s+", " ", rule["expression"])
    bare = re.sub(r"'[^']*'", "''", expression)
    possible = subject.possible(node)
    spoken = [item for item in possible if re.search(rf"\b{item.name.removesuffix('[x]')}\b", bare)]
    condition, implies, _ = bare.partition(" implies ")
    absent, needed = r"\b{}(\.\w+)*\.(empty|hasValue\(\)\.not)\(", r"\b{}(\.\w+)*\.exists\("
    when = [item for item in spoken if _in(absent, item, bare) or (implies and _in(needed, item, condition))]
    then = [item for item in spoken if item not in when and _in(needed, item, bare)]
    if when:
        added = [(item, value) for item in _missing(node, when) if (value := _alike(subject, node, item)) is not None]
        taken = [item for item in then if item.key in node.value]
        if added or taken:
            edits = [add(item, value) for item, value in added] + [drop((*node.steps, item.key)) for item in taken]
            told = [f"with {item.key}" for item, _ in added] + [f"without {item.key}" for item in taken]
            yield Change(node.path, f"{key}: {', '.join(told)}", all_of(*edits), f"{key} form")
    there = [item for item in then if item.key in node.value]
    if there and not when:
        edit = all_of(*(drop((*node.steps, item.key)) for item in there))
        yield Change(node.path, f"{key}: without {_list(there)}", edit, f"{key} form")
        if " = " in bare:
            yield Change(node.path, f"{key}: without {there[0].key}", drop((*node.steps, there[0].key)), f"{key} one")
    there = [item for item in spoken if item.key in node.value]
    if "<=" in expression and len(there) == 2:
        first, second = (node.value[item.key] for item in there)
        if first != second:
            edit = all_of(put((*node.steps, there[0].key), second), put((*node.steps, there[1].key), first))
            yield Change(node.path, f"{key}: {_list(there)} swapped", edit, f"{key} swapped")
    for name, system, code in _NAMED_CODE.findall(expression):
        if name in {item.key for item in possible}:
            value = {"coding": [{"system": system, "code": code}]}
            yield Change(node.path, f"{key}: {name} {code}", put((*node.steps, name), value), f"{key} {name}")
    for item in spoken:
        if item.type == "code" and not item.many:
            named = re.findall(r"'([a-z-]+)'", expression)
            codes = [code for _, code in subject.pool.codes((item.say("binding") or {}).get("value_set", ""))]
            for code in sorted(codes, key=lambda code: code not in named)[:4]:
                if node.value.get(item.key) != code:
                    edit = put((*node.steps, item.key), code)
                    yield Change(node.path, f"{key}: {item.key} {code}", edit, f"{key} {item.key}")


#: `clinicalStatus.coding.where(system='…' and code='…')`: element, system and code.
_NAMED_CODE = re.compile(r"(\w+)\.coding\.where\(system ?= ?'(\S+?)' and \(?code ?= ?'(\S+?)'")


def _in(pattern: str, item: Property, expression: str) -> bool:
    return re.search(pattern.format(item.name.removesuffix("[x]")), expression) is not None


def _missing(node: Node, items: list[Property]) -> Iterator[Property]:
    """Those that an object lacks, one of each choice."""
    names = {item.name for item in items if item.key in node.value}
    for item in items:
        if item.name not in names and item.max:
            names.add(item.name)
            yield item


def _alike(subject: Subject, node: Node, item: Property) -> Any:
    """A value for an element; an object takes from the object it will stand in what both have."""
    value = subject.pool.example(item)
    if isinstance(value, dict) and item.type == "BackboneElement":
        inner = subject.definitions.node(item, {}, (*item.holder, item.key))
        for child in subject.definitions.possible(inner):
            if child.key in node.value and child.key not in LABEL:
                value[child.key] = node.value[child.key]
    return value


def _list(items: list[Property]) -> str:
    return ", ".join(item.key for item in items)
