"""sekmet-fhir, a FHIR server over SQLite, in a process of its own.

What a test should know of version 0.1.1: it passes decimals through floats (70.50 comes back as 70.5), takes a
reference to what is not there, makes a new version of an unchanged resource, checks the structure of what it is
sent, and holds a few `Basic` resources of its own.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from fastapi import FastAPI

_PATIENCE = 120  # seconds until the first answer, on a machine that is busy
_FAREWELL = 10  # seconds to end by itself


class Sekmet:
    """A server that is running, empty at first.

    base: the FHIR base URL, without a slash at its end.
    """

    kind = "sekmet"

    def __init__(self, folder: Path) -> None:
        """Start it with its database in `folder`. Raises RuntimeError with its last words where it does not come up."""
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "servers.sekmet", str(folder.resolve())],
                cwd=Path(__file__).parent.parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        self.base = self._process.stdout.readline().decode().strip()
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def reset(self) -> None:
        """Empty it."""
        httpx.post(f"{self.base.removesuffix('/fhir')}/reset", timeout=60).raise_for_status()

    def close(self) -> None:
        """End it. May be called again."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self) -> None:
        """Return when it answers."""
        end = time.monotonic() + _PATIENCE
        while self.base and self._process.poll() is None and time.monotonic() < end:
            try:
                if httpx.get(f"{self.base}/metadata", timeout=_PATIENCE).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise RuntimeError(f"sekmet does not come up: {self._log.read_text(errors='replace')[-2000:]}")


def application(folder: Path, base: str) -> FastAPI:
    """The server as an ASGI application, for a test that stands between it and its clients.

    Its database is in `folder`; `base` is the FHIR base URL that it takes for its own, which ends in /fhir.
    """
    from sekmet.config import Settings
    from sekmet.main import create_app

    settings = Settings(
        base_url=base,
        data_dir=str(folder),
        simulator={"enabled": False},  # or it answers orders and appointments with resources of its own making
        log_inbound=False,  # or every request and answer is kept in the database
    )
    app = create_app(settings)
    app.add_api_route("/reset", app.state.ctx.store.reset, methods=["POST"])
    return app


def _serve(folder: Path) -> None:
    """Serve until standard input ends; the base URL is the one line on standard output."""
    import threading

    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listening.getsockname()[1]}/fhir"
    server = uvicorn.Server(uvicorn.Config(application(folder, base), log_level="warning"))

    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=end_with_parent, daemon=True).start()
    print(base, flush=True)
    server.run(sockets=[listening])


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
