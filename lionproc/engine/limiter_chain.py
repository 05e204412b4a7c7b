"""Gates in a row: a stage's own limits in front of those it shares with others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lionproc.engine.adapt import Signals
from lionproc.engine.limiter import Limiter, Reservation, Tokens
from lionproc.engine.limits import Limits

LATE_S = 0.005  # a wait at a further gate that is worth correcting the first one's ledger


class LimiterChain(Limiter):
    """A gate with others behind it; what leaves has passed them all.

    Any number of chains may share the gates behind, which are then kept by all of them
    together. Only the last gate learns from the server: it stands for the endpoint, the ones
    before it for what a person wants.

    Args:
        limits: The live limits of this gate alone.
        behind: The gates to pass after it, in this order.

    Example:
        >>> key = Limiter(Limits(requests_per_minute=600))
        >>> stages = [LimiterChain(Limits(requests_per_minute=400), [key]) for _ in range(2)]
    """

    def __init__(self, limits: Limits | None = None, behind: Sequence[Limiter] = ()) -> None:
        super().__init__(limits)
        self.behind = tuple(behind)
        # Held from the first gate to the last: only one request is ever between two gates, so
        # what the first gate counted has left, and nothing overtakes.
        self._passing = asyncio.Lock()
        self._passed: dict[int, list[tuple[Limiter, Reservation]]] = {}

    def reserve_at_once(self, tokens: Tokens, last: Limiter | None = None) -> Reservation | None:
        """See `Limiter.reserve_at_once`."""
        if self.behind or (last is not None and last is not self):
            return None
        return super().reserve_at_once(tokens)

    async def reserve(self, tokens: Tokens, last: Limiter | None = None) -> Reservation:
        """See `Limiter.reserve`; waits for every gate in turn.

        Args:
            tokens: What the request is expected to read and write.
            last: The gate of the endpoint that this request goes to, passed after all others.
        """
        gates = self.behind
        if last is not None and last is not self and last not in gates:
            gates = (*gates, last)
        if not gates:
            return await super().reserve(tokens)
        async with self._passing:
            leave = await super().reserve(tokens)
            passed: list[tuple[Limiter, Reservation]] = []
            try:
                for gate in gates:
                    passed.append((gate, await gate.reserve(tokens)))  # noqa: PERF401  (kept if one fails)
            except BaseException:
                super().cancel(leave)
                for gate, further in passed:
                    gate.cancel(further)
                raise
            now = asyncio.get_running_loop().time()
            for gate, earlier in ((self, leave), *passed):
                if now - earlier.at > LATE_S:
                    gate.redate(earlier)
            self._passed[leave.number] = passed
            return leave

    def settle(
        self,
        leave: Reservation,
        used: Tokens | None = None,
        signals: Signals | None = None,
        seconds: float | None = None,
    ) -> None:
        """See `Limiter.settle`."""
        further = self._further(leave)
        super().settle(leave, used, None if further else signals, seconds)
        for gate, passed, last in further:
            gate.settle(passed, used, signals if last else None, seconds)

    def throttled(self, leave: Reservation, signals: Signals) -> None:
        """See `Limiter.throttled`; the last gate slows down, and with it all before it."""
        further = self._further(leave)
        if not further:
            super().throttled(leave, signals)
            return
        super().failed(leave)
        for gate, passed, last in further:
            if last:
                gate.throttled(passed, signals)
            else:
                gate.failed(passed)

    def failed(self, leave: Reservation, retry_after_s: float | None = None) -> None:
        """See `Limiter.failed`."""
        further = self._further(leave)
        super().failed(leave, None if further else retry_after_s)
        for gate, passed, last in further:
            gate.failed(passed, retry_after_s if last else None)

    def cancel(self, leave: Reservation) -> None:
        """See `Limiter.cancel`."""
        super().cancel(leave)
        for gate, passed, _ in self._further(leave):
            gate.cancel(passed)

    def _further(self, leave: Reservation) -> list[tuple[Limiter, Reservation, bool]]:
        passed = self._passed.pop(leave.number, [])
        end = len(passed) - 1
        return [(gate, held, place == end) for place, (gate, held) in enumerate(passed)]
