"""One limiter for one endpoint, first come, first served: rates, tokens and concurrency.

Everything here runs on the engine's loop thread, but for changes of `Limits`, which may come
from anywhere and are handed over.

More than 400 lines because reserving, settling, cancelling and learning all change the one account
of what is sent and in flight. What they ask (rates and windows, quotas of the provider, congestion,
concurrency) are modules of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lionproc.engine.adaptive_concurrency import AdaptiveConcurrency
from lionproc.engine.congestion import START_PER_S, Congestion
from lionproc.engine.last_pace import Pace
from lionproc.engine.lease_messages import PerMinute
from lionproc.engine.lender import Lender, Loan, Office
from lionproc.engine.limits import Limits
from lionproc.engine.news import News
from lionproc.engine.open_files import most_connections
from lionproc.engine.quantity_limits import QuantityLimits
from lionproc.engine.quotas import ProviderQuotas, Signals
from lionproc.engine.reservation import Reservation
from lionproc.engine.spell import Refusal
from lionproc.engine.stats import LearnedFrom
from lionproc.engine.tokens import (
    INPUT,
    OUTPUT,
    QUANTITIES,
    REQUESTS,
    TOKENS,
    Amounts,
    Tokens,
    amounts_of,
)
from lionproc.errors import CallError, Kind

log = logging.getLogger("lionproc.engine")
CHECK_S = 0.25  # how often a moving pace is looked at
LATE_S = 0.02  # what an even pace makes up for timers that come late
SHORT = 10  # a run of this many times the concurrency is too short for slow start
SLOWER = 1.6  # than without load: in slow start that is a queue
SLOT_CHECK_S = 5.0  # a freed slot wakes the limiter; this only bounds what a fault could cost


class Learned(NamedTuple):
    """What is known of the server's limit, and from where; see `RunStats`."""

    per_minute: float | None = None
    source: LearnedFrom = ""


class Limiter:
    """Sends requests on at the pace of the limits, in the order they came.

    It has more than 25 methods because all that happens to a reservation, and all that is asked
    about the pace, goes through the one account that it keeps.

    Args:
        limits: The live limits; their changes act at once.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()
        self._news = News()
        self._quantities = QuantityLimits()
        self._wants_slot = False
        self._wants_word = False  # waits for what the headers said, and later ones may say more
        self._listeners: list[weakref.WeakMethod[Callable[[], None]]] = []
        self._stale = True
        self._checked_at = -math.inf
        self._paced: float | None = None
        self._paced_from = -math.inf  # when the last one was due
        self.in_flight = 0
        self.peak_in_flight = 0
        self.departures = 0
        self.waiting_for = ""
        self.ignored = ""  # a header that cannot be meant
        self.quotas = ProviderQuotas()
        self.congestion = Congestion()
        self.adaptive = AdaptiveConcurrency()
        self.identity = ""  # of the endpoint, to find again what was learned of it
        self.connections: int | None = None  # that the process can open
        self._limits = limits or Limits()
        self.limits_of_run: Limits | None = None  # the last that a run was given
        self.lender: Lender | None = None  # of a budget that others use too
        self.folder: Path | None = None  # where that is kept for limits that are shared
        self._placed = False  # whether the lender was put here, and not for shared limits
        self._limits.on_change(self._changed)

    # -- limits -----------------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """The live limits. Assigning others makes those the live ones."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        if limits is not self._limits:
            self._limits = limits
            limits.on_change(self._changed)
            self._changed()

    def _changed(self) -> None:
        """Any thread: the limits are others now."""
        self._stale = True
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, so nobody waits
                loop.call_soon_threadsafe(self._spread)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call a bound method on the engine's loop after every change of the limits.

        Its object is held weakly.
        """
        self._listeners[:] = [ref for ref in self._listeners if ref()]
        self._listeners.append(weakref.WeakMethod(listener))

    def _spread(self) -> None:
        self._news.tell()
        for ref in self._listeners:
            listener = ref()
            if listener is not None:
                listener()

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight now."""
        limits = self._limits
        most, known, cap = limits.concurrency, self.connections, self.adaptive.cap
        if known is not None and known < most:
            most = known
        return cap if cap is not None and cap < most and limits.adapt else most

    def effective(self, quantity: str, limits: Limits | None = None) -> float | None:
        """The limit per minute that is kept for a quantity: the person's or, lower, the provider's.

        Args:
            quantity: What is counted, one of `QUANTITIES`.
            limits: A person's limits to look at in place of the live ones.
        """
        limits = limits or self._limits
        theirs = self.quotas.limits.get(quantity) if limits.adapt else None
        known = [limit for limit in (self._own(quantity, limits), theirs) if limit is not None]
        return min(known) if known else None

    def _own(self, quantity: str, limits: Limits | None = None) -> float | None:
        """The limit per minute that a person set."""
        limits = limits or self._limits
        return {
            REQUESTS: limits.requests_per_minute,
            TOKENS: limits.tokens_per_minute,
            INPUT: limits.input_tokens_per_minute,
            OUTPUT: limits.output_tokens_per_minute,
        }[quantity]

    def _refresh(self, now: float) -> None:
        """Bring what is kept up to date with the limits and with what the server taught."""
        self._checked_at = now
        if self.congestion.is_probing:  # look again when it is known what becomes of it
            self._checked_at = min(now, self.congestion.hold_until - CHECK_S - 1e-6)
        adapt = self._limits.adapt
        if self._stale:
            self._stale = False
            self._heed_shared()
            self._paced = None
            per_minute = [self.effective(quantity) for quantity in QUANTITIES]
            self._quantities.set(per_minute, self._limits.burst_seconds, now)
        opened_at = self.congestion.look(now)
        if opened_at is not None:
            self._paced_from = opened_at
        if adapt:
            if self._quantities.any_known:
                self.congestion.skip_start()
            self.congestion.is_stated = self._limits.requests_per_minute is not None
            self._paced = self.congestion.pace(now)

    # -- a budget that others use too ---------------------------------------------------------

    def borrow(self, office: Office | None, *, place: str = "", own: bool = False) -> Lender | None:
        """Take permissions from a budget that is kept elsewhere, from now on.

        Args:
            office: Where it is kept; None for no such budget any more.
            place: Where this is.
            own: Whether the limits here are to be those of the budget.
        """
        if office is None:
            self.lender = None
        else:
            self.lender = Lender(self, office, own=own, place=place)
        self._placed = office is not None
        self._stale = True
        return self.lender

    def _heed_shared(self) -> None:
        """Have a lender where the limits are shared, and none where they are not any more."""
        shared = self._limits.shared and bool(self.identity)
        if self._placed or shared == (self.lender is not None):
            return
        if not shared:
            self.lender = None
            return
        from lionproc.engine.home import home
        from lionproc.engine.shared_file import SharedFile

        self.lender = Lender(self, SharedFile(self.folder or home(), self.identity))

    def own_limits(self) -> PerMinute:
        """The limits per minute that a person set, for each quantity."""
        return tuple(self._own(quantity) for quantity in QUANTITIES)

    def take_limits(self, limits: PerMinute) -> None:
        """Make these the limits per minute: somebody else who shares them has set them."""
        names = ("requests", "tokens", "input_tokens", "output_tokens")
        pairs = zip(names, limits, strict=True)
        self._limits.update(**{f"{name}_per_minute": limit for name, limit in pairs})

    def taught(self) -> PerMinute:
        """What the server says that the limits are; nothing where that is not to be learned."""
        if not self._limits.adapt:
            return ()
        return tuple(self.quotas.limits.get(quantity) for quantity in QUANTITIES)

    def past(self, now: float) -> list[tuple[float, list[float]]]:
        """What was sent in the last minute."""
        return self._quantities.past(now)

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
        for name, amount in zip(QUANTITIES, amounts_of(tokens), strict=True):
            limit = self._own(name)
            if limit is None or amount <= max(limit, 1.0):
                hint = self.effective(name)
                if hint is not None and amount > max(hint, 1.0):
                    self.quotas.disbelieve(name)
                    self._stale = True
            else:
                what = "tokens" if name == TOKENS else f"{name} tokens"
                raise CallError(
                    Kind.TOO_LARGE,
                    f"This request needs about {amount:,.0f} {what}, more than the limit of "
                    f"{limit:,.0f} a minute can ever admit. Raise the limit, shorten the prompt "
                    "or set max_tokens.",
                )

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
        if self._stale or now - self._checked_at > CHECK_S:
            self._refresh(now)
        amounts = amounts_of(tokens)
        return max(self._wait_s(amounts, now), self._quantities.due_s(amounts, now))

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
        if self._turn.locked() or self._loop is None:
            return None
        now = self._looked(self._loop)
        if self._quantities.active or self.lender is not None:
            return None
        amounts = amounts_of(tokens)
        if self._wait_s(amounts, now) > 0:
            return None
        self.waiting_for = ""
        return self._grant(tokens, amounts, now)

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
        return await self._reserve(tokens)

    async def reserve_due(self, tokens: Tokens) -> Reservation:
        """`reserve`, for a request that `due_in` says may be sent now."""
        return await self._reserve(tokens, waited=True)

    async def _reserve(self, tokens: Tokens, *, waited: bool = False) -> Reservation:
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
            if self.connections is None:
                self.connections = most_connections()
        amounts = amounts_of(tokens)
        async with self._turn:
            paced = False
            with Loan(amounts) as loan:
                while True:
                    now = self._looked(loop)
                    wait = self._wait_s(amounts, now)
                    if wait > 0:
                        if wait == math.inf:
                            self.refuse(tokens)
                        if not self._stale:
                            await self._news.wait(wait)
                    elif not paced and not self._quantities.ready(amounts):
                        paced = await self._news.unless(
                            self._quantities.pace(amounts, waited=waited)
                        )
                    elif (lend_s := await loan.wait_s(self.lender)) is not None:
                        self.waiting_for = loan.waiting_for
                        await self._news.wait(lend_s)  # meanwhile all else may have changed
                    else:
                        if not paced:
                            await self._quantities.pace(amounts, waited=waited)
                        self.waiting_for = ""
                        made = self._grant(tokens, amounts, now)
                        made.lent = loan.use()
                        return made

    def _looked(self, loop: asyncio.AbstractEventLoop) -> float:
        """What time it is, with everything that is kept brought up to it now and then."""
        now = loop.time()
        if self._stale or now - self._checked_at > CHECK_S:
            self._refresh(now)
        return now

    def _wait_s(self, amounts: Amounts, now: float) -> float:
        """Seconds to wait before looking again; 0.0 to go."""
        self._wants_word = False
        self._wants_slot = self.in_flight >= self.concurrency
        if self._wants_slot:
            self.waiting_for = "a free slot"
            return SLOT_CHECK_S
        hold = self.congestion.reopening.hold_until - now
        if hold > 0:
            self.waiting_for = "the server, which has just refused requests"
            return hold
        if self._paced is not None:
            early = self._paced_from + 1.0 / self._paced - LATE_S - now
            if early > 0:
                self.waiting_for = "its turn at the pace that the server takes"
                return early
        wait = self._quantities.wait_s(amounts, now)
        if wait > 0:
            self.waiting_for = "room under the limit of the last minute"
            return wait
        if self._limits.adapt:
            wait = self.quotas.wait_s(amounts, now)
            if wait > 0:
                self._wants_word = True
                self.waiting_for = "the server, which has no more left for now"
        return wait

    def _grant(self, tokens: Tokens, amounts: Amounts, now: float) -> Reservation:
        bucket = self._quantities.sent(amounts, now)
        self.quotas.departed(amounts)
        congestion = self.congestion
        if self._paced is None:
            self._paced_from = now
        else:
            # Evenly spaced: after a 429 the server has nothing in store for a burst.
            self._paced_from = max(self._paced_from + 1.0 / self._paced, now)
        if congestion.departed(now):
            self._checked_at = -math.inf
        self.in_flight += 1
        slots = self.concurrency
        full = slots if self.in_flight >= slots else None
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        number = self.departures
        self.departures += 1
        return Reservation(number, now, congestion.epoch, tokens, bucket, self.quotas.mark(), full)

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
            if self.congestion.window is not None:
                self._start_up(latency_s)
            self.adaptive.replied(
                reservation.number, latency_s, reservation.at, now, reservation.full
            )
            if signals is not None:
                self._learn(signals, reservation, now)

    def _start_up(self, latency_s: float) -> None:
        """Slow start goes on, until latency shows that the server queues (RFC 9406)."""
        congestion = self.congestion
        congestion.admitted(latency_s, self._limits.concurrency)
        # Few replies do not tell how long one takes without load.
        if self.in_flight > 32 and self.adaptive.slows(congestion.reply_s or 0.0, by=SLOWER):
            self.adaptive.queues(self.in_flight, congestion.reply_s or latency_s)
            congestion.window = None
        self._news.tell()

    def throttled(self, reservation: Reservation, signals: Signals) -> None:
        """A 429 came back: everybody waits, and the pace is cut once per storm."""
        self._free(reservation)
        loop = self._loop or asyncio.get_running_loop()
        now = loop.time()
        self._learn(signals, reservation, now)
        congested = self.congestion.refused(
            Refusal(
                now,
                reservation.epoch,
                reservation.number,
                now - reservation.at,
                self._rate(now),
                signals.wait_s,
                random.random(),
                any(quota.remaining == 0 for quota in signals.quotas.values()),
            )
        )
        if congested:
            self._checked_at = -math.inf
            self._news.tell()
            if self.lender is not None:
                self.lender.refused(self.holding_s())

    def failed(self, reservation: Reservation, retry_after_s: float | None = None) -> None:
        """It failed in another way. A failed request counts against the limit all the same."""
        self._free(reservation)
        if retry_after_s:
            loop = self._loop or asyncio.get_running_loop()
            until = loop.time() + min(retry_after_s, 600.0)
            self.congestion.reopening.ask(until)
            self._news.tell()

    def cancel(self, reservation: Reservation) -> None:
        """It was never sent: everything is given back."""
        self._free(reservation)
        amounts = amounts_of(reservation.tokens)
        self._quantities.correct(reservation.bucket, [-amount for amount in amounts])
        if reservation.lent and self.lender is not None:
            self.lender.give_back(reservation.at, amounts)

    def redate(self, reservation: Reservation) -> None:
        """It is sent only now, for it had to wait at another limiter: count it from here."""
        now = asyncio.get_running_loop().time()
        reservation.at = now
        reservation.bucket = self._quantities.redate(
            reservation.bucket, amounts_of(reservation.tokens), now
        )

    def _free(self, reservation: Reservation) -> None:
        if not reservation.open:
            raise RuntimeError("This reservation was already given back.")
        reservation.open = False
        self.in_flight -= 1
        if self._wants_slot:
            self._news.tell()

    def _correct(self, reservation: Reservation, used: Tokens) -> None:
        if used != reservation.tokens:
            pairs = zip(amounts_of(used), amounts_of(reservation.tokens), strict=True)
            deltas = tuple(after - before for after, before in pairs)
            self._quantities.correct(reservation.bucket, deltas)
            if reservation.lent and self.lender is not None:
                self.lender.correct(reservation.at, deltas)

    def _learn(self, signals: Signals, reservation: Reservation, now: float) -> None:
        if signals.ignored and not self.ignored:
            self.ignored = signals.ignored
            log.warning("a header cannot be meant and is ignored: %s", signals.ignored)
        if signals.quotas and self._limits.adapt:
            if self.quotas.learn(signals.quotas, reservation.mark, now):
                self._stale = True
            if self._wants_word:
                self._news.tell()

    @staticmethod
    def now() -> float:
        """Seconds of the engine's clock, by which everything here is timed."""
        return asyncio.get_running_loop().time()

    def _rate(self, now: float) -> float:
        """Requests per second that are sent: as many as may be, or fewer where slots are scarce."""
        known = self.effective(REQUESTS)
        left = max(self._quantities.sent_since(now - 1.0, REQUESTS), 1.0)
        rates = [r for r in (known / 60 if known else None, self._paced) if r is not None]
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
        return self._quantities.per_minute(quantity, window_s, limit, self._loop.time())

    @property
    def pace_per_minute(self) -> float | None:
        """Requests per minute that are allowed now, where the server taught less than is set."""
        return None if self._paced is None else self._paced * 60

    @property
    def learned(self) -> Learned:
        """The rate of requests that the server takes, as far as it is known."""
        said = self.quotas.limits.get(REQUESTS) if self._limits.adapt else None
        if said is not None:
            return Learned(said, "headers")
        pace = self.pace_per_minute
        rate = self.congestion.rate
        if rate is None or pace is None:
            return Learned()
        return Learned(60 * rate, "refusals" if self.congestion.epoch else "earlier run")

    def begin(self, rows: int, seen: Pace | None) -> None:
        """A run begins, on the engine's loop.

        Args:
            rows: How many requests it may send.
            seen: What an earlier run saw of this endpoint.
        """
        if rows <= SHORT * self._limits.concurrency:
            self.congestion.skip_start()
        if self.departures == 0 and seen is not None and self._limits.adapt:
            self.congestion.begin_with(seen.per_s, limited=seen.limited)

    def seen(self, seconds: float) -> Pace | None:
        """What a run of so many seconds saw of this endpoint; None if that is no knowledge."""
        rate = self.congestion.rate
        if rate is not None:
            return Pace(rate, limited=True)
        left = self.per_minute(REQUESTS, min(max(seconds, 1.0), 60.0)) / 60
        unrefused = self.congestion.epoch == 0 and left > START_PER_S
        return Pace(left, limited=False) if unrefused else None

    def holding_s(self) -> float:
        """Seconds for which everybody still waits after a refusal."""
        if self._loop is None:
            return 0.0
        return max(self.congestion.hold_until - self._loop.time(), 0.0)

    def hold_note(self) -> str:
        """Why nobody may send for a while, as a sentence; empty where that is not so.

        Only what the server named is called its wish.
        """
        seconds = self.holding_s()
        if self._loop is None or seconds <= 0.5:
            return ""
        if self.congestion.reopening.asked_until > self._loop.time():
            return f"The server asked everybody to wait, {seconds:.0f} s more."
        return f"The server refused requests and named no time: trying again in {seconds:.0f} s."

    def __repr__(self) -> str:
        return f"<Limiter {self._limits!r}, {self.in_flight} in flight, {self.departures} sent>"
