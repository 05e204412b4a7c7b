"""Several limiters in the place of one, on a clock that jumps."""

import asyncio

import pytest

from lionproc.engine.concurrency_limit import Overload
from lionproc.engine.limiter import Limiter
from lionproc.engine.limiter_chain import LimiterChain
from lionproc.engine.limiter_pool import REFUSALS, LimiterPool
from lionproc.engine.limits import Limits
from lionproc.engine.quotas import Signals
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, Kind
from lionproc.testing import run_virtual

ONE = Tokens(8, 2)
DOWN = CallError(Kind.CONNECTION, "Refused.")


def limiter(per_minute=None, *, tokens=None, concurrency=32, adapt=False):
    return Limiter(
        Limits(
            requests_per_minute=per_minute,
            tokens_per_minute=tokens,
            concurrency=concurrency,
            adapt=adapt,
        )
    )


def fullest(times, window_s=60.0):
    return max(sum(start <= at < start + window_s for at in times) for start in times)


async def crowd(pool, seconds, *, workers=64, latency_s=0.05, tokens=ONE):
    """Many workers that always have something to send; gives the times, way by way."""
    loop = asyncio.get_running_loop()
    sent = [[] for _ in pool.members]

    async def work():
        while True:
            reservation = await pool.reserve(tokens)
            sent[reservation.way].append(loop.time())
            await asyncio.sleep(latency_s)
            pool.settle(reservation, tokens)

    tasks = [asyncio.create_task(work()) for _ in range(workers)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return sent


@pytest.mark.parametrize("limits", [(600, 600), (600, 60), (50, 50, 50)])
def test_limits_add_up_and_each_is_kept(limits):
    async def main():
        pool = LimiterPool([limiter(each) for each in limits])
        sent = await crowd(pool, 121)
        for times, limit in zip(sent, limits, strict=True):
            assert fullest(times) <= limit
        assert sum(map(len, sent)) >= 0.97 * 2 * sum(limits)

    run_virtual(main())


def test_slots_add_up_and_the_less_busy_one_is_taken():
    async def main():
        pool = LimiterPool([limiter(concurrency=3), limiter(concurrency=9)])
        assert pool.concurrency == 12
        held = [pool.reserve_at_once(ONE) or await pool.reserve(ONE) for _ in range(12)]
        assert [each.way for each in held].count(0) == 3
        waiting = asyncio.create_task(pool.reserve(ONE))
        await asyncio.sleep(1)
        assert not waiting.done()
        pool.settle(held[5], ONE)
        assert (await waiting).way == held[5].way

    run_virtual(main())


def test_one_that_the_server_holds_holds_nobody_else():
    async def main():
        pool = LimiterPool([limiter(600, adapt=True), limiter(600, adapt=True)])
        first = await pool.reserve(ONE)
        pool.failed(first, Overload(60.0))
        sent = await crowd(pool, 50)
        assert not sent[first.way]
        assert len(sent[1 - first.way]) >= 0.95 * 500

    run_virtual(main())


def test_requests_larger_than_a_moments_share_pass():
    async def main():
        pool = LimiterPool([limiter(tokens=6000), limiter(tokens=6000)])
        sent = await crowd(pool, 180, tokens=Tokens(900, 100))
        assert sum(map(len, sent)) >= 0.9 * 36
        assert all(fullest(times) <= 6 for times in sent)
        with pytest.raises(CallError) as caught:
            await pool.reserve(Tokens(6000, 100))
        assert caught.value.kind is Kind.TOO_LARGE

    run_virtual(main())


def test_what_each_may_send_changes_live_for_all():
    async def main():
        pool = LimiterPool([limiter(60), limiter(60)])
        crowded = asyncio.create_task(crowd(pool, 120))
        await asyncio.sleep(60)
        pool.members[1].limits.requests_per_minute = 600  # equal limits are one object
        sent = await crowded
        late = [sum(at >= 60 for at in times) for times in sent]
        assert min(late) >= 0.9 * 540

    run_virtual(main())


def fails(pool, reservation, error=DOWN, attempts=1):
    taken = pool.another_takes(reservation, error, attempts)
    pool.failed(reservation)
    return taken


def test_one_that_fails_is_left_out_probed_by_one_alone_and_comes_back():
    async def main():
        pool = LimiterPool([limiter(), limiter()])

        async def ways(count=20):
            held = [await pool.reserve(ONE) for _ in range(count)]
            for each in held:
                pool.cancel(each)
            return {each.way for each in held}

        bad = await pool.reserve(ONE)
        held = [await pool.reserve(ONE) for _ in range(5)]
        same = [bad, *(each for each in held if each.way == bad.way)]
        assert [fails(pool, each) for each in same] == [True] * 3
        for each in held:
            if each.open:
                pool.settle(each, ONE)
        assert await ways() == {1 - bad.way}
        await asyncio.sleep(1.1)
        probes = [await pool.reserve(ONE) for _ in range(10)]
        (probe,) = [each for each in probes if each.way == bad.way]
        assert fails(pool, probe)  # still down: twice as long now
        await asyncio.sleep(1.5)
        assert await ways() == {1 - bad.way}
        await asyncio.sleep(0.6)
        probe = next(r for r in [await pool.reserve(ONE) for _ in range(3)] if r.way == bad.way)
        pool.settle(probe, ONE)
        assert await ways() == {0, 1}

    run_virtual(main())


def test_a_key_that_is_refused_is_left_out_at_once_and_the_last_one_is_never_left_alone():
    async def main():
        pool = LimiterPool([limiter(), limiter()])
        refused = CallError(Kind.ACCESS, "No.")
        first = await pool.reserve(ONE)
        assert fails(pool, first, refused, attempts=5)
        second = await pool.reserve(ONE)
        assert second.way != first.way
        assert not fails(pool, second, refused)  # nobody else: that is the run's end
        assert await pool.reserve(ONE)  # all are tried where all are left out

    run_virtual(main())


def test_one_that_refuses_everybody_is_left_out_and_comes_back():
    """Each row would be refused there as often as it may be, while another one has to wait."""

    async def main():
        pool = LimiterPool([limiter(600), limiter()])
        no = CallError(Kind.RATE_LIMITED, "Too many.")
        asked = [0, 0]

        async def ask(*, is_open):
            reservation = await pool.reserve(ONE)
            asked[reservation.way] += 1
            if reservation.way == 0 or is_open:
                pool.settle(reservation, ONE)
            else:
                pool.another_takes(reservation, no, attempts=1)
                pool.throttled(reservation, Signals())

        for _ in range(600):
            await ask(is_open=False)
        assert asked[0] > 500
        assert asked[1] <= REFUSALS + 6  # and looks after 1, 2, 4, ... 30 s
        for _ in range(600):
            await ask(is_open=True)
        assert asked[1] > 400

    run_virtual(main())


def test_what_is_the_rows_own_fault_is_nobodys_of_the_pool():
    async def main():
        pool = LimiterPool([limiter(), limiter()])
        for _ in range(5):
            row = CallError(Kind.BAD_REQUEST, "Your fault.")
            assert not fails(pool, await pool.reserve(ONE), row)
        held = [await pool.reserve(ONE) for _ in range(4)]
        assert {each.way for each in held} == {0, 1}

    run_virtual(main())


def test_behind_limits_of_a_stage_a_pool_still_says_which_way():
    async def main():
        pool = LimiterPool([limiter(), limiter()])
        chain = LimiterChain(Limits(concurrency=100, adapt=False), [pool])
        held = [await chain.reserve(ONE) for _ in range(4)]
        assert {each.way for each in held} == {0, 1}
        assert chain.another_takes(held[0], CallError(Kind.QUOTA, "Empty."), 1)
        chain.failed(held[0])
        after = await chain.reserve(ONE)
        assert after.way != held[0].way

    run_virtual(main())


def test_whoever_is_cancelled_just_when_its_turn_has_come_takes_no_slot_along():
    async def main():
        pool = LimiterPool([limiter(concurrency=1), limiter(concurrency=1)])
        waits = asyncio.create_task(pool.reserve(ONE))
        while not any(each.in_flight for each in pool.members):  # noqa: ASYNC110  (steps of the loop)
            await asyncio.sleep(0)
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        assert [each.in_flight for each in pool.members] == [0, 0]
        assert await pool.reserve(ONE)

    run_virtual(main())


@pytest.mark.parametrize("limits", [(None, 4), (60, 100)], ids=["slots", "a rate"])
@pytest.mark.parametrize("in_chain", [False, True])
def test_a_pool_gets_its_turn_beside_others_that_use_its_members_all_the_time(limits, in_chain):
    async def main():
        loop = asyncio.get_running_loop()
        members = [limiter(limits[0], concurrency=limits[1]) for _ in range(2)]
        pool, chain = LimiterPool(members), LimiterChain(Limits(adapt=False))
        waits = []

        async def through():
            while True:
                began = loop.time()
                reservation = await (chain.reserve(ONE, pool) if in_chain else pool.reserve(ONE))
                waits.append(loop.time() - began)
                await asyncio.sleep(0.5)
                (chain if in_chain else pool).settle(reservation, ONE)

        async def directly(member):
            while True:
                reservation = await member.reserve(ONE)
                await asyncio.sleep(0.5)
                member.settle(reservation, ONE)

        tasks = [asyncio.create_task(directly(member)) for member in members for _ in range(8)]
        tasks.append(asyncio.create_task(through()))
        await asyncio.sleep(600)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert len(waits) > 30
        assert max(waits) < 30

    run_virtual(main())


def test_a_pool_is_due_only_where_one_of_its_members_is():
    async def main():
        members = [limiter(60), limiter(60)]
        pool = LimiterPool(members)
        assert pool.is_due(ONE)
        for _ in range(2):
            pool.settle(await pool.reserve(ONE), ONE)
        assert not pool.is_due(ONE)  # each has its next one in a second
        waits = [asyncio.create_task(member.reserve(ONE)) for member in members]
        await asyncio.sleep(0.999)
        assert not pool.is_due(ONE)  # others are before it
        for member, task in zip(members, waits, strict=True):
            member.settle(await task, ONE)
        await asyncio.sleep(1.1)
        assert pool.is_due(ONE)

    run_virtual(main())


def test_one_that_no_request_fits_holds_up_none_that_the_others_take():
    async def main():
        pool = LimiterPool([limiter(tokens=100), limiter(tokens=60_000)])
        large = Tokens(3000, 0)
        ways = [(await pool.reserve(large)).way for _ in range(3)]
        assert ways == [1, 1, 1]
        with pytest.raises(CallError, match="can ever admit"):
            await pool.reserve(Tokens(70_000, 0))
        assert pool.members[0].in_flight == 0

    run_virtual(main())


def test_a_place_at_one_that_is_left_out_meanwhile_is_given_up():
    async def main():
        pool = LimiterPool([limiter(concurrency=1), limiter(concurrency=1)])
        first, second = await pool.reserve(ONE), await pool.reserve(ONE)
        waits = asyncio.create_task(pool.reserve(ONE))
        await asyncio.sleep(1)
        pool.another_takes(first, CallError(Kind.ACCESS, "Refused."), 1)  # for 30 seconds
        pool.failed(first)
        await asyncio.sleep(1)
        assert [each.in_flight for each in pool.members] == [0, 1]
        assert not waits.done()
        pool.settle(second, ONE)
        assert (await waits).way == second.way

    run_virtual(main())
