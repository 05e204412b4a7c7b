"""A parquet file of somebody else is read in a process of its own first."""

import errno
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from decimal import Decimal

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lionproc as lp
from lionproc.cli.reading import read
from lionproc.engine import kept_process, spare_memory
from lionproc.engine.kept_process import KeptProcess
from lionproc.engine.own_secret import own_secret
from lionproc.errors import ConfigurationError
from lionproc.frame import parquet_reader, parquet_trial
from lionproc.frame.export import write_parquet
from lionproc.frame.local_copy import local_copy
from lionproc.frame.own_file import NO_MARK, OWN, is_own, make_own
from lionproc.frame.parquet_reader import footer_of
from lionproc.frame.save_target import part_of

SPARE = 100_000_000  # bytes
ROWS = 200_000
TEXT = "a text of forty letters, in each row.. " * 25
SHARES_TEXTS = int(pd.__version__.partition(".")[0]) < 3  # texts are objects of Python
posix = pytest.mark.skipif(os.name != "posix", reason="whose a file is is not known there")


@pytest.fixture
def spare(monkeypatch):
    """A machine with little memory, and a process that has none left of what it read before."""
    parquet_trial.PROCESS.stop()
    monkeypatch.setattr(parquet_trial, "spare_memory", lambda: SPARE)
    monkeypatch.setattr(parquet_trial, "TIMES", 10)


def folded(text=TEXT, rows=ROWS):
    """A column of one text, which stands in a file once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, "i4")), pa.array([text]))


def in_lists(values, of=10):
    return pa.ListArray.from_arrays(list(range(0, len(values) + 1, of)), values)


def one_after_the_other(count):
    """Short texts, all different, of which a file has nearly nothing."""
    made = [f"{n:07}" for n in range(count)]
    return pa.array(made)


TEXTS = {"name": "t", "field_name": "t", "pandas_type": "unicode", "numpy_type": "string"}
PLAIN = {"store_schema": False}
ALIKE = {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY", "compression": "zstd"}
STRANGE = {
    "one long text in each row": (folded, PLAIN),
    "one in lists": (lambda: in_lists(folded()), PLAIN),
    "a dictionary in lists": (lambda: in_lists(folded()), {}),
    "one in records": (lambda: pa.StructArray.from_arrays([folded()], ["a"]), PLAIN),
    "different texts in lists": (lambda: in_lists(one_after_the_other(800_000)), ALIKE),
    "no texts of a fixed length": (lambda: pa.nulls(ROWS, pa.binary(1000)), {}),
    "empty lists": (lambda: pa.array([[]] * 1_500_000, pa.list_(pa.int64())), {}),
    "decimals": (lambda: pa.array([Decimal("0.01")]).take(pa.array([0] * 1_500_000)), {}),
    "texts of which many begin alike": (
        lambda: pa.array([f"{TEXT}{n:05}" for n in range(ROWS)]),
        ALIKE,
    ),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_file_of_a_few_bytes_that_takes_more_than_there_is_is_refused(
    tmp_path, monkeypatch, spare, kind
):
    make, how = STRANGE[kind]
    path = tmp_path / "of a stranger.parquet"
    pq.write_table(pa.table({"t": make()}), path, **how)
    assert 10 * path.stat().st_size < SPARE
    with monkeypatch.context() as patch:
        patch.setattr(pq, "read_table", None)
        for door in (lp.read_parquet, read):
            with pytest.raises(
                ConfigurationError, match=r"can spare for a table.*LIONPROC_TRUST=.*"
            ):
                door(str(path))


def test_levels_of_an_index_that_take_no_bytes_are_refused(tmp_path, spare):
    rows = 600_000
    levels = [{"kind": "range", "name": None, "start": 0, "stop": rows, "step": 1}] * 32
    said = {"index_columns": levels, "column_indexes": [], "columns": []}
    table = pa.table({"t": pa.array(np.zeros(rows, "i1"))})
    pq.write_table(
        table.replace_schema_metadata({"pandas": json.dumps(said)}), tmp_path / "a.parquet"
    )
    with pytest.raises(ConfigurationError, match="can spare for a table"):
        lp.read_parquet(tmp_path / "a.parquet")


@pytest.mark.skipif(SHARES_TEXTS, reason="each text is there once, however many rows have it")
def test_the_parts_of_a_folder_are_refused_for_what_they_take_together(tmp_path, spare):
    """Each has one category of its own, of which pandas makes a text in each row of both."""
    for number, letter in enumerate("ab"):
        table = pa.table({"t": folded(letter * 4000, 10_000)})
        pq.write_table(table, tmp_path / part_of(number, "r"))
        assert len(lp.read_parquet(tmp_path / part_of(number, "r"))) == 10_000
    with pytest.raises(ConfigurationError, match=r"part-00000-.* can spare for a table"):
        lp.read_parquet(tmp_path)


@pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")
@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("string", "mode.string_storage", "python"),
        *([] if SHARES_TEXTS else [(None, "future.infer_string", False)]),
    ],
)
def test_texts_are_tried_as_what_they_are_to_pandas_here(  # noqa: PLR0917
    tmp_path, spare, monkeypatch, kind, option, value
):
    monkeypatch.setattr(parquet_trial, "spare_memory", lambda: 140_000_000)  # of 90, or of 200
    table = pa.table({"t": one_after_the_other(1_500_000)})
    if kind is not None:
        columns = [{**TEXTS, "numpy_type": kind}]
        said = json.dumps({"columns": columns, "index_columns": [], "column_indexes": []})
        table = table.replace_schema_metadata({"pandas": said})
    pq.write_table(table, tmp_path / "a.parquet")
    in_arrow = {"mode.string_storage": "pyarrow", "future.infer_string": True}[option]
    with pd.option_context(option, in_arrow):
        assert len(lp.read_parquet(tmp_path / "a.parquet")) == 1_500_000
    parquet_trial.PROCESS.stop()
    with (
        pd.option_context(option, value),
        pytest.raises(ConfigurationError, match="can spare for a table"),
    ):
        lp.read_parquet(tmp_path / "a.parquet")


@pytest.mark.skipif(os.name != "posix", reason="there is no hole in a file without a word")
def test_a_hole_in_a_file_is_none_of_its_bytes(tmp_path, spare):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"t": folded()}), path, store_schema=False)
    content = path.read_bytes()
    end = int.from_bytes(content[-8:-4], "little") + 8
    with path.open("r+b") as file:
        file.truncate(len(content) - end + 2**30)
        file.seek(0, os.SEEK_END)
        file.write(content[-end:])
    with pytest.raises(ConfigurationError, match="can spare for a table"):
        lp.read_parquet(path)


def thrift(*fields):
    """A record of Thrift's compact protocol: of each field how far its number is on, kind and value."""
    return b"".join(bytes([on << 4 | kind]) + value for on, kind, value in fields) + b"\0"


def test_a_file_that_never_ends_is_refused(tmp_path, monkeypatch):
    """A row group of a quadrillion rows without a column takes no memory until pandas numbers them."""
    monkeypatch.setattr(parquet_trial, "CPU_S", 1.0)
    rows = bytes([128 | 10**15 * 2 >> 7 * n & 127 for n in range(7)]) + b"\3"
    group = thrift((1, 9, b"\x0c"), (1, 6, b"\0"), (1, 6, rows))
    root = thrift((4, 8, b"\1r"), (1, 5, b"\0"))
    end = thrift((1, 5, b"\4"), (1, 9, b"\x1c" + root), (1, 6, rows), (1, 9, b"\x1c" + group))
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1" + end + struct.pack("<I", len(end)) + b"PAR1")
    with pytest.raises(ConfigurationError, match=r"is not read: .*more than 1 s"):
        lp.read_parquet(path)


def test_what_would_hold_everything_up_is_refused(tmp_path, monkeypatch):
    """pandas folds what is in a tuple to 32 bits: all these labels have one hash."""
    monkeypatch.setattr(parquet_trial, "HELD_S", 0.6)
    monkeypatch.setattr(parquet_trial, "BYTES_A_SECOND_HELD", 2**40)
    nothing = {"name": None, "field_name": None, "metadata": None}
    level = {**nothing, "pandas_type": "unicode", "numpy_type": "object"}
    path = tmp_path / "a.parquet"

    def labels(times):
        names = [f"(({times * n},),'a')" for n in range(1, 12_001)]
        kind = {"pandas_type": "int8", "numpy_type": "int8"}
        columns = [{**nothing, "name": name, "field_name": name, **kind} for name in names]
        said = {"index_columns": [], "column_indexes": [level] * 2, "columns": columns}
        table = pa.table([pa.array([1], pa.int8())] * len(names), names=names)
        pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(said)}), path)
        return lp.read_parquet(path)

    assert labels(1).shape == (1, 12_000)
    with pytest.raises(ConfigurationError, match="in which nothing else is done"):
        labels(2**32 + 1)


def test_what_arrow_does_in_threads_of_its_own_holds_everything_up_too(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_trial, "HELD_S", 0.3)
    monkeypatch.setattr(parquet_trial, "BYTES_A_SECOND_HELD", 2**40)
    hard = pa.array([Decimal("0.01")]).take(pa.array(np.zeros(2_000_000, "i4")))
    for values in (pa.array(np.zeros(2_000_000)), hard):
        pq.write_table(pa.table({"a": values, "b": values}), tmp_path / "a.parquet")
        if values is not hard:
            assert len(lp.read_parquet(tmp_path / "a.parquet")) == 2_000_000
    with pytest.raises(ConfigurationError, match="in which nothing else is done"):
        lp.read_parquet(tmp_path / "a.parquet")


DEEP = """
import sys
sys.setrecursionlimit(10**6)
import lionproc as lp
try:
    lp.read_parquet(sys.argv[1])
except lp.errors.ConfigurationError as error:
    print(error)
"""


def test_a_type_that_is_read_too_deep_for_this_process_ends_another_one(tmp_path):
    """pandas reads what its own types say as JSON, as deep as the limit of recursion lets it."""
    deep = b"[" * 500_000
    field = {b"ARROW:extension:name": b"pandas.period", b"ARROW:extension:metadata": deep}
    schema = pa.schema([pa.field("t", pa.int64(), metadata=field)])
    table = pa.table([pa.array([1])], schema=schema)
    pq.write_table(table, tmp_path / "a.parquet")
    done = subprocess.run(
        [sys.executable, "-c", DEEP, str(tmp_path / "a.parquet")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "cannot be read" in done.stdout or "end the process that reads it" in done.stdout
    assert done.returncode == 0


STAND_IN = """
import os, signal
def serve(message, within):
    {happens}
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A process in which something else happens."""
    made = []

    def put(happens):
        file = tmp_path / "stand_in.py"
        file.write_text(STAND_IN.format(happens=happens))
        made.append(KeptProcess(file, ()))
        monkeypatch.setattr(parquet_trial, "PROCESS", made[-1])
        return made[-1]

    yield put
    for each in made:
        each.stop()


def foreign(path, frame=None):
    """A file that pandas wrote."""
    made = pd.DataFrame({"text": ["a", "b"], "n": [1, 2]}) if frame is None else frame
    made.to_parquet(path)
    return made


def test_a_file_that_ends_the_process_that_reads_it_is_refused(tmp_path, stand_in):
    foreign(tmp_path / "a.parquet")
    stand_in("os.abort()")
    for door in (lp.read_parquet, lp.read_facts, footer_of):
        with pytest.raises(ConfigurationError, match="end the process that reads it"):
            door(tmp_path / "a.parquet")
    df = pd.DataFrame({"text": ["a"]})
    with pytest.raises(ConfigurationError, match="end the process that reads it"):
        df.llm.process(
            "{text}", model=lp.Model("openai/m", api_key="k"), save=tmp_path / "a.parquet"
        )


@posix
def test_ctrl_c_is_heard_while_a_file_is_tried_and_the_next_one_is_read(
    tmp_path, stand_in, monkeypatch
):
    frame = foreign(tmp_path / "a.parquet")
    process = stand_in("os.kill(os.getppid(), signal.SIGINT); signal.pause()")
    with pytest.raises(KeyboardInterrupt):
        lp.read_parquet(tmp_path / "a.parquet")
    assert process.process.poll() is not None
    monkeypatch.undo()
    pd.testing.assert_frame_equal(lp.read_parquet(tmp_path / "a.parquet"), frame)


def test_where_no_process_can_be_started_a_strangers_file_is_not_read(tmp_path, monkeypatch):
    frame = foreign(tmp_path / "a.parquet")
    monkeypatch.setattr(kept_process, "_interpreter", lambda: None)
    parquet_trial.PROCESS.stop()
    with pytest.raises(ConfigurationError, match=r"none could be started.*LIONPROC_TRUST"):
        lp.read_parquet(tmp_path / "a.parquet")
    monkeypatch.setenv("LIONPROC_TRUST", str(tmp_path))
    pd.testing.assert_frame_equal(lp.read_parquet(tmp_path / "a.parquet"), frame)


def test_a_file_at_an_address_is_copied_once_and_tried_here(stand_in, tmp_path, monkeypatch):
    frame = foreign(tmp_path / "a.parquet")
    store = fsspec.filesystem("memory")
    store.pipe("/trial/a.parquet", (tmp_path / "a.parquet").read_bytes())
    address, opened = "memory://trial/a.parquet", []
    open_file = store.open
    monkeypatch.setattr(
        type(store), "open", lambda self, *args, **how: opened.append(1) or open_file(*args, **how)
    )
    pd.testing.assert_frame_equal(lp.read_parquet(address), frame)
    assert len(opened) == 1
    rows, schema = footer_of(lp.frame.place.place_of(address))
    assert (rows, schema.names) == (2, ["text", "n"])
    stand_in("os.abort()")
    with pytest.raises(ConfigurationError, match=r"a\.parquet' is not read.*copy on this machine"):
        lp.read_parquet(address)


def test_what_is_damaged_is_told_as_that_and_not_read_here(tmp_path, monkeypatch):
    """It may have failed for want of memory, and here there is no bound for it."""
    monkeypatch.setattr(parquet_reader, "read_files", None)
    monkeypatch.setattr(parquet_reader, "read_footer", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    with pytest.raises(ConfigurationError, match=r"a\.parquet' cannot be read.*damaged") as caught:
        lp.read_parquet(tmp_path / "a.parquet")
    assert caught.value.__cause__ is not None
    with pytest.raises(pa.ArrowInvalid):
        footer_of(tmp_path / "a.parquet")
    with pytest.raises(ConfigurationError, match="was not saved by lionproc"):
        lp.read_facts(tmp_path / "a.parquet")
    for number, index in enumerate((pd.RangeIndex(1), pd.MultiIndex.from_tuples([("a", 1)]))):
        part = tmp_path / "parts" / part_of(number, "r")
        part.parent.mkdir(exist_ok=True)
        pd.DataFrame({"a": [1]}, index=index).to_parquet(part)
    with pytest.raises(ConfigurationError, match=r"parts/?' cannot be read.*damaged"):
        lp.read_parquet(tmp_path / "parts")


# ---- what was saved here


@pytest.fixture
def never_tried(monkeypatch):
    """Nothing is tried any more."""

    def forbid():
        monkeypatch.setattr(parquet_trial.PROCESS, "ask", None)

    return forbid


def test_what_was_saved_here_is_read_as_it_is_however_often_a_prompt_is_there(
    tmp_path, spare, never_tried, monkeypatch
):
    rows = 150_000
    frame = pd.DataFrame({"prompt": [TEXT] * rows, "label": ["positive", "negative"] * (rows // 2)})
    write_parquet(frame, tmp_path / "run.parquet", {})
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
        with pytest.raises(ConfigurationError, match="can spare for a table"):
            lp.read_parquet(tmp_path / "run.parquet")
    never_tried()
    pd.testing.assert_frame_equal(lp.read_parquet(tmp_path / "run.parquet"), frame)
    assert lp.read_facts(tmp_path / "run.parquet") == {}


def test_a_file_that_is_copied_or_moved_is_known_as_long_as_nobody_changes_a_byte(tmp_path):
    write_parquet(pd.DataFrame({"a": [1], "b": ["x"]}), tmp_path / "a.parquet", {"n": 5})
    assert is_own(tmp_path / "a.parquet")
    shutil.copy(tmp_path / "a.parquet", tmp_path / "b.parquet")
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.parquet").rename(tmp_path / "folder" / "a.parquet")
    assert is_own(tmp_path / "b.parquet")
    assert is_own(tmp_path / "folder" / "a.parquet")
    whole = (tmp_path / "b.parquet").read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        (tmp_path / "b.parquet").write_bytes(changed)
        assert not is_own(tmp_path / "b.parquet"), place
    for changed in (whole[:-1], whole + b"x", whole[4:], b""):
        (tmp_path / "b.parquet").write_bytes(changed)
        assert not is_own(tmp_path / "b.parquet")


def test_a_file_that_somebody_has_written_again_with_its_mark_is_not_ones_own(tmp_path):
    path = tmp_path / "a.parquet"
    write_parquet(pd.DataFrame({"a": [1]}), path, {})
    mark = pq.read_metadata(path).metadata[OWN]
    assert mark != NO_MARK
    table = pq.read_table(path).replace_schema_metadata({OWN: mark})
    with path.open("r+b") as file:  # in its place on the disk
        file.truncate(0)
        pq.write_table(table, file)
    assert not is_own(path)
    pq.write_table(table.replace_schema_metadata({OWN: NO_MARK, "more": OWN}), path)
    with path.open("r+b") as file:
        make_own(file)
    assert not is_own(path)  # there are two places for a mark


@posix
def test_a_hole_of_terabytes_is_not_read_for_a_mark(tmp_path):
    write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "a.parquet", {})
    whole = (tmp_path / "a.parquet").read_bytes()
    with (tmp_path / "b.parquet").open("wb") as file:
        file.truncate(2**42)
        file.seek(0, os.SEEK_END)
        file.write(whole)
    assert not is_own(tmp_path / "b.parquet")


def test_on_a_disk_that_takes_no_changes_a_file_is_saved_without_a_mark(tmp_path, monkeypatch):
    def opened(handle, mode, **how):
        if mode == "r+b":  # in what is written
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return fdopen(handle, mode, **how)

    fdopen = os.fdopen
    monkeypatch.setattr(os, "fdopen", opened)
    write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "a.parquet", {})
    assert not is_own(tmp_path / "a.parquet")
    assert lp.read_parquet(tmp_path / "a.parquet")["a"].tolist() == [1]


def test_the_secret_is_for_its_user_alone_or_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert own_secret(make=False) is None
    assert not (tmp_path / "state").exists()
    secret = own_secret(make=True)
    assert own_secret(make=True) == own_secret(make=False) == secret
    if os.name == "posix":
        file = tmp_path / "state" / "lionproc" / "secret"
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        file.chmod(0o640)
        assert own_secret(make=False) is None
        write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "a.parquet", {})
        assert pq.read_metadata(tmp_path / "a.parquet").metadata[OWN] == NO_MARK
        assert lp.read_parquet(tmp_path / "a.parquet")["a"].tolist() == [1]
        file.chmod(0o600)
        file.write_bytes(secret[:-1])  # as if a disk had been full
        assert own_secret(make=False) is None
        assert own_secret(make=True) not in {None, secret}


def test_a_pipe_is_not_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no pipes with a name")
    os.mkfifo(tmp_path / "a.parquet")
    assert not is_own(tmp_path / "a.parquet")
    with pytest.raises(ConfigurationError, match="pipe"):
        lp.read_parquet(tmp_path / "a.parquet")


# ---- the process


def test_packages_are_found_there_in_the_order_in_which_they_are_found_here(tmp_path, monkeypatch):
    for folder, names in (("first", ["one"]), ("then", ["one", "other"])):
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
            (tmp_path / folder / name / "__init__.py").write_text(f"place = {folder!r}")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "then"), *sys.path])
    file = tmp_path / "serves.py"
    file.write_text("def serve(message, within):\n    import one\n    return one.place")
    process = KeptProcess(file, ("other", "one"))
    assert process.ask({}, 1) == "first"
    process.stop()


def test_it_ends_when_nothing_comes_and_another_one_begins(tmp_path):
    if not hasattr(signal, "setitimer"):
        pytest.skip("nothing can be waited for there")
    file = tmp_path / "serves.py"
    file.write_text("import os\ndef serve(message, within):\n    return os.getpid()")
    process = KeptProcess(file, (), idle_s=0.01)
    first = process.ask({}, 1)
    process.process.wait()
    assert process.ask({}, 1) != first
    process.stop()


def test_one_that_has_become_large_is_not_kept(tmp_path, monkeypatch):
    foreign(tmp_path / "a.parquet")
    lp.read_parquet(tmp_path / "a.parquet")
    assert parquet_trial.PROCESS.process is not None
    monkeypatch.setattr(parquet_trial, "KEPT", 1)
    lp.read_parquet(tmp_path / "a.parquet")
    assert parquet_trial.PROCESS.process is None


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


@posix
@pytest.mark.parametrize("way", ["the folder", "a folder above", "the file"])
def test_what_others_put_there_after_the_trial_is_not_read(tmp_path, monkeypatch, way):
    folder = tmp_path / "shared" / "data"
    folder.mkdir(parents=True)
    path, other = folder / "a.parquet", tmp_path / "other.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(path)
    pd.DataFrame({"a": [2] * 1000}).to_parquet(other)
    {"the folder": folder, "a folder above": folder.parent, "the file": path}[way].chmod(0o777)

    def then_swapped(*args):
        told = parquet_trial.try_files(*args)
        if way == "the file":
            path.write_bytes(other.read_bytes())
        else:
            other.replace(path)
        return told

    monkeypatch.setattr(parquet_reader, "try_files", then_swapped)
    assert lp.read_parquet(path)["a"].tolist() == [1]
    assert len(pd.read_parquet(path)) == 1000


@posix
def test_a_file_that_nobody_else_can_change_or_a_long_one_is_read_where_it_is(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"x" * 100)
    with local_copy(path) as here:
        assert here == path
    path.chmod(0o666)
    with local_copy(path) as here:
        assert here != path
        assert here.read_bytes() == path.read_bytes()
    with local_copy(path, most=99) as here:
        assert here == path
