"""The page for whoever opens the endpoint in a browser: what it is, what is here, and what to try first."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template

import orjson

from fhirsynth import __version__
from fhirsynth.serving import values
from fhirsynth.serving.index import Index
from fhirsynth.systems import NHS_NUMBER


def page(index: Index, base: str) -> str:
    """The page as HTML."""
    text = resources.files(__package__).joinpath("welcome.html").read_text("utf-8")
    base = escape(base)
    rows = (
        f'<tr><td><a href="{base}/{escape(name)}?_pretty=true">{escape(name)}</a></td><td>{kind.resources:,}</td></tr>'
        for name, kind in index.kinds.items()
    )
    links = (
        f'<li><a href="{base}/{escape(path)}">{escape(path)}</a> – {words}</li>' for path, words in examples(index)
    )
    return Template(text).substitute(base=base, version=__version__, examples="\n".join(links), rows="\n".join(rows))


def examples(index: Index) -> Sequence[tuple[str, str]]:
    """Paths to try first, and what each gives."""
    found = [("metadata?_pretty=true", "what the server does")]
    for item in index.of_kind("Patient", 0, 1):
        for system, number in values.tokens({"coding": orjson.loads(item.body).get("identifier")}):
            if system == NHS_NUMBER:
                found.append((f"Patient?identifier={NHS_NUMBER}|{number}&_pretty=true", "by NHS number"))
        newest = f"Observation?patient={item.id}&_sort=-date&_count=10&_pretty=true"
        found += [(newest, "the newest readings"), (f"Patient/{item.id}/$everything?_pretty=true", "a whole record")]
    return found
