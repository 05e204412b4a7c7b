"""What a run looks like from outside: one frozen snapshot, read by progress, panel and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

State = Literal["running", "paused", "stopping", "stopped", "done", "failed"]
LearnedFrom = Literal["", "headers", "refusals", "earlier run"]


class MemberUse(NamedTuple):
    """What one member of a model that is made of several did.

    Attributes:
        member: What it is called.
        answered: Rows that have its answer; of a `Pool`, whose answers are those of all members,
            the replies that it gave in this run.
        requests: Requests sent to it.
        prompt_tokens: Tokens that it read.
        completion_tokens: Tokens that it wrote.
        usd: What that cost, None where it is not known.
        errors: Requests that it had no answer to, by kind, wherever those rows went then.
        stage: The stage that it belongs to, where there are several.
        confidence: How sure it was on average of the answers that stand, in a cascade; None where
            nobody asked.
    """

    member: str
    answered: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    errors: Mapping[str, int]
    stage: str = ""
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStats:
    """A run at one moment.

    A *row* is one cell to fill; a *request* is one HTTP call. Equal rows share a request,
    and a request that is retried or asked again is counted each time it is sent.

    Attributes:
        state: Where the run is in its life.
        rows: Rows of the whole run.
        answered: Rows with an answer, cached ones included.
        cached: Rows answered from the journal without a request.
        skipped: Rows not sent because a cell was missing.
        failed: Rows that ended in an error.
        sent: Requests sent, retries included.
        retried: Requests sent again after a failure or a wrong shape.
        throttled: Replies with status 429.
        in_flight: Requests on their way now.
        queued: Requests made and waiting to be sent.
        prompt_tokens: Tokens read by the model in this run, as the server counted them.
        completion_tokens: Tokens written by the model in this run.
        cached_tokens: Of those read, the ones that came from the provider's prompt cache; None
            where no reply told.
        reasoning_tokens: Of those written, the ones that were thoughts; None where no reply told.
        guessed: Replies whose tokens the server did not count; they are in the tokens above by an
            estimate.
        estimate_error: Mean relative error of the token estimates, 0.1 for 10 %.
        usd: What was bought in this run cost, or None where the price is not known.
        unpriced: What no price is known for, where that is why: "the tier 'fast'".
        usd_of_answers: What the answers cost when they were bought, in this run or an earlier one;
            equal questions count once. None where that is not known.
        budget: The bound that is used most, in words; empty where there is none.
        budget_used: The share of it that is used, 0.8 for 80 %; None where there is no bound.
        began_at: When the run started, in seconds since 1970 (UTC); None before that.
        elapsed_s: Seconds since the run started, pauses included.
        requests_per_minute: Requests sent in the last 60 s; in a run's first minute, what a
            minute at its rate would come to, at most what the limit allows.
        tokens_per_minute: The same of tokens.
        requests_limit: The requests per minute that are allowed now, None for no limit.
        tokens_limit: The tokens per minute that are allowed now, None for no limit.
        pace: Requests per minute that the server has shown to take, where that is less than
            the limits; None otherwise.
        learned_requests_per_minute: Requests per minute that the server takes, by what it said or
            by what was measured; None where nothing was learned.
        learned_from: How that is known: "headers", "refusals" or "earlier run"; empty where
            nothing was learned.
        limits_inherited: True where the limits are those that an earlier run was given, and this
            one was given none.
        limit_used: The share of what the limits allowed that left while there was work, 0.98
            for 98 %; of the limit that bound most. None where there was no limit, or no time
            to judge it.
        concurrency: How many requests may be in flight now.
        holding_s: Seconds for which everybody waits after a refusal, as the server asked or, where
            it named no time, as is usual.
        note: One line about anything a person should know ("server asked to wait 12 s").
        partitions: How many partitions are done and under way, of a run on a cluster; else empty.
        errors: How many rows failed of each kind.
        members: What each member of a model that is made of several did; empty for a single one.
    """

    state: State = "running"
    rows: int = 0
    answered: int = 0
    cached: int = 0
    skipped: int = 0
    failed: int = 0
    sent: int = 0
    retried: int = 0
    throttled: int = 0
    in_flight: int = 0
    queued: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    guessed: int = 0
    estimate_error: float = 0.0
    usd: float | None = None
    unpriced: str = ""
    usd_of_answers: float | None = None
    budget: str = ""
    budget_used: float | None = None
    began_at: float | None = None
    elapsed_s: float = 0.0
    requests_per_minute: float = 0.0
    tokens_per_minute: float = 0.0
    requests_limit: float | None = None
    tokens_limit: float | None = None
    pace: float | None = None
    learned_requests_per_minute: float | None = None
    learned_from: LearnedFrom = ""
    limits_inherited: bool = False
    limit_used: float | None = None
    members: tuple[MemberUse, ...] = ()
    concurrency: int = 0
    holding_s: float = 0.0
    note: str = ""
    partitions: str = ""
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def finished(self) -> int:
        """Rows that need nothing more: answered, skipped or failed."""
        return self.answered + self.skipped + self.failed

    @property
    def left(self) -> int:
        """Rows still to come."""
        return max(self.rows - self.finished, 0)

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def eta_s(self) -> float | None:
        """Seconds until the end at the pace so far, None while that is not known."""
        bought = self.finished - self.cached - self.skipped
        if self.left == 0:
            return 0.0
        return self.left * self.elapsed_s / bought if bought > 0 and self.elapsed_s > 0 else None


class LimitUse:
    """How much of what the limits allowed a run has used, while it had work for them."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._allowed = [0.0, 0.0]  # requests, tokens
        self._used = [0.0, 0.0]

    def add(self, before: RunStats, now: RunStats) -> None:
        """Count the time between two snapshots, if requests were waiting all along."""
        if not (before.state == now.state == "running" and before.queued and now.queued):
            return
        seconds = now.elapsed_s - before.elapsed_s
        self._seconds += seconds
        rates = (
            (before.requests_limit, now.sent - before.sent),
            (before.tokens_limit, now.tokens - before.tokens),
        )
        for place, (limit, used) in enumerate(rates):
            if limit is not None:
                self._allowed[place] += limit * seconds / 60
                self._used[place] += used

    @property
    def share(self) -> float | None:
        """The share used of the limit that bound most, at most 1.0; None before a second."""
        if self._seconds < 1.0:
            return None
        shares = [
            used / allowed
            for used, allowed in zip(self._used, self._allowed, strict=True)
            if allowed
        ]
        return min(max(shares), 1.0) if shares else None
