"""The CapabilityStatement: what the server really does, of the types of resource that are in the folder."""

from __future__ import annotations

import datetime as dt
from typing import Any

from fhirsynth import __version__
from fhirsynth.serving.index import Index
from fhirsynth.serving.parameters import Parameters

Json = dict[str, Any]

SYNTHETIC = "SYNTHETIC test data: nobody in it is real"
_CANONICAL = "http://hl7.org/fhir/SearchParameter/"
_OPERATION = "http://hl7.org/fhir/OperationDefinition/"
_EXPORT = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"
_OF_ITSELF = (("_id", "token", "Resource-id"), ("_lastUpdated", "date", "Resource-lastUpdated"))


def capability(index: Index, parameters: Parameters, base: str) -> Json:
    """The CapabilityStatement of a server at the URL `base`."""
    kinds = served(index, parameters)
    return {
        "resourceType": "CapabilityStatement",
        "name": "FhirsynthServe",
        "title": f"fhirsynth serve – {SYNTHETIC}",
        "status": "active",
        "experimental": True,
        "date": made(index),
        "publisher": "fhirsynth",
        "description": (
            f"{SYNTHETIC}. A read-only endpoint over a folder that fhirsynth has made: {index.resources:,} resources. "
            "Parameters that are not known are ignored and told of, or refused with Prefer: handling=strict."
        ),
        "kind": "instance",
        "software": {"name": "fhirsynth", "version": __version__},
        "implementation": {"description": SYNTHETIC, "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "documentation": f"{SYNTHETIC}. Nothing can be written.",
                "security": {"cors": True, "description": "None: it is meant for one's own machine."},
                "resource": [_resource(index, parameters, kind, kinds) for kind in kinds],
                "operation": [{"name": "export", "definition": _EXPORT + "export"}],
            }
        ],
    }


def made(index: Index) -> str:
    """When the index was made."""
    return dt.datetime.fromtimestamp(int(index.about["made"]), dt.UTC).isoformat().replace("+00:00", "Z")


def served(index: Index, parameters: Parameters) -> list[str]:
    """The types of resource that can be asked for: those that fhirsynth makes, and those that are there besides."""
    return sorted(parameters.kinds | set(index.kinds))


def _resource(index: Index, parameters: Parameters, kind: str, kinds: list[str]) -> Json:
    there = index.kinds.get(kind)
    own = parameters.of(kind)
    references = [name for name, parameter in own.items() if parameter.type == "reference"]
    referring = [
        f"{other}:{name}"
        for other in kinds
        for name, parameter in parameters.of(other).items()
        if parameter.type == "reference" and kind in index.targets(parameter)
    ]
    found: Json = {"type": kind, "profile": f"http://hl7.org/fhir/StructureDefinition/{kind}"}
    if there and there.profiles:
        found["supportedProfile"] = list(there.profiles)
    found |= {
        "documentation": f"{there.resources if there else 0:,} resources",
        "interaction": [{"code": code} for code in ("read", "vread", "search-type")],
        "versioning": "versioned",
        "readHistory": False,
        "conditionalRead": "full-support",
        "searchInclude": ["*", *(f"{kind}:{name}" for name in references)] if references else [],
        "searchRevInclude": referring,
        "searchParam": [
            *({"name": name, "definition": _CANONICAL + url, "type": type_} for name, type_, url in _OF_ITSELF),
            *({"name": name, "definition": one.defined, "type": one.type} for name, one in sorted(own.items())),
        ],
    }
    if kind == "Patient":
        found["operation"] = [
            {"name": "everything", "definition": _OPERATION + "Patient-everything"},
            {"name": "export", "definition": _EXPORT + "patient-export"},
        ]
    elif kind == "Composition":
        found["operation"] = [{"name": "document", "definition": _OPERATION + "Composition-document"}]
    return {key: value for key, value in found.items() if value != []}
