"""Made-up identifiers that cannot belong to anyone: UUIDs, NHS numbers, telephone numbers."""

from __future__ import annotations

import hashlib
import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: First digits of Ofcom numbers for drama that belong to no town.
NO_AREA = "01632960"
_HEX = "0123456789abcdef"


def uuids(rng: np.random.Generator, n: int) -> list[str]:
    """`n` random UUIDs (version 4) from `rng`."""
    text = rng.bytes(16 * n).hex()
    out = []
    for i in range(0, 32 * n, 32):
        t = text[i : i + 32]
        out.append(f"{t[:8]}-{t[8:12]}-4{t[13:16]}-{_HEX[int(t[16], 16) & 3 | 8]}{t[17:20]}-{t[20:]}")
    return out


@cache
def _valid() -> NDArray[np.int64]:
    # The first nine digits, 999 and six more, whose check digit is not 10. NHS Data Dictionary, modulus 11.
    rest = np.arange(1_000_000)
    total = np.full(len(rest), 9 * (10 + 9 + 8))
    for place, weight in enumerate(range(7, 1, -1)):
        total += rest // 10 ** (5 - place) % 10 * weight
    check = (11 - total % 11) % 11
    valid = check != 10
    return np.asarray(rest[valid] * 10 + check[valid], dtype=np.int64)


@cache
def _steps(seed: int) -> tuple[int, int]:
    numbers = len(_valid())
    digest = hashlib.sha256(f"nhs-number {seed}".encode()).digest()
    step = int.from_bytes(digest[:8], "big") % numbers
    while math.gcd(step, numbers) != 1:
        step += 1
    return step, int.from_bytes(digest[8:16], "big") % numbers


def nhs_number(seed: int, index: int) -> str:
    """The NHS number of person `index` of the population with this seed: valid check digit, range 999.

    The range is never issued to patients. Numbers are different for 909,091 consecutive `index` (more than
    450,000 living people, as `make_people` counts); beyond that they come round again.
    """
    numbers = _valid()
    step, start = _steps(seed)
    return f"999{numbers[(start + step * index) % len(numbers)]:07d}"


def telephone(first: str, u: float) -> str:
    """A number from one of Ofcom's ranges for drama, `first` its first digits, as people write it."""
    width = 11 - len(first)
    number = f"{first}{int(u * 10**width):0{width}d}"
    if number.startswith("02"):
        return f"{number[:3]} {number[3:7]} {number[7:]}"
    if number[3] == "1" or number.startswith("011"):
        return f"{number[:4]} {number[4:7]} {number[7:]}"
    return f"{number[:5]} {number[5:]}"


def mobile(u: float) -> str:
    """A mobile number from Ofcom's range for drama, 07700 900000 to 900999."""
    return f"07700 900{int(u * 1000):03d}"
