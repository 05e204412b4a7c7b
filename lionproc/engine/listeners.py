"""Who wants to hear of a change, without being kept alive by that."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable

__all__ = ["Listeners"]


class Listeners:
    """Bound methods whose objects are held weakly. From any thread.

    Example:
        >>> heard = []
        >>> listeners = Listeners()
        >>> class Bell:
        ...     def ring(self):
        ...         heard.append("ring")
        >>> bell = Bell()
        >>> listeners.add(bell.ring)
        >>> listeners.tell()
        >>> del bell
        >>> listeners.tell()
        >>> heard
        ['ring']
    """

    __slots__ = ("_lock", "_refs")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refs: tuple[weakref.WeakMethod[Callable[[], None]], ...] = ()

    def add(self, listener: Callable[[], None]) -> None:
        """Call this bound method at every change from now on."""
        with self._lock:
            alive = [ref for ref in self._refs if ref()]
            self._refs = (*alive, weakref.WeakMethod(listener))

    def tell(self) -> None:
        """Call them all, in the order in which they came."""
        for ref in self._refs:
            listener = ref()
            if listener is not None:
                listener()
