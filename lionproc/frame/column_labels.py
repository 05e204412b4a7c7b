"""The labels of the columns in a stranger's file, which pyarrow makes of their names.

Where they have several levels, pyarrow has Python read each name as an expression; where they are
numbers or moments, pandas makes those of the names; and pandas finds a column by its label's hash, which
for numbers has no seed. Names of a megabyte, or 60,000 labels of one hash, hold everything up.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from lionproc.frame.notes import noted_by_pandas
from lionproc.frame.pandas_hash import Index, has_one_place
from lionproc.model.one_hash import has_one_hash

__all__ = ["LONGEST", "check_labels", "check_names"]

LONGEST: Final = 4000  # characters of a column's labels, where they are not one text


def check_names(schema: pa.Schema) -> None:
    """Look through the names of columns, before labels are made of them.

    Args:
        schema: Of a table whose notes were looked through.

    Raises:
        ValueError: One that is no text is longer than `LONGEST`, or has another number of levels than
            the others; or very many have one hash.
        Exception: Of any kind, where the metadata is made up.
    """
    levels = noted_by_pandas(schema, "column_indexes")
    if len(levels) <= 1 and all(map(_is_text, levels)):
        return
    said = {each.get("field_name"): each["name"] for each in noted_by_pandas(schema)}
    names = [*schema.names, *said.values()]
    if any(isinstance(name, str) and len(name) > LONGEST for name in names):
        raise ValueError("the labels of a column are longer than any")
    if len(levels) > 1:
        index = {str(each) for each in noted_by_pandas(schema, "index_columns")}
        used = [said.get(name) or name for name in schema.names if name not in index]
        for labels in zip(*_tuples(used, len(levels)), strict=True):
            check_labels(pd.Index(labels, tupleize_cols=False))


def check_labels(columns: Index) -> None:
    """Refuse labels that pandas or Python cannot tell apart in a moment.

    Args:
        columns: Of a frame. Nothing was looked for in them yet.

    Raises:
        ValueError: Very many have one hash.
    """
    for level in columns.levels if isinstance(columns, pd.MultiIndex) else [columns]:
        if has_one_hash(level.tolist()) or has_one_place(level.dropna()):
            raise ValueError("very many columns have labels of one hash")


def _tuples(names: Collection[str], levels: int) -> Iterator[Sequence[object]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python has one for 1or 2
        for name in names:
            with suppress(ValueError, SyntaxError):  # pyarrow will say so
                labels = ast.literal_eval(name)
                if not isinstance(labels, tuple) or len(labels) != levels:
                    raise ArithmeticError("a column has another number of labels than the others")
                yield labels


def _is_text(level: dict[str, Any]) -> bool:
    return level["pandas_type"] == "unicode" and level["numpy_type"] in {"object", "str", "string"}
