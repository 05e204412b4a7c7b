"""Several limiters in the place of one: a request goes where there is room.

Each stands for one way to the same model (a key, a deployment) and keeps its own limits, so the
limits add up. Nothing is bound to a way before the way has room for it, so none waits at one while
another is free. A way that only fails, or refuses everybody, is left out and probed now and then.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lionproc.engine.concurrency_limit import Overload
from lionproc.engine.limiter import Limiter, give_back
from lionproc.engine.limits import Limits
from lionproc.engine.quotas import Signals
from lionproc.engine.reservation import Reservation
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, Kind

__all__ = ["LimiterPool"]

LOOK_S = 0.25  # whether a way is out by now, or may be tried again
DOUBT_S = 1.0  # after a failure; so long others are taken first
ENOUGH = 3  # failures in a row after which a way is left out
REFUSALS = 10  # in a row: more than where a limit is met, so it refuses everybody
LONGEST_S = 30.0
REFUSING_S = 30.0  # at least, for a way that refuses the key, the model or the account
LONGEST_REFUSING_S = 300.0
_REFUSES = frozenset({Kind.ACCESS, Kind.QUOTA, Kind.NOT_FOUND})
_FAILS = frozenset(
    {
        *(Kind.CONNECTION, Kind.TIMEOUT, Kind.SERVER_ERROR, Kind.OVERLOADED, Kind.BAD_REPLY),
        Kind.FORBIDDEN,
    }
)
_BUSY = frozenset({Kind.RATE_LIMITED, Kind.NO_CAPACITY})


@dataclass(slots=True)
class _Way:
    """One limiter, and how its requests fare.

    Attributes:
        limiter: Of the endpoint.
        failures: In a row.
        refusals: For its limits, in a row.
        failed_at: When it failed last.
        times_out: How often in a row it was left out.
        out_until: When it may be probed, in seconds of the loop's clock.
        probing: Whether the probe is under way.
    """

    limiter: Limiter
    failures: int = 0
    refusals: int = 0
    failed_at: float = -math.inf
    times_out: int = 0
    out_until: float | None = None
    probing: bool = False

    def succeeded(self) -> None:
        """It answered."""
        self.failures = self.refusals = self.times_out = 0
        self.out_until = None
        self.probing = False

    def leave_out(self, now: float, first_s: float, longest_s: float) -> None:
        """Leave it out, each time for twice as long."""
        self.out_until = now + min(first_s * 2**self.times_out, longest_s)
        self.times_out += 1
        self.probing = False

    def turn(self, now: float) -> tuple[bool, bool, float, int]:
        """What it is sorted by: a probe that is due first, who has just failed last, then by load."""
        limiter = self.limiter
        load = limiter.in_flight / max(limiter.concurrency, 1)
        doubtful = now - self.failed_at < DOUBT_S
        return (not self.may_probe(now), doubtful, load, limiter.departures)

    def is_in(self) -> bool:
        """Whether it is used."""
        return self.out_until is None

    def may_probe(self, now: float) -> bool:
        """Whether it is left out and one request may find out whether it is back."""
        return self.out_until is not None and now >= self.out_until and not self.probing


class LimiterPool(Limiter):
    """Limiters of which a request passes the one that has room.

    It has more than 25 methods because it stands wherever a `Limiter` does, and answers for all of its
    members what that one answers for itself.

    Args:
        limiters: Those of the endpoints. Their limits, where they are the same, become one object,
            so that a change of them is a change of all.
    """

    def __init__(self, limiters: Sequence[Limiter]) -> None:
        super().__init__()
        self._ways = [_Way(limiter) for limiter in limiters]
        if len({repr(limiter.limits) for limiter in limiters}) == 1:
            self.limits = limiters[0].limits

    @property
    def members(self) -> tuple[Limiter, ...]:
        """The limiters of the endpoints."""
        return tuple(way.limiter for way in self._ways)

    @property
    def limits(self) -> Limits:
        """What each may send: the limits of the first one. Assigning others sets those of all."""
        return self._ways[0].limiter.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        for way in self._ways:
            way.limiter.limits = limits

    def on_change(self, listener: object) -> None:
        """See `Limiter.on_change`."""
        for way in self._ways:
            way.limiter.on_change(listener)  # type: ignore[arg-type]

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight now, at all of them together."""
        return sum(way.limiter.concurrency for way in self._ways)

    def effective(self, quantity: str, limits: Limits | None = None) -> float | None:
        """The limit per minute of all together; see `Limiter.effective`."""
        each = [way.limiter.effective(quantity, limits) for way in self._ways]
        known = [limit for limit in each if limit is not None]
        return sum(known) if len(known) == len(each) else None

    # -- reserving --------------------------------------------------------------------------

    def _usable(self, now: float) -> list[tuple[int, _Way]]:
        """The ways that may be taken, the least busy first; all of them where all are left out."""
        ways = list(enumerate(self._ways))
        usable = [(n, way) for n, way in ways if way.is_in() or way.may_probe(now)]
        return sorted(usable or ways, key=lambda each: each[1].turn(now))

    def reserve_at_once(self, tokens: Tokens, last: Limiter | None = None) -> Reservation | None:
        """See `Limiter.reserve_at_once`."""
        del last
        if self._turn.is_wanted:
            return None
        number, way = self._usable(self.now())[0]
        reservation = way.limiter.reserve_at_once(tokens)
        return None if reservation is None else self._bound(number, way, reservation)

    def is_free(self, tokens: Tokens) -> bool:
        """See `Limiter.is_free`."""
        return not self._turn.is_wanted and self._usable(self.now())[0][1].limiter.is_free(tokens)

    async def reserve(self, tokens: Tokens, last: Limiter | None = None) -> Reservation:
        """See `Limiter.reserve`; the reservation says which `way` it is for.

        Others use the ways too, so it waits in the queues of all of them, unless one has room: who only
        looked for room there would never see any.
        """
        del last
        places: dict[int, asyncio.Task[Reservation]] = {}
        async with self._turn:
            try:
                while True:
                    usable = self._able(tokens)
                    self._leave(places, places.keys() - dict(usable).keys())
                    for number, way in usable:
                        place = places.get(number)
                        if place is not None and place.done():
                            del places[number]
                            if place.exception() is None or len(usable) == 1:
                                return self._bound(number, way, place.result())
                    now = self.now()
                    due = [each for each in usable if each[1].limiter.due_in(tokens, now) <= 0]
                    for number, way in usable if places or not due else due[:1]:
                        if number not in places:
                            asks = way.limiter.reserve(tokens)
                            places[number] = asyncio.ensure_future(asks)
                    self.waiting_for = usable[0][1].limiter.waiting_for
                    await asyncio.wait(
                        places.values(), timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED
                    )
            finally:
                self.waiting_for = ""
                self._leave(places, set(places))

    def _leave(self, places: dict[int, asyncio.Task[Reservation]], numbers: Iterable[int]) -> None:
        """Wait in the queues of some ways no more."""
        for number in numbers:
            give_back(places.pop(number), self._ways[number].limiter.cancel)

    async def until_due(self, tokens: Tokens) -> None:
        """See `Limiter.until_due`."""
        self.cancel(await self.reserve(tokens))

    def is_due(self, tokens: Tokens) -> bool:
        """See `Limiter.is_due`."""
        if self._turn.is_wanted:
            return False
        return any(way.limiter.is_due(tokens) for _, way in self._usable(self.now()))

    def due_in(self, tokens: Tokens, now: float) -> float:
        """See `Limiter.due_in`."""
        return min(way.limiter.due_in(tokens, now) for _, way in self._usable(now))

    @property
    def is_held_up(self) -> bool:
        """See `Limiter.is_held_up`."""
        return all(way.limiter.is_held_up for way in self._ways)

    @property
    def is_paced(self) -> bool:
        """See `Limiter.is_paced`."""
        return any(way.limiter.is_paced for way in self._ways)

    @property
    def keeps_s(self) -> float:
        """See `Limiter.keeps_s`."""
        return min(way.limiter.keeps_s for way in self._ways)

    def _able(self, tokens: Tokens) -> list[tuple[int, _Way]]:
        """The usable ways whose limits a request could ever pass.

        Raises:
            CallError: Of kind `too_large`; there is none.
        """
        now = self.now()
        usable = self._usable(now)
        able = [each for each in usable if each[1].limiter.due_in(tokens, now) < math.inf]
        if not able:
            usable[0][1].limiter.refuse(tokens)  # unless a header was the reason
        return able or usable

    def _bound(self, number: int, way: _Way, reservation: Reservation) -> Reservation:
        way.probing = not way.is_in()
        reservation.way = number
        return reservation

    # -- what came of it --------------------------------------------------------------------

    def _of(self, reservation: Reservation) -> _Way:
        assert reservation.way is not None  # noqa: S101  (it was bound)
        return self._ways[reservation.way]

    def settle(
        self,
        reservation: Reservation,
        used: Tokens | None = None,
        signals: Signals | None = None,
        seconds: float | None = None,
    ) -> None:
        """See `Limiter.settle`."""
        way = self._of(reservation)
        way.succeeded()
        way.limiter.settle(reservation, used, signals, seconds)

    def throttled(self, reservation: Reservation, signals: Signals) -> bool:
        """See `Limiter.throttled`."""
        return self._of(reservation).limiter.throttled(reservation, signals)

    def failed(self, reservation: Reservation, overload: Overload | None = None) -> bool:
        """See `Limiter.failed`."""
        way = self._of(reservation)
        way.probing = False
        return way.limiter.failed(reservation, overload)

    def cancel(self, reservation: Reservation) -> None:
        """See `Limiter.cancel`."""
        way = self._of(reservation)
        way.probing = False
        way.limiter.cancel(reservation)

    def redate(self, reservation: Reservation) -> None:
        """See `Limiter.redate`."""
        self._of(reservation).limiter.redate(reservation)

    def takes_still(self, reservation: Reservation) -> bool:
        """See `Limiter.takes_still`."""
        return self._of(reservation).limiter.takes_still(reservation)

    def another_takes(self, reservation: Reservation, error: CallError, attempts: int) -> bool:
        """See `Limiter.another_takes`; a way that fails is left out from here on."""
        way, now = self._of(reservation), self.now()
        if error.kind in _REFUSES:
            way.leave_out(now, REFUSING_S, LONGEST_REFUSING_S)
        elif error.kind in _FAILS:
            way.failures += 1
            way.failed_at = now
            if way.probing or way.failures >= ENOUGH:
                way.leave_out(now, 1.0, LONGEST_S)
        elif error.kind in _BUSY:
            way.refusals += error.kind is Kind.RATE_LIMITED
            if way.probing or (way.is_in() and way.refusals >= REFUSALS):
                way.leave_out(now, 1.0, LONGEST_S)
        else:  # it answers, and this is about the row
            way.succeeded()
            return False
        others = any(other.is_in() for other in self._ways if other is not way)
        return others and (error.kind in _REFUSES or attempts < len(self._ways))
