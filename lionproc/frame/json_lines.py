"""Frames as JSON Lines: the rows as they are, or as conversations that a model is trained on."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import orjson
import pandas as pd

from lionproc.engine.packed import write_packed
from lionproc.engine.paths import is_url, local_path, shown
from lionproc.engine.told import warn
from lionproc.errors import ColumnError, ConfigurationError, RowsFailedWarning
from lionproc.frame.conversations import conversations
from lionproc.frame.dtypes import cells_of
from lionproc.frame.place import AnyPath, place_of, saving
from lionproc.model.as_json import DEEPEST, to_json
from lionproc.model.validate import is_deeper

__all__ = ["Format", "named_levels", "to_jsonl", "write_records"]

Format: TypeAlias = Literal["records", "openai"]
CHUNK_ROWS = 1000
_PACKED = frozenset({".bz2", ".zip", ".xz", ".zst", ".tar"})


def to_jsonl(frame: pd.DataFrame, path: AnyPath, format: Format = "records") -> Path | str:  # noqa: A002 - as `str.format` and pandas call it
    """Write a frame as JSON Lines, whole or not at all. See `df.llm.to_jsonl`.

    Raises:
        ConfigurationError: There is no such format, or the frame cannot be had in it.
        SaveError: The file could not be written; an older one is untouched.
    """
    if format not in {"records", "openai"}:
        raise ConfigurationError(f"format is 'records' or 'openai', not {format!r}.")
    name = place_of(path).name
    ending = Path(name).suffix.lower()
    if ending in _PACKED:
        raise ConfigurationError(f"{name!r}: of packed files, .gz is written. Use .jsonl.gz.")
    left_out = 0

    def write(sink: IO[bytes]) -> None:
        nonlocal left_out
        left_out = 0
        for line in records(frame) if format == "records" else conversations(frame):
            if line is None:
                left_out += 1
            else:
                sink.write(line + b"\n")

    with saving(path) as file:
        if ending == ".gz":
            write_packed(file, write)
        else:
            write(file)
    if left_out:
        warn(
            f"{left_out:,} of {len(frame):,} rows have no answer, and are not in {name!r}.",
            RowsFailedWarning,
        )
    return shown(path) if is_url(path) else local_path(path)


def write_records(frame: pd.DataFrame, write: Callable[[bytes], object]) -> None:
    """Write the rows of a frame as JSON Lines to something that is open already."""
    for record in records(frame):
        write(record + b"\n")


def records(frame: pd.DataFrame) -> Iterator[bytes]:
    """The rows as JSON objects. Levels of the index that have a name come first.

    Raises:
        ColumnError: Two columns have the same name as text, or a cell cannot be JSON.
    """
    columns = [*named_levels(frame), *((name, frame.iloc[:, n]) for n, name in enumerate(frame))]
    names = [str(name) for name, _ in columns]
    for name, count in Counter(names).items():
        if count > 1:
            raise ColumnError(
                f"The frame has more than one column or level of the index called {name!r}, and "
                "an object of JSON has each name once. Rename them."
            )
    for start in range(0, len(frame), CHUNK_ROWS):
        cells = [cells_of(column.iloc[start : start + CHUNK_ROWS]) for _, column in columns]
        rows: Iterable[Sequence[Any]] = zip(*cells, strict=True)
        if not cells:
            rows = itertools.repeat((), len(frame.iloc[start : start + CHUNK_ROWS]))
        for row in rows:
            record = dict(zip(names, row, strict=True))
            try:
                line = to_json(record)
            except TypeError:
                raise _odd_cell(record) from None
            if line.count(b"[") + line.count(b"{") > DEEPEST and is_deeper(
                orjson.loads(line), DEEPEST
            ):
                raise ColumnError(
                    f"A row has more than {DEEPEST} lists and objects, one in the other, and such a row "
                    "is not read again. Leave it out, or make that cell text."
                )
            yield line


def named_levels(frame: pd.DataFrame) -> Iterator[tuple[Hashable, pd.Series[Any]]]:
    """The levels of the index that somebody has named; others only number the rows."""
    for number, name in enumerate(frame.index.names):
        if name is not None:
            yield name, frame.index.get_level_values(number).to_series()


def _odd_cell(record: Mapping[str, object]) -> ColumnError:
    """The error for a row that cannot be JSON; it names the column."""
    for name, cell in record.items():
        try:
            to_json(cell)
        except TypeError as error:
            return ColumnError(
                f"Column {name!r} cannot be written as JSON: {error}. Convert it first (for "
                "example with .astype('string')), or drop it."
            )
    return ColumnError("A row cannot be written as JSON.")
