"""Which server is loaded, and what it is told about who asks; secrets are kept out of all that is written or said."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from fhirsynth.errors import InputError

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
#: Headers that are not for the user to set, and why.
_OURS = {
    "authorization": "give the token in an environment variable, with --token-env",
    "host": "it follows from the URL",
    "content-type": "it is that of FHIR's JSON",
    "content-length": "it follows from the content",
    "transfer-encoding": "it follows from the content",
    "accept": "it is that of FHIR's JSON",
}
_SHORTEST = 4  # characters of what is taken for a secret: shorter ones would blot out ordinary words
_INSTEAD = "***"


@dataclass(frozen=True)
class Target:
    """A server: its FHIR base URL without a slash at its end, and the headers of every request.

    secrets: texts that must not be shown; `without_secrets` takes them out of what a server says.
    """

    base: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def without_secrets(self, text: str) -> str:
        """A text in which the secrets are blotted out."""
        for secret in self.secrets:
            text = text.replace(secret, _INSTEAD)
        return text

    @property
    def is_open(self) -> bool:
        """Whether secrets go to another machine without encryption."""
        parts = urlsplit(self.base)
        return bool(self.secrets) and parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")


def target(
    url: str,
    *,
    token_env: str | None = None,
    headers: Iterable[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> Target:
    """The server at `url`, which is its FHIR base URL.

    token_env: the environment variable that holds the token, which is sent as `Authorization: Bearer …`, or as it is
    where it begins with a scheme of its own such as `Basic`. headers: further ones as `Name: value`; `${VARIABLE}` in
    a value stands for an environment variable, and is as secret as a token. Raises InputError.
    """
    made: dict[str, str] = {}
    secrets: set[str] = set()
    for header in headers:
        name, value, found = _header(header, environment)
        made[name] = value
        secrets.update(found)
    if token_env is not None:
        token = _variable(token_env, environment, "--token-env")
        made["Authorization"] = token if " " in token else f"Bearer {token}"
        secrets.update((token, token.rpartition(" ")[2]))
    longest_first = sorted((secret for secret in secrets if len(secret) >= _SHORTEST), key=len, reverse=True)
    return Target(_base(url), made, tuple(longest_first))


def _base(url: str) -> str:
    expected = "expected the FHIR base URL of a server, such as https://example.org/fhir"
    try:
        parts = urlsplit(url)
        port, host = parts.port, httpx.URL(url).host
    except (ValueError, httpx.InvalidURL):
        raise InputError(f"{_blotted(url)!r} is no URL; {expected}") from None
    if parts.username is not None or parts.password is not None:
        raise InputError("the URL holds a user name or password; give a token or `Basic …` with --token-env instead")
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise InputError(f"{url!r} is not http or https; {expected}")
    if parts.query or parts.fragment:
        raise InputError(f"{_blotted(url)!r} has a query or a fragment; {expected}")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"


def _blotted(url: str) -> str:
    """A URL without what could be secret in it: a password, or a key in the query."""
    return re.sub(r"//.*@", f"//{_INSTEAD}@", url).partition("?")[0]


def _header(text: str, environment: Mapping[str, str]) -> tuple[str, str, list[str]]:
    """Name and value of a header, and the secrets in it."""
    name, colon, value = text.partition(":")
    name = name.strip()
    if not colon or not _NAME.fullmatch(name):
        raise InputError("--header: expected `Name: value`, such as 'X-Tenant: test'; there is no name before a colon")
    if reason := _OURS.get(name.lower()):
        raise InputError(f"--header: {name} cannot be set: {reason}")
    secrets = [_variable(found[1], environment, f"--header {name}") for found in _VARIABLE.finditer(value)]
    value = _VARIABLE.sub(lambda found: environment[found[1]].strip(), value).strip()
    if not (value.isascii() and value.isprintable()):
        raise InputError(f"--header: the value of {name} holds characters that a header cannot have")
    return name, value, secrets


def _variable(name: str, environment: Mapping[str, str], option: str) -> str:
    """What an environment variable holds. Its value is in no message."""
    value = environment.get(name)
    if value is None:
        raise InputError(f"{option}: the environment variable {name} is not set")
    if not value.strip():
        raise InputError(f"{option}: the environment variable {name} is empty")
    value = value.strip()
    if not (value.isascii() and value.isprintable()):
        raise InputError(f"{option}: the environment variable {name} holds characters that a header cannot have")
    return value
