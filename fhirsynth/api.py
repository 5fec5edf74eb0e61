"""The public Python API: a population as linked tables, as FHIR bundles, or as files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from fhirsynth.spec import Spec

if TYPE_CHECKING:
    from fhir.resources.R4B.bundle import Bundle

    from fhirsynth.letters.folder import Letters
    from fhirsynth.letters.making import Made, Manner
    from fhirsynth.record import Record
    from fhirsynth.run.job import Summary


class Population:
    """A synthetic population: the same spec always gives the same people.

        population = Population(n=1000, seed=1, region="london")
        for bundle in population.people():
            ...

    Keyword arguments are the fields of `fhirsynth.Spec` (or give a whole one as `spec`). Raises pydantic's
    ValidationError for a value out of range. The methods raise InputError for a condition or region that
    is not known, or people who cannot be, and KnowledgeError where a knowledge file is damaged.
    """

    def __init__(self, spec: Spec | None = None, **fields: Any) -> None:
        if spec is not None and fields:
            raise TypeError("give either a spec or its fields, not both")
        self.spec = Spec(**fields) if spec is None else spec

    def __repr__(self) -> str:
        return f"Population({', '.join(f'{name}={value!r}' for name, value in self.spec)})"

    def record(self) -> Record:
        """The linked tables of everybody, places and staff included. Holds the whole population in memory."""
        from fhirsynth.record import Record
        from fhirsynth.run import shard

        shard.check(self.spec)
        places = Record(shard.place_tables(shard.tools(self.spec.index_date).places))
        return Record.concat([places, *(shard.make(self.spec, n).record for n in range(self.spec.shards))])

    @overload
    def people(self, *, models: Literal[False] = False) -> Iterator[dict[str, Any]]: ...

    @overload
    def people(self, *, models: Literal[True]) -> Iterator[Bundle]: ...

    def people(self, *, models: bool = False) -> Iterator[Any]:
        """One transaction bundle a person, the living and then the dead of each shard in turn.

        Plain dicts that are the caller's own, or with `models` the typed models of `fhir.resources` (R4B;
        far slower). Memory does not grow with the number of people.
        """
        from fhirsynth.fhir import as_models
        from fhirsynth.run import shard

        shard.check(self.spec)
        context = shard.tools(self.spec.index_date).context
        for number in range(self.spec.shards):
            for _, bundle in shard.bundles(shard.make(self.spec, number), context):
                yield as_models(bundle) if models else bundle

    def organisations(self) -> dict[str, Any]:
        """The transaction bundle of places and staff that the people's bundles refer to; load it first.

        It holds every place there is. The file that `write` makes holds only those that its people have been to.
        """
        from fhirsynth.run import shard

        return shard.organisations(self.spec)

    def letters(self, manner: Manner | None = None) -> Iterator[Made]:
        """What is written about each hospital stay, person by person: a letter to the GP, and one to the patient.

        `manner`: who writes and how; by default by the phrasebook, with the population's seed. Memory does not grow
        with the number of people. Raises InputError where the manner names what cannot be had.

            for made in population.letters(Manner(level="note")):
                text, spans = as_text(made.letter)  # of fhirsynth.letters.letter
        """
        from fhirsynth.letters.folder import Letters, check
        from fhirsynth.letters.making import make
        from fhirsynth.run import shard
        from fhirsynth.run.letters import stays, writer

        shard.check(self.spec)
        manner = check(Letters(self._manner(manner))).manner
        for number in range(self.spec.shards):
            found = [told.stay for told in stays(self.spec, shard.make(self.spec, number).record.by_person())]
            yield from make(found, manner, writer(manner))[0]

    def _manner(self, manner: Manner | None) -> Manner:
        from fhirsynth.letters.making import Manner

        return Manner(seed=self.spec.seed) if manner is None else manner

    def write(
        self,
        out: str | Path,
        *,
        format: str | Iterable[str] = "bundle",
        gzip: bool = False,
        letters: bool | Manner | Letters = False,
        workers: int = 1,
        engine: Executor | None = None,
        resume: bool = False,
        overwrite: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Summary:
        """Write the population into the folder `out`, as `fhirsynth population` does.

        `format`: bundle, ndjson, xml, parquet, csv or document, or several of them: with commas between, or listed.
        `letters`: whether a letter about each hospital stay is written too, in which manner, or as which files
        (`fhirsynth.letters.folder.Letters`). `workers` processes make it, or the executor `engine` (such as that of a
        Dask client); the bytes are the same. `progress(done, of)` is called with numbers of living people. Raises
        InputError where the folder is in use or a format is not known, OutputError where it cannot be written to.
        With several workers the calling script needs the usual `if __name__ == "__main__":`.
        """
        from fhirsynth.run import output
        from fhirsynth.run.job import write_population
        from fhirsynth.run.state import Job

        asked = None
        if letters:
            from fhirsynth.letters.folder import Letters

            manner = None if isinstance(letters, bool | Letters) else letters
            asked = letters if isinstance(letters, Letters) else Letters(self._manner(manner))
        job = Job(self.spec, Path(out), ",".join(output.formats(format)), gzip, asked)
        return write_population(
            job, workers=workers, engine=engine, resume=resume, overwrite=overwrite, progress=progress
        )
