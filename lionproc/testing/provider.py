"""A provider without sockets, for the virtual clock: five minutes against it take a second.

It judges as the test server does, with the same limits, and shows what no server on loopback can in
a reasonable time: limits that change, a neighbour who takes a part of them, a model that only gets
slower. Everything takes its time from the running loop, so it is the same in every run.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal

from lionproc.seeded_random import unit
from lionproc.testing.headers import HeaderStyle, RetryStyle, limit_headers, retry_headers
from lionproc.testing.limits import Limit, Meter

__all__ = ["Provider", "Said"]

Pairs = tuple[tuple[str, str], ...]
_TOO_MANY = "Rate limit reached for requests."
_CROWDED = "Too many concurrent requests."


@dataclass(frozen=True, slots=True)
class Said:
    """What came back.

    Attributes:
        status: 200 or 429.
        headers: Names and values.
        message: The words of a refusal.
    """

    status: int
    headers: Mapping[str, str]
    message: str = ""


@dataclass(slots=True)
class Provider:
    """Admits or refuses, and takes its time.

    Args:
        limit: Requests per minute, None for none.
        latency_s: Seconds of an answer, from and to.
        refusal_s: Seconds of a refusal, from and to.
        arrival_s: Seconds until a request is judged, from and to.
        retry: How a refusal says when to come again; "message" says it in words.
        retry_s: What it says of the true seconds, when that is not the truth.
        headers: Rate-limit headers on every reply.
        refuse_first: So many requests are refused, whatever the limit.
        stray: The share of requests that are refused at random.
        changes: Limits that take the place of the first, by the second.
        slots: Requests that are worked on at full speed; more at once slow each other down.
        at_once: Requests that are worked on at all; one more is refused, which asks for a wait of
            `retry_s(1.0)`.
        seed: Decides what is random.
    """

    limit: Limit | None = None
    _: KW_ONLY
    latency_s: tuple[float, float] = (0.2, 0.8)
    refusal_s: tuple[float, float] = (0.02, 0.06)
    arrival_s: tuple[float, float] = (0.005, 0.015)
    retry: RetryStyle | Literal["message"] = "none"
    retry_s: Callable[[float], float] = float
    headers: HeaderStyle | None = None
    refuse_first: int = 0
    stray: float = 0.0
    changes: Mapping[float, Limit] = field(default_factory=dict)
    slots: int | None = None
    at_once: int | None = None
    seed: int = 0
    asked: int = 0
    refused: int = 0
    answered_at: list[float] = field(default_factory=list)

    _meter: Meter | None = field(default=None, init=False)
    _left: deque[tuple[float, Limit]] = field(default_factory=deque, init=False)
    _taken: deque[float] = field(default_factory=deque, init=False)
    _model: Model | None = field(default=None, init=False)
    _in_flight: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._left = deque(sorted(self.changes.items()))
        self._meter = None if self.limit is None else self.limit.meter()
        self._model = None if self.slots is None else Model(self.slots)

    async def ask(self) -> Said:
        """One request, from its leaving to the reply."""
        n = self.asked
        self.asked += 1
        await asyncio.sleep(self._between(self.arrival_s, n, 1))
        now = asyncio.get_running_loop().time()
        crowded = self.at_once is not None and self._in_flight >= self.at_once
        wait_s = 1.0 if crowded else self.wait_s(now)
        if n < self.refuse_first or wait_s > 0 or unit(self.seed, n, stream=2) < self.stray:
            self.refused += 1
            said = self._no(now, wait_s, _CROWDED if crowded else _TOO_MANY)
            await asyncio.sleep(self._between(self.refusal_s, n, 3))
            return said
        self.take(now)
        headers = dict(self._state(now))
        work_s = self._between(self.latency_s, n, 4)
        self._in_flight += 1
        try:
            await (asyncio.sleep(work_s) if self._model is None else self._model.work(work_s))
        finally:
            self._in_flight -= 1
        self.answered_at.append(asyncio.get_running_loop().time())
        return Said(200, headers)

    def wait_s(self, now: float) -> float:
        """Seconds until the limit admits a request, 0.0 for now. For who knows everything."""
        while self._left and self._left[0][0] <= now:
            self.limit = self._left.popleft()[1]
            self._meter = self.limit.meter()
            for then in self._taken:
                self._meter.take(then, 1)
        return 0.0 if self._meter is None else self._meter.wait_s(now, 1)

    def take(self, now: float) -> None:
        """Count a request that is admitted."""
        if self._meter is not None:
            self._meter.take(now, 1)
            self._taken.append(now)
            while self._taken[0] < now - 60:
                self._taken.popleft()

    def _no(self, now: float, wait_s: float, message: str) -> Said:
        told_s = self.retry_s(wait_s)
        headers = self._state(now)
        if self.retry == "message":
            message += f" Please try again in {told_s:.3f}s."
        else:
            headers += retry_headers(self.retry, told_s)
        return Said(429, dict(headers), message)

    def _state(self, now: float) -> Pairs:
        if self.headers is None or self._meter is None or self.limit is None:
            return ()
        return limit_headers(self.headers, [(self.limit, self._meter)], now)

    def _between(self, ends: tuple[float, float], n: int, stream: int) -> float:
        return ends[0] + (ends[1] - ends[0]) * unit(self.seed, n, stream=stream)


class Model:
    """Work that is shared by all who are in it; beyond `slots` all together get less done."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._done_s = 0.0  # work that each who is in has got done since the beginning
        self._at = 0.0
        self._in: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    async def work(self, seconds: float) -> None:
        """Wait until so much is done, alone it would be so many seconds."""
        loop = asyncio.get_running_loop()
        self._advance(loop.time())
        end: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._in, (self._done_s + seconds, next(self._numbers), end))
        self._plan(loop)
        await end

    def _speed(self) -> float:
        count = len(self._in)
        return 1.0 if count <= self._slots else (self._slots / count) ** 1.5

    def _advance(self, now: float) -> None:
        self._done_s += (now - self._at) * self._speed()
        self._at = now

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._in:
            left_s = max(self._in[0][0] - self._done_s, 0.0) / self._speed()
            self._timer = loop.call_later(left_s, self._end, loop)

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        self._advance(loop.time())
        while self._in and self._in[0][0] <= self._done_s + 1e-9:
            end = heapq.heappop(self._in)[2]
            if not end.done():
                end.set_result(None)
        self._plan(loop)
