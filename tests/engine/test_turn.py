"""What is done at the end of a turn of the loop, and in which order."""

import asyncio
import gc
from weakref import ref

import pytest

from lionproc.engine import journal_intake
from lionproc.engine.journal import Journal
from lionproc.engine.journal_file import JournalFile
from lionproc.engine.journal_record import Entry
from lionproc.engine.turn import Turn, turn_of


class Wire:
    """A transport that notes what had happened when something left."""

    def __init__(self, look):
        self.look = look
        self.left = []
        self.is_closed = False

    def is_closing(self):
        return self.is_closed

    def write(self, data):
        self.left.append((data, self.look()))


def test_what_came_in_a_turn_is_noted_before_anything_of_it_leaves():
    async def main():
        turn, done = turn_of(asyncio.get_running_loop()), []
        wire = Wire(lambda: tuple(done))
        turn.leave(wire, b"first")
        turn.note(lambda: done.append("a"))
        turn.note(lambda: done.append("b"))
        turn.leave(wire, b"second")
        assert not done
        await asyncio.sleep(0)
        assert wire.left == [(b"first", ("a", "b")), (b"second", ("a", "b"))]
        assert turn_of(asyncio.get_running_loop()) is turn

    asyncio.run(main())


def test_what_leaves_at_once_has_all_noted_before_and_a_closed_connection_gets_nothing():
    async def main():
        turn, done = Turn(), []
        wire = Wire(lambda: tuple(done))
        turn.note(lambda: done.append("a"))
        turn.leave(wire, b"late")
        turn.noted()
        assert done == ["a"]
        wire.is_closed = True
        await asyncio.sleep(0)
        assert (done, wire.left) == (["a"], [])

    asyncio.run(main())


def test_a_loop_that_has_ended_is_held_by_nothing():
    async def main():
        turn_of(asyncio.get_running_loop()).note(lambda: None)
        return ref(asyncio.get_running_loop())

    ended = asyncio.run(main())
    gc.collect()
    assert ended() is None


def test_a_fault_of_who_notes_keeps_nothing_from_leaving():
    async def main():
        turn, wire = Turn(), Wire(lambda: None)
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        turn.note(lambda: 1 / 0)
        turn.leave(wire, b"out")
        await asyncio.sleep(0)
        assert wire.left == [(b"out", None)]

    asyncio.run(main())


@pytest.mark.skipif(journal_intake.fcntl is None, reason="needs locks of files")
def test_the_log_of_a_journal_has_a_reply_when_the_next_request_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(JournalFile, "write", lambda *_: None)  # whatever becomes of that

    def in_log():
        return sum(log.stat().st_size for log in tmp_path.glob("*.intake"))

    async def main():
        with Journal.open(tmp_path / "journal.sqlite") as journal:
            wire, turn = Wire(in_log), turn_of(asyncio.get_running_loop())
            for number in range(1, 4):
                key = number.to_bytes(16, "big")
                kept = journal.keep(Entry(key, b"a reply", "m", 1, 1, 1, 0.1, 1.8e9))
                assert kept.written
                turn.leave(wire, key)
            assert in_log() == 0
            await asyncio.sleep(0)
            assert len({size for _, size in wire.left}) == 1
            assert wire.left[0][1] > 3 * len(b"a reply")

    asyncio.run(main())
