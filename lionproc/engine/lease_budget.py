"""One budget for many senders: permissions are lent, and what is lent counts until it is told.

Nothing here does I/O or looks at a clock, so the same rules serve a file that processes share and
the scheduler of a cluster.

The rule. In any 60 seconds at most the limit leaves, of all senders together. A permission that is
lent may be used at any moment until its lease ends, so it counts as used *now* for all that time.
When its holder tells when it was used, it counts from then; what is not used comes back. The lease
of a holder that says nothing any more (killed, cut off, or told of by `drop`) is taken for used at
its last moment. So nobody who dies gives anything back but time, and nobody can be over the limit.

The pace. Permissions are lent as they fall due, at the rate of the limit, with a second's worth in
store (`burst_s`) and nothing in store at the start: a budget that begins anew, because its
scheduler did, does not know what was sent before, and must not add a burst to it. Holders tell it
what they have sent in the last minute when they meet it for the first time.
"""

from __future__ import annotations

import bisect
import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lionproc.engine.lease_messages import LEASE_S, NONE, SAFE_S, Ask, Grant, PerMinute
from lionproc.engine.limits import LEAST_RATE
from lionproc.engine.tokens import QUANTITIES
from lionproc.engine.window import DUST, MARGIN_CAP_S, MINUTE_S

__all__ = ["LeaseBudget"]

SHARE_S = 0.5  # worth of permissions in one lease: 10 at 1,200 a minute
# Where there is no limit there are more in a lease, and it is used for less long, so that few words
# are said and a hold is heard of soon.
UNLIMITED, UNLIMITED_S = 500, 0.5
LONGEST_WAIT_S = 5.0  # before a holder asks again, whatever it waits for
GRAIN_S = 0.1
CUT, LEAST_SHARE, BACK_S = 0.7, 0.1, 30.0  # of the pace after a refusal, and until it is back
STORM_S = 2.0  # refusals within so long are one
LONGEST_HOLD_S = 600.0  # nobody waits longer, whatever the clock did or a file says
LATEST = 1e12  # seconds since 1970, and more than anybody sends; a number beyond is none of ours
LEAST_TAUGHT = 1.0  # a minute; no provider has a lower limit
MOST_NAMES = 1000  # of assignments that are remembered
NOTHING: PerMinute = (None,) * len(QUANTITIES)
WINDOW_S = MINUTE_S + MARGIN_CAP_S


@dataclass(slots=True)
class _Lease:
    holder: str
    permissions: int
    amounts: Sequence[float]
    until: float


@dataclass(slots=True)
class Counts:
    """What became of all permissions so far."""

    granted: int = 0
    refunded: int = 0
    lost: int = 0
    asks: int = 0


@dataclass(slots=True)
class LeaseBudget:
    """Lends permissions under one set of limits.

    Attributes:
        id: Tells it from one that was there before.
        limits: What a person wants.
        taught: What the server says; the lower of both is kept. It is forgotten when nobody has said
            it for a minute: its next answer says it anew, if it is still so.
        counts: For whoever looks at it.
    """

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    limits: PerMinute = NOTHING
    taught: PerMinute = NOTHING
    counts: Counts = field(default_factory=Counts)
    _sent: dict[int, list[float]] = field(default_factory=dict)
    _order: list[int] = field(default_factory=list)  # its keys, the oldest first
    _leases: dict[int, _Lease] = field(default_factory=dict)
    _number: int = 0
    _due: list[float] = field(
        default_factory=lambda: list(NONE)
    )  # that has become due and is not lent
    _due_at: float | None = None
    _names: list[str] = field(default_factory=list)
    _hold_until: float = -math.inf
    _taught_at: float = -math.inf
    _cut_at: float = -math.inf
    _share_then: float = 1.0

    # -- asked ------------------------------------------------------------------------------

    def ask(self, ask: Ask, now: float) -> Grant:
        """Hear what a holder says, and lend it what can be lent.

        Args:
            ask: What it says.
            now: Seconds, of any clock that runs on.

        Raises:
            ValueError: It says what cannot be; nobody else suffers for that.
        """
        _check(ask)
        self.counts.asks += 1
        self._go_on(now)
        self._hear(ask, now)
        if ask.amounts is None or (ask.knows != self.id and ask.past is None):
            return Grant(budget=self.id, limits=self.limits)
        amounts = tuple(ask.amounts)
        wait_s, permissions = self._room(amounts, now)
        if not permissions:
            return Grant(budget=self.id, wait_s=min(wait_s, LONGEST_WAIT_S), limits=self.limits)
        lent = tuple(amount * permissions for amount in amounts)
        self._number += 1
        self._leases[self._number] = _Lease(ask.holder, permissions, lent, now + LEASE_S)
        self._due = [due - amount for due, amount in zip(self._due, lent, strict=True)]
        self.counts.granted += permissions
        return Grant(
            budget=self.id,
            lease=self._number,
            permissions=permissions,
            amounts=lent,
            use_s=UNLIMITED_S if self.effective()[0] is None else LEASE_S - SAFE_S,
            limits=self.limits,
        )

    def drop(self, place: str, now: float) -> None:
        """All holders at a place are gone: what they were lent is taken for used now."""
        for number, lease in list(self._leases.items()):
            if lease.holder.partition(" ")[0] == place:
                self._lose(number, now)

    def _hear(self, ask: Ask, now: float) -> None:
        if ask.limits and (ask.assigned or not self._names):
            self.assign(tuple(ask.limits), ask.assigned or self.id)
        if any(said is not None for said in ask.taught):
            pairs = zip(ask.taught, self.taught, strict=True)  # who has not heard says nothing
            self.taught = tuple(was if said is None else said for said, was in pairs)
            self._taught_at = now
        if ask.hold_s > 0:
            self._refused(ask.hold_s, now)
        if ask.past is not None:  # the used and corrected is in it
            for age, amounts in ask.past:
                self._note(now - age, amounts)
            return
        if ask.knows != self.id:
            return  # of a lease that another one gave
        for age, amounts in ask.corrections:
            self._note(now - age, amounts)
            self._due = [due - amount for due, amount in zip(self._due, amounts, strict=True)]
        lease = self._leases.pop(ask.lease, None)
        if lease is None or lease.holder != ask.holder:
            return
        taken = [0.0] * len(QUANTITIES)
        for age, amounts in ask.used:
            self._note(now - age, amounts)
            taken = [was + amount for was, amount in zip(taken, amounts, strict=True)]
        unused = [max(lent - was, 0.0) for lent, was in zip(lease.amounts, taken, strict=True)]
        self.counts.refunded += round(unused[0])
        self._due = [due + amount for due, amount in zip(self._due, unused, strict=True)]

    def assign(self, limits: PerMinute, name: str) -> None:
        """Take other limits, with everything that was sent and lent counted against them.

        Args:
            limits: The limits.
            name: Of the wish; one that was heeded before is not heeded again.
        """
        if name not in self._names:
            self._names = [*self._names[1 - MOST_NAMES :], name]
            self.limits = limits

    # -- what there is ----------------------------------------------------------------------

    def effective(self) -> PerMinute:
        """The limits that are kept: the lower of what a person and the server say."""
        pairs = zip(self.limits, self.taught, strict=True)
        return tuple(min((v for v in pair if v is not None), default=None) for pair in pairs)

    def in_window(self, now: float) -> list[float]:
        """What counts against the limits of this minute: sent, and lent."""
        self._go_on(now)
        return self._taken()

    def _room(self, amounts: Sequence[float], now: float) -> tuple[float, int]:
        """Seconds to wait, or how many such requests may be lent."""
        if now < self._hold_until:
            return self._hold_until - now, 0
        limits, taken = self.effective(), self._taken()
        rate = limits[0]
        most = UNLIMITED if rate is None else max(round(rate / MINUTE_S * SHARE_S), 1)
        wait_s = 0.0
        enough = max(most // 2, 1)
        for place, limit in enumerate(limits):
            each = amounts[place]
            if limit is None or each <= 0:
                continue
            most = min(most, max(math.floor(limit / each + DUST), 1))
            # One that is larger than the store of a second passes when that is full.
            due = self._due[place] + max(each - self._store(limit), 0.0)
            most = min(most, math.floor(due / each + DUST))
            if due / each < 1 - DUST or (place == 0 and due < enough - DUST):
                needed = max(each, enough * each if place == 0 else each)
                wait_s = max(wait_s, (needed - due) * MINUTE_S / (limit * self._share(now)))
            left = limit - taken[place]
            fits = math.floor(left / each + DUST)
            most = min(most, fits)
            if fits < 1:
                wait_s = max(wait_s, self._until_gone(place, each - left, now))
        if wait_s > 0 or most < 1:
            return max(wait_s, GRAIN_S), 0
        return 0.0, most

    def _store(self, limit: float) -> float:
        """What may be in store: a second's worth, and at least one."""
        return max(limit / MINUTE_S, 1.0)

    def _taken(self) -> list[float]:
        taken = [0.0] * len(QUANTITIES)
        for amounts in (*self._sent.values(), *(lease.amounts for lease in self._leases.values())):
            for place, amount in enumerate(amounts):
                taken[place] += amount
        return taken

    def _until_gone(self, place: int, excess: float, now: float) -> float:
        """Seconds until so much of what was sent is out of the window."""
        for bucket in self._order:
            excess -= self._sent[bucket][place]
            if excess <= DUST:
                return max((bucket + 1) * GRAIN_S + WINDOW_S - now, GRAIN_S)
        return LONGEST_WAIT_S

    # -- time -------------------------------------------------------------------------------

    def _go_on(self, now: float) -> None:
        """Whatever time does: leases end, what was sent leaves the window, more becomes due."""
        self._hold_until = min(self._hold_until, now + LONGEST_HOLD_S)
        for number, lease in list(self._leases.items()):
            lease.until = min(lease.until, now + LEASE_S)
            if lease.until <= now:
                self._lose(number, lease.until)
        self._taught_at = min(self._taught_at, now)
        if now - self._taught_at > WINDOW_S:
            self.taught = NOTHING
        gone = bisect.bisect_left(self._order, math.floor((now - WINDOW_S) / GRAIN_S))
        for bucket in self._order[:gone]:
            del self._sent[bucket]
        del self._order[:gone]
        if self._order and self._order[-1] * GRAIN_S > now + GRAIN_S:
            self._set_back(now)
        since = now - (now if self._due_at is None else min(self._due_at, now))
        self._due_at = now
        for place, limit in enumerate(self.effective()):
            if limit is None:
                self._due[place] = 0.0
            else:
                more = since * self._share(now) * limit / MINUTE_S
                due = min(self._due[place] + more, self._store(limit))
                self._due[place] = max(due, -limit * LONGEST_HOLD_S / MINUTE_S)

    def _set_back(self, now: float) -> None:
        """The clock is behind what is known: it was set back, or it is another machine's."""
        latest = math.floor(now / GRAIN_S)
        for bucket in [each for each in self._order if each > latest]:
            amounts = self._sent.pop(bucket)
            self._order.remove(bucket)
            self._note(now, amounts)
        self._hold_until = min(self._hold_until, now)
        self._cut_at = min(self._cut_at, now)

    def _lose(self, number: int, at: float) -> None:
        lease = self._leases.pop(number)
        self.counts.lost += lease.permissions
        self._note(at, lease.amounts)

    def _note(self, at: float, amounts: Iterable[float]) -> None:
        bucket = math.floor(at / GRAIN_S)
        held = self._sent.get(bucket)
        if held is None:
            held = self._sent[bucket] = list(NONE)
            bisect.insort(self._order, bucket)
        for place, amount in enumerate(amounts):
            held[place] += amount

    # -- refusals ---------------------------------------------------------------------------

    def _refused(self, hold_s: float, now: float) -> None:
        """The server refused somebody: everybody waits, and goes on more slowly for a while."""
        self._hold_until = max(self._hold_until, now + hold_s)
        if now - self._cut_at > STORM_S:
            self._share_then = max(self._share(now) * CUT, LEAST_SHARE)
            self._cut_at = now
            self._due = [min(due, 0.0) for due in self._due]  # nothing is in store at the server

    def _share(self, now: float) -> float:
        """The share of the limits at which permissions become due, 1.0 for all of them."""
        back = (now - self._cut_at) / BACK_S
        if back >= 1:
            return 1.0
        return self._share_then + (1 - self._share_then) * max(back, 0.0)

    # -- kept in a file ---------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON's types."""
        return {
            "id": self.id,
            "limits": self.limits,
            "taught": self.taught,
            "counts": asdict(self.counts),
            "sent": [[bucket, *self._sent[bucket]] for bucket in self._order],
            "leases": [[number, asdict(lease)] for number, lease in self._leases.items()],
            "number": self._number,
            "due": self._due,
            "due_at": self._due_at,
            "names": self._names,
            "taught_at": max(self._taught_at, 0.0),
            "hold_until": max(self._hold_until, 0.0),
            "cut_at": max(self._cut_at, 0.0),
            "share_then": self._share_then,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> LeaseBudget:
        """What `as_json` gave.

        Raises:
            ValueError: It is something else.
        """
        try:
            width = len(QUANTITIES)
            made = cls(
                id=str(kept["id"]),
                limits=_limits(kept["limits"]),
                taught=_limits(kept["taught"], LEAST_TAUGHT),
                counts=Counts(**{k: int(v) for k, v in kept["counts"].items()}),
                _number=int(kept["number"]),
                _due=_numbers(kept["due"], width),
                _due_at=None if kept["due_at"] is None else _number(kept["due_at"]),
                _names=[str(name) for name in kept["names"]][-MOST_NAMES:],
                _taught_at=_number(kept.get("taught_at", 0.0)),  # older versions have none
                _hold_until=_number(kept["hold_until"]),
                _cut_at=_number(kept["cut_at"]),
                _share_then=min(max(_number(kept["share_then"]), LEAST_SHARE), 1.0),
            )
            for bucket, *amounts in kept["sent"]:
                made._note((int(bucket) + 0.5) * GRAIN_S, _numbers(amounts, width))
            for number, lease in kept["leases"]:
                made._leases[int(number)] = _Lease(
                    str(lease["holder"]),
                    int(lease["permissions"]),
                    _numbers(lease["amounts"], width),
                    _number(lease["until"]),
                )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"this is no budget: {error!r}") from None
        return made


def _number(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not abs(given) <= LATEST:
        raise ValueError("this is no number of ours")
    return float(given)


def _numbers(given: Sequence[object], width: int) -> list[float]:
    if len(given) != width:
        raise ValueError("these are not as many numbers as there are quantities")
    return [_number(each) for each in given]


def _limits(given: Sequence[object], least: float = LEAST_RATE) -> PerMinute:
    if len(given) != len(QUANTITIES):
        raise ValueError("these are not as many limits as there are quantities")
    made = tuple(None if each is None else _number(each) for each in given)
    if any(each is not None and each < least for each in made):
        raise ValueError("a limit is not so low")
    return made


def _check(ask: Ask) -> None:
    """Refuse what would spoil the account of all: no numbers, or not one for each quantity."""
    width = len(QUANTITIES)
    taken = (*ask.used, *(ask.past or ()), *([] if ask.amounts is None else [(0.0, ask.amounts)]))
    for age, amounts in (*taken, *ask.corrections):
        _number(age)
        _numbers(amounts, width)
    if any(amount < -DUST for _, amounts in taken for amount in amounts):
        raise ValueError("nobody takes less than nothing")
    if ask.limits:
        _limits(ask.limits)
    _numbers([0.0 if each is None else each for each in ask.taught or NONE], width)
