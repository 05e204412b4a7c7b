"""Journals on disks that other machines have too. The disks are those of this machine; what is set is
what the system says of them."""

import asyncio
import contextlib
import multiprocessing
import shutil
import sqlite3
from pathlib import Path

import pytest

from lionproc.engine import file_system, journal_file
from lionproc.engine.journal import Entry, Journal
from lionproc.engine.journal_intake import Log
from lionproc.engine.journal_mark import check_mark
from lionproc.engine.journal_record import to_row
from lionproc.engine.made_here import mark, secret_of
from lionproc.errors import JournalError


@contextlib.contextmanager
def said_to_be(kind):
    """While it lasts, the system says of all disks that they are of this kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_system, "mounts", lambda: [("/", kind)])
        file_system._looked_up.cache_clear()
        yield
    file_system._looked_up.cache_clear()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


def entry(number, reply=b"{}"):
    return Entry(number.to_bytes(16, "big"), reply, "some-model", 10, 2, 1, 0.25, 1.8e9)


def keep(journal, *numbers):
    async def main():
        await asyncio.gather(*(journal.append(entry(number)) for number in numbers))

    asyncio.run(main())


def held(journal):
    return {int.from_bytes(record.key, "big") for record, _ in journal.contents}


def mode_of(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA journal_mode").fetchone()[0]


def beside(path):
    return {each.name for each in path.parent.iterdir()}


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "lustre", "fuse.sshfs"])
def test_on_a_network_disk_each_commit_is_in_the_file_and_on_disk_and_no_memory_is_shared(
    path, kind
):
    with said_to_be(kind), Journal.open(path) as journal:
        keep(journal, 1)
        assert journal.stats().mode == "rollback"
        assert mode_of(path) == "delete"  # which is any but WAL, for who asks anew
        assert held(journal) == {1}
        assert beside(path) == {"journal.sqlite", "journal.sqlite-journal"}
        for link in (journal._file._writer, journal._file._reader):
            assert link.connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
            assert link.connection.execute("PRAGMA journal_mode").fetchone() == (b"truncate",)
            assert link.connection.execute("PRAGMA locking_mode").fetchone() == (b"normal",)
        assert Path(f"{path}-journal").stat().st_size == 0


def test_on_a_disk_of_this_machine_it_is_wal_as_ever(path):
    with said_to_be("ext4"), Journal.open(path) as journal:
        keep(journal, 1)
        assert journal.stats().mode == mode_of(path) == "wal"
        assert journal._file._writer.connection.execute("PRAGMA synchronous").fetchone() == (1,)


def killed_while_writing(path):
    """What a process leaves that was killed: a WAL, and a log of what was not yet in it."""
    from_there = path.with_name("before")
    from_there.mkdir()
    with said_to_be("ext4"), Journal.open(from_there / path.name) as journal:
        keep(journal, 1, 2)
        for each in from_there.iterdir():
            if each.name in {path.name, f"{path.name}-wal"}:
                shutil.copy2(each, path.parent)
    shutil.rmtree(from_there)
    log = Log(path.with_name(f".{path.name}.0.intake"), b"")
    log.add((*to_row(entry(3)), 0))
    log.flush()
    log.close(is_ours=False)
    assert Path(f"{path}-wal").stat().st_size


def test_a_journal_that_was_wal_is_not_any_more_and_keeps_all_that_was_paid(path):
    killed_while_writing(path)
    with said_to_be("nfs4"), Journal.open(path) as journal:
        assert journal.stats().mode == "rollback"
        assert held(journal) == {1, 2, 3}
        assert not {each for each in beside(path) if each.endswith(("-wal", "-shm", ".intake"))}
        keep(journal, 4)
        assert mode_of(path) == "delete"
    with said_to_be("nfs4"), Journal.open(path) as journal:
        assert held(journal) == {1, 2, 3, 4}


def test_while_another_has_it_open_in_wal_mode_it_is_refused_and_then_it_is_not(path, monkeypatch):
    monkeypatch.setattr(journal_file, "BUSY_S", 0.3)
    with said_to_be("ext4"):
        Journal.open(path).close()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM record").fetchone()
        with (
            said_to_be("nfs4"),
            pytest.raises(JournalError, match=r"network disk \(nfs4\).*end it"),
        ):
            Journal.open(path)
        assert mode_of(path) == "wal"
    with said_to_be("nfs4"), Journal.open(path) as journal:
        assert journal.stats().mode == "rollback"


def test_the_machine_that_has_the_disk_keeps_to_what_others_use_and_a_copy_does_not(path, tmp_path):
    with said_to_be("nfs4"), Journal.open(path) as over_network:
        keep(over_network, 1)
        # Past the journal that is open in this process, as the process of another machine would.
        with said_to_be("ext4"), contextlib.closing(journal_file.JournalFile(str(path))) as server:
            server.write([(*to_row(entry(2)), 0)])
            assert server.mode == "rollback"
        assert mode_of(path) == "delete"
        assert held(over_network) == {1, 2}
    copy = tmp_path / "copy.sqlite"
    shutil.copy2(path, copy)
    for place, mode in ((path, "rollback"), (copy, "wal"), (copy, "wal")):
        with said_to_be("ext4"), Journal.open(place) as journal:
            assert journal.stats().mode == mode
            assert held(journal) == {1, 2}


def test_a_folder_that_gets_its_secret_over_the_network_keeps_what_is_said_of_its_journal(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("LIONPROC_HOME")
    monkeypatch.chdir(tmp_path)
    Path(".lionproc").mkdir(mode=0o700)
    mark(tmp_path / ".lionproc", with_secret=False)
    with said_to_be("nfs4"), Journal.open() as journal:
        assert secret_of(journal.path)
    with said_to_be("ext4"), Journal.open() as journal:
        assert journal.stats().mode == "rollback"


def test_a_journal_made_here_is_not_called_a_strangers_where_no_more_can_be_written(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("LIONPROC_HOME")
    monkeypatch.chdir(tmp_path)
    with said_to_be("ext4"), Journal.open() as journal:
        keep(journal, 1)
    with contextlib.closing(sqlite3.connect(journal.path)) as connection:
        connection.execute("PRAGMA query_only = ON")  # as a full disk
        check_mark(connection, journal.path, over_network=True)  # warnings are errors


def write_rows(path, start, barrier, told):
    with said_to_be("nfs4"):
        barrier.wait(30)
        try:
            for first in range(start, start + 120, 10):
                with Journal.open(path) as journal:  # opening is a part of it
                    keep(journal, *range(first, first + 10))
                    told.put(journal.stats().mode)
        except JournalError as error:
            told.put(str(error))


@pytest.mark.parametrize("before", ["none", "wal"])
def test_processes_that_write_at_once_over_a_network_lose_nothing(path, before):
    if before == "wal":
        killed_while_writing(path)
    context = multiprocessing.get_context("spawn")
    barrier, told = context.Barrier(3), context.Queue()
    writers = [
        context.Process(target=write_rows, args=(path, 1000 * n, barrier, told)) for n in (1, 2, 3)
    ]
    for writer in writers:
        writer.start()
    assert [told.get(timeout=50) for _ in range(3 * 12)] == ["rollback"] * 36
    for writer in writers:
        writer.join(30)
    with said_to_be("nfs4"), Journal.open(path) as journal:
        wanted = {number for n in (1, 2, 3) for number in range(1000 * n, 1000 * n + 120)}
        assert held(journal) == wanted | ({1, 2, 3} if before == "wal" else set())
        assert journal.stats().damaged == 0
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
