"""What a run has spent and has in flight, and whether its budget allows another request."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Self, TypeAlias

from lionproc.engine.budget import Budget, dollars
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, Kind

MEMORY = 0.95  # what a reply still counts for after the next one
MOST_KNOWN = 1000  # estimates whose dollars are remembered
FIRST = 4  # in flight while no reply has shown what one takes, where a budget might not bear more
LONG = 16_384  # tokens of an answer of a model that thinks
Verdict: TypeAlias = Literal["send", "wait", "stop"]
Usd: TypeAlias = Callable[[Tokens], "float | None"]
"""What a request with so many tokens costs at most, in dollars; None where that is not known."""
NOT_KEPT = "it cannot be kept, as no price is known for"
# What is no answer though it succeeded, and what a gateway says that waited no longer for the model.
_PERHAPS = frozenset({*range(200, 300), 408, 504, 524})


def may_be_billed(error: CallError) -> bool:
    """Whether the server may have done the work, though no answer came back.

    Args:
        error: How the attempt failed.
    """
    if error.kind is Kind.CONNECTION:
        return error.arrived
    return error.kind in {Kind.TIMEOUT, Kind.UNEXPECTED} or error.status in _PERHAPS


class Spending(NamedTuple):
    """What a run elsewhere has spent and has under way, as it is told between processes.

    Attributes:
        usd: Dollars that are spent, or may be.
        tokens: Tokens, likewise.
        pledged_usd: Dollars that what is in flight will probably cost.
        pledged_tokens: Tokens, likewise.
        in_flight: Requests in flight.
        billed: Replies.
        sent: Requests sent.
        pledged_requests: Requests that are for others to send.
    """

    usd: float = 0.0
    tokens: int = 0
    pledged_usd: float = 0.0
    pledged_tokens: int = 0
    in_flight: int = 0
    billed: int = 0
    sent: int = 0
    pledged_requests: int = 0

    def plus(self, other: Spending) -> Spending:
        """Both together."""
        return Spending._make(mine + more for mine, more in zip(self, other, strict=True))

    def share_of_rest(self, budget: Budget, share: float) -> Spending:
        """So much of what a budget leaves, pledged; whole requests are rounded down.

        Args:
            budget: The bounds.
            share: From 0 to 1.
        """
        usd = (budget.usd or 0.0) - self.usd - self.pledged_usd
        tokens = (budget.tokens or 0) - self.tokens - self.pledged_tokens
        requests = (budget.requests or 0) - self.sent - self.pledged_requests
        return Spending(
            pledged_usd=max(usd * share, 0.0),
            pledged_tokens=max(math.floor(tokens * share), 0),
            pledged_requests=max(math.floor(requests * share), 0),
        )

    def given_up(self) -> Spending:
        """What it comes to if nobody hears of what is in flight: that may have been billed."""
        usd, tokens = self.usd + self.pledged_usd, self.tokens + self.pledged_tokens
        return Spending(usd, tokens, billed=self.billed, sent=self.sent)


class Outlay:
    """What a run has spent, and what is under way. Lives on the engine's loop.

    An estimate may be off by much, and one that a limit demands (all of `max_tokens`) always is.
    So what is under way is corrected by how far the estimates of the latest replies were off, to
    which the estimates themselves are added as one reply that was as expected. Dollars are
    corrected in the same way by themselves: what a cache or a cheaper tier saves shows in them
    alone.

    What is expected of answers may be off by a hundred times before the first replies of a run. So
    where a budget would not bear it if all in flight had long ones, few leave at first, and one
    more for each that has come back: by then it is known what they take.

    Args:
        usd: What a request with so many tokens costs.

    Attributes:
        usd: As given.
        spent_usd: What the tokens cost that were billed, as far as it is known.
        unpriced: Replies of which it is not.
        unpriced_of: What has no price, in words: the model or the tier of the first of them.
        lost: Tokens of attempts that came to nothing and may have been billed.
        lost_usd: What they would cost.
        pledged_usd: What they would cost.
        news: Set when something is back, so that more may leave.
        waiting: How many wait for that.
    """

    __slots__ = (
        "_billed",
        "_expected",
        "_in_flight",
        "_pledged_input",
        "_pledged_output",
        "_priced",
        "_ratios",
        "_replies",
        "_spent_input",
        "_spent_output",
        "_usd_ratio",
        "lost",
        "lost_usd",
        "news",
        "pledged_usd",
        "spent_usd",
        "unpriced",
        "unpriced_of",
        "usd",
        "waiting",
    )

    def __init__(self, usd: Usd = lambda _: None) -> None:
        self.usd = usd
        self.lost = Tokens()
        self.unpriced_of = ""
        self._spent_input = self._spent_output = 0
        self._pledged_input = self._pledged_output = 0
        self.spent_usd = self.lost_usd = self.pledged_usd = 0.0
        self.news = asyncio.Event()
        self._expected: dict[Tokens, float] = {}
        self._in_flight = self.waiting = self.unpriced = self._billed = 0
        self._replies = self._priced = 0.0
        self._ratios = (0.0, 0.0)
        self._usd_ratio = 0.0

    @property
    def spent(self) -> Tokens:
        """Tokens that were billed, and those of replies that did not count theirs."""
        return Tokens(self._spent_input, self._spent_output)

    @property
    def pledged(self) -> Tokens:
        """Estimated tokens of what is in flight."""
        return Tokens(self._pledged_input, self._pledged_output)

    def leaves(self, estimate: Tokens) -> None:
        """A request leaves."""
        self._in_flight += 1
        read, written = estimate
        self._pledged_input += read
        self._pledged_output += written
        self.pledged_usd += self._usd_expected(estimate)

    def _usd_expected(self, estimate: Tokens) -> float:
        """The dollars of an estimate, which is asked for when it leaves, is back and is billed."""
        usd = self._expected.get(estimate)
        if usd is None:
            if len(self._expected) >= MOST_KNOWN:
                self._expected.clear()
            usd = self._expected[estimate] = self.usd(estimate) or 0.0
        return usd

    def is_back(self, estimate: Tokens) -> None:
        """It is back, in whatever way; what it took is told by one of those below."""
        self._in_flight -= 1
        self.news.set()
        read, written = estimate
        self._pledged_input -= read
        self._pledged_output -= written
        # Nothing in flight is nothing to the last digit, whatever was added up before.
        left = self.pledged_usd - self._usd_expected(estimate)
        self.pledged_usd = max(left, 0.0) if self._in_flight else 0.0

    def add(self, other: Outlay) -> None:
        """What another one has spent counts here too; nothing of it is under way any more."""
        self._spent_input += other._spent_input
        self._spent_output += other._spent_output
        self.spent_usd += other.spent_usd
        self.unpriced += other.unpriced
        self.unpriced_of = self.unpriced_of or other.unpriced_of
        self.lost = _sum(self.lost, other.lost)
        self.lost_usd += other.lost_usd

    @classmethod
    def of(cls, spending: Spending, usd: Usd) -> Self:
        """One that stands for runs elsewhere.

        Args:
            spending: What they have told.
            usd: What a request with so many tokens costs there.
        """
        made = cls(usd)
        made.spent_usd, made._spent_input = spending.usd, spending.tokens
        made.pledged_usd, made._pledged_input = spending.pledged_usd, spending.pledged_tokens
        made._in_flight, made._billed = spending.in_flight, spending.billed
        return made

    @property
    def spending(self) -> Spending:
        """What there is to tell of it elsewhere, but for the requests that were sent."""
        (usd, tokens), pledged = gone([self]), self.corrected(self.pledged).total
        pledged_usd = self.corrected_usd(self.pledged_usd)
        return Spending(usd, tokens, pledged_usd, pledged, self._in_flight, self._billed)

    async def wait(self) -> None:
        """Wait until something is back."""
        self.news.clear()
        self.waiting += 1
        try:
            await self.news.wait()
        finally:
            self.waiting -= 1

    def took(
        self,
        used: Tokens,
        estimate: Tokens | None = None,
        usd: float | None = None,
        of: str = "this model",
    ) -> None:
        """Tokens were billed.

        Args:
            used: How many.
            estimate: What would be expected now, where the server counted an answer.
            usd: What they cost in dollars, None where that is not known.
            of: What has no price then, in words.
        """
        read, written = used
        self._billed += 1
        self._spent_input += read
        self._spent_output += written
        if usd is None:
            self.unpriced += 1
            self.unpriced_of = self.unpriced_of or of
        else:
            self.spent_usd += usd
            expected = None if estimate is None else self._usd_expected(estimate)
            if expected:
                self._priced = self._priced * MEMORY + 1
                self._usd_ratio = self._usd_ratio * MEMORY + usd / expected
        if estimate is not None:
            self._replies = self._replies * MEMORY + 1
            of_read, of_written = self._ratios
            self._ratios = (
                of_read * MEMORY + read / (estimate.input or 1),
                of_written * MEMORY + written / (estimate.output or 1),
            )

    def may_have_taken(self, estimate: Tokens) -> None:
        """An attempt came to nothing, and nobody knows whether it was billed."""
        self.lost = _sum(self.lost, self.corrected(estimate))
        self.lost_usd += self.corrected_usd(self.usd(estimate) or 0.0)

    def corrected_usd(self, usd: float) -> float:
        """The dollars of an estimate by what is known now."""
        return usd * (self._usd_ratio + 1) / (self._priced + 1)

    def corrected(self, estimate: Tokens) -> Tokens:
        """An estimate by what is known now."""
        read, written = ((ratio + 1) / (self._replies + 1) for ratio in self._ratios)
        return Tokens(math.ceil(estimate.input * read), math.ceil(estimate.output * written))

    def read(self, estimate: Tokens) -> tuple[float, int]:
        """Dollars and tokens of what a request makes the model read, by what is known now."""
        read = Tokens(estimate.input, 0)
        return self.corrected_usd(self.usd(read) or 0.0), self.corrected(read).total

    def verdict(
        self,
        budget: Budget,
        estimate: Tokens,
        sent: int,
        *,
        corrects: bool = False,
    ) -> tuple[Verdict, str]:
        """Whether one more may leave.

        Args:
            budget: The bounds.
            estimate: What the next one will probably take.
            sent: Requests sent so far.
            corrects: Whether it asks again for an answer that would not do.

        Returns:
            `send`; `wait`, as what is in flight may use the budget up; or `stop`, and which
            bound is reached, in words; a correction of which the reading takes all that is left
            reaches it.
        """
        return verdict(budget, [self], 0, estimate, sent, corrects=corrects)


def verdict(
    budget: Budget,
    outlays: Sequence[Outlay],
    number: int,
    estimate: Tokens,
    sent: int,
    *,
    corrects: bool = False,
) -> tuple[Verdict, str]:
    """Whether one more may leave, where several share a budget.

    Args:
        budget: The bounds.
        outlays: What each has spent.
        number: Which of them wants to send.
        estimate: What that will probably take.
        sent: Requests sent so far, of all together.
        corrects: Whether it asks again for an answer that would not do.

    Returns:
        As `Outlay.verdict`.
    """
    usd, tokens = gone(outlays)
    # What a correction quotes is known, and nothing is to be learned of it by trying.
    more, more_tokens = outlays[number].read(estimate) if corrects else (0.0, 0)
    reached = budget.reached(usd=usd + more, tokens=tokens + more_tokens, requests=sent)
    if reached:
        return "stop", reached
    if not_kept := unkept(budget, outlays):
        return "stop", not_kept
    # With nothing in flight one may always try: only replies show what a row really takes.
    if any(outlay._in_flight for outlay in outlays):
        if _might_pass(budget, outlays, number, estimate):
            return "wait", ""
        for place, outlay in enumerate(outlays):
            mine = place == number
            coming = _sum(outlay.pledged, estimate) if mine else outlay.pledged
            more = (outlay.usd(estimate) or 0.0) if mine else 0.0
            tokens += outlay.corrected(coming).total
            usd += outlay.corrected_usd(outlay.pledged_usd + more)
        if budget.passed(usd=usd, tokens=tokens):
            return "wait", ""
    return "send", ""


def unkept(budget: Budget, outlays: Sequence[Outlay]) -> str:
    """The bound in dollars that cannot be kept, in words, and why; empty where it can."""
    of = next((outlay.unpriced_of for outlay in outlays if outlay.unpriced), "")
    return "" if budget.usd is None or not of else f"{dollars(budget.usd)} ({NOT_KEPT} {of})"


def _might_pass(budget: Budget, outlays: Sequence[Outlay], number: int, estimate: Tokens) -> bool:
    """Whether long answers to what is in flight would be too much, and few are known yet."""
    own = outlays[number]
    in_flight = [outlay._in_flight for outlay in outlays]
    known = sum(outlay._billed for outlay in outlays)
    if own._in_flight < FIRST + own._billed and sum(in_flight) < FIRST + known:
        return False
    in_flight[number] += 1
    long = Tokens(estimate.input, LONG)
    usd, tokens = gone(outlays)
    for outlay, count in zip(outlays, in_flight, strict=True):
        tokens += count * long.total
        usd += count * (outlay.usd(long) or 0.0) if count else 0.0
    return budget.passed(usd=usd, tokens=tokens)


def gone(outlays: Sequence[Outlay]) -> tuple[float, int]:
    """Dollars and tokens that are spent, or may be, of all together."""
    usd = sum(outlay.spent_usd + outlay.lost_usd for outlay in outlays)
    return usd, sum(outlay.spent.total + outlay.lost.total for outlay in outlays)


def _sum(first: Tokens, second: Tokens) -> Tokens:
    return Tokens(first.input + second.input, first.output + second.output)
