"""NEWS2: the points of the chart (RCP 2017), read from its table."""

from __future__ import annotations

import re


class EarlyWarning:
    """The NEWS2 chart: points for each parameter by band of its value."""

    def __init__(self, table: dict[str, list[str]]) -> None:
        self._bands: dict[str, list[tuple[float, float, int]]] = {}
        for parameter, band, score in zip(table["parameter"], table["band"], table["score"], strict=True):
            limits = _limits(band)
            if limits is not None:
                self._bands.setdefault(parameter, []).append((*limits, int(score)))

    def points(self, parameter: str, value: float) -> int:
        """Points for `value`; the bands of the chart leave no gap at the precision that is reported."""
        for low, high, score in self._bands[parameter]:
            if low <= value <= high:
                return score
        raise ValueError(f"NEWS2 {parameter}: no band holds {value}")


def _limits(band: str) -> tuple[float, float] | None:
    if match := re.fullmatch(r"<=(\d+(?:\.\d+)?)", band):
        return float("-inf"), float(match[1])
    if match := re.fullmatch(r">=(\d+(?:\.\d+)?)", band):
        return float(match[1]), float("inf")
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", band):
        return float(match[1]), float(match[2])
    return None
