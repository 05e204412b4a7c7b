"""What runs over the same journal know of each other, so that a question is bought once."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lionproc.engine.journal import Journal
    from lionproc.engine.request import Event


class Member(Protocol):
    """Who asks."""

    shares: bool
    """Whether somebody else may answer what it asks; once true it stays so."""


class Sharing:
    """Those who ask over one journal, in this process.

    Attributes:
        asking: Events by their first key that are about to be sent or under way.
    """

    __slots__ = ("__weakref__", "_lock", "_members", "asking")

    def __init__(self) -> None:
        self.asking: dict[bytes, Event] = {}
        self._members: weakref.WeakSet[Member] = weakref.WeakSet()
        self._lock = threading.Lock()

    @classmethod
    def over(cls, journal: Journal | None) -> Sharing:
        """That of a journal; one of its own for who keeps nothing."""
        return cls() if journal is None else _known.setdefault(journal, cls())

    def join(self, member: Member) -> None:
        """From now on it and all others here may answer each other's questions."""
        with self._lock:
            for other in self._members:
                if other is not member:
                    other.shares = member.shares = True
            self._members.add(member)

    def leave(self, member: Member) -> None:
        """It asks nothing more."""
        with self._lock:
            self._members.discard(member)


_known: weakref.WeakKeyDictionary[Journal, Sharing] = weakref.WeakKeyDictionary()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_known.clear)  # who asks there stays with the parent
