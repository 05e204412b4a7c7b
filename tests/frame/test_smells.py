"""What smells is looked for in so many rows as take a moment, from everywhere in the frame."""

import tracemalloc
from decimal import Decimal
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pydantic
import pytest

from lionproc.frame.answer_columns import AnswerColumns
from lionproc.frame.look import looked_at
from lionproc.frame.smells import MOST_CELLS, _columns
from lionproc.model.answer import Answer


def answered(fields, rows):
    """A run whose answers tell their row in each field."""
    kind = pydantic.create_model("Kind", **{f"f{n}": (int, ...) for n in range(fields)})
    kept = AnswerColumns(Answer.of(kind), None, rows)
    for row in range(rows):
        kept.put(row, {f"f{n}": row for n in range(fields)})
    return SimpleNamespace(rows=rows), SimpleNamespace(columns=[kept])


@pytest.mark.parametrize(
    ("fields", "rows", "seen"), [(2, 500, 500), (60, 3000, 1000), (5, 3000, 3000)]
)
def test_of_wide_answers_fewer_rows_are_looked_at_and_from_everywhere(fields, rows, seen):
    columns = list(_columns(*answered(fields, rows), 0))
    assert [column.name for column in columns] == [f"f{n}" for n in range(fields)]
    looked_at = columns[-1].tolist()
    assert len(looked_at) == seen <= max(MOST_CELLS // fields, 1000)
    assert looked_at == sorted(set(looked_at))
    assert looked_at[-1] >= rows * 0.8


@pytest.mark.parametrize("dtype", ["Int64", "UInt64", pd.ArrowDtype(pa.decimal128(38, 9))])
def test_ids_that_differ_in_their_last_digits_are_not_the_same_number(dtype):
    kind = int if isinstance(dtype, str) else Decimal
    ids = [kind(2**62 + row) for row in range(100)]
    assert not list(looked_at(pd.Series(ids, dtype=dtype)))
    assert list(looked_at(pd.Series([*ids[:2], *ids[:1] * 98], dtype=dtype)))


def test_a_run_without_rows_has_nothing_to_look_at():
    assert all(column.empty for column in _columns(*answered(2, 0), 0))


def test_a_giant_among_few_answers_is_taken_once_to_be_looked_at():
    giant = "a" * 2_000_000
    tracemalloc.start()
    try:
        assert not list(looked_at(pd.Series(["one", giant, "two"], dtype="str")))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5 * len(giant)
