"""`fhirsynth serve` in a process of its own, and what is in the files that it serves; fixtures: `served_fixtures`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

Json = dict[str, Any]


class Files:
    """What is written in a folder, read by nothing but `json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def people(self) -> list[Json]:
        """The bundle of each person."""
        return [json.loads(file.read_bytes()) for file in sorted((self.folder / "people").iterdir())]

    @cached_property
    def documents(self) -> list[Json]:
        """The document bundle of each letter."""
        return [json.loads(file.read_bytes()) for file in sorted((self.folder / "letters" / "documents").iterdir())]

    @cached_property
    def all(self) -> dict[tuple[str, str], Json]:
        """Every resource by type and id; what documents repeat is that of the people."""
        bundles = [*self.people, json.loads((self.folder / "organisations.json").read_bytes())]
        found = {
            (resource["resourceType"], resource["id"]): resource
            for bundle in [*self.documents, *bundles]
            for resource in (entry["resource"] for entry in bundle["entry"])
        }
        return found | {("Bundle", bundle["id"]): bundle for bundle in self.documents}

    def of(self, kind: str) -> list[Json]:
        """Every resource of a type."""
        return [resource for (name, _), resource in self.all.items() if name == kind]


class Served:
    """A server in a process of its own. `base`: its URL; `said`: what it printed before it was ready."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "fhirsynth", "serve", str(folder), "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.said = ""
        while " until Ctrl-C" not in self.said:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"it ended: {self.said} {self.process.communicate()[1]}")
            self.said += line
        self.base = re.findall(r"http://[\d.:]+\d", self.said)[0]
        self.client = httpx.Client(base_url=self.base, timeout=60)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """The answer to a GET, whatever it is."""
        return self.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def json(self, path: str) -> Json:
        """What a GET gives that is well."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def pages(self, path: str) -> Iterator[Json]:
        """The bundles of a search, one after another."""
        following: str | None = path
        while following:
            page = self.json(following)
            yield page
            following = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)

    def found(self, path: str) -> list[str]:
        """The ids that a search finds, in order, over all pages; the total is right."""
        ids: list[str] = []
        for page in self.pages(path):
            ids += [entry["resource"]["id"] for entry in page.get("entry", []) if entry["search"]["mode"] == "match"]
        assert page["total"] == len(ids)
        return ids

    def close(self) -> None:
        """End it."""
        self.client.close()
        self.process.terminate()
        self.process.wait(20)


def bare(resource: Json) -> Json:
    """A resource as it was written, without what a server says of it."""
    meta = {key: value for key, value in resource["meta"].items() if key not in ("versionId", "lastUpdated")}
    return {**resource, "meta": meta}
