"""How fast a server takes requests, found as TCP finds the rate of a path. Pure: time is handed in.

What the server says is believed: nothing leaves before the time it names. Where it says nothing:

1. Slow start: a few requests, and one more in flight for each reply, as TCP's window opens (RFC
   5681); the rate of departures doubles quickly too, so a server that refuses meets few at once.
2. A refusal (429) is congestion: all wait, shortly; then one request looks whether the server is
   open again. While it is not, the waits grow (RFC 6298), to the end of the second, ten seconds or
   minute that the limit may be by; a known window is waited out at once.
3. Each opening ends a measurement: what was admitted from one opening to the next, over the time
   between, is the server's limit, however it counts. The rate falls to just below that (TCP
   Westwood, Mascolo et al., 2001; BBR's delivery rate), not to a share of what it was.
4. It stays there until the refusals are paid for, `WORTH` requests each, rises to the limit on a
   cubic curve (RFC 9438), then doubles until the next refusal: limits grow, neighbours leave.
5. A refusal at a rate that was measured to be admitted is none of our doing. It is undone, as TCP
   undoes losses that were none (RFC 4015), and more of them in a row are wanted the next time:
   a sequential test of "every second is refused" against "a few in a hundred" (Wald, 1945). Those
   that fail the test are stray, and cost their own row a retry and nobody else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

MAX_HOLD_S = 600.0  # longer than any limit by the minute can mean
WINDOW = 10  # requests in flight before the first reply
START_PER_S = 20.0  # until the first reply says how long one takes
QUICK_S = 0.35  # with quicker replies the window would outrun the refusals
HEADROOM = 0.95  # of the measured rate
PATIENCE_S = 8.0  # before more is looked for, and
WORTH = 80  # requests for that, as one refusal in a hundred requests is all it may cost
DOUBLING_S = 4.0
FORGOTTEN = 4  # a rate that doubled more often without a refusal is no bound any more
MOST_IN_STORE_S = 60.0  # what a bucket may hold, in seconds of its rate
WINDOWS_S = 1.0, 10.0, 60.0  # that limits are usually by
LONGEST_S = 30.0  # a wait of our own
SURE = 3.0  # of congestion: the logarithm of the odds
FEW = 0.005, 0.1  # the share of stray refusals, at least and at most
MANY = 0.2  # the share of refusals in a congestion


class Refusal(NamedTuple):
    """A 429, and how things stood when it came.

    Attributes:
        now: Seconds of the loop's clock.
        epoch: `Congestion.epoch` when the request left.
        number: Which request of this limiter it was, from 0.
        departures: How many requests have left by now.
        took_s: Seconds from its leaving to the refusal.
        per_s: Requests per second that left lately.
        retry_after_s: Seconds the server asks for.
        jitter: A random number from 0 to 1, so that many clients do not wake together.
    """

    now: float
    epoch: int
    number: int
    departures: int
    took_s: float
    per_s: float
    retry_after_s: float | None
    jitter: float


@dataclass(slots=True)
class Spell:
    """From an opening of the server to the refusal that ended it."""

    opened_at: float
    closed_at: float
    admitted: int
    per_s: float  # at its end


@dataclass(slots=True)
class Curve:
    """The rate over the time since an opening: from `low` to `top`, flat there, then doubling."""

    low: float
    top: float
    patience_s: float
    doubling_s: float = DOUBLING_S

    def at(self, open_s: float) -> float | None:
        """Requests per second; None where it is no bound any more."""
        left = 1.0 - open_s / self.patience_s
        if left > 0:
            return self.top - (self.top - self.low) * left**3
        doublings = (open_s - self.patience_s) / self.doubling_s
        return None if doublings > FORGOTTEN else self.top * 2.0**doublings


class Congestion:
    """What the refusals of one server teach.

    Attributes:
        epoch: How many times it was found congested.
        hold_until: When the next request may leave.
        window: Requests in flight that slow start allows, None once it is over.
        probe: The number of the request that looks whether the server is open.
        gap_s: Seconds for which the others wait for what becomes of it.
        rate: Requests per second that it was measured to take, None where that is not known.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.hold_until = 0.0
        self.probe = 0
        self.gap_s = 0.0
        self.rate: float | None = None
        self.window: int | None = WINDOW
        self.reply_s: float | None = None  # how long a reply takes
        self._curve: Curve | None = None
        self._opened_at: float | None = None
        self._left_at = -math.inf
        self._refused = 0  # of those that left since the opening
        self._spell: Spell | None = None
        self._counted = 0.0, 0.0  # admitted, and seconds, that the rate rests on
        self._before = 0.0  # the rate before the last cut
        self._known: float | None = None  # the rate when the last spell ended, and the like
        self._was = self._counted, 0, 0.0, 0
        self._blind_s = 0.0  # by which the server may have opened before it was asked
        self._shut_s = 0.0  # for how long it is known to have been shut
        self._shut = 0  # times in a row that it was not open yet
        self._tries = 0  # of these, since the last guess
        self._is_window = False  # it was shut for longer than a bucket would be
        self._proofs = 0  # times in a row that the same was measured
        self.presumed = 0  # doubts in any refusal that there are before the first
        self._doubts = 0  # times that a measurement was contradicted
        self._stray = 0
        self._below = 0  # requests that left at no more than the rate
        self._astray = 0  # of these since the opening
        self._clean = True  # whether there were none in the last spell
        self._score = 0.0
        self._run = 0  # refusals at no more than the rate that the score is made of
        self._ran = 0  # of the last congestion
        self._last = 0  # number of the last refused request

    def skip_start(self) -> None:
        """No slow start: the run is too short to feel its way, or the limit is known."""
        if self.epoch == 0:
            self.window = None

    def begin_with(self, per_s: float, *, limited: bool) -> None:
        """Begin with what an earlier run saw of this server."""
        self.window, self._before = None, per_s
        if limited:
            self.rate, self._counted = per_s, (per_s * PATIENCE_S, PATIENCE_S)
            self._curve = Curve(HEADROOM * per_s, per_s, PATIENCE_S)
        else:
            self._curve = Curve(per_s, per_s, QUICK_S, QUICK_S)

    # -- on the way -------------------------------------------------------------------------

    def departed(self, now: float, pace: float | None) -> None:
        """A request leaves, at that pace."""
        if self.rate is None or (pace is not None and pace <= self.rate):
            self._below += 1
        if self._opened_at is None:
            self._opened_at = now
            if self._spell is not None:
                self._aim(self._spell, now)
        elif now - self._left_at > 1.0 and self._curve is not None:
            # Time in which nothing was asked proves nothing (RFC 7661).
            idle_s = now - self._left_at
            if idle_s * (self._curve.at(self._left_at - self._opened_at) or 0.0) > 2:
                self._opened_at += idle_s
        self._left_at = now

    def admitted(self, seconds: float, slots: int) -> None:
        """A reply came during slow start; it took so long, and that many slots there are."""
        if self.window is not None:
            self.window = self.window + 1 if self.window < 2 * slots else None
            known_s = self.reply_s or seconds
            self.reply_s = known_s + (seconds - known_s) / 8

    def pace(self, now: float) -> float | None:
        """Requests per second that may leave, None for no bound."""
        if self.window is not None:
            known_s = self.reply_s
            return max(START_PER_S, self.window / max(known_s or 1.0, QUICK_S))
        if self._curve is None:
            return None
        pace = self._curve.at(0.0 if self._opened_at is None else now - self._opened_at)
        if pace is None:  # nothing was refused at many times the rate
            self._curve = self._spell = self.rate = None
            self._contradicted()
        return pace

    def _contradicted(self) -> None:
        """A refusal had nothing to do with the rate."""
        self._doubts += 1
        self._stray += max(self._ran, 1)

    # -- refusals ---------------------------------------------------------------------------

    def refused(self, refusal: Refusal) -> bool:
        """A 429 came; returns True if it is congestion, False if it is stray or no news."""
        if refusal.epoch != self.epoch:
            self._came_late(refusal)
            return False
        self._refused += 1
        probing = self._spell is not None and refusal.number == self.probe
        below = self.rate is None or refusal.per_s <= self.rate
        if not probing and not self._is_congestion(refusal, below=below):
            if below and self._curve is not None:
                self._curve.patience_s = min(self._curve.patience_s, PATIENCE_S)
            return False
        self._clean = not self._astray and (self.rate is None or not self._run)
        self._ran, self._astray, self._score, self._run = self._run, 0, 0.0, 0
        admitted = refusal.departures - self.probe - self._refused
        if self._spell is not None and (probing or admitted <= 0):
            self._shut += 1
        else:
            self._shut = self._tries = 0
            self._known = self.rate
            self._was = self._counted, self._proofs, self._before, self._doubts
            opened_at = refusal.now if self._opened_at is None else self._opened_at
            self._spell = Spell(opened_at, refusal.now, admitted, refusal.per_s)
        self.epoch += 1
        self.probe = refusal.departures
        self._opened_at, self._refused = None, 0
        self._shut_s = refusal.now - self._spell.closed_at
        doubtful = self._spell.admitted > 0 and (self._shut or self.rate is None)
        self.gap_s = min(4 * refusal.took_s, 3.0) if doubtful else 0.0
        self._wait(refusal)
        return True

    def _came_late(self, refusal: Refusal) -> None:
        """It had left before the congestion was known, and was counted as admitted."""
        if refusal.epoch == self.epoch - 1 and self._spell is not None:
            self._spell.admitted -= 1
        if refusal.retry_after_s is not None and self._opened_at is None:
            self._hold(refusal.now + min(refusal.retry_after_s, MAX_HOLD_S))

    def _is_congestion(self, refusal: Refusal, *, below: bool) -> bool:
        """Whether the refusals up to this one are more than a few in a hundred."""
        few = self._few
        between = max(refusal.number - self._last - 1, 0)
        self._last = max(refusal.number, self._last)
        self._score += between * math.log((1 - MANY) / (1 - few))
        if self._score <= 0:  # those before were stray
            self._stray += self._run
            self._astray += self._run
            self._score, self._run = 0.0, 0
        self._score += math.log(MANY / few)
        self._run += below
        return self._score >= SURE + 2 * max(self._doubts, self.presumed)

    @property
    def _few(self) -> float:
        """The share of requests that are refused whatever the rate."""
        least, most = FEW
        if self.presumed:
            least *= 4
        return min(max((self._stray + 0.5) / (self._below + 100), least), most)

    def _hold(self, until: float) -> None:
        self.hold_until = max(self.hold_until, until)

    def _wait(self, refusal: Refusal) -> None:
        """For as long as the server says; longer every time that it was not open then."""
        now, said_s, spell = refusal.now, refusal.retry_after_s, self._spell
        self._hold(now + 2 * refusal.took_s)  # those under way may be refused as well
        self._blind_s = 0.0
        if said_s is not None:
            self._hold(now + min(said_s, MAX_HOLD_S) * (1 + 0.05 * refusal.jitter) + 0.02)
            if not self._shut:
                return
        if spell is None or spell.admitted <= 0:
            wait_s = (0.37 if said_s is None else 0.05) * 1.15**self._shut
        else:
            wait_s = max(0.15, 1 / self.rate if self.rate else 0.0) * 3.0**self._tries
        self._blind_s = wait_s = min(wait_s, LONGEST_S) * (0.9 + 0.2 * refusal.jitter)
        self._tries += 1
        if spell is not None and spell.admitted * (now - spell.closed_at) > MOST_IN_STORE_S:
            for window_s in WINDOWS_S:
                left_s = spell.opened_at + window_s + 0.1 - now
                if 0.05 < left_s < 2 * wait_s:
                    wait_s, self._blind_s, self._tries = left_s, 0.0, 2
                    break
        elif spell is not None and self._is_window and spell.per_s < 1.6 * (self.rate or 0.0):
            # Windows open when what was admitted comes to the rate that was measured.
            even_s = spell.opened_at + spell.admitted / (self.rate or 1.0) - now
            self._blind_s = wait_s = max(wait_s, min(even_s, LONGEST_S))
        self._hold(now + wait_s)

    # -- the rate ---------------------------------------------------------------------------

    def _aim(self, spell: Spell, now: float) -> None:
        """The server may be open: set the rate from what the last spell showed."""
        if spell.admitted <= 0:
            self.window = WINDOW
            return
        self.window = None
        known, ended = self._known, spell.per_s
        (self._counted, self._proofs, self._before, self._doubts) = self._was
        seconds = max(now - spell.opened_at, 0.01)
        unclean = not self._clean and self._doubts < 3
        at_ease = known is not None and ended <= known
        as_many = spell.admitted * MANY > 1 or self._doubts == 0
        if not self._shut and as_many and (unclean or at_ease):
            self._contradicted()
            self._counted, self._proofs = (float(spell.admitted), seconds), 0
            top = max(self._before, ended)
            self._curve = Curve(top, top, 1.0, 1.0)
            return
        if self._clean and not self._shut:
            self._doubts = max(self._doubts - 1, 0)
        measured, at_most = self._bounds(spell.admitted, seconds)
        if self._before == 0.0 and spell.admitted * self._shut_s < MOST_IN_STORE_S:
            # What the server had in store is in the count: it is no more than a bound.
            top = self._before = min(ended / 4, at_most)
            self._doubts += 1
            self._curve = Curve(min(measured, top), top, 1.0, 1.0)
            return
        counted = float(spell.admitted), seconds
        before = self._counted[0] / self._counted[1] if self._counted[1] else 0.0
        if not at_ease and 0.9 * measured <= before <= 1.1 * at_most:
            # The same as before: known the better, the longer it is measured.
            self._proofs += 1
            counted = counted[0] + self._counted[0] / 2, counted[1] + self._counted[1] / 2
            measured, at_most = self._bounds(*counted)
        else:
            self._proofs = 0
        self._counted, self.rate, self._before = counted, measured, ended
        least_s = max(PATIENCE_S, WORTH / measured)
        patience_s = min(least_s * 2**self._proofs, max(3 * PATIENCE_S, least_s))
        patience_s = min(patience_s, max(PATIENCE_S, 4 * counted[1]))  # no more than it rests on
        held_s = now - spell.closed_at
        self._is_window = held_s > max(2.0, 20 / measured)
        low = HEADROOM * measured
        late = self._shut or (self._blind_s > 1 and not self._is_window)
        if late and at_most > 1.25 * measured:  # it was asked too late to tell
            low = math.sqrt(measured * at_most)
        else:
            patience_s = max(patience_s, min(12 * held_s, 120.0))
        # Without a store a server refuses at once what is above its limit, so the rate at the
        # end is a measurement too.
        if not self._shut:
            at_most = max(at_most, math.sqrt(measured * ended))
        if ended > 1.6 * measured and not self._is_window:  # mostly it was no limit
            patience_s = min(patience_s, PATIENCE_S)
        top = min(at_most, max(ended, measured))
        self._curve = Curve(min(low, top), top, patience_s, max(DOUBLING_S, held_s / 4))

    def _bounds(self, admitted: float, seconds: float) -> tuple[float, float]:
        """The least and the most that the rate can be."""
        open_s = max(seconds - self._blind_s, 0.1 * seconds)
        return max(admitted, 0.5) / seconds, (admitted + 1) / open_s
