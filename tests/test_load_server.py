"""Asking a server that is busy, failing, gone, or not the one that was meant."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import socket
import subprocess
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from faulty import Hours, Told, answer, outcome, serving
from starlette.types import ASGIApp, Receive, Scope, Send

from fhirsynth.errors import FhirsynthError, InputError, OutputError
from fhirsynth.loading.server import Answer, Clock, Server, seconds_to_wait
from fhirsynth.loading.target import target

FINE = (200, {"resourceType": "Bundle", "entry": []})


def asked(told: ASGIApp, hours: Hours | None = None, **how: Any) -> tuple[Answer, Server]:
    """What a server that says what it is told answers to a transaction."""
    hours = hours or Hours()

    async def ask(base: str) -> tuple[Answer, Server]:
        clock = Clock(hours.now, hours.now, hours.sleep)
        async with Server(target(f"{base}/fhir"), clock=clock, seed=1, **how) as server:
            return await server.ask("POST", "", b"{}"), server

    with serving(told) as base:
        return asyncio.run(ask(base))


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(status: int) -> None:
    hours = Hours()
    answer, server = asked(Told((status, b"busy"), (status, b"busy"), FINE), hours)
    assert answer.status == 200
    assert (server.requests, server.retries, len(hours.waited)) == (3, 2, 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 412, 413, 422, 501])
def test_what_lasts_is_not_tried_again(status: int) -> None:
    hours = Hours()
    answer, server = asked(Told((status, outcome("no"))), hours)
    assert (answer.status, server.retries, hours.waited) == (status, 0, [])


def test_pauses_double_with_jitter_and_have_an_end() -> None:
    hours = Hours()
    with pytest.raises(OutputError, match=r"/fhir has failed 12 times in a row: it answers 502 Bad Gateway$"):
        asked(Told((502, b"")), hours, attempts=12)
    longest = [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    assert len(hours.waited) == len(longest)
    assert all(most / 2 <= pause <= most for pause, most in zip(hours.waited, longest, strict=True))
    assert len({pause / most for pause, most in zip(hours.waited, longest, strict=True)}) == len(longest)


def test_a_pause_that_the_server_asks_for_in_seconds() -> None:
    hours = Hours()
    assert asked(Told((429, b"", {"Retry-After": "17"}), FINE), hours)[0].status == 200
    assert hours.waited == [17.0]


def test_a_pause_that_the_server_asks_for_as_a_date() -> None:
    hours = Hours()
    date = format_datetime(datetime.fromtimestamp(hours.now() + 90, UTC), usegmt=True)
    assert asked(Told((503, b"", {"Retry-After": date}), FINE), hours)[0].status == 200
    assert hours.waited == [90.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0),
        ("Fri, 15 Jan 2027 07:59:00 GMT", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("", 0.0),
        (None, 0.0),
    ],
)
def test_what_retry_after_says(header: str | None, seconds: float) -> None:
    assert seconds_to_wait(header, datetime(2027, 1, 15, 8, 0, tzinfo=UTC).timestamp()) == seconds


def test_a_short_pause_does_not_shorten_our_own() -> None:
    hours = Hours()
    assert asked(Told((503, b"", {"Retry-After": "0"}), FINE), hours)[0].status == 200
    assert 0.25 <= hours.waited[0] <= 0.5


def test_a_pause_that_is_too_long_is_told() -> None:
    with pytest.raises(OutputError, match="asks for a pause of 60 minutes"):
        asked(Told((429, b"", {"Retry-After": "3600"})))


def test_a_pause_is_for_all_who_share_the_server() -> None:
    hours = Hours()
    told = Told((429, b"", {"Retry-After": "40"}), FINE)

    async def ask(base: str) -> None:
        async with Server(target(f"{base}/fhir"), clock=Clock(hours.now, hours.now, hours.sleep), seed=1) as server:
            assert (await server.ask("GET", "a", attempts=2)).status == 200
            assert hours.waited == [40.0]
            server._not_before = hours.now() + 25  # as another one's answer would set it
            assert (await server.ask("GET", "b")).status == 200
            assert hours.waited == [40.0, 25.0]

    with serving(told) as base:
        asyncio.run(ask(base))
    assert [path for _, path, _ in told.heard] == ["/fhir/a", "/fhir/a", "/fhir/b"]


def test_an_error_of_the_server_that_may_be_about_the_content_is_an_answer_at_last() -> None:
    answer, server = asked(Told((500, outcome("HAPI-0389: null"))), attempts=3)
    assert (answer.status, server.requests) == (500, 3)
    with pytest.raises(OutputError, match="3 times in a row: it answers 500"):
        asked(Told((500, b"<html>oh</html>")), attempts=3)


def test_an_error_that_is_called_a_success_is_none() -> None:
    assert not asked(Told((200, outcome("nothing was stored"))))[0].is_success
    informed = outcome("it was stored")
    informed["issue"][0]["severity"] = "information"
    assert asked(Told((200, informed)))[0].is_success


def test_what_is_no_fhir_is_told_without_its_markup() -> None:
    page = b"<html><style>p { color: red }</style><p>Log\n in</p></html>"
    assert asked(Told((200, page, {"content-type": "text/html"})))[0][1:3] == (None, "Log in")
    assert asked(Told((403, b'{"message": "no such key"}')))[0][1:3] == (None, '{"message": "no such key"}')


def test_a_server_that_does_not_answer_in_time() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    with pytest.raises(OutputError, match=r"no answer within 0\.05 seconds \(--timeout\)"):
        asked(silent, attempts=1, timeout=0.05)


@pytest.mark.parametrize(("wanted", "other"), [("/fhir/", "/fhir"), ("/fhir", "/fhir/")])
def test_a_base_with_or_without_a_slash_at_its_end(wanted: str, other: str) -> None:
    heard: list[str] = []

    async def strict(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(scope["path"])
        if scope["path"] == wanted:
            await answer(receive, send, *FINE)
        else:
            await answer(receive, send, 307, b"", [(b"location", wanted.encode())])

    async def ask(base: str) -> None:
        async with Server(target(f"{base}{other}")) as server:
            for _ in range(2):
                assert (await server.ask("POST", "", b"{}")).is_success

    with serving(strict) as base:
        asyncio.run(ask(base))
    assert heard == (["/fhir", "/fhir/", "/fhir/"] if wanted == "/fhir/" else ["/fhir", "/fhir"])


def test_a_server_that_points_to_and_fro() -> None:
    async def dizzy(scope: Scope, receive: Receive, send: Send) -> None:
        to = b"/fhir" if scope["path"].endswith("/") else b"/fhir/"
        await answer(receive, send, 308, b"", [(b"location", to)])

    with pytest.raises(InputError, match=r"answers 308 and points to http://.*/fhir; give that URL"):
        asked(dizzy)


def check(base: str, **how: Any) -> None:
    hours = Hours()

    async def whole() -> None:
        async with Server(target(base), clock=Clock(hours.now, hours.now, hours.sleep), **how) as server:
            await server.check(transactions=True)

    asyncio.run(whole())


def statement(version: str = "4.0.1", *interactions: str) -> tuple[int, dict[str, Any]]:
    rest = [{"mode": "server", "interaction": [{"code": code} for code in interactions]}]
    return 200, {"resourceType": "CapabilityStatement", "fhirVersion": version, "rest": rest}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (statement("5.0.0", "transaction"), "speaks FHIR 5.0.0; expected R4"),
        (statement("4.0.1", "batch"), "takes no transactions; give --mode single"),
        ((404, b"<html>not here</html>"), "not the base URL of a FHIR server: .*/metadata answers 404"),
        ((200, b"<html>welcome</html>"), "not the base URL of a FHIR server"),
        ((200, {"resourceType": "Patient"}), "and no CapabilityStatement"),
        ((401, outcome("who are you?")), "wants a token .* --token-env"),
        ((403, b"no key"), r"lets nobody in like that \(it answers 403: no key\); see --token-env, --header"),
        (
            (301, b"", {"Location": "https://elsewhere.example/fhir/metadata?state=s"}),
            "points to https://elsewhere.example/fhir; give that URL",
        ),
    ],
)
def test_servers_that_were_not_meant(answer: Any, message: str) -> None:
    with serving(Told(answer)) as base, pytest.raises(InputError, match=message):
        check(f"{base}/fhir")


def test_servers_that_will_do() -> None:
    for said in (
        statement(),
        statement("4.3.0", "batch", "transaction"),
        (200, {"resourceType": "CapabilityStatement"}),
    ):
        with serving(Told(said)) as base:
            check(f"{base}/fhir")


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        base = f"http://127.0.0.1:{free.getsockname()[1]}/fhir"
    with pytest.raises(OutputError, match=f"^{base} cannot be reached: ") as raised:
        check(base)
    assert "\n" not in str(raised.value)


def test_a_certificate_that_is_not_trusted_until_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes a certificate, is not there")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subprocess.run([openssl, "req", "-x509", "-nodes", "-days", "2", *curve, *subject, *files], check=True)
    with serving(Told(statement()), ssl_keyfile=key, ssl_certfile=certificate) as base:
        with pytest.raises(OutputError, match="certificate that is not trusted: self.signed.*; .* SSL_CERT_FILE"):
            check(f"{base}/fhir")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        check(f"{base}/fhir")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SSL_CERT_FILE", "nowhere.pem", r"^SSL_CERT_FILE: no certificates in nowhere\.pem: No such file"),
        ("SSL_CERT_FILE", __file__, "^SSL_CERT_FILE: no certificates in "),
        ("ALL_PROXY", "gopher://user:s3cret-token-value@127.0.0.1:9", "ALL_PROXY names no proxy that can be used: "),
        ("ALL_PROXY", "socks5://127.0.0.1:9", "ALL_PROXY names no proxy that can be used: .*socks"),
    ],
)
def test_certificates_and_proxies_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    if "socks" in value and importlib.util.find_spec("socksio"):
        pytest.skip("socksio is there, with which such a proxy can be used")
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=message) as raised:
        check("http://127.0.0.1:9/fhir")
    assert SECRET not in str(raised.value) and "\n" not in str(raised.value)


# --- whom, and who asks ---------------------------------------------------------------------------

SECRET = "s3cret-token-value"
ENVIRONMENT = {"TOKEN": SECRET, "EMPTY": " ", "BASIC": "Basic dXNlcjpwYXNz", "LINES": "a\nb", "KEY": "k3y-value"}


def test_tokens_and_headers() -> None:
    made = target(
        "https://example.org/fhir/",
        token_env="TOKEN",
        headers=["X-Tenant: test", "apikey: ${KEY}"],
        environment=ENVIRONMENT,
    )
    assert made.base == "https://example.org/fhir"
    assert made.headers == {"X-Tenant": "test", "apikey": "k3y-value", "Authorization": f"Bearer {SECRET}"}
    assert SECRET not in repr(made) and "k3y-value" not in repr(made)
    said = made.without_secrets(f"Authorization: Bearer {SECRET}, apikey k3y-value")
    assert said == "Authorization: Bearer ***, apikey ***"
    basic = target("http://127.0.0.1/fhir", token_env="BASIC", environment=ENVIRONMENT)
    assert basic.headers["Authorization"] == "Basic dXNlcjpwYXNz"
    assert "dXNlcjpwYXNz" not in basic.without_secrets("you sent dXNlcjpwYXNz")


def test_tokens_in_the_open() -> None:
    assert target("http://example.org/fhir", token_env="TOKEN", environment=ENVIRONMENT).is_open
    assert not target("http://127.0.0.1:8080/fhir", token_env="TOKEN", environment=ENVIRONMENT).is_open
    assert not target("https://example.org/fhir", token_env="TOKEN", environment=ENVIRONMENT).is_open
    assert not target("http://example.org/fhir").is_open


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"token_env": "NONE"}, "--token-env: the environment variable NONE is not set"),
        ({"token_env": "EMPTY"}, "--token-env: the environment variable EMPTY is empty"),
        ({"token_env": "LINES"}, "--token-env: the environment variable LINES holds characters"),
        ({"headers": ["no colon"]}, "--header: expected `Name: value`"),
        ({"headers": [f"Authorization: Bearer {SECRET}"]}, "--header: Authorization cannot be set: .* --token-env"),
        ({"headers": ["x: ${NONE}"]}, "--header x: the environment variable NONE is not set"),
        ({"headers": ["x: a\r\ny: b"]}, "the value of x holds characters"),
        ({"url": "ftp://example.org/fhir"}, "'ftp://example.org/fhir' is not http or https"),
        ({"url": "example.org/fhir"}, "is not http or https; expected the FHIR base URL"),
        ({"url": "http:///fhir"}, "is not http or https"),
        ({"url": "http://x:y/fhir"}, "is no URL"),
        ({"url": "http://[::1/fhir"}, "is no URL"),
        ({"url": "http://xn--/fhir"}, "is no URL"),
        ({"url": f"http://user:pass/{SECRET}@example.org/fhir"}, "is no URL"),
        ({"url": f"https://user:{SECRET}@example.org/fhir"}, "the URL holds a user name or password"),
        ({"url": f"https://example.org/fhir?key={SECRET}"}, "'https://example.org/fhir' has a query or a fragment"),
    ],
)
def test_what_cannot_be_asked(arguments: dict[str, Any], message: str) -> None:
    url = arguments.pop("url", "https://example.org/fhir")
    with pytest.raises(FhirsynthError, match=message) as raised:
        target(url, **arguments, environment=ENVIRONMENT)
    assert SECRET not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("listed", [5, "error", {"severity": "error"}, None, [5, "fatal"]])
def test_outcome_that_is_damaged_names_no_issue(listed: object) -> None:
    answer = Answer(200, {"resourceType": "OperationOutcome", "issue": listed})
    assert answer.issues == []
    assert answer.is_success
