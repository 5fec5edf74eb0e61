"""Statistics tables row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhirsynth.knowledge import Knowledge


def rows(knowledge: Knowledge, name: str) -> list[dict[str, str]]:
    """The rows of `statistics/<name>.csv` as dictionaries of texts. Raises KnowledgeError if there is none."""
    columns = knowledge.table(name)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
