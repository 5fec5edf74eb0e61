"""The page of a letter as a tagged PDF (PDF/UA-1): headings, lists and tables that a screen reader can tell.

Typst sets the page: it is one wheel without other dependencies, it writes tags, title and language, and it gives the
same bytes for the same page. fpdf2, ReportLab and xhtml2pdf write no structure of headings and tables, and WeasyPrint
needs Pango from the system. The font, Liberation Sans (the metrics of Arial), lies beside the template, so that the
fonts of a machine do not matter.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from fhirsynth.errors import InputError
from fhirsynth.letters.letter import Letter
from fhirsynth.letters.page.model import Letterhead, page
from fhirsynth.shipped import folder


@cache
def _compiler() -> Any:
    """Typst with the template and the font read once. Raises InputError where it is not installed."""
    try:
        import typst
    except ImportError as error:
        raise InputError(
            "PDF letters need the package typst: pip install 'fhirsynth[pdf]', or choose text or HTML"
        ) from error
    templates = folder("templates")
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=[templates / "fonts"])
    return typst.Compiler(templates / "letter.typ", root=templates, font_paths=fonts)


def render(content: dict[str, Any]) -> bytes:
    """PDF of a page that `model.page` laid out. Raises InputError where it has a character that no font here shows."""
    text = json.dumps(content, ensure_ascii=False, sort_keys=True)
    compiler = _compiler()
    try:
        made: bytes = compiler.compile(format="pdf", pdf_standards="ua-1", sys_inputs={"page": text})
    except RuntimeError as error:  # typst.TypstError: an accessible PDF cannot be made of this text
        raise InputError(f"{content['title']}: no PDF can be made ({error}); choose text or HTML") from error
    return made


def pdf(letter: Letter, head: Letterhead) -> bytes:
    """The letter as PDF: the same bytes for the same letter. Raises InputError where typst is not installed."""
    return render(page(letter, head))
