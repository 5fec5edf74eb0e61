"""Servers for tests of clients: an application on loopback, and one in front of another that fails as servers do."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from servers.sekmet import application
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Json = dict[str, Any]

#: How it fails: with two statuses, by cutting the connection before the request is done, and after.
KINDS = ("500", "429", "cut", "lost")


class Faulty:
    """An ASGI application that passes requests on to another, but for a share of them.

    share: of the requests that fail, each in one of the `kinds` with the same chance. retry_after: what is said with
    429. `faults` counts what happened.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        seed: int = 0,
        share: float = 0.1,
        kinds: tuple[str, ...] = KINDS,
        retry_after: str = "0",
    ) -> None:
        self._app, self._random, self._share = app, random.Random(seed), share
        self._kinds, self._retry_after = kinds, retry_after
        self.faults: Counter[str] = Counter()
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self.requests += 1
        if self._random.random() >= self._share:
            await self._app(scope, receive, send)
            return
        kind = self._random.choice(self._kinds)
        self.faults[kind] += 1
        if kind == "lost":
            await self._app(scope, receive, _nowhere)
            await _cut(send)
        elif kind == "cut":
            await _cut(send)
        else:
            headers = [(b"retry-after", self._retry_after.encode())] if kind == "429" else []
            await answer(receive, send, int(kind), outcome("this server fails now and then"), headers)


async def _nowhere(message: Message) -> None:
    """An answer that nobody gets."""


async def _cut(send: Send) -> None:
    """Begin an answer and do not end it: the server then closes the connection."""
    headers = [(b"content-type", b"application/fhir+json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})


async def answer(
    receive: Receive, send: Send, status: int, content: Json | bytes, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Read a request to its end and answer it."""
    while (await receive()).get("more_body"):
        pass
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = [(b"content-type", b"application/fhir+json"), (b"content-length", str(len(body)).encode()), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def body_of(receive: Receive) -> tuple[bytes, Receive]:
    """The body of a request, and a `receive` that gives it again to who answers it."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)

    async def again() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return body, again


def outcome(diagnostics: str, **more: Any) -> Json:
    """An OperationOutcome with one error."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "processing", "diagnostics": diagnostics, **more}],
    }


@contextmanager
def serving(app: ASGIApp, listening: socket.socket | None = None, **config: Any) -> Iterator[str]:
    """Serve an application on loopback in a thread of this process; gives its root URL. `config`: uvicorn's."""
    listening = listening or socket.create_server(("127.0.0.1", 0))
    config = {"log_level": "critical", "lifespan": "off", "timeout_graceful_shutdown": 1, **config}
    server = uvicorn.Server(uvicorn.Config(app, **config))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        scheme = "https" if "ssl_certfile" in config else "http"
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()


class Watched:
    """sekmet in this process, behind a `Faulty` that can be exchanged, with a view of all that it holds."""

    def __init__(self, folder: Path, base: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.base = base
        self.app = application(folder, base)
        self.front: ASGIApp = self.app
        self._store = self.app.state.ctx.store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.front(scope, receive, send)

    def reset(self) -> None:
        """Empty it, and put nothing in front of it."""
        self._store.reset()
        self.front = self.app

    def fail(self, seed: int, **how: Any) -> Faulty:
        """Put a faulty server in front of it."""
        faulty = Faulty(self.app, seed=seed, **how)
        self.front = faulty
        return faulty

    def holds(self) -> dict[str, Json]:
        """Every resource by `Type/id`, without what the server put into its meta."""
        rows = self._store.query("SELECT type, id, json FROM resources WHERE deleted=0 AND type <> 'Basic'")
        return {f"{row['type']}/{row['id']}": _plain(row["json"]) for row in rows}

    def versions(self) -> dict[str, list[Json]]:
        """What it was told about each resource, one time after another, in the same form."""
        found: dict[str, list[Json]] = {}
        for row in self._store.query("SELECT type, id, json FROM versions WHERE type <> 'Basic' ORDER BY seq"):
            found.setdefault(f"{row['type']}/{row['id']}", []).append(_plain(row["json"]))
        return found


def _plain(text: str) -> Json:
    resource: Json = json.loads(text)
    for name in ("versionId", "lastUpdated"):
        resource["meta"].pop(name)
    return resource


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """sekmet in a thread of this process, with its database in `folder`."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = Watched(folder, f"http://127.0.0.1:{listening.getsockname()[1]}/fhir")
    with serving(server, listening):
        yield server


class Told:
    """A server that says what it is told to, one answer after another, and the last again and again.

    answers: status, content and headers. `heard` has method, path and headers of each request.
    """

    def __init__(self, *answers: tuple[int, Json | bytes] | tuple[int, Json | bytes, dict[str, str]]) -> None:
        self._answers = list(answers)
        self.heard: list[tuple[str, str, dict[str, str]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.heard.append((scope["method"], scope["path"], headers))
        status, content, *more = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        told = [(name.encode(), value.encode()) for name, value in (more[0] if more else {}).items()]
        await answer(receive, send, status, content, told)


class Hours:
    """Time that passes only where somebody waits: `waited` has every pause, in seconds."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._at = self._began = now
        self.waited: list[float] = []

    def now(self) -> float:
        """Seconds since 1970."""
        return self._at

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        self.waited.append(seconds)
        self._at += seconds
        await asyncio.sleep(0)
