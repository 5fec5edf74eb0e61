"""Rules as TOML: one line an element or a code, in the order of the definition, the same text for the same rules.

What is written reads back with `tomllib` as the dictionary it was made of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def structure(rules: Mapping[str, Any], origin: str) -> str:
    """The file of a structure; `origin` says in its first line where it comes from."""
    lines = _head(rules, origin, ("invariant", "element"))
    for invariant in rules.get("invariant", ()):
        lines += ["", "[[invariant]]", *_pairs(invariant)]
    lines += ["", "[element]"]
    lines += [f"{quoted(name)} = {inline(element)}" for name, element in rules["element"].items()]
    return "\n".join(lines) + "\n"


def value_set(rules: Mapping[str, Any], origin: str) -> str:
    """The file of a value set: what is open, and the codes by system."""
    lines = _head(rules, origin, ("open", "codes"))
    opened = rules.get("open", ())
    if opened:
        lines += ["open = [", *(f"  {inline(item)}," for item in opened), "]"]
    for system, codes in rules["codes"].items():
        lines += ["", f"[codes.{quoted(system)}]", *_codes(codes)]
    if not rules["codes"]:
        lines += ["", "[codes]"]
    return "\n".join(lines) + "\n"


def code_system(rules: Mapping[str, Any], origin: str) -> str:
    """The file of a code system: its codes, and what lies below what."""
    lines = _head(rules, origin, ("codes", "children"))
    lines += ["", "[codes]", *_codes(rules["codes"])]
    if rules.get("children"):
        lines += ["", "[children]", *(f"{quoted(code)} = {inline(below)}" for code, below in rules["children"].items())]
    return "\n".join(lines) + "\n"


def _head(rules: Mapping[str, Any], origin: str, tables: tuple[str, ...]) -> list[str]:
    return [f"# {_CONTROL.sub(' ', origin)}", *_pairs({k: v for k, v in rules.items() if k not in tables})]


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{key(name)} = {inline(value)}" for name, value in values.items()]


def _codes(codes: Mapping[str, str]) -> Iterable[str]:
    return (f"{quoted(code)} = {quoted(display)}" for code, display in codes.items())


def key(name: str) -> str:
    """A key, in quotes only where it needs them."""
    return name if _BARE.fullmatch(name) else quoted(name)


def quoted(text: str) -> str:
    """A basic string. JSON's escapes are TOML's, but for the one control character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def inline(value: Any) -> str:
    """A value on one line. Raises ValueError for null, which TOML has no word for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{key(name)} = {inline(item)}" for name, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(inline(item) for item in value)}]"
    raise ValueError(f"no rule file can hold {value!r}")
