"""A journal that was not made here is looked through before anything in it is believed."""

import asyncio
import contextlib
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lionproc.engine import journal_file, journal_pages
from lionproc.engine.journal import Entry, Journal
from lionproc.engine.journal_mark import GIVE
from lionproc.errors import JournalError

PAGE = 4096


def key_of(number: int) -> bytes:
    return bytes([number % 256, number // 256]) * 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of some hundred records, each on a page of its own and two more."""
    path = tmp_path / "journal.sqlite"
    with Journal.open(path) as journal:
        keep(journal, range(600))
        journal.runs.begin({})
    return path


@pytest.fixture
def looked(monkeypatch) -> list[str]:
    """The names of the files that were looked through."""
    names, look = [], journal_file.look_through

    def look_and_tell(connection, path, *given):
        names.append(Path(path).name)
        look(connection, path, *given)

    monkeypatch.setattr(journal_file, "look_through", look_and_tell)
    return names


def keep(journal: Journal, numbers) -> None:
    async def main() -> None:
        for number in numbers:
            entry = Entry(key_of(number), b"x" * 10_000, "some-model", 10, 2, 1, 0.25, 1.8e9)
            waiting = journal.append(entry)
        await waiting

    asyncio.run(main())


def roots(path: Path) -> dict[str, int]:
    """The first page of each table and index."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        return dict(other.execute("SELECT name, rootpage FROM sqlite_master").fetchall())


def number(content: bytearray, place: int, size: int = 4) -> int:
    return int.from_bytes(content[place : place + size])


def put(content: bytearray, place: int, value: int, size: int = 4) -> None:
    content[place : place + size] = value.to_bytes(size)


def pages_of_a_tree_lead_to_one(content: bytearray, root: int) -> None:
    place = (root - 1) * PAGE
    for cell in range(number(content, place + 3, 2)):
        put(content, place + number(content, place + 12 + 2 * cell, 2), number(content, place + 8))


def a_tree_leads_to_itself(content: bytearray, root: int) -> None:
    put(content, (root - 1) * PAGE + 8, root)


def a_reply_goes_on_for_ever(content: bytearray, _: int) -> None:
    page = next(
        page
        for page in range(len(content) // PAGE)
        if content[page * PAGE + 4 : (page + 1) * PAGE] == b"x" * (PAGE - 4)
    )
    put(content, page * PAGE, page + 1)


def a_page_is_free_as_well(content: bytearray, root: int) -> None:
    count = len(content) // PAGE + 1
    content += bytes(PAGE)
    put(content, (count - 1) * PAGE + 4, 1)
    put(content, (count - 1) * PAGE + 8, number(content, (root - 1) * PAGE + 8))
    put(content, 28, count)
    put(content, 32, count)
    put(content, 36, 2)


@pytest.mark.parametrize(
    ("plant", "tree"),
    [
        (pages_of_a_tree_lead_to_one, "record"),
        (pages_of_a_tree_lead_to_one, "by_prefix"),
        (a_tree_leads_to_itself, "record"),
        (a_tree_leads_to_itself, "run"),
        (a_reply_goes_on_for_ever, "record"),
        (a_page_is_free_as_well, "record"),
    ],
)
def test_a_copy_of_which_a_page_has_two_uses_is_refused_before_it_is_read(path, plant, tree):
    content = bytearray(path.read_bytes())
    plant(content, roots(path)[tree])
    copy = path.with_name("copy.sqlite")
    copy.write_bytes(content)
    with pytest.raises(JournalError, match=r"is damaged.* LIONPROC_TRUST=") as raised:
        Journal.open(copy)
    assert "journal=" in str(raised.value)
    assert copy.read_bytes() == content


@pytest.mark.parametrize("is_in_wal", [True, False])
def test_a_copy_in_which_two_tables_share_their_rows_is_refused(path, is_in_wal):
    copy = path.with_name("copy.sqlite")
    root = roots(path)["run"]
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA writable_schema = ON")
        change = "UPDATE sqlite_master SET rootpage = ? WHERE name = 'run_answers'"
        other.execute(change, [root])
        other.commit()
        if is_in_wal:
            shutil.copy(path, copy)
            shutil.copy(f"{path}-wal", f"{copy}-wal")
    if not is_in_wal:
        shutil.copy(path, copy)
    with pytest.raises(JournalError, match=r"is damaged .2nd reference"):
        Journal.open(copy)


def test_pages_that_lead_to_pages_by_the_thousand_end_no_process(path):
    """SQLite's own check calls itself for each; here on a thread with a short stack."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("DELETE FROM record")
        other.execute("PRAGMA page_size = 512")
        other.execute("VACUUM")
    root, content = roots(path)["record"], bytearray(path.read_bytes())
    count, depth = len(content) // 512, 20_000
    leaf = content[(root - 1) * 512 : root * 512]
    leading = b"\x05" + bytes(4) + (512).to_bytes(2) + bytes(1)
    for page in range(count + 1, count + depth):
        content += (leading + (page + 1).to_bytes(4)).ljust(512, b"\0")
    content += leaf
    content[(root - 1) * 512 : root * 512] = (leading + (count + 1).to_bytes(4)).ljust(512, b"\0")
    put(content, 28, count + depth)
    content[92:96] = content[24:28]
    copy = path.with_name("copy.sqlite")
    copy.write_bytes(content)
    script = """
        import sys, threading
        from lionproc.engine.journal import Journal
        from lionproc.errors import JournalError

        def look():
            try:
                Journal.open(sys.argv[1])
            except JournalError as error:
                print(error)

        threading.stack_size(512 * 1024)
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(copy)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "is damaged" in ended.stdout


def test_a_journal_is_looked_through_once_and_a_copy_of_it_once_more(path, looked):
    for _ in range(2):
        Journal.open(path).close()
    assert looked == []
    copy = path.with_name("copy.sqlite")
    shutil.copy(path, copy)
    for _ in range(2):
        with Journal.open(copy) as journal:
            assert len(journal.find([key_of(n) for n in range(600)])) == 600
    assert looked == ["copy.sqlite"]


def test_a_copy_that_bears_the_secret_of_another_folder_is_looked_through_once(path, looked):
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute(GIVE, (b"0123456789abcdef" * 2,))
    for _ in range(3):
        Journal.open(path).close()
    assert looked == ["journal.sqlite"]


def test_a_journal_that_cannot_be_marked_is_looked_through_once_in_a_process(
    path, looked, monkeypatch
):
    """It has two connections, one of which reads."""
    monkeypatch.setattr("lionproc.engine.journal_mark._mark_of", lambda path: b"")
    with Journal.open(path) as journal:
        assert len(journal.find([key_of(1)])) == 1
    assert looked == ["journal.sqlite"]


def test_a_copy_of_which_the_file_system_tells_little_is_looked_through_by_its_length(
    path, looked, monkeypatch
):
    """As Btrfs and ZFS do for some seconds after a write."""
    monkeypatch.setattr(journal_file, "bytes_of", lambda found: min(found.st_size, 512))
    monkeypatch.setattr(journal_pages, "_SOME_STEPS", 100)
    monkeypatch.setattr(journal_pages, "_MOST_STEPS", 100)
    copy = path.with_name("copy.sqlite")
    shutil.copy(path, copy)
    Journal.open(copy).close()
    assert looked == ["copy.sqlite"]


def test_of_a_damaged_copy_what_is_sound_is_served_where_its_user_says_so_once(path, monkeypatch):
    content = bytearray(path.read_bytes())
    a_reply_goes_on_for_ever(content, 0)
    copy = path.with_name("copy.sqlite")
    copy.write_bytes(content)
    keys = [key_of(n) for n in range(600)]
    with monkeypatch.context() as trusted:
        trusted.setenv("LIONPROC_TRUST", str(path.parent))
        with Journal.open(copy) as journal:
            assert len(journal.find(keys)) == 599
    with Journal.open(copy) as journal:
        assert len(journal.find(keys)) == 599


def test_a_copy_with_a_value_of_another_type_has_a_damaged_record_and_is_served(path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        (sql,) = other.execute("SELECT sql FROM sqlite_master WHERE name = 'record'").fetchone()
        change = "UPDATE sqlite_master SET sql = ? WHERE name = 'record'"
        other.execute("PRAGMA writable_schema = ON")
        other.execute(change, [sql.replace("model TEXT NOT NULL", "model TEXT")])
        other.execute("PRAGMA schema_version = 99")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE record SET model = NULL WHERE id = 7")
        other.execute("PRAGMA writable_schema = ON")
        other.execute(change, [sql])
    copy = path.with_name("copy.sqlite")
    shutil.copy(path, copy)
    with Journal.open(copy) as journal:
        assert len(journal.find([key_of(n) for n in range(600)])) == 599
