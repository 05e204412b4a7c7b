"""What a limiter gives to a request that may be sent."""

from __future__ import annotations

from dataclasses import dataclass

from lionproc.engine.tokens import Tokens


@dataclass(slots=True)
class Reservation:
    """Permission to send one request now; give it back with `Limiter.settle` or `cancel`.

    Attributes:
        number: Which request of its limiter it is, from 0.
        at: When it was given, in seconds of the loop's clock.
        epoch: The epoch of congestion control it belongs to.
        tokens: What the request is expected to read and write.
        bucket: Where its amounts are counted.
        mark: How much was sent before it.
        full: The concurrency, if it took the last slot, else None.
        open: False once it was given back.
        lent: Whether it was lent by a budget that others use too.
        way: Which way of a `LimiterPool` it is for, None where there is one alone.
    """

    number: int
    at: float
    epoch: int
    tokens: Tokens
    bucket: int
    mark: tuple[float, ...]
    full: int | None
    open: bool = True
    lent: bool = False
    way: int | None = None
