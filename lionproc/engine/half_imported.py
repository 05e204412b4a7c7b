"""Modules that another thread is in the middle of importing when the process forks.

That thread does not come along, so in the child such a module stays half made: whoever imports it
there waits for ever, or finds it without what it should have. Runs import much when it is first
needed, on threads of their own. So a fork waits until all that is under way is there.
"""

from __future__ import annotations

import importlib
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["wait_for_imports"]

PATIENCE_S: Final = 2.0  # a module may be a program that runs as long as it is imported
LOOK_S: Final = 0.001

_without_end = weakref.WeakSet[Any]()  # what was waited for once and in vain


def wait_for_imports() -> None:
    """Return when no other thread imports anything, or when that takes too long."""
    until = time.monotonic() + PATIENCE_S
    while waited_for := list(_under_way()):
        if time.monotonic() > until:
            _without_end.update(waited_for)
            return
        time.sleep(LOOK_S)


def _under_way() -> Iterator[object]:
    """The locks of the modules that other threads import; CPython shows them nowhere else."""
    locks = getattr(getattr(importlib, "_bootstrap", None), "_module_locks", {})
    here = threading.get_ident()
    for known in list(locks.values()):
        lock = known()
        owner = getattr(lock, "owner", None)
        if owner not in {None, here} and lock not in _without_end:
            yield lock
