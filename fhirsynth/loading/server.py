"""Requests to a FHIR server that may be busy, failing or gone for a while: tried again, not too soon, not forever.

What passes (408, 409, 425, 429, 5xx, a connection that was cut) is tried again after a pause that doubles, with
jitter; `Retry-After` is honoured, and after 429 and 503 by all who share the server. Everything that is sent can be
sent again, because a PUT at an id that is known says the same twice.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import count
from types import TracebackType
from typing import Any, NamedTuple

import httpx

from fhirsynth import __version__
from fhirsynth.errors import InputError, OutputError
from fhirsynth.loading.entries import parse
from fhirsynth.loading.target import Target
from fhirsynth.reading.parsing import printable

FHIR = "application/fhir+json"
#: Times that a request is tried by default, over about a minute and a half of pauses.
ATTEMPTS = 8
#: Seconds that a server may take for one answer by default.
TIMEOUT = 120.0
#: Times, where the server is asked for the first time: a wrong URL should not take a minute.
_FIRST_ATTEMPTS = 3
_CONNECTING = 10.0
_SHORTEST, _LONGEST = 0.5, 30.0  # seconds of a pause of our own
_PATIENCE = 600.0  # seconds that a server may ask us to wait
_PASSING = frozenset((408, 409, 425, 429))
_LASTING = frozenset((501, 505))  # of 5xx: what will not be otherwise the next time
_FOR_ALL = frozenset((429, 503))  # a Retry-After is about the server, not about the request
#: Severities of an issue that mean that something was not done.
SERIOUS = ("error", "fatal")
#: What an exhausted request may mean about its content, where the server says so in an OperationOutcome.
_PERHAPS_CONTENT = frozenset((409, 500))
_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.S | re.I)
_SHOWN = 200  # characters of an answer that is not FHIR


@dataclass(frozen=True)
class Clock:
    """How time passes: seconds that only grow, seconds since 1970, and how to wait."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Answer(NamedTuple):
    """What came back: the HTTP status, and a resource; or None, and what was said in other words than FHIR's.

    location: where the server says that it has put what it was sent.
    """

    status: int
    content: Any
    said: str = ""
    location: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the server did as it was asked. Some say in the content only that they did not."""
        return 200 <= self.status < 300 and not any(issue.get("severity") in SERIOUS for issue in self.issues)

    @property
    def issues(self) -> list[dict[str, Any]]:
        """The issues of an OperationOutcome; none where it is something else."""
        listed = self.content.get("issue") if self.is_a("OperationOutcome") else None
        return [found for found in listed if isinstance(found, dict)] if isinstance(listed, list) else []

    def is_a(self, kind: str) -> bool:
        """Whether the content is a resource of this type."""
        return isinstance(self.content, dict) and self.content.get("resourceType") == kind


def seconds_to_wait(header: str | None, now: float) -> float:
    """What a `Retry-After` says, as seconds from `now` (since 1970); 0 where it says nothing that can be understood."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0


class Server:
    """A server that is being asked; an asynchronous context manager.

    requests, retries: how often it was asked in all, and how often of these again.
    """

    def __init__(
        self,
        target: Target,
        *,
        connections: int = 4,
        attempts: int = ATTEMPTS,
        timeout: float = TIMEOUT,
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        self.target, self.requests, self.retries = target, 0, 0
        self._attempts, self._clock, self._random = attempts, clock or Clock(), random.Random(seed)
        self._not_before = 0.0
        self._root = target.base  # where transactions go: some servers want a slash at its end
        try:
            self._client = httpx.AsyncClient(
                headers={"User-Agent": f"fhirsynth/{__version__}", "Accept": FHIR, **target.headers},
                timeout=httpx.Timeout(timeout, connect=_CONNECTING, pool=None),
                limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            )
        except OSError as error:  # httpx looks into the environment for certificates and for proxies
            named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
            raise InputError(f"SSL_CERT_FILE: no certificates in {named}: {error.strerror or error}") from None
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise InputError(f"HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names no proxy that can be used: {error}") from None

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def check(self, *, transactions: bool) -> None:
        """See that it is a FHIR server for R4, and takes `transactions` where these are wanted.

        Raises InputError where it is another, OutputError where it cannot be reached.
        """
        answer = await self.ask("GET", "metadata", attempts=min(_FIRST_ATTEMPTS, self._attempts))
        self.demand_access(answer)
        if answer.status == 403:
            said = f": {answer.said}" if answer.said else ""
            raise InputError(
                f"{self.target.base} lets nobody in like that (it answers 403{said}); see --token-env, --header"
            )
        if not (answer.is_success and answer.is_a("CapabilityStatement")):
            raise InputError(
                f"{self.target.base} is not the base URL of a FHIR server: {self.target.base}/metadata answers "
                f"{answer.status} and no CapabilityStatement; expected one such as https://example.org/fhir"
            )
        version = answer.content.get("fhirVersion")
        if isinstance(version, str) and not version.startswith("4."):
            raise InputError(f"{self.target.base} speaks FHIR {version}; expected R4, which is 4.0.1")
        if transactions and not _takes_transactions(answer.content):
            raise InputError(f"{self.target.base} says that it takes no transactions; give --mode single")

    async def ask(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        params: Mapping[str, str] | None = None,
        attempts: int | None = None,
    ) -> Answer:
        """What the server says to a request at last, after as many attempts as it takes.

        path: behind the base URL; empty for the base itself. Raises OutputError where it fails for too long, asks for
        too long a pause, or is not who it should be, InputError where it points elsewhere. An answer that refuses is
        an answer.
        """
        headers = {"Content-Type": FHIR, "Prefer": "return=minimal"} if content else {"Cache-Control": "no-cache"}
        has_turned = False
        for attempt in count(1):
            await self._pause()
            self.requests += 1
            answer, wait = None, 0.0
            url = f"{self.target.base}/{path}" if path else self._root
            try:
                response = await self._client.request(method, url, content=content, headers=headers, params=params)
            except httpx.RequestError as error:
                self._demand_trust(error)
                problem = self._in_words(error)
            else:
                if not path and not has_turned and (root := self._only_a_slash(response)):
                    self._root, has_turned = root, True
                    continue
                self._demand_no_detour(response)
                answer = self._read(response)
                if not _passes(answer.status):
                    return answer
                problem = f"it answers {answer.status} {response.reason_phrase}".strip()
                wait = seconds_to_wait(response.headers.get("Retry-After"), self._clock.now())
                if wait > _PATIENCE:
                    raise OutputError(f"{self.target.base} asks for a pause of {wait / 60:,.0f} minutes")
                if wait and answer.status in _FOR_ALL:
                    self._not_before = max(self._not_before, self._clock.monotonic() + wait)
            if attempt >= (attempts or self._attempts):
                if answer and answer.status in _PERHAPS_CONTENT and answer.is_a("OperationOutcome"):
                    return answer
                times = "cannot be reached" if answer is None else f"has failed {attempt} times in a row"
                raise OutputError(f"{self.target.base} {times}: {self.target.without_secrets(printable(problem))}")
            self.retries += 1
            await self._clock.sleep(max(wait, self._own_pause(attempt)))
        raise AssertionError("the attempts do not end")

    def demand_access(self, answer: Answer) -> None:
        """Raise InputError where the server does not know who asks."""
        if answer.status == 401:
            given = "takes no such token" if "Authorization" in self.target.headers else "wants a token"
            raise InputError(f"{self.target.base} {given} (it answers 401); give one that is valid with --token-env")

    async def _pause(self) -> None:
        """Wait until the server wants to be asked again."""
        while (left := self._not_before - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    def _own_pause(self, attempt: int) -> float:
        longest = min(_LONGEST, _SHORTEST * 2 ** (attempt - 1))
        return self._random.uniform(longest / 2, longest)

    def _read(self, response: httpx.Response) -> Answer:
        location = response.headers.get("Location", "")
        try:
            content = parse(response.content)
            if isinstance(content, dict) and "resourceType" in content:
                return Answer(response.status_code, content, location=location)
        except (ValueError, RecursionError):
            pass
        text = response.text
        if "html" in response.headers.get("Content-Type", ""):
            text = _MARKUP.sub(" ", text)
        said = printable(" ".join(self.target.without_secrets(text).split()))
        return Answer(response.status_code, None, said[:_SHOWN], location)

    def _demand_trust(self, error: BaseException) -> None:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise OutputError(
                    f"{self.target.base} has a certificate that is not trusted: {cause.verify_message}; put the "
                    "certificate of who issued it into a file and name that in the environment variable SSL_CERT_FILE"
                ) from None
            cause = cause.__cause__ or cause.__context__

    def _in_words(self, error: httpx.RequestError) -> str:
        if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
            return f"no answer within {self._client.timeout.read:g} seconds (--timeout)"
        return str(error) or type(error).__name__

    def _only_a_slash(self, response: httpx.Response) -> str | None:
        """The base URL as a server wants it that only misses the slash at its end, or does not want one."""
        following = response.next_request
        roots = (self.target.base, f"{self.target.base}/")
        return next((root for root in roots if following and following.url == httpx.URL(root)), None)

    def _demand_no_detour(self, response: httpx.Response) -> None:
        if response.next_request is not None:
            to = str(response.next_request.url.copy_with(query=None)).removesuffix("/metadata")
            said = self.target.without_secrets(printable(to))
            raise InputError(f"{self.target.base} answers {response.status_code} and points to {said}; give that URL")


def _passes(status: int) -> bool:
    return status in _PASSING or (status >= 500 and status not in _LASTING)


def _takes_transactions(statement: Any) -> bool:
    """Whether a CapabilityStatement names transactions, or no interactions of the whole system at all."""
    rest = statement.get("rest")
    named = [
        interaction.get("code")
        for part in (rest if isinstance(rest, list) else ())
        if isinstance(part, dict) and isinstance(part.get("interaction"), list)
        for interaction in part["interaction"]
        if isinstance(interaction, dict)
    ]
    return not named or "transaction" in named
