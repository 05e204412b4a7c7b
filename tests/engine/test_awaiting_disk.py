"""Replies that wait for the disk: how many may, and that each is told once how it went."""

import asyncio

import pytest

from lionproc.engine.awaiting_disk import AwaitingDisk
from lionproc.engine.journal_writer import Kept
from lionproc.engine.request import Event, Reply
from lionproc.errors import JournalError


class Call:
    key = None


class Disk:
    """A disk that takes a group when the test says so, and what was told of it."""

    def __init__(self, most=9):
        self.most = most
        self.told = []
        self.hurried = 0
        self.waiting = AwaitingDisk(
            lambda: self.most,
            lambda event, reply, error: self.told.append((event.tag, reply.data, error)),
            self._hurry,
        )

    def _hurry(self):
        self.hurried += 1

    def group(self, *, written=True):
        return Kept(written, asyncio.get_running_loop().create_future())

    def takes(self, tag, group):
        return self.waiting.takes(Event(Call(), tag=tag), Reply(data=f"reply {tag}"), group)


async def test_no_more_wait_than_may_and_a_place_is_free_when_one_is_on_disk():
    disk = Disk(most=2)
    first, second = disk.group(), disk.group()
    assert [disk.takes(1, first), disk.takes(2, second), disk.takes(3, second)] == [
        True,
        True,
        False,
    ]
    assert len(disk.waiting) == 2
    first.durable.set_result(None)
    await asyncio.sleep(0)
    assert disk.told == [(1, "reply 1", None)]
    assert len(disk.waiting) == 1
    assert disk.takes(3, second)
    assert not disk.takes(4, second)


async def test_the_disk_is_asked_to_hurry_when_no_more_may_wait_and_once_until_it_has_some():
    disk = Disk(most=8)
    first, second = disk.group(), disk.group()
    for tag in range(3):
        disk.takes(tag, first)
    for tag in range(3, 7):
        disk.takes(tag, second)
    assert disk.hurried == 0
    disk.takes(7, second)
    assert disk.hurried == 1
    assert not disk.takes(8, second)
    disk.most = 9
    assert disk.takes(8, second)  # what is hurried already is not hurried again
    assert disk.hurried == 1
    first.durable.set_result(None)
    await asyncio.sleep(0)
    for tag in range(9, 12):
        disk.takes(tag, second)
    assert disk.hurried == 2


async def test_how_many_may_wait_is_asked_each_time():
    disk = Disk(most=0)
    assert not disk.takes(1, disk.group())
    disk.most = 1
    assert disk.takes(1, disk.group())


async def test_what_a_kill_would_lose_is_not_held():
    disk = Disk()
    assert not disk.takes(1, disk.group(written=False))


@pytest.mark.parametrize("error", [None, JournalError("the disk is full")])
async def test_all_of_a_group_are_told_together_in_their_order_and_why_if_it_failed(error):
    disk = Disk()
    group, other = disk.group(), disk.group()
    for tag in (1, 2, 3):
        disk.takes(tag, group)
    disk.takes(4, other)
    if error is None:
        group.durable.set_result(None)
    else:
        group.durable.set_exception(error)
    await asyncio.sleep(0)
    assert disk.told == [(tag, f"reply {tag}", error) for tag in (1, 2, 3)]
    assert len(disk.waiting) == 1


async def test_waiting_for_the_last_one_waits_for_those_too_that_come_meanwhile():
    disk = Disk()
    first, second = disk.group(), disk.group()
    disk.takes(1, first)
    ends = asyncio.create_task(disk.waiting.empty())
    await asyncio.sleep(0)
    disk.takes(2, second)
    first.durable.set_result(None)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not ends.done()
    second.durable.set_result(None)
    await ends
    assert [tag for tag, _, _ in disk.told] == [1, 2]
    await disk.waiting.empty()  # none is left, so at once
