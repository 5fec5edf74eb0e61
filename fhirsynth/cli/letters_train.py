"""`fhirsynth letters train`: a language model that writes letters, trained on a corpus made here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirsynth.letters.facts import Stay
    from fhirsynth.letters.lm.training import Progress


def train(
    out: Annotated[Path, typer.Argument(help="Folder for the run: corpus, checkpoints, and the finished model/.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same corpus and order of samples.")] = 1,
    people: Annotated[int, typer.Option(min=1, help="People whose stays make the corpus.")] = 5000,
    times: Annotated[int, typer.Option(min=1, max=5, help="Voices that each stay is written up in.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training.")] = 2400,
    batch: Annotated[int, typer.Option(min=1, help="Tokens to a step.")] = 4608,
    rate: Annotated[float | None, typer.Option(help="Highest learning rate (0.0015; 0.0005 with --base).")] = None,
    base: Annotated[
        str | None,
        typer.Option(help="Begin with the layers of this Llama, such as SmolLM2: a folder, a name or a .gguf file."),
    ] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Layers of the model (6; 20 with --base).")] = None,
    rank: Annotated[
        int, typer.Option(min=0, help="Train only an adapter (LoRA) of this rank, on the whole of the base.")
    ] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="Threads of torch; 0 leaves it to torch.")] = 0,
    every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 200,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
) -> None:
    """Train a model that writes the prose of letters, from a corpus that is made first.

    Needs pip install 'fhirsynth[train]'. The model is in OUT/model, an ordinary folder of transformers that
    `fhirsynth letters --writer lm --model OUT/model` takes. A run that was stopped goes on with --resume.
    """
    from fhirsynth.cli.running import Bar
    from fhirsynth.errors import InputError, InterruptedRunError
    from fhirsynth.letters.lm.training import Plan
    from fhirsynth.letters.lm.training import train as run
    from fhirsynth.run.letters import all_stays
    from fhirsynth.spec import Spec

    def some(people: int, seed: int) -> Iterator[Stay]:
        return (told.stay for told in all_stays(Spec(n=people, seed=seed)))

    if rank and not base:
        raise InputError("--rank: an adapter needs a model to be put on; name it with --base")
    peak = rate if rate is not None else 5e-4 if base else 1.5e-3
    plan = Plan(seed, people, times, steps, batch, peak, layers or (20 if base else 6), base=base, rank=rank)
    typer.echo(f"making the corpus from the stays of {people:,} people, then {steps:,} steps", err=True)
    try:
        with Bar(what="training") as bar:

            def report(at: Progress) -> None:
                words = f"loss {at.loss:.3f}, held out {at.held_out:.3f}, {at.tokens_a_second:,.0f} tokens a second"
                bar.steps(at.step, at.steps, words)

            model = run(out, plan, some, device=device, threads=threads, resume=resume, every=every, report=report)
    except KeyboardInterrupt:
        raise InterruptedRunError(f"interrupted; --resume goes on from the last checkpoint in {out}") from None
    typer.echo(f"the model is in {model}")
