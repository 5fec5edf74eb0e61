"""The independent reader of a finished letter: reads the text alone and compares it with the facts of the stay.

It knows nothing of how the letter was written. Whatever the text states and no fact holds, whatever speaks against a
fact, and every required fact that is stated nowhere is a `Problem`.
"""

from fhirsynth.letters.check.problem import CONTRADICTIONS, MISSING, UNSUPPORTED, Problem
from fhirsynth.letters.check.reader import Text, check_letter, check_section
from fhirsynth.letters.facts import Stay

__all__ = ["CONTRADICTIONS", "MISSING", "UNSUPPORTED", "Problem", "Text", "check", "check_letter", "check_section"]


def check(stay: Stay, section: Text) -> list[Problem]:
    """The problems of one section of a letter."""
    return check_section(stay, section.key, section.text)
