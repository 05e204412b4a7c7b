"""Answers kept as arrays while they come: the same columns, in the order of the rows, and small."""

import random
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

import pyarrow as pa
import pytest
from pandas.testing import assert_extension_array_equal
from pydantic import AwareDatetime, create_model

from lionproc.frame import answer_columns
from lionproc.frame.answer_columns import AnswerColumns
from lionproc.frame.assemble import MISSING, columns
from lionproc.model.answer import Answer

MADE = (  # cells of each kind of column, made of a number
    (str, lambda n: None if n % 7 == 3 else f"text {n}"),
    (int, lambda n: 2**62 + n),
    (float, lambda n: n / 3),
    (bool, lambda n: n % 2 == 0),
    (Literal["a", "b", 3], lambda n: ("a", "b", 3)[n % 3]),
    (AwareDatetime, lambda n: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=n)),
    (timedelta, lambda n: timedelta(seconds=n)),
    (Decimal, lambda n: Decimal(n) / 8),
    (list[str], lambda n: ["x"] * (n % 3)),
    (dict[str, int], lambda n: [(f"k{n}", n)]),
    ({"type": ["integer", "object"]}, lambda n: f"[{n}]"),
)


@pytest.fixture(params=[1, 3, 64])
def blocks_of(request, monkeypatch):
    monkeypatch.setattr(answer_columns, "BLOCK_CELLS", 0)
    monkeypatch.setattr(answer_columns, "BLOCK_ROWS", (request.param, request.param))


def same(one, other):
    assert list(one) == list(other)
    for name, values in one.items():
        assert_extension_array_equal(values, other[name])


@pytest.mark.parametrize(("kind", "made"), MADE, ids=[str(kind) for kind, _ in MADE])
def test_answers_that_come_in_any_order_are_the_columns_of_their_rows(kind, made, blocks_of):
    answer = Answer.of(kind)
    kept, cells = AnswerColumns(answer, "a", 40), [MISSING] * 40
    places = random.Random(1).sample(range(40), 30)
    for row in places:
        cells[row] = made(row)
        kept.put(row, cells[row])
        if row % 5 == 0:
            same(kept.between(0, 40), columns(answer, cells, "a"))
    for start, stop in ((0, 40), (0, 0), (7, 8), (11, 29)):
        same(kept.between(start, stop), columns(answer, cells[start:stop], "a"))


def test_an_answer_that_rows_share_and_one_that_replaces_another(blocks_of):
    answer = Answer.of(create_model("Pair", name=(str, ...), n=(int, ...)))
    kept = AnswerColumns(answer, None, 10)
    first, second = {"name": "one", "n": 1}, {"name": "two", "n": 2}
    for row in (4, 5, 9):
        kept.put(row, first)
    kept.put(5, second)
    kept.put(4, second)
    kept.put(0, first)
    found = kept.between(0, 10)
    expected = [MISSING] * 10
    for row, cell in ((0, first), (4, second), (5, second), (9, first)):
        expected[row] = cell
    same(found, columns(answer, expected, None))


def test_a_later_run_begins_with_some_answers_of_an_earlier_one(blocks_of):
    answer = Answer.of(str)
    before, kept = AnswerColumns(answer, "a", 9), AnswerColumns(answer, "a", 9)
    for row in range(9):
        before.put(row, f"old {row}")
    kept.take_over(before, [0, 3, 8])
    kept.put(4, "new")
    expected = ["old 0", MISSING, MISSING, "old 3", "new", MISSING, MISSING, MISSING, "old 8"]
    same(kept.between(0, 9), columns(answer, expected, "a"))


def test_wide_answers_take_hardly_more_than_their_columns_in_arrow():
    kinds = (str, int, float, bool)
    fields = {f"f{place}": (kinds[place % 4], ...) for place in range(60)}
    answer = Answer.of(create_model("Wide", **fields))
    values = ("some words of text {}", 7_000_000, 0.25, True)
    kept = AnswerColumns(answer, None, 1000)
    held = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        for row in range(1000):
            made = (values[0].format(row), values[1] + row, values[2] + row, values[3])
            kept.put(row, {name: made[place % 4] for place, name in enumerate(fields)})
        taken = tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes() - held
    finally:
        tracemalloc.stop()
    found = kept.between(0, 1000)
    in_arrow = sum(pa.array(values).nbytes for values in found.values())
    assert taken < 2 * in_arrow
