"""One limiter for one endpoint, first come, first served: rates, tokens and concurrency.

Everything here runs on the engine's loop thread, but for changes of `Limits`, which may come
from anywhere and are handed over.

More than 400 lines because reserving, settling and cancelling all change the one account of what
is in flight. What they ask has modules of its own: `limits_in_force` (which limits bind, and what
was sent), `server_pace` (what the server was seen to take), `borrowing` (from whom).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable

from lionproc.engine.borrowing import Borrowing, Loan
from lionproc.engine.concurrency_limit import Overload
from lionproc.engine.last_pace import Pace
from lionproc.engine.lender import Lender, Office
from lionproc.engine.limits import Limits
from lionproc.engine.limits_in_force import LimitsInForce
from lionproc.engine.listeners import Listeners
from lionproc.engine.news import News
from lionproc.engine.open_files import most_connections
from lionproc.engine.queue_lock import QueueLock
from lionproc.engine.quotas import Signals
from lionproc.engine.reservation import Reservation
from lionproc.engine.server_pace import Learned, ServerPace
from lionproc.engine.tokens import REQUESTS, Amounts, Tokens, amounts_of
from lionproc.errors import CallError

CHECK_S = 0.25  # how often a moving pace is looked at
SHORT = 10  # a run of this many times the concurrency is too short for slow start
KEEPS_S = 1.0  # that a slot is kept for who waits elsewhere
LOOK_S = 1.0  # who waits looks again: the pace may have risen, and no fault shall cost more


class Limiter:
    """Sends requests on at the pace of the limits, in the order they came.

    It has more than 25 methods because all that happens to a reservation, and all that is asked
    about the pace, goes through the one account that it keeps.

    Args:
        limits: The live limits; their changes act at once.

    Attributes:
        in_force: The limits that bind, and what was sent under them.
        pace: What the server was seen to take.
        in_flight: Requests under way.
        peak_in_flight: The most that there were.
        departures: Requests sent.
        waiting_for: What the next one waits for, in words; empty if for nothing.
        identity: Of the endpoint, to find again what was learned of it.
        connections: How many the process can open; None until that is known.
        limits_of_run: The last that a run was given.
        borrowing: From a budget that others use too.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = QueueLock()
        self._news = News()
        self._wants_slot = False
        self._listeners = Listeners()
        self._checked_at = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        self.in_force = LimitsInForce(limits or Limits())
        self.pace = ServerPace()
        self.in_flight = 0
        self.peak_in_flight = 0
        self.departures = 0
        self.waiting_for = ""
        self.identity = ""
        self.connections: int | None = None
        self.limits_of_run: Limits | None = None
        self.borrowing = Borrowing(self.in_force)
        self.in_force.limits.on_change(self._changed)

    def renew(self) -> None:
        """In a forked child: who waits and what is on its way stayed with the parent."""
        Limiter.__init__(self, self.limits)

    # -- limits -----------------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """The live limits. Assigning others makes those the live ones."""
        return self.in_force.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        if limits is not self.in_force.limits:
            self.in_force.limits = limits
            limits.on_change(self._changed)
            self._changed()

    def _changed(self) -> None:
        """Any thread: the limits are others now."""
        self.in_force.is_stale = True
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, so nobody waits
                loop.call_soon_threadsafe(self._spread)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call a bound method on the engine's loop after every change of the limits.

        Its object is held weakly.
        """
        self._listeners.add(listener)

    def _spread(self) -> None:
        self._news.tell()
        self._listeners.tell()

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight now."""
        limits = self.in_force.limits
        most, known = limits.concurrency, self.connections
        if known is not None and known < most:
            most = known
        cap = self.pace.cap
        return cap if cap is not None and cap < most and limits.adapt else most

    def effective(self, quantity: str, limits: Limits | None = None) -> float | None:
        """The limit per minute that is kept for a quantity: the person's or, lower, the provider's.

        Args:
            quantity: What is counted, one of `QUANTITIES`.
            limits: A person's limits to look at in place of the live ones.
        """
        return self.in_force.effective(quantity, limits)

    def _looked(self, loop: asyncio.AbstractEventLoop) -> float:
        """What time it is, with everything that is kept brought up to it now and then."""
        now = loop.time()
        if self.in_force.is_stale or now - self._checked_at > CHECK_S:
            self._refresh(now)
        return now

    def _refresh(self, now: float) -> None:
        """Bring what is kept up to date with the limits and with what the server taught."""
        in_force, limits = self.in_force, self.in_force.limits
        # Where a request looks whether the server is open, again when that is known.
        self._checked_at = min(now, self.pace.known_at - CHECK_S - 1e-6)
        if in_force.is_stale:
            in_force.refresh(now)
            self.borrowing.heed(self.identity, shared=limits.shared)
        self.pace.refresh(
            now,
            adapt=limits.adapt,
            limited=in_force.sent.any_known,
            stated=limits.requests_per_minute is not None,
        )

    # -- a budget that others use too ---------------------------------------------------------

    def borrow(self, office: Office | None, *, place: str = "", own: bool = False) -> Lender | None:
        """Take permissions from a budget that is kept elsewhere, from now on.

        Args:
            office: Where it is kept; None for no such budget any more.
            place: Where this is.
            own: Whether the limits here are to be those of the budget.
        """
        self.in_force.is_stale = True
        return self.borrowing.place(office, place=place, own=own)

    def borrow_again(self, lender: Lender, departures: int) -> None:
        """Take permissions from a budget as before.

        Args:
            lender: What `borrow` gave; it was closed since.
            departures: Those of then.
        """
        self.in_force.is_stale = True
        self.borrowing.place_again(lender, knows_all=departures == self.departures)

    # -- reserving --------------------------------------------------------------------------

    def refuse(self, tokens: Tokens) -> None:
        """Raise if a request could never be sent under the limits that a person set.

        What a header says is a hint: a limit that this request could never pass is forgotten,
        for the server itself refuses what it does not take.

        Args:
            tokens: What it is expected to read and write.

        Raises:
            CallError: Of kind `too_large`; it names the limit.
        """
        self.in_force.refuse(tokens)

    @property
    def members(self) -> tuple[Limiter, ...]:
        """The limiters of the endpoints: itself, where it is no pool."""
        return (self,)

    def due_in(self, tokens: Tokens, now: float) -> float:
        """Seconds until a request may be sent, as far as is known: 0.0 now, inf never.

        Args:
            tokens: What it is expected to read and write.
            now: The time of the loop's clock.
        """
        if self.in_force.is_stale or now - self._checked_at > CHECK_S:
            self._refresh(now)
        return self._due_s(amounts_of(tokens), now)

    def another_takes(self, reservation: Reservation, error: CallError, attempts: int) -> bool:  # noqa: ARG002  (of pools)
        """Whether a request that failed is at once sent another way; only a pool has any.

        Called before `throttled` or `failed`.

        Args:
            reservation: What it was sent with.
            error: How it failed.
            attempts: Which attempt of its event it was, from 1.
        """
        return False

    def reserve_at_once(self, tokens: Tokens, last: Limiter | None = None) -> Reservation | None:  # noqa: ARG002  (of chains)
        """Permission to send one request, where nobody waits and no rate is to be kept.

        Args:
            tokens: What it is expected to read and write.
            last: See `reserve`.

        Returns:
            The reservation, or None: then `reserve` waits for it.
        """
        amounts = amounts_of(tokens)
        now = self._free_at(amounts)
        if now is None:
            return None
        self.waiting_for = ""
        return self._grant(tokens, amounts, now)

    def is_free(self, tokens: Tokens) -> bool:
        """Whether `reserve_at_once` would give permission now."""
        return self._free_at(amounts_of(tokens)) is not None

    def is_due(self, tokens: Tokens) -> bool:
        """Whether nobody waits and a request may be sent now, also where a rate is to be kept."""
        if self._turn.is_wanted or self.borrowing.lender is not None:
            return False
        return self.due_in(tokens, self.now()) <= 0

    @property
    def is_held_up(self) -> bool:
        """Whether no slot is free or all were told to wait, which no pace ends."""
        return self.in_flight >= self.concurrency or self.holding_s() > 0

    @property
    def is_paced(self) -> bool:
        """Whether what is kept of it unused is missing to others for good, as a rate is kept."""
        return bool(self.in_force.sent.active) or self.borrowing.lender is not None

    @property
    def keeps_s(self) -> float:
        """Seconds for which what was reserved may be kept before it is sent.

        It is counted later then, and in every window still that it was counted in.
        """
        return self.in_force.sent.shortest_s or KEEPS_S

    def _free_at(self, amounts: Amounts) -> float | None:
        """The time, if nobody waits, no rate is to be kept and a request may leave now."""
        if self._turn.is_wanted or self._loop is None:
            return None
        now = self._looked(self._loop)
        if self.in_force.sent.active or self.borrowing.lender is not None:
            return None
        return None if self._wait_s(amounts, now) > 0 else now

    async def reserve(self, tokens: Tokens, last: Limiter | None = None) -> Reservation:  # noqa: ARG002  (of chains)
        """Wait for permission to send one request.

        Args:
            tokens: What it is expected to read and write.
            last: A further limiter to pass; only a `LimiterChain` has any.

        Returns:
            The reservation; `settle` or `cancel` it exactly once.

        Raises:
            CallError: Of kind `too_large`, if no waiting would help.
        """
        amounts = amounts_of(tokens)
        async with self._turn:
            with Loan(amounts) as loan:
                while True:
                    now = await self._due(tokens, amounts)
                    lend_s = await loan.wait_s(self.borrowing.lender)
                    if lend_s is None:
                        break
                    self.waiting_for = loan.waiting_for
                    await self._news.wait(lend_s)  # meanwhile all else may have changed
                await self.in_force.sent.pace(amounts)
                self.waiting_for = ""
                made = self._grant(tokens, amounts, now)
                made.lent = loan.use()
                return made

    async def until_due(self, tokens: Tokens) -> None:
        """Wait until one request may be sent; nothing is taken, and others may be quicker.

        Args:
            tokens: What it is expected to read and write.

        Raises:
            CallError: As for `reserve`.
        """
        async with self._turn:
            await self._due(tokens, amounts_of(tokens))
            self.waiting_for = ""

    async def _due(self, tokens: Tokens, amounts: Amounts) -> float:
        """Whose turn it is waits until it may be sent; gives the time by then."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
            if self.connections is None:
                self.connections = most_connections()
        while (wait := self._due_s(amounts, now := self._looked(loop))) > 0:
            if wait == math.inf:
                self.refuse(tokens)
            if not self.in_force.is_stale:
                await self._news.wait(min(wait, LOOK_S))
        return now

    def _due_s(self, amounts: Amounts, now: float) -> float:
        """Seconds until a request may be sent: all waits in one, as each wakes the thread."""
        return max(self._wait_s(amounts, now), self.in_force.sent.due_s(amounts, now))

    def _wait_s(self, amounts: Amounts, now: float) -> float:
        """Seconds to wait before looking again; 0.0 to go."""
        self._wants_slot = self.in_flight >= self.concurrency
        if self._wants_slot:
            self.waiting_for = "a free slot"
            return LOOK_S
        wait = self.pace.wait(now) or self.in_force.wait(amounts, now)
        if wait is None:
            return 0.0
        self.waiting_for = wait.why
        return wait.seconds

    def _grant(self, tokens: Tokens, amounts: Amounts, now: float) -> Reservation:
        bucket = self.in_force.departed(amounts, now)
        if self.pace.departed(now):
            self._checked_at = -math.inf
        self.in_flight += 1
        slots = self.concurrency
        full = slots if self.in_flight >= slots else None
        self._look_later()
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        number = self.departures
        self.departures += 1
        epoch, mark = self.pace.congestion.epoch, self.in_force.quotas.mark()
        return Reservation(number, now, epoch, tokens, bucket, mark, full)

    # -- what came of it --------------------------------------------------------------------

    def settle(
        self,
        reservation: Reservation,
        used: Tokens | None = None,
        signals: Signals | None = None,
        seconds: float | None = None,
    ) -> None:
        """The reply is here: free the slot, correct the tokens, learn from the headers.

        Args:
            reservation: What `reserve` gave.
            used: The true tokens, None where the server did not say.
            signals: What its headers say about limits.
            seconds: How long the server took, None for the time since it left.
        """
        self._free(reservation)
        if used is not None:
            self._correct(reservation, used)
        if self._loop is not None:
            now = self._loop.time()
            latency_s = now - reservation.at if seconds is None else seconds
            slots = self.in_force.limits.concurrency
            if self.pace.replied(reservation, latency_s, now, slots, self.in_flight):
                self._news.tell()
            if signals is not None:
                self._learn(signals, reservation, now)
                if not signals.quotas and self.in_force.silent():
                    self._news.tell()

    def throttled(self, reservation: Reservation, signals: Signals) -> bool:
        """A 429 came back: everybody waits, and the pace is cut once per storm.

        Returns:
            True if it is stray: nobody has to wait, as the server takes the others.
        """
        self._free(reservation)
        loop = self._loop or asyncio.get_running_loop()
        now = loop.time()
        self._learn(signals, reservation, now)
        if signals.at_once and self.in_flight and self.in_force.limits.adapt:
            self.pace.at_once.refused(reservation.at, self.in_flight, now)
            self._look_later()
            return True
        if self.pace.throttled(reservation, signals, now, self._rate(now)):
            self._checked_at = -math.inf
            self._news.tell()
            self.borrowing.refused(self.holding_s())
        return self.pace.holding_s(now) <= 0

    def _look_later(self) -> None:
        """See to it that more are tried where as many are in flight as the server takes."""
        at_once = self.pace.at_once
        if self._timer is None and self._loop is not None and at_once.is_reached(self.in_flight):
            self._timer = self._loop.call_at(at_once.look_at, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.pace.at_once.look(self.in_flight, self.now()):
            self._spread()
        else:
            self._look_later()

    def failed(self, reservation: Reservation, overload: Overload | None = None) -> bool:
        """It failed in another way. A failed request counts against the limit all the same.

        Args:
            reservation: Its permission.
            overload: What a server says that is overloaded, None of any other.

        Returns:
            Whether it was refused because too many are in flight, and nothing else is wrong.
        """
        self._free(reservation)
        if overload is None:
            return False
        crowded = False
        if not overload.wait_s and self.in_flight and self.in_force.limits.adapt:
            at_once, now = self.pace.at_once, self.now()
            crowded = at_once.overloaded(reservation.at, self.in_flight, now, works=overload.works)
            self._look_later()
        if overload.wait_s:
            loop = self._loop or asyncio.get_running_loop()
            until = loop.time() + min(overload.wait_s, 600.0)
            self.pace.congestion.reopening.ask(until)
            self._news.tell()
        return crowded

    def cancel(self, reservation: Reservation) -> None:
        """It was never sent: everything is given back."""
        self._free(reservation)
        amounts = amounts_of(reservation.tokens)
        self.in_force.sent.withdraw(reservation.bucket, amounts, reservation.at)
        self.borrowing.give_back(reservation)
        self.pace.withdrawn(reservation.number, self.now())
        if reservation.number == self.departures - 1:
            self.departures -= 1

    def redate(self, reservation: Reservation) -> None:
        """It is sent only now, for it had to wait at another limiter: count it from here."""
        now, amounts = asyncio.get_running_loop().time(), amounts_of(reservation.tokens)
        self.borrowing.redate(reservation, now)
        reservation.bucket = self.in_force.sent.redate(
            reservation.bucket, amounts, reservation.at, now
        )
        reservation.at = now

    def takes_still(self, reservation: Reservation) -> bool:  # noqa: ARG002  (of pools)
        """Whether nobody was told to wait since it was reserved."""
        return self.holding_s() <= 0

    def _free(self, reservation: Reservation) -> None:
        if not reservation.open:
            raise RuntimeError("This reservation was already given back.")
        reservation.open = False
        self.in_flight -= 1
        if self._wants_slot:
            self._news.tell()

    def _correct(self, reservation: Reservation, used: Tokens) -> None:
        expected = reservation.tokens
        if used != expected:
            read, written = used.input - expected.input, used.output - expected.output
            deltas = amounts_of(Tokens(read, written), requests=0.0)
            self.in_force.sent.correct(reservation.bucket, deltas)
            self.borrowing.correct(reservation, deltas)

    def _learn(self, signals: Signals, reservation: Reservation, now: float) -> None:
        if self.in_force.learn(signals, reservation.mark, now):
            self._news.tell()

    @staticmethod
    def now() -> float:
        """Seconds of the engine's clock, by which everything here is timed."""
        return asyncio.get_running_loop().time()

    def _rate(self, now: float) -> float:
        """Requests per second that are sent: as many as may be, or fewer where slots are scarce."""
        known = self.effective(REQUESTS)
        left = max(self.in_force.sent.sent_since(now - 1.0, REQUESTS), 1.0)
        rates = [r for r in (known / 60 if known else None, self.pace.per_s) if r is not None]
        return min(*rates, 1.25 * left + 2) if rates else left

    # -- for readers ------------------------------------------------------------------------

    def per_minute(self, quantity: str, window_s: float) -> float:
        """How much was sent per minute, over the last `window_s` seconds. From any thread.

        A window of less than a minute says only what a minute would come to, and a start in a
        burst would make that more than may be sent. So such a guess is at most the limit, and at
        least what the last 60 s had, which is what the limit is kept over.
        """
        if self._loop is None:
            return 0.0
        limit = self.effective(quantity)
        return self.in_force.sent.per_minute(quantity, window_s, limit, self._loop.time())

    @property
    def pace_per_minute(self) -> float | None:
        """Requests per minute that are allowed now, where the server taught less than is set."""
        return None if self.pace.per_s is None else self.pace.per_s * 60

    @property
    def learned(self) -> Learned:
        """The rate of requests that the server takes, as far as it is known."""
        said = self.in_force.quotas.limits.get(REQUESTS) if self.limits.adapt else None
        return self.pace.learned if said is None else Learned(said, "headers")

    def begin(self, rows: int, seen: Pace | None) -> None:
        """A run begins, on the engine's loop.

        Args:
            rows: How many requests it may send.
            seen: What an earlier run saw of this endpoint.
        """
        if rows <= SHORT * self.limits.concurrency:
            self.pace.congestion.skip_start()
        if self.departures == 0 and seen is not None and self.limits.adapt:
            self.pace.begin_with(seen)

    def seen(self, seconds: float) -> Pace | None:
        """What a run of so many seconds saw of this endpoint; None if that is no knowledge."""
        return self.pace.seen(self.per_minute(REQUESTS, min(max(seconds, 1.0), 60.0)) / 60)

    def holding_s(self) -> float:
        """Seconds for which everybody still waits after a refusal."""
        return 0.0 if self._loop is None else self.pace.holding_s(self._loop.time())

    def hold_note(self) -> str:
        """Why nobody may send for a while, as a sentence; empty where that is not so."""
        return "" if self._loop is None else self.pace.hold_note(self._loop.time())

    def crowded_note(self) -> str:
        """How many at once the server takes, as a sentence; empty where more are not wanted."""
        most = self.pace.at_once.cap
        if most is None or self.concurrency < most:
            return ""
        requests = "request" if most == 1 else "requests"
        return f"The server takes {most:,} {requests} at once and refuses more."

    def __repr__(self) -> str:
        return f"<Limiter {self.limits!r}, {self.in_flight} in flight, {self.departures} sent>"


def give_back(waits: asyncio.Task[Reservation], cancel: Callable[[Reservation], None]) -> None:
    """A reservation is not waited for any more; it may have come just now.

    Args:
        waits: Who waits for it.
        cancel: Gives it back.
    """

    def ended(task: asyncio.Task[Reservation]) -> None:
        if not task.cancelled() and task.exception() is None:
            cancel(task.result())

    waits.cancel()
    waits.add_done_callback(ended)
