"""Units on their way to a server, as transactions or as single PUTs.

A transaction that the server refuses is cut in halves, in an order in which the second half may refer to the first,
until what it does not take is found; all else is loaded, but for what refers to that. So a refusal names resources, a
server with a limit of its own for the size of a request is served, and nobody is lost for one resource.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from fhirsynth.errors import InputError, OutputError
from fhirsynth.loading import order
from fhirsynth.loading.entries import Entry, transaction, written
from fhirsynth.loading.outcome import Outcome, Refusal, issues
from fhirsynth.loading.server import Answer, Server
from fhirsynth.loading.source import Unit

Mode = Literal["transaction", "single"]
#: Entries that a request carries at most by default: what the strictest of the large servers take.
BATCH = 500
#: Resources that a server may refuse before the load stops, by default.
MOST_REFUSED = 100
#: Resources that may be left out, whose names are kept: a place may be refused that all people refer to.
_MOST_LEFT_OUT = 100_000
#: Times that a part of a refused transaction is tried: of those that fail, the whole has been tried often enough.
_ATTEMPTS_OF_PART = 4
#: Statuses that, before anything was taken, are about the URL, the rights or the form of a request, not its content.
_ABOUT_ACCESS = {
    403: "the token does not allow writing",
    404: "there is nothing at that URL",
    405: "it does not take {what}",
    406: "it does not speak FHIR's JSON",
    415: "it does not take FHIR's JSON",
    501: "it does not take {what}",
}
_WHAT = {
    "transaction": "transactions: try --mode single",
    "single": "resources under ids that it has not given itself",
}


class Sender:
    """Sends units to one server; what came of them adds up.

    batch: entries of a transaction at most. has_taken: whether the server is known to take such things. refused: how
    many resources were refused until now.
    """

    def __init__(self, server: Server, mode: Mode, batch: int, most_refused: int, *, has_taken: bool = False) -> None:
        self._server, self._mode, self._batch, self._most = server, mode, batch, most_refused
        self._has_taken = has_taken
        self._no_places: set[str] = set()  # names of those that the server does not have
        self.refused = self._left_out = 0

    @property
    def is_enough(self) -> bool:
        """Whether so much was refused, or left out for it, that there is no point in going on."""
        return self.refused >= self._most or self._left_out >= _MOST_LEFT_OUT

    async def send(self, unit: Unit) -> Outcome:
        """Send a unit. Raises InputError and OutputError where going on makes no sense, as for a wrong token."""
        outcome = Outcome(unit.number, unit.name)
        entries = unit.read()
        if self._mode == "transaction":
            for piece in order.pieces(entries, self._batch):
                await self._transaction(piece, outcome)
        else:
            await self._one_by_one(entries, outcome)
        if unit.number == 0:
            self._no_places = outcome.missing
        return outcome

    # --- transactions ----------------------------------------------------------------------------

    async def _transaction(self, entries: list[Entry], outcome: Outcome, attempts: int | None = None) -> None:
        entries = self._left(entries, outcome)
        if not entries:
            return
        content = transaction(entries, self._server.target.base)
        answer = await self._server.ask("POST", "", content, attempts=attempts)
        if answer.is_success:
            self._taken(entries, answer, outcome)
            return
        self._demand_access(answer)
        groups = order.groups(entries)
        if len(groups) == 1:
            self._refuse(entries, answer, outcome)
            return
        for half in order.halves(groups):
            await self._transaction(half, outcome, _ATTEMPTS_OF_PART)

    def _taken(self, entries: list[Entry], answer: Answer, outcome: Outcome) -> None:
        """Note what a transaction was answered; each entry has a status of its own."""
        self._demand_fhir(answer)
        answers = answer.content.get("entry") if answer.is_a("Bundle") else None
        if not isinstance(answers, list) or len(answers) != len(entries):
            raise OutputError(
                f"{self._server.target.base} answers {answer.status} to a transaction of {len(entries)} entries, and "
                f"{len(answers) if isinstance(answers, list) else 'no'} answers to them; try --mode single"
            )
        for entry, found in zip(entries, answers, strict=True):
            response = found.get("response") if isinstance(found, dict) else None
            response = response if isinstance(response, dict) else {}
            said = str(response.get("status") or "")
            location = str(response.get("location") or "")
            one = Answer(int(said[:3]) if said[:3].isdigit() else 200, response.get("outcome"), location=location)
            if one.is_success:
                self._note(entry, one, outcome)
            else:
                self._refuse([entry], one, outcome)

    # --- single PUTs -----------------------------------------------------------------------------

    async def _one_by_one(self, entries: list[Entry], outcome: Outcome) -> None:
        left: set[str] = set()
        for step in order.one_by_one(entries):
            entry = step.entry
            if entry.key in left or not self._left([entry], outcome):
                left.add(entry.key)
                continue
            if not step.is_whole and (await self._server.ask("GET", entry.key)).is_success:
                continue  # a part of what is there already would only make another version of it
            answer = await self._server.ask("PUT", entry.key, written(entry.resource))
            if not answer.is_success:
                self._demand_access(answer)
                self._refuse([entry], answer, outcome)
                left.add(entry.key)
                continue
            self._demand_fhir(answer)
            if step.is_whole:
                self._note(entry, answer, outcome)
            else:
                self._has_taken = True
                outcome.created += answer.status == 201

    # --- what came of it -------------------------------------------------------------------------

    def _left(self, entries: list[Entry], outcome: Outcome) -> list[Entry]:
        """Those that are to be sent: nothing that refers to what was refused, nothing where enough was refused."""
        if self.is_enough:
            outcome.is_whole = False
            return []
        if not (outcome.refused or self._no_places):
            return entries
        out = order.that_refer_to(outcome.missing | self._no_places, entries)
        outcome.left_out.extend(entry.key for entry in entries if entry.key in out)
        self._left_out += len(out)
        return [entry for entry in entries if entry.key not in out]

    def _note(self, entry: Entry, answer: Answer, outcome: Outcome) -> None:
        self._demand_own_id(entry, answer)
        self._has_taken = True
        outcome.loaded[entry.kind] += 1
        outcome.created += answer.status == 201

    def _refuse(self, entries: Sequence[Entry], answer: Answer, outcome: Outcome) -> None:
        names = tuple(entry.key for entry in entries)
        outcome.refused.append(Refusal(outcome.name, names, answer.status, issues(answer, self._server.target)))
        self.refused += len(names)

    def _demand_fhir(self, answer: Answer) -> None:
        """Raise OutputError where all is said to be well by something that is no FHIR server: a page to log in, say."""
        if answer.said:
            raise OutputError(f"{self._server.target.base} answers {answer.status} and no FHIR: {answer.said}")

    def _demand_own_id(self, entry: Entry, answer: Answer) -> None:
        """Raise InputError where a resource was put under another id: whatever refers to it would not find it."""
        found = re.findall(rf"(?:^|/){entry.kind}/([A-Za-z0-9.-]+)", answer.location)
        if found and entry.key != f"{entry.kind}/{found[-1]}":
            raise InputError(
                f"{self._server.target.base} has put {entry.key} under an id of its own, {found[-1]}; expected a "
                "server that keeps the ids which clients give"
            )

    def _demand_access(self, answer: Answer) -> None:
        """Raise InputError where a refusal is not about the content of what was sent."""
        self._server.demand_access(answer)
        reason = None if self._has_taken else _ABOUT_ACCESS.get(answer.status)
        if reason is not None:
            told = "; ".join(map(str, issues(answer, self._server.target)))
            raise InputError(
                f"{self._server.target.base} refuses the first request with {answer.status}: "
                f"{reason.format(what=_WHAT[self._mode])}{f' ({told})' if told else ''}"
            )


def requests_of(entries: list[Entry], mode: Mode, batch: int, base: str) -> tuple[int, int]:
    """How many requests to the server at `base` the entries make where nothing goes wrong, and their bytes."""
    if mode == "single":
        steps = list(order.one_by_one(entries))
        asked = sum(not step.is_whole for step in steps)  # whether it is there
        return len(steps) + asked, sum(len(written(step.entry.resource)) for step in steps)
    bodies = [transaction(piece, base) for piece in order.pieces(entries, batch)]
    return len(bodies), sum(map(len, bodies))
