"""The cells of a file that came back from somebody's spreadsheet program, as texts.

Anybody may have written it, so what it unpacks to is bounded before it is unpacked.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import itertools
import os
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lionproc.engine.paths import local_path, missing_file, shown
from lionproc.errors import ConfigurationError, LionprocError, MissingDependencyError
from lionproc.evaluation.workbook import first_sheet
from lionproc.frame.byte_order import marked_encoding
from lionproc.frame.cell import is_missing
from lionproc.frame.separator import separator_of
from lionproc.frame.table_bounds import SHEET

__all__ = ["check_workbook", "read_sheet"]

LARGEST = 2**30  # bytes that a workbook may unpack to
MOST_TAGS = 10_000_000  # in it; a row of <c/> fills memory
TAGS = 8  # of a cell with a text of its own
MOST_LETTERS = 2**28  # of all cells: a text that is in the file once may be in a million of them
FREE_LETTERS = 2**25  # of them, whatever the size of the file
OFTEN = 8  # times that each character of the file may be in a cell, beside those
LOOSE_CELLS = 20_000_000  # empty ones before others: a format may reach over whole rows
SPARSE = 50  # empty ones for each that is not
_LAST = "the end of what was read"


def check_workbook(sheet: pd.DataFrame) -> None:
    """Refuse a sheet that would not be read again from the workbook that it is written to.

    Args:
        sheet: Its cells.

    Raises:
        ConfigurationError: It has too many cells, or characters.
    """
    texts = [cell for name in sheet.columns for cell in sheet[name] if isinstance(cell, str)]
    letters = sum(map(len, texts))
    is_long = letters > _most_letters(sum(map(len, set(texts))))  # one text is in the file once
    if is_long or TAGS * sheet.size > MOST_TAGS:
        what = f"{letters:,} characters" if is_long else f"{sheet.size:,} cells"
        raise ConfigurationError(
            f"This sheet has {what}, and a workbook with as many would not be read again. Write it as "
            ".csv, or give a smaller n="
        )


def _most_letters(size: int) -> int:
    return min(FREE_LETTERS + OFTEN * size, MOST_LETTERS)


def read_sheet(path: str | os.PathLike[str]) -> tuple[pd.DataFrame, bool]:
    """The cells as texts, and whether the comma is the sign before decimals there.

    Args:
        path: CSV in any form, or .xlsx.

    Raises:
        ConfigurationError: There is no such file, or it is none of these.
    """
    place = Path(local_path(path))
    if not place.is_file():
        raise missing_file(place, (".csv", ".tsv", ".xlsx"))
    try:
        if place.suffix.lower() in {".xlsx", ".xlsm"}:
            with _told_as_damage():
                rows, separator = _rows_of_excel(place), ""
        else:
            rows, separator = _rows_of_text(_decoded(place.read_bytes()))
    except (csv.Error, zipfile.BadZipFile, LookupError, SyntaxError, ValueError) as error:
        raise ConfigurationError(
            f"{shown(path)} cannot be read as a table: {str(error)[:300]}. Save it as CSV in UTF-8, or as "
            ".xlsx."
        ) from None
    width = len(rows[0]) if rows else 0
    if not width:
        raise ConfigurationError(f"{shown(path)} is empty.")
    SHEET.check(shown(path), columns=width, rows=len(rows), written=sum(map(len, rows)))
    body = [[*row, *[""] * (width - len(row))][:width] for row in rows[1:]]
    blank = [not any(cell and not cell.isspace() for cell in row) for row in body]
    sheet = pd.DataFrame(body, columns=[_bare(name) for name in rows[0]], dtype=object)
    return sheet[~np.array(blank, dtype=bool)], separator == ";"


@contextlib.contextmanager
def _told_as_damage() -> Iterator[None]:
    """What zlib, zipfile and openpyxl stumble over in a workbook may be of any class.

    Raises:
        ValueError: It is damaged.
    """
    try:
        yield
    except (LionprocError, MemoryError, PermissionError, ValueError, zipfile.BadZipFile):
        raise
    except Exception as error:
        raise ValueError(f"it is damaged ({type(error).__name__})") from error


def _rows_of_text(text: str) -> tuple[list[list[str]], str]:
    first, _, rest = text.partition("\n")
    separator = ""
    if first.strip().lower().startswith("sep="):
        separator, text = first.strip()[4:5], rest
    separator = separator or separator_of(text, ";,\t")
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a cell may be a document
    text += _LAST if text.endswith(("\n", "\r")) else f"\n{_LAST}"
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = list(itertools.islice(reader, SHEET.rows + 2))  # one more, and the last
    if len(rows) > SHEET.rows + 1:
        return rows, separator  # which are too many
    if separator.join(rows.pop()) != _LAST:  # a cell has swallowed it, and with it the rows before
        raise ValueError("a quotation mark is opened and never closed")
    return rows, separator


def _rows_of_excel(place: Path) -> list[list[str]]:
    """The rows of the first sheet without the empty cells at their ends: it may claim millions."""
    if importlib.util.find_spec("openpyxl") is None:
        raise MissingDependencyError("Excel files need openpyxl. Run: pip install openpyxl")
    with zipfile.ZipFile(place) as packed:
        size = _checked_size(packed)
    with warnings.catch_warnings(), first_sheet(place) as rows:
        warnings.simplefilter("ignore")  # openpyxl has one for each cell that is no date
        return list(_bounded(rows, _most_letters(size)))


def _checked_size(packed: zipfile.ZipFile) -> int:
    """The bytes that it unpacks to.

    Raises:
        ValueError: They are too many, or have too many tags; or they are packed in a way that Python
            unpacks without a bound, as Excel never does.
    """
    parts = packed.infolist()
    if not {part.compress_type for part in parts} <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError("it is packed in a way that Excel does not know")
    size = sum(part.file_size for part in parts)
    if size > LARGEST:
        raise ValueError(f"it unpacks to more than {LARGEST // 2**30} GiB")
    tags = 0
    for part in parts:
        with packed.open(part) as opened:
            while chunk := opened.read(2**20):
                tags += chunk.count(b"<")
    if tags > MOST_TAGS:
        raise ValueError(f"it has more than {MOST_TAGS:,} tags")
    return size


def _bounded(rows: Iterable[Sequence[object]], most: int) -> Iterator[list[str]]:
    """The rows as texts; a cell far away stands for all before it, and they are counted.

    Args:
        rows: The cells.
        most: Characters of all of them.
    """
    places = filled = letters = 0
    for number, row in enumerate(rows, 1):
        texts = [_text(cell) for cell in row]
        places += len(texts)
        filled += len(texts) - texts.count("")
        letters += sum(map(len, texts))
        if letters > most:
            raise ValueError(f"its cells have more than {most:,} characters")
        if number > SHEET.rows or places > LOOSE_CELLS + SPARSE * filled:
            raise ValueError("it has more rows or empty cells than a table has")
        yield _without_end(texts)


def _without_end(row: Sequence[str]) -> list[str]:
    size = len(row)
    while size and not row[size - 1]:
        size -= 1
    return list(row[:size])


def _text(cell: object) -> str:
    if is_missing(cell):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _bare(name: str) -> str:
    return name.strip().lstrip("\ufeff")


def _decoded(raw: bytes) -> str:
    marked = marked_encoding(raw)
    if marked is not None and marked != "utf-8-sig":
        return raw.decode(marked)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
