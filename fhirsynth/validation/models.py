"""The typed models of `fhir.resources` as an engine: base FHIR without profiles, quick, and pure Python.

What it finds: elements that FHIR does not know, missing mandatory ones, values of another type, dates and numbers of a
wrong form, more than one of a choice. What it does not: codes, invariants, profiles, extensions, references; and
pydantic is generous, so that "true" passes for a boolean.

The models are those of FHIR R4B (4.3.0), which stands in for R4 (4.0.1), as `fhir.resources` has no R4. In what UK Core
uses the two are alike. They differ in this:

- R4B dropped the resources in `R4_ONLY`; one of these is not judged, and a word of information says so.
- R4B wrote Evidence, EvidenceVariable and parts of DeviceDefinition anew: sound R4 of these types may be found wrong.
- R4B added resources (such as Citation, Ingredient, SubscriptionTopic), the datatypes CodeableReference and RatioRange
  as values of an extension, and `subjectCanonical` of ActivityDefinition and PlanDefinition: they pass, which R4 would
  not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError

from fhirsynth.fhir.writing import as_models
from fhirsynth.validation.findings import Finding, Json, Severity
from fhirsynth.validation.locations import place

#: Resources of FHIR R4 that R4B does not have.
R4_ONLY = frozenset(
    {
        "EffectEvidenceSynthesis",
        "MedicinalProduct",
        "MedicinalProductAuthorization",
        "MedicinalProductContraindication",
        "MedicinalProductIndication",
        "MedicinalProductIngredient",
        "MedicinalProductInteraction",
        "MedicinalProductManufactured",
        "MedicinalProductPackaged",
        "MedicinalProductPharmaceutical",
        "MedicinalProductUndesirableEffect",
        "RiskEvidenceSynthesis",
        "SubstanceNucleicAcid",
        "SubstancePolymer",
        "SubstanceProtein",
        "SubstanceReferenceInformation",
        "SubstanceSourceMaterial",
        "SubstanceSpecification",
    }
)
#: A list of names that is too long to be read.
_LONG_LIST = re.compile(r"\[[^\]]{200,}\]")
_SHOWN = 60  # letters of a value that a finding shows
_NEUTRAL = {"resourceType": "Bundle", "type": "collection"}
_IN_NEUTRAL = "entry[0].resource"


class _Problem(NamedTuple):
    """The path of an element in what was judged, the rule it breaks, what is wrong."""

    path: str
    rule: str
    said: str


class ModelsEngine:
    """Judges resources by whether they can be made into models of `fhir.resources`."""

    name = "models"

    def check(self, resource: Json) -> list[Finding]:
        """What is wrong with one resource or bundle. Whatever JSON it is given, it does not raise."""
        if not isinstance(resource, dict):
            said = f"expected a resource, an object with a resourceType; found {_shown(resource)}"
            return [Finding("models:model-type", said)]
        try:
            problems = [*_problems(resource)]
        except RecursionError:
            problems = [_Problem("", "no-model", "it is nested too deeply to be judged")]
        return [_finding(problem, resource) for problem in problems]


def _problems(resource: Json) -> Iterator[_Problem]:
    """Problems of a resource; of a bundle without what is in it, and then of each resource in it by itself.

    By itself, because the models fall over a type that they do not know, and the others are to be judged all the same.
    """
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        yield _Problem("resourceType", "unknown-type", f"expected a type of resource, found {_shown(kind)}")
    elif kind in R4_ONLY:
        yield _Problem("", "not-checked", f"the models are of FHIR R4B, which has no {kind}: it is not judged")
    elif kind != "Bundle":
        for problem in _of_bundle({**_NEUTRAL, "entry": [{"resource": resource}]}):
            yield problem._replace(path=problem.path.removeprefix(_IN_NEUTRAL).removeprefix("."))
    else:
        entries = resource.get("entry")
        if not isinstance(entries, list):
            yield from _of_bundle(resource)
            return
        yield from _of_bundle({**resource, "entry": [_without_resource(entry) for entry in entries]})
        for number, entry in enumerate(entries):
            inner = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(inner, dict):
                for problem in _problems(inner):
                    path = f"entry[{number}].resource.{problem.path}".removesuffix(".")
                    yield problem._replace(path=path)


def _without_resource(entry: Any) -> Any:
    if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
        return {key: value for key, value in entry.items() if key != "resource"}
    return entry


def _of_bundle(bundle: Json) -> Iterator[_Problem]:
    """Problems of a bundle with at most one resource, as the models see them."""
    try:
        as_models(bundle)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False):
            yield _problem(detail["loc"], detail["type"], detail["msg"], detail["input"])
    except RecursionError:
        raise
    except KeyError as error:  # it is the name under which the models looked for the type of a resource
        kind = str(error.args[0] if error.args else "").removeprefix("R4.").removesuffix("Type")
        yield _Problem(_IN_NEUTRAL, "unknown-type", f"{_shown(kind)} is no type of resource that the models know")
    except Exception as error:  # whatever else the models fall over; it is theirs to say what they want
        yield _Problem(_IN_NEUTRAL, "no-model", f"the models cannot take it: {error}")


def _problem(steps: tuple[int | str, ...], kind: str, message: str, value: Any) -> _Problem:
    """A detail of pydantic's error. The last step is `root` where a whole value is of the wrong kind."""
    named = steps[:-1] if steps[-1:] == ("root",) else steps
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in named).removeprefix(".")
    said = _LONG_LIST.sub("[…]", message.removeprefix("Value error, ")).rstrip(".")
    if isinstance(value, str | int | float) and kind != "model_validation_format":  # which names it itself
        said = f"{said}; found {_shown(value)}"
    return _Problem(path, kind.rpartition(".")[2].replace("_", "-"), said)


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _finding(problem: _Problem, resource: Json) -> Finding:
    named = place(problem.path, resource)
    severity: Severity = "information" if problem.rule == "not-checked" else "error"
    return Finding(f"models:{problem.rule}", problem.said, resource=named.resource, path=named.path, severity=severity)
