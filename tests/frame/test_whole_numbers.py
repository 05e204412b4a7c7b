"""Whole numbers are read as they are in a file, though others are missing between them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lionproc as lp
from lionproc.cli import main
from lionproc.frame.arrow_extension import to_frame, to_table
from lionproc.frame.index_levels import concatenated

BIG = 2**60 + 1  # no float is
NUMBERS = st.none() | st.integers(-(2**63), 2**63 - 1)


def plain(cell):
    """A cell in Python's own types."""
    if isinstance(cell, dict):
        return {key: plain(value) for key, value in cell.items()}
    if isinstance(cell, list | tuple | np.ndarray):
        return [plain(value) for value in cell]
    return cell


def test_ids_that_no_float_holds_stay_themselves_beside_gaps():
    frame = to_frame(
        pa.table(
            {"signed": [BIG, None, -BIG], "unsigned": pa.array([2**64 - 1, None, 1], pa.uint64())}
        )
    )
    assert frame.dtypes.astype(str).to_dict() == {"signed": "Int64", "unsigned": "UInt64"}
    assert frame["signed"].dropna().tolist() == [BIG, -BIG]
    assert frame["unsigned"].dropna().tolist() == [2**64 - 1, 1]


def test_what_floats_hold_is_read_as_pandas_reads_it():
    columns = {"small": [1, None, -(2**53)], "none": pa.nulls(3, pa.int64()), "whole": [BIG, 1, 2]}
    frame = to_frame(pa.table(columns))
    assert frame.dtypes.astype(str).tolist() == ["float64", "float64", "int64"]


@pytest.mark.parametrize("dtype", ["Int64", "int64[pyarrow]", "UInt64", "Int32"])
def test_dtypes_of_pandas_that_have_gaps_stay_what_they_are(dtype):
    frame = pd.DataFrame({"a": pd.array([1 if dtype == "Int32" else BIG, None], dtype=dtype)})
    pd.testing.assert_frame_equal(to_frame(to_table(frame)), frame)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "id": NUMBERS,
                "ids": st.none() | st.lists(NUMBERS),
                "in": st.none() | st.lists(st.fixed_dictionaries({"id": NUMBERS})),
            }
        ),
        min_size=1,
    )
)
def test_numbers_within_cells_come_back_whatever_is_missing(cells):
    frame = pd.DataFrame({"cell": pd.Series(cells, dtype=object), "n": range(len(cells))})
    again = to_frame(to_table(frame))
    assert [plain(cell) for cell in again["cell"]] == cells
    assert again["n"].tolist() == list(range(len(cells)))


def test_maps_and_lists_of_one_length_have_their_numbers_too():
    pairs, fixed = pa.map_(pa.string(), pa.int64()), pa.list_(pa.int64(), 2)
    table = pa.table(
        {
            "pairs": pa.array([[("a", BIG), ("b", None)], None], pairs),
            "fixed": pa.array([[BIG, None], None], fixed),
        }
    )
    frame = to_frame(table)
    assert frame["pairs"].tolist() == [[("a", BIG), ("b", None)], None]
    assert plain(frame["fixed"].tolist()) == [[BIG, None], None]


@pytest.mark.parametrize("dtype", ["object", "Int64", "UInt64", "int64[pyarrow]"])
@pytest.mark.parametrize("levels", [["id"], ["id", "n"]])
def test_an_index_of_ids_with_gaps_comes_back(levels, dtype):
    ids = pd.array([BIG, None, BIG + 2], dtype=dtype)
    frame = pd.DataFrame({"id": ids, "n": [1, 2, 3], "a": ["x", "y", "z"]}).set_index(levels)
    again = to_frame(to_table(frame))
    index, was = (each.index.get_level_values("id") for each in (again, frame))
    # pandas 2 itself makes floats of a level of objects.
    assert (index.dtype, index.dropna().tolist()) == (was.dtype, was.dropna().tolist())
    assert was.dtype == "float64" or index.dropna().tolist() == [BIG, BIG + 2]
    assert again["a"].tolist() == ["x", "y", "z"]


def test_files_of_one_folder_keep_the_numbers_of_each_other():
    whole, gaps, others = [BIG, 7], [1, None], [0.5, None]
    frames = [to_frame(pa.table({"id": cells, "n": [1, 2]})) for cells in (whole, gaps)]
    both = concatenated(frames)
    assert both["id"].dropna().tolist() == [BIG, 7, 1]
    assert both["n"].tolist() == [1, 2, 1, 2]
    assert frames[1]["id"].dtype == "float64"  # what was given stays as it is
    # Floats stay floats, whatever stands in other files.
    mixed = concatenated([frames[0], pd.DataFrame({"id": others, "n": [1, 2]})])
    assert mixed["id"].dtype == "float64"
    far = concatenated([frames[0], pd.DataFrame({"id": [1e300, None], "n": [1, 2]})])
    assert far["id"].dtype == "float64"


# Of a level of objects beside another one pandas 2 itself makes floats.
@pytest.mark.parametrize(
    ("levels", "dtype"), [(["id"], "object"), (["id"], "Int64"), (["id", "n"], "Int64")]
)
def test_an_index_of_several_files_keeps_its_numbers(levels, dtype):
    parts = [[BIG, None], [BIG + 2, 7], [1, None]]
    frames = [
        pd.DataFrame({"id": pd.array(ids, dtype=dtype), "n": [1, 2], "a": ["x", "y"]}).set_index(
            levels
        )
        for ids in parts
    ]
    whole = concatenated([to_frame(to_table(frame)) for frame in frames])
    assert whole.index.get_level_values("id").dropna().tolist() == [BIG, BIG + 2, 7, 1]
    assert whole.index.names == levels


def test_an_index_of_ids_with_gaps_is_written_with_its_numbers(server, tmp_path, monkeypatch):
    ids = pd.Index([BIG, None, BIG + 2], dtype=object, name="id")
    frame = pd.DataFrame({"text": ["x", "y", "z"]}, index=ids)
    asked_of(server, monkeypatch, tmp_path)
    pq.write_table(to_table(frame), "in.parquet")
    main(["process", "in.parquet", "-p", "q {text}", "-m", "openai/m", "--save", "out.csv"])
    assert pd.read_csv("out.csv", dtype="string")["id"].tolist() == [str(BIG), pd.NA, str(BIG + 2)]
    assert frame.llm.to_dataset()["id"][:] == [BIG, None, BIG + 2]


def test_rows_of_ids_with_gaps_are_not_bought_again_when_they_were_saved(server, tmp_path):
    model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
    cells = [{"id": BIG, "of": [1, None]}, {"id": None, "of": None}, {"id": BIG + 2, "of": []}]
    frame = pd.DataFrame({"id": pd.Series([BIG, None, BIG + 2], dtype=object), "user": cells})
    ask = {"into": "y", "model": model, "progress": False, "on_missing": "send"}
    frame.llm.process("{id} {user}", save=tmp_path / "out", chunk_size=2, **ask)
    sent = len(server.requests)
    again = lp.read_parquet(tmp_path / "out")
    again.llm.process("{id} {user}", overwrite=True, **ask)
    assert again["id"].tolist() == [BIG, None, BIG + 2]
    assert len(server.requests) == sent == 3


def asked_of(server, monkeypatch, folder):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)


def test_the_command_asks_about_each_id_of_a_table_with_gaps(server, tmp_path, monkeypatch):
    asked_of(server, monkeypatch, tmp_path)
    pq.write_table(pa.table({"id": [BIG, None, BIG + 2]}), "in.parquet")
    main(["process", "in.parquet", "-p", "q {id}", "-m", "openai/m", "--save", "out.csv"])
    asked = {request.body["messages"][-1]["content"] for request in server.requests}
    assert asked == {f"q {BIG}", f"q {BIG + 2}"}
    assert pd.read_csv("out.csv", dtype="string")["id"].tolist() == [str(BIG), pd.NA, str(BIG + 2)]
