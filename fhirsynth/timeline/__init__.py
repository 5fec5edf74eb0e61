"""What happens to people: onset dates, contacts, measurements, treatment, stays and death, as record rows."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from fhirsynth.days import day_of
from fhirsynth.record.schema import TABLES
from fhirsynth.timeline import background, contacts, immunisation, onset, treatment
from fhirsynth.timeline.agenda import Item, agenda
from fhirsynth.timeline.life import Life, Rows
from fhirsynth.timeline.plan import plan_for

if TYPE_CHECKING:
    from fhirsynth.knowledge import Knowledge
    from fhirsynth.population.people import People
    from fhirsynth.population.places import Places
    from fhirsynth.spec import Spec

__all__ = ["live"]


def live(people: People, spec: Spec, knowledge: Knowledge, places: Places) -> Rows:
    """Tell the lives of one shard's people; gives the rows of every table but the organisations'.

    Each person has their own random stream, drawn from the seed and their ordinal, so that a life does not
    depend on who else is in the shard.
    """
    plan = plan_for(knowledge, places)
    rows: Rows = {name: [] for name in TABLES}
    rows["person"] = list(people.persons)
    rows["contact"] = list(people.contacts)
    start, index = day_of(spec.start), day_of(spec.index_date)
    columns = [(key, flags.tolist()) for key, flags in people.has.items()]
    for position, person in enumerate(people.persons):
        rng = Random(f"{spec.seed}/{person.ordinal}")
        has = [key for key, flags in columns if flags[position]]
        _tell(Life(plan, rng, person, has, start, index, rows))
    return rows


def _tell(life: Life) -> None:
    """One life, in order: what was before the window, then everything in it by date, then what sums it up."""
    if life.last < life.first:
        return  # born on the index date, or dead on the first day
    background.allergies(life)
    onset.draw(life)
    for key, day in life.onset.items():
        if day < life.first:
            onset.record_before_window(life, life.plan.conditions[key])
    for key, row in list(life.problems.items()):
        treatment.long_term(life, life.plan.conditions[key], row.id, life.first, None, "community")
    items = agenda(life)
    for day, doses in immunisation.schedule(life).items():
        items.append(Item(day, 7, "vaccines", "", (tuple(doses),)))
    items.sort(key=lambda item: (item.day, item.order, item.kind, item.key))
    contacts.tell(life, items)
    treatment.close(life)
    background.family_history(life)
    background.flags(life)
