"""The small parts that lives are told with: civil time, expressions, formulas, the NEWS2 chart."""

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirsynth import days
from fhirsynth.knowledge.expressions import compare, parse
from fhirsynth.timeline import clock
from fhirsynth.timeline.body import creatinine_for, egfr_ckd_epi
from fhirsynth.timeline.early_warning import EarlyWarning

LONDON = zoneinfo.ZoneInfo("Europe/London")
dates = st.dates(dt.date(1996, 1, 1), dt.date(2037, 12, 31))


@given(dates, st.integers(3 * 60, 23 * 60 + 59))
def test_an_instant_is_the_local_time_of_the_tz_database(date, minutes):
    day = days.day_of(date)
    local = dt.datetime(date.year, date.month, date.day, minutes // 60, minutes % 60, tzinfo=LONDON)
    assert clock.instant(day, minutes) == int(local.timestamp())
    assert clock.local_day(clock.instant(day, minutes)) == day


@given(dates)
def test_a_working_day_is_monday_to_friday(date):
    day = clock.working_day(days.day_of(date))
    assert days.date_of(day).weekday() < 5
    assert 0 <= day - days.day_of(date) <= 5


@given(st.dates(dt.date(1900, 1, 1), dt.date(2025, 12, 31)), dates)
def test_age_rises_on_the_birthday(birth, date):
    age = days.age_on(days.day_of(birth), days.day_of(date))
    try:
        birthday = birth.replace(year=birth.year + age)
        following = birth.replace(year=birth.year + age + 1)
    except ValueError:  # 29 February
        return
    assert birthday <= date < following


@pytest.mark.parametrize(
    ("creatinine", "age", "sex", "expected"),
    # Worked with the published CKD-EPI 2009 equation (Levey et al. 2009), no ethnicity factor.
    [(80, 50, "female", 74), (80, 50, "male", 99), (200, 70, "male", 28), (60, 30, "female", 117)],
)
def test_egfr_by_ckd_epi_2009(creatinine, age, sex, expected):
    assert egfr_ckd_epi(creatinine, age, sex) == pytest.approx(expected, abs=1.0)


@given(st.floats(5, 125), st.integers(18, 105), st.sampled_from(["female", "male"]))
def test_creatinine_is_the_inverse_of_egfr(egfr, age, sex):
    assert egfr_ckd_epi(creatinine_for(egfr, age, sex), age, sex) == pytest.approx(egfr, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("egfr<30", "level", "egfr"),
        ("hba1c>=58", "level", "hba1c"),
        ("age>75", "age", "age"),
        ("sex=female", "sex", "sex"),
        ("smoking=current", "habit", "smoking"),
        ("condition:peptic-ulcer", "condition", "peptic-ulcer"),
        ("allergy:penicillin", "allergy", "penicillin"),
        ("pregnancy", "pregnancy", ""),
    ],
)
def test_expressions(text, kind, name):
    term = parse(text)
    assert (term.kind, term.name) == (kind, name)


@pytest.mark.parametrize("text", ["egfr", "egfr=30", "sex=other", "shoe-size", ">3", "age>old"])
def test_an_expression_that_is_not_understood_says_what_is(text):
    with pytest.raises(ValueError, match="expected <observable>"):
        parse(text)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_comparisons(left, right):
    assert compare(left, "<", right) == (left < right)
    assert compare(left, ">=", right) == (left >= right)
    assert compare(left, ">", right) == (left > right)
    assert compare(left, "<=", right) == (left <= right)


def test_news2_chart_leaves_no_gap():
    from fhirsynth.knowledge import load

    chart = EarlyWarning(load().table("news2_scoring"))
    assert [chart.points("respiratory_rate", rate) for rate in (8, 9, 12, 20, 21, 25)] == [3, 1, 0, 0, 2, 3]
    assert [chart.points("temperature", t) for t in (35.0, 35.1, 36.0, 36.1, 38.0, 38.1, 39.0, 39.1)] == [
        3, 1, 1, 0, 0, 1, 1, 2,
    ]  # fmt: skip
    for parameter, low, high, decimals in (
        ("respiratory_rate", 4, 60, 0), ("spo2_scale1", 60, 100, 0), ("systolic_bp", 50, 260, 0),
        ("pulse", 25, 220, 0), ("temperature", 300, 430, 1),
    ):  # fmt: skip
        for value in range(low, high + 1):
            chart.points(parameter, value / 10**decimals)
