"""The answers of a run as the arrays of their columns.

As objects, an answer of 60 fields takes twenty times what its columns take. So answers become
arrays while they come, a block at a time, and a frame is put together from the blocks.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
from pandas.api.extensions import ExtensionArray

from lionproc.frame.answer_arrays import array_of
from lionproc.frame.answer_blocks import Blocks, Numbers
from lionproc.frame.assemble import MISSING, arrow_columns, column_names, column_shapes
from lionproc.model.answer import Answer

__all__ = ["AnswerColumns"]

BLOCK_CELLS = 16_384  # that become arrays at once: a millisecond or two of the engine's time
BLOCK_ROWS = (64, 4096)  # the fewest, and the most
BLOCK_LENGTH = 2**26  # characters of replies: a list of texts in Arrow has room for 2 GiB
JOINED = 8  # blocks that become one at most: of a small array most is not what it holds
JOINED_BYTES = 2**29  # that it has, with what rows share once for each of them
LONG = 2**12  # characters of a text that is looked for among the latest ones
_END = 64  # characters
_NONE, _NEVER = -1, -2


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
        self._names = column_names(answer, into)
        self._shapes = column_shapes(answer)
        self.width = len(self._names)
        fewest, most = BLOCK_ROWS
        self._size = min(max(BLOCK_CELLS // max(self.width, 1), fewest), most)
        self._number = array("q", [_NONE]) * rows  # of each row: that of its answer
        self._blocks = Blocks([none.type for none in arrow_columns(answer, ())])
        self._open: list[Any] = []  # the latest cells, not yet a block
        self._length = 0  # characters of the replies they were read from
        self._users = 0  # rows that have one of those
        self._last: Any = MISSING
        # Of the long texts among those the places, by how they begin and end.
        self._long: dict[tuple[str, str], int] = {}
        self._stretch = min(max(most, self._size), JOINED * self._size)  # rows of a final block
        self._left = [min(self._stretch, rows - n) for n in range(0, rows, self._stretch)]
        self._complete: list[int] = []  # stretches of which nothing more is to come
        self._lock = threading.Lock()

    def put(self, row: int, cell: object, length: int = 0) -> None:
        """A row has its answer.

        Args:
            row: Which.
            cell: As its column holds it. A row that shares the answer of the one before it shares
                its place, and a long text the place of an equal one.
            length: How many characters the reply had that it was read from.
        """
        with self._lock:
            self._set(row, self._blocks.end + self._opened(cell, length))
            self._users += 1
            if len(self._open) >= self._size or self._length >= BLOCK_LENGTH:
                self._close()

    def _opened(self, cell: Any, length: int) -> int:
        """The place of a cell among the latest ones."""
        if cell is self._last and self._open:
            return len(self._open) - 1
        if length >= LONG and type(cell) is str:
            ends = cell[:_END], cell[-_END:]
            place = self._long.setdefault(ends, len(self._open))
            if place < len(self._open) and self._open[place] == cell:
                return place  # of an equal row that was read from the journal
        self._open.append(cell)
        self._last = cell
        self._length += length
        return len(self._open) - 1

    def never(self, row: int) -> None:
        """A row will have no answer."""
        with self._lock:
            self._set(row, _NEVER)

    def _set(self, row: int, number: int) -> None:
        if self._number[row] == _NONE:
            stretch = row // self._stretch
            self._left[stretch] -= 1
            if not self._left[stretch]:
                self._complete.append(stretch)
        self._number[row] = number

    def take_over(self, before: AnswerColumns, rows: list[int]) -> None:
        """Begin with some answers of an earlier run of the same rows."""
        with before._lock:
            before._close()
            for row in rows:
                self._set(row, before._number[row])
            self._blocks = before._blocks.used_by(np.array(self._number))

    def settle(self) -> Iterator[None]:
        """No more is to come: whatever is left gets the order of the rows, a piece at a time."""
        with self._lock:
            self._close()
        for stretch, left in enumerate(self._left):
            if left:
                with self._lock:
                    self._order(stretch)
                yield

    def between(self, start: int, stop: int) -> dict[Hashable, ExtensionArray]:
        """The arrays by column name for the rows from `start` to `stop`; NA where none came."""
        return dict(self.each(slice(start, stop)))

    def each(self, rows: slice | Numbers) -> Iterator[tuple[Hashable, ExtensionArray]]:
        """The name and the array of one column after the other; all at once are all there is.

        Args:
            rows: From which to which, or which.
        """
        with self._lock:
            numbers = np.array(np.asarray(self._number)[rows])
            blocks, latest = self._blocks.copy(), list(self._open)
        if latest:
            blocks.add(arrow_columns(self._answer, latest), len(latest), 0)
        found = blocks.at(numbers)
        for place, (name, shape) in enumerate(zip(self._names, self._shapes, strict=True)):
            yield name, array_of(shape, found.column(place))

    def _close(self) -> None:
        """The latest cells become a block, and what is complete gets the order of the rows."""
        if self._open:
            made = arrow_columns(self._answer, self._open)
            self._blocks.add(made, len(self._open), self._users)
            self._open, self._users, self._last = [], 0, MISSING
            self._length, self._long = 0, {}
        for stretch in self._complete:
            self._order(stretch)
        self._complete = []

    def _order(self, stretch: int) -> None:
        """The answers of a stretch of rows become one block, where one has room for them."""
        first = stretch * self._stretch
        numbers = np.array(self._number[first : first + self._stretch])
        answers, rows = np.unique(numbers[numbers >= 0], return_counts=True)
        if 2 * len(answers) < rows.sum():
            return  # they share them, and would have one each
        if not self._blocks.fit(answers, rows, JOINED_BYTES):
            return
        start = self._blocks.end
        self._blocks.move(numbers)
        self._number[first : first + len(numbers)] = array("q", range(start, self._blocks.end))
