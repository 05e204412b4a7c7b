"""Whether what is read just now was read before, and what became of it then.

What has an end by the clock may end a little sooner or later the next time. Whoever sets such an end
refuses what was refused before, and gives all else that was read before more time, so that it is what
it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeAlias

from lionproc.errors import CallError

__all__ = ["WasRefused", "kept_before", "read_again"]

WasRefused: TypeAlias = Callable[[CallError], bool]
"""Tells whether a kept reply was refused with this error, and the model asked again."""


class _Again:
    """A kept reply that is read in this thread, until that `is_over`.

    Whatever a validator of the user's starts has a copy of the context, and may keep it for ever.
    """

    def __init__(self, was_refused: WasRefused) -> None:
        self.was_refused: WasRefused | None = was_refused
        self._thread = threading.get_ident()

    def is_of_this(self) -> bool:
        return self._thread == threading.get_ident()


_AGAIN: Final[ContextVar[_Again | None]] = ContextVar("lionproc_again", default=None)


@contextmanager
def read_again(was_refused: WasRefused) -> Iterator[None]:
    """What is read in this block was read before.

    Args:
        was_refused: Of the reply that is read.
    """
    again = _Again(was_refused)
    token = _AGAIN.set(again)
    try:
        yield
    finally:
        again.was_refused = None
        _AGAIN.reset(token)


def kept_before() -> WasRefused | None:
    """Of a reply that was read before; None while a new one is read."""
    again = _AGAIN.get()
    return again.was_refused if again is not None and again.is_of_this() else None
