"""People made for a test, as an archive. What is imported here is heavy, and only when it is needed."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from fhirsynth.errors import InputError, InterruptedRunError, OutputError
from fhirsynth.pytest_plugin.people import LETTERS, ORGANISATIONS, PEOPLE

if TYPE_CHECKING:
    import pytest

    from fhirsynth.letters.making import Manner
    from fhirsynth.spec import Spec

#: Which of a run's files a test gets to see; annotations and the manifest stay behind.
_PACKED = (ORGANISATIONS, f"{PEOPLE}/**/*.json", f"{LETTERS}/*.txt", f"{LETTERS}/documents/*.json")
_LEVEL = 6  # of zlib: 1.6 MB of a person become 30 kB


def make(options: Mapping[str, Any], config: pytest.Config) -> bytes:
    """The files that `fhirsynth population` writes for these people, as a zip archive.

    Raises InputError for a value that cannot be, a condition or region that is not known, people who cannot be, a
    knowledge file that is damaged; OutputError where the temporary folder cannot be written to.
    """
    with _without_rewriting(config), TemporaryDirectory(prefix="fhirsynth-") as temporary:
        from fhirsynth.api import Population
        from fhirsynth.knowledge.errors import KnowledgeError
        from fhirsynth.spec import spec_of

        fields = dict(options)
        letters = fields.pop("letters", False)
        if not isinstance(letters, bool):
            raise InputError(f"letters: expected True or False; found {letters!r}")
        out = Path(temporary) / "out"
        try:
            spec = spec_of(fields)
            Population(spec).write(out, letters=_letters(spec) if letters else False)
        except KnowledgeError as error:
            raise InputError(f"knowledge file {error}") from None
        except OutputError as error:  # whose remedies are options of `fhirsynth population`
            raise OutputError(str(error).partition(";")[0]) from None
        except InterruptedRunError:
            raise KeyboardInterrupt from None  # the test session ends, as for any other
        return _packed(out)


def _letters(spec: Spec) -> Manner:
    """Letters by the phrasebook: a language model needs seconds for each."""
    from fhirsynth.letters.making import Manner

    return Manner(writer="phrasebook", seed=spec.seed)


def _packed(out: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for pattern in _PACKED:
            for file in sorted(out.glob(pattern)):
                # An entry without a time: the same people are the same bytes.
                entry = zipfile.ZipInfo(file.relative_to(out).as_posix())
                archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, _LEVEL)
    return buffer.getvalue()


@contextmanager
def _without_rewriting(config: pytest.Config) -> Iterator[None]:
    """Import fhirsynth's modules as they are compiled already.

    pytest takes a package with a plugin for one that is full of test helpers, and would load each of its modules in a
    way of its own, to explain their assertions: a third of a second more.
    """
    hook: Any = config.pluginmanager.rewrite_hook
    place = sys.meta_path.index(hook) if hook in sys.meta_path else None  # None: told not to rewrite at all
    if place is not None:
        del sys.meta_path[place]
    try:
        yield
    finally:
        if place is not None:
            sys.meta_path.insert(place, hook)
