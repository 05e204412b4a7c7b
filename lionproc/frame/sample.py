"""Rows drawn by chance, and by what they say: the same ones in a rerun, in whatever order they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain, groupby, islice

import numpy as np
import numpy.typing as npt

from lionproc.errors import PromptError
from lionproc.frame.cell import cell_text, is_missing
from lionproc.frame.plan import Plan
from lionproc.frame.stage import taken

__all__ = ["drawn", "sample_of"]

_AT_ONCE = 4096  # rows whose cells are in memory
_SOME = 32  # at most, of which the hashes are mixed with all others
_OF = b"lionproc sample"


def sample_of(plan: Plan, places: Sequence[int], most: int) -> frozenset[int]:
    """Draw some places of a stage by the cells that are read for them.

    Args:
        plan: The run.
        places: Those that may be drawn, in ascending order.
        most: How many.
    """
    return frozenset(places[number] for number in drawn(_cells(plan, places), most))


def drawn(said: Iterable[bytes], most: int) -> list[int]:
    """Draw some of many, uniformly and without replacement; their numbers.

    Each gets a hash of what it says, and the lowest are taken. Of equal ones each has another hash,
    so that they are drawn one by one, too: which of them does not matter, for they say the same.
    The hashes are mixed with those of a few rows: whoever writes some rows cannot try words until
    they are drawn without knowing all others, and rows that are added later rarely change the rest.

    Args:
        said: What each of them says.
        most: How many; all, where there are no more.
    """
    hashes = _apart(np.fromiter(map(_hashed, said), dtype=np.uint64))
    some = hashes[hashes < np.uint64(min(_SOME * 2**64 >> len(hashes).bit_length(), 2**64 - 1))]
    seed = np.uint64(_hashed(some.sum(dtype=np.uint64).tobytes()))
    return [int(number) for number in np.argsort(_mixed(hashes + seed), kind="stable")[:most]]


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Other numbers, as many; the last step of SplitMix64 (Steele, Lea and Flood, 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _cells(plan: Plan, places: Sequence[int]) -> Iterator[bytes]:
    """The cells that are read for each place, by its own stage or one before."""
    for output, of_output in groupby(places, lambda place: place // plan.rows):
        before = (stage.outputs for stage in plan.stages[: plan.stage_of(output)])
        every = [*chain.from_iterable(before), plan.outputs[output]]
        read = set[int]().union(*(each.reads(plan.frame) for each in every))
        while rows := [place % plan.rows for place in islice(of_output, _AT_ONCE)]:
            columns = [taken(plan.frame.iloc[:, column], rows) for column in sorted(read)]
            for cells in zip(*columns, strict=True) if columns else [()] * len(rows):
                yield b"".join(b"%d " % len(cell) + cell for cell in map(_said, cells))


def _said(cell: object) -> bytes:
    """What a cell says; of one that is no text only what it is."""
    if is_missing(cell):
        return b""
    try:
        return cell_text(cell).encode()
    except PromptError:
        return type(cell).__name__.encode("utf-8", "replace")


def _apart(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The same, where equal ones are told apart by how many there were before."""
    order = np.argsort(numbers, kind="stable")
    ranked = numbers[order]
    before = np.arange(len(ranked)) - np.searchsorted(ranked, ranked)
    made = numbers.copy()
    for place in np.flatnonzero(before):
        made[order[place]] = _hashed(b"%d %d" % (ranked[place], before[place]))
    return made


def _hashed(said: bytes) -> int:
    return int.from_bytes(blake2b(said, digest_size=8, person=_OF).digest(), "big")
