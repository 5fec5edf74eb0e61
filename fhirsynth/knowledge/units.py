"""Units as clinicians write them, by their UCUM codes: `mmHg` for `mm[Hg]`, `°C` for `Cel`."""

from __future__ import annotations

import re

_WRITTEN = {
    "mm[Hg]": "mmHg",
    "Cel": "°C",
    "kg/m2": "kg/m²",
    "10*9/L": "×10⁹/L",
    "umol/L": "µmol/L",
    "ug/L": "µg/L",
    "m[IU]/L": "mU/L",
    "mL/min/{1.73_m2}": "mL/min/1.73 m²",
    "1": "",
}


def written(ucum: str | None) -> str:
    """A unit as it stands behind a number; nothing for a ratio, a score, or no unit."""
    code = ucum or ""
    return _WRITTEN.get(code, "" if re.fullmatch(r"\{.*\}", code) else code)
