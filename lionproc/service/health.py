"""How a service does, at one moment: as data and as a card."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lionproc.engine import loop as engine_loop
from lionproc.engine.adapt import REQUESTS, TOKENS
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.limiter import Limiter
from lionproc.service.pipeline_html import card

WINDOW_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A service at one moment.

    Attributes:
        name: Which service.
        state: "idle", "working", "waiting" (the server asked everybody to), "probing" (the
            server fails and is tried one by one) or "stopped" (by an error, see `note`).
        queued: Requests that wait to be sent.
        in_flight: Requests on their way.
        oldest_wait_s: Seconds that the longest waiting one has waited.
        requests_per_minute: Requests that left in the last minute.
        requests_limit: Requests per minute that may leave now, None for no limit.
        tokens_per_minute: Tokens of the last minute.
        tokens_limit: Tokens per minute that may leave now, None for no limit.
        concurrency: Requests that may be in flight now.
        sent: Requests sent so far, retries included.
        retried: Requests sent again.
        throttled: Replies with status 429.
        completed: Finished with an answer.
        failed: Finished without one.
        errors: How many of each kind.
        damaged: Files in the folder that cannot be read.
        note: One line about anything a person should know.
    """

    name: str = ""
    state: str = "idle"
    queued: int = 0
    in_flight: int = 0
    oldest_wait_s: float = 0.0
    requests_per_minute: float = 0.0
    requests_limit: float | None = None
    tokens_per_minute: float = 0.0
    tokens_limit: float | None = None
    concurrency: int = 0
    sent: int = 0
    retried: int = 0
    throttled: int = 0
    completed: int = 0
    failed: int = 0
    errors: Mapping[str, int] = dataclasses.field(default_factory=dict)
    damaged: int = 0
    note: str = ""

    @property
    def error_rate(self) -> float:
        """The share of finished requests that failed, from 0 to 1."""
        finished = self.completed + self.failed
        return self.failed / finished if finished else 0.0

    @property
    def ok(self) -> bool:
        """False when somebody should look: it is stopped or the server fails."""
        return self.state not in {"stopped", "probing"}

    def as_dict(self) -> dict[str, Any]:
        """All of it by name, ready for JSON."""
        return {
            **dataclasses.asdict(self),
            "errors": dict(self.errors),
            "error_rate": self.error_rate,
            "ok": self.ok,
        }

    def lines(self) -> list[tuple[str, str]]:
        """The card's lines: a name and a text."""
        made = [
            ("queue", f"{self.queued:,} waiting, {self.in_flight:,} in flight"),
            ("requests", _rate(self.requests_per_minute, self.requests_limit)),
            ("tokens", _rate(self.tokens_per_minute, self.tokens_limit)),
            ("finished", f"{self.completed:,} answered, {self.failed:,} failed"),
        ]
        if self.oldest_wait_s:
            made.insert(1, ("oldest wait", f"{self.oldest_wait_s:,.1f} s"))
        if self.retried or self.throttled:
            made.append(("again", f"{self.retried:,} retried, {self.throttled:,} refused (429)"))
        if self.errors:
            made.append(("errors", ", ".join(f"{n:,} {kind}" for kind, n in self.errors.items())))
        if self.damaged:
            files = "file" if self.damaged == 1 else "files"
            made.append(("damaged", f"{self.damaged:,} {files} in the folder cannot be read"))
        if self.note:
            made.append(("note", self.note))
        return made

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.lines())
        head = f"{self.name}: {self.state}"
        return "\n".join([head, *(f"  {name:<{width}}  {text}" for name, text in self.lines())])

    def _repr_html_(self) -> str:
        return card(self.name, self.state, self.lines(), good=self.ok)


def _rate(rate: float, limit: float | None) -> str:
    return f"{rate:,.0f} a minute" + (f" of {limit:,.0f}" if limit is not None else ", no limit")


def health_of(
    name: str,
    executor: RateLimitedAPIExecutor,
    endpoint: Limiter | None,
    *,
    opened: int,
    completed: int,
    errors: Mapping[str, int],
    damaged: int,
) -> Health:
    """Look at an engine, from any thread.

    Args:
        name: Whose it is.
        executor: The engine.
        endpoint: The limiter of the endpoint, if it is known yet.
        opened: Requests taken and not finished.
        completed: Requests that ended with an answer.
        errors: Requests that ended without one, by kind.
        damaged: Files that cannot be read.
    """

    def look() -> Health:
        own = executor.limiter
        queued = max(executor.queued, opened - executor.in_flight)
        limiters = [own] if endpoint is None or endpoint is own else [own, endpoint]
        waiting = executor.pending_events
        oldest = min((event.created for event in waiting), default=None)
        holding = max(limiters, key=lambda g: g.holding_s()).hold_note()
        note = holding if executor.fatal is None else str(executor.fatal)
        if executor.fatal is not None:
            state = "stopped"
        elif executor.failing:
            state = "probing"
        elif holding:
            state = "waiting"
        else:
            state = "working" if executor.in_flight or queued else "idle"
        return Health(
            name=name,
            state=state,
            queued=queued,
            in_flight=executor.in_flight,
            oldest_wait_s=0.0 if oldest is None else max(time.time() - oldest, 0.0),
            requests_per_minute=own.per_minute(REQUESTS, WINDOW_S),
            requests_limit=_lowest(limiters, REQUESTS),
            tokens_per_minute=own.per_minute(TOKENS, WINDOW_S),
            tokens_limit=_lowest(limiters, TOKENS),
            concurrency=min(g.concurrency for g in limiters),
            sent=executor.counters.sent,
            retried=executor.counters.retried,
            throttled=executor.counters.throttled,
            completed=completed,
            failed=sum(errors.values()),
            errors=dict(errors),
            damaged=damaged,
            note=note,
        )

    return engine_loop.call(look)


def _lowest(limiters: list[Limiter], lane: str) -> float | None:
    limits = [limit for endpoint in limiters if (limit := endpoint.effective(lane)) is not None]
    return min(limits) if limits else None
