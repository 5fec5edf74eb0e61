"""The endpoint as an ASGI application: which URL is answered by what, and every error by an OperationOutcome."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhirsynth.serving import negotiation
from fhirsynth.serving.endpoint import Endpoint
from fhirsynth.serving.index import Index
from fhirsynth.serving.negotiation import USUAL
from fhirsynth.serving.outcomes import FhirError, as_outcome
from fhirsynth.serving.requests import answer

_EXPOSED = ("ETag", "Last-Modified", "Content-Location")


def application(index: Index) -> Starlette:
    """The endpoint over an index."""
    endpoint = Endpoint(index)
    get, either = ["GET"], ["GET", "POST"]
    routes = [
        Route("/", endpoint.welcome, methods=get),
        Route("/metadata", endpoint.metadata, methods=get),
        Route("/$export", endpoint.export, methods=either),
        Route("/Patient/$export", endpoint.export, methods=either),
        Route("/$export-status", endpoint.export_status, methods=["GET", "DELETE"]),
        Route("/$export-file/{kind}.ndjson", endpoint.export_file, methods=get),
        Route("/{kind}", endpoint.search, methods=get),
        Route("/{kind}/_search", endpoint.search, methods=either),
        Route("/Patient/{id}/$everything", endpoint.everything, methods=either),
        Route("/Composition/{id}/$document", endpoint.document, methods=either),
        Route("/{kind}/{id}", endpoint.read, methods=get),
        Route("/{kind}/{id}/_history/{version}", endpoint.read, methods=get),
        Route("/Patient/{patient}/{kind}", endpoint.search, methods=get),
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["*"],  # so that a write from a browser is answered with an OperationOutcome, not with silence
        allow_headers=["*"],
        allow_private_network=True,
        expose_headers=_EXPOSED,
    )
    middleware = [cors, Middleware(GZipMiddleware, minimum_size=1000, compresslevel=4)]
    handlers: dict[Any, Any] = {FhirError: _refused, HTTPException: _not_routed, 500: _failed}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


def _refused(request: Request, error: FhirError) -> Response:
    try:
        wanted = negotiation.wanted(request)
    except FhirError:
        wanted = USUAL
    return answer(orjson.dumps(as_outcome(error)), wanted, error.headers, error.status)


def _not_routed(request: Request, error: HTTPException) -> Response:
    """Another method than those of a URL, or a URL that there is not."""
    headers = dict(error.headers or {})
    if error.status_code == 405:
        said = f"{request.method} {request.url.path} is not supported: this endpoint is read-only"
        return _refused(request, FhirError(405, "not-supported", said, headers))
    said = f"{request.url.path} is not an address of this server"
    return _refused(request, FhirError(error.status_code, "not-found", said, headers))


def _failed(request: Request, error: Exception) -> Response:
    said = "the server failed at this; what went wrong stands in its output"
    return _refused(request, FhirError(500, "exception", said))
