"""Kept replies of rows that ask the same, read once: a reply may be long, and its rows many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from lionproc.engine.journal import Entry
from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.model.call import ModelCall

__all__ = ["ReadOnce"]

MOST_BYTES: Final = 32 * 2**20  # of replies whose answers are remembered
MOST: Final = 1000  # of them


class ReadOnce:
    """What came of the latest kept replies, for other rows that ask the same at one leg.

    Used by one thread at a time.
    """

    def __init__(self) -> None:
        self._came: dict[bytes, Event] = {}
        self._size = 0

    def knows(self, call: ModelCall) -> bool:
        """Whether it need not be looked up."""
        return call.key in self._came

    def answer(
        self, event: Event, own: Sequence[bytes], kept: Mapping[bytes, Entry], replay: Replay
    ) -> bool:
        """As `Replay.answer`.

        Args:
            event: Not yet sent.
            own: The keys that an answer to it may be kept under; the first one goes first.
            kept: What the journal has of all that it does not know.
            replay: Reads it.
        """
        key = event.first.key or b""
        if key in self._came:
            event.have(self._came[key])
            return True
        entry = next((kept[each] for each in own if each in kept), None)
        if entry is None or not replay.answer(event, entry):
            return False  # what is asked meanwhile may be there the next time
        self._remember(key, event, len(entry.reply))
        return True

    def _remember(self, key: bytes, event: Event, size: int) -> None:
        if len(self._came) >= MOST or self._size + size > MOST_BYTES:
            self._came.clear()
            self._size = 0
        if size <= MOST_BYTES:
            self._came[key] = event
            self._size += size
