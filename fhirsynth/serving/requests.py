"""What requests and responses have beside FHIR: forms, URLs, and copies that a client still has."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from fhirsynth.serving import bundles
from fhirsynth.serving.index import Stored
from fhirsynth.serving.negotiation import USUAL, Wanted
from fhirsynth.serving.outcomes import FhirError

Pairs = list[tuple[str, str]]

_FORM = "application/x-www-form-urlencoded"
_MOST = 1 << 20  # bytes of a form
_MOST_FIELDS = 1000


def base_of(request: Request) -> str:
    """The URL of the server as the client knows it, without a slash at its end."""
    return str(request.base_url).rstrip("/")


def url(base: str, path: str, given: Iterable[tuple[str, str]] = ()) -> str:
    """A URL of the server."""
    query = urlencode(list(given), safe=":/,$")
    return f"{base}/{path}?{query}" if query else f"{base}/{path}"


async def given(request: Request) -> Pairs:
    """The parameters of a request, of its URL and of the form in its body. Raises FhirError where that is none."""
    found = _pairs(request.url.query)
    if request.method == "POST":
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST:
                raise FhirError(413, "too-long", f"the form is longer than {_MOST:,} bytes")
        if body and request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise FhirError(415, "not-supported", f"expected a form, Content-Type: {_FORM}")
        try:
            found += _pairs(body.decode())
        except UnicodeDecodeError:
            raise FhirError(400, "invalid", "the form is not in UTF-8") from None
    return found


def _pairs(text: str) -> Pairs:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise FhirError(400, "too-costly", f"more than {_MOST_FIELDS:,} parameters") from None


def answer(body: bytes, wanted: Wanted = USUAL, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """JSON as the client wants it."""
    if wanted.pretty:
        body = bundles.pretty(body)
    return Response(body, status, {"Content-Type": wanted.content_type, **(headers or {})})


def version_headers(base: str, found: Stored) -> dict[str, str]:
    """What is told of the version of a resource. A client may keep it, and asks each time whether it is still right."""
    return {
        "ETag": f'W/"{found.version}"',
        "Last-Modified": formatdate(found.updated, usegmt=True),
        "Cache-Control": "no-cache",
        "Content-Location": url(base, f"{found.kind}/{found.id}/_history/{found.version}"),
    }


def is_unchanged(request: Request, found: Stored) -> bool:
    """Whether the client has this version already, by what it says of its own."""
    if (tags := request.headers.get("if-none-match")) is not None:
        return any(tag.strip().removeprefix("W/").strip('"') in (found.version, "*") for tag in tags.split(","))
    try:
        since = parsedate_to_datetime(request.headers.get("if-modified-since", ""))
    except (TypeError, ValueError):
        return False
    return found.updated <= (since if since.tzinfo else since.replace(tzinfo=UTC)).timestamp()
