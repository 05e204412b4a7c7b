"""Kept replies of rows that ask the same, read once: a reply may be long, and its rows many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from lionproc.engine.journal import Entry
from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.model.call import ModelCall

__all__ = ["ReadOnce", "read_once"]

MOST_BYTES: Final = 32 * 2**20  # of replies whose answers are remembered, and a few more
MOST: Final = 1000  # of them


def read_once(leaves: int) -> list[ReadOnce]:
    """For one thread that reads replies of several models: one for each."""
    return [ReadOnce() for _ in range(leaves)]


class ReadOnce:
    """What came of the latest kept replies, for other rows that ask the same at one leg.

    Used by one thread at a time.
    """

    def __init__(self) -> None:
        self._came: dict[bytes, Event] = {}
        self._size = 0

    def unknown(self, calls: Iterable[ModelCall]) -> list[ModelCall]:
        """Those of the next calls that are to be looked up; then all of them are to be answered.

        Args:
            calls: What rows ask.
        """
        if len(self._came) >= MOST or self._size >= MOST_BYTES:
            self._came.clear()  # not later: what is known now is not looked up
            self._size = 0
        return [call for call in calls if call.key not in self._came]

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
        self._came[key] = event
        self._size += len(entry.reply)
        return True
