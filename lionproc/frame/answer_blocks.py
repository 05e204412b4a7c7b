"""Answers as Arrow arrays, a block of them after the other; each is known by a number.

Blocks are made as answers come, and again in the order of the rows once those are complete. Then
what they were made of is given up, so that nothing is in memory twice, while the run goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lionproc.frame.answer_arrays import POOL

__all__ = ["Blocks", "Numbers"]

AT_ONCE = 2**29  # bytes of lists, records, maps or shared texts that are copied into one array
Numbers = npt.NDArray[np.int64]
"""The number of the answer of each row; negative for none."""


class Blocks:
    """The blocks of a question's answers. The caller holds a lock.

    Args:
        types: Of each column.

    Attributes:
        end: The number of the next answer.
    """

    def __init__(self, types: Sequence[pa.DataType]) -> None:
        self.end = 0
        self._types = types
        self._columns: list[list[pa.Array]] = [[] for _ in types]
        self._starts: list[int] = []  # of each block the number of its first answer
        self._sizes: list[int] = []
        self._users: list[int] = []  # of each how many rows have their answer there

    def copy(self) -> Blocks:
        """The same blocks, to which others can be appended."""
        made = Blocks(self._types)
        made.end, made._columns = self.end, [list(blocks) for blocks in self._columns]
        made._starts, made._sizes = list(self._starts), list(self._sizes)
        made._users = list(self._users)
        return made

    def used_by(self, numbers: Numbers) -> Blocks:
        """A copy for rows that have these answers."""
        made = self.copy()
        used = _block_of(self._starts, numbers)[numbers >= 0]
        made._users = np.bincount(used, minlength=len(self._starts)).tolist()
        return made

    def add(self, columns: Sequence[pa.Array], size: int, users: int) -> None:
        """Append a block.

        Args:
            columns: Its arrays.
            size: How long each of them is.
            users: How many rows have their answer in it.
        """
        for blocks, values in zip(self._columns, columns, strict=True):
            blocks.append(values)
        self._starts.append(self.end)
        self._sizes.append(size)
        self._users.append(users)
        self.end += size

    def fit(self, answers: Numbers, rows: Numbers, most: int) -> bool:
        """Whether answers become no more than so many bytes as one block, each for all its rows.

        Args:
            answers: Their numbers, each once.
            rows: How many have each of them.
            most: Bytes.
        """
        places = _block_of(self._starts, answers)
        used = np.unique(places).tolist()
        size: int = sum(blocks[place].nbytes for blocks in self._columns for place in used)
        if size * int(rows.max(initial=1)) <= most:
            return True  # whichever of them it is that so many share
        shared = rows > 1
        behind = answers - np.array(self._starts)[places]
        for place, at, count in zip(places[shared], behind[shared], rows[shared], strict=True):
            own = sum(blocks[place].slice(int(at), 1).nbytes for blocks in self._columns)
            size += (int(count) - 1) * own
        return size <= most

    def move(self, numbers: Numbers) -> None:
        """Append a block that has the answers of some rows, in the order of the rows.

        Blocks that no other row has its answer in are given up.

        Args:
            numbers: Of these rows; from now on they are those of the new block, one after the other.
        """
        found = self.at(numbers)
        made = [found.column(place) for place in range(len(self._columns))]
        used, rows = np.unique(_block_of(self._starts, numbers)[numbers >= 0], return_counts=True)
        for block, count in zip(used.tolist(), rows.tolist(), strict=True):
            self._users[block] -= count
        for block in reversed(used.tolist()):
            if self._users[block] <= 0:
                for kept in (self._starts, self._sizes, self._users, *self._columns):
                    del kept[block]
        self.add([_joined(values) for values in made], len(numbers), len(numbers))

    def at(self, numbers: Numbers) -> Found:
        """The answers with these numbers, as they are now."""
        starts, sizes = np.array([self._starts, self._sizes], dtype=np.int64)
        return Found(self._columns, self._types, starts, sizes, numbers)


class Found:
    """Some answers, whatever becomes of the blocks later.

    Args:
        columns: Of each column its blocks.
        types: Of each column.
        starts: Of each block the number of its first answer.
        sizes: Of each block how many it has.
        numbers: Which answers.
    """

    def __init__(
        self,
        columns: Sequence[Sequence[pa.Array]],
        types: Sequence[pa.DataType],
        starts: Numbers,
        sizes: Numbers,
        numbers: Numbers,
    ) -> None:
        there = numbers >= 0
        block = _block_of(starts, numbers)
        used, first = np.unique(block[there], return_index=True)
        used = used[np.argsort(first)]  # in the order in which their answers are asked for
        self._blocks = [[blocks[n] for n in used] for blocks in columns]
        self._types = types
        # Where an answer is when these blocks stand one behind the other.
        behind = np.zeros(len(starts) + 1, dtype=np.int64)
        behind[used] = np.cumsum(sizes[used]) - sizes[used] - starts[used]
        places = numbers + behind[block]
        self._size = len(numbers)
        self._first: int | None = None  # where they follow each other
        self._places, self._there = places, there
        if self._size and there.all() and (np.diff(places) == 1).all():
            self._first = int(places[0])

    def column(self, place: int) -> pa.ChunkedArray:
        """The answers of a column; without a copy where they are in order already."""
        kept = pa.chunked_array(self._blocks[place], self._types[place])
        if self._first is not None:
            return kept.slice(self._first, self._size)
        if pa.types.is_nested(kept.type) and kept.nbytes > AT_ONCE:
            return pa.chunked_array(list(self._slices(kept)), kept.type)
        taken = pa.array(self._places, mask=~self._there)
        if pa.types.is_large_string(kept.type):
            lengths = pc.fill_null(pc.take(pc.binary_length(kept), taken), 0).to_numpy()
            if lengths.sum() > max(AT_ONCE, 2 * kept.nbytes):
                return pa.chunked_array(list(_shared(kept, taken, lengths)), kept.type)
        return pc.take(kept, taken, memory_pool=POOL)

    def _slices(self, kept: pa.ChunkedArray) -> Iterator[pa.Array]:
        """The same without a copy: to take some, Arrow first makes one array of all blocks."""
        starts = np.cumsum([0, *map(len, kept.chunks)])[:-1]
        block = np.where(self._there, _block_of(starts, self._places), -1)
        follows = self._there[1:] & (np.diff(block) == 0) & (np.diff(self._places) == 1)
        none = pa.nulls(1, kept.type)
        for first, end in pairwise([0, *(np.flatnonzero(~follows) + 1).tolist(), self._size]):
            at = block[first]
            if at < 0:
                yield none
            else:
                yield kept.chunk(at).slice(self._places[first] - starts[at], end - first)


def _shared(kept: pa.ChunkedArray, places: pa.Array, lengths: Numbers) -> Iterator[pa.Array]:
    """Texts that rows share, which would take far more as a copy for each: the long ones have none.

    Args:
        kept: The texts.
        places: Of the rows.
        lengths: Of their texts, in bytes.
    """
    kept = kept.combine_chunks() if kept.num_chunks > 1 else kept.chunk(0)
    is_long = lengths > AT_ONCE // len(lengths)
    ends = np.flatnonzero(is_long[1:] | is_long[:-1]) + 1
    for first, end in pairwise([0, *ends.tolist(), len(lengths)]):
        if is_long[first]:
            yield kept.slice(places[first].as_py(), 1)
        else:
            yield pc.take(kept, places[first:end], memory_pool=POOL)


def _joined(values: pa.ChunkedArray) -> pa.Array:
    # Of a single one it would be a copy.
    if values.num_chunks == 1:
        return values.chunk(0)
    return pa.concat_arrays(values.chunks, memory_pool=POOL)


def _block_of(starts: Sequence[int] | Numbers, numbers: Numbers) -> Numbers:
    """In which block each answer is; anything for none."""
    return np.searchsorted(starts, numbers, side="right") - 1
