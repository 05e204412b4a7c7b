"""The labels of columns that their names in a file alone would not bring back.

A column of parquet has a text for its name. What pandas makes of it again is right for texts, numbers
and moments; true and false are both true then, and periods, intervals, categories, missing labels and
most labels of several levels make a file that nobody reads. So such labels are kept beside the names,
as a small table.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Hashable
from typing import Any, Final, TypeAlias

import pandas as pd
import pyarrow as pa

from lionproc.engine.json_bounds import read_json
from lionproc.frame.arrow_extension import to_frame, to_table
from lionproc.frame.arrow_stream import packed, unpacked
from lionproc.frame.column_labels import check_names
from lionproc.frame.index_levels import index_of
from lionproc.frame.notes import check_schema, whole_note

__all__ = ["KEPT_LABELS", "kept_labels", "labels_of"]

KEPT_LABELS: Final = b"lionproc.labels"
Index: TypeAlias = "pd.Index[Any]"


def kept_labels(columns: Index) -> bytes | None:
    """A note from which the labels are made again; None where names alone bring them back.

    Args:
        columns: Of a frame that is to be written. None also where Arrow has nothing for them.

    Example:
        >>> kept_labels(pd.Index(["a", "b"])) is None
        True
        >>> labels_of(kept_labels(pd.Index([True, False]))).tolist()
        [True, False]
    """
    is_listed = (
        columns.nlevels == 1 and columns.dtype == object
    )  # in JSON, where names are no texts
    if _are_plain(columns) or (not is_listed and _come_back(columns)):
        return None
    try:
        levels = map(_bare, map(columns.get_level_values, range(columns.nlevels)))
        frame = pd.DataFrame({str(place): level for place, level in enumerate(levels)})
        names = [
            name if isinstance(name, str | int) else name and str(name) for name in columns.names
        ]
        note = json.dumps({"names": names, "held": packed(to_table(frame))}).encode()
        made = labels_of(note)
        is_alike = made.equals(columns) or made.tolist() == columns.tolist()
    except Exception:  # noqa: BLE001  (labels may be any objects, and Arrow says it in many ways)
        return None
    return note if is_alike else None


def labels_of(note: bytes) -> Index:
    """What `kept_labels` made a note of.

    Args:
        note: A stranger may have written it.

    Raises:
        Exception: Of any kind, where it is made up.
    """
    said = read_json(whole_note(note))
    frame = to_frame(unpacked(said["held"]))
    names: list[Hashable] = said["names"]
    levels: list[Index] = []
    for place, name in enumerate(names):
        level: Index = pd.Index(
            frame.iloc[:, place], dtype=frame.dtypes.iloc[place], tupleize_cols=False
        )
        for label in level:
            hash(label)  # pandas takes lists for labels, and fails at the first look at them
        levels.append(level.rename(name))
    return levels[0] if len(levels) == 1 else index_of(levels)


def _are_plain(columns: Index) -> bool:
    if columns.nlevels > 1:
        return False
    if columns.dtype == object:
        return all(isinstance(name, str | int | float) for name in columns)
    if columns.hasnans:
        return False
    return isinstance(columns.dtype, pd.StringDtype) or columns.dtype.kind in "iu"


def _bare(level: Index) -> Index:
    """Categories as what they are of: as labels they are nothing else."""
    dtype = level.dtype
    return level.astype(dtype.categories.dtype) if isinstance(dtype, pd.CategoricalDtype) else level


def _come_back(columns: Index) -> bool:
    """Whether pandas makes the same labels of the names."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that are no texts
            table: pa.Table = to_table(pd.DataFrame(columns=columns))
            check_schema(table.schema)
            check_names(table.schema)
            made = to_frame(table).columns
    except Exception:  # noqa: BLE001  (as above)
        return False
    return made.equals(columns) and (made.nlevels > 1 or made.dtype == columns.dtype)
