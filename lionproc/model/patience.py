"""How long an attempt may take; a moment in which the process stood still does not count."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

STOOD_STILL_S = 0.05  # a loop with much to do is late by less


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Raise `TimeoutError` in what takes longer.

    A loop that stood still (a cell that held the interpreter, a machine that swapped) finds its
    timers due before it has read what came meanwhile, and a reply that lies there is paid for.
    So the time that was lost is given once more, up to as much again.

    Args:
        seconds: How long it may take.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds
    async with asyncio.timeout(None) as limit:

        def end() -> None:
            limit.reschedule(due)  # past: it ends after what was read in this round

        def ask() -> None:
            late = loop.time() - due
            if late > STOOD_STILL_S:
                timers.append(loop.call_later(min(late, seconds), end))
            else:
                end()

        timers = [loop.call_at(due, ask)]
        try:
            yield
        finally:
            for timer in timers:
                timer.cancel()
