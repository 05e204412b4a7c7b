"""Cells become Arrow arrays, which are kept, and these the pandas arrays that a frame has.

In Arrow an answer takes the least memory, and pandas takes over texts, lists and records as they
are there: a frame and the run that made it have them in common, and neither can change them.
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.extensions import ExtensionArray

from lionproc.frame.dtypes import arrow_type, dtype_of
from lionproc.model.shape import Choice, Duration, Instant, List, Map, Record, Shape, walk

__all__ = ["POOL", "array_of", "arrow_of"]

POOL = pa.system_memory_pool()
"""Where kept arrays are. Arrow's own pool does not give back what many small arrays took."""


def arrow_of(shape: Shape, cells: Sequence[Any]) -> pa.Array:
    """A column of answers as it is kept.

    Args:
        shape: What the answers are.
        cells: One per row, as `cell_maker(shape)` makes them; None where there is no answer.

    Returns:
        An array with as many elements, null for None. A choice is the place of its member.
    """
    if isinstance(shape, Choice):
        place: dict[Any, int | None] = {member: n for n, member in enumerate(shape.members)}
        place[None] = None
        return pa.array([place[cell] for cell in cells], _places_of(shape), memory_pool=POOL)
    kind = arrow_type(shape)
    if pa.types.is_string(kind):
        kind = pa.large_string()  # as pandas has it
    elif pa.types.is_nested(kind):
        mixed = {id(part) for part in walk(shape) if _becomes_text(part)}
        cells = [_with_text(shape, cell, mixed) for cell in cells] if mixed else cells
    return pa.array(cells, kind, memory_pool=POOL)


def array_of(shape: Shape, kept: pa.Array) -> ExtensionArray:
    """A column of a frame.

    Args:
        shape: What the answers are.
        kept: As `arrow_of` makes it.

    Returns:
        An array of `dtype_of(shape)` with as many elements, NA for null.
    """
    dtype: Any = dtype_of(shape)
    match shape:
        case Choice():
            return pd.Categorical.from_codes(_own(kept.fill_null(-1)), dtype=dtype)
        case Instant(zoned=zoned):
            instants = pd.DatetimeIndex(_own(kept))
            return (instants.tz_localize("UTC") if zoned else instants).array
        case Duration():
            return pd.TimedeltaIndex(_own(kept)).array
        case _:
            made: ExtensionArray = dtype.__from_arrow__(kept)
            return made


def _places_of(shape: Choice) -> pa.DataType:
    """The smallest integers that count the members."""
    return next(
        kind
        for kind in (pa.int8(), pa.int16(), pa.int32())
        if len(shape.members) < 2 ** (kind.bit_width - 1)
    )


def _own(kept: pa.Array) -> np.ndarray[Any, Any]:
    """The values for a frame alone: what is in Arrow cannot be written to."""
    values: np.ndarray[Any, Any] = kept.to_numpy(zero_copy_only=False)
    return values.copy()


def _becomes_text(shape: Shape) -> bool:
    """Whether this is a choice of text and numbers, for which Arrow has text only."""
    return (
        isinstance(shape, Choice)
        and pa.types.is_string(arrow_type(shape))
        and not all(isinstance(member, str) for member in shape.members)
    )


def _with_text(shape: Shape, cell: Any, mixed: Container[int]) -> Any:
    """The same cell with 1 as "1" where a choice inside it, of these ids, mixes text and numbers."""
    if cell is None:
        return None
    match shape:
        case Choice() if id(shape) in mixed:
            return cell if isinstance(cell, str) else json.dumps(cell)
        case List(item=item):
            return cell and [_with_text(item, inner, mixed) for inner in cell]
        case Map(value=value):
            return [(key, _with_text(value, inner, mixed)) for key, inner in cell]
        case Record(fields=fields):
            return {name: _with_text(inner, cell[name], mixed) for name, inner in fields}
        case _:
            return cell
