"""Locks that are held while the process forks, so that the child finds nothing half done.

Ctrl-C may come at any step of that. Python drops what a function raises that it calls before or
after a fork, and forks all the same: so only who has taken a lock knows whether it is to be let go
of. Here that is a generator for each, which has it from its `yield` on until it is closed, and all
of them are closed in one step.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Final

__all__ = ["go_on", "hold"]

_held: list[Generator[bool]] = []


def hold(lock: threading.Lock, wait_s: float = -1) -> bool:
    """Before a fork: take a lock until it is over.

    Args:
        lock: Which.
        wait_s: Seconds to wait for it, -1 for no bound.

    Returns:
        Whether it was free in time.
    """
    _held.append(_until_closed(lock, wait_s))
    return next(_held[-1])


go_on: Final = _held.clear
"""After a fork: let go of all of them, each whatever befalls another one. It is no function of
Python's, which an interrupt could end before it has begun."""


def _until_closed(lock: threading.Lock, wait_s: float) -> Generator[bool]:
    was_free: list[bool] = []
    try:
        # Taken and noted in one call: an interrupt between two would leave it taken.
        was_free.extend(map(lock.acquire, (True,), (wait_s,)))
        yield was_free[0]
    finally:
        if was_free == [True]:
            lock.release()
