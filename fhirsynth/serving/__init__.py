"""A read-only FHIR R4 endpoint over a folder that fhirsynth has made.

    parameters  which search parameters there are (parameters.toml), and what they find in a resource
    building    the index of a folder, in SQLite; `cache` says where it lies and whether it is still right
    query       what a search asks for; `criteria` and `comparisons` say it in SQL, `searching` runs it
    endpoint    answers requests; `app` is the ASGI application, `running` serves it with uvicorn

To have the endpoint in a test without a port:

    app = serving.application("out/")
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["application"]


def application(folder: str | Path) -> Starlette:
    """The endpoint over a folder as an ASGI application; its index is made, or taken from where it is kept.

    Raises InputError where the folder cannot be read, ImportError without the packages of the extra `serve`.
    """
    from fhirsynth.serving.app import application as over
    from fhirsynth.serving.cache import index_of

    return over(index_of(Path(folder)))
