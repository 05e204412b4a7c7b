"""A lock on a folder, for what takes a moment and must be done by one process at a time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Final

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["alone_in"]

_TRIES: Final = 100
_PAUSE_S: Final = 0.02


@contextlib.contextmanager
def alone_in(folder: int) -> Iterator[None]:
    """One process at a time, where the file system has such locks; nobody is waited for without end.

    Who holds it longer is stopped, or has the folder for a lock of its own: anybody may who may read it.

    Args:
        folder: Its descriptor, open for reading.
    """
    if fcntl is None:
        yield
        return
    for _ in range(_TRIES):
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        except OSError:  # there are no locks
            break
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_UN)  # a child that was forked meanwhile has it too
