"""The window and the pace of one amount: time is handed in, or virtual."""

import asyncio
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.engine.window import (
    MARGIN,
    MARGIN_CAP_S,
    MINUTE_S,
    QuantityLimit,
    SlidingWindow,
)
from lionproc.testing import run_virtual

WINDOW_S = 60.0
GRAIN_S = WINDOW_S / 1000
NEAR = 1e-6

gaps = st.floats(0, 40) | st.just(0.0) | st.floats(0, 0.2)
amounts = st.integers(0, 1000)
departures = st.lists(st.tuples(gaps, amounts), max_size=40)


def filled(history):
    """A window, what really left as (when, how much), and the moment after it."""
    window, now, left = SlidingWindow(WINDOW_S, 1), 1000.0, []
    for gap, amount in history:
        now += gap
        window.forget(now)
        window.add(now, (amount,))
        left.append((now, amount))
    return window, left, now


def since(left, moment):
    return sum(amount for at, amount in left if at > moment)


# The window


@given(departures, st.floats(0, 120))
def test_the_window_counts_all_that_left_in_it_and_nothing_older_than_a_grain_more(history, later):
    window, left, now = filled(history)
    now += later
    window.forget(now)
    least = since(left, now - WINDOW_S)
    most = since(left, now - WINDOW_S - GRAIN_S - NEAR)
    assert least - NEAR <= window.used[0] <= most + NEAR


def test_what_left_counts_up_to_the_last_moment_of_its_window_and_not_much_longer():
    window = SlidingWindow(WINDOW_S, 1)
    window.add(1000.0, (7,))
    window.forget(1000.0 + WINDOW_S - NEAR)
    assert window.used == [7]
    window.forget(1000.0 + WINDOW_S + 2 * GRAIN_S)
    assert window.used == [0]


@given(departures, amounts, st.integers(1, 3000))
def test_what_is_told_to_wait_fits_when_it_has_waited_and_not_much_earlier(history, amount, limit):
    window, left, now = filled(history)
    wait = window.wait_s(now, 0, amount, limit)
    if wait == 0.0:
        assert since(left, now - WINDOW_S) + amount <= limit + NEAR
    elif wait == math.inf:
        assert amount > limit
    else:
        assert window.wait_s(now + wait, 0, amount, limit) == 0.0
        assert since(left, now + wait - WINDOW_S - 3 * GRAIN_S) + amount > limit


@given(st.lists(st.integers(1, 90), min_size=1, max_size=60), st.integers(90, 300))
def test_whoever_waits_as_told_is_never_over_in_any_window_and_gets_all_of_it(asked, limit):
    window, now, left = SlidingWindow(WINDOW_S, 1), 0.0, []
    for amount in asked:
        while (wait := window.wait_s(now, 0, amount, limit)) > 0:
            now += wait
        window.add(now, (amount,))
        left.append((now, amount))
    for start, _ in left:
        inside = sum(amount for at, amount in left if start <= at < start + WINDOW_S)
        assert inside <= limit
    # A window is only left unfilled by less than what is next.
    rounds = math.ceil(sum(asked) / (limit - max(asked) + 1))
    assert left[-1][0] <= rounds * (WINDOW_S + 3 * GRAIN_S)


def test_amounts_are_kept_apart():
    window = SlidingWindow(WINDOW_S, 3)
    window.add(0.0, (1, 20, 300))
    window.add(10.0, (1, 0, 5))
    assert window.used == [2, 20, 305]
    assert window.wait_s(10.0, 0, 1, 3) == 0.0
    assert window.wait_s(10.0, 1, 1, 20) == pytest.approx(50, abs=2 * GRAIN_S)
    assert window.wait_s(10.0, 2, 300, 300) == pytest.approx(60, abs=2 * GRAIN_S)


def test_an_amount_that_just_fits_need_not_wait_and_one_that_never_fits_is_told_so():
    window = SlidingWindow(WINDOW_S, 1)
    assert window.wait_s(0.0, 0, 10, 10) == 0.0
    assert window.wait_s(0.0, 0, 10.001, 10) == math.inf


def test_many_small_amounts_leave_no_dust_behind():
    window = SlidingWindow(WINDOW_S, 1)
    for step in range(10_000):
        window.add(step / 1000, (0.1,))
    window.forget(10_000.0)
    assert window.used == [0.0]


def test_a_correction_counts_while_its_departure_is_in_the_window_and_not_after():
    window = SlidingWindow(WINDOW_S, 2)
    bucket = window.add(0.0, (1, 500))
    window.correct(bucket, 1, -300)
    assert window.used == [1, 200]
    assert window.wait_s(1.0, 1, 800, 1000) == 0.0
    window.add(30.0, (1, 50))
    window.forget(61.0)
    window.correct(bucket, 1, 400)
    assert window.used == [1, 50]


def test_a_correction_leaves_the_window_with_its_departure():
    window = SlidingWindow(WINDOW_S, 1)
    bucket = window.add(0.0, (10,))
    window.add(50.0, (1,))
    window.correct(bucket, 0, 40)
    window.forget(61.0)
    assert window.used == [1]


@given(departures, st.floats(0, 60))
def test_readers_see_what_left_since_a_moment(history, back):
    window, left, now = filled(history)
    seen = window.left_since(now - back, 0)
    assert since(left, now - back) - NEAR <= seen <= since(left, now - back - GRAIN_S - NEAR) + NEAR


@given(departures, st.floats(0.5, 59))
def test_the_history_seen_through_a_shorter_window_misses_nothing_of_it(history, window_s):
    window, left, now = filled(history)
    shorter = window.narrowed(window_s, 0, now)
    assert shorter.window_s == window_s
    assert shorter.used[0] >= since(left, now - window_s) - NEAR
    assert shorter.used[0] <= since(left, now - window_s - 2 * GRAIN_S) + NEAR
    shorter.forget(now + window_s + 2 * GRAIN_S)
    assert shorter.used == [0.0]


def test_seen_through_a_shorter_window_nothing_left_earlier_than_it_may_have():
    window = SlidingWindow(WINDOW_S, 1)
    window.add(100 * GRAIN_S + 0.9 * GRAIN_S, (1,))
    short = window.narrowed(1.0, 0, 200 * GRAIN_S)
    assert short.wait_s(200 * GRAIN_S, 0, 1, 1) + 200 * GRAIN_S >= 101 * GRAIN_S + 1.0


def test_the_shorter_window_is_of_the_amount_that_was_asked_for():
    window = SlidingWindow(WINDOW_S, 2)
    window.add(0.0, (1, 500))
    assert window.narrowed(10.0, 1, 1.0).used == [500]


# The pace


def limit_of(per_minute, burst_s=1.0, *, by_second=True, minute=None, now=0.0):
    made = QuantityLimit(
        0, minute or SlidingWindow(MINUTE_S + MARGIN_CAP_S, 1), by_second=by_second
    )
    made.set(per_minute, burst_s, now)
    return made


async def paced(made, sizes):
    """When each was due."""
    loop = asyncio.get_running_loop()
    times = []
    for size in sizes:
        await made.pace(size)
        times.append(loop.time())
    return times


def ready(made, size):
    """Whether it would pass at once."""
    return made.due_s(asyncio.get_running_loop().time(), size) == 0.0


def test_without_a_limit_nothing_is_held_back():
    async def main():
        made = limit_of(None)
        assert made.free
        assert ready(made, 1e9)
        assert made.wait_s(0.0, 1e9) == 0.0
        assert await paced(made, [1e9] * 3) == [0.0] * 3

    run_virtual(main())


def test_requests_leave_evenly_after_a_quarter_of_the_burst():
    async def main():
        made = limit_of(600)  # ten a second: two and a half of them at once
        assert not made.free
        times = await paced(made, [1] * 102)
        assert times[:2] == [0.0, 0.0]
        assert times[-1] == pytest.approx((102 - 2.5) / 10, abs=0.1)
        steps = [after - before for before, after in pairwise(times[3:])]
        assert all(step == pytest.approx(0.1, abs=0.01) for step in steps)

    run_virtual(main())


def test_tokens_may_use_the_whole_burst_at_once_and_a_lump_passes_in_slices():
    async def main():
        made = limit_of(6000, by_second=False)  # a hundred a second
        assert await paced(made, [100]) == [0.0]
        assert await paced(made, [1000]) == [pytest.approx(10.0, abs=0.1)]

    run_virtual(main())


def test_whether_it_would_pass_at_once_is_told_before_it_is_asked_for():
    async def main():
        made = limit_of(6000, by_second=False)
        assert ready(made, 100)
        assert not ready(made, 101)  # never at once
        await made.pace(100)
        assert not ready(made, 1)
        await asyncio.sleep(0.5)
        assert ready(made, 49)
        assert not ready(made, 52)

    run_virtual(main())


def test_what_was_estimated_too_low_is_made_up_for_by_the_next():
    async def main():
        minute = SlidingWindow(MINUTE_S + MARGIN_CAP_S, 1)
        made = limit_of(6000, by_second=False, minute=minute)
        bucket = minute.add(0.0, (100,))
        await made.pace(100)
        made.correct(bucket, 400)  # it took five hundred
        assert minute.used == [500]
        assert await paced(made, [100, 100]) == pytest.approx([5.0, 6.0], abs=0.1)

    run_virtual(main())


def test_what_was_estimated_too_high_lets_the_next_ones_go_earlier_and_no_more_than_that():
    async def main():
        minute = SlidingWindow(MINUTE_S + MARGIN_CAP_S, 1)
        made = limit_of(6000, by_second=False, minute=minute)
        bucket = minute.add(0.0, (500,))
        await made.pace(500)
        begun = asyncio.get_running_loop().time()
        made.correct(bucket, -250)
        assert minute.used == [250]
        assert ready(made, 250)
        times = await paced(made, [100, 100, 100])
        assert times == pytest.approx([begun, begun, begun + 0.5], abs=0.1)

    run_virtual(main())


def test_a_count_that_cannot_be_holds_the_next_ones_back_for_a_minute_and_no_longer():
    async def main():
        minute = SlidingWindow(MINUTE_S + MARGIN_CAP_S, 1)
        made = limit_of(6000, by_second=False, minute=minute)
        made.correct(minute.add(0.0, (100,)), 1e9)
        assert await paced(made, [100]) == pytest.approx([MINUTE_S], abs=2)
        assert made.wait_s(asyncio.get_running_loop().time(), 100) < MARGIN_CAP_S + 2

    run_virtual(main())


def test_a_new_limit_forgets_what_was_owed_to_the_old_one():
    async def main():
        made = limit_of(6000, by_second=False)
        made.correct(0, 1e6)
        made.set(6000, 1.0, 0.0)
        assert ready(made, 100)

    run_virtual(main())


def test_a_limit_that_is_taken_away_holds_nothing_back():
    async def main():
        made = limit_of(60)
        await made.pace(1)
        made.take(0.0, 1)
        assert not ready(made, 1)
        made.set(None, 1.0, 0.0)
        assert made.free
        assert ready(made, 1)
        assert made.wait_s(0.0, 1) == 0.0

    run_virtual(main())


# The window of a limit


def test_what_left_before_a_limit_was_set_counts_against_it():
    minute = SlidingWindow(MINUTE_S + MARGIN_CAP_S, 1)
    made = limit_of(None, minute=minute)
    for second in range(10):
        minute.add(float(second), (1,))
    made.set(10, 1.0, 10.0)
    assert made.wait_s(10.0, 1) == pytest.approx(50 + MARGIN_CAP_S, abs=0.2)
    made.set(11, 1.0, 30.0)
    assert made.wait_s(30.0, 1) == 0.0


def test_a_limit_below_one_a_minute_admits_one():
    made = limit_of(0.5)
    assert made.wait_s(0.0, 1) == 0.0
    assert made.wait_s(0.0, 2) == math.inf


@pytest.mark.parametrize(
    ("per_minute", "burst_s", "allowed", "window_s"),
    [
        (600, 1.0, 10, 1 + MARGIN),
        (60, 1.0, 1, 1 + MARGIN),
        (30, 1.0, 1, 2 + 2 * MARGIN),  # one in two seconds
        (90, 1.0, 2, 2 / 1.5 * (1 + MARGIN)),  # a second and a half rounds up, and so does its time
        (600, 30.0, 300, 30 + MARGIN_CAP_S),  # the margin has a bound
    ],
)
def test_the_share_of_a_burst_is_kept_in_its_seconds_with_a_margin(
    per_minute, burst_s, allowed, window_s
):
    made = limit_of(per_minute, burst_s)
    made.take(0.0, 0)  # the connections are open
    for _ in range(allowed):
        assert made.wait_s(1.0, 1) == 0.0
        made.take(1.0, 1)
    grain_s = window_s / 1000
    assert made.wait_s(1.0, 1) == pytest.approx(window_s, abs=2.1 * grain_s)
    assert made.wait_s(1.0 + window_s + 2 * grain_s, 1) == 0.0


def test_tokens_are_kept_by_the_minute_alone():
    made = limit_of(6000, by_second=False)
    made.take(0.0, 6000)
    assert made.wait_s(0.0, 6000) == 0.0


@pytest.mark.parametrize(("idle_s", "later_s"), [(9.9, 0.0), (10.1, 0.05)], ids=["warm", "cold"])
def test_what_leaves_after_idle_seconds_counts_as_leaving_a_little_later(idle_s, later_s):
    made = limit_of(60)
    made.take(0.0, 1)
    made.take(idle_s, 1)
    free = idle_s + later_s + 1 + MARGIN
    assert made.wait_s(idle_s, 1) == pytest.approx(free - idle_s, abs=0.003)


def test_all_that_leaves_while_connections_are_made_counts_as_leaving_when_they_are():
    made = limit_of(120)  # two a second
    made.take(100.0, 1)
    made.take(100.02, 1)
    assert made.wait_s(100.02, 1) == pytest.approx(0.05 + 1 + MARGIN - 0.02, abs=0.003)
