"""Provenance: that fhirsynth, a program, made these resources, so that no one takes them for real."""

from __future__ import annotations

from collections.abc import Iterable

from fhirsynth import __version__
from fhirsynth.fhir.context import Context, Scope
from fhirsynth.fhir.elements import Json, coding, concept, narrative

_MAKER = {
    "resourceType": "Device",
    "id": "fhirsynth",
    "status": "active",
    "deviceName": [{"name": "fhirsynth", "type": "model-name"}],
    "version": [{"value": __version__}],
}
_AGENT = {
    "type": concept("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "assembler", "Assembler"),
    "who": {"reference": "#fhirsynth", "display": "fhirsynth " + __version__},
}
_CREATE = {"coding": [coding("http://terminology.hl7.org/CodeSystem/v3-DataOperation", "CREATE", "create")]}
_TEST = concept("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST", "test health data")


def provenance(targets: Iterable[str], scope: Scope, context: Context) -> Json:
    """UKCore-Provenance of the resources at `targets` (`Type/id`). Its id is that of the person."""
    return {
        "resourceType": "Provenance",
        "id": scope.person.id,
        "meta": context.meta["UKCore-Provenance"],
        "text": narrative("Synthetic record made by fhirsynth " + __version__),
        "contained": [_MAKER],
        "target": [{"reference": target} for target in targets],
        "recorded": context.index_time,
        "reason": [_TEST],
        "activity": _CREATE,
        "agent": [_AGENT],
    }
