"""What the commands that run share: a progress bar, and what came of letters in words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Bar:
    """A progress bar on standard error, where that is a terminal: people, and letters where there are any."""

    def __init__(self, *, quiet: bool = False, letters: bool = False, what: str = "people") -> None:
        self._progress: Any = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
            if letters:
                columns.append(TextColumn("{task.fields[letters]:,} letters"))
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._progress.add_task(what, total=None, letters=0)

    def __enter__(self) -> Bar:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def steps(self, done: int, of: int, words: str) -> None:
        """So many steps are finished: on the bar, or on a line of their own where there is none."""
        if self._progress:
            self._progress.update(self._task, completed=done, total=of, description=words)
        else:
            print(f"step {done} of {of}: {words}", file=sys.stderr)

    def people(self, done: int, of: int) -> None:
        """So many people are finished."""
        if self._progress:
            self._progress.update(self._task, completed=done, total=of)

    def letters(self, done: int) -> None:
        """So many letters are written."""
        if self._progress:
            self._progress.update(self._task, letters=done)


#: What there is one of for each stay, by level.
_TEXTS = {"words": "lists of words", "note": "sets of ward notes", "letter": "letters to general practitioners"}


def letters_in_words(counted: Mapping[str, int], level: str, out: Path) -> str:
    """What came of the letters, or of what was asked for in their place, from their counts."""
    texts = f"{counted['letters']:,} {_TEXTS[level]}"
    if counted["to_patient"]:
        texts += f" and {counted['to_patient']:,} to patients"
    sentences = [f"{texts} in {out / 'letters'}, with {counted['spans']:,} annotated spans"]
    if counted["drafts"]:
        sentences.append(
            f"{counted['rejected']:,} of {counted['drafts']:,} drafts were rejected by the check and written again, "
            f"{counted['withheld']:,} letters withheld"
        )
    if counted.get("sections"):
        sentences.append(
            f"of {counted['sections']:,} sections by the language model {counted.get('first_draft', 0):,} were right "
            f"at once, {counted.get('after_retries', 0):,} when tried again, and {counted.get('fallback', 0):,} come "
            "from the phrasebook"
        )
    return "\n".join(sentences)
