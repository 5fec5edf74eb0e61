"""FHIRPath over raw JSON, compiled once to closures: the invariants of base R4, of UK Core and of one's own profiles.

    holds = compile_invariant("dataAbsentReason.empty() or value.empty()")
    holds(observation, Environment(observation, observation, resolve))

Resources are plain dicts as `orjson` reads them, so types are known only where JSON tells them: by the key of a choice
element (`valueQuantity`), by `resourceType`, else by what a value looks like. Written after FHIRPath N1
(http://hl7.org/fhirpath/N1/) and its use in FHIR R4 (http://hl7.org/fhir/R4/fhirpath.html); where these leave room,
after HL7's own validator.
"""

from __future__ import annotations

from fhirsynth.validation.fhirpath.errors import Undecided, Unsupported
from fhirsynth.validation.fhirpath.invariants import Environment, compile_invariant, evaluate

__all__ = ["Environment", "Undecided", "Unsupported", "compile_invariant", "evaluate"]
