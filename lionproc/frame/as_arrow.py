"""Frames for programs that read Arrow: a table, and a dataset of Hugging Face."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from lionproc.errors import MissingDependencyError
from lionproc.frame.export import table_of
from lionproc.frame.whole_numbers import with_levels

if TYPE_CHECKING:
    import datasets

__all__ = ["to_arrow", "to_dataset"]


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """The frame as an Arrow table. See `df.llm.to_arrow`.

    Raises:
        ColumnError: Arrow has no type for a column, or names occur twice.
    """
    return table_of(frame)


def to_dataset(frame: pd.DataFrame) -> datasets.Dataset:
    """The frame as a dataset of Hugging Face. See `df.llm.to_dataset`.

    Raises:
        MissingDependencyError: The package `datasets` is not installed.
        ColumnError: As `to_arrow`.
    """
    if importlib.util.find_spec("datasets") is None:
        raise MissingDependencyError(
            "A dataset of Hugging Face needs the package of that name. Run: pip install datasets"
        )
    import datasets

    levels = [name for name in frame.index.names if name is not None]
    bare = with_levels(frame, levels) if levels else frame
    table = table_of(bare.reset_index(drop=True))
    for place, field in enumerate(table.schema):
        wanted = _of_datasets(field.type)
        column = table.column(place)
        if wanted != field.type:
            column = column.cast(wanted)
        table = table.set_column(place, pa.field(field.name, wanted), column)
    return datasets.Dataset(datasets.table.InMemoryTable(table.replace_schema_metadata(None)))


def _of_datasets(kind: pa.DataType) -> pa.DataType:
    """The type that a dataset has for an Arrow type: no dictionaries, maps or extensions."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _of_datasets(kind.storage_type)
    if types.is_dictionary(kind):
        return _of_datasets(kind.value_type)
    if types.is_map(kind):
        pair = {"key": _of_datasets(kind.key_type), "value": _of_datasets(kind.item_type)}
        return pa.list_(pa.struct(pair))
    if types.is_list(kind):
        return pa.list_(_of_datasets(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([(field.name, _of_datasets(field.type)) for field in kind])
    return kind
