"""An index of several levels comes back from a file as pandas makes it, and in a moment."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lionproc as lp
from lionproc.errors import ConfigurationError
from lionproc.frame.export import write_parquet, write_part
from lionproc.frame.index_levels import index_of
from tests.frame.test_distinct import MEMBERS, column

PLACES = (3, 1, 0, 2, 2, 1, 7, 5, 3)
NUMBERS = pd.Index(list(range(len(PLACES))), name="n")


@pytest.mark.parametrize("missing", [(), (0, 5), (2,), (8,), tuple(range(9))], ids=str)
@pytest.mark.parametrize("kind", MEMBERS)
def test_levels_are_made_as_by_pandas(kind, missing):
    if missing and kind in {"int64", "uint64"}:
        return  # which have no missing values
    members = MEMBERS[kind]
    cells = [members[place % len(members)] for place in PLACES]
    for place in missing:
        cells[place] = None
    levels = [pd.Index(column(kind, cells)), NUMBERS]
    made, wanted = index_of(levels), pd.MultiIndex.from_arrays(levels)
    pd.testing.assert_index_equal(made, wanted, exact=True)
    for one, other in zip(made.levels, wanted.levels, strict=True):
        pd.testing.assert_index_equal(one, other, exact=True)
    assert [list(codes) for codes in made.codes] == [list(codes) for codes in wanted.codes]


FRAMES = {
    "named": pd.DataFrame({"v": range(4)}, index=pd.MultiIndex.from_product(
        [["a", "b"], [1, 2]], names=["x", "y"])),
    "without names": pd.DataFrame({"v": range(4)}, index=pd.MultiIndex.from_product(
        [["a", "b"], [1, 2]], names=[0, None])),
    "without columns": pd.DataFrame(index=pd.MultiIndex.from_product([["a"], [1, 2]])),
    "without rows": pd.DataFrame({"v": []}, index=pd.MultiIndex.from_arrays([[], []])),
    "a column of that name": pd.DataFrame({"x": range(3)}, index=pd.MultiIndex.from_arrays(
        [["b", "a", None], pd.to_datetime(["2020", None, "2019"], utc=True)], names=["x", "t"])),
    "a range": pd.DataFrame({"v": range(3)}, index=pd.MultiIndex.from_arrays(
        [["a", "a", "b"], pd.RangeIndex(5, 8)], names=["a", "b"])),
    "booleans": pd.DataFrame({"v": range(4)}, index=pd.MultiIndex.from_arrays(
        [pd.array([None, True, False, True], dtype="boolean"), [9, 8, 7, 6]])),
    "ordered categories of many texts": pd.DataFrame({"v": range(3)}, index=pd.CategoricalIndex(
        ["9", "0", "15000"], categories=[str(n) for n in range(20_000, -1, -1)], ordered=True)),
    "categories": pd.DataFrame({"v": range(3)}, index=pd.MultiIndex.from_arrays(
        [pd.Categorical(["b", None, "a"], categories=["b", "a", "z"]), [1.5, 2, None]])),
}  # fmt: skip


@pytest.mark.parametrize("which", FRAMES)
def test_an_index_of_several_levels_comes_back_also_from_parts(which, tmp_path):
    frame = FRAMES[which]
    path = write_parquet(frame, tmp_path / "out.parquet", {})
    for number in range(3):
        write_part(tmp_path / "parts", number, frame, {}, run="1a2b3c4d")
    if which == "booleans":  # where one is missing they are objects; pandas 2 makes others of these
        frame = pd.read_parquet(path)
        for place, rows in ((path, frame), (tmp_path / "parts", pd.concat([frame] * 3))):
            assert repr(lp.read_parquet(place).index.tolist()) == repr(rows.index.tolist())
        return
    pd.testing.assert_frame_equal(lp.read_parquet(path), frame)
    pd.testing.assert_frame_equal(lp.read_parquet(tmp_path / "parts"), pd.concat([frame] * 3))


def test_no_level_of_a_file_goes_through_a_table_whose_places_it_can_foresee(tmp_path, monkeypatch):
    names = [f"n{number}" for number in range(5_000)]
    index = pd.MultiIndex.from_arrays([names, range(5_000)], names=["a", "b"])
    frame = pd.DataFrame({"v": "text"}, index=index)
    for number in range(2):
        write_part(tmp_path / "parts", number, frame, {}, run="1a2b3c4d")

    def refused(*given, **more):
        raise AssertionError("pandas makes the levels")

    for name in ("from_arrays", "from_tuples", "from_frame", "factorize"):
        monkeypatch.setattr(pd.MultiIndex, name, refused)
    monkeypatch.setattr(pd, "factorize", refused)
    assert lp.read_parquet(tmp_path / "parts").index.equals(index.append([index]))


def in_two_levels(cells, tmp_path, levels=("a", "b")):
    table = pa.table({"a": cells, "b": pa.array(range(len(cells)))})
    said = {
        "index_columns": list(levels),
        "column_indexes": [],
        "columns": [
            {
                "name": n,
                "field_name": n,
                "pandas_type": "x",
                "numpy_type": "object",
                "metadata": None,
            }
            for n in "ab"
        ],
    }
    table = table.replace_schema_metadata({b"pandas": json.dumps(said).encode()})
    pq.write_table(table, tmp_path / "index.parquet")
    return tmp_path / "index.parquet"


def test_levels_that_take_hours_to_tell_apart_are_refused(tmp_path):
    whole = [number << 32 | number for number in range(7_200)]
    same = pa.array([f"{number}" for number in whole]).cast(pa.decimal128(38, 0))
    path = in_two_levels(same, tmp_path)
    with pytest.raises(ConfigurationError, match="damaged") as refused:
        lp.read_parquet(path)
    assert "have one hash" in str(refused.value.__cause__)


def test_levels_that_do_not_fit_together_are_none():
    with pytest.raises(ValueError, match="do not fit"):
        index_of([NUMBERS, NUMBERS[:-1]])


RANGE = {"kind": "range", "name": None, "start": 0, "stop": 2, "step": 1}


@pytest.mark.parametrize("levels", [
    ["a", "a"], ["a", "b", "a"], [RANGE] * 33, ["a", *[RANGE] * 33],
    ["a", {"kind": "range", "name": None, "start": 0, "stop": 10**15, "step": 1}],
    ["a", "c"], ["a", None], ["a", ["b"]],
])  # fmt: skip
def test_levels_that_are_no_columns_are_damage(levels, tmp_path):
    with pytest.raises(ConfigurationError, match="damaged"):
        lp.read_parquet(in_two_levels(pa.array(["x", "y"]), tmp_path, levels))
