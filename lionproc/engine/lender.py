"""Permissions that a limiter borrows from a budget that others use too.

In front of what a limiter keeps by itself: a request leaves when both allow it. Lives on the
engine's loop. What is lent is used within its lease or given back; see `lease_budget.py`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeAlias

from lionproc.engine.lease_messages import NONE, SAFE_S, Ask, Entry, Grant, PerMinute
from lionproc.engine.tokens import QUANTITIES, Amounts
from lionproc.engine.window import DUST

__all__ = ["Borrower", "Lender", "Office"]

log = logging.getLogger("lionproc.engine")
Office: TypeAlias = "Callable[[Ask], Awaitable[Grant]]"
"""Where a budget is kept: takes what a holder says to it, and brings back the answer."""

IDLE_S = 0.5  # without use, after which the rest of a lease is given back
LATE_S = 0.5  # by which what comes back is dated back: it must not outlive what it belongs to
AGAIN_S = 1.0  # before an office that cannot be reached is asked again


class Borrower(Protocol):
    """The limits of a limiter, as far as they are known here."""

    def own_limits(self) -> PerMinute:
        """The limits per minute that a person set."""

    def take_limits(self, limits: PerMinute) -> None:
        """Make these the limits per minute."""

    def taught(self) -> PerMinute:
        """What the server says that the limits are."""

    def past(self, now: float) -> list[tuple[float, list[float]]]:
        """What was sent in the last minute."""


class Lender:
    """What one limiter has borrowed.

    Args:
        limiter: Its limits, which become those of the budget, and the other way round.
        office: Where the budget is.
        own: Whether the limits that the limiter has now are what a person wants them to be; else
            those of the budget are taken.
        place: Where this is, for who keeps the budget and hears that the place is gone; a word.
    """

    def __init__(
        self, limiter: Borrower, office: Office, *, own: bool = True, place: str = ""
    ) -> None:
        self._limiter = limiter
        self._office = office
        self._holder = f"{place} {secrets.token_hex(8)}"
        self._knows = ""
        self._lease = 0
        self._until = 0.0
        self._permissions = 0
        self._bag = list(NONE)
        self._used: list[tuple[float, tuple[float, ...]]] = []
        self._corrections: list[tuple[float, tuple[float, ...]]] = []
        self._agreed: PerMinute | None = None if own else limiter.own_limits()
        self._wish: tuple[str, PerMinute] | None = None
        self._hold_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._settling: asyncio.Task[None] | None = None
        self._asking = asyncio.Lock()
        self._tasks: set[asyncio.Task[float]] = set()
        self._unreachable = False
        self._in_the_way = ""

    @property
    def waiting_for(self) -> str:
        """What a person is told while it waits."""
        if self._unreachable:
            return f"the shared budget, which cannot be reached{self._in_the_way}"
        return "room under the limit that is shared with others"

    def wish(self, limits: PerMinute, name: str) -> None:
        """Tell the budget, with the next words, what a person wants the limits to be.

        Args:
            limits: The limits.
            name: Of the wish; each is heeded once, whoever tells it.
        """
        self._wish = (name, limits)
        self._agreed = self._limiter.own_limits()

    async def take(self, amounts: Amounts) -> float:
        """Take permission for one request.

        Args:
            amounts: What it is expected to take of each quantity.

        Returns:
            0.0 if there is permission; else the seconds after which to ask again.
        """
        loop = asyncio.get_running_loop()
        if not self._covers(amounts, loop.time()):
            # Whoever gives up the wait takes back nothing of what is said, and it may be heard already.
            wait_s = await asyncio.shield(self._asked(self._ask(amounts)))
            if wait_s > 0:
                return wait_s
            if not self._covers(amounts, loop.time()):  # it took too long on its way
                return SAFE_S / 100
        self._permissions -= 1
        self._bag = [left - amount for left, amount in zip(self._bag, amounts, strict=True)]
        self._used.append((loop.time(), amounts))
        self._give_back_later(loop)
        return 0.0

    def give_back(self, at: float, amounts: Amounts) -> None:
        """A request that had permission was not sent.

        Args:
            at: When it had it, in seconds of the loop's clock.
            amounts: What it was expected to take.
        """
        self.correct(at, tuple(-amount for amount in amounts))

    def correct(self, at: float, deltas: tuple[float, ...]) -> None:
        """A request took so much more, or less, than it was expected to."""
        if any(deltas):
            self._corrections.append((at, deltas))

    def refused(self, hold_s: float) -> None:
        """The server wants nothing more for so long; all others are to hear of it at once."""
        self._hold_s = max(self._hold_s, hold_s)
        if self._settling is None or self._settling.done():
            self._settling = asyncio.get_running_loop().create_task(self._settle())

    def again(self, *, knows_all: bool) -> None:
        """It is used anew, after it was closed.

        Args:
            knows_all: Whether the budget was told all that was sent since. Else it hears of the
                last minute, and counts what it knew twice.
        """
        if not knows_all:
            self._knows = ""
        self._agreed = self._limiter.own_limits()

    async def close(self) -> None:
        """Give everything back."""
        if self._timer is not None:
            self._timer.cancel()
        await self._settle()

    def _covers(self, amounts: Amounts, now: float) -> bool:
        return (
            self._permissions > 0
            and now < self._until
            and self._agreed == self._limiter.own_limits()
            and all(
                limit is None or left >= amount - DUST
                for left, amount, limit in zip(
                    self._bag, amounts, self._agreed or NONE, strict=True
                )
            )
        )

    def _give_back_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(IDLE_S, self._idle)

    def _idle(self) -> None:
        if self._lease and (self._settling is None or self._settling.done()):
            self._settling = asyncio.get_running_loop().create_task(self._settle())

    def _asked(self, asks: Coroutine[Any, Any, float]) -> asyncio.Task[float]:
        task = asyncio.get_running_loop().create_task(asks)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _settle(self) -> None:
        if self._lease or self._hold_s or self._corrections:
            await self._ask(None)

    async def _ask(self, amounts: Amounts | None) -> float:
        """Say what there is to say, and borrow for such a request. Returns seconds to wait."""
        async with self._asking:
            loop = asyncio.get_running_loop()
            sent_at = loop.time()
            used, self._used = self._used, []
            corrections, self._corrections = self._corrections, []
            hold_s, self._hold_s = self._hold_s, 0.0
            lease, self._lease = self._lease, 0
            self._permissions = 0
            wanted = self._limiter.own_limits()
            if self._wish is None and wanted != self._agreed:
                self._wish = (secrets.token_hex(8), wanted)
            wish = self._wish
            more = [each for each in corrections if min(each[1]) >= 0]
            less = [each for each in corrections if min(each[1]) < 0]
            ask = Ask(
                holder=self._holder,
                amounts=amounts,
                lease=lease,
                used=_aged(used, sent_at),
                corrections=[*_aged(more, sent_at), *_aged(less, sent_at, LATE_S)],
                knows=self._knows,
                past=None if self._knows else self._limiter.past(sent_at),
                limits=wanted if wish is None else wish[1],
                assigned="" if wish is None else wish[0],
                taught=self._limiter.taught(),
                hold_s=hold_s,
            )
            try:
                grant = await self._office(ask)
            except Exception as error:  # noqa: BLE001  (whatever it is, nothing may be sent)
                if not self._unreachable:
                    log.warning("the shared budget cannot be reached: %r", error)
                self._unreachable = True
                self._in_the_way = _file_of(error)
                # What was said may be lost, so it is said again; but for what was given back, which
                # would count twice if it was heard. A lease is counted once.
                self._lease, self._used = lease, [*used, *self._used]
                self._corrections = [*more, *self._corrections]
                self._hold_s = max(self._hold_s, hold_s)
                return AGAIN_S
            self._unreachable = False
            if self._wish == wish:
                self._wish = None
            if self._knows != grant.budget and ask.past is None:
                self._knows = ""  # it is another budget, which wants to know the past
                return SAFE_S / 100
            self._knows = grant.budget
            self._agree(tuple(grant.limits), wanted)
            if grant.lease:
                self._lease, self._permissions = grant.lease, grant.permissions
                self._bag = list(grant.amounts)
                self._until = sent_at + grant.use_s
                self._give_back_later(loop)
            return 0.0 if grant.lease or amounts is None else max(grant.wait_s, 0.001)

    def _agree(self, limits: PerMinute, wanted: PerMinute) -> None:
        """Take over the limits of the budget, unless a person has just wanted others here."""
        if self._wish is None and self._limiter.own_limits() == wanted:
            self._agreed = limits
            if limits != wanted:
                self._limiter.take_limits(limits)


def _aged(
    entries: list[tuple[float, tuple[float, ...]]], now: float, older_s: float = 0.0
) -> list[Entry]:
    """Seconds ago, with what is of the same moment together."""
    together: dict[int, list[float]] = {}
    for at, amounts in entries:
        held = together.setdefault(int((now - at) * 20), [0.0] * len(QUANTITIES))
        for place, amount in enumerate(amounts):
            held[place] += amount
    return [(tick / 20 + older_s, amounts) for tick, amounts in together.items()]


def _file_of(error: Exception) -> str:
    """The file that stands in the way, and why, for whoever can remove it."""
    if not isinstance(error, OSError) or not error.filename:
        return ""
    return f" ({str(error.filename2 or error.filename)!r}: {error.strerror})"
