"""What is set of a person whom the population does not have, before their life is told.

Only the person and those who stand by them are touched; whatever is recorded of them afterwards is told of the
person as they then are, so that the record agrees with itself.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fhirsynth.days import day_of
from fhirsynth.fhir import civil
from fhirsynth.named.cases import TABLES, Case
from fhirsynth.population.details import email_name
from fhirsynth.record.schema import Contact, Encounter, Flag, Person

if TYPE_CHECKING:
    from fhirsynth.named.making import Named
    from fhirsynth.population.places import Places

#: What children have from the household that they live in.
_OF_HOME = (
    *("household_id", "address", "postcode", "phone", "region", "imd_decile", "practice_id", "gp_role_id"),
    *("ethnic_category", "language", "surname"),
)
_OF_TWIN = (*_OF_HOME, "birth", "sex", "prefix", "household")
#: Days before the record is told on which an alert of somebody who was never seen was added.
_FLAGGED = 60


def altered(
    case: Case, person: Person, contacts: list[Contact], others: Mapping[str, Named], places: Places
) -> tuple[Person, list[Contact]]:
    """The person of a case, and those who stand by them, as the case wants them. `others`: the cases before it."""
    if case.child_of is not None:
        person, contacts = _newborn(person, others[case.child_of])
    if case.twin_of is not None:
        twin = others[case.twin_of]
        person = person._replace(**{name: getattr(twin.person, name) for name in _OF_TWIN})
        contacts = [_again(contact, person) for contact in twin.contacts]
    before = person
    person = person._replace(**_values(case, person))
    if case.second_practice is not None:
        practice = places.practices(case.second_practice)[0]
        person = person._replace(second_gp_role_id=places.roles(practice.id, "general-practitioner")[0].id)
    renamed = (person.given, person.surname) != (before.given, before.surname)
    if renamed and person.email is not None and "email" not in case.set:
        domain = person.email.rpartition("@")[2]
        person = person._replace(email=f"{email_name(person.given, person.surname)}{person.ordinal}@{domain}")
    return person, [_along(contact, before, person) for contact in contacts]


def flagged(case: Case, person: Person, encounters: list[Encounter], index: int) -> list[Flag]:
    """The alerts that a case adds, each set at the first contact, by whoever was responsible for it.

    Without a contact: by the general practitioner, two months before the record is told or since birth.
    """
    first = min(encounters, key=lambda contact: contact.start, default=None)
    if first is None:
        since, role = max(person.birth, index - _FLAGGED), person.gp_role_id
    else:
        since, role = civil.local_day(first.start), first.role_id or person.gp_role_id
    return [Flag(_made_id(person.id, key), person.id, key, since, None, role) for key in case.flags]


def _values(case: Case, person: Person) -> dict[str, Any]:
    """The columns that are set: dates as days, `{town}` in an address as the town of the old one."""
    found: dict[str, Any] = dict.fromkeys(name for name in case.without if name not in TABLES)
    for column, value in case.set.items():
        if isinstance(value, dt.date):
            value = day_of(value)
        elif column == "address" and person.address is not None:
            value = str(value).replace("{town}", person.address.rpartition("\n")[2])
        found[column] = value
    return found


def _along(contact: Contact, before: Person, after: Person) -> Contact:
    """Someone who bears the person's surname or lives with them goes along with what is set of these."""
    if contact.surname == before.surname:
        contact = contact._replace(surname=after.surname)
    if (contact.address, contact.postcode) == (before.address, before.postcode):
        contact = contact._replace(address=after.address, postcode=after.postcode)
    return contact


def _newborn(baby: Person, mother: Named) -> tuple[Person, list[Contact]]:
    """The child that the mother was last in hospital to give birth to, and their parents."""
    stay = [row for row in mother.rows["encounter"] if row.kind == "inpatient"][-1]
    births = [row.start for row in mother.rows.get("procedure", []) if row.encounter_id == stay.id]
    shared = {name: getattr(mother.person, name) for name in _OF_HOME}
    baby = baby._replace(birth=civil.local_day(min(births, default=stay.start)), household="with-parents", **shared)
    parents = [_parent(baby, mother)]
    for contact in mother.contacts:
        if contact.relationship in ("spouse", "partner"):
            role = "mother" if contact.sex == "female" else "father"
            parents.append(_again(contact, baby)._replace(relationship=role, next_of_kin=False))
    return baby, parents


def _parent(baby: Person, mother: Named) -> Contact:
    person = mother.person
    return Contact(
        _made_id(baby.id, "mother"),
        baby.id,
        person.id,
        "mother",
        person.prefix,
        person.given,
        person.surname,
        person.sex,
        person.mobile or person.phone or next(contact.phone for contact in mother.contacts),
        person.address,
        person.postcode,
        True,
        person.nhs_number,
    )


def _again(contact: Contact, person: Person) -> Contact:
    """The same relation of another person of the family."""
    return contact._replace(id=_made_id(person.id, contact.id), person_id=person.id)


def _made_id(person: str, what: str) -> str:
    return str(uuid.uuid5(uuid.UUID(person), what))
