"""The synthetic NHS in one command: UK populations as linked records and UK Core FHIR.

from fhirsynth import Population

population = Population(n=1000, seed=1)
population.write("out/")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fhirsynth.api import Population
    from fhirsynth.errors import FhirsynthError
    from fhirsynth.knowledge import KnowledgeError
    from fhirsynth.spec import Spec

__version__ = "0.1.0"

__all__ = ["FhirsynthError", "KnowledgeError", "Population", "Spec", "__version__"]

#: Where each public name lives: they are loaded when first asked for, so that `import fhirsynth` costs nothing.
_HOMES = {
    "FhirsynthError": "fhirsynth.errors",
    "KnowledgeError": "fhirsynth.knowledge",
    "Population": "fhirsynth.api",
    "Spec": "fhirsynth.spec",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fhirsynth' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
