"""Saved answers as a Dask frame: parts that `save=` wrote, or files that `out.to_parquet` did."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path

import dask.dataframe as dd
import pandas as pd
from dask.dataframe.utils import clear_known_categories
from dask.utils import natural_sort_key

from lionproc.dask.question import DaskRows, Rows
from lionproc.errors import ConfigurationError
from lionproc.face import face
from lionproc.frame.pandas_hash import Index, share_a_place
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
        A Dask frame; divisions are not known. Categories are those of answers, in parts that `save=`
        wrote, or of one file; those of other columns may differ from part to part, so Dask is told
        that they are not known.

    Raises:
        ConfigurationError: There is nothing, it cannot be read, or there are parts of several runs
            or more than its run has. When it is computed: a part has other categories of answers.

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
    facts = (facts_in(files[0]) or {}) if len(files) > 1 else {}
    refuse_surplus(path, files, facts)
    names = [str(each.url if isinstance(each, Remote) else each) for each in files]
    meta = read_file(names[0]).iloc[:0]
    meta.attrs = {}
    known = dict(_categories(meta))
    if len(files) > 1:
        answers = _answers(facts) if PART.fullmatch(files[0].name) else []
        varies = [name for name in known if name not in answers]
        meta = clear_known_categories(meta, cols=varies)  # type: ignore[no-untyped-call]
        known = {name: known[name] for name in known if name in answers}
    made: DaskRows = dd.from_map(
        _read, names, known=known, parts=len(names), meta=meta, label="llm-read"
    )  # type: ignore[no-untyped-call]
    return made


def _read(name: str, known: Mapping[Hashable, Index], parts: int) -> Rows:
    """A part of a folder, which Dask puts together with the others when it is computed.

    Args:
        name: Its path or address.
        known: The categories of columns that have the same ones in all parts.
        parts: How many there are.

    Raises:
        ConfigurationError: It has others; or some that were chosen so that telling those of all parts
            apart takes hours.
    """
    frame = read_file(name)
    frame.attrs = {}
    for column, categories in _categories(frame):
        if column in known and not categories.equals(known[column]):
            raise ConfigurationError(
                f"{name!r} has other categories in {column!r} than the first part of its folder, and they "
                "are of one run: somebody else has changed it. Compute the Dask frame that saved it again."
            )
    for column, values in [*_categories(frame), *_levels(frame.index)]:
        if column not in known and share_a_place(values, parts):
            raise ConfigurationError(
                f"{name!r} has values in {column!r} that would take very long to tell apart from those of "
                "the other parts, for so many of them are alike to pandas. lionproc.read_parquet reads it "
                "by itself."
            )
    return frame


def _categories(frame: Rows) -> Iterator[tuple[Hashable, Index]]:
    """The columns that have categories, with these."""
    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.CategoricalDtype):
            yield name, dtype.categories


def _answers(facts: Mapping[str, object]) -> list[object]:
    """The columns with the answers of a run: their categories are those of the type that was asked for."""
    columns = facts.get("columns")
    return columns if isinstance(columns, list) else []


def _levels(index: Index) -> Iterator[tuple[Hashable, Index]]:
    """The levels of an index that has several, with each different value once."""
    if isinstance(index, pd.MultiIndex):
        yield from zip(index.names, index.levels, strict=True)


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
