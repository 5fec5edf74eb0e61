"""Patient and RelatedPerson: who somebody is, and who stands by them."""

from __future__ import annotations

from functools import cache

from fhirsynth.fhir import civil
from fhirsynth.fhir.codes import load_codes
from fhirsynth.fhir.context import Context, Scope
from fhirsynth.fhir.elements import (
    UK_CORE,
    Json,
    address,
    concept,
    escaped,
    extension,
    human_name,
    narrative,
    phone,
    phone_of,
)
from fhirsynth.record.schema import Contact, Person
from fhirsynth.systems import NHS_NUMBER

_BIRTH_SEX = {
    sex: extension(
        "BirthSex",
        "CodeableConcept",
        concept("http://terminology.hl7.org/CodeSystem/v3-AdministrativeGender", code, display),
    )
    for sex, code, display in (("female", "F", "Female"), ("male", "M", "Male"))
} | {
    "unknown": extension(
        "BirthSex", "CodeableConcept", concept("http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "UNK", "unknown")
    )
}
_INTERPRETER = "http://hl7.org/fhir/StructureDefinition/patient-interpreterRequired"
_OVERSEAS = extension(
    "ResidentialStatus",
    "CodeableConcept",
    concept("https://fhir.hl7.org.uk/CodeSystem/UKCore-ResidentialStatus", "O", "Overseas Resident"),
)
_HOME = "GB"


@cache
def _number_status(code: str) -> Json:
    status = load_codes().national["nhs-number-status"][code]
    return extension("NHSNumberVerificationStatus", "CodeableConcept", status)


@cache
def _death_notified(code: str) -> Json:
    status = {"url": "deathNotificationStatus", "valueCodeableConcept": load_codes().national["death-notice"][code]}
    return {"url": UK_CORE + "Extension-UKCore-DeathNotificationStatus", "extension": [status]}


def _meta(profile: str, person: Person, context: Context) -> Json:
    """`meta` of what says who or where somebody is: with a label of confidentiality where that is restricted."""
    meta = context.meta[profile]
    if person.confidentiality == "N":
        return meta
    label = context.codes.national["confidentiality"][person.confidentiality]["coding"]
    return meta | {"security": [*meta["security"], *label]}


def _telecom(person: Person) -> list[Json]:
    found = []
    if person.phone:
        found.append(phone(person.phone, "home"))
    if person.mobile:
        found.append(phone(person.mobile, "mobile"))
    if person.email:
        found.append({"system": "email", "value": person.email, "use": "home"})
    return found


def _born(person: Person) -> str:
    """The day of birth as far as it is known: 1961, 1961-07 or 1961-07-02."""
    return civil.date(person.birth)[: {"year": 4, "month": 7, "day": 10}[person.birth_precision]]


def _contact(contact: Contact, context: Context) -> Json:
    words = context.codes
    if contact.next_of_kin:
        relationship = words.both("relationship", contact.relationship, "next-of-kin")
    else:
        relationship = words.words["relationship"][contact.relationship]
    found = {
        "relationship": [relationship],
        "name": human_name(contact.prefix, contact.given, contact.surname, "usual"),
        "telecom": [phone_of(contact.phone)],
    }
    if contact.address is not None:
        found["address"] = address(contact.address, contact.postcode, "home")
    found["gender"] = contact.sex
    return found


def patient(person: Person, contacts: list[Contact], scope: Scope, context: Context) -> Json:
    """UKCore-Patient."""
    codes = context.codes
    name = human_name(person.prefix, person.given, person.surname)
    names = [name]
    if person.previous_surname:
        names.append({"use": "old", "family": person.previous_surname})
        if person.given:
            names[1]["given"] = name["given"]
    born = _born(person)
    number = f"NHS number {person.nhs_number}" if person.nhs_number else "no NHS number"
    extensions = [
        extension("EthnicCategory", "CodeableConcept", codes.national["ethnic-category"][person.ethnic_category]),
        _BIRTH_SEX["unknown" if person.gender == "unknown" else person.sex],
        {"url": _INTERPRETER, "valueBoolean": person.interpreter},
    ]
    if person.country != _HOME:
        extensions.append(_OVERSEAS)
    if person.no_number_reason is not None:
        reason = codes.national["no-nhs-number"][person.no_number_reason]
        extensions.append(extension("NHSNumberUnavailableReason", "CodeableConcept", reason))
    resource: Json = {
        "resourceType": "Patient",
        "id": person.id,
        "meta": _meta("UKCore-Patient", person, context),
        "text": narrative(f"{escaped(name['text'])}, born {born}, {number}"),
        "extension": extensions,
    }
    if person.nhs_number is not None:
        status = [_number_status(person.number_status)]
        resource["identifier"] = [{"extension": status, "system": NHS_NUMBER, "value": person.nhs_number}]
    resource["active"] = person.death is None
    resource["name"] = names
    telecom = _telecom(person)
    if telecom:
        resource["telecom"] = telecom
    resource["gender"] = person.gender or person.sex
    resource["birthDate"] = born
    if person.death is not None:
        extensions.append(_death_notified(person.death_notice))
        time = scope.times[person.death]
        resource["deceasedDateTime"] = time[:10] if person.death_precision == "day" else time
    if person.address is not None:
        resource["address"] = [address(person.address, person.postcode, "home", person.country)]
    if person.birth_order is not None:
        resource["multipleBirthInteger"] = person.birth_order
    if person.marital_status is not None:
        resource["maritalStatus"] = codes.words["marital-status"][person.marital_status]
    if contacts:
        resource["contact"] = [_contact(contact, context) for contact in contacts]
    resource["communication"] = [{"language": codes.language(person.language), "preferred": True}]
    doctors = [person.gp_role_id] if person.registered else []
    if person.second_gp_role_id is not None:
        doctors.append(person.second_gp_role_id)
    if doctors:
        resource["generalPractitioner"] = [context.roles[doctor] for doctor in doctors]
    if person.registered:
        resource["managingOrganization"] = scope.practice
    return resource


def related_person(contact: Contact, scope: Scope, context: Context) -> Json:
    """UKCore-RelatedPerson."""
    words = context.codes.words["relationship"]
    relationship = [words[contact.relationship]]
    if contact.next_of_kin:
        relationship.append(words["next-of-kin"])
    name = human_name(contact.prefix, contact.given, contact.surname, "usual")
    resource: Json = {
        "resourceType": "RelatedPerson",
        "id": contact.id,
        "meta": _meta("UKCore-RelatedPerson", scope.person, context),
        "text": narrative(f"{escaped(name['text'])}, {contact.relationship}"),
    }
    if contact.nhs_number is not None:
        resource["identifier"] = [{"system": NHS_NUMBER, "value": contact.nhs_number}]
    resource |= {
        "active": True,
        "patient": scope.patient,
        "relationship": relationship,
        "name": [name],
        "telecom": [phone_of(contact.phone)],
        "gender": contact.sex,
    }
    if contact.address is not None:
        resource["address"] = [address(contact.address, contact.postcode, "home")]
    return resource
