"""What the test server saw: counters, the times of arrivals, the last requests."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import orjson

from lionproc.errors import ConfigurationError
from lionproc.testing.connection import Reply
from lionproc.testing.faults import HARMLESS
from lionproc.testing.limits import Charge
from lionproc.testing.request_parser import Request, headers_of

__all__ = ["Counters", "Exchange", "Recorded", "Recorder", "Which", "worst_window"]

Which = Literal["arrived", "admitted"]
ARRIVALS_KEPT = 1_000_000  # 17 bytes each
ANSWERS_KEPT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """The server at one moment.

    Attributes:
        total: Requests to answer that came in, refused ones included.
        ok: Good replies with status 200 that left whole.
        admitted: Requests that passed the key and the limits.
        refused: Requests that a limit refused with 429; the fault "429" is not among them.
        by_status: Replies of each status; those broken off on purpose have none.
        by_fault: How often each fault was played.
        in_flight: Requests that wait for their reply now.
        peak_in_flight: The most that ever waited at once.
        abandoned: Requests whose client left before the reply.
        connections: Connections ever opened.
        open_connections: Connections open now.
        prompt_tokens: Tokens of the prompts of good replies.
        completion_tokens: Tokens of the answers of good replies.
        duplicates: Bodies that came again after they had got a good reply.
        redirects_followed: Requests that came by the address the fault "redirect" points to.
        per_second: Requests admitted in each second since the first request.
    """

    total: int = 0
    ok: int = 0
    admitted: int = 0
    refused: int = 0
    by_status: Mapping[int, int]
    by_fault: Mapping[str, int]
    in_flight: int = 0
    peak_in_flight: int = 0
    abandoned: int = 0
    connections: int = 0
    open_connections: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    duplicates: int = 0
    redirects_followed: int = 0
    per_second: tuple[int, ...] = ()

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Counters:
        """Counters that travelled as JSON."""
        by_status = {int(status): n for status, n in data.pop("by_status").items()}
        per_second = tuple(data.pop("per_second"))
        return cls(by_status=by_status, per_second=per_second, **data)


@dataclass(frozen=True)
class Recorded:
    """One request as the server saw it.

    Attributes:
        arrived_s: When it was read whole, on `time.monotonic()`.
        method: "POST".
        path: The target, with its query.
        raw_head: Request line and headers as sent.
        raw_body: The body as sent.
        status: Status of the reply; None while it waits or if it was broken off.
        fault: Name of the fault that was played, None for none.
        admitted: Whether it passed the key and the limits.
    """

    arrived_s: float
    method: str
    path: str
    raw_head: bytes
    raw_body: bytes
    status: int | None
    fault: str | None
    admitted: bool

    @cached_property
    def headers(self) -> dict[str, str]:
        """The headers, names in lower case."""
        return headers_of(self.raw_head)

    @cached_property
    def body(self) -> Any:
        """The body parsed as JSON.

        Raises:
            ValueError: It is no JSON.
        """
        return orjson.loads(self.raw_body)


class Exchange:
    """A request and what becomes of it. Mutable; lives on the server's loop only."""

    __slots__ = (
        "admitted",
        "arrived_s",
        "connection",
        "fault",
        "in_slot",
        "index",
        "latency_s",
        "open",
        "reply",
        "request",
        "status",
        "timer",
        "tokens",
        "under_way",
    )

    def __init__(self, request: Request, arrived_s: float, connection: Any) -> None:
        self.request, self.arrived_s, self.connection = request, arrived_s, connection
        self.index = 0  # among the arrivals
        self.admitted, self.open, self.in_slot = False, True, False
        self.under_way = False  # and counts as one of those `at_once`
        self.status: int | None = None
        self.fault: str | None = None
        self.tokens: tuple[int, int] | None = None
        self.latency_s = 0.0
        self.reply: Reply | None = None
        self.timer: Any = None

    def recorded(self) -> Recorded:
        """A frozen copy for the user."""
        request = self.request
        return Recorded(
            arrived_s=self.arrived_s,
            method=request.method,
            path=request.path,
            raw_head=request.head,
            raw_body=request.body,
            status=self.status,
            fault=self.fault,
            admitted=self.admitted,
        )


class Recorder:
    """All counting of one server.

    Args:
        record: How many of the last requests are kept whole.
    """

    def __init__(self, record: int) -> None:
        self.exchanges: deque[Exchange] = deque(maxlen=record)
        self.total = self.ok = self.admitted = self.refused = 0
        self.in_flight = self.peak_in_flight = self.abandoned = 0
        self.connections = self.open_connections = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.duplicates = self.redirects_followed = 0
        self.by_status: Counter[int] = Counter()
        self.by_fault: Counter[str] = Counter()
        self.per_second: list[int] = []
        self._first_s = math.nan
        self._answered: dict[bytes, None] = {}
        self.times = array("d")
        self.input_tokens = array("q")
        self.output_tokens = array("q")
        self.passed = bytearray()
        self._forgotten = 0

    def arrived(self, exchange: Exchange) -> None:
        """Count a request that came in."""
        self.total += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        if self.exchanges.maxlen:
            self.exchanges.append(exchange)
        if exchange.request.body and _digest(exchange) in self._answered:
            self.duplicates += 1
        if len(self.times) >= ARRIVALS_KEPT:
            half = ARRIVALS_KEPT // 2
            for column in (self.times, self.input_tokens, self.output_tokens, self.passed):
                del column[:half]
            self._forgotten += half
        exchange.index = self._forgotten + len(self.times)
        self.times.append(exchange.arrived_s)
        self.input_tokens.append(0)
        self.output_tokens.append(0)
        self.passed.append(0)

    def charged(self, exchange: Exchange, charge: Charge) -> None:
        """Note what a request costs under the limits."""
        at = exchange.index - self._forgotten
        if at >= 0:
            self.input_tokens[at], self.output_tokens[at] = (
                charge.input_tokens,
                charge.output_tokens,
            )

    def admit(self, exchange: Exchange) -> None:
        """Count a request that passed the limits."""
        exchange.admitted = True
        self.admitted += 1
        at = exchange.index - self._forgotten
        if at >= 0:
            self.passed[at] = 1
        if not self.per_second:
            self._first_s = self.times[0]
        second = int(exchange.arrived_s - self._first_s)
        while len(self.per_second) <= second:
            self.per_second.append(0)
        self.per_second[second] += 1

    def replied(self, exchange: Exchange, status: int | None) -> None:
        """Count a reply that left, or was broken off on purpose (status None)."""
        self.in_flight -= 1
        exchange.status = status
        if status is None:
            return
        self.by_status[status] += 1
        if status == 200 and exchange.tokens and exchange.fault in HARMLESS:
            self.ok += 1
            self.prompt_tokens += exchange.tokens[0]
            self.completion_tokens += exchange.tokens[1]
            self._answered[_digest(exchange)] = None
            if len(self._answered) > ANSWERS_KEPT:
                del self._answered[next(iter(self._answered))]

    def left(self) -> None:
        """Count a client that left before its reply."""
        self.in_flight -= 1
        self.abandoned += 1

    def admitted_since(self, then: float) -> list[tuple[float, Charge]]:
        """Time and cost of what was admitted after a moment, oldest first."""
        found: list[tuple[float, Charge]] = []
        for at in range(len(self.times) - 1, -1, -1):
            if self.times[at] <= then:
                break
            if self.passed[at]:
                charge = Charge(self.input_tokens[at], self.output_tokens[at])
                found.append((self.times[at], charge))
        return found[::-1]

    def snapshot(self) -> dict[str, Any]:
        """The fields of `Counters`."""
        names = [name for name in Counters.__slots__ if not name.startswith("by_")]
        return {name: getattr(self, name) for name in names} | {
            "by_status": dict(self.by_status),
            "by_fault": dict(self.by_fault),
            "per_second": tuple(self.per_second),
        }

    def worst_window(self, window_s: float, what: str, which: Which) -> int:
        """See `Server.worst_window`."""
        if what not in {"requests", "tokens", "input_tokens", "output_tokens"}:
            raise ConfigurationError(
                f"what= is requests, tokens, input_tokens or output_tokens, not {what!r}."
            )
        if which not in {"arrived", "admitted"}:
            raise ConfigurationError(f'which= is "arrived" or "admitted", not {which!r}.')
        amounts: list[int] = [1] * len(self.times)
        if what != "requests":
            columns = {
                "tokens": (self.input_tokens, self.output_tokens),
                "input_tokens": (self.input_tokens,),
                "output_tokens": (self.output_tokens,),
            }[what]
            amounts = [sum(row) for row in zip(*columns, strict=True)]
        if which == "admitted":
            amounts = [a * p for a, p in zip(amounts, self.passed, strict=True)]
        return worst_window(self.times, amounts, window_s)


def _digest(exchange: Exchange) -> bytes:
    return hashlib.blake2b(exchange.request.body, digest_size=16).digest()


def worst_window(times: array[float], amounts: list[int], window_s: float) -> int:
    """The largest sum of amounts in any window [t, t + window_s).

    Args:
        times: Seconds, ascending.
        amounts: What happened at each of them.
        window_s: Length of the window in seconds.

    Returns:
        The largest sum, 0 if nothing happened.

    Example:
        >>> worst_window(array("d", [0.0, 0.5, 1.0]), [1, 1, 1], 1.0)
        2
    """
    worst = running = first = 0
    for time, amount in zip(times, amounts, strict=True):
        running += amount
        while time - times[first] >= window_s:
            running -= amounts[first]
            first += 1
        worst = max(worst, running)
    return worst
