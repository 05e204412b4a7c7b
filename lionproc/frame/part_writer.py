"""When a part of a folder is written: as soon as its rows are settled. How: `export.write_part`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from lionproc.engine.blocking_work import in_saving_thread
from lionproc.errors import LionprocError

__all__ = ["PartWriter", "as_save_error"]


class PartWriter:
    """Writes the part of a chunk when nothing of it is to come. Lives on the engine's loop.

    Args:
        rows: How many rows there are.
        size: Rows of a chunk.
        ends: How often a row is settled before nothing of it is to come.
        write: Writes the part of a chunk, given its number, its first row and the row after its
            last, and returns where it is. Called in a thread.

    Attributes:
        error: Why a part could not be written; no other is written then.
    """

    def __init__(
        self, rows: int, size: int, ends: int, write: Callable[[int, int, int], Path | str]
    ) -> None:
        self._rows = rows
        self._size = size
        self._write = write
        self._left = [min(size, rows - start) * ends for start in range(0, rows, size)]
        self._writing: set[asyncio.Task[None]] = set()
        self._written: dict[int, Path | str] = {}
        self.error: LionprocError | None = None

    def had(self, row: int) -> None:
        """One answer of a row was there before the run began."""
        self._left[row // self._size] -= 1

    def settled(self, row: int) -> None:
        """Nothing more is to come of one answer of a row."""
        chunk = row // self._size
        self._left[chunk] -= 1
        if self._left[chunk] == 0:
            task = asyncio.create_task(self._part(chunk))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def finish(self) -> None:
        """Wait until what is whole is written; a run without rows has one part without rows.

        A part that somebody moved or removed meanwhile is written again: the folder has them all.
        """
        if self._writing:
            await asyncio.wait(set(self._writing))
        for chunk in await in_saving_thread(self._gone):
            await self._part(chunk)
        if not self._rows:
            await self._part(0)

    async def _part(self, chunk: int) -> None:
        if self.error is not None:
            return
        start = chunk * self._size
        stop = min(start + self._size, self._rows)
        try:
            self._written[chunk] = await in_saving_thread(self._write, chunk, start, stop)
        except (LionprocError, OSError) as error:
            self.error = self.error or as_save_error(error)

    def _gone(self) -> list[int]:
        """The chunks whose parts were written and are not there any more."""
        places = self._written.items()
        return [chunk for chunk, part in places if isinstance(part, Path) and not part.exists()]


def as_save_error(error: Exception) -> LionprocError:
    """An error of the system as one of ours."""
    return error if isinstance(error, LionprocError) else LionprocError(str(error))
