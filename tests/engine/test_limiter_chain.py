import asyncio
import itertools

import pytest

from lionproc.engine.limiter import Limiter
from lionproc.engine.limiter_chain import LimiterChain
from lionproc.engine.limiter_pool import LimiterPool
from lionproc.engine.limits import Limits
from lionproc.engine.queue_lock import QueueLock
from lionproc.engine.quotas import Signals
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, Kind
from lionproc.testing import run_virtual

ONE = Tokens(1, 0)


def limiter_of(per_minute=None, concurrency=1000):
    return Limiter(Limits(requests_per_minute=per_minute, concurrency=concurrency, adapt=False))


def stage(per_minute, *behind):
    return LimiterChain(
        Limits(requests_per_minute=per_minute, concurrency=1000, adapt=False), behind
    )


async def pour(limiter, count, times, last=None):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        reservation = await (limiter.reserve(ONE, last) if last else limiter.reserve(ONE))
        times.append(loop.time())
        limiter.settle(reservation, ONE)


def worst(times, window_s=60.0):
    return max(sum(start <= at < start + window_s for at in times) for start in times)


@pytest.mark.parametrize(("key_limit", "stages"), [(60, (50, 50)), (120, (100, 60, 60))])
def test_stages_on_one_key_never_exceed_its_limit_together(key_limit, stages):
    async def main():
        key = limiter_of(key_limit)
        everything, own = [], [[] for _ in stages]

        async def work(number, per_minute):
            chain = stage(per_minute, key)
            for _ in range(per_minute * 3):
                await pour(chain, 1, own[number])
                everything.append(own[number][-1])

        await asyncio.gather(*(work(*each) for each in enumerate(stages)))
        assert worst(everything) <= key_limit
        for times, per_minute in zip(own, stages, strict=True):
            assert worst(times) <= per_minute
        return len(everything) / (max(everything) - min(everything)) * 60

    assert run_virtual(main()) >= 0.95 * key_limit


def test_a_wait_at_the_key_does_not_let_a_stage_catch_up_beyond_its_own_limit():
    async def main():
        key, times = limiter_of(), []
        chain = stage(60, key)
        await pour(chain, 5, times)
        loop = asyncio.get_running_loop()
        reservation = await key.reserve(ONE)
        key.throttled(reservation, Signals(retry_after_s=90))
        held_until = loop.time() + 89
        # Many wait at once: had each passed the stage's limiter alone, they would leave together.
        await asyncio.gather(*(pour(chain, 1, times) for _ in range(60)))
        after = sorted(at for at in times if at >= held_until)
        assert len(after) == 60
        assert min(later - at for at, later in itertools.pairwise(after)) >= 1.0
        assert worst(times) <= 60

    run_virtual(main())


def test_the_gate_of_a_call_is_passed_last_and_only_once():
    async def main():
        key, times = limiter_of(60), []
        chain = stage(600, key)
        await pour(chain, 30, times, last=key)
        assert key.departures == 30
        other = limiter_of(30)
        await pour(chain, 30, times, last=other)
        assert (key.departures, other.departures) == (60, 30)
        assert worst(times[30:]) <= 30

    run_virtual(main())


def test_only_the_last_gate_learns_from_a_429():
    async def main():
        key = Limiter(Limits())
        chain = stage(6000, key)
        reservation = await chain.reserve(ONE)
        chain.throttled(reservation, Signals(retry_after_s=7))
        assert chain.holding_s() == 0
        assert key.holding_s() >= 7
        assert (chain.in_flight, key.in_flight) == (0, 0)

    run_virtual(main())


def test_what_no_gate_can_ever_admit_leaves_no_trace_in_the_others():
    async def main():
        key = Limiter(Limits(tokens_per_minute=10))
        chain = LimiterChain(Limits(requests_per_minute=60, adapt=False), [key])
        with pytest.raises(CallError) as raised:
            await chain.reserve(Tokens(100, 0))
        assert raised.value.kind is Kind.TOO_LARGE
        assert (chain.in_flight, key.in_flight) == (0, 0)

    run_virtual(main())


def test_a_reservation_is_given_back_at_every_gate():
    async def main():
        key = limiter_of(6000)
        chain = stage(6000, key)
        for give_back in (
            chain.cancel,
            chain.failed,
            lambda reservation: chain.settle(reservation, ONE),
        ):
            give_back(await chain.reserve(ONE))
            assert (chain.in_flight, key.in_flight) == (0, 0)

    run_virtual(main())


def test_where_all_gates_are_open_a_request_passes_at_once_and_is_given_back_at_each():
    async def main():
        key, endpoint = limiter_of(), limiter_of(concurrency=1)
        chain = stage(None, key)
        chain.settle(await chain.reserve(ONE, endpoint), ONE)  # the first finds the loop
        held = chain.reserve_at_once(ONE, endpoint)
        assert [gate.in_flight for gate in (chain, key, endpoint)] == [1, 1, 1]
        assert chain.reserve_at_once(ONE, endpoint) is None  # and no other has counted it
        assert [gate.departures for gate in (chain, key, endpoint)] == [2, 2, 2]
        chain.settle(held, ONE)
        assert [gate.in_flight for gate in (chain, key, endpoint)] == [0, 0, 0]

    run_virtual(main())


def test_at_once_nobody_overtakes_who_waits_between_two_gates():
    async def main():
        endpoint, chain = limiter_of(concurrency=1), stage(None)
        held = await chain.reserve(ONE, endpoint)
        waits = asyncio.create_task(chain.reserve(ONE, endpoint))
        await asyncio.sleep(0)
        chain.settle(held, ONE)
        assert chain.reserve_at_once(ONE, endpoint) is None
        chain.settle(await waits, ONE)
        assert chain.reserve_at_once(ONE, endpoint) is not None

    run_virtual(main())


def test_a_gate_with_one_place_that_is_passed_twice_gives_it_back_and_is_waited_for():
    async def main():
        key = limiter_of(concurrency=2)
        chain = stage(None, key, key)
        chain.settle(await chain.reserve(ONE), ONE)
        key.limits.concurrency = 1
        assert chain.is_free(ONE)
        assert chain.reserve_at_once(ONE) is None
        assert [gate.in_flight for gate in (chain, key)] == [0, 0]

    run_virtual(main())


def test_an_endpoint_that_asks_to_wait_holds_up_nobody_who_goes_to_another_one():
    async def main():
        slow, quick, chain = Limiter(Limits()), limiter_of(), stage(600)
        loop = asyncio.get_running_loop()
        chain.throttled(await chain.reserve(ONE, slow), Signals(retry_after_s=90))
        began, held, others = loop.time(), [], []
        waits = [asyncio.create_task(pour(chain, 1, held, slow)) for _ in range(20)]
        await asyncio.sleep(1)
        await pour(chain, 300, others, quick)
        assert others[-1] - began < 40
        assert worst(others) <= 600
        assert not held
        await asyncio.gather(*waits)
        assert min(held) - began >= 89

    run_virtual(main())


def test_an_endpoint_with_a_low_limit_or_without_a_free_slot_holds_up_nobody_else():
    async def main():
        few, busy, quick, chain = limiter_of(6), limiter_of(concurrency=1), limiter_of(), stage(600)
        await chain.reserve(ONE, busy)
        times, others = [], []
        waits = [
            asyncio.create_task(work)
            for work in (*(pour(chain, 1, times, few) for _ in range(50)), chain.reserve(ONE, busy))
        ]
        await pour(chain, 1200, others, quick)
        assert worst(others) <= 600
        assert len(others) / (others[-1] - others[0]) * 60 >= 0.9 * 600
        assert worst(times) <= 6
        for task in waits:
            task.cancel()
        await asyncio.wait(waits)
        chain.settle(await chain.reserve(ONE, quick), ONE)
        assert (few.in_flight, quick.in_flight, busy.in_flight, chain.in_flight) == (0, 0, 1, 1)

    run_virtual(main())


@pytest.mark.parametrize(("shared", "ends"), [(600, (300, 300)), (60, (60, 60, 60)), (6, (60, 6))])
def test_requests_to_several_endpoints_keep_all_limits_beside_others_and_all_get_their_share(
    shared, ends
):
    async def main():
        loop = asyncio.get_running_loop()
        chain, gates = stage(shared), [limiter_of(each) for each in ends]
        through, at = [[] for _ in ends], [[] for _ in ends]

        async def work(number, last, limiter, until):
            while loop.time() < until:
                reservation = await (limiter.reserve(ONE, last) if last else limiter.reserve(ONE))
                at[number].append(loop.time())
                if last:
                    through[number].append(loop.time())
                limiter.settle(reservation, ONE)

        until = loop.time() + 600
        works = [work(n, gate, chain, until) for n, gate in enumerate(gates) for _ in range(3)]
        works += [work(n, None, gate, until) for n, gate in enumerate(gates)]
        await asyncio.gather(*works)
        assert worst(list(itertools.chain(*through))) <= shared
        for times, limit in zip(at, ends, strict=True):
            assert worst(times) <= limit
            assert len(times) >= 0.9 * 10 * limit
        # Who waits for both, and keeps neither for long, has less than who waits for one of them alone.
        everything, enough = [len(times) for times in through], 0.25 * 10
        assert sum(everything) >= enough * min(shared, sum(ends) / 2)
        assert min(everything) >= enough * min(shared / len(ends), min(ends) / 2)

    run_virtual(main())


@pytest.mark.parametrize("is_pool", [False, True])
def test_a_request_that_waited_for_its_chain_leaves_for_no_endpoint_that_meanwhile_asks_to_wait(
    is_pool,
):
    async def main():
        loop = asyncio.get_running_loop()
        end, other, chain = Limiter(Limits()), limiter_of(), stage(6)
        end = LimiterPool([end]) if is_pool else end
        reservation = await end.reserve(ONE)
        begun = await chain.reserve(ONE, other)  # the next one is due in ten seconds
        waits = asyncio.create_task(chain.reserve(ONE, other))
        await asyncio.sleep(9.99)
        task = asyncio.create_task(chain.reserve(ONE, end))
        await asyncio.sleep(1)
        end.throttled(reservation, Signals(retry_after_s=60))
        until = loop.time() + 59
        for held in (begun, await waits, await task):
            chain.settle(held, ONE)
        assert loop.time() >= until
        assert [gate.in_flight for gate in (end, other, chain)] == [0, 0, 0]

    run_virtual(main())


async def occupy(chain, end, count, seconds, sent=None):
    for _ in range(count):
        reservation = await (chain.reserve(ONE, end) if end else chain.reserve(ONE))
        if sent is not None:
            sent.append(asyncio.get_running_loop().time())
        await asyncio.sleep(seconds)
        chain.settle(reservation, ONE)


def test_who_waits_for_a_slot_of_its_chain_keeps_no_endpoint_from_others_and_breaks_no_limit():
    async def main():
        loop = asyncio.get_running_loop()
        end, slow, sent, waits = limiter_of(60, concurrency=1), limiter_of(), [], []
        chains = [LimiterChain(Limits(concurrency=1, adapt=False)) for _ in range(8)]

        async def plain():
            for _ in range(300):
                began = loop.time()
                reservation = await end.reserve(ONE)
                sent.append(loop.time())
                waits.append(loop.time() - began)
                end.settle(reservation, ONE)

        works = [occupy(chain, slow, 6, 90) for chain in chains for _ in range(2)]
        works += [occupy(chain, end, 6, 0.01, sent) for chain in chains]
        await asyncio.gather(plain(), *works)
        assert len(sent) == 300 + 48
        assert worst(sent) <= 60
        assert worst(sent, 1.0) == 1
        assert max(waits) < 20

    run_virtual(main())


def test_what_a_gate_has_given_and_gets_back_costs_nobody_a_turn():
    async def main():
        loop, gate, times = asyncio.get_running_loop(), limiter_of(60), []
        await pour(gate, 2, times)  # the first one is counted a little later
        await asyncio.sleep(5)
        gate.cancel(await gate.reserve(ONE))
        began = loop.time()
        await pour(gate, 60, times)
        assert times[2] - began < 0.1
        assert worst(times, 1.0) == 1
        assert worst(times) <= 60

    run_virtual(main())


def test_a_turn_is_wanted_from_when_somebody_waits_until_the_last_one_has_had_it():
    async def main():
        lock, had = QueueLock(), []

        async def wait(number):
            async with lock:
                had.append(number)

        assert not lock.is_wanted
        async with lock:
            waits = [asyncio.create_task(wait(number)) for number in range(3)]
            await asyncio.sleep(0)
            waits[1].cancel()
        assert lock.is_wanted
        assert not lock.locked()  # the next one has not run yet
        await asyncio.wait(waits)
        assert had == [0, 2]
        assert not lock.is_wanted

    run_virtual(main())


@pytest.mark.parametrize(("seconds", "slots"), [(3, 1), (30, 1), (30, 4)])
def test_who_needs_a_slot_at_both_sides_gets_its_turn_beside_others_that_always_take_them(
    seconds, slots
):
    async def main():
        loop = asyncio.get_running_loop()
        end, other, waits = limiter_of(concurrency=slots), limiter_of(), []
        chain = LimiterChain(Limits(concurrency=slots, adapt=False))

        async def through():
            for _ in range(20):
                began = loop.time()
                await occupy(chain, end, 1, seconds)
                waits.append(loop.time() - began - seconds)

        others = [occupy(chain, other, 10_000, seconds) for _ in range(2 * slots)]
        others += [occupy(end, None, 10_000, seconds * 1.07) for _ in range(2 * slots)]
        others = [asyncio.create_task(work) for work in others]
        await through()
        for task in others:
            task.cancel()
        await asyncio.wait(others)
        assert sum(waits) / len(waits) < 10 * seconds
        assert max(waits) < 30 * seconds

    run_virtual(main())


@pytest.mark.parametrize("steps", range(8))
def test_whoever_is_cancelled_just_when_it_gives_back_is_cancelled_and_keeps_nothing(steps):
    async def main():
        end, other = limiter_of(concurrency=1), limiter_of()
        chain = LimiterChain(Limits(concurrency=1, adapt=False))
        taken = await end.reserve(ONE)
        task = asyncio.create_task(chain.reserve(ONE, end))
        await asyncio.sleep(1)
        taken_here = await chain.reserve(ONE, other)
        end.settle(taken, ONE)
        await asyncio.sleep(1)  # now it waits for the slot of the chain
        taken = await end.reserve(ONE)
        chain.settle(taken_here, ONE)
        await asyncio.sleep(0.5)  # so long it has kept that one
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,), timeout=5)
        assert task.cancelled()
        end.settle(taken, ONE)
        await asyncio.sleep(5)
        assert [gate.in_flight for gate in (end, other, chain)] == [0, 0, 0]

    run_virtual(main())
