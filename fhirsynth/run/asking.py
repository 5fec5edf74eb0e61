"""A spec from options that somebody wrote down by name: in a file, in a marker of a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from fhirsynth.errors import InputError
from fhirsynth.spec import Spec


def spec_of(options: Mapping[str, Any]) -> Spec:
    """The spec. Raises InputError with one line that names the option, what was expected and what was found."""
    try:
        return Spec(**options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "condition"
        if first["type"] == "extra_forbidden":
            raise InputError(f"there is no option {name}; expected some of {', '.join(Spec.model_fields)}") from None
        what = str(first.get("ctx", {}).get("error", "")) or first["msg"].replace("Input should be", "expected")
        raise InputError(f"{name}: {what}; found {options[name]!r}") from None
