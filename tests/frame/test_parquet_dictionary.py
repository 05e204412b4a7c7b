"""A column has a dictionary in its file where that pays, and not of very many short texts.

Arrow's table of different values has no seed, so what falls into one place of it takes the square.
"""

import contextlib
from hashlib import blake2b

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lionproc as lp
from lionproc.frame import export
from lionproc.frame import parquet_dictionary as room
from lionproc.frame.export import check_frame_can_be_saved, write_parquet

MANY = [blake2b(b"%d" % number, digest_size=8).hexdigest() for number in range(20_000)]


def typed(values, kind):
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


COLUMNS = {
    "texts": pd.Series(MANY),
    "bytes": typed([text.encode() for text in MANY], pa.binary()),
    "large": typed(MANY, pa.large_string()),
    "of one length": typed([text.encode() for text in MANY], pa.binary(16)),
    "categories": pd.Series(pd.Categorical(MANY)),
    "lists": typed([MANY[:10_000], MANY[10_000:]], pa.list_(pa.string())),
    "records": typed([{"a": [text], "n": 1} for text in MANY], pa.struct(
        [("a", pa.list_(pa.string())), ("n", pa.int64())]
    )),
    "maps": typed([[(text, "same")] for text in MANY], pa.map_(pa.string(), pa.string())),
    "one cell": typed([MANY], pa.list_(pa.string())),
}  # fmt: skip
with contextlib.suppress(pa.ArrowNotImplementedError):  # older versions of Arrow write no views
    pq.write_table(pa.table({"v": pa.array(["a"], pa.string_view())}), pa.BufferOutputStream())
    COLUMNS["view"] = typed(MANY, pa.string_view())


@pytest.mark.parametrize("which", COLUMNS)
def test_very_many_different_short_texts_have_no_dictionary(which, tmp_path, monkeypatch):
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


def test_each_group_of_rows_is_looked_at_for_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "GROUP_ROWS", 20_000)
    monkeypatch.setattr(export, "GROUP_ROWS", 20_000)
    long = ["x" * 900 + text for text in MANY]  # a dictionary of these is full after a thousand
    frame = pd.DataFrame({"t": [*long, *MANY], "u": [*long, *long]})
    assert room.with_dictionary(pa.Table.from_pandas(frame)) == ["u"]
    write_parquet(frame, tmp_path / "out.parquet", {})
    assert pq.read_metadata(tmp_path / "out.parquet").num_row_groups == 2
    assert lp.read_parquet(tmp_path / "out.parquet").equals(frame)


def texts_of_one_hash(most):
    """Texts of 16 bytes, of which Arrow takes a product of each half; the second undoes the first."""
    first, second, word = 11400714785074694791, 14029467366897019727, 2**64 - 1
    for number in range(1, most + 1):
        upper = (number * second & word).to_bytes(8, "little")
        lower = int.from_bytes(upper, "little") * pow(first, -1, 2**64) & word
        yield number.to_bytes(8, "little") + lower.to_bytes(8, "little")


def test_texts_that_arrow_tells_apart_one_by_one_have_no_dictionary(tmp_path):
    same = list(texts_of_one_hash(5_000))
    frame = pd.DataFrame({
        "same": typed(same, pa.binary()),
        "within others": typed(same[:2_500] + [t.encode() for t in MANY[:2_500]], pa.binary()),
        "others": MANY[:5_000],
        "categories": pd.Categorical(MANY[:2_500] * 2),
    })  # fmt: skip
    assert room.with_dictionary(pa.Table.from_pandas(frame)) == ["others", "categories"]
    folded = frame["same"].array.__arrow_array__().dictionary_encode()
    assert room.with_dictionary(pa.table({"folded": folded, "o": MANY[:5_000]})) == ["o"]
    write_parquet(frame, tmp_path / "out.parquet", {})
    pd.testing.assert_frame_equal(lp.read_parquet(tmp_path / "out.parquet"), frame)
