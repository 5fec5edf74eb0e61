"""`fhirsynth serve` as a command: what it says, how it ends, and what can go wrong before it listens."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from commands import Command
from served import Files, Served

from fhirsynth import serving

pytest_plugins = ["served_fixtures"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_quietly_when_told_to(served_folder: Path, sent: signal.Signals) -> None:
    server = Served(served_folder, "--log")
    assert server.get("/Patient?_count=1").status_code == 200  # and the connection stays open
    server.process.send_signal(sent)
    out, err = server.process.communicate(timeout=60)
    server.client.close()
    assert "Traceback" not in err
    assert "GET /Patient?_count=1" in out + err
    if sent == signal.SIGINT:
        assert server.process.returncode == 0
        assert out.endswith("stopped\n")


def test_port_in_use(run: Command, served_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run("serve", served_folder, "--port", port)
    assert ended.code == 2
    said = f"port {port} of 127.0.0.1 is in use: choose another with --port, or 0 for a free one"
    assert ended.err == f"fhirsynth: {said}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid: no address"),
        (["--host", "192.0.2.1"], "cannot listen at 192.0.2.1"),
        (["--port", "70000"], "--port"),
    ],
)
def test_addresses_that_cannot_be_had(run: Command, served_folder: Path, arguments: list[str], words: str) -> None:
    ended = run("serve", served_folder, *arguments)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert words in ended.err


def test_folder_that_is_not_there(run: Command, tmp_path: Path) -> None:
    ended = run("serve", tmp_path / "none", "--port", 0)
    assert ended.code == 2
    assert ended.err.startswith(f"fhirsynth: {tmp_path / 'none'} does not exist")


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_missing_package_is_named_with_its_extra(served_folder: Path, package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from fhirsynth.cli.app import main\n"
        f"main(['serve', {str(served_folder)!r}, '--port', '0'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"fhirsynth: serving needs the package {package}")
    assert "pip install 'fhirsynth[serve]'" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_help_does_not_load_the_server() -> None:
    code = "import sys, fhirsynth.cli.app; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split())
    assert not loaded & {"starlette", "uvicorn", "anyio", "sqlite3", "fhirsynth.serving"}


async def _asked(folder: Path) -> dict[str, object]:
    transport = httpx.ASGITransport(serving.application(folder))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        found: dict[str, object] = (await client.get("/Patient?_summary=count")).json()
        return found


def test_as_an_application_without_a_port(served_folder: Path, files: Files) -> None:
    import anyio

    assert anyio.run(_asked, served_folder)["total"] == len(files.people)
