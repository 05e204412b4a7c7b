"""Limiters in a row: a stage's own limits in front of those it shares with others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from lionproc.engine.concurrency_limit import Overload
from lionproc.engine.limiter import Limiter
from lionproc.engine.limits import Limits
from lionproc.engine.passage import Passage
from lionproc.engine.quotas import Signals
from lionproc.engine.reservation import Reservation
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError


class LimiterChain(Limiter):
    """A limiter with others behind it; what is sent has passed them all.

    Any number of chains may share the limiters behind, which are then kept by all of them
    together. Only the last one learns from the server: it stands for the endpoint, the ones
    before it for what a person wants.

    Args:
        limits: The live limits of this limiter alone.
        behind: The limiters to pass after it, in this order.

    Example:
        >>> key = Limiter(Limits(requests_per_minute=600))
        >>> stages = [LimiterChain(Limits(requests_per_minute=400), [key]) for _ in range(2)]
    """

    def __init__(self, limits: Limits | None = None, behind: Sequence[Limiter] = ()) -> None:
        super().__init__(limits)
        self.behind = tuple(behind)
        self._begin()

    def _begin(self) -> None:
        # Held from the first limiter to the last: only one request to each endpoint is ever between
        # two of them, so nothing overtakes.
        self._ways: WeakKeyDictionary[Limiter, asyncio.Lock] = WeakKeyDictionary()
        self._passed: dict[int, list[tuple[Limiter, Reservation]]] = {}

    def renew(self) -> None:
        """See `Limiter.renew`."""
        super().renew()
        self._begin()

    def reserve_at_once(self, tokens: Tokens, last: Limiter | None = None) -> Reservation | None:
        """See `Limiter.reserve_at_once`."""
        limiters = self._after(last)
        # All are looked at before the first one counts it: one that is given back has cost its turn.
        if limiters and not self._are_free(limiters, tokens):
            return None
        reservation = super().reserve_at_once(tokens)
        if reservation is None or not limiters:
            return reservation
        passed: list[tuple[Limiter, Reservation]] = []
        for limiter in limiters:
            further = limiter.reserve_at_once(tokens)
            if further is None:  # as where one is passed twice, and had a single place
                super().cancel(reservation)
                for earlier, held in passed:
                    earlier.cancel(held)
                return None
            passed.append((limiter, further))
        return self._through(reservation, passed)

    def is_free(self, tokens: Tokens) -> bool:
        """See `Limiter.is_free`."""
        return super().is_free(tokens) and self._are_free(self.behind, tokens)

    def _are_free(self, limiters: Sequence[Limiter], tokens: Tokens) -> bool:
        if limiters and self._way_to(limiters[-1]).locked():
            return False
        return all(limiter.is_free(tokens) for limiter in limiters)

    def _way_to(self, last: Limiter) -> asyncio.Lock:
        way = self._ways.get(last)
        if way is None:
            way = self._ways[last] = asyncio.Lock()
        return way

    def _after(self, last: Limiter | None) -> Sequence[Limiter]:
        """The limiters to pass after this one."""
        if last is None or last is self or last in self.behind:
            return self.behind
        return (*self.behind, last)

    def _through(
        self, reservation: Reservation, passed: list[tuple[Limiter, Reservation]]
    ) -> Reservation:
        """It has passed all of them."""
        self._passed[reservation.number] = passed
        reservation.way = passed[-1][1].way
        return reservation

    async def reserve(self, tokens: Tokens, last: Limiter | None = None) -> Reservation:
        """See `Limiter.reserve`; waits until all of the limiters have room.

        An endpoint that makes requests wait holds up nobody who goes to another one, and a chain that
        does holds up nobody else at the endpoint: while one of them has no room nothing is taken of
        the others, or it is given back before that could break a limit.

        Args:
            tokens: What the request is expected to read and write.
            last: The limiter of the endpoint that this request goes to, passed after all others.
        """
        behind = self._after(last)
        if not behind:
            return await super().reserve(tokens)
        async with self._way_to(behind[-1]):
            own, *passed = await Passage((self, *behind), tokens).reserve()
            return self._through(own, list(zip(behind, passed, strict=True)))

    def settle(
        self,
        reservation: Reservation,
        used: Tokens | None = None,
        signals: Signals | None = None,
        seconds: float | None = None,
    ) -> None:
        """See `Limiter.settle`."""
        further = self._further(reservation)
        super().settle(reservation, used, None if further else signals, seconds)
        for limiter, passed, last in further:
            limiter.settle(passed, used, signals if last else None, seconds)

    def throttled(self, reservation: Reservation, signals: Signals) -> bool:
        """See `Limiter.throttled`; the last limiter slows down, and with it all before it."""
        further = self._further(reservation)
        if not further:
            return super().throttled(reservation, signals)
        super().failed(reservation)
        *before, (last, held, _) = further
        for limiter, passed, _ in before:
            limiter.failed(passed)
        return last.throttled(held, signals)

    def failed(self, reservation: Reservation, overload: Overload | None = None) -> bool:
        """See `Limiter.failed`."""
        further = self._further(reservation)
        crowded = super().failed(reservation, None if further else overload)
        for limiter, passed, last in further:
            crowded = limiter.failed(passed, overload if last else None)
        return crowded

    def another_takes(self, reservation: Reservation, error: CallError, attempts: int) -> bool:
        """See `Limiter.another_takes`."""
        passed = self._passed.get(reservation.number, ())
        return any(limiter.another_takes(held, error, attempts) for limiter, held in passed)

    def cancel(self, reservation: Reservation) -> None:
        """See `Limiter.cancel`."""
        super().cancel(reservation)
        for limiter, passed, _ in self._further(reservation):
            limiter.cancel(passed)

    def _further(self, reservation: Reservation) -> list[tuple[Limiter, Reservation, bool]]:
        passed = self._passed.pop(reservation.number, [])
        end = len(passed) - 1
        return [(limiter, held, place == end) for place, (limiter, held) in enumerate(passed)]
