"""Saved answers as a Dask frame: parts that `save=` wrote, or files that `out.to_parquet` did."""

from __future__ import annotations

from pathlib import Path

import dask.dataframe as dd
from dask.utils import natural_sort_key

from lionproc.dask.question import DaskRows, Rows
from lionproc.errors import ConfigurationError
from lionproc.face import face
from lionproc.frame.parquet_reader import PART, facts_in, files_of, refuse_surplus
from lionproc.frame.parquet_reader import read_parquet as read_file
from lionproc.frame.place import AnyPath, Remote, place_of

__all__ = ["read_folder"]


@face
def read_folder(path: AnyPath) -> DaskRows:
    """Read answers back, a partition for each file, with the dtypes that they had.

    Dask's own reader gives the same where no column holds lists or records: it cannot make their
    dtypes again.

    Args:
        path: A folder of parts that `save=` wrote, or one that `out.to_parquet(...)` wrote.

    Returns:
        A Dask frame; divisions are not known.

    Raises:
        ConfigurationError: There is nothing, it cannot be read, or there are parts of several runs
            or more than its run has.

    Example:
        ```python
        import dask.dataframe as dd
        import lionproc.dask

        ddf = dd.from_pandas(df, npartitions=2)
        ddf.llm.process("Is {review} positive?", "positive", bool, save="answers/").compute()
        lionproc.dask.read_parquet("answers/")["positive"].mean().compute()
        ```
    """
    files = _files(path)
    if len(files) > 1:
        refuse_surplus(path, files, facts_in(files[0]) or {})
    names = [str(each.url if isinstance(each, Remote) else each) for each in files]
    meta = read_file(names[0]).iloc[:0]
    meta.attrs = {}
    made: DaskRows = dd.from_map(_read, names, meta=meta, label="llm-read")  # type: ignore[no-untyped-call]
    return made


def _read(name: str) -> Rows:
    frame = read_file(name)
    frame.attrs = {}
    return frame


def _files(path: AnyPath) -> list[Path | Remote]:
    place = place_of(path)
    if not place.is_dir():
        return files_of(path)
    entries: list[Path | Remote] = [each for each in place.iterdir() if each.suffix == ".parquet"]
    if not entries:
        raise ConfigurationError(
            f"The folder {str(place)!r} holds no parquet files. What save= names has them once the "
            "answers were computed: out.compute()."
        )
    if any(PART.fullmatch(each.name) for each in entries):
        return files_of(path)
    return sorted(entries, key=_in_order)


def _in_order(entry: Path | Remote) -> list[str | int]:
    try:
        return natural_sort_key(entry.name)
    except ValueError:  # of a digit that is no number, as "²"
        return [entry.name]
