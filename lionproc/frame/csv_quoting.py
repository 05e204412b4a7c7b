"""Which cells of a CSV stand between quotation marks, so that no program reads several as a formula."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["quoting_of"]

_USUAL = {csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC}


def quoting_of(frame: pd.DataFrame, options: Mapping[str, Any]) -> int:
    """How a frame is quoted: all texts, for behind a number a bare one could go on with it.

    Numbers as well, if one with a sign stands first in a line: to a program that expects semicolons, a
    text that ends in one opens a cell with its last quotation mark, and that goes on in the next line.

    Args:
        frame: Any frame.
        options: Those of `DataFrame.to_csv`. A kind of quoting that is not pandas' own stays.

    Returns:
        One of `csv.QUOTE_...`.

    Example:
        >>> quoting_of(pd.DataFrame({"n": [-1]}), {"index": False}) == csv.QUOTE_ALL
        True
    """
    given: int = options.get("quoting", csv.QUOTE_MINIMAL)
    if given not in _USUAL:
        return given
    if options.get("float_format") is not None:  # it may write "+1"
        return csv.QUOTE_ALL
    chosen = options.get("columns")
    written = frame if chosen is None else frame[list(chosen)]
    if options.get("index", True):
        has_signs = _has_signs(frame.index.get_level_values(0))
    else:
        has_signs = bool(len(written.columns)) and _has_signs(written.iloc[:, 0])
    labels = written.columns
    if labels.nlevels > 1:  # a line of the file for each level
        has_signs = has_signs or any(
            map(_is_signed, labels[:1].to_flat_index()[0] if len(labels) else ())
        )
    return csv.QUOTE_ALL if has_signs else csv.QUOTE_NONNUMERIC


def _has_signs(cells: Any) -> bool:
    """Whether a number has one. What else is no text is written as text."""
    kinds = pd.api.types
    if kinds.is_complex_dtype(cells.dtype):  # in parentheses
        return False
    if kinds.is_numeric_dtype(cells.dtype):
        numbers = pd.Series(cells).to_numpy(dtype="float64", na_value=np.nan)
        return bool((np.signbit(numbers) & ~np.isnan(numbers)).any())
    return any(map(_is_signed, cells))


def _is_signed(cell: object) -> bool:
    if isinstance(cell, Decimal):
        return cell.is_signed()
    if isinstance(cell, float):  # also below zero where it is none
        return math.copysign(1, cell) < 0
    return isinstance(cell, Real) and cell < 0
