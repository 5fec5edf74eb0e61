"""Compile UK Core profiles into the readable rules of `profiles/`: one TOML file a profile.

    python scripts/compile_profiles.py ../shared/ukcore [UKCore-Patient ...]

Reads the snapshots and the enumerated value sets of that folder. Without names it compiles every profile that
has a file already. What is kept of each element: how often it must and may be there where a resource could
break it, a fixed or pattern value, the codes of a required binding that can be enumerated. Slices are kept where
a fixed value tells them apart; those of extensions, types and open value sets are left to a fuller validator.
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

Json = dict[str, Any]
PROFILES = Path(__file__).resolve().parent.parent / "profiles"
SNAPSHOTS = "ukcore-stu3dev-snapshots-hl7.tgz"
MOST_CODES = 400


def snapshots(folder: Path) -> dict[str, Json]:
    """Snapshots by id of profile."""
    found = {}
    with tarfile.open(folder / SNAPSHOTS) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".json") else None
            if file is not None:
                definition = json.load(file)
                found[definition["id"]] = definition
    return found


def fixed_value(element: Json) -> Any:
    """The fixed or pattern value of an element, where it is a plain one."""
    for key, value in element.items():
        if key.startswith(("fixed", "pattern")) and isinstance(value, str | int | bool | float):
            return value
    return None


class Paths:
    """Ids of elements (`Observation.category:laboratory.coding`) as paths of the rules."""

    def __init__(self, elements: list[Json]) -> None:
        self.elements = {element["id"]: element for element in elements}
        self.slicing: dict[str, Json] = {}
        for element in elements:
            if "slicing" in element:
                self.slicing[element["id"]] = element["slicing"]

    def path(self, element_id: str) -> str | None:
        """The path of an element; None for what lies in a slice that no fixed value tells apart."""
        parts, walked = [], []
        for part in element_id.split(".")[1:]:
            name, _, slice_name = part.partition(":")
            if name in ("extension", "modifierExtension"):
                return None
            before = ".".join([element_id.split(".")[0], *walked])
            walked.append(part)
            if not slice_name:
                parts.append(name)
                continue
            chosen = self._chosen(f"{before}.{name}", slice_name)
            if chosen is None:
                return None
            where, value = chosen
            parts.append(f"{name}[{where}='{value}']")
        return ".".join(parts)

    def _chosen(self, sliced: str, slice_name: str) -> tuple[str, str] | None:
        slicing = self.slicing.get(sliced) or self.slicing.get(unsliced(sliced))
        discriminators = (slicing or {}).get("discriminator", [])
        if len(discriminators) != 1 or discriminators[0]["type"] not in ("value", "pattern"):
            return None
        where = discriminators[0]["path"]
        for holder in (sliced, unsliced(sliced)):
            element = self.elements.get(f"{holder}:{slice_name}.{where}")
            value = fixed_value(element) if element else None
            if isinstance(value, str) and "'" not in value:
                return where, value
        return None


def unsliced(element_id: str) -> str:
    """An id of an element with the names of slices left out."""
    return ".".join(part.partition(":")[0] for part in element_id.split("."))


def codes_of(element: Json, value_sets: dict[str, Json]) -> tuple[str, list[str]] | None:
    """Value set and codes of a required binding that can be enumerated."""
    binding = element.get("binding", {})
    if binding.get("strength") != "required" or "valueSet" not in binding:
        return None
    url = binding["valueSet"].split("|")[0]
    known = (value_sets.get(url) or {}).get("codes")
    if not known or len(known) > MOST_CODES:
        return None
    types = {item["code"] for item in element.get("type", [])}
    if types <= {"code", "string", "uri"}:
        return url, sorted({item["code"] for item in known})
    return url, sorted({f"{item['system']}|{item['code']}" for item in known})


def rules(definition: Json, value_sets: dict[str, Json]) -> list[Json]:
    """The rules of one profile."""
    elements = definition["snapshot"]["element"]
    paths = Paths(elements)
    found: dict[str, Json] = {}
    for element in elements[1:]:
        path = paths.path(element["id"])
        if path is None:
            continue
        rule: Json = {}
        if element.get("min", 0) > 0:
            rule["min"] = element["min"]
        most = element.get("max", "*")
        if most != "*" and (most == "0" or element.get("base", {}).get("max") != "1" or path.endswith("[x]")):
            rule["max"] = int(most)
        value = fixed_value(element)
        if value is not None:
            rule["fixed"] = value
        bound = codes_of(element, value_sets)
        if bound and value is None:
            rule["value_set"], rule["codes"] = bound
        if rule:
            found.setdefault(path, {"path": path}).update(rule)
    return list(found.values())


def as_toml(definition: Json, found: list[Json]) -> str:
    """A profile's rules as they are read by people and by `fhirsynth.validation.profiles`."""
    text = lambda value: json.dumps(value, ensure_ascii=False)  # noqa: E731
    lines = [
        f"# {definition['id']} {definition['version']} ({definition['status']}, {definition['date'][:10]})",
        "# Compiled by scripts/compile_profiles.py from UK Core (HL7 UK, Apache-2.0), development build of June 2025.",
        f"url = {text(definition['url'])}",
        f"type = {text(definition['type'])}",
    ]
    for rule in found:
        lines.append("\n[[element]]")
        for key, value in rule.items():
            if isinstance(value, list):
                lines += [f"{key} = [", *(f"  {text(item)}," for item in value), "]"]
            else:
                lines.append(f"{key} = {text(value)}")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    """Compile the named profiles, or again those that are there."""
    folder = Path(arguments[0])
    names = arguments[1:] or sorted(file.stem for file in PROFILES.glob("*.toml"))
    definitions = snapshots(folder)
    value_sets = json.loads((folder / "valuesets.json").read_text(encoding="utf-8"))["valuesets"]
    PROFILES.mkdir(exist_ok=True)
    for name in names:
        definition = definitions[name]
        text = as_toml(definition, rules(definition, value_sets))
        (PROFILES / f"{name}.toml").write_text(text, encoding="utf-8")
        print(f"{name}: {text.count('[[element]]')} rules")


if __name__ == "__main__":
    main(sys.argv[1:])
