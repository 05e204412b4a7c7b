"""Names of dtypes in a file, which a stranger may have written, before anything is made of them."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

__all__ = ["LONGEST_NAME", "is_level", "is_readable"]

LONGEST_NAME: Final = 120  # characters; of those that pandas makes a dtype of none has as many
_FILE: Final = "dateutil/"  # before the path of a file with a time zone, which pandas would open
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


def _is_wide(dtype: object) -> bool:
    """Whether each value takes as much room as the name says, or as the longest of them."""
    while isinstance(dtype, pd.IntervalDtype | pd.SparseDtype):
        dtype = dtype.subtype
    return isinstance(dtype, np.dtype) and dtype.kind not in _KINDS
