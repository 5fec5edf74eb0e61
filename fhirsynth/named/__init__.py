"""Named people worth testing with: each is a case that software for the NHS stumbles over.

    from fhirsynth.named import cases, people

    for named in people():
        named.case.key, named.case.tests, named.bundle

`cases.toml` says who they are. Those whom the population has are searched for in it; of the others one column or
another of the record is set before their life is told, so that all that is written about them agrees.
"""

from fhirsynth.named.cases import Case, cases
from fhirsynth.named.making import Named, people

__all__ = ["Case", "Named", "cases", "people"]
