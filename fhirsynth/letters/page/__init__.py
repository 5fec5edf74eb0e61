"""The letter as a page: one model of what stands where, rendered as HTML and as PDF."""

from fhirsynth.letters.page.html import html
from fhirsynth.letters.page.model import Letterhead, page
from fhirsynth.letters.page.pdf import pdf

__all__ = ["Letterhead", "html", "page", "pdf"]
