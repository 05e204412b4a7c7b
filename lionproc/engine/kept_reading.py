"""Whether what is read just now was read before, and what became of it then.

What has an end by the clock may end a little sooner or later the next time. Whoever sets such an end
refuses what was refused before, and gives all else that was read before more time, so that it is what
it was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, TypeAlias

from lionproc.errors import CallError

__all__ = ["KEPT", "WasRefused"]

WasRefused: TypeAlias = Callable[[CallError], bool]
"""Tells whether a kept reply was refused with this error, and the model asked again."""

KEPT: Final[ContextVar[WasRefused | None]] = ContextVar("lionproc_kept", default=None)
"""Of a reply that was read before; None while a new one is read."""
