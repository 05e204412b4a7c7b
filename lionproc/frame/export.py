"""Frames are written to parquet files: whole or not at all, and so that nothing is lost.

A folder holds one part per chunk, all of one run.
"""

from __future__ import annotations

import errno
import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import to_jsonable_python

from lionproc.engine.blocking_work import heard_meanwhile
from lionproc.engine.paths import is_url, local_path, shown
from lionproc.errors import ColumnError, SaveError
from lionproc.frame.arrow_extension import register, to_table
from lionproc.frame.arrow_fields import check_cells, check_names
from lionproc.frame.assemble import place_in
from lionproc.frame.cell import is_array
from lionproc.frame.kept_labels import KEPT_LABELS, kept_labels
from lionproc.frame.notes import FACTS
from lionproc.frame.own_file import NO_MARK, OWN, make_own
from lionproc.frame.parquet_dictionary import DICTIONARY_BYTES, GROUP_ROWS, with_dictionary
from lionproc.frame.parquet_reader import LABELS, LEVELS
from lionproc.frame.place import AnyPath, Remote, place_of, saving
from lionproc.frame.save_target import part_of, refuse_other_parts

__all__ = [
    "SaveError",
    "check_frame_can_be_saved",
    "table_of",
    "write_parquet",
    "write_part",
]

# An OSError too: where nothing but memory is written, it is Arrow that cannot close its file.
_UNFIT = (pa.ArrowException, TypeError, ValueError, OverflowError, OSError)
_DEEP = 40  # lists and records in one another: each is two of parquet's levels, a hundred are read

register()


def check_frame_can_be_saved(frame: pd.DataFrame, answers: Sequence[Hashable] = ()) -> pa.Schema:
    """Refuse an input that parquet cannot hold, before anything is sent.

    Args:
        frame: The input frame, with a place for the answers already.
        answers: The columns that are such places.

    Returns:
        The types of its columns and index levels, for the parts: what a column of objects holds
        is seen in the whole of it, and a part may have nothing but gaps. Not of the answers,
        which have theirs from their schema.

    Raises:
        ColumnError: Column names that are not unique (as text), or a column with values that
            have no parquet type; the message names the column.
    """
    schema: pa.Schema = table_of(frame).schema
    places = {place_in(frame, name) for name in answers}
    return pa.schema(
        [field for place, field in enumerate(schema) if place not in places], schema.metadata
    )


def table_of(frame: pd.DataFrame, like: pa.Schema | None = None) -> pa.Table:
    """The frame as a table of plain Arrow types that is known to fit parquet.

    Args:
        frame: Any.
        like: The types of the whole, where this is a part of it.

    Raises:
        ColumnError: It cannot be one; the message names the column.
    """
    return _table_and_notes(frame, like)[0]


def _table_and_notes(
    frame: pd.DataFrame, like: pa.Schema | None = None
) -> tuple[pa.Table, dict[bytes, bytes]]:
    """As `table_of`, and what a file says of names that are no texts."""
    _unique_names(frame)
    if like is None:  # else the whole was looked at
        check_names(map(str, frame.columns))
        check_cells(frame)
    named, notes = _with_text_names(frame)
    try:
        return heard_meanwhile(partial(_fitting_table, named, like)), notes
    except _UNFIT:
        raise ColumnError(_blame(frame)) from None  # Arrow's own words quote cells


def _fitting_table(frame: pd.DataFrame, like: pa.Schema | None = None) -> pa.Table:
    table = to_table(frame, like)
    # Some types only parquet refuses, and lists in more than forty lists are written and then not
    # read: a file of one row shows it before any row is bought.
    file = pa.BufferOutputStream()
    pq.write_table(table.slice(0, 1), file, use_dictionary=False)
    pq.read_schema(pa.BufferReader(file.getvalue()))
    return table


def _blame(frame: pd.DataFrame) -> str:
    way_on = "convert it first (for example with .astype('string')), drop it, or leave out save=."
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, [place]].reset_index(drop=True)
        try:
            _fitting_table(_with_text_names(column)[0])
        except _UNFIT:
            values = column.iloc[:, 0]
            kinds = sorted({type(value).__name__ for value in values.dropna()})[:4]
            dtype = str(values.dtype)
            is_deep = dtype.count("<") > _DEEP
            why = "is nested too deeply" if is_deep else f"holds {' and '.join(kinds)}"
            if any(map(is_array, values.dropna())):  # as a text it would lack its middle
                way_on = way_on.replace(".astype('string')", ".map(list)")
            return (
                f"Column {name!r} ({dtype[:80]}) cannot be saved as parquet: it {why}. "
                f"To save the result, {way_on}"
            )
    return f"The frame's index cannot be saved as parquet. Use .reset_index(), or {way_on}"


def _unique_names(frame: pd.DataFrame) -> None:
    for name, count in Counter(map(str, frame.columns)).items():
        if count > 1:
            raise ColumnError(
                f"The frame has more than one column called {name!r}, and parquet needs a "
                "different name for each. Rename them, or leave out save=."
            )


def _with_text_names(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[bytes, bytes]]:
    """The frame with names that pyarrow takes without a warning, and what they are; shares the data."""
    made, notes = frame, {}
    is_mixed = frame.columns.nlevels == 1 and _is_mixed(frame.columns)
    labels = kept_labels(frame.columns)
    if labels is not None:
        notes[KEPT_LABELS] = labels
    elif is_mixed:
        notes[LABELS] = _json([_json_label(name) for name in frame.columns])
    if notes:
        made = pd.DataFrame(frame, copy=False)
        names = [str(name) for name in frame.columns]
        made.columns = pd.Index(names, name=frame.columns.name if is_mixed else None)
    if _has_odd_levels(frame):
        # pandas alone would do the same, and warn for every part of it.
        made = pd.DataFrame(made, copy=False)
        levels = frame.index.names
        made.index = made.index.set_names([None if name is None else str(name) for name in levels])
        notes[LEVELS] = _json([None if name is None else _json_label(name) for name in levels])
    return made, notes


def _has_odd_levels(frame: pd.DataFrame) -> bool:
    return not all(name is None or isinstance(name, str) for name in frame.index.names)


def _is_mixed(names: pd.Index[Any]) -> bool:
    return names.dtype == object and not all(isinstance(name, str) for name in names)


def write_parquet(
    frame: pd.DataFrame, path: AnyPath, facts: Mapping[str, object], like: pa.Schema | None = None
) -> Path | str:
    """Write a frame to a parquet file, whole or not at all (of addresses: see `place.py`).

    Args:
        frame: Any index; column names that are unique as text. Its attrs are not written.
        path: The file, or its address; replaced if it is there. Missing folders are made.
        facts: What to keep about the run, as JSON in the file's metadata (key "lionproc").
        like: The types of the whole, where this is a part of it.

    Returns:
        The path that was written, with symbolic links resolved; or the address, without a
        password that may be in it.

    Raises:
        ColumnError: Parquet cannot hold this frame.
        SaveError: The file could not be written; an older one is untouched.
        ConfigurationError: It is no path, or an address that nothing here can open.
    """
    table, notes = _table_and_notes(frame, like)
    notes[FACTS] = _json(facts)
    table = table.replace_schema_metadata({**table.schema.metadata, **notes})
    with saving(path) as file:
        _write_down(table, file)
    return shown(path) if is_url(path) else local_path(path).resolve()


def _write_down(table: pa.Table, file: BinaryIO) -> None:
    said = {**table.schema.metadata, OWN: NO_MARK}
    try:
        pq.write_table(
            table.replace_schema_metadata(said),
            file,
            row_group_size=GROUP_ROWS,
            use_dictionary=with_dictionary(table),
            dictionary_pagesize_limit=DICTIONARY_BYTES,
            write_page_checksum=True,
        )
        make_own(file)
    except pa.ArrowException as error:
        raise OSError(errno.EIO, type(error).__name__) from error


def write_part(
    folder: AnyPath,
    number: int,
    frame: pd.DataFrame,
    facts: Mapping[str, object],
    *,
    run: str,
    like: pa.Schema | None = None,
) -> Path | str:
    """Write one chunk of a run into a folder of parts.

    The name, `part-00007-1a2b3c4d.parquet`, carries the chunk and a digest of the run: the same
    run writes the same part again, another run never touches it.

    Args:
        folder: Where the parts are; made if missing.
        number: Of the chunk, from 0.
        frame: The chunk.
        facts: As for `write_parquet`.
        run: The run's fingerprint: equal for a resumed run, different for any other.
        like: What `check_frame_can_be_saved` said of the whole input. All parts then have the
            same types, as readers of a folder want it.

    Returns:
        The path of the part.

    Raises:
        ConfigurationError: The folder holds parts of another run or other parquet files.
        ColumnError: Parquet cannot hold this frame.
        SaveError: The file could not be written.
    """
    home = place_of(folder)
    if isinstance(home, Remote) or home.is_dir():
        refuse_other_parts(home, run)
    part = home / part_of(number, run)
    return write_parquet(frame, part.url if isinstance(part, Remote) else part, facts, like)


def _json(value: object) -> bytes:
    return json.dumps(to_jsonable_python(value, fallback=str)).encode()


def _json_label(name: object) -> object:
    return name if isinstance(name, str | int | float) else str(name)
