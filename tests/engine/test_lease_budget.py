"""One budget for many: what is lent counts, whatever becomes of who has it."""

import asyncio
import bisect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.engine.lease_budget import LeaseBudget
from lionproc.engine.lease_messages import LEASE_S, Ask
from lionproc.engine.limiter import Limiter
from lionproc.engine.limiter_pool import LimiterPool
from lionproc.engine.limits import MOST, Limits
from lionproc.engine.quotas import Signals
from lionproc.engine.shared_file import SharedFile
from lionproc.engine.tokens import Tokens
from lionproc.testing import run_virtual

ONE = Tokens(1, 0)
AMOUNTS = (1.0, 1.0, 1.0, 0.0)


def worst(times, window_s=60.0):
    """The most in any window."""
    times = sorted(times)
    return max(bisect.bisect_left(times, at + window_s) - n for n, at in enumerate(times))


def limited(per_minute, **more):
    budget = LeaseBudget()
    budget.assign((per_minute, None, None, None), "first")
    return budget, {"holder": "a", "knows": budget.id, **more}


class Cluster:
    """Limiters that borrow from one budget, over a way that takes a while."""

    def __init__(self, per_minute, holders, on_the_way_s=0.003, **limits):
        self.budget = LeaseBudget()
        self.times = []
        self.way_s = on_the_way_s
        self.end = 0.0
        self.limiters = []
        for _ in range(holders):
            made = Limits(requests_per_minute=per_minute, adapt=False, concurrency=8, **limits)
            self.limiters.append(Limiter(made))
            self.limiters[-1].borrow(self.office, place=f"host{len(self.limiters)}", own=True)

    async def office(self, ask):
        await asyncio.sleep(self.way_s)
        grant = self.budget.ask(Ask(**json.loads(json.dumps(ask.as_dict()))), self.now())
        await asyncio.sleep(self.way_s)
        return grant

    @staticmethod
    def now():
        return asyncio.get_running_loop().time()

    async def send(self, limiter):
        while self.now() < self.end:
            reservation = await limiter.reserve(ONE)
            self.times.append(self.now())
            await asyncio.sleep(0.05)
            limiter.settle(reservation, ONE)

    async def run(self, seconds, limiters=None):
        self.end = self.now() + seconds
        senders = [self.send(limiter) for limiter in limiters or self.limiters for _ in range(8)]
        await asyncio.wait_for(asyncio.gather(*senders, return_exceptions=True), seconds + 120)


@pytest.mark.parametrize(("holders", "per_minute"), [(1, 600), (2, 600), (2, 1200), (4, 1200)])
def test_all_together_use_the_limit_and_are_never_over_it(holders, per_minute):
    async def main():
        cluster = Cluster(per_minute, holders)
        await cluster.run(150)
        return cluster.times

    times = run_virtual(main())
    assert worst(times) <= per_minute
    assert sum(at <= times[0] + 150 for at in times) >= 0.97 * 2.5 * per_minute


@pytest.mark.parametrize("alone", [False, True], ids=["all of it", "some sent without it"])
def test_who_borrows_again_from_a_budget_is_not_counted_twice_and_never_over_it(alone):
    async def main():
        cluster = Cluster(600, 2)
        one, other = cluster.limiters
        for piece in range(30):
            lender = one.borrowing.lender
            await cluster.run(2, [one])
            one.borrow(None)
            departures = one.departures
            await lender.close()
            if alone and piece == 20:
                await cluster.run(10, [one])
            one.borrow_again(lender, departures)
        await cluster.run(30, [one, other])
        return cluster.times

    times = run_virtual(main())
    assert worst(times) <= 600
    assert alone or sum(at <= times[0] + 60 for at in times) >= 550


def test_what_is_lent_and_kept_for_a_moment_counts_from_when_it_is_sent():
    async def main():
        cluster = Cluster(60, 2)
        keeps, other = cluster.limiters
        loop = asyncio.get_running_loop()

        async def send_late():
            while loop.time() < 300:
                reservation = await keeps.reserve(ONE)
                await asyncio.sleep(0.45)  # at another limiter
                keeps.redate(reservation)
                cluster.times.append(loop.time())
                keeps.settle(reservation, ONE)

        await asyncio.gather(cluster.run(300, [other]), *(send_late() for _ in range(4)))
        return cluster.times

    times = run_virtual(main())
    assert worst(times) <= 60
    assert len(times) >= 250


def test_a_limit_that_is_set_at_one_holds_for_all_and_at_once():
    async def main():
        cluster = Cluster(1200, 3)
        running = asyncio.create_task(cluster.run(140))
        await asyncio.sleep(30)
        cluster.limiters[1].limits.requests_per_minute = 300
        changed = cluster.now()
        await running
        assert all(each.limits.requests_per_minute == 300 for each in cluster.limiters)
        assert worst([at for at in cluster.times if at > changed + 0.2]) <= 300
        assert worst(cluster.times) <= 1200

    run_virtual(main())


def test_a_refusal_at_one_makes_all_wait_and_go_on_more_slowly():
    async def main():
        cluster = Cluster(1200, 2)
        await cluster.run(20)
        reservation = await cluster.limiters[0].reserve(ONE)
        cluster.limiters[0].throttled(reservation, Signals(retry_after_s=7))
        refused = cluster.now()
        cluster.times.clear()
        await cluster.run(27, [cluster.limiters[1]])
        return [at - refused for at in cluster.times]

    times = run_virtual(main())
    assert sum(at < 7 for at in times) <= 10  # what was lent to the other already
    assert 0.5 * 20 * 20 < sum(at >= 7 for at in times) < 0.95 * 20 * 20


def test_what_a_dead_holder_was_lent_counts_as_spent_and_gives_nothing_back_but_time():
    budget, who = limited(600)
    budget.ask(Ask(amounts=AMOUNTS, **who), 0.0)
    lent = budget.ask(Ask(amounts=AMOUNTS, **who), 1.0)
    assert lent.permissions == 5
    budget.ask(Ask(amounts=None, **{**who, "holder": "b"}), 1.0 + LEASE_S + 0.1)
    assert budget.in_window(1.0 + LEASE_S + 59)[0] == 5
    assert budget.in_window(1.0 + LEASE_S + 61)[0] == 0
    again = budget.ask(Ask(amounts=AMOUNTS, **who), 100.0)
    budget.drop("elsewhere", 100.5)
    budget.drop("a", 100.5)
    assert budget.counts.lost == 5 + again.permissions
    assert budget.in_window(100.5 + 59)[0] == again.permissions
    # What it says after all is too late to give anything back.
    budget.ask(Ask(lease=again.lease, **who), 101.0)
    assert budget.in_window(101.0)[0] == again.permissions


def test_what_is_not_used_comes_back_and_no_lease_is_counted_twice():
    budget, who = limited(600)
    budget.ask(Ask(amounts=AMOUNTS, **who), 0.0)
    lent = budget.ask(Ask(amounts=AMOUNTS, **who), 1.0)
    told = Ask(lease=lent.lease, used=[(0.5, AMOUNTS), (0.1, AMOUNTS)], **who)
    budget.ask(told, 2.0)
    assert budget.in_window(2.0)[0] == 2
    assert budget.counts.refunded == 3
    budget.ask(told, 2.1)  # said again, for its answer was lost
    assert budget.in_window(2.1)[0] == 2
    budget.ask(Ask(amounts=AMOUNTS, **who), 2.2)
    before = budget.in_window(2.2)[0]
    refused = budget.ask(
        Ask(
            amounts=(1.0, 1e9, 1e9, 0.0),
            **{**who, "limits": (600, 10, None, None), "assigned": "x"},
        ),
        2.3,
    )
    assert refused.permissions == 0
    assert budget.in_window(2.3)[0] == before  # a refusal leaks nothing


def test_a_budget_that_begins_anew_adds_no_burst():
    async def main():
        cluster = Cluster(600, 3)
        running = asyncio.create_task(cluster.run(130))
        await asyncio.sleep(40)
        cluster.budget = LeaseBudget()  # the scheduler was started again
        await running
        return cluster.times

    times = run_virtual(main())
    assert worst(times) <= 600
    assert len(times) >= 0.95 * 600 * 130 / 60


def test_the_largest_limit_that_can_be_set_is_one_that_can_be_shared():
    async def main():
        cluster = Cluster(MOST, 1, tokens_per_minute=MOST)
        await cluster.run(1)
        return cluster.times

    assert run_virtual(main())


def test_an_office_that_cannot_be_reached_lets_nothing_leave_and_loses_nothing():
    async def main():
        cluster = Cluster(600, 2)
        running = asyncio.create_task(cluster.run(100))
        await asyncio.sleep(20)
        budget, cluster.budget = cluster.budget, None
        gone = cluster.now()
        await asyncio.sleep(15)
        cluster.budget = budget
        back = cluster.now()
        await running
        assert not [at for at in cluster.times if gone + LEASE_S < at < back]
        assert worst(cluster.times) <= 600

    run_virtual(main())


NAN = float("nan")


@pytest.mark.parametrize(
    "said",
    [
        {"used": [(1.0, (NAN, 1.0, 1.0, 0.0))]},
        {"used": [(1.0, (-5.0, 1.0, 1.0, 0.0))]},
        {"corrections": [(NAN, AMOUNTS)]},
        {"corrections": [(0.0, (1e300, 0.0, 0.0, 0.0))]},
        {"past": [(1.0, (1.0, 1.0))]},
        {"amounts": (NAN, NAN, NAN, NAN)},
        {"limits": (-1.0, None, None, None), "assigned": "x"},
        {"taught": (NAN, None, None, None)},
    ],
)
def test_who_says_what_cannot_be_is_refused_and_spoils_it_for_nobody(said):
    budget, ask = limited(60)
    budget.ask(Ask(**ask), 0.0)
    with pytest.raises(ValueError, match=r"number|nothing|limit"):
        budget.ask(Ask(**{**ask, **said}), 1.0)
    assert budget.ask(Ask(amounts=AMOUNTS, **ask), 10.0).permissions


def test_the_file_that_stands_in_the_way_of_a_shared_budget_is_named(tmp_path):
    async def main():
        office, tried = SharedFile(tmp_path, "endpoint"), asyncio.Event()
        office._file.mkdir()

        async def asked(ask):
            try:
                return await office(ask)
            finally:
                tried.set()

        limiter = Limiter(Limits(requests_per_minute=60, adapt=False))
        lender = limiter.borrow(asked, place="here", own=True)
        sending = asyncio.create_task(limiter.reserve(ONE))
        await tried.wait()
        assert str(office._file) in lender.waiting_for
        office._file.rmdir()
        await sending

    asyncio.run(main())


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.floats(0, 4), st.integers(0, 20), st.booleans()),
        max_size=120,
    ),
    per_minute=st.integers(1, 300),
)
def test_whatever_holders_do_no_minute_is_over(steps, per_minute):
    """Each uses what it was lent at the latest moment that is allowed, tells of it, or never does."""
    budget, _ = limited(per_minute)
    now, sent, leases = 0.0, [], {}
    for holder, seconds, count, tells in steps:
        now += seconds
        lease, number, until = leases.pop(holder, (None, 0, 0.0))
        at = min(now, until)
        used = min(number, count) if tells else number
        sent += [at] * used
        told = {"lease": lease, "used": [(now - at, AMOUNTS)] * used} if lease and tells else {}
        kept = LeaseBudget.from_json(json.loads(json.dumps(budget.as_json())))
        ask = Ask(holder=str(holder), amounts=AMOUNTS, knows=budget.id, **told)
        grant = budget.ask(ask, now)
        assert kept.ask(ask, now).permissions == grant.permissions  # a file keeps all of it
        if grant.lease:
            leases[holder] = (grant.lease, grant.permissions, now + LEASE_S)
    sent += [until for _, number, until in leases.values() for _ in range(number)]
    assert not sent or worst(sent) <= per_minute


def test_a_file_is_one_budget_for_all_and_what_somebody_wrote_into_it_is_none(tmp_path):
    times = []

    async def main():
        loop = asyncio.get_running_loop()

        async def work(limiter):
            for _ in range(90):
                reservation = await limiter.reserve(ONE)
                times.append(loop.time())
                limiter.settle(reservation, ONE)

        limiters = [Limiter(Limits(requests_per_minute=60, adapt=False)) for _ in range(2)]
        for limiter in limiters:
            limiter.borrow(SharedFile(tmp_path, "m", loop.time), own=True)
        await asyncio.gather(*map(work, limiters))

    run_virtual(main())
    assert worst(times) <= 60
    (file,) = tmp_path.glob("*.json")
    assert file.stat().st_mode & 0o077 == 0
    ask = Ask(holder="a", amounts=AMOUNTS, past=())
    for wrong in ("", "[]", '{"id": 1}', file.read_text().replace('"due": [', '"due": ["x", ')):
        file.write_text(wrong)
        assert SharedFile(tmp_path, "m").ask(ask).permissions == 500  # no limits, nothing sent
    file.with_suffix(".lock").unlink()
    file.with_suffix(".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link"):
        SharedFile(tmp_path, "m").ask(ask)
    assert not (tmp_path / "elsewhere").exists()


def test_a_clock_that_is_set_back_gives_nothing_free():
    budget, who = limited(60)
    for second in range(100, 160):
        lent = budget.ask(Ask(amounts=AMOUNTS, **who), float(second))
        if lent.lease:
            budget.ask(Ask(lease=lent.lease, used=[(0.0, AMOUNTS)], **who), float(second))
    sent = budget.in_window(160.0)[0]
    assert budget.in_window(10.0)[0] == sent
    assert budget.ask(Ask(amounts=AMOUNTS, **who), 10.0).permissions <= 60 - sent


def test_a_hold_or_a_lease_that_a_clock_set_far_ahead_ends_when_it_is_right_again():
    budget, ask = limited(60)
    future = 1e9
    budget.ask(Ask(**ask, amounts=AMOUNTS), future)
    budget.ask(Ask(**ask, hold_s=500.0), future + 100)  # nothing was sent in the last minute
    for _ in range(2):
        budget.ask(Ask(**ask), now := 600.0)
        budget = LeaseBudget.from_json(json.loads(json.dumps(budget.as_json())))
    assert budget.ask(Ask(**ask, amounts=AMOUNTS), now + 601.0).permissions


def test_what_the_server_says_is_forgotten_when_nobody_has_said_it_for_a_minute():
    budget, ask = limited(6000)
    taught = (60.0, None, None, None)
    budget.ask(Ask(**ask, taught=taught), 0.0)
    for now in (30.0, 60.0, 90.0):  # who has heard it says it each time
        budget.ask(Ask(**ask, taught=taught), now)
        budget = LeaseBudget.from_json(json.loads(json.dumps(budget.as_json())))
        assert budget.effective()[0] == 60.0
    nobody = (None,) * 4
    for holder in ("a", "b"):
        budget.ask(Ask(**{**ask, "holder": holder}, taught=nobody), 140.0)
        assert budget.effective()[0] == 60.0
    budget.ask(Ask(**ask, taught=nobody), 153.0)
    assert budget.effective()[0] == 6000.0


def test_what_an_older_version_was_taught_is_learned_anew():
    budget, ask = limited(6000)
    budget.ask(Ask(**ask, taught=(60.0, None, None, None)), 1e9)
    kept = budget.as_json()
    del kept["taught_at"]
    budget = LeaseBudget.from_json(json.loads(json.dumps(kept)))
    budget.ask(Ask(**ask), 1e9 + 1)
    assert budget.effective()[0] == 6000.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("hold_until", 1e308), ("hold_until", 1e11), ("due", [-1e308] * 4)),
        *(("due", [-1e11] * 4), ("taught", [1e-9, None, None, None])),
    ],
)
@pytest.mark.parametrize("until", [-1e308, 1e11, 1e308])
def test_whatever_somebody_wrote_into_the_file_nobody_waits_for_ever(name, value, until):
    budget, ask = limited(60)
    budget.ask(Ask(**ask, amounts=AMOUNTS), 0.0)
    budget.ask(Ask(**ask, amounts=AMOUNTS), 5.0)
    kept = budget.as_json()
    assert kept["leases"]
    kept["leases"][0][1]["until"] = until
    kept = {**kept, "leases": kept["leases"], name: value}
    try:
        budget = LeaseBudget.from_json(json.loads(json.dumps(kept)))
    except ValueError:
        return  # then a new one begins
    asking = Ask(holder="a", amounts=AMOUNTS, past=())
    budget.ask(asking, 10.0)
    assert any(budget.ask(asking, 10.0 + wait).permissions for wait in (0.0, 601.0, 602.0))


def test_a_pool_sends_also_where_who_keeps_the_budget_takes_a_while_to_answer():
    async def main():
        cluster = Cluster(600, 2, on_the_way_s=0.4)
        pool = LimiterPool(cluster.limiters)
        await cluster.run(120, [pool, pool])
        return cluster.times

    times = run_virtual(main())
    assert 60 <= worst(times) <= 600


@pytest.mark.parametrize("steps", range(8))
def test_whoever_is_cancelled_just_when_a_pool_turns_to_another_one_is_cancelled(steps):
    async def main():
        cluster = Cluster(600, 2, on_the_way_s=0.4)
        pool = LimiterPool(cluster.limiters)
        task = asyncio.create_task(pool.reserve(ONE))
        await asyncio.sleep(0.25)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,), timeout=9)
        assert task.cancelled()
        assert [limiter.in_flight for limiter in pool.members] == [0, 0]

    run_virtual(main())


def test_a_pool_sends_where_there_is_room_while_the_budget_of_another_one_has_none():
    async def main():
        used_up, free = Cluster(6, 1), Cluster(600, 1)
        pool = LimiterPool([*used_up.limiters, *free.limiters])
        await free.run(120, [pool])
        return free.times

    times = run_virtual(main())
    assert 60 <= worst(times) <= 606


def test_what_is_said_is_heard_once_also_where_who_asks_gives_up_the_wait():
    async def main():
        cluster, heard = Cluster(600, 1), []
        (limiter,) = cluster.limiters

        async def office(ask):
            heard.append(ask)
            return await cluster.office(ask)

        limiter.borrow(office, own=True)
        reservation = await limiter.reserve(ONE)
        limiter.settle(reservation, Tokens(500, 0))
        limiter.cancel(await limiter.reserve(ONE))
        cluster.way_s = 1.0
        await asyncio.sleep(0.3)  # the lease is over
        for wait_s in (0.5, 1.5):
            waits = asyncio.create_task(limiter.reserve(ONE))
            await asyncio.sleep(wait_s)  # it is on its way there, or back
            waits.cancel()
        limiter.settle(await limiter.reserve(ONE), ONE)
        await asyncio.sleep(9)
        used = sum(sum(amounts[1] for _, amounts in ask.used) for ask in heard)
        corrected = [sum(amounts) for ask in heard for _, amounts in ask.corrections]
        return used, corrected, limiter.in_flight

    used, corrected, in_flight = run_virtual(main())
    assert used == 3
    assert len([each for each in corrected if each > 0]) == 1
    assert len([each for each in corrected if each < 0]) == 1
    assert in_flight == 0


def test_what_may_have_been_heard_and_was_not_answered_gives_nothing_back_twice():
    async def main():
        cluster, heard = Cluster(600, 1), []
        (limiter,) = cluster.limiters
        is_silent = False

        async def office(ask):
            heard.append(ask)
            if is_silent:
                raise ConnectionError
            return await cluster.office(ask)

        limiter.borrow(office, own=True)
        limiter.settle(await limiter.reserve(ONE), Tokens(500, 0))
        limiter.cancel(await limiter.reserve(ONE))
        is_silent = True
        await asyncio.sleep(2)
        is_silent = False
        limiter.settle(await limiter.reserve(ONE), ONE)
        await asyncio.sleep(9)
        return [sum(amounts) for ask in heard for _, amounts in ask.corrections]

    corrected = run_virtual(main())
    assert len([each for each in corrected if each > 0]) >= 2
    assert len([each for each in corrected if each < 0]) == 1
