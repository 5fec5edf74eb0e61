"""Answers the requests of a FHIR client: reading, searching, and operations.

Reads are answered at once; what may take longer is done in one of a few threads, so that no request waits for
another's search.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial

import anyio
import anyio.to_thread
import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from fhirsynth.serving import bundles, negotiation, operations, parameters, welcome
from fhirsynth.serving.bundles import Subset
from fhirsynth.serving.capability import capability, made, served
from fhirsynth.serving.criteria import Criteria
from fhirsynth.serving.index import Index, Stored
from fhirsynth.serving.negotiation import Wanted
from fhirsynth.serving.outcomes import FhirError, Json, issue, outcome
from fhirsynth.serving.query import Query, read_count, read_cursor
from fhirsynth.serving.requests import Pairs, answer, base_of, given, is_unchanged, url, version_headers
from fhirsynth.serving.searching import Searches

_THREADS = 4  # that search: each takes a connection of the index meanwhile
_EXPORT = ("_type", "_since", "_outputFormat", "_format", "_pretty")
_OUTPUT_FORMATS = (negotiation.NDJSON, "application/ndjson", "ndjson")
_EVERYTHING = ("_type", "_since", "_count", "_page", "_format", "_pretty")
_FOR_ALL = ("_id", "_lastUpdated", "_count", "_sort", "_include", "_revinclude", "_has", "_total", "_elements")


class Endpoint:
    """Answers requests from an index. Its methods raise FhirError for what cannot be answered."""

    def __init__(self, index: Index) -> None:
        self._index, self._parameters = index, parameters.load()
        self._kinds = served(index, self._parameters)
        self._known = frozenset(self._kinds)
        self._searches = Searches(index, self._parameters)
        self._limiter: anyio.CapacityLimiter | None = None

    # --- reading ----------------------------------------------------------------------------------

    async def welcome(self, request: Request) -> Response:
        """What this is, for whoever opens it in a browser."""
        base = base_of(request)
        if negotiation.prefers_html(request):
            return Response(welcome.page(self._index, base), media_type="text/html")
        raise FhirError(
            404, "not-found", f"this is the base of a FHIR server; ask for {base}/metadata or {base}/Patient"
        )

    async def metadata(self, request: Request) -> Response:
        """The CapabilityStatement."""
        wanted = negotiation.wanted(request)
        return answer(orjson.dumps(capability(self._index, self._parameters, base_of(request))), wanted)

    async def read(self, request: Request) -> Response:
        """One resource, whichever version of it is asked for: there is only one."""
        wanted = negotiation.wanted(request)
        kind, identity = self._kind(request), request.path_params["id"]
        _demand_name(request, identity)
        found = self._index.read(kind, identity)
        if found is None:
            raise FhirError(404, "not-found", f"there is no {kind}/{identity}")
        version = request.path_params.get("version", found.version)
        if version != found.version:
            said = f"there is no version {version} of {kind}/{identity}, only {found.version}"
            raise FhirError(404, "not-found", said)
        return _one(request, found, wanted)

    # --- searching --------------------------------------------------------------------------------

    async def search(self, request: Request) -> Response:
        """A search, by the query of the URL, the body of a form, or both."""
        kind, asked = self._kind(request), await given(request)
        wanted = negotiation.wanted(request, asked)
        return await self._in_thread(partial(self._search, request, kind, asked, wanted))

    def _search(self, request: Request, kind: str, pairs: Pairs, wanted: Wanted) -> Response:
        base = base_of(request)
        if (patient := request.path_params.get("patient")) is not None:
            if "patient" not in self._parameters.of(kind):
                raise FhirError(404, "not-supported", f"{kind} is not of a patient's record")
            pairs = [("patient", f"Patient/{patient}"), *pairs]
        query = Query.of(kind, pairs, self._parameters, Criteria(self._index, self._parameters, base))
        told = _told(request, [self._unknown(kind, name) for name, _ in query.ignored])
        page = self._searches.run(query)
        links = _links(base, kind, query.heeded, query.page, page.next)
        subset = Subset(query.summary, query.elements)
        return answer(bundles.bundle(base, links, page.total, page.found, page.included, told, subset), wanted)

    def _unknown(self, kind: str, name: str) -> str:
        bare = name.split(":")[0].split(".")[0]
        near = get_close_matches(bare, [*self._parameters.of(kind), *_FOR_ALL], 3)
        return f"{kind} has no search parameter {bare!r}" + (f" (nearest: {', '.join(near)})" if near else "")

    # --- operations -------------------------------------------------------------------------------

    async def everything(self, request: Request) -> Response:
        """All of a person."""
        asked = dict(await given(request))
        wanted = negotiation.wanted(request, asked.items())
        return await self._in_thread(partial(self._everything, request, asked, wanted))

    def _everything(self, request: Request, asked: dict[str, str], wanted: Wanted) -> Response:
        base, patient = base_of(request), request.path_params["id"]
        kinds = operations.read_kinds(asked.get("_type"), self._kinds)
        count = read_count(asked["_count"]) if "_count" in asked else None
        after = read_cursor(asked["_page"])[0] if "_page" in asked else 0
        told = _told(request, [f"$everything has no parameter {name!r}" for name in asked if name not in _EVERYTHING])
        page = operations.everything(self._index, patient, kinds, asked.get("_since"), count, after)
        again = [(name, text) for name, text in asked.items() if name in _EVERYTHING and name != "_page"]
        links = _links(base, f"Patient/{patient}/$everything", again, asked.get("_page"), page.next)
        return answer(bundles.bundle(base, links, page.total, page.found, page.included, told), wanted)

    async def document(self, request: Request) -> Response:
        """The document that a Composition begins."""
        wanted = negotiation.wanted(request)
        return _one(request, operations.document(self._index, self._parameters, request.path_params["id"]), wanted)

    async def export(self, request: Request) -> Response:
        """Begin an export of everything, or of people's records: it is ready at once."""
        asked = dict(await given(request))
        operations.read_kinds(asked.get("_type"), self._kinds)
        operations.read_since(asked.get("_since"))
        form = asked.get("_outputFormat", "ndjson").replace(" ", "+")  # a "+" in a URL is a space
        if form not in _OUTPUT_FORMATS:
            said = f"_outputFormat: expected one of {', '.join(_OUTPUT_FORMATS)}; found {form!r:.80}"
            raise FhirError(400, "not-supported", said)
        told = _told(request, [f"$export has no parameter {name!r}" for name in asked if name not in _EXPORT])
        again: Pairs = [(name, asked[name]) for name in ("_type", "_since") if name in asked]
        if request.url.path.startswith("/Patient/"):
            again.append(("of", "people"))
        where = url(base_of(request), "$export-status", again)
        ready = issue("information", "informational", f"the export is ready at {where}")
        body = outcome(ready, *(told["issue"] if told else ()))
        return answer(orjson.dumps(body), headers={"Content-Location": where}, status=202)

    async def export_status(self, request: Request) -> Response:
        """The files of an export."""
        if request.method == "DELETE":
            return Response(status_code=202)
        base, query = base_of(request), request.query_params
        asked = operations.read_kinds(query.get("_type"), self._kinds)
        of_people = query.get("of") == "people"
        kinds = operations.export_kinds(self._index, self._parameters, asked, of_people=of_people)
        since = [("_since", query["_since"])] if "_since" in query else []
        again = [(name, text) for name, text in query.items() if name != "of"]
        manifest = {
            "transactionTime": made(self._index),
            "request": url(base, "Patient/$export" if of_people else "$export", again),
            "requiresAccessToken": False,
            "output": [{"type": kind, "url": url(base, f"$export-file/{kind}.ndjson", since)} for kind in kinds],
            "error": [],
        }
        return Response(orjson.dumps(manifest), media_type="application/json")

    async def export_file(self, request: Request) -> Response:
        """All resources of one type, one a line."""
        lines = operations.lines(self._index, self._kind(request), request.query_params.get("_since"))
        return StreamingResponse(lines, media_type=negotiation.NDJSON)

    # --- what they share --------------------------------------------------------------------------

    def _kind(self, request: Request) -> str:
        kind: str = request.path_params["kind"]
        _demand_name(request, kind)
        if kind not in self._known:
            near = get_close_matches(kind, self._kinds, 3)
            said = f"{kind!r} is no type of resource that is served" + (f"; nearest: {', '.join(near)}" if near else "")
            raise FhirError(404, "not-supported", said)
        return kind

    async def _in_thread(self, work: Callable[[], Response]) -> Response:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_THREADS)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)


def _demand_name(request: Request, text: str) -> None:
    """Raise FhirError where a part of the URL is not a type or an id, but an operation or interaction."""
    if text.startswith(("$", "_")):
        raise FhirError(404, "not-supported", f"{request.url.path} is not supported here")


def _one(request: Request, found: Stored, wanted: Wanted) -> Response:
    """One resource, or that the client has it already."""
    query = request.query_params
    names = tuple(name.strip() for name in query.get("_elements", "").split(",") if name.strip())
    headers = version_headers(base_of(request), found)
    if is_unchanged(request, found):
        return Response(status_code=304, headers=headers)
    return answer(Subset(query.get("_summary", "false"), names).of(found.body), wanted, headers)


def _links(base: str, path: str, asked: Pairs, page: str | None, after: str | None) -> Pairs:
    """The links of a page: to itself, to the first of them, to the next."""
    found = [("self", url(base, path, [*asked, ("_page", page)] if page else asked))]
    if page:
        found.append(("first", url(base, path, asked)))
    if after:
        found.append(("next", url(base, path, [*asked, ("_page", after)])))
    return found


def _told(request: Request, unknown: list[str]) -> Json | None:
    """What is said of parameters that are not known. Raises FhirError where the client does not want them ignored."""
    if not unknown:
        return None
    if negotiation.is_strict(request):
        raise FhirError(400, "not-supported", "; ".join(unknown))
    return outcome(*(issue("warning", "not-supported", f"{said}: ignored") for said in unknown))
