"""Saved answers as a Dask frame: parts that `save=` wrote, or files that `out.to_parquet` did."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import dask.dataframe as dd
import pandas as pd
from dask.dataframe.utils import clear_known_categories
from dask.utils import natural_sort_key

from lionproc.dask.question import DaskRows, Rows
from lionproc.errors import ConfigurationError
from lionproc.face import face
from lionproc.frame.pandas_hash import Index, share_a_place
from lionproc.frame.parquet_reader import PART, facts_in, files_of, read_saved, refuse_surplus
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
        that they are not known. Whole numbers of several files that pandas has not written have a
        dtype with gaps.

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
    first = read_saved(names[0], beside_others=len(files) > 1)
    meta = first.iloc[:0]
    meta.attrs = {}
    together = None
    if len(files) > 1:
        answers = _answers(facts) if PART.fullmatch(files[0].name) else []
        held = dict(_categories(first))
        varies = [name for name in held if str(name) not in answers]
        meta = clear_known_categories(meta, cols=varies)  # type: ignore[no-untyped-call]
        known = {name: held[name] for name in held if str(name) in answers}
        kinds = {name: _kind(values) for name, values in _told_apart(first, known)}
        together = _Together(len(files), known, kinds)
    made: DaskRows = dd.from_map(_read, names, together=together, meta=meta, label="llm-read")  # type: ignore[no-untyped-call]
    return made


@dataclass(frozen=True, slots=True)
class _Together:
    """What the parts of a folder have in common, which Dask puts together.

    Attributes:
        parts: How many there are.
        known: The categories of columns that have the same ones in all parts.
        kinds: What the values are that are told apart, in each place with such.
    """

    parts: int
    known: Mapping[Hashable, Index]
    kinds: Mapping[str, str]

    def check(self, name: str, frame: Rows) -> None:
        """Refuse a part that does not go with the others.

        Args:
            name: Its path or address.
            frame: Its rows.

        Raises:
            ConfigurationError: It has other categories of answers; or values that were chosen so that
                telling those of all parts apart takes hours.
        """
        for column, categories in _categories(frame):
            if column in self.known and not categories.equals(self.known[column]):
                raise ConfigurationError(
                    f"{name!r} has other categories in {column!r} than the first part of its folder, and "
                    "they are of one run: somebody else has changed it. Compute the Dask frame that saved "
                    "it again."
                )
        for where, values in _told_apart(frame, self.known):
            kind, first = _kind(values), self.kinds.get(where, "")
            if kind and first and kind != first:
                raise ConfigurationError(
                    f"{name!r} has {kind} in {where}, and the first part of its folder has {first}, so "
                    "that pandas would tell objects apart. Write all parts with the same dtype."
                )
            tried = (values,) if first else (values, values.astype(object))
            if any(share_a_place(each, self.parts) for each in tried):
                raise ConfigurationError(
                    f"{name!r} has values in {where} that would take very long to tell apart from those "
                    "of the other parts, for so many of them are alike to pandas. Write them as plain "
                    "values; lionproc.read_parquet reads it by itself."
                )


def _read(name: str, together: _Together | None) -> Rows:
    frame = read_saved(name, beside_others=together is not None)
    frame.attrs = {}
    if together is not None:
        together.check(name, frame)
    return frame


def _told_apart(frame: Rows, known: Container[Hashable]) -> Iterator[tuple[str, Index]]:
    """What pandas tells apart when it puts parts together: where it is, and each different value once.

    Args:
        frame: A part.
        known: The columns whose categories are the same in all parts.
    """
    for name, categories in _categories(frame):
        if name not in known:
            yield (f"column {name!r}", categories)
    index = frame.index
    if isinstance(index, pd.MultiIndex):
        for place, level in enumerate(index.levels):
            yield (f"level {place} of the index", level)
    elif isinstance(index, pd.CategoricalIndex):
        yield ("the index", index.categories)


def _categories(frame: Rows) -> Iterator[tuple[Hashable, Index]]:
    """The columns that have categories, with these."""
    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.CategoricalDtype):
            yield name, dtype.categories


def _answers(facts: Mapping[str, object]) -> list[object]:
    """The columns with the answers of a run: their categories are those of the type that was asked for."""
    columns = facts.get("columns")
    return columns if isinstance(columns, list) else []


def _kind(values: Index) -> str:
    """What values are, as far as pandas tells them apart by it; nothing where there are none."""
    if not len(values):
        return ""
    return "texts" if all(isinstance(value, str) for value in values) else str(values.dtype)


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
