"""Letters as pages: what stands where, HTML that assistive technology can read, and tagged PDF."""

from __future__ import annotations

import ctypes
import datetime as dt
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lxml.html
import pytest
from made_letters import HEAD, letter, written

from fhirsynth.errors import InputError
from fhirsynth.letters.facts import Value
from fhirsynth.letters.page import html, page, pdf
from fhirsynth.letters.page.model import SYNTHETIC
from fhirsynth.shipped import folder

KINDS = ["gp", "patient"]


def _section(content: dict[str, Any], key: str) -> dict[str, Any]:
    return next(section for section in content["sections"] if section["id"] == key)


# ---- the model


def test_medicines_stand_in_a_table_with_status_and_reason() -> None:
    table = _section(page(letter(), HEAD), "medications-and-medical-devices")["blocks"]
    assert [block["kind"] for block in table] == ["table"]
    assert table[0]["columns"] == ["Medicine", "Dose", "Status", "Why"]
    assert table[0]["rows"] == [
        ["Amoxicillin 500mg capsules", "One capsule, for 5 more days", "Started", "–"],
        ["Ramipril 5mg capsules", "10 mg (was 5 mg)", "Changed", "–"],
        ["Ibuprofen 200mg tablets", "–", "Stopped", "No longer suitable"],
        ["Allopurinol 100mg tablets", "One tablet a day", "Continued", "Gout"],
    ]


def test_nothing_is_continued_after_death() -> None:
    rows = _section(page(letter("gp", "died"), HEAD), "medications-and-medical-devices")["blocks"][0]["rows"]
    assert rows[-1][2] == "Taken before admission"


def test_results_are_one_row_a_test_and_what_is_normal_stands_below() -> None:
    blocks = _section(page(letter(), HEAD), "investigation-results")["blocks"]
    assert blocks[0]["rows"] == [
        ["CRP", "156 mg/L", "High", "3 March 2026", "4 mg/L"],
        ["eGFR", "38 mL/min/1.73 m²", "Low", "4 March 2026", "–"],
        ["Sodium", "128 mmol/L", "–", "–", "136 mmol/L (normal)"],
    ]
    assert blocks[1] == {"kind": "text", "lines": ["Normal: liver function"]}


def test_a_medicine_that_the_letter_leaves_out_is_in_no_table() -> None:
    found = letter()
    short = [s for s in found.sections if s.key != "medications-and-medical-devices"]
    content = page(found._replace(sections=tuple(short)), HEAD)
    assert "ibuprofen" not in str(content["sections"]).lower()


def test_gp_actions_are_boxed_only_for_the_gp() -> None:
    assert page(letter(), HEAD)["actions"] == ["GP to repeat the CRP in six weeks.", "All else is arranged."]
    assert page(letter("patient"), HEAD)["actions"] == []


@pytest.mark.parametrize(
    ("plan", "boxed"),
    [
        ("Started amoxicillin. Please continue ramipril. Clinic on 3 May 2026.", ["Please continue ramipril."]),
        ("Nothing for GP to do.", []),
        ("Ibuprofen was stopped.\n\nWe will chase the biopsy.", []),
        ("Could the practice check the sodium? We will write.", ["Could the practice check the sodium?"]),
    ],
)
def test_what_is_asked_of_the_gp(plan: str, boxed: list[str]) -> None:
    found = letter()
    sections = (section._replace(text=plan) if section.key == "plan" else section for section in found.sections)
    assert page(found._replace(sections=tuple(sections)), HEAD)["actions"] == boxed


def test_details_stand_side_by_side_and_are_not_told_twice() -> None:
    content = page(letter(), HEAD)
    titles = [[block["title"] for block in column] for column in content["columns"]]
    assert titles == [["Patient details", "GP practice"], ["Admission details", "Discharge details"]]
    assert ["NHS number", ["999 123 4567"]] in content["columns"][0][0]["rows"]
    assert [section["title"] for section in content["sections"]] == [
        "Diagnoses",
        "Clinical summary",
        "Investigation results",
        "Allergies and adverse reactions",
        "Medications and medical devices",
        "Plan and requested actions",
    ]
    diagnoses = _section(content, "diagnoses")["blocks"][0]
    assert diagnoses["rows"] == [["Primary diagnosis", ["Pneumonia"]], ["Existing condition", ["Gout", "Asthma"]]]


def test_the_patient_block_comes_from_the_letterhead_where_the_letter_has_none() -> None:
    found = letter()
    content = page(found._replace(sections=found.sections[1:]), HEAD)
    assert content["columns"][0][0] == {
        "title": "Patient details",
        "rows": [
            ["Name", ["Mrs Joan Smith"]],
            ["Date of birth", ["5 June 1941"]],
            ["NHS number", ["999 123 4567"]],
            ["Address", ["4 Elm Row", "Northbridge", "NB3 4EF"]],
        ],
    }


def test_the_window_holds_who_the_letter_is_to() -> None:
    assert page(letter(), HEAD)["recipient"][:2] == ["Dr Bina Patel", "Hill & Dale Surgery"]
    assert page(letter(), HEAD)["greeting"] == "Dear Dr Patel"
    to_patient = page(letter("patient"), HEAD)
    assert to_patient["recipient"] == ["Mrs Joan Smith", "4 Elm Row", "Northbridge", "NB3 4EF"]
    assert to_patient["greeting"] == "Dear Mrs Smith"
    child = page(letter("patient"), HEAD._replace(born=dt.date(2010, 3, 10), patient="Tom Smith"))
    assert child["recipient"][0] == "Parent or guardian of Tom Smith"
    assert child["heading"] == "Your child's hospital stay"
    assert child["greeting"] == "Dear parent or guardian"
    assert page(letter("patient"), HEAD._replace(born=dt.date(2010, 3, 9)))["greeting"] == "Dear Mrs Smith"


def test_the_signature_has_name_grade_and_copies() -> None:
    content = page(letter(), HEAD)
    assert content["author"] == "Dr A Jones"
    assert content["grade"] == ["Foundation year 1 doctor", "Completed on behalf of Dr M Sultana"]
    assert page(letter("patient"), HEAD)["grade"] == ["Foundation year 1 doctor", HEAD.trust]
    assert content["copies"] == ["Dr Bina Patel, Hill & Dale Surgery", "Mrs Joan Smith"]
    assert page(letter(), HEAD._replace(copies=("The clinic",)))["copies"] == ["The clinic"]


# ---- HTML


@pytest.fixture(params=KINDS)
def document(request: pytest.FixtureRequest) -> Any:
    return lxml.html.document_fromstring(html(letter(request.param), HEAD))


def test_html_says_all_that_the_letter_says() -> None:
    found = letter()
    text = " ".join(lxml.html.document_fromstring(html(found, HEAD)).body.text_content().split()).lower()
    for section in found.sections:
        for span in section.spans:
            assert span.surface.lower() in text, span
    assert "sats 91% <on air> & temperature" in text
    assert "dear dr patel" in text and "9 march 2026" in text and "01632 960123" in text


def test_html_of_written_letters_says_all_that_they_say() -> None:
    assert {found.kind for found in written()} == set(KINDS) and len(written()) > 30
    for found in written():
        text = " ".join(lxml.html.document_fromstring(html(found, HEAD)).body.text_content().split()).lower()
        for section in found.sections:
            for span in section.spans:
                assert span.surface.lower() in text, span


def test_html_has_language_title_and_one_order_of_headings(document: Any) -> None:
    assert document.get("lang") == "en-GB"
    assert "synthetic" in document.findtext(".//title")
    levels = [int(item.tag[1]) for item in document.iter("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    assert all(item.text_content().strip() for item in document.iter("h1", "h2", "th", "dt", "dd", "li", "p"))


def test_html_tables_have_headers_with_scope(document: Any) -> None:
    for table in document.iter("table"):
        assert {th.get("scope") for th in table.findall("thead/tr/th")} == {"col"}
        width = len(table.findall("thead/tr/th"))
        for row in table.findall("tbody/tr"):
            assert [cell.tag for cell in row] == ["th", *["td"] * (width - 1)]
            assert row[0].get("scope") == "row"


def test_html_has_landmarks_and_sound_references(document: Any) -> None:
    for landmark in ("header", "main", "footer"):
        assert len(document.findall(f".//{landmark}")) == 1
    ids = [item.get("id") for item in document.iter() if item.get("id")]
    assert len(ids) == len(set(ids))
    labels = [item.get("aria-labelledby") for item in document.iter() if item.get("aria-labelledby")]
    assert labels and set(labels) <= set(ids)
    for terms in document.iter("dl"):
        assert terms[0].tag == "dt" and {item.tag for item in terms} == {"dt", "dd"}
    for items in document.iter("ul"):
        assert {item.tag for item in items} == {"li"}


def test_html_needs_nothing_else(document: Any) -> None:
    text = lxml.html.tostring(document, encoding="unicode")
    assert not re.search(r"\b(?:src|href)=|url\(|@import|<script|https?://", text)


def test_html_is_marked_as_synthetic_and_escapes(document: Any) -> None:
    marked = [item.text_content() for item in document.iter("p") if item.get("class") == "synthetic"]
    assert marked == [SYNTHETIC, SYNTHETIC]
    assert f'content: "{SYNTHETIC}"' in document.findtext(".//style")  # on each printed page
    assert html(letter(), HEAD._replace(patient="<script>x")).count("<script") == 0


@pytest.mark.parametrize("kind", KINDS)
def test_same_html(kind: str) -> None:
    assert html(letter(kind), HEAD) == html(letter(kind), HEAD)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours (WCAG 2.2)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_reckoned_right() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_every_colour_of_text_stands_out() -> None:
    css = (folder("templates") / "letter.css").read_text()
    named = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", css))
    pairs = []
    for rule in re.findall(r"\{([^{}]*)\}", css):
        colours = dict(re.findall(r"(?<![\w-])(background-color|color): ([^;]+);", rule))
        if "color" in colours:
            found = [
                re.sub(r"var\(--([\w-]+)\)", lambda m: named[m[1]], colours.get(k, "#ffffff"))
                for k in ("color", "background-color")
            ]
            pairs.append((found[0], found[1]))
    assert len(pairs) >= 8
    for colour, ground in pairs:
        assert _contrast(colour, ground) >= 4.5, (colour, ground)
    # The PDF draws with the same colours.
    assert set(re.findall(r"#[0-9a-f]{6}", (folder("templates") / "letter.typ").read_text())) <= set(named.values())


# ---- PDF


@pytest.fixture(scope="module")
def pdfium() -> Any:
    pytest.importorskip("typst", reason="typst, which sets PDF letters, is not installed")
    return pytest.importorskip("pypdfium2", reason="pypdfium2, which reads PDF, is not installed")


def _tags(pdfium: Any, data: bytes) -> list[str]:
    """The types of the structure elements of all pages, in order of reading."""
    raw = pdfium.raw

    def walk(element: Any) -> Iterator[str]:
        size = raw.FPDF_StructElement_GetType(element, None, 0)
        buffer = ctypes.create_string_buffer(size)
        raw.FPDF_StructElement_GetType(element, buffer, size)
        yield buffer.raw.decode("utf-16-le").rstrip("\0")
        for at in range(raw.FPDF_StructElement_CountChildren(element)):
            child = raw.FPDF_StructElement_GetChildAtIndex(element, at)
            if child:
                yield from walk(child)

    found: list[str] = []
    document = pdfium.PdfDocument(data)
    for sheet in document:
        tree = raw.FPDF_StructTree_GetForPage(sheet)
        for at in range(raw.FPDF_StructTree_CountChildren(tree)):
            found += walk(raw.FPDF_StructTree_GetChildAtIndex(tree, at))
        raw.FPDF_StructTree_Close(tree)
    return found


def _pages(pdfium: Any, data: bytes) -> list[str]:
    return [sheet.get_textpage().get_text_bounded() for sheet in pdfium.PdfDocument(data)]


@pytest.mark.parametrize("kind", KINDS)
def test_pdf_is_tagged_with_title_and_language(pdfium: Any, kind: str) -> None:
    data = pdf(letter(kind), HEAD)
    document = pdfium.PdfDocument(data)
    assert HEAD.patient in document.get_metadata_value("Title")
    assert b"/Lang (en-GB)" in data or b"/Lang(en-GB)" in data
    assert b"pdfuaid:part" in data
    tags = _tags(pdfium, data)
    assert tags.count("H1") == 1 and tags.count("H2") >= 2
    if kind == "gp":
        assert tags.count("Table") == 2 and {"TH", "TD", "TR", "L", "LI", "P"} <= set(tags)


def test_pdf_says_all_that_the_letter_says_and_is_marked_on_each_page(pdfium: Any) -> None:
    found = letter(summary="\n".join(f"Line {n} of a long story. {{dx:1}} & <more>" for n in range(120)))
    pages = _pages(pdfium, pdf(found, HEAD))
    assert len(pages) > 2
    for number, text in enumerate(pages, 1):
        assert text.count(SYNTHETIC) == 2
        assert f"Page {number} of {len(pages)}" in text and "NHS number 999 123 4567" in text
    text = " ".join(" ".join(pages).split()).lower()
    for section in found.sections:
        for span in section.spans:
            assert span.surface.lower() in text, span
    assert "line 119 of a long story. pneumonia & <more>" in text


def test_no_heading_is_left_alone_at_the_foot_and_no_text_runs_over_the_margin(pdfium: Any) -> None:
    margin = 20 / 25.4 * 72
    for lines in range(8, 60, 2):
        found = letter(summary="\n".join("Hypercholesterolaemia and hypoparathyroidism." for _ in range(lines)))
        data = pdf(found, HEAD)
        titles = {section.title for section in found.sections} | {"Copies to"}
        for sheet in pdfium.PdfDocument(data):
            text = sheet.get_textpage()
            width = sheet.get_width()
            for at in range(text.count_rects()):
                left, _bottom, right, _top = text.get_rect(at)
                assert left > margin - 3 and right < width - margin + 2
            body = text.get_text_bounded().split(HEAD.patient + ", NHS")[0].strip().splitlines()
            assert body[-1].strip() not in titles, body[-3:]


def test_a_long_word_stays_in_its_cell(pdfium: Any) -> None:
    found = letter()
    long = Value("dihydropyrimidinedehydrogenasedeficiency", "condition")
    facts = [f._replace(values={**f.values, "for": long}) if f.id == "continued:1" else f for f in found.stay.facts]
    data = pdf(found._replace(stay=found.stay._replace(facts=tuple(facts))), HEAD)
    for sheet in pdfium.PdfDocument(data):
        text = sheet.get_textpage()
        assert all(text.get_rect(at)[2] < sheet.get_width() - 20 / 25.4 * 72 for at in range(text.count_rects()))


def test_same_pdf_in_any_process(pdfium: Any) -> None:
    code = (
        "import hashlib, made_letters as m; from fhirsynth.letters.page import pdf;"
        "print(hashlib.sha256(pdf(m.letter(), m.HEAD)).hexdigest())"
    )
    tests = Path(__file__).parent
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests.parent)!r}]; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    pdf(letter("patient"), HEAD)  # what was set before does not matter
    assert ran.stdout.strip() == hashlib.sha256(pdf(letter(), HEAD)).hexdigest()


def test_a_character_that_no_font_has_is_told(pdfium: Any) -> None:
    with pytest.raises(InputError, match=r"no PDF can be made.*choose text or HTML"):
        pdf(letter(summary="Told in 中文"), HEAD)


def test_without_typst_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from fhirsynth.letters.page.pdf import _compiler

    monkeypatch.setitem(sys.modules, "typst", None)
    _compiler.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'fhirsynth\[pdf\]'"):
        pdf(letter(), HEAD)
    _compiler.cache_clear()
