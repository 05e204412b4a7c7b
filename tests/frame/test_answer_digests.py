"""Digests of answers: equal for equal answers, however many of a column are the same."""

import tracemalloc
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lionproc.frame import answer_digests
from lionproc.frame.answer_digests import digests_of


def test_a_text_has_one_digest_whether_its_column_repeats_it_or_not():
    once = pd.Series(["yes", "no", None, *map(str, range(40))], dtype="string")
    alone = digests_of(once)
    assert len(set(alone)) == len(once)
    assert alone[2] == 0
    places = np.arange(5000) % 4
    assert (digests_of(once.iloc[places]) == alone[places]).all()
    as_objects = [None if text is pd.NA else text for text in once]
    assert (digests_of(pd.Series(as_objects, dtype=object)) == alone).all()


def test_of_many_long_texts_few_are_objects_at_one_time():
    texts = pd.Series([f"{n} {'word ' * 200}" for n in range(8000)], dtype="string[pyarrow]")
    tracemalloc.start()
    try:
        digests = digests_of(texts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(set(digests)) == 8000
    assert peak < 3_000_000  # all of them have 9 MB


def test_lists_that_rows_have_in_common_become_objects_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(answer_digests, "_OBJECT_BYTES", 2**20)
    cell = pa.array([["a text " * 2**14]])
    column = pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([cell] * 200)))
    tracemalloc.start()
    try:
        digests = digests_of(column)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(set(digests)) == 1
    assert peak < 8_000_000  # all of them have 23 MB


DECIMALS = pd.ArrowDtype(pa.decimal128(38, 9))


def held(number):
    """Columns of every type that can hold a whole number."""
    yield from (pd.Series([each], dtype=object) for each in (number, Decimal(number)))
    yield pd.Series([number], dtype="category")
    yield pd.Series([Decimal(number)], dtype=DECIMALS)
    if abs(number) < 2**63:
        yield from (
            pd.Series([number], dtype=kind) for kind in ("Int64", "int64", "int64[pyarrow]")
        )
    if 0 <= number < 2**64:
        yield from (pd.Series([number], dtype=kind) for kind in ("UInt64", "uint64"))
    if int(float(number)) == number:
        yield from (
            pd.Series([float(number)], dtype=kind) for kind in ("float64", "Float64", object)
        )


@pytest.mark.parametrize("near", [0, 2**53, -(2**53), 2**60, 2**63, -(2**63), 2**64, 2**80])
def test_a_whole_number_of_any_size_has_one_digest_and_no_other_number_has_it(near):
    each = [{int(digests_of(column)[0]) for column in held(near + n)} for n in range(-4, 5)]
    assert [len(digests) for digests in each] == [1] * 9
    assert len(set.union(*each)) == 9


def test_decimals_of_one_size_are_one_answer_and_so_is_the_float_that_is_written_alike():
    same = [Decimal("0.1"), Decimal("0.10"), 0.1]
    assert len({*digests_of(pd.Series(same, dtype=object)), *digests_of([0.1])}) == 1
    others = ["0.1000000000000000000000000001", "1E-999999", "1E+99999999", "2E+99999999"]
    assert len({*digests_of([Decimal(each) for each in others]), *digests_of([0.1])}) == 5
