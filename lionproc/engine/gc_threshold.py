"""Fewer passes of Python's garbage collector while a run is under way.

A request in flight is some forty objects that die by reference counting a moment later. A few
dozen of them pass the usual threshold of 700 again and again, and every pass finds nothing, moves
what is alive to the older generations, and so brings on passes over everything there is: with
pandas and openai imported each stops the process for a tenth of a second. At 64 in flight that
was a fifth of the CPU time of a row.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

from lionproc.engine.forked import in_forked_child

THRESHOLD = 20_000
"""Objects that may be made, less those that died, before the collector looks for cycles."""
_lock = threading.Lock()
_users = 0
_before: tuple[int, int, int] | None = None  # what is to be restored


@contextlib.contextmanager
def relaxed() -> Iterator[None]:
    """Let the collector run less often as long as anybody is inside. From any thread.

    A collector that is off, or that somebody made less eager still, is left as it is; so is one
    that somebody changes meanwhile.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _users, _before  # noqa: PLW0603  (the collector is one for the process)
    with _lock:
        _users += 1
        first, second, third = gc.get_threshold()
        if _users == 1 and gc.isenabled() and 0 < first < THRESHOLD:
            _before = first, second, third
            gc.set_threshold(THRESHOLD, second, third)


def _leave() -> None:
    global _users, _before  # noqa: PLW0603
    with _lock:
        _users -= 1
        if not _users and _before is not None:
            if gc.get_threshold() == (THRESHOLD, *_before[1:]):
                gc.set_threshold(*_before)
            _before = None


@in_forked_child
def _forget() -> None:
    """In a forked child: the runs stayed with the parent."""
    global _users, _lock  # noqa: PLW0603
    _lock = threading.Lock()
    if _users:
        _users = 1
        _leave()
