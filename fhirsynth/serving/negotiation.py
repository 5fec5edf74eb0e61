"""What a client can read and wants: media types, indentation, and whether to refuse what is not known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from starlette.requests import Request

from fhirsynth.serving.outcomes import FhirError

FHIR_JSON = "application/fhir+json"
NDJSON = "application/fhir+ndjson"
_JSON = ("application/json", "text/json")
#: What stands in Accept or `_format`, and the media type that is answered with.
_READABLE = {FHIR_JSON: FHIR_JSON, "json": FHIR_JSON, "*/*": FHIR_JSON, "application/*": FHIR_JSON, "": FHIR_JSON}
_READABLE |= {name: name for name in _JSON} | {"text/*": "text/json"}
_VERSIONS = ("4.0", "4.0.1")


class Wanted(NamedTuple):
    """The media type of the answer, and whether it is indented."""

    media_type: str
    pretty: bool

    @property
    def content_type(self) -> str:
        """The header of that name."""
        return f"{self.media_type}; charset=utf-8"


USUAL = Wanted(FHIR_JSON, False)


def wanted(request: Request, form: Iterable[tuple[str, str]] = ()) -> Wanted:
    """How to answer a request, whose body may be a form.

    Raises FhirError 406 where the client reads no JSON, or another version of FHIR.
    """
    query = {**request.query_params, **dict(form)}
    is_pretty = query.get("_pretty") == "true"
    if (asked := query.get("_format")) is not None:
        media_type = _of(asked.replace(" ", "+"))  # a "+" in a URL is a space
        if media_type is None:
            raise _unreadable(f"_format={asked}")
        return Wanted(media_type, is_pretty)
    accept = request.headers.get("accept", "")
    best: tuple[float, str] | None = None
    for text in accept.split(","):
        media_type, weight = _of(text), _weight(text)
        if media_type is not None and weight > 0 and (best is None or weight > best[0]):
            best = weight, media_type
    if best is None:
        raise _unreadable(f"Accept: {accept}")
    return Wanted(best[1], is_pretty)


def is_strict(request: Request) -> bool:
    """Whether a parameter that is not known is to be an error (`Prefer: handling=strict`), not merely told."""
    preferred = [part.strip().lower() for part in request.headers.get("prefer", "").replace(";", ",").split(",")]
    return "handling=strict" in preferred


def prefers_html(request: Request) -> bool:
    """Whether it is a browser that asks."""
    return "_format" not in request.query_params and "text/html" in request.headers.get("accept", "")


def _of(text: str) -> str | None:
    """The media type to answer one part of Accept with; None where it is not one that can be."""
    name, *params = (part.strip().lower() for part in text.split(";"))
    for param in params:
        key, _, value = param.partition("=")
        if key.strip() == "fhirversion" and value.strip().strip('"') not in _VERSIONS:
            return None
    return _READABLE.get(name)


def _weight(text: str) -> float:
    for param in text.split(";")[1:]:
        key, _, value = param.partition("=")
        if key.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _unreadable(said: str) -> FhirError:
    return FhirError(406, "not-supported", f"{said:.200}: only JSON of FHIR 4.0 is served, as {FHIR_JSON}")
