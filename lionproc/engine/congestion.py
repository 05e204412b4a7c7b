"""How fast a server takes requests, found as TCP finds the rate of a path. Pure: time is handed in.

1. Slow start: one more in flight for each reply, as TCP's window opens (RFC 5681). Slow replies have
   it wait until a minute of 60 would be used up: hardly one more is on its way when that refuses.
2. A refusal (429) shuts the server, for as long as it says; else one request looks whether it is
   open, after waits that grow (RFC 6298) or end when a window ends (`reopening`).
3. Each opening ends a spell. What was admitted in it, over its time, is the limit (TCP Westwood,
   BBR); without a store for later what was not asked for is lost, so the pace that was refused is
   the upper bound (`spell`). Bounds are narrowed by each spell, or replaced if it contradicts them.
   Time in which nothing was asked is in the lower one alone (BBR's "app-limited").
4. The pace is held below a limit that is known, or rises between bounds that are not; then it
   doubles until the next refusal, and rests where the limit was before it fell, as CUBIC does:
   limits grow, neighbours leave (RFC 9438). It looks for more when its refusals are paid for, by
   150 requests each, or after half a minute; the longer a limit has stood, the later. If it fell,
   half; if it rose, what was measured across that is a lower bound, and so is all that was forgotten.
5. The first refusal is believed, and undone if the server is open (RFC 4015), or if it took what
   left after it or refused others by chance: then the spell goes on and counts as the first. A
   limit is proved by a burst alone, or a word of the server. Others at a pace that the server took
   are stray until a test says otherwise (`stray`): a stray refusal costs its own row a retry.
6. A limit that few refusals told, or that fell soon after it was found, is proved at once: twice as
   much is asked for, of which a limit refuses every second one and chance does not. It is proved
   again after two strays at its pace, and after four, unless it shut for a long window: who takes
   strays for a limit crawls for seconds.

More than 400 lines because a request, a refusal and an opening change one state; what can be told apart
from it (spells, strays, waits, curves) has modules of its own.
"""

from __future__ import annotations

import math
from dataclasses import replace

from lionproc.engine.curve import DOUBLING_S, Curve, twice
from lionproc.engine.reopening import Reopening
from lionproc.engine.spell import Bounds, Refusal, Spell
from lionproc.engine.stray import StrayTest

WINDOW = 10  # requests in flight before the first reply
START_PER_S = 20.0  # until the first reply says how long one takes
QUICK_S = 0.35  # with quicker replies the window would outrun the refusals
SMALL = 64  # a window until which slower replies hold it back: a minute of 60 is used up then
HEADROOM = 0.979  # of the measured rate
WORTH = 150  # requests that pay for a refusal
PATIENCE_S = 20.0  # before more is looked for, once all are paid for
LONG_S = 30.0  # while they are not, or as long as one more takes to be paid for
HINT_S = 60.0  # for which what an earlier run saw is believed, at most
AGE = 4  # of its parts one is waited before more is looked for: what has stood will stand
OLD_S = 1200.0  # and no limit is older
SEARCH_S = 0.7  # in which the pace doubles while a limit is told or proved
IDLE_S = 1.0  # without a request, at least, in which the pace allows two
FORGOTTEN = 16  # times the rate without a refusal: it is no bound any more
STORED_S = 2.0  # seconds of its rate that tell a store from requests that came late
USUAL_STORE_S = 10.0  # seconds of its rate that a bucket holds
YOUNG = 64  # requests: a limit that falls within so many is doubtful
PROVED = 3  # times: no strays make a limit doubtful any more
GAP_S = 3.0  # for what becomes of a probe, at most


class Congestion:
    """What the refusals of one server teach.

    Attributes:
        epoch: How many times it was found shut.
        window: Requests in flight that slow start allows, None once it is over.
        reply_s: How long a reply takes.
        bounds: The limit in requests per second, None where it is not known.
        reopening: When the next request may leave.
        stray: The test for refusals that do not come of the pace.
        is_stated: Whether a person stated a limit, who knows the server: it refuses others rather
            by chance.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.window: int | None = WINDOW
        self.reply_s: float | None = None
        self.bounds: Bounds | None = None
        self.reopening = Reopening()
        self.stray = StrayTest()
        self.is_stated = False
        self._is_hint = False  # whether that limit is what an earlier run saw
        self._curve: Curve | None = None
        self._spell: Spell | None = None  # that goes on, or ended while it is shut
        self._first: Spell | None = None
        self._is_sure = True  # that the first refusal was not stray
        self._passed = 0  # of those that left after it
        self._former = math.inf  # the limit before it fell
        self._changed_at = math.inf  # when it fell or rose, or was first known
        self._changed = -math.inf  # how many requests had left by then
        self._falls = 0  # in a row, each soon after the one before
        self._is_unproved = False  # whether the limit is yet to refuse a burst at twice its pace
        self._proofs = 1  # times that it did; once for a burst that first told it
        self._doubts = 0  # strays since then, at a pace that it allows
        self._is_doubted = False  # whether a pace that it took was refused, and measured the same
        self._has_window = False  # whether the server was ever found to count by long windows
        self._is_shut = False
        self._shut_at = -math.inf  # when what was refused last had left
        self._probe = 0  # the number of the request that looks whether it is open
        self._probed_at = 0.0
        self._gap_s = 0.0  # for which the others wait for what becomes of it
        self._departures = 0
        self._refused = 0  # of those that left since the opening
        self._refusals = 0  # in all
        self._left_at = -math.inf
        self._late_s = 0.0  # after which the probe left, from when it might have

    @property
    def hold_until(self) -> float:
        """When the next request may leave."""
        return self.reopening.hold_until

    @property
    def rate(self) -> float | None:
        """Requests per second that it was measured to take, None where that is not known."""
        return None if self.bounds is None else self.bounds.low

    @property
    def is_probing(self) -> bool:
        """Whether it is not yet known what becomes of the request that looks."""
        return self._is_shut and self._departures > self._probe

    def skip_start(self) -> None:
        """No slow start: the run is too short to feel its way, or the limit is known."""
        if self.epoch == 0:
            self.window = None

    def begin_with(self, per_s: float, *, limited: bool) -> None:
        """Begin with what an earlier run saw of this server."""
        self.window = None
        if limited:
            self.bounds, self._is_hint = Bounds(per_s, per_s), True
            patience_s = min(self._patience_s(self.bounds, 0.0), HINT_S)
            self._curve = Curve(HEADROOM * per_s, per_s, FORGOTTEN * per_s, patience_s)
        else:
            self._curve = Curve(per_s, per_s, FORGOTTEN * per_s, QUICK_S, QUICK_S)

    # -- on the way -------------------------------------------------------------------------

    def departed(self, now: float) -> bool:
        """A request leaves; returns True if the others wait for what becomes of it."""
        number = self._departures
        self.skip_idle(now)
        self._departures += 1
        is_probe = self._spell is not None and self._is_shut and number == self._probe
        if self._spell is None:
            self._spell = Spell(-math.inf, now)
            if self._curve is not None:
                self._curve.since = now
        elif is_probe:
            late_s = now - self.hold_until
            self._probed_at, self._late_s = now, late_s if self._is_idle(late_s) else 0.0
            self.reopening.wait(now + self._gap_s)
        self._left_at = now
        return is_probe

    def skip_idle(self, now: float) -> None:
        """Time in which nothing was asked proves nothing (RFC 7661)."""
        idle_s = now - self._left_at
        if self._spell is not None and not self._is_shut and self._is_idle(idle_s):
            self._left_at = now
            self._spell.idle_s += idle_s
            if self._curve is not None:
                self._curve.since += idle_s

    def _is_idle(self, seconds: float) -> bool:
        """Whether more than one request could have left in that time since the last one."""
        if seconds <= IDLE_S:  # as nearly always
            return False
        pace = None if self._curve is None else self._curve.at(self._left_at)
        return pace is None or seconds * pace > 2

    def withdrawn(self, number: int, now: float) -> None:
        """A request that had its turn does not leave: it tells nothing, and another one looks."""
        is_probe = self._is_shut and number == self._probe
        if number == self._departures - 1:
            self._departures = number
        elif number >= self._probe:
            self._refused += 1  # at least it was not admitted
        if is_probe:
            self._probe = self._departures
            self.reopening.go_on(now)

    def admitted(self, seconds: float, slots: int) -> None:
        """A reply came during slow start; it took so long, and that many slots there are."""
        if self.window is not None:
            if self.reopening.vain:  # it takes some, though not all of the few that looked
                self.reopening.vain = 0
                if self._is_shut and self._spell is not None:
                    self._spell.admitted = max(self._spell.admitted, 1)
            self.window = self.window + 1 if self.window < 2 * slots else None
            known_s = self.reply_s or seconds
            self.reply_s = known_s + (seconds - known_s) / 8

    def look(self, now: float) -> float | None:
        """Open, if the probe was not refused in time; returns from when the pace counts, if so."""
        if not self.is_probing or now < self._probed_at + self._gap_s:
            return None
        self._open()
        return self._probed_at

    def pace(self, now: float) -> float | None:
        """Requests per second that may leave, None for no bound."""
        if self.window is not None:
            reply_s = self.reply_s or 1.0
            if reply_s > QUICK_S and self.window < SMALL:
                return START_PER_S
            return max(START_PER_S, self.window / max(reply_s, QUICK_S))
        if self._curve is None:
            return None
        pace = self._curve.at(now)
        if pace is not None and pace > HEADROOM * self._former and not self._is_shut:
            pace = self._regained(self._curve, now).at(now)
        if pace is None and not self._is_shut:  # nothing was refused at many times the rate
            if self._spell is not None and self.bounds is not None:
                self._spell.shut_at = -math.inf  # since when it takes so many is not known
            self._curve, self.bounds, self._former = None, None, math.inf
            self.stray.unproved()
            self.stray.forget_proof()
        return pace

    # -- refusals ---------------------------------------------------------------------------

    def refused(self, refusal: Refusal) -> bool:
        """A 429 came; returns True if it is congestion, False if it is stray or no news."""
        self.look(refusal.now)
        self._refusals += 1
        left_at, reopening = refusal.now - refusal.took_s, self.reopening
        spell = self._spell = self._spell or Spell(-math.inf, left_at)
        looked = self.bounds is None and not self._is_shut and reopening.tries > 0
        congested = self.stray.is_congestion(
            refusal.number,
            above=self._is_above(refusal.per_s),
            per_s=refusal.per_s,
            is_unproved=self._is_unproved and self.bounds is not None,
            again=looked and not self.is_stated,
        )
        if refusal.is_spent and self.bounds is None:  # that one fell is as doubtful as of any other
            congested = self.stray.proved = self.stray.is_sure = True
        if refusal.epoch != self.epoch:
            if refusal.epoch == self.epoch - 1 and self._is_shut and not reopening.tries:
                # It had left before the congestion was known, and was counted as admitted.
                spell.admitted -= 1
                self._passed -= self._first is None
                self._wait(refusal, spell)
            return False
        if self._is_shut:
            reopening.tries += 1
        else:
            self._refused += 1
            if not (congested or reopening.vain):
                self._doubt(refusal.now)
                return False
            self._is_shut, reopening.tries, self._doubts = True, 0, 0
            spell.closed_at, spell.per_s = refusal.now, refusal.per_s
            spell.admitted += self._departures - self._probe - self._refused
            if reopening.vain and spell.admitted < WINDOW:
                spell.admitted = 0
            if self._first is None:
                self._passed = self._departures - refusal.number - 1
        self.epoch += 1
        self._probe, self._refused = self._departures, 0
        self.stray.answered(self._probe)
        self._shut_at = -math.inf
        self._wait(refusal, spell)
        return True

    def _is_above(self, per_s: float) -> bool:
        """Whether that pace is above the limit, as far as is known; the first refusal says so."""
        if self.bounds is not None:
            return HEADROOM * per_s > self.bounds.low
        return self.stray.proved or not (self.epoch or self.is_stated)

    def _doubt(self, now: float) -> None:
        """A stray refusal: a limit that it may have seemed to confirm is proved again."""
        bounds, curve = self.bounds, self._curve
        if bounds is None or curve is None or (curve.at(now) or math.inf) > bounds.low:
            return
        if self._has_window:
            return  # strays do not shut a server for so long, and a proof uses up the next window
        self._doubts += 1
        if self._doubts >= 2**self._proofs and self._proofs < PROVED:
            self._doubts, self._is_unproved = 0, True
            self._curve = twice(bounds, curve.most, DOUBLING_S, now)

    def _wait(self, refusal: Refusal, spell: Spell) -> None:
        self._shut_at = max(self._shut_at, refusal.now - refusal.took_s)
        self._gap_s = min(3 * refusal.took_s, GAP_S) if spell.admitted > 0 else 0.0
        self.reopening.refused(refusal, spell, self._shut_at, self.bounds)

    # -- the rate ---------------------------------------------------------------------------

    def _open(self) -> None:
        """The server is open again: what it admitted from opening to opening is its limit."""
        spell, now, reopening = self._spell, self._probed_at, self.reopening
        if spell is None:
            return
        self._is_shut = False
        is_new, limited = self._first is None, self.stray.proved
        shut_at = reopening.opened(now, spell, self._shut_at, limited=limited, is_new=is_new)
        self._has_window |= reopening.window_s > 0
        self._spell = Spell(now if reopening.was_window else shut_at, now)
        if spell.admitted <= 0:
            self._spell.shut_at = -math.inf
            if is_new:  # slow start goes on, as it never took anything
                self.window = WINDOW
                self.stray.forget_proof()
            return
        self.window = None
        if reopening.tries:
            self.stray.confirmed()
        in_doubt = self._passed > 0 or self.stray.seen > 0
        first = self._first
        if first is not None and not self._is_sure and self.bounds is None and in_doubt:
            # It may not have been shut then: the spell is the same.
            spell.shut_at, spell.opened_at, self._is_sure = -math.inf, first.opened_at, True
            spell.admitted += first.admitted
            spell.idle_s += first.idle_s
        if spell.is_first:
            sure = reopening.tries > 0 or self.stray.proved or spell.admitted >= WORTH
            self._is_sure = sure if is_new else self._is_sure
            self._first = spell
            if not spell.is_window(shut_at):
                # What the server had in store is in the count: it is no more than a bound.
                pace = max(spell.admitted / USUAL_STORE_S, spell.per_s / 8)
                pace = min(pace, spell.bounds(shut_at, now).high)
                most = 2 * max(spell.per_s, START_PER_S)
                self._curve = Curve(pace, pace, most, SEARCH_S, SEARCH_S, now)
                return
            spell.shut_at = spell.opened_at
        found = self._found(spell, shut_at, now)
        self._judge_hint(found)
        if self.bounds is not None and now - spell.opened_at < 0.9 * reopening.window_s:
            if not spell.is_joined:
                self._join(spell, self.bounds, found, now)
                return
            reopening.window_s = 0.0
        self._learn(spell, self.bounds, found, now)

    def _judge_hint(self, found: Bounds) -> None:
        """What an earlier run saw is dropped where less was measured: it is no limit that fell."""
        if self._is_hint and self.bounds is not None and found.high < self.bounds.low:
            self.bounds = None
        self._is_hint = False

    def _found(self, spell: Spell, shut_at: float, open_at: float) -> Bounds:
        """The limit, by a spell that ended with an opening between these."""
        found = spell.bounds(shut_at, open_at)
        if self._stores(found.high):
            # With nothing in store at both ends, one request more or less would have been noticed.
            return found if self.reopening.tries else spell.exact(shut_at)
        # Without a store a server refuses at once what is above its limit, so the pace in the end
        # is a bound, and what was not asked for while it was less was lost.
        return Bounds(found.low, max(found.high, spell.per_s))

    def _stores(self, per_s: float) -> bool:
        """Whether the server is known to hold requests for later, or to count by long windows."""
        first = self._first
        return self.reopening.was_window or (
            first is not None and first.had_in_store(per_s, STORED_S)
        )

    def _join(self, spell: Spell, known: Bounds, found: Bounds, now: float) -> None:
        """Less than a whole window proves nothing: it goes on being measured."""
        self._spell = replace(spell, is_joined=True)
        low = HEADROOM * min(known.low, found.middle)
        most, patience_s = FORGOTTEN * known.high, self.reopening.window_s / 6
        self._curve = Curve(low, known.high, most, patience_s, since=now)

    def _learn(self, spell: Spell, known: Bounds | None, found: Bounds, now: float) -> None:
        """A spell was measured: narrow or replace the bounds, and set the pace by them."""
        above, pace, fell, rose = self._is_above(spell.per_s), None, False, known is None
        if known is not None:
            # Of few requests each time one was refused: too many for a limit that measures the same.
            again = self._is_doubted and spell.admitted < WINDOW
            fell = not above and (again or found.high < known.low)
            if fell:  # what was measured before and after that together is neither
                self._former = math.inf if self._has_window else known.high
                pace, found = known.low / 2, Bounds(known.low / 2, known.low)
            elif rose := HEADROOM * found.low > known.high:
                pace, found = found.low, Bounds(known.high, 2 * found.low)
            else:
                low = max(known.low, found.low)
                found = Bounds(low, max(low, min(known.high, found.high)))
            self._is_doubted = not (above or fell)
            if (above or self.reopening.tries) and not fell:
                self.stray.confirmed()
            else:
                self.stray.unproved()
        if known is None:
            self._is_unproved, self._proofs = not self.stray.is_sure, int(self.stray.is_sure)
        elif self._is_unproved and above and not rose:
            self._is_unproved, self._proofs = False, self._proofs + 1
        if fell or rose or self._changed_at == math.inf:
            is_young = self._departures < self._changed + YOUNG
            self._falls = self._falls + 1 if fell and is_young else 0
            # Strays were taken for it, perhaps; rarely where a server ever shut for a window.
            self._is_unproved |= self._falls > (2 if self._has_window else 0)
            self._changed_at, self._changed = now, self._departures
        if found.low > HEADROOM * self._former:
            self._former = math.inf
        self.bounds = found
        if spell.idle_s or self._late_s:  # as much as it may be: less would take long to tell
            pace = pace or found.high
        pace = pace or (found.low if self.reopening.tries else found.middle)
        self._curve = self._curve_by(found, pace, spell, now)

    def _curve_by(self, found: Bounds, pace: float, spell: Spell, now: float) -> Curve:
        """The pace from now on, by what was found; at first that one."""
        held_s = now - spell.closed_at - self._late_s
        doubling_s = max(DOUBLING_S, min(16 / pace, 16.0))
        low = HEADROOM * pace
        most = max(FORGOTTEN * found.high, 2 * spell.per_s)
        if self._is_unproved:
            return twice(found, most, SEARCH_S, now)
        if self._stores(found.high):
            top = max(low, found.low)
            patience_s = self._patience_s(found, held_s, now - self._changed_at)
        else:  # it comes to what was refused when it is time, and goes on as slowly for a while
            top = found.high / HEADROOM
            patience_s = self._patience_s(found, held_s)
            patience_s *= math.log(top / low) / math.log(found.high / low)
        return Curve(low, top, most, patience_s, doubling_s, now)

    def _regained(self, curve: Curve, now: float) -> Curve:
        """The pace is what it was before the limit fell: it is held, and outlasts what was stored."""
        limit = self._former
        if curve.low < HEADROOM * limit:
            low, most = HEADROOM * limit, FORGOTTEN * limit
            curve = Curve(low, limit, most, PATIENCE_S, curve.doubling_s, now)
            self._curve = curve
        elif now > curve.since + USUAL_STORE_S:
            self.bounds, self._former, self._changed_at = Bounds(limit, limit), math.inf, now
            self._spell = Spell(curve.since, now)
            self._probe, self._refused = self._departures, 0
        return curve

    def _patience_s(self, bounds: Bounds, held_s: float, age_s: float = 0.0) -> float:
        """Before more is looked for: as refusals are paid for, and as well as the limit is known."""
        owed_s = (WORTH * (1 + self._refusals) - self._departures) / bounds.middle
        paid_s = min(max(owed_s, PATIENCE_S), max(LONG_S, WORTH / bounds.middle))
        old_s = 0.0 if self._has_window else min(age_s, OLD_S) / AGE
        known_s = min(max(paid_s, old_s), OLD_S / AGE) * (bounds.low / bounds.high) ** 2
        return max(known_s + self.reopening.window_s, 4 * held_s)
