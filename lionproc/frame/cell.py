"""One cell as text for a prompt."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from enum import Enum
from inspect import isroutine
from io import IOBase
from types import ModuleType, WrapperDescriptorType
from typing import Any, Final

import numpy as np
import orjson
import pandas as pd

from lionproc.errors import PromptError, pass_on_interrupt
from lionproc.model.set_order import place_of

__all__ = [
    "cell_text",
    "is_array",
    "is_huge",
    "is_missing",
    "label_text",
    "printed",
    "printed_whole",
    "sound",
]


_PRINTED: Final = frozenset({int, float, bool, complex, Decimal})
_HUGE: Final = 10**640  # Python prints whole numbers of fewer digits, however it is set
_CONTAINERS: Final = (list, dict, tuple, set, frozenset, np.ndarray, Mapping)
_PANDAS: Final = (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)
_ARRAYS: Final = frozenset({"array", "cupy", "jax", "jaxlib", "polars", "pyarrow", "torch"})
_VALUES: Final = ("to_pylist", "to_dicts", "tolist", "to_list")
_NO_TEXT: Final = (ModuleType, IOBase)
_ADDRESS: Final = " at 0x"
_QUOTED: Final = re.compile(r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+\"""", re.DOTALL)
_LONGEST_LABEL: Final = 200  # characters
_SHORT_FLOATS: Final = (np.float16, np.float32)
_JSON: Final = orjson.OPT_NON_STR_KEYS  # its numpy makes a day in 1677 of NaT


def is_missing(value: object) -> bool:
    """Whether a cell holds nothing: None, NaN, NA or NaT. A container never does.

    Args:
        value: A cell of any type.

    Example:
        >>> is_missing(None), is_missing(float("nan")), is_missing(""), is_missing([None])
        (True, True, False, False)
    """
    if type(value) is str:
        return False
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    try:
        return _is_missing(value)
    except BaseException as error:  # noqa: BLE001  (of any type; it is something, whatever it is)
        pass_on_interrupt(error)
        return False


def _is_missing(value: object) -> bool:
    if isinstance(value, Decimal):
        return value.is_nan()  # a signalling one cannot be compared
    if isinstance(value, float):
        return value != value  # noqa: PLR0124  (what NaN is)
    if isinstance(value, (int, *_CONTAINERS)) or not pd.api.types.is_scalar(value):
        return False
    return bool(pd.isna(value))  # type: ignore[call-overload]  # a scalar by now


def cell_text(value: object) -> str:
    """What a prompt shows of a cell.

    Texts are kept, numbers are as Python prints them (`1.0`, `3`, `True`), dates and times in
    ISO format, bytes are read as UTF-8, an enum is its value, and lists, dicts, arrays and tables
    are JSON. Lone surrogates, which no request can carry, become U+FFFD.

    Args:
        value: A cell that is not missing.

    Returns:
        Its text.

    Raises:
        PromptError: It has no sensible text; the message does not show it.

    Example:
        >>> cell_text(1.0), cell_text([1, "a"]), cell_text(pd.Timestamp("2026-01-02"))
        ('1.0', '[1,"a"]', '2026-01-02T00:00:00')
    """
    try:
        # A subclass of str may do anything where it is looked at; a text is one from here on.
        return sound(str.__str__(_text(value)))
    except PromptError:
        raise
    except BaseException as error:
        pass_on_interrupt(error)
        raise PromptError(
            f"a {type(value).__name__}, whose text raises {type(error).__name__}"
        ) from error


def _text(value: object) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return value
    if type(value) in _PRINTED:
        return printed(value)
    if isinstance(value, (dt.date, dt.time)):  # datetime and Timestamp are dates
        return value.isoformat()
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _decoded(bytes(value))
    if isinstance(value, _CONTAINERS) or is_array(value):
        return _as_json(value)
    text = str(value)
    if _is_no_text(value, text):
        raise PromptError(f"a {type(value).__name__} has no text; convert the column first")
    return text


def printed(value: object) -> str:
    """What Python prints; of a whole number all digits, for it prints no more than some thousand.

    Args:
        value: Anything.
    """
    return str(Decimal(value) if is_huge(value) else value)  # type: ignore[arg-type]


def printed_whole(value: object) -> str:
    """As `printed`, but of an array or a table all, as a prompt has it, if that is text.

    Args:
        value: Anything.
    """
    if is_array(value):
        with suppress(PromptError):  # of bytes that are no text, say
            return cell_text(value)
    return printed(value)


def is_huge(value: object) -> bool:
    """Whether it is a whole number of so many digits that Python may not print it.

    Args:
        value: Anything.
    """
    return type(value) is int and not -_HUGE < value < _HUGE


def sound(text: str) -> str:
    """The text itself, or with U+FFFD for lone surrogates. NUL is kept.

    Args:
        text: Any text.

    Returns:
        A text that can be encoded.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # By way of UTF-16 two halves that belong together become the character they mean.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise PromptError("bytes that are not UTF-8; decode the column first") from None


def _is_no_text(value: object, text: str) -> bool:
    """Whether it is only what Python shows of an object, with an address of this run, say.

    Where no class says another text, that is so of functions, modules and files too. Words that an
    object quotes are its own, and no address.
    """
    kind = type(value)
    if kind.__str__ is not object.__str__:
        return False
    is_pythons = isinstance(kind.__repr__, WrapperDescriptorType)
    if is_pythons and (isroutine(value) or isinstance(value, _NO_TEXT)):
        return True
    return _ADDRESS in text and _ADDRESS in _QUOTED.sub("", text)


def is_array(value: object) -> bool:
    """Whether it is an array or a table, of which what Python prints is not all.

    Args:
        value: Anything.
    """
    return isinstance(value, np.ndarray) or _lists(value) is not None


def _lists(value: object) -> str | None:
    """How an array or a table gives its values; None where it is none.

    What it prints leaves out the middle where it is long, and where that begins can be set.
    """
    if isinstance(value, pd.DataFrame):
        return "to_dict"
    kind = type(value)
    if not (isinstance(value, _PANDAS) or kind.__module__.partition(".")[0] in _ARRAYS):
        return None
    return next((way for way in _VALUES if callable(getattr(kind, way, None))), None)


def _as_json(value: object) -> str:
    try:
        return orjson.dumps(value, default=_part, option=_JSON).decode()
    except TypeError:
        # orjson refuses lone surrogates and integers beyond 64 bits; json takes both.
        plain = value if isinstance(value, (list, dict, tuple)) else _part(value)
        return sound(json.dumps(plain, default=_part, ensure_ascii=False, separators=(",", ":")))


def _part(value: object) -> Any:
    if is_array(value):
        return _listed(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=place_of)
    if isinstance(value, tuple):
        return list(value)  # one with names, as of urlparse(), which orjson leaves to us
    if isinstance(value, np.floating):
        return float(str(value))
    if isinstance(value, np.generic) and value.dtype.kind not in "mM":
        return value.item()
    return None if is_missing(value) else cell_text(value)


def _listed(value: Any) -> object:
    if isinstance(value, np.ndarray):
        if value.dtype in _SHORT_FLOATS:  # 1.1 of 32 bits is 1.1, and not 1.100000023841858
            value = value.astype(str).astype(float)
        return list(value) if value.dtype.kind in "mM" else value.tolist()
    if isinstance(value, pd.DataFrame):
        return _of_table(value)
    if isinstance(value, pd.Series):
        return _labelled(value.index, _values(value))
    return _values(value) if isinstance(value, _PANDAS) else getattr(value, _lists(value) or "")()


def _values(column: Any) -> list[Any]:
    is_short = isinstance(column.dtype, np.dtype) and column.dtype in _SHORT_FLOATS
    values: Any = _listed(np.asarray(column)) if is_short else column.tolist()
    return list(values)


def _of_table(table: pd.DataFrame) -> object:
    columns = [_values(table.iloc[:, place]) for place in range(table.shape[1])]
    rows = zip(*columns, strict=True) if columns else [()] * len(table)
    return _labelled(table.index, [_named(table.columns, row) for row in rows])


def _labelled(index: pd.Index[Any], rows: list[Any]) -> object:
    """Rows under their labels, where these say more than how many there are."""
    return rows if isinstance(index, pd.RangeIndex) else _named(index, rows)


def _named(labels: pd.Index[Any], values: Sequence[Any]) -> object:
    """Values by what their labels are as text; in pairs where two are one text."""
    names = ["null" if is_missing(label) else cell_text(label) for label in labels]
    if len(set(names)) == len(names):
        return dict(zip(names, values, strict=True))
    return [list(pair) for pair in zip(names, values, strict=True)]


def label_text(label: object) -> str:
    """A label of the index as text, cut where it is long.

    It is anybody's, and shown when all is paid, so it ends nothing. Journals keep those of a thousand
    rows, and where whole texts are the labels, these would be all of the texts.
    """
    try:
        text = str(label)
        return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"
    except Exception as error:  # noqa: BLE001  (it is anybody's code)
        return f"({type(label).__name__}, whose text raises {type(error).__name__})"
