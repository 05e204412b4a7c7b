"""The answers of a run as the arrays of their columns, in the order in which they came.

As objects, an answer of 60 fields takes twenty times what its columns take. So answers become
arrays while they come, a block at a time, and a frame is put together from the blocks.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from pandas.api.extensions import ExtensionArray, take

from lionproc.frame.assemble import MISSING, column_names, columns
from lionproc.model.answer import Answer

__all__ = ["AnswerColumns"]

BLOCK_CELLS = 16_384  # that become arrays at once: a millisecond or two of the engine's time
BLOCK_ROWS = (64, 4096)  # the fewest, and the most
_NONE = -1


class AnswerColumns:
    """The answers to one question, by row. Written on the engine's loop, read from any thread.

    Args:
        answer: The answer type.
        into: As for `column_names`.
        rows: How many rows there are.

    Attributes:
        width: How many columns.
    """

    def __init__(self, answer: Answer, into: Hashable | None, rows: int) -> None:
        self._answer = answer
        self._into = into
        self._number = array("l", [_NONE]) * rows  # of each row: that of its answer, as they came
        fewest, most = BLOCK_ROWS
        self.width = len(column_names(answer, into))
        self._size = min(max(BLOCK_CELLS // max(self.width, 1), fewest), most)
        self._blocks: list[dict[Hashable, ExtensionArray]] = []
        self._open: list[Any] = []  # the latest cells, not yet a block
        self._last: Any = MISSING
        self._lock = threading.Lock()

    def put(self, row: int, cell: object) -> None:
        """A row has its answer.

        Args:
            row: Which.
            cell: As its column holds it. A row that shares the answer of the one before it shares
                its place.
        """
        with self._lock:
            if cell is not self._last:
                self._open.append(cell)
                self._last = cell
                if len(self._open) >= self._size:
                    self._blocks.append(self._made(self._open))
                    self._open = []
            self._number[row] = len(self._blocks) * self._size + len(self._open) - 1

    def take_over(self, before: AnswerColumns, rows: list[int]) -> None:
        """Begin with some answers of an earlier run of the same rows."""
        with before._lock:
            self._blocks, self._open = list(before._blocks), list(before._open)
            for row in rows:
                self._number[row] = before._number[row]
        self._last = MISSING

    def between(self, start: int, stop: int) -> dict[Hashable, ExtensionArray]:
        """The arrays by column name for the rows from `start` to `stop`; NA where none came."""
        return dict(self.each(start, stop))

    def each(self, start: int, stop: int) -> Iterator[tuple[Hashable, ExtensionArray]]:
        """As `between`, one column after the other: all of them at once are as much as there is."""
        with self._lock:
            numbers = np.array(self._number[start:stop], dtype=np.int64)
            blocks, latest = list(self._blocks), list(self._open)
        blocks.append(self._made(latest))
        used = np.unique(numbers[numbers >= 0] // self._size)
        if not len(used):
            yield from columns(self._answer, [MISSING] * (stop - start), self._into).items()
            return
        # Where an answer is in those of the blocks that are used, put one behind the other.
        shift = np.zeros(len(blocks), dtype=np.int64)
        shift[used] = (used - np.arange(len(used))) * self._size
        places = np.where(numbers >= 0, numbers - shift[numbers // self._size], _NONE)
        for name in blocks[0]:
            joined = _joined([blocks[n][name] for n in used])
            found: Any = take(joined, places, allow_fill=True)
            yield name, found

    def _made(self, cells: Sequence[object]) -> dict[Hashable, ExtensionArray]:
        return columns(self._answer, cells, self._into)


def _joined(arrays: list[ExtensionArray]) -> Any:
    if len(arrays) == 1:
        return arrays[0]
    kind: Any = type(arrays[0])
    return kind._concat_same_type(arrays)  # what pandas' concat comes to where all are of one type
