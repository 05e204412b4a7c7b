import asyncio
import queue
import threading
import time

import pytest
from aiolimiter import AsyncLimiter

from lionproc.testing import DeadlockError, VirtualTimeLoop, run_virtual


def now():
    return asyncio.get_running_loop().time()


def test_an_hour_passes_at_once():
    async def main():
        await asyncio.sleep(3600)
        return now()

    assert run_virtual(main()) == 3600.0  # in real time, the test's own timeout would end it
    assert run_virtual(main(), start_s=100.0) == 3700.0


def test_longer_than_the_loop_ever_waits_at_once_is_no_trouble():
    async def main():
        await asyncio.sleep(7 * 24 * 3600)
        return now()

    assert run_virtual(main()) == 7 * 24 * 3600


def test_timers_fire_at_their_own_time_and_in_order():
    async def main():
        seen = []

        async def after(delay):
            await asyncio.sleep(delay)
            seen.append((delay, now()))

        await asyncio.gather(*(after(delay) for delay in (0.3, 0.1, 0.7, 0.1 + 0.2)))
        return seen

    seen = run_virtual(main())
    assert [delay for delay, _ in seen] == sorted(delay for delay, _ in seen)
    assert all(abs(at - delay) < 2e-9 for delay, at in seen)
    assert seen == run_virtual(main())


def test_timeouts_fire_in_virtual_time():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.sleep(61)
        assert now() == 60
        async with asyncio.timeout(60):
            await asyncio.sleep(59)
        return now()

    assert run_virtual(main()) == 119


def test_a_limiter_of_another_package_runs_a_minute_at_once():
    async def main():
        limiter = AsyncLimiter(10, 1)
        for _ in range(610):
            await limiter.acquire()
        return now()

    assert run_virtual(main()) == pytest.approx(60, abs=0.2)


def test_waiting_for_ever_is_an_error_that_names_who_waits():
    async def never_woken():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match=r"never_woken.*outside_work"):
        run_virtual(never_woken())


def test_a_deadlock_leaves_the_tasks_time_to_clean_up():
    cleaned = []

    async def main():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5)
            cleaned.append(now())

    with pytest.raises(DeadlockError):
        run_virtual(main())
    assert cleaned == [5]


def test_the_clock_stands_still_while_an_executor_works():
    async def main():
        release = threading.Event()
        beats = []

        async def beat():
            while True:
                await asyncio.sleep(1)
                beats.append(now())

        task = asyncio.create_task(beat())
        await asyncio.sleep(2.5)
        threading.Timer(0.05, release.set).start()
        assert await asyncio.to_thread(release.wait, 5)
        assert now() == 2.5
        assert beats == [1, 2]
        await asyncio.sleep(1)
        task.cancel()
        return now()

    assert run_virtual(main()) == 3.5


def test_a_timeout_around_work_that_hangs_still_fires():
    release = threading.Event()

    async def main():
        try:
            async with asyncio.timeout(30):
                await asyncio.to_thread(release.wait, 5)
        except TimeoutError:
            return now()
        finally:
            release.set()

    assert run_virtual(main(), patience_s=0.05) == 30


def test_an_exception_in_an_executor_lets_the_clock_run_on():
    async def main():
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        await asyncio.sleep(9)
        return now()

    assert run_virtual(main()) == 9


def test_a_thread_wakes_the_loop_inside_outside_work():
    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        timer = threading.Timer(0.05, lambda: loop.call_soon_threadsafe(done.set_result, "in"))
        other = asyncio.create_task(asyncio.sleep(100))
        with loop.outside_work():
            timer.start()
            assert await done == "in"
        assert now() == 0
        other.cancel()

    run_virtual(main())


def test_a_thread_of_its_own_wakes_the_loop_within_the_grace():
    """A worker thread with a queue, as a journal has one, that the loop knows nothing of."""
    jobs = queue.SimpleQueue()

    def work():
        while (job := jobs.get()) is not None:
            loop, future = job
            loop.call_soon_threadsafe(future.set_result, None)

    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(5):
            future = loop.create_future()
            jobs.put((loop, future))
            await future
        return now()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert run_virtual(main(), grace_s=1.0) == 0
    finally:
        jobs.put(None)
        thread.join()


def test_real_sockets_run_at_the_pace_of_real_time():
    async def main():
        async def echo(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        began = time.monotonic()
        await asyncio.sleep(0.05)
        assert time.monotonic() - began >= 0.04
        writer.write(b"hello\n")
        async with asyncio.timeout(5):
            assert await reader.readline() == b"hello\n"
        assert now() < 5
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)
        await asyncio.sleep(1000)  # all sockets are gone: it jumps again
        return now()

    assert run_virtual(main()) > 1000


def test_lateness_makes_timers_late_as_a_busy_machine_does():
    delays = iter([0.25, 0.0, 0.5])

    async def main():
        seen = []
        for _ in range(3):
            await asyncio.sleep(1)
            seen.append(now())
        return seen

    assert run_virtual(main(), lateness=lambda: next(delays, 0.0)) == [1.25, 2.25, 3.75]


def test_timers_due_while_the_loop_was_late_fire_in_the_same_round():
    async def main():
        async def after(delay):
            await asyncio.sleep(delay)
            return now()

        return await asyncio.gather(after(1), after(1.5), after(3))

    assert run_virtual(main(), lateness=iter([1.0, 0.0]).__next__) == [2, 2, 3]


def test_time_advances_by_hand_as_in_a_long_computation():
    async def main():
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(asyncio.sleep(1))
        await asyncio.sleep(0)
        loop.advance(10)
        await task
        with pytest.raises(ValueError, match="backwards"):
            loop.advance(-1)
        return now(), loop.jumps

    assert run_virtual(main()) == (pytest.approx(10), 0)


def test_the_loop_works_with_a_runner_of_ones_own():
    async def main():
        await asyncio.sleep(60)
        return now()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(main()) == 60
        assert runner.run(main()) == 120
