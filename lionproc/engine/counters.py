"""The running counts of an executor: what was sent, what came back, what it used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lionproc.engine.latencies import Latencies
from lionproc.engine.outlay import Outlay, may_be_billed
from lionproc.engine.tokens import Tokens
from lionproc.engine.usage import Saved, plus
from lionproc.errors import CallError, Kind

if TYPE_CHECKING:
    from lionproc.engine.request import Event, Reply

MOST_NAMED = 60  # characters of what a server calls a tier or a model


@dataclass(slots=True)
class WayUse:
    """What was sent one way of several to the same model.

    Attributes:
        sent: Requests that came back.
        answered: Paid replies.
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written.
        usd: What they cost, None where that is not known.
        errors: Requests that failed, by kind.
    """

    sent: int = 0
    answered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0
    errors: Counter[str] = field(default_factory=Counter)


class Counters:
    """What an executor has done so far. Written on the engine's loop, read from anywhere.

    Attributes:
        sent: Attempts that were sent.
        retried: Attempts after the first one of an event, corrections included.
        retries: The same by the kind of error that made them necessary.
        throttled: Attempts that the server refused because of its rate limit.
        prompt_tokens: Tokens read by the model, in answers and in failures that were billed.
        completion_tokens: Tokens written by the model, likewise.
        cached_tokens: Of those read, the ones from the provider's prompt cache.
        cached_told: Replies that told them.
        reasoning_tokens: Of those written, the ones that were thoughts.
        reasoning_told: Replies that told them.
        estimated: Paid replies whose tokens the server counted.
        guessed: Paid replies whose tokens it did not count.
        estimate_off: Sum of the relative errors of our estimates, over the `estimated` replies.
        errors: Finished events without an answer, by the kind of their error.
        outlay: What was spent and is in flight, for a budget, which others may have a part in.
        latencies: How long the paid replies took.
        ways: What was sent each way, where there are several to the same model.
        saved: Dollars that they would have cost more without a prompt cache or a cheaper tier.
    """

    __slots__ = ("cached_tokens", "cached_told", "completion_tokens", "errors", "estimate_off", "estimated", "guessed", "latencies", "outlay", "prompt_tokens", "reasoning_tokens", "reasoning_told", "retried", "retries", "saved", "sent", "throttled", "ways")  # fmt: skip

    def __init__(self, outlay: Outlay | None = None) -> None:
        self.sent = self.retried = self.throttled = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.cached_tokens = self.cached_told = 0
        self.reasoning_tokens = self.reasoning_told = 0
        self.estimated = self.guessed = 0
        self.estimate_off = 0.0
        self.errors: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.outlay = outlay or Outlay()
        self.latencies = Latencies()
        self.saved = Saved()
        self.ways: dict[int, WayUse] = {}

    def sends(self, event: Event) -> None:
        """Count an attempt that is made now."""
        self.sent += 1
        if event.attempts > 1:
            self.retried += 1
            self.retries["" if event.again_for is None else event.again_for.kind] += 1

    def paid(
        self, expected: Tokens, reply: Reply, event: Event | None = None, way: int | None = None
    ) -> Tokens:
        """Count a paid reply.

        Args:
            expected: The tokens that were expected when it was sent.
            reply: What came back.
            event: What it is a reply to, which is told.
            way: Which way it came, where there are several.

        Returns:
            The tokens it used; the expected ones where the server did not count them, because
            what is not known is not nothing.
        """
        used = expected if reply.used is None else reply.used
        known = reply.used is not None and not reply.guessed
        if known:
            self.estimated += 1
            total = used.input + used.output
            off = expected.input + expected.output - total
            self.estimate_off += abs(off) / (total or 1)
        else:
            self.guessed += 1
        usd = self._used(used, reply, event, _by_now(expected, event) if known else None)
        if way is not None:
            use = self.ways.setdefault(way, WayUse())
            use.sent += 1
            use.answered += 1
            self._used_there(use, used, usd)
        return used

    def failed(
        self,
        expected: Tokens,
        error: CallError,
        reply: Reply,
        event: Event | None = None,
        way: int | None = None,
    ) -> None:
        """Count an attempt that failed.

        Args:
            expected: The tokens that were expected when it was sent.
            error: How it failed.
            reply: What came back.
            event: What it was an attempt of, which is told.
            way: Which way it was sent, where there are several.
        """
        if way is not None:
            use = self.ways.setdefault(way, WayUse())
            use.sent += 1
            use.errors[error.kind] += 1
        if reply.used is not None:
            usd = self._used(reply.used, reply, event)
            if way is not None:
                self._used_there(self.ways[way], reply.used, usd)
        elif may_be_billed(error):
            self.outlay.may_have_taken(_by_now(expected, event))
        if error.kind is Kind.RATE_LIMITED:
            self.throttled += 1

    def add(self, other: Counters) -> None:
        """Count what another has counted, but for its outlay, which is for its own budget."""
        self.sent += other.sent
        self.retried += other.retried
        self.throttled += other.throttled
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.cached_tokens += other.cached_tokens
        self.cached_told += other.cached_told
        self.reasoning_tokens += other.reasoning_tokens
        self.reasoning_told += other.reasoning_told
        self.estimated += other.estimated
        self.guessed += other.guessed
        self.estimate_off += other.estimate_off
        self.errors.update(other.errors)
        self.retries.update(other.retries)
        self.latencies = Latencies.together([self.latencies, other.latencies])
        self.saved = self.saved.plus(other.saved)

    @staticmethod
    def _used_there(use: WayUse, tokens: Tokens, usd: float | None) -> None:
        use.prompt_tokens += tokens.input
        use.completion_tokens += tokens.output
        use.usd = plus(use.usd, usd)

    def _priced_by(self, reply: Reply) -> str:
        """What a reply's price depends on, in words: its tier, where its model has a price."""
        tier = "" if reply.usage is None else reply.usage.tier
        if tier and self.outlay.usd(Tokens(1, 1)) is not None:
            return f"the tier {tier[:MOST_NAMED]!r}"
        return f"the model {reply.model[:MOST_NAMED]!r}" if reply.model else "this model"

    def _used(
        self, tokens: Tokens, reply: Reply, event: Event | None, expected: Tokens | None = None
    ) -> float | None:
        """Count tokens that were billed; gives their dollars."""
        usage = reply.usage
        # Whoever looked at the usage knows the price, or that it is not known.
        usd = self.outlay.usd(tokens) if usage is None else reply.usd
        self.outlay.took(tokens, expected, usd, "" if usd is not None else self._priced_by(reply))
        if reply.saved is not None:
            self.saved = self.saved.plus(reply.saved)
        self.prompt_tokens += tokens.input
        self.completion_tokens += tokens.output
        cached = reasoning = None
        if usage is not None:
            cached, reasoning = usage.cached, usage.reasoning
        if cached is not None:
            self.cached_tokens += cached
            self.cached_told += 1
        if reasoning is not None:
            self.reasoning_tokens += reasoning
            self.reasoning_told += 1
        if event is not None:
            event.count(tokens, cached, usd)
            event.unkept_usd = plus(event.unkept_usd, usd)
        return usd


def _by_now(expected: Tokens, event: Event | None) -> Tokens:
    """What a request would be expected to take now, when more is known than when it left.

    The next ones are expected to take as much, and are corrected by how far that is off. By what was
    guessed before the first reply they would be corrected twice: a budget of $1.00 spent $2.79.
    """
    return expected if event is None else event.call.estimate


def told(counted: Sequence[Counters], tokens: str, told_in: str) -> int | None:
    """Tokens of all together, None where no reply told them."""
    known = [each for each in counted if getattr(each, told_in)]
    return sum(getattr(each, tokens) for each in known) if known else None
