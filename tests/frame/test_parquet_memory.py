"""How much memory a parquet file takes, told before it is read."""

import os
import sys
from datetime import date, time
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lionproc as lp
from lionproc.cli.reading import read
from lionproc.engine import spare_memory
from lionproc.errors import ConfigurationError
from lionproc.frame import parquet_memory
from lionproc.frame.export import write_parquet
from lionproc.frame.parquet_memory import _Table
from lionproc.frame.save_target import part_of

ROWS = 20_000
TEXT = "a text of forty letters, in each row.. " * 25
RECORD = pa.struct([("a", pa.int8())])


def folded(text, rows=ROWS):
    """A column of one text, which stands in a file once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [text]).cast(
        pa.string()
    )


def in_lists(values, of):
    return pa.FixedSizeListArray.from_arrays(values, of)


STRANGE = {
    "one long text in each row": folded(TEXT),
    "in lists": in_lists(folded(TEXT), 2),
    "in records": pa.StructArray.from_arrays([folded(TEXT)], ["a"]),
    "in maps": pa.MapArray.from_arrays(list(range(0, ROWS + 1, 20)), folded("k"), folded(TEXT)),
    "behind rows without one": pa.chunked_array([pa.nulls(ROWS, pa.string()), folded(TEXT)]),
    "of which many begin alike": pa.array([f"{TEXT}{n:05}" for n in range(ROWS)]),
    "no texts of a fixed length": pa.nulls(ROWS, pa.binary(1000)),
    "no lists of a fixed length": pa.nulls(ROWS, pa.list_(pa.int64(), 1000)),
    "lists of them": pa.array([[None] * 1000] * 20, pa.list_(pa.list_(pa.int64(), 1000))),
    "empty lists": pa.array([[]] * ROWS, pa.list_(pa.int64())),
    "empty records": pa.array([[{"a": None}] * 1000] * 20, pa.list_(RECORD)),
}


def file_of(column, path):
    table = pa.table({"t": column})
    alike = {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY", "compression": "zstd"}
    pq.write_table(table, path, **(alike if column is STRANGE["of which many begin alike"] else {}))
    return table


@pytest.mark.parametrize("kind", STRANGE)
def test_a_file_of_a_few_bytes_that_takes_more_than_there_is_is_refused(
    tmp_path, monkeypatch, kind
):
    monkeypatch.setattr(parquet_memory, "spare_memory", lambda: 2_000_000)
    path = tmp_path / "of a stranger.parquet"
    table = file_of(STRANGE[kind], path)
    assert 100 * path.stat().st_size < 3_500_000
    with monkeypatch.context() as patch:
        patch.setattr(pq, "read_table", None)
        for door in (lp.read_parquet, read):
            with pytest.raises(ConfigurationError, match=r"would take.*LIONPROC_TRUST"):
                door(str(path))
    monkeypatch.setenv("LIONPROC_TRUST", str(tmp_path))
    try:
        pq.read_table(path)
    except pa.ArrowInvalid:  # what an older Arrow writes of such lists it does not read itself
        with pytest.raises(ConfigurationError, match="damaged"):
            lp.read_parquet(path)
    else:
        assert len(lp.read_parquet(path)) == len(table)


@pytest.mark.skipif(os.name != "posix", reason="there is no hole in a file without a word")
def test_a_hole_in_a_file_is_none_of_its_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_memory, "spare_memory", lambda: 2_000_000)
    path = tmp_path / "a.parquet"
    file_of(STRANGE["one long text in each row"], path)
    content = path.read_bytes()
    end = int.from_bytes(content[-8:-4], "little") + 8
    with path.open("r+b") as file:
        file.truncate(len(content) - end + 2**30)
        file.seek(0, os.SEEK_END)
        file.write(content[-end:])
    with pytest.raises(ConfigurationError, match=r"would take.*LIONPROC_TRUST"):
        lp.read_parquet(path)


def test_a_file_that_says_that_each_of_its_texts_is_written_out_is_not_believed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(parquet_memory, "spare_memory", lambda: 2_000_000)
    path = tmp_path / "a.parquet"
    file_of(STRANGE["one long text in each row"], path)
    ways = bytes([0x19, 0x35, 0, 6, 16])  # as Thrift writes: a list of plain, RLE, dictionary
    start, found, end = path.read_bytes().partition(ways)
    path.write_bytes(start + found[:-1] + bytes([0]) + end)
    assert set(pq.read_metadata(path).row_group(0).column(0).encodings) == {"PLAIN", "RLE"}
    assert len(pq.read_table(path)) == ROWS
    with pytest.raises(ConfigurationError, match="would take"):
        lp.read_parquet(path)


def varint(number):
    """A number as Thrift writes it."""
    number, made = 2 * number, []
    while number > 127:
        made.append(number % 128 + 128)
        number //= 128
    return bytes([*made, number])


def test_a_file_that_says_that_its_texts_unpack_to_a_few_bytes_is_not_believed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(parquet_memory, "spare_memory", lambda: 2_000_000)
    path = tmp_path / "a.parquet"
    texts = pa.table({"t": pa.array(["short", *[TEXT] * (ROWS - 1)])})
    pq.write_table(texts, path, use_dictionary=False, compression="zstd", write_statistics=False)
    said = varint(pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size)
    path.write_bytes(path.read_bytes().replace(said, b"\x82" + b"\x80" * (len(said) - 2) + b"\0"))
    assert pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size == 1
    assert len(pq.read_table(path)) == ROWS
    with pytest.raises(ConfigurationError, match="would take"):
        lp.read_parquet(path)


@pytest.mark.parametrize("kind", STRANGE)
def test_what_a_file_is_said_to_take_is_near_what_it_takes(tmp_path, kind):
    path = tmp_path / "a.parquet"
    table = file_of(STRANGE[kind], path)
    with pq.ParquetFile(path) as file, path.open("rb") as pages:
        bounds = _Table(file, pages, 10**12)
    objects = 200 * len(table) * any(word in kind for word in ("list", "record", "maps"))
    objects += 200 * 20_000 * (kind in {"lists of them", "empty records"})
    objects += 264 * ROWS * (kind == "in maps") + 32 * 20_000 * ("records" in kind)
    measured = bounds.measured(path, 10**12)
    assert table.nbytes * 0.9 < measured < 1.1 * table.nbytes + 16 * ROWS + objects
    assert measured <= 1.1 * bounds.most_of_longest(path)
    assert bounds.most_of_longest(path) <= bounds.most()


def test_what_an_honest_run_has_saved_is_read_however_often_a_prompt_is_there(
    tmp_path, monkeypatch
):
    frame = pd.DataFrame({"prompt": [TEXT] * ROWS, "label": ["positive", "negative"] * (ROWS // 2)})
    write_parquet(frame, tmp_path / "run.parquet", {})  # of 20 MB, in a few KB
    pd.testing.assert_frame_equal(lp.read_parquet(tmp_path / "run.parquet"), frame)
    monkeypatch.setattr(parquet_memory, "spare_memory", lambda: 2_000_000)
    with pytest.raises(ConfigurationError, match="would take"):
        lp.read_parquet(tmp_path / "run.parquet")
    numbers = [f"{n} {hash(str(n))}" for n in range(ROWS)]  # what is in proportion goes anyhow
    kinds = frame.assign(id=numbers, prompt=frame["prompt"].astype("category"))
    write_parquet(kinds, tmp_path / "kinds.parquet", {})
    pd.testing.assert_frame_equal(lp.read_parquet(tmp_path / "kinds.parquet"), kinds)


def test_lists_of_texts_in_several_row_groups_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_memory, "spare_memory", lambda: 2_000_000)
    texts = [TEXT, *(f"{n} {hash(str(n))}" for n in range(2000))] * 10
    frame = pd.DataFrame({"t": [list(pair) for pair in zip(texts, texts, strict=True)]})
    pq.write_table(pa.table(frame), tmp_path / "a.parquet", row_group_size=5000)
    read = lp.read_parquet(tmp_path / "a.parquet")["t"]
    assert [list(pair) for pair in read] == frame["t"].tolist()


def test_the_parts_of_a_folder_are_refused_for_what_they_take_together(tmp_path, monkeypatch):
    parts = 10
    frame = pd.DataFrame({"prompt": [TEXT] * 1000})
    for number in range(parts):
        write_parquet(frame, tmp_path / part_of(number, "r"), {})
    assert len(lp.read_parquet(tmp_path)) == parts * 1000
    monkeypatch.setattr(parquet_memory, "TIMES", 1)
    monkeypatch.setattr(parquet_memory, "spare_memory", lambda: 5_000_000)  # each has one
    with pytest.raises(ConfigurationError, match=r"part-0000[4-6]-.* would take"):
        lp.read_parquet(tmp_path)


def test_a_machine_spares_a_quarter_of_its_memory_or_of_its_containers(tmp_path, monkeypatch):
    pages = {"SC_PHYS_PAGES": 2**22, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(spare_memory.os, "sysconf", pages.get, raising=False)
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(spare_memory, "_LIMITS", (str(limit),))
    spared = spare_memory.spare_memory.__wrapped__
    assert spared() == 2**32
    for written, spare in (("max\n", 2**32), (f"{2**33}\n", 2**31), (f"{2**20}\n", 2**30)):
        limit.write_text(written)
        assert spared() == spare


def objects_of(cell):
    """The objects of Python that a cell of a frame is made of."""
    yield cell
    if isinstance(cell, dict):
        cell = [*cell.keys(), *cell.values()]
    if isinstance(cell, list | tuple):
        for part in cell:
            yield from objects_of(part)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([Decimal("0.01")] * ROWS),
        pa.array([[Decimal("0.01")] * 1000] * 20),
        pa.array([time(0, 0, n // 1000, n) for n in range(ROWS)]),
        pa.array([date.fromordinal(n + 1) for n in range(ROWS)]),
        pa.MapArray.from_arrays([0, ROWS], list(range(ROWS)), list(range(ROWS))),
        pa.StructArray.from_arrays([pa.array(range(ROWS))] * 9, list("abcdefghi")),
    ],
    ids=["decimals", "lists of decimals", "times", "days", "maps", "records"],
)
def test_what_pandas_makes_objects_of_is_reckoned_as_them(tmp_path, column):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"t": column}), path)
    with pq.ParquetFile(path) as file, path.open("rb") as pages:
        told = _Table(file, pages, 10**12).most()
    cells = lp.read_parquet(path)["t"].tolist()
    cells = [cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in cells]
    made = {id(each): sys.getsizeof(each) for cell in cells for each in objects_of(cell)}
    assert 0.9 * sum(made.values()) < told < 3 * sum(made.values())


def test_values_that_are_told_apart_are_reckoned_as_that(tmp_path):
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame({"a": pd.Categorical([1, 2] * ROWS), "b": [1, 2] * ROWS})
    write_parquet(frame, path, {})
    with pq.ParquetFile(path) as file, path.open("rb") as pages:
        assert _Table(file, pages, 10**12).least() > 2 * ROWS * (40 + 8 + 8)


def test_columns_are_reckoned_also_where_there_are_no_rows(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({f"c{n}": pa.array([], pa.int8()) for n in range(1000)}), path)
    with pq.ParquetFile(path) as file, path.open("rb") as pages:
        assert _Table(file, pages, 10**12).least() > 1000 * 4000
