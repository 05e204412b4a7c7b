"""Whether to try again, and when: the policy, its budget and the breaker, by themselves."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.engine.retry import Breaker, Fail, Retry, RetryBudget, Stop, Wait, decide
from lionproc.errors import CallError, ConfigurationError, Kind

# By their words, so that every kind there is is judged here.
STOPS = {"access", "not_found", "quota", "no_logprobs"}
PASSES = {"rate_limited", "overloaded", "server_error", "timeout", "connection", "bad_reply"}


def low(start, end):
    return start


def high(start, end):
    return end


def failed(kind=Kind.TIMEOUT, retry_after_s=None):
    return CallError(kind, "no", retry_after_s=retry_after_s)


# Which failures


@pytest.mark.parametrize("kind", list(Kind))
def test_what_may_pass_is_tried_again_what_stays_stops_all_and_the_rest_fails_alone(kind):
    decision = decide(failed(kind), 1, Retry(), high)
    if kind in PASSES:
        assert decision == Wait(0.5)
    elif kind is Kind.NO_CAPACITY:  # for longer, and more often
        assert decision == Wait(4.0)
        assert isinstance(decide(failed(kind), 11, Retry(), high), Wait)
        assert isinstance(decide(failed(kind), 12, Retry(), high), Fail)
    elif kind is Kind.UNSUPPORTED:  # the next attempt is another one
        assert decision == decide(failed(kind), 99, Retry(), high) == Wait(0.0)
    else:
        assert isinstance(decision, Stop if kind in STOPS else Fail)
        assert decision.error.kind is kind


@pytest.mark.parametrize("attempts", [1, 2, 6])
def test_the_last_attempt_is_the_one_that_was_named(attempts):
    retry = Retry(max_attempts=attempts)
    decisions = [decide(failed(), attempt, retry, high) for attempt in range(1, attempts + 2)]
    waited = [isinstance(decision, Wait) for decision in decisions]
    assert waited == [True] * (attempts - 1) + [False, False]
    assert isinstance(decisions[-1], Fail)


def test_what_stops_all_stops_it_at_the_last_attempt_too():
    assert isinstance(decide(failed(Kind.ACCESS), 99, Retry(max_attempts=2), high), Stop)


# How long


def test_the_bound_of_the_wait_doubles_up_to_the_cap():
    retry = Retry(max_attempts=99, base_s=1.0, cap_s=10.0)
    waits = [decide(failed(), attempt, retry, high).seconds for attempt in range(1, 8)]
    assert waits == [1, 2, 4, 8, 10, 10, 10]


def test_the_wait_is_drawn_from_zero_to_its_bound():
    drawn = []

    def uniform(start, end):
        drawn.append((start, end))
        return 1.5

    assert decide(failed(), 3, Retry(base_s=0.5), uniform) == Wait(1.5)
    assert drawn == [(0.0, 2.0)]


@pytest.mark.parametrize(("took_s", "left_s"), [(0.1, 0.4), (0.5, 0.0), (60.0, 0.0)])
def test_what_took_long_to_fail_has_waited_already(took_s, left_s):
    retry = Retry(base_s=0.5)
    assert decide(failed(), 1, retry, high, took_s).seconds == pytest.approx(left_s)
    asked = failed(retry_after_s=7.0)  # the server knows better
    assert decide(asked, 1, retry, high, took_s) == Wait(7.0)


def test_a_refusal_that_stops_nobody_else_waits_an_eighth_and_then_as_always():
    retry = Retry(base_s=0.8)
    stray = [decide(failed(Kind.RATE_LIMITED), n, retry, high, stray=True) for n in (1, 2, 3)]
    assert stray == [Wait(pytest.approx(0.1)), Wait(1.6), Wait(3.2)]
    asked = failed(Kind.RATE_LIMITED, retry_after_s=7.0)  # the server knows better
    assert decide(asked, 1, retry, high, stray=True) == Wait(7.0)


def test_the_wait_of_a_very_late_attempt_is_a_number():
    retry = Retry(max_attempts=10**6, base_s=1.0, cap_s=math.inf)
    assert decide(failed(), 999_999, retry, high) == Wait(2.0**30)


@pytest.mark.parametrize(
    ("draw", "retry_after_s", "seconds"),
    [
        (low, 7.0, 7.0),  # what the server asks is the least
        (high, 0.2, 0.5),  # and no more than the least
        (low, None, 0.0),
        (low, 0.0, 0.0),
        (high, 45.0, 45.0),  # our cap is for waits of our own
    ],
)
def test_it_waits_as_long_as_the_server_asks_and_as_it_would_by_itself(
    draw, retry_after_s, seconds
):
    retry = Retry(base_s=0.5, cap_s=30.0)
    for kind in (Kind.RATE_LIMITED, Kind.OVERLOADED):
        assert decide(failed(kind, retry_after_s), 1, retry, draw) == Wait(seconds)


@given(
    attempt=st.integers(1, 50),
    base_s=st.floats(0, 100),
    cap_s=st.floats(0, 1000),
    retry_after_s=st.none() | st.floats(0, 600),
    seed=st.integers(0, 9),
)
def test_a_wait_is_never_shorter_than_asked_nor_longer_than_the_cap_or_what_is_asked(
    attempt, base_s, cap_s, retry_after_s, seed
):
    retry = Retry(max_attempts=51, base_s=base_s, cap_s=cap_s)
    error = failed(Kind.RATE_LIMITED, retry_after_s)
    wait = decide(error, attempt, retry, random.Random(seed).uniform)
    asked = retry_after_s or 0.0
    assert asked <= wait.seconds <= max(asked, min(cap_s, base_s * 2 ** (attempt - 1)))


# The numbers of a policy


def test_the_policy_without_a_word_is_the_documented_one():
    assert Retry() == Retry(max_attempts=6, base_s=0.5, cap_s=30, max_corrections=2, budget=100)


def test_a_policy_that_runs_share_cannot_be_changed():
    with pytest.raises(AttributeError):
        Retry().budget = 5


@pytest.mark.parametrize(
    ("name", "least", "below"),
    [
        ("max_attempts", 1, 0),
        ("base_s", 0, -0.1),
        ("cap_s", 0, -0.1),
        ("max_corrections", 0, -1),
        ("budget", 1, 0.9),
    ],
)
def test_each_number_has_a_least_value_that_is_allowed(name, least, below):
    assert getattr(Retry(**{name: least}), name) == least
    for wrong in (below, True, "3", None, float("nan")):
        with pytest.raises(ConfigurationError, match=rf"Retry\({name}=\.\.\.\)"):
            Retry(**{name: wrong})


@pytest.mark.parametrize("name", ["max_attempts", "max_corrections"])
def test_what_counts_is_a_whole_number(name):
    assert getattr(Retry(**{name: 3.0}), name) == 3
    with pytest.raises(ConfigurationError, match="whole number"):
        Retry(**{name: 2.5})


def test_the_first_failures_that_stop_a_run_are_one_at_least_or_no_matter():
    assert [Retry(first_failures=count).first_failures for count in (1, 99, None)] == [1, 99, None]
    for wrong in (0, -1, True, 2.0, "3"):
        with pytest.raises(
            ConfigurationError, match=r"first_failures=\.\.\.\).*from 1 on, or None"
        ):
            Retry(first_failures=wrong)


# The budget


def spend_all(budget, kind):
    """How many failures of this kind a budget affords."""
    count = 1
    while budget.spend(failed(kind)):
        count += 1
    return count


def test_a_failure_costs_one_and_a_429_a_quarter():
    assert spend_all(RetryBudget(10), Kind.TIMEOUT) == 10
    assert spend_all(RetryBudget(10), Kind.SERVER_ERROR) == 10
    assert spend_all(RetryBudget(10), Kind.RATE_LIMITED) == 40


def test_what_asks_for_patience_costs_a_quarter_and_what_was_not_supported_nothing():
    assert spend_all(RetryBudget(10), Kind.NO_CAPACITY) == 40
    budget = RetryBudget(1)
    assert all(budget.spend(failed(Kind.UNSUPPORTED)) for _ in range(99))


def test_a_success_gives_one_back_and_never_more_than_there_was():
    budget = RetryBudget(3)
    budget.refund()
    assert budget.left == 3
    budget.spend(failed(Kind.RATE_LIMITED))
    budget.refund()
    assert budget.left == 3
    budget.spend(failed())
    budget.spend(failed())
    budget.refund()
    assert budget.left == 2


def test_at_zero_the_budget_is_gone():
    budget = RetryBudget(2)
    assert budget.spend(failed())
    assert not budget.spend(failed())
    assert budget.left == 0


def test_a_server_that_fails_half_of_the_time_is_lived_with_and_one_that_fails_more_is_not():
    half, most = RetryBudget(10), RetryBudget(10)
    for _ in range(1000):
        assert half.spend(failed())
        half.refund()
    rounds = 0
    while most.spend(failed()) and most.spend(failed()):
        most.refund()
        rounds += 1
    assert rounds == 8  # each costs one: two failures, one success


# The breaker


def opened(threshold=3, probes=4):
    breaker = Breaker(threshold, probes)
    for _ in range(threshold):
        breaker.failed(100.0, probe=False)
    return breaker


def test_the_breaker_opens_at_the_threshold_and_not_before():
    breaker = Breaker(threshold=3)
    for _ in range(2):
        breaker.failed(0.0, probe=False)
        assert not breaker.is_open
    breaker.failed(5.0, probe=False)
    assert breaker.is_open
    assert breaker.opened_until == 6.0  # the first probe goes a second later


def test_a_success_between_failures_begins_the_count_anew():
    breaker = Breaker(threshold=3)
    for _ in range(5):
        breaker.failed(0.0, probe=False)
        breaker.failed(0.0, probe=False)
        breaker.succeeded()
    assert not breaker.is_open


def test_sixteen_failures_open_it_and_six_probes_find_it_down_without_a_word():
    breaker = opened(Breaker().threshold, Breaker().probes)
    assert (breaker.threshold, breaker.probes) == (16, 6)


def test_probes_wait_twice_as_long_each_time_up_to_half_a_minute():
    breaker = opened(probes=99)
    now, waits = 200.0, [breaker.opened_until - 100.0]
    for _ in range(7):
        breaker.failed(now, probe=True)
        waits.append(breaker.opened_until - now)
        now += 100
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_what_was_under_way_when_it_opened_puts_no_probe_off_and_is_none():
    breaker = opened()
    for _ in range(50):
        breaker.failed(100.9, probe=False)
    assert breaker.opened_until == 101.0
    assert breaker.failed_probes == 0
    assert not breaker.is_down


def test_as_many_failed_probes_as_named_mean_that_the_server_is_down():
    breaker = opened(probes=4)
    states = []
    for _ in range(5):
        states.append(breaker.is_down)
        breaker.failed(200.0, probe=True)
    assert states == [False] * 4 + [True]


def test_one_success_closes_it_and_forgets_everything():
    breaker = opened(probes=4)
    for _ in range(4):
        breaker.failed(200.0, probe=True)
    breaker.succeeded()
    assert not breaker.is_open
    assert not breaker.is_down
    breaker.failed(300.0, probe=False)
    assert not breaker.is_open  # it takes the whole threshold again
    for _ in range(2):
        breaker.failed(300.0, probe=False)
    assert breaker.opened_until == 301.0  # and the first probe is soon again
