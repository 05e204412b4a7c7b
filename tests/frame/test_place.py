"""`~`, addresses and files that are there already, as targets of `save=` and of exports."""

import contextlib
import importlib.util
import os
import stat
import sys
import threading
import traceback
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import lionproc as lp
from lionproc.engine.new_file import NewFile
from lionproc.errors import ConfigurationError, MissingDependencyError
from lionproc.frame.export import SaveError, write_parquet
from lionproc.frame.parquet_reader import read_facts


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "lionproc"))
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "me"


@pytest.fixture
def ask(server):
    model = lp.Model("openai/m", base_url=server.base_url, api_key=server.key)

    def ask(frame, into="a", **more):
        return frame.llm.process("Say {text}", into, model=model, progress=False, **more)

    return ask


@pytest.fixture
def memory():
    MemoryFileSystem.store.clear()
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()


def texts(count):
    return pd.DataFrame({"text": [f"text {n}" for n in range(count)]})


# --- the home folder ----------------------------------------------------------------------------


def test_a_tilde_is_the_home_folder_everywhere(ask, home):
    out = ask(texts(2), save="~/deep/out.parquet")
    ask(texts(2), save="~/parts/", journal="~/journal.sqlite")
    pd.testing.assert_frame_equal(lp.read_parquet("~/deep/out.parquet"), out)
    pd.testing.assert_frame_equal(lp.read_parquet("~/parts/"), out)
    assert lp.read_facts("~/deep/out.parquet")["rows"] == 2
    assert lp.last_job().save("~/again.parquet") == str(home / "again.parquet")
    assert out.llm.to_csv("~/out.csv") == home / "out.csv"
    assert out.llm.to_excel("~/out.xlsx") == home / "out.xlsx"
    branch = lp.Branch("talk", "Be brief.")
    branch.save("~/talk.json")
    assert lp.Branch.load("~/talk.json").system == "Be brief."
    assert sorted(entry.name for entry in home.iterdir()) == sorted(
        ["again.parquet", "deep", "journal.sqlite", "out.csv", "out.xlsx", "parts", "talk.json"]
    )
    assert list(home.parent.joinpath("work").iterdir()) == []


# --- addresses ----------------------------------------------------------------------------------


def test_an_address_that_fsspec_knows_is_saved_to_and_read_from(ask, memory, home):
    out = ask(texts(3), save="memory://bucket/out.parquet")
    assert lp.last_job().report().facts["saved_to"] == "memory://bucket/out.parquet"
    pd.testing.assert_frame_equal(lp.read_parquet("memory://bucket/out.parquet"), out)
    assert read_facts("memory://bucket/out.parquet")["rows"] == 3
    ask(texts(3), save="memory://bucket/parts/", chunk_size=2)
    pd.testing.assert_frame_equal(lp.read_parquet("memory://bucket/parts/"), out)
    assert out.llm.to_csv("memory://bucket/out.csv.gz", index=False) == "memory://bucket/out.csv.gz"
    assert memory.cat("/bucket/out.csv.gz")[:2] == b"\x1f\x8b"
    out.llm.to_excel("memory://bucket/out.xlsx")
    assert memory.cat("/bucket/out.xlsx")[:2] == b"PK"
    assert list(home.parent.joinpath("work").iterdir()) == []


def test_a_file_address_is_a_file_of_this_machine(ask, home):
    ask(texts(1), save=f"file://{home}/out.parquet")
    assert len(lp.read_parquet(home / "out.parquet")) == 1


def test_a_folder_at_an_address_is_not_mixed_with_another_run(ask, memory, server):
    ask(texts(3), save="memory://bucket/parts/")
    sent = server.counters.total
    with pytest.raises(ConfigurationError, match="parts of another run"):
        ask(texts(2), save="memory://bucket/parts/")
    assert server.counters.total == sent


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody says what is open")
def test_what_is_saved_is_opened_once_and_closed_before_it_has_its_name(ask, home, monkeypatch):
    """As disks want it that send a file away when it is closed, or give no name to what is open."""

    def opened(name):
        count = 0
        for each in list(Path("/proc/self/fd").iterdir()):
            with contextlib.suppress(FileNotFoundError):  # that of the look itself
                count += each.readlink().name == name
        return count

    def rename(source, target, **how):
        named.append(Path(target).name)
        still_open.append(opened(source))
        replace(source, target, **how)

    def flush(self):
        most_open.append(opened(self._temporary))
        flushed(self)

    named, still_open, most_open = [], [], []
    replace, flushed = os.replace, NewFile.flush
    out = ask(texts(2))
    monkeypatch.setattr(os, "replace", rename)
    monkeypatch.setattr(NewFile, "flush", flush)
    out.llm.to_csv("a.csv")
    out.llm.to_csv("a.csv", mode="a")
    out.llm.to_csv("a.csv.gz")
    out.llm.to_csv("a.csv.zip")
    out.llm.to_excel("a.xlsx")
    out.llm.to_jsonl("a.jsonl")
    out.llm.to_jsonl("a.jsonl.gz")
    out.llm.to_parquet("a.parquet")
    lp.last_job().report().to_html("a.html")
    ask(texts(2), save="saved.parquet")
    ask(texts(2), save="parts/")
    assert {"a.csv", "a.csv.zip", "a.xlsx", "a.jsonl.gz", "a.html", "saved.parquet"} <= {*named}
    assert set(still_open) == {0}
    assert set(most_open) == {1}


def test_what_is_sent_to_an_address_is_whole_before_its_first_byte_leaves(memory, monkeypatch):
    memory.pipe("/bucket/out.csv", b"old")

    def half(self, file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    with pytest.raises(SaveError, match="No space left"):
        texts(1).llm.to_csv("memory://bucket/out.csv")
    assert memory.cat("/bucket/out.csv") == b"old"


def test_an_address_without_what_opens_it_is_refused_with_the_line_that_installs_it(
    ask, server, monkeypatch, home
):
    found = importlib.util.find_spec
    for hidden, line in (("fsspec", "pip install fsspec s3fs"), ("s3fs", "pip install s3fs")):
        if hidden == "s3fs" and found("s3fs") is not None:
            continue
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *more, hidden=hidden: None if name == hidden else found(name, *more),
        )
        for act in (
            lambda: ask(texts(1), save="s3://bucket/out.parquet"),
            lambda: lp.read_parquet("s3://bucket/out.parquet"),
            lambda: texts(1).llm.to_csv("s3://bucket/out.csv"),
        ):
            with pytest.raises(MissingDependencyError, match=line):
                act()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        ask(texts(1), save="nobody-knows://bucket/out.parquet")
    assert server.counters.total == 0
    assert list(home.parent.joinpath("work").iterdir()) == []


def test_a_journal_and_a_service_are_kept_on_this_machine(ask, server, home):
    with pytest.raises(lp.errors.JournalError, match="is an address"):
        ask(texts(1), journal="s3://bucket/journal.sqlite")
    with pytest.raises(ConfigurationError, match="is an address"):
        lp.ProcessingService(save_dir="s3://bucket/requests")
    assert server.counters.total == 0
    assert list(home.parent.joinpath("work").iterdir()) == []


def test_a_password_in_an_address_is_not_told(memory, monkeypatch):
    class Locked(MemoryFileSystem):
        protocol = "locked"

        def put_file(self, *_, **__):
            raise PermissionError(13, "Access denied")

    fsspec.register_implementation("locked", Locked, clobber=True)
    with pytest.raises(SaveError, match="Access denied") as caught:
        write_parquet(texts(1), "locked://me:SECRET@host/out.parquet", {})
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "s3://me:with/SECRET@bucket/out.parquet",
        "s3://me:with?SECRET@bucket/out.parquet",
        "s3://me:with#SECRET@bucket/out.parquet",
        "ftp://me:SECRET/@127.0.0.1:1/out.parquet",
        "https://127.0.0.1:1/out.parquet?sig=SECRET",
        "https://127.0.0.1:1/out.parquet#sig=SECRET",
        "https://127.0.0.1:1/out.parquet?u=a@b&sig=SECRET",
        "file://me:SECRET@host/out.parquet",
    ],
)
def test_no_sign_in_a_password_lets_it_be_told(ask, server, address):
    def csv():
        return texts(1).llm.to_csv(address)

    for work in (lambda: ask(texts(1), save=address), csv, lambda: lp.read_parquet(address)):
        with pytest.raises((ConfigurationError, SaveError)) as caught:
            work()
        assert "SECRET" not in "".join(traceback.format_exception(caught.value))
    assert server.counters.total == 0


# --- files that are there -----------------------------------------------------------------------


def test_a_file_with_more_rows_is_not_replaced_unless_told(ask, server):
    ask(texts(60), save="out.parquet")
    sent = server.counters.total
    with pytest.raises(ConfigurationError, match=r"60 rows, and this run has 5.*overwrite=True"):
        ask(lp.read_parquet("out.parquet").head(5), "b", save="out.parquet")
    assert server.counters.total == sent
    assert len(lp.read_parquet("out.parquet")) == 60
    ask(lp.read_parquet("out.parquet").head(5), "b", save="out.parquet", overwrite=True)
    assert len(lp.read_parquet("out.parquet")) == 5


def test_a_file_with_columns_that_this_run_does_not_have_is_not_replaced_unless_told(ask):
    pd.DataFrame({"text": ["a"], "precious": [1]}).to_parquet("out.parquet")
    with pytest.raises(ConfigurationError, match="column 'precious'"):
        ask(texts(3), save="out.parquet")
    ask(texts(3), save="out.parquet", overwrite=True)
    assert list(lp.read_parquet("out.parquet")) == ["text", "a"]


@pytest.mark.parametrize("there", ["out.parquet", "memory://odd/out.parquet"])
def test_a_file_that_is_no_parquet_is_not_replaced_unless_told(ask, server, there):
    """It may be somebody's notes under a name of habit; an empty one is only a name."""
    with fsspec.open(there, "wb") as file:
        file.write(b"my notes")
    with pytest.raises(ConfigurationError, match=r"is no parquet file.*overwrite=True"):
        ask(texts(2), save=there)
    assert server.counters.total == 0
    with fsspec.open(there, "rb") as file:
        assert file.read() == b"my notes"
    ask(texts(2), save=there, overwrite=True)
    assert len(lp.read_parquet(there)) == 2
    with fsspec.open(there, "wb"):
        pass
    ask(texts(2), save=there)
    assert len(lp.read_parquet(there)) == 2


def test_running_a_cell_again_replaces_its_file(ask):
    ask(texts(3), save="out.parquet")
    ask(texts(3), save="out.parquet")
    ask(texts(5), "other", save="out.parquet")  # the answers of before are in the journal
    frame = lp.read_parquet("out.parquet").set_index("text", append=True).reset_index(level=1)
    ask(frame, "third", save="out.parquet")
    assert list(lp.read_parquet("out.parquet")) == ["text", "other", "third"]


def test_a_file_at_an_address_is_not_replaced_by_less_either(ask, memory):
    ask(texts(4), save="memory://bucket/out.parquet")
    with pytest.raises(ConfigurationError, match="4 rows"):
        ask(texts(3), save="memory://bucket/out.parquet")


# --- exports ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.csv", "out.xlsx"])
def test_an_export_replaces_no_pipe_and_no_link_and_keeps_the_rights(tmp_path, name):
    export = texts(1).llm.to_csv if name.endswith("csv") else texts(1).llm.to_excel
    os.mkfifo(f"pipe-{name}")
    with pytest.raises(SaveError, match="device, pipe or socket"):
        export(f"pipe-{name}")
    path = tmp_path / name
    path.write_text("old")
    path.chmod(0o600)
    (tmp_path / f"link-{name}").symlink_to(path)
    export(tmp_path / f"link-{name}")
    assert (tmp_path / f"link-{name}").is_symlink()
    assert path.read_bytes() != b"old"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_export_is_flushed_to_the_disk(monkeypatch):
    seen = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (seen.append(handle), real(handle)))
    texts(1).llm.to_csv("out.csv")
    assert len(seen) == 2  # the file and its folder


def test_a_csv_can_be_gone_on_with_and_be_demanded_to_be_new(tmp_path):
    texts(1).llm.to_csv("out.csv", index=False)
    texts(2).llm.to_csv("out.csv", index=False, mode="a", header=False)
    assert pd.read_csv("out.csv")["text"].tolist() == ["text 0", "text 0", "text 1"]
    with pytest.raises(SaveError, match="is there already"):
        texts(1).llm.to_csv("out.csv", mode="x")
    texts(1).llm.to_csv("new.csv", mode="x")
    assert len(pd.read_csv("new.csv")) == 1


@pytest.mark.parametrize(
    "encoding", [None, "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp037", "cp500"]
)
@pytest.mark.parametrize("is_open", [True, False])
def test_the_first_new_row_is_no_part_of_a_last_line_that_was_left_open(encoding, is_open):
    last = "text\nlast" if is_open else "text\nlast\n"
    Path("out.csv").write_bytes(last.encode(encoding or "utf-8"))
    how = {} if encoding is None else {"encoding": encoding}
    texts(1).llm.to_csv("out.csv", index=False, mode="a", header=False, **how)
    texts(1).llm.to_csv("out.csv", index=False, mode="a", header=False, **how)
    said = Path("out.csv").read_bytes().decode(encoding or "utf-8").replace("\ufeff", "")
    assert said == 'text\nlast\n"text 0"\n"text 0"\n'


@pytest.mark.parametrize("mode", ["A", "r+", "", "append"])
def test_a_mode_that_is_none_replaces_nothing(mode):
    texts(1).llm.to_csv("out.csv")
    before = Path("out.csv").read_bytes()
    with pytest.raises(ConfigurationError, match="is none: 'w' replaces the file"):
        texts(2).llm.to_csv("out.csv", mode=mode)
    assert Path("out.csv").read_bytes() == before


def test_rows_with_an_end_of_their_own_are_added_as_they_are():
    for _ in range(2):
        texts(1).llm.to_csv("out.csv", index=False, header=False, mode="a", lineterminator="|")
    assert "\n" not in Path("out.csv").read_text()


@pytest.mark.parametrize("ending", ["gz", "bz2", "zip", "xz", "tar"])
def test_a_csv_is_compressed_as_its_name_says(ending):
    path = f"out.csv.{ending}"
    texts(2).llm.to_csv(path, index=False)
    assert pd.read_csv(path)["text"].tolist() == ["text 0", "text 1"]
    if ending == "zip":
        import zipfile

        with zipfile.ZipFile(path) as archive:
            assert archive.namelist() == ["out.csv"]


def test_a_store_that_does_not_answer_holds_up_its_own_run_and_no_other(
    server, memory, monkeypatch
):
    many = min(32, (os.cpu_count() or 1) + 4)  # threads of the engine's pool
    began, answers, opened = threading.Event(), threading.Event(), MemoryFileSystem._open

    def hangs(*args, **kwargs):
        began.set()
        answers.wait(60)
        return opened(*args, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "_open", hangs)
    model = lp.Model("openai/m", base_url=server.base_url, api_key=server.key)
    asked = {"into": "a", "model": model, "progress": False}
    job = texts(many).llm.start("Say {text}", save="memory://far/", chunk_size=1, **asked)
    assert began.wait(20)
    assert texts(3).llm.start("Tell {text}", **asked).result(20)["a"].notna().all()
    assert not job.done
    answers.set()
    job.result(20)
    assert len(memory.ls("memory://far")) == many
