"""Names of dtypes in a file, which a stranger may have written, before anything is made of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from lionproc.frame.named_types import note_dtype

__all__ = ["LONGEST_NAME", "has_plain_zones", "is_level", "is_readable"]

LONGEST_NAME: Final = 120  # characters; of those that pandas makes a dtype of none has as many
_FILE: Final = "dateutil/"  # before the path of a file with a time zone, which pandas would open
_ZONE: Final = re.compile(r"(?!/)(?!dateutil)[\w+:/-]{0,60}", re.ASCII | re.IGNORECASE)
_KINDS: Final = "biufcmMO"  # of numpy's dtypes, those of which every value takes the same few bytes


def is_readable(dtype: str, *, is_text: bool = True) -> bool:
    """Whether pandas can make the dtype from its name, as reading a file has to.

    A stranger's may be a megabyte long, and pandas takes the square of that to say no. Or it says how
    wide each value is, as "S1000000000" does, and pandas makes room for so much.

    Args:
        dtype: The name.
        is_text: Whether it may be one of texts: as such, numbers take ten times the room.
    """
    if len(dtype) > LONGEST_NAME or _FILE in dtype:
        return False
    try:
        made = pd.api.types.pandas_dtype(dtype)
    except (TypeError, NotImplementedError, ValueError):
        note_dtype(dtype)
        return False
    if isinstance(made, pd.StringDtype):
        return is_text
    return dtype == "str" or not _is_wide(made)


def is_level(kind: str) -> bool:
    """Whether names of columns can be of a kind that Arrow has named, which may be a numpy dtype."""
    if len(kind) > LONGEST_NAME or _FILE in kind:
        return False
    try:
        made = np.dtype(kind)
    except (TypeError, ValueError):
        return True  # one that only Arrow knows, or none, which it refuses
    return kind in {"bytes", "unicode"} or not _is_wide(made)


def has_plain_zones(kind: pa.DataType) -> bool:
    """Whether the time zones in a type are names of such, and not of files, which pandas would open.

    Args:
        kind: The type of a column, with any types within it.
    """
    return all(
        _ZONE.fullmatch(each.tz or "") for each in _within(kind) if pa.types.is_timestamp(each)
    )


def _within(kind: Any) -> Iterator[Any]:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    yield kind
    if pa.types.is_nested(kind):
        for place in range(kind.num_fields):
            yield from _within(kind.field(place).type)


def _is_wide(dtype: object) -> bool:
    """Whether each value takes as much room as the name says, or as the longest of them."""
    while isinstance(dtype, pd.IntervalDtype | pd.SparseDtype):
        dtype = dtype.subtype
    return isinstance(dtype, np.dtype) and dtype.kind not in _KINDS
