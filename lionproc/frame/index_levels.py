"""An index of several levels, told apart by nothing that a file can foresee.

pandas makes the levels of an index of all their values, through tables whose hash has no seed: of
somebody else's file with 100,000 chosen rows that takes half a minute. So here each level is read as
an index alone, which pandas leaves as it is, and the levels are made by `distinct`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from lionproc.engine.json_bounds import read_json
from lionproc.frame.distinct import distinct
from lionproc.frame.pandas_hash import Index, has_one_place
from lionproc.frame.whole_numbers import alike, appended, to_pandas

__all__ = ["concatenated", "index_of", "levels_of"]

Codes: TypeAlias = np.ndarray[Any, Any]
_PANDAS = b"pandas"
_MOST_RANGES = 32  # levels that are numbered through, which take no room in the file


def levels_of(table: pa.Table) -> tuple[pa.Table, list[Index]]:
    """A table without its index, and the levels of that, if it has several.

    Args:
        table: As pandas has described it in the metadata.

    Raises:
        Exception: Of any kind, where the metadata is made up.
    """
    metadata = read_json((table.schema.metadata or {}).get(_PANDAS, b"{}"))
    named = metadata.get("index_columns", [])
    if len(named) < 2:
        return table, []
    columns = [each for each in named if isinstance(each, str)]
    if len(set(columns)) < len(columns) or len(named) - len(columns) > _MOST_RANGES:
        raise ValueError("levels of the index are there too often")
    told = {each.get("field_name", each.get("name")): each for each in metadata["columns"]}
    levels: list[Index] = [
        _level(table, each, told) if isinstance(each, str) else _range_of(each, table)
        for each in named
    ]
    return _described(table.drop_columns(columns), {**metadata, "index_columns": []}), levels


def _level(table: pa.Table, name: str, told: Mapping[object, object]) -> Index:
    alone = {"index_columns": [name], "columns": [told[name]], "column_indexes": []}
    return to_pandas(_described(table.select([name]), alone)).index


def index_of(levels: Sequence[Index]) -> pd.MultiIndex:
    """The index that has these levels, as `pandas.MultiIndex.from_arrays` makes it.

    Args:
        levels: The values of each level, a value for each row.

    Raises:
        TypeError: They cannot be told apart.
        ValueError: Not in a moment.
    """
    made: list[tuple[Any, Any]] = [_told_apart(level) for level in levels]
    for codes, values in made:  # beyond these pandas would read other memory
        if len(codes) != len(made[0][0]) or codes.max(initial=-1) >= len(values):
            raise ValueError("the levels of an index do not fit together")
    return pd.MultiIndex(
        levels=[values for _, values in made],
        codes=[codes for codes, _ in made],
        names=[level.name for level in levels],
        verify_integrity=False,  # that asks the tables of pandas
    )


def concatenated(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The frames one after the other, as `pandas.concat` has them.

    Raises:
        TypeError: The values of a level cannot be told apart.
        ValueError: Not in a moment; or one index has more levels than another one.
    """
    count, *others = {frame.index.nlevels for frame in frames}
    if others:
        raise ValueError("the indexes have different numbers of levels")
    if count == 1:
        whole = pd.concat(alike(frames))
        whole.index = appended([frame.index for frame in frames])
        return whole
    bare = [frame.reset_index(drop=True) for frame in frames]
    made = pd.concat(alike(bare), ignore_index=True)
    every = [[frame.index.get_level_values(place) for frame in frames] for place in range(count)]
    made.index = index_of(list(map(appended, every)))
    return made


def _range_of(said: Mapping[str, int], table: pa.Table) -> Index:
    made = pd.RangeIndex(said["start"], said["stop"], said["step"], name=said["name"])
    if len(made) != table.num_rows:
        raise ValueError("a level of the index has not as many values as there are rows")
    return made


def _described(table: pa.Table, metadata: Mapping[str, object]) -> pa.Table:
    return table.replace_schema_metadata(
        {**table.schema.metadata, _PANDAS: json.dumps(metadata).encode()}
    )


def _told_apart(level: Index) -> tuple[Codes, Index]:
    if isinstance(level, pd.RangeIndex) and level.step > 0:
        return np.arange(len(level)), level
    if isinstance(level, pd.CategoricalIndex):
        made: Any = pd.Categorical
        every = made.from_codes(np.arange(len(level.categories)), dtype=level.dtype)
        return np.asarray(level.codes), pd.CategoricalIndex(every)
    cells = pd.Series(level, index=pd.RangeIndex(len(level)))
    if cells.dtype == object and has_one_place(level):
        raise ValueError("very many values of an index have one hash")
    codes, values = distinct(cells)
    there = ~np.asarray(values.isna())
    places = np.where(there, np.cumsum(there) - 1, -1)
    return places[codes], values[there]
