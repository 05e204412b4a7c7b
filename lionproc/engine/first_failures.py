"""Whether a run is worth going on with, judged by what became of its first requests.

A question whose answers never fit, a parameter that the model refuses, a schema that the provider
does not take: each row fails in the same way, and each is paid or waited for. So a run is on trial
until its first answer. It stops when enough of its requests, counted in the order they were sent, have
failed in one way and none has brought an answer. The order matters: failures come back sooner than
answers, and a failure counts only when everything that was sent before it is back as well. While the
verdict waits for that, and while enough replies wait to be corrected, nothing new is begun: what one
slow request holds up must not be paid for by all the others.

A refusal of the key or the model may be one of a row, which a firewall does not let through. While
nothing was answered it is believed when a second row is refused too; of a key that has had answers
before, when `MOST_ROWS` were, with which a rerun may begin.

One answer ends the trial, whether it was bought or is in the journal from an earlier run: then
failures are their rows' own.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lionproc.errors import CallError, FirstRowsFailedError, Kind, ServiceDownError

if TYPE_CHECKING:
    from lionproc.engine.request import Event, Reply

# Of a server that is down: the circuit breaker and the retry budget see to these.
_OF_THE_SERVER = frozenset(
    {Kind.CONNECTION, Kind.TIMEOUT, Kind.SERVER_ERROR, Kind.OVERLOADED, Kind.BAD_REPLY}
)


MOST_ROWS = 8
"""Rows that a run may begin with, of a key that has had answers, and that are refused as a bad one
would be: in a rerun they come first, and the other answers are still to be had."""


class FirstOutcomes:
    """What became of the first requests of a run. Lives on the engine's loop.

    Args:
        enough: So many failures of one kind, with no answer among them, end the run; None never.

    Attributes:
        on_trial: True until the first answer.
    """

    def __init__(self, enough: int | None) -> None:
        self.enough = enough
        self._reached = False
        self._unreached = ""
        self._connected = False
        self.on_trial = enough is not None
        self._sent = 0
        self._out: dict[Event, int] = {}  # in the order they were sent
        self._again: dict[Event, int] = {}  # back without an outcome, to be tried again
        self._failed: dict[Kind, list[int]] = {}
        self._doubtful: set[Event] = set()  # had a reply that does not fit
        self._near = False  # enough have failed in one way, but not in order
        self._refused: CallError | None = None  # of the key or the model, and perhaps of a row
        self._asked: list[object] = []  # what was refused
        self._has_paid = False
        self._news = asyncio.Event()

    def sent(self, event: Event) -> None:
        """A request is sent."""
        if not self.on_trial:
            return
        number = self._again.pop(event, None)
        if number is None and event not in self._out:
            number = self._sent
            self._sent += 1
            self._out[event] = number
        elif number is not None:
            self._again[event] = number

    def put_off(self, event: Event) -> None:
        """It is to be tried again later; others are not judged later for that."""
        number = self._out.pop(event, None)
        if number is not None:
            self._again[event] = number
            self._news.set()

    def back(self, reply: Reply) -> None:
        """Something came back, or the connection failed."""
        error = reply.error
        if error is None or error.kind not in {Kind.CONNECTION, Kind.TIMEOUT}:
            self._reached = True
        elif error.kind is Kind.CONNECTION:
            self._unreached = error.message
            self._connected = self._connected or error.arrived

    def doubts(self, event: Event, error: CallError) -> bool:
        """Whether a refusal may be one of its row alone, so that another row is to be asked.

        Args:
            event: What was refused. What asks for another vote on the same is no other row.
            error: What all others would get, if it is not.
        """
        if not error.may_be_of_row:
            return False
        asked = getattr(event.call, "body", event)
        self._refused = self._refused or error
        if asked not in self._asked:
            self._asked.append(asked)
        many = error.status in {401, 402} and not self._has_paid
        return len(self._asked) <= (MOST_ROWS if many else 1)

    def refused(self, errors: Iterable[str]) -> CallError | None:
        """The refusal that nothing has spoken against, at the end of a run.

        Args:
            errors: The kinds of its failures.
        """
        refusals = {Kind.ACCESS, Kind.NOT_FOUND, Kind.QUOTA, Kind.NO_LOGPROBS}
        others = set(errors) - refusals - {Kind.NOT_SENT, Kind.CANCELLED}
        return None if others else self._refused

    def believe_no_refusal(self) -> None:
        """A paid reply came: the key and the model are good, and what was refused is a row."""
        self._has_paid = True
        if self._refused is not None:
            self._refused = None
            self._asked.clear()
            self._news.set()

    def is_over_with(self, event: Event, *, known: bool, counts: bool = True) -> bool:
        """An event is finished. True if the run is not worth going on with.

        Args:
            event: With an answer or an error.
            known: Whether the journal had an answer to anything.
            counts: Whether its failure ends anything; False where others make up for it, or are
                asked before. It counts later on, when they do not any more.
        """
        if not self.on_trial:
            return False
        error = event.error
        if error is not None:
            return self._failed_like_others(event, error, known=known, counts=counts)
        if not event.cached:
            self.on_trial = False
            for store in (self._out, self._again, self._failed, self._doubtful):
                store.clear()
            self._news.set()
        return False

    def _failed_like_others(
        self, event: Event, error: CallError, *, known: bool, counts: bool
    ) -> bool:
        self._doubtful.discard(event)
        self._news.set()
        number = self._out.pop(event, None)
        if number is None:
            number = self._again.pop(event, None)
        if number is None or event.state != "failed" or error.kind in _OF_THE_SERVER:
            return False  # not sent, given up, or no fault of what was asked
        alike = self._failed.setdefault(error.kind, [])
        bisect.insort(alike, number)
        del alike[self.enough :]  # only the first ones matter
        # What the journal has answers to is a good question, unless the key is refused now.
        if self.enough is None or not counts or (known and error.kind is not Kind.FORBIDDEN):
            return False
        self._near = self._near or len(alike) >= self.enough
        first_out = next(iter(self._out.values()), self._sent)
        return sum(number < first_out for number in alike) >= self.enough

    @property
    def holds_back(self) -> bool:
        """True while nothing new is to be asked; what was sent before goes on."""
        if not self.on_trial or self.enough is None:
            return False
        waits = self._near or self._refused is not None
        return len(self._doubtful) >= self.enough or (waits and bool(self._out))

    async def may_correct(self, event: Event) -> None:
        """Wait until this one may be asked again with the reason.

        As long as nothing has been answered only the first `enough` that are out are corrected,
        for each correction costs as much as the question.
        """
        if self.on_trial:
            self._doubtful.add(event)
        while self.on_trial and event in self._out:
            if event in itertools.islice(self._out, self.enough):
                return
            self._news.clear()
            await self._news.wait()

    def stop(self) -> None:
        """The run stops: nobody waits for a verdict any more."""
        self.on_trial = False
        self._news.set()

    def verdict(self, event: Event) -> FirstRowsFailedError:
        """Why the run stops, with one reply and what to change.

        Args:
            event: The latest that failed.
        """
        error = event.error or CallError(Kind.UNEXPECTED, "")
        said = f"One reply was: {error.reply!r}." if error.reply else ""
        parts = (
            (
                f"The first {self.enough:,} requests all failed in the same way ({error.kind}) and none "
                "was answered, so the run stopped."
            ),
            _sentence(error.message),
            said,
            error.hint,
            (
                "Everything that came is kept. To go on all the same: "
                "lp.configure(retry=lp.Retry(first_failures=None)), or retry= of this call."
            ),
        )
        return FirstRowsFailedError(" ".join(part for part in parts if part))

    def unreached(self, errors: Iterable[str], *, known: bool = False) -> ServiceDownError | None:
        """What to say of a run that is at its end and never got through to anybody.

        Where others of its rows had answers before, and connections were made that broke off, it
        may be the fault of the few that were sent: a prompt that a proxy does not take, a reply
        that is no HTTP. A run that raised for them would never give its other rows.

        Args:
            errors: The kinds of its failures.
            known: Whether the journal had an answer to anything.
        """
        told = set(errors) - {Kind.NOT_SENT, Kind.CANCELLED}
        if self._reached or told != {Kind.CONNECTION} or (known and self._connected):
            return None
        return ServiceDownError(
            f"Nothing could be reached. {_sentence(self._unreached)} Check the network, base_url= "
            "and the proxy variables (HTTPS_PROXY, NO_PROXY), then run the same cell again."
        )


def _sentence(text: str) -> str:
    """The message as a sentence of its own."""
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text[:1].upper()}{text[1:]}."
