"""The page of a letter as one HTML file with its own style, readable without a network."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from fhirsynth.letters.letter import Letter
from fhirsynth.letters.page.model import Letterhead, page
from fhirsynth.shipped import folder


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )


@cache
def _css() -> str:
    return (folder("templates") / "letter.css").read_text(encoding="utf-8")


def render(content: dict[str, Any]) -> str:
    """HTML of a page that `model.page` laid out."""
    name = "patient-letter.html" if content["kind"] == "patient" else "letter.html"
    # The style sheet is ours and stands inside <style>, where nothing is to be escaped.
    return _templates().get_template(name).render(page=content, css=Markup(_css()))


def html(letter: Letter, head: Letterhead) -> str:
    """The letter as HTML: the same text for the same letter."""
    return render(page(letter, head))
