"""What the server teaches by its 429s: a pace. Pure: time is handed in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

MAX_HOLD_S = 600.0  # longer than any limit by the minute can mean
FORGOTTEN = 4  # a pace that doubled more often without a 429 is no bound any more


class Refusal(NamedTuple):
    """A 429, and how things stood when it came.

    Attributes:
        now: Seconds of the loop's clock.
        epoch: `Storms.epoch` when the request left.
        number: Which request of this limiter it was, from 0.
        left_at: When it left.
        departures: How many requests have left by now.
        in_flight: How many others are still out.
        pace: Requests per second that are allowed now, or left lately.
        retry_after_s: Seconds the server asks for.
        jitter: A random number from 0 to 1, so that many clients do not wake together.
    """

    now: float
    epoch: int
    number: int
    left_at: float
    departures: int
    in_flight: int
    pace: float
    retry_after_s: float | None
    jitter: float


@dataclass(slots=True)
class Spell:
    """From an opening of the server to the 429 that ended it, and what the times before taught."""

    opened_at: float
    closed_at: float
    admitted: int
    pace: float  # when it ended
    known: float | None  # requests per second, as measured until it began
    trust: float  # seconds that this knowledge counts for
    guessed: bool  # nothing has been measured before, only guessed


class Storms:
    """Finds the pace from 429s.

    A storm is one 429 of a request that left after the last cut; those already under way do not
    cut again. A 429 says that whatever the server has in store is used up. So between two storms
    it admitted just what its limit is, and counting that needs no idea of how the server counts:
    the requests admitted since it last opened, over the time until it opens again. The pace
    falls to that rate, not to a share of the old pace, as TCP Westwood does (Mascolo et al.,
    2001). It starts a little below, reaches the limit on a cubic curve that is flat there, as
    CUBIC's is (RFC 9438), and after the plateau looks for more: twice as much for every plateau's
    length that brings no 429. The surer the measurement, the longer the plateau.

    Three cases need more:

    * The first storm of a run only shows that some store is used up: the pace is guessed.
    * The first request after a wait is refused as well: the server has not opened. Waits grow
      threefold, but none goes past a minute since the last opening, for limits are by the
      minute, and its answer is waited for before others follow.
    * 429s soon after a cut, at a pace that the server has just been seen to take. Every one
      cuts deeper, which proves it: when `STARTS` is used up they have nothing to do with the
      pace, and what they cost is given back, as TCP does for losses that were none (RFC 4015).
      They cut nothing for a while then, unless most requests begin to be refused.
    """

    PLATEAU_S = 30.0
    LEAST_PLATEAU_S = 4.0
    LEAST_DOUBLING_S = 6.0
    SURE = 30  # requests that make a count a rate
    STARTS = (0.97, 0.7)  # of the measured rate, by 429s that contradict it
    BRIEF = 0.1  # a wait of this share of the spell may be the client's doing
    FEW = 5  # requests between storms
    MANY = 4  # late 429s of one storm
    WAIT_S = 0.25
    LONGEST_WAIT_S = 30.0
    UNRELATED_S = 60.0  # for which 429s cut nothing, the first time
    LEAST_PER_S = 0.05

    def __init__(self) -> None:
        self.epoch = 0
        self.count = 0
        self.hold_until = 0.0
        self.first = 0  # number of the first request of this epoch
        self.gap_s = 0.0  # between the first request and the second, for the answer to come
        self._opened_at: float | None = None
        self._spell: Spell | None = None
        self._before: Spell | None = None
        self._known: float | None = None
        self._held_s = 0.0
        self._blind_s = 0.0  # the part of it by which the server may have opened earlier
        self._barren = 0  # storms in a row that found the server closed
        self._late = 0  # 429s to requests from before the last storm
        self._out = 0  # requests that were out then
        self._top: float | None = None
        self._start = 0.0
        self._plateau_s = self.PLATEAU_S
        self._strikes = 0
        self._lean = 0
        self._before_strikes = 0.0
        self._unrelated_from: float | None = None
        self._unrelated_s = self.UNRELATED_S

    def opened(self, now: float) -> None:
        """The first request since the last storm leaves."""
        self._opened_at = now

    def throttled(self, refusal: Refusal) -> bool:
        """A 429 came; returns True if it began a storm."""
        now = refusal.now
        if refusal.retry_after_s is not None:
            asked = min(refusal.retry_after_s, MAX_HOLD_S)
            self._hold(now + asked * (1 + 0.05 * refusal.jitter) + 0.02)
        if refusal.epoch != self.epoch:
            if refusal.epoch == self.epoch - 1:
                self._came_late()
            return False
        self._end_spell(refusal)
        self.epoch += 1
        self.count += 1
        self.first = refusal.departures
        longest_s = 3.0 if self._barren else 0.3 if self._unrelated_from is None else 0.0
        self.gap_s = min(4 * (now - refusal.left_at), longest_s)
        self._opened_at = None
        self._late, self._out = 0, refusal.in_flight
        self._wait(now, refusal.jitter)
        self._aim()
        return True

    def _hold(self, until: float) -> None:
        self.hold_until = max(self.hold_until, until)

    def _wait(self, now: float, jitter: float) -> None:
        """Wait for as long as a request takes, longer every time that the server stays shut."""
        interval_s = min(1 / self._known, 2.0) if self._known else 0.0
        wait = max(self.WAIT_S, interval_s) * math.pow(3.0, min(self._barren, 9))
        wait = min(wait, self.LONGEST_WAIT_S) * (0.5 + 0.5 * jitter)
        self._blind_s = 0.0
        if self._barren and self._spell is not None:
            if now + wait > self.hold_until:
                self._blind_s = wait
            minute = self._spell.opened_at + 60.1 - now
            if 0.05 < minute < wait:
                wait, self._blind_s = minute, 0.0
        self._hold(now + wait)

    def _came_late(self) -> None:
        """A request counted as admitted was not."""
        self._late += 1
        if self._spell is None:
            return
        self._spell.admitted -= 1
        if self._spell.admitted <= 0 and self._before is not None:
            # Nothing came through: the server never opened since the spell before.
            self._spell, self._before = self._before, None
            self._barren += 1
        self._aim()

    def _end_spell(self, refusal: Refusal) -> None:
        if self._spell is not None and refusal.number == self.first:
            self._barren += 1
            return
        opened_at = refusal.left_at if self._opened_at is None else self._opened_at
        admitted = refusal.departures - self.first - 1
        # Where slots are scarce, less leaves than the pace allows.
        sent = (admitted + 1) / max(refusal.now - opened_at, 0.05)
        pace = min(refusal.pace, 2 * sent) if admitted >= self.FEW else refusal.pace
        before = self._before = self._spell
        guessed = before is None or (before.known is None and not self._barren)
        self._doubt(refusal.now, refusal.now - opened_at, admitted, pace)
        self._barren = 0
        self._spell = Spell(
            opened_at,
            refusal.now,
            admitted,
            pace,
            self._known,
            # What follows a long wait may be the echo of how the time before it began.
            1.0 + self._held_s,
            guessed,
        )

    def _doubt(self, now: float, lasted_s: float, admitted: int, pace: float) -> None:
        """Notice 429s that have nothing to do with the pace."""
        self._lean = self._lean + 1 if admitted < self.FEW else 0
        if self._unrelated_from is not None:
            if now > self._unrelated_from + self._unrelated_s:
                self._unrelated_from = self._top = None
                self._unrelated_s *= 2
                self._strikes = 0
                self._before_strikes = pace
            return
        top, spell = self._top, self._spell
        if top is None or pace > 1.05 * top or lasted_s > self.PLATEAU_S / 2:
            self._strikes = max(self._strikes - 1, 0)
            if not self._strikes:
                self._before_strikes = pace
        elif (
            spell is not None
            and spell.known is not None
            and admitted >= self.FEW
            and spell.admitted + admitted >= 3 * self.FEW
        ):
            self._strikes += 1
            if self._strikes == len(self.STARTS):
                self._strikes = 0
                self._unrelated_from = now

    def _aim(self) -> None:
        """Set the pace from the last spell."""
        spell = self._spell
        if spell is None:
            return
        if spell.known is None and not self._barren:
            self._known = 0.25 * spell.pace
            self._top, self._start = 0.5 * spell.pace, 0.1 * spell.pace
            self._plateau_s = self.LEAST_PLATEAU_S
            return
        active_s = max(spell.closed_at - spell.opened_at, 0.05)
        self._held_s = self.hold_until - spell.closed_at
        brief = self._held_s < self.BRIEF * active_s
        seconds = active_s if brief else active_s + self._held_s
        admitted = max(spell.admitted, 0.5)
        rate = self._blend(spell, admitted, seconds)
        self._known = rate
        if self._unrelated_from is not None:
            if self._late < max(self.MANY, self._out / 4) and not self._barren and self._lean < 3:
                return
            self._unrelated_from = None
            self._unrelated_s = self.UNRELATED_S
        # Without a store a server refuses at once what is above its limit, so the pace itself
        # is a measurement, if the wait was too short to fill a store.
        self._top = math.sqrt(rate * max(rate, spell.pace)) if brief else rate
        self._start = self.STARTS[self._strikes] * rate
        sure = min(admitted / self.SURE, 1.0)
        if self._held_s < 2:
            sure *= active_s / (active_s + self._held_s)
        sure *= 1 - self._blind_s / (active_s + self._held_s)
        self._plateau_s = max(self.PLATEAU_S * sure, self.LEAST_PLATEAU_S)

    def _blend(self, spell: Spell, admitted: float, seconds: float) -> float:
        """The measured rate, drawn towards what was known by how little it rests on."""
        rate = admitted / seconds
        if spell.known is None:
            return max(rate, self.LEAST_PER_S)
        weight = admitted / (admitted + (2.0 if spell.guessed else self.FEW + 1))
        if not spell.guessed:
            weight = min(weight, seconds / (seconds + spell.trust))
        return max(spell.known * math.pow(rate / spell.known, weight), self.LEAST_PER_S)

    def pace(self, now: float) -> float | None:
        """Requests per second that the server has shown to take, None if it never refused."""
        if self._unrelated_from is not None:
            return self._before_strikes * math.pow(2.0, min(now - self._unrelated_from, 10.0))
        if self._top is None:
            return None
        open_s = 0.0 if self._opened_at is None else now - self._opened_at
        left = 1.0 - open_s / self._plateau_s
        if left > 0:
            return self._top - (self._top - self._start) * left**3
        beyond_s = open_s - self._plateau_s
        doublings, part = divmod(beyond_s / max(self._plateau_s, self.LEAST_DOUBLING_S), 1.0)
        if doublings > FORGOTTEN:
            self._top = None
            return None
        return self._top * math.pow(2.0, doublings) * (1 + part**3)
