"""What the pages of a parquet file say, and not its end, is what it takes."""

import io
import random
import struct
from itertools import pairwise

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lionproc as lp
from lionproc.errors import ConfigurationError
from lionproc.frame import parquet_memory, parquet_pages
from lionproc.frame.parquet_deltas import lengths, unpacked
from lionproc.frame.parquet_memory import _Table
from lionproc.frame.parquet_pages import _pages, chunk_of

SPARE = 2_000_000
CODECS = ("none", "snappy", "gzip", "zstd", "brotli", "lz4")
DATA, INDEX, DICTIONARY, DATA_V2 = range(4)
PLAIN, RLE, BIT_PACKED, DELTA_LENGTHS, DELTAS, BY_NUMBER = 0, 3, 4, 6, 7, 8
INT32, BYTES, FIXED = 1, 6, 7
DAMAGED = r"damaged \((Value|Index)Error\)"


def number(value, *, signed=True):
    """A number as Thrift writes it, and lengths."""
    value, made = value << signed, []
    while value > 127:
        made.append(value % 128 + 128)
        value >>= 7
    return bytes([*made, value])


def record(**fields):
    """A record, whose fields are called by their numbers: `_1=`."""
    made, last = b"", 0
    for name, value in fields.items():
        kind = 5 if isinstance(value, int) else value[0]
        place = int(name.strip("_"))
        made += bytes([(place - last) << 4 | kind])
        made += number(value) if isinstance(value, int) else value[1]
        last = place
    return made + b"\0"


def within(**fields):
    return 12, record(**fields)


def text(value):
    return 8, bytes([len(value)]) + value


def several(kind, values):
    return 9, bytes([len(values) << 4 | kind]) + b"".join(values)


def page(kind, values, way, body, *, size=None, levels=RLE):
    """A page, packed with zstd."""
    packed = pa.Codec("zstd").compress(body, asbytes=True)
    said = {"_1": kind, "_2": len(body) if size is None else size, "_3": len(packed)}
    if kind == DATA:
        said["_5"] = within(_1=values, _2=way, _3=levels, _4=RLE)
    elif kind == DICTIONARY:
        said["_7"] = within(_1=values, _2=way)
    elif kind == INDEX:
        said["_6"] = within()
    else:
        said["_8"] = within(_1=values, _2=0, _3=values, _4=way, _5=0, _6=0)
    return record(**said) + packed


def file_of(path, *pages, values, kind=BYTES, length=4, by=b"a writer", cut=0, may_miss=0):
    """A file of one column, whose end tells little of its pages."""
    body = b"".join(pages)
    column = record(
        _1=kind,
        _2=several(5, [number(PLAIN)]),
        _3=several(8, [b"\1t"]),
        _4=6,
        _5=(6, number(values)),
        _6=(6, number(10)),
        _7=(6, number(len(body) - cut)),
        _9=(6, number(4)),
    )
    chunk = record(_2=(6, number(4)), _3=(12, column))
    group = record(_1=several(12, [chunk]), _2=(6, number(10)), _3=(6, number(values)))
    schema = [
        record(_4=text(b"schema"), _5=1),
        record(_1=kind, _2=length, _3=may_miss, _4=text(b"t")),
    ]
    end = record(
        _1=2,
        _2=several(12, schema),
        _3=(6, number(values)),
        _4=several(12, [group]),
        _6=text(by),
    )
    path.write_bytes(b"PAR1" + body + end + struct.pack("<I", len(end)) + b"PAR1")
    return path


def texts(*values):
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def numbers(values):
    """Numbers of one text, each the first one of the dictionary."""
    return b"\1" + number(values) + b"\0"


def deltas(first, values):
    """Lengths that are all alike, in blocks of 128 that have no bytes but their heads."""
    head = number(128, signed=False) + b"\1" + number(values, signed=False) + number(first)
    return head + b"\0\0" * min(1000, -(-(values - 1) // 128))


def end_patched(path, said, instead):
    """The file, with another number at its end that takes as many bytes."""
    content = path.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    old, new = number(said), number(instead)
    new = bytes(byte | 128 for byte in new) + b"\x80" * (len(old) - len(new) - 1) + b"\0"
    assert old in content[start:]
    path.write_bytes(content[:start] + content[start:].replace(old, new[: len(old)]))
    return path


@pytest.fixture
def few(monkeypatch):
    """A machine of little memory, on which Arrow reads no table."""
    monkeypatch.setattr(parquet_memory, "spare_memory", lambda: SPARE)
    monkeypatch.setattr(pq, "read_table", None)


def test_a_list_is_as_long_as_its_page_says_and_not_as_the_end_of_the_file(tmp_path, few):
    many = 1_000_000
    lists = pa.ListArray.from_arrays([0, many], np.zeros(many, "int8"))
    path = tmp_path / "a.parquet"
    alone = {"data_page_size": 2**30, "write_batch_size": 2**30, "write_statistics": False}
    pq.write_table(pa.table({"t": lists}), path, compression="zstd", **alone)
    end_patched(path, many, 1)
    assert pq.read_metadata(path).row_group(0).column(0).num_values == 1
    with pytest.raises(ConfigurationError, match="would take"):
        lp.read_parquet(path)
    system = fsspec.filesystem("memory")
    system.pipe_file("/pages/a.parquet", path.read_bytes())
    with pytest.raises(ConfigurationError, match="would take"):
        lp.read_parquet("memory://pages/a.parquet")


def test_a_category_is_as_long_as_its_page_says_and_not_as_the_end_of_the_file(tmp_path, few):
    kinds = pa.DictionaryArray.from_arrays(pa.array([0] * 20, pa.int32()), ["x" * 500_000])
    path = tmp_path / "a.parquet"
    options = {"row_group_size": 4, "write_statistics": False, "compression": "zstd"}
    pq.write_table(pa.table({"t": kinds}), path, **options)
    end_patched(path, pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size, 100)
    with pytest.raises(ConfigurationError, match="would take"):
        lp.read_parquet(path)


LARGE = {
    "behind its values": [page(DATA, 1, PLAIN, bytes(10**7))],
    "of version 2": [page(DATA_V2, 1, PLAIN, bytes(10**7))],
    "a dictionary of empty texts": [
        page(DICTIONARY, 10**5, PLAIN, bytes(4 * 10**5)),
        page(DATA, 1, BY_NUMBER, numbers(1)),
    ],
    "behind one that is skipped": [page(INDEX, 0, 0, b""), page(DATA, 1, PLAIN, bytes(10**7))],
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_page_that_unpacks_to_more_than_there_is_is_not_unpacked(tmp_path, few, kind):
    for each in (BYTES, INT32):
        path = file_of(tmp_path / "a.parquet", *LARGE[kind], values=1, kind=each)
        with pytest.raises(ConfigurationError, match="would take"):
            lp.read_parquet(path)


def test_texts_of_a_row_that_begin_alike_are_reckoned_and_not_made(tmp_path, few, monkeypatch):
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", None)
    long = "x" * 10_000
    lists = pa.array([[long] * 1000])
    path = tmp_path / "a.parquet"
    alike = {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"}
    for version in ("1.0", "2.0"):
        pq.write_table(pa.table({"t": lists}), path, data_page_version=version, **alike)
        with pytest.raises(ConfigurationError, match="would take"):
            lp.read_parquet(path)
    body = deltas(0, 1) + deltas(10_000, 1) + b"x" * 10_000
    fixed = file_of(path, page(DATA, 1, DELTAS, body), values=1, kind=FIXED, length=10_000)
    monkeypatch.undo()
    assert len(lp.read_parquet(fixed)) == 1


def test_a_text_of_a_fixed_length_that_begins_with_long_ones_is_reckoned_too(tmp_path, few):
    body = deltas(10_000, 2000) + deltas(1, 2000) + b"x" * 2000
    path = file_of(
        tmp_path / "a.parquet", page(DATA, 2000, DELTAS, body), values=2000, kind=FIXED, length=4
    )
    with pytest.raises(ConfigurationError, match="would take"):
        lp.read_parquet(path)


@pytest.mark.parametrize("way", [DELTA_LENGTHS, DELTAS])
@pytest.mark.parametrize("kind", [DATA, DATA_V2])
def test_a_page_that_has_more_lengths_than_values_is_damaged(tmp_path, few, way, kind):
    path = file_of(tmp_path / "a.parquet", page(kind, 1, way, deltas(0, 10**9)), values=1)
    with pytest.raises(ConfigurationError, match=r"damaged \(ValueError\)"):
        lp.read_parquet(path)


def test_a_long_text_that_comes_behind_short_ones_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_memory, "spare_memory", lambda: SPARE)
    one = page(DICTIONARY, 1, PLAIN, texts(b"x" * 100_000))
    short, long = page(DATA, 1, PLAIN, texts(b"a")), page(DATA, 1000, BY_NUMBER, numbers(1000))
    path = file_of(tmp_path / "a.parquet", one, short, long, values=1001)
    with pytest.raises(ConfigurationError, match="would take"):
        lp.read_parquet(path)
    assert pq.read_table(path).nbytes > 10**8


STRANGE = {
    "a dictionary behind a page": [
        page(DATA, 1, PLAIN, texts(b"a")),
        page(DICTIONARY, 1, PLAIN, texts(b"x")),
        page(DATA, 1, BY_NUMBER, numbers(1)),
    ],
    "no size": [page(DATA, 2, PLAIN, texts(b"a", b"a"), size=2**31)],
    "no header": [record(_1=DATA, _2=2, _3=2) + b"ab"],
    "a header that is none": [b"\xff" * 100],
    "a header without an end": [record(_1=DATA, _2=2, _3=2)[:-1]],
    "another header": [record(_1=DATA, _2=2, _3=2, _7=within(_1=2, _2=0)) + b"ab"],
}


@pytest.mark.parametrize("kind", STRANGE)
def test_pages_that_nobody_writes_are_damaged(tmp_path, few, kind):
    path = file_of(tmp_path / "a.parquet", *STRANGE[kind], values=2)
    with pytest.raises(ConfigurationError, match=DAMAGED):
        lp.read_parquet(path)


def test_a_page_is_not_written_as_its_writer_never_did(tmp_path, few):
    one = page(DATA_V2, 1, DELTAS, deltas(0, 1) * 2)
    by = b"parquet-cpp version 1.5.1"
    path = file_of(tmp_path / "a.parquet", one, values=1, by=by)
    with pytest.raises(ConfigurationError, match=DAMAGED):
        lp.read_parquet(path)


def test_a_large_page_of_texts_that_begin_alike_is_not_looked_into(tmp_path, few, monkeypatch):
    monkeypatch.setattr(parquet_pages, "unpacked", None)
    one = page(DATA, 1, DELTAS, deltas(0, 1) * 2 + bytes(SPARE))
    path = file_of(tmp_path / "a.parquet", one, values=1)
    with pytest.raises(ConfigurationError, match="would take"):
        lp.read_parquet(path)


def test_which_texts_are_missing_may_be_told_as_it_was_long_ago(tmp_path, few):
    body = b"\xff" * 250 + deltas(10_000, 2000) + deltas(1, 2000) + b"x" * 2000
    one = page(DATA, 2000, DELTAS, body, levels=BIT_PACKED)
    path = file_of(tmp_path / "a.parquet", one, values=2000, may_miss=1)
    with pytest.raises(ConfigurationError, match="would take"):
        lp.read_parquet(path)


def test_a_column_of_an_old_writer_is_longer_than_the_end_of_the_file_says(tmp_path):
    one = page(DATA, 2, PLAIN, texts(b"a", b"b"))
    by = b"parquet-mr version 1.2.8"
    path = file_of(tmp_path / "a.parquet", one, values=2, by=by, cut=len(one) - 3)
    assert lp.read_parquet(path)["t"].tolist() == [b"a", b"b"]


def test_a_file_whose_pages_are_cut_off_is_damaged(tmp_path, few):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"t": [1.5] * 1000}), path, use_dictionary=False, compression="none")
    content = path.read_bytes()
    path.write_bytes(content[:4] + content[-1000:])
    with pytest.raises(ConfigurationError, match=DAMAGED):
        lp.read_parquet(path)


def test_pages_are_looked_at_as_far_as_arrow_reads_them(tmp_path):
    far = page(DATA, 10**9, PLAIN, b"")
    one = page(DATA, 2, PLAIN, texts(b"a", b"b"))
    path = file_of(tmp_path / "a.parquet", page(INDEX, 0, 0, b"x"), one, far, values=2)
    assert lp.read_parquet(path)["t"].tolist() == [b"a", b"b"]


def in_common(texts):
    """The letters that texts have in common with the one before."""
    return sum(
        next(
            (at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b),
            min(len(one), len(two)),
        )
        for one, two in pairwise([b"", *texts])
    )


WORDS = st.lists(st.none() | st.binary(max_size=3) | st.just(b"a text "), max_size=300)
WAYS = st.sampled_from(["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])
VERSIONS = st.sampled_from(["1.0", "2.0"])


@given(WORDS, WAYS, st.tuples(st.sampled_from(CODECS), VERSIONS), st.booleans())
def test_what_texts_have_in_common_is_added_to_what_stands_there(
    tmp_path_factory, words, way, packed, listed
):
    codec, version = packed
    path = tmp_path_factory.mktemp("a") / "a.parquet"
    column = pa.array([words], pa.list_(pa.binary())) if listed else pa.array(words, pa.binary())
    options = {"compression": codec, "data_page_version": version, "use_dictionary": False}
    pq.write_table(pa.table({"t": column}), path, column_encoding=way, **options)
    with pq.ParquetFile(path) as file, path.open("rb") as pages:
        said, column = file.metadata.row_group(0).column(0), file.schema.column(0)
        chunk = chunk_of(pages, said, column, file.metadata.created_by, 10**9)
        there = sum(max(each.unpacked, each.packed) for each in _pages(pages, said, ""))
    assert chunk.values == said.num_values
    more = in_common([word for word in words if word is not None])
    assert chunk.written == there + more * (way == "DELTA_BYTE_ARRAY")


@given(st.data())
def test_lengths_are_summed_up_whatever_their_blocks_are(data):
    values = data.draw(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=400))
    sink = io.BytesIO()
    table = pa.table(
        {"t": pa.array(values, pa.int32())}, pa.schema([pa.field("t", pa.int32(), nullable=False)])
    )
    packed = {"use_dictionary": False, "column_encoding": "DELTA_BINARY_PACKED"}
    pq.write_table(table, sink, compression="none", write_statistics=False, **packed)
    body = sink.getvalue()
    start = body.index(b"\x80\x01\x04")
    total, end = lengths(body, start, len(values))
    assert total == sum(values)
    assert lengths(body + b"more", start, len(values)) == (total, end)


def test_lengths_of_a_wide_part_are_summed_up_piece_by_piece():
    many = 200_001
    steps = np.arange(many - 1) % 2  # of one bit each, in one part
    part = np.packbits(np.append(steps, np.zeros(2**18 - len(steps), int)), bitorder="little")
    head = (
        number(2**18, signed=False)
        + b"\1"
        + number(many, signed=False)
        + number(5)
        + number(3)
        + b"\1"
    )
    expected = int((5 + np.append(0, np.cumsum(steps + 3))).sum())
    data = head + part.tobytes()
    assert lengths(data, 0, many) == (expected, len(data))
    with pytest.raises(ValueError, match="no bytes for"):
        lengths(data[:-1], 0, many)


class Counted(io.BytesIO):
    """A file that knows how much of it was read at each time."""

    def __init__(self, content):
        super().__init__(content)
        self.reads = []

    def read(self, size=-1):
        self.reads.append(size)
        return super().read(size)


@pytest.mark.parametrize(("page_size", "most"), [(2**16, 70), (1, 80)])
def test_an_ordinary_file_is_looked_at_in_few_and_small_pieces(tmp_path, page_size, most):
    path = tmp_path / "a.parquet"
    table = pa.table({"t": np.random.default_rng(1).random(2**19 if page_size > 1 else 4000)})
    options = {"use_dictionary": False, "compression": "none", "write_statistics": False}
    pq.write_table(table, path, data_page_size=page_size, write_batch_size=page_size, **options)
    file = Counted(path.read_bytes())
    with pq.ParquetFile(path) as opened:
        said = opened.metadata.row_group(0).column(0)
        assert chunk_of(file, said, opened.schema.column(0), "", 10**9).values == len(table)
    assert len(file.reads) < most
    assert max(file.reads) <= 4096


def test_pages_of_hadoop_are_unpacked():
    codec = pa.Codec("lz4_raw")
    parts = [b"a" * 100, b"b" * 50]
    framed = b"".join(
        struct.pack(">II", len(part), len(packed)) + packed
        for part in parts
        for packed in [codec.compress(part, asbytes=True)]
    )
    assert unpacked(framed, 150, "UNKNOWN") == b"".join(parts)
    alone = codec.compress(parts[0], asbytes=True)
    assert unpacked(alone, 100, "UNKNOWN") == parts[0]


@pytest.mark.parametrize("block", [128, 2048, 2**17])
@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("count", [2, 33, 129, 5_000])
def test_lengths_are_those_of_which_they_were_written(block, parts, count):
    draw = random.Random(count)
    those = [draw.randrange(2 ** (1 + n % 17)) for n in range(count)]
    written, at = bytearray(), 1
    for number in (block, parts, count):
        written += leb(number)
    written += leb(2 * those[0])
    size = block // parts
    while at < count:
        steps = [b - a for a, b in pairwise(those[at - 1 : at + block])]
        least = min(steps)
        written += leb(2 * least if least >= 0 else -2 * least - 1)
        of_parts = [steps[start : start + size] for start in range(0, block, size)]
        widths = [max((s - least for s in part), default=0).bit_length() for part in of_parts]
        written += bytes(widths)
        for part, width in zip(of_parts, widths, strict=True):
            if part:
                bits = sum((s - least) << (n * width) for n, s in enumerate(part))
                written += bits.to_bytes(size * width // 8, "little")
        at += block
    assert lengths(bytes(written), 0, count) == (sum(those), len(written))


def leb(number):
    """A number as Thrift and these pages have it: seven bits in a byte, the low ones first."""
    made = []
    while number > 127:
        made.append(number % 128 + 128)
        number //= 128
    return bytes([*made, number])


def test_pages_are_looked_into_no_further_than_to_see_that_they_take_too_much(
    tmp_path, monkeypatch
):
    texts = [f"begins alike {n:08}" for n in range(20_000)]
    table = pa.table(dict.fromkeys("abcdefgh", texts))
    how = {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY", "data_page_size": 2_000}
    pq.write_table(table, tmp_path / "a.parquet", **how)
    looks, inner = [], parquet_pages.lengths
    monkeypatch.setattr(parquet_pages, "lengths", lambda *of: looks.append(of) or inner(*of))
    many = []
    for most in (10**9, 1_000_000):
        looks.clear()
        with (
            pq.ParquetFile(tmp_path / "a.parquet") as file,
            (tmp_path / "a.parquet").open("rb") as pages,
        ):
            assert (_Table(file, pages, most).least() > most) is (most < 10**9)
        many.append(len(looks))
    assert many[1] < many[0] / 4
