"""Which row is which, by what it says: wherever it stands, in whatever session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pandas as pd

from lionproc.errors import PromptError, pass_on_interrupt
from lionproc.evaluation.columns import one_column
from lionproc.frame.cell import cell_text, is_missing, sound
from lionproc.frame.dtypes import cells_of

__all__ = ["cell_words", "contents", "ids_of"]


def cell_words(cell: object) -> str:
    """A cell as text; empty for a missing one."""
    if type(cell) is str:
        return sound(cell)  # as our files have it, and as it can be hashed
    if is_missing(cell):
        return ""
    try:
        return cell_text(cell)
    except PromptError:
        return sound(_shown(cell))


def _shown(cell: object) -> str:
    try:
        return repr(cell)
    except BaseException as error:  # noqa: BLE001  (of any class)
        pass_on_interrupt(error)
        return type(cell).__name__


def contents(frame: pd.DataFrame, columns: Sequence[Hashable]) -> list[str]:
    """What each row says in some columns, as one text."""
    texts = [
        [cell_words(cell) for cell in cells_of(one_column(frame, name, "columns"))]
        for name in columns
    ]
    if len(texts) == 1:
        return texts[0]
    return ["\x1f".join(row) for row in zip(*texts, strict=True)] if texts else [""] * len(frame)


def ids_of(frame: pd.DataFrame, columns: Sequence[Hashable]) -> list[str]:
    """An id for each row, by what it says; of equal rows the second has "-2" behind it.

    In whatever order the columns are named, they count in that of the frame. An id begins with a letter, so that no spreadsheet program makes a number or a date of it.
    """
    wanted = set(columns)
    ordered = [name for name in frame.columns if name in wanted]
    texts = np.array(["", *contents(frame, ordered)], dtype=object)  # never empty, always objects
    hashes = pd.util.hash_array(texts, categorize=False)[1:].tolist()
    return list(_numbered(f"r{each:016x}" for each in hashes))


def _numbered(ids: Iterable[str]) -> Iterable[str]:
    seen: Counter[str] = Counter()
    for each in ids:
        seen[each] += 1
        yield each if seen[each] == 1 else f"{each}-{seen[each]}"
