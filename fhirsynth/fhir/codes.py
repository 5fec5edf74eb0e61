"""The code tables of `codes.toml` as CodeableConcepts, ready to be put into resources."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from fhirsynth.fhir.elements import Json, coding, concept


def read_toml(name: str) -> dict[str, Any]:
    """A TOML file that lies beside this module."""
    return tomllib.loads(files("fhirsynth.fhir").joinpath(name).read_text(encoding="utf-8"))


class Codes:
    """Every table of `codes.toml`.

    `words[table][word]`: the CodeableConcept for one of the record's own words; `national[table][code]`:
    that for a code of a national list; `units[unit]`: system and code of a unit of dose;
    `main_specialty[code]`: main specialty of a treatment function that is not one itself.
    """

    def __init__(self, tables: dict[str, Any]) -> None:
        systems: dict[str, str] = tables["systems"]
        self.words: dict[str, dict[str, Json]] = {}
        self.national: dict[str, dict[str, Json]] = {}
        self.units: dict[str, tuple[str, str]] = {
            unit: (systems[system], code) for unit, (system, code) in tables["dose-unit"].items()
        }
        self.main_specialty: dict[str, str] = tables["main-specialty"]
        for name, table in tables.items():
            if name in ("systems", "dose-unit", "main-specialty"):
                continue
            if "display" in table:
                system = table["system"]
                self.national[name] = {code: concept(system, code, text) for code, text in table["display"].items()}
            else:
                self.words[name] = {
                    word: concept(systems[system], code, display) for word, (system, code, display) in table.items()
                }

    def coding(self, table: str, word: str) -> Json:
        """The Coding for one of the record's own words."""
        found: Json = self.words[table][word]["coding"][0]
        return found

    def both(self, table: str, first: str, second: str) -> Json:
        """Two words of a table as the codings of one CodeableConcept."""
        return {"coding": [self.coding(table, first), self.coding(table, second)]}

    def language(self, tag: str) -> Json:
        """The CodeableConcept of a BCP 47 tag; the name is that of its first part."""
        known = self.national["language"]
        found = known.get(tag)
        if found is None:
            base = known.get(tag.split("-")[0])
            name = base["coding"][0]["display"] if base else None
            found = known[tag] = {"coding": [coding("urn:ietf:bcp:47", tag, name)]}
        return found


@cache
def load_codes() -> Codes:
    """`codes.toml`, read once a process."""
    return Codes(read_toml("codes.toml"))
