import base64
import contextlib
import datetime as dt
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import tracemalloc
import warnings
from decimal import Decimal
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.core.arrays.arrow.extension_types import ArrowPeriodType
from pydantic import BaseModel

import lionproc as lp
from lionproc.engine.new_file import temporary_name
from lionproc.errors import (
    BudgetWarning,
    ColumnError,
    ConfigurationError,
    JournalError,
    LionprocWarning,
)
from lionproc.frame import arrow_extension, notes, pandas_hash, parquet_reader
from lionproc.frame import assemble as assembling
from lionproc.frame.arrow_extension import SavedDtype, to_table
from lionproc.frame.arrow_stream import packed
from lionproc.frame.assemble import MISSING, assemble
from lionproc.frame.export import (
    SaveError,
    check_frame_can_be_saved,
    write_parquet,
    write_part,
)
from lionproc.frame.parquet_reader import read_facts, read_parquet
from lionproc.frame.save_target import check_target, is_folder_target, part_of
from lionproc.model import one_hash
from lionproc.model.answer import Answer
from lionproc.model.coerce import cell_maker


def columns(answer, values, into):
    """The columns of answers, whose cells are made first, as when their replies arrive."""
    cell = cell_maker(answer.shape)
    cells = [value if value is MISSING else cell(value) for value in values]
    return assembling.columns(answer, cells, into)


class Item(BaseModel):
    sku: str
    quantity: int | None = None
    when: dt.datetime | None = None
    tags: list[str] = []


class Everything(BaseModel):
    text: str
    whole: int
    real: float
    flag: bool
    mood: Literal["b", "a", "unused"]
    stars: Literal[5, 3, 1]
    mixed: Literal["b", 1]
    yes: Literal[True, False]
    day: dt.date
    instant: dt.datetime
    clock: dt.time
    span: dt.timedelta
    price: Decimal
    items: list[Item]
    item: Item
    scores: dict[str, float]
    free: Any


FULL = Everything(
    text="ünï\0",
    whole=2**63 - 1,
    real=-0.5,
    flag=True,
    mood="a",
    stars=3,
    mixed=1,
    yes=False,
    day=dt.date(1, 1, 1),
    instant=dt.datetime(2024, 1, 1, 1, 2, 3, 4, tzinfo=dt.UTC),
    clock=dt.time(1, 2, 3, 4),
    span=dt.timedelta(days=-1, microseconds=1),
    price=Decimal("12.50"),
    items=[Item(sku="a", when=dt.datetime(2024, 1, 1, tzinfo=dt.UTC), tags=["x"]), Item(sku="b")],
    item=Item(sku="c"),
    scores={"a": 0.5},
    free={"any": ["thing"]},
)
EVERYTHING = Answer.of(Everything)
VALUES = {
    "full": [FULL, MISSING, FULL],
    "all missing": [MISSING, MISSING, MISSING],
    "no rows": [],
}
INDEXES = {
    "range": pd.RangeIndex,
    "range from 7": lambda n: pd.RangeIndex(7, 7 + n),
    "duplicates": lambda n: pd.Index([4] * n),
    "named": lambda n: pd.Index([f"r{i}" for i in range(n)], name="key"),
    "same name as a column": lambda n: pd.Index(range(1, n + 1), name="review"),
    "multi": lambda n: pd.MultiIndex.from_arrays([["k"] * n, [0] * n], names=["a", None]),
    "dates": lambda n: pd.DatetimeIndex(pd.date_range("2024", periods=n), freq=None),
}


def result(values, index=pd.RangeIndex):
    n = len(values)
    frame = pd.DataFrame({"review": ["fine"] * n, "n": range(n)}, index=index(n))
    frame["review"] = frame["review"].astype(pd.Series(["x"]).dtype)
    return assemble(frame, columns(EVERYTHING, values, "out"))


def assert_identical(read, written):
    pd.testing.assert_frame_equal(read, written, check_exact=True)
    assert list(read.dtypes) == list(written.dtypes)
    assert read.index.equals(written.index)
    assert list(read.index.names) == list(written.index.names)


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("index", INDEXES)
def test_what_is_saved_is_read_back_identical(tmp_path, values, index):
    out = result(VALUES[values], INDEXES[index])
    path = write_parquet(out, tmp_path / "out.parquet", {"rows": len(out)})
    assert_identical(read_parquet(path), out)
    assert len(pd.read_parquet(path)) == len(out)


@pytest.mark.parametrize("alike", [(1, "1"), (True, "true"), (0.5, "0.5", "a")])
def test_choices_that_are_alike_as_text_come_back_as_they_were(tmp_path, alike):
    answer = Answer.of(Literal[alike])
    out = assemble(pd.DataFrame({"n": range(len(alike))}), columns(answer, alike, "a"))
    read = read_parquet(write_parquet(out, tmp_path / "out.parquet", {}))
    assert list(map(repr, read["a"])) == list(map(repr, alike))


def test_files_that_have_a_type_of_ours_inside_are_read_as_before(tmp_path):
    """Version 0.1 wrote such; whoever has imported lionproc reads them with plain pandas too."""
    out = result(VALUES["full"])
    table = to_table(out)
    for place, field in enumerate(table.schema):
        note = (field.metadata or {}).get(b"lionproc.dtype")
        if note is not None:
            saved = SavedDtype(field.type, json.loads(note))
            chunks = [pa.ExtensionArray.from_storage(saved, c) for c in table.column(place).chunks]
            table = table.set_column(place, field.name, pa.chunked_array(chunks, type=saved))
    pq.write_table(table, tmp_path / "old.parquet")
    assert "extension" in str(pq.read_schema(tmp_path / "old.parquet"))
    assert_identical(read_parquet(tmp_path / "old.parquet"), out)
    assert_identical(pd.read_parquet(tmp_path / "old.parquet"), out)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
COLUMNS = {
    str: TEXT,
    float: st.floats(allow_nan=False, allow_infinity=False),
    Literal[3, 1]: st.sampled_from([3, 1]),
    Literal["b", 1]: st.sampled_from(["b", 1]),
    list[list[int]]: st.lists(st.lists(st.integers(-(2**63), 2**63 - 1))),
    dict[str, str]: st.dictionaries(TEXT, TEXT),
    dt.datetime: st.datetimes(timezones=st.just(dt.UTC)),
}
ANSWERS = {schema: Answer.of(schema) for schema in COLUMNS}


@settings(deadline=None)
@given(st.data(), st.sampled_from(list(COLUMNS)))
def test_any_answers_survive_the_file(tmp_path_factory, data, schema):
    values = data.draw(st.lists(COLUMNS[schema] | st.just(MISSING), max_size=5))
    out = assemble(pd.DataFrame(index=range(len(values))), columns(ANSWERS[schema], values, "out"))
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    write_parquet(out, path, {})
    assert_identical(read_parquet(path), out)


def test_a_long_column_keeps_its_categories_over_many_row_groups(tmp_path):
    out = assemble(
        pd.DataFrame(index=range(300_000)),
        columns(Answer.of(Literal["b", "a", "unused"]), ["a"] * 150_000 + ["b"] * 150_000, "mood"),
    )
    pq_path = write_parquet(out, tmp_path / "out.parquet", {})
    assert_identical(pd.read_parquet(pq_path), out)


STRANGER = """
import contextlib, io, json, sys, traceback
for line in sys.stdin:
    code, sys.argv[1:] = json.loads(line)
    fault = ""
    with contextlib.redirect_stdout(io.StringIO()) as told:
        try:
            exec(code, {})
        except BaseException:
            fault = traceback.format_exc()
    print(json.dumps([told.getvalue(), fault]), flush=True)
"""


@pytest.fixture(scope="module")
def run_python():
    """Run code in a process that knows pandas, and nothing of lionproc."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", STRANGER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    ) as process:

        def run(code, *arguments):
            print(json.dumps([code, [*map(str, arguments)]]), file=process.stdin, flush=True)
            told, fault = json.loads(process.stdout.readline())
            assert not fault, fault
            return told

        yield run
        process.stdin.close()


def test_pandas_without_lionproc_reads_the_file_with_plain_types(tmp_path, run_python):
    for values in VALUES.values():
        path = write_parquet(result(values), tmp_path / "out.parquet", {})
        code = """
import json, sys
import pandas as pd
frame = pd.read_parquet(sys.argv[1])
assert "lionproc" not in sys.modules
print(json.dumps({name: str(dtype) for name, dtype in frame.dtypes.items()}))
print(len(frame))
"""
        dtypes, rows = run_python(code, path).splitlines()
        dtypes = json.loads(dtypes)
        assert int(rows) == len(values)
        assert dtypes["out_stars"] == "Int64"
        assert dtypes["out_yes"] == "boolean"
        assert dtypes["out_items"] == "object"
        assert dtypes["out_price"] == "object"


def test_pandas_without_lionproc_sees_the_values(tmp_path, run_python):
    path = write_parquet(result([FULL, MISSING]), tmp_path / "out.parquet", {})
    code = """
import sys
import pandas as pd
row, gap = pd.read_parquet(sys.argv[1]).filter(like="out_").to_dict("records")
assert row["out_items"][0]["sku"] == "a"
assert list(row["out_items"][0]["tags"]) == ["x"]
assert row["out_item"]["sku"] == "c"
assert row["out_mixed"] == "1"
assert row["out_stars"] == 3
assert str(row["out_price"]) == "12.500000000"
assert pd.isna(gap["out_stars"]) and gap["out_items"] is None
"""
    run_python(code, path)


def test_arrow_sees_the_storage_types(tmp_path, run_python):
    path = write_parquet(result([FULL]), tmp_path / "out.parquet", {})
    code = """
import sys
import pyarrow.parquet as pq
schema = pq.read_schema(sys.argv[1])
print(schema.field("out_items").type)
print(schema.field("out_price").type)
"""
    items, price = run_python(code, path).splitlines()
    assert items.startswith("list<")
    assert price == "decimal128(38, 9)"


def test_the_facts_of_the_run_are_in_the_file_and_attrs_are_not(tmp_path):
    out = result([FULL])
    out.attrs = {"secret": "SECRET", "job": object()}
    path = write_parquet(out, tmp_path / "out.parquet", {"model": "m", "when": dt.date(2024, 1, 1)})
    assert read_facts(path) == {"model": "m", "when": "2024-01-01"}
    assert json.loads(pq.read_schema(path).metadata[b"lionproc"])["model"] == "m"
    assert b"SECRET" not in path.read_bytes()
    assert read_parquet(path).attrs == {}
    assert out.attrs["secret"] == "SECRET"  # noqa: S105


def test_a_file_of_somebody_else_has_no_facts_but_can_be_read(tmp_path):
    path = tmp_path / "theirs.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(path)
    assert read_parquet(path)["a"].tolist() == [1]
    with pytest.raises(ConfigurationError, match="not saved by lionproc"):
        read_facts(path)
    made = pd.DataFrame({"a": [1]})
    made.attrs["lionproc_run"] = "20260101-000000-abcdef"
    made.to_parquet(path)  # of a frame that a run made, and pandas wrote
    with pytest.raises(
        ConfigurationError, match=r"lp\.run\('20260101-000000-abcdef'\) has the report"
    ):
        read_facts(path)
    path.write_text("no parquet")
    with pytest.raises(ConfigurationError, match="not saved by lionproc"):
        read_facts(path)
    (tmp_path / "nine.parquet").touch()
    here = rf"no file 'none\.parquet' in {str(tmp_path)!r}\. Did you mean 'nine\.parquet'"
    with pytest.raises(ConfigurationError, match=here):
        read_parquet(tmp_path / "none.parquet")
    with pytest.raises(ConfigurationError, match="There is no folder"):
        read_parquet(tmp_path / "nowhere" / "none.parquet")


def test_what_pandas_wrote_and_cannot_read_is_read(tmp_path):
    out = assemble(
        pd.DataFrame({"review": [1, 2]}, index=pd.Index([7, 7], name="id")),
        columns(Answer.of(list[Item]), [[Item(sku="a", tags=["x"])], MISSING], "items"),
    )
    out.to_parquet(tmp_path / "theirs.parquet")
    assert_identical(read_parquet(tmp_path / "theirs.parquet"), out)


def test_saving_leaves_the_frame_as_it_is(tmp_path):
    out = result([FULL, MISSING])
    before = out.copy()
    write_parquet(out, tmp_path / "out.parquet", {})
    assert_identical(out, before)


def test_columns_named_by_numbers_come_back(tmp_path):
    frame = pd.DataFrame([[1, "x"]])
    out = assemble(frame, columns(Answer.of(int), [3], "n"))
    path = write_parquet(out, tmp_path / "out.parquet", {})
    assert list(read_parquet(path).columns) == [0, 1, "n"]
    assert list(pd.read_parquet(path).columns) == ["0", "1", "n"]
    alone = write_parquet(frame, tmp_path / "alone.parquet", {})
    assert list(pd.read_parquet(alone).columns) == [0, 1]


def test_dtypes_that_pandas_cannot_name_never_make_the_file_unreadable(tmp_path, run_python):
    words = pd.Series(["a", None], dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())))
    days = pd.Index([Decimal(1), Decimal(2)], dtype=pd.ArrowDtype(pa.decimal128(5, 2)))
    out = pd.DataFrame({"words": words.array, "n": [1, 2]}, index=days)
    path = write_parquet(out, tmp_path / "out.parquet", {})
    code = "import sys, pandas; print(list(pandas.read_parquet(sys.argv[1])['n']))"
    assert run_python(code, path) == "[1, 2]\n"
    assert pd.read_parquet(path)["words"].tolist()[0] == "a"


def test_columns_of_two_levels_come_back(tmp_path):
    names = pd.MultiIndex.from_tuples([("a", "x"), ("b", "")])
    out = pd.DataFrame([[1, 2]], columns=names)
    assert_identical(read_parquet(write_parquet(out, tmp_path / "out.parquet", {})), out)


# ---------------------------------------------------------------- refusing an input


def test_an_input_that_can_be_saved_is_let_pass():
    check_frame_can_be_saved(result([FULL, MISSING], INDEXES["multi"]))
    check_frame_can_be_saved(pd.DataFrame())
    check_frame_can_be_saved(pd.DataFrame([[1, 2]]))


def test_column_names_that_occur_twice_are_named():
    with pytest.raises(ColumnError, match="more than one column called 'a'"):
        check_frame_can_be_saved(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(ColumnError, match="more than one column called '1'"):
        check_frame_can_be_saved(pd.DataFrame([[1, 2]], columns=["1", 1]))


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ([1, "SECRET"], "int and str"),
        ([{"a": 1}, ["SECRET"]], "dict and list"),
        ([complex(1, 2), None], "complex"),
        ([{}, {}], "dict"),
        (["SECRET\ud800", "x"], "str"),
        ([object(), None], "object"),
    ],
)
def test_a_column_that_parquet_cannot_hold_is_named_without_its_cells(tmp_path, values, kinds):
    frame = pd.DataFrame({"good": [1, 2], "odd": pd.Series(values, dtype=object)})
    frame.attrs["x"] = object()
    for refuse in (
        check_frame_can_be_saved,
        lambda f: write_parquet(f, tmp_path / "o.parquet", {}),
    ):
        with pytest.raises(ColumnError, match="Column 'odd'") as caught:
            refuse(frame)
        assert f"it holds {kinds}" in str(caught.value)
        assert "SECRET" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_lists_that_parquet_writes_and_nobody_can_read_are_refused_before(tmp_path):
    kind = pa.string()
    for _ in range(45):
        kind = pa.list_(kind)
    fine = pd.DataFrame({"a": pd.Series([None], dtype=pd.ArrowDtype(kind))})
    assert read_parquet(write_parquet(fine, tmp_path / "fine.parquet", {}))["a"].isna().all()
    for _ in range(10):
        kind = pa.list_(kind)
    deep = pd.DataFrame({"a": pd.Series([None], dtype=pd.ArrowDtype(kind))})
    file = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": pa.nulls(1, kind)}), file)
    try:
        pq.read_schema(pa.BufferReader(file.getvalue()))
    except OSError:  # as Arrow has it since there is a bound
        with pytest.raises(ColumnError, match=r"'a' .{80,120}cannot be saved.*nested too deeply"):
            check_frame_can_be_saved(deep)
    else:
        check_frame_can_be_saved(deep)


def test_an_index_that_parquet_cannot_hold_is_named():
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index([1, "x"], dtype=object))
    with pytest.raises(ColumnError, match="index"):
        check_frame_can_be_saved(frame)


# ---------------------------------------------------------------- whole or not at all


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "deep" / "er" / "out.parquet"
    write_parquet(result([FULL]), path, {"run": 1})
    write_parquet(result([FULL, FULL]), path, {"run": 2})
    assert read_facts(path) == {"run": 2}
    assert len(read_parquet(path)) == 2
    assert [p.name for p in path.parent.iterdir()] == ["out.parquet"]


def test_a_file_whose_name_is_no_unicode_is_written(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    write_parquet(result([FULL]), Path(os.fsdecode(folder + b"/out.parquet")), {})
    with open(folder + b"/out.parquet", "rb") as file:  # noqa: PTH123  (a path of bytes)
        assert pq.read_table(file).num_rows == 1


def test_whoever_reads_the_old_file_while_it_is_replaced_reads_all_of_it(tmp_path):
    path = write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "out.parquet", {})
    old = path.read_bytes()
    with path.open("rb") as reader:
        write_parquet(pd.DataFrame({"a": range(1000)}), path, {})
        assert reader.read() == old
    assert path.read_bytes() != old


def test_a_symbolic_link_stays_one_and_its_target_is_written(tmp_path):
    (tmp_path / "data").mkdir()
    link = tmp_path / "latest.parquet"
    link.symlink_to(tmp_path / "data" / "real.parquet")
    write_parquet(result([FULL]), link, {})
    assert link.is_symlink()
    assert len(read_parquet(tmp_path / "data" / "real.parquet")) == 1


def test_the_file_has_the_rights_any_new_file_would_have(tmp_path):
    path = write_parquet(result([FULL]), tmp_path / "out.parquet", {})
    other = tmp_path / "other"
    other.write_text("")
    assert path.stat().st_mode == other.stat().st_mode


@pytest.fixture
def small_disk():
    """Files may grow to 50 kB, as on a disk that fills up."""
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, old)


def test_a_full_disk_leaves_the_old_file_and_says_that_nothing_is_lost(tmp_path, small_disk):
    path = write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "out.parquet", {})
    big = pd.DataFrame({"a": np.random.default_rng(0).random(100_000)})
    with pytest.raises(SaveError, match="still in memory") as caught:
        write_parquet(big, path, {})
    assert isinstance(caught.value, OSError)
    assert read_parquet(path)["a"].tolist() == [1]
    assert [p.name for p in tmp_path.iterdir()] == ["out.parquet"]


def test_space_is_asked_for_only_where_there_is_none(tmp_path, monkeypatch):
    def refused(number):
        monkeypatch.setattr("lionproc.frame.place.replace_whole", raised(OSError(number, "why")))
        with pytest.raises(SaveError) as caught:
            write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "out.parquet", {})
        return "free space or choose another path" in str(caught.value)

    def raised(error):
        def raises(_, **__):
            raise error

        return raises

    assert [refused(number) for number in (errno.ENOSPC, errno.EDQUOT)] == [True, True]
    assert [refused(number) for number in (errno.EPERM, errno.EISDIR)] == [False, False]


def test_a_link_that_is_refused_asks_for_another_path_and_for_no_space(tmp_path, monkeypatch):
    monkeypatch.setattr("lionproc.engine.planted_links._is_planted", lambda *_: True)
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    with pytest.raises(SaveError, match=r"is a link that .* memory: choose another path") as caught:
        write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "link" / "out.parquet", {})
    assert "space" not in str(caught.value)
    with pytest.raises(JournalError, match="is a link that") as refused:
        lp.journal(tmp_path / "link" / "journal.sqlite")
    assert "space" not in str(refused.value)


def test_a_folder_in_the_place_of_the_file_is_an_error_and_stays(tmp_path):
    (tmp_path / "out.parquet").mkdir()
    with pytest.raises(SaveError):
        write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "out.parquet", {})
    assert [p.name for p in tmp_path.iterdir()] == ["out.parquet"]


def test_killed_at_any_moment_the_file_is_whole(tmp_path, zygotes):
    path = tmp_path / "out.parquet"
    code = """
import pandas as pd
from lionproc.frame.export import write_parquet
for n in range(10**6):
    write_parquet(pd.DataFrame({"n": [n] * 20_000}), path, {"n": n})
    print(n, flush=True)
"""
    tick = threading.Event()  # never set
    for after in (1, 3, 8):
        writer = zygotes[0].start(code, path=str(path))
        while writer.running and len(writer.output.splitlines()) < after:
            tick.wait(0.002)
        assert writer.kill() == -signal.SIGKILL, writer.output
        frame = pd.read_parquet(path)
        assert frame["n"].tolist() == [read_facts(path)["n"]] * 20_000


# ---------------------------------------------------------------- targets and parts


def test_a_folder_is_meant_by_a_slash_or_no_suffix(tmp_path):
    assert is_folder_target("results/")
    assert is_folder_target("results")
    assert is_folder_target(tmp_path)
    assert not is_folder_target("results.parquet")
    assert not is_folder_target("a.b/results.parquet")


def test_folders_that_are_missing_are_made_and_nothing_is_left_in_them(tmp_path):
    check_target(tmp_path / "a" / "b" / "out.parquet")
    check_target(f"{tmp_path}/c/d/")
    assert (tmp_path / "a" / "b").is_dir()
    assert (tmp_path / "c" / "d").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []
    assert list((tmp_path / "c" / "d").iterdir()) == []


@pytest.mark.parametrize("name", ["out.csv", "out.xlsx", "out.json"])
def test_other_formats_are_refused_with_the_way_on(tmp_path, name):
    with pytest.raises(ConfigurationError, match=r"out\.parquet"):
        check_target(tmp_path / name)


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="Choose another path"):
        check_target(tmp_path / "file" / "out.parquet")
    with pytest.raises(ConfigurationError, match="Choose another path"):
        check_target(f"{tmp_path}/file/")


def test_a_place_without_rights_is_refused():
    with pytest.raises(ConfigurationError, match="Nothing can be saved"):
        check_target("/proc/lionproc/out.parquet")


def test_parts_make_the_whole_in_order_with_its_index(tmp_path):
    values = [FULL, MISSING, FULL, FULL, MISSING]
    out = result(values)
    for number in (2, 0, 1):
        part = out.iloc[2 * number : 2 * number + 2]
        write_part(tmp_path, number, part, {"part": number}, run="my run")
    names = sorted(p.name for p in tmp_path.iterdir())
    assert [name[:11] for name in names] == ["part-00000-", "part-00001-", "part-00002-"]
    assert len({name[11:] for name in names}) == 1
    assert_identical(read_parquet(tmp_path), out)
    assert read_facts(tmp_path) == {"part": 0}
    assert len(pd.read_parquet(tmp_path)) == 5


def test_a_resumed_run_writes_its_parts_again(tmp_path):
    first = write_part(tmp_path, 0, result([MISSING]), {"try": 1}, run="a")
    check_target(f"{tmp_path}/", run="a")
    assert write_part(tmp_path, 0, result([FULL]), {"try": 2}, run="a") == first
    assert read_facts(tmp_path) == {"try": 2}


def test_parts_of_another_run_are_neither_mixed_nor_overwritten(tmp_path):
    write_part(tmp_path, 0, result([FULL]), {}, run="a")
    for refused in (
        lambda: write_part(tmp_path, 0, result([FULL]), {}, run="b"),
        lambda: check_target(tmp_path, run="b"),
        lambda: check_target(tmp_path),
    ):
        with pytest.raises(ConfigurationError, match="another run"):
            refused()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_part_whose_rows_were_corrected_is_not_read_as_if_it_were_theirs(tmp_path, server, model):
    df = pd.DataFrame({"text": [f"text {n}" for n in range(40)], "note": "first"})
    run = {"into": "a", "model": model, "save": tmp_path / "parts", "chunk_size": 10,
           "journal": tmp_path / "journal.sqlite", "progress": False}  # fmt: skip
    df.llm.process("Say {text}", **run)
    corrected = df.assign(note="second")  # a column that the prompt does not show changes nothing
    corrected.loc[12:14, "text"] = ["better 12", "better 13", "better 14"]
    with pytest.warns(BudgetWarning):
        corrected.llm.process("Say {text}", budget=lp.Budget(requests=1), **run)
    with pytest.warns(LionprocWarning, match="lacks rows of its run: part 1 is"):
        kept = lp.read_parquet(tmp_path / "parts")
    assert kept["text"].tolist() == [f"text {n}" for n in [*range(10), *range(20, 40)]]
    out = corrected.llm.process("Say {text}", **run)
    pd.testing.assert_frame_equal(lp.read_parquet(tmp_path / "parts"), out)


def test_a_folder_and_a_part_that_is_read_by_itself_lack_nothing(tmp_path, server, model):
    df = pd.DataFrame({"text": [f"text {n}" for n in range(30)]})
    run = {"into": "a", "model": model, "save": tmp_path, "chunk_size": 10, "progress": False}
    df.llm.process("Say {text}", **run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(lp.read_parquet(tmp_path)) == 30
        for part in tmp_path.glob("part-*.parquet"):
            assert len(lp.read_parquet(part)) == 10


@pytest.mark.parametrize("name", ["part-00003-{}", "part-000001-{}", "part-00001-{}-01234567"])
def test_a_part_that_a_run_does_not_have_is_refused_before_anything_is_sent(
    tmp_path, server, model, name
):
    df = pd.DataFrame({"text": [f"text {n}" for n in range(30)]})
    run = {"into": "a", "model": model, "save": tmp_path, "chunk_size": 10, "progress": False}
    df.llm.process("Say {text}", **run)
    part = next(tmp_path.glob("part-00001-*.parquet"))
    digest = part.stem[11:]  # known to whoever asks the same
    part.rename(part.with_name(f"{name.format(digest)}.parquet"))
    sent = server.counters.total
    with pytest.raises(ConfigurationError, match="parts that this run does not have"):
        df.llm.process("Say {text}", **run, resume=False)
    assert server.counters.total == sent


@pytest.mark.parametrize("of", ["pandas", "earlier"])
def test_a_folder_with_more_than_its_run_has_is_not_read(tmp_path, server, model, of):
    if of == "pandas":
        df = pd.DataFrame({"text": [f"text {n}" for n in range(30)]})
        run = {"into": "a", "model": model, "save": tmp_path, "chunk_size": 10, "progress": False}
        df.llm.process("Say {text}", **run)
    else:
        for number in range(3):
            write_part(tmp_path, number, result([FULL]), {"rows": 3}, run="a")
    part = next(tmp_path.glob("part-00001-*.parquet"))
    part.with_name(part.name.replace("00001", "00003")).write_bytes(part.read_bytes())
    with pytest.raises(ConfigurationError, match="somebody else has put some there"):
        lp.read_parquet(tmp_path)


def test_a_part_with_more_rows_than_its_file_has_bytes_is_looked_at_without_its_cells(
    tmp_path, server, model, monkeypatch
):
    df = pd.DataFrame({"text": [f"text {n}" for n in range(6)]})
    run = {"into": "a", "model": model, "save": tmp_path, "progress": False}
    out = df.llm.process("Say {text}", **run)
    (part,) = tmp_path.glob("part-*")
    facts = pq.read_schema(part).metadata[b"lionproc"].decode()
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["text 0" * 20])
    rows = pa.table({"text": texts, "a": texts})
    with pq.ParquetWriter(part, rows.schema, compression="zstd", store_schema=False) as file:
        file.add_key_value_metadata({"lionproc": facts})
        for _ in range(5):
            file.write_table(rows)
    assert part.stat().st_size < 50_000
    with monkeypatch.context() as patch:
        patch.setattr(pq, "read_table", None)
        again = df.llm.process("Say {text}", **run)
    pd.testing.assert_frame_equal(again, out)
    pd.testing.assert_frame_equal(lp.read_parquet(tmp_path), out)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_parts_that_came_with_a_repository_are_not_taken_for_answers(
    tmp_path, server, model, monkeypatch
):
    df = pd.DataFrame({"text": [f"text {n}" for n in range(30)]})
    run = {"into": "a", "model": model, "save": tmp_path / "out", "chunk_size": 10}
    run |= {"progress": False, "resume": False}
    df.llm.process("Say {text}", **run)
    subprocess.run(["git", "init", "-q", "."], check=True, cwd=tmp_path)
    subprocess.run(["git", "add", "out"], check=True, cwd=tmp_path)
    sent = server.counters.total
    with pytest.raises(ConfigurationError, match=r"taken for answers.*LIONPROC_TRUST"):
        df.llm.process("Say {text}", **run)
    assert server.counters.total == sent
    monkeypatch.setenv("LIONPROC_TRUST", str(tmp_path))
    assert len(df.llm.process("Say {text}", **run)) == 30


def test_without_a_journal_a_part_whose_rows_were_corrected_is_kept_beside_the_others(
    tmp_path, server, model
):
    df = pd.DataFrame({"text": [f"text {n}" for n in range(20)]})
    run = {"into": "a", "model": model, "save": tmp_path, "chunk_size": 10, "journal": False}
    was = df.llm.process("Say {text}", progress=False, **run)
    corrected = df.assign(text=df["text"].replace("text 12", "better 12"))
    server.configure(faults={"401": 1.0})
    with pytest.raises(lp.errors.AccessError):
        corrected.llm.process("Say {text}", progress=False, **run)
    with pytest.warns(LionprocWarning, match="has 10 of the 20 rows of its run"):
        kept = lp.read_parquet(tmp_path)
    assert kept["text"].tolist() == [f"text {n}" for n in range(10)]
    (old,) = tmp_path.glob("_part-00001-*.old")
    pd.testing.assert_frame_equal(lp.read_parquet(old), was.iloc[10:])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root gives links away")
@pytest.mark.parametrize("mode", [0o1777, 0o2775])  # for everybody, and for a group
@pytest.mark.parametrize("save", ["out/", "out/a.parquet", "a.parquet"])
def test_a_link_that_somebody_left_in_a_shared_folder_is_refused_before_anything_is_sent(
    tmp_path, server, model, save, mode
):
    shared, mine = tmp_path / "shared", tmp_path / "mine"
    shared.mkdir()
    shared.chmod(mode)
    mine.mkdir()
    link = shared / save.partition("/")[0]
    link.symlink_to(mine / "" if "/" in save else mine / "theirs.parquet")
    os.chown(link, 54321, 54321, follow_symlinks=False)
    with pytest.raises(ConfigurationError, match="a link that somebody else left"):
        pd.DataFrame({"text": ["of mine"]}).llm.process(
            "{text}", into="a", model=model, save=f"{shared}/{save}"
        )
    assert server.counters.total == 0
    assert not list(mine.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root gives links away")
@pytest.mark.parametrize("theirs", ["their own", "of the group"])
def test_a_link_in_a_folder_of_a_group_may_lead_to_where_its_owner_can_write(tmp_path, theirs):
    shared, disk = tmp_path / "shared", tmp_path / "disk"
    for folder in (shared, disk):
        folder.mkdir()
        os.chown(folder, 0, 54320)
        folder.chmod(0o2775)
    if theirs == "their own":
        os.chown(disk, 54321, 54321)
    (shared / "out").symlink_to(disk)
    os.chown(shared / "out", 54321, 54321, follow_symlinks=False)
    write_parquet(result([FULL]), shared / "out" / "a.parquet", {})
    assert (disk / "a.parquet").exists()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("save", ["parts/", "a.parquet"])
def test_a_link_of_a_repository_leads_no_save_out_of_it(tmp_path, server, model, save, monkeypatch):
    df = pd.DataFrame({"text": ["of mine"]})
    clone, home = tmp_path / "clone", tmp_path / "home"
    clone.mkdir()
    home.mkdir()
    theirs = home / save.strip("/")
    if save.endswith("/"):
        theirs.mkdir()
    (clone / save.strip("/")).symlink_to(theirs)
    (clone / "b.csv").symlink_to(home / "b.csv")
    (clone / "latest.csv").symlink_to("run.csv")
    (clone / "out").symlink_to(home)
    subprocess.run(["git", "init", "-q", "."], check=True, cwd=clone)
    subprocess.run(["git", "add", "."], check=True, cwd=clone)
    with pytest.raises(ConfigurationError, match=r"part of the git repository.*LIONPROC_TRUST"):
        df.llm.process("{text}", into="a", model=model, save=f"{clone}/{save}")
    assert server.counters.total == 0
    for path in ("b.csv", "out/c.csv", "out/new/d.csv"):
        with pytest.raises(SaveError, match="part of the git repository"):
            df.llm.to_csv(clone / path)
    assert not list(home.glob("**/*.*"))
    df.llm.to_csv(clone / "latest.csv")  # within it
    assert (clone / "run.csv").exists()
    monkeypatch.setenv("LIONPROC_TRUST", str(home))
    df.llm.process("{text}", into="a", model=model, save=f"{clone}/{save}")
    assert list(home.glob("**/*.parquet"))


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("out.csv", "sub/.git"),  # git runs programs that are named there
        ("out.csv", "sub/.GIT/config"),
        ("out.csv", "sub/GIT~1"),
        ("out.csv", "sub/.g\u200cit"),
        ("out.csv", "sub/.g\u0131t"),
        ("folder", "sub/.git"),
        ("out.csv", ".venv/lib/theirs.pth"),  # Python runs what is in it
        ("out.csv", ".envrc"),
        ("out", "Makefile"),
    ],
)
def test_a_link_of_a_repository_leads_no_save_to_what_is_run(tmp_path, monkeypatch, link, leads_to):
    monkeypatch.chdir(tmp_path)
    for folder in ("sub", ".venv/lib"):
        Path(folder).mkdir(parents=True)
    Path(link).symlink_to(leads_to)
    subprocess.run(["git", "init", "-q", "."], check=True)
    subprocess.run(["git", "add", link], check=True)
    path = Path(link, "config") if link == "folder" else Path(link)
    with pytest.raises(SaveError, match=r"is a link to .* part of the git repository"):
        pd.DataFrame({"text": ["of mine"]}).llm.to_csv(path)
    assert not os.path.lexists(leads_to)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_link_of_a_repository_leads_to_files_of_its_kind_and_of_the_repository(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for link, leads_to in (("latest.csv", "runs/1.CSV"), ("old", "data"), ("notebooks", "book.d")):
        Path(link).symlink_to(leads_to)
    Path("runs").mkdir()
    Path("book.d").mkdir()
    Path("data").write_text("before")
    subprocess.run(["git", "init", "-q", "."], check=True)
    subprocess.run(["git", "add", "."], check=True)
    df = pd.DataFrame({"text": ["of mine"]})
    for path in ("latest.csv", "old", "notebooks/a.csv", "notebooks/b"):
        df.llm.to_csv(path)
        assert "of mine" in Path(os.path.realpath(path)).read_text()


def test_parts_that_somebody_moves_away_while_a_run_goes_on_are_there_at_its_end(
    tmp_path, server, model
):
    df = pd.DataFrame({"text": [f"moved {n}" for n in range(30)]})
    parts, away = tmp_path / "parts", tmp_path / "away"

    def answer(body):
        if body["messages"][-1]["content"] == "moved 29":
            for part in parts.glob("part-000[01]?-*.parquet"):
                part.rename(away / part.name)
        return "yes"

    away.mkdir()
    server.configure(answer=answer)
    limits = {"concurrency": 1, "adapt": False}
    df.llm.process("{text}", into="a", model=model, save=parts, chunk_size=1, limits=limits)
    assert list(away.iterdir())
    assert lp.read_parquet(parts)["a"].notna().tolist() == [True] * 30


def test_other_parquet_files_in_the_folder_are_refused_and_other_files_are_not(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    check_target(tmp_path, run="a")
    (tmp_path / "other.parquet").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"other\.parquet"):
        check_target(tmp_path, run="a")


def test_a_folder_of_parts_of_two_runs_is_not_read_as_one(tmp_path):
    for run in ("a", "b"):
        home = tmp_path / run
        part = write_part(home, 0, result([FULL]), {}, run=run)
        part.rename(tmp_path / part.name)
    with pytest.raises(ConfigurationError, match="parts of 2 runs"):
        read_parquet(tmp_path)
    with pytest.raises(ConfigurationError, match="no parts"):
        read_parquet(tmp_path / "a")


def test_an_unfinished_temporary_file_does_not_disturb_readers(tmp_path):
    write_part(tmp_path, 0, result([FULL]), {}, run="a")
    (tmp_path / temporary_name("part-00001-x.parquet")).write_bytes(b"PAR1 torn")
    assert len(read_parquet(tmp_path)) == 1
    assert len(pd.read_parquet(tmp_path)) == 1


# ---------------------------------------------------------------- other versions of pandas


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_plain_pandas_reads_the_file_with_any_dtype_backend(tmp_path, run_python, backend):
    path = write_parquet(result([FULL, MISSING]), tmp_path / "out.parquet", {})
    frame = pd.read_parquet(path, dtype_backend=backend)  # with lionproc imported
    assert frame["out_items"].iloc[0][0]["sku"] == "a"
    code = (
        "import sys, pandas\n"
        "print(pandas.read_parquet(sys.argv[1], dtype_backend=sys.argv[2])['out_stars'][0])"
    )
    assert run_python(code, path, backend) == "3\n"


# What the oldest pandas that is allowed (2.2.3) makes of a name; others are left out of the file.
NAMES = re.compile(
    r"object|str|string|bool|boolean|category|u?int\d+|float\d+|U?Int\d+|Float\d+"
    r"|datetime64\[\w+(, .+)?\]|timedelta64\[\w+\]|period\[.+\]|interval\[.+\]"
    r"|(bool|u?int\d+|float|double|(large_)?string|binary|date32\[day\]|time64\[\w+\]"
    r"|duration\[\w+\]|timestamp\[\w+(, tz=.+)?\])\[pyarrow\]"
)


def test_the_file_names_no_dtype_that_an_older_pandas_cannot_make(tmp_path):
    path = write_parquet(result([FULL, MISSING]), tmp_path / "out.parquet", {})
    described = json.loads(pq.read_schema(path).metadata[b"pandas"])["columns"]
    assert len(described) > 15
    assert not [c["numpy_type"] for c in described if not NAMES.fullmatch(c["numpy_type"])]


# ---------------------------------------------------------------- files of strangers


def rewritten(path, **metadata):
    """The file with other metadata."""
    table = pq.read_table(path)
    kept = {**table.schema.metadata, **{key.encode(): value for key, value in metadata.items()}}
    pq.write_table(table.replace_schema_metadata(kept), path)
    return path


HOSTILE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"7",
    b"\xff",
    b'"x"',
    b"[" * 100_000,
    b'{"columns": 7}',
    b"[[0], {}]",
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("key", ["lionproc", "lionproc.columns", "pandas"])
def test_metadata_of_a_stranger_is_an_error_of_ours_or_does_no_harm(tmp_path, key, content):
    path = write_parquet(pd.DataFrame([[1, "x"]], columns=[0, "b"]), tmp_path / "o.parquet", {})
    rewritten(path, **{key: content})
    for read in (read_parquet, read_facts):
        try:
            made = read(path)
        except ConfigurationError as error:
            assert "o.parquet" in str(error)  # noqa: PT017
        else:
            assert isinstance(made, dict) or len(made) == 1
            assert repr(made)
    check_target(path, rows=1, columns=["0", "b"])  # looking at it does no harm either


@pytest.mark.parametrize(
    ("what", "name", "dtype"),
    [
        ("columns", ",".join(["i4"] * 300), "int64[pyarrow]"),
        ("column_indexes", "datetime64[" + ", " * 300, "int64"),
    ],
    ids=["of a column", "of their names"],
)
def test_a_dtype_of_a_stranger_with_a_long_name_is_not_asked_of_pandas(tmp_path, what, name, dtype):
    # pandas takes the square of its length, and hours for one of a megabyte.
    path = write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "o.parquet", {})
    described = json.loads(pq.read_schema(path).metadata[b"pandas"])
    described[what][0]["numpy_type"] = name
    made = read_parquet(rewritten(path, pandas=json.dumps(described).encode()))
    assert made.to_dict("list") == {"a": [1]}
    assert made["a"].dtype == dtype


WIDE = "V30000000"  # a value of that dtype takes 30 MB
LEVEL = {"name": None, "field_name": None, "pandas_type": "bytes", "numpy_type": "object"}
WIDE_FILES = {
    "of columns": {"column_indexes": [{**LEVEL, "numpy_type": WIDE}]},
    "of columns, as Arrow says": {"column_indexes": [{**LEVEL, "pandas_type": "S30000000"}]},
    "of columns, as none says": {"column_indexes": [{**LEVEL, "pandas_type": "str"}]},
    "of an interval": {"numpy_type": f"interval[{WIDE}, right]"},
}


def described(table, numpy_type="object", column_indexes=()):
    """The table, with metadata of pandas."""
    column = {"name": "a", "field_name": "a", "pandas_type": "object", "numpy_type": numpy_type}
    kept = {"index_columns": [], "columns": [column], "column_indexes": list(column_indexes)}
    return table.replace_schema_metadata({b"pandas": json.dumps(kept)})


@pytest.mark.parametrize("where", ["of categories", *WIDE_FILES])
@pytest.mark.parametrize("held", [False, True], ids=["in the file", "in a note"])
def test_no_dtype_of_a_stranger_says_how_much_memory_a_value_takes(tmp_path, where, held):
    ends = pa.array([{"left": 1, "right": 2}])
    table = pa.table({"a": ends, "b" * 10_000: [1]} | {f"c{n}": [1] for n in range(1000)})
    category = {"kind": "category", "ordered": False, "categories": [1, 2], "index": f"3{WIDE}"}
    if where in WIDE_FILES:
        table = described(table, **WIDE_FILES[where])
        category = {**category, "held": packed(table)}
    if held or where == "of categories":
        note = {b"lionproc.dtype": json.dumps(category)}
        table = pa.table([[1]], schema=pa.schema([pa.field("a", pa.int64(), metadata=note)]))
    pq.write_table(table, tmp_path / "o.parquet")
    tracemalloc.start()
    try:
        with contextlib.suppress(ConfigurationError):
            read_parquet(tmp_path / "o.parquet")
        assert tracemalloc.get_traced_memory()[1] < 2**25  # for pandas 2.2 takes 20 MB for names
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["string", "string[python]", "string[pyarrow]"])
def test_no_dtype_of_a_stranger_makes_texts_of_numbers_that_take_many_times_their_room(
    tmp_path, name
):
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    pq.write_table(described(table, name), tmp_path / "o.parquet")
    assert read_parquet(tmp_path / "o.parquet")["a"].dtype == "int64[pyarrow]"
    texts = pd.DataFrame({"a": pd.array(["x", None], dtype=name)})
    texts.to_parquet(tmp_path / "texts.parquet")
    assert isinstance(read_parquet(tmp_path / "texts.parquet")["a"].dtype, pd.StringDtype)


def test_a_table_is_not_made_anew_for_each_of_its_columns(tmp_path, monkeypatch):
    # That takes their square: a file of 4 MB with 8,000 columns took 13 seconds.
    sizes, replaced = [], arrow_extension._replaced
    monkeypatch.setattr(
        arrow_extension,
        "_replaced",
        lambda table, new: sizes.append(len(new)) or replaced(table, new),
    )
    lists = pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64())))
    frame = pd.DataFrame({f"c{n}": lists for n in range(30)})
    frame.to_parquet(tmp_path / "pandas.parquet")  # it cannot read it itself
    assert read_parquet(tmp_path / "pandas.parquet").equals(frame)
    assert read_parquet(write_parquet(frame, tmp_path / "o.parquet", {})).equals(frame)
    assert sizes == [30, 30, 30, 30]


def test_a_frequency_of_a_stranger_with_a_long_name_is_not_asked_of_pandas(tmp_path):
    days = pd.DataFrame({"a": pd.period_range("2026-01-01", periods=2, freq="D")})
    assert read_parquet(write_parquet(days, tmp_path / "o.parquet", {})).equals(days)
    long = ArrowPeriodType(f"{'0' * 600}1D")
    kept = pa.ExtensionArray.from_storage(long, pa.array([1, 2], pa.int64()))
    pq.write_table(pa.table({"a": kept}), tmp_path / "long.parquet")
    with pytest.raises(ConfigurationError, match="damaged"):
        read_parquet(tmp_path / "long.parquet")
    category = {"kind": "category", "held": packed(pa.table({"a": kept})), "ordered": False}
    note = {b"lionproc.dtype": json.dumps(category).encode()}
    schema = pa.schema([pa.field("a", pa.string(), metadata=note)])
    pq.write_table(pa.table([["1970-01-02"]], schema=schema), tmp_path / "held.parquet")
    with pytest.raises(ConfigurationError, match="damaged"):
        read_parquet(tmp_path / "held.parquet")


def test_a_letter_that_has_become_another_one_on_the_disk_is_damage_and_no_answer(tmp_path):
    path = write_parquet(pd.DataFrame({"a": ["positive", "mild"]}), tmp_path / "o.parquet", {})
    path.write_bytes(path.read_bytes().replace(b"mild", b"wild", 1))
    with pytest.raises(ConfigurationError, match="damaged"):
        read_parquet(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_among_the_parts_holds_nobody_up(tmp_path):
    write_part(tmp_path, 0, pd.DataFrame({"a": [1]}), {}, run="r")
    os.mkfifo(tmp_path / part_of(1, "r"))
    for read in (read_parquet, lambda path: read_facts(path / part_of(1, "r"))):
        with pytest.raises(ConfigurationError, match="a device, pipe or socket"):
            read(tmp_path)


def test_categories_of_a_stranger_that_lead_out_of_the_memory_are_refused(tmp_path):
    path = write_parquet(
        pd.DataFrame({"a": pd.Categorical([b"yes", b"no"])}), tmp_path / "o.parquet", {}
    )
    table = pq.read_table(path)
    note = json.loads(table.schema.field("a").metadata[b"lionproc.dtype"])
    held = base64.b64decode(note["held"])
    ends, beyond = (np.array(ends, dtype="int32").tobytes() for ends in ([0, 2, 5], [0, 2, 10**9]))
    assert ends in held
    note["held"] = base64.b64encode(held.replace(ends, beyond)).decode()
    field = table.schema.field("a").with_metadata({b"lionproc.dtype": json.dumps(note)})
    pq.write_table(table.set_column(0, field, table.column(0)), path)
    code = "import sys, lionproc as lp; lp.read_parquet(sys.argv[1])"
    command = [sys.executable, "-c", code, path]
    read = subprocess.run(command, check=False, capture_output=True, text=True)
    assert read.returncode == 1  # and not killed by a signal
    assert "ConfigurationError" in read.stderr


def unfolding():
    """Tables of few bytes that are large once they are read; in a stream of Arrow a process takes."""
    some = 50_000_000
    plain = {
        "nulls": pa.nulls(some),
        "in lists": pa.FixedSizeListArray.from_arrays(pa.nulls(some), some),
    }
    zeros = pa.array(np.zeros(some, "int8"))
    folded = pa.RunEndEncodedArray.from_arrays(pa.array([some], pa.int64()), pa.array([1]))
    views = pa.array(["x" * 10_000] * 100, pa.string_view())
    for name, array in (plain | {"run": folded, "views": views}).items():
        yield pytest.param(array, None, id=name)
    yield pytest.param(zeros, "zstd", id="compressed")


@pytest.mark.parametrize(("array", "compression"), [*unfolding()])
def test_categories_of_a_stranger_that_unfold_from_a_few_bytes_are_not_read(
    tmp_path, array, compression
):
    held = pa.table({"a": array})
    sink = pa.BufferOutputStream()
    how = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, held.schema, options=how) as stream:
        stream.write_table(held)
    note = {"held": base64.b64encode(sink.getvalue()).decode(), "kind": "category"}
    kept = json.dumps({**note, "ordered": False}).encode()
    field = pa.field("a", pa.string(), metadata={b"lionproc.dtype": kept})
    pq.write_table(pa.table([["x"]], schema=pa.schema([field])), tmp_path / "a.parquet")
    with pytest.raises(ConfigurationError, match=r"damaged \(ValueError"):
        read_parquet(tmp_path / "a.parquet")


DTYPES = [
    b"",
    b"[]",
    b"{}",
    b'{"kind": "odd"}',
    b'{"kind": "category"}',
    b'{"kind": "category", "categories": {}, "index": "object", "ordered": false}',
    b'{"kind": "category", "categories": [[1]], "index": "object", "ordered": false}',
    b'{"kind": "category", "categories": ["a", "a"], "index": "object", "ordered": false}',
    b'{"kind": "category", "categories": ["a"], "index": "__import__", "ordered": false}',
    b'{"kind": "category", "categories": ["a"], "index": "float64", "ordered": "x"}',
    b"[" * 50_000,
]


@pytest.fixture(scope="module", params=["as a type", "as a note"])
def strangers(tmp_path_factory, run_python, request):
    """A file with each of these, written where lionproc's type is not known."""
    folder = tmp_path_factory.mktemp("strangers")
    code = """
import base64, sys, pyarrow as pa, pyarrow.parquet as pq
for number, described in enumerate(sys.argv[2:]):
    described = base64.b64decode(described)
    field = pa.field("a", pa.string(), metadata={b"lionproc.dtype": described} if NOTE else {
        b"ARROW:extension:name": b"lionproc.column", b"ARROW:extension:metadata": described})
    table = pa.table([["a", None]], schema=pa.schema([field]))
    pq.write_table(table, f"{sys.argv[1]}/{number}-o.parquet")
"""
    code = code.replace("NOTE", str(request.param == "as a note"))
    run_python(code, folder, *(base64.b64encode(described).decode() for described in DTYPES))
    return folder


@pytest.mark.parametrize("number", range(len(DTYPES)))
def test_a_column_type_of_a_stranger_is_an_error_of_ours_or_does_no_harm(strangers, number):
    path = strangers / f"{number}-o.parquet"
    for act in (lambda: len(read_parquet(path)), lambda: check_target(path, rows=9, columns="a")):
        try:
            assert act() in {2, None}
        except ConfigurationError as error:
            assert "o.parquet" in str(error)  # noqa: PT017


FACTS = {"model": "m"}
GAPS = {
    "text": [None, "a", "b"],
    "numbers": [1, 2.5, None],
    "flags": [None, True, False],
    "days": [None, dt.date(2026, 1, 1), pd.NaT],
    "decimals": [Decimal("1.1"), Decimal("1.123"), None],
    "lists": [[], [1, 2], None],
    "records": [{}, {"a": 1}, {"b": [1]}],
    "zones": [pd.Timestamp("2026", tz="Europe/Berlin"), pd.Timestamp("2026", tz="UTC"), None],
}


@pytest.mark.parametrize("kind", GAPS)
def test_all_parts_have_the_types_of_the_whole_however_little_one_of_them_holds(tmp_path, kind):
    values = pd.Series(GAPS[kind], dtype=object)
    index = pd.Index([None, "b", "c"], dtype=object)
    frame = pd.DataFrame({"given": values.array, "answer": ["x", "y", "z"]}, index=index)
    whole = check_frame_can_be_saved(frame[["given"]])
    for row in range(3):
        part = frame.iloc[row : row + 1]
        write_part(tmp_path / "parts", row, part, FACTS, run="run", like=whole)
    write_parquet(frame, tmp_path / "one.parquet", FACTS)

    files = sorted((tmp_path / "parts").iterdir())
    schemas = [pq.read_schema(file).remove_metadata() for file in files]
    assert schemas == [pq.read_schema(tmp_path / "one.parquet").remove_metadata()] * 3
    pd.testing.assert_frame_equal(
        read_parquet(tmp_path / "parts"), read_parquet(tmp_path / "one.parquet")
    )
    assert len(pd.read_parquet(tmp_path / "parts")) == 3  # what other readers do with a folder


@pytest.mark.parametrize(
    "values",
    [
        pd.cut([1, 5, 9], 3),
        pd.Categorical([None, None], categories=pd.interval_range(0, 2)),
        pd.Categorical(pd.to_datetime(["2026-01-01", None])),
        pd.Categorical([None], categories=pd.to_datetime(["2026-01-01"], utc=True)),
        pd.Categorical(pd.period_range("2026-01", periods=2, freq="M"), ordered=True),
        pd.Categorical(pd.array([1, 2, None], dtype="Int64")),
        pd.Categorical(np.array([1, 2], dtype="uint8")),
        pd.Categorical([Decimal("1.10"), None]),
        pd.Categorical([dt.timedelta(1), None]),
    ],
    ids=lambda values: str(values.categories.dtype),
)
def test_categories_of_whatever_kind_come_back(tmp_path, values):
    frame = pd.DataFrame({"bin": values})
    for rows in (len(frame), 0):
        check_frame_can_be_saved(frame.iloc[:rows])
        write_parquet(frame.iloc[:rows], tmp_path / "out.parquet", FACTS)
        pd.testing.assert_frame_equal(
            read_parquet(tmp_path / "out.parquet"), frame.iloc[:rows], check_freq=False
        )
        assert len(pd.read_parquet(tmp_path / "out.parquet")) == rows


@pytest.mark.parametrize("first", [None, (1, 2)])
def test_categories_that_cannot_come_back_are_refused_before_anything_is_sent(first):
    frame = pd.DataFrame({"pair": pd.Categorical([first, (3, 4)])})
    with pytest.raises(ColumnError, match=r"'pair'.*tuple"):
        check_frame_can_be_saved(frame)


def test_ctrl_c_ends_reading_a_file_while_arrow_works(tmp_path, monkeypatch):
    path = write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "out.parquet", {})
    begun, may_end = threading.Event(), threading.Event()
    seen = []

    def works(*given, **more):
        seen.append(threading.current_thread())
        begun.set()
        may_end.wait(30)
        raise OSError

    def interrupts():
        begun.wait(30)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(pq, "read_table", works)
    threading.Thread(target=interrupts).start()
    with pytest.raises(KeyboardInterrupt):
        read_parquet(path)
    may_end.set()
    assert seen[0] is not threading.main_thread()


@pytest.mark.parametrize("where", ["columns", "column_indexes"])
@pytest.mark.parametrize("dtype", [
    "datetime64[ns, dateutil/{}]", "interval[datetime64[ns, dateutil/{}], right]",
])  # fmt: skip
def test_no_name_of_a_dtype_in_a_file_opens_another_file(tmp_path, where, dtype):
    """pandas takes what stands behind "dateutil/" for the path of a file with a time zone."""
    other = tmp_path / "other"
    other.write_text("TZif")
    table = pa.Table.from_pandas(pd.DataFrame({"a": ["x"]}))
    said = json.loads(table.schema.metadata[b"pandas"])
    said[where][0]["numpy_type"] = dtype.format(other)
    table = table.replace_schema_metadata({b"pandas": json.dumps(said).encode()})
    pq.write_table(table, tmp_path / "zone.parquet")
    opened = []
    sys.addaudithook(lambda event, of: opened.append(of) if str(other) in str(of) else None)
    with contextlib.suppress(ConfigurationError):
        assert read_parquet(tmp_path / "zone.parquet")["a"].tolist() == ["x"]
    assert not opened


def test_columns_that_are_called_alike_are_told_before_pyarrow_lists_them_all(
    tmp_path, monkeypatch
):
    columns = [pa.array([], pa.int32())] * 3
    pq.write_table(pa.table(columns, names=["a", "b", "a"]), tmp_path / "alike.parquet")
    monkeypatch.setattr(pq, "read_table", lambda *_, **__: pytest.fail("It was read."))
    with pytest.raises(ConfigurationError, match="2 columns called 'a'"):
        read_parquet(tmp_path / "alike.parquet")


def test_labels_of_columns_are_no_long_expressions_of_python(tmp_path):
    """pyarrow has Python read them where they have several levels: 10 MB took 20 s with the lock held."""
    frame = pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "x" * 3900)]))
    write_parquet(frame, tmp_path / "long.parquet", {})
    assert read_parquet(tmp_path / "long.parquet").columns.tolist() == frame.columns.tolist()
    longer = frame.set_axis(pd.MultiIndex.from_tuples([("a", "x" * 4000)]), axis=1)
    write_parquet(longer, tmp_path / "longer.parquet", {})
    assert read_parquet(tmp_path / "longer.parquet").columns.tolist() == longer.columns.tolist()
    longer.to_parquet(tmp_path / "longer.parquet")
    with pytest.raises(ConfigurationError, match="damaged"):
        read_parquet(tmp_path / "longer.parquet")
    table = pq.read_table(tmp_path / "long.parquet")
    said = {**json.loads(table.schema.metadata[b"pandas"]), "columns": []}
    table = table.rename_columns(["(" + "1," * 3000 + ")"])
    table = table.replace_schema_metadata({"pandas": json.dumps(said)})
    pq.write_table(table, tmp_path / "bare.parquet")
    with pytest.raises(ConfigurationError, match="damaged"):
        read_parquet(tmp_path / "bare.parquet")


@pytest.mark.parametrize(
    ("kind", "dtype"), [("decimal", "int64"), ("unicode", "datetime64[ns]"), ("decimal", "object")]
)
def test_a_long_name_of_a_column_is_made_no_number_and_no_moment(tmp_path, kind, dtype):
    name = "9" * 4001
    table = pa.Table.from_pandas(pd.DataFrame({name: [1]}))
    pq.write_table(table, tmp_path / "text.parquet")
    assert read_parquet(tmp_path / "text.parquet").columns.tolist() == [name]
    said = json.loads(table.schema.metadata[b"pandas"])
    said["column_indexes"][0].update(pandas_type=kind, numpy_type=dtype)
    table = table.replace_schema_metadata({"pandas": json.dumps(said)})
    pq.write_table(table, tmp_path / "number.parquet")
    with pytest.raises(ConfigurationError, match="damaged"):
        read_parquet(tmp_path / "number.parquet")


@pytest.mark.parametrize(
    "members",
    [
        [1, 2],
        [0.5, 1],
        ["a", 1],
        [dt.date(2024, 1, 1)],
        [*pd.date_range("2024", periods=3, tz="UTC")],
    ],
)
def test_of_categories_only_different_cells_become_objects(tmp_path, monkeypatch, members):
    """Of a file of some bytes with millions of rows, each held the lock for seconds."""
    cells = pd.Categorical([*members, None] * 1000, categories=members)
    write_parquet(pd.DataFrame({"c": cells}), tmp_path / "c.parquet", {})
    looked_up, inner = [], arrow_extension.codes_in

    class Noted(dict):
        def get(self, value, otherwise):
            looked_up.append(value)
            return super().get(value, otherwise)

    monkeypatch.setattr(arrow_extension, "codes_in", lambda array, of: inner(array, Noted(of)))
    found = read_parquet(tmp_path / "c.parquet")["c"]
    pd.testing.assert_series_equal(found, pd.Series(cells, name="c"))
    assert len(looked_up) == len(members) + 1


def test_very_many_cells_that_are_none_of_the_categories_are_damage(tmp_path):
    note = {"kind": "category", "categories": [1], "index": "int64", "ordered": False}
    field = pa.field("c", pa.int64(), metadata={"lionproc.dtype": json.dumps(note)})
    for count, is_read in ((1000, True), (1002, False)):
        table = pa.table([pa.array(range(1, count + 1))], schema=pa.schema([field]))
        pq.write_table(table, tmp_path / "c.parquet")
        with contextlib.nullcontext() if is_read else pytest.raises(ConfigurationError):
            assert read_parquet(tmp_path / "c.parquet")["c"].notna().sum() == 1


def test_periods_and_intervals_are_read_in_a_process_that_has_read_nothing_before(tmp_path):
    periods, intervals = pd.period_range("2024", periods=4, freq="M"), pd.interval_range(0, 4)
    frames = {
        "category": pd.DataFrame({"a": pd.Categorical(periods), "b": pd.Categorical(intervals)}),
        "column": pd.DataFrame({"a": periods, "b": intervals}),
        "index": pd.DataFrame({"a": range(4)}, index=periods),
        "levels": pd.DataFrame({"a": range(4)}, index=[[1, 2, 3, 4], intervals]),
        "labels": pd.DataFrame([range(4)], columns=periods),
    }
    for name, frame in frames.items():
        write_parquet(frame, tmp_path / f"{name}.parquet", {})
    code = f"""
        import lionproc as lp
        for name in {list(frames)}:
            frame = lp.read_parquet(name + ".parquet")
            cells = frame.reset_index(drop=True).to_numpy().tolist()
            print(repr((frame.index.tolist(), frame.columns.tolist(), cells)))
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [
        repr((each.index.tolist(), each.columns.tolist(), each.to_numpy().tolist()))
        for each in frames.values()
    ]
    assert done.stdout.splitlines() == expected


ODD_LABELS = {
    "booleans": pd.Index([True, False]),
    "missing": pd.Index([0.5, np.nan]),
    "missing whole numbers": pd.Index([1, pd.NA], dtype="Int64"),
    "months": pd.period_range("2024", periods=2, freq="M"),
    "categories": pd.CategoricalIndex(["b", "a"]),
    "spans": pd.to_timedelta([1, 2], unit="h"),
    "intervals": pd.interval_range(0, 2),
    "bytes": pd.Index([b"a", b"b"]),
    "decimals": pd.Index([Decimal("1.5"), Decimal("2.5")]),
    "days": pd.Index([dt.date(2024, 1, 1), dt.date(2024, 1, 2)], name="day"),
    "levels, one missing": pd.MultiIndex.from_tuples(
        [("n", np.nan), ("n", "x")], names=["a", None]
    ),
    "levels of months": pd.MultiIndex.from_product([["a"], pd.period_range("2024", periods=2)]),
    "levels of booleans": pd.MultiIndex.from_product([["a"], [True, False]], names=[5, "b"]),
    "levels of categories": pd.MultiIndex.from_product([["a"], pd.Categorical(["x", "y"])]),
}


@pytest.mark.parametrize("kind", ODD_LABELS)
def test_labels_of_columns_that_are_no_texts_come_back(tmp_path, kind):
    columns = ODD_LABELS[kind]
    frame = pd.DataFrame([["p", 1], ["q", 2]], columns=columns)
    write_parquet(frame, tmp_path / "odd.parquet", {})
    found = read_parquet(tmp_path / "odd.parquet")
    assert repr(found.columns.tolist()) == repr(columns.tolist())
    assert found.columns.names == columns.names
    assert found.to_numpy().tolist() == frame.to_numpy().tolist()
    assert len(pd.read_parquet(tmp_path / "odd.parquet")) == 2  # by names that are texts


@pytest.mark.parametrize("missing", [pd.NA, pd.NaT, None, np.nan])
def test_a_label_that_is_missing_among_others_is_written_as_before(tmp_path, missing):
    frame = pd.DataFrame([[1, 2]], columns=pd.Index(["a", missing], dtype=object))
    write_parquet(frame, tmp_path / "a.parquet", {})
    assert read_parquet(tmp_path / "a.parquet").columns[0] == "a"


def test_labels_that_are_floats_and_one_of_them_missing_are_read_as_pandas_wrote_them(tmp_path):
    frame = pd.DataFrame([[1, 2]], columns=[0.5, np.nan])
    frame.to_parquet(tmp_path / "a.parquet")
    assert repr(read_parquet(tmp_path / "a.parquet").columns.tolist()) == "[0.5, nan]"


def test_labels_in_the_note_of_a_stranger_are_as_many_as_there_are_columns(tmp_path):
    write_parquet(pd.DataFrame([[1, 2]], columns=[True, False]), tmp_path / "a.parquet", {})
    table = pq.read_table(tmp_path / "a.parquet")
    for changed in (
        table.select(["True"]),
        table.replace_schema_metadata({"lionproc.labels": "5"}),
    ):
        pq.write_table(changed, tmp_path / "a.parquet")
        with pytest.raises(ConfigurationError, match="damaged"):
            read_parquet(tmp_path / "a.parquet")


@pytest.mark.parametrize("where", ["note", "names", "levels", "expressions"])
def test_labels_of_columns_that_have_one_hash_are_not_read(tmp_path, monkeypatch, where):
    """The first look for one of 60,000 took 20 s, in which nothing else ran."""
    monkeypatch.setattr(one_hash, "MOST_COMPARED", 70)
    monkeypatch.setattr(pandas_hash, "_MOST_COMPARED", 70)
    alike = [n << 33 | (n ^ n << 11 ^ n << 22) % 2**32 for n in range(10)]
    labels = {"note": [(2**61 - 1) * n for n in range(9)] + ["a"], "names": alike}.get(where)
    columns = pd.Index(labels) if labels else pd.MultiIndex.from_tuples([(n, "a") for n in alike])
    path = tmp_path / "alike.parquet"
    frame = pd.DataFrame([range(10)])
    write_parquet(frame.set_axis(columns, axis=1), path, {})
    if where == "expressions":  # they are refused before pyarrow makes any of them
        table = pq.read_table(path)
        said = {**json.loads(table.schema.metadata[b"pandas"]), "columns": []}
        table = table.rename_columns([f"({n}, 'a')" for n in alike])
        pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(said)}), path)
        monkeypatch.setattr(parquet_reader, "to_frame", lambda _: pytest.fail("They were made."))
    with pytest.raises(ConfigurationError, match="damaged"):
        read_parquet(path)
    other = frame if labels else frame.T.set_index([[*range(10)], [*"abcdefghij"]]).T
    write_parquet(other, tmp_path / "other.parquet", {})
    monkeypatch.undo()
    assert read_parquet(tmp_path / "other.parquet").columns.tolist() == other.columns.tolist()


def test_labels_of_several_levels_come_back_with_an_index_that_has_a_name(tmp_path):
    columns = pd.MultiIndex.from_tuples([("a", 1), ("b, (c)", 2)], names=["x", None])
    index = pd.MultiIndex.from_tuples([(1, "u"), (2, "v")], names=["5", "(1, 2, 3)"])
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=columns, index=index)
    for level in (None, "5"):
        written = frame if level is None else frame.reset_index(level, drop=True)
        write_parquet(written, tmp_path / "levels.parquet", {})
        found = read_parquet(tmp_path / "levels.parquet")
        assert found.columns.tolist() == columns.tolist()
        assert found.index.names == written.index.names


@pytest.mark.parametrize("shape", ["alone", "listed", "field", "held"])
def test_no_time_zone_in_a_file_is_another_file(tmp_path, shape):
    """pandas takes what stands behind "dateutil/" for the path of one, once it looks at a cell."""
    kind = pa.timestamp("us", tz=f"dateutil/{tmp_path / 'other'}")
    moments = pa.array([0, 1], pa.int64()).view(kind)
    cells = {
        "listed": pa.ListArray.from_arrays([0, 1, 2], moments),
        "field": pa.StructArray.from_arrays([moments], ["at"]),
        "held": pa.array([0, 1]),
    }.get(shape, moments)
    note = {"kind": "arrow"}
    if shape == "held":
        note = {"kind": "category", "held": packed(pa.table({"a": moments})), "ordered": False}
    field = pa.field("a", cells.type, metadata={"lionproc.dtype": json.dumps(note)})
    pq.write_table(pa.table([cells], schema=pa.schema([field])), tmp_path / "zone.parquet")
    with pytest.raises(ConfigurationError, match="damaged"):
        read_parquet(tmp_path / "zone.parquet")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Etc/GMT+5", "+05:30", "-01:00", None])
def test_a_time_zone_with_a_name_is_read(tmp_path, zone):
    frame = pd.DataFrame({"at": pd.date_range("2024-01-01", periods=2, tz=zone)})
    frame.to_parquet(tmp_path / "zone.parquet")
    assert read_parquet(tmp_path / "zone.parquet")["at"].tolist() == frame["at"].tolist()


@pytest.mark.parametrize("where", ["type", "type within", "held", "held type"])
def test_a_note_within_another_that_takes_far_more_memory_than_its_bytes_is_damage(
    tmp_path, monkeypatch, where
):
    monkeypatch.setattr(notes, "SPARE", 10_000)
    nothing = '"kind": "arrow", "columns": [], "index_columns": [], "column_indexes": []'
    many = f'{{{nothing}, "x": [{",".join(["{}"] * 10_000)}]}}'
    of_type = {"ARROW:extension:name": "lionproc.column", "ARROW:extension:metadata": many}
    field, cells = pa.field("a", pa.int64(), metadata=of_type), pa.array([1, 2])
    if where.startswith("held"):
        field = field if where == "held type" else pa.field("a", pa.int64())
        held = pa.table([cells], schema=pa.schema([field], metadata={"pandas": many}))
        note = {"kind": "category", "held": packed(held), "ordered": False}
        field = pa.field("a", pa.int64(), metadata={"lionproc.dtype": json.dumps(note)})
    elif where == "type within":
        field, cells = pa.field("a", pa.list_(field)), pa.array([[1], [2]], pa.list_(field))
    pq.write_table(pa.table([cells], schema=pa.schema([field])), tmp_path / "many.parquet")
    with pytest.raises(ConfigurationError, match="damaged"):
        read_parquet(tmp_path / "many.parquet")


def test_a_note_of_another_program_that_is_no_json_is_no_damage(tmp_path):
    table = pa.table({"a": [1]}).replace_schema_metadata({"theirs": b"see " + b"[" * 2000})
    pq.write_table(table, tmp_path / "theirs.parquet")
    assert len(read_parquet(tmp_path / "theirs.parquet")) == 1


@pytest.mark.parametrize("name", ["pandas", "lionproc.columns", "anything"])
def test_a_note_that_takes_far_more_memory_than_it_has_bytes_is_damage(tmp_path, monkeypatch, name):
    monkeypatch.setattr(notes, "SPARE", 10_000)
    few, many = ("[" + ",".join(["[]"] * count) + "]" for count in (10, 10_000))
    table = pa.table({"a": [1]})
    pq.write_table(table.replace_schema_metadata({name: many}), tmp_path / "many.parquet")
    with pytest.raises(ConfigurationError, match="damaged"):
        read_parquet(tmp_path / "many.parquet")
    pq.write_table(table.replace_schema_metadata({"anything": few}), tmp_path / "few.parquet")
    assert len(read_parquet(tmp_path / "few.parquet")) == 1
