"""What stands on the page of a letter, in plain lists and texts that every form of it is rendered from.

`page` lays out a letter and its letterhead once; the HTML and the PDF templates only draw what they are given, so
that the two say the same. Layout: NHS identity guidelines for letters (plain text in place of the logo, which is a
trade mark), PRSB headings in the order of the letter, requested GP actions in a box near the top.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from fhirsynth.letters import saying
from fhirsynth.letters.facts import Fact, Stay
from fhirsynth.letters.letter import Letter, Section

#: Stands on every page, so that nobody takes a printed sheet for a letter about somebody.
SYNTHETIC = "SYNTHETIC: made-up data, not about a real person"
CHILD = 16  # years: letters about younger people go to a parent or guardian


class Letterhead(NamedTuple):
    """What a page needs besides the letter. Addresses are lines, the postcode last; "" or () leaves a line out.

    `patient` is the full name, `patient_short` how the letter greets, `nhs_number` its ten digits, `written` the day
    of the letter. `author` and `grade` sign. `copies` stand below the signature; without any, the letter's own
    distribution list does.
    """

    trust: str
    address: Sequence[str]
    phone: str
    ward: str
    gp: str
    practice: str
    practice_address: Sequence[str]
    patient: str
    patient_short: str
    patient_address: Sequence[str]
    born: dt.date
    nhs_number: str
    written: dt.date
    author: str
    grade: str
    specialty: str = ""
    copies: Sequence[str] = ()


class _Words(NamedTuple):
    """Words of the page that differ between the letter to the GP and the letter to the patient."""

    heading: str
    medicines: tuple[str, ...]
    results: tuple[str, ...]
    status: dict[str, str]
    before: str  # status of what somebody took who died in the stay


_GP = _Words(
    "Discharge summary",
    ("Medicine", "Dose", "Status", "Why"),
    ("Test", "Value", "Flag", "Date", "Later value"),
    {"started": "Started", "changed": "Changed", "stopped": "Stopped", "continued": "Continued", "given": "Given here"},
    "Taken before admission",
)
_PATIENT = _Words(
    "Your hospital stay",
    ("Medicine", "How to take it", "What has changed", "What it is for"),
    ("Test", "Your result", "Flag", "Date", "Later result"),
    {
        "started": "New",
        "changed": "Changed",
        "stopped": "Stopped: do not take",
        "continued": "No change",
        "given": "Given in hospital",
    },
    "Taken before admission",
)
#: Headings of pages that are no letters: nobody is addressed on them, and nobody signs.
_PAPERS = {"note": "Hospital notes", "words": "Coded terms"}
#: Rows of the medicines table: what the reader has to act on comes first.
_MEDICINES = ("started", "changed", "stopped", "continued", "given")
_RESULTS = ("result", "trend")
#: Sections that stand side by side below the heading, as terms and values: by column.
_COLUMNS = (("patient-demographics", "gp-practice"), ("admission-details", "discharge-details"))
_IN_COLUMNS = frozenset(key for column in _COLUMNS for key in column)
_SIGNED, _COPIES = "person-completing-record", "distribution-list"
#: Fixed sections of which each line is a term and what it is.
_TERMS = _IN_COLUMNS | {"diagnoses"}
#: Sentences that ask something of the practice, and those that only look so.
_ASKS_NOTHING = re.compile(r"\b(?:nil|nothing|care home please)\b", re.I)
_ASKS_GP = re.compile(
    r"^(?:for |actions? (?:for|by) )?(?:the |your )?(?:GP|practice|surgery)\b|\bGP(?:'s)? (?:to|is asked)\b"
    r"|\bplease\b|\byou may wish to\b|\bkindly\b|\b(?:grateful|appreciate)\b"
    r"|\b(?:could|would) (?:you|the GP|the practice)\b"
    r"|\bask\w*\b.*\b(?:GP|practice|surgery|you)\b|\bin (?:primary care|the community)\b",
    re.I,
)


def page(letter: Letter, head: Letterhead) -> dict[str, Any]:
    """The page of a letter as JSON: texts, lists of texts, and blocks (`text`, `list`, `table`) in sections.

    Notes and coded terms have neither address, greeting, signature nor copies: "" and [].
    """
    to_patient, paper = letter.kind == "patient", letter.kind in _PAPERS
    words = _PATIENT if to_patient else _GP
    heading = "Your child's hospital stay" if to_patient and _is_child(head) else words.heading
    heading = _PAPERS.get(letter.kind, heading)
    number = saying.nhs_number(head.nhs_number)
    sections = {section.key: section for section in letter.sections if section.text.strip()}
    below = [section for key, section in sections.items() if key not in _IN_COLUMNS | {_SIGNED, _COPIES}]
    # Who signs, and for whom: the letter's own lines where it has them.
    signed = (head.grade, *(_lines(sections[_SIGNED].text) if _SIGNED in sections else (head.specialty, head.trust)))
    return {
        "language": "en-GB",
        "kind": letter.kind,
        "synthetic": SYNTHETIC,
        "title": f"{heading}: {head.patient}, {saying.date(head.written)}",
        "heading": heading,
        "running": f"{head.patient}, NHS number {number}",
        "trust": head.trust,
        "sender": [line for line in (head.ward, *head.address) if line],
        "phone": head.phone,
        "date": saying.date(head.written),
        "recipient": [] if paper else _recipient(head, to_patient),
        "greeting": "" if paper else _greeting(head, to_patient),
        "nhs_number": number,
        "nhs_number_of": "Your child's NHS number" if _is_child(head) else "Your NHS number",
        "columns": [] if to_patient else _columns(sections, head, number),
        "actions": [] if to_patient else _actions(below),
        "sections": [
            {
                "id": section.key,
                "title": section.title,
                "blocks": _jotted(section) if paper else _blocks(letter.stay, section, words),
            }
            for section in below
        ],
        "closing": "" if paper else "Yours sincerely",
        "author": "" if paper else head.author,
        "grade": [] if paper else [line for line in signed if line],
        "copies": list(head.copies) or (_lines(sections[_COPIES].text) if _COPIES in sections else []),
    }


def _recipient(head: Letterhead, to_patient: bool) -> list[str]:
    """The lines of the address window."""
    if to_patient:
        name = f"Parent or guardian of {head.patient}" if _is_child(head) else head.patient
        return [name, *head.patient_address]
    return [line for line in (head.gp, head.practice, *head.practice_address) if line]


def _is_child(head: Letterhead) -> bool:
    years = head.written.year - head.born.year
    return years - ((head.written.month, head.written.day) < (head.born.month, head.born.day)) < CHILD


def _greeting(head: Letterhead, to_patient: bool) -> str:
    if to_patient:
        return "Dear parent or guardian" if _is_child(head) else f"Dear {head.patient_short}"
    words = head.gp.split()
    return f"Dear {words[0]} {words[-1]}" if len(words) > 1 else "Dear Doctor"


def _columns(sections: Mapping[str, Section], head: Letterhead, number: str) -> list[list[dict[str, Any]]]:
    """Two columns of blocks: the patient and the practice, the admission and the discharge, as far as they are told."""
    columns = [
        [{"title": sections[key].title, "rows": _terms(_lines(sections[key].text))} for key in keys if key in sections]
        for keys in _COLUMNS
    ]
    if _COLUMNS[0][0] not in sections:
        rows: list[tuple[str, list[str]]] = [
            ("Name", [head.patient]),
            ("Date of birth", [saying.date(head.born)]),
            ("NHS number", [number]),
            ("Address", list(head.patient_address)),
        ]
        columns[0].insert(
            0, {"title": "Patient details", "rows": [[term, lines] for term, lines in rows if any(lines)]}
        )
    return [column for column in columns if column]


def _terms(lines: Sequence[str]) -> list[list[Any]]:
    """Lines "term: value" as terms with their values; values of a term that follow each other are one row."""
    rows: list[list[Any]] = []
    for line in lines:
        term, found, value = line.partition(": ")
        if not found:
            term, value = "Note", line
        if rows and rows[-1][0] == term:
            rows[-1][1].append(_capital(value))
        else:
            rows.append([term, [_capital(value)]])
    return rows


def _actions(sections: Iterable[Section]) -> list[str]:
    """What the letter asks of the GP, sentence by sentence, out of its plan.

    A later paragraph of the plan that asks anything of the GP is theirs as a whole; in the first, which tells of
    medicines and appointments, each sentence is taken for itself.
    """
    found: list[str] = []
    for section in sections:
        if section.key.startswith("plan"):
            for place, line in enumerate(_lines(section.text)):
                sentences = re.split(r"(?<=[.?;])\s+(?=[A-Z])", line)
                asking = [part for part in sentences if _ASKS_GP.search(part) and not _ASKS_NOTHING.search(part)]
                found += sentences if place and asking else asking
    return found


# ---- blocks of a section


def _lines(text: str) -> list[str]:
    """The lines of a text that say something, without marks of lists."""
    return [line for line in (re.sub(r"^\s*(?:[-•*]|\d+[.)])\s+", "", raw).strip() for raw in text.split("\n")) if line]


def _blocks(stay: Stay, section: Section, words: _Words) -> list[dict[str, Any]]:
    """A narrative section as paragraphs; one made of lines as tables of its medicines and results and a list."""
    if section.writer != "fixed":
        return [{"kind": "text", "lines": _lines(section.text)}]
    facts = {fact.id: fact for fact in stay.facts}
    told: dict[str, Fact] = {}
    rest: list[str] = []
    for start, line in _placed(section.text):
        here = [s.fact for s in section.spans if start <= s.start < start + len(line) and s.fact in facts]
        tabled = [name for name in here if facts[name].kind in (*_MEDICINES, *_RESULTS)]
        told.update((name, facts[name]) for name in tabled)
        if not tabled:
            rest.append(line)
    blocks = []
    medicines = [fact for kind in _MEDICINES for fact in told.values() if fact.kind == kind]
    if medicines:
        rows = [_medicine(fact, words, "died" in stay.tags) for fact in medicines]
        blocks.append({"kind": "table", "columns": list(words.medicines), "rows": rows, "class": "medicines"})
    results = [fact for fact in told.values() if fact.kind in _RESULTS]
    if results:
        rows = _results(results, words)
        blocks.append({"kind": "table", "columns": list(words.results), "rows": rows, "class": "results"})
    lines = _lines("\n".join(rest))
    if section.key in _TERMS:
        blocks.append({"kind": "terms", "rows": _terms(lines)})
    elif len(lines) == 1:
        blocks.append({"kind": "text", "lines": lines})
    elif lines:
        blocks.append({"kind": "list", "lines": lines})
    return blocks


def _jotted(section: Section) -> list[dict[str, Any]]:
    """Notes as they stand: what is marked as a list as lists, other lines as text; coded terms as one list."""
    lines = [line for line in section.text.split("\n") if line.strip()]
    if section.key in _PAPERS:
        return [{"kind": "list", "lines": lines}]
    runs = groupby(lines, lambda line: line.startswith("- "))
    return [{"kind": "list" if marked else "text", "lines": _lines("\n".join(run))} for marked, run in runs]


def _placed(text: str) -> Iterable[tuple[int, str]]:
    """The lines of a text with where each begins."""
    at = 0
    for line in text.split("\n"):
        yield at, line
        at += len(line) + 1


def _said(fact: Fact, slot: str, words: _Words) -> str:
    value = fact.values.get(slot)
    if value is None:
        return ""
    return (value.patient or value.text) if words is _PATIENT else value.text


def _medicine(fact: Fact, words: _Words, died: bool) -> list[str]:
    """One row: the medicine, its dose, what happened to it, why."""
    dose = _said(fact, "dose", words)
    if fact.kind == "changed" and "to" in fact.values:
        dose = f"{_said(fact, 'to', words)} (was {_said(fact, 'from', words)})"
    elif fact.kind == "stopped":
        dose = ""
    if "days" in fact.values:
        dose = f"{dose}, {_said(fact, 'days', words)}" if dose else _said(fact, "days", words)
    why = _said(fact, "why", words) or _said(fact, "for", words)
    status = words.before if died and fact.kind == "continued" else words.status[fact.kind]
    return [_capital(_said(fact, "", words)), _capital(dose) or "–", status, _capital(why) or "–"]


def _results(facts: Sequence[Fact], words: _Words) -> list[list[str]]:
    """One row a test: its first value, whether it was high or low, and its last where that is told."""
    rows: dict[str, list[str]] = {}
    for fact in facts:
        test = next((tag for tag in fact.tags if tag.startswith("test:")), fact.id)
        row = rows.setdefault(test, [_capital(_said(fact, "", words)), "", "", "", ""])
        if fact.kind == "trend":
            row[1] = row[1] or _said(fact, "first", words)
            row[4] = _said(fact, "last", words) + (" (normal)" if "normalised" in fact.tags else "")
        else:
            row[1], row[3] = _said(fact, "value", words), _said(fact, "date", words)
        row[2] = row[2] or next((tag.capitalize() for tag in ("high", "low", "normal") if tag in fact.tags), "")
    return [[cell or "–" for cell in row] for row in rows.values()]


def _capital(text: str) -> str:
    """With a capital at its start, unless its first word has its own capitals (eGFR)."""
    return text[:1].upper() + text[1:] if text.split(" ")[0].islower() else text
