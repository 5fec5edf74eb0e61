"""What a record can show: small tests of one person's rows, named in `cases.toml` with what they ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from fhirsynth.days import age_on
from fhirsynth.fhir import civil
from fhirsynth.knowledge import Knowledge
from fhirsynth.record import schema as rec
from fhirsynth.record.record import Rows


class Life(NamedTuple):
    """One person, their rows by table, the day on which the record is told, and what is known."""

    person: rec.Person
    rows: Rows
    told: int
    knowledge: Knowledge


Sign = Callable[[Life, Any], bool]


def medicines(life: Life, least: int) -> bool:
    """At least so many repeat prescriptions that still run."""
    running = (row for row in life.rows["medication"] if row.repeat and (row.end is None or row.end > life.told))
    return sum(1 for _ in running) >= least


def allergies(life: Life, least: int) -> bool:
    """At least so many allergies."""
    return sum(row.allergy is not None for row in life.rows["allergy"]) >= least


def first_line_blocked(life: Life, wanted: list[str]) -> bool:
    """For one of these conditions something else than its usual first medicine was given, ruled out by an allergy."""
    conditions = {row.id: row.key for row in life.rows["condition"]}
    for row in life.rows["medication"]:
        condition = life.knowledge.conditions[conditions[row.reason_id]]
        usual = condition.treatment[0].medicine[0] if condition.treatment else row.medicine
        blocked = {
            name
            for allergy in life.rows["allergy"]
            if allergy.allergy is not None and allergy.recorded <= row.authored
            for name in life.knowledge.allergies[allergy.allergy].blocks
        }
        ruled_out = row.medicine != usual and blocked & set(life.knowledge.medicines[usual].classes)
        if condition.key in wanted and ruled_out:
            return True
    return False


def flags(life: Life, keys: list[str]) -> bool:
    """All these alerts."""
    return set(keys) <= {row.key for row in life.rows["flag"]}


def died_within(life: Life, days: int) -> bool:
    """Death in the days before the record is told."""
    return life.person.death is not None and 0 <= life.told - civil.local_day(life.person.death) <= days


def died_in_hospital(life: Life, wanted: bool) -> bool:
    """Whether a stay ended with death."""
    return any(row.discharge_method == "4" for row in life.rows["encounter"]) == wanted


def contacts(life: Life, wanted: dict[str, int]) -> bool:
    """Exactly these contacts with the health service, by kind."""
    return Counter(row.kind for row in life.rows["encounter"]) == Counter(wanted)


def no_stays(life: Life, wanted: bool) -> bool:
    """Whether the person was never in hospital, so that no letter is written about them."""
    return all(row.kind not in ("inpatient", "day-case") for row in life.rows["encounter"]) == wanted


def last_stay(life: Life, wanted: dict[str, Any]) -> bool:
    """The last stay was for one of the `reasons` and ended within so many `days`."""
    stays = [row for row in life.rows["encounter"] if row.kind == "inpatient"]
    if not stays or stays[-1].reason not in wanted["reasons"]:
        return False
    return bool(life.told - civil.local_day(stays[-1].end) <= wanted["days"])


def first_seen_within(life: Life, days: int) -> bool:
    """Somebody whose record begins in the days before it is told: nothing in it is older, or belongs to no contact."""
    seen = [civil.local_day(row.start) for row in life.rows["encounter"]]
    tables = ("condition", "medication", "observation", "immunisation")
    loose = any(row.encounter_id is None for table in tables for row in life.rows[table])
    return bool(seen) and min(seen) >= life.told - days and not loose


def not_seen_within(life: Life, days: int) -> bool:
    """No contact in the days before the record is told."""
    return all(civil.local_day(row.start) < life.told - days for row in life.rows["encounter"])


def not_seen_for(life: Life, reasons: list[str]) -> bool:
    """No contact for any of these reasons."""
    return all(row.reason not in reasons for row in life.rows["encounter"])


def had_by_age(life: Life, wanted: dict[str, int]) -> bool:
    """All these conditions, each begun before this age in years."""
    begun = {row.key: age_on(life.person.birth, row.onset) for row in reversed(life.rows["condition"])}
    return all(key in begun and begun[key] < age for key, age in wanted.items())


def not_seen_by(life: Life, kinds: list[str]) -> bool:
    """No contact of these kinds."""
    return all(row.kind not in kinds for row in life.rows["encounter"])


def across_clock_change(life: Life, kinds: list[str]) -> bool:
    """A contact of these kinds that began in summer time and ended in winter time, or the other way round."""

    def offset(instant: int) -> str:
        return civil.date_time(instant)[19:]

    return any(row.kind in kinds and offset(row.start) != offset(row.end) for row in life.rows["encounter"])


def declined_vaccines(life: Life, least: int) -> bool:
    """At least so many vaccines declined."""
    return sum(not row.given for row in life.rows["immunisation"]) >= least


def appointments(life: Life, least: dict[str, int]) -> bool:
    """At least so many appointments, by status."""
    found = Counter(row.status for row in life.rows["appointment"])
    return all(found[status] >= number for status, number in least.items())


def next_of_kin(life: Life, relationships: list[str]) -> bool:
    """Everybody who stands by the person is one of these."""
    return all(row.relationship in relationships for row in life.rows["contact"])


def rows(life: Life, wanted: dict[str, int]) -> bool:
    """Exactly so many rows of these tables."""
    return all(len(life.rows[table]) == number for table, number in wanted.items())


def size(life: Life, between: list[int]) -> bool:
    """A record of so many rows in all: enough to look at, and no more."""
    least, most = between
    return least <= sum(map(len, life.rows.values())) <= most


SIGNS: dict[str, Sign] = {
    sign.__name__: sign
    for sign in (
        medicines,
        allergies,
        first_line_blocked,
        flags,
        died_within,
        died_in_hospital,
        contacts,
        no_stays,
        last_stay,
        first_seen_within,
        not_seen_within,
        not_seen_for,
        not_seen_by,
        had_by_age,
        across_clock_change,
        declined_vaccines,
        appointments,
        next_of_kin,
        rows,
        size,
    )
}
