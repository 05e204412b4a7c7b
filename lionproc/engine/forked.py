"""A forked child: what begins anew there, and what is left as it is because it is the parent's.

The child has a copy of everything, but no thread came along: nothing that the parent has under way
ends here, and its sockets are the parent's too.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Final, Protocol

from lionproc.engine.half_imported import wait_for_imports

__all__ = ["STAYED_BEHIND", "in_forked_child", "leave_behind", "renew_in_child"]

STAYED_BEHIND: Final = (
    "This run goes on in the process that started it; this one was forked from it, and here it is "
    "a copy that never ends. Wait for it there. What is asked here is a run of its own."
)


def in_forked_child(function: Callable[[], None]) -> Callable[[], None]:
    """Call a function first thing in every child that is forked from now on.

    Where processes cannot be forked, as on Windows, it is never called.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function


class Renewable(Protocol):
    """Something that begins anew."""

    def renew(self) -> None:
        """In a forked child: who waits and what is on its way stayed with the parent."""


_renewable: weakref.WeakSet[Renewable] = weakref.WeakSet()
_of_parents: list[object] = []


def renew_in_child(thing: Renewable) -> None:
    """Have it begin anew in every child that is forked from now on."""
    _renewable.add(thing)


def leave_behind(thing: object) -> None:
    """In a forked child: keep something of the parent as it is, never closed and never collected.

    To close a connection takes it out of what the system watches for the event loop, and that is
    the parent's too: it would wait for a reply that it is never told of.
    """
    _of_parents.append(thing)


@in_forked_child
def _forked() -> None:
    for thing in list(_renewable):
        thing.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=wait_for_imports)
