"""Bundles: one person's record, or the places and staff, as a transaction that a server can load."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from fhirsynth.fhir import organisation
from fhirsynth.fhir.allergy import allergy_intolerance
from fhirsynth.fhir.condition import condition, family_member_history, flag, problem_list
from fhirsynth.fhir.context import Context, Scope, group
from fhirsynth.fhir.elements import Json
from fhirsynth.fhir.encounter import appointment, encounter, episode_of_care
from fhirsynth.fhir.immunisation import immunization
from fhirsynth.fhir.laboratory import note_report, report, request, specimen
from fhirsynth.fhir.medication import is_current, medication_request, medication_statement
from fhirsynth.fhir.observation import observation
from fhirsynth.fhir.patient import patient, related_person
from fhirsynth.fhir.procedure import procedure
from fhirsynth.fhir.provenance import provenance
from fhirsynth.record.record import Rows
from fhirsynth.record.schema import Person

_Builder = Callable[[Any, Scope, Context], Json]

#: Tables whose rows become one resource each, in the order in which they stand in a bundle.
_ONE_TO_ONE: tuple[tuple[str, _Builder], ...] = (
    ("contact", related_person),
    ("encounter", encounter),
    ("episode", episode_of_care),
    ("condition", condition),
    ("allergy", allergy_intolerance),
    ("procedure", procedure),
    ("immunisation", immunization),
    ("family_history", family_member_history),
    ("appointment", appointment),
    ("flag", flag),
    ("specimen", specimen),
)
_PLACES: tuple[tuple[str, Callable[[Any, Context], Json]], ...] = (
    ("organisation", organisation.organisation),
    ("location", organisation.location),
    ("practitioner", organisation.practitioner),
    ("practitioner_role", organisation.practitioner_role),
    ("healthcare_service", organisation.healthcare_service),
)


def _requests(rows: Rows, scope: Scope, context: Context) -> Iterable[Json]:
    reported = {row.request_id for row in rows.get("report", ())}
    last_seen: dict[str, int] = {}
    for row in rows.get("encounter", ()):
        if row.kind == "outpatient":
            last_seen[row.specialty] = max(row.start, last_seen.get(row.specialty, row.start))
    for row in rows.get("request", ()):
        if row.kind == "laboratory":
            done = row.id in reported
        else:
            done = last_seen.get(row.what, row.authored) > row.authored
        yield request(row, done, scope, context)


def person_resources(person: Person, rows: Rows, context: Context) -> list[Json]:
    """All resources of one person, Patient first, Provenance last.

    `rows`: the person's rows by table, as `Record.by_person` gives them. The resources share parts with
    each other and with those of other people: read them, do not change them.
    """
    scope = Scope(person, context)
    for row in rows.get("condition", ()):
        if row.encounter_id is not None:
            scope.diagnoses.setdefault(row.encounter_id, []).append(row)
    for encounter_id, kept in group(rows.get("appointment", []), "encounter_id").items():
        scope.appointments[encounter_id] = [{"reference": "Appointment/" + row.id} for row in kept]
    for row in rows.get("report", ()):
        note_report(row, scope, context)

    made = [patient(person, rows.get("contact", []), scope, context)]
    for table, build in _ONE_TO_ONE:
        for row in rows.get(table, ()):
            made.append(build(row, scope, context))
    made.extend(_requests(rows, scope, context))
    for row in rows.get("observation", ()):
        made.append(observation(row, scope, context))
    for row in rows.get("report", ()):
        made.extend(report(row, scope, context))
    orders = rows.get("medication", ())
    for row in orders:
        made.append(medication_request(row, scope, context))
    for row in orders:
        if row.repeat and is_current(row, context) and person.death is None:
            made.append(medication_statement(row, scope, context))
    made.append(problem_list(rows.get("condition", []), scope, context))
    made.append(provenance([f"{item['resourceType']}/{item['id']}" for item in made], scope, context))
    return made


def bundle(resources: Iterable[Json], context: Context) -> Json:
    """A transaction that puts each resource at its own id."""
    base = context.base_url + "/"
    entries = []
    for resource in resources:
        url = resource["resourceType"] + "/" + resource["id"]
        entries.append({"fullUrl": base + url, "resource": resource, "request": {"method": "PUT", "url": url}})
    return {
        "resourceType": "Bundle",
        "meta": context.meta["UKCore-Bundle"],
        "type": "transaction",
        "entry": entries,
    }


def person_bundle(person: Person, rows: Rows, context: Context, *, shared: bool = False) -> Json:
    """One person's record as a transaction bundle.

    The bundle is the caller's own. With `shared` it is not copied, which is quicker: its parts then
    belong to other bundles too and must not be changed.
    """
    made = bundle(person_resources(person, rows, context), context)
    return made if shared else orjson.loads(orjson.dumps(made))


def organisation_resources(tables: Mapping[str, Sequence[Any]], context: Context) -> list[Json]:
    """Organization, Location, Practitioner, PractitionerRole and HealthcareService of the place tables."""
    return [build(row, context) for table, build in _PLACES for row in tables.get(table, ())]


def organisations_bundle(tables: Mapping[str, Sequence[Any]], context: Context, *, shared: bool = False) -> Json:
    """The places and staff as a transaction bundle, to be loaded before those of the people."""
    made = bundle(organisation_resources(tables, context), context)
    return made if shared else orjson.loads(orjson.dumps(made))
