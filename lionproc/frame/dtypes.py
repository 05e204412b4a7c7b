"""Shapes become pandas arrays: one dtype for each shape, the same for 0 rows and for a million."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.extensions import ExtensionArray, ExtensionDtype

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
    walk,
)

__all__ = ["Dtype", "array_of", "arrow_type", "cells_of", "dtype_of"]

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


def array_of(shape: Shape, cells: Sequence[Any]) -> ExtensionArray:
    """A column of answers.

    Args:
        shape: What the answers are.
        cells: One per row, as `cell_maker(shape)` makes them; None where there is no answer.

    Returns:
        An array of `dtype_of(shape)` with as many elements, NA for None.
    """
    dtype = dtype_of(shape)
    match shape:
        case Integer():
            return pd.arrays.IntegerArray(*_masked(cells, np.int64))
        case Real():
            return pd.arrays.FloatingArray(*_masked(cells, np.float64))
        case Boolean():
            return pd.arrays.BooleanArray(*_masked(cells, np.bool_))
        case Choice(members=members):
            code: dict[Any, int] = {member: place for place, member in enumerate(members)}
            code[None] = -1
            codes = np.fromiter((code[cell] for cell in cells), np.int64, len(cells))
            return pd.Categorical.from_codes(codes, categories=_categories(members))
        case Instant(zoned=zoned):
            naive = [cell if cell is None else cell.replace(tzinfo=None) for cell in cells]
            instants = pd.DatetimeIndex(np.array(naive, dtype="datetime64[us]"))
            return (instants.tz_localize("UTC") if zoned else instants).array
        case Duration():
            return pd.TimedeltaIndex(np.array(cells, dtype="timedelta64[us]")).array
        case _ if isinstance(dtype, pd.ArrowDtype):
            if any(_becomes_text(inner) for inner in walk(shape)):
                cells = [_with_text(shape, cell) for cell in cells]
            return pd.arrays.ArrowExtensionArray(pa.array(cells, type=arrow_type(shape)))
        case _:
            return pd.array(list(cells), dtype="string")


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


def _masked(
    cells: Sequence[Any], dtype: type[np.generic]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The values with a zero in every gap, and where the gaps are. Never by way of floats."""
    if None not in cells:  # as nearly always
        return np.fromiter(cells, dtype, len(cells)), np.zeros(len(cells), np.bool_)
    mask = np.fromiter((cell is None for cell in cells), np.bool_, len(cells))
    values = np.fromiter((0 if cell is None else cell for cell in cells), dtype, len(cells))
    return values, mask


def _becomes_text(shape: Shape) -> bool:
    """Whether this is a choice of text and numbers, for which Arrow has text only."""
    return (
        isinstance(shape, Choice)
        and pa.types.is_string(arrow_type(shape))
        and not all(isinstance(member, str) for member in shape.members)
    )


def _with_text(shape: Shape, cell: Any) -> Any:
    """The same cell with 1 as "1" where a choice inside it mixes text and numbers."""
    if cell is None:
        return None
    match shape:
        case Choice() if _becomes_text(shape):
            return cell if isinstance(cell, str) else json.dumps(cell)
        case List(item=item):
            return cell and [_with_text(item, inner) for inner in cell]
        case Map(value=value):
            return [(key, _with_text(value, inner)) for key, inner in cell]
        case Record(fields=fields):
            return {name: _with_text(inner, cell[name]) for name, inner in fields}
        case _:
            return cell
