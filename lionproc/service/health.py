"""`Health`: the state of a service at one moment, as data and as a card in a notebook."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lionproc.engine import loop as engine_loop
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.limiter import Limiter
from lionproc.engine.tokens import REQUESTS, TOKENS
from lionproc.service.pipeline_html import card

WINDOW_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The state of a service at one moment.

    Attributes:
        name: The service's name.
        state: "idle", "working", "waiting" (the server asked for a pause), "probing" (the
            server fails, and one request at a time tests it) or "stopped" (by an error, see
            `note`).
        queued: Requests that wait to be sent.
        in_flight: Requests that were sent and have no reply yet.
        oldest_wait_s: Seconds that the oldest request in the queue has waited.
        requests_per_minute: Requests sent in the last 60 seconds.
        requests_limit: Requests per minute that may be sent now, None for no limit.
        tokens_per_minute: Tokens used in the last 60 seconds.
        tokens_limit: Tokens per minute that may be used now, None for no limit.
        concurrency: Requests that may be in flight at once now.
        sent: Requests sent so far, retries included.
        retried: Requests sent again.
        throttled: Replies with status 429.
        completed: Requests that ended with an answer.
        failed: Requests that ended without an answer.
        errors: How many failed, by kind of error.
        damaged: Files in the folder that are not valid records.
        note: Why it is waiting or stopped, in one line; else "".
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
        """Whether it needs no attention: it is not stopped, and the server does not fail."""
        return self.state not in {"stopped", "probing"}

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, ready for JSON."""
        return {
            **dataclasses.asdict(self),
            "errors": dict(self.errors),
            "error_rate": self.error_rate,
            "ok": self.ok,
        }

    def lines(self) -> list[tuple[str, str]]:
        """The lines of the card: a label and a text each."""
        lines = [
            ("queue", f"{self.queued:,} waiting, {self.in_flight:,} in flight"),
            ("requests", _rate(self.requests_per_minute, self.requests_limit)),
            ("tokens", _rate(self.tokens_per_minute, self.tokens_limit)),
            ("finished", f"{self.completed:,} answered, {self.failed:,} failed"),
        ]
        if self.oldest_wait_s:
            lines.insert(1, ("oldest wait", f"{self.oldest_wait_s:,.1f} s"))
        if self.retried or self.throttled:
            lines.append(("again", f"{self.retried:,} retried, {self.throttled:,} refused (429)"))
        if self.errors:
            lines.append(("errors", ", ".join(f"{n:,} {kind}" for kind, n in self.errors.items())))
        if self.damaged:
            files = "file" if self.damaged == 1 else "files"
            lines.append(("damaged", f"{self.damaged:,} {files} in the folder cannot be read"))
        if self.note:
            lines.append(("note", self.note))
        return lines

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
    """The state of a service. May be called from any thread.

    Args:
        name: The service's name.
        executor: Its executor.
        endpoint: The limiter of its endpoint, None while there is no connection.
        opened: Requests that were taken and are not finished.
        completed: Requests that ended with an answer.
        errors: Requests that ended without an answer, by kind of error.
        damaged: Files that are not valid records.
    """

    def look() -> Health:
        own = executor.limiter
        queued = max(executor.queued, opened - executor.in_flight)
        limiters = [own] if endpoint is None or endpoint is own else [own, endpoint]
        waiting = executor.pending_events
        oldest = min((event.created for event in waiting), default=None)
        holding = max(limiters, key=lambda limiter: limiter.holding_s()).hold_note()
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
            concurrency=min(limiter.concurrency for limiter in limiters),
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


def _lowest(limiters: list[Limiter], quantity: str) -> float | None:
    limits = [limit for each in limiters if (limit := each.effective(quantity)) is not None]
    return min(limits) if limits else None
