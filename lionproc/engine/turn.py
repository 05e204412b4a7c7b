"""What is done at the end of a turn of the loop: first what came is noted, then the next leaves.

Many replies come in one turn of a busy loop, and a system call for each to note it costs as much as
reading it. So all of a turn are noted at once; and as a slot that sends again before its reply is
noted could have both bought again after a kill, what a turn sends leaves after that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

__all__ = ["Turn", "turn_of"]


class Turn:
    """The end of the turn that one loop is in. All methods are called on that loop.

    It does not hold the loop, by which it is found: it would be kept as long as the process lives.
    """

    def __init__(self) -> None:
        self._notes: list[Callable[[], None]] = []
        self._leaving: list[tuple[asyncio.Transport, bytes]] = []
        self._is_due = False

    def note(self, write: Callable[[], None]) -> None:
        """Call this at the end, before anything leaves."""
        self._notes.append(write)
        self._end_soon()

    def leave(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send this when all is noted, unless the connection is closed by then."""
        self._leaving.append((transport, data))
        self._end_soon()

    def noted(self) -> None:
        """Something is sent that does not wait for the end of the turn: note all of it now."""
        notes, self._notes = self._notes, []
        for write in notes:
            write()

    def _end_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._is_due = False
        leaving, self._leaving = self._leaving, []
        try:
            self.noted()
        finally:
            for transport, data in leaving:
                if not transport.is_closing():
                    transport.write(data)


def turn_of(loop: asyncio.AbstractEventLoop) -> Turn:
    """The end of the turn that a loop is in."""
    turn = _turns.get(loop)
    if turn is None:
        turn = _turns[loop] = Turn()
    return turn


_turns: Final = WeakKeyDictionary[asyncio.AbstractEventLoop, Turn]()
