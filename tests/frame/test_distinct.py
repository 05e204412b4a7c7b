"""The values of a column are told apart as pandas does it, by nothing that a file can foresee."""

import datetime as dt
import tracemalloc
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lionproc  # noqa: F401  (the accessor)
from lionproc.frame import answer_digests
from lionproc.frame import distinct as room
from lionproc.frame.answer_digests import digests_of
from lionproc.frame.distinct import distinct
from lionproc.frame.look import looked_at

TEXTS = ["bb", "Aa", "BB", "", "ä", "\U0001f600", "\uffee", "a" * 32]
NUMBERS = [3, -1, 0, 2**62, 7, -(2**40), 1, 100]
FLOATS = [3.5, -0.0, 0.0, np.inf, -np.inf, 1e-300, 2.0, -7.25]
YEARS = (2024, 1970, 1950, 2000, 1999, 2001, 2002, 1900)
TIMES = [dt.datetime.fromisoformat(f"{year}-03-01T12:00:00") for year in YEARS]
DAYS = [time.date() for time in TIMES]
LENGTHS = [dt.timedelta(seconds=number) for number in (5, -3, 0, 9, 86400, 1, 2, 3)]
MEMBERS = {
    "str": TEXTS,
    "string[pyarrow]": TEXTS,
    "string[python]": TEXTS,
    "object": ["\ud800", *TEXTS],
    "int64": NUMBERS,
    "Int64": NUMBERS,
    "uint64": [2**63 + 1, *map(abs, NUMBERS)],
    "Int8": [3, -1, 0, 127, -128, 1, 2, 7],
    "float64": FLOATS,
    "float32": [3.5, 0.0, 1.0, 2.0, -1.0, 4.0, 5.0, 6.0],
    "Float64": FLOATS,
    "complex128": [1j, 2, 3 + 1j, 0, -1, 4, 5, 6],
    "bool": [True, False],
    "boolean": [True, False],
    "category": TEXTS,
    "datetime64[us]": TIMES,
    "datetime64[ns, Europe/Berlin]": TIMES,
    "timedelta64[us]": LENGTHS,
    "period[D]": TIMES,
    pa.string(): TEXTS,
    pa.large_string(): TEXTS,
    pa.binary(): [text.encode() for text in TEXTS],
    pa.int64(): NUMBERS,
    pa.uint8(): [3, 255, 0, 1],
    pa.float64(): FLOATS[2:],  # Arrow takes -0.0 and 0.0 for two values
    pa.bool_(): [True, False],
    pa.date32(): DAYS,
    pa.date64(): DAYS,
    pa.timestamp("us"): TIMES,
    pa.timestamp("ms", "UTC"): [time.replace(tzinfo=dt.UTC) for time in TIMES],
    pa.time32("s"): [dt.time(hour) for hour in (5, 3, 23, 0)],
    pa.time64("us"): [dt.time(hour) for hour in (5, 3, 23, 0)],
    pa.duration("us"): LENGTHS,
    pa.decimal128(20, 2): [Decimal(number) for number in (3, -1, 0, 2**50)],
}
NEVER_MISSING = {"int64", "uint64", "bool", "complex128"}


def column(kind, cells):
    dtype = pd.ArrowDtype(kind) if isinstance(kind, pa.DataType) else kind
    return pd.Series(cells, dtype=dtype, name="x")


@pytest.mark.parametrize("kind", MEMBERS, ids=str)
@settings(max_examples=25)
@given(data=st.data())
def test_values_are_told_apart_and_ordered_as_by_pandas(kind, data):
    cell = st.sampled_from(MEMBERS[kind])
    cell = cell if kind in NEVER_MISSING else st.none() | cell
    given_column = column(kind, data.draw(st.lists(cell, max_size=30)))
    codes, values = distinct(given_column)
    wanted_codes, wanted = pd.factorize(given_column, sort=True, use_na_sentinel=False)
    assert codes.tolist() == wanted_codes.tolist()
    pd.testing.assert_index_equal(values, pd.Index(wanted))
    codes, values = distinct(given_column, ordered=False)
    there = given_column.notna().to_numpy()
    assert values.take(codes)[there].tolist() == given_column[there].tolist()
    assert values.take(codes)[~there].isna().all()
    assert values.is_unique


def test_more_rows_than_go_through_a_table_of_arrows_have_one_numbering():
    cells = [f"text {number * 7919 % 5000}" for number in range(3 * room._AT_ONCE + 5)]
    for kind in ("str", "string[python]", pa.string()):
        codes, values = distinct(column(kind, cells))
        assert values.tolist() == sorted(set(cells))
        assert values.take(codes).tolist() == cells


FEW_KNOW = {
    pa.string_view(): ["b", "a", "a text that is longer than twelve letters"],
    pa.binary_view(): [b"b", b"a", b"some bytes that are more than twelve"],
    pa.month_day_nano_interval(): [pa.MonthDayNano([1, 2, 3]), pa.MonthDayNano([0, 5, 0])],
    pa.float16(): [0.5, 2.0, -1.0],
    pa.dictionary(pa.int8(), pa.string()): ["b", "a", ""],
    "float16": [0.5, 2.0, -1.0],
}


def takes_views():
    """Whether Arrow takes rows of a column of views, as no version before 20 does."""
    try:
        pc.take(pa.array(["a"], pa.string_view()), pa.array([0]))
    except pa.ArrowNotImplementedError:
        return False
    return True


@pytest.mark.parametrize("kind", FEW_KNOW, ids=str)
def test_a_column_of_a_kind_that_few_functions_know_names_slices_and_strata(kind, tmp_path):
    members = FEW_KNOW[kind]
    cells = [None if row % 5 == 0 else members[row % len(members)] for row in range(3000)]
    by = pd.Series(cells, dtype=kind) if isinstance(kind, str) else arrow_column(cells, kind)
    codes, values = distinct(by)
    has_order = kind != pa.month_day_nano_interval()
    told = values.tolist()
    assert told[:-1] == (sorted(members) if has_order else [members[1], members[0]])
    assert [pd.isna(cell) for cell in told] == [False] * len(members) + [True]
    assert [None if code == len(members) else told[code] for code in codes] == cells
    frame = pd.DataFrame({"mood": "good", "gold": "good", "t": "text", "by": by})
    if "view" not in str(kind):  # of a frame with views pandas can take no rows
        slices = frame.llm.score("mood", gold="gold", by="by").slices
        assert slices["rows"].tolist() == np.bincount(codes).tolist()
    if "view" not in str(kind) or takes_views():
        frame.llm.to_review(tmp_path / "review.csv", n=10, into="mood", by="by", columns=["t"])
        assert len(pd.read_csv(tmp_path / "review.csv")) == 10


def arrow_column(cells, kind):
    if kind == pa.float16():  # of which older versions of Arrow take only numpy's
        cells = [None if cell is None else np.float16(cell) for cell in cells]
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(cells, kind)))


def test_values_without_an_order_stay_as_they_come_and_lists_have_an_error():
    codes, values = distinct(pd.Series([2, "a", 2, (1,)], dtype=object))
    assert codes.tolist() == [0, 1, 0, 2]
    assert values.tolist() == [2, "a", (1,)]
    with pytest.raises(TypeError):
        distinct(pd.Series([[1], [2]], dtype=object))
    with pytest.raises(NotImplementedError):
        distinct(pd.Series([[1], [2]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))))


@pytest.fixture
def rows_in_tables(monkeypatch):
    """How many cells of a column went through a hash table at once, by whose table it is."""
    sizes = {"pandas": 0, "Arrow": 0}

    def spied(owner, name, whose="pandas"):
        inner = getattr(owner, name)

        def spy(*given, **more):
            sizes[whose] = max(sizes[whose], len(given[0]))
            return inner(*given, **more)

        monkeypatch.setattr(owner, name, spy)

    spied(pd, "factorize")
    for name in ("factorize", "value_counts", "unique", "nunique", "drop_duplicates", "duplicated"):
        spied(pd.Series, name)
    for name in ("groupby", "drop_duplicates", "duplicated", "merge"):
        spied(pd.DataFrame, name)
    spied(pc, "dictionary_encode", "Arrow")
    return sizes


@pytest.mark.parametrize(
    "kind", [kind for kind in MEMBERS if kind not in {"category", "complex128"}]
)
def test_no_column_of_a_file_goes_through_a_table_whose_places_it_can_foresee(
    kind, rows_in_tables, tmp_path
):
    members = [each for each in MEMBERS[kind] if each != "\ud800"]
    if members == [True, False]:
        return  # pandas has them, as there are only two
    rows = 2 * room._AT_ONCE
    cells = [members[row % len(members)] for row in range(rows)]
    frame = pd.DataFrame({"mood": "good", "gold": "good", "t": "text", "by": column(kind, cells)})
    score = frame.llm.score("mood", gold="gold", by="by")
    assert int(score.slices["rows"].sum()) == rows
    frame.llm.to_review(tmp_path / "review.csv", n=10, into="mood", by="by", columns=["t"])
    frame.llm.check("by")
    assert len(digests_of(frame["by"])) == rows
    assert rows_in_tables["pandas"] == 0
    assert rows_in_tables["Arrow"] <= room._AT_ONCE


def test_decimals_are_told_apart_by_their_digits_for_very_many_have_one_hash(monkeypatch):
    keys = []
    inner = room._places
    monkeypatch.setattr(room, "_places", lambda: keys.append(inner()) or keys[-1])
    numbers = [Decimal((2**61 - 1) * (number % 70)) for number in range(5_000)]
    codes, values = distinct(column(pa.decimal128(38, 2), numbers))
    assert values.take(codes).tolist() == numbers
    assert values.tolist() == sorted(set(numbers))
    assert {type(key) for each in keys for key in each} == {str}


def test_objects_are_told_apart_by_the_hashes_of_python_and_ordered_as_by_pandas(monkeypatch):
    """pandas folds those, and has a hash of its own for tuples, of their members."""
    for cells in (
        [(2, 1), (1, 2), None, (2, 1)],
        [3, "a", 2.5, "A", True, 1, 1.0, Decimal(3), None],
        [dt.date(2020, 1, 1), dt.date(2019, 1, 1)],
        [b"b", b"a", 1j],  # which have no order
    ):
        given_column = pd.Series(cells, dtype=object)
        try:
            wanted = pd.factorize(given_column, sort=True)[1]
        except TypeError:
            wanted = pd.factorize(given_column)[1]
        with monkeypatch.context() as patched:
            patched.setattr(pd, "factorize", None)
            codes, values = distinct(given_column)
        assert values.dropna().tolist() == list(wanted)
        told = [None if pd.isna(values[code]) is True else values[code] for code in codes]
        assert told == cells


def test_one_long_text_for_different_rows_is_found_by_its_count():
    same, other = "I am sorry, what text do you mean?", "Here there is nothing to be said."
    texts = [same if row % 3 else other if row % 2 else f"answer {row}" for row in range(60)]
    frame = pd.DataFrame({"t": [f"row {row}" for row in range(60)]})
    for kind in ("string[python]", "string[pyarrow]"):
        found = frame.assign(a=pd.array(texts, dtype=kind)).llm.check("a")
        said = found[found["finding"].str.startswith("one text is the answer")]
        assert said["rows"].tolist() == [40]
        assert "row 1:" in said["example"].iloc[0]


LONG = pa.array(["long" * 2**15], pa.large_string())
FEW = pa.array(["short", None, "another"], pa.large_string())
OTHERS = pa.array([f"text {row}" for row in range(1000)], pa.large_string())
IN_COMMON = {
    "all of them": [LONG] * 1000,
    "with a missing one": [*[LONG] * 500, FEW, *[LONG] * 500],
    "after a thousand others": [OTHERS, *[LONG] * 1000],
}
LOOKS = {
    "told apart": lambda frame: distinct(frame["a"]),
    "digests": lambda frame: digests_of(frame["a"]),
    "what smells": lambda frame: list(looked_at(frame["a"])),
    "check": lambda frame: frame.llm.check("a"),
}
POOLS = []  # each has to be there as long as anything that is in it


@pytest.fixture
def most_taken():
    """The most memory that Python and Arrow take at one time while something is done, in bytes."""

    def measured(done):
        pool, before = pa.proxy_memory_pool(pa.system_memory_pool()), pa.default_memory_pool()
        POOLS.append(pool)
        pa.set_memory_pool(pool)
        tracemalloc.start()
        try:
            done()
            return pool.max_memory() + tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            pa.set_memory_pool(before)

    return measured


@pytest.mark.parametrize("looked", LOOKS)
@pytest.mark.parametrize("rows", IN_COMMON)
def test_a_long_text_that_rows_have_in_common_is_copied_for_none_of_them(
    rows, looked, most_taken, monkeypatch
):
    monkeypatch.setattr(answer_digests, "_OBJECT_BYTES", 2**20)
    texts = pa.chunked_array(IN_COMMON[rows])
    frame = pd.DataFrame({"a": pd.array(texts, dtype="string[pyarrow]")}, copy=False)
    frame["t"] = [f"row {row}" for row in range(len(frame))]
    assert texts.nbytes > 2**26
    assert most_taken(lambda: LOOKS[looked](frame)) < 2**23


def test_a_long_text_of_a_dictionary_is_copied_for_no_row_and_rows_have_what_they_had(most_taken):
    texts = pa.array(["short", "long" * 2**15, "never", None, "short"], pa.string())
    places = pa.array([1, 0, None, 1, 3, 4] * 500, pa.int8())
    rows = pa.DictionaryArray.from_arrays(places, texts)
    column = pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([rows, rows.slice(3)])))
    found = []
    assert most_taken(lambda: found.extend(distinct(column))) < 2**23
    codes, values = found
    assert values.tolist() == ["long" * 2**15, "short", pd.NA]
    of_each = [0, 1, 2, 0, 2, 1] * 500
    assert codes.tolist() == of_each + of_each[3:]
