"""Frames for spreadsheet programs, in which no text can act as a formula.

Cells and answers are untrusted: one that begins with `=`, `+`, `-` or `@` is run by Excel,
LibreOffice and the like when they open the file, and can read other cells, fetch addresses or
start programs. Such text gets an apostrophe in front, by which they know it is text; it shows
that way in other programs too. (OWASP, "CSV Injection".) What a program may drop or fold before
it looks does not hide a formula: characters that cannot be seen, and forms of these four signs.
Parquet keeps every text as it is, and is the better file for everything but spreadsheets.
"""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import io
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lionproc.engine.new_file import ChangedError
from lionproc.engine.paths import is_url, local_path, shown
from lionproc.errors import ColumnError, ConfigurationError
from lionproc.frame.cell import is_huge, printed, printed_whole
from lionproc.frame.csv_quoting import quoting_of
from lionproc.frame.dtypes import cells_of
from lionproc.frame.formulas import NUMBER, NUMBERS, Splitting, number_of, sign_of
from lionproc.frame.place import AnyPath, SaveError, place_of, saving, saving_on
from lionproc.frame.sheet_engine import ENGINES, choose_engine
from lionproc.model.as_json import to_json

__all__ = ["csv_cleaner", "csv_end_cleaner", "flat_cells", "harmless", "to_csv", "to_excel"]

_TRIES = 20  # where others go on in the same file
_LINE = ("\t", "\r", "\n")  # a text that begins with one of these may begin in another cell
_ERRORS = re.compile(
    r"#(NULL!|DIV/0!|VALUE!|REF!|NAME\?|NUM!|N/A|SPILL!|CALC!|FIELD!|BLOCKED!|UNKNOWN!|CONNECT!"
    r"|BUSY!|EXTERNAL!|PYTHON!|GETTING_DATA)",
    re.IGNORECASE,
)
_TIMES = (dt.date, dt.datetime, dt.time, dt.timedelta, pd.Timestamp, pd.Timedelta)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")  # what Excel shows as that character
_RETURN = re.compile("\r\n?")
_EXCEL_CELL = 32_767  # of UTF-16; writers cut off the rest in silence, or Excel calls it damaged
_EXCEL_FIRST = dt.date(1900, 3, 1)  # days before it do not exist there, or are off by one
_EXCEL_DIGITS = 15  # of a number; it puts zeros in place of the others
_COMPRESSIONS = {"gz": "gzip", "bz2": "bz2", "zip": "zip", "xz": "xz", "zst": "zstd", "tar": "tar"}
_Clean = Callable[[Any, Any], Any]


def harmless(value: Any) -> object:
    """A cell or a label that no spreadsheet program takes for a formula or an error.

    Args:
        value: Anything; only text, and what prints like it, is ever changed.

    Returns:
        Numbers, times and missing values as they are; anything else as text, with an
        apostrophe in front if it begins like a formula, whatever stands before it that cannot
        be seen, or is the name of an error. Plain numbers ("-5", "+3.1%") stay as they are.

    Example:
        >>> harmless("=1+1"), harmless("-5"), harmless("- milk"), harmless(-5)
        ("'=1+1", '-5', "'- milk", -5)
    """
    if value is None or value is pd.NA or value is pd.NaT or type(value) in _TIMES:
        return value
    if type(value) in NUMBERS:
        return printed(value) if is_huge(value) else value
    text = str.__str__(value) if isinstance(value, str) else _text(value)
    if _acts(text):
        return "'" + text
    # A subclass of a number or a text may print as it likes; a plain one is what was looked at.
    number = number_of(value) if NUMBER.fullmatch(text) else None
    return text if number is None else number


def _text(value: object) -> str:
    try:
        return printed_whole(value)
    except Exception as error:
        raise ColumnError(
            f"A cell is a {type(value).__name__} that has no text ({type(error).__name__}). Make it "
            "text, or leave its column out."
        ) from error


def _acts(text: str) -> bool:
    """Whether a program would do something with it, instead of showing it."""
    if text.startswith(_LINE):
        return True
    if _ERRORS.fullmatch(text.strip()):
        return True
    return bool(sign_of(text)) and not NUMBER.fullmatch(text)


def to_csv(frame: pd.DataFrame, path: AnyPath, **options: Any) -> Path | str:
    """Write a frame as CSV that is safe to open in a spreadsheet program.

    Text is quoted throughout, and lists and records are JSON. A program that expects semicolons or
    tabs splits it nevertheless, so what would begin like a formula behind one, or on a line of its
    own, gets an apostrophe too.

    Args:
        frame: Any frame.
        path: The file, or its address; replaced, whole or not at all. Missing folders are made.
        **options: Those of `DataFrame.to_csv`. With `mode="a"` the rows come after those that
            are there, all of them or none: in a new file in place of the old one, into which a
            program goes on writing that keeps it open.

    Returns:
        The path.

    Raises:
        SaveError: It could not be written; an older file is untouched.
        ConfigurationError: It is no path, or the mode is none of "w", "x" and "a".
    """
    if options.get("columns") is not None:
        options["columns"] = list(options["columns"])  # they may be there once only
    options["quoting"] = quoting_of(frame, options)
    mode = str(options.pop("mode", "w"))
    storage = options.pop("storage_options", None)
    place = place_of(path, storage)
    options["compression"] = _compression(place.name, options.get("compression", "infer"))
    if mode[:1] == "a" and _method_of(options["compression"]) == "tar":
        raise ConfigurationError("mode='a' adds no rows to a .tar: use .csv, or .csv.gz.")
    end_of_line = options.get("lineterminator") or "\n"
    has_lines = options["compression"] is None and end_of_line in {"\n", "\r\n", "\r"}
    lines = (options.get("encoding") or "utf-8") if has_lines else None
    made = _defused(frame, options, csv_cleaner(**options))
    for left in reversed(range(_TRIES)):
        try:
            with saving_on(path, mode, storage, lines=lines) as file:
                made.to_csv(file, mode="a" if mode[:1] == "a" else "w", **options)
            break
        except SaveError as error:
            if not left or not isinstance(error.__cause__, ChangedError):
                raise
    return shown(path) if is_url(path) else local_path(path)


def to_excel(frame: pd.DataFrame, path: AnyPath, **options: Any) -> Path | str:
    """Write a frame as an Excel file in which no text is a formula.

    Characters that the format cannot hold are left out. Times with a zone, and days before
    March 1900, which Excel does not have, are written as text (ISO 8601), and so are whole and
    decimal numbers of more than 15 digits, such as the ids of posts, of which Excel would keep 15.

    Args:
        frame: Any frame.
        path: The file, ending in .xlsx (or in .ods, for LibreOffice), or its address; replaced,
            whole or not at all. Missing folders are made.
        **options: Those of `DataFrame.to_excel`. The engine is openpyxl, or odf for .ods, unless
            it is named.

    Returns:
        The path.

    Raises:
        MissingDependencyError: What writes the file (openpyxl, or the engine that is named) is not
            installed.
        ColumnError: A text is longer than a cell of Excel holds.
        SaveError: It could not be written; an older file is untouched.
        ConfigurationError: It is no path, has another ending than what the engine writes, or an
            engine is named of which it is not known that it leaves text alone.
    """
    choose_engine(path, options)
    storage = options.pop("storage_options", None)
    made = _defused(frame, options, _SHEETS[options["engine"]])
    with saving(path, storage) as file:
        whole = io.BytesIO()  # some disks take what is written from its beginning to its end alone
        made.to_excel(whole, **options)
        file.write(whole.getbuffer())
    return shown(path) if is_url(path) else local_path(path)


def _compression(name: str, given: Any) -> object:
    """What pandas would read from the name; the file it writes to has none for it."""
    wanted = dict(given) if isinstance(given, Mapping) else {"method": given}
    stem, _, ending = name.rpartition(".")
    by_name = _COMPRESSIONS.get(ending.lower()) if stem else None
    if wanted.get("method") == "infer":
        wanted["method"] = by_name
        if by_name and stem.lower().endswith(".tar"):
            raise ConfigurationError(
                f"{name!r}: use .tar alone, or .csv.gz, .csv.zip and the like."
            )
    if wanted.get("method") in {"zip", "tar"}:
        wanted.setdefault("archive_name", stem if by_name == wanted["method"] else name)
    return wanted if len(wanted) > 1 or "method" not in wanted else wanted["method"]


def _method_of(compression: object) -> object:
    return compression.get("method") if isinstance(compression, Mapping) else compression


def _defused(frame: pd.DataFrame, options: dict[str, Any], clean: _Clean) -> pd.DataFrame:
    """The frame with clean cells, labels and names; the texts among the options likewise."""
    chosen = options.pop("columns", None)
    if chosen is not None:  # by the names that the frame has
        frame = frame[list(chosen)]
    columns: dict[int, pd.Series[Any]] = {}
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, place]
        if not _is_plain(column, clean):
            cells = [clean(value, name) for value in flat_cells(column)]
            column = pd.Series(cells, index=frame.index, dtype=object)
        columns[place] = column
    # Made at once: to put them in one by one takes the square of their number.
    made = pd.DataFrame(columns, index=frame.index, copy=False)
    made.columns = _labels(frame.columns, clean)
    made.index = _labels(frame.index, clean)
    for option in ("header", "index_label"):
        given = options.get(option)
        if isinstance(given, str):
            options[option] = clean(given, option)
        elif given is not None and not isinstance(given, bool):
            options[option] = [clean(text, option) for text in given]
    for option in ("na_rep", "inf_rep"):
        if option in options:
            options[option] = clean(options[option], option)
    return made


def flat_cells(column: pd.Series[Any]) -> list[Any]:
    """The cells of a column, with lists and records as JSON: a cell of a sheet holds one text."""
    dtype = column.dtype
    if not (isinstance(dtype, pd.ArrowDtype) and pa.types.is_nested(dtype.pyarrow_dtype)):
        return list(column)
    return [cell if cell is None else to_json(cell).decode() for cell in cells_of(column)]


def _is_plain(values: Any, clean: _Clean) -> bool:
    """Whether nothing in a column or an index can need a change, by its dtype."""
    kinds, dtype = pd.api.types, values.dtype
    if kinds.is_datetime64_any_dtype(dtype):
        if clean not in _SHEETS.values() or not len(values):
            return True
        return isinstance(dtype, np.dtype) and not values.min() < pd.Timestamp(_EXCEL_FIRST)
    if clean in _SHEETS.values() and _may_be_long(values):
        return False
    return isinstance(dtype, np.dtype | pd.api.extensions.ExtensionDtype) and (
        kinds.is_numeric_dtype(dtype)
        or kinds.is_bool_dtype(dtype)
        or kinds.is_timedelta64_dtype(dtype)
    )


def _may_be_long(values: Any) -> bool:
    """Whether numbers in a column or an index may have more digits than Excel keeps."""
    dtype = values.dtype
    if isinstance(dtype, pd.ArrowDtype) and pa.types.is_decimal(dtype.pyarrow_dtype):
        return True
    if not pd.api.types.is_integer_dtype(dtype):
        return False
    ends = () if values.isna().all() else (values.min(), values.max())
    return any(_is_long(end) for end in ends)


def _is_long(value: Any) -> bool:
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            return False
        digits = "".join(map(str, value.as_tuple().digits)).strip("0")
        number = float(value)
        beyond = math.isinf(number) or (number == 0 and value != 0)
        return len(digits) > _EXCEL_DIGITS or beyond
    return not -(10**_EXCEL_DIGITS) < value < 10**_EXCEL_DIGITS


def _labels(labels: pd.Index[Any], clean: _Clean) -> pd.Index[Any]:
    names = [clean(name, "index") for name in labels.names]
    if isinstance(labels, pd.MultiIndex):
        # Each value of a level once, and no level anew: pandas would tell all of them apart for it.
        labels = labels.remove_unused_levels()
        levels: list[Any] = [_labels(level, clean) for level in labels.levels]
        codes: Any = labels.codes
        return pd.MultiIndex(levels=levels, codes=codes, names=names, verify_integrity=False)
    if _is_plain(labels, clean):
        return labels.set_names(names)
    made = [clean(label, "index") for label in labels]
    same = all(a is b for a, b in zip(made, labels, strict=True))
    return labels.set_names(names) if same else pd.Index(made, dtype=object, name=names[0])


def csv_cleaner(
    sep: str = ",",
    quotechar: str = '"',
    quoting: int = csv.QUOTE_NONNUMERIC,
    *,
    doublequote: bool = True,
    encoding: str | None = None,
    errors: str = "strict",
    **_: object,
) -> _Clean:
    """What makes cells safe for a CSV that is written in this way.

    Args:
        sep: As these are for `DataFrame.to_csv`, where there are others too.
        quotechar: The same.
        quoting: The same.
        doublequote: The same.
        encoding: The same.
        errors: The same.

    Returns:
        A function of a value and its column. Half a character, which UTF-8 does not have, becomes
        U+FFFD in what it returns; what else the encoding does not have is what `errors` makes of it.
    """
    splitting = _splitting(sep, quotechar, quoting, doublequote=doublequote)

    def clean(value: Any, column: object) -> object:
        del column
        made = harmless(value)
        if type(made) is not str:
            return made
        made = _SURROGATE.sub("\ufffd", made)
        if errors and errors != "strict":  # what is left out may stand before a formula
            code = encoding or "utf-8"
            made = str(harmless(made.encode(code, errors).decode(code, "replace")))
        return splitting.defused(made)

    return clean


def csv_end_cleaner(sep: str = ",") -> _Clean:
    """What makes cells of a CSV safe to have others written behind them, in a new one.

    Args:
        sep: What separates them.

    Returns:
        A function of a value and its column, which leaves all that was in the CSV as it is, but
        for the end of a text that would be a formula together with the next one.
    """
    splitting = _splitting(sep)

    def clean(value: Any, column: object) -> object:
        del column
        return splitting.defused(value, only_end=True) if type(value) is str else value

    return clean


def _splitting(
    sep: str, quotechar: str = '"', quoting: int = csv.QUOTE_NONNUMERIC, *, doublequote: bool = True
) -> Splitting:
    bare = {csv.QUOTE_NONE, csv.QUOTE_MINIMAL}
    is_quoted = quotechar == '"' and quoting not in bare and doublequote
    # A program that expects commas is kept from splitting a text by its quotation marks alone.
    return Splitting(commas=sep != "," or not is_quoted, quoted=is_quoted)


def _fit_for_excel(value: Any, column: object) -> object:
    """A cell for Excel. What it cannot hold goes first, for it may stand before a formula."""
    if isinstance(value, dt.date | dt.time) and value is not pd.NaT:
        return _time_for_excel(value)
    if isinstance(value, int | np.integer | decimal.Decimal) and _is_long(value):
        value = printed(value)
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return float(value)  # a number to every version of pandas
    if not isinstance(value, str):
        value = harmless(value)
    if isinstance(value, str):
        bare = _NOT_IN_XML.sub("", _SURROGATE.sub("\ufffd", str.__str__(value)))
        value = harmless(bare)
        if value == bare and _acts(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), bare)):
            value = "'" + bare
        if (units := len(value.encode("utf-16-le")) // 2) > _EXCEL_CELL:
            raise ColumnError(
                f"Column {column!r} has a text of {units:,} characters as Excel counts, and a cell of Excel "
                f"holds {_EXCEL_CELL:,}. Use out.llm.to_csv(...), or save parquet."
            )
    return value


def _fit_for_odf(value: Any, column: object) -> object:
    """A cell for odfpy, which writes a carriage return so that nobody can read the file."""
    made = _fit_for_excel(value, column)
    return _RETURN.sub("\n", made) if isinstance(made, str) else made


def _time_for_excel(value: Any) -> object:
    day = value.date() if isinstance(value, dt.datetime) else value
    early = isinstance(day, dt.date) and day < _EXCEL_FIRST
    is_text = early or getattr(value, "tzinfo", None) is not None
    return harmless(value.isoformat()) if is_text else value


_SHEETS: dict[str, _Clean] = dict.fromkeys(ENGINES, _fit_for_excel) | {"odf": _fit_for_odf}
