"""Frames in parquet files: whole or not at all, and read back as they were.

A file is written beside its target, flushed to the disk and renamed, so a reader sees the old
file or the new one. A folder holds one part per chunk, all of one run.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import to_jsonable_python

from lionproc.errors import ColumnError, ConfigurationError, LionprocError
from lionproc.frame.saved_type import is_readable, register, repaired, to_table

__all__ = [
    "SaveError",
    "check_frame_can_be_saved",
    "check_target",
    "is_folder_target",
    "read_facts",
    "read_parquet",
    "write_parquet",
    "write_part",
]

_FACTS = b"lionproc"
_LABELS = b"lionproc.columns"
_SUFFIXES = (".parquet", ".pq")
_UNFIT = (pa.ArrowException, TypeError, ValueError, OverflowError)
_PART = re.compile(r"part-(\d{5,})-([0-9a-f]{8})\.parquet")

register()


class SaveError(LionprocError, OSError):
    """A file could not be written. The frame is still in memory."""


def is_folder_target(path: str | os.PathLike[str]) -> bool:
    """Whether results go into a folder of parts: "results/", an existing folder, or no suffix."""
    text = os.fspath(path)
    return text.endswith(("/", os.sep)) or Path(text).is_dir() or not Path(text).suffix


def check_target(path: str | os.PathLike[str], *, run: str | None = None) -> None:
    """Refuse a path that cannot be written, before anything is sent.

    Folders that are missing are made, the parents of a file too: a night run must not fail for
    a folder in the morning.

    Args:
        path: "results.parquet" for one file, "results/" for a folder of parts.
        run: The run's fingerprint, for a folder: parts of this run may be there already.

    Raises:
        ConfigurationError: The suffix is not parquet's, the path is in the way of itself, the
            folder holds parts of another run or other parquet files, or it cannot be written.
    """
    try:
        _check_target(path, run)
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(
            f"Nothing can be saved at {os.fspath(path)!r}: "
            f"{getattr(error, 'strerror', None) or error}. Choose another path with save=."
        ) from None


def _check_target(path: str | os.PathLike[str], run: str | None) -> None:
    target = Path(path)
    if "\0" in str(target):
        raise ValueError("the path has a NUL character in it")
    folder = is_folder_target(path)
    if not folder and target.suffix.lower() not in _SUFFIXES:
        raise ConfigurationError(
            f"{target.name!r} would be saved as parquet, and ends in {target.suffix!r}. Use "
            f"{target.with_suffix('.parquet').name!r}, or a folder ({target.stem + '/'!r}). "
            "For other formats, use the frame that comes back: out.to_csv(...)."
        )
    home = target if folder else target.parent
    home.mkdir(parents=True, exist_ok=True)
    if folder:
        _refuse_other_parts(home, run)
    _probe(home)
    if not folder:
        _refuse_odd_file(target)
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "the file is write-protected")


def _refuse_odd_file(target: Path) -> None:
    """Nothing that is no file must be replaced by one: a rename would do it, even to a device."""
    if target.exists() and not target.is_file() and not target.is_dir():
        raise OSError(errno.EINVAL, "it is a device, pipe or socket and no file")


def _probe(folder: Path) -> None:
    """Make and remove a file: rights, read-only disks and full ones all show here."""
    temporary = folder / _temporary_name("probe")
    try:
        temporary.write_bytes(b"\0")
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _refuse_other_parts(folder: Path, run: str | None) -> None:
    mine = None if run is None else _digest(run)
    for entry in sorted(folder.iterdir()):
        if entry.suffix.lower() not in _SUFFIXES:
            continue  # readers of the folder look at parquet files only
        part = _PART.fullmatch(entry.name)
        if part is None or part[2] != mine:
            whose = "parts of another run" if part else "other parquet files"
            raise ConfigurationError(
                f"The folder {os.fspath(folder)!r} holds {whose} ({entry.name}), and reading it "
                "would mix them with this run's. Choose an empty folder, or move them away."
            )


def check_frame_can_be_saved(frame: pd.DataFrame) -> None:
    """Refuse an input that parquet cannot hold, before anything is sent.

    Args:
        frame: The input frame.

    Raises:
        ColumnError: Column names that are not unique (as text), or a column with values that
            have no parquet type; the message names the column.
    """
    _table(frame)


def _table(frame: pd.DataFrame) -> pa.Table:
    """The frame as a table that is known to fit parquet."""
    _unique_names(frame)
    try:
        return _fitting_table(frame)
    except _UNFIT:
        raise ColumnError(_blame(frame)) from None  # Arrow's own words quote cells


def _fitting_table(frame: pd.DataFrame) -> pa.Table:
    table = to_table(_with_text_names(frame))
    # Some types only parquet refuses; a file of no rows shows them before any row is bought.
    pq.write_table(table.slice(0, 0), pa.BufferOutputStream())
    return table


def _blame(frame: pd.DataFrame) -> str:
    way_on = "convert it first (for example with .astype('string')), drop it, or leave out save=."
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, [place]].reset_index(drop=True)
        try:
            _fitting_table(column)
        except _UNFIT:
            values = column.iloc[:, 0]
            kinds = sorted({type(value).__name__ for value in values.dropna()})[:4]
            return (
                f"Column {name!r} ({values.dtype}) cannot be saved as parquet: it holds "
                f"{' and '.join(kinds)}. To save the result, {way_on}"
            )
    return f"The frame's index cannot be saved as parquet. Use .reset_index(), or {way_on}"


def _unique_names(frame: pd.DataFrame) -> None:
    names = [str(name) for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise ColumnError(
                f"The frame has more than one column called {name!r}, and parquet needs a "
                "different name for each. Rename them, or leave out save=."
            )


def _with_text_names(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with column names that pyarrow takes without a warning; shares the data."""
    if frame.columns.nlevels > 1 or not _is_mixed(frame.columns):
        return frame
    made = pd.DataFrame(frame, copy=False)
    made.columns = pd.Index([str(name) for name in frame.columns], name=frame.columns.name)
    return made


def _is_mixed(names: pd.Index[Any]) -> bool:
    return names.dtype == object and not all(isinstance(name, str) for name in names)


def write_parquet(
    frame: pd.DataFrame, path: str | os.PathLike[str], facts: Mapping[str, Any]
) -> Path:
    """Write a frame to a parquet file, whole or not at all.

    Args:
        frame: Any index; column names that are unique as text. Its attrs are not written.
        path: The file; replaced if it is there. Missing folders are made.
        facts: What to keep about the run, as JSON in the file's metadata (key "lionproc").

    Returns:
        The path that was written, with symbolic links resolved.

    Raises:
        ColumnError: Parquet cannot hold this frame.
        SaveError: The file could not be written; an older one is untouched.
    """
    table = _table(frame)
    target = Path(path).resolve()
    extra = {_FACTS: _json(facts)}
    if frame.columns.nlevels == 1 and _is_mixed(frame.columns):
        extra[_LABELS] = _json([_json_label(name) for name in frame.columns])
    table = table.replace_schema_metadata({**table.schema.metadata, **extra})
    temporary = target.parent / _temporary_name(target.name)
    try:
        _refuse_odd_file(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_down(table, temporary)
        temporary.replace(target)
        _sync_folder(target.parent)
    except (OSError, pa.ArrowException) as error:
        raise SaveError(
            f"{target.name!r} could not be saved in {os.fspath(target.parent)!r}: "
            f"{getattr(error, 'strerror', None) or type(error).__name__}. Nothing is lost, the "
            "frame is still in memory: free space or choose another path, and save it again."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # there only if something went wrong
    return target


def write_part(
    folder: str | os.PathLike[str],
    number: int,
    frame: pd.DataFrame,
    facts: Mapping[str, Any],
    *,
    run: str,
) -> Path:
    """Write one chunk of a run into a folder of parts.

    The name, `part-00007-1a2b3c4d.parquet`, carries the chunk and a digest of the run: the same
    run writes the same part again, another run never touches it.

    Args:
        folder: Where the parts are; made if missing.
        number: Of the chunk, from 0.
        frame: The chunk.
        facts: As for `write_parquet`.
        run: The run's fingerprint: equal for a resumed run, different for any other.

    Returns:
        The path of the part.

    Raises:
        ConfigurationError: The folder holds parts of another run or other parquet files.
        ColumnError: Parquet cannot hold this frame.
        SaveError: The file could not be written.
    """
    home = Path(folder)
    if home.is_dir():
        _refuse_other_parts(home, run)
    return write_parquet(frame, home / f"part-{number:05d}-{_digest(run)}.parquet", facts)


def read_parquet(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read back what `save=` wrote: the same columns, index, dtypes and values.

    Plain `pd.read_parquet` does so too for a single file, as long as lionproc is imported.

    Args:
        path: A parquet file (of anybody's, also one of `out.to_parquet(...)` that pandas wrote
            and cannot read itself because of lists in it), or a folder of parts.

    Returns:
        The frame; the parts of a folder one after the other.

    Raises:
        ConfigurationError: There is nothing, or the folder holds parts of several runs.
    """
    files = _files(Path(path))
    frames = [_read_file(file) for file in files]
    return frames[0] if len(frames) == 1 else pd.concat(frames)


def _read_file(file: Path) -> pd.DataFrame:
    # partitioning=None: a folder called "a=1" in the path must not become a column
    schema = pq.read_schema(file)
    source: Path | io.BytesIO = file
    if not is_readable(schema):
        source = io.BytesIO()
        pq.write_table(repaired(pq.read_table(file, partitioning=None)), source)
        source.seek(0)
    frame = pd.read_parquet(source, engine="pyarrow", partitioning=None)
    labels = (schema.metadata or {}).get(_LABELS)
    if labels is not None:
        frame.columns = pd.Index(json.loads(labels), dtype=object, name=frame.columns.name)
    return frame


def read_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What was kept about the run that made a file.

    Args:
        path: A file or a folder of parts; of those the first one's facts.

    Returns:
        The facts, as they were given to `write_parquet`, in JSON's types.

    Raises:
        ConfigurationError: There is no such file, or it was not saved by lionproc.
    """
    file = _files(Path(path))[0]
    try:
        facts = (pq.read_schema(file).metadata or {}).get(_FACTS)
    except pa.ArrowInvalid:
        facts = None
    if facts is None:
        raise ConfigurationError(f"{file.name!r} was not saved by lionproc: it has no facts.")
    made: dict[str, Any] = json.loads(facts)
    return made


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        if not path.exists():
            raise ConfigurationError(f"There is no file {os.fspath(path)!r}.")
        return [path]
    parts = [(match, f) for f in path.iterdir() if (match := _PART.fullmatch(f.name))]
    runs = {match[2] for match, _ in parts}
    if len(runs) != 1:
        raise ConfigurationError(
            f"The folder {os.fspath(path)!r} holds parts of {len(runs)} runs. "
            "Name the files of one run instead."
            if runs
            else f"The folder {os.fspath(path)!r} holds no parts of a run."
        )
    return [file for _, file in sorted(parts, key=lambda part: int(part[0][1]))]


def _write_down(table: pa.Table, path: Path) -> None:
    with path.open("xb") as sink:
        pq.write_table(table, sink)
        sink.flush()
        os.fsync(sink.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename durable, on systems where a folder can be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _temporary_name(name: str) -> str:
    # a leading dot: readers of the folder pass over it, should a power cut leave one behind
    return f".{name[:80]}.{secrets.token_hex(4)}.tmp"


def _digest(run: str) -> str:
    return hashlib.sha256(run.encode()).hexdigest()[:8]


def _json(value: object) -> bytes:
    return json.dumps(to_jsonable_python(value, fallback=str)).encode()


def _json_label(name: object) -> object:
    return name if isinstance(name, str | int | float) else str(name)
