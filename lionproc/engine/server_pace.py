"""The pace that one server takes, and how many requests in flight: learned from what it answers.

Lives on the engine's loop. What is learned, and how, is in `congestion`, `concurrency_limit` and
`adaptive_concurrency`; here it becomes waiting, and words for a person.
"""

from __future__ import annotations

import math
import random
from collections import deque
from statistics import median
from typing import NamedTuple

from lionproc.engine.adaptive_concurrency import AdaptiveConcurrency
from lionproc.engine.concurrency_limit import ConcurrencyLimit
from lionproc.engine.congestion import START_PER_S, Congestion
from lionproc.engine.last_pace import Pace
from lionproc.engine.quotas import Signals
from lionproc.engine.reservation import Reservation
from lionproc.engine.spell import Refusal
from lionproc.engine.stats import LearnedFrom

__all__ = ["Learned", "ServerPace", "Wait"]

LATE_S = 0.02  # what an even pace makes up for timers that come late
SLOWER = 1.6  # than without load: in slow start that is a queue
FEW = 32  # replies do not tell how long one takes


class Wait(NamedTuple):
    """Why a request does not leave now, and after how many seconds to look again."""

    seconds: float
    why: str


class Learned(NamedTuple):
    """What is known of the server's limit, and from where; see `RunStats`."""

    per_minute: float | None = None
    source: LearnedFrom = ""


class ServerPace:
    """What one server was seen to take.

    Attributes:
        congestion: The search for its rate.
        adaptive: The search for how many requests in flight it takes well.
        at_once: How many it takes at all, where it refuses more.
        per_s: Requests per second that may leave, None for no bound.
    """

    def __init__(self) -> None:
        self.congestion = Congestion()
        self.adaptive = AdaptiveConcurrency()
        self.at_once = ConcurrencyLimit()
        self.per_s: float | None = None
        self._due_from = -math.inf  # when the last one was due
        self._lately: deque[float] = deque(maxlen=FEW)

    @property
    def cap(self) -> int | None:
        """How many requests may be in flight by what was learned; None where nothing was."""
        well, at_all = self.adaptive.cap, self.at_once.cap
        return well if at_all is None else at_all if well is None else min(well, at_all)

    # -- on the way -------------------------------------------------------------------------

    @property
    def known_at(self) -> float:
        """When it is known what became of the request that looks; inf if none does."""
        return self.congestion.hold_until if self.congestion.is_probing else math.inf

    def refresh(self, now: float, *, adapt: bool, limited: bool, stated: bool) -> None:
        """Bring the pace up to date.

        Args:
            now: Seconds of the loop's clock.
            adapt: Whether a person wants what is learned to be kept.
            limited: Whether any limit is known.
            stated: Whether a person stated a limit of requests.
        """
        opened_at = self.congestion.look(now)
        if opened_at is not None:
            self._due_from = opened_at
        if not adapt:
            self.per_s = None
            return
        if limited:
            self.congestion.skip_start()
        self.congestion.is_stated = stated
        self.congestion.skip_idle(now)
        self.per_s = self.congestion.pace(now)

    def wait(self, now: float) -> Wait | None:
        """Why the next request waits; None if it may leave now."""
        hold = self.congestion.reopening.hold_until - now
        if hold > 0:
            return Wait(hold, "the server, which has just refused requests")
        if self.per_s is not None:
            early = self._due_from + 1.0 / self.per_s - LATE_S - now
            if early > 0:
                return Wait(early, "its turn at the pace that the server takes")
        return None

    def departed(self, now: float) -> bool:
        """A request leaves; returns True if the others wait for what becomes of it."""
        if self.per_s is None:
            self._due_from = now
        else:
            # Evenly spaced: after a 429 the server has nothing in store for a burst.
            self._due_from = max(self._due_from + 1.0 / self.per_s, now)
        return self.congestion.departed(now)

    def withdrawn(self, number: int, now: float) -> None:
        """A request that had its turn does not leave."""
        self.congestion.withdrawn(number, now)

    # -- what came of it --------------------------------------------------------------------

    def replied(
        self, reservation: Reservation, latency_s: float, now: float, slots: int, in_flight: int
    ) -> bool:
        """A good reply came; returns True if more may leave because of it.

        Args:
            reservation: What it was sent with.
            latency_s: Seconds it took.
            now: Seconds of the loop's clock.
            slots: The concurrency that a person set.
            in_flight: How many requests are still under way.
        """
        starts = self.congestion.window is not None
        if starts:
            self._start_up(latency_s, slots, in_flight)
        at, full = reservation.at, reservation.full
        self.adaptive.replied(reservation.number, latency_s, at, now, full)
        return self.at_once.replied(at, full, now) or starts

    def _start_up(self, latency_s: float, slots: int, in_flight: int) -> None:
        """Slow start goes on, until latency shows that the server queues (RFC 9406)."""
        congestion = self.congestion
        congestion.admitted(latency_s, slots)
        self._lately.append(latency_s)
        # Answers differ in length, and hence in time: few of them tell nothing of a queue.
        if in_flight > FEW and self.adaptive.slows(median(self._lately), by=SLOWER):
            self.adaptive.queues(in_flight, median(self._lately))
            congestion.window = None

    def throttled(
        self, reservation: Reservation, signals: Signals, now: float, per_s: float
    ) -> bool:
        """A 429 came; returns True if it is congestion, so that everybody waits.

        Args:
            reservation: What the request was sent with.
            signals: What the refusal says about limits.
            now: Seconds of the loop's clock.
            per_s: Requests per second that are sent.
        """
        return self.congestion.refused(
            Refusal(
                now,
                reservation.epoch,
                reservation.number,
                now - reservation.at,
                per_s,
                signals.wait_s,
                random.random(),
                any(quota.remaining == 0 for quota in signals.quotas.values()),
            )
        )

    # -- from run to run --------------------------------------------------------------------

    def begin_with(self, seen: Pace) -> None:
        """Begin with what an earlier run saw of this server."""
        self.congestion.begin_with(seen.per_s, limited=seen.limited)

    def seen(self, left_per_s: float) -> Pace | None:
        """What a run saw of this server that sent so many a second; None if that is nothing."""
        rate = self.congestion.rate
        if rate is not None:
            return Pace(rate, limited=True)
        unrefused = self.congestion.epoch == 0 and left_per_s > START_PER_S
        return Pace(left_per_s, limited=False) if unrefused else None

    # -- for readers ------------------------------------------------------------------------

    @property
    def learned(self) -> Learned:
        """The rate of requests that the server takes, as far as its refusals tell."""
        rate = self.congestion.rate
        if rate is None or self.per_s is None:
            return Learned()
        return Learned(60 * rate, "refusals" if self.congestion.epoch else "earlier run")

    def holding_s(self, now: float) -> float:
        """Seconds for which everybody still waits after a refusal."""
        return max(self.congestion.hold_until - now, 0.0)

    def hold_note(self, now: float) -> str:
        """Why nobody may send for a while, as a sentence; empty where that is not so.

        Only what the server named is called its wish.
        """
        seconds = self.holding_s(now)
        if seconds <= 0.5:
            return ""
        if self.congestion.reopening.asked_until > now:
            return f"The server asked everybody to wait, {seconds:.0f} s more."
        return f"The server refused requests and named no time: trying again in {seconds:.0f} s."
