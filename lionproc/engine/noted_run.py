"""A run noted in its journal: when it begins, every few seconds, and when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from lionproc.engine.journal import Journal
from lionproc.engine.loop import in_thread

__all__ = ["NotedRun"]

log = logging.getLogger("lionproc.engine")
EVERY_S: Final = 5.0
"""Seconds between two notes. What is known of a run that was killed is at most that old."""


class NotedRun:
    """Notes a run. What cannot be noted is logged: a run does not end for its own diary.

    Args:
        journal: Where.
        facts: What is known of the run now, in JSON's types; None where it is not remembered.
            Called on the engine's loop.
        digests: Those of its answers at its end, None where there are none. Called beside the loop.
    """

    def __init__(
        self,
        journal: Journal,
        facts: Callable[[], Mapping[str, object] | None],
        digests: Callable[[], bytes | None],
    ) -> None:
        self._journal = journal
        self._facts_now = facts
        self._digests = digests
        self._number = 0
        self._since = 0
        self._next_at = 0.0

    def _facts(self) -> Mapping[str, object] | None:
        try:
            return self._facts_now()
        except Exception:  # of labels and types that are anybody's, their code too
            log.debug("the run could not be noted", exc_info=True)
            return None

    async def begin(self) -> int:
        """Note that it begins.

        Returns:
            Its number in the journal, 0 where it is not remembered.
        """
        facts = self._facts()
        if facts is None:
            return 0

        def begin() -> None:
            self._since = self._journal.mark()
            self._number = self._journal.runs.begin({**facts, "since": self._since})

        await _tried(begin)
        self._next_at = time.monotonic() + EVERY_S
        return self._number

    async def again(self) -> None:
        """Note how it goes, if it is time for that."""
        if not self._number or time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + EVERY_S
        facts = self._facts()
        if facts is not None:
            await _tried(
                lambda: self._journal.runs.note(self._number, {**facts, "since": self._since})
            )

    async def end(self) -> None:
        """Note how it ended, and the mark up to which its records are in the journal."""
        facts = self._facts() if self._number else None
        if facts is None:
            return

        def end() -> None:
            until: int | None = None
            digests: bytes | None = None
            try:
                self._journal.flush()
                until = self._journal.mark()
                digests = self._digests()
            finally:
                whole = {**facts, "since": self._since, "until": until}
                self._journal.runs.end(self._number, whole, digests)

        await _tried(end)


async def _tried(work: Callable[[], None]) -> None:
    try:
        await in_thread(work)
    except Exception:
        log.debug("the run could not be noted", exc_info=True)
