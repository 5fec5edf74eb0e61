"""Patient and RelatedPerson: who somebody is, and who stands by them."""

from __future__ import annotations

from fhirsynth.fhir import civil
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
)
from fhirsynth.record.schema import Contact, Person

_VERIFIED = extension(
    "NHSNumberVerificationStatus",
    "CodeableConcept",
    concept(
        "https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatusEngland",
        "01",
        "Number present and verified",
    ),
)
_BIRTH_SEX = {
    sex: extension(
        "BirthSex",
        "CodeableConcept",
        concept("http://terminology.hl7.org/CodeSystem/v3-AdministrativeGender", code, display),
    )
    for sex, code, display in (("female", "F", "Female"), ("male", "M", "Male"))
}
_DEATH_NOTIFIED = {
    "url": UK_CORE + "Extension-UKCore-DeathNotificationStatus",
    "extension": [
        {
            "url": "deathNotificationStatus",
            "valueCodeableConcept": concept(
                "https://fhir.hl7.org.uk/CodeSystem/UKCore-DeathNotificationStatus",
                "2",
                "Formal - death notice received from Registrar of Deaths",
            ),
        }
    ],
}
_INTERPRETER = "http://hl7.org/fhir/StructureDefinition/patient-interpreterRequired"


def _telecom(person: Person) -> list[Json]:
    found = []
    if person.phone:
        found.append(phone(person.phone, "home"))
    if person.mobile:
        found.append(phone(person.mobile, "mobile"))
    if person.email:
        found.append({"system": "email", "value": person.email, "use": "home"})
    return found


def _contact(contact: Contact, context: Context) -> Json:
    words = context.codes
    if contact.next_of_kin:
        relationship = words.both("relationship", contact.relationship, "next-of-kin")
    else:
        relationship = words.words["relationship"][contact.relationship]
    return {
        "relationship": [relationship],
        "name": human_name(contact.prefix, contact.given, contact.surname, "usual"),
        "telecom": [phone(contact.phone, "home")],
        "address": address(contact.address, contact.postcode, "home"),
        "gender": contact.sex,
    }


def patient(person: Person, contacts: list[Contact], scope: Scope, context: Context) -> Json:
    """UKCore-Patient."""
    codes = context.codes
    name = human_name(person.prefix, person.given, person.surname)
    names = [name]
    if person.previous_surname:
        names.append({"use": "old", "family": person.previous_surname, "given": name["given"]})
    born = civil.date(person.birth)
    extensions = [
        extension("EthnicCategory", "CodeableConcept", codes.national["ethnic-category"][person.ethnic_category]),
        _BIRTH_SEX[person.sex],
        {"url": _INTERPRETER, "valueBoolean": person.interpreter},
    ]
    resource: Json = {
        "resourceType": "Patient",
        "id": person.id,
        "meta": context.meta["UKCore-Patient"],
        "text": narrative(f"{escaped(name['text'])}, born {born}, NHS number {person.nhs_number}"),
        "extension": extensions,
        "identifier": [
            {
                "extension": [_VERIFIED],
                "system": "https://fhir.nhs.uk/Id/nhs-number",
                "value": person.nhs_number,
            }
        ],
        "active": person.death is None,
        "name": names,
    }
    telecom = _telecom(person)
    if telecom:
        resource["telecom"] = telecom
    resource["gender"] = person.sex
    resource["birthDate"] = born
    if person.death is not None:
        extensions.append(_DEATH_NOTIFIED)
        resource["deceasedDateTime"] = scope.times[person.death]
    resource["address"] = [address(person.address, person.postcode, "home")]
    if person.marital_status is not None:
        resource["maritalStatus"] = codes.words["marital-status"][person.marital_status]
    if contacts:
        resource["contact"] = [_contact(contact, context) for contact in contacts]
    resource["communication"] = [{"language": codes.language(person.language), "preferred": True}]
    resource["generalPractitioner"] = [context.roles[person.gp_role_id]]
    resource["managingOrganization"] = scope.practice
    return resource


def related_person(contact: Contact, scope: Scope, context: Context) -> Json:
    """UKCore-RelatedPerson."""
    words = context.codes.words["relationship"]
    relationship = [words[contact.relationship]]
    if contact.next_of_kin:
        relationship.append(words["next-of-kin"])
    name = human_name(contact.prefix, contact.given, contact.surname, "usual")
    return {
        "resourceType": "RelatedPerson",
        "id": contact.id,
        "meta": context.meta["UKCore-RelatedPerson"],
        "text": narrative(f"{escaped(name['text'])}, {contact.relationship}"),
        "active": True,
        "patient": scope.patient,
        "relationship": relationship,
        "name": [name],
        "telecom": [phone(contact.phone, "home")],
        "gender": contact.sex,
        "address": [address(contact.address, contact.postcode, "home")],
    }
