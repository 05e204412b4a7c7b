"""What has come is written at once, beside the journal; a kill loses none of it."""

import asyncio
import math
import os
import stat
import threading

import pytest

from lionproc.engine import journal_intake, journal_record, regular_file
from lionproc.engine.journal import Entry, Failure, Journal
from lionproc.engine.journal_file import JournalFile
from lionproc.engine.journal_intake import MOST, MOST_ALIKE, Intake
from lionproc.engine.journal_record import to_row
from lionproc.errors import JournalError

pytestmark = pytest.mark.skipif(journal_intake.fcntl is None, reason="needs locks of files")
BODY = b'{"choices": []}'


def an_entry(number, reply=BODY):
    return Entry(number.to_bytes(16, "big"), reply, "a-mödel", 10, 2, 1, 0.25, 1.8e9)


def killed_with(path, *entries):
    """The log of a process that was killed before it could put these into the journal."""
    log = Intake(str(path)).take()
    assert all(log.add((*to_row(entry), 3)) for entry in entries)
    log.flush()
    log.close(is_ours=False)
    return log._path


def found_in(journal, *entries):
    found = journal.find([entry.key for entry in entries])
    return [entry for entry in entries if found.get(entry.key) == entry]


@pytest.fixture
def path(tmp_path):
    return tmp_path.resolve() / "journal.sqlite"


def test_what_a_killed_process_had_written_is_in_the_journal_that_is_opened_next(path):
    entries = [an_entry(number, b"x" * number) for number in range(40)]
    log = killed_with(path, *entries)
    with Journal.open(path) as journal:
        assert found_in(journal, *entries) == entries
        assert len(list(journal.contents.of_run(3, 0))) == 40  # still records of their run
        assert not log.exists()
        killed_with(path, later := an_entry(99))
        with Journal.open(path):  # one that is open already
            assert found_in(journal, later) == [later]
        assert len(journal) == 41


def test_a_record_that_the_file_cannot_take_keeps_nobody_out_of_the_journal(path):
    log = killed_with(path, first := an_entry(1))
    start, key, kind, reply, model, *numbers, _, used = to_row(an_entry(2))
    numbers[3] = math.nan  # seconds, with the right checksum
    total = journal_record._checksum(key, b"", reply, model.encode(), numbers, used)
    with log.open("ab") as end:
        end.write(
            journal_intake._packed((start, key, kind, reply, model, *numbers, total, used, 3))
        )
    with Journal.open(path) as journal:
        assert found_in(journal, first) == [first]
        assert len(journal) == 1
    assert not log.exists()


def with_a_hole(path, length):
    """A file that goes on for so many bytes and has none of them on the disk."""
    with path.open("r+b") as file:
        file.truncate(length)
    with path.open("rb") as file:
        if regular_file.first_hole(file.fileno()) == length:
            pytest.skip("this file system tells of no holes")


def test_a_log_is_read_as_far_as_it_was_written_however_long_it_says_that_it_is(path, monkeypatch):
    log = killed_with(path, first := an_entry(1))
    size = log.stat().st_size
    read, content = [], journal_intake.written_part
    monkeypatch.setattr(
        journal_intake, "written_part", lambda file: read.append(content(file)) or read[-1]
    )
    with_a_hole(log, 300 * 2**20)
    with Journal.open(path) as journal:
        assert found_in(journal, first) == [first]
    assert (not log.exists(), size <= len(read[0]) <= size + 2**16) == (True, True)


def test_what_stands_behind_a_hole_of_a_log_was_written_and_is_put_in(path):
    log = killed_with(path, first := an_entry(1))
    with_a_hole(log, 2**20)
    other = killed_with(path, last := an_entry(2))
    with log.open("ab") as file:
        file.write(other.read_bytes())
    other.unlink()
    with Journal.open(path) as journal:
        assert found_in(journal, first, last) == [first, last]


def test_a_log_is_read_where_its_file_system_tells_of_holes_that_are_none(path, monkeypatch):
    entries = [an_entry(number, bytes(5000)) for number in range(20)]
    log = killed_with(path, *entries)
    monkeypatch.setattr(regular_file, "first_hole", lambda file: 0)
    monkeypatch.setattr(regular_file, "bytes_of", lambda found: log.stat().st_size)
    with Journal.open(path) as journal:
        assert found_in(journal, *entries) == entries


def test_what_many_logs_have_is_put_in_a_little_at_a_time(path, monkeypatch):
    entries = [an_entry(number, bytes([number]) * 2**20) for number in range(1, 41)]
    for few in (entries[:20], entries[20:]):
        killed_with(path, *few)
    written, write = [], JournalFile.write
    monkeypatch.setattr(
        JournalFile, "write", lambda self, rows: written.append(rows) or write(self, rows)
    )
    with Journal.open(path) as journal:
        assert found_in(journal, *entries) == entries
    assert [len(rows) for rows in written] == [16, 4, 16, 4]


def test_a_record_of_a_log_that_is_larger_than_any_reply_is_passed_over(path, monkeypatch):
    monkeypatch.setattr(journal_intake, "LARGEST_REPLY", 1000)
    killed_with(path, first := an_entry(1), large := an_entry(2, bytes(1001)), last := an_entry(3))
    with Journal.open(path) as journal:
        assert found_in(journal, first, large, last) == [first, last]


def test_of_very_many_records_that_begin_alike_some_are_taken(path):
    entries = [
        Entry(bytes(8) + n.to_bytes(8, "big"), BODY, "m", 1, 1, 1, 0.1, 1.8e9) for n in range(300)
    ]
    killed_with(path, *entries, last := an_entry(2**64))
    with Journal.open(path) as journal:
        assert len(journal) == MOST_ALIKE + 1
        assert found_in(journal, entries[0], entries[MOST_ALIKE - 1], last) != []


def test_what_it_had_put_into_the_file_is_not_put_there_twice(path):
    entries = [an_entry(number) for number in range(3)]
    with Journal.open(path) as journal:

        async def keep():
            await journal.append(entries[0])

        asyncio.run(keep())
    killed_with(path, *entries[:1])
    killed_with(path, *entries, *entries)  # nor what is in a log twice
    with Journal.open(path) as journal:
        assert len(journal) == 3
        assert found_in(journal, *entries) == entries


def test_a_failure_that_was_left_behind_hides_no_answer_that_came_later(path):
    entry = an_entry(1)
    with Journal.open(path) as journal:

        async def keep():
            await journal.append(entry)

        asyncio.run(keep())
        for sooner in (1.0, -1.0):
            killed_with(path, Failure(entry.key, "timeout", "late", 1, entry.at - sooner))
            with Journal.open(path):
                assert found_in(journal, entry) == ([entry] if sooner > 0 else [])


def test_of_a_log_that_is_cut_or_damaged_all_before_that_is_kept(path):
    entries = [an_entry(number, b"a reply") for number in range(3)]
    for damage in (lambda whole: whole[:-3], lambda whole: whole[:-3] + b"???"):
        log = killed_with(path, *entries)
        log.write_bytes(damage(log.read_bytes()))
        with Journal.open(path) as journal:
            assert found_in(journal, *entries) == entries[:2]
        path.unlink()


@pytest.mark.parametrize("what", ["a reply", "a size", "a head", "a name of a model"])
def test_what_follows_a_damaged_record_of_a_log_is_kept_and_nothing_inside_of_it(path, what):
    planted = journal_intake._packed((*to_row(an_entry(7)), 3))
    entries = [an_entry(1), an_entry(2, b"a reply with " + planted), an_entry(3), an_entry(4)]
    log = killed_with(path, *entries)
    whole = bytearray(log.read_bytes())
    first = len(journal_intake._packed((*to_row(entries[0]), 3)))
    place = {"a reply": whole.index(b"with"), "a size": first + 24, "a head": first}
    if what == "a name of a model":
        failure = Failure(bytes(16), "timeout", "", 1, 1.8e9)
        start, key, kind, reply, _, *rest = (*to_row(failure), 3)
        rest[5] = journal_record._checksum(key, kind.encode(), reply, b"\xff", rest[:5], b"")
        row = bytearray(journal_intake._packed((start, key, kind, reply, "m", *rest)))
        row[-1] = 0xFF  # no text, with the right checksum
        whole[first:first] = row
    else:
        whole[place[what]] ^= 0x40
    log.write_bytes(whole)
    sound = entries if what == "a name of a model" else [entries[0], *entries[2:]]
    with Journal.open(path) as journal:
        assert found_in(journal, *entries) == sound
        if what in {"a reply", "a name of a model"}:  # it is known where the record ends
            assert found_in(journal, an_entry(7)) == []


def test_records_that_each_claim_half_of_a_log_are_not_all_looked_through(path, monkeypatch):
    looked, real = [], journal_intake.from_row
    monkeypatch.setattr(journal_intake, "_LITTLE", 0, raising=False)
    monkeypatch.setattr(
        journal_intake, "from_row", lambda row: looked.append(len(row[3])) or real(row)
    )
    log = killed_with(path, first := an_entry(1))
    sizes = (0, 50_000, 0, 0)
    head = journal_intake._HEAD.pack(b"row2", bytes(16), *sizes, 0, 0, 1, 0.0, 0.0, 7, 0)
    log.write_bytes(log.read_bytes() + head * 500 + bytes(50_000))
    with Journal.open(path) as journal:
        assert found_in(journal, first) == [first]
    assert sum(looked) < 1_000_000


@pytest.mark.parametrize("what", ["mode", "link", "folder"])
def test_a_log_that_others_can_write_answers_nothing(path, what):
    log = killed_with(path, entry := an_entry(1))
    if what == "mode":
        log.chmod(0o622)
    elif what == "link":
        log.rename(other := log.with_name("other"))
        log.symlink_to(other)
    else:
        log.unlink()
        log.mkdir()
    with Journal.open(path) as journal:
        assert found_in(journal, entry) == []


@pytest.mark.parametrize("is_trusted", [False, True])
def test_where_no_file_can_be_private_a_slot_waits_for_the_disk_unless_its_folder_is_trusted(
    path, monkeypatch, is_trusted
):
    """As on vfat and CIFS, where each file has the same rights: such a log is not believed."""
    if is_trusted:
        monkeypatch.setenv("LIONPROC_TRUST", str(path.parent))
    opened = os.open
    monkeypatch.setattr(os, "open", lambda name, flags, *_: opened(name, flags, 0o755))
    with Journal.open(path) as journal:

        async def is_written():
            kept = journal.keep(an_entry(1))
            await kept.durable
            return kept.written

        assert asyncio.run(is_written()) is asyncio.run(is_written()) is is_trusted
        assert len(list(path.parent.glob(".*.intake"))) == is_trusted
        if is_trusted:
            killed_with(path, left := an_entry(2))
            with Journal.open(path):
                assert found_in(journal, left) == [left]


def test_a_new_log_is_not_taken_for_the_one_that_had_its_name(path, monkeypatch):
    old, new, lock = killed_with(path, an_entry(1)), [], journal_intake._lock

    def late(file):
        if not new:  # another process takes the old one over first, and begins one of its own
            new.append(None)
            old.unlink()
            new[:] = [Intake(str(path)).take()]
        lock(file)

    monkeypatch.setattr(journal_intake, "_lock", late)
    with Journal.open(path):
        assert new[0]._path == old
        assert new[0]._is_there()
    new[0].close()


def test_the_log_of_a_living_process_is_left_to_it(path):
    log = Intake(str(path)).take()
    log.add((*to_row(an_entry(1)), 3))
    log.flush()
    with Journal.open(path) as journal:
        assert len(journal) == 0
    assert log._path.exists()
    log.close()


def test_a_log_that_was_removed_or_has_no_place_is_told_and_makes_the_slot_wait(path, monkeypatch):
    held = threading.Event()
    monkeypatch.setattr(JournalFile, "flush", lambda _: held.wait(20))
    intake = Intake(str(path))
    logs = [intake.take() for _ in range(MOST)]
    assert intake.take() is None
    with Journal.open(path) as journal:

        async def written():
            first = journal.keep(an_entry(1))
            held.set()
            await first.durable
            logs.pop().close()
            second = journal.keep(an_entry(2))
            await second.durable
            path.with_name(f".{path.name}.{MOST - 1}.intake").unlink()
            for _ in range(2):  # it is seen when it is emptied; then a new one is made
                await journal.keep(an_entry(3)).durable
            return first.written, second.written, logs[-1].is_sound

        assert asyncio.run(written()) == (False, True, True)
        assert path.with_name(f".{path.name}.{MOST - 1}.intake").exists()
    for log in logs:
        log.close()


def test_the_logs_are_for_their_owner_alone_empty_when_all_is_on_disk_and_gone_at_the_end(path):
    with Journal.open(path) as journal:

        async def keep():
            await journal.append(an_entry(1))

        asyncio.run(keep())
        logs = [each for each in path.parent.iterdir() if each.suffix == ".intake"]
        assert [(stat.S_IMODE(log.stat().st_mode), log.stat().st_size) for log in logs] == [
            (0o600, 0)
        ]
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_the_file_could_not_take_stays_in_its_log_for_the_next_one(path, monkeypatch):
    async def append(journal, entry):
        await journal.append(entry)

    with Journal.open(path) as journal:
        with monkeypatch.context() as full:
            trouble = JournalError("the disk is full")
            full.setattr(JournalFile, "write", lambda *_: (_ for _ in ()).throw(trouble))
            with pytest.raises(JournalError, match="full"):
                asyncio.run(append(journal, lost := an_entry(1)))
        with monkeypatch.context() as late:
            late.setattr(JournalFile, "take_over", lambda _: None)
            journal._writer._retry_at = 0.0
            asyncio.run(append(journal, kept := an_entry(2)))  # with a log of its own
        assert found_in(journal, lost, kept) == [kept]
    with Journal.open(path) as journal:
        assert found_in(journal, lost, kept) == [lost, kept]
        assert len(journal) == 2
    assert not list(path.parent.glob(".*.intake"))


def test_a_log_that_is_closed_twice_closes_nobody_elses_file(path):
    log = Intake(str(path)).take()
    log.close()
    with path.with_name("other").open("w") as other:  # which has the same number now
        log.close()
        other.write("mine")
    assert path.with_name("other").read_text() == "mine"
