"""A column has a dictionary in its file where that pays, and not of very many short texts.

Arrow's table of different values has no seed, so what falls into one place of it takes the square.
"""

import contextlib
from hashlib import blake2b

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lionproc as lp
from lionproc.frame import export
from lionproc.frame import parquet_dictionary as room
from lionproc.frame.export import check_frame_can_be_saved, write_parquet

MANY = [blake2b(b"%d" % number, digest_size=8).hexdigest() for number in range(20_000)]


def texts_of_one_hash(most):
    """Texts of 16 letters, of which Arrow takes a product of each half; the second undoes the first."""
    numbers = np.arange(1, 400 * most, dtype=np.uint64)
    first = sum(
        (numbers >> np.uint64(7 * n) & np.uint64(127)) << np.uint64(8 * n) for n in range(8)
    )
    with np.errstate(over="ignore"):
        other = (first * np.uint64(14029467366897019727)).byteswap().byteswap()
        other = other * np.uint64(pow(11400714785074694791, -1, 2**64))
    both = np.stack([first, other], axis=1)
    letters = both.view(np.uint8).reshape(-1, 16)
    kept = letters[(letters < 128).all(axis=1)]
    return [bytes(each).decode() for each in kept[:most]]


SAME = texts_of_one_hash(5_000)


def typed(values, kind):
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


COLUMNS = {
    "texts": pd.Series(SAME),
    "within others": pd.Series([*SAME[:2_500], *MANY[:7_500]]),
    "behind others": pd.Series([*MANY[:5_000], *SAME]),
    "bytes": typed([text.encode() for text in SAME], pa.binary()),
    "large": typed(SAME, pa.large_string()),
    "of one length": typed([text.encode() for text in SAME], pa.binary(16)),
    "categories": pd.Series(pd.Categorical(SAME)),
    "lists": typed([SAME[:2_500], SAME[2_500:]], pa.list_(pa.string())),
    "records": typed([{"a": [text], "n": 1} for text in SAME], pa.struct(
        [("a", pa.list_(pa.string())), ("n", pa.int64())]
    )),
    "maps": typed([[(text, "same")] for text in SAME], pa.map_(pa.string(), pa.string())),
    "one cell": typed([SAME], pa.list_(pa.string())),
}  # fmt: skip
with contextlib.suppress(pa.ArrowNotImplementedError):  # older versions of Arrow write no views
    pq.write_table(pa.table({"v": pa.array(["a"], pa.string_view())}), pa.BufferOutputStream())
    COLUMNS["view"] = typed(SAME, pa.string_view())


@pytest.mark.parametrize("which", COLUMNS)
def test_texts_that_arrow_tells_apart_one_by_one_have_no_dictionary(which, tmp_path, monkeypatch):
    ways = []
    inner = pq.write_table

    def spy(table, sink, **more):
        ways.extend([more.get("use_dictionary", True)] * (table.num_rows > 0))
        inner(table, sink, **more)

    monkeypatch.setattr(pq, "write_table", spy)
    frame = pd.DataFrame({"c": COLUMNS[which]})
    check_frame_can_be_saved(frame)  # which writes one row
    write_parquet(frame, tmp_path / "out.parquet", {})
    group = pq.read_metadata(tmp_path / "out.parquet").row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    assert [each.has_dictionary_page for each in columns] == [
        "n" in each.path_in_schema.split(".") or each.path_in_schema.endswith(".value")
        for each in columns
    ]
    assert True not in ways
    read = lp.read_parquet(tmp_path / "out.parquet")
    assert read["c"].dtype == frame["c"].dtype
    assert read["c"].tolist() == frame["c"].tolist()


@pytest.mark.parametrize(("different", "length"), [(500, 2000), (10_000, 60), (5_000, 150), (2, 1)])
def test_texts_that_stand_there_often_are_written_once(different, length, tmp_path):
    texts = [f"{row % different:05}".rjust(length, "x") for row in range(40_000)]
    write_parquet(pd.DataFrame({"t": texts}), tmp_path / "out.parquet", {})
    held = pq.read_metadata(tmp_path / "out.parquet").row_group(0).column(0)
    pq.write_table(pa.table({"t": texts}), tmp_path / "arrow.parquet")
    arrow = pq.read_metadata(tmp_path / "arrow.parquet").row_group(0).column(0)
    assert held.total_uncompressed_size < arrow.total_uncompressed_size + 1000  # of checksums
    assert held.total_uncompressed_size < 2 * 5 * different * length + 100_000


@pytest.mark.parametrize("kind", [str, "category", pd.ArrowDtype(pa.list_(pa.string()))], ids=str)
def test_very_many_other_texts_are_written_as_arrow_does(kind, tmp_path):
    texts = MANY * 5
    cells = [[text, text] for text in texts] if isinstance(kind, pd.ArrowDtype) else texts
    frame = pd.DataFrame({"t": pd.Series(cells, dtype=kind)})
    write_parquet(frame, tmp_path / "out.parquet", {})
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "arrow.parquet")
    ours, arrow = (
        pq.read_metadata(tmp_path / f"{name}.parquet").row_group(0).column(0)
        for name in ("out", "arrow")
    )
    assert ours.has_dictionary_page
    assert ours.total_uncompressed_size < arrow.total_uncompressed_size + 1000  # of checksums
    assert pq.read_schema(tmp_path / "out.parquet").field("t").type == (
        pq.read_schema(tmp_path / "arrow.parquet").field("t").type
    )


@pytest.mark.parametrize(("many", "length"), [(100, 100_000), (12_000, 900)])
def test_categories_of_long_texts_are_a_dictionary_too(many, length, tmp_path):
    texts = [text.rjust(length, "x") for text in MANY[:many]]
    frame = pd.DataFrame({"t": pd.Categorical(texts)})
    path = write_parquet(frame, tmp_path / "out.parquet", {})
    assert pa.types.is_dictionary(pq.read_schema(path).field("t").type)
    assert pd.read_parquet(path).equals(frame)


def test_each_group_of_rows_is_looked_at_for_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "GROUP_ROWS", 5_000)
    monkeypatch.setattr(export, "GROUP_ROWS", 5_000)
    frame = pd.DataFrame({"t": [*MANY[:5_000], *SAME], "u": MANY[:10_000]})
    assert room.with_dictionary(pa.Table.from_pandas(frame)) == ["u"]
    write_parquet(frame, tmp_path / "out.parquet", {})
    assert pq.read_metadata(tmp_path / "out.parquet").num_row_groups == 2
    assert lp.read_parquet(tmp_path / "out.parquet").equals(frame)


def test_values_of_a_dictionary_of_arrow_are_looked_at_too():
    folded = pa.array(SAME).dictionary_encode()
    others = pa.array(MANY[:5_000]).dictionary_encode()
    assert room.with_dictionary(pa.table({"folded": folded, "others": others})) == ["others"]
