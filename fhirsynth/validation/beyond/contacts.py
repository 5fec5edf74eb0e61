"""Where people can be reached: British postcodes, telephone numbers and e-mail addresses in a plausible form."""

from __future__ import annotations

import re
from typing import Any

from fhirsynth.validation.findings import Issue

#: The form of a British postcode in BS 7666 (Cabinet Office, PostCodeType), and P for districts such as N1P.
_POSTCODE = re.compile(
    r"(?:[A-PR-UWYZ](?:[0-9][0-9]?|[A-HK-Y][0-9][0-9]?|[0-9][A-HJKPSTUW]|[A-HK-Y][0-9][ABEHMNPRVWXY])|ZZ99) "
    r"[0-9][A-Z]{2}|GIR 0AA"
)
#: Letters that no real postcode has in its last two places (BS 7666).
_UNUSED = frozenset("CIKMOV")
#: What somebody who meant a British postcode may have written: two halves, the second of a digit and two letters.
_NEARLY = re.compile(r"\s*[A-Z]{1,2}[0-9OIL][0-9A-Z]?\s*[0-9OIL][A-Z]{2}\s*", re.IGNORECASE | re.ASCII)
_OVERSEAS = re.compile(r"(?:ASCN|BBND|BIQQ|FIQQ|PCRN|SIQQ|STHL|TDCU|TKCA) 1ZZ|GX11 1AA")
#: What may stand in Address.country for the United Kingdom and its countries (ISO 3166 and names).
_BRITISH = frozenset(
    (
        *("gb", "gbr", "uk", "united kingdom", "great britain", "britain"),
        *("united kingdom of great britain and northern ireland", "northern ireland", "england", "scotland", "wales"),
        *("gb-eng", "gb-nir", "gb-sct", "gb-wls"),
    )
)

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")
_PHONE = re.compile(
    r"(?:tel:|sms:|fax:)?\s*\+?[0-9 ().\-/\u2010-\u2015\u00a0]+"
    r"(?:(?:,|;|x|ext\.?|extension)[=\s#:.]*[0-9 ]+)?",
    re.IGNORECASE,
)
_DIGITS = range(3, 21)  # from 111 to an international number with an extension
_PHONES = frozenset(("phone", "fax", "sms", "pager"))

_MOST = 50_000
_fine: set[str] = set()


def postcode(value: Any) -> list[Issue] | None:
    """`uk-postcode` [warning]: a postcode in the United Kingdom has the form of BS 7666.

    Where no country is given, only what nearly is a British postcode is looked at. The pseudo postcodes ZZ99 of the
    Office for National Statistics are fine. A postcode of the right form whose last two letters no real one has is
    made up, which is good for test data: [information].
    """
    code = value.get("postalCode") if type(value) is dict else None
    if type(code) is not str or code in _fine:
        return None
    if _POSTCODE.fullmatch(code) is not None:
        if code.startswith("ZZ99") or _UNUSED.isdisjoint(code[-2:]):
            if len(_fine) < _MOST:
                _fine.add(code)
            return None
        said = f"{code}, which is made up: no real one ends in {code[-2:]}"
        return [Issue("postalCode", "uk-postcode", said, "", "information")]
    country = value.get("country")
    if country is None or country == "":
        wrong = _NEARLY.fullmatch(code) is not None
    else:
        wrong = type(country) is str and country.strip().lower() in _BRITISH
    if not wrong or _OVERSEAS.fullmatch(code) is not None:
        return None
    return [Issue("postalCode", "uk-postcode", repr(code[:40]), "a British postcode such as LS1 4AP", "warning")]


def telecom(value: Any) -> list[Issue] | None:
    """`telecom` [information]: a telephone number is of digits, an e-mail address has an @ and a domain.

    Source: the form of numbers in ITU-T E.123, of addresses in RFC 5322, both read generously.
    """
    if type(value) is not dict:
        return None
    system, text = value.get("system"), value.get("value")
    if type(system) is not str or type(text) is not str:
        return None
    if system in _PHONES:
        if text in _fine:
            return None
        if len(text) <= 100 and _PHONE.fullmatch(text) is not None and sum(map(str.isdigit, text)) in _DIGITS:
            if len(_fine) < _MOST:
                _fine.add(text)
            return None
        return [Issue("value", "telecom", repr(text[:60]), "a telephone number", "information")]
    if system == "email" and _EMAIL.fullmatch(text.removeprefix("mailto:")) is None:
        return [Issue("value", "telecom", repr(text[:60]), "an e-mail address", "information")]
    return None
