"""Sections of a letter as narratives: the letter's own words, nothing added and nothing left out, as XHTML."""

from __future__ import annotations

from collections.abc import Sequence

from fhirsynth.fhir.document_parts import LANGUAGE
from fhirsynth.fhir.elements import Json, escaped
from fhirsynth.letters.letter import Section

_START = f'<div xmlns="http://www.w3.org/1999/xhtml" lang="{LANGUAGE}" xml:lang="{LANGUAGE}">'
_END = "</div>"


def narrative(status: str, body: str) -> Json:
    """A Narrative in English. `body`: XHTML."""
    return {"status": status, "div": _START + body + _END}


def paragraphs(lines: Sequence[str]) -> str:
    """Each line as a paragraph."""
    return "".join(f"<p>{escaped(line)}</p>" for line in lines)


def body(section: Section) -> str:
    """The text of a section as XHTML.

    Prose becomes paragraphs. The lines of a fixed section become a table of terms and what they are where all begin
    with a term and a colon, otherwise a list, or a paragraph where there is but one.
    """
    lines = [line.strip() for line in section.text.split("\n") if line.strip()]
    if section.writer != "fixed":
        return paragraphs(lines)
    rows = [line.partition(": ") for line in lines]
    if all(found for _, found, _ in rows):
        return f"<table><tbody>{''.join(_row(term, said) for term, _, said in rows)}</tbody></table>"
    if len(lines) == 1:
        return paragraphs(lines)
    return f"<ul>{''.join(f'<li>{escaped(line)}</li>' for line in lines)}</ul>"


def _row(term: str, said: str) -> str:
    return f'<tr><th scope="row">{escaped(term)}</th><td>{escaped(said)}</td></tr>'
