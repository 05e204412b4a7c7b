"""How much memory a stranger's file may take on this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["spare_memory"]

_LEAST: Final = 2**30  # bytes, on however small a machine
_UNKNOWN: Final = 2**33  # the memory of a machine that does not say how much it has
_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@cache
def spare_memory() -> int:
    """The bytes that a file may take in any case: a quarter of what the machine or container has."""
    there = _UNKNOWN
    with suppress(AttributeError, ValueError, OSError):
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in _LIMITS:
        with suppress(OSError, ValueError):
            there = min(there, int(Path(limit).read_text()))
    return max(_LEAST, there // 4)
