"""Parts in a folder whose rows, or what is asked of them, have changed since they were written.

A folder belongs to a run, and a run that is started again finds its parts there. Rows that were
corrected in between are asked again and their part is written anew, and so are all where a function
asks otherwise or another model answers; but until then, and for good where the run stops before, the
old part would be read as if it were this run's.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from lionproc.engine.paths import shown
from lionproc.errors import ConfigurationError
from lionproc.frame.parquet_reader import facts_in
from lionproc.frame.part_note import NOTE
from lionproc.frame.place import place_of
from lionproc.frame.rows_digest import OF, digest_of
from lionproc.frame.save_target import part_of

__all__ = ["remove_stale_parts"]

log = logging.getLogger("lionproc")


def remove_stale_parts(
    folder: str,
    run: str,
    frame: pd.DataFrame,
    *,
    read: Sequence[int],
    size: int,
    like: pa.Schema,
    note: str = "",
    has_journal: bool = True,
) -> int:
    """Remove the parts of a folder that are not of this frame and this run any more.

    Only of a folder of this machine: to read all that is at an address would take too long.

    Args:
        folder: Where the parts are.
        run: The fingerprint of the run.
        frame: The input.
        read: The places of its columns that the prompt shows.
        size: Rows in a part.
        like: The types that its columns have in the parts.
        note: What its parts note of the run; see `part_note.py`.
        has_journal: Whether their answers are in a journal. If not they are kept under a name
            that no reader of the folder looks at, for they are nowhere else.

    Returns:
        How many were removed.
    """
    home = place_of(folder)
    if not isinstance(home, Path):
        return 0
    removed = 0
    for number, start in enumerate(range(0, len(frame), size)):
        part = home / part_of(number, run)
        rows = frame.iloc[start : start + size]
        if part.is_file() and not _is_of(part, digest_of(rows, read, like), note):
            removed += 1
            with contextlib.suppress(OSError):
                if has_journal:
                    part.unlink()
                else:
                    part.replace(part.with_name(f"_{part.name}.old"))
    if removed:
        kept = "" if has_journal else "; they are kept as _part-*.old, for no journal has them"
        why = "were of other rows, or of other questions"
        log.info("%d parts in %r %s%s", removed, shown(folder), why, kept)
    return removed


def _is_of(part: Path, digest: str, note: str) -> bool:
    try:
        facts = facts_in(part)
    except ConfigurationError:
        return False
    if facts is None or digest == "":
        return False
    return facts.get(OF) == digest and facts.get(NOTE, "") == note
