import asyncio
import contextlib
import itertools
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import tracemalloc
import warnings
from functools import partial
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lionproc.engine import journal as journal_module
from lionproc.engine import (
    journal_file,
    journal_owed,
    journal_record,
    journal_schema,
    journal_writer,
)
from lionproc.engine.journal import Entry, Failure, Journal, Record, Voted
from lionproc.engine.journal_file import JournalFile
from lionproc.engine.journal_record import LARGEST_REPLY, from_row, prefix, to_row
from lionproc.engine.journal_trouble import trouble
from lionproc.engine.usage import Usage
from lionproc.errors import JournalError

BODY = b'{"choices": [{"message": {"content": "fine"}}]}'


def key_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def an_entry(key: bytes = bytes(16), reply: bytes = BODY, **changes) -> Entry:
    return Entry(key, reply, "some-model", 10, 2, 1, 0.25, 1.8e9)._replace(**changes)


def keep(journal: Journal, *records: Record) -> None:
    async def main() -> None:
        for record in records:
            if isinstance(record, Failure):
                waiting = journal.append_failure(record)
            else:
                waiting = journal.keep(record).durable
        await waiting

    asyncio.run(main())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


# What is kept is found


def test_a_reply_is_found_again_byte_for_byte(path):
    entry = an_entry(reply=bytes(range(256)) * 40, model="modèle", seconds=-0.0, at=0.1)
    with Journal.open(path) as journal:
        keep(journal, entry)
        assert journal.find([entry.key, key_of(7)]) == {entry.key: entry}
    with Journal.open(path) as journal:
        assert journal.find([entry.key]) == {entry.key: entry}


def test_the_newest_reply_of_a_key_counts(path):
    with Journal.open(path) as journal:
        keep(journal, an_entry(reply=b"old"), an_entry(reply=b"new"))
        assert journal.find([bytes(16)])[bytes(16)].reply == b"new"
        assert len(journal) == 2


def test_a_failure_hides_the_reply_before_it_and_a_reply_the_failure(path):
    failure = Failure(bytes(16), "timeout", "no reply in 60 s", 3, 1.8e9)
    with Journal.open(path) as journal:
        keep(journal, an_entry(), failure)
        assert journal.find([bytes(16)]) == {}
        assert journal.newest([bytes(16)], Failure) == {bytes(16): failure}
        keep(journal, an_entry(reply=b"later"))
        assert journal.find([bytes(16)])[bytes(16)].reply == b"later"
        assert journal.newest([bytes(16)], Failure) == {}


def test_how_votes_stood_is_found_again_and_is_neither_reply_nor_failure(path):
    voted = Voted(bytes(16), "0 1:refused", 1.8e9)
    with Journal.open(path) as journal:
        keep(journal, voted)
    with Journal.open(path) as journal:
        assert journal.newest([bytes(16), key_of(1)], Voted) == {bytes(16): voted}
        assert journal.find([bytes(16)]) == journal.newest([bytes(16)], Failure) == {}
        assert [record for record, _ in journal.contents] == [voted]
        assert journal.newest([bytes(16)], Voted, since=journal.mark()) == {}


def test_a_run_that_does_not_resume_sees_only_what_came_after_its_mark(path):
    with Journal.open(path) as journal:
        keep(journal, an_entry(key_of(1)), an_entry(key_of(2)))
        mark = journal.mark()
        assert journal.find([key_of(1)], since=mark) == {}
        keep(journal, an_entry(key_of(2), b"mine"))
        found = journal.find([key_of(1), key_of(2)], since=mark)
        assert {key: entry.reply for key, entry in found.items()} == {key_of(2): b"mine"}


def test_keys_that_begin_alike_are_told_apart(path):
    alike = [bytes(8) + number.to_bytes(8, "big") for number in range(5)]
    with Journal.open(path) as journal:
        keep(journal, *(an_entry(key, key) for key in alike[:4]))
        found = journal.find(alike)
        assert {key: entry.reply for key, entry in found.items()} == {k: k for k in alike[:4]}
        assert journal.stats().damaged == 0


def test_thousands_of_keys_are_found_at_once_whatever_their_sign(path):
    random = Random(1)
    keys = [random.randbytes(16) for _ in range(3000)] + [b"\xff" * 16, b"\x80" + bytes(15)]
    with Journal.open(path) as journal:
        keep(journal, *(an_entry(key, key) for key in keys))
        found = journal.find([*keys, *keys, random.randbytes(16)])
        assert {key: entry.reply for key, entry in found.items()} == {k: k for k in keys}


@pytest.mark.parametrize(
    "record",
    [
        an_entry(b"short"),
        an_entry(prompt_tokens=2**63),
        an_entry(seconds=float("nan")),
        an_entry(at=float("inf")),
        Failure(bytes(16), "", "no kind", 1, 1.0),
    ],
)
async def test_a_record_that_cannot_be_kept_is_refused_at_once_and_harms_no_other(record):
    with Journal.open(":memory:") as journal:
        good = journal.append(an_entry(key_of(1)))
        with pytest.raises(ValueError, match=r"key|number|times|kind"):
            journal.append(record) if isinstance(record, Entry) else journal.append_failure(record)
        await good
        assert len(journal) == 1


def test_text_that_utf8_cannot_carry_is_kept_with_a_question_mark():
    with Journal.open(":memory:") as journal:
        keep(journal, an_entry(model="a\ud800\0b"), Failure(key_of(1), "k", "\ud800", 1, 1.0))
        assert journal.find([bytes(16)])[bytes(16)].model == "a?\0b"
        assert journal.newest([key_of(1)], Failure)[key_of(1)].message == "?"


keys = st.integers(0, 5).map(lambda n: bytes(8) + n.to_bytes(8, "big")) | st.binary(
    min_size=16, max_size=16
)
counts = st.integers(0, 10**11)
times = st.floats(0, 1e11)
changed = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
entries = st.builds(
    Entry, keys, st.binary(max_size=200), st.text(max_size=9), counts, counts, counts, times, times,
    usage=st.none(), usd=st.none() | st.floats(0, 1e9),
)  # fmt: skip
failed = (keys, st.text(min_size=1, max_size=9), st.text(), counts, times)
failures = st.builds(Failure, *failed, times)
at_once = st.builds(Failure, *failed, st.just(0.0))  # nothing comes meanwhile


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(entries | at_once, max_size=30), st.integers(0, 30), keys)
def test_find_agrees_with_a_dict_of_the_newest_records(records, since, another):
    expected = {record.key: record for record in records}
    recent = {record.key: record for record in records[since:]}
    asked = [record.key for record in records] + [another]
    with Journal.open(":memory:") as journal:
        if records:
            keep(journal, *records)
        found = {**journal.find(asked), **journal.newest(asked, Failure)}
        assert found == expected
        assert {**journal.find(asked, since), **journal.newest(asked, Failure, since)} == recent
        assert len(journal) == journal.mark() == len(records)


@given(entries | failures, st.data())
def test_no_changed_row_is_ever_believed(record, data):
    row = [item.encode() if isinstance(item, str) else item for item in to_row(record)]
    assert from_row(tuple(row)) == record
    at = data.draw(st.integers(0, len(row) - 1))
    other = data.draw(st.none() | st.binary(max_size=20) | changed)
    if other != row[at] or type(other) is not type(row[at]):
        row[at] = other
        assert from_row(tuple(row)) in {None, record}


# Waiting for the disk


async def test_all_records_of_a_group_share_one_future_and_one_commit(path, monkeypatch):
    # Nothing is slower than this: the group is written when somebody is in a hurry, not before.
    monkeypatch.setattr(journal_writer, "GATHER_S", 3600.0)
    with Journal.open(path) as journal:
        waiting = {id(journal.append(an_entry(key_of(n)))): None for n in range(50)}
        assert len(waiting) == 1
        last = journal.append(an_entry(key_of(50)))
        journal.hurry()
        await last
        assert journal.stats().commits == 1
        assert journal.stats().largest_group == 51


def test_no_answer_is_put_into_the_systems_temporary_files(path, tmp_path, monkeypatch):
    """They are outside the folder that was chosen, and cost a row as much as the journal."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("SQLITE_TMPDIR", str(folder))
    os.utime(folder, ns=(0, 0))  # whatever is made in it changes that, and if it is removed at once
    run_python(
        """
        import sys
        from random import Random
        from lionproc.engine.journal_file import JournalFile
        from lionproc.engine.journal_record import Entry, to_row
        file, key = JournalFile(sys.argv[1]), Random(1).randbytes
        for _ in range(4):
            entries = [Entry(key(16), b"{}", "m", 1, 1, 1, 0.0, 1.0) for _ in range(3000)]
            file.write([(*to_row(entry), 1) for entry in entries])
        assert file.count() == 12_000
        """,
        path,
    )
    assert folder.stat().st_mtime_ns == 0


async def test_a_reply_that_was_awaited_is_seen_by_another_connection(path):
    with Journal.open(path) as journal:
        await journal.append(an_entry())
        with contextlib.closing(sqlite3.connect(path)) as other:
            assert other.execute("SELECT reply FROM record").fetchall() == [(BODY,)]


async def test_a_lone_reply_is_on_disk_without_waiting_for_others():
    with Journal.open(":memory:") as journal:
        for count in range(1, 11):
            await journal.append(an_entry())
            assert len(journal) == count


async def test_cancelling_one_who_waits_does_not_disturb_the_others(path):
    with Journal.open(path) as journal:

        async def wait() -> None:
            await journal.append(an_entry())

        tasks = [asyncio.create_task(wait()) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [
            asyncio.CancelledError if n == 2 else type(None) for n in range(5)
        ]
        assert len(journal) == 5


def test_appends_from_several_loops_and_finds_from_several_threads_work_together(path):
    with Journal.open(path) as journal:

        def work(start: int) -> None:
            for n in range(start, start + 40):
                keep(journal, an_entry(key_of(n)))
                assert journal.find([key_of(n)])

        threads = [threading.Thread(target=work, args=(n * 100,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(journal) == 160
        assert journal.stats().commits < 160


def test_a_loop_that_ended_before_its_reply_was_written_holds_nothing_up(path):
    async def leave() -> None:
        journal.append(an_entry())

    with Journal.open(path) as journal:
        asyncio.run(leave())
        journal.flush()
        assert len(journal) == 1
        keep(journal, an_entry())


def test_flush_returns_when_everything_is_on_disk_and_before_the_group_is_due(path, monkeypatch):
    monkeypatch.setattr(journal_writer, "GATHER_S", 3600.0)
    with Journal.open(path) as journal:

        async def leave() -> None:
            journal.append(an_entry())

        asyncio.run(leave())
        assert journal.stats().pending == 1
        journal.flush()
        assert journal.stats().pending == 0
        assert len(journal) == 1


# One journal for a process, many processes for a file


def test_a_file_is_opened_once_in_a_process_under_all_its_names(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    link = path.parent / "link.sqlite"
    link.symlink_to(path)
    with Journal.open(path) as journal, Journal.open("journal.sqlite") as same:
        assert same is journal
        with Journal.open(str(link)) as linked:
            assert linked is journal
    with Journal.open(path) as again:
        assert again is not journal


def test_the_last_close_writes_what_is_pending_and_folds_the_wal_in(path):
    async def leave(journal: Journal) -> None:
        journal.append(an_entry())

    with Journal.open(path) as outer:
        with Journal.open(path) as inner:
            asyncio.run(leave(inner))
        keep(outer, an_entry(key_of(1)))
        assert "open, wal, 2 written, 0 pending" in repr(outer)
    assert "closed" in repr(outer)
    assert sorted(p.name for p in path.parent.iterdir()) == ["journal.sqlite"]
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM record").fetchone() == (2,)


async def test_a_closed_journal_says_so(path):
    journal = Journal.open(path)
    journal.close()
    with pytest.raises(JournalError, match=r"closed\. Open it again"):
        await journal.append(an_entry())
    with pytest.raises(JournalError, match=r"closed\. Open it again"):
        journal.find([bytes(16)])


def test_what_was_appended_is_written_at_exit_without_a_close(path):
    run_python(
        """
        import asyncio, sys
        from lionproc.engine.journal import Entry, Journal
        journal = Journal.open(sys.argv[1])
        async def main():
            journal.append(Entry(bytes(16), b"kept", "m", 1, 1, 1, 0.1, 1.0))
        asyncio.run(main())
        """,
        path,
    )
    with Journal.open(path) as journal:
        assert journal.find([bytes(16)])[bytes(16)].reply == b"kept"


def test_what_a_full_disk_refused_is_written_at_exit_if_there_is_room_again(path):
    run_python(
        """
        import asyncio, resource, signal, sys
        from lionproc.engine.journal import Entry, Journal
        async def main(journal):
            for number in range(2):
                await asyncio.wait([
                    journal.append(Entry(bytes([number] * 16), bytes(90_000), "m", 1, 1, 1, 0.1, 1.0))
                ])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with Journal.open(sys.argv[1]) as journal:
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
            asyncio.run(main(journal))
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        """,
        path,
    )
    with Journal.open(path) as journal:
        assert len(journal.find([bytes(16), bytes([1] * 16)])) == len(journal) == 2


def test_two_processes_write_the_same_file_at_once(path):
    script = """
        import asyncio, sys
        from lionproc.engine.journal import Entry, Journal
        journal, start = Journal.open(sys.argv[1]), int(sys.argv[2])
        async def main():
            for n in range(30):
                for key in (n, start + n):
                    entry = Entry(key.to_bytes(16, "big"), b"x" * 500, "m", 1, 1, 1, 0.1, 1.0)
                    waiting = journal.append(entry)
                await waiting
                assert len(journal.find([entry.key])) == 1
        asyncio.run(main())
        """
    both = [start_python(script, path, str(start)) for start in (1000, 2000)]
    for process in both:
        _, err = process.communicate(timeout=50)
        assert process.returncode == 0, err
    with Journal.open(path) as journal:
        assert len(journal) == 120
        wanted = [key_of(start + n) for start in (0, 1000, 2000) for n in range(30)]
        assert len(journal.find(wanted)) == 90
    assert_sound(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_and_its_parent_both_go_on(path):
    with Journal.open(path) as journal:
        keep(journal, an_entry(key_of(1)))

        def child() -> None:
            keep(journal, an_entry(key_of(2), b"child"))
            os._exit(0 if set(journal.find([key_of(1), key_of(2)])) == expected else 1)

        expected = {key_of(1), key_of(2)}
        process = fork(child)
        keep(journal, an_entry(key_of(3)))
        process.join(20)
        process.kill()  # if it hangs
        process.join()
        assert process.exitcode == 0
        assert set(journal.find([key_of(n) for n in range(5)])) == {key_of(n) for n in (1, 2, 3)}
    assert_sound(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_is_forked_while_another_process_writes_has_the_journal_too(path, monkeypatch):
    monkeypatch.setattr(journal_file, "FORK_S", 1.0)
    with Journal.open(path) as journal:
        holder = hold(path)
        kept = threading.Thread(target=keep, args=(journal, an_entry(key_of(1))))
        kept.start()
        while not journal._file._write_lock.locked():
            pass  # the thread that writes has not begun to wait

        def child() -> None:
            keep(journal, an_entry(key_of(2)))
            os._exit(0 if key_of(2) in journal.find([key_of(2)]) else 1)

        process = fork(child)
        holder.kill()
        holder.communicate()
        process.join(20)
        process.kill()  # if it hangs
        process.join()
        kept.join(20)
        assert process.exitcode == 0
        assert set(journal.find([key_of(1), key_of(2)])) == {key_of(1), key_of(2)}
    assert_sound(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_is_forked_while_the_disk_hangs_is_told_why_it_has_no_journal(
    path, monkeypatch
):
    monkeypatch.setattr(journal_file, "FORK_S", 0.0)
    with Journal.open(path) as journal:

        def grandchild() -> None:
            with pytest.raises(
                JournalError, match=r"when this process was forked.*spawn.*journal="
            ):
                journal.find([key_of(1)])
            os._exit(0)

        def child() -> None:
            process = fork(grandchild)
            process.join(20)
            assert process.exitcode == 0
            grandchild()

        with journal._file._write_lock:
            process = fork(child)
        process.join(20)
        process.kill()  # if it hangs
        process.join()
        assert process.exitcode == 0
        assert journal.find([key_of(1)]) == {}


# Kills, faults and damage


async def test_where_no_thread_can_be_started_a_reply_is_refused_and_the_next_one_is_kept(
    path, monkeypatch
):
    """As at the limit of processes of a container; the thread was taken for started for ever."""

    def start(_):
        raise RuntimeError("can't start new thread")

    with Journal.open(path) as journal:
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", start)
            refused = journal.append(Entry(key_of(1), b"{}", "m", 1, 1, 1, 0.1, 1.0))
        with pytest.raises(JournalError, match="pids limit"):
            await refused
        await journal.append(Entry(key_of(2), b"{}", "m", 1, 1, 1, 0.1, 1.0))
        assert set(journal.find([key_of(1), key_of(2)])) == {key_of(2)}


KILLED = """
    import asyncio, os, sys
    from lionproc.engine.journal import Entry, Journal
    journal = Journal.open(sys.argv[1])
    async def main():
        async def work(number):
            while True:
                key = os.urandom(16)
                await journal.append(Entry(key, key * 60, "m", 1, 1, 1, 0.1, 1.0))
                os.write(1, key.hex().encode() + b"\\n")
        await asyncio.gather(*map(work, range(20)))
    asyncio.run(main())
    """


def test_no_acknowledged_reply_is_lost_when_the_process_is_killed(path):
    random = Random()
    acknowledged: list[bytes] = []
    for _ in range(12):
        process = start_python(KILLED, path, text=False)
        first = process.stdout.readline()
        time.sleep(random.uniform(0, 0.06))  # the moment of the kill is the point of this test
        process.send_signal(signal.SIGKILL)
        lines = (first + process.stdout.read()).split(b"\n")
        process.communicate()
        acknowledged += [bytes.fromhex(line.decode()) for line in lines[:-1] if line]
        with Journal.open(path) as journal:
            found = journal.find(acknowledged)
            assert {key: entry.reply for key, entry in found.items()} == {
                key: key * 60 for key in acknowledged
            }
        assert_sound(path)
    assert len(acknowledged) > 200


def test_a_full_disk_is_told_to_all_who_wait_and_what_it_refused_is_kept_when_there_is_room(
    path, monkeypatch
):
    monkeypatch.setattr(journal_writer, "RETRY_S", 3600.0)
    tries, write = [], journal_file.JournalFile.write
    monkeypatch.setattr(
        journal_file.JournalFile, "write", lambda *args: (tries.append(1), write(*args))[1]
    )
    with Journal.open(path) as journal:
        keep(journal, an_entry(key_of(1)))

        async def main() -> None:
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
            try:
                waiting = [journal.append(an_entry(key_of(n), bytes(200_000))) for n in (2, 3)]
                for one in waiting:
                    with pytest.raises(JournalError, match=r"journal\.sqlite.*disk.*journal="):
                        await one
                tried = len(tries)
                with pytest.raises(JournalError):
                    await journal.append(an_entry(key_of(4)))
                assert len(tries) == tried  # told at once: so soon there is no room again
                assert "in trouble" in repr(journal)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            journal._writer._retry_at = 0.0  # the hour is over
            await journal.append(an_entry(key_of(5)))

        asyncio.run(asyncio.wait_for(main(), 20))
        assert journal.stats().trouble is None
        assert set(journal.find([key_of(n) for n in range(6)])) == {key_of(n) for n in range(1, 6)}
        assert len(journal) == 5
    assert_sound(path)


def test_a_database_that_is_really_full_says_so(path):
    with Journal.open(path) as journal:
        journal._file._writer.connection.execute("PRAGMA max_page_count = 10")
        with pytest.raises(JournalError, match=r"the disk is full .* Free some space"):
            keep(journal, an_entry(reply=bytes(100_000)))


def test_a_file_that_another_process_keeps_locked_is_an_error_in_time(path, monkeypatch):
    monkeypatch.setattr(journal_file, "BUSY_S", 0.3)
    with Journal.open(path) as journal:
        holder = hold(path)
        with pytest.raises(JournalError, match="another process keeps it locked"):
            keep(journal, an_entry())
        assert journal.find([key_of(1)]) == {}  # reading does not wait for a writer
        holder.communicate("")


def test_what_a_locked_file_did_not_take_is_found_as_what_came_last(path, monkeypatch):
    monkeypatch.setattr(journal_file, "BUSY_S", 0.0)
    old, failed, new, meanwhile = (key_of(number) for number in range(4))
    given_up = Failure(failed, "timeout", "no", 1, 1.9e9)
    came = an_entry(meanwhile, b"came", at=1.9e9)
    after = Failure(meanwhile, "timeout", "no", 1, 1.9e9 + 5, seconds=60.0)
    with Journal.open(path) as journal, Journal.open(":memory:") as other:
        keep(journal, an_entry(old, b"old"), an_entry(failed))
        mark = journal.mark()
        holder = hold(path)
        with pytest.raises(JournalError, match="another process keeps it locked"):
            keep(journal, an_entry(old, b"new"), given_up, an_entry(new, b"new"), came, after)

        def is_found() -> bool:
            found = journal.find([old, failed, new, meanwhile])
            replies = {key: entry.reply for key, entry in found.items()}
            assert replies == {old: b"new", new: b"new", meanwhile: b"came"}
            assert journal.newest([failed, new], Failure) == {failed: given_up}
            assert journal.find([old, new], until=mark) == {old: an_entry(old, b"old")}
            assert other.find([new]) == {}
            return True

        assert is_found()
        assert len(journal) == 2
        holder.communicate("")
        journal.catch_up()
        assert is_found()
        assert len(journal) == 7


@pytest.mark.parametrize("logs", [True, False])
def test_what_a_locked_file_did_not_take_is_put_in_as_soon_as_somebody_begins_anew(
    path, monkeypatch, logs
):
    monkeypatch.setattr(journal_file, "BUSY_S", 0.0)
    monkeypatch.setattr(journal_writer, "RETRY_S", 3600.0)
    with Journal.open(path) as journal:
        holder = hold(path)
        with pytest.raises(JournalError, match="another process keeps it locked"):
            keep(journal, an_entry(key_of(1)))
        journal.catch_up()
        assert "in trouble" in repr(journal)
        holder.communicate("")
        if logs:
            journal_owed.forget()  # as it does with more than it may hold
        else:
            for log in path.parent.glob(".*.intake"):
                log.unlink()
        journal.catch_up()
        assert journal.find([key_of(1)], until=journal.mark()) == {key_of(1): an_entry(key_of(1))}
        keep(journal, an_entry(key_of(2)))  # at once
        assert len(journal) == 2


@pytest.mark.parametrize("wait_s", [20.0, 0.0])
@pytest.mark.parametrize("is_open", [True, False])
def test_while_others_have_all_files_open_that_can_be_a_journal_waits_and_then_says_so(
    path, monkeypatch, is_open, wait_s
):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(journal_file, "BUSY_S", wait_s)

    def pause(_: float) -> None:
        if wait_s:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    monkeypatch.setattr(
        journal_file, "time", SimpleNamespace(monotonic=time.monotonic, sleep=pause)
    )
    with Journal.open(path) as journal:

        async def main() -> None:
            if not is_open:
                journal._file._drop()  # SQLite opens its files, and not only lionproc the WAL
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                await journal.append(an_entry())
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        if wait_s:
            asyncio.run(main())
        else:
            with pytest.raises(JournalError, match=r"no more files can be opened.*ulimit -n"):
                asyncio.run(main())
            Journal.open(path).close()  # which puts it in
        assert journal.find([bytes(16)]) == {bytes(16): an_entry()}
        assert journal.stats().mode == "wal"


def test_an_unexpected_fault_reaches_those_who_wait(path, monkeypatch):
    with Journal.open(path) as journal:
        monkeypatch.setattr(journal._file, "write", lambda rows: 1 / 0)
        with pytest.raises(JournalError, match="ZeroDivisionError"):
            keep(journal, an_entry())


def test_a_file_that_was_removed_while_open_is_begun_anew(path):
    with Journal.open(path) as journal:
        keep(journal, an_entry(key_of(1)))
        assert len(journal) == 1
        for file in path.parent.iterdir():
            file.unlink()
        keep(journal, an_entry(key_of(2)))
        assert set(journal.find([key_of(1), key_of(2)])) == {key_of(2)}
        keep(journal, an_entry(key_of(3)))
    with Journal.open(path) as journal:
        assert set(journal.find([key_of(n) for n in range(5)])) == {key_of(2), key_of(3)}


def test_a_wal_that_was_removed_while_open_loses_nothing(path):
    with Journal.open(path) as journal:
        keep(journal, an_entry(key_of(1)))
        for end in ("-wal", "-shm"):
            Path(f"{path}{end}").unlink()
        keep(journal, an_entry(key_of(2)))
        copy = path.with_name("copy.sqlite")
        for end in ("", "-wal"):
            shutil.copy(f"{path}{end}", f"{copy}{end}") if Path(f"{path}{end}").exists() else None
        with Journal.open(copy) as kept:
            assert set(kept.find([key_of(1), key_of(2)])) == {key_of(1), key_of(2)}
        keep(journal, an_entry(key_of(3)))
    with Journal.open(path) as journal:
        assert len(journal.find([key_of(n) for n in (1, 2, 3)])) == 3


@pytest.mark.parametrize("is_trusted", [True, False])
@pytest.mark.parametrize("kind", ["flip", "cut"])
@pytest.mark.parametrize("end", ["", "-wal"])
def test_damage_never_makes_a_wrong_reply(path, monkeypatch, kind, end, is_trusted):
    """What is sound is served where its user says that the copy is his own."""
    if is_trusted:
        monkeypatch.setenv("LIONPROC_TRUST", str(path.parent))
    entries = {key_of(n): an_entry(key_of(n), bytes([n]) * (900 + 300 * n)) for n in range(25)}
    with Journal.open(path) as journal:
        keep(journal, *entries.values())
        if not end:
            journal._file.close()
        whole = {e: Path(f"{path}{e}").read_bytes() for e in ("", "-wal")[: 1 + bool(end)]}
        shutil.rmtree(path.parent)
    path.parent.mkdir()
    random = Random(7)
    refused = complete = 0
    messages: list[str] = []
    for number in range(70):
        damaged = bytearray(whole[end])
        at = random.randrange(len(damaged)) if number % 2 else random.randrange(4200)
        if kind == "cut":
            del damaged[at:]
        else:
            for offset in range(at, min(at + random.choice([1, 1, 8, 300]), len(damaged))):
                damaged[offset] ^= 1 << random.randrange(8)
        copy = path.with_name(f"{number}.sqlite")
        for e, content in whole.items():
            Path(f"{copy}{e}").write_bytes(damaged if e == end else content)
        try:
            with Journal.open(copy) as journal:
                found = journal.find(list(entries))
                keep(journal, an_entry(key_of(99)))
        except JournalError as error:
            refused += 1
            messages.append(str(error))
        else:
            complete += found == entries
            assert all(entries[key] == entry for key, entry in found.items())
    assert all(str(path.parent) in text and "journal=" in text for text in messages)
    assert refused < 70 or not (is_trusted or end)
    assert complete < 70


def test_groups_of_any_size_are_kept_whole_by_few_statements_for_each_is_remembered_with_its_rows(
    path, monkeypatch
):
    asked = set()

    class Noting(sqlite3.Connection):
        def execute(self, statement, *values):
            asked.add(statement)
            return super().execute(statement, *values)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Noting))
    file = journal_file.JournalFile(str(path))
    entries = [an_entry(key_of(number)) for number in range(67 * 33)]
    rest = iter(entries)
    for size in range(1, 67):
        file.write([(*to_row(entry), 0) for entry in itertools.islice(rest, size)])
    assert [from_row(row[1:-1]) for row in file.all()] == entries
    file.close()
    assert len([statement for statement in asked if " INTO record" in statement]) == 8


def test_a_giant_that_somebody_put_there_is_not_read(path):
    with Journal.open(path):
        pass
    key = bytes(16)
    with sqlite3.connect(path) as link:
        link.execute("PRAGMA synchronous = OFF")
        link.execute(
            "INSERT INTO record (prefix, key, kind, reply, model, prompt_tokens, completion_tokens,"
            " attempts, seconds, at, checksum) VALUES (?, ?, '', zeroblob(?), '', 0, 0, 1, 0, 0, 0)",
            (prefix(key), key, LARGEST_REPLY + 1),
        )
    link.close()
    file = journal_file.JournalFile(str(path))
    try:
        for ((_, _, _, _, reply, *_),) in (file.newest([prefix(key)], 0), file.history(0, 0)):
            assert reply is None
    finally:
        file.close()
    with Journal.open(path) as journal:
        assert journal.find([key]) == {}
        assert journal.stats().damaged == 1


def test_a_damaged_record_is_absent_and_counted_and_an_older_one_takes_its_place(path):
    with Journal.open(path) as journal:
        keep(journal, an_entry(key_of(1), b"older"), an_entry(key_of(1), b"newest"))
        keep(journal, an_entry(key_of(2), b"only"))
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute(
            "UPDATE record SET reply = 'forged' WHERE reply IN (?, ?)", (b"newest", b"only")
        )
    with Journal.open(path) as journal:
        found = journal.find([key_of(1), key_of(2)])
        assert {key: entry.reply for key, entry in found.items()} == {key_of(1): b"older"}
        assert journal.stats().damaged == 2


# Files and folders


def test_a_journal_is_for_its_owner_alone_even_under_a_careless_umask(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIONPROC_HOME", raising=False)
    before = os.umask(0o022)
    try:
        with Journal.open() as journal:
            keep(journal, an_entry())
            folder = tmp_path / ".lionproc"
            assert Path(journal.path) == folder.resolve() / "journal.sqlite"
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in folder.glob("journal*")}
            assert modes == dict.fromkeys(
                ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"], 0o600
            )
            assert (folder / ".gitignore").read_text() == "*\n"
    finally:
        os.umask(before)


def test_the_home_folder_is_made_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "a" / "b"))
    with Journal.open() as journal:
        assert Path(journal.path).parent == (tmp_path / "a" / "b").resolve()
    assert (tmp_path / "a" / "b" / ".gitignore").exists()


def test_a_folder_of_the_users_own_is_left_as_it_is(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path))
    Journal.open().close()
    assert [p.name for p in tmp_path.iterdir()] == ["journal.sqlite"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_home_that_cannot_be_made_is_named_with_the_way_on(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "file" / "below"))
    with pytest.raises(JournalError, match=r"below.*Set LIONPROC_HOME"):
        Journal.open()


@pytest.mark.parametrize(
    "name", ["a?mode=ro", "b#c.db", "100%25.db", "file:x", "with space", "q'uo\"te", "ünï.db", "-x"]
)
def test_a_path_means_itself_whatever_its_characters(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with Journal.open(name) as journal:
        keep(journal, an_entry())
        assert (tmp_path / name).is_file()


def test_paths_that_cannot_be_journals_are_refused_with_the_way_on(tmp_path):
    with pytest.raises(JournalError, match=r"is a folder\. Name a file in it: .*journal\.sqlite"):
        Journal.open(tmp_path)
    with pytest.raises(JournalError, match=r"no folder .*absent.*Make the folder"):
        Journal.open(tmp_path / "absent" / "j.sqlite")
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"file/j\.sqlite.* cannot be opened: Not a directory"):
        Journal.open(tmp_path / "file" / "j.sqlite")
    with pytest.raises(JournalError, match="not a regular file"):
        Journal.open("/dev/full")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(JournalError, match="not a regular file"):
        Journal.open(tmp_path / "fifo")
    for name in ("", "a\0b", "half \ud83d"):
        with pytest.raises(JournalError, match="cannot be the path"):
            Journal.open(name)


@pytest.mark.parametrize(
    ("folder_mode", "file_mode"), [(0o777, 0o444), (0o755, 0o666), (0o700, 0o600)]
)
def test_a_journal_without_the_rights_to_write_is_refused(folder_mode, file_mode):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to other users
        path = Path(folder).resolve() / "journal.sqlite"
        Journal.open(path).close()
        Path(folder).chmod(folder_mode)
        path.chmod(file_mode)
        reader, writer = os.pipe()

        def child() -> None:
            if os.getuid() == 0:  # root may write everything
                os.setgroups([])
                os.setuid(65534)
            try:
                Journal.open(path)
            except JournalError as error:
                os.write(writer, str(error).encode())
            os._exit(0)

        if os.getuid() and folder_mode != 0o777:
            pytest.skip("the owner has these rights")
        fork(child).join(30)
        os.close(writer)
        message = os.read(reader, 10_000).decode()
        os.close(reader)
    assert str(path) in message
    assert "journal=" in message


def test_a_file_that_is_no_database_is_refused_and_left_alone(path):
    path.write_bytes(b"review,rating\n" * 1000)
    with pytest.raises(JournalError, match=r"journal\.sqlite.*is not a database.*aside.*journal="):
        Journal.open(path)
    assert path.read_bytes() == b"review,rating\n" * 1000


def test_a_database_of_somebody_else_is_refused_and_left_alone(path):
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    with pytest.raises(JournalError, match="another program"):
        Journal.open(path)
    assert path.read_bytes() == before
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]


def test_a_journal_of_a_newer_version_is_refused(path):
    Journal.open(path).close()
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("PRAGMA user_version = 4")
    with pytest.raises(JournalError, match=r"newer lionproc.*Upgrade"):
        Journal.open(path)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_journal_of_a_format_before_is_read_as_it_was_and_goes_on(path, version):
    """A file as that version wrote it, checksum included."""
    key = bytes(range(16))
    with contextlib.closing(sqlite3.connect(path)) as old, old:
        for statement in journal_schema._SCHEMAS[version].values():
            old.execute(statement)
        old.execute("PRAGMA application_id = 1281978222")
        old.execute(f"PRAGMA user_version = {version}")
        row = (283686952306183, key, "", BODY, "m", 10, 2, 1, 0.5, 1.8e9, 2697974407)
        columns = journal_schema.COLUMNS.replace(", usage", "")
        old.execute(f"INSERT INTO record ({columns}) VALUES (?,?,?,?,?,?,?,?,?,?,?)", row)  # noqa: S608
    assert "usage" not in journal_schema._SCHEMAS[1]["record"]
    assert "run" not in journal_schema._SCHEMAS[2]
    path.chmod(0o600)
    with Journal.open(path) as journal:
        kept = journal.find([key])[key]
        assert (kept.reply, kept.prompt_tokens, kept.usd) == (BODY, 10, None)
        assert kept.usage is None
        new = kept._replace(key=bytes(16), usage=Usage(10, 2, 4, tier="flex"), usd=0.25)
        await journal.append(new)
        assert journal.find([bytes(16)])[bytes(16)] == new
        assert journal.runs.begin({"name": "first"}) == 1
        assert [run.facts["name"] for run in journal.runs.all()] == ["first"]


async def test_a_version_before_goes_on_writing_into_a_file_that_was_upgraded(path):
    """As version 2 had it open: its own statement, on a connection from before the upgrade."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
        for statement in journal_schema._SCHEMAS[2].values():
            old.execute(statement)
        old.execute("PRAGMA application_id = 1281978222")
        old.execute("PRAGMA user_version = 2")
        path.chmod(0o600)
        entry = Entry(bytes(16), BODY, "m", 10, 2, 1, 0.5, 1.8e9)
        with Journal.open(path) as journal:
            columns, marks = journal_schema.COLUMNS, ",".join("?" * 12)
            old.execute(f"INSERT INTO record ({columns}) VALUES ({marks})", to_row(entry))  # noqa: S608
            assert journal.find([bytes(16)])[bytes(16)] == entry


def test_what_is_kept_of_the_usage_is_checked_like_the_rest():
    row = to_row(Entry(bytes(16), BODY, "m", 10, 2, 1, 0.5, 1.8e9, Usage(10, 2, 4), 0.25))
    row = tuple(item.encode() if isinstance(item, str) else item for item in row)
    assert from_row(row).usage.cached == 4
    assert from_row((*row[:-1], row[-1].replace(b"4", b"5"))) is None
    assert from_row((*row[:-1], b"")) is None


@pytest.mark.parametrize(
    "wrong",
    [{"prompt_tokens": -1}, {"completion_tokens": 2**62}, {"attempts": -(2**63)},
     {"seconds": -0.5}, {"seconds": 1e300}, {"at": 1e300}],
)  # fmt: skip
def test_a_record_with_a_number_that_cannot_be_is_damaged_whatever_its_checksum_says(wrong):
    with Journal.open(":memory:") as journal:
        with pytest.MonkeyPatch.context() as patch:  # somebody else has written it
            patch.setattr(journal_record, "_may_be", lambda *_: True)
            keep(journal, an_entry()._replace(**wrong), Failure(key_of(1), "k", "m", 2**62, 1.0))
        assert journal.find([bytes(16)]) == journal.newest([key_of(1)], Failure) == {}
        assert journal.stats().damaged == 2


def test_a_schema_that_is_no_text_is_damage(path):
    Journal.open(path).close()
    whole = path.read_bytes()
    assert b"CREATE TABLE record" in whole
    path.write_bytes(whole.replace(b"CREATE TABLE record", b"CRE\xfeTE T\xfeBLE \xfeecord"))
    with pytest.raises(JournalError, match="damaged"):
        Journal.open(path)


def test_a_journal_with_a_trigger_is_not_trusted(path):
    Journal.open(path).close()
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TRIGGER evil AFTER INSERT ON record BEGIN DELETE FROM record; END")
    with pytest.raises(JournalError, match="damaged"):
        Journal.open(path)


def test_a_trigger_with_the_name_of_something_else_in_a_journal_is_not_trusted(path):
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        record, *rest = journal_schema._SCHEMA.values()
        other.execute(record)
        other.execute("CREATE TRIGGER by_prefix AFTER INSERT ON record BEGIN DELETE FROM run; END")
        for statement in rest:
            other.execute(statement)
        other.execute(f"PRAGMA application_id = {journal_schema._APPLICATION}")
        other.execute(f"PRAGMA user_version = {journal_schema.VERSION}")
    with pytest.raises(JournalError, match=r"trigger 'by_prefix' that lionproc did not put there"):
        Journal.open(path)


@pytest.mark.parametrize("reckoned", ["hex(zeroblob(9))", "tbl || idx", "tbl AS (idx), stat"])
def test_statistics_that_somebody_has_made_are_not_reckoned(path, monkeypatch, reckoned):
    with Journal.open(path) as journal:
        keep(journal, an_entry())
    made = f"CREATE TABLE sqlite_stat1(tbl, idx, stat AS ({reckoned}))"
    if " AS " in reckoned:
        made = "CREATE TABLE sqlite_stat1(idx, tbl AS (idx), stat)"
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("ANALYZE")
        other.execute("PRAGMA writable_schema = ON")
        other.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'sqlite_stat1'", [made])
        other.execute("PRAGMA schema_version = 99")
    ran, connect = [], sqlite3.connect

    def traced(*args, **kwargs):
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(ran.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    with pytest.raises(JournalError, match="damaged"):
        Journal.open(path)
    assert any("application_id" in statement for statement in ran)
    if " AS " not in reckoned:
        assert not any("sqlite_stat1" in statement for statement in ran)


@pytest.mark.parametrize("table", ["record", "run"])
def test_a_journal_that_has_the_last_number_of_all_is_refused(path, table):
    with Journal.open(path) as journal:
        keep(journal, an_entry())
        journal.runs.begin({})
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute(f"UPDATE {table} SET id = {2**63 - 1} WHERE id > 0")  # noqa: S608
    with pytest.raises(JournalError, match="counts further than any journal"):
        Journal.open(path)


def test_replies_of_which_there_are_more_than_the_file_has_are_not_held(path, monkeypatch):
    """As where one page of it leads to itself, or to the next one's."""
    with Journal.open(path) as journal:
        rows = [an_entry(bytes([n]) * 16, b"x" * 2**20) for n in range(40)]
        keep(journal, *rows)
        keys = [row.key for row in rows]
        assert len(journal.find(keys)) == 40
        monkeypatch.setattr(journal_file, "_length", lambda path: 12 * 2**20)
        with pytest.raises(JournalError, match="claim more bytes than it has"):
            journal.find(keys)
        assert len(journal.find(keys[:7])) == 7


def test_a_file_system_that_packs_a_journal_takes_nothing_from_what_it_has(path, monkeypatch):
    """As Btrfs and ZFS do; and some tell of one block for seconds after a write."""
    told = journal_file.bytes_of
    monkeypatch.setattr(journal_file, "bytes_of", lambda found: min(told(found), 512))
    with Journal.open(path) as journal:
        rows = [an_entry(bytes([n]) * 16, b"x" * 2**20) for n in range(20)]
        keep(journal, *rows)
        assert len(journal.find([row.key for row in rows])) == 20
        assert sum(1 for _ in journal.contents) == 20
        assert journal.contents.prune(before=2e9) == 20


@pytest.mark.parametrize(("length", "count"), [(20_000, 2), (9_000, 60_000)])
def test_a_schema_without_an_end_is_not_read_to_its_end(path, length, count):
    Journal.open(path).close()
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        (root,) = other.execute(
            "SELECT rootpage FROM sqlite_master WHERE type = 'index'"
        ).fetchone()
        other.execute("PRAGMA writable_schema = ON")
        rows = [("x" * (length if n < 2 else 9), "by_prefix", "record", root) for n in range(count)]
        other.executemany("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, NULL)", rows)
    with pytest.raises(JournalError, match="damaged") as raised:
        Journal.open(path)
    assert len(str(raised.value)) < 1000


def test_a_database_of_somebody_else_with_a_long_schema_is_told_as_one(path):
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        columns = ", ".join(f"a_long_name_of_a_column_{n}" for n in range(900))
        other.execute(f"CREATE TABLE mine ({columns})")
    with pytest.raises(JournalError, match="another program"):
        Journal.open(path)


def test_statistics_of_which_there_are_more_than_there_is_to_tell_of_are_refused(path):
    """They would be written out where a journal is pruned."""
    Journal.open(path).close()
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("ANALYZE")
        other.executemany(
            "INSERT INTO sqlite_stat1 VALUES ('record', ?, '1')", [("x" * 99,)] * 2000
        )
    with pytest.raises(JournalError, match="more than 1,000 rows of statistics"):
        Journal.open(path)


def the_pages(path, count, tree="record", **more):
    """The bytes of a journal with some records, where a tree begins, and the size of a page."""
    with Journal.open(path) as journal:
        keep(journal, *(an_entry(key=bytes([n % 256]) * 16, **more) for n in range(count)))
    with contextlib.closing(sqlite3.connect(path)) as other:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (root,) = other.execute(query, (tree,)).fetchone()
        (size,) = other.execute("PRAGMA page_size").fetchone()
    return bytearray(path.read_bytes()), (root - 1) * size, size


def test_records_that_stand_in_no_order_are_damage_and_not_read_again_and_again(path):
    content, place, _ = the_pages(path, 3)
    content[place + 8 : place + 14] = (
        content[place + 10 : place + 14] + content[place + 8 : place + 10]
    )
    path.write_bytes(content)
    with Journal.open(path) as journal, pytest.raises(JournalError, match="stand in no order"):
        list(journal.contents)


@pytest.mark.parametrize("damage", ["an order that is none", "a record that is not there"])
def test_a_damaged_index_leads_past_no_record_that_was_paid_for(path, caplog, damage):
    content, place, size = the_pages(path, 20, "by_prefix")
    if damage == "an order that is none":
        middle = slice(place + 26, place + 28)  # which of the cells is looked at first
        content[middle] = content[place + 8 : place + 10]
    else:
        entry = content.index(bytes([1] * 8 + [2]), place, place + size)
        content[entry + 8] = 127
    path.write_bytes(content)
    keys = [bytes([n]) * 16 for n in range(20)]
    for _ in range(2):
        with Journal.open(path) as journal:
            assert len(journal.find(keys)) == 20
    assert caplog.text.count("had a damaged index") == 1


def test_records_of_one_page_that_many_lead_to_are_not_all_in_memory(path, monkeypatch):
    content, place, _ = the_pages(path, 30, reply=bytes(3000))
    at = int.from_bytes(content[place + 12 : place + 14])
    first, kids = content[place + at : place + at + 4], content[place + 3 : place + 5]
    for cell in range(12, 12 + 2 * int.from_bytes(kids), 2):
        at = place + int.from_bytes(content[place + cell : place + cell + 2])
        content[at : at + 4] = first
    path.write_bytes(content)
    rows, read = [], JournalFile.read
    monkeypatch.setattr(
        JournalFile, "read", lambda *given: rows.append(len(found := read(*given))) or found
    )
    monkeypatch.setattr(journal_file, "SOME_BYTES", 3000)
    with Journal.open(path) as journal, pytest.raises(JournalError, match="stand in no order"):
        list(journal.contents)
    assert rows[-1] == 1


@pytest.mark.parametrize(
    ("tree", "read"),
    [("by_prefix", len), ("record", lambda journal: list(journal.contents.of_run(7, 0)))],
)
def test_pages_that_hold_records_without_end_are_damage_and_hold_nobody_up(
    path, monkeypatch, tree, read
):
    monkeypatch.setattr(journal_file, "_SOME_STEPS", 1000)
    monkeypatch.setattr(journal_file, "_MOST_STEPS", 100_000)
    monkeypatch.setattr(journal_file, "_STEPS_A_BYTE", 1)
    content, place, size = the_pages(path, 1500, tree)
    pages, kids = len(content) // size, int.from_bytes(content[place + 3 : place + 5])
    cells = [
        int.from_bytes(content[place + at : place + at + 2]) for at in range(12, 12 + 2 * kids, 2)
    ]
    leaf = content[place + cells[0] : place + cells[0] + 4]

    def leading_to(kid):
        page = content[place : place + size]
        for cell in (8, *cells):
            page[cell : cell + 4] = kid
        return page

    deeper = [leading_to((pages + level).to_bytes(4)) for level in range(2, 8)]
    content[place : place + size] = leading_to((pages + 1).to_bytes(4))
    content[28:32] = (pages + 7).to_bytes(4)  # how many there are
    path.write_bytes(b"".join((content, *deeper, leading_to(leaf))))
    if os.name == "posix":  # a hole, which is some bytes in an archive
        os.truncate(path, 2**40)
    with (
        Journal.open(path) as journal,
        pytest.raises(JournalError, match="reading it would have no end"),
    ):
        read(journal)


@pytest.mark.parametrize(
    "what",
    [
        "VIEW evil AS SELECT * FROM record",
        "INDEX evil ON record (key)",
        "UNIQUE INDEX evil ON record (model)",
        "TABLE evil (x)",
    ],
)
def test_a_journal_with_a_view_an_index_or_a_table_of_somebody_else_is_not_trusted(path, what):
    Journal.open(path).close()
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute(f"CREATE {what}")
    with pytest.raises(JournalError, match=r"'evil' that lionproc did not put there.*aside"):
        Journal.open(path)


def test_a_journal_of_which_sqlite_keeps_statistics_is_used(path):
    with Journal.open(path) as journal:
        keep(journal, an_entry())
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("ANALYZE")
    with Journal.open(path) as journal:
        assert journal.find([bytes(16)])


class Racing:
    """A connection that another process gets in between from the second read on."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.other = sqlite3.connect(path, isolation_level=None, timeout=0)
        self.in_transaction = False
        self.reads = 0

    def setlimit(self, *limit):
        return self.connection.setlimit(*limit)

    def execute(self, query):
        self.reads += query not in {"BEGIN", "COMMIT"}
        if self.reads > 1 and query != "COMMIT":
            with contextlib.suppress(sqlite3.OperationalError):  # it is locked, or done already
                self.other.execute("BEGIN IMMEDIATE")
                journal_schema.bring_up(self.other, 0)
                self.other.execute("COMMIT")
            if self.other.in_transaction:
                self.other.execute("ROLLBACK")
        return self.connection.execute(query)


def test_what_a_file_is_is_read_at_one_moment_while_another_process_makes_it(path):
    racing = Racing(path)
    with contextlib.closing(racing.connection), contextlib.closing(racing.other):
        tables, application, version = journal_schema._at_one_moment(racing)
        assert (len(tables), version) in {(0, 0), (2, 1)}
        assert bool(application) == bool(tables)


def open_new_journals(folder, barrier, told):
    for name in range(4):
        os.environ["LIONPROC_HOME"] = f"{folder}/{name}/deep"
        barrier.wait(30)
        try:
            with Journal.open() as journal:
                told.put(journal.stats().mode)
        except JournalError as error:
            told.put(str(error))


def test_a_new_journal_and_its_folder_are_opened_by_several_processes_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, told = context.Barrier(4), context.Queue()
    racers = [
        context.Process(target=open_new_journals, args=(tmp_path, barrier, told)) for _ in range(4)
    ]
    for racer in racers:
        racer.start()
    assert {told.get(timeout=50) for _ in range(4 * 4)} == {"wal"}
    for racer in racers:
        racer.join(30)
    for name in range(4):
        assert (tmp_path / str(name) / "deep" / ".gitignore").read_text() == "*\n"
        Journal.open(tmp_path / str(name) / "deep" / "journal.sqlite").close()


@pytest.mark.parametrize("obstacle", ["folder", "link"])
def test_where_shared_memory_does_not_work_a_rollback_journal_does(path, obstacle):
    shared = Path(f"{path}-shm")  # SQLite cannot make its shared memory where something else is
    shared.mkdir() if obstacle == "folder" else shared.symlink_to(shared)
    with Journal.open(path) as journal:
        keep(journal, an_entry())
        assert journal.stats().mode == "rollback"
        assert journal.find([bytes(16)])
        with contextlib.closing(sqlite3.connect(path)) as other:  # and nobody is locked out
            assert other.execute("SELECT count(*) FROM record").fetchone() == (1,)


def test_an_empty_journal_is_true_and_a_journal_in_memory_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Journal.open(":memory:") as journal, Journal.open(":memory:") as other:
        keep(journal, an_entry())
        assert other
        assert (len(journal), len(other)) == (1, 0)
        assert journal.stats().mode == "memory"
        assert journal.path == ":memory:"
    assert list(tmp_path.iterdir()) == []


def test_prefixes_are_signed_so_that_sqlite_keeps_them_whole():
    assert prefix(b"\xff" * 16) == -1
    with pytest.raises(ValueError, match="16 bytes, this one 3"):
        prefix(b"abc")


# Helpers


def start_python(script: str, *arguments: object, text: bool = True, stdin=None):
    root = Path(journal_module.__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        cwd=root,
        text=text,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def hold(path: Path) -> subprocess.Popen:
    """Another process that writes, until its input ends."""
    holder = start_python(
        """
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        print("held", flush=True)
        sys.stdin.read()
        """,
        path,
        stdin=subprocess.PIPE,
    )
    assert holder.stdout.readline() == "held\n"
    return holder


def run_python(script: str, *arguments: object) -> None:
    process = start_python(script, *arguments)
    _, err = process.communicate(timeout=50)
    assert process.returncode == 0, err


def fork(child):
    process = multiprocessing.get_context("fork").Process(target=child)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: forking with threads
        process.start()
    return process


def assert_sound(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("column", ["model", "kind", "attempts", "checksum"])
async def test_a_value_that_is_longer_than_any_of_ours_is_not_read(path, column):
    entries = [Entry(bytes([n] * 16), BODY, "m", 10, 2, 1, 0.5, 1.8e9) for n in range(8)]
    with Journal.open(path) as journal:
        for entry in entries:
            await journal.append(entry)
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute(f"UPDATE record SET {column} = CAST(hex(zeroblob(1000000)) AS BLOB)")  # noqa: S608
    with Journal.open(path) as journal:
        tracemalloc.start()
        assert journal.find([entry.key for entry in entries]) == {}
        assert [record for record, _ in journal.contents] == [None] * 8
        assert tracemalloc.get_traced_memory()[1] < 2**21
        tracemalloc.stop()


async def test_records_that_claim_more_than_the_file_has_are_not_written_out(path):
    """Each is as long as it says, on the pages of another: a few kilobytes would be gigabytes."""
    with Journal.open(path) as journal:
        for letter in b"ABCD":
            reply = bytes([letter]) * 1_000_000
            await journal.append(Entry(bytes([letter] * 16), reply, "m", 1, 1, 1, 0.5, 1.8e9))
    content = bytearray(path.read_bytes())
    page = int.from_bytes(content[16:18], "big")
    first, last = (
        next(
            found
            for found in re.finditer(rb"%c{16}(\0.{3})" % each, content, re.DOTALL)
            if found.start(1) % page  # else it is where one page of it leads to the next
        )
        for each in b"AD"
    )
    end = int.from_bytes(last[1], "big")
    content[last.start(1) : last.end(1)] = first[1]
    del content[(end - 1) * page :]
    content[28:32] = (end - 1).to_bytes(4, "big")
    path.write_bytes(content)
    with Journal.open(path) as journal, pytest.raises(JournalError, match="more bytes than it has"):
        journal.contents.prune(before=1.0)


def test_a_journal_on_a_disk_that_can_only_be_read_says_so(tmp_path, monkeypatch):
    """SQLite says "disk I/O error" there. No test can mount such a disk without rights."""
    with Journal.open(tmp_path / "a.sqlite"):
        pass
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    said = str(trouble(str(tmp_path / "a.sqlite"), "opened", error))
    assert "can only be read" in said
    assert "Copy it" in said
    monkeypatch.undo()
    assert "disk fails" in str(trouble(str(tmp_path / "a.sqlite"), "opened", error))
