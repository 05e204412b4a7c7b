"""Blocking work of many is done at once, and each hears of its own."""

import asyncio
import threading

import pytest

from lionproc.engine.together import Together


async def test_who_asks_while_it_works_is_served_together_next_time():
    groups, first, begun = [], threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(items):
        groups.append(items)
        loop.call_soon_threadsafe(begun.set)
        first.wait(10)
        return [item * 2 for item in items]

    together = Together(work)
    early = asyncio.ensure_future(together(1))
    await begun.wait()
    late = [asyncio.ensure_future(together(n)) for n in range(2, 7)]
    await asyncio.sleep(0)
    late[0].cancel()
    first.set()
    assert await asyncio.gather(early, *late[1:]) == [2, 6, 8, 10, 12]
    assert groups == [[1], [2, 3, 4, 5, 6]]


async def test_a_failure_is_that_of_one_or_of_all():
    together = Together(lambda items: [1 / n if n else ZeroDivisionError() for n in items])
    results = await asyncio.gather(*map(together, (1, 0, 2)), return_exceptions=True)
    assert [results[0], type(results[1]), results[2]] == [1.0, ZeroDivisionError, 0.5]
    broken = Together(lambda items: items[0].nothing)
    assert {
        type(each) for each in await asyncio.gather(broken(1), broken(2), return_exceptions=True)
    } == {AttributeError}
    with pytest.raises(AttributeError):  # and it goes on
        await broken(3)
