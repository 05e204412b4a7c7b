"""What replies teach about a server: its quotas, and how many requests at once it takes well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.engine.adaptive_concurrency import AdaptiveConcurrency
from lionproc.engine.quotas import FORGOTTEN_AFTER, ProviderQuotas, Quota
from lionproc.engine.tokens import INPUT, QUANTITIES, REQUESTS, TOKENS, Tokens

ONE = (1.0, 10.0, 8.0, 2.0)  # a request of ten tokens, by quantity


def taught(said, mark=(0.0,) * 4, now=0.0):
    quotas = ProviderQuotas()
    quotas.learn(said, mark, now)
    return quotas


# Tokens


def test_tokens_read_and_written_are_counted_together_and_apart():
    assert Tokens(3, 4).total == 7
    assert Tokens() == (0, 0)


# Limits in headers


def test_a_limit_is_news_once_and_again_when_it_changes():
    quotas = ProviderQuotas()
    news = [
        quotas.learn({REQUESTS: Quota(limit=limit)}, (0.0,) * 4, 0.0)
        for limit in (600, 600, 300, None, 300)
    ]
    assert news == [True, False, True, False, False]
    assert quotas.limits == {REQUESTS: 300}


def test_limits_of_several_amounts_are_kept_apart():
    quotas = taught({REQUESTS: Quota(limit=600), TOKENS: Quota(limit=9000)})
    assert quotas.limits == {REQUESTS: 600, TOKENS: 9000}


def test_a_limit_that_one_reply_told_and_the_next_ones_do_not_is_forgotten():
    quotas = taught({REQUESTS: Quota(1, 0, 60.0)})
    assert [quotas.silent() for _ in range(FORGOTTEN_AFTER)] == [False, False, False, False, True]
    assert quotas.limits == {}
    assert quotas.wait_s(ONE, 0.0) == 0.0
    assert not quotas.silent()


def test_a_limit_that_some_replies_leave_out_is_kept():
    quotas = taught({REQUESTS: Quota(600)})
    for _ in range(3):
        assert not any(quotas.silent() for _ in range(FORGOTTEN_AFTER - 1))
        assert not quotas.learn({REQUESTS: Quota(600)}, (0.0,) * 4, 0.0)
    assert quotas.limits == {REQUESTS: 600}


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_lets_nothing_through_is_no_limit(limit):
    quotas = ProviderQuotas()
    assert not quotas.learn({REQUESTS: Quota(limit=limit)}, (0.0,) * 4, 0.0)
    assert quotas.limits == {}


def test_an_amount_that_is_not_known_teaches_nothing():
    assert taught({"images": Quota(5, 0, 60)}).wait_s(ONE, 0.0) == 0.0


# What is left


def test_nothing_is_planned_beyond_what_is_left_until_the_reset():
    quotas = taught({REQUESTS: Quota(remaining=2, reset_s=30)}, now=100.0)
    for _ in range(2):
        assert quotas.wait_s(ONE, 101.0) == 0.0
        quotas.departed(ONE)
    assert quotas.wait_s(ONE, 101.0) == 29.0
    assert quotas.wait_s(ONE, 129.5) == 0.5
    assert quotas.wait_s(ONE, 130.0) == 0.0


def test_what_left_after_the_request_of_a_reply_is_not_yet_in_the_servers_count():
    quotas = ProviderQuotas()
    quotas.departed(ONE)
    mark = quotas.mark()
    for _ in range(3):
        quotas.departed(ONE)
    # The server had counted one when it said that three are left: all three are gone by now.
    quotas.learn({REQUESTS: Quota(remaining=3, reset_s=10)}, mark, 0.0)
    assert quotas.wait_s(ONE, 0.0) == 10.0
    quotas.learn({REQUESTS: Quota(remaining=4, reset_s=10)}, mark, 0.0)
    assert quotas.wait_s(ONE, 0.0) == 0.0


def test_a_mark_stays_what_it_was():
    quotas = ProviderQuotas()
    mark = quotas.mark()
    quotas.departed(ONE)
    assert mark == (0.0, 0.0, 0.0, 0.0)
    assert quotas.mark() == ONE


def test_each_amount_waits_for_its_own_reset_and_the_longest_counts():
    quotas = taught(
        {
            REQUESTS: Quota(remaining=0, reset_s=5),
            TOKENS: Quota(remaining=9, reset_s=20),
            INPUT: Quota(remaining=8, reset_s=60),
        }
    )
    assert quotas.wait_s(ONE, 0.0) == 20.0
    assert quotas.wait_s((0.0, 9.0, 8.0, 0.0), 0.0) == 0.0


def test_a_reset_that_is_far_away_is_believed_for_two_minutes():
    quotas = taught({REQUESTS: Quota(remaining=0, reset_s=86_400)})
    assert quotas.wait_s(ONE, 0.0) == 120.0


@pytest.mark.parametrize("quota", [Quota(remaining=0), Quota(reset_s=60), Quota(limit=600)])
def test_half_of_the_words_make_nobody_wait(quota):
    assert taught({REQUESTS: quota}).wait_s(ONE, 0.0) == 0.0


def test_the_latest_reply_is_the_one_that_is_believed():
    quotas = taught({REQUESTS: Quota(remaining=0, reset_s=60)})
    quotas.learn({REQUESTS: Quota(remaining=5, reset_s=60)}, quotas.mark(), 1.0)
    assert quotas.wait_s(ONE, 1.0) == 0.0


@given(
    st.lists(st.integers(0, 50), max_size=60),
    st.integers(0, 500),
    st.sampled_from(range(len(QUANTITIES))),
)
def test_never_more_leaves_before_the_reset_than_was_left(sizes, remaining, place):
    quotas = taught({QUANTITIES[place]: Quota(remaining=remaining, reset_s=60)})
    left = 0
    for size in sizes:
        amounts = tuple(float(size) if quantity == place else 0.0 for quantity in range(4))
        wait = quotas.wait_s(amounts, 1.0)
        assert wait in {0.0, 59.0}
        if wait == 0.0:
            quotas.departed(amounts)
            left += size
        else:
            assert left + size > remaining
    assert left <= remaining


# How many at once


FIRST = AdaptiveConcurrency.BASELINE


class Server:
    """Replies in a steady stream: so many in flight, each taking as long, from second to second."""

    def __init__(self):
        self.adaptive = AdaptiveConcurrency()
        self.now = 0.0
        self.number = 0

    def reply(self, latency_s, full=None):
        self.adaptive.replied(self.number, latency_s, self.now - latency_s, self.now, full)
        self.number += 1

    def unloaded(self, *latencies):
        for latency_s in latencies:
            self.reply(latency_s)

    def busy(self, seconds, *, full, latency_s):
        """All slots taken for so long; as much comes back as full slots can carry."""
        end = self.now + seconds
        while self.now < end:
            self.now += latency_s / full
            self.reply(latency_s, full)
            full = self.adaptive.cap or full
        return self.adaptive.cap


def test_half_as_much_again_as_the_unloaded_latency_is_suspected_and_less_is_not():
    # 13 are ceil(16 * 1.25 * 0.1 / 0.16)
    for seconds, latency_s, found in ((20, 0.14, None), (4, 0.16, 13)):
        server = Server()
        server.unloaded(*[0.1] * FIRST)
        assert server.busy(seconds, full=16, latency_s=latency_s) == found


def test_the_latency_without_load_is_the_median_of_the_first_ones():
    server = Server()
    server.unloaded(9.0, *[0.1] * (FIRST - 2), 0.01)
    assert server.busy(4, full=16, latency_s=0.21) == 10


def test_no_more_than_half_are_given_up_at_once_and_one_is_left():
    server = Server()
    server.unloaded(*[0.01] * FIRST)
    assert server.busy(3, full=16, latency_s=1.0) is None  # too few replies to judge by
    server = Server()
    server.unloaded(*[0.001] * FIRST)
    assert server.busy(2.3, full=16, latency_s=0.1) == 8
    server = Server()
    server.unloaded(*[0.001] * FIRST)
    assert server.busy(60, full=1, latency_s=0.1) is None


def test_fewer_at_once_are_taken_back_where_they_cost_throughput_and_not_tried_for_a_minute():
    server = Server()
    server.unloaded(*[0.1] * FIRST)
    assert server.busy(3, full=16, latency_s=0.25) == 8
    # Latency stays: with half as many in flight half as much comes back, so it was no queue.
    assert server.busy(4, full=8, latency_s=0.25) is None
    taken_back = server.now
    while server.busy(0.5, full=16, latency_s=0.6) is None:
        assert server.now < taken_back + 70
    assert server.now > taken_back + 55


def test_slots_come_back_when_the_latency_is_that_of_a_server_without_load():
    server = Server()
    server.unloaded(*[0.1] * FIRST)
    assert server.busy(3, full=16, latency_s=0.2001) == 10
    server.busy(3, full=10, latency_s=0.1)
    assert server.adaptive.cap > 10


def test_times_when_slots_are_free_say_nothing():
    server = Server()
    server.unloaded(*[0.1] * FIRST)
    for _ in range(2000):
        server.now += 0.01
        server.reply(5.0)
    assert server.adaptive.cap is None


def test_the_peak_of_throughput_is_looked_for_on_both_sides():
    """Beyond 48 at once all of them together get less done, as self-hosted models do."""
    server = Server()
    server.unloaded(*[1.24] * FIRST)  # slow by chance, so latency says too little
    full = 128
    for _ in range(400):
        server.busy(0.5, full=full, latency_s=max(1.0, (full / 48) ** 1.5))
        full = server.adaptive.cap or full
    assert 44 <= full <= 56


def test_a_queue_in_slow_start_is_cut_to_what_would_be_answered_without_one():
    server = Server()
    server.unloaded(*[1.0] * FIRST)
    server.adaptive.queues(100, latency_s=2.0)
    assert server.adaptive.cap == 63  # 100 * 1.25 / 2


def test_a_cut_in_slow_start_that_was_a_mistake_is_taken_back():
    server = Server()
    server.unloaded(*[0.3] * FIRST)  # quick by chance, so the usual latency looked like a queue
    server.adaptive.queues(40, latency_s=0.5)
    assert server.adaptive.cap == 30
    server.busy(20, full=30, latency_s=0.5)
    assert server.adaptive.cap > 60
