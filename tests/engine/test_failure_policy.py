"""What a failure means for the event and for the run: decisions, on a clock that is told."""

import asyncio

import pytest

from lionproc.engine.failure_policy import BREAKING, REFUSING_S, FailurePolicy, StopRun
from lionproc.engine.request import Event, Reply
from lionproc.engine.retry import Fail, Retry, Wait
from lionproc.errors import (
    AccessError,
    CallError,
    FirstRowsFailedError,
    Kind,
    ServiceDownError,
)
from lionproc.testing import run_virtual


class Call:
    key = None


def high(start, end):
    return end


def failed(kind, retry_after_s=None):
    return CallError(kind, f"a failure of kind {kind}", retry_after_s=retry_after_s)


def policy_of(retry=None, first_failures=None):
    return FailurePolicy(retry or Retry(), first_failures, high)


def fails(policy, kind, *, event=None, now=0.0, attempts=1, **more):
    """One attempt that fails, from sending it to the decision."""
    event = event or Event(Call())
    event.attempts = attempts
    error = failed(kind, **more)
    policy.sent(event)
    probe = policy.came_back(event, Reply(error))
    return policy.failed(event, error, now, probe=probe)


def ends(policy, error=None, *, known=False):
    """An event that is sent once and finished."""
    event = Event(Call())
    policy.sent(event)
    policy.came_back(event, Reply(error))
    event.finish(error)
    return policy.finished(event, known=known)


# Where somebody else answers meanwhile


def test_who_refuses_all_for_longer_than_any_window_is_left_alone_until_a_look_is_answered():
    policy = FailurePolicy(Retry(), None, high, elsewhere=BREAKING | {Kind.RATE_LIMITED})
    for second in range(0, 90, 5):
        assert isinstance(fails(policy, Kind.RATE_LIMITED, now=second), Wait)
    policy.paid()  # it had a limit by the minute
    for second in range(90, 181, 5):
        assert isinstance(fails(policy, Kind.RATE_LIMITED, now=second), Wait)
    assert isinstance(fails(policy, Kind.RATE_LIMITED, now=185), Fail)
    assert policy.is_open
    look, other = Event(Call()), Event(Call())
    assert policy.refused(look, 184.0 + REFUSING_S) is not None
    assert policy.refused(look, 185.0 + REFUSING_S) is None
    assert policy.refused(other, 185.0 + REFUSING_S) is not None
    assert isinstance(fails(policy, Kind.RATE_LIMITED, event=look, now=186 + REFUSING_S), Fail)
    policy.paid()
    assert not policy.is_open


@pytest.mark.parametrize("kind", [Kind.RATE_LIMITED, Kind.OVERLOADED])
@pytest.mark.parametrize(("wait_s", "waits"), [(600.0, 0), (91.0, 0), (60.0, 1), (25.0, 3)])
def test_who_asks_to_wait_for_longer_than_any_window_is_left_alone_for_as_long(kind, wait_s, waits):
    policy = FailurePolicy(Retry(), None, high, elsewhere=BREAKING | {Kind.RATE_LIMITED})
    now = 0.0
    for _ in range(waits):
        for _ in range(2 if kind is Kind.RATE_LIMITED else 1):  # those in flight ask for the same
            assert isinstance(fails(policy, kind, now=now, retry_after_s=wait_s), Wait)
        now += wait_s
        assert not policy.is_open
    assert isinstance(fails(policy, kind, now=now, retry_after_s=wait_s), Fail)
    assert isinstance(fails(policy, kind, now=now + 1), Fail)  # was in flight
    again = now + max(wait_s, REFUSING_S)
    assert policy.refused(Event(Call()), again - 0.1) is not None
    look = Event(Call())
    assert policy.refused(look, again + 1) is None
    policy.paid()
    assert isinstance(fails(policy, kind, now=again + 2, retry_after_s=60.0), Wait)


# One failure


def test_what_may_pass_is_sent_again_later_and_the_rest_is_given_up():
    policy = policy_of()
    assert fails(policy, Kind.TIMEOUT) == Wait(0.5)
    assert fails(policy, Kind.RATE_LIMITED, retry_after_s=7.0) == Wait(7.0)
    assert isinstance(fails(policy, Kind.BAD_REQUEST), Fail)
    assert isinstance(fails(policy, Kind.TIMEOUT, attempts=6), Fail)


@pytest.mark.parametrize("kind", [Kind.ACCESS, Kind.NOT_FOUND, Kind.QUOTA])
def test_what_no_event_can_get_past_stops_the_run_and_says_what_it_was(kind):
    decision = fails(policy_of(), kind)
    assert isinstance(decision, StopRun)
    assert isinstance(decision.error, AccessError)
    assert f"kind {kind}" in str(decision.error)


# The retry budget


def test_a_run_stops_when_its_budget_is_spent_and_successes_earn_it_back():
    policy = policy_of(Retry(budget=3))
    assert fails(policy, Kind.TIMEOUT) == fails(policy, Kind.TIMEOUT) == Wait(0.5)
    policy.paid()
    assert fails(policy, Kind.TIMEOUT) == Wait(0.5)
    decision = fails(policy, Kind.TIMEOUT)
    assert isinstance(decision, StopRun)
    assert isinstance(decision.error, ServiceDownError)
    assert "kind timeout" in str(decision.error)


def test_final_failures_of_the_server_cost_too_but_only_forbidden_ones_stop_the_run():
    policy = policy_of(Retry(budget=2, max_attempts=1))
    for _ in range(4):
        assert isinstance(fails(policy, Kind.TIMEOUT), Fail)
    assert isinstance(fails(policy, Kind.FORBIDDEN), StopRun)
    policy = policy_of(Retry(budget=2))
    assert isinstance(fails(policy, Kind.FORBIDDEN), Fail)
    decision = fails(policy, Kind.FORBIDDEN)
    assert isinstance(decision, StopRun)
    assert isinstance(decision.error, AccessError)


def test_failures_of_the_rows_own_cost_nothing():
    policy = policy_of(Retry(budget=2))
    for _ in range(10):
        assert isinstance(fails(policy, Kind.BAD_REQUEST), Fail)
    assert fails(policy, Kind.TIMEOUT) == Wait(0.5)


# The circuit breaker


def opened(policy, now=0.0):
    for _ in range(16):
        fails(policy, Kind.SERVER_ERROR, now=now)
    assert policy.is_open
    return policy


DOWN = {"connection", "timeout", "server_error", "overloaded", "bad_reply"}


@pytest.mark.parametrize(
    "kind", [kind for kind in Kind if kind not in {"access", "not_found", "quota"}]
)
def test_what_a_server_that_is_down_does_opens_the_breaker_and_nothing_else_does(kind):
    policy = policy_of(Retry(budget=1000))
    for _ in range(99):
        fails(policy, kind)
    assert policy.is_open is (kind in DOWN)


@pytest.mark.parametrize("kind", [Kind.BAD_REQUEST, Kind.WRONG_SHAPE, None])
def test_whatever_shows_that_the_server_lives_closes_the_breaker(kind):
    policy = opened(policy_of())
    if kind is None:
        policy.paid()
    else:
        fails(policy, kind)
    assert not policy.is_open


def test_a_refusal_for_the_rate_limit_says_nothing_about_the_breaker():
    policy = opened(policy_of())
    fails(policy, Kind.RATE_LIMITED)
    assert policy.is_open


def test_one_event_at_a_time_probes_and_the_others_hear_when_it_is_back():
    async def main():
        clock = asyncio.get_running_loop().time
        policy, first, second = opened(policy_of(), clock()), Event(Call()), Event(Call())
        assert await policy.probes(first)
        assert clock() == 1.0
        assert policy.allows(first)
        assert not policy.allows(second)
        waits = asyncio.create_task(policy.probes(second))
        await asyncio.sleep(0.5)
        assert not waits.done()
        policy.sent(first)
        assert policy.came_back(first, Reply())
        policy.paid()
        assert await waits is False  # it is to look again, for it need not probe any more
        assert policy.allows(second)

    run_virtual(main())


def test_what_was_in_flight_when_the_breaker_opened_is_no_probe():
    policy, early = policy_of(), Event(Call())
    policy.sent(early)
    opened(policy)
    assert not policy.came_back(early, Reply())


def test_a_probe_that_comes_back_when_all_is_well_again_is_none():
    async def main():
        policy, event = opened(policy_of()), Event(Call())
        assert await policy.probes(event)
        policy.paid()  # something that was in flight for long
        assert not policy.came_back(event, Reply())

    run_virtual(main())


def test_a_prober_that_was_withdrawn_leaves_its_place_to_the_next():
    async def main():
        policy, first, second = opened(policy_of()), Event(Call()), Event(Call())
        assert await policy.probes(first)
        first.finish(CallError(Kind.CANCELLED, "given up"))
        assert await policy.probes(second)

    run_virtual(main())


def test_after_six_failed_probes_the_run_stops_though_the_budget_would_go_on():
    async def main():
        clock = asyncio.get_running_loop().time
        policy, event = opened(policy_of(Retry(budget=1000, max_attempts=1000))), Event(Call())
        decisions = []
        for attempt in range(2, 8):
            assert await policy.probes(event)
            decisions.append(
                fails(policy, Kind.CONNECTION, event=event, attempts=attempt, now=clock())
            )
        assert [type(decision) for decision in decisions] == [Wait] * 5 + [StopRun]
        assert clock() == 1 + 2 + 4 + 8 + 16 + 30

    run_virtual(main())


# The first requests


def test_first_requests_that_all_fail_in_one_way_stop_the_run():
    policy = policy_of(first_failures=3)
    assert [ends(policy, failed(Kind.WRONG_SHAPE)) for _ in range(2)] == [None, None]
    decision = ends(policy, failed(Kind.WRONG_SHAPE))
    assert isinstance(decision, StopRun)
    assert isinstance(decision.error, FirstRowsFailedError)


@pytest.mark.parametrize("known", [True, False])
def test_one_answer_bought_or_known_lets_the_run_go_on(known):
    policy = policy_of(first_failures=2)
    if not known:
        ends(policy)
    assert [ends(policy, failed(Kind.EMPTY), known=known) for _ in range(5)] == [None] * 5


def sent(policy):
    event = Event(Call())
    policy.sent(event)
    return event


def is_over(policy, event, error):
    policy.came_back(event, Reply(error))
    event.finish(error)
    return policy.finished(event, known=False)


@pytest.mark.parametrize("known", [True, False])
def test_while_one_slow_request_holds_up_the_verdict_nothing_new_is_sent(known):
    policy = policy_of(first_failures=2)
    slow = sent(policy)
    assert [ends(policy, failed(Kind.BAD_REQUEST), known=known) for _ in range(2)] == [None, None]
    assert policy.holds_back is not known
    if not known:
        assert isinstance(is_over(policy, slow, failed(Kind.BAD_REQUEST)), StopRun)


def test_an_answer_or_a_failure_to_be_tried_again_lets_new_requests_go():
    for error in (None, failed(Kind.TIMEOUT)):
        policy = policy_of(first_failures=1)
        slow = sent(policy)
        ends(policy, failed(Kind.BAD_REQUEST))
        assert policy.holds_back
        if error is None:
            assert is_over(policy, slow, None) is None
        else:
            assert isinstance(policy.failed(slow, error, 0.0, probe=False), Wait)
        assert not policy.holds_back


def test_of_replies_that_do_not_fit_the_first_are_corrected_first_and_the_rest_wait():
    async def steps():
        policy = policy_of(first_failures=2)
        first, second, third = (sent(policy) for _ in range(3))
        waiting = asyncio.ensure_future(policy.may_correct(third))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert not policy.holds_back
        await policy.may_correct(second)
        await policy.may_correct(first)
        assert policy.holds_back
        assert is_over(policy, first, failed(Kind.WRONG_SHAPE)) is None
        await waiting
        assert isinstance(is_over(policy, second, failed(Kind.WRONG_SHAPE)), StopRun)

    run_virtual(steps())


def test_starting_again_forgets_budget_breaker_and_verdict():
    policy = opened(policy_of(Retry(budget=18), first_failures=2))
    ends(policy, failed(Kind.EMPTY))
    policy.stop()
    policy.start()
    assert not policy.is_open
    assert fails(policy, Kind.TIMEOUT) == fails(policy, Kind.TIMEOUT) == Wait(0.5)
    assert ends(policy, failed(Kind.EMPTY)) is None
    assert isinstance(ends(policy, failed(Kind.EMPTY)), StopRun)


def test_a_run_that_never_reached_anybody_is_told_so_at_its_end():
    policy = policy_of()
    fails(policy, Kind.CONNECTION)
    assert isinstance(policy.unreached([Kind.CONNECTION, Kind.NOT_SENT]), ServiceDownError)
    assert policy.unreached([Kind.CONNECTION, Kind.BAD_REQUEST]) is None
    ends(policy)
    assert policy.unreached([Kind.CONNECTION]) is None
