"""Whether what one knowledge entry says of another exists: medicines, observables, published tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from fhirsynth.knowledge.errors import Path, nearest
from fhirsynth.knowledge.expressions import FORMS, parse

if TYPE_CHECKING:
    from fhirsynth.knowledge.loader import Knowledge

#: States of the habits of the population model, as `habit=state`.
HABITS: dict[str, tuple[str, ...]] = {
    "smoking": ("never", "ex", "current"),
    "alcohol": ("none", "low", "high"),
    "bmi": ("underweight", "normal", "overweight", "obese"),
    "ethnic-group": ("white", "south-asian", "black", "mixed", "other"),
    "imd": tuple(str(decile) for decile in range(1, 11)),
    "sex": ("female", "male"),
}


class Reference(NamedTuple):
    """One mention: the entry that makes it, where in the entry, the word, what it must be one of."""

    kind: str
    key: str
    path: Path
    word: str
    known: Collection[str]
    what: str


class Names:
    """What may be referred to, put together once."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.conditions = frozenset(knowledge.conditions)
        self.classes = frozenset(name for medicine in knowledge.medicines.values() for name in medicine.classes)
        self.ordered = frozenset((*knowledge.observables, *knowledge.panels))
        self.looked_at = self.ordered | frozenset(knowledge.procedures)
        self.levels = frozenset((*knowledge.observables, "age"))


def check_references(knowledge: Knowledge) -> None:
    """Raise KnowledgeError for the first entry that names something unknown, with the nearest names."""
    for reference in _references(knowledge):
        if reference.word not in reference.known:
            origin = knowledge.origins[reference.kind, reference.key]
            word, near = reference.word, nearest(reference.word, reference.known)
            raise origin.error(reference.path, f"expected {reference.what}, found {word!r}; {near}", word)


def _references(knowledge: Knowledge) -> Iterator[Reference]:
    names = Names(knowledge)
    yield from _of_conditions(knowledge, names)
    yield from _of_catalogues(knowledge, names)


def _all(
    kind: str, key: str, path: Path, words: Iterable[str], known: Collection[str], what: str
) -> Iterator[Reference]:
    for position, word in enumerate(words):
        yield Reference(kind, key, (*path, position), word, known, what)


def _of_conditions(knowledge: Knowledge, names: Names) -> Iterator[Reference]:
    conditions, medicines, procedures = knowledge.conditions, knowledge.medicines, knowledge.procedures
    observables = knowledge.observables
    a_test = "the key of an observable, a panel or a procedure"
    kuan = set(knowledge.table("conditions_kuan")["code"]) if conditions else set()
    groups = set(knowledge.table("hes_groups")["icd10_range"]) if conditions else set()
    path: Path
    for key, c in conditions.items():
        here = "conditions", key
        if c.prevalence is not None:
            yield Reference(*here, ("prevalence", "code"), c.prevalence.code, kuan, "a code of conditions_kuan.csv")
        for i, cause in enumerate(c.because):
            yield from _habit_or_condition(names, *here, ("because", i, "of"), cause.of)
        for i, risk in enumerate(c.risk):
            yield from _habit_or_condition(names, *here, ("risk", i, "of"), risk.of)
        yield from _all(*here, ("onset", "after"), c.onset.after, conditions, "the key of a condition")
        yield from _all(*here, ("needs",), c.needs, conditions, "the key of a condition")
        if c.follows is not None:
            yield from _all(*here, ("follows", "after"), c.follows.after, conditions, "the key of a condition")
        yield from _all(*here, ("tests",), c.tests, names.looked_at, a_test)
        for observable in c.shifts:
            yield Reference(*here, ("shifts", observable), observable, observables, "the key of an observable")
        for i, monitoring in enumerate(c.monitoring):
            yield from _all(*here, ("monitoring", i, "what"), monitoring.what, names.looked_at, a_test)
        for i, clinic in enumerate(c.outpatient):
            path = ("outpatient", i, "specialty")
            yield Reference(*here, path, clinic.specialty, knowledge.specialties, "the key of a specialty")
        for i, stage in enumerate(c.stages):
            yield from _expression(names, *here, ("stages", i, "when"), stage.when)
        for i, done in enumerate(c.procedures):
            yield Reference(*here, ("procedures", i, "procedure"), done.procedure, procedures, "the key of a procedure")
        for i, step in enumerate(c.treatment):
            path = ("treatment", i)
            yield from _all(*here, (*path, "medicine"), step.medicine, medicines, "the key of a medicine")
            for observable in step.effect:
                yield Reference(
                    *here, (*path, "effect", observable), observable, observables, "the key of an observable"
                )
            if step.when is not None:
                yield from _expression(names, *here, (*path, "when"), step.when)
            for j, term in enumerate(step.blocked_by):
                yield from _expression(names, *here, (*path, "blocked_by", j), term)
        if c.stay is not None:
            path = ("stay", "specialty")
            yield Reference(*here, path, c.stay.specialty, knowledge.specialties, "the key of a specialty")
            a_group = "an icd10_range of hes_groups.csv"
            yield from _all(*here, ("stay", "hes_groups"), c.stay.hes_groups, groups, a_group)
            for i, done in enumerate(c.stay.procedures):
                path = ("stay", "procedures", i, "procedure")
                yield Reference(*here, path, done.procedure, procedures, "the key of a procedure")


def _of_catalogues(knowledge: Knowledge, names: Names) -> Iterator[Reference]:
    observables, specimens, procedures = knowledge.observables, knowledge.specimens, knowledge.procedures
    for key, medicine in knowledge.medicines.items():
        for i, term in enumerate(medicine.blocked_by):
            yield from _expression(names, "medicines", key, ("blocked_by", i), term)
    for key, allergy in knowledge.allergies.items():
        here = "allergies", key
        yield from _all(*here, ("reactions",), allergy.reactions, knowledge.reactions, "the key of a reaction")
        yield from _all(*here, ("blocks",), allergy.blocks, names.classes, "a class of some medicine")
    for key, observable in observables.items():
        if observable.specimen is not None:
            yield Reference("observables", key, ("specimen",), observable.specimen, specimens, "the key of a specimen")
    for key, panel in knowledge.panels.items():
        yield from _all("panels", key, ("members",), panel.members, observables, "the key of an observable")
        yield Reference("panels", key, ("specimen",), panel.specimen, specimens, "the key of a specimen")
    for key, vaccine in knowledge.vaccines.items():
        for i, dose in enumerate(vaccine.doses):
            yield from _all(
                "vaccines",
                key,
                ("doses", i, "conditions"),
                dose.conditions,
                knowledge.conditions,
                "the key of a condition",
            )
    for key, reason in knowledge.general_reasons.items():
        here = "general_reasons", key
        yield from _all(*here, ("procedures",), reason.procedures, procedures, "the key of a procedure")
        what = "the key of an observable or a panel"
        yield from _all(*here, ("observables",), reason.observables, names.ordered, what)
        yield from _all(*here, ("refers",), reason.refers or (), knowledge.specialties, "the key of a specialty")
    for key, flag in knowledge.flags.items():
        for i, term in enumerate(flag.when):
            yield from _expression(names, "flags", key, ("when", i), term)


def _habit_or_condition(names: Names, kind: str, key: str, path: Path, word: str) -> Iterator[Reference]:
    habit, equals, state = word.partition("=")
    if not equals:
        yield Reference(kind, key, path, word, names.conditions, "the key of a condition, or habit=state")
        return
    yield Reference(kind, key, path, habit, HABITS, "a habit before '='")
    yield Reference(kind, key, path, state, HABITS.get(habit, ()), f"a state of {habit} after '='")


def _expression(names: Names, kind: str, key: str, path: Path, term: str) -> Iterator[Reference]:
    """A term of `when` or `blocked_by`: `egfr<30`, `sex=female`, `condition:…`, `taking:…`, `pregnancy`."""
    try:
        found = parse(term)
    except ValueError:
        yield Reference(kind, key, path, term, (), FORMS)
        return
    if found.kind == "condition":
        yield Reference(kind, key, path, found.name, names.conditions, "the key of a condition after ':'")
    elif found.kind in ("allergy", "taking"):
        yield Reference(kind, key, path, found.name, names.classes, "a class of some medicine after ':'")
    elif found.kind == "habit":
        yield Reference(kind, key, path, found.state, HABITS[found.name], f"a state of {found.name} after '='")
    elif found.kind == "level":
        yield Reference(kind, key, path, found.name, names.levels, "an observable or age")
