"""What a run has spent and has in flight, and whether its budget allows another request."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from lionproc.engine.budget import Budget
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, Kind

MEMORY = 0.95  # what a reply still counts for after the next one
Verdict: TypeAlias = Literal["send", "wait", "stop"]
Usd: TypeAlias = Callable[[Tokens], "float | None"]
"""The price of tokens in dollars, None where it is not known."""
# A 200 that is no answer, and what a gateway says that waited no longer for the model behind it.
_PERHAPS = frozenset({200, 408, 504, 524})


def may_be_billed(error: CallError) -> bool:
    """Whether the server may have done the work, though no answer came back.

    Args:
        error: How the attempt failed.
    """
    if error.kind is Kind.CONNECTION:
        return error.arrived
    return error.kind is Kind.TIMEOUT or error.status in _PERHAPS


class Outlay:
    """What a run has spent, and what is under way. Lives on the engine's loop.

    An estimate may be off by much, and one that a limit demands (all of `max_tokens`) always is.
    So what is under way is corrected by how far the estimates of the latest replies were off, to
    which the estimates themselves are added as one reply that was as expected.

    Attributes:
        spent: Tokens that were billed, and those of replies that did not count theirs.
        lost: Tokens of attempts that came to nothing and may have been billed.
        pledged: Estimated tokens of what is in flight.
        news: Set when something is back, so that more may leave.
        waiting: How many wait for that.
    """

    __slots__ = ("_in_flight", "_ratios", "_replies", "lost", "news", "pledged", "spent", "waiting")

    def __init__(self) -> None:
        self.spent = self.lost = self.pledged = Tokens()
        self.news = asyncio.Event()
        self._in_flight = self.waiting = 0
        self._replies = 0.0
        self._ratios = (0.0, 0.0)

    def leaves(self, estimate: Tokens) -> None:
        """A request leaves."""
        self._in_flight += 1
        self.pledged = _sum(self.pledged, estimate)

    def is_back(self, estimate: Tokens) -> None:
        """It is back, in whatever way; what it took is told by one of those below."""
        self._in_flight -= 1
        self.news.set()
        self.pledged = _sum(self.pledged, estimate, -1)

    async def wait(self) -> None:
        """Wait until something is back."""
        self.news.clear()
        self.waiting += 1
        try:
            await self.news.wait()
        finally:
            self.waiting -= 1

    def took(self, used: Tokens, estimate: Tokens | None = None) -> None:
        """Tokens were billed.

        Args:
            used: How many.
            estimate: What had been expected, where the server counted an answer.
        """
        self.spent = _sum(self.spent, used)
        if estimate is not None:
            self._replies = self._replies * MEMORY + 1
            read, written = self._ratios
            self._ratios = (
                read * MEMORY + used.input / max(estimate.input, 1),
                written * MEMORY + used.output / max(estimate.output, 1),
            )

    def may_have_taken(self, estimate: Tokens) -> None:
        """An attempt came to nothing, and nobody knows whether it was billed."""
        self.lost = _sum(self.lost, self.corrected(estimate))

    def corrected(self, estimate: Tokens) -> Tokens:
        """An estimate by what is known now."""
        read, written = ((ratio + 1) / (self._replies + 1) for ratio in self._ratios)
        return Tokens(math.ceil(estimate.input * read), math.ceil(estimate.output * written))

    def verdict(
        self,
        budget: Budget,
        estimate: Tokens,
        sent: int,
        usd: Usd,
    ) -> tuple[Verdict, str]:
        """Whether one more may leave.

        Args:
            budget: The bounds.
            estimate: What the next one will probably take.
            sent: Requests sent so far.
            usd: The price of tokens in dollars, None where it is not known.

        Returns:
            `send`; `wait`, as what is in flight may use the budget up; or `stop`, and which
            bound is reached, in words.
        """
        return verdict(budget, [(self, usd)], 0, estimate, sent)


def verdict(
    budget: Budget,
    outlays: Sequence[tuple[Outlay, Usd]],
    number: int,
    estimate: Tokens,
    sent: int,
) -> tuple[Verdict, str]:
    """Whether one more may leave, where several share a budget.

    Args:
        budget: The bounds.
        outlays: What each has spent, and the price of its tokens.
        number: Which of them wants to send.
        estimate: What that will probably take.
        sent: Requests sent so far, of all together.

    Returns:
        As `Outlay.verdict`.
    """
    gone = [(_sum(outlay.spent, outlay.lost), usd) for outlay, usd in outlays]
    reached = budget.reached(usd=_cost(gone), tokens=_total(gone), requests=sent)
    if reached:
        return "stop", reached
    # With nothing in flight one may always try: only replies show what a row really takes.
    if any(outlay._in_flight for outlay, _ in outlays):
        then = []
        for place, (outlay, usd) in enumerate(outlays):
            coming = _sum(outlay.pledged, estimate) if place == number else outlay.pledged
            then.append((_sum(gone[place][0], outlay.corrected(coming)), usd))
        if budget.passed(usd=_cost(then), tokens=_total(then)):
            return "wait", ""
    return "send", ""


def _cost(amounts: Sequence[tuple[Tokens, Usd]]) -> float | None:
    """What tokens cost together, None where a price is not known."""
    total = 0.0
    for tokens, usd in amounts:
        cost = usd(tokens)
        if cost is None:
            return None
        total += cost
    return total


def _total(amounts: Sequence[tuple[Tokens, Usd]]) -> int:
    return sum(tokens.total for tokens, _ in amounts)


def _sum(first: Tokens, second: Tokens, times: int = 1) -> Tokens:
    return Tokens(first.input + times * second.input, first.output + times * second.output)
