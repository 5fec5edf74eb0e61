"""Rules beyond the profiles: what is sound passes each of them, and what is damaged is found by its rule."""

from __future__ import annotations

import datetime as dt
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirsynth import Population
from fhirsynth.knowledge import load
from fhirsynth.validation.beyond import OF_TYPE, check_group, known_codes, narrative, sctid
from fhirsynth.validation.beyond.dates import before
from fhirsynth.validation.beyond.groups import PLACES
from fhirsynth.validation.beyond.units import is_unit

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
EXAMPLES = ROOT.parent / "shared" / "ukcore" / "ukcore-stu3dev-examples-json.tgz"
NHS = "https://fhir.nhs.uk/Id/nhs-number"
SNOMED = "http://snomed.info/sct"
UUID = "urn:uuid:8a6d85b8-9837-4fed-a257-4cf207988330"


def found(kind: str, value: Any) -> list[tuple[str, str, str]]:
    """Rule, severity and path of all that the rules of a type find in a value."""
    return [(i.rule, i.severity, i.path) for rule in OF_TYPE[kind] for i in rule(value) or ()]


def group(resources: list[Json], **options: Any) -> set[tuple[str, str]]:
    """Rule and severity of what is found in a group, the label of test data left out."""
    findings = check_group(resources, **options)
    return {(f.rule, f.severity) for f in findings if f.rule != "label-of-test-data"}


# --- identifiers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "value", "rule"),
    [
        (NHS, "9990000018", ""),
        (NHS, "9990000011", "nhs-number"),
        (NHS, "999 000 0018", "nhs-number"),
        (NHS, "999000001", "nhs-number"),
        (NHS, "99900000١٨", "nhs-number"),
        (NHS, "4505577104", "nhs-number-range"),
        ("urn:oid:2.16.840.1.113883.2.1.4.1", "9990000011", "nhs-number"),
        ("urn:oid:2.16.840.1.113883.2.1.3.2.4.16.53", "0101011237", ""),
        ("urn:oid:2.16.840.1.113883.2.1.3.2.4.16.53", "0101011238", "chi-number"),
        ("urn:oid:2.16.840.1.113883.2.1.3.2.4.16.53", "9990000018", "chi-number"),
        ("https://fhir.nhs.uk/Id/hsc-number", "3200000015", ""),
        ("https://fhir.nhs.uk/Id/hsc-number", "9990000018", "hc-number"),
        ("https://fhir.nhs.uk/Id/ods-organization-code", "RR8", ""),
        ("https://fhir.nhs.uk/Id/ods-organization-code", "A81001", ""),
        ("https://fhir.nhs.uk/Id/ods-organization-code", "G7H8J", ""),
        ("https://fhir.nhs.uk/Id/ods-organization-code", "rr8", "ods-code"),
        ("https://fhir.nhs.uk/Id/ods-organization-code", "R 8", "ods-code"),
        ("https://fhir.nhs.uk/Id/ods-organization-code", "R1", "ods-code"),
        ("https://fhir.nhs.uk/Id/ods-site-code", "A81001001", ""),
        ("https://fhir.nhs.uk/Id/ods-site-code", "RR8-13", "ods-code"),
        ("https://fhir.hl7.org.uk/Id/gmc-number", "9999001", ""),
        ("https://fhir.hl7.org.uk/Id/gmc-number", "C9999001", ""),
        ("https://fhir.hl7.org.uk/Id/gmc-number", "C12345678", "gmc-number"),
        ("https://fhir.hl7.org.uk/Id/gmp-number", "G9999998", ""),
        ("https://fhir.hl7.org.uk/Id/gmp-number", "9999998", "gmp-number"),
        ("https://fhir.hl7.org.uk/Id/nmc-number", "12A3456E", ""),
        ("https://fhir.hl7.org.uk/Id/nmc-number", "5566789", "nmc-number"),
        ("https://fhir.hl7.org.uk/Id/gphc-number", "2083469", ""),
        ("https://fhir.hl7.org.uk/Id/gphc-number", "G208346", "gphc-number"),
        ("https://fhir.hl7.org.uk/Id/hcpc-number", "PH12345", ""),
        ("https://fhir.hl7.org.uk/Id/hcpc-number", "12345", "hcpc-number"),
        ("https://fhir.nhs.uk/Id/sds-user-id", "555086689106", ""),
        ("https://fhir.nhs.uk/Id/sds-user-id", "P12345678", "sds-id"),
        ("https://example.org/ids", "anything", ""),
    ],
)
def test_identifier(system: str, value: str, rule: str) -> None:
    issues = found("Identifier", {"system": system, "value": value})
    assert [(name, path) for name, _, path in issues] == ([(rule, "value")] if rule else [])
    grave = {"nhs-number": "error", "chi-number": "error", "hc-number": "error", "nhs-number-range": "information"}
    assert all(severity == grave.get(rule, "warning") for _, severity, _ in issues)


@given(st.text("0123456789", min_size=6, max_size=6), st.integers(0, 9), st.integers(0, 9))
def test_one_changed_digit_of_an_nhs_number_is_found(rest: str, place: int, digit: int) -> None:
    sound = [
        n for n in (f"999{rest}{last}" for last in range(10)) if not found("Identifier", {"system": NHS, "value": n})
    ]
    assert len(sound) <= 1
    for number in sound:
        changed = number[:place] + str(digit) + number[place + 1 :]
        wrong = ("nhs-number", "error", "value") in found("Identifier", {"system": NHS, "value": changed})
        assert wrong == (changed != number)


def test_codes_of_real_organisations_have_the_form() -> None:
    knowledge = load()
    codes = [code for name in ("places_practices", "places_trusts") for code in knowledge.table(name)["ods"]]
    assert len(codes) > 50
    for code in codes:
        assert found("Identifier", {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": code}) == []


# --- postcodes and telecom --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "severity"),
    [
        ({"postalCode": "LS1 4AP", "country": "GB"}, ""),
        ({"postalCode": "W1A 0AX"}, ""),
        ({"postalCode": "EC1A 1BB", "country": "England"}, ""),
        ({"postalCode": "GIR 0AA"}, ""),
        ({"postalCode": "ZZ99 3VZ"}, ""),
        ({"postalCode": "BF1 1AA"}, ""),
        ({"postalCode": "FIQQ 1ZZ", "country": "UK"}, ""),
        ({"postalCode": "75001", "country": "FR"}, ""),
        ({"postalCode": "75001"}, ""),
        ({"postalCode": "K1A 0B1"}, ""),
        ({"postalCode": "1012 AB"}, ""),
        ({"postalCode": "90210-1234"}, ""),
        ({}, ""),
        ({"postalCode": 7}, ""),
        ({"postalCode": "LS1 4MK"}, "information"),
        ({"postalCode": "LS1288T", "country": "ENGLAND"}, "warning"),
        ({"postalCode": "LEN 7TF", "country": "United Kingdom"}, "warning"),
        ({"postalCode": "75001", "country": "gb"}, "warning"),
        ({"postalCode": "ls1 4ap"}, "warning"),
        ({"postalCode": "LS14AP"}, "warning"),
        ({"postalCode": "LSI 4AP"}, "warning"),
        ({"postalCode": "LSI 4AP", "country": "GB"}, "warning"),
        ({"postalCode": "QV1 4AP"}, "warning"),
        ({"postalCode": "LS1 OAP", "country": "GB"}, "warning"),
    ],
)
def test_postcode(address: Json, severity: str) -> None:
    assert found("Address", address) == ([("uk-postcode", severity, "postalCode")] if severity else [])


_AREA = st.sampled_from("ABCDEFGHIJKLMNOPRSTUWYZ")
_SECOND = st.sampled_from("ABCDEFGHKLMNOPQRSTUVWXY")
_UNIT = st.sampled_from("ABDEFGHJLNPQRSTUWXYZ")
_POSTCODES = st.builds(
    lambda area, second, district, sector, one, two: f"{area}{second}{district} {sector}{one}{two}",
    *(_AREA, st.one_of(st.just(""), _SECOND), st.integers(0, 99), st.integers(0, 9), _UNIT, _UNIT),
)


@given(_POSTCODES, st.integers(0, 7), st.sampled_from("*_ß"))
def test_postcode_with_a_character_that_does_not_belong(code: str, place: int, character: str) -> None:
    assert found("Address", {"postalCode": code, "country": "GB"}) == []
    place %= len(code)
    damaged = code[:place] + character + code[place + 1 :]
    assert found("Address", {"postalCode": damaged, "country": "GB"}) == [("uk-postcode", "warning", "postalCode")]


def test_postcodes_of_real_organisations_have_the_form() -> None:
    codes = load().table("places_practices")["postcode"]
    assert len(codes) > 50
    assert all(found("Address", {"postalCode": code}) == [] for code in codes)


@pytest.mark.parametrize(
    ("system", "value", "fine"),
    [
        ("phone", "0113 496 0000", True),
        ("phone", "+44 (0)113 496 0000", True),
        ("phone", "tel:+441134960000", True),
        ("phone", "01132 496000 ext. 12", True),
        ("phone", "999", True),
        ("phone", "n/a", False),
        ("phone", "12", False),
        ("fax", "0113", True),
        ("sms", "seven", False),
        ("phone", "1" * 40, False),
        ("email", "jo@example.org", True),
        ("email", "mailto:jo@example.org", True),
        ("email", "jo@localhost", False),
        ("email", "jo example.org", False),
        ("url", "anything", True),
        ("other", "textphone", True),
    ],
)
def test_telecom(system: str, value: str, fine: bool) -> None:
    issues = found("ContactPoint", {"system": system, "value": value})
    assert issues == ([] if fine else [("telecom", "information", "value")])


# --- codes -----------------------------------------------------------------------------------------------


def with_check_digit(digits: str) -> str:
    (code,) = [f"{digits}{last}" for last in range(10) if sctid.has_check_digit(f"{digits}{last}")]
    return code


@given(st.integers(100, 10**14).map(str), st.integers(0, 99), st.integers(0, 9))
def test_check_digit_finds_each_changed_digit_and_swapped_neighbours(item: str, place: int, digit: int) -> None:
    code = with_check_digit(f"{item}00")
    place %= len(code)
    changed = code[:place] + str(digit) + code[place + 1 :]
    assert sctid.has_check_digit(changed) == (changed == code)
    place %= len(code) - 1
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    assert sctid.has_check_digit(swapped) == (swapped == code)


@pytest.mark.parametrize(
    ("code", "fine"),
    [
        ("73211009", True),
        ("900000000000207008", True),
        ("1324201000000109", True),
        ("73211008", False),
        ("7321109", False),
        ("073211009", False),
        ("12345", False),
        ("", False),
        ("diabetes", False),
        ("73211009 ", True),
        ("٧٣٢١١٠٠٩", False),
        ("9" * 19, False),
        # The identifiers of a description, a relationship, of no partition, and of a namespace without room for it.
        ("121589010", False),
        (with_check_digit("1215892"), False),
        (with_check_digit("12158902"), False),
        (with_check_digit("12158930"), False),
        (with_check_digit("12158910"), False),
        # Expressions of SNOMED CT.
        ("128045006:{363698007=56459004}", True),
        ("128045006 |Cellulitis| : 363698007 |Finding site| = 56459004 |Foot, 12345|", True),
        ("128045006:{363698007=56459005}", False),
        ("a + b", False),
    ],
)
def test_snomed_code(code: str, fine: bool) -> None:
    issues = [issue for issue in found("Coding", {"system": SNOMED, "code": code}) if issue[0] == "sctid"]
    assert issues == ([] if fine else [("sctid", "error", "code")])


@pytest.mark.parametrize("system", ["https://dmd.nhs.uk", "https://dmd.nhs.uk/"])
def test_code_of_dmd(system: str) -> None:
    assert found("Coding", {"system": system, "code": "319773006"}) == []
    assert found("Coding", {"system": system, "code": "319773007"}) == [("sctid", "error", "code")]
    expression = {"system": system, "code": "319773006:260686004=1"}
    assert found("Coding", expression) == [("sctid", "error", "code")]


@pytest.mark.parametrize(
    ("system", "code", "rule"),
    [
        (SNOMED, "44054006", ""),
        (SNOMED, "138875005", "code-known"),
        ("http://hl7.org/fhir/sid/icd-10", "E11.9", ""),
        ("http://hl7.org/fhir/sid/icd-10", "E119", ""),
        ("http://hl7.org/fhir/sid/icd-10", "I10X", ""),
        ("http://hl7.org/fhir/sid/icd-10", "I10", ""),
        ("http://hl7.org/fhir/sid/icd-10", "A00.0", "code-known"),
        ("http://hl7.org/fhir/sid/icd-10", "M40.01", "code-known"),
        ("http://hl7.org/fhir/sid/icd-10", "E11,9", "icd10-form"),
        ("http://hl7.org/fhir/sid/icd-10", "e11.9", "icd10-form"),
        ("http://hl7.org/fhir/sid/icd-10", "44054006", "icd10-form"),
        ("https://fhir.hl7.org.uk/CodeSystem/OPCS-4", "W37.1", ""),
        ("https://fhir.hl7.org.uk/CodeSystem/OPCS-4", "W371", ""),
        ("https://fhir.hl7.org.uk/CodeSystem/OPCS-4", "A01.1", "code-known"),
        ("https://fhir.hl7.org.uk/CodeSystem/OPCS-4", "I01.1", "opcs4-form"),
        ("https://fhir.hl7.org.uk/CodeSystem/OPCS-4", "W37.12", "opcs4-form"),
        ("https://fhir.hl7.org.uk/CodeSystem/UKCore-EthnicCategoryEngland", "A", ""),
        ("https://fhir.hl7.org.uk/CodeSystem/UKCore-SDSJobRoleName", "R0260", "retired"),
        ("http://loinc.org", "8867-4", ""),
        ("../../r4/code-systems/x", "x", ""),
    ],
)
def test_code_by_its_system(system: str, code: str, rule: str) -> None:
    for _ in range(2):  # the second time from memory
        issues = found("Coding", {"system": system, "code": code})
        assert [name for name, _, _ in issues] == ([rule] if rule else [])
        severity = "information" if rule == "code-known" else "warning"
        assert all(s == severity for _, s, _ in issues)


def test_codes_of_the_package_are_known_and_sound() -> None:
    known = known_codes.snomed()
    assert len(known) > 1000
    assert [code for code in known if sctid.fault(code)] == []
    assert {c.snomed for c in load().conditions.values()} <= known
    assert {m.vmp for m in load().medicines.values()} <= known


@pytest.mark.parametrize(
    ("code", "fine"),
    [
        *((code, True) for code in ("kg", "mm[Hg]", "/min", "mL/min/{1.73_m2}", "10*9/L", "Cel", "%", "{score}", "1")),
        *((code, False) for code in ("mmHg", "kg m", "Kg", "mL/min/1.73m2", "kg(", "beats", "", "m." * 200 + "m")),
    ],
)
def test_unit(code: str, fine: bool) -> None:
    for _ in range(2):
        value = {"value": 1, "system": "http://unitsofmeasure.org", "code": code}
        assert found("Quantity", value) == ([] if fine else [("ucum", "error", "code")])
        assert found("Age", value) == ([] if fine else [("ucum", "warning", "code")])
    assert found("Quantity", {"value": 1, "system": "http://example.org", "code": code}) == []


def test_units_of_the_package_are_units() -> None:
    units = {item.unit for item in load().observables.values() if item.unit}
    assert len(units) > 10
    codes = {
        quantity["code"]
        for file in SAMPLES.glob("people/*.json")
        for kind, quantity in values(json.loads(file.read_bytes()))
        if kind == "Quantity" and quantity.get("system") == "http://unitsofmeasure.org"
    }
    assert len(codes) > 10
    assert [code for code in codes if not is_unit(code)] == []


# --- references --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "severity"),
    [
        ("Patient/1", ""),
        ("Patient/1/_history/2", ""),
        ("https://example.org/fhir/Patient/1", ""),
        ("https://example.org/fhir/Patient/1/_history/a.b", ""),
        ("#p1", ""),
        ("#", ""),
        (UUID, ""),
        (UUID.upper().replace("URN:UUID", "urn:uuid"), ""),
        ("urn:oid:1.2.3", ""),
        ("Patient?identifier=https://fhir.nhs.uk/Id/nhs-number|9990000018", ""),
        ("https://example.org/some/page", "information"),
        ("https://example.org", "information"),
        ("mailto:jo@example.org", "information"),
        ("patient/1", "error"),
        ("Patient/", "error"),
        ("Patient", "error"),
        ("Patient/1/2", "error"),
        ("Patient//1", "error"),
        ("/Patient/1", "error"),
        ("../Patient/1", "error"),
        ("Patient/a b", "error"),
        ("Patient/a_b", "error"),
        ("Patient/" + "a" * 65, "error"),
        ("Patient/1/_history/", "error"),
        ("Patient/1#part", "error"),
        ("Persons/1", "error"),
        ("#a b", "error"),
        ("urn:uuid:1", "error"),
        ("urn:oid:a", "error"),
        ("http://", "error"),
        ("https://example.org/fhir/Patient/", "error"),
        ("Organization/https://example.org/x", "error"),
        ("patients?name=x", "error"),
    ],
)
def test_form_of_a_reference(reference: str, severity: str) -> None:
    for _ in range(2):
        issues = found("Reference", {"reference": reference})
        assert issues == ([("reference-form", severity, "reference")] if severity else [])


@pytest.mark.parametrize(
    ("reference", "kind", "fine"),
    [
        ("Patient/1", "Patient", True),
        ("Patient/1", "http://hl7.org/fhir/StructureDefinition/Patient", True),
        ("Patient/1", "https://example.org/StructureDefinition/Own", True),
        ("Patient/1", 7, True),
        (UUID, "Organization", True),
        ("Patient/1", "Group", False),
        ("Patient?name=x", "Group", False),
        ("https://example.org/Patient/1", "http://hl7.org/fhir/StructureDefinition/Group", False),
    ],
)
def test_type_of_a_reference(reference: str, kind: Any, fine: bool) -> None:
    issues = found("Reference", {"reference": reference, "type": kind})
    assert issues == ([] if fine else [("reference-type", "error", "type")])


# --- narratives --------------------------------------------------------------------------------------------


def div(content: str) -> str:
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{content}</div>'


@pytest.mark.parametrize(
    "text",
    [
        *("hello", "a &amp; b &#160; &lt;", "a<br/>b", "a<!-- hi -->", "\u00a0", "<hr/>a", "<![CDATA[a<b]]>"),
        *(
            '<p style="color:red" class="x" id="a" lang="en" xml:lang="en">a</p>',
            '<img src="http://x.y/z.png" alt=""/>',
        ),
        *(
            '<a href="http://x.y">a</a>',
            '<a href="Patient/1">a</a>',
            '<a name="x">a</a>',
            '<a href="mailto:a@b.c">a</a>',
        ),
        "<table border='1'><colgroup><col width='1'/></colgroup><thead><tr><th>a</th></tr></thead> <tbody>\n"
        "<tr><td colspan='2'>b <b>c</b></td></tr></tbody></table>",
        "<ul><li>a<ul><li>b</li></ul></li></ul>",
        "<dl><dt>a</dt><dd>b</dd></dl>",
        '<map name="m"><area shape="rect" href="x"/></map>a',
        "<div>" * 1000 + "a" + "</div>" * 1000,
        "<p>" + "a" * 1_000_000 + "</p>",
    ],
)
def test_narrative_that_is_fine(text: str) -> None:
    assert found("Narrative", {"status": "generated", "div": div(text)}) == []
    assert narrative.html_is_fine(div(text))


#: All but the last three rows are errors to HL7's validator too.
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (div(""), "no text"),
        ('<div xmlns="http://www.w3.org/1999/xhtml"/>', "no text"),
        (div(" \n<p> </p><br/>"), "no text"),
        (div("<!-- only this -->"), "no text"),
        (div("<table><tr><td></td></tr></table>"), "no text"),
        ("<div>hello</div>", "namespace none"),
        ('<div xmlns="http://www.w3.org/2000/svg">hello</div>', "namespace http://www.w3.org/2000/svg"),
        (div('<p xmlns="http://www.w3.org/2000/svg">a</p>'), "another namespace"),
        ('<p xmlns="http://www.w3.org/1999/xhtml">a</p>', "a p as the root"),
        ("just text", "not well-formed"),
        (div("<p>a"), "not well-formed"),
        (div("a<br>b"), "not well-formed"),
        (div("a < b"), "not well-formed"),
        (div("a & b"), "entity"),
        (div("a&nbsp;b"), "entity"),
        (div("<script>x()</script>"), "the element script"),
        (div("<form><input/></form>a"), "the element form"),
        (div('<iframe src="http://x.y"/>a'), "the element iframe"),
        (div('<link rel="stylesheet" href="x.css"/>a'), "the element link"),
        (div("<style>p{}</style>a"), "the element style"),
        (div("<P>a</P>"), "the element P"),
        (div('<p onclick="x()">a</p>'), "the attribute onclick"),
        ('<div xmlns="http://www.w3.org/1999/xhtml" onclick="x()">a</div>', "the attribute onclick"),
        (div('<a href="http://x.y" target="_blank">a</a>'), "the attribute target"),
        (div('<td bgcolor="red">a</td>'), "the attribute bgcolor"),
        (div('<a href="">a</a>'), "empty"),
        (div('<a href="http://a b">a</a>'), "spaces"),
        (div('<a href="JavaScript:x()">a</a>'), "runs a program"),
        (div('<a href="urn:uuid:x">a</a>'), "no link"),
        (div("<p><div>a</div></p>"), "div in p"),
        (div("<p><blockquote>a</blockquote></p>"), "blockquote in p"),
        (div("<span><b><ul><li>a</li></ul></b></span>"), "ul in b"),
        (div("<p>a<p>b</p></p>"), "p in p"),
        (div("<b>a<i><b>b</b></i></b>"), "b in b"),
        (div("<li>a</li>"), "li in div"),
        (div("<tr><td>a</td></tr>"), "tr in div"),
        (div("<table><div>a</div></table>"), "div in table"),
        (div("<table>a<tr><td>b</td></tr></table>"), "text between the parts of table"),
        (div("<ul><li>a</li>b</ul>"), "text between the parts of ul"),
        (div("<br>a</br>"), "br with something"),
        (div("<hr><b>a</b></hr>"), "hr with something"),
        ("<!DOCTYPE html>" + div("a"), "document type"),
        (div("a") + div("b"), "not well-formed"),
        (div("<div>" * 10_000 + "a" + "</div>" * 10_000), "not well-formed"),
    ],
)
def test_narrative_that_is_not(text: str, said: str) -> None:
    (issue,) = OF_TYPE["Narrative"][0]({"status": "generated", "div": text}) or ()
    assert (issue.rule, issue.severity, issue.path) == ("narrative", "error", "div")
    assert said in issue.found
    assert not narrative.html_is_fine(text)


def test_no_entity_of_a_narrative_is_read_from_elsewhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret", encoding="utf-8")
    for entity in (f'SYSTEM "{secret.as_uri()}"', '"' + "x" * 1000 + '"'):
        text = f"<!DOCTYPE div [<!ENTITY e {entity}>]>{div('&e;' * 10)}"
        assert narrative.html_checks(text) == "a document type declaration"


def test_narrative_with_an_id_twice_or_a_status_that_it_belies() -> None:
    twice = div('<p id="a">b</p><a name="a">c</a>')
    assert found("Narrative", {"status": "generated", "div": twice}) == [("narrative", "warning", "div")]
    assert found("Narrative", {"status": "empty", "div": div("No text")}) == []
    long = {"status": "empty", "div": div("text " * 50)}
    assert found("Narrative", long) == [("narrative", "warning", "status")]


_TAGS = st.sampled_from(["p", "b", "ul", "li", "table", "tr", "td", "div", "script", "br", "x:y"])
_MARKUP = st.recursive(
    st.text(max_size=8),
    lambda inner: st.builds(lambda tag, parts: f"<{tag}>{''.join(parts)}</{tag}>", _TAGS, st.lists(inner, max_size=3)),
    max_leaves=8,
)


@given(_MARKUP)
def test_any_markup_is_judged(text: str) -> None:
    said = narrative.html_checks(div(text))
    assert said is None or said
    assert narrative.html_checks(text) is not None or text.startswith("<div")


# --- dates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("2020-01-01", "2020-01-02", True),
        ("2020-01-02", "2020-01-01", False),
        ("2020", "2020-05-01", False),
        ("2020-05", "2020", False),
        ("2019", "2020-05-01", True),
        ("2020-01-01T10:00:00Z", "2020-01-01T10:00:01Z", True),
        ("2020-01-01T10:00:00+05:00", "2020-01-01T06:00:00Z", True),
        ("2020-01-01T06:00:00Z", "2020-01-01T10:00:00+05:00", False),
        ("2020-01-01T10:00:00.5Z", "2020-01-01T10:00:00.75Z", True),
        # Late in the evening it is the next day already in British summer time.
        ("2020-06-01T23:30:00Z", "2020-06-02", False),
        ("2020-06-01T22:30:00Z", "2020-06-02", True),
        ("2020-06-02", "2020-06-03T00:30:00+01:00", False),
        ("2020-06-02", "2020-06-03T01:30:00+01:00", True),
        ("2020-02-30", "soon", False),
        ("2020-13-01T10:00:00Z", "2021-01-01T00:00:00Z", False),
        (None, "2020", False),
        (2019, 2020, False),
    ],
)
def test_one_date_before_another(first: Any, second: Any, expected: bool) -> None:
    assert before(first, second) is expected
    assert not (before(first, second) and before(second, first))


_ZONES = st.integers(-12 * 60, 14 * 60).map(lambda m: dt.timezone(dt.timedelta(minutes=m)))
_MOMENTS = st.datetimes(dt.datetime(1900, 1, 2), dt.datetime(2100, 1, 1), timezones=_ZONES)
_LENGTHS = st.sampled_from([4, 7, 10, 99])


@given(_MOMENTS, _MOMENTS, _LENGTHS, _LENGTHS)
def test_what_is_before_stays_so_when_it_is_known_more_exactly(
    a: dt.datetime, b: dt.datetime, long: int, other: int
) -> None:
    assert before(a.isoformat(), b.isoformat()) == (a < b)
    if before(a.isoformat()[:long], b.isoformat()[:other]) and max(long, other) < 99:
        assert a.date() < b.date()


@pytest.mark.parametrize(
    ("resource", "wrong"),
    [
        ({"resourceType": "Patient", "birthDate": "2000-01-02", "deceasedDateTime": "2000-01-02"}, {}),
        ({"resourceType": "Patient", "birthDate": "2000-01-02", "deceasedDateTime": "2000"}, {}),
        (
            {"resourceType": "Patient", "birthDate": "2000-01-02", "deceasedDateTime": "1999-01-01T10:00:00Z"},
            {("error", "deceasedDateTime")},
        ),
        ({"resourceType": "Condition", "onsetDateTime": "2020", "abatementDateTime": "2020-03"}, {}),
        (
            {
                "resourceType": "Condition",
                "onsetDateTime": "2020-04-01",
                "abatementDateTime": "2020-03",
                "recordedDate": "2019",
            },
            {("error", "abatementDateTime"), ("warning", "recordedDate")},
        ),
        (
            {"resourceType": "Condition", "onsetPeriod": {"start": "2020"}, "abatementPeriod": {"end": "2019"}},
            {("error", "abatementPeriod.end")},
        ),
        (
            {
                "resourceType": "Observation",
                "effectiveDateTime": "2020-01-01T10:00:00Z",
                "issued": "2020-01-01T09:00:00Z",
            },
            {("warning", "issued")},
        ),
        (
            {
                "resourceType": "Observation",
                "effectivePeriod": {"start": "2020-01-02"},
                "issued": "2020-01-01T09:00:00Z",
            },
            {("warning", "issued")},
        ),
        (
            {
                "resourceType": "MedicationRequest",
                "authoredOn": "2021",
                "dispenseRequest": {"validityPeriod": {"end": "2020"}},
            },
            {("warning", "dispenseRequest.validityPeriod.end")},
        ),
        (
            {"resourceType": "Immunization", "occurrenceDateTime": "2021-02-01", "expirationDate": "2021-01-31"},
            {("warning", "expirationDate")},
        ),
        ({"resourceType": "Immunization", "occurrenceDateTime": "2021-01-31", "expirationDate": "2021-01-31"}, {}),
        (
            {"resourceType": "FamilyMemberHistory", "bornDate": "1950", "deceasedDate": "1940"},
            {("error", "deceasedDate")},
        ),
        (
            {"resourceType": "Appointment", "start": "2020-01-01T10:00:00Z", "end": "2020-01-01T09:00:00Z"},
            {("error", "end")},
        ),
        (
            {
                "resourceType": "Encounter",
                "period": {"start": "2020-01-02", "end": "2020-01-05"},
                "location": [
                    {},
                    {"period": {"start": "2020-01-01", "end": "2020-01-06"}},
                    {"period": {"start": "2020"}},
                ],
            },
            {("warning", "location[1].period.start"), ("warning", "location[1].period.end")},
        ),
    ],
)
def test_dates_in_order(resource: Json, wrong: set[tuple[str, str]]) -> None:
    issues = found(resource["resourceType"], resource)
    assert {(severity, path) for _, severity, path in issues} == set(wrong)
    assert {rule for rule, _, _ in issues} <= {"dates-in-order"}


# --- groups ------------------------------------------------------------------------------------------------


def people() -> Json:
    """A bundle of one person with many readings, to be changed at will."""
    bundles: Iterator[Json] = (json.loads(file.read_bytes()) for file in sorted(SAMPLES.glob("people/*.json")))
    return next(b for b in bundles if len(made.of(made.resources(b), "Observation")) > 20)


def judged(bundle: Json, **options: Any) -> set[tuple[str, str]]:
    return group(made.resources(bundle), bundle=bundle, **options)


def test_what_is_made_is_sound() -> None:
    population = Population(n=15, seed=5)
    places = population.organisations()
    names = {entry["request"]["url"] for entry in places["entry"]}
    for bundle in (places, *population.people()):
        resources = made.resources(bundle)
        assert list(check_group(resources, names, bundle=bundle)) == []
        # Invented postcodes cannot be real ones, which is worth a remark and no more.
        graver = {i.rule for kind, value in values(resources) for r in OF_TYPE.get(kind, ()) for i in r(value) or ()}
        assert graver <= {"uk-postcode"}


@pytest.mark.parametrize(("places", "severity"), [(None, "warning"), (set(), "error")])
def test_reference_that_leads_nowhere(places: set[str] | None, severity: str) -> None:
    bundle = people()
    observation = made.of(made.resources(bundle), "Observation")[3]
    observation["subject"]["reference"] = "Patient/nobody"
    findings = [f for f in check_group(made.resources(bundle), places, bundle=bundle) if "nobody" in f.found]
    assert [(f.rule, f.severity, f.path) for f in findings] == [("references-resolve", severity, "subject")]
    assert findings[0].resource == f"Observation/{observation['id']}"


def test_places_are_looked_for_only_where_they_are_known() -> None:
    bundle = people()
    assert judged(bundle) == set()
    assert judged(bundle, places=set()) == {("references-resolve", "error")}
    names = {r for r in _references(bundle) if r.startswith(PLACES)}
    assert judged(bundle, places=names) == set()


def _references(value: Any) -> Iterator[str]:
    for kind, inner in values(value):
        if kind == "Reference":
            yield inner["reference"]


def linked(kind: str, reference: str, **entry: Any) -> Json:
    """A bundle of an Observation with a reference, and a Patient beside it."""
    observation = {"resourceType": "Observation", "id": "o", "subject": {"reference": reference, **entry}}
    entries = [
        {"fullUrl": "https://example.org/fhir/Observation/o", "resource": observation},
        {"fullUrl": UUID, "resource": {"resourceType": "Patient", "id": "p"}},
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


@pytest.mark.parametrize(
    ("kind", "reference", "severity"),
    [
        ("collection", UUID, ""),
        ("collection", "Patient/p", ""),
        ("collection", "Patient/p/_history/1", ""),
        ("collection", "https://example.org/fhir/Observation/o", ""),
        ("collection", "https://example.org/fhir/Patient/other", ""),
        ("collection", "Patient?identifier=1", ""),
        ("collection", "patient/other", ""),
        ("collection", UUID.replace("0", "1"), "error"),
        ("searchset", UUID.replace("0", "1"), "error"),
        ("collection", "#p", "error"),
        ("transaction", "Patient/other", "warning"),
        ("collection", "Patient/other", "warning"),
        ("collection", "Organization/other", ""),
        ("batch", "Patient/other", ""),
        ("searchset", "Patient/other", ""),
        ("history", "Patient/other", ""),
    ],
)
def test_reference_in_a_bundle(kind: str, reference: str, severity: str) -> None:
    findings = {(r, s) for r, s in judged(linked(kind, reference)) if r.startswith("reference")}
    assert findings == ({("references-resolve", severity)} if severity else set())


def test_reference_of_another_type_than_what_it_leads_to() -> None:
    assert judged(linked("collection", UUID, type="Patient")) == set()
    assert judged(linked("collection", UUID, type="Group")) == {("reference-type", "error")}


def test_what_the_composition_of_a_document_refers_to_is_in_it() -> None:
    composition = {"resourceType": "Composition", "id": "c", "author": [{"reference": "Practitioner/x"}]}
    bundle = {"resourceType": "Bundle", "type": "document", "entry": [{"fullUrl": UUID, "resource": composition}]}
    (finding,) = [f for f in check_group([composition], bundle=bundle) if f.rule == "references-resolve"]
    assert (finding.severity, finding.path) == ("error", "author[0]")


def test_contained_resource_and_what_refers_to_it() -> None:
    resource = {
        "resourceType": "Observation",
        "id": "o",
        "contained": [{"resourceType": "Patient", "id": "p", "link": [{"other": {"reference": "#"}}]}],
        "subject": {"reference": "#p"},
        "performer": [{"reference": "#q"}],
    }
    findings = [f for f in check_group([resource, {"resourceType": "Patient", "id": "x"}]) if f.rule[:3] == "ref"]
    assert [(f.path, f.severity) for f in findings] == [("performer[0]", "error")]
    assert group([resource], alone=True) == set()


def test_id_that_is_there_twice_or_missing() -> None:
    bundle = people()
    bundle["entry"].append(bundle["entry"][1])
    assert judged(bundle) == {("ids-are-unique", "error"), ("bundle-addresses-agree", "error")}
    patient: Json = {"resourceType": "Patient", "id": "1"}
    assert group([patient, {**patient}]) == {("ids-are-unique", "error")}
    versions = [{**patient, "meta": {"versionId": "1"}}, {**patient, "meta": {"versionId": "2"}}]
    assert group(versions) == set()
    entries = [{"fullUrl": f"https://{host}/Patient/1", "resource": {**patient}} for host in "ab"]
    assert judged({"resourceType": "Bundle", "type": "collection", "entry": entries}) == set()
    assert group([{"resourceType": "Patient"}, patient]) == {("ids-are-unique", "warning")}
    assert group([{"resourceType": "Patient"}], places=set()) == {("ids-are-unique", "error")}
    assert group([{"resourceType": "Patient"}], alone=True) == set()


@pytest.mark.parametrize(
    ("kind", "entry", "said"),
    [
        ("collection", {"fullUrl": UUID}, ""),
        ("collection", {"fullUrl": "https://example.org/Patient/1"}, ""),
        ("collection", {"fullUrl": "https://example.org/own/address"}, ""),
        ("collection", {"fullUrl": "https://example.org/Patient/1x"}, "fullUrl is"),
        ("collection", {"fullUrl": "https://example.org/Group/1"}, "fullUrl is"),
        ("collection", {"fullUrl": "Patient/1"}, "fullUrl is"),
        ("collection", {}, "no fullUrl"),
        ("transaction", {"request": {"method": "PUT", "url": "Patient/1"}}, ""),
        ("transaction", {"request": {"method": "PUT", "url": "Patient?identifier=1"}}, ""),
        ("transaction", {"request": {"method": "PUT", "url": "https://example.org/fhir/Patient/1"}}, ""),
        ("transaction", {"request": {"method": "PUT", "url": "Patient/2"}}, "request.url is Patient/2"),
        ("transaction", {"request": {"method": "PUT", "url": "Group?identifier=1"}}, "request.url is Group?"),
        ("transaction", {"request": {"method": "POST", "url": "Patient"}}, ""),
        ("transaction", {"request": {"method": "POST", "url": "Patient/$match"}}, ""),
        ("transaction", {"request": {"method": "POST", "url": "Patient/1"}}, "request.url is Patient/1"),
        ("transaction", {"request": {"method": "POST", "url": "Group"}}, "request.url is Group"),
        ("transaction", {"request": {"method": "PUT", "url": "Patient/1"}, "resource": None}, "no resource"),
        ("transaction", {"request": {"method": "DELETE", "url": "Patient/1"}, "resource": None}, ""),
        ("collection", {"fullUrl": UUID, "resource": "Patient"}, "no resource"),
    ],
)
def test_addresses_of_an_entry(kind: str, entry: Json, said: str) -> None:
    entry = {"resource": {"resourceType": "Patient", "id": "1"}, **entry}
    if entry["resource"] is None:
        del entry["resource"]
    bundle = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
    findings = [f for f in check_group([], bundle=bundle) if f.rule == "bundle-addresses-agree"]
    assert len(findings) == bool(said)
    assert all(said in f.found and f.severity == "error" and f.path.startswith("entry[0]") for f in findings)


def test_lists_of_two_nations_in_one_person() -> None:
    bundle = people()
    patient = made.resources(bundle)[0]
    category = next(e for e in patient["extension"] if e["url"].endswith("EthnicCategory"))
    coding = category["valueCodeableConcept"]["coding"][0]
    assert coding["system"].endswith("England")
    coding["system"] = coding["system"].replace("England", "Wales")
    (finding,) = [f for f in check_group(made.resources(bundle), bundle=bundle) if f.rule == "nations-mixed"]
    assert (finding.severity, finding.person) == ("warning", patient["id"])
    assert "Wales (EthnicCategory)" in finding.found
    assert "England (" in finding.found
    assert (f"Patient/{patient['id']}", "") == (finding.resource, finding.path)


def test_people_of_two_nations_are_not_mixed() -> None:
    lists = "https://fhir.hl7.org.uk/CodeSystem/"
    england = {"coding": {"system": f"{lists}NHSDataModelAndDictionary-DischargeMethod"}}
    wales = {"coding": {"system": f"{lists}UKCore-EthnicCategoryWales"}}
    encounter = {"resourceType": "Encounter", "id": "e", "subject": {"reference": "Patient/1"}, "type": england}
    assert group([encounter, {"resourceType": "Patient", "id": "2", "extension": wales}], alone=True) == set()
    mixed = group([encounter, {"resourceType": "Patient", "id": "1", "extension": wales}], alone=True)
    assert mixed == {("nations-mixed", "warning")}
    # Staff and places are nobody's.
    assert group([{"resourceType": "Location", "id": "l", "a": [england, wales]}], alone=True) == set()


def test_link_of_a_narrative() -> None:
    patient: Json = {"resourceType": "Patient", "id": "p", "name": [{"id": "n"}]}
    text = {"status": "generated"}
    contained = {"resourceType": "Organization", "id": "o", "text": {**text, "div": div('<p id="inner">a</p>')}}
    for target, fine in {"p": True, "n": True, "o": True, "inner": True, "here": True, "": True, "x": False}.items():
        narrated = {**text, "div": div(f'<a href="#{target}">a</a><p id="here"><img src="#n"/></p>')}
        expected = set() if fine else {("narrative-links", "error")}
        assert group([{**patient, "contained": [contained], "text": narrated}], alone=True) == expected


def test_label_of_test_data() -> None:
    bundle = people()
    made.resources(bundle)[4]["meta"].pop("security")
    (finding,) = check_group(made.resources(bundle), bundle=bundle)
    assert (finding.rule, finding.severity, finding.path) == ("label-of-test-data", "information", "meta.security")


# --- anybody's files ----------------------------------------------------------------------------------------

#: Types by the name of the element that holds the value, where its form does not tell.
_BY_NAME = {
    "identifier": "Identifier",
    "valueIdentifier": "Identifier",
    "coding": "Coding",
    "valueCoding": "Coding",
    "telecom": "ContactPoint",
    "address": "Address",
    "valueAddress": "Address",
}


def values(value: Any, name: str = "") -> Iterator[tuple[str, Json]]:
    """Values in a resource with their types, as far as name and form tell them."""
    if isinstance(value, dict):
        if isinstance(value.get("resourceType"), str):
            yield value["resourceType"], value
        if isinstance(value.get("reference"), str):
            yield "Reference", value
        if isinstance(value.get("div"), str):
            yield "Narrative", value
        if value.get("system") == "http://unitsofmeasure.org":
            yield "Quantity", value
        if name in _BY_NAME:
            yield _BY_NAME[name], value
        for key, inner in value.items():
            yield from values(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from values(inner, name)


@pytest.mark.skipif(not EXAMPLES.exists(), reason="../shared holds the UK Core examples and is not there")
def test_examples_of_uk_core_have_no_errors_but_their_own() -> None:
    errors: dict[str, set[str]] = {}
    seen = 0
    with tarfile.open(EXAMPLES) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if not member.name.endswith(".json") or file is None:
                continue
            seen += 1
            resource = json.load(file)
            whole = resource["resourceType"] == "Bundle"
            entries = resource.get("entry", []) if whole else [{"resource": resource}]
            resources = [entry["resource"] for entry in entries if "resource" in entry]
            issues = [
                i for kind, value in values(resource) for rule in OF_TYPE.get(kind, ()) for i in rule(value) or ()
            ]
            findings = check_group(resources, bundle=resource if whole else None, alone=not whole)
            wrong = {f.rule for f in (*issues, *findings) if f.severity == "error"}
            if wrong:
                errors[Path(member.name).stem] = wrong
    assert seen > 200
    assert errors == {
        # Relative URLs, which HL7's validator refuses too.
        "UKCore-Bundle-NEWS2Observations-Example": {"bundle-addresses-agree"},
        # A wrong check digit: the number after that of RichardSmith.
        "UKCore-Patient-BabyPatient-Example": {"nhs-number"},
        # An id without its type.
        "UKCore-MedicationDispense-Amoxicillin-Example": {"reference-form"},
        "UKCore-MedicationDispense-CiprofloxacinIV-Example": {"reference-form"},
        "UKCore-MedicationDispense-CiprofloxacinOral-Example": {"reference-form"},
        # The URL of a profile where an id should be.
        "UKCore-Provenance-RARecordConsent-Example": {"reference-form"},
    }


@pytest.mark.parametrize("file", sorted(SAMPLES.rglob("*.json")), ids=lambda file: file.name[:6])
def test_samples_have_nothing_worth_a_warning(file: Path) -> None:
    bundle = json.loads(file.read_bytes())
    if bundle.get("resourceType") != "Bundle":
        return
    issues = [i for kind, value in values(bundle) for rule in OF_TYPE.get(kind, ()) for i in rule(value) or ()]
    assert [i for i in issues if i.severity != "information"] == []
    assert {i.rule for i in issues} <= {"uk-postcode"}
    assert list(check_group(made.resources(bundle), bundle=bundle)) == []


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["Patient/1", "2020"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    """
    system code value reference type div status country postalCode resourceType id meta security profile text contained
    entry fullUrl request url method subject patient period start end location birthDate deceasedDateTime onsetDateTime
    abatementDateTime recordedDate issued effectiveDateTime extension versionId
    """.split()  # noqa: SIM905
)
_VALUES = _JSON | st.dictionaries(_KEYS, _JSON | st.dictionaries(_KEYS, _JSON, max_size=3), max_size=6)
_SYSTEMS = st.sampled_from(
    [NHS, SNOMED, "http://unitsofmeasure.org", "phone", "email", "http://hl7.org/fhir/sid/icd-10"]
)


@settings(max_examples=300, deadline=None)
@given(_VALUES, _SYSTEMS, st.text(max_size=12))
def test_anything_is_judged_without_a_crash(value: Any, system: str, text: str) -> None:
    for rules in OF_TYPE.values():
        for rule in rules:
            for tried in (value, {"system": system, "code": text, "value": text}, {"div": text}, {"reference": text}):
                issues = rule(tried)
                assert issues is None or all(issue.rule and issue.found for issue in issues)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(_KEYS, _VALUES, max_size=5), max_size=4), st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_any_group_is_judged_without_a_crash(resources: list[Json], bundle: Json) -> None:
    resources = [{**resource, "resourceType": "Patient"} for resource in resources]
    entries = [{"resource": resource, "fullUrl": bundle.get("fullUrl")} for resource in resources]
    for finding in (
        *check_group(resources),
        *check_group(resources, {"Patient/1"}, bundle={**bundle, "entry": entries}),
    ):
        assert str(finding)
    list(check_group(resources, bundle=bundle, alone=True))
