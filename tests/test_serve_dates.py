"""Dates as spans of time: how long each is, and which are none."""

from __future__ import annotations

import datetime as dt

import pytest
import slow_search
from hypothesis import given
from hypothesis import strategies as st

from fhirsynth.serving.dates import EARLIEST, LATEST, span_of, span_of_text


def _milliseconds(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "first", "after"),
    [
        ("2024", "2024-01-01T00:00:00+00:00", "2025-01-01T00:00:00+00:00"),
        ("2024-02", "2024-02-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00"),
        ("2024-12", "2024-12-01T00:00:00+00:00", "2025-01-01T00:00:00+00:00"),
        ("2024-06", "2024-06-01T00:00:00+01:00", "2024-07-01T00:00:00+01:00"),
        ("2024-03-31", "2024-03-31T00:00:00+00:00", "2024-04-01T00:00:00+01:00"),  # the clocks go forward
        ("2024-06-01T09:30", "2024-06-01T09:30:00+01:00", "2024-06-01T09:31:00+01:00"),
        ("2024-06-01T09:30:15", "2024-06-01T09:30:15+01:00", "2024-06-01T09:30:16+01:00"),
        ("2024-06-01T09:30:15Z", "2024-06-01T09:30:15+00:00", "2024-06-01T09:30:16+00:00"),
        ("2024-06-01T09:30:15.25-05:00", "2024-06-01T09:30:15.250-05:00", "2024-06-01T09:30:15.260-05:00"),
        ("2024-06-01T09:30:15.123456Z", "2024-06-01T09:30:15.123+00:00", "2024-06-01T09:30:15.124+00:00"),
        ("2024-06-01T09:30:15 01:00", "2024-06-01T09:30:15+01:00", "2024-06-01T09:30:16+01:00"),
    ],
)
def test_a_date_is_as_long_as_it_is_precise(text: str, first: str, after: str) -> None:
    assert span_of_text(text) == tuple(_milliseconds(dt.datetime.fromisoformat(end)) for end in (first, after))


NO_DATES = (
    *("", "x", "24", "2024-1", "2024-13", "2024-00", "2024-02-30", "20240101", "٢٠٢٤", "2024-01-01 ", "0000"),
    *("2024-01-01T", "2024-01-01T10", "2024-01-01T25:00", "2024-01-01T10:61", "2024-01-01T10:00+1"),
    *("2024-01-01T10:00:00+24:00",),
)


@pytest.mark.parametrize("text", NO_DATES)
def test_what_is_no_date(text: str) -> None:
    assert span_of_text(text) is None


@given(
    st.datetimes(dt.datetime(1850, 1, 1), dt.datetime(2100, 1, 1)),
    st.sampled_from([4, 7, 10, 16, 19]),
    st.integers(-12, 14),
)
def test_spans_are_those_of_another_reckoning(moment: dt.datetime, length: int, hours: int) -> None:
    text = moment.isoformat(timespec="seconds")[:length]
    if length > 10:
        text += f"{hours:+03d}:00" if hours else "Z"
    assert span_of_text(text) == tuple(map(_milliseconds, slow_search.span(text)))


@pytest.mark.parametrize("text", ["9999", "9999-12", "9999-12-31"])
def test_the_last_day_of_the_calendar_has_no_end(text: str) -> None:
    span = span_of_text(text)
    assert span is not None
    assert span[0] > _milliseconds(dt.datetime(9998, 12, 31, tzinfo=dt.UTC)) and span[1] == LATEST


def test_periods_and_timings() -> None:
    day, later = span_of_text("2024-06-01"), span_of_text("2024-06-03")
    assert day is not None
    assert later is not None
    assert span_of({"start": "2024-06-01", "end": "2024-06-03"}) == (day[0], later[1])
    assert span_of({"start": "2024-06-01"}) == (day[0], LATEST)
    assert span_of({"end": "2024-06-01"}) == (EARLIEST, day[1])
    assert span_of({}) is None
    assert span_of({"event": ["2024-06-03", "2024-06-01"]}) == (day[0], later[1])
    assert span_of({"repeat": {"boundsPeriod": {"start": "2024-06-01"}}}) == (day[0], LATEST)
    assert span_of({"repeat": {"frequency": 2}}) is None
