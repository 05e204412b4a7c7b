"""What the server teaches: its headers, its 429s and its latency. Pure: time is handed in.

Three teachers, each with its own class:

* `Headers`: limits and what is left of them, as rate-limit headers say it.
* `Storms`: a pace found from 429s.
* `Saturation`: how many requests in flight a server without a limit takes well. Latency above
  the unloaded one raises the suspicion, throughput judges: fewer in flight are kept only if as
  much comes back as before.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

LANES = REQUESTS, TOKENS, INPUT, OUTPUT = ("requests", "tokens", "input", "output")


MAX_HOLD_S = 600.0  # longer than any limit by the minute can mean
FORGOTTEN = 4.0  # a pace grown to so many times the old one is no bound any more


@dataclass(frozen=True, slots=True)
class Quota:
    """One limited amount as a reply's headers describe it; None where they do not say."""

    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class Signals:
    """What a reply says about limits: quotas by lane, and seconds everybody is asked to wait."""

    quotas: Mapping[str, Quota] = field(default_factory=dict)
    retry_after_s: float | None = None


class Headers:
    """Remembers the provider's limits, and never plans beyond what it says is left."""

    def __init__(self) -> None:
        self.limits: dict[str, float] = {}
        self._left: dict[str, tuple[float, float]] = {}
        self._departed = [0.0] * len(LANES)

    def departed(self, amounts: Sequence[float]) -> None:
        """Note what leaves now, lane by lane."""
        departed = self._departed
        for place, amount in enumerate(amounts):
            departed[place] += amount

    def mark(self) -> tuple[float, ...]:
        """How much has left so far, to tell later what left after a request."""
        return tuple(self._departed)

    def learn(self, quotas: Mapping[str, Quota], mark: tuple[float, ...], now: float) -> bool:
        """Take in a reply's quotas; `mark` is from when its request left. True for a new limit."""
        news = False
        for place, lane in enumerate(LANES):
            quota = quotas.get(lane)
            if quota is None:
                continue
            if quota.limit is not None and quota.limit > 0 and self.limits.get(lane) != quota.limit:
                self.limits[lane] = quota.limit
                news = True
            if quota.remaining is not None and quota.reset_s is not None:
                # What left after this request is not yet in the server's count.
                ceiling = quota.remaining + mark[place]
                self._left[lane] = (ceiling, now + min(quota.reset_s, 120.0))
        return news

    def wait_s(self, amounts: Sequence[float], now: float) -> float:
        """Seconds until the server has these amounts left, by its own words."""
        wait = 0.0
        for lane, (ceiling, until) in list(self._left.items()) if self._left else ():
            place = LANES.index(lane)
            if now >= until:
                del self._left[lane]
            elif self._departed[place] + amounts[place] > ceiling + 1e-9:
                wait = max(wait, until - now)
        return wait


class Storms:
    """Finds the pace from 429s.

    A storm is one 429 of a request that left after the last cut; those already under way do not
    cut again. What a storm means shows in the replies around it:

    * Many of the last replies are 429s: the pace is far above the server's limit. Between two
      storms the server admits no more than its limit, so the limit lies between that rate and
      the pace, and the next pace is their geometric mean.
    * Few are: the pace has just passed the limit. It is cut by a tenth and comes back along a
      cubic curve that is flat where the storm was, as TCP CUBIC does (RFC 9438), so most of the
      time is spent just below the limit.
    * Few are, again and again although the pace was cut: these 429s have nothing to do with
      the pace, and cutting it further would only cost time.
    * Nothing came through since the last storm: nothing can be learned, one request at a time
      asks whether the server is open again.
    """

    WINDOW = 10  # replies that are looked at
    MANY = 4  # 429s among them
    CUT = 0.9
    ENOUGH = 5  # successes that make a count over their time a rate
    PLATEAU_S = 12.0  # from a cut back to where it was made
    SEARCH = 1.08  # growth a second, while the limit is only known to lie above
    FUTILE = 5  # cuts in a row that changed nothing
    SOON_S = 5.0  # a storm this long after the last one is another story
    IMMUNE_S = 30.0

    def __init__(self) -> None:
        self.epoch = 0
        self.count = 0
        self.hold_until = 0.0
        self.probing = False
        self._replies: deque[bool] = deque(maxlen=self.WINDOW)
        self._ok = 0  # since the last storm
        self._late_ok = self._late_bad = 0  # replies to requests from before it
        self._barren = 0
        self._storm_at: float | None = None
        self._held_s = 0.0
        self._sent_per_s = self._admitted_per_s = 0.0  # between the last two storms
        self._halved = False
        self._top: float | None = None
        self._floor = 0.0
        self._cut_at = 0.0
        self._searching = False
        self._futile = 0
        self._patience = self.FUTILE
        self._immune_until = -math.inf

    def succeeded(self, epoch: int) -> None:
        """A reply came that was not a 429; `epoch` is from when its request left."""
        self._replies.append(True)
        if epoch != self.epoch:
            self._late_ok += 1
        self._ok += 1
        self._barren = 0
        self.probing = False

    def throttled(
        self, now: float, epoch: int, retry_after_s: float | None, rate: float, jitter: float
    ) -> bool:
        """A 429 came; returns True if it began a storm.

        Args:
            now: Seconds of the loop's clock.
            epoch: `epoch` when its request left.
            retry_after_s: Seconds the server asks for.
            rate: Requests per second that are allowed now, or left lately.
            jitter: A random number from 0 to 1, so that many clients do not wake together.
        """
        self._replies.append(False)
        if retry_after_s is not None:
            asked = min(retry_after_s, MAX_HOLD_S)
            self.hold_until = max(self.hold_until, now + asked * (1 + 0.05 * jitter) + 0.02)
        if epoch != self.epoch:
            self._late_bad += 1
            if self._late_bad >= self.MANY and self._late_bad > self._late_ok:
                self._halve(now)
            return False
        self.epoch += 1
        self.count += 1
        self._begin(now, rate)
        if retry_after_s is None:
            wait = min((0.5 if self._halved else 0.25) * 2**self._barren, 30.0)
            self.hold_until = max(self.hold_until, now + wait * (0.5 + 0.5 * jitter))
        self._held_s = max(self.hold_until - now, 0.0)
        return True

    def _begin(self, now: float, rate: float) -> None:
        first = self._storm_at is None
        elapsed = max(now - (self._storm_at or 0.0), 0.05)
        active = max(elapsed - self._held_s, 0.05)
        ok, self._ok = self._ok, 0
        self._storm_at = now
        self._late_ok = self._late_bad = 0
        self._halved = False
        if ok == 0 and not first:
            self._barren += 1
            self.probing = True
            return
        self._sent_per_s = rate if first else min(rate, (ok + 1) / active)
        self._admitted_per_s = 0.25 * rate if first else min(ok / elapsed, self._sent_per_s)
        if self._replies.count(False) >= self.MANY:
            self._halve(now)
        elif now >= self._immune_until:
            self._trim(now, ok, active, elapsed)

    def _halve(self, now: float) -> None:
        """The limit lies far below, somewhere between what was admitted and what was sent."""
        if self._halved:
            return
        self._halved = True
        low = max(self._admitted_per_s, 0.02 * self._sent_per_s, 0.02)
        self._top, self._cut_at = math.sqrt(self._sent_per_s * low), now
        self._searching = True
        self._futile = 0
        if now < self._immune_until:  # it was the pace after all
            self._immune_until = -math.inf
            self._patience *= 2

    def _trim(self, now: float, ok: int, active: float, elapsed: float) -> None:
        """The limit has just been passed, or this has nothing to do with the pace."""
        rate = self._sent_per_s
        regrown = self._top is None or rate >= 0.97 * self._top
        if regrown or active > self.SOON_S:
            self._futile = 0
        elif ok >= 2 * self.ENOUGH:
            self._futile += 1
        if self._futile >= self._patience:
            self._top = None
            self._futile = 0
            self._immune_until = now + self.IMMUNE_S
            return
        if not regrown and ok >= self.ENOUGH and active > 0.7 * elapsed:
            rate = min(rate, ok / elapsed / self.CUT)
        self._top, self._floor, self._cut_at = rate, self.CUT * rate, now
        self._searching = False

    def pace(self, now: float) -> float | None:
        """Requests per second that the server has shown to take, None if it never refused."""
        if self._top is None:
            return None
        # Time that everybody waited is no sign of health.
        healthy_s = max(now - max(self._cut_at, self.hold_until), 0.0)
        since = healthy_s / self.PLATEAU_S - 1.0
        if self._searching:
            pace = self._top * math.pow(self.SEARCH, healthy_s)
        else:
            pace = self._top + (self._top - self._floor) * since**3
        if since > 0 and not self._searching:
            pace += 0.02 * self._top * since
        if pace > FORGOTTEN * self._top:
            self._top = None
            return None
        return pace


class Saturation:
    """Finds how many requests in flight a server takes well that has no limit."""

    BASELINE = 8  # first requests, whose latency counts as unloaded
    SUSPECT = 2.0
    EPOCH_S = 2.0

    def __init__(self) -> None:
        self.cap: int | None = None
        self._first: list[float] = []
        self._unloaded_s: float | None = None
        self._epoch_from: float | None = None
        self._latencies: list[float] = []
        self._counted_from = 0.0
        self._before: tuple[int | None, float, float] | None = None
        self._quiet_until = -math.inf

    def replied(
        self, number: int, latency_s: float, left_at: float, now: float, full: int | None
    ) -> None:
        """A good reply came.

        Args:
            number: Which request of this limiter it answers, from 0.
            latency_s: Seconds it took.
            left_at: When it left.
            now: Seconds of the loop's clock.
            full: The concurrency, if all slots were taken when it left, else None.
        """
        if self._unloaded_s is None:
            if number < self.BASELINE:
                self._first.append(latency_s)
                if len(self._first) == self.BASELINE:
                    self._unloaded_s = median(self._first)
            return
        if full is None:
            self._epoch_from = None
            return
        if self._epoch_from is None:
            self._epoch_from, self._latencies = now, []
        if left_at < self._epoch_from:
            return
        if not self._latencies:
            self._counted_from = now
        self._latencies.append(latency_s)
        count = len(self._latencies)
        seconds = now - self._counted_from
        if seconds >= self.EPOCH_S and count > 2 * full:
            self._judge(median(self._latencies), (count - 1) / seconds, full, now)
            self._epoch_from = None

    def _judge(self, latency_s: float, per_s: float, full: int, now: float) -> None:
        unloaded_s = self._unloaded_s or latency_s
        if self._before is not None:
            cap, before_per_s, before_s = self._before
            self._before = None
            if per_s < 0.95 * before_per_s:
                # Fewer in flight cost throughput, so the longer latency is not a queue.
                self.cap, self._unloaded_s = cap, before_s
                self._quiet_until = now + 60
                return
        if now < self._quiet_until:
            return
        if latency_s > self.SUSPECT * unloaded_s and full > 1:
            self._before = (self.cap, per_s, latency_s)
            self.cap = max(1, math.ceil(full * max(1.25 * unloaded_s / latency_s, 0.5)))
        elif self.cap is not None and latency_s < 1.3 * unloaded_s:
            self.cap = math.ceil(1.25 * self.cap)
