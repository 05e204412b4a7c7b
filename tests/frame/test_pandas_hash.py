"""Categories of somebody else's file that take hours to tell apart are refused."""

import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lionproc  # noqa: F401  (the accessor)
from lionproc.errors import ConfigurationError
from lionproc.frame.arrow_stream import packed
from lionproc.frame.export import write_parquet
from lionproc.frame.pandas_hash import has_one_place, share_a_place
from lionproc.frame.parquet_reader import read_parquet
from lionproc.model.one_hash import has_one_hash

MOST = 7_200  # of one hash, of which each is compared with all before
WORD, FACTOR, START = 2**32 - 1, 0x5BD1E995, 0xC70F6907 ^ 4


def whole_of_one_hash(most):
    """Numbers whose upper and lower bits undo each other in (k >> 33) ^ k ^ (k << 11)."""
    for upper in range(most):
        lower = upper
        for _ in range(3):
            lower = upper ^ (lower << 11 & WORD)
        yield upper << 33 | lower


def fractions_of_one_hash(most):
    """Fractions whose second word undoes what MurmurHash2 has made of the first."""

    def mixed(word):
        word = word * FACTOR & WORD
        return (word ^ word >> 24) * FACTOR & WORD

    def first(word):  # that mixes to it
        word = word * pow(FACTOR, -1, 2**32) & WORD
        return (word ^ word >> 24) * pow(FACTOR, -1, 2**32) & WORD

    found = 0
    for low in range(10 * most):
        high = first((START * FACTOR & WORD ^ mixed(low)) * FACTOR & WORD)
        value = np.array([high << 32 | low], dtype=np.uint64).view(np.float64)[0]
        if np.isfinite(value) and found < most:
            found += 1
            yield float(value)


WHOLE = np.array(list(whole_of_one_hash(MOST)), dtype=np.int64)
FRACTIONS = np.array(list(fractions_of_one_hash(MOST)))
SAME = [(2**61 - 1) * number for number in range(1, MOST + 1)]
INDEXES = {
    "int64": pd.Index(WHOLE),
    "uint64": pd.Index(WHOLE.astype("uint64")),
    "float64": pd.Index(FRACTIONS),
    "Int64": pd.Index(pd.array(WHOLE, dtype="Int64")),
    "Arrow": pd.Index(pd.array(FRACTIONS, dtype="float64[pyarrow]")),
    "times": pd.DatetimeIndex(WHOLE.view("M8[ns]")),
    "times of a zone": pd.DatetimeIndex(WHOLE.view("M8[ns]"), tz="UTC"),
    "lengths": pd.TimedeltaIndex(WHOLE.view("m8[ns]")),
    "periods": pd.PeriodIndex.from_ordinals(WHOLE, freq="ns"),
    "intervals": pd.IntervalIndex.from_arrays(WHOLE, WHOLE + 1),
    "decimals": pd.Index([Decimal(number) for number in SAME]),
    "whole objects": pd.Index([n << 32 | n for n in range(MOST)], dtype=object),
    "fractions as objects": pd.Index([float(n << 32 | n) for n in range(MOST)], dtype=object),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_values_of_one_hash_are_known_whatever_they_are(kind):
    assert has_one_place(INDEXES[kind])
    assert not has_one_place(INDEXES[kind][:7_000])
    assert share_a_place(INDEXES[kind][:7_000], 4)
    assert not share_a_place(INDEXES[kind][:100], 4)


@pytest.mark.parametrize("each", [
    np.arange(300_000), np.arange(300_000) * 2**33, np.arange(300_000) * 3_600 * 10**9,
    np.arange(-300_000, 0), np.random.default_rng(0).integers(-(2**62), 2**62, 300_000),
    np.arange(300_000) / 100, np.arange(300_000) * 2.0**40, np.random.default_rng(0).random(300_000),
], ids=str)  # fmt: skip
def test_values_of_ordinary_columns_have_different_hashes(each):
    assert not has_one_place(pd.Index(each))
    assert not share_a_place(pd.Index(each), 100_000)
    assert not has_one_hash(each.tolist())


def test_a_few_values_of_each_of_many_hashes_are_many_in_many_parts():
    few = [n << 32 | (n ^ hash_ * 64) for hash_ in range(1, 1_000) for n in range(1, 9)]
    assert not share_a_place(pd.Index(few, dtype=object), 12)
    assert share_a_place(pd.Index(few, dtype=object), 1_500)


GRID = np.arange(200)


@pytest.mark.parametrize("ids", [
    (GRID[:, None] << 32 | GRID).ravel(), (GRID[:, None] * 2.0**32 + GRID).ravel(),
    (GRID[:, None] + GRID / 2**29).ravel(),
], ids=["whole", "large", "small"])  # fmt: skip
def test_ids_that_are_made_of_two_numbers_are_written_and_read_again(ids, tmp_path):
    frame = pd.DataFrame({"c": pd.Categorical(ids)})
    path = write_parquet(frame, tmp_path / "out.parquet", {})
    pd.testing.assert_frame_equal(read_parquet(path), frame)
    by = pd.Series([*ids.tolist(), "none"], dtype=object)
    score = pd.DataFrame({"a": "x", "g": "x", "by": by}).llm.score("a", gold="g", by="by")
    assert len(score.slices) == 40_001


def test_intervals_that_share_an_end_are_written_and_read_again(tmp_path):
    ends = pd.IntervalIndex.from_arrays([0] * 8_000, range(1, 8_001))
    frame = pd.DataFrame({"c": pd.Categorical(ends)})
    path = write_parquet(frame, tmp_path / "out.parquet", {})
    assert read_parquet(path)["c"].tolist() == ends.tolist()


@pytest.mark.parametrize(("kind", "categories"), [
    ("float64", SAME), ("int64", WHOLE.tolist()), ("float64", FRACTIONS.tolist()),
    ("object", [n << 32 | n for n in range(MOST)]),
    ("object", [2**70 + (2**61 - 1) * n for n in range(MOST)]),
])  # fmt: skip
def test_categories_of_one_hash_in_the_note_of_a_strangers_file_are_not_told_apart(
    kind, categories, tmp_path
):
    refuses({"categories": categories, "index": kind}, tmp_path)


@pytest.mark.parametrize("held", [
    pa.array(map(Decimal, SAME), pa.decimal128(38, 0)),
    pa.array(WHOLE.view("M8[ns]")),
    pa.array(WHOLE),
])  # fmt: skip
def test_categories_of_one_hash_that_are_held_as_arrow_writes_them_are_not_either(held, tmp_path):
    refuses({"held": packed(pa.table({"a": held}))}, tmp_path)


@pytest.mark.parametrize("kind", [
    "category", "datetime64[ns]", "period[D]", "interval", "string[python]", "Int64", "complex128",
    "S5", "V8", "nothing", 5, None,
])  # fmt: skip
def test_categories_in_a_note_have_an_index_that_we_write_or_the_file_is_damaged(kind, tmp_path):
    refuses({"categories": ["1.1.1"], "index": kind}, tmp_path, why="")


def refuses(note, tmp_path, why="very many categories have one hash"):
    kept = json.dumps({"kind": "category", "ordered": False, **note}).encode()
    field = pa.field("a", pa.float64(), metadata={b"lionproc.dtype": kept})
    pq.write_table(pa.table([[1.0]], schema=pa.schema([field])), tmp_path / "a.parquet")
    with pytest.raises(ConfigurationError, match="damaged") as refused:
        read_parquet(tmp_path / "a.parquet")
    assert why in str(refused.value.__cause__)
