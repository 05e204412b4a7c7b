"""Runs under way when the interpreter ends: what is in flight may still come back and is kept."""

from __future__ import annotations

import atexit
from typing import Protocol

from lionproc.engine import loop
from lionproc.engine.forked import in_forked_child

GRACE_S = 0.8  # what is in flight gets then, and when a person interrupts


class UnderWay(Protocol):
    """A run, as far as it is to be ended."""

    def stay_behind(self) -> None:
        """This is a forked child, and the run goes on in its parent."""

    def stop(self, grace_s: float) -> None:
        """Send nothing more."""

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end."""


_under_way: set[UnderWay] = set()


def began(run: UnderWay) -> None:
    """It is ended with the interpreter, unless it has ended before."""
    _under_way.add(run)
    loop.get()  # is there before, as what is registered last is called first: before the loop ends
    atexit.unregister(_end_all)
    atexit.register(_end_all)


def ended(run: UnderWay) -> None:
    """It has ended by itself."""
    _under_way.discard(run)


def under_way() -> int:
    """How many runs there are now, 1 at least."""
    return len(_under_way) or 1


def _end_all() -> None:
    runs = list(_under_way)
    for run in runs:
        run.stop(GRACE_S)
    for run in runs:
        run.wait(GRACE_S + 1.0)


@in_forked_child
def _forked() -> None:
    for run in _under_way:
        run.stay_behind()
    _under_way.clear()
