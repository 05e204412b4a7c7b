"""Long replies take a bounded memory together, and each of them is read to its end."""

import asyncio
import contextlib

import pytest

from lionproc.engine.awaiting_disk import AwaitingDisk
from lionproc.engine.journal_writer import Kept
from lionproc.engine.reply_room import LONG_BYTES, Held, ReplyRoom, _rooms
from lionproc.engine.request import Event, Reply

MOST = 10


async def turns():
    for _ in range(5):
        await asyncio.sleep(0)


async def read(room, name, pieces, done, goes_on=None):
    """Read a reply of some pieces of one byte; with `goes_on` the last only when it is set."""
    held = Held(room)
    try:
        for piece in range(pieces):
            if goes_on is not None and piece == pieces - 1:
                await goes_on.wait()
            await held.more(1)
            await asyncio.sleep(0)
        done.append(name)
    finally:
        held.ends()


async def test_replies_that_would_take_too_much_together_are_read_one_after_the_other():
    room, done = ReplyRoom(MOST), []
    most = 0
    readers = [asyncio.create_task(read(room, name, 8, done)) for name in range(6)]
    while not all(reader.done() for reader in readers):
        most = max(most, room.taken)
        await asyncio.sleep(0)
    assert sorted(done) == list(range(6))
    assert most <= MOST + 8
    assert room.taken == 0


async def test_one_that_is_given_up_leaves_its_room_to_the_others():
    room, done, never = ReplyRoom(MOST), [], asyncio.Event()
    slow = asyncio.create_task(read(room, "slow", MOST + 5, done, never))
    await turns()
    await turns()
    other = asyncio.create_task(read(room, "other", MOST, done))
    waits = asyncio.create_task(read(room, "waits", MOST, done))
    await turns()
    await turns()
    assert done == []
    waits.cancel()
    slow.cancel()
    await other
    assert done == ["other"]
    assert room.taken == 0


async def test_nothing_long_is_read_while_too_much_waits_for_the_disk():
    loop = asyncio.get_running_loop()
    room = _rooms[loop] = ReplyRoom(LONG_BYTES)
    done = []
    waiting = AwaitingDisk(lambda: 9, lambda *_: None, lambda: None)
    kept = Kept(True, loop.create_future())
    reply = Reply(raw=b"x" * (LONG_BYTES + 1))
    assert waiting.takes(Event(object()), reply, kept)
    reader = asyncio.create_task(read(room, "next", 3, done))
    await turns()
    assert (done, room.taken) == ([], len(reply.raw))
    kept.durable.set_result(None)
    await reader
    assert (done, room.taken) == (["next"], 0)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_reply_that_its_slot_waits_with_counts_until_it_is_on_disk_or_lost(fails):
    room = ReplyRoom(MOST)
    with contextlib.suppress(OSError), room.kept(MOST):
        assert room.taken == MOST
        if fails:
            raise OSError
    assert room.taken == 0
