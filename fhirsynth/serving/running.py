"""Runs the endpoint: takes the port before anything else, then answers until it is told to stop."""

from __future__ import annotations

import errno
import socket
from typing import Any

import uvicorn

from fhirsynth import __version__
from fhirsynth.errors import InputError
from fhirsynth.serving.app import application
from fhirsynth.serving.capability import SYNTHETIC
from fhirsynth.serving.index import Index

#: Seconds for which answers under way are waited for when the server stops.
_GRACE = 2


def listening(host: str, port: int) -> socket.socket:
    """A socket of this address, which nobody else can have from now on. Raises InputError where it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        taken = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError):
        raise InputError(f"--host {host}: no address of this machine is called so; try 127.0.0.1") from None
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as error:
        taken.close()
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"port {port} of {host} is in use: choose another with --port, or 0 for a free one"
            ) from None
        if error.errno == errno.EACCES:
            raise InputError(f"port {port} is not for everybody: choose one above 1023 with --port") from None
        raise InputError(
            f"cannot listen at {host}, port {port}: {error.strerror or error}; see --host, --port"
        ) from None
    return taken


def url_of(taken: socket.socket, host: str) -> str:
    """The URL at which a socket is reached."""
    port = taken.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def run(index: Index, taken: socket.socket, *, log: bool) -> None:
    """Answer until SIGINT or SIGTERM; `log`: a line for each request. Raises KeyboardInterrupt after SIGINT."""
    told: dict[str, Any] = {"log_level": "info" if log else "warning", "access_log": log}
    headers = [("Server", f"fhirsynth/{__version__} (SYNTHETIC test data)"), ("X-Synthetic-Data", SYNTHETIC)]
    config = uvicorn.Config(
        application(index),
        lifespan="off",
        server_header=False,
        headers=headers,
        timeout_graceful_shutdown=_GRACE,
        **told,
    )
    uvicorn.Server(config).run(sockets=[taken])
