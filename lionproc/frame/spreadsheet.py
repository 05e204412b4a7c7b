"""Frames for spreadsheet programs, in which no text can act as a formula.

Cells and answers are untrusted: one that begins with `=`, `+`, `-` or `@` is run by Excel,
LibreOffice and the like when they open the file, and can read other cells, fetch addresses or
start programs. Such text gets an apostrophe in front, by which they know it is text; it shows
that way in other programs too. (OWASP, "CSV Injection", whose list of characters this is.)
Parquet keeps every text as it is, and is the better file for everything but spreadsheets.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import os
import re
import secrets
from collections.abc import Iterator
from numbers import Number
from pathlib import Path
from typing import Any

import pandas as pd

from lionproc.errors import ColumnError, MissingDependencyError
from lionproc.frame.export import SaveError

__all__ = ["harmless", "to_csv", "to_excel"]

# The last four are the full-width forms, which some programs read as the plain ones.
_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*%?")
_BLANK = " \u00a0\ufeff\u200b"  # what a program may drop before it looks
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_EXCEL_CELL = 32_767  # characters; openpyxl cuts off the rest in silence


def harmless(value: Any) -> Any:
    """A cell or a label that no spreadsheet program takes for a formula.

    Args:
        value: Anything; only text, and what prints like it, is ever changed.

    Returns:
        The value, with an apostrophe in front if it begins like a formula. Plain numbers
        ("-5", "+3.1%") stay as they are.

    Example:
        >>> harmless("=1+1"), harmless("-5"), harmless("- milk"), harmless(-5)
        ("'=1+1", '-5', "'- milk", -5)
    """
    if isinstance(value, Number) or value is None or value is pd.NA or value is pd.NaT:
        return value
    text = value if isinstance(value, str) else str(value)
    if text.lstrip(_BLANK).startswith(_STARTS) and not _NUMBER.fullmatch(text):
        return "'" + text
    return value


def to_csv(frame: pd.DataFrame, path: str | os.PathLike[str], **options: Any) -> Path:
    """Write a frame as CSV that is safe to open in a spreadsheet program.

    Text is quoted throughout, so that a program which expects another separator does not find
    a new cell in the middle of one.

    Args:
        frame: Any frame.
        path: The file; replaced, whole or not at all. Missing folders are made.
        **options: Those of `DataFrame.to_csv`.

    Returns:
        The path.

    Raises:
        SaveError: It could not be written; an older file is untouched.
    """
    options.setdefault("quoting", csv.QUOTE_NONNUMERIC)
    with _beside(path) as temporary:
        _defused(frame).to_csv(temporary, **options)
    return Path(path)


def to_excel(frame: pd.DataFrame, path: str | os.PathLike[str], **options: Any) -> Path:
    """Write a frame as an Excel file in which no text is a formula.

    Characters that the format cannot hold are left out.

    Args:
        frame: Any frame.
        path: The file, ending in .xlsx; replaced, whole or not at all. Missing folders are made.
        **options: Those of `DataFrame.to_excel`.

    Returns:
        The path.

    Raises:
        MissingDependencyError: openpyxl is not installed.
        ColumnError: A text is longer than a cell of Excel holds.
        SaveError: It could not be written; an older file is untouched.
    """
    if importlib.util.find_spec("openpyxl") is None:
        raise MissingDependencyError("Excel files need openpyxl. Run: pip install openpyxl")
    options.setdefault("engine", "openpyxl")  # others make links of text
    made = _defused(frame, excel=True)
    with _beside(path) as temporary:
        made.to_excel(temporary, **options)
    return Path(path)


def _defused(frame: pd.DataFrame, *, excel: bool = False) -> pd.DataFrame:
    made = frame.copy(deep=False)
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, place]
        if _may_hold_text(column.dtype):
            cells = [harmless(value) for value in column]
            if excel:
                cells = [_fit_for_excel(value, name) for value in cells]
            changed: Any = pd.Series(cells, index=frame.index, dtype=object)
            made.isetitem(place, changed)
    made.columns = _labels(frame.columns)
    if frame.index.nlevels > 1 or _may_hold_text(frame.index.dtype):
        made.index = _labels(frame.index)
    made.index.names = [harmless(name) for name in frame.index.names]
    return made


def _may_hold_text(dtype: Any) -> bool:
    kinds = pd.api.types
    return not (
        kinds.is_numeric_dtype(dtype)
        or kinds.is_bool_dtype(dtype)
        or kinds.is_datetime64_any_dtype(dtype)
        or kinds.is_timedelta64_dtype(dtype)
    )


def _labels(labels: pd.Index[Any]) -> pd.Index[Any]:
    names = [harmless(name) for name in labels.names]
    if labels.nlevels > 1:
        rows = [tuple(harmless(part) for part in label) for label in labels]
        return pd.MultiIndex.from_tuples(rows, names=names)
    made = [harmless(label) for label in labels]
    return labels if made == list(labels) else pd.Index(made, dtype=object, name=names[0])


def _fit_for_excel(value: Any, column: object) -> Any:
    if not isinstance(value, str):
        return value
    if len(value) > _EXCEL_CELL:
        raise ColumnError(
            f"Column {column!r} has a text of {len(value):,} characters, and a cell of Excel "
            f"holds {_EXCEL_CELL:,}. Use out.llm.to_csv(...), or save parquet."
        )
    return _NOT_IN_XML.sub("", value)


@contextlib.contextmanager
def _beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A file to write to, which takes the place of `path` once it is whole."""
    target = Path(path)
    # The ending stays: pandas reads from it what to write.
    temporary = target.with_name(f".{secrets.token_hex(4)}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise SaveError(
            f"{target.name!r} could not be saved: {error.strerror or type(error).__name__}. "
            "Nothing is lost, the frame is still in memory: choose another path and save again."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # there only if something went wrong
