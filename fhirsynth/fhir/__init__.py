"""The record as UK Core FHIR R4: plain dicts, bundles, JSON."""

from fhirsynth.fhir.bundle import (
    organisation_resources,
    organisations_bundle,
    person_bundle,
    person_resources,
)
from fhirsynth.fhir.context import BASE_URL, Context
from fhirsynth.fhir.writing import NdjsonWriter, as_models, to_bytes

__all__ = [
    "BASE_URL",
    "Context",
    "NdjsonWriter",
    "as_models",
    "organisation_resources",
    "organisations_bundle",
    "person_bundle",
    "person_resources",
    "to_bytes",
]
