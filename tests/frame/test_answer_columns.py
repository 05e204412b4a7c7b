"""Answers kept as arrays while they come: the same columns, in the order of the rows, and small."""

import gc
import random
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pandas.testing import assert_extension_array_equal
from pydantic import AwareDatetime, create_model

from lionproc.frame import answer_blocks, answer_columns
from lionproc.frame.answer_arrays import POOL
from lionproc.frame.answer_columns import AnswerColumns
from lionproc.frame.assemble import MISSING, columns
from lionproc.frame.look import looked_at
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


def in_pools():
    """Bytes that Arrow has now, in its own pool and in that of kept answers."""
    return pa.total_allocated_bytes() + POOL.bytes_allocated()


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


@pytest.mark.parametrize(("kind", "made"), MADE, ids=[str(kind) for kind, _ in MADE])
def test_a_column_of_answers_can_be_written_to_and_what_is_kept_stays(kind, made):
    answer, cells = Answer.of(kind), [made(row) for row in range(9)]
    kept = AnswerColumns(answer, "a", 9)
    for row, cell in enumerate(cells):
        kept.put(row, cell)
    assert list(kept.settle()) == []
    frame = pd.DataFrame(kept.between(0, 9), copy=False)
    frame.loc[1, "a"] = None
    frame.iloc[2:4, 0] = frame["a"].iloc[4:6].array
    assert frame["a"].isna()[1]
    same(kept.between(0, 9), columns(answer, cells, "a"))


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


def test_whatever_comes_in_whatever_order_each_row_has_what_came_for_it_last(blocks_of):
    answer = Answer.of(create_model("Made", text=(str | None, ...), many=(list[int], ...)))
    for seed in range(20):
        chance = random.Random(seed)
        rows = chance.choice((0, 1, 9, 40))
        kept, expected, given = AnswerColumns(answer, None, rows), [MISSING] * rows, {}
        order = sorted(range(rows), key=lambda row, near=chance: row + near.uniform(0, 9))
        for row in [*order, *chance.sample(range(rows), rows // 5)]:
            made = {"text": chance.choice((f"text {row}", None)), "many": [row] * (row % 3)}
            given = chance.choice((made, made, given or made))
            if chance.random() < 0.8:
                kept.put(row, given)
                expected[row] = given
            elif expected[row] is MISSING:
                kept.never(row)
            if chance.random() < 0.1:
                same(kept.between(0, rows), columns(answer, expected, None))
        early = dict(kept.each(slice(0, rows)))
        for _ in kept.settle():
            pass
        same(early, columns(answer, expected, None))
        same(kept.between(0, rows), columns(answer, expected, None))
        some = np.array(chance.sample(range(rows), rows // 2), dtype=np.int64)
        same(dict(kept.each(some)), columns(answer, [expected[row] for row in some], None))
        later, had = AnswerColumns(answer, None, rows), expected[: rows // 2]
        had += [MISSING] * (rows - len(had))
        later.take_over(kept, [row for row, cell in enumerate(had) if cell is not MISSING])
        for row in range(0, rows, 4):
            had[row] = {"text": "later", "many": []}
            later.put(row, had[row])
        same(later.between(0, rows), columns(answer, had, None))
        same(kept.between(0, rows), columns(answer, expected, None))


def test_answers_of_much_text_are_never_one_array_of_more_than_it_has_room_for(monkeypatch):
    """A list of texts in Arrow has room for 2 GiB, here for some hundred."""
    monkeypatch.setattr(answer_columns, "BLOCK_LENGTH", 400)
    monkeypatch.setattr(answer_columns, "JOINED_BYTES", 2_000)
    monkeypatch.setattr(answer_blocks, "AT_ONCE", 2_000)
    largest = []
    for name in ("array", "concat_arrays"):
        made = getattr(pa, name)
        monkeypatch.setattr(
            pa, name, lambda *a, made=made, **k: largest.append(made(*a, **k)) or largest[-1]
        )
    taken = pc.take
    monkeypatch.setattr(
        pc, "take", lambda kept, *a, **k: largest.append(kept) or taken(kept, *a, **k)
    )
    answer = Answer.of(list[str])
    kept, cells = AnswerColumns(answer, "a", 60), [MISSING] * 60
    for row in random.Random(3).sample(range(60), 50):
        cells[row] = ["x" * 100, f"{row}"]
        kept.put(row, cells[row], 104)
    for row, cell in enumerate(cells):
        if cell is MISSING and row % 2:
            kept.never(row)
    early = kept.between(0, 60)
    for _ in kept.settle():
        pass
    found, part = kept.between(0, 60), kept.between(7, 31)
    assert max(values.nbytes for values in largest) <= 2_000
    monkeypatch.undo()
    same(early, columns(answer, cells, "a"))
    same(found, columns(answer, cells, "a"))
    same(part, columns(answer, cells[7:31], "a"))


def test_answers_that_a_few_rows_share_are_put_in_the_order_of_the_rows_as_others_are(monkeypatch):
    """Only what the shared ones take besides counts, not all the others as often."""
    monkeypatch.setattr(answer_columns, "BLOCK_LENGTH", 400)
    monkeypatch.setattr(answer_columns, "JOINED_BYTES", 10_000)
    answer = Answer.of(str)
    kept = AnswerColumns(answer, "a", 60)
    cells = [f"{row % 55:0100}" for row in range(60)]  # five of them twice
    for row in random.Random(3).sample(range(55), 55):
        for place in (row, row + 55)[: 1 + (row < 5)]:
            kept.put(place, cells[row], 100)
    for _ in kept.settle():
        pass
    found = kept.between(0, 60)
    assert len(kept._blocks._starts) == 1
    same(found, columns(answer, cells, "a"))


def test_an_answer_that_many_rows_share_is_not_copied_for_each_where_it_is_long(monkeypatch):
    monkeypatch.setattr(answer_columns, "JOINED_BYTES", 10_000)
    answer = Answer.of(str)
    kept, cells = AnswerColumns(answer, "a", 60), ["long" * 1000] * 5
    cells += [str(row) for row in range(5, 60)]
    for row, cell in enumerate(cells):
        kept.put(row, cell, len(cell))
    for _ in kept.settle():
        pass
    assert kept._blocks.end == 56  # the block as it came, and none in which it stands five times
    same(kept.between(0, 60), columns(answer, cells, "a"))


@pytest.mark.parametrize("every", [1, 3])
def test_a_long_text_that_rows_share_is_in_a_frame_once_though_each_was_read_anew(
    monkeypatch, every
):
    monkeypatch.setattr(answer_blocks, "AT_ONCE", 20_000)
    monkeypatch.setattr(answer_columns, "JOINED_BYTES", 20_000)
    answer = Answer.of(str)
    kept = AnswerColumns(answer, "a", 60)
    cells = [
        "".join(["long", " and long" * 500 * (n % every == 0), f"{n % every}"]) for n in range(60)
    ]
    cells[7] = None
    for row, cell in enumerate(cells):
        kept.put(row, cell, len(cell or ""))
    with pd.option_context("mode.string_storage", "pyarrow"):  # as pandas 3 has it by itself
        early = kept.between(0, 60)
        for _ in kept.settle():
            pass
        for found in (early, kept.between(0, 60)):
            same(found, columns(answer, cells, "a"))
            texts = pa.array(found["a"])
            assert texts.nbytes > 80_000
            assert texts.get_total_buffer_size() < 25_000
    says = [finding.says for finding in looked_at(pd.Series(found["a"]))]
    assert any("the same text" in each for each in says) == (every == 1)


def test_a_frame_has_its_texts_in_common_with_what_is_kept_and_cannot_change_it():
    answer = Answer.of(create_model("Both", text=(str, ...), n=(int, ...), many=(list[int], ...)))
    kept, cells = AnswerColumns(answer, None, 500), []
    for row in range(500):
        cells.append({"text": f"a text {row}", "n": row, "many": [row]})
        kept.put(row, cells[row])
    for _ in kept.settle():
        pass
    held = in_pools()
    frame = pd.DataFrame(kept.between(0, 500), copy=False)
    assert in_pools() < held + 1000
    frame.loc[3, "text"], frame.loc[3, "n"] = "changed", 7
    frame["many"] = frame["many"].iloc[::-1].array
    same(kept.between(0, 500), columns(answer, cells, None))


@pytest.fixture
def text_in_arrow():
    """Before version 3 pandas itself keeps text as objects, unless it is told otherwise."""
    with pd.option_context("mode.string_storage", "pyarrow"):
        yield


@pytest.mark.usefixtures("text_in_arrow")
def test_wide_answers_take_hardly_more_than_their_columns_in_arrow():
    kinds = (str, int, float, bool)
    fields = {f"f{place}": (kinds[place % 4], ...) for place in range(60)}
    answer = Answer.of(create_model("Wide", **fields))
    values = ("some words of text {}", 7_000_000, 0.25, True)
    kept = AnswerColumns(answer, None, 1000)
    held = in_pools()
    tracemalloc.start()
    try:
        for row in range(1000):
            made = (values[0].format(row), values[1] + row, values[2] + row, values[3])
            kept.put(row, {name: made[place % 4] for place, name in enumerate(fields)})
        taken = tracemalloc.get_traced_memory()[0] + in_pools() - held
        for _ in kept.settle():
            pass
        found = kept.between(0, 1000)
        taken_with_a_frame = tracemalloc.get_traced_memory()[0] + in_pools() - held
    finally:
        tracemalloc.stop()
    in_arrow = sum(pa.array(values).nbytes for values in found.values())
    assert taken < 2 * in_arrow
    assert taken_with_a_frame < 2 * in_arrow


def test_what_is_kept_is_in_memory_that_goes_back_to_the_system_when_it_is_dropped(monkeypatch):
    monkeypatch.setattr(answer_columns, "BLOCK_CELLS", 200)  # small blocks, which are joined
    answer = Answer.of(create_model("Row", text=(str, ...), number=(int, ...), yes=(bool, ...)))
    kept = AnswerColumns(answer, None, 6000)
    gc.collect()  # what earlier tests left goes now, and not while this one counts
    elsewhere, there = pa.total_allocated_bytes(), POOL.bytes_allocated()
    for row in (*range(3000), *range(5999, 2999, -1)):
        kept.put(row, {"text": f"row {row}", "number": row, "yes": True})
    for _ in kept.settle():
        pass
    assert pa.total_allocated_bytes() - elsewhere < 1000  # in the pool that keeps what it had
    assert POOL.bytes_allocated() - there > 6000 * (8 + 8)  # the texts and the numbers
