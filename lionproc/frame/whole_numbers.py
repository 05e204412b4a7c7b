"""Whole numbers with gaps between them, which pandas makes floats of when it reads a table.

A float holds whole numbers exactly up to 2**53 (IEEE 754, binary64). Beyond that two ids become one:
a row would be asked about another thing, and what is written out again is another number.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lionproc.engine.json_bounds import read_json
from lionproc.frame.notes import field_noted
from lionproc.frame.pandas_hash import Index

__all__ = [
    "IntegerWithGaps",
    "alike",
    "appended",
    "are_lost",
    "dtypes_noted",
    "to_pandas",
    "with_levels",
]

EXACT = 2**53
_KINDS = (("Int", ""), ("UInt", ""), ("int", "[pyarrow]"), ("uint", "[pyarrow]"))
_BITS = (8, 16, 32, 64)
_NUMBERS = {f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in _BITS}
_WITH_GAPS = {f"{kind}{bits}{by}" for kind, by in _KINDS for bits in _BITS}
Arrow: TypeAlias = Any  # an Arrow array, chunked array or type: stubs for these differ too much
_types: Any = pa.types
# What pandas 3 makes of a table is more than what pyarrow alone makes of it.
_convert: Any = getattr(pd.DataFrame, "from_arrow", pa.Table.to_pandas)


class IntegerWithGaps:
    """Makes pandas' Int64 or UInt64 of whole numbers; what pyarrow asks a dtype for.

    Args:
        storage: Their Arrow type.
    """

    def __init__(self, storage: pa.DataType) -> None:
        unsigned = _types.is_unsigned_integer(storage)
        self._dtype: Any = pd.UInt64Dtype() if unsigned else pd.Int64Dtype()

    def __from_arrow__(self, array: Arrow) -> Any:
        storage = [chunk.storage for chunk in getattr(array, "chunks", [array])]
        return self._dtype.__from_arrow__(pa.chunked_array(storage, array.type.storage_type))


def dtypes_noted(columns: Sequence[Mapping[str, Any]]) -> dict[object, str]:
    """The dtype of each column that pandas has described, by the name of its field.

    Args:
        columns: As `noted_by_pandas` has them.

    Raises:
        Exception: Of any kind, where the metadata is made up.
    """
    return {field_noted(column): column["numpy_type"] for column in columns}


def are_lost(column: Arrow, noted: str | None, *, beside_others: bool = False) -> bool:
    """Whether pandas would change the numbers of a column, which has gaps.

    Args:
        column: A chunked array of Arrow, of any type.
        noted: The dtype that pandas has noted for it. Objects stay objects, and the dtypes of pandas
            itself have numbers and gaps. None where pandas has noted nothing.
        beside_others: Whether others are put beside it that are not known, which may have numbers
            and gaps where this one has none: then all are read in one way, unless pandas has noted it.
    """
    if not _types.is_integer(column.type):
        return False
    if beside_others and noted is None:
        return True
    if not column.null_count or (noted or "int64") not in _NUMBERS:
        return False
    ends = pc.min_max(column).as_py()
    return ends["min"] is not None and not -EXACT <= ends["min"] <= ends["max"] <= EXACT


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """What pandas makes of a table, with whole numbers as they are in columns of objects.

    Such a column, and lists, maps and records, have the numbers and None.

    Args:
        table: With columns that are called differently.

    Raises:
        Exception: Of any kind, where the metadata is made up.
    """
    frame: pd.DataFrame = _convert(table)
    said = read_json((table.schema.metadata or {}).get(b"pandas", b"{}"))
    noted = dtypes_noted(said.get("columns", []))
    index = {name for name in said.get("index_columns", []) if isinstance(name, str)}
    columns = [name for name in table.column_names if name not in index]
    cells: dict[str, Any] = {}
    for name in table.column_names:
        column, dtype = table.column(name), noted.get(name, "int64")
        if not _are_changed(column, dtype, of_index=name in index):
            continue
        cells[name] = np.empty(len(frame), dtype=object)
        cells[name][:] = list(column.to_pandas(integer_object_nulls=True))
        if name in index:
            made: Any = pd.array(cells.pop(name), dtype=dtype)
            frame.index = pd.Index(made, name=frame.index.name, tupleize_cols=False)
    if cells and len(columns) != frame.shape[1]:
        raise ValueError("the index is not what it is said to be")
    if not cells:
        return frame
    # Made at once: one by one takes the square of the columns.
    every = {
        place: cells[name] if name in cells else frame.iloc[:, place]
        for place, name in enumerate(columns)
    }
    whole = pd.DataFrame(every, index=frame.index, copy=False)
    whole.columns = frame.columns
    return whole


def _are_changed(column: Arrow, noted: str, *, of_index: bool) -> bool:
    """Whether pandas makes floats of whole numbers in a column, or within its cells."""
    if _types.is_integer(column.type):  # of an index pandas knows no dtypes that have gaps
        lost = noted == "object" or (of_index and noted in _WITH_GAPS)
        return lost and bool(column.null_count)
    return _types.is_nested(column.type) and any(
        _types.is_integer(part.type) and part.null_count
        for chunk in column.chunks
        for part in _within(chunk)
    )


def _within(array: Arrow) -> Iterator[Arrow]:
    """The arrays without parts of which a nested one is made."""
    kind = array.type
    if _types.is_struct(kind):
        parts = [array.field(place) for place in range(kind.num_fields)]
    elif _types.is_map(kind):
        parts = [array.keys, array.items]
    elif _types.is_nested(kind) and hasattr(array, "values"):
        parts = [array.values]  # noqa: PD011  (of Arrow)
    else:
        yield array
        return
    for part in parts:
        yield from _within(part)


def alike(frames: Sequence[pd.DataFrame]) -> Sequence[pd.DataFrame]:
    """Frames that can be put one after the other without whole numbers becoming others.

    Where one has gaps in a column, and so floats, and another one has numbers there that no float
    holds, the floats are made whole numbers with gaps.

    Args:
        frames: What was read, with columns that are called differently.

    Returns:
        They themselves, or others with the same cells.
    """
    kinds: dict[Hashable, str] = {}
    for frame in frames:
        for label, dtype in zip(frame.columns, frame.dtypes, strict=True):
            kinds[label] = kinds.get(label, "") + dtype.kind
    made = list(frames)
    for name, kind in kinds.items():
        if "f" not in kind or not {"i", "u"} & {*kind}:
            continue
        there: dict[int, Any] = {
            at: frame.columns.get_loc(name)
            for at, frame in enumerate(frames)
            if name in frame.columns
        }
        columns: dict[int, Any] = {at: frames[at].iloc[:, place] for at, place in there.items()}
        whole = [column for column in columns.values() if column.dtype.kind in "iu"]
        floats = {at: each for at, each in columns.items() if each.dtype.kind == "f"}
        if not any(map(_is_beyond, whole)) or not all(map(_are_whole, floats.values())):
            continue
        dtype = "UInt64" if all(column.dtype.kind == "u" for column in whole) else "Int64"
        for at, column in floats.items():
            if made[at] is frames[at]:
                made[at] = frames[at].copy(deep=False)
            made[at].isetitem(there[at], column.astype(dtype))
    return made


def _is_beyond(column: Any) -> bool:
    there = column.dropna()
    return bool(len(there)) and not -EXACT <= there.min() <= there.max() <= EXACT


def _are_whole(column: Any) -> bool:
    there = column.dropna()
    return bool((there.abs().le(EXACT) & there.mod(1).eq(0)).all())


def appended(indexes: Sequence[Index]) -> Index:
    """Indexes one after the other, in which whole numbers stay themselves.

    Args:
        indexes: Of files, or one level of theirs.
    """
    if any(index.dtype == object for index in indexes):  # pandas would make floats of them
        cells = np.concatenate([np.asarray(index, dtype=object) for index in indexes])
        names = {index.name for index in indexes}
        made: Index = pd.Index(cells, dtype=object, name=names.pop() if len(names) == 1 else None)
        return made
    kinds = {index.dtype.kind for index in indexes}
    if "f" in kinds and kinds & {"i", "u"}:
        levels = alike([index.to_frame(index=False, name="level") for index in indexes])
        indexes = [
            pd.Index(level["level"], name=index.name)
            for level, index in zip(levels, indexes, strict=True)
        ]
    first, *more = indexes
    whole: Index = first.append(more)
    return whole


def with_levels(frame: pd.DataFrame, levels: Sequence[Any]) -> pd.DataFrame:
    """A frame with levels of its index as columns, in which objects stay what they are.

    Args:
        frame: Its columns have other names.
        levels: Their names.
    """
    made: pd.DataFrame = frame.reset_index(levels)
    for name in levels:
        level = frame.index.get_level_values(name)
        place: Any = made.columns.get_loc(name)
        if level.dtype == object and made.iloc[:, place].dtype != object:
            made.isetitem(place, np.asarray(level, dtype=object))
    return made
