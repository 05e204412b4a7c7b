"""When to ask a server again that refuses: not before it says, and ever later while it refuses.

Where it says nothing: a bucket that can hold what was just admitted is open after a sixtieth of
that, in seconds; once something was measured, after the mean time between two requests. While it is
not, the waits grow threefold (RFC 6298), unless it is shut for longer than any bucket would be: then
a window is waited out, to the end of the second, ten seconds or minute, and from then on to the
moment at which what was admitted comes to the rate that was measured.
"""

from __future__ import annotations

import math

from lionproc.engine.spell import STORE_S, Bounds, Refusal, Spell

MAX_HOLD_S = 600.0  # longer than any limit by the minute can mean
LEAST_S, MOST_S = 0.15, 30.0  # a wait of our own
SOON_S = 0.4  # the first, where little was admitted
VAIN_S, VAIN_GROWTH = 0.37, 1.15  # where nothing ever was
GROWTH = 3.0
WINDOWS_S = 1.0, 10.0, 60.0  # that limits are usually by
LONG_S = 1.1  # of being shut; shorter windows are like no store at all
LATE_S = 0.1  # after the end of a window


class Reopening:
    """How long everybody waits.

    Attributes:
        tries: Times that the server was asked and not open yet.
        vain: Times in a row that it admitted nothing at all, before it ever did.
        window_s: The window that it was found to count by, 0.0 for none.
        asked_until: When the server itself asked to come again, unlike our own patience.
        said_until: The same to the word; who comes again is spread a little beyond it.
        was_window: Whether it was shut for longer than a bucket would be, the last time.
    """

    def __init__(self) -> None:
        self.tries = 0
        self._steps = 0  # of these, after a wait that only grew
        self.vain = 0
        self.window_s = 0.0
        self.was_window = False
        self._aim_s: float | None = None  # the window whose end is waited for; 0.0 for an even rate
        self.asked_until = self.said_until = 0.0
        self._until = 0.0
        self._began_at = 0.0  # a window

    @property
    def hold_until(self) -> float:
        """When the next request may leave."""
        return max(self.asked_until, self._until)

    def ask(self, until: float) -> None:
        """The server asks all to wait until then."""
        self.asked_until = max(self.asked_until, until)

    def wait(self, until: float) -> None:
        """We wait for what becomes of the request that looks whether it is open."""
        self._until = max(self._until, until)

    def go_on(self, now: float) -> None:
        """There is no such request: another one may leave."""
        self._until = min(self._until, now)

    def refused(self, refusal: Refusal, spell: Spell, shut_at: float, known: Bounds | None) -> None:
        """It is shut, at least until `shut_at`."""
        now, said_s = refusal.now, refusal.retry_after_s
        self._until = now + 2 * refusal.took_s  # those under way may be refused as well
        self._steps = 0 if not self.tries else 2 if self._aim_s else self._steps + 1
        self._aim_s = None
        if said_s is not None:
            self.said_until = now + min(said_s, MAX_HOLD_S)
            self.ask(now + min(said_s, MAX_HOLD_S) * (1 + 0.05 * refusal.jitter) + 0.02)
            if not self.tries:
                return
        if spell.admitted <= 0:
            wait_s = (VAIN_S if said_s is None else 0.05) * VAIN_GROWTH**self.vain
        else:
            wait_s = max(self._first_s(spell, known), LEAST_S) * GROWTH**self._steps
        wait_s = min(wait_s, MOST_S) * (0.9 + 0.2 * refusal.jitter)
        self._until = max(self._until, now + self._aimed(now, wait_s, spell, shut_at, known))

    def opened(
        self, now: float, spell: Spell, shut_at: float, *, limited: bool, is_new: bool = True
    ) -> float:
        """It is open; returns until when it was shut.

        Args:
            now: Seconds of the loop's clock.
            spell: What it admitted before it was shut.
            shut_at: When what it refused last had left.
            limited: Whether there is proof that it has a limit, so that what it said is believed.
            is_new: Whether it never admitted anything before.
        """
        longer = [window_s for window_s in WINDOWS_S if window_s > shut_at - spell.closed_at]
        if spell.is_window(shut_at) and len(longer) == 1:
            self.window_s = longer[0]  # no other lasts so long
        if self._aim_s is not None:  # it opened when it should
            shut_at = now - LATE_S
            if now - spell.closed_at > LONG_S:
                self.window_s = self._aim_s or self.window_s
        said_until = min(self.said_until, now)
        is_long = spell.is_window(said_until) and said_until - spell.closed_at > LONG_S
        if limited and spell.is_first and is_long:
            shut_at = max(shut_at, said_until)
            seconds = shut_at - spell.opened_at
            fits = [window_s for window_s in WINDOWS_S if abs(seconds - window_s) < SOON_S]
            self.window_s = max(fits, default=self.window_s)
        self.was_window = spell.is_window(shut_at) and shut_at - spell.closed_at > LONG_S
        is_end = self.window_s > 0 and self._aim_s == self.window_s
        self._began_at = self._ends_at(now - 2 * LATE_S) if is_end else now
        self.vain = self.vain + 1 if spell.admitted <= 0 and is_new else 0
        return shut_at

    def _first_s(self, spell: Spell, known: Bounds | None) -> float:
        if not (spell.is_first or self.window_s):
            mean_s = spell.busy_s / spell.admitted
            return mean_s if known is None else max(mean_s, 1 / known.middle)
        bucket_s = 1.25 * STORE_S / spell.admitted
        return bucket_s if bucket_s < 4 * SOON_S else SOON_S

    def _aimed(
        self, now: float, wait_s: float, spell: Spell, shut_at: float, known: Bounds | None
    ) -> float:
        """The wait, or a wait to the moment when the server should open."""
        best_s = wait_s
        if self.tries and self.window_s and self._is_used_up(spell, shut_at, now):
            self._aim_s = self.window_s
            return max(self._ends_at(now) + LATE_S - now, wait_s)
        if self.tries and spell.is_window(shut_at):
            for window_s in WINDOWS_S:
                left_s = spell.opened_at + window_s + LATE_S - now
                if shut_at - spell.closed_at < window_s < spell.seconds and known is None:
                    left_s %= window_s  # it may have been open for several
                    if window_s == WINDOWS_S[0]:
                        left_s = spell.closed_at + window_s + LATE_S - now
                if not 0.05 < left_s < (math.inf if known is None else 2 * wait_s):
                    continue
                if self._aim_s is None or left_s < best_s + LATE_S:  # of equal ones the longest
                    self._aim_s, best_s = window_s, left_s
            return best_s
        if self.was_window and not self.tries and known is not None:
            left_s = spell.opened_at + spell.admitted / known.low + LATE_S - now
            if wait_s < left_s < 2 * MOST_S:
                self._aim_s = 0.0
                return left_s
        return wait_s

    def _ends_at(self, now: float) -> float:
        """When the window ends that lasts now."""
        windows = math.floor(max(now - self._began_at, 0.0) / self.window_s) + 1
        return self._began_at + windows * self.window_s

    def _is_used_up(self, spell: Spell, shut_at: float, now: float) -> bool:
        """Whether all was admitted in the window that lasts now, or its end is worth the wait."""
        near = self._ends_at(now) + LATE_S - now < spell.seconds / 4
        return spell.is_window(shut_at) and (spell.seconds < self.window_s or near)
