"""What a person sees of a run, and what they steer it by: the two sides of a display."""

from __future__ import annotations

from typing import Protocol

from lionproc.engine.limits import Limits
from lionproc.engine.stats import RunStats

__all__ = ["Steered", "Watcher"]


class Watcher(Protocol):
    """Something a person looks at. It is told, and never asks."""

    def update(self, stats: RunStats) -> None:
        """The run at this moment; called a few times a second from the engine's thread."""

    def close(self, stats: RunStats) -> None:
        """The run has ended like this."""


class Steered(Protocol):
    """A run, or several as one, as far as a person looks at it and steers it."""

    @property
    def limits(self) -> Limits:
        """The live limits."""

    @property
    def stats(self) -> RunStats:
        """What it has done so far."""

    def pause(self) -> None:
        """Let nothing more leave until `resume`."""

    def resume(self) -> None:
        """Go on after `pause`."""

    def stop(self) -> None:
        """Send nothing more."""
