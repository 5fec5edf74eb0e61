"""Organization, Location, Practitioner, PractitionerRole, HealthcareService: where care is given, by whom."""

from __future__ import annotations

from fhirsynth.fhir.context import Context
from fhirsynth.fhir.elements import Json, address, concept, escaped, human_name, narrative, phone
from fhirsynth.record import schema as rows
from fhirsynth.systems import ODS

_ODS_SITE = "https://fhir.nhs.uk/Id/ods-site-code"
_GMC = "https://fhir.hl7.org.uk/Id/gmc-number"
_SDS_USER = "https://fhir.nhs.uk/Id/sds-user-id"
_PROVIDER = concept("http://terminology.hl7.org/CodeSystem/organization-type", "prov", "Healthcare Provider")


def organisation(row: rows.Organisation, context: Context) -> Json:
    """UKCore-Organization."""
    resource: Json = {
        "resourceType": "Organization",
        "id": row.id,
        "meta": context.meta["UKCore-Organization"],
        "text": narrative(f"{escaped(row.name)} ({row.ods})"),
        "identifier": [{"system": ODS, "value": row.ods}],
        "active": True,
        "type": [_PROVIDER],
        "name": row.name,
        "telecom": [phone(row.phone, "work")],
        # An organisation's address may not be of use "home" (org-2).
        "address": [address(row.address, row.postcode, "work")],
    }
    if row.parent_id:
        resource["partOf"] = context.organisations[row.parent_id]
    return resource


def location(row: rows.Location, context: Context) -> Json:
    """UKCore-Location."""
    words = context.codes.words
    resource: Json = {
        "resourceType": "Location",
        "id": row.id,
        "meta": context.meta["UKCore-Location"],
        "text": narrative(escaped(row.name)),
    }
    if row.ods_site:
        resource["identifier"] = [{"system": _ODS_SITE, "value": row.ods_site}]
    resource |= {
        "status": "active",
        "name": row.name,
        "mode": "instance",
        "type": [words["location-type"][row.kind]],
        "address": address(row.address, row.postcode, "work"),
        "physicalType": words["location-physical"][row.kind],
        "managingOrganization": context.organisations[row.organisation_id],
    }
    if row.part_of_id:
        resource["partOf"] = context.locations[row.part_of_id]
    return resource


def practitioner(row: rows.Practitioner, context: Context) -> Json:
    """UKCore-Practitioner."""
    name = human_name(row.prefix, row.given, row.surname)
    identifiers = []
    if row.gmc:
        identifiers.append({"system": _GMC, "value": row.gmc})
    if row.sds:
        identifiers.append({"system": _SDS_USER, "value": row.sds})
    resource: Json = {
        "resourceType": "Practitioner",
        "id": row.id,
        "meta": context.meta["UKCore-Practitioner"],
        "text": narrative(escaped(name["text"])),
    }
    if identifiers:
        resource["identifier"] = identifiers
    resource |= {"active": True, "name": [name], "gender": row.sex}
    return resource


def practitioner_role(row: rows.PractitionerRole, context: Context) -> Json:
    """UKCore-PractitionerRole."""
    role = context.codes.words["practitioner-role"][row.role]
    resource: Json = {
        "resourceType": "PractitionerRole",
        "id": row.id,
        "meta": context.meta["UKCore-PractitionerRole"],
        "text": narrative(role["coding"][0]["display"]),
        "active": True,
        "practitioner": {"reference": "Practitioner/" + row.practitioner_id},
        "organization": context.organisations[row.organisation_id],
        "code": [role],
        "specialty": [context.practice_settings[row.specialty]],
    }
    if row.location_id:
        resource["location"] = [context.locations[row.location_id]]
    return resource


def healthcare_service(row: rows.HealthcareService, context: Context) -> Json:
    """UKCore-HealthcareService."""
    resource: Json = {
        "resourceType": "HealthcareService",
        "id": row.id,
        "meta": context.meta["UKCore-HealthcareService"],
        "text": narrative(escaped(row.name)),
        "active": True,
        "providedBy": context.organisations[row.organisation_id],
    }
    service = context.codes.words["service"].get(row.specialty)
    if service is not None:
        resource["type"] = [service]
    resource |= {
        "specialty": [context.practice_settings[row.specialty]],
        "location": [context.locations[row.location_id]],
        "name": row.name,
        "telecom": [phone(row.phone, "work")],
    }
    return resource
