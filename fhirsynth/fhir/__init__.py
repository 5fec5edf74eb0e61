"""The record as UK Core FHIR R4: plain dicts, bundles, JSON."""

from fhirsynth.fhir.bundle import (
    organisation_resources,
    organisations_bundle,
    person_bundle,
    person_resources,
)
from fhirsynth.fhir.context import BASE_URL, Context
from fhirsynth.fhir.document import by_reference, document_bundle
from fhirsynth.fhir.document_reference import document_reference, letter_resources, with_letters
from fhirsynth.fhir.writing import as_models, to_bytes

__all__ = [
    "BASE_URL",
    "Context",
    "as_models",
    "by_reference",
    "document_bundle",
    "document_reference",
    "letter_resources",
    "organisation_resources",
    "organisations_bundle",
    "person_bundle",
    "person_resources",
    "to_bytes",
    "with_letters",
]
