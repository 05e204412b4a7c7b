"""Rate limits as providers enforce them: token bucket, rolling window, fixed window.

A limit is a frozen description; `Limit.meter()` makes the state that judges with it. Meters are
given the time, so they are tested without waiting.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lionproc.errors import LimitsError

__all__ = ["Charge", "FixedWindow", "Limit", "Meter", "RollingWindow", "TokenBucket", "What"]

What = Literal["requests", "tokens", "input_tokens", "output_tokens"]
KINDS: tuple[What, ...] = ("requests", "tokens", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request costs in each currency.

    Attributes:
        input_tokens: Tokens of the prompt.
        output_tokens: Tokens set aside for the answer, or its true tokens.
    """

    input_tokens: int
    output_tokens: int

    def of(self, what: What) -> int:
        """The amount in one currency."""
        if what == "requests":
            return 1
        if what == "tokens":
            return self.input_tokens + self.output_tokens
        return self.input_tokens if what == "input_tokens" else self.output_tokens


class Meter(Protocol):
    """The state of one limit."""

    def wait_s(self, now: float, amount: int) -> float:
        """Seconds until `amount` would be admitted: 0 for now, infinity for never."""

    def take(self, now: float, amount: int) -> None:
        """Count `amount`, whether or not there was room."""

    def remaining(self, now: float) -> int:
        """How much would be admitted now."""

    def reset_s(self, now: float) -> float:
        """Seconds until everything is available again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A rate in exactly one currency, per minute.

    Args:
        requests: Requests per minute.
        tokens: Tokens per minute, prompt and answer.
        input_tokens: Tokens of prompts per minute, counted apart as Anthropic does.
        output_tokens: Tokens of answers per minute, counted apart as Anthropic does.

    Raises:
        LimitsError: None or several of these, or one that is not above 0.
    """

    requests: float | None = None
    tokens: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None

    def __post_init__(self) -> None:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise LimitsError(
                f"{type(self).__name__} needs exactly one of {', '.join(KINDS)}; "
                f"give two limits to limit two things."
            )
        if not 0 < self.per_minute < math.inf:
            raise LimitsError(f"{given[0]} must be a number above 0, it is {self.per_minute}.")

    @property
    def what(self) -> What:
        """The currency."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def per_minute(self) -> float:
        """The rate."""
        return float(getattr(self, self.what))

    def meter(self) -> Meter:
        """A fresh state of this limit."""
        raise NotImplementedError

    def to_json(self) -> dict[str, object]:
        """The limit as plain JSON, read back by `from_json`."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {"kind": type(self).__name__} | {k: v for k, v in fields.items() if v is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBucket(Limit):
    """A bucket that refills steadily and holds `burst_s` seconds' worth.

    Args:
        requests: Requests per minute, or one of the other currencies.
        tokens: See `Limit`.
        input_tokens: See `Limit`.
        output_tokens: See `Limit`.
        burst_s: Size of the bucket in seconds of its rate; it starts full.

    Example:
        >>> meter = TokenBucket(requests=60, burst_s=2).meter()
        >>> meter.take(0.0, 1), meter.take(0.0, 1), meter.wait_s(0.0, 1)
        (None, None, 1.0)
    """

    burst_s: float = 10.0

    def meter(self) -> Meter:
        """A full bucket."""
        rate = self.per_minute / 60
        return _Bucket(rate, max(rate * self.burst_s, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window(Limit):
    window_s: float = 60.0

    def __post_init__(self) -> None:
        Limit.__post_init__(self)  # super() needs __class__, which a slotted dataclass replaces
        if not self.window_s > 0:
            raise LimitsError(f"window_s must be above 0 seconds, it is {self.window_s}.")

    @property
    def capacity(self) -> int:
        """How much fits into one window, at least 1."""
        return max(math.floor(self.per_minute * self.window_s / 60 + 1e-9), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingWindow(_Window):
    """At most the limit in any window of `window_s` seconds, wherever it starts.

    Args:
        requests: Requests per minute, or one of the other currencies.
        tokens: See `Limit`.
        input_tokens: See `Limit`.
        output_tokens: See `Limit`.
        window_s: Length of the window; the limit stays per minute and is scaled, so
            `RollingWindow(requests=600, window_s=1)` admits 10 in any second, as Azure judges.

    Example:
        >>> meter = RollingWindow(requests=60, window_s=1).meter()
        >>> meter.take(0.0, 1), meter.wait_s(0.25, 1), meter.wait_s(1.0, 1)
        (None, 0.75, 0.0)
    """

    def meter(self) -> Meter:
        """An empty window."""
        return _Rolling(self.capacity, self.window_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedWindow(_Window):
    """At most the limit in each window of `window_s` seconds, counted from the first request.

    Args:
        requests: Requests per minute, or one of the other currencies.
        tokens: See `Limit`.
        input_tokens: See `Limit`.
        output_tokens: See `Limit`.
        window_s: Length of the window; the limit stays per minute and is scaled.
    """

    def meter(self) -> Meter:
        """An empty window."""
        return _Fixed(self.capacity, self.window_s)


def from_json(data: dict[str, Any]) -> Limit:
    """The limit that `Limit.to_json` wrote.

    Raises:
        LimitsError: There is no such kind of limit.
    """
    known = {kind.__name__: kind for kind in (TokenBucket, RollingWindow, FixedWindow)}
    fields = dict(data)
    kind = known.get(fields.pop("kind", ""))
    if kind is None:
        raise LimitsError(f"A limit is one of {', '.join(known)}.")
    return kind(**fields)


class _Bucket:
    __slots__ = ("_capacity", "_level", "_rate", "_then")

    def __init__(self, rate: float, capacity: float) -> None:
        self._rate, self._capacity = rate, capacity
        self._level, self._then = capacity, -math.inf

    def _filled(self, now: float) -> float:
        if now > self._then:
            gained = (now - self._then) * self._rate
            self._level = min(self._level + gained, self._capacity)
            self._then = now
        return self._level

    def wait_s(self, now: float, amount: int) -> float:
        # a millionth is forgiven: refilling in float steps may end a hair below a whole number
        lacking = amount - self._filled(now) - 1e-6
        if lacking <= 0:
            return 0.0
        return math.inf if amount > self._capacity + 1e-6 else lacking / self._rate + 1e-6

    def take(self, now: float, amount: int) -> None:
        self._level = max(self._filled(now) - amount, 0.0)

    def remaining(self, now: float) -> int:
        return int(self._filled(now) + 1e-6)

    def reset_s(self, now: float) -> float:
        return (self._capacity - self._filled(now)) / self._rate


class _Rolling:
    __slots__ = ("_capacity", "_entries", "_sum", "_window_s")

    def __init__(self, capacity: int, window_s: float) -> None:
        self._capacity, self._window_s = capacity, window_s
        self._entries: deque[tuple[float, int]] = deque()
        self._sum = 0

    def _expire(self, now: float) -> None:
        entries, horizon = self._entries, now - self._window_s
        while entries and entries[0][0] <= horizon:
            self._sum -= entries.popleft()[1]

    def wait_s(self, now: float, amount: int) -> float:
        self._expire(now)
        surplus = self._sum + amount - self._capacity
        if surplus <= 0:
            return 0.0
        for then, entry in self._entries:
            surplus -= entry
            if surplus <= 0:
                return then + self._window_s - now
        return math.inf

    def take(self, now: float, amount: int) -> None:
        self._entries.append((now, amount))
        self._sum += amount

    def remaining(self, now: float) -> int:
        self._expire(now)
        return max(self._capacity - self._sum, 0)

    def reset_s(self, now: float) -> float:
        self._expire(now)
        return self._entries[-1][0] + self._window_s - now if self._entries else 0.0


class _Fixed:
    __slots__ = ("_capacity", "_sum", "_until", "_window_s")

    def __init__(self, capacity: int, window_s: float) -> None:
        self._capacity, self._window_s = capacity, window_s
        self._until, self._sum = -math.inf, 0

    def _turn(self, now: float) -> None:
        if now < self._until:
            return
        self._sum = 0
        if math.isinf(self._until):
            self._until = now
        passed = math.floor((now - self._until) / self._window_s) + 1
        self._until += passed * self._window_s

    def wait_s(self, now: float, amount: int) -> float:
        self._turn(now)
        if self._sum + amount <= self._capacity:
            return 0.0
        return math.inf if amount > self._capacity else self._until - now

    def take(self, now: float, amount: int) -> None:
        self._turn(now)
        self._sum += amount

    def remaining(self, now: float) -> int:
        self._turn(now)
        return max(self._capacity - self._sum, 0)

    def reset_s(self, now: float) -> float:
        self._turn(now)
        return self._until - now if self._sum else 0.0
