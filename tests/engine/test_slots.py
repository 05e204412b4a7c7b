"""A server that takes fewer requests in flight than were asked for costs no work of ours."""

from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.limiter import Limiter
from lionproc.engine.limits import Limits


def test_nobody_queues_for_the_slots_that_a_server_takes_away_and_they_are_used_when_they_are_back(
    virtual, desk, monkeypatch
):
    waited = []
    reserve = Limiter.reserve
    monkeypatch.setattr(
        Limiter, "reserve", lambda self, *args: waited.append(self) or reserve(self, *args)
    )
    desk.seconds = 1.0

    async def main():
        limiter = Limiter(Limits(concurrency=16))
        limiter.pace.congestion.skip_start()
        limiter.pace.adaptive.cap = 4
        executor = RateLimitedAPIExecutor(limiter=limiter)
        for number in range(40):
            await executor.append(desk.call(number))
        await executor.forward()
        assert limiter.peak_in_flight <= limiter.pace.adaptive.cap < 8
        assert waited == [limiter]  # the very first, that finds the loop
        limiter.pace.adaptive.cap = None
        for number in range(40, 80):
            await executor.append(desk.call(number))
        await executor.forward()
        assert limiter.peak_in_flight == 16
        await executor.stop()

    virtual(main())


def test_large_bodies_are_in_flight_one_after_the_other_and_all_are_sent(virtual, desk):
    desk.seconds = 1.0

    async def main():
        limiter = Limiter(Limits(concurrency=16))
        limiter.pace.congestion.skip_start()
        executor = RateLimitedAPIExecutor(limiter=limiter)
        executor.dispatcher.queue.out_bytes = 10
        for number, size in enumerate((4, 4, 4, 99, 1, 1, 1)):
            call = desk.call(number)
            call.size = size
            await executor.append(call)
        await executor.forward()
        await executor.stop()

    virtual(main())
    assert desk.times == [0, 0, 1, 2, 3, 3, 3]
