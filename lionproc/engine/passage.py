"""The way of one request past several limiters, of which each may make it wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from lionproc.engine.limiter import Limiter, give_back
from lionproc.engine.reservation import Reservation
from lionproc.engine.tokens import Tokens

__all__ = ["Passage"]

SLOT_S = 0.5  # at least, that something is kept for who waits for a slot elsewhere
PACE_S = 10.0  # and for who waits for a pace
SHARE = 4  # a slot is kept for a quarter of the time that it has waited for, if that is longer
MOST_S = 30.0
LATE_S = 0.005  # a wait at one limiter that is worth correcting the count of another


class Passage:
    """One request between limiters that it has to pass, all of them or none.

    It waits at one of them and keeps nothing meanwhile; what that one gives is kept while it waits
    at the others, for a time that grows with how long it has waited. If that was too short, all is
    given back but the place at the one that made wait, where it goes on waiting first. So neither
    side loses more than a part of its time to who waits at the other one, and nobody waits for ever.

    Args:
        limiters: A `LimiterChain`, of which only its own limits count here, and those after it. The
            last one stands for the endpoint.
        tokens: What the request is expected to read and write.
    """

    def __init__(self, limiters: Sequence[Limiter], tokens: Tokens) -> None:
        self._limiters = limiters
        self._tokens = tokens
        self._held: dict[int, Reservation] = {}
        own, *_, end = limiters
        self._first = len(limiters) - 1 if end.keeps_s > own.keeps_s else 0  # the slower one
        self._place: asyncio.Task[Reservation] | None = None  # where it goes on waiting
        self._waited_s = 0.0

    async def reserve(self) -> list[Reservation]:
        """Wait until all of the limiters have room.

        Returns:
            A reservation of each, in their order.

        Raises:
            CallError: Of kind `too_large`, if no waiting would help.
        """
        try:
            while True:
                if self._place is None:
                    for limiter in self._limiters:
                        await limiter.until_due(self._tokens)
                began = Limiter.now()
                if await self._take_all(began) and self._may_leave():
                    return [self._held[number] for number in range(len(self._limiters))]
                self._waited_s += Limiter.now() - began
                self._give_back()
        except BaseException:
            self._give_back()
            if self._place is not None:
                give_back(self._place, partial(self._cancel, self._first))
            raise

    async def _take_all(self, began: float) -> bool:
        """Whether it has a reservation of every limiter; not if a further one makes wait for long."""
        others = [number for number in range(len(self._limiters)) if number != self._first]
        self._held[self._first] = await (self._place or self._ask(self._first))
        self._place = None
        for number in others:
            if self._limiters[number].is_due(self._tokens):
                self._held[number] = await self._ask(number)
                continue
            self._first, self._place = number, asyncio.ensure_future(self._ask(number))
            if not await self._comes_soon(began):
                return False
            self._held[number] = self._place.result()
            self._place = None
        return True

    async def _comes_soon(self, began: float) -> bool:
        """Whether what it waits for comes soon; what it has is counted anew in time meanwhile."""
        assert self._place is not None  # noqa: S101  (it waits)
        limiter, now = self._limiters[self._first], Limiter.now
        is_paced = any(self._limiters[number].is_paced for number in self._held)
        is_lent = any(reservation.lent for reservation in self._held.values())  # for a moment
        keeps_s = min(self._limiters[number].keeps_s for number in self._held)
        since = now()
        waited_s = self._waited_s + since - began
        while True:
            await asyncio.wait((self._place,), timeout=min(keeps_s / 2, SLOT_S))
            if self._place.done():
                return True
            patience_s = SLOT_S if limiter.is_held_up or is_lent else PACE_S
            if not is_paced:  # what is kept of a rate is lost to all others
                patience_s = min(max(patience_s, waited_s / SHARE), MOST_S)
            if now() - since >= patience_s:
                return False
            for number, reservation in self._held.items():
                self._limiters[number].redate(reservation)

    def _may_leave(self) -> bool:
        """Whether it leaves now, and is counted from now; else the last limiter is waited for again."""
        now, end = Limiter.now(), len(self._limiters) - 1
        last = self._held[end]
        if now - last.at > LATE_S and not self._limiters[end].takes_still(last):
            return False
        for number, reservation in self._held.items():
            if now - reservation.at > LATE_S:
                self._limiters[number].redate(reservation)
        return True

    # -- of the first limiter only its own limits count here: it is asked as any `Limiter` is ---

    async def _ask(self, number: int) -> Reservation:
        limiter = self._limiters[number]
        if number == 0:
            return await Limiter.reserve(limiter, self._tokens)
        return await limiter.reserve(self._tokens)

    def _cancel(self, number: int, reservation: Reservation) -> None:
        limiter = self._limiters[number]
        if number == 0:
            Limiter.cancel(limiter, reservation)
        else:
            limiter.cancel(reservation)

    def _give_back(self) -> None:
        for number, reservation in self._held.items():
            self._cancel(number, reservation)
        self._held.clear()
