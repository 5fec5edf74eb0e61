"""What a server may change of a resource, and what it may not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fhirsynth.loading.comparing import differences
from fhirsynth.loading.entries import parse

BASE = "http://127.0.0.1:8080/fhir"
SENT = b"""{"resourceType": "Observation", "id": "a",
  "meta": {"profile": ["https://x/P"], "security": [{"system": "s", "code": "HTEST"}]},
  "text": {"status": "generated", "div": "<div xmlns=\\"http://www.w3.org/1999/xhtml\\">A &lt; B<br/></div>"},
  "subject": {"reference": "Patient/b"}, "note": [{"text": "one"}, {"text": "two"}],
  "valueQuantity": {"value": 70.50, "unit": "kg"}, "valueInteger": 4}"""


def back(**changed: Any) -> dict[str, Any]:
    found = parse(SENT)
    found["meta"] |= {"versionId": "2", "lastUpdated": "2026-01-01T00:00:00Z", "source": "#abc"}
    return {**found, **changed}


def told(found: dict[str, Any], sent: bytes = SENT) -> list[str]:
    return [str(difference) for difference in differences(parse(sent), found, BASE)]


def test_what_servers_add_is_no_difference() -> None:
    assert told(back()) == []
    assert told(back(subject={"reference": f"{BASE}/Patient/b"})) == []
    tagged = back()
    tagged["meta"]["tag"] = [{"code": "loaded"}]
    tagged["meta"]["security"].append({"code": "R"})
    assert told(tagged) == []
    without = parse(SENT)
    del without["text"]
    assert not differences(without, back(), BASE)
    spelled = "<div xmlns='http://www.w3.org/1999/xhtml'>A &#60; B<br></br></div>"
    assert told(back(text={"status": "generated", "div": spelled})) == []


@pytest.mark.parametrize(
    ("found", "difference"),
    [
        (b'{"value": 70.5, "unit": "kg"}', "Observation.valueQuantity.value: sent 70.50, found 70.5"),
        (b'{"value": 7.050e1, "unit": "kg"}', None),
        (b'{"value": 70.51, "unit": "kg"}', "Observation.valueQuantity.value: sent 70.50, found 70.51"),
        (b'{"value": "70.50", "unit": "kg"}', "Observation.valueQuantity.value: sent 70.50, found '70.50'"),
        (b'{"value": 70.50}', "Observation.valueQuantity.unit: sent 'kg', found nothing"),
        (
            b'{"value": 70.50, "unit": "kg", "code": "kg"}',
            "Observation.valueQuantity.code: sent nothing, found 'kg'",
        ),
    ],
)
def test_numbers_have_digits(found: bytes, difference: str | None) -> None:
    assert told(back(valueQuantity=parse(found))) == ([difference] if difference else [])


def test_all_else_is_a_difference() -> None:
    assert told(back(valueInteger=parse(b"4.0"))) == ["Observation.valueInteger: sent 4, found 4.0"]
    assert told(back(valueInteger=True, note=[{"text": "one"}])) == [
        "Observation.note[1]: sent {'text': 'two'}, found nothing",
        "Observation.valueInteger: sent 4, found True",
    ]
    assert told(back(subject={"reference": "Patient/c"})) == [
        "Observation.subject.reference: sent 'Patient/b', found 'Patient/c'"
    ]
    other = "<div xmlns='http://www.w3.org/1999/xhtml'>A &gt; B<br/></div>"
    assert len(told(back(text={"status": "generated", "div": other}))) == 1
    assert len(told(back(text={"status": "generated", "div": "<div>not closed"}))) == 1
    lost = copy.deepcopy(back())
    del lost["meta"]["security"], lost["text"]
    assert told(lost)[0].startswith("Observation.meta.security: sent {'system': 's', 'code': 'HTEST'}, found None")
    assert told(lost)[1].startswith("Observation.text: sent {")
