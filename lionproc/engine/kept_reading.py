"""Whether what is read just now was read before, and was an answer or none then.

What has an end by the clock may end a little sooner the next time. Whoever sets such an end gives what
was read before more time, so that it is what it was.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

__all__ = ["IS_KEPT"]

IS_KEPT: Final[ContextVar[bool]] = ContextVar("lionproc_is_kept", default=False)
