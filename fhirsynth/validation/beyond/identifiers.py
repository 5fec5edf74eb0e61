"""Identifiers of people, staff and places in the United Kingdom: NHS numbers, professional numbers, ODS codes.

No UK Core profile checks their values. What is checked is form and check digit, not whether a number was issued.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import nhs_number

from fhirsynth.validation.findings import Issue

#: First digits of the numbers that are kept for tests and never issued.
TEST_RANGE = "999"


def check(value: Any) -> list[Issue] | None:
    """The value of an Identifier whose system is known, in the form of that system."""
    if type(value) is not dict:
        return None
    system = value.get("system")
    rule = _RULES.get(system) if type(system) is str else None
    if rule is None:
        return None
    text = value.get("value")
    return rule(text) if type(text) is str else None


def _ten_digits(text: str) -> bool:
    return len(text) == 10 and text.isascii() and text.isdigit()


def _has_check_digit(text: str) -> bool:
    return _ten_digits(text) and nhs_number.is_valid(text)


def nhs(text: str) -> list[Issue] | None:
    """`nhs-number` [error]: ten digits, the last the check digit by modulus 11; `nhs-number-range` [information].

    Source: NHS Data Dictionary, NHS NUMBER; numbers that begin with 999 are never issued (NHS England, for tests).
    """
    if not _has_check_digit(text):
        return [Issue("value", "nhs-number", _wrong(text), "ten digits, the last the check digit (modulus 11)")]
    if not text.startswith(TEST_RANGE):
        said = f"{text}, which may be somebody's"
        return [Issue("value", "nhs-number-range", said, "a number of the test range 999", "information")]
    return None


def chi(text: str) -> list[Issue] | None:
    """`chi-number` [error]: ten digits: day of birth as DDMMYY, three more, and the check digit by modulus 11.

    Source: NHS Data Dictionary, COMMUNITY HEALTH INDEX NUMBER; Public Health Scotland, `chi_check` of phsmethods.
    """
    if not _has_check_digit(text):
        return [Issue("value", "chi-number", _wrong(text), "ten digits, the last the check digit (modulus 11)")]
    if _DAY_AND_MONTH.match(text) is None:
        return [Issue("value", "chi-number", text, "a number that begins with a date of birth, DDMMYY")]
    return None


def health_and_care(text: str) -> list[Issue] | None:
    """`hc-number` [error]: ten digits, 320 000 001 to 399 999 999 and the check digit by modulus 11.

    Source: NHS Data Dictionary, HEALTH AND CARE NUMBER (Northern Ireland).
    """
    if not _has_check_digit(text) or not "320000001" <= text[:9] <= "399999999":
        expected = "ten digits from 320 000 001 on, the last the check digit (modulus 11)"
        return [Issue("value", "hc-number", text, expected)]
    return None


def _wrong(text: str) -> str:
    return f"{text!r} with a wrong check digit" if _ten_digits(text) else repr(text[:40])


#: 30 and 31 February are left to whoever reads the date; a two-digit year does not say whether it was a leap year.
_DAY_AND_MONTH = re.compile(r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])")


def _form(rule: str, pattern: str, expected: str) -> Callable[[str], list[Issue] | None]:
    """A rule [warning] that a whole value has the form of a regular expression."""
    matches = re.compile(pattern, re.ASCII).fullmatch

    def check_form(text: str) -> list[Issue] | None:
        if matches(text) is not None:
            return None
        return [Issue("value", rule, repr(text[:40]), expected, "warning")]

    return check_form


_HL7_UK, _NHS = "https://fhir.hl7.org.uk/Id/", "https://fhir.nhs.uk/Id/"

#: By system. Where not said otherwise [warning] and the form is that of NHS England's profiles on Identifier and
#: of its prescribing service. ODS: coding frames of the NHS Data Dictionary, organisations 3 to 8 and sites 5 to 9
#: characters; both are found under either system, and codes given since 2020 (DCB0090) are like G7H8J.
_RULES: dict[str, Callable[[str], list[Issue] | None]] = {
    f"{_NHS}nhs-number": nhs,
    "urn:oid:2.16.840.1.113883.2.1.4.1": nhs,
    "urn:oid:2.16.840.1.113883.2.1.3.2.4.16.53": chi,
    f"{_NHS}hsc-number": health_and_care,
    f"{_NHS}ods-organization-code": _form("ods-code", "[A-Z0-9]{3,9}", "3 to 9 upper-case letters and digits"),
    f"{_NHS}ods-site-code": _form("ods-code", "[A-Z0-9]{3,9}", "3 to 9 upper-case letters and digits"),
    f"{_HL7_UK}gmc-number": _form("gmc-number", "C?[0-9]{7}", "seven digits, or C and seven digits"),
    f"{_HL7_UK}gmp-number": _form("gmp-number", "G[0-9]{7}", "G and seven digits"),
    f"{_HL7_UK}gphc-number": _form("gphc-number", "[0-9]{7}", "seven digits"),
    f"{_HL7_UK}nmc-number": _form("nmc-number", "[0-9]{2}[A-Z][0-9]{4}[A-Z]", "such as 12A3456E"),
    f"{_HL7_UK}hcpc-number": _form("hcpc-number", "[A-Z]{2}[0-9]{4,6}", "two letters and four to six digits"),
    f"{_HL7_UK}din-number": _form("din-number", "[0-9]{6}", "six digits"),
    f"{_NHS}sds-user-id": _form("sds-id", "[0-9]{10,12}", "ten to twelve digits"),
    f"{_NHS}sds-role-profile-id": _form("sds-id", "[0-9]{10,12}", "ten to twelve digits"),
}
