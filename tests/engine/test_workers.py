"""The tasks that carry requests: how many there are, who is woken, and how they end."""

import asyncio

from lionproc.engine.workers import IDLE_S, WorkerPool
from lionproc.testing import run_virtual


class Bench:
    """A pool whose workers take jobs from a list, ten seconds each."""

    def __init__(self, most=100):
        self.most = most
        self.jobs = 0
        self.done = 0
        self.faults = []
        self.workers = set()
        self.pool = WorkerPool(self.work, lambda: self.most, self.faults.append, self.look)

    def look(self):
        if self.jobs:
            self.pool.call()

    def bring(self, jobs):
        self.jobs += jobs
        self.look()

    async def work(self, worker):
        self.workers.add(worker)
        while self.pool.needs(worker):
            if not self.jobs:
                await self.pool.sleep(worker)
                continue
            self.jobs -= 1
            self.look()
            self.pool.sending.add(worker)
            await asyncio.sleep(10)
            self.done += 1
            self.pool.sending.discard(worker)


def test_each_worker_calls_the_next_until_there_are_as_many_as_may_be():
    async def main():
        bench = Bench(most=3)
        bench.bring(7)
        await asyncio.sleep(5)
        assert len(bench.pool.sending) == len(bench.workers) == 3
        await asyncio.sleep(40)
        assert bench.done == 7
        assert len(bench.workers) == 3

    run_virtual(main())


def test_a_sleeping_worker_is_woken_before_another_is_started():
    async def main():
        bench = Bench()
        for count in range(1, 4):
            bench.bring(1)
            await asyncio.sleep(20)
            assert (bench.done, len(bench.workers)) == (count, 1)

    run_virtual(main())


def test_calling_twice_before_the_first_has_looked_brings_one():
    async def main():
        bench = Bench()
        bench.jobs = 1
        for _ in range(3):
            bench.pool.call()
        await asyncio.sleep(1)
        assert len(bench.workers) == 1

    run_virtual(main())


def test_workers_beyond_a_lowered_number_end_after_what_they_carry():
    async def main():
        bench = Bench(most=4)
        bench.bring(10)
        await asyncio.sleep(5)
        bench.most = 1
        await asyncio.sleep(10)
        assert len(bench.pool.sending) == 1
        await asyncio.sleep(60)
        assert bench.done == 10

    run_virtual(main())


def test_idle_workers_end_in_a_while_unless_one_is_called_before():
    async def main():
        bench = Bench()
        bench.bring(1)
        await asyncio.sleep(20)
        (worker,) = bench.workers
        bench.pool.cancel_idle_soon()
        await asyncio.sleep(IDLE_S / 2)
        bench.pool.call()  # and perhaps it waits at the limiter, which is not idle
        await asyncio.sleep(IDLE_S * 2)
        assert not worker.done()
        bench.bring(1)
        await asyncio.sleep(20)
        bench.pool.cancel_idle_soon()
        await asyncio.sleep(IDLE_S * 2)
        assert worker.cancelled()
        bench.bring(1)
        await asyncio.sleep(20)
        assert bench.done == 3

    run_virtual(main())


def test_at_the_end_requests_in_flight_have_the_grace_and_the_others_go_at_once():
    async def main():
        clock = asyncio.get_running_loop().time
        bench = Bench(most=2)
        bench.bring(2)
        await asyncio.sleep(5)
        bench.most = 0
        await bench.pool.stop(grace_s=60)
        assert (clock(), bench.done) == (10.0, 2)
        bench.most = 2
        bench.bring(2)
        await asyncio.sleep(5)
        await bench.pool.stop(grace_s=1)
        assert (clock(), bench.done) == (16.0, 2)
        assert all(worker.done() for worker in bench.workers)
        assert not bench.pool.sending

    run_virtual(main())


def test_a_fault_of_a_worker_is_told_and_another_takes_over():
    async def main():
        bench, well = Bench(), Bench.work

        async def broken(worker):
            bench.pool._work = lambda worker: well(bench, worker)
            raise ZeroDivisionError

        bench.pool._work = broken
        bench.bring(1)
        await asyncio.sleep(20)
        assert [type(fault) for fault in bench.faults] == [ZeroDivisionError]
        assert bench.done == 1

    run_virtual(main())
