"""What no profile says: rules for anybody's UK Core resources beyond the definitions.

`OF_TYPE` holds rules that hang on a FHIR type: each is called with a value of that type (what JSON was there) and
answers None, or a list of issues with paths relative to the value. `check_group` looks at resources that belong
together. Each rule's source stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhirsynth.validation.beyond import codings, contacts, dates, identifiers, narrative, references, units
from fhirsynth.validation.beyond.groups import check_group
from fhirsynth.validation.findings import Issue

__all__ = ["OF_TYPE", "check_group"]

OF_TYPE: dict[str, tuple[Callable[[Any], list[Issue] | None], ...]] = {
    "Address": (contacts.postcode,),
    "Coding": (codings.check,),
    "ContactPoint": (contacts.telecom,),
    "Identifier": (identifiers.check,),
    "Narrative": (narrative.check,),
    "Reference": (references.check,),
    "Quantity": (units.of_quantity,),
    **dict.fromkeys(("Age", "Count", "Distance", "Duration"), (units.of_amount,)),
    **{kind: (rule,) for kind, rule in dates.RULES.items()},
}
