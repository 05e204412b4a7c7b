"""What Arrow makes of names and of cells that are objects is looked at before it does.

A table of Arrow has a column for each name, and a column of objects (dicts) one more for each key that
any of them has, with a place for every row. Both are found by their name, in a hash table of C++
without a seed: 25,000 names that were chosen to fall into one place of it took a minute. And keys that
differ from row to row, such as numbers of customers, take the square of the rows: 30,000 rows took
eight gigabytes.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from lionproc.errors import ColumnError

__all__ = ["are_names_quick", "check_cells", "check_names"]

_FIRST, _TIMES = 2_000, 4  # names of the first trial, and how many times as many the next has
_TRIES: Final = 3  # of which the quickest counts: the machine may have been busy
# Seconds of the processor of which names take a fifth; of 4,000 that were chosen for it, twice.
_START_S, _EACH_S, _BYTE_S = 0.002, 5e-6, 1e-8
_SPARE: Final = 10_000_000  # places that all cells may have in any case: four seconds, to read them
_COLUMN: Final = 200  # places that take as long as a column does, however few rows it has
_PLACES: Final = 10  # and for each value that is there
_DEEPEST: Final = 100  # lists and objects in one another; parquet has fewer, a circle has no end
_IN_LISTS: Final = "list.element."  # how parquet names what is in lists
_HOLDERS: Final = (dict, list, tuple, np.ndarray)
_WAY_ON: Final = "make them texts (.map(json.dumps)), drop the column, or leave out save="


def check_names(names: Iterable[str]) -> None:
    """Refuse names of columns that a table of Arrow takes very long to find.

    Args:
        names: Of all columns, different ones.

    Raises:
        ColumnError: They were chosen for it.
    """
    if not are_names_quick(set(names)):
        raise ColumnError(
            "The names of the columns were made so that a table takes very long to find one of them. "
            "Rename them, keep only the columns that you need, or leave out save=."
        )


def are_names_quick(names: Collection[str]) -> bool:
    """Whether a table of Arrow finds names as quickly as others.

    Args:
        names: Different ones. Of a set some are tried out before all are: it has its own order in
            each process, so that nobody knows which.

    Example:
        >>> are_names_quick({f"gene {number}" for number in range(20_000)})
        True
    """
    most = _FIRST
    while len(names) > most // _TIMES:
        fields = [
            pa.field(name.encode(errors="replace").decode(), pa.null())
            for name in islice(names, most)
        ]
        size = sum(len(field.name) for field in fields)
        limit_s = _START_S + _EACH_S * len(fields) + _BYTE_S * size
        if all(_seconds_of(fields) > limit_s for _ in range(_TRIES)):
            return False
        most *= _TIMES
    return True


def _seconds_of(fields: list[pa.Field]) -> float:
    began = time.thread_time()
    pa.schema(fields)
    return time.thread_time() - began


def check_cells(frame: pd.DataFrame) -> None:
    """Refuse columns of objects of which Arrow would make far more than they have in them.

    Args:
        frame: With columns of any kind; those of plain Python values are looked at.

    Raises:
        ColumnError: The message names the column.
    """
    unfolded = _Unfolded()
    for place, dtype in enumerate(frame.dtypes):
        if dtype == "object":
            column = frame.iloc[:, place]
            cells = column.tolist()
            wrong = unfolded.wrong_with(cells, str(column.name)) if _has_holders(cells) else None
            if wrong is not None:
                raise ColumnError(
                    f"Column {column.name!r} cannot be saved as parquet: {wrong}. To save the result, "
                    f"{_WAY_ON}."
                )


class _Unfolded:
    """What the columns of objects of a frame become, one after the other."""

    def __init__(self) -> None:
        self._places = 0
        self._values = 0

    def wrong_with(self, cells: list[Any], name: str) -> str | None:
        """What is wrong with a column. Each level of what is in its cells is looked at once.

        Args:
            cells: Its cells.
            name: Its own. Parquet finds what is in objects by the names of all that is around it.
        """
        levels = [(0, f"{name}.", len(cells), cells)]
        while levels:
            depth, path, rows, level = levels.pop()
            objects = [cell for cell in level if isinstance(cell, dict)]
            keys = set().union(*objects)
            self._places += (rows + _COLUMN + len(path)) * len(keys)
            self._values += sum(map(len, objects))
            if depth > _DEEPEST:
                return "it is nested too deeply"
            if self._places > _SPARE + _PLACES * self._values:
                return (
                    f"its objects have {len(keys):,} different keys, and each of them would be a column "
                    f"of {rows:,} rows"
                )
            texts = {key for key in keys if isinstance(key, str)}
            if not (are_names_quick(texts) and are_names_quick({path + text for text in texts})):
                return "the keys of its objects were made so that it takes very long to find one of them"
            # An object in an object has a place wherever the outer one has; one in a list has not.
            depth += 1
            levels += [(depth, f"{path}{key}.", rows, inner) for key, inner in _inner(objects)]
            items = [item for cell in level if _holds_objects(cell) for item in cell]
            if items:
                levels.append((depth, path + _IN_LISTS, len(items), items))
        return None


def _inner(objects: list[dict[Any, Any]]) -> Iterable[tuple[Any, list[Any]]]:
    """What is in objects and may hold objects itself, for each key."""
    found: defaultdict[Any, list[Any]] = defaultdict(list)
    for each in objects:
        for key, value in each.items():
            if isinstance(value, _HOLDERS):
                found[key].append(value)
    return found.items()


def _holds_objects(cell: object) -> bool:
    """Whether a cell is a list in which there may be objects."""
    if isinstance(cell, np.ndarray):
        return cell.dtype == object and cell.ndim == 1
    return isinstance(cell, list | tuple) and _has_holders(cell)


def _has_holders(cells: Iterable[object]) -> bool:
    """Whether there are objects or lists among cells."""
    return any(issubclass(kind, _HOLDERS) for kind in set(map(type, cells)))
