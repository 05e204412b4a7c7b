"""One dtype for each shape of an answer, the same for 0 rows and for a million."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.extensions import ExtensionDtype

from lionproc.frame.cell import is_missing
from lionproc.model.coerce import DECIMAL_DIGITS, DECIMAL_PLACES
from lionproc.model.shape import (
    Boolean,
    Choice,
    Date,
    DecimalNumber,
    Duration,
    Instant,
    Integer,
    List,
    Map,
    Real,
    Record,
    Shape,
    Time,
)

__all__ = ["Dtype", "arrow_type", "cells_of", "dtype_of"]

Dtype: TypeAlias = ExtensionDtype | np.dtype[Any]

_ARROW: Mapping[type, pa.DataType] = {
    Integer: pa.int64(),
    Real: pa.float64(),
    Boolean: pa.bool_(),
    Date: pa.date32(),
    Time: pa.time64("us"),
    Duration: pa.duration("us"),
    DecimalNumber: pa.decimal128(DECIMAL_DIGITS, DECIMAL_PLACES),
}


def dtype_of(shape: Shape) -> Dtype:
    """The dtype of a column of answers.

    Args:
        shape: What the answers are.

    Returns:
        string for text and for free-form JSON (as JSON text); Int64, Float64 and boolean;
        category for a choice, all its members being categories in declared order;
        datetime64[us, UTC] (or without zone for NaiveDatetime) and timedelta64[us]; and Arrow
        dtypes for dates, times of day, decimals (38 digits, 9 of them after the point), lists,
        records (struct) and `dict[str, ...]` (map).
    """
    match shape:
        case Integer():
            return pd.Int64Dtype()
        case Real():
            return pd.Float64Dtype()
        case Boolean():
            return pd.BooleanDtype()
        case Choice(members=members):
            return pd.CategoricalDtype(_categories(members))
        case Instant(zoned=zoned):
            return pd.DatetimeTZDtype("us", "UTC") if zoned else np.dtype("datetime64[us]")
        case Duration():
            return np.dtype("timedelta64[us]")
        case Date() | Time() | DecimalNumber() | List() | Map():
            return pd.ArrowDtype(arrow_type(shape))
        case Record(fields=fields) if fields:
            return pd.ArrowDtype(arrow_type(shape))
        case _:
            return pd.StringDtype()


def arrow_type(shape: Shape) -> pa.DataType:
    """The Arrow type of a value inside a list, a record or a map."""
    match shape:
        case Instant(zoned=zoned):
            return pa.timestamp("us", "UTC" if zoned else None)
        case List(item=item):
            return pa.list_(arrow_type(item))
        case Map(value=value):
            return pa.map_(pa.string(), arrow_type(value))
        case Record(fields=fields) if fields:
            return pa.struct([pa.field(name, arrow_type(inner)) for name, inner in fields])
        case Choice(members=members):
            kinds = {type(member) for member in members}
            if kinds == {bool}:
                return pa.bool_()
            whole = [member for member in members if type(member) is int]
            if kinds == {int} and all(-(2**63) <= member < 2**63 for member in whole):
                return pa.int64()
            exact = all(abs(member) <= 2**53 for member in whole)
            return pa.float64() if kinds <= {int, float} and exact else pa.string()
        case _:
            return _ARROW.get(type(shape), pa.string())


def cells_of(column: pd.Series[Any]) -> list[Any]:
    """The cells of a column as plain Python values: dicts for records and maps, None for NA."""
    if isinstance(column.dtype, pd.ArrowDtype):
        arrow: Any = pa.array(column.array)
        cells: list[Any] = arrow.to_pylist()
        return [_with_dicts(arrow.type, cell) for cell in cells] if _has_maps(arrow.type) else cells
    return [None if is_missing(cell) else cell for cell in column.tolist()]


def _has_maps(kind: pa.DataType) -> bool:
    inside = (kind.field(number).type for number in range(kind.num_fields))
    return pa.types.is_map(kind) or any(map(_has_maps, inside))


def _with_dicts(kind: pa.DataType, cell: Any) -> object:
    """A cell with dicts for maps, which Arrow gives as lists of pairs."""
    if cell is None:
        return None
    if pa.types.is_map(kind):
        return {key: _with_dicts(kind.item_type, value) for key, value in cell}
    if pa.types.is_struct(kind):
        return {field.name: _with_dicts(field.type, cell[field.name]) for field in kind}
    if isinstance(cell, list):
        return [_with_dicts(kind.value_type, inner) for inner in cell]
    return cell


def _categories(members: Sequence[Any]) -> pd.Index[Any]:
    made: pd.Index[Any] = pd.Index(list(members), tupleize_cols=False)
    return made
